//! Logs and counts refusals. The size of the log is bounded, whatever clients send.

use std::error;

use super::{Receiver, Rejection, receiver::Inner, secrets::Source};
use crate::{
    answer::log_at,
    claim::contain,
    error::VerifyError,
    explain::{self, Explanation, Refused},
    key::Keys,
    request::RequestHead,
    scheme::is_token_byte,
    verify::Incoming,
};

/// The maximum length of a client's text in a log line, in bytes.
const MAX_TEXT: usize = 256;
/// The same for an explanation, which may contain a URL that a client chose.
const MAX_EXPLANATION: usize = 512;
/// The maximum number of headers in a log line.
const MAX_HEADERS: usize = 8;
/// The hint for a compressed body of a scheme that does not say which bytes are signed.
const UNKNOWN_CODING: &str = "the scheme does not say which bytes of a compressed body are signed: \
                              send it uncompressed";

impl Inner {
    /// Counts and logs the refusal of a request that was not verified.
    pub(super) fn refuse(
        &self,
        rejection: &Rejection,
        head: &RequestHead<'_>,
        incoming: Option<&Incoming>,
    ) {
        let Some(suppressed) = self.count_and_limit(rejection) else { return };
        let keys = incoming.map_or_else(|| self.verifier.settings().keys(), Incoming::keys);
        let has_secrets = !keys.is_empty() || matches!(self.source, Source::Verifier);
        let scheme = self.verifier.scheme();
        let expected = match rejection {
            Rejection::NotAuthentic(_) => Some(scheme.describe().signatures.join("; ")),
            _ => None,
        };
        let explained = self.explain(rejection, head, &keys, incoming);
        let explained = explained.as_ref();
        let hint = match rejection {
            Rejection::ContentEncoding { feature: None } => Some(UNKNOWN_CODING),
            _ => explained.map(|it| cut_to(it.detail(), MAX_EXPLANATION)),
        };
        let source = error::Error::source(rejection).map(tracing::field::display);
        log_at!(
            rejection.level(),
            endpoint = &*self.endpoint,
            scheme = scheme.name(),
            reason = rejection.reason(),
            method = cut(head.method_text()),
            path = cut(head.path()),
            expected,
            present = present(head),
            content_length = head.content_length(),
            body_len = incoming.map(Incoming::received),
            secrets = has_secrets.then_some(keys.len()),
            url = self.verifier.signed_url(head).as_deref().map(cut),
            source,
            cause = explained.map(|it| it.cause().code()),
            hint,
            fix = explained.map(|it| cut_to(it.fix(), MAX_EXPLANATION)),
            suppressed,
            "refused: {rejection}"
        );
    }

    /// Explains the refusal of a request that is not authentic.
    fn explain(
        &self,
        rejection: &Rejection,
        head: &RequestHead<'_>,
        keys: &Keys,
        incoming: Option<&Incoming>,
    ) -> Option<Explanation> {
        let Rejection::NotAuthentic(error) = rejection else { return None };
        if *error == VerifyError::UnknownTenant {
            return None;
        }
        let received = incoming.map_or(0, Incoming::received);
        // A token is verified before the body is read.
        let algorithm = self.verifier.scheme().algorithm();
        let is_read = received > 0 || !algorithm.is_token() && !algorithm.is_jwt();
        let refused = Refused {
            verifier: &self.verifier,
            keys,
            head,
            body: incoming.filter(|_| is_read).and_then(Incoming::as_sent),
            received,
        };
        explain::explain_refusal(&refused, *error, self.effort)
    }

    /// Counts and logs the refusal of a verified delivery, or of its handler's response.
    ///
    /// `request` is its [request line](request_line).
    pub(super) fn refuse_verified(
        &self,
        rejection: &Rejection,
        request: Option<&str>,
        body_len: usize,
    ) {
        let Some(suppressed) = self.count_and_limit(rejection) else { return };
        let source = error::Error::source(rejection).map(tracing::field::display);
        let (method, path) = request.and_then(|line| line.split_once(' ')).unzip();
        log_at!(
            rejection.level(),
            endpoint = &*self.endpoint,
            scheme = self.verifier.scheme().name(),
            reason = rejection.reason(),
            method,
            path,
            body_len,
            source,
            suppressed,
            "refused: {rejection}"
        );
    }

    /// Counts the refusal, and returns the same as [`admit_line`](Self::admit_line).
    fn count_and_limit(&self, rejection: &Rejection) -> Option<u64> {
        self.meter.count_refused(rejection.reason());
        self.admit_line(rejection.reason())
    }

    /// Returns the number of suppressed lines with this reason, if one may be logged now.
    pub(super) fn admit_line(&self, reason: &'static str) -> Option<u64> {
        self.log_limit.admit(reason)
    }
}

impl Receiver {
    /// Returns the response to a refused request, for an adapter's `with_rejection_response`: that
    /// of `render`, or the default one if there is no `render`. If `render` panics, logs the panic
    /// and returns the default one.
    pub fn render_rejection<R>(
        &self,
        rejection: &Rejection,
        default: impl Fn() -> R,
        render: Option<impl FnOnce(&Rejection, R) -> R>,
    ) -> R {
        let Some(render) = render else { return default() };
        contain(|| render(rejection, default())).unwrap_or_else(|| {
            // Anyone can send a request that is refused.
            if let Some(suppressed) = self.inner.admit_line("render_panicked") {
                tracing::error!(
                    target: "webhook_verify",
                    endpoint = &*self.inner.endpoint,
                    reason = rejection.reason(),
                    suppressed,
                    "the callback of `with_rejection_response` panicked"
                );
            }
            default()
        })
    }
}

/// Returns the method and path of a request that may be refused after its head was dropped.
pub(super) fn request_line(head: &RequestHead<'_>) -> String {
    [cut(head.method_text()), " ", cut(head.path())].concat()
}

/// Returns the names of the headers that may be related to signatures, and their lengths.
fn present(head: &RequestHead<'_>) -> String {
    const WORDS: [&str; 7] = ["auth", "digest", "hmac", "hook", "sig", "time", "token"];
    let mut found = Vec::new();
    head.visit(&mut |name, value| {
        let lower = name.to_ascii_lowercase();
        let is_named = WORDS.iter().any(|word| lower.contains(word));
        if is_named && lower.bytes().all(is_token_byte) && found.len() < MAX_HEADERS {
            found.push(format!("{}({})", cut(&lower), value.len()));
        }
    });
    found.join(" ")
}

/// Truncates a text that a client chose.
pub(super) fn cut(text: &str) -> &str {
    cut_to(text, MAX_TEXT)
}

fn cut_to(text: &str, max: usize) -> &str {
    let mut ends = (0..=text.len().min(max)).rev();
    let end = ends.find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}
