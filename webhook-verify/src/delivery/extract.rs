use std::{error, fmt};

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use super::{Delivery, Event, EventsError};
use crate::answer::{Answer, ErrorFacts, Level, log_at};

/// Why a handler's argument could not be made from a delivery. For the extractors of the adapters.
///
/// `Display` is for logs: it has the place in the JSON, and nothing of what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtractError {
    /// No receiver is in front of the handler, so nothing was verified: the set-up is wrong, not the request.
    NotVerified {
        /// The extractor that asked.
        extractor: &'static str,
        /// What is missing in front of it.
        missing: &'static str,
    },
    /// The content type is not JSON.
    UnsupportedMediaType,
    /// The body is not JSON.
    JsonSyntax {
        /// The line, counted from 1.
        line: usize,
        /// The column, as `serde_json` counts them.
        column: usize,
    },
    /// The body could not be taken apart into events: see [`EventsError`].
    Events(EventsError),
    /// The handler takes one event, and the sender may put several into one request: it has to take
    /// [several](Delivery::events).
    NotOneEvent,
    /// The body is JSON of another shape.
    JsonData {
        /// The way to the first thing that does not fit, such as `data.items[3].id`. A key that is not a plain name is
        /// `?`, since a sender may have chosen it.
        path: String,
    },
}

impl ExtractError {
    fn facts(&self) -> ErrorFacts {
        match self {
            Self::NotVerified { .. } | Self::NotOneEvent => ErrorFacts::new(Level::Error, 500, ""),
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

    /// Returns the whole response. Logs the error.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let facts = self.facts();
        log_at!(facts.level, "{self}");
        facts.answer()
    }
}

impl fmt::Display for ExtractError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotVerified { extractor, missing } => {
                write!(f, "{extractor} is used where no {missing} is installed")
            }
            Self::UnsupportedMediaType => f.write_str("content type is not JSON"),
            Self::JsonSyntax { line, column } => {
                write!(f, "body is not JSON at line {line} column {column}")
            }
            Self::JsonData { path } => write!(f, "JSON is not of the expected shape at {path}"),
            Self::Events(error) => error.fmt(f),
            Self::NotOneEvent => f.write_str(
                "handler takes one event, and the sender may put several into one request",
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
    /// The delivery's event, of a sender who puts one into each request.
    ///
    /// # Errors
    ///
    /// [`ExtractError::NotOneEvent`] where the sender may put several into one request, whether it did or not.
    pub fn event(&self) -> Result<Event, ExtractError> {
        match &*self.batch()? {
            [event] if !self.scheme.sends_batches() => Ok(event.clone()),
            _ => Err(ExtractError::NotOneEvent),
        }
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// [`ExtractError::JsonSyntax`] or [`ExtractError::JsonData`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ExtractError> {
        from_json(&self.body)
    }

    /// The body as JSON, if `content_type` says that it is: `application/json`, or any type with the suffix `+json`.
    ///
    /// # Errors
    ///
    /// [`ExtractError::UnsupportedMediaType`], and those of [`json`](Self::json).
    pub fn json_of_type<T: DeserializeOwned>(
        &self,
        content_type: Option<&[u8]>,
    ) -> Result<T, ExtractError> {
        let media_type = content_type
            .and_then(|value| value.split(|&byte| byte == b';').next())
            .unwrap_or_default();
        let media_type = media_type.trim_ascii().to_ascii_lowercase();
        let is_json = media_type == b"application/json" || media_type.ends_with(b"+json");
        match is_json {
            true => self.json(),
            false => Err(ExtractError::UnsupportedMediaType),
        }
    }
}

pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ExtractError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let syntax = |error: &serde_json::Error| ExtractError::JsonSyntax {
        line: error.line(),
        column: error.column(),
    };
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        match error.inner().classify() {
            serde_json::error::Category::Data => {
                ExtractError::JsonData { path: plain(error.path()) }
            }
            _ => syntax(error.inner()),
        }
    })?;
    json.end().map_err(|error| syntax(&error))?;
    Ok(value)
}

/// A path without anything that would not pass for the name of a field.
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
