//! Measures what the layer and the middleware cost compared to an endpoint without them: in
//! process, on one thread, one request after another. Every case builds its requests, and the first
//! row of each table does only that.

mod by_hand;
mod harness;

use std::{convert::Infallible, error::Error, hint::black_box, sync::Arc, time::SystemTime};

use by_hand::{Admission, Deduplication, LIMIT, deduplicate};
use bytes::Bytes;
use harness::{Table, text};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, Scheme, Verifier, scheme,
    testing::{SignedRequest, Signer},
};

const ROUNDS: usize = 41;
const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PREFIX: &str = "sha256=";
const FRAME: usize = 8192;
/// Bytes of a body, and iterations of a round.
const SIZES: [(usize, u32); 2] = [(1024, 128), (65_536, 8)];

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    for (len, iterations) in SIZES {
        in_axum::tables(len, iterations)?;
        in_actix::tables(len, iterations)?;
    }
    Ok(())
}

/// Few enough to stay in the caches.
const A_FEW: usize = 32;

/// Deliveries as they come off the wire, signed in advance. They come round again.
#[derive(Clone)]
struct Deliveries {
    signed: Arc<[SignedRequest]>,
    len: String,
    next: usize,
}

impl Deliveries {
    fn new(scheme: Scheme, body_len: usize, count: usize) -> Outcome<Self> {
        let (body, now) = (
            Bytes::from(text(body_len)),
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?,
        );
        let signer = Signer::new(scheme, SECRET)?.at(now);
        let signed: Result<_, _> = (0..count)
            .map(|number| {
                let signer = signer.clone().id(format!("msg_{number:027}"));
                signer.sign(body.clone())
            })
            .collect();
        Ok(Self { signed: signed?, len: body_len.to_string(), next: 0 })
    }

    /// The next one's headers and body.
    fn next(&mut self) -> (impl Iterator<Item = (&str, &str)>, Bytes) {
        let signed = &self.signed[self.next];
        self.next = (self.next + 1) % self.signed.len();
        let around = [
            ("host", "hooks.example.com"),
            ("user-agent", "GitHub-Hookshot/044aadd"),
            ("accept", "*/*"),
            ("content-type", "application/json"),
            ("content-length", &self.len),
            ("x-github-event", "push"),
        ];
        let own = signed.headers.iter().map(|(name, value)| (&**name, &**value));
        (around.into_iter().chain(own), signed.body.clone())
    }
}

fn receiver(scheme: Scheme) -> Outcome<Receiver> {
    Ok(Receiver::new(Verifier::new(scheme, SECRET)?))
}

fn deduplicating(scheme: Scheme) -> Outcome<Receiver> {
    let idempotency = Idempotency::new(MemoryStore::new(), "bench");
    let builder = Receiver::builder(Verifier::new(scheme, SECRET)?);
    Ok(builder.idempotency(idempotency).build()?)
}

fn prepared() -> Outcome<Hmac<Sha256>> {
    Ok(Hmac::new_from_slice(SECRET.as_bytes())?)
}

/// Does what a careful hand-written middleware does.
fn verify_by_hand(prepared: &Hmac<Sha256>, signature: Option<&str>, body: &[u8]) -> bool {
    let Some(digits) = signature.and_then(|signature| signature.strip_prefix(PREFIX)) else {
        return false;
    };
    let mut tag = [0; 32];
    hex::decode_to_slice(digits, &mut tag).is_ok()
        && prepared.clone().chain_update(body).verify_slice(&tag).is_ok()
}

mod in_axum {
    use axum::{
        Router,
        body::{Body, to_bytes},
        extract::Request,
        http::StatusCode,
        middleware::{Next, from_fn, from_fn_with_state},
        response::{IntoResponse as _, Response},
        routing::post,
    };
    use futures_util::stream;
    use tokio::runtime::{Builder, Runtime};
    use tower::Service as _;
    use webhook_verify_axum::{Verified, WebhookLayer};

    use super::*;

    pub(super) fn tables(len: usize, iterations: u32) -> Outcome<()> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let frames = len.div_ceil(FRAME);
        let title = |sender| format!("axum, {sender}, {len} bytes in {frames} frames");
        let bare = || Router::new().route("/hook", post(body_handler));

        let deliveries = Deliveries::new(scheme::GITHUB, len, A_FEW)?;
        let mut table = Table::new(title("GitHub"), ROUNDS, iterations);
        requests(&mut table, &deliveries);
        table.reference("bare", run(&runtime, bare(), &deliveries));
        let no_op = bare().route_layer(from_fn(|request: Request, next: Next| next.run(request)));
        table.case("from_fn, no-op", run(&runtime, no_op, &deliveries));
        let prepared = prepared()?;
        let by_hand = bare().route_layer(from_fn(move |request: Request, next: Next| {
            by_hand(prepared.clone(), request, next)
        }));
        table.case("from_fn, by hand", run(&runtime, by_hand, &deliveries));
        let layer = WebhookLayer::new(receiver(scheme::GITHUB)?);
        let layered = bare().route_layer(layer.clone());
        table.case("layer, Bytes", run(&runtime, layered, &deliveries));
        let verified = Router::new().route("/hook", post(verified_handler));
        let verified = verified.route_layer(layer);
        table.case("layer, Verified", run(&runtime, verified, &deliveries));
        table.run();

        // Each request has a delivery of its own, so every claim is new.
        let count = Table::iterations_of_a_case(ROUNDS, iterations);
        let deliveries = Deliveries::new(scheme::STANDARD_WEBHOOKS, len, count)?;
        let mut table = Table::new(title("Standard Webhooks"), ROUNDS, iterations);
        requests(&mut table, &deliveries);
        table.reference("bare", run(&runtime, bare(), &deliveries));
        let layer = WebhookLayer::new(receiver(scheme::STANDARD_WEBHOOKS)?);
        let layered = bare().route_layer(layer);
        table.case("layer, Bytes", run(&runtime, layered, &deliveries));
        let deduplication = Deduplication::new(SECRET);
        let by_hand = bare().route_layer(from_fn_with_state(deduplication, deduplicate));
        table.reference("from_fn, by hand, HashMap", run(&runtime, by_hand, &deliveries));
        let layer = WebhookLayer::new(deduplicating(scheme::STANDARD_WEBHOOKS)?);
        let layered = bare().route_layer(layer);
        table.case("layer, MemoryStore", run(&runtime, layered, &deliveries));
        table.run();
        Ok(())
    }

    fn requests(table: &mut Table<'_>, deliveries: &Deliveries) {
        let mut deliveries = deliveries.clone();
        table.reference("request alone", harness::each(move || request(&mut deliveries)));
    }

    fn run(runtime: &Runtime, router: Router, deliveries: &Deliveries) -> impl FnMut(u32) {
        let (mut deliveries, mut service) = (deliveries.clone(), router.into_service::<Body>());
        move |iterations| {
            runtime.block_on(async {
                for _ in 0..iterations {
                    let request = request(&mut deliveries);
                    let Ok(response) = service.call(request).await;
                    assert_eq!(response.status(), StatusCode::NO_CONTENT);
                    black_box(response);
                }
            });
        }
    }

    fn request(deliveries: &mut Deliveries) -> Request {
        let (headers, body) = deliveries.next();
        let mut request = Request::post("/hook");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let body = match body.len() {
            ..=FRAME => Body::from(body),
            len => {
                let frames = (0..len).step_by(FRAME);
                let frame = move |at| Ok::<_, Infallible>(body.slice(at..len.min(at + FRAME)));
                Body::from_stream(stream::iter(frames.map(frame)))
            }
        };
        request.body(body).expect("headers are text")
    }

    async fn by_hand(prepared: Hmac<Sha256>, request: Request, next: Next) -> Response {
        let (parts, body) = request.into_parts();
        let Ok(body) = to_bytes(body, LIMIT).await else {
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        };
        let signature = parts.headers.get("x-hub-signature-256");
        let signature = signature.and_then(|signature| signature.to_str().ok());
        if !verify_by_hand(&prepared, signature, &body) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        next.run(Request::from_parts(parts, Body::from(body))).await
    }

    async fn body_handler(body: Bytes) -> StatusCode {
        black_box(body);
        StatusCode::NO_CONTENT
    }

    async fn verified_handler(Verified(delivery): Verified) -> StatusCode {
        drop(black_box(delivery));
        StatusCode::NO_CONTENT
    }
}

mod in_actix {
    use actix_web::{
        App, Error, HttpResponse, Resource,
        body::MessageBody,
        dev::{Payload, Service, ServiceRequest, ServiceResponse},
        error::{ErrorInternalServerError, ErrorUnauthorized},
        http::StatusCode,
        middleware::{Next, from_fn},
        rt::{System, SystemRunner, spawn},
        test::{TestRequest, call_service, init_service},
        web,
    };
    use webhook_verify_actix::{Verified, WebhookMiddleware};

    use super::*;

    /// An app of one resource.
    macro_rules! app {
        ($system:ident, $resource:expr) => {
            $system.block_on(init_service(App::new().service($resource)))
        };
    }

    pub(super) fn tables(len: usize, iterations: u32) -> Outcome<()> {
        let system = System::new();
        let title = |sender| format!("actix-web, {sender}, {len} bytes in one payload");

        let deliveries = Deliveries::new(scheme::GITHUB, len, A_FEW)?;
        let mut table = Table::new(title("GitHub"), ROUNDS, iterations);
        requests(&mut table, &deliveries);
        let app = app!(system, bare());
        table.reference("bare", run(&system, app, TestRequest::to_request, &deliveries));
        let app = app!(system, bare().wrap(from_fn(|request, next: Next<_>| next.call(request))));
        table.case("from_fn, no-op", run(&system, app, TestRequest::to_request, &deliveries));
        let prepared = prepared()?;
        let by_hand = from_fn(move |request, next| by_hand(prepared.clone(), request, next));
        let app = app!(system, bare().wrap(by_hand));
        table.case("from_fn, by hand", run(&system, app, TestRequest::to_request, &deliveries));
        let middleware = WebhookMiddleware::new(receiver(scheme::GITHUB)?);
        let app = app!(system, bare().wrap(middleware.clone()));
        table.case("middleware, Bytes", run(&system, app, TestRequest::to_request, &deliveries));
        let verified = web::resource("/hook").route(web::post().to(verified_handler));
        let app = app!(system, verified.wrap(middleware));
        table.case("middleware, Verified", run(&system, app, TestRequest::to_request, &deliveries));
        table.run();

        // Each request has a delivery of its own, so every claim is new.
        let count = Table::iterations_of_a_case(ROUNDS, iterations);
        let deliveries = Deliveries::new(scheme::STANDARD_WEBHOOKS, len, count)?;
        let mut table = Table::new(title("Standard Webhooks"), ROUNDS, iterations);
        requests(&mut table, &deliveries);
        let app = app!(system, bare());
        table.reference("bare", run(&system, app, TestRequest::to_request, &deliveries));
        let middleware = WebhookMiddleware::new(receiver(scheme::STANDARD_WEBHOOKS)?);
        let app = app!(system, bare().wrap(middleware));
        table.case("middleware, Bytes", run(&system, app, TestRequest::to_request, &deliveries));
        let deduplication = Deduplication::new(SECRET);
        let by_hand =
            from_fn(move |request, next| deduplicated(deduplication.clone(), request, next));
        let app = app!(system, bare().wrap(by_hand));
        table.reference(
            "from_fn, by hand, HashMap",
            run(&system, app, TestRequest::to_request, &deliveries),
        );
        let middleware = WebhookMiddleware::new(deduplicating(scheme::STANDARD_WEBHOOKS)?);
        let app = app!(system, bare().wrap(middleware));
        table.case(
            "middleware, MemoryStore",
            run(&system, app, TestRequest::to_request, &deliveries),
        );
        table.run();
        Ok(())
    }

    fn bare() -> Resource {
        web::resource("/hook").route(web::post().to(body_handler))
    }

    fn requests(table: &mut Table<'_>, deliveries: &Deliveries) {
        let mut deliveries = deliveries.clone();
        table.reference(
            "request alone",
            harness::each(move || request(&mut deliveries).to_request()),
        );
    }

    /// The request's type has no public name: `finish` is what makes one.
    fn run<R, B: MessageBody>(
        system: &SystemRunner,
        app: impl Service<R, Response = ServiceResponse<B>, Error = Error>,
        finish: fn(TestRequest) -> R,
        deliveries: &Deliveries,
    ) -> impl FnMut(u32) {
        let mut deliveries = deliveries.clone();
        move |iterations| {
            system.block_on(async {
                for _ in 0..iterations {
                    let response = call_service(&app, finish(request(&mut deliveries))).await;
                    assert_eq!(response.status(), StatusCode::NO_CONTENT);
                    black_box(response);
                }
            });
        }
    }

    fn request(deliveries: &mut Deliveries) -> TestRequest {
        let (headers, body) = deliveries.next();
        let request = TestRequest::post().uri("/hook").set_payload(body);
        headers.fold(request, TestRequest::insert_header)
    }

    async fn by_hand(
        prepared: Hmac<Sha256>,
        mut request: ServiceRequest,
        next: Next<impl MessageBody>,
    ) -> Result<ServiceResponse<impl MessageBody>, Error> {
        let body = request.extract::<Bytes>().await?;
        let signature = request.headers().get("x-hub-signature-256");
        let signature = signature.and_then(|signature| signature.to_str().ok());
        if !verify_by_hand(&prepared, signature, &body) {
            return Err(ErrorUnauthorized("not authentic"));
        }
        request.set_payload(Payload::from(body));
        next.call(request).await
    }

    async fn deduplicated(
        deduplication: Deduplication,
        mut request: ServiceRequest,
        next: Next<impl MessageBody + 'static>,
    ) -> Result<ServiceResponse<impl MessageBody>, Error> {
        let body = request.extract::<Bytes>().await?;
        let header = |name| request.headers().get(name)?.to_str().ok();
        let id = match deduplication.admit(header, &body) {
            Admission::Run(id) => id,
            Admission::Respond(status) => {
                let status = StatusCode::from_u16(status).expect("a status");
                let response = request.into_response(HttpResponse::new(status));
                return Ok(response.map_into_right_body());
            }
        };
        request.set_payload(Payload::from(body));
        // The handler also ends if the client disconnects.
        let handled = spawn(async move {
            let response = next.call(request).await;
            let status = match &response {
                Ok(response) => response.status(),
                Err(error) => error.as_response_error().status_code(),
            };
            deduplication.complete(id, status.as_u16());
            response
        });
        let response = handled.await.map_err(ErrorInternalServerError)??;
        Ok(response.map_into_left_body())
    }

    async fn body_handler(body: Bytes) -> HttpResponse {
        black_box(body);
        HttpResponse::NoContent().finish()
    }

    async fn verified_handler(Verified(delivery): Verified) -> HttpResponse {
        drop(black_box(delivery));
        HttpResponse::NoContent().finish()
    }
}
