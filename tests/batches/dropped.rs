//! Calls for the next event that are dropped before the store has answered.

use std::sync::atomic::Ordering::SeqCst;

use futures_util::FutureExt as _;
use integration_tests::Pauses;
use webhook_verify::Admission;

use crate::{
    common::{admit, never},
    rig::{Rig, end, poll},
    sender::{self, batch},
};

/// A call for the next event that is dropped before the store has answered is made again, or was the last: the event that
/// was in hand is done in any case, and no other is skipped.
#[tokio::test]
async fn a_call_for_the_next_that_is_dropped() {
    for (case, (ask_again, status, undone)) in (0..).zip([
        (true, 204, false),
        (false, 204, true),
        (false, 500, false),
        (true, 204, false),
        (false, 204, true),
        (false, 500, false),
    ]) {
        let rig = Rig::new();
        let admitted = rig.admitted(1..=3).await;
        let mut events = admitted.delivery().events().unwrap();
        rig.begun.note(&events.next_event(never).await.unwrap());
        rig.store.silent.store(2, SeqCst);
        // The store may have taken note all the same.
        rig.store
            .fail_completes
            .store(if case < 3 { 0 } else { 2 }, SeqCst);
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
            assert_eq!(rig.begun.take(), sender::events(1..=3));
            assert!(matches!(retry, Admission::Answer(_)));
        } else if let Admission::Admitted(retry) = retry {
            let left: Vec<_> = retry
                .delivery()
                .events()
                .unwrap()
                .map(|it| it.raw().clone())
                .collect();
            assert_eq!(left, sender::events(2..=3));
        } else {
            panic!("2 and 3 were not done");
        }
    }
}

/// And as long as it is not recorded, its lease is renewed with the others, however long the handler waits to ask again.
#[tokio::test]
async fn what_is_not_recorded_is_renewed() {
    let rig = Rig::new();
    let admitted = rig.admitted(1..=3).await;
    let (mut pauses, timer) = Pauses::new();
    let handler = async {
        let mut events = admitted.delivery().events().unwrap();
        assert!(events.next_event(never).await.is_some());
        rig.store.silent.store(1, SeqCst);
        rig.store.fail_completes.store(1, SeqCst);
        assert!(events.next_event(never).now_or_never().is_none());
        std::future::pending::<u16>().await
    };
    let mut running = Box::pin(admitted.run(handler, timer));
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
    let admitted = rig.admitted(1..=3).await;
    let (mut pauses, timer) = Pauses::new();
    let handler = async {
        let mut events = admitted.delivery().events().unwrap();
        assert!(events.next_event(never).await.is_some());
        rig.store.silent.store(1, SeqCst);
        events.next_event(never).await;
    };
    let mut running = Box::pin(admitted.run(handler, timer));
    assert!(poll(&mut running).is_none());
    rig.store.take_log();
    rig.take_told();
    end(pauses.begun().unwrap());
    assert!(poll(&mut running).is_none());
    assert_eq!(rig.store.take_log(), ["extend_all 2"]);
    assert_eq!(rig.take_told(), [""; 0]);
}
