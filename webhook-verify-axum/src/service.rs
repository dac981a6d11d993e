use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::extract::OriginalUri;
use axum_core::{
    BoxError,
    body::Body,
    extract::DefaultBodyLimit,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, Request, header, request::Parts};
use tokio::runtime::Handle;
use tower_service::Service;
use tracing::{Instrument as _, Span};
use webhook_verify::{
    Rejection, RequestHead,
    adapter::{Admission, Received, to_the_end},
};

use crate::{body::Chunks, layer::Shared, record::record};

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
    /// The inner service's error. Refusals are responses.
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    /// Always returns ready. The layer waits for the inner service after it has verified a request,
    /// so unverified requests take no slot of a concurrency limit.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let body = Chunks::new(body);
        // Boxed, like the handler below, because a future's contents are moved with it.
        let parts = Box::new(parts);
        let shared = Arc::clone(&self.shared);
        let inner = self.inner.clone();
        Box::pin(async move {
            let received = match shared.receiver.receive(&head_of(&parts), body).await {
                Ok(received) => received,
                Err(rejection) => return Ok(shared.refuse(rejection)),
            };
            if received.must_finish() {
                shared.handle_to_the_end(received, parts, inner).await
            } else {
                shared.handle(received, parts, inner).await
            }
        })
    }
}

/// Returns the head with the target as the client sent it. `Router::nest` shortens the path.
fn head_of(parts: &Parts) -> RequestHead<'_> {
    let head = RequestHead::from(parts);
    match parts.extensions.get::<OriginalUri>().and_then(|uri| uri.0.path_and_query()) {
        Some(target) => head.target(target.as_str()),
        None => head,
    }
}

impl Shared {
    /// Handles the delivery in the request's task. If a disconnect drops the request's future,
    /// moves the handling to its own task.
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
        let (tasks, token) = (self.tasks.clone(), self.tasks.token());
        let span = Span::current();
        let handling = to_the_end(&self.receiver, handling, move |rest| {
            // Without a runtime, the handler is dropped, and its claim lasts until the lease
            // expires.
            if let Ok(runtime) = Handle::try_current() {
                tasks.spawn_on(rest.instrument(span), &runtime);
            }
            drop(token);
        });
        async move { handling.await.unwrap_or_else(|rejection| Ok(self.refuse(rejection))) }
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
        let admitted = match received.admit().await {
            Ok(Admission::Admitted(admitted)) => admitted,
            Ok(Admission::Answer(answer)) => return Ok(answer.into_response()),
            Err(rejection) => return Ok(self.refuse(rejection)),
        };
        let delivery = admitted.delivery().clone();
        let recorder = admitted.recorder();
        let body = Body::from(delivery.body().clone());
        if delivery.was_in_form() {
            let json = HeaderValue::from_static("application/json");
            parts.headers.insert(header::CONTENT_TYPE, json);
        }
        if delivery.scheme().signed_bytes().is_some() || delivery.was_in_form() {
            // The handler gets the decoded body.
            parts.headers.remove(header::CONTENT_ENCODING);
            if let Some(len) = parts.headers.get_mut(header::CONTENT_LENGTH) {
                *len = delivery.body().len().into();
            }
        }
        parts.extensions.insert(delivery);
        let mut request = Request::from_parts(*parts, body);
        // axum's own extractors must accept every body that the receiver accepted.
        DefaultBodyLimit::max(self.receiver.body_limit()).apply(&mut request);
        let handler = Box::pin(async move {
            poll_fn(|cx| inner.poll_ready(cx)).await?;
            let response = inner.call(request).await?.into_response();
            Ok(match recorder {
                Some(recorder) => record(response, recorder).await,
                None => response,
            })
        });
        // An error of the inner service becomes a response outside of this one.
        let status_of =
            |result: &Result<Response, _>| Some(result.as_ref().ok()?.status().as_u16());
        match admitted.handle(handler, status_of).await {
            Ok(response) => response,
            Err(rejection) => Ok(self.refuse(rejection)),
        }
    }

    fn refuse(&self, rejection: Rejection) -> Response {
        let default = || rejection.answer().into_response();
        let render = self.render.as_deref();
        let mut response = self.receiver.render_rejection(&rejection, default, render);
        response.extensions_mut().insert(rejection);
        response
    }
}

impl<S: fmt::Debug> fmt::Debug for WebhookService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
