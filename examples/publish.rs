//! Hands events to NATS JetStream. A receiver stores them in a file (an inbox), and a worker
//! publishes them in the order of receipt. So the sender gets its response while NATS is down, and
//! nothing is lost. The idempotency key is the `Nats-Msg-Id`, by which JetStream drops repetitions.
//! Run `nats-server --jetstream`, then `WEBHOOK_SECRET=test cargo run --example publish`, and paste
//! its `curl` line.

use std::{env, io, time::Duration};

use async_nats::jetstream::{
    Context,
    message::PublishMessage,
    publish::PublishAck,
    stream::{Config, StorageType},
};
use axum::Router;
use futures_util::future::BoxFuture;
use tokio::{net::TcpListener, signal, sync::oneshot};
use tracing_subscriber::EnvFilter;
use webhook_verify::{
    Receiver, Secret, SqliteStore, Verifier,
    inbox::{Inbox, InboxEvent, Worker},
    scheme,
    testing::Signer,
};
use webhook_verify_axum::RouterExt as _;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

pub(crate) const STREAM: &str = "WEBHOOKS";
pub(crate) const SUBJECT: &str = "webhooks.mautic";
/// How long JetStream remembers a `Nats-Msg-Id`. An event is published again if its worker died, or
/// NATS went silent, before the result was recorded. If that takes longer, the stream gets it twice.
pub(crate) const WINDOW: Duration = Duration::from_secs(3600);
/// The longest event. It and its headers fit into the default `max_payload` of NATS, 1 MiB.
pub(crate) const MAX_BODY: usize = 1_000_000;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    let secret = Secret::from_env("WEBHOOK_SECRET")?;
    let nats = env::var("NATS_URL").unwrap_or_else(|_| "nats://127.0.0.1:4222".into());
    let inbox = open("sqlite://publish.db").await?;
    let app = app(&inbox, secret.clone())?;
    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = TcpListener::bind(address).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let stopping = shutdown_signal()?;
    println!("listening on {origin}");
    println!("{}", Signer::new(scheme::MAUTIC, secret)?.sample()?.curl(&origin));
    let (stop, stopped) = oneshot::channel::<()>();
    let receive = async {
        axum::serve(listener, app).with_graceful_shutdown(stopping).await?;
        drop(stop);
        Ok::<_, Error>(())
    };
    let publish = async {
        let worker = worker(&inbox, connect(&nats).await?);
        // At a shutdown, the worker waits for the running event. The others remain in the inbox.
        Ok(worker.run_until(async { drop(stopped.await) }).await?)
    };
    // An error of either ends the process.
    tokio::try_join!(receive, publish)?;
    Ok(())
}

/// Returns a future that resolves on Ctrl-C and on SIGTERM, which service managers send. From now on,
/// neither ends the process by itself.
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

/// Opens an inbox in a file. Each receiver may have one of its own.
pub(crate) async fn open(url: &str) -> Result<Inbox, Error> {
    // All events have the same order key, so they are published one after another. For a higher
    // rate, order them by contact, or not at all, and raise the worker's concurrency.
    Ok(Inbox::new(SqliteStore::connect(url).await?, "mautic").ordered_by(|_| Some(SUBJECT.into())))
}

pub(crate) fn app(inbox: &Inbox, secret: Secret) -> Result<Router, Error> {
    let verifier = Verifier::new(scheme::MAUTIC, secret)?;
    let receiver = Receiver::builder(verifier).inbox(inbox).body_limit(MAX_BODY).build()?;
    Ok(Router::new().inbox("/", receiver))
}

/// Connects, or keeps trying in the background.
pub(crate) async fn connect(url: &str) -> Result<Context, Error> {
    let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
    Ok(async_nats::jetstream::new(options.connect(url).await?))
}

/// Returns the worker that publishes the events.
pub(crate) fn worker(inbox: &Inbox, nats: Context) -> Worker<impl Publish> {
    let publish = move |event| -> BoxFuture<'static, Result<(), Error>> {
        let nats = nats.clone();
        Box::pin(async move { publish(&nats, &event).await.map(drop) })
    };
    // Each failure is one of NATS, not of the event: try again, however long it is down.
    let pauses = (Duration::from_secs(1), Duration::from_secs(30));
    inbox.worker(publish).max_attempts(u32::MAX).backoff(pauses.0, pauses.1)
}

/// Names the handler's type.
pub(crate) trait Publish:
    Fn(InboxEvent) -> BoxFuture<'static, Result<(), Error>> + Send + Sync + 'static
{
}
impl<H> Publish for H where
    H: Fn(InboxEvent) -> BoxFuture<'static, Result<(), Error>> + Send + Sync + 'static
{
}

/// Publishes an event, and waits until the stream has it.
pub(crate) async fn publish(nats: &Context, event: &InboxEvent) -> Result<PublishAck, Error> {
    let mut message = PublishMessage::build()
        .payload(event.body().clone())
        .message_id(event.key().to_string())
        .expected_stream(STREAM);
    if let Some(event_type) = event.event_type() {
        // A line break ends a header.
        message = message.header("Webhook-Type", event_type.replace(['\r', '\n'], " "));
    }
    let published = async { nats.send_publish(SUBJECT, message.clone()).await?.await };
    match published.await {
        Ok(ack) => Ok(ack),
        // There may be no stream yet.
        Err(_) => {
            nats.get_or_create_stream(stream()).await?;
            Ok(nats.send_publish(SUBJECT, message).await?.await?)
        }
    }
}

fn stream() -> Config {
    Config {
        name: STREAM.into(),
        subjects: vec!["webhooks.>".into()],
        storage: StorageType::File,
        duplicate_window: WINDOW,
        // In a cluster, also set `num_replicas`: 3.
        ..Config::default()
    }
}
