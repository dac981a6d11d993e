use std::{
    future::{Future, poll_fn},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{Timer, timer::answer_within};
use crate::{
    Answer, Delivery, Idempotency, Rejection, StoreError,
    idempotency::{Claim, ClaimEventKind, Era, Holder, Known, Settled},
};

/// How long to wait before a claim is settled for the second time; each time after that four times as long, up to the
/// longest.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_SETTLE_PAUSE: Duration = Duration::from_millis(1600);

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

#[derive(Debug)]
pub(super) struct Held {
    pub(super) idempotency: Arc<Idempotency>,
    pub(super) claim: Claim,
    /// When the store was asked. The lease runs since then, or since later.
    pub(super) asked: Instant,
    /// When the cache did not know of the delivery.
    pub(super) era: Era,
}

/// Whoever waits for a lease to be lost need not wait any longer.
impl Drop for Held {
    fn drop(&mut self) {
        self.claim.set_lost();
    }
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
    /// is logged. ([`Idempotency::complete_on`] and [`Idempotency::complete_tries`] say otherwise.)
    pub async fn settle(self, status: impl Into<Option<u16>>, timer: impl Timer) {
        if let Some(held) = self.held {
            // Boxed, so that a delivery without a claim does not carry it along.
            Box::pin(held.settle(status.into(), timer)).await;
        }
    }
}

impl Held {
    async fn settle(&self, status: Option<u16>, timer: impl Timer) {
        if let Some(status) = self.claim.committed() {
            // By the handler itself, and whatever it answers does not change that.
            return self.report(ClaimEventKind::Completed { status });
        }
        let success = status.filter(|status| self.idempotency.completes(*status));
        let (begun, mut pause) = (Instant::now(), SETTLE_PAUSE);
        for tries_left in (0..self.idempotency.complete_tries).rev() {
            let settled = self.settle_once(success, &timer).await;
            match (settled, success) {
                (Ok(Settled::Applied), Some(status)) => {
                    return self.report(ClaimEventKind::Completed { status });
                }
                (Ok(Settled::Applied), None) => return self.report(ClaimEventKind::Released),
                (Ok(Settled::Superseded), _) => return self.report(ClaimEventKind::LeaseLost),
                (Err(error), _) => {
                    let call = match success {
                        Some(_) => "complete",
                        None => "release",
                    };
                    let error = &error;
                    self.report(ClaimEventKind::StoreFailed { call, error });
                }
            }
            // Once the lease has lapsed, another may have it, and the handler's answer has waited for long enough.
            if tries_left == 0 || begun.elapsed() + pause >= self.idempotency.lease {
                break;
            }
            timer.sleep(pause).await;
            pause = (pause * 4).min(LONGEST_SETTLE_PAUSE);
        }
        if let Some(status) = success {
            // The store does not know. Here at least it is not run again.
            let fingerprint = self.claim.request().fingerprint;
            let known = Known {
                status,
                fingerprint,
            };
            self.idempotency.remember(self.claim.key(), known, self.era);
        }
    }

    async fn settle_once(
        &self,
        success: Option<u16>,
        timer: &impl Timer,
    ) -> Result<Settled, StoreError> {
        let (store, holder) = (&self.idempotency.store, self.holder());
        let settled = match success {
            Some(status) => store.complete(&holder, status, self.claim.request().ttl),
            None => store.release(&holder),
        };
        self.within_limit(settled, timer).await
    }

    /// Renews the lease until it is lost or the handler has had its time, and tells the handler so.
    async fn renew(&self, timer: impl Timer) {
        let Idempotency {
            store,
            lease,
            max_handler_time,
            ..
        } = &*self.idempotency;
        let holder = self.holder();
        // How long ago the handler began, and the lease was granted or renewed, at most. A claim that took its time, or a
        // handler that did before it first waited, has used up some of it already.
        let used = self.asked.elapsed();
        let (mut elapsed, mut age) = (used, used);
        let mut pause = self.idempotency.renewal().saturating_sub(used);
        while elapsed < *max_handler_time {
            timer.sleep(pause).await;
            if self.claim.committed().is_some() {
                return;
            }
            elapsed += pause;
            age += pause;
            match self
                .within_limit(store.extend(&holder, *lease), &timer)
                .await
            {
                Ok(Settled::Applied) => {
                    age = Duration::ZERO;
                    pause = self.idempotency.renewal();
                }
                Ok(Settled::Superseded) => {
                    if self.claim.is_open() {
                        // By a commit, maybe, whose answer is on its way to the handler.
                        timer.sleep(SETTLE_PAUSE).await;
                    }
                    if self.claim.committed().is_none() {
                        self.report(ClaimEventKind::LeaseLost);
                        self.claim.set_lost();
                    }
                    return;
                }
                // The lease goes on running out: the next try comes sooner.
                Err(error) => {
                    let (call, error) = ("extend", &error);
                    self.report(ClaimEventKind::StoreFailed { call, error });
                    pause = *lease / 12;
                    age += self.idempotency.call_limit();
                    // Another may have taken over by now, unless the store is silent to all.
                    if age >= *lease {
                        self.claim.set_lost();
                    }
                }
            }
        }
        self.report(ClaimEventKind::Overtime);
        self.claim.set_lost();
    }

    async fn within_limit(
        &self,
        call: impl Future<Output = Result<Settled, StoreError>>,
        timer: &impl Timer,
    ) -> Result<Settled, StoreError> {
        answer_within(call, timer, self.idempotency.call_limit()).await
    }

    fn holder(&self) -> Holder {
        self.claim.holder()
    }

    fn report(&self, kind: ClaimEventKind<'_>) {
        self.idempotency.report(self.claim.key(), kind);
    }
}
