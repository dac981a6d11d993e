use std::{error, fmt, sync::Arc};

use bytes::Bytes;

use crate::{Delivery, VerifyError, key::Mac, verification::HeadFacts, verifier::Settings};

/// A request whose head was accepted and whose body is on its way: limit, buffer and hash, without any I/O.
///
/// Made by [`Verifier::begin`](crate::Verifier::begin). Memory grows with what was received, never with what was
/// declared.
#[must_use]
pub struct Incoming {
    settings: Arc<Settings>,
    facts: HeadFacts,
    /// A tenant's secrets, where the verifier's own are not the ones.
    keys: Option<Box<[Mac]>>,
    limit: usize,
    body: Buffer,
}

enum Buffer {
    /// One piece, passed on as it is and hashed at the end.
    Whole(Bytes),
    /// More pieces, joined, and hashed as they come.
    Joined { body: Vec<u8>, running: Box<[Mac]> },
}

/// The body is longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodyTooLarge {
    /// The most bytes that were allowed.
    pub limit: usize,
}

impl Incoming {
    /// `keys` are a tenant's; `None` stands for the verifier's own.
    pub(crate) fn new(
        settings: &Arc<Settings>,
        facts: HeadFacts,
        keys: Option<Box<[Mac]>>,
        limit: usize,
    ) -> Result<Self, VerifyError> {
        match &keys {
            Some(keys) => facts.judge_head(settings, keys)?,
            None => facts.judge_head(settings, &settings.keys())?,
        }
        let (settings, body) = (Arc::clone(settings), Buffer::Whole(Bytes::new()));
        Ok(Self {
            settings,
            facts,
            keys,
            limit,
            body,
        })
    }

    /// Takes the next piece of the body.
    ///
    /// # Errors
    ///
    /// [`BodyTooLarge`] as soon as the pieces are longer than the limit together.
    pub fn update(&mut self, chunk: Bytes) -> Result<(), BodyTooLarge> {
        let len = match &self.body {
            Buffer::Whole(body) => body.len(),
            Buffer::Joined { body, .. } => body.len(),
        };
        if chunk.len() > self.limit - len {
            return Err(BodyTooLarge { limit: self.limit });
        }
        match &mut self.body {
            Buffer::Joined { body, running } => {
                running.iter_mut().for_each(|mac| mac.update(&chunk));
                body.extend_from_slice(&chunk);
            }
            Buffer::Whole(body) if body.is_empty() => *body = chunk,
            Buffer::Whole(first) if !chunk.is_empty() => {
                let mut running = match &self.keys {
                    Some(keys) => self.facts.running(&self.settings, keys),
                    None => self.facts.running(&self.settings, &self.settings.keys()),
                };
                let mut body = Vec::with_capacity(2 * (first.len() + chunk.len()));
                for piece in [&*first, &chunk] {
                    running.iter_mut().for_each(|mac| mac.update(piece));
                    body.extend_from_slice(piece);
                }
                self.body = Buffer::Joined { body, running };
            }
            Buffer::Whole(_) => {}
        }
        Ok(())
    }

    /// Judges the signature, now that the body is complete.
    ///
    /// # Errors
    ///
    /// [`VerifyError`]: why the request is not authentic.
    pub fn finish(mut self) -> Result<Delivery, VerifyError> {
        let (body, running) = match self.body {
            Buffer::Whole(body) => (body, Box::default()),
            Buffer::Joined { body, running } => (body.into(), running),
        };
        let settings = &*self.settings;
        match &self.keys {
            Some(keys) => self.facts.judge(settings, keys, &running, body),
            None => self.facts.judge(settings, &settings.keys(), &running, body),
        }
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
