use integration_tests::Calls as _;
use std::time::Instant;

use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};
use webhook_verify::{Delivery, idempotency::CommitError};

use super::*;
use crate::sql::transactions::{self as cases, Ledger};

#[derive(Clone)]
struct Payments {
    store: PostgresStore,
    pool: PgPool,
    table: String,
    /// The store's table.
    claims: String,
}

impl Ledger for Payments {
    type Store = PostgresStore;
    type Open = Transaction<'static, Postgres>;

    fn store(&self) -> &PostgresStore {
        &self.store
    }

    async fn begin(&self) -> Self::Open {
        let mut open = self.pool.begin().await.unwrap();
        let sql = AssertSqlSafe(format!("INSERT INTO {} DEFAULT VALUES", self.table));
        sqlx::query(sql).execute(&mut *open).await.unwrap();
        open
    }

    async fn complete_in(
        &self,
        open: &mut Self::Open,
        delivery: &Delivery,
        status: u16,
    ) -> Result<(), CommitError> {
        self.store.complete_in(open, delivery, status).await
    }

    async fn end(&self, open: Self::Open) {
        open.commit().await.unwrap();
    }

    async fn commit(
        &self,
        open: Self::Open,
        delivery: &Delivery,
        status: u16,
    ) -> Result<(), CommitError> {
        self.store.commit(open, delivery, status).await
    }

    async fn effects(&self) -> i64 {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {}", self.table));
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    async fn age(&self, by: Duration) {
        age(&self.claims, by).await;
    }

    async fn until_one_waits(&self) {
        until_waiting(&self.pool, &self.claims, 1).await;
    }
}

async fn payments() -> Payments {
    let pool = pool(PostgresServer::shared(), 16).await;
    let (store, claims) = store(pool.clone()).await;
    let table = format!("payments_of_{}", new_name());
    execute(&pool, format!("CREATE TABLE {table} (id bigserial PRIMARY KEY)")).await;
    Payments { store, pool, table, claims }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once() {
    cases::many_at_once(&payments().await).await;
}

#[tokio::test]
async fn who_was_superseded_rolls_back() {
    cases::who_was_superseded_rolls_back(&payments().await).await;
}

#[tokio::test]
async fn who_waits_is_told() {
    let mut payments = payments().await;
    payments.store = payments.store.lock_timeout(PATIENCE);
    cases::who_waits_is_told(&payments).await;
}

#[tokio::test]
async fn the_receiver_settles_after_it() {
    cases::the_receiver_settles_after_it(&payments().await).await;
}

#[tokio::test]
async fn a_commit_is_no_lost_lease() {
    cases::a_commit_is_no_lost_lease(&payments().await).await;
}

#[tokio::test]
async fn twice_is_told() {
    cases::twice_is_told(&payments().await).await;
}

#[tokio::test]
async fn what_cannot_be_committed() {
    cases::what_cannot_be_committed(&payments().await).await;
}

#[tokio::test]
async fn an_open_transaction_holds_nobody_up() {
    cases::an_open_transaction_holds_nobody_up(&payments().await, true).await;
}

/// A lease that lapses while its handler's transaction is open: claims wait for no longer than they may, are told that it
/// is in flight, and the limit is gone with their statement.
#[tokio::test]
async fn a_lapsed_claim_in_an_open_transaction_is_in_flight() {
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
    // Neither purge waits, nor who claims something else.
    assert_eq!(store.purge(usize::MAX).await.unwrap(), 0);
    assert_eq!(store.claim_one(&request(2)).await.unwrap(), won(1));
    open.rollback().await.unwrap();
    for _ in 0..3 {
        let limit: String = sqlx::query_scalar("SHOW lock_timeout").fetch_one(&pool).await.unwrap();
        assert_eq!(limit, "0");
    }
    assert_eq!(store.claim_one(&again(&claim)).await.unwrap(), won(2));
}

/// A claim that waits for a transaction is granted after it, and holds and lives from then on.
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
