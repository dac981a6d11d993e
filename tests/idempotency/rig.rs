//! A delivery whose leases are renewed by a timer and a clock that the test moves.

use std::{
    ops::RangeInclusive,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use webhook_verify::{
    Delivery, Idempotency, MemoryStore, Receiver, Rejection, Scheme,
    adapter::{Admission, Admitted},
    scheme,
    testing::SignedRequest,
};

use crate::{common::*, sender::*};

/// A handler that runs, and the renewal of its leases.
pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Result<u16, Rejection>> + 'a>>;

pub(crate) struct Rig {
    asked: Instant,
    pub(crate) clock: HandClock,
    pub(crate) store: Arc<Watched>,
    pub(crate) receiver: Receiver,
    told: Told,
    pub(crate) begun: Begun,
}

impl Rig {
    /// Batches whose leases are 60 s.
    pub(crate) fn new() -> Self {
        Self::with(scheme::MAUTIC, seconds(60), seconds(600))
    }

    fn with(scheme: Scheme, lease: Duration, max_handler_time: Duration) -> Self {
        let clock = HandClock::new();
        let store = Watched::over(MemoryStore::new().clock(clock.clone()));
        let told = Told::default();
        let idempotency = Idempotency::new(Arc::clone(&store), "tests")
            .lease(lease)
            .max_handler_time(max_handler_time);
        let receiver = receiver_with(scheme, told.by(idempotency));
        Self { asked: Instant::now(), receiver, begun: Begun::default(), clock, store, told }
    }

    /// Claims a delivery with a single event.
    pub(crate) async fn single(lease: Duration, most: Duration) -> (Self, Pauses, Admitted) {
        let rig = Self::with(scheme::GITHUB, lease, most);
        let (pauses, timer) = Pauses::new();
        let admitted = admitted(&rig.receiver, &one(), timer).await;
        (rig, pauses, admitted)
    }

    /// Claims a batch.
    pub(crate) async fn batch(numbers: RangeInclusive<usize>) -> (Self, Pauses, Admitted) {
        let rig = Self::new();
        let (pauses, timer) = Pauses::new();
        let admitted = admitted(&rig.receiver, &batch(numbers), timer).await;
        rig.store.take_log();
        (rig, pauses, admitted)
    }

    pub(crate) async fn admitted(&self, numbers: impl IntoIterator<Item = usize>) -> Admitted {
        admitted(&self.receiver, &batch(numbers), never).await
    }

    pub(crate) async fn is_in_flight(&self, number: usize) -> bool {
        let admission = admit(&self.receiver, &batch([number]), never).await;
        matches!(admission, Err(Rejection::InFlight { .. }))
    }

    /// Returns whether the event can be claimed.
    pub(crate) async fn is_free(&self, number: usize) -> bool {
        let admission = admit(&self.receiver, &batch([number]), never).await;
        matches!(admission, Ok(Admission::Admitted(_)))
    }

    /// Returns the reports since the last call, without repetitions in a row.
    pub(crate) fn take_told(&self) -> Vec<&'static str> {
        let mut told = self.told.take();
        told.dedup();
        told
    }

    /// Checks a pause. The first is shorter by the time that the claim took, which may be any time
    /// on a machine that stood still.
    pub(crate) fn assert_first_pause(&self, pause: Duration, expected: Duration) {
        let taken = self.asked.elapsed();
        assert!(pause <= expected, "{pause:?} is longer than {expected:?}");
        let shorter = expected - pause;
        assert!(shorter <= taken, "{pause:?} is shorter than {expected:?} by more than {taken:?}");
    }

    /// Starts a handler that takes the events one by one, each for as long as the test wants.
    pub(crate) fn step_by_step(
        &self,
        admitted: Admitted,
    ) -> (mpsc::UnboundedSender<()>, Running<'_>) {
        let (step, mut steps) = mpsc::unbounded_channel();
        let running = run(admitted, |delivery| async move {
            for event in &delivery.events().unwrap() {
                self.begun.note(event);
                steps.recv().await.unwrap();
                event.done().await;
            }
            204
        });
        (step, running)
    }
}

/// The request of [`Rig::single`].
pub(crate) fn one() -> SignedRequest {
    signed(scheme::GITHUB, "{}")
}

/// Starts a handler that waits for something.
pub(crate) fn run<'a, F: Future<Output = u16> + 'a>(
    admitted: Admitted,
    handler: impl FnOnce(Delivery) -> F,
) -> Running<'a> {
    let delivery = admitted.delivery().clone();
    let mut running: Running<'a> = Box::pin(admitted.handle(handler(delivery), its_status));
    waits(&mut running);
    running
}

/// Polls the handler until it has to wait.
pub(crate) fn poll(running: &mut Running<'_>) -> Option<Result<u16, Rejection>> {
    running.as_mut().now_or_never()
}

/// Polls a handler that still has to wait after that.
pub(crate) fn waits(running: &mut Running<'_>) {
    let ended = poll(running);
    assert!(ended.is_none(), "{ended:?}");
}

/// Ends the latest pause of a handler that goes on to wait. Returns the length of the pause.
pub(crate) fn pass(pauses: &mut Pauses, running: &mut Running<'_>) -> Duration {
    let (pause, end) = pauses.begun().expect("a pause");
    end.send(()).unwrap();
    waits(running);
    pause
}
