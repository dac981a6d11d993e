//! Runs a test on every kind of store, each with a place of its own.

use std::{
    fmt::Debug,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    process,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::{FutureExt as _, future::join_all};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgPoolOptions,
    sqlite::SqliteConnectOptions,
};
use webhook_verify::{
    MemoryStore, PostgresStore, RedisStore, SqliteStore,
    clock::{Clock, MonotonicClock},
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, Settled, Step, StoreError,
        StoredResponse,
    },
};

use crate::{
    Folder, Framework, PostgresServer, RedisServer,
    gate::{PATIENCE, size},
    programs,
};

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In one process.
    Memory,
    /// In a file.
    Sqlite,
    /// In a server that tests share.
    Postgres,
    /// In a server of its own.
    Redis,
}

/// All stores.
pub const STORES: [Kind; 4] = [Kind::Memory, Kind::Sqlite, Kind::Postgres, Kind::Redis];
/// The stores that several processes can share.
pub const SHARED: [Kind; 3] = [Kind::Sqlite, Kind::Postgres, Kind::Redis];
/// The stores behind a network.
pub const REMOTE: [Kind; 2] = [Kind::Postgres, Kind::Redis];

/// How long a store waits for its server. The time is long, because a busy machine is no fault.
const CONNECT: Duration = Duration::from_secs(10);

/// A store of any kind.
#[derive(Clone, Debug)]
pub enum AnyStore {
    /// In memory.
    Memory(Arc<MemoryStore>),
    /// In a file.
    Sqlite(SqliteStore),
    /// In PostgreSQL.
    Postgres(PostgresStore),
    /// In Redis.
    Redis(RedisStore),
}

macro_rules! on {
    ($any:expr, $store:ident => $call:expr) => {
        match $any {
            AnyStore::Memory($store) => $call,
            AnyStore::Sqlite($store) => $call,
            AnyStore::Postgres($store) => $call,
            AnyStore::Redis($store) => $call,
        }
    };
}

impl AnyStore {
    /// Opens the store at a [`Place`]'s URL, in this or another process.
    ///
    /// # Errors
    ///
    /// The error of the store.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Ok(match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Self::Sqlite(SqliteStore::connect(url).await?),
            Some("postgres") => {
                let pool = PgPoolOptions::new()
                    .max_connections(10)
                    .acquire_timeout(CONNECT)
                    .test_before_acquire(false);
                let pool = pool.connect(url).await.map_err(StoreError::new)?;
                let store = PostgresStore::new(pool);
                store.migrate().await?;
                Self::Postgres(store)
            }
            Some("redis") => Self::Redis(RedisStore::connect(url).timeout(CONNECT).await?),
            _ => Self::Memory(Arc::new(MemoryStore::new())),
        })
    }
}

impl ClaimStore for AnyStore {
    fn is_in_process(&self) -> bool {
        on!(self, store => store.is_in_process())
    }

    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        on!(self, store => store.claim(requests).await)
    }

    async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
        on!(self, store => store.settle(holders, step).await)
    }

    async fn complete_with(
        &self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
        response: &StoredResponse,
    ) -> Result<Settled, StoreError> {
        on!(self, store => store.complete_with(holder, status, ttl, response).await)
    }

    async fn response(
        &self,
        key: &ClaimKey,
        limit: Duration,
    ) -> Result<Option<StoredResponse>, StoreError> {
        on!(self, store => store.response(key, limit).await)
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        on!(self, store => store.forget(key).await)
    }

    async fn purge(&self, most: usize) -> Result<usize, StoreError> {
        on!(self, store => store.purge(most).await)
    }
}

/// The place where a store keeps its claims. Dropping it stops its server and deletes its files.
#[derive(Debug)]
pub struct Place {
    /// The kind of store.
    pub kind: Kind,
    /// The URL for [`AnyStore::open`], in this or another process. In memory, each call of that
    /// opens another store. So does [`Place::open`], with the clock of the place.
    pub url: String,
    /// The server's address, if there is a server.
    pub server: Option<SocketAddr>,
    /// The Redis server, for a test's own commands.
    pub redis: Option<RedisServer>,
    folder: Option<Folder>,
    clock: Aging,
}

/// The clock of the stores in memory. It runs, and can be set by milliseconds.
#[derive(Clone, Debug, Default)]
struct Aging {
    clock: MonotonicClock,
    ahead: Arc<AtomicI64>,
}

impl Clock for Aging {
    fn now(&self) -> Duration {
        const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
        let ahead = self.ahead.load(Ordering::SeqCst);
        let by = Duration::from_millis(ahead.unsigned_abs());
        // Start a year ahead, so that the clock can be set back.
        let now = YEAR + self.clock.now();
        if ahead < 0 { now - by } else { now + by }
    }
}

impl Place {
    /// Returns a new place, which no other test uses. In PostgreSQL it is a schema of its own in
    /// the shared server, which the URL names.
    pub fn new(kind: Kind) -> Self {
        let mut place = Self {
            kind,
            url: "memory:".to_owned(),
            server: None,
            redis: None,
            folder: None,
            clock: Aging::default(),
        };
        match kind {
            Kind::Memory => {}
            Kind::Sqlite => {
                let folder = Folder::new("place");
                place.url = format!("sqlite://{}", folder.path().join("claims.db").display());
                place.folder = Some(folder);
            }
            Kind::Postgres => {
                let schema = unique("place").replace('-', "_");
                let server = PostgresServer::shared().url();
                execute(&server, format!("CREATE SCHEMA {schema}"));
                place.url = format!("{server}?options=-csearch_path%3D{schema}");
                place.server = Some(address(&server));
            }
            Kind::Redis => {
                let redis = RedisServer::start();
                place.url = redis.url();
                place.server = Some(address(&place.url));
                place.redis = Some(redis);
            }
        }
        place
    }

    /// Opens a store in this place.
    pub async fn open(&self) -> AnyStore {
        match self.kind {
            Kind::Memory => {
                let store = MemoryStore::new().clock(self.clock.clone());
                AnyStore::Memory(Arc::new(store))
            }
            Kind::Sqlite | Kind::Postgres | Kind::Redis => AnyStore::open(&self.url).await.unwrap(),
        }
    }

    /// Ages every record in this place by `by`, as if the store's clock had moved on. Leases and
    /// records expire, and the test does not sleep. A released lease stays released.
    ///
    /// Only the store ages. The receiver's own memory does not: its cache of completed deliveries,
    /// the time of its next renewal, and the time of its claims. Records in another table than
    /// `webhook_claim` do not age either.
    ///
    /// # Panics
    ///
    /// If no store was opened in this place, or its server does not respond. The call waits for
    /// records that a transaction has locked.
    pub async fn age(&self, by: Duration) {
        self.shift(by.as_millis() as i64).await;
    }

    /// Does the opposite of [`age`](Self::age), as if the store's clock had been set back.
    ///
    /// # Panics
    ///
    /// As with `age`.
    pub async fn set_back(&self, by: Duration) {
        self.shift(-(by.as_millis() as i64)).await;
    }

    async fn shift(&self, ms: i64) {
        match self.kind {
            Kind::Memory => {
                self.clock.ahead.fetch_add(ms, Ordering::SeqCst);
            }
            Kind::Sqlite | Kind::Postgres => age(&self.url, "webhook_claim", ms).await,
            Kind::Redis => self.redis.as_ref().unwrap().age(ms),
        }
    }

    /// Returns the place's URL with the proxy's address.
    pub fn url_via(&self, proxy: SocketAddr) -> String {
        let server = self.server.expect("there is a network").to_string();
        self.url.replace(&server, &proxy.to_string())
    }
}

/// Does what [`Place::age`] does, for one table of a database and by milliseconds, which may be
/// negative.
pub async fn age(url: &str, table: &str, ms: i64) {
    if url.starts_with("sqlite:") {
        let options: SqliteConnectOptions = url.parse().unwrap();
        let mut connection = options.busy_timeout(PATIENCE).connect().await.unwrap();
        let sql = format!(
            "UPDATE {table} SET expires_at = expires_at - ({ms}),
               lease_until = iif(lease_until = 0, 0, max(lease_until - ({ms}), 1))"
        );
        let aged = sqlx::query(AssertSqlSafe(sql)).execute(&mut connection);
        aged.await.unwrap();
        return connection.close().await.unwrap();
    }
    let mut connection = PgConnection::connect(url).await.unwrap();
    let sql = format!(
        "UPDATE {table} SET expires_at = expires_at - {ms} * interval '1 ms',
           lease_until = CASE lease_until WHEN 'epoch' THEN 'epoch'
             ELSE lease_until - {ms} * interval '1 ms' END"
    );
    let aged = sqlx::query(AssertSqlSafe(sql)).execute(&mut connection);
    aged.await.unwrap();
    connection.close().await.unwrap();
}

/// Does what [`Place::age`] does, for the tables of inboxes.
pub async fn age_inbox(url: &str, inbox: &str, by: Duration) {
    shift_inbox(url, inbox, by.as_millis() as i64).await;
}

/// Does the opposite of [`age_inbox`], as if the store's clock had been set back.
pub async fn set_back_inbox(url: &str, inbox: &str, by: Duration) {
    shift_inbox(url, inbox, -(by.as_millis() as i64)).await;
}

async fn shift_inbox(url: &str, inbox: &str, ms: i64) {
    let interval = match url.starts_with("sqlite:") {
        true => format!("({ms})"),
        false => format!("interval '{ms} ms'"),
    };
    let sql = format!(
        "UPDATE {inbox} SET received_at = received_at - {interval},
           expires_at = expires_at - {interval};
         UPDATE {inbox}_entry SET due_at = due_at - {interval},
           finished_at = finished_at - {interval}"
    );
    run_sql(url, sql).await;
}

/// Runs statements on a connection of their own.
pub async fn run_sql(url: &str, sql: impl Into<String>) {
    let sql = AssertSqlSafe(sql.into());
    if url.starts_with("sqlite:") {
        let options: SqliteConnectOptions = url.parse().unwrap();
        let mut connection = options.busy_timeout(PATIENCE).connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        return connection.close().await.unwrap();
    }
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Panics with one line that names the missing servers and how to install them.
///
/// # Panics
///
/// If a server is missing.
pub fn require_servers() {
    if let Some(missing) = programs::missing() {
        panic!("{missing}");
    }
}

/// Runs a statement and waits for it, in any runtime.
fn execute(url: &str, sql: String) {
    let url = url.to_owned();
    let run = move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(async {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            let ran = sqlx::query(AssertSqlSafe(sql)).execute(&mut connection);
            ran.await.unwrap();
            connection.close().await.unwrap();
        });
    };
    thread::spawn(run).join().unwrap();
}

/// Returns the host and port in a server's URL.
pub fn address(url: &str) -> SocketAddr {
    let after = url.split_once("://").unwrap().1;
    let host = after.rsplit('@').next().unwrap();
    host.split('/').next().unwrap().parse().unwrap()
}

/// Returns a name that no other test has.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{}-{count}", process::id())
}

/// Runs a test on each of these stores, concurrently, and reports where it failed.
pub async fn each_store(kinds: &[Kind], test: impl AsyncFn(&Place)) {
    let runs: Vec<_> = kinds.iter().map(|kind| (*kind, ())).collect();
    run_all(&runs, async |place, ()| test(place).await).await;
}

/// Runs a test on each of these stores behind a framework, concurrently, and reports where it
/// failed. Each store alternates with the next, so that both frameworks run. A thorough run has all
/// pairs.
pub async fn each_place(kinds: &[Kind], test: impl AsyncFn(&Place, Framework)) {
    let frameworks = [Framework::Axum, Framework::Actix];
    let pairs = |(number, kind): (usize, &Kind)| {
        let chosen = match kinds.len() {
            1 => &frameworks[..],
            _ => size(&frameworks[number % 2..=number % 2], &frameworks[..]),
        };
        let kind = *kind;
        chosen.iter().map(move |framework| (kind, *framework))
    };
    let runs: Vec<_> = kinds.iter().enumerate().flat_map(pairs).collect();
    run_all(&runs, test).await;
}

async fn run_all<T: Copy + Debug>(runs: &[(Kind, T)], test: impl AsyncFn(&Place, T)) {
    if runs.iter().any(|(kind, _)| REMOTE.contains(kind)) {
        require_servers();
    }
    if runs.iter().any(|(kind, _)| *kind == Kind::Postgres) {
        // Starting the server takes a while, during which nothing else should wait for an event.
        PostgresServer::until_shared().await;
    }
    let results = runs.iter().map(async |(kind, with)| {
        let place = Place::new(*kind);
        let run = AssertUnwindSafe(test(&place, *with)).catch_unwind();
        run.await.err().map(|_| format!("{kind:?} with {with:?}"))
    });
    let failed: Vec<_> = join_all(results).await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "it failed on {failed:?}");
}
