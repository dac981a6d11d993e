//! Run with `cargo run --example receiver_actix`, then paste the `curl` line that it prints. `-- --help` lists the flags.

use actix_web::{App, HttpResponse, HttpServer, dev::HttpServiceFactory, http::StatusCode, web};
use examples::{Behaviour, Flags, announce, note_test};
use webhook_verify::{Events, Receiver};
use webhook_verify_actix::{Verified, WebhookMiddleware};

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let setup = Flags::read().await;
    // One receiver for all workers: they have to share what was claimed.
    let (receiver, behaviour) = (setup.receiver.clone(), setup.behaviour);
    let server = HttpServer::new(move || App::new().service(app(receiver.clone(), behaviour)))
        .bind(setup.flags.listen)?;
    announce(&setup, server.addrs()[0]);
    server.run().await
}

fn app(receiver: Receiver, behaviour: Behaviour) -> impl HttpServiceFactory + 'static {
    let receive = move |Verified(delivery): Verified, Verified(events): Verified<Events>| async move {
        note_test(&delivery);
        let mut status = behaviour.status;
        for event in &events {
            if let Err(failed) = behaviour.handle(&delivery, event).await {
                status = failed;
                break;
            }
            event.done().await;
        }
        let status = StatusCode::from_u16(status);
        HttpResponse::new(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
    };
    web::resource("/{path:.*}")
        .wrap(WebhookMiddleware::new(receiver))
        .route(web::get().to(receive))
        .route(web::post().to(receive))
}

#[cfg(test)]
mod tests {
    use actix_web::test::{TestRequest, call_service, init_service};
    use webhook_verify::testing::Signer;

    use super::*;

    #[actix_web::test]
    async fn a_delivery_runs_once_and_a_changed_one_not_at_all()
    -> Result<(), Box<dyn std::error::Error>> {
        let setup = Flags::of(&["--secret", "test", "--store", "memory:"]).await?;
        let app =
            init_service(App::new().service(app(setup.receiver.clone(), setup.behaviour))).await;
        let scheme = setup.receiver.verifier().scheme().clone();
        let signed = Signer::new(scheme, "test")?.sign(r#"{"mautic.page_on_hit":[{}]}"#)?;
        let send = async |body: &'static str| {
            let mut request = TestRequest::post().uri("/hook");
            for (name, value) in &signed.headers {
                request = request.insert_header((name.as_str(), value.as_str()));
            }
            call_service(&app, request.set_payload(body).to_request()).await
        };
        let first = send(r#"{"mautic.page_on_hit":[{}]}"#).await;
        assert_eq!(first.status(), StatusCode::NO_CONTENT);
        assert!(!first.headers().contains_key("idempotent-replayed"));
        let again = send(r#"{"mautic.page_on_hit":[{}]}"#).await;
        assert_eq!(again.status(), StatusCode::NO_CONTENT);
        assert!(again.headers().contains_key("idempotent-replayed"));
        let changed = send(r#"{"mautic.page_on_hit":[[]]}"#).await;
        assert_eq!(changed.status(), StatusCode::UNAUTHORIZED);
        Ok(())
    }
}
