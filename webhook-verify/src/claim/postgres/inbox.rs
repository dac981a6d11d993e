//! The tables of inboxes, and the statements on them. The module `inbox` runs them.

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use super::statements::{LOCK_TABLES, RIGHTS, TableStatements};
use crate::claim::sql::Table;

/// The columns of an event, in the order in which `inbox::postgres` reads them. A time that was
/// edited by hand may be infinite, which has no number.
const EVENT: &str = "e.number, floor(extract(epoch FROM
      least(greatest(e.received_at, 'epoch'), '9999-12-31')) * 1000)::bigint, e.key,
    e.namespace, e.scheme, e.event_type, e.event_id, e.event_time, e.data_pointer, e.headers";
const CHECK_EVENTS: &str = "SELECT number, key, endpoint, namespace, scheme, event_type, event_id,
    event_time, data_pointer, received_at, headers, body, expires_at
  FROM {inbox} LIMIT 0";
const CHECK_ENTRIES: &str =
    "SELECT event, consumer, endpoint, state, attempt, retried_at_attempt, owner,
    due_at, order_key, position, error, finished_at
  FROM {inbox_entry} LIMIT 0";
const CHECK_VERSIONS: &str =
    "SELECT endpoint, consumer, key, version, event FROM {inbox_version} LIMIT 0";
/// Events that are kept for their bodies are not in the index, so that they cost purges nothing.
const INDEX_EVENTS: &str = "CREATE INDEX IF NOT EXISTS {inbox_ends}
  ON {inbox} (endpoint, expires_at, number) WHERE body IS NULL";
/// If the table of events was dropped, the remaining entries and versions must not become those of
/// new events. So a new sequence continues after their numbers.
const CONTINUE_NUMBERS: &str = "SELECT setval('{inbox_number}', greatest(
    (SELECT max(event) FROM {inbox_entry}), (SELECT max(event) FROM {inbox_version})))
  FROM {inbox_number} WHERE NOT is_called";
/// Deletes a batch of the entries whose events were dropped, and their versions, after the event `$1`.
const DELETE_ORPHANS: &str = "WITH orphans AS MATERIALIZED (
    SELECT ARRAY(
      (SELECT DISTINCT t.event
        FROM {inbox_entry} t
        WHERE t.event > $1 AND NOT EXISTS (SELECT FROM {inbox} e WHERE e.number = t.event)
        ORDER BY t.event
        LIMIT 1000)
      UNION
      (SELECT DISTINCT t.event
        FROM {inbox_version} t
        WHERE t.event > $1 AND NOT EXISTS (SELECT FROM {inbox} e WHERE e.number = t.event)
        ORDER BY t.event
        LIMIT 1000)
      ORDER BY event
      LIMIT 1000
    ) AS events
  ), entries AS (
    DELETE FROM {inbox_entry} WHERE event = ANY ((SELECT events FROM orphans)::bigint[])
  ), versions AS (
    DELETE FROM {inbox_version} WHERE event = ANY ((SELECT events FROM orphans)::bigint[])
  )
  SELECT unnest(events) FROM orphans";
/// Added to the rights on the table of events.
const RIGHTS_NUMBER: &str = " UNION ALL SELECT 'USAGE of {inbox_number}', false
  WHERE NOT has_sequence_privilege('{inbox_number}', 'USAGE')";
/// Finished entries leave the index, so that they cost leases nothing.
const INDEX_DUE: &str = "CREATE INDEX IF NOT EXISTS {inbox_due}
  ON {inbox_entry} (endpoint, consumer, due_at, event) WHERE state < 2";
const INDEX_DEAD: &str = "CREATE INDEX IF NOT EXISTS {inbox_dead}
  ON {inbox_entry} (endpoint, event, consumer) WHERE state = 2";
const INDEX_ORDER: &str = "CREATE INDEX IF NOT EXISTS {inbox_order}
  ON {inbox_entry} (endpoint, consumer, order_key, position, event)
  WHERE state < 3 AND order_key IS NOT NULL";
const INDEX_FINISHED: &str = "CREATE INDEX IF NOT EXISTS {inbox_finished}
  ON {inbox_entry} (endpoint, finished_at, event) WHERE finished_at IS NOT NULL";
/// A purge finds the versions that an event has recorded.
const INDEX_RECORDED: &str =
    "CREATE INDEX IF NOT EXISTS {inbox_recorded} ON {inbox_version} (event)";
/// The due entries that one ordered lease examines, or that may be orphans.
const WINDOW: &str = "
    SELECT event, due_at, order_key, position
    FROM {inbox_entry}
    WHERE endpoint = $1 AND consumer = $2 AND state < 2 AND due_at <= statement_timestamp()
    ORDER BY due_at, event
    LIMIT {window_size}";
const WINDOW_SIZE: &str = "1000";
/// Marks a leased entry that has no attempt left, in place of its error, until its owner settles it
/// as dead.
const EXHAUSTED: &str =
    "the lease of the last attempt has expired, and the event is about to be dead";
/// The entries of this lease, if it is repeated because the connection ended before the reply, at
/// the same attempt. A lease that is not repeated does not look for them.
const OWNED: &str = "owned AS MATERIALIZED (
  SELECT ARRAY(
    SELECT t.event
    FROM {inbox_entry} t
    WHERE $7::boolean AND t.endpoint = $1 AND t.consumer = $2 AND t.state < 2 AND t.state = 1
      AND t.due_at > statement_timestamp()
      AND t.due_at <= statement_timestamp() + $5::bigint * interval '1 ms'
      AND t.owner = $4::bytea
    ORDER BY t.due_at, t.event
    FOR NO KEY UPDATE SKIP LOCKED
  ) AS events
)";
/// The leased entries. If there are none, a row of state -1 means that other entries may be due:
/// entries were parked, or another lease has the lock.
const LEASED_OR_PARKED: &str = "(
  SELECT event, state, attempt, retried_at_attempt FROM leased
  UNION ALL
  SELECT 0, (-1)::smallint, 0, 0
  WHERE (EXISTS (SELECT FROM parked) OR NOT (SELECT is_mine FROM turn))
    AND NOT EXISTS (SELECT FROM leased)
)";
/// Makes the entry due that follows finished ones with the same order key, if it is parked. Skips
/// locked entries: it locks in no order, so waiting could end in a deadlock.
const UNPARK: &str = "UPDATE {inbox_entry} SET due_at = (SELECT clock_timestamp())
  WHERE (event, consumer) IN (
    SELECT n.event, n.consumer
    FROM (
      SELECT DISTINCT endpoint, consumer, order_key
      FROM locked
      WHERE order_key IS NOT NULL AND state >= 2
    ) l
    CROSS JOIN LATERAL (
      SELECT o.event
      FROM {inbox_entry} o
      WHERE o.endpoint = l.endpoint AND o.consumer = l.consumer AND o.order_key = l.order_key
        AND o.state < 3 AND o.state < 2
        AND (o.event, o.consumer) NOT IN (SELECT event, consumer FROM locked)
      ORDER BY o.position, o.event
      LIMIT 1
    ) o
    JOIN {inbox_entry} n ON n.event = o.event AND n.consumer = l.consumer
    WHERE n.state = 0 AND n.attempt = n.retried_at_attempt AND n.due_at > statement_timestamp()
    FOR NO KEY UPDATE OF n SKIP LOCKED
  )";
/// The time, in microseconds since the Unix epoch, and the number after which a purge continues.
const CURSOR: &str = "('epoch'::timestamptz + $5::bigint * interval '1 us', $6::bigint)";
/// The cursor after the examined rows.
const LAST: &str =
    "(SELECT (extract(epoch FROM greatest(at, 'epoch')) * 1000000)::bigint FROM examined
    ORDER BY at DESC, number DESC LIMIT 1),
  (SELECT number FROM examined ORDER BY at DESC, number DESC LIMIT 1)";
const ALL_FINISHED: &str = "NOT EXISTS (
        SELECT FROM {inbox_entry} o
        WHERE o.event = t.number
          AND (o.state < 3 OR o.finished_at > statement_timestamp() - $2::bigint * interval '1 ms'))";
const ADVANCE: &str = "INSERT INTO {inbox_version} AS v (endpoint, consumer, key, version, event)
  SELECT $1::text, $2::text, $3::bytea, $4::bigint, $5::bigint
  WHERE set_config('lock_timeout', $6::bigint::text, true) IS NOT NULL
  ON CONFLICT (endpoint, consumer, key)
  DO UPDATE SET version = excluded.version, event = excluded.event
  WHERE v.version < excluded.version
    OR (v.version = excluded.version AND v.event = excluded.event)
  RETURNING event";
const FINISH_IN: &str = "WITH locked AS MATERIALIZED (
    SELECT event, consumer, endpoint, order_key, 3 AS state
    FROM {inbox_entry}
    WHERE event = $1 AND consumer = $2 AND owner = $3 AND state = 1
      AND set_config('lock_timeout', $4::bigint::text, true) IS NOT NULL
    FOR NO KEY UPDATE
  ), following AS (
    {unpark}
  )
  UPDATE {inbox_entry} t SET
    state = 3, owner = NULL, finished_at = clock_timestamp()
  FROM locked l WHERE t.event = l.event AND t.consumer = l.consumer
  RETURNING t.event";
const LIST: &str = "SELECT {event}, t.state, t.attempt, e.body, t.consumer, t.error,
    floor(extract(epoch FROM least(greatest(t.due_at, 'epoch'), '9999-12-31')) * 1000)::bigint
  FROM {inbox_entry} t
  JOIN {inbox} e ON e.number = t.event
  WHERE t.endpoint = $1 AND t.event > $2";
/// Returns the number of an event. Its key follows.
const EVENT_OF_KEY: &str = "SELECT number FROM {inbox} WHERE endpoint = $1 AND key =";
/// Each alternative of the states has a partial index, which is much smaller than the table if most
/// entries are done. Waits for locks, so that no entry is passed over. They are taken in the same
/// order as those of settlements, and leases wait for none.
const PICK: &str = "WITH locked AS MATERIALIZED (
    SELECT t.event, t.consumer, t.endpoint, t.order_key, 4 AS state
    FROM {inbox_entry} t
    LEFT JOIN {inbox} e ON e.number = t.event
    WHERE t.endpoint = $1 AND t.event >= $2 AND (t.event > $2 OR t.consumer > $3)
      AND (t.state < 2 AND t.state = 0 OR t.state = 2)
      AND (SELECT set_config('lock_timeout', $4::bigint::text, true)) IS NOT NULL";
/// An entry that has waited for long keeps its place.
const RETRY: &str = "UPDATE {inbox_entry} t SET
    state = 0, retried_at_attempt = t.attempt,
    due_at = least((SELECT clock_timestamp()), CASE WHEN t.state = 0 THEN t.due_at END)
  FROM locked l
  WHERE t.event = l.event AND t.consumer = l.consumer
  RETURNING t.event, t.consumer";
/// Only a discarded entry makes another one due: a retried entry is due itself.
const DISCARD: &str = ", following AS (
    {unpark}
  )
  UPDATE {inbox_entry} t SET state = 4, finished_at = clock_timestamp()
  FROM locked l
  WHERE t.event = l.event AND t.consumer = l.consumer
  RETURNING t.event, t.consumer";
/// Deletes the entries without events among the given and the due ones.
const REMOVE_ORPHANS: &str = "DELETE FROM {inbox_entry} WHERE consumer = $2 AND event = ANY (ARRAY(
    SELECT t.event
    FROM {inbox_entry} t
    WHERE t.consumer = $2
      AND t.event = ANY (ARRAY(
        SELECT unnest($3::bigint[]) UNION SELECT w.event FROM ({window}) w))
      AND NOT EXISTS (SELECT FROM {inbox} e WHERE e.number = t.event)
    ORDER BY t.event
    FOR UPDATE SKIP LOCKED))";
const ANNOUNCE: &str = "SELECT pg_notify('{channel}', $1)";

/// The statements, with the names of the tables in them.
#[derive(Clone)]
pub(crate) struct InboxStatements {
    /// The name of the table of events, for error texts. Announcements use it as their channel.
    pub(crate) table: String,
    pub(crate) insert: SqlStr,
    pub(crate) lease: SqlStr,
    /// As `lease`, if dead entries delay the following ones. Several statements in one message.
    pub(crate) lease_dead_blocks: SqlStr,
    /// As `lease`, if dead entries do not. Several statements in one message.
    pub(crate) lease_dead_is_skipped: SqlStr,
    pub(crate) remove_orphans: SqlStr,
    pub(crate) extend: SqlStr,
    pub(crate) settle: SqlStr,
    pub(crate) advance: SqlStr,
    pub(crate) finish_in: SqlStr,
    pub(crate) stats: SqlStr,
    /// The parameter of a key follows.
    pub(crate) event_of_key: SqlStr,
    /// An operator's conditions follow, then the order and the limit.
    pub(crate) list: SqlStr,
    /// An operator's conditions follow, then the order and the limit, and `retry` or `discard`.
    pub(crate) pick: SqlStr,
    pub(crate) retry: SqlStr,
    pub(crate) discard: SqlStr,
    pub(crate) purge_bodies: SqlStr,
    pub(crate) purge_events: SqlStr,
    pub(crate) announce: SqlStr,
    /// The table of events is the last, because creating it deletes orphans in the others.
    pub(super) tables: [TableStatements; 3],
}

impl InboxStatements {
    pub(super) fn new(table: &Table<'_>, [call, maintenance]: [&str; 2]) -> Self {
        let plain = |text: &str| {
            let text = text.replace("{event}", EVENT).replace("{unpark}", UNPARK);
            let text = text.replace("{window}", WINDOW).replace("{window_size}", WINDOW_SIZE);
            table.in_sql(&text)
        };
        let sql = |text: &str| plain(&format!("{call}{text}"));
        let maintain = |text: &str| plain(&format!("{maintenance}{text}"));
        let lease = |due: &str, leased| {
            let text = include_str!("inbox/lease_due.sql").replace("{leased}", leased);
            [due.replace("{owned}", OWNED), text.replace("{exhausted}", EXHAUSTED)].concat()
        };
        let in_order = |unfinished| {
            let text = lease(include_str!("inbox/lease_in_order.sql"), LEASED_OR_PARKED);
            sql(&text.replace("{unfinished}", unfinished))
        };
        let purge = |text: &str| {
            let text = text.replace("{all_finished}", ALL_FINISHED);
            maintain(&text.replace("{cursor}", CURSOR).replace("{last}", LAST))
        };
        let name_of = |suffix: &str| table.inbox() + suffix;
        let rights = |name| RIGHTS.replace("{table}", name);
        let table_of = |name, rights: String, check, create: &[&str]| TableStatements {
            name,
            rights: maintain(&rights),
            check: maintain(check),
            create: plain(&[&[LOCK_TABLES], create].concat().join(";")),
            clean: None,
        };
        Self {
            table: table.inbox(),
            insert: sql(include_str!("inbox/insert.sql")),
            lease: sql(&lease(include_str!("inbox/lease.sql"), "leased")),
            lease_dead_blocks: in_order("3"),
            lease_dead_is_skipped: in_order("2"),
            remove_orphans: maintain(REMOVE_ORPHANS),
            extend: sql(include_str!("inbox/extend.sql")),
            settle: sql(include_str!("inbox/settle.sql")),
            advance: sql(ADVANCE),
            finish_in: plain(FINISH_IN),
            stats: maintain(include_str!("inbox/stats.sql")),
            event_of_key: plain(EVENT_OF_KEY),
            list: maintain(LIST),
            pick: maintain(PICK),
            retry: plain(RETRY),
            discard: plain(DISCARD),
            purge_bodies: purge(include_str!("inbox/purge_bodies.sql")),
            purge_events: purge(include_str!("inbox/purge_events.sql")),
            announce: maintain(&ANNOUNCE.replace("{channel}", &table.inbox())),
            tables: [
                table_of(
                    name_of("_entry"),
                    rights("{inbox_entry}"),
                    CHECK_ENTRIES,
                    &[
                        include_str!("inbox/entries.sql"),
                        INDEX_DUE,
                        INDEX_DEAD,
                        INDEX_ORDER,
                        INDEX_FINISHED,
                    ],
                ),
                table_of(
                    name_of("_version"),
                    rights("{inbox_version}"),
                    CHECK_VERSIONS,
                    &[include_str!("inbox/versions.sql"), INDEX_RECORDED],
                ),
                TableStatements {
                    clean: Some(maintain(DELETE_ORPHANS)),
                    ..table_of(
                        name_of(""),
                        rights("{inbox}") + RIGHTS_NUMBER,
                        CHECK_EVENTS,
                        &[include_str!("inbox/events.sql"), INDEX_EVENTS, CONTINUE_NUMBERS],
                    )
                },
            ],
        }
    }

    /// Returns `list` with conditions, which hold no values but parameters.
    pub(crate) fn list(&self, conditions: &str, limit: usize) -> SqlStr {
        let list = self.list.as_str();
        let order = "ORDER BY t.event, t.consumer";
        // The largest limit of PostgreSQL.
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        AssertSqlSafe(format!("{list} {conditions} {order} LIMIT {limit}")).into_sql_str()
    }

    /// Returns `pick` with conditions, which hold no values but parameters, and the statement that
    /// changes the entries.
    pub(crate) fn change(&self, conditions: &str, limit: usize, change: &SqlStr) -> SqlStr {
        let (pick, change) = (self.pick.as_str(), change.as_str());
        let order = "ORDER BY t.event, t.consumer";
        AssertSqlSafe(format!(
            "{pick} {conditions} {order} LIMIT {limit} FOR NO KEY UPDATE OF t) {change}"
        ))
        .into_sql_str()
    }
}
