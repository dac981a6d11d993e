//! Any JSON at any field.

use std::collections::BTreeSet;

use integration_tests::size;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use webhook_verify::payloads::{fluentcrm, host_uk, mautic};

use super::{Payload, came_back, documents, event};

/// Every name in the documents, and those of envelopes and of the other systems.
fn names() -> Vec<String> {
    fn gather(value: &Value, names: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    names.insert(name.clone());
                    gather(value, names);
                }
            }
            Value::Array(elements) => elements.iter().for_each(|value| gather(value, names)),
            _ => {}
        }
    }
    let mut names: BTreeSet<_> =
        ["object", "post", "bio_id", "data", "type", "event", "custom_field", "0", "", "more", "é"]
            .map(String::from)
            .into();
    let document: Value = serde_json::from_str(documents::MAUTIC).unwrap();
    gather(&document["objects"], &mut names);
    gather(&document["events"], &mut names);
    // An event type as a name is what a test payload has.
    names.retain(|name: &String| !name.contains('.'));
    names.into_iter().collect()
}

fn any_json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-3_i32..3).prop_map(|number| Value::from(f64::from(number))),
        prop::sample::select(vec![
            "", "0", "1", "12", "-7", "012", "12.0", "1e3", "[]", "null", "a"
        ])
        .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let names = prop::sample::select(names());
    scalar.prop_recursive(5, 60, 6, move |inner| {
        let members = prop::collection::vec((names.clone(), inner.clone()), 0..6);
        prop_oneof![
            1 => prop::collection::vec(inner, 0..4).prop_map(Value::from),
            4 => members.prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// The forms that values come in, and some that look like them.
fn forms() -> Vec<Value> {
    let texts = [
        "",
        "0",
        "1",
        "12",
        "-7",
        "012",
        "-0",
        "+1",
        " 1",
        "12.0",
        "1e3",
        "true",
        "[]",
        "9223372036854775808",
    ];
    let mut forms = texts.map(Value::from).to_vec();
    forms.extend([
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(2),
        json!(-1),
        json!(u64::MAX),
        json!(i64::MIN),
    ]);
    forms.extend([json!(0.0), json!(-0.0), json!(1.0), json!(12.5), json!(1e19), json!(-1e300)]);
    forms.extend([
        json!([]),
        json!({}),
        json!([[]]),
        json!([null]),
        json!({"2": {"id": "1"}}),
        json!({"id": null}),
    ]);
    forms
}

fn assert_rewritten(name: &str, object: &Value) {
    let (back, _) = documents::rewritten(name, object);
    assert!(came_back(object, &back), "{name}: sent {object} back {back}");
    assert_eq!(documents::rewritten(name, &back).0, back);
}

#[test]
fn every_form_at_every_property_comes_back() {
    for (name, object) in documents::objects() {
        for property in object.as_object().unwrap().keys() {
            for form in forms() {
                let mut object = object.clone();
                object[property] = form;
                assert_rewritten(&name, &object);
            }
        }
    }
}

/// As any handler gets it: signed, verified, taken apart, read.
fn holds<P: Payload>(event_type: &str, data: &Value) {
    let event = event::<P>(event_type, &data.to_string());
    // Reading floats may lose their last digit, which is not for payloads to mend.
    let sent: Value = serde_json::from_str(&data.to_string()).unwrap();
    let payload: P = event.data().unwrap();
    assert_eq!(payload.event_type(), Some(event_type));
    let back = serde_json::to_value(&payload).unwrap();
    let is_known = P::EVENT_TYPES.contains(&event_type);
    let is_read = sent.is_object() || sent.is_null() || sent == json!([]);
    assert_eq!(payload.is_other(), !(is_known && is_read));
    match payload.is_other() {
        true => assert_eq!(&back, &sent),
        false if sent.is_null() => assert_eq!(&back, &json!({})),
        false => assert!(came_back(&sent, &back), "sent {sent} back {back}"),
    }
    // The serialized payload parses to the same payload.
    let again = P::from_parts(Some(event_type), back.clone());
    assert_eq!(serde_json::to_value(&again).unwrap(), back);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(size(300, 1500)))]

    #[test]
    fn nothing_of_known_events_is_lost(
        data in any_json(),
        mautic in prop::sample::select(mautic::Payload::EVENT_TYPES),
        host_uk in prop::sample::select(host_uk::Payload::EVENT_TYPES),
        fluentcrm in prop::sample::select(fluentcrm::Payload::EVENT_TYPES),
    ) {
        holds::<mautic::Payload>(mautic, &data);
        holds::<host_uk::Payload>(host_uk, &data);
        holds::<fluentcrm::Payload>(fluentcrm, &data);
    }

    #[test]
    fn any_values_of_properties_come_back(
        (name, mut object) in prop::sample::select(documents::objects().into_iter().collect::<Vec<_>>()),
        values in prop::collection::vec(any_json(), 1..8),
        start in any::<prop::sample::Index>(),
    ) {
        let members = object.as_object_mut().unwrap();
        let first = start.index(members.len());
        let members = members.values_mut().skip(first);
        members.zip(values).for_each(|(member, value)| *member = value);
        assert_rewritten(&name, &object);
    }

    #[test]
    fn nothing_of_other_events_is_lost(data in any_json(), event_type in "[a-z]{1,8}\\.\\PC{0,8}") {
        holds::<mautic::Payload>(&event_type, &data);
        holds::<host_uk::Payload>(&event_type, &data);
        holds::<fluentcrm::Payload>(&event_type, &data);
    }
}
