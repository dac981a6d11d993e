use std::{error, pin::Pin};

use crate::{key::Secret, request::RequestHead};

/// Whose request it is: the secrets to judge it by, and the name that keeps its deliveries apart.
#[derive(Clone, Debug)]
pub struct Tenant {
    pub(crate) namespace: String,
    pub(crate) secrets: Vec<Secret>,
}

impl Tenant {
    /// A tenant with its live secrets, the newest first.
    ///
    /// `namespace` is part of every claim's key: the same id from two tenants is two deliveries. Take it from what you
    /// keep about the tenant, not from the request.
    pub fn new(namespace: impl Into<String>, secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self { namespace: namespace.into(), secrets: secrets.into_iter().collect() }
    }
}

pub(crate) type BoxError = Box<dyn error::Error + Send + Sync>;

/// Looks a tenant up.
pub(crate) type Resolve = dyn Fn(&RequestHead<'_>) -> Resolving<Tenant> + Send + Sync;

/// Looks a public key up by its name.
pub(crate) type LookUp = dyn Fn(&str) -> Resolving<Secret> + Send + Sync;

/// Looks a tenant up by the SHA-256 digest of its token.
pub(crate) type TokenLookUp = dyn Fn([u8; 32]) -> Resolving<Tenant> + Send + Sync;

/// A look-up under way.
pub(crate) type Resolving<T> = Pin<Box<dyn Future<Output = Result<Option<T>, BoxError>> + Send>>;
