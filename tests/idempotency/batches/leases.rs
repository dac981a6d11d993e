//! The leases of a batch: renewed together for as long as one event takes, and what becomes of those that are lost.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use futures_util::FutureExt as _;
use integration_tests::Pauses;
use tokio::sync::mpsc;
use webhook_verify::{Rejection, adapter::Admission};

use crate::common::{admit, finish, its_status, never, seconds};
use crate::{
    rig::{Rig, end, poll},
    sender::{batch, events},
};

/// One call renews all that are left, and it is not long until the last is renewed alone.
#[tokio::test]
async fn those_that_are_left_are_renewed_in_one_call() {
    let rig = Rig::new();
    let (mut pauses, timer) = Pauses::new();
    let admitted = rig.admitted_with(1..=3, timer).await;
    let delivery = admitted.delivery().clone();
    rig.store.take_log();
    let (step, steps) = mpsc::unbounded_channel();
    {
        let handler = rig.step_by_step(delivery.clone(), steps);
        let mut running = Box::pin(admitted.handle(handler, its_status));
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
    assert_eq!(rig.store.take_log(), ["complete"]);
    assert_eq!(rig.begun.take(), events(1..=3));
    assert_eq!(rig.take_told().last(), Some(&"completed"));
}

/// With nothing left to renew, as when the handler has something else to do at the end, nothing is.
#[tokio::test]
async fn what_is_done_is_not_renewed() {
    let rig = Rig::new();
    let (mut pauses, timer) = Pauses::new();
    let admitted = rig.admitted_with(1..=2, timer).await;
    let delivery = admitted.delivery().clone();
    let handler = async {
        let events = delivery.events().unwrap();
        for event in &events {
            event.done().await;
        }
        std::future::pending::<u16>().await
    };
    let mut running = Box::pin(admitted.handle(handler, its_status));
    assert!(poll(&mut running).is_none());
    end(pauses.begun().unwrap());
    assert!(poll(&mut running).is_none());
    assert!(pauses.begun().is_none());
    assert_eq!(rig.store.take_log(), ["claim_all 2", "complete", "complete"]);
}

/// A renewal that fails is made again, and sooner; when none has come through for a whole lease, no event is begun any more,
/// and the sender is told to come again.
#[tokio::test]
async fn renewals_that_fail() {
    for failures in [1, usize::MAX] {
        let rig = Rig::new();
        let (mut pauses, timer) = Pauses::new();
        let admitted = rig.admitted_with(1..=3, timer).await;
        let delivery = admitted.delivery().clone();
        rig.store.fail_extends.store(failures, SeqCst);
        let (step, steps) = mpsc::unbounded_channel();
        let claim = delivery.batch().unwrap()[0].claim().unwrap().clone();
        let settled = {
            let handler = rig.step_by_step(delivery.clone(), steps);
            let mut running = Box::pin(admitted.handle(handler, its_status));
            assert!(poll(&mut running).is_none());
            let mut waited = Duration::ZERO;
            for _ in 0..9 {
                let pause = pauses.begun().unwrap();
                // The first third counts from the claim.
                let time = if waited.is_zero() { seconds(20) } else { pause.0 };
                waited += time;
                rig.clock.advance(time);
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
            poll(&mut running).unwrap()
        };
        let begun = rig.begun.take();
        if failures == 1 {
            assert_eq!(settled.unwrap(), 204);
            assert_eq!(begun, events(1..=3));
        } else {
            assert_eq!(settled.unwrap_err().status(), 503);
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
    let (mut pauses, timer) = Pauses::new();
    let admitted = rig.admitted_with(1..=3, timer).await;
    let delivery = admitted.delivery().clone();
    let (step, steps) = mpsc::unbounded_channel();
    {
        let handler = rig.step_by_step(delivery.clone(), steps);
        let mut running = Box::pin(admitted.handle(handler, its_status));
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
        // Nobody says that 2 is done, until it is.
        let settled = poll(&mut running).unwrap().unwrap_err();
        assert_eq!(rig.begun.take(), events([1, 3]));
        assert!(matches!(settled, Rejection::InFlight { .. }), "{settled:?}");
        assert!(rig.is_in_flight(2).await);
        finish(successor, 201).await.unwrap();
    }
    let replay = admit(&rig.receiver, &batch(1..=3), never).await.unwrap();
    assert!(matches!(replay, Admission::Answer(answer) if answer.status() == 204));
}

/// The handler of the event in hand learns that it is lost, and what is not lost stays with it.
#[tokio::test]
async fn the_event_in_hand_is_lost() {
    let rig = Rig::new();
    let (mut pauses, timer) = Pauses::new();
    let admitted = rig.admitted_with(1..=3, timer).await;
    let delivery = admitted.delivery().clone();
    let handler = async {
        let events = delivery.events().unwrap();
        let event = events.iter().next().unwrap();
        rig.begun.note(event);
        event.claim().unwrap().lost().await;
        let other = &delivery.batch().unwrap()[1];
        assert!(other.claim().unwrap().lost().now_or_never().is_none());
        500
    };
    let mut running = Box::pin(admitted.handle(handler, its_status));
    assert!(poll(&mut running).is_none());
    rig.clock.advance(seconds(60));
    let successor = rig.admitted([1]).await;
    end(pauses.begun().unwrap());
    rig.store.take_log();
    assert_eq!(poll(&mut running).unwrap().unwrap(), 500);
    assert_eq!(rig.store.take_log().last().unwrap(), "release_all 3");
    assert!(rig.is_in_flight(1).await && rig.is_free(2).await);
    finish(successor, 200).await.unwrap();
}

/// Leases are renewed for as long as a handler may take, for all of its events together.
#[tokio::test]
async fn a_batch_that_takes_too_long() {
    let rig = Rig::new();
    let (mut pauses, timer) = Pauses::new();
    let admitted = rig.admitted_with(1..=3, timer).await;
    let delivery = admitted.delivery().clone();
    let (step, steps) = mpsc::unbounded_channel();
    let settled = {
        let handler = rig.step_by_step(delivery.clone(), steps);
        let mut running = Box::pin(admitted.handle(handler, its_status));
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
        let settled = poll(&mut running).unwrap().unwrap_err();
        assert_eq!(rig.begun.take(), events([1, 2]));
        settled
    };
    assert!(matches!(settled, Rejection::InFlight { .. }), "{settled:?}");
    let retry = rig.admitted(1..=3).await;
    let events_left = retry.delivery().events().unwrap();
    let left: Vec<_> = events_left.iter().collect();
    assert_eq!(left.len(), 1);
}
