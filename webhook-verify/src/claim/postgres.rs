mod claims;
mod inbox;
mod link;
mod statements;
mod values;

use std::{fmt, str::FromStr as _, sync::Arc, time::Duration};

use sqlx::{
    Connection as _, Error, PgConnection, PgPool, Postgres, Row as _, SqlStr, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
};
use tokio::runtime::Handle;

use self::{
    claims::{holder, values_of},
    link::refuses_options,
    statements::{Statements, TableStatements},
    values::written,
};
pub(crate) use self::{
    inbox::InboxStatements,
    link::{Link, code, leads_to_server, milliseconds},
    values::Value,
};
use super::{
    ClaimStore as _, Claimed, CommitError, Step, StoreError,
    sql::{self, NoTable, PurgeEvery, Purger, Table},
};
use crate::error::ConfigError;

/// How long `connect` waits for its first connection.
const FIRST_CONNECTION: Duration = Duration::from_secs(10);
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
/// The server's limit for the statements of a process that is dead, or cut off. It exceeds the limits
/// of calls, of maintenance for example, which the link keeps itself.
const STATEMENT_TIMEOUT: &str = "1min";

/// Keeps claims in a PostgreSQL database (12 or later), for any number of machines.
///
/// ```no_run
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// use webhook_verify::{Idempotency, PostgresStore};
///
/// let store = PostgresStore::connect("postgres://localhost/hooks").await?;
/// let idempotency = Idempotency::new(store, "stripe");
/// # Ok(())
/// # }
/// ```
///
/// A claim is one round trip. The database's clock decides when leases and records expire.
/// Duplicates write nothing. Acknowledged claims and completions survive a crash of the server,
/// unless it runs with `synchronous_commit = off`. A failover to a replica that is behind loses
/// the newest ones.
///
/// If the connections' default isolation is stricter than `READ COMMITTED`, the store notices at
/// the first race that fails because of it. From then on, each call sets its own level, as behind a
/// pooler.
///
/// # Poolers
///
/// The store works behind PgBouncer (1.18 or later) in the pool modes `transaction` and `session`.
/// It detects the pooler by itself. It then leaves no settings and no prepared statements on the
/// connections that other applications share:
///
/// * A call is one message, whose settings end with its transaction. It still takes one round trip,
///   but the server plans the statement each time. Storing a response takes four round trips.
/// * If a call takes too long, the server cancels it. The limit is one and a quarter of the call's
///   limit, and replaces the connection's `statement_timeout`.
/// * Your own pool needs `PgConnectOptions::extra_float_digits(None)`. In mode `transaction`, your
///   own statements need `persistent(false)` and a transaction.
/// * PgBouncer refuses `options` in the URL. Name the table as `schema.name`, or set `search_path`
///   for the database user.
///
/// # Under load
///
/// The pool serves as many claims at a time as it has connections. Further claims wait for at most
/// half of their [limit](crate::Idempotency::claim_timeout). Once the queue is longer than the pool
/// can serve in that time, the store refuses claims at once, and their senders get 503 with
/// `Retry-After`. Completions, releases and renewals do not queue behind new claims.
///
/// If a caller gives up, its connection stays in the pool. If the server does not respond within
/// one and a quarter of the longest limit so far, the store cancels the statement. To do so, it
/// opens a connection in addition to the pool. The store closes a connection only if the server
/// stays silent on it even then. Behind a pooler, the server cancels the statement.
///
/// # Effects exactly once
///
/// If a handler's effects are in the same database as the claims, end its transaction with
/// [`commit`](Self::commit), which also completes the delivery's claim. The effects are then
/// committed if and only if the claim is completed. Even if a process dies or another handler takes
/// over, the effects of only one handler remain.
///
/// ```no_run
/// # use webhook_verify::{PostgresStore, idempotency::Claimed};
/// # async fn on_payment(
/// #     store: &PostgresStore, pool: &sqlx::PgPool, delivery: &impl Claimed, payment: &str,
/// # ) -> Result<u16, Box<dyn std::error::Error>> {
/// let mut transaction = pool.begin().await?;
/// sqlx::query("INSERT INTO payment (id) VALUES ($1)")
///     .bind(payment)
///     .execute(&mut *transaction)
///     .await?;
/// store.commit(transaction, delivery, 200).await?;
/// Ok(200)
/// # }
/// ```
///
/// Clones share the pool: one goes to the receiver, and the handler commits with another.
#[derive(Clone)]
pub struct PostgresStore {
    shared: Arc<Shared>,
}

struct Shared {
    link: Arc<Link>,
    statements: Arc<Statements>,
    lock_timeout: Duration,
    purger: Purger,
}

impl sql::Shared for Shared {
    fn purger(&self) -> &Purger {
        &self.purger
    }

    async fn purge(self: Arc<Self>) -> Result<usize, StoreError> {
        PostgresStore { shared: self }.purge(usize::MAX).await
    }
}

impl PostgresStore {
    /// Opens a store on a pool of its own, with at most ten connections. The URL and the features
    /// of `sqlx` decide about TLS.
    ///
    /// The server waits up to 500 ms for locks, closes the connections of a dead client within
    /// seconds, and cancels statements after a minute. The store itself cancels them sooner, at the
    /// [limit of their call](Self#under-load). Behind a [pooler](Self#poolers), the pooler
    /// manages the server's connections. For another pool size or other limits, use
    /// [`new`](Self::new).
    ///
    /// `connect` also creates the table if it does not exist, and deletes expired records in the
    /// background about every minute. No further call is needed.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot connect within 10 s, for the reasons of
    /// [`migrate`](Self::migrate), and outside of a tokio runtime. If your service must start
    /// before its database, use [`new`](Self::new) with `PgPool::connect_lazy`.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::connect_table(url, &Table::DEFAULT).await
    }

    /// Opens a store as [`connect`](Self::connect) does, with a table of your own name in place of
    /// `webhook_claim`: `name` or `schema.name`. The schema has to exist. A database user who may
    /// not create tables can name one that exists.
    ///
    /// # Errors
    ///
    /// The errors of [`connect`](Self::connect), and a name that [`table`](Self::table) refuses.
    pub async fn connect_with_table(url: &str, name: &str) -> Result<Self, StoreError> {
        let table = Table::parse(name).map_err(StoreError::new)?;
        Self::connect_table(url, &table).await
    }

    async fn connect_table(url: &str, table: &Table<'_>) -> Result<Self, StoreError> {
        let every = PurgeEvery::minute()?;
        let store = Self::connect_pool(url, table).await?;
        store.migrate().await?;
        Purger::start(&store.shared, every);
        Ok(store)
    }

    async fn connect_pool(url: &str, table: &Table<'_>) -> Result<Self, StoreError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(StoreError::new("the URL does not begin with postgres://"));
        }
        // Poolers do not know `extra_float_digits`, which sqlx sets by default.
        let options = PgConnectOptions::from_str(url)?.extra_float_digits(None);
        // Connect once outside of the pool first: the pool would report any failure as a timeout.
        // And a start on a busy machine may take longer than a claim should.
        let first = tokio::time::timeout(FIRST_CONNECTION, first_connection(&options)).await;
        let options = first.unwrap_or(Err(Error::PoolTimedOut)).map_err(|error| {
            let (user, host) = (options.get_username(), options.get_host());
            let (port, database) = (options.get_port(), options.get_database().unwrap_or(user));
            let hint = match error.to_string().contains("unsupported startup parameter") {
                true => ": leave options out of the URL, and name the table schema.table",
                false => "",
            };
            StoreError::new(format!(
                "no connection to {user}@{host}:{port}/{database}: {error}{hint}"
            ))
        })?;
        let pool = PgPoolOptions::new()
            .max_connections(10)
            .acquire_timeout(FIRST_CONNECTION)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        Ok(Self::on(pool, false, table))
    }

    /// Creates a store on your pool. Call [`migrate`](Self::migrate) and
    /// [`purge_every`](Self::purge_every) on it; [`connect`](Self::connect) does both by itself.
    ///
    /// * `PgPoolOptions::test_before_acquire(false)` saves a round trip for each call. The store
    ///   notices by itself that a connection has ended.
    /// * With sqlx 0.9, a future of `begin` that is dropped too early leaves a connection of the
    ///   pool in a transaction. Later statements of other code on it take no effect. The store
    ///   checks for this before each call, and closes such a connection. The check costs a round
    ///   trip. [`connect`](Self::connect) needs no such check.
    /// * `max_connections` decides how many claims are served at a time. If handlers use the same
    ///   pool for their transactions, make it large enough for both, because claims wait for free
    ///   connections.
    /// * The server needs a free connection in addition to the pool, to cancel statements whose
    ///   callers have given up, and another one for each inbox with workers in this process.
    /// * `tcp_user_timeout` and `tcp_keepalives_idle` let the server close the connections of a
    ///   dead client.
    /// * `acquire_timeout` should not be shorter than a connection takes to open.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self::on(pool, true, &Table::DEFAULT)
    }

    fn on(pool: PgPool, is_shared: bool, table: &Table<'_>) -> Self {
        let link = Arc::new(Link::new(pool, is_shared));
        let statements = Statements::new(table, link.tags()).into();
        let purger = Purger::default();
        Self { shared: Arc::new(Shared { link, statements, lock_timeout: LOCK_TIMEOUT, purger }) }
    }

    /// Returns a store on the same pool, which purges as this one does.
    fn derived(&self, statements: Arc<Statements>, lock_timeout: Duration) -> Self {
        let link = Arc::clone(&self.shared.link);
        let shared = Shared { link, statements, lock_timeout, purger: Purger::default() }.into();
        self.shared.purger.start_derived(&shared);
        Self { shared }
    }

    /// Uses another table than `webhook_claim`: `name` or `schema.name`, case-sensitive. Call
    /// [`migrate`](Self::migrate) afterwards, or use
    /// [`connect_with_table`](Self::connect_with_table), which creates the table.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if `name` is not a plain name.
    pub fn table(self, name: &str) -> Result<Self, ConfigError> {
        let table = Table::parse(name)?;
        let statements = Statements::new(&table, self.shared.link.tags());
        Ok(self.derived(statements.into(), self.shared.lock_timeout))
    }

    /// Sets how long a call waits for a record that another transaction has locked. The default is
    /// 500 ms. If a claim waits longer, its delivery counts as in progress. Use less than
    /// [`claim_timeout`](crate::Idempotency::claim_timeout).
    #[must_use]
    pub fn lock_timeout(self, time: Duration) -> Self {
        self.derived(Arc::clone(&self.shared.statements), time)
    }

    /// Creates the tables for claims, for [responses], and for [inboxes] if they do not exist. Any
    /// number of processes may do so at once. The schema has to exist.
    ///
    /// The table for responses has the name of the one for claims and `_response`. If the database
    /// user may not create it, responses are not stored.
    ///
    /// The tables for inboxes are `webhook_inbox`, `webhook_inbox_entry` and
    /// `webhook_inbox_version`. If the table for claims has another name than `webhook_claim`, its
    /// name and `_inbox` replace `webhook_inbox`. If the database user may not create them, inboxes
    /// fail at their first use.
    ///
    /// # Errors
    ///
    /// [`StoreError`] in these cases:
    ///
    /// * A table cannot be created, or exists with other columns.
    /// * The database user lacks a privilege on the table of claims.
    /// * The table's row-level security applies to the database user.
    ///
    /// [inboxes]: crate::inbox
    /// [responses]: crate::idempotency::Replay::Body
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let Statements { table, claims, responses, inbox, .. } = &*self.shared.statements;
        self.shared.link.look_for_pooler().await;
        let created = self.create(claims).await;
        if let Some(obstacle) = created.map_err(|error| self.not_migrated(claims, error))? {
            return Err(StoreError::new(format!("table {table}: {obstacle}")));
        }
        if let Some(obstacle) = self.create_optional(responses).await? {
            tracing::info!(
                target: "webhook_verify",
                table,
                obstacle,
                "no responses will be stored: the database user may not use or create their table"
            );
        }
        for statements in &inbox.tables {
            if let Some(obstacle) = self.create_optional(statements).await? {
                tracing::info!(
                    target: "webhook_verify",
                    table = inbox.table,
                    obstacle,
                    "no inbox can be used: the database user may not use or create its tables"
                );
                break;
            }
        }
        Ok(())
    }

    /// Creates a table as [`create`](Self::create) does. A missing right to create it is an
    /// obstacle.
    async fn create_optional(&self, table: &TableStatements) -> Result<Option<String>, StoreError> {
        match self.create(table).await {
            // insufficient_privilege
            Err(error) if code(&error).as_deref() == Some("42501") => Ok(Some(error.to_string())),
            created => created.map_err(|error| self.not_migrated(table, error)),
        }
    }

    /// Returns the store's error for an error of [`create`](Self::create).
    fn not_migrated(&self, table: &TableStatements, error: Error) -> StoreError {
        match code(&error).as_deref() {
            // undefined_column
            Some("42703") => StoreError::new(format!(
                "table {} has other columns than migrate creates: {error}",
                table.name
            )),
            _ => self.failed_on(&table.name, error),
        }
    }

    /// Checks a table, and creates it if it does not exist. Returns the reason if the database user
    /// cannot use it.
    async fn create(&self, table: &TableStatements) -> Result<Option<String>, Error> {
        match self.obstacle(table).await {
            // undefined_table
            Err(error) if code(&error).as_deref() == Some("42P01") => {}
            checked => return checked,
        }
        // One message is one transaction.
        sqlx::raw_sql(table.create.clone()).execute(&self.shared.link.pool).await?;
        if let Some(clean) = &table.clean {
            self.clean(clean).await?;
        }
        self.obstacle(table).await
    }

    /// Deletes what an earlier table has left, batch by batch.
    async fn clean(&self, statement: &SqlStr) -> Result<(), Error> {
        let mut last = 0;
        loop {
            let deleted = self.shared.link.maintain(statement, vec![Value::Int(last)]).await?;
            let numbers = deleted.iter().map(|row| row.try_get::<i64, _>(0));
            match numbers.collect::<Result<Vec<_>, _>>()?.into_iter().max() {
                Some(number) => last = number,
                None => return Ok(()),
            }
        }
    }

    async fn obstacle(&self, table: &TableStatements) -> Result<Option<String>, Error> {
        let link = &self.shared.link;
        for row in link.maintain(&table.rights, Vec::new()).await? {
            if let Some(rights) = row.try_get::<Option<String>, _>(0)? {
                return Ok(Some(format!("the database user lacks the right to {rights}")));
            }
            if row.try_get(1)? {
                let obstacle = "row-level security applies to the database user: disable it for \
                                this table, or give the user BYPASSRLS";
                return Ok(Some(obstacle.to_owned()));
            }
        }
        link.maintain(&table.check, Vec::new()).await?;
        Ok(None)
    }

    /// Deletes expired records about every `interval`, in the background, until the last clone of
    /// this store is dropped. A store from [`connect`](Self::connect) does so every minute; another
    /// call replaces the interval. Stores derived from this one, for example with
    /// [`table`](Self::table), purge as well.
    ///
    /// An interval of a minute is fine; less than a second counts as a second. Any number of
    /// processes may purge one table. Failures are logged. Claims do not depend on purging.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn purge_every(&self, interval: Duration) {
        Purger::start(&self.shared, PurgeEvery::new(interval, Handle::current()));
    }

    /// Completes the claim of a delivery or an event in `transaction` and commits it, in place of
    /// `transaction.commit()`. Retries get `status`.
    ///
    /// Keep the transaction short, and at `READ COMMITTED`: a stricter one fails if the lease is
    /// renewed meanwhile.
    ///
    /// If the handler returns 2xx without committing, its effects are lost. If it commits by other
    /// means, its effects happen at least once.
    ///
    /// # Errors
    ///
    /// [`CommitError`]. The transaction is then rolled back.
    pub async fn commit(
        &self,
        mut transaction: Transaction<'_, Postgres>,
        claimed: &impl Claimed,
        status: u16,
    ) -> Result<(), CommitError> {
        self.complete_in(&mut transaction, claimed, status).await?;
        transaction.commit().await?;
        if let Some(claim) = claimed.claim() {
            claim.set_committed(status);
        }
        Ok(())
    }

    /// Completes the claim as [`commit`](Self::commit) does, but leaves the commit to the caller.
    /// Call it last in the transaction: it locks the claim, and renewals of the lease wait for it.
    /// It sets `lock_timeout` for the rest of the transaction.
    ///
    /// # Errors
    ///
    /// [`CommitError`]. Roll the transaction back.
    pub async fn complete_in(
        &self,
        transaction: &mut PgConnection,
        claimed: &impl Claimed,
        status: u16,
    ) -> Result<(), CommitError> {
        let claim = claimed.claim().ok_or(CommitError::NotClaimed)?;
        let statements = &self.shared.statements;
        let status = sql::success(status)?;
        let mut values = holder(&claim.holder());
        values.extend(values_of(Step::Complete { status, ttl: claim.request().ttl }));
        values.push(self.lock_timeout_value());
        claim.set_committing();
        let completed = run_in(transaction, &statements.complete_in, &values).await;
        let failed = |error| sql::in_transaction(self.failed(error));
        if !completed.map_err(failed)?.is_empty() {
            return Ok(());
        }
        let values = holder(&claim.holder());
        let already = run_in(transaction, &statements.is_completed, &values).await;
        Err(match already.map_err(failed)?.first() {
            Some(_) => {
                claim.set_committed(status);
                CommitError::AlreadyCompleted
            }
            None => CommitError::Superseded,
        })
    }

    async fn maintain(&self, sql: &SqlStr, values: Vec<Value>) -> Result<Vec<PgRow>, StoreError> {
        let rows = self.shared.link.maintain(sql, values).await;
        rows.map_err(|error| self.failed(error))
    }

    /// Runs a statement for holders. Returns a row for each holder to which the statement applied.
    async fn settled(
        &self,
        sql: &SqlStr,
        values: Vec<Value>,
        limit: Duration,
    ) -> Result<Vec<PgRow>, StoreError> {
        let rows = self.shared.link.settle(sql, values, limit).await;
        rows.map_err(|error| self.failed(error))
    }

    pub(crate) fn lock_timeout_value(&self) -> Value {
        Value::Int(milliseconds(self.shared.lock_timeout))
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.shared.link
    }

    pub(crate) fn inbox_statements(&self) -> &InboxStatements {
        &self.shared.statements.inbox
    }

    fn failed(&self, error: Error) -> StoreError {
        self.failed_on(&self.shared.statements.table, error)
    }

    /// Returns the error of a statement on a table.
    pub(crate) fn failed_on(&self, table: &str, error: Error) -> StoreError {
        match code(&error).as_deref() {
            Some("42P01") => StoreError::new(NoTable(table.to_owned())),
            // invalid_schema_name
            Some("3F000") => StoreError::new(format!(
                "{error}: create the schema, or name another, as in schema.{}",
                self.shared.statements.table
            )),
            _ => StoreError::new(error),
        }
    }
}

/// Runs a statement in the user's transaction. Sends it as text, because the connection may lead to
/// a pooler.
pub(crate) async fn run_in(
    transaction: &mut PgConnection,
    sql: &SqlStr,
    values: &[Value],
) -> Result<Vec<PgRow>, Error> {
    sqlx::raw_sql(written("", sql, values)).fetch_all(transaction).await
}

/// Connects, and closes the connection. Returns the options for further connections.
///
/// The server should neither run statements for clients that are gone nor keep their connections.
/// These settings are options of the start-up message, so they cost no round trip. A pooler refuses
/// them, because they would also apply to its other clients.
async fn first_connection(options: &PgConnectOptions) -> Result<PgConnectOptions, Error> {
    let with_limits = options.clone().options([
        ("lock_timeout", "500ms"),
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "2"),
        ("tcp_keepalives_count", "3"),
        ("tcp_user_timeout", "5000"),
    ]);
    let options = match PgConnection::connect_with(&with_limits).await {
        Ok(connection) => {
            connection.close().await?;
            return Ok(with_limits);
        }
        Err(error) if refuses_options(&error) => options.clone(),
        Err(error) => return Err(error),
    };
    PgConnection::connect_with(&options).await?.close().await?;
    Ok(options)
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("table", &self.shared.statements.table)
            .field("lock_timeout", &self.shared.lock_timeout)
            .finish_non_exhaustive()
    }
}
