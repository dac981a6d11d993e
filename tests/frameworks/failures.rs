//! Failures that are responses: panics, and bodies that a layer outside cuts off (D8).

use std::io;

use actix_web::{
    App as ActixApp, HttpResponse,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    middleware::{DefaultHeaders, Next, from_fn},
    web,
};
use axum::{Router, body::Body, routing::post};
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, header::CONTENT_LENGTH};
use integration_tests::{
    App, Logs, answer, call_actix, call_axum, each_framework, exchange, raw_request, to_actix,
    to_axum,
};
use tower_http::limit::RequestBodyLimitLayer;
use webhook_verify::{
    Events, Receiver, ReceiverBuilder, RequestHead, Secret, Tenant, Verifier, scheme,
    testing::{SignedRequest, Signer},
};
use webhook_verify_actix::WebhookMiddleware;
use webhook_verify_axum::WebhookLayer;

use super::{SECRET, deduplicating, signed};

fn builder(scheme: webhook_verify::Scheme) -> ReceiverBuilder {
    Receiver::builder(Verifier::builder(scheme))
}

/// A receiver whose lookup panics for the path `/now` before it returns a future, and for `/later`
/// when its future has waited.
fn by_path() -> Receiver {
    let tenants = |head: &RequestHead<'_>| {
        let path = head.path().to_owned();
        assert_ne!(path, "/now", "on purpose");
        async move {
            tokio::task::yield_now().await;
            assert_ne!(path, "/later", "on purpose");
            Ok(Some(Tenant::new("acme", [Secret::new(SECRET)?])))
        }
    };
    builder(scheme::GITHUB).tenants(tenants).build().unwrap()
}

#[tokio::test]
async fn a_panic_in_a_lookup_is_a_503() {
    let logs = Logs::collect_all();
    each_framework(async |framework| {
        let app = App::new(by_path(), answer(204));
        let server = app.serve(framework).await;
        for (path, status) in [("/now", 503), ("/later", 503), ("/acme", 204)] {
            let request = signed("{}");
            let raw = raw_request("POST", path, &request.headers, &request.body);
            let response = exchange(server.addr, &raw).await;
            assert_eq!(response.status, status, "{path}");
            assert_eq!(response.header("retry-after").is_some(), status == 503, "{path}");
        }
        assert_eq!(app.runs(), 1);
    })
    .await;
    assert!(logs.text().contains("source=the callback of `tenants` panicked"));
}

#[tokio::test]
async fn a_panic_in_a_handshake_is_a_503() {
    each_framework(async |framework| {
        let receiver = builder(scheme::ASANA).on_handshake(|_| async { panic!("on purpose") });
        let server = App::new(receiver.build().unwrap(), answer(204)).serve(framework).await;
        let headers = [("X-Hook-Secret".to_owned(), "b537207f20cb".to_owned())];
        let response = exchange(server.addr, &raw_request("POST", "/", &headers, b"")).await;
        assert_eq!(response.status, 503);
    })
    .await;
}

/// A body of three pieces, which a limit of ten bytes cuts off in the second one.
const PIECES: [&str; 3] = ["12345", "67890123", "45"];

fn long() -> SignedRequest {
    signed(PIECES.concat())
}

/// A middleware with the limit of `RequestBodyLimitLayer`. actix-web has none of its own.
async fn limit(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let mut left = 10_usize;
    let pieces = stream::iter(PIECES).map(move |piece| {
        left = left.checked_sub(piece.len()).ok_or(PayloadError::Overflow)?;
        Ok(web::Bytes::from_static(piece.as_bytes()))
    });
    request.set_payload(Payload::Stream { payload: Box::pin(pieces) });
    next.call(request).await
}

#[actix_web::test]
async fn a_body_that_is_cut_off_by_a_limit_outside_is_a_413() {
    for receiver in [super::receiver(), deduplicating()] {
        let pieces = stream::iter(PIECES.map(Ok::<_, io::Error>));
        let request = to_axum("/", &long()).map(|_| Body::from_stream(pieces));
        let app = Router::new()
            .route("/", post(async || "done"))
            .layer(WebhookLayer::new(receiver.clone()))
            .layer(RequestBodyLimitLayer::new(10));
        let response = call_axum(app.clone(), request).await;
        assert_eq!((response.status, response.text()), (413, "body too large"));
        // A declared length is refused by the layer outside.
        let mut request = to_axum("/", &long());
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("15"));
        assert_eq!(call_axum(app, request).await.status, 413);

        let resource = web::resource("/")
            .wrap(WebhookMiddleware::new(receiver))
            .wrap(from_fn(limit))
            .to(async || "done");
        let configure = |config: &mut web::ServiceConfig| {
            config.service(resource);
        };
        let response = call_actix(configure, to_actix("/", &long())).await;
        assert_eq!((response.status, response.text()), (413, "body too large"));
    }
}

/// Any other failure of a body stays a 400.
#[tokio::test]
async fn a_body_that_fails_is_a_400() {
    let failing = stream::iter([Ok("{"), Err(io::Error::other("reset"))]);
    let request = to_axum("/", &signed("{}")).map(|_| Body::from_stream(failing));
    let app = Router::new()
        .route("/", post(async || "done"))
        .layer(WebhookLayer::new(deduplicating()))
        .layer(RequestBodyLimitLayer::new(10));
    assert_eq!(call_axum(app, request).await.status, 400);
}

/// On actix-web, refusals after the handler ran are responses, so that middleware outside sees
/// them: a panic, and events that were not marked done. A middleware inside may panic as well.
#[actix_web::test]
async fn late_refusals_are_responses_on_actix() {
    let batch = Signer::new(scheme::MAUTIC, SECRET).unwrap();
    let batch = batch.sign(r#"{"mautic.lead_post_delete":[{"id":52},{"id":53}]}"#).unwrap();
    let deduplicating_mautic = || {
        let idempotency = webhook_verify::Idempotency::new(webhook_verify::MemoryStore::new(), "t");
        let verifier = Verifier::new(scheme::MAUTIC, SECRET).unwrap();
        Receiver::builder(verifier).idempotency(idempotency).build().unwrap()
    };
    let panics = async || -> HttpResponse { panic!("on purpose") };
    let forgets = async |webhook_verify_actix::Verified(_): webhook_verify_actix::Verified<
        Events,
    >| { HttpResponse::Ok().finish() };
    async fn inside(
        _: ServiceRequest,
        _: Next<impl MessageBody + 'static>,
    ) -> Result<ServiceResponse<actix_web::body::BoxBody>, actix_web::Error> {
        panic!("on purpose")
    }
    let rows = [
        ("panic", signed("{}"), deduplicating(), web::post().to(panics), false),
        ("no claim", signed("{}"), super::receiver(), web::post().to(panics), false),
        ("inside", signed("{}"), deduplicating(), web::post().to(HttpResponse::Ok), true),
        ("events left", batch, deduplicating_mautic(), web::post().to(forgets), false),
    ];
    for (name, request, receiver, route, panics_inside) in rows {
        // The target of the response's request, as outer middleware sees it.
        async fn seen(
            request: ServiceRequest,
            next: Next<impl MessageBody + 'static>,
        ) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
            let response = next.call(request).await?;
            let seen = response.request();
            assert_eq!((seen.method().as_str(), seen.uri().path()), ("POST", "/hook"));
            Ok(response)
        }
        let app = ActixApp::new()
            .service(
                web::resource("/hook")
                    .wrap(actix_web::middleware::Condition::new(panics_inside, from_fn(inside)))
                    .wrap(WebhookMiddleware::new(receiver))
                    .route(route),
            )
            .wrap(DefaultHeaders::new().add(("x-outside", "yes")))
            .wrap(from_fn(seen));
        let app = actix_web::test::init_service(app).await;
        for _ in 0..2 {
            let request = to_actix("/hook", &request).to_request();
            let response = actix_web::test::try_call_service(&app, request).await.unwrap();
            assert_eq!(response.status().as_u16(), 500, "{name}");
            assert!(response.headers().contains_key("x-outside"), "{name}");
        }
    }
}

/// On actix-web, such a request can no longer be changed.
#[actix_web::test]
async fn a_middleware_that_holds_a_clone_of_the_request_is_logged_on_actix() {
    async fn hold(
        request: ServiceRequest,
        next: Next<impl MessageBody + 'static>,
    ) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
        let _clone = request.request().clone();
        next.call(request).await
    }
    let logs = Logs::collect_all();
    let form = |json: &str| {
        let body = format!("payload={}", json.replace('"', "%22"));
        let mut request = signed(body);
        request
            .headers
            .push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        request
    };
    for (path, receiver) in [("/held", super::receiver()), ("/held-once", deduplicating())] {
        let handler =
            async |webhook_verify_actix::Verified(_): webhook_verify_actix::Verified,
                   body: web::Bytes| { HttpResponse::Ok().body(body) };
        let middleware = WebhookMiddleware::new(receiver);
        let send = async |request: &SignedRequest, holds: bool| {
            let resource = web::resource(path)
                .wrap(middleware.clone())
                .wrap(actix_web::middleware::Condition::new(holds, from_fn(hold)))
                .route(web::post().to(handler));
            let configure = |config: &mut web::ServiceConfig| {
                config.service(resource);
            };
            let response = call_actix(configure, to_actix(path, request)).await;
            (response.status, response.text().to_owned())
        };
        let json = r#"{"n":1}"#;
        assert_eq!(send(&signed(json), true).await, (200, json.to_owned()));
        let (text, path) = (logs.text(), format!("path=\"{path}\""));
        let mut lines = text.lines().filter(|line| line.contains(&path));
        assert!(lines.any(|line| line.contains("holds a clone of the HttpRequest")), "{path}");

        let json = r#"{"n":2}"#;
        assert_eq!(send(&form(json), true).await.0, 500);
        assert_eq!(send(&form(json), false).await, (200, json.to_owned()));
    }
}
