use std::{error, fmt, sync::Arc, time::Duration};

use crate::{
    answer::{Answer, ErrorFacts, Level, response_accessors},
    claim::StoreError,
    delivery::EventsError,
    error::{VerifyError, fmt_source},
    verify::BodyTooLarge,
};

/// The reason why a request did not reach its handler, or why its response was replaced.
///
/// `Display` and `source` are for logs; the alternate form `{:#}` includes the source. The client
/// gets [`status`](Self::status) and a fixed text, [`public_message`](Self::public_message).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Rejection {
    /// The request is not authentic.
    NotAuthentic(VerifyError),
    /// The body is longer than the limit, or is declared to be.
    BodyTooLarge(BodyTooLarge),
    /// The body is compressed. Either the content encoding is not supported, or the scheme signs
    /// the body but does not define [which bytes](crate::scheme::SignedBytes). Or the body is a form
    /// in `multipart/form-data`, and the feature `multipart` is off.
    ContentEncoding {
        /// The missing feature, if one supports this encoding.
        feature: Option<&'static str>,
    },
    /// The body could not be read to its end.
    BodyRead(Arc<dyn error::Error + Send + Sync>),
    /// The body took longer than [`body_timeout`](crate::ReceiverBuilder::body_timeout).
    BodyTimeout,
    /// The delivery, or some of its events, are in progress elsewhere.
    InFlight {
        /// The status of the response, 503 by default.
        status: u16,
        /// When to retry: after the rest of the lease, but at least 1 s and at most 60 s.
        retry_after: Duration,
    },
    /// The delivery is a duplicate of a completed one, with another body:
    /// [`OnMismatch::Reject`](crate::idempotency::OnMismatch::Reject).
    Mismatch,
    /// The lookup of a tenant or a key failed or returned invalid secrets, or the secret of a
    /// handshake was not accepted.
    Secrets(Arc<dyn error::Error + Send + Sync>),
    /// The store failed or did not respond.
    Store(StoreError),
    /// The callback of [`identity_from`](crate::Idempotency::identity_from) or
    /// [`event_identity_from`](crate::Idempotency::event_identity_from), which computes idempotency
    /// keys, panicked. The handler did not run.
    #[non_exhaustive]
    CallbackPanicked {
        /// The name of the method that the callback was passed to.
        callback: &'static str,
    },
    /// The handler panicked.
    HandlerPanicked,
    /// The body cannot be split into the events that are to be
    /// [filtered](crate::ReceiverBuilder::only).
    Events(EventsError),
    /// The handler succeeded, but did not mark every event done.
    EventsLeft,
}

response_accessors!(Rejection);

impl Rejection {
    fn facts(&self) -> ErrorFacts {
        let unavailable = |level, seconds| {
            let facts = ErrorFacts::new(level, 503, "temporarily unavailable");
            facts.retry_after(Duration::from_secs(seconds))
        };
        match self {
            Self::NotAuthentic(_) => ErrorFacts::new(Level::Warn, 401, "invalid webhook signature"),
            Self::BodyTooLarge(_) => ErrorFacts::new(Level::Info, 413, "body too large"),
            Self::ContentEncoding { feature } => {
                // A sender that compresses its bodies usually compresses all of them: every
                // delivery fails.
                let level = if feature.is_some() { Level::Warn } else { Level::Info };
                ErrorFacts::new(level, 415, "unsupported content encoding")
            }
            Self::BodyRead(_) => ErrorFacts::new(Level::Info, 400, "could not read body"),
            Self::BodyTimeout => ErrorFacts::new(Level::Info, 408, "body took too long"),
            Self::InFlight { status, retry_after } => {
                ErrorFacts::new(Level::Info, *status, "delivery is being processed")
                    .retry_after(*retry_after)
            }
            Self::Mismatch => unavailable(Level::Info, 30),
            // A queue of calls soon gets shorter. Other failures last longer.
            Self::Store(error) if error.is_overloaded() => unavailable(Level::Warn, 5),
            Self::Secrets(_) | Self::Store(_) | Self::CallbackPanicked { .. } => {
                unavailable(Level::Error, 30)
            }
            Self::HandlerPanicked | Self::EventsLeft => ErrorFacts::new(Level::Error, 500, ""),
            Self::Events(error) => ErrorFacts { level: Level::Info, ..error.facts() },
        }
    }

    /// Returns when the client should retry, if it should.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.facts().retry_after
    }

    /// Returns the level at which the refusal is logged.
    pub(super) fn level(&self) -> Level {
        self.facts().level
    }

    /// Returns a stable code for counters and alerts, such as `signature_mismatch` or `store`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotAuthentic(error) => error.reason(),
            Self::BodyTooLarge(_) => "body_too_large",
            Self::ContentEncoding { .. } => "content_encoding",
            Self::BodyRead(_) => "body_read",
            Self::BodyTimeout => "body_timeout",
            Self::InFlight { .. } => "in_flight",
            Self::Mismatch => "mismatch",
            Self::Secrets(_) => "secrets",
            Self::Store(_) => "store",
            Self::CallbackPanicked { .. } => "callback_panicked",
            Self::HandlerPanicked => "handler_panicked",
            Self::Events(_) => "events",
            Self::EventsLeft => "events_left",
        }
    }

    /// Returns the whole response.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let answer = self.facts().answer();
        if let Self::NotAuthentic(_) = self {
            // RFC 9110 §15.5.2 requires a challenge with every 401.
            return answer.with_header("www-authenticate".into(), "Webhook".into());
        }
        answer
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAuthentic(error) => error.fmt(f),
            Self::BodyTooLarge(error) => error.fmt(f),
            Self::ContentEncoding { feature: None } => {
                f.write_str("body is sent in a content encoding")
            }
            Self::ContentEncoding { feature: Some(feature) } => {
                write!(f, "body needs the feature `{feature}` of webhook-verify")
            }
            Self::BodyRead(_) => f.write_str("body could not be read"),
            Self::BodyTimeout => f.write_str("body took too long"),
            Self::InFlight { retry_after, .. } => {
                let seconds = retry_after.as_secs();
                write!(f, "delivery is in progress elsewhere, retry after {seconds} s")
            }
            Self::Mismatch => f.write_str("delivery was completed with another body"),
            Self::Secrets(_) => f.write_str("lookup of secrets, or handshake, failed"),
            Self::Store(error) => error.fmt(f),
            Self::CallbackPanicked { callback } => {
                write!(f, "the callback of `{callback}` panicked")
            }
            Self::HandlerPanicked => f.write_str("handler panicked"),
            Self::Events(error) => error.fmt(f),
            Self::EventsLeft => f.write_str("handler succeeded without marking every event done"),
        }?;
        match self {
            // Its own alternate form includes the source.
            Self::Store(_) => Ok(()),
            _ => fmt_source(self, f),
        }
    }
}

impl error::Error for Rejection {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::BodyRead(source) | Self::Secrets(source) => Some(&**source),
            Self::Store(error) => error.source(),
            Self::NotAuthentic(_)
            | Self::BodyTooLarge(_)
            | Self::ContentEncoding { .. }
            | Self::BodyTimeout
            | Self::InFlight { .. }
            | Self::Mismatch
            | Self::CallbackPanicked { .. }
            | Self::HandlerPanicked
            | Self::Events(_)
            | Self::EventsLeft => None,
        }
    }
}

impl From<VerifyError> for Rejection {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::UnsupportedCoding { feature } => Self::ContentEncoding { feature },
            VerifyError::MalformedCoding => Self::BodyRead(Arc::new(error)),
            VerifyError::DecodedTooLarge { limit } => Self::BodyTooLarge(limit.into()),
            _ => Self::NotAuthentic(error),
        }
    }
}

impl From<BodyTooLarge> for Rejection {
    fn from(error: BodyTooLarge) -> Self {
        Self::BodyTooLarge(error)
    }
}

impl From<StoreError> for Rejection {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_feature_is_logged_as_a_warning_with_its_name() {
        for feature in ["gzip", "brotli", "zstd"] {
            let error = VerifyError::UnsupportedCoding { feature: Some(feature) };
            let rejection = Rejection::from(error);
            assert!(matches!(rejection.facts().level, Level::Warn));
            assert!(rejection.to_string().contains(&format!("the feature `{feature}`")));
        }
        let unknown = Rejection::from(VerifyError::UnsupportedCoding { feature: None });
        assert!(matches!(unknown.facts().level, Level::Info));
    }

    #[test]
    fn the_alternate_form_includes_the_source_once() {
        let store = Rejection::Store(StoreError::new("disk full"));
        assert_eq!(store.to_string(), "store failed");
        assert_eq!(format!("{store:#}"), "store failed: disk full");
        let read = Rejection::BodyRead(Arc::new(std::io::Error::other("reset")));
        assert_eq!(read.to_string(), "body could not be read");
        assert_eq!(format!("{read:#}"), "body could not be read: reset");
        let mismatch = Rejection::NotAuthentic(VerifyError::SignatureMismatch);
        assert_eq!(format!("{mismatch:#}"), mismatch.to_string());
    }
}
