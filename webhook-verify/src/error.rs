use std::{error, fmt};

/// A configuration error, returned when a [`Verifier`](crate::Verifier) or
/// [`Receiver`](crate::Receiver) is set up rather than at its first request.
///
/// `Debug` prints the same text as `Display`, because `unwrap` and a `main` that returns an error
/// print `Debug`. Neither contains a byte of a secret.
///
/// The text names the scheme of the verifier or receiver, and the receiver's endpoint if one is
/// set. If a secret was read from an environment variable or a file, the text names that too. To
/// match on an error, call [`kind`](Self::kind), which returns the error without these names:
///
/// ```
/// use webhook_verify::{ConfigError, Verifier, scheme};
///
/// let error = Verifier::builder(scheme::GITHUB).build().unwrap_err();
/// assert_eq!(error.to_string(), "scheme `github`: secret: none given");
/// assert!(matches!(error.kind(), ConfigError::SecretCount { given: 0, .. }));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A secret is empty, or contains only white space and control characters.
    EmptySecret,
    /// A secret is too long.
    SecretTooLong {
        /// The largest accepted length, in bytes.
        limit: usize,
    },
    /// A secret does not have the scheme's key form.
    MalformedSecret {
        /// The expected form, such as `base64`.
        expected: &'static str,
        /// What the secret looks like, such as "it looks like hex", if it was recognized.
        hint: Option<&'static str>,
    },
    /// A secret contains text that probably does not belong to it, or is probably another key.
    /// [`Secret::exact`](crate::Secret::exact) accepts it.
    SuspectSecret {
        /// The reason and the remedy, such as "ends with a line break: copy the secret without it".
        reason: &'static str,
    },
    /// No secret was given, or more than may be live at once.
    SecretCount {
        /// The number of secrets given.
        given: usize,
        /// The largest number of live secrets.
        limit: usize,
    },
    /// No preset has this name.
    UnknownScheme {
        /// The unknown name.
        name: String,
        /// The preset with the nearest name, if one is near.
        similar: Option<&'static str>,
    },
    /// An option is invalid, or missing.
    Option {
        /// The option's name, which is its setter's.
        option: &'static str,
        /// The error in the value.
        reason: String,
    },
    /// Names the scheme, endpoint, environment variable or file that an error is about.
    About {
        /// A text such as ``scheme `github` ``.
        subject: String,
        /// The error.
        error: Box<Self>,
    },
}

impl ConfigError {
    pub(crate) fn option(option: &'static str, reason: impl Into<String>) -> Self {
        Self::Option { option, reason: reason.into() }
    }

    /// Returns the error without the names that [`About`](Self::About) adds.
    #[must_use]
    pub fn kind(&self) -> &Self {
        match self {
            Self::About { error, .. } => error.kind(),
            Self::EmptySecret
            | Self::SecretTooLong { .. }
            | Self::MalformedSecret { .. }
            | Self::SuspectSecret { .. }
            | Self::SecretCount { .. }
            | Self::UnknownScheme { .. }
            | Self::Option { .. } => self,
        }
    }

    pub(crate) fn about(self, subject: impl Into<String>) -> Self {
        Self::About { subject: subject.into(), error: Box::new(self) }
    }

    /// Adds the scheme's name, unless the error already begins with it.
    pub(crate) fn about_scheme(self, name: &str) -> Self {
        let scheme = format!("scheme `{name}`");
        match self {
            Self::About { ref subject, .. } if *subject == scheme => self,
            _ => self.about(scheme),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptySecret => f.write_str("secret: empty or blank"),
            Self::SecretTooLong { limit } => write!(f, "secret: longer than {limit} bytes"),
            Self::MalformedSecret { expected, hint } => {
                write!(f, "secret: not {expected}")?;
                hint.map_or(Ok(()), |hint| write!(f, ": {hint}"))
            }
            Self::SuspectSecret { reason } => {
                write!(f, "secret: {reason} (`Secret::exact` accepts it as is)")
            }
            Self::SecretCount { given: 0, .. } => f.write_str("secret: none given"),
            Self::SecretCount { given, limit } => {
                write!(f, "secret: {given} given, at most {limit} may be live")
            }
            Self::UnknownScheme { name, similar } => {
                write!(f, "unknown scheme {name:?}")?;
                similar.map_or(Ok(()), |similar| write!(f, ": did you mean {similar}?"))
            }
            Self::Option { option, reason } => write!(f, "{option}: {reason}"),
            Self::About { subject, error } => write!(f, "{subject}: {error}"),
        }
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for ConfigError {}

/// The reason why a request is not authentic, for logs. Clients always get the same response.
///
/// [`reason`](Self::reason) returns a stable code, and `Display` explains it. Neither contains a
/// secret, a signature or a byte of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// The signature is absent or empty.
    MissingSignature,
    /// The signature has a wrong prefix, encoding, length or size, or there are too many.
    MalformedSignature,
    /// No signature has a version or algorithm of the scheme, or a required value differs.
    UnsupportedVersion,
    /// No signature matches a live secret, or the body does not match its signed digest.
    SignatureMismatch,
    /// The token is absent or empty.
    MissingToken,
    /// The token matches no live secret.
    TokenMismatch,
    /// Tokens in two places differ.
    AmbiguousToken,
    /// A header, or a key in one, is repeated but must be unique.
    AmbiguousHeader,
    /// The timestamp that the scheme signs is absent.
    MissingTimestamp,
    /// The timestamp is not a number or a date in the scheme's unit.
    MalformedTimestamp,
    /// The timestamp is older than the tolerance allows.
    TimestampTooOld {
        /// The age in seconds.
        seconds: u64,
    },
    /// The timestamp is further ahead than the tolerance allows.
    TimestampInFuture {
        /// The distance in seconds.
        seconds: u64,
    },
    /// The ID that the scheme signs is absent.
    MissingId,
    /// The signed ID is too long, is not UTF-8, or contains a delimiter of the signed content.
    MalformedId,
    /// The body, or a signed field or signature in it, is malformed, or a refused field is present.
    MalformedBody,
    /// An unsigned event header contradicts the event type in the signed body.
    EventMismatch,
    /// A JSON Web Token has expired.
    TokenExpired,
    /// A JSON Web Token has another issuer or audience, or a message has another topic.
    WrongIssuer,
    /// The certificate of the matching key has expired, or is not valid yet.
    ExpiredKey,
    /// The request names a certificate on a host that is not the sender's.
    UnknownKeyHost,
    /// The request names no key, or one that does not exist.
    UnknownKey,
    /// The request's tenant does not exist.
    UnknownTenant,
    /// The body has an unknown content encoding, several encodings, or one whose feature is off. Or
    /// it is a form in `multipart/form-data`, and that feature is off.
    UnsupportedCoding {
        /// The feature that reads such a body, if there is one.
        feature: Option<&'static str>,
    },
    /// The compressed body does not match its content encoding, or was cut off.
    MalformedCoding,
    /// The compressed body decodes to more than a limit.
    DecodedTooLarge {
        /// The largest allowed length of the decoded body, in bytes.
        limit: usize,
    },
}

impl VerifyError {
    /// The codes that [`reason`](Self::reason) returns.
    pub const REASONS: &[&str] = &[
        "missing_signature",
        "malformed_signature",
        "unsupported_version",
        "signature_mismatch",
        "missing_token",
        "token_mismatch",
        "ambiguous_token",
        "ambiguous_header",
        "missing_timestamp",
        "malformed_timestamp",
        "timestamp_too_old",
        "timestamp_in_future",
        "missing_id",
        "malformed_id",
        "malformed_body",
        "event_mismatch",
        "token_expired",
        "wrong_issuer",
        "expired_key",
        "unknown_key_host",
        "unknown_key",
        "unknown_tenant",
        "unsupported_coding",
        "malformed_coding",
        "decoded_too_large",
    ];

    /// Returns whether the request is refused only for its time of arrival.
    pub(crate) fn is_about_time(self) -> bool {
        matches!(
            self,
            Self::TimestampTooOld { .. } | Self::TimestampInFuture { .. } | Self::TokenExpired
        )
    }

    /// Returns a stable code for counters and alerts, such as `signature_mismatch`.
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
            Self::UnsupportedCoding { .. } => "unsupported_coding",
            Self::MalformedCoding => "malformed_coding",
            Self::DecodedTooLarge { .. } => "decoded_too_large",
        }
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingSignature => "no signature",
            Self::MalformedSignature => "signature is not in the scheme's form",
            Self::UnsupportedVersion => "no signature in a version of the scheme",
            Self::SignatureMismatch => {
                "signature mismatch: wrong secret, or the body or signed URL was modified in \
                 transit"
            }
            Self::MissingToken => "no token",
            Self::TokenMismatch => "token matches no live secret",
            Self::AmbiguousToken => "tokens in two places differ",
            Self::AmbiguousHeader => "a header that must be unique is repeated",
            Self::MissingTimestamp => "no timestamp",
            Self::MalformedTimestamp => "timestamp is not in the scheme's form",
            Self::TimestampTooOld { seconds } => {
                return write!(f, "timestamp is {seconds} s old");
            }
            Self::TimestampInFuture { seconds } => {
                return write!(f, "timestamp is {seconds} s in the future");
            }
            Self::MissingId => "no delivery id",
            Self::MalformedId => "delivery id is too long, not text, or contains a delimiter",
            Self::MalformedBody => "body is not what the scheme requires",
            Self::EventMismatch => "event header contradicts the signed body",
            Self::TokenExpired => "token is past its expiry",
            Self::WrongIssuer => "issuer, audience or topic is not the expected one",
            Self::ExpiredKey => "certificate is expired, or not valid yet",
            Self::UnknownKeyHost => "certificate is on a host that is not the sender's",
            Self::UnknownKey => "request names no key, or one that does not exist",
            Self::UnknownTenant => "tenant does not exist",
            Self::UnsupportedCoding { feature: None } => "content encoding is not supported",
            Self::UnsupportedCoding { feature: Some(feature) } => {
                return write!(f, "body needs the feature `{feature}` of webhook-verify");
            }
            Self::MalformedCoding => "compressed body is malformed",
            Self::DecodedTooLarge { limit } => {
                return write!(f, "compressed body decodes to more than {limit} bytes");
            }
        })
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

#[cfg(test)]
mod tests {
    use std::{error::Error, time::Duration};

    use super::{ConfigError, VerifyError};
    use crate::{
        Idempotency, MemoryStore, Receiver, Scheme, Secret, Verifier, VerifierBuilder,
        idempotency::StoreError,
        scheme::{self, Proof},
    };

    const SECOND: Duration = Duration::from_secs(1);

    /// A `main` that returns an error prints its `Debug` form.
    #[test]
    fn what_main_prints_is_what_the_user_needs() {
        let errors: [Box<dyn Error>; 5] = [
            Secret::new("'s3cret'").unwrap_err().into(),
            Verifier::new(scheme::STANDARD_WEBHOOKS, "v1,whsec_AAEC").unwrap_err().into(),
            Verifier::builder(scheme::GITHUB).build().unwrap_err().into(),
            "githib".parse::<Scheme>().unwrap_err().into(),
            ConfigError::option("ttl", "shorter than the lease").into(),
        ];
        for error in errors {
            assert_eq!(format!("{error:?}"), error.to_string());
        }
        let store: Box<dyn Error> = StoreError::new("no such table: webhook_claim").into();
        assert_eq!(format!("{store:?}"), "store failed: no such table: webhook_claim");
    }

    /// In a service with several receivers, an error must name the one it is about.
    #[test]
    fn each_error_names_what_it_is_about() {
        const NOT_BASE64: &str = "CARGO_PKG_NAME"; // Cargo sets it to `webhook-verify`.
        let path =
            std::env::temp_dir().join(format!("webhook-verify-blank-{}", std::process::id()));
        std::fs::write(&path, "\n").unwrap();
        let (standard, github) = ("scheme `standard-webhooks`: ", "scheme `github`: ");
        let verifier = || Verifier::new(scheme::GITHUB, "a secret").unwrap();
        let build = |verifier: VerifierBuilder| verifier.build().unwrap_err();
        let many =
            (0..9).fold(Verifier::builder(scheme::GITHUB), |it, n| it.secret(format!("{n}")));
        let idempotency = || Idempotency::new(MemoryStore::new(), "billing");
        let errors = [
            (build(Verifier::builder(scheme::GITHUB).secret("")), github),
            (build(Verifier::builder(scheme::GITHUB).secret("x".repeat(100_000))), github),
            (build(Verifier::builder(scheme::STANDARD_WEBHOOKS).secret("*")), standard),
            (build(Verifier::builder(scheme::GITHUB).secret("s3cret\n")), github),
            (build(Verifier::builder(scheme::GITHUB).secret("sk_live_1")), github),
            (build(Verifier::builder(scheme::GITHUB)), github),
            (build(many), github),
            (build(Verifier::builder(scheme::SQUARE).secret("a")), "scheme `square`: public_url: "),
            (build(Verifier::builder(scheme::GITHUB).secret("a").leeway(SECOND)), github),
            (Verifier::builder(scheme::GITHUB).build_without_secrets().unwrap_err(), github),
            (verifier().replace_secrets([""]).unwrap_err(), github),
            (verifier().replace_secrets(Vec::<Secret>::new()).unwrap_err(), github),
            ("githib".parse::<Scheme>().unwrap_err(), "unknown scheme \"githib\""),
            (Scheme::builder("acme").build().unwrap_err(), "scheme `acme`: "),
            (Scheme::builder("acme").prefix("a b").build().unwrap_err(), "scheme `acme`: "),
            (
                Receiver::builder(verifier()).body_timeout(Duration::ZERO).build().unwrap_err(),
                "scheme `github`: body_timeout: ",
            ),
            (
                Receiver::builder(Verifier::builder(scheme::GITHUB)).build().unwrap_err(),
                "scheme `github`: secret: none given",
            ),
            (
                Receiver::builder(verifier())
                    .idempotency(idempotency().lease(Duration::ZERO))
                    .build()
                    .unwrap_err(),
                "endpoint `billing`: scheme `github`: lease: ",
            ),
            (
                Receiver::builder(verifier())
                    .endpoint("pay")
                    .require(Proof::Body)
                    .only([""])
                    .build()
                    .unwrap_err(),
                "endpoint `pay`: scheme `github`: only: ",
            ),
            (
                build(Verifier::builder(scheme::STANDARD_WEBHOOKS).secret(read(NOT_BASE64))),
                "scheme `standard-webhooks`: environment variable CARGO_PKG_NAME: secret: not base64",
            ),
            (Secret::from_file(&path).unwrap_err(), "file /"),
            (
                Secret::from_env("WEBHOOK_VERIFY_NOT_SET").unwrap_err(),
                "secret: set the environment variable WEBHOOK_VERIFY_NOT_SET",
            ),
        ];
        let mut kinds = [0; 7];
        for (error, start) in errors {
            let text = error.to_string();
            assert!(text.starts_with(start), "{text}");
            let once = |subject: &str| text.matches(subject).count() <= 1;
            assert!(once("scheme `") && once("endpoint `"), "{text}");
            kinds[match error.kind() {
                ConfigError::EmptySecret => 0,
                ConfigError::SecretTooLong { .. } => 1,
                ConfigError::MalformedSecret { .. } => 2,
                ConfigError::SuspectSecret { .. } => 3,
                ConfigError::SecretCount { .. } => 4,
                ConfigError::UnknownScheme { .. } => 5,
                ConfigError::Option { .. } => 6,
                ConfigError::About { .. } => panic!("{error} is no kind"),
            }] += 1;
        }
        assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn every_reason_is_listed() {
        let source = include_str!("error.rs");
        let (_, code) = source.split_once("pub const fn reason").unwrap();
        let (code, _) = code.split_once("impl fmt::Display").unwrap();
        let returned: Vec<_> = code.split("=> \"").skip(1).collect();
        let returned = returned.iter().map(|text| text.split_once('"').unwrap().0);
        assert!(returned.eq(VerifyError::REASONS.iter().copied()));
    }

    fn read(variable: &str) -> Secret {
        Secret::from_env(variable).unwrap()
    }
}
