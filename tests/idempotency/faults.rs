//! A store that fails or is full, and requests that must not reach a store at all.

use std::{
    future::pending,
    io,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use integration_tests::{App, Connection, Logs, answer, each_framework};
use tracing_subscriber::util::SubscriberInitExt as _;
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, Rejection, RequestHead,
    adapter::Admission,
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, Settled, Step, StoreError,
    },
    scheme,
};

use crate::common::{
    Gate, HandClock, OUTAGE, Watched, admit, assert_in_flight, assert_replay, days, is_replay,
    never, post, raw, receiver, receiver_with, seconds, signed, with_header,
};

/// What is not authentic does not reach the store: not once in a hundred thousand times.
#[tokio::test]
async fn b28_a_flood_of_bad_signatures_makes_no_store_calls() {
    let store = Watched::new();
    let receiver = receiver(scheme::GITHUB, Arc::clone(&store));
    let good = signed(scheme::GITHUB, "{}");
    // Other tests in this process search the log.
    let unlogged = tracing_subscriber::registry().set_default();
    for number in 0..100_000 {
        let forged =
            with_header(&good, "x-hub-signature-256", Some(&format!("sha256={number:064x}")));
        let refused = admit(&receiver, &forged, never).await.unwrap_err();
        assert_eq!(refused.status(), 401);
    }
    drop(unlogged);
    assert_eq!(store.calls(), 0);

    let on_both = Arc::clone(&store);
    each_framework(|framework| {
        let (store, good) = (Arc::clone(&on_both), good.clone());
        async move {
            let app =
                App::new(crate::common::receiver(scheme::GITHUB, Arc::clone(&store)), answer(200));
            let server = app.serve(framework).await;
            let mut connection = Connection::open(server.addr).await;
            for number in 0..500 {
                let forged = with_header(
                    &good,
                    "x-hub-signature-256",
                    Some(&format!("sha256={number:064x}")),
                );
                connection.send(&raw(&forged)).await;
                let response = connection.response().await.unwrap();
                assert_eq!((response.status, response.text()), (401, "invalid webhook signature"));
            }
            assert_eq!((store.calls(), app.runs()), (0, 0));
        }
    })
    .await;
    // The store is the one that is asked when a signature holds.
    let admitted = admit(&receiver, &good, never).await.unwrap();
    assert!(matches!(admitted, Admission::Admitted(_)));
    assert_eq!(store.calls(), 1);
}

/// A store that cannot answer: come again later. The handler does not run, and the client learns nothing of the reason.
#[tokio::test]
async fn a_store_that_fails_is_a_503_and_no_run() {
    let logs = Logs::collect();
    each_framework(|framework| {
        let logs = logs.clone();
        async move {
            let store = Watched::new();
            // Each claim is asked for twice.
            store.fail_claims.store(4, SeqCst);
            let app = App::new(receiver(scheme::GITHUB, Arc::clone(&store)), answer(200));
            let server = app.serve(framework).await;
            let request = signed(scheme::GITHUB, "{}");
            for _ in 0..2 {
                let response = post(server.addr, &request).await;
                assert_eq!((response.status, response.text()), (503, "temporarily unavailable"));
                assert_eq!(response.header("retry-after"), Some("30"));
                let told = format!("{response:?}");
                assert!(!told.contains("claims-db") && !is_replay(&response));
            }
            assert_eq!((app.runs(), store.claims.load(SeqCst)), (0, 4));
            assert!(
                logs.text().lines().any(|line| line.contains("ERROR") && line.contains(OUTAGE))
            );
            let response = post(server.addr, &request).await;
            assert_eq!((response.status, app.runs()), (200, 1));
        }
    })
    .await;
}

/// A store that never answers a claim.
struct Frozen;

impl ClaimStore for Frozen {
    async fn claim(&self, _: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        pending().await
    }

    async fn settle(&self, _: &[Holder], _: Step) -> Result<Vec<Settled>, StoreError> {
        pending().await
    }

    async fn purge(&self, _: usize) -> Result<usize, StoreError> {
        pending().await
    }

    async fn forget(&self, _: &ClaimKey) -> Result<bool, StoreError> {
        pending().await
    }
}

/// A store that does not answer in time is one that cannot answer.
#[tokio::test]
async fn a_store_that_hangs_is_a_503() {
    let receiver = receiver(scheme::GITHUB, Frozen);
    let request = signed(scheme::GITHUB, "{}");
    // Time flies: whatever is waited for with this timer is over at once.
    let at_once = |_: Duration| std::future::ready(());
    let refused = admit(&receiver, &request, at_once).now_or_never();
    let refused = refused.expect("a claim is given up in time").unwrap_err();
    assert!(matches!(refused, Rejection::Store(_)), "{refused:?}");
}

/// The handler has succeeded: no failure of the store after that may make the sender send again.
#[tokio::test]
async fn a_complete_that_fails_leaves_the_handlers_answer() {
    each_framework(|framework| async move {
        for (failures, tries) in [(0, 1), (1, 2), (2, 3), (3, 3), (9, 3)] {
            let clock = HandClock::new();
            let store = Watched::over(MemoryStore::new().clock(clock.clone()));
            store.fail_completes.store(failures, SeqCst);
            let app = App::new(receiver(scheme::GITHUB, Arc::clone(&store)), answer(201));
            let server = app.serve(framework).await;
            let request = signed(scheme::GITHUB, "{}");
            let response = post(server.addr, &request).await;
            assert_eq!((response.status, is_replay(&response)), (201, false));
            assert_eq!(store.completes(), tries, "{failures} failures");
            assert_eq!(store.releases.load(SeqCst), 0);
            let retry = post(server.addr, &request).await;
            if failures < 3 {
                assert_replay(&retry, 201);
            } else {
                // Not recorded, so it blocks until the lease lapses, and then runs again: at least once.
                assert_in_flight(&retry);
                store.fail_completes.store(0, SeqCst);
                clock.advance(seconds(60));
                assert_eq!(post(server.addr, &request).await.status, 201);
                assert_eq!(app.runs(), 2);
            }
        }
    })
    .await;
}

/// A handler that failed keeps its answer, too, when its claim cannot be given back.
#[tokio::test]
async fn a_release_that_fails_leaves_the_handlers_answer() {
    each_framework(|framework| async move {
        for failures in [1, 2, 3] {
            let store = Watched::new();
            store.fail_releases.store(failures, SeqCst);
            let app = App::new(receiver(scheme::GITHUB, Arc::clone(&store)), answer(422));
            let server = app.serve(framework).await;
            let request = signed(scheme::GITHUB, "{}");
            assert_eq!(post(server.addr, &request).await.status, 422);
            assert_eq!(store.completes(), 0);
            let retry = post(server.addr, &request).await;
            if failures < 3 {
                assert_eq!((retry.status, app.runs()), (422, 2));
            } else {
                assert_in_flight(&retry);
            }
        }
    })
    .await;
}

/// A memory store that is full of deliveries in progress refuses what is new with 503, and goes on to answer what it
/// knows.
#[tokio::test]
async fn a_full_memory_store_is_a_503() {
    each_framework(|framework| async move {
        let clock = HandClock::new();
        let store = MemoryStore::with_capacity(2).clock(clock.clone());
        let gate = Gate::new();
        let app = App::new(receiver(scheme::MAUTIC, store), gate.handler(|_| 200));
        let server = app.serve(framework).await;
        let [live, also_live, new] = ["1", "2", "3"].map(|body| signed(scheme::MAUTIC, body));
        let mut connections = Vec::new();
        for request in [&live, &also_live] {
            let mut connection = Connection::open(server.addr).await;
            connection.send(&raw(request)).await;
            gate.entered().await;
            connections.push(connection);
        }

        let refused = post(server.addr, &new).await;
        assert_eq!((refused.status, refused.text()), (503, "temporarily unavailable"));
        assert_eq!(refused.header("retry-after"), Some("30"));
        assert_in_flight(&post(server.addr, &live).await);
        gate.open(2);
        for mut connection in connections {
            assert_eq!(connection.response().await.unwrap().status, 200);
        }
        assert_replay(&post(server.addr, &live).await, 200);
        assert_replay(&post(server.addr, &also_live).await, 200);
        assert_eq!(app.runs(), 2);

        clock.advance(days(90));
        gate.open(1);
        assert_eq!(post(server.addr, &new).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn in_flight_status_is_a_knob() {
    each_framework(|framework| async move {
        for status in [409, 425, 429, 500] {
            let gate = Gate::new();
            let idempotency =
                Idempotency::new(MemoryStore::new(), "tests").in_flight_status(status);
            let app = App::new(receiver_with(scheme::GITHUB, idempotency), gate.handler(|_| 200));
            let server = app.serve(framework).await;
            let request = signed(scheme::GITHUB, "{}");
            let mut first = Connection::open(server.addr).await;
            first.send(&raw(&request)).await;
            gate.entered().await;
            let response = post(server.addr, &request).await;
            assert_eq!((response.status, response.text()), (status, "delivery is being processed"));
            let after: u64 = response.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=60).contains(&after));
            gate.open(1);
            assert_eq!(first.response().await.unwrap().status, 200);
        }
    })
    .await;
}

/// A lease may last for hours; nobody is asked to wait for longer than a minute.
#[tokio::test]
async fn retry_after_is_clamped() {
    for (lease, after) in [(seconds(1), 1), (seconds(45), 45), (seconds(7200), 60)] {
        let clock = HandClock::new();
        let store = MemoryStore::new().clock(clock.clone());
        let idempotency =
            Idempotency::new(store, "tests").lease(lease).max_handler_time(seconds(7200));
        let receiver = receiver_with(scheme::GITHUB, idempotency);
        let request = signed(scheme::GITHUB, "{}");
        let _first = admit(&receiver, &request, never).await.unwrap();
        let refused = admit(&receiver, &request, never).await.unwrap_err();
        assert_eq!(refused.retry_after(), Some(seconds(after)));
        clock.advance(lease - Duration::from_millis(1));
        let refused = admit(&receiver, &request, never).await.unwrap_err();
        assert_eq!(refused.retry_after(), Some(seconds(1)));
    }
}

/// Only a body that has come whole is claimed: not one that breaks off, nor one that never ends.
#[tokio::test]
async fn a_body_that_breaks_off_is_not_claimed() {
    let store = Watched::new();
    let receiver = receiver(scheme::GITHUB, Arc::clone(&store));
    let request = signed(scheme::GITHUB, "{}");
    let head = RequestHead::from(&request.headers);
    let cut = stream::iter([
        Ok(request.body.slice(..1)),
        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
    ]);
    let refused = receiver.clone().or_timer(never).admit(&head, cut).await.unwrap_err();
    assert_eq!((refused.status(), store.calls()), (400, 0));
    let start = stream::iter([Ok::<_, io::Error>(request.body.slice(..1))]);
    let late = start.chain(stream::pending());
    let receiver = receiver.or_timer(|_| std::future::ready(()));
    let refused = receiver.admit(&head, late).await.unwrap_err();
    assert_eq!((refused.status(), store.calls()), (408, 0));
}

/// A store that grants a claim and fails all the same is asked again by the same owner; what it may hold in the end is given
/// back, so that the retry runs at once.
#[tokio::test]
async fn b23_a_claim_whose_answer_is_lost() {
    let fence = async |receiver: &Receiver, request| match admit(receiver, request, never).await {
        Ok(Admission::Admitted(admitted)) => admitted.delivery().claim().unwrap().fencing_token(),
        other => panic!("{other:?}"),
    };
    let request = signed(scheme::GITHUB, "{}");

    // asked again by the same owner, who has it already
    let store = Watched::new();
    store.lose_claims.store(1, SeqCst);
    assert_eq!(fence(&receiver(scheme::GITHUB, store), &request).await, 1);

    // two answers lost: it is given back
    let store = Watched::new();
    store.lose_claims.store(2, SeqCst);
    let receiver = receiver(scheme::GITHUB, store);
    let refused = admit(&receiver, &request, never).await.unwrap_err();
    assert_eq!(refused.status(), 503);
    assert_eq!(fence(&receiver, &request).await, 2);
}

/// A store that is overloaded refuses a claim at once, and so does the receiver: it neither asks again
/// nor releases what was not granted.
#[tokio::test]
async fn an_overloaded_store_is_left_alone() {
    each_framework(|framework| async move {
        let store = Watched::new();
        let app = App::new(receiver(scheme::GITHUB, Arc::clone(&store)), answer(200));
        let server = app.serve(framework).await;
        let request = signed(scheme::GITHUB, "{}");
        store.overload_claims.store(1, SeqCst);
        let refused = post(server.addr, &request).await;
        assert_eq!(refused.status, 503);
        assert_eq!(refused.text(), "temporarily unavailable");
        assert_eq!(refused.header("retry-after"), Some("5"));
        assert_eq!(store.claims.load(SeqCst), 1);
        assert_eq!(store.releases.load(SeqCst), 0);
        assert_eq!(app.runs(), 0);

        let retry = post(server.addr, &request).await;
        assert_eq!((retry.status, is_replay(&retry)), (200, false));
        assert_eq!(app.runs(), 1);
    })
    .await;
}
