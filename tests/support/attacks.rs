//! A receiver under attack, and requests that only an attacker sends.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use webhook_verify::{
    Delivery, Idempotency, Receiver, ReceiverBuilder, RequestHead, Scheme, Verifier, VerifyError,
    adapter::Headers, scheme::Identity,
};

use crate::{App, Connection, Framework, Response, Server, Watched, exchange};

/// The time on the receiver's clock.
pub const NOW: u64 = 1_795_305_600;

/// The secret of most schemes, whose bytes are the key.
pub const SECRET: &str = "5b0f6f6c1f2a-the-receivers-secret";

/// Returns [`NOW`] as text.
pub fn now() -> String {
    NOW.to_string()
}

/// Returns the secret in the form of Standard Webhooks.
pub fn whsec() -> String {
    format!("whsec_{}", base64(SECRET.as_bytes()))
}

/// Returns the HMAC-SHA256 from the `hmac` crate, with [`SECRET`].
pub fn mac(parts: &[&[u8]]) -> [u8; 32] {
    mac_with(SECRET.as_bytes(), parts)
}

/// Returns the HMAC-SHA256 from the `hmac` crate.
pub fn mac_with(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Encodes bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Encodes bytes.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Returns a verifier whose clock shows [`NOW`].
pub fn verifier(scheme: Scheme) -> Verifier {
    let secret = match scheme.name() {
        "standard-webhooks" => whsec(),
        _ => SECRET.to_owned(),
    };
    Verifier::builder(scheme).secret(secret).clock(|| Duration::from_secs(NOW)).build().unwrap()
}

/// A request. The values of its headers may be any bytes.
#[derive(Clone, Debug)]
#[must_use]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names and values, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// Returns a POST to `/hook`.
    pub fn new(headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        Self {
            method: "POST".to_owned(),
            target: "/hook".to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
                .collect(),
            body: body.as_ref().to_vec(),
        }
    }

    /// Signs the body in `X-Webhook-Signature: sha256=<hex>`.
    pub fn hex(body: impl AsRef<[u8]>) -> Self {
        let signature = format!("sha256={}", hex(&mac(&[body.as_ref()])));
        Self::new(&[("X-Webhook-Signature", &signature)], body)
    }

    /// Signs the body in `Webhook-Signature: <base64>`.
    pub fn base64(body: impl AsRef<[u8]>) -> Self {
        let signature = base64(&mac(&[body.as_ref()]));
        Self::new(&[("Webhook-Signature", &signature)], body)
    }

    /// Signs for Standard Webhooks. The ID and the timestamp may be any text.
    pub fn standard(id: &str, timestamp: &str, body: impl AsRef<[u8]>) -> Self {
        let content = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body.as_ref()];
        let signature = format!("v1,{}", base64(&mac(&content)));
        Self::new(
            &[
                ("webhook-id", id),
                ("webhook-timestamp", timestamp),
                ("webhook-signature", &signature),
            ],
            body,
        )
    }

    /// Signs for Slack. The timestamp may be any text.
    pub fn slack(timestamp: &str, body: impl AsRef<[u8]>) -> Self {
        let content = [b"v0:", timestamp.as_bytes(), b":", body.as_ref()];
        let signature = format!("v0={}", hex(&mac(&content)));
        Self::new(
            &[("x-slack-request-timestamp", timestamp), ("x-slack-signature", &signature)],
            body,
        )
    }

    /// Signs for Stripe. The timestamp may be any text.
    pub fn stripe(timestamp: &str, body: impl AsRef<[u8]>) -> Self {
        let signature = hex(&mac(&[timestamp.as_bytes(), b".", body.as_ref()]));
        let header = format!("t={timestamp},v1={signature}");
        Self::new(&[("stripe-signature", &header)], body)
    }

    /// Returns the value of a header.
    pub fn get(&self, name: &str) -> &str {
        let (_, value) = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .expect("the header is there");
        std::str::from_utf8(value).unwrap()
    }

    /// Replaces a header.
    pub fn with(&self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).and(name, value)
    }

    /// Adds a header at the end.
    pub fn and(&self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let mut request = self.clone();
        request.headers.push((name.to_owned(), value.as_ref().to_vec()));
        request
    }

    /// Removes a header.
    pub fn without(&self, name: &str) -> Self {
        let mut request = self.clone();
        request.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        request
    }

    /// Replaces the body, but not the signature.
    pub fn body(&self, body: impl AsRef<[u8]>) -> Self {
        Self { body: body.as_ref().to_vec(), ..self.clone() }
    }

    /// Replaces the method.
    pub fn method(&self, method: &str) -> Self {
        Self { method: method.to_owned(), ..self.clone() }
    }

    /// Replaces path and query.
    pub fn target(&self, target: &str) -> Self {
        Self { target: target.to_owned(), ..self.clone() }
    }

    /// Returns the bytes of HTTP/1.1, with a `Content-Length`.
    pub fn raw(&self) -> Vec<u8> {
        let mut raw = self.raw_head(&format!("Content-Length: {}\r\n", self.body.len()));
        raw.extend_from_slice(&self.body);
        raw
    }

    /// Returns the head of HTTP/1.1, with `framing` as its last header lines.
    pub fn raw_head(&self, framing: &str) -> Vec<u8> {
        let mut raw = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        if !self.headers.iter().any(|(name, _)| name == "Host") {
            raw.extend_from_slice(b"Host: receiver.example.test\r\n");
        }
        for (name, value) in &self.headers {
            raw.extend_from_slice(name.as_bytes());
            raw.extend_from_slice(b": ");
            raw.extend_from_slice(value);
            raw.extend_from_slice(b"\r\n");
        }
        raw.extend_from_slice(framing.as_bytes());
        raw.extend_from_slice(b"\r\n");
        raw
    }

    /// Verifies the request without a framework.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] if the request is not authentic.
    pub fn judge(&self, verifier: &Verifier) -> Result<Delivery, VerifyError> {
        let head = RequestHead::new(&self.headers as &dyn Headers)
            .method(&self.method)
            .target(&self.target);
        verifier.verify(head, self.body.clone())
    }
}

/// A receiver behind a socket, whose store counts its calls and whose handler returns 204.
pub struct Target {
    /// The receiver's framework.
    pub framework: Framework,
    /// The receiver's verifier.
    pub verifier: Verifier,
    /// The receiver.
    pub app: App,
    /// The receiver's store.
    pub store: Arc<Watched>,
    /// The server.
    pub server: Server,
    bodies: Arc<Mutex<Vec<Bytes>>>,
}

impl Target {
    /// Starts a receiver to which no request is a duplicate: each authentic one runs the handler.
    pub async fn start(framework: Framework, verifier: &Verifier) -> Self {
        Self::start_with(framework, verifier, |receiver| receiver).await
    }

    /// Does what [`start`](Self::start) does, with more settings.
    pub async fn start_with(
        framework: Framework,
        verifier: &Verifier,
        settings: impl FnOnce(ReceiverBuilder) -> ReceiverBuilder,
    ) -> Self {
        let serial = AtomicUsize::new(0);
        let unique =
            move |_: &Delivery| Some(serial.fetch_add(1, Ordering::SeqCst).to_be_bytes().to_vec());
        Self::assemble(framework, verifier, settings, |idempotency| {
            idempotency.identity_from(unique)
        })
        .await
    }

    /// Starts a receiver whose idempotency key is the body's digest.
    pub async fn deduplicating(framework: Framework, verifier: &Verifier) -> Self {
        let by_body = |idempotency: Idempotency| idempotency.identity(Identity::BodyDigest);
        Self::assemble(framework, verifier, |r| r, by_body).await
    }

    async fn assemble(
        framework: Framework,
        verifier: &Verifier,
        settings: impl FnOnce(ReceiverBuilder) -> ReceiverBuilder,
        identity: impl FnOnce(Idempotency) -> Idempotency,
    ) -> Self {
        let store = Watched::new();
        let idempotency = identity(Idempotency::new(Arc::clone(&store), "attacked"));
        let receiver = Receiver::builder(verifier.clone()).idempotency(idempotency);
        let bodies = Arc::<Mutex<Vec<Bytes>>>::default();
        let seen = Arc::clone(&bodies);
        let app = App::new(
            settings(receiver).build().unwrap(),
            Arc::new(move |delivery| {
                seen.lock().unwrap().push(delivery.body().clone());
                Box::pin(async { 204 })
            }),
        );
        let server = app.serve(framework).await;
        Self { framework, verifier: verifier.clone(), app, store, server, bodies }
    }

    /// Connects to the server.
    pub async fn connect(&self) -> Connection {
        Connection::open(self.server.addr).await
    }

    /// Sends bytes on a new connection.
    pub async fn send(&self, raw: &[u8]) -> Response {
        exchange(self.server.addr, raw).await
    }

    /// Checks that the verifier refuses a request for this reason, and that the adapter responds
    /// without a call of the handler or the store. The response does not tell the reason.
    pub async fn refuses(&self, what: &str, request: &Request, reason: VerifyError) {
        let verdict = request.judge(&self.verifier);
        assert_eq!(verdict.map(|_| "verified"), Err(reason), "{what}");
        self.refuses_raw(what, &request.raw()).await;
    }

    /// Does what [`refuses`](Self::refuses) does with bytes that only a server can parse.
    pub async fn refuses_raw(&self, what: &str, raw: &[u8]) {
        self.answers(what, raw, 401, "invalid webhook signature").await;
    }

    /// Checks the response, and that neither the handler nor the store was called.
    pub async fn answers(&self, what: &str, raw: &[u8], status: u16, text: &str) {
        let before = self.touched();
        let response = self.send(raw).await;
        self.is_refusal(what, &response, status, text);
        assert_eq!(self.touched(), before, "{what} on {:?}", self.framework);
    }

    /// Checks the response to a refused request.
    pub fn is_refusal(&self, what: &str, response: &Response, status: u16, text: &str) {
        assert_eq!(
            (response.status, response.text()),
            (status, text),
            "{what} on {:?}",
            self.framework
        );
        let challenge = (status == 401).then_some("Webhook");
        assert_eq!(response.header("www-authenticate"), challenge, "{what}");
    }

    /// Checks that the request is verified, and that its handler gets the body that was sent.
    pub async fn accepts(&self, what: &str, request: &Request) {
        let delivery = request.judge(&self.verifier).expect(what);
        assert_eq!(*delivery.body(), request.body, "{what}");
        self.accepts_raw(what, &request.raw(), &request.body).await;
    }

    /// Does what [`accepts`](Self::accepts) does with bytes that only a server can parse.
    pub async fn accepts_raw(&self, what: &str, raw: &[u8], body: &[u8]) {
        let (runs, calls) = self.touched();
        let response = self.send(raw).await;
        assert_eq!((response.status, response.text()), (204, ""), "{what} on {:?}", self.framework);
        // claimed and completed
        assert_eq!(self.touched(), (runs + 1, calls + 2), "{what}");
        let seen = self.bodies.lock().unwrap().last().cloned().unwrap();
        assert!(seen == body, "{what}: the handler saw another body");
    }

    /// Returns how often the handler and the store were called.
    pub fn touched(&self) -> (usize, usize) {
        (self.app.runs(), self.store.calls())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("framework", &self.framework).finish_non_exhaustive()
    }
}

/// Starts a receiver on each framework.
pub async fn both(verifier: Verifier) -> [Target; 2] {
    let [axum, actix] = [Framework::Axum, Framework::Actix];
    [Target::start(axum, &verifier).await, Target::start(actix, &verifier).await]
}
