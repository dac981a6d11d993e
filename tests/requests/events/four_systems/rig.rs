//! A handler that takes events one by one, behind either adapter.

use std::{
    mem, slice,
    sync::{Arc, Mutex},
};

use actix_web::{HttpResponse, web};
use axum::{Router, body::Body, routing};
use http::StatusCode;
use integration_tests::{Framework, Response, call_actix, call_axum, is_replay};
use serde_json::Value;
use webhook_verify::{
    Delivery, Event, Idempotency, MemoryStore, Receiver, Verifier, scheme::Identity,
};
use webhook_verify_actix::WebhookMiddleware;
use webhook_verify_axum::WebhookLayer;

/// The delivery that a handler got.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) is_test: bool,
    pub(super) events: Vec<Told>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Told {
    pub(super) event_type: Option<String>,
    pub(super) id: Option<String>,
    pub(super) seconds: Option<u64>,
    pub(super) data: Data,
    pub(super) is_claimed: bool,
}

/// JSON by what it says, all else by its bytes.
#[derive(Debug, PartialEq)]
pub(super) enum Data {
    Json(Value),
    Bytes(Vec<u8>),
}

impl From<&[u8]> for Data {
    fn from(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).map_or_else(|_| Self::Bytes(bytes.to_vec()), Self::Json)
    }
}

impl From<&Event> for Told {
    fn from(event: &Event) -> Self {
        Self {
            event_type: event.event_type().map(Into::into),
            id: event.id().map(Into::into),
            seconds: event.time().map(|time| time.as_secs()),
            data: (&event.data_bytes()[..]).into(),
            is_claimed: event.claim().is_some(),
        }
    }
}

/// An application on either framework, and what its handler has seen since it was last asked.
pub(super) struct Rig {
    receiver: Receiver,
    seen: Arc<Mutex<Vec<Seen>>>,
}

pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Rig {
    pub(super) fn new(verifier: Verifier, limit: Option<usize>) -> Self {
        let mut idempotency = Idempotency::new(MemoryStore::new(), "tests");
        if verifier.scheme().identity() == Identity::None {
            idempotency = idempotency.identity(Identity::None);
        }
        let mut receiver = Receiver::builder(verifier).idempotency(idempotency);
        if let Some(limit) = limit {
            receiver = receiver.body_limit(limit);
        }
        Self { receiver: receiver.build().unwrap(), seen: Arc::default() }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        mem::take(&mut *self.seen.lock().unwrap())
    }

    /// The answer's status, whether it is a replay, and its text.
    pub(super) async fn send(
        &self,
        framework: Framework,
        request: &Request,
    ) -> (u16, bool, String) {
        let response = match framework {
            Framework::Axum => self.send_to_axum(request).await,
            Framework::Actix => self.send_to_actix(request).await,
        };
        (response.status, is_replay(&response), response.text().to_owned())
    }

    async fn send_to_axum(&self, request: &Request) -> Response {
        use webhook_verify_axum::{Events, Verified};
        let seen = Arc::clone(&self.seen);
        let handler = move |Verified(delivery): Verified, Verified(events): Verified<Events>| {
            let seen = Arc::clone(&seen);
            async move {
                let mut told = Vec::new();
                for event in &events {
                    told.push(Told::from(event));
                    event.done().await;
                }
                note(&seen, &delivery, told);
                StatusCode::NO_CONTENT
            }
        };
        let methods = routing::get(handler.clone())
            .post(handler)
            .route_layer(WebhookLayer::new(self.receiver.clone()));
        let app = Router::new().route("/{*path}", methods);
        let mut builder = http::Request::builder().method(&*request.method).uri(&request.target);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        call_axum(app, builder.body(Body::from(request.body.clone())).unwrap()).await
    }

    async fn send_to_actix(&self, request: &Request) -> Response {
        use webhook_verify_actix::{Events, Verified};
        let seen = Arc::clone(&self.seen);
        let handler = move |Verified(delivery): Verified, Verified(events): Verified<Events>| {
            let seen = Arc::clone(&seen);
            async move {
                let mut told = Vec::new();
                for event in &events {
                    told.push(Told::from(event));
                    event.done().await;
                }
                note(&seen, &delivery, told);
                HttpResponse::NoContent().finish()
            }
        };
        let resource = web::resource("/{path:.*}")
            .wrap(WebhookMiddleware::new(self.receiver.clone()))
            .route(web::get().to(handler.clone()))
            .route(web::post().to(handler));
        let configure = |config: &mut web::ServiceConfig| {
            config.service(resource);
        };
        let method = actix_web::http::Method::from_bytes(request.method.as_bytes()).unwrap();
        let mut builder = actix_web::test::TestRequest::with_uri(&request.target).method(method);
        for (name, value) in &request.headers {
            builder = builder.append_header((name.as_str(), value.as_str()));
        }
        call_actix(configure, builder.set_payload(request.body.clone())).await
    }

    /// Sends what is authentic, and sends it again: each of its events is handled once, where
    /// anything tells them.
    pub(super) async fn assert_brings(
        &self,
        framework: Framework,
        request: &Request,
        expected: &Seen,
        name: &str,
    ) {
        let accepted = (204, false, String::new());
        let answer = self.send(framework, request).await;
        assert_eq!(answer, accepted, "{name}");
        assert_eq!(self.seen(), slice::from_ref(expected), "{name}");

        let again = self.send(framework, request).await;
        match self.receiver.verifier().scheme().identity() {
            // Nothing tells it from another.
            Identity::None => {
                assert_eq!(again, accepted, "{name} again");
                assert_eq!(self.seen(), slice::from_ref(expected), "{name} again");
            }
            _ => {
                assert_eq!(again, (204, true, String::new()), "{name} again");
                assert_eq!(self.seen(), [], "{name} again");
            }
        }
    }
}

fn note(seen: &Mutex<Vec<Seen>>, delivery: &Delivery, events: Vec<Told>) {
    let is_test = delivery.is_test();
    seen.lock().unwrap().push(Seen { is_test, events });
}
