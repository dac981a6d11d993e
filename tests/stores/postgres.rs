//! Claims in a PostgreSQL server: one that these tests share, and one of their own for those that stop it.

#[path = "postgres/faults.rs"]
mod faults;
#[path = "postgres/set_up.rs"]
mod set_up;
#[path = "postgres/transactions.rs"]
mod transactions;

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use integration_tests::PostgresServer;
use sqlx::{
    AssertSqlSafe, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::sleep;
use webhook_verify::{
    ClaimStore, PostgresStore,
    idempotency::{ClaimRequest, Settled},
    testing::conformance::Suite,
};

use super::sql::{races, *};

/// A pool of a test's own, as a pool must not outlive its runtime.
async fn pool(server: &PostgresServer, most: u32) -> PgPool {
    pool_with(server, most, &[]).await
}

async fn pool_with(server: &PostgresServer, most: u32, options: &[(&str, &str)]) -> PgPool {
    let connect: PgConnectOptions = server.url().parse().unwrap();
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(10_000 * MS)
        .connect_with(connect.options(options.iter().copied()))
        .await
        .unwrap()
}

fn new_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("claims_{}", COUNT.fetch_add(1, Relaxed))
}

/// A store with a table of its own, and the table's name.
async fn store(pool: PgPool) -> (PostgresStore, String) {
    let name = new_name();
    let store = PostgresStore::new(pool).table(&name).unwrap();
    store.migrate().await.unwrap();
    (store, name)
}

async fn shared_store() -> PostgresStore {
    store(pool(PostgresServer::shared(), 16).await).await.0
}

async fn execute(pool: &PgPool, sql: impl Into<String>) -> u64 {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(pool).await;
    done.unwrap().rows_affected()
}

#[tokio::test]
async fn conformance() {
    let store = shared_store().await;
    Suite::new(&store).run(sleep).await.unwrap();
}

#[tokio::test]
async fn conformance_on_serializable_connections() {
    let options = [("default_transaction_isolation", "serializable")];
    let pool = pool_with(PostgresServer::shared(), 16, &options).await;
    let store = store(pool).await.0;
    Suite::new(&store).run(sleep).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_winner_for_each_attempt() {
    let store = store(pool(PostgresServer::shared(), 64).await).await.0;
    races::one_winner_for_each_attempt(&vec![store; 64], 15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_winner_on_stricter_connections() {
    for isolation in ["serializable", "repeatable read"] {
        let options = [("default_transaction_isolation", isolation)];
        let pool = pool_with(PostgresServer::shared(), 32, &options).await;
        let shown: String = sqlx::query_scalar("SHOW transaction_isolation")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(shown, isolation);
        let store = store(pool).await.0;
        races::one_winner_for_each_attempt(&vec![store; 32], 3).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leases_that_lapse_during_the_race() {
    let store = shared_store().await;
    races::leases_that_lapse_during_the_race(&vec![store; 16], 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_late_complete_against_takeovers() {
    let store = shared_store().await;
    races::a_late_complete_against_takeovers(&vec![store; 8]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_from_two_sides() {
    let store = shared_store().await;
    races::batches_from_two_sides(&store, &store.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn settling_from_two_sides() {
    let store = shared_store().await;
    races::settling_from_two_sides(&store, &store.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn completing_from_two_sides() {
    let store = shared_store().await;
    races::completing_from_two_sides(&store, &store.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn purge_under_load() {
    races::purge_under_load(&shared_store().await, 4500).await;
}

/// A duplicate, and a delivery in flight, leave the record's row as it is; so does completing again.
#[tokio::test]
async fn duplicates_write_nothing() {
    let pool = pool(PostgresServer::shared(), 2).await;
    let (store, name) = store(pool.clone()).await;
    let (held, done) = (request(1), request(2));
    assert_eq!(store.claim(&held).await.unwrap(), won(1));
    assert_eq!(store.claim(&done).await.unwrap(), won(1));
    let complete = async || {
        let completed = store.complete(&done.holder(), 200, HOUR).await;
        assert_eq!(completed.unwrap(), Settled::Applied);
        let completed = store.complete_all(&[done.holder()], 201, HOUR).await;
        assert_eq!(completed.unwrap(), [Settled::Applied]);
    };
    complete().await;
    let rows = async || -> Vec<String> {
        let sql = format!("SELECT xmin::text || xmax::text || ctid::text FROM {name} ORDER BY key");
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(&pool)
            .await
            .unwrap()
    };
    let before = rows().await;
    for _ in 0..5 {
        assert!(is_busy(store.claim(&again(&held)).await.unwrap()));
        assert!(is_completed(store.claim(&again(&done)).await.unwrap()));
        let both = store
            .claim_all(&[again(&done), again(&held)])
            .await
            .unwrap();
        assert!(is_completed(both[0]) && is_busy(both[1]));
        complete().await;
    }
    assert_eq!(rows().await, before);
}

/// Many keys in one call and one transaction, and the same key claimed twice in one is refused as a whole.
#[tokio::test]
async fn large_batches() {
    let pool = pool(PostgresServer::shared(), 2).await;
    let (store, name) = store(pool.clone()).await;
    let transactions = async || -> i64 {
        let sql = format!("SELECT count(DISTINCT xmin::text) FROM {name}");
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    let requests: Vec<_> = (0..2000).map(request).collect();
    let outcomes = store.claim_all(&requests).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == won(1)));
    assert_eq!(transactions().await, 1);
    let others: Vec<_> = requests.iter().map(again).collect();
    let outcomes = store.claim_all(&others).await.unwrap();
    assert!(outcomes.into_iter().all(is_busy));
    let holders: Vec<_> = requests.iter().map(ClaimRequest::holder).collect();
    for settled in [
        store.extend_all(&holders, HOUR).await.unwrap(),
        store.release_all(&holders).await.unwrap(),
        store.complete_all(&holders, 200, HOUR).await.unwrap(),
        store.complete_all(&holders, 201, HOUR).await.unwrap(),
    ] {
        assert_eq!(settled, vec![Settled::Applied; 2000]);
        assert_eq!(transactions().await, 1);
    }
    let twice = [request(5000), again(&request(5000))];
    fails(store.claim_all(&twice)).await;
    assert_eq!(store.claim(&request(5000)).await.unwrap(), won(1));
}

/// As long as a receiver waits, keys are claimed by the ten thousand: absent, released, lapsed, expired, completed and
/// expired since, and once more while they are held. A busy machine has three tries.
#[tokio::test]
async fn ten_thousand_keys_in_time() {
    let pool = pool(PostgresServer::shared(), 2).await;
    let (store, name) = store(pool.clone()).await;
    let mut shortest = [Duration::MAX; 6];
    for _ in 0..3 {
        execute(&pool, format!("TRUNCATE {name}")).await;
        let mut requests: Vec<_> = (0..10_000).map(request).collect();
        for (stage, shortest) in shortest.iter_mut().enumerate() {
            let change = match stage {
                1 => "lease_until = 'epoch'",
                2 => "lease_until = now() - interval '1 ms'",
                3 => "expires_at = now() - interval '1 ms'",
                4 => "expires_at = now() - interval '1 ms', state = 2, status = 200",
                _ => "status = NULL",
            };
            execute(&pool, format!("UPDATE {name} SET {change}")).await;
            requests = requests.iter().map(again).collect();
            let begun = Instant::now();
            let outcomes = store.claim_all(&requests).await.unwrap();
            *shortest = begun.elapsed().min(*shortest);
            for outcome in outcomes {
                match stage {
                    5 => assert!(is_busy(outcome)),
                    _ => assert_eq!(outcome, won(stage as u64 + 1)),
                }
            }
        }
    }
    let limit = Duration::from_secs(1);
    assert!(shortest.iter().all(|time| *time < limit), "{shortest:?}");
}

/// The background purge works, and ends with the store.
#[tokio::test]
async fn purge_every() {
    let (store, name) = store(pool(PostgresServer::shared(), 2).await).await;
    let pool = pool(PostgresServer::shared(), 1).await;
    let count = async || -> i64 {
        let sql = format!("SELECT count(*) FROM {name}");
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    let mut claim = request(1);
    // Longer than a busy machine takes to tell of it.
    (claim.lease, claim.ttl) = (200 * MS, 200 * MS);
    assert_eq!(store.claim(&claim).await.unwrap(), won(1));
    store.purge_every(1000 * MS);
    for _ in 0..200 {
        if count().await == 0 {
            break;
        }
        sleep(20 * MS).await;
    }
    assert_eq!(count().await, 0);
    assert_eq!(store.claim(&claim).await.unwrap(), won(1));
    drop(store);
    sleep(2500 * MS).await;
    assert_eq!(count().await, 1);
}
