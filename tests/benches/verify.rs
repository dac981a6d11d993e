//! Measures what a verification costs beyond the hash.
//!
//! The floor is the digest of as many SHA-256 blocks as the HMAC takes; each scheme has its own,
//! because some sign a few bytes more than the body. The other cases take in the look-up of their
//! headers among ten.

mod harness;

use std::{error::Error, hint::black_box, time::SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use harness::{Table, each, floor_input, headers, iterations_for, text};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};
use webhook_verify::{Scheme, Verifier, VerifyError, scheme, testing::Signer};

const ROUNDS: usize = 101;
const SIZES: [usize; 6] = [0, 128, 1024, 4096, 65_536, 1 << 20];
const CHUNK: usize = 8192;
const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ID: &str = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W";

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    for len in SIZES {
        sizes(len)?;
    }
    rotation_lists()
}

fn sizes(len: usize) -> Outcome<()> {
    let body = Bytes::from_static(text(len).leak());
    let mut table = Table::new(format!("{len} bytes"), ROUNDS, iterations_for(len));

    table.reference("floor", floor(len));
    let (prepared, tag) = hmac_and_hex(&body)?;
    let bare_body = body.clone();
    table.case(
        "hmac cloned, hex",
        each(move || verify_bare(&prepared, black_box(&bare_body), black_box(&tag))),
    );
    ours(&mut table, scheme::GITHUB, &body, &[SECRET])?;
    ours(&mut table, scheme::MAUTIC, &body, &[SECRET])?;
    ours(&mut table, scheme::GITHUB, &body, &[SECRET, OTHER_SECRET])?;
    ours(&mut table, scheme::GITHUB, &body, &[OTHER_SECRET, SECRET])?;
    if len >= CHUNK {
        chunked(&mut table, &body)?;
    }

    // The signed content before the body: `{id}.{timestamp}.`, `{timestamp}.`, `v0:{timestamp}:`.
    for (scheme, more) in
        [(scheme::STANDARD_WEBHOOKS, ID.len() + 12), (scheme::STRIPE, 11), (scheme::SLACK, 14)]
    {
        table.reference(format!("floor, {more} bytes more"), floor(len + more));
        ours(&mut table, scheme, &body, &[SECRET])?;
    }
    table.run();
    Ok(())
}

/// Many signatures in one header: the body is hashed once, however many there are.
fn rotation_lists() -> Outcome<()> {
    const LEN: usize = 65_536;
    let body = Bytes::from(text(LEN));
    let verifier = Verifier::new(scheme::STANDARD_WEBHOOKS, SECRET)?;
    let mut table = Table::new(
        "wrong signatures in one Standard Webhooks header, 65536 bytes",
        ROUNDS,
        iterations_for(LEN),
    );
    table.reference("floor", floor(LEN + ID.len() + 12));
    let right = signed_headers(scheme::STANDARD_WEBHOOKS, &body, SECRET)?;
    for (count, expected) in [
        (1, VerifyError::SignatureMismatch),
        (10, VerifyError::SignatureMismatch),
        (16, VerifyError::SignatureMismatch),
        (100, VerifyError::MalformedSignature),
    ] {
        let wrong: Vec<_> =
            (0..count).map(|index: u8| format!("v1,{}", STANDARD.encode([index; 32]))).collect();
        let mut headers = right.clone();
        headers.insert("webhook-signature", HeaderValue::from_str(&wrong.join(" "))?);
        let refused = verifier.verify(&headers, body.clone()).err();
        assert_eq!(refused, Some(expected), "{count}");
        let (verifier, body) = (verifier.clone(), body.clone());
        table.case(
            format!("{count} wrong: {}", expected.reason()),
            each(move || verifier.verify(black_box(&headers), black_box(body.clone()))),
        );
    }
    table.run();
    Ok(())
}

fn floor(len: usize) -> impl FnMut(u32) {
    let input = floor_input(len);
    each(move || Sha256::digest(black_box(&input)))
}

fn ours(table: &mut Table<'_>, scheme: Scheme, body: &Bytes, secrets: &[&str]) -> Outcome<()> {
    let headers = signed_headers(scheme.clone(), body, SECRET)?;
    let name = scheme.name().to_owned();
    let builder = Verifier::builder(scheme);
    let verifier =
        secrets.iter().fold(builder, |builder, &secret| builder.secret(secret)).build()?;
    let matched = verifier.verify(&headers, body.clone())?.secret_index();
    assert_eq!(secrets.get(matched), Some(&SECRET));
    let body = body.clone();
    table.case(
        match secrets.len() {
            1 => format!("ours, {name}"),
            live => format!("ours, {name}, secret {} of {live}", matched + 1),
        },
        each(move || verifier.verify(black_box(&headers), black_box(body.clone()))),
    );
    Ok(())
}

fn chunked(table: &mut Table<'_>, body: &Bytes) -> Outcome<()> {
    let headers = signed_headers(scheme::GITHUB, body, SECRET)?;
    let verifier = Verifier::new(scheme::GITHUB, SECRET)?;
    let body = body.clone();
    let chunks: Vec<_> = (0..body.len())
        .step_by(CHUNK)
        .map(|at| body.slice(at..body.len().min(at + CHUNK)))
        .collect();
    let receive = move || -> Outcome<_> {
        let mut incoming = verifier.begin(black_box(&headers), 2 << 20)?;
        for chunk in &chunks {
            incoming.update(black_box(chunk.clone()))?;
        }
        Ok(incoming.finish()?)
    };
    assert_eq!(receive()?.body(), &body);
    table.case("ours, github, chunks of 8 KiB, joined", each(receive));
    Ok(())
}

fn signed_headers(scheme: Scheme, body: &Bytes, secret: &str) -> Outcome<HeaderMap> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let event = (scheme.name() == "github").then_some("push");
    let signed = Signer::new(scheme, secret)?.id(ID).at(now).sign(body.clone())?;
    Ok(headers(&signed.headers, event, body.len()))
}

fn hmac_and_hex(body: &[u8]) -> Outcome<(Hmac<Sha256>, String)> {
    let prepared = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?;
    let tag = hex::encode(prepared.clone().chain_update(body).finalize().into_bytes());
    assert!(verify_bare(&prepared, body, &tag));
    Ok((prepared, tag))
}

fn verify_bare(prepared: &Hmac<Sha256>, body: &[u8], tag: &str) -> bool {
    let mut decoded = [0; 32];
    if hex::decode_to_slice(tag, &mut decoded).is_err() {
        return false;
    }
    let mac = prepared.clone().chain_update(body);
    mac.verify_slice(&decoded).is_ok()
}
