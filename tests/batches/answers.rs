//! What a batch is answered: its handler's answer, that of a duplicate, or that some of it is in flight elsewhere.

use std::sync::Arc;

use integration_tests::{App, Connection, Framework, Handler, Server, answer, each_framework};
use tokio::time::sleep;
use webhook_verify::{Idempotency, MemoryStore, Receiver, idempotency::Replay, scheme};

use crate::{
    common::{
        Gate, HandClock, Watched, assert_in_flight, assert_replay, is_replay, post, raw, receiver,
        receiver_with, seconds,
    },
    sender::{Begun, Fault, batch, events, failing, one_by_one},
};

fn with(set: impl Fn(Idempotency) -> Idempotency) -> Receiver {
    let idempotency = Idempotency::new(MemoryStore::new(), "tests");
    receiver_with(scheme::MAUTIC, set(idempotency))
}

/// A batch of one event is answered as its handler answered, and one of several, which were completed before it did, 204.
#[tokio::test]
async fn what_a_duplicate_is_answered() {
    each_framework(|framework| async move {
        for (handled, status, single) in [(200, 200, 200), (202, 202, 202), (204, 204, 204)] {
            let handler: Handler = Arc::new(move |delivery| {
                Box::pin(async move {
                    let mut events = delivery.events().unwrap();
                    while events.next_event(sleep).await.is_some() {}
                    handled
                })
            });
            let app = App::new(with(|it| it), Arc::clone(&handler));
            let server = app.serve(framework).await;
            for (request, replayed) in [(batch([1]), single), (batch(2..=4), 204)] {
                assert_eq!(post(server.addr, &request).await.status, status);
                assert_replay(&post(server.addr, &request).await, replayed);
            }
            // Of both kinds, in one: what is not the same for all is 204.
            assert_replay(&post(server.addr, &batch(1..=4)).await, 204);
            assert_replay(&post(server.addr, &batch((1..=4).rev())).await, 204);

            let app = App::new(with(|it| it.replay(Replay::NoContent)), handler);
            let server = app.serve(framework).await;
            assert_eq!(post(server.addr, &batch([1])).await.status, status);
            assert_replay(&post(server.addr, &batch([1])).await, 204);
        }
    })
    .await;
}

/// A handler that does not look at the events has them all done or none, by what it answers.
#[tokio::test]
async fn a_handler_that_takes_the_whole() {
    each_framework(|framework| async move {
        let store = Watched::new();
        let app = App::new(receiver(scheme::MAUTIC, Arc::clone(&store)), answer(201));
        let server = app.serve(framework).await;
        assert_eq!(post(server.addr, &batch(1..=5)).await.status, 201);
        assert_replay(&post(server.addr, &batch(1..=5)).await, 201);
        assert_replay(&post(server.addr, &batch([5, 2])).await, 201);
        assert_eq!(store.completes(), 5);

        let store = Watched::new();
        let app = App::new(receiver(scheme::MAUTIC, Arc::clone(&store)), answer(500));
        let server = app.serve(framework).await;
        for _ in 0..3 {
            assert_eq!(post(server.addr, &batch(1..=5)).await.status, 500);
            assert_eq!(store.take_log(), ["claim_all 5", "release_all 5"]);
        }
    })
    .await;
}

/// One that goes through the events as an iterator says of none that it is done.
#[tokio::test]
async fn a_handler_that_iterates_takes_the_whole() {
    each_framework(|framework| async move {
        let (begun, fault) = (Begun::default(), Fault::at(3));
        let (noting, failing) = (begun.clone(), fault.clone());
        let handler: Handler = Arc::new(move |delivery| {
            let (begun, fault) = (noting.clone(), failing.clone());
            Box::pin(async move {
                for event in delivery.events().unwrap() {
                    begun.note(&event);
                    if fault.hits(&event) {
                        return 500;
                    }
                }
                200
            })
        });
        let app = App::new(with(|it| it), handler);
        let server = app.serve(framework).await;
        assert_eq!(post(server.addr, &batch(1..=4)).await.status, 500);
        assert_eq!(begun.take(), events(1..=3));
        fault.set(0);
        assert_eq!(post(server.addr, &batch(1..=4)).await.status, 200);
        assert_eq!(begun.take(), events(1..=4));
        assert_replay(&post(server.addr, &batch(1..=4)).await, 200);
    })
    .await;
}

/// Which of the handler's statuses complete a delivery does not change that an event is done when the next is asked for.
#[tokio::test]
async fn events_are_completed_whatever_completes_a_delivery() {
    each_framework(|framework| async move {
        for status in [200, 404] {
            let begun = Begun::default();
            let noting = begun.clone();
            let handler: Handler = Arc::new(move |delivery| {
                let begun = noting.clone();
                Box::pin(async move {
                    let mut events = delivery.events().unwrap();
                    while let Some(event) = events.next_event(sleep).await {
                        begun.note(&event);
                    }
                    status
                })
            });
            let completing = with(|it| it.complete_on(move |it| it == status));
            let app = App::new(completing, handler);
            let server = app.serve(framework).await;
            for request in [batch([1]), batch(2..=4)] {
                assert_eq!(post(server.addr, &request).await.status, status);
                assert!(is_replay(&post(server.addr, &request).await), "{status}");
            }
            assert_eq!(begun.take(), events(1..=4), "{status}");
        }
    })
    .await;
}

/// A server whose handlers wait at the gate with each event of this number.
async fn gated(
    framework: Framework,
    gate: &Arc<Gate>,
    begun: &Begun,
    fault: &Fault,
    receiver: Receiver,
) -> Server {
    let (gate, begun, fault) = (Arc::clone(gate), begun.clone(), fault.clone());
    let handler: Handler = Arc::new(move |delivery| {
        let (gate, begun, fault) = (Arc::clone(&gate), begun.clone(), fault.clone());
        Box::pin(async move {
            let mut events = delivery.events().unwrap();
            while let Some(event) = events.next_event(sleep).await {
                begun.note(&event);
                if fault.hits(&event) {
                    gate.wait().await;
                }
            }
            200
        })
    });
    App::new(receiver, handler).serve(framework).await
}

/// Two requests that share events: each event is in one pair of hands, and who got but a part comes again.
#[tokio::test]
async fn batches_that_overlap() {
    each_framework(|framework| async move {
        let (gate, begun, fault) = (Gate::new(), Begun::default(), Fault::at(2));
        let store = Watched::over(MemoryStore::new());
        let receiver = receiver(scheme::MAUTIC, Arc::clone(&store));
        let server = gated(framework, &gate, &begun, &fault, receiver).await;
        let mut first = Connection::open(server.addr).await;
        first.send(&raw(&batch(1..=5))).await;
        gate.entered().await;
        assert_eq!(begun.take(), events([1, 2]));
        store.take_log();

        // Its own events run to their end. The rest is why it has to come again.
        assert_in_flight(&post(server.addr, &batch([7, 5, 4, 6, 1])).await);
        assert_eq!(begun.take(), events([7, 6]));
        assert_eq!(store.take_log(), ["claim_all 5", "complete", "complete"]);
        // Nothing of this one is to be had: no handler runs.
        assert_in_flight(&post(server.addr, &batch([5, 2, 6])).await);
        assert_in_flight(&post(server.addr, &batch([4])).await);
        assert_eq!(begun.take(), [""; 0]);
        assert_eq!(store.take_log(), ["claim_all 3", "claim"]);
        // What was done before is.
        assert_replay(&post(server.addr, &batch([7, 1, 6])).await, 204);

        gate.open(1);
        assert_eq!(first.response().await.unwrap().status, 200);
        assert_eq!(begun.take(), events(3..=5));
        assert_replay(&post(server.addr, &batch([7, 5, 4, 6, 1])).await, 204);
        assert_eq!(begun.take(), [""; 0]);
    })
    .await;
}

/// The same with one event to be had and a handler that fails at it: its answer is the handler's, and the event is free.
#[tokio::test]
async fn a_part_that_fails_while_another_is_in_flight() {
    each_framework(|framework| async move {
        let (gate, begun, status) = (Gate::new(), Begun::default(), Fault::at(9));
        let (waiting, failing) = (Arc::clone(&gate), status.clone());
        let noting = begun.clone();
        let handler: Handler = Arc::new(move |delivery| {
            let (gate, begun, fault) = (Arc::clone(&waiting), noting.clone(), failing.clone());
            Box::pin(async move {
                let mut events = delivery.events().unwrap();
                while let Some(event) = events.next_event(sleep).await {
                    begun.note(&event);
                    if fault.hits(&event) {
                        return 422;
                    }
                    if Fault::at(1).hits(&event) {
                        gate.wait().await;
                    }
                }
                202
            })
        });
        let app = App::new(with(|it| it), handler);
        let server = app.serve(framework).await;
        let mut first = Connection::open(server.addr).await;
        first.send(&raw(&batch([1, 2]))).await;
        gate.entered().await;
        assert_eq!(post(server.addr, &batch([2, 9])).await.status, 422);
        status.set(0);
        // Settled by the handler's status, as the only one; and yet 2 is not done.
        assert_in_flight(&post(server.addr, &batch([2, 9])).await);
        assert_replay(&post(server.addr, &batch([9])).await, 202);
        gate.open(1);
        assert_eq!(first.response().await.unwrap().status, 202);
        assert_replay(&post(server.addr, &batch([2, 9])).await, 204);
        assert_eq!(begun.take(), events([1, 9, 9, 2]));
    })
    .await;
}

/// A batch of which nothing is to be had waits, if it is to, until something is, or all of it is done.
#[tokio::test]
async fn a_batch_that_waits_for_another() {
    each_framework(|framework| async move {
        let (gate, begun, fault) = (Gate::new(), Begun::default(), Fault::at(1));
        let receiver = with(|it| it.in_flight_wait(seconds(20)));
        let server = gated(framework, &gate, &begun, &fault, receiver).await;
        let mut first = Connection::open(server.addr).await;
        first.send(&raw(&batch(1..=3))).await;
        gate.entered().await;
        // One that has something to do does not wait before it does it.
        assert_in_flight(&post(server.addr, &batch([3, 4])).await);
        let mut second = Connection::open(server.addr).await;
        second.send(&raw(&batch([3, 2, 4]))).await;
        assert!(!second.anything_within(seconds(0)).await);
        gate.open(1);
        assert_eq!(first.response().await.unwrap().status, 200);
        assert_replay(&second.response().await.unwrap(), 204);
        assert_eq!(begun.take(), events([1, 4, 2, 3]));
    })
    .await;
}

/// How long to stay away is what the longest of the leases has left, and the status is the one that was chosen.
#[tokio::test]
async fn who_comes_too_early_is_told_when_to_come() {
    each_framework(|framework| async move {
        let (gate, begun) = (Gate::new(), Begun::default());
        let clock = HandClock::new();
        let store = MemoryStore::new().clock(clock.clone());
        let receiver = receiver_with(
            scheme::MAUTIC,
            Idempotency::new(store, "tests").in_flight_status(409),
        );
        let waiting = Arc::clone(&gate);
        let handler: Handler = Arc::new(move |_| {
            let gate = Arc::clone(&waiting);
            Box::pin(async move {
                gate.wait().await;
                200
            })
        });
        let server = App::new(receiver.clone(), handler).serve(framework).await;
        let mut open = Vec::new();
        for numbers in [[1, 2], [3, 4]] {
            let mut connection = Connection::open(server.addr).await;
            connection.send(&raw(&batch(numbers))).await;
            gate.entered().await;
            open.push(connection);
            clock.advance(seconds(15));
        }
        for numbers in [vec![1, 3], vec![3, 1], vec![5, 3, 1], vec![5, 1, 3]] {
            let app = App::new(receiver.clone(), one_by_one(&begun, |_| 204));
            let server = app.serve(framework).await;
            let response = post(server.addr, &batch(numbers)).await;
            assert_eq!(
                (response.status, response.header("retry-after")),
                (409, Some("45"))
            );
        }
        assert_eq!(begun.take(), events([5]));
        gate.open(2);
        for mut connection in open {
            assert_eq!(connection.response().await.unwrap().status, 200);
        }
    })
    .await;
}

/// A batch of one is like those of several: who answers success and did not ask for the next is answered for.
#[tokio::test]
async fn a_single_event_that_is_not_said_to_be_done() {
    each_framework(|framework| async move {
        let begun = Begun::default();
        let noting = begun.clone();
        let handler: Handler = Arc::new(move |delivery| {
            let begun = noting.clone();
            Box::pin(async move {
                let mut events = delivery.events().unwrap();
                begun.note(&events.next_event(sleep).await.unwrap());
                204
            })
        });
        let app = App::new(with(|it| it), handler);
        let server = app.serve(framework).await;
        for _ in 0..2 {
            let response = post(server.addr, &batch([1])).await;
            assert_eq!((response.status, response.text()), (500, ""));
        }
        assert_eq!(begun.take(), events([1, 1]));
        // As an answer to its failure, the handler's own counts.
        let app = App::new(with(|it| it), failing(&begun, &Fault::at(1)));
        let server = app.serve(framework).await;
        assert_eq!(post(server.addr, &batch([1])).await.status, 500);
    })
    .await;
}
