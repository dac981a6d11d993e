use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use redis::{
    Client, ConnectionInfo, IntoConnectionInfo as _, Pipeline, Value, io::tcp::TcpSettings,
};

use super::{RedisStore, link::Link, script::Scripts};
use crate::{claim::StoreError, error::ConfigError};

/// Connects a [`RedisStore`] when awaited.
#[derive(Clone)]
#[must_use = "nothing is connected before it is awaited"]
pub struct RedisConnect {
    url: String,
    prefix: String,
    timeout: Duration,
    allow_eviction: bool,
    lazy: bool,
}

impl RedisConnect {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            prefix: "wv:".to_owned(),
            timeout: Duration::from_secs(1),
            allow_eviction: false,
            lazy: false,
        }
    }

    /// Sets the prefix of the keys in the server. The default is `wv:`. Stores are independent if
    /// neither prefix begins with the other.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how long a call may take before it fails. The default is 1 s, the same as a receiver's
    /// [`claim_timeout`](crate::Idempotency::claim_timeout). A connection that stays silent for
    /// five times as long is replaced.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Accepts a server that evicts keys when its memory is full, because its `maxmemory-policy` is
    /// not `noeviction`. A delivery whose record was evicted runs again if the sender retries, even
    /// while another handler is still running it.
    pub fn allow_eviction(mut self) -> Self {
        self.allow_eviction = true;
        self
    }

    /// Connects at the first call instead of now, so that a service starts even if its server is
    /// not up yet. A server that evicts is then refused at each call, and the senders get 503.
    pub fn lazy(mut self) -> Self {
        self.lazy = true;
        self
    }

    async fn connect(self) -> Result<RedisStore, StoreError> {
        if self.timeout.is_zero() {
            return Err(StoreError::new(ConfigError::option("timeout", "zero")));
        }
        let client = Client::open(with_tcp_settings(&self.url, self.timeout)?);
        let client = client.map_err(StoreError::new)?;
        let link = Link::new(client, self.timeout).map_err(StoreError::new)?;
        let store = RedisStore::new(link, self.prefix, self.allow_eviction);
        if !self.lazy {
            store.ready().await?;
        }
        Ok(store)
    }
}

impl IntoFuture for RedisConnect {
    type Output = Result<RedisStore, StoreError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}

/// Omits the URL, which may contain a password.
impl fmt::Debug for RedisConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConnect")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .field("allow_eviction", &self.allow_eviction)
            .field("lazy", &self.lazy)
            .finish_non_exhaustive()
    }
}

/// Parses the server's URL and sets TCP options: no delay for small packets, and a time limit for
/// data that the server does not acknowledge.
fn with_tcp_settings(url: &str, limit: Duration) -> Result<ConnectionInfo, StoreError> {
    let info = url.into_connection_info().map_err(StoreError::new)?;
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(limit.saturating_mul(5));
    #[cfg(not(target_os = "linux"))]
    let _ = limit;
    Ok(info.set_tcp_settings(settings))
}

/// Refuses a server that may evict claims, unless `allowed`. A server that does not report its
/// policy is accepted with a warning.
///
/// Also loads the scripts: a call whose caller has given up is not sent again, so its script should
/// be loaded already.
pub(super) async fn prepare(
    link: &Link,
    scripts: &Scripts,
    allowed: bool,
) -> Result<(), StoreError> {
    let mut commands = Pipeline::new();
    // Managed servers usually allow INFO but forbid CONFIG. A forbidden command is not an error
    // here.
    commands.ignore_errors();
    commands.cmd("INFO").arg("memory");
    commands.cmd("CONFIG").arg("GET").arg("maxmemory-policy");
    for script in scripts.all() {
        commands.add_command(script.load());
    }
    let replies = link.send(&commands, None).await?;
    for reply in &replies {
        if let Value::ServerError(error) = reply
            && !matches!(error.code(), "NOPERM" | "ERR")
        {
            return Err(StoreError::new(error.to_string()));
        }
    }
    match replies.iter().find_map(policy_in).as_deref() {
        _ if allowed => Ok(()),
        Some("noeviction") => Ok(()),
        Some(policy) => Err(StoreError::new(ConfigError::option(
            "maxmemory-policy",
            format!(
                "the server has {policy} and may evict claims: set noeviction, or allow_eviction"
            ),
        ))),
        None => {
            tracing::warn!(
                target: "webhook_verify",
                "redis does not report its maxmemory-policy: \
                 with any policy but noeviction it may lose deliveries"
            );
            Ok(())
        }
    }
}

/// Returns the policy, from a line of `INFO` or a pair of `CONFIG GET` (a map in newer protocols).
fn policy_in(answer: &Value) -> Option<String> {
    match answer {
        Value::BulkString(_) | Value::VerbatimString { .. } | Value::SimpleString(_) => {
            let info: String = redis::from_redis_value(answer.clone()).ok()?;
            let policy = info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
            policy.map(str::to_owned)
        }
        Value::Array(_) | Value::Map(_) => {
            let pairs: Vec<(String, String)> = redis::from_redis_value(answer.clone()).ok()?;
            let mut values = pairs.into_iter().filter(|(name, _)| name == "maxmemory-policy");
            values.next().map(|(_, value)| value)
        }
        _ => None,
    }
}
