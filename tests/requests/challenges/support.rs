//! A made-up sender that signs bodies, and has a challenge.

use integration_tests::{Framework, Response, Transport};
use webhook_verify::{ReceiverBuilder, Scheme, Verifier, VerifierBuilder, scheme::Challenge};

use super::attacks::{Request, SECRET, Target, hex, mac};

pub(crate) fn scheme(challenge: Challenge) -> Scheme {
    Scheme::builder("acme").signature_header("acme-signature").challenge(challenge).build().unwrap()
}

pub(crate) fn builder(challenge: Challenge) -> VerifierBuilder {
    Verifier::builder(scheme(challenge)).secret(SECRET)
}

/// A request with nothing in it but what is given.
pub(crate) fn ask(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Request {
    Request::new(headers, body).method(method).target(target)
}

pub(crate) fn get(target: &str) -> Request {
    ask("GET", target, &[], "")
}

pub(crate) fn post(body: &str) -> Request {
    ask("POST", "/hook", &[], body)
}

/// Signed as the sender does it.
pub(crate) fn signed(body: &str) -> Request {
    let signature = hex(&mac(&[body.as_bytes()]));
    post(body).and("acme-signature", signature)
}

/// The expected response to a challenge: content type and body, or a header.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected<'e> {
    Empty,
    Text(&'e str),
    Json(&'e str),
    Header(&'e str, &'e str),
}

/// In process, so that no server has a say in it.
pub(crate) async fn send(target: &Target, request: &Request) -> Response {
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), String::from_utf8(value.clone()).unwrap()))
        .collect();
    target
        .app
        .send(
            target.framework,
            Transport::InProcess,
            &request.method,
            &request.target,
            &headers,
            &request.body,
        )
        .await
}

/// The request is answered so, and neither handler nor store hears of it.
pub(crate) async fn answers(target: &Target, request: &Request, expected: Expected<'_>) {
    let before = target.touched();
    let response = send(target, request).await;
    let what = format!("{:?}: {} {}", target.framework, request.method, request.target);
    let (content_type, body) = match expected {
        Expected::Empty | Expected::Header(..) => (None, ""),
        Expected::Text(text) => (Some("text/plain; charset=utf-8"), text),
        Expected::Json(text) => (Some("application/json"), text),
    };
    assert_eq!((response.status, response.text()), (200, body), "{what}");
    assert_eq!(response.header("content-type"), content_type, "{what}");
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    if let Expected::Header(name, value) = expected {
        assert_eq!(response.header(name), Some(value), "{what}");
    }
    assert_eq!(target.touched(), before, "{what}");
}

/// The request is refused like any that is not authentic, and nothing of it comes back.
pub(crate) async fn refuses(target: &Target, what: &str, request: &Request) {
    let before = target.touched();
    let response = send(target, request).await;
    // axum removes the body of a response to HEAD.
    let text = match request.method.as_str() {
        "HEAD" => response.text(),
        _ => "invalid webhook signature",
    };
    target.is_refusal(what, &response, 401, text);
    assert_eq!(target.touched(), before, "{what}");
}

/// The request goes to the handler.
pub(crate) async fn delivers(target: &Target, what: &str, request: &Request) {
    let (runs, _) = target.touched();
    let response = send(target, request).await;
    assert_eq!((response.status, response.text()), (204, ""), "{what}");
    assert_eq!(target.touched().0, runs + 1, "{what}");
}

/// Starts a receiver on each framework.
pub(crate) async fn each(
    verifier: impl Fn() -> VerifierBuilder,
    settings: impl Fn(ReceiverBuilder) -> ReceiverBuilder,
) -> [Target; 2] {
    let start = async |framework| {
        let verifier = verifier().build().unwrap();
        Target::start_with(framework, &verifier, &settings).await
    };
    [start(Framework::Axum).await, start(Framework::Actix).await]
}

/// Starts a receiver on each framework whose scheme has this challenge.
pub(crate) async fn with(challenge: Challenge) -> [Target; 2] {
    each(|| builder(challenge.clone()), |receiver| receiver).await
}
