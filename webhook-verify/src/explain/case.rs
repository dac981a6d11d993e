//! A request, and attempts to verify it in other ways.

#[cfg(test)]
use std::cell::RefCell;
use std::{cell::Cell, time::Duration};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::{
    clock::Tolerance,
    error::{ConfigError, VerifyError},
    key::{Key, Secret},
    request::RequestHead,
    scheme::{Place, Scheme},
    verify::{Verifier, VerifierBuilder},
};

/// The cost of a verification apart from its body, in bytes that are hashed.
const WORK_OF_ATTEMPT: usize = 2 << 10;
/// The cost of other settings.
const WORK_OF_SETTINGS: usize = 6 << 10;
/// The cost of a verification with a public key.
const WORK_OF_PUBLIC_KEY: usize = 256 << 10;

#[cfg(test)]
thread_local! {
    /// The length of the body of each verification in a test.
    pub(super) static VERIFIED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// The bytes of a secret, as configured.
pub(super) type Text = Zeroizing<Vec<u8>>;

/// What a request is verified with.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) scheme: Scheme,
    pub(super) secrets: Vec<Text>,
    pub(super) public_url: Option<String>,
    pub(super) parameters: Vec<(String, Zeroizing<String>)>,
    /// The verifier's own time window, if it is not the scheme's.
    pub(super) tolerance: Option<Option<Tolerance>>,
    /// The verifier's own leeway for JSON Web Tokens.
    pub(super) leeway: Option<Duration>,
}

impl Settings {
    /// Builds a verifier without a time window. Skips secrets that are not in the scheme's form.
    pub(super) fn verifier(&self) -> Result<Verifier, ConfigError> {
        self.timeless()?.build()
    }

    fn timeless(&self) -> Result<VerifierBuilder, ConfigError> {
        let mut builder = self.builder()?;
        if self.scheme.tolerance().is_some() {
            builder = builder.tolerance(None);
        }
        if self.scheme.algorithm().is_jwt() {
            builder = builder.leeway(Duration::MAX);
        }
        Ok(builder)
    }

    fn builder(&self) -> Result<VerifierBuilder, ConfigError> {
        let exact = |text: &Text| match text.trim_ascii() {
            [] => Err(ConfigError::EmptySecret),
            _ => Secret::exact(text.to_vec()),
        };
        let secrets = self.secrets.iter().map(exact).collect::<Result<Vec<_>, _>>()?;
        let fits = |secret: &Secret| Key::new(&self.scheme, secret);
        let mut errors = Vec::new();
        let mut builder = Verifier::builder(self.scheme.clone());
        for secret in secrets {
            match fits(&secret) {
                Ok(_) => builder = builder.secret(secret),
                Err(error) => errors.push(error),
            }
        }
        if errors.len() == self.secrets.len()
            && let Some(error) = errors.into_iter().next()
        {
            return Err(error);
        }
        if let Some(url) = &self.public_url {
            builder = builder.public_url(url);
        }
        for (name, value) in &self.parameters {
            builder = builder.parameter(name, value.as_str());
        }
        Ok(builder)
    }
}

/// A refused request with the settings that refused it.
pub(super) struct Case<'c> {
    pub(super) settings: &'c Settings,
    /// The verifier with these settings, unless none of the secrets is in the scheme's form.
    pub(super) verifier: Option<Verifier>,
    pub(super) head: RequestHead<'c>,
    /// The body as it arrived. It is empty if it is not known.
    pub(super) body: Bytes,
    /// Whether the body was read and kept. If not, only a token in the head can be verified.
    pub(super) is_body_known: bool,
    /// The number of bytes of the body that arrived.
    pub(super) received: usize,
    /// The minimum length of a token that is compared with the beginnings of the secrets, in bytes.
    pub(super) min_cut_token: usize,
    /// The bodies of other requests.
    pub(super) others: &'c [Bytes],
    /// The query of the configured URL, with its question mark.
    pub(super) query: Option<&'c str>,
    /// The work that the attempts may still do.
    pub(super) work_left: Cell<usize>,
    /// Whether the limit for the work left out attempts.
    pub(super) was_limited: Cell<bool>,
}

impl<'c> Case<'c> {
    pub(super) fn scheme(&self) -> &'c Scheme {
        &self.settings.scheme
    }

    /// Returns the same request with other settings, which continues to count the work.
    pub(super) fn with_settings(&self, settings: &'c Settings) -> Self {
        Self {
            settings,
            verifier: settings.verifier().ok(),
            body: self.body.clone(),
            work_left: self.work_left.clone(),
            was_limited: self.was_limited.clone(),
            ..*self
        }
    }

    /// Returns whether the limit allows work on that many bytes. If so, counts them.
    pub(super) fn may_work(&self, bytes: usize) -> bool {
        let left = self.work_left.get().checked_sub(bytes);
        match left {
            Some(left) => self.work_left.set(left),
            None => self.was_limited.set(true),
        }
        left.is_some()
    }

    /// Returns whether any attempt can succeed. All need a secret, and a signature needs the body that
    /// it covers.
    pub(super) fn can_verify(&self) -> bool {
        self.has_secrets() && (self.is_body_known || self.is_proof_in_head())
    }

    /// Returns whether there is a secret. A receiver may not have looked it up yet.
    pub(super) fn has_secrets(&self) -> bool {
        !self.settings.secrets.is_empty()
    }

    fn is_proof_in_head(&self) -> bool {
        let algorithm = self.scheme().algorithm();
        (algorithm.is_token() || algorithm.is_jwt()) && !self.reads_proof_in_body()
    }

    fn verify(
        &self,
        verifier: &Verifier,
        head: RequestHead<'_>,
        body: Bytes,
    ) -> Result<(), VerifyError> {
        #[cfg(test)]
        VERIFIED.with_borrow_mut(|lens| lens.push(body.len()));
        match self.is_body_known {
            true => verifier.verify(head, body).map(drop),
            false => verifier.verify_head(&head),
        }
    }

    fn may_verify(&self, scheme: &Scheme, extra: usize, body: &Bytes) -> bool {
        self.may_work(self.work_of(scheme, extra, body))
    }

    fn work_of(&self, scheme: &Scheme, extra: usize, body: &Bytes) -> usize {
        let is_public = scheme.algorithm().tag_len() == 0;
        let base = if is_public { WORK_OF_PUBLIC_KEY } else { WORK_OF_ATTEMPT };
        let work = body.len().saturating_add(base + extra);
        work.saturating_mul(self.settings.secrets.len().max(1))
    }

    /// Returns whether the request is valid with this body.
    pub(super) fn holds_with_body(&self, body: impl Into<Bytes>) -> bool {
        let body = body.into();
        self.may_verify(self.scheme(), 0, &body)
            && self.verifier.as_ref().is_some_and(|it| self.verify(it, self.head, body).is_ok())
    }

    /// Returns whether the request is valid with these headers.
    pub(super) fn holds_with_headers(&self, headers: &[(String, Vec<u8>)]) -> bool {
        let head = RequestHead::new(&headers);
        let head = head.method(self.head.method_text()).target(self.head.path_and_query());
        self.may_verify(self.scheme(), 0, &self.body)
            && self
                .verifier
                .as_ref()
                .is_some_and(|it| self.verify(it, head, self.body.clone()).is_ok())
    }

    /// Returns whether the request is valid with other settings.
    pub(super) fn holds_with(&self, settings: &Settings) -> bool {
        let verify = |it: Verifier| self.verify(&it, self.head, self.body.clone()).is_ok();
        self.may_verify(&settings.scheme, WORK_OF_SETTINGS, &self.body)
            && settings.verifier().is_ok_and(verify)
    }

    /// Returns whether the request is valid with another public URL and another target.
    pub(super) fn holds_with_url(&self, url: &str, target: &str) -> bool {
        let head = self.head.target(target);
        let verify = |it: Verifier| self.verify(&it, head, self.body.clone()).is_ok();
        self.may_verify(self.scheme(), WORK_OF_ATTEMPT, &self.body)
            && self.verifier.as_ref().and_then(|it| it.with_public_url(url)).is_some_and(verify)
    }

    /// Returns whether the head, with the signature in it, is well-formed under another scheme.
    pub(super) fn reads_with(&self, scheme: Scheme) -> bool {
        // Reading needs no secrets. They may not fit the scheme, or not be known.
        let settings = Settings { secrets: Vec::new(), ..self.with_scheme(scheme) };
        let build = || settings.timeless()?.build_keyless();
        !self.reads_proof_in_body()
            && self.may_work(WORK_OF_SETTINGS)
            && build().is_ok_and(|it| it.reads(&self.head))
    }

    /// Verifies the request, unless no secret fits the scheme.
    pub(super) fn verdict(&self) -> Option<Result<(), VerifyError>> {
        let work = self.work_of(self.scheme(), 0, &self.body);
        self.work_left.set(self.work_left.get().saturating_sub(work));
        Some(self.verify(self.verifier.as_ref()?, self.head, self.body.clone()))
    }

    /// Verifies the request at this time, with the verifier's time window.
    pub(super) fn timely(&self, now: Duration) -> Result<(), VerifyError> {
        let settings = self.settings;
        let mut window = settings.builder().map_err(|_| VerifyError::UnknownKey)?;
        window = window.clock(move || now);
        if let Some(tolerance) = settings.tolerance.filter(|_| self.scheme().timestamp.is_some()) {
            window = window.tolerance(tolerance);
        }
        if let Some(leeway) = settings.leeway.filter(|_| self.scheme().algorithm().is_jwt()) {
            window = window.leeway(leeway);
        }
        let verifier = window.build().map_err(|_| VerifyError::UnknownKey)?;
        self.verify(&verifier, self.head, self.body.clone())
    }

    /// Returns the same settings with another scheme.
    pub(super) fn with_scheme(&self, scheme: Scheme) -> Settings {
        Settings { scheme, ..self.settings.clone() }
    }

    /// Returns a header's value, unless it is absent or repeated.
    pub(super) fn header(&self, name: &str) -> Option<&'c str> {
        self.head.header(name).map(str::trim)
    }

    /// Returns whether verification reads the body, and the body is known.
    pub(super) fn reads_body(&self) -> bool {
        self.is_body_known && (!self.scheme().algorithm().is_token() || self.reads_proof_in_body())
    }

    /// Returns whether the signature or token may be in the body.
    pub(super) fn reads_proof_in_body(&self) -> bool {
        let is_in_body = |place: &Place| matches!(place, Place::Form(_) | Place::Pointer(_));
        self.scheme().signatures.iter().any(|source| is_in_body(&source.place))
    }
}
