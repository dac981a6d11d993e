//! Settings: each default and its other values, on both adapters where a response depends on it.

use std::{
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use webhook_verify::{
    Idempotency, MemoryStore, Rejection, Scheme, idempotency::OnMismatch, scheme,
};

use crate::common::*;

fn watched(set: impl FnOnce(Idempotency) -> Idempotency) -> (Arc<Watched>, Idempotency) {
    let store = Watched::new();
    let idempotency = set(Idempotency::new(Arc::clone(&store), "tests"));
    (store, idempotency)
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
        let noting = move |pause: Duration| {
            seen.lock().unwrap().push(pause.as_millis());
            std::future::ready(())
        };
        finish(admitted(&receiver, &request, noting).await, 200).await.unwrap();
        assert_eq!(store.completes(), tries as usize);
        let expected = &[100, 400, 1600, 1600][..tries as usize - 1];
        assert_eq!(*pauses.lock().unwrap(), expected);
    }
}

/// A duplicate of a delivery in progress waits for its end, and gets its status.
#[tokio::test]
async fn in_flight_wait() {
    each_framework(|framework| async move {
        for (status, expected_runs) in [(200, 1), (500, 2)] {
            let (store, idempotency) = watched(|it| it.in_flight_wait(seconds(30)));
            let gate = Gate::new();
            let handler = gate.handler(move |run| if run == 1 { status } else { 201 });
            let receiver = receiver_with(scheme::GITHUB, idempotency);
            let site = Site::on(framework, receiver, handler).await;
            let request = signed(scheme::GITHUB, "{}");
            let mut first = site.send(&request).await;
            gate.entered().await;
            let mut twin = site.send(&request).await;
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
                _ => assert_fresh(&answer, 201),
            }
            assert_eq!(site.runs(), expected_runs);
        }
    })
    .await;
}

#[tokio::test]
async fn in_flight_wait_ends() {
    let (store, idempotency) = watched(|it| it.in_flight_wait(seconds(1)));
    let receiver = receiver_with(scheme::GITHUB, idempotency);
    let request = signed(scheme::GITHUB, "{}");
    let _first = admitted(&receiver, &request, never).await;
    let begun = Instant::now();
    let refused = admit(&receiver, &request, at_once).await.unwrap_err();
    assert!(matches!(refused, Rejection::InFlight { .. }), "{refused:?}");
    // One claim of the first, and of this request one at once and one after each 100 ms. A claim
    // that takes that long uses up some of them.
    let used_up = (begun.elapsed().as_millis() / 100) as usize;
    let claims = store.claims.load(SeqCst);
    assert!((1 + 11 - used_up.min(9)..=1 + 11).contains(&claims), "{claims} in {used_up}");
}

#[tokio::test]
async fn in_flight_status() {
    each_framework(|framework| async move {
        for status in [409, 425, 429, 500] {
            let gate = Gate::new();
            let (_, idempotency) = watched(|it| it.in_flight_status(status));
            let receiver = receiver_with(scheme::GITHUB, idempotency);
            let site = Site::on(framework, receiver, gate.handler(|_| 200)).await;
            let request = signed(scheme::GITHUB, "{}");
            let mut first = site.send(&request).await;
            gate.entered().await;
            let response = site.post(&request).await;
            assert_eq!((response.status, response.text()), (status, "delivery is being processed"));
            let after: u64 = response.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=60).contains(&after));
            gate.open(1);
            assert_eq!(first.response().await.unwrap().status, 200);
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
            let receiver = receiver_with(scheme::STANDARD_WEBHOOKS, idempotency);
            let site = Site::on(framework, receiver, answer(200)).await;
            let sender = signer(scheme::STANDARD_WEBHOOKS).id("msg_1");
            let [first, other] = ["{}", "[]"].map(|body| sender.sign(body).unwrap());
            assert_eq!(site.post(&first).await.status, 200);
            let answer = site.post(&other).await;
            if refused {
                assert_eq!((answer.status, answer.text()), (503, "temporarily unavailable"));
                assert_eq!(answer.header("retry-after"), Some("30"));
            } else {
                assert_replay(&answer, 200);
            }
            // A request with the first body is a duplicate in any case.
            assert_replay(&site.post(&first).await, 200);
            assert_eq!(site.runs(), 1);
        }
    })
    .await;
}

/// By default the adapter has to drive the receiver to its end. With this setting off, it may drop
/// the receiver.
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
    let receiver = receiver_with(scheme::GITHUB, idempotency);
    let site = Site::on(Framework::Axum, receiver, handler).await;
    let request = signed(scheme::GITHUB, "{}");
    let first = site.send(&request).await;
    soon("beginning of the handler", began.notified()).await;
    drop(first);
    assert_eq!(soon("end of the dropped handler", dropped.recv()).await, None);
    // Its claim is held, as after a crash.
    assert_in_flight(&site.post(&request).await);
    clock.advance(seconds(60));
    assert_fresh(&site.post(&request).await, 200);
}

/// A store that never responds keeps a sender waiting for two time limits: two attempts, and the
/// release of the claim.
#[tokio::test(start_paused = true)]
async fn a_silent_store_is_given_up_in_time() {
    let (store, idempotency) = watched(|it| it);
    store.silent.store(usize::MAX, SeqCst);
    let receiver = receiver_with(scheme::GITHUB, idempotency);
    let request = signed(scheme::GITHUB, "{}");
    let begun = tokio::time::Instant::now();
    let refused = admit(&receiver, &request, tokio::time::sleep).await;
    assert_eq!(refused.unwrap_err().status(), 503);
    assert_eq!(begun.elapsed().as_millis(), 2000);
}

/// A panic of the user's callback does not affect the delivery.
#[tokio::test]
async fn on_event_that_panics() {
    let idempotency =
        Idempotency::new(MemoryStore::new(), "tests").on_event(|_| panic!("on purpose"));
    let receiver = receiver_with(scheme::GITHUB, idempotency);
    let request = signed(scheme::GITHUB, "{}");
    finish(admitted(&receiver, &request, never).await, 201).await.unwrap();
    assert_eq!(replayed(&receiver, &request, never).await, 201);
}

/// Nothing is repeated after the end of the lease.
#[tokio::test]
async fn complete_tries_end_with_the_lease() {
    let (store, idempotency) = watched(|it| it.complete_tries(10).lease(seconds(1)));
    store.fail_completes.store(100, SeqCst);
    let receiver = receiver_with(scheme::GITHUB, idempotency);
    let request = signed(scheme::GITHUB, "{}");
    let admitted = admitted(&receiver, &request, at_once).await;
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

/// A sender that changes the body in retries is not reported at each of them.
#[tokio::test]
async fn on_mismatch_where_retries_change_the_body() {
    let fields = Scheme::builder("acme").signature_header("acme-signature");
    let fields = fields.identity_fields(["/id"]).build().unwrap();
    for (scheme, is_expected) in
        [(fields, true), (scheme::NYLAS, true), (scheme::STANDARD_WEBHOOKS, false)]
    {
        for (policy, reported, refused) in [
            (OnMismatch::Report, !is_expected, false),
            (OnMismatch::Reject, true, true),
            (OnMismatch::Ignore, false, false),
        ] {
            let what = format!("{} {policy:?}", scheme.name());
            let names = Arc::new(Mutex::new(Vec::new()));
            let seen = Arc::clone(&names);
            let (_, idempotency) = watched(|it| {
                it.on_mismatch(policy)
                    .on_event(move |event| seen.lock().unwrap().push(event.kind.name()))
            });
            let receiver = receiver_with(scheme.clone(), idempotency);
            let sender = signer(scheme.clone());
            let [first, retry] = ["{\"id\":\"1\",\"try\":1}", "{\"id\":\"1\",\"try\":2}"]
                .map(|body| sender.sign(body).unwrap());
            finish(admitted(&receiver, &first, never).await, 200).await.unwrap();
            let outcome = admit(&receiver, &retry, never).await;
            assert_eq!(matches!(outcome, Err(Rejection::Mismatch)), refused, "{what}");
            let names = names.lock().unwrap();
            assert_eq!(names.contains(&"mismatch"), reported, "{what}: {names:?}");
            assert_eq!(names.contains(&"duplicate"), !refused, "{what}: {names:?}");
        }
    }
}
