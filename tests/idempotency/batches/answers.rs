//! What a batch is answered: its handler's answer, unless that left something undone, or that of a duplicate.

use std::sync::Arc;

use integration_tests::{App, Handler, answer, each_framework};
use webhook_verify::{idempotency::Replay, scheme};

use crate::common::{Watched, assert_replay, is_replay, post, receiver};
use crate::sender::{Begun, Fault, batch, events, failing, with};

/// A batch of one event is answered as its handler answered, and one of several, which were completed before it did, 204.
#[tokio::test]
async fn what_a_duplicate_is_answered() {
    each_framework(|framework| async move {
        for (handled, status, single) in [(200, 200, 200), (202, 202, 202), (204, 204, 204)] {
            let handler: Handler = Arc::new(move |delivery| {
                Box::pin(async move {
                    let events = delivery.events().unwrap();
                    for event in &events {
                        event.done().await;
                    }
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
        let [claimed, completed, ..] = &store.take_log()[..] else {
            panic!("it was asked twice at least");
        };
        assert_eq!([claimed, completed], ["claim_all 5", "complete_all 5"]);

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

/// A handler that takes a batch marks no event done: its status decides.
#[tokio::test]
async fn a_handler_that_takes_the_batch_takes_the_whole() {
    each_framework(|framework| async move {
        let (begun, fault) = (Begun::default(), Fault::at(3));
        let (noting, failing) = (begun.clone(), fault.clone());
        let handler: Handler = Arc::new(move |delivery| {
            let (begun, fault) = (noting.clone(), failing.clone());
            Box::pin(async move {
                for event in &delivery.batch().unwrap() {
                    begun.note(event);
                    if fault.hits(event) {
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

/// To look at the events first, or again, neither repeats one nor forgets that it is done.
#[tokio::test]
async fn events_that_are_asked_for_twice() {
    each_framework(|framework| async move {
        let begun = Begun::default();
        let noting = begun.clone();
        let store = Watched::new();
        let handler: Handler = Arc::new(move |delivery| {
            let begun = noting.clone();
            Box::pin(async move {
                assert_eq!(delivery.events().unwrap().len(), 4);
                let events = delivery.events().unwrap();
                for event in events.iter().take(2) {
                    begun.note(event);
                    if begun.len() == 1 {
                        event.done().await;
                    }
                }
                // The second is in hand, and not done; the first is.
                let events = delivery.events().unwrap();
                for event in &events {
                    begun.note(event);
                    event.done().await;
                }
                200
            })
        });
        let app = App::new(receiver(scheme::MAUTIC, Arc::clone(&store)), handler);
        let server = app.serve(framework).await;
        assert_eq!(post(server.addr, &batch(1..=4)).await.status, 200);
        assert_eq!(begun.take(), events([1, 2, 2, 3, 4]));
        assert_eq!((store.completes(), store.take_log().len()), (4, 5));
        assert_replay(&post(server.addr, &batch(1..=4)).await, 204);
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
                    let events = delivery.events().unwrap();
                    for event in &events {
                        begun.note(event);
                        event.done().await;
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

/// A handler that takes events and responds with success without marking them done gets 500. A
/// single event needs no mark.
#[tokio::test]
async fn events_that_are_not_said_to_be_done() {
    each_framework(|framework| async move {
        for (numbers, statuses) in [(1..=3, [500, 500]), (1..=1, [204, 204])] {
            let begun = Begun::default();
            let noting = begun.clone();
            let handler: Handler = Arc::new(move |delivery| {
                let begun = noting.clone();
                Box::pin(async move {
                    let events = delivery.events().unwrap();
                    begun.note(events.iter().next().unwrap());
                    204
                })
            });
            let app = App::new(with(|it| it), handler);
            let server = app.serve(framework).await;
            for status in statuses {
                let response = post(server.addr, &batch(numbers.clone())).await;
                assert_eq!((response.status, response.text()), (status, ""));
            }
            let runs = if statuses[0] == 500 { 2 } else { 1 };
            assert_eq!(begun.take(), vec![events([1])[0].clone(); runs]);
        }
        // As an answer to its failure, the handler's own counts.
        let app = App::new(with(|it| it), failing(&Begun::default(), &Fault::at(1)));
        let server = app.serve(framework).await;
        assert_eq!(post(server.addr, &batch([1])).await.status, 500);
    })
    .await;
}

/// A single event that is done is so whatever the handler answers, and of an answer of success duplicates are answered it.
#[tokio::test]
async fn a_single_event_that_is_done() {
    for (status, replayed) in [(202, 202), (500, 204)] {
        each_framework(|framework| async move {
            let handler: Handler = Arc::new(move |delivery| {
                Box::pin(async move {
                    for event in &delivery.events().unwrap() {
                        event.done().await;
                    }
                    status
                })
            });
            let app = App::new(with(|it| it), handler);
            let server = app.serve(framework).await;
            assert_eq!(post(server.addr, &batch([1])).await.status, status);
            assert_replay(&post(server.addr, &batch([1])).await, replayed);
        })
        .await;
    }
}
