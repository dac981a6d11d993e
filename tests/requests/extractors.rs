//! The extractors of both adapters and their errors, custom responses to refusals, and the places
//! where tower accepts the axum layer.

mod arguments;
mod events;
mod placement;
mod question_marks;
mod refusals;
mod routes;

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
