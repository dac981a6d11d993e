use std::time::Duration;

use sqlx::{
    Row as _, SqliteConnection,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::values::{
    DEAD, DISCARDED, DONE, EVENT, RUNNING, WAITING, count, failed, json, stored_event, text, texts,
};
use crate::{
    claim::{
        Settled, StoreError,
        sql::{digest, from_millis, millis},
        sqlite::{add, in_inbox},
    },
    inbox::{
        Advance, EntryHolder, Extended, Inserted, Intake, LeaseRequest, Leased, LeasedEvent,
        NewEvent, Order, Verdict, store::attempts,
    },
};

const INSERT: &str = r#"INSERT INTO "{inbox}" (endpoint, key, namespace, scheme, event_type,
    event_id, event_time, received_at, expires_at, data_pointer, headers, body)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
  ON CONFLICT (endpoint, key) DO NOTHING
  RETURNING number"#;
const INSERT_ENTRIES: &str = r#"INSERT INTO "{inbox}_entry"
    (event, consumer, endpoint, state, attempt, due_at, order_key, position)
  SELECT ?1, value, ?2, 0, 0, ?3, ?4, ?5 FROM json_each(?6)"#;
const LEASE: &str = r#"UPDATE "{inbox}_entry"
  SET state = 1, attempt = min(max(attempt, 0), 4294967294) + 1, owner = ?2, due_at = ?3
  WHERE consumer = ?1 AND event IN (SELECT value FROM json_each(?4))"#;
/// A lease without an attempt, in which the owner settles the entry as dead.
const EXHAUST: &str = r#"UPDATE "{inbox}_entry" SET owner = ?2, due_at = ?3
  WHERE consumer = ?1 AND event IN (SELECT value FROM json_each(?4))"#;
/// An expired lease of an entry with an order key is lost: another entry with the key may run.
const EXTEND: &str = r#"UPDATE "{inbox}_entry" SET due_at = ?4
  WHERE event = ?1 AND consumer = ?2 AND owner = ?3 AND state = 1
    AND (order_key IS NULL OR due_at > ?5)"#;
const SETTLE: &str = r#"UPDATE "{inbox}_entry" SET state = ?4, owner = NULL,
    due_at = coalesce(?5, due_at), error = coalesce(?6, error), finished_at = ?7
  WHERE event = ?1 AND consumer = ?2 AND owner = ?3 AND state = 1"#;
const ADVANCE: &str = r#"INSERT INTO "{inbox}_version" AS v
    (endpoint, consumer, key, version, event)
  VALUES (?1, ?2, ?3, ?4, ?5)
  ON CONFLICT (endpoint, consumer, key) DO UPDATE
  SET version = excluded.version, event = excluded.event
  WHERE excluded.version > v.version
    OR (excluded.version = v.version AND excluded.event = v.event)"#;
/// The number of due entries among which one statement looks for those without an event.
const ORPHANS: usize = 1000;

/// A connection during a call. A call that writes has the write lock, so that no statement of
/// another connection comes between its own.
pub(super) struct Turn<'a> {
    pub(super) on: &'a mut SqliteConnection,
    /// The name of the inbox's table.
    pub(super) table: &'a str,
    pub(super) now: Duration,
}

impl Turn<'_> {
    pub(super) async fn insert(&mut self, intake: &Intake) -> Result<Vec<Inserted>, StoreError> {
        let consumers: Vec<_> = intake.consumers.iter().map(|consumer| text(consumer)).collect();
        let consumers = json(&consumers)?;
        let mut inserted = Vec::with_capacity(intake.events.len());
        for event in &intake.events {
            let new = self.insert_event(&intake.endpoint, event, &consumers).await?;
            inserted.push(if new { Inserted::New } else { Inserted::Duplicate });
        }
        Ok(inserted)
    }

    /// Inserts an event and its entries, and returns whether it is new.
    async fn insert_event(
        &mut self,
        endpoint: &str,
        NewEvent { event, ttl, order_key, position }: &NewEvent,
        consumers: &str,
    ) -> Result<bool, StoreError> {
        let now = millis(self.now);
        let mut arguments = texts(&[endpoint])?;
        add(&mut arguments, event.key.as_bytes().to_vec())?;
        add(&mut arguments, event.namespace.as_deref().map(text))?;
        add(&mut arguments, text(&event.scheme))?;
        add(&mut arguments, event.event_type.as_deref().map(text))?;
        add(&mut arguments, event.id.as_deref().map(text))?;
        add(&mut arguments, event.time.map(millis))?;
        add(&mut arguments, now)?;
        add(&mut arguments, now.saturating_add(millis(*ttl)))?;
        add(&mut arguments, event.data_pointer.as_deref().map(text))?;
        add(&mut arguments, json(&event.headers)?)?;
        add(&mut arguments, event.body.to_vec())?;
        let rows = self.all(INSERT, arguments).await?;
        let Some(row) = rows.first() else { return Ok(false) };
        let mut arguments = SqliteArguments::default();
        add(&mut arguments, row.try_get::<i64, _>(0)?)?;
        add(&mut arguments, text(endpoint))?;
        add(&mut arguments, now)?;
        add(&mut arguments, order_key.as_deref().map(|key| digest(key).to_vec()))?;
        add(&mut arguments, position.unwrap_or(0))?;
        add(&mut arguments, consumers.to_owned())?;
        self.change_rows(INSERT_ENTRIES, arguments).await?;
        Ok(true)
    }

    pub(super) async fn lease(&mut self, request: &LeaseRequest) -> Result<Leased, StoreError> {
        let mut due = loop {
            let rows = self.all(&due_sql(request.order), self.due(request, request.max)?).await?;
            match rows.iter().map(Due::read).collect::<Result<Option<Vec<_>>, _>>()? {
                Some(due) => break due,
                None => {
                    let arguments = self.due(request, request.max.max(ORPHANS))?;
                    self.change_rows(&orphans_sql(request.order), arguments).await?
                }
            };
        };
        due.sort_by_key(|due| (due.due_at, due.event.number));
        let max_attempts = request.max_attempts;
        let is_exhausted = |due: &Due| {
            let attempts = due.event.attempt.saturating_sub(due.event.retried_at_attempt);
            due.state == RUNNING && attempts > max_attempts
        };
        let (exhausted, leased): (Vec<_>, Vec<_>) = due.into_iter().partition(is_exhausted);
        for (sql, due) in [(EXHAUST, &exhausted), (LEASE, &leased)] {
            if due.is_empty() {
                continue;
            }
            let mut arguments = texts(&[&request.consumer])?;
            add(&mut arguments, request.owner.as_bytes().to_vec())?;
            add(&mut arguments, millis(self.now.saturating_add(request.lease)))?;
            add(&mut arguments, json(&numbers(due))?)?;
            self.change_rows(sql, arguments).await?;
        }
        // `Due` counts the next attempt, which an exhausted entry does not get.
        let key = |due: Due| (due.event.number, due.event.event.key, due.event.attempt - 1);
        Ok(Leased {
            events: leased.into_iter().map(|due| due.event).collect(),
            exhausted: exhausted.into_iter().map(key).collect(),
        })
    }

    /// Returns the arguments of [`due_sql`] and [`orphans_sql`].
    fn due(&self, request: &LeaseRequest, max: usize) -> Result<SqliteArguments, StoreError> {
        let mut arguments = texts(&[&request.endpoint, &request.consumer])?;
        add(&mut arguments, millis(self.now))?;
        add(&mut arguments, count(max))?;
        Ok(arguments)
    }

    pub(super) async fn extend(
        &mut self,
        holder: &EntryHolder,
        lease: Duration,
    ) -> Result<Extended, StoreError> {
        let mut arguments = holder_arguments(holder)?;
        add(&mut arguments, millis(self.now.saturating_add(lease)))?;
        add(&mut arguments, millis(self.now))?;
        let extended = self.change_rows(EXTEND, arguments).await? > 0;
        Ok(if extended { Extended::Renewed } else { Extended::Lost })
    }

    pub(super) async fn settle(
        &mut self,
        holder: &EntryHolder,
        verdict: &Verdict,
    ) -> Result<Settled, StoreError> {
        let (state, due_in, error) = match verdict {
            Verdict::Done => (DONE, None, None),
            Verdict::Discarded => (DISCARDED, None, None),
            Verdict::Retry { after, error } => (WAITING, Some(*after), Some(error)),
            Verdict::Dead { error } => (DEAD, None, Some(error)),
            Verdict::Released => (WAITING, Some(Duration::ZERO), None),
        };
        let mut arguments = holder_arguments(holder)?;
        add(&mut arguments, state)?;
        add(&mut arguments, due_in.map(|due_in| millis(self.now.saturating_add(due_in))))?;
        add(&mut arguments, error.map(|error| text(error)))?;
        let is_finished = matches!(state, DONE | DISCARDED);
        add(&mut arguments, is_finished.then_some(millis(self.now)))?;
        let settled = self.change_rows(SETTLE, arguments).await? > 0;
        Ok(if settled { Settled::Applied } else { Settled::Superseded })
    }

    pub(super) async fn advance(&mut self, advance: &Advance) -> Result<bool, StoreError> {
        let mut arguments = texts(&[&advance.endpoint, &advance.consumer])?;
        add(&mut arguments, digest(&advance.key).to_vec())?;
        add(&mut arguments, advance.version)?;
        add(&mut arguments, advance.number)?;
        Ok(self.change_rows(ADVANCE, arguments).await? > 0)
    }

    /// Returns all rows, because a statement that does not run to its end keeps its locks.
    pub(super) async fn all(
        &mut self,
        sql: &str,
        arguments: SqliteArguments,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let sql = in_inbox(sql, self.table);
        sqlx::query_with(sql, arguments).fetch_all(&mut *self.on).await.map_err(failed)
    }

    pub(super) async fn change_rows(
        &mut self,
        sql: &str,
        arguments: SqliteArguments,
    ) -> Result<u64, StoreError> {
        let sql = in_inbox(sql, self.table);
        let done = sqlx::query_with(sql, arguments).execute(&mut *self.on).await;
        Ok(done.map_err(failed)?.rows_affected())
    }
}

/// A due entry.
struct Due {
    due_at: i64,
    state: i64,
    /// With the attempt that a lease starts.
    event: LeasedEvent,
}

impl Due {
    /// Returns `None` if the entry has no event.
    fn read(row: &SqliteRow) -> Result<Option<Self>, StoreError> {
        if row.try_get("is_orphan")? {
            return Ok(None);
        }
        let event = LeasedEvent {
            number: row.try_get("event")?,
            attempt: attempts(row.try_get("attempt")?).saturating_add(1),
            retried_at_attempt: attempts(row.try_get("retried_at_attempt")?),
            received_at: from_millis(row.try_get("received_at")?),
            event: stored_event(row)?,
        };
        Ok(Some(Self { due_at: row.try_get("due_at")?, state: row.try_get("state")?, event }))
    }
}

fn numbers(due: &[Due]) -> Vec<i64> {
    due.iter().map(|due| due.event.number).collect()
}

/// Returns the query for the entries that are due, with their events. The bodies are not sorted.
fn due_sql(order: Order) -> String {
    let due = due_entries(order);
    format!(
        r#"SELECT {EVENT}, i.number IS NULL AS is_orphan, due.event, due.attempt,
            due.retried_at_attempt, due.state, due.due_at
          FROM ({due}) due LEFT JOIN "{{inbox}}" i ON i.number = due.event"#
    )
}

/// Returns the statement that deletes those of the entries that are due without an event.
fn orphans_sql(order: Order) -> String {
    let due = due_entries(order);
    format!(
        r#"DELETE FROM "{{inbox}}_entry" WHERE consumer = ?2 AND event IN (
            SELECT event FROM ({due}) due
            WHERE NOT EXISTS (SELECT 1 FROM "{{inbox}}" i WHERE i.number = due.event))"#
    )
}

/// Returns the query for the entries that are due. It searches an index for each state and value of
/// `behind`.
fn due_entries(order: Order) -> String {
    // The largest value of `behind` with which an entry need not wait.
    let behind = match order {
        Order::None => 2,
        Order::DeadBlocks => 0,
        Order::DeadIsSkipped => 1,
    };
    // An earlier event may be stored, or retried, while a later one is running.
    let is_free = match order {
        Order::None => "",
        Order::DeadBlocks | Order::DeadIsSkipped => {
            r#"AND NOT EXISTS (SELECT 1 FROM "{inbox}_entry" o WHERE o.endpoint = ?1
                AND o.consumer = ?2 AND o.order_key = e.order_key AND o.state = 1
                AND o.due_at > ?3)"#
        }
    };
    let due = |(state, behind): (i64, i64)| {
        format!(
            r#"SELECT * FROM (SELECT e.event, e.attempt, e.retried_at_attempt, e.state, e.due_at
              FROM "{{inbox}}_entry" e
              WHERE e.endpoint = ?1 AND e.consumer = ?2 AND e.state = {state}
                AND e.behind = {behind} AND e.due_at <= ?3 {is_free}
              ORDER BY e.due_at, e.event LIMIT ?4)"#
        )
    };
    let parts = (0..=behind).flat_map(|behind| [(WAITING, behind), (RUNNING, behind)]);
    let due = parts.map(due).collect::<Vec<_>>().join(" UNION ALL ");
    format!("SELECT * FROM ({due}) ORDER BY due_at, event LIMIT ?4")
}

fn holder_arguments(holder: &EntryHolder) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    add(&mut arguments, holder.number)?;
    add(&mut arguments, text(&holder.consumer))?;
    add(&mut arguments, holder.owner.as_bytes().to_vec())?;
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

    use super::*;
    use crate::{claim::sqlite::inbox_tables, inbox::sqlite::operations};

    /// No statement reads entries that it does not need, however many there are.
    #[tokio::test]
    async fn statements_use_an_index() {
        let mut on = SqliteConnectOptions::new().in_memory(true).connect().await.unwrap();
        sqlx::raw_sql(inbox_tables("t")).execute(&mut on).await.unwrap();
        let orders = [Order::None, Order::DeadBlocks, Order::DeadIsSkipped];
        let (leases, orphans) = (orders.map(due_sql), orders.map(orphans_sql));
        let others = [
            INSERT,
            INSERT_ENTRIES,
            LEASE,
            EXHAUST,
            EXTEND,
            SETTLE,
            ADVANCE,
            operations::STATS,
            operations::EXPIRED_EVENTS,
            operations::FINISHED_ENTRIES,
            operations::PURGE_EVENTS,
            operations::PURGE_BODIES,
            operations::EXAMINED,
        ];
        for sql in leases.iter().chain(&orphans).map(String::as_str).chain(others) {
            let explain = in_inbox(&format!("EXPLAIN QUERY PLAN {sql}"), "t");
            let plan: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(explain).fetch_all(&mut on).await.unwrap();
            for (.., step) in &plan {
                let scanned = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
                let is_table = scanned.is_some_and(|name| {
                    ["e", "o", "i", "t", "t_entry", "t_version"].contains(&name)
                });
                assert!(!is_table, "{sql}: {step}");
            }
            if leases.iter().any(|lease| lease == sql) {
                let uses = |index: &str| plan.iter().any(|(.., step)| step.contains(index));
                let due = "(endpoint=? AND consumer=? AND behind=? AND due_at<?)";
                assert!(uses(&format!("SEARCH e USING INDEX t_waiting {due}")), "{plan:?}");
                assert!(uses(&format!("SEARCH e USING INDEX t_running {due}")), "{plan:?}");
            }
        }
    }
}
