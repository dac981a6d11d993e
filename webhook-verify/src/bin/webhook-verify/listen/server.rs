//! Serves the connections of senders.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    arrived::Source,
    listener::Listener,
    places::{Place, Places},
};

/// The maximum number of connections at a time.
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
    let places = Places::new(MAX_CONNECTIONS);
    // A connection and a request hold a sender until they end.
    let (working, mut idle) = mpsc::channel::<()>(1);
    let (running, ending) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = places.accept(&socket) => accepted,
            () = &mut stop => break,
        };
        let Ok((stream, place)) = accepted else {
            // No descriptor is left, for example.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let connection = Connection {
            listener: Arc::clone(&listener),
            place: Arc::new(place),
            working: working.clone(),
        };
        tokio::spawn(connection.serve(stream, ending.clone()));
    }
    drop((socket, working, running));
    let _ = timeout(GRACE, idle.recv()).await;
}

#[derive(Clone)]
struct Connection {
    listener: Arc<Listener>,
    place: Arc<Place>,
    working: mpsc::Sender<()>,
}

impl Connection {
    /// Serves the connection until it ends, or has to.
    async fn serve(self, stream: TcpStream, mut ending: watch::Receiver<()>) {
        let service = service_fn(|request| self.clone().respond(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        // The sender of `ending` is dropped.
        if let Err(error) = self.place.serve(connection, ending.changed()).await
            && error.is_parse()
        {
            self.listener.lines.broken(&error).await;
        }
    }

    async fn respond(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        self.place.begin();
        let mut response = receive(self.listener, request, self.working).await;
        self.place.end(&mut response);
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
