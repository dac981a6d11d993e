//! The memory store, and the conformance cases themselves: they find what is wrong with a store.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use integration_tests::{Calls as _, again, fresh, soon, won};
use webhook_verify::{
    MemoryStore,
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Fingerprint, Holder, OnLeaseExpiry,
        Owner, Settled, Step, StoreError,
    },
    testing::conformance::{Failures, Suite},
};

#[test]
fn conformance_by_a_clock_moved_by_hand() {
    suite(|store| store, false).unwrap();
}

/// Unless told otherwise, leases and records end by a clock that runs.
#[tokio::test]
async fn a_lease_ends_by_the_real_clock() {
    let store = MemoryStore::new();
    for (lease, life) in [(MS, HOUR), (MS, MS)] {
        let claim = fresh(lease, life);
        assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
        let taken_over = async {
            while !matches!(
                store.claim_one(&again(&claim)).await.unwrap(),
                ClaimOutcome::Won { .. }
            ) {
                tokio::time::sleep(MS).await;
            }
        };
        soon("end of a lease of 1 ms", taken_over).await;
    }
    let claim = fresh(HOUR, HOUR);
    assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
    let outcome = store.claim_one(&again(&claim)).await.unwrap();
    assert!(matches!(outcome, ClaimOutcome::Busy { .. }), "{outcome:?}");
}

/// A store that is shared passes calls on, `claim_all` and `purge` included.
#[test]
fn conformance_of_a_shared_store() {
    suite(Arc::new, false).unwrap();
}

/// Runs the cases on what `wrap` makes of a memory store.
fn suite<S: ClaimStore>(
    wrap: impl FnOnce(MemoryStore) -> S,
    clears_by_itself: bool,
) -> Result<(), Failures> {
    let now = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&now);
    let store = wrap(MemoryStore::new().clock(move || Duration::from_millis(clock.load(SeqCst))));
    let mut suite = Suite::new(&store);
    if clears_by_itself {
        suite = suite.clears_by_itself();
    }
    let run = suite.run(async |time: Duration| {
        now.fetch_add(time.as_millis() as u64, SeqCst);
    });
    run.now_or_never().expect("memory does not wait")
}

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// What a store may do wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    AnyOwnerCompletes,
    ReleaseDeletes,
    HoldIsTakeOver,
    AttemptStandsStill,
    ExtendDoesNothing,
    ExtendSaysYes,
    StatusIsLost,
    LeaseLeftIsZero,
    ClaimAllIsReversed,
    ClaimAllHasOneLease,
    ClaimAllHasOneLife,
    ClaimAllHasOneRule,
    ExtendAllIsReversed,
    ReleaseAllIsReversed,
    AnyOwnerExtendsAll,
    AnyOwnerReleasesAll,
    ExtendAllIsForNoTime,
    ReleaseAllDeletes,
    OfManyTheRestIsLost,
    ExtendAllWantsOne,
    ReleaseAllWantsOne,
    CompleteAllIsReversed,
    AnyOwnerCompletesAll,
    CompleteAllIsForNoTime,
    CompleteAllIsForGood,
    CompleteAllReplacesTheStatus,
    CompleteAllIsOnce,
    CompleteAllReleases,
    OfManyCompletedTheRestIsLost,
    CompleteAllWantsOne,
    ForgetSaysYes,
    PurgeKnowsNoLimit,
    PurgeMiscounts,
    KeysAreCutShort,
    CompletedForGood,
    SameOwnerCountsUp,
    ReleasedIsGrantedAgain,
    Unreachable,
}

struct Faulty {
    inner: MemoryStore,
    fault: Fault,
    holders: Mutex<HashMap<ClaimKey, Holder>>,
}

impl Faulty {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// Completes what is completed as if it were not.
    async fn replace(&self, holder: &Holder, status: u16, ttl: Duration) -> Result<(), StoreError> {
        let (owner, body) = (Owner::random()?, Fingerprint([0; 32]));
        let duplicate = ClaimRequest::new(holder.key, owner, body, HOUR, HOUR);
        let outcome = self.inner.claim_one(&duplicate).await?;
        if let ClaimOutcome::Completed { fingerprint, .. } = outcome {
            let claim = ClaimRequest::new(holder.key, holder.owner, fingerprint, HOUR, HOUR);
            self.inner.forget(&holder.key).await?;
            self.inner.claim_one(&claim).await?;
            let _ = self.inner.complete(holder, status, ttl).await?;
        }
        Ok(())
    }

    /// The holder, or whoever is the holder by now.
    fn holder(&self, holder: &Holder, any: bool) -> Holder {
        let holders = self.holders.lock().unwrap();
        let current = holders.get(&holder.key).filter(|_| any);
        *current.unwrap_or(holder)
    }
}

impl Faulty {
    /// Returns whether the fault shows in the lifetimes of completions of several claims, of which
    /// the suite tries one at a time.
    fn is_of_many(&self) -> bool {
        self.is(Fault::CompleteAllIsForNoTime) || self.is(Fault::CompleteAllIsForGood)
    }

    async fn claim_one(&self, request: &ClaimRequest) -> Result<ClaimOutcome, StoreError> {
        let mut request = request.clone();
        match self.fault {
            Fault::Unreachable => return Err(StoreError::new("down")),
            Fault::HoldIsTakeOver => request.on_lease_expiry = OnLeaseExpiry::TakeOver,
            Fault::KeysAreCutShort => {
                let mut key = *request.key.as_bytes();
                key[31] = 0;
                request.key = key.into();
            }
            _ => {}
        }
        let mut outcome = self.inner.claim_one(&request).await?;
        match &mut outcome {
            ClaimOutcome::Won { attempt } => {
                let mut holders = self.holders.lock().unwrap();
                let before = holders.insert(request.key, request.holder());
                let again = before == Some(request.holder());
                if again && *attempt == 1 && self.is(Fault::SameOwnerCountsUp) {
                    return Ok(ClaimOutcome::Won { attempt: 2 });
                }
                if *attempt == 2 && self.is(Fault::AttemptStandsStill) {
                    outcome = ClaimOutcome::Won { attempt: 1 };
                }
            }
            ClaimOutcome::Busy { .. } if self.is(Fault::ReleasedIsGrantedAgain) => {
                let held_by = self.holders.lock().unwrap().get(&request.key).copied();
                if held_by == Some(request.holder()) {
                    return Ok(ClaimOutcome::Won { attempt: 2 });
                }
            }
            ClaimOutcome::Busy { lease_left } if self.is(Fault::LeaseLeftIsZero) => {
                *lease_left = Duration::ZERO;
            }
            _ => {}
        }
        Ok(outcome)
    }

    async fn complete(
        &self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
    ) -> Result<Settled, StoreError> {
        let holder = self.holder(holder, self.is(Fault::AnyOwnerCompletes));
        let status = if self.is(Fault::StatusIsLost) { 200 } else { status };
        let ttl = if self.is(Fault::CompletedForGood) { ttl * 1000 } else { ttl };
        self.inner.complete(&holder, status, ttl).await
    }

    async fn release(&self, holder: &Holder) -> Result<Settled, StoreError> {
        let settled = self.inner.release(holder).await?;
        if settled == Settled::Applied && self.is(Fault::ReleaseDeletes) {
            self.inner.forget(&holder.key).await?;
        }
        Ok(settled)
    }

    async fn extend(&self, holder: &Holder, lease: Duration) -> Result<Settled, StoreError> {
        if self.is(Fault::ExtendDoesNothing) {
            return Ok(Settled::Applied);
        }
        let settled = self.inner.extend(holder, lease).await?;
        match settled {
            Settled::Superseded if self.is(Fault::ExtendSaysYes) => Ok(Settled::Applied),
            settled => Ok(settled),
        }
    }

    async fn claim_all(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        let mut outcomes = Vec::new();
        for request in requests {
            let (first, mut request) = (&requests[0], request.clone());
            match self.fault {
                Fault::ClaimAllHasOneLease => request.lease = first.lease,
                Fault::ClaimAllHasOneLife => request.ttl = first.ttl,
                Fault::ClaimAllHasOneRule => request.on_lease_expiry = first.on_lease_expiry,
                _ => {}
            }
            outcomes.push(self.claim_one(&request).await?);
        }
        if self.is(Fault::ClaimAllIsReversed) {
            outcomes.reverse();
        }
        Ok(outcomes)
    }

    async fn extend_all(
        &self,
        holders: &[Holder],
        lease: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        if self.is(Fault::ExtendAllWantsOne) && holders.is_empty() {
            return Err(StoreError::new("no holders"));
        }
        let lease = match self.fault {
            Fault::ExtendAllIsForNoTime => Duration::ZERO,
            _ => lease,
        };
        let mut settled = Vec::new();
        for holder in holders {
            let holder = self.holder(holder, self.is(Fault::AnyOwnerExtendsAll));
            settled.push(self.extend(&holder, lease).await?);
        }
        if self.is(Fault::ExtendAllIsReversed) {
            settled.reverse();
        }
        Ok(settled)
    }

    async fn release_all(&self, holders: &[Holder]) -> Result<Vec<Settled>, StoreError> {
        if self.is(Fault::ReleaseAllWantsOne) && holders.is_empty() {
            return Err(StoreError::new("no holders"));
        }
        let mut settled = Vec::new();
        for (number, holder) in holders.iter().enumerate() {
            let holder = self.holder(holder, self.is(Fault::AnyOwnerReleasesAll));
            settled.push(match self.fault {
                // Which says the same of what is held, and gives nothing back.
                Fault::OfManyTheRestIsLost if number >= 100 => self.extend(&holder, HOUR).await?,
                _ => self.release(&holder).await?,
            });
            if self.is(Fault::ReleaseAllDeletes) {
                self.inner.forget(&holder.key).await?;
            }
        }
        if self.is(Fault::ReleaseAllIsReversed) {
            settled.reverse();
        }
        Ok(settled)
    }

    async fn complete_all(
        &self,
        holders: &[Holder],
        status: u16,
        ttl: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        if self.is(Fault::CompleteAllWantsOne) && holders.is_empty() {
            return Err(StoreError::new("no holders"));
        }
        let ttl = match self.fault {
            Fault::CompleteAllIsForNoTime => Duration::ZERO,
            Fault::CompleteAllIsForGood => ttl * 100_000,
            _ => ttl,
        };
        let mut settled = Vec::new();
        for (number, holder) in holders.iter().enumerate() {
            let holder = self.holder(holder, self.is(Fault::AnyOwnerCompletesAll));
            settled.push(match self.fault {
                // A record that is completed is not given back.
                Fault::CompleteAllIsOnce if self.release(&holder).await? != Settled::Applied => {
                    Settled::Superseded
                }
                Fault::CompleteAllReplacesTheStatus => {
                    let settled = self.complete(&holder, status, ttl).await?;
                    if settled == Settled::Applied {
                        self.replace(&holder, status, ttl).await?;
                    }
                    settled
                }
                Fault::CompleteAllReleases => self.release(&holder).await?,
                Fault::OfManyCompletedTheRestIsLost if number >= 100 => Settled::Applied,
                _ => self.complete(&holder, status, ttl).await?,
            });
        }
        if self.is(Fault::CompleteAllIsReversed) {
            settled.reverse();
        }
        Ok(settled)
    }
}

impl ClaimStore for Faulty {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        match requests {
            [request] => Ok(vec![self.claim_one(request).await?]),
            many => self.claim_all(many).await,
        }
    }

    async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
        match (holders, step) {
            ([holder], Step::Complete { status, ttl }) if !self.is_of_many() => {
                Ok(vec![self.complete(holder, status, ttl).await?])
            }
            ([holder], Step::Release) => Ok(vec![self.release(holder).await?]),
            ([holder], Step::Extend { lease }) => Ok(vec![self.extend(holder, lease).await?]),
            (many, Step::Complete { status, ttl }) => self.complete_all(many, status, ttl).await,
            (many, Step::Release) => self.release_all(many).await,
            (many, Step::Extend { lease }) => self.extend_all(many, lease).await,
        }
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        let forgot = self.inner.forget(key).await?;
        Ok(forgot || self.is(Fault::ForgetSaysYes))
    }

    async fn purge(&self, most: usize) -> Result<usize, StoreError> {
        let limit = self.is(Fault::PurgeKnowsNoLimit);
        let purged = self.inner.purge(if limit { usize::MAX } else { most }).await?;
        Ok(purged * if self.is(Fault::PurgeMiscounts) { 2 } else { 1 })
    }
}

/// Each fault is found, by the case that is about it.
#[test]
fn the_cases_find_what_is_wrong() {
    let faults = [
        (Fault::AnyOwnerCompletes, "a_superseded_holder_changes_nothing"),
        (Fault::ReleaseDeletes, "released_is_won_with_the_next_attempt"),
        (Fault::HoldIsTakeOver, "a_lapsed_claim_is_held"),
        (Fault::AttemptStandsStill, "hold_concerns_lapsed_claims_only"),
        (Fault::ExtendDoesNothing, "extend_counts_from_now"),
        (Fault::ExtendSaysYes, "extend_does_not_bring_back_what_is_settled"),
        (Fault::StatusIsLost, "every_status_is_kept"),
        (Fault::LeaseLeftIsZero, "busy_while_the_lease_lives"),
        (Fault::ClaimAllIsReversed, "claims_answer_in_order"),
        (Fault::ClaimAllHasOneLease, "claims_of_different_terms"),
        (Fault::ClaimAllHasOneLife, "claims_of_different_terms"),
        (Fault::ClaimAllHasOneRule, "claims_of_different_terms"),
        (Fault::ExtendAllIsReversed, "extends_answer_in_order"),
        (Fault::ReleaseAllIsReversed, "releases_answer_in_order"),
        (Fault::AnyOwnerExtendsAll, "extends_answer_in_order"),
        (Fault::AnyOwnerReleasesAll, "releases_answer_in_order"),
        (Fault::ExtendAllIsForNoTime, "extends_answer_in_order"),
        (Fault::ReleaseAllDeletes, "releases_answer_in_order"),
        (Fault::OfManyTheRestIsLost, "a_thousand_keys_of_one_owner"),
        (Fault::ExtendAllWantsOne, "extends_of_nothing"),
        (Fault::ReleaseAllWantsOne, "releases_of_nothing"),
        (Fault::CompleteAllIsReversed, "completes_answer_in_order"),
        (Fault::AnyOwnerCompletesAll, "completes_answer_in_order"),
        (Fault::CompleteAllReplacesTheStatus, "completes_answer_in_order"),
        (Fault::CompleteAllIsOnce, "completes_answer_in_order"),
        (Fault::CompleteAllReleases, "completes_answer_in_order"),
        (Fault::CompleteAllIsForNoTime, "completes_are_for_their_time"),
        (Fault::CompleteAllIsForGood, "completes_are_for_their_time"),
        (Fault::OfManyCompletedTheRestIsLost, "a_thousand_keys_of_one_owner"),
        (Fault::CompleteAllWantsOne, "completes_of_nothing"),
        (Fault::ForgetSaysYes, "forget_makes_it_the_first_again"),
        (Fault::PurgeKnowsNoLimit, "purge"),
        (Fault::PurgeMiscounts, "purge"),
        (Fault::KeysAreCutShort, "keys_one_bit_apart_do_not_meet"),
        (Fault::CompletedForGood, "what_has_expired_is_claimable"),
        (Fault::SameOwnerCountsUp, "the_same_owner_wins_again"),
        (Fault::ReleasedIsGrantedAgain, "a_late_claim_does_not_undo_a_release"),
        (Fault::Unreachable, "absent_is_won"),
    ];
    for (fault, case) in faults {
        // Shared, so that what is passed on is its own.
        let wrap = |inner| Arc::new(Faulty { inner, fault, holders: Mutex::default() });
        let failures = suite(wrap, false).unwrap_err();
        let found: Vec<_> = failures.cases().collect();
        assert!(found.contains(&case), "{fault:?}: {failures}");
    }
}

/// A store that clears away by itself may say 0, and one that does not may not.
#[test]
fn who_clears_away_by_itself_need_not_count() {
    struct Silent(MemoryStore);

    impl ClaimStore for Silent {
        async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
            self.0.claim(requests).await
        }

        async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
            self.0.settle(holders, step).await
        }

        async fn purge(&self, _: usize) -> Result<usize, StoreError> {
            Ok(0)
        }

        async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
            self.0.forget(key).await
        }
    }

    suite(Silent, true).unwrap();
    let failures = suite(Silent, false).unwrap_err();
    assert_eq!(failures.cases().collect::<Vec<_>>(), ["purge"]);
}

/// What is held when its lease has lapsed is not forgotten to make room, either.
#[tokio::test]
async fn a_full_store_does_not_forget_what_is_held() {
    let now = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&now);
    let store =
        MemoryStore::with_capacity(2).clock(move || Duration::from_millis(clock.load(SeqCst)));
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
    let request = |key: u8| {
        let key = ClaimKey::from([key; 32]);
        let fingerprint = Fingerprint([0; 32]);
        ClaimRequest::new(key, Owner::random().unwrap(), fingerprint, minute, hour)
    };
    let held = request(1).on_lease_expiry(OnLeaseExpiry::Hold);
    let won = ClaimOutcome::Won { attempt: 1 };
    assert_eq!(store.claim_one(&held).await.unwrap(), won);
    assert_eq!(store.claim_one(&request(2)).await.unwrap(), won);
    now.store(minute.as_millis() as u64, SeqCst);
    // The other's place is free, as its lease is nobody's any more.
    assert_eq!(store.claim_one(&request(3)).await.unwrap(), won);
    assert!(store.claim_one(&request(4)).await.is_err(), "both are held");
    let again = request(1).on_lease_expiry(OnLeaseExpiry::Hold);
    let outcome = store.claim_one(&again).await.unwrap();
    assert!(matches!(outcome, ClaimOutcome::Busy { .. }), "{outcome:?}");
    now.store(hour.as_millis() as u64, SeqCst);
    assert_eq!(store.claim_one(&request(4)).await.unwrap(), won);
}
