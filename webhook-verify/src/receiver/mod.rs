mod admitted;
mod builder;
mod received;
mod timer;

use std::{
    error, fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;

use self::timer::within;
pub use self::{
    admitted::{Admission, Admitted},
    builder::ReceiverBuilder,
    received::Received,
    timer::Timer,
};
use crate::{
    ClaimKey, ConfigError, Idempotency, Incoming, Rejection, RequestHead, StoreError, Tenant,
    Verifier, VerifierBuilder, VerifyError,
    head::Picked,
    incoming::BodyTooLarge,
    key::Key,
    tenant::{BoxError, Resolve, Resolving},
};

/// The body limit where neither the user nor the scheme says otherwise, in bytes.
const DEFAULT_BODY_LIMIT: usize = 1 << 20;
/// How long the look-up of a tenant may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The whole of receiving, once, for every framework: read, verify, deduplicate, hand over, settle.
///
/// The adapters for axum and actix-web drive it; so can anything else that has a request head and a stream of bytes:
///
/// ```
/// # use std::{convert::Infallible, future::pending, pin::Pin, task::{Context, Poll}};
/// # use bytes::Bytes;
/// # struct Body(Option<Bytes>);
/// # impl futures_core::Stream for Body {
/// #     type Item = Result<Bytes, Infallible>;
/// #     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
/// #         Poll::Ready(self.0.take().map(Ok))
/// #     }
/// # }
/// # fn block_on<F: Future>(future: F) -> F::Output {
/// #     let mut future = std::pin::pin!(future);
/// #     let mut context = Context::from_waker(std::task::Waker::noop());
/// #     loop { if let Poll::Ready(output) = future.as_mut().poll(&mut context) { return output } }
/// # }
/// # block_on(async {
/// use webhook_verify::{Admission, Idempotency, MemoryStore, Receiver, RequestHead, Verifier, scheme};
///
/// let verifier = Verifier::new(scheme::MAUTIC, "58ae6ad08e40a88c23e3a8ee11ee3467")?;
/// let receiver = Receiver::builder(verifier)
///     .idempotency(Idempotency::new(MemoryStore::new(), "mautic"))
///     .build()?;
///
/// let headers = [("Webhook-Signature", "ZnxUeUp8lqti4gO4VWPwaZ+Jll2tJkUYTW9Cp5kIs64=")];
/// let head = RequestHead::from(&headers);
/// # let timer = |_| pending::<()>();
/// # let body = |text: &'static str| Body(Some(text.into()));
/// let delivered = r#"{"mautic.lead_post_delete":[{"id":52}]}"#;
///
/// // the first time, the handler runs, and its status decides what becomes of the claim
/// let Admission::Admitted(admitted) = receiver.admit(&head, body(delivered), timer).await? else { panic!() };
/// let status = admitted.run(async { 200 }, timer).await?;
/// admitted.settle(status, timer).await;
///
/// // the second time, the answer is known
/// let Admission::Answer(answer) = receiver.admit(&head, body(delivered), timer).await? else { panic!() };
/// assert_eq!(answer.status(), 200);
///
/// // and what is not authentic gets nowhere
/// let rejection = receiver.admit(&head, body("{}"), timer).await.unwrap_err();
/// assert_eq!(rejection.status(), 401);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Receiver {
    inner: Arc<Inner>,
}

struct Inner {
    verifier: Verifier,
    body_limit: usize,
    body_timeout: Duration,
    idempotency: Option<Arc<Idempotency>>,
    tenants: Option<Box<Resolve>>,
}

impl Receiver {
    /// A receiver that verifies and does not deduplicate, with the default limits.
    #[must_use]
    pub fn new(verifier: Verifier) -> Self {
        Self::builder(verifier).assemble()
    }

    /// A receiver with idempotency or other limits.
    pub fn builder(verifier: Verifier) -> ReceiverBuilder {
        let body_limit = verifier
            .scheme()
            .hints()
            .body_limit
            .unwrap_or(DEFAULT_BODY_LIMIT);
        ReceiverBuilder {
            verifier,
            body_limit,
            body_timeout: Duration::from_secs(10),
            idempotency: None,
            tenants: None,
        }
    }

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
        builder.tenants = Some(Box::new(move |head| Box::pin(resolve(head))));
        Ok(builder)
    }

    /// The verifier, to swap secrets. That of a receiver [for tenants](Self::for_tenants) has none.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.inner.verifier
    }

    /// Forgets what is known of a delivery, so that it runs again when it is sent again. Whether there was anything to
    /// forget. The key is in the logs and in [`Claim::key`](crate::Claim::key).
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot answer, or when there is none.
    pub async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        match &self.inner.idempotency {
            Some(idempotency) => idempotency.store.forget(key).await,
            None => Err(StoreError::new("the receiver does not deduplicate")),
        }
    }

    /// Takes a request in: judges its head at once and, when awaited, reads and verifies its body.
    ///
    /// The future borrows nothing, and is `Send` if `body` and `timer` are. It may be dropped at any moment.
    ///
    /// # Errors
    ///
    /// [`Rejection`]: what to answer instead. It has been logged.
    pub fn receive<B, E, T>(
        &self,
        head: &RequestHead<'_>,
        body: B,
        timer: T,
    ) -> impl Future<Output = Result<Received, Rejection>> + use<B, E, T>
    where
        B: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn error::Error + Send + Sync>>,
        T: Timer,
    {
        let receiver = self.clone();
        let begun = self.begin(head);
        let tenant = match &self.inner.tenants {
            Some(resolve) if begun.is_ok() => Some(resolve(head)),
            _ => None,
        };
        async move {
            let received = match begun {
                Ok(incoming) => receiver.take_in(incoming, tenant, body, timer).await,
                Err(rejection) => Err(rejection),
            };
            received.inspect_err(|rejection| rejection.log(receiver.verifier().scheme().name()))
        }
    }

    /// [Receives](Self::receive) a request and [admits](Received::admit) it in one go, where nothing drops futures.
    ///
    /// An [`Admission::Admitted`] goes to the handler, through [`Admitted::run`], and its outcome to
    /// [`Admitted::settle`].
    ///
    /// # Errors
    ///
    /// [`Rejection`]: what to answer instead. It has been logged.
    pub fn admit<B, E, T>(
        &self,
        head: &RequestHead<'_>,
        body: B,
        timer: T,
    ) -> impl Future<Output = Result<Admission, Rejection>> + use<B, E, T>
    where
        B: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn error::Error + Send + Sync>>,
        T: Timer,
    {
        let received = self.receive(head, body, timer.clone());
        async move { received.await?.admit(timer).await }
    }

    async fn take_in<B, E, T>(
        &self,
        mut incoming: Box<Incoming>,
        tenant: Option<Resolving>,
        body: B,
        timer: T,
    ) -> Result<Received, Rejection>
    where
        B: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn error::Error + Send + Sync>>,
        T: Timer,
    {
        let mut namespace = None;
        if let Some(resolving) = tenant {
            let resolved = within(resolving, &timer, RESOLVE_TIMEOUT).await;
            let (keys, name) = self.keys_of(resolved)?;
            incoming.key(keys);
            namespace = Some(Arc::from(name));
        }
        incoming.judge_head()?;
        let read = within(read(&mut incoming, body), &timer, self.inner.body_timeout).await;
        read.ok_or(Rejection::BodyTimeout)??;
        let mut delivery = Box::new(incoming.judge()?);
        delivery.namespace = namespace;
        let idempotency = self.inner.idempotency.clone();
        Ok(Received {
            delivery,
            idempotency,
        })
    }

    /// A tenant's secrets, ready, and its namespace.
    fn keys_of(
        &self,
        resolved: Option<Result<Option<Tenant>, BoxError>>,
    ) -> Result<(Arc<[Key]>, String), Rejection> {
        let unavailable = |error: BoxError| Rejection::Secrets(Arc::from(error));
        let resolved = resolved.ok_or_else(|| unavailable("no answer in time".into()))?;
        let tenant = resolved
            .map_err(unavailable)?
            .ok_or(VerifyError::UnknownTenant)?;
        let keys = self.inner.verifier.prepare(tenant.secrets);
        Ok((
            keys.map_err(|error| unavailable(error.into()))?,
            tenant.namespace,
        ))
    }

    /// Refuses what can be refused before a byte of the body is read.
    fn begin(&self, head: &RequestHead<'_>) -> Result<Box<Incoming>, Rejection> {
        let (verifier, limit) = (&self.inner.verifier, self.inner.body_limit);
        let settings = verifier.settings();
        let picked = Picked::new(head, &settings.receiver_names);
        let too_long = |value: &[u8]| {
            let declared = std::str::from_utf8(value)
                .ok()
                .and_then(|len| len.trim().parse::<u64>().ok());
            declared.is_some_and(|len| len > limit as u64)
        };
        if picked.all("content-length").any(too_long) {
            return Err(BodyTooLarge { limit }.into());
        }
        let plain = |value: &[u8]| value.is_empty() || value.eq_ignore_ascii_case(b"identity");
        if verifier.signs_body() && !picked.all("content-encoding").all(plain) {
            return Err(Rejection::ContentEncoding);
        }
        // Boxed: it goes through several futures on its way to the body.
        let mut incoming = Box::new(Incoming::new(settings, limit));
        incoming.read_head(head, &picked)?;
        Ok(incoming)
    }
}

/// Reads a body to its end.
async fn read<B, E>(incoming: &mut Incoming, body: B) -> Result<(), Rejection>
where
    B: Stream<Item = Result<Bytes, E>>,
    E: Into<Box<dyn error::Error + Send + Sync>>,
{
    let mut body = pin!(body);
    while let Some(chunk) = poll_fn(|cx| body.as_mut().poll_next(cx)).await {
        incoming.update(chunk.map_err(|error| Rejection::BodyRead(Arc::from(error.into())))?)?;
    }
    Ok(())
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("verifier", &self.inner.verifier)
            .field("body_limit", &self.inner.body_limit)
            .field("body_timeout", &self.inner.body_timeout)
            .field("idempotency", &self.inner.idempotency)
            .finish()
    }
}
