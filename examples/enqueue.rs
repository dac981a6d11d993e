//! Responds at once and works later: the handler writes each event into a job queue (apalis, in a
//! SQLite file), and a worker runs and retries the jobs. For senders that do not retry, such as
//! FluentCRM. Run `WEBHOOK_SECRET=test cargo run --example enqueue`, then paste its `curl` line.

use std::{fmt::Debug, str::FromStr as _, sync::Arc, task::Poll, time::Duration};

use apalis::{layers::retry::HasherRng, layers::retry::backoff::*, prelude::*};
use apalis_sqlite::{Config, SqliteConnectOptions, SqlitePool, SqliteStorage};
use axum::{Router, extract::State, http::StatusCode};
use futures_util::{FutureExt as _, future::BoxFuture, stream};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteJournalMode::Wal, SqliteSynchronous::Full};
use tokio::{net::TcpListener, task::JoinHandle, time::interval};
use tracing_subscriber::EnvFilter;
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, Secret, Verifier, scheme, testing::Signer,
};
use webhook_verify_axum::{Events, RouterExt as _, Verified};

/// The maximum attempts. A job that fails as often stays in the table `Jobs`, with its last error.
pub(crate) const TRIES: usize = 8;

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Job(String);
pub(crate) type Jobs = SqliteStorage<Job>;
pub(crate) type Run = Arc<dyn Fn(Job) -> JoinHandle<Result<(), BoxDynError>> + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxDynError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let secret = Secret::from_env("WEBHOOK_SECRET")?;
    let jobs = open("sqlite://jobs.db").await?;
    let app = app(jobs.clone(), secret.clone())?;
    // In its own task, a job that panics fails like any other.
    let run = |Job(event)| {
        tokio::spawn(async move {
            println!("{event}");
            Ok(())
        })
    };
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("{}", Signer::new(scheme::MAUTIC, secret)?.sample()?.curl("http://127.0.0.1:3000"));
    // If the server or the worker ends or panics, the process ends. After a restart, the worker takes
    // over the jobs that were running.
    tokio::select! {
        served = async { axum::serve(listener, app).await } => Ok(served?),
        () = work(jobs, Duration::from_secs(1), Arc::new(run)) => Err("no worker".into()),
    }
}

pub(crate) fn app(jobs: Jobs, secret: Secret) -> Result<Router, BoxDynError> {
    // Claims need not survive a restart: the queue ignores a second job with the same key.
    let idempotency = Idempotency::new(MemoryStore::new(), "mautic");
    let verifier = Verifier::new(scheme::MAUTIC, secret)?;
    let receiver = Receiver::builder(verifier).idempotency(idempotency).build()?;
    Ok(Router::new().webhook("/", receiver, enqueue).with_state(jobs))
}

async fn enqueue(
    State(mut jobs): State<Jobs>,
    Verified(events): Verified<Events>,
) -> Result<StatusCode, StatusCode> {
    for event in &events {
        let text = String::from_utf8(event.raw().to_vec());
        let job = Job(text.map_err(|_| StatusCode::UNSUPPORTED_MEDIA_TYPE)?);
        let key = event.claim().ok_or(StatusCode::INTERNAL_SERVER_ERROR)?.key();
        let task = TaskBuilder::new(job).max_attempts(TRIES).idempotency_key(key.to_string());
        jobs.push_task(task.build()).await.map_err(|error| {
            eprintln!("not enqueued: {error}");
            StatusCode::SERVICE_UNAVAILABLE // The claim is released, so a retry runs.
        })?;
        event.done().await;
    }
    Ok(StatusCode::ACCEPTED)
}

pub(crate) async fn open(url: &str) -> Result<Jobs, BoxDynError> {
    // 202 promises that the job is on the disk. `SqliteStorage::setup` sets `synchronous` to OFF.
    let options = SqliteConnectOptions::from_str(url)?.create_if_missing(true);
    let pool = SqlitePool::connect_with(options.journal_mode(Wal).synchronous(Full)).await?;
    SqliteStorage::migrations().run(&pool).await?;
    Ok(Jobs::new(&pool).with_config(Config::default().queue("deliveries")))
}

/// Runs jobs. The wait after a job's first failure is `first_wait`, and doubles with each failure.
pub(crate) async fn work(jobs: Jobs, first_wait: Duration, run: Run) {
    loop {
        // It ends if it cannot read the queue. The next worker takes over its jobs.
        eprintln!("worker ended: {:?}", worker(jobs.clone(), first_wait, run.clone()).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn worker(jobs: Jobs, first_wait: Duration, run: Run) -> BoxFuture<'static, impl Debug> {
    let max = Duration::from_secs(3600);
    let waits = ExponentialBackoffMaker::new(first_wait, max, 0.5, HasherRng::default());
    let retry = RetryPolicy::retries(TRIES - 1).with_backoff(waits.expect("valid").make_backoff());
    // `poll_with_interval` of apalis 1.0 can miss a tick, and then sleeps for 30 s.
    let mut ticks = interval(Duration::from_millis(500));
    let ticks = stream::poll_fn(move |context| -> Poll<Option<()>> {
        while ticks.poll_tick(context).is_ready() {}
        Poll::Pending
    });
    // Each worker needs a name that no other one had in the last minute.
    let worker = WorkerBuilder::new(format!("worker-{:x}", getrandom::u64().unwrap_or(0)))
        .backend(jobs.poll_with_stream(ticks))
        .retry(retry)
        .build(move |job| run(job).map(|done| done.unwrap_or_else(|panic| Err(panic.into()))));
    Box::pin(worker.run())
}
