//! Calls that say that an event is done, and are dropped before the store has answered.

use std::sync::atomic::Ordering::SeqCst;

use futures_util::FutureExt as _;
use integration_tests::Pauses;
use webhook_verify::adapter::Admission;

use crate::common::{admit, finish, its_status, never};
use crate::{
    rig::{Rig, end, poll},
    sender::{self, batch},
};

/// A call that is dropped before the store has answered is made again, or was the last: the event is done in any case, and
/// no other is.
#[tokio::test]
async fn a_call_that_is_dropped() {
    for (case, (say_again, status, undone)) in (0..).zip([
        (true, 204, false),
        (false, 204, true),
        (false, 500, false),
        (true, 204, false),
        (false, 204, true),
        (false, 500, false),
    ]) {
        let rig = Rig::new();
        let admitted = rig.admitted(1..=3).await;
        let events = admitted.delivery().events().unwrap();
        let first = events.iter().next().unwrap();
        rig.begun.note(first);
        rig.store.silent.store(2, SeqCst);
        // The store may have taken note all the same.
        rig.store.fail_completes.store(if case < 3 { 0 } else { 2 }, SeqCst);
        for _ in 0..2 {
            assert!(first.done().now_or_never().is_none());
        }
        if say_again {
            first.done().await;
            for event in &events {
                rig.begun.note(event);
                event.done().await;
            }
        }
        let settled = finish(admitted, status).await;
        assert_eq!(settled.is_err(), undone);
        let retry = admit(&rig.receiver, &batch(1..=3), never).await.unwrap();
        if say_again {
            assert_eq!(rig.begun.take(), sender::events(1..=3));
            assert!(matches!(retry, Admission::Answer(_)));
        } else if let Admission::Admitted(retry) = retry {
            let left = retry.delivery().events().unwrap();
            let left: Vec<_> = left.iter().map(|it| it.raw().clone()).collect();
            assert_eq!(left, sender::events(2..=3));
        } else {
            panic!("2 and 3 were not done");
        }
    }
}

/// And as long as it is not recorded, its lease is renewed with the others, however long the handler waits to say it again.
#[tokio::test]
async fn what_is_not_recorded_is_renewed() {
    let rig = Rig::new();
    let (mut pauses, timer) = Pauses::new();
    let admitted = rig.admitted_with(1..=3, timer).await;
    let delivery = admitted.delivery().clone();
    let handler = async {
        let events = delivery.events().unwrap();
        rig.store.silent.store(1, SeqCst);
        rig.store.fail_completes.store(1, SeqCst);
        let first = events.iter().next().unwrap();
        assert!(first.done().now_or_never().is_none());
        std::future::pending::<u16>().await
    };
    let mut running = Box::pin(admitted.handle(handler, its_status));
    assert!(poll(&mut running).is_none());
    rig.store.take_log();
    end(pauses.begun().unwrap());
    assert!(poll(&mut running).is_none());
    assert_eq!(rig.store.take_log(), ["extend_all 3"]);
}

/// While it is being recorded, it is not renewed: the store may not have it in progress any more.
#[tokio::test]
async fn what_is_being_recorded_is_not_renewed() {
    let rig = Rig::new();
    let (mut pauses, timer) = Pauses::new();
    let admitted = rig.admitted_with(1..=3, timer).await;
    let delivery = admitted.delivery().clone();
    let handler = async {
        let events = delivery.events().unwrap();
        rig.store.silent.store(1, SeqCst);
        events.iter().next().unwrap().done().await;
        204
    };
    let mut running = Box::pin(admitted.handle(handler, its_status));
    assert!(poll(&mut running).is_none());
    rig.store.take_log();
    rig.take_told();
    // The limit of the call that is silent comes first.
    let _limit = pauses.begun().unwrap();
    end(pauses.begun().unwrap());
    assert!(poll(&mut running).is_none());
    assert_eq!(rig.store.take_log(), ["extend_all 2"]);
    assert_eq!(rig.take_told(), [""; 0]);
}
