//! Purges many expired records while claims go on. This is a separate program, so that no other
//! test runs alongside it.
#![allow(clippy::unwrap_used)]

use std::{sync::Arc, time::Duration};

use integration_tests::{
    AnyStore, Calls as _, HandClock, Kind, Place, each_store, fresh, size, soon, unique,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, SqliteConnection};
use tokio::time::sleep;
use webhook_verify::{
    MemoryStore, PostgresStore,
    idempotency::{ClaimOutcome, ClaimStore},
};

/// The most that one step may clear away.
const BATCH: i64 = 1000;
const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// C11: claims go on while expired records are purged, a million of them in a thorough run. A purge
/// works in small steps and can be stopped between any two. For every ten of its steps, at least
/// one claim is granted.
#[tokio::test]
async fn c11_expired_records() {
    each_store(&[Kind::Sqlite, Kind::Postgres, Kind::Memory], async |place| {
        let table = unique("expired").replace('-', "_");
        let store = filled(place, &table).await;
        let purge = tokio::spawn({
            let store = store.clone();
            async move { while store.purge(usize::MAX).await.unwrap() > 0 {} }
        });
        if place.kind == Kind::Memory {
            // Memory is purged at once. A claim waits for at most one step.
            soon("claims beside a purge", claims(place, &store)).await;
            return soon("end of the purge", purge).await.unwrap();
        }
        // One thread runs both tasks, so a slow machine slows down both.
        soon("claims beside a purge", claims(place, &store)).await;
        let begun = async {
            while left(place, &table).await == rows(place) {
                sleep(MS).await;
            }
        };
        soon("first step of the purge", begun).await;
        assert!(!purge.is_finished(), "the claims were beside it");
        purge.abort();
        assert!(purge.await.unwrap_err().is_cancelled());
        until_nothing_is_deleted(place, &store, &table).await;
        let left = left(place, &table).await;
        assert!(left > 0 && left < rows(place), "{left}");
        claims(place, &store).await;
        assert_eq!(self::left(place, &table).await, left, "it was stopped");
    })
    .await;
}

/// Claims fresh keys one after the other: one for every ten steps of a purge.
async fn claims(place: &Place, store: &AnyStore) {
    for _ in 0..rows(place) / BATCH / 10 {
        let outcome = store.claim_one(&fresh(HOUR, HOUR)).await.unwrap();
        assert_eq!(outcome, ClaimOutcome::Won { attempt: 1 });
    }
}

/// Waits for the step that was begun before the purge was stopped.
async fn until_nothing_is_deleted(place: &Place, store: &AnyStore, table: &str) {
    // A file has one writer: what comes later is done later.
    store.claim_one(&fresh(HOUR, HOUR)).await.unwrap();
    if place.kind != Kind::Postgres {
        return;
    }
    let mut connection = PgConnection::connect(&place.url).await.unwrap();
    let over = async {
        loop {
            let deletes = sqlx::query_scalar::<_, i64>(
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'
                   AND pid <> pg_backend_pid() AND query LIKE '%DELETE%' || $1 || '%'",
            );
            if deletes.bind(table).fetch_one(&mut connection).await.unwrap() == 0 {
                return;
            }
            sleep(MS).await;
        }
    };
    soon("end of the last step", over).await;
}

/// Returns how many expired records the test begins with.
fn rows(place: &Place) -> i64 {
    match place.kind {
        Kind::Postgres => size(100_000, 1_000_000),
        Kind::Sqlite => size(50_000, 200_000),
        Kind::Memory | Kind::Redis => size(20_000, 100_000),
    }
}

/// Returns a store that holds many expired records.
async fn filled(place: &Place, table: &str) -> AnyStore {
    let rows = rows(place);
    match place.kind {
        Kind::Memory | Kind::Redis => {
            let clock = HandClock::new();
            let store = MemoryStore::with_capacity(2 * rows as usize).clock(clock.clone());
            for _ in 0..rows {
                store.claim_one(&fresh(MS, MS)).await.unwrap();
            }
            clock.advance(HOUR);
            AnyStore::Memory(Arc::new(store))
        }
        Kind::Sqlite => {
            let store = place.open().await;
            let mut connection = SqliteConnection::connect(&place.url).await.unwrap();
            let fill = format!(
                "PRAGMA cache_size = -500000; PRAGMA synchronous = OFF;
                 WITH RECURSIVE row(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM row WHERE n < {rows})
                 INSERT INTO webhook_claim SELECT randomblob(32), 2, 1, zeroblob(16), zeroblob(32), 0, n, 200 FROM row"
            );
            let filled = sqlx::query(AssertSqlSafe(fill)).execute(&mut connection).await;
            assert_eq!(filled.unwrap().rows_affected(), rows as u64);
            connection.close().await.unwrap();
            store
        }
        Kind::Postgres => {
            let pool = PgPool::connect(&place.url).await.unwrap();
            let store = PostgresStore::new(pool.clone()).table(table).unwrap();
            store.migrate().await.unwrap();
            // A step that clears away too much is an error.
            let fill = format!(
                "DROP INDEX {table}_expires;
                 INSERT INTO {table} SELECT sha256(int8send(n)), 2, 1, substr(sha256('o'), 1, 16), sha256('f'), 'epoch',
                   clock_timestamp() - n * interval '1 ms' - interval '1 h', 200 FROM generate_series(1, {rows}) n
                   ORDER BY 1;
                 CREATE INDEX {table}_expires ON {table} (expires_at);
                 ANALYZE {table};
                 CREATE FUNCTION {table}_bounded() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   IF (SELECT count(*) FROM gone) > {BATCH} THEN RAISE EXCEPTION 'too many at once'; END IF;
                   RETURN NULL; END $$;
                 CREATE TRIGGER bounded AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone
                   FOR EACH STATEMENT EXECUTE FUNCTION {table}_bounded()"
            );
            sqlx::raw_sql(AssertSqlSafe(fill)).execute(&pool).await.unwrap();
            AnyStore::Postgres(store)
        }
    }
}

/// How many expired records there are.
async fn left(place: &Place, table: &str) -> i64 {
    let count =
        |table: &str| AssertSqlSafe(format!("SELECT count(*) FROM {table} WHERE state = 2"));
    if place.kind == Kind::Sqlite {
        let mut connection = SqliteConnection::connect(&place.url).await.unwrap();
        let count = sqlx::query_scalar(count("webhook_claim"));
        return count.fetch_one(&mut connection).await.unwrap();
    }
    let mut connection = PgConnection::connect(&place.url).await.unwrap();
    let count = sqlx::query_scalar(count(table));
    count.fetch_one(&mut connection).await.unwrap()
}
