//! Claims in a file, written by one process and by several.

mod faults;
mod processes;
mod writing;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use integration_tests::HandClock;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};
use tokio::{task::JoinSet, time::sleep};
use webhook_verify::{SqliteStore, idempotency::ClaimStore, testing::conformance::Suite};

use crate::common::*;

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
    let suite = Suite::new(&store).keeps_responses().tick(Duration::from_secs(60));
    suite.run(async |time| folder.age(time).await).await.unwrap();
}

#[tokio::test]
async fn conformance_by_a_clock_moved_by_hand() {
    let folder = Folder::new();
    let clock = at_zero();
    let store = folder.store().await.clock(clock.clone());
    Suite::new(&store).keeps_responses().run(async |time| clock.advance(time)).await.unwrap();
}

#[tokio::test]
async fn conformance_in_memory() {
    let clock = HandClock::new();
    let store = SqliteStore::connect("sqlite::memory:").await.unwrap().clock(clock.clone());
    store.migrate().await.unwrap();
    let suite = Suite::new(&store).keeps_responses().tick(Duration::from_secs(60));
    suite.run(async |time| clock.advance(time)).await.unwrap();
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

/// A store on the file of a pool, opened with the options of the pool.
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
