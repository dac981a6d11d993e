#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod extract;
mod head;
mod limits;
mod middleware;
mod record;
mod rejection;
mod target;

pub use webhook_verify::*;

pub use self::{
    extract::{EventData, ExtractRejection, Verified, VerifiedJson},
    middleware::{Drain, WebhookMiddleware, WebhookService},
};
