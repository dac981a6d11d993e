use std::{
    slice,
    time::{Duration, Instant},
};

use super::{
    Claim, ClaimEventKind, Holder, Known, Progress, Settled, Step, StoreError, answer_within,
};
use crate::timer::Timer;

/// How long to wait before a claim is settled for the second time; each time after that four times as long, up to the
/// longest.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(1600);

impl Claim {
    /// Completes the claim of an event that is done.
    pub(crate) async fn complete(&self, status: u16, timer: &impl Timer) {
        complete(slice::from_ref(self), status, Progress::Settled, timer).await;
    }

    /// Whether a handler that answers so has done what it was to do.
    pub(crate) fn completes(&self, status: u16) -> bool {
        self.keeper().completes(status)
    }

    /// For how long a claim of another may shut others out.
    pub(crate) fn lease(&self) -> Duration {
        self.keeper().lease
    }

    /// The status for what is in flight elsewhere.
    pub(crate) fn in_flight_status(&self) -> u16 {
        self.keeper().in_flight_status
    }

    pub(super) fn report(&self, kind: ClaimEventKind<'_>) {
        self.keeper().report(self.key(), kind);
    }
}

/// Claims that are being settled. If that is given up, they are known to be done, and their leases are renewed until it is made
/// again.
struct Settling<'c>(&'c [Claim]);

impl<'c> Settling<'c> {
    fn begin(claims: &'c [Claim]) -> Self {
        set_all(claims, Progress::Settling);
        Self(claims)
    }

    fn end(self, progress: Progress) {
        set_all(self.0, progress);
    }
}

impl Drop for Settling<'_> {
    fn drop(&mut self) {
        let is_settling = |claim: &&Claim| claim.progress() == Progress::Settling;
        let given_up = self.0.iter().filter(is_settling);
        given_up.for_each(|claim| claim.set_progress(Progress::Done));
    }
}

fn set_all(claims: &[Claim], progress: Progress) {
    let all = claims.iter();
    all.for_each(|claim| claim.set_progress(progress));
}

/// Completes claims of one delivery with the status of a success.
pub(crate) async fn complete(
    claims: &[Claim],
    status: u16,
    progress: Progress,
    timer: &impl Timer,
) {
    let settling = Settling::begin(claims);
    let mut rest = claims;
    while let Some(first) = rest.first() {
        // One that a handler's own transaction has completed is so, whatever is said now.
        if let Some(status) = first.committed() {
            first.report(ClaimEventKind::Completed { status });
            rest = &rest[1..];
            continue;
        }
        // As a rule they all live for as long.
        let ttl = first.request().ttl;
        let is_like_it = |it: &&Claim| it.committed().is_none() && it.request().ttl == ttl;
        let same = rest.iter().take_while(is_like_it);
        let (same, others) = rest.split_at(same.count());
        settle(same, Some(status), timer).await;
        rest = others;
    }
    settling.end(progress);
}

/// Gives back claims of one delivery. Those that a transaction of the handler's turns out to have completed are
/// [settled](Progress::Settled) after it, and the others not.
pub(crate) async fn release(claims: &[Claim], timer: &impl Timer) {
    if !claims.is_empty() {
        set_all(claims, Progress::Released);
        settle(claims, None, timer).await;
    }
}

/// Completes claims of one delivery with the status of their `success`, or gives them back.
async fn settle(claims: &[Claim], success: Option<u16>, timer: &impl Timer) {
    let keeper = claims[0].keeper();
    let ttl = claims[0].request().ttl;
    let step = success.map_or(Step::Release, |status| Step::Complete { status, ttl });
    let (begun, mut pause) = (Instant::now(), PAUSE);
    for tries_left in (0..keeper.complete_tries).rev() {
        match settle_once(claims, step, timer).await {
            Ok(settled) => {
                for (claim, settled) in claims.iter().zip(settled) {
                    claim.report(match (settled, success) {
                        (Settled::Applied, Some(status)) => ClaimEventKind::Completed { status },
                        (Settled::Applied, None) => ClaimEventKind::Released,
                        // It was committed by somebody else than the store.
                        (Settled::Superseded, None) if claim.is_open() && !claim.is_lost() => {
                            claim.set_progress(Progress::Settled);
                            continue;
                        }
                        (Settled::Superseded, _) => ClaimEventKind::LeaseLost,
                    });
                }
                return;
            }
            Err(error) => {
                let call = match success {
                    Some(_) => "complete",
                    None => "release",
                };
                let error = &error;
                claims[0].report(ClaimEventKind::StoreFailed { call, error });
            }
        }
        // Once the lease has lapsed, another may have it, and the handler's answer has waited for long enough.
        if tries_left == 0 || begun.elapsed() + pause >= keeper.lease {
            break;
        }
        timer.sleep(pause).await;
        pause = (pause * 4).min(LONGEST_PAUSE);
    }
    let Some(status) = success else { return };
    // The store does not know. Here at least they are not run again.
    for claim in claims {
        let fingerprint = claim.request().fingerprint;
        let known = Known { status, fingerprint };
        keeper.remember(claim.key(), known, claim.era());
    }
}

async fn settle_once(
    claims: &[Claim],
    step: Step,
    timer: &impl Timer,
) -> Result<Vec<Settled>, StoreError> {
    let keeper = claims[0].keeper();
    let holders = holders(claims);
    let settled = keeper.store.settle(&holders, step);
    let settled = answer_within(settled, timer, keeper.call_limit()).await?;
    of_all(settled, claims.len())
}

pub(super) fn holders<'a>(claims: impl IntoIterator<Item = &'a Claim>) -> Vec<Holder> {
    claims.into_iter().map(Claim::holder).collect()
}

/// A store that answers for fewer than it was asked about has not answered.
pub(crate) fn of_all<T>(answers: Vec<T>, asked: usize) -> Result<Vec<T>, StoreError> {
    match answers.len() == asked {
        true => Ok(answers),
        false => {
            Err(StoreError::new("the store answered for fewer or more than it was asked about"))
        }
    }
}
