//! Signs requests the way a scheme's sender does, to test receivers with.

use std::{fmt, time::Duration};

use bytes::Bytes;

use crate::{
    Clock as _, ConfigError, Scheme, Secret, SystemClock, json,
    key::Key,
    scheme::{Field, Grammar, Part, Place, Prefix, TimeUnit, TimestampPlace},
};

/// Signs bodies by a scheme, so that a test never falls out of step with its verifier.
///
/// ```
/// use webhook_verify::{RequestHead, Verifier, scheme, testing::Signer};
///
/// let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// let signed = Signer::new(scheme::STANDARD_WEBHOOKS, secret)?.id("msg_1").sign(r#"{"type":"ping"}"#)?;
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
    scheme: Scheme,
    secret: Secret,
    id: String,
    event_type: Option<String>,
    time: Option<Duration>,
    method: String,
    target: String,
    public_url: String,
}

/// A request as a sender would make it.
#[derive(Clone)]
#[non_exhaustive]
pub struct SignedRequest {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The headers that the scheme asks for; a content type is not among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Signer {
    /// A sender with this scheme and secret.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] as [`Verifier::new`](crate::Verifier::new) has it.
    pub fn new(
        scheme: Scheme,
        secret: impl TryInto<Secret, Error: Into<ConfigError>>,
    ) -> Result<Self, ConfigError> {
        let secret = secret.try_into().map_err(Into::into)?;
        Key::new(scheme.algorithm, scheme.key_form, &secret)?;
        Ok(Self {
            scheme,
            secret,
            id: "evt_1".into(),
            event_type: None,
            time: None,
            method: "POST".into(),
            target: "/".into(),
            public_url: String::new(),
        })
    }

    /// The delivery's id, where it is in a header. Default: `evt_1`.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// The event type, where the scheme has it in a header. Default: no such header.
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.event_type = Some(event_type.into());
        self
    }

    /// When it is sent, as time since the Unix epoch. Default: now.
    pub fn at(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// The method. Default: `POST`.
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = method.into();
        self
    }

    /// Path and query. Default: `/`.
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = target.into();
        self
    }

    /// The URL that the sender was given, where the scheme signs it.
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.public_url = url.into();
        self
    }

    /// Signs `body`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Option`] where the signature would have to go into the body, or where the scheme signs a part of
    /// the body that this one does not have.
    pub fn sign(&self, body: impl Into<Bytes>) -> Result<SignedRequest, ConfigError> {
        let (scheme, body) = (&self.scheme, body.into());
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, value) in &*scheme.required_headers {
            headers.push((name.to_string(), value.to_string()));
        }
        if let Some(Field::Header(name)) = &scheme.id {
            headers.push((name.to_string(), self.id.clone()));
        }
        if let (Some(Field::Header(name)), Some(event_type)) =
            (&scheme.event_type, &self.event_type)
        {
            headers.push((name.to_string(), event_type.clone()));
        }
        let timestamp = self.timestamp(&body)?;
        if let Some(TimestampPlace::Header(name)) =
            scheme.timestamp.as_ref().map(|timestamp| &timestamp.place)
        {
            headers.push((name.to_string(), timestamp.clone()));
        }
        let mut target = self.target.clone();
        let signature = self.signature(&timestamp, &body, &headers)?;
        let source = scheme
            .signatures
            .first()
            .ok_or_else(|| ConfigError::option("scheme", "has no signature"))?;
        let text = match &source.grammar {
            Grammar::Plain(Prefix::Required(prefix)) => format!("{prefix}{signature}"),
            Grammar::Plain(Prefix::Refused | Prefix::Optional(_)) => signature,
            Grammar::Pairs { separator, keys } => {
                let pair = format!("{}={signature}", keys[0]);
                match scheme.timestamp.as_ref().map(|timestamp| &timestamp.place) {
                    Some(TimestampPlace::Pair(key)) => {
                        format!("{key}={timestamp}{separator}{pair}")
                    }
                    _ => pair,
                }
            }
            Grammar::List {
                version_separator,
                versions,
                ..
            } => format!("{}{version_separator}{signature}", versions[0]),
        };
        match &source.place {
            Place::Header(name) => headers.push((name.to_string(), text)),
            Place::HeaderPrefix(prefix) => headers.push((format!("{prefix}1"), text)),
            Place::Query(name) => {
                let pair = form_urlencoded::Serializer::new(String::new())
                    .append_pair(name, &text)
                    .finish();
                target = format!(
                    "{target}{}{pair}",
                    if target.contains('?') { '&' } else { '?' }
                );
            }
            Place::Form(_) | Place::Pointer(_) => {
                return Err(ConfigError::option(
                    "scheme",
                    "has its signature in the body",
                ));
            }
        }
        Ok(SignedRequest {
            method: self.method.clone(),
            target,
            headers,
            body,
        })
    }

    fn timestamp(&self, body: &[u8]) -> Result<String, ConfigError> {
        let Some(source) = &self.scheme.timestamp else {
            return Ok(String::new());
        };
        let time = self.time.unwrap_or_else(|| SystemClock.now());
        match (&source.place, source.unit) {
            (TimestampPlace::Pointer(pointer), _) => at(body, pointer),
            (_, TimeUnit::Seconds) => Ok(time.as_secs().to_string()),
            (_, TimeUnit::Milliseconds) => Ok(time.as_millis().to_string()),
        }
    }

    fn signature(
        &self,
        timestamp: &str,
        body: &[u8],
        headers: &[(String, String)],
    ) -> Result<String, ConfigError> {
        let scheme = &self.scheme;
        let key = Key::new(scheme.algorithm, scheme.key_form, &self.secret)?;
        let Some(mut mac) = key.begin() else {
            return String::from_utf8(self.secret.expose().to_vec())
                .map_err(|_| ConfigError::MalformedSecret { expected: "text" });
        };
        for part in &*scheme.content {
            match part {
                Part::Literal(text) => mac.update(text.as_bytes()),
                Part::Body => mac.update(body),
                Part::Timestamp => mac.update(timestamp.as_bytes()),
                Part::Id => match &scheme.id {
                    Some(Field::Pointer(pointer)) => mac.update(at(body, pointer)?.as_bytes()),
                    _ => mac.update(self.id.as_bytes()),
                },
                Part::Url => {
                    mac.update(self.public_url.as_bytes());
                    if let Some(query) = self.target.find('?') {
                        mac.update(&self.target.as_bytes()[query..]);
                    }
                }
                Part::Method => mac.update(self.method.as_bytes()),
                Part::Path => mac.update(self.target.as_bytes()),
                Part::Header(name) => {
                    let value = headers
                        .iter()
                        .find(|(n, _)| n == name)
                        .map_or("", |(_, value)| value);
                    mac.update(value.as_bytes());
                }
                Part::Pointer(pointer) => mac.update(
                    json::scalar(body, pointer)
                        .ok()
                        .flatten()
                        .unwrap_or_default()
                        .as_bytes(),
                ),
            }
        }
        Ok(scheme
            .encoding
            .encode(mac.tag(&[]).as_bytes(scheme.algorithm)))
    }
}

fn at(body: &[u8], pointer: &str) -> Result<String, ConfigError> {
    match json::scalar(body, pointer) {
        Ok(Some(text)) => Ok(text.into_owned()),
        _ => Err(ConfigError::option(
            "body",
            format!("has nothing to sign at {pointer}"),
        )),
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("scheme", &self.scheme.name())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SignedRequest {
    /// Without values of headers, query and body: a token may be in each of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("SignedRequest")
            .field("method", &self.method)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}
