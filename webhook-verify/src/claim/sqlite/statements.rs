use std::time::Duration;

use sqlx::{
    Arguments as _, Encode, Error, Row as _, SqlStr, Sqlite, SqliteConnection, Type,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::claim::{
    ClaimKey, ClaimOutcome, ClaimRequest, Fingerprint, Holder, Lapsed, Settled, Step, StoreError,
    sql::{Table, foreign, from_millis, millis},
};

const READ: &str =
    "SELECT state, owner, attempt, fingerprint, status, lease_until FROM {table} WHERE key = ?1";
/// What its owner has completed stays as it is.
const COMPLETE: &str = "UPDATE {table} SET state = 2, status = ?3, expires_at = max(expires_at, ?4)
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

/// The statements, with the table's name in them.
#[derive(Clone)]
pub(super) struct Statements {
    pub(super) table: String,
    claim: SqlStr,
    read: SqlStr,
    complete: SqlStr,
    is_completed: SqlStr,
    release: SqlStr,
    extend: SqlStr,
    forget: SqlStr,
    purge: SqlStr,
    migrate: [SqlStr; 3],
}

/// How a holder's claim was found when it was to be completed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Completion {
    Now,
    Before,
    Superseded,
}

impl Statements {
    pub(super) fn new(table: &Table<'_>) -> Self {
        let sql = |text: &str| table.in_sql(text);
        Self {
            table: table.name().to_owned(),
            claim: sql(include_str!("claim.sql")),
            read: sql(READ),
            complete: sql(COMPLETE),
            is_completed: sql(IS_COMPLETED),
            release: sql(RELEASE),
            extend: sql(EXTEND),
            forget: sql(FORGET),
            purge: sql(PURGE),
            migrate: [sql(include_str!("table.sql")), sql(CREATE_INDEX), sql(CHECK)],
        }
    }

    /// Two statements at most, between which nobody else writes: in a transaction that holds the write lock.
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
        add(&mut arguments, request.lapsed == Lapsed::Hold)?;
        let won = self.all(on, &self.claim, arguments).await?;
        if let Some(row) = won.first() {
            return won_by(row.try_get(0).map_err(StoreError::new)?);
        }
        let mut arguments = SqliteArguments::default();
        add(&mut arguments, request.key.as_bytes().to_vec())?;
        let rows = self.all(on, &self.read, arguments).await?;
        known(rows.first().ok_or_else(|| foreign("key"))?, request, now)
    }

    pub(super) async fn complete(
        &self,
        on: &mut SqliteConnection,
        by: &Holder,
        status: u16,
        until: Duration,
    ) -> Result<Completion, StoreError> {
        let mut arguments = holder(by)?;
        add(&mut arguments, i64::from(status))?;
        add(&mut arguments, millis(until))?;
        if self.change(on, &self.complete, arguments).await? > 0 {
            return Ok(Completion::Now);
        }
        let before = self.all(on, &self.is_completed, holder(by)?).await?;
        Ok(match before.is_empty() {
            true => Completion::Superseded,
            false => Completion::Before,
        })
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
                let until = now.saturating_add(ttl);
                return Ok(match self.complete(on, by, status, until).await? {
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
        Ok(match changed {
            0 => Settled::Superseded,
            _ => Settled::Applied,
        })
    }

    pub(super) async fn forget(
        &self,
        on: &mut SqliteConnection,
        key: &ClaimKey,
    ) -> Result<u64, StoreError> {
        let mut arguments = SqliteArguments::default();
        add(&mut arguments, key.as_bytes().to_vec())?;
        self.change(on, &self.forget, arguments).await
    }

    pub(super) async fn purge(
        &self,
        on: &mut SqliteConnection,
        now: Duration,
        most: usize,
    ) -> Result<u64, StoreError> {
        let mut arguments = SqliteArguments::default();
        add(&mut arguments, millis(now))?;
        add(&mut arguments, most as i64)?;
        self.change(on, &self.purge, arguments).await
    }

    pub(super) async fn migrate(&self, on: &mut SqliteConnection) -> Result<u64, StoreError> {
        for sql in &self.migrate {
            self.change(on, sql, SqliteArguments::default()).await?;
        }
        Ok(0)
    }

    /// All rows, as a statement that is not run to its end keeps its locks.
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

    fn failed(&self, error: Error) -> StoreError {
        let missing = error
            .as_database_error()
            .is_some_and(|error| error.message().starts_with("no such table"));
        match missing {
            true => {
                StoreError::new(format!("table {} does not exist: migrate creates it", self.table))
            }
            false => StoreError::new(error),
        }
    }
}

fn won_by(attempt: i64) -> Result<ClaimOutcome, StoreError> {
    let attempt = u64::try_from(attempt).map_err(|_| foreign("attempt"))?;
    Ok(ClaimOutcome::Won { attempt })
}

/// What a record says to `request` that it was not claimed by.
fn known(
    row: &SqliteRow,
    request: &ClaimRequest,
    now: Duration,
) -> Result<ClaimOutcome, StoreError> {
    type Columns<'a> = (i64, &'a [u8], i64, &'a [u8], Option<i64>, i64);
    let read = || -> Result<Columns<'_>, Error> {
        Ok((
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
            row.try_get(4)?,
            row.try_get(5)?,
        ))
    };
    let (state, owner, attempt, fingerprint, status, lease_until) =
        read().map_err(StoreError::new)?;
    if state == 2 {
        let status = status.and_then(|status| u16::try_from(status).ok());
        let fingerprint = fingerprint.try_into().map_err(|_| foreign("fingerprint"))?;
        return Ok(ClaimOutcome::Completed {
            status: status.ok_or_else(|| foreign("status"))?,
            fingerprint: Fingerprint(fingerprint),
        });
    }
    let left = lease_until.saturating_sub(millis(now));
    match left > 0 && owner == request.owner.as_bytes() {
        true => won_by(attempt),
        false => Ok(ClaimOutcome::Busy { lease_left: from_millis(left) }),
    }
}

fn holder(holder: &Holder) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    add(&mut arguments, holder.key.as_bytes().to_vec())?;
    add(&mut arguments, holder.owner.as_bytes().to_vec())?;
    Ok(arguments)
}

fn add<'a, T: Encode<'a, Sqlite> + Type<Sqlite>>(
    arguments: &mut SqliteArguments,
    value: T,
) -> Result<(), StoreError> {
    arguments.add(value).map_err(StoreError::new)
}
