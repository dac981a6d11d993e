//! Panics in the user's code: stores and callbacks. The response is the same on both frameworks.
//! The log names the store or the callback.

use std::{sync::Arc, time::Duration};

use actix_web::web;
use axum::{Router, routing::post};
use integration_tests::{
    App, Framework, Logs, Panicking, Transport, answer, call_actix, call_axum, soon, to_actix,
    to_axum,
};
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, Rejection, Scheme, Verifier,
    idempotency::{ClaimKey, OnStoreFailure, Replay},
    scheme,
    testing::{SignedRequest, Signer},
};
use webhook_verify_actix::WebhookMiddleware;
use webhook_verify_axum::WebhookLayer;

use super::SECRET;

fn verifier(scheme: Scheme) -> Verifier {
    Verifier::new(scheme, SECRET).unwrap()
}

fn receiver(scheme: Scheme, idempotency: Idempotency) -> Receiver {
    Receiver::builder(verifier(scheme)).idempotency(idempotency).build().unwrap()
}

fn signed(scheme: Scheme, body: &'static str) -> SignedRequest {
    Signer::new(scheme, SECRET).unwrap().id("1").sign(body).unwrap()
}

async fn send(app: &App, framework: Framework, request: &SignedRequest) -> u16 {
    let (headers, body) = (&request.headers, &request.body);
    app.send(framework, Transport::Socket, "POST", "/", headers, body).await.status
}

/// Returns whether a line of the endpoint contains all texts.
fn is_logged(endpoint: &str, texts: &[&str]) -> bool {
    let log = Logs::collect_all().text();
    let of_endpoint = format!("endpoint=\"{endpoint}\"");
    let mut lines = log.lines().filter(|line| line.contains(&of_endpoint));
    lines.any(|line| texts.iter().all(|text| line.contains(text)))
}

const FRAMEWORKS: [Framework; 2] = [Framework::Axum, Framework::Actix];
/// The field of the log.
const STORE: &str = "source=the store panicked";

#[tokio::test]
async fn a_store_that_panics_has_failed() {
    // The call, the handler's status, the responses to a delivery and its retry, and the handler's
    // runs.
    let rows = [
        ("claim", 200, [503, 503], 0),
        ("complete", 200, [200, 200], 1),
        ("release", 500, [500, 503], 1),
        ("response", 200, [200, 503], 1),
    ];
    let _logs = Logs::collect_all();
    for framework in FRAMEWORKS {
        for (call, status, responses, runs) in rows {
            for at_once in [true, false] {
                let endpoint = format!("{framework:?}-store-{call}-{at_once}");
                let store = Panicking::new(call, at_once);
                let idempotency = Idempotency::new(store, endpoint.as_str());
                let idempotency = match call {
                    "response" => idempotency.replay(Replay::BODY),
                    _ => idempotency.complete_tries(1),
                };
                let app = App::new(receiver(scheme::GITHUB, idempotency), answer(status));
                for response in responses {
                    let sent = send(&app, framework, &signed(scheme::GITHUB, "{}")).await;
                    assert_eq!(sent, response, "{endpoint}");
                }
                assert_eq!(app.runs(), runs, "{endpoint}");
                let failed = ["ERROR", "store failed", &format!("call=\"{call}\""), STORE];
                assert!(is_logged(&endpoint, &failed), "{endpoint}");
                let refusal = ["refused: store failed", "reason=\"store\"", STORE];
                let is_refused = matches!(call, "claim" | "response");
                assert_eq!(is_logged(&endpoint, &refusal), is_refused, "{endpoint}");
                assert!(!is_logged(&endpoint, &["handler panicked"]), "{endpoint}");
            }
        }
    }
}

/// The policy for failures applies to panics.
#[tokio::test]
async fn a_store_that_panics_may_be_ignored() {
    for framework in FRAMEWORKS {
        let endpoint = format!("{framework:?}-ignored");
        let idempotency = Idempotency::new(Panicking::new("claim", false), endpoint);
        let idempotency = idempotency.on_store_failure(OnStoreFailure::Process);
        let app = App::new(receiver(scheme::GITHUB, idempotency), answer(200));
        assert_eq!(send(&app, framework, &signed(scheme::GITHUB, "{}")).await, 200);
    }
}

#[tokio::test]
async fn a_store_that_panics_in_a_renewal_has_failed() {
    let _logs = Logs::collect_all();
    for framework in FRAMEWORKS {
        let endpoint = format!("{framework:?}-renewal");
        let store = Panicking::new("extend", false);
        let panicked = Arc::clone(&store.panicked);
        let idempotency = Idempotency::new(store, endpoint.as_str());
        let idempotency = idempotency.renew_every(Duration::from_millis(10));
        let handler = move |_| {
            let panicked = Arc::clone(&panicked);
            Box::pin(async move {
                panicked.notified().await;
                200_u16
            }) as _
        };
        let app = App::new(receiver(scheme::GITHUB, idempotency), Arc::new(handler));
        for _ in 0..2 {
            let request = signed(scheme::GITHUB, "{}");
            let sent = soon("end of the renewal", send(&app, framework, &request)).await;
            assert_eq!(sent, 200, "{endpoint}");
        }
        assert_eq!(app.runs(), 1, "completed: {endpoint}");
        assert!(is_logged(&endpoint, &["store failed", "call=\"extend\"", STORE]));
    }
}

#[tokio::test]
async fn a_store_that_panics_in_forget_returns_an_error() {
    for at_once in [true, false] {
        let idempotency = Idempotency::new(Panicking::new("forget", at_once), "forget");
        let receiver = receiver(scheme::GITHUB, idempotency);
        let error = receiver.forget(&ClaimKey::from([1; 32])).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "store failed: the store panicked");
    }
}

#[tokio::test]
async fn a_panic_in_the_computation_of_a_key_is_a_503() {
    let _logs = Logs::collect_all();
    let batch = r#"{"mautic.lead_post_delete":[{"id":52},{"id":53}]}"#;
    let whole: fn(Idempotency) -> Idempotency = |it| it.identity_from(|_| panic!("on purpose"));
    let events: fn(Idempotency) -> Idempotency =
        |it| it.event_identity_from(|_| panic!("on purpose"));
    for framework in FRAMEWORKS {
        for (callback, scheme, body, with) in [
            ("identity_from", scheme::GITHUB, "{}", whole),
            ("event_identity_from", scheme::MAUTIC, batch, events),
        ] {
            let endpoint = format!("{framework:?}-{callback}");
            let idempotency = with(Idempotency::new(MemoryStore::new(), endpoint.as_str()));
            for to_the_end in [true, false] {
                let idempotency = idempotency.clone().run_to_completion(to_the_end);
                let app = App::new(receiver(scheme.clone(), idempotency), answer(200));
                assert_eq!(send(&app, framework, &signed(scheme.clone(), body)).await, 503);
                assert_eq!(app.runs(), 0);
            }
            let message = format!("refused: the callback of `{callback}` panicked");
            let refusal = ["ERROR", message.as_str(), "reason=\"callback_panicked\""];
            assert!(is_logged(&endpoint, &refusal), "{endpoint}");
            assert!(!is_logged(&endpoint, &["handler panicked"]), "{endpoint}");
        }
    }
}

/// The handler's response stands, and 2xx completes.
#[tokio::test]
async fn a_panic_in_complete_on_changes_no_response() {
    let _logs = Logs::collect_all();
    for framework in FRAMEWORKS {
        for (replay, name) in [(Replay::Status, "status"), (Replay::BODY, "body")] {
            for (status, runs) in [(200, 1), (500, 2)] {
                let endpoint = format!("{framework:?}-complete_on-{name}-{status}");
                let idempotency = Idempotency::new(MemoryStore::new(), endpoint.as_str());
                let idempotency = idempotency.replay(replay).complete_on(|_| panic!("on purpose"));
                let app = App::new(receiver(scheme::GITHUB, idempotency), answer(status));
                for _ in 0..2 {
                    let sent = send(&app, framework, &signed(scheme::GITHUB, "{}")).await;
                    assert_eq!(sent, status, "{endpoint}");
                }
                assert_eq!(app.runs(), runs, "{endpoint}");
                let line = ["ERROR", "the callback of `complete_on` panicked"];
                assert!(is_logged(&endpoint, &line), "{endpoint}");
            }
        }
    }
}

#[tokio::test]
async fn a_panic_in_on_event_changes_nothing() {
    let _logs = Logs::collect_all();
    for framework in FRAMEWORKS {
        let endpoint = format!("{framework:?}-on_event");
        let idempotency = Idempotency::new(MemoryStore::new(), endpoint.as_str());
        let idempotency = idempotency.on_event(|_| panic!("on purpose"));
        let app = App::new(receiver(scheme::GITHUB, idempotency), answer(201));
        for _ in 0..2 {
            assert_eq!(send(&app, framework, &signed(scheme::GITHUB, "{}")).await, 201);
        }
        assert_eq!(app.runs(), 1);
        let line = ["ERROR", "the callback of `on_event` panicked", "event=\"completed\""];
        assert!(is_logged(&endpoint, &line), "{endpoint}");
    }
}

/// The client gets the default response.
#[actix_web::test]
async fn a_panic_in_the_rendering_of_a_refusal_is_contained() {
    let logs = Logs::collect_all();
    let forged = || {
        let mut request = super::signed("{}");
        request.body = "[]".into();
        request
    };
    fn panics<R>(_: &Rejection, _: R) -> R {
        panic!("on purpose")
    }
    let of_axum = || {
        let layer = WebhookLayer::new(super::receiver()).with_rejection_response(panics);
        call_axum(Router::new().route("/", post(async || "done")).layer(layer), {
            to_axum("/", &forged())
        })
    };
    let of_actix = || {
        let middleware = WebhookMiddleware::new(super::receiver()).with_rejection_response(panics);
        let resource = web::resource("/").wrap(middleware).to(async || "done");
        let configure = |config: &mut web::ServiceConfig| {
            config.service(resource);
        };
        call_actix(configure, to_actix("/", &forged()))
    };
    let line = "the callback of `with_rejection_response` panicked";
    let lines = || logs.text().lines().filter(|it| it.contains(line)).count();
    for (number, response) in [of_axum().await, of_actix().await].into_iter().enumerate() {
        assert_eq!((response.status, response.text()), (401, "invalid webhook signature"));
        assert!(response.header("www-authenticate").is_some(), "{number}");
    }
    assert_eq!(lines(), 2);
}

/// An error of the handler whose status panics is a failure of the handler.
#[derive(Debug)]
struct NoStatus;

impl std::fmt::Display for NoStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no status")
    }
}

impl actix_web::ResponseError for NoStatus {
    fn status_code(&self) -> actix_web::http::StatusCode {
        panic!("on purpose")
    }
}

#[actix_web::test]
async fn a_panic_in_the_status_of_an_error_releases_the_delivery() {
    let logs = Logs::collect_all();
    // An inner middleware returns the error unchanged. A handler's error becomes a response.
    async fn fails(
        _: actix_web::dev::ServiceRequest,
        _: actix_web::middleware::Next<impl actix_web::body::MessageBody + 'static>,
    ) -> Result<actix_web::dev::ServiceResponse, actix_web::Error> {
        Err(NoStatus.into())
    }
    let idempotency = Idempotency::new(MemoryStore::new(), "status_code");
    let middleware = WebhookMiddleware::new(receiver(scheme::GITHUB, idempotency));
    let inside = web::resource("/").wrap(actix_web::middleware::from_fn(fails)).wrap(middleware);
    let app = actix_web::test::init_service(actix_web::App::new().service(inside)).await;
    for _ in 0..2 {
        // Released, so the second is not in progress elsewhere.
        let request = to_actix("/", &signed(scheme::GITHUB, "{}")).to_request();
        let response = actix_web::test::try_call_service(&app, request).await.unwrap();
        assert_eq!(response.status().as_u16(), 500);
    }
    assert!(is_logged("status_code", &["handler panicked"]), "{}", logs.text());
}
