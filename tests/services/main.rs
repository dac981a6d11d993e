//! Small services, written from the documentation alone. A test limits their length.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "tests do not call the services' `serve`, and a panic is a failure"
)]

mod actix_scheme_file;
mod axum_three_senders;
mod claim_store;
mod rotation;
mod signed_requests;
mod tenants;

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use tower::ServiceExt as _;
use webhook_verify_axum::testing::SignedRequest;

/// Sends a request to a service, without a network.
async fn send(app: &Router, signed: SignedRequest) -> StatusCode {
    let request = Request::<Body>::try_from(signed).unwrap();
    app.clone().oneshot(request).await.unwrap().status()
}

/// Returns the request with another body under the same signature.
fn forged(mut signed: SignedRequest) -> SignedRequest {
    signed.body = br#"{"forged":true}"#.as_slice().into();
    signed
}

/// Counts the lines of a service that are neither blank, nor comments, nor imports, nor part of a
/// handler: a function whose name begins with `on_`. The tests of a service are in `mod tests`.
fn lines_beyond_handlers(source: &str) -> usize {
    let mut skipped_until = None;
    let service = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut count = 0;
    for line in service.lines() {
        if let Some(end) = skipped_until {
            if line == end {
                skipped_until = None;
            }
        } else if line.starts_with("use ") && !line.ends_with(';') {
            skipped_until = Some("};");
        } else if line.starts_with("async fn on_") {
            skipped_until = Some("}");
        } else if !(line.is_empty() || line.starts_with("use ") || line.trim().starts_with("//")) {
            count += 1;
        }
    }
    count
}

#[test]
fn lines_of_handlers_are_not_counted() {
    let source = "use a;\nuse b::{\n    c,\n};\n\n/// d\nfn e() {\n    f()\n}\n\n\
        async fn on_g() {\n    h()\n}\n\n#[cfg(test)]\nmod tests {\n}\n";
    assert_eq!(lines_beyond_handlers(source), 3);
}

#[test]
fn services_stay_short() {
    for (name, source, limit) in [
        ("axum_three_senders", include_str!("axum_three_senders.rs"), 40),
        ("actix_scheme_file", include_str!("actix_scheme_file.rs"), 40),
        ("tenants", include_str!("tenants.rs"), 40),
        ("rotation", include_str!("rotation.rs"), 40),
        ("signed_requests", include_str!("signed_requests.rs"), 40),
        // The rules of leases and owners take most of it.
        ("claim_store", include_str!("claim_store.rs"), 95),
    ] {
        let lines = lines_beyond_handlers(source);
        assert!(lines <= limit, "{name} has {lines} lines beyond its handlers, over {limit}");
    }
}
