//! The metrics of a receiver.

use std::time::Duration;

use crate::claim::{Family, Metric};

/// The indices of live secrets, of which a verifier has at most eight.
const SECRETS: [&str; 8] = ["0", "1", "2", "3", "4", "5", "6", "7"];

pub(super) struct Meter {
    endpoint: Box<str>,
    scheme: Box<str>,
    received: Metric,
    secrets: Family,
    handled: Family,
    handler_seconds: Metric,
    in_progress: Metric,
}

impl Meter {
    pub(super) fn new(endpoint: &str, scheme: &str) -> Self {
        let labels = [("endpoint", endpoint), ("scheme", scheme)];
        let (index, status) = ("webhook_verify_secret_total", "webhook_verify_handled_total");
        let statuses = ["2xx", "3xx", "4xx", "5xx", "none"];
        Self {
            endpoint: endpoint.into(),
            scheme: scheme.into(),
            received: Metric::new("webhook_verify_received_total", &labels),
            secrets: Family::new(index, &labels, "index", &SECRETS),
            handled: Family::new(status, &labels, "status", &statuses),
            handler_seconds: Metric::new("webhook_verify_handler_seconds", &labels),
            in_progress: Metric::new("webhook_verify_in_progress", &labels),
        }
    }

    pub(super) fn count_received(&self) {
        self.received.count();
    }

    pub(super) fn count_refused(&self, reason: &'static str) {
        let labels = [("endpoint", &*self.endpoint), ("scheme", &self.scheme), ("reason", reason)];
        Metric::new("webhook_verify_refused_total", &labels).count();
    }

    /// Counts a delivery by the live secret that verified it.
    pub(super) fn count_secret(&self, index: usize) {
        if let Some(metric) = SECRETS.get(index).and_then(|index| self.secrets.with(index)) {
            metric.count();
        }
    }

    pub(super) fn count_handled(&self, status: Option<u16>, time: Duration) {
        let status = match status.map(|status| status / 100) {
            Some(2) => "2xx",
            Some(3) => "3xx",
            Some(4) => "4xx",
            Some(5) => "5xx",
            _ => "none",
        };
        if let Some(metric) = self.handled.with(status) {
            metric.count();
        }
        self.handler_seconds.record(time);
    }

    /// Counts a running handler, until the returned guard is dropped.
    pub(super) fn begin_handler(&self) -> InProgress<'_> {
        self.in_progress.increment();
        InProgress(&self.in_progress)
    }
}

pub(super) struct InProgress<'m>(&'m Metric);

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.0.decrement();
    }
}
