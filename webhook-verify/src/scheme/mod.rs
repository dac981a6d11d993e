//! Senders' schemes as data.
#![deny(clippy::wildcard_enum_match_arm)]

/// A list that is part of a row.
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
mod named;
mod part;
mod presets;
mod time;

use std::borrow::Cow;

pub use self::{blocks::*, builder::SchemeBuilder, challenge::Challenge, presets::*};
pub(crate) use self::{
    challenge::{Condition, Expected, Reply, Value, is_word},
    check::is_pointer,
    part::{Ends, Origin, Part, PathForm, UrlForm, Values, Varies, WholeBody},
};
pub use crate::encoding::Encoding;
use crate::{clock::Tolerance, error::ConfigError};

pub(crate) type Text = Cow<'static, str>;
static CONTENT_TYPE: Text = Cow::Borrowed("content-type");
pub(crate) type List<T> = Cow<'static, [T]>;

/// How one sender signs its webhooks, as data: a preset, or described with [`Scheme::builder`].
///
/// There is no code per sender. A scheme says where the signature is and how it is written, what is signed with which
/// kind of key, where the timestamp, the delivery's id and the event type are, and from what a delivery's identity is
/// made. A request is judged by the one scheme it is given to; there is no falling back from one to another.
///
/// ```
/// use webhook_verify::{Scheme, Verifier, scheme::{self, Encoding}};
///
/// // a sender that everybody knows
/// let github = Verifier::new(scheme::GITHUB, "a secret")?;
///
/// // one that nobody has heard of
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
    /// The sender's own name, for people.
    pub(crate) sender: Text,
    /// The page that the row was made from.
    pub(crate) documentation: Text,
    pub(crate) evidence: List<Evidence>,
    pub(crate) algorithm: Algorithm,
    pub(crate) key_form: KeyForm,
    pub(crate) key_source: Option<KeySource>,
    pub(crate) signatures: List<SignatureSource>,
    pub(crate) encoding: Encoding,
    pub(crate) content: List<Part>,
    /// Where the body's SHA-256 digest is, for schemes that sign it instead of the body.
    pub(crate) body_digest: Option<BodyDigest>,
    pub(crate) timestamp: Option<TimestampSource>,
    /// What the claim `iss` of a JSON Web Token must say.
    pub(crate) issuer: Option<Text>,
    /// The claims that a JSON Web Token must have.
    pub(crate) required_claims: List<Text>,
    pub(crate) required_headers: List<(Text, Text)>,
    /// Fields of the verified body that must have these values, such as a version.
    pub(crate) required_fields: List<(Text, Text)>,
    /// What the body must not have, because the sender's signature would not cover it.
    pub(crate) refused_fields: List<Text>,
    /// Fields of the verified body, and the parameter whose value each must have.
    pub(crate) parameter_fields: List<(Text, Text)>,
    pub(crate) id: Option<Field>,
    pub(crate) event_type: Option<Field>,
    /// An unsigned header that repeats the event type of the signed body.
    pub(crate) event_header: Option<Text>,
    pub(crate) envelope: Envelope,
    /// Pointers from an event on: when it happened, and how that is written.
    pub(crate) event_time: Option<(Text, TimeUnit)>,
    /// What it happened to.
    pub(crate) event_data: Option<Text>,
    /// What is in the body of a test payload, and of no other.
    pub(crate) test_field: Option<Text>,
    pub(crate) identity: Identity,
    pub(crate) challenges: List<Challenge>,
    pub(crate) hints: Hints,
}

impl Scheme {
    /// The scheme that the presets and the builder start from: HMAC-SHA256 over the body, in hex.
    pub(crate) const BASE: Self = Self {
        name: Cow::Borrowed(""),
        sender: Cow::Borrowed(""),
        documentation: Cow::Borrowed(""),
        evidence: Cow::Borrowed(&[]),
        algorithm: Algorithm::HmacSha256,
        key_form: KeyForm::Utf8,
        key_source: None,
        signatures: Cow::Borrowed(&[]),
        encoding: Encoding::Hex,
        content: Cow::Borrowed(&[Part::Body]),
        body_digest: None,
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
        identity: Identity::BodyDigest,
        challenges: Cow::Borrowed(&[]),
        hints: Hints { retry_horizon: None, body_limit: None, time_budget: None },
    };

    /// The preset of this name, such as `mautic` or `host-uk-core-api`. `name.parse::<Scheme>()` returns
    /// an error that suggests the nearest name.
    ///
    /// `shared-header` is not among them, because it needs the header's name: see [`Scheme::shared_header`].
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        all_presets().find(|scheme| scheme.name == name).cloned()
    }

    /// All presets.
    pub fn presets() -> impl Iterator<Item = &'static Self> {
        all_presets()
    }

    /// The names of all presets.
    pub fn preset_names() -> impl Iterator<Item = &'static str> {
        Self::presets().map(|scheme| scheme.name.as_ref())
    }

    /// The scheme of senders that sign nothing and send a fixed value in a header of the user's choice, as FluentCRM's
    /// automation step "Outgoing Webhook" really does. Works for any method and body.
    ///
    /// The value proves who sends, not what: whoever reads it can send anything. Nothing tells a retry from a second
    /// event, so deliveries have no identity, unless
    /// [`Idempotency::identity_from`](crate::Idempotency::identity_from) gives one.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Option`] when `header` is not a header name.
    pub fn shared_header(header: impl Into<String>) -> Result<Self, ConfigError> {
        Self::builder("shared-header").algorithm(Algorithm::Token).signature_header(header).build()
    }

    /// Describes a sender's scheme. It starts as HMAC-SHA256 over the raw body, in hex, keyed with the secret's text.
    pub fn builder(name: impl Into<String>) -> SchemeBuilder {
        SchemeBuilder::new(name.into())
    }

    /// The scheme's name, for logs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The algorithm; a request has no say in it.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The same scheme with secrets in another form, such as OpenAI's without `whsec_`.
    #[must_use]
    pub fn with_key_form(self, key_form: KeyForm) -> Self {
        Self { key_form, ..self }
    }

    /// How the secret's text becomes key bytes.
    #[must_use]
    pub fn key_form(&self) -> KeyForm {
        self.key_form
    }

    /// How the signature is written.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Whether the delivery's id is under the signature. One that is not is a label for logs and nothing else.
    #[must_use]
    pub fn id_is_signed(&self) -> bool {
        let in_content = self.id.is_some() && self.signs_from(Origin::Id);
        in_content || self.id.as_ref().is_some_and(|field| self.covers(field))
    }

    /// Whether the event type is under the signature. One that is not is the client's word.
    #[must_use]
    pub fn event_type_is_signed(&self) -> bool {
        self.event_type.as_ref().is_some_and(|field| self.covers(field))
    }

    /// Whether a field is under the signature.
    fn covers(&self, field: &Field) -> bool {
        let is_it = |part: &Part| match (part.facts().values, field) {
            (Values::Header(signed), Field::Header(name)) => signed == name,
            (Values::Field(signed) | Values::FreeField(signed), Field::Pointer(pointer)) => {
                signed == pointer
            }
            _ => false,
        };
        // What touches another part of the body could be cut off from it elsewhere.
        let touches = self.content.windows(2).any(|pair| {
            pair.iter().any(is_it) && pair.iter().all(|part| part.facts().literal.is_none())
        });
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
                    | Values::FreeField(_) => false,
                };
                self.signs_body() || self.signs(in_fields) || self.signs(is_it) && !touches
            }
        }
    }

    /// What a delivery is recognised by, unless the user says otherwise.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The tolerance of the sender's own documents, `None` where no timestamp is signed.
    #[must_use]
    pub fn tolerance(&self) -> Option<Tolerance> {
        self.timestamp.as_ref().and_then(|timestamp| timestamp.tolerance)
    }

    /// The sender's name, for people; that of the scheme where nothing else is known.
    #[must_use]
    pub fn sender(&self) -> &str {
        if self.sender.is_empty() { &self.name } else { &self.sender }
    }

    /// The address of the sender's page about its signatures. Empty where there is none.
    #[must_use]
    pub fn documentation(&self) -> &str {
        &self.documentation
    }

    /// How it is known that the sender signs this way.
    #[must_use]
    pub fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    /// The requests by which the sender finds out whether a receiver is there.
    #[must_use]
    pub fn challenges(&self) -> &[Challenge] {
        &self.challenges
    }

    /// What is known of the sender apart from its signature.
    #[must_use]
    pub fn hints(&self) -> Hints {
        self.hints
    }

    /// The headers that the scheme looks at, in lower case.
    pub(crate) fn header_names(&self) -> impl Iterator<Item = Text> {
        let mut names: Vec<&Text> = Vec::new();
        for source in &*self.signatures {
            match &source.place {
                Place::Header(name) => names.push(name),
                Place::Form(_) => names.push(&CONTENT_TYPE),
                Place::HeaderPrefix(_) | Place::Query(_) | Place::Pointer(_) => {}
            }
        }
        names.extend(self.content.iter().flat_map(|part| part.facts().headers()));
        for field in [&self.id, &self.event_type] {
            if let Some(Field::Header(name)) = field {
                names.push(name);
            }
        }
        if let Some(TimestampPlace::Header(name)) = self.timestamp.as_ref().map(|time| &time.place)
        {
            names.push(name);
        }
        if let Some(KeySource::Url { place: Place::Header(name), .. }) = &self.key_source {
            names.push(name);
        }
        names.extend(self.required_headers.iter().map(|(name, _)| name));
        names.extend(&self.event_header);
        names.sort_unstable();
        names.dedup();
        names.into_iter().cloned().collect::<Vec<_>>().into_iter()
    }

    /// The values that a receiver has to be given beside its secret, by name.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        let in_content = self.content.iter().filter_map(|part| part.facts().parameter);
        let of_fields = self.parameter_fields.iter().map(|(_, name)| &**name);
        in_content.chain(of_fields)
    }

    /// The bytes that tell `part` from what is signed before and after it. A value that holds one of them could be cut
    /// off elsewhere under the same signature.
    pub(crate) fn delimiters_of(&self, part: &Part) -> impl Iterator<Item = u8> {
        let pairs = self.content.windows(2);
        pairs.filter_map(move |pair| match pair {
            [this, next] if this == part && next.facts().literal.is_some() => {
                next.facts().literal?.bytes().next()
            }
            [previous, this] if this == part => previous.facts().literal?.bytes().next_back(),
            _ => None,
        })
    }

    /// Whether the body's own bytes are under the signature, as they are or by their digest. Where they are not, no more
    /// is proven than what the sender signs instead: see the preset's documentation.
    #[must_use]
    pub fn signs_body(&self) -> bool {
        self.body_digest.is_some() || self.signs_whole(WholeBody::Bytes)
    }

    fn signs(&self, is_it: impl Fn(&Part) -> bool) -> bool {
        self.content.iter().any(is_it)
    }

    fn signs_from(&self, origin: Origin) -> bool {
        self.signs(|part| part.facts().origin == origin)
    }

    /// Returns whether the whole body is signed in this form.
    pub(crate) fn signs_whole(&self, form: WholeBody) -> bool {
        self.signs(|part| part.facts().whole_body == Some(form))
    }

    /// Whether anything of the body is looked at before its signature is judged.
    pub(crate) fn looks_before_it_judges(&self) -> bool {
        let in_body = |source: &SignatureSource| source.place.is_in_body();
        self.key_source.is_some()
            || !self.required_fields.is_empty()
            || !self.refused_fields.is_empty()
            || self.signatures.iter().any(in_body)
    }

    /// Whether a challenge has anybody's text signed with the secret that signs deliveries.
    pub(crate) fn signs_for_anybody(&self) -> bool {
        let mut challenges = self.challenges.iter();
        challenges.any(|challenge| !challenge.signed && challenge.asks_for_mac())
    }

    /// Whether a secret may come with a request.
    pub(crate) fn has_handshake(&self) -> bool {
        self.challenges.iter().any(Challenge::is_handshake)
    }

    /// Whether form fields of the body are looked into.
    pub(crate) fn reads_forms(&self) -> bool {
        let mut places = self.signatures.iter().map(|source| &source.place);
        self.signs_whole(WholeBody::Form) || places.any(|place| matches!(place, Place::Form(_)))
    }

    pub(crate) fn needs_public_url(&self) -> bool {
        self.signs(|part| part.facts().url.is_some())
    }

    /// Returns whether the bytes of the part come from the body.
    #[inline]
    pub(crate) fn reads_from_body(&self, part: &Part) -> bool {
        match part.facts().origin {
            Origin::Constant | Origin::Head => false,
            Origin::Body => true,
            Origin::Timestamp => match self.timestamp.as_ref().map(|source| &source.place) {
                Some(TimestampPlace::Pointer(_)) => true,
                Some(
                    TimestampPlace::Header(_) | TimestampPlace::Pair(_) | TimestampPlace::Claim(_),
                )
                | None => false,
            },
            Origin::Id => match self.id {
                Some(Field::Pointer(_) | Field::FirstKey) => true,
                Some(Field::Header(_)) | None => false,
            },
        }
    }
}
