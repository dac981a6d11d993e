//! The steps of a request in the log at the level DEBUG, and handlers that are almost too slow.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use integration_tests::{App, Logs, Transport, answer, each_framework};
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, RequestHead, Scheme, Verifier,
    adapter::Admission,
    scheme,
    testing::{SignedRequest, Signer},
};

use crate::{field, lines, most_lines, receiver, refusals};

const SECRET: &str = "a secret";

fn signed(scheme: Scheme, body: &'static str) -> SignedRequest {
    Signer::new(scheme, SECRET).unwrap().sign(body).unwrap()
}

/// Returns the messages of an endpoint's lines, in order.
fn steps(endpoint: &str, known: &[&'static str]) -> Vec<&'static str> {
    let lines = lines(&Logs::collect().text(), endpoint);
    let known_in = |line: &String| {
        let of_line = |step: &&&str| line.contains(&format!("webhook_verify: {step}"));
        known.iter().find(of_line).copied()
    };
    lines.iter().filter_map(known_in).collect()
}

#[tokio::test]
async fn each_step_is_logged() {
    let _logs = Logs::collect();
    each_framework(async |framework| {
        let endpoint = format!("steps-{framework:?}");
        let verifier = Verifier::new(scheme::GITHUB, SECRET).unwrap();
        let receiver = Receiver::builder(verifier)
            .idempotency(Idempotency::new(MemoryStore::new(), endpoint.as_str()))
            .build()
            .unwrap();
        let app = App::new(receiver, answer(204));
        let request = signed(scheme::GITHUB, r#"{"action":"opened"}"#);
        let (target, headers) = (&request.target, &request.headers);
        let sent = app.send(framework, Transport::Socket, "POST", target, headers, &request.body);
        assert_eq!(sent.await.status, 204);
        let all =
            ["head accepted", "body read", "verified", "claimed", "handler ended", "completed"];
        assert_eq!(steps(&endpoint, &all), all);
    })
    .await;
}

#[tokio::test]
async fn a_challenge_and_a_filtered_event_are_logged() {
    let _logs = Logs::collect();
    let app = |endpoint: &str, scheme: Scheme| {
        let verifier = Verifier::builder(scheme).secret(SECRET).build().unwrap();
        let receiver = Receiver::builder(verifier).endpoint(endpoint);
        receiver.timer(|_| std::future::pending())
    };
    let request = signed(scheme::STRIPE, r#"{"id":"evt_1","type":"customer.created"}"#);
    let admit = async |receiver: &Receiver, head: RequestHead<'_>, body: Bytes| {
        receiver.admit(&head, stream::iter([Ok::<_, std::io::Error>(body)])).await.unwrap()
    };
    let filtered = app("filtered", scheme::STRIPE).only(["invoice.*"]).build().unwrap();
    let head = RequestHead::new(&request.headers);
    let admission = admit(&filtered, head, request.body.clone()).await;
    assert!(matches!(admission, Admission::Answer(_)));
    let all = ["head accepted", "body read", "verified", "filtered out"];
    assert_eq!(steps("filtered", &all), all);

    let challenged = app("challenged", scheme::DROPBOX).build().unwrap();
    let none: [(&str, &str); 0] = [];
    let head = RequestHead::new(&none).method("GET").target("/?challenge=abc");
    let admission = admit(&challenged, head, Bytes::new()).await;
    assert!(matches!(admission, Admission::Answer(_)));
    let all = ["challenge answered"];
    assert_eq!(steps("challenged", &all), all);
    assert!(lines(&Logs::collect().text(), "challenged").len() >= 2);
}

/// A delivery that is refused after it was verified, because it is in progress elsewhere.
#[tokio::test]
async fn the_refusal_of_a_verified_delivery_is_logged_with_its_path() {
    let logs = Logs::collect();
    let verifier = Verifier::new(scheme::GITHUB, SECRET).unwrap();
    let receiver = Receiver::builder(verifier)
        .idempotency(Idempotency::new(MemoryStore::new(), "in-progress"))
        .timer(|_| std::future::pending())
        .build()
        .unwrap();
    let request = signed(scheme::GITHUB, "{}");
    let head = RequestHead::new(&request.headers).target("/github?token=in-the-query");
    let admit = || {
        let body = stream::iter([Ok::<_, std::io::Error>(request.body.clone())]);
        receiver.admit(&head, body)
    };
    let _held = admit().await.unwrap();
    assert_eq!(admit().await.unwrap_err().status(), 503);
    let lines = refusals(&logs.text(), "in-progress");
    let [line] = &lines[..] else { panic!("{lines:#?}") };
    for (name, value) in [("reason", "in_flight"), ("method", "POST"), ("path", "/github")] {
        assert_eq!(field(line, name), value, "{line}");
    }
}

/// A handler that takes more than 80 % of the time that its sender waits.
#[tokio::test]
async fn a_handler_that_is_almost_too_slow_is_logged() {
    let logs = Logs::collect();
    for (endpoint, budget, is_slow) in
        [("slow", Duration::from_millis(1), true), ("fast", Duration::from_secs(3600), false)]
    {
        let acme = Scheme::builder("acme").signature_header("acme-signature").time_budget(budget);
        let acme = acme.build().unwrap();
        let verifier = Verifier::new(acme.clone(), SECRET).unwrap();
        let receiver = receiver(endpoint, verifier).or_timer(|_| std::future::pending());
        let request = signed(acme, "{}");
        let begun = Instant::now();
        for _ in 0..100 {
            let body = stream::iter([Ok::<_, std::io::Error>(request.body.clone())]);
            let admission = receiver.admit(&RequestHead::new(&request.headers), body).await;
            let Ok(Admission::Admitted(admitted)) = admission else { panic!("{admission:?}") };
            let handler = async {
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_millis(2) {}
                204
            };
            assert_eq!(admitted.handle(handler, |status| Some(*status)).await.unwrap(), 204);
        }
        let lines = lines(&logs.text(), endpoint);
        let slow = lines.iter().filter(|line| line.contains("more than 80 %"));
        let most = if is_slow { most_lines(begun) } else { 0 };
        let slow = slow.count() as u64;
        assert!(slow <= most && (slow > 0) == is_slow, "{slow} of {most}");
    }
}
