//! The states of a claim in the memory store, by a clock that the test moves.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use futures_util::FutureExt as _;
use integration_tests::{Calls as _, again, won};
use webhook_verify::{
    MemoryStore,
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, Fingerprint, Holder, Owner, Settled, StoreError,
    },
};

use crate::common::*;

const MS: Duration = Duration::from_millis(1);

/// A store, its clock, and calls that return at once.
#[derive(Clone)]
struct Bench {
    store: Arc<MemoryStore>,
    clock: HandClock,
}

fn bench(capacity: usize) -> Bench {
    let clock = HandClock::new();
    let store = Arc::new(MemoryStore::with_capacity(capacity).clock(clock.clone()));
    Bench { store, clock }
}

/// Returns a claim for 60 s whose record lives for an hour, under a key that starts with `shard`.
fn request(shard: u8, number: u8) -> ClaimRequest {
    let mut key = [0; 32];
    (key[0], key[1]) = (shard, number);
    ClaimRequest::new(
        ClaimKey::from(key),
        Owner::random().unwrap(),
        Fingerprint([number; 32]),
        seconds(60),
        seconds(3600),
    )
}

impl Bench {
    fn try_claim(&self, request: &ClaimRequest) -> Result<ClaimOutcome, StoreError> {
        self.store.claim_one(request).now_or_never().unwrap()
    }

    fn claim(&self, request: &ClaimRequest) -> ClaimOutcome {
        self.try_claim(request).unwrap()
    }

    fn complete(&self, holder: &Holder, status: u16) -> Settled {
        let completed = self.store.complete(holder, status, seconds(3600));
        completed.now_or_never().unwrap().unwrap()
    }

    fn release(&self, holder: &Holder) -> Settled {
        let released = self.store.release(holder);
        released.now_or_never().unwrap().unwrap()
    }

    fn extend(&self, holder: &Holder) -> Settled {
        let extended = self.store.extend(holder, seconds(60));
        extended.now_or_never().unwrap().unwrap()
    }
}

fn busy(lease_left: Duration) -> ClaimOutcome {
    ClaimOutcome::Busy { lease_left }
}

fn completed(status: u16, number: u8) -> ClaimOutcome {
    ClaimOutcome::Completed { status, fingerprint: Fingerprint([number; 32]) }
}

/// The lease of A expires, B takes over and completes, and A continues.
#[test]
fn b05_a_holder_whose_lease_expired_is_superseded() {
    let bench = bench(8);
    let a = request(0, 1);
    let b = again(&a);
    assert_eq!(bench.claim(&a), won(1));
    bench.clock.advance(seconds(60));
    assert_eq!(bench.claim(&b), won(2));
    for settled in
        [bench.extend(&a.holder()), bench.release(&a.holder()), bench.complete(&a.holder(), 202)]
    {
        assert_eq!(settled, Settled::Superseded);
    }
    assert_eq!(bench.claim(&again(&a)), busy(seconds(60)));
    assert_eq!(bench.complete(&b.holder(), 201), Settled::Applied);
    for settled in
        [bench.extend(&a.holder()), bench.release(&a.holder()), bench.complete(&a.holder(), 202)]
    {
        assert_eq!(settled, Settled::Superseded);
    }
    assert_eq!(bench.claim(&again(&a)), completed(201, 1));
}

/// The last millisecond of a lease and of a record.
#[test]
fn b21_edges_of_lease_and_life() {
    let bench = bench(8);
    let a = request(0, 1);
    assert_eq!(bench.claim(&a), won(1));
    bench.clock.advance(seconds(60) - MS);
    assert_eq!(bench.claim(&again(&a)), busy(MS));
    bench.clock.advance(MS);
    let b = again(&a);
    assert_eq!(bench.claim(&b), won(2));

    assert_eq!(bench.complete(&b.holder(), 200), Settled::Applied);
    bench.clock.advance(seconds(3600) - MS);
    assert_eq!(bench.claim(&again(&a)), completed(200, 1));
    bench.clock.advance(MS);
    let c = again(&a);
    let ClaimOutcome::Won { .. } = bench.claim(&c) else {
        panic!("an expired record counts as absent");
    };
    assert_eq!(bench.complete(&b.holder(), 201), Settled::Superseded);
    assert_eq!(bench.claim(&again(&a)), busy(seconds(60)));
}

/// An expired record counts as absent, also while older ones still have to be deleted.
#[test]
fn b21_an_expired_record_counts_as_absent_before_it_is_deleted() {
    let bench = bench(100);
    for number in 100..120 {
        let mut other = request(0, number);
        other.ttl = seconds(3000);
        assert_eq!(bench.claim(&other), won(1));
    }
    let a = request(0, 1);
    assert_eq!(bench.claim(&a), won(1));
    assert_eq!(bench.complete(&a.holder(), 200), Settled::Applied);
    bench.clock.advance(seconds(3600) - MS);
    assert_eq!(bench.claim(&again(&a)), completed(200, 1));
    bench.clock.advance(MS);
    let outcome = bench.claim(&again(&a));
    assert!(matches!(outcome, ClaimOutcome::Won { .. }), "{outcome:?}");
    assert!(bench.store.len() > 10, "others are still there");
}

/// Records are deleted during claims: there is one winner, in any order.
#[test]
fn b21_expiry_and_deletion_race_with_claims() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 300;
    let bench = bench(1000);
    let target = request(0, 0);
    let winners: Arc<Vec<AtomicUsize>> =
        Arc::new((0..ROUNDS).map(|_| AtomicUsize::new(0)).collect());
    let barrier = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (1..=THREADS as u8)
        .map(|number| {
            let (bench, target) = (bench.clone(), target.clone());
            let (winners, barrier) = (Arc::clone(&winners), Arc::clone(&barrier));
            thread::spawn(move || {
                for winner in &*winners {
                    if barrier.wait().is_leader() {
                        // All records expire now.
                        bench.clock.advance(seconds(3600));
                    }
                    barrier.wait();
                    // Claims of the same shard delete expired records.
                    bench.claim(&request(0, number));
                    if let ClaimOutcome::Won { .. } = bench.claim(&again(&target)) {
                        winner.fetch_add(1, SeqCst);
                    }
                    bench.claim(&request(0, number + 100));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    for (round, winners) in winners.iter().enumerate() {
        assert_eq!(winners.load(SeqCst), 1, "round {round}");
    }
}

/// If the outcome of a claim was lost, the same owner claims again.
#[test]
fn b23_the_same_owner_is_granted_its_claim_again() {
    let bench = bench(8);
    let a = request(0, 1);
    assert_eq!(bench.claim(&a), won(1));
    bench.clock.advance(seconds(59));
    assert_eq!(bench.claim(&a), won(1));
    // This is no renewal.
    assert_eq!(bench.claim(&again(&a)), busy(seconds(1)));
    bench.clock.advance(seconds(1));
    assert_eq!(bench.claim(&a), won(2));
    assert_eq!(bench.complete(&a.holder(), 200), Settled::Applied);
    assert_eq!(bench.claim(&a), completed(200, 1));
}

/// The fingerprint is that of the body that ran last.
#[test]
fn b18_a_takeover_replaces_the_fingerprint() {
    let bench = bench(8);
    let a = request(0, 1);
    bench.claim(&a);
    assert_eq!(bench.release(&a.holder()), Settled::Applied);
    let mut b = again(&a);
    b.fingerprint = Fingerprint([7; 32]);
    assert_eq!(bench.claim(&b), won(2));
    assert_eq!(bench.complete(&b.holder(), 200), Settled::Applied);
    assert_eq!(bench.claim(&again(&a)), completed(200, 7));
}

/// A renewal extends the life of the record.
#[test]
fn a_renewed_claim_outlives_its_first_ttl() {
    let bench = bench(8);
    let mut a = request(0, 1);
    a.ttl = seconds(60);
    assert_eq!(bench.claim(&a), won(1));
    for _ in 0..10 {
        bench.clock.advance(seconds(40));
        assert_eq!(bench.extend(&a.holder()), Settled::Applied);
        // A claim of the same shard deletes expired records.
        bench.claim(&request(0, 9));
        assert_eq!(bench.claim(&again(&a)), busy(seconds(60)));
    }
}

/// A full store deletes one record without a live lease for each new one, and nothing else.
#[test]
fn a_full_store_forgets_only_what_nobody_holds() {
    let bench = bench(4);
    let [live, released, done, lapsed] = [1, 2, 3, 4].map(|number| request(number, number));
    assert_eq!(bench.claim(&lapsed), won(1));
    bench.clock.advance(seconds(60));
    for request in [&live, &released, &done] {
        assert_eq!(bench.claim(request), won(1));
    }
    assert_eq!(bench.release(&released.holder()), Settled::Applied);
    assert_eq!(bench.complete(&done.holder(), 200), Settled::Applied);
    // These three make room, whichever shard they are in. The new claims are in progress and stay.
    for number in [200, 201, 202] {
        assert_eq!(bench.claim(&request(number, 9)), won(1));
    }
    for number in 0..100 {
        let error = bench.try_claim(&request(number + 5, 200)).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "memory store is full: 4 deliveries are in progress");
    }
    assert_eq!(bench.store.len(), 4);
    // The other records are unchanged, and the holders of deleted ones change nothing.
    assert_eq!(bench.claim(&again(&live)), busy(seconds(60)));
    assert_eq!(bench.extend(&live.holder()), Settled::Applied);
    for forgotten in [&lapsed, &released, &done] {
        assert_eq!(bench.complete(&forgotten.holder(), 200), Settled::Superseded);
    }

    // After the records have expired, a new one fits, in any shard.
    bench.clock.advance(seconds(3600));
    assert_eq!(bench.claim(&request(9, 9)), won(1));
    assert!(bench.store.len() <= 4);
}

/// The completed record that expires first makes room, one at a time.
#[test]
fn a_full_store_forgets_the_oldest_first() {
    let bench = bench(3);
    // All are in one shard.
    let requests = [request(16, 1), request(32, 2), request(48, 3)];
    for request in &requests {
        assert_eq!(bench.claim(request), won(1));
        assert_eq!(bench.complete(&request.holder(), 200), Settled::Applied);
        bench.clock.advance(seconds(1));
    }
    assert_eq!(bench.claim(&request(64, 4)), won(1));
    assert_eq!(bench.store.len(), 3);
    assert_eq!(bench.claim(&again(&requests[1])), completed(200, 2));
    assert_eq!(bench.claim(&again(&requests[2])), completed(200, 3));
    assert_eq!(bench.claim(&again(&requests[0])), won(1), "it was forgotten");
}

#[test]
fn a_full_store_counts_right_under_contention() {
    let bench = bench(50);
    let won = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..8_u8)
        .map(|thread| {
            let (bench, won) = (bench.clone(), Arc::clone(&won));
            thread::spawn(move || {
                for number in 0..=255 {
                    if bench.try_claim(&request(number, thread)).is_ok() {
                        won.fetch_add(1, SeqCst);
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!((won.load(SeqCst), bench.store.len()), (50, 50));
}
