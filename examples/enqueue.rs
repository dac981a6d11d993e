//! Answers first and works later: the handler writes each event into a job queue (apalis, in a SQLite file), and a
//! worker runs the job, again and again if it fails.
//!
//! This is for senders that do not send again what was not answered 2xx in time: FluentCRM, and Mautic in most versions.
//! A handler that fails loses their event for good. Here nothing is left to fail before the answer but the write into
//! the queue, and what fails after it is tried again by the worker, not by the sender.
//!
//! Run with `cargo run --example enqueue`, then paste the `curl` line that it prints. The jobs are in `jobs.db`.

use std::{str::FromStr as _, task::Poll, time::Duration};

use apalis::{
    layers::retry::{
        HasherRng,
        backoff::{ExponentialBackoffMaker, MakeBackoff as _},
    },
    prelude::*,
};
use apalis_sqlite::{Config, SqliteConnectOptions, SqlitePool, SqliteStorage};
use axum::{Router, extract::State, http::StatusCode, routing::post};
use examples::{Flags, announce};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::sqlite::{SqliteJournalMode::Wal, SqliteSynchronous::Full};
use webhook_verify::Events;
use webhook_verify_axum::{Verified, WebhookLayer};

/// How often a job is tried, at most. What failed that often stays in the table `Jobs`, with its last error.
const TRIES: usize = 8;

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Job {
    event_type: Option<String>,
    body: String,
}

type Jobs = SqliteStorage<Job>;

#[tokio::main]
async fn main() -> Result<(), BoxDynError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let flags = Flags::with_defaults(&[("store", "sqlite://jobs.db")]);
    let jobs = open("sqlite://jobs.db").await?;
    let setup = flags.set_up().await?;
    let app = app(jobs.clone(), WebhookLayer::new(setup.receiver.clone()));
    let listener = tokio::net::TcpListener::bind(setup.flags.listen).await?;
    announce(&setup, listener.local_addr()?);
    tokio::spawn(work(jobs, Duration::from_secs(1), run));
    Ok(axum::serve(listener, app).await?)
}

/// The work itself.
async fn run(job: Job) -> Result<(), BoxDynError> {
    println!("{}", json!({ "event_type": job.event_type, "body_length": job.body.len() }));
    Ok(())
}

fn app(jobs: Jobs, layer: WebhookLayer) -> Router {
    let methods = post(enqueue).layer(layer);
    Router::new().route("/", methods.clone()).route("/{*path}", methods).with_state(jobs)
}

async fn enqueue(
    State(mut jobs): State<Jobs>,
    Verified(events): Verified<Events>,
) -> Result<StatusCode, StatusCode> {
    for event in &events {
        let body = String::from_utf8(event.raw().to_vec());
        let job = Job {
            event_type: event.event_type().map(Into::into),
            body: body.map_err(|_| StatusCode::UNSUPPORTED_MEDIA_TYPE)?,
        };
        let mut task = TaskBuilder::new(job).max_attempts(TRIES);
        // An event may come here twice: if this process dies when the job is written and its claim is not completed yet, the
        // sender's retry runs this handler again. The queue ignores the second job of a key.
        if let Some(claim) = event.claim() {
            task = task.idempotency_key(claim.key().to_string());
        }
        jobs.push_task(task.build()).await.map_err(|error| {
            eprintln!("not enqueued: {error}");
            // Not a 2xx, so the claim is released, and a sender that does retry is let in again.
            StatusCode::SERVICE_UNAVAILABLE
        })?;
        event.done().await;
    }
    Ok(StatusCode::ACCEPTED)
}

async fn open(url: &str) -> Result<Jobs, BoxDynError> {
    // The answer promises that the job is on the disk. `SqliteStorage::setup` would set `synchronous` to OFF.
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(Wal)
        .synchronous(Full);
    let pool = SqlitePool::connect_with(options).await?;
    SqliteStorage::migrations().run(&pool).await?;
    Ok(Jobs::new(&pool).with_config(Config::default().queue("deliveries")))
}

/// Runs jobs for as long as the process lives. `first_wait` comes after a job's first failure, and doubles with each.
async fn work<F>(jobs: Jobs, first_wait: Duration, run: impl Fn(Job) -> F + Clone + Send + 'static)
where
    F: Future<Output = Result<(), BoxDynError>> + Send + 'static,
{
    // A worker ends when it cannot read the queue. The next one takes its jobs over, after a minute.
    loop {
        let ended = worker(jobs.clone(), first_wait, run.clone()).await;
        eprintln!("worker ended: {ended:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn worker<F>(
    jobs: Jobs,
    first_wait: Duration,
    run: impl Fn(Job) -> F + Clone + Send + 'static,
) -> impl Future<Output = Result<(), WorkerError>> + Send
where
    F: Future<Output = Result<(), BoxDynError>> + Send + 'static,
{
    let longest = Duration::from_secs(3600);
    let waits = ExponentialBackoffMaker::new(first_wait, longest, 0.5, HasherRng::default());
    let waits = waits.expect("less than an hour").make_backoff();
    // `poll_with_interval` of apalis 1.0 can miss its own tick, and then sleeps until the next heartbeat, for 30 s.
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    let ticks = futures_util::stream::poll_fn(move |context| {
        while ticks.poll_tick(context).is_ready() {}
        Poll::<Option<()>>::Pending
    });
    // A name is refused while the heartbeat of its last bearer is fresh, so each worker has a name of its own.
    WorkerBuilder::new(format!("worker-{:x}", getrandom::u64().unwrap_or(0)))
        .backend(jobs.poll_with_stream(ticks))
        .retry(RetryPolicy::retries(TRIES - 1).with_backoff(waits))
        // In a task of its own, a job that panics fails like any other.
        .build(move |job: Job| {
            let job = tokio::spawn(run(job));
            async move { job.await.map_err(BoxDynError::from)? }
        })
        .run()
}

#[cfg(test)]
#[path = "../tests/examples/effects/jobs.rs"]
mod tests;
