//! Challenges that are signed like deliveries.

use webhook_verify::scheme::Challenge;

use super::support::{delivers, get, post, refuses, signed, with};

const SLACK: &str = r#"{"type":"url_verification","challenge":"a"}"#;

#[tokio::test]
async fn without_a_signature_that_holds_they_are_refused() {
    let zoom = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"a"}}"#;
    let twitch = ("twitch-eventsub-message-type", "webhook_callback_verification");
    for (challenge, body) in [
        (Challenge::SLACK, SLACK),
        (Challenge::ZOOM, zoom),
        (Challenge::TWITCH, r#"{"challenge":"a"}"#),
        (Challenge::DISCORD, r#"{"type":1}"#),
    ] {
        for target in &with(challenge.clone()).await {
            let request = post(body).and(twitch.0, twitch.1);
            refuses(target, "unsigned", &request).await;
            for signature in ["", "00", &"0".repeat(64), signed("{}").get("acme-signature")] {
                let request = request.and("acme-signature", signature);
                refuses(target, challenge.name(), &request).await;
            }
            refuses(target, "GET", &get("/hook?challenge=a")).await;
        }
    }
}

#[tokio::test]
async fn one_whose_token_cannot_be_answered_goes_nowhere() {
    for target in &with(Challenge::SLACK).await {
        for body in [
            r#"{"type":"url_verification"}"#,
            r#"{"type":"url_verification","challenge":""}"#,
            r#"{"type":"url_verification","challenge":"<b>"}"#,
            r#"{"type":"url_verification","challenge":"a","challenge":"a"}"#,
        ] {
            refuses(target, body, &signed(body)).await;
        }
        let long = format!(r#"{{"type":"url_verification","challenge":"{}"}}"#, "a".repeat(2048));
        refuses(target, "long", &signed(&long)).await;
    }
    for target in &with(Challenge::ZOOM).await {
        for token in ["v0:1:{}", "a b", "{\\\"a\\\":1}", &"a".repeat(257)] {
            let body = format!(
                r#"{{"event":"endpoint.url_validation","payload":{{"plainToken":"{token}"}}}}"#
            );
            refuses(target, token, &signed(&body)).await;
        }
    }
}

#[tokio::test]
async fn what_is_alike_is_a_delivery() {
    for target in &with(Challenge::SLACK).await {
        for body in [
            r#"{"type":"event_callback","challenge":"a"}"#,
            r#"{"event":{"type":"url_verification","challenge":"a"}}"#,
            "not JSON",
            "",
        ] {
            delivers(target, body, &signed(body)).await;
        }
    }
    for target in &with(Challenge::DISCORD).await {
        // An interaction, an event, and the PING of events, which wants 204.
        for body in [
            r#"{"id":"1","type":2,"data":{}}"#,
            r#"{"application_id":"1","type":1,"event":{"type":"APPLICATION_AUTHORIZED"}}"#,
            r#"{"application_id":"1","type":0}"#,
        ] {
            delivers(target, body, &signed(body)).await;
        }
    }
    for target in &with(Challenge::TWITCH).await {
        let name = "twitch-eventsub-message-type";
        let request = signed(r#"{"challenge":"a"}"#);
        delivers(target, "no type", &request).await;
        delivers(target, "another", &request.and(name, "notification")).await;
    }
}
