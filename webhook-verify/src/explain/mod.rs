//! Explains why a request is refused, offline.
//!
//! An [`Explainer`] verifies a request again with other secrets, bodies, URLs and schemes, in a
//! fixed order, until one is valid. The [`Cause`] names this difference, and the [`Explanation`]
//! says how to fix it. No text contains a signature, a body, or more of a secret than a public
//! prefix.
//!
//! ```
//! use webhook_verify::{explain::{Cause, Explainer}, scheme, testing::Signer};
//!
//! let signed = Signer::new(scheme::GITHUB, "a secret")?.sign(r#"{"a":1}"#)?;
//!
//! let explainer = Explainer::new(scheme::GITHUB).secret("a secret\n");
//! let explanation = explainer.explain(&signed.headers, signed.body)?;
//! assert_eq!(explanation.cause(), Cause::SecretWhitespace);
//! assert!(explanation.fix().starts_with("remove the white space"));
//! # Ok::<(), webhook_verify::ConfigError>(())
//! ```

mod body;
mod case;
mod cause;
mod charset;
mod form;
mod json;
mod search;
mod secret;
mod sender;
mod signature;
#[cfg(all(test, feature = "testing"))]
mod tests;
mod timestamp;
mod url;

use std::{borrow::Cow, cell::Cell, collections::HashSet, fmt, hash::Hash, time::Duration};

use bytes::Bytes;
use zeroize::Zeroizing;

use self::case::{Case, Settings, Text};
pub use self::cause::Cause;
use crate::{
    clock::{Clock as _, SystemClock},
    error::{ConfigError, VerifyError},
    key::Keys,
    request::RequestHead,
    scheme::Scheme,
    verify::Verifier,
};

/// A placeholder for a scheme that signs the URL, if no public URL is set.
const UNKNOWN_URL: &str = "https://unknown.invalid/";

/// The minimum length of a token that is called the beginning of a secret, in bytes.
const MIN_CUT_TOKEN: usize = 4;
/// The same in the log of a receiver. With a lower one, a client that can read the log, or measure
/// the time of an explanation, could guess the secret byte by byte.
const MIN_LOGGED_CUT_TOKEN: usize = 16;

/// The limits of an explanation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effort {
    /// The maximum length of a body that is verified in other ways, in bytes.
    max_body: usize,
    /// The limit for the work of all attempts, in bytes that are hashed.
    max_work: usize,
}

impl Effort {
    /// For the log of every receiver. Anyone can send requests that are refused.
    pub(crate) const SMALL: Self = Self { max_body: 64 << 10, max_work: 4 << 20 };
    /// For development, with one refused request at a time.
    pub(crate) const LARGE: Self = Self { max_body: 1 << 20, max_work: 48 << 20 };
}

/// Explains refused requests of one scheme.
#[derive(Clone)]
#[must_use]
pub struct Explainer {
    settings: Settings,
    time: Time,
    others: Vec<Bytes>,
    /// The query of the public URL, with its question mark.
    query: Option<String>,
}

/// The time at which a request arrived.
#[derive(Clone, Copy)]
enum Time {
    Now,
    At(Duration),
    Any,
}

impl Explainer {
    /// Creates an explainer without secrets.
    pub fn new(scheme: Scheme) -> Self {
        let settings = Settings {
            scheme,
            secrets: Vec::new(),
            public_url: None,
            parameters: Vec::new(),
            tolerance: None,
            leeway: None,
        };
        Self { settings, time: Time::Now, others: Vec::new(), query: None }
    }

    /// Adds a secret, exactly as it is configured. Unlike
    /// [`VerifierBuilder::secret`](crate::VerifierBuilder::secret), accepts white space and
    /// quotation marks around it, since these may be the cause.
    pub fn secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.settings.secrets.push(Text::new(secret.into()));
        self
    }

    /// Sets the public URL, as [`VerifierBuilder::public_url`](crate::VerifierBuilder::public_url)
    /// does. It may have a query, in case a proxy changes the query.
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        let mut url = url.into();
        if let Some(at) = url.find('#') {
            url.truncate(at);
        }
        self.query = url.find('?').map(|at| url.split_off(at));
        self.settings.public_url = Some(url);
        self
    }

    /// Sets a parameter that the scheme needs.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.parameters.push((name.into(), Zeroizing::new(value.into())));
        self
    }

    /// Sets the time at which the request arrived, since the Unix epoch. The default is now.
    pub fn at(mut self, now: Duration) -> Self {
        self.time = Time::At(now);
        self
    }

    /// Accepts any timestamp.
    pub fn at_any_time(mut self) -> Self {
        self.time = Time::Any;
        self
    }

    /// Adds the body of another request, to recognize a signature that belongs to it.
    pub fn other_body(mut self, body: impl Into<Bytes>) -> Self {
        self.others.push(body.into());
        self
    }

    /// Explains a request with its body as it arrived.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if there is no secret, a secret is empty, a parameter is missing, or the public
    /// URL is invalid. A secret that is not in the scheme's form is no error, but may be the cause.
    pub fn explain<'a>(
        &self,
        head: impl Into<RequestHead<'a>>,
        body: impl Into<Bytes>,
    ) -> Result<Explanation, ConfigError> {
        let mut settings = self.settings.clone();
        if settings.public_url.is_none() && settings.scheme.needs_public_url() {
            settings.public_url = Some(UNKNOWN_URL.to_owned());
        }
        let (verifier, invalid_secret) = match settings.verifier() {
            Ok(verifier) => (Some(verifier), None),
            Err(error) => match error.kind() {
                ConfigError::MalformedSecret { .. } | ConfigError::SuspectSecret { .. } => {
                    (None, Some(error))
                }
                _ => return Err(error),
            },
        };
        let body = body.into();
        let case = Case {
            settings: &settings,
            verifier,
            head: head.into(),
            received: body.len(),
            body,
            is_body_known: true,
            min_cut_token: MIN_CUT_TOKEN,
            others: &self.others,
            query: self.query.as_deref(),
            work_left: Cell::new(Effort::LARGE.max_work),
            was_limited: Cell::new(false),
        };
        Ok(self.explain_case(&case, invalid_secret))
    }

    fn explain_case(&self, case: &Case<'_>, invalid_secret: Option<ConfigError>) -> Explanation {
        let now = self.now();
        match case.verdict() {
            Some(Ok(())) => match now.and_then(|now| case.timely(now).err()) {
                Some(error) => timestamp::untimely(case, error).explains(error.reason()),
                None => Finding::new(Cause::Valid, "nothing to fix", "").explains("valid"),
            },
            Some(Err(error)) => find(case, error, now).explains(error.reason()),
            None => search::find_for_unfit_secret(case, invalid_secret).explains("invalid_secret"),
        }
    }

    fn now(&self) -> Option<Duration> {
        match self.time {
            Time::Now => Some(SystemClock.now()),
            Time::At(now) => Some(now),
            Time::Any => None,
        }
    }
}

/// A request that a receiver refused.
pub(crate) struct Refused<'r, 'h> {
    pub(crate) verifier: &'r Verifier,
    pub(crate) keys: &'r Keys,
    pub(crate) head: &'r RequestHead<'h>,
    /// The complete body as sent, if it was read and kept.
    pub(crate) body: Option<&'r Bytes>,
    /// The number of bytes of the body that arrived.
    pub(crate) received: usize,
}

/// Explains why a receiver refused a request. Returns `None` if the request is valid otherwise.
pub(crate) fn explain_refusal(
    refused: &Refused<'_, '_>,
    error: VerifyError,
    effort: Effort,
) -> Option<Explanation> {
    let own = refused.verifier.settings();
    let secrets = refused.keys.secrets().iter().map(|secret| Text::new(secret.expose().to_vec()));
    let settings = Settings {
        scheme: refused.verifier.scheme().clone(),
        secrets: secrets.collect(),
        public_url: own.public_url.clone(),
        parameters: own.parameters.clone(),
        tolerance: own.tolerance,
        leeway: Some(own.leeway),
    };
    let body = refused.body.filter(|body| body.len() <= effort.max_body);
    let case = Case {
        verifier: settings.verifier().ok(),
        settings: &settings,
        head: *refused.head,
        body: body.cloned().unwrap_or_default(),
        is_body_known: body.is_some(),
        received: refused.received,
        min_cut_token: MIN_LOGGED_CUT_TOKEN,
        others: &[],
        query: None,
        work_left: Cell::new(effort.max_work),
        was_limited: Cell::new(false),
    };
    let verdict = if case.can_verify() { case.verdict() } else { None };
    let finding = match verdict {
        Some(Ok(())) if error.is_about_time() => timestamp::untimely(&case, error),
        Some(Ok(())) => return None,
        _ if error.is_about_time() && !case.can_verify() => timestamp::untimely(&case, error),
        Some(Err(other)) => find(&case, other, Some(own.clock.now())),
        None => search::find(&case, error),
    };
    Some(with_length(finding, &case).explains(error.reason()))
}

/// Adds that the body may be another one, if nothing declares its length.
fn with_length(finding: Finding, case: &Case<'_>) -> Finding {
    let has = |name| case.head.header(name).is_some();
    let is_undeclared = !has("content-length") && !has("transfer-encoding") && case.received > 0;
    if finding.cause == Cause::NoMatch && is_undeclared && case.scheme().signs_body() {
        return finding.with_detail(
            "nothing declares the length of the body, so a layer may have decompressed it",
        );
    }
    finding
}

/// Finds the cause of a refusal, and adds the timestamp's fault, which is the next reason after the
/// fix.
fn find(case: &Case<'_>, error: VerifyError, now: Option<Duration>) -> Finding {
    let finding = search::find(case, error);
    let timely = now.and_then(|now| case.timely(now).err());
    if let VerifyError::TimestampTooOld { seconds } | VerifyError::TimestampInFuture { seconds } =
        timely.unwrap_or(error)
    {
        let also = format!("also, the timestamp is {seconds} s away from the arrival time");
        return finding.with_detail(&also);
    }
    finding
}

/// What an attempt found.
struct Finding {
    cause: Cause,
    fix: Cow<'static, str>,
    detail: Cow<'static, str>,
}

impl Finding {
    fn new(
        cause: Cause,
        fix: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { cause, fix: fix.into(), detail: detail.into() }
    }

    /// Adds what was seen as well.
    fn with_detail(self, also: &str) -> Self {
        Self { detail: format!("{}; {also}", self.detail).into(), ..self }
    }

    fn explains(self, verdict: &'static str) -> Explanation {
        Explanation { verdict, cause: self.cause, fix: self.fix, detail: self.detail }
    }
}

/// The reason why a request is refused, and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    verdict: &'static str,
    cause: Cause,
    fix: Cow<'static, str>,
    detail: Cow<'static, str>,
}

impl Explanation {
    /// Returns `valid`, `invalid_secret`, or the [reason](VerifyError::reason) of the refusal.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        self.verdict
    }

    /// Returns the first cause that was found.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// Returns what to do, as one sentence without a full stop.
    #[must_use]
    pub fn fix(&self) -> &str {
        &self.fix
    }

    /// Returns what was seen. It is empty for a valid request.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::Valid => f.write_str("valid"),
            cause => write!(f, "{cause}: {}: {}", self.detail, self.fix),
        }
    }
}

/// Omits the secrets.
impl fmt::Debug for Explainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explainer")
            .field("scheme", &self.settings.scheme.name())
            .finish_non_exhaustive()
    }
}

/// Removes the items that stand earlier in the list.
fn remove_repeated<T: Clone + Eq + Hash>(items: &mut Vec<T>) {
    let mut seen = HashSet::new();
    items.retain(|item| seen.insert(item.clone()));
}

/// Visits every order of the items.
fn permute<T>(items: &mut [T], at: usize, visit: &mut dyn FnMut(&[T])) {
    if at + 1 >= items.len() {
        return visit(items);
    }
    for other in at..items.len() {
        items.swap(at, other);
        permute(items, at + 1, visit);
        items.swap(at, other);
    }
}
