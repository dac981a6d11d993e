use std::{fmt, sync::Arc, time::Duration};

use super::{Inner, Receiver};
use crate::{ConfigError, Idempotency, Verifier, tenant::Resolve};

/// Builds a [`Receiver`].
#[must_use]
pub struct ReceiverBuilder {
    pub(super) verifier: Verifier,
    pub(super) body_limit: usize,
    pub(super) body_timeout: Duration,
    pub(super) idempotency: Option<Idempotency>,
    pub(super) tenants: Option<Box<Resolve>>,
}

impl ReceiverBuilder {
    /// The longest body that is read, in bytes. Default: what the sender is known to send, else 1 MiB.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// How long a body may keep us waiting, from the first wait to its end. Default: 10 s.
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.body_timeout = timeout;
        self
    }

    /// Runs each delivery once. Without this, every verified request reaches the handler.
    pub fn idempotency(mut self, idempotency: Idempotency) -> Self {
        self.idempotency = Some(idempotency);
        self
    }

    /// Checks the settings as a whole.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Option`] that names the option.
    pub fn build(self) -> Result<Receiver, ConfigError> {
        if self.body_timeout.is_zero() {
            return Err(ConfigError::option("body_timeout", "zero"));
        }
        if let Some(idempotency) = &self.idempotency {
            idempotency.check(&self.verifier)?;
        }
        Ok(self.assemble())
    }

    pub(super) fn assemble(self) -> Receiver {
        let Self {
            verifier,
            body_limit,
            body_timeout,
            idempotency,
            tenants,
        } = self;
        let idempotency = idempotency.map(Arc::new);
        Receiver {
            inner: Arc::new(Inner {
                verifier,
                body_limit,
                body_timeout,
                idempotency,
                tenants,
            }),
        }
    }
}

impl fmt::Debug for ReceiverBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiverBuilder")
            .field("verifier", &self.verifier)
            .field("idempotency", &self.idempotency)
            .finish_non_exhaustive()
    }
}
