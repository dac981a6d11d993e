use std::future::{pending, ready};

use axum::{
    Router,
    handler::Handler,
    middleware::map_response,
    response::Response,
    routing::{MethodFilter, MethodRouter, on},
};
use http::{HeaderValue, Method, header};

use crate::WebhookLayer;

/// Adds webhook routes to axum's `Router`.
pub trait RouterExt<S>: Sized {
    /// Adds a route at `path` whose handler runs only for verified deliveries to `receiver`.
    ///
    /// The route accepts [every method](webhook_verify::Receiver::methods) that the sender uses,
    /// including those of verification handshakes. A request with another method gets 405 with
    /// `Allow`.
    ///
    /// `receiver` is a [`Receiver`](webhook_verify::Receiver). To change the layer's settings, or
    /// to call [`drain`](WebhookLayer::drain), pass a [`WebhookLayer`]. Each call adds a route for
    /// one sender:
    ///
    /// ```
    /// use axum::Router;
    /// use webhook_verify_axum::RouterExt as _;
    /// # use webhook_verify_axum::{ConfigError, Receiver, Verifier, scheme};
    /// # async fn on_github() {}
    /// # async fn on_stripe() {}
    /// # let receiver = |scheme| Verifier::new(scheme, "a secret").map(Receiver::new);
    /// # let (github, stripe) = (receiver(scheme::GITHUB)?, receiver(scheme::STRIPE)?);
    ///
    /// let app: Router = Router::new()
    ///     .webhook("/github", github, on_github)
    ///     .webhook("/stripe", stripe, on_stripe);
    /// # Ok::<(), ConfigError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If `receiver` has an inbox, because the handler would never run: call
    /// [`inbox`](Self::inbox). Also if the path is invalid or already has such a route, as in
    /// `Router::route`.
    #[must_use]
    #[track_caller]
    fn webhook<H, T>(self, path: &str, receiver: impl Into<WebhookLayer>, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static;

    /// Adds a route at `path` without a handler: `receiver` stores deliveries in its inbox.
    ///
    /// Workers process the events later. The route accepts the same methods as one of
    /// [`webhook`](Self::webhook), and `receiver` may be a [`WebhookLayer`] as well.
    ///
    /// ```
    /// # fn app(
    /// #     store: webhook_verify_axum::SqliteStore,
    /// # ) -> Result<axum::Router, webhook_verify_axum::ConfigError> {
    /// use axum::Router;
    /// use webhook_verify_axum::{Receiver, RouterExt as _, Verifier, inbox::Inbox, scheme};
    ///
    /// let inbox = Inbox::new(store, "mautic");
    /// let receiver = Receiver::builder(Verifier::new(scheme::MAUTIC, "a secret")?)
    ///     .inbox(&inbox)
    ///     .build()?;
    /// let app: Router = Router::new().inbox("/mautic", receiver);
    /// # Ok(app)
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If `receiver` has no inbox, or for a path for which [`webhook`](Self::webhook) panics.
    #[must_use]
    #[track_caller]
    fn inbox(self, path: &str, receiver: impl Into<WebhookLayer>) -> Self;
}

impl<S: Clone + Send + Sync + 'static> RouterExt<S> for Router<S> {
    #[track_caller]
    fn webhook<H, T>(self, path: &str, receiver: impl Into<WebhookLayer>, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        let layer = receiver.into();
        let has_inbox = layer.shared.receiver.has_inbox();
        assert!(!has_inbox, "{path}: the receiver has an inbox: call `inbox`");
        self.route(path, method_router(layer, handler))
    }

    #[track_caller]
    fn inbox(self, path: &str, receiver: impl Into<WebhookLayer>) -> Self {
        let layer = receiver.into();
        let receiver = &layer.shared.receiver;
        assert!(receiver.has_inbox(), "{path}: the receiver has no inbox: call `webhook`");
        // Never runs, because the receiver responds to every request. A response from here would
        // acknowledge events that are not stored.
        self.route(path, method_router(layer, async || pending::<()>().await))
    }
}

/// Returns a route for the methods that the sender uses.
fn method_router<S, H, T>(layer: WebhookLayer, handler: H) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
    H: Handler<T, S>,
    T: 'static,
{
    let methods = layer.shared.receiver.methods();
    let allowed = HeaderValue::from_str(&methods.join(",")).ok();
    let uses = |name| methods.contains(&name);
    let is_get_alone = uses("GET") && !uses("HEAD");
    let filters = methods.iter();
    let filters =
        filters.filter_map(|name| Method::from_bytes(name.as_bytes()).ok()?.try_into().ok());
    let filter = filters.fold(MethodFilter::POST, MethodFilter::or);
    // The layer wraps the handler, but not the 405 for other methods.
    let methods = on(filter, handler).route_layer(layer);
    if !is_get_alone {
        return methods;
    }
    // axum passes HEAD to handlers of GET, so the handler would run when a client probes the URL.
    // A router without methods responds as axum does to other methods.
    let with_allow = map_response(move |mut response: Response| {
        let allowed = allowed.clone().map(|methods| (header::ALLOW, methods));
        response.headers_mut().extend(allowed);
        ready(response)
    });
    let refused = MethodRouter::<()>::new().layer(with_allow);
    methods.on_service(MethodFilter::HEAD, refused)
}
