//! Signatures, ids and timestamps that are written in another way.

use integration_tests::Framework;
use webhook_verify::{VerifyError, scheme};

use integration_tests::attacks::{Request, Target, base64, both, hex, mac, now, verifier};

const MALFORMED: VerifyError = VerifyError::MalformedSignature;

fn with_hex(header: &str) -> Request {
    Request::new(&[("X-Webhook-Signature", header)], "{}")
}

/// A body whose base64 signature holds both characters that are not in the URL-safe alphabet.
fn body_with_plus_and_slash() -> String {
    let signature = |body: &String| base64(&mac(&[body.as_bytes()]));
    (0..)
        .map(|number| format!("{{\"number\":{number}}}"))
        .find(|body| signature(body).contains('+') && signature(body).contains('/'))
        .unwrap()
}

#[tokio::test]
async fn a15_bytes_that_are_not_ascii() {
    let request = Request::standard("msg_1", &now(), "{}");
    for target in &both(verifier(scheme::STANDARD_WEBHOOKS)).await {
        for byte in [0x80, 0x9f, 0xa0, 0xc3, 0xe2, 0xff] {
            for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
                for at_end in [false, true] {
                    let mut value = request.get(name).as_bytes().to_vec();
                    value.insert(if at_end { value.len() } else { 0 }, byte);
                    let request = request.with(name, &value);
                    let verdict = request.judge(&target.verifier).map(drop);
                    assert!(verdict.is_err(), "{name} {byte:x}");
                    target.refuses_raw(name, &request.raw()).await;
                }
            }
            // A header that the scheme does not use may hold any bytes.
            target.accepts("another header", &request.and("x-note", [byte])).await;
        }
        // Signed as they are, and still no text.
        let content = [b"msg_\xff.", now().as_bytes(), b".{}"].concat();
        let signature = format!("v1,{}", base64(&mac(&[&content])));
        let request = request.with("webhook-id", b"msg_\xff").with("webhook-signature", signature);
        target.refuses("an id that is no text", &request, VerifyError::MalformedId).await;
        // In names, the server refuses them, as it does control characters in values.
        let raw = Request::hex("{}").and("x-n\u{e9}", "1").raw();
        target.answers("a name", &raw, 400, "").await;
        let raw = request.and("x-note", b"a\x01b").raw();
        target.answers("a control character", &raw, 400, "").await;
    }
}

#[tokio::test]
async fn a16_unicode_look_alikes() {
    for target in &both(verifier(scheme::STANDARD_WEBHOOKS)).await {
        // full-width digits, signed as they are sent
        let wide: String =
            now().chars().map(|digit| char::from_u32(u32::from(digit) + 0xfee0).unwrap()).collect();
        let request = Request::standard("msg_1", &wide, "{}");
        target.refuses("full-width", &request, VerifyError::MalformedTimestamp).await;
        // U+2024 in the place of the delimiter
        let request = Request::standard("msg_1.2", &now(), "{}");
        let request = request.with("webhook-id", "msg_1\u{2024}2");
        target.refuses("one dot leader", &request, VerifyError::SignatureMismatch).await;
        // a Cyrillic or full-width letter in the version
        let signature = Request::standard("msg_1", &now(), "{}");
        for version in ["\u{475}1", "\u{ff56}1", "v\u{661}"] {
            let header = signature.get("webhook-signature").replace("v1", version);
            let request = signature.with("webhook-signature", header);
            target.refuses(version, &request, VerifyError::UnsupportedVersion).await;
        }
    }
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        let good = Request::hex("{}").get("X-Webhook-Signature").to_owned();
        for (letter, alike) in [("sha", "\u{455}ha"), ("=", "\u{ff1d}"), ("2", "\u{ff12}")] {
            let request = with_hex(&good.replacen(letter, alike, 1));
            target.refuses(alike, &request, MALFORMED).await;
        }
    }
}

#[tokio::test]
async fn a17_base64_has_one_form() {
    let body = body_with_plus_and_slash();
    let good = base64(&mac(&[body.as_bytes()]));
    assert!(good.ends_with('='));
    // the last character before the padding carries two bits that are no part of the MAC
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let last = good.as_bytes()[42];
    let value = alphabet.iter().position(|&byte| byte == last).unwrap();
    let trailing_bit = format!("{}{}=", &good[..42], char::from(alphabet[value | 1]));
    assert_ne!(trailing_bit, good);
    let forms = [
        good.trim_end_matches('=').to_owned(),
        format!("{good}="),
        good.replace('+', "-").replace('/', "_"),
        good.replace('+', "-"),
        good.replace('/', "_"),
        good.replace('+', " "),
        trailing_bit,
        format!("{}\t{}", &good[..20], &good[20..]),
        format!("{}={}", &good[..20], &good[20..]),
        good.replace('=', "%3D"),
        good.to_ascii_lowercase(),
    ];
    for target in &both(verifier(scheme::GENERIC_BASE64)).await {
        target.accepts("as it is", &Request::base64(&body)).await;
        for form in &forms {
            let request = Request::base64(&body).with("Webhook-Signature", form);
            let reason = match *form == good.to_ascii_lowercase() {
                true => request.judge(&target.verifier).unwrap_err(),
                false => MALFORMED,
            };
            target.refuses(form, &request, reason).await;
        }
        // Line breaks cannot be in a header. The plain function accepts any bytes.
        for form in [format!("{good}\n"), format!("{}\r\n{}", &good[..20], &good[20..])] {
            let request = Request::base64(&body).with("Webhook-Signature", form);
            assert_eq!(request.judge(&target.verifier).map(drop), Err(MALFORMED));
        }
    }
}

#[tokio::test]
async fn a18_hex_forms() {
    let good = hex(&mac(&[b"{}"]));
    let mixed: String = good
        .char_indices()
        .map(|(at, digit)| if at % 2 == 0 { digit.to_ascii_uppercase() } else { digit })
        .collect();
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        for form in [&good, &good.to_uppercase(), &mixed] {
            let request = with_hex(&format!("sha256={form}"));
            target.accepts("either case", &request).await;
        }
        for form in [
            good[..63].to_owned(),
            good[1..].to_owned(),
            format!("{good}0"),
            format!("0{good}"),
            format!("0x{good}"),
            format!("0x{}", &good[2..]),
            format!("{}g", &good[..63]),
            format!("{} {}", &good[..32], &good[33..]),
            format!("{}:{}", &good[..32], &good[33..]),
            format!("\"{good}\""),
            base64(&mac(&[b"{}"])),
        ] {
            let request = with_hex(&format!("sha256={form}"));
            target.refuses(&form, &request, MALFORMED).await;
        }
    }
}

#[tokio::test]
async fn a19_white_space() {
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        let good = Request::hex("{}").get("X-Webhook-Signature").to_owned();
        // Around a value it is HTTP's own, and the server takes it away.
        for form in [format!("  {good}"), format!("{good} \t"), format!("\t{good}")] {
            let request = with_hex(&form);
            assert_eq!(request.judge(&target.verifier).map(drop), Err(MALFORMED));
            target.accepts_raw(&form, &request.raw(), b"{}").await;
        }
        for form in [
            good.replace('=', "= "),
            good.replace('=', " ="),
            good.replace('=', "=\t"),
            good.replace('=', "=\u{a0}"),
            format!("\u{a0}{good}"),
            format!("{good}\u{a0}"),
            format!("{good}\u{2003}"),
            format!("\u{feff}{good}"),
        ] {
            target.refuses(&form, &with_hex(&form), MALFORMED).await;
        }
    }
}

/// The receiver's own proof of identity must not change with the way a signature is written.
#[tokio::test]
async fn a18_another_case_is_the_same_delivery() {
    for framework in [Framework::Axum, Framework::Actix] {
        let target = Target::deduplicating(framework, &verifier(scheme::GENERIC_HEX)).await;
        let first = target.send(&Request::hex("{}").raw()).await;
        let upper = with_hex(&format!("sha256={}", hex(&mac(&[b"{}"])).to_uppercase()));
        let second = target.send(&upper.raw()).await;
        assert_eq!((first.status, second.status), (204, 204));
        assert_eq!(second.header("idempotent-replayed"), Some("true"));
        assert_eq!(target.app.runs(), 1);
    }
}
