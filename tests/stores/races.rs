//! Many claimers at once, on tasks of their own.

use std::time::Duration;

use integration_tests::{AnyStore, Kind, Place, SHARED, each_store, is_shut_out, race, size};
use tokio::task::JoinSet;
use webhook_verify::idempotency::{ClaimOutcome, ClaimRequest, ClaimStore, Holder, Settled};

use crate::common::*;

const SQL: [Kind; 2] = [Kind::Sqlite, Kind::Postgres];

/// Longer than any machine takes: [`Place::age`] lets it expire.
const LEASE: Duration = Duration::from_secs(60);

/// Returns stores for as many claimers: each with a connection of its own to Redis or to one pool
/// of PostgreSQL, and all with `files` connections to SQLite.
async fn claimers(place: &Place, count: usize, files: usize) -> Vec<AnyStore> {
    let opened = match place.kind {
        Kind::Redis => count,
        Kind::Sqlite => files,
        _ => 1,
    };
    let mut stores = Vec::new();
    for _ in 0..opened {
        stores.push(patient(place, count.max(16) as u32).await);
    }
    stores.into_iter().cycle().take(count).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_winner_for_each_attempt() {
    each_store(&SHARED, async |place| {
        let rounds = if place.kind == Kind::Redis { 15 } else { size(5, 20) };
        let age = async |by| place.age(by).await;
        one_winner(&claimers(place, 64, 1).await, age, 0..rounds).await;
        if place.kind == Kind::Sqlite {
            one_winner(&claimers(place, 64, 4).await, age, rounds..rounds + 8).await;
        }
    })
    .await;
}

/// Each round claims an absent key, a released one and one whose lease has expired, in either
/// order, and a completed one. The calls of all former holders change nothing.
pub(crate) async fn one_winner<S: ClaimStore + Clone>(
    stores: &[S],
    age: impl AsyncFn(Duration),
    rounds: std::ops::Range<u32>,
) {
    for round in rounds {
        let claim = request(round);
        let releases_at = 1 + u64::from(round % 2);
        let mut before: Vec<ClaimRequest> = Vec::new();
        for attempt in 1..=3 {
            let (mut winners, others) = race(stores, &claim).await;
            assert_eq!(winners.len(), 1, "round {round}, attempt {attempt}");
            assert!(others.iter().all(|outcome| is_busy(*outcome)));
            let winner = winners.remove(&attempt).unwrap();
            for old in &before {
                is_shut_out(&stores[1], old).await;
            }
            let holder = winner.holder();
            let settled = match attempt {
                3 => stores[2].complete(&holder, 201, HOUR).await,
                _ if attempt == releases_at => stores[0].release(&holder).await,
                _ => stores[0].extend(&holder, LEASE).await,
            };
            assert_eq!(settled.unwrap(), Settled::Applied);
            if attempt < 3 && attempt != releases_at {
                age(LEASE).await;
            }
            before.push(winner);
        }
        let (winners, others) = race(stores, &claim).await;
        assert!(winners.is_empty());
        assert!(others.iter().all(|outcome| is_completed(*outcome)));
    }
}

/// Leases expire during the race: several claimers may win one after the other, and each attempt
/// has one winner.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leases_that_expire_during_the_race() {
    each_store(&SHARED, async |place| {
        let is_redis = place.kind == Kind::Redis;
        let stores = claimers(place, 16, 1).await;
        let mut claim = request(1_000_000);
        claim.lease = MS;
        let rounds = if is_redis { 100 } else { size(20, 60) };
        let mut highest = 0;
        for _ in 0..rounds {
            let (winners, _) = race(&stores, &claim).await;
            let mut attempts: Vec<_> = winners.into_keys().collect();
            attempts.sort_unstable();
            for attempt in attempts {
                // In SQL, a winner whose lease expires before the response may get `Busy`.
                assert!(attempt > highest, "attempts count up");
                assert!(!is_redis || attempt == highest + 1, "attempts count up by one");
                highest = attempt;
            }
            place.age(MS).await;
        }
        assert!(!is_redis || highest >= rounds, "{highest} grants");
        claim.lease = HOUR;
        match stores[0].claim_one(&again(&claim)).await.unwrap() {
            ClaimOutcome::Won { attempt } => assert!(attempt > rounds, "{attempt} grants"),
            outcome => panic!("{outcome:?}"),
        }
    })
    .await;
}

/// A late holder completes while others take over: one of them succeeds, and the record is theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_late_complete_against_takeovers() {
    each_store(&SHARED, async |place| {
        let stores = claimers(place, 8, 1).await;
        for round in 0..60 {
            let mut claim = request(2_000_000 + round);
            claim.lease = LEASE;
            assert_eq!(stores[0].claim_one(&claim).await.unwrap(), won(1));
            place.age(LEASE).await;
            let mut next = claim.clone();
            next.lease = HOUR;
            let holder = claim.holder();
            let (settled, (winners, others)) = tokio::join!(
                answered(|| stores[0].complete(&holder, 200, HOUR)),
                race(&stores[1..], &next)
            );
            match settled {
                Settled::Applied => {
                    assert!(winners.is_empty());
                    assert!(others.iter().all(|outcome| is_completed(*outcome)));
                }
                _ => {
                    assert_eq!(winners.len(), 1);
                    assert!(others.iter().all(|outcome| is_busy(*outcome)));
                    is_shut_out(&stores[0], &claim).await;
                }
            }
        }
    })
    .await;
}

/// Runs a test on two claimers of each SQL store.
async fn two_sides(test: impl AsyncFn(&Place, &AnyStore, &AnyStore)) {
    each_store(&SQL, async |place| {
        let stores = claimers(place, 2, 2).await;
        test(place, &stores[0], &stores[1]).await;
    })
    .await;
}

/// Returns 64 claims whose lease a test lets expire, their holders in both orders, and others'
/// claims of the same keys.
fn contested(keys: u32) -> (Vec<ClaimRequest>, Vec<Holder>, Vec<Holder>, Vec<ClaimRequest>) {
    let with = |mut claim: ClaimRequest, lease| {
        claim.lease = lease;
        claim
    };
    let claims: Vec<_> = (keys..keys + 64).map(|number| with(request(number), LEASE)).collect();
    let holders: Vec<_> = claims.iter().map(ClaimRequest::holder).collect();
    let reversed = holders.iter().rev().copied().collect();
    let others = claims.iter().map(|claim| with(again(claim), HOUR)).collect();
    (claims, holders, reversed, others)
}

/// Two sides claim the same keys at once, in opposite orders. There is no deadlock, and each key is
/// granted once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_from_two_sides() {
    two_sides(async |_, one, two| {
        for round in 0..20 {
            let keys = 3_000_000 + round * 100;
            let forth: Vec<_> = (keys..keys + 64).map(request).collect();
            let back: Vec<_> = forth.iter().rev().map(again).collect();
            let (one, mut two) =
                tokio::join!(answered(|| one.claim(&forth)), answered(|| two.claim(&back)));
            two.reverse();
            for (a, b) in one.into_iter().zip(two) {
                let mut outcomes = [a, b];
                outcomes.sort_by_key(|outcome| is_busy(*outcome));
                assert_eq!(outcomes[0], won(1));
                assert!(is_busy(outcomes[1]));
            }
        }
    })
    .await;
}

/// Two sides settle the same keys at once, in opposite orders and against claims of others. There
/// is no deadlock, and each key has one holder.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn settling_from_two_sides() {
    two_sides(async |place, one, two| {
        for round in 0..20 {
            let (forth, holders, reversed, mut others) = contested(5_000_000 + round * 100);
            others.reverse();
            one.claim(&forth).await.unwrap();
            let (first, second) = tokio::join!(
                answered(|| one.extend_all(&holders, LEASE)),
                answered(|| two.extend_all(&reversed, LEASE))
            );
            assert_eq!([first, second].concat(), [Settled::Applied; 128]);
            place.age(LEASE).await;
            let (mut extended, claimed) = tokio::join!(
                answered(|| one.extend_all(&holders, HOUR)),
                answered(|| two.claim(&others))
            );
            let (mut released, _) = tokio::join!(
                answered(|| one.release_all(&holders)),
                answered(|| two.extend_all(&reversed, HOUR))
            );
            for settled in [&mut extended, &mut released] {
                settled.reverse();
                for (settled, outcome) in settled.iter().zip(&claimed) {
                    match settled {
                        Settled::Applied => assert!(is_busy(*outcome)),
                        _ => assert_eq!(*outcome, won(2)),
                    }
                }
            }
        }
    })
    .await;
}

/// Two sides complete the same keys at once, in opposite orders and against claims of others. Each
/// key is completed by its holder, from both sides, or has a new holder.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn completing_from_two_sides() {
    two_sides(async |place, one, two| {
        for round in 0..20 {
            let (forth, holders, reversed, others) = contested(6_000_000 + round * 100);
            one.claim(&forth).await.unwrap();
            place.age(LEASE).await;
            let (first, mut second, claimed) = tokio::join!(
                answered(|| one.complete_all(&holders, 201, HOUR)),
                answered(|| two.complete_all(&reversed, 202, HOUR)),
                answered(|| two.claim(&others))
            );
            second.reverse();
            assert_eq!(first, second);
            let statuses = two.claim(&others).await.unwrap();
            for ((settled, outcome), status) in first.into_iter().zip(claimed).zip(statuses) {
                match settled {
                    Settled::Applied => assert!(is_completed(outcome) && outcome == status),
                    _ => assert_eq!([outcome, status], [won(2); 2]),
                }
            }
        }
    })
    .await;
}

/// Expired records are purged while claims are granted. Each counts once, however many purges run,
/// and no live record is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn purge_under_load() {
    const EXPIRED: u32 = 4500;
    each_store(&SQL, async |place| {
        let store = patient(place, 16).await;
        let mut brief: Vec<_> = (0..EXPIRED).map(request).collect();
        for claim in &mut brief {
            (claim.lease, claim.ttl) = (LEASE, LEASE);
        }
        for batch in brief.chunks(500) {
            store.claim(batch).await.unwrap();
        }
        place.age(LEASE).await;
        let mut tasks = JoinSet::new();
        for _ in 0..3 {
            let store = store.clone();
            tasks.spawn(async move { store.purge(usize::MAX).await.unwrap() });
        }
        let mut live = Vec::new();
        for number in 0..200 {
            let claim = request(EXPIRED + number);
            assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
            live.push(claim);
        }
        let mut purged: usize = tasks.join_all().await.into_iter().sum();
        purged += store.purge(usize::MAX).await.unwrap();
        assert_eq!(purged, EXPIRED as usize);
        for claim in &live {
            assert!(is_busy(store.claim_one(&again(claim)).await.unwrap()));
        }
    })
    .await;
}
