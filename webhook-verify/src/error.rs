use std::{error, fmt};

/// A mistake in the set-up, found when a [`Verifier`](crate::Verifier) or [`Receiver`](crate::Receiver) is built and
/// never at the first request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A secret has no characters, or only blanks.
    EmptySecret,
    /// A secret is longer than any sender's.
    SecretTooLong {
        /// The most bytes accepted.
        limit: usize,
    },
    /// A secret is not in the form that the scheme's sender uses.
    MalformedSecret {
        /// What was expected, such as `base64`.
        expected: &'static str,
    },
    /// No secret was given, or more than may be live at once.
    SecretCount {
        /// How many were given.
        given: usize,
        /// The most that may be live.
        limit: usize,
    },
    /// No preset has this name.
    UnknownScheme {
        /// The name that was given.
        name: String,
        /// The preset that was probably meant.
        similar: Option<&'static str>,
    },
    /// An option has a value that cannot work.
    Option {
        /// The option's name, as its setter is called.
        option: &'static str,
        /// What is wrong with the value.
        reason: String,
    },
}

impl ConfigError {
    pub(crate) fn option(option: &'static str, reason: impl Into<String>) -> Self {
        Self::Option { option, reason: reason.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptySecret => f.write_str("secret: empty or blank"),
            Self::SecretTooLong { limit } => write!(f, "secret: longer than {limit} bytes"),
            Self::MalformedSecret { expected } => write!(f, "secret: not {expected}"),
            Self::SecretCount { given: 0, .. } => f.write_str("secret: none given"),
            Self::SecretCount { given, limit } => {
                write!(f, "secret: {given} given, at most {limit} may be live")
            }
            Self::UnknownScheme { name, similar } => {
                write!(f, "unknown scheme {name:?}")?;
                similar.map_or(Ok(()), |similar| write!(f, ": did you mean {similar}?"))
            }
            Self::Option { option, reason } => write!(f, "{option}: {reason}"),
        }
    }
}

impl error::Error for ConfigError {}

/// Why a request is not authentic. For logs: a client is told the same for every reason.
///
/// [`reason`](Self::reason) is a stable code; `Display` says more. Neither ever holds a secret, a signature or a byte
/// of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is no signature, or an empty one.
    MissingSignature,
    /// The signature is not written the way the scheme has it: prefix, encoding, length, number or size.
    MalformedSignature,
    /// Signatures are present, but none in a version of the scheme.
    UnsupportedVersion,
    /// No signature holds for any live secret.
    SignatureMismatch,
    /// The token scheme's token is absent or empty.
    MissingToken,
    /// The token is not that of any live secret.
    TokenMismatch,
    /// Tokens in two places disagree.
    AmbiguousToken,
    /// A header (or a key in one) that must be there once is there more than once.
    AmbiguousHeader,
    /// The scheme signs a timestamp and there is none.
    MissingTimestamp,
    /// The timestamp is not a number or a date in the scheme's unit.
    MalformedTimestamp,
    /// The timestamp is older than the tolerance.
    TimestampTooOld {
        /// How many seconds old.
        seconds: u64,
    },
    /// The timestamp is further ahead than the tolerance.
    TimestampInFuture {
        /// How many seconds ahead.
        seconds: u64,
    },
    /// The scheme signs an id and there is none.
    MissingId,
    /// The signed id is too long, not text, or holds the delimiter of the signed content.
    MalformedId,
    /// The body, or a part of it that is signed or holds the signature, cannot be read as the scheme has it.
    MalformedBody,
    /// An unsigned event header contradicts the event type in the signed body.
    EventMismatch,
    /// A JSON Web Token is past its expiry.
    TokenExpired,
    /// A JSON Web Token is not of the scheme's issuer or not for this receiver, or a message is of another topic.
    WrongIssuer,
    /// The certificate that the signature holds for is expired, or not valid yet.
    ExpiredKey,
    /// The request names a certificate on a host that is not the sender's.
    UnknownKeyHost,
    /// The request names no key, or one that does not exist.
    UnknownKey,
    /// The tenant that the request is for does not exist.
    UnknownTenant,
}

impl VerifyError {
    /// A stable code for counters and alerts, such as `signature_mismatch`.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::MissingSignature => "missing_signature",
            Self::MalformedSignature => "malformed_signature",
            Self::UnsupportedVersion => "unsupported_version",
            Self::SignatureMismatch => "signature_mismatch",
            Self::MissingToken => "missing_token",
            Self::TokenMismatch => "token_mismatch",
            Self::AmbiguousToken => "ambiguous_token",
            Self::AmbiguousHeader => "ambiguous_header",
            Self::MissingTimestamp => "missing_timestamp",
            Self::MalformedTimestamp => "malformed_timestamp",
            Self::TimestampTooOld { .. } => "timestamp_too_old",
            Self::TimestampInFuture { .. } => "timestamp_in_future",
            Self::MissingId => "missing_id",
            Self::MalformedId => "malformed_id",
            Self::MalformedBody => "malformed_body",
            Self::EventMismatch => "event_mismatch",
            Self::TokenExpired => "token_expired",
            Self::WrongIssuer => "wrong_issuer",
            Self::ExpiredKey => "expired_key",
            Self::UnknownKeyHost => "unknown_key_host",
            Self::UnknownKey => "unknown_key",
            Self::UnknownTenant => "unknown_tenant",
        }
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingSignature => f.write_str("no signature"),
            Self::MalformedSignature => f.write_str("signature is not in the scheme's form"),
            Self::UnsupportedVersion => f.write_str("no signature in a version of the scheme"),
            Self::SignatureMismatch => f.write_str("signature mismatch: wrong secret, or the body or signed URL was modified in transit"),
            Self::MissingToken => f.write_str("no token"),
            Self::TokenMismatch => f.write_str("token is not a live one"),
            Self::AmbiguousToken => f.write_str("tokens in two places disagree"),
            Self::AmbiguousHeader => f.write_str("a header that must be there once is repeated"),
            Self::MissingTimestamp => f.write_str("no timestamp"),
            Self::MalformedTimestamp => f.write_str("timestamp is not in the scheme's form"),
            Self::TimestampTooOld { seconds } => write!(f, "timestamp is {seconds} s old"),
            Self::TimestampInFuture { seconds } => write!(f, "timestamp is {seconds} s in the future"),
            Self::MissingId => f.write_str("no delivery id"),
            Self::MalformedId => f.write_str("delivery id is too long, not text, or holds the delimiter"),
            Self::MalformedBody => f.write_str("body cannot be read as the scheme has it"),
            Self::EventMismatch => f.write_str("event header contradicts the signed body"),
            Self::TokenExpired => f.write_str("token is past its expiry"),
            Self::WrongIssuer => f.write_str("issuer, audience or topic is not the expected one"),
            Self::ExpiredKey => f.write_str("certificate is expired, or not valid yet"),
            Self::UnknownKeyHost => f.write_str("certificate is on a host that is not the sender's"),
            Self::UnknownKey => f.write_str("no key, or one that does not exist, is named"),
            Self::UnknownTenant => f.write_str("tenant does not exist"),
        }
    }
}

impl error::Error for VerifyError {}

/// Appends the source of an error to its `Display` in the alternate form, `{:#}`.
pub(crate) fn fmt_source(error: &dyn error::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error.source() {
        Some(source) if f.alternate() => write!(f, ": {source:#}"),
        _ => Ok(()),
    }
}
