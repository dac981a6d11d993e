//! `PostgresStore` next to the driver that it uses, running the same statement, and with few and
//! many rows.

use std::sync::Arc;

use integration_tests::PostgresServer;
use sqlx::{
    AssertSqlSafe, PgPool, Row as _, SqlSafeStr as _, SqlStr,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use webhook_verify::{PostgresStore, idempotency::ClaimRequest};

use super::{
    CLIENTS, Claims, LEASE, Store, TTL, cost, millis, rate, requests,
    rounds::{Bound, Rounds},
    runtime,
};

const CLAIM: &str = include_str!("../../../webhook-verify/src/claim/postgres/claim.sql");
/// The part that the store inserts for a single claim.
const ASKED: &str =
    "SELECT $1::bytea AS key, $2::bytea AS owner, $3::bytea AS fingerprint, $6::bigint AS ttl";
/// The shortest statement that claims as safely. It writes for duplicates, too, and waits for locks
/// without end.
const UPSERT: &str = "INSERT INTO upsert AS c (key, state, attempt, owner, fingerprint, lease_until, expires_at)
  VALUES ($1, 1, 1, $2, $3,
    clock_timestamp() + $4 * interval '1 ms', clock_timestamp() + $5 * interval '1 ms')
  ON CONFLICT (key) DO UPDATE SET
    (state, attempt, owner, fingerprint, lease_until, expires_at, status, response, seen) = (
      SELECT
        CASE WHEN w.win THEN 1 ELSE c.state END,
        CASE WHEN w.win THEN c.attempt + 1 ELSE c.attempt END,
        CASE WHEN w.win THEN excluded.owner ELSE c.owner END,
        CASE WHEN w.win THEN excluded.fingerprint ELSE c.fingerprint END,
        CASE WHEN w.win THEN clock_timestamp() + $4 * interval '1 ms' ELSE c.lease_until END,
        CASE WHEN w.win THEN greatest(c.expires_at, clock_timestamp() + $5 * interval '1 ms') ELSE c.expires_at END,
        CASE WHEN w.win THEN NULL ELSE c.status END,
        CASE WHEN w.win THEN NULL ELSE c.response END,
        c.seen + 1
      FROM (
        SELECT c.expires_at <= n.t OR (c.state = 1 AND c.lease_until <= n.t) AS win
        FROM (SELECT clock_timestamp() AS t) n
      ) w)
  RETURNING (owner = $2 AND state = 1), state, attempt, fingerprint, seen, status, response,
    ceil(extract(epoch FROM lease_until - clock_timestamp()) * 1000)::bigint";
const UPSERT_TABLE: &str = "CREATE TABLE upsert (
    key bytea PRIMARY KEY CHECK (octet_length(key) = 32), state smallint NOT NULL CHECK (state IN (1, 2)),
    attempt bigint NOT NULL, owner bytea NOT NULL CHECK (octet_length(owner) = 16),
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    lease_until timestamptz NOT NULL, expires_at timestamptz NOT NULL,
    seen bigint NOT NULL DEFAULT 1, status smallint, response bytea
  ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
  CREATE INDEX upsert_expires ON upsert (expires_at)";
const ROUNDS: usize = 31;
const COUNT: usize = 3200;

pub(crate) fn run() -> bool {
    let mut reached = true;
    for (title, commit) in [
        ("PostgresStore, synchronous_commit on", "on"),
        ("PostgresStore, synchronous_commit off", "off"),
    ] {
        reached &= throughput(title, commit);
    }
    reached
}

fn throughput(title: &'static str, commit: &str) -> bool {
    let runtime = runtime();
    let server = PostgresServer::start();
    let (pool, store, raw, upsert) = runtime.block_on(async {
        let (pool, other_pool) = (pool(&server, commit).await, pool(&server, commit).await);
        let store = store(&pool, "of_store").await;
        // Makes the table.
        self::store(&pool, "of_driver").await;
        execute(&pool, UPSERT_TABLE).await;
        let raw = Raw { pool: other_pool.clone(), sql: claim_of("of_driver") };
        let upsert = Upsert { pool: other_pool, sql: UPSERT.into_sql_str() };
        (pool, store, Arc::new(raw), Arc::new(upsert))
    });
    let measured = Rounds::new(title, "claims/s")
        .case("store", || rate(&runtime, &store, CLIENTS, &requests(COUNT)))
        .case("sqlx", || rate(&runtime, &raw, CLIENTS, &requests(COUNT)))
        .case("sqlx, plain upsert", || rate(&runtime, &upsert, CLIENTS, &requests(COUNT)))
        .run(ROUNDS);
    runtime.block_on(assert_prepared(&pool, &claim_of("of_store")));
    measured.hold(0, 2, Bound::None);
    measured.hold(0, 1, Bound::AtLeast(0.9))
}

/// Makes sure that the driver was given what the store runs.
async fn assert_prepared(pool: &PgPool, sql: &SqlStr) {
    // The store puts a tag before it.
    let known = sqlx::query("SELECT FROM pg_prepared_statements WHERE strpos(statement, $1) > 0")
        .bind(sql.as_str())
        .fetch_all(pool);
    assert!(!known.await.unwrap().is_empty(), "the store runs another statement");
}

/// There is a checkpoint before, after which each page is written whole at its first change: of the
/// big table's index that goes for nearly every claim of all rounds.
pub(crate) fn rows() -> bool {
    let mut reached = true;
    for (title, clients, count) in
        [("PostgresStore, 1 client", 1, 400), ("PostgresStore, 32 clients", CLIENTS, 1600)]
    {
        let runtime = runtime();
        let server = PostgresServer::start();
        let (few, many) = runtime.block_on(async {
            let pool = pool(&server, "on").await;
            let few = filled(&pool, "few", 10_000).await;
            let many = filled(&pool, "many", 1_000_000).await;
            execute(&pool, "CHECKPOINT").await;
            (few, many)
        });
        let measured = Rounds::new(title, "us for a claim")
            .case("10^6 rows", || cost(&runtime, &many, clients, count))
            .case("10^4 rows", || cost(&runtime, &few, clients, count))
            .run(ROUNDS);
        reached &= measured.hold(0, 1, Bound::AtMost(1.5));
    }
    reached
}

/// A table of deliveries that were completed over the last week, to be forgotten a week after.
async fn filled(pool: &PgPool, table: &str, rows: u32) -> Arc<Store<PostgresStore>> {
    let store = store(pool, table).await;
    let fill = format!(
        "INSERT INTO {table} (key, state, attempt, owner, fingerprint, lease_until, expires_at, status)
         SELECT sha256(n::text::bytea), 2, 1, substr(sha256(n::text::bytea), 1, 16), sha256(n::text::bytea),
           clock_timestamp(), clock_timestamp() + n * interval '7 days' / {rows}, 200
         FROM generate_series(1, {rows}) n;
         ANALYZE {table}"
    );
    execute(pool, fill).await;
    store
}

async fn pool(server: &PostgresServer, commit: &str) -> PgPool {
    let connect: PgConnectOptions = server.url().parse().unwrap();
    let clients = CLIENTS.try_into().unwrap();
    PgPoolOptions::new()
        .min_connections(clients)
        .max_connections(clients)
        .test_before_acquire(false)
        .connect_with(connect.options([("synchronous_commit", commit)]))
        .await
        .unwrap()
}

async fn store(pool: &PgPool, table: &str) -> Arc<Store<PostgresStore>> {
    let store = PostgresStore::new(pool.clone()).table(table).unwrap();
    store.migrate().await.unwrap();
    Arc::new(Store(store))
}

async fn execute(pool: &PgPool, sql: impl Into<String>) {
    let sql = AssertSqlSafe(sql.into());
    sqlx::raw_sql(sql).execute(pool).await.unwrap();
}

fn claim_of(table: &str) -> SqlStr {
    let sql = CLAIM.replace("{asked}", ASKED).replace("{table}", &format!("\"{table}\""));
    AssertSqlSafe(sql).into_sql_str()
}

struct Raw {
    pool: PgPool,
    sql: SqlStr,
}

impl Claims for Raw {
    async fn claim(&self, request: &ClaimRequest) {
        let row = sqlx::query(self.sql.clone())
            .bind(&request.key.as_bytes()[..])
            .bind(&request.owner.as_bytes()[..])
            .bind(&request.fingerprint.0[..])
            .bind(millis(LEASE))
            .bind(false)
            .bind(millis(TTL))
            .bind(500_i64)
            .fetch_one(&self.pool)
            .await
            .unwrap();
        assert_eq!(row.get::<&[u8], _>(1), &request.owner.as_bytes()[..]);
    }
}

struct Upsert {
    pool: PgPool,
    sql: SqlStr,
}

impl Claims for Upsert {
    async fn claim(&self, request: &ClaimRequest) {
        let row = sqlx::query(self.sql.clone())
            .bind(&request.key.as_bytes()[..])
            .bind(&request.owner.as_bytes()[..])
            .bind(&request.fingerprint.0[..])
            .bind(millis(LEASE))
            .bind(millis(TTL))
            .fetch_one(&self.pool)
            .await
            .unwrap();
        assert!(row.get::<bool, _>(0));
    }
}
