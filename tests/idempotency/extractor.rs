//! The adapters' own extractor of events.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use axum::{Router, routing};
use http::StatusCode;
use integration_tests::{call_actix, call_axum, to_actix, to_axum};
use webhook_verify::{Events, Receiver, scheme, testing::SignedRequest};
use webhook_verify_actix::WebhookMiddleware;
use webhook_verify_axum::WebhookLayer;

use crate::{common::*, sender::*};

/// Handles the events, up to the one with the fault.
async fn work(events: &Events, begun: &Begun, fault: &Fault) -> StatusCode {
    for event in events {
        begun.note(event);
        if fault.hits(event) {
            return StatusCode::BAD_GATEWAY;
        }
        event.done().await;
    }
    StatusCode::ACCEPTED
}

/// Handles one request in process, by a handler that takes `Events`.
async fn handled(
    framework: Framework,
    receiver: Receiver,
    begun: &Begun,
    fault: &Fault,
    request: &SignedRequest,
) -> u16 {
    let (begun, fault) = (begun.clone(), fault.clone());
    match framework {
        Framework::Axum => {
            use webhook_verify_axum::Verified;
            let handler =
                async move |Verified(events): Verified<Events>| work(&events, &begun, &fault).await;
            let layer = WebhookLayer::new(receiver);
            let app = Router::new().route("/", routing::post(handler).route_layer(layer));
            call_axum(app, to_axum("/", request)).await.status
        }
        Framework::Actix => {
            use webhook_verify_actix::Verified;
            let handler = move |Verified(events): Verified<Events>| {
                let (begun, fault) = (begun.clone(), fault.clone());
                async move {
                    let status = work(&events, &begun, &fault).await.as_u16();
                    HttpResponse::new(status.try_into().unwrap())
                }
            };
            let request = request.clone();
            let call = move || {
                let configure = |config: &mut web::ServiceConfig| {
                    let resource = web::resource("/").wrap(WebhookMiddleware::new(receiver));
                    config.service(resource.route(web::post().to(handler)));
                };
                let call = call_actix(configure, to_actix("/", &request));
                actix_web::rt::System::new().block_on(call).status
            };
            tokio::task::spawn_blocking(call).await.unwrap()
        }
    }
}

#[tokio::test]
async fn the_extractor_resumes() {
    each_framework(|framework| async move {
        let (store, begun, fault) = (Watched::new(), Begun::default(), Fault::at(3));
        let receiver = receiver(scheme::MAUTIC, Arc::clone(&store));
        let send = async |request: SignedRequest| {
            handled(framework, receiver.clone(), &begun, &fault, &request).await
        };
        assert_eq!(send(batch(1..=4)).await, 502);
        assert_eq!(begun.take(), events(1..=3));
        fault.set(0);
        assert_eq!(send(batch((1..=4).rev())).await, 202);
        assert_eq!(begun.take(), events([4, 3]));
        assert_eq!(send(batch(1..=4)).await, 204);
        // A body that cannot be split is an error: the delivery is released.
        store.take_log();
        for (body, status, log) in [
            // All empty bodies have the same digest, so it is no key.
            ("", 400, &[][..]),
            ("[]", 422, &["claim", "release"]),
            (r#"{"a":[1],"a":[1]}"#, 422, &["claim", "release"]),
        ] {
            for _ in 0..2 {
                assert_eq!(send(mautic(body)).await, status, "{body}");
                assert_eq!(store.take_log(), log, "{body}");
            }
        }
        assert_eq!(begun.take(), [""; 0]);
    })
    .await;
}
