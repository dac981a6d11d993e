//! Signature headers that are absent, cut or doubled.

use std::time::Duration;

use integration_tests::verifier_of;
use webhook_verify::{
    Scheme, VerifyError,
    scheme::{self, Algorithm},
};

use integration_tests::attacks::{NOW, Request, SECRET, base64, both, hex, mac, now, verifier};

const MALFORMED: VerifyError = VerifyError::MalformedSignature;

fn with_hex(header: &str) -> Request {
    Request::new(&[("X-Webhook-Signature", header)], "{}")
}

#[tokio::test]
async fn a02_a_request_without_a_signature_is_refused() {
    let schemes = Scheme::preset_names().map(|name| Scheme::preset(name).unwrap());
    for scheme in schemes.chain([Scheme::shared_header("x-token").unwrap()]) {
        let reason = match (scheme.algorithm(), scheme.name()) {
            (Algorithm::Token | Algorithm::Basic, _) => VerifyError::MissingToken,
            // The part that identifies their version is missing as well.
            (_, "box" | "hubspot-v1" | "hubspot-v2" | "lago") => VerifyError::UnsupportedVersion,
            _ => VerifyError::MissingSignature,
        };
        let now = Duration::from_secs(NOW);
        let verifier = verifier_of(&scheme).clock(move || now).build().unwrap();
        for target in &both(verifier).await {
            let bare = Request::new(&[], r#"{"id":"evt_1","type":"ping"}"#);
            target.refuses("no header", &bare, reason).await;
            // Headers that other senders use are no signature here.
            let other = bare.and("x-other-signature", hex(&mac(&[&bare.body])));
            target.refuses("another header", &other, reason).await;
        }
    }
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        target.refuses("empty", &with_hex(""), VerifyError::MissingSignature).await;
    }
}

#[tokio::test]
async fn a04_short_signatures() {
    let full = mac(&[b"{}"]);
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        for len in 0..32 {
            let short = with_hex(&format!("sha256={}", hex(&full[..len])));
            target.refuses("short", &short, MALFORMED).await;
        }
    }
    for target in &both(verifier(scheme::GENERIC_BASE64)).await {
        for len in 1..32 {
            let short = Request::new(&[("Webhook-Signature", &base64(&full[..len]))], "{}");
            target.refuses("short", &short, MALFORMED).await;
        }
    }
    for target in &both(verifier(scheme::STANDARD_WEBHOOKS)).await {
        let request = Request::standard("msg_1", &now(), "{}");
        let full = mac(&[b"msg_1.", now().as_bytes(), b".{}"]);
        for len in 1..32 {
            let short = format!("v1,{}", base64(&full[..len]));
            let request = request.with("webhook-signature", short);
            target.refuses("short", &request, MALFORMED).await;
        }
        // A known version without a signature is another fault than no known version.
        let empty = request.with("webhook-signature", "v1,");
        target.refuses("empty", &empty, MALFORMED).await;
        for text in ["v1", "v", ",", " "] {
            let request = request.with("webhook-signature", text);
            let verdict = request.judge(&target.verifier).map(drop);
            assert_eq!(verdict, Err(VerifyError::UnsupportedVersion), "{text:?}");
            target.refuses_raw(text, &request.raw()).await;
        }
    }
}

#[tokio::test]
async fn a05_long_signatures() {
    let full = mac(&[b"{}"]);
    let mut longer = full.to_vec();
    longer.push(0);
    let doubled = [full, full].concat();
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        for long in [&longer, &doubled] {
            let request = with_hex(&format!("sha256={}", hex(long)));
            target.refuses("long", &request, MALFORMED).await;
        }
    }
    for target in &both(verifier(scheme::GENERIC_BASE64)).await {
        for long in [&longer, &doubled] {
            let request = Request::new(&[("Webhook-Signature", &base64(long))], "{}");
            target.refuses("long", &request, MALFORMED).await;
        }
    }
}

#[tokio::test]
async fn a07_the_sender_does_not_choose_the_algorithm() {
    // HMAC-SHA1 and HMAC-SHA512 of `{}` with the receiver's secret, right in themselves.
    let by = |algorithm, prefix: &str| {
        let scheme = Scheme::builder("other")
            .algorithm(algorithm)
            .signature_header("X-Webhook-Signature")
            .prefix(prefix)
            .build()
            .unwrap();
        let signer = webhook_verify::testing::Signer::new(scheme, SECRET).unwrap();
        signer.sign("{}").unwrap().headers[0].1.clone()
    };
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        for (algorithm, prefix) in [
            (Algorithm::HmacSha1, "sha1="),
            (Algorithm::HmacSha1, "sha256="),
            (Algorithm::HmacSha512, "sha512="),
            (Algorithm::HmacSha512, "sha256="),
            (Algorithm::HmacSha256, "none="),
            (Algorithm::HmacSha256, "SHA256="),
        ] {
            let request = with_hex(&by(algorithm, prefix)).and("X-Signature-Algorithm", "sha1");
            target.refuses(prefix, &request, MALFORMED).await;
        }
        let right = with_hex(&by(Algorithm::HmacSha256, "sha256="));
        target.accepts("the scheme's own", &right).await;
    }
    for target in &both(verifier(scheme::STANDARD_WEBHOOKS)).await {
        let request = Request::standard("msg_1", &now(), "{}");
        let signature = request.get("webhook-signature").strip_prefix("v1,").unwrap().to_owned();
        for version in ["v0", "v1a", "v2", "V1", "", "none"] {
            let request = request.with("webhook-signature", format!("{version},{signature}"));
            target.refuses(version, &request, VerifyError::UnsupportedVersion).await;
        }
        let beside = format!("v0,{signature} v1a,AAAA v1,{signature}");
        let request = request.with("webhook-signature", beside);
        target.accepts("unknown versions are skipped", &request).await;
    }
    for target in &both(verifier(scheme::STRIPE)).await {
        let request = Request::stripe(&now(), "{}");
        let downgraded = request.get("stripe-signature").replace("v1=", "v0=");
        let request = request.with("stripe-signature", downgraded);
        target.refuses("v0", &request, VerifyError::UnsupportedVersion).await;
    }
}

#[tokio::test]
async fn a11_too_many_and_too_long_signatures() {
    for target in &both(verifier(scheme::STANDARD_WEBHOOKS)).await {
        let request = Request::standard("msg_1", &now(), "{}");
        let good = request.get("webhook-signature").to_owned();
        let bad = format!("v1,{}", base64(&[7; 32]));
        let many = |count: usize| vec![bad.clone(); count].join(" ");
        for (what, list) in [
            ("17, the good one last", format!("{} {good}", many(16))),
            ("17, the good one first", format!("{good} {}", many(16))),
            ("100", format!("{good} {}", many(99))),
            ("9 KiB of unknown versions", format!("{good} {}", "v9,AAAA ".repeat(1_152))),
        ] {
            let request = request.with("webhook-signature", &list);
            target.refuses(what, &request, MALFORMED).await;
        }
        let spread = (0..16).fold(request.clone(), |r, _| r.and("webhook-signature", &bad));
        target.refuses("17 lines", &spread, MALFORMED).await;
    }
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        for len in [9 * 1024, 64 * 1024] {
            let request = with_hex(&format!("sha256={}", "a".repeat(len)));
            target.refuses("one long", &request, MALFORMED).await;
        }
        // Beyond what the server itself takes.
        let request = with_hex(&format!("sha256={}", "a".repeat(1 << 20)));
        let before = target.touched();
        let mut connection = target.connect().await;
        connection.send(&request.raw()).await;
        // A server that resets the connection with unread bytes in it may take its answer back.
        if let Some(response) = connection.response().await {
            assert!([400, 431].contains(&response.status), "{}", response.status);
        }
        assert_eq!(target.touched(), before);
    }
}

#[tokio::test]
async fn a12_repeated_signature_headers() {
    for target in &both(verifier(scheme::STANDARD_WEBHOOKS)).await {
        let request = Request::standard("msg_1", &now(), "{}");
        let good = request.get("webhook-signature").to_owned();
        let bad = format!("v1,{}", base64(&[7; 32]));
        for (first, second) in [(&good, &bad), (&bad, &good)] {
            let request = request.with("webhook-signature", first).and("webhook-signature", second);
            target.accepts("a list may have lines", &request).await;
        }
        let request = request.with("webhook-signature", &bad).and("webhook-signature", &bad);
        target.refuses("two bad lines", &request, VerifyError::SignatureMismatch).await;
    }
    let good = Request::hex("{}");
    let signature = good.get("X-Webhook-Signature").to_owned();
    let bad = format!("sha256={}", hex(&[7; 32]));
    for target in &both(verifier(scheme::GENERIC_HEX)).await {
        for (first, second) in [(&signature, &bad), (&bad, &signature), (&signature, &signature)] {
            let request = with_hex(first).and("x-webhook-signature", second);
            target.refuses("a single value twice", &request, VerifyError::AmbiguousHeader).await;
        }
        let empty = with_hex(&signature).and("X-Webhook-Signature", "");
        target.refuses("one of them empty", &empty, VerifyError::AmbiguousHeader).await;
    }
    for target in &both(verifier(scheme::STRIPE)).await {
        let request = Request::stripe(&now(), "{}");
        let again = request.and("stripe-signature", format!("v1={}", hex(&[7; 32])));
        target.refuses("two lines of pairs", &again, VerifyError::AmbiguousHeader).await;
    }
}

#[tokio::test]
async fn a13_folded_and_split_lists() {
    for target in &both(verifier(scheme::STANDARD_WEBHOOKS)).await {
        let request = Request::standard("msg_1", &now(), "{}");
        let good = request.get("webhook-signature").to_owned();
        let bad = format!("v1,{}", base64(&[7; 32]));
        for list in [
            format!("{good}, {bad}"),
            format!("{bad}, {good}"),
            format!("{bad},  {good}"),
            format!("{bad}   {good}"),
            format!("{good},"),
        ] {
            target.accepts(&list, &request.with("webhook-signature", &list)).await;
        }
        // Without a space there is no telling: nothing is cut off to make the first one fit.
        for list in [
            format!("{good},{bad}"),
            format!("{bad},{good}"),
            format!("{good};{bad}"),
            format!("{good}\t{bad}"),
            format!("{good},,"),
        ] {
            let request = request.with("webhook-signature", &list);
            target.refuses(&list, &request, MALFORMED).await;
        }
    }
    for target in &both(verifier(scheme::STRIPE)).await {
        let request = Request::stripe(&now(), "{}");
        let good = request.get("stripe-signature").to_owned();
        let bad = format!("v1={}", hex(&[7; 32]));
        for list in [
            format!("{good},{bad}"),
            good.replace(",v1=", &format!(",{bad},v1=")),
            good.replace(',', ", "),
        ] {
            target.accepts(&list, &request.with("stripe-signature", &list)).await;
        }
    }
}

#[tokio::test]
async fn a14_repeated_ids_and_timestamps() {
    for target in &both(verifier(scheme::STANDARD_WEBHOOKS)).await {
        let request = Request::standard("msg_1", &now(), "{}");
        for name in ["webhook-id", "webhook-timestamp"] {
            let (value, other) = (request.get(name).to_owned(), "1795305601");
            let values = [(&*value, other), (other, &*value), (&*value, &*value), (&*value, "")];
            for (first, second) in values {
                let request = request.with(name, first).and(name, second);
                target.refuses(name, &request, VerifyError::AmbiguousHeader).await;
            }
        }
    }
    for target in &both(verifier(scheme::STRIPE)).await {
        let request = Request::stripe(&now(), "{}");
        let good = request.get("stripe-signature").to_owned();
        for header in [format!("{good},t={NOW}"), format!("t=1,{good}")] {
            let request = request.with("stripe-signature", header);
            target.refuses("two t=", &request, VerifyError::AmbiguousHeader).await;
        }
    }
}
