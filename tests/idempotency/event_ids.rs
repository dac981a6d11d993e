//! Events that their sender gives ids, as LINE does: known by those, and what another body under one comes to.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use webhook_verify::{
    Idempotency, MemoryStore,
    idempotency::{OnMismatch, OnStoreFailure},
    scheme,
    testing::SignedRequest,
};

use crate::{common::*, sender::*};

/// One request with these events, each an id and a text.
fn line(events: &[(&str, &str)]) -> SignedRequest {
    let events: Vec<_> = events.iter().map(|(id, text)| message(id, text)).collect();
    let body = format!(r#"{{"destination":"U1","events":[{}]}}"#, events.join(","));
    signed(scheme::LINE, body)
}

fn message(id: &str, text: &str) -> String {
    format!(r#"{{"type":"message","webhookEventId":"{id}","text":"{text}"}}"#)
}

#[tokio::test]
async fn an_id_is_what_an_event_is_known_by() {
    each_framework(|framework| async move {
        let (store, begun) = (Watched::new(), Begun::default());
        let idempotency = Idempotency::new(Arc::clone(&store), "tests");
        let handler = one_by_one(&begun, |event| match event.id().as_deref() {
            Some("c") => 500,
            _ => 204,
        });
        let receiver = receiver_with(scheme::LINE, idempotency);
        let site = Site::on(framework, receiver, handler).await;
        let first = line(&[("a", "1"), ("b", "1"), ("c", "1")]);
        assert_eq!(site.post(&first).await.status, 500);
        begun.take();
        // Rendered anew, with what its sender changes when it sends again.
        let again = line(&[("d", "1"), ("b", "2"), ("a", "2")]);
        assert_eq!(site.post(&again).await.status, 200);
        assert_eq!(begun.take(), [message("d", "1")]);
        assert_replay(&site.post(&line(&[("b", "3"), ("a", "3")])).await, 204);
        // Other ids with the same text are other events, also if two of them read like one.
        for ids in [["1", "23"], ["12", "3"], ["123", ""]] {
            let other = line(&ids.map(|id| (id, "1")));
            assert!(!is_replay(&site.post(&other).await));
        }
        assert_eq!(begun.take().len(), 6);
    })
    .await;
}

/// An event without its id is known by its bytes.
#[tokio::test]
async fn an_id_that_is_not_there() {
    each_framework(|framework| async move {
        let begun = Begun::default();
        let idempotency = Idempotency::new(MemoryStore::new(), "tests");
        let receiver = receiver_with(scheme::LINE, idempotency);
        let site = Site::on(framework, receiver, failing(&begun, &Fault::default())).await;
        let of = |events: &str| signed(scheme::LINE, format!(r#"{{"events":[{events}]}}"#));
        for id in ["null", "{}", "[1]"] {
            let request = of(&format!(r#"{{"webhookEventId":{id}}},{{"a":{id}}}"#));
            assert_eq!(site.post(&request).await.status, 200);
            assert_replay(&site.post(&request).await, 204);
            assert_eq!(begun.take().len(), 2);
        }
        // LINE asks with this whether anybody is there.
        assert_eq!(site.post(&of("")).await.status, 200);
    })
    .await;
}

/// One id stands for one event, also where it is in one request twice: the second is no other.
#[tokio::test]
async fn an_id_that_is_there_twice() {
    each_framework(|framework| async move {
        let (store, begun) = (Watched::new(), Begun::default());
        let idempotency = Idempotency::new(Arc::clone(&store), "tests");
        let receiver = receiver_with(scheme::LINE, idempotency);
        let site = Site::on(framework, receiver, failing(&begun, &Fault::default())).await;
        let twice = line(&[("a", "1"), ("b", "1"), ("a", "1"), ("a", "2")]);
        assert_eq!(site.post(&twice).await.status, 200);
        assert_eq!(begun.take(), [message("a", "1"), message("b", "1")]);
        assert_eq!(store.take_log(), ["claim_all 2", "complete", "complete"]);
        assert_replay(&site.post(&twice).await, 204);
        assert_eq!(site.post(&line(&[("a", "1"), ("a", "1"), ("c", "1")])).await.status, 200);
        assert_eq!(begun.take(), [message("c", "1")]);
    })
    .await;
}

#[tokio::test]
async fn another_body_under_a_known_id() {
    each_framework(|framework| async move {
        for policy in [OnMismatch::Report, OnMismatch::Reject, OnMismatch::Ignore] {
            let (told, begun) = (Told::default(), Begun::default());
            let idempotency = Idempotency::new(MemoryStore::new(), "tests").on_mismatch(policy);
            let receiver = receiver_with(scheme::LINE, told.by(idempotency));
            let site = Site::on(framework, receiver, failing(&begun, &Fault::default())).await;
            let first = line(&[("a", "1"), ("b", "1")]);
            assert_eq!(site.post(&first).await.status, 200);
            assert_replay(&site.post(&line(&[("b", "1"), ("a", "1")])).await, 204);
            begun.take();
            told.take();
            // With an event that is new: that one runs in any case.
            let mixed = site.post(&line(&[("a", "2"), ("c", "1"), ("b", "1")])).await;
            assert_eq!(begun.take(), [message("c", "1")]);
            let alone = site.post(&line(&[("b", "1"), ("a", "2")])).await;
            assert_eq!(begun.take(), [""; 0]);
            let (claimed, completed) = ("claimed", "completed");
            let (duplicate, mismatch) = ("duplicate", "mismatch");
            let (expected, status) = match policy {
                OnMismatch::Report => (
                    vec![
                        duplicate, mismatch, claimed, duplicate, completed, duplicate, duplicate,
                        mismatch,
                    ],
                    200,
                ),
                OnMismatch::Reject => {
                    (vec![mismatch, claimed, duplicate, completed, duplicate, mismatch], 503)
                }
                _ => (vec![duplicate, claimed, duplicate, completed, duplicate, duplicate], 200),
            };
            let sorted = |mut all: Vec<&'static str>| {
                all.sort_unstable();
                all
            };
            assert_eq!(sorted(told.take()), sorted(expected), "{policy:?}");
            assert_eq!(mixed.status, status, "{policy:?}");
            match policy {
                OnMismatch::Reject => {
                    assert_eq!((alone.status, alone.text()), (503, "temporarily unavailable"));
                }
                _ => assert_replay(&alone, 204),
            }
        }
    })
    .await;
}

/// Nor is it where one request has both bodies: the first runs, and the second is told of, and refused if it is to be.
#[tokio::test]
async fn another_body_in_the_same_request() {
    each_framework(|framework| async move {
        for (policy, told_of, status) in [
            (OnMismatch::Report, &["mismatch"][..], 200),
            (OnMismatch::Reject, &["mismatch"], 503),
            (OnMismatch::Ignore, &[], 200),
        ] {
            let (told, begun) = (Told::default(), Begun::default());
            let idempotency = Idempotency::new(MemoryStore::new(), "tests").on_mismatch(policy);
            let receiver = receiver_with(scheme::LINE, told.by(idempotency));
            let site = Site::on(framework, receiver, failing(&begun, &Fault::default())).await;
            let both = line(&[("a", "1"), ("a", "1"), ("a", "2")]);
            assert_eq!(site.post(&both).await.status, status, "{policy:?}");
            assert_eq!(begun.take(), [message("a", "1")]);
            assert_eq!(told.take(), [told_of, &["claimed", "completed"]].concat());
        }
    })
    .await;
}

/// Each event of a batch is told of by itself.
#[tokio::test]
async fn what_is_told_of_a_batch() {
    let (told, begun, fault) = (Told::default(), Begun::default(), Fault::at(3));
    let idempotency = told.by(Idempotency::new(MemoryStore::new(), "tests"));
    let receiver = receiver_with(scheme::MAUTIC, idempotency);
    let site = Site::on(Framework::Axum, receiver, failing(&begun, &fault)).await;
    assert_eq!(site.post(&batch(1..=4)).await.status, 500);
    let claimed = ["claimed"; 4];
    assert_eq!(told.take(), [&claimed[..], &["completed"; 2], &["released"; 2]].concat());
    fault.set(0);
    assert_eq!(site.post(&batch(1..=4)).await.status, 200);
    let mut expected = told.take();
    expected.sort();
    assert_eq!(expected, [&["claimed"; 2][..], &["completed"; 2], &["duplicate"; 2]].concat());
    assert_replay(&site.post(&batch(1..=4)).await, 204);
    assert_eq!(told.take(), ["duplicate"; 4]);
}

/// A store that fails lets events run without claims, if that is wanted; but not the request be acknowledged that has another
/// body under an id that is known here.
#[tokio::test]
async fn another_body_while_the_store_fails() {
    each_framework(|framework| async move {
        let (store, begun) = (Watched::new(), Begun::default());
        let idempotency = Idempotency::new(Arc::clone(&store), "tests")
            .completed_cache(100, seconds(60))
            .on_mismatch(OnMismatch::Reject)
            .on_store_failure(OnStoreFailure::Process);
        let receiver = receiver_with(scheme::LINE, idempotency);
        let site = Site::on(framework, receiver, failing(&begun, &Fault::default())).await;
        let [first, known] = [line(&[("a", "1"), ("b", "1")]), line(&[("a", "1"), ("c", "1")])];
        assert_eq!(site.post(&first).await.status, 200);
        // Known here from its answer.
        assert_replay(&site.post(&line(&[("a", "1")])).await, 204);
        begun.take();
        store.fail_claims.store(4, SeqCst);
        let other = site.post(&line(&[("a", "2"), ("c", "1")])).await;
        assert_eq!(other.status, 503);
        assert_eq!(site.post(&known).await.status, 200);
        assert_eq!(begun.take(), [message("c", "1"), message("c", "1")]);
    })
    .await;
}
