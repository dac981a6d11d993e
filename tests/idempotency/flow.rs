//! One delivery that comes more than once: races, failures, panics, replays.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use webhook_verify::{MemoryStore, idempotency::ClaimKey, scheme};

use crate::common::*;

/// 64 at once, while the first is held in the handler: it alone runs, and each of the others is told to come back.
#[tokio::test]
async fn b01_of_64_at_once_one_runs_and_the_others_are_sent_away() {
    each_framework(|framework| async move {
        let gate = Gate::new();
        let site = Site::on(
            framework,
            receiver(scheme::GITHUB, MemoryStore::new()),
            gate.handler(|_| 200),
        )
        .await;
        let request = signed(scheme::GITHUB, "{}");
        let (sender, mut answers) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..64 {
            let (addr, request, sender) = (site.addr(), request.clone(), sender.clone());
            tokio::spawn(async move { sender.send(post(addr, &request).await).unwrap() });
        }
        for _ in 0..63 {
            assert_in_flight(&soon("response to a duplicate", answers.recv()).await.unwrap());
        }
        assert_eq!((site.runs(), gate.done()), (1, 0));
        gate.open(64);
        let first = soon("response to the first", answers.recv()).await.unwrap();
        assert_fresh(&first, 200);
        assert_replay(&site.post(&request).await, 200);
        assert_eq!(site.runs(), 1);
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
        let site = Site::on(framework, receiver(scheme::MAUTIC, MemoryStore::new()), handler).await;
        let request = signed(scheme::MAUTIC, "{}");
        for round in 1..=5_u64 {
            let posts: Vec<_> = (0..64)
                .map(|_| {
                    let (addr, request) = (site.addr(), request.clone());
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
        let site =
            Site::on(framework, receiver(scheme::SLACK, MemoryStore::new()), answer(204)).await;
        for round in 1..=10_usize {
            let body = format!(r#"{{"event_id":"Ev{round}"}}"#);
            let request = signed(scheme::SLACK, body);
            let posts = (0..64).map(|_| site.post(&request));
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
            assert_eq!((fresh, site.runs()), (1, round));
        }
    })
    .await;
}

/// A duplicate that comes while the first is failing must not be told that all is well: nobody would retry.
#[tokio::test]
async fn b03_duplicate_during_a_failing_handler() {
    each_framework(|framework| async move {
        let gate = Gate::new();
        let site = Site::on(
            framework,
            receiver(scheme::GITHUB, MemoryStore::new()),
            gate.handler(|run| if run == 1 { 500 } else { 200 }),
        )
        .await;
        let request = signed(scheme::GITHUB, "{}");
        let mut first = site.send(&request).await;
        gate.entered().await;
        assert_in_flight(&site.post(&request).await);
        gate.open(1);
        assert_eq!(first.response().await.unwrap().status, 500);

        gate.open(1);
        assert_fresh(&site.post(&request).await, 200);
        assert_replay(&site.post(&request).await, 200);
        assert_eq!(site.runs(), 2);
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
        let admitted = admit(&receiver, &request, never).await;
        drop(admitted.unwrap()); // as by a crash: neither completed nor released

        let fences = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&fences);
        let site = Site::on(
            framework,
            receiver,
            Arc::new(move |delivery| {
                seen.lock().unwrap().push(delivery.claim().unwrap().fencing_token());
                Box::pin(async { 200 })
            }),
        )
        .await;
        let early = site.post(&request).await;
        assert_in_flight(&early);
        assert_eq!(early.header("retry-after"), Some("60"));
        clock.advance(seconds(59));
        let late = site.post(&request).await;
        assert_in_flight(&late);
        assert_eq!(late.header("retry-after"), Some("1"));
        clock.advance(seconds(1));
        assert_eq!(site.post(&request).await.status, 200);
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
        let site = Site::on(
            framework,
            receiver(scheme::GITHUB, Arc::clone(&store)),
            gate.handler(|run| if run == 1 { 202 } else { 201 }),
        )
        .await;
        let request = signed(scheme::GITHUB, "{}");
        let mut zombie = site.send(&request).await;
        gate.entered().await;
        clock.advance(seconds(60));
        let mut successor = site.send(&request).await;
        gate.entered().await;

        // The gate lets them go in the order in which they came: the first is the one that was superseded.
        gate.open(1);
        assert_eq!(zombie.response().await.unwrap().status, 202);
        store.until_completes(1).await;
        assert_in_flight(&site.post(&request).await);
        gate.open(1);
        assert_eq!(successor.response().await.unwrap().status, 201);
        assert_replay(&site.post(&request).await, 201);
        assert_eq!(site.runs(), 2);
    })
    .await;
}

/// A panic is a 500 without a word, and the claim is given back.
#[tokio::test]
async fn b07_a_panic_is_a_500_and_the_retry_runs() {
    each_framework(|framework| async move {
        let store = Watched::new();
        let runs = AtomicUsize::new(0);
        let site = Site::on(
            framework,
            receiver(scheme::GITHUB, Arc::clone(&store)),
            Arc::new(move |_| {
                let first = runs.fetch_add(1, SeqCst) == 0;
                Box::pin(async move {
                    assert!(!first, "a handler that panics, on purpose: hunter2");
                    200
                })
            }),
        )
        .await;
        let request = signed(scheme::GITHUB, "{}");
        let response = site.post(&request).await;
        assert_eq!((response.status, response.text()), (500, ""));
        assert_eq!((store.releases.load(SeqCst), store.completes()), (1, 0));

        assert_fresh(&site.post(&request).await, 200);
        assert_replay(&site.post(&request).await, 200);
        assert_eq!(site.runs(), 2);
    })
    .await;
}

/// The answer is lost on its way: the sender's retry gets the replay.
#[tokio::test]
async fn b09_a_lost_answer_is_replayed() {
    each_framework(|framework| async move {
        let store = Watched::new();
        let site =
            Site::on(framework, receiver(scheme::STRIPE, Arc::clone(&store)), answer(201)).await;
        let request = signed(scheme::STRIPE, r#"{"id":"evt_1"}"#);
        let connection = site.send(&request).await;
        store.until_completes(1).await;
        drop(connection); // the answer is never read
        assert_replay(&site.post(&request).await, 201);
        assert_eq!(site.runs(), 1);
    })
    .await;
}

/// The very same bytes, 1,000 times over.
#[tokio::test]
async fn b15_a_thousand_replays_are_one_run() {
    each_framework(|framework| async move {
        let site = Site::on(
            framework,
            receiver(scheme::STANDARD_WEBHOOKS, MemoryStore::new()),
            answer(200),
        )
        .await;
        let raw = raw(&signed(scheme::STANDARD_WEBHOOKS, "{}"));
        let mut connection = Connection::open(site.addr()).await;
        let mut replays = 0;
        for _ in 0..1000 {
            connection.send(&raw).await;
            let response = connection.response().await.unwrap();
            assert_eq!(response.status, 200);
            replays += usize::from(is_replay(&response));
        }
        assert_eq!((site.runs(), replays), (1, 999));
    })
    .await;
}
