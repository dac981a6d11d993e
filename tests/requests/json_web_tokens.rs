//! Claims of JSON Web Tokens: times with a leeway, audiences, and digests of body, query and URL.

use std::time::Duration;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use integration_tests::PUBLIC_URL;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use webhook_verify::{
    ConfigError, RequestHead, Scheme, Verifier, VerifierBuilder, VerifyError,
    scheme::{self, Algorithm, Encoding, SchemeBuilder},
    testing::Signer,
};

const SECRET: &str = "ssssssssssssssssssssssssssssssss";
const NOW: u64 = 1_795_305_600;

fn token(claims: &Value) -> String {
    let encode = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let signed =
        format!("{}.{}", encode(r#"{"alg":"HS256","typ":"JWT"}"#), encode(&claims.to_string()));
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    let tag = mac.chain_update(&signed).finalize().into_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn builder(scheme: &Scheme) -> VerifierBuilder {
    Verifier::builder(scheme.clone()).secret(SECRET).clock(|| Duration::from_secs(NOW))
}

fn of(describe: impl FnOnce(SchemeBuilder) -> SchemeBuilder) -> Scheme {
    let scheme = Scheme::builder("acme").algorithm(Algorithm::JwtHs256).signature_header("token");
    describe(scheme).build().unwrap()
}

fn judge(
    verifier: &Verifier,
    claims: &Value,
    target: &str,
    body: &'static str,
) -> Result<(), VerifyError> {
    let headers = [("token", token(claims))];
    let head = RequestHead::new(&headers).target(target);
    verifier.verify(head, body).map(drop)
}

/// A sender's clock may be off by a few seconds: of all presets with such a token.
#[test]
fn a_token_has_a_leeway_of_ten_seconds() {
    let presets = Scheme::presets().filter(|scheme| scheme.algorithm() == Algorithm::JwtHs256);
    let mut names = Vec::new();
    for scheme in presets.cloned().chain([of(|scheme| scheme)]) {
        names.push(scheme.name().to_owned());
        let place = &scheme.describe().signatures[0];
        let (place, form) = place.strip_prefix("header ").unwrap().split_once(": ").unwrap();
        let verify = |verifier: &Verifier, name: &str, time: u64| {
            let digest = hex::encode(Sha256::digest("{}"));
            let mut claims = json!({
                "iss": scheme.name(), "aud": "a", "exp": NOW + 60, "iat": NOW,
                "nbf": NOW, "jti": "t", "sha256": digest, "payload_hash": digest, "body": digest,
                "url_hash": hex::encode(Sha256::digest(PUBLIC_URL)),
            });
            if scheme.name() == "qstash" {
                claims["iss"] = "Upstash".into();
            }
            if scheme.name() == "messagebird" {
                claims["iss"] = "MessageBird".into();
            }
            claims[name] = time.into();
            let value = form.replace('…', &token(&claims));
            verifier.verify(&[(place, value)], "{}").map(drop)
        };
        let builder = |scheme: &Scheme| match scheme.name() {
            "messagebird" => builder(scheme).public_url(PUBLIC_URL),
            _ => builder(scheme),
        };
        let by_default = builder(&scheme).build().unwrap();
        let long = builder(&scheme).leeway(Duration::from_secs(120)).build().unwrap();
        let none = builder(&scheme).leeway(Duration::ZERO).build().unwrap();
        for (verifier, leeway) in [(&by_default, 10), (&long, 120), (&none, 0)] {
            let verify = |name, time| verify(verifier, name, time);
            assert_eq!(verify("exp", NOW - leeway + 1), Ok(()), "{}", scheme.name());
            assert_eq!(verify("exp", NOW - leeway), Err(VerifyError::TokenExpired));
            let early = Err(VerifyError::TimestampInFuture { seconds: leeway + 1 });
            assert_eq!(verify("nbf", NOW + leeway), Ok(()));
            assert_eq!(verify("nbf", NOW + leeway + 1), early);
            if scheme.tolerance().is_none() {
                assert_eq!(verify("iat", NOW + leeway), Ok(()));
                assert_eq!(verify("iat", NOW + leeway + 1), early);
            }
        }
    }
    assert_eq!(names, ["netlify", "monday", "vonage", "livekit", "messagebird", "qstash", "acme"]);
    let github = Verifier::builder(scheme::GITHUB).secret("s").leeway(Duration::ZERO).build();
    let github = github.map_err(|error| error.kind().clone());
    assert!(matches!(github, Err(ConfigError::Option { option: "leeway", .. })));
}

#[test]
fn an_audience_is_a_text_or_a_list() {
    let scheme = of(|scheme| scheme.require_claim("aud"));
    let url = "https://h.example/push";
    let (with, without) =
        (builder(&scheme).public_url(url).build().unwrap(), builder(&scheme).build().unwrap());
    for (audience, expected) in [
        (json!(url), Ok(())),
        (json!([url]), Ok(())),
        (json!(["other", url]), Ok(())),
        (json!("other"), Err(VerifyError::WrongIssuer)),
        (json!(["other", "https://h.example/push/"]), Err(VerifyError::WrongIssuer)),
        (json!([]), Err(VerifyError::WrongIssuer)),
        (json!([[url]]), Err(VerifyError::MalformedSignature)),
        (json!({ "a": url }), Err(VerifyError::MalformedSignature)),
        (json!(null), Err(VerifyError::MalformedSignature)),
    ] {
        let claims = json!({ "aud": audience });
        assert_eq!(judge(&with, &claims, "/", "{}"), expected, "{claims}");
        let present = match expected {
            Err(VerifyError::WrongIssuer) if audience != json!([]) => Ok(()),
            Err(_) => Err(VerifyError::MalformedSignature),
            Ok(()) => Ok(()),
        };
        assert_eq!(judge(&without, &claims, "/", "{}"), present, "{claims}");
    }
}

#[test]
fn a_digest_of_the_body_is_in_hex_or_base64() {
    let body = r#"{"n":63}"#;
    let digest = Sha256::digest(body);
    let texts = [
        (hex::encode(digest), Encoding::Hex),
        (hex::encode_upper(digest), Encoding::Hex),
        (STANDARD.encode(digest), Encoding::Base64),
        (STANDARD_NO_PAD.encode(digest), Encoding::Base64),
        (URL_SAFE.encode(digest), Encoding::Base64Url),
        (URL_SAFE_NO_PAD.encode(digest), Encoding::Base64Url),
    ];
    assert!(texts[2].0.contains(['+', '/']), "or the two alphabets look alike");
    for (text, encoding) in &texts {
        let claims = json!({ "sha256": text });
        for wanted in [None, Some(Encoding::Hex), Some(Encoding::Base64), Some(Encoding::Base64Url)]
        {
            let scheme = of(|scheme| {
                let scheme = scheme.body_digest_claim("sha256");
                wanted.into_iter().fold(scheme, SchemeBuilder::body_digest_encoding)
            });
            let verifier = builder(&scheme).build().unwrap();
            let expected = match wanted {
                Some(wanted) if wanted != *encoding => Err(VerifyError::SignatureMismatch),
                _ => Ok(()),
            };
            assert_eq!(judge(&verifier, &claims, "/", body), expected, "{text} {wanted:?}");
            let changed = judge(&verifier, &claims, "/", r#"{"n":64}"#);
            assert_eq!(changed, Err(VerifyError::SignatureMismatch));
        }
    }
}

#[test]
fn a_token_may_have_a_digest_of_the_url() {
    let scheme = of(|scheme| {
        let scheme = scheme.issuer("MessageBird").url_digest_claim("url_hash");
        scheme.body_digest_claim("payload_hash").body_digest_optional()
    });
    assert!(matches!(
        builder(&scheme).build().map_err(|error| error.kind().clone()),
        Err(ConfigError::Option { option: "public_url", .. })
    ));
    let verifier = builder(&scheme).public_url("https://h.example/x").build().unwrap();
    let hash = |text: &str| hex::encode(Sha256::digest(text));
    let claims = json!({
        "iss": "MessageBird", "url_hash": hash("https://h.example/x?a=1"), "payload_hash": hash("{}"),
    });
    let mismatch = Err(VerifyError::SignatureMismatch);
    assert_eq!(judge(&verifier, &claims, "/x?a=1", "{}"), Ok(()));
    assert_eq!(judge(&verifier, &claims, "/behind/x?a=1", "{}"), Ok(()));
    assert_eq!(judge(&verifier, &claims, "/x?a=2", "{}"), mismatch);
    assert_eq!(judge(&verifier, &claims, "/x", "{}"), mismatch);
    assert_eq!(judge(&verifier, &claims, "/x?a=1", ""), mismatch);
    // Without a body there is no digest of one.
    let empty = json!({ "iss": "MessageBird", "url_hash": hash("https://h.example/x") });
    assert_eq!(judge(&verifier, &empty, "/x", ""), Ok(()));
    assert_eq!(judge(&verifier, &empty, "/x", "{}"), mismatch);
    let without = json!({ "iss": "MessageBird", "payload_hash": hash("{}") });
    assert_eq!(judge(&verifier, &without, "/x", "{}"), mismatch);
}

#[test]
fn a_token_may_have_a_digest_of_atlassians_canonical_request() {
    let scheme = of(|scheme| scheme.canonical_request_claim("qsh"));
    let hash = |text: &str| json!({ "qsh": hex::encode(Sha256::digest(text)) });
    let verifier = builder(&scheme).build().unwrap();
    let mismatch = Err(VerifyError::SignatureMismatch);
    let claims = hash("POST&/hooks&a=1&b=2");
    assert_eq!(judge(&verifier, &claims, "/hooks?b=2&jwt=x&a=1", "{}"), Ok(()));
    assert_eq!(judge(&verifier, &claims, "/hooks?b=2&a=2", "{}"), mismatch);
    assert_eq!(judge(&verifier, &claims, "/other?b=2&a=1", "{}"), mismatch);
    assert_eq!(judge(&verifier, &json!({ "qsh": "context-qsh" }), "/hooks", "{}"), mismatch);
    assert_eq!(judge(&verifier, &json!({}), "/hooks", "{}"), mismatch);
    // A gateway removes a part of the path, and the app's base URL has one.
    let public = || builder(&scheme).public_url("https://h.example/app/hooks");
    let whole = public().build().unwrap();
    assert_eq!(judge(&whole, &hash("POST&/app/hooks&"), "/hooks", "{}"), Ok(()));
    let below = public().parameter("base_path", "/app").build().unwrap();
    assert_eq!(judge(&below, &hash("POST&/hooks&"), "/behind/hooks", "{}"), Ok(()));
    assert_eq!(judge(&below, &hash("POST&/app/hooks&"), "/hooks", "{}"), mismatch);
}

/// Vonage's Voice API calls with GET unless it is told otherwise.
#[test]
fn vonage_signs_the_query_of_a_get_request() {
    let verifier = builder(&scheme::VONAGE).build().unwrap();
    let target = "/answer?to=14155550101&from=%2B14155550100&text=a+b";
    let json = r#"{"to":"14155550101","from":"+14155550100","text":"a b"}"#;
    let claims = |age: u64| {
        let payload_hash = hex::encode(Sha256::digest(json));
        json!({ "iat": NOW - age, "payload_hash": payload_hash })
    };
    let judge = |claims: &Value, target: &str, body: &'static str| {
        let headers = [("authorization", format!("Bearer {}", token(claims)))];
        let head = RequestHead::new(&headers).method("GET").target(target);
        verifier.verify(head, body).map(drop)
    };
    assert_eq!(judge(&claims(0), target, ""), Ok(()));
    let mismatch = Err(VerifyError::SignatureMismatch);
    for other in ["/answer", "/answer?to=14155550101", &format!("{target}&a=b")] {
        assert_eq!(judge(&claims(0), other, ""), mismatch, "{other}");
    }
    assert_eq!(judge(&claims(0), target, "{}"), mismatch);
    let old = Err(VerifyError::TimestampTooOld { seconds: 86_400 });
    assert_eq!(judge(&claims(86_400), target, ""), old);
    let never = json!({ "payload_hash": claims(0)["payload_hash"] });
    assert_eq!(judge(&never, target, ""), Err(VerifyError::MissingTimestamp));

    let signer = Signer::new(scheme::VONAGE, SECRET).unwrap().at(Duration::from_secs(NOW));
    let signed = signer.method("GET").target(target).sign("").unwrap();
    let head = RequestHead::new(&signed.headers).method("GET").target(&signed.target);
    assert!(verifier.verify(head, signed.body.clone()).is_ok());
}

/// The token does not say where the fields are. They can move, but stay the same.
#[test]
fn a_digest_of_body_or_query_has_the_same_fields_in_both() {
    let scheme = of(|scheme| scheme.body_digest_claim("d").body_digest_or_query());
    let verifier = builder(&scheme).build().unwrap();
    let claims = json!({ "d": hex::encode(Sha256::digest(r#"{"from":"1","to":"2"}"#)) });
    for (target, body, is_valid) in [
        ("/", r#"{"from":"1","to":"2"}"#, true),
        ("/?from=1&to=2", "", true),
        // With a body, the query is not signed.
        ("/?from=3", r#"{"from":"1","to":"2"}"#, true),
        ("/?from=1&to=2", "{}", false),
        ("/?to=2&from=1", "", false),
        ("/?from=1&to=2&to=2", "", false),
        ("/?from=1&to=3", "", false),
        ("/?from=1", "", false),
        ("/?", "", false),
        ("/", "", false),
        ("/?from=1%22,%22to%22:%222", "", false),
    ] {
        let expected = if is_valid { Ok(()) } else { Err(VerifyError::SignatureMismatch) };
        assert_eq!(judge(&verifier, &claims, target, body), expected, "{target} {body}");
    }
}

#[test]
fn settings_of_a_digest_must_fit() {
    let option = |scheme: SchemeBuilder| match scheme.build().map_err(|error| error.kind().clone())
    {
        Err(ConfigError::Option { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    let plain = || Scheme::builder("acme").signature_header("x-signature");
    let jwt = || plain().algorithm(Algorithm::JwtHs256);
    assert_eq!(option(jwt().body_digest_optional()), "body_digest_optional");
    assert_eq!(option(jwt().body_digest_or_query()), "body_digest_or_query");
    assert_eq!(option(jwt().body_digest_encoding(Encoding::Hex)), "body_digest_encoding");
    assert_eq!(option(plain().url_digest_claim("a")), "url_digest_claim");
    assert_eq!(option(jwt().url_digest_claim("")), "url_digest_claim");
    let query = || plain().signed_content("{url}").body_digest_query("a");
    assert_eq!(option(query().body_digest_or_query()), "body_digest_or_query");
    assert_eq!(option(query().body_digest_optional()), "body_digest_optional");
}
