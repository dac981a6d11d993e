//! The classic mistakes. On both frameworks, one log line names each mistake, and the client always
//! gets the same response.

use std::{io::Read as _, time::Duration};

use actix_web::{
    dev::ServiceRequest,
    middleware::{Next, from_fn},
    web,
};
use axum::{body::Body, middleware::map_request};
use integration_tests::{
    App, Framework, Logs, Response, Transport, answer, call_actix, call_axum, to_actix, to_axum,
};
use webhook_verify::{
    Scheme, Secret, Verifier, VerifierBuilder, scheme,
    scheme::SignedBytes,
    testing::{SignedRequest, Signer},
};

use crate::{field, receiver, refusals};

const NOW: u64 = 1_795_305_600;
const SECRET: &str = "4f9a1c2be07d55813c6fa0d9e4b7281f4f9a1c2be07d55813c6fa0d9e4b7281f";
const BODY: &str = r#"{"id":"evt_1","type":"paid","card":"4929-1234","path":"a/b"}"#;
const URL: &str = "https://hooks.example.test/square";

struct Mistake {
    name: &'static str,
    verifier: VerifierBuilder,
    request: SignedRequest,
    cause: &'static str,
    /// A part of the hint or of the fix.
    text: &'static str,
}

fn verifier(scheme: Scheme) -> VerifierBuilder {
    Verifier::builder(scheme).clock(|| Duration::from_secs(NOW))
}

fn signed(scheme: Scheme, secret: &str, body: &str) -> SignedRequest {
    let signer = Signer::new(scheme, Secret::exact(secret).unwrap()).unwrap();
    signer.at(Duration::from_secs(NOW)).sign(body.to_owned()).unwrap()
}

fn with_body(mut request: SignedRequest, body: &str) -> SignedRequest {
    request.body = body.to_owned().into();
    request
}

fn with_header(mut request: SignedRequest, name: &str, value: &str) -> SignedRequest {
    request.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    request.headers.push((name.to_owned(), value.to_owned()));
    request
}

fn to_square(url: &str, target: &str) -> SignedRequest {
    let signer = Signer::new(scheme::SQUARE, SECRET).unwrap().public_url(url);
    signer.target(target).at(Duration::from_secs(NOW)).sign(BODY).unwrap()
}

fn at(scheme: Scheme, seconds: u64) -> SignedRequest {
    let signer = Signer::new(scheme, SECRET).unwrap();
    signer.at(Duration::from_secs(seconds)).sign(BODY).unwrap()
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn mistakes() -> Vec<Mistake> {
    let exact = |text: String| Secret::exact(text).unwrap();
    let github = || verifier(scheme::GITHUB).secret(SECRET);
    let good = || signed(scheme::GITHUB, SECRET, BODY);
    let hex = good().headers.into_iter().find(|(name, _)| name == "x-hub-signature-256").unwrap();
    let hex = hex.1.strip_prefix("sha256=").unwrap();
    let acme = Scheme::builder("acme").signature_header("x-webhook-signature");
    let signer = Signer::new(scheme::CONTENTFUL, SECRET).unwrap().target("/api/hook");
    let mut contentful = signer.at(Duration::from_secs(NOW)).sign(BODY).unwrap();
    contentful.target = "/hook".to_owned();
    let mut unsigned = good();
    unsigned.headers.clear();
    let square = || verifier(scheme::SQUARE).secret(SECRET).public_url(URL);
    let raw_key = "K7~x\u{fc}-a-key-of-raw-bytes";
    let raw_in_hex: String = raw_key.bytes().map(|byte| format!("{byte:02x}")).collect();
    let row =
        |name, verifier, request, cause, text| Mistake { name, verifier, request, cause, text };
    vec![
        row(
            "a newline in the secret",
            verifier(scheme::GITHUB).secret(exact(format!("{SECRET}\n"))),
            good(),
            "secret_whitespace",
            "remove the white space",
        ),
        row(
            "a newline in the sender's secret",
            github(),
            signed(scheme::GITHUB, &format!("{SECRET}\n"), BODY),
            "secret_whitespace",
            "white space after the secret at the sender",
        ),
        row(
            "quotes in the secret",
            verifier(scheme::GITHUB).secret(exact(format!("\"{SECRET}\""))),
            good(),
            "secret_quotes",
            "remove the quotation marks",
        ),
        row(
            "the secret of another environment",
            github(),
            signed(scheme::GITHUB, "the secret of the test environment", BODY),
            "no_match",
            "compare the secret with the one that the sender shows",
        ),
        row(
            "a body that was parsed and written again",
            github(),
            with_body(good(), &BODY.replace(':', ": ").replace(',', ", ")),
            "body_reserialized",
            "the body as compact JSON",
        ),
        row(
            "a body of PHP that was written again",
            github(),
            with_body(signed(scheme::GITHUB, SECRET, &BODY.replace('/', "\\/")), BODY),
            "body_reserialized",
            "compact JSON with escaped slashes",
        ),
        row(
            "a final newline that was lost",
            github(),
            with_body(signed(scheme::GITHUB, SECRET, &format!("{BODY}\n")), BODY),
            "body_final_newline",
            "with white space at the end",
        ),
        row(
            "a final newline that was added",
            github(),
            with_body(good(), &format!("{BODY}\n")),
            "body_final_newline",
            "without the white space around the body",
        ),
        row(
            "another scheme with the same header",
            verifier(scheme::GENERIC_HEX).secret(SECRET),
            signed(scheme::HOST_UK_CORE_API, SECRET, BODY),
            "malformed_signature",
            "the request has the form of `host-uk-core-api`",
        ),
        row(
            "another scheme with the same header and form",
            verifier(acme.build().unwrap()).secret(SECRET),
            signed(scheme::HOST_UK_CORE_API, SECRET, BODY),
            "other_sender",
            "use the scheme `host-uk-core-api`",
        ),
        row(
            "another scheme with the same header in another form",
            verifier(scheme::MAUTIC).secret(SECRET),
            signed(scheme::STANDARD_WEBHOOKS, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", BODY),
            "malformed_signature",
            "`standard-webhooks`",
        ),
        row(
            "another scheme with another header",
            github(),
            signed(scheme::STRIPE, SECRET, BODY),
            "other_sender",
            "the header `stripe-signature`",
        ),
        row(
            "http in place of https",
            square(),
            to_square("http://hooks.example.test/square", "/square"),
            "url_scheme",
            "set `http://hooks.example.test/square` as the public URL",
        ),
        row(
            "another host in front of the proxy",
            square(),
            with_header(
                to_square("https://shop.example.test/square", "/square"),
                "x-forwarded-host",
                "shop.example.test",
            ),
            "url_host",
            "set `https://shop.example.test/square` as the public URL",
        ),
        row(
            "a path prefix that the proxy removes",
            square(),
            with_header(
                to_square("https://hooks.example.test/api/square", "/square?a=secret-a"),
                "x-forwarded-prefix",
                "/api",
            ),
            "url_path",
            "set `https://hooks.example.test/api/square` as the public URL",
        ),
        row(
            "a path prefix that the proxy removes, of a signed path",
            verifier(scheme::CONTENTFUL).secret(SECRET),
            with_header(contentful, "x-forwarded-prefix", "/api"),
            "url_path",
            "set `https://receiver.example.test/api/hook` as the public URL",
        ),
        row(
            "an unknown URL",
            square(),
            to_square("https://elsewhere.example.test/other", "/square"),
            "no_match",
            "the URL with other schemes, hosts, ports and paths",
        ),
        row(
            "a signature in hex for one in base64",
            verifier(scheme::MAUTIC).secret(SECRET),
            with_header(good(), "webhook-signature", hex),
            "encoding_mismatch",
            "the signature is in hex, but the scheme expects base64",
        ),
        row(
            "a signature without its prefix",
            github(),
            with_header(good(), "x-hub-signature-256", hex),
            "malformed_signature",
            "the signature lacks the prefix `sha256=`",
        ),
        row(
            "a secret in hex for its text",
            verifier(scheme::GITHUB).secret(&raw_in_hex),
            signed(scheme::GITHUB, raw_key, BODY),
            "secret_encoding",
            "the sender decodes the secret from hex",
        ),
        row(
            "a clock that is ahead",
            verifier(scheme::STRIPE).secret(SECRET),
            at(scheme::STRIPE, NOW - 700),
            "timestamp_old",
            "check this host's clock",
        ),
        row(
            "a clock that is behind",
            verifier(scheme::STRIPE).secret(SECRET),
            at(scheme::STRIPE, NOW + 700),
            "timestamp_future",
            "check this host's clock",
        ),
        row(
            "a timestamp of another zone",
            verifier(scheme::STRIPE).secret(SECRET),
            at(scheme::STRIPE, NOW + 2 * 3600 + 3),
            "timestamp_future",
            "time zone",
        ),
        row("a missing header", github(), unsigned, "missing_header", "set a secret at the sender"),
    ]
}

/// Checks the line of a refused request, and returns its cause, hint and fix.
fn judge(mistake: &str, endpoint: &str, response: &Response, cause: &str, text: &str) -> String {
    assert_eq!((response.status, response.text()), (401, "invalid webhook signature"), "{mistake}");
    let log = Logs::collect().text();
    let lines = refusals(&log, endpoint);
    let [line] = &lines[..] else { panic!("{mistake}: {lines:#?}") };
    let given = ["cause", "hint", "fix"].map(|name| field(line, name)).join(" | ");
    assert_eq!(field(line, "cause"), cause, "{mistake}: {line}");
    assert!(given.contains(text), "{mistake}: {line}");
    for name in
        ["scheme", "reason", "method", "path", "expected", "secrets", "hint", "fix", "suppressed"]
    {
        assert!(!field(line, name).is_empty(), "{mistake}, {name}: {line}");
    }
    for secret in [SECRET, &SECRET[..16], "4929-1234", "secret-a"] {
        assert!(!line.contains(secret), "{mistake}: {line}");
    }
    given
}

#[tokio::test]
async fn each_classic_mistake_is_named_by_one_line() {
    let _logs = Logs::collect();
    for framework in [Framework::Axum, Framework::Actix] {
        println!("\n| on {framework:?} | cause | hint | fix |\n|---|---|---|---|");
        for (number, mistake) in mistakes().into_iter().enumerate() {
            let Mistake { name, verifier, request, cause, text } = mistake;
            let endpoint = format!("mistake-{number}-{framework:?}");
            let app = App::new(receiver(&endpoint, verifier.build().unwrap()), answer(204));
            let (target, headers, body) = (&request.target, &request.headers, &request.body);
            let sent = app.send(framework, Transport::Socket, "POST", target, headers, body);
            println!("| {name} | {} |", judge(name, &endpoint, &sent.await, cause, text));
        }
    }
}

fn decompressed(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap();
    plain
}

/// A layer outside decompresses the body, which the sender signed as sent.
#[tokio::test]
async fn a_body_that_a_layer_changed_is_named() {
    let _logs = Logs::collect();
    for removed in [&["content-encoding"][..], &["content-encoding", "content-length"]] {
        let text = "move the layer that decompresses";
        let scheme = Scheme::builder("acme").signature_header("x-acme-signature");
        let scheme = scheme.signed_bytes(SignedBytes::AsSent).build().unwrap();
        let request = Signer::new(scheme.clone(), SECRET).unwrap().gzip().sign(BODY).unwrap();
        let app = |endpoint: &str| {
            let verifier = verifier(scheme.clone()).secret(SECRET).build().unwrap();
            App::new(receiver(endpoint, verifier), answer(204))
        };

        let endpoint = format!("layer-{}-axum", removed.len());
        let decompress = move |mut request: http::Request<Body>| async move {
            removed.iter().for_each(|name| drop(request.headers_mut().remove(*name)));
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            http::Request::from_parts(parts, Body::from(decompressed(&body)))
        };
        let router = app(&endpoint).axum().0.layer(map_request(decompress));
        // actix's test requests have this header by themselves.
        let len = request.body.len().to_string();
        let sent = to_axum("/", &with_header(request.clone(), "content-length", &len));
        let response = call_axum(router, sent).await;
        judge("a layer of axum", &endpoint, &response, "body_decompressed", text);

        let endpoint = format!("layer-{}-actix", removed.len());
        let app = app(&endpoint);
        let call = move || {
            let decompress =
                from_fn(move |mut request: ServiceRequest, next: Next<_>| async move {
                    let body = request.extract::<web::Bytes>().await.unwrap();
                    for name in removed {
                        request.headers_mut().remove(*name);
                    }
                    request.set_payload(web::Bytes::from(decompressed(&body)).into());
                    next.call(request).await
                });
            let configure = |config: &mut web::ServiceConfig| {
                config.service(web::scope("").wrap(decompress).service(app.actix()));
            };
            actix_web::rt::System::new().block_on(call_actix(configure, to_actix("/", &request)))
        };
        let response = tokio::task::spawn_blocking(call).await.unwrap();
        judge("a middleware of actix", &endpoint, &response, "body_decompressed", text);
    }
}
