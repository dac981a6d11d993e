//! Handshakes: requests that bring the secret with them.

use std::sync::{Arc, Mutex};

use integration_tests::{App, Framework, answer};
use webhook_verify::{ConfigError, Handshake, Receiver, Verifier, scheme::Challenge};

use super::{
    attacks::{Request, hex, mac_with},
    support::{
        Expected, answers, builder, delivers, each, get, post, refuses, scheme, signed, with,
    },
};

fn asana() -> Request {
    post("{}").and("x-hook-secret", "b537207f20cb")
}

fn notion() -> Request {
    post(r#"{"verification_token":"secret_tMrl"}"#)
}

#[tokio::test]
async fn without_a_callback_they_are_refused() {
    for target in &with(Challenge::ASANA).await {
        refuses(target, "asana", &asana()).await;
        delivers(target, "signed", &signed("{}").and("x-hook-secret", "b537207f20cb")).await;
    }
    for target in &with(Challenge::NOTION).await {
        refuses(target, "notion", &notion()).await;
    }
}

#[tokio::test]
async fn the_callback_gets_the_secret_and_decides() {
    let taken = Arc::<Mutex<Vec<(String, String)>>>::default();
    for (challenge, request, secret, answered) in [
        (
            Challenge::ASANA,
            asana(),
            "b537207f20cb",
            Expected::Header("x-hook-secret", "b537207f20cb"),
        ),
        (Challenge::NOTION, notion(), "secret_tMrl", Expected::Empty),
    ] {
        let keep = |receiver: webhook_verify::ReceiverBuilder| {
            let taken = Arc::clone(&taken);
            receiver.on_handshake(move |handshake: Handshake| {
                let shown = format!("{handshake:?}");
                assert!(!shown.contains(handshake.expose_secret()), "{shown}");
                assert!(!shown.contains("pending"), "{shown}");
                let secret = handshake.expose_secret().to_owned();
                let target = handshake.target().to_owned();
                let accepted = target.contains("pending");
                taken.lock().unwrap().push((secret, target));
                async move {
                    match accepted {
                        true => Ok(()),
                        false => Err("no set-up is pending".into()),
                    }
                }
            })
        };
        for target in &each(|| builder(challenge.clone()), keep).await {
            answers(target, &request.target("/hook?set-up=pending"), answered).await;
            let seen = (secret.to_owned(), "/hook?set-up=pending".to_owned());
            assert_eq!(taken.lock().unwrap().pop(), Some(seen));
            let raw = request.raw();
            target.answers("refused", &raw, 503, "temporarily unavailable").await;
            assert_eq!(taken.lock().unwrap().pop().unwrap().1, "/hook");
            // A malformed secret does not reach the callback.
            for token in ["a b", "<a>", "a:b", &"a".repeat(257)] {
                let request = match challenge.name() {
                    "asana" => request.with("x-hook-secret", token),
                    _ => post(&format!(r#"{{"verification_token":"{token}"}}"#)),
                };
                refuses(target, token, &request).await;
            }
            refuses(target, "method", &request.method("GET")).await;
            refuses(target, "nothing", &get("/hook")).await;
            assert!(taken.lock().unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn a_receiver_may_have_no_secret_before_the_first() {
    for framework in [Framework::Axum, Framework::Actix] {
        let verifier = Verifier::builder(scheme(Challenge::ASANA));
        let verifier = verifier.build_without_secrets().unwrap();
        let live = verifier.clone();
        let receiver = Receiver::builder(verifier).on_handshake(move |handshake: Handshake| {
            let live = live.clone();
            async move { Ok(live.replace_secrets([handshake.secret])?) }
        });
        let app = App::new(receiver.build().unwrap(), answer(204));
        let signature = hex(&mac_with(b"b537207f20cb", &[b"{}"]));
        let empty = hex(&mac_with(b"", &[b"{}"]));
        let sent = [
            (("acme-signature", &*signature), 401),
            (("acme-signature", &*empty), 401),
            (("x-hook-secret", "b537207f20cb"), 200),
            (("acme-signature", &*signature), 204),
            (("acme-signature", &*empty), 401),
        ];
        for ((name, value), status) in sent {
            let headers = [(name.to_owned(), value.to_owned())];
            let in_process = integration_tests::Transport::InProcess;
            let response = app.send(framework, in_process, "POST", "/hook", &headers, b"{}").await;
            assert_eq!(response.status, status, "{framework:?} {name}");
        }
        assert_eq!(app.runs(), 1);
    }
}

#[test]
fn a_callback_for_nothing_and_a_sender_without_secret_are_mistakes() {
    let verifier = builder(Challenge::SLACK).build().unwrap();
    let receiver = Receiver::builder(verifier).on_handshake(|_: Handshake| async { Ok(()) });
    let error = receiver.build().map(|_| ()).unwrap_err();
    assert!(matches!(error.kind(), ConfigError::Option { option: "on_handshake", .. }), "{error}");

    let verifier = Verifier::builder(scheme(Challenge::SLACK)).build_without_secrets();
    let error = verifier.map(|_| ()).unwrap_err();
    assert!(
        matches!(error.kind(), ConfigError::Option { option: "build_without_secrets", .. }),
        "{error}"
    );
    let error = builder(Challenge::ASANA).build_without_secrets().map(|_| ()).unwrap_err();
    assert!(matches!(error.kind(), ConfigError::SecretCount { given: 1, .. }), "{error}");
}
