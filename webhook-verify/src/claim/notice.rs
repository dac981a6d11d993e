use std::{
    error,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use super::{ClaimKey, Keeper, StoreError};

/// Something that happened to a claim: for [`Idempotency::on_event`](crate::Idempotency::on_event).
///
/// Each is also a `tracing` event of target `webhook_verify`, with the fields `event` (the [name](ClaimEventKind::name)),
/// `endpoint` and `key`; and, with the feature `metrics`, one more of the counter `webhook_verify_claims_total` with the labels
/// `event` and `endpoint`. These names are as stable as the API.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ClaimEvent<'a> {
    /// The receiver's name.
    pub endpoint: &'a str,
    /// The delivery.
    pub key: ClaimKey,
    /// What happened.
    pub kind: ClaimEventKind<'a>,
}

/// What happened to a claim.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ClaimEventKind<'a> {
    /// The handler is to run.
    #[non_exhaustive]
    Claimed {
        /// The fencing number.
        attempt: u64,
    },
    /// The handler has succeeded, and the store knows it.
    #[non_exhaustive]
    Completed {
        /// The handler's status.
        status: u16,
    },
    /// The handler has failed, and a retry runs at once.
    Released,
    /// A delivery that was completed before came again.
    #[non_exhaustive]
    Duplicate {
        /// The handler's status.
        status: u16,
        /// `false` if the body is known to be another one.
        same_body: bool,
    },
    /// A duplicate came with another body. It is told beside [`Duplicate`](Self::Duplicate), or in its stead where it was
    /// refused: see [`OnMismatch`](crate::idempotency::OnMismatch).
    Mismatch,
    /// A delivery came that is being handled elsewhere.
    #[non_exhaustive]
    InFlight {
        /// How long the holder's lease holds.
        lease_left: Duration,
    },
    /// The lease was lost while the handler ran, or before its success was recorded: it may have run twice.
    LeaseLost,
    /// A handler has had its time: its lease is renewed no more, and a retry may run beside it.
    Overtime,
    /// The store could not answer.
    #[non_exhaustive]
    StoreFailed {
        /// Which call failed: `claim`, `complete`, `release` or `extend`.
        call: &'static str,
        /// The store's error.
        error: &'a StoreError,
    },
}

impl ClaimEventKind<'_> {
    /// The name in logs and metrics.
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
    /// Tells all who want to know: the log, the counters, and the user's own.
    pub(crate) fn report(&self, key: ClaimKey, kind: ClaimEventKind<'_>) {
        let endpoint = &*self.endpoint;
        log(endpoint, key, &kind);
        #[cfg(feature = "metrics")]
        metrics::counter!(
            "webhook_verify_claims_total",
            "event" => kind.name(),
            "endpoint" => std::sync::Arc::clone(&self.endpoint),
        )
        .increment(1);
        if let Some(on_event) = &self.on_event {
            let event = ClaimEvent { endpoint, key, kind };
            // It is none of the delivery's business.
            if catch_unwind(AssertUnwindSafe(|| on_event(&event))).is_err() {
                tracing::error!(target: "webhook_verify", event = kind.name(), "on_event panicked");
            }
        }
    }
}

fn log(endpoint: &str, key: ClaimKey, kind: &ClaimEventKind<'_>) {
    let event = kind.name();
    match *kind {
        ClaimEventKind::Claimed { attempt } => {
            tracing::debug!(target: "webhook_verify", event, endpoint, %key, attempt, "claimed");
        }
        ClaimEventKind::Completed { status } => {
            tracing::debug!(target: "webhook_verify", event, endpoint, %key, status, "completed");
        }
        ClaimEventKind::Released => {
            tracing::info!(target: "webhook_verify", event, endpoint, %key, "handler failed: released for a retry");
        }
        ClaimEventKind::Duplicate { status, same_body: true } => {
            tracing::info!(target: "webhook_verify", event, endpoint, %key, status, same_body = true, "duplicate");
        }
        ClaimEventKind::Duplicate { status, same_body: false } => {
            tracing::warn!(target: "webhook_verify", event, endpoint, %key, status, same_body = false, "duplicate");
        }
        ClaimEventKind::Mismatch => {
            tracing::warn!(target: "webhook_verify", event, endpoint, %key, "duplicate with another body");
        }
        // That it was refused is logged by itself.
        ClaimEventKind::InFlight { lease_left } => {
            tracing::debug!(target: "webhook_verify", event, endpoint, %key, ?lease_left, "in flight");
        }
        ClaimEventKind::LeaseLost => {
            tracing::error!(target: "webhook_verify", event, endpoint, %key, "lease lost: the delivery may have run twice");
        }
        ClaimEventKind::Overtime => {
            tracing::error!(target: "webhook_verify", event, endpoint, %key, "handler runs for too long: its lease is renewed no more");
        }
        // The receiver logs separately that it refuses the delivery, or runs it without a claim.
        ClaimEventKind::StoreFailed { call, error } if error.is_overloaded() => {
            tracing::debug!(target: "webhook_verify", event, endpoint, %key, call, "claim store overloaded");
        }
        ClaimEventKind::StoreFailed { call, error } => {
            let source = error::Error::source(error).map(tracing::field::display);
            tracing::error!(target: "webhook_verify", event, endpoint, %key, call, source, "claim store failed");
        }
    }
}
