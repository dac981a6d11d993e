//! What an event's key is made of: of what is signed, and of all of that which tells it from others.

use webhook_verify::{Idempotency, MemoryStore, Receiver, Scheme, adapter::Admission, scheme};

use crate::common::*;

fn receiver(scheme: Scheme) -> Receiver {
    receiver_with(scheme, Idempotency::new(MemoryStore::new(), "tests"))
}

/// How many events a handler gets; none where the request is a replay.
async fn handled(receiver: &Receiver, request: &webhook_verify::testing::SignedRequest) -> usize {
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

/// An empty id is none: others have it, too.
#[tokio::test]
async fn an_empty_id_is_none() {
    let receiver = receiver(scheme::LINE);
    let one = |n| format!(r#"{{"events":[{{"webhookEventId":"","n":{n}}}]}}"#);
    for (n, expected) in [(1, 1), (2, 1), (1, 0), (2, 0)] {
        let request = signed(scheme::LINE, one(n));
        assert_eq!(handled(&receiver, &request).await, expected, "{n}");
    }
}

/// Where the sender signs an id of the delivery and gives its events none, events of the same bytes in two deliveries are two.
#[tokio::test]
async fn events_without_ids_in_deliveries_with_ids() {
    let scheme = Scheme::builder("acme")
        .signature_header("acme-signature")
        .id_header("acme-id")
        .signed_content("{id}.{body}")
        .event_list("/events")
        .build()
        .unwrap();
    let receiver = receiver(scheme.clone());
    for (id, expected) in [("m1", 2), ("m2", 2), ("m1", 0), ("m2", 0)] {
        let signer = signer(scheme.clone()).id(id);
        let request = signer.sign(r#"{"events":[{"a":1},{"a":2}]}"#).unwrap();
        assert_eq!(handled(&receiver, &request).await, expected, "{id}");
    }
}

/// A type that is not signed makes no other event of one: whoever captured it could have it run again and again.
#[tokio::test]
async fn an_unsigned_type_tells_nothing_apart() {
    let scheme = Scheme::builder("acme")
        .signature_header("acme-signature")
        .event_type_header("acme-type")
        .event_list("/events")
        .build()
        .unwrap();
    let receiver = receiver(scheme.clone());
    for (event_type, expected) in [("a", 1), ("b", 0), ("c", 0)] {
        let signer = signer(scheme.clone()).event_type(event_type);
        let request = signer.sign(r#"{"events":[{"n":1}]}"#).unwrap();
        assert_eq!(handled(&receiver, &request).await, expected);
    }
}

/// A list in a form has claims for each event where the form is signed, by its fields or by its bytes.
#[tokio::test]
async fn a_list_in_a_form() {
    let scheme = Scheme::builder("acme")
        .signature_header("acme-signature")
        .event_list_in_form("events")
        .build()
        .unwrap();
    let receiver = receiver(scheme.clone());
    for (body, expected) in [("events=[1,2]", 2), ("events=[2,3]", 1), ("events=[3,1]", 0)] {
        let request = signed(scheme.clone(), body);
        assert_eq!(handled(&receiver, &request).await, expected, "{body}");
    }
}

/// Without a time that is signed, a captured request would run again once its record is gone.
#[tokio::test]
async fn ids_are_remembered_for_as_long_as_bytes_where_no_time_is_signed() {
    let clock = HandClock::new();
    let store = MemoryStore::new().clock(clock.clone());
    let receiver = receiver_with(scheme::LINE, Idempotency::new(store, "tests"));
    let request = signed(scheme::LINE, r#"{"events":[{"webhookEventId":"a","type":"message"}]}"#);
    assert_eq!(handled(&receiver, &request).await, 1);
    clock.advance(days(89));
    assert_eq!(handled(&receiver, &request).await, 0);
    clock.advance(days(2));
    assert_eq!(handled(&receiver, &request).await, 1);
}
