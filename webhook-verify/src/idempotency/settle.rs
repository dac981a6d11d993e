use std::{
    slice,
    time::{Duration, Instant},
};

use smallvec::{SmallVec, smallvec};

use super::{Claim, ClaimEventKind, Holder, Known, Settled, StoreError, key::Progress};
use crate::timer::{Timer, answer_within};

/// How long to wait before a claim is settled for the second time; each time after that four times as long, up to the
/// longest.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(1600);

impl Claim {
    /// Completes the claim with the status of a success. If that is given up, its lease is renewed until it is made again.
    pub(crate) async fn complete(&self, status: u16, timer: &impl Timer) {
        let _settling = Settling::begin(self);
        match self.committed() {
            // By the handler itself, and whatever it answers does not change that.
            Some(status) => self.report(ClaimEventKind::Completed { status }),
            None => settle(slice::from_ref(self), Some(status), timer).await,
        }
        self.set_progress(Progress::Settled);
    }

    /// Whether a handler that answers so has done what it was to do.
    pub(crate) fn completes(&self, status: u16) -> bool {
        self.idempotency().completes(status)
    }

    pub(super) fn report(&self, kind: ClaimEventKind<'_>) {
        self.idempotency().report(self.key(), kind);
    }
}

/// A claim that is being settled, or was until this was dropped.
struct Settling<'c>(&'c Claim);

impl<'c> Settling<'c> {
    fn begin(claim: &'c Claim) -> Self {
        claim.set_progress(Progress::Settling);
        Self(claim)
    }
}

impl Drop for Settling<'_> {
    fn drop(&mut self) {
        if self.0.progress() == Progress::Settling {
            self.0.set_progress(Progress::Done);
        }
    }
}

/// Gives back claims of one delivery.
pub(crate) async fn release(claims: &[Claim], timer: &impl Timer) {
    for claim in claims {
        claim.set_progress(Progress::Settling);
    }
    if !claims.is_empty() {
        settle(claims, None, timer).await;
    }
}

/// Completes one claim with the status of its `success`, or gives claims of one delivery back.
async fn settle(claims: &[Claim], success: Option<u16>, timer: &impl Timer) {
    let idempotency = claims[0].idempotency();
    let (begun, mut pause) = (Instant::now(), PAUSE);
    for tries_left in (0..idempotency.complete_tries).rev() {
        match settle_once(claims, success, timer).await {
            Ok(settled) => {
                for (claim, settled) in claims.iter().zip(settled) {
                    claim.report(match (settled, success) {
                        (Settled::Applied, Some(status)) => ClaimEventKind::Completed { status },
                        (Settled::Applied, None) => ClaimEventKind::Released,
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
        if tries_left == 0 || begun.elapsed() + pause >= idempotency.lease {
            break;
        }
        timer.sleep(pause).await;
        pause = (pause * 4).min(LONGEST_PAUSE);
    }
    if let Some(status) = success {
        // The store does not know. Here at least it is not run again.
        let claim = &claims[0];
        let fingerprint = claim.request().fingerprint;
        let known = Known {
            status,
            fingerprint,
        };
        idempotency.remember(claim.key(), known, claim.era());
    }
}

async fn settle_once(
    claims: &[Claim],
    success: Option<u16>,
    timer: &impl Timer,
) -> Result<SmallVec<[Settled; 1]>, StoreError> {
    let idempotency = claims[0].idempotency();
    let (store, limit) = (&idempotency.store, idempotency.call_limit());
    Ok(match (claims, success) {
        ([claim, ..], Some(status)) => {
            let (holder, ttl) = (claim.holder(), claim.request().ttl);
            let completed = store.complete(&holder, status, ttl);
            smallvec![answer_within(completed, timer, limit).await?]
        }
        ([claim], None) => {
            let holder = claim.holder();
            smallvec![answer_within(store.release(&holder), timer, limit).await?]
        }
        (many, None) => {
            let holders = holders(many);
            let released = answer_within(store.release_all(&holders), timer, limit).await?;
            of_all(released, many.len())?.into()
        }
        ([], Some(_)) => SmallVec::new(),
    })
}

pub(super) fn holders<'a>(claims: impl IntoIterator<Item = &'a Claim>) -> Vec<Holder> {
    claims.into_iter().map(Claim::holder).collect()
}

/// A store that answers for fewer than it was asked about has not answered.
pub(crate) fn of_all<T>(answers: Vec<T>, asked: usize) -> Result<Vec<T>, StoreError> {
    match answers.len() == asked {
        true => Ok(answers),
        false => Err(StoreError::new(
            "the store answered for fewer or more than it was asked about",
        )),
    }
}
