use std::{error, time::Duration};

use super::{ClaimKey, Keeper, StoreError, callback::contain};

/// An event in the life of a claim, for [`Idempotency::on_event`](crate::Idempotency::on_event).
///
/// Each is also a `tracing` event with the target `webhook_verify` and the fields `event` (the
/// [name](ClaimEventKind::name)), `endpoint` and `key`. With the feature `metrics`, each increments
/// the counter `webhook_verify_claims_total` with the labels `event` and `endpoint`. These names
/// are as stable as the API.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ClaimEvent<'a> {
    /// The name of the endpoint.
    pub endpoint: &'a str,
    /// The idempotency key of the delivery or event.
    pub key: ClaimKey,
    /// The kind of the event.
    pub kind: ClaimEventKind<'a>,
}

/// The kind of a [`ClaimEvent`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ClaimEventKind<'a> {
    /// The claim was granted, and the handler runs.
    #[non_exhaustive]
    Claimed {
        /// The fencing token.
        attempt: u64,
    },
    /// The handler succeeded, and the store has recorded it.
    #[non_exhaustive]
    Completed {
        /// The handler's status.
        status: u16,
    },
    /// The handler failed, or did not run because one of its arguments could not be extracted. A
    /// retry can run at once.
    Released,
    /// A duplicate of a completed delivery arrived.
    #[non_exhaustive]
    Duplicate {
        /// The handler's status.
        status: u16,
        /// `false` if the bodies are known to differ.
        same_body: bool,
    },
    /// A duplicate arrived with another body. It is reported in addition to
    /// [`Duplicate`](Self::Duplicate), or instead of it if
    /// [`OnMismatch`](crate::idempotency::OnMismatch) refused the duplicate. Two events of one
    /// delivery with the same ID but different content are reported only as `Mismatch`.
    Mismatch,
    /// A delivery or event arrived whose claim another handler holds.
    #[non_exhaustive]
    InFlight {
        /// How much longer the holder's lease lasts.
        lease_left: Duration,
    },
    /// The lease was lost while the handler ran, or before its success was recorded. The delivery
    /// may have run twice.
    LeaseLost,
    /// The handler exceeded its [time](crate::Idempotency::max_handler_time). Its lease is no
    /// longer renewed, so a retry may run concurrently.
    Overtime,
    /// A call to the store failed, or did not return in time.
    #[non_exhaustive]
    StoreFailed {
        /// The call: `claim`, `complete`, `release`, `extend` or `response`.
        call: &'static str,
        /// The store's error.
        error: &'a StoreError,
    },
}

impl ClaimEventKind<'_> {
    /// The names of all kinds.
    pub(super) const NAMES: [&'static str; 9] = [
        "claimed",
        "completed",
        "released",
        "duplicate",
        "mismatch",
        "in_flight",
        "lease_lost",
        "overtime",
        "store_failed",
    ];

    /// Returns the name of the event in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Claimed { .. } => "claimed",
            Self::Completed { .. } => "completed",
            Self::Released => "released",
            Self::Duplicate { .. } => "duplicate",
            Self::Mismatch => "mismatch",
            Self::InFlight { .. } => "in_flight",
            Self::LeaseLost => "lease_lost",
            Self::Overtime => "overtime",
            Self::StoreFailed { .. } => "store_failed",
        }
    }
}

impl Keeper {
    /// Reports the event to the log, the metrics and `on_event`.
    pub(crate) fn report(&self, key: ClaimKey, kind: ClaimEventKind<'_>) {
        let endpoint = &*self.endpoint;
        self.log(key, &kind);
        if let Some(metric) = self.meter.events.with(kind.name()) {
            metric.count();
        }
        if let Some(on_event) = &self.on_event {
            let event = ClaimEvent { endpoint, key, kind };
            // A panic in a user's hook must not fail the delivery.
            if contain(|| on_event(&event)).is_none()
                && let Some(suppressed) = self.admit_line("on_event")
            {
                tracing::error!(
                    target: "webhook_verify",
                    event = kind.name(),
                    endpoint,
                    suppressed,
                    "the callback of `on_event` panicked"
                );
            }
        }
    }

    fn log(&self, key: ClaimKey, kind: &ClaimEventKind<'_>) {
        let (event, endpoint) = (kind.name(), &*self.endpoint);
        macro_rules! log {
            ($level:ident, $($fields:tt)+) => {
                tracing::$level!(target: "webhook_verify", event, endpoint, %key, $($fields)+)
            };
        }
        match *kind {
            ClaimEventKind::Claimed { attempt } => log!(debug, attempt, "claimed"),
            ClaimEventKind::Completed { status } => log!(debug, status, "completed"),
            ClaimEventKind::Released => log!(info, "not completed: released for a retry"),
            ClaimEventKind::Duplicate { status, same_body: true } => {
                log!(info, status, same_body = true, "duplicate");
            }
            ClaimEventKind::Duplicate { status, same_body: false } => {
                log!(warn, status, same_body = false, "duplicate");
            }
            ClaimEventKind::Mismatch => log!(warn, "duplicate with another body"),
            // The receiver logs separately that it refuses the delivery.
            ClaimEventKind::InFlight { lease_left } => log!(debug, ?lease_left, "in progress"),
            ClaimEventKind::LeaseLost => log!(error, "lease lost: the delivery may have run twice"),
            ClaimEventKind::Overtime => {
                log!(error, "handler exceeded its time: its lease is no longer renewed");
            }
            // The receiver logs separately that it refuses the delivery, or runs it without a
            // claim.
            ClaimEventKind::StoreFailed { call, error } if error.is_overloaded() => {
                log!(debug, call, "store overloaded");
            }
            ClaimEventKind::StoreFailed { call, error } => {
                let source = error::Error::source(error).map(tracing::field::display);
                // An outage fails every call, so the log is limited for each of them.
                if let Some(suppressed) = self.admit_line(call) {
                    log!(error, call, source, suppressed, "store failed");
                }
            }
        }
    }
}
