//! Receives webhooks from Mautic with axum, and prints a line for each event.
//!
//! Run `WEBHOOK_SECRET=test cargo run --example receiver_axum`, then paste the `curl` line that it
//! prints into another terminal, twice.

use std::{env, error::Error};

use axum::{Router, http::StatusCode};
use tokio::{net::TcpListener, signal};
use webhook_verify::{Idempotency, Receiver, SqliteStore, Verifier, scheme, testing::Signer};
use webhook_verify_axum::{Events, RouterExt as _, Verified, WebhookLayer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let secret = env::var("WEBHOOK_SECRET").map_err(|_| "set WEBHOOK_SECRET")?;
    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".into());

    // An empty secret is an error here, not at the first request.
    let verifier = Verifier::new(scheme::MAUTIC, &*secret)?;
    // The claims, which identify duplicates, survive a restart.
    let store = SqliteStore::connect("sqlite://webhooks.db").await?;
    let idempotency = Idempotency::new(store, "mautic");
    let receiver = Receiver::builder(verifier).idempotency(idempotency).build()?;

    let layer = WebhookLayer::new(receiver);
    let drain = layer.drain();
    let app = Router::new().webhook("/mautic", layer, receive);
    let listener = TcpListener::bind(address).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    println!("listening on {origin}");
    let sample = Signer::new(scheme::MAUTIC, &*secret)?.target("/mautic").sample()?;
    println!("{}", sample.curl(&origin));

    let shutdown = async { drop(signal::ctrl_c().await) };
    axum::serve(listener, app).with_graceful_shutdown(shutdown).await?;
    // Handlers go on after their clients have disconnected.
    drain.wait().await;
    Ok(())
}

/// Handles the events of a verified delivery that are not done yet.
async fn receive(Verified(events): Verified<Events>) -> StatusCode {
    for event in &events {
        let event_type = event.event_type().unwrap_or_default();
        println!("{event_type}: {} bytes", event.raw().len());
        // A retry after a crash resumes with the next event.
        event.done().await;
    }
    StatusCode::NO_CONTENT
}
