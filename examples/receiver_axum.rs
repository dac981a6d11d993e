//! Run with `cargo run --example receiver_axum`, then paste the `curl` line that it prints. `-- --help` lists the flags.

use axum::{Router, http::StatusCode, routing};
use examples::{Flags, Setup, announce, note_test};
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use webhook_verify::Events;
use webhook_verify_axum::{Verified, WebhookLayer};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let setup = Flags::read().await;
    let layer = WebhookLayer::new(setup.receiver.clone());
    let drain = layer.drain();
    let listener = tokio::net::TcpListener::bind(setup.flags.listen).await?;
    announce(&setup, listener.local_addr()?);

    axum::serve(listener, app(&setup, layer)).with_graceful_shutdown(shutdown()).await?;
    // Handlers whose clients went away are still at work.
    drain.wait().await;
    Ok(())
}

fn app(setup: &Setup, layer: WebhookLayer) -> Router {
    let behaviour = setup.behaviour;
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
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    };
    let methods = routing::get(receive).post(receive).layer(layer);
    Router::new().route("/", methods.clone()).route("/{*path}", methods)
}

/// Resolves at the first Ctrl-C or, on Unix, at a polite kill.
async fn shutdown() {
    #[cfg(unix)]
    if let Ok(mut terminate) = signal(SignalKind::terminate()) {
        tokio::select! { _ = terminate.recv() => {}, _ = tokio::signal::ctrl_c() => {} }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt as _;
    use webhook_verify::testing::Signer;

    use super::*;

    #[tokio::test]
    async fn a_delivery_runs_once_and_a_changed_one_not_at_all()
    -> Result<(), Box<dyn std::error::Error>> {
        let setup = Flags::of(&["--secret", "test", "--store", "memory:"]).await?;
        let app = app(&setup, WebhookLayer::new(setup.receiver.clone()));
        let scheme = setup.receiver.verifier().scheme().clone();
        let signed = Signer::new(scheme, "test")?.sign(r#"{"mautic.page_on_hit":[{}]}"#)?;
        let send = async |body: &'static str| -> Result<_, Box<dyn std::error::Error>> {
            let mut request = Request::post("/hook");
            for (name, value) in &signed.headers {
                request = request.header(name, value);
            }
            Ok(app.clone().oneshot(request.body(Body::from(body))?).await?)
        };
        let first = send(r#"{"mautic.page_on_hit":[{}]}"#).await?;
        assert_eq!(first.status(), StatusCode::NO_CONTENT);
        assert!(!first.headers().contains_key("idempotent-replayed"));
        let again = send(r#"{"mautic.page_on_hit":[{}]}"#).await?;
        assert_eq!(again.status(), StatusCode::NO_CONTENT);
        assert!(again.headers().contains_key("idempotent-replayed"));
        let changed = send(r#"{"mautic.page_on_hit":[[]]}"#).await?;
        assert_eq!(changed.status(), StatusCode::UNAUTHORIZED);
        Ok(())
    }
}
