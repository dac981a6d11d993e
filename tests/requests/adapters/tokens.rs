//! Tokens that are looked up come to the same as tokens that are known from the start.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use integration_tests::{
    App, Connection, Framework, Transport, Vector, answer, exchange, raw_request,
};
use sha2::{Digest as _, Sha256};
use webhook_verify::{Receiver, Secret, Tenant, Verifier, scheme};

/// A receiver whose table has these tokens, each with a namespace of its own.
fn receiver(tokens: Vec<String>, limit: Option<usize>) -> Receiver {
    let look_up = move |digest: [u8; 32]| {
        let mut tokens = tokens.iter().enumerate();
        let found = tokens.find(|(_, token)| digest == *Sha256::digest(token));
        let found = found.map(|(row, token)| (row, token.clone()));
        async move {
            Ok(match found {
                Some((row, token)) => {
                    Some(Tenant::new(format!("hook-{row}"), [Secret::new(token)?]))
                }
                None => None,
            })
        }
    };
    let verifier = Verifier::builder(scheme::PIPEFORCE_TOKEN);
    let mut receiver = Receiver::builder(verifier).token_lookup(look_up);
    if let Some(limit) = limit {
        receiver = receiver.body_limit(limit);
    }
    receiver.build().unwrap()
}

#[tokio::test]
async fn every_recorded_request_of_pipeforce() {
    let mut vectors = Vector::of_the_four_systems();
    vectors
        .retain(|vector| vector.scheme == "pipeforce-token" && vector.expect != "invalid_secret");
    assert!(vectors.len() >= 10, "{}", vectors.len());
    for vector in &vectors {
        let tokens = [vec![vector.secret.clone()], vector.extra_secrets.clone()].concat();
        let app = App::new(receiver(tokens, vector.max_body), answer(204));
        for framework in [Framework::Axum, Framework::Actix] {
            for transport in [Transport::InProcess, Transport::Socket] {
                let before = app.runs();
                let (method, target) = (&vector.method, &vector.target);
                let (headers, body) = (&vector.headers, vector.body());
                let response = app.send(framework, transport, method, target, headers, &body);
                let response = response.await;
                let expected = match vector.expect.as_str() {
                    "valid" => (204, ""),
                    "body_too_large" => (413, "body too large"),
                    _ => (401, "invalid webhook signature"),
                };
                let row = format!("{framework:?} {transport:?} {}", vector.name);
                assert_eq!((response.status, response.text()), expected, "{row}");
                assert_eq!(app.runs() - before, usize::from(expected.0 == 204), "{row}");
            }
        }
    }
}

#[tokio::test]
async fn the_handler_is_told_whose_the_token_is() {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let names = Arc::clone(&seen);
    let receiver = receiver(vec!["token-a".into(), "token-b".into()], None);
    let app = App::new(
        receiver,
        Arc::new(move |delivery| {
            let name = delivery.namespace().unwrap().to_owned();
            names.lock().unwrap().push(name);
            Box::pin(async { 204 })
        }),
    );
    for framework in [Framework::Axum, Framework::Actix] {
        let send = async |token: &str| {
            let headers = [("token".to_owned(), token.to_owned())];
            let (transport, method) = (Transport::Socket, "POST");
            app.send(framework, transport, method, "/", &headers, b"{}").await
        };
        assert_eq!(send("token-b").await.status, 204);
        assert_eq!(send("token-a").await.status, 204);
        // An unknown token, a similar token, and no token: a client sees no difference.
        let unknown = send("token-c").await;
        let missing = send("").await;
        assert_eq!((unknown.status, unknown.text()), (401, missing.text()));
        assert_eq!(send("token-a ").await.status, 204, "blanks around a value are HTTP's");
        assert_eq!(send("Token-a").await.status, 401);
        assert_eq!(*seen.lock().unwrap(), ["hook-1", "hook-0", "hook-0"]);
        seen.lock().unwrap().clear();
    }
}

/// How soon an answer comes tells nothing: a token that exists and one that does not are both
/// answered when the body is in, and not before.
#[tokio::test]
async fn an_unknown_token_is_not_answered_before_its_body_is_in() {
    for framework in [Framework::Axum, Framework::Actix] {
        let app = App::new(receiver(vec!["token-a".into()], None), answer(204));
        let server = app.serve(framework).await;
        for (token, status) in [("token-a", 204), ("token-b", 401)] {
            let mut connection = Connection::open(server.addr).await;
            let head = format!(
                "POST / HTTP/1.1\r\nHost: h\r\ntoken: {token}\r\nContent-Length: 2\r\n\r\n{{"
            );
            connection.send(head.as_bytes()).await;
            // Each worker of the server answers others meanwhile.
            for _ in 0..4 {
                let other = raw_request("POST", "/", &[("token".into(), "token-a".into())], b"{}");
                assert_eq!(exchange(server.addr, &other).await.status, 204);
            }
            assert!(!connection.anything_within(Duration::from_millis(1)).await, "{token}");
            connection.send(b"}").await;
            assert_eq!(connection.response().await.unwrap().status, status, "{token}");
        }
    }
}
