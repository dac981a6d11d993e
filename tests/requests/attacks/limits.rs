//! Bodies that are too long, too slow, or too much work.

use std::{
    convert::Infallible,
    hint::black_box,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, future::join_all, stream};
use integration_tests::{
    Framework,
    attacks::{NOW, Request, SECRET, Target, base64, both, hex, mac, verifier},
};
use webhook_verify::{
    Receiver, RequestHead, Scheme, Verifier, VerifyError,
    scheme::{self, Encoding},
};

use super::work::{HARD, costs_at_most, look_over};

const MISMATCH: VerifyError = VerifyError::SignatureMismatch;

async fn start_limited(framework: Framework) -> Target {
    let verifier = verifier(scheme::GENERIC_HEX);
    Target::start_with(framework, &verifier, |receiver| receiver.body_limit(LIMIT)).await
}

const LIMIT: usize = 64 * 1024;

#[tokio::test]
async fn a28_a_declared_length_over_the_limit_is_refused_before_the_body() {
    for framework in [Framework::Axum, Framework::Actix] {
        let target = start_limited(framework).await;
        let long = "x".repeat(LIMIT + 1);
        target.accepts("at the limit", &Request::hex(&long[1..])).await;
        target.answers("one over it", &Request::hex(&long).raw(), 413, "body too large").await;
        for declared in [LIMIT as u64 + 1, 1 << 40, i64::MAX as u64] {
            let mut connection = target.connect().await;
            let head = Request::hex(&long).raw_head(&format!("Content-Length: {declared}\r\n"));
            let before = target.touched();
            connection.send(&head).await;
            // not a byte of the body is sent
            let response = connection.response().await.unwrap();
            target.is_refusal(&declared.to_string(), &response, 413, "body too large");
            assert_eq!(target.touched(), before);
        }
        for declared in
            ["18446744073709551616", "-1", "+5", "0x10", "1e3", "5 5", "9".repeat(99).as_str()]
        {
            let head = Request::hex("{}").raw_head(&format!("Content-Length: {declared}\r\n"));
            target.answers(declared, &head, 400, "").await;
        }
    }
}

#[tokio::test]
async fn a29_a_body_without_a_length_is_cut_off_at_the_limit() {
    for framework in [Framework::Axum, Framework::Actix] {
        let target = start_limited(framework).await;
        let full = "x".repeat(LIMIT);
        let chunked = |body: &str, size: usize| {
            let mut raw = Request::hex(&full).raw_head("Transfer-Encoding: chunked\r\n");
            for chunk in body.as_bytes().chunks(size) {
                raw.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                raw.extend_from_slice(chunk);
                raw.extend_from_slice(b"\r\n");
            }
            raw.extend_from_slice(b"0\r\n\r\n");
            raw
        };
        for size in [1_000, LIMIT] {
            let raw = chunked(&full, size);
            target.accepts_raw("at the limit", &raw, full.as_bytes()).await;
            let raw = chunked(&format!("{full}x"), size);
            target.answers("one over it", &raw, 413, "body too large").await;
        }

        // one that never ends
        let before = target.touched();
        let mut connection = target.connect().await;
        connection.send(&Request::hex("x").raw_head("Transfer-Encoding: chunked\r\n")).await;
        let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000)).into_bytes();
        let mut sent = 0;
        while !connection.anything_within(Duration::from_millis(1)).await {
            connection.send(&chunk).await;
            sent += 0x4000;
            assert!(sent < 1 << 26, "the server reads on after {sent} bytes");
        }
        let response = connection.response().await.unwrap();
        target.is_refusal("endless", &response, 413, "body too large");
        assert_eq!(target.touched(), before);
    }
}

/// Slow headers are the server's affair: neither adapter sees a request before its head is
/// complete.
#[tokio::test]
async fn a30_slow_bodies_are_cut_off() {
    for framework in [Framework::Axum, Framework::Actix] {
        let target = Target::start_with(framework, &verifier(scheme::GENERIC_HEX), |receiver| {
            receiver.body_timeout(Duration::from_millis(200))
        })
        .await;
        let head = Request::hex("x".repeat(1_000)).raw_head("Content-Length: 1000\r\n");
        let stalled = join_all((0..50).map(async |_| {
            let mut connection = target.connect().await;
            connection.send(&head).await;
            connection.send(b"xxx").await;
            connection.response().await.unwrap()
        }));
        // A byte now and then does not buy more time: it runs from the first wait to the end.
        let dripping = async {
            let mut connection = target.connect().await;
            connection.send(&head).await;
            let mut sent = 0;
            while !connection.anything_within(Duration::from_millis(20)).await {
                connection.send(b"x").await;
                sent += 1;
                assert!(sent < 1_000, "each byte buys more time");
            }
            connection.response().await.unwrap()
        };
        let (mut cut_off, dripped) = tokio::join!(stalled, dripping);
        cut_off.push(dripped);
        for response in cut_off {
            target.is_refusal("slow", &response, 408, "body took too long");
        }
        assert_eq!(target.touched(), (0, 0));
    }
}

#[tokio::test]
async fn a30_slow_bodies_hold_nobody_up() {
    for framework in [Framework::Axum, Framework::Actix] {
        let target = Target::start_with(framework, &verifier(scheme::GENERIC_HEX), |receiver| {
            receiver.body_timeout(Duration::from_secs(600))
        })
        .await;
        let opening = Request::hex("x".repeat(1_000)).raw_head("Content-Length: 1000\r\n");
        let mut stalled = Vec::new();
        for _ in 0..50 {
            let mut connection = target.connect().await;
            connection.send(&[&opening, &b"xxx"[..]].concat()).await;
            stalled.push(connection);
        }
        for _ in 0..5 {
            target.accepts("meanwhile", &Request::hex("{}")).await;
        }
        for mut connection in stalled {
            let answered = connection.anything_within(Duration::ZERO).await;
            assert!(!answered, "it still waits for the body");
        }
        assert_eq!(target.touched(), (5, 10));
    }
}

/// A body that must not be read.
struct Untouchable;

impl Stream for Untouchable {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        panic!("the body was read");
    }
}

#[tokio::test]
async fn a31_headers_are_judged_before_a_byte_of_the_body() {
    let fresh = Request::standard("msg_1", &NOW.to_string(), "{}");
    let heads = [
        ("no signature", fresh.without("webhook-signature")),
        ("a malformed one", fresh.with("webhook-signature", "v1,x")),
        ("an unknown version", fresh.with("webhook-signature", "v2,x")),
        ("17", fresh.with("webhook-signature", "v1,x ".repeat(17))),
        ("no id", fresh.without("webhook-id")),
        ("two ids", fresh.and("webhook-id", "x")),
        ("no timestamp", fresh.without("webhook-timestamp")),
        ("a stale one", Request::standard("msg_1", "1", "{}")),
        ("a malformed one", Request::standard("msg_1", "x", "{}")),
        ("one from the future", Request::standard("msg_1", "9999999999", "{}")),
    ];
    for target in &both(verifier(scheme::STANDARD_WEBHOOKS)).await {
        for (what, request) in &heads {
            let before = target.touched();
            let mut connection = target.connect().await;
            connection.send(&request.raw_head("Content-Length: 1048576\r\n")).await;
            let response = connection.response().await.expect("an answer before the body");
            target.is_refusal(what, &response, 401, "invalid webhook signature");
            assert_eq!(target.touched(), before);

            let receiver = Receiver::new(target.verifier.clone());
            let receiver = receiver.or_timer(|_| std::future::pending());
            let admission =
                receiver.admit(&RequestHead::from(&request.headers), Untouchable).now_or_never();
            let rejection = admission.expect("no wait").expect_err("a refusal");
            assert_eq!(rejection.status(), 401, "{what}");
        }
    }
    for target in &both(verifier(scheme::PIPEFORCE_TOKEN)).await {
        for headers in [&[][..], &[("token", "another")]] {
            let mut connection = target.connect().await;
            let head = Request::new(headers, "").raw_head("Content-Length: 100000\r\n");
            connection.send(&head).await;
            let response = connection.response().await.expect("an answer before the body");
            target.is_refusal("a token", &response, 401, "invalid webhook signature");
        }
        assert_eq!(target.touched(), (0, 0));
    }
}

/// Judges the request in pieces, as a server does, and measures the work.
fn is_little_work(verifier: &Verifier, request: &Request) {
    let receiver = Receiver::new(verifier.clone()).or_timer(|_| std::future::pending());
    let body = Bytes::from(request.body.clone());
    let judge = || {
        let pieces = body.chunks(16 * 1024).map(|piece| body.slice_ref(piece));
        let pieces = stream::iter(pieces.map(Ok::<_, Infallible>));
        let head = RequestHead::from(&request.headers);
        let admission = receiver.admit(&head, pieces).now_or_never();
        drop(black_box(admission.expect("nothing waits")));
    };
    let what = format!("{} with a body of {} bytes", verifier.scheme().name(), body.len());
    costs_at_most(HARD, &what, || look_over(&body), judge);
}

/// Before the MAC holds, only what a scheme must read is read, and in time proportional to its
/// length.
#[tokio::test]
async fn a40_bodies_made_to_be_hard_work() {
    let deep = format!("{{\"id\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let keys: String = (0..60_000).map(|key| format!("\"k{key}\":1,")).collect();
    let wide = format!("{{{keys}\"id\":\"x\"}}");
    let same = format!("{{{}\"id\":1}}", "\"id\":1,".repeat(60_000));
    let signature = ("X-Webhook-Signature", format!("sha256={}", hex(&[7; 32])));
    for target in &both(verifier(scheme::HOST_UK_DOCUMENTED)).await {
        for body in [&deep, &wide, &same] {
            let unsigned = Request::new(&[(signature.0, &signature.1)], body);
            is_little_work(&target.verifier, &unsigned);
            target.refuses("unsigned", &unsigned, MISMATCH).await;
            is_little_work(&target.verifier, &Request::hex(body));
            target.accepts("signed", &Request::hex(body)).await;
        }
    }

    // where the signature itself is in the body
    let in_body = Scheme::builder("in-body")
        .signature_pointer("/id")
        .signed_content("{json:/sum}")
        .encoding(Encoding::Hex)
        .build()
        .unwrap();
    for target in &both(verifier(in_body)).await {
        let cases = [
            (&deep, VerifyError::MissingSignature),
            (&wide, VerifyError::MalformedSignature),
            (&same, VerifyError::MalformedBody),
        ];
        for (body, reason) in cases {
            let request = Request::new(&[], body);
            is_little_work(&target.verifier, &request);
            target.refuses("a pointer", &request, reason).await;
        }
        let good = format!("{{\"sum\":7,\"id\":\"{}\"}}", hex(&mac(&[b"7"])));
        target.accepts("a pointer", &Request::new(&[], good)).await;
    }

    let form: String = (0..50_000).map(|key| format!("k{key}=1&")).collect();
    let tokens = "token=x&".repeat(60_000);
    for target in &both(verifier(scheme::PIPEFORCE_TOKEN)).await {
        let typed = [("Content-Type", "application/x-www-form-urlencoded")];
        let cases =
            [(&form, VerifyError::MissingToken), (&tokens, VerifyError::MalformedSignature)];
        for (body, reason) in cases {
            let request = Request::new(&typed, body);
            is_little_work(&target.verifier, &request);
            target.refuses("a form", &request, reason).await;
        }
        let with_token = Request::new(&typed, format!("{form}token={SECRET}"));
        is_little_work(&target.verifier, &with_token);
        target.accepts("the token last", &with_token).await;
    }
}

/// Sixteen bad signatures over a long body cost what one does: the body is hashed once for each
/// secret.
#[test]
fn a11_many_bad_signatures_cost_no_more_hashing_than_one() {
    let verifier = verifier(scheme::STANDARD_WEBHOOKS);
    let body = Bytes::from(vec![b'x'; 4 << 20]);
    let request = Request::standard("msg_1", &NOW.to_string(), &body);
    let signed = |count: usize| {
        let list = vec![format!("v1,{}", base64(&[7; 32])); count].join(" ");
        request.with("webhook-signature", list).body("")
    };
    let (one, sixteen) = (signed(1), signed(16));
    let verify = |request: &Request| {
        let verdict = verifier.verify(&request.headers, body.clone());
        assert_eq!(verdict.map(drop), Err(MISMATCH));
    };
    // To hash the body once more would make both alike: two of sixteen cost less than three of one.
    let three = || (0..3).for_each(|_| verify(&one));
    costs_at_most(1, "sixteen signatures", three, || (0..2).for_each(|_| verify(&sixteen)));
}
