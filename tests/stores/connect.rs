//! Stores from `connect` alone: it creates the table, and deletes expired records.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use integration_tests::{AnyStore, Folder, PostgresServer, age, fresh, unique};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tokio::task::JoinSet;
use webhook_verify::{
    PostgresStore, SqliteStore,
    idempotency::{ClaimStore, StoreError},
};

use crate::common::*;

/// Longer than the longest pause between two purges.
const TWO_MINUTES: Duration = Duration::from_secs(120);

fn file_url(folder: &Folder) -> String {
    format!("sqlite://{}/claims.db", folder.path().display())
}

/// Returns the URL of an empty schema on the shared server.
async fn empty_schema() -> String {
    let name = unique("connect").replace('-', "_");
    let url = PostgresServer::shared().url();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let create = AssertSqlSafe(format!("CREATE SCHEMA {name}"));
    sqlx::query(create).execute(&mut connection).await.unwrap();
    format!("{url}?options[search_path]={name}")
}

/// Returns the number of records in a table, or nothing without such a table.
async fn count(url: &str, table: &str) -> Option<i64> {
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    if url.starts_with("sqlite") {
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        return sqlx::query_scalar(sql).fetch_one(&mut connection).await.ok();
    }
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.ok()
}

/// Claims a key that expires and one that lives, and waits until the background purge has deleted
/// the first.
async fn purges(store: &impl ClaimStore, url: &str, table: &str) {
    let expired = fresh(HOUR, HOUR);
    assert_eq!(store.claim_one(&expired).await.unwrap(), won(1));
    age(url, table, HOUR.as_millis() as i64).await;
    let lasting = fresh(HOUR, HOUR);
    assert_eq!(store.claim_one(&lasting).await.unwrap(), won(1));
    let deadline = Instant::now() + TWO_MINUTES;
    loop {
        tokio::time::advance(TWO_MINUTES).await;
        tokio::task::yield_now().await;
        match count(url, table).await {
            Some(1) => break,
            left => assert!(Instant::now() < deadline, "no purge of {left:?} records"),
        }
    }
    assert!(is_busy(store.claim_one(&again(&lasting)).await.unwrap()));
}

/// Connects to a file or to a server, with the default table or another one.
async fn connect(url: &str, table: Option<&str>) -> Result<AnyStore, StoreError> {
    Ok(match (url.starts_with("sqlite"), table) {
        (true, None) => AnyStore::Sqlite(SqliteStore::connect(url).await?),
        (true, Some(table)) => AnyStore::Sqlite(SqliteStore::connect_with_table(url, table).await?),
        (false, None) => AnyStore::Postgres(PostgresStore::connect(url).await?),
        (false, Some(table)) => {
            AnyStore::Postgres(PostgresStore::connect_with_table(url, table).await?)
        }
    })
}

#[tokio::test]
async fn connect_is_enough() {
    let _stopped = stop_time();
    let folder = Folder::new("connect");
    for url in [file_url(&folder), empty_schema().await] {
        let store = connect(&url, None).await.unwrap();
        purges(&store, &url, "webhook_claim").await;
        // Another connection finds the records of the first.
        let claim = fresh(HOUR, HOUR);
        assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
        let other = connect(&url, None).await.unwrap();
        assert!(is_busy(other.claim_one(&again(&claim)).await.unwrap()), "{url}");
    }
}

/// With another table, `webhook_claim` is not created.
#[tokio::test]
async fn connect_with_another_table() {
    let _stopped = stop_time();
    let folder = Folder::new("connect");
    for (url, wrong) in [(file_url(&folder), "sqlite_x"), (empty_schema().await, "a b")] {
        let store = connect(&url, Some("other")).await.unwrap();
        purges(&store, &url, "other").await;
        assert_eq!(count(&url, "webhook_claim").await, None);
        let cause = fails(connect(&url, Some(wrong))).await;
        assert!(cause.starts_with("table: "), "{wrong}: {cause}");
    }
}

/// Stores that are derived from a connected one purge as well, after the connected one is dropped.
#[tokio::test]
async fn derived_stores_go_on_purging() {
    let _stopped = stop_time();
    let folder = Folder::new("connect");
    let url = file_url(&folder);
    let store = SqliteStore::connect(&url).await.unwrap();
    let store = store.clock(|| std::time::UNIX_EPOCH.elapsed().unwrap());
    purges(&store, &url, "webhook_claim").await;
    let store = store.table("other").unwrap();
    store.migrate().await.unwrap();
    purges(&store, &url, "other").await;

    let url = empty_schema().await;
    let store = PostgresStore::connect(&url).await.unwrap().lock_timeout(100 * MS);
    purges(&store, &url, "webhook_claim").await;
    let store = store.table("other").unwrap();
    store.migrate().await.unwrap();
    purges(&store, &url, "other").await;
}

/// Many stores connect at once and create the table: of their claims of one key, one is granted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_connect_at_once() {
    for _ in 0..5 {
        let folder = Folder::new("connect");
        for url in [file_url(&folder), empty_schema().await] {
            let mut tasks = JoinSet::new();
            let claim = fresh(HOUR, HOUR);
            for _ in 0..16 {
                let (url, claim) = (url.clone(), again(&claim));
                tasks.spawn(async move {
                    let store = answered(|| connect(&url, None)).await;
                    answered(|| store.claim_one(&claim)).await
                });
            }
            let outcomes = tasks.join_all().await;
            let winners = outcomes.iter().filter(|outcome| **outcome == won(1));
            assert_eq!(winners.count(), 1, "{url}: {outcomes:?}");
        }
    }
}

/// A table of another shape is an error at the start.
#[tokio::test]
async fn a_table_of_another_shape() {
    let folder = Folder::new("connect");
    let create = "CREATE TABLE webhook_claim (key text)";
    let (file, server) = (file_url(&folder), empty_schema().await);
    let mut connection = SqliteConnection::connect(&format!("{file}?mode=rwc")).await.unwrap();
    sqlx::query(create).execute(&mut connection).await.unwrap();
    let mut connection = PgConnection::connect(&server).await.unwrap();
    sqlx::query(create).execute(&mut connection).await.unwrap();
    for url in [file, server] {
        let cause = fails(connect(&url, None)).await;
        assert!(cause.contains("column"), "{url}: {cause}");
    }
}

/// Without a tokio runtime to purge on, `connect` is an error and not a panic.
#[test]
fn outside_of_a_runtime() {
    let mut context = Context::from_waker(Waker::noop());
    let sqlite = pin!(SqliteStore::connect("sqlite::memory:"));
    assert!(matches!(sqlite.poll(&mut context), Poll::Ready(Err(_))));
    let postgres = pin!(PostgresStore::connect("postgres://127.0.0.1:1/none"));
    assert!(matches!(postgres.poll(&mut context), Poll::Ready(Err(_))));
}
