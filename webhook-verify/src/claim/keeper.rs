use std::{future::Future, sync::Arc, time::Duration};

use super::{
    ClaimEvent, ClaimEventKind, ClaimStore, StoreError, callback::contain,
    completed::CompletedCache, log_limit::LogLimit, metric::Family, shared::DynClaimStore,
};
use crate::timer::Timer;

type CompleteOn = dyn Fn(u16) -> bool + Send + Sync;
type OnEvent = dyn Fn(&ClaimEvent<'_>) + Send + Sync;

/// Claims in a store and settles the claims, for one endpoint.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) store: Arc<dyn DynClaimStore>,
    pub(crate) endpoint: Arc<str>,
    pub(crate) lease: Duration,
    pub(crate) renew_every: Option<Duration>,
    pub(crate) max_handler_time: Duration,
    pub(crate) claim_timeout: Duration,
    pub(crate) complete_tries: u32,
    pub(crate) complete_on: Option<Arc<CompleteOn>>,
    pub(crate) in_flight_status: u16,
    pub(crate) completed: Option<Arc<CompletedCache>>,
    pub(crate) on_event: Option<Arc<OnEvent>>,
    pub(super) meter: Arc<Meter>,
    log_limit: Arc<LogLimit>,
}

/// The metrics of claims.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) events: Family,
    #[cfg_attr(
        not(feature = "metrics"),
        expect(dead_code, reason = "without metrics, nothing is timed")
    )]
    calls: Family,
}

impl Meter {
    fn new(endpoint: &str) -> Self {
        let (events, calls) = ("webhook_verify_claims_total", "webhook_verify_store_seconds");
        let labels = [("endpoint", endpoint)];
        let names = ["claim", "complete", "extend", "insert", "release", "response"];
        Self {
            events: Family::new(events, &labels, "event", &ClaimEventKind::NAMES),
            calls: Family::new(calls, &labels, "call", &names),
        }
    }
}

impl Keeper {
    /// Returns a keeper with the default settings and no cache.
    pub(crate) fn new(store: impl ClaimStore, endpoint: Arc<str>) -> Self {
        Self {
            store: Arc::new(store),
            meter: Arc::new(Meter::new(&endpoint)),
            endpoint,
            lease: Duration::from_secs(60),
            renew_every: None,
            max_handler_time: Duration::from_secs(15 * 60),
            claim_timeout: Duration::from_secs(1),
            complete_tries: 3,
            complete_on: None,
            in_flight_status: 503,
            completed: None,
            on_event: None,
            log_limit: Arc::default(),
        }
    }

    /// Remembers up to about `entries` completed claims in this process, for `keep` each.
    pub(crate) fn set_cache(&mut self, entries: usize, keep: Duration) {
        self.completed = Some(Arc::new(CompletedCache::new(entries, keep)));
    }

    /// Returns whether a handler that responds with this status has completed its claim. If the
    /// callback of `complete_on` panics, the default applies.
    pub(crate) fn completes(&self, status: u16) -> bool {
        let is_success = (200..300).contains(&status);
        let Some(completes) = &self.complete_on else { return is_success };
        contain(|| completes(status)).unwrap_or_else(|| {
            if let Some(suppressed) = self.admit_line("complete_on") {
                tracing::error!(
                    target: "webhook_verify",
                    endpoint = &*self.endpoint,
                    status,
                    suppressed,
                    "the callback of `complete_on` panicked: only 2xx completes the delivery"
                );
            }
            is_success
        })
    }

    /// Returns the number of suppressed lines with this reason, if one may be logged now.
    pub(crate) fn admit_line(&self, reason: &'static str) -> Option<u64> {
        self.log_limit.admit(reason)
    }

    /// Returns the pause between renewals.
    pub(crate) fn renewal(&self) -> Duration {
        self.renew_every.unwrap_or(self.lease / 3)
    }

    /// Returns how long one call of the store may take. Two calls and the pause before the first
    /// renewal still fit into the lease.
    pub(crate) fn call_limit(&self) -> Duration {
        self.claim_timeout.min(self.lease / 5)
    }

    /// Returns the result of a call to the store, or an error if there is none within `limit`.
    /// Records the call's duration under `name`.
    pub(crate) async fn answer<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
        timer: &Timer,
        limit: Duration,
    ) -> Result<T, StoreError> {
        #[cfg(feature = "metrics")]
        let begun = std::time::Instant::now();
        let silent = || StoreError::new(format!("no answer within {} ms", limit.as_millis()));
        let answer = timer.within(limit, call).await.unwrap_or_else(|| Err(silent()));
        #[cfg(feature = "metrics")]
        if let Some(metric) = self.meter.calls.with(name) {
            metric.record(begun.elapsed());
        }
        #[cfg(not(feature = "metrics"))]
        let _ = name;
        answer
    }
}
