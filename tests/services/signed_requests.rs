//! A test of a handler, and a test of a service, with signed requests.

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Request, StatusCode},
};
use serde::Deserialize;
use tokio::sync::mpsc::{self, UnboundedSender};
use tower::ServiceExt as _;
use webhook_verify_axum::{
    ConfigError, EventData, Idempotency, MemoryStore, Receiver, RouterExt as _, Secret, Verified,
    Verifier, scheme,
    testing::{self, Signer},
};

/// Work that the handlers hand over.
type Jobs = UnboundedSender<String>;

#[derive(Deserialize)]
struct Invoice {
    id: String,
}

async fn on_invoice(
    State(jobs): State<Jobs>,
    EventData(invoice): EventData<Invoice>,
) -> StatusCode {
    let _ = jobs.send(invoice.id);
    StatusCode::NO_CONTENT
}

async fn on_push(Verified(delivery): Verified) -> StatusCode {
    if delivery.body().is_empty() { StatusCode::BAD_REQUEST } else { StatusCode::NO_CONTENT }
}

fn app(jobs: Jobs, secret: Secret) -> Result<Router, ConfigError> {
    let receiver = Receiver::builder(Verifier::new(scheme::STRIPE, secret)?)
        .idempotency(Idempotency::new(MemoryStore::new(), "stripe"))
        .build()?;
    Ok(Router::new().webhook("/stripe", receiver, on_invoice).with_state(jobs))
}

#[tokio::test]
async fn the_handler_accepts_a_push() {
    let delivery = testing::delivery(scheme::GITHUB, "{}").unwrap();
    assert_eq!(on_push(Verified(delivery)).await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn the_service_runs_each_delivery_once() {
    let signer = Signer::generate(scheme::STRIPE).unwrap().target("/stripe");
    let (jobs, mut handled) = mpsc::unbounded_channel();
    let app = app(jobs, signer.secret().clone()).unwrap();
    let send = async |signed| {
        let request = Request::<Body>::try_from(signed).unwrap();
        app.clone().oneshot(request).await.unwrap().status()
    };

    let body = r#"{"id":"evt_1","type":"invoice.paid","data":{"object":{"id":"in_1"}}}"#;
    let signed = signer.sign(body).unwrap();
    assert_eq!(send(signed.clone()).await, StatusCode::NO_CONTENT);
    assert_eq!(send(signed.clone()).await, StatusCode::NO_CONTENT);
    assert_eq!(handled.try_recv().as_deref(), Ok("in_1"));
    assert!(handled.is_empty());

    let mut forged = signed;
    forged.body = body.replace("in_1", "in_2").into();
    assert_eq!(send(forged).await, StatusCode::UNAUTHORIZED);
    assert!(handled.is_empty());
}
