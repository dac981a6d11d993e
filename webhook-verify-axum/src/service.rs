use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum_core::{
    BoxError,
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{Request, request::Parts};
use tokio::time::sleep;
use tower_service::Service;
use tracing::Instrument as _;
use webhook_verify::{Admission, Received, Rejection, RequestHead};

use crate::{layer::Shared, rejection::respond};

/// The service that [`WebhookLayer`](crate::WebhookLayer) makes.
#[derive(Clone)]
pub struct WebhookService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> WebhookService<S> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S, B> Service<Request<B>> for WebhookService<S>
where
    S: Service<Request<Body>, Response: IntoResponse, Error: Send, Future: Send>
        + Clone
        + Send
        + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response;
    /// The inner service's own: refusals are responses.
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let body = Body::new(body).into_data_stream();
        let receiving = self.shared.receiver.receive(&RequestHead::from(&parts), body, sleep);
        // Boxed, like the handler below: what futures hold is moved about with them, and small allocations are cheaper
        // than large ones.
        let parts = Box::new(parts);
        let shared = Arc::clone(&self.shared);
        // The service that was polled ready is the one to call; its clone need not be.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let received = match receiving.await {
                Ok(received) => received,
                Err(rejection) => return Ok(shared.refuse(rejection)),
            };
            match received.must_finish() {
                true => shared.handle_to_the_end(received, parts, inner).await,
                false => shared.handle(received, parts, inner).await,
            }
        })
    }
}

impl Shared {
    /// Handles in a task of its own: a client that goes away drops the future of its request, and what has begun goes on.
    fn handle_to_the_end<S>(
        self: Arc<Self>,
        received: Received,
        parts: Box<Parts>,
        inner: S,
    ) -> impl Future<Output = Result<Response, S::Error>>
    where
        S: Service<Request<Body>, Response: IntoResponse, Error: Send, Future: Send>
            + Send
            + 'static,
    {
        let shared = Arc::clone(&self);
        let handling = async move { shared.handle(received, parts, inner).await };
        let task = self.tasks.spawn(handling.in_current_span());
        async move { task.await.unwrap_or_else(|_| Ok(self.refuse(Rejection::HandlerPanicked))) }
    }

    async fn handle<S>(
        &self,
        received: Received,
        mut parts: Box<Parts>,
        mut inner: S,
    ) -> Result<Response, S::Error>
    where
        S: Service<Request<Body>, Response: IntoResponse>,
    {
        let admitted = match received.admit(sleep).await {
            Ok(Admission::Admitted(admitted)) => admitted,
            Ok(Admission::Answer(answer)) => return Ok(respond(&answer)),
            Err(rejection) => return Ok(self.refuse(rejection)),
        };
        let delivery = admitted.delivery().clone();
        let body = Body::from(delivery.body().clone());
        parts.extensions.insert(delivery);
        let handler = Box::pin(async move {
            let request = Request::from_parts(*parts, body);
            inner.call(request).await.map(IntoResponse::into_response)
        });
        match admitted.run(handler, sleep).await {
            Ok(response) => {
                let status = response.as_ref().ok().map(|response| response.status().as_u16());
                match admitted.settle(status, sleep).await {
                    Ok(()) => response,
                    Err(rejection) => Ok(self.refuse(rejection)),
                }
            }
            Err(rejection) => {
                // What panicked has not succeeded, so there is nothing to answer in its stead.
                let _ = admitted.settle(None, sleep).await;
                Ok(self.refuse(rejection))
            }
        }
    }

    fn refuse(&self, rejection: Rejection) -> Response {
        let mut response = respond(&rejection.answer());
        if let Some(render) = &self.render {
            response = render(&rejection, response);
        }
        response.extensions_mut().insert(rejection);
        response
    }
}

impl<S: fmt::Debug> fmt::Debug for WebhookService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
