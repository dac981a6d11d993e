//! The same application on either framework, behind a socket or in process.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use actix_web::{
    App as ActixApp, HttpResponse, HttpServer,
    dev::{HttpServiceFactory, ServerHandle},
    test::TestRequest,
    web,
};
use axum::{Router, body::Body, routing};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;
use webhook_verify::{Delivery, Receiver, testing::SignedRequest};
use webhook_verify_actix::WebhookMiddleware;
use webhook_verify_axum::WebhookLayer;

use crate::{Response, client::exchange, raw_request};

/// A web framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framework {
    /// axum 0.8.
    Axum,
    /// actix-web 4.
    Actix,
}

/// How a request gets to an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Through a socket, by a real server.
    Socket,
    /// By a call.
    InProcess,
}

/// Handles a delivery and returns the status. It may panic.
pub type Handler = Arc<dyn Fn(Delivery) -> Pin<Box<dyn Future<Output = u16> + Send>> + Send + Sync>;

/// Returns a handler that returns at once.
pub fn answer(status: u16) -> Handler {
    Arc::new(move |_| Box::pin(async move { status }))
}

/// A handler's response.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: ReplyBody,
}

/// The body of a handler's response.
pub enum ReplyBody {
    /// A body of known length.
    Whole(Bytes),
    /// A body of unknown length, in pieces, which may fail.
    Pieces(BoxStream<'static, io::Result<Bytes>>),
}

impl From<u16> for Reply {
    fn from(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: ReplyBody::Whole(Bytes::new()) }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).finish_non_exhaustive()
    }
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplyBody(..)")
    }
}

impl Reply {
    fn for_axum(self) -> axum::response::Response {
        let mut response = http::Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        let body = match self.body {
            ReplyBody::Whole(bytes) => Body::from(bytes),
            ReplyBody::Pieces(pieces) => Body::from_stream(pieces),
        };
        response.body(body).unwrap()
    }

    fn for_actix(self) -> HttpResponse {
        let status = actix_web::http::StatusCode::from_u16(self.status).unwrap();
        let mut response = HttpResponse::build(status);
        for header in self.headers {
            response.insert_header(header);
        }
        match self.body {
            ReplyBody::Whole(bytes) if bytes.is_empty() => response.finish(),
            ReplyBody::Whole(bytes) => response.body(bytes),
            ReplyBody::Pieces(pieces) => response.streaming(pieces),
        }
    }
}

/// Handles a delivery and returns the response.
type Responder = Arc<dyn Fn(Delivery) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync>;

/// A receiver and its handler. Counts how often the handler was started.
#[derive(Clone)]
pub struct App {
    receiver: Receiver,
    handler: Responder,
    runs: Arc<AtomicUsize>,
}

impl App {
    /// Returns an application.
    pub fn new(receiver: Receiver, handler: Handler) -> Self {
        Self::replying(receiver, move |delivery| {
            let status = handler(delivery);
            async move { Reply::from(status.await) }
        })
    }

    /// Returns an application whose handler returns whole responses.
    pub fn replying<F: Future<Output = Reply> + Send + 'static>(
        receiver: Receiver,
        handler: impl Fn(Delivery) -> F + Send + Sync + 'static,
    ) -> Self {
        let handler: Responder = Arc::new(move |delivery| Box::pin(handler(delivery)));
        Self { receiver, handler, runs: Arc::default() }
    }

    /// Returns how often the handler was started.
    pub fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    async fn handle(self, delivery: Delivery) -> Reply {
        self.runs.fetch_add(1, Ordering::SeqCst);
        (self.handler)(delivery).await
    }

    /// Returns a router that takes GET and POST on any path, and the layer's drain.
    pub fn axum(&self) -> (Router, webhook_verify_axum::Drain) {
        let layer = WebhookLayer::new(self.receiver.clone());
        let drain = layer.drain();
        let app = self.clone();
        let handler =
            move |webhook_verify_axum::Verified(delivery): webhook_verify_axum::Verified| async move {
                app.handle(delivery).await.for_axum()
            };
        let methods = routing::get(handler.clone()).post(handler).route_layer(layer);
        (Router::new().route("/", methods.clone()).route("/{*path}", methods), drain)
    }

    /// Returns the same routes as an actix resource.
    pub fn actix(&self) -> impl HttpServiceFactory + use<> {
        let app = self.clone();
        let handler =
            move |webhook_verify_actix::Verified(delivery): webhook_verify_actix::Verified| {
                let app = app.clone();
                async move { app.handle(delivery).await.for_actix() }
            };
        web::resource("/{path:.*}")
            .wrap(WebhookMiddleware::new(self.receiver.clone()))
            .route(web::get().to(handler.clone()))
            .route(web::post().to(handler))
    }

    /// Serves on a free port.
    pub async fn serve(&self, framework: Framework) -> Server {
        self.serve_with(framework, 2).await
    }

    async fn serve_with(&self, framework: Framework, actix_workers: usize) -> Server {
        match framework {
            Framework::Axum => {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let addr = listener.local_addr().unwrap();
                let (router, drain) = self.axum();
                let task =
                    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
                Server { addr, stop: Stop::Axum(task), drain: Some(drain) }
            }
            Framework::Actix => {
                let (sender, receiver) = mpsc::channel();
                let app = self.clone();
                thread::spawn(move || {
                    actix_web::rt::System::new().block_on(async move {
                        let server = HttpServer::new(move || ActixApp::new().service(app.actix()))
                            .workers(actix_workers)
                            .disable_signals()
                            .bind("127.0.0.1:0")
                            .unwrap();
                        let addr = server.addrs()[0];
                        let server = server.run();
                        sender.send((addr, server.handle())).unwrap();
                        server.await.unwrap();
                    });
                });
                let (addr, handle) = receiver.recv().unwrap();
                Server { addr, stop: Stop::Actix(handle), drain: None }
            }
        }
    }

    /// Sends one request, and starts a server for it if necessary.
    pub async fn send(
        &self,
        framework: Framework,
        transport: Transport,
        method: &str,
        target: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Response {
        match (transport, framework) {
            (Transport::Socket, _) => {
                let server = self.serve_with(framework, 1).await;
                exchange(server.addr, &raw_request(method, target, headers, body)).await
            }
            (Transport::InProcess, Framework::Axum) => {
                let mut request = http::Request::builder().method(method).uri(target);
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                call_axum(self.axum().0, request.body(Body::from(body.to_vec())).unwrap()).await
            }
            (Transport::InProcess, Framework::Actix) => {
                let (app, method, target) = (self.clone(), method.to_owned(), target.to_owned());
                let (headers, body) = (headers.to_vec(), body.to_vec());
                // actix's services and requests stay on their thread.
                let call = move || {
                    let method = actix_web::http::Method::from_bytes(method.as_bytes()).unwrap();
                    let mut request = TestRequest::with_uri(&target).method(method);
                    for (name, value) in &headers {
                        request = request.append_header((name.as_str(), value.as_str()));
                    }
                    let configure = |config: &mut web::ServiceConfig| {
                        config.service(app.actix());
                    };
                    let request = request.set_payload(body);
                    actix_web::rt::System::new().block_on(call_actix(configure, request))
                };
                tokio::task::spawn_blocking(call).await.unwrap()
            }
        }
    }
}

/// Returns the request for axum, with its body in two pieces.
pub fn to_axum(target: &str, request: &SignedRequest) -> http::Request<Body> {
    let mut builder = http::Request::post(target);
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    let (start, end) = request.body.split_at(request.body.len() / 2);
    let pieces = [start.to_vec(), end.to_vec()].map(Ok::<_, std::convert::Infallible>);
    builder.body(Body::from_stream(futures_util::stream::iter(pieces))).unwrap()
}

/// Returns the request for actix-web.
pub fn to_actix(target: &str, request: &SignedRequest) -> TestRequest {
    request.headers.iter().fold(
        TestRequest::post().uri(target).set_payload(request.body.clone()),
        |builder, (name, value)| builder.append_header((name.as_str(), value.as_str())),
    )
}

/// Sends a request to a router, in process.
pub async fn call_axum(router: Router, request: http::Request<Body>) -> Response {
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let headers = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    Response {
        status: parts.status.as_u16(),
        headers: pairs(headers),
        body: axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec(),
    }
}

/// Sends a request to an actix application with these services, in process.
pub async fn call_actix(
    configure: impl FnOnce(&mut web::ServiceConfig),
    request: TestRequest,
) -> Response {
    let app = actix_web::test::init_service(ActixApp::new().configure(configure)).await;
    let response = actix_web::test::try_call_service(&app, request.to_request()).await;
    // A server renders an error of the outermost service like this.
    let response = match response {
        Ok(response) => response.map_into_boxed_body().into_parts().1,
        Err(error) => error.error_response(),
    };
    let headers = response.headers().iter();
    let headers = pairs(headers.map(|(name, value)| (name.as_str(), value.as_bytes())));
    let status = response.status().as_u16();
    let body = actix_web::body::to_bytes(response.into_body()).await.unwrap_or_default();
    Response { status, headers, body: body.to_vec() }
}

fn pairs<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<(String, String)> {
    headers
        .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()))
        .collect()
}

/// A running server. It stops when dropped.
pub struct Server {
    /// The server's address.
    pub addr: SocketAddr,
    /// Waits for axum's handlers.
    pub drain: Option<webhook_verify_axum::Drain>,
    stop: Stop,
}

enum Stop {
    Axum(JoinHandle<()>),
    Actix(ServerHandle),
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("runs", &self.runs()).finish_non_exhaustive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        match &self.stop {
            Stop::Axum(task) => task.abort(),
            Stop::Actix(handle) => drop(handle.stop(false)),
        }
    }
}

/// Runs a test on each framework, and reports which one failed.
pub async fn each_framework<F: Future<Output = ()>>(test: impl Fn(Framework) -> F) {
    for framework in [Framework::Axum, Framework::Actix] {
        eprintln!("on {framework:?}");
        test(framework).await;
    }
}
