//! Completes an event in the transaction of its handler.

use std::{any::Any, future::Future, pin::Pin};

use sqlx::{Database, Transaction};

use super::{EntryHolder, InboxEvent, event::CommitState};
use crate::claim::{CommitError, StoreError, sql::in_transaction};

/// A database whose transactions can complete an event.
pub trait InboxDatabase: Database + Sealed {
    /// Marks the entry as done. Returns whether the holder still runs it, or `None` if the store is
    /// in another kind of database.
    #[doc(hidden)]
    fn finish<'a>(
        store: &'a (dyn Any + Send + Sync),
        transaction: &'a mut Self::Connection,
        holder: &'a EntryHolder,
    ) -> Pin<Box<dyn Future<Output = Result<Option<bool>, StoreError>> + Send + 'a>>;
}

/// Seals [`InboxDatabase`].
#[expect(unnameable_types, reason = "the trait is sealed")]
pub trait Sealed {}

macro_rules! database {
    ($database:ty, $connection:ty, $store:ty) => {
        impl Sealed for $database {}

        impl InboxDatabase for $database {
            fn finish<'a>(
                store: &'a (dyn Any + Send + Sync),
                transaction: &'a mut $connection,
                holder: &'a EntryHolder,
            ) -> Pin<Box<dyn Future<Output = Result<Option<bool>, StoreError>> + Send + 'a>> {
                Box::pin(async move {
                    let Some(store) = store.downcast_ref::<$store>() else { return Ok(None) };
                    store.finish_in(transaction, holder).await.map(Some)
                })
            }
        }
    };
}

#[cfg(feature = "postgres")]
database!(sqlx::Postgres, sqlx::PgConnection, crate::PostgresStore);
#[cfg(feature = "sqlite")]
database!(sqlx::Sqlite, sqlx::SqliteConnection, crate::SqliteStore);

impl InboxEvent {
    /// Completes the event in the handler's transaction and commits it, in place of
    /// `transaction.commit()`. The handler's effects in the transaction then happen exactly once:
    /// if a worker dies or loses its lease, the effects of only one attempt remain.
    ///
    /// The transaction must be in the database of the inbox. Keep it short. After the commit, the
    /// event is done, whatever the handler returns.
    ///
    /// If your own store wraps the inbox's store, implement
    /// [`InboxStore::as_any`](super::InboxStore::as_any).
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # mod example {
    /// use sqlx::SqlitePool;
    /// use webhook_verify::inbox::InboxEvent;
    ///
    /// type Error = Box<dyn std::error::Error + Send + Sync>;
    ///
    /// async fn handle(pool: SqlitePool, event: InboxEvent) -> Result<(), Error> {
    ///     let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    ///     sqlx::query("INSERT INTO contact (body) VALUES (?)")
    ///         .bind(event.body().to_vec())
    ///         .execute(&mut *transaction)
    ///         .await?;
    ///     Ok(event.commit(transaction).await?)
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`CommitError`]. Return it from the handler. The worker then retries the event unless it is
    /// done.
    ///
    /// The transaction is rolled back, with one exception: if the database fails during the commit,
    /// the effects may or may not be committed. The event is done if and only if they are. If it is
    /// done, a second transaction of the same handler gets [`CommitError::Superseded`].
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, for example at the handler's time limit, the effects may or may not
    /// be committed. The event is done if and only if they are. If the handler itself drops the
    /// future, it must return an error.
    pub async fn commit<DB: InboxDatabase>(
        &self,
        mut transaction: Transaction<'_, DB>,
    ) -> Result<(), CommitError> {
        if self.commit_state() == CommitState::Committed {
            return Err(CommitError::AlreadyCompleted);
        }
        let finished = DB::finish(self.store().as_any(), &mut transaction, self.holder()).await;
        match finished.map_err(in_transaction)? {
            Some(true) => {}
            Some(false) => return Err(CommitError::Superseded),
            None => return Err(CommitError::NotClaimed),
        }
        // Without a reply, the state stays: the transaction may or may not be committed.
        self.set_commit_state(CommitState::Committing);
        transaction.commit().await?;
        self.set_commit_state(CommitState::Committed);
        Ok(())
    }
}
