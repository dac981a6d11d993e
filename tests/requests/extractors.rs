//! The extractors of both adapters and their errors, custom responses to refusals, and the places
//! where tower accepts the axum layer.

mod arguments;
mod events;
mod placement;
mod refusals;

use webhook_verify::{
    Idempotency, Receiver, Scheme, Verifier,
    idempotency::MemoryStore,
    scheme,
    testing::{SignedRequest, Signer},
};

const SECRET: &str = "It's a Secret to Everybody";

fn receiver() -> Receiver {
    Receiver::new(Verifier::new(scheme::GITHUB, SECRET).unwrap())
}

/// A receiver that runs each delivery once.
fn deduplicating(scheme: Scheme) -> Receiver {
    Receiver::builder(Verifier::new(scheme, SECRET).unwrap())
        .idempotency(Idempotency::new(MemoryStore::new(), "tests"))
        .build()
        .unwrap()
}

fn signed(body: impl Into<bytes::Bytes>) -> SignedRequest {
    Signer::new(scheme::GITHUB, SECRET).unwrap().sign(body).unwrap()
}

/// The request in axum's terms, with its body in two pieces.
fn to_axum(target: &str, request: &SignedRequest) -> http::Request<axum::body::Body> {
    let mut builder = http::Request::post(target);
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    let (start, end) = request.body.split_at(request.body.len() / 2);
    let pieces = [start.to_vec(), end.to_vec()].map(Ok::<_, std::convert::Infallible>);
    builder.body(axum::body::Body::from_stream(futures_util::stream::iter(pieces))).unwrap()
}

/// The request in actix's terms.
fn to_actix(target: &str, request: &SignedRequest) -> actix_web::test::TestRequest {
    request.headers.iter().fold(
        actix_web::test::TestRequest::post().uri(target).set_payload(request.body.clone()),
        |builder, (name, value)| builder.append_header((name.as_str(), value.as_str())),
    )
}
