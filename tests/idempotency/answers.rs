//! The responses to deliveries and their duplicates: which statuses complete a delivery, and which
//! status a duplicate gets.

use std::sync::Arc;

use tokio::sync::mpsc;
use webhook_verify::{Batch, Idempotency, idempotency::Replay, scheme};

use crate::{common::*, sender::*};

/// A redirect or a client error is a failure: the retry has to run. So is one of a batch that its
/// handler takes as a whole.
#[tokio::test]
async fn b25_redirects_and_client_errors_release() {
    each_framework(|framework| async move {
        for count in [1, 5] {
            for status in [302, 304, 400, 404, 410, 422, 429, 500, 503] {
                let case = format!("{count} events, {status}");
                eprintln!("{case}");
                let (scheme, request) = sent(count);
                let store = Watched::new();
                let receiver = receiver(scheme, Arc::clone(&store));
                let site = Site::on(framework, receiver, in_turn([status, status, 200])).await;
                for _ in 0..2 {
                    assert_fresh(&site.post(&request).await, status);
                    let calls = [call("claim", count), call("release", count)];
                    assert_eq!(store.take_log(), calls, "{case}");
                }
                assert_fresh(&site.post(&request).await, 200);
                assert_replay(&site.post(&request).await, 200);
                assert_eq!(site.runs(), 3, "{case}");
            }
        }
    })
    .await;
}

/// A duplicate gets the stored status, or 204 if an empty response contradicts that status.
#[tokio::test]
async fn duplicates_get_the_stored_status() {
    each_framework(|framework| async move {
        for count in [1, 5] {
            for (status, replayed) in
                [(200, 200), (201, 201), (202, 202), (204, 204), (205, 204), (206, 204), (299, 299)]
            {
                for (replay, replayed) in [(Replay::Status, replayed), (Replay::NoContent, 204)] {
                    let case = format!("{count} events, {status}, {replay:?}");
                    eprintln!("{case}");
                    let (scheme, request) = sent(count);
                    let store = Watched::new();
                    let idempotency = Idempotency::new(Arc::clone(&store), "tests").replay(replay);
                    let receiver = receiver_with(scheme, idempotency);
                    let site = Site::on(framework, receiver, answer(status)).await;
                    assert_fresh(&site.post(&request).await, status);
                    let calls = [call("claim", count), call("complete", count)];
                    assert_eq!(store.take_log(), calls, "{case}");
                    for _ in 0..2 {
                        assert_replay(&site.post(&request).await, replayed);
                    }
                    if count > 1 {
                        assert_replay(&site.post(&batch([count, 2])).await, replayed);
                    }
                    assert_eq!(site.runs(), 1, "{case}");
                }
            }
        }
    })
    .await;
}

/// A single event has its handler's status, or 204 if it was marked done and the handler failed.
/// The events of a batch are completed before the handler returns, so their duplicates get 204.
#[tokio::test]
async fn duplicates_of_events_that_were_marked_done() {
    each_framework(|framework| async move {
        for (status, single) in [(200, 200), (202, 202), (204, 204), (500, 204)] {
            eprintln!("{status}");
            let handler = does_all(&Begun::default(), status);
            let site = Site::on(framework, with(|it| it), Arc::clone(&handler)).await;
            for (request, replayed) in [(batch([1]), single), (batch(2..=4), 204)] {
                assert_eq!(site.post(&request).await.status, status);
                assert_replay(&site.post(&request).await, replayed);
            }
            // Events of both kinds in one request get 204.
            assert_replay(&site.post(&batch(1..=4)).await, 204);
            assert_replay(&site.post(&batch((1..=4).rev())).await, 204);

            let receiver = with(|it| it.replay(Replay::NoContent));
            let site = Site::on(framework, receiver, handler).await;
            assert_eq!(site.post(&batch([1])).await.status, status);
            assert_replay(&site.post(&batch([1])).await, 204);
        }
    })
    .await;
}

#[tokio::test]
async fn complete_on() {
    each_framework(|framework| async move {
        for (status, completes, then) in
            [(200, false, 200), (202, true, 202), (410, true, 204), (500, false, 500)]
        {
            let store = Watched::new();
            let idempotency = Idempotency::new(Arc::clone(&store), "tests")
                .complete_on(|status| [202, 410].contains(&status));
            let receiver = receiver_with(scheme::GITHUB, idempotency);
            let site = Site::on(framework, receiver, answer(status)).await;
            let request = signed(scheme::GITHUB, "{}");
            assert_eq!(site.post(&request).await.status, status);
            let again = site.post(&request).await;
            assert_eq!((again.status, is_replay(&again)), (then, completes));
            assert_eq!(site.runs(), if completes { 1 } else { 2 }, "{status}");
            assert_eq!(store.completes() == 1, completes, "{status}");
        }
        // Events that are marked done are completed in any case.
        for status in [200, 404] {
            let begun = Begun::default();
            let completing = with(|it| it.complete_on(move |it| it == status));
            let site = Site::on(framework, completing, does_all(&begun, status)).await;
            for request in [batch([1]), batch(2..=4)] {
                assert_eq!(site.post(&request).await.status, status);
                assert!(is_replay(&site.post(&request).await), "{status}");
            }
            assert_eq!(begun.take(), events(1..=4), "{status}");
        }
    })
    .await;
}

/// A handler that takes a batch marks no event done: its status decides.
#[tokio::test]
async fn a_handler_that_takes_the_batch_takes_the_whole() {
    each_framework(|framework| async move {
        let (begun, fault) = (Begun::default(), Fault::at(3));
        let taking =
            handler((begun.clone(), fault.clone()), |(begun, fault), delivery| async move {
                for event in &delivery.batch().unwrap() {
                    begun.note(event);
                    if fault.hits(event) {
                        return 500;
                    }
                }
                200
            });
        let site = Site::on(framework, with(|it| it), taking).await;
        assert_eq!(site.post(&batch(1..=4)).await.status, 500);
        assert_eq!(begun.take(), events(1..=3));
        fault.set(0);
        assert_eq!(site.post(&batch(1..=4)).await.status, 200);
        assert_eq!(begun.take(), events(1..=4));
        assert_replay(&site.post(&batch(1..=4)).await, 200);
    })
    .await;
}

/// A second call of `events` neither repeats a done event nor skips one that is not done.
#[tokio::test]
async fn events_that_are_asked_for_twice() {
    each_framework(|framework| async move {
        let (store, begun) = (Watched::new(), Begun::default());
        let asking = handler(begun.clone(), |begun, delivery| async move {
            assert_eq!(delivery.events().unwrap().len(), 4);
            let events = delivery.events().unwrap();
            for event in events.iter().take(2) {
                begun.note(event);
                if begun.len() == 1 {
                    event.done().await;
                }
            }
            // The first is done. The second is in progress.
            for event in &delivery.events().unwrap() {
                begun.note(event);
                event.done().await;
            }
            200
        });
        let site = Site::on(framework, receiver(scheme::MAUTIC, Arc::clone(&store)), asking).await;
        assert_eq!(site.post(&batch(1..=4)).await.status, 200);
        assert_eq!(begun.take(), events([1, 2, 2, 3, 4]));
        assert_eq!((store.completes(), store.take_log().len()), (4, 5));
        assert_replay(&site.post(&batch(1..=4)).await, 204);
    })
    .await;
}

/// A handler that takes several events and returns success without marking them done gets 500. A
/// single event needs no mark.
#[tokio::test]
async fn events_that_are_not_marked_done() {
    each_framework(|framework| async move {
        for (count, status, runs) in [(3, 500, 2), (1, 204, 1)] {
            let begun = Begun::default();
            let noting = handler(begun.clone(), |begun, delivery| async move {
                begun.note(delivery.events().unwrap().iter().next().unwrap());
                204
            });
            let site = Site::on(framework, with(|it| it), noting).await;
            for _ in 0..2 {
                let response = site.post(&batch(1..=count)).await;
                assert_eq!((response.status, response.text()), (status, ""));
            }
            assert_eq!(begun.take(), vec![events([1])[0].clone(); runs]);
        }
        // If the handler fails, its own status counts.
        let handler = failing(&Begun::default(), &Fault::at(1));
        let site = Site::on(framework, with(|it| it), handler).await;
        assert_eq!(site.post(&batch([1])).await.status, 500);
    })
    .await;
}

/// A handler that passes its events to a task and returns success has promised that they are done.
/// The task gets every one.
#[tokio::test]
async fn events_that_are_given_to_a_task() {
    each_framework(|framework| async move {
        for (scheme, requests) in [
            (scheme::MAUTIC, [batch([1]), batch([2, 3])]),
            (scheme::GITHUB, ["{\"id\":1}", "{\"id\":2}"].map(|it| signed(scheme::GITHUB, it))),
        ] {
            let (sender, mut taken) = mpsc::unbounded_channel::<Batch>();
            let giving = handler(sender, |sender, delivery| async move {
                sender.send(delivery.batch().unwrap()).unwrap();
                202
            });
            let site = Site::on(framework, receiver(scheme, Watched::new()), giving).await;
            let begun = Begun::default();
            for request in requests {
                assert_eq!(site.post(&request).await.status, 202);
                // This is long after the response.
                for event in &taken.recv().await.unwrap() {
                    begun.note(event);
                    event.done().await;
                }
                assert_replay(&site.post(&request).await, 202);
            }
            assert!(begun.len() > 1 && taken.try_recv().is_err());
        }
    })
    .await;
}
