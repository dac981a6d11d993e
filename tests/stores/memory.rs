//! The memory store, and the conformance cases themselves: they find what is wrong with a store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt as _;
use integration_tests::{HandClock, fresh};
use webhook_verify::{
    MemoryStore,
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Fingerprint, Holder, OnLeaseExpiry,
        Owner, Settled, Step, StoreError, StoredResponse,
    },
    testing::conformance::{Failures, Suite},
};

use crate::common::*;

#[test]
fn conformance_by_a_clock_moved_by_hand() {
    suite(|store| store, false).unwrap();
}

/// A shared store passes on all calls, those for several claims and `purge` included.
#[test]
fn conformance_of_a_shared_store() {
    suite(Arc::new, false).unwrap();
}

/// Runs the cases on what `wrap` makes of a memory store.
fn suite<S: ClaimStore>(
    wrap: impl FnOnce(MemoryStore) -> S,
    clears_by_itself: bool,
) -> Result<(), Failures> {
    let clock = at_zero();
    let store = wrap(MemoryStore::new().clock(clock.clone()));
    let mut suite = Suite::new(&store).keeps_responses();
    if clears_by_itself {
        suite = suite.clears_by_itself();
    }
    let run = suite.run(async |time| clock.advance(time));
    run.now_or_never().expect("memory does not wait")
}

/// By default, leases and records end by a clock that runs.
#[tokio::test]
async fn a_lease_ends_by_the_real_clock() {
    let store = MemoryStore::new();
    for (lease, life) in [(MS, HOUR), (MS, MS)] {
        let claim = fresh(lease, life);
        assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
        let taken_over = async {
            loop {
                let outcome = store.claim_one(&again(&claim)).await.unwrap();
                if let ClaimOutcome::Won { .. } = outcome {
                    return;
                }
                tokio::time::sleep(MS).await;
            }
        };
        soon("end of a lease of 1 ms", taken_over).await;
    }
    let claim = fresh(HOUR, HOUR);
    assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
    assert!(is_busy(store.claim_one(&again(&claim)).await.unwrap()));
}

/// Defines the faults, and the case that finds each.
macro_rules! faults {
    ($($fault:ident: $case:literal,)*) => {
        /// A fault of a store.
        #[derive(Clone, Copy, Debug, PartialEq)]
        enum Fault { $($fault,)* PurgesNothing }

        const FAULTS: &[(Fault, &str)] = &[$((Fault::$fault, $case)),*];
    };
}

faults! {
    AnyOwnerCompletes: "a_superseded_holder_changes_nothing",
    ReleaseDeletes: "released_is_won_with_the_next_attempt",
    HoldIsTakeOver: "a_lapsed_claim_is_held",
    AttemptStandsStill: "hold_concerns_lapsed_claims_only",
    ExtendDoesNothing: "extend_counts_from_now",
    ExtendSaysYes: "extend_does_not_bring_back_what_is_settled",
    StatusIsLost: "every_status_is_kept",
    LeaseLeftIsZero: "busy_while_the_lease_lives",
    ClaimAllIsReversed: "claims_answer_in_order",
    ClaimAllHasOneLease: "claims_of_different_terms",
    ClaimAllHasOneLife: "claims_of_different_terms",
    ClaimAllHasOneRule: "claims_of_different_terms",
    ExtendAllIsReversed: "extends_answer_in_order",
    ReleaseAllIsReversed: "releases_answer_in_order",
    AnyOwnerExtendsAll: "extends_answer_in_order",
    AnyOwnerReleasesAll: "releases_answer_in_order",
    ExtendAllIsForNoTime: "extends_answer_in_order",
    ReleaseAllDeletes: "releases_answer_in_order",
    OfManyTheRestIsLost: "a_thousand_keys_of_one_owner",
    ExtendAllWantsOne: "extends_of_nothing",
    ReleaseAllWantsOne: "releases_of_nothing",
    CompleteAllIsReversed: "completes_answer_in_order",
    AnyOwnerCompletesAll: "completes_answer_in_order",
    CompleteAllReplacesTheStatus: "completes_answer_in_order",
    CompleteAllIsOnce: "completes_answer_in_order",
    CompleteAllReleases: "completes_answer_in_order",
    CompleteAllIsForNoTime: "completes_are_for_their_time",
    CompleteAllIsForGood: "completes_are_for_their_time",
    OfManyCompletedTheRestIsLost: "a_thousand_keys_of_one_owner",
    CompleteAllWantsOne: "completes_of_nothing",
    ForgetSaysYes: "forget_makes_it_the_first_again",
    PurgeKnowsNoLimit: "purge",
    PurgeMiscounts: "purge",
    KeysAreCutShort: "keys_one_bit_apart_do_not_meet",
    CompletedForGood: "what_has_expired_is_claimable",
    SameOwnerCountsUp: "the_same_owner_wins_again",
    ReleasedIsGrantedAgain: "a_late_claim_does_not_undo_a_release",
    ResponseIsLost: "a_response_is_kept",
    ResponseComesWithTheCompletion: "a_response_may_follow_the_completion",
    AnyOwnerResponds: "a_strangers_response_does_not_count",
    ResponseStays: "a_response_ends_with_its_record",
    Unreachable: "absent_is_won",
}

struct Faulty {
    inner: MemoryStore,
    fault: Fault,
    holders: Mutex<HashMap<ClaimKey, Holder>>,
    /// The first response of each key.
    responses: Mutex<HashMap<ClaimKey, StoredResponse>>,
}

impl Faulty {
    fn new(inner: MemoryStore, fault: Fault) -> Self {
        Self { inner, fault, holders: Mutex::default(), responses: Mutex::default() }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// Completes a completed claim as if it were not completed.
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

    /// Returns the holder, or the current one of its key.
    fn holder(&self, holder: &Holder, current: bool) -> Holder {
        let holders = self.holders.lock().unwrap();
        *holders.get(&holder.key).filter(|_| current).unwrap_or(holder)
    }

    async fn claim_one(&self, mut request: ClaimRequest) -> Result<ClaimOutcome, StoreError> {
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
        let outcome = self.inner.claim_one(&request).await?;
        let mut holders = self.holders.lock().unwrap();
        let is_holder = holders.get(&request.key) == Some(&request.holder());
        if let ClaimOutcome::Won { .. } = outcome {
            holders.insert(request.key, request.holder());
        }
        Ok(match (self.fault, outcome) {
            (Fault::SameOwnerCountsUp, ClaimOutcome::Won { attempt: 1 }) if is_holder => won(2),
            (Fault::AttemptStandsStill, ClaimOutcome::Won { attempt: 2 }) => won(1),
            (Fault::ReleasedIsGrantedAgain, ClaimOutcome::Busy { .. }) if is_holder => won(2),
            (Fault::LeaseLeftIsZero, ClaimOutcome::Busy { .. }) => {
                ClaimOutcome::Busy { lease_left: Duration::ZERO }
            }
            (_, outcome) => outcome,
        })
    }

    async fn settle_one(&self, holder: &Holder, step: Step) -> Result<Settled, StoreError> {
        let completes = matches!(step, Step::Complete { .. });
        let holder = self.holder(holder, completes && self.is(Fault::AnyOwnerCompletes));
        let step = match (self.fault, step) {
            (Fault::StatusIsLost, Step::Complete { ttl, .. }) => {
                Step::Complete { status: 200, ttl }
            }
            (Fault::CompletedForGood, Step::Complete { status, ttl }) => {
                Step::Complete { status, ttl: ttl * 1000 }
            }
            (Fault::ExtendDoesNothing, Step::Extend { .. }) => return Ok(Settled::Applied),
            (_, step) => step,
        };
        let settled = self.inner.settle_one(&holder, step).await?;
        match (self.fault, step, settled) {
            (Fault::ReleaseDeletes, Step::Release, Settled::Applied) => {
                self.inner.forget(&holder.key).await?;
            }
            (Fault::ExtendSaysYes, Step::Extend { .. }, _) => return Ok(Settled::Applied),
            _ => {}
        }
        Ok(settled)
    }
}

impl ClaimStore for Faulty {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        let mut outcomes = Vec::new();
        for request in requests {
            let (first, mut request) = (&requests[0], request.clone());
            match self.fault {
                Fault::ClaimAllHasOneLease => request.lease = first.lease,
                Fault::ClaimAllHasOneLife => request.ttl = first.ttl,
                Fault::ClaimAllHasOneRule => request.on_lease_expiry = first.on_lease_expiry,
                _ => {}
            }
            outcomes.push(self.claim_one(request).await?);
        }
        if self.is(Fault::ClaimAllIsReversed) {
            outcomes.reverse();
        }
        Ok(outcomes)
    }

    async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
        let (any_owner, wants_one, reversed) = match step {
            Step::Complete { .. } => (
                Fault::AnyOwnerCompletesAll,
                Fault::CompleteAllWantsOne,
                Fault::CompleteAllIsReversed,
            ),
            Step::Release => {
                (Fault::AnyOwnerReleasesAll, Fault::ReleaseAllWantsOne, Fault::ReleaseAllIsReversed)
            }
            Step::Extend { .. } => {
                (Fault::AnyOwnerExtendsAll, Fault::ExtendAllWantsOne, Fault::ExtendAllIsReversed)
            }
        };
        let step = match (self.fault, step, holders) {
            (_, _, []) if self.is(wants_one) => return Err(StoreError::new("no holders")),
            // The suite tries the lifetimes of completions of several claims one at a time.
            (Fault::CompleteAllIsForNoTime, Step::Complete { status, .. }, _) => {
                Step::Complete { status, ttl: Duration::ZERO }
            }
            (Fault::CompleteAllIsForGood, Step::Complete { status, ttl }, _) => {
                Step::Complete { status, ttl: ttl * 100_000 }
            }
            (_, step, [holder]) => return Ok(vec![self.settle_one(holder, step).await?]),
            (Fault::ExtendAllIsForNoTime, Step::Extend { .. }, _) => {
                Step::Extend { lease: Duration::ZERO }
            }
            (_, step, _) => step,
        };
        let mut settled = Vec::new();
        for (number, holder) in holders.iter().enumerate() {
            let holder = self.holder(holder, self.is(any_owner));
            let is_late = number >= 100;
            settled.push(match (self.fault, step) {
                // A renewal has the same result, and releases nothing.
                (Fault::OfManyTheRestIsLost, Step::Release) if is_late => {
                    self.settle_one(&holder, Step::Extend { lease: HOUR }).await?
                }
                (Fault::OfManyCompletedTheRestIsLost, Step::Complete { .. }) if is_late => {
                    Settled::Applied
                }
                (Fault::CompleteAllReleases, Step::Complete { .. }) => {
                    self.settle_one(&holder, Step::Release).await?
                }
                // A completed record is not released.
                (Fault::CompleteAllIsOnce, Step::Complete { .. })
                    if self.settle_one(&holder, Step::Release).await? != Settled::Applied =>
                {
                    Settled::Superseded
                }
                _ => self.settle_one(&holder, step).await?,
            });
            match (self.fault, step) {
                (Fault::CompleteAllReplacesTheStatus, Step::Complete { status, ttl })
                    if settled[number] == Settled::Applied =>
                {
                    self.replace(&holder, status, ttl).await?;
                }
                (Fault::ReleaseAllDeletes, Step::Release) => {
                    self.inner.forget(&holder.key).await?;
                }
                _ => {}
            }
        }
        if self.is(reversed) {
            settled.reverse();
        }
        Ok(settled)
    }

    async fn complete_with(
        &self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
        response: &StoredResponse,
    ) -> Result<Settled, StoreError> {
        self.responses.lock().unwrap().entry(holder.key).or_insert_with(|| response.clone());
        let holder = self.holder(holder, self.is(Fault::AnyOwnerResponds));
        let duplicate = ClaimRequest::new(holder.key, holder.owner, Fingerprint([0; 32]), MS, MS);
        let is_late = self.is(Fault::ResponseComesWithTheCompletion)
            && is_completed(self.inner.claim_one(&duplicate).await?);
        if is_late || self.is(Fault::ResponseIsLost) {
            return self.inner.complete(&holder, status, ttl).await;
        }
        self.inner.complete_with(&holder, status, ttl, response).await
    }

    async fn response(
        &self,
        key: &ClaimKey,
        limit: Duration,
    ) -> Result<Option<StoredResponse>, StoreError> {
        match self.fault {
            Fault::ResponseStays => Ok(self.responses.lock().unwrap().get(key).cloned()),
            _ => self.inner.response(key, limit).await,
        }
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        let forgot = self.inner.forget(key).await?;
        Ok(forgot || self.is(Fault::ForgetSaysYes))
    }

    async fn purge(&self, max: usize) -> Result<usize, StoreError> {
        match self.fault {
            Fault::PurgesNothing => Ok(0),
            Fault::PurgeKnowsNoLimit => self.inner.purge(usize::MAX).await,
            Fault::PurgeMiscounts => Ok(2 * self.inner.purge(max).await?),
            _ => self.inner.purge(max).await,
        }
    }
}

/// The case about each fault finds it.
#[test]
fn the_cases_find_what_is_wrong() {
    for (fault, case) in FAULTS {
        // Shared, so that the calls are passed on.
        let wrap = |inner| Arc::new(Faulty::new(inner, *fault));
        let Err(failures) = suite(wrap, false) else { panic!("no case finds {fault:?}") };
        let found: Vec<_> = failures.cases().collect();
        assert!(found.contains(case), "{fault:?}: {failures}");
    }
}

/// A store that deletes expired records by itself may purge nothing. Another store may not.
#[test]
fn a_store_that_clears_by_itself_need_not_count() {
    let wrap = |inner| Faulty::new(inner, Fault::PurgesNothing);
    suite(wrap, true).unwrap();
    let failures = suite(wrap, false).unwrap_err();
    assert_eq!(failures.cases().collect::<Vec<_>>(), ["purge"]);
}

/// A full store does not delete a record whose expired lease is held, either.
#[tokio::test]
async fn a_full_store_does_not_forget_what_is_held() {
    let clock = HandClock::new();
    let store = MemoryStore::with_capacity(2).clock(clock.clone());
    let held = || request(1).on_lease_expiry(OnLeaseExpiry::Hold);
    assert_eq!(store.claim_one(&held()).await.unwrap(), won(1));
    assert_eq!(store.claim_one(&request(2)).await.unwrap(), won(1));
    clock.advance(held().lease);
    // The lease of the other has expired, so its place is free.
    assert_eq!(store.claim_one(&request(3)).await.unwrap(), won(1));
    assert!(store.claim_one(&request(4)).await.is_err(), "both places are taken");
    assert!(is_busy(store.claim_one(&held()).await.unwrap()));
    clock.advance(HOUR);
    assert_eq!(store.claim_one(&request(4)).await.unwrap(), won(1));
}
