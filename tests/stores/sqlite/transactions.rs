use integration_tests::PATIENCE;
use sqlx::{Sqlite, SqlitePool, Transaction};
use webhook_verify::{Delivery, idempotency::CommitError};

use super::*;
use crate::sql::transactions::{self as cases, Ledger};

#[derive(Clone)]
struct Payments {
    store: SqliteStore,
    pool: SqlitePool,
    folder: Arc<Folder>,
}

impl Ledger for Payments {
    type Store = SqliteStore;
    type Open = Transaction<'static, Sqlite>;

    fn store(&self) -> &SqliteStore {
        &self.store
    }

    async fn begin(&self) -> Self::Open {
        let mut open = self.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let effect = sqlx::query("INSERT INTO payment DEFAULT VALUES");
        effect.execute(&mut *open).await.unwrap();
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
        let count = sqlx::query_scalar("SELECT count(*) FROM payment");
        count.fetch_one(&self.pool).await.unwrap()
    }

    async fn age(&self, by: Duration) {
        self.folder.age(by).await;
    }

    /// The one that waits asks for the lock again and again, and nothing of it is to be seen.
    async fn until_one_waits(&self) {}
}

async fn payments() -> Payments {
    let folder = Arc::new(Folder::new());
    let store = folder.store().await;
    let options: SqliteConnectOptions = folder.url().parse().unwrap();
    let pool = SqlitePool::connect_with(options.busy_timeout(PATIENCE)).await;
    let pool = pool.unwrap();
    let table = sqlx::query("CREATE TABLE payment (id INTEGER PRIMARY KEY)");
    table.execute(&pool).await.unwrap();
    Payments { store, pool, folder }
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
    cases::who_waits_is_told(&payments().await).await;
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

/// The file has one writer at a time.
#[tokio::test]
async fn an_open_transaction_holds_nobody_up() {
    cases::an_open_transaction_holds_nobody_up(&payments().await, false).await;
}
