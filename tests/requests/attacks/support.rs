//! A receiver under attack, and requests that no honest sender makes.

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
use integration_tests::{App, Connection, Framework, Response, Server, Watched, exchange};
use sha2::Sha256;
use webhook_verify::{
    Delivery, Idempotency, Receiver, ReceiverBuilder, RequestHead, Scheme, Verifier, VerifyError,
    adapter::Headers,
};

/// What the receiver's clock shows.
pub(crate) const NOW: u64 = 1_795_305_600;

/// A secret that is used as it is.
pub(crate) const SECRET: &str = "5b0f6f6c1f2a-the-receivers-secret";

/// The same, as Standard Webhooks writes it.
pub(crate) fn whsec() -> String {
    format!("whsec_{}", base64(SECRET.as_bytes()))
}

/// HMAC-SHA256 by the library, not by the code under test.
pub(crate) fn mac(parts: &[&[u8]]) -> [u8; 32] {
    mac_with(SECRET.as_bytes(), parts)
}

pub(crate) fn mac_with(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A verifier whose clock stands still.
pub(crate) fn verifier(scheme: Scheme) -> Verifier {
    let secret = match scheme.name() {
        "standard-webhooks" => whsec(),
        _ => SECRET.to_owned(),
    };
    Verifier::builder(scheme).secret(secret).clock(|| Duration::from_secs(NOW)).build().unwrap()
}

/// A request, whose header values need not be text.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
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

    /// `X-Webhook-Signature: sha256=<hex>` over the body.
    pub(crate) fn hex(body: impl AsRef<[u8]>) -> Self {
        let signature = format!("sha256={}", hex(&mac(&[body.as_ref()])));
        Self::new(&[("X-Webhook-Signature", &signature)], body)
    }

    /// `Webhook-Signature: <base64>` over the body.
    pub(crate) fn base64(body: impl AsRef<[u8]>) -> Self {
        let signature = base64(&mac(&[body.as_ref()]));
        Self::new(&[("Webhook-Signature", &signature)], body)
    }

    /// Standard Webhooks, signed for whatever texts these are.
    pub(crate) fn standard(id: &str, timestamp: &str, body: impl AsRef<[u8]>) -> Self {
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

    /// Slack, signed for whatever timestamp this is.
    pub(crate) fn slack(timestamp: &str, body: impl AsRef<[u8]>) -> Self {
        let content = [b"v0:", timestamp.as_bytes(), b":", body.as_ref()];
        let signature = format!("v0={}", hex(&mac(&content)));
        Self::new(
            &[("x-slack-request-timestamp", timestamp), ("x-slack-signature", &signature)],
            body,
        )
    }

    /// Stripe, signed for whatever timestamp this is.
    pub(crate) fn stripe(timestamp: &str, body: impl AsRef<[u8]>) -> Self {
        let signature = hex(&mac(&[timestamp.as_bytes(), b".", body.as_ref()]));
        let header = format!("t={timestamp},v1={signature}");
        Self::new(&[("stripe-signature", &header)], body)
    }

    /// The value of a header, as text.
    pub(crate) fn get(&self, name: &str) -> &str {
        let (_, value) = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .expect("the header is there");
        std::str::from_utf8(value).unwrap()
    }

    /// With this header, in the place of any that was there.
    pub(crate) fn with(&self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).and(name, value)
    }

    /// With this header line, after those that are there.
    pub(crate) fn and(&self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let mut request = self.clone();
        request.headers.push((name.to_owned(), value.as_ref().to_vec()));
        request
    }

    pub(crate) fn without(&self, name: &str) -> Self {
        let mut request = self.clone();
        request.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        request
    }

    pub(crate) fn body(&self, body: impl AsRef<[u8]>) -> Self {
        Self { body: body.as_ref().to_vec(), ..self.clone() }
    }

    pub(crate) fn method(&self, method: &str) -> Self {
        Self { method: method.to_owned(), ..self.clone() }
    }

    pub(crate) fn target(&self, target: &str) -> Self {
        Self { target: target.to_owned(), ..self.clone() }
    }

    /// As HTTP/1.1, with a `Content-Length`.
    pub(crate) fn raw(&self) -> Vec<u8> {
        let mut raw = self.raw_head(&format!("Content-Length: {}\r\n", self.body.len()));
        raw.extend_from_slice(&self.body);
        raw
    }

    /// The head as HTTP/1.1, with `framing` as its last header lines.
    pub(crate) fn raw_head(&self, framing: &str) -> Vec<u8> {
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

    /// What the plain function says.
    pub(crate) fn judge(&self, verifier: &Verifier) -> Result<Delivery, VerifyError> {
        let head = RequestHead::new(&self.headers as &dyn Headers)
            .method(&self.method)
            .target(&self.target);
        verifier.verify(head, self.body.clone())
    }
}

/// A receiver behind a socket, with a store that counts and a handler that answers 204.
pub(crate) struct Target {
    pub(crate) framework: Framework,
    pub(crate) verifier: Verifier,
    pub(crate) app: App,
    pub(crate) store: Arc<Watched>,
    pub(crate) server: Server,
    bodies: Arc<Mutex<Vec<Bytes>>>,
}

impl Target {
    /// Every verified request is a delivery of its own: a good one runs the handler however often it comes.
    pub(crate) async fn start(framework: Framework, verifier: &Verifier) -> Self {
        Self::start_with(framework, verifier, |receiver| receiver).await
    }

    pub(crate) async fn start_with(
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

    /// Deliveries are recognised by what the scheme says.
    pub(crate) async fn deduplicating(framework: Framework, verifier: &Verifier) -> Self {
        Self::assemble(framework, verifier, |r| r, |idempotency| idempotency).await
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

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.server.addr).await
    }

    pub(crate) async fn send(&self, raw: &[u8]) -> Response {
        exchange(self.server.addr, raw).await
    }

    /// The request is refused by the plain function for this very reason, and by the adapter with the one answer that
    /// all such requests get; neither handler nor store hears of it.
    pub(crate) async fn refuses(&self, what: &str, request: &Request, reason: VerifyError) {
        let verdict = request.judge(&self.verifier);
        assert_eq!(verdict.map(|_| "verified"), Err(reason), "{what}");
        self.refuses_raw(what, &request.raw()).await;
    }

    /// The same, for bytes that only a server can read.
    pub(crate) async fn refuses_raw(&self, what: &str, raw: &[u8]) {
        self.answers(what, raw, 401, "invalid webhook signature").await;
    }

    /// The server answers this, and neither handler nor store hears of it.
    pub(crate) async fn answers(&self, what: &str, raw: &[u8], status: u16, text: &str) {
        let before = self.touched();
        let response = self.send(raw).await;
        self.is_refusal(what, &response, status, text);
        assert_eq!(self.touched(), before, "{what} on {:?}", self.framework);
    }

    pub(crate) fn is_refusal(&self, what: &str, response: &Response, status: u16, text: &str) {
        assert_eq!(
            (response.status, response.text()),
            (status, text),
            "{what} on {:?}",
            self.framework
        );
        let challenge = (status == 401).then_some("Webhook");
        assert_eq!(response.header("www-authenticate"), challenge, "{what}");
    }

    /// The request is authentic, and its handler is given the body as it was sent.
    pub(crate) async fn accepts(&self, what: &str, request: &Request) {
        let delivery = request.judge(&self.verifier).expect(what);
        assert_eq!(*delivery.body(), request.body, "{what}");
        self.accepts_raw(what, &request.raw(), &request.body).await;
    }

    pub(crate) async fn accepts_raw(&self, what: &str, raw: &[u8], body: &[u8]) {
        let (runs, calls) = self.touched();
        let response = self.send(raw).await;
        assert_eq!((response.status, response.text()), (204, ""), "{what} on {:?}", self.framework);
        // claimed and completed
        assert_eq!(self.touched(), (runs + 1, calls + 2), "{what}");
        let seen = self.bodies.lock().unwrap().last().cloned().unwrap();
        assert!(seen == body, "{what}: the handler saw another body");
    }

    /// How often the handler ran, and how often the store was called.
    pub(crate) fn touched(&self) -> (usize, usize) {
        (self.app.runs(), self.store.calls())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("framework", &self.framework).finish_non_exhaustive()
    }
}

/// Attacks a receiver on each framework.
pub(crate) async fn on_both(verifier: Verifier, attack: impl AsyncFn(&Target)) {
    for framework in [Framework::Axum, Framework::Actix] {
        attack(&Target::start(framework, &verifier).await).await;
    }
}
