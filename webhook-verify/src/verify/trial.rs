//! Facts about a refused request that explain the refusal.

use super::{HeadFacts, Verifier};
use crate::{
    error::VerifyError,
    request::{Picked, RequestHead},
    scheme::Part,
};

impl Verifier {
    /// Returns whether the head of a request is well-formed under the scheme.
    pub(crate) fn reads(&self, head: &RequestHead<'_>) -> bool {
        let (settings, mut facts) = (self.settings(), HeadFacts::default());
        facts.read(settings, head, &Picked::new(head, &settings.names)).is_ok()
    }

    /// Verifies a token in the head of a request. There is nothing to verify for other algorithms.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] if the head is malformed, or if the token is not authentic.
    pub(crate) fn verify_head(&self, head: &RequestHead<'_>) -> Result<(), VerifyError> {
        let (settings, mut facts) = (self.settings(), HeadFacts::default());
        facts.read(settings, head, &Picked::new(head, &settings.names))?;
        facts.judge_head(settings, &settings.keys())
    }

    /// Returns whether the signature covers the URL or its path.
    pub(crate) fn signs_url(&self) -> bool {
        let scheme = self.scheme();
        scheme.needs_public_url()
            || scheme.url_digest.is_some()
            || scheme.parts().any(|part| matches!(part, Part::Path(_)))
    }

    /// Returns the URL or path that the signature must cover. Omits user information and the values
    /// in the query, because they may be secret.
    pub(crate) fn signed_url(&self, head: &RequestHead<'_>) -> Option<String> {
        if !self.signs_url() {
            return None;
        }
        let mut url = match &self.settings().public_url {
            Some(url) => without_user(url),
            None => head.path().to_owned(),
        };
        for (at, pair) in head.query().into_iter().flat_map(|it| it.split('&')).enumerate() {
            url.push(if at == 0 { '?' } else { '&' });
            url.push_str(pair.split_once('=').map_or("", |(name, _)| name));
            url.push_str("=…");
        }
        Some(url)
    }
}

/// Removes the user information from a URL.
pub(crate) fn without_user(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
    let host_at = authority.rfind('@').map_or(0, |at| at + 1);
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{}", &rest[host_at..])
}
