//! Servers that are down, die, freeze, refuse to write, and connections that end.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use futures_util::future::{Either, select};
use tokio::{task::JoinSet, time::timeout};
use webhook_verify::idempotency::{ClaimOutcome, StoredResponse};

use super::*;

async fn own_server() -> (PostgresServer, PostgresStore) {
    let server = PostgresServer::until_started().await;
    let store = PostgresStore::new(pool(&server, 10).await);
    store.migrate().await.unwrap();
    (server, store)
}

/// Opens several connections, which then can end.
async fn warm_up(store: &PostgresStore) {
    let claims: Vec<_> = (5_000..5_008).map(request).collect();
    let calls = claims.iter().map(|claim| store.claim_one(claim));
    let opened = futures_util::future::join_all(calls).await;
    assert!(opened.iter().any(Result::is_ok), "{opened:?}");
}

/// C1: the server is down at the start and while the store runs, and comes back with all records.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_stopped_and_started_again() {
    let (mut server, store) = own_server().await;
    let [held, done, late] = [1, 2, 4].map(request);
    assert_eq!(store.claim_one(&held).await.unwrap(), won(1));
    assert_eq!(store.claim_one(&late).await.unwrap(), won(1));
    assert_eq!(store.claim_one(&done).await.unwrap(), won(1));
    let completed = store.complete(&done.holder(), 200, HOUR).await.unwrap();
    assert_eq!(completed, Settled::Applied);
    warm_up(&store).await;

    // The server restarts between two calls, so no call notices that all connections have ended.
    server.restart();
    let calls = (100..108).map(request).collect::<Vec<_>>();
    let calls = calls.iter().map(|claim| store.claim_one(claim));
    for outcome in futures_util::future::join_all(calls).await {
        assert_eq!(outcome.unwrap(), won(1));
    }

    let brief = PostgresStore::connect(&server.url()).await.unwrap();
    server.stop();
    fails(brief.claim_one(&request(3).within(100 * MS))).await;
    // The store may still complete this one once the server is back, although its caller has given
    // up.
    let holder = late.within(100 * MS).holder();
    fails(brief.complete(&holder, 200, HOUR)).await;
    fails(PostgresStore::connect(&server.url())).await;
    let lazy = PostgresStore::new(PgPool::connect_lazy(&server.url()).unwrap());

    server.restart();
    comes_back(&store).await;
    comes_back(&brief).await;
    comes_back(&lazy).await;
    assert!(is_busy(store.claim_one(&again(&held)).await.unwrap()));
    assert!(is_completed(store.claim_one(&again(&done)).await.unwrap()));
    let completed = store.complete(&held.holder(), 200, HOUR).await.unwrap();
    assert_eq!(completed, Settled::Applied);
}

/// C9: everything that was acknowledged before the server was killed is there afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_acknowledged_is_missing_after_a_crash() {
    let (mut server, _) = own_server().await;
    // This store does not wait for long for a server that is down.
    let store = PostgresStore::connect(&server.url()).await.unwrap();
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let killed = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let (store, acknowledged) = (store.clone(), Arc::clone(&acknowledged));
        let killed = Arc::clone(&killed);
        tasks.spawn(async move {
            for number in 0..100_000 {
                if killed.load(SeqCst) {
                    return;
                }
                // On a busy machine a call may fail without a kill.
                let claim = request(task * 100_000 + number).within(Duration::from_secs(1));
                if store.claim_one(&claim).await.is_err() {
                    continue;
                }
                let complete = number % 2 == 0;
                if complete && store.complete(&claim.holder(), 200, HOUR).await.is_err() {
                    continue;
                }
                acknowledged.lock().unwrap().push((claim, complete));
            }
        });
    }
    let enough = async {
        while acknowledged.lock().unwrap().len() <= 200 {
            sleep(MS).await;
        }
    };
    soon("200 acknowledged claims", enough).await;
    server.kill();
    killed.store(true, SeqCst);
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    server.restart();
    comes_back(&store).await;
    let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    let others: Vec<_> = acknowledged.iter().map(|(claim, _)| again(claim)).collect();
    let outcomes = answered(|| store.claim(&others)).await;
    for ((_, complete), outcome) in acknowledged.into_iter().zip(outcomes) {
        match complete {
            true => assert!(is_completed(outcome), "{outcome:?}"),
            false => assert!(is_busy(outcome), "{outcome:?}"),
        }
    }
}

/// C2: hundreds of callers give up calls to a frozen server. The store works again when the server
/// does.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_freezes() {
    let (server, _) = own_server().await;
    let store = PostgresStore::connect(&server.url()).await.unwrap();
    warm_up(&store).await;
    server.pause();
    let mut tasks = JoinSet::new();
    for number in 0..200 {
        let store = store.clone();
        tasks.spawn(async move {
            let claim = request(number).within(300 * MS);
            timeout(500 * MS, store.claim_one(&claim)).await.is_ok_and(|claim| claim.is_ok())
        });
    }
    while let Some(task) = tasks.join_next().await {
        assert!(!task.unwrap());
    }
    fails(store.claim_one(&request(300).within(300 * MS))).await;
    server.resume();
    comes_back(&store).await;
}

/// The store gives up a call while the call's transaction begins. The connection returns to the
/// user's pool without an open transaction, so the user's next writes are committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_given_up() {
    let (server, _) = own_server().await;
    let (admin, other) = (pool(&server, 1).await, pool(&server, 1).await);
    execute(&admin, "CREATE TABLE payment (number int)").await;
    let options =
        [("default_transaction_isolation", "serializable"), ("application_name", "users")];
    let connect: PgConnectOptions = server.url().parse().unwrap();
    let users = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(PATIENCE)
        // Otherwise a ping would wait in place of the transaction.
        .test_before_acquire(false)
        .connect_with(connect.options(options))
        .await
        .unwrap();
    let store = PostgresStore::new(users.clone());
    store.migrate().await.unwrap();
    // The longest limit so far decides how long statements may take.
    let claim = request(1000).within(500 * MS);
    store.claim_one(&claim).await.unwrap();
    // Once a claim has failed because of another change, the store sets the isolation level of each
    // call, and to store a response it begins a transaction.
    let fails_once = async {
        loop {
            integration_tests::age(&server.url(), "webhook_claim", HOUR.as_millis() as i64).await;
            let mut change = other.begin().await.unwrap();
            let touch = sqlx::query("UPDATE webhook_claim SET attempt = attempt");
            touch.execute(&mut *change).await.unwrap();
            let claim = again(&claim).within(500 * MS);
            let claiming = pin!(store.claim_one(&claim));
            let waiting = pin!(until_waiting(&admin, "webhook_claim", 1));
            if let Either::Right(((), claiming)) = select(claiming, waiting).await {
                change.commit().await.unwrap();
                let _ = claiming.await;
            }
            let set = "SELECT count(*) FROM pg_stat_activity
                WHERE query LIKE 'SET TRANSACTION%' AND application_name = 'users'";
            let set: i64 = sqlx::query_scalar(set).fetch_one(&admin).await.unwrap();
            if set > 0 {
                return;
            }
        }
    };
    soon("claim that fails because of another change", fails_once).await;
    let response = StoredResponse::new("text/xml", b"<Response/>").unwrap();
    for round in 0..3 {
        let claims = [2 * round, 2 * round + 1].map(|number| request(number).within(500 * MS));
        for claim in &claims {
            answered(|| store.claim_one(claim)).await;
        }
        server.pause();
        let holders = claims.map(|claim| claim.holder());
        let calls = holders.each_ref().map(|by| store.complete_with(by, 200, HOUR, &response));
        for given_up in futures_util::future::join_all(calls).await {
            given_up.unwrap_err();
        }
        server.resume();
        for _ in 0..10 {
            execute(&users, "INSERT INTO payment VALUES (1)").await;
        }
        let written = "SELECT count(*) FROM payment";
        let written: i64 = sqlx::query_scalar(written).fetch_one(&admin).await.unwrap();
        assert_eq!(written, 10 * (i64::from(round) + 1));
    }
}

/// C6: connections that an administrator terminates are replaced, and no call fails.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_terminated() {
    let (server, store) = own_server().await;
    let admin = pool(&server, 1).await;
    for round in 0..5 {
        warm_up(&store).await;
        execute(&admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'").await;
        let claims: Vec<_> = (0..8).map(|number| request(round * 8 + number)).collect();
        let calls = claims.iter().map(|claim| store.claim_one(claim));
        for outcome in futures_util::future::join_all(calls).await {
            assert_eq!(outcome.unwrap(), won(1));
        }
    }
}

/// C6: while the server is read-only, claims fail.
#[tokio::test]
async fn a_server_that_is_read_only() {
    let (server, _) = own_server().await;
    let admin = pool(&server, 1).await;
    let store = PostgresStore::new(pool(&server, 1).await);
    let done = request(1);
    assert_eq!(store.claim_one(&done).await.unwrap(), won(1));
    let completed = store.complete(&done.holder(), 200, HOUR).await.unwrap();
    assert_eq!(completed, Settled::Applied);
    execute(&admin, "ALTER SYSTEM SET default_transaction_read_only = on").await;
    execute(&admin, "SELECT pg_reload_conf()").await;
    let refused = async {
        for number in 1000.. {
            if let Err(error) = store.claim_one(&request(number)).await {
                return fails(async { Err::<(), _>(error) }).await;
            }
        }
        unreachable!()
    };
    let refused = soon("refused claim", refused).await;
    assert!(refused.contains("read-only"), "{refused}");
    fails(store.migrate_missing()).await;
    execute(&admin, "SET default_transaction_read_only = off").await;
    execute(&admin, "ALTER SYSTEM RESET default_transaction_read_only").await;
    execute(&admin, "SELECT pg_reload_conf()").await;
    comes_back(&store).await;
    assert!(is_completed(store.claim_one(&again(&done)).await.unwrap()));
}

trait MigrateMissing {
    fn migrate_missing(
        &self,
    ) -> impl Future<Output = Result<(), webhook_verify::idempotency::StoreError>>;
}

impl MigrateMissing for PostgresStore {
    /// Creates a table that is not there.
    async fn migrate_missing(&self) -> Result<(), webhook_verify::idempotency::StoreError> {
        self.clone().table(&new_name()).unwrap().migrate().await
    }
}

/// The table is dropped and created again while the store is in use.
#[tokio::test]
async fn a_table_that_is_dropped() {
    let pool = pool(PostgresServer::shared(), 4).await;
    let (store, name) = store(pool.clone()).await;
    assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));
    execute(&pool, format!("DROP TABLE {name}")).await;
    for _ in 0..5 {
        let missing = fails(store.claim_one(&request(1))).await;
        assert!(missing.contains(&name) && missing.contains("migrate"), "{missing}");
    }
    fails(store.complete(&request(1).holder(), 200, HOUR)).await;
    fails(store.purge(10)).await;
    store.migrate().await.unwrap();
    assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));
}

/// C10: without a free connection in the pool, a call fails in time. Once there is one, calls
/// succeed again.
#[tokio::test]
async fn a_pool_that_is_used_up() {
    let name = store(pool(PostgresServer::shared(), 1).await).await.1;
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(200 * MS)
        .connect_lazy(&PostgresServer::shared().url())
        .unwrap();
    let store = PostgresStore::new(pool.clone()).table(&name).unwrap();
    let lend = async || answered(|| async { Ok(pool.acquire().await?) }).await;
    let lent = [lend().await, lend().await];
    let exhausted = fails(store.claim_one(&request(1))).await;
    assert!(exhausted.contains("timed out"), "{exhausted}");
    drop(lent);
    comes_back(&store).await;
    let calls: Vec<_> = (10..210).map(request).collect();
    let calls = calls.iter().map(|claim| timeout(MS, store.claim_one(claim)));
    futures_util::future::join_all(calls).await;
    comes_back(&store).await;
    pool.close().await;
    fails(store.claim_one(&request(1))).await;
}

/// Callers give up while a row is locked. The store cancels their statements and keeps working.
#[tokio::test]
async fn callers_who_give_up() {
    let pool = pool(PostgresServer::shared(), 3).await;
    let (store, name) = patient_store(pool.clone()).await;
    // The longest limit so far decides how long statements may take.
    let [claim, other, third] =
        [1, 2, 3].map(|number| request(number).within(Duration::from_secs(1)));
    assert_eq!(answered(|| store.claim_one(&claim)).await, won(1));
    age(&name, claim.lease).await;
    let mut open = pool.begin().await.unwrap();
    let sql = AssertSqlSafe(format!("SELECT key FROM {name} FOR UPDATE"));
    sqlx::query(sql).fetch_all(&mut *open).await.unwrap();
    let give_up = async |store: &PostgresStore, callers| {
        for _ in 0..callers {
            let another = again(&claim).within(200 * MS);
            let waiting = timeout(20 * MS, store.claim_one(&another)).await;
            // On a slow machine, the claim may get `Busy` before the timeout.
            assert!(!matches!(waiting, Ok(Ok(ClaimOutcome::Won { .. }))));
        }
    };
    give_up(&store, 3).await;
    assert_eq!(answered(|| store.claim_one(&other)).await, won(1));
    give_up(&store.clone().lock_timeout(200 * MS), 20).await;
    assert_eq!(answered(|| store.claim_one(&third)).await, won(1));
    open.rollback().await.unwrap();
}

/// A table is locked, for example while an index is created. However many callers give up, the
/// store does not use up the server's connections.
#[tokio::test]
async fn a_table_that_is_locked_does_not_use_up_the_server() {
    let admin = pool(PostgresServer::shared(), 2).await;
    for (pool_size, own) in [(10, true), (3, false)] {
        let (store, name) = store(pool(PostgresServer::shared(), 3).await).await;
        let store = match own {
            true => {
                let url = PostgresServer::shared().url();
                PostgresStore::connect(&url).await.unwrap().table(&name).unwrap()
            }
            false => store.lock_timeout(Duration::from_secs(20)),
        };
        let mut open = admin.begin().await.unwrap();
        let lock = AssertSqlSafe(format!("LOCK TABLE {name} IN SHARE MODE"));
        sqlx::query(lock).execute(&mut *open).await.unwrap();
        let (mut peak, mut number, mut rounds) = (0, 0, 0);
        while rounds < 10 || peak == 0 {
            rounds += 1;
            assert!(rounds < 1000, "no claim waits for the lock");
            let claims = (0..10).map(|_| {
                number += 1;
                let claim = request(number);
                let store = &store;
                async move { timeout(30 * MS, store.claim_one(&claim)).await }
            });
            for outcome in futures_util::future::join_all(claims).await {
                assert!(!matches!(outcome, Ok(Ok(ClaimOutcome::Won { .. }))));
            }
            let backends = sqlx::query_scalar::<_, i64>(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%' || $1 || '%' AND pid <> pg_backend_pid()
                   AND query NOT LIKE 'LOCK%'",
            );
            let waiting = backends.bind(&name).fetch_one(&admin).await.unwrap();
            peak = peak.max(waiting);
        }
        assert!(peak > 0 && peak <= 2 * pool_size + 1, "{peak} connections");
        open.rollback().await.unwrap();
        // Claims succeed as soon as the lock is released.
        let claim = request(99_999);
        let claimed = answered(|| store.claim_one(&claim)).await;
        assert_eq!(claimed, won(1));
    }
}

/// An error of one statement does not affect the next.
#[tokio::test]
async fn statements_that_take_too_long() {
    let admin = pool(PostgresServer::shared(), 1).await;
    let name = store(admin.clone()).await.1;
    let options = [("statement_timeout", "100ms")];
    let pool = pool_with(PostgresServer::shared(), 2, &options).await;
    let store = PostgresStore::new(pool.clone()).table(&name).unwrap();
    store.migrate().await.unwrap();
    let store = store.lock_timeout(Duration::from_secs(20));
    let mut open = admin.begin().await.unwrap();
    let sql = AssertSqlSafe(format!("LOCK TABLE {name}"));
    sqlx::query(sql).execute(&mut *open).await.unwrap();
    for _ in 0..5 {
        let late = fails(store.claim_one(&request(1))).await;
        assert!(late.contains("statement timeout"), "{late}");
    }
    open.rollback().await.unwrap();
    let claim = request(1);
    assert_eq!(answered(|| store.claim_one(&claim)).await, won(1));
}

/// Error messages and `Debug` output contain no password.
#[tokio::test]
async fn errors_and_debug_are_silent() {
    let url = "postgres://me:hunter2@127.0.0.1:1/none";
    let refused = PostgresStore::connect(url).await.unwrap_err();
    let text = format!("{refused:?} {refused}");
    assert!(!text.contains("hunter2"), "{text}");
    let lazy = PostgresStore::new(PgPool::connect_lazy(url).unwrap());
    assert!(!format!("{lazy:?}").contains("hunter2"));
}
