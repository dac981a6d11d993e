//! The recorded requests.

use integration_tests::Vector;
use serde_json::{Value, json};
use webhook_verify::{
    Delivery, ExtractError,
    payloads::{
        fluentcrm, host_uk,
        mautic::{self, Payload},
    },
};

use super::{Payload as _, assert_came_back, only};

/// The verified deliveries of a system, by the names of their rows.
fn deliveries(is_wanted: impl Fn(&str) -> bool) -> Vec<(String, Delivery)> {
    let rows = Vector::of_the_four_systems().into_iter();
    let rows = rows.filter(|row| row.expect == "valid" && is_wanted(&row.scheme));
    rows.map(|row| {
        let delivery = row.verifier().unwrap().verify(row.head(), row.body());
        (row.name.clone(), delivery.unwrap())
    })
    .collect()
}

fn delivery(scheme: &str, name: &str) -> Delivery {
    let mut deliveries = deliveries(|of| of == scheme).into_iter();
    deliveries.find(|(of, _)| of == name).unwrap().1
}

/// The payloads of all events of a Mautic row.
fn mautic(name: &str) -> Vec<Payload> {
    let events = delivery("mautic", name).events().unwrap();
    events.iter().map(|event| event.data().unwrap()).collect()
}

#[test]
fn all_of_mautics_come_back() {
    let mut events = 0;
    for (name, delivery) in deliveries(|scheme| scheme == "mautic") {
        for event in &delivery.events().unwrap() {
            let payload: Payload = event.data().unwrap();
            assert!(!payload.is_other(), "{name}: {payload:?}");
            assert_eq!(payload.event_type(), event.event_type().as_deref());
            assert_came_back(&event.data::<Value>().unwrap(), &payload);
            events += 1;
        }
    }
    assert_eq!(events, 14);
}

#[test]
fn all_of_host_uks_and_fluentcrms_come_back() {
    let mut known = 0;
    for (name, delivery) in deliveries(|scheme| scheme.starts_with("host-uk")) {
        let body: Value = delivery.json().unwrap();
        let envelope = host_uk::Envelope::from_body(delivery.json().unwrap());
        assert_came_back(&body, &envelope);
        let event = only(&delivery);
        assert_eq!(envelope, event.data().unwrap());
        let payload: host_uk::Payload = event.data().unwrap();
        assert_eq!(payload, envelope.data, "{name}");
        assert_eq!(envelope.id.as_deref(), event.id().as_deref());
        assert_came_back(&body["data"], &payload);
        known += usize::from(!payload.is_other());
    }
    assert_eq!(known, 11);
    for (name, delivery) in deliveries(|scheme| scheme == "fluentcrm-documented") {
        let body: Value = delivery.json().unwrap();
        let envelope = fluentcrm::Envelope::from_body(delivery.json().unwrap());
        assert_came_back(&body, &envelope);
        let event = only(&delivery);
        assert_eq!(envelope, event.data().unwrap());
        let payload: fluentcrm::Payload = event.data().unwrap();
        assert_eq!(payload, envelope.data, "{name}");
        assert_came_back(&body["data"], &payload);
        known += usize::from(!payload.is_other());
    }
    assert_eq!(known, 14);
}

#[test]
fn a_contact_is_read() {
    let payloads = mautic("immediate_contact_updated");
    let [Payload::LeadUpdated(lead)] = payloads.as_slice() else { panic!("{payloads:?}") };
    assert_eq!(lead.timestamp.as_deref(), Some("2026-11-22T00:00:00+00:00"));
    let contact = lead.contact.as_ref().unwrap();
    assert_eq!(contact.id.as_ref().unwrap(), &52);
    assert_eq!(contact.is_published, Some(true));
    assert_eq!(contact.created_by_user.as_deref(), Some("Anna Müller"));
    assert_eq!(contact.points, Some(0));
    assert_eq!(contact.email(), Some("zoe@example.test"));
    assert_eq!(contact.first_name(), Some("Zoë"));
    assert_eq!(contact.last_name(), Some("O'Connor 🐎"));
    assert_eq!(contact.field("website").unwrap(), "https://example.test/a/b?q=1&r=<x>");
    assert_eq!(contact.field("social"), None);
    assert_eq!(contact.tags.as_ref().unwrap()[0].tag.as_deref(), Some("müsli/bar"));
    assert!(contact.ip_addresses.as_ref().unwrap().is_empty());
    // Fields without a value are kept.
    assert_eq!(contact.owner, None);
    let nulls: Vec<_> = contact.more.iter().collect();
    let null = Value::Null;
    let expected = ["color", "lastActive", "owner", "stage"].map(String::from);
    assert_eq!(nulls, expected.iter().map(|key| (key, &null)).collect::<Vec<_>>());
}

#[test]
fn a_deleted_contact_has_its_id_outside() {
    let payloads = mautic("immediate_contact_deleted_inner_id_null");
    let [Payload::LeadDeleted(lead)] = payloads.as_slice() else { panic!("{payloads:?}") };
    assert_eq!(lead.id.as_ref().unwrap().as_u64(), Some(52));
    let contact = lead.contact().unwrap();
    assert_eq!(contact.id, None);
    assert_eq!(contact.more["id"], Value::Null);
    assert_eq!(contact.email(), Some("zoe@example.test"));
}

#[test]
fn points_and_forms_are_read() {
    let payloads = mautic("queued_batch_two_types_newest_first");
    let points = payloads.iter().filter_map(|payload| match payload {
        Payload::PointsChanged(change) => change.points.as_ref()?.new_points,
        _ => None,
    });
    assert_eq!(points.collect::<Vec<_>>(), [10, 5]);
    let emails = payloads.iter().filter_map(Payload::contact).filter_map(mautic::Contact::email);
    assert_eq!(emails.count(), 5);

    for (name, timestamp) in [
        ("immediate_form_submit_empty_object_became_array", true),
        ("test_button_mixed_object_and_list_plus_timestamp", false),
    ] {
        let mut payloads = mautic(name);
        let Some(Payload::FormSubmitted(form)) = payloads.pop() else { panic!("{payloads:?}") };
        assert_eq!(form.timestamp.is_some(), timestamp);
        let submission = form.submission.unwrap();
        assert_eq!(submission.ip_address, Some(mautic::IpAddress::default()));
        assert_eq!(submission.form.unwrap().name.as_deref(), Some("Café / Öffnung"));
        let results = submission.results.unwrap();
        assert_eq!(
            Value::from(results),
            json!({"email": "zoe@example.test", "amount": 10, "ratio": 0.1})
        );
    }
}

#[test]
fn a_page_of_links_and_an_empty_click_are_read() {
    let created = delivery("host-uk-core-api", "bio_created");
    let envelope = host_uk::Envelope::from_body(created.json().unwrap());
    assert_eq!(envelope.workspace_id.as_ref().unwrap(), &456);
    assert_eq!(envelope.created_at.as_deref(), Some("2026-11-22T00:00:00+00:00"));
    let host_uk::Payload::BioCreated(bio) = envelope.data else { panic!("{envelope:?}") };
    assert_eq!(bio.id().unwrap(), &123);
    assert_eq!(bio.name.as_deref(), Some("Žofie’s / page"));

    let clicked = delivery("host-uk-core-api", "link_clicked_empty_data_is_a_list");
    let envelope = host_uk::Envelope::from_body(clicked.json().unwrap());
    assert_eq!(envelope.workspace_id, None);
    assert_eq!(envelope.more, json!({"workspace_id": null}).as_object().unwrap().clone());
    let host_uk::Payload::LinkClicked(link) = envelope.data else { panic!("{envelope:?}") };
    assert_eq!(*link, host_uk::Resource::default());
}

#[test]
fn a_documented_email_is_read() {
    let event = only(&delivery("fluentcrm-documented", "documented_email_opened"));
    let fluentcrm::Payload::EmailOpened(opened) = event.data().unwrap() else {
        panic!("another event")
    };
    let email = opened.email.unwrap();
    assert_eq!(email.subject.as_deref(), Some("Willkommen – für dich"));
    assert_eq!(email.contact_id.unwrap(), 123);
    assert!(email.more.is_empty());

    let signed_inside =
        delivery("fluentcrm-documented", "documented_signature_member_in_body_is_ignored");
    let envelope = fluentcrm::Envelope::from_body(signed_inside.json().unwrap());
    assert!(envelope.more["signature"].is_string());
}

/// FluentCRM's real sender has the contact, and says nothing of what happened to it.
#[test]
fn a_contact_of_the_real_sender_is_read() {
    let event = only(&delivery("shared-header", "real_post_json_full_contact"));
    let contact: fluentcrm::Contact = event.data().unwrap();
    assert_eq!(contact.id.as_ref().unwrap(), &123);
    assert_eq!(contact.address_line_1.as_deref(), Some("Straße 1/2"));
    assert_eq!(contact.custom_field, Some(serde_json::Map::new()));
    assert!(contact.more.values().all(Value::is_null), "{:?}", contact.more);
    let sent: Value = event.data().unwrap();
    assert_came_back(&sent, &contact);

    let payload: fluentcrm::Payload = event.data().unwrap();
    let whole = fluentcrm::Payload::Other { event_type: None, data: sent };
    assert_eq!(payload, whole);

    let form = only(&delivery("shared-header", "real_post_form_custom_fields"));
    let error = form.data::<fluentcrm::Payload>().unwrap_err();
    assert!(matches!(error, ExtractError::JsonSyntax { .. }), "{error:?}");
}
