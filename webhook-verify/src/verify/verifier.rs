use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use zeroize::Zeroizing;

use super::{HeadFacts, Incoming, Plan, Settings};
use crate::{
    clock::{Clock, SystemClock, Tolerance},
    delivery::{Delivery, MAX_EVENTS},
    error::{ConfigError, VerifyError},
    key::{Key, Keys, Secret},
    request::{Names, Picked, RequestHead},
    scheme::Scheme,
};

/// The beginnings of a public URL. Twilio's media streams are WebSockets.
const URL_SCHEMES: [&str; 4] = ["https://", "http://", "wss://", "ws://"];
/// The default leeway for the times of JSON Web Tokens, as in the senders' own libraries.
const DEFAULT_LEEWAY: Duration = Duration::from_secs(10);
/// The largest number of live secrets.
const MAX_SECRETS: usize = 8;

/// Verifies requests with one scheme and its live secrets. Clones are cheap and share the secrets.
///
/// ```
/// use webhook_verify::{Verifier, VerifyError, scheme};
///
/// let verifier = Verifier::new(scheme::MAUTIC, "58ae6ad08e40a88c23e3a8ee11ee3467")?;
/// let headers = [("Webhook-Signature", "ZnxUeUp8lqti4gO4VWPwaZ+Jll2tJkUYTW9Cp5kIs64=")];
///
/// let delivery = verifier.verify(&headers, r#"{"mautic.lead_post_delete":[{"id":52}]}"#)?;
/// assert_eq!(delivery.event_type().as_deref(), Some("mautic.lead_post_delete"));
///
/// let refused = verifier.verify(&headers, r#"{"mautic.lead_post_delete":[{"id":53}]}"#);
/// assert_eq!(refused.unwrap_err(), VerifyError::SignatureMismatch);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Verifier {
    settings: Arc<Settings>,
}

impl Verifier {
    /// Creates a verifier with one secret and the scheme's tolerance.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the secret is empty or does not have the scheme's key form, or if the
    /// scheme signs the URL: then use [`Verifier::builder`] and
    /// [`public_url`](VerifierBuilder::public_url).
    pub fn new(
        scheme: Scheme,
        secret: impl TryInto<Secret, Error: Into<ConfigError>>,
    ) -> Result<Self, ConfigError> {
        Self::builder(scheme).secret(secret).build()
    }

    /// Starts a verifier with several secrets, parameters, a public URL, a tolerance or a clock.
    pub fn builder(scheme: Scheme) -> VerifierBuilder {
        VerifierBuilder {
            scheme,
            secrets: Vec::new(),
            error: None,
            tolerance: None,
            leeway: None,
            clock: Box::new(SystemClock),
            public_url: None,
            max_events: MAX_EVENTS,
            parameters: Vec::new(),
        }
    }

    /// Verifies a complete request.
    ///
    /// `head` is either the headers (an array, a slice or a `Vec` of pairs, or an
    /// `http::HeaderMap`) or a [`RequestHead`] with method and target, for schemes that need those.
    /// An authentic delivery allocates no memory if `body` is `Bytes`, static or a full `Vec`,
    /// there are up to two signatures, up to 64 bytes are signed besides the body, the headers of
    /// ID and event type have up to 40 bytes each, and the scheme reads no JSON, form or query.
    ///
    /// `body` is the body as sent. If it is compressed and the scheme defines which bytes are
    /// [signed](crate::scheme::SignedBytes), the delivery contains the decoded body. Its limit is
    /// the scheme's body limit, or 1 MiB. Use [`begin`](Self::begin) to set another limit.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] if the request is not authentic. Do not tell the client the reason.
    pub fn verify<'a>(
        &self,
        head: impl Into<RequestHead<'a>>,
        body: impl Into<Bytes>,
    ) -> Result<Delivery, VerifyError> {
        let keys = self.settings.keys.read();
        let keys = keys.unwrap_or_else(PoisonError::into_inner);
        self.judge(&head.into(), body.into(), &keys)
    }

    /// Returns the same verifier with another public URL. Its clock is the system's.
    pub(crate) fn with_public_url(&self, url: &str) -> Option<Self> {
        let own = self.settings();
        is_public_url(url).then(|| Self {
            settings: Arc::new(Settings {
                scheme: Arc::clone(&own.scheme),
                plan: Arc::clone(&own.plan),
                keys: RwLock::new(own.keys()),
                names: own.names.clone(),
                receiver_names: own.receiver_names.clone(),
                tolerance: own.tolerance,
                leeway: own.leeway,
                clock: Box::new(SystemClock),
                public_url: Some(url.to_owned()),
                max_events: own.max_events,
                parameters: own.parameters.clone(),
            }),
        })
    }

    #[inline]
    pub(super) fn judge(
        &self,
        head: &RequestHead<'_>,
        body: Bytes,
        keys: &[Key],
    ) -> Result<Delivery, VerifyError> {
        let settings = &*self.settings;
        let mut facts = HeadFacts::default();
        facts.read(settings, head, &Picked::new(head, &settings.names))?;
        facts.judge_head(settings, keys)?;
        let limit = settings.scheme.body_limit();
        let body = match facts.coding_before(settings) {
            None => body,
            Some(coding) => coding.decode(&body, limit)?.into(),
        };
        let mut body = facts.open_form(settings, &body)?.unwrap_or(body);
        facts.judge(settings, keys, Box::default(), &mut body, limit)
    }

    /// Parses a key for [`verify_with`](Self::verify_with).
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the key does not fit the scheme.
    pub fn prepare_key(&self, key: Secret) -> Result<PreparedKey, ConfigError> {
        Ok(PreparedKey(self.prepare([key])?))
    }

    /// Does the same as [`verify`](Self::verify), with the given key instead of the live secrets.
    /// The key must be [prepared](Self::prepare_key) by a verifier of the same scheme.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] as in `verify`.
    pub fn verify_with<'a>(
        &self,
        key: &PreparedKey,
        head: impl Into<RequestHead<'a>>,
        body: impl Into<Bytes>,
    ) -> Result<Delivery, VerifyError> {
        self.judge(&head.into(), body.into(), &key.0)
    }

    /// Returns the name of the public key that a request names, if the sender has several: an
    /// address on one of the sender's hosts (PayPal, SNS), or a key ID (Plaid). Returns `None` if
    /// the request or the scheme names no key.
    ///
    /// Use it without a [`Receiver`](crate::Receiver), which looks up keys
    /// [itself](crate::ReceiverBuilder::key_lookup). Nothing is fetched here. Cache fetched keys
    /// under their names. Until the signature is verified, the name is the client's choice.
    ///
    /// ```
    /// use webhook_verify::{Secret, Verifier, VerifyError, scheme};
    /// # // The path is absolute because rustdoc merges all examples into one file elsewhere.
    /// # const DIR: &str = env!("CARGO_MANIFEST_DIR");
    /// # fn key_of(_: &str) -> Result<Secret, Box<dyn std::error::Error>> {
    /// #     Ok(Secret::new(std::fs::read(format!("{DIR}/tests/certificate.pem"))?)?)
    /// # }
    ///
    /// # #[cfg(not(feature = "rsa"))]
    /// # fn main() {}
    /// # #[cfg(feature = "rsa")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let verifier = Verifier::builder(scheme::SNS)
    ///     .parameter("topic_arn", "arn:aws:sns:eu-west-1:123456789012:orders")
    ///     .build_without_secrets()?;
    ///
    /// // for each request
    /// # let headers = [("content-type", "text/plain")];
    /// # let signature = "A".repeat(342) + "==";
    /// # let url = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem";
    /// # let body = format!(r#"{{"MessageId":"1","Signature":"{signature}","SignatureVersion":"2",
    /// #     "SigningCertURL":"{url}"}}"#).into_bytes();
    /// let name = verifier.key_name(&headers, &body)?.ok_or(VerifyError::UnknownKey)?;
    /// // from a cache, or fetched
    /// let key = verifier.prepare_key(key_of(&name)?)?;
    /// let delivery = verifier.verify_with(&key, &headers, body);
    /// # assert_eq!(delivery.unwrap_err(), VerifyError::SignatureMismatch);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`VerifyError`] if the request is refused without the key, for example because its signature
    /// is absent or malformed, or the address is on another host.
    pub fn key_name<'a>(
        &self,
        head: impl Into<RequestHead<'a>>,
        body: &[u8],
    ) -> Result<Option<String>, VerifyError> {
        let (settings, head) = (&*self.settings, head.into());
        let mut facts = HeadFacts::default();
        facts.read(settings, &head, &Picked::new(&head, &settings.names))?;
        let decoded = match facts.coding_before(settings) {
            Some(coding) => Some(coding.decode(body, settings.scheme.body_limit())?),
            None => None,
        };
        let body = decoded.as_deref().unwrap_or(body);
        let opened = facts.open_form(settings, body)?;
        let body = opened.as_deref().unwrap_or(body);
        facts.look_into_body(settings, body)?;
        facts.key_name(settings, body)
    }

    /// Verifies the head, and returns a request that accepts up to `limit` bytes of body in pieces.
    ///
    /// ```
    /// # use webhook_verify::{Verifier, scheme};
    /// # let verifier = Verifier::new(scheme::MAUTIC, "58ae6ad08e40a88c23e3a8ee11ee3467")?;
    /// # let headers = [("Webhook-Signature", "ZnxUeUp8lqti4gO4VWPwaZ+Jll2tJkUYTW9Cp5kIs64=")];
    /// let mut incoming = verifier.begin(&headers, 1 << 20)?;
    /// for chunk in [r#"{"mautic.lead_post_"#, r#"delete":[{"id":52}]}"#] {
    ///     incoming.update(chunk.into())?;
    /// }
    /// let delivery = incoming.finish()?;
    /// assert_eq!(delivery.body().len(), 39);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`VerifyError`] if the request is refused without its body, for example because its
    /// signature is absent or malformed, or its timestamp is stale.
    pub fn begin<'a>(
        &self,
        head: impl Into<RequestHead<'a>>,
        limit: usize,
    ) -> Result<Incoming, VerifyError> {
        let head = head.into();
        let mut incoming = Incoming::new(&self.settings, limit);
        incoming.read_head(&head, &Picked::new(&head, &self.settings.names))?;
        incoming.judge_head()?;
        Ok(incoming)
    }

    pub(crate) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Prepares a tenant's secrets for a request.
    pub(crate) fn prepare(
        &self,
        secrets: impl IntoIterator<Item = Secret>,
    ) -> Result<Arc<Keys>, ConfigError> {
        prepare(self.scheme(), secrets)
    }

    /// Replaces the live secrets of this verifier and its clones for all verifications from now on.
    /// An error changes nothing.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if there is no secret or more than 8, or one is empty or malformed.
    pub fn replace_secrets(
        &self,
        secrets: impl IntoIterator<Item: TryInto<Secret, Error: Into<ConfigError>>>,
    ) -> Result<(), ConfigError> {
        let secrets = secrets.into_iter().map(|secret| secret.try_into().map_err(Into::into));
        let secrets = secrets.collect::<Result<Vec<_>, ConfigError>>();
        let secrets = secrets.map_err(|error| error.about_scheme(self.scheme().name()))?;
        let keys = self.prepare(secrets)?;
        *self.settings.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// Returns the scheme.
    #[must_use]
    pub fn scheme(&self) -> &Scheme {
        &self.settings.scheme
    }

    /// Returns the tolerance in force, or `None` if timestamps are not checked.
    #[must_use]
    pub fn tolerance(&self) -> Option<Tolerance> {
        self.settings.tolerance.unwrap_or_else(|| self.scheme().tolerance())
    }

    /// Returns a challenge of the scheme that cannot succeed, because the parameter that it needs
    /// is absent or empty.
    pub(crate) fn missing_parameter(&self) -> Option<(&str, &str)> {
        self.scheme().challenges().iter().find_map(|challenge| {
            let name = challenge.parameter()?;
            let is_given = self.settings.parameter(name).is_some_and(|value| !value.is_empty());
            (!is_given).then_some((challenge.name(), name))
        })
    }

    /// Returns whether the signature covers the body, which must then reach the verifier as sent.
    pub(crate) fn signs_body(&self) -> bool {
        self.scheme().signs_body()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("scheme", &self.scheme().name()).finish_non_exhaustive()
    }
}

fn prepare(
    scheme: &Scheme,
    secrets: impl IntoIterator<Item = Secret>,
) -> Result<Arc<Keys>, ConfigError> {
    let keys = Keys::new(scheme, secrets).and_then(|keys| match keys.len() {
        1..=MAX_SECRETS => Ok(Arc::new(keys)),
        given => Err(ConfigError::SecretCount { given, limit: MAX_SECRETS }),
    });
    keys.map_err(|error| error.about_scheme(scheme.name()))
}

/// A key that was parsed once, to verify many requests with [`Verifier::verify_with`].
#[derive(Clone)]
pub struct PreparedKey(Arc<Keys>);

impl fmt::Debug for PreparedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreparedKey(..)")
    }
}

/// Builds a [`Verifier`].
#[must_use]
pub struct VerifierBuilder {
    pub(super) scheme: Scheme,
    pub(super) secrets: Vec<Secret>,
    pub(super) error: Option<ConfigError>,
    pub(super) tolerance: Option<Option<Tolerance>>,
    pub(super) leeway: Option<Duration>,
    pub(super) clock: Box<dyn Clock>,
    pub(super) public_url: Option<String>,
    pub(super) max_events: usize,
    pub(super) parameters: Vec<(String, Zeroizing<String>)>,
}

impl VerifierBuilder {
    /// Adds a live secret, up to 8. During a rotation, add the new one first and then the old one.
    pub fn secret(mut self, secret: impl TryInto<Secret, Error: Into<ConfigError>>) -> Self {
        match secret.try_into() {
            Ok(secret) => self.secrets.push(secret),
            Err(error) => self.error = self.error.or(Some(error.into())),
        }
        self
    }

    /// Sets the accepted distance between timestamp and clock. Default: the scheme's. `None` turns
    /// the check off: a captured request then stays valid until the secret changes.
    pub fn tolerance(mut self, tolerance: impl Into<Option<Tolerance>>) -> Self {
        self.tolerance = Some(tolerance.into());
        self
    }

    /// Sets the leeway for a JSON Web Token's times: how long after `exp` and before `nbf` and
    /// `iat` the token is accepted. Default: 10 s. If the scheme's timestamp is a claim, only the
    /// [tolerance](Self::tolerance) applies to that claim.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = Some(leeway);
        self
    }

    /// Sets the clock that timestamps are compared with. Default: the system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Sets the URL that the sender was given, without its query, for schemes that sign it or its
    /// path. The request's query is added. For schemes that sign the path, set this URL only behind
    /// a gateway that changes the path. Its path then replaces the request's path.
    ///
    /// It is never taken from `Host` or `X-Forwarded-*`, because the client chooses those.
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.public_url = Some(url.into());
        self
    }

    /// Sets the largest number of events in a delivery. Default: 10,000. Deliveries with more are
    /// verified, but [`events`](Delivery::events) returns an error.
    pub fn max_events(mut self, most: usize) -> Self {
        self.max_events = most;
        self
    }

    /// Adds a value that the scheme needs in addition to the secret, such as PayPal's `webhook_id`
    /// or SNS's `topic_arn`. A name may have several values. A [receiver](crate::Receiver) also
    /// needs the parameters of the scheme's handshakes, such as Meta's `verify_token`.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), Zeroizing::new(value.into())));
        self
    }

    /// Checks the settings and returns the verifier.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a secret or setting is missing, invalid or does not fit the scheme.
    pub fn build(mut self) -> Result<Verifier, ConfigError> {
        let secrets = std::mem::take(&mut self.secrets);
        let keys = prepare(&self.scheme, secrets);
        self.build_with(keys)
    }

    /// Returns a verifier without secrets, which refuses all requests until it gets
    /// [some](Verifier::replace_secrets). It is for senders whose requests name their
    /// [key](Verifier::key_name), or contain the secret in a
    /// [handshake](crate::ReceiverBuilder::on_handshake).
    ///
    /// # Errors
    ///
    /// [`ConfigError`] as from [`build`](Self::build), or if there are secrets, or if the scheme's
    /// requests neither name a key nor contain a secret.
    pub fn build_without_secrets(self) -> Result<Verifier, ConfigError> {
        if self.scheme.key_source.is_none() && !self.scheme.has_handshake() {
            let error = ConfigError::option(
                "build_without_secrets",
                "the scheme's requests neither name their key nor contain a secret",
            );
            return Err(error.about_scheme(self.scheme.name()));
        }
        self.build_keyless()
    }

    pub(crate) fn scheme_name(&self) -> &str {
        self.scheme.name()
    }

    pub(crate) fn has_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// Returns a verifier without secrets of its own, for tenants' secrets.
    pub(crate) fn build_keyless(self) -> Result<Verifier, ConfigError> {
        match self.secrets.len() {
            0 => self.build_with(Ok(Arc::default())),
            given => {
                let error = ConfigError::SecretCount { given, limit: 0 };
                Err(error.about_scheme(self.scheme.name()))
            }
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        for name in self.scheme.parameters() {
            if !self.parameters.iter().any(|(known, value)| known == name && !value.is_empty()) {
                return Err(ConfigError::option(
                    "parameter",
                    format!("the scheme needs `{name}`, which is not given"),
                ));
            }
        }
        match &self.public_url {
            None if self.scheme.needs_public_url() => {
                Err(ConfigError::option("public_url", "the scheme signs the URL; set it"))
            }
            _ if self.tolerance.is_some() && self.scheme.timestamp.is_none() => {
                Err(ConfigError::option("tolerance", "the scheme has no timestamp"))
            }
            _ if self.leeway.is_some() && !self.scheme.algorithm.is_jwt() => {
                Err(ConfigError::option("leeway", "the scheme has no JSON Web Token"))
            }
            Some(url) if !is_public_url(url) => Err(ConfigError::option(
                "public_url",
                "not a URL with `https`, `http`, `wss` or `ws`, without a query",
            )),
            _ => Ok(()),
        }
    }

    fn build_with(self, keys: Result<Arc<Keys>, ConfigError>) -> Result<Verifier, ConfigError> {
        let keys = match (&self.error, keys) {
            (Some(error), _) => Err(error.clone()),
            (None, keys) => keys.and_then(|keys| self.check().map(|()| keys)),
        };
        let keys = keys.map_err(|error| error.about_scheme(self.scheme.name()))?;
        let aliases = || self.scheme.header_aliases.iter().cloned();
        Ok(Verifier {
            settings: Arc::new(Settings {
                names: Names::new(self.scheme.header_names(), aliases()),
                receiver_names: Names::new(
                    self.scheme
                        .header_names()
                        .chain(["content-length", "content-encoding"].map(Into::into)),
                    aliases(),
                ),
                plan: Arc::new(Plan::new(&self.scheme)),
                scheme: Arc::new(self.scheme),
                keys: RwLock::new(keys),
                tolerance: self.tolerance,
                leeway: self.leeway.unwrap_or(DEFAULT_LEEWAY),
                clock: self.clock,
                public_url: self.public_url,
                max_events: self.max_events,
                parameters: self.parameters,
            }),
        })
    }
}

fn is_public_url(url: &str) -> bool {
    URL_SCHEMES.iter().any(|scheme| url.starts_with(scheme)) && !url.contains(['?', '#', ' '])
}

impl fmt::Debug for VerifierBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifierBuilder")
            .field("scheme", &self.scheme.name())
            .finish_non_exhaustive()
    }
}
