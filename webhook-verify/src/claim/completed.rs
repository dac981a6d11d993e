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

/// Caches completed claims in memory, so that many duplicates at once need no calls to the store.
///
/// A completed claim stays completed until it expires or is forgotten, so an entry is valid for the
/// short time that it is kept. If an entry is dropped early, the next duplicate costs one call.
pub(crate) struct CompletedCache {
    shards: [Mutex<Shard>; SHARDS],
    /// The maximum number of entries in one generation of a shard.
    capacity: usize,
    keep: Duration,
}

/// Two generations of entries. When the younger is full, it replaces the older. So the newest
/// entries stay longest, and no order has to be maintained.
#[derive(Default)]
struct Shard {
    /// Incremented when a key is forgotten. Results that the store returned for a call before that
    /// are not cached after it.
    era: u64,
    younger: HashMap<ClaimKey, Entry>,
    older: HashMap<ClaimKey, Entry>,
}

struct Entry {
    known: Known,
    until: Instant,
}

/// The result of a look-up in the cache.
pub(crate) enum Lookup {
    Known(Known),
    /// No entry, and the era of the look-up.
    Unknown(Era),
}

/// A period during which no key is forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Era(u64);

/// The cached facts about a completed delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The handler's status.
    pub(crate) status: u16,
    /// The body that was completed.
    pub(crate) fingerprint: Fingerprint,
}

impl CompletedCache {
    /// Returns a cache of up to about `entries` entries, each of which is kept for `keep`.
    pub(crate) fn new(entries: usize, keep: Duration) -> Self {
        Self { shards: Default::default(), capacity: (entries / SHARDS / 2).max(1), keep }
    }

    pub(crate) fn get(&self, key: &ClaimKey, now: Instant) -> Lookup {
        let shard = self.shard(key);
        let entry = shard.younger.get(key).or_else(|| shard.older.get(key));
        match entry.filter(|entry| now < entry.until) {
            Some(entry) => Lookup::Known(entry.known),
            None => Lookup::Unknown(Era(shard.era)),
        }
    }

    /// Adds an entry that is the result of a look-up in `era`, unless a key was forgotten since.
    pub(crate) fn insert(&self, key: ClaimKey, known: Known, era: Era, now: Instant) {
        let Some(until) = now.checked_add(self.keep) else {
            return;
        };
        let mut shard = self.shard(&key);
        if shard.era != era.0 {
            return;
        }
        if shard.younger.len() >= self.capacity && !shard.younger.contains_key(&key) {
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

    /// Returns the key's shard. Keys are digests, so any byte distributes them evenly.
    fn shard(&self, key: &ClaimKey) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[usize::from(key.as_bytes()[1]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    /// Looks a delivery up in the cache.
    pub(crate) fn look_up(&self, key: &ClaimKey) -> Lookup {
        match &self.completed {
            Some(completed) => completed.get(key, Instant::now()),
            None => Lookup::Unknown(Era::default()),
        }
    }

    /// Caches the outcome of a delivery that was looked up in `era`.
    pub(crate) fn remember(&self, key: ClaimKey, known: Known, era: Era) {
        if let Some(completed) = &self.completed {
            completed.insert(key, known, era, Instant::now());
        }
    }

    pub(crate) async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        let forget_here = || self.completed.iter().for_each(|completed| completed.remove(key));
        // Before the call, so that results from before it are not cached. After it, so that results
        // from during the call are not cached either.
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
            Lookup::Known(_) => panic!("the entry was forgotten, or never inserted"),
            Lookup::Unknown(era) => era,
        }
    }

    /// One thread looks a key up, reads from the store that it is completed, and caches that.
    /// Another forgets the key in the cache, in the store, and in the cache again. In every order,
    /// the cache has no entry in the end.
    #[test]
    fn of_look_up_and_forget() {
        loom::model(|| {
            let cache = Arc::new(CompletedCache::new(SHARDS * 2, Duration::from_secs(60)));
            // The store's record.
            let completed = Arc::new(Mutex::new(true));
            let (key, now) = (ClaimKey::from([16; 32]), Instant::now());
            let inserts = {
                let (cache, completed) = (Arc::clone(&cache), Arc::clone(&completed));
                thread::spawn(move || {
                    let Lookup::Unknown(era) = cache.get(&key, now) else {
                        panic!("nothing is cached yet");
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
            inserts.join().unwrap();
            forgets.join().unwrap();
            era(&cache, &key, now);
        });
    }

    /// Two keys in one shard whose generations have one entry each do not mix, and both stay.
    #[test]
    fn of_two_insertions() {
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
    fn an_entry_is_kept_for_its_time() {
        let (cache, now) = (CompletedCache::new(10, MINUTE), Instant::now());
        insert(&cache, key(1), 201, now);
        let late = now + MINUTE;
        let before = late - Duration::from_nanos(1);
        assert_eq!(status(&cache, &key(1), before), Some(201));
        assert_eq!(status(&cache, &key(1), late), None);
        assert_eq!(status(&cache, &key(2), now), None);
    }

    #[test]
    fn both_generations_forget() {
        let (cache, now) = (CompletedCache::new(SHARDS * 2, MINUTE), Instant::now());
        insert(&cache, key(1), 200, now);
        // A key in the same shard.
        insert(&cache, key(1 + SHARDS as u32), 200, now);
        assert_eq!(status(&cache, &key(1), now), Some(200), "the older");
        insert(&cache, key(1), 201, now);
        assert_eq!(status(&cache, &key(1), now), Some(201), "the younger");
        cache.remove(&key(1));
        assert_eq!(status(&cache, &key(1), now), None);
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_the_newest() {
        let (cache, now) = (CompletedCache::new(1000, MINUTE), Instant::now());
        for number in 0..100_000 {
            insert(&cache, key(number), 200, now);
        }
        let cached = |number: &u32| status(&cache, &key(*number), now).is_some();
        assert!((99_900..100_000).all(|number| cached(&number)));
        assert!((400..=1000).contains(&(0..100_000).filter(cached).count()));
    }
}
