//! Deliveries that are claimed as a whole although their sender may put several events into one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use webhook_verify::{
    Delivery, Idempotency, Receiver, Verifier,
    scheme::{self, Identity},
};

use crate::{common::*, sender::*};

/// What has no events, or cannot be taken apart, may still mean something to its handler, which sees it once.
#[tokio::test]
async fn bodies_without_events() {
    each_framework(|framework| async move {
        let store = Watched::new();
        let fails = Arc::new(AtomicUsize::new(0));
        let failing = Arc::clone(&fails);
        let handler: Handler = Arc::new(move |delivery| {
            let failures = failing.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
            let has_claim = delivery.claim().is_some();
            Box::pin(async move {
                assert!(has_claim, "the delivery's own");
                if failures.is_ok() { 500 } else { 202 }
            })
        });
        let verifier = Verifier::builder(scheme::MAUTIC).secret(SECRET).max_events(2);
        let receiver = Receiver::builder(verifier.build().unwrap())
            .idempotency(Idempotency::new(Arc::clone(&store), "tests"))
            .build()
            .unwrap();
        let site = Site::on(framework, receiver, handler).await;
        for body in [
            "{}",
            "{} ",
            r#"{"a":[],"b":[]}"#,
            r#"{"timestamp":"2026-11-24T00:00:00+00:00"}"#,
            "",
            "a=b",
            "[1]",
            r#"{"a":[1"#,
            r#"{"a":[1],"a":[1]}"#,
            r#"{"a":[1,2,3]}"#,
            r#"{"a":[1],"timestamp":[1]}"#,
        ] {
            fails.store(1, SeqCst);
            let request = mautic(body);
            assert_eq!(site.post(&request).await.status, 500, "{body}");
            assert_eq!(store.take_log(), ["claim", "release"], "{body}");
            assert_eq!(site.post(&request).await.status, 202, "{body}");
            assert_eq!(store.take_log(), ["claim", "complete"], "{body}");
            assert_replay(&site.post(&request).await, 202);
            assert_eq!(store.take_log(), ["claim"], "{body}");
        }
    })
    .await;
}

/// Whoever says what a delivery is known by has it claimed by that, and its events have no claims.
#[tokio::test]
async fn an_identity_of_ones_own() {
    let by_digest = |it: Idempotency| it.identity(Identity::BodyDigest);
    let by_body = |it: Idempotency| it.identity_from(|it: &Delivery| Some(it.body().to_vec()));
    each_framework(|framework| async move {
        for choose in [by_digest as fn(Idempotency) -> Idempotency, by_body] {
            let (store, begun, fault) = (Watched::new(), Begun::default(), Fault::at(2));
            let idempotency = choose(Idempotency::new(Arc::clone(&store), "tests"));
            let receiver = receiver_with(scheme::MAUTIC, idempotency);
            let (noting, failing) = (begun.clone(), fault.clone());
            let handler: Handler = Arc::new(move |delivery| {
                let (begun, fault) = (noting.clone(), failing.clone());
                Box::pin(async move {
                    assert!(delivery.claim().is_some());
                    let events = delivery.events().unwrap();
                    for event in &events {
                        assert!(event.claim().is_none());
                        begun.note(event);
                        if fault.hits(event) {
                            return 500;
                        }
                        event.done().await;
                    }
                    200
                })
            });
            let site = Site::on(framework, receiver, handler).await;
            assert_eq!(site.post(&batch(1..=3)).await.status, 500);
            assert_eq!(store.take_log(), ["claim", "release"]);
            fault.set(0);
            assert_eq!(site.post(&batch(1..=3)).await.status, 200);
            assert_eq!(store.take_log(), ["claim", "complete"]);
            assert_eq!(begun.take(), events([1, 2, 1, 2, 3]));
            assert_replay(&site.post(&batch(1..=3)).await, 200);
            assert!(!is_replay(&site.post(&batch([3, 2, 1])).await));
        }
    })
    .await;
}

/// A delivery of which nobody is to know whether it was there before runs each time.
#[tokio::test]
async fn no_identity_at_all() {
    each_framework(|framework| async move {
        let (store, begun) = (Watched::new(), Begun::default());
        let idempotency = Idempotency::new(Arc::clone(&store), "tests");
        let receiver = receiver_with(scheme::MAUTIC, idempotency.identity(Identity::None));
        let handler = failing(&begun, &Fault::default());
        let site = Site::on(framework, receiver, handler).await;
        for _ in 0..2 {
            assert_eq!(site.post(&batch(1..=2)).await.status, 200);
            assert_eq!(begun.take(), events(1..=2));
        }
        assert_eq!(store.calls(), 0);
    })
    .await;
}

/// In a batch, each event has a claim, with a key and a fence of its own, and the delivery has none.
#[tokio::test]
async fn whose_the_claims_are() {
    each_framework(|framework| async move {
        let handler: Handler = Arc::new(|delivery| {
            Box::pin(async move {
                assert!(delivery.claim().is_none());
                let events = delivery.batch().unwrap();
                let claims: Vec<_> = events.iter().map(|it| it.claim().unwrap()).collect();
                for (index, claim) in claims.iter().enumerate() {
                    let first = claims.iter().position(|it| it.key() == claim.key());
                    assert_eq!(first, Some(index));
                }
                let fences: Vec<_> = claims.iter().map(|claim| claim.fencing_token()).collect();
                if fences == [1] { 500 } else { u16::try_from(200 + fences[0]).unwrap() }
            })
        });
        let site = Site::on(framework, receiver(scheme::MAUTIC, Watched::new()), handler).await;
        assert_eq!(site.post(&batch([1])).await.status, 500);
        // The first event is tried for the second time.
        assert_eq!(site.post(&batch([1, 2, 3])).await.status, 202);
    })
    .await;
}
