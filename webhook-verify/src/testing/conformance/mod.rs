//! Tests that every [`ClaimStore`] has to pass, including your own.
//!
//! They check only what the documentation of [`ClaimStore`] promises. Stores may differ in
//! everything else.
//!
//! ```
//! # fn block_on<F: Future>(future: F) -> F::Output {
//! #     let mut future = std::pin::pin!(future);
//! #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
//! #     loop {
//! #         let poll = future.as_mut().poll(&mut context);
//! #         if let std::task::Poll::Ready(output) = poll { return output }
//! #     }
//! # }
//! use std::{sync::{Arc, Mutex}, time::Duration};
//! use webhook_verify::{MemoryStore, testing::conformance::Suite};
//!
//! // A clock that the test moves. For a store on a server, which has its own clock, `advance` is a
//! // real sleep: `tokio::time::sleep`.
//! let now = Arc::new(Mutex::new(Duration::ZERO));
//! let clock = Arc::clone(&now);
//! let store = MemoryStore::new().clock(move || *clock.lock().unwrap());
//!
//! # block_on(async {
//! Suite::new(&store).run(async |time| *now.lock().unwrap() += time).await?;
//! # Ok::<(), webhook_verify::testing::conformance::Failures>(())
//! # }).unwrap();
//! ```
//!
//! With real sleeps the suite takes about ten seconds. No case fails because the machine is slow:
//! leases that must not expire are long, and a case whose calls outlast a short-lived record runs
//! again with longer lifetimes. The store may contain other claims, because each case uses random
//! keys, but nothing else should purge it meanwhile.
//!
//! # What is checked
//!
//! * **Claims.** An absent key is granted with attempt 1. While the lease lives, other owners get
//!   `Busy` with the time left. The same owner is granted the claim again, with the same attempt
//!   and without a longer lease. A released key is granted at once, with the next attempt. A
//!   completed key stays completed, with its status (200 to 599) and its body's fingerprint. A
//!   takeover replaces the fingerprint.
//! * **Steps.** Each may be repeated. A late step takes effect if nobody took over. `Extend` counts
//!   from now on and never revives a released or completed claim. A claim that arrives after its
//!   own release is not granted. The steps of other owners and of superseded holders change
//!   nothing.
//! * **Expired leases.** Another owner takes over by default. With `Hold` the claim stays busy
//!   until its record expires or is forgotten. `Hold` affects only expired leases.
//! * **Lifetimes.** An expired record is claimed like an absent one. Of several lifetimes the
//!   longest counts. Ten years are possible. `purge` deletes only expired records, and at most
//!   `max`.
//! * **Batches.** `claim` and each step return one result per key, in order, for no key, one and
//!   1,000. Requests of one call may differ in owner, lease and lifetime. Keys that differ in one
//!   bit are different, and any 32 bytes are a key. Of owners that race for a key, one wins.
//! * **Responses.** `complete_with` completes as the step does. The owner may add the response to a
//!   claim that it has completed, other owners change nothing. `response` returns the response of
//!   up to 64 KiB until the record expires or is forgotten, and never that of an earlier record. A
//!   store that [keeps none](Suite::keeps_responses) returns `None`.
//! * **`forget`.** It deletes any record and returns whether there was one. The next claim is like
//!   the first.
//!
//! The suite runs in one task, which polls racing claims concurrently. If your store's calls never
//! wait, test races with threads in a test of your own.

mod bench;
mod claims;
mod holders;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub mod inbox;
mod lapses;
mod lifetimes;
mod many;
mod responses;

use std::{error, fmt, time::Duration};

use self::bench::Bench;
use crate::claim::ClaimStore;

/// Runs the cases on a store.
#[derive(Debug)]
#[must_use = "nothing is tested until `run` is called"]
pub struct Suite<'a, S> {
    store: &'a S,
    tick: Duration,
    clears_by_itself: bool,
    keeps_responses: bool,
}

/// The cases that a store failed, with what it did instead.
pub struct Failures(Vec<(&'static str, String)>);

impl<'a, S: ClaimStore> Suite<'a, S> {
    /// Returns the suite for `store`.
    pub fn new(store: &'a S) -> Self {
        let tick = Duration::from_millis(200);
        Self { store, tick, clears_by_itself: false, keeps_responses: false }
    }

    /// Sets the length of the shortest leases. The default is 200 ms. A store whose clock counts in
    /// seconds needs two seconds.
    pub fn tick(mut self, tick: Duration) -> Self {
        self.tick = tick;
        self
    }

    /// Declares that the store deletes expired records by itself. The suite then does not check how
    /// many of them [`purge`](ClaimStore::purge) deletes.
    pub fn clears_by_itself(mut self) -> Self {
        self.clears_by_itself = true;
        self
    }

    /// Declares that the store keeps responses. Otherwise [`response`](ClaimStore::response) may
    /// return `None` for each claim, as it does by default.
    pub fn keeps_responses(mut self) -> Self {
        self.keeps_responses = true;
        self
    }

    /// Runs all cases in sequence. `advance` lets the given time pass on the store's clock.
    ///
    /// # Errors
    ///
    /// [`Failures`], which names the cases that failed.
    pub async fn run(self, advance: impl AsyncFn(Duration)) -> Result<(), Failures> {
        let mut failures = Vec::new();
        macro_rules! run {
            ($($module:ident: $($case:ident)*;)*) => {$($(
                let mut bench = Bench::new(&self, &advance);
                let mut checked = $module::$case(&bench).await;
                while checked.is_err() && bench.was_too_slow() {
                    bench = bench.with_longer_lives().await;
                    checked = $module::$case(&bench).await;
                }
                if let Err(what) = checked {
                    failures.push((stringify!($case), what));
                }
            )*)*};
        }
        run! {
            claims: absent_is_won busy_while_the_lease_lives the_same_owner_wins_again
                released_is_won_with_the_next_attempt completed_stays every_status_is_kept
                a_takeover_replaces_the_fingerprint;
            holders: repeated_calls_change_nothing a_late_call_counts_if_nobody_took_over
                extend_does_not_bring_back_what_is_settled a_late_claim_does_not_undo_a_release
                extend_counts_from_now a_stranger_changes_nothing
                a_superseded_holder_changes_nothing
                an_old_holder_does_not_come_back_after_a_release forget_makes_it_the_first_again;
            lapses: a_lapsed_claim_is_taken_over a_lapsed_claim_is_held
                hold_concerns_lapsed_claims_only what_is_held_is_let_go_by_forget;
            lifetimes: what_has_expired_is_claimable the_longest_life_counts ten_years;
            many: claims_answer_in_order claims_of_different_terms claims_of_nothing
                extends_answer_in_order extends_of_nothing releases_answer_in_order
                releases_of_nothing completes_answer_in_order completes_are_for_their_time
                completes_of_nothing a_thousand_keys_of_one_owner keys_one_bit_apart_do_not_meet
                any_byte_is_fit_for_a_key racing_claims_have_one_winner;
            lifetimes: purge;
            responses: a_response_is_kept a_response_may_follow_the_completion
                a_strangers_response_does_not_count a_response_ends_with_its_record;
        }
        if failures.is_empty() { Ok(()) } else { Err(Failures(failures)) }
    }
}

impl Failures {
    /// Returns the names of the failed cases.
    pub fn cases(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(case, _)| *case)
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} case(s) failed", self.0.len())?;
        for (case, what) in &self.0 {
            write!(f, "\n{case}: {what}")?;
        }
        Ok(())
    }
}

/// Formats like `Display`, for tests that unwrap.
impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for Failures {}

#[cfg(test)]
mod tests {
    use std::{
        future::ready,
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
        task::{Context, Poll, Waker},
        thread::sleep,
    };

    use super::*;
    use crate::claim::{
        ClaimKey, ClaimOutcome, ClaimRequest, Holder, MemoryStore, Settled, Step, StoreError,
    };

    const TICK: Duration = Duration::from_millis(4);

    /// A store on a machine that stalls for longer than the lifetimes of the first try.
    struct Slow {
        inner: MemoryStore,
        stalls: AtomicUsize,
    }

    impl ClaimStore for Slow {
        async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
            let outcomes = self.inner.claim(requests).await;
            let ttl = requests.iter().map(|request| request.ttl).min();
            if let Some(ttl) = ttl.filter(|ttl| *ttl <= TICK * 5) {
                self.stalls.fetch_add(1, Relaxed);
                sleep(ttl + TICK);
            }
            outcomes
        }

        async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
            self.inner.settle(holders, step).await
        }

        async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
            self.inner.forget(key).await
        }

        async fn purge(&self, max: usize) -> Result<usize, StoreError> {
            self.inner.purge(max).await
        }
    }

    #[test]
    fn a_slow_machine_is_no_failure() {
        let (inner, stalls) = (MemoryStore::new(), AtomicUsize::new(0));
        let store = Slow { inner, stalls };
        let run = pin!(Suite::new(&store).tick(TICK).run(|time| {
            sleep(time);
            ready(())
        }));
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(result) = run.poll(&mut context) else {
            panic!("memory does not wait");
        };
        result.unwrap();
        assert!(store.stalls.load(Relaxed) > 10, "nothing was slow");
    }
}
