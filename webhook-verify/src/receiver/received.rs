use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Admission, Admitted, Timer, admitted::Held, timer::answer_within};
use crate::{
    Answer, Delivery, Idempotency, Rejection, StoreError,
    idempotency::{
        Claim, ClaimEventKind, ClaimOutcome, ClaimRequest, Known, Lookup, OnMismatch,
        OnStoreFailure, Replay,
    },
};

/// How often the store is asked about a delivery that is in flight elsewhere.
const IN_FLIGHT_PAUSE: Duration = Duration::from_millis(100);

/// A verified delivery on its way to its handler, or the answer to a challenge.
///
/// Up to here a request may be dropped at any moment. From [`admit`](Self::admit) on it has to be driven to its end,
/// whatever becomes of its client, if it [must finish](Self::must_finish).
#[derive(Debug)]
#[must_use]
pub struct Received {
    pub(super) outcome: Outcome,
    pub(super) idempotency: Option<Arc<Idempotency>>,
}

/// Boxed: it goes through several futures on its way to the handler.
#[derive(Debug)]
pub(super) enum Outcome {
    Delivery(Box<Delivery>),
    Answer(Box<Answer>),
}

impl Received {
    /// The verified delivery. `None` where a challenge was answered, which no handler sees.
    #[must_use]
    pub fn delivery(&self) -> Option<&Delivery> {
        match &self.outcome {
            Outcome::Delivery(delivery) => Some(delivery),
            Outcome::Answer(_) => None,
        }
    }

    /// Whether a client that goes away must not stop what comes now. So it is wherever deliveries are deduplicated: a
    /// handler that was cut off has done half of its work, and a claim that nobody settles holds retries up. See
    /// [`Idempotency::run_to_completion`].
    #[must_use]
    pub fn must_finish(&self) -> bool {
        self.idempotency
            .as_ref()
            .is_some_and(|idempotency| idempotency.run_to_completion)
    }

    /// Claims the delivery, if deliveries are deduplicated and this one has an identity. What is a challenge is answered.
    ///
    /// # Errors
    ///
    /// [`Rejection`]: what to answer instead. It has been logged.
    pub async fn admit(self, timer: impl Timer) -> Result<Admission, Rejection> {
        let delivery = match self.outcome {
            Outcome::Delivery(delivery) => delivery,
            Outcome::Answer(answer) => return Ok(Admission::Answer(*answer)),
        };
        let Some(idempotency) = self.idempotency else {
            return Ok(admitted(delivery, None));
        };
        let scheme = Arc::clone(&delivery.scheme);
        // Boxed, so that a delivery without a claim does not carry it along.
        let admission = Box::pin(claim(delivery, idempotency, timer)).await;
        admission.inspect_err(|rejection| rejection.log(scheme.name()))
    }
}

async fn claim(
    mut delivery: Box<Delivery>,
    idempotency: Arc<Idempotency>,
    timer: impl Timer,
) -> Result<Admission, Rejection> {
    let Some(request) = idempotency.request(&delivery)? else {
        return Ok(admitted(delivery, None));
    };
    let key = request.key;
    let era = match idempotency.look_up(&key) {
        Lookup::Known(known) => return duplicate(&idempotency, &request, known),
        Lookup::Unknown(era) => era,
    };
    let (outcome, asked) = match ask(&idempotency, &request, &timer).await {
        Ok(answer) => answer,
        Err(error) => {
            return match idempotency.on_store_failure {
                OnStoreFailure::Reject => Err(error.into()),
                OnStoreFailure::Process => Ok(admitted(delivery, None)),
            };
        }
    };
    match outcome {
        ClaimOutcome::Won { attempt } => {
            idempotency.report(key, ClaimEventKind::Claimed { attempt });
            let claim = Claim::granted(request, attempt);
            delivery.claim = Some(claim.clone());
            let held = Held {
                idempotency,
                claim,
                asked,
                era,
            };
            Ok(admitted(delivery, Some(held)))
        }
        ClaimOutcome::Busy { lease_left } => {
            idempotency.report(key, ClaimEventKind::InFlight { lease_left });
            Err(Rejection::InFlight {
                status: idempotency.in_flight_status,
                // Rounded up: who comes as soon as it says should not come too soon.
                retry_after: Duration::from_secs(
                    lease_left.as_millis().div_ceil(1000).clamp(1, 60) as u64,
                ),
            })
        }
        ClaimOutcome::Completed {
            status,
            fingerprint,
        } => {
            let known = Known {
                status,
                fingerprint,
            };
            idempotency.remember(key, known, era);
            duplicate(&idempotency, &request, known)
        }
    }
}

/// The answer to a duplicate of a completed delivery.
fn duplicate(
    idempotency: &Idempotency,
    request: &ClaimRequest,
    known: Known,
) -> Result<Admission, Rejection> {
    let status = known.status;
    let same_body = known.fingerprint.may_be(request.fingerprint);
    if !same_body && idempotency.on_mismatch == OnMismatch::Reject {
        idempotency.report(request.key, ClaimEventKind::Mismatch);
        return Err(Rejection::Mismatch);
    }
    idempotency.report(request.key, ClaimEventKind::Duplicate { status, same_body });
    if !same_body {
        idempotency.report(request.key, ClaimEventKind::Mismatch);
    }
    Ok(Admission::Answer(Answer::replayed(
        match idempotency.replay {
            Replay::Status => status,
            Replay::NoContent => 204,
        },
    )))
}

fn admitted(delivery: Box<Delivery>, held: Option<Held>) -> Admission {
    Admission::Admitted(Admitted { delivery, held })
}

/// Claims, and waits for whoever is at it for as long as that is wanted. Says when it asked for what it got.
async fn ask(
    idempotency: &Idempotency,
    request: &ClaimRequest,
    timer: &impl Timer,
) -> Result<(ClaimOutcome, Instant), StoreError> {
    let mut wait = idempotency.in_flight_wait;
    loop {
        let asked = Instant::now();
        let outcome = ask_once(idempotency, request, timer).await?;
        let busy = matches!(outcome, ClaimOutcome::Busy { .. });
        if !busy || wait.is_zero() {
            return Ok((outcome, asked));
        }
        let pause = IN_FLIGHT_PAUSE.min(wait);
        timer.sleep(pause).await;
        // What the store took counts as well.
        wait = wait.saturating_sub(asked.elapsed().max(pause));
    }
}

/// Claims, with a limit in time. A store that failed or stayed silent may have granted the claim all the same, so it is
/// asked once more by the same owner, who is then granted it again. If that fails, too, the claim is given back. A store that
/// stays silent all the time keeps the sender waiting for two limits.
async fn ask_once(
    idempotency: &Idempotency,
    request: &ClaimRequest,
    timer: &impl Timer,
) -> Result<ClaimOutcome, StoreError> {
    let store = &idempotency.store;
    let (limit, half) = (idempotency.call_limit(), idempotency.call_limit() / 2);
    let report = |call, error: &StoreError| {
        idempotency.report(request.key, ClaimEventKind::StoreFailed { call, error });
    };
    let claim = async |limit| {
        let answer = answer_within(store.claim(request), timer, limit).await;
        answer.inspect_err(|error| report("claim", error))
    };
    if let Ok(outcome) = claim(limit).await {
        return Ok(outcome);
    }
    let error = match claim(half).await {
        Ok(outcome) => return Ok(outcome),
        Err(error) => error,
    };
    let released = answer_within(store.release(&request.holder()), timer, half).await;
    if let Err(error) = &released {
        report("release", error);
    }
    Err(error)
}
