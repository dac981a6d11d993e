//! Claims in a file, written by one process and by several.

mod faults;
mod processes;
mod transactions;
mod writing;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use integration_tests::{Calls as _, HandClock, size};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};
use tokio::{task::JoinSet, time::sleep};
use webhook_verify::{SqliteStore, idempotency::ClaimStore, testing::conformance::Suite};

use super::sql::{races, *};

/// A folder for a database.
struct Folder(integration_tests::Folder);

impl Folder {
    fn new() -> Self {
        Self(integration_tests::Folder::new("sqlite"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self) -> PathBuf {
        self.path().join("claims.db")
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.file().display())
    }

    async fn store(&self) -> SqliteStore {
        let store = SqliteStore::connect(&self.url()).await.unwrap();
        store.migrate().await.unwrap();
        store
    }

    /// Another connection to the file.
    async fn connection(&self) -> SqliteConnection {
        let options =
            SqliteConnectOptions::new().filename(self.file()).journal_mode(SqliteJournalMode::Wal);
        options.connect().await.unwrap()
    }

    /// As [`Place::age`](integration_tests::Place::age).
    async fn age(&self, by: Duration) {
        let ms = by.as_millis() as i64;
        integration_tests::age(&self.url(), "webhook_claim", ms).await;
    }

    fn wal_len(&self) -> u64 {
        fs::metadata(self.path().join("claims.db-wal")).map_or(0, |file| file.len())
    }
}

async fn execute(connection: &mut SqliteConnection, sql: impl Into<String>) {
    let sql = AssertSqlSafe(sql.into());
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

#[tokio::test]
async fn conformance() {
    let folder = Folder::new();
    let store = folder.store().await;
    let suite = Suite::new(&store).tick(Duration::from_secs(60));
    suite.run(async |time| folder.age(time).await).await.unwrap();
}

#[tokio::test]
async fn conformance_by_a_clock_moved_by_hand() {
    let folder = Folder::new();
    let now = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&now);
    let store = folder.store().await;
    let store = store.clock(move || Duration::from_millis(clock.load(SeqCst)));
    let advance = async |time: Duration| {
        now.fetch_add(time.as_millis() as u64, SeqCst);
    };
    Suite::new(&store).run(advance).await.unwrap();
}

#[tokio::test]
async fn conformance_in_memory() {
    let store = SqliteStore::connect("sqlite::memory:").await.unwrap();
    let clock = HandClock::new();
    let store = store.clock(clock.clone());
    store.migrate().await.unwrap();
    let suite = Suite::new(&store).tick(Duration::from_secs(60));
    suite.run(async |time| clock.advance(time)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_winner_for_each_attempt() {
    let folder = Folder::new();
    let (store, age) = (folder.store().await, async |by| folder.age(by).await);
    races::one_winner_for_each_attempt(&vec![store; 64], age, size(5, 20)).await;
}

/// Each with a connection and a thread of its own, as if they were processes.
async fn stores(folder: &Folder, count: usize) -> Vec<SqliteStore> {
    let mut stores = Vec::new();
    for _ in 0..count {
        stores.push(folder.store().await);
    }
    stores
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_winner_among_stores_on_one_file() {
    let folder = Folder::new();
    let stores = stores(&folder, 4).await;
    let claimers: Vec<_> = stores.iter().cycle().take(64).cloned().collect();
    let age = async |by| folder.age(by).await;
    races::one_winner_for_each_attempt(&claimers, age, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leases_that_lapse_during_the_race() {
    let folder = Folder::new();
    let (store, age) = (folder.store().await, async |by| folder.age(by).await);
    races::leases_that_lapse_during_the_race(&vec![store; 16], age, size(20, 60)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_late_complete_against_takeovers() {
    let folder = Folder::new();
    let (store, age) = (folder.store().await, async |by| folder.age(by).await);
    races::a_late_complete_against_takeovers(&vec![store; 8], age).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_from_two_sides() {
    let folder = Folder::new();
    let stores = stores(&folder, 2).await;
    races::batches_from_two_sides(&stores[0], &stores[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn settling_from_two_sides() {
    let folder = Folder::new();
    let stores = stores(&folder, 2).await;
    let age = async |by| folder.age(by).await;
    races::settling_from_two_sides(&stores[0], &stores[1], age).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn completing_from_two_sides() {
    let folder = Folder::new();
    let stores = stores(&folder, 2).await;
    let age = async |by| folder.age(by).await;
    races::completing_from_two_sides(&stores[0], &stores[1], age).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn purge_under_load() {
    let folder = Folder::new();
    let age = async |by| folder.age(by).await;
    races::purge_under_load(&folder.store().await, age, 4500).await;
}

#[tokio::test]
async fn names() {
    let folder = Folder::new();
    let longest = "x".repeat(48);
    for name in ["select", "Order", "_", &longest] {
        let store = folder.store().await.table(name).unwrap();
        let missing = fails(store.claim_one(&request(1))).await;
        assert!(missing.contains("migrate"), "{missing}");
        store.migrate().await.unwrap();
        store.migrate().await.unwrap();
        assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));
    }
    let hostile =
        ["", "a\"; DROP TABLE b; --", "a b", "main.a", "a\0", "é", "sqlite_master", "SQLite_x"];
    for name in hostile {
        let error = folder.store().await.table(name).unwrap_err();
        assert!(error.to_string().starts_with("table: "), "{error}");
    }
    let mut other = folder.connection().await;
    execute(&mut other, "CREATE TABLE theirs (key TEXT)").await;
    let store = folder.store().await.table("theirs").unwrap();
    let refused = fails(store.migrate()).await;
    assert!(refused.contains("column"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn opened_and_migrated_from_everywhere_at_once() {
    for _ in 0..5 {
        let folder = Folder::new();
        let mut tasks = JoinSet::new();
        for number in 0..16 {
            let url = folder.url();
            tasks.spawn(async move {
                let store = answered(|| SqliteStore::connect(&url)).await;
                answered(|| store.migrate()).await;
                let claim = request(number);
                assert_eq!(answered(|| store.claim_one(&claim)).await, won(1));
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
    }
}

/// A store on the file of a pool, by what the pool knows of it.
#[tokio::test]
async fn on_the_file_of_a_pool() {
    let folder = Folder::new();
    drop(folder.store().await);
    let pool = sqlx::SqlitePool::connect(&folder.url()).await.unwrap();
    let options = pool.connect_options();
    let store = SqliteStore::open((*options).clone()).await.unwrap();
    assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM webhook_claim").fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 1);
}
