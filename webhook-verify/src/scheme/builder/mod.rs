mod events;
mod places;

use std::{borrow::Cow, time::Duration};

use self::events::Events;
use super::{
    Algorithm, BodyDigest, Challenge, Evidence, Field, Identity, JsonInForm, KeyForm, KeySource,
    Place, Scheme, SignedBytes, SignedForm, Text, TimeUnit, TimestampPlace, TimestampSource,
    UrlDigest, UrlDigestForm, check, part,
};
use crate::{clock::Tolerance, encoding::Encoding, error::ConfigError};

/// Builds a [`Scheme`]. [`build`](Self::build) reports errors with the name of the option.
#[derive(Clone, Debug)]
#[must_use]
pub struct SchemeBuilder {
    /// The description so far. Names are not checked yet.
    scheme: Scheme,
    /// The number of signature places whose form is set.
    formed: usize,
    /// The first form that follows no place.
    stray_form: Option<&'static str>,
    encoding: Option<Encoding>,
    content: Option<String>,
    version_contents: Vec<(String, String)>,
    timestamp: Option<TimestampPlace>,
    unit: Option<TimeUnit>,
    tolerance: Option<Option<Tolerance>>,
    identity: Option<Identity>,
    /// The first setting of a digest whose place is not set.
    stray_digest: Option<&'static str>,
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
            version_contents: Vec::new(),
            timestamp: None,
            unit: None,
            tolerance: None,
            identity: None,
            stray_digest: None,
            events: Events::NONE,
        }
    }

    /// Sets the sender's display name. Default: the scheme's name.
    pub fn sender(mut self, sender: impl Into<String>) -> Self {
        self.scheme.sender = owned(sender);
        self
    }

    /// Sets the URL of the sender's page about its signatures.
    pub fn documentation(mut self, address: impl Into<String>) -> Self {
        self.scheme.documentation = owned(address);
        self
    }

    /// Sets the evidence that the sender signs this way.
    pub fn evidence(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.scheme.evidence = evidence.into_iter().collect();
        self
    }

    /// Sets the algorithm. Default: HMAC-SHA256.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.scheme.algorithm = algorithm;
        self
    }

    /// Sets how a secret's text becomes key bytes. Default: as it is. A public key needs another.
    pub fn key_form(mut self, form: KeyForm) -> Self {
        self.scheme.key_form = form;
        self
    }

    /// Declares that the sender signs with its API key. Otherwise a verifier refuses secrets that
    /// begin with `sk_`, `pk_` or `rk_`, because API keys are usually pasted by mistake.
    pub fn api_key(mut self) -> Self {
        self.scheme.api_key = true;
        self
    }

    /// Declares that the sender signs with the text of secrets that begin with `whsec_`, as Stripe
    /// does. Otherwise a verifier refuses those that go on with base64 of 24 to 64 bytes, if the
    /// scheme signs with the secret's text. Such a secret usually belongs to a sender of Standard
    /// Webhooks, whose keys are [base64](super::KeyForm::Whsec).
    pub fn whsec_text(mut self) -> Self {
        self.scheme.whsec_text = true;
        self
    }

    /// Sets the header with the address of the public key's certificate. It must be `https`, on one
    /// of `hosts`, and below the path after the host, if any. `*` stands for one label, the name of
    /// a region, as in `sns.*.amazonaws.com/SimpleNotificationService-`. A query is refused.
    pub fn key_from_header<H: Into<String>>(
        self,
        header: impl Into<String>,
        hosts: impl IntoIterator<Item = H>,
    ) -> Self {
        self.key_from(Place::Header(owned(header)), hosts)
    }

    /// Sets the JSON pointer to the address of the public key's certificate, under the rules of
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

    /// Selects the public key by the ID in the JSON Web Token's header.
    pub fn key_from_token_id(mut self) -> Self {
        self.scheme.key_source = Some(KeySource::KeyId);
        self
    }

    /// Sets the encoding of the signature. Default: hex. Tokens have none.
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = Some(encoding);
        self
    }

    /// Sets the signed content: text with placeholders. Default: `{body}`.
    ///
    /// | placeholder | signed content |
    /// |---|---|
    /// | `{body}` | the body as sent |
    /// | `{body:json}` | the same; refused unless it is empty or a JSON object or array |
    /// | `{body:sha256}` | a digest of the body, in hex; also `sha512`, and `sha1` and `md5`, which do not protect the body |
    /// | `{body:sha256-base64}`, `{body:sha256-raw}` | the same in base64, or its bytes |
    /// | `{timestamp}` | the timestamp's text as sent |
    /// | `{id}` | the delivery ID |
    /// | `{method}` | the method |
    /// | `{path}`, `{path:escaped-twice}` | path and query as sent, or escaped as Contentful does; with a public URL, its path |
    /// | `{query:NAME}` | the decoded value of a query parameter |
    /// | `{sorted-query}` | all query parameters except the signature, sorted, each as `name=value` |
    /// | `{url}` | the verifier's public URL with the request's query |
    /// | `{url:either-port}` | the same with or without its port, as the sender signed it |
    /// | `{url:partly-decoded}` | the same with some delimiters unescaped, as HubSpot does |
    /// | `{url:without-query}` | the public URL alone |
    /// | `{header:NAME}` | a header's value |
    /// | `{signed-headers:NAME}` | the headers that this one lists, as `name:value;name:value` |
    /// | `{pair:KEY}` | the value of a key among the signature header's pairs |
    /// | `{header-values:KEY}` | the values of the headers that such a pair lists, joined with dots |
    /// | `{json:/POINTER}` | the scalar at a JSON pointer into the body; empty if there is none |
    /// | `{free-json:/POINTER}` | the same, even with bytes of adjacent text; at most one |
    /// | `{free-json:/POINTER if /OTHER=VALUE}` | free only if another field has this value; with `!=`, another value |
    /// | `{form:NAME}` | the decoded value of a form field |
    /// | `{fields:A,B}` | lines with name and value of these fields of the body, if present |
    /// | `{form}` | the fields of a form, sorted: each name and value |
    /// | `{crc32}` | the CRC-32 of the body, in decimal; it does not protect the body |
    /// | `{parameter:NAME}` | the verifier's [parameter](crate::VerifierBuilder::parameter) |
    /// | `{secret}` | the place of the secret in a keyed digest; by default, the secret is first |
    /// | `[[text{…}text]]` | text and a value; both are omitted if the value is empty |
    /// | `{{`, `}}` | a brace |
    ///
    /// The signed text must have only one meaning: [`build`](Self::build) returns an error if it
    /// could be split in more than one way. Put text after an ID, a header or a field, or use
    /// `{body:json}`. A request is refused if an ID, header, parameter or field contains the text
    /// next to it.
    pub fn signed_content(mut self, template: impl Into<String>) -> Self {
        self.content = Some(template.into());
        self
    }

    /// Sets the signed content of signatures with this version, for senders that use several
    /// versions at a time. The first content that is set also applies to all versions without their
    /// own content.
    pub fn signed_content_of(
        mut self,
        version: impl Into<String>,
        template: impl Into<String>,
    ) -> Self {
        match self.content {
            None => self.content = Some(template.into()),
            Some(_) => self.version_contents.push((version.into(), template.into())),
        }
        self
    }

    /// Sets the parameter of the signed URL with the SHA-256 digest of an unsigned body.
    pub fn body_digest_query(mut self, name: impl Into<String>) -> Self {
        self.scheme.body_digest = Some(BodyDigest::query(owned(name)));
        self
    }

    /// Sets the claim of the JSON Web Token with the SHA-256 digest of the body.
    pub fn body_digest_claim(mut self, name: impl Into<String>) -> Self {
        self.scheme.body_digest = Some(BodyDigest::claim(owned(name)));
        self
    }

    /// Sets the encoding of the body's digest: hex in either case, or base64 or base64url with or
    /// without padding. Call it after the method that sets the digest's place. Default: any of
    /// them.
    pub fn body_digest_encoding(self, encoding: Encoding) -> Self {
        self.digest("body_digest_encoding", |digest| digest.encoding = Some(encoding))
    }

    /// Declares that, without a body, the claim contains the digest of the query, as in Vonage's
    /// `GET` requests. The digested text is a JSON object of the parameters in their order, without
    /// white space. Call it after [`body_digest_claim`](Self::body_digest_claim).
    ///
    /// The token does not state whether it covers the body or the query. A client that captures a
    /// request can move the fields from a body of this form to the query, or back. It cannot change
    /// their names, values or order. With a body, the query is not signed.
    pub fn body_digest_or_query(self) -> Self {
        self.digest("body_digest_or_query", |digest| digest.or_query = true)
    }

    /// Declares that tokens of requests without a body contain no digest of it, as from
    /// MessageBird. Call it after [`body_digest_claim`](Self::body_digest_claim).
    pub fn body_digest_optional(self) -> Self {
        self.digest("body_digest_optional", |digest| digest.optional = true)
    }

    fn digest(mut self, option: &'static str, set: impl FnOnce(&mut BodyDigest)) -> Self {
        match &mut self.scheme.body_digest {
            Some(digest) => set(digest),
            None => self.stray_digest = self.stray_digest.or(Some(option)),
        }
        self
    }

    /// Sets the claim of the JSON Web Token with the SHA-256 digest of the URL, as MessageBird
    /// signs it: the verifier's public URL with the request's query.
    pub fn url_digest_claim(self, name: impl Into<String>) -> Self {
        self.url_digest(name, UrlDigestForm::Url)
    }

    /// Sets the claim of the JSON Web Token with the SHA-256 digest of Atlassian Connect's
    /// canonical request (`qsh`): method, path, and the sorted query without `jwt`. The path is
    /// that of the public URL, if the verifier has one. If the app's base URL has a path, set this
    /// path as the verifier's [parameter](crate::VerifierBuilder::parameter) `base_path`.
    pub fn canonical_request_claim(self, name: impl Into<String>) -> Self {
        self.url_digest(name, UrlDigestForm::CanonicalRequest)
    }

    fn url_digest(mut self, name: impl Into<String>, form: UrlDigestForm) -> Self {
        self.scheme.url_digest = Some(UrlDigest { claim: owned(name), form });
        self
    }

    /// Sets which bytes of a compressed body are signed. The handler always gets the decoded body.
    /// Default: requests with a `Content-Encoding` get 415.
    pub fn signed_bytes(mut self, bytes: SignedBytes) -> Self {
        self.scheme.signed_bytes = Some(bytes);
        self
    }

    /// Sets the timestamp's unit. Default: seconds.
    pub fn timestamp_unit(mut self, unit: TimeUnit) -> Self {
        self.unit = Some(unit);
        self
    }

    /// Sets how far timestamps may be from the clock. Default: 300 s each way. `None`: no check.
    pub fn tolerance(mut self, tolerance: impl Into<Option<Tolerance>>) -> Self {
        self.tolerance = Some(tolerance.into());
        self
    }

    /// Sets the required value of the JSON Web Token's `iss` claim.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.scheme.issuer = Some(owned(issuer));
        self
    }

    /// Requires a header to have this value, such as a version.
    pub fn require_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let headers = self.scheme.required_headers.to_mut();
        headers.push((owned(name), owned(value)));
        self
    }

    /// Requires the field of the body at this JSON pointer to have this value, such as a version.
    pub fn require_field(mut self, pointer: impl Into<String>, value: impl Into<String>) -> Self {
        let fields = self.scheme.required_fields.to_mut();
        fields.push((owned(pointer), owned(value)));
        self
    }

    /// Requires a claim in the JSON Web Token. The claim `aud` is a text or a list of texts. If the
    /// verifier has a public URL, `aud` must contain it.
    pub fn require_claim(mut self, name: impl Into<String>) -> Self {
        self.scheme.required_claims.to_mut().push(owned(name));
        self
    }

    /// Requires the field of the verified body at this JSON pointer to equal a
    /// [parameter](crate::VerifierBuilder::parameter). An example is the topic, for a sender that
    /// signs all users' topics with the same key.
    pub fn parameter_field(
        mut self,
        pointer: impl Into<String>,
        parameter: impl Into<String>,
    ) -> Self {
        let fields = self.scheme.parameter_fields.to_mut();
        fields.push((owned(pointer), owned(parameter)));
        self
    }

    /// Refuses bodies with a value at this JSON pointer, such as a second event that is not signed.
    pub fn refuse_field(mut self, pointer: impl Into<String>) -> Self {
        self.scheme.refused_fields.to_mut().push(owned(pointer));
        self
    }

    /// Sets the source of the idempotency key. Default: the ID if it is signed; the body's digest
    /// and the ID if the body is signed and a header contains an ID; otherwise none, because two
    /// events may have identical bytes.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Sets the idempotency key to these fields, as JSON pointers into the signed body. Together
    /// they must identify an event and stay the same in retries.
    pub fn identity_fields<P: Into<String>>(
        mut self,
        pointers: impl IntoIterator<Item = P>,
    ) -> Self {
        self.scheme.identity_fields = pointers.into_iter().map(owned).collect();
        self
    }

    /// Reads a form field instead of the field at this pointer into a JSON body, for senders that
    /// send either form. The body itself must not be signed.
    pub fn form_field(mut self, pointer: impl Into<String>, name: impl Into<String>) -> Self {
        let fields = self.scheme.form_fields.to_mut();
        fields.push((owned(pointer), owned(name)));
        self
    }

    /// Sets the form field that contains the JSON, for senders that may send forms. The delivery's
    /// body is then the JSON. Bodies of other content types are read as usual.
    ///
    /// The form is `application/x-www-form-urlencoded`. With the feature `multipart` and
    /// [`SignedForm::Value`], it may also be `multipart/form-data`.
    pub fn json_in_form(mut self, field: impl Into<String>, signed: SignedForm) -> Self {
        self.scheme.json_in_form = Some(JsonInForm { field: owned(field), signed });
        self
    }

    /// Adds a second name for a header, for senders that rename their headers. A request may have
    /// either name, or both with the same value.
    pub fn header_alias(mut self, header: impl Into<String>, alias: impl Into<String>) -> Self {
        let aliases = self.scheme.header_aliases.to_mut();
        aliases.push((owned(header), owned(alias)));
        self
    }

    /// Adds a challenge that a [`Receiver`](crate::Receiver) responds to.
    pub fn challenge(mut self, challenge: Challenge) -> Self {
        self.scheme.challenges.to_mut().push(challenge);
        self
    }

    /// Sets how long after the event the sender's last retry may arrive.
    pub fn retry_horizon(mut self, horizon: Duration) -> Self {
        self.scheme.hints.retry_horizon = Some(horizon);
        self
    }

    /// Sets the size of the sender's largest body, in bytes.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.scheme.hints.body_limit = Some(bytes);
        self
    }

    /// Sets how long the sender waits for a response. The receiver logs a warning if a handler
    /// takes more than 80 % of this time.
    pub fn time_budget(mut self, budget: Duration) -> Self {
        self.scheme.hints.time_budget = Some(budget);
        self
    }

    /// Checks the description and returns the scheme.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Option`] with the name of the option. Examples are an invalid header name, an
    /// unreadable template, signed content that uses what is not described, and an idempotency key
    /// from unsigned bytes. Schemes that cannot work or that prove nothing are refused as well.
    pub fn build(self) -> Result<Scheme, ConfigError> {
        let name = self.scheme.name.clone();
        let checked = |scheme| check::whole(&scheme).map(|()| scheme);
        self.assemble().and_then(checked).map_err(|error| error.about_scheme(&name))
    }

    /// Does the same without the proof that every signed text has one meaning.
    #[cfg(test)]
    pub(crate) fn build_unproven(self) -> Result<Scheme, ConfigError> {
        let scheme = self.assemble()?;
        check::rules(&scheme)?;
        Ok(scheme)
    }

    fn assemble(self) -> Result<Scheme, ConfigError> {
        let mut scheme = self.scheme;
        if scheme.signatures.is_empty() {
            return Err(ConfigError::option("signature_header", "no signature place is given"));
        }
        if let Some(option) = self.stray_form {
            return Err(ConfigError::option(
                option,
                "must follow a signature place without a form",
            ));
        }
        if let Some(option) = self.stray_digest {
            return Err(ConfigError::option(option, "must follow the place of the body's digest"));
        }
        let signs_content = check::signs_content(scheme.algorithm);
        scheme.content = match (&self.content, signs_content) {
            (None, true) => Scheme::BASE.content,
            (None, false) => Cow::Borrowed(&[]),
            (Some(template), false) if template.is_empty() => Cow::Borrowed(&[]),
            (Some(template), true) => part::parse(template)?.into(),
            (Some(_), false) => {
                return Err(ConfigError::option("signed_content", "tokens have no signed content"));
            }
        };
        if !self.version_contents.is_empty() && !scheme.algorithm.is_hmac() {
            return Err(ConfigError::option(
                "signed_content",
                "only HMAC supports a content for each version",
            ));
        }
        for (version, template) in self.version_contents {
            let content = part::parse(&template)?.into();
            scheme.version_contents.to_mut().push((owned(version), content));
        }
        scheme.encoding = match (self.encoding, signs_content) {
            (Some(_), false) => {
                return Err(ConfigError::option("encoding", "tokens have no encoding"));
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
            None if !scheme.identity_fields.is_empty() => Identity::Fields,
            None if scheme.id_is_signed() => Identity::SignedId,
            None if scheme.signs_body() && matches!(scheme.id, Some(Field::Header(_))) => {
                Identity::Digest
            }
            None => Identity::None,
        };
        Ok(scheme)
    }
}

fn owned(text: impl Into<String>) -> Text {
    Text::Owned(text.into())
}

fn no_timestamp(option: &'static str) -> ConfigError {
    ConfigError::option(option, "no timestamp is described")
}
