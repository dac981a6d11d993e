use std::sync::Arc;

use super::{Admission, Admitted, Idempotency, Rejection, claim};
use crate::{
    answer::Answer,
    delivery::{Delivery, Filter},
    timer::Timer,
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
    pub(super) filter: Option<Arc<Filter>>,
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
        self.idempotency.as_ref().is_some_and(|idempotency| idempotency.run_to_completion)
    }

    /// Claims the delivery, or each of its events, if deliveries are deduplicated and this one has an identity. What is a
    /// challenge, a duplicate or [filtered out](crate::ReceiverBuilder::only) is answered.
    ///
    /// # Errors
    ///
    /// [`Rejection`]: what to answer instead. It has been logged.
    pub async fn admit(self, timer: impl Timer) -> Result<Admission, Rejection> {
        let mut delivery = match self.outcome {
            Outcome::Delivery(delivery) => delivery,
            Outcome::Answer(answer) => return Ok(Admission::Answer(*answer)),
        };
        let scheme = Arc::clone(&delivery.scheme);
        let log = |rejection: &Rejection| rejection.log(scheme.name());
        if let Some(filter) = self.filter
            && !filter.apply(&mut delivery).map_err(Rejection::Events).inspect_err(log)?
        {
            tracing::debug!(target: "webhook_verify", scheme = scheme.name(), "filtered out");
            return Ok(Admission::Answer(Answer::text(204, "")));
        }
        let Some(idempotency) = self.idempotency else {
            let held = None;
            return Ok(Admission::Admitted(Admitted { delivery, held }));
        };
        // Boxed, so that a delivery without a claim does not carry it along.
        let admission = Box::pin(claim::claim(delivery, idempotency, timer)).await;
        admission.inspect_err(log)
    }
}
