//! Claims each event of a delivery, so that an interrupted batch resumes.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use smallvec::SmallVec;

use super::{
    Idempotency, OnMismatch, OnStoreFailure, Rejection,
    admitted::ClaimSet,
    claim::{Claimed, claim_keys, duplicate, in_flight, log_unclaimed},
};
use crate::{
    answer::Answer,
    claim::{Claim, ClaimEventKind, ClaimOutcome, ClaimRequest, Era, Fingerprint, Known, Lookup},
    delivery::{Batch, Delivery, Event},
    timer::Timer,
};

/// The events that the handler does not get.
#[derive(Default)]
struct Exclusions {
    /// The status of all completed events, or 204 if they differ.
    completed: Option<u16>,
    /// The longest lease of the events in progress elsewhere.
    in_flight: Option<Duration>,
    mismatch: Option<Rejection>,
}

impl Exclusions {
    fn completed(&mut self, idempotency: &Idempotency, request: &ClaimRequest, known: Known) {
        match duplicate(idempotency, request, known) {
            Ok(()) => {
                let same = self.completed.is_none_or(|status| status == known.status);
                self.completed = Some(if same { known.status } else { 204 });
            }
            Err(rejection) => self.mismatch = Some(rejection),
        }
    }

    /// Notes an event that has the ID of an earlier event.
    fn repeated(&mut self, idempotency: &Idempotency, request: &ClaimRequest, first: Fingerprint) {
        if !first.may_be(request.fingerprint) {
            idempotency.keeper.report(request.key, ClaimEventKind::Mismatch);
            if idempotency.on_mismatch == OnMismatch::Reject {
                self.mismatch = Some(Rejection::Mismatch);
            }
        }
    }

    /// Returns the response that makes the sender retry what is not done.
    fn refusal(self, idempotency: &Idempotency) -> Option<Rejection> {
        let in_flight =
            self.in_flight.map(|left| in_flight(idempotency.keeper.in_flight_status, left));
        in_flight.or(self.mismatch)
    }
}

/// Claims all events in one round trip. The handler gets those that are granted.
pub(super) async fn claim_events(
    mut delivery: Box<Delivery>,
    events: Batch,
    idempotency: Arc<Idempotency>,
    timer: Timer,
) -> Result<Claimed, Rejection> {
    let mut excluded = Exclusions::default();
    // The events that the cache does not contain, and their requests.
    let mut open: Vec<(Event, Era)> = Vec::with_capacity(events.len());
    let mut requests = Vec::with_capacity(events.len());
    let mut known_by = HashMap::with_capacity(events.len());
    let all = idempotency.requests(&delivery, &events)?;
    for (event, request) in events.iter().zip(all) {
        match idempotency.keeper.look_up(&request.key) {
            Lookup::Known(known) => excluded.completed(&idempotency, &request, known),
            Lookup::Unknown(era) => match known_by.entry(request.key) {
                Entry::Occupied(first) => excluded.repeated(&idempotency, &request, *first.get()),
                Entry::Vacant(new) => {
                    new.insert(request.fingerprint);
                    open.push((event.clone(), era));
                    requests.push(request);
                }
            },
        }
    }
    let is_single = events.len() == 1;
    let (mut won, mut claims) = (Vec::new(), Vec::new());
    if !requests.is_empty() {
        let (outcomes, requested_at) = match claim_keys(&idempotency, &requests, &timer).await {
            Ok(answer) => answer,
            Err(error) if idempotency.on_store_failure == OnStoreFailure::Process => {
                log_unclaimed(&idempotency, &error);
                delivery.events = Some(open.into_iter().map(|(event, _)| event).collect());
                let (claims, refusal) = (SmallVec::new(), excluded.refusal(&idempotency));
                return Ok(Claimed::Granted(
                    delivery,
                    Some(ClaimSet::new(claims, is_single, refusal)),
                ));
            }
            Err(error) => return Err(error.into()),
        };
        let is_won = |outcome: &&ClaimOutcome| matches!(outcome, ClaimOutcome::Won { .. });
        let alone = outcomes.iter().filter(is_won).count() == 1;
        let requests = open.into_iter().zip(requests).zip(outcomes);
        for (((mut event, era), request), outcome) in requests {
            match outcome {
                ClaimOutcome::Won { attempt } => {
                    idempotency.keeper.report(request.key, ClaimEventKind::Claimed { attempt });
                    let claim = Claim::granted(
                        Arc::clone(&idempotency.keeper),
                        timer.clone(),
                        request,
                        attempt,
                        requested_at,
                        era,
                        alone,
                    );
                    event.claim = Some(claim.clone());
                    won.push(event);
                    claims.push(claim);
                }
                ClaimOutcome::Busy { lease_left } => {
                    idempotency.keeper.report(request.key, ClaimEventKind::InFlight { lease_left });
                    excluded.in_flight = excluded.in_flight.max(Some(lease_left));
                }
                ClaimOutcome::Completed { status, fingerprint } => {
                    let known = Known { status, fingerprint };
                    idempotency.keeper.remember(request.key, known, era);
                    excluded.completed(&idempotency, &request, known);
                }
            }
        }
    }
    let completed = excluded.completed;
    match (claims.is_empty(), excluded.refusal(&idempotency), completed) {
        (true, Some(refusal), _) => Err(refusal),
        (true, None, Some(status)) => {
            Ok(Claimed::Answer(Answer::replayed(idempotency.replay.status(status))))
        }
        (_, refusal, _) => {
            delivery.events = Some(won.into());
            let claims = claims.into();
            Ok(Claimed::Granted(delivery, Some(ClaimSet::new(claims, is_single, refusal))))
        }
    }
}
