//! The recorded requests, of each preset and of many senders that are none.

use std::collections::BTreeSet;

use integration_tests::Vector;
use serde_json::Value;
use webhook_verify::{Delivery, Event, Scheme};

use super::{events_of, slices_of, texts};

#[test]
fn every_recorded_body_comes_apart_or_is_refused() {
    let mut seen = BTreeSet::new();
    for vector in Vector::all() {
        if vector.expect != "valid" {
            continue;
        }
        let delivery = vector.verifier().unwrap().verify(vector.head(), vector.body()).unwrap();
        let brings = delivery.scheme().describe().events;
        seen.insert(delivery.scheme().name().to_owned());
        match events_of(&delivery) {
            Ok(events) if brings == "one event" => assert_is_the_delivery(&delivery, &events),
            Ok(events) => {
                slices_of(&delivery, &events);
            }
            Err(error) => assert_ne!(brings, "one event", "{error} {}", vector.name),
        }
    }
    let unseen: Vec<_> = Scheme::preset_names().filter(|name| !seen.contains(*name)).collect();
    assert!(unseen.is_empty(), "{unseen:?}");
}

fn assert_is_the_delivery(delivery: &Delivery, events: &[Event]) {
    let [event] = events else { panic!("{events:?}") };
    assert_eq!(event.raw().as_ptr_range(), delivery.body().as_ptr_range());
    assert_eq!(event.event_type(), delivery.event_type());
    assert_eq!(event.id(), delivery.id());
    let (raw, data) = (event.raw().as_ptr_range(), event.data_bytes());
    assert!(raw.start <= data.as_ptr_range().start && data.as_ptr_range().end <= raw.end);
    let _ = (event.time(), event.claim(), delivery.is_test());
}

/// The recorded requests of batches, with their expected events.
#[test]
fn recorded_batches_have_their_events() {
    let recorded: Vec<Value> =
        serde_json::from_str(include_str!("../../vectors/seed-systems.json")).unwrap();
    let mut batches = 0;
    for (row, vector) in recorded.iter().zip(Vector::of_the_four_systems()) {
        let Some(types) = row["events"].as_array().filter(|_| vector.expect == "valid") else {
            continue;
        };
        let delivery = vector.verifier().unwrap().verify(vector.head(), vector.body()).unwrap();
        let events = events_of(&delivery).unwrap();
        let got: Vec<_> =
            events.iter().map(|event| Value::from(event.event_type().unwrap())).collect();
        assert_eq!(got, *types, "{}", vector.name);
        let whole: Value = serde_json::from_slice(&vector.body()).unwrap();
        for event in &events {
            let of_type = &whole[&*event.event_type().unwrap()];
            let value: Value = serde_json::from_slice(event.raw()).unwrap();
            assert!(
                *of_type == value || of_type.as_array().unwrap().contains(&value),
                "{}",
                vector.name
            );
            let time = value["timestamp"].as_str();
            assert_eq!(event.time().is_some(), time.is_some(), "{} {time:?}", vector.name);
        }
        assert_eq!(delivery.is_test(), vector.name.starts_with("test_button"), "{}", vector.name);
        batches += 1;
    }
    assert_eq!(batches, 8);

    let vectors = Vector::of_senders();
    let sendgrid = vectors
        .iter()
        .find(|vector| vector.scheme == "sendgrid" && vector.expect == "valid")
        .unwrap();
    let delivery = sendgrid.verifier().unwrap().verify(sendgrid.head(), sendgrid.body()).unwrap();
    let events = events_of(&delivery).unwrap();
    slices_of(&delivery, &events);
    assert_eq!(texts(&events), [r#"{"event":"delivered","sg_event_id":"e1"}"#]);
    assert_eq!(events[0].event_type().as_deref(), Some("delivered"));
    assert_eq!(events[0].id().as_deref(), Some("e1"));
    assert_eq!(events[0].time(), None);
}
