//! A tonic server with webhooks next to gRPC services, and a gRPC service behind the layer.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    task::{Context, Poll},
};

use bytes::{Buf as _, BufMut as _, Bytes};
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use integration_tests::{assert_replay, exchange, raw_request, soon};
use tokio::net::{TcpListener, TcpStream};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, NamedService, UnaryService},
    service::{LayerExt as _, Routes},
    transport::{Server, server::TcpIncoming},
};
use tower::Service;
use webhook_verify::{Delivery, testing::SignedRequest};
use webhook_verify_axum::{RouterExt as _, Verified, WebhookLayer};

use super::{deduplicating, signed};

/// A gRPC service as tonic generates it, which returns the message it gets.
#[derive(Clone, Copy)]
struct Echo<const SIGNED: bool>;

impl<const SIGNED: bool> NamedService for Echo<SIGNED> {
    const NAME: &'static str = if SIGNED { "test.Signed" } else { "test.Open" };
}

impl<const SIGNED: bool, B> Service<Request<B>> for Echo<SIGNED>
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = *self;
        Box::pin(async move { Ok(Grpc::new(Message).unary(service, request).await) })
    }
}

impl<const SIGNED: bool> UnaryService<Bytes> for Echo<SIGNED> {
    type Response = Bytes;
    type Future = Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let delivery = request.extensions().get::<Delivery>().map(|delivery| delivery.body());
        assert_eq!(delivery, SIGNED.then(|| framed(request.get_ref())).as_ref());
        ready(Ok(tonic::Response::new(request.into_inner())))
    }
}

/// Reads and writes messages without Protocol Buffers.
struct Message;

impl Codec for Message {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Message {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for Message {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Returns a message in a gRPC frame: not compressed, its length, the message.
fn framed(message: &[u8]) -> Bytes {
    let len = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &len[..], message].concat().into()
}

async fn serve() -> SocketAddr {
    let layer = || WebhookLayer::new(deduplicating());
    let services = Routes::new(Echo::<false>).add_service(layer().named_layer(Echo::<true>));
    let receive = async |Verified(delivery): Verified| delivery.body().clone();
    let router = services.into_axum_router().webhook("/hook", layer(), receive);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = Server::builder().accept_http1(true).add_routes(Routes::from(router));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    addr
}

/// Sends a request over HTTP/2. Returns the status, the headers and trailers, and the body.
async fn over_http2(
    addr: SocketAddr,
    path: &str,
    content_type: &str,
    request: &SignedRequest,
) -> (u16, HeaderMap, Bytes) {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut head = Request::post(format!("http://receiver.example.test{path}"))
        .header("content-type", content_type)
        .header("te", "trailers");
    for (name, value) in &request.headers {
        head = head.header(name, value);
    }
    let mut client = client.ready().await.unwrap();
    let (response, mut body) = client.send_request(head.body(()).unwrap(), false).unwrap();
    body.send_data(Bytes::clone(&request.body), true).unwrap();
    let (head, mut body) = soon("response", response).await.unwrap().into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        bytes.extend_from_slice(&data.unwrap());
    }
    let mut fields = head.headers;
    fields.extend(body.trailers().await.unwrap().unwrap_or_default());
    (head.status.as_u16(), fields, bytes.into())
}

fn forged(genuine: &SignedRequest) -> SignedRequest {
    let mut forged = genuine.clone();
    forged.body = framed(b"forged");
    forged
}

#[tokio::test]
async fn a_tonic_server_serves_webhooks_and_grpc() {
    let addr = serve().await;
    let hook = signed(r#"{"n":1}"#);
    let raw =
        |request: &SignedRequest| raw_request("POST", "/hook", &request.headers, &request.body);
    // Webhooks, over HTTP/1.1 and HTTP/2.
    assert_eq!(exchange(addr, &raw(&forged(&hook))).await.status, 401);
    let response = exchange(addr, &raw(&hook)).await;
    assert_eq!((response.status, response.text()), (200, r#"{"n":1}"#));
    assert_replay(&exchange(addr, &raw(&hook)).await, 200);
    let other = signed(r#"{"n":2}"#);
    let (status, _, body) = over_http2(addr, "/hook", "application/json", &other).await;
    assert_eq!((status, &*body), (200, &br#"{"n":2}"#[..]));
    let forged_hook = forged(&other);
    let (status, _, _) = over_http2(addr, "/hook", "application/json", &forged_hook).await;
    assert_eq!(status, 401);
    // A gRPC service without the layer.
    let mut call = signed(framed(b"a message"));
    call.headers.clear();
    let (status, fields, body) = grpc(addr, "/test.Open/Echo", &call).await;
    assert_eq!((status, &fields["grpc-status"], body), (200, &"0".parse().unwrap(), call.body));
}

#[tokio::test]
async fn the_layer_wraps_a_grpc_service() {
    let addr = serve().await;
    let call = signed(framed(b"a message"));
    let (status, fields, body) = grpc(addr, "/test.Signed/Echo", &forged(&call)).await;
    assert_eq!((status, &*body), (401, &b"invalid webhook signature"[..]));
    assert!(!fields.contains_key("grpc-status"));
    let (status, fields, body) = grpc(addr, "/test.Signed/Echo", &call).await;
    assert_eq!((status, &fields["grpc-status"], body), (200, &"0".parse().unwrap(), call.body));
}

async fn grpc(addr: SocketAddr, path: &str, request: &SignedRequest) -> (u16, HeaderMap, Bytes) {
    over_http2(addr, path, "application/grpc", request).await
}
