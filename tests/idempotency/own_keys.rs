//! Keys of fields that stay the same in retries, and custom keys of single events.

use std::sync::Arc;

use serde_json::Value;
use webhook_verify::{Event, Idempotency, MemoryStore, Scheme, scheme};

use crate::{common::*, sender::*};

fn by_fields() -> Scheme {
    Scheme::builder("fields")
        .signature_header("x-signature")
        .event_type_header("x-type")
        .identity_fields(["/order/id", "/status"])
        .build()
        .unwrap()
}

/// A retry that changes the rest of the body is a duplicate. A body with another field runs, and so
/// does the same one under another event type, which is not signed.
#[tokio::test]
async fn fields_are_the_key() {
    each_framework(|framework| async move {
        let store = Arc::new(MemoryStore::new());
        let site =
            Site::on(framework, receiver(by_fields(), Arc::clone(&store)), answer(200)).await;
        let send = async |body: &str, event_type: &str| {
            let request = signer(by_fields()).event_type(event_type).sign(body.to_owned()).unwrap();
            let response = site.post(&request).await;
            assert_eq!(response.status, 200);
            is_replay(&response)
        };
        for (body, event_type, is_duplicate) in [
            (r#"{"order":{"id":7},"status":"paid","attempt":1}"#, "a", false),
            (r#"{"order":{"id":7},"status":"paid","attempt":2}"#, "a", true),
            (r#"{"status":"paid","order":{"note":"","id":7}}"#, "a", true),
            (r#"{"order":{"id":"7"},"status":"paid"}"#, "a", true),
            (r#"{"order":{"id":8},"status":"paid","attempt":1}"#, "a", false),
            (r#"{"order":{"id":7},"status":"sent","attempt":1}"#, "a", false),
            (r#"{"order":{"id":7},"status":"paid","attempt":1}"#, "b", false),
            (r#"{"order":{"id":7},"status":"paid","attempt":2}"#, "b", true),
            // Fields that run together are others.
            (r#"{"order":{"id":"7p"},"status":"aid"}"#, "a", false),
            (r#"{"order":{"id":"7pa"},"status":"id"}"#, "a", false),
            // Without a field there is no key, because two events may have the same bytes.
            (r#"{"order":{"id":7},"attempt":1}"#, "a", false),
            (r#"{"order":{"id":7},"attempt":1}"#, "a", false),
            (r#"{"order":{"id":7},"attempt":2}"#, "a", false),
            (r#"{"order":{"id":7},"status":""}"#, "a", false),
            (r#"{"order":{"id":7},"status":null}"#, "a", false),
            (r#"{"order":{"id":7},"status":{}}"#, "a", false),
            (r#"{"order":7,"status":"paid"}"#, "a", false),
            ("no JSON", "a", false),
            ("no JSON", "a", false),
        ] {
            assert_eq!(send(body, event_type).await, is_duplicate, "{body} {event_type}");
        }
        assert_eq!((site.runs(), store.len()), (15, 6));
    })
    .await;
}

/// Returns a custom key: all but the ID that changes in retries.
fn stable(event: &Event) -> Option<Vec<u8>> {
    let event: Value = event.data().ok()?;
    Some(event["message"].as_str()?.as_bytes().to_vec())
}

fn listed(events: &[(&str, &str)]) -> String {
    let events = events.iter().map(|(id, message)| {
        format!(r#"{{"type":"message","webhookEventId":"{id}","message":{message}}}"#)
    });
    format!(r#"{{"destination":"U1","events":[{}]}}"#, events.collect::<Vec<_>>().join(","))
}

/// With custom keys, each event keeps its own claim: an interrupted batch resumes, though the sender
/// gives its events new IDs and regroups them.
#[tokio::test]
async fn events_with_custom_keys_resume() {
    each_framework(|framework| async move {
        let (store, begun) = (Watched::new(), Begun::default());
        let idempotency = Idempotency::new(Arc::clone(&store), "tests").event_identity_from(stable);
        let fails = Fault::at(1);
        let handle = {
            let fails = fails.clone();
            one_by_one(&begun, move |event| {
                let message = event.data::<Value>().unwrap()["message"].clone();
                if message == "c" && fails.is_set() { 500 } else { 204 }
            })
        };
        let site = Site::on(framework, receiver_with(scheme::LINE, idempotency), handle).await;
        let post = async |events: &[(&str, &str)]| {
            let response = site.post(&signed(scheme::LINE, listed(events))).await;
            (response.status / 100, begun.take().len())
        };
        let [a, b, c, d] = [r#""a""#, r#""b""#, r#""c""#, r#""d""#];
        assert_eq!(post(&[("1", a), ("2", b), ("3", c), ("4", d)]).await, (5, 3));
        fails.set(0);
        // Only the two that are left run, and the one that is new.
        assert_eq!(
            post(&[("14", d), ("13", c), ("12", b), ("11", a), ("15", r#""e""#)]).await,
            (2, 3)
        );
        assert_eq!(post(&[("21", a), ("22", d), ("23", r#""e""#)]).await, (2, 0));
        // An ID of the sender is no custom key, also if it is the same text.
        assert_eq!(post(&[("a", r#""f""#)]).await, (2, 1));
        // Without a custom key, the sender's ID is the key.
        assert_eq!(post(&[("a", "0")]).await, (2, 1));
        assert_eq!(post(&[("a", "1")]).await, (2, 0));
        assert_eq!(post(&[("b", "1")]).await, (2, 1));
        let log = store.take_log();
        assert!(log.iter().any(|call| call.starts_with("claim_all 4")), "{log:?}");
    })
    .await;
}
