use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use crate::{
    answer::Answer,
    claim::{Claim, StoredResponse},
    request::Headers,
};

/// Records the response of the handler, because duplicates get it again:
/// [`Replay::Body`](crate::idempotency::Replay::Body).
///
/// The adapter records the response within the future of the handler, so that the lease is renewed
/// while it waits for the body. [`Admitted::handle`](super::Admitted::handle) stores the response
/// with the completion.
#[derive(Clone)]
pub struct Recorder {
    limit: usize,
    claim: Claim,
    recorded: Arc<Mutex<Option<StoredResponse>>>,
}

/// A response whose body is to be recorded.
#[must_use = "the body has to be read"]
pub struct Recording {
    recorder: Recorder,
    content_type: String,
}

/// The start of a body that was read, in pieces. Usually it is the whole body.
pub struct BodyStart<P> {
    pieces: VecDeque<P>,
    is_whole: bool,
}

impl Recorder {
    pub(super) fn new(limit: usize, claim: Claim) -> Self {
        Self { limit, claim, recorded: Arc::default() }
    }

    /// Begins to record a response with this status, these headers and, if it is known, a body of
    /// this length in bytes.
    ///
    /// Returns `None` if the response is not stored: then the adapter passes it on as it is.
    pub fn begin(
        self,
        status: u16,
        headers: &(impl Headers + ?Sized),
        len: Option<u64>,
    ) -> Option<Recording> {
        if !self.claim.completes(status) || Answer::replayed_status(status) != status {
            return None;
        }
        // Such a response has no body.
        if status == 204 {
            return None;
        }
        let (mut content_type, mut is_encoded) = (&b""[..], false);
        headers.visit(&mut |name, value| {
            if name.eq_ignore_ascii_case("content-type") {
                content_type = value;
            } else if name.eq_ignore_ascii_case("content-encoding") {
                is_encoded |= !value.eq_ignore_ascii_case(b"identity");
            }
        });
        let content_type = std::str::from_utf8(content_type).ok();
        let content_type = content_type.filter(|text| StoredResponse::new(text, b"").is_some());
        if is_encoded {
            self.log_unstored("it has a content encoding");
        } else if len.is_some_and(|len| len > self.limit as u64) {
            self.log_unstored("it is longer than the limit");
        } else if let Some(content_type) = content_type {
            let content_type = content_type.to_owned();
            return Some(Recording { recorder: self, content_type });
        } else {
            self.log_unstored("its content type is too long, or is not printable ASCII");
        }
        None
    }

    /// Returns the response that was recorded, if any.
    pub(super) fn take(&self) -> Option<StoredResponse> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn log_unstored(&self, reason: &str) {
        self.claim.log_unstored(reason);
    }
}

impl Recording {
    /// Reads the body with `poll` until it ends, fails or becomes longer than the limit. Only a
    /// body that ends is stored. `data` returns the bytes of a piece.
    ///
    /// The adapter then sends the returned start of the body, and the rest after it.
    pub async fn read<T, E>(
        self,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<T, E>>>,
        data: impl Fn(&T) -> &[u8],
    ) -> BodyStart<Result<T, E>> {
        let Self { recorder, content_type } = self;
        let mut start = BodyStart { pieces: VecDeque::new(), is_whole: false };
        let mut body = Vec::new();
        while let Some(piece) = poll_fn(&mut poll).await {
            let read = piece.as_ref().map(|piece| {
                let bytes = data(piece);
                let fits = bytes.len() <= recorder.limit - body.len();
                if fits {
                    body.extend_from_slice(bytes);
                }
                fits
            });
            let reason = match read {
                Ok(true) => None,
                Ok(false) => Some("it is longer than the limit"),
                Err(_) => {
                    start.is_whole = true;
                    Some("it failed")
                }
            };
            start.pieces.push_back(piece);
            if let Some(reason) = reason {
                recorder.log_unstored(reason);
                return start;
            }
        }
        start.is_whole = true;
        // Without a stored response, duplicates get the same.
        if !body.is_empty() || !content_type.is_empty() {
            let response = StoredResponse::new(&content_type, &body);
            *recorder.recorded.lock().unwrap_or_else(PoisonError::into_inner) = response;
        }
        start
    }
}

impl<P> BodyStart<P> {
    /// Returns the next piece, from `rest` once the start is used up.
    pub fn poll_next(&mut self, rest: impl FnOnce() -> Poll<Option<P>>) -> Poll<Option<P>> {
        match self.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(piece)),
            None if self.is_whole => Poll::Ready(None),
            None => rest(),
        }
    }

    /// Returns the pieces that are left of the start.
    pub fn pieces(&self) -> impl Iterator<Item = &P> {
        self.pieces.iter()
    }

    /// Returns whether the start is the whole body, up to its end or its failure.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("recorder", &self.recorder).finish_non_exhaustive()
    }
}

/// Omits the content.
impl<P> fmt::Debug for BodyStart<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyStart")
            .field("pieces", &self.pieces.len())
            .field("is_whole", &self.is_whole)
            .finish()
    }
}
