//! A receiver with an inbox and its workers in another process: this program again, controlled by
//! its environment.

use std::{
    env,
    error::Error,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use axum::Router;
use integration_tests::{PATIENCE, in_folder};
use serde::{Deserialize, Serialize};
use sqlx::{
    PgPool, SqlitePool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use tokio::{net::TcpListener, time::sleep};
use webhook_verify::{
    Event, PostgresStore, Receiver, Scheme, SqliteStore, Verifier,
    idempotency::StoreError,
    inbox::{Inbox, InboxEvent},
};
use webhook_verify_axum::RouterExt as _;

use super::history::{Writer, now};

const URL: &str = "WEBHOOK_VERIFY_TEST_URL";
const HISTORY: &str = "WEBHOOK_VERIFY_TEST_HISTORY";
const NUMBER: &str = "WEBHOOK_VERIFY_TEST_NUMBER";
pub(super) const SECRET: &str = "a secret";
/// A process that stands still for a tenth of this may run a handler after the end of its lease.
pub(super) const LEASE: Duration = Duration::from_secs(3);

/// An event.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) order: Option<String>,
    pub(super) kind: Kind,
}

/// The actions of an event's handler.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(super) enum Kind {
    /// It takes a little time.
    Plain,
    /// It commits an effect, together with the event.
    Commit,
    /// Its first attempt fails.
    Fail,
    /// It takes longer than a lease.
    Long,
}

pub(super) fn scheme() -> Scheme {
    let list = Scheme::builder("list").signature_header("x-signature").event_list("");
    list.listed_event_id(["/id"]).build().unwrap()
}

#[derive(Clone)]
enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Opens the inbox at the URL of a [`Place`](integration_tests::Place).
pub(super) async fn inbox(url: &str) -> Result<Inbox, StoreError> {
    open(url).await.map(|(inbox, _)| inbox)
}

async fn open(url: &str) -> Result<(Inbox, Database), StoreError> {
    let (inbox, database) = if url.starts_with("sqlite:") {
        let options: SqliteConnectOptions = url.parse().unwrap();
        let pool = SqlitePoolOptions::new().connect_lazy_with(options.busy_timeout(PATIENCE));
        let inbox = Inbox::new(SqliteStore::connect(url).await?, "crashes");
        (inbox, Database::Sqlite(pool))
    } else {
        let pool = PgPoolOptions::new().max_connections(8);
        let pool = pool.connect(url).await.map_err(StoreError::new)?;
        let store = PostgresStore::new(pool.clone());
        store.migrate().await?;
        (Inbox::new(store, "crashes"), Database::Postgres(pool))
    };
    let identity = |event: &Event| Some(event.id()?.as_bytes().to_vec());
    let order = |event: &Event| serde_json::from_slice::<Task>(event.raw()).ok()?.order;
    let inbox = inbox.event_identity_from(identity).ordered_by(order);
    Ok((inbox.store_timeout(Duration::from_secs(2)), database))
}

/// A process. It is killed when dropped.
pub(super) struct Process {
    pub(super) number: u32,
    pub(super) addr: SocketAddr,
    child: Child,
    history: PathBuf,
}

impl Process {
    /// Starts a process, and waits until it listens.
    pub(super) fn start(number: u32, url: &str, history: &Path) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        let mut child = in_folder(&mut command)
            .args(["--exact", "crashes::child::run", "--ignored", "--nocapture"])
            .env(URL, url)
            .env(HISTORY, history)
            .env(NUMBER, number.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let addr = lines.find_map(|line| line.strip_prefix("listens ")?.parse().ok());
        let addr = addr.expect("an address of the process");
        // The test harness prints more, and must not wait for a reader.
        thread::spawn(move || lines.for_each(drop));
        Self { number, addr, child, history: history.to_owned() }
    }

    pub(super) fn note(&self, word: &str) {
        Writer::open(&self.history).write(&format!("{} {word}", self.number));
    }

    pub(super) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success(), "kill {name}");
    }

    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.note("killed");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
#[ignore = "is run by the other tests, as a process of its own"]
async fn run() {
    let (Ok(url), Ok(history)) = (env::var(URL), env::var(HISTORY)) else { return };
    let history = Arc::new(Writer::open(Path::new(&history)));
    let number: u32 = env::var(NUMBER).unwrap().parse().unwrap();
    tokio::spawn(watch(number, Arc::clone(&history)));
    let (inbox, database) = loop {
        match open(&url).await {
            Ok(opened) => break opened,
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    };
    let verifier = Verifier::new(scheme(), SECRET).unwrap();
    let receiver = Receiver::builder(verifier).inbox(&inbox).build().unwrap();
    let app = Router::new().inbox("/", receiver);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // With a single core, the test's name is already on this line.
    println!("\nlistens {}", listener.local_addr().unwrap());
    let handler = move |event: InboxEvent| {
        let (history, database) = (Arc::clone(&history), database.clone());
        async move { handle(number, &event, history, &database).await }
    };
    let ms = Duration::from_millis;
    let worker = inbox.worker(handler).concurrency(6).lease(LEASE).max_attempts(10_000);
    let worker = worker.poll_every(ms(50)).backoff(ms(5), ms(50));
    tokio::select! {
        ended = axum::serve(listener, app) => panic!("{ended:?}"),
        ended = worker.run() => panic!("{ended:?}"),
    }
}

/// Records when this process stood still for a part of the time by which handlers end before their
/// lease. All tasks share a thread, so each of them stood still as well.
async fn watch(number: u32, history: Arc<Writer>) {
    loop {
        let (begun, since) = (Instant::now(), now());
        sleep(LEASE / 400).await;
        if begun.elapsed() > LEASE / 40 {
            history.write(&format!("{number} stalled {since}"));
        }
    }
}

/// Writes down that a handler was dropped.
struct Running {
    line: String,
    history: Arc<Writer>,
    is_over: bool,
}

impl Running {
    fn write(&self, word: &str) {
        self.history.write(&self.line.replace("{}", word));
    }

    fn end(mut self, word: &str) {
        self.write(word);
        self.is_over = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            self.write("drops");
        }
    }
}

async fn handle(
    number: u32,
    event: &InboxEvent,
    history: Arc<Writer>,
    database: &Database,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Task { id, kind, .. } = event.json()?;
    let line = format!("{number} {{}} {id} {}", event.attempt());
    let running = Running { line, history, is_over: false };
    running.write("begins");
    let (steps, pause) = match kind {
        Kind::Long => (12, LEASE / 8),
        Kind::Plain | Kind::Commit | Kind::Fail => (2, Duration::from_millis(4)),
    };
    for _ in 0..steps {
        sleep(pause).await;
        running.write("goes-on");
    }
    if kind == Kind::Fail && event.attempt() == 1 {
        running.end("fails");
        return Err("on purpose".into());
    }
    if kind == Kind::Commit
        && let Err(error) = commit(event, &id, database).await
    {
        running.end("fails");
        return Err(error);
    }
    running.end("ends");
    Ok(())
}

async fn commit(
    event: &InboxEvent,
    id: &str,
    database: &Database,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    match database {
        Database::Sqlite(pool) => {
            let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
            let insert = sqlx::query("INSERT INTO effect (id) VALUES (?)").bind(id);
            insert.execute(&mut *transaction).await?;
            Ok(event.commit(transaction).await?)
        }
        Database::Postgres(pool) => {
            let mut transaction = pool.begin().await?;
            let insert = sqlx::query("INSERT INTO effect (id) VALUES ($1)").bind(id);
            insert.execute(&mut *transaction).await?;
            Ok(event.commit(transaction).await?)
        }
    }
}
