use std::{error, fmt};

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
    /// The status that says so to a client.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Syntax => 400,
            Self::TooMany { .. } => 413,
            Self::Shape => 422,
        }
    }

    /// The text of the answer.
    #[must_use]
    pub fn public_message(&self) -> &'static str {
        match self {
            Self::Syntax => "body is not JSON",
            Self::TooMany { .. } => "too many events",
            Self::Shape => "JSON is not of the expected shape",
        }
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
