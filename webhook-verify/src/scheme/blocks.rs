//! The building blocks of schemes.

use std::time::Duration;

use super::{List, Text};
use crate::clock::Tolerance;

/// How a request is authenticated. Building a verifier fails if the algorithm's feature is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256 (RFC 2104, FIPS 180-4).
    HmacSha256,
    /// HMAC with SHA-1, which some senders use. It is still secure as a MAC.
    HmacSha1,
    /// HMAC with SHA-512.
    HmacSha512,
    /// SHA-256 over the secret followed by the signed content, which HubSpot used before HMAC.
    /// Anyone with one signature can extend the content, so use it only for such senders.
    KeyedSha256,
    /// The secret itself is sent. Nothing is signed.
    Token,
    /// User name and password (RFC 7617). The secret is `name:password`. Nothing is signed.
    Basic,
    /// Ed25519 (RFC 8032), verified strictly. Feature `ed25519`.
    Ed25519,
    /// ECDSA on P-256 with SHA-256 and signatures in DER. Feature `ecdsa`.
    EcdsaP256,
    /// RSA PKCS#1 v1.5 with SHA-256 (RFC 8017). Feature `rsa`.
    RsaSha256,
    /// RSA PKCS#1 v1.5 with SHA-1, broken for documents that an attacker can choose. Feature `rsa`.
    RsaSha1,
    /// A JSON Web Token (RFC 7519) with HMAC-SHA256. Feature `jwt`.
    JwtHs256,
    /// A JSON Web Token with ECDSA on P-256. Features `jwt` and `ecdsa`.
    JwtEs256,
}

impl Algorithm {
    /// Returns the length of a MAC or of a token's digest, in bytes; 0 for public-key signatures.
    pub(crate) const fn tag_len(self) -> usize {
        match self {
            Self::HmacSha256 | Self::KeyedSha256 | Self::Token | Self::Basic | Self::JwtHs256 => 32,
            Self::HmacSha1 => 20,
            Self::HmacSha512 => 64,
            Self::Ed25519 | Self::EcdsaP256 | Self::RsaSha256 | Self::RsaSha1 | Self::JwtEs256 => 0,
        }
    }

    /// Returns whether a public-key signature may have `len` bytes.
    pub(crate) const fn takes(self, len: usize) -> bool {
        match self.signature_len() {
            Some((min, max)) => min <= len && len <= max,
            None => false,
        }
    }

    /// Returns the shortest and the longest public-key signature, in bytes, or `None` for a shared
    /// secret.
    const fn signature_len(self) -> Option<(usize, usize)> {
        match self {
            Self::Ed25519 | Self::JwtEs256 => Some((64, 64)),
            // Two numbers of up to 33 bytes, in DER.
            Self::EcdsaP256 => Some((8, 72)),
            Self::RsaSha256 | Self::RsaSha1 => Some((256, 1024)),
            Self::HmacSha256
            | Self::HmacSha1
            | Self::HmacSha512
            | Self::KeyedSha256
            | Self::Token
            | Self::Basic
            | Self::JwtHs256 => None,
        }
    }

    /// Returns whether the secret itself is sent.
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

    /// Returns whether the secret is shared with the sender, and so can sign as well as verify.
    #[must_use]
    pub const fn is_symmetric(self) -> bool {
        self.signature_len().is_none()
    }
}

/// The kind of proof that an algorithm uses.
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
    /// Hexadecimal, for a secret's bytes or a raw public key.
    Hex,
    /// Base64 with or without padding, for a secret's bytes or a raw public key.
    Base64,
    /// Base64 after an optional `whsec_`, as in Standard Webhooks.
    Whsec,
    /// The text with HTML entities decoded (`&amp;` is `&`): WordPress escapes secrets on output.
    HtmlText,
    /// A raw public key in base64 after an optional `whpk_`, as in Standard Webhooks.
    Whpk,
    /// A public key as SubjectPublicKeyInfo (RFC 5280 §4.1): base64 of its DER form, or PEM.
    Spki,
    /// An X.509 certificate (RFC 5280) in PEM. It is not checked against an authority, so take it
    /// only from a trusted source. Outside of its validity period, requests are refused.
    Certificate,
    /// A JSON Web Key (RFC 7517).
    Jwk,
}

/// How a request names its public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// By the address of a certificate, which must be `https` and on one of these hosts. `*` stands
    /// for one label, the name of a region.
    Url { place: Place, hosts: List<Text> },
    /// By the key ID in the token's header.
    KeyId,
}

/// Which bytes of a compressed body are signed.
///
/// The features `gzip` (gzip and deflate), `brotli` and `zstd` decode bodies. The decoded body may
/// be as long as the body limit, and 200 times as long as the compressed one beyond 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum SignedBytes {
    /// The compressed bytes, as Nylas sends them. They are decoded after they are verified.
    AsSent,
    /// The decoded bytes. They are decoded before they are verified, while they arrive.
    Decoded,
}

/// The place of the body's SHA-256 digest in hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BodyDigest {
    /// A parameter of the signed URL.
    Query(Text),
    /// A claim of the token.
    Claim(Text),
}

/// The evidence for a preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Evidence {
    /// A published example was recomputed.
    Vector,
    /// The sender's source code or signer was read or run.
    Source,
    /// The sender's documentation describes it.
    Documentation,
    /// A third party describes it.
    Secondary,
    /// There are only unconfirmed reports.
    Hearsay,
}

/// The place of a signature or token, and the grammar of the text there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignatureSource {
    pub(crate) place: Place,
    pub(crate) grammar: Grammar,
}

/// A place in a request. Header names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Header(Text),
    /// Every header whose name starts with this text.
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

    /// Returns the pointer, if the place is in a JSON body.
    pub(crate) fn pointer(&self) -> Option<&Text> {
        match self {
            Self::Pointer(pointer) => Some(pointer),
            Self::Header(_) | Self::HeaderPrefix(_) | Self::Query(_) | Self::Form(_) => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grammar {
    /// Only the signature, possibly after a prefix.
    Plain(Prefix),
    /// `key=value` pairs. The values of `keys` are signatures, and other keys are ignored.
    Pairs { separator: char, keys: List<Text> },
    /// Versioned signatures. Those of `versions` are verified, and others are skipped.
    List { separator: char, version_separator: char, versions: List<Text> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// No prefix. If one is sent, the signature is malformed.
    Refused,
    Required(Text),
    Optional(Text),
    /// The name of an HTTP authentication scheme, such as `Bearer`, and a space.
    Scheme(Text),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimestampSource {
    pub(crate) place: TimestampPlace,
    pub(crate) unit: TimeUnit,
    /// `None` if the timestamp is signed but not checked.
    pub(crate) tolerance: Option<Tolerance>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimestampPlace {
    Header(Text),
    /// A key among the signature header's pairs.
    Pair(Text),
    Pointer(Text),
    /// A claim of the JSON Web Token.
    Claim(Text),
}

/// The unit of a timestamp. The scheme defines it; it is never guessed from a number's size.
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
    /// A date and time in the format of RFC 3339.
    Rfc3339,
    /// A date and time in the format of RFC 1123 and HTTP, in GMT.
    Rfc1123,
}

/// The place of a delivery ID or event type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Header(Text),
    Pointer(Text),
    /// The body's first key whose value is an object or an array, as Mautic names its events.
    FirstKey,
}

/// How a sender's bodies contain events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Envelope {
    /// One event, with the delivery's type and ID.
    One,
    List(EventList),
    /// An object whose keys are event types, each with one event or a list of them. The top-level
    /// `timestamp` is the time of a test payload, not an event.
    ByType,
}

/// A list of events. `event_type` and `id` are pointers from an event on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventList {
    /// The form field that contains the JSON, if the body is a form.
    pub(crate) form: Option<Text>,
    /// A pointer to the list, empty if the body is the list.
    pub(crate) at: Text,
    /// The parts of an event's type, joined with dots. If empty, the delivery's type applies.
    pub(crate) event_type: List<Text>,
    /// The values that together identify an event, its ID first. If empty, its bytes identify it.
    pub(crate) id: List<Text>,
}

/// The source of a delivery's idempotency key. Unverified bytes never make a delivery a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Identity {
    /// The signed delivery ID. If a verified body has none, the body's digest is used.
    SignedId,
    /// The SHA-256 digest of the signed body. Events with identical bytes are duplicates.
    BodyDigest,
    /// The SHA-256 digest of the signed content, for schemes that sign a part of the body.
    SignedContent,
    /// None: each delivery is a new one.
    None,
}

/// Facts about a sender that do not concern its signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hints {
    /// How long after the event the last automatic retry may arrive.
    pub retry_horizon: Option<Duration>,
    /// The largest body the sender is documented to send, in bytes.
    pub body_limit: Option<usize>,
    /// How long the sender waits for a response.
    pub time_budget: Option<Duration>,
}
