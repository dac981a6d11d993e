//! Retries and replays that come late or are signed again.

use std::sync::{Arc, Mutex};

use webhook_verify::{
    Idempotency, MemoryStore, Receiver, Scheme, Secret, Verifier, clock::Clock as _, scheme,
    testing::Signer,
};

use crate::{common::*, identity::identified};

/// Returns a receiver whose verifier and store use the clock.
fn timed(scheme: Scheme, clock: &HandClock) -> Receiver {
    let verifier = Verifier::builder(scheme).secret(SECRET).clock(clock.clone()).build().unwrap();
    let store = MemoryStore::new().clock(clock.clone());
    Receiver::builder(verifier).idempotency(Idempotency::new(store, "tests")).build().unwrap()
}

/// With a symmetric tolerance, a request with a timestamp in the future stays valid for twice as
/// long.
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

/// After the record has expired, the timestamp prevents a replay. Without a timestamp, the replay
/// runs until the secret is rotated.
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

/// A retry that is signed again, with a new timestamp or a rotated secret, is the same delivery.
#[tokio::test]
async fn b19_a_retry_that_is_signed_again() {
    const NEXT: &str = "YW5vdGhlciBzZWNyZXQgb2YgMzIgYnl0ZXMgLi4u";
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

/// After a failure, a retry with another body under the same id runs, with its own body.
#[tokio::test]
async fn b18_another_body_under_the_same_id_after_failure() {
    each_framework(|framework| async move {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let failing_once = handler(Arc::clone(&seen), |seen, delivery| async move {
            let mut seen = seen.lock().unwrap();
            seen.push((delivery.claim().unwrap().key(), delivery.body().clone()));
            if seen.len() == 1 { 500 } else { 200 }
        });
        let receiver = receiver(scheme::STANDARD_WEBHOOKS, MemoryStore::new());
        let site = Site::on(framework, receiver, failing_once).await;
        let sender = signer(scheme::STANDARD_WEBHOOKS).id("msg_1");
        let [first, second] = ["{}", "[]"].map(|body| sender.sign(body).unwrap());
        assert_eq!(site.post(&first).await.status, 500);
        assert_fresh(&site.post(&second).await, 200);
        {
            let seen = seen.lock().unwrap();
            assert_eq!(seen[0].0, seen[1].0);
            assert_eq!(seen[1].1, "[]");
        }
        assert_replay(&site.post(&first).await, 200);
    })
    .await;
}
