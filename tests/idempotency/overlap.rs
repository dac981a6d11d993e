//! Requests that share events: each event has one handler, and a request that did not get all of
//! its events gets 503.

use std::sync::Arc;

use webhook_verify::{Idempotency, MemoryStore, Receiver, scheme};

use crate::{common::*, sender::*};

/// Serves handlers that wait at the gate in the event with this number.
async fn gated(
    framework: Framework,
    gate: &Arc<Gate>,
    begun: &Begun,
    fault: &Fault,
    receiver: Receiver,
) -> Site {
    let with = (Arc::clone(gate), begun.clone(), fault.clone());
    let waiting = handler(with, |(gate, begun, fault), delivery| async move {
        for event in &delivery.events().unwrap() {
            begun.note(event);
            if fault.hits(event) {
                gate.wait().await;
            }
            event.done().await;
        }
        200
    });
    Site::on(framework, receiver, waiting).await
}

/// Of two requests at once, the second gets the events that are free, and 503.
#[tokio::test]
async fn batches_that_overlap() {
    each_framework(|framework| async move {
        let (gate, begun, fault) = (Gate::new(), Begun::default(), Fault::at(2));
        let store = Watched::over(MemoryStore::new());
        let receiver = receiver(scheme::MAUTIC, Arc::clone(&store));
        let site = gated(framework, &gate, &begun, &fault, receiver).await;
        let mut first = site.send(&batch(1..=5)).await;
        gate.entered().await;
        assert_eq!(begun.take(), events([1, 2]));
        store.take_log();

        // Its own events run. The sender retries for the rest.
        assert_in_flight(&site.post(&batch([7, 5, 4, 6, 1])).await);
        assert_eq!(begun.take(), events([7, 6]));
        assert_eq!(store.take_log(), ["claim_all 5", "complete", "complete"]);
        // No event of this request is free, so no handler runs.
        assert_in_flight(&site.post(&batch([5, 2, 6])).await);
        assert_in_flight(&site.post(&batch([4])).await);
        assert_eq!(begun.take(), [""; 0]);
        assert_eq!(store.take_log(), ["claim_all 3", "claim"]);
        // Events that were done before are duplicates.
        assert_replay(&site.post(&batch([7, 1, 6])).await, 204);

        gate.open(1);
        assert_eq!(first.response().await.unwrap().status, 200);
        assert_eq!(begun.take(), events(3..=5));
        assert_replay(&site.post(&batch([7, 5, 4, 6, 1])).await, 204);
        assert_eq!(begun.take(), [""; 0]);
    })
    .await;
}

/// One event is free and its handler fails: the response is that of the handler, and the event is
/// free again.
#[tokio::test]
async fn a_part_that_fails_while_another_is_in_flight() {
    each_framework(|framework| async move {
        let (gate, begun, status) = (Gate::new(), Begun::default(), Fault::at(9));
        let with_all = (Arc::clone(&gate), begun.clone(), status.clone());
        let handler = handler(with_all, |(gate, begun, fault), delivery| async move {
            for event in &delivery.events().unwrap() {
                begun.note(event);
                if fault.hits(event) {
                    return 422;
                }
                if Fault::at(1).hits(event) {
                    gate.wait().await;
                }
                event.done().await;
            }
            202
        });
        let site = Site::on(framework, with(|it| it), handler).await;
        let mut first = site.send(&batch([1, 2])).await;
        gate.entered().await;
        assert_eq!(site.post(&batch([2, 9])).await.status, 422);
        status.set(0);
        // The status of the handler completes event 9. Event 2 is not done.
        assert_in_flight(&site.post(&batch([2, 9])).await);
        assert_replay(&site.post(&batch([9])).await, 202);
        gate.open(1);
        assert_eq!(first.response().await.unwrap().status, 202);
        assert_replay(&site.post(&batch([2, 9])).await, 204);
        assert_eq!(begun.take(), events([1, 9, 9, 2]));
    })
    .await;
}

/// With `in_flight_wait`, a batch without a free event waits until an event is free or all are
/// done.
#[tokio::test]
async fn a_batch_that_waits_for_another() {
    each_framework(|framework| async move {
        let (gate, begun, fault) = (Gate::new(), Begun::default(), Fault::at(1));
        let receiver = with(|it| it.in_flight_wait(seconds(20)));
        let site = gated(framework, &gate, &begun, &fault, receiver).await;
        let mut first = site.send(&batch(1..=3)).await;
        gate.entered().await;
        // A request with a free event does not wait.
        assert_in_flight(&site.post(&batch([3, 4])).await);
        let mut second = site.send(&batch([3, 2, 4])).await;
        assert!(!second.anything_within(seconds(0)).await);
        gate.open(1);
        assert_eq!(first.response().await.unwrap().status, 200);
        assert_replay(&second.response().await.unwrap(), 204);
        assert_eq!(begun.take(), events([1, 4, 2, 3]));
    })
    .await;
}

/// `Retry-After` is what the longest lease has left, and the status is the configured one.
#[tokio::test]
async fn retry_after_is_that_of_the_longest_lease() {
    each_framework(|framework| async move {
        let (gate, begun) = (Gate::new(), Begun::default());
        let clock = HandClock::new();
        let store = MemoryStore::new().clock(clock.clone());
        let receiver =
            receiver_with(scheme::MAUTIC, Idempotency::new(store, "tests").in_flight_status(409));
        let site = Site::on(framework, receiver.clone(), gate.handler(|_| 200)).await;
        let mut open = Vec::new();
        for numbers in [[1, 2], [3, 4]] {
            let connection = site.send(&batch(numbers)).await;
            gate.entered().await;
            open.push(connection);
            clock.advance(seconds(15));
        }
        for numbers in [vec![1, 3], vec![3, 1], vec![5, 3, 1], vec![5, 1, 3]] {
            let site = Site::on(framework, receiver.clone(), one_by_one(&begun, |_| 204)).await;
            let response = site.post(&batch(numbers)).await;
            assert_eq!((response.status, response.header("retry-after")), (409, Some("45")));
        }
        assert_eq!(begun.take(), events([5]));
        gate.open(2);
        for mut connection in open {
            assert_eq!(connection.response().await.unwrap().status, 200);
        }
    })
    .await;
}
