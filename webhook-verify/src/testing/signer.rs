use std::{fmt, time::Duration};

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use time::{
    OffsetDateTime,
    format_description::well_known::{Rfc2822, Rfc3339},
};

use super::{private_key::PrivateKey, random_secret, request::SignedRequest};
use crate::{
    clock::{Clock as _, SystemClock},
    delivery::Delivery,
    encoding::Encoding,
    error::ConfigError,
    key::{Key, Secret},
    scheme::{
        Algorithm, BodyDigest, DigestPlace, Field, Grammar, KeySource, Place, Prefix, Scheme,
        SignatureSource, Text, TimeUnit, TimestampPlace, TimestampSource, Values, WholeBody,
    },
    verify::{self, Verifier},
};

/// Signs bodies as a scheme defines, so that tests stay in step with the verifier.
///
/// ```
/// use webhook_verify::{RequestHead, Verifier, scheme, testing::Signer};
///
/// let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// let signer = Signer::new(scheme::STANDARD_WEBHOOKS, secret)?.id("msg_1");
/// let signed = signer.sign(r#"{"type":"ping"}"#)?;
///
/// let verifier = Verifier::new(scheme::STANDARD_WEBHOOKS, secret)?;
/// let delivery = verifier.verify(&signed.headers, signed.body.clone())?;
/// assert_eq!(delivery.id().as_deref(), Some("msg_1"));
///
/// assert!(verifier.verify(&signed.headers, r#"{"type":"pong"}"#).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Signer {
    pub(super) scheme: Scheme,
    secret: Secret,
    private_key: Option<PrivateKey>,
    pub(super) id: Option<String>,
    pub(super) event_type: Option<String>,
    time: Option<Duration>,
    method: String,
    target: String,
    public_url: String,
    parameters: Vec<(String, String)>,
    /// The claims of the token that this signer replaces.
    pub(super) old_claims: Option<serde_json::Map<String, Value>>,
    #[cfg(feature = "gzip")]
    pub(super) gzip: bool,
}

/// The delivery's ID, if none is set.
const DEFAULT_ID: &str = "evt_1";

impl Signer {
    /// Returns a signer with this scheme and secret.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] under the same conditions as [`Verifier::new`](crate::Verifier::new).
    pub fn new(
        scheme: Scheme,
        secret: impl TryInto<Secret, Error: Into<ConfigError>>,
    ) -> Result<Self, ConfigError> {
        let secret = secret.try_into().map_err(Into::into)?;
        Self::of(scheme, secret, None)
    }

    /// Creates a signer with a new random secret. If the scheme uses public keys, generates a key
    /// pair instead. [`secret`](Self::secret) returns the secret or public key for the verifier.
    ///
    /// All RSA signers share one key pair, which is part of this crate and not secret.
    ///
    /// ```
    /// use webhook_verify::{Verifier, scheme, testing::Signer};
    ///
    /// let signer = Signer::generate(scheme::GITHUB)?;
    /// let verifier = Verifier::new(scheme::GITHUB, signer.secret().clone())?;
    ///
    /// let signed = signer.sign("{}")?;
    /// assert!(verifier.verify(&signed.headers, signed.body.clone()).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::Option`] if the feature of the scheme's algorithm is off, or if the operating
    /// system provides no random bytes.
    pub fn generate(scheme: Scheme) -> Result<Self, ConfigError> {
        if scheme.algorithm().is_symmetric() {
            let secret = random_secret(&scheme)?;
            return Self::new(scheme, secret);
        }
        let private_key = PrivateKey::generate(&scheme)?;
        let secret = private_key.public_key().try_into()?;
        Self::of(scheme, secret, Some(private_key))
    }

    fn of(
        scheme: Scheme,
        secret: Secret,
        private_key: Option<PrivateKey>,
    ) -> Result<Self, ConfigError> {
        Key::new(&scheme, &secret)?;
        Ok(Self {
            scheme,
            secret,
            private_key,
            id: None,
            event_type: None,
            time: None,
            method: "POST".into(),
            target: "/".into(),
            public_url: String::new(),
            parameters: Vec::new(),
            old_claims: None,
            #[cfg(feature = "gzip")]
            gzip: false,
        })
    }

    /// Returns the secret for the verifier: the shared secret or the public key.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Sets the delivery's ID, if it is in a header. The default is `evt_1`.
    ///
    /// If the ID is in the body, pass a body that has it. If the scheme also signs the ID by
    /// itself, the signer adds it to a body that has none.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the event type, if the scheme has it in a header. By default, there is no such header.
    ///
    /// If the type is in the body, pass a body that has it. Only [`sample`](Self::sample) writes a
    /// type to the body.
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.event_type = Some(event_type.into());
        self
    }

    /// Sets the time of sending, as time since the Unix epoch. The default is now.
    pub fn at(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// Sets the method. The default is `POST`.
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = method.into();
        self
    }

    /// Sets path and query. The default is `/`.
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = target.into();
        self
    }

    /// Sets the URL that the sender was given, if the scheme signs it.
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.public_url = url.into();
        self
    }

    /// Sets a value that the scheme signs in addition to the request, such as an ID from the
    /// sender's settings page.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Signs `body`. If the sender puts a timestamp, an ID or the signature itself into a JSON
    /// body, the signer does so as well, and returns the changed body.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Option`] in these cases:
    ///
    /// * The scheme's signatures need a private key, but [`generate`](Self::generate) did not
    ///   create the signer.
    /// * The signed values belong in a JSON body, but the body cannot contain them.
    pub fn sign(&self, body: impl Into<Bytes>) -> Result<SignedRequest, ConfigError> {
        // Use the same time everywhere in the request.
        self.clone().at(self.now()).sign_now(body.into())
    }

    fn sign_now(&self, body: Bytes) -> Result<SignedRequest, ConfigError> {
        let scheme = &self.scheme;
        let mut request = SignedRequest {
            method: self.method.clone(),
            target: self.target.clone(),
            headers: Vec::new(),
            body,
        };
        self.add_values(&mut request)?;
        #[cfg(feature = "gzip")]
        let compressed_later = self.compress(&mut request)?;
        let signature = self.signature(&request)?;
        let source = scheme
            .signatures
            .first()
            .ok_or_else(|| ConfigError::option("scheme", "has no signature"))?;
        let text = self.format(source, signature);
        request.place(&source.place, text)?;
        #[cfg(feature = "gzip")]
        if compressed_later {
            request.body = super::gzip::gzip(&request.body)?;
        }
        Ok(request)
    }

    /// Adds everything but the signature to the request.
    fn add_values(&self, request: &mut SignedRequest) -> Result<(), ConfigError> {
        let scheme = &self.scheme;
        for (name, value) in &*scheme.required_headers {
            request.header(name, value.to_string());
        }
        // A body that cannot contain these fields stays unchanged.
        for (pointer, value) in &*scheme.required_fields {
            drop(request.put_if_absent(pointer, value.to_string().into()));
        }
        for (pointer, name) in &*scheme.parameter_fields {
            if let Some((_, value)) = self.parameters.iter().find(|(known, _)| known == name) {
                drop(request.put_if_absent(pointer, value.clone().into()));
            }
        }
        if let Some(KeySource::Url { place, hosts }) = &scheme.key_source
            && let Some(host) = hosts.first()
        {
            let host = host.replace('*', "us-east-1");
            let slash = if host.contains('/') { "" } else { "/" };
            let url = format!("https://{host}{slash}test.pem");
            match place {
                Place::Header(name) => request.header(name, url),
                Place::Pointer(pointer) => request.put_if_absent(pointer, url.into())?,
                Place::HeaderPrefix(_) | Place::Query(_) | Place::Form(_) => {}
            }
        }
        if scheme.signs_whole(WholeBody::Form)
            || matches!(
                scheme.signatures.first(),
                Some(SignatureSource { place: Place::Form(_), .. })
            )
        {
            request.header("content-type", "application/x-www-form-urlencoded".into());
        }
        if let Some(BodyDigest { place: DigestPlace::Query(name), encoding, .. }) =
            &scheme.body_digest
        {
            let encoding = encoding.unwrap_or(Encoding::Hex);
            let digest = encoding.encode(&Sha256::digest(&request.body));
            request.add_query(name, &digest);
        }
        let signs = |pointer: &Text| {
            let mut parts = scheme.content.iter();
            parts.any(|part| match part.facts().values {
                Values::Field(field) => field == pointer,
                Values::Fields(fields) => fields.contains(pointer),
                Values::Unnamed
                | Values::Header(_)
                | Values::ListedHeaders(_)
                | Values::FormField(_) => false,
            })
        };
        match &scheme.id {
            Some(Field::Header(name)) => request.header(name, self.new_id()),
            Some(Field::Pointer(pointer)) if signs(pointer) => {
                request.put_if_absent(pointer, self.new_id().into())?;
            }
            _ => {}
        }
        if let (Some(Field::Header(name)), Some(event_type)) =
            (&scheme.event_type, &self.event_type)
        {
            request.header(name, event_type.clone());
        }
        if let Some(source) = &scheme.timestamp {
            let text = self.time_in(source.unit)?;
            match &source.place {
                TimestampPlace::Header(name) => request.header(name, text),
                TimestampPlace::Pointer(pointer) => {
                    let number = text.parse::<u64>().map(Value::from);
                    request.put_if_absent(pointer, number.unwrap_or(text.into()))?;
                }
                TimestampPlace::Form(name) => request.add_form(name, &text),
                TimestampPlace::Pair(_) | TimestampPlace::Before | TimestampPlace::Claim(_) => {}
            }
        }
        for part in &*scheme.content {
            match part.facts().values {
                Values::Header(name) if !request.has(name) => request.header(name, self.new_id()),
                Values::ListedHeaders(list) => {
                    let names: Vec<_> = request.headers.iter().map(|(name, _)| &**name).collect();
                    let names = [&[&**list], &*names].concat().join(",");
                    request.header(list, names);
                }
                Values::Header(_)
                | Values::Unnamed
                | Values::Field(_)
                | Values::FormField(_)
                | Values::Fields(_) => {}
            }
        }
        Ok(())
    }

    fn new_id(&self) -> String {
        self.id.clone().unwrap_or_else(|| DEFAULT_ID.into())
    }

    pub(super) fn now(&self) -> Duration {
        self.time.unwrap_or_else(|| SystemClock.now())
    }

    pub(super) fn time_in(&self, unit: TimeUnit) -> Result<String, ConfigError> {
        let date = |format: &dyn Fn(OffsetDateTime) -> Option<String>| {
            let seconds = i64::try_from(self.now().as_secs()).ok();
            seconds
                .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
                .and_then(format)
                .ok_or_else(|| ConfigError::option("at", "not in a year of four digits"))
        };
        match unit {
            TimeUnit::Seconds => Ok(self.now().as_secs().to_string()),
            TimeUnit::Milliseconds => Ok(self.now().as_millis().to_string()),
            TimeUnit::Rfc3339 => date(&|time| time.format(&Rfc3339).ok()),
            TimeUnit::Utc => {
                date(&|time| Some(time.format(&Rfc3339).ok()?.trim_end_matches('Z').to_owned()))
            }
            TimeUnit::Rfc1123 => {
                date(&|time| Some(time.format(&Rfc2822).ok()?.replace("+0000", "GMT")))
            }
        }
    }

    /// Returns the signature's text, or the token.
    pub(super) fn signature(&self, request: &SignedRequest) -> Result<String, ConfigError> {
        let scheme = &self.scheme;
        let text = || {
            String::from_utf8(self.secret.expose().to_vec())
                .map_err(|_| ConfigError::MalformedSecret { expected: "text", hint: None })
        };
        let key = Key::new(scheme, &self.secret)?;
        match scheme.algorithm {
            Algorithm::Token => text(),
            Algorithm::Basic => Ok(Encoding::Base64.encode(text()?.as_bytes())),
            algorithm if algorithm.is_jwt() => self.token(&key, request),
            _ => {
                let verifier = self.verifier()?;
                let head = request.head();
                let timestamp = match &scheme.timestamp {
                    Some(TimestampSource {
                        place: TimestampPlace::Pair(_) | TimestampPlace::Before,
                        unit,
                        ..
                    }) => Some(self.time_in(*unit)?),
                    _ => None,
                };
                let signature = verify::sign(
                    verifier.settings(),
                    &head,
                    timestamp.as_deref(),
                    &request.signable(scheme)?,
                    |pieces| self.sign_pieces(&key, pieces),
                );
                let signature =
                    signature.map_err(|error| ConfigError::option("body", error.to_string()))??;
                Ok(scheme.encoding.encode(&signature))
            }
        }
    }

    fn sign_pieces(&self, key: &Key, pieces: &[&[u8]]) -> Result<Vec<u8>, ConfigError> {
        let algorithm = self.scheme.algorithm;
        match &self.private_key {
            Some(private_key) => private_key.sign(pieces),
            None if algorithm.is_symmetric() => {
                Ok(key.tag(pieces).as_bytes(algorithm.tag_len()).to_vec())
            }
            None => Err(ConfigError::option(
                "scheme",
                "only the sender has the private key: make a key pair with `Signer::generate`",
            )),
        }
    }

    /// Signs `body` and returns the verified delivery, for unit tests of handlers.
    ///
    /// If the scheme needs a [`public_url`](Self::public_url) or a [`parameter`](Self::parameter)
    /// that is not set, this method uses a sample value.
    ///
    /// ```
    /// use webhook_verify::{scheme, testing::Signer};
    ///
    /// let signer = Signer::generate(scheme::GITHUB)?.event_type("push");
    /// let delivery = signer.delivery("{}")?;
    /// assert_eq!(delivery.event_type().as_deref(), Some("push"));
    /// # Ok::<(), webhook_verify::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::Option`] for the reasons of [`sign`](Self::sign), or if the verifier refuses
    /// the request, for example because the sender never sends such a body.
    pub fn delivery(&self, body: impl Into<Bytes>) -> Result<Delivery, ConfigError> {
        let mut signer = self.clone().at(self.now());
        if signer.public_url.is_empty() {
            signer.public_url = "https://hooks.example.test/".into();
        }
        for name in self.scheme.parameters() {
            if !signer.parameters.iter().any(|(known, _)| known == name) {
                signer = signer.parameter(name, "a sample");
            }
        }
        let request = signer.sign_now(body.into())?;
        let delivery = signer.verifier()?.verify(request.head(), request.body.clone());
        delivery.map_err(|error| ConfigError::option("body", error.to_string()))
    }

    fn verifier(&self) -> Result<Verifier, ConfigError> {
        let now = self.now();
        let mut builder =
            Verifier::builder(self.scheme.clone()).secret(self.secret.clone()).clock(move || now);
        for (name, value) in &self.parameters {
            builder = builder.parameter(name, value);
        }
        // A scheme that signs only the path does not need the whole URL.
        if self.scheme.needs_public_url() || self.public_url.contains("://") {
            builder = builder.public_url(&self.public_url);
        }
        builder.build()
    }

    /// Returns a JSON Web Token with the claims that the scheme checks.
    fn token(&self, key: &Key, request: &SignedRequest) -> Result<String, ConfigError> {
        let scheme = &self.scheme;
        let now = self.now().as_secs();
        let mut claims = self.old_claims.clone().unwrap_or_default();
        claims.insert("iat".into(), now.into());
        claims.insert("exp".into(), (now + 300).into());
        if scheme.requires_claim("nbf") || claims.contains_key("nbf") {
            claims.insert("nbf".into(), now.into());
        }
        let is_new = self.id.is_some() || !claims.contains_key("jti");
        if scheme.requires_claim("jti") && is_new {
            claims.insert("jti".into(), self.new_id().into());
        }
        if let Some(issuer) = &scheme.issuer {
            claims.insert("iss".into(), issuer.to_string().into());
        }
        if scheme.requires_claim("aud") {
            claims.insert("aud".into(), self.public_url.clone().into());
        }
        let verifier = self.verifier()?;
        let head = verify::head_digests(verifier.settings(), &request.head());
        if let Some(digest) = &scheme.body_digest
            && let DigestPlace::Claim(name) = &digest.place
        {
            let content = match &head.query_json {
                Some(query) if request.body.is_empty() => query.as_bytes(),
                _ => &request.body,
            };
            if !digest.optional || !content.is_empty() {
                let encoding = digest.encoding.unwrap_or(Encoding::Hex);
                claims.insert(name.to_string(), encoding.encode(&Sha256::digest(content)).into());
            }
        }
        if let (Some(digest), Some(url)) = (&scheme.url_digest, head.url) {
            claims.insert(digest.claim.to_string(), Encoding::Hex.encode(&url).into());
        }
        let encode = |json: &str| Encoding::Base64Url.encode(json.as_bytes());
        let header = match scheme.algorithm {
            Algorithm::JwtEs256 => r#"{"alg":"ES256","kid":"test","typ":"JWT"}"#,
            _ => r#"{"alg":"HS256","typ":"JWT"}"#,
        };
        let header = encode(header);
        let signed = format!("{header}.{}", encode(&Value::from(claims).to_string()));
        let signature = self.sign_pieces(key, &[signed.as_bytes()])?;
        let signature = Encoding::Base64Url.encode(&signature);
        Ok(format!("{signed}.{signature}"))
    }

    /// Formats the signature for its header, field or parameter.
    pub(super) fn format(&self, source: &SignatureSource, signature: String) -> String {
        match &source.grammar {
            Grammar::Plain(Prefix::Required(prefix)) => format!("{prefix}{signature}"),
            Grammar::Plain(Prefix::Scheme(name)) => format!("{name} {signature}"),
            Grammar::Plain(Prefix::Refused | Prefix::Optional(_)) => signature,
            Grammar::AfterTimestamp { separator } => {
                let unit = self.scheme.timestamp.as_ref().map(|source| source.unit);
                let time = unit.and_then(|unit| self.time_in(unit).ok()).unwrap_or_default();
                format!("{time}{separator}{signature}")
            }
            Grammar::Pairs { separator, keys, .. } => {
                let pair = format!("{}={signature}", keys[0]);
                match &self.scheme.timestamp {
                    Some(TimestampSource { place: TimestampPlace::Pair(key), unit, .. }) => {
                        let timestamp = self.time_in(*unit).unwrap_or_default();
                        format!("{key}={timestamp}{separator}{pair}")
                    }
                    _ => pair,
                }
            }
            Grammar::List { version_separator, versions, .. } => {
                let version = versions.first().map_or("1", |version| version);
                format!("{version}{version_separator}{signature}")
            }
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("scheme", &self.scheme.name()).finish_non_exhaustive()
    }
}
