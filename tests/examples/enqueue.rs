//! The example `enqueue`: its router, its queue and its worker.

// The example has no library, and its tests are not in the file that users copy.
#[path = "../../examples/enqueue.rs"]
#[allow(dead_code, reason = "its main is not called")]
mod example;

use std::{
    ops::Deref,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use apalis::prelude::*;
use axum::{Router, body::Body, http::Request};
use integration_tests::{Folder, soon};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::sleep,
};
use tower::ServiceExt as _;
use webhook_verify::{Secret, scheme, testing::Signer};

use self::example::{Jobs, Run, TRIES, app, open, work};

const MS: Duration = Duration::from_millis(1);

/// A queue in a file of its own.
struct Queue {
    folder: Folder,
    jobs: Jobs,
}

impl Queue {
    async fn new() -> Self {
        let folder = Folder::new("jobs");
        let jobs = Self::open(&folder).await;
        Self { folder, jobs }
    }

    async fn open(folder: &Folder) -> Jobs {
        let url = format!("sqlite://{}", folder.path().join("jobs.db").display());
        open(&url).await.unwrap()
    }

    /// Returns a receiver that has no claims yet, like that of a new process.
    fn receiver(&self) -> Router {
        app(self.jobs.clone(), Secret::new("test").unwrap()).unwrap()
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.jobs.pool()).await.unwrap()
    }

    async fn number_of_jobs(&self) -> i64 {
        self.count("SELECT count(*) FROM Jobs").await
    }

    /// Waits until `sql` counts as many as are expected.
    async fn until(&self, what: &str, sql: &'static str, is_so: impl Fn(i64) -> bool) {
        let counted = async {
            while !is_so(self.count(sql).await) {
                sleep(20 * MS).await;
            }
        };
        soon(what, counted).await;
    }
}

async fn send(app: &Router, id: u32) -> u16 {
    let signer = Signer::new(scheme::MAUTIC, "test").unwrap();
    let signed = signer.sign(format!(r#"{{"mautic.page_on_hit":[{{"id":{id}}}]}}"#)).unwrap();
    let request = signed.headers.iter();
    let request =
        request.fold(Request::post("/"), |request, (name, value)| request.header(name, value));
    let request = request.body(Body::from(signed.body)).unwrap();
    app.clone().oneshot(request).await.unwrap().status().as_u16()
}

/// Counts the jobs that run or will run.
const UNFINISHED: &str =
    "SELECT count(*) FROM Jobs WHERE status IN ('Pending', 'Queued', 'Running')
    OR (status = 'Failed' AND attempts < max_attempts)";

/// A worker that counts how often jobs run. It stops when it is dropped.
struct Counting {
    /// Has a second owner while a worker lives.
    run: Weak<<Run as Deref>::Target>,
    runs: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Counting {
    /// `act` gets the number of the run, from 1 on.
    fn start(queue: &Queue, act: fn(usize) -> Result<(), BoxDynError>) -> Self {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let run: Run = Arc::new(move |_| {
            let run = counted.fetch_add(1, SeqCst) + 1;
            tokio::spawn(async move { act(run) })
        });
        let weak = Arc::downgrade(&run);
        let task = tokio::spawn(work(queue.jobs.clone(), 10 * MS, run));
        Self { run: weak, runs, task: task.abort_handle() }
    }

    /// Returns how often jobs have run when none is left to run.
    async fn runs(&self, queue: &Queue) -> usize {
        queue.until("end of the jobs", UNFINISHED, |jobs| jobs == 0).await;
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
    let queue = Queue::new().await;
    let worker = Counting::start(&queue, |_| Ok(()));
    // Each of two processes that do not share their claims gets half of them.
    let apps = [queue.receiver(), queue.receiver()];
    let mut senders = JoinSet::new();
    for number in 0..64 {
        let app = apps[number % 2].clone();
        senders.spawn(async move {
            let answered = async {
                loop {
                    match send(&app, 1).await {
                        503 => sleep(10 * MS).await,
                        status => return status,
                    }
                }
            };
            soon("response other than 503", answered).await
        });
    }
    assert_eq!(senders.join_all().await, [202; 64]);
    assert_eq!(worker.runs(&queue).await, 1);
    assert_eq!(queue.number_of_jobs().await, 1);

    assert_eq!(send(&apps[0], 2).await, 202);
    assert_eq!(worker.runs(&queue).await, 2);
}

/// As after a crash after the job was written: the claim is not completed, and the job is done.
#[tokio::test]
async fn a_handler_that_runs_twice_makes_one_job() {
    let queue = Queue::new().await;
    let worker = Counting::start(&queue, |_| Ok(()));
    assert_eq!(send(&queue.receiver(), 1).await, 202);
    assert_eq!(worker.runs(&queue).await, 1);
    let queue = Queue { jobs: Queue::open(&queue.folder).await, ..queue };
    assert_eq!(send(&queue.receiver(), 1).await, 202);
    assert_eq!(queue.number_of_jobs().await, 1);
    assert_eq!(worker.runs(&queue).await, 1);
}

#[tokio::test]
async fn one_key_is_one_job() {
    let queue = Queue::new().await;
    for (id, expected) in [(1, 1), (1, 1), (2, 2), (1, 2)] {
        assert_eq!(send(&queue.receiver(), id).await, 202);
        assert_eq!(queue.number_of_jobs().await, expected, "{id}");
    }
}

#[tokio::test]
async fn a_job_that_fails_is_tried_again_when_the_sender_is_long_answered() {
    let queue = Queue::new().await;
    let app = queue.receiver();
    assert_eq!(send(&app, 1).await, 202);
    let worker = Counting::start(&queue, |run| match run {
        1 => Err("down".into()),
        2 => panic!("on purpose"),
        _ => Ok(()),
    });
    assert_eq!(worker.runs(&queue).await, 3);
    assert_eq!(queue.count("SELECT count(*) FROM Jobs WHERE status = 'Done'").await, 1);
}

#[tokio::test]
async fn a_job_that_never_works_is_given_up_and_kept() {
    let queue = Queue::new().await;
    let worker = Counting::start(&queue, |_| Err("down".into()));
    let app = queue.receiver();
    assert_eq!(send(&app, 1).await, 202);
    assert_eq!(worker.runs(&queue).await, TRIES);
    let failed = sqlx::query_scalar("SELECT last_result FROM Jobs WHERE status = 'Failed'");
    let failed: String = failed.fetch_one(queue.jobs.pool()).await.unwrap();
    assert!(failed.contains("down"), "{failed}");
}

#[tokio::test]
async fn what_cannot_be_enqueued_is_not_acknowledged() {
    let queue = Queue::new().await;
    let app = queue.receiver();
    let execute = async |sql: &'static str| {
        sqlx::query(sql).execute(queue.jobs.pool()).await.unwrap();
    };
    let worker = Counting::start(&queue, |_| Ok(()));
    let workers = "SELECT count(*) FROM Workers";
    queue.until("worker", workers, |workers| workers == 1).await;
    execute("ALTER TABLE Jobs RENAME TO elsewhere").await;
    assert_eq!(send(&app, 1).await, 503);
    // The worker ends because it cannot read the queue. Another one starts a second later.
    let ended = async {
        while worker.run.strong_count() > 1 {
            sleep(20 * MS).await;
        }
    };
    soon("end of the worker", ended).await;
    execute("ALTER TABLE elsewhere RENAME TO Jobs").await;
    assert_eq!(send(&app, 1).await, 202);
    assert_eq!(worker.runs(&queue).await, 1);
}

/// 202 is a promise.
#[tokio::test]
async fn jobs_are_on_the_disk_before_the_answer() {
    let queue = Queue::new().await;
    let mut connections = Vec::new();
    for _ in 0..3 {
        connections.push(queue.jobs.pool().acquire().await.unwrap());
    }
    for connection in &mut connections {
        let full = sqlx::query_scalar("PRAGMA synchronous");
        let full: i64 = full.fetch_one(&mut **connection).await.unwrap();
        assert_eq!(full, 2);
    }
}
