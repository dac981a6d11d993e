//! JSON Web Tokens (RFC 7519) in the compact form of RFC 7515 §7.1.

use std::time::Duration;

use super::{Settings, facts::is_digest_of};
use crate::{
    encoding::base64url_to_vec,
    error::VerifyError,
    request::json,
    scheme::{BodyDigest, TimestampPlace},
};

/// A parsed token. Do not trust its contents before its signature is verified.
pub(super) struct Jwt {
    /// The signed content: header and claims as sent.
    pub(super) signed: Vec<u8>,
    pub(super) signature: Vec<u8>,
    /// The ID of the key that the token names.
    pub(super) key_id: Option<String>,
    claims: Vec<u8>,
}

impl Jwt {
    /// Parses a token. `algorithm` is the scheme's, under its JWT name. Tokens that name another
    /// one, in particular `none`, are refused.
    pub(super) fn parse(text: &[u8], algorithm: &str) -> Result<Self, VerifyError> {
        let malformed = VerifyError::MalformedSignature;
        let parts: Vec<_> = text.splitn(4, |&byte| byte == b'.').collect();
        let [header, claims, signature] = *parts.as_slice() else {
            return Err(malformed);
        };
        let decoded = |part| base64url_to_vec(part).ok_or(malformed);
        let header = decoded(header)?;
        let field = |pointer| {
            let value = json::scalar(&header, pointer).map_err(|_| malformed)?;
            Ok(value.map(|value| value.into_owned()))
        };
        // Extensions that must be understood (RFC 7515 §4.1.11) are not supported.
        if field("/alg")?.as_deref() != Some(algorithm) || json::has_key(&header, "crit") {
            return Err(VerifyError::UnsupportedVersion);
        }
        Ok(Self {
            key_id: field("/kid")?,
            claims: decoded(claims)?,
            signature: decoded(signature)?,
            signed: text[..text.len() - 1 - parts[2].len()].to_vec(),
        })
    }

    /// Checks the claims of a verified token. Returns its time, if the scheme has one.
    pub(super) fn judge_claims(
        &self,
        settings: &Settings,
        body: &[u8],
    ) -> Result<Option<Duration>, VerifyError> {
        let scheme = &*settings.scheme;
        let claim = |name: &str| {
            let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            let claim = json::scalar(&self.claims, &pointer);
            claim.map_err(|_| VerifyError::MalformedSignature)
        };
        if let Some(issuer) = &scheme.issuer
            && claim("iss")?.as_deref() != Some(issuer)
        {
            return Err(VerifyError::WrongIssuer);
        }
        for name in &*scheme.required_claims {
            let value = claim(name)?.ok_or(VerifyError::MalformedSignature)?;
            let url = settings.public_url.as_deref().unwrap_or(&value);
            if name == "aud" && value != url {
                return Err(VerifyError::WrongIssuer);
            }
        }
        let now = settings.clock.now();
        // The unit is seconds. A fraction (RFC 7519 §2) is ignored.
        let seconds = |text: &str| {
            let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
            let number = whole.parse::<u64>().ok();
            number.map(Duration::from_secs).ok_or(VerifyError::MalformedTimestamp)
        };
        if let Some(expiry) = claim("exp")?
            && now >= seconds(&expiry)?
        {
            return Err(VerifyError::TokenExpired);
        }
        if let Some(not_before) = claim("nbf")? {
            let not_before = seconds(&not_before)?;
            if now < not_before {
                let seconds = (not_before - now).as_secs();
                return Err(VerifyError::TimestampInFuture { seconds });
            }
        }
        let time = match &scheme.timestamp {
            Some(source) => match &source.place {
                TimestampPlace::Claim(name) => {
                    let text = claim(name)?.ok_or(VerifyError::MissingTimestamp)?;
                    Some(settings.judge_timestamp(source, text.as_bytes())?)
                }
                TimestampPlace::Header(_)
                | TimestampPlace::Pair(_)
                | TimestampPlace::Before
                | TimestampPlace::Form(_)
                | TimestampPlace::Pointer(_) => None,
            },
            None => None,
        };
        if let Some(BodyDigest::Claim(name)) = &scheme.body_digest {
            let text = claim(name)?.unwrap_or_default();
            if !is_digest_of(&text, body) {
                return Err(VerifyError::SignatureMismatch);
            }
        }
        Ok(time)
    }
}
