//! Compressed bodies: each coding, in both modes, through both adapters, in pieces, cut off, and as
//! a bomb.

use std::{
    io::{Read as _, Write as _},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use integration_tests::{App, Framework, Transport};
use webhook_verify::{
    Receiver, Scheme, Verifier, VerifyError,
    scheme::{self, SignedBytes},
    testing::Signer,
};

const SECRET: &str = "nylas-secret";
const MODES: [SignedBytes; 2] = [SignedBytes::AsSent, SignedBytes::Decoded];
const CODINGS: [&str; 5] = ["gzip", "x-gzip", "deflate", "br", "zstd"];
const LIMIT: usize = 1 << 20;

fn text() -> Bytes {
    let items =
        (0..50).map(|number| format!("{{\"id\":{number},\"name\":\"n{}\"}}", number * 7919));
    format!("{{\"id\":\"evt_1\",\"items\":[{}]}}", items.collect::<Vec<_>>().join(",")).into()
}

fn compressed(coding: &str, plain: &[u8]) -> Bytes {
    let mut out = Vec::new();
    let done = match coding {
        "gzip" | "x-gzip" => {
            let mut encoder = flate2::read::GzEncoder::new(plain, flate2::Compression::best());
            encoder.read_to_end(&mut out)
        }
        "deflate" => {
            let mut encoder = flate2::read::ZlibEncoder::new(plain, flate2::Compression::best());
            encoder.read_to_end(&mut out)
        }
        "br" => brotli::CompressorReader::new(plain, 4096, 9, 22).read_to_end(&mut out),
        "zstd" => zstd::stream::read::Encoder::new(plain, 9).unwrap().read_to_end(&mut out),
        _ => return Bytes::copy_from_slice(plain),
    };
    done.unwrap();
    out.into()
}

fn scheme(mode: impl Into<Option<SignedBytes>>) -> Scheme {
    let builder = Scheme::builder("acme").signature_header("x-acme-signature");
    match mode.into() {
        Some(mode) => builder.signed_bytes(mode).build().unwrap(),
        None => builder.build().unwrap(),
    }
}

fn verifier(mode: SignedBytes) -> Verifier {
    Verifier::new(scheme(mode), SECRET).unwrap()
}

/// Returns the headers of a request as its sender makes it: with a signature of what it signs.
fn headers(mode: SignedBytes, coding: &str, plain: &[u8], sent: &[u8]) -> Vec<(String, String)> {
    let signed = if mode == SignedBytes::AsSent { sent } else { plain };
    let signer = Signer::new(scheme(mode), SECRET).unwrap();
    let mut headers = signer.sign(signed.to_vec()).unwrap().headers;
    headers.push(("content-encoding".into(), coding.into()));
    headers
}

/// Verifies a body in pieces.
fn receive(
    mode: SignedBytes,
    headers: &[(String, String)],
    pieces: &[&[u8]],
) -> Result<Bytes, String> {
    let mut incoming = verifier(mode).begin(&headers, LIMIT).map_err(|error| error.reason())?;
    for piece in pieces {
        incoming.update(Bytes::copy_from_slice(piece)).map_err(|_| "body_too_large")?;
    }
    Ok(incoming.finish().map_err(|error| error.reason())?.body().clone())
}

/// Sends a request to a receiver. Returns the response, and the body that the handler got.
async fn send(
    framework: Framework,
    scheme: Scheme,
    headers: &[(String, String)],
    sent: &[u8],
) -> (u16, String, Option<Bytes>) {
    let seen = Arc::new(Mutex::new(None));
    let sink = Arc::clone(&seen);
    let receiver = Receiver::new(Verifier::new(scheme, SECRET).unwrap());
    let app = App::new(
        receiver,
        Arc::new(move |delivery| {
            *sink.lock().unwrap() = Some(delivery.body().clone());
            Box::pin(async { 204 })
        }),
    );
    let response = app.send(framework, Transport::InProcess, "POST", "/", headers, sent).await;
    let body = seen.lock().unwrap().take();
    (response.status, response.text().to_owned(), body)
}

#[tokio::test]
async fn handlers_get_the_decoded_body_in_each_coding_and_mode() {
    let plain = text();
    for framework in [Framework::Axum, Framework::Actix] {
        for mode in MODES {
            for coding in CODINGS.into_iter().chain(["GZIP", "identity", ""]) {
                let sent = compressed(&coding.to_ascii_lowercase(), &plain);
                let headers = headers(mode, coding, &plain, &sent);
                let told = send(framework, scheme(mode), &headers, &sent).await;
                let what = format!("{framework:?} {mode:?} {coding}");
                assert_eq!(told, (204, String::new(), Some(plain.clone())), "{what}");
                // The plain function agrees with the receiver.
                let delivery = verifier(mode).verify(&headers, sent).unwrap();
                assert_eq!(*delivery.body(), plain, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn without_a_mode_and_with_other_codings_the_response_is_415() {
    let plain = text();
    let gzip = compressed("gzip", &plain);
    for framework in [Framework::Axum, Framework::Actix] {
        for coding in CODINGS {
            let mut headers = headers(SignedBytes::AsSent, coding, &plain, &plain);
            let told = send(framework, scheme(None), &headers, &plain).await;
            assert_eq!((told.0, told.2), (415, None), "{coding}");
            // A header of its own for each coding is a list, too.
            headers.push(("content-encoding".into(), "gzip".into()));
            for mode in MODES {
                let told = send(framework, scheme(mode), &headers, &plain).await;
                assert_eq!(told.0, 415, "{coding}");
            }
        }
        for mode in MODES {
            for coding in ["gzip, gzip", "gzip,br", "identity, gzip", "compress", "gzipped", "*"] {
                let headers = headers(mode, coding, &plain, &gzip);
                let told = send(framework, scheme(mode), &headers, &gzip).await;
                let text = "unsupported content encoding".to_owned();
                assert_eq!(told, (415, text, None), "{coding}");
                let refused = verifier(mode).verify(&headers, gzip.clone()).unwrap_err();
                assert_eq!(refused, VerifyError::UnsupportedCoding { feature: None }, "{coding}");
            }
        }
    }
}

#[test]
fn a_body_in_two_pieces_is_the_same_at_every_boundary() {
    let plain = Bytes::from_static(b"{\"a\":[1,2,3],\"b\":[1,2,3],\"c\":[1,2,3]}");
    for mode in MODES {
        for coding in CODINGS {
            let sent = compressed(coding, &plain);
            let headers = headers(mode, coding, &plain, &sent);
            for at in 0..=sent.len() {
                let (start, end) = sent.split_at(at);
                let received = receive(mode, &headers, &[start, end]);
                assert_eq!(received, Ok(plain.clone()), "{mode:?} {coding} {at}");
            }
            let bytes: Vec<_> = sent.chunks(1).collect();
            assert_eq!(receive(mode, &headers, &bytes), Ok(plain.clone()), "{mode:?} {coding}");
        }
    }
}

#[test]
fn bodies_that_are_cut_off_or_go_on_are_malformed() {
    let plain = text();
    for mode in MODES {
        for coding in CODINGS {
            let whole = compressed(coding, &plain);
            let mut wrong: Vec<_> = (0..whole.len()).map(|len| whole.slice(..len)).collect();
            for more in [&b"\0"[..], b"x", &whole] {
                wrong.push([&whole, more].concat().into());
            }
            for sent in wrong {
                let headers = headers(mode, coding, &plain, &sent);
                let what = format!("{mode:?} {coding} {} of {}", sent.len(), whole.len());
                let refused = verifier(mode).verify(&headers, sent.clone()).unwrap_err();
                assert_eq!(refused, VerifyError::MalformedCoding, "{what}");
                let (start, end) = sent.split_at(sent.len() / 2);
                let received = receive(mode, &headers, &[start, end]);
                assert_eq!(received, Err("malformed_coding".to_owned()), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_malformed_body_gets_400_once_it_is_verified() {
    let plain = text();
    for framework in [Framework::Axum, Framework::Actix] {
        for mode in MODES {
            // It says `gzip`, and is something else.
            for other in ["deflate", "br", "zstd", "identity"] {
                let sent = compressed(other, &plain);
                let headers = headers(mode, "gzip", &plain, &sent);
                let told = send(framework, scheme(mode), &headers, &sent).await;
                let text = "could not read body".to_owned();
                assert_eq!(told, (400, text, None), "{mode:?} {other}");
            }
        }
    }
}

#[tokio::test]
async fn bombs_are_refused() {
    for coding in CODINGS {
        // Over the limit of the body, and over the ratio alone.
        for len in [64 << 20, 600 << 10] {
            let plain = vec![b' '; len];
            let sent = compressed(coding, &plain);
            assert!(sent.len() < 200 << 10, "{coding}: {}", sent.len());
            for mode in MODES {
                let headers = headers(mode, coding, &plain, &sent);
                let what = format!("{mode:?} {coding} {len}");
                let refused = verifier(mode).verify(&headers, sent.clone()).unwrap_err();
                assert!(matches!(refused, VerifyError::DecodedTooLarge { .. }), "{what}");
                let expected = match mode {
                    SignedBytes::Decoded => "body_too_large",
                    _ => "decoded_too_large",
                };
                assert_eq!(receive(mode, &headers, &[&sent]), Err(expected.to_owned()), "{what}");
                for framework in [Framework::Axum, Framework::Actix] {
                    let told = send(framework, scheme(mode), &headers, &sent).await;
                    assert_eq!(told, (413, "body too large".to_owned(), None), "{what}");
                }
            }
        }
    }
}

#[test]
fn small_bodies_of_one_byte_are_no_bombs() {
    for coding in CODINGS {
        let plain = Bytes::from(vec![b' '; 64 << 10]);
        let sent = compressed(coding, &plain);
        for mode in MODES {
            let headers = headers(mode, coding, &plain, &sent);
            assert_eq!(receive(mode, &headers, &[&sent]), Ok(plain.clone()), "{coding}");
        }
    }
}

/// Nothing is decoded before it is verified, unless the decoded bytes are signed.
#[test]
fn a_forged_body_is_not_decoded() {
    let plain = vec![b' '; 64 << 20];
    for coding in CODINGS {
        let bomb = compressed(coding, &plain);
        let headers = headers(SignedBytes::AsSent, coding, b"", b"other");
        let refused = verifier(SignedBytes::AsSent).verify(&headers, bomb).unwrap_err();
        assert_eq!(refused, VerifyError::SignatureMismatch, "{coding}");
        let garbage = verifier(SignedBytes::AsSent).verify(&headers, "garbage").unwrap_err();
        assert_eq!(garbage, VerifyError::SignatureMismatch, "{coding}");
    }
}

#[tokio::test]
async fn nylas_signs_the_compressed_bytes() {
    let plain = Bytes::from_static(b"{\"type\":\"message.created\"}");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&plain).unwrap();
    let sent = encoder.finish().unwrap();
    let signer = Signer::new(scheme::NYLAS, SECRET).unwrap();
    let mut headers = signer.sign(sent.clone()).unwrap().headers;
    for encoded in [false, true] {
        if encoded {
            headers.push(("content-encoding".into(), "gzip".into()));
        }
        for framework in [Framework::Axum, Framework::Actix] {
            let told = send(framework, scheme::NYLAS, &headers, &sent).await;
            let body = if encoded { plain.clone() } else { sent.clone().into() };
            assert_eq!(told, (204, String::new(), Some(body)));
        }
    }
}

#[test]
fn schemes_that_cannot_work_with_compressed_bodies_do_not_build() {
    let builder = || Scheme::builder("acme").signature_header("x");
    let as_sent = SignedBytes::AsSent;
    for refused in [
        builder().signed_content("{json:/a}").signed_bytes(as_sent).build(),
        builder().signed_content("{form}").signed_bytes(as_sent).build(),
        builder().require_field("/version", "1").signed_bytes(as_sent).build(),
        builder().refuse_field("/1").signed_bytes(as_sent).build(),
        builder().identity(scheme::Identity::SignedContent).signed_bytes(as_sent).build(),
        builder().algorithm(scheme::Algorithm::Token).signed_bytes(SignedBytes::Decoded).build(),
    ] {
        assert!(refused.unwrap_err().to_string().contains(": signed_bytes: "));
    }
    let decoded = SignedBytes::Decoded;
    assert!(builder().signed_content("{json:/a}").signed_bytes(decoded).build().is_ok());
    assert!(builder().refuse_field("/1").signed_bytes(decoded).build().is_ok());
}

/// A checksum of the compressed bytes is read from the same body as a field of the decoded one.
#[test]
fn fields_are_those_of_the_decoded_body() {
    let plain = br#"{"account":"a","id":1}"#;
    let scheme = Scheme::builder("acme")
        .signature_header("x-acme-signature")
        .signed_content("{crc32}")
        .parameter_field("/account", "account")
        .signed_bytes(SignedBytes::AsSent)
        .build()
        .unwrap();
    let signer = Signer::new(scheme.clone(), SECRET).unwrap().parameter("account", "a");
    for (account, is_right) in [("a", true), ("b", false)] {
        let builder = Verifier::builder(scheme.clone()).secret(SECRET);
        let verifier = builder.parameter("account", account).build().unwrap();
        for coding in CODINGS {
            let sent = compressed(coding, plain);
            let mut signed = signer.sign(sent.clone()).unwrap();
            signed.headers.push(("content-encoding".into(), coding.into()));
            let delivery = verifier.verify(&signed.headers, sent);
            assert_eq!(delivery.is_ok(), is_right, "{coding} {account}");
            assert!(delivery.is_ok_and(|delivery| delivery.body() == &plain[..]) == is_right);
        }
    }
}

/// A signer compresses, and signs the bytes that its scheme defines.
#[tokio::test]
async fn a_signer_compresses_for_every_scheme_that_defines_the_signed_bytes() {
    let presets = Scheme::presets().filter(|scheme| scheme.describe().signed_bytes.is_some());
    let schemes: Vec<_> = presets.cloned().chain(MODES.map(scheme)).collect();
    assert!(schemes.len() > MODES.len());
    for scheme in schemes {
        let plain = text();
        let signer = Signer::new(scheme.clone(), SECRET).unwrap().gzip();
        let signed = signer.sign(plain.clone()).unwrap();
        assert!(signed.body.starts_with(&[0x1f, 0x8b]), "{}", scheme.name());
        for framework in [Framework::Axum, Framework::Actix] {
            let told = send(framework, scheme.clone(), &signed.headers, &signed.body).await;
            assert_eq!(told, (204, String::new(), Some(plain.clone())), "{}", scheme.name());
        }
    }
    for scheme in Scheme::presets().filter(|scheme| scheme.describe().signed_bytes.is_none()) {
        let secret = webhook_verify::testing::random_secret(scheme);
        let Ok(secret) = secret else { continue };
        let signer = Signer::new(scheme.clone(), secret).unwrap().public_url("https://a.test/");
        let signer = scheme
            .describe()
            .parameters
            .iter()
            .fold(signer.gzip(), |signer, name| signer.parameter(name, "x"));
        let error = signer.sign("{}").unwrap_err().to_string();
        assert!(error.contains("signed_bytes"), "{}: {error}", scheme.name());
    }
}
