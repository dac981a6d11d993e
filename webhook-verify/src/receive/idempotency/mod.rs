use std::{fmt, sync::Arc, time::Duration};

mod check;
mod identify;

use crate::{
    claim::{ClaimEvent, ClaimStore, Keeper, OnLeaseExpiry},
    delivery::Delivery,
    scheme::Identity,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
const QUARTER: Duration = Duration::from_secs(90 * 24 * 3600);

/// A custom identity lives as long as that of a signed id.
const CUSTOM: Identity = Identity::SignedId;

/// How deliveries are deduplicated: the store, and what is asked of it.
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
    on_lease_expiry: OnLeaseExpiry,
    pub(crate) run_to_completion: bool,
    pub(crate) in_flight_wait: Duration,
    pub(crate) replay: Replay,
    pub(crate) on_mismatch: OnMismatch,
    pub(crate) on_store_failure: OnStoreFailure,
    cache: (usize, Duration),
}

/// What a duplicate of a completed delivery is answered. It has no body in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replay {
    /// The status that the handler answered.
    #[default]
    Status,
    /// 204, whatever the handler answered.
    NoContent,
}

/// What becomes of a duplicate of a completed delivery that has another body under the same id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnMismatch {
    /// It is a duplicate like any other, and reported: many senders render their retries anew.
    #[default]
    Report,
    /// It is refused with 503, and reported.
    Reject,
    /// It is a duplicate like any other. The body of a delivery with a signed id is then not hashed for it.
    Ignore,
}

/// What becomes of a verified delivery when the store cannot answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnStoreFailure {
    /// It is refused with 503, and its sender tries again: nothing is lost, and nothing runs twice.
    #[default]
    Reject,
    /// It runs without a claim ([`Delivery::claim`] is `None`), so it may run twice, even at the
    /// same time. This also applies if an overloaded store refuses the claim. Use it for senders
    /// that do not retry.
    Process,
}

#[derive(Clone)]
enum IdentitySource {
    Scheme,
    Fixed(Identity),
    Custom(Arc<Identify>),
}

type Identify = dyn Fn(&Delivery) -> Option<Vec<u8>> + Send + Sync;

impl Idempotency {
    /// Claims in `store`, for the receiver named `endpoint`.
    ///
    /// The name keeps receivers that share a store apart: two senders, or two applications of one sender, may well use
    /// the same id. It is part of the key, so renaming it forgets what was completed.
    pub fn new(store: impl ClaimStore, endpoint: impl Into<String>) -> Self {
        // A store in this process is as near as a cache would be.
        let cached = match store.is_in_process() {
            true => 0,
            false => 10_000,
        };
        Self {
            keeper: Arc::new(Keeper::new(store, endpoint.into().into())),
            namespace: String::new(),
            identity: IdentitySource::Scheme,
            ttl: None,
            allow_short_ttl: false,
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

    /// Keeps deployments apart that share a store. Default: empty. Tenants of one receiver are kept apart by their own:
    /// see [`ReceiverBuilder::tenants`](crate::ReceiverBuilder::tenants).
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// What a delivery is recognised by, instead of what the scheme says. For a scheme that says nothing (tokens),
    /// `Identity::None` states that every request is a delivery of its own.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = IdentitySource::Fixed(identity);
        self
    }

    /// Recognises a delivery by what `identify` makes of it; `None` runs it without a claim.
    ///
    /// Use the body of a scheme that signs it and nothing else: with an identity from an unsigned header, whoever
    /// captures one request can suppress another, or run the captured one again.
    pub fn identity_from(
        mut self,
        identify: impl Fn(&Delivery) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        self.identity = IdentitySource::Custom(Arc::new(identify));
        self
    }

    /// How long a completed delivery is remembered. Default: 7 days where a signed id recognises it (and
    /// longer than its sender is known to retry), 90 days where a digest does.
    ///
    /// A retry that comes later runs again. So does a captured request, if its scheme has no timestamp: there the
    /// record should live as long as the secret.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Accepts a [`ttl`](Self::ttl) that is shorter than the sender's retries or the tolerance of its timestamps.
    pub fn allow_short_ttl(mut self) -> Self {
        self.allow_short_ttl = true;
        self
    }

    /// How long a claim outlives its holder. Default: 60 s, renewed every third of it while the handler runs.
    ///
    /// A holder that is stopped for longer (a paused machine, a handler that blocks its task) may wake up beside its successor: the
    /// handler then runs twice at once, and only the successor's outcome is recorded. See [`Claim::fencing_token`](crate::idempotency::Claim::fencing_token).
    pub fn lease(mut self, lease: Duration) -> Self {
        self.keeper_mut().lease = lease;
        self
    }

    /// How long the store may take for each call, and never more than a fifth of the lease. Default: 1 s. A claim that gets
    /// no answer is asked for once more, within half of that, and then given back, within half of it, and refused with 503:
    /// after 2 s at most.
    pub fn claim_timeout(mut self, timeout: Duration) -> Self {
        self.keeper_mut().claim_timeout = timeout;
        self
    }

    /// For how long a handler's lease is renewed, for all events of its delivery together. Default: 15 min. A handler that
    /// takes longer goes on without it, and a
    /// retry may run beside it.
    pub fn max_handler_time(mut self, time: Duration) -> Self {
        self.keeper_mut().max_handler_time = time;
        self
    }

    /// The status for a delivery that is in flight elsewhere. Default: 503, which every sender retries; many drop an
    /// event for good on 409 or any other 4xx.
    pub fn in_flight_status(mut self, status: u16) -> Self {
        self.keeper_mut().in_flight_status = status;
        self
    }

    /// What becomes of a claim whose holder has died or stands still. Default: the next delivery takes it over.
    pub fn on_lease_expiry(mut self, on_lease_expiry: OnLeaseExpiry) -> Self {
        self.on_lease_expiry = on_lease_expiry;
        self
    }

    /// How often a handler's lease is renewed. Default: every third of it. At most half of it.
    pub fn renew_every(mut self, pause: Duration) -> Self {
        self.keeper_mut().renew_every = Some(pause);
        self
    }

    /// Whether a handler runs on when its client goes away. Default: it does, and the retry is answered from what it came
    /// to. With `false` it is dropped with its connection (where the framework does so), having done half of its work, and
    /// its claim holds retries up until the lease lapses.
    pub fn run_to_completion(mut self, run: bool) -> Self {
        self.run_to_completion = run;
        self
    }

    /// How often the store is asked to record what a handler came to, if it fails. Default: 3 times, at most 10, and none after the lease. The answer is
    /// the handler's in any case; a success that could not be recorded runs again when its lease has lapsed and its sender
    /// tries again.
    pub fn complete_tries(mut self, tries: u32) -> Self {
        self.keeper_mut().complete_tries = tries;
        self
    }

    /// Which of the handler's statuses complete a delivery. Default: 2xx. Any other releases it, as senders try again
    /// after it. Duplicates of what was completed with another status than 2xx are answered 204, so that the sender stops.
    pub fn complete_on(mut self, completes: impl Fn(u16) -> bool + Send + Sync + 'static) -> Self {
        self.keeper_mut().complete_on = Some(Arc::new(completes));
        self
    }

    /// How long a delivery that is in flight elsewhere waits for that to end before it is refused. Default: not at all; at
    /// most 30 s. It keeps its connection for so long, and asks the store every 100 ms.
    pub fn in_flight_wait(mut self, time: Duration) -> Self {
        self.in_flight_wait = time;
        self
    }

    /// What a duplicate is answered. Default: the handler's status.
    pub fn replay(mut self, replay: Replay) -> Self {
        self.replay = replay;
        self
    }

    /// What becomes of a duplicate with another body. Default: it is a duplicate, and reported.
    pub fn on_mismatch(mut self, policy: OnMismatch) -> Self {
        self.on_mismatch = policy;
        self
    }

    /// What becomes of a delivery when the store cannot answer. Default: it is refused with 503.
    pub fn on_store_failure(mut self, policy: OnStoreFailure) -> Self {
        self.on_store_failure = policy;
        self
    }

    /// How many completed deliveries are remembered in this process, and for how long, so that a storm of duplicates costs
    /// no call of the store. Default: 10,000, for a minute; none with a store that is in this process itself, and none with 0.
    ///
    /// A delivery that is [forgotten](crate::Receiver::forget) by another process is answered as a duplicate by this one for
    /// so long.
    pub fn completed_cache(mut self, entries: usize, time: Duration) -> Self {
        self.cache = (entries, time);
        self
    }

    /// Calls `on_event` for everything that happens to claims, to count or to alert. It should return at once: deliveries wait
    /// for it.
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
