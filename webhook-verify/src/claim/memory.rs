use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, hash_map::Entry},
    fmt,
    sync::PoisonError,
    time::Duration,
};

use super::{
    ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, Settled, Step, StoreError,
    StoredResponse,
    record::Record,
    sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering},
};
use crate::clock::{Clock, MonotonicClock};

const SHARDS: usize = 16;

/// The maximum number of records that are purged under one lock of their shard.
const PURGE_STEP: usize = 1000;

/// Keeps claims in the memory of **one process; they are lost on restart**. Use it for development
/// and tests, and for a service with a single instance that may run deliveries again after a
/// restart.
///
/// The store has at most [`capacity`](Self::with_capacity) records; the default is 100,000. When it
/// is full and no record has expired, it drops the record that expires first in one of its 16
/// shards, and logs a warning once. A retry of that delivery would run again. It never drops a
/// delivery in progress: if all records are in progress, new claims fail, and their senders get
/// 503.
///
/// With [`Replay::Body`](crate::idempotency::Replay::Body), each record also holds the handler's
/// response, up to its limit. Choose the capacity accordingly.
pub struct MemoryStore {
    shards: [Mutex<Shard>; SHARDS],
    capacity: usize,
    len: AtomicUsize,
    warned: AtomicBool,
    clock: Box<dyn Clock>,
}

#[derive(Default)]
struct Shard {
    records: HashMap<ClaimKey, Record>,
    /// When each record was to expire at the last check. By now it may expire later.
    expiries: BinaryHeap<Reverse<(Duration, ClaimKey)>>,
}

impl MemoryStore {
    /// Returns a store for 100,000 records.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(100_000)
    }

    /// Returns a store for `capacity` records, at least one. It allocates memory only as needed.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            shards: Default::default(),
            capacity: capacity.max(1),
            len: AtomicUsize::new(0),
            warned: AtomicBool::new(false),
            clock: Box::new(MonotonicClock::default()),
        }
    }

    /// Uses another clock for leases and lifetimes, for tests.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Box::new(clock), ..self }
    }

    /// Returns the number of records, including expired ones that are not yet purged.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Returns whether the store has no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &ClaimKey) -> MutexGuard<'_, Shard> {
        lock(&self.shards[Self::shard_of(key)])
    }

    /// Returns the index of the key's shard. Keys are digests, so any byte distributes them evenly.
    fn shard_of(key: &ClaimKey) -> usize {
        usize::from(key.as_bytes()[0]) % SHARDS
    }

    /// Counts one more record. Returns `false` if the store is full.
    fn reserve(&self) -> bool {
        self.len
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |len| {
                (len < self.capacity).then_some(len + 1)
            })
            .is_ok()
    }

    fn purge_shard(&self, shard: &mut Shard, now: Duration, max: usize) -> usize {
        let before = shard.records.len();
        shard.purge(now, max);
        let purged = before - shard.records.len();
        self.len.fetch_sub(purged, Ordering::Relaxed);
        purged
    }

    /// Deletes up to `max` expired records and returns how many were deleted. Works in steps,
    /// because the claims of a shard wait for each step.
    fn purge_all(&self, now: Duration, max: usize) -> usize {
        let mut total = 0;
        for shard in &self.shards {
            loop {
                let step = PURGE_STEP.min(max - total);
                let purged = self.purge_shard(&mut lock(shard), now, step);
                total += purged;
                if purged < PURGE_STEP {
                    break;
                }
            }
        }
        total
    }

    /// Makes room for `key` in a full store: drops expired records, or else one without a live
    /// lease.
    fn make_room(&self, key: &ClaimKey, now: Duration) {
        self.purge_all(now, usize::MAX);
        if self.len() < self.capacity {
            return;
        }
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "webhook_verify",
                capacity = self.capacity,
                "memory store is full: it drops records before they expire"
            );
        }
        // Start with the key's shard, which is as good as random.
        let first = Self::shard_of(key);
        for index in (0..SHARDS).map(|n| (first + n) % SHARDS) {
            if lock(&self.shards[index]).forget_one(now) {
                self.len.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        }
    }

    fn claim_now(&self, request: &ClaimRequest) -> Result<ClaimOutcome, StoreError> {
        let now = self.clock.now();
        let mut shard = self.shard(&request.key);
        // Purge a few records at each claim, so that none accumulate and no claim waits for many.
        self.purge_shard(&mut shard, now, 4);
        if !shard.records.contains_key(&request.key) && !self.reserve() {
            drop(shard);
            self.make_room(&request.key, now);
            shard = self.shard(&request.key);
            if !shard.records.contains_key(&request.key) && !self.reserve() {
                return Err(StoreError::new(format!(
                    "memory store is full: {} deliveries are in progress",
                    self.capacity
                )));
            }
        }
        let Shard { records, expiries } = &mut *shard;
        match records.entry(request.key) {
            Entry::Vacant(vacant) => {
                let record = vacant.insert(Record::new(request, now));
                expiries.push(Reverse((record.expires_at, request.key)));
                Ok(ClaimOutcome::Won { attempt: record.attempt })
            }
            Entry::Occupied(mut occupied) => Ok(occupied.get_mut().claim(request, now)),
        }
    }

    /// Takes a holder's step with its record, if there is one.
    fn settle_now(&self, holder: &Holder, step: Step) -> Settled {
        let now = self.clock.now();
        let mut shard = self.shard(&holder.key);
        let Some(record) = shard.records.get_mut(&holder.key) else {
            return Settled::Superseded;
        };
        match step {
            Step::Complete { status, ttl } => record.complete(holder, status, ttl, now),
            Step::Release => record.release(holder),
            Step::Extend { lease } => record.extend(holder, lease, now),
        }
    }
}

impl Shard {
    /// Checks up to `max` records that may have expired, and deletes those that have.
    fn purge(&mut self, now: Duration, max: usize) {
        for _ in 0..max {
            let is_due = self.expiries.peek().is_some_and(|Reverse((at, _))| *at <= now);
            let Some(Reverse((_, key))) = is_due.then(|| self.expiries.pop()).flatten() else {
                return;
            };
            match self.records.get(&key).map(|record| record.expires_at) {
                Some(expires_at) if expires_at > now => {
                    self.expiries.push(Reverse((expires_at, key)))
                }
                Some(_) => {
                    self.records.remove(&key);
                }
                None => {}
            }
        }
    }

    /// Drops the expiries of forgotten keys, once they outnumber those of the records.
    fn tidy(&mut self) {
        if self.expiries.len() > 2 * self.records.len() + 64 {
            let expiries = self.records.iter();
            self.expiries =
                expiries.map(|(key, record)| Reverse((record.expires_at, *key))).collect();
        }
    }

    /// Drops the record that expires first among those without a live lease. Returns `false` if
    /// there is none.
    fn forget_one(&mut self, now: Duration) -> bool {
        let mut held = Vec::new();
        let mut forgotten = false;
        while let Some(Reverse((at, key))) = self.expiries.pop() {
            match self.records.get(&key) {
                Some(record) if record.is_held(now) => held.push(Reverse((at, key))),
                Some(_) => {
                    self.records.remove(&key);
                    forgotten = true;
                    break;
                }
                None => {}
            }
        }
        self.expiries.extend(held);
        forgotten
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClaimStore for MemoryStore {
    fn is_in_process(&self) -> bool {
        true
    }

    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        let mut outcomes = Vec::with_capacity(requests.len());
        for request in requests {
            let outcome = self.claim_now(request);
            let in_part =
                |error: StoreError| if outcomes.is_empty() { error } else { error.in_part() };
            outcomes.push(outcome.map_err(in_part)?);
        }
        Ok(outcomes)
    }

    async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
        let settled = holders.iter().map(|holder| self.settle_now(holder, step));
        Ok(settled.collect())
    }

    async fn complete_with(
        &self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
        response: &StoredResponse,
    ) -> Result<Settled, StoreError> {
        let now = self.clock.now();
        let mut shard = self.shard(&holder.key);
        let Some(record) = shard.records.get_mut(&holder.key) else {
            return Ok(Settled::Superseded);
        };
        let settled = record.complete(holder, status, ttl, now);
        record.respond(holder, response);
        Ok(settled)
    }

    async fn response(
        &self,
        key: &ClaimKey,
        _: Duration,
    ) -> Result<Option<StoredResponse>, StoreError> {
        let now = self.clock.now();
        Ok(self.shard(key).records.get(key).and_then(|record| record.response(now)))
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        let was_there = {
            let mut shard = self.shard(key);
            let was_there = shard.records.remove(key).is_some();
            shard.tidy();
            was_there
        };
        if was_there {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(was_there)
    }

    async fn purge(&self, max: usize) -> Result<usize, StoreError> {
        Ok(self.purge_all(self.clock.now(), max))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}
