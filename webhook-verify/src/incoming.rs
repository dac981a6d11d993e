use std::{error, fmt};

use bytes::Bytes;

use crate::{Delivery, VerifyError, verification::Verification};

/// A request whose head was accepted and whose body is on its way: limit, buffer and hash, without any I/O.
///
/// Made by [`Verifier::begin`](crate::Verifier::begin). Memory grows with what was received, never with what was
/// declared.
#[must_use]
pub struct Incoming {
    verification: Verification,
    limit: usize,
    body: Buffer,
}

/// A body of one piece is passed on as it is; more pieces are joined.
enum Buffer {
    Whole(Bytes),
    Joined(Vec<u8>),
}

/// The body is longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodyTooLarge {
    /// The most bytes that were allowed.
    pub limit: usize,
}

impl Incoming {
    pub(crate) fn new(verification: Verification, limit: usize) -> Self {
        Self {
            verification,
            limit,
            body: Buffer::Whole(Bytes::new()),
        }
    }

    /// Takes the next piece of the body.
    ///
    /// # Errors
    ///
    /// [`BodyTooLarge`] as soon as the pieces are longer than the limit together.
    pub fn update(&mut self, chunk: Bytes) -> Result<(), BodyTooLarge> {
        let len = match &self.body {
            Buffer::Whole(body) => body.len(),
            Buffer::Joined(body) => body.len(),
        };
        if chunk.len() > self.limit - len {
            return Err(BodyTooLarge { limit: self.limit });
        }
        self.verification.update(&chunk);
        match &mut self.body {
            Buffer::Joined(body) => body.extend_from_slice(&chunk),
            Buffer::Whole(body) if body.is_empty() => *body = chunk,
            Buffer::Whole(body) => {
                let mut joined = Vec::with_capacity(body.len() + chunk.len());
                joined.extend_from_slice(body);
                joined.extend_from_slice(&chunk);
                self.body = Buffer::Joined(joined);
            }
        }
        Ok(())
    }

    /// Judges the signature, now that the body is complete.
    ///
    /// # Errors
    ///
    /// [`VerifyError`]: why the request is not authentic.
    pub fn finish(self) -> Result<Delivery, VerifyError> {
        let body = match self.body {
            Buffer::Whole(body) => body,
            Buffer::Joined(body) => body.into(),
        };
        self.verification.finish(body)
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for BodyTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "body is longer than {} bytes", self.limit)
    }
}

impl error::Error for BodyTooLarge {}
