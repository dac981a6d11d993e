//! `SqliteStore` next to the driver that it uses, running the same statement, and with few and many
//! rows.

use std::{
    fs,
    path::PathBuf,
    process,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Row as _, SqlSafeStr as _, SqlStr, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::Mutex;
use webhook_verify::{SqliteStore, idempotency::ClaimRequest};

use super::{
    CLIENTS, Claims, LEASE, Store, TTL, cost, millis, rate, requests,
    rounds::{Bound, Rounds},
    runtime,
};

const CLAIM: &str = include_str!("../../../webhook-verify/src/claim/sqlite/claim.sql");
const TABLE: &str = "\"webhook_claim\"";
const ROUNDS: usize = 21;
const COUNT: usize = 1600;

pub(crate) fn run() -> bool {
    let runtime = runtime();
    let folder = Folder::new();
    let (store, raw) = runtime.block_on(async {
        let store = folder.store("store").await;
        (store, Arc::new(Raw::connect(&folder).await))
    });
    let measured = Rounds::new("SqliteStore", "claims/s")
        .case("store", || rate(&runtime, &store, CLIENTS, &requests(COUNT)))
        // Several would only wait for one connection.
        .case("sqlx, a commit for each", || rate(&runtime, &raw, 1, &requests(COUNT)))
        .run(ROUNDS);
    measured.hold(0, 1, Bound::AtLeast(3.0))
}

pub(crate) fn rows() -> bool {
    let mut reached = true;
    for (title, clients, count) in
        [("SqliteStore, 1 client", 1, 400), ("SqliteStore, 32 clients", CLIENTS, 3200)]
    {
        let runtime = runtime();
        let folder = Folder::new();
        let (few, many) = runtime.block_on(async {
            let few = folder.filled("few", 10_000).await;
            (few, folder.filled("many", 1_000_000).await)
        });
        let measured = Rounds::new(title, "us for a claim")
            .case("10^6 rows", || cost(&runtime, &many, clients, count))
            .case("10^4 rows", || cost(&runtime, &few, clients, count))
            .run(ROUNDS);
        reached &= measured.hold(0, 1, Bound::AtMost(1.5));
    }
    reached
}

/// A folder on the disk that programs are built on: a temporary one may be in memory, where nothing
/// waits for a disk.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        // A new one each time, as a store that is dropped closes its file a little later.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("webhook-verify-sqlite-{}-{count}", process::id());
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn options(&self, name: &str) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(self.0.join(name))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging()
    }

    async fn store(&self, name: &str) -> Arc<Store<SqliteStore>> {
        let store = SqliteStore::open(self.options(name)).await.unwrap();
        store.migrate().await.unwrap();
        Arc::new(Store(store))
    }

    /// A table of deliveries that were completed over the last week, to be forgotten a week after.
    async fn filled(&self, name: &str, rows: u32) -> Arc<Store<SqliteStore>> {
        let store = self.store(name).await;
        let now = now();
        let fill = format!(
            "INSERT INTO {TABLE} (key, state, attempt, owner, fingerprint, lease_until, expires_at, status)
             WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < {rows})
             SELECT randomblob(32), 2, 1, randomblob(16), randomblob(32), {now}, {now} + n * {ttl} / {rows}, 200
             FROM counted;
             ANALYZE;
             PRAGMA wal_checkpoint(TRUNCATE)",
            ttl = millis(TTL),
        );
        let mut connection = self.options(name).connect().await.unwrap();
        let filled = sqlx::raw_sql(AssertSqlSafe(fill)).execute(&mut connection);
        filled.await.unwrap();
        store
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One connection that commits each claim by itself.
struct Raw {
    connection: Mutex<SqliteConnection>,
    sql: SqlStr,
}

impl Raw {
    async fn connect(folder: &Folder) -> Self {
        // Makes the table.
        folder.store("driver").await;
        let connection = folder.options("driver").connect().await.unwrap();
        Self {
            connection: Mutex::new(connection),
            sql: AssertSqlSafe(CLAIM.replace("{table}", TABLE)).into_sql_str(),
        }
    }
}

impl Claims for Raw {
    async fn claim(&self, request: &ClaimRequest) {
        let mut connection = self.connection.lock().await;
        let row = sqlx::query(self.sql.clone())
            .bind(&request.key.as_bytes()[..])
            .bind(&request.owner.as_bytes()[..])
            .bind(&request.fingerprint.0[..])
            .bind(now())
            .bind(millis(LEASE))
            .bind(millis(TTL))
            .bind(false)
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        assert_eq!(row.get::<i64, _>(0), 1);
    }
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    millis(now.unwrap())
}
