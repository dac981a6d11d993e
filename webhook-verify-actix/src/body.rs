use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{dev::Payload, error::PayloadError, web::Bytes};
use futures_core::Stream;
use webhook_verify::adapter::BodyTooLarge;

/// A request's body, for the receiver.
pub(crate) struct Chunks(pub(crate) Payload);

impl Stream for Chunks {
    type Item = Result<Bytes, Box<dyn Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx).map_err(|error| match error {
            // An outer middleware has a lower limit.
            PayloadError::Overflow => BodyTooLarge::outside().into(),
            error => error.into(),
        })
    }
}
