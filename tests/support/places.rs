//! Every store there is, each in a place of its own, and a test run on all of them.

use std::{
    env, fs,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    path::PathBuf,
    process,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt as _, future::join_all};
use sqlx::postgres::PgPoolOptions;
use webhook_verify::{
    ClaimStore, MemoryStore, PostgresStore, RedisStore, SqliteStore, StoreError,
    idempotency::{ClaimKey, ClaimOutcome, ClaimRequest, Holder, Settled},
};

use crate::{Framework, PostgresServer, RedisServer};

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
/// Those that several processes can share.
pub const SHARED: [Kind; 3] = [Kind::Sqlite, Kind::Postgres, Kind::Redis];
/// Those that there is a network in front of.
pub const REMOTE: [Kind; 2] = [Kind::Postgres, Kind::Redis];

/// How long a store waits for its server: a busy machine is no fault.
const PATIENCE: Duration = Duration::from_secs(10);

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
    /// Opens what a [`Place`]'s address names, in this or another process.
    ///
    /// # Errors
    ///
    /// That of the store.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Ok(match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => {
                let store = SqliteStore::connect(url).await?;
                store.migrate().await?;
                Self::Sqlite(store)
            }
            Some("postgres") => {
                let pool = PgPoolOptions::new()
                    .max_connections(10)
                    .acquire_timeout(PATIENCE)
                    .test_before_acquire(false);
                let pool = pool.connect(url).await.map_err(StoreError::new)?;
                let store = PostgresStore::new(pool);
                store.migrate().await?;
                Self::Postgres(store)
            }
            Some("redis") => Self::Redis(RedisStore::connect(url).timeout(PATIENCE).await?),
            _ => Self::Memory(Arc::new(MemoryStore::new())),
        })
    }
}

impl ClaimStore for AnyStore {
    fn is_in_process(&self) -> bool {
        on!(self, store => store.is_in_process())
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<ClaimOutcome, StoreError> {
        on!(self, store => store.claim(request).await)
    }

    async fn complete(
        &self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
    ) -> Result<Settled, StoreError> {
        on!(self, store => store.complete(holder, status, ttl).await)
    }

    async fn release(&self, holder: &Holder) -> Result<Settled, StoreError> {
        on!(self, store => store.release(holder).await)
    }

    async fn extend(&self, holder: &Holder, lease: Duration) -> Result<Settled, StoreError> {
        on!(self, store => store.extend(holder, lease).await)
    }

    async fn claim_all(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        on!(self, store => store.claim_all(requests).await)
    }

    async fn extend_all(
        &self,
        holders: &[Holder],
        lease: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        on!(self, store => store.extend_all(holders, lease).await)
    }

    async fn release_all(&self, holders: &[Holder]) -> Result<Vec<Settled>, StoreError> {
        on!(self, store => store.release_all(holders).await)
    }

    async fn complete_all(
        &self,
        holders: &[Holder],
        status: u16,
        ttl: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        on!(self, store => store.complete_all(holders, status, ttl).await)
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        on!(self, store => store.forget(key).await)
    }

    async fn purge(&self, most: usize) -> Result<usize, StoreError> {
        on!(self, store => store.purge(most).await)
    }
}

/// Where a store keeps its claims. What it started is ended, and its files are gone, when it is dropped.
#[derive(Debug)]
pub struct Place {
    /// The kind of store.
    pub kind: Kind,
    /// For [`AnyStore::open`]. Claims in memory are where they are opened.
    pub url: String,
    /// The server, where there is one.
    pub server: Option<SocketAddr>,
    /// The server, for a test's own commands.
    pub redis: Option<RedisServer>,
    folder: Option<PathBuf>,
}

impl Place {
    /// A new place. That in PostgreSQL is one for all, in which tests need names of their own.
    pub fn new(kind: Kind) -> Self {
        let mut place = Self {
            kind,
            url: "memory:".to_owned(),
            server: None,
            redis: None,
            folder: None,
        };
        match kind {
            Kind::Memory => {}
            Kind::Sqlite => {
                let folder = env::temp_dir().join(format!("webhook-verify-{}", unique("place")));
                fs::create_dir_all(&folder).unwrap();
                place.url = format!("sqlite://{}", folder.join("claims.db").display());
                place.folder = Some(folder);
            }
            Kind::Postgres => {
                place.url = PostgresServer::shared().url();
                place.server = Some(address(&place.url));
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

    /// A store in this place.
    pub async fn open(&self) -> AnyStore {
        AnyStore::open(&self.url).await.unwrap()
    }

    /// The place's address by way of a proxy.
    pub fn url_via(&self, proxy: SocketAddr) -> String {
        let server = self.server.expect("there is a network").to_string();
        self.url.replace(&server, &proxy.to_string())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// The host and port of a server's address.
pub fn address(url: &str) -> SocketAddr {
    let after = url.split_once("://").unwrap().1;
    let host = after.rsplit('@').next().unwrap();
    host.split('/').next().unwrap().parse().unwrap()
}

/// A name that no other test has.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{}-{count}", process::id())
}

/// Runs a test on each of these stores behind each framework, side by side, and says where it failed.
pub async fn each_place(kinds: &[Kind], test: impl AsyncFn(&Place, Framework)) {
    if kinds.contains(&Kind::Postgres) {
        // Takes a while, in which nothing else should wait for an event.
        tokio::task::spawn_blocking(|| drop(PostgresServer::shared().url()))
            .await
            .unwrap();
    }
    let runs = kinds.iter().flat_map(|kind| {
        let test = &test;
        [Framework::Axum, Framework::Actix].map(|framework| async move {
            let place = Place::new(*kind);
            let run = AssertUnwindSafe(test(&place, framework)).catch_unwind();
            run.await
                .err()
                .map(|_| format!("{kind:?} on {framework:?}"))
        })
    });
    let failed: Vec<_> = join_all(runs).await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "it failed with {failed:?}");
}
