use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use super::{
    RedisStore,
    link::Link,
    target::{Address, Target},
    tls::Tls,
};
use crate::{claim::StoreError, error::ConfigError};

/// Connects a [`RedisStore`] when awaited.
#[derive(Clone)]
#[must_use = "nothing is connected before it is awaited"]
pub struct RedisConnect {
    address: Address,
    tls: Tls,
    prefix: String,
    timeout: Duration,
    allow_eviction: bool,
    lazy: bool,
}

impl RedisConnect {
    pub(super) fn new(address: Address) -> Self {
        Self {
            address,
            tls: Tls::new(),
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
    /// not up yet. If the server then fails the checks, for example because it evicts, each call
    /// fails, and the senders get 503.
    pub fn lazy(mut self) -> Self {
        self.lazy = true;
        self
    }

    /// Trusts only the certificate authorities in this PEM text, and not the system's. Requires
    /// URLs that begin with `rediss://`.
    #[cfg(feature = "redis-tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-tls")))]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.set_root(pem.into());
        self
    }

    /// Sets a client certificate: the certificate chain and the private key, both as PEM text. A
    /// server with `tls-auth-clients yes` (the default) requires one.
    #[cfg(feature = "redis-tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-tls")))]
    pub fn client_certificate(
        mut self,
        chain: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.tls.set_client(chain.into(), key.into());
        self
    }

    async fn connect(self) -> Result<RedisStore, StoreError> {
        if self.timeout.is_zero() {
            return Err(StoreError::new(ConfigError::option("timeout", "zero")));
        }
        let target = Target::new(&self.address, &self.tls, self.timeout)?;
        let link = Link::new(target, self.timeout);
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

/// Omits the URLs, which may contain passwords.
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
