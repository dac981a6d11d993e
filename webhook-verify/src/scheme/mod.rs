//! The schemes of senders, as data.
#![deny(clippy::wildcard_enum_match_arm)]

/// A constant list in a row.
macro_rules! list {
    ($($item:expr),* $(,)?) => {
        Cow::Borrowed(const { &[$($item),*] as &[_] })
    };
}

mod blocks;
mod builder;
mod challenge;
mod check;
#[cfg(feature = "serde")]
mod config;
mod describe;
mod events;
mod methods;
mod named;
mod others;
mod page;
mod part;
mod presets;
mod proof;
mod time;

use std::borrow::Cow;

#[cfg(test)]
pub(crate) use self::check::misfit;
pub use self::{
    blocks::*, builder::SchemeBuilder, challenge::Challenge, describe::Description, presets::*,
    proof::Proof,
};
pub(crate) use self::{
    challenge::{Condition, Expected, Reply, Value, is_word},
    check::{is_pointer, is_token_byte},
    part::{
        DigestForm, Free, Hash, Origin, Part, PathForm, UrlForm, Values, Varies, WholeBody,
        body_follows_url,
    },
};
pub use crate::encoding::Encoding;
use crate::{clock::Tolerance, error::ConfigError};

pub(crate) type Text = Cow<'static, str>;
/// The body limit in bytes if neither the user nor the scheme sets one.
const DEFAULT_BODY_LIMIT: usize = 1 << 20;

static CONTENT_TYPE: Text = Cow::Borrowed("content-type");
static CONTENT_ENCODING: Text = Cow::Borrowed("content-encoding");
pub(crate) type List<T> = Cow<'static, [T]>;

/// How one sender signs its webhooks, as data: a preset, or built with [`Scheme::builder`].
///
/// No sender needs code of its own. A scheme defines the place and encoding of the signature, the
/// signed content, the kind of key, the places of the timestamp, delivery ID and event type, and
/// the source of the idempotency key. A verifier has one scheme and never falls back on another.
///
/// ```
/// use webhook_verify::{Scheme, Verifier, scheme::{self, Encoding}};
///
/// // a preset
/// let github = Verifier::new(scheme::GITHUB, "a secret")?;
///
/// // any other sender
/// let acme = Scheme::builder("acme")
///     .signature_header("acme-signature")
///     .prefix("v1=")
///     .encoding(Encoding::Hex)
///     .timestamp_header("acme-timestamp")
///     .signed_content("{timestamp}.{body}")
///     .build()?;
/// let acme = Verifier::new(acme, "a secret")?;
/// # Ok::<(), webhook_verify::ConfigError>(())
/// ```
#[cfg_attr(feature = "serde", doc = "")]
#[cfg_attr(feature = "serde", doc = include_str!("../../docs/configuration.md"))]
#[derive(Clone, Debug)]
pub struct Scheme {
    pub(crate) name: Text,
    /// The sender's display name.
    pub(crate) sender: Text,
    /// The page that the row is based on.
    pub(crate) documentation: Text,
    pub(crate) evidence: List<Evidence>,
    pub(crate) algorithm: Algorithm,
    pub(crate) key_form: KeyForm,
    /// The sender signs with its API key, so the secret may look like an API key.
    pub(crate) api_key: bool,
    /// The sender signs with the text of secrets that begin with `whsec_`.
    pub(crate) whsec_text: bool,
    pub(crate) key_source: Option<KeySource>,
    pub(crate) signatures: List<SignatureSource>,
    pub(crate) encoding: Encoding,
    pub(crate) content: List<Part>,
    /// The content of signatures with versions other than the first.
    pub(crate) version_contents: List<(Text, List<Part>)>,
    /// The place of the body's SHA-256 digest, for schemes that sign it instead of the body.
    pub(crate) body_digest: Option<BodyDigest>,
    /// The claim of a JSON Web Token with the digest of the URL.
    pub(crate) url_digest: Option<UrlDigest>,
    /// The bytes of a compressed body that are signed. If it is `None`, compressed bodies are
    /// refused.
    pub(crate) signed_bytes: Option<SignedBytes>,
    pub(crate) timestamp: Option<TimestampSource>,
    /// The required value of a JSON Web Token's `iss` claim.
    pub(crate) issuer: Option<Text>,
    /// The claims that a JSON Web Token must have.
    pub(crate) required_claims: List<Text>,
    pub(crate) required_headers: List<(Text, Text)>,
    /// Fields that the body must have with these values, such as a version.
    pub(crate) required_fields: List<(Text, Text)>,
    /// Fields that the body must not have, because the signature does not cover them.
    pub(crate) refused_fields: List<Text>,
    /// Fields of the verified body, and the parameter whose value each must have.
    pub(crate) parameter_fields: List<(Text, Text)>,
    pub(crate) id: Option<Field>,
    pub(crate) event_type: Option<Field>,
    /// An unsigned header that repeats the event type of the signed body.
    pub(crate) event_header: Option<Text>,
    pub(crate) envelope: Envelope,
    /// The pointer from an event to its time, and the time's unit.
    pub(crate) event_time: Option<(Text, TimeUnit)>,
    /// The pointer from an event to its data.
    pub(crate) event_data: Option<Text>,
    /// The pointer to a field of the body that only test payloads have.
    pub(crate) test_field: Option<Text>,
    pub(crate) identity: Identity,
    /// The fields of [`Identity::Fields`], as JSON pointers.
    pub(crate) identity_fields: List<Text>,
    /// Fields of forms, for senders that send either a JSON body or a form: the JSON pointer, and the
    /// field's name.
    pub(crate) form_fields: List<(Text, Text)>,
    /// The form field that contains the JSON, for senders that may send forms.
    pub(crate) json_in_form: Option<JsonInForm>,
    /// Header aliases: the name in this scheme, and the alias.
    pub(crate) header_aliases: List<(Text, Text)>,
    pub(crate) challenges: List<Challenge>,
    pub(crate) hints: Hints,
    pub(crate) notes: Notes,
}

impl Scheme {
    /// The default of presets and the builder: HMAC-SHA256 over the body, in hex.
    pub(crate) const BASE: Self = Self {
        name: Cow::Borrowed(""),
        sender: Cow::Borrowed(""),
        documentation: Cow::Borrowed(""),
        evidence: Cow::Borrowed(&[]),
        algorithm: Algorithm::HmacSha256,
        key_form: KeyForm::Utf8,
        api_key: false,
        whsec_text: false,
        key_source: None,
        signatures: Cow::Borrowed(&[]),
        encoding: Encoding::Hex,
        content: Cow::Borrowed(&[Part::Body]),
        version_contents: Cow::Borrowed(&[]),
        body_digest: None,
        url_digest: None,
        signed_bytes: None,
        timestamp: None,
        issuer: None,
        required_claims: Cow::Borrowed(&[]),
        required_headers: Cow::Borrowed(&[]),
        required_fields: Cow::Borrowed(&[]),
        refused_fields: Cow::Borrowed(&[]),
        parameter_fields: Cow::Borrowed(&[]),
        id: None,
        event_type: None,
        event_header: None,
        envelope: Envelope::One,
        event_time: None,
        event_data: None,
        test_field: None,
        identity: Identity::None,
        identity_fields: Cow::Borrowed(&[]),
        form_fields: Cow::Borrowed(&[]),
        json_in_form: None,
        header_aliases: Cow::Borrowed(&[]),
        challenges: Cow::Borrowed(&[]),
        hints: Hints { retry_horizon: None, body_limit: None, time_budget: None },
        notes: Notes::NONE,
    };

    /// Returns the preset of this name, such as `mautic` or `host-uk-core-api`.
    /// `name.parse::<Scheme>()` returns an error that suggests the nearest name.
    ///
    /// `shared-header`, which needs a header name, is no preset: see [`Scheme::shared_header`].
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        all_presets().find(|scheme| scheme.name == name).cloned()
    }

    /// Returns all presets.
    pub fn presets() -> impl Iterator<Item = &'static Self> {
        all_presets()
    }

    /// Returns the names of all presets.
    pub fn preset_names() -> impl Iterator<Item = &'static str> {
        Self::presets().map(|scheme| scheme.name.as_ref())
    }

    /// Returns a scheme for senders that sign nothing and send a fixed value in a header of the
    /// user's choice, like FluentCRM's step "Outgoing Webhook". Accepts any method and body.
    ///
    /// The value authenticates the sender, not the content: anyone who reads it can send anything.
    /// Retries look like new events, so deliveries have no idempotency key unless
    /// [`Idempotency::identity_from`](crate::Idempotency::identity_from) provides one.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Option`] if `header` is not a header name.
    pub fn shared_header(header: impl Into<String>) -> Result<Self, ConfigError> {
        Self::builder("shared-header").algorithm(Algorithm::Token).signature_header(header).build()
    }

    /// Starts a description: HMAC-SHA256 over the raw body, in hex, with the secret's text as key.
    pub fn builder(name: impl Into<String>) -> SchemeBuilder {
        SchemeBuilder::new(name.into())
    }

    /// Returns the scheme's name, for logs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether no primary source confirms that the sender signs this way.
    #[must_use]
    pub fn is_unproven(&self) -> bool {
        self.evidence.contains(&Evidence::Unproven)
    }

    /// Returns the algorithm. A request cannot change it.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the scheme with another key form, for example for OpenAI secrets without `whsec_`.
    #[must_use]
    pub fn with_key_form(self, key_form: KeyForm) -> Self {
        Self { key_form, ..self }
    }

    /// Returns how the secret's text becomes key bytes.
    #[must_use]
    pub fn key_form(&self) -> KeyForm {
        self.key_form
    }

    /// Returns the encoding of the signature.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Returns whether the signature covers the delivery ID. An unsigned ID is only a log label.
    #[must_use]
    pub fn id_is_signed(&self) -> bool {
        let in_content = self.id.is_some() && self.signs_from(Origin::Id);
        in_content || self.id.as_ref().is_some_and(|field| self.covers(field))
    }

    /// Returns whether the signature covers the event type. A client can choose an unsigned one.
    #[must_use]
    pub fn event_type_is_signed(&self) -> bool {
        self.event_type.as_ref().is_some_and(|field| self.covers(field))
    }

    /// Returns whether the signature covers a field.
    pub(crate) fn covers(&self, field: &Field) -> bool {
        let is_it = |part: &Part| match (part.facts().values, field) {
            (Values::Header(signed), Field::Header(name)) => signed == name,
            (Values::Field(signed), Field::Pointer(pointer)) => signed == pointer,
            _ => false,
        };
        match field {
            Field::Header(_) => self.signs(is_it),
            Field::FirstKey => self.signs_body(),
            Field::Pointer(pointer) => {
                let in_fields = |part: &Part| match part.facts().values {
                    Values::Fields(signed) => signed.contains(pointer),
                    Values::Unnamed
                    | Values::Header(_)
                    | Values::ListedHeaders(_)
                    | Values::Field(_)
                    | Values::FormField(_) => false,
                };
                self.signs_body() || self.signs(in_fields) || self.signs(is_it)
            }
        }
    }

    /// Returns the default source of the idempotency key.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Returns whether the idempotency key may be the digest of signed content other than the body.
    pub(crate) fn identity_reads_content(&self) -> bool {
        self.identity == Identity::SignedContent
            || self.identity == Identity::Digest && !self.signs_body()
    }

    /// Returns whether an idempotency key must contain the digest of the body: the signature covers
    /// only a part of the body, so the key's other parts do not determine it.
    pub(crate) fn key_needs_body(&self, identity: Identity) -> bool {
        match identity {
            Identity::SignedId | Identity::Fields => !self.signs_body(),
            // The digest of the signed content contains the fields of a form.
            Identity::Digest => !self.signs_body() && !self.content.contains(&Part::Form),
            Identity::BodyDigest | Identity::SignedContent | Identity::None => false,
        }
    }

    /// Returns whether the key of [`Identity::Digest`] contains headers that are not signed.
    pub(crate) fn has_label_headers(&self) -> bool {
        let in_header = |field: &Option<Field>| matches!(field, Some(Field::Header(_)));
        in_header(&self.id) || in_header(&self.event_type)
    }

    /// Returns the scheme's tolerance, or `None` if it has no timestamp or does not check it.
    #[must_use]
    pub fn tolerance(&self) -> Option<Tolerance> {
        self.timestamp.as_ref().and_then(|timestamp| timestamp.tolerance)
    }

    /// Returns which bytes of a compressed body are signed, or `None` if such bodies are refused.
    #[must_use]
    pub fn signed_bytes(&self) -> Option<SignedBytes> {
        self.signed_bytes
    }

    /// Returns the default body limit, in bytes.
    pub(crate) fn body_limit(&self) -> usize {
        self.hints.body_limit.unwrap_or(DEFAULT_BODY_LIMIT)
    }

    /// Returns the sender's verification handshakes.
    #[must_use]
    pub fn challenges(&self) -> &[Challenge] {
        &self.challenges
    }

    /// Returns the names of the headers that the scheme needs, in lower case.
    pub(crate) fn header_names(&self) -> impl Iterator<Item = Text> {
        let mut names: Vec<&Text> = Vec::new();
        for source in &*self.signatures {
            match &source.place {
                Place::Header(name) => names.push(name),
                Place::Form(_) => names.push(&CONTENT_TYPE),
                Place::HeaderPrefix(_) | Place::Query(_) | Place::Pointer(_) => {}
            }
        }
        names.extend(self.parts().flat_map(|part| part.facts().headers()));
        for field in [&self.id, &self.event_type] {
            if let Some(Field::Header(name)) = field {
                names.push(name);
            }
        }
        match self.timestamp.as_ref().map(|time| &time.place) {
            Some(TimestampPlace::Header(name)) => names.push(name),
            Some(TimestampPlace::Form(_)) => names.push(&CONTENT_TYPE),
            Some(
                TimestampPlace::Pair(_)
                | TimestampPlace::Before
                | TimestampPlace::Pointer(_)
                | TimestampPlace::Claim(_),
            )
            | None => {}
        }
        if let Some(KeySource::Url { place: Place::Header(name), .. }) = &self.key_source {
            names.push(name);
        }
        if !self.form_fields.is_empty() || self.json_in_form.is_some() {
            names.push(&CONTENT_TYPE);
        }
        names.extend(self.required_headers.iter().map(|(name, _)| name));
        names.extend(&self.event_header);
        names.extend(self.signed_bytes.map(|_| &CONTENT_ENCODING));
        names.sort_unstable();
        names.dedup();
        names.into_iter().cloned().collect::<Vec<_>>().into_iter()
    }

    /// Returns the pointers to the fields of the body that verification reads.
    pub(crate) fn pointers(&self) -> impl Iterator<Item = &str> {
        let mut all: Vec<&Text> = Vec::new();
        all.extend(self.signatures.iter().filter_map(|source| source.place.pointer()));
        if let Some(KeySource::Url { place, .. }) = &self.key_source {
            all.extend(place.pointer());
        }
        for part in self.parts() {
            match part.facts().values {
                Values::Field(pointer) => all.push(pointer),
                Values::Fields(pointers) => all.extend(pointers),
                Values::Unnamed
                | Values::Header(_)
                | Values::ListedHeaders(_)
                | Values::FormField(_) => {}
            }
        }
        if let Some(TimestampPlace::Pointer(pointer)) = self.timestamp.as_ref().map(|at| &at.place)
        {
            all.push(pointer);
        }
        let id = self.id.as_ref().filter(|_| self.signs_from(Origin::Id));
        let event_type = self.event_type.as_ref().filter(|_| self.event_header.is_some());
        for field in [id, event_type] {
            if let Some(Field::Pointer(pointer)) = field {
                all.push(pointer);
            }
        }
        all.extend(self.required_fields.iter().map(|(pointer, _)| pointer));
        all.extend(&*self.refused_fields);
        all.extend(self.parameter_fields.iter().map(|(pointer, _)| pointer));
        all.into_iter().map(|pointer| &**pointer)
    }

    /// Returns the names of the parameters that a verifier needs in addition to its secret.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        let in_content = self.parts().filter_map(|part| part.facts().parameter);
        let of_fields = self.parameter_fields.iter().map(|(_, name)| &**name);
        in_content.chain(of_fields)
    }

    /// Returns the bytes that the value of each part of a content must not contain. If a value
    /// contained them, another split could have the same signature.
    pub(crate) fn delimiters(&self, content: &[Part]) -> Vec<Box<[u8]>> {
        check::all_delimiters(self, content)
    }

    /// Returns the index of a version's content, if the version has its own.
    pub(crate) fn content_of_version(&self, version: &str) -> Option<usize> {
        self.version_contents.iter().position(|(known, _)| known == version)
    }

    /// Returns whether a part is composed together with the body: it comes from the body, or it is
    /// the secret, which the key inserts.
    #[inline]
    pub(crate) fn comes_late(&self, part: &Part) -> bool {
        matches!(part, Part::Secret) || self.reads_from_body(part)
    }

    /// Returns the index of the piece of signed content that follows the secret.
    pub(crate) fn secret_piece(&self) -> usize {
        let mut late = self.content.iter().skip_while(|part| !self.comes_late(part));
        late.position(|part| matches!(part, Part::Secret)).map_or(0, |index| index + 1)
    }

    /// Returns the required length, in bytes, of a timestamp without text around it: that of the
    /// years 2001 to 2286.
    pub(crate) fn timestamp_len(&self) -> Option<usize> {
        let len = match self.timestamp.as_ref()?.unit {
            TimeUnit::Seconds => 10,
            TimeUnit::Milliseconds => 13,
            // The form determines where it ends.
            TimeUnit::Rfc3339 | TimeUnit::Utc | TimeUnit::Rfc1123 => return None,
        };
        let limits =
            |part: Option<&Part>, is_after: bool| match part.map(|part| part.facts().literal) {
                None => true,
                Some(None) => false,
                Some(Some(text)) => {
                    let bytes = text.as_bytes();
                    let touching = if is_after { bytes.first() } else { bytes.last() };
                    touching.is_some_and(|byte| !byte.is_ascii_digit())
                }
            };
        let contents = [&*self.content].into_iter();
        let contents = contents.chain(self.version_contents.iter().map(|(_, content)| &**content));
        let touches = |content: &[Part]| {
            content.iter().enumerate().any(|(at, part)| {
                matches!(part, Part::Timestamp)
                    && !(limits(content.get(at + 1), true)
                        && limits(at.checked_sub(1).and_then(|at| content.get(at)), false))
            })
        };
        contents.into_iter().any(touches).then_some(len)
    }

    /// Returns whether the signature covers the bytes of the body, directly or by a digest. If not,
    /// it proves only what the sender signs instead: see the preset's documentation.
    #[must_use]
    pub fn signs_body(&self) -> bool {
        self.body_digest.is_some()
            || self.signs_whole(WholeBody::Bytes)
            || self.signs_whole(WholeBody::Digest)
    }

    /// Returns the parts of the signed content, in all versions.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        let of_versions = self.version_contents.iter().flat_map(|(_, content)| &**content);
        self.content.iter().chain(of_versions)
    }

    fn signs(&self, is_it: impl Fn(&Part) -> bool) -> bool {
        self.parts().any(is_it)
    }

    fn signs_from(&self, origin: Origin) -> bool {
        self.signs(|part| part.facts().origin == origin)
    }

    /// Returns whether the whole body is signed in this form.
    pub(crate) fn signs_whole(&self, form: WholeBody) -> bool {
        self.signs(|part| part.facts().whole_body == Some(form))
    }

    /// Returns whether the body must be read before the signature is verified.
    pub(crate) fn looks_before_it_judges(&self) -> bool {
        let in_body = |source: &SignatureSource| source.place.is_in_body();
        self.key_source.is_some()
            || !self.required_fields.is_empty()
            || !self.refused_fields.is_empty()
            || self.signatures.iter().any(in_body)
    }

    /// Returns whether an unsigned challenge gets text signed with the secret of deliveries.
    pub(crate) fn signs_for_anybody(&self) -> bool {
        let mut challenges = self.challenges.iter();
        challenges.any(|challenge| !challenge.signed && challenge.asks_for_mac())
    }

    /// Returns whether a request may contain the secret.
    pub(crate) fn has_handshake(&self) -> bool {
        self.challenges.iter().any(Challenge::is_handshake)
    }

    /// Returns whether form fields of the body are read.
    pub(crate) fn reads_forms(&self) -> bool {
        let mut places = self.signatures.iter().map(|source| &source.place);
        self.signs_whole(WholeBody::Form)
            || self.signs(|part| matches!(part.facts().values, Values::FormField(_)))
            || places.any(|place| matches!(place, Place::Form(_)))
            || !self.form_fields.is_empty()
            || self.json_in_form.is_some()
            || matches!(
                self.timestamp,
                Some(TimestampSource { place: TimestampPlace::Form(_), .. })
            )
    }

    /// Returns whether a JSON Web Token must have this claim.
    #[cfg(feature = "testing")]
    pub(crate) fn requires_claim(&self, name: &str) -> bool {
        self.required_claims.iter().any(|known| known == name)
    }

    /// Returns whether form fields may be read from a `multipart/form-data` body. The signature
    /// does not cover the body's own bytes. A token is not looked for among uploaded files.
    pub(crate) fn reads_multipart(&self) -> bool {
        match &self.json_in_form {
            Some(json) => json.signed == SignedForm::Value,
            None => {
                self.reads_forms()
                    && !self.algorithm.is_token()
                    && !self.parts().any(|part| part.facts().whole_body.is_some())
            }
        }
    }

    /// Returns whether a form field with this name is read.
    #[cfg(feature = "multipart")]
    pub(crate) fn reads_form_field(&self, name: &str) -> bool {
        let is_place =
            |source: &SignatureSource| matches!(&source.place, Place::Form(known) if known == name);
        let time = self.timestamp.as_ref().map(|source| &source.place);
        self.json_in_form.as_ref().is_some_and(|json| json.field == name)
            || self.form_fields.iter().any(|(_, known)| known == name)
            || self.signatures.iter().any(is_place)
            || matches!(time, Some(TimestampPlace::Form(known)) if known == name)
            || self.signs(
                |part| matches!(part.facts().values, Values::FormField(known) if known == name),
            )
    }

    /// Returns whether the target of a request is signed, or a part of it.
    pub(crate) fn signs_target(&self) -> bool {
        self.signs(|part| part.facts().has_query || matches!(part, Part::Query(_)))
    }

    pub(crate) fn needs_public_url(&self) -> bool {
        let in_token = self.url_digest.as_ref();
        in_token.is_some_and(|digest| digest.form == UrlDigestForm::Url)
            || self.signs(|part| part.facts().url.is_some())
    }

    /// Returns whether the bytes of the part come from the body.
    #[inline]
    pub(crate) fn reads_from_body(&self, part: &Part) -> bool {
        match part.facts().origin {
            Origin::Constant | Origin::Head => false,
            Origin::Body => true,
            Origin::Timestamp => {
                self.timestamp.as_ref().is_some_and(|source| source.place.is_in_body())
            }
            Origin::Id => match self.id {
                Some(Field::Pointer(_) | Field::FirstKey) => true,
                Some(Field::Header(_)) | None => false,
            },
        }
    }
}
