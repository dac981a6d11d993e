//! JSON Web Tokens (RFC 7519) in the compact form of RFC 7515 §7.1.

use std::{borrow::Cow, time::Duration};

use super::{Settings, digests::HeadDigests, facts::is_digest_of};
use crate::{
    encoding::{base64url_to_vec, decode_digest},
    error::VerifyError,
    request::json,
    scheme::{DigestPlace, Scheme, TimestampPlace},
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
        head: &HeadDigests,
        body: &[u8],
    ) -> Result<Option<Duration>, VerifyError> {
        let scheme = &*settings.scheme;
        if let Some(issuer) = &scheme.issuer
            && self.claim("iss")?.as_deref() != Some(issuer)
        {
            return Err(VerifyError::WrongIssuer);
        }
        for name in &*scheme.required_claims {
            if name == "aud" {
                self.judge_audience(settings.public_url.as_deref())?;
            } else {
                self.claim(name)?.ok_or(VerifyError::MalformedSignature)?;
            }
        }
        let time = self.judge_times(settings)?;
        self.judge_digests(scheme, head, body)?;
        Ok(time)
    }

    /// Returns the scalar in a claim.
    fn claim(&self, name: &str) -> Result<Option<Cow<'_, str>>, VerifyError> {
        let claim = json::scalar(&self.claims, &pointer_to(name));
        claim.map_err(|_| VerifyError::MalformedSignature)
    }

    /// Checks that the token is for this URL. The audience is a text or a list of them (RFC 7519
    /// §4.1.3).
    fn judge_audience(&self, url: Option<&str>) -> Result<(), VerifyError> {
        let malformed = VerifyError::MalformedSignature;
        let audience = json::raw(&self.claims, &pointer_to("aud")).map_err(|_| malformed)?;
        let audience = audience.ok_or(malformed)?;
        let audience: Vec<Cow<'_, str>> = if audience.starts_with('[') {
            serde_json::from_str(audience).map_err(|_| malformed)?
        } else {
            vec![self.claim("aud")?.ok_or(malformed)?]
        };
        match url {
            Some(url) if !audience.iter().any(|known| known == url) => {
                Err(VerifyError::WrongIssuer)
            }
            _ if audience.is_empty() => Err(malformed),
            _ => Ok(()),
        }
    }

    /// Checks the token's times. The unit is seconds. A fraction (RFC 7519 §2) is ignored.
    fn judge_times(&self, settings: &Settings) -> Result<Option<Duration>, VerifyError> {
        let now = settings.clock.now();
        let leeway = settings.leeway;
        let seconds = |name: &str| {
            let parse = |text: Cow<'_, str>| {
                let number = whole(&text).parse::<u64>().ok();
                number.map(Duration::from_secs).ok_or(VerifyError::MalformedTimestamp)
            };
            self.claim(name)?.map(parse).transpose()
        };
        if let Some(expiry) = seconds("exp")?
            && now >= expiry.saturating_add(leeway)
        {
            return Err(VerifyError::TokenExpired);
        }
        let in_time = |time: Option<Duration>| match time {
            Some(time) if now.saturating_add(leeway) < time => {
                let seconds = (time - now).as_secs();
                Err(VerifyError::TimestampInFuture { seconds })
            }
            _ => Ok(()),
        };
        in_time(seconds("nbf")?)?;
        let source = settings.scheme.timestamp.as_ref();
        let place = source.map(|source| &source.place);
        if !matches!(place, Some(TimestampPlace::Claim(name)) if name == "iat") {
            in_time(seconds("iat")?)?;
        }
        match (source, place) {
            (Some(source), Some(TimestampPlace::Claim(name))) => {
                let text = self.claim(name)?.ok_or(VerifyError::MissingTimestamp)?;
                settings.judge_timestamp(source, whole(&text).as_bytes()).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Checks the digests of the body and of the URL.
    fn judge_digests(
        &self,
        scheme: &Scheme,
        head: &HeadDigests,
        body: &[u8],
    ) -> Result<(), VerifyError> {
        if let Some(digest) = &scheme.body_digest
            && let DigestPlace::Claim(name) = &digest.place
        {
            let content = match &head.query_json {
                Some(query) if body.is_empty() => query.as_bytes(),
                _ => body,
            };
            let holds = match self.claim(name)? {
                Some(text) => is_digest_of(&text, digest.encoding, content),
                None => digest.optional && content.is_empty(),
            };
            if !holds {
                return Err(VerifyError::SignatureMismatch);
            }
        }
        if let Some(digest) = &scheme.url_digest {
            let text = self.claim(&digest.claim)?.unwrap_or_default();
            let signed = decode_digest(text.as_bytes(), None);
            if signed.is_none() || signed != head.url {
                return Err(VerifyError::SignatureMismatch);
            }
        }
        Ok(())
    }
}

fn pointer_to(claim: &str) -> String {
    format!("/{}", claim.replace('~', "~0").replace('/', "~1"))
}

fn whole(number: &str) -> &str {
    number.split_once('.').map_or(number, |(whole, _)| whole)
}
