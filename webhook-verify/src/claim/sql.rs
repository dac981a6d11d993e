//! Parts that the stores on SQL databases share.

use std::{
    error, fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};
use tokio::{runtime::Handle, task::AbortHandle};

use super::{Claim, ClaimOutcome, ClaimRequest, Fingerprint, StoreError, StoredResponse};
use crate::error::ConfigError;

/// PostgreSQL truncates names at 63 bytes, and the names of the indexes and of the other tables are
/// longer than the table's: `_inbox_version` and `_inbox_finished` have 15 bytes at most.
const LONGEST_NAME: usize = 48;
/// The ends of the names of the inbox tables' indexes on PostgreSQL.
const INBOX_INDEXES: [&str; 6] = ["due", "dead", "order", "finished", "recorded", "ends"];

/// The error of an inbox entry that is dead because its last lease expired.
pub(crate) const LEASE_EXPIRED: &str = "the lease of the last attempt has expired";

/// Why a handler's transaction was not committed. It was rolled back, or will be when it is
/// dropped. The exception is a database that failed during the commit: see [`Store`](Self::Store).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CommitError {
    /// There is no claim. Either the receiver has no idempotency, or the delivery has no
    /// idempotency key, or it has several events, each with a claim of its own.
    NotClaimed,
    /// Another handler has taken over the delivery, or its record was forgotten. Respond with
    /// anything but 2xx.
    Superseded,
    /// An earlier transaction of the same handler has already completed the claim, and its effects
    /// are committed. Respond with 2xx. Only a handler that runs its transaction a second time sees
    /// this error.
    AlreadyCompleted,
    /// The status is not 2xx, so retries would never end. This is a mistake in the handler.
    NotSuccess,
    /// The database failed. If it failed during the commit, the effects may be committed or not;
    /// the claim is completed if and only if they are.
    ///
    /// Run the transaction again, which returns [`AlreadyCompleted`](Self::AlreadyCompleted) if the
    /// effects are committed. Or respond with anything but 2xx: the sender's retry then settles it.
    Store(StoreError),
}

/// The claimed unit that a handler's transaction completes: a delivery, or an event if each event
/// has a claim of its own.
pub trait Claimed: Sealed {
    /// Returns the claim of this delivery or event.
    fn claim(&self) -> Option<&Claim>;
}

/// Seals [`Claimed`].
#[expect(unnameable_types, reason = "the trait is sealed")]
pub trait Sealed {}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotClaimed => f.write_str(
                "no claim: no idempotency, no idempotency key, or a claim for each event",
            ),
            Self::Superseded => f.write_str("claim was taken over or forgotten"),
            Self::AlreadyCompleted => f.write_str("claim is already completed"),
            Self::NotSuccess => f.write_str("status is not 2xx"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl error::Error for CommitError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            Self::NotClaimed | Self::Superseded | Self::AlreadyCompleted | Self::NotSuccess => None,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::new(error)
    }
}

/// Converts errors of the handler's own statements.
impl From<sqlx::Error> for CommitError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A table of a store does not exist.
#[derive(Debug)]
pub(crate) struct NoTable(pub(crate) String);

impl fmt::Display for NoTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {} does not exist: migrate creates it", self.0)
    }
}

impl error::Error for NoTable {}

/// Adds another cause to the error of a statement in a handler's transaction.
pub(crate) fn in_transaction(error: StoreError) -> StoreError {
    match error::Error::source(&error) {
        Some(missing) if missing.is::<NoTable>() => {
            StoreError::new(format!("{missing}, or the transaction is of another database"))
        }
        _ => error,
    }
}

/// Returns `status` if retries may get it: only 2xx.
pub(super) fn success(status: u16) -> Result<u16, CommitError> {
    if (200..300).contains(&status) { Ok(status) } else { Err(CommitError::NotSuccess) }
}

/// A table's name, which is safe to quote.
#[derive(Clone, Debug)]
pub(super) struct Table<'a> {
    schema: Option<&'a str>,
    name: &'a str,
}

impl<'a> Table<'a> {
    pub(super) const DEFAULT: Table<'static> = Table { schema: None, name: "webhook_claim" };

    /// Parses `name` or `schema.name`.
    pub(super) fn parse(text: &'a str) -> Result<Self, ConfigError> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, text),
        };
        for part in schema.into_iter().chain([name]) {
            let fits = part.len() <= LONGEST_NAME
                && part.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !fits {
                let reason = "not a name of at most 48 ASCII letters, digits and underscores, \
                              nor two with a dot between";
                return Err(ConfigError::option("table", reason));
            }
        }
        Ok(Self { schema, name })
    }

    pub(super) fn name(&self) -> &str {
        self.name
    }

    #[cfg(feature = "sqlite")]
    pub(super) fn schema(&self) -> Option<&str> {
        self.schema
    }

    /// Returns the name of the table for the handlers' responses.
    pub(super) fn responses(&self) -> String {
        format!("{}_response", self.name)
    }

    /// Returns the name of the table for the events of inboxes.
    pub(super) fn inbox(&self) -> String {
        match self.name {
            name if name == Table::DEFAULT.name => "webhook_inbox".to_owned(),
            name => format!("{name}_inbox"),
        }
    }

    /// Replaces `{table}` and `{responses}` in `text` with the names of the tables, and `{index}`
    /// and `{responses_index}` with those of their indexes. Does the same for the tables of inboxes.
    pub(super) fn in_sql(&self, text: &str) -> SqlStr {
        let quoted = |name: &str| match self.schema {
            Some(schema) => format!("\"{schema}\".\"{name}\""),
            None => format!("\"{name}\""),
        };
        let text = text
            .replace("{table}", &quoted(self.name))
            .replace("{index}", &format!("\"{}_expires\"", self.name))
            .replace("{responses}", &quoted(&self.responses()))
            .replace("{responses_index}", &format!("\"{}_response_ends\"", self.name))
            .replace("{inbox}", &quoted(&self.inbox()))
            .replace("{inbox_number}", &quoted(&format!("{}_number", self.inbox())))
            .replace("{inbox_entry}", &quoted(&format!("{}_entry", self.inbox())))
            .replace("{inbox_version}", &quoted(&format!("{}_version", self.inbox())));
        let text = INBOX_INDEXES.iter().fold(text, |text, index| {
            text.replace(&format!("{{inbox_{index}}}"), &format!("\"{}_{index}\"", self.inbox()))
        });
        AssertSqlSafe(text).into_sql_str()
    }
}

/// Converts to whole milliseconds, the databases' unit.
pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

/// Returns the minimum time that a record must live after its completion: `ttl` minus an hour, or
/// minus a hundredth of `ttl` if that is less. If the expiry time that the claim set is late
/// enough, the completion keeps it. So most completions do not change the index of expiry times.
pub(super) fn least(ttl: Duration) -> Duration {
    ttl - (ttl / 100).min(Duration::from_secs(3600))
}

pub(crate) fn from_millis(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// Returns the digest of an order key or of an entity's key. Such a key may be personal data, and
/// the database's indexes hold no long keys.
pub(crate) fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// Returns the error for a column with a value that this crate does not write.
pub(crate) fn foreign(column: &'static str) -> StoreError {
    StoreError::new(format!("column {column} has a value that this store does not write"))
}

/// The record of a key, as a claim left it.
pub(super) struct Record<'r> {
    pub(super) owner: &'r [u8],
    /// 1 in progress or released, 2 completed.
    pub(super) state: i64,
    pub(super) attempt: i64,
    pub(super) fingerprint: &'r [u8],
    pub(super) status: Option<i64>,
    /// The rest of the lease, in ms. Negative or zero after it has expired.
    pub(super) lease_left: i64,
}

impl Record<'_> {
    /// Returns the outcome of `request`.
    pub(super) fn outcome(&self, request: &ClaimRequest) -> Result<ClaimOutcome, StoreError> {
        if self.state == 2 {
            let status = self.status.and_then(|status| u16::try_from(status).ok());
            let fingerprint = self.fingerprint.try_into().map_err(|_| foreign("fingerprint"))?;
            return Ok(ClaimOutcome::Completed {
                status: status.ok_or_else(|| foreign("status"))?,
                fingerprint: Fingerprint(fingerprint),
            });
        }
        if self.lease_left > 0 && self.owner == request.owner.as_bytes() {
            return won(self.attempt);
        }
        Ok(ClaimOutcome::Busy { lease_left: from_millis(self.lease_left) })
    }
}

/// Returns a response from its column.
pub(super) fn stored(bytes: &[u8]) -> Result<StoredResponse, StoreError> {
    StoredResponse::from_bytes(bytes).ok_or_else(|| foreign("response"))
}

pub(super) fn won(attempt: i64) -> Result<ClaimOutcome, StoreError> {
    let attempt = u64::try_from(attempt).map_err(|_| foreign("attempt"))?;
    Ok(ClaimOutcome::Won { attempt })
}

/// Purges in batches of up to `size` until `max` records are deleted or none is left.
pub(super) async fn purge<F: Future<Output = Result<usize, StoreError>>>(
    max: usize,
    size: usize,
    batch: impl Fn(usize) -> F,
) -> Result<usize, StoreError> {
    let mut purged = 0;
    while purged < max {
        let size = size.min(max - purged);
        let gone = batch(size).await?;
        purged += gone;
        if gone < size {
            break;
        }
    }
    Ok(purged)
}

/// The state that the clones of a store share.
pub(super) trait Shared: Send + Sync + 'static {
    fn purger(&self) -> &Purger;

    /// Deletes all expired records and returns how many were deleted.
    fn purge(self: Arc<Self>) -> impl Future<Output = Result<usize, StoreError>> + Send;
}

/// The background task of a store that deletes expired records.
#[derive(Default)]
pub(super) struct Purger(Mutex<Option<Task>>);

struct Task {
    every: PurgeEvery,
    handle: AbortHandle,
}

/// The interval and the runtime of a purge. A store passes them to the stores derived from it.
#[derive(Clone)]
pub(super) struct PurgeEvery {
    interval: Duration,
    runtime: Handle,
}

impl PurgeEvery {
    pub(super) fn new(interval: Duration, runtime: Handle) -> Self {
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(24 * 3600));
        Self { interval: interval.clamp(second, day), runtime }
    }

    /// Returns the interval of a store from `connect`, on the current runtime.
    pub(super) fn minute() -> Result<Self, StoreError> {
        let runtime = Handle::try_current().map_err(StoreError::new)?;
        Ok(Self::new(Duration::from_secs(60), runtime))
    }
}

impl Purger {
    /// Purges a store for as long as its shared state exists. Replaces the purge that the store
    /// has, if any.
    pub(super) fn start(store: &Arc<impl Shared>, every: PurgeEvery) {
        let task = purge_every(every.interval, Arc::downgrade(store));
        let handle = every.runtime.spawn(task).abort_handle();
        *store.purger().task() = Some(Task { every, handle });
    }

    /// Purges a store that is derived from this purger's store, if this one purges.
    pub(super) fn start_derived(&self, store: &Arc<impl Shared>) {
        let every = self.task().as_ref().map(|task| task.every.clone());
        if let Some(every) = every {
            Self::start(store, every);
        }
    }

    fn task(&self) -> MutexGuard<'_, Option<Task>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

async fn purge_every(interval: Duration, store: Weak<impl Shared>) {
    loop {
        // Vary the interval from one half to one and a half, so that several processes do not purge
        // in step.
        let part = getrandom::u32().unwrap_or(u32::MAX / 2);
        let varied = interval.mul_f64(f64::from(part) / f64::from(u32::MAX));
        tokio::time::sleep(interval / 2 + varied).await;
        let Some(store) = store.upgrade() else { return };
        // A database that does not respond must not keep the task alive, and with it the store.
        match tokio::time::timeout(interval.max(Duration::from_secs(60)), store.purge()).await {
            Ok(Ok(purged)) => tracing::debug!(target: "webhook_verify", purged, "purged"),
            Ok(Err(error)) => {
                let source = error::Error::source(&error).map(tracing::field::display);
                tracing::warn!(target: "webhook_verify", source, "not purged");
            }
            Err(_) => tracing::warn!(target: "webhook_verify", "not purged: no answer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn names() {
        let long = "a".repeat(48);
        for name in ["a", "_", "Claims_2", "webhooks.claims", &long] {
            assert!(Table::parse(name).is_ok(), "{name}");
        }
        let longer = "a".repeat(49);
        for name in [
            "", ".", "a.", ".a", "a.b.c", "2a", "a b", "a\"b", "a;b", "a'", "a-b", "a\0", "ä",
            "a\n", &longer,
        ] {
            assert!(Table::parse(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn names_are_quoted() {
        let table = Table::parse("Hooks.select").unwrap();
        let sql = table.in_sql("{table} {index}");
        assert_eq!(sql.as_str(), r#""Hooks"."select" "select_expires""#);
        let sql = table.in_sql("{responses} {responses_index}");
        assert_eq!(sql.as_str(), r#""Hooks"."select_response" "select_response_ends""#);
        let sql = table.in_sql("{inbox} {inbox_entry} {inbox_due}");
        let names = r#""Hooks"."select_inbox" "Hooks"."select_inbox_entry" "select_inbox_due""#;
        assert_eq!(sql.as_str(), names);
        let sql = Table::DEFAULT.in_sql("{inbox} {inbox_version} {inbox_ends}");
        assert_eq!(sql.as_str(), r#""webhook_inbox" "webhook_inbox_version" "webhook_inbox_ends""#);
    }
}
