use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, Connection as _, Error, Executor as _, PgConnection, PgPool, Postgres, Row as _,
    SqlStr,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgRow},
};
use tokio::{
    sync::{Mutex, Semaphore, oneshot},
    time::{Instant, timeout},
};

use super::values::{Value, bound, written};
use crate::claim::{
    limiter::{Limiter, Slot},
    sql::millis,
};

/// The limit for maintenance: purging a batch, deleting a record, or checking the table.
pub(super) const MAINTENANCE: Duration = Duration::from_secs(10);
/// The minimum time to wait for a new connection, or for a response on an open one.
const SHORT: Duration = Duration::from_millis(500);
/// The minimum time limit of every second attempt to open a connection.
const LONG: Duration = Duration::from_secs(3);
/// A setting that the server accepts when a connection opens, but no pooler does.
const MARK: (&str, &str) = ("webhook_verify.direct", "on");
const IS_MARKED: &str = "SELECT current_setting('webhook_verify.direct', true) = 'on'";
/// Cancels the statements of a group that have run for too long.
const CANCEL: &str = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
  WHERE starts_with(query, $1) AND state = 'active' AND pid <> pg_backend_pid()
    AND query_start < clock_timestamp() - $2 * interval '1 ms'";

/// Runs single statements on the connections of a pool: the user's, or the store's own.
///
/// On a direct connection to the server, statements stay prepared. Through a pooler, each
/// transaction may run in another session, which other applications also use. So the link sends
/// each statement as one text message, which changes settings only for its own transaction.
///
/// Each call runs in its own task, so a caller that gives up harms no connection. If the server
/// does not respond within one and a quarter of the group's longest limit, the link cancels the
/// statement on the server; behind a pooler, the server does so by itself. The link closes a
/// connection that fails, or on which the server stays silent even then.
pub(crate) struct Link {
    pub(crate) pool: PgPool,
    /// Whether other code uses the pool as well.
    is_shared: bool,
    /// Limits the claims, which need a [`Slot`].
    pub(crate) limiter: Arc<Limiter>,
    /// Whether the connections lead directly to the server, and their default isolation level is
    /// `READ COMMITTED`.
    direct: AtomicBool,
    /// Whether the link has looked for a pooler, or is doing so.
    looked: AtomicBool,
    /// The statements of receivers.
    calls: Group,
    /// The statements of maintenance.
    maintenance: Group,
    /// Counts the requests to the pool for a connection.
    acquired: AtomicU64,
    /// The permit to wait for a connection for as long as the pool allows.
    patient: Semaphore,
}

/// Statements of this link that are cancelled together.
struct Group {
    /// The prefix of every statement of the group.
    tag: String,
    /// The longest limit of a statement so far, in ms. A statement that has run for longer is past
    /// its own limit as well.
    longest: AtomicU64,
    /// When statements of the group were last cancelled.
    cancelled: Mutex<Option<Instant>>,
}

/// A statement to run.
struct Call {
    sql: SqlStr,
    values: Vec<Value>,
    /// The slot, if the call needs one. It then does not run once its caller has given up.
    slot: Option<Slot>,
    limit: Duration,
    group: fn(&Link) -> &Group,
    /// Whether `sql` consists of several statements, which are sent as one message.
    several: bool,
    on_loss: OnLoss,
}

/// How a call continues if the connection ends during its statement. The statement may have taken
/// effect.
enum OnLoss {
    /// The statement is repeated.
    Repeat,
    /// The statement is repeated, and its last value becomes `true`.
    RepeatAndTell,
    /// The call fails.
    Fail,
}

impl Call {
    fn new(
        sql: &SqlStr,
        values: Vec<Value>,
        slot: Option<Slot>,
        limit: Duration,
        group: fn(&Link) -> &Group,
    ) -> Self {
        let (several, on_loss) = (false, OnLoss::Repeat);
        Self { sql: sql.clone(), values, slot, limit, group, several, on_loss }
    }
}

/// Sends a call's result from its task to its caller.
type Reply = oneshot::Sender<Result<Vec<PgRow>, Error>>;

impl Group {
    fn new(name: &str) -> Self {
        let random = getrandom::u64().unwrap_or_default();
        Self {
            tag: format!("/* webhook-verify {name} {random:016x} */ "),
            longest: AtomicU64::new(0),
            cancelled: Mutex::new(None),
        }
    }

    /// Returns the longest limit so far, including this one.
    fn longest(&self, limit: Duration) -> Duration {
        let before = self.longest.fetch_max(millis(limit) as u64, Relaxed);
        limit.max(Duration::from_millis(before))
    }
}

impl Link {
    pub(super) fn new(pool: PgPool, is_shared: bool) -> Self {
        let size = pool.options().get_max_connections() as usize;
        Self {
            pool,
            is_shared,
            limiter: Limiter::new(size),
            direct: AtomicBool::new(false),
            looked: AtomicBool::new(false),
            calls: Group::new("call"),
            maintenance: Group::new("maintenance"),
            acquired: AtomicU64::new(0),
            // In a pool of one, no other call could reconnect during a long wait for a dead peer.
            patient: Semaphore::new(usize::from(size > 1)),
        }
    }

    /// Returns the prefixes of the statements of calls and of maintenance.
    pub(super) fn tags(&self) -> [&str; 2] {
        [&self.calls.tag, &self.maintenance.tag]
    }

    /// Checks once whether the connections lead directly to the server. Until then, the link sends
    /// each statement as text, which costs the server more but works everywhere.
    pub(super) async fn look_for_pooler(&self) {
        if self.looked.swap(true, Relaxed) {
            return;
        }
        let options = (*self.pool.connect_options()).clone();
        match timeout(MAINTENANCE, leads_to_server(options)).await {
            Ok(Ok(direct)) => self.direct.store(direct, Relaxed),
            Ok(Err(error)) if refuses_options(&error) => {}
            Ok(Err(_)) | Err(_) => self.looked.store(false, Relaxed),
        }
    }

    /// Runs a claim's statement, or a duplicate's, unless the caller gives up before the statement
    /// starts.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        sql: &SqlStr,
        values: Vec<Value>,
        slot: Slot,
        limit: Duration,
    ) -> Result<Vec<PgRow>, Error> {
        let slot = Some(slot);
        self.run(Call::new(sql, values, slot, limit, |link| &link.calls)).await
    }

    /// Runs an inbox's lease, unless the caller gives up before it starts. The last parameter tells
    /// the statement that it is repeated.
    ///
    /// `several` statements run as one transaction, in one message. Each of them sees what others
    /// have committed until it starts.
    pub(crate) async fn lease(
        self: &Arc<Self>,
        sql: &SqlStr,
        mut values: Vec<Value>,
        slot: Slot,
        limit: Duration,
        several: bool,
    ) -> Result<Vec<PgRow>, Error> {
        values.push(Value::Flag(false));
        let call = Call::new(sql, values, Some(slot), limit, |link| &link.calls);
        self.run(Call { several, on_loss: OnLoss::RepeatAndTell, ..call }).await
    }

    /// Runs a statement for the holders of claims, even if the caller gives up. It does not queue
    /// behind new claims.
    pub(crate) async fn settle(
        self: &Arc<Self>,
        sql: &SqlStr,
        values: Vec<Value>,
        limit: Duration,
    ) -> Result<Vec<PgRow>, Error> {
        self.run(Call::new(sql, values, None, limit, |link| &link.calls)).await
    }

    /// Runs a statement as [`settle`](Self::settle) does, but never twice: the result of the second
    /// time would hide that of the first.
    pub(crate) async fn settle_once(
        self: &Arc<Self>,
        sql: &SqlStr,
        values: Vec<Value>,
        limit: Duration,
    ) -> Result<Vec<PgRow>, Error> {
        let call = Call::new(sql, values, None, limit, |link| &link.calls);
        self.run(Call { on_loss: OnLoss::Fail, ..call }).await
    }

    /// Runs a statement for maintenance, even if the caller gives up.
    pub(crate) async fn maintain(
        self: &Arc<Self>,
        sql: &SqlStr,
        values: Vec<Value>,
    ) -> Result<Vec<PgRow>, Error> {
        self.run(Call::new(sql, values, None, MAINTENANCE, |link| &link.maintenance)).await
    }

    /// Runs a statement as [`maintain`](Self::maintain) does, but never twice: the second time would
    /// change further rows.
    pub(crate) async fn maintain_once(
        self: &Arc<Self>,
        sql: &SqlStr,
        values: Vec<Value>,
    ) -> Result<Vec<PgRow>, Error> {
        let call = Call::new(sql, values, None, MAINTENANCE, |link| &link.maintenance);
        self.run(Call { on_loss: OnLoss::Fail, ..call }).await
    }

    async fn run(self: &Arc<Self>, call: Call) -> Result<Vec<PgRow>, Error> {
        debug_assert!(
            call.sql.as_str().starts_with(&(call.group)(self).tag),
            "a statement is cancelled by the tag of its group"
        );
        let limit = call.limit;
        let (reply, answer) = oneshot::channel();
        let link = Arc::clone(self);
        tokio::spawn(async move { link.serve(call, reply).await });
        if !self.looked.load(Relaxed) {
            let link = Arc::clone(self);
            tokio::spawn(async move { link.look_for_pooler().await });
        }
        match timeout(and_a_quarter(limit), answer).await {
            // The task ends without a reply if its runtime shuts down.
            Ok(answer) => answer.unwrap_or(Err(Error::WorkerCrashed)),
            Err(_) => Err(silent()),
        }
    }

    /// Runs one statement, then returns the connection to the pool.
    ///
    /// The statement is repeated:
    ///
    /// * on another connection, if this one has ended, as all idle ones have after a server
    ///   restart, or if other code has left a transaction open on it. The statement may have
    ///   taken effect, so it must be harmless when repeated. Otherwise the call fails, but a
    ///   connection is ready for the caller's next one.
    /// * at `READ COMMITTED`, if the connection's default is stricter. With a stricter level, only
    ///   the first of several calls that race for a row succeeds.
    async fn serve(self: &Arc<Self>, mut call: Call, reply: Reply) {
        let limit = call.limit;
        // A statement is cancelled together with others whose callers may still wait. So each
        // statement may run for as long as the one with the longest limit.
        let longest = (call.group)(self).longest(limit);
        let mut tries = self.pool.size();
        let mut connection = match self.acquire(limit).await {
            Ok(connection) => connection,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let error = loop {
            if call.slot.is_some() && reply.is_closed() {
                // The caller has given up: a claim granted now would have no handler.
                return give_back(connection, limit).await;
            }
            let direct = self.direct.load(Relaxed);
            let mut is_sent = false;
            let running = async {
                if self.is_shared {
                    refuse_transaction(&mut connection).await?;
                }
                is_sent = true;
                run_on(&mut connection, &call, direct).await
            };
            let error = match timeout(and_a_quarter(longest), running).await {
                Ok(Ok(rows)) => {
                    let _ = reply.send(Ok(rows));
                    return give_back(connection, limit).await;
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    let _ = reply.send(Err(silent()));
                    return self.cancel(connection, &call).await;
                }
            };
            match code(&error).as_deref() {
                // serialization_failure
                Some("40001") if direct => {
                    if self.direct.swap(false, Relaxed) {
                        tracing::warn!(
                            target: "webhook_verify",
                            "connections are stricter than read committed by default: statements \
                             are not prepared"
                        );
                    }
                    continue;
                }
                // admin_shutdown, crash_shutdown, idle_session_timeout; protocol_violation:
                // PgBouncer ends a connection with it if its server is gone;
                // in_failed_sql_transaction: other code left it open
                Some("57P01" | "57P02" | "57P05" | "08P01" | "25P02") => {}
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
            match call.on_loss {
                _ if !is_sent => {}
                OnLoss::Repeat => {}
                OnLoss::RepeatAndTell => {
                    if let Some(last) = call.values.last_mut() {
                        *last = Value::Flag(true);
                    }
                }
                OnLoss::Fail => {
                    let _ = reply.send(Err(error));
                    return give_back(connection, limit).await;
                }
            }
        };
        let _ = reply.send(Err(error));
        drop(connection.detach());
    }

    /// Takes a connection from the pool, or opens one, even if the caller has given up.
    ///
    /// Opening a connection may be slow, or the peer may be dead. So every other attempt ends soon,
    /// to connect as soon as the network is back. The rest get more time, and one of them at a time
    /// gets as much as the pool allows.
    async fn acquire(&self, limit: Duration) -> Result<PoolConnection<Postgres>, Error> {
        let (patience, _permit) = match self.acquired.fetch_add(1, Relaxed) % 2 {
            0 => (limit.max(SHORT), None),
            _ => match self.patient.try_acquire() {
                Ok(permit) => (self.pool.options().get_acquire_timeout(), Some(permit)),
                Err(_) => (limit.saturating_mul(3).max(LONG), None),
            },
        };
        let acquired = timeout(patience, self.pool.acquire()).await;
        acquired.unwrap_or(Err(Error::PoolTimedOut))
    }

    /// Cancels the statement on a connection on which the server is silent, for example because a
    /// table is locked. Then returns the connection to the pool. If the server stays silent on it,
    /// the network has lost the connection, and the link closes it.
    async fn cancel(self: &Arc<Self>, mut connection: PoolConnection<Postgres>, call: &Call) {
        let direct = self.direct.load(Relaxed);
        if direct {
            let (link, group, since) = (Arc::clone(self), call.group, Instant::now());
            tokio::spawn(async move {
                timeout(MAINTENANCE, link.cancel_all(group(&link), since)).await
            });
        }
        let responds = async {
            loop {
                let response = if direct {
                    connection.ping().await
                } else {
                    // The transaction in which the statement ran may still be open.
                    connection.execute("ROLLBACK").await.map(drop)
                };
                match response {
                    // The first response is the error of the cancelled statement.
                    Err(Error::Database(_)) => {}
                    other => return other,
                }
            }
        };
        match timeout((call.limit / 2).max(SHORT), responds).await {
            Ok(Ok(())) => give_back(connection, call.limit).await,
            Ok(Err(_)) | Err(_) => drop(connection.detach()),
        }
    }

    /// Cancels the statements of a group that have run for too long, unless another call has done
    /// so after `since`. Uses a new connection, because all connections of the pool may be busy.
    async fn cancel_all(&self, group: &Group, since: Instant) -> Result<(), Error> {
        let mut cancelled = group.cancelled.lock().await;
        if cancelled.is_some_and(|last| last >= since) {
            return Ok(());
        }
        let mut connection = PgConnection::connect_with(&self.pool.connect_options()).await?;
        let now = Instant::now();
        sqlx::query(CANCEL)
            .bind(&group.tag)
            .bind(i64::try_from(group.longest.load(Relaxed)).unwrap_or(i64::MAX))
            .execute(&mut connection)
            .await?;
        *cancelled = Some(now);
        drop(cancelled);
        connection.close().await
    }
}

/// Returns how long a statement may take before it is cancelled.
fn and_a_quarter(limit: Duration) -> Duration {
    limit.saturating_add(limit / 4)
}

/// Returns a connection to the pool, which first checks that the server responds. Without the limit
/// here, that check could wait forever, and the pool would lose the connection's place.
async fn give_back(mut connection: PoolConnection<Postgres>, limit: Duration) {
    let _ = timeout(limit.max(SHORT), connection.return_to_pool()).await;
}

fn silent() -> Error {
    Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer from the server"))
}

/// Returns an error if a transaction is open on a connection. sqlx leaves it open if the future of
/// `begin` is dropped before the server responds. A statement in it would take effect only if other
/// code commits the transaction.
async fn refuse_transaction(connection: &mut PgConnection) -> Result<(), Error> {
    // After any statement, this fails outside of a transaction.
    match connection.begin_with("").await {
        Err(Error::BeginFailed) => Ok(()),
        Ok(_) => {
            tracing::warn!(
                target: "webhook_verify",
                "closed a connection of your pool that was left in a transaction, for example by a \
                 `begin` whose future was dropped"
            );
            Err(Error::Protocol("the connection was left in a transaction".to_owned()))
        }
        Err(error) => Err(error),
    }
}

async fn run_on(
    connection: &mut PgConnection,
    call: &Call,
    direct: bool,
) -> Result<Vec<PgRow>, Error> {
    let Call { sql, values, limit, .. } = call;
    if direct && !call.several {
        return sqlx::query_with(sql.clone(), bound(values)?).fetch_all(connection).await;
    }
    let settings = format!(
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE; SET LOCAL bytea_output = 'hex'; \
         SET LOCAL statement_timeout = {}; ",
        milliseconds(and_a_quarter(*limit))
    );
    if !values.iter().any(Value::is_private) {
        // One message is one transaction.
        return sqlx::raw_sql(written(&settings, sql, values)).fetch_all(connection).await;
    }
    let begin = AssertSqlSafe(format!("BEGIN; {settings}"));
    let mut transaction = connection.begin_with(begin).await?;
    let query = sqlx::query_with(sql.clone(), bound(values)?).persistent(false);
    let rows = query.fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(rows)
}

/// Returns whether a pooler may have refused the options of the start-up message. Other errors may
/// pass: failed logins (class 28), missing databases (3D), no places (53), and servers that start
/// or stop (57).
pub(super) fn refuses_options(error: &Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| !["28", "3D", "53", "57"].iter().any(|class| code.starts_with(class)))
}

/// Returns whether connections with these options lead directly to the server.
pub(crate) async fn leads_to_server(options: PgConnectOptions) -> Result<bool, Error> {
    let mut connection = PgConnection::connect_with(&options.options([MARK])).await?;
    let row = sqlx::raw_sql(IS_MARKED).fetch_one(&mut connection).await?;
    let is_marked: Option<bool> = row.try_get(0)?;
    connection.close().await?;
    Ok(is_marked == Some(true))
}

/// Returns the error's code, if the server sent one.
pub(crate) fn code(error: &Error) -> Option<String> {
    let code = error.as_database_error()?.code()?;
    Some(code.into_owned())
}

/// Returns a time limit in milliseconds, within the server's range.
pub(crate) fn milliseconds(time: Duration) -> i64 {
    millis(time).clamp(1, i32::MAX.into())
}
