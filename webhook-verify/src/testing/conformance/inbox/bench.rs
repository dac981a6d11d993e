use std::{slice, sync::Arc, time::Duration};

pub(super) use super::super::bench::{CaseResult, HOUR, LONG, failed, is, join_all, random};
use crate::{
    claim::{ClaimKey, Owner, Settled},
    inbox::{
        Advance, Change, Entry, EntryHolder, EntryState, Extended, Filter, InboxStore, Inserted,
        Intake, LeaseRequest, Leased, LeasedEvent, NewEvent, Order, Retention, Settlement, Stats,
        StoredEvent, Verdict,
    },
};

/// The consumer of most cases.
pub(super) const CONSUMER: &str = "a";
/// A consumer of the same events.
pub(super) const OTHER: &str = "b";

/// How long a call may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A store, its clock, an endpoint that no other case uses, and the checks that cases share.
///
/// No case relies on a short lease being valid a moment later.
pub(super) struct Bench<'a, S, A> {
    pub(super) store: &'a S,
    pub(super) endpoint: Arc<str>,
    advance: &'a A,
    tick: Duration,
}

impl<'a, S: InboxStore, A: AsyncFn(Duration)> Bench<'a, S, A> {
    pub(super) fn new(store: &'a S, advance: &'a A, tick: Duration) -> CaseResult<Self> {
        Ok(Self { store, endpoint: endpoint()?, advance, tick })
    }

    /// Returns the bench with another endpoint.
    pub(super) fn elsewhere(&self) -> CaseResult<Self> {
        Self::new(self.store, self.advance, self.tick)
    }

    /// Returns a time that ends during a case.
    pub(super) fn short(&self) -> Duration {
        self.tick
    }

    /// Lets short times end.
    pub(super) async fn lapse(&self) {
        (self.advance)(self.tick + self.tick / 4).await;
    }

    pub(super) fn intake(&self, consumers: &[&str], events: &[NewEvent]) -> Intake {
        Intake {
            endpoint: Arc::clone(&self.endpoint),
            consumers: consumers.iter().map(|consumer| Arc::from(*consumer)).collect(),
            events: events.to_vec(),
            limit: LIMIT,
        }
    }

    /// Stores the events, and checks that there are as many results.
    pub(super) async fn insert_for(
        &self,
        consumers: &[&str],
        events: &[NewEvent],
    ) -> CaseResult<Vec<Inserted>> {
        let inserted = self.store.insert(&self.intake(consumers, events)).await.map_err(failed)?;
        let (expected, got) = (events.len(), inserted.len());
        is(got == expected, "insert", &format!("{expected} results"), got)?;
        Ok(inserted)
    }

    /// Stores the events for one consumer, and checks that all are new.
    pub(super) async fn stores(&self, events: &[NewEvent]) -> CaseResult {
        self.stores_for(&[CONSUMER], events).await
    }

    pub(super) async fn stores_for(&self, consumers: &[&str], events: &[NewEvent]) -> CaseResult {
        let inserted = self.insert_for(consumers, events).await?;
        let all = inserted.iter().all(|inserted| *inserted == Inserted::New);
        is(all, "insert of new keys", "New", &inserted)
    }

    /// Stores `count` new events in one call.
    pub(super) async fn has_stored(&self, count: usize) -> CaseResult<Vec<NewEvent>> {
        let events = events(count)?;
        self.stores(&events).await?;
        Ok(events)
    }

    /// Returns a request of a new owner, with a long lease.
    pub(super) fn request(&self, max: usize) -> CaseResult<LeaseRequest> {
        Ok(LeaseRequest {
            endpoint: Arc::clone(&self.endpoint),
            consumer: CONSUMER.into(),
            owner: Owner::random().map_err(failed)?,
            max,
            lease: LONG,
            max_attempts: 9,
            order: Order::None,
            limit: LIMIT,
        })
    }

    /// Returns the same with a lease that expires.
    pub(super) fn brief(&self, max: usize) -> CaseResult<LeaseRequest> {
        Ok(LeaseRequest { lease: self.short(), ..self.request(max)? })
    }

    /// Leases entries, and checks that there are no more than wanted.
    pub(super) async fn lease(&self, request: &LeaseRequest) -> CaseResult<Leased> {
        let leased = self.store.lease(request).await.map_err(failed)?;
        let (max, got) = (request.max, leased.events.len() + leased.exhausted.len());
        is(got <= max, "lease", &format!("{max} entries at most"), got)?;
        Ok(leased)
    }

    /// Leases entries, and checks that they are those of these events, in order, with this attempt.
    /// Returns their holders.
    pub(super) async fn leases(
        &self,
        request: &LeaseRequest,
        expected: &[&NewEvent],
        attempt: u32,
        when: &str,
    ) -> CaseResult<Vec<EntryHolder>> {
        let leased = self.lease(request).await?;
        let right = leased.exhausted.is_empty()
            && leased.events.iter().map(|leased| leased.event.key).eq(keys(expected));
        let what = format!("{} entries, in order", expected.len());
        is(right, when, &what, &leased)?;
        let right = leased.events.iter().all(|leased| leased.attempt == attempt);
        is(right, when, &format!("attempt {attempt}"), &leased.events)?;
        Ok(leased.events.iter().map(|leased| holder(request, leased)).collect())
    }

    /// Leases the entry of one event.
    pub(super) async fn leases_one(
        &self,
        request: &LeaseRequest,
        expected: &NewEvent,
        attempt: u32,
        when: &str,
    ) -> CaseResult<EntryHolder> {
        Ok(self.leases(request, &[expected], attempt, when).await?.remove(0))
    }

    /// Checks that no entry of any consumer's request is due.
    pub(super) async fn leases_nothing(&self, when: &str) -> CaseResult {
        self.leases(&self.request(100)?, &[], 0, when).await.map(drop)
    }

    /// Checks that only these entries are leased, and without an attempt. Returns their holders.
    pub(super) async fn exhausts(
        &self,
        request: &LeaseRequest,
        expected: &[&NewEvent],
        when: &str,
    ) -> CaseResult<Vec<EntryHolder>> {
        let leased = self.lease(request).await?;
        let holder = |event: &&NewEvent| {
            let found = leased.exhausted.iter().find(|(_, key, _)| *key == event.event.key);
            Some(EntryHolder::new(found?.0, &request.consumer, request.owner))
        };
        let holders = expected.iter().map(holder).collect::<Option<Vec<_>>>();
        let alone = leased.events.is_empty() && leased.exhausted.len() == expected.len();
        let right = alone && holders.is_some();
        is(right, when, &format!("{} exhausted entries alone", expected.len()), &leased)?;
        Ok(holders.unwrap_or_default())
    }

    /// Settles the entries, and checks that there are as many results.
    pub(super) async fn settle_all(&self, settlements: &[Settlement]) -> CaseResult<Vec<Settled>> {
        let settled = self.store.settle(settlements, LIMIT).await.map_err(failed)?;
        let (expected, got) = (settlements.len(), settled.len());
        is(got == expected, "settle", &format!("{expected} results"), got)?;
        Ok(settled)
    }

    /// Checks that the settlement takes effect.
    pub(super) async fn settles(
        &self,
        holder: &EntryHolder,
        verdict: &Verdict,
        when: &str,
    ) -> CaseResult {
        let settled = self.settle_all(&[settlement(holder, verdict)]).await?[0];
        is(settled == Settled::Applied, &format!("{when}, {verdict:?}"), "Applied", settled)
    }

    /// Extends the leases, and checks that there are as many results.
    pub(super) async fn extend_all(
        &self,
        holders: &[EntryHolder],
        lease: Duration,
    ) -> CaseResult<Vec<Extended>> {
        let extended = self.store.extend(holders, lease, LIMIT).await.map_err(failed)?;
        let (expected, got) = (holders.len(), extended.len());
        is(got == expected, "extend", &format!("{expected} results"), got)?;
        Ok(extended)
    }

    /// Checks that the extension takes effect.
    pub(super) async fn extends(
        &self,
        holder: &EntryHolder,
        lease: Duration,
        when: &str,
    ) -> CaseResult {
        let extended = self.extend_all(slice::from_ref(holder), lease).await?[0];
        is(extended == Extended::Renewed, &format!("{when}, extend"), "Renewed", extended)
    }

    /// Checks that no step of the holder takes effect, and that the entry does not change.
    pub(super) async fn is_shut_out(
        &self,
        event: &NewEvent,
        holder: &EntryHolder,
        when: &str,
    ) -> CaseResult {
        let before = self.entry(event, &holder.consumer).await?;
        for verdict in &verdicts(LONG) {
            let settled = self.settle_all(&[settlement(holder, verdict)]).await?[0];
            let when = format!("{when}, {verdict:?}");
            is(settled == Settled::Superseded, &when, "Superseded", settled)?;
        }
        let extended = self.extend_all(slice::from_ref(holder), LONG * 2).await?[0];
        is(extended == Extended::Lost, &format!("{when}, extend"), "Lost", extended)?;
        let after = self.entry(event, &holder.consumer).await?;
        is(same(&before, &after), when, &format!("{before:?}"), &after)
    }

    pub(super) fn filter(&self) -> Filter {
        Filter {
            endpoint: Arc::clone(&self.endpoint),
            consumer: None,
            state: None,
            key: None,
            event_type: None,
            namespace: None,
            after: 0,
            limit: 10_000,
        }
    }

    /// Lists entries, and checks that there are no more than wanted.
    pub(super) async fn list(&self, filter: &Filter) -> CaseResult<Vec<Entry>> {
        let entries = self.store.list(filter).await.map_err(failed)?;
        let (limit, got) = (filter.limit, entries.len());
        is(got <= limit, "list", &format!("{limit} entries at most"), got)?;
        Ok(entries)
    }

    /// Returns the entry of this event and consumer.
    pub(super) async fn entry(&self, event: &NewEvent, consumer: &str) -> CaseResult<Entry> {
        let (key, consumer) = (Some(event.event.key), Some(consumer.to_owned()));
        let mut entries = self.list(&Filter { key, consumer, ..self.filter() }).await?;
        match entries.pop() {
            Some(entry) if entries.is_empty() => Ok(entry),
            _ => Err("list of a key and a consumer: expected one entry".to_owned()),
        }
    }

    /// Checks the state and the attempts of the event's entry.
    pub(super) async fn is_in(
        &self,
        event: &NewEvent,
        state: EntryState,
        attempts: u32,
        when: &str,
    ) -> CaseResult<Entry> {
        let entry = self.entry(event, CONSUMER).await?;
        let right = entry.state == state && entry.attempts == attempts;
        is(right, when, &format!("{state:?} after {attempts} attempts"), &entry)?;
        Ok(entry)
    }

    pub(super) async fn stats(&self, consumer: &str) -> CaseResult<Stats> {
        let mut stats = self.store.stats(&self.endpoint).await.map_err(failed)?;
        stats.retain(|stats| stats.consumer == consumer);
        let stats = (stats.pop(), stats.len());
        match stats {
            (stats, 0) => Ok(stats.unwrap_or_else(|| Stats::new(consumer))),
            (_, more) => Err(format!("stats: expected one of {consumer}, got {}", more + 1)),
        }
    }

    pub(super) async fn changes(
        &self,
        filter: &Filter,
        change: Change,
        expected: usize,
        when: &str,
    ) -> CaseResult {
        let changed = self.store.change(filter, change).await.map_err(failed)?;
        is(changed == expected, &format!("{when}, {change:?}"), &format!("{expected}"), changed)
    }

    /// Returns whether the event may record the version.
    pub(super) async fn advances(
        &self,
        consumer: &str,
        key: &[u8],
        version: i64,
        number: i64,
    ) -> CaseResult<bool> {
        let (endpoint, consumer) = (Arc::clone(&self.endpoint), Arc::from(consumer));
        let advance = Advance { endpoint, consumer, key: key.to_vec(), version, number };
        self.store.advance(&advance, LIMIT).await.map_err(failed)
    }

    pub(super) async fn purge(&self, bodies: Duration, max: usize) -> CaseResult<usize> {
        let retention = Retention { bodies };
        let removed = self.store.purge_inbox(&self.endpoint, &retention, max).await;
        let removed = removed.map_err(failed)?;
        is(removed <= max, "purge", &format!("{max} at most"), removed)?;
        Ok(removed)
    }

    /// Purges until nothing is left to remove. Returns how much was removed.
    pub(super) async fn purge_all(&self, bodies: Duration) -> CaseResult<usize> {
        let mut removed = 0;
        for _ in 0..100 {
            match self.purge(bodies, 1000).await? {
                0 => return Ok(removed),
                some => removed += some,
            }
        }
        Err(format!("purge: expected 0 in the end, got {removed} in 100 calls"))
    }

    /// Leases the event, which is the longest due, and settles it with success.
    pub(super) async fn processes(&self, event: &NewEvent, attempt: u32) -> CaseResult {
        let when = "an event to process";
        let holder = self.leases_one(&self.request(1)?, event, attempt, when).await?;
        self.settles(&holder, &Verdict::Done, when).await
    }
}

fn endpoint() -> CaseResult<Arc<str>> {
    let random = random()?;
    let digits = random.iter().take(8).map(|byte| format!("{byte:02x}"));
    Ok(format!("kit-{}", digits.collect::<String>()).into())
}

/// Returns an event with a new key.
pub(super) fn event() -> CaseResult<NewEvent> {
    let event = StoredEvent::new(ClaimKey::from(random()?), "mautic", &b"{}"[..]);
    Ok(NewEvent { event, ttl: HOUR, order_key: None, position: None })
}

pub(super) fn events(count: usize) -> CaseResult<Vec<NewEvent>> {
    (0..count).map(|_| event()).collect()
}

/// Returns an event with an order key.
pub(super) fn ordered(key: &[u8], position: Option<i64>) -> CaseResult<NewEvent> {
    Ok(NewEvent { order_key: Some(key.to_vec()), position, ..event()? })
}

pub(super) fn keys<'e>(events: &[&'e NewEvent]) -> impl Iterator<Item = ClaimKey> + use<'e> {
    events.iter().map(|event| event.event.key).collect::<Vec<_>>().into_iter()
}

pub(super) fn holder(request: &LeaseRequest, leased: &LeasedEvent) -> EntryHolder {
    let (consumer, owner) = (Arc::clone(&request.consumer), request.owner);
    EntryHolder { number: leased.number, consumer, owner }
}

pub(super) fn settlement(holder: &EntryHolder, verdict: &Verdict) -> Settlement {
    Settlement { holder: holder.clone(), verdict: verdict.clone() }
}

/// Returns one of each verdict.
pub(super) fn verdicts(after: Duration) -> [Verdict; 5] {
    let error = || "it failed".to_owned();
    [
        Verdict::Done,
        Verdict::Discarded,
        Verdict::Retry { after, error: error() },
        Verdict::Dead { error: error() },
        Verdict::Released,
    ]
}

/// Returns whether nothing about the entry that an operator sees has changed.
pub(super) fn same(one: &Entry, other: &Entry) -> bool {
    let parts = |entry: &Entry| {
        (entry.number, entry.state, entry.attempts, entry.due_at, entry.error.clone())
    };
    parts(one) == parts(other)
}

/// Returns whether the text came back, perhaps with another character for NUL.
pub(super) fn same_text(got: Option<&str>, expected: Option<&str>) -> bool {
    match (got, expected) {
        (Some(got), Some(expected)) => got == expected || got == expected.replace('\0', "\u{fffd}"),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
