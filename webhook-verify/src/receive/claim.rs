//! Claims a delivery, or each of its events, in the store before the handler runs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use smallvec::smallvec;

use super::{
    Idempotency, OnMismatch, OnStoreFailure, Recorder, Rejection, admitted::ClaimSet,
    claim_events::claim_events,
};
use crate::{
    answer::Answer,
    claim::{
        Claim, ClaimEventKind, ClaimOutcome, ClaimRequest, Known, Lookup, Step, StoreError, of_all,
    },
    delivery::Delivery,
    timer::Timer,
};

/// The pause between claims of a delivery that is in progress elsewhere.
const IN_FLIGHT_PAUSE: Duration = Duration::from_millis(100);

/// The result of claiming a delivery.
pub(super) enum Claimed {
    /// The handler must run, with these claims if there are any.
    Granted(Box<Delivery>, Option<ClaimSet>),
    /// The response is known without the handler.
    Answer(Answer),
}

pub(super) async fn claim(
    delivery: Box<Delivery>,
    idempotency: Arc<Idempotency>,
    timer: Timer,
) -> Result<Claimed, Rejection> {
    match idempotency.events_to_claim(&delivery)? {
        Some(events) => claim_events(delivery, events, idempotency, timer).await,
        None => claim_delivery(delivery, idempotency, timer).await,
    }
}

async fn claim_delivery(
    mut delivery: Box<Delivery>,
    idempotency: Arc<Idempotency>,
    timer: Timer,
) -> Result<Claimed, Rejection> {
    let Some(request) = idempotency.request(&delivery)? else {
        return Ok(Claimed::Granted(delivery, None));
    };
    let key = request.key;
    let era = match idempotency.keeper.look_up(&key) {
        Lookup::Known(known) => {
            return replay(&idempotency, &request, known, &timer).await;
        }
        Lookup::Unknown(era) => era,
    };
    let requests = std::slice::from_ref(&request);
    let (outcomes, requested_at) = match claim_keys(&idempotency, requests, &timer).await {
        Ok(answer) => answer,
        Err(error) => {
            return match idempotency.on_store_failure {
                OnStoreFailure::Reject => Err(error.into()),
                OnStoreFailure::Process => {
                    log_unclaimed(&idempotency, &error);
                    Ok(Claimed::Granted(delivery, None))
                }
            };
        }
    };
    match outcomes[0] {
        ClaimOutcome::Won { attempt } => {
            idempotency.keeper.report(key, ClaimEventKind::Claimed { attempt });
            let claim = Claim::granted(
                Arc::clone(&idempotency.keeper),
                timer,
                request,
                attempt,
                requested_at,
                era,
                true,
            );
            delivery.claim = Some(claim.clone());
            let recorder = idempotency.replay.limit().map(|it| Recorder::new(it, claim.clone()));
            let mut held = ClaimSet::new(smallvec![claim], true, None);
            held.recorder = recorder;
            Ok(Claimed::Granted(delivery, Some(held)))
        }
        ClaimOutcome::Busy { lease_left } => {
            idempotency.keeper.report(key, ClaimEventKind::InFlight { lease_left });
            Err(in_flight(idempotency.keeper.in_flight_status, lease_left))
        }
        ClaimOutcome::Completed { status, fingerprint } => {
            let known = Known { status, fingerprint };
            idempotency.keeper.remember(key, known, era);
            replay(&idempotency, &request, known, &timer).await
        }
    }
}

/// Reports a duplicate of a completed delivery or event, and rejects it if the body differs and the
/// policy says so.
pub(super) fn duplicate(
    idempotency: &Idempotency,
    request: &ClaimRequest,
    known: Known,
) -> Result<(), Rejection> {
    let Known { status, fingerprint } = known;
    let same_body = fingerprint.may_be(request.fingerprint);
    if !same_body && idempotency.on_mismatch == OnMismatch::Reject {
        idempotency.keeper.report(request.key, ClaimEventKind::Mismatch);
        return Err(Rejection::Mismatch);
    }
    idempotency.keeper.report(request.key, ClaimEventKind::Duplicate { status, same_body });
    if !same_body {
        idempotency.keeper.report(request.key, ClaimEventKind::Mismatch);
    }
    Ok(())
}

/// Returns the response to a duplicate of a completed delivery, with the body that is stored, if
/// duplicates get it.
async fn replay(
    idempotency: &Idempotency,
    request: &ClaimRequest,
    known: Known,
    timer: &Timer,
) -> Result<Claimed, Rejection> {
    duplicate(idempotency, request, known)?;
    let answer = Answer::replayed(idempotency.replay.status(known.status));
    if idempotency.replay.limit().is_none() {
        return Ok(Claimed::Answer(answer));
    }
    let (keeper, limit) = (&idempotency.keeper, idempotency.keeper.call_limit());
    let response = keeper.store.response(&request.key, limit);
    let stored = keeper.answer("response", response, timer, limit).await;
    let stored = stored.inspect_err(|error| {
        let call = "response";
        keeper.report(request.key, ClaimEventKind::StoreFailed { call, error });
    })?;
    Ok(Claimed::Answer(match &stored {
        Some(response) => answer.with_response(response),
        None => answer,
    }))
}

/// Logs that a delivery runs without a claim.
pub(super) fn log_unclaimed(idempotency: &Idempotency, error: &StoreError) {
    let keeper = &idempotency.keeper;
    if let Some(suppressed) = keeper.admit_line("unclaimed") {
        tracing::warn!(
            target: "webhook_verify",
            endpoint = &*keeper.endpoint,
            suppressed,
            "runs without a claim: {error:#}"
        );
    }
}

pub(super) fn in_flight(status: u16, lease_left: Duration) -> Rejection {
    // Round up, so that a sender that retries at exactly this time is not too early.
    let seconds = lease_left.as_millis().div_ceil(1000).clamp(1, 60) as u64;
    Rejection::InFlight { status, retry_after: Duration::from_secs(seconds) }
}

/// Claims the keys, and waits up to `in_flight_wait` if none is granted and one is busy. Returns
/// the outcomes and the time of the request.
pub(super) async fn claim_keys(
    idempotency: &Idempotency,
    requests: &[ClaimRequest],
    timer: &Timer,
) -> Result<(Vec<ClaimOutcome>, Instant), StoreError> {
    let mut wait = idempotency.in_flight_wait;
    loop {
        let requested_at = Instant::now();
        let outcomes = claim_once(idempotency, requests, timer).await?;
        let won = |outcome: &ClaimOutcome| matches!(outcome, ClaimOutcome::Won { .. });
        let busy = |outcome: &ClaimOutcome| matches!(outcome, ClaimOutcome::Busy { .. });
        if wait.is_zero() || outcomes.iter().any(won) || !outcomes.iter().any(busy) {
            return Ok((outcomes, requested_at));
        }
        let pause = IN_FLIGHT_PAUSE.min(wait);
        timer.sleep(pause).await;
        // The time that the store took counts as well.
        wait = wait.saturating_sub(requested_at.elapsed().max(pause));
    }
}

/// Claims the keys within the call limit.
///
/// A store that failed or did not respond may have granted the claim nevertheless. So the same
/// owner claims once more, which the store grants again. If that also fails, the claim is released.
/// If the store never responds, the sender waits for two limits in total.
///
/// An overloaded store has granted nothing, and is not called again.
async fn claim_once(
    idempotency: &Idempotency,
    requests: &[ClaimRequest],
    timer: &Timer,
) -> Result<Vec<ClaimOutcome>, StoreError> {
    let (keeper, store) = (&idempotency.keeper, &idempotency.keeper.store);
    let (limit, half) = (keeper.call_limit(), keeper.call_limit() / 2);
    let report = |call, error: &StoreError| {
        keeper.report(requests[0].key, ClaimEventKind::StoreFailed { call, error });
    };
    let claim = async |requests: &[ClaimRequest], limit| {
        let outcomes = keeper.answer("claim", store.claim(requests), timer, limit).await;
        let outcomes = outcomes.and_then(|outcomes| of_all(outcomes, requests.len()));
        outcomes.inspect_err(|error| report("claim", error))
    };
    match claim(requests, limit).await {
        Err(error) if error.is_overloaded() => return Err(error),
        Err(_) => {}
        granted => return granted,
    }
    let again: Vec<_> = requests.iter().map(|request| request.within(half)).collect();
    let error = match claim(&again, half).await {
        Ok(outcomes) => return Ok(outcomes),
        Err(error) => error,
    };
    let holders: Vec<_> = again.iter().map(ClaimRequest::holder).collect();
    let releasing = store.settle(&holders, Step::Release);
    let released = keeper.answer("release", releasing, timer, half).await;
    if let Err(error) = &released {
        report("release", error);
    }
    Err(error)
}
