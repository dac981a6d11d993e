use std::{
    collections::{BTreeMap, HashMap},
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
/// Use one cache for each receiver. In a shared cache, a name could select the secrets of another
/// sender's tenant.
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
    tenants: HashMap<Arc<[u8]>, Cached>,
    /// The names of the cached tenants, in the order in which they were added. All are kept for the
    /// same time, so they expire in this order.
    order: BTreeMap<u64, Arc<[u8]>>,
    /// The number of tenants added so far.
    added: u64,
    /// The number of calls of [`TenantCache::forget`].
    forgotten: u64,
}

struct Cached {
    tenant: Tenant,
    number: u64,
    until: Duration,
}

impl State {
    fn add(&mut self, name: Arc<[u8]>, tenant: Tenant, until: Duration) {
        self.added += 1;
        self.order.insert(self.added, Arc::clone(&name));
        self.tenants.insert(name, Cached { tenant, number: self.added, until });
    }

    fn remove(&mut self, name: &[u8]) {
        if let Some(cached) = self.tenants.remove(name) {
            self.order.remove(&cached.number);
        }
    }

    fn remove_first(&mut self) {
        if let Some((_, name)) = self.order.pop_first() {
            self.tenants.remove(&name);
        }
    }
}

/// Adds a tenant to the cache after one of its requests was verified.
#[derive(Clone)]
pub(super) struct Storing {
    cache: TenantCache,
    name: Arc<[u8]>,
    /// The number of calls of `forget` when the lookup began. If it has changed since, the result
    /// may be outdated.
    forgotten: u64,
}

impl TenantCache {
    /// Creates a cache of at most `max` tenants, which keeps each of them for `ttl`. A full cache
    /// evicts the tenant that was added first.
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
        state.remove(name.as_ref());
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
        // Replaces an expired entry, or one that a concurrent lookup added.
        state.remove(&self.name);
        if *max == 0 {
            return;
        }
        if state.tenants.len() == *max {
            state.remove_first();
        }
        state.add(self.name, tenant, now.saturating_add(*ttl));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Secret;

    fn cache(max: usize) -> TenantCache {
        TenantCache::with_clock(max, Duration::from_secs(60), || Duration::ZERO)
    }

    fn add(cache: &TenantCache, name: &str) {
        let forgotten = cache.state().forgotten;
        let name = name.as_bytes().into();
        let tenant = Tenant::new("acme", [Secret::new("a secret").unwrap()]);
        Storing { cache: cache.clone(), name, forgotten }.store(tenant);
    }

    /// Returns the names in the order in which a full cache evicts them.
    fn names(cache: &TenantCache) -> Vec<String> {
        let state = cache.state();
        assert_eq!(state.order.len(), state.tenants.len());
        let numbered = |(number, name): (&u64, &Arc<[u8]>)| {
            assert_eq!(state.tenants[name].number, *number);
            String::from_utf8_lossy(name).into_owned()
        };
        state.order.iter().map(numbered).collect()
    }

    #[test]
    fn the_first_added_is_the_first_to_be_dropped() {
        let cache = cache(3);
        for name in ["a", "b", "c", "d"] {
            add(&cache, name);
        }
        assert_eq!(names(&cache), ["b", "c", "d"]);
        add(&cache, "b");
        assert_eq!(names(&cache), ["c", "d", "b"], "replaced");
        cache.forget("d");
        assert_eq!(names(&cache), ["c", "b"]);
        cache.forget("unknown");
        add(&cache, "e");
        assert_eq!(names(&cache), ["c", "b", "e"]);
    }

    #[test]
    fn the_order_is_as_short_as_the_cache() {
        let cache = cache(3);
        for number in 0..10_000 {
            add(&cache, "a");
            add(&cache, &number.to_string());
            cache.forget("a");
            cache.forget("unknown");
            assert!(names(&cache).len() <= 3);
        }
        let none = self::cache(0);
        add(&none, "a");
        assert!(names(&none).is_empty());
    }

    #[test]
    fn a_tenant_may_stay_forever() {
        let cache = TenantCache::with_clock(1, Duration::MAX, || Duration::from_secs(1));
        add(&cache, "a");
        assert_eq!(names(&cache), ["a"]);
    }

    #[test]
    fn a_hit_shares_the_secrets() {
        let cache = cache(1);
        add(&cache, "a");
        let hit = || {
            let mut found = cache.find("a", |_| async { unreachable!("it is cached") });
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            match found.as_mut().poll(&mut context) {
                std::task::Poll::Ready(tenant) => tenant.unwrap().unwrap(),
                std::task::Poll::Pending => panic!("it is cached"),
            }
        };
        assert!(Arc::ptr_eq(&hit().secrets, &hit().secrets));
        assert!(Arc::ptr_eq(&hit().namespace, &hit().namespace));
    }
}
