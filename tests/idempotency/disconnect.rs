//! Clients that disconnect, and servers that are told to stop.
//!
//! No test waits for time to pass. On axum, a guard around the whole application shows when the
//! connection's future was dropped. On actix, one worker serves all connections, so a response on a
//! later connection shows that the worker has seen how an earlier one ended.

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
use webhook_verify::{MemoryStore, Receiver, Scheme, Verifier, scheme};
use webhook_verify_axum::Drain;

use crate::{common::*, sender::*};

/// Returns an application whose handlers wait at a gate with each event, except for bodies that
/// begin with `{"now`.
fn gated(scheme: Scheme, store: &Arc<Watched>, gate: &Arc<Gate>, begun: &Begun) -> App {
    let with = (Arc::clone(gate), begun.clone());
    let waiting = handler(with, |(gate, begun), delivery| async move {
        let now = delivery.body().starts_with(br#"{"now"#);
        for event in &delivery.events().unwrap() {
            if !now {
                begun.note(event);
                gate.wait().await;
            }
            event.done().await;
        }
        200
    });
    App::new(receiver(scheme, Arc::clone(store)), waiting)
}

/// An axum server that can be stopped, and counts the futures of connections that have ended.
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

/// How a client disconnects.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// Closes both directions, as a process that ends does.
    Close,
    /// Closes the sending side, as some clients do when they have sent everything.
    HalfClose,
    /// Resets the connection, as a client that gives up or a load balancer does.
    Reset,
}

const ENDINGS: [Ending; 3] = [Ending::Close, Ending::HalfClose, Ending::Reset];

/// Ends a connection. Returns what must stay open.
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

/// Sends a request, waits until the first of its events is in progress, or the second of several,
/// and disconnects. Returns how many events are done, and what must stay open.
async fn begin(
    addr: SocketAddr,
    gate: &Gate,
    (count, how): (usize, Ending),
) -> (usize, Option<TcpStream>) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&raw(&sent(count).1)).await.unwrap();
    gate.entered().await;
    let done = count.min(2) - 1;
    if done > 0 {
        gate.open(done);
        gate.entered().await;
    }
    (done, end(stream, how).await)
}

/// Each way in which a client disconnects, with a single event and with a batch.
fn endings() -> impl Iterator<Item = (usize, Ending)> {
    ENDINGS.into_iter().flat_map(|how| [(1, how), (5, how)])
}

#[tokio::test]
async fn b08_a_client_that_goes_away_undoes_nothing_on_axum() {
    for (count, how) in endings() {
        eprintln!("{count} events, {how:?}");
        let (scheme, request) = sent(count);
        let (store, gate, begun) = (Watched::new(), Gate::new(), Begun::default());
        let app = gated(scheme, &store, &gate, &begun);
        let server = serve_axum(&app).await;
        let (done, _open) = begin(server.addr, &gate, (count, how)).await;
        // The premise: the future that serves the connection is dropped while the handler runs.
        soon("end of the connection", server.ended.acquire()).await.unwrap().forget();
        assert_eq!((gate.done(), store.completes()), (done, done));

        {
            let mut drained = pin!(server.drain.wait());
            assert!(poll!(&mut drained).is_pending(), "a handler still runs");
            assert_in_flight(&post(server.addr, &request).await);
            assert!(poll!(&mut drained).is_pending(), "a handler still runs");
            gate.open(count - done);
            soon("end of the drain", drained).await;
        }
        // The drain waits for the store, too.
        assert_eq!((gate.done(), store.completes()), (count, count));
        assert_eq!((begun.take(), store.releases.load(SeqCst)), (events(1..=count), 0));
        assert_replay(&post(server.addr, &request).await, if count == 1 { 200 } else { 204 });
        assert_eq!(app.runs(), 1);
        soon("end of the drain", server.drain.wait()).await;
    }
}

#[tokio::test]
async fn b08_a_client_that_goes_away_undoes_nothing_on_actix() {
    for (count, how) in endings() {
        eprintln!("{count} events, {how:?}");
        let (scheme, request) = sent(count);
        let (store, gate, begun) = (Watched::new(), Gate::new(), Begun::default());
        let app = gated(scheme.clone(), &store, &gate, &begun);
        let (addr, handle) = serve_actix(&app);
        let (done, _open) = begin(addr, &gate, (count, how)).await;
        // The worker has seen the end when it responds to later requests.
        for number in 0..3 {
            let other = signed(scheme.clone(), format!(r#"{{"now":[{number}]}}"#));
            assert_eq!(post(addr, &other).await.status, 200);
        }
        assert_eq!((gate.done(), store.completes()), (done, 3 + done));
        assert_in_flight(&post(addr, &request).await);
        gate.open(count - done);
        gate.until_done(count).await;
        store.until_completes(3 + count).await;
        assert_eq!((begun.take(), store.releases.load(SeqCst)), (events(1..=count), 0));
        assert_replay(&post(addr, &request).await, if count == 1 { 200 } else { 204 });
        assert_eq!(app.runs(), 4);
        handle.stop(false).await;
    }
}

/// Without claims, axum drops a handler with its connection.
#[tokio::test]
async fn without_claims_axum_drops_the_handler() {
    let gate = Gate::new();
    let verifier = Verifier::new(scheme::GITHUB, SECRET).unwrap();
    let app = App::new(Receiver::new(verifier), gate.handler(|_| 200));
    let server = serve_axum(&app).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(&raw(&signed(scheme::GITHUB, "{}"))).await.unwrap();
    gate.entered().await;
    drop(stream);
    soon("end of the connection", server.ended.acquire()).await.unwrap().forget();
    soon("end of the drain", server.drain.wait()).await;
    assert_eq!(gate.done(), 0);
}

/// A graceful shutdown with ten deliveries in progress, of which half have lost their clients,
/// completes all ten.
#[tokio::test]
async fn b26_a_graceful_shutdown_completes_what_is_in_flight() {
    for framework in [Framework::Axum, Framework::Actix] {
        eprintln!("on {framework:?}");
        let (store, gate) = (Watched::new(), Gate::new());
        let app = gated(scheme::GITHUB, &store, &gate, &Begun::default());
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
            // The port is closed first, so a refused connection shows that the server is stopping.
            soon("closed port", async { while TcpStream::connect(addr).await.is_ok() {} }).await;
            assert!(!stopped.is_finished());
            gate.open(10);
            for connection in &mut connections {
                assert_eq!(connection.response().await.unwrap().status, 200);
            }
            soon("end of the server", stopped).await.unwrap();
        }
        assert_eq!((gate.done(), store.completes()), (10, 10));
        assert!(TcpStream::connect(addr).await.is_err(), "no new connection is accepted");

        // The next process knows all ten. Here it is the next server on the same store.
        let next = app.serve(framework).await;
        for request in &requests {
            assert_replay(&exchange(next.addr, &raw(request)).await, 200);
        }
        assert_eq!(app.runs(), 10);
    }
}

/// The client closes the connection right after its request: the delivery is recorded all the same.
#[tokio::test]
async fn b08_a_client_that_does_not_wait_at_all() {
    for framework in [Framework::Axum, Framework::Actix] {
        let store = Watched::over(MemoryStore::new());
        let app = gated(scheme::GITHUB, &store, &Gate::new(), &Begun::default());
        let server = app.serve(framework).await;
        let request = signed(scheme::GITHUB, r#"{"now":true}"#);
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(&raw(&request)).await.unwrap();
        drop(stream);
        // The framework may see the end before or after the handler starts. The delivery runs once.
        soon("final response to a retry", async {
            // Nobody gets the first response, but the first request may still be in progress.
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
