//! A crash at every position of a batch: the next process runs the rest, even if the sender
//! regroups the events.

use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::{join, join_all, select};
use integration_tests::{Kind, Place, each_place, unique};
use tokio::{sync::oneshot, time::sleep};
use webhook_verify::{
    Event, Idempotency, Receiver,
    adapter::{Admission, Admitted},
    scheme,
};

use crate::{common::*, sender::*};

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// How often each event was started, and had its effect.
#[derive(Clone, Default)]
struct Effects(Arc<Mutex<HashMap<usize, (usize, usize)>>>);

impl Effects {
    fn begin(&self, event: &Event) {
        self.0.lock().unwrap().entry(number(event)).or_default().0 += 1;
    }

    fn end(&self, event: &Event) {
        self.0.lock().unwrap().entry(number(event)).or_default().1 += 1;
    }

    fn of(&self, number: usize) -> (usize, usize) {
        let effects = self.0.lock().unwrap();
        effects.get(&number).copied().unwrap_or_default()
    }
}

fn number(event: &Event) -> usize {
    let data: HashMap<String, usize> = event.data().unwrap();
    data["id"]
}

/// The moment of a crash: after so many events, and before or after the effect of the event in
/// progress.
#[derive(Clone, Copy, Debug)]
struct Cut {
    after: usize,
    has_effect: bool,
}

impl Cut {
    fn all() -> Vec<Self> {
        let cut = |has_effect| move |after| Self { after, has_effect };
        let before = (0..=10).map(cut(false));
        before.chain((0..10).map(cut(true))).collect()
    }

    /// Returns the number of event `n` of this cut. Each cut has events of its own.
    fn event(self, n: usize) -> usize {
        10_000 * usize::from(self.has_effect) + 100 * self.after + n
    }
}

/// Claims a batch. A busy store may refuse at first.
async fn admitted(receiver: &Receiver, cut: Cut) -> Admitted {
    let request = batch((1..=10).map(|n| cut.event(n)));
    let admitted = async {
        loop {
            match admit(receiver, &request, sleep).await {
                Ok(Admission::Admitted(admitted)) => return admitted,
                Ok(Admission::Answer(answer)) => panic!("{cut:?}: answered {answer:?}"),
                Err(rejection) => assert_eq!(rejection.status(), 503, "{cut:?}"),
            }
            sleep(PAUSE).await;
        }
    };
    soon("claim of a batch", admitted).await
}

/// Starts a batch, and stops in the middle of it, as a crash does.
async fn die(receiver: &Receiver, cut: Cut, effects: &Effects) {
    let admitted = admitted(receiver, cut).await;
    let (dying, death) = oneshot::channel();
    let delivery = admitted.delivery().clone();
    let handler = async {
        let events = delivery.events().unwrap();
        let mut done = 0;
        for event in &events {
            effects.begin(event);
            if done == cut.after {
                if cut.has_effect {
                    effects.end(event);
                }
                break;
            }
            effects.end(event);
            done += 1;
            event.done().await;
        }
        assert_eq!(done, cut.after);
        dying.send(()).unwrap();
        pending::<()>().await;
    };
    select(Box::pin(admitted.handle(handler, |()| None)), death).await;
}

fn to_the_end(effects: &Effects) -> Handler {
    handler(effects.clone(), |effects, delivery| async move {
        for event in &delivery.events().unwrap() {
            effects.begin(event);
            effects.end(event);
            event.done().await;
        }
        204
    })
}

/// Sends some of the events until the response is 2xx, as senders do.
async fn deliver(addr: std::net::SocketAddr, cut: Cut, numbers: &[usize]) {
    let request = batch(numbers.iter().map(|n| cut.event(*n)));
    let delivering = async {
        loop {
            match post(addr, &request).await.status {
                200..300 => return,
                503 => sleep(PAUSE).await,
                other => panic!("{cut:?}: answered {other}"),
            }
        }
    };
    soon("2xx response to the batch", delivering).await;
}

async fn cut_everywhere(place: &Place, framework: Framework) {
    let (namespace, effects) = (unique("cuts"), Effects::default());
    let receiver = async || {
        let idempotency = Idempotency::new(place.open().await, "tests");
        receiver_with(scheme::MAUTIC, patient(idempotency).namespace(&namespace))
    };
    let dying = receiver().await;
    let deaths = Cut::all().into_iter();
    join_all(deaths.map(|cut| die(&dying, cut, &effects))).await;
    drop(dying);
    place.age(LONG).await;
    // The next process has its own connection.
    let app = App::new(receiver().await, to_the_end(&effects));
    let server = app.serve(framework).await;
    join_all(Cut::all().into_iter().map(|cut| {
        join(
            deliver(server.addr, cut, &[12, 10, 9, 8, 7, 6]),
            deliver(server.addr, cut, &[5, 4, 11, 3, 2, 1]),
        )
    }))
    .await;
    for cut in Cut::all() {
        for n in 1..=12 {
            let in_hand = n == cut.after + 1 && n <= 10;
            let expected = match (in_hand, cut.has_effect) {
                (false, _) => (1, 1),
                (true, false) => (2, 1),
                // The store cannot know of this effect.
                (true, true) => (2, 2),
            };
            assert_eq!(effects.of(cut.event(n)), expected, "{cut:?}, event {n}");
        }
    }
}

#[tokio::test]
async fn a_crash_at_every_position() {
    each_place(&[Kind::Sqlite, Kind::Postgres], cut_everywhere).await;
}
