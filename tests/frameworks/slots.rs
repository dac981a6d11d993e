//! Only verified deliveries take slots of a service with a concurrency limit (D5).

use std::{
    convert::Infallible,
    future::{Ready, pending, ready},
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{future::join_all, poll, stream};
use http::{Request, StatusCode};
use integration_tests::{Gate, PATIENCE, soon, to_axum};
use tokio::sync::Semaphore;
use tower::{Layer as _, Service, ServiceExt as _, limit::ConcurrencyLimitLayer, service_fn};
use webhook_verify::{Delivery, Idempotency, MemoryStore, Receiver};
use webhook_verify_axum::WebhookLayer;

use super::{deduplicating, receiver, signed, verifier};

const SLOTS: usize = 2;

/// Returns a request with a well-formed signature, whose body never ends, and adds a permit once
/// the body is read.
fn endless(read: &Arc<Semaphore>) -> Request<Body> {
    let read = Arc::clone(read);
    let body = stream::once(async move {
        read.add_permits(1);
        pending::<io::Result<Bytes>>().await
    });
    to_axum("/", &signed("{}")).map(|_| Body::from_stream(body))
}

#[tokio::test]
async fn unverified_requests_hold_no_slot() {
    for claims in [false, true] {
        let mut receiver = Receiver::builder(verifier()).body_timeout(2 * PATIENCE);
        if claims {
            receiver = receiver.idempotency(Idempotency::new(MemoryStore::new(), "tests"));
        }
        let receiver = receiver.build().unwrap();
        let handler = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(StatusCode::OK));
        let limited = ConcurrencyLimitLayer::new(SLOTS).layer(handler);
        let service = WebhookLayer::new(receiver).layer(limited);
        let read = Arc::new(Semaphore::new(0));
        let slow: Vec<_> =
            (0..SLOTS).map(|_| tokio::spawn(service.clone().oneshot(endless(&read)))).collect();
        soon("reading of the slow bodies", read.acquire_many(SLOTS as u32)).await.unwrap().forget();
        let response = service.oneshot(to_axum("/", &signed(r#"{"n":1}"#)));
        let response = soon("response to a delivery", response).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(slow.iter().all(|request| !request.is_finished()));
        slow.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

#[tokio::test]
async fn verified_deliveries_hold_one_each() {
    for receiver in [receiver(), deduplicating()] {
        let gate = Gate::new();
        let at_gate = Arc::clone(&gate);
        let handler = service_fn(move |_: Request<Body>| {
            let gate = Arc::clone(&at_gate);
            async move {
                gate.wait().await;
                Ok::<_, Infallible>(StatusCode::OK)
            }
        });
        let limited = ConcurrencyLimitLayer::new(SLOTS).layer(handler);
        let service = WebhookLayer::new(receiver).layer(limited);
        let send = |number: usize| {
            let request = to_axum("/", &signed(format!(r#"{{"n":{number}}}"#)));
            tokio::spawn(service.clone().oneshot(request))
        };
        let first: Vec<_> = (0..SLOTS).map(send).collect();
        for _ in 0..SLOTS {
            gate.entered().await;
        }
        let next = send(SLOTS);
        let mut entered = pin!(gate.entered());
        // One thread runs all tasks, so the delivery makes all the progress that it can.
        for _ in 0..100 {
            tokio::task::yield_now().await;
            assert!(poll!(&mut entered).is_pending(), "the limit is exceeded");
        }
        gate.open(1);
        entered.await;
        gate.open(SLOTS);
        for response in join_all(first.into_iter().chain([next])).await {
            assert_eq!(response.unwrap().unwrap().status(), 200);
        }
    }
}

/// The error of a service that is never ready.
#[derive(Debug, PartialEq)]
struct Broken;

/// A service that must be ready when it is called. Each clone waits once, and is then ready or
/// fails.
struct Picky {
    fails: bool,
    waited: bool,
    ready: bool,
}

impl Picky {
    fn new(fails: bool) -> Self {
        Self { fails, waited: false, ready: false }
    }
}

impl Clone for Picky {
    fn clone(&self) -> Self {
        Self::new(self.fails)
    }
}

impl Service<Request<Body>> for Picky {
    type Response = String;
    type Error = Broken;
    type Future = Ready<Result<String, Broken>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if !self.waited {
            self.waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ready = !self.fails;
        Poll::Ready(if self.fails { Err(Broken) } else { Ok(()) })
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        assert!(self.ready, "called without being ready");
        self.ready = false;
        let claim = request.extensions().get::<Delivery>().unwrap().claim();
        ready(Ok(format!("{:?}", claim.map(|claim| claim.fencing_token()))))
    }
}

#[tokio::test]
async fn the_service_that_is_called_is_ready() {
    for receiver in [receiver(), deduplicating()] {
        let mut service = WebhookLayer::new(receiver).layer(Picky::new(false));
        for body in ["1", "2", "3"] {
            let ready = tower::ServiceExt::<Request<Body>>::ready(&mut service).await.unwrap();
            assert_eq!(ready.call(to_axum("/", &signed(body))).await.unwrap().status(), 200);
        }
    }
}

/// The error of a service that is not ready is the service's own, and the claim is released. A
/// forged request never sees it.
#[tokio::test]
async fn a_service_that_is_never_ready_releases_the_claim() {
    let receiver = deduplicating();
    let broken = WebhookLayer::new(receiver.clone()).layer(Picky::new(true));
    let request = signed("{}");
    for _ in 0..2 {
        let result = broken.clone().oneshot(to_axum("/", &request)).await;
        assert_eq!(result.unwrap_err(), Broken);
    }
    let mut forged = request.clone();
    forged.body = "[]".into();
    assert_eq!(broken.oneshot(to_axum("/", &forged)).await.unwrap().status(), 401);

    let whole = WebhookLayer::new(receiver).layer(Picky::new(false));
    let response = whole.oneshot(to_axum("/", &request)).await.unwrap();
    let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
    assert_eq!(body, "Some(3)", "the third attempt");
}
