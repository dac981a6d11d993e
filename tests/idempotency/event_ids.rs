//! Events with ids from their sender, as LINE has them, the policies for mismatched bodies, and the
//! keys of events.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use webhook_verify::{
    Idempotency, MemoryStore, Receiver, Scheme,
    adapter::Admission,
    idempotency::{OnMismatch, OnStoreFailure},
    scheme::{self, Identity},
    testing::SignedRequest,
};

use crate::{common::*, sender::*};

/// Returns a request with these events, each an id and a text.
fn line(events: &[(&str, &str)]) -> SignedRequest {
    let events: Vec<_> = events.iter().map(|(id, text)| message(id, text)).collect();
    let body = format!(r#"{{"destination":"U1","events":[{}]}}"#, events.join(","));
    signed(scheme::LINE, body)
}

fn message(id: &str, text: &str) -> String {
    format!(r#"{{"type":"message","webhookEventId":"{id}","text":"{text}"}}"#)
}

/// Serves a receiver whose handler does every event.
async fn serve(
    framework: Framework,
    set: impl Fn(Idempotency) -> Idempotency,
) -> (Site, Told, Begun, Arc<Watched>) {
    let (told, begun, store) = (Told::default(), Begun::default(), Watched::new());
    let idempotency = told.by(set(Idempotency::new(Arc::clone(&store), "tests")));
    let handler = failing(&begun, &Fault::default());
    let site = Site::on(framework, receiver_with(scheme::LINE, idempotency), handler).await;
    (site, told, begun, store)
}

#[tokio::test]
async fn an_id_is_the_identity_of_an_event() {
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
        // A retry in which the sender has changed the bodies.
        let again = line(&[("d", "1"), ("b", "2"), ("a", "2")]);
        assert_eq!(site.post(&again).await.status, 200);
        assert_eq!(begun.take(), [message("d", "1")]);
        assert_replay(&site.post(&line(&[("b", "3"), ("a", "3")])).await, 204);
        // Other ids with the same text are other events, also if two ids together read like one.
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
        let (site, _, begun, _) = serve(framework, |it| it).await;
        let of = |events: &str| signed(scheme::LINE, format!(r#"{{"events":[{events}]}}"#));
        for id in ["null", "{}", "[1]"] {
            let request = of(&format!(r#"{{"webhookEventId":{id}}},{{"a":{id}}}"#));
            assert_eq!(site.post(&request).await.status, 200);
            assert_replay(&site.post(&request).await, 204);
            assert_eq!(begun.take().len(), 2);
        }
        // The verification request of LINE.
        assert_eq!(site.post(&of("")).await.status, 200);
    })
    .await;
}

/// An id that is twice in one request stands for one event.
#[tokio::test]
async fn an_id_that_is_there_twice() {
    each_framework(|framework| async move {
        let (site, _, begun, store) = serve(framework, |it| it).await;
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
            let (site, told, begun, _) = serve(framework, |it| it.on_mismatch(policy)).await;
            let first = line(&[("a", "1"), ("b", "1")]);
            assert_eq!(site.post(&first).await.status, 200);
            assert_replay(&site.post(&line(&[("b", "1"), ("a", "1")])).await, 204);
            begun.take();
            told.take();
            // A new event in the same request runs in any case.
            let mixed = site.post(&line(&[("a", "2"), ("c", "1"), ("b", "1")])).await;
            assert_eq!(begun.take(), [message("c", "1")]);
            let alone = site.post(&line(&[("b", "1"), ("a", "2")])).await;
            assert_eq!(begun.take(), [""; 0]);
            // Of the two requests: new events, duplicates, mismatches.
            let (count, status) = match policy {
                OnMismatch::Report => ([1, 4, 2], 200),
                OnMismatch::Reject => ([1, 2, 2], 503),
                _ => ([1, 4, 0], 200),
            };
            let mut all = told.take();
            all.sort_unstable();
            let [new, duplicates, mismatches] = count;
            let expected = [("claimed", new), ("completed", new), ("duplicate", duplicates)];
            let expected = expected.into_iter().chain([("mismatch", mismatches)]);
            let expected: Vec<_> = expected.flat_map(|(name, count)| vec![name; count]).collect();
            assert_eq!(all, expected, "{policy:?}");
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

/// If one request has two bodies under one id, the first runs. The policy decides about the second.
#[tokio::test]
async fn another_body_in_the_same_request() {
    each_framework(|framework| async move {
        for (policy, told_of, status) in [
            (OnMismatch::Report, &["mismatch"][..], 200),
            (OnMismatch::Reject, &["mismatch"], 503),
            (OnMismatch::Ignore, &[], 200),
        ] {
            let (site, told, begun, _) = serve(framework, |it| it.on_mismatch(policy)).await;
            let both = line(&[("a", "1"), ("a", "1"), ("a", "2")]);
            assert_eq!(site.post(&both).await.status, status, "{policy:?}");
            assert_eq!(begun.take(), [message("a", "1")]);
            assert_eq!(told.take(), [told_of, &["claimed", "completed"]].concat());
        }
    })
    .await;
}

/// Each event of a batch is reported separately.
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

/// With this policy, events run without claims if the store fails. A request with another body
/// under an id in the cache is still rejected.
#[tokio::test]
async fn another_body_while_the_store_fails() {
    each_framework(|framework| async move {
        let (site, _, begun, store) = serve(framework, |it| {
            it.completed_cache(100, seconds(60))
                .on_mismatch(OnMismatch::Reject)
                .on_store_failure(OnStoreFailure::Process)
        })
        .await;
        let [first, known] = [line(&[("a", "1"), ("b", "1")]), line(&[("a", "1"), ("c", "1")])];
        assert_eq!(site.post(&first).await.status, 200);
        // The response brings it into the cache.
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

/// Returns how many events a handler gets, or none if the request is a duplicate.
async fn handled(receiver: &Receiver, request: &SignedRequest) -> usize {
    match admit(receiver, request, never).await.unwrap() {
        Admission::Admitted(admitted) => {
            let events = admitted.delivery().batch().unwrap();
            assert!(events.iter().all(|it| it.claim().is_some()));
            let count = events.len();
            finish(admitted, 200).await.unwrap();
            count
        }
        Admission::Answer(_) => 0,
    }
}

/// The key of an event contains everything that is signed and distinguishes the event, and an
/// unsigned type, unless the scheme's key is the digest of the body alone.
#[tokio::test]
async fn what_the_key_of_an_event_contains() {
    let acme = || Scheme::builder("acme").signature_header("acme-signature");
    let delivery_ids = acme().id_header("acme-id").signed_content("{id}.{body}");
    let delivery_ids = delivery_ids.event_list("/events").build().unwrap();
    let unsigned_types = acme().event_type_header("acme-type").event_list("/events");
    let [unsigned_types, bytes_alone] = [Identity::Digest, Identity::BodyDigest]
        .map(|identity| unsigned_types.clone().identity(identity).build().unwrap());
    let forms = acme().event_list_in_form("events").identity(Identity::BodyDigest);
    let forms = forms.build().unwrap();

    let empty_id =
        |n| signed(scheme::LINE, format!(r#"{{"events":[{{"webhookEventId":"","n":{n}}}]}}"#));
    let with_id = |id| {
        let sender = signer(delivery_ids.clone()).id(id);
        sender.sign(r#"{"events":[{"a":1},{"a":2}]}"#).unwrap()
    };
    let with_type = |scheme: &Scheme, event_type| {
        let sender = signer(scheme.clone()).event_type(event_type);
        sender.sign(r#"{"events":[{"n":1}]}"#).unwrap()
    };
    let form = |body| signed(forms.clone(), body);
    for (case, scheme, requests) in [
        (
            "an empty id is no id",
            &scheme::LINE,
            vec![(empty_id(1), 1), (empty_id(2), 1), (empty_id(1), 0), (empty_id(2), 0)],
        ),
        (
            "the signed id of the delivery, for events without ids",
            &delivery_ids,
            vec![(with_id("m1"), 2), (with_id("m2"), 2), (with_id("m1"), 0), (with_id("m2"), 0)],
        ),
        (
            "an unsigned type",
            &unsigned_types,
            ["a", "b", "a"]
                .map(|it| with_type(&unsigned_types, it))
                .into_iter()
                .zip([1, 1, 0])
                .collect(),
        ),
        (
            "no unsigned type",
            &bytes_alone,
            ["a", "b", "c"]
                .map(|it| with_type(&bytes_alone, it))
                .into_iter()
                .zip([1, 0, 0])
                .collect(),
        ),
        (
            "the bytes of an event in a signed form",
            &forms,
            vec![(form("events=[1,2]"), 2), (form("events=[2,3]"), 1), (form("events=[3,1]"), 0)],
        ),
    ] {
        let receiver = receiver(scheme.clone(), MemoryStore::new());
        for (number, (request, expected)) in (1..).zip(requests) {
            let handled = handled(&receiver, &request).await;
            assert_eq!(handled, expected, "{case}: request {number}");
        }
    }
}

/// Without a signed timestamp, ids are kept for as long as digests. Otherwise a captured request
/// would run again after its record has expired.
#[tokio::test]
async fn ids_are_remembered_for_as_long_as_bytes_where_no_time_is_signed() {
    let clock = HandClock::new();
    let receiver = receiver(scheme::LINE, MemoryStore::new().clock(clock.clone()));
    let request = signed(scheme::LINE, r#"{"events":[{"webhookEventId":"a","type":"message"}]}"#);
    for (later, expected) in [(0, 1), (89, 0), (2, 1)] {
        clock.advance(days(later));
        assert_eq!(handled(&receiver, &request).await, expected, "{later} days later");
    }
}
