use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::{Cause, Effort, Explainer, Explanation, Refused, case, explain_refusal};
use crate::{
    RequestHead, Secret, Verifier, VerifyError,
    clock::Tolerance,
    scheme::{self, Algorithm, KeyForm, Scheme},
    testing::{SignedRequest, Signer},
};

const NOW: Duration = Duration::from_secs(1_795_305_600);
const SECRET: &str = "a secret of GitHub";
const BODY: &str = r#"{"zen":"Ünïcode / <b>","id":7,"list":[1,2]}"#;

fn signed(scheme: Scheme, body: impl Into<Bytes>) -> SignedRequest {
    Signer::new(scheme, SECRET).unwrap().at(NOW).sign(body).unwrap()
}

fn explain(scheme: Scheme, secret: &[u8], request: &SignedRequest, body: &[u8]) -> Explanation {
    let explainer = Explainer::new(scheme).secret(secret).at(NOW);
    explainer.explain(&request.headers, body.to_vec()).unwrap()
}

/// Returns what programs make of UTF-8 that they read as Latin-1 two times.
fn twice(text: &str) -> String {
    let once: String = text.bytes().map(char::from).collect();
    once.bytes().map(char::from).collect()
}

#[test]
fn what_programs_make_of_a_body_is_recognized() {
    let request = signed(scheme::GITHUB, BODY);
    let buffer = serde_json::json!({"type": "Buffer", "data": BODY.as_bytes()}).to_string();
    let html = BODY.replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let name: String = form_urlencoded::byte_serialize(BODY.as_bytes()).collect();
    for (body, cause) in [
        (BODY.to_owned(), Cause::Valid),
        (STANDARD.encode(BODY), Cause::BodyReserialized),
        (serde_json::to_string(BODY).unwrap(), Cause::BodyReserialized),
        (buffer, Cause::BodyReserialized),
        (html, Cause::BodyReserialized),
        ("[object Object]".to_owned(), Cause::BodyReserialized),
        (format!("{name}="), Cause::FormReencoded),
        (format!("\n{BODY}"), Cause::BodyFinalNewline),
        (format!("\u{feff}{BODY}\r\n"), Cause::BodyBom),
        (BODY.bytes().map(char::from).collect::<String>() + "\n", Cause::BodyCharset),
        (BODY.replace("\"id\":7,", ""), Cause::NoMatch),
        (format!("\u{ef}\u{bb}\u{bf}{BODY}"), Cause::BodyBom),
        (format!("\u{feff}\u{feff}{BODY}"), Cause::BodyBom),
        (format!("{BODY}\u{a0}"), Cause::BodyFinalNewline),
        (format!("{BODY}\0"), Cause::BodyFinalNewline),
        (serde_json::json!({"path": "/", "body": BODY}).to_string(), Cause::BodyReserialized),
        (
            serde_json::json!({"body": STANDARD.encode(BODY), "isBase64Encoded": true}).to_string(),
            Cause::BodyReserialized,
        ),
        (BODY.replace('"', "\\\""), Cause::BodyReserialized),
        ("{'zen': 'a', 'id': 7}".to_owned(), Cause::BodyReserialized),
        (r#"{"zen"=>"a", "id"=>7}"#.to_owned(), Cause::BodyReserialized),
        ("{zen=a, id=7}".to_owned(), Cause::BodyReserialized),
        (twice(BODY), Cause::BodyCharset),
        (" \n".to_owned(), Cause::BodyEmpty),
    ] {
        let explanation = explain(scheme::GITHUB, SECRET.as_bytes(), &request, body.as_bytes());
        assert_eq!(explanation.cause(), cause, "{body}: {explanation}");
    }
    let events = "[{\"a\":1},\r\n{\"b\":2}]\r\n";
    let request = signed(scheme::GITHUB, events);
    let explanation = explain(scheme::GITHUB, SECRET.as_bytes(), &request, br#"[{"a":1},{"b":2}]"#);
    assert_eq!(explanation.cause(), Cause::BodyReserialized, "{explanation}");
}

/// The body cannot be restored, so these are recognized by their form.
#[test]
fn a_body_that_cannot_be_restored_is_recognized_by_its_form() {
    let request = signed(scheme::GITHUB, BODY);
    let with = |name: &str, value: &str| {
        let mut request = request.clone();
        request.headers.push((name.to_owned(), value.to_owned()));
        request
    };
    let cp1251 = b"{\"name\":\"\xcf\xf0\xe8\xe2\xe5\xf2\"}";
    for (request, body, cause) in [
        (with("content-type", "application/json"), &cp1251[..], Cause::BodyCharset),
        (with("content-length", "400"), b"{}", Cause::BodyEmpty),
        (with("content-length", "400"), b"null", Cause::BodyEmpty),
        (with("content-type", "application/json"), b"\"id\":7}", Cause::BodyTruncated),
    ] {
        let explanation = explain(scheme::GITHUB, SECRET.as_bytes(), &request, body);
        assert_eq!(explanation.cause(), cause, "{body:?}: {explanation}");
    }
    // A sender may sort the members itself, so the secret is named as well.
    let sorted = br#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8}"#;
    let explanation = explain(scheme::GITHUB, SECRET.as_bytes(), &request, sorted);
    assert_eq!(explanation.cause(), Cause::BodyReserialized, "{explanation}");
    assert!(explanation.fix().contains("compare the secret"), "{explanation}");
}

/// What common programs write, after another one parsed it and wrote compact JSON.
#[test]
fn the_layouts_of_common_programs_are_restored() {
    let compact = r#"{"a":[1,2],"b":{"c":"</p>'&"},"d":[],"e":{}}"#;
    for sent in [
        "{\n  \"a\" : [ 1, 2 ],\n  \"b\" : {\n    \"c\" : \"</p>'&\"\n  },\n  \
         \"d\" : [ ],\n  \"e\" : { }\n}",
        "{\r\n  \"a\": [\r\n    1,\r\n    2\r\n  ],\r\n  \"b\": {\r\n    \"c\": \"</p>'&\"\r\n  },\r\n  \
         \"d\": [],\r\n  \"e\": {}\r\n}",
        r#"{"a":[1,2],"b":{"c":"\u003C\/p\u003E\u0027\u0026"},"d":[],"e":{}}"#,
    ] {
        let request = signed(scheme::GITHUB, sent);
        let explanation = explain(scheme::GITHUB, SECRET.as_bytes(), &request, compact.as_bytes());
        assert_eq!(explanation.cause(), Cause::BodyReserialized, "{sent}: {explanation}");
    }
}

#[test]
fn what_files_and_shells_make_of_a_secret_is_recognized() {
    let request = signed(scheme::GITHUB, BODY);
    let utf16: Vec<u8> = SECRET.bytes().flat_map(|byte| [byte, 0]).collect();
    for (secret, cause) in [
        (format!("{SECRET}\n").into_bytes(), Cause::SecretWhitespace),
        (format!("\"{SECRET}\",").into_bytes(), Cause::SecretQuotes),
        (format!("'{SECRET}';").into_bytes(), Cause::SecretQuotes),
        (format!("{SECRET}\\n").into_bytes(), Cause::SecretWhitespace),
        (format!("{SECRET}%0A").into_bytes(), Cause::SecretWhitespace),
        (format!("{SECRET} # staging").into_bytes(), Cause::SecretWhitespace),
        (SECRET.replace(" of", "\u{200b} of").into_bytes(), Cause::SecretWhitespace),
        (format!("<{SECRET}>").into_bytes(), Cause::SecretQuotes),
        (format!("&quot;{SECRET}&quot;").into_bytes(), Cause::SecretQuotes),
        (format!("export SECRET={SECRET}").into_bytes(), Cause::SecretPrefix),
        (format!("secret: {SECRET}").into_bytes(), Cause::SecretPrefix),
        (STANDARD.encode(format!("{SECRET}\n")).into_bytes(), Cause::SecretEncoding),
        (format!("WEBHOOK_SECRET={SECRET}").into_bytes(), Cause::SecretPrefix),
        (format!("WEBHOOK_SECRET=\"{SECRET}\"").into_bytes(), Cause::SecretPrefix),
        (SECRET.replace(' ', "%20").into_bytes(), Cause::SecretEncoding),
        (utf16, Cause::SecretEncoding),
        (b"ghp_0123456789abcdefghij".to_vec(), Cause::SecretKind),
        (b"another".to_vec(), Cause::NoMatch),
    ] {
        let explanation = explain(scheme::GITHUB, &secret, &request, BODY.as_bytes());
        assert_eq!(explanation.cause(), cause, "{secret:?}: {explanation}");
        assert!(!explanation.to_string().contains(SECRET), "{explanation}");
    }
}

/// The fault that is fixed first must not hide the next one.
#[test]
fn an_old_timestamp_is_mentioned_beside_another_fault() {
    let request = signed(scheme::STRIPE, "{}");
    let later = NOW + Duration::from_secs(3600);
    let explainer = Explainer::new(scheme::STRIPE).secret(SECRET).at(later);
    let explanation = explainer.explain(&request.headers, "{}\n").unwrap();
    assert_eq!(explanation.cause(), Cause::BodyFinalNewline, "{explanation}");
    assert!(explanation.detail().contains("3600 s"), "{explanation}");
    let explanation = explainer.explain(&request.headers, "{}").unwrap();
    assert_eq!(explanation.cause(), Cause::TimestampOld, "{explanation}");
}

/// A receiver may accept less than the scheme does.
#[test]
fn the_time_window_of_a_verifier_counts() {
    let request = signed(scheme::STRIPE, "{}");
    let explained = |age: u64, tolerance: Option<Tolerance>, body: &'static str| {
        let verifier = Verifier::builder(scheme::STRIPE).secret(SECRET).tolerance(tolerance);
        let verifier = verifier.clock(move || NOW + Duration::from_secs(age)).build().unwrap();
        let head = RequestHead::new(&request.headers);
        let error = verifier.verify(head, body).unwrap_err();
        refused(&verifier, &head, Some(body), error, Effort::SMALL)
    };
    let narrow = Some(Tolerance::symmetric(Duration::from_secs(30)));
    assert_eq!(explained(60, narrow, "{}").cause(), Cause::TimestampOld);
    for (age, tolerance, is_old) in [(60, narrow, true), (20, narrow, false), (60, None, false)] {
        let explanation = explained(age, tolerance, "{}\n");
        assert_eq!(explanation.cause(), Cause::BodyFinalNewline, "{explanation}");
        assert_eq!(explanation.detail().contains("60 s away"), is_old, "{explanation}");
    }
}

fn refused(
    verifier: &Verifier,
    head: &RequestHead<'_>,
    body: Option<&'static str>,
    error: VerifyError,
    effort: Effort,
) -> Explanation {
    let body = body.map(Bytes::from);
    let received = body.as_ref().map_or(7, Bytes::len);
    let keys = verifier.settings().keys();
    let refused = Refused { verifier, keys: &keys, head, body: body.as_ref(), received };
    explain_refusal(&refused, error, effort).unwrap()
}

/// A receiver refuses many requests before it reads the body, or does not keep the body.
#[test]
fn a_refusal_without_its_body_is_explained_by_the_head() {
    let mut stripe = signed(scheme::STRIPE, "{}");
    let mut gitlab = signed(scheme::GITLAB, "{}");
    stripe.headers.push(("content-length".to_owned(), "9".to_owned()));
    gitlab.headers.push(("content-length".to_owned(), "9".to_owned()));
    let explained = |scheme: Scheme, secret: &str, request: &SignedRequest, error| {
        let secret = Secret::exact(secret).unwrap();
        let verifier = Verifier::builder(scheme).secret(secret).clock(|| NOW).build().unwrap();
        let head = RequestHead::new(&request.headers);
        refused(&verifier, &head, None, error, Effort::SMALL)
    };
    let spaced = format!("{SECRET} ");
    let mismatch = VerifyError::SignatureMismatch;
    // The token is in the head.
    let found = explained(scheme::GITLAB, &spaced, &gitlab, VerifyError::TokenMismatch);
    assert_eq!(found.cause(), Cause::SecretWhitespace, "{found}");
    // No secret verifies a signature over an unknown body.
    let found = explained(scheme::STRIPE, &spaced, &stripe, mismatch);
    assert_eq!(found.cause(), Cause::NoMatch, "{found}");
    assert!(found.detail().contains("no variant was tried"), "{found}");
    assert!(found.detail().contains("declares 9 bytes, but 7 arrived"), "{found}");
    let old = VerifyError::TimestampTooOld { seconds: 7203 };
    let found = explained(scheme::STRIPE, SECRET, &stripe, old);
    assert_eq!(found.cause(), Cause::TimestampOld, "{found}");
    assert!(!found.detail().contains("valid") && found.fix().contains("time zone"), "{found}");
    let found = explained(scheme::GITHUB, SECRET, &stripe, VerifyError::MissingSignature);
    assert_eq!(found.cause(), Cause::OtherSender, "{found}");
}

/// The log must not tell how many bytes of a guessed token are right.
#[test]
fn a_short_beginning_of_a_token_is_not_named_in_the_log() {
    let secret = "0123456789abcdef0123456789abcdef";
    let verifier = Verifier::new(scheme::GITLAB, secret).unwrap();
    for (len, is_named) in [(4, false), (15, false), (16, true), (31, true)] {
        let headers = [("x-gitlab-token", &secret[..len])];
        let (head, error) = (RequestHead::new(&headers), VerifyError::TokenMismatch);
        let logged = refused(&verifier, &head, Some("{}"), error, Effort::LARGE);
        assert_eq!(logged.cause() == Cause::SignatureTruncated, is_named, "{len}: {logged}");
        let explained = Explainer::new(scheme::GITLAB).secret(secret).explain(head, "{}").unwrap();
        assert_eq!(explained.cause(), Cause::SignatureTruncated, "{len}: {explained}");
    }
}

/// A receiver refuses some requests before it looks up their secrets.
#[test]
#[cfg(all(feature = "jwt", feature = "ecdsa"))]
fn a_refusal_without_secrets_is_explained_by_the_head() {
    let signer = Signer::generate(scheme::PLAID).unwrap();
    let request = signer.at(NOW - Duration::from_secs(3600)).sign("{}").unwrap();
    let verifier = Verifier::builder(scheme::PLAID).clock(|| NOW);
    let verifier = verifier.build_without_secrets().unwrap();
    let head = RequestHead::new(&request.headers);
    let error = VerifyError::TimestampTooOld { seconds: 3600 };
    let found = refused(&verifier, &head, None, error, Effort::SMALL);
    assert_eq!(found.cause(), Cause::TimestampOld, "{found}");
    let found = refused(&verifier, &head, Some("{}"), VerifyError::UnknownKey, Effort::SMALL);
    assert_eq!(found.cause(), Cause::NoMatch, "{found}");
    assert!(found.detail().contains("there is no secret"), "{found}");
}

#[test]
fn the_form_of_a_signature_is_explained_without_secrets() {
    let request = signed(scheme::HOST_UK_CORE_API, "{}");
    let verifier = Verifier::builder(scheme::GENERIC_HEX).build_keyless().unwrap();
    let (head, error) = (RequestHead::new(&request.headers), VerifyError::MalformedSignature);
    let found = refused(&verifier, &head, None, error, Effort::SMALL);
    assert!(found.detail().contains("the form of `host-uk-core-api`"), "{found}");
}

/// The log explains few refusals, and each at a limited cost: 4 MiB are hashed, or 16 signatures
/// verified with a public key.
#[test]
fn the_cost_of_an_explanation_in_the_log_is_limited() {
    for (algorithm, form, most) in [
        (Algorithm::HmacSha256, KeyForm::Utf8, 2048),
        (Algorithm::Ed25519, KeyForm::Spki, 16),
        (Algorithm::EcdsaP256, KeyForm::Spki, 16),
    ] {
        let acme = Scheme::builder("acme").algorithm(algorithm).key_form(form);
        let acme = acme.signature_header("acme-signature").timestamp_header("acme-time");
        let acme = acme.signed_content("{url}{body:json}{timestamp}").build().unwrap();
        let url = "https://elsewhere.test";
        let signer = || Signer::generate(acme.clone()).unwrap().public_url(url);
        for (secrets, len) in [(1, 1), (2, 1), (8, 1), (1, 60 << 10), (8, 60 << 10)] {
            let verifier =
                Verifier::builder(acme.clone()).clock(|| NOW).public_url("https://a.b/c");
            let verifier =
                (0..secrets).fold(verifier, |it, _| it.secret(signer().secret().clone()));
            let verifier = verifier.build().unwrap();
            let body = format!(r#"{{"a":["{}"]}}"#, "x/".repeat(len / 2)).leak();
            let mut request = signer().at(NOW).sign(&*body).unwrap();
            for header in ["host", "x-forwarded-host", "x-forwarded-prefix", "x-forwarded-uri"] {
                request.headers.push((header.to_owned(), format!("/{header}")));
            }
            let head = RequestHead::new(&request.headers).target("/other");
            case::VERIFIED.take();
            let error = VerifyError::SignatureMismatch;
            let found = refused(&verifier, &head, Some(body), error, Effort::SMALL);
            let verified = case::VERIFIED.take();
            let name = format!("{algorithm:?} {secrets} {len}: {found}");
            assert_eq!(found.cause(), Cause::NoMatch, "{name}");
            assert!((1..=most).contains(&(verified.len() * secrets)), "{} {name}", verified.len());
            let hashed: usize = verified.iter().sum();
            assert!(hashed * secrets <= 4 << 20, "{hashed} {name}");
            assert!(found.detail().contains("not all of them"), "{name}");
        }
    }
}

/// Each of these took minutes or gigabytes if the work were not limited.
#[test]
fn hostile_requests_cost_a_limited_amount_of_work() {
    let scheme = Scheme::builder("acme")
        .signature_header("x-acme-signature")
        .timestamp_header("x-acme-timestamp")
        .signed_content("{timestamp}.{body:sha256}.{url}")
        .build()
        .unwrap();
    let numbers = format!("{{\"ids\":[{}]}}", vec!["17"; 20_000].join(","));
    let object =
        format!(r#"{{"f":1,"e":2,"d":3,"c":4,"b":5,"a":[{}]}}"#, vec!["\"x\""; 50_000].join(","));
    let form = "a=%20&".repeat(100_000);
    let deep = "[".repeat(100_000);
    let path = "/a".repeat(100_000);
    let query = format!("/?{}", "a=1&".repeat(100_000));
    let digits = "1700000000 ".repeat(50_000);
    let host = "h".repeat(1_000_000);
    let lines = "\n".repeat(1_000_000);
    for (target, digits, host, body) in [
        ("/", "1700000000", "h", &*numbers),
        ("/", "1700000000", "h", &*object),
        ("/", "1700000000", "h", &*form),
        ("/", "1700000000", "h", &*deep),
        ("/", "1700000000", "h", &*lines),
        (&*path, "1700000000", "h", "{}"),
        (&*query, "1700000000", "h", "{}"),
        ("/", &*digits, "h", "{}"),
        ("/", "1700000000", &*host, "{}"),
    ] {
        let signature = "0".repeat(64);
        let headers = [
            ("x-acme-signature", &*signature),
            ("x-acme-timestamp", digits),
            ("host", host),
            ("x-forwarded-host", host),
            ("x-original-uri", host),
        ];
        let head = RequestHead::new(&headers).target(target);
        let explainer = Explainer::new(scheme.clone()).secret(SECRET).public_url("https://a.b/c");
        let explanation = explainer.explain(head, body.to_owned()).unwrap();
        assert_ne!(explanation.cause(), Cause::Valid);
    }
}
