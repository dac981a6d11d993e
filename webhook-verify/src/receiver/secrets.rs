//! Where the secrets come from that a request is judged by.

use std::{error, future::Future, sync::Arc, time::Duration};

use super::{Receiver, ReceiverBuilder};
use crate::{
    ConfigError, Rejection, RequestHead, Secret, Tenant, Timer, VerifierBuilder, VerifyError,
    key::Key,
    tenant::{BoxError, LookUp, Resolve, Resolving},
    timer::within,
};

/// How long the look-up of a tenant or a key may take, and the taking of a handshake's secret.
const LIMIT: Duration = Duration::from_secs(5);

/// Who has the secrets.
pub(super) enum Source {
    /// The verifier.
    Verifier,
    /// Whoever is asked whose the request is.
    Tenants(Box<Resolve>),
    /// Whoever is asked for the key that the request names.
    Named(Box<LookUp>),
}

impl Receiver {
    /// A receiver of many tenants, each with secrets of its own. `verifier` has none.
    ///
    /// `resolve` looks a request's tenant up by its head, such as by the path or a header, before the body is read:
    /// `Ok(None)` is a tenant that does not exist, and refused as not authentic; an error, or no answer within 5 s, is
    /// answered 503. An unknown tenant is refused sooner than a known one, so whoever asks can tell which names exist.
    ///
    /// ```
    /// use webhook_verify::{Receiver, RequestHead, Secret, Tenant, Verifier, scheme};
    ///
    /// let receiver = Receiver::for_tenants(Verifier::builder(scheme::GITHUB), |head: &RequestHead<'_>| {
    ///     let name = head.path().strip_prefix("/hooks/").unwrap_or_default().to_owned();
    ///     async move {
    ///         let secret = match name.as_str() {
    ///             "acme" => "a secret out of a database",
    ///             _ => return Ok(None),
    ///         };
    ///         Ok(Some(Tenant::new(name, [Secret::new(secret)?])))
    ///     }
    /// })?
    /// .build()?;
    /// # Ok::<(), webhook_verify::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when `verifier` cannot be built, or has secrets.
    pub fn for_tenants<F>(
        verifier: VerifierBuilder,
        resolve: impl Fn(&RequestHead<'_>) -> F + Send + Sync + 'static,
    ) -> Result<ReceiverBuilder, ConfigError>
    where
        F: Future<Output = Result<Option<Tenant>, Box<dyn error::Error + Send + Sync>>>
            + Send
            + 'static,
    {
        let mut builder = Self::builder(verifier.build_keyless()?);
        builder.source = Source::Tenants(Box::new(move |head| Box::pin(resolve(head))));
        Ok(builder)
    }

    /// A receiver for a sender that has several public keys, and names one in each request. `verifier` has none.
    ///
    /// `look_up` is given the name: the address of a certificate (PayPal, SNS), always `https` and on one of the sender's
    /// own hosts, or the id of a key (Plaid). `Ok(None)` is a key that does not exist, and refused as not authentic; an
    /// error, a text that is no key, or no answer within 5 s, is answered 503.
    ///
    /// This crate opens no connection: fetching is up to `look_up`, and so is keeping what was fetched. It is asked for
    /// each request that has a signature, before that can be judged, so the name is the client's choice: an address may be
    /// any on the sender's hosts. Keep the keys that were found, a few of them, and limit how often others are asked for.
    ///
    /// ```
    /// use webhook_verify::{Receiver, Secret, Verifier, scheme};
    ///
    /// # const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
    /// let receiver = Receiver::with_key_lookup(
    ///     Verifier::builder(scheme::PAYPAL).parameter("webhook_id", "8PT597110X687430LKGECATA"),
    ///     |name: &str| {
    ///         let key = match name {
    ///             "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270" => {
    ///                 Some(Secret::new(CERTIFICATE))
    ///             }
    ///             // here: out of a cache, or fetched
    ///             _ => None,
    ///         };
    ///         async move { Ok(key.transpose()?) }
    ///     },
    /// )?
    /// .build()?;
    /// # Ok::<(), webhook_verify::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when `verifier` cannot be built, or has secrets, or when the scheme's requests name no key.
    pub fn with_key_lookup<F>(
        verifier: VerifierBuilder,
        look_up: impl Fn(&str) -> F + Send + Sync + 'static,
    ) -> Result<ReceiverBuilder, ConfigError>
    where
        F: Future<Output = Result<Option<Secret>, Box<dyn error::Error + Send + Sync>>>
            + Send
            + 'static,
    {
        let verifier = verifier.build_keyless()?;
        if verifier.scheme().key_source.is_none() {
            return Err(ConfigError::option(
                "with_key_lookup",
                "the scheme's requests name no key",
            ));
        }
        let mut builder = Self::builder(verifier);
        builder.source = Source::Named(Box::new(move |name| Box::pin(look_up(name))));
        Ok(builder)
    }

    /// Asks whose a request is.
    pub(super) fn resolve(&self, head: &RequestHead<'_>) -> Option<Resolving<Tenant>> {
        match &self.inner.source {
            Source::Tenants(resolve) => Some(resolve(head)),
            Source::Verifier | Source::Named(_) => None,
        }
    }

    /// A tenant's secrets, ready, and its namespace.
    pub(super) async fn keys_of(
        &self,
        resolving: Resolving<Tenant>,
        timer: &impl Timer,
    ) -> Result<(Arc<[Key]>, Arc<str>), Rejection> {
        let tenant = in_time(resolving, timer).await?;
        let tenant = tenant.ok_or(VerifyError::UnknownTenant)?;
        Ok((self.ready(tenant.secrets)?, tenant.namespace.into()))
    }

    /// The key of this name, ready.
    pub(super) async fn key_of(
        &self,
        look_up: &LookUp,
        name: Option<String>,
        timer: &impl Timer,
    ) -> Result<Arc<[Key]>, Rejection> {
        let name = name.ok_or(VerifyError::UnknownKey)?;
        let key = in_time(look_up(&name), timer).await?;
        self.ready([key.ok_or(VerifyError::UnknownKey)?])
    }

    fn ready(&self, secrets: impl IntoIterator<Item = Secret>) -> Result<Arc<[Key]>, Rejection> {
        let keys = self.inner.verifier.prepare(secrets);
        keys.map_err(|error| Rejection::Secrets(Arc::new(error)))
    }
}

/// What comes of asking, unless that takes too long.
pub(super) async fn in_time<T>(
    asking: impl Future<Output = Result<T, BoxError>>,
    timer: &impl Timer,
) -> Result<T, Rejection> {
    let answer = within(asking, timer, LIMIT).await;
    let answer = answer.unwrap_or_else(|| Err("no answer in time".into()));
    answer.map_err(|error| Rejection::Secrets(Arc::from(error)))
}
