//! An attacker who captures a request rewrites everything in it that is not signed, and sends it
//! before or after the true one. The captured event may run again, but no true event is lost: each
//! runs with its own body, ID and event type.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::FutureExt as _;
use integration_tests::{PUBLIC_URL, secret_of, verifier_of};
use serde_json::{Value, json};
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, Scheme, Verifier,
    adapter::Admission,
    clock::Clock as _,
    scheme::{Description, Identity, Proof},
    testing::{SignedRequest, Signer},
};

use crate::common::*;

/// What a handler sees of a delivery.
type Seen = (Bytes, Option<String>, Option<String>);

struct Sender {
    scheme: Scheme,
    clock: HandClock,
}

impl Sender {
    /// Returns the presets whose deliveries have a key, and whose requests tests can sign.
    fn all() -> impl Iterator<Item = Self> {
        Scheme::presets()
            .filter(|scheme| scheme.identity() != Identity::None)
            .filter(|scheme| scheme.algorithm().is_symmetric())
            .map(|scheme| Self { scheme: scheme.clone(), clock: HandClock::new() })
    }

    fn name(&self) -> &str {
        self.scheme.name()
    }

    fn verifier(&self) -> Verifier {
        verifier_of(&self.scheme).clock(self.clock.clone()).build().unwrap()
    }

    fn signer(&self) -> Signer {
        Signer::new(self.scheme.clone(), secret_of(&self.scheme))
            .unwrap()
            .public_url(PUBLIC_URL)
            .parameter("webhook_id", "4JH86294D6297924G")
            .parameter("verify_token", "a verify token")
            .parameter("public_key", "a public key")
            .target("/hook?a=1")
            .at(self.clock.now())
    }

    /// Returns a request whose key has this value, if that is in the body.
    fn event(&self, value: &str) -> SignedRequest {
        let signer = self.signer().event_type("type.one").id(value);
        let sample = signer.sample().unwrap();
        let Ok(mut body) = serde_json::from_slice::<Value>(&sample.body) else {
            return sample;
        };
        let Description { id, idempotency_key, .. } = self.scheme.describe();
        let id = id.as_deref().and_then(|place| place.strip_prefix("body "));
        let fields = idempotency_key.split('`').filter(|text| text.starts_with('/'));
        for pointer in id.into_iter().chain(fields) {
            put(&mut body, pointer, value);
        }
        // A signature in the body is made anew.
        signer.sign(body.to_string()).unwrap()
    }

    /// Returns true requests: the captured one, one with another body, and those that differ from
    /// the captured one only in their header ID, or in their event type.
    fn events(&self) -> Vec<SignedRequest> {
        let [captured, other] = ["one", "two"].map(|value| self.event(value));
        assert_ne!(captured.body, other.body, "{}", self.name());
        let mut events = vec![captured, other];
        let Description { id, event_type, idempotency_key, .. } = self.scheme.describe();
        for (place, value, part) in
            [(id, "an-id-of-its-own", "ID"), (event_type, "type.two", "event type")]
        {
            let header = place.as_deref().and_then(|place| place.strip_prefix("header "));
            // If it is no part of the key, the sender changes it in retries.
            if let Some(header) = header.filter(|_| idempotency_key.contains(part)) {
                let similar = with_header(&events[0], header, Some(value));
                if self.accepts(&similar) {
                    events.push(similar);
                }
            }
        }
        events
    }

    fn accepts(&self, request: &SignedRequest) -> bool {
        let receiver = Receiver::builder(self.verifier()).build().unwrap();
        let admission = admit(&receiver, request, never).now_or_never();
        matches!(admission, Some(Ok(Admission::Admitted(_))))
    }

    /// Returns the requests that an attacker can make of a captured one, and that are accepted.
    fn forgeries(&self, captured: &SignedRequest, others: &[SignedRequest]) -> Vec<SignedRequest> {
        let mut forged = Vec::new();
        let description = self.scheme.describe();
        let labels = [description.id, description.event_type].into_iter().flatten();
        let labels = labels.filter_map(|place| Some(place.strip_prefix("header ")?.to_owned()));
        let aliases = description.header_aliases.into_iter();
        let aliases = aliases.flat_map(|(name, alias)| [name, alias]);
        let known =
            ["content-type", "x-request-id", "idempotency-key", "x-event-type", "user-agent"];
        let names: BTreeSet<String> = captured
            .headers
            .iter()
            .map(|(name, _)| name.clone())
            .chain(labels)
            .chain(aliases)
            .chain(known.map(Into::into))
            .collect();
        let long = "a".repeat(1025);
        for name in names {
            let bare = without(captured, &name);
            let own = |request: &SignedRequest| {
                let mut headers = request.headers.iter();
                headers.find(|(known, _)| *known == name).map(|(_, value)| value.clone())
            };
            let values = others.iter().filter_map(own).chain([
                "forged".to_owned(),
                String::new(),
                long.clone(),
                "application/x-www-form-urlencoded".to_owned(),
            ]);
            for value in values {
                forged.push(with(&bare, &name, &value));
                forged.push(with(captured, &name, &value));
            }
            forged.push(bare);
        }
        for target in ["/", "/other?a=1", "/hook", "/hook?a=1&b=2"] {
            let mut request = captured.clone();
            target.clone_into(&mut request.target);
            forged.push(request);
        }
        forged.extend(forms(captured));
        forged.retain(|request| self.accepts(request));
        forged
    }

    fn receiver(&self) -> Receiver {
        let idempotency = Idempotency::new(MemoryStore::new(), "tests");
        Receiver::builder(self.verifier()).idempotency(idempotency).build().unwrap()
    }
}

/// Puts a value into a body that has a place for it.
fn put(body: &mut Value, pointer: &str, value: &str) {
    let mut at = body;
    for step in pointer.split('/').skip(1) {
        if at.is_null() {
            *at = json!({});
        }
        at = match (at, step.parse::<usize>()) {
            (Value::Array(items), Ok(index)) if index < items.len() => &mut items[index],
            (Value::Object(members), _) => members.entry(step).or_insert(Value::Null),
            _ => return,
        };
    }
    *at = value.into();
}

fn with(request: &SignedRequest, name: &str, value: &str) -> SignedRequest {
    let mut request = request.clone();
    request.headers.push((name.to_owned(), value.to_owned()));
    request
}

fn without(request: &SignedRequest, name: &str) -> SignedRequest {
    let mut request = request.clone();
    request.headers.retain(|(known, _)| known != name);
    request
}

/// Returns the request with the same text in other form fields, and in the query.
fn forms(request: &SignedRequest) -> Vec<SignedRequest> {
    let body = std::str::from_utf8(&request.body).unwrap();
    let Some((name, value)) = body.split('&').next().and_then(|pair| pair.split_once('=')) else {
        return Vec::new();
    };
    let rest: Vec<_> = body.split('&').skip(1).collect();
    let mut forged = Vec::new();
    for at in 1..value.len() {
        let cut = value.split_at_checked(at).filter(|_| !value[..at].ends_with(['%', '+']));
        if let Some((start, end)) = cut {
            let field = [format!("{name}{start}={end}")];
            let fields = field.iter().map(String::as_str).chain(rest.iter().copied());
            let mut request = request.clone();
            request.body = fields.collect::<Vec<_>>().join("&").into();
            forged.push(request);
        }
    }
    // The same fields twice, in another order, and with another escape.
    for body in [format!("{body}&{body}"), format!("{}&{name}={value}", rest.join("&"))] {
        let mut request = request.clone();
        request.body = body.trim_start_matches('&').to_owned().into();
        forged.push(request);
    }
    forged
}

/// Sends a request to a handler that succeeds, and returns what it saw.
async fn run(receiver: &Receiver, request: &SignedRequest) -> Vec<Seen> {
    match admit(receiver, request, never).await {
        Ok(Admission::Admitted(admitted)) => {
            let seen = {
                let delivery = admitted.delivery();
                // An ID that is no part of the key is a label in logs.
                let is_in_key = delivery.scheme().describe().idempotency_key.contains("ID");
                let id = delivery.id().filter(|_| is_in_key);
                let [id, event_type] =
                    [id, delivery.event_type()].map(|label| label.map(Into::into));
                (delivery.body().clone(), id, event_type)
            };
            if let Ok(events) = admitted.delivery().events() {
                for event in &events {
                    event.done().await;
                }
            }
            finish(admitted, 204).await.unwrap();
            vec![seen]
        }
        Ok(Admission::Answer(answer)) => {
            assert!((200..300).contains(&answer.status()), "{answer:?}");
            Vec::new()
        }
        Err(rejection) => panic!("{rejection:?}"),
    }
}

/// Returns what a handler sees of a request that runs for the first time.
async fn first(sender: &Sender, request: &SignedRequest) -> Seen {
    let seen = run(&sender.receiver(), request).await;
    seen.into_iter().next().unwrap_or_else(|| panic!("{} runs no event", sender.name()))
}

/// Returns whether the handler saw this event. The fields of a form may come in another order.
fn is_among(runs: &[Seen], event: &Seen) -> bool {
    let is_same = |one: &Bytes, other: &Bytes| one == other || fields(one) == fields(other);
    runs.iter().any(|seen| is_same(&seen.0, &event.0) && seen.1 == event.1 && seen.2 == event.2)
}

/// Returns the fields of a form, or any other body as one.
fn fields(body: &[u8]) -> BTreeSet<&[u8]> {
    let is_json = body.starts_with(b"{") || body.starts_with(b"[");
    body.split(|byte| *byte == b'&' && !is_json).collect()
}

#[tokio::test]
async fn rewritten_copies_of_a_request_suppress_no_true_event() {
    let (mut senders, mut forged_in_all) = (0, 0);
    for sender in Sender::all() {
        let events = sender.events();
        let forgeries = sender.forgeries(&events[0], &events[1..]);
        forged_in_all += forgeries.len();
        let mut expected = Vec::new();
        for event in &events {
            expected.push(first(&sender, event).await);
        }
        for forged in &forgeries {
            // Before, between and after the true events.
            for place in 0..=events.len() {
                let receiver = sender.receiver();
                let mut requests: Vec<_> = events.iter().collect();
                requests.insert(place, forged);
                let mut runs = Vec::new();
                for request in requests {
                    runs.extend(run(&receiver, request).await);
                }
                for event in &expected {
                    assert!(
                        is_among(&runs, event),
                        "{}: {event:?} is lost by {:?} {} {:?}",
                        sender.name(),
                        forged.headers,
                        forged.target,
                        forged.body
                    );
                }
            }
        }
        senders += 1;
    }
    assert!(senders > 60, "{senders}");
    assert!(forged_in_all > 10 * senders, "{forged_in_all}");
}

/// Where only a part of the body is signed, the rest is the attacker's, as `Proof` says.
#[tokio::test]
async fn what_is_not_signed_of_a_body_does_not_suppress_another_event() {
    let mut senders = 0;
    for sender in Sender::all().filter(|sender| sender.scheme.proof() == Proof::Fields) {
        let events = sender.events();
        let Ok(mut body) = serde_json::from_slice::<Value>(&events[0].body) else {
            continue;
        };
        body["forged"] = true.into();
        let mut forged = events[0].clone();
        forged.body = body.to_string().into();
        if !sender.accepts(&forged) {
            continue;
        }
        senders += 1;
        let receiver = sender.receiver();
        run(&receiver, &forged).await;
        let other = first(&sender, &events[1]).await;
        assert!(is_among(&run(&receiver, &events[1]).await, &other), "{}", sender.name());
    }
    assert!(senders > 0);
}
