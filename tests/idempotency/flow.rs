//! One delivery that comes more than once: races, failures, panics, replays.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use integration_tests::{App, Connection, Handler, answer, each_framework};
use webhook_verify::{MemoryStore, idempotency::ClaimKey, scheme};

use crate::common::{
    Gate, HandClock, Watched, assert_in_flight, assert_replay, is_replay, post, raw, receiver,
    seconds, signed, soon,
};

/// 64 at once, while the first is held in the handler: it alone runs, and each of the others is told to come back.
#[tokio::test]
async fn b01_of_64_at_once_one_runs_and_the_others_are_sent_away() {
    each_framework(|framework| async move {
        let gate = Gate::new();
        let app = App::new(receiver(scheme::GITHUB, MemoryStore::new()), gate.handler(|_| 200));
        let server = app.serve(framework).await;
        let request = signed(scheme::GITHUB, "{}");
        let (sender, mut answers) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..64 {
            let (addr, request, sender) = (server.addr, request.clone(), sender.clone());
            tokio::spawn(async move { sender.send(post(addr, &request).await).unwrap() });
        }
        for _ in 0..63 {
            assert_in_flight(&soon("response to a duplicate", answers.recv()).await.unwrap());
        }
        assert_eq!((app.runs(), gate.done()), (1, 0));
        gate.open(64);
        let first = soon("response to the first", answers.recv()).await.unwrap();
        assert_eq!((first.status, is_replay(&first)), (200, false));
        assert_replay(&post(server.addr, &request).await, 200);
        assert_eq!(app.runs(), 1);
    })
    .await;
}

/// Rounds of 64 over one delivery whose handler fails three times: each attempt has one winner, and no attempt another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b01_each_attempt_has_exactly_one_winner() {
    each_framework(|framework| async move {
        type Grants = Arc<Mutex<Vec<(ClaimKey, u64)>>>;
        let grants = Grants::default();
        let gate = Gate::new();
        let handler: Handler = {
            let (grants, gate) = (Arc::clone(&grants), Arc::clone(&gate));
            Arc::new(move |delivery| {
                let claim = delivery.claim().unwrap().clone();
                grants.lock().unwrap().push((claim.key(), claim.fencing_token()));
                let gate = Arc::clone(&gate);
                Box::pin(async move {
                    gate.wait().await;
                    if claim.fencing_token() < 4 { 500 } else { 201 }
                })
            })
        };
        let app = App::new(receiver(scheme::MAUTIC, MemoryStore::new()), handler);
        let server = app.serve(framework).await;
        let request = signed(scheme::MAUTIC, "{}");
        for round in 1..=5_u64 {
            let posts: Vec<_> = (0..64)
                .map(|_| {
                    let (addr, request) = (server.addr, request.clone());
                    tokio::spawn(async move { post(addr, &request).await })
                })
                .collect();
            if round <= 4 {
                gate.entered().await;
                // Only when every other one has been sent away is the winner let go.
                let (mut sent_away, mut posts) = (0, posts);
                while sent_away < 63 {
                    let (response, _, rest) =
                        soon("response to a duplicate", futures_util::future::select_all(posts))
                            .await;
                    assert_in_flight(&response.unwrap());
                    (sent_away, posts) = (sent_away + 1, rest);
                }
                gate.open(1);
                let winner = soon("response to the winner", posts.pop().unwrap()).await.unwrap();
                assert_eq!(winner.status, if round < 4 { 500 } else { 201 });
                assert!(!is_replay(&winner));
            } else {
                for post in posts {
                    assert_replay(&soon("response to a duplicate", post).await.unwrap(), 201);
                }
            }
        }
        let grants = grants.lock().unwrap();
        let keys: HashSet<_> = grants.iter().map(|(key, _)| key).collect();
        let attempts: Vec<_> = grants.iter().map(|(_, attempt)| *attempt).collect();
        assert_eq!((keys.len(), attempts), (1, vec![1, 2, 3, 4]));
    })
    .await;
}

/// 64 at once with nothing held back: whatever the order, one runs, and the rest is 503 or a replay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b01_a_race_without_a_gate() {
    each_framework(|framework| async move {
        let app = App::new(receiver(scheme::SLACK, MemoryStore::new()), answer(204));
        let server = app.serve(framework).await;
        for round in 1..=10_usize {
            let body = format!(r#"{{"event_id":"Ev{round}"}}"#);
            let request = signed(scheme::SLACK, body);
            let posts = (0..64).map(|_| post(server.addr, &request));
            let mut fresh = 0;
            for response in
                soon("response to every duplicate", futures_util::future::join_all(posts)).await
            {
                match response.status {
                    204 if is_replay(&response) => assert_replay(&response, 204),
                    204 => fresh += 1,
                    _ => assert_in_flight(&response),
                }
            }
            assert_eq!((fresh, app.runs()), (1, round));
        }
    })
    .await;
}

/// A duplicate that comes while the first is failing must not be told that all is well: nobody would retry.
#[tokio::test]
async fn b03_duplicate_during_a_failing_handler() {
    each_framework(|framework| async move {
        let gate = Gate::new();
        let app = App::new(
            receiver(scheme::GITHUB, MemoryStore::new()),
            gate.handler(|run| if run == 1 { 500 } else { 200 }),
        );
        let server = app.serve(framework).await;
        let request = signed(scheme::GITHUB, "{}");
        let mut first = Connection::open(server.addr).await;
        first.send(&raw(&request)).await;
        gate.entered().await;
        assert_in_flight(&post(server.addr, &request).await);
        gate.open(1);
        assert_eq!(first.response().await.unwrap().status, 500);

        gate.open(1);
        let retry = post(server.addr, &request).await;
        assert_eq!((retry.status, is_replay(&retry)), (200, false));
        assert_replay(&post(server.addr, &request).await, 200);
        assert_eq!(app.runs(), 2);
    })
    .await;
}

/// A holder that is gone without a word holds its claim until the lease lapses, and no longer.
#[tokio::test]
async fn b04_a_vanished_holder_blocks_until_its_lease_lapses() {
    each_framework(|framework| async move {
        let clock = HandClock::new();
        let store = Arc::new(MemoryStore::new().clock(clock.clone()));
        let request = signed(scheme::GITHUB, "{}");
        let receiver = receiver(scheme::GITHUB, store);
        let admitted = crate::common::admit(&receiver, &request, crate::common::never).await;
        drop(admitted.unwrap()); // as by a crash: neither completed nor released

        let fences = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&fences);
        let app = App::new(
            receiver,
            Arc::new(move |delivery| {
                seen.lock().unwrap().push(delivery.claim().unwrap().fencing_token());
                Box::pin(async { 200 })
            }),
        );
        let server = app.serve(framework).await;
        let early = post(server.addr, &request).await;
        assert_in_flight(&early);
        assert_eq!(early.header("retry-after"), Some("60"));
        clock.advance(seconds(59));
        let late = post(server.addr, &request).await;
        assert_in_flight(&late);
        assert_eq!(late.header("retry-after"), Some("1"));
        clock.advance(seconds(1));
        assert_eq!(post(server.addr, &request).await.status, 200);
        assert_eq!(*fences.lock().unwrap(), [2]);
    })
    .await;
}

/// A holder whose lease lapsed wakes up after its successor completed: the record stays the successor's.
#[tokio::test]
async fn b05_a_superseded_holder_changes_nothing() {
    each_framework(|framework| async move {
        let clock = HandClock::new();
        let store = Watched::over(MemoryStore::new().clock(clock.clone()));
        let gate = Gate::new();
        let app = App::new(
            receiver(scheme::GITHUB, Arc::clone(&store)),
            gate.handler(|run| if run == 1 { 202 } else { 201 }),
        );
        let server = app.serve(framework).await;
        let request = signed(scheme::GITHUB, "{}");
        let mut zombie = Connection::open(server.addr).await;
        zombie.send(&raw(&request)).await;
        gate.entered().await;
        clock.advance(seconds(60));
        let mut successor = Connection::open(server.addr).await;
        successor.send(&raw(&request)).await;
        gate.entered().await;

        // The gate lets them go in the order in which they came: the first is the one that was superseded.
        gate.open(1);
        assert_eq!(zombie.response().await.unwrap().status, 202);
        store.until_completes(1).await;
        assert_in_flight(&post(server.addr, &request).await);
        gate.open(1);
        assert_eq!(successor.response().await.unwrap().status, 201);
        assert_replay(&post(server.addr, &request).await, 201);
        assert_eq!(app.runs(), 2);
    })
    .await;
}

/// A panic is a 500 without a word, and the claim is given back.
#[tokio::test]
async fn b07_a_panic_is_a_500_and_the_retry_runs() {
    each_framework(|framework| async move {
        let store = Watched::new();
        let runs = AtomicUsize::new(0);
        let app = App::new(
            receiver(scheme::GITHUB, Arc::clone(&store)),
            Arc::new(move |_| {
                let first = runs.fetch_add(1, SeqCst) == 0;
                Box::pin(async move {
                    assert!(!first, "a handler that panics, on purpose: hunter2");
                    200
                })
            }),
        );
        let server = app.serve(framework).await;
        let request = signed(scheme::GITHUB, "{}");
        let response = post(server.addr, &request).await;
        assert_eq!((response.status, response.text()), (500, ""));
        assert_eq!((store.releases.load(SeqCst), store.completes()), (1, 0));

        let retry = post(server.addr, &request).await;
        assert_eq!((retry.status, is_replay(&retry)), (200, false));
        assert_replay(&post(server.addr, &request).await, 200);
        assert_eq!(app.runs(), 2);
    })
    .await;
}

/// The answer is lost on its way: the sender's retry gets the replay.
#[tokio::test]
async fn b09_a_lost_answer_is_replayed() {
    each_framework(|framework| async move {
        let store = Watched::new();
        let app = App::new(receiver(scheme::STRIPE, Arc::clone(&store)), answer(201));
        let server = app.serve(framework).await;
        let request = signed(scheme::STRIPE, r#"{"id":"evt_1"}"#);
        let mut connection = Connection::open(server.addr).await;
        connection.send(&raw(&request)).await;
        store.until_completes(1).await;
        drop(connection); // the answer is never read
        assert_replay(&post(server.addr, &request).await, 201);
        assert_eq!(app.runs(), 1);
    })
    .await;
}

/// The very same bytes, 1,000 times over.
#[tokio::test]
async fn b15_a_thousand_replays_are_one_run() {
    each_framework(|framework| async move {
        let app = App::new(receiver(scheme::STANDARD_WEBHOOKS, MemoryStore::new()), answer(200));
        let server = app.serve(framework).await;
        let raw = raw(&signed(scheme::STANDARD_WEBHOOKS, "{}"));
        let mut connection = Connection::open(server.addr).await;
        let mut replays = 0;
        for _ in 0..1000 {
            connection.send(&raw).await;
            let response = connection.response().await.unwrap();
            assert_eq!(response.status, 200);
            replays += usize::from(is_replay(&response));
        }
        assert_eq!((app.runs(), replays), (1, 999));
    })
    .await;
}

/// What a sender takes for a failure is one: a retry after a repaired deployment has to run.
#[tokio::test]
async fn b25_redirects_and_client_errors_release() {
    each_framework(|framework| async move {
        for status in [302, 304, 400, 404, 410, 422, 429, 500, 503] {
            let store = Watched::new();
            let runs = AtomicUsize::new(0);
            let app = App::new(
                receiver(scheme::GITHUB, Arc::clone(&store)),
                Arc::new(move |_| {
                    let first = runs.fetch_add(1, SeqCst) == 0;
                    Box::pin(async move { if first { status } else { 200 } })
                }),
            );
            let server = app.serve(framework).await;
            let request = signed(scheme::GITHUB, "{}");
            let failed = post(server.addr, &request).await;
            assert_eq!((failed.status, is_replay(&failed)), (status, false));
            assert_eq!((store.releases.load(SeqCst), store.completes()), (1, 0));
            let retry = post(server.addr, &request).await;
            assert_eq!((retry.status, is_replay(&retry)), (200, false), "{status}");
            assert_replay(&post(server.addr, &request).await, 200);
        }
    })
    .await;
}

/// A duplicate is told the stored status, where an empty answer keeps what that status promises.
#[tokio::test]
async fn duplicates_get_the_stored_status() {
    each_framework(|framework| async move {
        for (status, replayed) in
            [(200, 200), (201, 201), (202, 202), (204, 204), (205, 204), (206, 204), (299, 299)]
        {
            let app = App::new(receiver(scheme::GITHUB, MemoryStore::new()), answer(status));
            let server = app.serve(framework).await;
            let request = signed(scheme::GITHUB, "{}");
            let first = post(server.addr, &request).await;
            assert_eq!((first.status, is_replay(&first)), (status, false));
            for _ in 0..2 {
                assert_replay(&post(server.addr, &request).await, replayed);
            }
            assert_eq!(app.runs(), 1);
        }
    })
    .await;
}
