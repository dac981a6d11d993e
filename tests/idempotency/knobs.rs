//! What can be set otherwise: each knob's default and its other values, on both adapters where an answer depends on it.

use std::{
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};

use integration_tests::{App, Connection, Framework, Handler, answer, each_framework, finish};
use tokio::sync::Notify;
use webhook_verify::{
    Idempotency, MemoryStore, Rejection,
    adapter::Admission,
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, OnMismatch, OnStoreFailure,
        Replay, Settled, Step, StoreError,
    },
    scheme,
};

use crate::common::{
    Gate, HandClock, Watched, admit, assert_in_flight, assert_replay, is_replay, never, post, raw,
    receiver_with, seconds, signed, signer, soon,
};

fn watched(set: impl FnOnce(Idempotency) -> Idempotency) -> (Arc<Watched>, Idempotency) {
    let store = Watched::new();
    let idempotency = set(Idempotency::new(Arc::clone(&store), "tests"));
    (store, idempotency)
}

#[tokio::test]
async fn complete_on() {
    each_framework(|framework| async move {
        for (status, completes, then) in
            [(200, false, 200), (202, true, 202), (410, true, 204), (500, false, 500)]
        {
            let (store, idempotency) =
                watched(|it| it.complete_on(|status| [202, 410].contains(&status)));
            let app = App::new(receiver_with(scheme::GITHUB, idempotency), answer(status));
            let server = app.serve(framework).await;
            let request = signed(scheme::GITHUB, "{}");
            assert_eq!(post(server.addr, &request).await.status, status);
            let again = post(server.addr, &request).await;
            assert_eq!((again.status, is_replay(&again)), (then, completes));
            assert_eq!(app.runs(), if completes { 1 } else { 2 });
            assert_eq!(store.completes() == 1, completes);
        }
    })
    .await;
}

#[tokio::test]
async fn complete_tries() {
    for tries in [1, 2, 5] {
        let (store, idempotency) = watched(|it| it.complete_tries(tries));
        store.fail_completes.store(100, SeqCst);
        let receiver = receiver_with(scheme::GITHUB, idempotency);
        let request = signed(scheme::GITHUB, "{}");
        let pauses = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&pauses);
        let at_once = move |pause: Duration| {
            seen.lock().unwrap().push(pause.as_millis());
            std::future::ready(())
        };
        let Admission::Admitted(admitted) = admit(&receiver, &request, at_once).await.unwrap()
        else {
            panic!("the first")
        };
        finish(admitted, 200).await.unwrap();
        assert_eq!(store.completes(), tries as usize);
        let expected = &[100, 400, 1600, 1600][..tries as usize - 1];
        assert_eq!(*pauses.lock().unwrap(), expected);
    }
}

/// A delivery that is in flight elsewhere waits for its end, and gets the answer.
#[tokio::test]
async fn in_flight_wait() {
    each_framework(|framework| async move {
        for (status, expected_runs) in [(200, 1), (500, 2)] {
            let (store, idempotency) = watched(|it| it.in_flight_wait(seconds(30)));
            let gate = Gate::new();
            let app = App::new(
                receiver_with(scheme::GITHUB, idempotency),
                gate.handler(move |run| if run == 1 { status } else { 201 }),
            );
            let server = app.serve(framework).await;
            let request = signed(scheme::GITHUB, "{}");
            let mut first = Connection::open(server.addr).await;
            first.send(&raw(&request)).await;
            gate.entered().await;
            let mut twin = Connection::open(server.addr).await;
            twin.send(&raw(&request)).await;
            soon("third claim", async {
                while store.claims.load(SeqCst) < 3 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
            gate.open(2);
            assert_eq!(first.response().await.unwrap().status, status);
            let answer = twin.response().await.unwrap();
            match expected_runs {
                1 => assert_replay(&answer, 200),
                _ => assert_eq!((answer.status, is_replay(&answer)), (201, false)),
            }
            assert_eq!(app.runs(), expected_runs);
        }
    })
    .await;
}

#[tokio::test]
async fn in_flight_wait_ends() {
    let (store, idempotency) = watched(|it| it.in_flight_wait(seconds(1)));
    let receiver = receiver_with(scheme::GITHUB, idempotency);
    let request = signed(scheme::GITHUB, "{}");
    let _first = admit(&receiver, &request, never).await.unwrap();
    let at_once = |_: Duration| std::future::ready(());
    let begun = Instant::now();
    let refused = admit(&receiver, &request, at_once).await.unwrap_err();
    assert!(matches!(refused, Rejection::InFlight { .. }), "{refused:?}");
    // The first's claim, and this one's at once and after each 100 ms, of which a claim that takes
    // as long uses up some.
    let used_up = (begun.elapsed().as_millis() / 100) as usize;
    let claims = store.claims.load(SeqCst);
    assert!((1 + 11 - used_up.min(9)..=1 + 11).contains(&claims), "{claims} in {used_up}");
}

#[tokio::test]
async fn replay() {
    each_framework(|framework| async move {
        for (replay, status) in [(Replay::Status, 202), (Replay::NoContent, 204)] {
            let (_, idempotency) = watched(|it| it.replay(replay));
            let app = App::new(receiver_with(scheme::GITHUB, idempotency), answer(202));
            let server = app.serve(framework).await;
            let request = signed(scheme::GITHUB, "{}");
            assert_eq!(post(server.addr, &request).await.status, 202);
            assert_replay(&post(server.addr, &request).await, status);
        }
    })
    .await;
}

#[tokio::test]
async fn on_mismatch() {
    each_framework(|framework| async move {
        for (policy, refused) in
            [(OnMismatch::Report, false), (OnMismatch::Reject, true), (OnMismatch::Ignore, false)]
        {
            let (_, idempotency) = watched(|it| it.on_mismatch(policy));
            let app = App::new(receiver_with(scheme::STANDARD_WEBHOOKS, idempotency), answer(200));
            let server = app.serve(framework).await;
            let sender = signer(scheme::STANDARD_WEBHOOKS).id("msg_1");
            let [first, other] = ["{}", "[]"].map(|body| sender.sign(body).unwrap());
            assert_eq!(post(server.addr, &first).await.status, 200);
            let answer = post(server.addr, &other).await;
            if refused {
                assert_eq!((answer.status, answer.text()), (503, "temporarily unavailable"));
                assert_eq!(answer.header("retry-after"), Some("30"));
            } else {
                assert_replay(&answer, 200);
            }
            // The same body is a duplicate in any case.
            assert_replay(&post(server.addr, &first).await, 200);
            assert_eq!(app.runs(), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn on_store_failure() {
    each_framework(|framework| async move {
        for (policy, status, runs) in
            [(OnStoreFailure::Reject, 503, 0), (OnStoreFailure::Process, 200, 1)]
        {
            let (store, idempotency) = watched(|it| it.on_store_failure(policy));
            store.fail_claims.store(2, SeqCst);
            let claimed = Arc::new(Mutex::new(Vec::new()));
            let seen = Arc::clone(&claimed);
            let app = App::new(
                receiver_with(scheme::GITHUB, idempotency),
                Arc::new(move |delivery| {
                    seen.lock().unwrap().push(delivery.claim().is_some());
                    Box::pin(async { 200 })
                }),
            );
            let server = app.serve(framework).await;
            let request = signed(scheme::GITHUB, "{}");
            assert_eq!(post(server.addr, &request).await.status, status);
            assert_eq!(app.runs(), runs);
            // With the store back, it is claimed as ever.
            assert_eq!(post(server.addr, &request).await.status, 200);
            assert_eq!(claimed.lock().unwrap().last(), Some(&true));
            assert_replay(&post(server.addr, &request).await, 200);
            assert_eq!(claimed.lock().unwrap().len(), runs + 1);
            // What is not authentic does not get anywhere for it.
            let mut forged = request.clone();
            forged.body = "[]".into();
            store.fail_claims.store(2, SeqCst);
            assert_eq!(post(server.addr, &forged).await.status, 401);
        }
    })
    .await;
}

/// By default the receiver has to be driven to its end; who opts out may drop it.
#[tokio::test]
async fn run_to_completion() {
    for run in [true, false] {
        let (_, idempotency) = watched(|it| it.run_to_completion(run));
        let receiver = receiver_with(scheme::GITHUB, idempotency).or_timer(never);
        let request = signed(scheme::GITHUB, "{}");
        let head = webhook_verify::RequestHead::from(&request.headers);
        let body = futures_util::stream::iter([Ok::<_, std::io::Error>(request.body.clone())]);
        let received = receiver.receive(&head, body).await.unwrap();
        assert_eq!(received.must_finish(), run);
    }
}

/// On axum, where a client that goes away drops its request.
#[tokio::test]
async fn a_handler_that_may_be_dropped_is() {
    let clock = HandClock::new();
    let store = Watched::over(MemoryStore::new().clock(clock.clone()));
    let idempotency = Idempotency::new(Arc::clone(&store), "tests").run_to_completion(false);
    // The first run only ends by being dropped, which closes the channel.
    let (held, mut dropped) = tokio::sync::mpsc::channel::<()>(1);
    let held = Mutex::new(Some(held));
    let began = Arc::new(Notify::new());
    let first_began = Arc::clone(&began);
    let handler: Handler = Arc::new(move |_| {
        let held = held.lock().unwrap().take();
        first_began.notify_one();
        Box::pin(async move {
            if held.is_some() {
                std::future::pending::<()>().await;
            }
            200
        })
    });
    let app = App::new(receiver_with(scheme::GITHUB, idempotency), handler);
    let server = app.serve(Framework::Axum).await;
    let request = signed(scheme::GITHUB, "{}");
    let mut first = Connection::open(server.addr).await;
    first.send(&raw(&request)).await;
    soon("beginning of the handler", began.notified()).await;
    drop(first);
    assert_eq!(soon("end of the dropped handler", dropped.recv()).await, None);
    // Its claim is as good as held by somebody who died.
    assert_in_flight(&post(server.addr, &request).await);
    clock.advance(seconds(60));
    let retried = post(server.addr, &request).await;
    assert_eq!((retried.status, is_replay(&retried)), (200, false));
}

/// A store that stays silent keeps a sender waiting for two limits at most: two tries, and giving the claim back.
#[tokio::test(start_paused = true)]
async fn a_silent_store_is_given_up_in_time() {
    let idempotency = Idempotency::new(Silent, "tests");
    let receiver = receiver_with(scheme::GITHUB, idempotency);
    let request = signed(scheme::GITHUB, "{}");
    let begun = tokio::time::Instant::now();
    let refused = admit(&receiver, &request, tokio::time::sleep).await;
    assert_eq!(refused.unwrap_err().status(), 503);
    assert_eq!(begun.elapsed().as_millis(), 2000);
}

/// What the user's own does wrong is none of the delivery's business.
#[tokio::test]
async fn on_event_that_panics() {
    let idempotency =
        Idempotency::new(MemoryStore::new(), "tests").on_event(|_| panic!("on purpose"));
    let receiver = receiver_with(scheme::GITHUB, idempotency);
    let request = signed(scheme::GITHUB, "{}");
    let Admission::Admitted(admitted) = admit(&receiver, &request, never).await.unwrap() else {
        panic!("the first")
    };
    finish(admitted, 201).await.unwrap();
    let again = admit(&receiver, &request, never).await.unwrap();
    assert!(matches!(again, Admission::Answer(answer) if answer.status() == 201));
}

/// Nothing is tried any more when the lease is over.
#[tokio::test]
async fn complete_tries_end_with_the_lease() {
    let (store, idempotency) = watched(|it| it.complete_tries(10).lease(seconds(1)));
    store.fail_completes.store(100, SeqCst);
    let receiver = receiver_with(scheme::GITHUB, idempotency);
    let request = signed(scheme::GITHUB, "{}");
    let at_once = |_| std::future::ready(());
    let Admission::Admitted(admitted) = admit(&receiver, &request, at_once).await.unwrap() else {
        panic!("the first")
    };
    let begun = Instant::now();
    finish(admitted, 200).await.unwrap();
    // At 0, after 100 ms, and after 400 ms more; the next pause is longer than the lease. There are
    // fewer only if 600 ms had really passed by then.
    let (completes, took) = (store.completes(), begun.elapsed());
    match completes {
        3 => {}
        1 | 2 => assert!(took >= seconds(1) * 6 / 10, "{completes} in {took:?}"),
        _ => panic!("{completes} tries within a second"),
    }
}

/// Answers no claim.
struct Silent;

impl ClaimStore for Silent {
    async fn claim(&self, _: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        std::future::pending().await
    }

    async fn settle(&self, _: &[Holder], _: Step) -> Result<Vec<Settled>, StoreError> {
        std::future::pending().await
    }

    async fn purge(&self, _: usize) -> Result<usize, StoreError> {
        std::future::pending().await
    }

    async fn forget(&self, _: &ClaimKey) -> Result<bool, StoreError> {
        std::future::pending().await
    }
}
