//! Places for connections.

use std::{
    collections::VecDeque,
    error::Error,
    io,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use http::{HeaderValue, Request, Response, header::CONNECTION};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::Service,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
};

/// A limited number of places. If all are taken, the connection that has waited the longest for a
/// request makes room. If none waits, the new connection has to.
#[derive(Clone)]
pub(super) struct Places(Arc<Inner>);

struct Inner {
    free: Arc<Semaphore>,
    /// The connections that wait for a request. The first has waited for the longest time.
    waiting: Mutex<VecDeque<Arc<Peer>>>,
}

/// The other side of a connection.
#[derive(Default)]
struct Peer {
    /// Whether it has sent the head of a request.
    has_sent: AtomicBool,
    /// Notifies the connection that it has to close.
    close: Notify,
}

/// The place of a connection.
pub(super) struct Place {
    places: Places,
    peer: Arc<Peer>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(max: usize) -> Self {
        Self(Arc::new(Inner { free: Arc::new(Semaphore::new(max)), waiting: Mutex::default() }))
    }

    /// Accepts a connection, and waits until there is a place for it.
    pub(super) async fn accept(&self, socket: &TcpListener) -> io::Result<(TcpStream, Place)> {
        let (stream, _) = socket.accept().await?;
        let _ = stream.set_nodelay(true);
        if self.are_taken() {
            self.close_first();
        }
        let permit = Arc::clone(&self.0.free).acquire_owned().await.map_err(io::Error::other)?;
        let place = Place { places: self.clone(), peer: Arc::default(), _permit: permit };
        place.wait();
        Ok((stream, place))
    }

    fn are_taken(&self) -> bool {
        self.0.free.available_permits() == 0
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Arc<Peer>>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close_first(&self) {
        if let Some(peer) = self.waiting().pop_front() {
            peer.close.notify_one();
        }
    }
}

impl Place {
    fn wait(&self) {
        self.places.waiting().push_back(Arc::clone(&self.peer));
    }

    fn wait_no_more(&self) {
        self.places.waiting().retain(|other| !Arc::ptr_eq(other, &self.peer));
    }

    /// Notes that a request has begun.
    pub(super) fn begin(&self) {
        self.peer.has_sent.store(true, Relaxed);
        self.wait_no_more();
    }

    /// Notes that the connection waits for a request after this response.
    pub(super) fn end<B>(&self, response: &mut Response<B>) {
        if self.places.are_taken() {
            // Another connection may need the place.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.wait();
    }

    /// Serves a connection until it ends, or has to: it must make room, or `ending` resolves.
    pub(super) async fn serve<S, B>(
        &self,
        connection: http1::Connection<TokioIo<TcpStream>, S>,
        ending: impl Future,
    ) -> Result<(), hyper::Error>
    where
        S: Service<Request<Incoming>, Response = Response<B>>,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        B: Body + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let mut connection = pin!(connection);
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended,
            () = self.peer.close.notified() => {}
            _ = ending => {}
        }
        if self.peer.has_sent.load(Relaxed) {
            // A response may not be sent completely.
            connection.as_mut().graceful_shutdown();
            connection.await?;
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.wait_no_more();
    }
}
