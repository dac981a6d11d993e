//! Senders' schemes as data.

mod builder;
mod check;
mod content;
mod presets;

use std::{borrow::Cow, time::Duration};

pub use self::{
    builder::SchemeBuilder,
    presets::{
        FLUENTCRM_DOCUMENTED, GENERIC_BASE64, GENERIC_HEX, GITHUB, HOST_UK_CORE_API,
        HOST_UK_DOCUMENTED, HOST_UK_HOSTHUB_LEGACY, MAUTIC, PIPEFORCE_TOKEN, SLACK,
        STANDARD_WEBHOOKS, STRIPE,
    },
};
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
#[derive(Clone, Debug)]
pub struct Scheme {
    pub(crate) name: Text,
    pub(crate) algorithm: Algorithm,
    pub(crate) key_form: KeyForm,
    pub(crate) signatures: List<SignatureSource>,
    pub(crate) encoding: Encoding,
    pub(crate) content: List<Part>,
    pub(crate) timestamp: Option<TimestampSource>,
    pub(crate) required_headers: List<(Text, Text)>,
    pub(crate) id: Option<Field>,
    pub(crate) event_type: Option<Field>,
    /// An unsigned header that repeats the event type of the signed body.
    pub(crate) event_header: Option<Text>,
    pub(crate) identity: Identity,
    pub(crate) hints: Hints,
}

impl Scheme {
    /// The scheme that the presets and the builder start from: HMAC-SHA256 over the body, in hex.
    pub(crate) const BASE: Self = Self {
        name: Cow::Borrowed(""),
        algorithm: Algorithm::HmacSha256,
        key_form: KeyForm::Utf8,
        signatures: Cow::Borrowed(&[]),
        encoding: Encoding::Hex,
        content: Cow::Borrowed(&[Part::Body]),
        timestamp: None,
        required_headers: Cow::Borrowed(&[]),
        id: None,
        event_type: None,
        event_header: None,
        identity: Identity::BodyDigest,
        hints: Hints {
            retry_horizon: None,
            body_limit: None,
        },
    };

    /// The preset of this name, such as `mautic` or `host-uk-core-api`.
    ///
    /// `shared-header` is not among them, because it needs the header's name: see [`Scheme::shared_header`].
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        presets::ALL
            .iter()
            .find(|scheme| scheme.name == name)
            .cloned()
    }

    /// The names of all presets.
    pub fn preset_names() -> impl Iterator<Item = &'static str> {
        presets::ALL.iter().map(|scheme| scheme.name.as_ref())
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

    /// How the secret's text becomes key bytes.
    #[must_use]
    pub fn key_form(&self) -> KeyForm {
        self.key_form
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
                self.signs(|part| matches!(part, Part::Pointer(signed) if signed == pointer))
                    || self.signs_body()
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

    /// What is known of the sender apart from its signature.
    #[must_use]
    pub fn hints(&self) -> Hints {
        self.hints
    }

    /// The headers that the scheme looks at, in lower case.
    pub(crate) fn header_names(&self) -> impl Iterator<Item = Text> {
        let places = self
            .signatures
            .iter()
            .filter_map(|source| match &source.place {
                Place::Header(name) => Some(name),
                Place::Form(_) => Some(&CONTENT_TYPE),
                Place::HeaderPrefix(_) | Place::Query(_) | Place::Pointer(_) => None,
            });
        let parts = self.content.iter().filter_map(|part| match part {
            Part::Header(name) => Some(name),
            _ => None,
        });
        let fields = [&self.id, &self.event_type]
            .into_iter()
            .filter_map(|field| match field {
                Some(Field::Header(name)) => Some(name),
                _ => None,
            });
        let timestamp = self
            .timestamp
            .iter()
            .filter_map(|source| match &source.place {
                TimestampPlace::Header(name) => Some(name),
                TimestampPlace::Pair(_) | TimestampPlace::Pointer(_) => None,
            });
        let required = self.required_headers.iter().map(|(name, _)| name);
        let named = parts
            .chain(fields)
            .chain(timestamp)
            .chain(required)
            .chain(&self.event_header);
        places.chain(named).cloned()
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

    pub(crate) fn signs_body(&self) -> bool {
        self.signs(|part| matches!(part, Part::Body))
    }

    fn signs(&self, is_it: impl Fn(&Part) -> bool) -> bool {
        self.content.iter().any(is_it)
    }

    pub(crate) fn needs_public_url(&self) -> bool {
        self.signs(|part| matches!(part, Part::Url))
    }

    /// Whether the signed content needs more of the body than its bytes in order.
    pub(crate) fn reads_from_body(&self, part: &Part) -> bool {
        match part {
            Part::Body | Part::Pointer(_) => true,
            Part::Timestamp => matches!(
                self.timestamp,
                Some(TimestampSource {
                    place: TimestampPlace::Pointer(_),
                    ..
                })
            ),
            Part::Id => matches!(self.id, Some(Field::Pointer(_) | Field::FirstKey)),
            Part::Literal(_) | Part::Url | Part::Method | Part::Path | Part::Header(_) => false,
        }
    }
}

/// How the proof is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256 (RFC 2104, FIPS 180-4).
    HmacSha256,
    /// HMAC with SHA-1: still sound as a MAC, and what some senders use.
    HmacSha1,
    /// HMAC with SHA-512.
    HmacSha512,
    /// The secret itself is sent: nothing is signed.
    Token,
}

impl Algorithm {
    pub(crate) const fn tag_len(self) -> usize {
        match self {
            Self::HmacSha256 | Self::Token => 32,
            Self::HmacSha1 => 20,
            Self::HmacSha512 => 64,
        }
    }
}

/// How the secret's text becomes key bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyForm {
    /// The text's own bytes, prefixes such as `whsec_` included.
    Utf8,
    /// Hexadecimal.
    Hex,
    /// Base64, padded or not.
    Base64,
    /// Base64 after an optional `whsec_`, as Standard Webhooks writes it.
    Whsec,
}

/// Where a signature (or token) is, and how the text there is made up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignatureSource {
    pub(crate) place: Place,
    pub(crate) grammar: Grammar,
}

/// A place in a request. Header names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    Url,
    Method,
    /// Path and query as sent.
    Path,
    Header(Text),
    /// The scalar at a JSON pointer into the body.
    Pointer(Text),
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
}

/// The unit of a timestamp. It is the scheme's; a number's size never decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeUnit {
    /// Seconds since the Unix epoch.
    Seconds,
    /// Milliseconds since the Unix epoch.
    Milliseconds,
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
#[non_exhaustive]
pub enum Identity {
    /// The delivery's id, which is under the signature. A verified body without one is recognised by its digest.
    SignedId,
    /// The SHA-256 digest of the signed body. Two events with the very same bytes are one.
    BodyDigest,
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
}
