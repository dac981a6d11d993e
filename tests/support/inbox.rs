//! A complete inbox store in the memory of one process, to copy from and to test with.

mod entry;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Mutex,
    time::Duration,
};

use webhook_verify::{
    clock::Clock,
    idempotency::{ClaimKey, Settled, StoreError},
    inbox::{
        Advance, Change, Entry, EntryHolder, EntryState, Extended, Filter, InboxStore, Inserted,
        Intake, LeaseRequest, Leased, LeasedEvent, NewEvent, Order, Retention, Settlement, Stats,
    },
};

pub use self::entry::{Row, Turn};

/// An inbox store in memory.
#[derive(Debug)]
pub struct MapInbox<C> {
    clock: C,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    last: i64,
    /// The events by number.
    events: BTreeMap<i64, EventRow>,
    /// The latest version of each key, and its event, by endpoint and consumer.
    versions: HashMap<(String, String, Vec<u8>), (i64, i64)>,
}

/// An event and its entries.
#[derive(Debug)]
pub struct EventRow {
    /// The number of the event.
    pub number: i64,
    /// The name of the inbox.
    pub endpoint: String,
    /// The event.
    pub event: NewEvent,
    /// When the event was stored.
    pub received_at: Duration,
    /// The entries by consumer.
    pub entries: BTreeMap<String, Row>,
}

impl EventRow {
    /// Returns the time at which the last consumer finished, or `None` if one has not.
    fn finished_at(&self) -> Option<Duration> {
        let times = self.entries.values().map(Row::finished_at);
        times.collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}

impl Tables {
    fn row(&mut self, holder: &EntryHolder) -> Option<&mut Row> {
        self.events.get_mut(&holder.number)?.entries.get_mut(&*holder.consumer)
    }

    /// Returns the consumer's entries that are due, with the longest due first.
    fn due(&self, request: &LeaseRequest, now: Duration) -> Vec<(Duration, i64)> {
        let (mut due, mut blocked, mut running) = (Vec::new(), HashSet::new(), HashSet::new());
        let mut rows = Vec::new();
        for (number, event) in &self.events {
            let row = event.entries.get(&*request.consumer);
            if let Some(row) = row.filter(|_| event.endpoint == *request.endpoint) {
                rows.push((event.event.position, *number, &event.event.order_key, row));
            }
        }
        rows.sort_by_key(|(position, number, ..)| (*position, *number));
        for (.., order_key, row) in &rows {
            if row.is_leased(now) {
                running.extend(order_key.iter());
            }
        }
        for (_, number, order_key, row) in rows {
            let waits_for = match request.order {
                Order::None => None,
                _ => order_key.as_ref(),
            };
            let is_free =
                waits_for.is_none_or(|key| !blocked.contains(key) && !running.contains(key));
            if is_free && row.is_due(now) {
                due.push((row.due_at, number));
            }
            let blocks = match row.state {
                EntryState::Waiting | EntryState::Running => true,
                EntryState::Dead => request.order == Order::DeadBlocks,
                _ => false,
            };
            if blocks {
                blocked.extend(waits_for);
            }
        }
        due.sort_unstable();
        due.truncate(request.max);
        due
    }

    /// Returns the numbers and consumers of the entries that match.
    fn find(&self, filter: &Filter) -> Vec<(i64, String)> {
        let mut found = Vec::new();
        for (number, event) in &self.events {
            let stored = &event.event.event;
            let matches = event.endpoint == *filter.endpoint
                && *number > filter.after
                && filter.key.is_none_or(|key| key == stored.key)
                && (filter.event_type.is_none() || filter.event_type == stored.event_type)
                && (filter.namespace.is_none() || filter.namespace == stored.namespace);
            for (consumer, row) in event.entries.iter().filter(|_| matches) {
                if filter.consumer.as_ref().is_none_or(|wanted| wanted == consumer)
                    && filter.state.is_none_or(|state| state == row.state)
                {
                    found.push((*number, consumer.clone()));
                }
            }
        }
        found
    }
}

impl<C: Clock> MapInbox<C> {
    /// Returns an empty store.
    pub fn new(clock: C) -> Self {
        Self { clock, tables: Mutex::default() }
    }

    /// Calls `f` with the event of this number, if there is one.
    pub fn edit_one(&self, number: i64, f: impl FnOnce(&mut EventRow)) {
        self.tables.lock().unwrap().events.get_mut(&number).map(f);
    }

    /// Calls `f` with each event and its entries by consumer, to break the store on purpose.
    pub fn edit(&self, mut f: impl FnMut(&mut EventRow)) {
        self.tables.lock().unwrap().events.values_mut().for_each(&mut f);
    }
}

impl<C: Clock> InboxStore for MapInbox<C> {
    async fn insert(&self, intake: &Intake) -> Result<Vec<Inserted>, StoreError> {
        let (now, mut tables) = (self.clock.now(), self.tables.lock().unwrap());
        let stored = tables.events.values().filter(|row| row.endpoint == *intake.endpoint);
        let mut keys: HashSet<ClaimKey> = stored.map(|row| row.event.event.key).collect();
        let mut results = Vec::new();
        for event in &intake.events {
            if !keys.insert(event.event.key) {
                results.push(Inserted::Duplicate);
                continue;
            }
            let consumers = intake.consumers.iter();
            tables.last += 1;
            let number = tables.last;
            let row = EventRow {
                number,
                endpoint: intake.endpoint.to_string(),
                event: event.clone(),
                received_at: now,
                entries: consumers.map(|name| (name.to_string(), Row::new(now))).collect(),
            };
            tables.events.insert(number, row);
            results.push(Inserted::New);
        }
        Ok(results)
    }

    async fn lease(&self, request: &LeaseRequest) -> Result<Leased, StoreError> {
        let (now, mut tables) = (self.clock.now(), self.tables.lock().unwrap());
        let mut leased = Leased::default();
        for (_, number) in tables.due(request, now) {
            let event = tables.events.get_mut(&number).unwrap();
            let row = event.entries.get_mut(&*request.consumer).unwrap();
            let stored = event.event.event.clone();
            match row.lease(request.owner, request.lease, request.max_attempts, now) {
                Turn::Leased { attempt } => {
                    let retried_at_attempt = row.retried_at_attempt;
                    let mut new = LeasedEvent::new(number, attempt, event.received_at, stored);
                    new.retried_at_attempt = retried_at_attempt;
                    leased.events.push(new);
                }
                Turn::Exhausted => leased.exhausted.push((number, stored.key, row.attempts)),
                Turn::NotDue => {}
            }
        }
        Ok(leased)
    }

    async fn extend(
        &self,
        holders: &[EntryHolder],
        lease: Duration,
        _: Duration,
    ) -> Result<Vec<Extended>, StoreError> {
        let (now, mut tables) = (self.clock.now(), self.tables.lock().unwrap());
        let extend = |holder: &EntryHolder| {
            let event = tables.events.get(&holder.number);
            let has_key = event.is_some_and(|event| event.event.order_key.is_some());
            match tables.row(holder) {
                // Another entry with the key may run by now.
                Some(row) if has_key && row.is_due(now) => Extended::Lost,
                Some(row) => row.extend(holder.owner, lease, now),
                None => Extended::Lost,
            }
        };
        Ok(holders.iter().map(extend).collect())
    }

    async fn settle(
        &self,
        settlements: &[Settlement],
        _: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        let (now, mut tables) = (self.clock.now(), self.tables.lock().unwrap());
        let settle = |settlement: &Settlement| match tables.row(&settlement.holder) {
            Some(row) => row.settle(settlement.holder.owner, &settlement.verdict, now),
            None => Settled::Superseded,
        };
        Ok(settlements.iter().map(settle).collect())
    }

    async fn advance(&self, advance: &Advance, _: Duration) -> Result<bool, StoreError> {
        let Advance { endpoint, consumer, key, version, number, .. } = advance;
        let mut tables = self.tables.lock().unwrap();
        let place = (endpoint.to_string(), consumer.to_string(), key.clone());
        let new = (*version, *number);
        let known = *tables.versions.entry(place.clone()).or_insert(new);
        let is_recorded = known == new || known.0 < *version;
        if is_recorded {
            tables.versions.insert(place, new);
        }
        Ok(is_recorded)
    }

    async fn stats(&self, endpoint: &str) -> Result<Vec<Stats>, StoreError> {
        let (now, tables) = (self.clock.now(), self.tables.lock().unwrap());
        let mut all = BTreeMap::new();
        for event in tables.events.values().filter(|event| event.endpoint == endpoint) {
            for (consumer, row) in &event.entries {
                let mut stats = all.remove(consumer).unwrap_or_else(|| Stats::new(consumer));
                match row.state {
                    EntryState::Waiting => stats.waiting += 1,
                    EntryState::Running => stats.running += 1,
                    EntryState::Dead => stats.dead += 1,
                    _ => {}
                }
                if let EntryState::Waiting | EntryState::Running = row.state {
                    stats.oldest.get_or_insert(now.saturating_sub(event.received_at));
                }
                all.insert(consumer.clone(), stats);
            }
        }
        let used = |stats: &Stats| stats.waiting + stats.running + stats.dead > 0;
        Ok(all.into_values().filter(used).collect())
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
        let tables = self.tables.lock().unwrap();
        let mut entries = Vec::new();
        for (number, consumer) in tables.find(filter).into_iter().take(filter.limit) {
            let event = &tables.events[&number];
            let (row, stored) = (&event.entries[&consumer], event.event.event.clone());
            let mut entry = Entry::new(number, consumer, row.state, event.received_at, stored);
            entry.attempts = row.attempts;
            entry.due_at = row.due_at;
            entry.error = row.error.clone();
            entries.push(entry);
        }
        Ok(entries)
    }

    async fn change(&self, filter: &Filter, change: Change) -> Result<usize, StoreError> {
        let (now, mut tables) = (self.clock.now(), self.tables.lock().unwrap());
        let mut changed = 0;
        for (number, consumer) in tables.find(filter) {
            if changed == filter.limit {
                break;
            }
            let event = tables.events.get_mut(&number).unwrap();
            let row = event.entries.get_mut(&consumer).unwrap();
            changed += usize::from(row.change(change, now));
        }
        Ok(changed)
    }

    async fn purge_inbox(
        &self,
        endpoint: &str,
        retention: &Retention,
        max: usize,
    ) -> Result<usize, StoreError> {
        let (now, mut tables) = (self.clock.now(), self.tables.lock().unwrap());
        let Tables { events, versions, .. } = &mut *tables;
        let mut removed = 0;
        events.retain(|number, row| {
            let is_over = row.endpoint == endpoint
                && row.finished_at().is_some_and(|at| at + retention.bodies <= now);
            if !is_over || removed == max {
                return true;
            }
            let expired = row.received_at + row.event.ttl <= now;
            let body = std::mem::take(&mut row.event.event.body);
            removed += usize::from(expired || !body.is_empty());
            if expired {
                versions.retain(|_, (_, event)| event != number);
            }
            !expired
        });
        Ok(removed)
    }
}
