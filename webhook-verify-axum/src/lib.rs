#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod extract;
mod layer;
mod record;
mod rejection;
mod service;

pub use webhook_verify::*;

pub use self::{
    extract::{EventData, ExtractRejection, Verified, VerifiedJson},
    layer::{Drain, WebhookLayer},
    service::WebhookService,
};
