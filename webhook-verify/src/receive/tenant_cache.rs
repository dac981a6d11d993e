use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Tenant,
    tenant::{BoxError, LookupFuture},
};
use crate::{
    clock::{Clock, MonotonicClock},
    request::RequestHead,
};

/// Caches tenants, for [`ReceiverBuilder::tenants`](crate::ReceiverBuilder::tenants) and
/// [`ReceiverBuilder::token_lookup`](crate::ReceiverBuilder::token_lookup).
///
/// The cache adds a tenant only after one of its requests was verified. So requests that are not
/// authentic cannot fill the cache or evict a tenant. Unknown tenants are not cached: limit the
/// rate of requests in front of the receiver.
///
/// A tenant stays in the cache for a fixed time, with the secrets that it had when it was added. To
/// rotate a secret without refusals:
///
/// 1. Give the tenant both secrets.
/// 2. Wait until the old entry has expired, or call [`forget`](Self::forget) in every process.
/// 3. Change the secret at the sender.
///
/// ```
/// use std::time::Duration;
/// use webhook_verify::{Receiver, RequestHead, Secret, Tenant, TenantCache, Verifier, scheme};
///
/// let cache = TenantCache::new(10_000, Duration::from_secs(60));
/// let name_of = |head: &RequestHead<'_>| Some(head.path().strip_prefix("/hooks/")?.to_owned());
/// let receiver = Receiver::builder(Verifier::builder(scheme::GITHUB))
///     .tenants(cache.by_head(name_of, |name: String| async move {
///         // Here: from a database.
///         Ok(Some(Tenant::new(name, [Secret::new("a secret")?])))
///     }))
///     .build()?;
/// # Ok::<(), webhook_verify::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct TenantCache(Arc<Inner>);

struct Inner {
    max: usize,
    ttl: Duration,
    clock: Box<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tenants: HashMap<Box<[u8]>, Cached>,
    /// The number of calls of [`TenantCache::forget`].
    forgotten: u64,
}

struct Cached {
    tenant: Tenant,
    until: Duration,
}

/// Adds a tenant to the cache after one of its requests was verified.
#[derive(Clone)]
pub(super) struct Storing {
    cache: TenantCache,
    name: Box<[u8]>,
    /// The number of calls of `forget` when the lookup began. If it has changed since, the result
    /// may be outdated.
    forgotten: u64,
}

impl TenantCache {
    /// Creates a cache of at most `max` tenants, which keeps each of them for `ttl`.
    #[must_use]
    pub fn new(max: usize, ttl: Duration) -> Self {
        Self::with_clock(max, ttl, MonotonicClock::default())
    }

    pub(super) fn with_clock(max: usize, ttl: Duration, clock: impl Clock) -> Self {
        Self(Arc::new(Inner { max, ttl, clock: Box::new(clock), state: Mutex::default() }))
    }

    /// Returns a lookup for [`ReceiverBuilder::tenants`](crate::ReceiverBuilder::tenants).
    ///
    /// `name_of` returns the tenant's name in the request's head, or `None` for an unknown tenant.
    /// If the cache does not contain the name, it calls `look_up`.
    pub fn by_head<N, F>(
        &self,
        name_of: impl Fn(&RequestHead<'_>) -> Option<N> + Send + Sync + 'static,
        look_up: impl Fn(N) -> F + Send + Sync + 'static,
    ) -> impl Fn(&RequestHead<'_>) -> LookupFuture<Tenant> + Send + Sync + 'static
    where
        N: AsRef<[u8]> + Send + 'static,
        F: Future<Output = Result<Option<Tenant>, BoxError>> + Send + 'static,
    {
        let cache = self.clone();
        move |head| match name_of(head) {
            Some(name) => cache.find(name, &look_up),
            None => Box::pin(async { Ok(None) }),
        }
    }

    /// Returns a lookup for
    /// [`ReceiverBuilder::token_lookup`](crate::ReceiverBuilder::token_lookup). If the cache does
    /// not contain the digest, it calls `look_up`.
    pub fn by_token<F>(
        &self,
        look_up: impl Fn([u8; 32]) -> F + Send + Sync + 'static,
    ) -> impl Fn([u8; 32]) -> LookupFuture<Tenant> + Send + Sync + 'static
    where
        F: Future<Output = Result<Option<Tenant>, BoxError>> + Send + 'static,
    {
        let cache = self.clone();
        move |digest| cache.find(digest, &look_up)
    }

    /// Removes a tenant, by its name in the request's head or by the digest of its token. Lookups
    /// that have already begun do not add their results.
    pub fn forget(&self, name: impl AsRef<[u8]>) {
        let mut state = self.state();
        state.tenants.remove(name.as_ref());
        state.forgotten += 1;
    }

    fn find<N, F>(&self, name: N, look_up: impl Fn(N) -> F) -> LookupFuture<Tenant>
    where
        N: AsRef<[u8]>,
        F: Future<Output = Result<Option<Tenant>, BoxError>> + Send + 'static,
    {
        let storing = {
            let state = self.state();
            if let Some(cached) = state.tenants.get(name.as_ref())
                && self.0.clock.now() < cached.until
            {
                let tenant = cached.tenant.clone();
                return Box::pin(async { Ok(Some(tenant)) });
            }
            Storing { cache: self.clone(), name: name.as_ref().into(), forgotten: state.forgotten }
        };
        let looking = look_up(name);
        Box::pin(async move {
            let tenant = looking.await?;
            Ok(tenant.map(|tenant| Tenant { storing: Some(storing), ..tenant }))
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storing {
    /// Adds the tenant, after a request was verified with its secrets.
    pub(super) fn store(self, tenant: Tenant) {
        let Inner { max, ttl, clock, .. } = &*self.cache.0;
        let now = clock.now();
        let mut state = self.cache.state();
        if self.forgotten != state.forgotten {
            return;
        }
        let tenants = &mut state.tenants;
        if tenants.len() >= *max {
            tenants.retain(|_, cached| now < cached.until);
        }
        if tenants.len() >= *max {
            let first = tenants.iter().min_by_key(|(_, cached)| cached.until);
            let Some(first) = first.map(|(name, _)| name.clone()) else { return };
            tenants.remove(&first);
        }
        tenants.insert(self.name, Cached { tenant, until: now + *ttl });
    }
}

impl fmt::Debug for TenantCache {
    /// Omits the names and secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantCache")
            .field("max", &self.0.max)
            .field("ttl", &self.0.ttl)
            .finish_non_exhaustive()
    }
}
