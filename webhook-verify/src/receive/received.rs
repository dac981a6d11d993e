use std::sync::Arc;

use super::{Admission, Admitted, Idempotency, Rejection, claim};
use crate::{
    answer::Answer,
    delivery::{Delivery, Filter},
    timer::Timer,
};

/// A verified delivery before its claim, or the response to a verification handshake.
///
/// Until now the request may be dropped at any moment. From [`admit`](Self::admit) on it has to be
/// driven to its end if it [must finish](Self::must_finish), even if the client disconnects.
#[derive(Debug)]
#[must_use]
pub struct Received {
    pub(super) outcome: Outcome,
    pub(super) idempotency: Option<Arc<Idempotency>>,
    pub(super) filter: Option<Arc<Filter>>,
    pub(super) timer: Timer,
}

/// Boxed, because it moves through several futures on the way to the handler.
#[derive(Debug)]
pub(super) enum Outcome {
    Delivery(Box<Delivery>),
    Answer(Box<Answer>),
}

impl Received {
    /// Returns the verified delivery. `None` for a verification handshake, which no handler sees.
    #[must_use]
    pub fn delivery(&self) -> Option<&Delivery> {
        match &self.outcome {
            Outcome::Delivery(delivery) => Some(delivery),
            Outcome::Answer(_) => None,
        }
    }

    /// Returns whether a disconnecting client must not stop the request from here on. With
    /// idempotency it must not: an interrupted handler leaves its work half done, and a claim that
    /// is not settled blocks retries. See [`Idempotency::run_to_completion`].
    #[must_use]
    pub fn must_finish(&self) -> bool {
        self.idempotency.as_ref().is_some_and(|idempotency| idempotency.run_to_completion)
    }

    /// Claims the delivery, or each of its events, if it has an idempotency key. Returns the
    /// response if no handler has to run: to a verification handshake, a duplicate, or a delivery
    /// that was [filtered out](crate::ReceiverBuilder::only).
    ///
    /// # Errors
    ///
    /// The [`Rejection`] to respond with. It has been logged.
    pub async fn admit(self) -> Result<Admission, Rejection> {
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
        // Boxed, so that the future of a delivery without a claim stays small.
        let admission = Box::pin(claim::claim(delivery, idempotency, self.timer)).await;
        admission.inspect_err(log)
    }
}
