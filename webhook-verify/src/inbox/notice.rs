//! The log events and metrics of inboxes.

use std::{sync::Arc, time::Duration};

use super::{Inbox, InboxEvent, Stats, Verdict};
use crate::claim::{ClaimKey, Family, LogLimit, Metric, StoreError};

/// The metrics of a receiver with an inbox.
#[derive(Clone)]
pub(super) struct IntakeMeter {
    /// A counter for each consumer. An alert finds the consumers that have no worker.
    stored: Arc<[Metric]>,
    duplicates: Metric,
}

impl IntakeMeter {
    pub(super) fn new(endpoint: &str, consumers: &[Arc<str>]) -> Self {
        let of = |consumer: &Arc<str>| {
            let labels = [("endpoint", endpoint), ("consumer", &**consumer)];
            Metric::new("webhook_verify_inbox_stored_total", &labels)
        };
        Self {
            stored: consumers.iter().map(of).collect(),
            duplicates: Metric::new(
                "webhook_verify_inbox_duplicates_total",
                &[("endpoint", endpoint)],
            ),
        }
    }

    /// Reports the events of one delivery.
    pub(super) fn report_stored(&self, endpoint: &str, new: usize, duplicates: usize) {
        self.stored.iter().for_each(|consumer| consumer.add(new));
        self.duplicates.add(duplicates);
        tracing::debug!(
            target: "webhook_verify",
            event = "stored",
            endpoint,
            events = new,
            duplicates,
            "stored"
        );
    }
}

/// An attempt of a worker.
pub(super) struct Attempt {
    pub(super) key: ClaimKey,
    pub(super) event_type: Option<String>,
    pub(super) number: u32,
}

impl Attempt {
    pub(super) fn of(event: &InboxEvent) -> Self {
        Self {
            key: event.key(),
            event_type: event.event_type().map(str::to_owned),
            number: event.attempt(),
        }
    }
}

/// The result of an attempt.
#[derive(Debug)]
pub(super) enum Outcome {
    Processed,
    Retried { after: Duration, error: String },
    Discarded,
    Dead { error: String },
    Lost,
    Unknown,
    Released,
}

impl Outcome {
    const NAMES: [&'static str; 7] =
        ["processed", "retried", "discarded", "dead", "lost", "unknown", "released"];

    /// Returns the outcome that a recorded verdict has.
    pub(super) fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Done => Self::Processed,
            Verdict::Discarded => Self::Discarded,
            Verdict::Retry { after, error } => Self::Retried { after, error },
            Verdict::Dead { error } => Self::Dead { error },
            Verdict::Released => Self::Released,
        }
    }

    /// Returns the name of the outcome in logs and metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Retried { .. } => "retried",
            Self::Discarded => "discarded",
            Self::Dead { .. } => "dead",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
            Self::Released => "released",
        }
    }
}

/// Reports what a worker does.
pub(super) struct Notices {
    endpoint: Arc<str>,
    consumer: Arc<str>,
    attempts: Family,
    handler_seconds: Metric,
    log_limit: LogLimit,
}

impl Notices {
    pub(super) fn new(endpoint: &Arc<str>, consumer: &Arc<str>) -> Self {
        let labels = [("endpoint", &**endpoint), ("consumer", &**consumer)];
        let attempts = "webhook_verify_inbox_attempts_total";
        Self {
            endpoint: Arc::clone(endpoint),
            consumer: Arc::clone(consumer),
            attempts: Family::new(attempts, &labels, "outcome", &Outcome::NAMES),
            handler_seconds: Metric::new("webhook_verify_inbox_handler_seconds", &labels),
            log_limit: LogLimit::default(),
        }
    }

    /// Records how long a handler ran.
    pub(super) fn record_handler(&self, time: Duration) {
        self.handler_seconds.record(time);
    }

    /// Logs the error of a call to the store. During an outage, there are many.
    pub(super) fn warn(&self, consequence: &'static str, error: &StoreError) {
        let Some(suppressed) = self.log_limit.admit(consequence) else { return };
        tracing::warn!(
            target: "webhook_verify",
            endpoint = &*self.endpoint,
            consumer = &*self.consumer,
            suppressed,
            "{consequence}: {error:#}"
        );
    }

    /// Reports the outcome of an attempt to the log and the metrics.
    pub(super) fn report(&self, attempt: &Attempt, outcome: &Outcome) {
        if let Some(metric) = self.attempts.with(outcome.name()) {
            metric.count();
        }
        let (endpoint, consumer) = (&*self.endpoint, &*self.consumer);
        let Attempt { key, event_type, number } = attempt;
        macro_rules! log {
            ($level:ident, $($fields:tt)+) => {
                tracing::$level!(
                    target: "webhook_verify",
                    event = outcome.name(),
                    endpoint,
                    consumer,
                    %key,
                    event_type,
                    attempt = number,
                    $($fields)+
                )
            };
        }
        match outcome {
            Outcome::Processed => log!(debug, "event processed"),
            Outcome::Retried { after, error } => {
                let after_ms = after.as_millis() as u64;
                log!(warn, after_ms, error, "event failed: to be retried");
            }
            Outcome::Discarded => log!(info, "event discarded"),
            Outcome::Dead { error } => log!(error, error, "event is dead: no attempt is left"),
            Outcome::Lost => log!(error, "lease lost: the event is processed again"),
            Outcome::Unknown => log!(
                warn,
                "the store failed, or the handler was dropped, while the result was recorded: it may \
                 be recorded or not"
            ),
            Outcome::Released => {
                log!(warn, "handler cut off by the shutdown: the event is due at once");
            }
        }
    }
}

/// The number of entries in the store, and the age of the oldest.
pub(super) struct Gauges {
    endpoint: Arc<str>,
    consumers: Vec<(Arc<str>, [Metric; 4])>,
}

impl Gauges {
    pub(super) fn new(inbox: &Inbox) -> Self {
        let mut gauges = Self { endpoint: Arc::clone(&inbox.endpoint), consumers: Vec::new() };
        inbox.consumers.iter().for_each(|consumer| gauges.add(consumer));
        gauges
    }

    fn add(&mut self, consumer: &str) {
        if self.consumers.iter().any(|(name, _)| **name == *consumer) {
            return;
        }
        let labels = [("endpoint", &*self.endpoint), ("consumer", consumer)];
        let names = [
            "webhook_verify_inbox_waiting",
            "webhook_verify_inbox_running",
            "webhook_verify_inbox_dead",
            "webhook_verify_inbox_oldest_age_seconds",
        ];
        self.consumers.push((consumer.into(), names.map(|name| Metric::new(name, &labels))));
    }

    /// Shows the entries of all consumers, including those without workers and those that the inbox
    /// no longer has, so that an alert finds their events.
    pub(super) fn show(&mut self, stats: &[Stats]) {
        stats.iter().for_each(|found| self.add(&found.consumer));
        for (consumer, [waiting, running, dead, oldest]) in &self.consumers {
            let found = stats.iter().find(|it| it.consumer == **consumer);
            let of = |number: fn(&Stats) -> f64| found.map_or(0.0, number);
            waiting.set(of(|it| it.waiting as f64));
            running.set(of(|it| it.running as f64));
            dead.set(of(|it| it.dead as f64));
            oldest.set(of(|it| it.oldest.unwrap_or_default().as_secs_f64()));
        }
    }
}
