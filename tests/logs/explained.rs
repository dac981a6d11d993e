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

/// A receiver that explains refusals logs the cause and the fix. The client gets the same response.
#[tokio::test]
async fn a_refusal_is_explained_if_the_receiver_is_asked_to() {
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
            let receiver = builder(&endpoint, secret).explain_refusals();
            let response = send(framework, receiver, request).await;
            assert_eq!((response.status, response.text()), (401, "invalid webhook signature"));
            let log = Logs::collect().text();
            let [line] = &refusals(&log, &endpoint)[..] else { panic!("{log}") };
            assert_eq!(field(line, "cause"), cause, "{line}");
            assert!(field(line, "fix").starts_with(fix), "{line}");
            assert!(!field(line, "hint").is_empty() && !line.contains(SECRET), "{line}");
        }
        // Not if nobody asks, and not for a body that costs too much.
        let mut long = request.clone();
        long.body = vec![b' '; (1 << 20) + 1].into();
        let endpoints = ["unasked", "too-long"].map(|it| format!("explained-{it}-{framework:?}"));
        send(framework, builder(&endpoints[0], "another"), &request).await;
        let asked = builder(&endpoints[1], "another").explain_refusals();
        send(framework, asked.body_limit(4 << 20), &long).await;
        for endpoint in endpoints {
            let log = Logs::collect().text();
            let [line] = &refusals(&log, &endpoint)[..] else { panic!("{log}") };
            assert_eq!((field(line, "cause"), field(line, "fix")), ("", ""), "{line}");
        }
    }
}
