use std::{error, fmt, mem, sync::Arc};

use bytes::Bytes;

use super::{HeadFacts, Settings};
use crate::{
    delivery::Delivery,
    error::VerifyError,
    key::{Keys, MacState},
    request::{Picked, RequestHead, coding::Decoder},
};

/// A request with an accepted head and an unfinished body: limit, buffer and hash, without any I/O.
///
/// Created by [`Verifier::begin`](crate::Verifier::begin). Memory grows with the bytes received,
/// not with the declared length.
#[must_use]
pub struct Incoming {
    settings: Arc<Settings>,
    facts: HeadFacts,
    /// A tenant's secrets, which replace the verifier's own.
    keys: Option<Arc<Keys>>,
    limit: usize,
    /// The bytes received.
    received: usize,
    body: Buffer,
}

enum Buffer {
    /// One piece, kept without a copy and hashed at the end.
    Whole(Bytes),
    /// Several pieces, joined, and hashed on arrival by `running`, which started with `keys`.
    Joined { body: Vec<u8>, running: Box<[MacState]>, keys: Arc<Keys> },
    /// A compressed body, decoded on arrival and hashed at the end.
    Decoding(Box<Decoder>),
}

impl Buffer {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Whole(body) => body,
            Self::Joined { body, .. } => body,
            Self::Decoding(_) => &[],
        }
    }
}

/// The body is longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodyTooLarge {
    /// The maximum length, in bytes. `None` if another layer has the limit.
    pub limit: Option<usize>,
}

impl BodyTooLarge {
    /// Returns the error for a body that exceeds a lower limit outside of the receiver, such as
    /// that of an outer layer. If an adapter's stream yields this error, the client gets 413.
    #[must_use]
    pub fn outside() -> Self {
        Self { limit: None }
    }
}

impl From<usize> for BodyTooLarge {
    fn from(limit: usize) -> Self {
        Self { limit: Some(limit) }
    }
}

impl Incoming {
    /// Creates a request for the verifier's own secrets, unless it gets [others](Self::key).
    pub(crate) fn new(settings: &Arc<Settings>, limit: usize) -> Self {
        Self {
            settings: Arc::clone(settings),
            facts: HeadFacts::default(),
            keys: None,
            limit,
            received: 0,
            body: Buffer::Whole(Bytes::new()),
        }
    }

    /// Reads the head.
    pub(crate) fn read_head<'a>(
        &mut self,
        head: &RequestHead<'a>,
        picked: &Picked<'_, 'a>,
    ) -> Result<(), VerifyError> {
        self.facts.read(&self.settings, head, picked)?;
        if let Some(coding) = self.facts.coding_before(&self.settings) {
            self.body = Buffer::Decoding(Box::new(Decoder::new(coding, self.limit)));
        }
        Ok(())
    }

    /// Replaces the secrets with a tenant's.
    pub(crate) fn key(&mut self, keys: Arc<Keys>) {
        self.keys = Some(keys);
    }

    /// Returns the secrets to verify with, as they are now.
    pub(crate) fn keys(&self) -> Arc<Keys> {
        self.keys.as_ref().map_or_else(|| self.settings.keys(), Arc::clone)
    }

    /// Verifies what the secrets can verify before the body is read.
    pub(crate) fn judge_head(&self) -> Result<(), VerifyError> {
        self.facts.judge_head(&self.settings, &self.keys())
    }

    /// Adds the next piece of the body.
    ///
    /// # Errors
    ///
    /// [`BodyTooLarge`] as soon as the pieces together exceed the limit. If the scheme signs the
    /// decoded bytes of a compressed body, the decoded bytes must also fit the limit.
    pub fn update(&mut self, chunk: Bytes) -> Result<(), BodyTooLarge> {
        if chunk.len() > self.limit - self.received {
            return Err(BodyTooLarge::from(self.limit));
        }
        self.received += chunk.len();
        match &mut self.body {
            Buffer::Decoding(decoder) => {
                decoder.push(&chunk);
                if let Some(limit) = decoder.exceeded() {
                    return Err(BodyTooLarge::from(limit));
                }
            }
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

    /// Finishes decoding a complete body, and extracts the JSON from a form.
    fn decode(&mut self) -> Result<(), VerifyError> {
        if let Buffer::Decoding(_) = &self.body
            && let Buffer::Decoding(decoder) =
                mem::replace(&mut self.body, Buffer::Whole(Bytes::new()))
        {
            self.body = Buffer::Whole(decoder.finish()?.into());
        }
        if let Some(body) = self.facts.open_form(&self.settings, self.body.bytes())? {
            self.body = Buffer::Whole(body);
        }
        Ok(())
    }

    /// Returns the name of the key that the complete request names.
    pub(crate) fn key_name(&mut self) -> Result<Option<String>, VerifyError> {
        self.decode()?;
        let body = self.body.bytes();
        self.facts.look_into_body(&self.settings, body)?;
        self.facts.key_name(&self.settings, body)
    }

    /// Returns the SHA-256 digest of the complete request's token.
    pub(crate) fn token_digest(&mut self) -> Result<[u8; 32], VerifyError> {
        self.decode()?;
        let body = self.body.bytes();
        let readable = self.facts.readable(&self.settings, body)?;
        self.facts.look_into_body(&self.settings, readable.as_deref().unwrap_or(body))?;
        self.facts.token_digest()
    }

    /// Returns the number of bytes of the body that have arrived.
    pub(crate) fn received(&self) -> usize {
        self.received
    }

    /// Returns a refused request's complete body as sent. Returns `None` if the body was decoded or
    /// taken from a form.
    pub(crate) fn as_sent(&self) -> Option<&Bytes> {
        match &self.body {
            Buffer::Whole(body) if body.len() == self.received => Some(body),
            Buffer::Whole(_) | Buffer::Joined { .. } | Buffer::Decoding(_) => None,
        }
    }

    /// Verifies the signature over the complete body.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] if the request is not authentic.
    pub fn finish(mut self) -> Result<Delivery, VerifyError> {
        self.judge()
    }

    /// Does the same as [`finish`](Self::finish), without consuming it.
    pub(crate) fn judge(&mut self) -> Result<Delivery, VerifyError> {
        self.decode()?;
        let now = self.keys();
        let (mut body, running) = match mem::replace(&mut self.body, Buffer::Whole(Bytes::new())) {
            Buffer::Whole(body) => (body, Box::default()),
            Buffer::Decoding(_) => return Err(VerifyError::MalformedCoding),
            // Secrets that were replaced in the meantime are no longer valid.
            Buffer::Joined { body, running, keys } => {
                let are_live = Arc::ptr_eq(&keys, &now);
                (body.into(), if are_live { running } else { Box::default() })
            }
        };
        let judged = self.facts.judge(&self.settings, &now, running, &mut body, self.limit);
        self.body = Buffer::Whole(body);
        judged
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl fmt::Display for BodyTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            Some(limit) => write!(f, "body is longer than {limit} bytes"),
            None => f.write_str("body is longer than a limit outside of the receiver"),
        }
    }
}

impl error::Error for BodyTooLarge {}
