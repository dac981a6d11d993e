use sqlx::{Row as _, sqlite::SqliteArguments};

use super::{
    turn::Turn,
    values::{EVENT, count, json, number, read_text, state, stored_event, text, texts},
};
use crate::{
    claim::{
        StoreError,
        sql::{from_millis, millis},
        sqlite::add,
    },
    inbox::{Change, Entry, EntryState, Filter, Retention, Stats, store::attempts},
};

pub(super) const STATS: &str = include_str!("stats.sql");
pub(super) const PURGE_EVENTS: &str = r#"DELETE FROM "{inbox}" WHERE number IN (
    SELECT value FROM json_each(?1) WHERE NOT EXISTS (SELECT 1 FROM "{inbox}_entry" e
      WHERE e.event = value AND (e.state < 3 OR e.finished_at > ?2)))
  RETURNING number"#;
pub(super) const PURGE_BODIES: &str = r#"UPDATE "{inbox}" SET body = NULL WHERE number IN (
    SELECT value FROM json_each(?1) WHERE NOT EXISTS (SELECT 1 FROM "{inbox}_entry" e
      WHERE e.event = value AND (e.state < 3 OR e.finished_at > ?2)))
  RETURNING number"#;
/// An examined entry leaves the index of finished entries, even if another entry keeps the body: the
/// one that is finished last leads to the body again. So no purge examines an entry that an earlier
/// one has examined.
pub(super) const EXAMINED: &str = r#"UPDATE "{inbox}_entry" SET finished_at = NULL
  WHERE event IN (SELECT value FROM json_each(?1)) AND finished_at <= ?2"#;
pub(super) const EXPIRED_EVENTS: &str = r#"SELECT expires_at, number FROM "{inbox}"
  WHERE endpoint = ?1 AND body IS NULL AND expires_at <= ?2 AND (expires_at, number) > (?3, ?4)
  ORDER BY expires_at, number LIMIT ?5"#;
pub(super) const FINISHED_ENTRIES: &str = r#"SELECT finished_at, event FROM "{inbox}_entry"
  WHERE endpoint = ?1 AND finished_at IS NOT NULL AND finished_at <= ?2
    AND (finished_at, event) > (?3, ?4)
  ORDER BY finished_at, event LIMIT ?5"#;

/// The entries that a call examines: up to `step` entries after the event number `after`, of which
/// up to `left` are listed or changed.
#[derive(Clone, Copy)]
pub(super) struct Page {
    pub(super) after: i64,
    pub(super) step: usize,
    pub(super) left: usize,
}

/// The time and the event number after which a purge continues.
#[derive(Clone, Copy)]
pub(super) struct Cursor(i64, i64);

/// The part of an inbox that a purge removes.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// Events without a body, with their entries.
    Events,
    Bodies,
}

/// How many events or bodies a call removed, and where to continue, unless nothing follows.
pub(super) type Purged = (usize, Option<Cursor>);

impl Cursor {
    pub(super) const START: Self = Self(i64::MIN, i64::MIN);
}

impl Turn<'_> {
    pub(super) async fn stats(&mut self, endpoint: &str) -> Result<Vec<Stats>, StoreError> {
        let mut stats = Vec::new();
        for row in self.all(STATS, texts(&[endpoint])?).await? {
            let count = |index: usize| -> Result<u64, StoreError> {
                Ok(row.try_get::<i64, _>(index)?.unsigned_abs())
            };
            let received_at: Option<i64> = row.try_get(4)?;
            stats.push(Stats {
                consumer: row.try_get(0)?,
                waiting: count(1)?,
                running: count(2)?,
                dead: count(3)?,
                oldest: received_at.map(|at| self.now.saturating_sub(from_millis(at))),
            });
        }
        Ok(stats)
    }

    /// Returns the number of the last event on a page, or `None` if the page is empty.
    pub(super) async fn page_end(
        &mut self,
        filter: &Filter,
        page: Page,
    ) -> Result<Option<i64>, StoreError> {
        let within = within(filter);
        let sql = format!(
            r#"SELECT max(event) FROM (SELECT e.event FROM "{{inbox}}_entry" e
              WHERE {within} ORDER BY e.event LIMIT ?4)"#
        );
        let mut arguments = page_arguments(filter, page)?;
        add(&mut arguments, count(page.step))?;
        let rows = self.all(&sql, arguments).await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?.flatten())
    }

    /// Lists the entries of a page whose last event is `end`.
    pub(super) async fn list(
        &mut self,
        filter: &Filter,
        page: Page,
        end: i64,
    ) -> Result<Vec<Entry>, StoreError> {
        let matching = matching(filter);
        let sql = format!(
            "SELECT {EVENT}, e.event, e.consumer, e.state, e.attempt, e.due_at, e.error {matching}
              ORDER BY e.event, e.consumer LIMIT ?9"
        );
        let mut entries = Vec::new();
        for row in self.all(&sql, filter_arguments(filter, page, end)?).await? {
            entries.push(Entry {
                number: row.try_get("event")?,
                consumer: row.try_get("consumer")?,
                state: state(row.try_get("state")?)?,
                attempts: attempts(row.try_get("attempt")?),
                due_at: from_millis(row.try_get("due_at")?),
                received_at: from_millis(row.try_get("received_at")?),
                error: read_text(&row, "error")?,
                event: stored_event(&row)?,
            });
        }
        Ok(entries)
    }

    /// Changes the entries of a page whose last event is `end`.
    pub(super) async fn change(
        &mut self,
        filter: &Filter,
        change: Change,
        page: Page,
        end: i64,
    ) -> Result<usize, StoreError> {
        let set = match change {
            // An entry that has waited for long keeps its place.
            Change::Retry => {
                "state = 0, retried_at_attempt = attempt,
                due_at = iif(state = 0, min(due_at, ?10), ?10)"
            }
            Change::Discard => "state = 4, finished_at = ?10",
        };
        let matching = matching(filter);
        let sql = format!(
            r#"UPDATE "{{inbox}}_entry" SET {set} WHERE (event, consumer) IN (
              SELECT e.event, e.consumer {matching} AND e.state IN (0, 2)
              ORDER BY e.event, e.consumer LIMIT ?9)"#
        );
        let mut arguments = filter_arguments(filter, page, end)?;
        add(&mut arguments, millis(self.now))?;
        let changed = self.change_rows(&sql, arguments).await?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    /// Examines up to `max` events or entries after `from`, and removes the events or bodies that need
    /// not be kept.
    pub(super) async fn purge(
        &mut self,
        part: Part,
        endpoint: &str,
        Retention { bodies }: Retention,
        from: Cursor,
        max: usize,
    ) -> Result<Purged, StoreError> {
        let now = millis(self.now);
        let finished = now.saturating_sub(millis(bodies));
        let (examine, until, remove) = match part {
            Part::Events => (EXPIRED_EVENTS, now, PURGE_EVENTS),
            Part::Bodies => (FINISHED_ENTRIES, finished, PURGE_BODIES),
        };
        let (candidates, next) = self.candidates(examine, endpoint, until, from, max).await?;
        let mut arguments = texts(&[&json(&candidates)?])?;
        add(&mut arguments, finished)?;
        let removed = self.all(remove, arguments.clone()).await?.len();
        if let Part::Bodies = part {
            self.change_rows(EXAMINED, arguments).await?;
        }
        Ok((removed, next))
    }

    /// Returns the numbers of up to `max` next events to examine, and the cursor after them unless
    /// they are the last ones.
    async fn candidates(
        &mut self,
        sql: &str,
        endpoint: &str,
        until: i64,
        Cursor(time, number): Cursor,
        max: usize,
    ) -> Result<(Vec<i64>, Option<Cursor>), StoreError> {
        let mut arguments = texts(&[endpoint])?;
        for value in [until, time, number, count(max)] {
            add(&mut arguments, value)?;
        }
        let (mut candidates, mut next) = (Vec::new(), None);
        for row in self.all(sql, arguments).await? {
            next = Some(Cursor(row.try_get(0)?, row.try_get(1)?));
            candidates.push(row.try_get(1)?);
        }
        let is_last = candidates.len() < max;
        Ok((candidates, next.filter(|_| !is_last)))
    }
}

/// Returns the condition for the entries after [`Page::after`] of which a page consists, with the
/// arguments of [`page_arguments`]. Those of other endpoints count as well, unless an index tells
/// them apart: they have to be examined.
fn within(filter: &Filter) -> &'static str {
    if filter.key.is_some() {
        r#"e.event > ?2
          AND e.event = (SELECT number FROM "{inbox}" WHERE endpoint = ?1 AND key = ?3)"#
    } else if filter.state == Some(EntryState::Dead) {
        "e.event > ?2 AND e.endpoint = ?1 AND e.state = 2"
    } else {
        "e.event > ?2"
    }
}

/// Returns the part of a query that selects the entries of a page, with the arguments of
/// [`filter_arguments`].
fn matching(filter: &Filter) -> String {
    let within = within(filter);
    format!(
        r#"FROM "{{inbox}}_entry" e CROSS JOIN "{{inbox}}" i ON i.number = e.event
          WHERE {within} AND e.endpoint = ?1 AND e.event <= ?4
            AND (?5 IS NULL OR e.consumer = ?5) AND (?6 IS NULL OR e.state = ?6)
            AND (?7 IS NULL OR i.event_type = ?7) AND (?8 IS NULL OR i.namespace = ?8)"#
    )
}

fn page_arguments(filter: &Filter, page: Page) -> Result<SqliteArguments, StoreError> {
    let mut arguments = texts(&[&filter.endpoint])?;
    add(&mut arguments, page.after)?;
    add(&mut arguments, filter.key.map(|key| key.as_bytes().to_vec()))?;
    Ok(arguments)
}

fn filter_arguments(filter: &Filter, page: Page, end: i64) -> Result<SqliteArguments, StoreError> {
    let mut arguments = page_arguments(filter, page)?;
    add(&mut arguments, end)?;
    add(&mut arguments, filter.consumer.as_deref().map(text))?;
    add(&mut arguments, filter.state.map(number))?;
    add(&mut arguments, filter.event_type.as_deref().map(text))?;
    add(&mut arguments, filter.namespace.as_deref().map(text))?;
    add(&mut arguments, count(page.left))?;
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

    use super::*;
    use crate::claim::sqlite::{in_inbox, inbox_tables};

    /// Purges examine neither the events that are kept for their bodies, nor, a second time, the
    /// finished entries of events that another consumer keeps.
    #[tokio::test]
    async fn purges_examine_nothing_that_is_kept() {
        let mut on = SqliteConnectOptions::new().in_memory(true).connect().await.unwrap();
        sqlx::raw_sql(inbox_tables("t")).execute(&mut on).await.unwrap();
        // Of each three events, one is waiting, one is kept for its body, and one is dead for another
        // consumer.
        let fill = r#"WITH RECURSIVE counted (n) AS (
            SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 300)
          INSERT INTO "{inbox}" (endpoint, key, scheme, received_at, expires_at, headers, body)
          SELECT 'inbox', randomblob(32), 'mautic', 0, 0, '[]', x'01' FROM counted;
          INSERT INTO "{inbox}_entry"
            (event, consumer, endpoint, state, attempt, due_at, position, finished_at)
          SELECT number, 'crm', 'inbox', iif(number % 3 = 0, 0, 3), 0, 0, 0,
            CASE number % 3 WHEN 1 THEN 60000 WHEN 2 THEN 1 END
          FROM "{inbox}";
          INSERT INTO "{inbox}_entry" (event, consumer, endpoint, state, attempt, due_at, position)
          SELECT number, 'search', 'inbox', 2, 1, 0, 0 FROM "{inbox}" WHERE number % 3 = 2"#;
        sqlx::raw_sql(in_inbox(fill, "t")).execute(&mut on).await.unwrap();
        let minute = Duration::from_secs(60);
        let mut turn = Turn { on: &mut on, table: "t", now: minute };
        let retention = Retention { bodies: minute / 2 };
        let mut examined = async |part| {
            let (_, from) = turn.purge(part, "inbox", retention, Cursor::START, 10).await.unwrap();
            let sql = "SELECT count(*) FROM {inbox} WHERE body IS NULL";
            let gone = turn.all(sql, SqliteArguments::default()).await.unwrap();
            assert_eq!(gone[0].get::<i64, _>(0), 0);
            from.is_some()
        };
        assert!(!examined(Part::Events).await);
        for _ in 0..10 {
            assert!(examined(Part::Bodies).await);
        }
        assert!(!examined(Part::Bodies).await);
        // The entry that is finished last leads to the body.
        let finish = r#"UPDATE "{inbox}_entry" SET state = 3, finished_at = 2 WHERE state = 2"#;
        turn.change_rows(finish, SqliteArguments::default()).await.unwrap();
        for part in [Part::Bodies, Part::Events] {
            let purged = turn.purge(part, "inbox", retention, Cursor::START, 1000).await.unwrap();
            assert_eq!(purged.0, 100);
        }
    }
}
