//! Stores verified events durably, acknowledges them, and processes them later.
//!
//! Some senders never retry, and others disable an endpoint that fails or is slow. An inbox makes
//! the safe way short: the receiver stores the events of a verified delivery in one transaction and
//! responds with 204. **Workers**, in the same process or in others, then process each event. They
//! retry events that fail, and set aside those that keep failing.
//!
//! ```no_run
//! # async fn run(shutdown: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
//! use webhook_verify::{
//!     Receiver, SqliteStore, Verifier,
//!     inbox::{Inbox, InboxEvent},
//!     scheme,
//! };
//!
//! let store = SqliteStore::connect("sqlite://webhooks.db").await?;
//! let inbox = Inbox::new(store, "mautic");
//! let receiver = Receiver::builder(Verifier::new(scheme::MAUTIC, "a secret")?)
//!     .inbox(&inbox)
//!     .build()?;
//! // With the axum adapter: Router::new().inbox("/mautic", receiver)
//! # drop(receiver);
//! inbox
//!     .worker(|event: InboxEvent| async move {
//!         println!("{:?}, {} bytes", event.event_type(), event.body().len());
//!         Ok(())
//!     })
//!     .concurrency(8)
//!     .run_until(shutdown)
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! * The sender gets 2xx only after the events are on disk. If the store fails, it gets 503.
//! * A duplicate changes nothing and gets 2xx: the idempotency key is the same as with
//!   [`Idempotency`].
//! * Each event is processed *at least once*, and by one worker at a time: a worker drops the
//!   handler's future before its lease can expire. A handler that blocks its thread cannot be
//!   dropped.
//! * An event is processed again if a worker dies before it has recorded the result.

mod commit;
mod event;
mod group;
mod intake;
mod notice;
mod outcome;
#[cfg(feature = "postgres")]
mod postgres;
mod shared;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod worker;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{AcqRel, Release},
        },
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch};

pub use self::{
    commit::InboxDatabase,
    event::InboxEvent,
    outcome::{Discard, Retry},
    store::{
        Advance, Change, Entry, EntryHolder, EntryState, Extended, Filter, InboxStore, Inserted,
        Intake, LeaseRequest, Leased, LeasedEvent, NewEvent, Order, Retention, Settlement, Stats,
        StoredEvent, Verdict,
    },
    worker::Worker,
};
use self::{group::Groups, notice::IntakeMeter, shared::DynInboxStore};
use crate::{
    claim::{ClaimKey, ClaimStore, StoreError},
    delivery::{Delivery, Event},
    error::ConfigError,
    receive::Idempotency,
    scheme::{Identity, is_token_byte},
};

/// The name of the only consumer, if none is named.
const DEFAULT_CONSUMER: &str = "default";
/// The headers that are stored by default: the content type and the trace context (W3C Trace
/// Context, sections 3.2 and 3.3).
const DEFAULT_HEADERS: [&str; 3] = ["content-type", "traceparent", "tracestate"];
/// The name of the path and query among the stored headers, as in HTTP/2. No header has it.
const TARGET: &str = ":path";
/// The pause before this process announces new events to others, so that a burst causes few
/// messages.
const ANNOUNCE_AFTER: Duration = Duration::from_millis(10);
/// The maximum length of the names of inboxes and consumers, in bytes. Indexes contain both.
const LONGEST_NAME: usize = 200;
/// How many entries [`Inbox::list`] returns by default.
const PAGE: usize = 100;

/// Stores verified events durably until workers have processed them.
///
/// See the [module's documentation](self). Clones share everything. Set all options before the
/// inbox is passed to a receiver or a worker. All processes that use an inbox need the same options.
#[derive(Clone)]
#[must_use]
pub struct Inbox {
    store: Arc<dyn DynInboxStore>,
    idempotency: Idempotency,
    endpoint: Arc<str>,
    consumers: Arc<[Arc<str>]>,
    headers: Arc<[Box<str>]>,
    keeps_target: bool,
    ordering: Ordering,
    retention: Retention,
    timeout: Duration,
    wake: Arc<Wake>,
    meter: IntakeMeter,
    /// Each receiver has its own: all deliveries of a group need the same options.
    groups: Arc<Groups>,
}

type OrderKey = dyn Fn(&Event) -> Option<Vec<u8>> + Send + Sync;

#[derive(Clone, Default)]
struct Ordering {
    key: Option<Arc<OrderKey>>,
    by_event_time: bool,
    skips_dead: bool,
}

/// Wakes the workers.
struct Wake {
    changed: watch::Sender<()>,
    /// Whether an announcement to other processes is pending.
    announcing: AtomicBool,
}

/// The pause before an announcement. Its runtime may stop first.
struct Announcing(Arc<Wake>);

impl Drop for Announcing {
    fn drop(&mut self) {
        self.0.announcing.store(false, Release);
    }
}

impl Inbox {
    /// Creates an inbox named `endpoint` in the database of `store`.
    ///
    /// The name separates inboxes that share a database. It is part of every idempotency key.
    pub fn new(store: impl InboxStore + ClaimStore + Clone, endpoint: impl Into<String>) -> Self {
        let endpoint: Arc<str> = endpoint.into().into();
        let idempotency = Idempotency::new(store.clone(), &*endpoint);
        let store: Arc<dyn DynInboxStore> = Arc::new(store);
        let consumers: Arc<[Arc<str>]> = [Arc::from(DEFAULT_CONSUMER)].into();
        Self {
            idempotency,
            groups: Groups::new(Arc::clone(&store)),
            store,
            meter: IntakeMeter::new(&endpoint, &consumers),
            endpoint,
            consumers,
            headers: DEFAULT_HEADERS.map(Box::from).into(),
            keeps_target: false,
            ordering: Ordering::default(),
            retention: Retention { bodies: Duration::from_secs(7 * 24 * 3600) },
            timeout: Duration::from_secs(5),
            wake: Arc::new(Wake {
                changed: watch::Sender::new(()),
                announcing: AtomicBool::new(false),
            }),
        }
    }

    /// Names the consumers. Each processes every event, with its own state and retries. A consumer
    /// that is added later gets the events that are stored from then on. The entries of a consumer
    /// that is renamed or removed remain until a worker of that name processes them, or until those
    /// that wait or are dead are [discarded](Self::discard). Without this option, the only consumer
    /// is named `default`.
    pub fn consumers<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.consumers = names.into_iter().map(|name| Arc::from(name.into())).collect();
        self.meter = IntakeMeter::new(&self.endpoint, &self.consumers);
        self
    }

    /// Stores these headers with each event, in addition to the content type and the trace context.
    /// Headers with signatures, tokens and cookies are never stored.
    pub fn keep_headers<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter().map(|name| name.as_ref().to_ascii_lowercase().into());
        self.headers = self.headers.iter().cloned().chain(names).collect();
        self
    }

    /// Stores the path and query of the request with each event, for [`InboxEvent::target`]. Use it
    /// if the sender has data in the URL, or if the inbox is behind several paths.
    ///
    /// The inbox never stores query parameters that contain the scheme's signature or token. It does
    /// store other secrets in the URL. Few senders sign the URL, so a client that captured a request
    /// may have changed it.
    pub fn keep_target(mut self) -> Self {
        self.keeps_target = true;
        self
    }

    /// Processes events with the same key one at a time, in the order in which they were stored.
    /// Events without a key have no order. Tenants do not share keys.
    ///
    /// If the sender sent one event after the response to another, they were stored in that order.
    /// The order of events whose requests overlap is arbitrary.
    ///
    /// If a sender puts several events into one request, [`identity`](Self::identity) and
    /// [`identity_from`](Self::identity_from) store them as one event, which has no order. So a
    /// receiver for such a sender refuses these options together.
    pub fn ordered_by(
        mut self,
        key: impl Fn(&Event) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.ordering.key = Some(Arc::new(move |event| key(event).map(String::into_bytes)));
        self
    }

    /// Orders events by their own [time](Event::time) rather than by when they were stored, among
    /// those that are waiting. An event without a time has that of its receipt. Needs
    /// [`ordered_by`](Self::ordered_by).
    pub fn by_event_time(mut self) -> Self {
        self.ordering.by_event_time = true;
        self
    }

    /// Lets a dead event no longer delay the following ones with the same key. By default they wait
    /// until it is retried or discarded. Needs [`ordered_by`](Self::ordered_by).
    pub fn skip_dead(mut self) -> Self {
        self.ordering.skips_dead = true;
        self
    }

    /// Replaces the scheme's idempotency key: see [`Idempotency::identity`].
    pub fn identity(mut self, identity: Identity) -> Self {
        self.idempotency = self.idempotency.identity(identity);
        self
    }

    /// Computes the idempotency key of each delivery, which is then stored as one event: see
    /// [`Idempotency::identity_from`].
    pub fn identity_from(
        mut self,
        identify: impl Fn(&Delivery) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        self.idempotency = self.idempotency.identity_from(identify);
        self
    }

    /// Computes the idempotency key of each event: see [`Idempotency::event_identity_from`].
    pub fn event_identity_from(
        mut self,
        identify: impl Fn(&Event) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        self.idempotency = self.idempotency.event_identity_from(identify);
        self
    }

    /// Sets how long duplicates of a processed event are recognized: see [`Idempotency::ttl`].
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.idempotency = self.idempotency.ttl(ttl);
        self
    }

    /// Sets how long the bodies of processed events are kept. The default is 7 days. Bodies of
    /// waiting and dead events are always kept.
    pub fn keep_bodies(mut self, time: Duration) -> Self {
        self.retention.bodies = time;
        self
    }

    /// Sets how long the receiver waits for the store, which is also the limit for a worker's
    /// calls. The default is 5 s.
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Returns a worker that calls `handler` for each event.
    ///
    /// If `handler` returns an error or panics, the event is retried. [`Retry::after`] sets when,
    /// and [`Discard`] gives the event up.
    pub fn worker<H, F>(&self, handler: H) -> Worker<H>
    where
        H: Fn(InboxEvent) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), outcome::BoxError>> + Send + 'static,
    {
        Worker::new(self.clone(), handler)
    }

    /// Returns the number of entries in each state, for each consumer that has any.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub async fn stats(&self) -> Result<Vec<Stats>, StoreError> {
        self.store.stats(&self.endpoint).await
    }

    /// Returns a filter for all entries of this inbox, for [`list`](Self::list),
    /// [`retry`](Self::retry) and [`discard`](Self::discard).
    #[must_use]
    pub fn filter(&self) -> Filter {
        Filter::new(&self.endpoint, PAGE)
    }

    /// Returns up to [`Filter::limit`] entries, by ascending event number and consumer. To get the
    /// next page, set [`Filter::after`] to the last number. Each entry has its body, so the limit
    /// also bounds the memory.
    ///
    /// A page may end between two consumers' entries of one event, and the next page begins after
    /// that event. So if the inbox has several consumers, select [one](Filter::consumer) to read page
    /// by page.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails, or if the filter is that of another inbox.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
        self.check_filter(filter)?;
        self.store.list(filter).await
    }

    /// Returns the entries of an event, one for each consumer.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub async fn get(&self, key: ClaimKey) -> Result<Vec<Entry>, StoreError> {
        self.store.list(&self.filter().key(key)).await
    }

    /// Makes the waiting and dead entries that match due at once, with all of their attempts again.
    /// Returns how many there were. [`Filter::limit`] does not apply.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails: some entries may have been changed. Also if the filter is
    /// that of another inbox.
    pub async fn retry(&self, filter: &Filter) -> Result<usize, StoreError> {
        self.change(filter, Change::Retry).await
    }

    /// Discards the waiting and dead entries that match, and returns how many there were.
    /// [`Filter::limit`] does not apply.
    ///
    /// # Errors
    ///
    /// The same as those of [`retry`](Self::retry).
    pub async fn discard(&self, filter: &Filter) -> Result<usize, StoreError> {
        self.change(filter, Change::Discard).await
    }

    /// Removes up to `max` bodies and events that need not be kept, and returns how many were
    /// removed. Workers do so about every minute.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails. Some may have been removed.
    pub async fn purge(&self, max: usize) -> Result<usize, StoreError> {
        self.store.purge_inbox(&self.endpoint, &self.retention, max).await
    }

    /// Checks the options that receivers and workers use.
    fn check(&self) -> Result<(), ConfigError> {
        let is_odd =
            |name: &str| name.is_empty() || name.len() > LONGEST_NAME || name.contains('\0');
        if is_odd(&self.endpoint) {
            return Err(ConfigError::option(
                "endpoint",
                "empty, longer than 200 bytes, or with NUL",
            ));
        }
        let mut consumers: Vec<_> = self.consumers.iter().collect();
        consumers.sort();
        consumers.dedup();
        if consumers.is_empty() {
            return Err(ConfigError::option("consumers", "none"));
        }
        if consumers.len() != self.consumers.len() {
            return Err(ConfigError::option("consumers", "a name repeats"));
        }
        if consumers.iter().any(|name| is_odd(name)) {
            let reason = "a name is empty, longer than 200 bytes, or with NUL";
            return Err(ConfigError::option("consumers", reason));
        }
        let is_header = |name: &str| !name.is_empty() && name.bytes().all(is_token_byte);
        if let Some(name) = self.headers.iter().find(|name| !is_header(name)) {
            return Err(ConfigError::option(
                "keep_headers",
                format!("{name:?} is not a header name"),
            ));
        }
        if self.timeout.is_zero() {
            return Err(ConfigError::option("store_timeout", "zero"));
        }
        let Ordering { key, by_event_time, skips_dead } = &self.ordering;
        for (option, is_set) in [("by_event_time", by_event_time), ("skip_dead", skips_dead)] {
            if *is_set && key.is_none() {
                return Err(ConfigError::option(option, "`ordered_by` is not set"));
            }
        }
        Ok(())
    }

    fn check_filter(&self, filter: &Filter) -> Result<(), StoreError> {
        if filter.endpoint != self.endpoint {
            return Err(StoreError::new("the filter is that of another inbox"));
        }
        Ok(())
    }

    async fn change(&self, filter: &Filter, change: Change) -> Result<usize, StoreError> {
        self.check_filter(filter)?;
        let all = Filter { limit: usize::MAX, ..filter.clone() };
        let changed = self.store.change(&all, change).await?;
        // A dead event that is discarded no longer blocks others.
        self.wake();
        Ok(changed)
    }

    /// Wakes the workers of this process, and soon those of others.
    fn wake(&self) {
        self.wake.changed.send_modify(|()| {});
        if self.wake.announcing.swap(true, AcqRel) {
            return;
        }
        let (inbox, announcing) = (self.clone(), Announcing(Arc::clone(&self.wake)));
        let announce = async move {
            tokio::time::sleep(ANNOUNCE_AFTER).await;
            drop(announcing);
            if let Err(error) = inbox.store.announce(&inbox.endpoint).await {
                // Workers also look for events at an interval.
                tracing::debug!(target: "webhook_verify", "not announced: {error:#}");
            }
        };
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn(announce));
        }
    }

    fn order(&self) -> Order {
        match (&self.ordering.key, self.ordering.skips_dead) {
            (None, _) => Order::None,
            (Some(_), false) => Order::DeadBlocks,
            (Some(_), true) => Order::DeadIsSkipped,
        }
    }
}

/// Returns the tenant's namespace and the key in one, so that tenants share no keys. No two inputs
/// give the same result.
fn scoped(namespace: Option<&str>, key: &[u8]) -> Vec<u8> {
    let Some(namespace) = namespace else { return [&[0], key].concat() };
    let length = (namespace.len() as u64).to_be_bytes();
    [&[1][..], &length, namespace.as_bytes(), key].concat()
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("endpoint", &self.endpoint)
            .field("consumers", &self.consumers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::scoped;

    /// No sender can choose a key that is another tenant's.
    #[test]
    fn no_two_tenants_share_a_key() {
        let of_a = scoped(Some("a"), b"b");
        let given = [
            (None, &b""[..]),
            (None, b"ab"),
            (None, &of_a),
            (None, &of_a[1..]),
            (Some(""), b""),
            (Some(""), b"ab"),
            (Some("a"), b"b"),
            (Some("ab"), b""),
        ];
        let scoped: HashSet<_> = given.map(|(tenant, key)| scoped(tenant, key)).into();
        assert_eq!(scoped.len(), given.len());
    }
}
