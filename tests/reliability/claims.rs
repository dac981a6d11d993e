//! Claims of every store, by the store's own clock.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use integration_tests::{
    AnyStore, Calls as _, HandClock, Kind, Place, STORES, again, fresh, is_shut_out, soon, won,
};
use tokio::{task::JoinSet, time::sleep};
use webhook_verify::{
    MemoryStore,
    idempotency::{ClaimOutcome, ClaimRequest, ClaimStore, Settled},
};

use crate::rig::MS;

const HOUR: Duration = Duration::from_secs(3600);

async fn is_busy(store: &impl ClaimStore, request: &ClaimRequest) {
    let outcome = store.claim_one(&again(request)).await.unwrap();
    assert!(matches!(outcome, ClaimOutcome::Busy { .. }), "{outcome:?}");
}

async fn is_completed(store: &impl ClaimStore, request: &ClaimRequest, by: u16) {
    let outcome = store.claim_one(&again(request)).await.unwrap();
    assert!(
        matches!(outcome, ClaimOutcome::Completed { status, .. } if status == by),
        "{outcome:?}"
    );
}

/// Runs a test on each store, without a framework.
async fn each_store(test: impl AsyncFn(&Place, AnyStore)) {
    integration_tests::each_store(&STORES, async |place| test(place, place.open().await).await)
        .await;
}

/// B6: the lease of A expires, B takes over and releases, C claims. Neither A nor B changes the
/// claim of C.
#[tokio::test]
async fn b06_old_holders_after_a_release() {
    each_store(async |place, store| {
        let a = fresh(HOUR, 24 * HOUR);
        assert_eq!(store.claim_one(&a).await.unwrap(), won(1));
        place.age(HOUR).await;
        let (b, c) = (again(&a), again(&a));
        assert_eq!(store.claim_one(&b).await.unwrap(), won(2));
        let released = store.release(&b.holder()).await.unwrap();
        assert_eq!(released, Settled::Applied);
        is_shut_out(&store, &a).await;
        assert_eq!(store.claim_one(&c).await.unwrap(), won(3));
        is_shut_out(&store, &a).await;
        is_shut_out(&store, &b).await;
        is_busy(&store, &a).await;
        let completed = store.complete(&c.holder(), 200, HOUR).await.unwrap();
        assert_eq!(completed, Settled::Applied);
        is_shut_out(&store, &a).await;
        is_completed(&store, &a, 200).await;
    })
    .await;
}

/// B22: a lease has expired and nobody took over: a late completion or renewal counts.
#[tokio::test]
async fn b22_a_late_complete() {
    each_store(async |place, store| {
        let a = fresh(HOUR, 24 * HOUR);
        assert_eq!(store.claim_one(&a).await.unwrap(), won(1));
        place.age(HOUR).await;
        let completed = store.complete(&a.holder(), 201, HOUR).await.unwrap();
        assert_eq!(completed, Settled::Applied);
        is_completed(&store, &a, 201).await;

        let b = fresh(HOUR, 24 * HOUR);
        assert_eq!(store.claim_one(&b).await.unwrap(), won(1));
        place.age(HOUR).await;
        let extended = store.extend(&b.holder(), HOUR).await.unwrap();
        assert_eq!(extended, Settled::Applied);
        is_busy(&store, &b).await;
    })
    .await;
}

/// B24: a repeated call changes nothing.
#[tokio::test]
async fn b24_calls_that_are_repeated() {
    each_store(async |_, store| {
        let (a, b) = (fresh(HOUR, HOUR), fresh(HOUR, HOUR));
        for _ in 0..2 {
            assert_eq!(store.claim_one(&a).await.unwrap(), won(1));
            assert_eq!(store.claim_one(&b).await.unwrap(), won(1));
        }
        for status in [201, 202] {
            let completed = store.complete(&a.holder(), status, HOUR).await.unwrap();
            assert_eq!(completed, Settled::Applied);
            let released = store.release(&b.holder()).await.unwrap();
            assert_eq!(released, Settled::Applied);
        }
        // A completed claim stays completed, and a released one is not renewed.
        assert_eq!(store.release(&a.holder()).await.unwrap(), Settled::Superseded);
        for holder in [a.holder(), b.holder()] {
            let extended = store.extend(&holder, HOUR).await.unwrap();
            assert_eq!(extended, Settled::Superseded);
        }
        is_completed(&store, &a, 201).await;
        assert_eq!(store.claim_one(&again(&b)).await.unwrap(), won(2));
        is_shut_out(&store, &b).await;
        // A key that was never claimed has no holder.
        is_shut_out(&store, &fresh(HOUR, HOUR)).await;
    })
    .await;
}

/// A grant of a claim, between these two moments.
#[derive(Clone, Copy, Debug)]
struct Grant {
    attempt: u64,
    sent: Instant,
    told: Instant,
}

/// B21: claims at the edge of leases and lives, during purges. Two grants of a key are at least a
/// lease apart, from before the first claim was sent until after the second outcome arrived.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b21_never_two_owners_at_the_edge() {
    const LEASE: Duration = Duration::from_millis(20);
    each_store(async |place, store| {
        for ttl in [LEASE, HOUR] {
            let keys: Vec<_> = (0..4).map(|_| fresh(LEASE, ttl)).collect();
            let grants = Arc::new(Mutex::new(BTreeMap::<_, Vec<Grant>>::new()));
            let over = Arc::new(AtomicBool::new(false));
            let mut tasks = JoinSet::new();
            for number in 0..8 {
                let (store, grants, over) = (store.clone(), Arc::clone(&grants), Arc::clone(&over));
                let key = keys[number % 4].clone();
                tasks.spawn(async move {
                    while !over.load(SeqCst) {
                        let sent = Instant::now();
                        let outcome = store.claim_one(&again(&key)).await;
                        if let Ok(ClaimOutcome::Won { attempt }) = outcome {
                            let grant = Grant { attempt, sent, told: Instant::now() };
                            let mut grants = grants.lock().unwrap();
                            grants.entry(key.key).or_default().push(grant);
                        }
                        tokio::task::yield_now().await;
                    }
                });
            }
            // Redis deletes expired records itself, and does not count them.
            let purges = ttl == LEASE && place.kind != Kind::Redis;
            let contested = || {
                let grants = grants.lock().unwrap();
                grants.len() == 4 && grants.values().all(|grants| grants.len() > 10)
            };
            let purging = async {
                let mut purged = 0;
                while !contested() || purges && purged == 0 {
                    purged += store.purge(10).await.unwrap_or(0);
                    sleep(MS).await;
                }
            };
            soon("purge, and ten grants of each key", purging).await;
            over.store(true, SeqCst);
            tasks.join_all().await;
            let grants = std::mem::take(&mut *grants.lock().unwrap());
            for grants in grants.into_values() {
                for (number, one) in grants.iter().enumerate() {
                    for other in &grants[..number] {
                        // Either may have been granted first, and stores count whole milliseconds.
                        let apart = one.told.max(other.told) - one.sent.min(other.sent);
                        assert!(apart >= LEASE - MS, "{:?}: {one:?}, {other:?}", place.kind);
                        let expires = ttl == LEASE;
                        assert!(expires || one.attempt != other.attempt, "{one:?}, {other:?}");
                    }
                }
            }
        }
    })
    .await;
}

/// C8: the store's clock jumps an hour back or ahead. A lease ends late or early, the old holder's
/// calls change nothing, the fencing token rises, and what is completed stays so.
#[tokio::test]
async fn c08_a_clock_that_jumps() {
    each_store(async |place, store| {
        let clock = HandClock::new();
        let store = match store {
            AnyStore::Memory(_) => {
                AnyStore::Memory(Arc::new(MemoryStore::new().clock(clock.clone())))
            }
            AnyStore::Sqlite(store) => AnyStore::Sqlite(store.clock(clock.clone())),
            other => other,
        };
        let (held, done) = (fresh(HOUR / 2, 24 * HOUR), fresh(HOUR, 24 * HOUR));
        assert_eq!(store.claim_one(&held).await.unwrap(), won(1));
        assert_eq!(store.claim_one(&done).await.unwrap(), won(1));
        let completed = store.complete(&done.holder(), 200, 24 * HOUR).await;
        assert_eq!(completed.unwrap(), Settled::Applied);

        jump(place, &clock, false).await;
        is_busy(&store, &held).await;
        is_completed(&store, &done, 200).await;
        let extended = store.extend(&held.holder(), HOUR / 2).await.unwrap();
        assert_eq!(extended, Settled::Applied);

        jump(place, &clock, true).await;
        let next = again(&held);
        assert_eq!(store.claim_one(&next).await.unwrap(), won(2));
        is_shut_out(&store, &held).await;
        is_busy(&store, &held).await;
        is_completed(&store, &done, 200).await;

        jump(place, &clock, false).await;
        is_busy(&store, &held).await;
        let completed = store.complete(&next.holder(), 201, HOUR).await.unwrap();
        assert_eq!(completed, Settled::Applied);
        is_completed(&store, &held, 201).await;
    })
    .await;
}

/// Sets the store's clock by an hour. A server uses the clock of the machine, so there the records
/// are shifted instead.
async fn jump(place: &Place, clock: &HandClock, ahead: bool) {
    match (place.kind, ahead) {
        (Kind::Memory | Kind::Sqlite, true) => clock.advance(HOUR),
        (Kind::Memory | Kind::Sqlite, false) => clock.set_back(HOUR),
        (Kind::Postgres | Kind::Redis, true) => place.age(HOUR).await,
        (Kind::Postgres | Kind::Redis, false) => place.set_back(HOUR).await,
    }
}

/// A place that ages lets leases and records expire in every store that is open there, and a
/// released lease stays released. The tests of leases depend on it.
#[tokio::test]
async fn places_age() {
    each_store(async |place, store| {
        let other = match &store {
            // Another store in memory has other records.
            AnyStore::Memory(_) => store.clone(),
            _ => place.open().await,
        };
        let held = fresh(HOUR, 24 * HOUR);
        let [released, done] = [fresh(HOUR, 24 * HOUR), fresh(HOUR, 24 * HOUR)];
        for claim in [&held, &released, &done] {
            assert_eq!(store.claim_one(claim).await.unwrap(), won(1));
        }
        let settled = store.release(&released.holder()).await.unwrap();
        assert_eq!(settled, Settled::Applied);
        let settled = store.complete(&done.holder(), 200, 24 * HOUR).await;
        assert_eq!(settled.unwrap(), Settled::Applied);

        place.age(HOUR / 2).await;
        let left = other.claim_one(&again(&held)).await.unwrap();
        let ClaimOutcome::Busy { lease_left } = left else {
            panic!("{left:?}");
        };
        assert!(lease_left > HOUR / 4 && lease_left <= HOUR / 2, "{left:?}");
        // A released lease cannot be renewed, and its owner is not granted it again.
        let late = store.claim_one(&released).await.unwrap();
        assert!(matches!(late, ClaimOutcome::Busy { .. }), "{late:?}");
        let extended = store.extend(&released.holder(), HOUR).await.unwrap();
        assert_eq!(extended, Settled::Superseded);

        place.age(HOUR / 2).await;
        let late = store.claim_one(&released).await.unwrap();
        assert!(matches!(late, ClaimOutcome::Busy { .. }), "{late:?}");
        let next = again(&held);
        assert_eq!(other.claim_one(&next).await.unwrap(), won(2));
        assert_eq!(store.claim_one(&again(&released)).await.unwrap(), won(2));
        is_completed(&store, &done, 200).await;

        place.set_back(HOUR / 2).await;
        let left = other.claim_one(&again(&held)).await.unwrap();
        let ClaimOutcome::Busy { lease_left } = left else {
            panic!("{left:?}");
        };
        assert!(lease_left > HOUR, "{left:?}");

        // A day later, all of them have expired.
        place.age(26 * HOUR).await;
        for claim in [&held, &done] {
            let outcome = store.claim_one(&again(claim)).await.unwrap();
            assert!(matches!(outcome, ClaimOutcome::Won { .. }), "{outcome:?}");
        }
    })
    .await;
}
