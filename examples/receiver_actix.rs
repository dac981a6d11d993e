//! Receives webhooks from Mautic with actix-web, and prints a line for each event.
//!
//! Run `WEBHOOK_SECRET=test cargo run --example receiver_actix`, then paste the `curl` line that it
//! prints into another terminal, twice.

use std::{env, error::Error};

use actix_web::{App, HttpResponse, HttpServer};
use tracing_subscriber::EnvFilter;
use webhook_verify::{
    Idempotency, Receiver, Secret, SqliteStore, Verifier, scheme, testing::Signer,
};
use webhook_verify_actix::{Events, Verified, webhook};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    // A missing or empty secret is an error here, not at the first request.
    let secret = Secret::from_env("WEBHOOK_SECRET")?;
    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".into());

    let verifier = Verifier::new(scheme::MAUTIC, secret.clone())?;
    // The claims, which identify duplicates, survive a restart.
    let store = SqliteStore::connect("sqlite://webhooks.db").await?;
    let idempotency = Idempotency::new(store, "mautic");
    // All workers share one receiver.
    let receiver = Receiver::builder(verifier).idempotency(idempotency).build()?;

    let server =
        HttpServer::new(move || App::new().service(webhook("/mautic", receiver.clone(), receive)));
    let server = server.bind(address)?;
    let origin = format!("http://{}", server.addrs()[0]);
    println!("listening on {origin}");
    let sample = Signer::new(scheme::MAUTIC, secret)?.target("/mautic").sample()?;
    println!("{}", sample.curl(&origin));
    Ok(server.run().await?)
}

/// Handles the events of a verified delivery that are not done yet.
async fn receive(Verified(events): Verified<Events>) -> HttpResponse {
    for event in &events {
        let event_type = event.event_type().unwrap_or_default();
        println!("{event_type}: {} bytes", event.raw().len());
        // A retry after a crash resumes with the next event.
        event.done().await;
    }
    HttpResponse::NoContent().finish()
}
