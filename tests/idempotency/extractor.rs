//! The adapters' own extractor, and clients that go away in the middle of a batch.

use std::{net::SocketAddr, sync::Arc};

use actix_web::{App as ActixApp, HttpResponse, web};
use axum::{
    Router,
    body::Body,
    middleware::{Next, from_fn},
    routing,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tower::ServiceExt as _;
use webhook_verify::{Receiver, scheme, testing::SignedRequest};
use webhook_verify_actix::WebhookMiddleware;
use webhook_verify_axum::WebhookLayer;

use crate::{common::*, sender::*};

/// Handles one request by a handler that takes `Events`, in process.
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
async fn the_extractor_goes_on_where_it_was() {
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
        // A body that it cannot take apart: the delivery is given back, and not completed.
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

/// A handler that waits at a gate with each event.
fn gated(gate: &Arc<Gate>, begun: &Begun) -> Handler {
    let (gate, begun) = (Arc::clone(gate), begun.clone());
    Arc::new(move |delivery| {
        let (gate, begun) = (Arc::clone(&gate), begun.clone());
        Box::pin(async move {
            let events = delivery.events().unwrap();
            for event in &events {
                begun.note(event);
                gate.wait().await;
                event.done().await;
            }
            202
        })
    })
}

struct OnDrop(Arc<Semaphore>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// Sends a batch of five, and goes away while its second event is in hand: the others follow all the same, and the retry has
/// nothing left to do.
async fn gone_at_the_second(addr: SocketAddr, gate: &Gate, noticed: impl AsyncFnOnce()) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&raw(&batch(1..=5))).await.unwrap();
    gate.entered().await;
    gate.open(1);
    gate.entered().await;
    // A reset, so that nobody can take it for a client that has but sent everything.
    stream.set_zero_linger().unwrap();
    drop(stream);
    noticed().await;
    assert_in_flight(&post(addr, &batch([5, 1])).await);
    gate.open(4);
    gate.until_done(5).await;
}

#[tokio::test]
async fn a_client_that_goes_away_on_axum() {
    let (store, gate, begun) = (Watched::new(), Gate::new(), Begun::default());
    let receiver = receiver(scheme::MAUTIC, Arc::clone(&store));
    let (router, drain) = App::new(receiver, gated(&gate, &begun)).axum();
    let ended = Arc::new(Semaphore::new(0));
    let guards = Arc::clone(&ended);
    let router = router.layer(from_fn(move |request, next: Next| {
        let guard = OnDrop(Arc::clone(&guards));
        async move {
            let _guard = guard;
            next.run(request).await
        }
    }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    // The premise: the future that serves the connection is dropped in the middle of the batch.
    let noticed = async || soon("end of the connection", ended.acquire()).await.unwrap().forget();
    gone_at_the_second(addr, &gate, noticed).await;
    soon("end of the drain", drain.wait()).await;
    assert_eq!((begun.take(), store.completes()), (events(1..=5), 5));
    assert_replay(&post(addr, &batch(1..=5)).await, 204);
    server.abort();
}

#[tokio::test]
async fn a_client_that_goes_away_on_actix() {
    let (store, gate, begun) = (Watched::new(), Gate::new(), Begun::default());
    let receiver = receiver(scheme::MAUTIC, Arc::clone(&store));
    let app = App::new(receiver, gated(&gate, &begun));
    let server = app.serve(Framework::Actix).await;
    // Both workers serve connections after it.
    let noticed = async || {
        for _ in 0..4 {
            assert_in_flight(&post(server.addr, &batch([3])).await);
        }
    };
    gone_at_the_second(server.addr, &gate, noticed).await;
    store.until_completes(5).await;
    assert_eq!(begun.take(), events(1..=5));
    assert_replay(&post(server.addr, &batch(1..=5)).await, 204);
}
