use std::{any::Any, time::Duration};

use sqlx::{ConnectOptions as _, Error, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::Mutex;

use super::writer::Task;
use crate::claim::StoreError;

/// How long to wait for a file that is locked even for readers, which is so while another process
/// recovers it.
const BUSY: Duration = Duration::from_secs(5);

/// A connection that only reads. It neither waits for a transaction that writes nor delays one.
pub(super) struct Reader {
    options: SqliteConnectOptions,
    /// `None` before the first call, and after one that failed or was dropped.
    connection: Mutex<Option<SqliteConnection>>,
}

impl Reader {
    /// Returns a reader of the file that the writer's connection has open, unless only the writer
    /// can read it.
    pub(super) async fn new(
        options: &SqliteConnectOptions,
        writer: &mut SqliteConnection,
    ) -> Result<Option<Self>, Error> {
        // A database in memory has no write-ahead log. Without one, readers delay writers.
        let journal: String =
            sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *writer).await?;
        let locking: String = sqlx::query_scalar("PRAGMA locking_mode").fetch_one(writer).await?;
        // With a shared cache, the writer would lock tables for this connection.
        let options =
            options.clone().shared_cache(false).busy_timeout(BUSY).pragma("query_only", "ON");
        let is_shared = journal == "wal" && locking == "normal";
        Ok(is_shared.then(|| Self { options, connection: Mutex::new(None) }))
    }

    pub(super) async fn run(
        &self,
        task: &dyn Task,
        now: Duration,
    ) -> Result<Box<dyn Any + Send>, StoreError> {
        let mut idle = self.connection.lock().await;
        let mut connection = match idle.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(StoreError::new)?,
        };
        let result = task.run(&mut connection, now).await?;
        *idle = Some(connection);
        Ok(result)
    }
}
