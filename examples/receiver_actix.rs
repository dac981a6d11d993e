//! Receives webhooks from Mautic with actix-web, and prints a line for each event.
//!
//! Run `WEBHOOK_SECRET=test cargo run --example receiver_actix`, then paste the `curl` line that it
//! prints into another terminal, twice. With `-- --inbox --workers 2`, it stores events and
//! acknowledges them, and workers print them.

use std::{env, error::Error, io, time::Duration};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, rt};
use clap::Parser;
use serde_json::json;
use tokio::{signal, sync::oneshot, time::timeout};
use tracing_subscriber::EnvFilter;
use webhook_verify::{
    Idempotency, Receiver, Secret, SqliteStore, Verifier,
    inbox::{Inbox, InboxEvent},
    scheme,
    testing::Signer,
};
use webhook_verify_actix::{Drain, Events, Verified, WebhookMiddleware, inbox, webhook};

/// Receives webhooks from Mautic.
#[derive(Parser)]
struct Flags {
    /// Stores events in an inbox and acknowledges them, for workers of this or another process.
    #[arg(long)]
    inbox: bool,
    /// Processes N events of the inbox at a time, and prints a JSON line for each. Implies --inbox.
    #[arg(long, value_name = "N", default_value_t = 0)]
    workers: u16,
}

/// How long a shutdown waits for handlers.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse();
    let has_inbox = flags.inbox || flags.workers > 0;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    // A missing or empty secret is an error here, not at the first request.
    let secret = Secret::from_env("WEBHOOK_SECRET")?;
    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".into());

    let verifier = Verifier::new(scheme::MAUTIC, secret.clone())?;
    // The claims, which identify duplicates, survive a restart. So do the events of an inbox.
    let store = SqliteStore::connect("sqlite://webhooks.db").await?;
    let events = Inbox::new(store.clone(), "mautic");
    let receiver = match has_inbox {
        true => Receiver::builder(verifier).inbox(&events),
        false => Receiver::builder(verifier).idempotency(Idempotency::new(store, "mautic")),
    };
    let receiver = receiver.build()?;

    // All workers share one middleware, so that one drain waits for the handlers of all of them.
    let middleware = WebhookMiddleware::new(receiver);
    let drain = middleware.drain();
    let app = move || {
        let middleware = middleware.clone();
        App::new().service(match has_inbox {
            true => inbox("/mautic", middleware),
            false => webhook("/mautic", middleware, receive),
        })
    };
    let server = HttpServer::new(app).disable_signals().bind(address)?;
    let origin = format!("http://{}", server.addrs()[0]);
    let stopping = shutdown_signal()?;
    println!("listening on {origin}");
    let sample = Signer::new(scheme::MAUTIC, secret)?.target("/mautic").sample()?;
    println!("{}", sample.curl(&origin));

    let (stop, stopped) = oneshot::channel::<()>();
    let server = server.run();
    rt::spawn(shut_down(server.handle(), drain, stopping));
    let receive = async {
        server.await?;
        drop(stop);
        Ok::<_, Box<dyn Error>>(())
    };
    let work = async {
        if flags.workers > 0 {
            let worker = events.worker(process).concurrency(flags.workers.into());
            // At a shutdown, the worker waits for running events. The others remain in the inbox.
            worker.run_until(async { drop(stopped.await) }).await?;
        }
        Ok(())
    };
    // An error of either ends the process.
    tokio::try_join!(receive, work)?;
    Ok(())
}

/// Stops the server once `stopping` resolves, after all handlers have ended. By itself, a stopping
/// server waits for connections only, but handlers continue after their clients have disconnected.
async fn shut_down(server: ServerHandle, drain: Drain, stopping: impl Future<Output = ()>) {
    stopping.await;
    server.pause().await;
    // On open connections, requests may go on without end.
    let _ = timeout(DRAIN_TIMEOUT, drain.wait()).await;
    server.stop(true).await;
}

/// Returns a future that resolves on Ctrl-C and on SIGTERM, which service managers send. After this
/// call, neither signal ends the process by itself.
#[cfg(unix)]
fn shutdown_signal() -> io::Result<impl Future<Output = ()>> {
    use signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Returns a future that resolves on Ctrl-C.
#[cfg(not(unix))]
fn shutdown_signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async { drop(signal::ctrl_c().await) })
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

/// Processes an event of the inbox. After an error, a worker tries again.
async fn process(event: InboxEvent) -> Result<(), Box<dyn Error + Send + Sync>> {
    let line = json!({
        "scheme": event.scheme(),
        "event_type": event.event_type(),
        "id": event.id(),
        "time": event.time().map(|time| time.as_secs()),
        "key": event.key().to_string(),
        "attempt": event.attempt(),
        "length": event.body().len(),
    });
    println!("{line}");
    Ok(())
}
