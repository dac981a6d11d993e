//! The interface between the inbox and its stores.

use std::{
    any::Any,
    fmt,
    future::{Future, pending, ready},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use crate::claim::{ClaimKey, Owner, Settled, StoreError};

/// Stores the events of an [`Inbox`](super::Inbox) until all consumers have processed them.
///
/// An event has one **entry** for each consumer. An entry is in one of these states:
///
/// ```text
/// absent             --insert-->  waiting, attempt 0, due at once
/// waiting, due       --lease-->   running, attempt + 1
/// lease expired      --lease-->   running, attempt + 1      (or the same, if no attempt is left)
/// running, owner's   --extend-->  a new lease
/// running, owner's   --settle-->  done, discarded, dead, or waiting again
/// waiting, dead      --retry-->   waiting, due at once, with all attempts left
/// waiting, dead      --discard--> discarded
/// ```
///
/// An owner is new for each lease. A step of an owner that is not the entry's changes nothing. So
/// an entry is settled at most once for each attempt, and a former owner changes nothing. A late
/// step of the owner takes effect if nothing has leased or changed the entry since the lease
/// expired. The exception is a late [extension](Self::extend) of an entry with an order key.
///
/// An endpoint's events, entries and versions are independent of those of other endpoints. The
/// numbers of events are unique in the store.
///
/// The cases of `testing::conformance::inbox` (feature `testing`) check all of this, for any store.
///
/// Implementations write plain `async fn`s. Each call is one transaction, judged by the store's own
/// clock. A call fails as a whole. The caller may give up a call, which may still take effect.
pub trait InboxStore: Send + Sync + 'static {
    /// Stores all events in one durable transaction, each with a waiting entry for every consumer,
    /// and returns which of them are new. The results have the order of the events.
    ///
    /// An event whose key the endpoint already stores changes nothing, even if the consumers differ.
    /// A key may occur twice in one call: the second one is then a duplicate. Calls that share keys,
    /// in any order, may run concurrently.
    ///
    /// NUL cannot be stored in PostgreSQL's texts. A store may replace it with U+FFFD in all texts,
    /// those of filters and errors included, but never in the body.
    fn insert(
        &self,
        intake: &Intake,
    ) -> impl Future<Output = Result<Vec<Inserted>, StoreError>> + Send;

    /// Leases up to [`max`](LeaseRequest::max) entries that are due, the longest due first, and
    /// entries that are due since the same time by ascending event number. The result has this
    /// order.
    ///
    /// An entry is due if it is waiting and its time has come, or if it is running and its lease
    /// has expired. If an entry's lease expired and it already had
    /// [`max_attempts`](LeaseRequest::max_attempts) since an operator last retried it, it is
    /// [exhausted](Leased::exhausted): the request's owner gets a lease, but the attempt does not
    /// rise, and no handler runs. The worker logs that the event is dead, and then settles the
    /// entry as [`Verdict::Dead`]. If the reply is lost or the worker dies, a later lease returns
    /// the entry again. It counts towards `max`. A waiting entry is leased however many attempts it
    /// had.
    ///
    /// With an order, an entry is due only if, among the consumer's entries with the same order
    /// key, no earlier one is [unfinished](LeaseRequest::order) and no other one has a lease that
    /// has not expired. So at most one of them runs at a time, even if an earlier event arrives
    /// late. Entries without an order key are not ordered.
    fn lease(
        &self,
        request: &LeaseRequest,
    ) -> impl Future<Output = Result<Leased, StoreError>> + Send;

    /// Renews the leases of running entries to `lease` from now on. The results have the order of
    /// the holders. If another transaction has locked an entry, the store returns
    /// [`Extended::Locked`] and does not wait, because the other leases could expire meanwhile.
    ///
    /// An expired lease of an entry with an order key is [`Extended::Lost`], because another entry
    /// with this key may run by now.
    fn extend(
        &self,
        holders: &[EntryHolder],
        lease: Duration,
        limit: Duration,
    ) -> impl Future<Output = Result<Vec<Extended>, StoreError>> + Send;

    /// Settles running entries. The results have the order of the settlements:
    /// [`Settled::Superseded`] if the entry is not running, or has another owner. So the second of
    /// two calls gets `Superseded` if the first took effect, although its reply was lost.
    fn settle(
        &self,
        settlements: &[Settlement],
        limit: Duration,
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send;

    /// Records `version` for `key`, unless another event has recorded the same or a later one.
    /// Returns whether it was recorded. An event that repeats its own call gets the same result, as
    /// long as no later version was recorded. A version counts until its event is purged.
    fn advance(
        &self,
        advance: &Advance,
        limit: Duration,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Returns the number of waiting, running and dead entries, for each consumer that has any.
    fn stats(&self, endpoint: &str) -> impl Future<Output = Result<Vec<Stats>, StoreError>> + Send;

    /// Returns up to [`limit`](Filter::limit) entries that match, by ascending event number and
    /// consumer. A page may end between two entries of one event, so select a
    /// [consumer](Filter::consumer) to read page by page.
    fn list(&self, filter: &Filter) -> impl Future<Output = Result<Vec<Entry>, StoreError>> + Send;

    /// Changes up to [`limit`](Filter::limit) waiting or dead entries that match, and returns how
    /// many were changed. Running, done and discarded entries do not change and do not count.
    fn change(
        &self,
        filter: &Filter,
        change: Change,
    ) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// Removes up to `max` bodies and events of the endpoint that [`retention`](Retention) does not
    /// keep, and returns how many were removed.
    ///
    /// An event with a waiting, running or dead entry stays, and so does its body. Otherwise the
    /// body goes once it has been [kept](Retention::bodies), and the event goes with it or later,
    /// once its [`ttl`](NewEvent::ttl) has passed since it was stored. The latest versions that the
    /// event [recorded](Self::advance) go with it. A purged key is new again.
    /// Repeated calls remove everything and then return 0. `max` may be large, so a store works in
    /// several small transactions.
    fn purge_inbox(
        &self,
        endpoint: &str,
        retention: &Retention,
        max: usize,
    ) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// Announces to other processes that the endpoint has new events. The default does nothing:
    /// workers also look for events at an interval.
    fn announce(&self, endpoint: &str) -> impl Future<Output = Result<(), StoreError>> + Send {
        let _ = endpoint;
        ready(Ok(()))
    }

    /// Calls `wake` once it listens for announcements, and then whenever another process announces
    /// events of the endpoint. Returns only if it can no longer listen. The default never calls it.
    fn watch(
        &self,
        endpoint: &str,
        wake: &(dyn Fn() + Send + Sync),
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        let _ = (endpoint, wake);
        pending()
    }

    /// Returns the store in whose database [`InboxEvent::commit`](super::InboxEvent::commit)
    /// completes events: a `PostgresStore` or an `SqliteStore`. The default returns this store.
    ///
    /// A store that wraps another one returns `self.inner.as_any()`. Otherwise `commit` fails with
    /// [`NotClaimed`](crate::idempotency::CommitError::NotClaimed). `commit` calls nothing else on
    /// the wrapper.
    fn as_any(&self) -> &(dyn Any + Send + Sync)
    where
        Self: Sized,
    {
        self
    }
}

/// The events of a delivery, or of several that arrived together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Intake {
    /// The name of the inbox.
    pub endpoint: Arc<str>,
    /// The consumers that process each event.
    pub consumers: Arc<[Arc<str>]>,
    /// The events.
    pub events: Vec<NewEvent>,
    /// How long the receiver waits for the result.
    pub limit: Duration,
}

/// An event as the inbox stores it.
#[derive(Clone)]
#[non_exhaustive]
pub struct StoredEvent {
    /// The idempotency key.
    pub key: ClaimKey,
    /// The tenant's namespace.
    pub namespace: Option<String>,
    /// The name of the scheme that verified it.
    pub scheme: String,
    /// The sender's name for what happened.
    pub event_type: Option<String>,
    /// The sender's ID.
    pub id: Option<String>,
    /// When it happened, as time since the Unix epoch, in whole milliseconds.
    pub time: Option<Duration>,
    /// The JSON pointer to the event's data in the body.
    pub data_pointer: Option<String>,
    /// The headers that the inbox keeps: lower-case names, and values. If the inbox keeps the path
    /// and query, they are here under the name `:path`.
    pub headers: Vec<(String, String)>,
    /// The exact bytes of the event. Empty if they were removed.
    pub body: Bytes,
}

impl fmt::Debug for StoredEvent {
    /// Omits the headers and the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredEvent")
            .field("key", &self.key)
            .field("scheme", &self.scheme)
            .field("event_type", &self.event_type)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// An event to store.
#[derive(Clone)]
#[non_exhaustive]
pub struct NewEvent {
    /// The event.
    pub event: StoredEvent,
    /// How long the key is kept at least, from when the event is stored. Ten years are possible, as
    /// in every duration.
    pub ttl: Duration,
    /// Events with the same order key are processed one at a time.
    pub order_key: Option<Vec<u8>>,
    /// The position among events with the same order key: milliseconds since the Unix epoch. Equal
    /// positions are in the order in which events were stored, and so are all events for `None`.
    /// Events of one inbox have a position either all or none.
    pub position: Option<i64>,
}

impl fmt::Debug for NewEvent {
    /// Omits the order key, which may come from the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewEvent")
            .field("event", &self.event)
            .field("ttl", &self.ttl)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// Whether an event was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inserted {
    /// The event is new.
    New,
    /// The key was stored before.
    Duplicate,
}

/// A worker's request for entries.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LeaseRequest {
    /// The name of the inbox.
    pub endpoint: Arc<str>,
    /// The consumer.
    pub consumer: Arc<str>,
    /// The owner of all leases of this request; new for each request.
    pub owner: Owner,
    /// The maximum number of entries.
    pub max: usize,
    /// How long the leases last unless they are extended.
    pub lease: Duration,
    /// The maximum number of attempts for an entry, counted since an operator last retried it.
    pub max_attempts: u32,
    /// Which earlier entries with the same order key are unfinished.
    pub order: Order,
    /// How long the worker waits for the result.
    pub limit: Duration,
}

/// The order of events with the same order key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// Events have no order.
    #[default]
    None,
    /// Waiting and running entries delay the following ones, and so do dead ones.
    DeadBlocks,
    /// Waiting and running entries delay the following ones. Dead ones do not.
    DeadIsSkipped,
}

/// The result of [`InboxStore::lease`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Leased {
    /// The leased entries.
    pub events: Vec<LeasedEvent>,
    /// The entries whose last lease expired, and which have no attempt left. They are leased, to be
    /// settled as dead: event numbers, keys, and numbers of attempts.
    pub exhausted: Vec<(i64, ClaimKey, u32)>,
}

/// A leased entry and its event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LeasedEvent {
    /// The number of the event in the store. Later events have higher numbers.
    pub number: i64,
    /// The fencing token: the number of leases so far, including this one. It never decreases.
    pub attempt: u32,
    /// The number of leases before the last [`Change::Retry`]. The attempts since then count
    /// towards the maximum.
    pub retried_at_attempt: u32,
    /// When the event was stored, as time since the Unix epoch.
    pub received_at: Duration,
    /// The event.
    pub event: StoredEvent,
}

/// Whether a lease was renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extended {
    /// The lease is renewed.
    Renewed,
    /// The lease ends when it did before. Another transaction has locked the entry, and may settle
    /// it or lease it to another owner.
    Locked,
    /// The entry is not running, or has another owner, or has an order key and an expired lease.
    Lost,
}

/// Identifies a lease.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EntryHolder {
    /// The number of the event in the store.
    pub number: i64,
    /// The consumer.
    pub consumer: Arc<str>,
    /// The owner of the lease.
    pub owner: Owner,
}

/// The result of an attempt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settlement {
    /// The lease.
    pub holder: EntryHolder,
    /// The new state.
    pub verdict: Verdict,
}

/// The new state of an entry after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a store has to handle every verdict")]
pub enum Verdict {
    /// The handler succeeded.
    Done,
    /// The handler does not want the event.
    Discarded,
    /// The entry waits for another attempt.
    Retry {
        /// The time until the entry is due.
        after: Duration,
        /// The reason, for operators.
        error: String,
    },
    /// No attempt is left.
    Dead {
        /// The reason, for operators.
        error: String,
    },
    /// The worker stops. The entry is due at once. The attempt counts.
    Released,
}

/// A version to record, for [`InboxEvent::is_stale`](super::InboxEvent::is_stale).
#[derive(Clone)]
#[non_exhaustive]
pub struct Advance {
    /// The name of the inbox.
    pub endpoint: Arc<str>,
    /// The consumer.
    pub consumer: Arc<str>,
    /// The entity.
    pub key: Vec<u8>,
    /// Its version.
    pub version: i64,
    /// The number of the event.
    pub number: i64,
}

impl fmt::Debug for Advance {
    /// Omits the key and the version, which may come from the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Advance")
            .field("endpoint", &self.endpoint)
            .field("consumer", &self.consumer)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// The state of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryState {
    /// The entry waits for an attempt.
    Waiting,
    /// A worker processes the entry, or has died doing so.
    Running,
    /// The entry is processed.
    Done,
    /// All attempts have failed.
    Dead,
    /// A handler or an operator has discarded the entry.
    Discarded,
}

/// The number of entries of a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The consumer.
    pub consumer: String,
    /// Entries that wait for an attempt.
    pub waiting: u64,
    /// Entries with a lease, even if it has expired.
    pub running: u64,
    /// Entries that have failed for the last time.
    pub dead: u64,
    /// The time since the oldest event was stored whose entry is waiting or running.
    pub oldest: Option<Duration>,
}

/// Selects entries.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Filter {
    /// The name of the inbox.
    pub endpoint: Arc<str>,
    /// Only entries of this consumer.
    pub consumer: Option<String>,
    /// Only entries in this state.
    pub state: Option<EntryState>,
    /// Only events with this idempotency key.
    pub key: Option<ClaimKey>,
    /// Only events of this type.
    pub event_type: Option<String>,
    /// Only events of this tenant.
    pub namespace: Option<String>,
    /// Only events after this number.
    pub after: i64,
    /// The maximum number of entries.
    pub limit: usize,
}

impl Filter {
    /// Selects entries of this consumer.
    #[must_use]
    pub fn consumer(self, name: impl Into<String>) -> Self {
        Self { consumer: Some(name.into()), ..self }
    }

    /// Selects entries in this state.
    #[must_use]
    pub fn state(self, state: EntryState) -> Self {
        Self { state: Some(state), ..self }
    }

    /// Selects the event with this idempotency key.
    #[must_use]
    pub fn key(self, key: ClaimKey) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Selects events of this type.
    #[must_use]
    pub fn event_type(self, name: impl Into<String>) -> Self {
        Self { event_type: Some(name.into()), ..self }
    }

    /// Selects events of this tenant.
    #[must_use]
    pub fn namespace(self, namespace: impl Into<String>) -> Self {
        Self { namespace: Some(namespace.into()), ..self }
    }

    /// Selects events after this number.
    #[must_use]
    pub fn after(self, number: i64) -> Self {
        Self { after: number, ..self }
    }

    /// Sets the maximum number of entries. The default is 100.
    #[must_use]
    pub fn limit(self, entries: usize) -> Self {
        Self { limit: entries, ..self }
    }
}

/// A change of entries by an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a store has to handle every change")]
pub enum Change {
    /// The entry waits for an attempt, is due at once, and gets all of its attempts again. A waiting
    /// entry that is due already stays due since the same time.
    Retry,
    /// The entry is discarded.
    Discard,
}

/// An entry and its event, for operators.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The number of the event in the store.
    pub number: i64,
    /// The consumer.
    pub consumer: String,
    /// The state.
    pub state: EntryState,
    /// The number of attempts so far, including those before an operator's retry.
    pub attempts: u32,
    /// When the entry is due, or its lease expires, as time since the Unix epoch.
    pub due_at: Duration,
    /// When the event was stored, as time since the Unix epoch.
    pub received_at: Duration,
    /// The error of the last attempt that failed.
    pub error: Option<String>,
    /// The event.
    pub event: StoredEvent,
}

/// The times for which a purge keeps data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// How long bodies are kept after all consumers have finished.
    pub bodies: Duration,
}

impl StoredEvent {
    /// Returns an event without the optional fields, for a store.
    #[must_use]
    pub fn new(key: ClaimKey, scheme: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            key,
            namespace: None,
            scheme: scheme.into(),
            event_type: None,
            id: None,
            time: None,
            data_pointer: None,
            headers: Vec::new(),
            body: body.into(),
        }
    }
}

impl LeasedEvent {
    /// Returns a leased event that no operator has retried, for a store.
    #[must_use]
    pub fn new(number: i64, attempt: u32, received_at: Duration, event: StoredEvent) -> Self {
        Self { number, attempt, retried_at_attempt: 0, received_at, event }
    }
}

/// Reads a number of attempts. If it was edited by hand, it may have any value: one such row must
/// not fail the lease of others.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn attempts(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// Reads the headers. If they were edited by hand and are no longer valid, there are none.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn headers(json: &str) -> Vec<(String, String)> {
    serde_json::from_str(json).unwrap_or_default()
}

impl Stats {
    /// Returns the statistics of a consumer without entries, for a store.
    #[must_use]
    pub fn new(consumer: impl Into<String>) -> Self {
        Self { consumer: consumer.into(), waiting: 0, running: 0, dead: 0, oldest: None }
    }
}

impl Entry {
    /// Returns an entry without attempts that is due since the event was stored, for a store.
    #[must_use]
    pub fn new(
        number: i64,
        consumer: impl Into<String>,
        state: EntryState,
        received_at: Duration,
        event: StoredEvent,
    ) -> Self {
        Self {
            number,
            consumer: consumer.into(),
            state,
            attempts: 0,
            due_at: received_at,
            received_at,
            error: None,
            event,
        }
    }
}

/// The limit in requests for the tests of stores.
const MINUTE: Duration = Duration::from_secs(60);

impl NewEvent {
    /// Returns an event without an order key, for the tests of stores. Receivers make their own.
    #[must_use]
    pub fn new(event: StoredEvent, ttl: Duration) -> Self {
        Self { event, ttl, order_key: None, position: None }
    }

    /// Returns the same event with an order key and a position.
    #[must_use]
    pub fn ordered(self, key: impl Into<Vec<u8>>, position: Option<i64>) -> Self {
        Self { order_key: Some(key.into()), position, ..self }
    }
}

impl Intake {
    /// Returns the events of a delivery, for the tests of stores. The limit is a minute. Receivers
    /// make their own.
    #[must_use]
    pub fn new(endpoint: &str, consumers: &[&str], events: Vec<NewEvent>) -> Self {
        let consumers = consumers.iter().map(|&consumer| consumer.into()).collect();
        Self { endpoint: endpoint.into(), consumers, events, limit: MINUTE }
    }
}

impl LeaseRequest {
    /// Returns a request without an order, for the tests of stores. The maximum number of attempts
    /// is 10, and the limit is a minute. Workers make their own.
    #[must_use]
    pub fn new(endpoint: &str, consumer: &str, owner: Owner, max: usize, lease: Duration) -> Self {
        let (endpoint, consumer) = (endpoint.into(), consumer.into());
        let (max_attempts, order) = (10, Order::None);
        Self { endpoint, consumer, owner, max, lease, max_attempts, order, limit: MINUTE }
    }
}

impl EntryHolder {
    /// Returns the holder of a lease, for the tests of stores. Workers make their own.
    #[must_use]
    pub fn new(number: i64, consumer: &str, owner: Owner) -> Self {
        Self { number, consumer: consumer.into(), owner }
    }

    /// Returns the settlement of the lease.
    #[must_use]
    pub fn settlement(&self, verdict: Verdict) -> Settlement {
        Settlement { holder: self.clone(), verdict }
    }
}

impl Advance {
    /// Returns a version to record, for the tests of stores. Workers make their own.
    #[must_use]
    pub fn new(endpoint: &str, consumer: &str, key: &[u8], version: i64, number: i64) -> Self {
        let (endpoint, consumer) = (endpoint.into(), consumer.into());
        Self { endpoint, consumer, key: key.to_vec(), version, number }
    }
}

impl Filter {
    /// Returns a filter that selects all entries of an inbox, up to `limit`.
    #[must_use]
    pub fn new(endpoint: &str, limit: usize) -> Self {
        Self {
            endpoint: endpoint.into(),
            consumer: None,
            state: None,
            key: None,
            event_type: None,
            namespace: None,
            after: i64::MIN,
            limit,
        }
    }
}

impl Retention {
    /// Returns the times for which a purge keeps data.
    #[must_use]
    pub fn new(bodies: Duration) -> Self {
        Self { bodies }
    }
}
