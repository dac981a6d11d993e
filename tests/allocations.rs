//! Nothing is allocated for a delivery that is authentic. In a process of its own, whose
//! allocations are counted.
#![allow(clippy::unwrap_used)]

use std::{alloc::System, hint::black_box, time::Duration};

use alloc_tracker::{Allocator, Session};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use webhook_verify::{Scheme, Verifier, testing::Signer};

#[global_allocator]
static ALLOCATOR: Allocator<System> = Allocator::system();

const NOW: Duration = Duration::from_secs(1_795_305_600);

/// The schemes that sign the body with a MAC, and use neither the URL nor fields of the body.
fn plain() -> impl Iterator<Item = &'static Scheme> {
    Scheme::presets().filter(|scheme| {
        let description = scheme.describe();
        let content = description.signed_content;
        scheme.algorithm().is_symmetric()
            && content.contains("{body}")
            && !["{url", "{path", "{form", "{json", "{signed-headers", "{body:", "{secret"]
                .iter()
                .any(|part| content.contains(part))
            && description.signatures.iter().all(|place| place.starts_with("header "))
            && description.timestamp.is_none_or(|place| !place.starts_with("body"))
    })
}

fn allocations(mut run: impl FnMut()) -> u64 {
    run();
    let session = Session::new().no_stdout().no_file();
    let span = session.operation("verify").measure_thread();
    run();
    drop(span.iterations(1));
    let report = session.to_report();
    report.operations().map(|(_, operation)| operation.total_allocations_count()).sum()
}

#[test]
fn a_delivery_is_verified_without_an_allocation() {
    assert!(allocations(|| drop(black_box(vec![1_u8; 100]))) > 0, "nothing is counted");
    let names: Vec<_> = plain().map(Scheme::name).collect();
    for name in ["standard-webhooks", "stripe", "slack", "github", "shopify"] {
        assert!(names.contains(&name), "{name}");
    }
    assert!(names.len() > 60, "{names:?}");
    // Not text, and longer than a block.
    let body = Bytes::from(vec![0xff; 1000]);
    for scheme in plain() {
        let secret = "00112233445566778899aabbccddeeff";
        let signer = Signer::new(scheme.clone(), secret).unwrap();
        let signed = signer.id("msg_2KWPBgLlAfxdpx2AI54pPJ85f4W").event_type("push").at(NOW);
        let mut headers = HeaderMap::new();
        for (name, value) in signed.sign(body.clone()).unwrap().headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.insert(name, HeaderValue::from_str(&value).unwrap());
        }
        let verifier =
            Verifier::builder(scheme.clone()).secret(secret).clock(|| NOW).build().unwrap();
        let count = allocations(|| {
            let delivery = verifier.verify(black_box(&headers), body.clone()).unwrap();
            assert_eq!(delivery.secret_index(), 0);
            drop(black_box(delivery));
        });
        assert_eq!(count, 0, "{}", scheme.name());
    }
}
