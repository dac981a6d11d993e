use std::{
    collections::HashMap,
    mem,
    sync::PoisonError,
    time::{Duration, Instant},
};

use super::{ClaimKey, Fingerprint, Idempotency, StoreError};
use crate::sync::{Mutex, MutexGuard};

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
    younger: HashMap<ClaimKey, Entry>,
    older: HashMap<ClaimKey, Entry>,
}

struct Entry {
    known: Known,
    until: Instant,
}

/// What is known of a completed delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The handler's status.
    pub(crate) status: u16,
    /// The body that was completed.
    pub(crate) fingerprint: Fingerprint,
}

impl CompletedCache {
    /// Holds about `entries` of them, and never more, for `keep` each.
    pub(crate) fn new(entries: usize, keep: Duration) -> Self {
        Self {
            shards: Default::default(),
            room: (entries / SHARDS / 2).max(1),
            keep,
        }
    }

    pub(crate) fn get(&self, key: &ClaimKey, now: Instant) -> Option<Known> {
        let shard = self.shard(key);
        let entry = shard.younger.get(key).or_else(|| shard.older.get(key))?;
        (now < entry.until).then_some(entry.known)
    }

    pub(crate) fn insert(&self, key: ClaimKey, known: Known, now: Instant) {
        let Some(until) = now.checked_add(self.keep) else {
            return;
        };
        let mut shard = self.shard(&key);
        if shard.younger.len() >= self.room && !shard.younger.contains_key(&key) {
            shard.older = mem::take(&mut shard.younger);
        }
        shard.younger.insert(key, Entry { known, until });
    }

    pub(crate) fn remove(&self, key: &ClaimKey) {
        let mut shard = self.shard(key);
        shard.younger.remove(key);
        shard.older.remove(key);
    }

    /// Keys are digests, so any byte spreads them evenly.
    fn shard(&self, key: &ClaimKey) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[usize::from(key.as_bytes()[1]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idempotency {
    /// What is known of a completed delivery without asking the store.
    pub(crate) fn known(&self, key: &ClaimKey) -> Option<Known> {
        self.completed.as_ref()?.get(key, Instant::now())
    }

    pub(crate) fn remember(&self, key: ClaimKey, known: Known) {
        if let Some(completed) = &self.completed {
            completed.insert(key, known, Instant::now());
        }
    }

    pub(crate) async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        let forgotten = self.store.forget(key).await;
        if let Some(completed) = &self.completed {
            completed.remove(key);
        }
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
        Known {
            status,
            fingerprint,
        }
    }

    /// Of two that are inserted into one shard with room for one, while one of them is forgotten and both are asked for:
    /// nobody is told of the other, what is forgotten last stays so, and what came last is there.
    #[test]
    fn of_insert_remove_and_get() {
        loom::model(|| {
            let cache = Arc::new(CompletedCache::new(SHARDS * 2, Duration::from_secs(60)));
            let [one, other] = [1, 2].map(|byte| ClaimKey::from([byte * 16; 32]));
            let now = Instant::now();
            let spawn = |act: fn(&CompletedCache, ClaimKey, ClaimKey, Instant)| {
                let cache = Arc::clone(&cache);
                thread::spawn(move || act(&cache, one, other, now))
            };
            let threads = [
                spawn(|cache, one, _, now| {
                    cache.insert(one, known(201), now);
                    cache.remove(&one);
                    assert_eq!(cache.get(&one, now), None);
                }),
                spawn(|cache, one, other, now| {
                    cache.insert(other, known(202), now);
                    assert_eq!(cache.get(&other, now), Some(known(202)));
                    assert!(cache.get(&one, now).is_none_or(|known| known.status == 201));
                }),
            ];
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(cache.get(&one, now), None);
            assert_eq!(cache.get(&other, now), Some(known(202)));
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

    fn known(status: u16) -> Known {
        Known {
            status,
            fingerprint: Fingerprint([7; 32]),
        }
    }

    #[test]
    fn is_known_for_its_time() {
        let (cache, now) = (CompletedCache::new(10, MINUTE), Instant::now());
        cache.insert(key(1), known(201), now);
        let late = now + MINUTE;
        assert_eq!(
            cache.get(&key(1), late - Duration::from_nanos(1)),
            Some(known(201))
        );
        assert_eq!(cache.get(&key(1), late), None);
        assert_eq!(cache.get(&key(2), now), None);
    }

    #[test]
    fn is_forgotten_in_both_generations() {
        let (cache, now) = (CompletedCache::new(SHARDS * 2, MINUTE), Instant::now());
        cache.insert(key(1), known(200), now);
        // in the same shard
        cache.insert(key(1 + SHARDS as u32), known(200), now);
        assert_eq!(cache.get(&key(1), now), Some(known(200)), "the older");
        cache.insert(key(1), known(201), now);
        assert_eq!(cache.get(&key(1), now), Some(known(201)), "the younger");
        cache.remove(&key(1));
        assert_eq!(cache.get(&key(1), now), None);
    }

    #[test]
    fn is_bounded_and_keeps_what_is_new() {
        let (cache, now) = (CompletedCache::new(1000, MINUTE), Instant::now());
        for number in 0..100_000 {
            cache.insert(key(number), known(200), now);
        }
        let held = |number: &u32| cache.get(&key(*number), now).is_some();
        assert!((99_900..100_000).all(|number| held(&number)));
        assert!((400..=1000).contains(&(0..100_000).filter(held).count()));
    }
}
