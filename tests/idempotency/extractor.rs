//! The adapters' own extractor of events.

use std::sync::Arc;

use actix_web::{App as ActixApp, HttpResponse, web};
use axum::{Router, body::Body, routing};
use tower::ServiceExt as _;
use webhook_verify::{Receiver, scheme, testing::SignedRequest};
use webhook_verify_actix::WebhookMiddleware;
use webhook_verify_axum::WebhookLayer;

use crate::{common::*, sender::*};

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
            let handler =
                move |webhook_verify_axum::Verified(events): webhook_verify_axum::Verified<
                    webhook_verify::Events,
                >| async move {
                    for event in &events {
                        begun.note(event);
                        if fault.hits(event) {
                            return http::StatusCode::BAD_GATEWAY;
                        }
                        event.done().await;
                    }
                    http::StatusCode::ACCEPTED
                };
            let layer = WebhookLayer::new(receiver);
            let app = Router::new().route("/", routing::post(handler).route_layer(layer));
            let mut to_send = http::Request::post("/");
            for (name, value) in &request.headers {
                to_send = to_send.header(name, value);
            }
            let to_send = to_send.body(Body::from(request.body.clone())).unwrap();
            app.oneshot(to_send).await.unwrap().status().as_u16()
        }
        Framework::Actix => {
            let request = request.clone();
            let call = move || {
                actix_web::rt::System::new().block_on(async move {
                    let handler = move |webhook_verify_actix::Verified(events): webhook_verify_actix::Verified<webhook_verify::Events>| {
                        let (begun, fault) = (begun.clone(), fault.clone());
                        async move {
                            for event in &events {
                                begun.note(event);
                                if fault.hits(event) {
                                    return HttpResponse::BadGateway().finish();
                                }
                                event.done().await;
                            }
                            HttpResponse::Accepted().finish()
                        }
                    };
                    let resource = web::resource("/")
                        .wrap(WebhookMiddleware::new(receiver))
                        .route(web::post().to(handler));
                    let service =
                        actix_web::test::init_service(ActixApp::new().service(resource)).await;
                    let mut to_send = actix_web::test::TestRequest::post().uri("/");
                    for (name, value) in &request.headers {
                        to_send = to_send.append_header((name.as_str(), value.as_str()));
                    }
                    let to_send = to_send.set_payload(request.body.clone()).to_request();
                    actix_web::test::call_service(&service, to_send).await.status().as_u16()
                })
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
        for (body, status) in [("", 400), ("[]", 422), (r#"{"a":[1],"a":[1]}"#, 422)] {
            for _ in 0..2 {
                assert_eq!(send(mautic(body)).await, status, "{body}");
                assert_eq!(store.take_log(), ["claim", "release"], "{body}");
            }
        }
        assert_eq!(begun.take(), [""; 0]);
    })
    .await;
}
