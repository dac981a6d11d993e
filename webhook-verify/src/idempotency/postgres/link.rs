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
    idempotency::limiter::{Limiter, Slot},
};

/// The limit for calls without one of their own, until the first claim brings the receiver's.
const LIMIT: Duration = Duration::from_secs(1);
/// The limit for maintenance: purging a batch, or checking the table.
pub(super) const MAINTENANCE: Duration = Duration::from_secs(10);
/// How long a connection outside of the pool waits for a response that no caller waits for.
const ABANDONED: Duration = Duration::from_secs(1);

/// Runs single statements on the connections of a pool: the user's, or the store's own.
///
/// Each call runs in a task of its own, so a caller that gives up harms no connection. Its
/// statement runs to its end, or the connection that it waits for is opened and goes to the pool. A
/// connection is closed if it fails, or if the server stays silent on it for one and a half call
/// limits.
pub(super) struct Link {
    pub(super) pool: PgPool,
    /// Whether each statement runs in a transaction that sets its isolation level, because the
    /// default is stricter.
    strict: AtomicBool,
    limiter: Arc<Limiter>,
    /// The limit of the latest claim, in ms.
    limit: AtomicU64,
    /// Counts the requests to the pool for a connection.
    acquired: AtomicU64,
    /// Permits to hold a connection outside of the pool while the server is silent on it.
    abandoned: Arc<Semaphore>,
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
            limit: AtomicU64::new(LIMIT.as_millis() as u64),
            acquired: AtomicU64::new(0),
            abandoned: Arc::new(Semaphore::new(size.min(Semaphore::MAX_PERMITS))),
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
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.limit.store(millis.max(1), Relaxed);
        let slot = self
            .limiter
            .enter(limit)
            .await
            .map_err(Failed::Overloaded)?;
        let answer = self.start(sql, arguments, limit, Some(slot));
        answered(answer).await.map_err(Failed::Sql)
    }

    /// Runs a statement for the holders of claims. It does not queue behind new claims, and runs
    /// even if its caller gives up.
    pub(super) async fn run(
        self: &Arc<Self>,
        sql: &SqlStr,
        arguments: PgArguments,
    ) -> Result<Vec<PgRow>, Error> {
        let limit = Duration::from_millis(self.limit.load(Relaxed));
        answered(self.start(sql, arguments, limit, None)).await
    }

    /// Runs a maintenance statement, which may take longer.
    pub(super) async fn maintain(
        self: &Arc<Self>,
        sql: &SqlStr,
        arguments: PgArguments,
    ) -> Result<Vec<PgRow>, Error> {
        answered(self.start(sql, arguments, MAINTENANCE, None)).await
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
        &self,
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
        if slot.is_some() && reply.is_closed() {
            // The caller has given up: a claim granted now would have no handler.
            return give_back(connection, limit).await;
        }
        let error = loop {
            let strict = self.strict.load(Relaxed);
            let query = sqlx::query_with(sql.clone(), arguments.clone());
            let running = run_on(&mut connection, query, strict);
            let error = match timeout(limit + limit / 2, running).await {
                Ok(Ok(rows)) => {
                    let _ = reply.send(Ok(rows));
                    return give_back(connection, limit).await;
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    let _ = reply.send(Err(silent()));
                    return self.abandon(connection, slot).await;
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
    /// to connect as soon as the network is back, and the other half get three times as long.
    async fn acquire(&self, limit: Duration) -> Result<PoolConnection<Postgres>, Error> {
        let patience = match self.acquired.fetch_add(1, Relaxed) % 2 {
            0 => limit,
            _ => limit * 3,
        };
        let acquired = timeout(patience, self.pool.acquire()).await;
        acquired.unwrap_or(Err(Error::PoolTimedOut))
    }

    /// Waits a little longer for the response on a connection, then closes it. The wait limits how
    /// many statements the server runs without a caller. As many connections as the pool allows
    /// wait outside of it. Any further ones keep their places in the pool meanwhile.
    async fn abandon(&self, connection: PoolConnection<Postgres>, slot: Option<Slot>) {
        match self.abandoned.try_acquire() {
            Ok(_place) => {
                drop(slot);
                let mut connection = connection.detach();
                let _ = timeout(ABANDONED, connection.ping()).await;
            }
            Err(_) => {
                let mut connection = connection;
                let _ = timeout(ABANDONED, connection.ping()).await;
                drop(connection.detach());
            }
        }
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
