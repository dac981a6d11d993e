use std::{error, fmt};

use crate::answer::{ErrorFacts, Level};

/// Why a body could not be taken apart into events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventsError {
    /// The body is not JSON.
    Syntax,
    /// The body is JSON, and its events are not where the scheme has them, or a type is there twice.
    Shape,
    /// The body has more events than may be.
    TooMany {
        /// How many there may be.
        most: usize,
    },
}

impl EventsError {
    pub(crate) fn facts(&self) -> ErrorFacts {
        match self {
            Self::Syntax => ErrorFacts::new(Level::Warn, 400, "body is not JSON"),
            Self::TooMany { .. } => ErrorFacts::new(Level::Warn, 413, "too many events"),
            Self::Shape => ErrorFacts::new(Level::Warn, 422, "JSON is not of the expected shape"),
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
}

impl fmt::Display for EventsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => f.write_str("body is not JSON"),
            Self::Shape => f.write_str("events are not where the scheme has them"),
            Self::TooMany { most } => write!(f, "more than {most} events"),
        }
    }
}

impl error::Error for EventsError {}
