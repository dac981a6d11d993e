use std::{fmt, sync::Arc};

use axum_core::response::Response;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tower_layer::Layer;
use webhook_verify::{Receiver, Rejection};

use crate::WebhookService;

/// Lets only verified deliveries through to the service it wraps. With idempotency, each delivery
/// runs once. With an inbox, the service never runs.
///
/// [`RouterExt::webhook`](crate::RouterExt::webhook) puts one layer on each sender's route, for all
/// methods that the sender uses. If you need one handler per method, use [`MethodRouter::layer`]
/// instead:
///
/// ```
/// use axum::{Router, routing::{get, post}};
/// use webhook_verify_axum::WebhookLayer;
/// # use webhook_verify_axum::{ConfigError, Receiver, Verifier, scheme};
/// # async fn on_query() {}
/// # async fn on_body() {}
/// # let receiver = Verifier::new(scheme::PIPEFORCE_TOKEN, "a secret").map(Receiver::new)?;
///
/// let handlers = get(on_query).post(on_body).layer(WebhookLayer::new(receiver));
/// let app: Router = Router::new().route("/pipeforce", handlers);
/// # Ok::<(), ConfigError>(())
/// ```
///
/// Such a layer sees every request for its path, whatever the method, and so answers a sender's
/// [challenges](webhook_verify::scheme::Challenge), some of which are `GET` or `HEAD` requests.
///
/// Two other places are mistakes:
///
/// * [`Router::route_layer`] and [`Router::layer`] wrap every route added so far. With a second
///   sender, the first one's requests would have to pass both layers, and get 401.
/// * [`MethodRouter::route_layer`] sees only the methods that have a handler. With
///   `post(handler).route_layer(layer)`, axum responds to `GET` and `HEAD` challenges with 405.
///
/// Compressed bodies need no other layer: the scheme defines
/// [which bytes are signed](webhook_verify::scheme::SignedBytes), the features `gzip`, `brotli` and
/// `zstd` decode them, and the handler gets the decoded body without `Content-Encoding`. A layer
/// that decompresses bodies outside of this one removes the bytes that the sender signed, unless it
/// signs the decoded ones. A layer that rewrites bodies belongs inside of this one.
///
/// Within `Router::nest`, which shortens paths, this layer still sees the whole path. Behind a
/// gateway that shortens paths, set
/// [`public_url`](webhook_verify::VerifierBuilder::public_url) if the scheme signs the path.
///
/// # Without axum
///
/// This layer also wraps other tower services, such as those of hyper (with hyper-util's
/// `TowerToHyperService`), tonic and `lambda_http`. It needs a tokio runtime. The inner service
/// must meet these requirements:
///
/// * It is `Clone` and `Send`.
/// * It takes an `http::Request` with axum's [`Body`](axum_core::body::Body), which contains the
///   verified bytes.
/// * Its response implements [`IntoResponse`](axum_core::response::IntoResponse), like an
///   `http::Response` with any body of [`Bytes`](bytes::Bytes).
///
/// Incoming requests may have any `http_body::Body` of `Bytes`.
///
/// [`MethodRouter::layer`]: https://docs.rs/axum/0.8/axum/routing/method_routing/struct.MethodRouter.html#method.layer
/// [`MethodRouter::route_layer`]: https://docs.rs/axum/0.8/axum/routing/method_routing/struct.MethodRouter.html#method.route_layer
/// [`Router::layer`]: https://docs.rs/axum/0.8/axum/struct.Router.html#method.layer
/// [`Router::route_layer`]: https://docs.rs/axum/0.8/axum/struct.Router.html#method.route_layer
#[derive(Clone)]
#[must_use]
pub struct WebhookLayer {
    pub(crate) shared: Arc<Shared>,
}

/// The state that all services of a layer share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) receiver: Receiver,
    pub(crate) tasks: TaskTracker,
    pub(crate) render: Option<Arc<Render>>,
}

type Render = dyn Fn(&Rejection, Response) -> Response + Send + Sync;

impl WebhookLayer {
    /// Creates a layer that verifies requests with `receiver`.
    pub fn new(receiver: Receiver) -> Self {
        Self {
            shared: Arc::new(Shared {
                receiver: receiver.or_timer(sleep),
                tasks: TaskTracker::new(),
                render: None,
            }),
        }
    }

    /// Replaces the responses to refused requests. `render` gets the reason and the default
    /// response, and returns the response to send. If it panics, the default response is sent.
    ///
    /// Send the same text for every reason that has the same status: a client must not learn which
    /// check failed.
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

    /// Returns a handle with which a shutdown waits for handlers that outlive their connections.
    #[must_use]
    pub fn drain(&self) -> Drain {
        Drain(self.shared.tasks.clone())
    }
}

impl From<Receiver> for WebhookLayer {
    fn from(receiver: Receiver) -> Self {
        Self::new(receiver)
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
/// A handler with a claim runs to its end even if its client disconnects. A server's graceful
/// shutdown waits for connections, and so not for all of these handlers:
///
/// ```no_run
/// # use webhook_verify_axum::WebhookLayer;
/// # async fn serve(app: axum::Router, layer: WebhookLayer) -> std::io::Result<()> {
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
    /// Resolves when no such handler is running.
    pub async fn wait(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
