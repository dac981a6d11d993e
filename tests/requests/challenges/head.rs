//! Challenges that a head makes, by strangers.

use webhook_verify::{Receiver, ReceiverBuilder, VerifierBuilder, scheme::Challenge};

use super::{
    attacks::{base64, mac},
    support::{Expected, answers, ask, builder, delivers, each, get, post, refuses, signed, with},
};

#[tokio::test]
async fn a_token_with_markup_or_of_any_length_is_not_echoed() {
    let long = "a".repeat(1025);
    for target in &with(Challenge::DROPBOX).await {
        for token in [
            "%3Cscript%3Ealert(1)%3C/script%3E",
            "a%3Cb",
            "a%3Eb",
            "a%26lt;",
            "a%22b",
            "a%27b",
            "a%5Cb",
            "a%00b",
            "a%0D%0ASet-Cookie:+b",
            "a%C2%85b",
            "a%7Fb",
            "",
            &long,
            "a&challenge=a",
            "a&challenge=b",
        ] {
            refuses(target, token, &get(&format!("/hook?challenge={token}"))).await;
        }
        let longest = "a".repeat(1024);
        let request = get(&format!("/hook?challenge={longest}"));
        answers(target, &request, Expected::Text(&longest)).await;
    }
}

#[tokio::test]
async fn another_method_or_place_is_another_request() {
    for target in &with(Challenge::DROPBOX).await {
        let posted = ask("POST", "/hook?challenge=a", &[], "");
        refuses(target, "POST", &posted).await;
        refuses(target, "body", &post("challenge=a")).await;
        refuses(target, "name", &get("/hook?Challenge=a")).await;
        refuses(target, "header", &get("/hook").and("challenge", "a")).await;
        refuses(target, "fragment", &get("/challenge=a")).await;
    }
    for target in &with(Challenge::OKTA).await {
        let name = "x-okta-verification-challenge";
        refuses(target, "twice", &get("/").and(name, "a").and(name, "a")).await;
        refuses(target, "markup", &get("/").and(name, "<a>")).await;
        refuses(target, "quote", &get("/").and(name, "a\",\"b\":\"c")).await;
        refuses(target, "POST", &post("").and(name, "a")).await;
    }
}

#[tokio::test]
async fn the_parameter_must_be_the_configured_one() {
    let url = |mode: &str, token: &str| {
        get(&format!("/?hub.mode={mode}&hub.verify_token={token}&hub.challenge=1"))
    };
    let verifier = || builder(Challenge::META).parameter("verify_token", "mine");
    for target in &each(verifier, |r| r).await {
        answers(target, &url("subscribe", "mine"), Expected::Text("1")).await;
        for (mode, token) in [
            ("subscribe", "yours"),
            ("subscribe", "min"),
            ("subscribe", "mine1"),
            ("subscribe", "MINE"),
            ("subscribe", ""),
            ("unsubscribe", "mine"),
            ("subscribe", "mine&hub.verify_token=mine"),
            ("subscribe", "yours&hub.verify_token=mine"),
            ("subscribe&hub.mode=subscribe", "mine"),
            ("subscribe", "mine&hub.challenge=2"),
        ] {
            refuses(target, token, &url(mode, token)).await;
        }
    }
    // Not configured: no receiver, unless it answers no handshakes. Deliveries are received then.
    let empty = || builder(Challenge::META).parameter("verify_token", "");
    for verifier in [&|| builder(Challenge::META), &empty as &dyn Fn() -> VerifierBuilder] {
        let built = Receiver::builder(verifier().build().unwrap()).build();
        let error = built.unwrap_err().kind().to_string();
        assert!(
            error.starts_with("parameter: the handshake `meta` needs `verify_token`"),
            "{error}"
        );
        for target in &each(verifier, ReceiverBuilder::without_challenges).await {
            refuses(target, "no parameter", &url("subscribe", "mine")).await;
            refuses(target, "no parameter", &url("subscribe", "")).await;
            delivers(target, "a delivery", &signed("{}")).await;
        }
    }
}

#[tokio::test]
async fn nothing_is_signed_for_strangers_that_could_be_a_body() {
    let long = "a".repeat(257);
    for target in &with(Challenge::X).await {
        for token in [
            "%7B%22a%22%3A1%7D",
            "%5B1%5D",
            "a%3Ab",
            "a%20b",
            "a%26b=c",
            "a%00",
            "%C3%BC",
            &long,
            "a&crc_token=a",
        ] {
            refuses(target, token, &get(&format!("/?crc_token={token}"))).await;
        }
        // The tokens that it signs are no deliveries.
        for word in ["1", "true", "abc=def", &"a".repeat(256)] {
            let mac = format!("sha256={}", base64(&mac(&[word.as_bytes()])));
            let expected = format!(r#"{{"response_token":"{mac}"}}"#);
            let request =
                ask("GET", &format!("/?crc_token={word}").replace("c=d", "c%3Dd"), &[], "");
            answers(target, &request, Expected::Json(&expected)).await;
            refuses(target, word, &signed(word)).await;
        }
        for body in ["", r#"{"a":1}"#, "1 ", "[1]", &"1".repeat(257)] {
            delivers(target, body, &signed(body)).await;
        }
    }
}

#[tokio::test]
async fn the_body_behind_such_a_head_is_not_read() {
    for target in &with(Challenge::MICROSOFT_GRAPH).await {
        for framing in ["Content-Length: 99999999\r\n", "Transfer-Encoding: chunked\r\n"] {
            let request = ask("POST", "/?validationToken=abc", &[], "");
            let response = target.send(&request.raw_head(framing)).await;
            assert_eq!((response.status, response.text()), (200, "abc"), "{framing}");
        }
        assert_eq!(target.touched(), (0, 0));
    }
}

#[tokio::test]
async fn a_mac_needs_a_scheme_that_makes_one() {
    use webhook_verify::{
        ConfigError, Scheme,
        scheme::{Algorithm, KeyForm},
    };
    for algorithm in [Algorithm::Token, Algorithm::KeyedSha256, Algorithm::Ed25519] {
        let scheme = Scheme::builder("acme")
            .algorithm(algorithm)
            .key_form(KeyForm::Hex)
            .signature_header("acme-signature")
            .challenge(Challenge::X)
            .build();
        let error = scheme.map(|_| ()).unwrap_err();
        assert!(matches!(error.kind(), ConfigError::Option { option: "challenge", .. }), "{error}");
    }
}
