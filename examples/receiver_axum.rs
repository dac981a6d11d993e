//! Receives webhooks from Mautic with axum, and prints a line for each event.
//!
//! Run `WEBHOOK_SECRET=test cargo run --example receiver_axum`, then paste the `curl` line that it
//! prints into another terminal, twice.

use std::{env, error::Error, io, pin::pin, sync::Arc, time::Duration};

use axum::{Router, http::StatusCode};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, signal, sync::Semaphore};
use tracing_subscriber::EnvFilter;
use webhook_verify::{
    Idempotency, Receiver, Secret, SqliteStore, Verifier, scheme, testing::Signer,
};
use webhook_verify_axum::{Events, RouterExt as _, Verified, WebhookLayer};

/// The maximum number of connections. Further clients wait until one ends.
const CONNECTIONS: usize = 1_000;

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::main]
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

    let layer = WebhookLayer::new(receiver);
    let drain = layer.drain();
    let app = Router::new().webhook("/mautic", layer, receive);
    let listener = TcpListener::bind(address).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    println!("listening on {origin}");
    let sample = Signer::new(scheme::MAUTIC, secret)?.target("/mautic").sample()?;
    println!("{}", sample.curl(&origin));

    serve(listener, app).await?;
    // Handlers continue after their clients have disconnected.
    drain.wait().await;
    Ok(())
}

/// Serves HTTP/1.1 until a signal stops the process. Replaces `axum::serve`, which limits neither
/// the time for a request's head nor the number of connections.
async fn serve(listener: TcpListener, app: Router) -> Result<(), Box<dyn Error>> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut server = http1::Builder::new();
    // An idle connection waits for a head, too.
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut stop = pin!(shutdown_signal());
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await?;
            Ok::<_, Box<dyn Error>>((place, listener.accept().await?.0))
        };
        let accepted = tokio::select! {
            accepted = accept => accepted,
            stopped = &mut stop => break stopped?,
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
async fn receive(Verified(events): Verified<Events>) -> StatusCode {
    for event in &events {
        let event_type = event.event_type().unwrap_or_default();
        println!("{event_type}: {} bytes", event.raw().len());
        // A retry after a crash resumes with the next event.
        event.done().await;
    }
    StatusCode::NO_CONTENT
}
