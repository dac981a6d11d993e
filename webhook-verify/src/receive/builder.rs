use std::{fmt, sync::Arc, time::Duration};

use super::{
    Handshake, Idempotency, Receiver, Tenant,
    handshake::OnHandshake,
    intake::Intake,
    meter::Meter,
    receiver::Inner,
    secrets::Source,
    tenant::{BoxError, call},
};
use crate::{
    claim::LogLimit,
    delivery::Filter,
    error::ConfigError,
    explain::Effort,
    key::Secret,
    request::RequestHead,
    scheme::Proof,
    timer::Timer,
    verify::{Verifier, VerifierBuilder},
};

/// How many refusals with one reason are logged at once in development.
const DEVELOPMENT_BURST: u32 = 100;

/// Builds a [`Receiver`].
#[must_use]
pub struct ReceiverBuilder {
    verifier: Unbuilt,
    body_limit: Option<usize>,
    body_timeout: Option<Duration>,
    idempotency: Option<Idempotency>,
    intakes: Vec<Arc<dyn Intake>>,
    sources: Vec<Source>,
    on_handshake: Option<Box<OnHandshake>>,
    required: Option<Proof>,
    challenges: bool,
    filter: Filter,
    timer: Option<Timer>,
    endpoint: Option<String>,
    effort: Effort,
    /// Whether the effort may be large in a release build.
    is_effort_forced: bool,
}

/// A verifier, or the builder of one that may have no secrets.
#[derive(Debug)]
#[expect(unnameable_types, reason = "callers pass a verifier or its builder")]
pub enum Unbuilt {
    Verifier(Box<Verifier>),
    Builder(Box<VerifierBuilder>),
}

impl From<Verifier> for Unbuilt {
    fn from(verifier: Verifier) -> Self {
        Self::Verifier(Box::new(verifier))
    }
}

impl From<VerifierBuilder> for Unbuilt {
    fn from(builder: VerifierBuilder) -> Self {
        Self::Builder(Box::new(builder))
    }
}

impl ReceiverBuilder {
    pub(super) fn new(verifier: Unbuilt) -> Self {
        Self {
            verifier,
            body_limit: None,
            body_timeout: None,
            idempotency: None,
            intakes: Vec::new(),
            sources: Vec::new(),
            on_handshake: None,
            required: None,
            challenges: true,
            filter: Filter::default(),
            timer: None,
            endpoint: None,
            effort: Effort::SMALL,
            is_effort_forced: false,
        }
    }

    /// Sets the maximum length of a body, in bytes. The default is what the sender is known to
    /// send, otherwise 1 MiB.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = Some(bytes);
        self
    }

    /// Sets how long a body may take from its first wait to its end. The default is 10 s.
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.body_timeout = Some(timeout);
        self
    }

    /// Sets the receiver's name in logs and metrics. The default is the endpoint passed to
    /// [`Idempotency::new`], or the scheme's name without idempotency.
    pub fn endpoint(mut self, name: impl Into<String>) -> Self {
        self.endpoint = Some(name.into());
        self
    }

    /// Makes [`build`](Self::build) return an error if the scheme's signature covers less than
    /// `proof`. Require [`Proof::Body`] if the handler acts on the content, for example if it
    /// passes the content to a language model or books a payment.
    ///
    /// ```
    /// use webhook_verify::{ConfigError, Proof, Receiver, Verifier, scheme};
    ///
    /// let build = |scheme| {
    ///     let verifier = Verifier::new(scheme, "a secret")?;
    ///     Receiver::builder(verifier).require(Proof::Body).build()
    /// };
    /// assert!(build(scheme::GITHUB).is_ok());
    /// let error = build(scheme::MAILGUN).unwrap_err();
    /// assert!(matches!(error.kind(), ConfigError::Option { option: "require", .. }));
    /// # Ok::<(), ConfigError>(())
    /// ```
    pub fn require(mut self, proof: Proof) -> Self {
        self.required = Some(proof);
        self
    }

    /// Explains refusals in the log with the same attempts as
    /// [`Explainer`](crate::explain::Explainer). For development only.
    ///
    /// Without this, the fields `cause`, `hint` and `fix` of the log are the result of fewer
    /// attempts. For each refusal in the log, the receiver hashes at most 4 MiB, and skips bodies over
    /// 64 KiB. With it, the limits are 48 MiB and 1 MiB. The log then contains up to 100 refusals with
    /// one reason at once, in place of five. Anyone who can reach the endpoint can cause this work, so
    /// [`build`](Self::build) returns an error in release builds.
    #[cfg(feature = "explain")]
    pub fn explain_refusals(mut self) -> Self {
        self.effort = Effort::LARGE;
        self
    }

    /// Does the same as [`explain_refusals`](Self::explain_refusals), in release builds too. Do not
    /// leave it on: unauthenticated requests can keep the service busy.
    #[cfg(feature = "explain")]
    pub fn explain_refusals_in_release(mut self) -> Self {
        (self.effort, self.is_effort_forced) = (Effort::LARGE, true);
        self
    }

    /// Runs each delivery once. Without this, every verified request reaches the handler.
    pub fn idempotency(mut self, idempotency: Idempotency) -> Self {
        self.idempotency = Some(idempotency);
        self
    }

    /// Passes verified deliveries to `intake` in place of a handler.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn intake(mut self, intake: Arc<dyn Intake>) -> Self {
        self.intakes.push(intake);
        self
    }

    /// Sets the source of delays for time limits, such as `tokio::time::sleep`. The adapters for
    /// axum and actix-web use tokio's unless you set another.
    pub fn timer<S>(mut self, sleep: impl Fn(Duration) -> S + Send + Sync + 'static) -> Self
    where
        S: Future<Output = ()> + Send + 'static,
    {
        self.timer = Some(Timer::new(sleep));
        self
    }

    /// Verifies each request with the secrets of its tenant. The verifier has none.
    ///
    /// `resolve` finds the tenant by the request's head, such as the path or a header, before the
    /// body is read. `Ok(None)` means that the tenant is unknown, and the client gets 401. After an
    /// error, a panic, or no result within 5 s, the client gets 503. The receiver refuses an
    /// unknown tenant earlier than a known one, so a client can find out which names exist.
    ///
    /// ```
    /// use webhook_verify::{Receiver, RequestHead, Secret, Tenant, Verifier, scheme};
    ///
    /// let receiver = Receiver::builder(Verifier::builder(scheme::GITHUB))
    ///     .tenants(|head: &RequestHead<'_>| {
    ///         let name = head.path().strip_prefix("/hooks/").unwrap_or_default().to_owned();
    ///         async move {
    ///             let secret = match name.as_str() {
    ///                 "acme" => "a secret out of a database",
    ///                 _ => return Ok(None),
    ///             };
    ///             Ok(Some(Tenant::new(name, [Secret::new(secret)?])))
    ///         }
    ///     })
    ///     .build()?;
    /// # Ok::<(), webhook_verify::ConfigError>(())
    /// ```
    pub fn tenants<F>(
        mut self,
        resolve: impl Fn(&RequestHead<'_>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Option<Tenant>, BoxError>> + Send + 'static,
    {
        self.sources.push(Source::Tenants(Box::new(move |head| call("tenants", || resolve(head)))));
        self
    }

    /// Verifies each request with the public key that it names. The verifier has no secrets.
    ///
    /// `look_up` gets the name: the address of a certificate (PayPal, Amazon SNS), always `https`
    /// and on one of the sender's own hosts, or the ID of a key (Plaid). `Ok(None)` means that the
    /// key is unknown, and the client gets 401. After an error, a panic, a text that is not a key,
    /// or no result within 5 s, the client gets 503.
    ///
    /// This crate opens no connections, so `look_up` fetches and caches the keys. It is called for
    /// each request with a signature, before that is verified, so the client chooses the name: any
    /// address on the sender's hosts. Cache a few found keys, and limit the rate of other lookups.
    ///
    /// ```
    /// use webhook_verify::{Receiver, Secret, Verifier, scheme};
    ///
    /// # const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
    /// let verifier = Verifier::builder(scheme::PAYPAL)
    ///     .parameter("webhook_id", "8PT597110X687430LKGECATA");
    /// let receiver = Receiver::builder(verifier)
    ///     .key_lookup(|name: &str| {
    ///         let key = match name {
    ///             "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270" => {
    ///                 Some(Secret::new(CERTIFICATE))
    ///             }
    ///             // Here: from a cache, or fetched.
    ///             _ => None,
    ///         };
    ///         async move { Ok(key.transpose()?) }
    ///     })
    ///     .build()?;
    /// # Ok::<(), webhook_verify::ConfigError>(())
    /// ```
    pub fn key_lookup<F>(mut self, look_up: impl Fn(&str) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Option<Secret>, BoxError>> + Send + 'static,
    {
        self.sources
            .push(Source::Named(Box::new(move |name| call("key_lookup", || look_up(name)))));
        self
    }

    /// Verifies each request with the secret of the tenant that its token belongs to. The verifier
    /// has no secrets.
    ///
    /// `look_up` gets the SHA-256 digest of the request's token (with Basic authentication, of
    /// `name:password`), never the token itself. Look the digest up in an indexed column: the time
    /// that takes reveals only digests, which a client cannot choose. The returned tenant has the
    /// token as its secret, which is compared in constant time. The handler gets its namespace from
    /// [`Delivery::namespace`](crate::Delivery::namespace).
    ///
    /// `Ok(None)` means that the token is unknown, and the client gets the same 401 as for a wrong
    /// token. After an error, a panic, or no result within 5 s, the client gets 503. A request may
    /// contain its token in several places, some of them in the body, and they must agree. So the
    /// lookup runs after the body was read, and the time of a refusal does not reveal which tokens
    /// exist. `look_up` is called for each request with a token.
    ///
    /// ```
    /// use sha2::{Digest, Sha256};
    /// use webhook_verify::{Receiver, Secret, Tenant, Verifier, scheme};
    ///
    /// const TOKEN: &str = "a29a4f16-989d-48c8-ab54-7b6150733ba1";
    ///
    /// let receiver = Receiver::builder(Verifier::builder(scheme::PIPEFORCE_TOKEN))
    ///     .token_lookup(|digest: [u8; 32]| async move {
    ///         // Here: from a database, by the digest.
    ///         if digest != *Sha256::digest(TOKEN) {
    ///             return Ok(None);
    ///         }
    ///         Ok(Some(Tenant::new("webhook.lead.created", [Secret::new(TOKEN)?])))
    ///     })
    ///     .build()?;
    ///
    /// // A scheme that signs has no tokens.
    /// let signing = Receiver::builder(Verifier::builder(scheme::GITHUB));
    /// assert!(signing.token_lookup(|_| async { Ok(None) }).build().is_err());
    /// # Ok::<(), webhook_verify::ConfigError>(())
    /// ```
    pub fn token_lookup<F>(
        mut self,
        look_up: impl Fn([u8; 32]) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Option<Tenant>, BoxError>> + Send + 'static,
    {
        self.sources
            .push(Source::Tokens(Box::new(move |digest| call("token_lookup", || look_up(digest)))));
        self
    }

    /// Passes only events whose type [matches](crate::event::matches) one of the patterns to the
    /// handler. A delivery of other events gets 204: many senders disable a webhook that refuses. A
    /// delivery of several events loses the others.
    ///
    /// The client chooses an event type that is not [signed](crate::Scheme::event_type_is_signed).
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

    /// Passes only events that have this value at a JSON pointer (RFC 6901), relative to the event:
    /// the content of a string, or a number or boolean as written. All conditions must hold.
    pub fn only_where(mut self, pointer: impl Into<String>, value: impl Into<String>) -> Self {
        self.filter.add_field(pointer.into(), value.into());
        self
    }

    /// Turns off responses to [verification handshakes](crate::scheme::Challenge), for example if
    /// another route responds to them. Handshakes are then refused like any other request that is
    /// not a delivery.
    pub fn without_challenges(mut self) -> Self {
        self.challenges = false;
        self
    }

    /// Accepts the secrets that senders such as Asana and Notion send in a handshake before their
    /// deliveries. Without this, handshakes are refused.
    ///
    /// **Anyone can send such a request**, with a secret of their own. So accept a secret only
    /// while a set-up that you began is pending, and no more than it needs. After `Ok`, the sender
    /// gets the response that it expects. After an error, a panic, or no result within 5 s, it gets
    /// 503. The future is dropped if the client disconnects.
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
    /// use webhook_verify::{Handshake, Receiver, Verifier, scheme};
    ///
    /// let verifier = Verifier::builder(scheme::ASANA).build_without_secrets()?;
    /// let live = verifier.clone();
    /// // Set just before you request the webhook from Asana.
    /// let pending = Arc::new(AtomicBool::new(false));
    /// let receiver = Receiver::builder(verifier)
    ///     .on_handshake(move |handshake: Handshake| {
    ///         let (live, pending) = (live.clone(), Arc::clone(&pending));
    ///         async move {
    ///             if !pending.swap(false, Ordering::SeqCst) {
    ///                 return Err("no set-up is pending".into());
    ///             }
    ///             // Also store it.
    ///             live.replace_secrets([handshake.secret])?;
    ///             Ok(())
    ///         }
    ///     })
    ///     .build()?;
    /// # Ok::<(), webhook_verify::ConfigError>(())
    /// ```
    pub fn on_handshake<F>(mut self, take: impl Fn(Handshake) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.on_handshake =
            Some(Box::new(move |handshake| call("on_handshake", || take(handshake))));
        self
    }

    /// Checks the settings as a whole. Only a missing [timer](Self::timer) shows at the first
    /// request: adapters set theirs later.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] that names the option, that of the [verifier](VerifierBuilder::build), or
    /// [`ConfigError::SecretCount`] if a verifier with a lookup has secrets.
    pub fn build(self) -> Result<Receiver, ConfigError> {
        let scheme = match &self.verifier {
            Unbuilt::Verifier(verifier) => verifier.scheme().name().to_owned(),
            Unbuilt::Builder(builder) => builder.scheme_name().to_owned(),
        };
        let of_claims = self.idempotency.as_ref().map(|it| Arc::clone(&it.keeper.endpoint));
        let endpoint = self.endpoint.clone().or(of_claims.map(|it| it.to_string()));
        self.build_unnamed().map_err(|error| {
            let error = error.about_scheme(&scheme);
            match endpoint.filter(|endpoint| !endpoint.is_empty()) {
                Some(endpoint) => error.about(format!("endpoint `{endpoint}`")),
                None => error,
            }
        })
    }

    fn check_effort(&self, is_debug_build: bool) -> Result<(), ConfigError> {
        if self.effort == Effort::LARGE && !self.is_effort_forced && !is_debug_build {
            return Err(ConfigError::option(
                "explain_refusals",
                "costs too much in a release build: remove it, or call \
                 `explain_refusals_in_release` for a short time",
            ));
        }
        Ok(())
    }

    /// Returns errors without the endpoint.
    fn build_unnamed(mut self) -> Result<Receiver, ConfigError> {
        self.check_effort(cfg!(debug_assertions))?;
        let source = self.source()?;
        let verifier = match self.verifier {
            Unbuilt::Verifier(verifier) => *verifier,
            Unbuilt::Builder(builder) => match source {
                Source::Verifier if self.on_handshake.is_some() && !builder.has_secrets() => {
                    builder.build_without_secrets()?
                }
                Source::Verifier => builder.build()?,
                Source::Tenants(_) | Source::Named(_) | Source::Tokens(_) => {
                    builder.build_keyless()?
                }
            },
        };
        source.check(&verifier)?;
        if self.body_timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(ConfigError::option("body_timeout", "zero"));
        }
        let scheme = verifier.scheme();
        if self.on_handshake.is_some() && !scheme.has_handshake() {
            return Err(ConfigError::option("on_handshake", "the scheme has no handshake"));
        }
        if self.challenges
            && let Some((challenge, parameter)) = verifier.missing_parameter()
        {
            let reason = format!(
                "the handshake `{challenge}` needs `{parameter}`: set it on the verifier, or turn \
                 handshakes off with `without_challenges`"
            );
            return Err(ConfigError::option("parameter", reason));
        }
        self.required.map_or(Ok(()), |required| scheme.check_proof(required))?;
        self.filter.check(scheme)?;
        if scheme.is_unproven() {
            tracing::warn!(
                target: "webhook_verify",
                scheme = scheme.name(),
                "only third parties say that the sender signs this way: check it with a real \
                 delivery"
            );
        }
        let intake = self.intakes.pop();
        if !self.intakes.is_empty() {
            return Err(ConfigError::option("inbox", "a second inbox"));
        }
        if intake.is_some() && self.idempotency.is_some() {
            return Err(ConfigError::option(
                "idempotency",
                "an inbox recognizes duplicates by itself: set the options on the inbox",
            ));
        }
        let idempotency = self.idempotency.map(|it| it.build(&verifier)).transpose()?;
        let intake = intake.map(|it| it.build(&verifier)).transpose()?;
        if self.endpoint.as_ref().is_some_and(String::is_empty) {
            return Err(ConfigError::option("endpoint", "empty"));
        }
        let of_claims = idempotency.as_ref().map(|it| &it.keeper.endpoint);
        let of_claims = of_claims.or(intake.as_ref().map(|it| it.endpoint())).cloned();
        let inner = Inner::new(verifier);
        let endpoint =
            self.endpoint.map(Arc::from).or(of_claims).unwrap_or_else(|| inner.endpoint.clone());
        Ok(Receiver {
            inner: Arc::new(Inner {
                meter: Meter::new(&endpoint, inner.verifier.scheme().name()),
                endpoint,
                body_limit: self.body_limit.unwrap_or(inner.body_limit),
                body_timeout: self.body_timeout.unwrap_or(inner.body_timeout),
                idempotency: idempotency.map(Arc::new),
                intake,
                source,
                on_handshake: self.on_handshake,
                challenges: self.challenges,
                filter: (!self.filter.is_empty()).then_some(self.filter),
                log_limit: match self.effort {
                    Effort::SMALL => inner.log_limit,
                    _ => LogLimit::with_burst(DEVELOPMENT_BURST),
                },
                effort: self.effort,
                ..inner
            }),
            timer: self.timer,
        })
    }

    fn source(&mut self) -> Result<Source, ConfigError> {
        match self.sources.pop() {
            None => Ok(Source::Verifier),
            Some(source) if self.sources.is_empty() => Ok(source),
            Some(source) => Err(ConfigError::option(source.option(), "a second lookup")),
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

#[cfg(all(test, feature = "explain"))]
mod tests {
    use crate::{Receiver, Verifier, scheme};

    /// In a release build, unauthenticated requests could keep the service busy.
    #[test]
    fn refusals_are_explained_in_release_builds_only_if_forced() {
        let builder = || Receiver::builder(Verifier::new(scheme::GITHUB, "a secret").unwrap());
        for (builder, is_debug_build, is_ok) in [
            (builder(), false, true),
            (builder().explain_refusals(), true, true),
            (builder().explain_refusals(), false, false),
            (builder().explain_refusals_in_release(), false, true),
        ] {
            assert_eq!(builder.check_effort(is_debug_build).is_ok(), is_ok);
        }
    }
}
