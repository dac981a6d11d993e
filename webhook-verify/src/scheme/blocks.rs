//! The building blocks of schemes.

use std::time::Duration;

use super::{List, Text};
use crate::{clock::Tolerance, encoding::Encoding};

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
    /// SHA-256 over the secret followed by the signed content, which HubSpot used before HMAC, or
    /// over signed content that contains `{secret}`. Anyone with one signature can extend content
    /// that follows the secret, so use this algorithm only for senders that require it.
    KeyedSha256,
    /// The same with SHA-1, as Cloudinary does.
    KeyedSha1,
    /// The same with SHA-512.
    KeyedSha512,
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
    /// Returns the algorithm's name for tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "HMAC-SHA256",
            Self::HmacSha1 => "HMAC-SHA1",
            Self::HmacSha512 => "HMAC-SHA512",
            Self::KeyedSha256 => "SHA-256 over secret and content",
            Self::KeyedSha1 => "SHA-1 over secret and content",
            Self::KeyedSha512 => "SHA-512 over secret and content",
            Self::Token => "the secret itself",
            Self::Basic => "user name and password",
            Self::Ed25519 => "Ed25519",
            Self::EcdsaP256 => "ECDSA P-256",
            Self::RsaSha256 => "RSA with SHA-256",
            Self::RsaSha1 => "RSA with SHA-1",
            Self::JwtHs256 => "JWT, HS256",
            Self::JwtEs256 => "JWT, ES256",
        }
    }

    /// Returns the length of a MAC or of a token's digest, in bytes; 0 for public-key signatures.
    pub(crate) const fn tag_len(self) -> usize {
        match self {
            Self::HmacSha256 | Self::KeyedSha256 | Self::Token | Self::Basic | Self::JwtHs256 => 32,
            Self::HmacSha1 | Self::KeyedSha1 => 20,
            Self::HmacSha512 | Self::KeyedSha512 => 64,
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
            | Self::KeyedSha1
            | Self::KeyedSha512
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

    pub(crate) const fn is_keyed_hash(self) -> bool {
        matches!(self.family(), Family::KeyedHash)
    }

    pub(crate) const fn is_jwt(self) -> bool {
        matches!(self.family(), Family::Jwt)
    }

    const fn family(self) -> Family {
        match self {
            Self::HmacSha256 | Self::HmacSha1 | Self::HmacSha512 => Family::Hmac,
            Self::KeyedSha256 | Self::KeyedSha1 | Self::KeyedSha512 => Family::KeyedHash,
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
    /// The SHA-1 digest of the text, as Braintree uses it.
    Sha1,
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
/// The features `gzip` (gzip and deflate), `brotli` and `zstd` decode bodies. The decoded body must
/// fit the body limit. Beyond 64 KiB, it may have at most 200 times as many bytes as the compressed
/// body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum SignedBytes {
    /// The compressed bytes, as with Nylas. The body is decoded after it is verified.
    AsSent,
    /// The decoded bytes. The body is decoded before it is verified, while it arrives.
    Decoded,
}

/// The signed part of a form, for senders that put their JSON into a form field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum SignedForm {
    /// The field's decoded value, as with Gitea.
    Value,
    /// The form as sent, as with GitHub. The JSON is extracted only from an
    /// `application/x-www-form-urlencoded` body that has this field alone. Other bodies remain as
    /// sent. The content type is not signed, so a JSON body must not be readable as a form.
    Whole,
}

/// The field of a form that contains the JSON body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonInForm {
    pub(crate) field: Text,
    pub(crate) signed: SignedForm,
}

/// The body's SHA-256 digest in signed content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BodyDigest {
    pub(crate) place: DigestPlace,
    /// `None` accepts any encoding, because their texts differ.
    pub(crate) encoding: Option<Encoding>,
    /// Without a body, the digest is that of the query, as a JSON object.
    pub(crate) or_query: bool,
    /// The digest may be absent if there is nothing to digest.
    pub(crate) optional: bool,
}

/// The place of the body's digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DigestPlace {
    /// A parameter of the signed URL.
    Query(Text),
    /// A claim of the token.
    Claim(Text),
}

impl BodyDigest {
    pub(crate) const fn query(name: Text) -> Self {
        Self::at(DigestPlace::Query(name), false)
    }

    pub(crate) const fn claim(name: Text) -> Self {
        Self::at(DigestPlace::Claim(name), false)
    }

    pub(crate) const fn claim_or_query(name: Text) -> Self {
        Self::at(DigestPlace::Claim(name), true)
    }

    const fn at(place: DigestPlace, or_query: bool) -> Self {
        Self { place, encoding: None, or_query, optional: false }
    }
}

/// The SHA-256 digest of the URL in a claim of the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UrlDigest {
    pub(crate) claim: Text,
    pub(crate) form: UrlDigestForm,
}

/// The text that the digest covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UrlDigestForm {
    /// The public URL with the request's query.
    Url,
    /// Method, path and sorted query, as Atlassian signs them.
    CanonicalRequest,
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
    /// Only third parties describe the signature. Building a receiver logs a warning.
    Unproven,
}

/// Facts about the sender of a preset, apart from its signatures, and their sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notes {
    /// Advice for users of the preset.
    pub about: &'static str,
    /// Where the sender shows the secret.
    pub secret_at: &'static str,
    /// When the sender retries.
    pub schedule: &'static str,
    /// The parts of a request that a retry repeats, if that is known.
    pub keeps: &'static [Sent],
    /// The parts of a request that a retry changes, if that is known.
    pub changes: &'static [Sent],
    /// Whether two events can have identical bodies.
    pub same_bytes: SameBytes,
    /// Why two events can, or cannot, have identical bodies.
    pub same_bytes_why: &'static str,
    /// The retries that the time window refuses, and why.
    pub lost: &'static str,
    /// The source of the facts about retries.
    pub source: &'static str,
    /// The date of the last check of the preset, such as `2026-11-28`.
    pub checked: &'static str,
    /// How to check the preset again: a package and function, or a page and example.
    pub recheck: &'static str,
}

impl Notes {
    /// Nothing is known.
    pub(crate) const NONE: Self = Self {
        about: "",
        secret_at: "",
        schedule: "",
        keeps: &[],
        changes: &[],
        same_bytes: SameBytes::Unknown,
        same_bytes_why: "",
        lost: "",
        source: "",
        checked: "",
        recheck: "",
    };
}

/// A part of a request that a retry repeats or changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sent {
    /// The body.
    Body,
    /// The delivery ID.
    Id,
    /// The event type.
    EventType,
    /// The timestamp.
    Timestamp,
    /// The signature.
    Signature,
}

/// Whether two events of a sender can have identical bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SameBytes {
    /// They cannot, because the body has an ID or the time of its event.
    Never,
    /// They can, so the body does not identify an event.
    Possible,
    /// It is not known.
    Unknown,
}

/// The place of a signature or token, and the grammar of the text there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignatureSource {
    pub(crate) place: Place,
    pub(crate) grammar: Grammar,
    /// The separator of several signatures, which may also be in several header lines. If it is
    /// `None`, a repeated header is refused.
    pub(crate) several: Option<char>,
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
    /// `key=value` pairs. The values of `keys` are signatures, and other keys are ignored. There may
    /// be several groups of pairs, all with the same timestamp.
    Pairs { separator: char, groups: Option<char>, keys: List<Text> },
    /// Versioned signatures. Signatures of `versions` are verified, or all signatures if `versions`
    /// is empty. Others are skipped.
    List { separator: char, version_separator: char, versions: List<Text> },
    /// The timestamp, a separator, and the signature.
    AfterTimestamp { separator: char },
}

impl Grammar {
    /// Returns whether a signature may have this version.
    pub(crate) fn has(&self, version: &str) -> bool {
        match self {
            Self::Pairs { keys: names, .. } | Self::List { versions: names, .. } => {
                names.iter().any(|name| name == version)
            }
            Self::Plain(_) | Self::AfterTimestamp { .. } => false,
        }
    }
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
    /// In front of the signature, in its header.
    Before,
    Pointer(Text),
    /// A field of a form.
    Form(Text),
    /// A claim of the JSON Web Token.
    Claim(Text),
}

impl TimestampPlace {
    pub(crate) fn is_in_body(&self) -> bool {
        match self {
            Self::Pointer(_) | Self::Form(_) => true,
            Self::Header(_) | Self::Pair(_) | Self::Before | Self::Claim(_) => false,
        }
    }
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
    /// The same without a zone, in UTC: `2026-11-22T00:00:00.123`.
    Utc,
    /// A date and time in the format of HTTP (RFC 9110 §5.6.7), with the zone `GMT`, `+0000` or
    /// `-0000`: `Sun, 22 Nov 2026 00:00:00 GMT`.
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

/// The source of a delivery's idempotency key.
///
/// A key always contains verified bytes. Unsigned header values only extend the key. They can make
/// a duplicate run again, but cannot make a delivery a duplicate of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Identity {
    /// The signed delivery ID. The key also contains:
    ///
    /// * the event type, if the sender puts it into an unsigned header
    /// * the digest of the body, if the signature covers only a part of the body
    ///
    /// If a verified body has no ID, the key is [`Digest`](Self::Digest) if two events of the
    /// sender cannot have identical bytes, and otherwise none.
    SignedId,
    /// Fields of the signed body that together identify an event and stay the same in retries, for
    /// senders whose retries change the rest of the body. The key also contains the event
    /// type and the digest as with [`SignedId`](Self::SignedId). If a field is absent, the same
    /// applies as without a signed ID.
    Fields,
    /// The SHA-256 digest of the signed body, with the delivery ID and the event type if the sender
    /// puts them into headers. If the scheme signs only a part of the body, the key contains the
    /// digest of the signed content and the digest of the body. A request with an empty body and
    /// without an ID has no key.
    ///
    /// A captured request without a signed timestamp can run again with an invented ID.
    Digest,
    /// The SHA-256 digest of the signed body alone. Two events with identical bytes have the same
    /// key, so the second is lost.
    BodyDigest,
    /// The SHA-256 digest of the signed content alone, for schemes that sign a part of the body.
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
