//! Where the secrets come from that a request is judged by.

use std::{error, future::Future, sync::Arc, time::Duration};

use super::{
    Receiver, ReceiverBuilder, Rejection, Tenant,
    tenant::{BoxError, LookUp, Resolve, Resolving, TokenLookUp},
};
use crate::{
    error::{ConfigError, VerifyError},
    key::{Key, Secret},
    request::RequestHead,
    timer::{Timer, within},
    verify::{Incoming, VerifierBuilder},
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
    /// Whoever is asked whose the token is.
    Tokens(Box<TokenLookUp>),
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

    /// A receiver that takes many tokens, each of which stands for somebody, or something, of its own. `verifier` has
    /// none.
    ///
    /// `look_up` is given the SHA-256 digest of the token that a request brings (under Basic authentication, of
    /// `name:password`), and never the token itself: look for it in a table with an index on the digests. What the time of
    /// that look-up tells is about digests, of which nobody can make one that begins as he likes and hits. The tenant that
    /// comes back has the token as its secret, and the token is compared with that, too, in constant time; its
    /// namespace is there for the handler, at [`Delivery::namespace`](crate::Delivery::namespace).
    ///
    /// `Ok(None)` is a token that does not exist, and refused like one that is wrong; an error, or no answer within 5 s,
    /// is answered 503. The tokens of all places where the scheme has them must agree, those in the body included. So
    /// the look-up comes when the body is read, and how soon a request is refused does not tell which tokens exist. It is
    /// asked for each request that brings any token at all.
    ///
    /// ```
    /// use sha2::{Digest, Sha256};
    /// use webhook_verify::{Receiver, Secret, Tenant, Verifier, scheme};
    ///
    /// const TOKEN: &str = "a29a4f16-989d-48c8-ab54-7b6150733ba1";
    ///
    /// let receiver = Receiver::with_token_lookup(
    ///     Verifier::builder(scheme::PIPEFORCE_TOKEN),
    ///     |digest: [u8; 32]| async move {
    ///         // here: out of a database, by the digest
    ///         match digest == *Sha256::digest(TOKEN) {
    ///             true => Ok(Some(Tenant::new("webhook.lead.created", [Secret::new(TOKEN)?]))),
    ///             false => Ok(None),
    ///         }
    ///     },
    /// )?
    /// .build()?;
    ///
    /// // a scheme that signs has no tokens to look up
    /// let signing = Verifier::builder(scheme::GITHUB);
    /// assert!(Receiver::with_token_lookup(signing, |_| async { Ok(None) }).is_err());
    /// # Ok::<(), webhook_verify::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when `verifier` cannot be built, or has secrets, or when the scheme's requests bring no token.
    pub fn with_token_lookup<F>(
        verifier: VerifierBuilder,
        look_up: impl Fn([u8; 32]) -> F + Send + Sync + 'static,
    ) -> Result<ReceiverBuilder, ConfigError>
    where
        F: Future<Output = Result<Option<Tenant>, Box<dyn error::Error + Send + Sync>>>
            + Send
            + 'static,
    {
        let verifier = verifier.build_keyless()?;
        if !verifier.scheme().algorithm.is_token() {
            return Err(ConfigError::option(
                "with_token_lookup",
                "the scheme's requests bring no token",
            ));
        }
        let mut builder = Self::builder(verifier);
        builder.source = Source::Tokens(Box::new(move |digest| Box::pin(look_up(digest))));
        Ok(builder)
    }

    /// Asks whose a request is.
    pub(super) fn resolve(&self, head: &RequestHead<'_>) -> Option<Resolving<Tenant>> {
        match &self.inner.source {
            Source::Tenants(resolve) => Some(resolve(head)),
            Source::Verifier | Source::Named(_) | Source::Tokens(_) => None,
        }
    }

    /// A tenant's secrets, ready, and its namespace. Where there is no such tenant, `unknown`.
    pub(super) async fn keys_of(
        &self,
        resolving: Resolving<Tenant>,
        unknown: VerifyError,
        timer: &impl Timer,
    ) -> Result<(Arc<[Key]>, Arc<str>), Rejection> {
        let tenant = in_time(resolving, timer).await?;
        let tenant = tenant.ok_or(unknown)?;
        Ok((self.ready(tenant.secrets)?, tenant.namespace.into()))
    }

    /// Asks for the key that a request names, or whose its token is, now that its body is complete. Returns the namespace.
    pub(super) async fn look_up(
        &self,
        incoming: &mut Incoming,
        timer: &impl Timer,
    ) -> Result<Option<Arc<str>>, Rejection> {
        match &self.inner.source {
            Source::Named(look_up) => {
                let name = incoming.key_name()?.ok_or(VerifyError::UnknownKey)?;
                let key = in_time(look_up(&name), timer).await?;
                incoming.key(self.ready([key.ok_or(VerifyError::UnknownKey)?])?);
                Ok(None)
            }
            Source::Tokens(look_up) => {
                let resolving = look_up(incoming.token_digest()?);
                let keys = self.keys_of(resolving, VerifyError::TokenMismatch, timer);
                let (keys, namespace) = keys.await?;
                incoming.key(keys);
                Ok(Some(namespace))
            }
            Source::Verifier | Source::Tenants(_) => Ok(None),
        }
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
