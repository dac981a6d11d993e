use std::{error, fmt};

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use super::{Delivery, Event, EventsError, reason::reason};
use crate::{
    answer::{Answer, ErrorFacts, Level, log_at, response_accessors},
    claim::{Claim, ClaimKey},
};

/// A handler's argument could not be extracted from a delivery. The adapters' extractors return it.
///
/// `Display` is for logs: it contains the position in the JSON, but none of the JSON itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtractError {
    /// No receiver is installed in front of the handler, so nothing was verified. This is a mistake
    /// in the set-up, not in the request.
    NotVerified {
        /// The name of the extractor.
        extractor: &'static str,
        /// The name of the missing layer or middleware.
        missing: &'static str,
    },
    /// The content type is not JSON.
    UnsupportedMediaType,
    /// The body is not JSON.
    JsonSyntax {
        /// The line, counted from 1.
        line: usize,
        /// The column, as `serde_json` counts it.
        column: usize,
        /// The event or delivery, for the log.
        event: Box<EventName>,
    },
    /// The body could not be split into events.
    Events(EventsError),
    /// The handler takes one event, but the sender may put several into one request. The handler
    /// has to take [all of them](Delivery::events).
    NotOneEvent,
    /// The body is JSON, but not of the expected shape.
    JsonData {
        /// The path to the first value that does not fit, such as `data.items[3].id`. Empty if the
        /// whole JSON does not fit. A `?` replaces each key that does not look like a field name,
        /// because the sender may have chosen it.
        path: String,
        /// serde's reason, such as ``missing field `id` `` or `invalid type: string, expected u64`,
        /// without any value of the JSON. Empty if the type has its own error messages.
        reason: String,
        /// The event or delivery, for the log.
        event: Box<EventName>,
    },
    /// [`Routes`](crate::Routes) got an event of a scheme without event types, and has no handler
    /// for all events. This is a mistake in the set-up, not in the request.
    #[non_exhaustive]
    NoEventTypes {
        /// The name of the scheme.
        scheme: String,
    },
}

/// Identifies an event or a delivery in logs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventName {
    /// The name of the scheme.
    pub scheme: String,
    /// The event type, if it can be read. Truncated after 128 characters.
    pub event_type: Option<String>,
    /// The idempotency key, if the handler runs under a claim.
    pub key: Option<ClaimKey>,
}

impl EventName {
    pub(crate) fn new(scheme: &str, event_type: Option<&str>, key: Option<ClaimKey>) -> Box<Self> {
        Box::new(Self {
            scheme: scheme.to_owned(),
            event_type: event_type.map(|text| text.chars().take(128).collect()),
            key,
        })
    }
}

impl ExtractError {
    /// Logs the error and returns the whole response.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let facts = self.facts();
        let (event, scheme) = match self {
            Self::JsonSyntax { event, .. } | Self::JsonData { event, .. } => {
                (Some(&**event), Some(&*event.scheme))
            }
            Self::NoEventTypes { scheme } => (None, Some(&**scheme)),
            Self::NotVerified { .. }
            | Self::UnsupportedMediaType
            | Self::Events(_)
            | Self::NotOneEvent => (None, None),
        };
        let event_type = event.and_then(|event| event.event_type.as_deref());
        let key = event.and_then(|event| event.key).map(tracing::field::display);
        log_at!(facts.level, scheme, event_type, key, "{self}");
        facts.answer()
    }

    fn facts(&self) -> ErrorFacts {
        match self {
            Self::NotVerified { .. } | Self::NotOneEvent | Self::NoEventTypes { .. } => {
                ErrorFacts::new(Level::Error, 500, "")
            }
            Self::UnsupportedMediaType => {
                ErrorFacts::new(Level::Warn, 415, "expected application/json")
            }
            Self::JsonSyntax { .. } => ErrorFacts::new(Level::Warn, 400, "body is not JSON"),
            Self::JsonData { .. } => {
                ErrorFacts::new(Level::Warn, 422, "JSON is not of the expected shape")
            }
            Self::Events(error) => error.facts(),
        }
    }
}

response_accessors!(ExtractError);

impl fmt::Display for ExtractError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotVerified { extractor, missing } => {
                write!(f, "{extractor} is used where no {missing} is installed")
            }
            Self::UnsupportedMediaType => f.write_str("content type is not JSON"),
            Self::JsonSyntax { line, column, .. } => {
                write!(f, "body is not JSON at line {line} column {column}")
            }
            Self::JsonData { path, reason, .. } => {
                f.write_str("JSON is not of the expected shape")?;
                for (before, text) in [(" at ", path), (": ", reason)] {
                    if !text.is_empty() {
                        write!(f, "{before}{text}")?;
                    }
                }
                Ok(())
            }
            Self::Events(error) => error.fmt(f),
            Self::NotOneEvent => f.write_str(
                "handler takes one event, but the sender may put several into one request",
            ),
            Self::NoEventTypes { scheme } => write!(
                f,
                "`Routes` selects handlers by event type, but the scheme `{scheme}` has no event \
                 types: add a handler with `otherwise`, or describe the event type in the scheme, \
                 for example with `event_type_header`"
            ),
        }
    }
}

impl error::Error for ExtractError {}

impl From<EventsError> for ExtractError {
    fn from(error: EventsError) -> Self {
        Self::Events(error)
    }
}

impl Delivery {
    /// Returns the delivery's event, if the sender puts one event into each request, or if this
    /// request is not a [batch](Self::batch).
    ///
    /// # Errors
    ///
    /// [`ExtractError::NotOneEvent`] if the body is a list of events, even if the list has only
    /// one. [`ExtractError::Events`] if the body cannot be split into events.
    pub fn event(&self) -> Result<Event, ExtractError> {
        match &*self.batch()? {
            // An event of a list is shorter than the body.
            [event] if !self.scheme.sends_batches() || event.raw() == self.body() => {
                Ok(event.clone())
            }
            _ => Err(ExtractError::NotOneEvent),
        }
    }

    /// Deserializes the body from JSON.
    ///
    /// # Errors
    ///
    /// [`ExtractError::JsonSyntax`] or [`ExtractError::JsonData`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ExtractError> {
        let name = || {
            EventName::new(
                self.scheme.name(),
                self.event_type().as_deref(),
                self.claim().map(Claim::key),
            )
        };
        from_json(&self.body, name)
    }

    /// Deserializes the body from JSON, if `content_type` is `application/json` or has the suffix
    /// `+json`, or if the body [was in a form](Self::was_in_form).
    ///
    /// # Errors
    ///
    /// [`ExtractError::UnsupportedMediaType`] for another content type, and the errors of
    /// [`json`](Self::json).
    pub fn json_of_type<T: DeserializeOwned>(
        &self,
        content_type: Option<&[u8]>,
    ) -> Result<T, ExtractError> {
        let media_type = content_type
            .and_then(|value| value.split(|&byte| byte == b';').next())
            .unwrap_or_default();
        let media_type = media_type.trim_ascii().to_ascii_lowercase();
        let is_json = media_type == b"application/json" || media_type.ends_with(b"+json");
        if is_json || self.was_in_form {
            self.json()
        } else {
            Err(ExtractError::UnsupportedMediaType)
        }
    }
}

/// Deserializes the JSON of an event or a delivery. `name` identifies it in errors.
pub(crate) fn from_json<T: DeserializeOwned>(
    bytes: &[u8],
    name: impl Fn() -> Box<EventName>,
) -> Result<T, ExtractError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let syntax = |error: &serde_json::Error| ExtractError::JsonSyntax {
        line: error.line(),
        column: error.column(),
        event: name(),
    };
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        match error.inner().classify() {
            serde_json::error::Category::Data => ExtractError::JsonData {
                path: plain(error.path()),
                reason: reason(error.inner()),
                event: name(),
            },
            _ => syntax(error.inner()),
        }
    })?;
    json.end().map_err(|error| syntax(&error))?;
    Ok(value)
}

/// Formats a path, with `?` in place of each key that does not look like the name of a field.
fn plain(path: &Path) -> String {
    let mut plain = String::new();
    for segment in path.iter().take(32) {
        let key = match segment {
            Segment::Seq { index } => {
                plain.push_str(&format!("[{index}]"));
                continue;
            }
            Segment::Map { key } => key,
            Segment::Enum { variant } => variant,
            Segment::Unknown => "?",
        };
        let is_name = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        if !plain.is_empty() {
            plain.push('.');
        }
        plain.push_str(if key.len() <= 32 && key.bytes().all(is_name) { key } else { "?" });
    }
    plain
}
