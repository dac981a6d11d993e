use crate::{Scheme, Verifier, VerifyError, request::BYTES_READ, testing::Signer};

const CERTIFICATE: &str = include_str!("../../tests/certificate.pem");

/// Returns a verifier, and the headers and body of a request that is not signed with its key.
fn forged(scheme: &Scheme, filler: &str) -> (Verifier, Vec<(String, String)>, String) {
    let verifier = Verifier::builder(scheme.clone()).parameter("topic_arn", "arn");
    if !scheme.algorithm().is_symmetric() {
        let version = if scheme.name() == "sns" { "2" } else { "1" };
        let signature = "A".repeat(342) + "==";
        let body = format!(
            "{{\"SignatureVersion\":\"{version}\",\"Message\":\"text\",\"Type\":\"Notification\",\
             \"filler\":{filler},\"MessageId\":\"1\",\"TopicArn\":\"arn\",\"Timestamp\":\"2026\",\
             \"Signature\":\"{signature}\",\"SigningCertURL\":\
             \"https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem\"}}"
        );
        return (verifier.secret(CERTIFICATE).build().unwrap(), Vec::new(), body);
    }
    let signer = Signer::new(scheme.clone(), "00112233445566778899aabbccddeef0").unwrap();
    let signed = signer.sign("{\"filler\":0,\"id\":1}").unwrap();
    let body = String::from_utf8(signed.body.to_vec()).unwrap();
    let body = body.replacen("\"filler\":0", &format!("\"filler\":{filler}"), 1);
    let verifier = verifier.secret("00112233445566778899aabbccddeeff").build().unwrap();
    (verifier, signed.headers, body)
}

#[test]
fn the_body_of_a_forged_request_is_read_as_json_at_most_once() {
    let filler = format!("[{}0]", "{\"a\":[1,\"x\"]},".repeat(10_000));
    let mut readers = Vec::new();
    for scheme in Scheme::presets().filter(|scheme| scheme.pointers().next().is_some()) {
        let (verifier, headers, body) = forged(scheme, &filler);
        let before = BYTES_READ.get();
        let refused = verifier.verify(&headers, body.clone()).unwrap_err();
        let (name, read) = (scheme.name(), BYTES_READ.get() - before);
        assert!(
            matches!(refused, VerifyError::SignatureMismatch | VerifyError::TokenMismatch),
            "{name}: {refused}"
        );
        // Strings that were found are read again by themselves.
        assert!(read <= body.len() + 2048, "{name}: {read} bytes of {}", body.len());
        if read > 0 {
            readers.push(name);
        }
    }
    readers.sort_unstable();
    let expected =
        ["adyen", "dropbox-sign", "figma", "mailgun", "microsoft-graph", "sns", "sns-v1"];
    assert_eq!(readers, expected);
}

#[test]
fn fields_that_the_parser_reads_otherwise_are_refused() {
    let scheme = || {
        let builder = Scheme::builder("acme").signature_header("x").signed_content("{json:/a}");
        builder.build().unwrap()
    };
    let verifier = Verifier::new(scheme(), "secret").unwrap();
    let signed = Signer::new(scheme(), "secret").unwrap().sign("{\"a\":\"b\"}").unwrap();
    let judge = |body: &'static str| verifier.verify(&signed.headers, body).map(drop);
    assert_eq!(judge("{\"a\":\"b\",\"c\":[true]}"), Ok(()));
    for body in [
        "{\"a\":\"b\"",
        "{\"a\":\"b\"}x",
        "{\"a\":\"b\",\"c\":tru}",
        "{\"a\":\"b\",\"c\":[}]}",
        "{\"a\":\"b\",\"\\u0061\":\"c\"}",
        "{\"a\":\"b\",\"a\":\"b\"}",
    ] {
        assert_eq!(judge(body), Err(VerifyError::MalformedBody), "{body}");
    }
}
