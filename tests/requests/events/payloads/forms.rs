//! The forms that PHP writes values in, and what is none of them.

use serde_json::{Value, json};
use webhook_verify::{
    ExtractError,
    payloads::{Id, List, fluentcrm, host_uk, mautic},
    scheme,
};

use super::{Payload, assert_came_back, event, only};

/// The payload of a contact that was updated.
fn contact(contact: &Value) -> mautic::Contact {
    let data = json!({ "contact": contact });
    let payload =
        event::<mautic::Payload>("mautic.lead_post_save_update", &data.to_string()).data();
    let mautic::Payload::LeadUpdated(lead) = payload.unwrap() else { panic!("another event") };
    assert_came_back(&data, &lead);
    lead.contact.unwrap()
}

#[test]
fn ids_and_numbers_are_numbers_or_text() {
    for value in [json!(12), json!("12"), json!(12.0)] {
        let contact = contact(&json!({"id": value, "points": value}));
        assert_eq!(contact.id, Some(Id::from(12_u64)), "{value}");
        assert_eq!(contact.points, Some(12), "{value}");
        assert!(contact.more.is_empty());
    }
}

#[test]
fn booleans_are_numbers_or_text() {
    for (value, expected) in [
        (json!(true), true),
        (json!(1), true),
        (json!("1"), true),
        (json!(false), false),
        (json!(0), false),
        (json!("0"), false),
    ] {
        let contact = contact(&json!({"isPublished": value}));
        assert_eq!(contact.is_published, Some(expected), "{value}");
    }
}

/// Nothing fails, and what is no number is not taken for one.
#[test]
fn what_does_not_fit_a_field_is_kept() {
    for value in [json!(null), json!(""), json!({"a": 1}), json!([1]), json!(1e300), json!(0.5)] {
        let sent = json!({"id": value, "points": value, "isPublished": value, "dateAdded": 1, "owner": "nobody", "tags": [1]});
        let contact = contact(&sent);
        assert_eq!(
            (contact.id, contact.points, contact.is_published),
            (None, None, None),
            "{value}"
        );
        assert_eq!((contact.date_added, contact.owner, contact.tags), (None, None, None));
        assert_eq!(Value::from(contact.more), sent);
    }
}

#[test]
fn empty_objects_are_empty_lists() {
    for empty in [json!([]), json!({})] {
        let contact = contact(
            &json!({"fields": empty, "owner": empty, "ipAddresses": empty, "tags": [empty]}),
        );
        assert_eq!(contact.email(), None);
        assert_eq!(contact.fields, Some(serde_json::Map::new()));
        assert_eq!(contact.owner, Some(mautic::User::default()));
        assert!(contact.ip_addresses.unwrap().is_empty());
        assert_eq!(contact.tags, Some(List::new(vec![mautic::Tag::default()])));
    }
    // A list that is not empty is no object.
    let contact = contact(&json!({"fields": [1]}));
    assert_eq!((contact.fields, &contact.more["fields"]), (None, &json!([1])));
}

#[test]
fn lists_with_other_keys_are_lists() {
    let contact = contact(
        &json!({"ipAddresses": {"::1": {"id": 1}, "127.0.0.1": {"id": "2"}}, "tags": {"1": {"tag": "b"}}}),
    );
    let addresses = contact.ip_addresses.unwrap();
    assert_eq!(addresses.len(), 2);
    assert!(addresses.keys().unwrap().contains(&"::1".to_owned()));
    let tags: Vec<_> = contact.tags.iter().flatten().map(|tag| tag.tag.as_deref()).collect();
    assert_eq!(tags, [Some("b")]);
}

#[test]
fn fields_are_found_in_any_group() {
    let contact = contact(&json!({"fields": {
        "all": {"email": "all@example.test", "plain": "text", "none": null},
        "core": {"email": {"value": "core@example.test"}, "firstname": {"value": ""}, "broken": {}},
        "social": {"skype": {"value": "zoe"}, "count": {"value": 3}},
        "personal": [],
        "odd": "text",
    }}));
    assert_eq!(contact.email(), Some("core@example.test"));
    assert_eq!(contact.first_name(), None);
    assert_eq!(contact.field("skype").unwrap(), "zoe");
    assert_eq!(contact.field("count").unwrap(), 3);
    assert_eq!(contact.field("plain").unwrap(), "text");
    assert_eq!(contact.field("none"), Some(&Value::Null));
    for absent in ["broken", "nothing", "value", "core"] {
        assert_eq!(contact.field(absent), None, "{absent}");
    }
}

/// Integers are exact up to 64 bits; beyond, they are what `serde_json` makes of them, and what was
/// sent is in the event.
#[test]
fn big_numbers_are_not_mistaken() {
    let max = u64::MAX;
    let big = contact(&json!({"id": max, "points": max, "stage": max}));
    assert_eq!(big.id.as_ref().and_then(Id::as_u64), Some(max));
    assert_eq!((big.points, &big.more["points"]), (None, &json!(max)));
    assert_eq!(big.stage, Some(json!(max)));

    let sent = r#"{"contact":{"id":18446744073709551616,"points":-9223372036854775809}}"#;
    let event = event::<mautic::Payload>("mautic.lead_post_save_update", sent);
    let lead: mautic::LeadSaved = event.data().unwrap();
    let contact = lead.contact.unwrap();
    assert_eq!((contact.id, contact.points), (None, None));
    assert_eq!(contact.more["id"], json!(18_446_744_073_709_551_616.0));
    assert_eq!(event.raw(), sent);

    for odd in ["1e400", "-1e400"] {
        let event = super::event::<mautic::Payload>("mautic.lead_post_save_update", odd);
        let error = event.data::<mautic::Payload>().unwrap_err();
        assert!(matches!(error, ExtractError::JsonSyntax { .. }));
    }
}

#[test]
fn other_events_are_whole() {
    fn is_whole<P: Payload>() {
        let known = P::EVENT_TYPES[0];
        for (event_type, data) in [
            ("plugin.made", r#"{"a":[1,"2",null]}"#),
            ("plugin.made", r#"{"plugin.made":[{"a":1}]}"#),
            ("plugin.made", r#""text""#),
            ("plugin.made", "[]"),
            ("plugin.made", "null"),
            (known, r#""text""#),
            (known, "[1]"),
            (known, "0"),
            (known, "false"),
        ] {
            let payload: P = event::<P>(event_type, data).data().unwrap();
            assert!(payload.is_other(), "{payload:?}");
            assert_eq!(payload.event_type(), Some(event_type));
            assert_eq!(serde_json::to_string(&payload).unwrap(), data);
        }
    }
    is_whole::<mautic::Payload>();
    is_whole::<host_uk::Payload>();
    is_whole::<fluentcrm::Payload>();
}

/// In an envelope without data, the envelope's own members are not those of the data.
#[test]
fn an_envelope_is_not_data() {
    let known = super::super::delivery(
        &scheme::HOST_UK_CORE_API,
        r#"{"id":"evt_1","type":"link.clicked"}"#,
    );
    let payload: host_uk::Payload = only(&known).data().unwrap();
    assert_eq!(payload, host_uk::Payload::LinkClicked(Box::default()));
    assert_eq!(host_uk::Envelope::from_body(known.json().unwrap()).data, payload);

    let body = json!({"id": "evt_1", "type": "new", "name": "a"});
    let other = super::super::delivery(&scheme::HOST_UK_CORE_API, body.to_string());
    let payload: host_uk::Payload = only(&other).data().unwrap();
    let event_type = Some("new".to_owned());
    assert_eq!(payload, host_uk::Payload::Other { event_type, data: body });
}

/// An event type that is not text is none, and comes back.
#[test]
fn envelopes_with_odd_members_come_back() {
    for body in [
        json!({"id": 1, "type": 2, "created_at": null, "workspace_id": "ws", "data": {"a": 1}, "x": []}),
        json!({"type": "bio.created", "data": "text"}),
        json!({"data": null}),
    ] {
        let delivery = super::super::delivery(&scheme::HOST_UK_CORE_API, body.to_string());
        assert_came_back(&body, &host_uk::Envelope::from_body(delivery.json().unwrap()));
    }
    let body =
        json!({"event": ["contact.created"], "webhook_id": null, "timestamp": 1, "data": [1]});
    let delivery = super::super::delivery(&scheme::FLUENTCRM_DOCUMENTED, body.to_string());
    assert_came_back(&body, &fluentcrm::Envelope::from_body(delivery.json().unwrap()));
}

#[test]
fn a_body_that_is_no_object_is_data() {
    for body in ["[1]", "7", "null"] {
        let delivery = super::super::delivery(&scheme::HOST_UK_DOCUMENTED, body);
        let envelope: host_uk::Envelope = only(&delivery).data().unwrap();
        let whole = host_uk::Payload::Other { event_type: None, data: delivery.json().unwrap() };
        assert_eq!(envelope.data, whole);
        assert_eq!((envelope.id, envelope.more.len()), (None, 0));
    }
}

#[test]
fn what_is_not_an_object_is_an_error_where_one_is_asked_for() {
    let event = event::<mautic::Payload>("mautic.lead_post_delete", "7");
    let error = event.data::<mautic::LeadDeleted>().unwrap_err();
    assert!(matches!(error, ExtractError::JsonData { .. }), "{error:?}");
    let delivery = super::super::delivery(&scheme::HOST_UK_DOCUMENTED, "not JSON");
    let error = only(&delivery).data::<host_uk::Payload>().unwrap_err();
    assert_eq!(error.status(), 400);
}

#[test]
fn a_field_that_is_set_stands_for_what_could_not_be_read() {
    let mut contact = contact(&json!({"id": null, "color": null}));
    contact.id = Some(Id::from(7_u64));
    assert_eq!(serde_json::to_value(&contact).unwrap(), json!({"id": 7, "color": null}));
    assert_eq!(serde_json::to_string(&contact).unwrap().matches("id").count(), 1);
}
