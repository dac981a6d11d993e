//! Bodies, URLs and tokens that are made to cost time or memory, or to be taken for something else:
//! for every preset that looks into them before its signature holds.

use std::{hint::black_box, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use webhook_verify::{
    RequestHead, Scheme, Verifier, VerifyError, scheme::Algorithm, testing::Signer,
};

use super::attacks::work::{HARD, costs_at_most, look_over};

const NOW: Duration = Duration::from_secs(1_795_305_600);
const URL: &str = "https://hooks.example.test/hook";

fn secret(scheme: &Scheme) -> &'static str {
    match scheme.algorithm() {
        Algorithm::Basic => "user:cGFzc3dvcmQ",
        _ => "00112233445566778899aabbccddeeff",
    }
}

fn verifier(scheme: &Scheme) -> Verifier {
    Verifier::builder(scheme.clone())
        .secret(secret(scheme))
        .public_url(URL)
        .clock(|| NOW)
        .build()
        .unwrap()
}

/// A request with a right head for another body.
fn judge(scheme: &Scheme, signed: &str, body: Vec<u8>) -> Result<(), VerifyError> {
    let signer = Signer::new(scheme.clone(), secret(scheme)).unwrap();
    let signed = signer.at(NOW).public_url(URL).sign(signed.to_owned()).unwrap();
    let (verifier, body) = (verifier(scheme), Bytes::from(body));
    let judge = |body: &Bytes| {
        let head = RequestHead::new(&signed.headers).target(&signed.target);
        verifier.verify(head, body.clone()).map(drop)
    };
    // Work that does not depend on the body's length counts as well.
    let easy = || {
        look_over(&body);
        let _ = black_box(judge(&signed.body));
    };
    let what = format!("{} with a body of {} bytes", scheme.name(), body.len());
    let mut verdict = Ok(());
    costs_at_most(HARD, &what, easy, || verdict = judge(&body));
    verdict
}

fn symmetric() -> impl Iterator<Item = &'static Scheme> {
    Scheme::presets().filter(|scheme| scheme.algorithm().is_symmetric())
}

#[test]
fn json_of_any_depth_is_refused_or_a_matter_of_the_signature() {
    let deep = [
        "[".repeat(10_000) + &"]".repeat(10_000),
        "[".repeat(1 << 20),
        "{\"signature\":".repeat(10_000),
        format!("{{\"notificationItems\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000)),
        format!("{{\"webhookTimestamp\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000)),
    ];
    for scheme in symmetric() {
        for body in &deep {
            let verdict = judge(scheme, "{\"a\":1}", body.clone().into_bytes());
            // Where nothing of the body is under the signature, it is up to the handler.
            let content = scheme.describe().signed_content;
            let told_by_head = !scheme.signs_body()
                && !["json:", "{form", "{fields", "{body:md5"]
                    .iter()
                    .any(|part| content.contains(part));
            let places = scheme.describe().signatures;
            let token_in_body = places.iter().any(|place| place.starts_with("body "));
            assert_eq!(verdict.is_ok(), told_by_head && !token_in_body, "{}", scheme.name());
        }
    }
}

#[test]
fn a_key_that_is_there_twice_is_not_chosen_from() {
    let mailgun = Scheme::preset("mailgun").unwrap();
    let signer = Signer::new(mailgun.clone(), secret(&mailgun)).unwrap().at(NOW);
    let right = signer.sign("{\"event-data\":{}}").unwrap().body;
    let right = std::str::from_utf8(&right).unwrap();
    assert_eq!(judge(&mailgun, "{}", right.into()), Ok(()));
    for (name, other) in [("signature", "\"0\""), ("token", "\"x\""), ("timestamp", "1")] {
        let place = "\"signature\":{";
        let twice = right.replacen(place, &format!("{place}\"{name}\":{other},"), 1);
        assert_ne!(twice, right);
        let verdict = judge(&mailgun, "{}", twice.clone().into());
        assert_eq!(verdict, Err(VerifyError::MalformedBody), "{twice}");
    }
    let whole = right.replacen('{', "{\"signature\":{},", 1);
    assert_eq!(judge(&mailgun, "{}", whole.into()), Err(VerifyError::MalformedBody));
}

#[test]
fn forms_of_100_000_fields_are_refused() {
    let many: String = (0..100_000).map(|number| format!("&a{number}=b")).collect();
    let same = "&a=b".repeat(100_000);
    for name in ["twilio", "mandrill"] {
        let scheme = Scheme::preset(name).unwrap();
        let verdict = judge(&scheme, "a=b", many.clone().into_bytes());
        assert_eq!(verdict, Err(VerifyError::MalformedBody), "{name}");
        // The sender would sign them as one field, but sends no such form.
        let verdict = judge(&scheme, "a=b", same.clone().into_bytes());
        assert_eq!(verdict, Err(VerifyError::MalformedBody), "{name}");
        assert_eq!(judge(&scheme, "a=b", b"a=b&a=b".to_vec()), Ok(()), "{name}");
        assert_eq!(
            judge(&scheme, "a=b", b"a=c".to_vec()),
            Err(VerifyError::SignatureMismatch),
            "{name}"
        );
    }
    for scheme in symmetric() {
        let _ = judge(scheme, "{\"a\":1}", many.clone().into_bytes());
    }
}

#[test]
fn a_body_that_a_form_scheme_does_not_sign_is_refused() {
    let twilio = Scheme::preset("twilio").unwrap();
    let signer = Signer::new(twilio.clone(), secret(&twilio)).unwrap();
    let signed = signer.at(NOW).public_url(URL).sign("").unwrap();
    let headers: Vec<_> = signed
        .headers
        .iter()
        .filter(|(name, _)| name != "content-type")
        .cloned()
        .chain([("content-type".into(), "application/json".into())])
        .collect();
    let verifier = verifier(&twilio);
    assert!(verifier.verify(&headers, "").is_ok());
    let verdict = verifier.verify(&headers, "{\"forged\":true}");
    assert_eq!(verdict.unwrap_err(), VerifyError::MalformedBody);
}

#[test]
fn escapes_in_urls_are_not_evened_out() {
    for name in ["square", "twilio", "hubspot-v3", "hubspot-v2"] {
        let scheme = Scheme::preset(name).unwrap();
        let target = "/hook?a=%27%2f%zz&b=%E2%82%AC&c=+&a=";
        let signer = Signer::new(scheme.clone(), secret(&scheme)).unwrap();
        let signed = signer.at(NOW).public_url(URL).target(target);
        let signed = signed.sign(if name == "twilio" { "a=b" } else { "{}" }).unwrap();
        let judge = |target: &str| {
            let head = RequestHead::new(&signed.headers).target(target);
            verifier(&scheme).verify(head, signed.body.clone()).map(drop)
        };
        assert_eq!(judge(target), Ok(()), "{name}");
        for other in [
            "/hook?a=%27%2F%zz&b=%E2%82%AC&c=+&a=",
            "/hook?a=%27%2f%zz&b=%E2%82%AC&c=%20&a=",
            "/hook?a=%27%2f%zz&b=%e2%82%ac&c=+&a=",
            "/hook?b=%E2%82%AC&a=%27%2f%zz&c=+&a=",
            "/hook?a=%27%2f%zz&b=%E2%82%AC&c=+",
            "/hook",
        ] {
            // HubSpot decodes some escapes before it signs, in upper case only.
            let verdict = judge(other);
            assert_eq!(verdict, Err(VerifyError::SignatureMismatch), "{name} {other}");
        }
    }
}

#[test]
fn a_host_in_the_request_is_not_believed() {
    let square = Scheme::preset("square").unwrap();
    let signer = Signer::new(square.clone(), secret(&square)).unwrap();
    let signed = signer.public_url("https://evil.test/hook").sign("{}").unwrap();
    let mut headers = signed.headers.clone();
    for (name, value) in [
        ("host", "evil.test"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "host=evil.test;proto=https"),
        ("x-original-url", "https://evil.test/hook"),
    ] {
        headers.push((name.into(), value.into()));
    }
    let head = RequestHead::new(&headers).target("https://evil.test/hook");
    let verdict = verifier(&square).verify(head, "{}");
    assert_eq!(verdict.unwrap_err(), VerifyError::SignatureMismatch);
}

/// A token by our own key, with any header.
fn jwt(header: &str, claims: &str) -> String {
    let encode = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let signed = format!("{}.{}", encode(header), encode(claims));
    let key = secret(&Scheme::preset("netlify").unwrap()).as_bytes();
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    let tag = mac.chain_update(&signed).finalize().into_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

#[test]
fn a_token_has_no_say_in_how_it_is_judged() {
    let digest = hex::encode(Sha256::digest("{}"));
    let claims = format!("{{\"iss\":\"netlify\",\"sha256\":\"{digest}\"}}");
    let verifier = verifier(&Scheme::preset("netlify").unwrap());
    let judge = |token: String| {
        let verdict = verifier.verify(&[("x-webhook-signature", token)], "{}");
        verdict.map(drop).map_err(|error| error.reason())
    };
    let right = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    assert_eq!(judge(jwt(right, &claims)), Ok(()));
    for header in [
        "{\"alg\":\"none\"}",
        "{\"alg\":\"None\"}",
        "{\"alg\":\"hs256\"}",
        "{\"alg\":\"HS384\"}",
        "{\"alg\":\"ES256\"}",
        "{\"alg\":[\"HS256\"]}",
        "{\"alg\":\"HS256\",\"crit\":[\"exp\"]}",
        "{}",
    ] {
        assert_eq!(judge(jwt(header, &claims)), Err("unsupported_version"), "{header}");
    }
    for header in ["{\"alg\":\"none\",\"alg\":\"HS256\"}", "[]x", "", "\"HS256\""] {
        assert!(judge(jwt(header, &claims)).is_err(), "{header}");
    }
    let token = jwt(right, &claims);
    let (signed, _) = token.rsplit_once('.').unwrap();
    for cut in [
        signed.to_owned(),
        format!("{signed}."),
        format!("{token}."),
        format!("{token}.x"),
        format!("{token}="),
        format!(".{token}"),
        token.replacen('.', "..", 1),
        "..".into(),
        ".".repeat(8000),
        String::new(),
    ] {
        assert!(judge(cut.clone()).is_err(), "{cut}");
    }
    for (claims, reason) in [
        (claims.replace("netlify", "evil"), "wrong_issuer"),
        (claims.replace("\"iss\":\"netlify\",", ""), "wrong_issuer"),
        (claims.replace("{\"iss", "{\"exp\":1,\"iss"), "token_expired"),
        (claims.replace("{\"iss", "{\"exp\":1795305590,\"iss"), "token_expired"),
        (claims.replace("{\"iss", "{\"nbf\":1795305611,\"iss"), "timestamp_in_future"),
        (claims.replace("{\"iss", "{\"exp\":\"x\",\"iss"), "malformed_timestamp"),
        (claims.replace("{\"iss", "{\"exp\":-1,\"iss"), "malformed_timestamp"),
        (claims.replace(&digest[..1], "x"), "signature_mismatch"),
        ("{\"iss\":\"netlify\"}".into(), "signature_mismatch"),
    ] {
        assert_eq!(judge(jwt(right, &claims)), Err(reason), "{claims}");
    }
    let later = claims.replace("{\"iss", "{\"exp\":1795305591.5,\"nbf\":1795305610,\"iss");
    assert_eq!(judge(jwt(right, &later)), Ok(()));
}

#[test]
fn more_signatures_than_any_sender_has_are_refused_unread() {
    let headers: Vec<_> =
        (0..100).map(|number| (format!("x-docusign-signature-{number}"), "x".repeat(44))).collect();
    let verifier = verifier(&Scheme::preset("docusign").unwrap());
    let verdict = verifier.begin(&headers, 1 << 20).map(drop);
    assert_eq!(verdict, Err(VerifyError::MalformedSignature));
}

#[test]
fn headers_that_contentful_does_not_name_are_not_signed() {
    let contentful = Scheme::preset("contentful").unwrap();
    let signer = Signer::new(contentful.clone(), secret(&contentful)).unwrap();
    let signed = signer.at(NOW).public_url(URL).sign("{}").unwrap();
    let verifier = verifier(&contentful);
    assert!(verifier.verify(&signed.headers, "{}").is_ok());
    // Without the timestamp among them, an old request would be as good as a new one.
    for names in [
        "x-contentful-signed-headers",
        "x-contentful-timestamp-,x-contentful-signed-headers",
        &"a,".repeat(200),
    ] {
        let mut headers = signed.headers.clone();
        let list = headers.iter_mut().find(|(name, _)| name == "x-contentful-signed-headers");
        list.unwrap().1 = names.into();
        let verdict = verifier.verify(&headers, "{}").map(drop);
        assert_eq!(verdict, Err(VerifyError::MalformedSignature), "{names}");
    }
}
