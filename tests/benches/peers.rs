//! The core next to the crates that do the same, on requests that all of them support. The cases
//! that are not libraries (the floor, ring) skip the lookup of headers, unless they say otherwise.

mod harness;

use std::{error::Error, hint::black_box, time::SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use harness::{Table, each, floor_input, headers, iterations_for, text};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use ours::{Scheme, Verifier, scheme, testing::Signer};
use rival::{Provider, Secret, VerifyOptions};
use sha2::{Digest as _, Sha256};

const ROUNDS: usize = 101;
const SIZES: [usize; 6] = [0, 128, 1024, 4096, 65_536, 1 << 20];
const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W";

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    for len in SIZES {
        let body = Bytes::from_static(text(len).leak());
        let mut table = Table::new(format!("{len} bytes"), ROUNDS, iterations_for(len));
        table.reference("floor", floor(len));
        github(&mut table, &body)?;
        // `{id}.{timestamp}.` is signed, too.
        let more = ID.len() + 12;
        table.reference(format!("floor, {more} bytes more"), floor(len + more));
        standard_webhooks(&mut table, &body)?;
        table.run();
    }
    Ok(())
}

fn github(table: &mut Table<'_>, body: &Bytes) -> Outcome<()> {
    case_of_ours(table, scheme::GITHUB, body)?;

    let headers = signed_headers(scheme::GITHUB, body)?;
    let secret = Secret::new(SECRET);
    let their_body = body.clone();
    let verify = move || {
        rival::verify(
            Provider::GitHub,
            black_box(&headers),
            black_box(&their_body),
            &secret,
            VerifyOptions::default(),
        )
    };
    verify()?;
    table.case("webhook-verify 0.1.0, GitHub", each(verify));

    let tag = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?
        .chain_update(body)
        .finalize()
        .into_bytes();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let (in_hex, key_of_hex, body_of_hex) = (hex::encode(tag), key.clone(), body.clone());
    let verify = move || {
        let mut decoded = [0; 32];
        hex::decode_to_slice(black_box(&in_hex), &mut decoded).is_ok()
            && ring::hmac::verify(&key_of_hex, black_box(&body_of_hex), &decoded).is_ok()
    };
    assert!(verify());
    table.case("ring, prepared, hex", each(verify));

    // A service would write this by hand with ring.
    let (key_of_header, body_of_header) = (key.clone(), body.clone());
    let headers = signed_headers(scheme::GITHUB, body)?;
    let verify = move || {
        let mut decoded = [0; 32];
        black_box(&headers)
            .get("x-hub-signature-256")
            .and_then(|value| value.as_bytes().strip_prefix(b"sha256="))
            .is_some_and(|digits| hex::decode_to_slice(digits, &mut decoded).is_ok())
            && ring::hmac::verify(&key_of_header, black_box(&body_of_header), &decoded).is_ok()
    };
    assert!(verify());
    table.case("ring, prepared, hex, header looked up", each(verify));

    let (in_base64, body) = (STANDARD.encode(tag), body.clone());
    let verify = move || {
        // The decoder wants room for its estimate, a byte over the real length.
        let mut decoded = [0; 33];
        STANDARD
            .decode_slice(black_box(&in_base64), &mut decoded)
            .is_ok_and(|len| ring::hmac::verify(&key, black_box(&body), &decoded[..len]).is_ok())
    };
    assert!(verify());
    table.case("ring, prepared, base64", each(verify));
    Ok(())
}

fn standard_webhooks(table: &mut Table<'_>, body: &Bytes) -> Outcome<()> {
    case_of_ours(table, scheme::STANDARD_WEBHOOKS, body)?;
    let headers = signed_headers(scheme::STANDARD_WEBHOOKS, body)?;

    let webhook = standardwebhooks::Webhook::new(SECRET)?;
    let (their_headers, their_body) = (headers.clone(), body.clone());
    let verify = move || webhook.verify(black_box(&their_body), black_box(&their_headers));
    verify()?;
    table.case("standardwebhooks 1.0.1", each(verify));

    let webhook = svix::webhooks::Webhook::new(SECRET)?;
    let (their_headers, their_body) = (headers.clone(), body.clone());
    let verify = move || webhook.verify(black_box(&their_body), black_box(&their_headers));
    verify()?;
    table.case("svix 2.9.1", each(verify));

    let (secret, body) = (Secret::new(SECRET), body.clone());
    let verify = move || {
        rival::verify(
            Provider::StandardWebhooks,
            black_box(&headers),
            black_box(&body),
            &secret,
            VerifyOptions::default(),
        )
    };
    verify()?;
    table.case("webhook-verify 0.1.0, Standard Webhooks", each(verify));
    Ok(())
}

fn case_of_ours(table: &mut Table<'_>, scheme: Scheme, body: &Bytes) -> Outcome<()> {
    let headers = signed_headers(scheme.clone(), body)?;
    let name = scheme.name().to_owned();
    let (verifier, body) = (Verifier::new(scheme, SECRET)?, body.clone());
    let verify = move || verifier.verify(black_box(&headers), black_box(body.clone()));
    drop(verify()?);
    table.case(format!("ours, {name}"), each(verify));
    Ok(())
}

fn floor(len: usize) -> impl FnMut(u32) {
    let input = floor_input(len);
    each(move || Sha256::digest(black_box(&input)))
}

fn signed_headers(scheme: Scheme, body: &Bytes) -> Outcome<HeaderMap> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let signed = Signer::new(scheme, SECRET)?.id(ID).at(now).sign(body.clone())?;
    Ok(headers(&signed.headers, Some("push"), body.len()))
}
