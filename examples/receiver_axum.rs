//! Receives webhooks from Mautic with axum, and prints a line for each event.
//!
//! Run `WEBHOOK_SECRET=test cargo run --example receiver_axum`, then paste the `curl` line that it
//! prints into another terminal, twice. With `-- --inbox --workers 2`, it stores events and
//! acknowledges them, and workers print them.

use std::{env, error::Error, io, pin::pin, sync::Arc, time::Duration};

use axum::{Router, http::StatusCode};
use clap::Parser;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use serde_json::json;
use tokio::{
    net::TcpListener,
    signal,
    sync::{Semaphore, oneshot},
};
use tracing_subscriber::EnvFilter;
use webhook_verify::{
    Idempotency, Receiver, Secret, SqliteStore, Verifier,
    inbox::{Inbox, InboxEvent},
    scheme,
    testing::Signer,
};
use webhook_verify_axum::{Events, RouterExt as _, Verified, WebhookLayer};

/// The maximum number of connections. Further clients wait until one ends.
const CONNECTIONS: usize = 1_000;

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

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

#[tokio::main]
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
    let inbox = Inbox::new(store.clone(), "mautic");
    let receiver = match has_inbox {
        true => Receiver::builder(verifier).inbox(&inbox),
        false => Receiver::builder(verifier).idempotency(Idempotency::new(store, "mautic")),
    };
    let receiver = receiver.build()?;

    let layer = WebhookLayer::new(receiver);
    let drain = layer.drain();
    let app = match has_inbox {
        true => Router::new().inbox("/mautic", layer),
        false => Router::new().webhook("/mautic", layer, receive),
    };
    let listener = TcpListener::bind(address).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let stopping = shutdown_signal()?;
    println!("listening on {origin}");
    let sample = Signer::new(scheme::MAUTIC, secret)?.target("/mautic").sample()?;
    println!("{}", sample.curl(&origin));

    let (stop, stopped) = oneshot::channel::<()>();
    let receive = async {
        serve(listener, app, stopping).await?;
        // Handlers continue after their clients have disconnected.
        drain.wait().await;
        drop(stop);
        Ok::<_, Box<dyn Error>>(())
    };
    let work = async {
        if flags.workers > 0 {
            let worker = inbox.worker(process).concurrency(flags.workers.into());
            // At a shutdown, the worker waits for running events. The others remain in the inbox.
            worker.run_until(async { drop(stopped.await) }).await?;
        }
        Ok(())
    };
    // An error of either ends the process.
    tokio::try_join!(receive, work)?;
    Ok(())
}

/// Serves HTTP/1.1 until `stopping` resolves. Replaces `axum::serve`, which limits neither the time
/// for a request's head nor the number of connections.
async fn serve(
    listener: TcpListener,
    app: Router,
    stopping: impl Future<Output = ()>,
) -> Result<(), Box<dyn Error>> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut server = http1::Builder::new();
    // An idle connection waits for a head, too.
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut stopping = pin!(stopping);
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await?;
            Ok::<_, Box<dyn Error>>((place, listener.accept().await?.0))
        };
        let accepted = tokio::select! {
            accepted = accept => accepted,
            () = &mut stopping => break,
        };
        let Ok((place, stream)) = accepted else {
            // For example, too many files are open.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let service = TowerToHyperService::new(app.clone());
        let connection = graceful.watch(server.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            drop(connection.await);
            drop(place);
        });
    }
    graceful.shutdown().await;
    Ok(())
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
async fn receive(Verified(events): Verified<Events>) -> StatusCode {
    for event in &events {
        let event_type = event.event_type().unwrap_or_default();
        println!("{event_type}: {} bytes", event.raw().len());
        // A retry after a crash resumes with the next event.
        event.done().await;
    }
    StatusCode::NO_CONTENT
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
