//! A batch whose leases are renewed by a timer and a clock that the test moves on.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use webhook_verify::{
    Delivery, Idempotency, MemoryStore, Receiver, Rejection,
    adapter::{Admission, Admitted},
    idempotency::ClaimEvent,
    scheme,
};

use crate::common::{HandClock, Watched, admit, never, receiver_with, seconds};
use crate::sender::{Begun, batch};

/// The three events of a batch, whose leases are 60 s.
pub(crate) struct Rig {
    pub(crate) clock: HandClock,
    pub(crate) store: Arc<Watched>,
    pub(crate) receiver: Receiver,
    told: Arc<Mutex<Vec<&'static str>>>,
    pub(crate) begun: Begun,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let clock = HandClock::new();
        let store = Watched::over(MemoryStore::new().clock(clock.clone()));
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = Arc::clone(&told);
        let idempotency =
            Idempotency::new(Arc::clone(&store), "tests").max_handler_time(seconds(600)).on_event(
                move |event: &ClaimEvent<'_>| telling.lock().unwrap().push(event.kind.name()),
            );
        Self {
            receiver: receiver_with(scheme::MAUTIC, idempotency),
            begun: Begun::default(),
            clock,
            store,
            told,
        }
    }

    pub(crate) async fn admitted(&self, numbers: impl IntoIterator<Item = usize>) -> Admitted {
        self.admitted_with(numbers, never).await
    }

    /// A delivery whose claims use this timer.
    pub(crate) async fn admitted_with<S: Future<Output = ()> + Send + 'static>(
        &self,
        numbers: impl IntoIterator<Item = usize>,
        timer: impl Fn(Duration) -> S + Send + Sync + 'static,
    ) -> Admitted {
        match admit(&self.receiver, &batch(numbers), timer).await.unwrap() {
            Admission::Admitted(admitted) => admitted,
            Admission::Answer(answer) => panic!("{answer:?}"),
        }
    }

    pub(crate) async fn is_in_flight(&self, number: usize) -> bool {
        let admission = admit(&self.receiver, &batch([number]), never).await;
        matches!(admission, Err(Rejection::InFlight { .. }))
    }

    /// Whether the event is another's to have.
    pub(crate) async fn is_free(&self, number: usize) -> bool {
        let admission = admit(&self.receiver, &batch([number]), never).await;
        matches!(admission, Ok(Admission::Admitted(_)))
    }

    /// What was told, each once in a row.
    pub(crate) fn take_told(&self) -> Vec<&'static str> {
        let mut told = std::mem::take(&mut *self.told.lock().unwrap());
        told.dedup();
        told
    }

    /// Takes the events one by one, each as long as the test wants.
    pub(crate) async fn step_by_step(
        &self,
        delivery: Delivery,
        mut steps: mpsc::UnboundedReceiver<()>,
    ) -> u16 {
        let events = delivery.events().unwrap();
        for event in &events {
            self.begun.note(event);
            steps.recv().await.unwrap();
            event.done().await;
        }
        204
    }
}

/// Goes on until it has to wait.
pub(crate) fn poll<T>(running: &mut Pin<Box<impl Future<Output = T>>>) -> Option<T> {
    running.as_mut().now_or_never()
}

pub(crate) fn end((_, end): (Duration, oneshot::Sender<()>)) {
    end.send(()).unwrap();
}
