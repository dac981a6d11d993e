use std::{fmt, time::Duration};

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

use crate::{claim::StoredResponse, scheme::Text};

pub(crate) const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// The response to a refused request, and the level at which the error is logged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorFacts {
    pub(crate) status: u16,
    pub(crate) public_message: &'static str,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) level: Level,
}

/// The level of a log line.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

impl ErrorFacts {
    pub(crate) const fn new(level: Level, status: u16, public_message: &'static str) -> Self {
        Self { status, public_message, retry_after: None, level }
    }

    pub(crate) const fn retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// Returns the complete response.
    pub(crate) fn answer(self) -> Answer {
        let answer = Answer::text(self.status, self.public_message);
        match self.retry_after {
            Some(after) => {
                answer.with_header("retry-after".into(), after.as_secs().to_string().into())
            }
            None => answer,
        }
    }
}

/// Logs at a [`Level`]. `tracing` macros take only constant levels.
macro_rules! log_at {
    ($level:expr, $($event:tt)+) => {
        match $level {
            $crate::answer::Level::Info => tracing::info!(target: "webhook_verify", $($event)+),
            $crate::answer::Level::Warn => tracing::warn!(target: "webhook_verify", $($event)+),
            $crate::answer::Level::Error => tracing::error!(target: "webhook_verify", $($event)+),
        }
    };
}
pub(crate) use log_at;

/// Adds the accessors of an error that becomes a response, from its `facts`.
macro_rules! response_accessors {
    ($error:ty) => {
        impl $error {
            /// Returns the status of the response.
            #[must_use]
            pub fn status(&self) -> u16 {
                self.facts().status
            }

            /// Returns the text of the response.
            #[must_use]
            pub fn public_message(&self) -> &'static str {
                self.facts().public_message
            }
        }
    };
    ($error:ty, answer) => {
        $crate::answer::response_accessors!($error);

        impl $error {
            /// Logs the error and returns the whole response.
            #[must_use]
            pub fn answer(&self) -> $crate::answer::Answer {
                let facts = self.facts();
                $crate::answer::log_at!(facts.level, "{self}");
                facts.answer()
            }
        }
    };
}
pub(crate) use response_accessors;

/// A complete response made by the receiver rather than by a handler, free of framework types.
#[derive(Clone)]
pub struct Answer {
    status: u16,
    headers: SmallVec<[(Text, Text); 3]>,
    body: Bytes,
}

impl Answer {
    pub(crate) fn text(status: u16, body: &'static str) -> Self {
        let mut headers = SmallVec::new();
        if !body.is_empty() {
            headers.push(("content-type".into(), PLAIN_TEXT.into()));
        }
        Self { status, headers, body: Bytes::from_static(body.as_bytes()) }
    }

    /// Returns an empty response to a challenge, which no browser may sniff and no cache may keep.
    pub(crate) fn to_challenge() -> Self {
        Self {
            headers: smallvec![
                ("x-content-type-options".into(), "nosniff".into()),
                ("cache-control".into(), "no-store".into()),
            ],
            ..Self::text(200, "")
        }
    }

    pub(crate) fn with_body(mut self, content_type: &'static str, body: String) -> Self {
        self.body = body.into();
        self.with_header("content-type".into(), content_type.into())
    }

    pub(crate) fn with_header(mut self, name: Text, value: Text) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Removes the body, for `HEAD` requests.
    pub(crate) fn without_body(mut self) -> Self {
        self.body = Bytes::new();
        self
    }

    /// Returns the response to a duplicate of a completed delivery.
    pub(crate) fn replayed(status: u16) -> Self {
        Self {
            headers: smallvec![("idempotent-replayed".into(), "true".into())],
            ..Self::text(Self::replayed_status(status), "")
        }
    }

    /// Returns the status of the response to a duplicate of a delivery with this status.
    pub(crate) fn replayed_status(status: u16) -> u16 {
        match status {
            200..=204 | 207..=299 => status,
            // The meanings of 205 and 206 do not fit a replay.
            _ => 204,
        }
    }

    /// Adds the body and the content type of the handler's response.
    pub(crate) fn with_response(mut self, response: &StoredResponse) -> Self {
        self.body = Bytes::copy_from_slice(response.body());
        match response.content_type() {
            Some(content_type) => {
                self.with_header("content-type".into(), content_type.to_owned().into())
            }
            None => self,
        }
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the headers, with names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Returns the body: empty, text, JSON, or that of the handler's response to an earlier
    /// delivery.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

impl fmt::Debug for Answer {
    /// Omits header values and the body: the response to a handshake contains a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}
