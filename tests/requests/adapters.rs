//! Every recorded request through both adapters, in process and through sockets; routes for senders,
//! several senders in one application; and tokens that are looked up.

mod routing;
mod side_by_side;
mod tokens;

use std::time::Duration;

use integration_tests::{App, Framework, Transport, Vector, answer};
use webhook_verify::Receiver;

/// No body is slow here, but a machine may be.
const PATIENCE: Duration = Duration::from_secs(600);

async fn judge_all(framework: Framework, transport: Transport) {
    let mut wrong = Vec::new();
    for vector in Vector::all() {
        let (status, text) = match vector.verifier() {
            Err(_) => (0, "invalid_secret".to_owned()),
            Ok(verifier) => {
                let mut receiver = Receiver::builder(verifier).body_timeout(PATIENCE);
                if let Some(limit) = vector.max_body {
                    receiver = receiver.body_limit(limit);
                }
                let app = App::new(receiver.build().unwrap(), answer(204));
                let response = app
                    .send(
                        framework,
                        transport,
                        &vector.method,
                        &vector.target,
                        &vector.headers,
                        &vector.body(),
                    )
                    .await;
                assert_eq!(app.runs(), usize::from(response.status == 204), "{}", vector.name);
                (response.status, response.text().to_owned())
            }
        };
        let expected = match vector.expect.as_str() {
            "valid" => (204, ""),
            "invalid_secret" => (0, "invalid_secret"),
            "body_too_large" => (413, "body too large"),
            _ => (401, "invalid webhook signature"),
        };
        if (status, text.as_str()) != expected {
            wrong.push(format!(
                "{} {}: expected {expected:?}, got {status} {text}",
                vector.scheme, vector.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn axum_in_process() {
    judge_all(Framework::Axum, Transport::InProcess).await;
}

#[tokio::test]
async fn actix_in_process() {
    judge_all(Framework::Actix, Transport::InProcess).await;
}

#[tokio::test]
async fn axum_through_sockets() {
    judge_all(Framework::Axum, Transport::Socket).await;
}

#[tokio::test]
async fn actix_through_sockets() {
    judge_all(Framework::Actix, Transport::Socket).await;
}
