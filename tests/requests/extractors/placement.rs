//! Where the axum layer can stand: on a router, on its routes, and in front of any tower service.

use std::{
    cell::Cell,
    convert::Infallible,
    future::Ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    response::{IntoResponse as _, Response},
    routing::post,
};
use futures_util::{FutureExt as _, stream};
use http::{Request, StatusCode};
use tower::{Layer as _, Service, ServiceExt, service_fn};
use webhook_verify::{
    Delivery, Receiver, RequestHead, Secret, Tenant, Verifier, scheme,
    testing::{SignedRequest, Signer},
};
use webhook_verify_axum::WebhookLayer;

use super::{deduplicating, receiver, signed};
use integration_tests::to_axum;

fn unsigned(body: &'static str) -> SignedRequest {
    let mut request = signed(body);
    request.headers.clear();
    request
}

async fn status(app: &Router, target: &str, request: &SignedRequest) -> u16 {
    let response = app.clone().oneshot(to_axum(target, request)).await;
    response.unwrap().status().as_u16()
}

/// A layer on the routes does not see unknown paths. A layer on the router reads and verifies them.
#[tokio::test]
async fn on_a_router_and_on_its_routes() {
    let layer = || WebhookLayer::new(receiver());
    let routes = || Router::new().route("/hook", post(async || "done"));
    for (app, unknown_unsigned) in
        [(routes().layer(layer()), 401), (routes().route_layer(layer()), 404)]
    {
        assert_eq!(status(&app, "/hook", &signed("{}")).await, 200);
        assert_eq!(status(&app, "/hook", &unsigned("{}")).await, 401);
        assert_eq!(status(&app, "/other", &signed("{}")).await, 404);
        assert_eq!(status(&app, "/other", &unsigned("{}")).await, unknown_unsigned);
    }
    // A delivery to a path that does not exist is not completed: the path may come with the next
    // deployment.
    let app = routes().layer(WebhookLayer::new(deduplicating(scheme::GITHUB)));
    assert_eq!(status(&app, "/other", &signed("{}")).await, 404);
    assert_eq!(status(&app, "/hook", &signed("{}")).await, 200);
}

/// `Router::nest` shortens the path. The sender signed the whole one, and tenants are found by it.
#[tokio::test]
async fn within_a_nested_router_the_whole_path_counts() {
    let now = Duration::from_secs(1_795_305_600);
    let secret = "c".repeat(64);
    let signer = Signer::new(scheme::CONTENTFUL, &secret).unwrap().at(now);
    let nested = |receiver: Receiver| {
        let hook = post(async || "done").layer(WebhookLayer::new(receiver));
        let inner = Router::new().route("/contentful", hook);
        Router::new().nest("/hooks", Router::new().nest("/all", inner))
    };
    let verifier = || Verifier::builder(scheme::CONTENTFUL).clock(move || now);
    let tenants = Receiver::builder(verifier()).tenants(move |head: &RequestHead<'_>| {
        let secret = Secret::new(secret.as_str());
        let is_known = head.path() == "/hooks/all/contentful";
        async move { Ok(if is_known { Some(Tenant::new("a", [secret?])) } else { None }) }
    });
    let tenants = nested(tenants.build().unwrap());
    let one = verifier().secret("c".repeat(64)).build().unwrap();
    for app in [nested(Receiver::new(one)), tenants] {
        for (signed_as, expected) in [
            ("/hooks/all/contentful?a=%2F", 200),
            ("/all/contentful?a=%2F", 401),
            ("/contentful?a=%2F", 401),
            ("/hooks/all/contentful", 401),
        ] {
            let request = signer.clone().target(signed_as).sign("{}").unwrap();
            let got = status(&app, "/hooks/all/contentful?a=%2F", &request).await;
            assert_eq!(got, expected, "{signed_as}");
        }
    }
}

/// The error of a service that has one.
#[derive(Debug, PartialEq)]
struct Broken(u16);

/// A request whose body is not of axum's type.
fn of_text(request: &SignedRequest, body: &str) -> Request<String> {
    to_axum("/", request).map(|_| body.to_owned())
}

/// A service whose errors are its own: they pass through as they are, and the claim is given back.
#[tokio::test]
async fn an_error_passes_through_and_releases_the_claim() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let service = service_fn(move |request: Request<Body>| {
        let run = counted.fetch_add(1, SeqCst) + 1;
        async move {
            let fence = request.extensions().get::<Delivery>().unwrap();
            assert_eq!(fence.claim().unwrap().fencing_token(), run as u64);
            match run {
                1 | 2 => Err(Broken(run as u16)),
                _ => Ok(StatusCode::CREATED),
            }
        }
    });
    let service = WebhookLayer::new(deduplicating(scheme::GITHUB)).layer(service);
    let signed = signed("{}");
    let request = || of_text(&signed, "{}");
    for run in [1, 2] {
        let result: Result<Response, Broken> = service.clone().oneshot(request()).await;
        assert_eq!(result.unwrap_err(), Broken(run));
    }
    for replayed in [false, true] {
        let response = service.clone().oneshot(request()).await.unwrap();
        assert_eq!(response.status(), 201);
        let header = response.headers().contains_key("idempotent-replayed");
        assert_eq!(header, replayed);
    }
    assert_eq!(runs.load(SeqCst), 3);

    // A refusal is a response, not an error.
    let response = service.oneshot(of_text(&unsigned("{}"), "{}")).await;
    let response = response.unwrap();
    assert_eq!(response.status(), 401);
}

/// Bodies and services that may be sent to another thread and not shared between two.
#[tokio::test]
async fn nothing_has_to_be_sync() {
    #[derive(Clone)]
    struct NotSync(Cell<usize>);

    impl Service<Request<Body>> for NotSync {
        type Response = Response;
        type Error = Infallible;
        type Future = futures_util::future::BoxFuture<'static, Result<Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            self.0.set(self.0.get() + 1);
            let calls = Cell::new(self.0.get());
            async move {
                let body = to_bytes(request.into_body(), 100).await.unwrap();
                assert_eq!(body, "{}");
                Ok(calls.take().to_string().into_response())
            }
            .boxed()
        }
    }

    for receiver in [receiver(), deduplicating(scheme::GITHUB)] {
        let service = WebhookLayer::new(receiver).layer(NotSync(Cell::new(0)));
        let pieces = Cell::new(["{", "}"].iter());
        let body = stream::poll_fn(move |_| {
            let mut rest = pieces.take();
            let piece = rest.next().copied();
            pieces.set(rest);
            Poll::Ready(piece.map(Ok::<_, Infallible>))
        });
        let request = to_axum("/", &signed("{}")).map(|_| Body::from_stream(body));
        // Such a future may still be moved between threads.
        let future = tokio::spawn(service.oneshot(request));
        let response = future.await.unwrap().unwrap();
        assert_eq!(to_bytes(response.into_body(), 9).await.unwrap(), "1");
    }
}

/// A service that panics when it is called, and not only when its future is polled.
#[tokio::test]
async fn a_panic_in_call_is_a_500() {
    for receiver in [receiver(), deduplicating(scheme::GITHUB)] {
        let service = service_fn(|_: Request<Body>| -> Ready<Result<StatusCode, Infallible>> {
            panic!("on purpose")
        });
        let service = WebhookLayer::new(receiver).layer(service);
        for _ in 0..2 {
            let request = to_axum("/", &signed("{}"));
            let response = service.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), 500);
            assert_eq!(to_bytes(response.into_body(), 9).await.unwrap(), "");
        }
    }
}
