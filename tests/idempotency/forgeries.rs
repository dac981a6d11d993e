//! An attacker who captures a request rewrites everything in it that is not signed, and sends it
//! before or after the true one. The captured event may run again, but no true event is lost: each
//! runs with its own body, ID and event type. This is tested for every preset with a key.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::FutureExt as _;
use integration_tests::{
    PUBLIC_URL,
    attacks::{hex, mac_with},
    secret_of, verifier_of,
};
use serde_json::{Value, json};
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, Scheme, Verifier,
    adapter::Admission,
    clock::Clock as _,
    scheme::{self, Description, Identity, Proof},
    testing::{SignedRequest, Signer},
};

use crate::{common::*, retry_vectors};

/// What a handler sees of a delivery.
type Seen = (Bytes, Option<String>, Option<String>);

struct Sender {
    scheme: Scheme,
    clock: HandClock,
    /// The public key and two true requests that were signed with its private key, for schemes with
    /// key pairs.
    recorded: Option<(String, [SignedRequest; 2])>,
}

impl Sender {
    /// Returns the presets whose deliveries have a key.
    fn all() -> Vec<Self> {
        let symmetric = Scheme::presets()
            .filter(|scheme| has_key(scheme))
            .filter(|scheme| scheme.algorithm().is_symmetric())
            .map(|scheme| Self { scheme: scheme.clone(), clock: HandClock::new(), recorded: None });
        let recorded = retry_vectors::cases()
            .into_iter()
            .filter(|case| !case.scheme.algorithm().is_symmetric())
            .map(|case| Self {
                scheme: case.scheme,
                clock: case.clock,
                recorded: Some((case.secret, [case.event, case.twin])),
            });
        symmetric.chain(recorded).collect()
    }

    fn name(&self) -> &str {
        self.scheme.name()
    }

    fn verifier(&self) -> Verifier {
        let builder = verifier_of(&self.scheme).clock(self.clock.clone());
        let builder = match &self.recorded {
            Some((key, _)) => builder.secret(&**key),
            None => builder,
        };
        builder.build().unwrap()
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
        if self.scheme.proof() == Proof::Fields {
            put_everywhere(&mut body, "unsigned", value);
        }
        // A signature in the body is made anew.
        signer.sign(body.to_string()).unwrap()
    }

    /// Returns true requests: the captured one, one with another body, and those that differ from
    /// the captured one only in their header ID, or in their event type.
    fn events(&self) -> Vec<SignedRequest> {
        let [captured, other] = match &self.recorded {
            Some((_, events)) => events.clone(),
            None => ["one", "two"].map(|value| self.event(value)),
        };
        let content = |request: &SignedRequest| (request.headers.clone(), request.body.clone());
        assert_ne!(content(&captured), content(&other), "{}", self.name());
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
        let known = [
            "content-type",
            "content-encoding",
            "x-request-id",
            "idempotency-key",
            "x-event-type",
            "user-agent",
        ];
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
                let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(&name));
                found.map(|(_, value)| value.clone())
            };
            let values = others.iter().filter_map(own).chain([
                "forged".to_owned(),
                String::new(),
                long.clone(),
                "application/x-www-form-urlencoded".to_owned(),
                "gzip".to_owned(),
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
        forged.extend(self.bodies(captured, &others[0]));
        forged.retain(|request| self.accepts(request));
        forged
    }

    /// Returns the request with other values in single fields of its body, and with as many of
    /// another event as the signature lets pass.
    fn bodies(&self, captured: &SignedRequest, other: &SignedRequest) -> Vec<SignedRequest> {
        let of = |body: Value| with_body(captured, body.to_string());
        let [own, others] = [captured, other].map(|it| serde_json::from_slice::<Value>(&it.body));
        let (Ok(own), Ok(others)) = (own, others) else { return Vec::new() };
        let mut forged = Vec::new();
        let mut most = own.clone();
        put_everywhere(&mut most, "forged", "forged");
        forged.push(of(most));
        if self.scheme.proof() != Proof::Fields {
            return forged;
        }
        if self.scheme.describe().signed_content.contains("{crc32}") {
            forged.push(with_body(captured, with_checksum_of(&other.body, &captured.body)));
        }
        let mut most = own.clone();
        for pointer in leaves(&own).into_iter().chain(leaves(&others)) {
            let mut values = vec![Value::Null, "forged".into()];
            values.extend(others.pointer(&pointer).cloned());
            for value in values {
                let mut body = own.clone();
                put(&mut body, &pointer, value);
                forged.push(of(body));
            }
            let mut more = most.clone();
            put(&mut more, &pointer, others.pointer(&pointer).cloned().unwrap_or_default());
            if self.accepts(&of(more.clone())) {
                most = more;
            }
        }
        forged.push(of(most));
        forged
    }

    fn receiver(&self) -> Receiver {
        let idempotency = Idempotency::new(MemoryStore::new(), "tests");
        Receiver::builder(self.verifier()).idempotency(idempotency).build().unwrap()
    }
}

/// Puts a value into a body that has a place for it.
fn put(body: &mut Value, pointer: &str, value: impl Into<Value>) {
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

/// Puts a member into every object.
fn put_everywhere(body: &mut Value, name: &str, value: &str) {
    match body {
        Value::Object(members) => {
            members.values_mut().for_each(|member| put_everywhere(member, name, value));
            members.insert(name.to_owned(), value.into());
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|item| put_everywhere(item, name, value));
        }
        _ => {}
    }
}

/// Returns the pointers to all values that are neither objects nor arrays.
fn leaves(body: &Value) -> Vec<String> {
    let below = |step: String, value: &Value| {
        leaves(value).into_iter().map(move |rest| format!("/{step}{rest}")).collect::<Vec<_>>()
    };
    match body {
        Value::Object(members) => {
            members.iter().flat_map(|(name, value)| below(name.clone(), value)).collect()
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.flat_map(|(index, value)| below(index.to_string(), value)).collect()
        }
        _ => vec![String::new()],
    }
}

/// Returns a JSON object with a further member, so that it has the CRC-32 of another body.
fn with_checksum_of(body: &[u8], wanted: &[u8]) -> Vec<u8> {
    let mut text = body.trim_ascii_end().strip_suffix(b"}").unwrap().to_vec();
    text.extend(b",\"padding\":\"");
    let padding = text.len()..text.len() + 64;
    text.extend([b'a'; 64]);
    text.extend(b"\"}");
    let without = crc32(&text);
    // The checksum is linear: each letter in upper case changes the same bits, whatever the others.
    let mut basis: Vec<(u32, u64)> = Vec::new();
    let reduce = |basis: &[(u32, u64)], mut change: u32, mut letters: u64| {
        for (known, its_letters) in basis {
            if change ^ known < change {
                change ^= known;
                letters ^= its_letters;
            }
        }
        (change, letters)
    };
    for (index, at) in padding.clone().enumerate() {
        text[at] ^= 0x20;
        let change = crc32(&text) ^ without;
        text[at] ^= 0x20;
        let (change, letters) = reduce(&basis, change, 1 << index);
        if change != 0 {
            basis.push((change, letters));
            basis.sort_unstable_by(|one, other| other.cmp(one));
        }
    }
    let (rest, letters) = reduce(&basis, without ^ crc32(wanted), 0);
    assert_eq!(rest, 0);
    for (index, at) in padding.enumerate() {
        if letters >> index & 1 == 1 {
            text[at] ^= 0x20;
        }
    }
    assert_eq!(crc32(&text), crc32(wanted));
    text
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| match sum & 1 {
            1 => sum >> 1 ^ 0xedb8_8320,
            _ => sum >> 1,
        })
    })
}

fn with(request: &SignedRequest, name: &str, value: &str) -> SignedRequest {
    let mut request = request.clone();
    request.headers.push((name.to_owned(), value.to_owned()));
    request
}

fn with_body(request: &SignedRequest, body: impl Into<Bytes>) -> SignedRequest {
    let mut request = request.clone();
    request.body = body.into();
    request
}

fn without(request: &SignedRequest, name: &str) -> SignedRequest {
    let mut request = request.clone();
    request.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
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
            forged.push(with_body(request, fields.collect::<Vec<_>>().join("&")));
        }
    }
    // The same fields twice, in another order, and with another escape.
    for body in [format!("{body}&{body}"), format!("{}&{name}={value}", rest.join("&"))] {
        forged.push(with_body(request, body.trim_start_matches('&').to_owned()));
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
    let mut lost = BTreeMap::new();
    for sender in Sender::all() {
        let events = sender.events();
        let forgeries = sender.forgeries(&events[0], &events[1..]);
        forged_in_all += forgeries.len();
        let is_rewritten = |forged: &SignedRequest| forged.body != events[0].body;
        let is_partly_signed = sender.scheme.proof() == Proof::Fields;
        assert_eq!(forgeries.iter().any(is_rewritten), is_partly_signed, "{}", sender.name());
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
                for event in expected.iter().filter(|event| !is_among(&runs, event)) {
                    let SignedRequest { headers, target, body, .. } = forged;
                    let by = format!("{event:?} by {headers:?} {target} {body:?}");
                    lost.insert(sender.name().to_owned(), by);
                }
            }
        }
        senders += 1;
    }
    assert!(lost.is_empty(), "lost events: {lost:#?}");
    assert_eq!(senders, Scheme::presets().filter(|scheme| has_key(scheme)).count());
    assert!(forged_in_all > 10 * senders, "{forged_in_all}");
}

/// The same for a scheme whose lists have their event type in an unsigned header, with and without
/// an ID for each event.
#[tokio::test]
async fn an_unsigned_type_of_listed_events_suppresses_none() {
    for has_id in [true, false] {
        let builder = Scheme::builder("lists")
            .signature_header("x-signature")
            .id_header("x-id")
            .event_type_header("x-type")
            .signed_content("{id}.{body}")
            .event_list("/events")
            .identity(Identity::SignedId);
        let scheme = match has_id {
            true => builder.listed_event_id(["/id"]).build().unwrap(),
            false => builder.build().unwrap(),
        };
        let signer = signer(scheme.clone()).id("msg_1").event_type("paid");
        let event = signer.sign(r#"{"events":[{"id":"evt_1"}]}"#).unwrap();
        let forged = with_header(&event, "x-type", Some("ignored"));
        let receiver = receiver(scheme, MemoryStore::new());
        for (request, event_type) in [(&forged, "ignored"), (&event, "paid")] {
            let seen = run(&receiver, request).await;
            assert_eq!(seen.len(), 1, "{event_type} {has_id}");
            assert_eq!(seen[0].2.as_deref(), Some(event_type));
        }
        assert!(run(&receiver, &event).await.is_empty());
    }
}

/// Listed headers and a sorted query are signed without delimiters, so their text can be split
/// elsewhere. The genuine request and the other one have keys of their own.
#[tokio::test]
async fn a_request_that_is_split_elsewhere_is_no_duplicate() {
    let lists = Scheme::builder("lists")
        .signature_header("x-signature")
        .pairs(',', ["v1"])
        .signed_content("{pair:h}.{header-values:h}.{body:json}")
        .id_header("x-id")
        .event_type_header("x-type")
        .identity(Identity::Digest);
    let query = Scheme::builder("query")
        .signature_header("x-signature")
        .signed_content("{query:id}:{sorted-query}")
        .identity(Identity::Digest);
    let of_headers = |id: &str, event_type: &str| {
        let text = format!("x-id x-type.{id}.{event_type}.{{}}");
        let tag = hex(&mac_with(SECRET.as_bytes(), &[text.as_bytes()]));
        let mut request = signed(scheme::GITHUB, "{}");
        request.headers = vec![
            ("x-signature".into(), format!("h=x-id x-type,v1={tag}")),
            ("x-id".into(), id.into()),
            ("x-type".into(), event_type.into()),
        ];
        request
    };
    let of_query = |target: &str| {
        let tag = hex(&mac_with(SECRET.as_bytes(), &[b"5:a=1b=2id=5"]));
        let mut request = signed(scheme::GITHUB, "");
        request.headers = vec![("x-signature".into(), tag)];
        target.clone_into(&mut request.target);
        request
    };
    for (scheme, genuine, forged) in [
        (lists, of_headers("1", "a.b"), of_headers("1.a", "b")),
        (query, of_query("/?id=5&a=1&b=2"), of_query("/?id=5&a=1b%3D2")),
    ] {
        let receiver = receiver(scheme.build().unwrap(), MemoryStore::new());
        for (request, is_new) in
            [(&forged, true), (&genuine, true), (&forged, false), (&genuine, false)]
        {
            assert_eq!(
                run(&receiver, request).await.len(),
                usize::from(is_new),
                "{:?}",
                request.headers
            );
        }
    }
}
