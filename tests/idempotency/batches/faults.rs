//! A store that fails, or is silent, at each of the calls that a batch makes.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use futures_util::FutureExt as _;
use integration_tests::{App, each_framework, finish};
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, Rejection,
    adapter::{Admission, Admitted},
    idempotency::OnStoreFailure,
    scheme,
    testing::SignedRequest,
};

use crate::common::{
    HandClock, Watched, admit, assert_replay, post, receiver, receiver_with, seconds,
};
use crate::sender::{Begun, Fault, batch, events, failing};

/// Time flies: whatever is waited for with this timer is over at once.
fn at_once(_: Duration) -> std::future::Ready<()> {
    std::future::ready(())
}

async fn asked(receiver: &Receiver, request: &SignedRequest) -> Result<Admission, Rejection> {
    let admission = admit(receiver, request, at_once).now_or_never();
    admission.expect("whatever is silent is given up in time")
}

async fn admitted(receiver: &Receiver, request: &SignedRequest) -> Admitted {
    match asked(receiver, request).await.unwrap() {
        Admission::Admitted(admitted) => admitted,
        Admission::Answer(answer) => panic!("{answer:?}"),
    }
}

/// Does so many events and fails at the next, or succeeds with all. The fences of what it did, and the answer.
async fn handle(admitted: Admitted, most: usize) -> (Vec<u64>, u16) {
    let events = admitted.delivery().events().unwrap();
    let mut fences = Vec::new();
    let mut status = 200;
    for event in &events {
        if fences.len() == most {
            status = 500;
            break;
        }
        fences.push(event.claim().unwrap().fencing_token());
        event.done().await;
    }
    let settled = finish(admitted, status).await;
    (fences, settled.map_or_else(|it| it.status(), |()| status))
}

/// A claim that failed once is asked for again by the same owner, who has it already or gets it now: the fence says so.
#[tokio::test]
async fn claims_that_fail_once() {
    for fault in ["fails", "takes effect and fails", "takes effect silently"] {
        let store = Watched::new();
        let knob = match fault {
            "fails" => &store.fail_claims,
            "takes effect and fails" => &store.lose_claims,
            _ => &store.silent,
        };
        knob.store(1, SeqCst);
        let receiver = receiver(scheme::MAUTIC, Arc::clone(&store));
        let admitted = admitted(&receiver, &batch(1..=3)).await;
        assert_eq!(handle(admitted, 9).await.0, [1; 3], "{fault}");
        let calls = ["claim_all 3", "claim_all 3", "complete", "complete", "complete"];
        assert_eq!(store.take_log(), calls, "{fault}");
    }
}

/// After the second failure they are given back, in one call, so that the retry need not wait for any of them.
#[tokio::test]
async fn claims_that_fail_twice() {
    for fault in ["fail", "take effect and fail", "take effect silently"] {
        let store = Watched::new();
        let knob = match fault {
            "fail" => &store.fail_claims,
            "take effect and fail" => &store.lose_claims,
            _ => &store.silent,
        };
        knob.store(2, SeqCst);
        let receiver = receiver(scheme::MAUTIC, Arc::clone(&store));
        let refused = asked(&receiver, &batch(1..=3)).await.unwrap_err();
        assert!(matches!(refused, Rejection::Store(_)), "{fault}");
        let calls = ["claim_all 3", "claim_all 3", "release_all 3"];
        assert_eq!(store.take_log(), calls, "{fault}");
        let admitted = admitted(&receiver, &batch(1..=3)).await;
        assert_eq!(handle(admitted, 9).await.0.len(), 3, "{fault}");
    }
    each_framework(|framework| async move {
        let (store, begun) = (Watched::new(), Begun::default());
        let receiver = receiver(scheme::MAUTIC, Arc::clone(&store));
        let app = App::new(receiver, failing(&begun, &Fault::default()));
        let server = app.serve(framework).await;
        store.fail_claims.store(2, SeqCst);
        let response = post(server.addr, &batch(1..=3)).await;
        assert_eq!((response.status, response.text()), (503, "temporarily unavailable"));
        assert_eq!((response.header("retry-after"), app.runs()), (Some("30"), 0));
        assert_eq!(post(server.addr, &batch(1..=3)).await.status, 200);
        assert_eq!(begun.take(), events(1..=3));
    })
    .await;
}

/// What one process did and could not record, it does not do again. Another does, once the lease has lapsed.
#[tokio::test]
async fn completions_that_fail() {
    for (failures, tries) in [(1, 2), (2, 3), (3, 3)] {
        let clock = HandClock::new();
        let store = Watched::over(MemoryStore::new().clock(clock.clone()));
        let idempotency = Idempotency::new(Arc::clone(&store), "tests");
        let here = receiver_with(scheme::MAUTIC, idempotency.completed_cache(100, seconds(60)));
        store.fail_completes.store(failures, SeqCst);
        // The first is done and fails to be recorded, the second is done, and the third fails.
        let cut = handle(admitted(&here, &batch(1..=3)).await, 2).await;
        assert_eq!(cut, (vec![1, 1], 500));
        assert_eq!(store.completes(), tries + 1);
        store.take_log();
        let left = admitted(&here, &batch(1..=3)).await;
        assert_eq!(handle(left, 9).await, (vec![2], 200));
        assert_eq!(store.take_log()[0], if failures < 3 { "claim_all 3" } else { "claim_all 2" });

        let elsewhere = receiver(scheme::MAUTIC, Arc::clone(&store));
        let there = asked(&elsewhere, &batch(1..=3)).await;
        if failures < 3 {
            assert!(matches!(there, Ok(Admission::Answer(answer)) if answer.status() == 204));
            continue;
        }
        assert!(matches!(there, Err(Rejection::InFlight { .. })));
        clock.advance(seconds(60));
        let there = admitted(&elsewhere, &batch(1..=3)).await;
        assert_eq!(handle(there, 9).await, (vec![2], 200));
    }
}

/// Those of a batch that its handler took as a whole are completed in one call, and it is made as often as that for one.
#[tokio::test]
async fn completions_of_a_whole_that_fail() {
    for fault in ["fail", "take effect silently"] {
        for failures in 0..=3 {
            let clock = HandClock::new();
            let store = Watched::over(MemoryStore::new().clock(clock.clone()));
            let idempotency = Idempotency::new(Arc::clone(&store), "tests");
            let here = receiver_with(scheme::MAUTIC, idempotency.completed_cache(100, seconds(60)));
            let whole = admitted(&here, &batch(1..=3)).await;
            store.take_log();
            let knob = match fault {
                "fail" => &store.fail_completes,
                _ => &store.silent,
            };
            knob.store(failures, SeqCst);
            finish(whole, 201).await.unwrap();
            let tries = 3.min(failures + 1);
            assert_eq!(store.take_log(), vec!["complete_all 3"; tries], "{fault}");
            let replay = asked(&here, &batch(1..=3)).await;
            assert!(matches!(replay, Ok(Admission::Answer(answer)) if answer.status() == 201));
            let elsewhere = receiver(scheme::MAUTIC, Arc::clone(&store));
            let there = asked(&elsewhere, &batch(1..=3)).await;
            if fault == "fail" && failures == 3 {
                assert!(matches!(there, Err(Rejection::InFlight { .. })));
            } else {
                assert!(matches!(there, Ok(Admission::Answer(answer)) if answer.status() == 201));
            }
        }
    }
}

/// Claims that could not be given back hold the retry up until their lease lapses, and no longer.
#[tokio::test]
async fn releases_that_fail() {
    for failures in 1..=3 {
        let clock = HandClock::new();
        let store = Watched::over(MemoryStore::new().clock(clock.clone()));
        let receiver = receiver(scheme::MAUTIC, Arc::clone(&store));
        let knobs = [&store.fail_releases, &store.silent];
        // A call that took effect and was never answered changes nothing when it is made again.
        for (round, knob) in (0..).zip(knobs) {
            let numbers = 10 * round + 1..=10 * round + 3;
            let cut = admitted(&receiver, &batch(numbers.clone())).await;
            knob.store(failures, SeqCst);
            assert_eq!(handle(cut, 0).await, (vec![], 500));
            let calls = store.take_log();
            assert_eq!(calls[0], "claim_all 3");
            assert_eq!(calls[1..], vec!["release_all 3"; 3.min(failures + 1)]);
            if failures == 3 && round == 0 {
                let refused = asked(&receiver, &batch(numbers.clone())).await;
                assert!(matches!(refused, Err(Rejection::InFlight { .. })));
                clock.advance(seconds(60));
            }
            let retry = admitted(&receiver, &batch(numbers)).await;
            assert_eq!(handle(retry, 9).await, (vec![2, 2, 2], 200));
            store.take_log();
        }
    }
}

/// For senders that do not retry: all run without claims, but for what is known here to be done.
#[tokio::test]
async fn without_a_store_if_need_be() {
    each_framework(|framework| async move {
        let (store, begun, fault) = (Watched::new(), Begun::default(), Fault::default());
        let idempotency = Idempotency::new(Arc::clone(&store), "tests")
            .on_store_failure(OnStoreFailure::Process)
            .completed_cache(100, seconds(60));
        let receiver = receiver_with(scheme::MAUTIC, idempotency);
        let server = App::new(receiver, failing(&begun, &fault)).serve(framework).await;
        assert_eq!(post(server.addr, &batch([1, 2])).await.status, 200);
        assert_replay(&post(server.addr, &batch([2, 1])).await, 204);
        begun.take();
        for (fault_at, status, run) in [(0, 200, events([3, 4])), (3, 500, events([3]))] {
            store.fail_claims.store(2, SeqCst);
            store.take_log();
            fault.set(fault_at);
            assert_eq!(post(server.addr, &batch(1..=4)).await.status, status);
            assert_eq!(begun.take(), run);
            assert_eq!(store.take_log(), ["claim_all 2", "claim_all 2", "release_all 2"]);
        }
    })
    .await;
}
