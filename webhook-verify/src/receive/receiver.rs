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
    admitted::Admission,
    builder::ReceiverBuilder,
    challenge::{Asked, Challenges, Looked, MAX_UNSIGNED_BODY},
    handshake::OnHandshake,
    received::{Outcome, Received},
    secrets::Source,
    tenant::Resolving,
};
use crate::{
    claim::{ClaimKey, StoreError},
    delivery::Filter,
    error::VerifyError,
    request::{Picked, RequestHead},
    timer::{Timer, within},
    verify::{BodyTooLarge, Incoming, Verifier},
};

/// The body limit where neither the user nor the scheme says otherwise, in bytes.
const DEFAULT_BODY_LIMIT: usize = 1 << 20;

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
/// admitted.settle(status, timer).await?;
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
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) verifier: Verifier,
    pub(super) body_limit: usize,
    pub(super) body_timeout: Duration,
    pub(super) idempotency: Option<Arc<Idempotency>>,
    pub(super) source: Source,
    pub(super) on_handshake: Option<Box<OnHandshake>>,
    pub(super) filter: Option<Arc<Filter>>,
}

impl Receiver {
    /// A receiver that verifies and does not deduplicate, with the default limits.
    #[must_use]
    pub fn new(verifier: Verifier) -> Self {
        Self::builder(verifier).assemble()
    }

    /// A receiver with idempotency or other limits.
    pub fn builder(verifier: Verifier) -> ReceiverBuilder {
        let body_limit = verifier.scheme().hints().body_limit.unwrap_or(DEFAULT_BODY_LIMIT);
        ReceiverBuilder {
            verifier,
            body_limit,
            body_timeout: Duration::from_secs(10),
            idempotency: None,
            source: Source::Verifier,
            on_handshake: None,
            filter: Filter::default(),
        }
    }

    /// The verifier, to swap secrets. That of a receiver [for tenants](Self::for_tenants), or with a look-up of
    /// [keys](Self::with_key_lookup) or [tokens](Self::with_token_lookup), has none.
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
            Some(idempotency) => idempotency.keeper.forget(key).await,
            None => Err(StoreError::new("the receiver does not deduplicate")),
        }
    }

    /// Takes a request in: judges its head at once and, when awaited, reads and verifies its body. The scheme's
    /// [challenges](crate::scheme::Challenge) are answered here.
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
        async move {
            let received = match begun {
                Ok(begun) => receiver.take_in(begun, body, timer).await,
                Err(rejection) => Err(rejection),
            };
            received.inspect_err(|rejection| rejection.log(receiver.verifier().scheme().name()))
        }
    }

    /// [Receives](Self::receive) a request and [admits](Received::admit) it in one go, where nothing drops futures.
    ///
    /// An [`Admission::Admitted`] goes to the handler, through [`Admitted::run`](crate::Admitted::run), and its outcome to
    /// [`Admitted::settle`](crate::Admitted::settle).
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

    async fn take_in<B, E, T>(&self, begun: Begun, body: B, timer: T) -> Result<Received, Rejection>
    where
        B: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn error::Error + Send + Sync>>,
        T: Timer,
    {
        let Begun { found, tenant, challenges } = begun;
        let settings = self.verifier().settings();
        let mut incoming = match found {
            Found::Delivery(incoming) => incoming,
            // Boxed, so that a delivery does not carry it along.
            Found::Challenge(asked) => return Box::pin(self.answer(*asked, tenant, &timer)).await,
            Found::Unsigned(refusal) => {
                let start = Box::pin(self.start_of(body, &timer)).await?;
                let asked = match (start, challenges) {
                    (Some(start), Some(challenges)) => challenges.unsigned(settings, &start),
                    _ => None,
                };
                let asked = asked.ok_or(refusal)?;
                return Box::pin(self.answer(asked, tenant, &timer)).await;
            }
        };
        let mut namespace = None;
        if let Some(resolving) = tenant {
            let keys = self.keys_of(resolving, VerifyError::UnknownTenant, &timer);
            let (keys, name) = keys.await?;
            incoming.key(keys);
            namespace = Some(name);
        }
        incoming.judge_head()?;
        let read =
            within(read(body, |chunk| incoming.update(chunk)), &timer, self.inner.body_timeout);
        read.await.ok_or(Rejection::BodyTimeout)??;
        if let Source::Named(_) | Source::Tokens(_) = &self.inner.source {
            namespace = Box::pin(self.look_up(&mut incoming, &timer)).await?;
        }
        let mut delivery = Box::new(incoming.judge()?);
        if let Some(challenges) = challenges
            && let Some(asked) = challenges.signed(settings, &delivery.body)?
        {
            let keys = incoming.keys();
            return Box::pin(self.answer_with(asked, &keys, &timer)).await;
        }
        delivery.namespace = namespace;
        Ok(Received {
            outcome: Outcome::Delivery(delivery),
            idempotency: self.inner.idempotency.clone(),
            filter: self.inner.filter.clone(),
        })
    }

    /// Looks at the head: answers and refuses what can be before a byte of the body is read.
    fn begin(&self, head: &RequestHead<'_>) -> Result<Begun, Rejection> {
        let (verifier, limit) = (&self.inner.verifier, self.inner.body_limit);
        let (settings, scheme) = (verifier.settings(), verifier.scheme());
        let challenges = match Challenges::look(settings, head, |asked| self.answers(asked)) {
            Looked::Now(asked) => {
                let tenant = match asked.of(scheme).asks_for_mac() {
                    true => self.resolve(head),
                    false => None,
                };
                return Ok(Begun {
                    found: Found::Challenge(Box::new(asked)),
                    tenant,
                    challenges: None,
                });
            }
            Looked::Open(challenges) => Some(challenges),
            Looked::Other => None,
        };
        let picked = Picked::new(head, &settings.receiver_names);
        if declares_more(&picked, limit) {
            return Err(BodyTooLarge { limit }.into());
        }
        let plain = |value: &[u8]| value.is_empty() || value.eq_ignore_ascii_case(b"identity");
        if verifier.signs_body() && !picked.all("content-encoding").all(plain) {
            return Err(Rejection::ContentEncoding);
        }
        // Boxed: it goes through several futures on its way to the body.
        let mut incoming = Box::new(Incoming::new(settings, limit));
        let (found, asks_for_secrets) = match (incoming.read_head(head, &picked), &challenges) {
            (Ok(()), _) => (Found::Delivery(incoming), true),
            (
                Err(error @ (VerifyError::MissingSignature | VerifyError::MissingToken)),
                Some(challenges),
            ) if challenges.any_unsigned(scheme) && !declares_more(&picked, MAX_UNSIGNED_BODY) => {
                let asks_for_secrets = challenges.any_for_mac(scheme);
                (Found::Unsigned(error.into()), asks_for_secrets)
            }
            (Err(error), _) => return Err(error.into()),
        };
        Ok(Begun {
            found,
            tenant: match asks_for_secrets {
                true => self.resolve(head),
                false => None,
            },
            challenges,
        })
    }
}

/// A request whose head was looked at.
struct Begun {
    found: Found,
    /// Whose it is, where that matters.
    tenant: Option<Resolving<Tenant>>,
    /// What it may be, depending on its body.
    challenges: Option<Box<Challenges>>,
}

enum Found {
    Delivery(Box<Incoming>),
    /// A challenge, whatever the body is.
    Challenge(Box<Asked>),
    /// Without a signature: refused, unless its body makes it a challenge.
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
        take(chunk.map_err(|error| Rejection::BodyRead(Arc::from(error.into())))?)?;
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
