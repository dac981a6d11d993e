#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod extract;
mod head;
mod limits;
mod middleware;
mod record;
mod routing;
mod target;
#[cfg(feature = "testing")]
mod test_request;

pub use webhook_verify::*;

#[cfg(feature = "testing")]
pub use self::test_request::test_request;

pub use self::{
    extract::{EventData, Verified, VerifiedJson},
    middleware::{Drain, WebhookMiddleware, WebhookService},
    routing::{inbox, webhook},
};
