//! Nothing is allocated for a delivery that is authentic. In a process of its own, whose
//! allocations are counted.
#![allow(clippy::unwrap_used)]

use std::{
    alloc::System,
    hint::black_box,
    io::{Read as _, Write as _},
    time::Duration,
};

use alloc_tracker::{Allocator, Session};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use webhook_verify::{Scheme, Verifier, VerifyError, scheme::SignedBytes, testing::Signer};

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

/// Returns the most bytes that were allocated at any moment.
fn peak(run: impl FnOnce()) -> f64 {
    let session = Session::new().no_stdout().no_file();
    let span = session.operation("decode").measure_thread();
    run();
    drop(span.iterations(1));
    let report = session.to_report();
    let peaks = report.operations().filter_map(|(_, operation)| operation.peak_outstanding_bytes());
    peaks.fold(0.0, f64::max)
}

#[test]
fn a_bomb_takes_no_more_memory_than_the_limit_and_a_window() {
    const MIB: usize = 1 << 20;
    assert!(peak(|| drop(black_box(vec![1_u8; MIB]))) >= MIB as f64, "nothing is measured");
    let plain = vec![b' '; 64 * MIB];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&plain).unwrap();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    zlib.write_all(&plain).unwrap();
    let mut brotli = Vec::new();
    brotli::CompressorReader::new(&*plain, 4096, 5, 24).read_to_end(&mut brotli).unwrap();
    // The decoder's window is not counted here: it is in C, and has 8 MiB at most.
    let zstd = zstd::stream::encode_all(&*plain, 3).unwrap();
    let bombs = [
        ("gzip", gzip.finish().unwrap(), 3 * MIB),
        ("deflate", zlib.finish().unwrap(), 3 * MIB),
        ("br", brotli, 20 * MIB),
        ("zstd", zstd, 3 * MIB),
    ];
    for (coding, bomb, most) in bombs {
        for mode in [SignedBytes::AsSent, SignedBytes::Decoded] {
            let builder = Scheme::builder("acme").signature_header("x").signed_bytes(mode);
            let scheme = builder.build().unwrap();
            let signer = Signer::new(scheme.clone(), "secret").unwrap();
            let mut headers = signer.sign(bomb.clone()).unwrap().headers;
            headers.push(("content-encoding".into(), coding.into()));
            let verifier = Verifier::new(scheme, "secret").unwrap();
            let bomb = Bytes::from(bomb.clone());
            let peak = peak(|| {
                let refused = verifier.verify(&headers, bomb).unwrap_err();
                assert!(matches!(refused, VerifyError::DecodedTooLarge { .. }), "{coding}");
            });
            assert!(peak < most as f64, "{coding} {mode:?}: {peak} bytes");
        }
    }
}
