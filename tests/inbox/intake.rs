//! Receivers store events before they acknowledge them.

use std::time::Duration;

use integration_tests::{Gate, Kind, assert_replay, each_place, each_store, is_replay, unique};
use webhook_verify::{
    Delivery, Idempotency, MemoryStore, Receiver, Scheme, Verifier,
    inbox::{EntryState, InboxEvent},
    scheme::{self, Algorithm, Identity, SignedBytes},
};

use crate::common::*;

#[tokio::test]
async fn a_batch_is_acknowledged_before_a_handler_has_run() {
    each_place(&STORES, async |place, framework| {
        let (inbox, _) = open(place).await;
        let front = Front::new(receiver(scheme::MAUTIC, &inbox), framework).await;
        let gate = Gate::new();
        let working = work(held(&inbox, &gate).concurrency(4).poll_every(HOUR));

        let response = front.post(&batch(1..=10)).await;
        assert_eq!(response.status, 204);
        assert!(!is_replay(&response) && response.body.is_empty());
        let stored = entries(&inbox).await;
        assert_eq!(stored.len(), 10);
        assert_eq!(gate.done(), 0);
        for (number, entry) in (1..).zip(&stored) {
            assert_eq!(entry.event.body, format!(r#"{{"id":{number}}}"#));
            assert_eq!(entry.event.scheme, "mautic");
            assert_eq!(entry.event.event_type.as_deref(), Some("mautic.lead_post_save_update"));
        }
        gate.open(10);
        until(&inbox, EntryState::Done, 10).await;
        working.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_duplicate_is_acknowledged_as_such_and_changes_nothing() {
    each_place(&STORES, async |place, framework| {
        let (inbox, _) = open(place).await;
        let front = Front::new(receiver(scheme::MAUTIC, &inbox), framework).await;
        assert_eq!(front.post(&batch(1..=3)).await.status, 204);
        let before = format!("{:?}", entries(&inbox).await);
        // Mautic signs and groups events again.
        assert_replay(&front.post(&batch([3, 1])).await, 204);
        assert_eq!(format!("{:?}", entries(&inbox).await), before);

        let working = work(inbox.worker(async |_: InboxEvent| Ok(())));
        until(&inbox, EntryState::Done, 3).await;
        assert_replay(&front.post(&batch(1..=3)).await, 204);
        assert_eq!(in_state(&inbox, EntryState::Done).await.len(), 3);
        working.stop().await;

        let partly = front.post(&batch(2..=5)).await;
        assert_eq!(partly.status, 204);
        assert!(!is_replay(&partly));
        let waiting = in_state(&inbox, EntryState::Waiting).await;
        let bodies: Vec<_> = waiting.iter().map(|entry| &*entry.event.body).collect();
        assert_eq!(bodies, [br#"{"id":4}"#, br#"{"id":5}"#]);
    })
    .await;
}

#[tokio::test]
async fn events_that_are_filtered_out_are_not_stored() {
    each_place(&STORES, async |place, framework| {
        let (inbox, _) = open(place).await;
        let receiver = Receiver::builder(Verifier::new(scheme::MAUTIC, SECRET).unwrap())
            .only(["mautic.lead_*"])
            .inbox(&inbox)
            .build()
            .unwrap();
        let front = Front::new(receiver, framework).await;
        let other = r#"{"mautic.email_on_open":[{"id":1},{"id":2}]}"#;
        let response = front.post(&signed(scheme::MAUTIC, other)).await;
        assert_eq!((response.status, is_replay(&response)), (204, false));
        assert!(entries(&inbox).await.is_empty());
        let mixed = r#"{"mautic.email_on_open":[{"id":1}],"mautic.lead_points_change":[{"id":9}]}"#;
        assert_eq!(front.post(&signed(scheme::MAUTIC, mixed)).await.status, 204);
        let stored = entries(&inbox).await;
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0].event.body, r#"{"id":9}"#);
    })
    .await;
}

/// Some senders put data and their token into the URL. The token is never stored.
#[tokio::test]
async fn the_path_and_query_are_kept_on_demand_without_the_token() {
    each_place(&STORES, async |place, framework| {
        let scheme = Scheme::builder("in-url").algorithm(Algorithm::Token).signature_query("token");
        let scheme = scheme.build().unwrap();
        let (inbox, _) = open(place).await;
        let inbox = inbox.identity(Identity::None);
        let mut request = signed(scheme.clone(), "");
        request.method = "GET".into();
        request.target = format!("/step/left?a=%26b&%74oken={SECRET}&email=zoe%40example.test");
        for inbox in [inbox.clone(), inbox.clone().keep_target()] {
            let front = Front::new(receiver(scheme.clone(), &inbox), framework).await;
            assert_eq!(front.post(&request).await.status, 204);
        }
        let notes = Notes::default();
        let noting = notes.clone();
        let working = work(inbox.worker(move |event: InboxEvent| {
            noting.add(format!("{:?}, {} bytes", event.target(), event.body().len()));
            async { Ok(()) }
        }));
        let kept = r#"Some("/step/left?a=%26b&email=zoe%40example.test"), 0 bytes"#;
        assert_eq!(notes.until(2).await, ["None, 0 bytes", kept]);
        working.stop().await;
        for entry in entries(&inbox).await {
            assert!(!format!("{:?}", entry.event.headers).contains(SECRET));
        }
    })
    .await;
}

#[tokio::test]
async fn a_store_that_fails_is_tried_twice_and_then_the_sender_is_to_retry() {
    each_place(&STORES, async |place, framework| {
        let (inbox, faults) = open(place).await;
        let front = Front::new(receiver(scheme::MAUTIC, &inbox), framework).await;
        for (fault, stored) in [(Fault::Refused, 0), (Fault::Unanswered, 3)] {
            faults.set("insert", fault);
            let response = front.post(&batch(1..=3)).await;
            assert_eq!(response.status, 503, "{response:?}");
            assert!(response.header("retry-after").is_some(), "{response:?}");
            assert_eq!(faults.take_calls("insert"), 2);
            assert_eq!(entries(&inbox).await.len(), stored);
        }
        faults.clear();
        // The sender gets a success, although the store had stored them before.
        assert_replay(&front.post(&batch(1..=3)).await, 204);
        assert_eq!(entries(&inbox).await.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn without_a_key_each_delivery_is_stored() {
    each_place(&STORES, async |place, framework| {
        let (inbox, _) = open(place).await;
        let front = Front::new(receiver(scheme::GENERIC_HEX, &inbox), framework).await;
        for _ in 0..2 {
            let response = front.post(&signed(scheme::GENERIC_HEX, "ring")).await;
            assert_eq!((response.status, is_replay(&response)), (204, false));
        }
        let stored = entries(&inbox).await;
        assert_eq!(stored.len(), 2);
        assert_ne!(stored[0].event.key, stored[1].event.key);
    })
    .await;
}

#[tokio::test]
async fn only_chosen_headers_are_kept() {
    each_place(&STORES, async |place, framework| {
        let (inbox, _) = open(place).await;
        let inbox = inbox.keep_headers(["X-Own", "x-absent"]);
        let front = Front::new(receiver(scheme::MAUTIC, &inbox), framework).await;
        let mut request = batch([1]);
        let kept = [
            ("content-type", "application/json; charset=utf-8"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("tracestate", "rojo=00f067aa0ba902b7"),
            ("x-own", "its value"),
        ];
        let others = [("cookie", "a=b"), ("authorization", "Bearer token"), ("x-other", "1")];
        for (name, value) in kept.iter().chain(&others) {
            request.headers.push((name.to_uppercase(), (*value).to_owned()));
        }
        assert_eq!(front.post(&request).await.status, 204);
        let headers = &entries(&inbox).await[0].event.headers;
        assert_eq!(*headers, kept.map(|(name, value)| (name.to_owned(), value.to_owned())));
    })
    .await;
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    each_store(&[Kind::Sqlite], async |place| {
        let (inbox, _) = open(place).await;
        let builder = || Receiver::builder(Verifier::new(scheme::MAUTIC, SECRET).unwrap());
        for name in ["Webhook-Signature", "authorization", "Cookie", "proxy-authorization"] {
            let inbox = inbox.clone().keep_headers([name]);
            let error = builder().inbox(&inbox).build().unwrap_err().to_string();
            assert!(error.contains("keep_headers"), "{error}");
            assert!(error.contains(&name.to_ascii_lowercase()), "{error}");
        }
        for name in ["", "bad header", "x-own:", "x-ö"] {
            let inbox = inbox.clone().keep_headers([name]);
            let error = builder().inbox(&inbox).build().unwrap_err().to_string();
            let expected = format!("keep_headers: {name:?} is not a header name");
            assert!(error.ends_with(&expected), "{error}");
        }
        let error = builder().inbox(&inbox).inbox(&inbox).build().unwrap_err().to_string();
        assert!(error.ends_with("inbox: a second inbox"), "{error}");
        for names in [&[][..], &[""], &["a", "b", "a"]] {
            let inbox = inbox.clone().consumers(names.iter().copied());
            let error = builder().inbox(&inbox).build().unwrap_err().to_string();
            assert!(error.contains("consumers"), "{error}");
        }
        let whole = |_: &Delivery| Some(b"key".to_vec());
        let ordered = || inbox.clone().ordered_by(|_| Some("key".to_owned()));
        let refused = [
            (inbox.clone().skip_dead(), "skip_dead"),
            (inbox.clone().by_event_time(), "by_event_time"),
            (inbox.clone().store_timeout(Duration::ZERO), "store_timeout"),
            (ordered().identity_from(whole), "ordered_by"),
            (ordered().identity(Identity::BodyDigest), "ordered_by"),
        ];
        for (inbox, option) in refused {
            let error = builder().inbox(&inbox).build().unwrap_err().to_string();
            assert!(error.contains(option), "{option}: {error}");
        }
        let single = Verifier::new(scheme::STANDARD_WEBHOOKS, SECRET).unwrap();
        Receiver::builder(single).inbox(&ordered().identity_from(whole)).build().unwrap();
        builder().inbox(&ordered().identity(Identity::None)).build().unwrap();
        let claims = Idempotency::new(MemoryStore::new(), "tests");
        let error = builder().idempotency(claims).inbox(&inbox).build().unwrap_err().to_string();
        assert!(error.contains("idempotency") && error.contains("inbox"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn the_json_in_a_form_is_stored() {
    each_place(&STORES, async |place, framework| {
        let (inbox, _) = open(place).await;
        let front = Front::new(receiver(scheme::GITHUB, &inbox), framework).await;
        let mut request = signed(scheme::GITHUB, "payload=%7B%22action%22%3A%22opened%22%7D");
        let form = "application/x-www-form-urlencoded";
        request.headers.push(("content-type".into(), form.into()));
        assert_eq!(front.post(&request).await.status, 204);
        let event = &entries(&inbox).await[0].event;
        assert_eq!(event.body, r#"{"action":"opened"}"#);
        assert_eq!(event.headers, [("content-type".to_owned(), "application/json".to_owned())]);
    })
    .await;
}

#[tokio::test]
async fn a_compressed_body_is_stored_decoded() {
    each_place(&STORES, async |place, framework| {
        let (inbox, _) = open(place).await;
        let scheme = Scheme::builder("acme").signature_header("x-acme-signature");
        let scheme = scheme.signed_bytes(SignedBytes::AsSent).build().unwrap();
        let front = Front::new(receiver(scheme.clone(), &inbox), framework).await;
        let request = signer(scheme).gzip().sign(r#"{"zen":"ok"}"#).unwrap();
        assert!(request.headers.iter().any(|(name, _)| name == "content-encoding"));
        assert_eq!(front.post(&request).await.status, 204);
        assert_eq!(entries(&inbox).await[0].event.body, r#"{"zen":"ok"}"#);
    })
    .await;
}

#[tokio::test]
async fn an_empty_batch_is_acknowledged_and_a_body_that_is_no_batch_is_stored_whole() {
    each_place(&STORES, async |place, framework| {
        let (inbox, faults) = open(place).await;
        let front = Front::new(receiver(scheme::MAUTIC, &inbox), framework).await;
        let empty = r#"{"mautic.lead_post_save_update":[]}"#;
        let response = front.post(&signed(scheme::MAUTIC, empty)).await;
        assert_eq!((response.status, is_replay(&response)), (204, false));
        assert_eq!(faults.take_calls("insert"), 0);
        assert!(entries(&inbox).await.is_empty());

        let request = signed(scheme::MAUTIC, "no JSON \0 \u{ff}");
        assert_eq!(front.post(&request).await.status, 204);
        assert_replay(&front.post(&request).await, 204);
        let stored = entries(&inbox).await;
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0].event.body, "no JSON \0 \u{ff}");
        assert_eq!(stored[0].event.event_type, None);
    })
    .await;
}

#[tokio::test]
async fn tenants_have_keys_of_their_own() {
    each_place(&STORES, async |place, framework| {
        let (inbox, _) = open(place).await;
        let receiver = receiver_of_tenants(&inbox);
        let front = Front::new(receiver, framework).await;
        let mut request = single("evt-1");
        for tenant in ["acme", "globex", "acme"] {
            request.target = format!("/{tenant}");
            assert_eq!(front.post(&request).await.status, 204);
        }
        let stored = entries(&inbox).await;
        let of = stored.iter().map(|entry| entry.event.namespace.as_deref().unwrap());
        assert_eq!(of.collect::<Vec<_>>(), ["acme", "globex"]);
        let of_acme = inbox.list(&inbox.filter().namespace("acme")).await.unwrap();
        assert_eq!(of_acme.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn the_exact_bytes_are_stored() {
    each_place(&STORES, async |place, framework| {
        let (inbox, _) = open(place).await;
        let front = Front::new(receiver(scheme::GENERIC_HEX, &inbox), framework).await;
        let bodies: [&[u8]; 4] = [b"", b"\0", b"a\0\xff\xfe\xc3(\r\n", b"{\"a\":\"\\u0000\xff\"}"];
        for body in bodies {
            assert_eq!(front.post(&signed(scheme::GENERIC_HEX, body)).await.status, 204);
        }
        let stored = entries(&inbox).await;
        let stored: Vec<_> = stored.iter().map(|entry| &*entry.event.body).collect();
        assert_eq!(stored, bodies);
    })
    .await;
}

#[tokio::test]
async fn nul_in_a_text_is_stored() {
    each_place(&STORES, async |place, framework| {
        let (inbox, _) = open(place).await;
        let inbox = inbox.ordered_by(|_| Some("a\0b".to_owned()));
        let front = Front::new(receiver(scheme::STANDARD_WEBHOOKS, &inbox), framework).await;
        let body = r#"{"type":"contact\u0000updated","data":{}}"#;
        let request = signer(scheme::STANDARD_WEBHOOKS).id("evt-1").sign(body).unwrap();
        assert_eq!(front.post(&request).await.status, 204);
        assert_replay(&front.post(&request).await, 204);
        let event = &entries(&inbox).await[0].event;
        assert_eq!(event.body, body);
        let event_type = event.event_type.as_deref().unwrap();
        assert_eq!(event_type.replace('\0', "\u{fffd}"), "contact\u{fffd}updated");
    })
    .await;
}

#[tokio::test]
async fn a_body_of_25_mib_is_stored() {
    each_place(&STORES, async |place, framework| {
        let (inbox, _) = open(place).await;
        let front = Front::new(receiver(scheme::GITHUB, &inbox), framework).await;
        let body: Vec<u8> = (0..25_usize << 20).map(|at| (at % 251) as u8).collect();
        let request = signed(scheme::GITHUB, body.clone());
        assert_eq!(front.post(&request).await.status, 204);
        assert_replay(&front.post(&request).await, 204);
        let seen = Notes::default();
        let noted = seen.clone();
        let working = work(inbox.worker(move |event: InboxEvent| {
            noted.add(if event.body() == &body { "equal" } else { "different" });
            async { Ok(()) }
        }));
        assert_eq!(seen.until(1).await, ["equal"]);
        working.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_panic_in_a_callback_refuses_the_request() {
    each_place(&STORES, async |place, framework| {
        let (inbox, _) = open(place).await;
        let ordered = inbox.clone().ordered_by(|_| panic!("of ordered_by"));
        let front = Front::new(receiver(scheme::MAUTIC, &ordered), framework).await;
        let response = front.post(&batch([1])).await;
        assert_eq!(response.status, 503, "{response:?}");
        assert!(response.header("retry-after").is_some());
        assert!(entries(&inbox).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_name_separates_inboxes_in_one_database() {
    each_store(&STORES, async |place| {
        let (one, _) = open_named(place, &unique("one")).await;
        let (two, _) = open_named(place, &unique("two")).await;
        for inbox in [&one, &two] {
            store(inbox, ["evt-1"]).await;
            assert_eq!(entries(inbox).await.len(), 1);
        }
    })
    .await;
}
