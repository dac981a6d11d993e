use std::{error, fmt};

use crate::answer::{Answer, ErrorFacts, Level, log_at};

/// Why the parts of a body could not be read. It holds nothing of what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MultipartError {
    /// The content type is not `multipart/form-data`.
    NotMultipart,
    /// The content type has no boundary that could be one, or the body is not written as the content type says: a part
    /// without a head, a body without an end.
    Malformed,
    /// There are more parts than may be.
    TooManyParts {
        /// How many may be.
        limit: usize,
    },
    /// A part is longer than it may be.
    PartTooLarge {
        /// The most bytes that it may have.
        limit: usize,
    },
    /// A part has no name, or one that is too long.
    UnnamedPart,
}

impl MultipartError {
    /// What the parser found. Its own words have names of fields in them.
    pub(super) fn of(error: &multer::Error) -> Self {
        match *error {
            multer::Error::FieldSizeExceeded { limit, .. } => {
                Self::PartTooLarge { limit: usize::try_from(limit).unwrap_or(usize::MAX) }
            }
            _ => Self::Malformed,
        }
    }

    fn facts(&self) -> ErrorFacts {
        match self {
            Self::NotMultipart => ErrorFacts::new(Level::Warn, 415, "expected multipart/form-data"),
            Self::Malformed => ErrorFacts::new(Level::Warn, 400, "body is not multipart/form-data"),
            Self::TooManyParts { .. } => ErrorFacts::new(Level::Warn, 413, "too many parts"),
            Self::PartTooLarge { .. } => ErrorFacts::new(Level::Warn, 413, "part too large"),
            Self::UnnamedPart => ErrorFacts::new(Level::Warn, 422, "part without a name"),
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

impl fmt::Display for MultipartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMultipart => f.write_str("content type is not multipart/form-data"),
            Self::Malformed => f.write_str("body is not multipart/form-data, or has no end"),
            Self::TooManyParts { limit } => write!(f, "body has more than {limit} parts"),
            Self::PartTooLarge { limit } => write!(f, "a part is longer than {limit} bytes"),
            Self::UnnamedPart => f.write_str("a part has no name, or one that is too long"),
        }
    }
}

impl error::Error for MultipartError {}
