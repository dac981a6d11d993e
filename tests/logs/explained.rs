//! Explanations of refusals in the log.

use std::time::Duration;

use integration_tests::{App, Framework, Logs, Response, Transport, answer};
use webhook_verify::{
    Receiver, ReceiverBuilder, Secret, Verifier, scheme,
    testing::{SignedRequest, Signer},
};

use crate::{field, refusals};

const NOW: Duration = Duration::from_secs(1_795_305_600);
const SECRET: &str = "4f9a1c2be07d55813c6fa0d9e4b7281f";

fn builder(endpoint: &str, secret: &str) -> ReceiverBuilder {
    let verifier = Verifier::builder(scheme::GITHUB).clock(|| NOW);
    let verifier = verifier.secret(Secret::exact(secret).unwrap());
    Receiver::builder(verifier).endpoint(endpoint)
}

async fn send(framework: Framework, receiver: ReceiverBuilder, it: &SignedRequest) -> Response {
    let app = App::new(receiver.build().unwrap(), answer(204));
    app.send(framework, Transport::Socket, "POST", &it.target, &it.headers, &it.body).await
}

/// A receiver logs the cause and the fix. The client gets the same response.
#[tokio::test]
async fn a_refusal_is_explained() {
    let _logs = Logs::collect();
    let request = Signer::new(scheme::GITHUB, SECRET).unwrap().sign("{\"a\": 1, \"b\":2}").unwrap();
    for framework in [Framework::Axum, Framework::Actix] {
        let mut unsigned = request.clone();
        unsigned.headers.clear();
        for (name, secret, request, cause, fix) in [
            ("head", SECRET, &unsigned, "missing_header", "set a secret"),
            ("space", "4f9a1c2be07d55813c6fa0d9e4b7281f ", &request, "secret_whitespace", "remove"),
            ("other", "another", &request, "no_match", "compare the secret"),
        ] {
            let endpoint = format!("explained-{name}-{framework:?}");
            let response = send(framework, builder(&endpoint, secret), request).await;
            assert_eq!((response.status, response.text()), (401, "invalid webhook signature"));
            let log = Logs::collect().text();
            let [line] = &refusals(&log, &endpoint)[..] else { panic!("{log}") };
            assert_eq!(field(line, "cause"), cause, "{line}");
            assert!(field(line, "fix").starts_with(fix), "{line}");
            assert!(!field(line, "hint").is_empty() && !line.contains(SECRET), "{line}");
        }
    }
}

/// Anyone can send large bodies, so they are explained only if the receiver is asked to.
#[tokio::test]
async fn large_bodies_are_explained_only_on_demand() {
    let _logs = Logs::collect();
    let signed = |len: usize| {
        let signer = Signer::new(scheme::GITHUB, SECRET).unwrap();
        signer.sign(format!("{{\"a\":\"{}\"}}", "a".repeat(len))).unwrap()
    };
    for framework in [Framework::Axum, Framework::Actix] {
        for (name, len, asked, cause, hint) in [
            ("unasked", 65 << 10, false, "no_match", "the body is too long"),
            ("asked", 65 << 10, true, "body_final_newline", "the request is valid"),
            ("too-long", 1 << 20, true, "no_match", "the body is too long"),
        ] {
            let mut request = signed(len);
            request.body = [&request.body[..], b"\n"].concat().into();
            let endpoint = format!("explained-{name}-{framework:?}");
            let receiver = builder(&endpoint, SECRET).body_limit(4 << 20);
            let receiver = if asked { receiver.explain_refusals() } else { receiver };
            send(framework, receiver, &request).await;
            let log = Logs::collect().text();
            let [line] = &refusals(&log, &endpoint)[..] else { panic!("{log}") };
            assert_eq!(field(line, "cause"), cause, "{line}");
            assert!(field(line, "hint").contains(hint), "{line}");
        }
    }
}
