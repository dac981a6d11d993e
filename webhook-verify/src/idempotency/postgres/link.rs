use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use sqlx::{
    Connection as _, Error, PgConnection, PgPool, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

use crate::{
    StoreError,
    idempotency::{
        limiter::{Limiter, Slot},
        sql::millis,
    },
};

/// The limit for maintenance: purging a batch, or checking the table.
pub(super) const MAINTENANCE: Duration = Duration::from_secs(10);
/// The least time that opening a connection may take, and the least that every second attempt has.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3));
/// Cancels what the server runs for this process although no caller waits for it any more.
const CANCEL: &str = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
  WHERE starts_with(query, $1) AND state = 'active' AND pid <> pg_backend_pid()
    AND query_start < clock_timestamp() - $2 * interval '1 ms'";

/// Runs single statements on the connections of a pool: the user's, or the store's own.
///
/// Each call runs in a task of its own, so a caller that gives up harms no connection. If the server
/// does not respond within one and a quarter call limits, the statement is cancelled there. A
/// connection is closed if it fails, or if it stays silent even then.
pub(super) struct Link {
    pub(super) pool: PgPool,
    /// Whether each statement runs in a transaction that sets its isolation level, because the
    /// default is stricter.
    strict: AtomicBool,
    limiter: Arc<Limiter>,
    /// What the statements that can be cancelled begin with.
    tag: String,
    /// The permit to cancel statements.
    cancelling: Arc<Semaphore>,
    /// Counts the requests to the pool for a connection.
    acquired: AtomicU64,
}

/// Sends a call's result from its task to its caller.
type Reply = oneshot::Sender<Result<Vec<PgRow>, Error>>;

impl Link {
    pub(super) fn new(pool: PgPool) -> Self {
        let size = pool.options().get_max_connections() as usize;
        Self {
            pool,
            strict: AtomicBool::new(false),
            limiter: Limiter::new(size),
            tag: format!(
                "/* webhook-verify {:016x} */ ",
                getrandom::u64().unwrap_or_default()
            ),
            cancelling: Arc::new(Semaphore::new(1)),
            acquired: AtomicU64::new(0),
        }
    }

    /// Runs a claim's statement, unless it cannot run within the caller's `limit`.
    ///
    /// # Errors
    ///
    /// [`Failed::Overloaded`] if it cannot, and [`Failed::Sql`] if the statement fails.
    pub(super) async fn claim(
        self: &Arc<Self>,
        sql: &SqlStr,
        arguments: PgArguments,
        limit: Duration,
    ) -> Result<Vec<PgRow>, Failed> {
        let slot = self
            .limiter
            .enter(limit)
            .await
            .map_err(Failed::Overloaded)?;
        let answer = self.start(sql, arguments, limit, Some(slot));
        answered(answer).await.map_err(Failed::Sql)
    }

    /// Runs a statement for the holders of claims, or for maintenance. It does not queue behind new claims, and runs
    /// even if its caller gives up.
    pub(super) async fn run(
        self: &Arc<Self>,
        sql: &SqlStr,
        arguments: PgArguments,
        limit: Duration,
    ) -> Result<Vec<PgRow>, Error> {
        answered(self.start(sql, arguments, limit, None)).await
    }

    fn start(
        self: &Arc<Self>,
        sql: &SqlStr,
        arguments: PgArguments,
        limit: Duration,
        slot: Option<Slot>,
    ) -> oneshot::Receiver<Result<Vec<PgRow>, Error>> {
        let (reply, answer) = oneshot::channel();
        let (link, sql) = (Arc::clone(self), sql.clone());
        tokio::spawn(async move { link.serve(&sql, arguments, limit, slot, reply).await });
        answer
    }

    /// Runs one statement, then returns the connection to the pool. The statement must be harmless
    /// when repeated.
    ///
    /// The statement is repeated:
    ///
    /// * on another connection, if this one has ended, as all idle ones have after a server
    ///   restart;
    /// * in a transaction at `READ COMMITTED`, if the connection's default is stricter. With a
    ///   stricter level, only the first of several calls that race for a row succeeds.
    async fn serve(
        self: &Arc<Self>,
        sql: &SqlStr,
        arguments: PgArguments,
        limit: Duration,
        slot: Option<Slot>,
        reply: Reply,
    ) {
        let mut tries = self.pool.size();
        let mut connection = match self.acquire(limit).await {
            Ok(connection) => connection,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let error = loop {
            if slot.is_some() && reply.is_closed() {
                // The caller has given up: a claim granted now would have no handler.
                return give_back(connection, limit).await;
            }
            let strict = self.strict.load(Relaxed);
            let query = sqlx::query_with(sql.clone(), arguments.clone());
            let running = run_on(&mut connection, query, strict);
            let error = match timeout(limit.saturating_add(limit / 4), running).await {
                Ok(Ok(rows)) => {
                    let _ = reply.send(Ok(rows));
                    return give_back(connection, limit).await;
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    let _ = reply.send(Err(silent()));
                    return self.cancel(connection, limit).await;
                }
            };
            match code(&error).as_deref() {
                // serialization_failure
                Some("40001") if !strict => {
                    if !self.strict.swap(true, Relaxed) {
                        tracing::warn!(
                            target: "webhook_verify",
                            "connections are stricter than read committed by default: claims take three round trips"
                        );
                    }
                    continue;
                }
                // admin_shutdown, crash_shutdown, idle_session_timeout
                Some("57P01" | "57P02" | "57P05") => {}
                None if matches!(error, Error::Io(_) | Error::Protocol(_)) => {}
                // read_only_sql_transaction: the primary is another server by now.
                Some("25006") | None => break error,
                // The statement failed, and the connection is still usable.
                Some(_) => {
                    let _ = reply.send(Err(error));
                    return give_back(connection, limit).await;
                }
            }
            // The other idle connections may have ended as well, so they are pinged first.
            drop(connection.detach());
            connection = loop {
                if tries == 0 {
                    return drop(reply.send(Err(error)));
                }
                tries -= 1;
                let mut next = match self.acquire(limit).await {
                    Ok(next) => next,
                    Err(error) => return drop(reply.send(Err(error))),
                };
                if matches!(timeout(limit, next.ping()).await, Ok(Ok(()))) {
                    break next;
                }
                drop(next.detach());
            };
        };
        let _ = reply.send(Err(error));
        drop(connection.detach());
    }

    /// Takes a connection from the pool, or opens one, even if the caller has given up.
    ///
    /// Opening a connection may be slow, or the peer may be dead. So half of the attempts end soon,
    /// to connect as soon as the network is back, and the other half get more time.
    async fn acquire(&self, limit: Duration) -> Result<PoolConnection<Postgres>, Error> {
        let patience = match self.acquired.fetch_add(1, Relaxed) % 2 {
            0 => limit.max(PATIENCE.0),
            _ => limit.saturating_mul(3).max(PATIENCE.1),
        };
        let acquired = timeout(patience, self.pool.acquire()).await;
        acquired.unwrap_or(Err(Error::PoolTimedOut))
    }

    /// Cancels the statement on a connection on which the server stays silent, as a table that is
    /// locked makes it. Then the connection goes back to the pool. It is closed if the server stays
    /// silent all the same: the network has lost it.
    async fn cancel(self: &Arc<Self>, mut connection: PoolConnection<Postgres>, limit: Duration) {
        // One at a time does it for all.
        if let Ok(permit) = Arc::clone(&self.cancelling).try_acquire_owned() {
            let link = Arc::clone(self);
            tokio::spawn(async move {
                let _ = timeout(MAINTENANCE, link.cancel_all(limit)).await;
                drop(permit);
            });
        }
        match timeout(limit / 2, connection.ping()).await {
            Ok(Ok(())) => give_back(connection, limit).await,
            Ok(Err(_)) | Err(_) => drop(connection.detach()),
        }
    }

    /// Cancels the statements of this process that take longer than `limit`. It needs a connection
    /// of its own, as all others may be busy with them.
    async fn cancel_all(&self, limit: Duration) -> Result<(), Error> {
        let mut connection = PgConnection::connect_with(&self.pool.connect_options()).await?;
        sqlx::query(CANCEL)
            .bind(&self.tag)
            .bind(millis(limit))
            .execute(&mut connection)
            .await?;
        connection.close().await
    }

    /// What the statements begin with that may be cancelled.
    pub(super) fn tag(&self) -> &str {
        &self.tag
    }
}

/// Why a claim failed.
pub(super) enum Failed {
    Overloaded(StoreError),
    Sql(Error),
}

async fn answered(
    answer: oneshot::Receiver<Result<Vec<PgRow>, Error>>,
) -> Result<Vec<PgRow>, Error> {
    // The task ends without a reply if its runtime shuts down.
    answer.await.unwrap_or(Err(Error::WorkerCrashed))
}

/// Returns a connection to the pool, which first checks that the server responds. Without the limit
/// here, that check could wait forever, and the pool would lose the connection's place.
async fn give_back(mut connection: PoolConnection<Postgres>, limit: Duration) {
    let _ = timeout(limit, connection.return_to_pool()).await;
}

fn silent() -> Error {
    Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "no answer from the server",
    ))
}

async fn run_on(
    connection: &mut PgConnection,
    query: Query<'_, Postgres, PgArguments>,
    strict: bool,
) -> Result<Vec<PgRow>, Error> {
    if !strict {
        return query.fetch_all(connection).await;
    }
    let mut transaction = connection
        .begin_with("BEGIN ISOLATION LEVEL READ COMMITTED")
        .await?;
    let rows = query.fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(rows)
}

/// Returns the error's code, if the server sent one.
pub(super) fn code(error: &Error) -> Option<String> {
    let code = error.as_database_error()?.code()?;
    Some(code.into_owned())
}

/// Formats a time limit the way the server reads it.
pub(super) fn limit(time: Duration) -> String {
    format!("{}ms", time.as_millis().clamp(1, i32::MAX as u128))
}
