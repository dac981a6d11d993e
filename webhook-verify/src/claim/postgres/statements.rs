use sqlx::SqlStr;

use super::inbox::InboxStatements;
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
const COMPLETE_IN: &str = "UPDATE {table} c SET
    state = 2, status = $3, expires_at = {expires_at}
  WHERE c.key = $1 AND c.owner = $2 AND c.state = 1
    AND set_config('lock_timeout', $6::bigint::text, true) IS NOT NULL
  RETURNING c.key";
/// The expiry time of a completed claim. It stays if it is late enough, because a change would also
/// change the index.
const EXPIRES_AT: &str = "CASE
      WHEN c.state = 1 AND c.expires_at < clock_timestamp() + {least} * interval '1 ms'
      THEN clock_timestamp() + {ttl} * interval '1 ms'
      ELSE c.expires_at
    END";
const IS_COMPLETED: &str = "SELECT key FROM {table} WHERE key = $1 AND owner = $2 AND state = 2";
const RELEASE: &str = "UPDATE {table} SET lease_until = 'epoch'
  WHERE key = $1 AND owner = $2 AND state = 1
    AND set_config('lock_timeout', $3::bigint::text, true) IS NOT NULL
  RETURNING key";
const EXTEND: &str = "UPDATE {table} SET
    lease_until = clock_timestamp() + $3 * interval '1 ms',
    expires_at = greatest(expires_at, clock_timestamp() + $3 * interval '1 ms')
  WHERE key = $1 AND owner = $2 AND state = 1 AND lease_until <> 'epoch'
    AND set_config('lock_timeout', $4::bigint::text, true) IS NOT NULL
  RETURNING key";
/// Locks the records in the order of `claim.sql` before any of them is changed, so that no two
/// batches wait for each other. The planner expects short arrays from the subselects, so it looks
/// up each key, however large the table is.
const LOCKED: &str = "WITH locked AS (
    SELECT c.key
    FROM unnest((SELECT $1::bytea[]), (SELECT $2::bytea[])) AS a (key, owner)
    JOIN {table} c ON c.key = a.key AND c.owner = a.owner
    WHERE c.state = 1 AND set_config('lock_timeout', $3::bigint::text, true) IS NOT NULL
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
  WHERE key = $1 AND set_config('lock_timeout', $2::bigint::text, true) IS NOT NULL RETURNING key";
const PURGE: &str = "DELETE FROM {table} WHERE key = ANY (ARRAY(
    SELECT key FROM {table} WHERE expires_at <= clock_timestamp() ORDER BY expires_at LIMIT $1
    FOR UPDATE SKIP LOCKED))
  RETURNING key";
/// Returns the privileges that the database user lacks, if any, and whether row-level security
/// applies to the user.
pub(super) const RIGHTS: &str = "SELECT string_agg(needed, ', '), row_security_active('{table}')
  FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS needed
  WHERE NOT has_table_privilege('{table}', needed)";
const CHECK: &str =
    "SELECT key, state, attempt, owner, fingerprint, lease_until, expires_at, status
  FROM {table} LIMIT 0";
/// Without this lock, two concurrent CREATE TABLE statements fail, even with IF NOT EXISTS. The
/// creation of tables has a time limit of its own.
pub(super) const LOCK_TABLES: &str = "SET LOCAL statement_timeout = '1min';
SELECT pg_advisory_xact_lock(7738151096083703843)";
const CREATE_INDEX: &str = "CREATE INDEX IF NOT EXISTS {index} ON {table} (expires_at)";
const RESPONSE: &str = "SELECT r.response
  FROM {table} c JOIN {responses} r ON r.key = c.key AND r.owner = c.owner
  WHERE c.key = $1 AND c.state = 2 AND c.expires_at > clock_timestamp()";
const FORGET_RESPONSE: &str = "DELETE FROM {responses}
  WHERE key = $1 AND set_config('lock_timeout', $2::bigint::text, true) IS NOT NULL RETURNING key";
const PURGE_RESPONSES: &str = "DELETE FROM {responses} WHERE key = ANY (ARRAY(
    SELECT key FROM {responses} WHERE expires_at <= clock_timestamp() ORDER BY expires_at LIMIT $1
    FOR UPDATE SKIP LOCKED))
  RETURNING key";
const CHECK_RESPONSES: &str = "SELECT key, owner, response, expires_at FROM {responses} LIMIT 0";
const INDEX_RESPONSES: &str =
    "CREATE INDEX IF NOT EXISTS {responses_index} ON {responses} (expires_at)";

/// The statements that check a table, and create it and its index.
#[derive(Clone)]
pub(super) struct TableStatements {
    /// The name of the table, for error texts.
    pub(super) name: String,
    pub(super) rights: SqlStr,
    pub(super) check: SqlStr,
    pub(super) create: SqlStr,
    /// Deletes a batch of what an earlier table of this name has left in others, and returns their
    /// numbers. The parameter is the last number that was deleted.
    pub(super) clean: Option<SqlStr>,
}

/// The statements, with the names of the tables in them.
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
    pub(super) complete_with: SqlStr,
    pub(super) response: SqlStr,
    pub(super) forget_response: SqlStr,
    pub(super) purge_responses: SqlStr,
    pub(super) claims: TableStatements,
    pub(super) responses: TableStatements,
    pub(super) inbox: InboxStatements,
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
            complete: sql(&completing(include_str!("complete.sql"), "$4", "$5")),
            complete_in: plain(&completing(COMPLETE_IN, "$4", "$5")),
            is_completed: plain(IS_COMPLETED),
            release: sql(RELEASE),
            extend: sql(EXTEND),
            release_all: sql(&RELEASE_ALL.replace("{locked}", LOCKED)),
            extend_all: sql(&EXTEND_ALL.replace("{locked}", LOCKED)),
            complete_all: sql(&completing(include_str!("complete_all.sql"), "$5", "$6")),
            forget: maintain(FORGET),
            purge: maintain(PURGE),
            complete_with: sql(&completing(include_str!("complete_with.sql"), "$4", "$5")),
            response: sql(RESPONSE),
            forget_response: maintain(FORGET_RESPONSE),
            purge_responses: maintain(PURGE_RESPONSES),
            claims: TableStatements {
                name: table.name().to_owned(),
                rights: maintain(RIGHTS),
                check: maintain(CHECK),
                create: plain(&[LOCK_TABLES, include_str!("table.sql"), CREATE_INDEX].join(";")),
                clean: None,
            },
            responses: TableStatements {
                name: table.responses(),
                rights: maintain(&RIGHTS.replace("{table}", "{responses}")),
                check: maintain(CHECK_RESPONSES),
                create: plain(
                    &[LOCK_TABLES, include_str!("responses.sql"), INDEX_RESPONSES].join(";"),
                ),
                clean: None,
            },
            inbox: InboxStatements::new(table, [call, maintenance]),
        }
    }
}

/// Adds the expiry time to a statement. `ttl` and `least` are its parameters for how long the record
/// lives after the completion, and for the shortest time that is accepted instead.
fn completing(statement: &str, ttl: &str, least: &str) -> String {
    let expires_at = EXPIRES_AT.replace("{ttl}", ttl).replace("{least}", least);
    statement.replace("{expires_at}", &expires_at)
}
