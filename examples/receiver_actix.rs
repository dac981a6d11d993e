//! Receives webhooks from Mautic with actix-web, and prints a line for each event.
//!
//! Run `WEBHOOK_SECRET=test cargo run --example receiver_actix`, then paste the `curl` line that it
//! prints into another terminal, twice.

use std::{env, error::Error, io, time::Duration};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, rt};
use tokio::{signal, time::timeout};
use tracing_subscriber::EnvFilter;
use webhook_verify::{
    Idempotency, Receiver, Secret, SqliteStore, Verifier, scheme, testing::Signer,
};
use webhook_verify_actix::{Drain, Events, Verified, WebhookMiddleware, webhook};

/// How long a shutdown waits for handlers.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    // A missing or empty secret is an error here, not at the first request.
    let secret = Secret::from_env("WEBHOOK_SECRET")?;
    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".into());

    let verifier = Verifier::new(scheme::MAUTIC, secret.clone())?;
    // The claims, which identify duplicates, survive a restart.
    let store = SqliteStore::connect("sqlite://webhooks.db").await?;
    let idempotency = Idempotency::new(store, "mautic");
    let receiver = Receiver::builder(verifier).idempotency(idempotency).build()?;

    // All workers share one middleware, so that one drain waits for the handlers of all of them.
    let middleware = WebhookMiddleware::new(receiver);
    let drain = middleware.drain();
    let app = move || App::new().service(webhook("/mautic", middleware.clone(), receive));
    let server = HttpServer::new(app).disable_signals().bind(address)?;
    let origin = format!("http://{}", server.addrs()[0]);
    println!("listening on {origin}");
    let sample = Signer::new(scheme::MAUTIC, secret)?.target("/mautic").sample()?;
    println!("{}", sample.curl(&origin));

    let server = server.run();
    rt::spawn(shut_down(server.handle(), drain));
    Ok(server.await?)
}

/// Stops the server on a signal, after all handlers have ended. By itself, a stopping server waits
/// for connections only, but handlers continue after their clients have disconnected.
async fn shut_down(server: ServerHandle, drain: Drain) {
    if let Err(error) = shutdown_signal().await {
        eprintln!("stopping, because signals cannot be handled: {error}");
    }
    server.pause().await;
    // On open connections, requests may go on without end.
    let _ = timeout(DRAIN_TIMEOUT, drain.wait()).await;
    server.stop(true).await;
}

/// Resolves on Ctrl-C and on SIGTERM, which service managers send.
async fn shutdown_signal() -> io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
        tokio::select! {
            stopped = signal::ctrl_c() => stopped?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    signal::ctrl_c().await?;
    Ok(())
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
