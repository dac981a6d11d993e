//! A flood of verified deliveries with the same problem: few lines, all of them counted.

use std::{
    convert::Infallible,
    future::pending,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use integration_tests::{App, Logs, Panicking, Reply, ReplyBody, Transport, each_framework, soon};
use webhook_verify::{
    Delivery, Idempotency, MemoryStore, Receiver, Rejection, RequestHead, Scheme, Verifier,
    adapter::Admission,
    idempotency::{OnStoreFailure, Replay},
    scheme::{self, Algorithm},
    testing::Signer,
};

use crate::{field, lines, most_lines};

const SECRET: &str = "a secret";

/// Sends a delivery. Its handler responds with `status`, or panics if that is `None`.
async fn deliver(receiver: &Receiver, signer: &Signer, body: String, status: Option<u16>) {
    let request = signer.sign(body).unwrap();
    let head = RequestHead::from(&request.headers);
    let body = stream::iter([Ok::<_, Infallible>(request.body.clone())]);
    if let Ok(Admission::Admitted(admitted)) = receiver.admit(&head, body).await {
        let recorder = admitted.recorder();
        let handler = async {
            if let Some(recorder) = recorder {
                let long = Some(u64::MAX);
                assert!(recorder.begin(200, &[("content-type", "text/plain")], long).is_none());
            }
            status.expect("on purpose")
        };
        let _: Result<u16, Rejection> = admitted.handle(handler, |status| Some(*status)).await;
    }
}

#[tokio::test]
async fn few_lines_about_verified_deliveries_are_logged() {
    let logs = Logs::collect();
    type With = fn(&str) -> Idempotency;
    let working: With = |name| Idempotency::new(MemoryStore::new(), name);
    let failing: With = |name| Idempotency::new(Panicking::new("claim", false), name);
    let listed = Scheme::builder("acme").algorithm(Algorithm::HmacSha256);
    let listed = listed.signature_header("acme-signature").event_list("/events");
    let listed = listed.listed_event_id(["/id"]).build().unwrap();
    let batch = r#"{"events":[{"n":1},{"n":2}]}"#;
    let rows: [(&str, Scheme, With, &str, Option<u16>); 8] = [
        ("store failed", scheme::GITHUB, failing, "{}", Some(200)),
        (
            "runs without a claim",
            scheme::GITHUB,
            |name| {
                Idempotency::new(Panicking::new("claim", false), name)
                    .on_store_failure(OnStoreFailure::Process)
            },
            "{}",
            Some(200),
        ),
        (
            "the callback of `complete_on` panicked",
            scheme::GITHUB,
            |name| Idempotency::new(MemoryStore::new(), name).complete_on(|_| panic!("on purpose")),
            "{}",
            Some(200),
        ),
        (
            "the callback of `on_event` panicked",
            scheme::GITHUB,
            |name| Idempotency::new(MemoryStore::new(), name).on_event(|_| panic!("on purpose")),
            "{}",
            Some(200),
        ),
        (
            "the response's body is not stored",
            scheme::GITHUB,
            |name| Idempotency::new(MemoryStore::new(), name).replay(Replay::BODY),
            "{}",
            Some(200),
        ),
        ("verified body has no id", scheme::STRIPE, working, "{}", Some(200)),
        ("verified event has no id", listed, working, batch, Some(200)),
        ("handler panicked", scheme::GITHUB, working, "{}", None),
    ];
    for (row, (text, scheme, with, body, status)) in rows.into_iter().enumerate() {
        let endpoint = format!("few-{row}");
        let receiver = Receiver::builder(Verifier::new(scheme.clone(), SECRET).unwrap())
            .idempotency(with(&endpoint))
            .timer(|_| pending())
            .build()
            .unwrap();
        let signer = Signer::new(scheme, SECRET).unwrap();
        let begun = Instant::now();
        // Each delivery has other bytes, so that none is a duplicate.
        let deliver = async |number: usize| {
            let body = body.replacen('{', &format!("{{{:number$}", ""), 1);
            deliver(&receiver, &signer, body, status).await;
        };
        for number in 0..100 {
            deliver(number).await;
        }
        let found = || {
            let lines = lines(&logs.text(), &endpoint).into_iter();
            lines
                .filter(|line| line.contains(&format!("webhook_verify: {text}")))
                .collect::<Vec<_>>()
        };
        let logged = found().len() as u64;
        assert!((5..=most_lines(begun)).contains(&logged), "{text}: {logged}");
        let counted = async {
            for number in 100.. {
                deliver(number % 1000).await;
                if found().last().is_some_and(|line| field(line, "suppressed") != "0") {
                    break;
                }
            }
        };
        soon("a line that counts the suppressed ones", counted).await;
    }
}

/// A response body that panics when it is dropped.
struct PanicsOnDrop;

impl Stream for PanicsOnDrop {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Pending
    }
}

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("on purpose");
        }
    }
}

/// The handler leaves its events undone, so its response is dropped.
#[tokio::test]
async fn a_panic_outside_of_the_handler_is_logged_with_its_endpoint() {
    let logs = Logs::collect();
    each_framework(|framework| {
        let logs = logs.clone();
        async move {
            let endpoint = format!("outside-{framework:?}");
            let receiver = Receiver::builder(Verifier::new(scheme::MAUTIC, SECRET).unwrap())
                .idempotency(Idempotency::new(MemoryStore::new(), endpoint.as_str()))
                .build()
                .unwrap();
            let app = App::replying(receiver, |delivery: Delivery| async move {
                for _ in &delivery.events().unwrap() {}
                Reply { body: ReplyBody::Pieces(PanicsOnDrop.boxed()), ..Reply::from(200) }
            });
            let signer = Signer::new(scheme::MAUTIC, SECRET).unwrap();
            let body = r#"{"mautic.lead_post_delete":[{"id":52},{"id":53}]}"#;
            let request = signer.sign(body).unwrap();
            let (target, headers) = (&request.target, &request.headers);
            let sent =
                app.send(framework, Transport::InProcess, "POST", target, headers, &request.body);
            assert_eq!(sent.await.status, 500);
            let lines = lines(&logs.text(), &endpoint);
            let is_panic = |line: &&String| line.contains("panicked outside of the handler");
            let line = lines.iter().find(is_panic).unwrap_or_else(|| panic!("{lines:#?}"));
            assert_eq!((field(line, "scheme"), field(line, "suppressed")), ("mautic", "0"));
        }
    })
    .await;
}
