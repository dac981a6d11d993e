//! An actix-web service for a sender that is described in a TOML file.

use actix_web::{App, HttpResponse, HttpServer, web};
use tokio::sync::mpsc::UnboundedSender;
use webhook_verify_actix::{
    Idempotency, Receiver, Scheme, Secret, SqliteStore, Verified, Verifier, webhook,
};

type Error = Box<dyn std::error::Error>;
/// Work that the handlers hand over.
type Jobs = UnboundedSender<String>;

async fn on_acme(jobs: web::Data<Jobs>, Verified(delivery): Verified) -> HttpResponse {
    let _ = jobs.send(delivery.event_type().unwrap_or_default().into_owned());
    HttpResponse::NoContent().finish()
}

async fn receiver(file: &str, secret: Secret, database: &str) -> Result<Receiver, Error> {
    let scheme: Scheme = toml::from_str(&std::fs::read_to_string(file)?)?;
    let store = SqliteStore::connect(database).await?;
    let idempotency = Idempotency::new(store, scheme.name());
    Ok(Receiver::builder(Verifier::new(scheme, secret)?).idempotency(idempotency).build()?)
}

fn routes(receiver: Receiver, jobs: Jobs) -> impl FnOnce(&mut web::ServiceConfig) {
    |config| {
        config.app_data(web::Data::new(jobs)).service(webhook("/acme", receiver, on_acme));
    }
}

async fn serve(jobs: Jobs) -> Result<(), Error> {
    let secret = Secret::from_env("ACME_SECRET")?;
    let receiver = receiver("acme.toml", secret, "sqlite://webhooks.db").await?;
    let app = move || App::new().configure(routes(receiver.clone(), jobs.clone()));
    Ok(HttpServer::new(app).bind("127.0.0.1:3000")?.run().await?)
}

#[cfg(test)]
mod tests {
    use actix_web::{App, http::StatusCode, test};
    use integration_tests::Folder;
    use tokio::sync::mpsc;
    use webhook_verify_actix::{Scheme, test_request, testing::Signer};

    use crate::forged;

    const ACME: &str = r#"
        name = "acme"
        signature = { header = "acme-signature", prefix = "v1=" }
        signed-content = "{timestamp}.{body}"
        timestamp = { header = "acme-timestamp" }
        id = { pointer = "/id" }
        event-type = { pointer = "/type" }
    "#;

    #[actix_web::test]
    async fn handles_each_delivery_of_a_described_sender_once() {
        let folder = Folder::new("services");
        let file = folder.path().join("acme.toml");
        std::fs::write(&file, ACME).unwrap();
        let database = format!("sqlite://{}/webhooks.db", folder.path().display());

        let scheme: Scheme = toml::from_str(ACME).unwrap();
        let signer = Signer::generate(scheme).unwrap().target("/acme");
        let secret = signer.secret().clone();
        let receiver = super::receiver(file.to_str().unwrap(), secret, &database).await.unwrap();
        let (jobs, mut handled) = mpsc::unbounded_channel();
        let app = test::init_service(App::new().configure(super::routes(receiver, jobs))).await;
        let send = async |signed| {
            test::call_service(&app, test_request(signed).to_request()).await.status()
        };

        let signed = signer.sign(r#"{"id":"1","type":"thing.made"}"#).unwrap();
        assert_eq!(send(signed.clone()).await, StatusCode::NO_CONTENT);
        assert_eq!(send(signed.clone()).await, StatusCode::NO_CONTENT);
        assert_eq!(handled.try_recv().as_deref(), Ok("thing.made"));
        assert_eq!(send(forged(signed)).await, StatusCode::UNAUTHORIZED);
        assert!(handled.is_empty());
    }
}
