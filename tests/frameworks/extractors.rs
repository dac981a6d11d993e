//! The frameworks' own extractors accept what the receiver accepted (D3).

use std::iter;

use actix_web::{HttpResponse, web};
use axum::{Form, Json, Router, extract::DefaultBodyLimit, routing::post};
use bytes::Bytes;
use integration_tests::{Framework, Response, call_actix, call_axum, to_actix, to_axum};
use webhook_verify::{Receiver, testing::SignedRequest};
use webhook_verify_actix::WebhookMiddleware;
use webhook_verify_axum::WebhookLayer;

use super::{signed, verifier};

const MIB: usize = 1 << 20;
/// More than any default of the frameworks.
const LIMIT: usize = 5 * MIB;
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const BOTH: [Framework; 2] = [Framework::Axum, Framework::Actix];

type Pairs = Vec<(String, String)>;

fn receiver() -> Receiver {
    Receiver::builder(verifier()).body_limit(LIMIT).build().unwrap()
}

fn length(pairs: &Pairs) -> String {
    pairs.iter().map(|(name, value)| name.len() + 1 + value.len()).sum::<usize>().to_string()
}

/// Each path has a handler with another extractor, and responds with the length of the body.
fn axum_app() -> Router {
    Router::new()
        .route("/bytes", post(async |body: Bytes| body.len().to_string()))
        .route("/string", post(async |body: String| body.len().to_string()))
        .route("/json", post(async |Json(text): Json<String>| (text.len() + 2).to_string()))
        .route("/form", post(async |Form(pairs): Form<Pairs>| length(&pairs)))
        .layer(WebhookLayer::new(receiver()))
}

fn actix_app(config: &mut web::ServiceConfig) {
    let routes = web::scope("")
        .wrap(WebhookMiddleware::new(receiver()))
        .route("/bytes", web::post().to(async |body: Bytes| body.len().to_string()))
        .route("/string", web::post().to(async |body: String| body.len().to_string()))
        .route(
            "/json",
            web::post().to(async |text: web::Json<String>| (text.len() + 2).to_string()),
        )
        .route("/form", web::post().to(async |pairs: web::Form<Pairs>| length(&pairs)));
    config.service(routes);
}

async fn send(framework: Framework, path: &str, request: &SignedRequest) -> Response {
    match framework {
        Framework::Axum => call_axum(axum_app(), to_axum(path, request)).await,
        Framework::Actix => call_actix(actix_app, to_actix(path, request)).await,
    }
}

/// Returns a request for the handler at this path with a body of this length.
fn request(path: &str, len: usize) -> SignedRequest {
    let body: Vec<u8> = match path {
        "/json" => [&b"\""[..], &vec![b'x'; len - 2], b"\""].concat(),
        "/form" => [&b"a="[..], &vec![b'x'; len - 2]].concat(),
        _ => vec![b'x'; len],
    };
    let mut request = signed(body);
    let content_type = if path == "/form" { FORM } else { JSON };
    request.headers.push(("content-type".to_owned(), content_type.to_owned()));
    request
}

/// Lengths at the receiver's limit, and around the frameworks' own limits: 16 KiB for actix-web's
/// `Form`, 256 KiB for its `Bytes` and `String`, 2 MiB for its `Json`, and 2 MB for axum.
#[actix_web::test]
async fn what_the_receiver_accepted_is_accepted() {
    let around = [16 << 10, 256 << 10, 2_000_000, 2 * MIB];
    let around = around.into_iter().flat_map(|limit| [limit, limit + 1]);
    let lengths: Vec<_> = iter::once(2).chain(around).chain([LIMIT]).collect();
    for framework in BOTH {
        for path in ["/bytes", "/string", "/json", "/form"] {
            for len in &lengths {
                let response = send(framework, path, &request(path, *len)).await;
                let got = (response.status, response.text());
                assert_eq!(got, (200, &*len.to_string()), "{framework:?} {path} {len}");
            }
            let response = send(framework, path, &request(path, LIMIT + 1)).await;
            assert_eq!((response.status, response.text()), (413, "body too large"));
        }
    }
}

/// The receiver's limit replaces limits outside of the layer or middleware. Limits inside still
/// apply, and so do the service's other settings.
#[actix_web::test]
async fn other_settings_stay() {
    let len = 1_000;
    let (lower, higher) = (len - 1, len);
    for (inside, outside, status) in
        [(None, Some(lower), 200), (Some(lower), None, 413), (Some(higher), Some(lower), 200)]
    {
        let mut routed = post(async |body: Bytes| body.len().to_string());
        if let Some(limit) = inside {
            routed = routed.layer(DefaultBodyLimit::max(limit));
        }
        routed = routed.layer(WebhookLayer::new(receiver()));
        if let Some(limit) = outside {
            routed = routed.layer(DefaultBodyLimit::max(limit));
        }
        let app = Router::new().route("/bytes", routed);
        let response = call_axum(app, to_axum("/bytes", &request("/bytes", len))).await;
        assert_eq!(response.status, status, "axum {inside:?} {outside:?}");

        let configure = |config: &mut web::ServiceConfig| {
            let mut resource = web::resource("/bytes")
                .route(web::post().to(async |body: Bytes| body.len().to_string()));
            if let Some(limit) = inside {
                resource = resource.app_data(web::PayloadConfig::new(limit));
            }
            let mut scope = web::scope("").wrap(WebhookMiddleware::new(receiver()));
            if let Some(limit) = outside {
                scope = scope.app_data(web::Data::new(web::PayloadConfig::new(limit)));
            }
            config.service(scope.service(resource));
        };
        let request = to_actix("/bytes", &request("/bytes", len));
        let response = call_actix(configure, request).await;
        assert_eq!(response.status, status, "actix {inside:?} {outside:?}");
    }

    let settings = web::JsonConfig::default().limit(1).content_type_required(false).error_handler(
        |error, _| {
            let response = HttpResponse::ImATeapot().finish();
            actix_web::error::InternalError::from_response(error, response).into()
        },
    );
    let configure = |config: &mut web::ServiceConfig| {
        let resource = web::resource("/json")
            .app_data(settings.clone())
            .wrap(WebhookMiddleware::new(receiver()))
            .route(web::post().to(async |text: web::Json<String>| text.len().to_string()));
        config.service(resource);
    };
    for (body, status) in [("\"text\"", 200), ("no JSON", 418)] {
        let response = call_actix(configure, to_actix("/json", &signed(body))).await;
        assert_eq!(response.status, status, "{body}");
    }
}
