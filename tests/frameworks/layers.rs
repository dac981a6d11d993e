//! tower-http's layers around the axum layer: time limits, compression and decompression.

use std::{io::Write as _, sync::Arc, time::Duration};

use axum::{Router, routing::post};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::{HeaderValue, StatusCode, header};
use integration_tests::{Gate, assert_in_flight, assert_replay, call_axum, soon, to_axum};
use tower_http::{
    compression::CompressionLayer, decompression::RequestDecompressionLayer, timeout::TimeoutLayer,
};
use webhook_verify_axum::WebhookLayer;

use super::{deduplicating, receiver, signed};

/// A time limit outside ends the request and not the handler, whose status the retry gets.
#[tokio::test(start_paused = true)]
async fn a_time_limit_outside_does_not_stop_the_handler() {
    let gate = Gate::new();
    let with = Arc::clone(&gate);
    let handler = async move || {
        with.wait().await;
        StatusCode::CREATED
    };
    let layer = WebhookLayer::new(deduplicating());
    let drain = layer.drain();
    let limit = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(5));
    let app = Router::new().route("/", post(handler)).layer(layer).layer(limit);
    let send = || call_axum(app.clone(), to_axum("/", &signed("{}")));
    // The clock is set forward whenever all tasks wait.
    assert_eq!(send().await.status, 504);
    assert_in_flight(&send().await);
    gate.open(1);
    soon("end of the handler", drain.wait()).await;
    assert_replay(&send().await, 201);
}

/// Responses may be compressed outside, also those to duplicates.
#[tokio::test]
async fn responses_are_compressed_outside() {
    let text = "done ".repeat(100);
    let body = text.clone();
    let handler = async move || body.clone();
    let app = Router::new()
        .route("/", post(handler))
        .layer(WebhookLayer::new(deduplicating()))
        .layer(CompressionLayer::new());
    for is_replay in [false, true] {
        let mut request = to_axum("/", &signed("{}"));
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let response = call_axum(app.clone(), request).await;
        assert_eq!(response.status, 200);
        if is_replay {
            assert_eq!(response.text(), "");
        } else {
            assert_eq!(response.header("content-encoding"), Some("gzip"));
            let plain = std::io::read_to_string(GzDecoder::new(&*response.body)).unwrap();
            assert_eq!(plain, text);
        }
    }
}

/// If the sender signs the plain body, a layer outside may decompress it.
#[tokio::test]
async fn plain_bodies_that_are_signed_are_decompressed_outside() {
    for receiver in [receiver(), deduplicating()] {
        let app = Router::new()
            .route("/", post(async |body: String| body))
            .layer(WebhookLayer::new(receiver));
        let body = r#"{"text":"signed before it was compressed"}"#;
        let mut request = signed(body);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body.as_bytes()).unwrap();
        request.body = encoder.finish().unwrap().into();
        request.headers.push(("content-encoding".to_owned(), "gzip".to_owned()));
        let response = call_axum(app.clone(), to_axum("/", &request)).await;
        assert_eq!(response.status, 415, "without the layer");
        let app = app.layer(RequestDecompressionLayer::new());
        let response = call_axum(app, to_axum("/", &request)).await;
        assert_eq!((response.status, response.text()), (200, body));
    }
}
