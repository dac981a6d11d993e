//! Requests as they arrive.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

/// A complete request, or the start of one.
#[derive(Clone)]
pub(super) struct Arrived {
    pub(super) method: String,
    /// The path and query.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether the body has ended, and is not longer than the limit.
    pub(super) is_complete: bool,
}

/// The body of a request.
pub(super) enum Source {
    /// It comes from a connection.
    Connection(Incoming),
    /// It is sent again.
    Memory(Option<Bytes>),
}

/// A body that the receiver reads, and that is kept up to a limit.
pub(super) struct Tee {
    source: Source,
    kept: Vec<u8>,
    /// What was kept, once the body has ended.
    whole: Option<Bytes>,
    limit: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Open,
    Ended,
    /// The body failed or is over the limit.
    Cut,
}

impl Tee {
    pub(super) fn new(source: Source, limit: usize) -> Self {
        Self { source, kept: Vec::new(), whole: None, limit, state: State::Open }
    }

    /// Reads what the receiver left of the body, up to the limit and for at most `wait`.
    pub(super) async fn read_rest(&mut self, wait: Duration) {
        let rest = async {
            while self.state == State::Open
                && std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await.is_some()
            {
            }
        };
        let _ = timeout(wait, rest).await;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.state == State::Ended
    }

    /// Returns what was kept of the body.
    pub(super) fn body(&mut self) -> Bytes {
        let kept = &mut self.kept;
        self.whole.get_or_insert_with(|| std::mem::take(kept).into_boxed_slice().into()).clone()
    }
}

impl Source {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        match self {
            Self::Memory(body) => Poll::Ready(body.take().map(Ok)),
            Self::Connection(body) => loop {
                match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                    None => return Poll::Ready(None),
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                }
            },
        }
    }
}

impl Stream for Tee {
    type Item = Result<Bytes, Box<dyn Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = ready!(self.source.poll_chunk(cx));
        Poll::Ready(match chunk {
            None => {
                self.state = if self.state == State::Open { State::Ended } else { self.state };
                None
            }
            Some(Err(error)) => {
                self.state = State::Cut;
                Some(Err(error.into()))
            }
            Some(Ok(chunk)) => {
                let room = self.limit - self.kept.len();
                if chunk.len() > room {
                    self.state = State::Cut;
                }
                self.kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
                Some(Ok(chunk))
            }
        })
    }
}

/// Copies headers. Those of a connection share its buffer, which would live as long as they do.
pub(super) fn copied(headers: &HeaderMap) -> HeaderMap {
    let mut copies = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            copies.append(name, value);
        }
    }
    copies
}
