use std::{error, fmt};

use crate::answer::{ErrorFacts, Level, response_accessors};

/// A body could not be split into events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventsError {
    /// The body is not JSON.
    Syntax,
    /// The body is JSON, but its events are not where the scheme defines, or an event type occurs
    /// twice.
    Shape,
    /// The body has more events than allowed.
    TooMany {
        /// The maximum number of events.
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
}

response_accessors!(EventsError);

impl fmt::Display for EventsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => f.write_str("body is not JSON"),
            Self::Shape => f.write_str("events are not where the scheme defines them"),
            Self::TooMany { most } => write!(f, "more than {most} events"),
        }
    }
}

impl error::Error for EventsError {}
