//! Bodies that are changed, compressed, cut off, or none.

use bytes::Bytes;
use integration_tests::Framework;
use webhook_verify::{Scheme, VerifyError, scheme};

use integration_tests::attacks::{Request, SECRET, Target, both, hex, verifier};

const MISMATCH: VerifyError = VerifyError::SignatureMismatch;

#[tokio::test]
async fn a25_the_signature_is_over_bytes_and_not_over_json() {
    let original = r#"{"type":"paid","sum":1.50,"name":"Zo\u00eb","list":[1,2]}"#;
    let changed: [&[u8]; 11] = [
        br#"{"sum":1.50,"type":"paid","name":"Zo\u00eb","list":[1,2]}"#,
        "{\"type\":\"paid\",\"sum\":1.50,\"name\":\"Zo\u{eb}\",\"list\":[1,2]}".as_bytes(),
        br#"{"type":"paid","sum":1.50,"name":"Zo\u00EB","list":[1,2]}"#,
        br#"{"type":"paid","sum":1.5,"name":"Zo\u00eb","list":[1,2]}"#,
        br#"{"type":"paid","sum":1.50,"name":"Zo\u00eb","list":[1, 2]}"#,
        br#"{"type":"paid","type":"paid","sum":1.50,"name":"Zo\u00eb","list":[1,2]}"#,
        b"\xef\xbb\xbf{\"type\":\"paid\",\"sum\":1.50,\"name\":\"Zo\\u00eb\",\"list\":[1,2]}",
        b"{\"type\":\"paid\",\"sum\":1.50,\"name\":\"Zo\\u00eb\",\"list\":[1,2]}\n",
        b"{\"type\":\"paid\",\"sum\":1.50,\"name\":\"Zo\\u00eb\",\"list\":[1,2]}\r\n",
        b" {\"type\":\"paid\",\"sum\":1.50,\"name\":\"Zo\\u00eb\",\"list\":[1,2]}",
        b"{\"type\":\"paid\",\"sum\":1.50,\"name\":\"Zo\\u00eb\",\"list\":[1,2]}\0",
    ];
    for framework in [Framework::Axum, Framework::Actix] {
        let target = Target::start(framework, &verifier(scheme::GENERIC_HEX)).await;
        let request = Request::hex(original);
        target.accepts("as sent", &request).await;
        for body in changed {
            let text = String::from_utf8_lossy(body);
            target.refuses(&text, &request.body(body), MISMATCH).await;
            // The sender's own bytes are passed on as they are, whatever they are.
            target.accepts(&text, &Request::hex(body)).await;
        }
    }
}

/// A layer that changes or reads the body before the receiver causes an error, never a delivery.
#[tokio::test]
async fn a26_a_body_that_was_rewritten_on_its_way_is_refused() {
    let request = Request::hex(r#"{"a": 1}"#);

    let target = Target::start(Framework::Axum, &verifier(scheme::GENERIC_HEX)).await;
    for outcome in ["{\"a\":1}", "", r#"{"a": 1}"#] {
        let rewrite =
            axum::middleware::map_request(move |request: axum::extract::Request| async move {
                request.map(|_| axum::body::Body::from(outcome))
            });
        let router = target.app.axum().0.layer(rewrite);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let before = target.touched();
        let response = integration_tests::exchange(addr, &request.raw()).await;
        if outcome.contains(' ') {
            assert_eq!(response.status, 204, "an outer layer alone does no harm");
        } else {
            target.is_refusal(outcome, &response, 401, "invalid webhook signature");
            assert_eq!(target.touched(), before);
        }
        server.abort();
    }

    let target = Target::start(Framework::Actix, &verifier(scheme::GENERIC_HEX)).await;
    for outcome in ["{\"a\":1}", "", r#"{"a": 1}"#] {
        let (app, signature) = (target.app.clone(), request.get("X-Webhook-Signature").to_owned());
        let call = move || {
            actix_web::rt::System::new().block_on(async move {
                use actix_web::dev::Service as _;
                let app = actix_web::App::new()
                    .wrap_fn(move |mut request, inner| {
                        request.set_payload(Bytes::from(outcome).into());
                        inner.call(request)
                    })
                    .service(app.actix());
                let service = actix_web::test::init_service(app).await;
                let request = actix_web::test::TestRequest::post()
                    .uri("/hook")
                    .append_header(("X-Webhook-Signature", signature))
                    .set_payload(r#"{"a": 1}"#)
                    .to_request();
                let response = actix_web::test::call_service(&service, request).await;
                response.status().as_u16()
            })
        };
        let before = target.touched();
        let status = tokio::task::spawn_blocking(call).await.unwrap();
        if outcome.contains(' ') {
            assert_eq!(status, 204, "an outer middleware alone does no harm");
        } else {
            assert_eq!((status, target.touched()), (401, before), "{outcome}");
        }
    }
}

#[tokio::test]
async fn a27_compressed_bodies_are_refused_and_never_inflated() {
    // An empty gzip body, which the receiver must not try to decode.
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0";
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        let request = Request::hex(gzip);
        for coding in ["gzip", "br", "deflate", "zstd", "GZIP", "x-gzip", "gzip, identity", "?"] {
            let raw = request.and("Content-Encoding", coding).raw();
            target.answers(coding, &raw, 415, "unsupported content encoding").await;
        }
        let two_lines = request.and("Content-Encoding", "identity").and("Content-Encoding", "gzip");
        target.answers("two lines", &two_lines.raw(), 415, "unsupported content encoding").await;
        // before the body comes
        let mut connection = target.connect().await;
        let head = request.and("Content-Encoding", "gzip");
        connection.send(&head.raw_head("Content-Length: 1000\r\n")).await;
        let response = connection.response().await.unwrap();
        target.is_refusal("before the body", &response, 415, "unsupported content encoding");
        for none in ["identity", "Identity", ""] {
            let request = request.and("Content-Encoding", none);
            target.accepts(none, &request).await;
        }
    }
    // A token says nothing of the body: it is passed on as it came.
    let bomb = vec![0; 100_000];
    for target in &both(verifier(Scheme::shared_header("x-token").unwrap())).await {
        let request = Request::new(&[("X-Token", SECRET), ("Content-Encoding", "gzip")], &bomb);
        target.accepts("as it came", &request).await;
    }
}

#[tokio::test]
async fn a33_a_signature_in_trailers_is_none() {
    let good = Request::hex("{}").get("X-Webhook-Signature").to_owned();
    let chunked = |request: &Request, trailer: &str| {
        let framing = "Transfer-Encoding: chunked\r\nTrailer: X-Webhook-Signature\r\n";
        let mut raw = request.raw_head(framing);
        raw.extend_from_slice(b"2\r\n{}\r\n0\r\n");
        raw.extend_from_slice(format!("X-Webhook-Signature: {trailer}\r\n\r\n").as_bytes());
        raw
    };
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        let bare = Request::new(&[], "{}");
        target.refuses_raw("only there", &chunked(&bare, &good)).await;
        let bad = bare.and("X-Webhook-Signature", format!("sha256={}", hex(&[7; 32])));
        target.refuses_raw("a better one", &chunked(&bad, &good)).await;
    }
}

#[tokio::test]
async fn a34_a_client_that_leaves_in_the_body_leaves_nothing_behind() {
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        let body = "x".repeat(1_000);
        let raw = Request::hex(&body).raw();
        let half = &raw[..raw.len() - 500];
        for _ in 0..3 {
            let mut connection = target.connect().await;
            connection.send(half).await;
            drop(connection);
        }
        let mut half_closed = target.connect().await;
        half_closed.send(half).await;
        half_closed.half_close().await;
        // Whether a client that can still listen is told depends on the server.
        if let Some(response) = half_closed.response().await {
            assert_eq!(response.status, 400);
        }
        // Each worker of the server has seen the ends before it answers what came after them.
        for _ in 0..4 {
            target.accepts("the next one", &Request::hex(&body)).await;
        }
        assert_eq!(target.touched(), (4, 8));
    }
}

#[tokio::test]
async fn a37_an_empty_body_is_verified_like_any_other() {
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        let empty = Request::hex("");
        target.accepts("with a length of 0", &empty).await;
        target.accepts_raw("without a length", &empty.raw_head(""), b"").await;
        let mut raw = empty.raw_head("Transfer-Encoding: chunked\r\n");
        raw.extend_from_slice(b"0\r\n\r\n");
        target.accepts_raw("chunked", &raw, b"").await;
        let signed_for_more = Request::hex("{}").body("");
        target.refuses("a body taken away", &signed_for_more, MISMATCH).await;
        let unsigned = Request::new(&[], "");
        target.refuses("unsigned", &unsigned, VerifyError::MissingSignature).await;
    }
}
