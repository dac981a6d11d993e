//! The identity of a delivery: verified bytes, and nothing that is not signed.

use std::{
    collections::HashSet,
    future::pending,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::stream;
use hmac::{Hmac, KeyInit as _, Mac as _};
use integration_tests::Vector;
use sha2::Sha256;
use webhook_verify::{
    Delivery, Idempotency, MemoryStore, Receiver, RequestHead, Scheme, Secret, Tenant, Verifier,
    adapter::Admission,
    clock::{Clock as _, SystemClock},
    scheme::{self, Identity},
    testing::SignedRequest,
};

use crate::{common::*, sender::*};

/// Without its signed id, a request cannot be verified. Without an unsigned one, it is another
/// delivery, because nothing else tells apart two events with the same bytes.
#[tokio::test]
async fn b10_a_stripped_id() {
    each_framework(|framework| async move {
        let site =
            Site::on(framework, receiver(scheme::GITHUB, MemoryStore::new()), answer(200)).await;
        let request = signer(scheme::GITHUB).id("guid-1").sign("{}").unwrap();
        assert_eq!(site.post(&request).await.status, 200);
        let stripped = with_header(&request, "x-github-delivery", None);
        assert_fresh(&site.post(&stripped).await, 200);
        assert_replay(&site.post(&request).await, 200);
        assert_replay(&site.post(&stripped).await, 200);
        assert_eq!(site.runs(), 2);

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

/// An unsigned id, or event type, makes the key finer: another value is another delivery, so that no
/// true event is lost. By its body alone, it is the same one.
#[tokio::test]
async fn b11_unsigned_labels_make_the_key_finer() {
    each_framework(|framework| async move {
        for (identity, is_fresh) in [(Identity::Digest, true), (Identity::BodyDigest, false)] {
            let idempotency = Idempotency::new(MemoryStore::new(), "tests").identity(identity);
            let receiver = receiver_with(scheme::GITHUB, idempotency);
            let site = Site::on(framework, receiver, answer(202)).await;
            let signer = signer(scheme::GITHUB).id("guid-1").event_type("push");
            let request = signer.sign("{}").unwrap();
            assert_fresh(&site.post(&request).await, 202);
            let long = "a".repeat(1025);
            let others = [
                ("x-github-delivery", "guid-2"),
                ("x-github-delivery", "GUID-1"),
                ("x-github-delivery", ""),
                ("x-github-delivery", &*long),
                ("x-github-event", "pushed"),
                ("x-github-event", ""),
            ];
            for (name, value) in others {
                let changed = with_header(&request, name, Some(value));
                let mut twice = request.clone();
                twice.headers.push((name.to_owned(), format!("{value}-more")));
                for request in [changed, twice] {
                    let response = site.post(&request).await;
                    assert_eq!(is_replay(&response), !is_fresh, "{identity:?} {name} {value}");
                    assert_replay(&site.post(&request).await, 202);
                }
            }
            assert_replay(&site.post(&request).await, 202);
            assert_eq!(site.runs(), if is_fresh { 1 + 2 * others.len() } else { 1 });
        }
    })
    .await;
}

/// An attacker sends a captured body under the id of a future event. That event must run all the
/// same.
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

/// Another spelling of a signature is either invalid or the same delivery.
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

/// Returns the presets whose deliveries have an identity, each with a body that has the fields of
/// its scheme.
pub(crate) fn identified() -> [(Scheme, &'static str); 9] {
    [
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
    let batch = admitted(receiver, request, never).await.delivery().batch().unwrap();
    batch[0].claim().unwrap().key().to_string()
}

/// The key depends on the verified parts and the labels of the request only: on no random number,
/// no order of headers, and no other header.
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

/// Receivers and tenants that share a store are independent, also where their names run together,
/// and if they have the same secret.
#[tokio::test]
async fn b20_tenants_and_endpoints_are_independent() {
    each_framework(|framework| async move {
        for (scheme, body, count) in [
            (scheme::STRIPE, r#"{"id":"evt_1"}"#.to_owned(), 1),
            (scheme::MAUTIC, body(&[(TYPE, &events([1, 2]))]), 2),
        ] {
            let store = Arc::new(MemoryStore::new());
            let runs = async |receiver: Receiver, target: &str, name: String| {
                let begun = Begun::default();
                let handler = failing(&begun, &Fault::default());
                let site = Site::on(framework, receiver, handler).await;
                let sender = signer(scheme.clone()).target(target);
                let request = sender.sign(body.clone()).unwrap();
                assert_fresh(&site.post(&request).await, 200);
                let duplicate = site.post(&request).await;
                assert_replay(&duplicate, if count == 1 { 200 } else { 204 });
                assert_eq!((site.runs(), begun.len()), (1, count), "{count} events, {name}");
            };
            let names = [
                ("", "ab"),
                ("", "b"),
                ("a", "b"),
                ("ab", "a"),
                ("ab", "c"),
                ("a", "bc"),
                ("", "abc"),
                ("a\0", "b"),
                ("a", "\0b"),
                ("tenant 1", "stripe"),
                ("tenant 2", "stripe"),
            ];
            for (namespace, endpoint) in names {
                let idempotency =
                    Idempotency::new(Arc::clone(&store), endpoint).namespace(namespace);
                let name = format!("{namespace:?} {endpoint:?}");
                runs(receiver_with(scheme.clone(), idempotency), "/", name).await;
            }
            let tenants = ["acme", "acme2", "a", "b", "stripe", "astripe"];
            for (endpoint, namespace) in [("stripe", "a"), ("a", "")] {
                let verifier = Verifier::builder(scheme.clone());
                let receiver = Receiver::builder(verifier).tenants(|head: &RequestHead<'_>| {
                    let name = head.path().trim_start_matches("/hooks/").to_owned();
                    async move { Ok(Some(Tenant::new(name, [Secret::new(SECRET)?]))) }
                });
                let idempotency =
                    Idempotency::new(Arc::clone(&store), endpoint).namespace(namespace);
                let receiver = receiver.idempotency(idempotency).build().unwrap();
                for tenant in tenants {
                    let name = format!("tenant {tenant} of {namespace:?} {endpoint:?}");
                    runs(receiver.clone(), &format!("/hooks/{tenant}"), name).await;
                }
            }
            assert_eq!(store.len(), count * (names.len() + 2 * tenants.len()));
        }
    })
    .await;
}

/// An id and a digest of the same bytes are different identities, and so are two ids of which one
/// is in a header.
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

/// If nothing distinguishes a retry from a new event, every request runs, and nothing is stored.
#[tokio::test]
async fn schemes_without_identity_run_every_time() {
    each_framework(|framework| async move {
        let shared = Scheme::shared_header("x-webhook-secret").unwrap();
        for scheme in [scheme::PIPEFORCE_TOKEN, shared, scheme::GENERIC_HEX, scheme::DROPBOX] {
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

/// A preset whose sender's events can repeat byte for byte has no key, so that no event is lost.
#[tokio::test]
async fn every_preset_without_a_key_runs_equal_requests() {
    let vectors = Vector::of_senders();
    let (mut presets, timer) = (0, |_| pending::<()>());
    for scheme in Scheme::presets().filter(|scheme| !has_key(scheme)) {
        let name = scheme.name();
        let is_valid = |row: &&Vector| row.scheme == name && row.expect == "valid";
        let row = vectors.iter().find(is_valid).unwrap();
        let store = Arc::new(MemoryStore::new());
        let receiver = Receiver::builder(row.verifier().unwrap())
            .idempotency(Idempotency::new(Arc::clone(&store), "tests"))
            .build()
            .unwrap();
        for _ in 0..3 {
            let body = stream::iter([Ok::<_, std::io::Error>(Bytes::from(row.body()))]);
            let receiver = receiver.clone().or_timer(timer);
            match receiver.admit(&row.head(), body).await {
                Ok(Admission::Admitted(admitted)) => finish(admitted, 200).await.unwrap(),
                other => panic!("{name}: {other:?}"),
            };
        }
        assert_eq!(store.len(), 0, "{name}");
        presets += 1;
    }
    assert!(presets > 60, "{presets}");
}

/// If an event of a list has no ID and the scheme defines no other key, the whole delivery has none.
#[tokio::test]
async fn an_event_without_its_id_is_logged() {
    let logs = Logs::collect();
    each_framework(|framework| {
        let logs = logs.clone();
        async move {
            let list = Scheme::builder("acme").signature_header("x-acme-signature");
            let list = list.event_list("/events").listed_event_id(["/id"]).build().unwrap();
            let endpoint = format!("no event id {framework:?}");
            let idempotency = Idempotency::new(MemoryStore::new(), &endpoint);
            let site =
                Site::on(framework, receiver_with(list.clone(), idempotency), answer(200)).await;
            let warned = || {
                let logs = logs.text();
                let of_endpoint = logs.lines().filter(|line| line.contains(&endpoint));
                of_endpoint.filter(|line| line.contains("verified event has no id")).count()
            };
            for (body, is_known) in [
                (r#"{"events":[{"id":"a"},{"id":"b"}]}"#, true),
                (r#"{"events":[{"id":"a"},{"idd":"b"}]}"#, false),
            ] {
                let before = warned();
                let request = signed(list.clone(), body);
                assert_fresh(&site.post(&request).await, 200);
                let again = site.post(&request).await;
                if is_known {
                    assert_replay(&again, 200);
                } else {
                    assert_fresh(&again, 200);
                }
                assert_eq!(warned() - before, if is_known { 0 } else { 2 }, "{body}");
            }
        }
    })
    .await;
}

/// If the id is missing in a verified body, the digest is the identity, and the log says so.
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

/// With a custom identity, a delivery without one runs every time.
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

/// With `BodyDigest`, two ids with the same body are one delivery.
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

/// Returns a request with this id and a valid signature.
fn standard_webhook(id: &[u8]) -> Vec<u8> {
    let key = STANDARD.decode(SECRET);
    let now = SystemClock.now().as_secs().to_string();
    let signed = [id, b".", now.as_bytes(), b".{}"].concat();
    let mac = Hmac::<Sha256>::new_from_slice(&key.unwrap()).unwrap();
    let signature = STANDARD.encode(mac.chain_update(signed).finalize().into_bytes());
    let head = format!(
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\nconnection: close\r\nwebhook-timestamp: {now}\r\nwebhook-signature: v1,{signature}\r\nwebhook-id: "
    );
    [head.as_bytes(), id, b"\r\n\r\n{}"].concat()
}

/// An id that is too long or no text is rejected if it is signed in a header. In a body, it counts
/// as missing, and the body's digest is the identity.
#[tokio::test]
async fn ids_that_are_too_long_or_no_text() {
    each_framework(|framework| async move {
        let site = Site::on(
            framework,
            receiver(scheme::STANDARD_WEBHOOKS, MemoryStore::new()),
            answer(200),
        )
        .await;
        for (id, status) in [
            ("a".repeat(1024).into_bytes(), 200),
            ("a".repeat(1025).into_bytes(), 401),
            (b"\xff".to_vec(), 401),
        ] {
            let raw = standard_webhook(&id);
            assert_eq!(exchange(site.addr(), &raw).await.status, status, "{}", id.len());
        }
        assert_eq!(site.runs(), 1);

        let store = Arc::new(MemoryStore::new());
        let site = Site::on(
            framework,
            receiver(scheme::HOST_UK_DOCUMENTED, Arc::clone(&store)),
            answer(200),
        )
        .await;
        let long = "a".repeat(1025);
        let mut runs = 0;
        // The id, and whether another body with the same one is the same delivery.
        for (id, is_recognised) in [
            ("a".repeat(1024).as_str(), true),
            (&long, false),
            (r"\u0000", true),
            (r"\u0000' OR 1=1 --", true),
            (r"\ud800", false),
            ("\u{fffd}\u{202e}", true),
        ] {
            for (number, body) in [1, 1, 2].into_iter().enumerate() {
                let body = format!(r#"{{"id":"{id}","type":"x","data":{body}}}"#);
                let request = signed(scheme::HOST_UK_DOCUMENTED, body);
                let response = site.post(&request).await;
                let runs_now = number == 0 || number == 2 && !is_recognised;
                runs += usize::from(runs_now);
                assert_eq!((response.status, is_replay(&response)), (200, !runs_now));
            }
        }
        let broken = signed(scheme::HOST_UK_DOCUMENTED, b"{\"id\":\"\xff\"}".to_vec());
        for replayed in [false, true] {
            let response = site.post(&broken).await;
            assert_eq!((response.status, is_replay(&response)), (200, replayed));
        }
        assert_eq!(site.runs(), runs + 1);
        assert_eq!(store.len(), runs + 1);
    })
    .await;
}

/// All empty bodies have the same digest: it is a key only if the request has an ID. Otherwise
/// requests without a body, such as `GET` requests with a signed query, would be one delivery.
#[tokio::test]
async fn empty_bodies_without_an_id_have_no_key() {
    let acme = || Scheme::builder("acme").signature_header("acme-signature");
    let urls = acme().signed_content("{url}{body:json}").identity(Identity::Digest);
    let token = acme().algorithm(scheme::Algorithm::JwtHs256).identity(Identity::Digest);
    let token = token.body_digest_claim("body").body_digest_or_query();
    for scheme in [scheme::MAUTIC, urls.build().unwrap(), token.build().unwrap()] {
        let verifier =
            Verifier::builder(scheme.clone()).secret(SECRET).public_url("https://a.test/");
        let idempotency = Idempotency::new(MemoryStore::new(), "tests");
        let verifier = verifier.build().unwrap();
        let receiver = Receiver::builder(verifier).idempotency(idempotency).build().unwrap();
        let signer = signer(scheme).public_url("https://a.test/");
        for target in ["/?event=1", "/?event=2", "/?event=2"] {
            let request = signer.clone().target(target).sign("").unwrap();
            let admitted = admitted(&receiver, &request, never).await;
            assert!(admitted.delivery().claim().is_none(), "{target}");
            finish(admitted, 200).await.unwrap();
        }
    }
    let receiver = receiver(scheme::GITHUB, MemoryStore::new());
    let signer = signer(scheme::GITHUB);
    for (id, is_new) in [("a", true), ("b", true), ("a", false)] {
        let request = signer.clone().id(id).sign("").unwrap();
        match admit(&receiver, &request, never).await.unwrap() {
            Admission::Admitted(admitted) if is_new => finish(admitted, 200).await.unwrap(),
            Admission::Answer(_) if !is_new => {}
            other => panic!("{id}: {other:?}"),
        }
    }
}

/// A body without events, or one that cannot be split, is one delivery to its handler.
#[tokio::test]
async fn bodies_without_events() {
    each_framework(|framework| async move {
        let store = Watched::new();
        let handler = handler((), |(), delivery| async move {
            let claim = delivery.claim().expect("a claim of the delivery");
            if claim.fencing_token() == 1 { 500 } else { 202 }
        });
        let verifier = Verifier::builder(scheme::MAUTIC).secret(SECRET).max_events(2);
        let receiver = Receiver::builder(verifier.build().unwrap())
            .idempotency(Idempotency::new(Arc::clone(&store), "tests"))
            .build()
            .unwrap();
        let site = Site::on(framework, receiver, handler).await;
        for body in [
            "{}",
            "{} ",
            r#"{"a":[],"b":[]}"#,
            r#"{"timestamp":"2026-11-24T00:00:00+00:00"}"#,
            "a=b",
            "[1]",
            r#"{"a":[1"#,
            r#"{"a":[1],"a":[1]}"#,
            r#"{"a":[1,2,3]}"#,
            r#"{"a":[1],"timestamp":[1]}"#,
        ] {
            let request = mautic(body);
            assert_eq!(site.post(&request).await.status, 500, "{body}");
            assert_eq!(store.take_log(), ["claim", "release"], "{body}");
            assert_eq!(site.post(&request).await.status, 202, "{body}");
            assert_eq!(store.take_log(), ["claim", "complete"], "{body}");
            assert_replay(&site.post(&request).await, 202);
            assert_eq!(store.take_log(), ["claim"], "{body}");
        }
    })
    .await;
}

/// With a custom identity, the delivery has a claim, and its events have none.
#[tokio::test]
async fn an_identity_of_ones_own() {
    let by_digest = |it: Idempotency| it.identity(Identity::BodyDigest);
    let by_body = |it: Idempotency| it.identity_from(|it: &Delivery| Some(it.body().to_vec()));
    each_framework(|framework| async move {
        for choose in [by_digest as fn(Idempotency) -> Idempotency, by_body] {
            let (store, begun, fault) = (Watched::new(), Begun::default(), Fault::at(2));
            let idempotency = choose(Idempotency::new(Arc::clone(&store), "tests"));
            let receiver = receiver_with(scheme::MAUTIC, idempotency);
            let with = (begun.clone(), fault.clone());
            let handler = handler(with, |(begun, fault), delivery| async move {
                assert!(delivery.claim().is_some());
                let events = delivery.events().unwrap();
                for event in &events {
                    assert!(event.claim().is_none());
                    begun.note(event);
                    if fault.hits(event) {
                        return 500;
                    }
                    event.done().await;
                }
                200
            });
            let site = Site::on(framework, receiver, handler).await;
            assert_eq!(site.post(&batch(1..=3)).await.status, 500);
            assert_eq!(store.take_log(), ["claim", "release"]);
            fault.set(0);
            assert_eq!(site.post(&batch(1..=3)).await.status, 200);
            assert_eq!(store.take_log(), ["claim", "complete"]);
            assert_eq!(begun.take(), events([1, 2, 1, 2, 3]));
            assert_replay(&site.post(&batch(1..=3)).await, 200);
            assert!(!is_replay(&site.post(&batch([3, 2, 1])).await));
        }
    })
    .await;
}

/// Without an identity, each request of a batch runs.
#[tokio::test]
async fn no_identity_at_all() {
    each_framework(|framework| async move {
        let (store, begun) = (Watched::new(), Begun::default());
        let idempotency = Idempotency::new(Arc::clone(&store), "tests");
        let receiver = receiver_with(scheme::MAUTIC, idempotency.identity(Identity::None));
        let handler = failing(&begun, &Fault::default());
        let site = Site::on(framework, receiver, handler).await;
        for _ in 0..2 {
            assert_eq!(site.post(&batch(1..=2)).await.status, 200);
            assert_eq!(begun.take(), events(1..=2));
        }
        assert_eq!(store.calls(), 0);
    })
    .await;
}

/// In a batch, each event has a claim with its own key and fencing token. The delivery has none.
#[tokio::test]
async fn whose_the_claims_are() {
    each_framework(|framework| async move {
        let handler = handler((), |(), delivery| async move {
            assert!(delivery.claim().is_none());
            let events = delivery.batch().unwrap();
            let claims: Vec<_> = events.iter().map(|it| it.claim().unwrap()).collect();
            for (index, claim) in claims.iter().enumerate() {
                let first = claims.iter().position(|it| it.key() == claim.key());
                assert_eq!(first, Some(index));
            }
            let fences: Vec<_> = claims.iter().map(|claim| claim.fencing_token()).collect();
            if fences == [1] { 500 } else { u16::try_from(200 + fences[0]).unwrap() }
        });
        let site = Site::on(framework, receiver(scheme::MAUTIC, Watched::new()), handler).await;
        assert_eq!(site.post(&batch([1])).await.status, 500);
        // The first event is tried for the second time.
        assert_eq!(site.post(&batch([1, 2, 3])).await.status, 202);
    })
    .await;
}
