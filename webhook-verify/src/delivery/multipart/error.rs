use std::{error, fmt};

use crate::answer::{ErrorFacts, Level, response_accessors};

/// The parts of a body could not be read. The error contains no part of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MultipartError {
    /// The content type is not `multipart/form-data`.
    NotMultipart,
    /// The content type has no valid boundary, or the body is not valid for it: for example, a part
    /// has no header, or the closing boundary is missing.
    Malformed,
    /// The body has more parts than allowed.
    TooManyParts {
        /// The maximum number of parts.
        limit: usize,
    },
    /// A part is longer than allowed.
    PartTooLarge {
        /// The maximum length of a part, in bytes.
        limit: usize,
    },
    /// A part has no name, or a name that is longer than 256 bytes.
    UnnamedPart,
}

impl MultipartError {
    /// Converts the parser's error, without its text, which contains names of fields.
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
}

response_accessors!(MultipartError, answer);

impl fmt::Display for MultipartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMultipart => f.write_str("content type is not multipart/form-data"),
            Self::Malformed => {
                f.write_str("body is not multipart/form-data, or has no closing boundary")
            }
            Self::TooManyParts { limit } => write!(f, "body has more than {limit} parts"),
            Self::PartTooLarge { limit } => write!(f, "a part is longer than {limit} bytes"),
            Self::UnnamedPart => f.write_str("a part has no name, or a name that is too long"),
        }
    }
}

impl error::Error for MultipartError {}
