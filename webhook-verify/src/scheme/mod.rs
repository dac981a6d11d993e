//! Senders' schemes as data.

/// A list that is part of a row.
macro_rules! list {
    ($($item:expr),* $(,)?) => {
        Cow::Borrowed(const { &[$($item),*] as &[_] })
    };
}

mod builder;
mod challenge;
mod check;
#[cfg(feature = "serde")]
mod config;
mod content;
mod describe;
mod presets;

use std::{borrow::Cow, time::Duration};

pub(crate) use self::challenge::{Condition, Expected, Reply, Value, is_word};
pub use self::{builder::SchemeBuilder, challenge::Challenge, presets::*};
use crate::{ConfigError, Encoding, Tolerance};

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
/// use webhook_verify::{Encoding, Scheme, Verifier, scheme};
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
        identity: Identity::BodyDigest,
        challenges: Cow::Borrowed(&[]),
        hints: Hints {
            retry_horizon: None,
            body_limit: None,
            time_budget: None,
        },
    };

    /// The preset of this name, such as `mautic` or `host-uk-core-api`.
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
        Self::builder("shared-header")
            .algorithm(Algorithm::Token)
            .signature_header(header)
            .build()
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
        match &self.id {
            None => false,
            Some(_) if self.signs(|part| matches!(part, Part::Id)) => true,
            Some(Field::Header(name)) => {
                self.signs(|part| matches!(part, Part::Header(signed) if signed == name))
            }
            Some(Field::Pointer(pointer)) => {
                let is_it =
                    |part: &Part| matches!(part, Part::Pointer(signed) if signed == pointer);
                // What touches another part could be cut off from it elsewhere.
                let touches = self.content.windows(2).any(|pair| {
                    pair.iter().any(is_it)
                        && !pair.iter().any(|part| matches!(part, Part::Literal(_)))
                });
                let signed = |part: &Part| match part {
                    Part::Fields(signed) => signed.contains(pointer),
                    part => is_it(part) && !touches,
                };
                self.signs(signed) || self.signs_body()
            }
            Some(Field::FirstKey) => self.signs_body(),
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
        self.timestamp
            .as_ref()
            .and_then(|timestamp| timestamp.tolerance)
    }

    /// The sender's name, for people; that of the scheme where nothing else is known.
    #[must_use]
    pub fn sender(&self) -> &str {
        match self.sender.is_empty() {
            true => &self.name,
            false => &self.sender,
        }
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
        for part in &*self.content {
            match part {
                Part::Header(name) | Part::SignedHeaders(name) => names.push(name),
                Part::Form => names.push(&CONTENT_TYPE),
                _ => {}
            }
        }
        for field in [&self.id, &self.event_type] {
            if let Some(Field::Header(name)) = field {
                names.push(name);
            }
        }
        if let Some(TimestampPlace::Header(name)) = self.timestamp.as_ref().map(|time| &time.place)
        {
            names.push(name);
        }
        if let Some(KeySource::Url {
            place: Place::Header(name),
            ..
        }) = &self.key_source
        {
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
        let in_content = self.content.iter().filter_map(|part| match part {
            Part::Parameter(name) => Some(&**name),
            _ => None,
        });
        let of_fields = self.parameter_fields.iter().map(|(_, name)| &**name);
        in_content.chain(of_fields)
    }

    /// The bytes that tell `part` from what is signed before and after it. A value that holds one of them could be cut
    /// off elsewhere under the same signature.
    pub(crate) fn delimiters_of(&self, part: &Part) -> impl Iterator<Item = u8> {
        let pairs = self.content.windows(2);
        pairs.filter_map(move |pair| match pair {
            [this, Part::Literal(text)] if this == part => text.bytes().next(),
            [Part::Literal(text), this] if this == part => text.bytes().next_back(),
            _ => None,
        })
    }

    /// Whether the body's own bytes are under the signature, as they are or by their digest. Where they are not, no more
    /// is proven than what the sender signs instead: see the preset's documentation.
    #[must_use]
    pub fn signs_body(&self) -> bool {
        self.body_digest.is_some() || self.signs(|part| matches!(part, Part::Body))
    }

    fn signs(&self, is_it: impl Fn(&Part) -> bool) -> bool {
        self.content.iter().any(is_it)
    }

    /// Whether anything of the body is looked at before its signature is judged.
    pub(crate) fn looks_before_it_judges(&self) -> bool {
        let in_body =
            |source: &SignatureSource| matches!(source.place, Place::Form(_) | Place::Pointer(_));
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
        self.signs(|part| matches!(part, Part::Form))
            || places.any(|place| matches!(place, Place::Form(_)))
    }

    pub(crate) fn needs_public_url(&self) -> bool {
        self.signs(|part| matches!(part, Part::Url(_)))
    }

    /// Whether the signed part is in the body, or made of it.
    pub(crate) fn reads_from_body(&self, part: &Part) -> bool {
        match part {
            Part::Body
            | Part::Pointer(_)
            | Part::FreePointer(_)
            | Part::Form
            | Part::Crc32
            | Part::Fields(_) => true,
            Part::Timestamp => matches!(
                self.timestamp,
                Some(TimestampSource {
                    place: TimestampPlace::Pointer(_),
                    ..
                })
            ),
            Part::Id => matches!(self.id, Some(Field::Pointer(_) | Field::FirstKey)),
            Part::Literal(_)
            | Part::Url(_)
            | Part::Method
            | Part::Path(_)
            | Part::Header(_)
            | Part::SignedHeaders(_)
            | Part::Parameter(_) => false,
        }
    }
}

/// How the proof is made. Those of other features are there, too, and refused when a verifier is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256 (RFC 2104, FIPS 180-4).
    HmacSha256,
    /// HMAC with SHA-1: still sound as a MAC, and what some senders use.
    HmacSha1,
    /// HMAC with SHA-512.
    HmacSha512,
    /// SHA-256 over the secret and the signed content after it, as HubSpot had it before it took to HMAC. Whoever knows
    /// one signature can lengthen the content; use it for such senders only.
    KeyedSha256,
    /// The secret itself is sent: nothing is signed.
    Token,
    /// User name and password (RFC 7617), `name:password` as the secret: nothing is signed.
    Basic,
    /// Ed25519 (RFC 8032), strictly. Feature `ed25519`.
    Ed25519,
    /// ECDSA on P-256 with SHA-256, the signature in DER. Feature `ecdsa`.
    EcdsaP256,
    /// RSA PKCS#1 v1.5 with SHA-256 (RFC 8017). Feature `rsa`.
    RsaSha256,
    /// RSA PKCS#1 v1.5 with SHA-1, which is broken for documents that an attacker may choose. Feature `rsa`.
    RsaSha1,
    /// A JSON Web Token (RFC 7519) with HMAC-SHA256. Feature `jwt`.
    JwtHs256,
    /// A JSON Web Token with ECDSA on P-256. Features `jwt` and `ecdsa`.
    JwtEs256,
}

impl Algorithm {
    /// How long a MAC or the digest of a token is; 0 for signatures by public keys.
    pub(crate) const fn tag_len(self) -> usize {
        match self {
            Self::HmacSha256 | Self::KeyedSha256 | Self::Token | Self::Basic | Self::JwtHs256 => 32,
            Self::HmacSha1 => 20,
            Self::HmacSha512 => 64,
            Self::Ed25519 | Self::EcdsaP256 | Self::RsaSha256 | Self::RsaSha1 | Self::JwtEs256 => 0,
        }
    }

    /// Whether a signature by a public key may have so many bytes.
    pub(crate) const fn takes(self, len: usize) -> bool {
        match self {
            Self::Ed25519 | Self::JwtEs256 => len == 64,
            // Two numbers of up to 33 bytes, in DER.
            Self::EcdsaP256 => len >= 8 && len <= 72,
            _ => len >= 256 && len <= 1024,
        }
    }

    /// Whether the secret itself is sent.
    pub(crate) const fn is_token(self) -> bool {
        matches!(self, Self::Token | Self::Basic)
    }

    pub(crate) const fn is_hmac(self) -> bool {
        matches!(self, Self::HmacSha256 | Self::HmacSha1 | Self::HmacSha512)
    }

    pub(crate) const fn is_jwt(self) -> bool {
        matches!(self, Self::JwtHs256 | Self::JwtEs256)
    }

    /// Whether the secret is shared with the sender, so that it can sign as well as verify.
    #[must_use]
    pub const fn is_symmetric(self) -> bool {
        !matches!(
            self,
            Self::Ed25519 | Self::EcdsaP256 | Self::RsaSha256 | Self::RsaSha1 | Self::JwtEs256
        )
    }
}

/// How the secret's text becomes key bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum KeyForm {
    /// The text's own bytes, prefixes such as `whsec_` included.
    Utf8,
    /// Hexadecimal: of a secret's bytes, or of a raw public key.
    Hex,
    /// Base64, padded or not: of a secret's bytes, or of a raw public key.
    Base64,
    /// Base64 after an optional `whsec_`, as Standard Webhooks writes it.
    Whsec,
    /// The text with HTML entities decoded, as WordPress escapes a secret on its way out (`&amp;` is `&`).
    HtmlText,
    /// A raw public key in base64 after an optional `whpk_`, as Standard Webhooks writes it.
    Whpk,
    /// A public key as SubjectPublicKeyInfo (RFC 5280 §4.1): base64 of its DER form, or PEM.
    Spki,
    /// An X.509 certificate (RFC 5280) in PEM. It is not held against an authority: that it is the sender's is up to
    /// where it was taken from. Refused outside of its validity.
    Certificate,
    /// A JSON Web Key (RFC 7517).
    Jwk,
}

/// Where the public key is that a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// A certificate at an address in the request, which must be `https` and on one of these hosts. A `*` stands for one
    /// label, a region's name.
    Url { place: Place, hosts: List<Text> },
    /// A key with the id that the token's header names.
    KeyId,
}

/// Where the hex SHA-256 digest of the body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BodyDigest {
    /// In a parameter of the signed URL.
    Query(Text),
    /// In a claim of the token.
    Claim(Text),
}

/// How it is known that a sender signs as its preset has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Evidence {
    /// A published example was recomputed.
    Vector,
    /// The sender's own source or signer was read or run.
    Source,
    /// The sender's documentation says so.
    Documentation,
    /// Somebody else says so.
    Secondary,
    /// It is said to be so.
    Hearsay,
}

/// Where a signature (or token) is, and how the text there is made up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignatureSource {
    pub(crate) place: Place,
    pub(crate) grammar: Grammar,
}

/// A place in a request. Header names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Header(Text),
    /// Every header whose name starts so.
    HeaderPrefix(Text),
    /// A query parameter.
    Query(Text),
    /// A field of an `application/x-www-form-urlencoded` body.
    Form(Text),
    /// A JSON pointer (RFC 6901) into the body.
    Pointer(Text),
}

impl Place {
    pub(crate) fn is_in_body(&self) -> bool {
        matches!(self, Self::Form(_) | Self::Pointer(_))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grammar {
    /// The signature alone, perhaps after a prefix.
    Plain(Prefix),
    /// `key=value` pairs; the values of `keys` are signatures, and other keys are ignored.
    Pairs { separator: char, keys: List<Text> },
    /// Versioned signatures; those of `versions` count, and others are skipped.
    List {
        separator: char,
        version_separator: char,
        versions: List<Text>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// None; one that is sent all the same spoils the signature.
    Refused,
    Required(Text),
    Optional(Text),
    /// The name of an HTTP authentication scheme, such as `Bearer`, and a blank.
    Scheme(Text),
}

/// One part of the signed content, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(Text),
    Body,
    /// The timestamp's text as sent.
    Timestamp,
    Id,
    /// The configured public URL, with the request's query.
    Url(UrlForm),
    Method,
    /// Path and query.
    Path(PathForm),
    Header(Text),
    /// The headers that this header names, separated by commas: `name:value;name:value`.
    SignedHeaders(Text),
    /// The scalar at a JSON pointer into the body. It must not hold what tells it from the parts beside it.
    Pointer(Text),
    /// The same, but it may: of all parts between delimiters, one.
    FreePointer(Text),
    /// The scalars at JSON pointers with one step each, as lines: the name, and the value. Absent ones are left out. Only
    /// the first may hold a line break: in another, it could pass for the next field.
    Fields(List<Text>),
    /// The body's form fields: each name and value, without duplicates, sorted.
    Form,
    /// The CRC-32 of the body (IEEE 802.3), in decimal.
    Crc32,
    /// A value that the sender shows on its settings page.
    Parameter(Text),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UrlForm {
    AsConfigured,
    /// With its port and without, whichever the sender took.
    EitherPort,
    /// With the escapes of some delimiters decoded, as HubSpot does.
    PartlyDecoded,
    /// Without its query, as Plivo does.
    WithoutQuery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathForm {
    AsSent,
    /// With the query escaped, and the whole escaped again, as Contentful does.
    EscapedTwice,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimestampSource {
    pub(crate) place: TimestampPlace,
    pub(crate) unit: TimeUnit,
    /// `None`: signed, but not judged.
    pub(crate) tolerance: Option<Tolerance>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimestampPlace {
    Header(Text),
    /// A key of the signature header's pairs.
    Pair(Text),
    Pointer(Text),
    /// A claim of the JSON Web Token, in seconds.
    Claim(Text),
}

/// The unit of a timestamp. It is the scheme's; a number's size never decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum TimeUnit {
    /// Seconds since the Unix epoch.
    #[cfg_attr(feature = "serde", serde(rename = "s"))]
    Seconds,
    /// Milliseconds since the Unix epoch.
    #[cfg_attr(feature = "serde", serde(rename = "ms"))]
    Milliseconds,
    /// A date and time as RFC 3339 writes it.
    Rfc3339,
    /// A date and time as RFC 1123 and HTTP write it, in GMT.
    Rfc1123,
}

/// Where a delivery's id or event type is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Header(Text),
    Pointer(Text),
    /// The first key of the body's object that holds an object or an array, as Mautic names its events.
    FirstKey,
}

/// What a delivery is recognised by when it comes again. Only verified bytes may suppress a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Identity {
    /// The delivery's id, which is under the signature. A verified body without one is recognised by its digest.
    SignedId,
    /// The SHA-256 digest of the signed body. Two events with the very same bytes are one.
    BodyDigest,
    /// The SHA-256 digest of what is signed, for schemes that sign a part of the body.
    SignedContent,
    /// Nothing: each delivery is a new one.
    None,
}

/// What is known of a sender apart from its signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hints {
    /// How long after the event its last automatic retry may come.
    pub retry_horizon: Option<Duration>,
    /// The largest body the sender is documented to send, in bytes.
    pub body_limit: Option<usize>,
    /// How long the sender waits for an answer.
    pub time_budget: Option<Duration>,
}
