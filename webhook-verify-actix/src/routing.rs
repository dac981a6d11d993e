use actix_web::{
    FromRequest, Handler, HttpResponse, Resource, Responder, guard, http::header::Allow, web,
};

use crate::WebhookMiddleware;

/// Returns a resource at `path` whose handler runs only for verified deliveries to `receiver`.
///
/// The resource accepts [every method](webhook_verify::Receiver::methods) that the sender uses,
/// including those of verification handshakes. A request with another method gets 405 with `Allow`.
///
/// `receiver` is a [`Receiver`](webhook_verify::Receiver). To change the middleware's settings, or
/// to call [`drain`](WebhookMiddleware::drain), pass a [`WebhookMiddleware`]. Build it once,
/// outside of the closure that `HttpServer` calls for each worker, and clone it inside. Each call
/// returns the resource of one sender:
///
/// ```
/// use actix_web::App;
/// use webhook_verify_actix::webhook;
/// # use actix_web::HttpResponse;
/// # use webhook_verify_actix::{ConfigError, Receiver, Verifier, scheme};
/// # async fn on_github() -> HttpResponse { HttpResponse::NoContent().finish() }
/// # async fn on_stripe() -> HttpResponse { HttpResponse::NoContent().finish() }
/// # let receiver = |scheme| Verifier::new(scheme, "a secret").map(Receiver::new);
/// # let (github, stripe) = (receiver(scheme::GITHUB)?, receiver(scheme::STRIPE)?);
///
/// let app = App::new()
///     .service(webhook("/github", github.clone(), on_github))
///     .service(webhook("/stripe", stripe.clone(), on_stripe));
/// # Ok::<(), ConfigError>(())
/// ```
///
/// # Panics
///
/// If `receiver` has an inbox, because the handler would never run: call [`inbox`].
#[track_caller]
pub fn webhook<H, Args>(path: &str, receiver: impl Into<WebhookMiddleware>, handler: H) -> Resource
where
    H: Handler<Args, Output: Responder + 'static>,
    Args: FromRequest + 'static,
{
    let middleware = receiver.into();
    assert!(!middleware.has_inbox(), "{path}: the receiver has an inbox: call `inbox`");
    resource(path, middleware, handler)
}

fn resource<H, Args>(path: &str, middleware: WebhookMiddleware, handler: H) -> Resource
where
    H: Handler<Args, Output: Responder + 'static>,
    Args: FromRequest + 'static,
{
    let methods = middleware.methods();
    let allowed = Allow(methods.clone());
    let is_used = guard::fn_guard(move |context| methods.contains(&context.head().method));
    let not_allowed = move || {
        let allowed = allowed.clone();
        async { HttpResponse::MethodNotAllowed().insert_header(allowed).finish() }
    };
    web::resource(path)
        // The middleware wraps the handler, but not the 405 for other methods.
        .route(web::route().guard(is_used).to(handler).wrap(middleware))
        .default_service(web::to(not_allowed))
}

/// Returns a resource at `path` without a handler: `receiver` stores deliveries in its inbox.
///
/// Workers process the events later. The resource accepts the same methods as one of [`webhook`],
/// and `receiver` may be a [`WebhookMiddleware`] as well.
///
/// ```
/// # fn start(
/// #     store: webhook_verify_actix::SqliteStore,
/// # ) -> Result<(), webhook_verify_actix::ConfigError> {
/// use actix_web::App;
/// use webhook_verify_actix::{Receiver, Verifier, inbox, inbox::Inbox, scheme};
///
/// let mautic = Inbox::new(store, "mautic");
/// let receiver = Receiver::builder(Verifier::new(scheme::MAUTIC, "a secret")?)
///     .inbox(&mautic)
///     .build()?;
/// let app = App::new().service(inbox("/mautic", receiver.clone()));
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// If `receiver` has no inbox.
#[track_caller]
pub fn inbox(path: &str, receiver: impl Into<WebhookMiddleware>) -> Resource {
    let middleware = receiver.into();
    assert!(middleware.has_inbox(), "{path}: the receiver has no inbox: call `webhook`");
    // Never runs, because the receiver responds to every request.
    resource(path, middleware, async || HttpResponse::InternalServerError().finish())
}
