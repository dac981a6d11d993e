use std::{
    error,
    future::{Future, poll_fn},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use super::{Timer, timer::within};
use crate::{
    Answer, Delivery, Idempotency, Rejection,
    idempotency::{ClaimRequest, Settled},
};

/// How long to wait before a claim is settled for the second time; four times that before the third.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

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
    pub(super) held: Option<Box<Held>>,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) idempotency: Arc<Idempotency>,
    pub(super) request: ClaimRequest,
}

impl Admitted {
    /// The verified delivery.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Runs the handler, and renews the claim's lease while it runs.
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
        let mut renewal = self.held.as_ref().map(|held| Box::pin(held.renew(timer)));
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
    /// does `None`, a handler that panicked or failed without an answer.
    ///
    /// A store that fails now cannot change the answer, which is the handler's: it is asked three times, and the failure
    /// is logged.
    pub async fn settle(self, status: impl Into<Option<u16>>, timer: impl Timer) {
        if let Some(held) = self.held {
            // Boxed, so that a delivery without a claim does not carry it along.
            Box::pin(held.settle(status.into(), timer)).await;
        }
    }
}

impl Held {
    async fn settle(&self, status: Option<u16>, timer: impl Timer) {
        let (holder, limit) = (self.request.holder(), self.idempotency.call_limit());
        let success = status.filter(|status| (200..300).contains(status));
        let (key, succeeded) = (holder.key, success.is_some());
        for pause in [Some(SETTLE_PAUSE), Some(SETTLE_PAUSE * 4), None] {
            let store = &self.idempotency.store;
            let settled = match success {
                Some(status) => store.complete(&holder, status, self.request.ttl),
                None => store.release(&holder),
            };
            match within(settled, &timer, limit).await {
                Some(Ok(Settled::Applied)) => return,
                Some(Ok(Settled::Superseded)) => {
                    tracing::error!(target: "webhook_verify", %key, succeeded, "lease lost: the delivery may have run twice");
                    return;
                }
                Some(Err(error)) => {
                    let source = error::Error::source(&error).map(tracing::field::display);
                    tracing::error!(target: "webhook_verify", %key, succeeded, source, "claim not settled");
                }
                None => {
                    tracing::error!(target: "webhook_verify", %key, succeeded, "claim not settled: no answer");
                }
            }
            if let Some(pause) = pause {
                timer.sleep(pause).await;
            }
        }
    }

    /// Renews the lease until it is lost or the handler has had its time.
    async fn renew(&self, timer: impl Timer) {
        let Idempotency {
            store,
            lease,
            max_handler_time,
            ..
        } = &*self.idempotency;
        let holder = self.request.holder();
        let key = holder.key;
        let limit = self.idempotency.call_limit();
        let (mut pause, mut elapsed) = (*lease / 3, Duration::ZERO);
        while elapsed < *max_handler_time {
            timer.sleep(pause).await;
            elapsed += pause;
            pause = match within(store.extend(&holder, *lease), &timer, limit).await {
                Some(Ok(Settled::Applied)) => *lease / 3,
                Some(Ok(Settled::Superseded)) => {
                    tracing::error!(target: "webhook_verify", %key, "lease lost while the handler runs");
                    return;
                }
                // The lease goes on running out: the next try comes sooner.
                Some(Err(error)) => {
                    let source = error::Error::source(&error).map(tracing::field::display);
                    tracing::error!(target: "webhook_verify", %key, source, "lease not renewed");
                    *lease / 12
                }
                None => {
                    tracing::error!(target: "webhook_verify", %key, "lease not renewed: no answer");
                    *lease / 12
                }
            };
        }
        tracing::error!(target: "webhook_verify", %key, "handler runs for too long: its lease is renewed no more");
    }
}
