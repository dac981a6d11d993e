use sqlx::SqlStr;

use crate::claim::sql::Table;

const CLAIM: &str = include_str!("claim.sql");
/// The columns that differ between keys. For all keys, `$4` is the lease, and `$5` is whether a
/// claim is held after its lease has expired.
const ONE: &str =
    "SELECT $1::bytea AS key, $2::bytea AS owner, $3::bytea AS fingerprint, $6::bigint AS ttl";
const MANY: &str = "SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $6::bigint[])
    AS u (key, owner, fingerprint, ttl)";
/// Completes a claim in the user's transaction, if it is in progress. If it is completed, its
/// effects exist already.
const COMPLETE_IN: &str = "UPDATE {table} SET state = 2, status = $3,
    expires_at = greatest(expires_at, clock_timestamp() + $4 * interval '1 ms')
  WHERE key = $1 AND owner = $2 AND state = 1 AND set_config('lock_timeout', $5, true) IS NOT NULL
  RETURNING key";
const IS_COMPLETED: &str = "SELECT key FROM {table} WHERE key = $1 AND owner = $2 AND state = 2";
const RELEASE: &str = "UPDATE {table} SET lease_until = 'epoch'
  WHERE key = $1 AND owner = $2 AND state = 1 AND set_config('lock_timeout', $3, true) IS NOT NULL
  RETURNING key";
const EXTEND: &str = "UPDATE {table} SET
    lease_until = clock_timestamp() + $3 * interval '1 ms',
    expires_at = greatest(expires_at, clock_timestamp() + $3 * interval '1 ms')
  WHERE key = $1 AND owner = $2 AND state = 1 AND lease_until <> 'epoch'
    AND set_config('lock_timeout', $4, true) IS NOT NULL
  RETURNING key";
/// Locks the records in the order of `claim.sql` before any of them is changed, so that no two
/// batches wait for each other. The planner expects short arrays from the subselects, so it looks
/// up each key, however large the table is.
const LOCKED: &str = "WITH locked AS (
    SELECT c.key
    FROM unnest((SELECT $1::bytea[]), (SELECT $2::bytea[])) AS a (key, owner)
    JOIN {table} c ON c.key = a.key AND c.owner = a.owner
    WHERE c.state = 1 AND set_config('lock_timeout', $3, true) IS NOT NULL
    ORDER BY c.key
    FOR NO KEY UPDATE OF c
  )";
const RELEASE_ALL: &str = "{locked}
  UPDATE {table} c SET lease_until = 'epoch'
  FROM locked l WHERE c.key = l.key
  RETURNING c.key";
const EXTEND_ALL: &str = "{locked}
  UPDATE {table} c SET
    lease_until = clock_timestamp() + $4 * interval '1 ms',
    expires_at = greatest(c.expires_at, clock_timestamp() + $4 * interval '1 ms')
  FROM locked l WHERE c.key = l.key AND c.lease_until <> 'epoch'
  RETURNING c.key";
const FORGET: &str = "DELETE FROM {table}
  WHERE key = $1 AND set_config('lock_timeout', $2, true) IS NOT NULL RETURNING key";
const PURGE: &str = "DELETE FROM {table} WHERE key = ANY (ARRAY(
    SELECT key FROM {table} WHERE expires_at <= clock_timestamp() ORDER BY expires_at LIMIT $1
    FOR UPDATE SKIP LOCKED))
  RETURNING key";
const CHECK: &str =
    "SELECT key, state, attempt, owner, fingerprint, lease_until, expires_at, status
  FROM {table} LIMIT 0";
const CREATE_INDEX: &str = "CREATE INDEX IF NOT EXISTS {index} ON {table} (expires_at)";

/// The statements, with the table's name in them.
#[derive(Clone)]
pub(super) struct Statements {
    pub(super) table: String,
    pub(super) claim: SqlStr,
    pub(super) claim_all: SqlStr,
    pub(super) complete: SqlStr,
    pub(super) complete_in: SqlStr,
    pub(super) is_completed: SqlStr,
    pub(super) release: SqlStr,
    pub(super) extend: SqlStr,
    pub(super) release_all: SqlStr,
    pub(super) extend_all: SqlStr,
    pub(super) complete_all: SqlStr,
    pub(super) forget: SqlStr,
    pub(super) purge: SqlStr,
    pub(super) check: SqlStr,
    pub(super) create_table: SqlStr,
    pub(super) create_index: SqlStr,
}

impl Statements {
    /// Creates the statements for a table. A statement that may be cancelled begins with the tag of
    /// calls or of maintenance. A statement in the user's transaction may not be cancelled, and has
    /// no tag.
    pub(super) fn new(table: &Table<'_>, [call, maintenance]: [&str; 2]) -> Self {
        let plain = |text: &str| table.in_sql(text);
        let sql = |text: &str| table.in_sql(&format!("{call}{text}"));
        let maintain = |text: &str| table.in_sql(&format!("{maintenance}{text}"));
        Self {
            table: table.name().to_owned(),
            claim: sql(&CLAIM.replace("{asked}", ONE)),
            claim_all: sql(&CLAIM.replace("{asked}", MANY)),
            complete: sql(include_str!("complete.sql")),
            complete_in: plain(COMPLETE_IN),
            is_completed: plain(IS_COMPLETED),
            release: sql(RELEASE),
            extend: sql(EXTEND),
            release_all: sql(&RELEASE_ALL.replace("{locked}", LOCKED)),
            extend_all: sql(&EXTEND_ALL.replace("{locked}", LOCKED)),
            complete_all: sql(include_str!("complete_all.sql")),
            forget: maintain(FORGET),
            purge: maintain(PURGE),
            check: maintain(CHECK),
            create_table: plain(include_str!("table.sql")),
            create_index: plain(CREATE_INDEX),
        }
    }
}
