mod reader;
mod statements;
mod writer;

use std::{any::Any, fmt, path::Path, str::FromStr as _, sync::Arc, time::Duration};

use sqlx::{Sqlite, SqliteConnection, Transaction, sqlite::SqliteConnectOptions};
use tokio::runtime::Handle;

#[cfg(test)]
pub(crate) use self::statements::inbox_tables;
use self::{
    statements::{Completion, Statements},
    writer::{Answer, Call, Settings, Writer},
};
pub(crate) use self::{
    statements::{add, in_inbox},
    writer::{Task, Urgency},
};
use super::{
    ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Claimed, CommitError, Holder, Settled, Step,
    StoreError, StoredResponse,
    sql::{self, PurgeEvery, Purger, Table},
};
use crate::{
    clock::{Clock, SystemClock},
    error::ConfigError,
};

/// How many records one purge call deletes. Claims wait for it, and in a large file nearly every
/// record is on a page of its own that has to be read and written.
const PURGE_BATCH: usize = 100;

/// Keeps claims in a file, for the processes of one machine: durable, with no server to run.
///
/// ```no_run
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// use webhook_verify::{Idempotency, SqliteStore};
///
/// let store = SqliteStore::connect("sqlite://webhooks.db").await?;
/// let idempotency = Idempotency::new(store, "stripe");
/// # Ok(())
/// # }
/// ```
///
/// One thread writes. It commits up to 64 calls that arrive together in one transaction, and each
/// call returns once the transaction is on disk (`synchronous=FULL`). The machine's wall clock
/// decides when leases expire. If it is set forward, leases expire early; the fencing token then
/// distinguishes the older holder from the newer.
///
/// Two batches are served at a time. Further claims wait for at most half of their
/// [limit](crate::Idempotency::claim_timeout). Once the queue is longer than the store can write in
/// that time, it refuses claims at once, and their senders get 503 with `Retry-After`.
///
/// The file is in WAL mode and must be on a local disk, not on a network file system. A restored
/// backup lacks the claims and completions that were made after it.
///
/// # Effects exactly once
///
/// If a handler's effects are in the same file, through a pool of yours, end its transaction with
/// [`commit`](Self::commit), which also completes the delivery's claim. The effects are then
/// committed if and only if the claim is completed. Even if a process dies or another handler takes
/// over, the effects of only one handler remain.
///
/// ```no_run
/// # use webhook_verify::{SqliteStore, idempotency::Claimed};
/// # async fn on_payment(
/// #     store: &SqliteStore, pool: &sqlx::SqlitePool, delivery: &impl Claimed, payment: &str,
/// # ) -> Result<u16, Box<dyn std::error::Error>> {
/// let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
/// sqlx::query("INSERT INTO payment (id) VALUES (?)")
///     .bind(payment)
///     .execute(&mut *transaction)
///     .await?;
/// store.commit(transaction, delivery, 200).await?;
/// Ok(200)
/// # }
/// ```
///
/// While such a transaction is open, no other connection can write. Claims wait for it for up to
/// 800 ms, and calls of an [inbox](crate::inbox) for four fifths of its `store_timeout`; after that,
/// they fail, and senders get 503. So keep the transaction short, and do not wait for other services
/// in it. `BEGIN IMMEDIATE` waits for its turn, whereas a plain `BEGIN` that reads
/// first fails.
///
/// Clones share one connection: one goes to the receiver, and the handler commits with another.
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

struct Shared {
    writer: Writer,
    settings: Arc<Settings>,
    purger: Purger,
}

impl sql::Shared for Shared {
    fn purger(&self) -> &Purger {
        &self.purger
    }

    async fn purge(self: Arc<Self>) -> Result<usize, StoreError> {
        SqliteStore { shared: self }.purge(usize::MAX).await
    }
}

impl SqliteStore {
    /// Opens the file that a URL such as `sqlite://webhooks.db` names, and creates it if it does
    /// not exist. `connect` also creates the table, and deletes expired records in the background
    /// about every minute. No further call is needed.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the file cannot be opened or created, if its table has other columns, and
    /// outside of a tokio runtime.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::connect_table(url, &Table::DEFAULT).await
    }

    /// Opens a store as [`connect`](Self::connect) does, with a table of your own name in place of
    /// `webhook_claim`.
    ///
    /// # Errors
    ///
    /// The errors of [`connect`](Self::connect), and a name that [`table`](Self::table) refuses.
    pub async fn connect_with_table(url: &str, name: &str) -> Result<Self, StoreError> {
        let table = parse_table(name).map_err(StoreError::new)?;
        Self::connect_table(url, &table).await
    }

    async fn connect_table(url: &str, table: &Table<'_>) -> Result<Self, StoreError> {
        let every = PurgeEvery::minute()?;
        let options = SqliteConnectOptions::from_str(url).map_err(StoreError::new)?;
        let writer = open_writer(options.create_if_missing(true)).await?;
        let store = Self::with(writer, Statements::new(table), Arc::new(SystemClock));
        store.migrate().await?;
        Purger::start(&store.shared, every);
        Ok(store)
    }

    /// Opens the file that `options` name. For the file of your own pool, use
    /// `SqliteStore::open((*pool.connect_options()).clone())`. The store has a connection of its
    /// own, which always uses WAL and `synchronous=FULL`.
    ///
    /// Call [`migrate`](Self::migrate) and [`purge_every`](Self::purge_every) on it;
    /// [`connect`](Self::connect) does both by itself.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the file cannot be opened.
    pub async fn open(options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let writer = open_writer(options).await?;
        let statements = Statements::new(&Table::DEFAULT);
        Ok(Self::with(writer, statements, Arc::new(SystemClock)))
    }

    fn with(writer: Writer, statements: Statements, clock: Arc<dyn Clock>) -> Self {
        let settings = Arc::new(Settings { statements, clock });
        let shared = Shared { writer, settings, purger: Purger::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Returns a store on the same connection, which purges as this one does.
    fn derived(&self, statements: Statements, clock: Arc<dyn Clock>) -> Self {
        let store = Self::with(self.shared.writer.clone(), statements, clock);
        self.shared.purger.start_derived(&store.shared);
        store
    }

    /// Uses another table than `webhook_claim`. The names of the other tables start with its name.
    /// Call [`migrate`](Self::migrate) afterwards, or use
    /// [`connect_with_table`](Self::connect_with_table), which creates the table.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if `name` is not a plain name, or is one that SQLite reserves.
    pub fn table(self, name: &str) -> Result<Self, ConfigError> {
        let table = parse_table(name)?;
        let clock = Arc::clone(&self.shared.settings.clock);
        Ok(self.derived(Statements::new(&table), clock))
    }

    /// Uses another clock for leases and lifetimes, for tests.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        self.derived(self.shared.settings.statements.clone(), Arc::new(clock))
    }

    /// Creates the tables for claims, for [responses] and for the [inbox](crate::inbox) if they do
    /// not exist. Any number of processes may do so at once.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if a table cannot be created, or exists with other columns.
    ///
    /// [responses]: crate::idempotency::Replay::Body
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.change(Call::Migrate).await.map(drop)
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
    /// The connection's settings decide how durable the commit is: with `synchronous = FULL` it
    /// survives a crash of the machine, with `NORMAL` one of the process.
    ///
    /// If the handler returns 2xx without committing, its effects are lost. If it commits by other
    /// means, its effects happen at least once.
    ///
    /// # Errors
    ///
    /// [`CommitError`]. The transaction is then rolled back.
    pub async fn commit(
        &self,
        mut transaction: Transaction<'_, Sqlite>,
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
    ///
    /// # Errors
    ///
    /// [`CommitError`]. Roll the transaction back.
    pub async fn complete_in(
        &self,
        transaction: &mut SqliteConnection,
        claimed: &impl Claimed,
        status: u16,
    ) -> Result<(), CommitError> {
        let claim = claimed.claim().ok_or(CommitError::NotClaimed)?;
        let status = sql::success(status)?;
        let Settings { statements, clock } = &*self.shared.settings;
        claim.set_committing();
        let (holder, ttl) = (claim.holder(), claim.request().ttl);
        let completion = statements.complete(transaction, &holder, status, ttl, clock.now());
        match completion.await.map_err(sql::in_transaction)? {
            Completion::Now => Ok(()),
            Completion::Before => {
                claim.set_committed(status);
                Err(CommitError::AlreadyCompleted)
            }
            Completion::Superseded => Err(CommitError::Superseded),
        }
    }

    async fn call(&self, call: Call) -> Result<Answer, StoreError> {
        let settings = Arc::clone(&self.shared.settings);
        self.shared.writer.call(call, settings).await
    }

    async fn settled(&self, call: Call) -> Result<Vec<Settled>, StoreError> {
        match self.call(call).await? {
            Answer::Settled(settled) => Ok(settled),
            Answer::Outcomes(_)
            | Answer::Response(_)
            | Answer::Changed(_)
            | Answer::Task(_)
            | Answer::Skipped => Err(no_answer()),
        }
    }

    async fn change(&self, call: Call) -> Result<u64, StoreError> {
        match self.call(call).await? {
            Answer::Changed(changed) => Ok(changed),
            Answer::Outcomes(_)
            | Answer::Settled(_)
            | Answer::Response(_)
            | Answer::Task(_)
            | Answer::Skipped => Err(no_answer()),
        }
    }

    /// Runs a call of another module in the writer's transaction, and returns once that is on disk.
    pub(crate) async fn run<T: Any>(
        &self,
        task: impl Task + 'static,
        urgency: Urgency,
    ) -> Result<T, StoreError> {
        match self.call(Call::Task(Box::new(task), urgency)).await? {
            Answer::Task(result) => Ok(*result.downcast().map_err(|_| no_answer())?),
            Answer::Outcomes(_)
            | Answer::Settled(_)
            | Answer::Response(_)
            | Answer::Changed(_)
            | Answer::Skipped => Err(no_answer()),
        }
    }

    /// Runs a call of another module that only reads. In a file, it neither waits for writers nor
    /// delays them. Without one, the writer runs it.
    pub(crate) async fn read<T: Any>(
        &self,
        task: impl Task + 'static,
        urgency: Urgency,
    ) -> Result<T, StoreError> {
        let Some(reader) = self.shared.writer.reader() else {
            return self.run(task, urgency).await;
        };
        let result = reader.run(&task, self.now()).await?;
        Ok(*result.downcast().map_err(|_| no_answer())?)
    }

    /// Returns the name of the inbox's table.
    pub(crate) fn inbox_table(&self) -> &str {
        &self.shared.settings.statements.inbox
    }

    pub(crate) fn now(&self) -> Duration {
        self.shared.settings.clock.now()
    }
}

impl ClaimStore for SqliteStore {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        match self.call(Call::Claim(requests.to_vec())).await? {
            Answer::Outcomes(outcomes) => Ok(outcomes),
            Answer::Settled(_)
            | Answer::Response(_)
            | Answer::Changed(_)
            | Answer::Task(_)
            | Answer::Skipped => Err(no_answer()),
        }
    }

    async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
        if holders.is_empty() {
            return Ok(Vec::new());
        }
        self.settled(Call::Settle(holders.to_vec(), step)).await
    }

    async fn complete_with(
        &self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
        response: &StoredResponse,
    ) -> Result<Settled, StoreError> {
        let (holder, response) = (*holder, response.clone());
        let settled = self.settled(Call::CompleteWith { holder, status, ttl, response }).await?;
        settled.first().copied().ok_or_else(no_answer)
    }

    async fn response(
        &self,
        key: &ClaimKey,
        limit: Duration,
    ) -> Result<Option<StoredResponse>, StoreError> {
        match self.call(Call::Response { key: *key, limit }).await? {
            Answer::Response(response) => Ok(response),
            Answer::Outcomes(_)
            | Answer::Settled(_)
            | Answer::Changed(_)
            | Answer::Task(_)
            | Answer::Skipped => Err(no_answer()),
        }
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        Ok(self.change(Call::Forget(*key)).await? > 0)
    }

    async fn purge(&self, max: usize) -> Result<usize, StoreError> {
        sql::purge(max, PURGE_BATCH, async |size| {
            let gone = self.change(Call::Purge(size)).await?;
            Ok(usize::try_from(gone).unwrap_or(usize::MAX))
        })
        .await
    }
}

fn parse_table(name: &str) -> Result<Table<'_>, ConfigError> {
    let table = Table::parse(name)?;
    if table.schema().is_some() || name.to_ascii_lowercase().starts_with("sqlite_") {
        return Err(ConfigError::option("table", "with a schema, or a name that SQLite reserves"));
    }
    Ok(table)
}

/// Opens the file, or returns an error that names the cause: SQLite only reports "unable to open
/// database file". Refuses an empty name, for which SQLite would open a temporary file and lose all
/// claims when it closes the file.
async fn open_writer(options: SqliteConnectOptions) -> Result<Writer, StoreError> {
    let file = options.get_filename().to_path_buf();
    // The URL of another database contains a password.
    if file.to_string_lossy().contains("://") {
        return Err(StoreError::new("not the url of a sqlite file: use `sqlite://`"));
    }
    if file == Path::new("") {
        return Err(StoreError::new("the url names no file"));
    }
    Writer::open(options).await.map_err(|error| {
        let folder = file.parent().unwrap_or(Path::new(""));
        if file.is_dir() {
            StoreError::new(format!("{} is a directory", file.display()))
        } else if folder != Path::new("") && !folder.is_dir() {
            StoreError::new(format!("there is no directory {}", folder.display()))
        } else {
            error
        }
    })
}

/// Returns the error for an answer that does not fit the call, which never happens.
fn no_answer() -> StoreError {
    StoreError::new("sqlite writer gave no answer")
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("table", &self.shared.settings.statements.table)
            .finish_non_exhaustive()
    }
}
