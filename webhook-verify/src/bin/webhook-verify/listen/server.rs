//! Serves the connections of senders.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::CONNECTION};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore, mpsc, watch},
    time::{sleep, timeout},
};

use super::{arrived::Source, listener::Listener};

/// The maximum number of connections at a time. If there are more, those that wait for a request
/// are closed.
const MAX_CONNECTIONS: usize = 256;
/// How long a connection may take for the head of a request.
const HEAD: Duration = Duration::from_secs(30);
/// How long requests may take to end after the program was told to end.
const GRACE: Duration = Duration::from_secs(10);

/// Serves connections until `stop` resolves, and then ends the open requests.
pub(super) async fn serve(
    listener: Arc<Listener>,
    socket: TcpListener,
    stop: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let waiting = Arc::<Waiting>::default();
    // A connection and a request hold a sender until they end.
    let (working, mut idle) = mpsc::channel::<()>(1);
    let (running, ending) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let connection = async {
            let accepted = socket.accept().await;
            if places.available_permits() == 0 {
                waiting.close_first();
            }
            (accepted, Arc::clone(&places).acquire_owned().await)
        };
        let (accepted, permit) = tokio::select! {
            connection = connection => connection,
            () = &mut stop => break,
        };
        let Ok((stream, _)) = accepted else {
            // No descriptor is left, for example.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let connection = Connection {
            listener: Arc::clone(&listener),
            places: Arc::clone(&places),
            waiting: Arc::clone(&waiting),
            peer: Arc::default(),
            working: working.clone(),
        };
        let ending = ending.clone();
        tokio::spawn(async move {
            connection.serve(stream, ending).await;
            drop(permit);
        });
    }
    drop((socket, working, running));
    let _ = timeout(GRACE, idle.recv()).await;
}

/// The connections that wait for a request. The first has waited for the longest time.
#[derive(Default)]
struct Waiting(Mutex<VecDeque<Arc<Peer>>>);

/// The other side of a connection.
#[derive(Default)]
struct Peer {
    /// Whether it has sent the head of a request.
    has_sent: AtomicBool,
    /// Notifies the connection that it has to close.
    close: Notify,
}

impl Waiting {
    fn peers(&self) -> MutexGuard<'_, VecDeque<Arc<Peer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, peer: &Arc<Peer>) {
        self.peers().retain(|other| !Arc::ptr_eq(other, peer));
    }

    fn close_first(&self) {
        if let Some(peer) = self.peers().pop_front() {
            peer.close.notify_one();
        }
    }
}

#[derive(Clone)]
struct Connection {
    listener: Arc<Listener>,
    places: Arc<Semaphore>,
    waiting: Arc<Waiting>,
    peer: Arc<Peer>,
    working: mpsc::Sender<()>,
}

impl Connection {
    /// Serves the connection until it ends, or has to.
    async fn serve(self, stream: TcpStream, ending: watch::Receiver<()>) {
        let _ = stream.set_nodelay(true);
        self.waiting.peers().push_back(Arc::clone(&self.peer));
        if let Err(error) = self.requests(stream, ending).await
            && error.is_parse()
        {
            self.listener.lines.broken(&error).await;
        }
        self.waiting.remove(&self.peer);
    }

    async fn requests(
        &self,
        stream: TcpStream,
        mut ending: watch::Receiver<()>,
    ) -> Result<(), hyper::Error> {
        let service = service_fn(|request| self.clone().respond(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended,
            () = self.peer.close.notified() => {}
            // The sender is dropped.
            _ = ending.changed() => {}
        }
        if self.peer.has_sent.load(Relaxed) {
            // A response may not be sent completely.
            connection.as_mut().graceful_shutdown();
            connection.await?;
        }
        Ok(())
    }

    async fn respond(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        self.peer.has_sent.store(true, Relaxed);
        self.waiting.remove(&self.peer);
        let mut response = receive(self.listener, request, self.working).await;
        if self.places.available_permits() == 0 {
            // Another connection may need the place.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.waiting.peers().push_back(self.peer);
        Ok(response)
    }
}

/// Receives a request in a task of its own, so that a sender that disconnects does not interrupt
/// it.
async fn receive(
    listener: Arc<Listener>,
    request: Request<Incoming>,
    working: mpsc::Sender<()>,
) -> Response<Full<Bytes>> {
    let receiving = tokio::spawn(async move {
        let response = listener.receive(request.map(Source::Connection), None).await;
        drop(working);
        response
    });
    receiving.await.unwrap_or_else(|_| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// The signals by which the user or the system ends the program.
pub(super) struct Signals {
    #[cfg(unix)]
    streams: [tokio::signal::unix::Signal; 2],
}

impl Signals {
    /// Receives the signals from now on.
    pub(super) fn new() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let streams = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
            Ok(Self { streams })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    pub(super) async fn next(&mut self) {
        #[cfg(unix)]
        {
            let [interrupt, terminate] = &mut self.streams;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
