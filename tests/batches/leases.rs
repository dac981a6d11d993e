//! The leases of a batch: renewed together for as long as one event takes, and what becomes of those that are lost.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
    time::Duration,
};

use futures_util::FutureExt as _;
use integration_tests::Pauses;
use tokio::sync::{mpsc, oneshot};
use webhook_verify::{
    Admission, Admitted, Idempotency, MemoryStore, Receiver, Rejection, idempotency::ClaimEvent,
    scheme,
};

use crate::{
    common::{HandClock, Watched, admit, never, receiver_with, seconds},
    sender::{Begun, batch, events},
};

/// The three events of a batch, whose leases are 60 s.
struct Rig {
    clock: HandClock,
    store: Arc<Watched>,
    receiver: Receiver,
    told: Arc<Mutex<Vec<&'static str>>>,
    begun: Begun,
}

impl Rig {
    fn new() -> Self {
        let clock = HandClock::new();
        let store = Watched::over(MemoryStore::new().clock(clock.clone()));
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = Arc::clone(&told);
        let idempotency = Idempotency::new(Arc::clone(&store), "tests")
            .max_handler_time(seconds(600))
            .on_event(move |event: &ClaimEvent<'_>| {
                telling.lock().unwrap().push(event.kind.name())
            });
        Self {
            receiver: receiver_with(scheme::MAUTIC, idempotency),
            begun: Begun::default(),
            clock,
            store,
            told,
        }
    }

    async fn admitted(&self, numbers: impl IntoIterator<Item = usize>) -> Admitted {
        match admit(&self.receiver, &batch(numbers), never).await.unwrap() {
            Admission::Admitted(admitted) => admitted,
            Admission::Answer(answer) => panic!("{answer:?}"),
        }
    }

    async fn is_in_flight(&self, number: usize) -> bool {
        let admission = admit(&self.receiver, &batch([number]), never).await;
        matches!(admission, Err(Rejection::InFlight { .. }))
    }

    /// Whether the event is another's to have.
    async fn is_free(&self, number: usize) -> bool {
        let admission = admit(&self.receiver, &batch([number]), never).await;
        matches!(admission, Ok(Admission::Admitted(_)))
    }

    /// What was told, each once in a row.
    fn take_told(&self) -> Vec<&'static str> {
        let mut told = std::mem::take(&mut *self.told.lock().unwrap());
        told.dedup();
        told
    }

    /// Takes the events one by one, each as long as the test wants.
    async fn step_by_step(
        &self,
        admitted: &Admitted,
        mut steps: mpsc::UnboundedReceiver<()>,
    ) -> u16 {
        let mut events = admitted.delivery().events().unwrap();
        while let Some(event) = events.next_event(never).await {
            self.begun.note(&event);
            steps.recv().await.unwrap();
        }
        204
    }
}

/// Goes on until it has to wait.
fn poll<T>(running: &mut Pin<Box<impl Future<Output = T>>>) -> Option<T> {
    running.as_mut().now_or_never()
}

fn end((_, end): (Duration, oneshot::Sender<()>)) {
    end.send(()).unwrap();
}

/// One call renews all that are left, and it is not long until the last is renewed alone.
#[tokio::test]
async fn those_that_are_left_are_renewed_in_one_call() {
    let rig = Rig::new();
    let admitted = rig.admitted(1..=3).await;
    rig.store.take_log();
    let (mut pauses, timer) = Pauses::new();
    let (step, steps) = mpsc::unbounded_channel();
    {
        let handler = rig.step_by_step(&admitted, steps);
        let mut running = Box::pin(admitted.run(handler, timer));
        for call in ["extend_all 3", "extend_all 2", "extend"] {
            for _ in 0..4 {
                assert!(poll(&mut running).is_none());
                rig.clock.advance(seconds(20));
                assert!(rig.is_in_flight(3).await, "renewed in time");
                rig.store.take_log();
                end(pauses.begun().expect("a pause before each renewal"));
                assert!(poll(&mut running).is_none());
                assert_eq!(rig.store.take_log(), [call]);
            }
            step.send(()).unwrap();
            if call != "extend" {
                assert!(poll(&mut running).is_none());
                assert_eq!(rig.store.take_log(), ["complete"]);
            }
        }
        assert_eq!(poll(&mut running).unwrap().unwrap(), 204);
    }
    admitted.settle(204, never).await.unwrap();
    assert_eq!(rig.store.take_log(), ["complete"]);
    assert_eq!(rig.begun.take(), events(1..=3));
    assert_eq!(rig.take_told().last(), Some(&"completed"));
}

/// With nothing left to renew, as when the handler has something else to do at the end, nothing is.
#[tokio::test]
async fn what_is_done_is_not_renewed() {
    let rig = Rig::new();
    let admitted = rig.admitted(1..=2).await;
    let (mut pauses, timer) = Pauses::new();
    let handler = async {
        let mut events = admitted.delivery().events().unwrap();
        while events.next_event(never).await.is_some() {}
        std::future::pending::<u16>().await
    };
    let mut running = Box::pin(admitted.run(handler, timer));
    assert!(poll(&mut running).is_none());
    end(pauses.begun().unwrap());
    assert!(poll(&mut running).is_none());
    assert!(pauses.begun().is_none());
    assert_eq!(
        rig.store.take_log(),
        ["claim_all 2", "complete", "complete"]
    );
}

/// A renewal that fails is made again, and sooner; when none has come through for a whole lease, no event is begun any more,
/// and the sender is told to come again.
#[tokio::test]
async fn renewals_that_fail() {
    for failures in [1, usize::MAX] {
        let rig = Rig::new();
        let admitted = rig.admitted(1..=3).await;
        rig.store.fail_extends.store(failures, SeqCst);
        let (mut pauses, timer) = Pauses::new();
        let (step, steps) = mpsc::unbounded_channel();
        let claim = admitted.delivery().events().unwrap().as_slice()[0]
            .claim()
            .unwrap()
            .clone();
        {
            let handler = rig.step_by_step(&admitted, steps);
            let mut running = Box::pin(admitted.run(handler, timer));
            assert!(poll(&mut running).is_none());
            let mut waited = Duration::ZERO;
            for _ in 0..9 {
                let pause = pauses.begun().unwrap();
                waited += pause.0;
                rig.clock.advance(pause.0);
                end(pause);
                assert!(poll(&mut running).is_none());
                if claim.lost().now_or_never().is_some() {
                    break;
                }
            }
            assert_eq!(claim.lost().now_or_never().is_some(), failures > 1);
            if failures > 1 {
                assert!((seconds(50)..=seconds(60)).contains(&waited), "{waited:?}");
            }
            for _ in 0..3 {
                step.send(()).unwrap();
            }
            assert_eq!(poll(&mut running).unwrap().unwrap(), 204);
        }
        let settled = admitted.settle(204, never).await;
        let begun = rig.begun.take();
        if failures == 1 {
            settled.unwrap();
            assert_eq!(begun, events(1..=3));
        } else {
            assert_eq!(settled.unwrap_err().status(), 500);
            assert_eq!(begun, events([1]), "those that are lost are not begun");
            // What was in hand could still be recorded. The others are free once their leases have lapsed.
            rig.clock.advance(seconds(60));
            assert!(!rig.is_free(1).await && rig.is_free(2).await && rig.is_free(3).await);
        }
    }
}

/// An event that another has taken over before it began is left to that one, and the others are not.
#[tokio::test]
async fn an_event_that_is_lost_before_it_begins() {
    let rig = Rig::new();
    let admitted = rig.admitted(1..=3).await;
    let (mut pauses, timer) = Pauses::new();
    let (step, steps) = mpsc::unbounded_channel();
    {
        let handler = rig.step_by_step(&admitted, steps);
        let mut running = Box::pin(admitted.run(handler, timer));
        assert!(poll(&mut running).is_none());
        rig.clock.advance(seconds(60));
        let successor = rig.admitted([2]).await;
        rig.take_told();
        end(pauses.begun().unwrap());
        assert!(poll(&mut running).is_none());
        assert_eq!(rig.take_told(), ["lease_lost"]);
        // The two that are left are renewed on.
        rig.store.take_log();
        end(pauses.begun().unwrap());
        assert!(poll(&mut running).is_none());
        assert_eq!(rig.store.take_log(), ["extend_all 2"]);
        for _ in 0..2 {
            step.send(()).unwrap();
        }
        assert_eq!(poll(&mut running).unwrap().unwrap(), 204);
        assert_eq!(rig.begun.take(), events([1, 3]));
        drop(running);
        // Nobody says that 2 is done, until it is.
        let settled = admitted.settle(204, never).await.unwrap_err();
        assert!(matches!(settled, Rejection::EventsLeft), "{settled:?}");
        assert!(rig.is_in_flight(2).await);
        successor.settle(201, never).await.unwrap();
    }
    let replay = admit(&rig.receiver, &batch(1..=3), never).await.unwrap();
    assert!(matches!(replay, Admission::Answer(answer) if answer.status() == 204));
}

/// The handler of the event in hand learns that it is lost, and what is not lost stays with it.
#[tokio::test]
async fn the_event_in_hand_is_lost() {
    let rig = Rig::new();
    let admitted = rig.admitted(1..=3).await;
    let (mut pauses, timer) = Pauses::new();
    let handler = async {
        let mut events = admitted.delivery().events().unwrap();
        let event = events.next_event(never).await.unwrap();
        rig.begun.note(&event);
        event.claim().unwrap().lost().await;
        let other = &events.as_slice()[0];
        assert!(other.claim().unwrap().lost().now_or_never().is_none());
        500
    };
    let mut running = Box::pin(admitted.run(handler, timer));
    assert!(poll(&mut running).is_none());
    rig.clock.advance(seconds(60));
    let successor = rig.admitted([1]).await;
    end(pauses.begun().unwrap());
    assert_eq!(poll(&mut running).unwrap().unwrap(), 500);
    drop(running);
    rig.store.take_log();
    admitted.settle(500, never).await.unwrap();
    assert_eq!(rig.store.take_log(), ["release_all 2"], "1 is another's");
    assert!(rig.is_in_flight(1).await && rig.is_free(2).await);
    successor.settle(200, never).await.unwrap();
}

/// Leases are renewed for as long as a handler may take, for all of its events together.
#[tokio::test]
async fn a_batch_that_takes_too_long() {
    let rig = Rig::new();
    let admitted = rig.admitted(1..=3).await;
    let (mut pauses, timer) = Pauses::new();
    let (step, steps) = mpsc::unbounded_channel();
    {
        let handler = rig.step_by_step(&admitted, steps);
        let mut running = Box::pin(admitted.run(handler, timer));
        step.send(()).unwrap();
        assert!(poll(&mut running).is_none());
        for _ in 0..30 {
            rig.clock.advance(seconds(20));
            end(pauses.begun().unwrap());
            assert!(poll(&mut running).is_none());
        }
        assert!(pauses.begun().is_none(), "it has had its time");
        assert_eq!(rig.store.extends.load(SeqCst), 30);
        assert_eq!(rig.take_told().last(), Some(&"overtime"));
        // What it has in hand it may finish, and it begins nothing new.
        step.send(()).unwrap();
        assert_eq!(poll(&mut running).unwrap().unwrap(), 204);
        assert_eq!(rig.begun.take(), events([1, 2]));
    }
    let settled = admitted.settle(204, never).await.unwrap_err();
    assert!(matches!(settled, Rejection::EventsLeft), "{settled:?}");
    rig.clock.advance(seconds(60));
    let retry = rig.admitted(1..=3).await;
    let left: Vec<_> = retry.delivery().events().unwrap().collect();
    assert_eq!(left.len(), 1);
}

/// A call for the next event that is dropped before the store has answered is made again, or was the last: the event that
/// was in hand is done in any case, and no other is skipped.
#[tokio::test]
async fn a_call_for_the_next_that_is_dropped() {
    for (ask_again, status, undone) in [(true, 204, false), (false, 204, true), (false, 500, false)]
    {
        let rig = Rig::new();
        let admitted = rig.admitted(1..=3).await;
        let mut events = admitted.delivery().events().unwrap();
        rig.begun.note(&events.next_event(never).await.unwrap());
        rig.store.silent.store(2, SeqCst);
        for _ in 0..2 {
            assert!(events.next_event(never).now_or_never().is_none());
        }
        assert_eq!(events.as_slice().len(), 2);
        if ask_again {
            while let Some(event) = events.next_event(never).await {
                rig.begun.note(&event);
            }
        }
        let settled = admitted.settle(status, never).await;
        assert_eq!(settled.is_err(), undone);
        let retry = admit(&rig.receiver, &batch(1..=3), never).await.unwrap();
        if ask_again {
            assert_eq!(rig.begun.take(), crate::sender::events(1..=3));
            assert!(matches!(retry, Admission::Answer(_)));
        } else if let Admission::Admitted(retry) = retry {
            let left: Vec<_> = retry
                .delivery()
                .events()
                .unwrap()
                .map(|it| it.raw().clone())
                .collect();
            assert_eq!(left, crate::sender::events(2..=3));
        } else {
            panic!("2 and 3 were not done");
        }
    }
}
