//! Descriptions of schemes in the builder's terms, for tables, logs and error messages.

use std::fmt;

use super::{
    Evidence, Field, Grammar, Hints, Identity, Notes, Place, Prefix, Proof, SameBytes, Scheme,
    SignatureSource, SignedBytes, Text, TimestampPlace, Values,
};
use crate::{clock::Tolerance, encoding::Encoding};

/// A scheme in the builder's terms: its places and content as text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Description {
    /// The scheme's name.
    pub name: String,
    /// The sender's display name, which defaults to the scheme's name.
    pub sender: String,
    /// The URL of the sender's page about its signatures, or an empty string.
    pub documentation: String,
    /// The evidence that the sender signs this way.
    pub evidence: Vec<Evidence>,
    /// The places of the signature or token with their prefixes, such as
    /// `header x-hub-signature-256: sha256=…`.
    pub signatures: Vec<String>,
    /// The algorithm and the encoding of its signatures, such as `HMAC-SHA256, hex`.
    pub algorithm: String,
    /// Whether the receiver has the secret of the signatures, so that the command can make some.
    pub has_shared_secret: bool,
    /// The signed content, as
    /// [`SchemeBuilder::signed_content`](super::SchemeBuilder::signed_content) takes it. It is
    /// empty for tokens and JSON Web Tokens.
    pub signed_content: String,
    /// The place of the timestamp, such as `header webhook-timestamp`.
    pub timestamp: Option<String>,
    /// The part of the request that the signature covers.
    pub proof: Proof,
    /// The window around the clock in which timestamps must be, or `None` if they are not checked.
    pub tolerance: Option<Tolerance>,
    /// The place of the delivery ID, such as `header x-github-delivery`.
    pub id: Option<String>,
    /// The place of the event type, such as `body /type`.
    pub event_type: Option<String>,
    /// The parts of the idempotency key.
    pub idempotency_key: String,
    /// The key that is used if a delivery or event lacks the ID or a field of
    /// [`idempotency_key`](Self::idempotency_key). It is `None` if this cannot happen.
    pub key_fallback: Option<String>,
    /// Whether [`VerifierBuilder::public_url`](crate::VerifierBuilder::public_url) must be set.
    pub needs_public_url: bool,
    /// The names of the [parameters](crate::VerifierBuilder::parameter) that a verifier needs.
    pub parameters: Vec<String>,
    /// The bytes of a compressed body that are signed, or `None` if compressed bodies get 415.
    pub signed_bytes: Option<SignedBytes>,
    /// The headers that may have another name, with that name.
    pub header_aliases: Vec<(String, String)>,
    /// The names of the verification handshakes.
    pub handshakes: Vec<String>,
    /// How a request contains events: `one event`, a list and its place, such as
    /// `list at body /events`, or `one or more by type`.
    pub events: String,
    /// The JSON pointer from an event to its time.
    pub event_time: Option<String>,
    /// The JSON pointer from an event to its data, or `None` if the event is its data.
    pub event_data: Option<String>,
    /// The JSON pointer to a field of the body that only test payloads have.
    pub test_field: Option<String>,
    /// Facts about the sender that do not concern its signatures.
    pub hints: Hints,
    /// Facts about a preset's sender, with their sources.
    pub notes: Notes,
}

impl Scheme {
    /// Describes the scheme for tables and logs.
    #[must_use]
    pub fn describe(&self) -> Description {
        let text = |text: &Text| text.clone().into_owned();
        let place = |source: &SignatureSource| format!("{}: {}", source.place, source.grammar);
        Description {
            name: text(&self.name),
            sender: text(if self.sender.is_empty() { &self.name } else { &self.sender }),
            documentation: text(&self.documentation),
            evidence: self.evidence.to_vec(),
            signatures: self.signatures.iter().map(place).collect(),
            algorithm: self.algorithm_and_encoding(),
            has_shared_secret: self.algorithm.is_symmetric(),
            proof: self.proof(),
            signed_content: self.signed_content(),
            tolerance: self.tolerance(),
            idempotency_key: self.idempotency_key(),
            key_fallback: self.key_fallback(),
            needs_public_url: self.needs_public_url(),
            parameters: self.parameters().map(str::to_owned).collect(),
            signed_bytes: self.signed_bytes,
            header_aliases: self
                .header_aliases
                .iter()
                .map(|(name, alias)| (text(name), text(alias)))
                .collect(),
            handshakes: self.challenges.iter().map(|known| known.name().to_owned()).collect(),
            timestamp: self.timestamp.as_ref().map(|source| source.place.to_string()),
            id: self.id.as_ref().map(ToString::to_string),
            event_type: self.event_type.as_ref().map(ToString::to_string),
            events: self.envelope.to_string(),
            event_time: self.event_time.as_ref().map(|(pointer, _)| text(pointer)),
            event_data: self.event_data.as_ref().map(text),
            test_field: self.test_field.as_ref().map(text),
            hints: self.hints,
            notes: self.notes,
        }
    }

    pub(crate) fn signed_content(&self) -> String {
        self.content.iter().map(ToString::to_string).collect()
    }

    fn algorithm_and_encoding(&self) -> String {
        let algorithm = self.algorithm.name();
        match (self.content.is_empty(), self.encoding) {
            (true, _) => algorithm.to_owned(),
            (false, Encoding::Hex) => format!("{algorithm}, hex"),
            (false, Encoding::Base64) => format!("{algorithm}, base64"),
            (false, Encoding::Base64Url) => format!("{algorithm}, base64url"),
        }
    }

    fn idempotency_key(&self) -> String {
        let of_type = match self.event_type {
            Some(Field::Header(_)) if !self.event_type_is_signed() => ", event type",
            _ => "",
        };
        if self.recognises_events() && (self.identity != Identity::None || self.identifies_events())
        {
            let ids: Vec<_> =
                self.event_id_pointers().map(|pointer| format!("`{pointer}`")).collect();
            return match (ids.is_empty(), self.identity) {
                (true, Identity::Digest) => {
                    format!("type and bytes of each event{}", self.labels())
                }
                (true, _) => format!("type and bytes of each event{of_type}"),
                (false, _) => format!("{} of each event{of_type}", ids.join(", ")),
            };
        }
        let of_body = self.body_in_key(self.identity);
        match self.identity {
            Identity::SignedId => format!("signed ID{of_type}{of_body}"),
            Identity::Fields => {
                let fields: Vec<_> =
                    self.identity_fields.iter().map(|pointer| format!("`{pointer}`")).collect();
                format!("{}{of_type}{of_body}", fields.join(", "))
            }
            Identity::Digest => self.digest_key(),
            Identity::BodyDigest => "digest of the body alone".into(),
            Identity::SignedContent => "digest of the signed content alone".into(),
            Identity::None => "none, unless you set one".into(),
        }
    }

    /// Describes the key of [`Identity::Digest`].
    fn digest_key(&self) -> String {
        let labels = self.labels();
        if self.signs_body() {
            return format!("digest of the body{labels}");
        }
        format!("digest of the signed content{labels}{}", self.body_in_key(Identity::Digest))
    }

    fn body_in_key(&self, identity: Identity) -> &'static str {
        match self.key_needs_body(identity) {
            true => ", digest of the body (with other unsigned fields, a request runs again)",
            false => "",
        }
    }

    /// Describes the headers that a digest key contains.
    fn labels(&self) -> String {
        let of = |field: &Option<Field>, name| match field {
            Some(Field::Header(_)) => Some(name),
            Some(Field::Pointer(_) | Field::FirstKey) | None => None,
        };
        let labels = [of(&self.id, "delivery ID"), of(&self.event_type, "event type")];
        labels.into_iter().flatten().map(|name| format!(", {name}")).collect()
    }

    fn key_fallback(&self) -> Option<String> {
        if self.identifies_events() {
            let is_none = self.identity == Identity::None;
            let fallback =
                if is_none { "none for the whole delivery" } else { "type and bytes of the event" };
            return Some(fallback.into());
        }
        if self.recognises_events() && self.identity != Identity::None {
            return None;
        }
        let can_lack = match self.identity {
            Identity::SignedId => match &self.id {
                Some(Field::Pointer(id)) => {
                    !self.signs(|part| part.facts().values == Values::Field(id))
                }
                Some(Field::FirstKey) => true,
                // A signed header must be present.
                Some(Field::Header(_)) | None => false,
            },
            Identity::Fields => true,
            Identity::Digest | Identity::BodyDigest | Identity::SignedContent | Identity::None => {
                false
            }
        };
        let is_certain = self.notes.same_bytes == SameBytes::Never && self.signs_body();
        can_lack.then(|| if is_certain { self.digest_key() } else { "none".into() })
    }
}

impl fmt::Display for TimestampPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Pair(key) => write!(f, "{key}= next to the signature"),
            Self::Before => f.write_str("before the signature"),
            Self::Form(name) => write!(f, "form {name}"),
            Self::Pointer(pointer) => write!(f, "body {pointer}"),
            Self::Claim(name) => write!(f, "claim {name}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::HeaderPrefix(prefix) => write!(f, "header {prefix}*"),
            Self::Query(name) => write!(f, "query {name}"),
            Self::Form(name) => write!(f, "form {name}"),
            Self::Pointer(pointer) => write!(f, "body {pointer}"),
        }
    }
}

impl fmt::Display for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(Prefix::Refused) => f.write_str("…"),
            Self::Plain(Prefix::Required(prefix)) => write!(f, "{prefix}…"),
            Self::Plain(Prefix::Optional(prefix)) => write!(f, "[{prefix}]…"),
            Self::Plain(Prefix::Scheme(name)) => write!(f, "{name} …"),
            Self::AfterTimestamp { separator } => write!(f, "<timestamp>{separator}…"),
            Self::Pairs { separator, keys, .. } => {
                let pairs: Vec<_> = keys.iter().map(|key| format!("{key}=…")).collect();
                write!(f, "{}{separator} …", pairs.join(&separator.to_string()))
            }
            Self::List { separator, version_separator, versions } if versions.is_empty() => {
                write!(f, "<version>{version_separator}…{separator}…")
            }
            Self::List { separator, version_separator, versions } => {
                let items: Vec<_> = versions
                    .iter()
                    .map(|version| format!("{version}{version_separator}…"))
                    .collect();
                write!(f, "{}{separator}…", items.join(&separator.to_string()))
            }
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Pointer(pointer) => write!(f, "body {pointer}"),
            Self::FirstKey => f.write_str("first key of the body"),
        }
    }
}
