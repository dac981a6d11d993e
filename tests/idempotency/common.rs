//! Signed requests, receivers, applications, and requests without a framework.

use std::{
    mem,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
pub(crate) use integration_tests::{
    App, Connection, Framework, Gate, HandClock, Handler, Logs, OUTAGE, Pauses, Reply, ReplyBody,
    Response, Watched, answer, assert_in_flight, assert_replay, each_framework, exchange, finish,
    is_replay, its_status, soon,
};
use integration_tests::{Server, raw_request};
use webhook_verify::{
    Delivery, Idempotency, Receiver, Rejection, RequestHead, Scheme, Verifier,
    adapter::{Admission, Admitted},
    idempotency::ClaimStore,
    testing::{SignedRequest, Signer},
};

/// A secret for every scheme: text, or base64 without the optional `whsec_`.
pub(crate) const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn days(days: u64) -> Duration {
    seconds(days * 24 * 3600)
}

pub(crate) fn signer(scheme: Scheme) -> Signer {
    Signer::new(scheme, SECRET).unwrap()
}

pub(crate) fn signed(scheme: Scheme, body: impl Into<Bytes>) -> SignedRequest {
    signer(scheme).sign(body).unwrap()
}

pub(crate) fn raw(request: &SignedRequest) -> Vec<u8> {
    raw_request(&request.method, &request.target, &request.headers, &request.body)
}

pub(crate) async fn post(addr: SocketAddr, request: &SignedRequest) -> Response {
    exchange(addr, &raw(request)).await
}

/// Returns the request with another value for a header, or without the header.
pub(crate) fn with_header(
    request: &SignedRequest,
    name: &str,
    value: Option<&str>,
) -> SignedRequest {
    let mut request = request.clone();
    let before = request.headers.len();
    request.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    assert_eq!(request.headers.len() + 1, before, "{name} was there, and once");
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

/// Returns whether the deliveries of a preset, or their events, have a key.
pub(crate) fn has_key(scheme: &Scheme) -> bool {
    !scheme.describe().idempotency_key.starts_with("none, unless")
}

/// Admits one request without a framework.
pub(crate) async fn admit<S: Future<Output = ()> + Send + 'static>(
    receiver: &Receiver,
    request: &SignedRequest,
    timer: impl Fn(Duration) -> S + Send + Sync + 'static,
) -> Result<Admission, Rejection> {
    let head = RequestHead::new(&request.headers).method(&request.method).target(&request.target);
    let body = stream::iter([Ok::<_, std::io::Error>(request.body.clone())]);
    receiver.clone().or_timer(timer).admit(&head, body).await
}

/// Admits a request that runs.
pub(crate) async fn admitted<S: Future<Output = ()> + Send + 'static>(
    receiver: &Receiver,
    request: &SignedRequest,
    timer: impl Fn(Duration) -> S + Send + Sync + 'static,
) -> Admitted {
    match admit(receiver, request, timer).await.unwrap() {
        Admission::Admitted(admitted) => admitted,
        Admission::Answer(answer) => panic!("{answer:?}"),
    }
}

/// Returns the status of a request that is a duplicate.
pub(crate) async fn replayed<S: Future<Output = ()> + Send + 'static>(
    receiver: &Receiver,
    request: &SignedRequest,
    timer: impl Fn(Duration) -> S + Send + Sync + 'static,
) -> u16 {
    match admit(receiver, request, timer).await.unwrap() {
        Admission::Answer(answer) => answer.status(),
        Admission::Admitted(_) => panic!("it runs again"),
    }
}

/// A timer whose pauses end at once.
pub(crate) fn at_once(_: Duration) -> std::future::Ready<()> {
    std::future::ready(())
}

/// A timer whose pauses never end.
pub(crate) fn never(_: Duration) -> std::future::Pending<()> {
    std::future::pending()
}

/// An application that a framework serves.
pub(crate) struct Site {
    app: App,
    server: Server,
}

impl Site {
    pub(crate) async fn on(framework: Framework, receiver: Receiver, handler: Handler) -> Self {
        Self::serving(framework, App::new(receiver, handler)).await
    }

    pub(crate) async fn serving(framework: Framework, app: App) -> Self {
        let server = app.serve(framework).await;
        Self { app, server }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.addr
    }

    /// Returns how often the handler was started.
    pub(crate) fn runs(&self) -> usize {
        self.app.runs()
    }

    pub(crate) async fn post(&self, request: &SignedRequest) -> Response {
        post(self.addr(), request).await
    }

    /// Sends a request and does not wait for the response.
    pub(crate) async fn send(&self, request: &SignedRequest) -> Connection {
        let mut connection = Connection::open(self.addr()).await;
        connection.send(&raw(request)).await;
        connection
    }
}

/// Checks the response to a delivery that ran.
#[track_caller]
pub(crate) fn assert_fresh(response: &Response, status: u16) {
    assert_eq!((response.status, is_replay(response)), (status, false), "{response:?}");
}

/// Returns a handler from an async function, which gets a clone of `with` at each run.
pub(crate) fn handler<C, F>(
    with: C,
    run: impl Fn(C, Delivery) -> F + Send + Sync + 'static,
) -> Handler
where
    C: Clone + Send + Sync + 'static,
    F: Future<Output = u16> + Send + 'static,
{
    Arc::new(move |delivery| Box::pin(run(with.clone(), delivery)))
}

/// Returns a handler whose runs return these statuses in turn, and the last one from then on.
pub(crate) fn in_turn(statuses: impl IntoIterator<Item = u16>) -> Handler {
    let (statuses, runs) = (statuses.into_iter().collect::<Vec<_>>(), AtomicUsize::new(0));
    Arc::new(move |_| {
        let run = runs.fetch_add(1, SeqCst).min(statuses.len() - 1);
        let status = statuses[run];
        Box::pin(async move { status })
    })
}

/// The names of the reports about claims, in order.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<&'static str>>>);

impl Told {
    pub(crate) fn by(&self, idempotency: Idempotency) -> Idempotency {
        let told = self.clone();
        idempotency.on_event(move |event| told.0.lock().unwrap().push(event.kind.name()))
    }

    pub(crate) fn take(&self) -> Vec<&'static str> {
        mem::take(&mut *self.0.lock().unwrap())
    }
}
