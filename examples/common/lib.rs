//! What the example receivers share: their flags, their handler, and the `curl` line that they print at start.

mod curl;
mod flags;
mod store;

use std::time::Duration;

use serde_json::json;
use webhook_verify::Delivery;

pub use self::flags::{Flags, Setup};

/// What a handler answers, and after how long.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Behaviour {
    /// How long the handler takes.
    pub delay: Duration,
    /// What it answers.
    pub status: u16,
}

impl Behaviour {
    /// Handles a delivery: takes its time, prints it as one JSON line, and says which status to answer.
    pub async fn handle(self, delivery: &Delivery) -> u16 {
        tokio::time::sleep(self.delay).await;
        let claim = delivery.claim();
        println!(
            "{}",
            json!({
                "scheme": delivery.scheme().name(),
                "event_type": delivery.event_type(),
                "id": delivery.id(),
                "key": claim.map(|claim| claim.key().to_string()),
                "attempt": claim.map(webhook_verify::Claim::fence),
                "body_length": delivery.body().len(),
            })
        );
        self.status
    }
}

/// Says on stdout where the server listens, and how to send it a delivery.
pub fn announce(setup: &Setup, addr: std::net::SocketAddr) {
    if let Some(secret) = &setup.random_secret {
        println!("secret {secret}");
    }
    println!("listening on http://{addr}");
    match curl::line(setup, addr) {
        Ok(line) => println!("{line}"),
        Err(error) => println!("no example delivery: {error}"),
    }
}
