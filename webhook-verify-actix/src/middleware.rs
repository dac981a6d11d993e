use std::{
    cell::{Cell, OnceCell},
    fmt,
    future::{Ready, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    sync::Arc,
};

use actix_web::{
    Error, HttpMessage as _, HttpRequest, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{
        Extensions, Payload, Service, ServiceRequest, ServiceResponse, Transform, forward_ready,
    },
    http::{
        Method,
        header::{self, HeaderValue},
    },
};
use tokio::{runtime::Handle, time::sleep};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};
use webhook_verify::{
    Delivery, Receiver, Rejection, RequestHead,
    adapter::{Admission, Received, to_the_end},
};

use crate::{body::Chunks, head::ActixHeaders, limits::with_limit, record::record, target::Target};

/// Lets only verified deliveries through to the service it wraps. With idempotency, each delivery
/// runs once. With an inbox, the service never runs.
///
/// [`webhook`](crate::webhook) wraps each sender's handler in its own middleware, for all methods
/// that the sender uses. If you need one handler per method, wrap the sender's resource instead:
///
/// ```
/// use actix_web::{App, web};
/// use webhook_verify_actix::WebhookMiddleware;
/// # use actix_web::HttpResponse;
/// # use webhook_verify_actix::{ConfigError, Receiver, Verifier, scheme};
/// # async fn on_query() -> HttpResponse { HttpResponse::NoContent().finish() }
/// # async fn on_body() -> HttpResponse { HttpResponse::NoContent().finish() }
/// # let receiver = Verifier::new(scheme::PIPEFORCE_TOKEN, "a secret").map(Receiver::new)?;
///
/// let app = App::new().service(
///     web::resource("/pipeforce")
///         .wrap(WebhookMiddleware::new(receiver))
///         .route(web::get().to(on_query))
///         .route(web::post().to(on_body)),
/// );
/// # Ok::<(), ConfigError>(())
/// ```
///
/// A resource's middleware sees every request for its path, whatever the method, and so answers a
/// sender's [challenges](webhook_verify::scheme::Challenge), some of which are `GET` or `HEAD`
/// requests. Two other places are mistakes:
///
/// * A single route sees only its own method. With `web::post().to(handler).wrap(middleware)`,
///   actix-web responds to `GET` and `HEAD` challenges with 405.
/// * The whole `App`, or a `Scope` with several senders, wraps every route in it. Every request
///   would have to be signed by that one sender.
///
/// Compressed bodies need no other middleware: the scheme defines
/// [which bytes are signed](webhook_verify::scheme::SignedBytes), the features `gzip`, `brotli` and
/// `zstd` decode them, and the handler gets the decoded body without `Content-Encoding`. A
/// middleware that decompresses bodies outside of this one removes the bytes that the sender signed,
/// unless the sender signs the decoded bytes. If the scheme signs the path, or the path selects a
/// tenant, a middleware that rewrites paths belongs inside of this one.
#[derive(Clone)]
#[must_use]
pub struct WebhookMiddleware {
    receiver: Receiver,
    tasks: TaskTracker,
    render: Option<Arc<Render>>,
}

type Render = dyn Fn(&Rejection, HttpResponse) -> HttpResponse + Send + Sync;

impl WebhookMiddleware {
    /// Creates a middleware that verifies requests with `receiver`.
    ///
    /// Build the middleware once, outside of the closure that `HttpServer` calls for each worker,
    /// and clone it inside: the clones share the receiver and the [`Drain`].
    pub fn new(receiver: Receiver) -> Self {
        Self { receiver: receiver.or_timer(sleep), tasks: TaskTracker::new(), render: None }
    }

    /// Replaces the responses to refused requests. `render` gets the reason and the default
    /// response, and returns the response to send. If it panics, the default response is sent.
    ///
    /// Send the same text for every reason that has the same status: a client must not learn which
    /// check failed.
    pub fn with_rejection_response(
        self,
        render: impl Fn(&Rejection, HttpResponse) -> HttpResponse + Send + Sync + 'static,
    ) -> Self {
        Self { render: Some(Arc::new(render)), ..self }
    }

    /// Returns a handle that waits, at shutdown, for handlers that outlive their connections. It
    /// covers this middleware and its clones.
    #[must_use]
    pub fn drain(&self) -> Drain {
        Drain(self.tasks.clone())
    }

    pub(crate) fn has_inbox(&self) -> bool {
        self.receiver.has_inbox()
    }

    pub(crate) fn methods(&self) -> Vec<Method> {
        let methods = self.receiver.methods().into_iter();
        methods.filter_map(|name| Method::from_bytes(name.as_bytes()).ok()).collect()
    }
}

impl From<Receiver> for WebhookMiddleware {
    fn from(receiver: Receiver) -> Self {
        Self::new(receiver)
    }
}

impl<S, B> Transform<S, ServiceRequest> for WebhookMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = WebhookService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(WebhookService {
            inner: Rc::new(inner),
            middleware: Rc::new(self.clone()),
            settings: OnceCell::new(),
        }))
    }
}

/// The service that [`WebhookMiddleware`] makes.
pub struct WebhookService<S> {
    inner: Rc<S>,
    middleware: Rc<WebhookMiddleware>,
    /// The settings of actix-web's own extractors. They are the same for every request.
    settings: OnceCell<Rc<Extensions>>,
}

impl<S, B> Service<ServiceRequest> for WebhookService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    forward_ready!(inner);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let body = Chunks(request.take_payload());
        let (inner, middleware) = (Rc::clone(&self.inner), Rc::clone(&self.middleware));
        let limit = middleware.receiver.body_limit();
        let settings = Rc::clone(self.settings.get_or_init(|| with_limit(&request, limit)));
        Box::pin(async move {
            let received = {
                let (headers, uri) = (ActixHeaders(request.headers()), request.uri());
                let target = uri.path_and_query().map_or("/", |target| target.as_str());
                let mut head =
                    RequestHead::new(&headers).method(request.method().as_str()).target(target);
                if let Some(authority) = uri.authority() {
                    head = head.authority(authority.as_str());
                }
                middleware.receiver.receive(&head, body).await
            };
            let received = match received {
                Ok(received) => received,
                Err(rejection) => return Ok(middleware.refuse_request(request, rejection)),
            };
            if received.must_finish() {
                middleware.handle_to_the_end(received, request, settings, inner).await
            } else {
                let target = Target::of(&request);
                middleware.handle(received, request, &target, settings, inner).await
            }
        })
    }
}

impl WebhookMiddleware {
    /// Handles the delivery in the request's task. If a disconnect drops the request's future,
    /// moves the handling to its own task.
    fn handle_to_the_end<S, B>(
        self: Rc<Self>,
        received: Received,
        request: ServiceRequest,
        settings: Rc<Extensions>,
        inner: Rc<S>,
    ) -> impl Future<Output = Result<ServiceResponse<EitherBody<B>>, Error>>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
        B: MessageBody + 'static,
    {
        let target = Rc::new(Target::of(&request));
        let (middleware, of_handler) = (Rc::clone(&self), Rc::clone(&target));
        let handling =
            async move { middleware.handle(received, request, &of_handler, settings, inner).await };
        let (tasks, token) = (self.tasks.clone(), self.tasks.token());
        let span = Span::current();
        let handling = to_the_end(&self.receiver, handling, move |rest| {
            // Without a runtime, the handler is dropped, and its claim lasts until the lease
            // expires. In a runtime that is not actix-web's, `spawn_local` may panic.
            if Handle::try_current().is_ok() {
                let spawn = || drop(tasks.spawn_local(rest.instrument(span)));
                let _ = catch_unwind(AssertUnwindSafe(spawn));
            }
            drop(token);
        });
        let refuse = move |rejection| Ok(self.refuse_late(target.to_request(), rejection));
        async move { handling.await.unwrap_or_else(refuse) }
    }

    async fn handle<S, B>(
        &self,
        received: Received,
        mut request: ServiceRequest,
        target: &Target,
        settings: Rc<Extensions>,
        inner: Rc<S>,
    ) -> Result<ServiceResponse<EitherBody<B>>, Error>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
        B: MessageBody + 'static,
    {
        let admitted = match received.admit().await {
            Ok(Admission::Admitted(admitted)) => admitted,
            Ok(Admission::Answer(answer)) => {
                return Ok(request.into_response(HttpResponse::from(answer)).map_into_right_body());
            }
            Err(rejection) => return Ok(self.refuse_request(request, rejection)),
        };
        let delivery = admitted.delivery().clone();
        let recorder = admitted.recorder();
        let answered = Cell::new(None);
        // Boxed, because a future's contents are moved with it.
        let handler = Box::pin(async {
            // A panic in here counts as a panic of the handler.
            pass_on(&mut request, delivery, settings);
            let response = inner.call(request).await?;
            answered.set(Some(response.request().clone()));
            Ok(match recorder {
                Some(recorder) => record(response, recorder).await,
                None => response.map_into_left_body(),
            })
        });
        let status_of = |result: &Result<ServiceResponse<EitherBody<B>>, Error>| {
            Some(match result {
                Ok(response) => response.status().as_u16(),
                Err(error) => error.as_response_error().status_code().as_u16(),
            })
        };
        match admitted.handle(handler, status_of).await {
            Ok(response) => response,
            Err(rejection) => {
                let request = answered.take().unwrap_or_else(|| target.to_request());
                Ok(self.refuse_late(request, rejection))
            }
        }
    }

    fn refuse(&self, rejection: Rejection) -> HttpResponse {
        let default = || HttpResponse::from(rejection.answer());
        let render = self.render.as_deref();
        let mut response = self.receiver.render_rejection(&rejection, default, render);
        response.extensions_mut().insert(rejection);
        response
    }

    fn refuse_request<B>(
        &self,
        request: ServiceRequest,
        rejection: Rejection,
    ) -> ServiceResponse<EitherBody<B>> {
        request.into_response(self.refuse(rejection)).map_into_right_body()
    }

    /// Refuses a request that the handler has consumed.
    fn refuse_late<B>(
        &self,
        request: HttpRequest,
        rejection: Rejection,
    ) -> ServiceResponse<EitherBody<B>> {
        ServiceResponse::new(request, self.refuse(rejection)).map_into_right_body()
    }
}

/// Puts the verified delivery and its body into the request.
///
/// # Panics
///
/// Panics if the headers must change while another middleware holds a clone of the request.
fn pass_on(request: &mut ServiceRequest, delivery: Delivery, settings: Rc<Extensions>) {
    request.set_payload(Payload::from(delivery.body().clone()));
    // If another middleware holds a clone of the request, actix-web panics before it changes
    // anything, and offers no way to check for that first. The handler works without the settings.
    if catch_unwind(AssertUnwindSafe(|| request.add_data_container(settings))).is_err() {
        tracing::error!(
            target: "webhook_verify",
            path = request.path(),
            "an outer middleware holds a clone of the HttpRequest: the limits of PayloadConfig, \
             JsonConfig and FormConfig apply, and deliveries whose headers must change fail"
        );
    }
    if delivery.was_in_form() {
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
    }
    let was_decoded = delivery.scheme().signed_bytes().is_some()
        && request.headers().contains_key(header::CONTENT_ENCODING);
    if was_decoded || delivery.was_in_form() {
        // The handler gets the decoded body.
        let headers = request.headers_mut();
        headers.remove(header::CONTENT_ENCODING);
        if headers.contains_key(header::CONTENT_LENGTH) {
            headers.insert(header::CONTENT_LENGTH, delivery.body().len().into());
        }
    }
    request.extensions_mut().insert(delivery);
}

impl fmt::Debug for WebhookMiddleware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookMiddleware")
            .field("receiver", &self.receiver)
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for WebhookService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookService").finish_non_exhaustive()
    }
}

/// Waits for handlers that outlive their connections.
///
/// A handler with a claim runs to its end even if its connection is reset, unless its worker ends
/// first. A stopping server waits for connections only. So pause it, wait, and then stop it. Limit
/// the wait, because open connections may go on sending requests:
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn shut_down(server: actix_web::dev::ServerHandle, drain: webhook_verify_actix::Drain) {
/// server.pause().await;
/// let _ = tokio::time::timeout(Duration::from_secs(30), drain.wait()).await;
/// server.stop(true).await;
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
