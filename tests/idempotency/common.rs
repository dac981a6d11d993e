//! What these tests share: a clock moved by hand, a handler held at a gate, a store that is watched and fails on demand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use integration_tests::{Handler, Response, exchange, raw_request};
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};
use webhook_verify::{
    Admission, ClaimStore, Clock, Idempotency, MemoryStore, Receiver, Rejection, RequestHead,
    Scheme, StoreError, Timer, Verifier,
    idempotency::{ClaimKey, ClaimOutcome, ClaimRequest, Holder, Settled},
    testing::{SignedRequest, Signer},
};

/// Fits every scheme: text, or base64 after `whsec_`.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn days(days: u64) -> Duration {
    seconds(days * 24 * 3600)
}

/// Waits for an event. A test in which it does not come fails, and does not hang.
pub(crate) async fn soon<F: Future>(event: F) -> F::Output {
    timeout(seconds(20), event)
        .await
        .expect("the event came in time")
}

pub(crate) fn signer(scheme: Scheme) -> Signer {
    Signer::new(scheme, SECRET).unwrap()
}

pub(crate) fn signed(scheme: Scheme, body: impl Into<Bytes>) -> SignedRequest {
    signer(scheme).sign(body).unwrap()
}

pub(crate) fn raw(request: &SignedRequest) -> Vec<u8> {
    raw_request(
        &request.method,
        &request.target,
        &request.headers,
        &request.body,
    )
}

pub(crate) async fn post(addr: std::net::SocketAddr, request: &SignedRequest) -> Response {
    exchange(addr, &raw(request)).await
}

/// The request with another value for a header, or without the header.
pub(crate) fn with_header(
    request: &SignedRequest,
    name: &str,
    value: Option<&str>,
) -> SignedRequest {
    let mut request = request.clone();
    let before = request.headers.len();
    request
        .headers
        .retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    assert_eq!(
        request.headers.len() + 1,
        before,
        "{name} was there, and once"
    );
    if let Some(value) = value {
        request.headers.push((name.to_owned(), value.to_owned()));
    }
    request
}

pub(crate) fn receiver(scheme: Scheme, store: impl ClaimStore) -> Receiver {
    receiver_with(scheme, Idempotency::new(store, "tests"))
}

pub(crate) fn receiver_with(scheme: Scheme, idempotency: Idempotency) -> Receiver {
    Receiver::builder(Verifier::new(scheme, SECRET).unwrap())
        .idempotency(idempotency)
        .build()
        .unwrap()
}

/// One whole request without a framework.
pub(crate) async fn admit(
    receiver: &Receiver,
    request: &SignedRequest,
    timer: impl Timer,
) -> Result<Admission, Rejection> {
    let head = RequestHead::new(&request.headers)
        .method(&request.method)
        .target(&request.target);
    let body = stream::iter([Ok::<_, std::io::Error>(request.body.clone())]);
    receiver.admit(&head, body, timer).await
}

/// A timer for tests in which nothing is to wait.
pub(crate) fn never(_: Duration) -> std::future::Pending<()> {
    std::future::pending()
}

pub(crate) fn is_replay(response: &Response) -> bool {
    response.header("idempotent-replayed") == Some("true")
}

/// The answer to a delivery that is in flight elsewhere.
pub(crate) fn assert_in_flight(response: &Response) {
    assert_eq!(response.status, 503, "{response:?}");
    assert_eq!(response.text(), "delivery is being processed");
    let after: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
}

/// The answer to a delivery that was completed before.
pub(crate) fn assert_replay(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{response:?}");
    assert!(is_replay(response), "{response:?}");
    assert!(response.body.is_empty(), "{response:?}");
}

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub(crate) struct HandClock(Arc<AtomicU64>);

impl HandClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_795_305_600_000)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(SeqCst))
    }
}

/// Holds handlers until they are let go, in the order in which they came, so that a test decides what is in flight.
pub(crate) struct Gate {
    tickets: AtomicUsize,
    entered: Semaphore,
    passed: watch::Sender<usize>,
    done: watch::Sender<usize>,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            tickets: AtomicUsize::new(0),
            entered: Semaphore::new(0),
            passed: watch::Sender::new(0),
            done: watch::Sender::new(0),
        })
    }

    /// A handler that waits here and then answers; it is told which of its own runs this is, from 1.
    pub(crate) fn handler(
        self: &Arc<Self>,
        status: impl Fn(usize) -> u16 + Send + Sync + 'static,
    ) -> Handler {
        let (gate, runs) = (Arc::clone(self), AtomicUsize::new(0));
        Arc::new(move |_| {
            let (gate, status) = (Arc::clone(&gate), status(runs.fetch_add(1, SeqCst) + 1));
            Box::pin(async move {
                gate.wait().await;
                status
            })
        })
    }

    /// Waits, as a handler does.
    pub(crate) async fn wait(&self) {
        let ticket = self.tickets.fetch_add(1, SeqCst) + 1;
        self.entered.add_permits(1);
        let mut passed = self.passed.subscribe();
        passed.wait_for(|passed| *passed >= ticket).await.unwrap();
        self.done.send_modify(|done| *done += 1);
    }

    /// Waits until one more handler has come to the gate.
    pub(crate) async fn entered(&self) {
        soon(self.entered.acquire()).await.unwrap().forget();
    }

    /// Lets `count` handlers go.
    pub(crate) fn open(&self, count: usize) {
        self.passed.send_modify(|passed| *passed += count);
    }

    /// How many handlers went through to their end.
    pub(crate) fn done(&self) -> usize {
        *self.done.borrow()
    }

    pub(crate) async fn until_done(&self, count: usize) {
        let mut done = self.done.subscribe();
        soon(done.wait_for(|done| *done >= count)).await.unwrap();
    }
}

/// A memory store that counts its calls, and fails as many of them as it is told to.
pub(crate) struct Watched {
    pub(crate) inner: MemoryStore,
    pub(crate) claims: AtomicUsize,
    pub(crate) releases: AtomicUsize,
    pub(crate) extends: AtomicUsize,
    pub(crate) fail_claims: AtomicUsize,
    pub(crate) fail_completes: AtomicUsize,
    pub(crate) fail_releases: AtomicUsize,
    pub(crate) fail_extends: AtomicUsize,
    completes: watch::Sender<usize>,
}

impl Watched {
    pub(crate) fn new() -> Arc<Self> {
        Self::over(MemoryStore::new())
    }

    pub(crate) fn over(inner: MemoryStore) -> Arc<Self> {
        Arc::new(Self {
            inner,
            claims: AtomicUsize::new(0),
            releases: AtomicUsize::new(0),
            extends: AtomicUsize::new(0),
            fail_claims: AtomicUsize::new(0),
            fail_completes: AtomicUsize::new(0),
            fail_releases: AtomicUsize::new(0),
            fail_extends: AtomicUsize::new(0),
            completes: watch::Sender::new(0),
        })
    }

    pub(crate) fn completes(&self) -> usize {
        *self.completes.borrow()
    }

    pub(crate) async fn until_completes(&self, count: usize) {
        let mut completes = self.completes.subscribe();
        soon(completes.wait_for(|calls| *calls >= count))
            .await
            .unwrap();
    }

    /// Every call there was, of any kind.
    pub(crate) fn calls(&self) -> usize {
        self.claims.load(SeqCst)
            + self.completes()
            + self.releases.load(SeqCst)
            + self.extends.load(SeqCst)
    }
}

/// What the store's error says. It is for logs only.
pub(crate) const OUTAGE: &str = "connection to claims-db-7 refused";

fn fails(left: &AtomicUsize) -> Result<(), StoreError> {
    let failing = left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
    match failing {
        Ok(_) => Err(StoreError::new(OUTAGE)),
        Err(_) => Ok(()),
    }
}

impl ClaimStore for Watched {
    /// So that every duplicate is seen here, and judged by the clock that the test sets.
    fn is_in_process(&self) -> bool {
        true
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<ClaimOutcome, StoreError> {
        self.claims.fetch_add(1, SeqCst);
        fails(&self.fail_claims)?;
        self.inner.claim(request).await
    }

    async fn complete(
        &self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
    ) -> Result<Settled, StoreError> {
        let settled = match fails(&self.fail_completes) {
            Ok(()) => self.inner.complete(holder, status, ttl).await,
            Err(error) => Err(error),
        };
        self.completes.send_modify(|calls| *calls += 1);
        settled
    }

    async fn release(&self, holder: &Holder) -> Result<Settled, StoreError> {
        self.releases.fetch_add(1, SeqCst);
        fails(&self.fail_releases)?;
        self.inner.release(holder).await
    }

    async fn extend(&self, holder: &Holder, lease: Duration) -> Result<Settled, StoreError> {
        self.extends.fetch_add(1, SeqCst);
        fails(&self.fail_extends)?;
        self.inner.extend(holder, lease).await
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        self.inner.forget(key).await
    }
}
