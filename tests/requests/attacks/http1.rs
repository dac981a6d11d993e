//! The other attacks on HTTP/1.1, and those on the URL.

use integration_tests::{Framework, Response, soon};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use webhook_verify::{Scheme, Verifier, VerifyError, scheme};

use integration_tests::attacks::{Request, SECRET, Target, both, hex, mac, verifier};

/// Everything that a server sends until it closes the connection.
async fn all_answers(target: &Target, raw: &[u8]) -> String {
    let mut stream = TcpStream::connect(target.server.addr).await.unwrap();
    stream.write_all(raw).await.unwrap();
    let mut answers = Vec::new();
    let closed = async { while let Ok(1..) = stream.read_buf(&mut answers).await {} };
    soon("end of the connection", closed).await;
    String::from_utf8(answers).unwrap()
}

fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

/// axum asks for the body when the receiver does, so a refusal by the head comes without a `100`.
/// actix-web sends the `100` by itself, before any middleware runs: there the client may send its
/// body in vain, and nobody reads it.
#[tokio::test]
async fn a32_expect_100_continue() {
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        let good = Request::hex("{}").and("Expect", "100-continue");
        let bad = good.without("X-Webhook-Signature").and("Connection", "close");
        let answers = all_answers(target, &bad.raw_head("Content-Length: 2\r\n")).await;
        match target.framework {
            Framework::Axum => assert_eq!(statuses(&answers), ["401"]),
            Framework::Actix => assert_eq!(statuses(&answers), ["100", "401"]),
        }
        assert!(answers.ends_with("invalid webhook signature"));
        assert_eq!(target.touched(), (0, 0));

        let mut stream = TcpStream::connect(target.server.addr).await.unwrap();
        stream.write_all(&good.raw_head("Content-Length: 2\r\n")).await.unwrap();
        let mut interim = [0; 25];
        stream.read_exact(&mut interim).await.unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(target.touched(), (0, 0));
        stream.write_all(b"{}").await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 204");
        assert_eq!(target.touched(), (1, 2));
    }
}

/// One message, one delivery: whatever a server makes of a length that is given twice, nothing but
/// signed bytes reaches a handler, and what hides behind them is not taken for a second request.
#[tokio::test]
async fn a35_conflicting_lengths() {
    let hidden = String::from_utf8(Request::hex("hidden").target("/hidden").raw()).unwrap();
    let body = format!("0\r\n\r\n{hidden}");
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        let both = format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", body.len());
        let swapped = format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", body.len());
        for framing in [&both, &swapped] {
            let mut raw = Request::hex("").raw_head(framing);
            raw.extend_from_slice(body.as_bytes());
            let before = target.touched();
            let answers = all_answers(target, &raw).await;
            let statuses = statuses(&answers);
            match target.framework {
                // chunked counts, and the connection ends with the message (RFC 9112 section 6.1)
                Framework::Axum => assert_eq!(statuses, ["204"], "{framing}"),
                Framework::Actix => assert_eq!(statuses, ["400"], "{framing}"),
            }
            let ran = usize::from(statuses == ["204"]);
            assert_eq!(target.touched(), (before.0 + ran, before.1 + 2 * ran));
        }

        let before = target.touched();
        for framing in [
            "Content-Length: 2\r\nContent-Length: 3\r\n",
            "Content-Length: 2, 3\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Content-Length : 2\r\n",
            "X-Folded: a\r\n b\r\nContent-Length: 2\r\n",
            " X-First: folded\r\nContent-Length: 2\r\n",
            "X-Null: \0\r\nContent-Length: 2\r\n",
            "no colon\r\nContent-Length: 2\r\n",
        ] {
            let mut raw = Request::hex("{}").raw_head(framing);
            raw.extend_from_slice(b"{}");
            let answers = all_answers(target, &raw).await;
            assert_eq!(statuses(&answers), ["400"], "{framing:?} on {:?}", target.framework);
            assert_eq!(target.touched(), before, "{framing:?}");
        }

        // Bare line feeds are read as line ends by some servers: that changes no signed byte.
        let last = Request::hex("{}").and("Connection", "close");
        let raw = String::from_utf8(last.raw()).unwrap().replace("\r\n", "\n");
        let answers = all_answers(target, raw.as_bytes()).await;
        assert!([["204"], ["400"]].contains(&[statuses(&answers)[0]]), "{answers}");
        let bad = raw.replace("sha256=", "sha256=0");
        let answers = all_answers(target, bad.as_bytes()).await;
        assert!(!answers.contains(" 204"), "{answers}");
    }
}

/// Without a smuggled message of a valid signature, a queue of requests on one connection is each
/// for itself.
#[tokio::test]
async fn a35_pipelined_requests_are_judged_each_for_itself() {
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        let (good, bad) = (Request::hex("{}"), Request::hex("{}").body("[]"));
        let last = bad.and("Connection", "close");
        let queue = [good.raw(), bad.raw(), good.raw(), last.raw()].concat();
        let answers = all_answers(target, &queue).await;
        assert_eq!(statuses(&answers), ["204", "401", "204", "401"]);
        assert_eq!(target.touched(), (2, 4));
    }
}

/// Routes here take GET and POST. axum answers other methods before a route's layer; in actix-web,
/// what is wrapped is the resource, and it answers them itself, so they are judged first.
#[tokio::test]
async fn a38_other_methods() {
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        let good = Request::hex("{}");
        let unsigned = good.without("X-Webhook-Signature");
        for method in ["PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
            let refusal = match target.framework {
                Framework::Axum => 405,
                Framework::Actix => 401,
            };
            let response = target.send(&unsigned.method(method).raw()).await;
            assert_eq!(response.status, refusal, "{method}");
            assert_eq!(target.touched(), (0, 0), "{method}");
        }
        let overridden = unsigned.method("PUT").and("X-HTTP-Method-Override", "POST");
        assert_ne!(target.send(&overridden.raw()).await.status, 204);
        assert_eq!(target.touched(), (0, 0));

        // A good signature changes nothing about the method.
        for method in ["PUT", "DELETE", "OPTIONS"] {
            let request = good.method(method).and("X-HTTP-Method-Override", "POST");
            let response = target.send(&request.raw()).await;
            assert_eq!((response.status, target.app.runs()), (405, 0), "{method}");
        }

        // Methods that have a handler are judged alike, and a header does not change which one it
        // is.
        let head = |request: &Request| request.method("HEAD").raw_head("Content-Length: 0\r\n");
        let last = Request::new(&[("Connection", "close")], "");
        let answers = all_answers(target, &head(&last)).await;
        let status = statuses(&answers)[0].to_owned();
        assert!(["401", "405"].contains(&&*status), "{answers}");
        assert_eq!(target.app.runs(), 0);
        target
            .refuses(
                "GET without a signature",
                &unsigned.method("GET"),
                VerifyError::MissingSignature,
            )
            .await;
        let overridden = good.and("X-HTTP-Method-Override", "PUT");
        target.accepts("POST it stays", &overridden).await;
        target.accepts("GET with a body", &good.method("GET")).await;
    }
}

/// `x-signature: <hex>` over `{url}|{body}`, for a receiver whose sender was given this URL.
fn url_signed() -> Verifier {
    let scheme = Scheme::builder("url-signed")
        .signature_header("x-signature")
        .signed_content("{url}|{body}")
        .build()
        .unwrap();
    Verifier::builder(scheme)
        .secret(SECRET)
        .public_url("https://receiver.example.test/hook")
        .build()
        .unwrap()
}

fn signed_for(url: &str) -> Request {
    let signature = hex(&mac(&[url.as_bytes(), b"|{}"]));
    let target = url.split_once(".test").unwrap().1;
    Request::new(&[("x-signature", &signature)], "{}").target(target)
}

#[tokio::test]
async fn a39_the_url_is_the_configured_one_and_the_query_is_taken_as_sent() {
    const URL: &str = "https://receiver.example.test/hook";
    for target in &both(url_signed()).await {
        let sent = signed_for(&format!("{URL}?a=1&b=%2F&b=x+y"));
        target.accepts("as sent", &sent).await;
        for changed in [
            "/hook?b=%2F&a=1&b=x+y",
            "/hook?a=1&b=x+y&b=%2F",
            "/hook?a=1&b=/&b=x+y",
            "/hook?a=1&b=%2f&b=x+y",
            "/hook?a=1&b=%2F&b=x%20y",
            "/hook?a=1&a=1&b=%2F&b=x+y",
            "/hook?a=1&b=%2F&b=x+y&",
            "/hook?%61=1&b=%2F&b=x+y",
            "/hook??a=1&b=%2F&b=x+y",
            "/hook?",
            "/hook",
        ] {
            target.refuses(changed, &sent.target(changed), VerifyError::SignatureMismatch).await;
        }
        target.accepts("no query", &signed_for(URL)).await;
        target.accepts("an empty query", &signed_for(&format!("{URL}?"))).await;

        // Where the client says it is going proves nothing, neither for it nor against it.
        let forged = sent
            .and("Host", "evil.example")
            .and("X-Forwarded-Host", "evil.example")
            .and("X-Forwarded-Proto", "http")
            .and("X-Forwarded-Prefix", "/evil")
            .and("Forwarded", "host=evil.example;proto=http")
            .and("X-Original-URL", "/evil?a=2");
        target.accepts("forged headers", &forged).await;
        let evil = signed_for("https://evil.example.test/hook?a=1")
            .and("Host", "evil.example.test")
            .and("X-Forwarded-Host", "evil.example.test");
        target.refuses("signed for another host", &evil, VerifyError::SignatureMismatch).await;
        let absolute = sent.target("http://evil.example/hook?a=1&b=%2F&b=x+y");
        target.accepts("a target in absolute form", &absolute).await;
    }

    // and so the same delivery has the same key, whatever came along with it
    for framework in [Framework::Axum, Framework::Actix] {
        let target = Target::deduplicating(framework, &url_signed()).await;
        let sent = signed_for(&format!("{URL}?a=1"));
        let answers: Vec<Response> = vec![
            target.send(&sent.raw()).await,
            target.send(&sent.and("X-Forwarded-Host", "evil.example").raw()).await,
            target.send(&sent.target("http://evil.example/hook?a=1").raw()).await,
        ];
        assert!(answers.iter().all(|answer| answer.status == 204));
        assert_eq!(target.app.runs(), 1, "{framework:?}");
    }
}

#[tokio::test]
async fn a39_signed_methods_and_paths() {
    let scheme = Scheme::builder("path-signed")
        .signature_header("x-signature")
        .signed_content("{method} {path}|{body}")
        .build()
        .unwrap();
    for target in &both(verifier(scheme)).await {
        let signature = hex(&mac(&[b"POST /hook/a%2Fb?x=1|{}"]));
        let sent = Request::new(&[("x-signature", &signature)], "{}").target("/hook/a%2Fb?x=1");
        target.accepts("as sent", &sent).await;
        for changed in [
            "/hook/a/b?x=1",
            "/hook/a%2fb?x=1",
            "/hook/./a%2Fb?x=1",
            "//hook/a%2Fb?x=1",
            "/hook/a%2Fb/?x=1",
            "/hook/a%2Fb",
        ] {
            target.refuses(changed, &sent.target(changed), VerifyError::SignatureMismatch).await;
        }
        target.refuses("GET", &sent.method("GET"), VerifyError::SignatureMismatch).await;
    }
}
