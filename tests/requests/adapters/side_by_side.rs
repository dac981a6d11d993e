//! Several senders in one application, as in the README: none interferes with another.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, web};
use axum::{Router, http::StatusCode};
use integration_tests::{Framework, Response, each_framework, exchange, raw_request};
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, Scheme, Verifier,
    scheme::{self, Identity},
    testing::{SignedRequest, Signer},
};
use webhook_verify_actix::webhook;
use webhook_verify_axum::RouterExt as _;

/// Path, scheme, secret, and the status of its handler. The last one sends challenges by `GET`.
fn senders() -> [(&'static str, Scheme, &'static str, u16); 3] {
    [
        ("/github", scheme::GITHUB, "github's secret", 200),
        ("/stripe", scheme::STRIPE, "stripe's secret", 201),
        ("/nylas", scheme::NYLAS, "nylas's secret", 202),
    ]
}

#[derive(Clone)]
struct Sender {
    path: &'static str,
    status: u16,
    receiver: Receiver,
    signer: Arc<Signer>,
    runs: Arc<AtomicUsize>,
}

impl Sender {
    /// All of them claim in one store.
    fn all() -> Vec<Self> {
        let store = Arc::new(MemoryStore::new());
        let senders = senders().map(|(path, scheme, secret, status)| {
            let verifier = Verifier::new(scheme.clone(), secret).unwrap();
            let mut idempotency = Idempotency::new(Arc::clone(&store), path);
            if scheme.identity() == Identity::None {
                idempotency = idempotency.identity(Identity::BodyDigest);
            }
            let receiver = Receiver::builder(verifier).idempotency(idempotency);
            Self {
                path,
                status,
                receiver: receiver.build().unwrap(),
                signer: Arc::new(Signer::new(scheme, secret).unwrap().target(path)),
                runs: Arc::default(),
            }
        });
        senders.to_vec()
    }

    async fn handle(&self) -> u16 {
        self.runs.fetch_add(1, SeqCst);
        self.status
    }
}

fn axum(senders: &[Sender]) -> Router {
    let mut app = Router::new();
    for sender in senders.iter().cloned() {
        let (path, receiver) = (sender.path, sender.receiver.clone());
        let handler = async move || StatusCode::from_u16(sender.handle().await).unwrap();
        app = app.webhook(path, receiver, handler);
    }
    app.route("/health", axum::routing::get(async || "well"))
}

fn actix(senders: &[Sender], config: &mut web::ServiceConfig) {
    for sender in senders.iter().cloned() {
        let (path, receiver) = (sender.path, sender.receiver.clone());
        let handler = move || {
            let sender = sender.clone();
            async move {
                let status = sender.handle().await;
                HttpResponse::new(actix_web::http::StatusCode::from_u16(status).unwrap())
            }
        };
        config.service(webhook(path, receiver, handler));
    }
    config.route("/health", web::get().to(async || "well"));
}

enum Server {
    Axum(SocketAddr, tokio::task::AbortHandle),
    Actix(SocketAddr, ServerHandle),
}

impl Server {
    async fn start(framework: Framework, senders: &[Sender]) -> Self {
        let senders = senders.to_vec();
        match framework {
            Framework::Axum => {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let addr = listener.local_addr().unwrap();
                let serving = async move { axum::serve(listener, axum(&senders)).await.unwrap() };
                Self::Axum(addr, tokio::spawn(serving).abort_handle())
            }
            Framework::Actix => {
                let (sender, started) = mpsc::channel();
                thread::spawn(move || {
                    actix_web::rt::System::new().block_on(async move {
                        let app = move || App::new().configure(|config| actix(&senders, config));
                        let server = HttpServer::new(app).workers(2).disable_signals();
                        let server = server.bind("127.0.0.1:0").unwrap();
                        let addr = server.addrs()[0];
                        let server = server.run();
                        sender.send((addr, server.handle())).unwrap();
                        server.await.unwrap();
                    });
                });
                let (addr, handle) = started.recv().unwrap();
                Self::Actix(addr, handle)
            }
        }
    }

    async fn post(&self, path: &str, signed: &SignedRequest) -> Response {
        let raw = raw_request("POST", path, &signed.headers, &signed.body);
        exchange(self.addr(), &raw).await
    }

    async fn get(&self, target: &str) -> Response {
        exchange(self.addr(), &raw_request("GET", target, &[], b"")).await
    }

    fn addr(&self) -> SocketAddr {
        let (Self::Axum(addr, _) | Self::Actix(addr, _)) = self;
        *addr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        match self {
            Self::Axum(_, task) => task.abort(),
            Self::Actix(_, handle) => drop(handle.stop(false)),
        }
    }
}

#[tokio::test]
async fn several_senders_side_by_side() {
    each_framework(async |framework| {
        let senders = Sender::all();
        let server = Server::start(framework, &senders).await;
        for sender in &senders {
            let path = sender.path;
            // The event that all of them send is the same, so that only the path tells them apart.
            let signed = sender.signer.sign(r#"{"id":"evt_1","type":"ping"}"#).unwrap();
            let delivered = server.post(path, &signed).await;
            assert_eq!(delivered.status, sender.status, "{path}");
            assert_eq!(delivered.header("idempotent-replayed"), None, "{path}");
            let again = server.post(path, &signed).await;
            assert_eq!(again.status, sender.status, "{path}");
            assert_eq!(again.header("idempotent-replayed"), Some("true"), "{path}");
            for other in &senders {
                if other.path != path {
                    let refused = server.post(other.path, &signed).await;
                    assert_eq!(refused.status, 401, "{path} at {}", other.path);
                }
            }
        }
        let runs = senders.iter().map(|sender| sender.runs.load(SeqCst));
        assert_eq!(runs.collect::<Vec<_>>(), [1, 1, 1]);

        // Challenges are answered, and only for the sender that has them.
        let challenged = server.get("/nylas?challenge=abc").await;
        assert_eq!((challenged.status, challenged.text()), (200, "abc"));
        let refused = server.get("/github?challenge=abc").await;
        assert_eq!((refused.status, refused.header("allow")), (405, Some("POST")));
        // Other routes need no signature.
        let health = server.get("/health").await;
        assert_eq!((health.status, health.text()), (200, "well"));
        assert_eq!(server.get("/none").await.status, 404);
    })
    .await;
}
