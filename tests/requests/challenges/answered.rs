//! Every challenge as its sender makes it.

use integration_tests::Logs;
use webhook_verify::{Handshake, scheme::Challenge};

use super::{
    attacks::{Request, base64, hex, mac},
    support::{Expected, answers, ask, builder, delivers, each, get, post, refuses, signed, with},
};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// The challenges, and what becomes of them.
fn all() -> Vec<(Challenge, Request, Expected<'static>)> {
    let hex = hex(&mac(&[b"qgg8vlvZRS6UYooatFL8Aw"]));
    let zoom = format!(r#"{{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"{hex}"}}"#);
    let x = format!(r#"{{"response_token":"sha256={}"}}"#, base64(&mac(&[b"MDZjNDRk-OTE_tMWU="])));
    let meta = "/?hub.mode=subscribe&hub.verify_token=me%20and+you&hub.challenge=1158201444";
    let twitch = ("Twitch-Eventsub-Message-Type", "webhook_callback_verification");
    let braintree =
        format!("a public key|{}", self::hex(&mac(&[b"20f9f8ed05f77439fe955c977e4c8a53"])));
    vec![
        (
            Challenge::SLACK,
            signed(r#"{"type":"url_verification","token":"x","challenge":"3eZbrw1aBm2rZgRN"}"#),
            Expected::Json(r#"{"challenge":"3eZbrw1aBm2rZgRN"}"#),
        ),
        (
            Challenge::ZOOM,
            signed(
                r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#,
            ),
            Expected::Json(zoom.leak()),
        ),
        (Challenge::META, get(meta), Expected::Text("1158201444")),
        (Challenge::X, get("/?crc_token=MDZjNDRk-OTE_tMWU%3D&nonce=1"), Expected::Json(x.leak())),
        (
            Challenge::TWITCH,
            signed(r#"{"challenge":"pogchamp-kappa-360noscope","subscription":{}}"#)
                .and(twitch.0, twitch.1),
            Expected::Text("pogchamp-kappa-360noscope"),
        ),
        (Challenge::DROPBOX, get("/hook?challenge=a+b%C3%BC"), Expected::Text("a b\u{fc}")),
        (
            Challenge::OKTA,
            get("/").and("X-Okta-Verification-Challenge", "one {time}: 5/6"),
            Expected::Json(r#"{"verification":"one {time}: 5/6"}"#),
        ),
        (
            Challenge::MICROSOFT_GRAPH,
            ask("POST", "/?validationToken=Validation%3a%20Request-Id%3a%201f", &[], ""),
            Expected::Text("Validation: Request-Id: 1f"),
        ),
        (
            Challenge::MONDAY,
            post(r#" {"challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}"#),
            Expected::Json(
                r#"{"challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}"#,
            ),
        ),
        (
            Challenge::DISCORD,
            signed(r#"{"id":"1","application_id":"2","type":1,"version":1}"#),
            Expected::Json(r#"{"type":1}"#),
        ),
        (
            Challenge::ASANA,
            post("{}").and("X-Hook-Secret", "b537207f20cbfa02357cf448134da559"),
            Expected::Header("x-hook-secret", "b537207f20cbfa02357cf448134da559"),
        ),
        (
            Challenge::NOTION,
            post(r#"{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}"#),
            Expected::Empty,
        ),
        (Challenge::HEAD_PROBE, ask("HEAD", "/hook", &[], ""), Expected::Empty),
        (Challenge::GET_PROBE, get("/hook?a=b"), Expected::Empty),
        (Challenge::WOOCOMMERCE, ask("POST", "/hook", &[FORM], "webhook_id=17"), Expected::Empty),
        (
            Challenge::SLACK_SSL_CHECK,
            ask("POST", "/hook", &[FORM], "ssl_check=1&token=x"),
            Expected::Empty,
        ),
        (
            Challenge::SMARTSHEET,
            post(r#"{"challenge":"d78dd1d3-01ce-4481-81de-92b4f3aa5ab1","webhookId":2674017481058180}"#)
                .and("Smartsheet-Hook-Challenge", "d78dd1d3-01ce-4481-81de-92b4f3aa5ab1"),
            Expected::Json(r#"{"smartsheetHookResponse":"d78dd1d3-01ce-4481-81de-92b4f3aa5ab1"}"#),
        ),
        (
            Challenge::BRAINTREE,
            get("/?bt_challenge=20f9f8ed05f77439fe955c977e4c8a53"),
            Expected::Text(braintree.leak()),
        ),
    ]
}

#[tokio::test]
async fn every_challenge_is_answered_before_handler_and_store() {
    let logs = Logs::collect();
    for (challenge, request, expected) in all() {
        assert_eq!(Challenge::named(challenge.name()), Some(challenge.clone()));
        let verifier = || {
            builder(challenge.clone())
                .parameter("verify_token", "me and you")
                .parameter("public_key", "a public key")
        };
        let is_handshake = matches!(challenge.name(), "asana" | "notion");
        let accepting = |receiver: webhook_verify::ReceiverBuilder| match is_handshake {
            true => receiver.on_handshake(|_: Handshake| async { Ok(()) }),
            false => receiver,
        };
        for target in &each(verifier, accepting).await {
            answers(target, &request, expected).await;
            // and a delivery is one as ever
            let event = signed(r#"{"type":"event","event":{"type":"order"}}"#);
            delivers(target, challenge.name(), &event).await;
            refuses(target, challenge.name(), &post(r#"{"type":"event"}"#)).await;
        }
        let line = format!(r#"scheme="acme" challenge="{}""#, challenge.name());
        assert!(logs.text().contains(&line), "{line}");
    }
    for token in [
        "3eZbrw1aBm2rZgRN",
        "qgg8vlvZRS6UYooatFL8Aw",
        "MDZjNDRk",
        "me and you",
        "1158201444",
        "pogchamp",
        "b537207f20cbfa02357cf448134da559",
        "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl",
    ] {
        assert!(!logs.text().contains(token), "{token} in a log line");
    }
}

#[tokio::test]
async fn a_scheme_without_the_challenge_has_nothing_to_answer() {
    for (challenge, request, _) in all() {
        // A signed one is a delivery there.
        if request.headers.iter().any(|(name, _)| name == "acme-signature") {
            continue;
        }
        for target in &with(Challenge::SLACK).await {
            refuses(target, challenge.name(), &request).await;
        }
    }
}
