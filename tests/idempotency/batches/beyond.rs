//! Handlers that answer before they have looked at their events: what they promise is theirs to do, and what is lost is not.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use integration_tests::{App, Handler, Pauses, each_framework};
use tokio::sync::mpsc;
use webhook_verify::{Batch, Rejection, adapter::Admission, scheme};

use crate::common::{
    Watched, admit, assert_replay, finish, its_status, never, post, receiver, seconds, signed,
};
use crate::{
    rig::{Rig, end, poll},
    sender::{Begun, batch, events},
};

/// A handler that gives its events to a task and answers success has promised that they are done; the task gets every one.
#[tokio::test]
async fn events_that_are_given_to_a_task() {
    each_framework(|framework| async move {
        for (scheme, requests) in [
            (scheme::MAUTIC, [batch([1]), batch([2, 3])]),
            (scheme::GITHUB, ["{\"id\":1}", "{\"id\":2}"].map(|it| signed(scheme::GITHUB, it))),
        ] {
            let (sender, mut taken) = mpsc::unbounded_channel::<Batch>();
            let handler: Handler = Arc::new(move |delivery| {
                let sender = sender.clone();
                Box::pin(async move {
                    sender.send(delivery.batch().unwrap()).unwrap();
                    202
                })
            });
            let app = App::new(receiver(scheme, Watched::new()), handler);
            let server = app.serve(framework).await;
            let begun = Begun::default();
            for request in requests {
                assert_eq!(post(server.addr, &request).await.status, 202);
                // Long after the answer.
                for event in &taken.recv().await.unwrap() {
                    begun.note(event);
                    event.done().await;
                }
                assert_replay(&post(server.addr, &request).await, 202);
            }
            assert!(begun.len() > 1 && taken.try_recv().is_err());
        }
    })
    .await;
}

/// Of a handler that failed, a task gets nothing any more: the retry has it.
#[tokio::test]
async fn events_that_were_given_back() {
    let rig = Rig::new();
    let admitted = rig.admitted(1..=2).await;
    let kept = admitted.delivery().events().unwrap();
    let kept_batch = admitted.delivery().batch().unwrap();
    finish(admitted, 500).await.unwrap();
    assert_eq!(kept.iter().count(), 0);
    rig.store.take_log();
    kept_batch[0].done().await;
    assert!(rig.store.take_log().is_empty(), "nobody is told of it");
    let retry = rig.admitted(1..=2).await;
    assert_eq!(retry.delivery().events().unwrap().iter().count(), 2);
}

/// A handler whose leases are lost before it takes the first of its events gets none, and its success stands for nothing.
#[tokio::test]
async fn all_are_lost_before_the_first() {
    for numbers in [1..=1, 1..=3] {
        let rig = Rig::new();
        let (mut pauses, timer) = Pauses::new();
        let admitted = rig.admitted_with(numbers.clone(), timer).await;
        let delivery = admitted.delivery().clone();
        let (go, mut gone) = mpsc::unbounded_channel::<()>();
        let handler = async {
            let events = delivery.events().unwrap();
            gone.recv().await.unwrap();
            for event in &events {
                rig.begun.note(event);
                event.done().await;
            }
            204
        };
        let mut running = Box::pin(admitted.handle(handler, its_status));
        assert!(poll(&mut running).is_none());
        while let Some(pause) = pauses.begun() {
            rig.clock.advance(seconds(20));
            end(pause);
            assert!(poll(&mut running).is_none());
        }
        go.send(()).unwrap();
        let settled = poll(&mut running).unwrap().unwrap_err();
        assert_eq!(rig.begun.len(), 0);
        assert!(matches!(settled, Rejection::InFlight { .. }), "{settled:?}");
        let retry = rig.admitted(numbers.clone()).await;
        let left = retry.delivery().events().unwrap();
        assert_eq!(left.iter().count(), numbers.count());
    }
}

/// A call that is given up while the leases are renewed has its event renewed again from then on.
#[tokio::test]
async fn what_was_given_up_in_a_renewal_is_renewed_by_the_next() {
    let rig = Rig::new();
    let (mut pauses, timer) = Pauses::new();
    let admitted = rig.admitted_with(1..=3, timer).await;
    let delivery = admitted.delivery().clone();
    let (step, mut steps) = mpsc::unbounded_channel::<()>();
    let handler = async {
        let events = delivery.events().unwrap();
        rig.store.silent.store(1, std::sync::atomic::Ordering::SeqCst);
        rig.store.fail_completes.store(1, std::sync::atomic::Ordering::SeqCst);
        let first = events.iter().next().unwrap();
        {
            let mut done = Box::pin(first.done());
            assert!((&mut done).now_or_never().is_none());
            steps.recv().await.unwrap();
        }
        steps.recv().await.unwrap();
        500
    };
    let mut running = Box::pin(admitted.handle(handler, its_status));
    assert!(poll(&mut running).is_none());
    rig.store.take_log();
    let _limit_of_the_call = pauses.begun().unwrap();
    end(pauses.begun().unwrap());
    assert!(poll(&mut running).is_none());
    step.send(()).unwrap();
    assert!(poll(&mut running).is_none());
    end(pauses.begun().unwrap());
    assert!(poll(&mut running).is_none());
    assert_eq!(rig.store.take_log(), ["extend_all 2", "extend_all 3"]);
}

/// With a success that completes nothing, the sender is told all the same of what is in flight elsewhere.
#[tokio::test]
async fn a_success_that_completes_nothing() {
    let rig = Rig::new();
    let elsewhere = rig.admitted([1]).await;
    let Ok(Admission::Admitted(admitted)) = admit(&rig.receiver, &batch([1, 2]), never).await
    else {
        panic!("2 is free");
    };
    let left = admitted.delivery().batch().unwrap();
    assert_eq!(*left[0].raw(), events([2])[0]);
    let settled = finish(admitted, 204).await.unwrap_err();
    assert!(
        matches!(settled, Rejection::InFlight { retry_after, .. } if retry_after > Duration::ZERO)
    );
    finish(elsewhere, 204).await.unwrap();
}
