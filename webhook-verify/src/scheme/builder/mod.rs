mod events;
mod places;

use std::{borrow::Cow, time::Duration};

use self::events::Events;
use super::{
    Algorithm, BodyDigest, Challenge, Evidence, Identity, KeyForm, KeySource, Place, Scheme, Text,
    TimeUnit, TimestampPlace, TimestampSource, check, part,
};
use crate::{clock::Tolerance, encoding::Encoding, error::ConfigError};

/// Describes a [`Scheme`] step by step. A mistake shows in [`build`](Self::build), with the name of the option.
#[derive(Clone, Debug)]
#[must_use]
pub struct SchemeBuilder {
    /// What is described so far. Names are not checked yet.
    scheme: Scheme,
    /// How many of the signature's places have their form.
    formed: usize,
    /// The first form that is no place's.
    stray_form: Option<&'static str>,
    encoding: Option<Encoding>,
    content: Option<String>,
    timestamp: Option<TimestampPlace>,
    unit: Option<TimeUnit>,
    tolerance: Option<Option<Tolerance>>,
    identity: Option<Identity>,
    events: Events,
}

impl SchemeBuilder {
    pub(super) fn new(name: String) -> Self {
        Self {
            scheme: Scheme { name: name.into(), ..Scheme::BASE },
            formed: 0,
            stray_form: None,
            encoding: None,
            content: None,
            timestamp: None,
            unit: None,
            tolerance: None,
            identity: None,
            events: Events::NONE,
        }
    }

    /// The sender's own name, for people. Default: the scheme's.
    pub fn sender(mut self, sender: impl Into<String>) -> Self {
        self.scheme.sender = owned(sender);
        self
    }

    /// The address of the sender's page about its signatures.
    pub fn documentation(mut self, address: impl Into<String>) -> Self {
        self.scheme.documentation = owned(address);
        self
    }

    /// How it is known that the sender signs this way.
    pub fn evidence(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.scheme.evidence = evidence.into_iter().collect();
        self
    }

    /// The algorithm. Default: HMAC-SHA256.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.scheme.algorithm = algorithm;
        self
    }

    /// How the secret's text becomes key bytes. Default: as it is. A public key needs another form.
    pub fn key_form(mut self, form: KeyForm) -> Self {
        self.scheme.key_form = form;
        self
    }

    /// The header that holds the address of the public key's certificate, which must be `https` and on one of `hosts`,
    /// below the path behind the host if there is one. A `*` stands for one label, the name of a region, as in
    /// `sns.*.amazonaws.com/SimpleNotificationService-`. An address with a query is refused.
    pub fn key_from_header<H: Into<String>>(
        self,
        header: impl Into<String>,
        hosts: impl IntoIterator<Item = H>,
    ) -> Self {
        self.key_from(Place::Header(owned(header)), hosts)
    }

    /// A JSON pointer to the address of the public key's certificate, as with
    /// [`key_from_header`](Self::key_from_header).
    pub fn key_from_pointer<H: Into<String>>(
        self,
        pointer: impl Into<String>,
        hosts: impl IntoIterator<Item = H>,
    ) -> Self {
        self.key_from(Place::Pointer(owned(pointer)), hosts)
    }

    fn key_from<H: Into<String>>(
        mut self,
        place: Place,
        hosts: impl IntoIterator<Item = H>,
    ) -> Self {
        let hosts = hosts.into_iter().map(owned).collect();
        self.scheme.key_source = Some(KeySource::Url { place, hosts });
        self
    }

    /// The public key is the one whose id is in the JSON Web Token's header.
    pub fn key_from_token_id(mut self) -> Self {
        self.scheme.key_source = Some(KeySource::KeyId);
        self
    }

    /// How a signature is written. Default: hex. Not for tokens, which are taken as they are.
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = Some(encoding);
        self
    }

    /// What is signed: text with `{…}` in it. Default: `{body}`.
    ///
    /// | in the template | what is signed there |
    /// |---|---|
    /// | `{body}` | the body as sent |
    /// | `{timestamp}` | the timestamp's text as sent |
    /// | `{id}` | the delivery's id |
    /// | `{method}` | the method |
    /// | `{path}`, `{path:escaped-twice}` | path and query as sent, or escaped again as Contentful does |
    /// | `{url}` | the public URL that the verifier is given, with the request's query |
    /// | `{url:either-port}` | the same with its port or without, whichever the sender took |
    /// | `{url:partly-decoded}` | the same with the escapes of some delimiters decoded, as HubSpot does |
    /// | `{url:without-query}` | the public URL alone |
    /// | `{header:NAME}` | a header's value |
    /// | `{signed-headers:NAME}` | the headers that this header names, as `name:value;name:value` |
    /// | `{json:/POINTER}` | the scalar at a JSON pointer into the body, empty where there is none; refused where it holds a byte of the text beside it |
    /// | `{free-json:/POINTER}` | the same, but it may: of all parts between such text, one |
    /// | `{fields:A,B}` | these fields of the body as lines: name, value. Absent ones are left out |
    /// | `{form}` | the fields of a form, sorted: each name and value |
    /// | `{crc32}` | the CRC-32 of the body, in decimal. It does not keep anybody from changing the body |
    /// | `{parameter:NAME}` | what the verifier is [given](crate::VerifierBuilder::parameter) under this name |
    /// | `{{`, `}}` | a brace |
    ///
    /// Text must stand between an id or a header and the body, and a request is refused whose id or header holds a byte
    /// of it: it could be cut apart elsewhere under the same signature.
    pub fn signed_content(mut self, template: impl Into<String>) -> Self {
        self.content = Some(template.into());
        self
    }

    /// The parameter of the signed URL that holds the body's SHA-256 digest in hex, where the body itself is not signed.
    pub fn body_digest_query(mut self, name: impl Into<String>) -> Self {
        self.scheme.body_digest = Some(BodyDigest::Query(owned(name)));
        self
    }

    /// The claim of the JSON Web Token that holds the body's SHA-256 digest in hex.
    pub fn body_digest_claim(mut self, name: impl Into<String>) -> Self {
        self.scheme.body_digest = Some(BodyDigest::Claim(owned(name)));
        self
    }

    /// The timestamp's unit. Default: seconds.
    pub fn timestamp_unit(mut self, unit: TimeUnit) -> Self {
        self.unit = Some(unit);
        self
    }

    /// How far the timestamp may lie from the clock. Default: 300 s on both sides. `None`: it is not judged.
    pub fn tolerance(mut self, tolerance: impl Into<Option<Tolerance>>) -> Self {
        self.tolerance = Some(tolerance.into());
        self
    }

    /// What the claim `iss` of the JSON Web Token must say.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.scheme.issuer = Some(owned(issuer));
        self
    }

    /// A header that must have this very value, such as a version.
    pub fn require_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let headers = self.scheme.required_headers.to_mut();
        headers.push((owned(name), owned(value)));
        self
    }

    /// A JSON pointer to a field of the body that must have this very value, such as a version.
    pub fn require_field(mut self, pointer: impl Into<String>, value: impl Into<String>) -> Self {
        let fields = self.scheme.required_fields.to_mut();
        fields.push((owned(pointer), owned(value)));
        self
    }

    /// A claim that the JSON Web Token must have. `aud` must be the public URL, where one is given.
    pub fn require_claim(mut self, name: impl Into<String>) -> Self {
        self.scheme.required_claims.to_mut().push(owned(name));
        self
    }

    /// A JSON pointer to a field of the verified body that must be the
    /// [parameter](crate::VerifierBuilder::parameter) of this name, such as the topic of a sender that signs everybody's.
    pub fn parameter_field(
        mut self,
        pointer: impl Into<String>,
        parameter: impl Into<String>,
    ) -> Self {
        let fields = self.scheme.parameter_fields.to_mut();
        fields.push((owned(pointer), owned(parameter)));
        self
    }

    /// A JSON pointer to what the body must not have, such as a second event that the signature does not cover.
    pub fn refuse_field(mut self, pointer: impl Into<String>) -> Self {
        self.scheme.refused_fields.to_mut().push(owned(pointer));
        self
    }

    /// What a delivery is recognised by. Default: the id if it is signed, else the body's digest if that is signed,
    /// else nothing.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// A challenge of the sender, which a [`Receiver`](crate::Receiver) answers. May be given several times.
    pub fn challenge(mut self, challenge: Challenge) -> Self {
        self.scheme.challenges.to_mut().push(challenge);
        self
    }

    /// How long after the event the sender's last retry may come.
    pub fn retry_horizon(mut self, horizon: Duration) -> Self {
        self.scheme.hints.retry_horizon = Some(horizon);
        self
    }

    /// The largest body the sender sends, in bytes.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.scheme.hints.body_limit = Some(bytes);
        self
    }

    /// How long the sender waits for an answer.
    pub fn time_budget(mut self, budget: Duration) -> Self {
        self.scheme.hints.time_budget = Some(budget);
        self
    }

    /// Checks the description as a whole.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Option`] that names the option: a name that is not a header's, a template that cannot be read,
    /// a signed content that uses what is not described, an identity from bytes that are not signed, and all else that
    /// could not work or would prove nothing.
    pub fn build(self) -> Result<Scheme, ConfigError> {
        let mut scheme = self.scheme;
        if scheme.signatures.is_empty() {
            return Err(ConfigError::option(
                "signature_header",
                "no place for the signature is given",
            ));
        }
        if let Some(option) = self.stray_form {
            return Err(ConfigError::option(
                option,
                "no place stands before it that has no form yet",
            ));
        }
        let signs_content = check::signs_content(scheme.algorithm);
        scheme.content = match (&self.content, signs_content) {
            (None, true) => Scheme::BASE.content,
            (None, false) => Cow::Borrowed(&[]),
            (Some(template), true) => part::parse(template)?.into(),
            (Some(_), false) => {
                return Err(ConfigError::option(
                    "signed_content",
                    "a token signs nothing, or itself",
                ));
            }
        };
        scheme.encoding = match (self.encoding, signs_content) {
            (Some(_), false) => {
                return Err(ConfigError::option("encoding", "a token is taken as it is"));
            }
            (encoding, _) => encoding.unwrap_or(scheme.encoding),
        };
        scheme.timestamp = match (self.timestamp, self.unit, self.tolerance) {
            (None, None, None) => None,
            (None, Some(_), _) => return Err(no_timestamp("timestamp_unit")),
            (None, None, Some(_)) => return Err(no_timestamp("tolerance")),
            (Some(place), unit, tolerance) => Some(TimestampSource {
                place,
                unit: unit.unwrap_or(TimeUnit::Seconds),
                tolerance: tolerance
                    .unwrap_or_else(|| Some(Tolerance::symmetric(Duration::from_secs(300)))),
            }),
        };
        scheme.envelope = self.events.envelope()?;
        check::names(&mut scheme)?;
        scheme.identity = match self.identity {
            Some(identity) => identity,
            None if scheme.id_is_signed() => Identity::SignedId,
            None if scheme.signs_body() => Identity::BodyDigest,
            None => Identity::None,
        };
        check::whole(&scheme)?;
        Ok(scheme)
    }
}

fn owned(text: impl Into<String>) -> Text {
    Text::Owned(text.into())
}

fn no_timestamp(option: &'static str) -> ConfigError {
    ConfigError::option(option, "no timestamp is described")
}
