//! The examples of the vendors' documents.

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use webhook_verify::payloads::{fluentcrm, host_uk, mautic};

use super::{Payload, assert_came_back, event, only};

pub(super) const MAUTIC: &str = include_str!("../../../vectors/documents/mautic.json");
const HOST_UK: &str = include_str!("../../../vectors/documents/host_uk.json");
const FLUENTCRM: &str = include_str!("../../../vectors/documents/fluentcrm.json");

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    events: Vec<Example<'a>>,
    #[serde(default)]
    types: Vec<&'a str>,
    #[serde(default)]
    objects: Map<String, Value>,
}

#[derive(Deserialize)]
struct Example<'a> {
    source: &'a str,
    r#type: &'a str,
    #[serde(borrow, alias = "body")]
    data: &'a RawValue,
}

fn document(text: &str) -> Document<'_> {
    serde_json::from_str(text).unwrap()
}

#[test]
fn mautics_examples_come_back() {
    let document = document(MAUTIC);
    let mut types: Vec<_> = document.events.iter().map(|example| example.r#type).collect();
    types.dedup();
    assert_eq!(types, mautic::Payload::EVENT_TYPES);
    assert_eq!(types.len(), 14);

    for Example { source, r#type, data } in document.events {
        let event = event::<mautic::Payload>(r#type, data.get());
        let payload: mautic::Payload = event.data().unwrap();
        assert!(!payload.is_other(), "{source}");
        let is_of_company = r#type.contains(".company_");
        let contact = payload.contact();
        assert_eq!(contact.is_none(), is_of_company, "{source}");
        let email = contact.and_then(mautic::Contact::email);
        assert_eq!(email, (!is_of_company).then_some("john@doe.name"), "{source}");

        let mut sent: Value = event.data().unwrap();
        if source.ends_with("/lead_post_delete.json") {
            sent = sent[r#type][0].take();
        }
        assert_came_back(&sent, &payload);
    }
}

#[test]
fn what_mautics_examples_say_is_read() {
    for Example { source, r#type, data } in document(MAUTIC).events {
        match event::<mautic::Payload>(r#type, data.get()).data().unwrap() {
            mautic::Payload::LeadIdentified(lead) => {
                let contact = lead.contact.unwrap();
                let owner = contact.owner.unwrap();
                assert_eq!((owner.first_name(), owner.last_name()), (Some("John"), Some("Doe")));
                assert_eq!(contact.ip_addresses.unwrap()[0].address(), Some("127.0.0.1"));
                assert_eq!(contact.tags.unwrap()[0], mautic::Tag::default());
            }
            mautic::Payload::LeadDeleted(lead) => assert_eq!(lead.id.unwrap(), 52, "{source}"),
            mautic::Payload::LeadCompanyChanged(change) => {
                assert_eq!(change.added, Some(true));
                assert_eq!(change.company.unwrap().score, Some(3));
            }
            mautic::Payload::EmailOpened(opened) => {
                assert_eq!(opened.email().unwrap().subject.as_deref().map(str::len), Some(5));
            }
            mautic::Payload::PageHit(page) => {
                let hit = page.hit.unwrap();
                assert_eq!(hit.browser_languages.unwrap().len(), 2);
                assert_eq!(hit.date_left, None);
            }
            _ => {}
        }
    }
}

/// Every object that Mautic documents, with all its properties, by the name of its type.
pub(super) fn objects() -> Map<String, Value> {
    document(MAUTIC).objects
}

/// Reads an object as the type of this name, and writes it. The second is what has no field.
pub(super) fn rewritten(name: &str, object: &Value) -> (Value, Map<String, Value>) {
    macro_rules! read {
        ($($type:ident)*) => {
            match name {
                $(stringify!($type) => {
                    let read: mautic::$type = serde_json::from_value(object.clone()).unwrap();
                    (serde_json::to_value(&read).unwrap(), read.more)
                })*
                name => panic!("{name}"),
            }
        };
    }
    read! {
        Category ChannelSubscriptionChanged Company CompanyDeleted CompanySaved Contact DoNotContact Email EmailSent Form
        FormSubmitted Hit IpAddress LeadCompanyChanged LeadDeleted LeadSaved LeadSegmentChanged Page PageHit Points
        PointsChanged Segment Submission Tag TextSent User
    }
}

#[test]
fn every_property_that_mautic_documents_has_a_field() {
    assert_eq!(objects().len(), 26);
    for (name, object) in objects() {
        let (written, unread) = rewritten(&name, &object);
        assert!(unread.is_empty(), "{name}: {unread:?}");
        assert_eq!(written, object);
    }
}

#[test]
fn host_uks_examples_come_back() {
    let document = document(HOST_UK);
    let mut types = host_uk::Payload::EVENT_TYPES.to_vec();
    let mut documented = document.types;
    types.sort_unstable();
    documented.sort_unstable();
    assert_eq!(types, documented);

    for Example { source, r#type, data } in document.events {
        let delivery = super::super::delivery(&host_uk::Payload::SCHEME, data.get());
        let envelope = host_uk::Envelope::from_body(delivery.json().unwrap());
        assert_eq!(envelope.data.event_type(), Some(r#type), "{source}");
        assert!(envelope.more.is_empty());
        assert_came_back(&delivery.json().unwrap(), &envelope);

        let payload: host_uk::Payload = only(&delivery).data().unwrap();
        match payload {
            host_uk::Payload::PostCreated(post)
            | host_uk::Payload::PostUpdated(post)
            | host_uk::Payload::PostPublished(post) => {
                assert_eq!(post.id().unwrap(), &123, "{source}");
                let post = post.unwrapped();
                assert!(post.title.as_deref().unwrap().ends_with("Blog Post"));
                assert!(post.more.is_empty(), "{post:?}");
                let words = post.metadata.as_ref().map(|metadata| metadata.word_count.unwrap());
                assert_eq!(words, post.author.is_some().then_some(250));
            }
            host_uk::Payload::ToolExecuted(run) => {
                assert!(run.more.values().all(Value::is_null), "{run:?}");
                assert_ne!(run.tool, run.tool_name);
                assert_eq!(run.success.is_some(), run.arguments.is_some());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn fluentcrms_examples_come_back() {
    let document = document(FLUENTCRM);
    assert_eq!(document.types, fluentcrm::Payload::EVENT_TYPES);
    assert_eq!(document.types.len(), 26);

    for Example { source, r#type, data } in document.events {
        let delivery = super::super::delivery(&fluentcrm::Payload::SCHEME, data.get());
        let envelope = fluentcrm::Envelope::from_body(delivery.json().unwrap());
        assert_eq!(envelope.webhook_id.as_ref().unwrap(), &1, "{source}");
        assert_eq!(envelope.data.event_type(), Some(r#type));
        assert_came_back(&delivery.json().unwrap(), &envelope);
        let payload: fluentcrm::Payload = only(&delivery).data().unwrap();
        match payload {
            fluentcrm::Payload::ContactCreated(created) => {
                let contact = created.contact.unwrap_or_default();
                assert!(contact.more.is_empty() && created.more.is_empty());
                assert_eq!(contact.id.is_none(), !envelope.more.is_empty());
            }
            fluentcrm::Payload::EmailOpened(opened) => {
                let email = opened.email.unwrap();
                assert_eq!(email.id.as_ref().unwrap(), &456);
                assert!(email.more.is_empty());
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A type that has a variant is never another's, and its data is read if it is an object.
#[test]
fn every_type_has_its_variant() {
    fn has<P: Payload>() {
        for event_type in P::EVENT_TYPES {
            for data in [r#"{"unheard":"of"}"#, "{}", "[]", "null"] {
                let payload: P = event::<P>(event_type, data).data().unwrap();
                assert!(!payload.is_other());
                assert_eq!(payload.event_type(), Some(*event_type));
                let sent: Value = serde_json::from_str(data).unwrap();
                let sent = if sent.is_null() { Value::Array(Vec::new()) } else { sent };
                assert_came_back(&sent, &payload);
            }
        }
    }
    has::<mautic::Payload>();
    has::<host_uk::Payload>();
    has::<fluentcrm::Payload>();
}
