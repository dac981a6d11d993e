//! Spans and task-locals of the layers outside apply to handlers with a claim (D4).
//!
//! The handler waits at a gate, and the client either waits for it or goes away meanwhile, in which
//! case the handler moves to a task of its own.

use std::{future::Future, pin::Pin, sync::Arc};

use actix_web::{
    App as ActixApp, HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::{Next as ActixNext, from_fn as actix_from_fn},
    web,
};
use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    routing::post,
};
use futures_util::poll;
use integration_tests::{Gate, Logs, soon, to_actix, to_axum};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;
use tower_http::trace::TraceLayer;
use tracing_actix_web::{DefaultRootSpanBuilder, RootSpanBuilder, TracingLogger};
use webhook_verify::Receiver;
use webhook_verify_actix::WebhookMiddleware;
use webhook_verify_axum::WebhookLayer;

use super::{deduplicating, receiver, signed};

tokio::task_local! {
    static REQUEST: u32;
}

/// Logs a line with the task-local, waits at the gate, and logs another one.
async fn handle(gate: &Gate, name: &str) {
    let local = || REQUEST.try_with(|number| *number).ok();
    tracing::info!(local = local(), "{name} before the gate");
    gate.wait().await;
    tracing::info!(local = local(), "{name} after the gate");
}

/// Returns the only line with this text.
fn line(logs: &Logs, text: &str) -> String {
    let log = logs.text();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(text)).collect();
    assert_eq!(lines.len(), 1, "{text}: {lines:?}");
    lines[0].to_owned()
}

/// Polls the response until the handler is at the gate. Drops the response unless the client waits.
async fn run<F: Future>(response: F, gate: &Gate, client_waits: bool) -> Option<F::Output> {
    let mut response: Pin<Box<F>> = Box::pin(response);
    let mut entered = std::pin::pin!(gate.entered());
    while poll!(&mut entered).is_pending() {
        assert!(poll!(&mut response).is_pending());
        tokio::task::yield_now().await;
    }
    if client_waits {
        gate.open(1);
        return Some(soon("response", response).await);
    }
    drop(response);
    gate.open(1);
    None
}

/// Whether there is a claim, and whether the client waits. Without a claim, a disconnect ends the
/// handler, so that case is missing.
const CASES: [(bool, bool); 3] = [(false, true), (true, true), (true, false)];

fn receiver_with(claim: bool) -> Receiver {
    if claim { deduplicating() } else { receiver() }
}

fn check(logs: &Logs, name: &str, span: &str, client_waits: bool) {
    for (place, has_local) in [("before", true), ("after", client_waits)] {
        let line = line(logs, &format!("{name} {place} the gate"));
        assert!(line.contains(span), "{line}");
        assert_eq!(line.contains("local=7"), has_local, "{line}");
    }
}

#[tokio::test]
async fn handlers_stay_in_their_span_on_axum() {
    let logs = Logs::collect_all();
    for (claim, client_waits) in CASES {
        let name = format!("axum {claim} {client_waits}");
        let gate = Gate::new();
        let (with, text) = (Arc::clone(&gate), name.clone());
        let handler = async move |_: Request| handle(&with, &text).await;
        let layer = WebhookLayer::new(receiver_with(claim));
        let drain = layer.drain();
        let spans = TraceLayer::new_for_http()
            .make_span_with(|_: &Request| tracing::info_span!("request", number = 4711));
        let scope = async |request: Request, next: Next| REQUEST.scope(7, next.run(request)).await;
        let app =
            Router::new().route("/", post(handler)).layer(layer).layer(from_fn(scope)).layer(spans);
        let response = app.oneshot(to_axum("/", &signed("{}")));
        let response = run(response, &gate, client_waits).await;
        assert!(response.is_none_or(|response| response.unwrap().status() == 200));
        soon("end of the handler", drain.wait()).await;
        check(&logs, &name, "request{number=4711}", client_waits);
    }
}

/// The root span of `tracing-actix-web`, with a name to search for.
struct Root;

impl RootSpanBuilder for Root {
    fn on_request_start(request: &ServiceRequest) -> tracing::Span {
        tracing_actix_web::root_span!(request, number = 4711)
    }

    fn on_request_end<B: MessageBody>(
        span: tracing::Span,
        outcome: &Result<ServiceResponse<B>, actix_web::Error>,
    ) {
        DefaultRootSpanBuilder::on_request_end(span, outcome);
    }
}

async fn scope(
    request: ServiceRequest,
    next: ActixNext<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    REQUEST.scope(7, next.call(request)).await
}

#[actix_web::test]
async fn handlers_stay_in_their_span_on_actix() {
    let logs = Logs::collect_all();
    for (claim, client_waits) in CASES {
        let name = format!("actix {claim} {client_waits}");
        let gate = Gate::new();
        let (with, text) = (Arc::clone(&gate), name.clone());
        let handler = move || {
            let (gate, name) = (Arc::clone(&with), text.clone());
            async move {
                handle(&gate, &name).await;
                HttpResponse::Ok().finish()
            }
        };
        let middleware = WebhookMiddleware::new(receiver_with(claim));
        let drain = middleware.drain();
        let resource = web::resource("/").wrap(middleware).route(web::post().to(handler));
        let app = ActixApp::new()
            .service(resource)
            .wrap(actix_from_fn(scope))
            .wrap(TracingLogger::<Root>::new());
        let app = actix_web::test::init_service(app).await;
        let request = to_actix("/", &signed("{}")).to_request();
        let response = actix_web::test::call_service(&app, request);
        let response = run(response, &gate, client_waits).await;
        assert!(response.is_none_or(|response| response.status() == 200));
        soon("end of the handler", drain.wait()).await;
        check(&logs, &name, "number=4711", client_waits);
    }
}

/// The log line about a panic has the request's span, even after the client has disconnected.
#[actix_web::test]
async fn a_panic_is_logged_in_its_span() {
    let logs = Logs::collect_all();
    for (number, client_waits) in [(4712, true), (4713, false)] {
        let gate = Gate::new();
        let layer = WebhookLayer::new(deduplicating());
        let drain = layer.drain();
        let with = Arc::clone(&gate);
        let handler = async move || -> () {
            with.wait().await;
            panic!("on purpose")
        };
        let app = Router::new().route("/", post(handler)).layer(layer);
        let spans = TraceLayer::new_for_http()
            .make_span_with(move |_: &Request| tracing::info_span!("axum", number));
        let response = app.layer(spans).oneshot(to_axum("/", &signed("{}")));
        let response = run(response, &gate, client_waits).await;
        assert!(response.is_none_or(|response| response.unwrap().status() == 500));
        soon("end of the handler", drain.wait()).await;
        line(&logs, &format!("axum{{number={number}}}: webhook_verify: handler panicked"));
    }
    for client_waits in [true, false] {
        let gate = Gate::new();
        let middleware = WebhookMiddleware::new(deduplicating());
        let drain = middleware.drain();
        let with = Arc::clone(&gate);
        let handler = move || {
            let gate = Arc::clone(&with);
            async move {
                gate.wait().await;
                panic!("on purpose") as HttpResponse
            }
        };
        let path = format!("/panic/{client_waits}");
        let resource = web::resource(path.clone()).wrap(middleware).to(handler);
        let app = ActixApp::new().service(resource).wrap(TracingLogger::<Root>::new());
        let app = actix_web::test::init_service(app).await;
        let request = to_actix(&path, &signed("{}")).to_request();
        let response = actix_web::test::call_service(&app, request);
        let response = run(response, &gate, client_waits).await;
        assert!(response.is_none_or(|response| response.status() == 500));
        soon("end of the handler", drain.wait()).await;
        let log = logs.text();
        let mut lines = log.lines().filter(|line| line.contains("handler panicked"));
        assert!(lines.any(|line| line.contains(&path)), "{path}");
    }
}

/// Polls the response in the runtime until the handler is at the gate. Then drops it, in the
/// runtime or outside of it.
fn abandon(runtime: &Runtime, gate: &Gate, response: impl Future, inside: bool) {
    let mut response = Box::pin(response);
    runtime.block_on(async {
        let mut entered = std::pin::pin!(gate.entered());
        while poll!(&mut entered).is_pending() {
            assert!(poll!(&mut response).is_pending());
        }
    });
    let _entered = inside.then(|| runtime.enter());
    drop(response);
}

/// Without a runtime, the drop ends the handler, and retries wait for the lease.
#[test]
fn a_drop_outside_of_a_runtime_leaves_the_claim() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let gate = Gate::new();
    let with = Arc::clone(&gate);
    let handler = async move || with.wait().await;
    let layer = WebhookLayer::new(deduplicating());
    let app = Router::new().route("/", post(handler)).layer(layer.clone());
    let send = || app.clone().oneshot(to_axum("/", &signed("{}")));
    abandon(&runtime, &gate, send(), false);
    assert_eq!(runtime.block_on(send()).unwrap().status(), 503);
    runtime.block_on(soon("end of the drain", layer.drain().wait()));

    // On actix-web also inside of a runtime that is not its own, which has no `LocalSet`.
    for inside in [false, true] {
        let gate = Gate::new();
        let with = Arc::clone(&gate);
        let handler = move || {
            let gate = Arc::clone(&with);
            async move {
                gate.wait().await;
                HttpResponse::Ok().finish()
            }
        };
        let middleware = WebhookMiddleware::new(deduplicating());
        let drain = middleware.drain();
        let app = ActixApp::new().service(web::resource("/").wrap(middleware).to(handler));
        let app = runtime.block_on(actix_web::test::init_service(app));
        let send =
            || actix_web::test::call_service(&app, to_actix("/", &signed("{}")).to_request());
        abandon(&runtime, &gate, send(), inside);
        assert_eq!(runtime.block_on(send()).status(), 503);
        runtime.block_on(soon("end of the drain", drain.wait()));
    }
}
