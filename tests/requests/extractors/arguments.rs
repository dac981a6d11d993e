//! `Verified` and `VerifiedJson`, alone and beside the frameworks' own extractors.

use actix_web::{App as ActixApp, HttpResponse, web};
use axum::{Json, Router, response::IntoResponse, routing::post};
use bytes::Bytes;
use integration_tests::{Framework, Logs, Response, call_actix, call_axum, to_actix, to_axum};
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;
use webhook_verify::{scheme, testing::SignedRequest};
use webhook_verify_actix::WebhookMiddleware;
use webhook_verify_axum::WebhookLayer;

use super::{deduplicating, receiver, signed};

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
struct Order {
    id: u64,
    items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
struct Item {
    name: String,
}

const ORDER: &str = r#"{"id":7,"items":[{"name":"tea"},{"name":"milk"}]}"#;

/// Each path has a handler with other arguments. Behind `/layer`, a receiver is in front; `/bare`
/// has none.
fn axum_app() -> Router {
    use webhook_verify_axum::{Verified, VerifiedJson};
    let routes = || {
        Router::new()
            .route(
                "/bytes",
                post(async |Verified(delivery): Verified, body: Bytes| {
                    assert_eq!(delivery.body(), &body);
                    body
                }),
            )
            .route(
                "/string",
                post(async |Verified(delivery): Verified, body: String| {
                    assert_eq!(delivery.body(), body.as_bytes());
                    body
                }),
            )
            .route(
                "/json",
                post(
                    async |Verified(delivery): Verified,
                           VerifiedJson(order): VerifiedJson<Order>,
                           Json(own): Json<Order>| {
                        assert_eq!(
                            (delivery.json::<Order>().unwrap(), &own),
                            (own.clone(), &order)
                        );
                        Json(order)
                    },
                ),
            )
            .route("/verified", post(async |Verified(delivery): Verified| delivery.body().clone()))
            .route(
                "/verified-json",
                post(async |VerifiedJson(order): VerifiedJson<Order>| Json(order).into_response()),
            )
            .route(
                "/optional",
                post(async |delivery: Option<axum::Extension<webhook_verify::Delivery>>| {
                    delivery.is_some().to_string()
                }),
            )
    };
    Router::new()
        .nest("/layer", routes().route_layer(WebhookLayer::new(receiver())))
        .nest("/bare", routes())
}

/// The same for actix.
fn actix_app(config: &mut web::ServiceConfig) {
    use webhook_verify_actix::{Verified, VerifiedJson};
    fn routes(config: &mut web::ServiceConfig) {
        config
            .route(
                "/bytes",
                web::post().to(async |Verified(delivery): Verified, body: Bytes| {
                    assert_eq!(delivery.body(), &body);
                    HttpResponse::Ok().body(body)
                }),
            )
            .route(
                "/string",
                // The order of the arguments is free.
                web::post().to(async |body: String, Verified(delivery): Verified| {
                    assert_eq!(delivery.body(), body.as_bytes());
                    body
                }),
            )
            .route(
                "/json",
                web::post().to(
                    async |web::Json(own): web::Json<Order>,
                           Verified(delivery): Verified,
                           VerifiedJson(order): VerifiedJson<Order>| {
                        assert_eq!(
                            (delivery.json::<Order>().unwrap(), &own),
                            (own.clone(), &order)
                        );
                        web::Json(order)
                    },
                ),
            )
            .route(
                "/verified",
                web::post().to(async |Verified(delivery): Verified| {
                    HttpResponse::Ok().body(delivery.body().clone())
                }),
            )
            .route(
                "/verified-json",
                web::post().to(async |VerifiedJson(order): VerifiedJson<Order>| web::Json(order)),
            )
            .route(
                "/optional",
                web::post().to(async |delivery: Option<Verified>| delivery.is_some().to_string()),
            );
    }
    config
        .service(web::scope("/layer").wrap(WebhookMiddleware::new(receiver())).configure(routes))
        .service(web::scope("/bare").configure(routes));
}

async fn ask(framework: Framework, path: &str, request: &SignedRequest) -> Response {
    match framework {
        Framework::Axum => call_axum(axum_app(), to_axum(path, request)).await,
        Framework::Actix => call_actix(actix_app, to_actix(path, request)).await,
    }
}

fn with_type(mut request: SignedRequest, content_type: &str) -> SignedRequest {
    let header = ("content-type".to_owned(), content_type.to_owned());
    request.headers.push(header);
    request
}

const BOTH: [Framework; 2] = [Framework::Axum, Framework::Actix];

/// The body is there for every extractor, as often as it is asked for.
#[actix_web::test]
async fn beside_the_frameworks_own() {
    for framework in BOTH {
        for (path, body) in [
            ("/layer/bytes", &b"any \xff\0 bytes"[..]),
            ("/layer/bytes", b""),
            ("/layer/string", "text \u{e9}".as_bytes()),
            ("/layer/json", ORDER.as_bytes()),
            ("/layer/verified", b"\xfe"),
            ("/layer/verified-json", ORDER.as_bytes()),
        ] {
            let request = with_type(signed(body.to_vec()), "application/json");
            let response = ask(framework, path, &request).await;
            assert_eq!((response.status, &response.body[..]), (200, body), "{framework:?} {path}");
            let mut forged = request;
            forged.body = [body, b" "].concat().into();
            let response = ask(framework, path, &forged).await;
            assert_eq!(response.status, 401, "{framework:?} {path}");
        }
    }
}

#[actix_web::test]
async fn content_types_that_are_json() {
    for framework in BOTH {
        for (content_type, status) in [
            ("application/json", 200),
            ("application/json; charset=utf-8", 200),
            ("application/json;charset=utf-8;v=1", 200),
            ("APPLICATION/JSON", 200),
            ("application/vnd.acme.order+json", 200),
            ("application/cloudevents+json; charset=UTF-8", 200),
            ("application/problem+JSON", 200),
            ("", 415),
            ("text/plain", 415),
            ("application/x-www-form-urlencoded", 415),
            ("application/jsonp", 415),
            ("application/x-json-stream", 415),
            ("application/json-seq", 415),
            ("application/xml; note=application/json", 415),
            ("text/plain; application/vnd+json", 415),
        ] {
            let request = with_type(signed(ORDER), content_type);
            let response = ask(framework, "/layer/verified-json", &request).await;
            assert_eq!(response.status, status, "{framework:?} {content_type}");
            match status {
                200 => assert_eq!(response.text(), ORDER),
                _ => assert_eq!(response.text(), "expected application/json"),
            }
        }
        let response = ask(framework, "/layer/verified-json", &signed(ORDER)).await;
        assert_eq!(response.status, 415, "{framework:?} without a type");
    }
}

/// A body that is not JSON gets 400, and JSON of another shape 422. The text is fixed, and the log
/// has the place.
#[actix_web::test]
async fn bodies_that_do_not_fit() {
    let logs = Logs::collect();
    for framework in BOTH {
        for (body, status) in [
            (&b""[..], 400),
            (b"{", 400),
            (b"order 7", 400),
            (br#"{"id":7,"items":[]} {}"#, 400),
            (br#"{"id":7,"items":[]}x"#, 400),
            (br#"{'id':7,"items":[]}"#, 400),
            (b"{\"id\":7,\"items\":[{\"name\":\"\xff\"}]}", 400),
            (b"\xef\xbb\xbf{\"id\":7,\"items\":[]}", 400),
            (b"null", 422),
            (b"{}", 422),
            (br#"{"id":-7,"items":[]}"#, 422),
            (br#"{"id":"hunter2","items":[]}"#, 422),
            (br#"{"id":7,"items":[{"name":"tea"},{"name":887766554433221100}]}"#, 422),
            (br#" {"id":7,"items":[]} "#, 200),
        ] {
            let request = with_type(signed(body), "application/json");
            let response = ask(framework, "/layer/verified-json", &request).await;
            let name = String::from_utf8_lossy(body);
            assert_eq!(response.status, status, "{framework:?} {name}");
            match status {
                400 => assert_eq!(response.text(), "body is not JSON"),
                422 => assert_eq!(response.text(), "JSON is not of the expected shape"),
                _ => {}
            }
        }
        let said = logs.text();
        assert!(said.contains("not of the expected shape at items[1].name"));
        assert!(said.contains("body is not JSON at line 1 column"));
        for value in ["hunter2", "887766554433221100", "order 7"] {
            assert!(!said.contains(value), "{value} is in the log");
        }
    }
}

/// Without the layer nothing was verified: the handler does not run, and the log says what is
/// missing.
#[actix_web::test]
async fn without_the_layer() {
    let logs = Logs::collect();
    for framework in BOTH {
        for path in
            ["/bare/bytes", "/bare/string", "/bare/json", "/bare/verified", "/bare/verified-json"]
        {
            let request = with_type(signed(ORDER), "application/json");
            let response = ask(framework, path, &request).await;
            assert_eq!((response.status, response.text()), (500, ""), "{framework:?} {path}");
        }
        let (said, missing) = (
            logs.text(),
            match framework {
                Framework::Axum => "WebhookLayer",
                Framework::Actix => "WebhookMiddleware",
            },
        );
        for extractor in ["Verified", "VerifiedJson"] {
            let text = format!("{extractor} is used where no {missing} is installed");
            let mut lines = said.lines();
            assert!(lines.any(|line| line.contains("ERROR") && line.contains(&text)), "{text}");
        }
        let response = ask(framework, "/bare/optional", &signed(ORDER)).await;
        assert_eq!(response.text(), "false", "{framework:?}");
        let response = ask(framework, "/layer/optional", &signed(ORDER)).await;
        assert_eq!(response.text(), "true", "{framework:?}");
    }
}

/// An argument that cannot be made is a failure of the delivery: its claim is given back, and the
/// answer stays.
#[actix_web::test]
async fn an_argument_that_does_not_fit_releases_the_claim() {
    let request = with_type(signed("{}"), "application/json");
    let other = signed("{}"); // the same delivery, with a content type that does not fit

    let axum = Router::new()
        .route(
            "/",
            post(
                async |webhook_verify_axum::VerifiedJson(_): webhook_verify_axum::VerifiedJson<
                    Order,
                >| (),
            ),
        )
        .layer(WebhookLayer::new(deduplicating(scheme::GITHUB)));
    for (request, status) in [(&request, 422), (&other, 415), (&request, 422)] {
        let response = axum.clone().oneshot(to_axum("/", request)).await.unwrap();
        assert_eq!(response.status(), status);
    }

    let middleware = WebhookMiddleware::new(deduplicating(scheme::GITHUB));
    let actix = ActixApp::new().wrap(middleware).route(
        "/",
        web::post().to(async |_: webhook_verify_actix::VerifiedJson<Order>| HttpResponse::Ok()),
    );
    let actix = actix_web::test::init_service(actix).await;
    for (request, status) in [(&request, 422), (&other, 415), (&request, 422)] {
        let request = to_actix("/", request).to_request();
        let response = actix_web::test::call_service(&actix, request).await;
        assert_eq!(response.status().as_u16(), status);
    }
}
