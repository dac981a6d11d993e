//! Claims of rows that another transaction has locked.

use std::time::Instant;

use sqlx::Connection as _;

use super::*;

/// A lease expires while its handler's transaction is open. Claims wait up to `lock_timeout`, and
/// are told that the delivery is in progress. The limit ends with their statement.
#[tokio::test]
async fn an_expired_lease_in_an_open_transaction_is_in_flight() {
    let pool = pool(PostgresServer::shared(), 3).await;
    let (store, name) = store(pool.clone()).await;
    let store = store.lock_timeout(100 * MS);
    let claim = request(1);
    assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
    age(&name, claim.lease).await;
    let mut open = pool.begin().await.unwrap();
    let sql = AssertSqlSafe(format!("SELECT key FROM {name} FOR UPDATE"));
    sqlx::query(sql).fetch_all(&mut *open).await.unwrap();
    for _ in 0..10 {
        let begun = Instant::now();
        let claim = again(&claim);
        let outcome = soon("answer to a claim", store.claim_one(&claim)).await;
        assert!(is_busy(outcome.unwrap()));
        assert!(begun.elapsed() >= 90 * MS);
    }
    let mut both = [request(2), again(&claim)];
    both[1].lease = both[0].lease;
    for call in [
        fails(store.complete(&claim.holder(), 200, HOUR)).await,
        fails(store.release(&claim.holder())).await,
        fails(store.extend(&claim.holder(), HOUR)).await,
        fails(store.forget(&claim.key)).await,
        fails(store.claim(&both)).await,
        fails(store.release_all(&[claim.holder()])).await,
        fails(store.extend_all(&[claim.holder()], HOUR)).await,
        fails(store.complete_all(&[claim.holder()], 200, HOUR)).await,
    ] {
        assert!(call.contains("lock timeout"), "{call}");
    }
    // Neither a purge nor a claim of another key waits.
    assert_eq!(store.purge(usize::MAX).await.unwrap(), 0);
    assert_eq!(store.claim_one(&request(2)).await.unwrap(), won(1));
    open.rollback().await.unwrap();
    for _ in 0..3 {
        let limit: String = sqlx::query_scalar("SHOW lock_timeout").fetch_one(&pool).await.unwrap();
        assert_eq!(limit, "0");
    }
    assert_eq!(store.claim_one(&again(&claim)).await.unwrap(), won(2));
}

/// A claim that waits for a transaction is granted after it. Its lease and its life begin then.
#[tokio::test]
async fn a_lease_runs_from_when_it_is_granted() {
    let pool = pool(PostgresServer::shared(), 4).await;
    let (store, name) = patient_store(pool.clone()).await;
    let mut before = [request(1), request(2), request(3)];
    for claim in &mut before {
        claim.ttl = claim.lease;
    }
    store.claim(&before).await.unwrap();
    age(&name, before[0].ttl).await;
    let mut claims = [request(1), request(2), request(3)];
    (claims[1].ttl, claims[2].ttl) = (2 * HOUR, 3 * HOUR);
    let (first, others) = claims.split_first().unwrap();
    let mut open = pool.begin().await.unwrap();
    let sql = AssertSqlSafe(format!("SELECT key FROM {name} FOR UPDATE"));
    sqlx::query(sql).fetch_all(&mut *open).await.unwrap();
    let let_go = async {
        until_waiting(&pool, &name, 2).await;
        let now = sqlx::query_scalar("SELECT clock_timestamp()::text");
        let now: String = now.fetch_one(&mut *open).await.unwrap();
        open.rollback().await.unwrap();
        now
    };
    let (one, many, since) = tokio::join!(store.claim_one(first), store.claim(others), let_go);
    assert_eq!(one.unwrap(), won(2));
    assert_eq!(many.unwrap(), [won(2), won(2)]);
    let held = format!(
        "SELECT lease_until >= '{since}'::timestamptz + interval '10 min'
           AND lease_until <= clock_timestamp() + interval '10 min'
           AND expires_at >= '{since}'::timestamptz + $1 * interval '1 hour'
           AND expires_at <= clock_timestamp() + $1 * interval '1 hour'
         FROM {name} WHERE key = $2"
    );
    for (hours, claim) in (1_i64..).zip(&claims) {
        let held = sqlx::query_scalar::<_, bool>(AssertSqlSafe(held.clone()));
        let held = held.bind(hours).bind(&claim.key.as_bytes()[..]);
        assert!(held.fetch_one(&pool).await.unwrap(), "{hours} h");
    }
}

/// sqlx returns a connection to the pool with an open transaction if the future of `begin` is
/// dropped. A statement on it would succeed and then be rolled back.
#[tokio::test]
async fn transactions_that_others_left_open_swallow_no_claim() {
    let server = PostgresServer::shared();
    let options: PgConnectOptions = server.url().parse().unwrap();
    let target = (options.get_host(), options.get_port());
    let target = tokio::net::lookup_host(target).await.unwrap().next().unwrap();
    let proxy = Proxy::start(target).await;
    let addr = proxy.addr();
    let options = options.host(&addr.ip().to_string()).port(addr.port());
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
    let pool = pool.test_before_acquire(false).connect_with(options).await.unwrap();
    let (store, name) = store(pool.clone()).await;
    let left_open = async |way: &str| {
        let mut connection = pool.acquire().await.unwrap();
        if way == "aborted" {
            sqlx::raw_sql("BEGIN").execute(&mut *connection).await.unwrap();
            sqlx::raw_sql("SELECT 1 / 0").execute(&mut *connection).await.unwrap_err();
            return;
        }
        proxy.weather(Weather { hold: true, ..Weather::default() });
        let begin = tokio::time::timeout(100 * MS, connection.begin()).await;
        assert!(begin.is_err(), "the future of `begin` was dropped");
        drop(begin);
        drop(connection);
        proxy.weather(Weather::default());
        let now = async || {
            let now = sqlx::query_scalar::<_, String>("SELECT now()::text");
            now.fetch_one(&pool).await.unwrap()
        };
        assert_eq!(now().await, now().await, "a transaction is open");
    };
    for (number, way) in [(1, "open"), (2, "aborted"), (3, "open")] {
        left_open(way).await;
        let claim = request(number);
        assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
        left_open(way).await;
        let completed = store.complete(&claim.holder(), 200, HOUR).await.unwrap();
        assert_eq!(completed, Settled::Applied, "{way}");
        left_open(way).await;
        assert_eq!(store.purge(usize::MAX).await.unwrap(), 0);
    }
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM {name} WHERE state = 2"));
    let other = super::pool(server, 1).await;
    let count: i64 = sqlx::query_scalar(sql).fetch_one(&other).await.unwrap();
    assert_eq!(count, 3);
}
