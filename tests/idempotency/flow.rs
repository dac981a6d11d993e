//! One delivery that arrives more than once: races, crashes and panics.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
};

use futures_util::future::{join_all, select_all};
use webhook_verify::{MemoryStore, idempotency::ClaimKey, scheme};

use crate::common::*;

/// Rounds of 64 requests for one delivery whose handler fails three times: each attempt has one
/// winner, and all others are rejected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b01_each_attempt_has_exactly_one_winner() {
    each_framework(|framework| async move {
        let grants = Arc::new(Mutex::new(Vec::<(ClaimKey, u64)>::new()));
        let gate = Gate::new();
        let with = (Arc::clone(&grants), Arc::clone(&gate));
        let granted = handler(with, |(grants, gate), delivery| async move {
            let claim = delivery.claim().unwrap();
            grants.lock().unwrap().push((claim.key(), claim.fencing_token()));
            gate.wait().await;
            if claim.fencing_token() < 4 { 500 } else { 201 }
        });
        let receiver = receiver(scheme::MAUTIC, MemoryStore::new());
        let site = Site::on(framework, receiver, granted).await;
        let request = signed(scheme::MAUTIC, "{}");
        for round in 1..=5_usize {
            let mut posts: Vec<_> = (0..64)
                .map(|_| {
                    let (addr, request) = (site.addr(), request.clone());
                    tokio::spawn(async move { post(addr, &request).await })
                })
                .collect();
            if round == 5 {
                for post in posts {
                    assert_replay(&soon("response to a duplicate", post).await.unwrap(), 201);
                }
                continue;
            }
            gate.entered().await;
            // The winner waits until all others are rejected.
            while posts.len() > 1 {
                let (response, _, rest) = soon("response to a duplicate", select_all(posts)).await;
                assert_in_flight(&response.unwrap());
                posts = rest;
            }
            assert_eq!((site.runs(), gate.done()), (round, round - 1));
            gate.open(1);
            let winner = soon("response to the winner", posts.remove(0)).await.unwrap();
            assert_fresh(&winner, if round < 4 { 500 } else { 201 });
        }
        let grants = grants.lock().unwrap();
        let keys: HashSet<_> = grants.iter().map(|(key, _)| key).collect();
        let attempts: Vec<_> = grants.iter().map(|(_, attempt)| *attempt).collect();
        assert_eq!((keys.len(), attempts), (1, vec![1, 2, 3, 4]));
    })
    .await;
}

/// 64 requests at once, with nothing held back: in any order, one runs, and the others get 503 or
/// the stored status.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b01_a_race_without_a_gate() {
    each_framework(|framework| async move {
        let receiver = receiver(scheme::SLACK, MemoryStore::new());
        let site = Site::on(framework, receiver, answer(204)).await;
        for round in 1..=10_usize {
            let request = signed(scheme::SLACK, format!(r#"{{"event_id":"Ev{round}"}}"#));
            let posts = (0..64).map(|_| site.post(&request));
            let mut fresh = 0;
            for response in soon("response to every duplicate", join_all(posts)).await {
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

/// After a crash, the claim is held until the lease expires, and no longer.
#[tokio::test]
async fn b04_a_vanished_holder_blocks_until_its_lease_expires() {
    each_framework(|framework| async move {
        let clock = HandClock::new();
        let request = signed(scheme::GITHUB, "{}");
        let receiver = receiver(scheme::GITHUB, MemoryStore::new().clock(clock.clone()));
        // A crash neither completes nor releases the claim.
        drop(admitted(&receiver, &request, never).await);

        let fences = Arc::new(Mutex::new(Vec::new()));
        let noting = handler(Arc::clone(&fences), |fences, delivery| async move {
            fences.lock().unwrap().push(delivery.claim().unwrap().fencing_token());
            200
        });
        let site = Site::on(framework, receiver, noting).await;
        for (later, after) in [(0, "60"), (59, "1")] {
            clock.advance(seconds(later));
            let rejected = site.post(&request).await;
            assert_in_flight(&rejected);
            assert_eq!(rejected.header("retry-after"), Some(after));
        }
        clock.advance(seconds(1));
        assert_eq!(site.post(&request).await.status, 200);
        assert_eq!(*fences.lock().unwrap(), [2]);
    })
    .await;
}

/// A holder whose lease has expired ends before its successor: the record is the successor's.
#[tokio::test]
async fn b05_a_superseded_holder_changes_nothing() {
    each_framework(|framework| async move {
        let clock = HandClock::new();
        let store = Watched::over(MemoryStore::new().clock(clock.clone()));
        let gate = Gate::new();
        let receiver = receiver(scheme::GITHUB, Arc::clone(&store));
        let handler = gate.handler(|run| if run == 1 { 202 } else { 201 });
        let site = Site::on(framework, receiver, handler).await;
        let request = signed(scheme::GITHUB, "{}");
        let mut zombie = site.send(&request).await;
        gate.entered().await;
        clock.advance(seconds(60));
        let mut successor = site.send(&request).await;
        gate.entered().await;

        // The gate releases handlers in the order of their arrival: first the superseded one.
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

/// A panic becomes a 500 with an empty body, and the claim is released.
#[tokio::test]
async fn b07_a_panic_is_a_500_and_the_retry_runs() {
    each_framework(|framework| async move {
        let store = Watched::new();
        let panicking = handler((), |(), delivery| async move {
            let attempt = delivery.claim().unwrap().fencing_token();
            assert!(attempt > 1, "a handler that panics, on purpose: hunter2");
            200
        });
        let receiver = receiver(scheme::GITHUB, Arc::clone(&store));
        let site = Site::on(framework, receiver, panicking).await;
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
