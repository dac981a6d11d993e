use std::{error, sync::Arc, time::Duration};

use super::{Admission, Admitted, Timer, admitted::Held, timer::within};
use crate::{
    Answer, Delivery, Idempotency, Rejection, StoreError,
    idempotency::{Claim, ClaimOutcome, ClaimRequest},
};

/// A verified delivery on its way to its handler.
///
/// Up to here a request may be dropped at any moment. From [`admit`](Self::admit) on it has to be driven to its end,
/// whatever becomes of its client, if it [must finish](Self::must_finish).
#[derive(Debug)]
#[must_use]
pub struct Received {
    /// Boxed: it goes through several futures on its way to the handler.
    pub(super) delivery: Box<Delivery>,
    pub(super) idempotency: Option<Arc<Idempotency>>,
}

impl Received {
    /// The verified delivery.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Whether a client that goes away must not stop what comes now. So it is wherever deliveries are deduplicated: a
    /// handler that was cut off has done half of its work, and a claim that nobody settles holds retries up.
    #[must_use]
    pub fn must_finish(&self) -> bool {
        self.idempotency.is_some()
    }

    /// Claims the delivery, if deliveries are deduplicated and this one has an identity.
    ///
    /// # Errors
    ///
    /// [`Rejection`]: what to answer instead. It has been logged.
    pub async fn admit(mut self, timer: impl Timer) -> Result<Admission, Rejection> {
        let Some(idempotency) = self.idempotency.take() else {
            return Ok(self.admitted(None));
        };
        let scheme = Arc::clone(&self.delivery.scheme);
        // Boxed, so that a delivery without a claim does not carry it along.
        let admission = Box::pin(self.claim(idempotency, timer)).await;
        admission.inspect_err(|rejection| rejection.log(scheme.name()))
    }

    async fn claim(
        mut self,
        idempotency: Arc<Idempotency>,
        timer: impl Timer,
    ) -> Result<Admission, Rejection> {
        let Some(request) = idempotency.request(&self.delivery)? else {
            return Ok(self.admitted(None));
        };
        match ask(&idempotency, &request, &timer).await? {
            ClaimOutcome::Won { attempt } => {
                let key = request.key;
                self.delivery.claim = Some(Claim { key, attempt });
                Ok(self.admitted(Some(Box::new(Held {
                    idempotency,
                    request,
                }))))
            }
            ClaimOutcome::Busy { lease_left } => Err(Rejection::InFlight {
                status: idempotency.in_flight_status,
                retry_after: Duration::from_secs(lease_left.as_secs().clamp(1, 60)),
            }),
            ClaimOutcome::Completed {
                status,
                fingerprint,
            } => {
                let (scheme, key) = (self.delivery.scheme.name(), request.key);
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

    fn admitted(self, held: Option<Box<Held>>) -> Admission {
        let delivery = self.delivery;
        Admission::Admitted(Admitted { delivery, held })
    }
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
