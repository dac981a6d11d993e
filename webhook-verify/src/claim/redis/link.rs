use std::{
    future::Future,
    io, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::time::timeout;

use super::{
    once::Once,
    script::Script,
    target::{Connection, Target},
};
use crate::{
    claim::{StoreError, limiter::Limiter},
    error::ConfigError,
};

/// How many time limits a connection may be silent before it is replaced. A lower number would
/// break the order of calls at every short stall: a claim without a response is followed by its
/// release, which should reach the server on the same connection.
pub(super) const SILENT: u32 = 5;

/// How many claims are sent at a time: enough to fill the connection, and few enough that
/// completions, releases and renewals do not queue behind thousands.
const SLOTS: usize = 256;

/// The connection to the server, which all calls share and which is replaced when it fails.
///
/// The driver reconnects after a connection has ended. It does not notice:
///
/// * a peer that is silent without ending the connection, such as a machine that left the network;
/// * a primary that has become a replica, or that the Sentinels have replaced;
/// * a server that refuses the login for a while.
///
/// In these cases, this type opens a new connection. It first resolves the host name again, or asks
/// the Sentinels or the nodes of the cluster.
pub(super) struct Link {
    pub(super) target: Arc<Target>,
    limit: Duration,
    current: Mutex<Current>,
    pub(super) limiter: Arc<Limiter>,
}

struct Current {
    connection: Arc<Once<Connection, RedisError>>,
    /// Distinguishes this connection from earlier ones.
    number: u64,
    since: Instant,
    /// When the first call began that has no response yet, if none has returned since.
    waiting_since: Option<Instant>,
}

impl Link {
    /// Creates a link that connects at the first call. Each call takes at most `limit`.
    pub(super) fn new(target: Target, limit: Duration) -> Self {
        Self {
            target: Arc::new(target),
            limit,
            limiter: Limiter::new(SLOTS),
            current: Mutex::new(Current {
                connection: Arc::default(),
                number: 0,
                since: Instant::now(),
                waiting_since: None,
            }),
        }
    }

    /// Calls [`Connection::send`] within the time limit.
    pub(super) async fn send(
        &self,
        commands: &Pipeline,
        script: Option<&Script>,
    ) -> Result<Vec<Value>, StoreError> {
        self.call(|connection| connection.send(commands, script)).await
    }

    /// Calls [`Connection::try_each`] within the time limit.
    pub(super) async fn try_each(&self, commands: Pipeline) -> Result<Vec<Value>, StoreError> {
        self.call(|connection| connection.try_each(commands)).await
    }

    /// Calls [`Connection::try_all`] within the time limit.
    pub(super) async fn try_all(&self, command: Cmd) -> Result<Vec<Value>, StoreError> {
        self.call(|connection| connection.try_all(command)).await
    }

    async fn call<F: Future<Output = RedisResult<Vec<Value>>>>(
        &self,
        call: impl FnOnce(Connection) -> F,
    ) -> Result<Vec<Value>, StoreError> {
        let (connection, number) = self.begin();
        let sent = timeout(self.limit, async { call(self.open(&connection).await?).await });
        let Ok(result) = sent.await else {
            let limit = self.limit.as_millis();
            return Err(StoreError::new(format!("{}: no answer within {limit} ms", self.target)));
        };
        self.end(number, result.as_ref().err());
        result.map_err(|error| self.explain(&error))
    }

    /// Returns the connection, and opens it first if it is new.
    async fn open(&self, connection: &Once<Connection, RedisError>) -> RedisResult<Connection> {
        let (target, limit) = (Arc::clone(&self.target), self.limit);
        let open = || async move {
            // After a timeout, the next attempt asks another Sentinel.
            let opened = timeout(limit, target.open()).await;
            opened.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        };
        let ended =
            || io::Error::other("the runtime ended while the connection was being opened").into();
        connection.get(open, ended).await
    }

    /// Returns the connection for a call that begins now.
    fn begin(&self) -> (Arc<Once<Connection, RedisError>>, u64) {
        let mut current = self.lock();
        let now = Instant::now();
        let waiting_since = *current.waiting_since.get_or_insert(now);
        let silent = now.duration_since(waiting_since) > self.limit * SILENT;
        let old = silent.then(|| current.renew(now));
        let connection = (Arc::clone(&current.connection), current.number);
        drop(current);
        // Closing the connection takes locks of its own, so release this one first.
        drop(old);
        connection
    }

    /// Records the result of a call on connection `number`.
    fn end(&self, number: u64, error: Option<&RedisError>) {
        let mut current = self.lock();
        if current.number != number {
            return;
        }
        current.waiting_since = None;
        // The driver reconnects to the same server after I/O errors. Other errors come from the
        // server, and a new connection may or may not help. So open one at most once per limit.
        let renew = error.is_some_and(|error| !error.is_io_error() || self.target.has_sentinels())
            && current.since.elapsed() > self.limit;
        let old = renew.then(|| current.renew(Instant::now()));
        drop(current);
        drop(old);
    }

    fn explain(&self, error: &RedisError) -> StoreError {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask)
                if !self.target.is_cluster() =>
            {
                not_a_node()
            }
            _ => StoreError::new(format!("{}: {error}", self.target)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    /// Replaces the connection, and returns the old one.
    fn renew(&mut self, now: Instant) -> Arc<Once<Connection, RedisError>> {
        self.number += 1;
        self.since = now;
        self.waiting_since = Some(now);
        mem::take(&mut self.connection)
    }
}

/// Returns the error for a node of a cluster that is addressed as a single server.
pub(super) fn not_a_node() -> StoreError {
    let reason = "the server is a node of a cluster: use RedisStore::connect_cluster";
    StoreError::new(ConfigError::option("url", reason))
}
