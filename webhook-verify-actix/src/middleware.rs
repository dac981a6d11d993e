use std::{
    fmt,
    future::{Ready, ready},
    pin::Pin,
    rc::Rc,
    sync::Arc,
};

use actix_web::{
    Error, HttpMessage as _, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    error::InternalError,
    http::header::{self, HeaderValue},
};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use webhook_verify::{
    Receiver, Rejection, RequestHead,
    adapter::{Admission, Received},
};

use crate::{head::ActixHeaders, record::record, rejection::respond};

/// Lets only verified deliveries through to the service it wraps. With idempotency, each delivery
/// runs once.
///
/// Wrap each sender's resource in a middleware of its own:
///
/// ```
/// use actix_web::{App, web};
/// use webhook_verify_actix::WebhookMiddleware;
/// # use actix_web::HttpResponse;
/// # use webhook_verify_actix::{ConfigError, Receiver, Verifier, scheme};
/// # async fn on_github() -> HttpResponse { HttpResponse::NoContent().finish() }
/// # async fn on_stripe() -> HttpResponse { HttpResponse::NoContent().finish() }
/// # let receiver = |scheme| Verifier::new(scheme, "a secret").map(Receiver::new);
/// # let (github, stripe) = (receiver(scheme::GITHUB)?, receiver(scheme::STRIPE)?);
///
/// let app = App::new()
///     .service(
///         web::resource("/github")
///             .wrap(WebhookMiddleware::new(github))
///             .route(web::post().to(on_github)),
///     )
///     .service(
///         web::resource("/stripe")
///             .wrap(WebhookMiddleware::new(stripe))
///             .route(web::post().to(on_stripe)),
///     );
/// # Ok::<(), ConfigError>(())
/// ```
///
/// A resource's middleware sees every request for its path, whatever the method, and so answers a
/// sender's [challenges](webhook_verify::scheme::Challenge), some of which are `GET` or `HEAD`
/// requests. Do not wrap a single route, which sees only its own method. Do not wrap the whole
/// `App` either: every request would have to be a signed one.
///
/// Compressed bodies need no other middleware: the scheme defines
/// [which bytes are signed](webhook_verify::scheme::SignedBytes), the features `gzip`, `brotli` and
/// `zstd` decode them, and the handler gets the decoded body without `Content-Encoding`. A
/// middleware that decompresses bodies outside of this one removes the bytes that the sender signed,
/// unless it signs the decoded ones. One that rewrites paths belongs inside of this one, if the scheme signs the path or the path selects a
/// tenant.
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
    /// Build the receiver once, outside of the closure that `HttpServer` calls for each worker, and
    /// clone it inside.
    pub fn new(receiver: Receiver) -> Self {
        Self { receiver: receiver.or_timer(sleep), tasks: TaskTracker::new(), render: None }
    }

    /// Replaces the responses to refused requests. `render` gets the reason and the default
    /// response, and returns the response to send.
    ///
    /// Send the same text for every reason that has the same status: a client must not learn which
    /// check failed.
    pub fn with_rejection_response(
        self,
        render: impl Fn(&Rejection, HttpResponse) -> HttpResponse + Send + Sync + 'static,
    ) -> Self {
        Self { render: Some(Arc::new(render)), ..self }
    }

    /// Returns a handle with which a shutdown waits for handlers that outlive their connections.
    #[must_use]
    pub fn drain(&self) -> Drain {
        Drain(self.tasks.clone())
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
        ready(Ok(WebhookService { inner: Rc::new(inner), middleware: Rc::new(self.clone()) }))
    }
}

/// The service that [`WebhookMiddleware`] makes.
pub struct WebhookService<S> {
    inner: Rc<S>,
    middleware: Rc<WebhookMiddleware>,
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
        let body = request.take_payload();
        let (inner, middleware) = (Rc::clone(&self.inner), Rc::clone(&self.middleware));
        Box::pin(async move {
            let received = {
                let headers = ActixHeaders(request.headers());
                let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
                let method = request.method().as_str();
                let head = RequestHead::new(&headers).method(method).target(target);
                middleware.receiver.receive(&head, body).await
            };
            let received = match received {
                Ok(received) => received,
                Err(rejection) => return Ok(middleware.refuse_request(request, rejection)),
            };
            if received.must_finish() {
                middleware.handle_to_the_end(received, request, inner).await
            } else {
                middleware.handle(received, request, inner).await
            }
        })
    }
}

impl WebhookMiddleware {
    /// Handles the delivery in its own task, because a disconnect drops the request's future.
    fn handle_to_the_end<S, B>(
        self: Rc<Self>,
        received: Received,
        request: ServiceRequest,
        inner: Rc<S>,
    ) -> impl Future<Output = Result<ServiceResponse<EitherBody<B>>, Error>>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
        B: MessageBody + 'static,
    {
        let middleware = Rc::clone(&self);
        let handling = async move { middleware.handle(received, request, inner).await };
        let task = self.tasks.spawn_local(handling);
        let panicked = move |_| Err(self.refuse_late(Rejection::HandlerPanicked));
        async move { task.await.unwrap_or_else(panicked) }
    }

    async fn handle<S, B>(
        &self,
        received: Received,
        mut request: ServiceRequest,
        inner: Rc<S>,
    ) -> Result<ServiceResponse<EitherBody<B>>, Error>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
        B: MessageBody + 'static,
    {
        let admitted = match received.admit().await {
            Ok(Admission::Admitted(admitted)) => admitted,
            Ok(Admission::Answer(answer)) => {
                return Ok(request.into_response(respond(&answer)).map_into_right_body());
            }
            Err(rejection) => return Ok(self.refuse_request(request, rejection)),
        };
        let delivery = admitted.delivery().clone();
        let recorder = admitted.recorder();
        request.set_payload(Payload::from(delivery.body().clone()));
        if delivery.was_in_form() {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        if delivery.scheme().signed_bytes().is_some() || delivery.was_in_form() {
            // The handler gets the decoded body.
            let headers = request.headers_mut();
            headers.remove(header::CONTENT_ENCODING);
            if headers.contains_key(header::CONTENT_LENGTH) {
                headers.insert(header::CONTENT_LENGTH, delivery.body().len().into());
            }
        }
        request.extensions_mut().insert(delivery);
        // Boxed, because a future's contents are moved with it.
        let handler = Box::pin(async {
            let response = inner.call(request).await?;
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
            Err(rejection) => Err(self.refuse_late(rejection)),
        }
    }

    fn refuse(&self, rejection: Rejection) -> HttpResponse {
        let mut response = respond(&rejection.answer());
        if let Some(render) = &self.render {
            response = render(&rejection, response);
        }
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

    /// Returns a response after the handler consumed the request, as an error that renders itself.
    /// (A clone of the request that is kept makes actix's router panic.)
    fn refuse_late(&self, rejection: Rejection) -> Error {
        let text = rejection.public_message();
        InternalError::from_response(text, self.refuse(rejection)).into()
    }
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
/// first. A stopping server waits for connections only. So pause it, wait, and then stop it:
///
/// ```no_run
/// # async fn shut_down(server: actix_web::dev::ServerHandle, drain: webhook_verify_actix::Drain) {
/// server.pause().await;
/// drain.wait().await;
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
