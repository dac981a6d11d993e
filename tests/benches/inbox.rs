//! Measures what the inbox costs compared to its drivers, and a full one compared to a small one.
//!
//! The cases of a comparison take turns, so that whatever else the machine does falls on all of
//! them alike: judge by the ratios. Each ratio has a bound, and the exit code tells whether all of
//! them were reached. What is measured can be named: `cargo bench -p integration-tests --bench
//! inbox -- postgres sqlite`. With `FULL=1`, the full inbox has 10^7 done rows. By default it has
//! 10^6.
//!
//! The servers are started here, as in the tests, on the disk that the temporary folder is on.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails says nothing")]

#[allow(dead_code, reason = "shared with the benchmark of stores")]
#[path = "stores/rounds.rs"]
mod rounds;

use std::{
    env, fs,
    path::PathBuf,
    process::{self, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant, SystemTime},
};

use axum::{Router, body::Body, http::Request};
use integration_tests::PostgresServer;
use sha2::{Digest as _, Sha256};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, PgPool, Row as _, SqlitePool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::{runtime::Runtime, sync::Notify, task::JoinSet, time::sleep_until};
use tower::ServiceExt as _;
use webhook_verify::{
    PostgresStore, Receiver, SqliteStore, Verifier,
    idempotency::{ClaimStore, Owner},
    inbox::{EntryHolder, Inbox, InboxEvent, InboxStore, LeaseRequest, Verdict},
    scheme,
    testing::{SignedRequest, Signer},
};
use webhook_verify_axum::RouterExt as _;

use self::rounds::{Bound, Rounds};

const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ENDPOINT: &str = "bench";
/// How many deliver at the same time.
const CLIENTS: usize = 32;
/// Deliveries of a round.
const COUNT: usize = 1600;
/// Events that workers process in a round. A worker starts with new connections and unprepared
/// statements, so a short round would mostly measure its start.
const EVENTS: usize = 16_000;
const ROUNDS: usize = 11;
/// How many entries one call leases.
const BATCH: usize = 64;
const LEASE: Duration = Duration::from_secs(60);
const PER_SECOND: u32 = 500;
/// Rounds of deliveries at this rate, and their number.
const PACED: (usize, usize) = (5, 1500);
const HEADERS: &str = r#"[["content-type","application/json"]]"#;
const TYPE: &str = "mautic.page_on_hit";

/// Its name, and what measures it and says whether its bounds were reached.
type Part = (&'static str, fn() -> bool);

fn main() -> ExitCode {
    let named: Vec<_> = env::args().skip(1).filter(|name| name != "--bench").collect();
    let parts: [Part; 3] =
        [("postgres", postgres), ("sqlite", sqlite), ("postgres-rows", postgres_rows)];
    let mut reached = true;
    for (name, run) in parts {
        if named.is_empty() || named.iter().any(|named| named == name) {
            reached &= run();
        }
    }
    match reached {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn postgres() -> bool {
    let runtime = runtime();
    let server = PostgresServer::start();
    let (store, raw) = runtime.block_on(async {
        let pool = pool(&server).await;
        // Makes the tables.
        postgres_store(&pool, "of_driver").await;
        let store = PostgresStore::connect_with_table(&server.url(), "of_store").await;
        (store.unwrap(), RawPostgres(pool))
    });
    let fill = RawPostgres(runtime.block_on(pool(&server)));
    let filled = |table| runtime.block_on(fill.fill(table, 0, EVENTS as u32));
    compare(&runtime, ["PostgreSQL", "32 clients"], &store, &Arc::new(raw), CLIENTS, filled)
}

fn sqlite() -> bool {
    let runtime = runtime();
    let folder = Folder::new();
    let (store, raw) = runtime.block_on(async {
        let store = SqliteStore::open(folder.options()).await.unwrap();
        let store = store.table("of_store").unwrap();
        store.migrate().await.unwrap();
        // Makes the tables.
        store.clone().table("of_driver").unwrap().migrate().await.unwrap();
        (store, folder.raw().await)
    });
    let fill = runtime.block_on(folder.raw());
    let filled = |table| runtime.block_on(fill.fill(table));
    // Several clients would only wait for one connection.
    compare(&runtime, ["SQLite", "1 client"], &store, &Arc::new(raw), 1, filled)
}

/// Compares a store with its driver. `filled` adds waiting events to the tables of that name.
fn compare<R: Raw>(
    runtime: &Runtime,
    [database, clients]: [&'static str; 2],
    store: &(impl InboxStore + ClaimStore + Clone),
    raw: &Arc<R>,
    raw_clients: usize,
    filled: impl Fn(&'static str),
) -> bool {
    let title = |what| -> &'static str { format!("{database}, {what}").leak() };
    let inbox = Inbox::new(store.clone(), ENDPOINT);
    let intake = Arc::new(Received::new(&inbox));
    let measured = Rounds::new(title("intake"), "deliveries/s")
        .case("receiver, 32 clients", || rate(runtime, &intake, CLIENTS))
        .case(format!("raw inserts, {clients}").leak(), || rate(runtime, raw, raw_clients))
        .run(ROUNDS);
    let mut reached = measured.hold(0, 1, Bound::AtLeast(0.9));

    let measured = Rounds::new(title("acknowledgment at 500 deliveries/s"), "ms, p99")
        .case("receiver", || runtime.block_on(p99(&intake)))
        .case("raw inserts", || runtime.block_on(p99(raw)))
        .run(PACED.0);
    measured.hold(0, 1, Bound::None);

    // Nothing waits from here on, but the events of a round.
    runtime.block_on(async {
        inbox.discard(&inbox.filter()).await.unwrap();
        raw.clear().await;
    });
    let measured = Rounds::new(title("workers"), "events/s")
        .case("worker", || {
            filled("of_store");
            runtime.block_on(work(&inbox))
        })
        .case("raw statements", || {
            filled("of_driver");
            runtime.block_on(raw.work())
        })
        .run(ROUNDS);
    reached &= measured.hold(0, 1, Bound::AtLeast(0.8));
    reached
}

fn postgres_rows() -> bool {
    let runtime = runtime();
    let server = PostgresServer::start();
    let is_full = env::var_os("FULL").is_some();
    let (done, name) = if is_full { (10_000_000, "10^7 done") } else { (1_000_000, "10^6 done") };
    let (few, many, after) = runtime.block_on(async {
        let raw = RawPostgres(pool(&server).await);
        let few = raw.filled("few", 0, 10_000).await;
        let many = raw.filled("many", 0, 1_000_000).await;
        (few, many, raw.filled("after", done, 10_000).await)
    });
    let measured = Rounds::new("PostgreSQL, a lease of 64 entries", "us")
        .case("10^6 waiting", || runtime.block_on(cost(&many)))
        .case("10^4 waiting", || runtime.block_on(cost(&few)))
        .case(name, || runtime.block_on(cost(&after)))
        .run(2 * ROUNDS - 1);
    measured.hold(0, 1, Bound::AtMost(1.3)) & measured.hold(2, 1, Bound::AtMost(1.3))
}

/// Stores the event of a delivery.
trait Intake: Send + Sync + 'static {
    fn take(&self, delivery: Delivery) -> impl Future<Output = ()> + Send;
}

/// A driver with statements of its own.
trait Raw: Intake {
    /// Claims and completes all events, and returns how many a second.
    fn work(&self) -> impl Future<Output = f64>;

    /// Makes all entries done.
    fn clear(&self) -> impl Future<Output = ()>;
}

/// A delivery of one new event.
struct Delivery {
    signed: SignedRequest,
    key: [u8; 32],
    event: String,
}

impl Delivery {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, SeqCst);
        let event = format!(r#"{{"id":{number},"text":"{}"}}"#, "x".repeat(1000));
        let signer = Signer::new(scheme::MAUTIC, SECRET).unwrap();
        let signed = signer.sign(format!(r#"{{"{TYPE}":[{event}]}}"#)).unwrap();
        Self { signed, key: Sha256::digest(&event).into(), event }
    }
}

/// The receiver of an inbox.
struct Received(Router);

impl Received {
    fn new(inbox: &Inbox) -> Self {
        let verifier = Verifier::new(scheme::MAUTIC, SECRET).unwrap();
        let receiver = Receiver::builder(verifier).inbox(inbox).build().unwrap();
        Self(Router::new().inbox("/", receiver))
    }
}

impl Intake for Received {
    async fn take(&self, delivery: Delivery) {
        let headers = delivery.signed.headers.iter();
        let request = Request::post("/").header("content-type", "application/json");
        let request = headers.fold(request, |request, (name, value)| request.header(name, value));
        let request = request.body(Body::from(delivery.signed.body)).unwrap();
        let response = self.0.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 204);
        assert!(!response.headers().contains_key("idempotent-replayed"));
    }
}

/// Deliveries a second when so many clients make them, each one after another.
fn rate<I: Intake>(runtime: &Runtime, intake: &Arc<I>, clients: usize) -> f64 {
    let mut shares: Vec<Vec<_>> = (0..clients).map(|_| Vec::new()).collect();
    for number in 0..COUNT {
        shares[number % clients].push(Delivery::new());
    }
    runtime.block_on(async {
        let mut running = JoinSet::new();
        let start = Instant::now();
        for share in shares {
            let intake = Arc::clone(intake);
            running.spawn(async move {
                for delivery in share {
                    intake.take(delivery).await;
                }
            });
        }
        running.join_all().await;
        COUNT as f64 / start.elapsed().as_secs_f64()
    })
}

/// The time in milliseconds that 99 of 100 deliveries take at most, from when they are due.
async fn p99<I: Intake>(intake: &Arc<I>) -> f64 {
    let mut running = JoinSet::new();
    let deliveries: Vec<_> = (0..PACED.1).map(|_| Delivery::new()).collect();
    let start = tokio::time::Instant::now();
    for (number, delivery) in deliveries.into_iter().enumerate() {
        let due = start + Duration::from_secs(1) * number as u32 / PER_SECOND;
        let intake = Arc::clone(intake);
        running.spawn(async move {
            sleep_until(due).await;
            intake.take(delivery).await;
            due.elapsed()
        });
    }
    let mut times = running.join_all().await;
    times.sort();
    times[times.len() * 99 / 100].as_secs_f64() * 1e3
}

/// Events a second of one worker whose handler does nothing.
async fn work(inbox: &Inbox) -> f64 {
    let (done, end) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let ended = Arc::clone(&end);
    let worker = inbox.worker(move |_: InboxEvent| {
        if done.fetch_add(1, SeqCst) + 1 == EVENTS {
            end.notify_one();
        }
        async { Ok(()) }
    });
    let start = Instant::now();
    // While the results of one batch are recorded, another is leased.
    worker.concurrency(2 * BATCH).run_until(ended.notified()).await.unwrap();
    let time = start.elapsed().as_secs_f64();
    assert!(inbox.stats().await.unwrap().is_empty());
    EVENTS as f64 / time
}

/// Microseconds that a lease takes. Afterwards, the entries wait again.
async fn cost(store: &PostgresStore) -> f64 {
    const LEASES: u32 = 10;
    let mut time = Duration::ZERO;
    for _ in 0..LEASES {
        let owner = Owner::random().unwrap();
        let request = LeaseRequest::new(ENDPOINT, "default", owner, BATCH, LEASE);
        let start = Instant::now();
        let leased = store.lease(&request).await.unwrap();
        time += start.elapsed();
        assert_eq!(leased.events.len(), BATCH);
        let settlements = leased.events.iter().map(|event| {
            EntryHolder::new(event.number, "default", owner).settlement(Verdict::Released)
        });
        let settlements: Vec<_> = settlements.collect();
        InboxStore::settle(store, &settlements, LEASE).await.unwrap();
    }
    time.as_secs_f64() * 1e6 / f64::from(LEASES)
}

async fn pool(server: &PostgresServer) -> PgPool {
    let clients = CLIENTS.try_into().unwrap();
    let pool = PgPoolOptions::new().min_connections(clients).max_connections(clients);
    pool.test_before_acquire(false).connect(&server.url()).await.unwrap()
}

async fn postgres_store(pool: &PgPool, table: &str) -> PostgresStore {
    let store = PostgresStore::new(pool.clone()).table(table).unwrap();
    store.migrate().await.unwrap();
    store
}

/// A pool of connections to PostgreSQL.
struct RawPostgres(PgPool);

impl RawPostgres {
    async fn execute(&self, sql: String) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.0).await.unwrap();
    }

    /// Adds done and waiting events.
    async fn fill(&self, table: &str, done: u32, waiting: u32) {
        self.execute(format!(
            "WITH e AS (
               INSERT INTO {table}_inbox (number, key, endpoint, scheme, event_type, received_at,
                 headers, body, expires_at)
               SELECT nextval('{table}_inbox_number'), sha256((random()::text || n)::bytea),
                 '{ENDPOINT}', 'mautic', '{TYPE}', now(), '{HEADERS}',
                 convert_to(repeat('x', 100), 'UTF8'), now() + interval '90 days'
               FROM generate_series(1, {done} + {waiting}) n
               RETURNING number
             )
             INSERT INTO {table}_inbox_entry (event, consumer, endpoint, state, attempt, due_at,
               position, finished_at)
             SELECT number, 'default', '{ENDPOINT}', CASE WHEN n <= {done} THEN 3 ELSE 0 END, 0,
               now() - interval '1 hour', 0, CASE WHEN n <= {done} THEN now() END
             FROM (SELECT number, row_number() OVER (ORDER BY number) n FROM e) e"
        ))
        .await;
    }

    /// Returns a store with done and waiting events.
    async fn filled(&self, table: &str, done: u32, waiting: u32) -> PostgresStore {
        let store = postgres_store(&self.0, table).await;
        self.fill(table, done, waiting).await;
        for sql in ["VACUUM ANALYZE {}_inbox", "VACUUM ANALYZE {}_inbox_entry", "CHECKPOINT"] {
            self.execute(sql.replace("{}", table)).await;
        }
        store
    }
}

impl Intake for RawPostgres {
    async fn take(&self, delivery: Delivery) {
        let sql = "WITH e AS (
               INSERT INTO of_driver_inbox (number, key, endpoint, scheme, event_type, received_at,
                 headers, body, expires_at)
               VALUES (nextval('of_driver_inbox_number'), $1, $2, 'mautic', $3, now(), $4, $5,
                 now() + interval '90 days')
               ON CONFLICT (key, endpoint) DO NOTHING
               RETURNING number
             )
             INSERT INTO of_driver_inbox_entry (event, consumer, endpoint, state, attempt, due_at,
               position)
             SELECT number, 'default', $2, 0, 0, now(), 0 FROM e";
        let inserted = sqlx::query(sql)
            .bind(&delivery.key[..])
            .bind(ENDPOINT)
            .bind(TYPE)
            .bind(HEADERS)
            .bind(delivery.event.as_bytes())
            .execute(&self.0);
        assert_eq!(inserted.await.unwrap().rows_affected(), 1);
    }
}

impl Raw for RawPostgres {
    async fn work(&self) -> f64 {
        let lease = "WITH l AS (
               UPDATE of_driver_inbox_entry
               SET state = 1, attempt = attempt + 1, owner = $1, due_at = now() + interval '1 minute'
               WHERE consumer = 'default' AND event = ANY (ARRAY(
                 SELECT event FROM of_driver_inbox_entry
                 WHERE endpoint = $2 AND consumer = 'default' AND state < 2 AND due_at <= now()
                 ORDER BY due_at, event LIMIT $3 FOR UPDATE SKIP LOCKED))
               RETURNING event
             )
             SELECT e.* FROM l JOIN of_driver_inbox e ON e.number = l.event";
        let complete = "UPDATE of_driver_inbox_entry
             SET state = 3, owner = NULL, finished_at = now()
             WHERE event = ANY ($1) AND consumer = 'default' AND owner = $2 AND state = 1";
        let (mut done, start) = (0, Instant::now());
        while done < EVENTS {
            let owner = Owner::random().unwrap();
            let leased = sqlx::query(lease)
                .bind(&owner.as_bytes()[..])
                .bind(ENDPOINT)
                .bind(BATCH as i64)
                .fetch_all(&self.0);
            let events: Vec<i64> = leased.await.unwrap().iter().map(|row| row.get(0)).collect();
            done += events.len();
            let completed = sqlx::query(complete).bind(events).bind(&owner.as_bytes()[..]);
            completed.execute(&self.0).await.unwrap();
        }
        EVENTS as f64 / start.elapsed().as_secs_f64()
    }

    async fn clear(&self) {
        let sql = "UPDATE of_driver_inbox_entry SET state = 3, finished_at = now()";
        self.execute(sql.to_owned()).await;
    }
}

/// A folder on the disk that programs are built on: a temporary one may be in memory, where nothing
/// waits for a disk.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("webhook-verify-inbox-{}", process::id());
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(self.0.join("inbox.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging()
    }

    async fn raw(&self) -> RawSqlite {
        let pool = SqlitePoolOptions::new().max_connections(1);
        RawSqlite(pool.connect_with(self.options()).await.unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One connection that commits each event by itself.
struct RawSqlite(SqlitePool);

impl RawSqlite {
    /// Adds waiting events.
    async fn fill(&self, table: &str) {
        let now = now();
        let last = format!("(SELECT coalesce(max(number), 0) FROM {table}_inbox)");
        let sql = format!(
            "BEGIN IMMEDIATE;
             WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted
               WHERE n < {EVENTS})
             INSERT INTO {table}_inbox_entry (event, consumer, endpoint, state, attempt, due_at,
               position)
             SELECT {last} + n, 'default', '{ENDPOINT}', 0, 0, {now}, 0 FROM counted;
             WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted
               WHERE n < {EVENTS})
             INSERT INTO {table}_inbox (endpoint, key, scheme, event_type, received_at, expires_at,
               headers, body)
             SELECT '{ENDPOINT}', randomblob(32), 'mautic', '{TYPE}', {now}, {now} + 7776000000,
               '{HEADERS}', randomblob(100)
             FROM counted;
             COMMIT"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.0).await.unwrap();
    }
}

impl Intake for RawSqlite {
    async fn take(&self, delivery: Delivery) {
        let now = now();
        let mut transaction = self.0.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let event = sqlx::query(
            "INSERT INTO of_driver_inbox (endpoint, key, scheme, event_type, received_at,
               expires_at, headers, body)
             VALUES (?1, ?2, 'mautic', ?3, ?4, ?4 + 7776000000, ?5, ?6)
             ON CONFLICT (endpoint, key) DO NOTHING
             RETURNING number",
        )
        .bind(ENDPOINT)
        .bind(&delivery.key[..])
        .bind(TYPE)
        .bind(now)
        .bind(HEADERS)
        .bind(delivery.event.as_bytes())
        .fetch_one(&mut *transaction);
        let event: i64 = event.await.unwrap().get(0);
        let entry = sqlx::query(
            "INSERT INTO of_driver_inbox_entry (event, consumer, endpoint, state, attempt, due_at,
               position)
             VALUES (?, 'default', ?, 0, 0, ?, 0)",
        )
        .bind(event)
        .bind(ENDPOINT)
        .bind(now)
        .execute(&mut *transaction);
        entry.await.unwrap();
        transaction.commit().await.unwrap();
    }
}

impl Raw for RawSqlite {
    async fn work(&self) -> f64 {
        let lease = "UPDATE of_driver_inbox_entry
             SET state = 1, attempt = attempt + 1, owner = ?1, due_at = ?2 + 60000
             WHERE consumer = 'default' AND event IN (
               SELECT event FROM of_driver_inbox_entry
               WHERE endpoint = ?3 AND consumer = 'default' AND state = 0 AND due_at <= ?2
               ORDER BY due_at, event LIMIT ?4)
             RETURNING event";
        let read = "SELECT * FROM of_driver_inbox WHERE number = ?";
        let complete = "UPDATE of_driver_inbox_entry
             SET state = 3, owner = NULL, finished_at = ?1
             WHERE event = ?2 AND consumer = 'default' AND owner = ?3 AND state = 1";
        let (mut done, start) = (0, Instant::now());
        while done < EVENTS {
            let owner = Owner::random().unwrap();
            let mut transaction = self.0.begin_with("BEGIN IMMEDIATE").await.unwrap();
            let leased = sqlx::query(lease)
                .bind(&owner.as_bytes()[..])
                .bind(now())
                .bind(ENDPOINT)
                .bind(BATCH as i64)
                .fetch_all(&mut *transaction);
            let events: Vec<i64> = leased.await.unwrap().iter().map(|row| row.get(0)).collect();
            done += events.len();
            for event in &events {
                sqlx::query(read).bind(event).fetch_one(&mut *transaction).await.unwrap();
            }
            transaction.commit().await.unwrap();
            let mut transaction = self.0.begin_with("BEGIN IMMEDIATE").await.unwrap();
            for event in &events {
                let completed = sqlx::query(complete).bind(now()).bind(event);
                let completed = completed.bind(&owner.as_bytes()[..]).execute(&mut *transaction);
                assert_eq!(completed.await.unwrap().rows_affected(), 1);
            }
            transaction.commit().await.unwrap();
        }
        EVENTS as f64 / start.elapsed().as_secs_f64()
    }

    async fn clear(&self) {
        let sql = "UPDATE of_driver_inbox_entry SET state = 3, finished_at = due_at";
        sqlx::query(sql).execute(&self.0).await.unwrap();
    }
}

/// The time since the Unix epoch in milliseconds.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_millis().try_into().unwrap()
}

/// Two threads, whatever the machine has: servers and clients share it.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
