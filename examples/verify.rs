//! Verifies requests without a framework and without a runtime.
//!
//! Run `cargo run --example verify`.

use std::error::Error;

use webhook_verify::{RequestHead, Verifier, scheme};

fn main() -> Result<(), Box<dyn Error>> {
    // Once, at the start: an empty secret is an error here, not at the first request.
    let verifier =
        Verifier::new(scheme::HOST_UK_DOCUMENTED, "a secret from the sender's settings")?;

    // For each request: its method, target, headers and body, as they were received.
    let headers = [
        ("Content-Type", "application/json"),
        (
            "X-Webhook-Signature",
            "sha256=b38f9b9592b6dc3992193a468a8a957cd13140dd4f096b18c9f0e6949efc4ae3",
        ),
    ];
    let head = || RequestHead::from(&headers).method("POST").target("/hooks/host-uk");
    let body = r#"{"id":"evt_abc123","type":"post.created","data":{"object":{"id":123}}}"#;

    // Only a verified request becomes a `Delivery`.
    let delivery = verifier.verify(head(), body)?;
    println!("{:?} {:?}: {} bytes", delivery.event_type(), delivery.id(), delivery.body().len());

    let changed = verifier.verify(head(), r#"{"id":"evt_abc124","type":"post.created"}"#);
    println!("changed: {:?}", changed.map_err(|error| error.reason()));
    Ok(())
}
