use std::{error, fmt, mem, sync::Arc};

use bytes::Bytes;

use super::{HeadFacts, Settings};
use crate::{
    delivery::Delivery,
    error::VerifyError,
    key::{Key, MacState},
    request::{Picked, RequestHead},
};

/// A request whose head was accepted and whose body is on its way: limit, buffer and hash, without any I/O.
///
/// Made by [`Verifier::begin`](crate::Verifier::begin). Memory grows with what was received, never with what was
/// declared.
#[must_use]
pub struct Incoming {
    settings: Arc<Settings>,
    facts: HeadFacts,
    /// A tenant's secrets, where the verifier's own are not the ones.
    keys: Option<Arc<[Key]>>,
    limit: usize,
    body: Buffer,
}

enum Buffer {
    /// One piece, passed on as it is and hashed at the end.
    Whole(Bytes),
    /// More pieces, joined, and hashed as they come: by `running`, which began with `keys`.
    Joined { body: Vec<u8>, running: Box<[MacState]>, keys: Arc<[Key]> },
}

impl Buffer {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Whole(body) => body,
            Self::Joined { body, .. } => body,
        }
    }
}

/// The body is longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodyTooLarge {
    /// The most bytes that were allowed.
    pub limit: usize,
}

impl Incoming {
    /// A request to be judged by the verifier's own secrets, unless it is given [others](Self::key).
    pub(crate) fn new(settings: &Arc<Settings>, limit: usize) -> Self {
        Self {
            settings: Arc::clone(settings),
            facts: HeadFacts::default(),
            keys: None,
            limit,
            body: Buffer::Whole(Bytes::new()),
        }
    }

    /// Reads the head.
    pub(crate) fn read_head<'a>(
        &mut self,
        head: &RequestHead<'a>,
        picked: &Picked<'_, 'a>,
    ) -> Result<(), VerifyError> {
        self.facts.read(&self.settings, head, picked)
    }

    /// Gives a tenant's secrets.
    pub(crate) fn key(&mut self, keys: Arc<[Key]>) {
        self.keys = Some(keys);
    }

    /// The secrets to judge by, as they are now.
    pub(crate) fn keys(&self) -> Arc<[Key]> {
        self.keys.as_ref().map_or_else(|| self.settings.keys(), Arc::clone)
    }

    /// Judges what the secrets can judge before the body is read.
    pub(crate) fn judge_head(&self) -> Result<(), VerifyError> {
        self.facts.judge_head(&self.settings, &self.keys())
    }

    /// Takes the next piece of the body.
    ///
    /// # Errors
    ///
    /// [`BodyTooLarge`] as soon as the pieces are longer than the limit together.
    pub fn update(&mut self, chunk: Bytes) -> Result<(), BodyTooLarge> {
        if chunk.len() > self.limit - self.body.bytes().len() {
            return Err(BodyTooLarge { limit: self.limit });
        }
        match &mut self.body {
            Buffer::Joined { body, running, .. } => {
                running.iter_mut().for_each(|mac| mac.update(&chunk));
                body.extend_from_slice(&chunk);
            }
            Buffer::Whole(body) if body.is_empty() => *body = chunk,
            Buffer::Whole(first) if !chunk.is_empty() => {
                let first = mem::take(first);
                let keys = self.keys();
                let mut running = self.facts.running(&self.settings, &keys);
                let mut body = Vec::with_capacity(2 * (first.len() + chunk.len()));
                for piece in [&first, &chunk] {
                    running.iter_mut().for_each(|mac| mac.update(piece));
                    body.extend_from_slice(piece);
                }
                self.body = Buffer::Joined { body, running, keys };
            }
            Buffer::Whole(_) => {}
        }
        Ok(())
    }

    /// The name of the key that the request is to be judged by, now that the body is complete.
    pub(crate) fn key_name(&mut self) -> Result<Option<String>, VerifyError> {
        let body = self.body.bytes();
        self.facts.look_into_body(&self.settings, body)?;
        self.facts.key_name(&self.settings, body)
    }

    /// The SHA-256 digest of the token that the request brings, now that the body is complete.
    pub(crate) fn token_digest(&mut self) -> Result<[u8; 32], VerifyError> {
        let body = self.body.bytes();
        self.facts.look_into_body(&self.settings, body)?;
        self.facts.token_digest()
    }

    /// Judges the signature, now that the body is complete.
    ///
    /// # Errors
    ///
    /// [`VerifyError`]: why the request is not authentic.
    pub fn finish(mut self) -> Result<Delivery, VerifyError> {
        self.judge()
    }

    /// [`finish`](Self::finish) without moving it.
    pub(crate) fn judge(&mut self) -> Result<Delivery, VerifyError> {
        let now = self.keys();
        let (body, running) = match mem::replace(&mut self.body, Buffer::Whole(Bytes::new())) {
            Buffer::Whole(body) => (body, Box::default()),
            // Secrets that were replaced since judge nothing any more.
            Buffer::Joined { body, running, keys } => {
                let are_live = Arc::ptr_eq(&keys, &now);
                (body.into(), if are_live { running } else { Box::default() })
            }
        };
        self.facts.judge(&self.settings, &now, running, body)
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl fmt::Display for BodyTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "body is longer than {} bytes", self.limit)
    }
}

impl error::Error for BodyTooLarge {}
