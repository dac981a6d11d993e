//! What a delivery is recognised by: verified bytes, and never what anybody may write on the envelope.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, RequestHead, Scheme, Secret, Tenant, Verifier,
    adapter::Admission,
    scheme::{self, Identity},
    testing::SignedRequest,
};

use crate::common::*;

/// A signed id that is missing makes the request unverifiable; an unsigned one makes no difference.
#[tokio::test]
async fn b10_a_stripped_id() {
    each_framework(|framework| async move {
        let site =
            Site::on(framework, receiver(scheme::GITHUB, MemoryStore::new()), answer(200)).await;
        let request = signer(scheme::GITHUB).id("guid-1").sign("{}").unwrap();
        assert_eq!(site.post(&request).await.status, 200);
        let stripped = with_header(&request, "x-github-delivery", None);
        assert_replay(&site.post(&stripped).await, 200);
        assert_eq!(site.runs(), 1);

        let site = Site::on(
            framework,
            receiver(scheme::STANDARD_WEBHOOKS, MemoryStore::new()),
            answer(200),
        )
        .await;
        let request = signed(scheme::STANDARD_WEBHOOKS, "{}");
        assert_eq!(site.post(&request).await.status, 200);
        for id in [None, Some("evt_2")] {
            let changed = with_header(&request, "webhook-id", id);
            assert_eq!(site.post(&changed).await.status, 401, "{id:?}");
        }
        assert_eq!(site.runs(), 1);
    })
    .await;
}

#[tokio::test]
async fn b11_a_changed_unsigned_id_is_the_same_delivery() {
    each_framework(|framework| async move {
        let site =
            Site::on(framework, receiver(scheme::GITHUB, MemoryStore::new()), answer(202)).await;
        let request = signer(scheme::GITHUB).id("guid-1").sign("{}").unwrap();
        assert_eq!(site.post(&request).await.status, 202);
        for id in ["guid-2", "GUID-1", "guid-1 ", ""] {
            let changed = with_header(&request, "x-github-delivery", Some(id));
            assert_replay(&site.post(&changed).await, 202);
        }
        assert_eq!(site.runs(), 1);
    })
    .await;
}

/// A captured body is sent under the id of an event that is still to come. That event must run all the same.
#[tokio::test]
async fn b12_a_poisoned_id_suppresses_nothing() {
    each_framework(|framework| async move {
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&bodies);
        let handler: Handler = Arc::new(move |delivery| {
            seen.lock().unwrap().push(delivery.body().clone());
            Box::pin(async { 200 })
        });
        let site = Site::on(framework, receiver(scheme::GITHUB, MemoryStore::new()), handler).await;
        let captured = signer(scheme::GITHUB).id("guid-a").sign("a").unwrap();
        let poisoned = with_header(&captured, "x-github-delivery", Some("guid-b"));
        assert_eq!(site.post(&poisoned).await.status, 200);
        let genuine = signer(scheme::GITHUB).id("guid-b").sign("b").unwrap();
        assert_fresh(&site.post(&genuine).await, 200);
        assert_eq!(*bodies.lock().unwrap(), [Bytes::from("a"), Bytes::from("b")]);
    })
    .await;
}

/// Another spelling of the same signature is either no signature or the same delivery.
#[tokio::test]
async fn b13_a_signature_in_another_spelling() {
    each_framework(|framework| async move {
        let site =
            Site::on(framework, receiver(scheme::MAUTIC, MemoryStore::new()), answer(200)).await;
        let request = (0..)
            .map(|number| signed(scheme::MAUTIC, format!("{{{number}}}")))
            .find(|request| request.headers[0].1.contains(['+', '/']))
            .unwrap();
        assert_eq!(site.post(&request).await.status, 200);
        let signature = &request.headers[0].1;
        let url_safe = signature.replace('+', "-").replace('/', "_");
        for other in
            [url_safe.as_str(), url_safe.trim_end_matches('='), signature.trim_end_matches('=')]
        {
            let other = with_header(&request, "webhook-signature", Some(other));
            assert_eq!(site.post(&other).await.status, 401);
        }

        let site =
            Site::on(framework, receiver(scheme::GITHUB, MemoryStore::new()), answer(200)).await;
        let request = signed(scheme::GITHUB, "{}");
        assert_eq!(site.post(&request).await.status, 200);
        let (_, value) =
            request.headers.iter().find(|(name, _)| name == "x-hub-signature-256").unwrap();
        let upper = format!("sha256={}", value.trim_start_matches("sha256=").to_uppercase());
        let upper = with_header(&request, "x-hub-signature-256", Some(&upper));
        assert_replay(&site.post(&upper).await, 200);
        assert_eq!(site.runs(), 1);
    })
    .await;
}

/// The presets whose deliveries have an identity, each with a body that has what its scheme looks for.
pub(crate) fn identified() -> [(Scheme, &'static str); 11] {
    [
        (scheme::GENERIC_BASE64, "{}"),
        (scheme::GENERIC_HEX, "{}"),
        (scheme::MAUTIC, r#"{"mautic.form_on_submit":[{}]}"#),
        (scheme::HOST_UK_CORE_API, r#"{"id":"1","type":"a"}"#),
        (scheme::HOST_UK_DOCUMENTED, r#"{"id":"1","type":"a"}"#),
        (scheme::HOST_UK_HOSTHUB_LEGACY, r#"{"id":"1","type":"a"}"#),
        (scheme::FLUENTCRM_DOCUMENTED, r#"{"event":"a"}"#),
        (scheme::STANDARD_WEBHOOKS, r#"{"type":"a"}"#),
        (scheme::GITHUB, r#"{"action":"a"}"#),
        (scheme::STRIPE, r#"{"id":"evt_1","type":"a"}"#),
        (scheme::SLACK, r#"{"event_id":"Ev1"}"#),
    ]
}

async fn key_of(receiver: &Receiver, request: &SignedRequest) -> String {
    match admit(receiver, request, never).await.unwrap() {
        Admission::Admitted(admitted) => {
            let batch = admitted.delivery().batch().unwrap();
            batch[0].claim().unwrap().key().to_string()
        }
        Admission::Answer(answer) => panic!("{answer:?}"),
    }
}

/// The key is a function of the verified request: of nothing random, of no order, of no header that is not signed.
#[tokio::test]
async fn b14_the_same_request_has_the_same_key() {
    for (scheme, body) in identified() {
        let request = signed(scheme.clone(), body);
        let mut keys = HashSet::new();
        for reverse in [false, true] {
            for extra in [None, Some("x-request-id"), Some("X-Forwarded-For")] {
                let mut request = request.clone();
                if let Some(name) = extra {
                    request.headers.push((name.into(), "7f3e".into()));
                }
                if reverse {
                    request.headers.reverse();
                }
                request.target = format!("/{}", extra.unwrap_or_default());
                let receiver = receiver(scheme.clone(), MemoryStore::new());
                keys.insert(key_of(&receiver, &request).await);
            }
        }
        assert_eq!(keys.len(), 1, "{}", scheme.name());
        let key = keys.iter().next().unwrap();
        assert!(key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}

/// One store for all: tenants and endpoints stay apart, also where their names run together.
#[tokio::test]
async fn b20_tenants_and_endpoints_are_independent() {
    each_framework(|framework| async move {
        let store = Arc::new(MemoryStore::new());
        let request = signed(scheme::STRIPE, r#"{"id":"evt_1"}"#);
        for (namespace, endpoint) in [
            ("", "ab"),
            ("a", "b"),
            ("ab", "c"),
            ("a", "bc"),
            ("", "abc"),
            ("a\0", "b"),
            ("a", "\0b"),
            ("tenant 1", "stripe"),
            ("tenant 2", "stripe"),
        ] {
            let idempotency = Idempotency::new(Arc::clone(&store), endpoint).namespace(namespace);
            let site =
                Site::on(framework, receiver_with(scheme::STRIPE, idempotency), answer(200)).await;
            let first = site.post(&request).await;
            let name = format!("{namespace:?} {endpoint:?}");
            assert_fresh(&first, 200);
            assert_replay(&site.post(&request).await, 200);
            assert_eq!(site.runs(), 1, "{name}");
        }
        assert_eq!(store.len(), 9);
    })
    .await;
}

/// Tenants of one receiver: one store, one endpoint, one secret even, and the same id from the same sender.
#[tokio::test]
async fn b20_tenants_of_one_receiver_are_independent() {
    each_framework(|framework| async move {
        let store = Arc::new(MemoryStore::new());
        let verifier = Verifier::builder(scheme::STRIPE);
        let receiver = Receiver::builder(verifier).tenants(|head: &RequestHead<'_>| {
            let name = head.path().trim_start_matches("/hooks/").to_owned();
            async move { Ok(Some(Tenant::new(name, [Secret::new(SECRET)?]))) }
        });
        let receiver = receiver
            .idempotency(Idempotency::new(Arc::clone(&store), "stripe").namespace("a"))
            .build()
            .unwrap();
        let site = Site::on(framework, receiver, answer(200)).await;
        let names = ["acme", "acme2", "a", "stripe", "astripe"];
        for (runs, name) in (1..).zip(names) {
            let sender = signer(scheme::STRIPE).target(format!("/hooks/{name}"));
            let request = sender.sign(r#"{"id":"evt_1"}"#).unwrap();
            let first = site.post(&request).await;
            assert_fresh(&first, 200);
            assert_replay(&site.post(&request).await, 200);
            assert_eq!((site.runs(), store.len()), (runs, runs), "{name}");
        }
    })
    .await;
}

/// An id and a digest that are the same bytes are not the same identity; nor are two ids of which one is in a header.
#[tokio::test]
async fn b20_kinds_of_identity_do_not_meet() {
    let store = Arc::new(MemoryStore::new());
    let in_body = Scheme::builder("in-body")
        .signature_header("x-signature")
        .id_pointer("/id")
        .build()
        .unwrap();
    let in_header = Scheme::builder("in-header")
        .signature_header("x-signature")
        .id_header("x-id")
        .signed_content("{id}.{body}")
        .build()
        .unwrap();
    let mut keys = HashSet::new();
    let body = r#"{"id":"evt_1"}"#;
    for scheme in [in_body.clone(), in_header] {
        let request = signed(scheme.clone(), body);
        keys.insert(key_of(&receiver(scheme, Arc::clone(&store)), &request).await);
    }
    let request = signed(in_body.clone(), body);
    let digest = Idempotency::new(Arc::clone(&store), "tests").identity(Identity::BodyDigest);
    keys.insert(key_of(&receiver_with(in_body.clone(), digest), &request).await);
    let custom =
        Idempotency::new(Arc::clone(&store), "tests").identity_from(|_| Some(b"evt_1".to_vec()));
    keys.insert(key_of(&receiver_with(in_body, custom), &request).await);
    assert_eq!((keys.len(), store.len()), (4, 4));
}

/// Where nothing tells a retry from a second event, every request runs, and nothing is stored.
#[tokio::test]
async fn schemes_without_identity_run_every_time() {
    each_framework(|framework| async move {
        let shared = Scheme::shared_header("x-webhook-secret").unwrap();
        for scheme in [scheme::PIPEFORCE_TOKEN, shared] {
            let store = Arc::new(MemoryStore::new());
            let idempotency =
                Idempotency::new(Arc::clone(&store), "tests").identity(Identity::None);
            let receiver = receiver_with(scheme.clone(), idempotency);
            let claims = Arc::new(Mutex::new(Vec::new()));
            let seen = Arc::clone(&claims);
            let site = Site::on(
                framework,
                receiver,
                Arc::new(move |delivery| {
                    seen.lock().unwrap().push(delivery.claim().is_some());
                    Box::pin(async { 200 })
                }),
            )
            .await;
            let request = signed(scheme, "{}");
            for _ in 0..3 {
                assert_fresh(&site.post(&request).await, 200);
            }
            assert_eq!((site.runs(), store.len()), (3, 0));
            assert_eq!(*claims.lock().unwrap(), [false; 3]);
        }
    })
    .await;
}

/// A verified body in which the id is missing is recognised by its digest, and the log says so.
#[tokio::test]
async fn a_body_without_its_id_is_recognised_by_its_digest() {
    let logs = Logs::collect();
    each_framework(|framework| {
        let logs = logs.clone();
        async move {
            for (name, without, other) in [
                ("absent", r#"{"n":1}"#, r#"{"n":2}"#),
                ("empty", r#"{"id":"","n":1}"#, r#"{"id":"","n":2}"#),
                ("null", r#"{"id":null,"n":1}"#, r#"{"id":null,"n":2}"#),
                ("object", r#"{"id":{},"n":1}"#, r#"{"id":{},"n":2}"#),
                ("not JSON", "n=1", "n=2"),
            ] {
                let endpoint = format!("no id {name} {framework:?}");
                let idempotency = Idempotency::new(MemoryStore::new(), &endpoint);
                let site =
                    Site::on(framework, receiver_with(scheme::STRIPE, idempotency), answer(200))
                        .await;
                let warned = || {
                    let logs = logs.text();
                    logs.lines()
                        .filter(|line| line.contains("WARN") && line.contains(&endpoint))
                        .filter(|line| line.contains("has no id"))
                        .count()
                };
                let request = signed(scheme::STRIPE, r#"{"id":"evt_1"}"#);
                assert_eq!(site.post(&request).await.status, 200);
                assert_eq!(warned(), 0, "{name}");
                for body in [without, other] {
                    let request = signed(scheme::STRIPE, body);
                    let first = site.post(&request).await;
                    assert_fresh(&first, 200);
                    assert_replay(&site.post(&request).await, 200);
                }
                assert_eq!((site.runs(), warned()), (3, 4), "{name}");
            }
        }
    })
    .await;
}

/// An identity of the user's own; without one, a delivery runs every time.
#[tokio::test]
async fn a_custom_identity() {
    each_framework(|framework| async move {
        let idempotency = Idempotency::new(MemoryStore::new(), "tests").identity_from(|delivery| {
            let value: serde_json::Value = delivery.json().ok()?;
            Some(value["order"].as_str()?.as_bytes().to_vec())
        });
        let site =
            Site::on(framework, receiver_with(scheme::GITHUB, idempotency), answer(200)).await;
        for (body, replay) in [
            (r#"{"order":"7","attempt":1}"#, false),
            (r#"{"order":"7","attempt":2}"#, true),
            (r#"{"order":"8","attempt":1}"#, false),
            (r#"{"attempt":1}"#, false),
            (r#"{"attempt":1}"#, false),
            (r#"{"order":"","attempt":1}"#, false),
            (r#"{"order":"","attempt":2}"#, true),
        ] {
            let response = site.post(&signed(scheme::GITHUB, body)).await;
            assert_eq!((response.status, is_replay(&response)), (200, replay), "{body}");
        }
        assert_eq!(site.runs(), 5);
    })
    .await;
}

/// A scheme that signs the body may be told to go by its digest; two ids with one body are then one delivery.
#[tokio::test]
async fn an_identity_by_name() {
    let idempotency = || Idempotency::new(MemoryStore::new(), "tests");
    for (idempotency, replays) in [
        (idempotency(), [false, true, false]),
        (idempotency().identity(Identity::SignedId), [false, true, false]),
        (idempotency().identity(Identity::BodyDigest), [false, true, true]),
        (idempotency().identity(Identity::None), [false; 3]),
    ] {
        let receiver = receiver_with(scheme::STANDARD_WEBHOOKS, idempotency);
        for (id, replay) in ["msg_1", "msg_1", "msg_2"].into_iter().zip(replays) {
            let sender = signer(scheme::STANDARD_WEBHOOKS).id(id);
            let request = sender.sign("{}").unwrap();
            let replayed = match admit(&receiver, &request, never).await.unwrap() {
                Admission::Admitted(admitted) => {
                    finish(admitted, 200).await.unwrap();
                    false
                }
                Admission::Answer(_) => true,
            };
            assert_eq!(replayed, replay, "{id}");
        }
    }
}
