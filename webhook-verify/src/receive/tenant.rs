use std::{error, fmt, future::ready, pin::Pin, sync::Arc};

use super::tenant_cache::Storing;
use crate::{
    claim::{contain, contain_future},
    key::Secret,
    request::RequestHead,
};

/// A tenant: its secrets, and the namespace that isolates its deliveries. Clones are cheap, because
/// they share the secrets.
#[derive(Clone)]
pub struct Tenant {
    pub(crate) namespace: Arc<str>,
    pub(crate) secrets: Arc<[Secret]>,
    /// Adds the tenant to its cache.
    pub(super) storing: Option<Storing>,
}

impl Tenant {
    /// Returns a tenant with its live secrets, the newest first.
    ///
    /// `namespace` is part of every idempotency key, so two tenants may use the same IDs. Take it
    /// from your own record of the tenant, not from the request. If it is empty, the sender gets
    /// 503 and the log names the mistake.
    pub fn new(namespace: impl Into<String>, secrets: impl IntoIterator<Item = Secret>) -> Self {
        let namespace = namespace.into().into();
        Self { namespace, secrets: secrets.into_iter().collect(), storing: None }
    }
}

impl Tenant {
    /// Adds the tenant to its cache, if it has one, after a request was verified with its secrets.
    /// Returns the namespace.
    pub(super) fn store(mut self) -> Arc<str> {
        let namespace = Arc::clone(&self.namespace);
        if let Some(storing) = self.storing.take() {
            storing.store(self);
        }
        namespace
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("namespace", &self.namespace)
            .field("secrets", &self.secrets)
            .finish_non_exhaustive()
    }
}

pub(crate) type BoxError = Box<dyn error::Error + Send + Sync>;

/// Looks up a tenant by the request's head.
pub(crate) type TenantLookup = dyn Fn(&RequestHead<'_>) -> LookupFuture<Tenant> + Send + Sync;

/// Looks up a public key by its name.
pub(crate) type KeyLookup = dyn Fn(&str) -> LookupFuture<Secret> + Send + Sync;

/// Looks up a tenant by the SHA-256 digest of its token.
pub(crate) type TokenLookup = dyn Fn([u8; 32]) -> LookupFuture<Tenant> + Send + Sync;

/// The future of a lookup.
pub(crate) type LookupFuture<T> = CallbackFuture<Option<T>>;

/// The future of a callback.
pub(crate) type CallbackFuture<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// Calls the callback that was passed to the builder's method `option`. Turns a panic in it, or in
/// its future, into an error, so that the client gets a response.
pub(crate) fn call<T, F>(option: &'static str, callback: impl FnOnce() -> F) -> CallbackFuture<T>
where
    F: Future<Output = Result<T, BoxError>> + Send + 'static,
    T: Send + 'static,
{
    let panicked = move || Err(format!("the callback of `{option}` panicked").into());
    match contain(callback) {
        Some(future) => {
            Box::pin(async move { contain_future(future).await.unwrap_or_else(panicked) })
        }
        None => Box::pin(ready(panicked())),
    }
}
