use std::{
    error::Error as _,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::Suite;
use crate::claim::{
    ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Fingerprint, Holder, Owner, Settled, Step,
    StoreError, StoredResponse,
};

/// The result of a case: nothing, or what the store did wrong.
pub(super) type CaseResult<T = ()> = Result<T, String>;

/// A lease that does not expire while a case runs, however slow the machine is.
pub(super) const LONG: Duration = Duration::from_secs(600);
/// A lifetime that outlasts all cases.
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// The factor by which lifetimes grow with each try.
const GROWTH: u32 = 4;
/// The factor of the last try. Its lifetimes are about a minute by default.
const MAX_FACTOR: u32 = 64;

/// A store, its clock, and the checks that cases share.
///
/// No case relies on a short lease being valid a moment later. A short lifetime, however, has to
/// last for a few calls. On a machine where it does not, the case runs again with longer lifetimes.
pub(super) struct Bench<'a, S, A> {
    pub(super) store: &'a S,
    advance: &'a A,
    tick: Duration,
    /// Whether the store deletes expired records by itself.
    pub(super) clears_by_itself: bool,
    /// Whether the store has to keep responses.
    keeps_responses: bool,
    /// The factor by which lifetimes are longer than at first.
    factor: u32,
    start: Instant,
    /// The nanoseconds that the case spent in `advance`, during which no call waits.
    advancing: AtomicU64,
}

/// A holder's call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Complete(u16),
    Release,
    Extend,
}

impl<'a, S: ClaimStore, A: AsyncFn(Duration)> Bench<'a, S, A> {
    pub(super) fn new(suite: &Suite<'a, S>, advance: &'a A) -> Self {
        Self {
            store: suite.store,
            advance,
            tick: suite.tick,
            clears_by_itself: suite.clears_by_itself,
            keeps_responses: suite.keeps_responses,
            factor: 1,
            start: Instant::now(),
            advancing: AtomicU64::new(0),
        }
    }

    /// Returns whether the case's calls took so long that a short lifetime may have ended between
    /// them.
    pub(super) fn was_too_slow(&self) -> bool {
        let advancing = Duration::from_nanos(self.advancing.load(Relaxed));
        let calling = self.start.elapsed().saturating_sub(advancing);
        calling >= self.life() && self.factor < MAX_FACTOR
    }

    /// Returns the bench for the next try, after the records of this one have expired.
    pub(super) async fn with_longer_lives(self) -> Self {
        self.expire().await;
        Self {
            factor: self.factor * GROWTH,
            start: Instant::now(),
            advancing: AtomicU64::new(0),
            ..self
        }
    }

    /// Lets short leases expire.
    pub(super) async fn lapse(&self) {
        self.advance(self.tick + self.tick / 4).await;
    }

    /// Lets short lifetimes end.
    pub(super) async fn expire(&self) {
        self.advance(self.life() + self.tick / 4).await;
    }

    async fn advance(&self, time: Duration) {
        let start = Instant::now();
        (self.advance)(time).await;
        let took = start.elapsed().as_nanos().try_into().unwrap_or(u64::MAX);
        self.advancing.fetch_add(took, Relaxed);
    }

    /// Returns a lease that expires during a case.
    pub(super) fn short(&self) -> Duration {
        self.tick
    }

    /// Returns a lifetime that ends during a case.
    pub(super) fn life(&self) -> Duration {
        self.tick * 5 * self.factor
    }

    /// Returns a claim of a new key, with a long lease.
    pub(super) fn fresh(&self) -> CaseResult<ClaimRequest> {
        self.request(ClaimKey::from(random()?), LONG, HOUR)
    }

    /// Returns the same with a lease that expires.
    pub(super) fn brief(&self) -> CaseResult<ClaimRequest> {
        self.request(ClaimKey::from(random()?), self.short(), HOUR)
    }

    /// Returns the same with a lifetime that ends.
    pub(super) fn fleeting(&self) -> CaseResult<ClaimRequest> {
        self.request(ClaimKey::from(random()?), self.short(), self.life())
    }

    /// Returns another owner's claim of the same key, with a long lease.
    pub(super) fn again(&self, request: &ClaimRequest) -> CaseResult<ClaimRequest> {
        self.request(request.key, LONG, HOUR)
    }

    pub(super) fn request(
        &self,
        key: ClaimKey,
        lease: Duration,
        ttl: Duration,
    ) -> CaseResult<ClaimRequest> {
        let owner = Owner::random().map_err(failed)?;
        let body = Fingerprint(random()?);
        Ok(ClaimRequest::new(key, owner, body, lease, ttl))
    }

    pub(super) async fn claim(&self, request: &ClaimRequest) -> CaseResult<ClaimOutcome> {
        let outcomes = self.claim_all(std::slice::from_ref(request)).await?;
        Ok(outcomes[0])
    }

    /// Claims the keys, and checks that there are as many outcomes as requests.
    pub(super) async fn claim_all(
        &self,
        requests: &[ClaimRequest],
    ) -> CaseResult<Vec<ClaimOutcome>> {
        let outcomes = self.store.claim(requests).await.map_err(failed)?;
        let (expected, got) = (requests.len(), outcomes.len());
        is(got == expected, "claim", &format!("{expected} outcomes"), got)?;
        Ok(outcomes)
    }

    pub(super) async fn call(&self, holder: &Holder, call: Call) -> CaseResult<Settled> {
        self.call_for(holder, call, HOUR).await
    }

    /// Makes a holder's call. `time` is the lifetime for a completion, or the lease for an
    /// extension.
    pub(super) async fn call_for(
        &self,
        holder: &Holder,
        call: Call,
        time: Duration,
    ) -> CaseResult<Settled> {
        let settled = self.settle_all(&[*holder], call, time).await?;
        Ok(settled[0])
    }

    /// Makes the call for all holders, and checks that there are as many results as holders.
    pub(super) async fn settle_all(
        &self,
        holders: &[Holder],
        call: Call,
        time: Duration,
    ) -> CaseResult<Vec<Settled>> {
        let step = match call {
            Call::Complete(status) => Step::Complete { status, ttl: time },
            Call::Release => Step::Release,
            Call::Extend => Step::Extend { lease: time },
        };
        let settled = self.store.settle(holders, step).await.map_err(failed)?;
        let (expected, got) = (holders.len(), settled.len());
        let when = format!("{call:?} of {expected}");
        is(got == expected, &when, &format!("{expected} results"), got)?;
        Ok(settled)
    }

    /// Claims the key, and checks that it is granted with this attempt.
    pub(super) async fn wins(
        &self,
        request: &ClaimRequest,
        attempt: u64,
        when: &str,
    ) -> CaseResult<()> {
        let outcome = self.claim(request).await?;
        let expected = ClaimOutcome::Won { attempt };
        is(outcome == expected, when, &format!("{expected:?}"), outcome)
    }

    /// Claims the key, and checks that it is granted with any attempt: that of an expired record
    /// may continue to count.
    pub(super) async fn wins_anew(&self, request: &ClaimRequest, when: &str) -> CaseResult<()> {
        let outcome = self.claim(request).await?;
        let won = matches!(outcome, ClaimOutcome::Won { attempt } if attempt > 0);
        is(won, when, "Won", outcome)
    }

    /// Claims the request's key for another owner, and checks that it is busy for at most `most`.
    pub(super) async fn is_busy(
        &self,
        request: &ClaimRequest,
        most: Duration,
        when: &str,
    ) -> CaseResult<Duration> {
        let outcome = self.claim(&self.again(request)?).await?;
        match outcome {
            ClaimOutcome::Busy { lease_left } if lease_left <= most => Ok(lease_left),
            _ => Err(unexpected(when, &format!("Busy for {most:?} at most"), outcome)),
        }
    }

    /// Claims the request's key for another owner, and checks that it is completed, with this
    /// status and the body of `request`.
    pub(super) async fn is_completed(
        &self,
        request: &ClaimRequest,
        status: u16,
        when: &str,
    ) -> CaseResult<()> {
        let outcome = self.claim(&self.again(request)?).await?;
        let ClaimOutcome::Completed { status: stored, fingerprint } = outcome else {
            return Err(unexpected(when, "Completed", outcome));
        };
        is(stored == status, when, &format!("status {status}"), stored)?;
        let same = fingerprint == request.fingerprint;
        is(same, when, "the fingerprint of the body that ran", "another")
    }

    pub(super) async fn applies(
        &self,
        request: &ClaimRequest,
        call: Call,
        when: &str,
    ) -> CaseResult {
        self.applies_for(request, call, HOUR, when).await
    }

    /// Checks that the holder's call takes effect. `time` is as for [`call_for`](Self::call_for).
    pub(super) async fn applies_for(
        &self,
        request: &ClaimRequest,
        call: Call,
        time: Duration,
        when: &str,
    ) -> CaseResult {
        let settled = self.call_for(&request.holder(), call, time).await?;
        let when = format!("{when}, {call:?}");
        is(settled == Settled::Applied, &when, "Applied", settled)
    }

    pub(super) async fn is_superseded(
        &self,
        request: &ClaimRequest,
        call: Call,
        when: &str,
    ) -> CaseResult {
        let settled = self.call(&request.holder(), call).await?;
        let when = format!("{when}, {call:?}");
        is(settled == Settled::Superseded, &when, "Superseded", settled)
    }

    /// Checks that the holder's completion with a response takes effect.
    pub(super) async fn applies_with(
        &self,
        request: &ClaimRequest,
        status: u16,
        ttl: Duration,
        response: &StoredResponse,
        when: &str,
    ) -> CaseResult {
        let settled = self.store.complete_with(&request.holder(), status, ttl, response).await;
        let settled = settled.map_err(failed)?;
        let when = format!("{when}, complete_with");
        is(settled == Settled::Applied, &when, "Applied", settled)
    }

    /// Checks that the completion with a response by the request's owner has no effect.
    pub(super) async fn is_superseded_with(
        &self,
        request: &ClaimRequest,
        response: &StoredResponse,
        when: &str,
    ) -> CaseResult {
        let settled = self.store.complete_with(&request.holder(), 299, HOUR, response).await;
        let settled = settled.map_err(failed)?;
        let when = format!("{when}, complete_with");
        is(settled == Settled::Superseded, &when, "Superseded", settled)
    }

    /// Checks the response that is stored under the request's key.
    pub(super) async fn has_response(
        &self,
        request: &ClaimRequest,
        expected: Option<&StoredResponse>,
        when: &str,
    ) -> CaseResult {
        let stored = self.store.response(&request.key, request.limit).await.map_err(failed)?;
        let is_ignored = stored.is_none() && !self.keeps_responses;
        is(is_ignored || stored.as_ref() == expected, when, &format!("{expected:?}"), &stored)
    }

    /// Deletes the record of the request's key, which exists.
    pub(super) async fn forget(&self, request: &ClaimRequest) -> CaseResult {
        let forgotten = self.store.forget(&request.key).await.map_err(failed)?;
        is(forgotten, "forget", "true", forgotten)
    }

    /// Checks that no call of the request's owner takes effect.
    pub(super) async fn is_shut_out(&self, request: &ClaimRequest, when: &str) -> CaseResult {
        for call in [Call::Extend, Call::Release, Call::Complete(299)] {
            self.is_superseded(request, call, when).await?;
        }
        Ok(())
    }
}

/// Returns `Ok` if `right`, or else a sentence with the expected and the actual value.
pub(super) fn is(right: bool, when: &str, expected: &str, got: impl std::fmt::Debug) -> CaseResult {
    if right { Ok(()) } else { Err(unexpected(when, expected, got)) }
}

pub(super) fn unexpected(when: &str, expected: &str, got: impl std::fmt::Debug) -> String {
    format!("{when}: expected {expected}, got {got:?}")
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(super) fn failed(error: StoreError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

pub(super) fn random() -> CaseResult<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Polls the futures concurrently until all are done.
pub(super) async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    enum Slot<F: Future> {
        Running(Pin<Box<F>>),
        Done(F::Output),
    }
    let mut slots: Vec<_> =
        futures.into_iter().map(|future| Slot::Running(Box::pin(future))).collect();
    let mut all_done = pin!(poll_fn(|cx: &mut Context<'_>| {
        let mut pending = false;
        for slot in &mut slots {
            if let Slot::Running(future) = slot {
                match future.as_mut().poll(cx) {
                    Poll::Ready(output) => *slot = Slot::Done(output),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    }));
    all_done.as_mut().await;
    let outputs = slots.into_iter().filter_map(|slot| match slot {
        Slot::Done(output) => Some(output),
        Slot::Running(_) => None,
    });
    outputs.collect()
}
