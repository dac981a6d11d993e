//! The axum layer in front of services of other frameworks, with one request each (D9).

use std::convert::Infallible;

use axum::body::Body;
use http::{Request, Response};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use integration_tests::{exchange, raw_request};
use lambda_http::{Adapter, Context as LambdaContext, LambdaEvent, request::LambdaRequest};
use serde_json::json;
use tokio::net::TcpListener;
use tower::{Layer as _, ServiceExt as _, service_fn};
use webhook_verify::{Delivery, testing::SignedRequest};
use webhook_verify_axum::WebhookLayer;

use super::{deduplicating, signed};

fn layer() -> WebhookLayer {
    WebhookLayer::new(deduplicating())
}

/// A service that is not axum's: it takes any body, and its responses have a body of its own.
async fn echo<B>(request: Request<B>) -> Result<Response<String>, Infallible> {
    let delivery = request.extensions().get::<Delivery>().unwrap();
    Ok(Response::new(String::from_utf8(delivery.body().to_vec()).unwrap()))
}

/// A genuine request, and the same with another body.
fn requests() -> [(SignedRequest, u16, &'static str); 2] {
    let genuine = signed(r#"{"n":1}"#);
    let mut forged = genuine.clone();
    forged.body = r#"{"n":2}"#.into();
    [(genuine, 200, r#"{"n":1}"#), (forged, 401, "invalid webhook signature")]
}

#[tokio::test]
async fn hyper_serves_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let service = TowerToHyperService::new(layer().layer(service_fn(echo::<Body>)));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
            tokio::spawn(connection);
        }
    });
    for (request, status, text) in requests() {
        let raw = raw_request("POST", "/hook", &request.headers, &request.body);
        let response = exchange(addr, &raw).await;
        assert_eq!((response.status, response.text()), (status, text));
    }
}

#[tokio::test]
async fn lambda_http_serves_it() {
    for (request, status, text) in requests() {
        let headers: serde_json::Map<_, _> =
            request.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let event = json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": "/hook",
            "rawQueryString": "",
            "headers": headers,
            "requestContext": {
                "accountId": "1",
                "apiId": "1",
                "domainName": "receiver.example.test",
                "http": {
                    "method": "POST",
                    "path": "/hook",
                    "protocol": "HTTP/1.1",
                    "sourceIp": "192.0.2.1",
                    "userAgent": "sender",
                },
                "requestId": "1",
                "stage": "$default",
                "time": "28/Nov/2026:00:00:00 +0000",
                "timeEpoch": 0,
            },
            "body": std::str::from_utf8(&request.body).unwrap(),
            "isBase64Encoded": false,
        });
        let event: LambdaRequest = serde_json::from_value(event).unwrap();
        // Calls the service as `lambda_http::run` does for each event.
        let service = Adapter::from(layer().layer(service_fn(echo::<Body>)));
        let event = LambdaEvent::new(event, LambdaContext::default());
        let response = serde_json::to_value(service.oneshot(event).await.unwrap()).unwrap();
        assert_eq!(response["statusCode"], json!(status));
        assert_eq!(response["body"], json!(text));
    }
}
