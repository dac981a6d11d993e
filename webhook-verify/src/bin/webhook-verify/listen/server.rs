//! Serves the connections of senders.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};

use super::{arrived::Source, listener::Listener};

/// The maximum number of connections at a time. More wait.
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
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    // A request holds a sender until it is reported.
    let (working, mut idle) = mpsc::channel::<()>(1);
    let mut stop = pin!(stop);
    loop {
        let connection = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (socket.accept().await, permit)
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
        let _ = stream.set_nodelay(true);
        let (own, working) = (Arc::clone(&listener), working.clone());
        let service =
            service_fn(move |request| respond(Arc::clone(&own), request, working.clone()));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        let lines = listener.lines.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.await
                && error.is_parse()
            {
                lines.broken(&error).await;
            }
            drop(permit);
        });
    }
    drop((socket, working));
    let _ = timeout(GRACE, async {
        graceful.shutdown().await;
        idle.recv().await;
    })
    .await;
}

/// Receives a request in a task of its own, so that a sender that disconnects does not interrupt
/// it.
async fn respond(
    listener: Arc<Listener>,
    request: Request<Incoming>,
    working: mpsc::Sender<()>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let receiving = tokio::spawn(async move {
        let response = listener.receive(request.map(Source::Connection), None).await;
        drop(working);
        response
    });
    Ok(receiving.await.unwrap_or_else(|_| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        response
    }))
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
