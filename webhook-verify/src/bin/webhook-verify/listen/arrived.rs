//! Requests as they arrive.

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use hyper::body::{Body as _, Incoming};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use webhook_verify::adapter::BodyTooLarge;

/// The unit of a [`Budget`], in bytes.
const UNIT: usize = 1024;

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

/// A body that is kept up to a limit. The receiver gets it once it is complete, so that both share
/// the same bytes.
pub(super) struct Tee {
    source: Source,
    kept: Vec<u8>,
    /// The kept bytes, once the body has ended.
    whole: Option<Bytes>,
    /// Whether the receiver has got the body.
    is_read: bool,
    limit: usize,
    state: State,
    budget: Budget,
    /// This body's share of the budget.
    held: Option<OwnedSemaphorePermit>,
}

/// The memory for bodies while they are received, in units of [`UNIT`]. It does not count what a
/// receiver decodes of a compressed body.
#[derive(Clone)]
pub(super) struct Budget(Arc<Semaphore>);

#[derive(Clone, Copy, PartialEq)]
enum State {
    Open,
    Ended,
    /// The body failed or is over the limit.
    Cut,
    /// The budget has no room for the body.
    Refused,
}

impl Arrived {
    /// Returns the request with the headers of its connection.
    pub(super) fn request(&self) -> Result<Request<Bytes>, http::Error> {
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.parse()?;
        *request.uri_mut() = self.target.parse()?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / UNIT)))
    }
}

impl Tee {
    pub(super) fn new(source: Source, limit: usize, budget: Budget) -> Self {
        Self {
            source,
            kept: Vec::new(),
            whole: None,
            is_read: false,
            limit,
            state: State::Open,
            budget,
            held: None,
        }
    }

    /// Returns whether the budget had no room for the body.
    pub(super) fn is_refused(&self) -> bool {
        self.state == State::Refused
    }

    /// Drops what is over a limit, and keeps no more of the rest of the body.
    pub(super) fn cut(&mut self, limit: usize) {
        self.limit = self.limit.min(limit);
        if self.kept.len() > self.limit {
            self.kept.truncate(self.limit);
            self.state = State::Cut;
        }
        self.kept.shrink_to(self.limit);
        if let Some(whole) = &mut self.whole
            && whole.len() > self.limit
        {
            *whole = Bytes::copy_from_slice(&whole[..self.limit]);
            self.state = State::Cut;
        }
        self.give_back(self.limit);
    }

    /// Gives back the memory beyond `len` bytes.
    fn give_back(&mut self, len: usize) {
        if let Some(held) = &mut self.held {
            drop(held.split(held.num_permits().saturating_sub(len.div_ceil(UNIT))));
        }
    }

    /// Reserves memory for `len` bytes in total.
    fn reserve(&mut self, len: usize) -> bool {
        let has = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Ok(more) = u32::try_from(len.div_ceil(UNIT).saturating_sub(has)) else { return false };
        let Ok(more) = Arc::clone(&self.budget.0).try_acquire_many_owned(more) else {
            return false;
        };
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        true
    }

    /// Keeps a part of the body, up to the limit.
    fn keep(&mut self, chunk: Bytes) {
        let added = chunk.len().min(self.limit.saturating_sub(self.kept.len()));
        if added < chunk.len() {
            self.state = State::Cut;
        }
        let len = self.kept.len() + added;
        let capacity = match self.kept.capacity() {
            enough if enough >= len => enough,
            // Twice as much, so that few bytes are copied again, but not beyond the limit.
            old => (2 * old).min(self.limit).max(len),
        };
        if !self.reserve(capacity) {
            self.state = State::Refused;
        } else if let (Source::Memory(_), State::Open) = (&self.source, self.state) {
            self.whole = Some(chunk);
        } else {
            // The part shares the buffer of its connection, which would live as long as it does.
            self.kept.reserve_exact(capacity - self.kept.len());
            self.kept.extend_from_slice(&chunk[..added]);
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        while self.state == State::Open {
            match ready!(self.source.poll_chunk(cx)) {
                None => self.state = State::Ended,
                Some(Ok(chunk)) => self.keep(chunk),
                Some(Err(error)) => {
                    self.state = State::Cut;
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what the receiver left of the body, up to the limit and for at most `wait`.
    pub(super) async fn read_rest(&mut self, wait: Duration) {
        let _ = timeout(wait, std::future::poll_fn(|cx| self.poll_end(cx))).await;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.state == State::Ended
    }

    /// Returns what was kept of the body.
    pub(super) fn body(&mut self) -> Bytes {
        let kept = &mut self.kept;
        let whole =
            self.whole.get_or_insert_with(|| std::mem::take(kept).into_boxed_slice().into());
        let whole = whole.clone();
        self.give_back(whole.len());
        whole
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
        if self.is_read {
            return Poll::Ready(None);
        }
        let end = ready!(self.poll_end(cx));
        self.is_read = true;
        Poll::Ready(Some(match (end, self.state) {
            (Err(error), _) => Err(error.into()),
            (Ok(()), State::Ended) => Ok(self.body()),
            (Ok(()), State::Refused) => Err("too many bodies at a time".into()),
            (Ok(()), _) => Err(BodyTooLarge::from(self.limit).into()),
        }))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bodies_share_a_budget_that_they_give_back() {
        let budget = Budget::new(100 * UNIT);
        let tee = |len| {
            let source = Source::Memory(Some(vec![7; len].into()));
            Tee::new(source, 1 << 20, budget.clone())
        };
        let free = || budget.0.available_permits();
        let mut one = tee(60 * UNIT);
        one.read_rest(Duration::from_secs(60)).await;
        assert!(one.is_complete());
        assert_eq!(free(), 40);
        let mut two = tee(60 * UNIT);
        two.read_rest(Duration::from_secs(60)).await;
        assert!(two.is_refused() && !two.is_complete() && two.body().is_empty());
        assert_eq!(free(), 40);
        one.cut(20 * UNIT);
        assert!(!one.is_complete());
        assert_eq!(free(), 80);
        assert_eq!(one.body(), vec![7; 20 * UNIT]);
        let mut three = tee(60 * UNIT);
        three.read_rest(Duration::from_secs(60)).await;
        assert!(three.is_complete());
        // A limit that the body does not reach changes nothing.
        three.cut(60 * UNIT);
        assert!(three.is_complete());
        assert_eq!(three.body(), vec![7; 60 * UNIT]);
        drop((one, two, three));
        assert_eq!(free(), 100);
    }
}
