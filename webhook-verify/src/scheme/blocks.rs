//! What schemes are put together from.

use std::time::Duration;

use super::{List, Text};
use crate::clock::Tolerance;

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
            Self::RsaSha256 | Self::RsaSha1 => len >= 256 && len <= 1024,
            Self::HmacSha256
            | Self::HmacSha1
            | Self::HmacSha512
            | Self::KeyedSha256
            | Self::Token
            | Self::Basic
            | Self::JwtHs256 => false,
        }
    }

    /// Whether the secret itself is sent.
    pub(crate) const fn is_token(self) -> bool {
        matches!(self.family(), Family::Token)
    }

    pub(crate) const fn is_hmac(self) -> bool {
        matches!(self.family(), Family::Hmac)
    }

    pub(crate) const fn is_jwt(self) -> bool {
        matches!(self.family(), Family::Jwt)
    }

    const fn family(self) -> Family {
        match self {
            Self::HmacSha256 | Self::HmacSha1 | Self::HmacSha512 => Family::Hmac,
            Self::KeyedSha256 => Family::KeyedHash,
            Self::Token | Self::Basic => Family::Token,
            Self::Ed25519 | Self::EcdsaP256 | Self::RsaSha256 | Self::RsaSha1 => Family::PublicKey,
            Self::JwtHs256 | Self::JwtEs256 => Family::Jwt,
        }
    }

    /// Whether the secret is shared with the sender, so that it can sign as well as verify.
    #[must_use]
    pub const fn is_symmetric(self) -> bool {
        match self {
            Self::HmacSha256
            | Self::HmacSha1
            | Self::HmacSha512
            | Self::KeyedSha256
            | Self::Token
            | Self::Basic
            | Self::JwtHs256 => true,
            Self::Ed25519 | Self::EcdsaP256 | Self::RsaSha256 | Self::RsaSha1 | Self::JwtEs256 => {
                false
            }
        }
    }
}

/// What an algorithm's proof consists of.
enum Family {
    Hmac,
    KeyedHash,
    /// The secret itself.
    Token,
    PublicKey,
    Jwt,
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
        match self {
            Self::Form(_) | Self::Pointer(_) => true,
            Self::Header(_) | Self::HeaderPrefix(_) | Self::Query(_) => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grammar {
    /// The signature alone, perhaps after a prefix.
    Plain(Prefix),
    /// `key=value` pairs; the values of `keys` are signatures, and other keys are ignored.
    Pairs { separator: char, keys: List<Text> },
    /// Versioned signatures; those of `versions` count, and others are skipped.
    List { separator: char, version_separator: char, versions: List<Text> },
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

/// How a sender's bodies hold events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Envelope {
    /// One event. Its type and id are those of the delivery.
    One,
    List(EventList),
    /// An object whose keys are event types, each with a list of events or with one. What is under `timestamp` at the top is
    /// the time of a test payload, and no event.
    ByType,
}

/// A list of events. Pointers lead on from the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventList {
    /// The form field that holds the JSON, where the body is a form.
    pub(crate) form: Option<Text>,
    /// A pointer to the list; empty for the body itself.
    pub(crate) at: Text,
    /// What together says what happened, with dots between. Where there is none, the delivery's event type does.
    pub(crate) event_type: List<Text>,
    /// What together tells an event from all others; the first is its id. Where there is none, its bytes do.
    pub(crate) id: List<Text>,
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
