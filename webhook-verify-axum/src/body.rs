use std::{
    error::Error,
    iter,
    pin::Pin,
    task::{Context, Poll},
};

use axum_core::{
    BoxError,
    body::{Body, BodyDataStream},
};
use bytes::Bytes;
use futures_core::Stream;
use http_body_util::LengthLimitError;
use webhook_verify::adapter::BodyTooLarge;

/// A request's body, for the receiver.
pub(crate) struct Chunks(BodyDataStream);

impl Chunks {
    pub(crate) fn new(
        body: impl http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    ) -> Self {
        Self(Body::new(body).into_data_stream())
    }
}

impl Stream for Chunks {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx).map_err(|error| {
            // An outer layer, such as `RequestBodyLimitLayer`, has a lower limit.
            let mut causes =
                iter::successors(Some(&error as &dyn Error), |error| (**error).source());
            if causes.any(|error| error.is::<LengthLimitError>()) {
                return BodyTooLarge::outside().into();
            }
            error.into()
        })
    }
}
