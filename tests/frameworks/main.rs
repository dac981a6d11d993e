//! Tests the adapters together with other layers and middleware, the frameworks' own extractors,
//! HTTP/2, and other frameworks.
#![allow(clippy::unwrap_used)]

mod callbacks;
mod extractors;
mod failures;
mod grpc;
mod hosts;
mod layers;
mod lookups;
mod others;
mod slots;
mod spans;

use webhook_verify::{
    Idempotency, MemoryStore, Receiver, Verifier, scheme,
    testing::{SignedRequest, Signer},
};

const SECRET: &str = "It's a Secret to Everybody";

fn verifier() -> Verifier {
    Verifier::new(scheme::GITHUB, SECRET).unwrap()
}

/// A receiver without claims.
fn receiver() -> Receiver {
    Receiver::new(verifier())
}

/// A receiver that runs each delivery once.
fn deduplicating() -> Receiver {
    let idempotency = Idempotency::new(MemoryStore::new(), "tests");
    Receiver::builder(verifier()).idempotency(idempotency).build().unwrap()
}

fn signed(body: impl Into<bytes::Bytes>) -> SignedRequest {
    Signer::new(scheme::GITHUB, SECRET).unwrap().sign(body).unwrap()
}
