use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, hash_map::Entry},
    fmt,
    sync::PoisonError,
    time::Duration,
};

use super::{
    ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, Settled, Step, StoreError,
    record::Record,
    sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering},
};
use crate::clock::{Clock, MonotonicClock};

const SHARDS: usize = 16;

/// How many records are cleared away without letting go of their shard.
const PURGE_STEP: usize = 1000;

/// Claims in the memory of **one process, lost on restart**: for development, tests, and services of which one
/// instance runs and whose senders' retries may run again after a restart.
///
/// It holds at most [`capacity`](Self::with_capacity) records, 100,000 unless told otherwise. When it is full, the
/// ones that expire first make room (a retry of theirs would run again), and a warning is logged. A delivery that is
/// being handled is never dropped: when there are none but those, new ones are answered 503.
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
    /// When each record was to expire when last looked at. It may live longer by now.
    expiries: BinaryHeap<Reverse<(Duration, ClaimKey)>>,
}

impl MemoryStore {
    /// A store for 100,000 records.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(100_000)
    }

    /// A store for `capacity` records, and for one at least. Nothing is allocated before it is needed.
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

    /// Leases and lifetimes by another clock, for tests.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Box::new(clock), ..self }
    }

    /// How many records are held, expired ones included that were not yet cleared away.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &ClaimKey) -> MutexGuard<'_, Shard> {
        lock(&self.shards[Self::shard_of(key)])
    }

    /// Keys are digests, so any byte spreads them evenly.
    fn shard_of(key: &ClaimKey) -> usize {
        usize::from(key.as_bytes()[0]) % SHARDS
    }

    /// Takes a place for one more record.
    fn reserve(&self) -> bool {
        self.len
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |len| {
                (len < self.capacity).then_some(len + 1)
            })
            .is_ok()
    }

    fn purge_shard(&self, shard: &mut Shard, now: Duration, most: usize) -> usize {
        let before = shard.records.len();
        shard.purge(now, most);
        let purged = before - shard.records.len();
        self.len.fetch_sub(purged, Ordering::Relaxed);
        purged
    }

    /// Clears away at most `most` of what has expired, in steps: claims of a shard wait for each.
    fn clear_away(&self, now: Duration, most: usize) -> usize {
        let mut cleared = 0;
        for shard in &self.shards {
            loop {
                let step = PURGE_STEP.min(most - cleared);
                let purged = self.purge_shard(&mut lock(shard), now, step);
                cleared += purged;
                if purged < PURGE_STEP {
                    break;
                }
            }
        }
        cleared
    }

    /// Makes room for `key`, once the store is full: of what has expired, or else of a record without a live lease.
    fn make_room(&self, key: &ClaimKey, now: Duration) {
        self.clear_away(now, usize::MAX);
        if self.len() < self.capacity {
            return;
        }
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "webhook_verify",
                capacity = self.capacity,
                "memory store is full: it forgets deliveries before their time"
            );
        }
        // The shard of the key first: which one that is, is as good as random.
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
        // A little at each claim keeps the expired from piling up, and no claim waits for all of them.
        self.purge_shard(&mut shard, now, 4);
        if !shard.records.contains_key(&request.key) && !self.reserve() {
            drop(shard);
            self.make_room(&request.key, now);
            shard = self.shard(&request.key);
            if !shard.records.contains_key(&request.key) && !self.reserve() {
                return Err(StoreError::new(format!(
                    "memory store is full: {} deliveries are being handled",
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
    /// Clears away at most `most` expired records.
    fn purge(&mut self, now: Duration, most: usize) {
        for _ in 0..most {
            match self.expiries.peek() {
                Some(Reverse((at, _))) if *at <= now => {}
                _ => return,
            }
            let Some(Reverse((_, key))) = self.expiries.pop() else {
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

    /// Lets go of what is noted of keys that were forgotten, once it is more than what is noted of others.
    fn tidy(&mut self) {
        if self.expiries.len() > 2 * self.records.len() + 64 {
            let expiries = self.records.iter();
            self.expiries =
                expiries.map(|(key, record)| Reverse((record.expires_at, *key))).collect();
        }
    }

    /// Forgets the record that expires first, of those that nobody holds a lease on. False if there is none.
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
            outcomes.push(
                outcome.map_err(
                    |error| {
                        if outcomes.is_empty() { error } else { error.in_part() }
                    },
                )?,
            );
        }
        Ok(outcomes)
    }

    async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
        let settled = holders.iter().map(|holder| self.settle_now(holder, step));
        Ok(settled.collect())
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
        Ok(self.clear_away(self.clock.now(), max))
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
