//! A client that goes away, and a server that is told to.
//!
//! Nothing here waits for time to pass. On axum, a guard around the whole application tells when the connection's future
//! was dropped. On actix, one worker serves all connections, so an answer on a later connection shows that it has seen
//! how an earlier one ended.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering::SeqCst, mpsc},
    thread,
};

use actix_web::{App as ActixApp, HttpServer, dev::ServerHandle};
use axum::middleware::{Next, from_fn};
use futures_util::poll;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot},
    task::JoinHandle,
};
use webhook_verify::{MemoryStore, scheme};
use webhook_verify_axum::Drain;

use crate::common::*;

/// An application whose handlers wait at a gate, but for deliveries that say `now`.
fn gated(store: &Arc<Watched>, gate: &Arc<Gate>) -> App {
    let gate = Arc::clone(gate);
    let handler: Handler = Arc::new(move |delivery| {
        let (gate, now) = (Arc::clone(&gate), delivery.body().starts_with(br#"{"now"#));
        Box::pin(async move {
            if !now {
                gate.wait().await;
            }
            200
        })
    });
    App::new(receiver(scheme::GITHUB, Arc::clone(store)), handler)
}

/// An axum server that can be told to stop, and tells how many of its connections' futures have ended.
struct AxumServer {
    addr: SocketAddr,
    drain: Drain,
    ended: Arc<Semaphore>,
    stop: oneshot::Sender<()>,
    stopped: JoinHandle<()>,
}

struct OnDrop(Arc<Semaphore>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

async fn serve_axum(app: &App) -> AxumServer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (router, drain) = app.axum();
    let ended = Arc::new(Semaphore::new(0));
    let guards = Arc::clone(&ended);
    let router = router.layer(from_fn(move |request, next: Next| {
        let guard = OnDrop(Arc::clone(&guards));
        async move {
            let _guard = guard;
            next.run(request).await
        }
    }));
    let (stop, told) = oneshot::channel();
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        let _ = told.await;
    });
    let stopped = tokio::spawn(async { server.await.unwrap() });
    AxumServer { addr, drain, ended, stop, stopped }
}

fn serve_actix(app: &App) -> (SocketAddr, ServerHandle) {
    let (sender, receiver) = mpsc::channel();
    let app = app.clone();
    thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server = HttpServer::new(move || ActixApp::new().service(app.actix()))
                .workers(1)
                .disable_signals()
                .bind("127.0.0.1:0")
                .unwrap();
            let addr = server.addrs()[0];
            let server = server.run();
            sender.send((addr, server.handle())).unwrap();
            server.await.unwrap();
        });
    });
    receiver.recv().unwrap()
}

/// How a client goes away.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// Both directions are closed: the process is gone.
    Close,
    /// The sending side is closed: some clients do so when they have sent everything.
    HalfClose,
    /// A reset: a client that gave up, or a load balancer.
    Reset,
}

const ENDINGS: [Ending; 3] = [Ending::Close, Ending::HalfClose, Ending::Reset];

/// Ends a connection; what must stay open is given back.
async fn end(mut stream: TcpStream, how: Ending) -> Option<TcpStream> {
    match how {
        Ending::Close => None,
        Ending::HalfClose => {
            stream.shutdown().await.unwrap();
            Some(stream)
        }
        Ending::Reset => {
            stream.set_zero_linger().unwrap();
            None
        }
    }
}

#[tokio::test]
async fn b08_a_client_that_goes_away_undoes_nothing_on_axum() {
    for how in ENDINGS {
        eprintln!("{how:?}");
        let (store, gate) = (Watched::new(), Gate::new());
        let app = gated(&store, &gate);
        let server = serve_axum(&app).await;
        let request = signed(scheme::GITHUB, "{}");
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(&raw(&request)).await.unwrap();
        gate.entered().await;
        let _open = end(stream, how).await;
        // The premise: the future that serves the connection is dropped in the middle of the handler.
        soon("end of the connection", server.ended.acquire()).await.unwrap().forget();
        assert_eq!((gate.done(), store.completes()), (0, 0));

        {
            let mut drained = pin!(server.drain.wait());
            assert!(poll!(&mut drained).is_pending(), "a handler still runs");
            assert_in_flight(&post(server.addr, &request).await);
            assert!(poll!(&mut drained).is_pending(), "a handler still runs");
            gate.open(1);
            soon("end of the drain", drained).await;
        }
        // No wait: what the drain waited for includes the store.
        assert_eq!((gate.done(), store.completes()), (1, 1));
        assert_eq!(store.releases.load(SeqCst), 0);
        assert_replay(&post(server.addr, &request).await, 200);
        assert_eq!(app.runs(), 1);
        soon("end of the drain", server.drain.wait()).await;
    }
}

async fn b08_on_actix(how: Ending) {
    let (store, gate) = (Watched::new(), Gate::new());
    let app = gated(&store, &gate);
    let (addr, handle) = serve_actix(&app);
    let request = signed(scheme::GITHUB, "{}");
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&raw(&request)).await.unwrap();
    gate.entered().await;
    let _open = end(stream, how).await;
    // The worker has seen the end when it answers what came after it.
    for number in 0..3 {
        let other = signed(scheme::GITHUB, format!(r#"{{"now":{number}}}"#));
        assert_eq!(post(addr, &other).await.status, 200);
    }
    assert_eq!((gate.done(), store.completes()), (0, 3));
    assert_in_flight(&post(addr, &request).await);
    gate.open(1);
    gate.until_done(1).await;
    store.until_completes(4).await;
    assert_eq!(store.releases.load(SeqCst), 0);
    assert_replay(&post(addr, &request).await, 200);
    assert_eq!(app.runs(), 4);
    handle.stop(false).await;
}

#[tokio::test]
async fn b08_a_client_that_closes_undoes_nothing_on_actix() {
    b08_on_actix(Ending::Close).await;
}

#[tokio::test]
async fn b08_a_client_that_half_closes_undoes_nothing_on_actix() {
    b08_on_actix(Ending::HalfClose).await;
}

#[tokio::test]
async fn b08_a_client_that_resets_undoes_nothing_on_actix() {
    b08_on_actix(Ending::Reset).await;
}

/// Without claims, a handler is dropped with its connection, as axum always does: nothing remembers that it had begun.
#[tokio::test]
async fn without_claims_axum_drops_the_handler_as_ever() {
    let gate = Gate::new();
    let verifier = webhook_verify::Verifier::new(scheme::GITHUB, SECRET).unwrap();
    let app = App::new(webhook_verify::Receiver::new(verifier), gate.handler(|_| 200));
    let server = serve_axum(&app).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(&raw(&signed(scheme::GITHUB, "{}"))).await.unwrap();
    gate.entered().await;
    drop(stream);
    soon("end of the connection", server.ended.acquire()).await.unwrap().forget();
    soon("end of the drain", server.drain.wait()).await;
    assert_eq!(gate.done(), 0);
}

/// Ten in flight, half of their clients gone, and the server is told to stop: all ten are completed.
#[tokio::test]
async fn b26_a_graceful_shutdown_completes_what_is_in_flight() {
    for framework in [Framework::Axum, Framework::Actix] {
        eprintln!("on {framework:?}");
        let (store, gate) = (Watched::new(), Gate::new());
        let app = gated(&store, &gate);
        let requests: Vec<_> =
            (0..10).map(|number| signed(scheme::GITHUB, format!(r#"{{"n":{number}}}"#))).collect();
        let (mut axum, mut actix) = (None, None);
        let addr = match framework {
            Framework::Axum => axum.insert(serve_axum(&app).await).addr,
            Framework::Actix => actix.insert(serve_actix(&app)).0,
        };
        let mut connections = Vec::new();
        for request in &requests {
            let mut connection = Connection::open(addr).await;
            connection.send(&raw(request)).await;
            gate.entered().await;
            connections.push(connection);
        }
        connections.truncate(5);

        if let Some(server) = axum {
            soon("end of five connections", server.ended.acquire_many(5)).await.unwrap().forget();
            server.stop.send(()).unwrap();
            {
                let mut drained = pin!(server.drain.wait());
                assert!(poll!(&mut drained).is_pending());
            }
            gate.open(10);
            for connection in &mut connections {
                assert_eq!(connection.response().await.unwrap().status, 200);
            }
            soon("end of the server", server.stopped).await.unwrap();
            soon("end of the drain", server.drain.wait()).await;
        }
        if let Some((_, handle)) = actix {
            let stopped = tokio::spawn(handle.stop(true));
            // The port is closed first, so that a connection that is refused shows that the server is stopping.
            soon("closed port", async { while TcpStream::connect(addr).await.is_ok() {} }).await;
            assert!(!stopped.is_finished());
            gate.open(10);
            for connection in &mut connections {
                assert_eq!(connection.response().await.unwrap().status, 200);
            }
            soon("end of the server", stopped).await.unwrap();
        }
        assert_eq!((gate.done(), store.completes()), (10, 10));
        assert!(TcpStream::connect(addr).await.is_err(), "nothing new is taken in");

        // The next process would know all ten. (Here: the next server on the same store.)
        let next = app.serve(framework).await;
        for request in &requests {
            assert_replay(&exchange(next.addr, &raw(request)).await, 200);
        }
        assert_eq!(app.runs(), 10);
    }
}

/// The store must not be forgotten when it is only the answer that is lost: full close right behind the request.
#[tokio::test]
async fn b08_a_client_that_does_not_wait_at_all() {
    for framework in [Framework::Axum, Framework::Actix] {
        let store = Watched::over(MemoryStore::new());
        let app = gated(&store, &Gate::new());
        let server = app.serve(framework).await;
        let request = signed(scheme::GITHUB, r#"{"now":true}"#);
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(&raw(&request)).await.unwrap();
        drop(stream);
        // Whether it ran before the end was seen is the framework's affair; that it runs exactly once is ours.
        soon("final response to a retry", async {
            // The first is not answered to anybody, but it may still be under way.
            loop {
                let retry = post(server.addr, &request).await;
                if retry.status == 200 {
                    break;
                }
                assert_in_flight(&retry);
            }
        })
        .await;
        assert_replay(&post(server.addr, &request).await, 200);
        assert_eq!((app.runs(), store.completes()), (1, 1), "{framework:?}");
    }
}
