use std::{error, fmt, sync::Arc, time::Duration};

use super::{
    Handshake, Idempotency, Receiver, handshake::OnHandshake, receiver::Inner, secrets::Source,
};
use crate::{delivery::Filter, error::ConfigError, verify::Verifier};

/// Builds a [`Receiver`].
#[must_use]
pub struct ReceiverBuilder {
    pub(super) verifier: Verifier,
    pub(super) body_limit: usize,
    pub(super) body_timeout: Duration,
    pub(super) idempotency: Option<Idempotency>,
    pub(super) source: Source,
    pub(super) on_handshake: Option<Box<OnHandshake>>,
    pub(super) filter: Filter,
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

    /// Lets only events of these types through to the handler: those that [match](crate::event::matches) one of the patterns.
    /// A delivery of others is acknowledged with 204, never refused, as many senders turn a webhook off that refuses. Of a
    /// delivery of several events, the others are left out of its [events](crate::Delivery::events).
    ///
    /// An event type that is not [signed](crate::Scheme::event_type_is_signed) is the client's word.
    ///
    /// ```
    /// use webhook_verify::{Receiver, Verifier, scheme};
    ///
    /// let verifier = Verifier::new(scheme::HOST_UK_CORE_API, "a secret")?;
    /// let receiver = Receiver::builder(verifier)
    ///     .only(["contact.*", "post.created"])
    ///     .only_where("/data/status", "published")
    ///     .build()?;
    /// # Ok::<(), webhook_verify::ConfigError>(())
    /// ```
    pub fn only<P: Into<String>>(mut self, patterns: impl IntoIterator<Item = P>) -> Self {
        self.filter.add_patterns(patterns);
        self
    }

    /// Lets only events through that have this value at a JSON pointer (RFC 6901), which leads on from the event: a string's
    /// content, or a number or boolean as it is written. Where it is said several times, all must hold.
    pub fn only_where(mut self, pointer: impl Into<String>, value: impl Into<String>) -> Self {
        self.filter.add_field(pointer.into(), value.into());
        self
    }

    /// Takes the secrets that come in handshakes, as Asana and Notion send them before their deliveries. Without this,
    /// handshakes are refused.
    ///
    /// **Anybody can send such a request**, with a secret of his own to sign with. So accept one only while a set-up is
    /// pending that you began, and as few as that takes. `Ok` is answered as the sender expects it; an error, or no end
    /// within 5 s, is answered 503. What `on_handshake` returns is dropped when the client goes away.
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
    /// use webhook_verify::{Handshake, Receiver, Verifier, scheme};
    ///
    /// let verifier = Verifier::builder(scheme::ASANA).build_without_secrets()?;
    /// let live = verifier.clone();
    /// // set just before Asana is asked for a webhook
    /// let pending = Arc::new(AtomicBool::new(false));
    /// let receiver = Receiver::builder(verifier)
    ///     .on_handshake(move |handshake: Handshake| {
    ///         let (live, pending) = (live.clone(), Arc::clone(&pending));
    ///         async move {
    ///             if !pending.swap(false, Ordering::SeqCst) {
    ///                 return Err("no set-up is pending".into());
    ///             }
    ///             // and store it
    ///             live.replace_secrets([handshake.secret])?;
    ///             Ok(())
    ///         }
    ///     })
    ///     .build()?;
    /// # Ok::<(), webhook_verify::ConfigError>(())
    /// ```
    pub fn on_handshake<F>(mut self, take: impl Fn(Handshake) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Box<dyn error::Error + Send + Sync>>> + Send + 'static,
    {
        self.on_handshake = Some(Box::new(move |handshake| Box::pin(take(handshake))));
        self
    }

    /// Checks the settings as a whole.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Option`] that names the option.
    pub fn build(mut self) -> Result<Receiver, ConfigError> {
        if self.body_timeout.is_zero() {
            return Err(ConfigError::option("body_timeout", "zero"));
        }
        if self.on_handshake.is_some() && !self.verifier.scheme().has_handshake() {
            return Err(ConfigError::option("on_handshake", "the scheme has no handshake"));
        }
        self.filter.check(self.verifier.scheme())?;
        if let Some(idempotency) = self.idempotency.take() {
            self.idempotency = Some(idempotency.build(&self.verifier)?);
        }
        Ok(self.assemble())
    }

    pub(super) fn assemble(self) -> Receiver {
        let Self { verifier, body_limit, body_timeout, idempotency, source, on_handshake, filter } =
            self;
        let filter = (!filter.is_empty()).then(|| Arc::new(filter));
        let idempotency = idempotency.map(Arc::new);
        Receiver {
            inner: Arc::new(Inner {
                verifier,
                body_limit,
                body_timeout,
                idempotency,
                source,
                on_handshake,
                filter,
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
