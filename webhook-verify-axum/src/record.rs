use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum_core::{Error, body::Body, response::Response};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use webhook_verify::adapter::{BodyStart, Recorder};

/// Records a response, and returns the same response.
pub(crate) async fn record(response: Response, recorder: Recorder) -> Response {
    let len = response.body().size_hint().exact();
    let status = response.status().as_u16();
    let Some(recording) = recorder.begin(status, response.headers(), len) else {
        return response;
    };
    let (parts, mut rest) = response.into_parts();
    let poll = |cx: &mut Context<'_>| Pin::new(&mut rest).poll_frame(cx);
    let start = recording.read(poll, bytes_of).await;
    Response::from_parts(parts, Body::new(RecordedBody { start, rest }))
}

fn bytes_of(frame: &Frame<Bytes>) -> &[u8] {
    frame.data_ref().map_or(&[], |data| data)
}

/// A body whose start was read.
struct RecordedBody {
    start: BodyStart<Result<Frame<Bytes>, Error>>,
    rest: Body,
}

impl http_body::Body for RecordedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Self { start, rest } = &mut *self;
        start.poll_next(|| Pin::new(rest).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        let is_used_up = self.start.pieces().next().is_none();
        is_used_up && (self.start.is_whole() || self.rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let frames = self.start.pieces().flatten();
        let start = frames.map(|frame| bytes_of(frame).len() as u64).sum::<u64>();
        let rest = self.rest.size_hint();
        let mut size = SizeHint::new();
        size.set_lower(start.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper() {
            size.set_upper(start.saturating_add(upper));
        }
        size
    }
}
