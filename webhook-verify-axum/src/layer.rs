use std::{fmt, sync::Arc};

use axum_core::response::Response;
use tokio_util::task::TaskTracker;
use tower_layer::Layer;
use webhook_verify::{Receiver, Rejection};

use crate::WebhookService;

/// Lets only verified deliveries through to the service it wraps, each of them once if the receiver deduplicates.
///
/// Works in front of an axum route or router, and of any tower service of `http` requests. Prefer
/// `Router::route_layer`: with `Router::layer`, requests for unknown paths are read and verified, too.
///
/// A sender's [challenges](webhook_verify::scheme::Challenge) come by `GET` or `HEAD` in part, and are answered here, before
/// any handler. `Router::route_layer` sees them on a path that is routed for `POST` alone, as `Router::layer` does. The
/// `route_layer` of a `MethodRouter` sees no method that is not routed, so `post(handler).route_layer(layer)` leaves them to
/// axum's 405.
///
/// A layer that decompresses or rewrites bodies must be inside of this one: a signature is over the bytes as sent. Where a
/// scheme signs the path, or a tenant is known by it, the layer belongs outside of `Router::nest`, which cuts paths short.
///
/// See the [crate's documentation](crate) for an example.
#[derive(Clone)]
#[must_use]
pub struct WebhookLayer {
    pub(crate) shared: Arc<Shared>,
}

/// What all services of one layer have in common.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) receiver: Receiver,
    pub(crate) tasks: TaskTracker,
    pub(crate) render: Option<Arc<Render>>,
}

type Render = dyn Fn(&Rejection, Response) -> Response + Send + Sync;

impl WebhookLayer {
    /// A layer that takes requests in with `receiver`.
    pub fn new(receiver: Receiver) -> Self {
        Self {
            shared: Arc::new(Shared {
                receiver,
                tasks: TaskTracker::new(),
                render: None,
            }),
        }
    }

    /// Renders refusals. `render` is given the reason and the answer that would be sent, and returns the one that is.
    ///
    /// Whatever it says, say the same for every reason of one status: a client must not learn which check failed.
    pub fn with_rejection_response(
        self,
        render: impl Fn(&Rejection, Response) -> Response + Send + Sync + 'static,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                render: Some(Arc::new(render)),
                ..Shared::clone(&self.shared)
            }),
        }
    }

    /// For shutting down: what waits for handlers that run on after their client went away.
    #[must_use]
    pub fn drain(&self) -> Drain {
        Drain(self.shared.tasks.clone())
    }
}

impl<S> Layer<S> for WebhookLayer {
    type Service = WebhookService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WebhookService::new(inner, Arc::clone(&self.shared))
    }
}

impl fmt::Debug for WebhookLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookLayer")
            .field("receiver", &self.shared.receiver)
            .finish_non_exhaustive()
    }
}

/// Waits for handlers that outlive their connections.
///
/// A handler with a claim runs to its end even if its client goes away, so a server's graceful shutdown, which waits
/// for connections, does not wait for all of them:
///
/// ```no_run
/// # async fn serve(app: axum::Router, layer: webhook_verify_axum::WebhookLayer) -> std::io::Result<()> {
/// let drain = layer.drain();
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// # let shutdown = std::future::pending::<()>();
/// axum::serve(listener, app).with_graceful_shutdown(shutdown).await?;
/// drain.wait().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Drain(TaskTracker);

impl Drain {
    /// Resolves when none of these handlers runs any more.
    pub async fn wait(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
