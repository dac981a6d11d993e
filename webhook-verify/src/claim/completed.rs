use std::{
    collections::HashMap,
    mem,
    sync::PoisonError,
    time::{Duration, Instant},
};

use super::{
    ClaimKey, Fingerprint, Keeper, StoreError,
    sync::{Mutex, MutexGuard},
};

const SHARDS: usize = 16;

/// Deliveries that are known to be completed, so that a storm of duplicates costs the store nothing.
///
/// A completed claim stays completed until it expires or is forgotten, so what is known of it holds for as long as it is
/// kept here, which is short; and a record that is pushed out costs a call of the store, and no more.
pub(crate) struct CompletedCache {
    shards: [Mutex<Shard>; SHARDS],
    /// How many entries one generation of a shard takes.
    room: usize,
    keep: Duration,
}

/// Two generations. When the younger is full, it becomes the older, which is dropped: so what is new stays longest, and
/// nothing has to be kept in order.
#[derive(Default)]
struct Shard {
    /// Rises when something is forgotten: what was asked of the store before that is not remembered after it.
    era: u64,
    younger: HashMap<ClaimKey, Entry>,
    older: HashMap<ClaimKey, Entry>,
}

struct Entry {
    known: Known,
    until: Instant,
}

/// What the cache says of a delivery.
pub(crate) enum Lookup {
    Known(Known),
    /// Nothing, and when it said so.
    Unknown(Era),
}

/// A time in which nothing is forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Era(u64);

/// What is known of a completed delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The handler's status.
    pub(crate) status: u16,
    /// The body that was completed.
    pub(crate) fingerprint: Fingerprint,
}

impl CompletedCache {
    /// Holds about `entries` of them at most, for `keep` each.
    pub(crate) fn new(entries: usize, keep: Duration) -> Self {
        Self { shards: Default::default(), room: (entries / SHARDS / 2).max(1), keep }
    }

    pub(crate) fn get(&self, key: &ClaimKey, now: Instant) -> Lookup {
        let shard = self.shard(key);
        let entry = shard.younger.get(key).or_else(|| shard.older.get(key));
        match entry.filter(|entry| now < entry.until) {
            Some(entry) => Lookup::Known(entry.known),
            None => Lookup::Unknown(Era(shard.era)),
        }
    }

    /// Takes note of what was found out after `era`, unless something was forgotten since.
    pub(crate) fn insert(&self, key: ClaimKey, known: Known, era: Era, now: Instant) {
        let Some(until) = now.checked_add(self.keep) else {
            return;
        };
        let mut shard = self.shard(&key);
        if shard.era != era.0 {
            return;
        }
        if shard.younger.len() >= self.room && !shard.younger.contains_key(&key) {
            shard.older = mem::take(&mut shard.younger);
        }
        shard.younger.insert(key, Entry { known, until });
    }

    pub(crate) fn remove(&self, key: &ClaimKey) {
        let mut shard = self.shard(key);
        shard.era += 1;
        shard.younger.remove(key);
        shard.older.remove(key);
    }

    /// Keys are digests, so any byte spreads them evenly.
    fn shard(&self, key: &ClaimKey) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[usize::from(key.as_bytes()[1]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    /// What is known of a delivery without asking the store.
    pub(crate) fn look_up(&self, key: &ClaimKey) -> Lookup {
        match &self.completed {
            Some(completed) => completed.get(key, Instant::now()),
            None => Lookup::Unknown(Era::default()),
        }
    }

    /// Takes note of what came of a delivery that was looked up in `era`.
    pub(crate) fn remember(&self, key: ClaimKey, known: Known, era: Era) {
        if let Some(completed) = &self.completed {
            completed.insert(key, known, era, Instant::now());
        }
    }

    pub(crate) async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        let forget_here = || {
            if let Some(completed) = &self.completed {
                completed.remove(key);
            }
        };
        // Before it, so that nobody takes note of an answer that the store gave before; after it, for those who asked
        // meanwhile.
        forget_here();
        let forgotten = self.store.forget(key).await;
        forget_here();
        forgotten
    }
}

#[cfg(all(test, loom))]
mod every_order {
    use std::sync::Arc;

    use loom::thread;

    use super::*;

    fn known(status: u16) -> Known {
        let fingerprint = Fingerprint([7; 32]);
        Known { status, fingerprint }
    }

    fn era(cache: &CompletedCache, key: &ClaimKey, now: Instant) -> Era {
        match cache.get(key, now) {
            Lookup::Known(_) => panic!("it was forgotten, or never there"),
            Lookup::Unknown(era) => era,
        }
    }

    /// One duplicate is looked up, the store says that it is completed, and that is taken note of; while somebody forgets
    /// the delivery, before and after the store does. In the end nobody knows of it, unless the store was asked after all that.
    #[test]
    fn of_asking_and_forgetting() {
        loom::model(|| {
            let cache = Arc::new(CompletedCache::new(SHARDS * 2, Duration::from_secs(60)));
            // What the store has.
            let completed = Arc::new(Mutex::new(true));
            let (key, now) = (ClaimKey::from([16; 32]), Instant::now());
            let asks = {
                let (cache, completed) = (Arc::clone(&cache), Arc::clone(&completed));
                thread::spawn(move || {
                    let Lookup::Unknown(era) = cache.get(&key, now) else {
                        panic!("nobody has taken note of it");
                    };
                    if *completed.lock().unwrap() {
                        cache.insert(key, known(201), era, now);
                    }
                })
            };
            let forgets = {
                let (cache, completed) = (Arc::clone(&cache), Arc::clone(&completed));
                thread::spawn(move || {
                    cache.remove(&key);
                    *completed.lock().unwrap() = false;
                    cache.remove(&key);
                })
            };
            asks.join().unwrap();
            forgets.join().unwrap();
            era(&cache, &key, now);
        });
    }

    /// Two deliveries in one shard with room for one: nobody is told of the other, and what came last is there.
    #[test]
    fn of_two_that_are_inserted() {
        loom::model(|| {
            let cache = Arc::new(CompletedCache::new(SHARDS * 2, Duration::from_secs(60)));
            let now = Instant::now();
            let keys =
                [(16, 201), (32, 202)].map(|(byte, status)| (ClaimKey::from([byte; 32]), status));
            let threads = keys.map(|(key, status)| {
                let cache = Arc::clone(&cache);
                thread::spawn(move || {
                    let era = era(&cache, &key, now);
                    cache.insert(key, known(status), era, now);
                })
            });
            for thread in threads {
                thread.join().unwrap();
            }
            for (key, status) in keys {
                let Lookup::Known(found) = cache.get(&key, now) else {
                    panic!("two generations hold both");
                };
                assert_eq!(found.status, status);
            }
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn key(number: u32) -> ClaimKey {
        let mut bytes = [0; 32];
        bytes[1..5].copy_from_slice(&number.to_le_bytes());
        ClaimKey::from(bytes)
    }

    fn status(cache: &CompletedCache, key: &ClaimKey, now: Instant) -> Option<u16> {
        match cache.get(key, now) {
            Lookup::Known(known) => Some(known.status),
            Lookup::Unknown(_) => None,
        }
    }

    fn insert(cache: &CompletedCache, key: ClaimKey, status: u16, now: Instant) {
        let era = match cache.get(&key, now) {
            Lookup::Known(_) => Era(cache.shard(&key).era),
            Lookup::Unknown(era) => era,
        };
        let fingerprint = Fingerprint([7; 32]);
        let known = Known { status, fingerprint };
        cache.insert(key, known, era, now);
    }

    #[test]
    fn is_known_for_its_time() {
        let (cache, now) = (CompletedCache::new(10, MINUTE), Instant::now());
        insert(&cache, key(1), 201, now);
        let late = now + MINUTE;
        let before = late - Duration::from_nanos(1);
        assert_eq!(status(&cache, &key(1), before), Some(201));
        assert_eq!(status(&cache, &key(1), late), None);
        assert_eq!(status(&cache, &key(2), now), None);
    }

    #[test]
    fn is_forgotten_in_both_generations() {
        let (cache, now) = (CompletedCache::new(SHARDS * 2, MINUTE), Instant::now());
        insert(&cache, key(1), 200, now);
        // in the same shard
        insert(&cache, key(1 + SHARDS as u32), 200, now);
        assert_eq!(status(&cache, &key(1), now), Some(200), "the older");
        insert(&cache, key(1), 201, now);
        assert_eq!(status(&cache, &key(1), now), Some(201), "the younger");
        cache.remove(&key(1));
        assert_eq!(status(&cache, &key(1), now), None);
    }

    #[test]
    fn is_bounded_and_keeps_what_is_new() {
        let (cache, now) = (CompletedCache::new(1000, MINUTE), Instant::now());
        for number in 0..100_000 {
            insert(&cache, key(number), 200, now);
        }
        let held = |number: &u32| status(&cache, &key(*number), now).is_some();
        assert!((99_900..100_000).all(|number| held(&number)));
        assert!((400..=1000).contains(&(0..100_000).filter(held).count()));
    }
}
