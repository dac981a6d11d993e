//! An axum service with three senders, a durable store, and handlers by event type for Stripe.

use axum::{Router, extract::State, http::StatusCode};
use serde::Deserialize;
use tokio::{net::TcpListener, sync::mpsc::UnboundedSender};
use webhook_verify_axum::{
    ConfigError, Event, ExtractError, Idempotency, Receiver, RouterExt as _, Routes, Scheme,
    Secret, SqliteStore, Verified, Verifier, scheme,
};

type Error = Box<dyn std::error::Error>;
/// Work that the handlers hand over.
type Jobs = UnboundedSender<String>;

#[derive(Deserialize)]
struct Invoice {
    id: String,
}

async fn on_invoice(jobs: Jobs, invoice: Invoice) -> Result<(), ExtractError> {
    let _ = jobs.send(format!("invoice {}", invoice.id));
    Ok(())
}

async fn on_customer(jobs: Jobs, event: Event) -> Result<(), ExtractError> {
    let _ = jobs.send(event.event_type().unwrap_or_default().into_owned());
    Ok(())
}

async fn on_github(State(jobs): State<Jobs>, Verified(delivery): Verified) -> StatusCode {
    let _ = jobs.send(format!("github {}", delivery.event_type().unwrap_or_default()));
    StatusCode::NO_CONTENT
}

async fn on_shopify(State(jobs): State<Jobs>, Verified(delivery): Verified) -> StatusCode {
    let _ = jobs.send(format!("shopify {}", delivery.event_type().unwrap_or_default()));
    StatusCode::NO_CONTENT
}

fn receiver(scheme: Scheme, secret: Secret, store: &SqliteStore) -> Result<Receiver, ConfigError> {
    let idempotency = Idempotency::new(store.clone(), scheme.name());
    Receiver::builder(Verifier::new(scheme, secret)?).idempotency(idempotency).build()
}

async fn app(
    jobs: Jobs,
    database: &str,
    secret: impl Fn(&'static str) -> Result<Secret, ConfigError>,
) -> Result<Router, Error> {
    let store = SqliteStore::connect(database).await?;
    let github = receiver(scheme::GITHUB, secret("GITHUB_SECRET")?, &store)?;
    let shopify = receiver(scheme::SHOPIFY, secret("SHOPIFY_SECRET")?, &store)?;
    let stripe = receiver(scheme::STRIPE, secret("STRIPE_SECRET")?, &store)?;
    let (invoices, customers) = (jobs.clone(), jobs.clone());
    let routes = Routes::new()
        .on("invoice.paid", move |invoice| on_invoice(invoices.clone(), invoice))
        .on("customer.*", move |event| on_customer(customers.clone(), event));
    Ok(Router::new()
        .webhook("/github", github, on_github)
        .webhook("/shopify", shopify, on_shopify)
        .webhook("/stripe", stripe, move |Verified(events)| routes.handle(events))
        .with_state(jobs))
}

async fn serve(jobs: Jobs) -> Result<(), Error> {
    let app = app(jobs, "sqlite://webhooks.db", Secret::from_env).await?;
    Ok(axum::serve(TcpListener::bind("127.0.0.1:3000").await?, app).await?)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use integration_tests::Folder;
    use tokio::sync::mpsc;
    use webhook_verify_axum::{scheme, testing::Signer};

    use crate::{forged, send};

    #[tokio::test]
    async fn handles_each_delivery_of_three_senders_once() {
        let signer = |scheme| Signer::generate(scheme).unwrap();
        let github = signer(scheme::GITHUB).event_type("push").target("/github");
        let shopify = signer(scheme::SHOPIFY).event_type("orders/paid").target("/shopify");
        let stripe = signer(scheme::STRIPE).target("/stripe");
        let invoice = r#"{"id":"evt_1","type":"invoice.paid","data":{"object":{"id":"in_1"}}}"#;
        let customer = r#"{"id":"evt_2","type":"customer.created","data":{"object":{}}}"#;

        let folder = Folder::new("services");
        let database = format!("sqlite://{}/webhooks.db", folder.path().display());
        let (jobs, mut handled) = mpsc::unbounded_channel();
        let secret = |name| match name {
            "GITHUB_SECRET" => Ok(github.secret().clone()),
            "SHOPIFY_SECRET" => Ok(shopify.secret().clone()),
            "STRIPE_SECRET" => Ok(stripe.secret().clone()),
            other => panic!("unexpected variable {other}"),
        };
        let app = super::app(jobs, &database, secret).await.unwrap();
        for (signer, body, job) in [
            (&github, "{}", "github push"),
            (&shopify, "{}", "shopify orders/paid"),
            (&stripe, invoice, "invoice in_1"),
            (&stripe, customer, "customer.created"),
        ] {
            let signed = signer.sign(body).unwrap();
            let status = send(&app, signed.clone()).await;
            assert!(status.is_success(), "{job}: {status}");
            assert_eq!(send(&app, signed.clone()).await, status);
            assert_eq!(handled.try_recv().as_deref(), Ok(job));
            assert_eq!(send(&app, forged(signed)).await, StatusCode::UNAUTHORIZED);
            assert!(handled.is_empty(), "{job}");
        }
    }
}
