use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{
    Advance, EntryHolder, Inbox, LeasedEvent, StoredEvent, TARGET, scoped, shared::DynInboxStore,
};
use crate::{
    claim::{ClaimKey, StoreError},
    delivery::{EventName, ExtractError, from_json},
    request::json,
};

/// A verified event, for a worker's handler.
#[derive(Clone)]
pub struct InboxEvent(Arc<Inner>);

struct Inner {
    inbox: Inbox,
    holder: EntryHolder,
    leased: LeasedEvent,
    /// The [`CommitState`].
    commit: AtomicU8,
}

/// The state of the handler's transaction that completes the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommitState {
    /// Nothing is committed.
    Open,
    /// The commit has begun, and its outcome is unknown.
    Committing,
    Committed,
}

impl InboxEvent {
    pub(super) fn new(inbox: Inbox, holder: EntryHolder, leased: LeasedEvent) -> Self {
        Self(Arc::new(Inner { inbox, holder, leased, commit: AtomicU8::new(0) }))
    }

    fn event(&self) -> &StoredEvent {
        &self.0.leased.event
    }

    pub(super) fn store(&self) -> &dyn DynInboxStore {
        &*self.0.inbox.store
    }

    pub(super) fn holder(&self) -> &EntryHolder {
        &self.0.holder
    }

    pub(super) fn commit_state(&self) -> CommitState {
        match self.0.commit.load(Ordering::Acquire) {
            0 => CommitState::Open,
            1 => CommitState::Committing,
            _ => CommitState::Committed,
        }
    }

    pub(super) fn set_commit_state(&self, state: CommitState) {
        self.0.commit.store(state as u8, Ordering::Release);
    }

    /// Returns whether the handler's transaction has completed the event, or may have.
    pub(super) fn is_committed(&self) -> bool {
        self.commit_state() != CommitState::Open
    }

    /// Returns the name of the inbox.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.0.inbox.endpoint
    }

    /// Returns the consumer.
    #[must_use]
    pub fn consumer(&self) -> &str {
        &self.0.holder.consumer
    }

    /// Returns the name of the scheme that verified the event.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.event().scheme
    }

    /// Returns the namespace of the event's tenant, if the receiver has tenants.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.event().namespace.as_deref()
    }

    /// Returns the idempotency key. It is the same in each attempt.
    #[must_use]
    pub fn key(&self) -> ClaimKey {
        self.event().key
    }

    /// Returns the sender's name for what happened, if the scheme defines where it is.
    #[must_use]
    pub fn event_type(&self) -> Option<&str> {
        self.event().event_type.as_deref()
    }

    /// Returns the sender's ID of this event, if the scheme defines where it is.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.event().id.as_deref()
    }

    /// Returns when the event happened, as time since the Unix epoch, if the scheme defines where
    /// that is.
    #[must_use]
    pub fn time(&self) -> Option<Duration> {
        self.event().time
    }

    /// Returns when the event was stored, as time since the Unix epoch.
    #[must_use]
    pub fn received_at(&self) -> Duration {
        self.0.leased.received_at
    }

    /// Returns the number of this attempt, counted from 1. It is a fencing token: it rises with each
    /// attempt, even after an operator's [retry](Inbox::retry).
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.leased.attempt
    }

    /// Returns the number of this attempt, counted from an operator's last retry.
    pub(super) fn attempt_since_retry(&self) -> u32 {
        self.attempt().saturating_sub(self.0.leased.retried_at_attempt)
    }

    /// Returns a header that the inbox [keeps](Inbox::keep_headers). The name is not
    /// case-sensitive.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.event().headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    /// Returns the path and query of the request, if the inbox [keeps](Inbox::keep_target) them,
    /// without signatures and tokens. The sender may not have signed them.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.header(TARGET)
    }

    /// Returns the exact bytes of the event, as they were in the verified body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.event().body
    }

    /// Parses the whole event from JSON.
    ///
    /// # Errors
    ///
    /// [`ExtractError::JsonSyntax`] or [`ExtractError::JsonData`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ExtractError> {
        from_json(self.body(), || self.name())
    }

    /// Parses the event's data from JSON: the content of the sender's envelope, or the whole event
    /// without one.
    ///
    /// # Errors
    ///
    /// [`ExtractError::JsonSyntax`] or [`ExtractError::JsonData`].
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, ExtractError> {
        let body = self.body();
        let pointer = self.event().data_pointer.as_deref();
        match pointer.and_then(|pointer| json::raw(body, pointer).ok()?) {
            Some(data) => from_json(data.as_bytes(), || self.name()),
            None => from_json(body, || self.name()),
        }
    }

    fn name(&self) -> Box<EventName> {
        EventName::new(self.scheme(), self.event_type(), Some(self.key()))
    }

    /// Returns whether another event has asked with the same or a later version of `key`, for
    /// handlers that only want the latest state. If not, records `version` in the same statement.
    /// Tenants do not share keys.
    ///
    /// The version counts from then on, even if the handler fails later. If its event becomes dead,
    /// retry it. Once the event that recorded the version is deleted, any version of `key` is newer:
    /// see [`Inbox::ttl`] and [`Inbox::keep_bodies`].
    ///
    /// A retry of this event gets the same result, as long as no later version was recorded. If
    /// handlers write to another place, events of one key should also be
    /// [ordered](Inbox::ordered_by): otherwise an older event, whose check came first, may write
    /// last.
    ///
    /// On SQLite, call this before a write transaction of your own begins, not in it: the store
    /// writes on its own connection, and would wait for the end of your transaction. So the call
    /// fails after four fifths of [`store_timeout`](Inbox::store_timeout), and so do others
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub async fn is_stale(&self, key: &str, version: i64) -> Result<bool, StoreError> {
        let Inner { inbox, holder, leased, .. } = &*self.0;
        let advance = Advance {
            endpoint: Arc::clone(&inbox.endpoint),
            consumer: Arc::clone(&holder.consumer),
            key: scoped(self.namespace(), key.as_bytes()),
            version,
            number: leased.number,
        };
        inbox.store.advance(&advance, inbox.timeout).await.map(|advanced| !advanced)
    }
}

impl fmt::Debug for InboxEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboxEvent")
            .field("endpoint", &self.endpoint())
            .field("consumer", &self.consumer())
            .field("attempt", &self.attempt())
            .field("event", self.event())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;
    use crate::{
        SqliteStore,
        claim::Owner,
        inbox::{Entry, EntryState, Intake, Leased, NewEvent},
    };

    /// No type prints bodies, kept headers, order keys, and keys or versions of entities.
    #[tokio::test]
    async fn debug_omits_what_may_come_from_the_body() {
        let time = Duration::from_secs(60);
        let mut stored = StoredEvent::new(ClaimKey::from([1; 32]), "mautic", "from-body");
        stored.headers = vec![("x-kept".to_owned(), "from-header".to_owned())];
        let new = NewEvent::new(stored.clone(), time).ordered("from-key", None);
        let leased = LeasedEvent::new(1, 1, time, stored.clone());
        let advance = Advance::new("inbox", "crm", b"from-key", 424_242, 1);
        let store = SqliteStore::connect("sqlite::memory:").await.unwrap();
        let holder = EntryHolder::new(1, "crm", Owner::random().unwrap());
        let event = InboxEvent::new(Inbox::new(store, "inbox"), holder, leased.clone());
        let types: [&dyn fmt::Debug; 8] = [
            &stored,
            &new,
            &Intake::new("inbox", &["crm"], vec![new.clone()]),
            &leased,
            &Leased { events: vec![leased.clone()], exhausted: Vec::new() },
            &advance,
            &Entry::new(1, "crm", EntryState::Waiting, time, stored.clone()),
            &event,
        ];
        // A vector of bytes is printed as numbers.
        let key = format!("{:?}", b"from-key");
        for printed in types.map(|value| format!("{value:?}")) {
            for text in ["from-body", "from-header", "from-key", &key, "424242"] {
                assert!(!printed.contains(text), "{printed}");
            }
        }
    }
}
