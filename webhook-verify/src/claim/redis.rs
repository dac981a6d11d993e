mod check;
mod cluster;
mod connect;
mod link;
mod once;
mod script;
mod target;
mod tls;

use std::{fmt, sync::Arc, time::Duration};

use redis::{Cmd, Pipeline, Value};

pub use self::connect::RedisConnect;
use self::{
    link::Link,
    once::Once,
    script::{Script, Scripts},
    target::Address,
};
use super::{
    ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Fingerprint, Holder, OnLeaseExpiry, Settled,
    Step, StoreError, StoredResponse, limiter::shortest,
};

/// Keeps claims in a Redis (5 or later) or Valkey server or cluster, shared by any number of
/// processes and machines.
///
/// ```no_run
/// # use webhook_verify::{Idempotency, RedisStore, idempotency::StoreError};
/// # async fn start() -> Result<(), StoreError> {
/// let store = RedisStore::connect("redis://localhost:6379").await?;
/// let idempotency = Idempotency::new(store, "stripe");
/// # Ok(())
/// # }
/// ```
///
/// [`connect_cluster`](Self::connect_cluster) connects to a Redis Cluster, and
/// [`connect_sentinel`](Self::connect_sentinel) to the master that Redis Sentinel reports.
///
/// Every call is one round trip that runs one script on one key. The server's clock decides when
/// leases and records expire.
///
/// Clones share one connection. If it is lost, the store reconnects; until then calls fail, and
/// senders get 503.
///
/// The store needs a tokio runtime. The runtime that opens the connection drives it, so a blocked
/// runtime delays every claim. Connect where nothing blocks. With actix-web, where each worker is a
/// runtime of its own, connect before you create the server: if a worker reconnects, a handler that
/// blocks that worker may delay all claims.
///
/// # Under load
///
/// The store sends 256 claims at a time, not counting those whose callers have given up. Further
/// claims wait for at most half of their [limit](crate::Idempotency::claim_timeout). Once the queue
/// is longer than the store can serve in that time, it refuses claims at once, and their senders
/// get 503 with `Retry-After`.
///
/// # Requirements on the server
///
/// * **It must not evict.** With a `maxmemory-policy` other than `noeviction`, a full server drops
///   claims and completed deliveries, which then run again. The store
///   [refuses](RedisConnect::allow_eviction) such a server at the start. A full server with
///   `noeviction` returns errors, and the senders get 503 and retry. A record takes about 200
///   bytes, and the response with [`Replay::Body`](crate::idempotency::Replay::Body).
/// * **It may lose records.** Replication is asynchronous, so a failover can lose the newest
///   claims and completions. So can a crash, depending on how the server persists (`appendonly
///   yes`, `appendfsync everysec` or `always`). Deliveries whose records are lost run again.
/// * **Its clock decides.** After a failover to a machine whose clock is ahead, leases expire
///   early. The fencing token, [`Claim::fencing_token`], distinguishes the older holder from the
///   newer.
/// * **Its user needs permissions.** If you use ACLs, grant `~wv:* +del +eval +evalsha +hget +hmget
///   +hset +pexpire +pttl +time`. For a cluster, also grant `+asking +cluster|slots +ping`; for
///   Sentinel, `+role`; for a database in the URL, `+select`. To read the `maxmemory-policy`, the
///   store needs `+info` or `+config|get`. At the start, the store calls each command, and runs
///   each script once, on a key that it then deletes. The error names the missing permissions.
/// * Redis deletes expired records by itself, so [`purge`](ClaimStore::purge) does nothing.
///
/// No type of the driver is part of this API. For URLs that begin with `rediss://`, enable the
/// feature `redis-tls`.
///
/// [`Claim::fencing_token`]: crate::idempotency::Claim::fencing_token
#[derive(Clone)]
pub struct RedisStore {
    inner: Arc<Inner>,
}

struct Inner {
    link: Link,
    prefix: String,
    scripts: Scripts,
    allow_eviction: bool,
    /// Whether the server was reached and accepted.
    checked: Once<(), StoreError>,
}

impl RedisStore {
    /// Connects to the server at `url`: `redis://user:password@host:port/database`, `rediss://` for
    /// TLS, or `unix:///path`. Set options on the returned value, then await it.
    ///
    /// # Errors
    ///
    /// When awaited, [`StoreError`] if the URL is invalid, if the server cannot be reached or
    /// refuses the login, if it evicts or is a node of a cluster, or if the user lacks a right.
    ///
    /// # Panics
    ///
    /// When awaited outside of a tokio runtime.
    pub fn connect(url: impl Into<String>) -> RedisConnect {
        RedisConnect::new(Address::Server(url.into()))
    }

    /// Connects to a Redis Cluster. `urls` lists some of its nodes. They may differ only in host
    /// and port. The store discovers the other nodes, and follows slot migrations and failovers.
    ///
    /// Each claim is one key, whose slot depends on the idempotency key. So the claims of a batch
    /// are spread over several nodes. Each takes effect separately, as on a single server.
    ///
    /// # Errors
    ///
    /// When awaited, for the reasons of [`connect`](Self::connect). The store checks every primary.
    ///
    /// # Panics
    ///
    /// When awaited outside of a tokio runtime.
    pub fn connect_cluster(urls: impl IntoIterator<Item = impl Into<String>>) -> RedisConnect {
        RedisConnect::new(Address::Cluster(urls.into_iter().map(Into::into).collect()))
    }

    /// Connects to the master that Redis Sentinel reports, and follows failovers.
    ///
    /// `master` is the master's URL, in which its name replaces host and port:
    /// `redis://user:password@mymaster/database`. `sentinels` lists the URLs of the Sentinels, such
    /// as `redis://sentinel-1:26379`. They may differ only in host and port.
    ///
    /// # Errors
    ///
    /// When awaited, for the reasons of [`connect`](Self::connect), or if no Sentinel knows the
    /// master.
    ///
    /// # Panics
    ///
    /// When awaited outside of a tokio runtime.
    pub fn connect_sentinel(
        master: impl Into<String>,
        sentinels: impl IntoIterator<Item = impl Into<String>>,
    ) -> RedisConnect {
        let sentinels = sentinels.into_iter().map(Into::into).collect();
        RedisConnect::new(Address::Sentinel { master: master.into(), sentinels })
    }

    fn new(link: Link, prefix: String, allow_eviction: bool) -> Self {
        Self {
            inner: Arc::new(Inner {
                link,
                prefix,
                scripts: Scripts::new(),
                allow_eviction,
                checked: Once::default(),
            }),
        }
    }

    /// Checks once that the server is acceptable, as soon as it can be reached.
    async fn ready(&self) -> Result<(), StoreError> {
        let store = self.clone();
        let ended = || StoreError::new("redis: the runtime ended during the check at the start");
        self.inner.checked.get(|| check::check(store), ended).await
    }

    fn key(&self, key: &ClaimKey) -> Vec<u8> {
        [self.inner.prefix.as_bytes(), key.as_bytes()].concat()
    }

    fn claim_call(&self, request: &ClaimRequest) -> (&Script, Cmd) {
        let script = &self.inner.scripts.claim;
        let mut command = script.call(&self.key(&request.key));
        command
            .arg(&request.owner.as_bytes()[..])
            .arg(&request.fingerprint.0[..])
            .arg(millis(request.lease))
            .arg(millis(request.ttl))
            .arg(match request.on_lease_expiry {
                OnLeaseExpiry::TakeOver => "take",
                OnLeaseExpiry::Hold => "hold",
            });
        (script, command)
    }

    fn step_call(&self, holder: &Holder, step: Step) -> (&Script, Cmd) {
        let scripts = &self.inner.scripts;
        let script = match step {
            Step::Complete { .. } => &scripts.complete,
            Step::Release => &scripts.release,
            Step::Extend { .. } => &scripts.extend,
        };
        let mut command = script.call(&self.key(&holder.key));
        command.arg(&holder.owner.as_bytes()[..]);
        match step {
            Step::Complete { status, ttl } => command.arg(status).arg(millis(ttl)),
            Step::Release => &mut command,
            Step::Extend { lease } => command.arg(millis(lease)),
        };
        (script, command)
    }

    /// Runs one script several times, in one round trip per node, and parses each reply.
    async fn send_all<'a, T>(
        &self,
        calls: impl ExactSizeIterator<Item = (&'a Script, Cmd)>,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Vec<T>, StoreError> {
        let count = calls.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        self.ready().await?;
        let mut script = None;
        let mut commands = Pipeline::with_capacity(count);
        for (of_call, call) in calls {
            script = Some(of_call);
            commands.add_command(call);
        }
        let replies = self.inner.link.send(&commands, script).await?;
        if replies.len() != count {
            return Err(unexpected());
        }
        replies.iter().map(read).collect::<Option<_>>().ok_or_else(unexpected)
    }

    async fn send(&self, command: Cmd, script: Option<&Script>) -> Result<Vec<Value>, StoreError> {
        self.ready().await?;
        let mut commands = Pipeline::new();
        commands.add_command(command);
        self.inner.link.send(&commands, script).await
    }
}

impl ClaimStore for RedisStore {
    /// Claims each key in a step of its own, all in one round trip.
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let limit = shortest(requests.iter().map(|request| request.limit));
        let _slot = self.inner.link.limiter.enter(limit).await?;
        self.send_all(requests.iter().map(|request| self.claim_call(request)), outcome).await
    }

    /// Runs the step's script for each holder, in one round trip but not in one step.
    async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
        self.send_all(holders.iter().map(|holder| self.step_call(holder, step)), settled).await
    }

    async fn complete_with(
        &self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
        response: &StoredResponse,
    ) -> Result<Settled, StoreError> {
        let (script, mut command) = self.step_call(holder, Step::Complete { status, ttl });
        command.arg(response.as_bytes());
        match self.send(command, Some(script)).await?.as_slice() {
            [reply] => settled(reply).ok_or_else(unexpected),
            _ => Err(unexpected()),
        }
    }

    async fn response(
        &self,
        key: &ClaimKey,
        limit: Duration,
    ) -> Result<Option<StoredResponse>, StoreError> {
        let _slot = self.inner.link.limiter.enter(limit).await?;
        // The record of a completed claim is never claimed again, so the field is its own.
        let mut command = redis::cmd("HGET");
        command.arg(self.key(key)).arg("r");
        match self.send(command, None).await?.as_slice() {
            [Value::Nil] => Ok(None),
            [Value::BulkString(bytes)] => {
                StoredResponse::from_bytes(bytes.as_slice()).map(Some).ok_or_else(unexpected)
            }
            _ => Err(unexpected()),
        }
    }

    /// Does nothing, because Redis deletes expired records by itself.
    async fn purge(&self, _: usize) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        let mut command = redis::cmd("DEL");
        command.arg(self.key(key));
        match self.send(command, None).await?.as_slice() {
            [Value::Int(deleted)] => Ok(*deleted > 0),
            _ => Err(unexpected()),
        }
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.inner.prefix).finish_non_exhaustive()
    }
}

/// Reads the claim script's result.
fn outcome(reply: &Value) -> Option<ClaimOutcome> {
    let Value::Array(parts) = reply else {
        return None;
    };
    match parts.as_slice() {
        [Value::Int(1), Value::Int(attempt)] => {
            Some(ClaimOutcome::Won { attempt: u64::try_from(*attempt).ok()? })
        }
        [Value::Int(2), Value::Int(status), Value::BulkString(body)] => {
            Some(ClaimOutcome::Completed {
                status: u16::try_from(*status).ok()?,
                fingerprint: Fingerprint(body.as_slice().try_into().ok()?),
            })
        }
        [Value::Int(3), Value::Int(left)] => Some(ClaimOutcome::Busy {
            lease_left: Duration::from_millis(u64::try_from(*left).ok()?),
        }),
        _ => None,
    }
}

/// Reads the result of a script for a holder's key.
fn settled(reply: &Value) -> Option<Settled> {
    match reply {
        Value::Int(1) => Some(Settled::Applied),
        Value::Int(0) => Some(Settled::Superseded),
        _ => None,
    }
}

/// Converts to whole milliseconds, rounded up, and limited to what the server can add to its time.
fn millis(duration: Duration) -> u64 {
    const CENTURY: u64 = 100 * 366 * 24 * 3600 * 1000;
    let millis = duration.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).map_or(CENTURY, |millis| millis.min(CENTURY))
}

fn unexpected() -> StoreError {
    StoreError::new("redis: unexpected reply of a script")
}
