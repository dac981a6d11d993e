//! Events routed by type, on both frameworks.

use std::sync::{Arc, Mutex};

use actix_web::{HttpResponse, ResponseError, web};
use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response as AxumResponse},
};
use integration_tests::{Framework, Logs, Response, call_actix, call_axum, to_actix, to_axum};
use serde::Deserialize;
use webhook_verify::{
    Event, ExtractError, Receiver, Routes, Scheme, scheme,
    testing::{SignedRequest, Signer},
};
use webhook_verify_actix::webhook;
use webhook_verify_axum::RouterExt as _;

use super::{SECRET, deduplicating};

const BOTH: [Framework; 2] = [Framework::Axum, Framework::Actix];

/// A service's own error.
#[derive(Debug)]
enum Failed {
    Busy,
    Extract(ExtractError),
}

impl From<ExtractError> for Failed {
    fn from(error: ExtractError) -> Self {
        Self::Extract(error)
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failed")
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> AxumResponse {
        match self {
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            Self::Extract(error) => error.into_response(),
        }
    }
}

impl ResponseError for Failed {
    fn error_response(&self) -> HttpResponse {
        match self {
            Self::Busy => HttpResponse::ServiceUnavailable().finish(),
            Self::Extract(error) => error.error_response(),
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
struct Thing {
    id: u32,
}

/// The calls of handlers: the handler's name, and the event's ID or type.
type Calls = Arc<Mutex<Vec<String>>>;

/// Returns a handler that records its calls, and fails at the first thing with the ID 2.
fn things(
    name: &'static str,
    calls: &Calls,
) -> impl Fn(Thing) -> std::future::Ready<Result<(), Failed>> + use<> {
    let calls = Arc::clone(calls);
    move |Thing { id }| {
        let mut calls = calls.lock().unwrap();
        let call = format!("{name} {id}");
        let fails = id == 2 && !calls.contains(&call);
        calls.push(call);
        std::future::ready(if fails { Err(Failed::Busy) } else { Ok(()) })
    }
}

/// Returns a handler that records the types of events.
fn events(
    name: &'static str,
    calls: &Calls,
) -> impl Fn(Event) -> std::future::Ready<Result<(), Failed>> + use<> {
    let calls = Arc::clone(calls);
    move |event| {
        calls.lock().unwrap().push(format!("{name} {:?}", event.event_type().as_deref()));
        std::future::ready(Ok(()))
    }
}

async fn send(
    framework: Framework,
    receiver: &Receiver,
    routes: &Routes<Failed>,
    request: &SignedRequest,
) -> Response {
    let (receiver, routes) = (receiver.clone(), routes.clone());
    match framework {
        Framework::Axum => {
            use webhook_verify_axum::Verified;
            let app =
                Router::new().webhook("/", receiver, move |Verified(events)| routes.handle(events));
            call_axum(app, to_axum("/", request)).await
        }
        Framework::Actix => {
            use webhook_verify_actix::Verified;
            let resource = webhook("/", receiver, move |Verified(events)| routes.handle(events));
            let configure = |config: &mut web::ServiceConfig| {
                config.service(resource);
            };
            call_actix(configure, to_actix("/", request)).await
        }
    }
}

fn signed(scheme: Scheme, event_type: &str, body: &str) -> SignedRequest {
    let signer = Signer::new(scheme, SECRET).unwrap();
    signer.event_type(event_type).sign(body.to_owned()).unwrap()
}

/// Sends an event to routes. Returns the status, 200 for any success, and the calls of handlers.
async fn route(
    framework: Framework,
    scheme: &Scheme,
    event_type: &str,
    body: &str,
    routes: &Routes<Failed>,
    calls: &Calls,
) -> (u16, Vec<String>) {
    calls.lock().unwrap().clear();
    let request = signed(scheme.clone(), event_type, body);
    let response = send(framework, &deduplicating(scheme.clone()), routes, &request).await;
    // actix-web responds to `Ok(())` with 204.
    let status = if response.status == 204 { 200 } else { response.status };
    (status, calls.lock().unwrap().clone())
}

/// The events around a failure are done, and a retry runs the one that failed.
#[actix_web::test]
async fn each_event_of_a_batch_is_done_when_its_handler_succeeds() {
    for framework in BOTH {
        let calls = Calls::default();
        let routes = Routes::new()
            .on("mautic.lead_post_*", things("lead", &calls))
            .on("mautic.page_on_hit", things("page", &calls));
        let receiver = deduplicating(scheme::MAUTIC);
        let body = r#"{"mautic.lead_post_delete":[{"id":1},{"id":2}],
            "mautic.form_on_submit":[{"id":3}],"mautic.page_on_hit":{"id":4}}"#;
        let request = signed(scheme::MAUTIC, "", body);

        let response = send(framework, &receiver, &routes, &request).await;
        assert_eq!(response.status, 503, "{framework:?}");
        assert_eq!(*calls.lock().unwrap(), ["lead 1", "lead 2", "page 4"], "{framework:?}");

        let response = send(framework, &receiver, &routes, &request).await;
        assert!(matches!(response.status, 200 | 204), "{framework:?} {}", response.status);
        let all = ["lead 1", "lead 2", "page 4", "lead 2"];
        assert_eq!(*calls.lock().unwrap(), all, "{framework:?}");

        let response = send(framework, &receiver, &routes, &request).await;
        assert_eq!(response.header("idempotent-replayed"), Some("true"), "{framework:?}");
    }
}

/// If the handler of an event always panics, a retry would never reach the events after it.
#[actix_web::test]
async fn a_panic_does_not_stop_the_events_after_it() {
    for framework in BOTH {
        let calls = Calls::default();
        let panics = |_: Event| -> std::future::Ready<Result<(), Failed>> { panic!("on purpose") };
        let later = async |_: Event| -> Result<(), Failed> {
            tokio::task::yield_now().await;
            panic!("on purpose")
        };
        let routes = Routes::new()
            .on("mautic.lead_*", things("lead", &calls))
            .on("mautic.form_*", panics)
            .on("mautic.email_*", later)
            .on("mautic.page_*", things("page", &calls));
        let receiver = deduplicating(scheme::MAUTIC);
        let body = r#"{"mautic.lead_post_delete":[{"id":1}],"mautic.form_on_submit":[{"id":3}],
            "mautic.email_on_open":[{"id":3}],"mautic.page_on_hit":[{"id":4}]}"#;
        let request = signed(scheme::MAUTIC, "", body);
        for _ in 0..2 {
            let response = send(framework, &receiver, &routes, &request).await;
            assert_eq!(response.status, 500, "{framework:?}");
            assert_eq!(*calls.lock().unwrap(), ["lead 1", "page 4"], "{framework:?}");
        }
    }
}

/// The first matching pattern wins. Without `otherwise`, other events are acknowledged.
#[actix_web::test]
async fn a_single_event_goes_to_the_handler_of_its_type() {
    for framework in BOTH {
        let calls = Calls::default();
        let routes = Routes::new()
            .on("push", things("push", &calls))
            .on("pull_request*", events("pull", &calls))
            .on("push*", things("other push", &calls));
        let otherwise = routes.clone().otherwise(events("otherwise", &calls));
        for (event_type, body, routes, status, call) in [
            ("push", r#"{"id":1}"#, &routes, 200, Some("push 1")),
            ("push", r#"{"id":2}"#, &routes, 503, Some("push 2")),
            ("push_later", r#"{"id":3}"#, &routes, 200, Some("other push 3")),
            (
                "pull_request_review",
                "{}",
                &routes,
                200,
                Some(r#"pull Some("pull_request_review")"#),
            ),
            ("pushed", r#"{"id":"4"}"#, &routes, 422, None),
            ("pushed", "{", &routes, 400, None),
            ("star", "{}", &routes, 200, None),
            ("star", "{}", &otherwise, 200, Some(r#"otherwise Some("star")"#)),
        ] {
            let result = route(framework, &scheme::GITHUB, event_type, body, routes, &calls).await;
            let expected = (status, call.map(str::to_owned).into_iter().collect());
            assert_eq!(result, expected, "{framework:?} {event_type} {body}");
        }
    }
}

/// If the scheme defines no event type, or the body does not contain it, the event is not
/// acknowledged, because it would be lost.
#[actix_web::test]
async fn an_event_without_a_readable_type_is_not_lost() {
    let logs = Logs::collect();
    let acme = || Scheme::builder("acme").signature_header("acme-signature");
    let untyped = acme().build().unwrap();
    let typed = acme().event_type_pointer("/type").build().unwrap();
    for framework in BOTH {
        let calls = Calls::default();
        let routes = Routes::new().on("paid", things("paid", &calls));
        let all = routes.clone().on("*", events("all", &calls));
        let otherwise = routes.clone().otherwise(events("otherwise", &calls));
        for (scheme, body, routes, status, call) in [
            (&untyped, r#"{"type":"paid"}"#, &routes, 500, None),
            (&untyped, "{", &all, 200, Some("all None")),
            (&untyped, "{", &otherwise, 200, Some("otherwise None")),
            (&typed, r#"{"type":"#, &routes, 400, None),
            (&typed, r#"{"type":"#, &otherwise, 400, None),
            (&typed, r#"{"type":"paid","id":5}"#, &routes, 200, Some("paid 5")),
            (&typed, r#"{"type":"open","id":6}"#, &routes, 200, None),
            (&typed, r#"{"id":7}"#, &routes, 200, None),
            (&typed, r#"{"id":8}"#, &otherwise, 200, Some("otherwise None")),
        ] {
            let result = route(framework, scheme, "", body, routes, &calls).await;
            let expected = (status, call.map(str::to_owned).into_iter().collect());
            assert_eq!(result, expected, "{framework:?} {body}");
        }
    }
    let message = "webhook_verify: `Routes` selects handlers by event type, but the scheme `acme` \
                   has no event types: add a handler with `otherwise`, or describe the event type \
                   in the scheme, for example with `event_type_header` scheme=\"acme\"";
    let no_route = "WARN webhook_verify: an event without a type has no route and is acknowledged: \
                    to handle such events, add a handler with `otherwise` scheme=\"acme\"";
    for message in [message, no_route] {
        let lines = logs.text().lines().filter(|line| line.contains(message)).count();
        assert_eq!(lines, BOTH.len(), "{message}: {}", logs.text());
    }
}

/// The log names the event and serde's reason, but no value. It does not blame the handler, which
/// did not run.
#[actix_web::test]
async fn a_refusal_by_an_argument_names_the_event_and_the_reason() {
    let logs = Logs::collect();
    for framework in BOTH {
        let event_type = format!("refused.on.{framework:?}");
        let routes = Routes::new().on("refused.*", things("never", &Calls::default()));
        let receiver = deduplicating(scheme::GITHUB);
        let request = signed(scheme::GITHUB, &event_type, r#"{"id":"s3cret value"}"#);
        assert_eq!(send(framework, &receiver, &routes, &request).await.status, 422);

        let text = logs.text();
        let of_type = format!("event_type=\"{event_type}\"");
        let line = text.lines().find(|line| line.contains(&of_type)).unwrap();
        let reason = "JSON is not of the expected shape at id: invalid type: string, expected u32";
        assert!(line.contains("WARN") && line.contains(reason), "{line}");
        assert!(line.contains("scheme=\"github\""), "{line}");
        let (_, key) = line.split_once(" key=").unwrap();
        assert_eq!(key.split(' ').next().unwrap().len(), 64, "{line}");
        assert!(!text.contains("s3cret value"));
        let released = text.lines().find(|line| line.contains("released") && line.contains(key));
        assert!(released.unwrap().contains("not completed: released for a retry"));
    }
    assert!(!logs.text().contains("handler failed"));
}

/// A malformed pattern is a panic at the start.
#[test]
#[should_panic(expected = r#""a.*.b" is empty, or has a `*` that is not at its end"#)]
fn a_malformed_pattern_panics() {
    let _ = Routes::new().on("a.*.b", things("never", &Calls::default()));
}
