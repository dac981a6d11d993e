//! A handler's effect: a row in the database of the claims, committed together with the claim.

use clap::ValueEnum;
use sqlx::{PgPool, SqlitePool, postgres::PgPoolOptions};
use tokio::time::sleep;
use webhook_verify::{Delivery, PostgresStore, SqliteStore, idempotency::CommitError};

use crate::flags::{Flags, Outcome};

/// When a handler takes its time.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Delay {
    /// Before its transaction.
    Before,
    /// While its transaction is open.
    Within,
}

/// The database, and a store in it.
#[derive(Clone)]
pub(crate) enum Effects {
    Sqlite(SqlitePool, SqliteStore),
    Postgres(PgPool, PostgresStore),
}

impl Effects {
    /// Opens the database. A pool of PostgreSQL connects when it is used first.
    pub(crate) async fn of(flags: &Flags) -> Outcome<Self> {
        if flags.store.starts_with("sqlite:") {
            let store = SqliteStore::connect(&flags.store).await?;
            return Ok(Self::Sqlite(SqlitePool::connect(&flags.store).await?, store));
        }
        let patient = PgPoolOptions::new().acquire_timeout(std::time::Duration::from_secs(20));
        let pool = patient.connect_lazy(&flags.store)?;
        Ok(Self::Postgres(pool.clone(), PostgresStore::new(pool)))
    }

    /// Handles a delivery, and returns the status. It differs for each kind of error.
    pub(crate) async fn handle(&self, flags: &Flags, delivery: &Delivery) -> u16 {
        let committed = match (flags.effect, delivery.event()) {
            (Some(Delay::Within), Ok(event)) => {
                let work = async {
                    flags.handle(delivery, &event).await;
                };
                self.commit(delivery, work).await
            }
            _ => {
                sleep(flags.delay()).await;
                let committed = self.commit(delivery, async {}).await;
                if committed.is_ok() {
                    println!("{}", serde_json::json!({ "id": delivery.id() }));
                }
                committed
            }
        };
        match committed {
            Ok(()) | Err(CommitError::AlreadyCompleted) => 204,
            Err(CommitError::Superseded | CommitError::Store(_)) => 500,
            Err(_) => 501,
        }
    }

    /// Commits the effect and the claim when `work` is done.
    async fn commit(
        &self,
        delivery: &Delivery,
        work: impl Future<Output = ()>,
    ) -> Result<(), CommitError> {
        let id = delivery.id().unwrap_or_default();
        match self {
            Self::Sqlite(pool, store) => {
                let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
                let insert = sqlx::query("INSERT INTO effect (event) VALUES (?)").bind(&*id);
                insert.execute(&mut *transaction).await?;
                work.await;
                store.commit(transaction, delivery, 204).await
            }
            Self::Postgres(pool, store) => {
                let mut transaction = pool.begin().await?;
                let insert = sqlx::query("INSERT INTO effect (event) VALUES ($1)").bind(&*id);
                insert.execute(&mut *transaction).await?;
                work.await;
                store.commit(transaction, delivery, 204).await
            }
        }
    }
}
