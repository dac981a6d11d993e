//! Claims in a PostgreSQL server: a shared one, or one of their own for tests that stop it.

mod faults;
mod set_up;
mod transactions;

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use integration_tests::{PATIENCE, PostgresServer, Proxy, Weather, size};
use sqlx::{
    AssertSqlSafe, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::sleep;
use webhook_verify::{
    PostgresStore,
    idempotency::{ClaimRequest, ClaimStore, Settled},
    testing::conformance::Suite,
};

use crate::{common::*, races};

/// Returns a pool for one test, because a pool must not outlive its runtime. It waits for a
/// connection for longer than any machine takes.
async fn pool(server: &PostgresServer, most: u32) -> PgPool {
    pool_with(server, most, &[]).await
}

async fn pool_with(server: &PostgresServer, most: u32, options: &[(&str, &str)]) -> PgPool {
    let connect: PgConnectOptions = server.url().parse().unwrap();
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(PATIENCE)
        .connect_with(connect.options(options.iter().copied()))
        .await
        .unwrap()
}

fn new_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("claims_{}", COUNT.fetch_add(1, Relaxed))
}

/// Returns a store with its own table, and the name of the table.
async fn store(pool: PgPool) -> (PostgresStore, String) {
    let name = new_name();
    let store = PostgresStore::new(pool).table(&name).unwrap();
    store.migrate().await.unwrap();
    (store, name)
}

/// As [`store`], but waits for a locked record for longer than any machine takes.
async fn patient_store(pool: PgPool) -> (PostgresStore, String) {
    let (store, name) = store(pool).await;
    (store.lock_timeout(PATIENCE), name)
}

async fn shared_store() -> (PostgresStore, String) {
    patient_store(pool(PostgresServer::shared(), 16).await).await
}

/// As [`Place::age`](integration_tests::Place::age), for a table in the shared server.
async fn age(table: &str, by: Duration) {
    let ms = by.as_millis() as i64;
    integration_tests::age(&PostgresServer::shared().url(), table, ms).await;
}

/// Waits until this many statements on a table wait for a lock.
async fn until_waiting(pool: &PgPool, table: &str, count: i64) {
    let waiting = async {
        loop {
            let waiting = sqlx::query_scalar::<_, i64>(
                r#"SELECT count(*) FROM pg_stat_activity
                 WHERE wait_event_type = 'Lock' AND query LIKE '%"' || $1 || '"%'"#,
            );
            if waiting.bind(table).fetch_one(pool).await.unwrap() >= count {
                return;
            }
            sleep(5 * MS).await;
        }
    };
    soon("statement that waits for a lock", waiting).await;
}

async fn execute(pool: &PgPool, sql: impl Into<String>) -> u64 {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(pool).await;
    done.unwrap().rows_affected()
}

#[tokio::test]
async fn conformance() {
    let (store, name) = shared_store().await;
    let suite = Suite::new(&store).keeps_responses().tick(Duration::from_secs(60));
    suite.run(async |by| age(&name, by).await).await.unwrap();
}

#[tokio::test]
async fn conformance_on_serializable_connections() {
    let options = [("default_transaction_isolation", "serializable")];
    let pool = pool_with(PostgresServer::shared(), 16, &options).await;
    let (store, name) = patient_store(pool).await;
    let suite = Suite::new(&store).keeps_responses().tick(Duration::from_secs(60));
    suite.run(async |by| age(&name, by).await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_winner_on_stricter_connections() {
    for isolation in ["serializable", "repeatable read"] {
        let options = [("default_transaction_isolation", isolation)];
        let pool = pool_with(PostgresServer::shared(), 32, &options).await;
        let shown: String =
            sqlx::query_scalar("SHOW transaction_isolation").fetch_one(&pool).await.unwrap();
        assert_eq!(shown, isolation);
        let (store, name) = patient_store(pool).await;
        let age = async |by| age(&name, by).await;
        races::one_winner(&vec![store; 32], age, 0..3).await;
    }
}

/// Duplicates, and claims of deliveries in progress, do not change the row. Neither does a second
/// completion.
#[tokio::test]
async fn duplicates_write_nothing() {
    let pool = pool(PostgresServer::shared(), 2).await;
    let (store, name) = store(pool.clone()).await;
    let (held, done) = (request(1), request(2));
    assert_eq!(store.claim_one(&held).await.unwrap(), won(1));
    assert_eq!(store.claim_one(&done).await.unwrap(), won(1));
    let complete = async || {
        let completed = store.complete(&done.holder(), 200, HOUR).await;
        assert_eq!(completed.unwrap(), Settled::Applied);
        let completed = store.complete_all(&[done.holder()], 201, HOUR).await;
        assert_eq!(completed.unwrap(), [Settled::Applied]);
    };
    complete().await;
    let rows = async || -> Vec<String> {
        let sql = format!("SELECT xmin::text || xmax::text || ctid::text FROM {name} ORDER BY key");
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&pool).await.unwrap()
    };
    let before = rows().await;
    for _ in 0..5 {
        assert!(is_busy(store.claim_one(&again(&held)).await.unwrap()));
        assert!(is_completed(store.claim_one(&again(&done)).await.unwrap()));
        let both = store.claim(&[again(&done), again(&held)]).await.unwrap();
        assert!(is_completed(both[0]) && is_busy(both[1]));
        complete().await;
    }
    assert_eq!(rows().await, before);
}

/// One call is one transaction. A call with the same key twice is an error.
#[tokio::test]
async fn large_batches() {
    let pool = pool(PostgresServer::shared(), 2).await;
    let (store, name) = store(pool.clone()).await;
    let transactions = async || -> i64 {
        let sql = format!("SELECT count(DISTINCT xmin::text) FROM {name}");
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap()
    };
    let requests: Vec<_> = (0..2000).map(request).collect();
    let outcomes = store.claim(&requests).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == won(1)));
    assert_eq!(transactions().await, 1);
    let others: Vec<_> = requests.iter().map(again).collect();
    let outcomes = store.claim(&others).await.unwrap();
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
    fails(store.claim(&twice)).await;
    assert_eq!(store.claim_one(&request(5000)).await.unwrap(), won(1));
}

/// The cost of a key does not depend on the number of keys in a call: ten thousand in one call cost
/// the server about as much processor time as in eight calls. The keys are absent, released, with
/// an expired lease, expired, completed and expired, and held.
#[tokio::test]
async fn many_keys_cost_as_much_as_in_eight_calls() {
    let keys: usize = size(4_000, 10_000);
    let one = pool(PostgresServer::shared(), 1).await;
    let (store, name) = store(one.clone()).await;
    let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&one).await.unwrap();
    // In nanoseconds. The time of other processes does not count.
    let cost = || -> u64 {
        let spent = std::fs::read_to_string(format!("/proc/{backend}/schedstat")).unwrap();
        spent.split(' ').next().unwrap().parse().unwrap()
    };
    let mut costs = [[0; 6]; 2];
    for (calls, costs) in [8, 1].into_iter().zip(&mut costs) {
        execute(&one, format!("TRUNCATE {name}")).await;
        let mut requests: Vec<_> = (0..keys as u32).map(request).collect();
        for (stage, spent) in costs.iter_mut().enumerate() {
            let change = match stage {
                1 => "lease_until = 'epoch'",
                2 => "lease_until = now() - interval '1 ms'",
                3 => "expires_at = now() - interval '1 ms'",
                4 => "expires_at = now() - interval '1 ms', state = 2, status = 200",
                _ => "status = NULL",
            };
            execute(&one, format!("UPDATE {name} SET {change}")).await;
            requests = requests.iter().map(again).collect();
            let before = cost();
            for requests in requests.chunks(keys / calls) {
                for outcome in store.claim(requests).await.unwrap() {
                    match stage {
                        5 => assert!(is_busy(outcome)),
                        _ => assert_eq!(outcome, won(stage as u64 + 1)),
                    }
                }
            }
            *spent = cost() - before;
        }
    }
    let [eight, one] = costs;
    eprintln!("in eight calls {eight:?} ns, in one {one:?} ns");
    for (eight, one) in eight.into_iter().zip(one) {
        // If each key were compared with each, it would be eight times as much.
        assert!(one < 3 * eight + 50_000_000, "{one} ns, and {eight} ns in eight calls");
    }
}

/// The background purge works, and ends with the store.
#[tokio::test]
async fn purge_every() {
    let (store, name) = store(pool(PostgresServer::shared(), 2).await).await;
    let pool = pool(PostgresServer::shared(), 1).await;
    let count = async || -> i64 {
        let sql = format!("SELECT count(*) FROM {name}");
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap()
    };
    // Lets the pause of the purge end, and then waits for some statements.
    let pass = async || {
        tokio::time::pause();
        tokio::time::advance(2000 * MS).await;
        tokio::time::resume();
        let mut left = count().await;
        for _ in 0..10 {
            left = count().await;
        }
        left
    };
    let claim = request(1);
    assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
    store.purge_every(1000 * MS);
    pass().await;
    assert_eq!(count().await, 1, "what lives stays");
    age(&name, HOUR).await;
    soon("purged record", async { while pass().await > 0 {} }).await;
    assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
    drop(store);
    age(&name, HOUR).await;
    for _ in 0..5 {
        pass().await;
    }
    assert_eq!(count().await, 1);
}

/// A completion soon after the claim changes no index, so PostgreSQL writes only the row (a HOT
/// update). If the claim was long ago, the record lives for a whole `ttl` after the completion.
#[tokio::test]
async fn completions_change_no_index() {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
    let pool = pool(PostgresServer::shared(), 1).await;
    let (store, name) = store(pool.clone()).await;
    let requests = |from: u32| -> Vec<_> {
        // Few enough for one page, so that there is always room for another version of each.
        let mut requests: Vec<_> = (from..from + 4).map(request).collect();
        requests.iter_mut().for_each(|request| request.ttl = WEEK);
        requests
    };
    let [one, many, late] = [requests(0), requests(100), requests(200)];
    for claims in [&one, &many] {
        store.claim(claims).await.unwrap();
    }
    // The handlers take almost an hour, so each completion changes the index of expiry times.
    age(&name, HOUR - Duration::from_secs(60)).await;
    for claim in &one {
        let completed = store.complete(&claim.holder(), 200, WEEK).await.unwrap();
        assert_eq!(completed, Settled::Applied);
    }
    let holders: Vec<_> = many.iter().map(ClaimRequest::holder).collect();
    let completed = store.complete_all(&holders, 200, WEEK).await.unwrap();
    assert_eq!(completed, [Settled::Applied; 4]);
    // The server counts with a delay.
    let counted = async {
        loop {
            let sql = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1";
            let counts = sqlx::query_as::<_, (i64, i64)>(sql).bind(&name);
            let (all, hot) = counts.fetch_one(&pool).await.unwrap();
            if all == 16 {
                return hot;
            }
            sleep(20 * MS).await;
        }
    };
    assert_eq!(soon("counts of the server", counted).await, 8);

    store.claim(&late).await.unwrap();
    age(&name, HOUR + Duration::from_secs(60)).await;
    let completed = store.complete(&late[0].holder(), 200, WEEK).await.unwrap();
    assert_eq!(completed, Settled::Applied);
    age(&name, WEEK - Duration::from_secs(60)).await;
    assert!(is_completed(store.claim_one(&again(&late[0])).await.unwrap()));
    assert_eq!(store.claim_one(&again(&late[1])).await.unwrap(), won(2));
}
