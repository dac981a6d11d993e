use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    Connection as _, Error, PgConnection, PgPool, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};

/// The user's or the store's own pool, and what there is to know when a single statement is run on it.
pub(super) struct Link {
    pub(super) pool: PgPool,
    /// Statements are run in transactions that name their isolation level, as the default is stricter.
    strict: AtomicBool,
    /// Places for connections whose callers have given up.
    abandoned: Arc<Semaphore>,
}

impl Link {
    pub(super) fn new(pool: PgPool) -> Self {
        let places = pool.options().get_max_connections() as usize;
        Self {
            pool,
            strict: AtomicBool::new(false),
            abandoned: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
        }
    }

    async fn lend(&self) -> Result<Lent, Error> {
        Ok(Lent {
            connection: Some(self.pool.acquire().await?),
            abandoned: Arc::clone(&self.abandoned),
        })
    }

    /// Runs one statement, which must be harmless when repeated.
    ///
    /// It is repeated on another connection if this one turns out to have ended, as all that are idle have after a
    /// restart; and in a transaction at `READ COMMITTED`, if the connection's default is stricter: there every race for a
    /// row but the first fails.
    pub(super) async fn run(
        &self,
        sql: &SqlStr,
        arguments: PgArguments,
    ) -> Result<Vec<PgRow>, Error> {
        let mut lent = self.lend().await?;
        let mut tries = self.pool.size();
        loop {
            let strict = self.strict.load(Ordering::Relaxed);
            let query = sqlx::query_with(sql.clone(), arguments.clone());
            let result = run_on(lent.connection()?, query, strict).await;
            let error = match result {
                Ok(rows) => {
                    lent.give_back();
                    return Ok(rows);
                }
                Err(error) => error,
            };
            match code(&error).as_deref() {
                // serialization_failure
                Some("40001") if !strict => {
                    if !self.strict.swap(true, Ordering::Relaxed) {
                        tracing::warn!(
                            target: "webhook_verify",
                            "connections are stricter than read committed by default: claims take three round trips"
                        );
                    }
                    continue;
                }
                // lock_not_available: nothing is wrong with the connection.
                Some("55P03") => {
                    lent.give_back();
                    return Err(error);
                }
                // admin_shutdown, crash_shutdown, idle_session_timeout
                Some("57P01" | "57P02" | "57P05") => {}
                None if matches!(error, Error::Io(_) | Error::Protocol(_)) => {}
                _ => return Err(error),
            }
            // Of those that are idle, the others have ended as well.
            loop {
                if tries == 0 {
                    return Err(error);
                }
                tries -= 1;
                lent = self.lend().await?;
                if lent.connection()?.ping().await.is_ok() {
                    break;
                }
            }
        }
    }
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

/// A connection of the pool that is closed unless it is given back: one whose caller has given up may wait for its answer for
/// long.
struct Lent {
    connection: Option<PoolConnection<Postgres>>,
    abandoned: Arc<Semaphore>,
}

/// How long an answer that nobody waits for may take, until its connection is closed: the server may be gone without a word.
const ABANDONED: Duration = Duration::from_secs(300);

impl Lent {
    fn connection(&mut self) -> Result<&mut PgConnection, Error> {
        self.connection.as_deref_mut().ok_or(Error::PoolClosed)
    }

    fn give_back(mut self) {
        self.connection = None;
    }
}

/// The server goes on with what it was asked, also if the connection is closed. So as many connections as the pool has may
/// wait outside of it, and those beyond keep their places in it: a table that is locked, or a server that is silent, is asked by
/// no more than twice as many.
impl Drop for Lent {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let Ok(runtime) = Handle::try_current() else {
            drop(connection.detach());
            return;
        };
        match Arc::clone(&self.abandoned).try_acquire_owned() {
            Ok(place) => {
                let mut connection = connection.detach();
                runtime.spawn(async move {
                    let _ = timeout(ABANDONED, connection.ping()).await;
                    drop(place);
                });
            }
            Err(_) => {
                runtime.spawn(async move {
                    let answered = timeout(ABANDONED, connection.ping()).await;
                    if !matches!(answered, Ok(Ok(()))) {
                        drop(connection.detach());
                    }
                });
            }
        }
    }
}

/// The error's code, if the server sent one.
pub(super) fn code(error: &Error) -> Option<String> {
    let code = error.as_database_error()?.code()?;
    Some(code.into_owned())
}

/// A time limit as the server reads it.
pub(super) fn limit(time: Duration) -> String {
    format!("{}ms", time.as_millis().clamp(1, i32::MAX as u128))
}
