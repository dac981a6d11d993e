//! Retries and replays as time goes by: late, rendered anew, signed anew.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, Scheme, Secret, Verifier, clock::Clock as _, scheme,
    testing::Signer,
};

use crate::{common::*, identity::identified};

/// A receiver whose clock, and whose store's, is the hand's.
fn timed(scheme: Scheme, clock: &HandClock) -> Receiver {
    let verifier = Verifier::builder(scheme).secret(SECRET).clock(clock.clone()).build().unwrap();
    let store = MemoryStore::new().clock(clock.clone());
    Receiver::builder(verifier).idempotency(Idempotency::new(store, "tests")).build().unwrap()
}

/// A symmetric window lets a request from the future live for twice the tolerance.
#[tokio::test]
async fn b16_a_request_from_the_future_is_replayed_late() {
    each_framework(|framework| async move {
        let clock = HandClock::new();
        let site = Site::on(framework, timed(scheme::STANDARD_WEBHOOKS, &clock), answer(200)).await;
        let request =
            signer(scheme::STANDARD_WEBHOOKS).at(clock.now() + seconds(300)).sign("{}").unwrap();
        assert_eq!(site.post(&request).await.status, 200);
        clock.advance(seconds(570));
        assert_replay(&site.post(&request).await, 200);
        clock.advance(seconds(30));
        assert_replay(&site.post(&request).await, 200);
        clock.advance(seconds(1));
        assert_eq!(site.post(&request).await.status, 401);
        assert_eq!(site.runs(), 1);
    })
    .await;
}

/// When the record is gone, the timestamp stops a replay. Where there is none, it runs: rotating the secret stops it.
#[tokio::test]
async fn b17_a_replay_after_the_record_is_gone() {
    each_framework(|framework| async move {
        let clock = HandClock::new();
        let site = Site::on(framework, timed(scheme::STRIPE, &clock), answer(200)).await;
        let request = signer(scheme::STRIPE).at(clock.now()).sign(r#"{"id":"evt_1"}"#).unwrap();
        assert_eq!(site.post(&request).await.status, 200);
        clock.advance(days(7) - seconds(1));
        let resent = signer(scheme::STRIPE).at(clock.now()).sign(r#"{"id":"evt_1"}"#).unwrap();
        assert_replay(&site.post(&resent).await, 200);
        clock.advance(seconds(1));
        assert_eq!(site.post(&request).await.status, 401);
        assert_eq!(site.runs(), 1);

        let clock = HandClock::new();
        let receiver = timed(scheme::MAUTIC, &clock);
        let site = Site::on(framework, receiver.clone(), answer(200)).await;
        let request = signed(scheme::MAUTIC, "{}");
        assert_eq!(site.post(&request).await.status, 200);
        clock.advance(days(90) - seconds(1));
        assert_replay(&site.post(&request).await, 200);
        clock.advance(seconds(1));
        let late = site.post(&request).await;
        assert_eq!((late.status, is_replay(&late), site.runs()), (200, false, 2));
        let rotated = [Secret::new("another one").unwrap()];
        receiver.verifier().replace_secrets(rotated).unwrap();
        clock.advance(days(91));
        assert_eq!(site.post(&request).await.status, 401);
    })
    .await;
}

/// Tells the key of each delivery that it sees.
fn tells_keys(status: impl Fn(usize) -> u16 + Send + Sync + 'static) -> (Handler, Keys) {
    let keys = Keys::default();
    let seen = Arc::clone(&keys);
    let handler: Handler = Arc::new(move |delivery| {
        let mut seen = seen.lock().unwrap();
        seen.push((delivery.claim().unwrap().key().to_string(), delivery.body().clone()));
        let status = status(seen.len());
        Box::pin(async move { status })
    });
    (handler, keys)
}

type Keys = Arc<Mutex<Vec<(String, Bytes)>>>;

/// Many senders render a retry anew: same id, other bytes. That is a duplicate, and the log says that they differ.
#[tokio::test]
async fn b18_another_body_under_the_same_id_after_success() {
    let logs = Logs::collect();
    each_framework(|framework| {
        let logs = logs.clone();
        async move {
            let (handler, keys) = tells_keys(|_| 200);
            let store = Arc::new(MemoryStore::new());
            // Not the endpoint of any other test, so that the key in the log is of this one alone.
            let idempotency = Idempotency::new(store, format!("b18 {framework:?}"));
            let site =
                Site::on(framework, receiver_with(scheme::STANDARD_WEBHOOKS, idempotency), handler)
                    .await;
            let sender = signer(scheme::STANDARD_WEBHOOKS).id("msg_1");
            let first = sender.sign(r#"{"attempt":1}"#).unwrap();
            assert_eq!(site.post(&first).await.status, 200);
            let key = keys.lock().unwrap()[0].0.clone();
            let said = |text: &str| {
                let logs = logs.text();
                let mut lines = logs.lines().filter(|line| line.contains(&key));
                lines.any(|line| line.contains(text))
            };
            assert_replay(&site.post(&first).await, 200);
            assert!(said("same_body=true") && !said("same_body=false"));
            let second = sender.sign(r#"{"attempt":2}"#).unwrap();
            assert_replay(&site.post(&second).await, 200);
            assert!(said("same_body=false"));
            assert_eq!(site.runs(), 1);
        }
    })
    .await;
}

/// After a failure, the retry is what counts, with the body that it has.
#[tokio::test]
async fn b18_another_body_under_the_same_id_after_failure() {
    each_framework(|framework| async move {
        let (handler, keys) = tells_keys(|run| if run == 1 { 500 } else { 200 });
        let site =
            Site::on(framework, receiver(scheme::STANDARD_WEBHOOKS, MemoryStore::new()), handler)
                .await;
        let sender = signer(scheme::STANDARD_WEBHOOKS).id("msg_1");
        let first = sender.sign(r#"{"attempt":1}"#).unwrap();
        assert_eq!(site.post(&first).await.status, 500);
        let second = sender.sign(r#"{"attempt":2}"#).unwrap();
        assert_fresh(&site.post(&second).await, 200);
        {
            let seen = keys.lock().unwrap();
            assert_eq!(seen[0].0, seen[1].0);
            assert_eq!(seen[1].1, r#"{"attempt":2}"#);
        }
        assert_replay(&site.post(&first).await, 200);
    })
    .await;
}

/// A retry is signed anew, with a new timestamp or with the secret that a rotation brought: it is the same delivery.
#[tokio::test]
async fn b19_a_retry_that_is_signed_anew() {
    const NEXT: &str = "whsec_YW5vdGhlciBzZWNyZXQgb2YgMzIgYnl0ZXMgLi4u";
    each_framework(|framework| async move {
        for (scheme, body) in identified() {
            let clock = HandClock::new();
            let verifier = Verifier::builder(scheme.clone())
                .secret(NEXT)
                .secret(SECRET)
                .clock(clock.clone())
                .build()
                .unwrap();
            let receiver = Receiver::builder(verifier)
                .idempotency(Idempotency::new(MemoryStore::new(), "tests"))
                .build()
                .unwrap();
            let site = Site::on(framework, receiver, answer(200)).await;
            let first = signer(scheme.clone()).at(clock.now()).sign(body).unwrap();
            assert_eq!(site.post(&first).await.status, 200);
            clock.advance(seconds(290));
            for secret in [SECRET, NEXT] {
                let anew = Signer::new(scheme.clone(), secret).unwrap();
                let anew = anew.at(clock.now()).sign(body).unwrap();
                // Only a scheme without a timestamp signs the same body the same way twice.
                let equal = first.headers == anew.headers;
                assert_eq!(
                    equal,
                    secret == SECRET && scheme.tolerance().is_none(),
                    "{}",
                    scheme.name()
                );
                assert_replay(&site.post(&anew).await, 200);
            }
            assert_eq!(site.runs(), 1, "{}", scheme.name());
        }
    })
    .await;
}
