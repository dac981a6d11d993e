use std::{
    fmt,
    future::{Ready, ready},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpMessage as _, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform},
    error::InternalError,
};
use tokio::time::sleep;
use webhook_verify::{Admission, Receiver, Rejection, RequestHead};

use crate::{head::ActixHeaders, rejection::respond};

/// Lets only verified deliveries through to what it wraps, each of them once if the receiver deduplicates.
///
/// Wrap the resource or scope that receives the webhooks, and not the whole app: every request to what is wrapped is
/// read and verified. A middleware that decompresses bodies must be inside of this one: a signature is over the bytes
/// as sent.
///
/// See the [crate's documentation](crate) for an example.
#[derive(Clone)]
#[must_use]
pub struct WebhookMiddleware {
    receiver: Receiver,
    render: Option<Arc<Render>>,
}

type Render = dyn Fn(&Rejection, HttpResponse) -> HttpResponse + Send + Sync;

impl WebhookMiddleware {
    /// A middleware that takes requests in with `receiver`.
    ///
    /// Make the receiver once, outside of the closure that `HttpServer` calls for each worker, and clone it in there.
    pub fn new(receiver: Receiver) -> Self {
        Self {
            receiver,
            render: None,
        }
    }

    /// Renders refusals. `render` is given the reason and the answer that would be sent, and returns the one that is.
    ///
    /// Whatever it says, say the same for every reason of one status: a client must not learn which check failed.
    pub fn with_rejection_response(
        self,
        render: impl Fn(&Rejection, HttpResponse) -> HttpResponse + Send + Sync + 'static,
    ) -> Self {
        Self {
            render: Some(Arc::new(render)),
            ..self
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
        }))
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

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let body = request.take_payload();
        let admission = {
            let headers = ActixHeaders(request.headers());
            let head = RequestHead::new(&headers)
                .method(request.method().as_str())
                .target(
                    request
                        .uri()
                        .path_and_query()
                        .map_or("/", |target| target.as_str()),
                );
            self.middleware.receiver.admit(&head, body, sleep)
        };
        let (inner, middleware) = (Rc::clone(&self.inner), Rc::clone(&self.middleware));
        Box::pin(async move {
            let admitted = match admission.await {
                Ok(Admission::Admitted(admitted)) => admitted,
                Ok(Admission::Answer(answer)) => {
                    return Ok(request
                        .into_response(respond(&answer))
                        .map_into_right_body());
                }
                Err(rejection) => {
                    return Ok(request
                        .into_response(middleware.refuse(rejection))
                        .map_into_right_body());
                }
            };
            let delivery = admitted.delivery().clone();
            request.set_payload(Payload::from(delivery.body().clone()));
            request.extensions_mut().insert(delivery);
            let outcome = admitted
                .run(async { inner.call(request).await }, sleep)
                .await;
            let response = match outcome {
                Ok(response) => response.map(ServiceResponse::map_into_left_body),
                // The request went with the handler (a copy kept back would upset actix's router), so this answer can
                // only be an error that renders itself.
                Err(rejection) => {
                    let text = rejection.public_message();
                    Err(InternalError::from_response(text, middleware.refuse(rejection)).into())
                }
            };
            let status = match &response {
                Ok(response) => response.status(),
                Err(error) => error.as_response_error().status_code(),
            };
            admitted.settle(Some(status.as_u16())).await;
            response
        })
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
