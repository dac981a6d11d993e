use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use super::{Call, Ids, Message, OlderMessage, PayloadType, random_uuid};
use crate::{delivery::Delivery, scheme, verify::Verifier};

const TOKEN: &str = "ba4825b6-6718-42f3-a400-ce08a16936bd";
const FORM: Option<&[u8]> = Some(b"application/x-www-form-urlencoded; charset=utf-8");

fn delivery(body: impl Into<Vec<u8>>) -> Delivery {
    let verifier = Verifier::new(scheme::PIPEFORCE_TOKEN, TOKEN).unwrap();
    verifier.verify(&[("token", TOKEN)], body.into()).unwrap()
}

fn call(delivery: &Delivery) -> Call<'_> {
    let ids = Ids::new("6936bd:efg35ee", "254d7d80-4530-431a-a0cc-c606e8faa406");
    Call::new(delivery, "webhook.lead.created", ids)
}

/// Returns the message in both forms, as JSON.
fn messages(call: &Call<'_>) -> (Value, Value) {
    let newer = serde_json::to_string(&call.message().unwrap()).unwrap();
    let older = serde_json::to_string(&call.older_message().unwrap()).unwrap();
    let read: Message = serde_json::from_str(&newer).unwrap();
    assert_eq!(read, call.message().unwrap());
    let read: OlderMessage = serde_json::from_str(&older).unwrap();
    assert_eq!(read, call.older_message().unwrap());
    (serde_json::from_str(&newer).unwrap(), serde_json::from_str(&older).unwrap())
}

#[test]
fn both_forms_of_each_payload_type() {
    let delivery = delivery("{\"a\":\"ä\"}\n");
    let call = call(&delivery);
    for (payload_type, payload, origin) in [
        (
            PayloadType::Base64,
            Some(json!({ "origin": "eyJhIjoiw6QifQo=" })),
            Some("eyJhIjoiw6QifQo="),
        ),
        (PayloadType::Raw, Some(json!("{\"a\":\"ä\"}\n")), Some("{\"a\":\"ä\"}\n")),
        (PayloadType::Ignore, None, None),
    ] {
        let (newer, older) = messages(&call.clone().payload_type(payload_type));
        let mut expected = json!({
            "eventKey": "webhook.lead.created",
            "traceId": "6936bd:efg35ee",
            "correlationId": "254d7d80-4530-431a-a0cc-c606e8faa406",
        });
        if let Some(payload) = payload {
            expected["payload"] = payload;
        }
        assert_eq!(newer, expected);
        let mut expected = json!({
            "eventKey": "webhook.lead.created",
            "traceId": "6936bd:efg35ee",
        });
        if let Some(origin) = origin {
            expected["origin"] = origin.into();
        }
        assert_eq!(older, expected);
    }
}

#[test]
fn payload_types_have_the_documents_names() {
    for name in ["base64", "raw", "ignore"] {
        let payload_type = PayloadType::named(name).unwrap();
        assert_eq!(payload_type.name(), name);
        assert_eq!(serde_json::to_value(payload_type).unwrap(), name);
    }
    assert_eq!(PayloadType::named("outbound"), None);
    assert_eq!(PayloadType::default(), PayloadType::Base64);
}

#[test]
fn any_bytes_go_into_base64_and_only_text_goes_raw() {
    let delivery = delivery(b"\0\xff".to_vec());
    let call = call(&delivery);
    assert_eq!(messages(&call).1["origin"], "AP8=");
    let raw = call.payload_type(PayloadType::Raw);
    assert_eq!(raw.message().unwrap_err().to_string(), "payload is not text");
    assert!(raw.older_message().is_err());
    assert!(raw.payload_type(PayloadType::Ignore).message().is_ok());
}

#[test]
fn an_empty_body_is_an_empty_payload() {
    let delivery = delivery("");
    let call = call(&delivery);
    assert_eq!(messages(&call).0["payload"]["origin"], "");
    let (newer, older) = messages(&call.payload_type(PayloadType::Raw));
    assert_eq!((&newer["payload"], &older["origin"]), (&json!(""), &json!("")));
}

#[test]
fn the_token_of_a_form_is_no_payload() {
    for (form, expected) in [
        (format!("token={TOKEN}"), ""),
        (format!("a=1&token={TOKEN}&b=%41+c"), "a=1&b=%41+c"),
        (format!("%74oken={TOKEN}&a"), "a"),
        (format!("a=1&&token=&token={TOKEN}"), "a=1&"),
        ("tokens=1&Token=2&a=token=3".to_owned(), "tokens=1&Token=2&a=token=3"),
    ] {
        let delivery = delivery(form.clone());
        let raw = call(&delivery).payload_type(PayloadType::Raw);
        let (newer, _) = messages(&raw.clone().content_type(FORM));
        assert_eq!(newer["payload"], expected);
        // The body of another content type is passed on unchanged.
        for content_type in [None, Some(&b"application/json"[..])] {
            let (newer, _) = messages(&raw.clone().content_type(content_type));
            assert_eq!(newer["payload"], *form);
        }
    }
}

#[test]
fn answers_as_documented() {
    let delivery = delivery("");
    let call = call(&delivery);
    let answer = serde_json::to_value(call.answer(Duration::from_millis(1_682_349_730_659)));
    assert_eq!(
        answer.unwrap(),
        json!({
            "correlationId": "254d7d80-4530-431a-a0cc-c606e8faa406",
            "status": "running",
            "statusCode": 200,
            "created": 1_682_349_730_659_u64,
        })
    );
    let answer = serde_json::to_value(call.older_answer()).unwrap();
    assert_eq!(answer, json!({ "status": "OK", "traceId": "6936bd:efg35ee" }));
}

#[test]
fn random_ids_hold_the_end_of_a_token_and_no_more() {
    let ids: BTreeSet<_> = (0..100).map(|_| Ids::random(TOKEN).unwrap().trace_id).collect();
    assert_eq!(ids.len(), 100);
    for id in ids {
        let random = id.strip_prefix("6936bd:").unwrap();
        assert_eq!(random.len(), 7);
        assert!(random.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
    for token in ["", "abcdef", "twelve-bytes", "thirteenö", "0123456789abcäö"] {
        let id = Ids::random(token).unwrap().trace_id;
        assert!(id.len() <= 14, "{id}");
        assert!(!id.contains(token) || token.is_empty(), "{id}");
    }
    assert_eq!(Ids::random("twelve-bytes").unwrap().trace_id.len(), 8);
}

#[test]
fn uuids_are_random_and_of_version_4() {
    let uuids: BTreeSet<_> = (0..100).map(|_| random_uuid().unwrap()).collect();
    assert_eq!(uuids.len(), 100);
    for uuid in uuids {
        let lens: Vec<_> = uuid.split('-').map(str::len).collect();
        assert_eq!(lens, [8, 4, 4, 4, 12], "{uuid}");
        assert_eq!(&uuid[14..15], "4", "{uuid}");
        assert!("89ab".contains(&uuid[19..20]), "{uuid}");
        let plain =
            |byte: u8| byte == b'-' || byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        assert!(uuid.bytes().all(plain), "{uuid}");
    }
}

#[test]
fn debug_shows_no_payload() {
    let delivery = delivery("confidential");
    let call = call(&delivery).payload_type(PayloadType::Raw);
    let message = call.message().unwrap();
    let shown = format!("{call:?} {message:?} {:?} {:?}", message.payload, call.older_message());
    assert!(!shown.contains("confidential"), "{shown}");
    assert!(shown.contains("6936bd:efg35ee"), "{shown}");
}
