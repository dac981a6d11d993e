//! Concurrent calls on one structure, in every order.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" \
//!     cargo test -p webhook-verify --test loom --release --target-dir target/loom
//! ```
//!
//! A structure can be tested here if its locks and atomics are those of the crate's `sync`. Give
//! [`every_order`] a function that builds it, what each thread does, and what must hold afterwards.
#![cfg(loom)]
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use loom::thread;
use webhook_verify::{
    MemoryStore,
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Fingerprint, Holder, Owner, Settled,
        Step, StoreError,
    },
};

const LEASE: Duration = Duration::from_secs(60);
const TTL: Duration = Duration::from_secs(3600);
const STATUS: u16 = 204;

type Outcome = Result<ClaimOutcome, StoreError>;

/// Runs `threads` on what `build` returns, in every order, and `check`s their results. Returns the
/// number of orders. With a single one there is no race.
fn every_order<S, T, const N: usize>(
    build: impl Fn() -> S + Send + Sync + 'static,
    threads: [fn(&S) -> T; N],
    check: impl Fn(&S, [T; N]) + Send + Sync + 'static,
) -> usize
where
    S: Send + Sync + 'static,
    T: std::fmt::Debug + 'static,
{
    let orders = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&orders);
    loom::model(move || {
        counted.fetch_add(1, Relaxed);
        let shared = Arc::new(build());
        let started = threads.map(|act| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || act(&shared))
        });
        check(&shared, started.map(|thread| thread.join().unwrap()));
    });
    let orders = orders.load(Relaxed);
    assert!(orders > 1, "the threads did not meet");
    println!("{orders} orders");
    orders
}

/// The output of a call that never waits.
fn now<F: Future>(call: F) -> F::Output {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a store in memory waits for nothing"),
    }
}

/// The `n`th of the owners. They are the same in all orders, and known to all threads.
fn owner(n: usize) -> Owner {
    static OWNERS: std::sync::LazyLock<[Owner; 4]> =
        std::sync::LazyLock::new(|| std::array::from_fn(|_| Owner::random().unwrap()));
    OWNERS[n]
}

/// A claim of the key `key` by the owner `n`.
fn request_for(key: u8, n: usize) -> ClaimRequest {
    ClaimRequest::new(ClaimKey::from([key; 32]), owner(n), Fingerprint([0; 32]), LEASE, TTL)
}

fn holder(n: usize) -> Holder {
    request_for(0, n).holder()
}

fn claim_of(store: &impl ClaimStore, request: ClaimRequest) -> Outcome {
    Ok(now(store.claim(&[request]))?[0])
}

fn claim<S: ClaimStore, const N: usize>(store: &S) -> Outcome {
    claim_of(store, request_for(0, N))
}

/// The results of a holder's calls, and of the store's maintenance.
#[derive(Debug)]
enum Done {
    Claimed(Outcome),
    Settled(Settled),
    Purged(usize),
    Forgotten(bool),
}

impl Done {
    fn attempt(&self) -> Option<u64> {
        match self {
            Self::Claimed(Ok(ClaimOutcome::Won { attempt })) => Some(*attempt),
            _ => None,
        }
    }

    fn is_busy(&self) -> bool {
        matches!(self, Self::Claimed(Ok(ClaimOutcome::Busy { .. })))
    }

    fn is_completed(&self) -> bool {
        matches!(self, Self::Claimed(Ok(ClaimOutcome::Completed { status: STATUS, .. })))
    }

    fn is_applied(&self) -> bool {
        matches!(self, Self::Settled(Settled::Applied))
    }
}

fn claims<S: ClaimStore, const N: usize>(store: &S) -> Done {
    Done::Claimed(claim::<S, N>(store))
}

fn settle(store: &impl ClaimStore, n: usize, step: Step) -> Done {
    Done::Settled(now(store.settle(&[holder(n)], step)).unwrap()[0])
}

fn completes<S: ClaimStore, const N: usize>(store: &S) -> Done {
    settle(store, N, Step::Complete { status: STATUS, ttl: TTL })
}

fn releases<S: ClaimStore, const N: usize>(store: &S) -> Done {
    settle(store, N, Step::Release)
}

fn extends<S: ClaimStore, const N: usize>(store: &S) -> Done {
    settle(store, N, Step::Extend { lease: LEASE })
}

fn purges<S: ClaimStore>(store: &S) -> Done {
    Done::Purged(now(store.purge(usize::MAX)).unwrap())
}

fn forgets<S: ClaimStore>(store: &S) -> Done {
    Done::Forgotten(now(store.forget(&holder(0).key)).unwrap())
}

fn empty() -> MemoryStore {
    at(Duration::ZERO, MemoryStore::new())
}

/// A store whose key was claimed by the owner 0, `ago`.
fn claimed(ago: Duration) -> MemoryStore {
    let store = at(Duration::ZERO, MemoryStore::new());
    assert_eq!(claim::<_, 0>(&store).unwrap(), ClaimOutcome::Won { attempt: 1 });
    at(ago, store)
}

/// `store` at the time `now`, which stands still while the threads run.
fn at(now: Duration, store: MemoryStore) -> MemoryStore {
    store.clock(move || now)
}

#[test]
fn one_of_two_wins() {
    every_order(empty, [claim::<_, 1>, claim::<_, 2>], |_, outcomes| one_winner(&outcomes, 1));
}

#[test]
fn one_of_three_wins() {
    every_order(empty, [claim::<_, 1>, claim::<_, 2>, claim::<_, 3>], |_, outcomes| {
        one_winner(&outcomes, 1)
    });
}

#[test]
fn one_of_two_takes_a_lapsed_claim_over() {
    every_order(
        || claimed(LEASE),
        [claim::<_, 1>, claim::<_, 2>],
        |_, outcomes| one_winner(&outcomes, 2),
    );
}

fn one_winner(outcomes: &[Outcome], expected: u64) {
    let attempts: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| match outcome.as_ref().unwrap() {
            ClaimOutcome::Won { attempt } => Some(*attempt),
            ClaimOutcome::Busy { lease_left } => {
                assert_eq!(*lease_left, LEASE);
                None
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(attempts, [expected], "{outcomes:?}");
}

#[test]
fn the_old_owner_completes_or_is_superseded() {
    every_order(
        || claimed(LEASE),
        [completes::<_, 0>, claims::<_, 1>, claims::<_, 2>],
        |store, [completed, first, second]| {
            let next = claims::<_, 3>(store);
            if completed.is_applied() {
                assert!(first.is_completed() && second.is_completed() && next.is_completed());
            } else {
                let won = [&first, &second].map(Done::attempt);
                assert!(matches!(won, [Some(2), None] | [None, Some(2)]), "{first:?} {second:?}");
                assert!(first.is_busy() || second.is_busy());
                assert!(next.is_busy(), "{next:?}");
            }
        },
    );
}

#[test]
fn what_is_given_back_goes_to_one() {
    every_order(
        || claimed(Duration::ZERO),
        [releases::<_, 0>, claims::<_, 1>, claims::<_, 2>],
        |store, [released, first, second]| {
            assert!(released.is_applied(), "{released:?}");
            let won = [&first, &second].map(Done::attempt);
            match won {
                // Both came before.
                [None, None] => assert_eq!(claims::<_, 3>(store).attempt(), Some(2)),
                [Some(2), None] | [None, Some(2)] => assert!(claims::<_, 3>(store).is_busy()),
                _ => panic!("{first:?} {second:?}"),
            }
        },
    );
}

#[test]
fn a_late_renewal_keeps_the_claim_or_is_refused() {
    every_order(
        || claimed(LEASE),
        [extends::<_, 0>, claims::<_, 1>],
        |store, [extended, claimed]| match extended.is_applied() {
            true => {
                assert!(claimed.is_busy(), "{claimed:?}");
                assert!(completes::<_, 0>(store).is_applied());
            }
            false => {
                assert_eq!(claimed.attempt(), Some(2));
                assert!(!completes::<_, 0>(store).is_applied());
                assert!(completes::<_, 1>(store).is_applied());
            }
        },
    );
}

#[test]
fn a_renewal_does_not_bring_back_what_is_released() {
    every_order(
        || claimed(Duration::ZERO),
        [releases::<_, 0>, extends::<_, 0>],
        |store, [released, _]| {
            assert!(released.is_applied());
            assert_eq!(claims::<_, 1>(store).attempt(), Some(2));
        },
    );
}

#[test]
fn clearing_away_takes_no_new_claim() {
    every_order(
        || claimed(TTL),
        [purges, claims::<_, 1>],
        |store, [purged, claimed]| {
            assert!(matches!(purged, Done::Purged(0 | 1)), "{purged:?}");
            assert_eq!(claimed.attempt(), Some(1));
            assert_eq!(store.len(), 1);
            assert!(completes::<_, 1>(store).is_applied());
        },
    );
}

#[test]
fn forgetting_counts_what_it_takes() {
    every_order(
        || claimed(LEASE),
        [forgets, claims::<_, 1>, completes::<_, 0>],
        |store, [forgotten, claimed, completed]| {
            assert!(matches!(forgotten, Done::Forgotten(true)));
            // Only a claim that came after is still there.
            match claimed.attempt() {
                Some(1) => {}
                Some(attempt) => assert!(attempt == 2 && !completed.is_applied()),
                None => assert!(claimed.is_completed() && completed.is_applied()),
            }
            let left = usize::from(completes::<_, 1>(store).is_applied());
            assert_eq!(left == 1, claimed.attempt() == Some(1));
            assert_eq!(store.len(), left);
        },
    );
}

#[test]
fn a_full_store_takes_one_of_two() {
    every_order(
        || at(Duration::ZERO, MemoryStore::with_capacity(1)),
        [
            |store: &MemoryStore| claim_of(store, request_for(1, 1)),
            |store: &MemoryStore| claim_of(store, request_for(2, 2)),
        ],
        |store, outcomes| {
            let won = |outcome: &&Outcome| matches!(outcome, Ok(ClaimOutcome::Won { attempt: 1 }));
            assert_eq!(outcomes.iter().filter(won).count(), 1, "{outcomes:?}");
            assert_eq!(store.len(), 1);
        },
    );
}
