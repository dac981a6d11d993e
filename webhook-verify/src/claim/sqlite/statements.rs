use std::time::Duration;

use sqlx::{
    Arguments as _, AssertSqlSafe, Encode, Error, Row as _, SqlSafeStr as _, SqlStr, Sqlite,
    SqliteConnection, Type,
    error::DatabaseError,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::claim::{
    ClaimKey, ClaimOutcome, ClaimRequest, Holder, OnLeaseExpiry, Settled, Step, StoreError,
    StoredResponse,
    sql::{NoTable, Record, Table, foreign, least, millis, stored, won},
};

const READ: &str =
    "SELECT state, owner, attempt, fingerprint, status, lease_until FROM {table} WHERE key = ?1";
/// Completes a claim whose record lives long enough, without a change to the index of expiry times.
const COMPLETE: &str = "UPDATE {table} SET state = 2, status = ?3
  WHERE key = ?1 AND owner = ?2 AND state = 1 AND expires_at >= ?4";
/// Completes any other claim. Both leave a completed claim as it is.
const COMPLETE_FOR: &str = "UPDATE {table} SET state = 2, status = ?3, expires_at = ?4
  WHERE key = ?1 AND owner = ?2 AND state = 1";
const IS_COMPLETED: &str = "SELECT 1 FROM {table} WHERE key = ?1 AND owner = ?2 AND state = 2";
const RELEASE: &str =
    "UPDATE {table} SET lease_until = 0 WHERE key = ?1 AND owner = ?2 AND state = 1";
const EXTEND: &str = "UPDATE {table} SET lease_until = ?3, expires_at = max(expires_at, ?3)
  WHERE key = ?1 AND owner = ?2 AND state = 1 AND lease_until <> 0";
const FORGET: &str = "DELETE FROM {table} WHERE key = ?1";
const PURGE: &str = "DELETE FROM {table} WHERE key IN
  (SELECT key FROM {table} WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";
const CHECK: &str =
    "SELECT key, state, attempt, owner, fingerprint, lease_until, expires_at, status
  FROM {table} LIMIT 0";
const CREATE_INDEX: &str = "CREATE INDEX IF NOT EXISTS {index} ON {table} (expires_at)";
/// Stores a response with a completed claim.
const RESPOND: &str = "INSERT INTO {responses} AS r (key, owner, response, expires_at)
  SELECT key, owner, ?3, expires_at FROM {table} WHERE key = ?1 AND owner = ?2 AND state = 2
  ON CONFLICT (key) DO UPDATE SET
    owner = excluded.owner, response = excluded.response, expires_at = excluded.expires_at";
const RESPONSE: &str = "SELECT r.response
  FROM {table} c JOIN {responses} r ON r.key = c.key AND r.owner = c.owner
  WHERE c.key = ?1 AND c.state = 2 AND c.expires_at > ?2";
const FORGET_RESPONSE: &str = "DELETE FROM {responses} WHERE key = ?1";
const PURGE_RESPONSES: &str = "DELETE FROM {responses} WHERE key IN
  (SELECT key FROM {responses} WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";
const CHECK_RESPONSES: &str = "SELECT key, owner, response, expires_at FROM {responses} LIMIT 0";
const INDEX_RESPONSES: &str =
    "CREATE INDEX IF NOT EXISTS {responses_index} ON {responses} (expires_at)";
const CHECK_EVENTS: &str = "SELECT number, endpoint, key, namespace, scheme, event_type, event_id,
    event_time, received_at, expires_at, data_pointer, headers, body
  FROM {inbox} LIMIT 0";
const CHECK_ENTRIES: &str = "SELECT event, consumer, endpoint, state, attempt,
    retried_at_attempt, owner, due_at, order_key, position, behind, error, finished_at
  FROM {inbox_entry} LIMIT 0";
const CHECK_VERSIONS: &str =
    "SELECT endpoint, consumer, key, version, event FROM {inbox_version} LIMIT 0";

/// The statements, with the table's name in them.
#[derive(Clone)]
pub(super) struct Statements {
    pub(super) table: String,
    /// The name of the inbox's table.
    pub(super) inbox: String,
    claim: SqlStr,
    read: SqlStr,
    complete: SqlStr,
    complete_for: SqlStr,
    is_completed: SqlStr,
    release: SqlStr,
    extend: SqlStr,
    forget: SqlStr,
    purge: SqlStr,
    respond: SqlStr,
    response: SqlStr,
    forget_response: SqlStr,
    purge_responses: SqlStr,
    /// Each with the name of the table that it creates or checks.
    migrate: Vec<(String, SqlStr)>,
}

/// The result of completing a holder's claim.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Completion {
    Now,
    Before,
    Superseded,
}

impl Statements {
    pub(super) fn new(table: &Table<'_>) -> Self {
        let sql = |text: &str| table.in_sql(text);
        let (claims, responses, inbox) = (table.name(), table.responses(), table.inbox());
        let [entries, versions] = ["_entry", "_version"].map(|suffix| format!("{inbox}{suffix}"));
        Self {
            table: table.name().to_owned(),
            inbox: inbox.clone(),
            claim: sql(include_str!("claim.sql")),
            read: sql(READ),
            complete: sql(COMPLETE),
            complete_for: sql(COMPLETE_FOR),
            is_completed: sql(IS_COMPLETED),
            release: sql(RELEASE),
            extend: sql(EXTEND),
            forget: sql(FORGET),
            purge: sql(PURGE),
            respond: sql(RESPOND),
            response: sql(RESPONSE),
            forget_response: sql(FORGET_RESPONSE),
            purge_responses: sql(PURGE_RESPONSES),
            migrate: [
                (claims, sql(include_str!("table.sql"))),
                (claims, sql(CHECK)),
                (claims, sql(CREATE_INDEX)),
                (&*responses, sql(include_str!("responses.sql"))),
                (&*responses, sql(CHECK_RESPONSES)),
                (&*responses, sql(INDEX_RESPONSES)),
                (&*inbox, in_inbox(include_str!("inbox.sql"), &inbox)),
                (&*inbox, sql(CHECK_EVENTS)),
                (&*entries, sql(CHECK_ENTRIES)),
                (&*versions, sql(CHECK_VERSIONS)),
                (&*inbox, inbox_indexes(&inbox)),
            ]
            .map(|(name, sql)| (name.to_owned(), sql))
            .into(),
        }
    }

    /// Claims a key with at most two statements. The transaction must hold the write lock, so that
    /// nobody else writes between them.
    pub(super) async fn claim(
        &self,
        on: &mut SqliteConnection,
        request: &ClaimRequest,
        now: Duration,
    ) -> Result<ClaimOutcome, StoreError> {
        let mut arguments = holder(&request.holder())?;
        add(&mut arguments, request.fingerprint.0.to_vec())?;
        for time in [now, request.lease, request.ttl.max(request.lease)] {
            add(&mut arguments, millis(time))?;
        }
        add(&mut arguments, request.on_lease_expiry == OnLeaseExpiry::Hold)?;
        let rows = self.all(on, &self.claim, arguments).await?;
        if let Some(row) = rows.first() {
            return won(row.try_get(0).map_err(StoreError::new)?);
        }
        let mut arguments = SqliteArguments::default();
        add(&mut arguments, request.key.as_bytes().to_vec())?;
        let rows = self.all(on, &self.read, arguments).await?;
        let row = rows.first().ok_or_else(|| foreign("key"))?;
        record(row, now).map_err(StoreError::new)?.outcome(request)
    }

    pub(super) async fn complete(
        &self,
        on: &mut SqliteConnection,
        by: &Holder,
        status: u16,
        ttl: Duration,
        now: Duration,
    ) -> Result<Completion, StoreError> {
        for (sql, life) in [(&self.complete, least(ttl)), (&self.complete_for, ttl)] {
            let mut arguments = holder(by)?;
            add(&mut arguments, i64::from(status))?;
            add(&mut arguments, millis(now.saturating_add(life)))?;
            if self.change(on, sql, arguments).await? > 0 {
                return Ok(Completion::Now);
            }
        }
        let before = self.all(on, &self.is_completed, holder(by)?).await?;
        Ok(if before.is_empty() { Completion::Superseded } else { Completion::Before })
    }

    /// Takes a holder's step with its claim.
    pub(super) async fn settle(
        &self,
        on: &mut SqliteConnection,
        by: &Holder,
        step: Step,
        now: Duration,
    ) -> Result<Settled, StoreError> {
        let mut arguments = holder(by)?;
        let changed = match step {
            Step::Complete { status, ttl } => {
                return Ok(match self.complete(on, by, status, ttl, now).await? {
                    Completion::Now | Completion::Before => Settled::Applied,
                    Completion::Superseded => Settled::Superseded,
                });
            }
            Step::Release => self.change(on, &self.release, arguments).await?,
            Step::Extend { lease } => {
                add(&mut arguments, millis(now.saturating_add(lease)))?;
                self.change(on, &self.extend, arguments).await?
            }
        };
        Ok(if changed == 0 { Settled::Superseded } else { Settled::Applied })
    }

    /// Completes a claim, and stores the response with it.
    pub(super) async fn complete_with(
        &self,
        on: &mut SqliteConnection,
        by: &Holder,
        status: u16,
        ttl: Duration,
        response: &StoredResponse,
        now: Duration,
    ) -> Result<Settled, StoreError> {
        if self.complete(on, by, status, ttl, now).await? == Completion::Superseded {
            return Ok(Settled::Superseded);
        }
        let mut arguments = holder(by)?;
        add(&mut arguments, response.as_bytes().to_vec())?;
        if self.change_response(on, &self.respond, arguments).await?.is_none() {
            tracing::warn!(
                target: "webhook_verify",
                table = self.table,
                "response is not stored: its table does not exist: migrate creates it"
            );
        }
        Ok(Settled::Applied)
    }

    pub(super) async fn response(
        &self,
        on: &mut SqliteConnection,
        key: &ClaimKey,
        now: Duration,
    ) -> Result<Option<StoredResponse>, StoreError> {
        let mut arguments = SqliteArguments::default();
        add(&mut arguments, key.as_bytes().to_vec())?;
        add(&mut arguments, millis(now))?;
        let rows = sqlx::query_with(self.response.clone(), arguments).fetch_all(on).await;
        let rows = match rows {
            Err(error) if is_missing(&error) => return Ok(None),
            rows => rows.map_err(StoreError::new)?,
        };
        let Some(row) = rows.first() else { return Ok(None) };
        stored(row.try_get(0).map_err(StoreError::new)?).map(Some)
    }

    pub(super) async fn forget(
        &self,
        on: &mut SqliteConnection,
        key: &ClaimKey,
    ) -> Result<u64, StoreError> {
        let mut arguments = SqliteArguments::default();
        add(&mut arguments, key.as_bytes().to_vec())?;
        self.change_response(on, &self.forget_response, arguments.clone()).await?;
        self.change(on, &self.forget, arguments).await
    }

    pub(super) async fn purge(
        &self,
        on: &mut SqliteConnection,
        now: Duration,
        max: usize,
    ) -> Result<u64, StoreError> {
        let mut arguments = SqliteArguments::default();
        add(&mut arguments, millis(now))?;
        add(&mut arguments, max as i64)?;
        self.change_response(on, &self.purge_responses, arguments.clone()).await?;
        self.change(on, &self.purge, arguments).await
    }

    pub(super) async fn migrate(&self, on: &mut SqliteConnection) -> Result<u64, StoreError> {
        for (table, sql) in &self.migrate {
            let done = sqlx::query_with(sql.clone(), SqliteArguments::default()).execute(&mut *on);
            if let Err(error) = done.await {
                return Err(match reason(&error) {
                    Some(reason) if reason.starts_with("no such column") => StoreError::new(
                        format!("table {table} has other columns than migrate creates: {reason}"),
                    ),
                    _ => StoreError::new(error),
                });
            }
        }
        Ok(0)
    }

    /// Returns all rows, because a statement that does not run to its end keeps its locks.
    async fn all(
        &self,
        on: &mut SqliteConnection,
        sql: &SqlStr,
        arguments: SqliteArguments,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let rows = sqlx::query_with(sql.clone(), arguments).fetch_all(on).await;
        rows.map_err(|error| self.failed(error))
    }

    async fn change(
        &self,
        on: &mut SqliteConnection,
        sql: &SqlStr,
        arguments: SqliteArguments,
    ) -> Result<u64, StoreError> {
        let done = sqlx::query_with(sql.clone(), arguments).execute(on).await;
        Ok(done.map_err(|error| self.failed(error))?.rows_affected())
    }

    /// Runs a statement on the table for responses. Returns `None` if the table does not exist,
    /// which it does not in a file of an earlier version. The transaction is still usable.
    async fn change_response(
        &self,
        on: &mut SqliteConnection,
        sql: &SqlStr,
        arguments: SqliteArguments,
    ) -> Result<Option<u64>, StoreError> {
        match sqlx::query_with(sql.clone(), arguments).execute(on).await {
            Ok(done) => Ok(Some(done.rows_affected())),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(StoreError::new(error)),
        }
    }

    fn failed(&self, error: Error) -> StoreError {
        if is_missing(&error) {
            return StoreError::new(NoTable(self.table.clone()));
        }
        StoreError::new(error)
    }
}

/// Replaces `{inbox}` in `text` with the name of the inbox's table, which is safe to quote.
pub(crate) fn in_inbox(text: &str, table: &str) -> SqlStr {
    AssertSqlSafe(text.replace("{inbox}", table)).into_sql_str()
}

/// Returns the statements that create the indexes and triggers of the inbox's tables of this name.
fn inbox_indexes(table: &str) -> SqlStr {
    let order = |name: &str, change: &str, row: &str, condition: &str| {
        let trigger = include_str!("inbox_order.sql").replace("{name}", name);
        let trigger = trigger.replace("{change}", change).replace("{row}", row);
        trigger.replace("{condition}", condition)
    };
    let all = [
        include_str!("inbox_indexes.sql"),
        &order("stored", "INSERT", "new", "true"),
        &order("changed", "UPDATE OF state", "new", "max(old.state, new.state) > 1"),
        &order("removed", "DELETE", "old", "old.state < 3"),
    ];
    in_inbox(&all.concat(), table)
}

/// Returns the statements that create the inbox's tables of this name, with indexes and triggers.
#[cfg(test)]
pub(crate) fn inbox_tables(table: &str) -> SqlStr {
    let tables = in_inbox(include_str!("inbox.sql"), table);
    AssertSqlSafe([tables.as_str(), inbox_indexes(table).as_str()].concat()).into_sql_str()
}

/// Returns whether the statement's table does not exist.
fn is_missing(error: &Error) -> bool {
    reason(error).is_some_and(|reason| reason.starts_with("no such table"))
}

fn reason(error: &Error) -> Option<&str> {
    error.as_database_error().map(DatabaseError::message)
}

/// Reads a row of [`READ`].
fn record(row: &SqliteRow, now: Duration) -> Result<Record<'_>, Error> {
    Ok(Record {
        state: row.try_get(0)?,
        owner: row.try_get(1)?,
        attempt: row.try_get(2)?,
        fingerprint: row.try_get(3)?,
        status: row.try_get(4)?,
        lease_left: row.try_get::<i64, _>(5)?.saturating_sub(millis(now)),
    })
}

fn holder(holder: &Holder) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    add(&mut arguments, holder.key.as_bytes().to_vec())?;
    add(&mut arguments, holder.owner.as_bytes().to_vec())?;
    Ok(arguments)
}

pub(crate) fn add<'a, T: Encode<'a, Sqlite> + Type<Sqlite>>(
    arguments: &mut SqliteArguments,
    value: T,
) -> Result<(), StoreError> {
    arguments.add(value).map_err(StoreError::new)
}
