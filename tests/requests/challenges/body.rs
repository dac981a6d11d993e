//! Challenges in unsigned bodies, by strangers.

use std::time::Duration;

use webhook_verify::{
    Verifier,
    scheme::{self, Challenge},
};

use super::{
    attacks::{SECRET, both},
    support::{Expected, answers, ask, builder, delivers, each, get, post, refuses, signed, with},
};

const TEXT: &str = "invalid webhook signature";

#[tokio::test]
async fn a_token_with_markup_or_of_any_length_is_not_echoed() {
    let long = format!(r#"{{"challenge":"{}"}}"#, "a".repeat(1025));
    for target in &with(Challenge::MONDAY).await {
        for body in [
            "",
            "{}",
            "[]",
            "null",
            "\"challenge\"",
            r#"{"challenge":"#,
            r#"{"challenge":""}"#,
            r#"{"challenge":null}"#,
            r#"{"challenge":{"a":"b"}}"#,
            r#"{"challenge":["a"]}"#,
            r#"{"challenge":"a","challenge":"b"}"#,
            r#"{"challenge":"a"}x"#,
            r#"{"challenge":"<b>"}"#,
            r#"{"challenge":"\u003cscript>"}"#,
            r#"{"challenge":"a\"b"}"#,
            r#"{"challenge":"a\nb"}"#,
            r#"{"challenge":"a\\b"}"#,
            r#"{"challenge":"a\ud800"}"#,
            r#"{"Challenge":"a"}"#,
            "challenge=a",
            &long,
        ] {
            refuses(target, body, &post(body)).await;
        }
        let escaped = post(r#"{"challenge":"\u00fc/a"}"#);
        answers(target, &escaped, Expected::Json("{\"challenge\":\"\u{fc}/a\"}")).await;
        refuses(target, "GET", &post(r#"{"challenge":"a"}"#).method("GET")).await;
        refuses(target, "GET", &get("/hook?challenge=a")).await;
    }
}

#[tokio::test]
async fn a_request_with_a_signature_is_judged_by_it() {
    for target in &with(Challenge::MONDAY).await {
        let body = r#"{"challenge":"a"}"#;
        for signature in ["00", "x", &"0".repeat(64)] {
            let request = post(body).and("acme-signature", signature);
            refuses(target, signature, &request).await;
        }
        let twice = signed(body);
        refuses(target, "twice", &twice.and("acme-signature", twice.get("acme-signature"))).await;
        delivers(target, "signed", &signed(body)).await;
    }
}

#[tokio::test]
async fn a_long_body_is_no_challenge_and_is_not_read() {
    let body = |len: usize| format!(r#"{{"challenge":"a","b":"{}"}}"#, "b".repeat(len - 24));
    let verifier = builder(Challenge::MONDAY).build().unwrap();
    for target in &both(verifier).await {
        let request = post(&body(4096));
        assert_eq!(request.body.len(), 4096);
        answers(target, &request, Expected::Json(r#"{"challenge":"a"}"#)).await;
        refuses(target, "in process", &post(&body(4097))).await;
        refuses(target, "in process", &post(&body(5120))).await;
        // Declared, and never sent.
        let declared = post("").raw_head("Content-Length: 5120\r\n");
        target.answers("declared", &declared, 401, TEXT).await;
        // Not declared, and without an end.
        let mut chunked = post("").raw_head("Transfer-Encoding: chunked\r\n");
        for chunk in body(5120).as_bytes().chunks(1024) {
            chunked.extend_from_slice(b"400\r\n");
            chunked.extend_from_slice(chunk);
            chunked.extend_from_slice(b"\r\n");
        }
        target.answers("chunked", &chunked, 401, TEXT).await;
        // A short one in pieces is one.
        let mut chunked = post("").raw_head("Transfer-Encoding: chunked\r\n");
        for piece in ["c\r\n{\"challenge\"", "5\r\n:\"a\"}", "0\r\n"] {
            chunked.extend_from_slice(format!("{piece}\r\n").as_bytes());
        }
        let response = target.send(&chunked).await;
        assert_eq!((response.status, response.text()), (200, r#"{"challenge":"a"}"#));
        assert_eq!(target.touched(), (0, 0));
    }
}

#[tokio::test]
async fn depth_is_no_danger() {
    for target in &with(Challenge::MONDAY).await {
        for depth in [2_000, 10_000] {
            for (open, close) in [("[", "]"), ("{\"challenge\":", "}")] {
                let (open, close) = (open.repeat(depth), close.repeat(depth));
                refuses(target, "deep", &post(&format!("{open}{close}"))).await;
                refuses(target, "open", &post(&open)).await;
            }
        }
        let deep = format!(r#"{{"b":{}{},"challenge":"a"}}"#, "[".repeat(2_000), "]".repeat(2_000));
        answers(target, &post(&deep), Expected::Json(r#"{"challenge":"a"}"#)).await;
    }
}

#[tokio::test]
async fn a_slow_body_is_cut_as_any_other() {
    let limit = Duration::from_millis(200);
    for target in
        &each(|| builder(Challenge::MONDAY), |receiver| receiver.body_timeout(limit)).await
    {
        let slow = post("").raw_head("Content-Length: 17\r\n");
        target.answers("slow", &slow, 408, "body took too long").await;
    }
}

#[tokio::test]
async fn the_receivers_own_limit_holds_too() {
    for target in &each(|| builder(Challenge::MONDAY), |receiver| receiver.body_limit(16)).await {
        let mut chunked = post("").raw_head("Transfer-Encoding: chunked\r\n");
        chunked.extend_from_slice(b"11\r\n{\"challenge\":\"a\"}\r\n0\r\n\r\n");
        target.answers("chunked", &chunked, 401, TEXT).await;
        let declared = post(r#"{"challenge":"a"}"#).raw();
        target.answers("declared", &declared, 413, "body too large").await;
    }
}

/// Slack, as its preset is: nothing else that is unsigned is answered.
#[tokio::test]
async fn only_an_ssl_check_of_slack_is_answered_without_a_signature() {
    let form = "application/x-www-form-urlencoded";
    let verifier = || Verifier::builder(scheme::SLACK).secret(SECRET);
    for target in &each(verifier, |receiver| receiver).await {
        let ask = |content_type: &str, body: &str| {
            ask("POST", "/hook", &[("content-type", content_type)], body)
        };
        for body in ["ssl_check=1", "token=x&ssl_check=1", "ssl%5Fcheck=%31"] {
            answers(target, &ask(form, body), Expected::Empty).await;
        }
        for body in [
            "",
            "ssl_check",
            "ssl_check=",
            "ssl_check=0",
            "ssl_check=01",
            "ssl_check=1+",
            "ssl_check=true",
            "ssl_check=1&ssl_check=1",
            "ssl_check=1&ssl_check=0",
            "SSL_CHECK=1",
            "command=%2Fpay&text=1",
        ] {
            refuses(target, body, &ask(form, body)).await;
        }
        refuses(target, "JSON", &ask("application/json", r#"{"ssl_check":1}"#)).await;
        refuses(target, "no form", &ask("text/plain", "ssl_check=1")).await;
        refuses(target, "no type", &post("ssl_check=1")).await;
        let check = ask(form, "ssl_check=1");
        refuses(target, "GET", &check.method("GET")).await;
        refuses(target, "a query", &get("/hook?ssl_check=1")).await;
        let signed = check.and("x-slack-signature", format!("v0={}", "0".repeat(64)));
        refuses(target, "a bad signature", &signed).await;
    }
}

#[tokio::test]
async fn a_form_is_one_by_its_content_type() {
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    for target in &with(Challenge::WOOCOMMERCE).await {
        let ask = |content_type: &str, body: &str| {
            ask("POST", "/hook", &[("content-type", content_type)], body)
        };
        answers(target, &ask(form, "webhook_id=1"), Expected::Empty).await;
        refuses(target, "JSON", &ask("application/json", "webhook_id=1")).await;
        refuses(target, "no type", &post("webhook_id=1")).await;
        for body in ["", "webhook_id", "webhook_id=", "webhook_id=1&webhook_id=1", "id=1"] {
            refuses(target, body, &ask(form, body)).await;
        }
    }
}
