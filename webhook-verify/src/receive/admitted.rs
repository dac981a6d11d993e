use std::{
    future::{Future, poll_fn},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::{Context, Poll},
};

use smallvec::SmallVec;

use super::{Rejection, claim::in_flight};
use crate::{
    answer::Answer,
    claim::{self, Claim, Progress},
    delivery::{COMPLETED, Delivery},
    timer::Timer,
};

/// What becomes of an authentic request.
#[derive(Debug)]
#[must_use]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever drives a receiver has to handle every kind of admission"
)]
pub enum Admission {
    /// Its handler is to run.
    Admitted(Admitted),
    /// It is answered without a handler, as a duplicate or a challenge is.
    Answer(Answer),
}

/// A delivery that its handler has to see, and the duty to say what became of it.
///
/// Dropped without [`settle`](Self::settle), the claim stays until its lease lapses: nothing is lost, but a retry that
/// comes sooner is sent away.
#[derive(Debug)]
#[must_use = "a claim that is not settled blocks retries until its lease lapses"]
pub struct Admitted {
    pub(super) delivery: Box<Delivery>,
    pub(super) held: Option<Held>,
}

/// What a handler runs under: the claim of its delivery, or of each event that is left to do.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) claims: SmallVec<[Claim; 1]>,
    /// What to answer a handler's success with all the same: other events of the delivery are in flight elsewhere.
    pub(super) refusal: Option<Rejection>,
}

/// Whoever waits for a lease to be lost need not wait any longer.
impl Drop for Held {
    fn drop(&mut self) {
        self.claims.iter().for_each(Claim::set_lost);
    }
}

impl Admitted {
    /// The verified delivery.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Runs the handler, and renews its claims' leases while it runs.
    ///
    /// # Errors
    ///
    /// [`Rejection::HandlerPanicked`]. The panic's message went to the panic hook, and nowhere else.
    pub async fn run<F: Future>(
        &self,
        handler: F,
        timer: impl Timer,
    ) -> Result<F::Output, Rejection> {
        let mut handler = pin!(handler);
        let mut renewal = self.held.as_ref().map(|held| {
            let renewing = claim::renew(&held.claims, timer);
            Box::pin(renewing)
        });
        let mut renew = |cx: &mut Context<'_>| {
            let Some(renewing) = &mut renewal else { return };
            match catch_unwind(AssertUnwindSafe(|| renewing.as_mut().poll(cx))) {
                Ok(Poll::Pending) => return,
                Ok(Poll::Ready(())) => {}
                Err(_) => {
                    tracing::error!(target: "webhook_verify", "store panicked: the lease is renewed no more");
                }
            }
            renewal = None;
        };
        let mut begun = false;
        poll_fn(|cx| {
            // Before the handler, once it has begun: one that uses up all that its task may do in one go must not keep
            // its lease from being renewed.
            if begun {
                renew(cx);
            }
            match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))) {
                Ok(Poll::Ready(output)) => return Poll::Ready(Ok(output)),
                Ok(Poll::Pending) => {}
                Err(_) => {
                    let scheme = self.delivery.scheme().name();
                    tracing::error!(target: "webhook_verify", scheme, "handler panicked");
                    return Poll::Ready(Err(Rejection::HandlerPanicked));
                }
            }
            // Only a handler that has to wait pays for a timer.
            if !mem::replace(&mut begun, true) {
                renew(cx);
            }
            Poll::Pending
        })
        .await
    }

    /// Settles the claim by the status that the handler answered: 2xx completes it, anything else releases it, and so
    /// does `None`, a handler that panicked or failed without an answer. Of events that the handler took
    /// [one by one](crate::event::Events), those are completed that it has said are done, and the others released.
    ///
    /// A store that fails now cannot change the answer, which is the handler's: it is asked three times, and the failure
    /// is logged. ([`Idempotency::complete_on`](crate::Idempotency::complete_on) and
    /// [`complete_tries`](crate::Idempotency::complete_tries) say otherwise.)
    ///
    /// # Errors
    ///
    /// [`Rejection`]: what to answer instead of the handler's success, because some of the delivery's events are not done,
    /// and would be lost if the sender did not try again. It has been logged.
    pub async fn settle(
        self,
        status: impl Into<Option<u16>>,
        timer: impl Timer,
    ) -> Result<(), Rejection> {
        let Some(held) = self.held else { return Ok(()) };
        // Boxed, so that a delivery without a claim does not carry it along.
        let settled = Box::pin(held.settle(status.into(), timer)).await;
        settled.inspect_err(|rejection| rejection.log(self.delivery.scheme().name()))
    }
}

impl Held {
    async fn settle(mut self, status: Option<u16>, timer: impl Timer) -> Result<(), Rejection> {
        let refusal = self.refusal.take();
        let acknowledges = status.is_some_and(|status| (200..300).contains(&status));
        let Some(first) = self.claims.first() else {
            return refusal.filter(|_| acknowledges).map_or(Ok(()), Err);
        };
        let success = status.filter(|status| first.completes(*status));
        // Who takes events one by one says what is done, and no answer stands for the rest.
        let says = |it: &Claim| it.is_taken() || it.committed().is_some() || it.is_open();
        let one_by_one = self.claims.iter().any(says);
        let (mut done, mut left) = (Vec::new(), Vec::new());
        let mut decided = SmallVec::<[_; 1]>::new();
        for claim in &self.claims {
            let said = matches!(claim.progress(), Progress::Done | Progress::Settling);
            let is_done = said || claim.committed().is_some();
            match (claim.progress(), success) {
                (Progress::Settled, _) => {}
                _ if is_done && !(claim.is_alone() && success.is_some()) => {
                    done.push(claim.clone())
                }
                (_, Some(_)) if is_done || !one_by_one => decided.push(claim.clone()),
                _ => left.push(claim.clone()),
            }
        }
        claim::complete(&done, COMPLETED, Progress::Settled, &timer).await;
        if let Some(status) = success {
            claim::complete(&decided, status, Progress::Answered, &timer).await;
        }
        claim::release(&left, &timer).await;
        left.retain(|claim| claim.progress() != Progress::Settled);
        if let Some(refusal) = refusal.filter(|_| acknowledges || success.is_some()) {
            return Err(refusal);
        }
        match success {
            Some(_) if left.is_empty() => Ok(()),
            // Others have them, and may yet fail.
            Some(_) if left.iter().all(Claim::is_lost) => {
                Err(in_flight(first.in_flight_status(), first.lease()))
            }
            Some(_) => Err(Rejection::EventsLeft),
            None => Ok(()),
        }
    }
}
