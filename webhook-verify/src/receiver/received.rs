use std::{error, sync::Arc, time::Duration};

use super::{Admission, Admitted, Timer, admitted::Held, timer::within};
use crate::{
    Answer, Delivery, Idempotency, Rejection, StoreError,
    idempotency::{Claim, ClaimOutcome, ClaimRequest},
};

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
    /// handler that was cut off has done half of its work, and a claim that nobody settles holds retries up.
    #[must_use]
    pub fn must_finish(&self) -> bool {
        self.idempotency.is_some()
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
    match ask(&idempotency, &request, &timer).await? {
        ClaimOutcome::Won { attempt } => {
            delivery.claim = Some(Claim::granted(&request, attempt));
            let held = Held {
                idempotency,
                request,
            };
            Ok(admitted(delivery, Some(Box::new(held))))
        }
        ClaimOutcome::Busy { lease_left } => Err(Rejection::InFlight {
            status: idempotency.in_flight_status,
            retry_after: Duration::from_secs(lease_left.as_secs().clamp(1, 60)),
        }),
        ClaimOutcome::Completed {
            status,
            fingerprint,
        } => {
            let (scheme, key) = (delivery.scheme.name(), request.key);
            match fingerprint == request.fingerprint {
                true => {
                    tracing::info!(target: "webhook_verify", scheme, %key, same_body = true, "duplicate");
                }
                false => {
                    tracing::warn!(target: "webhook_verify", scheme, %key, same_body = false, "duplicate");
                }
            }
            Ok(Admission::Answer(Answer::replayed(status)))
        }
    }
}

fn admitted(delivery: Box<Delivery>, held: Option<Box<Held>>) -> Admission {
    Admission::Admitted(Admitted { delivery, held })
}

/// Claims, with a limit in time. A store that did not answer is asked once more, by the same owner. One that failed then,
/// or stays silent, may have granted the claim all the same: it is given back.
async fn ask(
    idempotency: &Idempotency,
    request: &ClaimRequest,
    timer: &impl Timer,
) -> Result<ClaimOutcome, Rejection> {
    let (store, limit) = (&idempotency.store, idempotency.call_limit());
    let mut failure = None;
    for _ in 0..2 {
        match within(store.claim(request), timer, limit).await {
            Some(Ok(outcome)) => return Ok(outcome),
            Some(Err(error)) => {
                failure = Some(error);
                break;
            }
            None => {}
        }
    }
    let released = within(store.release(&request.holder()), timer, limit).await;
    if let Some(Err(error)) = &released {
        let source = error::Error::source(error).map(tracing::field::display);
        tracing::error!(target: "webhook_verify", key = %request.key, source, "claim not given back");
    }
    let silent = || StoreError::new(format!("no answer within {} ms", limit.as_millis()));
    Err(failure.unwrap_or_else(silent).into())
}
