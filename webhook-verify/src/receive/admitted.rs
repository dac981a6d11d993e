use std::{
    fmt,
    future::{Future, poll_fn},
    mem,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use smallvec::SmallVec;

use super::{
    Receiver, Recorder, Rejection,
    claim::{Claimed, claim, in_flight},
    meter::InProgress,
    receiver::Inner,
};
use crate::{
    answer::Answer,
    claim::{self, Claim, State, contain},
    delivery::{COMPLETED, Delivery},
};

/// A verified delivery before its claim, or the response to a verification handshake.
///
/// Up to here, the request may be dropped at any moment. If it [must finish](Self::must_finish),
/// run [`admit`](Self::admit) and the handler [to the end](crate::adapter::to_the_end), even if the
/// client disconnects.
#[derive(Debug)]
#[must_use]
pub struct Received {
    pub(super) outcome: Outcome,
    pub(super) receiver: Receiver,
    /// The method and path, for the log.
    pub(super) request: Option<Box<str>>,
    /// The headers that an inbox keeps.
    pub(super) headers: Vec<(String, String)>,
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

    /// Returns whether a disconnecting client must not stop the request from here on. With an inbox
    /// it must not: a sender that does not wait for the response may never send the events again.
    /// With idempotency it must not: an interrupted handler leaves its work half done, and a claim
    /// that is not settled blocks retries. See
    /// [`Idempotency::run_to_completion`](crate::Idempotency::run_to_completion).
    #[must_use]
    pub fn must_finish(&self) -> bool {
        let inner = &self.receiver.inner;
        let finishes = inner.idempotency.as_ref().is_some_and(|it| it.run_to_completion);
        self.delivery().is_some() && (finishes || inner.intake.is_some())
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
        let (inner, request) = (self.receiver.inner.clone(), self.request);
        let refuse = |rejection: &Rejection, body_len| {
            inner.refuse_verified(rejection, request.as_deref(), body_len);
        };
        if let Some(filter) = &inner.filter {
            let passes = filter.apply(&mut delivery).map_err(Rejection::Events);
            if !passes.inspect_err(|it| refuse(it, delivery.body().len()))? {
                let endpoint = &*inner.endpoint;
                tracing::debug!(target: "webhook_verify", endpoint, "filtered out");
                return Ok(Admission::Answer(Answer::text(204, "")));
            }
        }
        if let Some(intake) = &inner.intake {
            let taken = intake.take(&delivery, self.headers, self.receiver.timer()).await;
            let taken = taken.inspect_err(|it| refuse(it, delivery.body().len()));
            return taken.map(Admission::Answer);
        }
        let Some(idempotency) = inner.idempotency.clone() else {
            return Ok(Admission::Admitted(Admitted { delivery, held: None, inner, request }));
        };
        let body_len = delivery.body().len();
        // Boxed, so that the future of a delivery without a claim stays small.
        let claimed = Box::pin(claim(delivery, idempotency, self.receiver.timer().clone())).await;
        match claimed.inspect_err(|it| refuse(it, body_len))? {
            Claimed::Granted(delivery, held) => {
                Ok(Admission::Admitted(Admitted { delivery, held, inner, request }))
            }
            Claimed::Answer(answer) => Ok(Admission::Answer(answer)),
        }
    }
}

/// The result of admitting a verified request.
#[derive(Debug)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "an adapter has to handle every kind of admission")]
pub enum Admission {
    /// The handler has to run.
    Admitted(Admitted),
    /// The response is known without the handler: to a duplicate, a verification handshake or a
    /// delivery that was filtered out.
    Answer(Answer),
}

/// A delivery for the handler, and its claims.
///
/// If it is dropped, or the future of [`handle`](Self::handle) is, the claims stay until their
/// leases expire: nothing is lost, but an earlier retry is refused.
#[must_use = "a claim that is not settled blocks retries until its lease expires"]
pub struct Admitted {
    delivery: Box<Delivery>,
    held: Option<ClaimSet>,
    inner: Arc<Inner>,
    request: Option<Box<str>>,
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted")
            .field("delivery", &self.delivery)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

/// The claims of a delivery, or of each of its events that are left to do.
#[derive(Debug)]
pub(super) struct ClaimSet {
    pub(super) claims: SmallVec<[Claim; 1]>,
    /// Whether the delivery has a single event. Its handler need not mark it done.
    pub(super) is_single: bool,
    /// Replaces a successful response: other events of the delivery are in progress elsewhere.
    pub(super) refusal: Option<Rejection>,
    /// Records the handler's response, if duplicates get it again.
    pub(super) recorder: Option<Recorder>,
}

/// After the handler, nothing is left to lose. Ends all waits for a lost lease.
impl Drop for ClaimSet {
    fn drop(&mut self) {
        self.claims.iter().for_each(Claim::set_lost);
    }
}

impl Admitted {
    /// Returns the verified delivery.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Returns the recorder of the handler's response, if duplicates get it again. Without one, the
    /// adapter passes the response on as it is.
    #[must_use]
    pub fn recorder(&self) -> Option<Recorder> {
        self.held.as_ref()?.recorder.clone()
    }

    /// Runs the handler, renews its claims while it runs, and settles them by the status of its
    /// output. Returns the output.
    ///
    /// A status for which the claim is complete, 2xx by default, completes the claims. Any other
    /// status releases them, and so does `None`, a failure without a response. If the handler took
    /// [`Events`](crate::event::Events) of a delivery with several, the events that it marked done
    /// are completed and the others are released.
    ///
    /// The handler's output stands even if the store then fails. The store is called up to three
    /// times, and the failure is logged. ([`Idempotency::complete_on`] and
    /// [`Idempotency::complete_tries`] change these defaults.)
    ///
    /// # Errors
    ///
    /// The [`Rejection`] to respond with instead. It has been logged.
    /// [`Rejection::HandlerPanicked`]: the panic's message went to the panic hook only.
    /// [`Rejection::EventsLeft`] and [`Rejection::InFlight`]: the handler succeeded but left events
    /// undone, which would be lost if the sender did not retry.
    ///
    /// [`Idempotency::complete_on`]: crate::Idempotency::complete_on
    /// [`Idempotency::complete_tries`]: crate::Idempotency::complete_tries
    pub async fn handle<F: Future>(
        self,
        handler: F,
        status_of: impl FnOnce(&F::Output) -> Option<u16>,
    ) -> Result<F::Output, Rejection> {
        let watch = Stopwatch::start(&self.inner);
        let (output, status) = match self.run(handler, status_of).await {
            Some((output, status)) => (Ok(output), status),
            None => (Err(Rejection::HandlerPanicked), None),
        };
        watch.stop(status);
        let Some(held) = self.held else { return output };
        // Boxed, so that the future of a delivery without a claim stays small.
        let settled = Box::pin(held.settle(status)).await;
        let body_len = self.delivery.body().len();
        let request = self.request.as_deref();
        settled.inspect_err(|it| self.inner.refuse_verified(it, request, body_len))?;
        output
    }

    /// Returns the output and its status, or `None` if the handler panics.
    async fn run<F: Future>(
        &self,
        handler: F,
        status_of: impl FnOnce(&F::Output) -> Option<u16>,
    ) -> Option<(F::Output, Option<u16>)> {
        // The handler's error type may compute its status: a panic there is the handler's.
        let mut handler = pin!(async {
            let output = handler.await;
            let status = status_of(&output);
            (output, status)
        });
        let mut renewal = self.held.as_ref().map(|held| Box::pin(claim::renew(&held.claims)));
        let mut renew = |cx: &mut Context<'_>| {
            let Some(renewing) = &mut renewal else { return };
            match contain(|| renewing.as_mut().poll(cx)) {
                Some(Poll::Pending) => return,
                Some(Poll::Ready(())) => {}
                None => {
                    if let Some(suppressed) = self.inner.admit_line("timer_panicked") {
                        tracing::error!(
                            target: "webhook_verify",
                            endpoint = &*self.inner.endpoint,
                            suppressed,
                            "the callback of `timer` panicked: the lease is no longer renewed"
                        );
                    }
                }
            }
            renewal = None;
        };
        let mut has_waited = false;
        poll_fn(|cx| {
            // The renewal comes first, because a handler may use up its task's cooperative budget.
            if has_waited {
                renew(cx);
            }
            match contain(|| handler.as_mut().poll(cx)) {
                Some(Poll::Ready(ended)) => return Poll::Ready(Some(ended)),
                Some(Poll::Pending) => {}
                None => {
                    if let Some(suppressed) = self.inner.admit_line("handler_panicked") {
                        tracing::error!(
                            target: "webhook_verify",
                            endpoint = &*self.inner.endpoint,
                            scheme = self.delivery.scheme().name(),
                            suppressed,
                            "handler panicked"
                        );
                    }
                    return Poll::Ready(None);
                }
            }
            // Only a handler that waits pays for a timer.
            if !mem::replace(&mut has_waited, true) {
                renew(cx);
            }
            Poll::Pending
        })
        .await
    }
}

/// Measures how long a handler runs, if metrics are on or the sender has a time budget.
struct Stopwatch<'i> {
    inner: &'i Inner,
    begun: Option<Instant>,
    _in_progress: InProgress<'i>,
}

impl<'i> Stopwatch<'i> {
    fn start(inner: &'i Inner) -> Self {
        let has_budget = inner.verifier.scheme().hints.time_budget.is_some();
        let begun = (has_budget || cfg!(feature = "metrics")).then(Instant::now);
        Self { inner, begun, _in_progress: inner.meter.begin_handler() }
    }

    /// Counts the handler. Warns if it took more than 80 % of the time that the sender waits.
    fn stop(self, status: Option<u16>) {
        let endpoint = &*self.inner.endpoint;
        tracing::debug!(target: "webhook_verify", endpoint, status, "handler ended");
        let Some(time) = self.begun.map(|begun| begun.elapsed()) else { return };
        self.inner.meter.count_handled(status, time);
        if let Some(budget) = self.inner.verifier.scheme().hints.time_budget
            && time > budget.mul_f64(0.8)
            && let Some(suppressed) = self.inner.admit_line("slow_handler")
        {
            tracing::warn!(
                target: "webhook_verify",
                endpoint,
                scheme = self.inner.verifier.scheme().name(),
                handler_ms = time.as_millis() as u64,
                budget_ms = budget.as_millis() as u64,
                suppressed,
                "handler took more than 80 % of the time that the sender waits: return earlier, \
                 and do the work afterwards"
            );
        }
    }
}

impl ClaimSet {
    /// Returns the claims of a delivery whose response is not recorded.
    pub(super) fn new(
        claims: SmallVec<[Claim; 1]>,
        is_single: bool,
        refusal: Option<Rejection>,
    ) -> Self {
        Self { claims, is_single, refusal, recorder: None }
    }

    async fn settle(mut self, status: Option<u16>) -> Result<(), Rejection> {
        let refusal = self.refusal.take();
        let acknowledges = status.is_some_and(|status| (200..300).contains(&status));
        let Some(first) = self.claims.first() else {
            return refusal.filter(|_| acknowledges).map_or(Ok(()), Err);
        };
        let success = status.filter(|status| first.completes(*status));
        let by_event = self.claims.iter().any(|claim| self.is_by_event(claim));
        let (mut done, mut left) = (Vec::new(), Vec::new());
        let mut decided = SmallVec::<[_; 1]>::new();
        for claim in &self.claims {
            let is_done = match claim.state() {
                State::Settled => continue,
                State::Done { .. } | State::Settling { .. } | State::Committed { .. } => true,
                State::Running { .. } | State::Answered | State::Released { .. } => false,
            };
            if is_done && !(claim.is_alone() && success.is_some()) {
                done.push(claim.clone());
            } else if success.is_some() && (is_done || !by_event) {
                decided.push(claim.clone());
            } else {
                left.push(claim.clone());
            }
        }
        claim::complete(&done, COMPLETED, None, State::Settled).await;
        if let Some(status) = success {
            let response = self.recorder.as_ref().and_then(Recorder::take);
            claim::complete(&decided, status, response.as_ref(), State::Answered).await;
        }
        claim::release(&left).await;
        left.retain(|claim| claim.state() != State::Settled);
        if let Some(refusal) = refusal.filter(|_| acknowledges || success.is_some()) {
            return Err(refusal);
        }
        if success.is_none() || left.is_empty() {
            return Ok(());
        }
        // Other owners have the rest, and may yet fail.
        if left.iter().all(Claim::is_lost) {
            return Err(in_flight(first.in_flight_status(), first.lease()));
        }
        Err(Rejection::EventsLeft)
    }

    /// Returns whether the claim shows that the handler settles event by event, so that its status
    /// does not decide about events that it did not mark done.
    fn is_by_event(&self, claim: &Claim) -> bool {
        match claim.state() {
            State::Running { committing: true, .. } => true,
            // The handler skips an event whose lease was lost, so its success does not cover it.
            State::Running { by_event, .. } => by_event && (!self.is_single || claim.is_lost()),
            State::Committed { .. } => true,
            state => state.is_committing(),
        }
    }
}
