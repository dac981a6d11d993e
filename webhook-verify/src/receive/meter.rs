//! Records the metrics of receivers, with the crate `metrics`.

use std::time::Duration;

use super::receiver::Inner;

/// Returns a metric with the receiver's labels and the given ones.
#[cfg(feature = "metrics")]
macro_rules! metric {
    ($kind:ident, $name:literal, $inner:expr $(, $label:literal => $value:expr)*) => {
        metrics::$kind!(
            $name,
            "endpoint" => std::sync::Arc::clone(&$inner.endpoint),
            "scheme" => $inner.verifier.scheme().name.clone()
            $(, $label => $value)*
        )
    };
}

#[cfg(feature = "metrics")]
impl Inner {
    pub(super) fn count_received(&self) {
        metric!(counter, "webhook_verify_received_total", self).increment(1);
    }

    pub(super) fn count_refused(&self, reason: &'static str) {
        metric!(counter, "webhook_verify_refused_total", self, "reason" => reason).increment(1);
    }

    /// Counts a delivery by the live secret that verified it. There are at most eight.
    pub(super) fn count_secret(&self, index: usize) {
        let index = index.to_string();
        metric!(counter, "webhook_verify_secret_total", self, "index" => index).increment(1);
    }

    pub(super) fn count_handled(&self, status: Option<u16>, time: Duration) {
        let outcome = match status.map(|status| status / 100) {
            Some(2) => "2xx",
            Some(3) => "3xx",
            Some(4) => "4xx",
            Some(5) => "5xx",
            _ => "none",
        };
        metric!(counter, "webhook_verify_handled_total", self, "status" => outcome).increment(1);
        metric!(histogram, "webhook_verify_handler_seconds", self).record(time);
    }
}

#[cfg(not(feature = "metrics"))]
#[expect(clippy::unused_self, reason = "the feature `metrics` is off")]
impl Inner {
    pub(super) fn count_received(&self) {}

    pub(super) fn count_refused(&self, _reason: &'static str) {}

    pub(super) fn count_secret(&self, _index: usize) {}

    pub(super) fn count_handled(&self, _status: Option<u16>, _time: Duration) {}
}

/// Counts a running handler in `webhook_verify_in_progress` until it is dropped.
pub(super) struct InProgress<'i>(&'i Inner);

impl<'i> InProgress<'i> {
    pub(super) fn new(inner: &'i Inner) -> Self {
        #[cfg(feature = "metrics")]
        metric!(gauge, "webhook_verify_in_progress", inner).increment(1.0);
        Self(inner)
    }
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        let Self(_inner) = self;
        #[cfg(feature = "metrics")]
        metric!(gauge, "webhook_verify_in_progress", _inner).decrement(1.0);
    }
}
