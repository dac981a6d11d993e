//! Logs and counts refusals. The size of the log is bounded, whatever clients send.

use std::{cell::Cell, error};

use super::{Receiver, Rejection, diagnosis, diagnosis::Refused, receiver::Inner, secrets::Source};
#[cfg(feature = "explain")]
use crate::explain;
use crate::{answer::log_at, claim::contain, request::RequestHead, verify::Incoming};

/// The maximum length of a body whose refusal is explained, in bytes.
#[cfg(feature = "explain")]
const MAX_EXPLAINED: usize = 1 << 20;
/// The maximum length of a client's text in a log line, in bytes.
const MAX_TEXT: usize = 256;

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
        let refused = Refused {
            verifier: &self.verifier,
            head,
            body: incoming.and_then(Incoming::as_sent).filter(|body| !body.is_empty()),
            received: incoming.map(Incoming::received),
            keys: &keys,
            trials: Cell::new(0),
        };
        let scheme = self.verifier.scheme();
        let expected = match rejection {
            Rejection::NotAuthentic(_) => Some(scheme.describe().signatures.join("; ")),
            _ => None,
        };
        let explained = self.explain(rejection, &refused, incoming);
        let (cause, fix, detail) = match explained {
            Some((cause, fix, detail)) => (Some(cause), Some(fix), Some(detail.into())),
            None => (None, None, None),
        };
        let hint = detail.or_else(|| diagnosis::hint(rejection, &refused));
        let source = error::Error::source(rejection).map(tracing::field::display);
        log_at!(
            rejection.level(),
            endpoint = &*self.endpoint,
            scheme = scheme.name(),
            reason = rejection.reason(),
            method = cut(head.method_text()),
            path = cut(head.path()),
            expected,
            present = refused.present(),
            content_length = refused.content_length(),
            body_len = refused.received,
            secrets = has_secrets.then_some(keys.len()),
            url = self.verifier.signed_url(head).as_deref().map(cut),
            source,
            hint = hint.as_deref(),
            cause,
            fix,
            suppressed,
            "refused: {rejection}"
        );
    }

    /// Returns the cause of a refusal, how to fix it and what was seen, if the receiver explains
    /// refusals and the request has what the explanation needs.
    #[cfg(feature = "explain")]
    fn explain(
        &self,
        rejection: &Rejection,
        refused: &Refused<'_, '_>,
        incoming: Option<&Incoming>,
    ) -> Option<(&'static str, String, String)> {
        let Rejection::NotAuthentic(error) = rejection else { return None };
        let body = incoming.and_then(Incoming::as_sent);
        if body.is_some_and(|body| body.len() > MAX_EXPLAINED) {
            return None;
        }
        let is_read = body.is_some_and(|body| !body.is_empty());
        // Many requests are refused before their body is read.
        let scheme = refused.verifier.scheme();
        let is_of_head = scheme.algorithm().is_token() || explain::is_of_head(*error);
        let is_unknown = body.is_none() && refused.received.is_some_and(|len| len > 0);
        if !self.explains || is_unknown || !is_read && !is_of_head && scheme.signs_body() {
            return None;
        }
        let body = body.cloned().unwrap_or_default();
        let explanation =
            explain::explain_refusal(refused.verifier, refused.keys, refused.head, body)?;
        if explanation.cause() == explain::Cause::Valid {
            return None;
        }
        let [fix, detail] = [explanation.fix(), explanation.detail()].map(str::to_owned);
        Some((explanation.cause().code(), fix, detail))
    }

    #[cfg(not(feature = "explain"))]
    fn explain(
        &self,
        _: &Rejection,
        _: &Refused<'_, '_>,
        _: Option<&Incoming>,
    ) -> Option<(&'static str, String, String)> {
        None
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

/// Truncates a text that a client chose.
pub(super) fn cut(text: &str) -> &str {
    let mut ends = (0..=text.len().min(MAX_TEXT)).rev();
    let end = ends.find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}
