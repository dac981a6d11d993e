use std::{
    error, fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;

use super::{
    Idempotency, Rejection, Tenant,
    admitted::{Admission, Outcome, Received},
    builder::{ReceiverBuilder, Unbuilt},
    challenge::{ChallengeRequest, Challenges, HeadMatch, MAX_UNSIGNED_BODY},
    handshake::OnHandshake,
    intake::Intake,
    meter::Meter,
    refusal::request_line,
    secrets::Source,
    tenant::LookupFuture,
};
use crate::{
    claim::{ClaimKey, LogLimit, StoreError},
    delivery::Filter,
    error::VerifyError,
    explain::Effort,
    request::{Picked, RequestHead, coding::Coding},
    timer::Timer,
    verify::{BodyTooLarge, Incoming, Verifier},
};

const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads, verifies and claims requests, and settles the claims by the handler's status.
///
/// The adapters for axum and actix-web drive a receiver. So can anything else that has a request
/// head and a stream of bytes:
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
/// use webhook_verify::{Idempotency, MemoryStore, Receiver, RequestHead, Verifier, scheme};
/// use webhook_verify::adapter::Admission;
///
/// # let sleep = |_| pending::<()>();
/// let verifier = Verifier::new(scheme::MAUTIC, "58ae6ad08e40a88c23e3a8ee11ee3467")?;
/// let receiver = Receiver::builder(verifier)
///     .idempotency(Idempotency::new(MemoryStore::new(), "mautic"))
///     .timer(sleep) // such as tokio::time::sleep
///     .build()?;
///
/// let headers = [("Webhook-Signature", "ZnxUeUp8lqti4gO4VWPwaZ+Jll2tJkUYTW9Cp5kIs64=")];
/// let head = RequestHead::from(&headers);
/// # let body = |text: &'static str| Body(Some(text.into()));
/// let delivered = r#"{"mautic.lead_post_delete":[{"id":52}]}"#;
///
/// // The first time the handler runs, and its status settles the claim.
/// let first = receiver.admit(&head, body(delivered)).await?;
/// let Admission::Admitted(admitted) = first else { panic!() };
/// let status = admitted.handle(async { 200 }, |status| Some(*status)).await?;
/// assert_eq!(status, 200);
///
/// // The second time the response is known.
/// let Admission::Answer(answer) = receiver.admit(&head, body(delivered)).await? else { panic!() };
/// assert_eq!(answer.status(), 200);
///
/// // A forged request is refused.
/// let rejection = receiver.admit(&head, body("{}")).await.unwrap_err();
/// assert_eq!(rejection.status(), 401);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Receiver {
    pub(super) inner: Arc<Inner>,
    pub(super) timer: Option<Timer>,
}

pub(super) struct Inner {
    pub(super) verifier: Verifier,
    pub(super) body_limit: usize,
    pub(super) body_timeout: Duration,
    pub(super) idempotency: Option<Arc<Idempotency>>,
    /// Takes deliveries in place of a handler.
    pub(super) intake: Option<Arc<dyn Intake>>,
    pub(super) source: Source,
    pub(super) on_handshake: Option<Box<OnHandshake>>,
    /// Whether the receiver responds to verification handshakes.
    pub(super) challenges: bool,
    pub(super) filter: Option<Filter>,
    /// The limits for the explanations of refusals in the log.
    pub(super) effort: Effort,
    /// The receiver's name in logs and metrics.
    pub(super) endpoint: Arc<str>,
    pub(super) log_limit: LogLimit,
    pub(super) meter: Meter,
}

impl Inner {
    /// Returns the state of a receiver with the default settings.
    pub(super) fn new(verifier: Verifier) -> Self {
        let (scheme, body_limit) = (verifier.scheme().name(), verifier.scheme().body_limit());
        Self {
            endpoint: scheme.into(),
            meter: Meter::new(scheme, scheme),
            log_limit: LogLimit::default(),
            verifier,
            body_limit,
            body_timeout: DEFAULT_BODY_TIMEOUT,
            idempotency: None,
            intake: None,
            source: Source::Verifier,
            on_handshake: None,
            challenges: true,
            filter: None,
            effort: Effort::SMALL,
        }
    }
}

impl Receiver {
    /// Returns a receiver without idempotency, with the default limits. Without an adapter it also
    /// needs [a timer](Self::or_timer).
    ///
    /// If a handshake of the scheme needs a parameter that the verifier lacks, such as Meta's
    /// `verify_token`, this logs a warning. A receiver from [`builder`](Self::builder) fails to
    /// build instead.
    #[must_use]
    pub fn new(verifier: Verifier) -> Self {
        if let Some((challenge, parameter)) = verifier.missing_parameter() {
            tracing::warn!(
                target: "webhook_verify",
                scheme = verifier.scheme().name(),
                challenge,
                parameter,
                "handshakes are refused: the verifier lacks a required parameter"
            );
        }
        Self { inner: Arc::new(Inner::new(verifier)), timer: None }
    }

    /// Returns a builder of a receiver with a [`Verifier`], or with the verifier that a
    /// [`VerifierBuilder`](crate::VerifierBuilder) builds. Pass a verifier builder without secrets
    /// if they come from a lookup.
    pub fn builder(verifier: impl Into<Unbuilt>) -> ReceiverBuilder {
        ReceiverBuilder::new(verifier.into())
    }

    /// Returns the verifier, to replace its secrets. With a lookup of
    /// [tenants](ReceiverBuilder::tenants), [keys](ReceiverBuilder::key_lookup) or
    /// [tokens](ReceiverBuilder::token_lookup) it has none.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.inner.verifier
    }

    /// Returns the maximum length of a body, in bytes.
    #[must_use]
    pub fn body_limit(&self) -> usize {
        self.inner.body_limit
    }

    /// Returns whether the receiver stores deliveries in an inbox, so that no handler runs.
    #[must_use]
    pub fn has_inbox(&self) -> bool {
        self.inner.intake.is_some()
    }

    /// Sets the [timer](ReceiverBuilder::timer) of a receiver that has none, as adapters do.
    #[must_use]
    pub fn or_timer<S>(self, sleep: impl Fn(Duration) -> S + Send + Sync + 'static) -> Self
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let timer = self.timer.or_else(|| Some(Timer::new(sleep)));
        Self { timer, ..self }
    }

    pub(super) fn timer(&self) -> &Timer {
        self.timer
            .as_ref()
            .expect("the receiver has no timer: set one with `ReceiverBuilder::timer`")
    }

    /// Deletes the record of a delivery, and returns whether there was one. If the delivery is sent
    /// again, it runs again. The key is in the logs and in
    /// [`Claim::key`](crate::idempotency::Claim::key).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails, or if the receiver has no idempotency.
    pub async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        match &self.inner.idempotency {
            Some(idempotency) => idempotency.keeper.forget(key).await,
            None => Err(StoreError::new("the receiver has no idempotency")),
        }
    }

    /// Receives a request. Checks its head at once. The returned future reads and verifies the
    /// body, and answers the scheme's [challenges](crate::scheme::Challenge).
    ///
    /// The future is `Send` if `body` is, and may be dropped at any moment. It borrows the head,
    /// because the log describes a refused request.
    ///
    /// # Errors
    ///
    /// The [`Rejection`] to respond with. It has been logged.
    ///
    /// # Panics
    ///
    /// If the receiver has no [timer](ReceiverBuilder::timer).
    pub fn receive<B, E>(
        &self,
        head: &RequestHead<'_>,
        body: B,
    ) -> impl Future<Output = Result<Received, Rejection>>
    where
        B: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn error::Error + Send + Sync>>,
    {
        let _ = self.timer();
        self.inner.meter.count_received();
        let start = self.begin(head);
        async move {
            let mut incoming = None;
            let received = match start {
                Ok(start) => self.take_in(head, start, body, &mut incoming).await,
                Err(rejection) => Err(rejection),
            };
            let refuse = |rejection: &_| self.inner.refuse(rejection, head, incoming.as_deref());
            received.inspect_err(refuse)
        }
    }

    /// [Receives](Self::receive) and [admits](Received::admit) a request, for callers that drop no
    /// futures. [`Admission::Admitted`] goes to the handler through
    /// [`Admitted::handle`](crate::adapter::Admitted::handle).
    ///
    /// # Errors
    ///
    /// The [`Rejection`] to respond with. It has been logged.
    ///
    /// # Panics
    ///
    /// If the receiver has no [timer](ReceiverBuilder::timer).
    pub fn admit<B, E>(
        &self,
        head: &RequestHead<'_>,
        body: B,
    ) -> impl Future<Output = Result<Admission, Rejection>>
    where
        B: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn error::Error + Send + Sync>>,
    {
        let received = self.receive(head, body);
        async move { received.await?.admit().await }
    }

    /// Reads and verifies the body. Keeps the state of the request in `refused`, for the log.
    async fn take_in<B, E>(
        &self,
        head: &RequestHead<'_>,
        start: Start,
        body: B,
        refused: &mut Option<Box<Incoming>>,
    ) -> Result<Received, Rejection>
    where
        B: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn error::Error + Send + Sync>>,
    {
        let Start { kind, tenant, challenges } = start;
        let settings = self.verifier().settings();
        let incoming = match kind {
            Kind::Delivery(incoming) => refused.insert(incoming),
            // Boxed, so that the future of a delivery stays small.
            Kind::Challenge(request) => return Box::pin(self.answer(*request, tenant)).await,
            Kind::Unsigned(refusal) => {
                let beginning = Box::pin(self.start_of(body)).await?;
                let request = match (beginning, challenges) {
                    (Some(body), Some(challenges)) => challenges.unsigned(settings, &body),
                    _ => None,
                };
                let request = request.ok_or(refusal)?;
                return Box::pin(self.answer(request, tenant)).await;
            }
        };
        let mut proven = None;
        if let Some(resolving) = tenant {
            let keys = self.keys_of(resolving, VerifyError::UnknownTenant);
            let (keys, tenant) = keys.await?;
            incoming.key(keys);
            proven = Some(tenant);
        }
        incoming.judge_head()?;
        tracing::debug!(target: "webhook_verify", endpoint = self.endpoint(), "head accepted");
        let reading = read(body, |chunk| incoming.update(chunk));
        let read = self.timer().within(self.inner.body_timeout, reading);
        read.await.ok_or(Rejection::BodyTimeout)??;
        tracing::debug!(
            target: "webhook_verify",
            endpoint = self.endpoint(),
            body_len = incoming.received(),
            "body read"
        );
        if let Source::Named(_) | Source::Tokens(_) = &self.inner.source {
            proven = Box::pin(self.look_up(incoming)).await?;
        }
        let mut delivery = Box::new(incoming.judge()?);
        tracing::debug!(
            target: "webhook_verify",
            endpoint = self.endpoint(),
            secret_index = delivery.secret_index(),
            "verified"
        );
        self.inner.meter.count_secret(delivery.secret_index());
        let namespace = proven.map(Tenant::store);
        if let Some(challenges) = challenges
            && let Some(request) = challenges.signed(settings, &delivery.body)?
        {
            let keys = incoming.keys();
            return Box::pin(self.answer_with(request, &keys)).await;
        }
        delivery.namespace = namespace;
        let Inner { idempotency, intake, filter, .. } = &*self.inner;
        // Without a claim, an inbox or a filter, a verified delivery is not refused later.
        let may_refuse = idempotency.is_some() || intake.is_some() || filter.is_some();
        let request = may_refuse.then(|| request_line(head).into());
        let scheme = self.inner.verifier.scheme();
        let headers = intake.as_ref().map(|it| it.kept(head, scheme));
        let (outcome, receiver) = (Outcome::Delivery(delivery), self.clone());
        Ok(Received { outcome, receiver, request, headers: headers.unwrap_or_default() })
    }

    fn endpoint(&self) -> &str {
        &self.inner.endpoint
    }

    /// Checks the head, and decides what it can before the body is read.
    fn begin(&self, head: &RequestHead<'_>) -> Result<Start, Rejection> {
        let (verifier, limit) = (&self.inner.verifier, self.inner.body_limit);
        let (settings, scheme) = (verifier.settings(), verifier.scheme());
        let challenges = match Challenges::find(settings, head, |challenge| self.answers(challenge))
        {
            HeadMatch::Challenge(request) => {
                tracing::debug!(
                    target: "webhook_verify",
                    endpoint = self.endpoint(),
                    challenge = request.of(scheme).name(),
                    "challenge"
                );
                let tenant =
                    request.of(scheme).asks_for_mac().then(|| self.resolve(head)).flatten();
                return Ok(Start {
                    kind: Kind::Challenge(Box::new(request)),
                    tenant,
                    challenges: None,
                });
            }
            HeadMatch::Candidates(challenges) => Some(challenges),
            HeadMatch::None => None,
        };
        let picked = Picked::new(head, &settings.receiver_names);
        if declares_more(&picked, limit) {
            return Err(BodyTooLarge::from(limit).into());
        }
        let may_decode = scheme.signed_bytes.is_some();
        if verifier.signs_body() && !may_decode && !Coding::is_absent(&picked) {
            return Err(Rejection::ContentEncoding { feature: None });
        }
        // Boxed, because it moves through several futures on the way to the body.
        let mut incoming = Box::new(Incoming::new(settings, limit));
        let (kind, needs_secrets) = match (incoming.read_head(head, &picked), &challenges) {
            (Ok(()), _) => (Kind::Delivery(incoming), true),
            (
                Err(error @ (VerifyError::MissingSignature | VerifyError::MissingToken)),
                Some(challenges),
            ) if challenges.any_unsigned(scheme) && !declares_more(&picked, MAX_UNSIGNED_BODY) => {
                let needs_secrets = challenges.any_for_mac(scheme);
                (Kind::Unsigned(error.into()), needs_secrets)
            }
            (Err(error), _) => return Err(error.into()),
        };
        Ok(Start { kind, tenant: needs_secrets.then(|| self.resolve(head)).flatten(), challenges })
    }
}

/// A request whose head was checked.
struct Start {
    kind: Kind,
    /// The lookup of its tenant, if it needs one.
    tenant: Option<LookupFuture<Tenant>>,
    /// The challenges that it may be, depending on its body.
    challenges: Option<Box<Challenges>>,
}

enum Kind {
    Delivery(Box<Incoming>),
    /// A challenge, with any body.
    Challenge(Box<ChallengeRequest>),
    /// A request without a signature, refused unless its body makes it a challenge.
    Unsigned(Rejection),
}

fn declares_more(picked: &Picked<'_, '_>, limit: usize) -> bool {
    let over = |value: &[u8]| {
        let declared =
            std::str::from_utf8(value).ok().and_then(|len| len.trim().parse::<u64>().ok());
        declared.is_some_and(|len| len > limit as u64)
    };
    picked.all("content-length").any(over)
}

/// Reads a body to its end.
pub(super) async fn read<B, E>(
    body: B,
    mut take: impl FnMut(Bytes) -> Result<(), BodyTooLarge>,
) -> Result<(), Rejection>
where
    B: Stream<Item = Result<Bytes, E>>,
    E: Into<Box<dyn error::Error + Send + Sync>>,
{
    let mut body = pin!(body);
    while let Some(chunk) = poll_fn(|cx| body.as_mut().poll_next(cx)).await {
        take(chunk.map_err(|error| unreadable(error.into()))?)?;
    }
    Ok(())
}

fn unreadable(error: Box<dyn error::Error + Send + Sync>) -> Rejection {
    match error.downcast::<BodyTooLarge>() {
        Ok(error) => Rejection::BodyTooLarge(*error),
        Err(error) => Rejection::BodyRead(Arc::from(error)),
    }
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
