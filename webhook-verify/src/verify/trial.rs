//! Verifies a refused request in other ways, so that the log can explain the refusal.

use bytes::Bytes;

use super::{HeadFacts, Verifier, VerifierBuilder};
use crate::{
    key::{Key, Keys},
    request::{Picked, RequestHead},
    scheme::{Part, Scheme},
};

impl Verifier {
    /// Returns a verifier without secrets that has the same settings, but another scheme or public
    /// URL. Returns `None` if the settings do not fit the scheme.
    pub(crate) fn varied(&self, scheme: Scheme, public_url: Option<String>) -> Option<Self> {
        let settings = self.settings();
        let now = settings.clock.now();
        let builder = VerifierBuilder {
            secrets: Vec::new(),
            error: None,
            tolerance: settings.tolerance.filter(|_| scheme.timestamp.is_some()),
            leeway: scheme.algorithm.is_jwt().then_some(settings.leeway),
            clock: Box::new(move || now),
            public_url,
            max_events: settings.max_events,
            parameters: settings.parameters.clone(),
            scheme,
        };
        builder.build_keyless().ok()
    }

    /// Returns whether the head of a request is well-formed under the scheme.
    pub(crate) fn reads(&self, head: &RequestHead<'_>) -> bool {
        let (settings, mut facts) = (self.settings(), HeadFacts::default());
        facts.read(settings, head, &Picked::new(head, &settings.names)).is_ok()
    }

    /// Returns whether one of the keys verifies a request. Without a body, verifies only a token in
    /// the head.
    pub(crate) fn accepts(
        &self,
        head: &RequestHead<'_>,
        body: Option<&Bytes>,
        keys: &[Key],
    ) -> bool {
        let (settings, mut facts) = (self.settings(), HeadFacts::default());
        match body {
            _ if keys.is_empty() => false,
            Some(body) => self.judge(head, body.clone(), keys).is_ok(),
            None => {
                facts.read(settings, head, &Picked::new(head, &settings.names)).is_ok()
                    && facts.judge_head(settings, keys).is_ok()
            }
        }
    }

    /// Returns the same secrets for this verifier's scheme.
    pub(crate) fn fit(&self, keys: &Keys) -> Keys {
        keys.fit(self.scheme())
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
