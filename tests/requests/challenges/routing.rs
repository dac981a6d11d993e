//! A route for POST alone, and one for the sender's methods. Both answer challenges with other
//! methods.

use actix_web::{HttpResponse, test::TestRequest, web};
use axum::{Router, body::Body, http::Request, routing::post};
use integration_tests::{call_actix, call_axum};
use webhook_verify::{Receiver, scheme::Challenge};
use webhook_verify_actix::{WebhookMiddleware, webhook};
use webhook_verify_axum::{RouterExt as _, WebhookLayer};

use super::support::builder;

fn cases() -> [(Receiver, &'static str, &'static str, u16, &'static str); 9] {
    let receiver = |challenge| Receiver::new(builder(challenge).build().unwrap());
    let refused = "invalid webhook signature";
    [
        (receiver(Challenge::DROPBOX), "GET", "/hook?challenge=a", 200, "a"),
        (receiver(Challenge::DROPBOX), "GET", "/hook", 401, refused),
        (receiver(Challenge::DROPBOX), "PUT", "/hook?challenge=a", 401, refused),
        (receiver(Challenge::GET_PROBE), "DELETE", "/hook", 401, refused),
        (receiver(Challenge::GET_PROBE), "GET", "/hook", 200, ""),
        (receiver(Challenge::HEAD_PROBE), "HEAD", "/hook", 200, ""),
        (receiver(Challenge::HEAD_PROBE), "GET", "/hook", 401, refused),
        (receiver(Challenge::HEAD_PROBE), "HEAD", "/other", 404, ""),
        (receiver(Challenge::DROPBOX), "GET", "/other?challenge=a", 404, ""),
    ]
}

/// One layer for each route, as the documentation has it: it sees every method, also those that the
/// route does not have.
#[tokio::test]
async fn on_axum() {
    for (receiver, method, target, status, text) in cases() {
        let hook = post(async || "handled").layer(WebhookLayer::new(receiver));
        let app = Router::new().route("/hook", hook);
        assert_response(app, method, target, status, Some(text)).await;
    }
}

/// A layer of a whole router.
#[tokio::test]
async fn on_an_axum_router() {
    for (receiver, method, target, status, text) in cases() {
        let app = Router::new()
            .route("/hook", post(async || "handled"))
            .route_layer(WebhookLayer::new(receiver));
        assert_response(app, method, target, status, Some(text)).await;
    }
}

/// The `route_layer` of a method router sees the methods that it routes, and no others.
#[tokio::test]
async fn on_an_axum_method_router() {
    for (receiver, method, target, status, _) in cases() {
        let layer = WebhookLayer::new(receiver);
        let only_post = post(async || "handled").route_layer(layer.clone());
        let all = post(async || "handled").get(async || "handled").route_layer(layer);
        let unseen = if status == 404 { 404 } else { 405 };
        let seen = match method {
            "GET" | "HEAD" => status,
            _ => unseen,
        };
        for (methods, status) in [(only_post, unseen), (all, seen)] {
            let app = Router::new().route("/hook", methods);
            assert_response(app, method, target, status, None).await;
        }
    }
}

/// A route for a sender accepts the methods that the sender uses, and no others.
#[actix_web::test]
async fn on_a_route_for_the_sender() {
    for (receiver, method, target, status, text) in cases() {
        let is_used = receiver.methods().contains(&method);
        let (status, text) = if is_used || status == 404 { (status, text) } else { (405, "") };
        let request = Request::builder().method(method).uri(target).body(Body::empty()).unwrap();
        let app = Router::new().webhook("/hook", receiver.clone(), async || "handled");
        let on_axum = call_axum(app, request).await;
        let resource = webhook("/hook", receiver, async || "handled");
        let configure = |config: &mut web::ServiceConfig| {
            config.service(resource);
        };
        let request = TestRequest::with_uri(target).method(method.parse().unwrap());
        let on_actix = call_actix(configure, request).await;
        for response in [on_axum, on_actix] {
            assert_eq!((response.status, response.text()), (status, text), "{method} {target}");
            let allowed = response.header("allow").unwrap_or_default();
            assert_eq!(allowed.contains("POST"), status == 405, "{method} {target}: {allowed}");
            assert!(!allowed.contains(method), "{method} {target}: {allowed}");
        }
    }
}

async fn assert_response(app: Router, method: &str, target: &str, status: u16, text: Option<&str>) {
    let request = Request::builder().method(method).uri(target).body(Body::empty()).unwrap();
    let response = call_axum(app, request).await;
    assert_eq!(response.status, status, "{method} {target}");
    if let Some(text) = text {
        assert_eq!(response.text(), text, "{method} {target}");
    }
}

#[actix_web::test]
async fn on_actix() {
    for (receiver, method, target, status, text) in cases() {
        let resource = web::resource("/hook")
            .wrap(WebhookMiddleware::new(receiver))
            .route(web::post().to(async || HttpResponse::Ok().body("handled")));
        let configure = |config: &mut web::ServiceConfig| {
            config.service(resource);
        };
        let request = TestRequest::with_uri(target).method(method.parse().unwrap());
        let response = call_actix(configure, request).await;
        assert_eq!((response.status, response.text()), (status, text), "{method} {target}");
    }
}
