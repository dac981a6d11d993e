//! Claims the events of a delivery, each by itself, so that a batch that was cut off goes on where it was.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use smallvec::SmallVec;

use super::{
    Admission, Idempotency, OnMismatch, OnStoreFailure, Rejection,
    admitted::Held,
    claim::{admitted, ask, duplicate, in_flight, log_unclaimed, replay},
};
use crate::{
    claim::{Claim, ClaimEventKind, ClaimOutcome, ClaimRequest, Era, Fingerprint, Known, Lookup},
    delivery::{Delivery, Event, Events},
    timer::Timer,
};

/// What became of events that no handler is to see now.
#[derive(Default)]
struct Apart {
    /// The status that all were completed with; 204 where it is not the same.
    completed: Option<u16>,
    /// How long those that are in flight elsewhere may take, at most.
    in_flight: Option<Duration>,
    mismatch: Option<Rejection>,
}

impl Apart {
    fn completed(&mut self, idempotency: &Idempotency, request: &ClaimRequest, known: Known) {
        match duplicate(idempotency, request, known) {
            Ok(()) => {
                let same = self.completed.is_none_or(|status| status == known.status);
                self.completed = Some(if same { known.status } else { 204 });
            }
            Err(rejection) => self.mismatch = Some(rejection),
        }
    }

    /// An event whose id an event before it has: the same one.
    fn repeated(&mut self, idempotency: &Idempotency, request: &ClaimRequest, first: Fingerprint) {
        if !first.may_be(request.fingerprint) {
            idempotency.keeper.report(request.key, ClaimEventKind::Mismatch);
            if idempotency.on_mismatch == OnMismatch::Reject {
                self.mismatch = Some(Rejection::Mismatch);
            }
        }
    }

    /// What its sender is to be told, so that it comes again with what is not done.
    fn refusal(self, idempotency: &Idempotency) -> Option<Rejection> {
        let in_flight =
            self.in_flight.map(|left| in_flight(idempotency.keeper.in_flight_status, left));
        in_flight.or(self.mismatch)
    }
}

/// Claims all of them in one round trip. Those that are won go to the handler.
pub(super) async fn claim_events(
    mut delivery: Box<Delivery>,
    events: Events,
    idempotency: Arc<Idempotency>,
    timer: impl Timer,
) -> Result<Admission, Rejection> {
    let mut apart = Apart::default();
    // Those that the store has to be asked about, and what it is asked.
    let mut open: Vec<(Event, Era)> = Vec::with_capacity(events.len());
    let mut requests = Vec::with_capacity(events.len());
    let mut known_by = HashMap::with_capacity(events.len());
    let all = idempotency.requests(&delivery, events.as_slice())?;
    for (event, request) in events.as_slice().iter().zip(all) {
        match idempotency.keeper.look_up(&request.key) {
            Lookup::Known(known) => apart.completed(&idempotency, &request, known),
            Lookup::Unknown(era) => match known_by.entry(request.key) {
                Entry::Occupied(first) => apart.repeated(&idempotency, &request, *first.get()),
                Entry::Vacant(new) => {
                    new.insert(request.fingerprint);
                    open.push((event.clone(), era));
                    requests.push(request);
                }
            },
        }
    }
    let answer = match requests.is_empty() {
        true => None,
        false => match ask(&idempotency, &requests, &timer).await {
            Ok(answer) => Some(answer),
            Err(error) => {
                return match idempotency.on_store_failure {
                    OnStoreFailure::Reject => Err(error.into()),
                    OnStoreFailure::Process => {
                        log_unclaimed(&error);
                        delivery.events = Some(open.into_iter().map(|(event, _)| event).collect());
                        let (claims, refusal) = (SmallVec::new(), apart.refusal(&idempotency));
                        Ok(admitted(delivery, Some(Held { claims, refusal })))
                    }
                };
            }
        },
    };
    let (mut won, mut claims) = (Vec::new(), Vec::new());
    if let Some((outcomes, asked)) = answer {
        let is_won = |outcome: &&ClaimOutcome| matches!(outcome, ClaimOutcome::Won { .. });
        let alone = outcomes.iter().filter(is_won).count() == 1;
        let asked_for = open.into_iter().zip(requests).zip(outcomes);
        for (((mut event, era), request), outcome) in asked_for {
            match outcome {
                ClaimOutcome::Won { attempt } => {
                    idempotency.keeper.report(request.key, ClaimEventKind::Claimed { attempt });
                    let claim = Claim::granted(
                        Arc::clone(&idempotency.keeper),
                        request,
                        attempt,
                        asked,
                        era,
                        alone,
                    );
                    event.claim = Some(claim.clone());
                    won.push(event);
                    claims.push(claim);
                }
                ClaimOutcome::Busy { lease_left } => {
                    idempotency.keeper.report(request.key, ClaimEventKind::InFlight { lease_left });
                    apart.in_flight = apart.in_flight.max(Some(lease_left));
                }
                ClaimOutcome::Completed { status, fingerprint } => {
                    let known = Known { status, fingerprint };
                    idempotency.keeper.remember(request.key, known, era);
                    apart.completed(&idempotency, &request, known);
                }
            }
        }
    }
    let completed = apart.completed;
    match (claims.is_empty(), apart.refusal(&idempotency), completed) {
        (true, Some(refusal), _) => Err(refusal),
        (true, None, Some(status)) => Ok(replay(&idempotency, status)),
        (_, refusal, _) => {
            delivery.events = Some(won.into());
            let claims = claims.into();
            Ok(admitted(delivery, Some(Held { claims, refusal })))
        }
    }
}
