//! More claims than a store can serve: the store refuses at once the claims that it could not
//! answer in time, and serves claims again as soon as the cause is gone.

use std::time::Duration;

use futures_util::{FutureExt as _, future::join_all};
use integration_tests::{Kind, Place, PostgresServer, fresh, unique};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection, postgres::PgPoolOptions};
use tokio::{task::JoinSet, time::sleep};
use webhook_verify::{
    PostgresStore, RedisStore, SqliteStore,
    idempotency::{ClaimRequest, ClaimStore, StoreError},
};

use crate::common::*;

/// How long a claim may take.
const LIMIT: Duration = Duration::from_secs(1);
/// How many claims are made at once.
const CROWD: usize = 1000;

fn claims(count: usize, limit: Duration) -> Vec<ClaimRequest> {
    let claims = (0..count).map(|_| fresh(HOUR, HOUR).within(limit));
    claims.collect()
}

/// Makes many claims on a store that is stalled and serves `slots` of them at a time.
async fn stands_still(store: &impl ClaimStore, slots: usize, go_on: impl AsyncFnOnce()) {
    // From these calls the store learns how long calls take.
    let first = claims(slots, LIMIT);
    let first = join_all(first.iter().map(|claim| store.claim_one(claim))).await;
    assert!(first.iter().all(Result::is_err), "the store stands still");

    let crowd = claims(CROWD, LIMIT);
    let calls = crowd.iter().map(|claim| Box::pin(store.claim_one(claim)));
    let mut calls: Vec<_> = calls.collect();
    // Poll each call once: a claim refused now is refused without waiting.
    let at_once: Vec<_> = calls.iter_mut().filter_map(|call| call.now_or_never()).collect();
    for outcome in &at_once {
        let refused = outcome.as_ref().is_err_and(StoreError::is_overloaded);
        assert!(refused, "{outcome:?}");
    }
    // The slots, and a queue that can be served within half a second, take far less than half of
    // the claims.
    assert!(at_once.len() >= CROWD / 2, "{} of {CROWD} were refused at once", at_once.len());
    drop(calls);

    go_on().await;
    for claim in crowd.iter().take(300) {
        let mut tries = 0..1000;
        let outcome = loop {
            tries.next().expect("the store serves claims again within 1,000 tries");
            match store.claim_one(claim).await {
                Ok(outcome) => break outcome,
                Err(_) => sleep(Duration::from_millis(5)).await,
            }
        };
        assert_eq!(outcome, won(1));
    }
}

/// Returns a store with a table of its own, on a pool of two connections.
async fn postgres() -> (PostgresStore, String, sqlx::PgPool) {
    let url = tokio::task::spawn_blocking(|| PostgresServer::shared().url()).await.unwrap();
    let pool = PgPoolOptions::new().max_connections(2).connect(&url).await.unwrap();
    let name = unique("overload").replace('-', "_");
    let store = PostgresStore::new(pool).table(&name).unwrap();
    store.migrate().await.unwrap();
    let admin = PgPoolOptions::new().max_connections(2).connect(&url).await;
    (store.lock_timeout(HOUR), name, admin.unwrap())
}

fn lock(name: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!("LOCK TABLE {name}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_refuses_what_it_cannot_serve() {
    let (store, name, admin) = postgres().await;
    let mut open = admin.begin().await.unwrap();
    sqlx::query(lock(&name)).execute(&mut *open).await.unwrap();
    stands_still(&store, 2, async || open.rollback().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_refuses_what_it_cannot_serve() {
    let place = tokio::task::spawn_blocking(|| Place::new(Kind::Redis)).await.unwrap();
    let server = place.redis.as_ref().unwrap();
    let store = RedisStore::connect(&place.url).await.unwrap();
    server.pause();
    stands_still(&store, 256, async || server.resume()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_refuses_what_it_cannot_serve() {
    let place = Place::new(Kind::Sqlite);
    let store = SqliteStore::connect(&place.url).await.unwrap();
    let mut other = SqliteConnection::connect(&place.url).await.unwrap();
    let open = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    stands_still(&store, 128, async || open.rollback().await.unwrap()).await;
}

/// Callers give up while their statements wait for a lock. No connection is closed because of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_connections_of_callers_who_give_up() {
    let (store, name, admin) = postgres().await;
    let before = backends(&store, &name, &admin).await;
    let mut open = admin.begin().await.unwrap();
    sqlx::query(lock(&name)).execute(&mut *open).await.unwrap();
    let mut calls = JoinSet::new();
    for claim in claims(10, HOUR) {
        let store = store.clone();
        calls.spawn(async move { store.claim_one(&claim).await });
    }
    soon("both statements to wait for the lock", async {
        while waiting(&name, &admin).await < 2 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    calls.shutdown().await;
    open.rollback().await.unwrap();
    assert_eq!(backends(&store, &name, &admin).await, before);
}

/// Opens both connections of the store, and returns their processes on the server: those whose
/// latest statement names the table.
async fn backends(store: &PostgresStore, name: &str, admin: &sqlx::PgPool) -> Vec<i32> {
    let mut tries = 0..1000;
    loop {
        tries.next().expect("two calls at once open two connections");
        // A longer limit than that of the other claims would delay the cancellation of statements.
        let [one, two] =
            [fresh(HOUR, HOUR), fresh(HOUR, HOUR)].map(|claim| claim.within(LIMIT / 5));
        let _ = tokio::join!(store.claim_one(&one), store.claim_one(&two));
        let sql = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%' || $1 || '%'
            AND pid <> pg_backend_pid() ORDER BY pid";
        let pids = sqlx::query_scalar::<_, i32>(sql).bind(name);
        let pids = pids.fetch_all(admin).await.unwrap();
        if pids.len() == 2 {
            return pids;
        }
    }
}

/// Returns how many statements of the store wait for a lock.
async fn waiting(name: &str, admin: &sqlx::PgPool) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity
        WHERE query LIKE '%' || $1 || '%' AND wait_event_type = 'Lock'";
    let waiting = sqlx::query_scalar(sql).bind(name);
    waiting.fetch_one(admin).await.unwrap()
}

/// A table stays locked, and the user's pool sets no `statement_timeout`. The store cancels its
/// statements on the server. Otherwise they would occupy all of the store's connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_cancels_what_no_caller_waits_for() {
    let (store, name, admin) = postgres().await;
    // The store closes a connection if the server does not respond on it for half a second. That
    // may happen on a slow machine, but not each time.
    let mut rounds = 0..100;
    loop {
        rounds.next().expect("the connections survive one of 100 rounds");
        let before = backends(&store, &name, &admin).await;
        let mut open = admin.begin().await.unwrap();
        sqlx::query(lock(&name)).execute(&mut *open).await.unwrap();
        soon("the server to run nothing for the store", async {
            loop {
                let claims = claims(2, LIMIT / 5);
                let calls = join_all(claims.iter().map(|claim| store.claim_one(claim))).await;
                assert!(calls.iter().all(Result::is_err), "the table is locked");
                for _ in 0..50 {
                    if waiting(&name, &admin).await == 0 {
                        return;
                    }
                    sleep(Duration::from_millis(10)).await;
                }
            }
        })
        .await;
        open.rollback().await.unwrap();
        if backends(&store, &name, &admin).await == before {
            return;
        }
    }
}

/// If a caller gives up early, the store does not cancel the statement of one who still waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_cancels_nothing_that_a_caller_waits_for() {
    let (store, name, admin) = postgres().await;
    let mut open = admin.begin().await.unwrap();
    sqlx::query(lock(&name)).execute(&mut *open).await.unwrap();
    let patient = tokio::spawn({
        let store = store.clone();
        async move { store.claim_one(&fresh(HOUR, HOUR).within(HOUR)).await }
    });
    soon("the patient claim to wait for the lock", async {
        while waiting(&name, &admin).await < 1 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let impatient = fresh(HOUR, HOUR).within(Duration::from_millis(100));
    store.claim_one(&impatient).await.unwrap_err();
    // A store that cancels it by mistake has done so by now, unless the machine is slow.
    sleep(Duration::from_millis(300)).await;
    assert!(!patient.is_finished());
    open.rollback().await.unwrap();
    assert_eq!(patient.await.unwrap().unwrap(), won(1));
}
