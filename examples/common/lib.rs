//! What the example receivers share: their flags, their handler, and the `curl` line that they print at start.

mod curl;
mod flags;
mod store;

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use webhook_verify::{Delivery, Event};

pub use self::flags::{Flags, Setup};

/// What a handler answers, and after how long.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Behaviour {
    /// How long the handler takes.
    pub delay: Duration,
    /// Whether it prints a line when it begins, too.
    pub trace: bool,
    /// What it answers.
    pub status: u16,
}

impl Behaviour {
    /// Handles an event: takes its time, and prints it as one JSON line.
    ///
    /// # Errors
    ///
    /// The status to answer, if it is not 2xx.
    pub async fn handle(self, delivery: &Delivery, event: &Event) -> Result<(), u16> {
        if self.trace {
            println!("{}", self.line(delivery, event, "begins"));
        }
        tokio::time::sleep(self.delay).await;
        println!("{}", self.line(delivery, event, "ends"));
        match self.status {
            200..300 => Ok(()),
            status => Err(status),
        }
    }

    fn line(self, delivery: &Delivery, event: &Event, handler: &str) -> Value {
        let claim = event.claim();
        let mut line = json!({
            "scheme": delivery.scheme().name(),
            "event_type": event.event_type(),
            "id": event.id(),
            "time": event.time().map(|time| time.as_secs()),
            "key": claim.map(|claim| claim.key().to_string()),
            "attempt": claim.map(webhook_verify::idempotency::Claim::fencing_token),
            "length": event.raw().len(),
        });
        if delivery.is_test() {
            line["test"] = true.into();
        }
        if self.trace {
            let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
            line["handler"] = handler.into();
            line["at"] = u64::try_from(now).unwrap_or_default().into();
        }
        line
    }
}

/// Says so in the log if a delivery is its sender's test payload.
pub fn note_test(delivery: &Delivery) {
    if delivery.is_test() {
        tracing::info!(scheme = delivery.scheme().name(), "test payload");
    }
}

/// Says on stdout where the server listens, and how to send it a delivery.
pub fn announce(setup: &Setup, addr: std::net::SocketAddr) {
    if let Some(secret) = &setup.random_secret {
        println!("secret {secret}");
    }
    println!("listening on http://{addr}");
    // Without what follows a server's scheme, which may hold a password.
    let store = &setup.flags.store;
    let store = match store.starts_with("sqlite:") {
        true => store,
        false => store.split(':').next().unwrap_or_default(),
    };
    println!("claims are in {store}");
    match curl::line(setup, addr) {
        Ok(line) => println!("{line}"),
        Err(error) => println!("no example delivery: {error}"),
    }
}
