//! Run with `cargo run --example verify`: the plain function, without a framework or a runtime.

use std::error::Error;

use webhook_verify::{Delivery, RequestHead, Verifier, VerifyError, scheme};

fn main() -> Result<(), Box<dyn Error>> {
    // Once, at start: an empty secret is an error here, and not at the first request.
    let verifier =
        Verifier::new(scheme::HOST_UK_DOCUMENTED, "a secret from the sender's settings")?;

    // For each request: method, target, headers and body as they came off the wire.
    let headers = [
        ("Content-Type", "application/json"),
        (
            "X-Webhook-Signature",
            "sha256=b38f9b9592b6dc3992193a468a8a957cd13140dd4f096b18c9f0e6949efc4ae3",
        ),
    ];
    let body = r#"{"id":"evt_abc123","type":"post.created","data":{"object":{"id":123}}}"#;

    let delivery = receive(&verifier, &headers, body)?;
    println!("{:?} {:?}: {} bytes", delivery.event_type(), delivery.id(), delivery.body().len());

    let changed = receive(&verifier, &headers, r#"{"id":"evt_abc124","type":"post.created"}"#);
    println!("changed: {:?}", changed.map_err(|error| error.reason()));
    Ok(())
}

/// There is no unverified value to mix up with the verified one: it is a `Delivery`, or it is not.
fn receive(
    verifier: &Verifier,
    headers: &[(&'static str, &'static str); 2],
    body: &'static str,
) -> Result<Delivery, VerifyError> {
    verifier.verify(RequestHead::from(headers).method("POST").target("/hooks/host-uk"), body)
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
