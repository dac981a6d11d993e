//! The sources of the secrets for a request.

use std::{future::Future, sync::Arc, time::Duration};

use super::{
    Receiver, Rejection, Tenant,
    tenant::{BoxError, KeyLookup, LookupFuture, TenantLookup, TokenLookup},
};
use crate::{
    error::{ConfigError, VerifyError},
    key::{Keys, Secret},
    request::RequestHead,
    verify::{Incoming, Verifier},
};

/// The time limit of lookups and of accepting a handshake's secret.
const LIMIT: Duration = Duration::from_secs(5);

const EMPTY_NAMESPACE: &str = "the tenant's namespace is empty";

/// The source of a receiver's secrets.
pub(super) enum Source {
    /// The verifier has them.
    Verifier,
    /// A lookup of the tenant by the request's head.
    Tenants(Box<TenantLookup>),
    /// A lookup of the key that the request names.
    Named(Box<KeyLookup>),
    /// A lookup of the tenant by the digest of the token.
    Tokens(Box<TokenLookup>),
}

impl Source {
    /// Returns the name of the builder's method.
    pub(super) fn option(&self) -> &'static str {
        match self {
            Self::Verifier => "secret",
            Self::Tenants(_) => "tenants",
            Self::Named(_) => "key_lookup",
            Self::Tokens(_) => "token_lookup",
        }
    }

    /// Checks that the scheme supports the lookup, and that the verifier has no secrets with one.
    pub(super) fn check(&self, verifier: &Verifier) -> Result<(), ConfigError> {
        let scheme = verifier.scheme();
        let mismatch = match self {
            Self::Verifier => return Ok(()),
            Self::Named(_) if scheme.key_source.is_none() => "the scheme's requests name no key",
            Self::Tokens(_) if !scheme.algorithm.is_token() => {
                "the scheme's requests contain no token"
            }
            Self::Tenants(_) | Self::Named(_) | Self::Tokens(_) => {
                return match verifier.settings().keys().len() {
                    0 => Ok(()),
                    given => Err(ConfigError::SecretCount { given, limit: 0 }),
                };
            }
        };
        Err(ConfigError::option(self.option(), mismatch))
    }
}

impl Receiver {
    /// Starts the lookup of the tenant, if there is one by the request's head.
    pub(super) fn resolve(&self, head: &RequestHead<'_>) -> Option<LookupFuture<Tenant>> {
        match &self.inner.source {
            Source::Tenants(resolve) => Some(resolve(head)),
            Source::Verifier | Source::Named(_) | Source::Tokens(_) => None,
        }
    }

    /// Returns a tenant and its keys, or `unknown` if there is no such tenant. Refuses an empty
    /// namespace, because such tenants would suppress each other's deliveries.
    pub(super) async fn keys_of(
        &self,
        resolving: LookupFuture<Tenant>,
        unknown: VerifyError,
    ) -> Result<(Arc<Keys>, Tenant), Rejection> {
        let tenant = self.in_time(resolving).await?;
        let tenant = tenant.ok_or(unknown)?;
        if tenant.namespace.is_empty() {
            let error = ConfigError::option(self.inner.source.option(), EMPTY_NAMESPACE);
            return Err(Rejection::Secrets(Arc::new(error)));
        }
        Ok((self.ready(tenant.secrets.iter().cloned())?, tenant))
    }

    /// Looks up the key that the request names, or the tenant of its token, once the body is
    /// complete. Returns the tenant.
    pub(super) async fn look_up(
        &self,
        incoming: &mut Incoming,
    ) -> Result<Option<Tenant>, Rejection> {
        match &self.inner.source {
            Source::Named(look_up) => {
                let name = incoming.key_name()?.ok_or(VerifyError::UnknownKey)?;
                let key = self.in_time(look_up(&name)).await?;
                incoming.key(self.ready([key.ok_or(VerifyError::UnknownKey)?])?);
                Ok(None)
            }
            Source::Tokens(look_up) => {
                let resolving = look_up(incoming.token_digest()?);
                let keys = self.keys_of(resolving, VerifyError::TokenMismatch);
                let (keys, tenant) = keys.await?;
                incoming.key(keys);
                Ok(Some(tenant))
            }
            Source::Verifier | Source::Tenants(_) => Ok(None),
        }
    }

    fn ready(&self, secrets: impl IntoIterator<Item = Secret>) -> Result<Arc<Keys>, Rejection> {
        let keys = self.inner.verifier.prepare(secrets);
        keys.map_err(|error| Rejection::Secrets(Arc::new(error)))
    }

    /// Returns the result of a callback, or an error if there is none within [`LIMIT`].
    pub(super) async fn in_time<T>(
        &self,
        callback: impl Future<Output = Result<T, BoxError>>,
    ) -> Result<T, Rejection> {
        let result = self.timer().within(LIMIT, callback).await;
        let result = result.unwrap_or_else(|| Err("no result within 5 s".into()));
        result.map_err(|error| Rejection::Secrets(Arc::from(error)))
    }
}
