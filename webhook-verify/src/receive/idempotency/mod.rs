use std::{fmt, sync::Arc, time::Duration};

mod check;
mod identify;

use crate::{
    claim::{ClaimEvent, ClaimStore, Keeper, OnLeaseExpiry},
    delivery::{Delivery, Event},
    scheme::Identity,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
const QUARTER: Duration = Duration::from_secs(90 * 24 * 3600);

/// Custom idempotency keys have the same default lifetime as signed IDs.
const CUSTOM: Identity = Identity::SignedId;

/// Settings for detecting duplicates: the store, the idempotency key, leases and policies.
///
/// ```
/// use std::time::Duration;
/// use webhook_verify::{Idempotency, MemoryStore, Receiver, Verifier, scheme};
///
/// let verifier = Verifier::new(scheme::STRIPE, "whsec_example")?;
/// let receiver = Receiver::builder(verifier)
///     .idempotency(Idempotency::new(MemoryStore::new(), "stripe").lease(Duration::from_secs(30)))
///     .build()?;
/// # Ok::<(), webhook_verify::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Idempotency {
    pub(crate) keeper: Arc<Keeper>,
    namespace: String,
    identity: IdentitySource,
    ttl: Option<Duration>,
    allow_short_ttl: bool,
    /// The verifier checks timestamps.
    has_window: bool,
    on_lease_expiry: OnLeaseExpiry,
    pub(crate) run_to_completion: bool,
    pub(crate) in_flight_wait: Duration,
    pub(crate) replay: Replay,
    pub(crate) on_mismatch: OnMismatch,
    pub(crate) on_store_failure: OnStoreFailure,
    cache: (usize, Duration),
}

/// The response to a duplicate of a completed delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replay {
    /// The handler's status, or 204 in place of 205, 206 and any status other than 2xx.
    #[default]
    Status,
    /// Always 204.
    NoContent,
    /// The status as with [`Status`](Self::Status), and the content type and body of the handler's
    /// response, for senders that need the response again. Twilio, for example, requests the
    /// instructions for a voice call again. No other header is stored.
    ///
    /// The adapter reads the body to its end before the delivery is completed and the response is
    /// sent. A body is not stored if it is longer than the limit, fails, or has a content encoding.
    /// It is sent unchanged, the reason is logged, and duplicates get an empty body. They also get
    /// one if the process ends before the store has recorded the response, and if the store does
    /// not [support](crate::idempotency::ClaimStore::complete_with) it.
    ///
    /// # Stored data
    ///
    /// **The body becomes stored data**, with any personal data or secret in it, and is stored
    /// without encryption: in this process (`MemoryStore`), in the table `webhook_claim_response`,
    /// named after the table of the claims (`SqliteStore`, `PostgresStore`), or in the record's
    /// field `r` (`RedisStore`). It is deleted with its record: after [`ttl`](Idempotency::ttl), or
    /// by [`Receiver::forget`](crate::Receiver::forget). Each verified duplicate gets it, also one
    /// with another body under the same ID.
    ///
    /// # Several events
    ///
    /// If each event of a delivery has its own claim, there is no response to store, so `build`
    /// returns an error. Set [`identity`](Idempotency::identity), so that each delivery is claimed
    /// as a whole.
    Body {
        /// The maximum length of a body that is stored, in bytes: at most
        /// [`MAX_BODY`](Self::MAX_BODY).
        limit: usize,
    },
}

impl Replay {
    /// [`Body`](Self::Body) with a limit of 8 KiB.
    pub const BODY: Self = Self::Body { limit: 8 * 1024 };

    /// The largest limit of [`Body`](Self::Body): 64 KiB.
    pub const MAX_BODY: usize = 64 * 1024;

    /// Returns the maximum length of a body that is stored, if bodies are stored.
    pub(super) fn limit(self) -> Option<usize> {
        match self {
            Self::Body { limit } => Some(limit),
            Self::Status | Self::NoContent => None,
        }
    }

    /// Returns the status for a duplicate of a delivery that was completed with this one.
    pub(super) fn status(self, completed: u16) -> u16 {
        match self {
            Self::Status | Self::Body { .. } => completed,
            Self::NoContent => 204,
        }
    }
}

/// The policy for a duplicate of a completed delivery or event that has another body under the same
/// idempotency key.
///
/// It applies to keys that do not contain the whole body: signed IDs, fields, IDs of events, and
/// keys of your own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnMismatch {
    /// Treat it like any other duplicate, log it at `WARN`, and report
    /// [`Mismatch`](crate::idempotency::ClaimEventKind::Mismatch). Many senders render each retry
    /// again.
    ///
    /// Bodies are compared by their length and CRC-32, unless the key contains their digest anyway.
    /// They are not compared if the sender is known to change them in retries, because every retry
    /// would be reported. This applies to keys of
    /// [`Identity::Fields`](crate::scheme::Identity::Fields), and to presets whose
    /// [notes](crate::scheme::Notes) say so.
    #[default]
    Report,
    /// Respond with 503, and report it in the same way. Bodies are compared by their SHA-256, for
    /// every key, including [`Identity::Fields`](crate::scheme::Identity::Fields).
    ///
    /// Do not use this policy if the sender changes the body in retries: the sender gets 503 until
    /// it gives up. Records that were made with another policy cannot be compared, and count as the
    /// same body.
    Reject,
    /// Treat it like any other duplicate. Bodies are not compared.
    Ignore,
}

/// The policy for store failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnStoreFailure {
    /// Respond with 503, so that the sender retries. Nothing is lost, and nothing runs twice.
    #[default]
    Reject,
    /// Run the handler without a claim ([`Delivery::claim`] is `None`). The delivery may then run
    /// twice, even at the same time. This also applies if an overloaded store refuses the claim.
    /// Use it for senders that do not retry.
    Process,
}

#[derive(Clone)]
enum IdentitySource {
    Scheme,
    Fixed(Identity),
    Custom(Arc<Identify>),
    /// The scheme's key, with custom keys for single events.
    Events(Arc<IdentifyEvent>),
}

type Identify = dyn Fn(&Delivery) -> Option<Vec<u8>> + Send + Sync;
type IdentifyEvent = dyn Fn(&Event) -> Option<Vec<u8>> + Send + Sync;

impl Idempotency {
    /// Returns the default settings, with claims in `store` for the receiver named `endpoint`.
    ///
    /// The name separates receivers that share a store, since two senders, or two applications of
    /// one sender, may use the same IDs. It is part of every idempotency key: if you change it,
    /// retries of earlier deliveries run again.
    pub fn new(store: impl ClaimStore, endpoint: impl Into<String>) -> Self {
        // A store in this process is as fast as a cache.
        let cached = if store.is_in_process() { 0 } else { 10_000 };
        Self {
            keeper: Arc::new(Keeper::new(store, endpoint.into().into())),
            namespace: String::new(),
            identity: IdentitySource::Scheme,
            ttl: None,
            allow_short_ttl: false,
            has_window: false,
            on_lease_expiry: OnLeaseExpiry::TakeOver,
            run_to_completion: true,
            in_flight_wait: Duration::ZERO,
            replay: Replay::Status,
            on_mismatch: OnMismatch::Report,
            on_store_failure: OnStoreFailure::Reject,
            cache: (cached, MINUTE),
        }
    }

    fn keeper_mut(&mut self) -> &mut Keeper {
        Arc::make_mut(&mut self.keeper)
    }

    /// Sets the namespace, which separates deployments that share a store. The default is empty.
    /// [Tenants](crate::Tenant::new) of one receiver have their own namespaces.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Replaces the scheme's idempotency key. Each delivery is then claimed as a whole. With
    /// `Identity::None`, nothing is claimed, and every request reaches the handler.
    ///
    /// Some schemes define no key, because nothing distinguishes a retry from a new event. Then
    /// nothing is claimed, and `build` logs that once. To set a key, call this method or
    /// [`identity_from`](Self::identity_from).
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = IdentitySource::Fixed(identity);
        self
    }

    /// Computes the idempotency key with `identify`. Each delivery is then claimed as a whole, and
    /// runs without a claim if `identify` returns `None`. If it panics, the sender gets 503.
    ///
    /// Use only the body, and only if the scheme signs it. If the key comes from an unsigned
    /// header, an attacker who captures a request can suppress another one, or replay it.
    pub fn identity_from(
        mut self,
        identify: impl Fn(&Delivery) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        self.identity = IdentitySource::Custom(Arc::new(identify));
        self
    }

    /// Computes the idempotency key of each event with `identify`, for senders that put several
    /// events into one request. Each event keeps its own claim. If `identify` returns `None`, the
    /// scheme's key applies. If it panics, the sender gets 503.
    ///
    /// Use it for senders whose event IDs change in retries: return the values that stay the same.
    ///
    /// ```
    /// use serde_json::Value;
    /// use webhook_verify::{Idempotency, MemoryStore};
    ///
    /// let idempotency = Idempotency::new(MemoryStore::new(), "sendgrid").event_identity_from(|event| {
    ///     let event: Value = event.data().ok()?;
    ///     let key = ["sg_message_id", "event", "timestamp"].map(|name| &event[name]);
    ///     serde_json::to_vec(&key).ok()
    /// });
    /// ```
    pub fn event_identity_from(
        mut self,
        identify: impl Fn(&Event) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        self.identity = IdentitySource::Events(Arc::new(identify));
        self
    }

    /// Sets how long a completed delivery is remembered. The default depends on the key:
    ///
    /// * an ID, fields of the body or a custom key: 7 days if the verifier checks timestamps, and
    ///   otherwise 90 days
    /// * a digest: 90 days
    ///
    /// The default is always at least a day longer than the sender is known to retry.
    ///
    /// A later retry runs again. So does a captured request, unless the verifier checks timestamps.
    /// Without that check, keep records for as long as the secret is live.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Accepts a [`ttl`](Self::ttl) that is shorter than the time over which the sender retries, or
    /// than the tolerance of its timestamps.
    pub fn allow_short_ttl(mut self) -> Self {
        self.allow_short_ttl = true;
        self
    }

    /// Sets how long a claim lives without renewal. The default is 60 s.
    ///
    /// If a handler stalls for longer (a paused machine, a blocked task), another handler takes
    /// over. When the first one wakes up, both run at once, and only the second one's outcome is
    /// recorded. See [`Claim::fencing_token`](crate::idempotency::Claim::fencing_token).
    pub fn lease(mut self, lease: Duration) -> Self {
        self.keeper_mut().lease = lease;
        self
    }

    /// Sets the time limit of each call of the store. The default is 1 s, and the limit never
    /// exceeds a fifth of the lease. If a claim gets no response, the receiver claims once more,
    /// within half of the limit. If that fails too, it releases the claim, also within half, and
    /// the sender gets 503: after two limits at most.
    pub fn claim_timeout(mut self, timeout: Duration) -> Self {
        self.keeper_mut().claim_timeout = timeout;
        self
    }

    /// Sets how long the leases of one handler are renewed, for all events of its delivery
    /// together. The default is 15 min. A handler that takes longer continues without a lease, so a
    /// retry may run at the same time.
    pub fn max_handler_time(mut self, time: Duration) -> Self {
        self.keeper_mut().max_handler_time = time;
        self
    }

    /// Sets the status for a delivery in progress elsewhere. The default is 503, after which every
    /// sender retries. After 409 or another 4xx, many never do.
    pub fn in_flight_status(mut self, status: u16) -> Self {
        self.keeper_mut().in_flight_status = status;
        self
    }

    /// Sets the policy for expired leases. By default the next delivery takes over.
    pub fn on_lease_expiry(mut self, on_lease_expiry: OnLeaseExpiry) -> Self {
        self.on_lease_expiry = on_lease_expiry;
        self
    }

    /// Sets the pause between renewals: by default a third of the lease, at most half of it.
    pub fn renew_every(mut self, pause: Duration) -> Self {
        self.keeper_mut().renew_every = Some(pause);
        self
    }

    /// Sets whether the handler keeps running after its client disconnects. By default it does, and
    /// the retry gets the stored status. With `false`, the handler is dropped with its connection
    /// (if the framework does so). Its work is then half done, and its claim blocks retries until
    /// the lease expires.
    pub fn run_to_completion(mut self, run: bool) -> Self {
        self.run_to_completion = run;
        self
    }

    /// Sets the maximum attempts to record the handler's outcome. The default is 3, the maximum 10,
    /// and all begin within the length of a lease. The sender gets the handler's response in any
    /// case. If all attempts fail, a retry after the lease has expired runs again.
    pub fn complete_tries(mut self, tries: u32) -> Self {
        self.keeper_mut().complete_tries = tries;
        self
    }

    /// Sets which statuses of the handler complete a delivery. The default is 2xx. Any other status
    /// releases it, because senders retry after one. A duplicate of a delivery that was completed
    /// with another status than 2xx gets 204, so that the sender stops.
    ///
    /// If `completes` panics, the default applies.
    pub fn complete_on(mut self, completes: impl Fn(u16) -> bool + Send + Sync + 'static) -> Self {
        self.keeper_mut().complete_on = Some(Arc::new(completes));
        self
    }

    /// Sets how long a delivery in progress elsewhere waits for the other handler before it is
    /// refused. The default is 0, and the maximum 30 s. The request keeps its connection meanwhile,
    /// and calls the store every 100 ms.
    pub fn in_flight_wait(mut self, time: Duration) -> Self {
        self.in_flight_wait = time;
        self
    }

    /// Sets the response to a duplicate. The default is the handler's status, with an empty body.
    pub fn replay(mut self, replay: Replay) -> Self {
        self.replay = replay;
        self
    }

    /// Sets the policy for a duplicate with another body. By default it is only reported.
    pub fn on_mismatch(mut self, policy: OnMismatch) -> Self {
        self.on_mismatch = policy;
        self
    }

    /// Sets the policy for store failures. By default the sender gets 503.
    pub fn on_store_failure(mut self, policy: OnStoreFailure) -> Self {
        self.on_store_failure = policy;
        self
    }

    /// Sets how many completed deliveries are cached in this process, and for how long. Their
    /// duplicates need no call of the store. The default is 10,000 for a minute, or none if the
    /// store itself is in this process. 0 turns the cache off.
    ///
    /// If another process [forgets](crate::Receiver::forget) a delivery, it stays a duplicate here
    /// until its entry expires.
    pub fn completed_cache(mut self, entries: usize, time: Duration) -> Self {
        self.cache = (entries, time);
        self
    }

    /// Calls `on_event` for every event about claims, for metrics and alerts. It should return at
    /// once, because deliveries wait for it. If it panics, the panic is logged and the delivery
    /// continues.
    pub fn on_event(mut self, on_event: impl Fn(&ClaimEvent<'_>) + Send + Sync + 'static) -> Self {
        self.keeper_mut().on_event = Some(Arc::new(on_event));
        self
    }
}

impl fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency")
            .field("endpoint", &self.keeper.endpoint)
            .field("namespace", &self.namespace)
            .field("lease", &self.keeper.lease)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
