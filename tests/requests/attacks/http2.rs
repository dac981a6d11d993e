//! HTTP/2 in clear text with prior knowledge, as `axum::serve` speaks it. actix-web has it behind a
//! feature that is off here: its server takes the preface for a bad request.

use std::io;

use bytes::Bytes;
use integration_tests::{Framework, Response, soon};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use webhook_verify::scheme;

use integration_tests::attacks::{Request, Target, verifier};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

async fn start() -> Target {
    Target::start(Framework::Axum, &verifier(scheme::GENERIC_HEX)).await
}

/// A client that keeps to the rules.
async fn client(target: &Target) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(target.server.addr).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

fn head(request: &Request) -> http::Request<()> {
    let mut head = http::Request::post("http://receiver.example.test/hook");
    for (name, value) in &request.headers {
        head = head.header(name.to_lowercase(), value.as_slice());
    }
    head.body(()).unwrap()
}

async fn send(client: &h2::client::SendRequest<Bytes>, request: &Request) -> Response {
    let mut client = client.clone().ready().await.unwrap();
    let (response, mut body) = client.send_request(head(request), false).unwrap();
    // A refusal may come before the body is taken.
    let _ = body.send_data(Bytes::from(request.body.clone()), true);
    let (head, mut body) = response.await.unwrap().into_parts();
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        text.extend_from_slice(&data.unwrap());
    }
    Response {
        status: head.status.as_u16(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect(),
        body: text,
    }
}

/// A client that does not.
struct Raw(TcpStream);

impl Raw {
    async fn connect(target: &Target) -> Self {
        let mut stream = TcpStream::connect(target.server.addr).await.unwrap();
        stream.write_all(PREFACE).await.unwrap();
        let mut raw = Self(stream);
        raw.frame(SETTINGS, 0, 0, b"").await.unwrap();
        raw
    }

    async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![len[1], len[2], len[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.0.write_all(&frame).await
    }

    /// Reads until a frame of one of these kinds, or the connection's end.
    async fn wait_for(&mut self, kinds: &[u8]) -> Option<u8> {
        loop {
            let mut head = [0; 9];
            soon("frame from the server", self.0.read_exact(&mut head)).await.ok()?;
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; len as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            if kinds.contains(&head[3]) {
                return Some(head[3]);
            }
        }
    }
}

/// Header fields as HPACK literals, without compression.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            assert!(text.len() < 127);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

const PSEUDO: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "receiver.example.test"),
    (":path", "/hook"),
];

#[tokio::test]
async fn a36_http2_requests_are_judged_like_any_other() {
    let target = start().await;
    let client = client(&target).await;
    let good = Request::hex("{}");
    for _ in 0..3 {
        assert_eq!(send(&client, &good).await.status, 204);
    }
    assert_eq!(target.touched(), (3, 6));
    let signature = good.get("X-Webhook-Signature").to_owned();
    for bad in [
        good.without("X-Webhook-Signature"),
        good.body("[]"),
        good.and("x-webhook-signature", &signature),
    ] {
        let response = send(&client, &bad).await;
        target.is_refusal("over HTTP/2", &response, 401, "invalid webhook signature");
    }
    let long = Request::hex(vec![b'x'; (1 << 20) + 1]);
    let long = long.with("content-length", long.body.len().to_string());
    let response = send(&client, &long).await;
    target.is_refusal("over HTTP/2", &response, 413, "body too large");
    let zipped = good.and("content-encoding", "gzip");
    let response = send(&client, &zipped).await;
    target.is_refusal("over HTTP/2", &response, 415, "unsupported content encoding");
    assert_eq!(target.touched(), (3, 6));
}

#[tokio::test]
async fn a36_the_head_is_judged_before_the_body_over_http2_too() {
    let target = start().await;
    let mut client = client(&target).await;
    let (response, _body) = client.send_request(head(&Request::new(&[], "")), false).unwrap();
    assert_eq!(response.await.unwrap().status(), 401);
    assert_eq!(target.touched(), (0, 0));
}

#[tokio::test]
async fn a36_upper_case_names_are_a_protocol_error() {
    let target = start().await;
    let good = Request::hex("{}");
    let signature = good.get("X-Webhook-Signature");
    for (name, answer) in [("X-Webhook-Signature", RST_STREAM), ("x-webhook-signature", HEADERS)] {
        let mut raw = Raw::connect(&target).await;
        let block = fields(&[&PSEUDO[..], &[(name, signature)]].concat());
        raw.frame(HEADERS, END_HEADERS, 1, &block).await.unwrap();
        let _ = raw.frame(DATA, END_STREAM, 1, b"{}").await;
        let got = raw.wait_for(&[HEADERS, RST_STREAM, GOAWAY]).await;
        assert!(
            got == Some(answer) || (got == Some(GOAWAY) && answer == RST_STREAM),
            "{name}: {got:?}"
        );
    }
    // the second, which shows that the frames are right
    assert_eq!(target.touched(), (1, 2));
}

#[tokio::test]
async fn a36_a_flood_of_continuations_is_cut_off() {
    let target = start().await;
    let mut raw = Raw::connect(&target).await;
    raw.frame(HEADERS, 0, 1, &fields(&PSEUDO)).await.unwrap();
    let filler = "x".repeat(120);
    let block = fields(&[("x-filler", filler.as_str()); 100]);
    let mut sent = 0;
    while raw.frame(CONTINUATION, 0, 1, &block).await.is_ok() {
        sent += block.len();
        assert!(sent < 1 << 26, "the server reads on after {sent} bytes");
        if sent % (block.len() * 64) == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(target.touched(), (0, 0));
    let client = client(&target).await;
    assert_eq!(send(&client, &Request::hex("{}")).await.status, 204);
}

#[tokio::test]
async fn a36_rapid_resets_are_cut_off() {
    let target = start().await;
    let mut raw = Raw::connect(&target).await;
    let block = fields(&PSEUDO);
    let mut opened = 0;
    for stream in (1..).step_by(2) {
        let opening = raw.frame(HEADERS, END_HEADERS, stream, &block).await;
        let reset = raw.frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await;
        if opening.and(reset).is_err() {
            break;
        }
        opened += 1;
        assert!(opened < 100_000, "the server takes {opened} resets");
    }
    assert_eq!(target.touched(), (0, 0));
    let client = client(&target).await;
    assert_eq!(send(&client, &Request::hex("{}")).await.status, 204);
}

#[tokio::test]
async fn a36_a_stream_that_is_reset_in_its_body_leaves_nothing_behind() {
    let target = start().await;
    let stream = TcpStream::connect(target.server.addr).await.unwrap();
    let (client, mut connection) = h2::client::handshake(stream).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    tokio::spawn(connection);
    let good = Request::hex("x".repeat(1_000));
    for _ in 0..10 {
        let mut client = client.clone().ready().await.unwrap();
        let (_response, mut body) = client.send_request(head(&good), false).unwrap();
        body.send_data(Bytes::from(vec![b'x'; 500]), false).unwrap();
        // The server has read what came before a ping that it has answered.
        let pong = pings.ping(h2::Ping::opaque());
        soon("response to a ping", pong).await.unwrap();
        body.send_reset(h2::Reason::CANCEL);
    }
    assert_eq!(send(&client, &good).await.status, 204);
    assert_eq!(target.touched(), (1, 2));
}

#[tokio::test]
async fn a36_actix_without_http2_refuses_the_preface() {
    let target = Target::start(Framework::Actix, &verifier(scheme::GENERIC_HEX)).await;
    target.answers("the preface", PREFACE, 400, "").await;
}
