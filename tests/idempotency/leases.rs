//! Leases are renewed while the handler runs, by a timer that the test moves on. The events of a
//! batch are renewed together, until each is done.

use std::{
    future::pending,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use webhook_verify::Rejection;

use crate::{common::*, rig::*, sender::*};

/// The lease is renewed after every third of its time, so it does not expire while the handler
/// runs.
#[tokio::test]
async fn a_lease_is_renewed_while_the_handler_runs() {
    let (rig, mut pauses, admitted) = Rig::single(seconds(60), seconds(900)).await;
    let (end, ended) = oneshot::channel();
    let mut running = run(admitted, |_| async { ended.await.unwrap() });
    for round in 0..20 {
        assert_eq!(rig.store.extends.load(SeqCst), round);
        rig.clock.advance(seconds(20));
        let early = admit(&rig.receiver, &one(), never).await;
        assert!(matches!(early, Err(Rejection::InFlight { .. })), "{round}");
        let (pause, end) = pauses.begun().expect("a pause before each renewal");
        match round {
            0 => rig.assert_first_pause(pause, seconds(20)),
            _ => assert_eq!(pause, seconds(20)),
        }
        assert!(pauses.begun().is_none());
        end.send(()).unwrap();
        waits(&mut running);
    }
    assert_eq!(rig.store.extends.load(SeqCst), 20);
    end.send(202).unwrap();
    assert_eq!(running.await.unwrap(), 202);
    assert_eq!(rig.store.extends.load(SeqCst), 20);
    assert_eq!(replayed(&rig.receiver, &one(), never).await, 202);
}

/// One call renews all events that are left, down to the last one.
#[tokio::test]
async fn the_events_that_are_left_are_renewed_in_one_call() {
    let (rig, mut pauses, admitted) = Rig::batch(1..=3).await;
    let (step, mut running) = rig.step_by_step(admitted);
    for call in ["extend_all 3", "extend_all 2", "extend"] {
        for _ in 0..4 {
            rig.clock.advance(seconds(20));
            assert!(rig.is_in_flight(3).await, "renewed in time");
            rig.store.take_log();
            pass(&mut pauses, &mut running);
            assert_eq!(rig.store.take_log(), [call]);
        }
        step.send(()).unwrap();
        if call == "extend" {
            assert_eq!(poll(&mut running).unwrap().unwrap(), 204);
        } else {
            waits(&mut running);
        }
        assert_eq!(rig.store.take_log(), ["complete"]);
    }
    assert_eq!(rig.begun.take(), events(1..=3));
    assert_eq!(rig.take_told().last(), Some(&"completed"));
}

/// If every event is done, nothing is renewed while the handler continues.
#[tokio::test]
async fn what_is_done_is_not_renewed() {
    let (rig, mut pauses, admitted) = Rig::batch(1..=2).await;
    let mut running = run(admitted, |delivery| async move {
        for event in &delivery.events().unwrap() {
            event.done().await;
        }
        pending().await
    });
    pass(&mut pauses, &mut running);
    assert!(pauses.begun().is_none());
    assert_eq!(rig.store.take_log(), ["complete", "complete"]);
}

/// A renewal that fails is repeated, and sooner, because the lease continues to run out.
#[tokio::test]
async fn a_renewal_that_fails_is_tried_again() {
    let (rig, mut pauses, admitted) = Rig::single(seconds(60), seconds(900)).await;
    rig.store.fail_extends.store(1, SeqCst);
    let mut running = run(admitted, |_| pending());
    for renewals in 1..=3 {
        let (pause, end) = pauses.begun().unwrap();
        rig.clock.advance(pause);
        end.send(()).unwrap();
        waits(&mut running);
        assert_eq!(rig.store.extends.load(SeqCst), renewals);
    }
    // The first was lost, and the next ones count.
    let refused = admit(&rig.receiver, &one(), never).await;
    assert_eq!(refused.unwrap_err().retry_after(), Some(seconds(60)), "the lease is whole again");
}

/// If no renewal succeeds for a whole lease, no further event is started, and the sender gets 503.
#[tokio::test]
async fn renewals_that_fail() {
    for failures in [1, usize::MAX] {
        let (rig, mut pauses, admitted) = Rig::batch(1..=3).await;
        rig.store.fail_extends.store(failures, SeqCst);
        let claim = admitted.delivery().batch().unwrap()[0].claim().unwrap().clone();
        let (step, mut running) = rig.step_by_step(admitted);
        let mut waited = Duration::ZERO;
        for _ in 0..9 {
            let (pause, end) = pauses.begun().unwrap();
            // The first third counts from the claim.
            let time = if waited.is_zero() { seconds(20) } else { pause };
            waited += time;
            rig.clock.advance(time);
            end.send(()).unwrap();
            waits(&mut running);
            if claim.lost().now_or_never().is_some() {
                break;
            }
        }
        assert_eq!(claim.lost().now_or_never().is_some(), failures > 1);
        for _ in 0..3 {
            step.send(()).unwrap();
        }
        let settled = poll(&mut running).unwrap();
        let begun = rig.begun.take();
        if failures == 1 {
            assert_eq!(settled.unwrap(), 204);
            assert_eq!(begun, events(1..=3));
        } else {
            assert!((seconds(50)..=seconds(60)).contains(&waited), "{waited:?}");
            assert_eq!(settled.unwrap_err().status(), 503);
            assert_eq!(begun, events([1]), "a lost event is not started");
            // The event in progress could still be recorded. The others are free once their leases
            // have expired.
            rig.clock.advance(seconds(60));
            assert!(!rig.is_free(1).await && rig.is_free(2).await && rig.is_free(3).await);
        }
    }
}

/// A handler that never ends does not hold its claim forever.
#[tokio::test]
async fn a_lease_is_not_renewed_beyond_the_handlers_time() {
    let (rig, mut pauses, admitted) = Rig::single(seconds(30), seconds(100)).await;
    let mut running = run(admitted, |_| pending());
    let mut elapsed = Duration::ZERO;
    while let Some((pause, end)) = pauses.begun() {
        match elapsed.is_zero() {
            true => rig.assert_first_pause(pause, seconds(10)),
            false => assert_eq!(pause, seconds(10)),
        }
        elapsed += seconds(10);
        rig.clock.advance(seconds(10));
        end.send(()).unwrap();
        waits(&mut running);
        assert!(elapsed <= seconds(110), "renewed for too long");
    }
    assert!(elapsed >= seconds(100), "renewed for too short a time");
    assert_eq!(rig.store.extends.load(SeqCst), 10);
    rig.clock.advance(seconds(30));
    let successor = admitted_again(&rig).await;
    assert_eq!(successor.delivery().claim().unwrap().fencing_token(), 2);
}

async fn admitted_again(rig: &Rig) -> webhook_verify::adapter::Admitted {
    admitted(&rig.receiver, &one(), never).await
}

/// The leases of a batch are renewed for as long as a handler may take for all of its events.
#[tokio::test]
async fn a_batch_that_takes_too_long() {
    let (rig, mut pauses, admitted) = Rig::batch(1..=3).await;
    let (step, mut running) = rig.step_by_step(admitted);
    step.send(()).unwrap();
    waits(&mut running);
    for _ in 0..30 {
        rig.clock.advance(seconds(20));
        pass(&mut pauses, &mut running);
    }
    assert!(pauses.begun().is_none(), "the handler's time is over");
    assert_eq!(rig.store.extends.load(SeqCst), 30);
    assert_eq!(rig.take_told().last(), Some(&"overtime"));
    // The handler may finish the event in progress, and starts no other.
    step.send(()).unwrap();
    let settled = poll(&mut running).unwrap().unwrap_err();
    assert_eq!(rig.begun.take(), events([1, 2]));
    assert!(matches!(settled, Rejection::InFlight { .. }), "{settled:?}");
    let retry = rig.admitted(1..=3).await;
    assert_eq!(retry.delivery().events().unwrap().iter().count(), 1);
}

/// A holder that was superseded stops its renewals, and its completion is not recorded.
#[tokio::test]
async fn a_lost_lease_is_not_renewed() {
    let (rig, mut pauses, admitted) = Rig::single(seconds(60), seconds(900)).await;
    let (end, ended) = oneshot::channel();
    let mut running = run(admitted, |_| async { ended.await.unwrap() });
    rig.clock.advance(seconds(60));
    let successor = admitted_again(&rig).await;
    pass(&mut pauses, &mut running);
    assert_eq!(rig.store.extends.load(SeqCst), 1);
    assert!(pauses.begun().is_none(), "no further renewal");
    finish(successor, 201).await.unwrap();
    end.send(202).unwrap();
    assert_eq!(running.await.unwrap(), 202);
    assert_eq!(replayed(&rig.receiver, &one(), never).await, 201);
}

/// A handler is notified when another one takes over, when no renewal succeeds for a whole lease,
/// and when the handler's time is over. Not before.
#[tokio::test]
async fn a_handler_learns_that_its_lease_is_lost() {
    // A renewal that fails is repeated after a twelfth of the lease. A call that fails may have
    // taken its second.
    for (cause, expected) in
        [("a successor", 120..=120), ("failing renewals", 50..=60), ("overtime", 900..=900)]
    {
        let (rig, mut pauses, admitted) = Rig::single(seconds(60), seconds(900)).await;
        if cause == "failing renewals" {
            rig.store.fail_extends.store(usize::MAX, SeqCst);
        }
        let claim = admitted.delivery().claim().unwrap().clone();
        let mut running = run(admitted, |_| async {
            claim.lost().await;
            503
        });
        let mut elapsed = Duration::ZERO;
        let lost = loop {
            match poll(&mut running) {
                Some(lost) => break lost,
                None => assert!(elapsed <= seconds(1000), "{cause}: no notice"),
            }
            if cause == "a successor" && elapsed == seconds(100) {
                rig.clock.advance(seconds(60));
                let _successor = admitted_again(&rig).await;
            }
            let (pause, end) = pauses.begun().unwrap();
            // The first third counts from the claim.
            let pause = if elapsed.is_zero() { seconds(20) } else { pause };
            rig.clock.advance(pause);
            elapsed += pause;
            end.send(()).unwrap();
        };
        assert_eq!(lost.unwrap(), 503);
        assert!(expected.contains(&elapsed.as_secs()), "{cause}: {elapsed:?}");
        assert!(claim.lost().now_or_never().is_some(), "{cause}: a late call returns, too");
    }
    let (_rig, _pauses, admitted) = Rig::single(seconds(60), seconds(900)).await;
    let claim = admitted.delivery().claim().unwrap().clone();
    assert!(claim.lost().now_or_never().is_none());
    finish(admitted, 200).await.unwrap();
    assert!(claim.lost().now_or_never().is_some(), "a completed claim cannot be lost any more");
}

/// An event that another request has taken over is not started. The others are not affected.
#[tokio::test]
async fn an_event_that_is_lost_before_it_begins() {
    let (rig, mut pauses, admitted) = Rig::batch(1..=3).await;
    let (step, mut running) = rig.step_by_step(admitted);
    rig.clock.advance(seconds(60));
    let successor = rig.admitted([2]).await;
    rig.take_told();
    pass(&mut pauses, &mut running);
    assert_eq!(rig.take_told(), ["lease_lost"]);
    // The two that are left are renewed.
    rig.store.take_log();
    pass(&mut pauses, &mut running);
    assert_eq!(rig.store.take_log(), ["extend_all 2"]);
    for _ in 0..2 {
        step.send(()).unwrap();
    }
    // The sender gets no 2xx until event 2 is done.
    let settled = poll(&mut running).unwrap().unwrap_err();
    assert_eq!(rig.begun.take(), events([1, 3]));
    assert!(matches!(settled, Rejection::InFlight { .. }), "{settled:?}");
    assert!(rig.is_in_flight(2).await);
    finish(successor, 201).await.unwrap();
    assert_eq!(replayed(&rig.receiver, &batch(1..=3), never).await, 204);
}

/// The handler of an event in progress is notified that the event is lost, and keeps the others.
#[tokio::test]
async fn the_event_in_progress_is_lost() {
    let (rig, mut pauses, admitted) = Rig::batch(1..=3).await;
    let mut running = run(admitted, |delivery| async move {
        let events = delivery.events().unwrap();
        events.iter().next().unwrap().claim().unwrap().lost().await;
        let other = &delivery.batch().unwrap()[1];
        assert!(other.claim().unwrap().lost().now_or_never().is_none());
        500
    });
    rig.clock.advance(seconds(60));
    let successor = rig.admitted([1]).await;
    pauses.begun().unwrap().1.send(()).unwrap();
    rig.store.take_log();
    assert_eq!(poll(&mut running).unwrap().unwrap(), 500);
    assert_eq!(rig.store.take_log().last().unwrap(), "release_all 3");
    assert!(rig.is_in_flight(1).await && rig.is_free(2).await);
    finish(successor, 200).await.unwrap();
}

/// A handler that loses all leases before it takes its first event gets none, and its 2xx becomes
/// an error.
#[tokio::test]
async fn all_are_lost_before_the_first() {
    for numbers in [1..=1, 1..=3] {
        let (rig, mut pauses, admitted) = Rig::batch(numbers.clone()).await;
        let (go, mut gone) = mpsc::unbounded_channel::<()>();
        let begun = &rig.begun;
        let mut running = run(admitted, |delivery| async move {
            let events = delivery.events().unwrap();
            gone.recv().await.unwrap();
            for event in &events {
                begun.note(event);
                event.done().await;
            }
            204
        });
        while let Some((_, end)) = pauses.begun() {
            rig.clock.advance(seconds(20));
            end.send(()).unwrap();
            waits(&mut running);
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

/// A call that marks an event done is dropped before the store has responded. Whether it is
/// repeated or was the last, that event is done, and no other is.
#[tokio::test]
async fn a_call_that_is_dropped() {
    for (says_again, status) in [(true, 204), (false, 204), (false, 500)] {
        for failures in [0, 2] {
            let case = format!("says again: {says_again}, {status}, {failures} failures");
            let rig = Rig::new();
            let admitted = rig.admitted(1..=3).await;
            let all = admitted.delivery().events().unwrap();
            let first = all.iter().next().unwrap();
            rig.begun.note(first);
            rig.store.silent.store(2, SeqCst);
            // Without a failure, the store has recorded it all the same.
            rig.store.fail_completes.store(failures, SeqCst);
            for _ in 0..2 {
                assert!(first.done().now_or_never().is_none());
            }
            if says_again {
                first.done().await;
                for event in &all {
                    rig.begun.note(event);
                    event.done().await;
                }
            }
            let settled = finish(admitted, status).await;
            assert_eq!(settled.is_err(), status == 204 && !says_again, "{case}");
            if says_again {
                assert_eq!(rig.begun.take(), events(1..=3), "{case}");
                replayed(&rig.receiver, &batch(1..=3), never).await;
            } else {
                let retry = rig.admitted(1..=3).await;
                let left = retry.delivery().events().unwrap();
                let left: Vec<_> = left.iter().map(|it| it.raw().clone()).collect();
                assert_eq!(left, events(2..=3), "{case}");
            }
        }
    }
}

/// An event that is not recorded is renewed with the others, however long the handler waits before
/// it marks the event done again.
#[tokio::test]
async fn what_is_not_recorded_is_renewed() {
    let (rig, mut pauses, admitted) = Rig::batch(1..=3).await;
    let store = &rig.store;
    let mut running = run(admitted, |delivery| async move {
        let events = delivery.events().unwrap();
        store.silent.store(1, SeqCst);
        store.fail_completes.store(1, SeqCst);
        let first = events.iter().next().unwrap();
        assert!(first.done().now_or_never().is_none());
        pending().await
    });
    rig.store.take_log();
    pass(&mut pauses, &mut running);
    assert_eq!(rig.store.take_log(), ["extend_all 3"]);
}

/// While an event is being recorded, it is not renewed: the store may have completed it.
#[tokio::test]
async fn what_is_being_recorded_is_not_renewed() {
    let (rig, mut pauses, admitted) = Rig::batch(1..=3).await;
    let store = &rig.store;
    let mut running = run(admitted, |delivery| async move {
        let events = delivery.events().unwrap();
        store.silent.store(1, SeqCst);
        events.iter().next().unwrap().done().await;
        204
    });
    rig.store.take_log();
    rig.take_told();
    // The time limit of the silent call comes first.
    let _limit = pauses.begun().unwrap();
    pass(&mut pauses, &mut running);
    assert_eq!(rig.store.take_log(), ["extend_all 2"]);
    assert_eq!(rig.take_told(), [""; 0]);
}

/// If a call is given up during a renewal, the next renewal includes its event again.
#[tokio::test]
async fn what_was_given_up_in_a_renewal_is_renewed_by_the_next() {
    let (rig, mut pauses, admitted) = Rig::batch(1..=3).await;
    let (step, mut steps) = mpsc::unbounded_channel::<()>();
    let store = &rig.store;
    let mut running = run(admitted, |delivery| async move {
        let events = delivery.events().unwrap();
        store.silent.store(1, SeqCst);
        store.fail_completes.store(1, SeqCst);
        let first = events.iter().next().unwrap();
        {
            let mut done = Box::pin(first.done());
            assert!((&mut done).now_or_never().is_none());
            steps.recv().await.unwrap();
        }
        steps.recv().await.unwrap();
        500
    });
    rig.store.take_log();
    let _limit_of_the_call = pauses.begun().unwrap();
    pass(&mut pauses, &mut running);
    step.send(()).unwrap();
    waits(&mut running);
    pass(&mut pauses, &mut running);
    assert_eq!(rig.store.take_log(), ["extend_all 2", "extend_all 3"]);
}

/// After a handler has failed, a task gets no more of its events: the retry has them.
#[tokio::test]
async fn a_failed_handler_leaves_its_task_no_events() {
    let rig = Rig::new();
    let admitted = rig.admitted(1..=2).await;
    let kept = admitted.delivery().events().unwrap();
    let kept_batch = admitted.delivery().batch().unwrap();
    finish(admitted, 500).await.unwrap();
    assert_eq!(kept.iter().count(), 0);
    rig.store.take_log();
    kept_batch[0].done().await;
    assert!(rig.store.take_log().is_empty(), "the store is not called");
    let retry = rig.admitted(1..=2).await;
    assert_eq!(retry.delivery().events().unwrap().iter().count(), 2);
}

/// If some events are in progress elsewhere, a 2xx that completes nothing still becomes 503.
#[tokio::test]
async fn a_success_that_completes_nothing() {
    let rig = Rig::new();
    let elsewhere = rig.admitted([1]).await;
    let admitted = rig.admitted([1, 2]).await;
    let left = admitted.delivery().batch().unwrap();
    assert_eq!(*left[0].raw(), events([2])[0]);
    let settled = finish(admitted, 204).await.unwrap_err();
    assert!(
        matches!(settled, Rejection::InFlight { retry_after, .. } if retry_after > Duration::ZERO)
    );
    finish(elsewhere, 204).await.unwrap();
}

/// A handler that works for most of its lease before it first waits is renewed at once, and so is
/// one whose claim took as long.
#[tokio::test]
async fn what_was_used_up_before_counts() {
    let (_rig, mut pauses, admitted) = Rig::single(seconds(1), seconds(900)).await;
    let _running = run(admitted, |_| async {
        std::thread::sleep(seconds(1) / 3);
        pending().await
    });
    assert_eq!(pauses.begun().unwrap().0, Duration::ZERO);
}

/// A panic ends the renewal with the handler, at the first poll or later.
#[tokio::test]
async fn a_panic_is_caught_wherever_it_comes() {
    for late in [false, true] {
        let (rig, _pauses, admitted) = Rig::single(seconds(60), seconds(900)).await;
        let handler = async {
            if late {
                tokio::task::yield_now().await;
            }
            assert_eq!(rig.store.calls(), 0, "a panic on purpose");
            200_u16
        };
        let panicked = soon("end of the handler", admitted.handle(handler, its_status)).await;
        assert!(matches!(panicked, Err(Rejection::HandlerPanicked)), "late: {late}");
        assert_eq!(rig.store.releases.load(SeqCst), 1);
    }
}

/// A handler that always uses up the budget of its task does not prevent the renewals.
#[tokio::test]
async fn a_busy_handler_does_not_starve_its_renewal() {
    let (rig, mut pauses, admitted) = Rig::single(seconds(60), seconds(900)).await;
    let store = Arc::clone(&rig.store);
    let tasks = tokio::task::LocalSet::new();
    let running = tasks.spawn_local(async move {
        let busy = async {
            loop {
                tokio::task::consume_budget().await;
            }
        };
        admitted.handle(busy, |()| None).await
    });
    let renewed = async {
        for renewals in 1..=3 {
            soon("pause before a renewal", next(&mut pauses)).await.send(()).unwrap();
            soon("renewal", async {
                while store.extends.load(SeqCst) < renewals {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
        running.abort();
    };
    tasks.run_until(renewed).await;
}

/// Waits for a pause. Returns what ends it.
async fn next(pauses: &mut Pauses) -> oneshot::Sender<()> {
    loop {
        match pauses.begun() {
            Some((_, end)) => return end,
            None => tokio::task::yield_now().await,
        }
    }
}
