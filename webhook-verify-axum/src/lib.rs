#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod extract;
mod layer;
mod record;
mod routing;
mod service;

pub use webhook_verify::*;

pub use self::{
    extract::{EventData, Verified, VerifiedJson},
    layer::{Drain, WebhookLayer},
    routing::RouterExt,
    service::WebhookService,
};
