use std::{error, fmt};

use crate::answer::Answer;

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
            multer::Error::FieldSizeExceeded { limit, .. } => Self::PartTooLarge {
                limit: usize::try_from(limit).unwrap_or(usize::MAX),
            },
            _ => Self::Malformed,
        }
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::NotMultipart => 415,
            Self::Malformed => 400,
            Self::TooManyParts { .. } | Self::PartTooLarge { .. } => 413,
            Self::UnnamedPart => 422,
        }
    }

    /// The text of the answer.
    #[must_use]
    pub fn public_message(&self) -> &'static str {
        match self {
            Self::NotMultipart => "expected multipart/form-data",
            Self::Malformed => "body is not multipart/form-data",
            Self::TooManyParts { .. } => "too many parts",
            Self::PartTooLarge { .. } => "part too large",
            Self::UnnamedPart => "part without a name",
        }
    }

    /// The answer as a whole. Logs the error.
    #[must_use]
    pub fn answer(&self) -> Answer {
        tracing::warn!(target: "webhook_verify", "{self}");
        Answer::text(self.status(), self.public_message())
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
