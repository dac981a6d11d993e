//! The router and the worker of `enqueue`.

#[path = "folder.rs"]
#[allow(clippy::duplicate_mod, reason = "this module is the example's as well")]
mod folder;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use axum::{body::Body, http::Request};
use integration_tests::soon;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::sleep,
};
use tower::ServiceExt as _;
use webhook_verify::{
    scheme,
    testing::{SignedRequest, Signer},
};

use self::folder::Folder;
use super::*;

const MS: Duration = Duration::from_millis(1);

/// The receiver, as a process has it that knows of no claims.
async fn new_receiver(jobs: &Jobs) -> Router {
    let setup = Flags::of(&["--secret", "test", "--store", "memory:"]);
    let receiver = setup.await.unwrap().receiver;
    app(jobs.clone(), WebhookLayer::new(receiver))
}

fn signed(id: u32) -> SignedRequest {
    let signer = Signer::new(scheme::MAUTIC, "test").unwrap();
    let body = format!(r#"{{"mautic.page_on_hit":[{{"id":{id}}}]}}"#);
    signer.sign(body).unwrap()
}

async fn send(app: &Router, request: &SignedRequest) -> u16 {
    let mut to_send = Request::post("/");
    for (name, value) in &request.headers {
        to_send = to_send.header(name, value);
    }
    let to_send = to_send.body(Body::from(request.body.clone())).unwrap();
    app.clone().oneshot(to_send).await.unwrap().status().as_u16()
}

async fn number_of_jobs(jobs: &Jobs) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM Jobs");
    count.fetch_one(jobs.pool()).await.unwrap()
}

/// Waits until `sql` counts as many as are expected.
async fn until(what: &str, jobs: &Jobs, sql: &'static str, is_so: impl Fn(i64) -> bool) {
    let counted = async {
        loop {
            let count: i64 = sqlx::query_scalar(sql).fetch_one(jobs.pool()).await.unwrap();
            if is_so(count) {
                return;
            }
            sleep(20 * MS).await;
        }
    };
    soon(what, counted).await;
}

/// Jobs that a worker has in hand, or will take.
const UNFINISHED: &str =
    "SELECT count(*) FROM Jobs WHERE status IN ('Pending', 'Queued', 'Running')
    OR (status = 'Failed' AND attempts < max_attempts)";

/// Counts its clones. Each worker has one of its own.
#[derive(Default)]
struct Clones(Arc<AtomicUsize>);

impl Clone for Clones {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, SeqCst);
        Self(Arc::clone(&self.0))
    }
}

/// A worker that counts how often jobs run, and is stopped when this is dropped.
struct Counting {
    jobs: Jobs,
    runs: Arc<AtomicUsize>,
    /// Grows with each worker that is started after one that has ended, and with jobs.
    clones: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Counting {
    /// `act` is told which run it is, from 1 on.
    fn start(jobs: &Jobs, act: fn(usize) -> Result<(), BoxDynError>) -> Self {
        let runs = Arc::new(AtomicUsize::new(0));
        let (counted, cloned) = (Arc::clone(&runs), Clones::default());
        let clones = Arc::clone(&cloned.0);
        let run = move |_: Job| {
            let _ = &cloned;
            let run = counted.fetch_add(1, SeqCst) + 1;
            async move { act(run) }
        };
        let task = tokio::spawn(work(jobs.clone(), 10 * MS, run));
        Self { jobs: jobs.clone(), runs, clones, task: task.abort_handle() }
    }

    /// How often jobs have run, when none is left to run.
    async fn runs(&self) -> usize {
        until("end of the jobs", &self.jobs, UNFINISHED, |jobs| jobs == 0).await;
        self.runs.load(SeqCst)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn many_at_once_are_one_job() {
    let folder = Folder::new();
    let jobs = open(&folder.url("jobs.db")).await.unwrap();
    let worker = Counting::start(&jobs, |_| Ok(()));
    // Half of them to a process that knows nothing of the other's claims.
    let apps = [new_receiver(&jobs).await, new_receiver(&jobs).await];
    let mut senders = JoinSet::new();
    for number in 0..64 {
        let app = apps[number % 2].clone();
        senders.spawn(async move {
            let answered = async {
                loop {
                    match send(&app, &signed(1)).await {
                        503 => sleep(10 * MS).await,
                        status => return status,
                    }
                }
            };
            soon("response other than 503", answered).await
        });
    }
    assert_eq!(senders.join_all().await, [202; 64]);
    assert_eq!(worker.runs().await, 1);
    assert_eq!(number_of_jobs(&jobs).await, 1);

    assert_eq!(send(&apps[0], &signed(2)).await, 202);
    assert_eq!(worker.runs().await, 2);
}

/// As after a crash between the job's write and the claim's: nobody remembers the claim, and the job is done by then.
#[tokio::test]
async fn a_handler_that_runs_twice_makes_one_job() {
    let folder = Folder::new();
    let jobs = open(&folder.url("jobs.db")).await.unwrap();
    let worker = Counting::start(&jobs, |_| Ok(()));
    assert_eq!(send(&new_receiver(&jobs).await, &signed(1)).await, 202);
    assert_eq!(worker.runs().await, 1);
    drop(jobs);
    let jobs = open(&folder.url("jobs.db")).await.unwrap();
    assert_eq!(send(&new_receiver(&jobs).await, &signed(1)).await, 202);
    assert_eq!(number_of_jobs(&jobs).await, 1);
    assert_eq!(worker.runs().await, 1);
}

#[tokio::test]
async fn one_key_is_one_job() {
    let folder = Folder::new();
    let mut jobs = open(&folder.url("jobs.db")).await.unwrap();
    for (key, expected) in [("a", 1), ("a", 1), ("b", 2), ("a", 2)] {
        let job = Job { event_type: None, body: String::new() };
        let task = TaskBuilder::new(job).idempotency_key(key).build();
        jobs.push_task(task).await.unwrap();
        assert_eq!(number_of_jobs(&jobs).await, expected, "{key}");
    }
}

#[tokio::test]
async fn a_job_that_fails_is_tried_again_when_the_sender_is_long_answered() {
    let folder = Folder::new();
    let jobs = open(&folder.url("jobs.db")).await.unwrap();
    let app = new_receiver(&jobs).await;
    assert_eq!(send(&app, &signed(1)).await, 202);
    let worker = Counting::start(&jobs, |run| match run {
        1 => Err("down".into()),
        2 => panic!("on purpose"),
        _ => Ok(()),
    });
    assert_eq!(worker.runs().await, 3);
    let done = sqlx::query_scalar("SELECT count(*) FROM Jobs WHERE status = 'Done'");
    let done: i64 = done.fetch_one(jobs.pool()).await.unwrap();
    assert_eq!(done, 1);
}

#[tokio::test]
async fn a_job_that_never_works_is_given_up_and_kept() {
    let folder = Folder::new();
    let jobs = open(&folder.url("jobs.db")).await.unwrap();
    let worker = Counting::start(&jobs, |_| Err("down".into()));
    let app = new_receiver(&jobs).await;
    assert_eq!(send(&app, &signed(1)).await, 202);
    assert_eq!(worker.runs().await, TRIES);
    let failed = sqlx::query_scalar("SELECT last_result FROM Jobs WHERE status = 'Failed'");
    let failed: String = failed.fetch_one(jobs.pool()).await.unwrap();
    assert!(failed.contains("down"), "{failed}");
}

#[tokio::test]
async fn what_cannot_be_enqueued_is_not_acknowledged() {
    let folder = Folder::new();
    let jobs = open(&folder.url("jobs.db")).await.unwrap();
    let app = new_receiver(&jobs).await;
    let execute = async |sql: &'static str| {
        sqlx::query(sql).execute(jobs.pool()).await.unwrap();
    };
    let worker = Counting::start(&jobs, |_| Ok(()));
    let workers = "SELECT count(*) FROM Workers";
    until("worker", &jobs, workers, |workers| workers > 0).await;
    execute("ALTER TABLE Jobs RENAME TO elsewhere").await;
    assert_eq!(send(&app, &signed(1)).await, 503);
    // The worker ends when it cannot read the queue, and another comes.
    let clones = worker.clones.load(SeqCst);
    let comes = async {
        while worker.clones.load(SeqCst) == clones {
            sleep(20 * MS).await;
        }
    };
    soon("second worker", comes).await;
    execute("ALTER TABLE elsewhere RENAME TO Jobs").await;
    assert_eq!(send(&app, &signed(1)).await, 202);
    assert_eq!(worker.runs().await, 1);
}

/// An answer is a promise: the file is as durable as the claims' own.
#[tokio::test]
async fn jobs_are_on_the_disk_before_the_answer() {
    let folder = Folder::new();
    let jobs = open(&folder.url("jobs.db")).await.unwrap();
    let mut connections = Vec::new();
    for _ in 0..3 {
        connections.push(jobs.pool().acquire().await.unwrap());
    }
    for connection in &mut connections {
        let full = sqlx::query_scalar("PRAGMA synchronous");
        let full: i64 = full.fetch_one(&mut **connection).await.unwrap();
        assert_eq!(full, 2);
    }
}
