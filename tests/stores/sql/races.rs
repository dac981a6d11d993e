//! Many claimers at once, on tasks of their own.

use std::time::Duration;

use integration_tests::{Calls as _, is_shut_out, race};
use tokio::task::JoinSet;
use webhook_verify::idempotency::{ClaimOutcome, ClaimRequest, ClaimStore, Settled};

use super::{HOUR, MS, again, answered, is_busy, is_completed, request, won};

/// Longer than any machine takes: `age` lets it expire, as [`Place::age`] does.
///
/// [`Place::age`]: integration_tests::Place::age
const LEASE: Duration = Duration::from_secs(60);

/// Each round: an absent key, a released one, a lapsed one, a completed one. Whoever held it before is shut out, also once
/// somebody has released it in between.
pub(crate) async fn one_winner_for_each_attempt<S: ClaimStore + Clone>(
    stores: &[S],
    age: impl AsyncFn(Duration),
    rounds: u32,
) {
    for round in 0..rounds {
        let claim = request(round);
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
                1 => stores[0].extend(&holder, LEASE).await,
                2 => stores[0].release(&holder).await,
                _ => stores[0].complete(&holder, 201, HOUR).await,
            };
            assert_eq!(settled.unwrap(), Settled::Applied);
            if attempt == 1 {
                age(LEASE).await;
            }
            before.push(winner);
        }
        let (winners, others) = race(stores, &claim).await;
        assert!(winners.is_empty());
        assert!(others.iter().all(|outcome| is_completed(*outcome)));
    }
}

/// Leases that lapse in the middle of it: several may win one after the other, and each attempt once.
pub(crate) async fn leases_that_lapse_during_the_race<S: ClaimStore + Clone>(
    stores: &[S],
    age: impl AsyncFn(Duration),
    rounds: u32,
) {
    let mut claim = request(1_000_000);
    claim.lease = MS;
    let mut highest = 0;
    for _ in 0..rounds {
        let (winners, _) = race(stores, &claim).await;
        let mut attempts: Vec<_> = winners.into_keys().collect();
        attempts.sort_unstable();
        for attempt in attempts {
            // A winner whose lease has lapsed before it is told so may be told that it is busy.
            assert!(attempt > highest, "attempts count up");
            highest = attempt;
        }
        age(MS).await;
    }
    claim.lease = HOUR;
    match stores[0].claim_one(&again(&claim)).await.unwrap() {
        ClaimOutcome::Won { attempt } => assert!(attempt > u64::from(rounds), "{attempt} grants"),
        outcome => panic!("{outcome:?}"),
    }
}

/// A late holder completes while others take over: one of them has it, and the record is that one's.
pub(crate) async fn a_late_complete_against_takeovers<S: ClaimStore + Clone>(
    stores: &[S],
    age: impl AsyncFn(Duration),
) {
    for round in 0..40 {
        let mut claim = request(2_000_000 + round);
        claim.lease = LEASE;
        assert_eq!(stores[0].claim_one(&claim).await.unwrap(), won(1));
        age(LEASE).await;
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
}

/// The same keys from two sides at once, in opposite orders: no batch waits for one that waits for it, and each key is
/// granted once.
pub(crate) async fn batches_from_two_sides<S: ClaimStore + Clone>(one: &S, two: &S) {
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
}

/// Batches that settle the same keys from two sides at once, in opposite orders and against claims of others: none waits for
/// one that waits for it, and each key is somebody's.
pub(crate) async fn settling_from_two_sides<S: ClaimStore + Clone>(
    one: &S,
    two: &S,
    age: impl AsyncFn(Duration),
) {
    for round in 0..20 {
        let keys = 5_000_000 + round * 100;
        let mut forth: Vec<_> = (keys..keys + 64).map(request).collect();
        for claim in &mut forth {
            claim.lease = LEASE;
        }
        let holders: Vec<_> = forth.iter().map(ClaimRequest::holder).collect();
        let reversed: Vec<_> = holders.iter().rev().copied().collect();
        let mut others: Vec<_> = forth.iter().rev().map(again).collect();
        for claim in &mut others {
            claim.lease = HOUR;
        }
        one.claim(&forth).await.unwrap();
        let (first, second) = tokio::join!(
            answered(|| one.extend_all(&holders, LEASE)),
            answered(|| two.extend_all(&reversed, LEASE))
        );
        for settled in [first, second].concat() {
            assert_eq!(settled, Settled::Applied);
        }
        age(LEASE).await;
        let (mut extended, claimed) = tokio::join!(
            answered(|| one.extend_all(&holders, HOUR)),
            answered(|| two.claim(&others))
        );
        extended.reverse();
        for (settled, outcome) in extended.into_iter().zip(&claimed) {
            match settled {
                Settled::Applied => assert!(is_busy(*outcome)),
                _ => assert_eq!(*outcome, won(2)),
            }
        }
        let (released, _) = tokio::join!(
            answered(|| one.release_all(&holders)),
            answered(|| two.extend_all(&reversed, HOUR))
        );
        for (settled, outcome) in released.iter().rev().zip(claimed) {
            match settled {
                Settled::Applied => assert!(is_busy(outcome)),
                _ => assert_eq!(outcome, won(2)),
            }
        }
    }
}

/// Batches that complete the same keys from two sides at once, in opposite orders and against claims of others: each key is
/// completed by its holder, twice over, or somebody else's.
pub(crate) async fn completing_from_two_sides<S: ClaimStore + Clone>(
    one: &S,
    two: &S,
    age: impl AsyncFn(Duration),
) {
    for round in 0..20 {
        let keys = 6_000_000 + round * 100;
        let mut forth: Vec<_> = (keys..keys + 64).map(request).collect();
        for claim in &mut forth {
            claim.lease = LEASE;
        }
        let holders: Vec<_> = forth.iter().map(ClaimRequest::holder).collect();
        let reversed: Vec<_> = holders.iter().rev().copied().collect();
        let mut others: Vec<_> = forth.iter().map(again).collect();
        for claim in &mut others {
            claim.lease = HOUR;
        }
        one.claim(&forth).await.unwrap();
        age(LEASE).await;
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
}

/// Expired records go, each counted once however many purge, while claims are granted and none that lives is lost.
pub(crate) async fn purge_under_load<S: ClaimStore + Clone>(
    store: &S,
    age: impl AsyncFn(Duration),
    expired: u32,
) {
    let mut brief: Vec<_> = (0..expired).map(request).collect();
    for claim in &mut brief {
        (claim.lease, claim.ttl) = (LEASE, LEASE);
    }
    for batch in brief.chunks(500) {
        store.claim(batch).await.unwrap();
    }
    age(LEASE).await;
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let store = store.clone();
        tasks.spawn(async move { store.purge(usize::MAX).await.unwrap() });
    }
    let mut live = Vec::new();
    for number in 0..200 {
        let claim = request(expired + number);
        assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
        live.push(claim);
    }
    let mut purged = 0;
    while let Some(task) = tasks.join_next().await {
        purged += task.unwrap();
    }
    purged += store.purge(usize::MAX).await.unwrap();
    assert_eq!(purged, expired as usize);
    for claim in &live {
        assert!(is_busy(store.claim_one(&again(claim)).await.unwrap()));
    }
}
