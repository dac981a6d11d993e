use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, BoxBody, EitherBody, MessageBody},
    dev::ServiceResponse,
    web::Bytes,
};
use webhook_verify::adapter::{BodyStart, Recorder};

use crate::head::ActixHeaders;

/// Records a response, and returns the same response.
pub(crate) async fn record<B: MessageBody + 'static>(
    response: ServiceResponse<B>,
    recorder: Recorder,
) -> ServiceResponse<EitherBody<B>> {
    let size = response.response().body().size();
    let len = match size {
        BodySize::None => Some(0),
        BodySize::Sized(len) => Some(len),
        BodySize::Stream => None,
    };
    let (status, headers) = (response.status().as_u16(), ActixHeaders(response.headers()));
    let Some(recording) = recorder.begin(status, &headers, len) else {
        return response.map_into_left_body();
    };
    let (request, response) = response.into_parts();
    let (response, rest) = response.into_parts();
    let mut rest = Box::pin(rest);
    let start = recording.read(|cx| rest.as_mut().poll_next(cx), Bytes::as_ref).await;
    let body = BoxBody::new(RecordedBody { start, rest, size });
    ServiceResponse::new(request, response.set_body(EitherBody::right(body)))
}

/// A body whose start was read.
struct RecordedBody<B: MessageBody> {
    start: BodyStart<Result<Bytes, B::Error>>,
    rest: Pin<Box<B>>,
    size: BodySize,
}

/// Only the rest is pinned, by its box.
impl<B: MessageBody> Unpin for RecordedBody<B> {}

impl<B: MessageBody> MessageBody for RecordedBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, B::Error>>> {
        let Self { start, rest, .. } = &mut *self;
        start.poll_next(|| rest.as_mut().poll_next(cx))
    }
}
