//! The adapters within what surrounds them: other layers and middleware, the frameworks' own
//! extractors, HTTP/2, and other frameworks.
#![allow(clippy::unwrap_used)]

mod extractors;

use webhook_verify::{
    Verifier, scheme,
    testing::{SignedRequest, Signer},
};

const SECRET: &str = "It's a Secret to Everybody";

fn verifier() -> Verifier {
    Verifier::new(scheme::GITHUB, SECRET).unwrap()
}

fn signed(body: impl Into<bytes::Bytes>) -> SignedRequest {
    Signer::new(scheme::GITHUB, SECRET).unwrap().sign(body).unwrap()
}
