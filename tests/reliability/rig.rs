//! A receiver on some store behind some framework, and what its handler saw.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use integration_tests::{
    AnyStore, App, Connection, Handler, Place, Response, Watched, exchange, raw_request, soon,
    unique,
};
use tokio::time::sleep;
use webhook_verify::{
    Idempotency, Receiver, Verifier,
    idempotency::ClaimKey,
    scheme,
    testing::{SignedRequest, Signer},
};

pub(crate) const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const MS: Duration = Duration::from_millis(1);
/// The default lease: longer than any machine takes. Tests let it expire by [`Place::age`].
pub(crate) const LEASE: Duration = Duration::from_secs(60);
/// A lease for tests that wait until it expires. A call of the store may take a fifth of it, 1 s,
/// as by default.
pub(crate) const BRIEF: Duration = Duration::from_secs(5);

/// A store, and a namespace that no other test uses.
pub(crate) struct Rig {
    pub(crate) store: Arc<Watched<AnyStore>>,
    pub(crate) namespace: String,
}

impl Rig {
    pub(crate) async fn new(place: &Place) -> Self {
        Self::on(place.open().await)
    }

    pub(crate) fn on(store: AnyStore) -> Self {
        Self { store: Watched::over(store), namespace: unique("reliability") }
    }

    pub(crate) fn idempotency(&self) -> Idempotency {
        idempotency(Arc::clone(&self.store), &self.namespace)
    }

    pub(crate) fn app(&self, handler: Handler) -> App {
        App::new(receiver(self.idempotency()), handler)
    }

    /// As [`app`](Self::app), with another lease.
    pub(crate) fn app_with_lease(&self, lease: Duration, handler: Handler) -> App {
        App::new(receiver(with_lease(self.idempotency(), lease)), handler)
    }
}

pub(crate) fn idempotency(
    store: impl webhook_verify::idempotency::ClaimStore,
    namespace: &str,
) -> Idempotency {
    with_lease(Idempotency::new(store, "tests").namespace(namespace), LEASE)
}

/// Sets another lease. A call of the store may take a fifth of it, and 10 s at most.
pub(crate) fn with_lease(idempotency: Idempotency, lease: Duration) -> Idempotency {
    idempotency.claim_timeout(lease.min(Duration::from_secs(10))).lease(lease)
}

pub(crate) fn receiver(idempotency: Idempotency) -> Receiver {
    Receiver::builder(Verifier::new(scheme::STANDARD_WEBHOOKS, SECRET).unwrap())
        .idempotency(idempotency)
        .build()
        .unwrap()
}

/// Returns a delivery of the event with this id.
pub(crate) fn signed(id: &str, body: &str) -> SignedRequest {
    let signer = Signer::new(scheme::STANDARD_WEBHOOKS, SECRET).unwrap();
    signer.id(id).sign(body.to_owned()).unwrap()
}

pub(crate) fn raw(request: &SignedRequest) -> Vec<u8> {
    raw_request(&request.method, &request.target, &request.headers, &request.body)
}

/// Returns the bytes of a delivery of the event with this id.
pub(crate) fn event(id: &str) -> Vec<u8> {
    raw(&signed(id, "{}"))
}

/// Sends a delivery once. Returns `None` if the connection is refused, or ends without a response.
pub(crate) async fn try_post(addr: SocketAddr, raw: &[u8]) -> Option<Response> {
    // [`Connection`] would panic without a server.
    drop(tokio::net::TcpStream::connect(addr).await.ok()?);
    let mut connection = Connection::open(addr).await;
    connection.send(raw).await;
    connection.response().await
}

/// Sends a delivery, and repeats it while the store does not respond in time, which happens on a
/// busy machine.
pub(crate) async fn post(addr: SocketAddr, raw: &[u8]) -> Response {
    let posting = async {
        loop {
            let response = exchange(addr, raw).await;
            if response.status != 503 || response.text() != "temporarily unavailable" {
                return response;
            }
            sleep(30 * MS).await;
        }
    };
    soon("response from a store that is available", posting).await
}

/// Sends a delivery until the response is 2xx, as senders do. Returns the number of attempts, and
/// the response.
pub(crate) async fn deliver(addr: SocketAddr, raw: &[u8]) -> (usize, Response) {
    let tries = async {
        for number in 1.. {
            match try_post(addr, raw).await {
                Some(response) if (200..300).contains(&response.status) => {
                    return (number, response);
                }
                _ => sleep(30 * MS).await,
            }
        }
        unreachable!()
    };
    soon("2xx response to a delivery", tries).await
}

/// One run of a handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) key: ClaimKey,
    pub(crate) fence: u64,
    pub(crate) begun: Instant,
    pub(crate) ended: Option<Instant>,
}

/// The runs of handlers, in the order of their start.
#[derive(Clone, Default)]
pub(crate) struct History(Arc<Mutex<Vec<Run>>>);

impl History {
    /// Returns a handler that is recorded. `status` gets the fencing token and returns the status.
    pub(crate) fn handler<F: Future<Output = u16> + Send + 'static>(
        &self,
        status: impl Fn(u64) -> F + Send + Sync + 'static,
    ) -> Handler {
        let history = Arc::clone(&self.0);
        Arc::new(move |delivery| {
            let claim = delivery.claim().unwrap();
            let run = Run {
                key: claim.key(),
                fence: claim.fencing_token(),
                begun: Instant::now(),
                ended: None,
            };
            let index = {
                let mut runs = history.lock().unwrap();
                runs.push(run);
                runs.len() - 1
            };
            let (history, status) = (Arc::clone(&history), status(claim.fencing_token()));
            Box::pin(async move {
                let status = status.await;
                history.lock().unwrap()[index].ended = Some(Instant::now());
                status
            })
        })
    }

    pub(crate) fn runs(&self) -> Vec<Run> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn fences(&self) -> Vec<u64> {
        self.runs().iter().map(|run| run.fence).collect()
    }

    /// Checks that each event ran, that attempts rise, and that no handler started during another
    /// run of the same event, unless the lease of that run may have expired.
    pub(crate) fn check(&self, events: usize, lease: Duration) {
        let mut by_key = std::collections::BTreeMap::<_, Vec<Run>>::new();
        for run in self.runs() {
            by_key.entry(run.key).or_default().push(run);
        }
        assert_eq!(by_key.len(), events, "every event ran");
        for (key, runs) in by_key {
            for pair in runs.windows(2) {
                let [before, after] = pair else { continue };
                assert!(before.fence < after.fence, "{key}: {runs:?}");
                let apart = before.ended.is_some_and(|ended| ended <= after.begun);
                let lapsed = after.begun - before.begun >= lease / 2;
                assert!(apart || lapsed, "{key}: {runs:?}");
            }
        }
    }
}
