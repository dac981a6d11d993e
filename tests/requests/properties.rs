//! Properties of every scheme, key and body: a signed request verifies, and no other request does.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use webhook_verify::{
    RequestHead, Scheme, Verifier, VerifyError,
    scheme::{Algorithm, Encoding, KeyForm},
    testing::{SignedRequest, Signer},
};

const NOW: Duration = Duration::from_secs(1_795_305_600);
const URL: &str = "https://hooks.example.test/hook";

/// Every preset with a shared secret, and the one that needs a name.
fn symmetric() -> impl Iterator<Item = Scheme> {
    let presets = Scheme::presets().filter(|scheme| scheme.algorithm().is_symmetric());
    let shared = Scheme::shared_header("x-token").unwrap();
    presets.cloned().chain([shared])
}

/// The schemes whose bodies may be any bytes.
fn schemes() -> impl Iterator<Item = Scheme> {
    symmetric().filter(|scheme| !reads_body(scheme))
}

/// Whether anything that is judged is in a field of the body.
fn reads_body(scheme: &Scheme) -> bool {
    let description = scheme.describe();
    let mut places = description.signatures.iter().chain(&description.timestamp);
    places.any(|place| place.starts_with("body "))
        || ["{form", "{json:"].iter().any(|part| description.signed_content.contains(part))
}

/// Any secret, as the scheme's sender writes it.
fn written(scheme: &Scheme, key: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    match (scheme.algorithm(), scheme.key_form()) {
        (Algorithm::Basic, _) => format!("user:{}", hex::encode(key)),
        (_, KeyForm::Hex) => hex::encode(key),
        _ => STANDARD.encode(key),
    }
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..80)
}

fn id() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_-]{1,60}"
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![1 => Just(Vec::new()), 30 => filled()]
}

/// Two bytes that are in no challenge come first: X signs the words of challenges for anybody, so
/// such a word is no body of its, with one bit changed neither.
fn filled() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..600).prop_map(|body| [&[0, 0], &body[..]].concat())
}

/// The body, or one that the scheme can tell from adjacent text.
fn fitting(scheme: &Scheme, body: &[u8]) -> Vec<u8> {
    match scheme.describe().signed_content.contains("{body:json}") {
        true => format!("[\"{}\"]", hex::encode(body)).into_bytes(),
        false => body.to_vec(),
    }
}

fn verifier(scheme: &Scheme, key: &[u8]) -> Verifier {
    Verifier::builder(scheme.clone())
        .secret(written(scheme, key))
        .public_url(URL)
        .clock(|| NOW)
        .build()
        .unwrap()
}

fn sign(scheme: &Scheme, key: &[u8], id: &str, body: &[u8]) -> SignedRequest {
    Signer::new(scheme.clone(), written(scheme, key))
        .unwrap()
        .public_url(URL)
        .id(id)
        .at(NOW)
        .sign(body.to_vec())
        .unwrap()
}

type Headers = Vec<(String, Vec<u8>)>;

fn bytes_of(signed: &SignedRequest) -> Headers {
    let pairs = signed.headers.iter();
    pairs.map(|(name, value)| (name.clone(), value.as_bytes().to_vec())).collect()
}

/// Whether the request is authentic, by the plain function; and, in pieces cut at `cuts`, the same
/// again.
fn judge(
    verifier: &Verifier,
    headers: &Headers,
    target: &str,
    body: &[u8],
    cuts: &[prop::sample::Index],
) -> Result<(), VerifyError> {
    let head = RequestHead::new(headers).target(target);
    let whole = verifier.verify(head, body.to_vec()).map(|delivery| {
        assert_eq!(*delivery.body(), body);
    });
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
    cuts.extend([0, body.len()]);
    cuts.sort_unstable();
    let in_pieces = verifier.begin(head, body.len()).and_then(|mut incoming| {
        for piece in cuts.windows(2) {
            let piece = Bytes::copy_from_slice(&body[piece[0]..piece[1]]);
            incoming.update(piece).expect("within the limit");
        }
        incoming.finish().map(|delivery| {
            assert_eq!(*delivery.body(), body);
        })
    });
    assert_eq!(whole, in_pieces, "the verdict depends on the pieces");
    whole
}

fn flipped(bytes: &[u8], at: prop::sample::Index) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let bit = at.index(bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn what_is_signed_verifies(key in key(), id in id(), body in body(), cuts in cuts()) {
        for scheme in schemes() {
            let body = fitting(&scheme, &body);
            let signed = sign(&scheme, &key, &id, &body);
            let verdict = judge(&verifier(&scheme, &key), &bytes_of(&signed), &signed.target, &body, &cuts);
            prop_assert_eq!(verdict, Ok(()), "{}", scheme.name());
        }
    }

    #[test]
    fn one_bit_of_the_body_spoils_the_signature(
        key in key(), id in id(), body in filled(),
        bit in any::<prop::sample::Index>(), cuts in cuts(),
    ) {
        for scheme in schemes() {
            let body = fitting(&scheme, &body);
            let changed = flipped(&body, bit);
            let signed = sign(&scheme, &key, &id, &body);
            let verdict = judge(&verifier(&scheme, &key), &bytes_of(&signed), &signed.target, &changed, &cuts);
            // A token says nothing of the body.
            let by_md5 = scheme.describe().signed_content.contains("{body:md5");
            let expected = match scheme.signs_body() || by_md5 {
                true => Err(VerifyError::SignatureMismatch),
                false => Ok(()),
            };
            prop_assert_eq!(verdict, expected, "{}", scheme.name());
        }
    }

    #[test]
    fn a_body_that_is_longer_or_shorter_spoils_the_signature(
        key in key(), body in body(), more in filled(),
    ) {
        let longer = [&body[..], &more].concat();
        for scheme in schemes().filter(Scheme::signs_body) {
            let (body, longer) = (fitting(&scheme, &body), fitting(&scheme, &longer));
            for (signed, sent) in [(&body, &longer), (&longer, &body)] {
                let signed = sign(&scheme, &key, "id", signed);
                let headers = bytes_of(&signed);
                let verdict = judge(&verifier(&scheme, &key), &headers, &signed.target, sent, &[]);
                prop_assert_eq!(verdict, Err(VerifyError::SignatureMismatch), "{}", scheme.name());
            }
        }
    }

    /// Signature or token, signed timestamp, signed id.
    #[test]
    fn one_bit_of_a_header_spoils_the_request(
        key in key(), id in id(), body in body(), bit in any::<prop::sample::Index>(), cuts in cuts(),
    ) {
        for scheme in schemes() {
            let body = fitting(&scheme, &body);
            let signed = sign(&scheme, &key, &id, &body);
            let headers = bytes_of(&signed);
            let described = scheme.describe();
            let places = described.signatures.iter().chain(&described.id);
            let has_header = places.map(String::as_str).any(|place| place.starts_with("header "));
            let place_of_signature = described.signatures[0].clone();
            prop_assert_eq!(headers.is_empty(), !has_header, "{}", scheme.name());
            for at in 0..headers.len() {
                let mut changed = headers.clone();
                changed[at].1 = flipped(&headers[at].1, bit);
                let verdict = judge(&verifier(&scheme, &key), &changed, &signed.target, &body, &cuts);
                let place = Some(format!("header {}", headers[at].0));
                // A list of signed headers contains the ID's as well.
                let is_listed = scheme.describe().signed_content.contains("{signed-headers:");
                let is_label = scheme.describe().id == place && !scheme.id_is_signed() && !is_listed;
                let same_but_for_case = changed[at].1.eq_ignore_ascii_case(&headers[at].1);
                // Hexadecimal digits have two cases, and so has the name of an authentication
                // scheme.
                let is_signature = at + 1 == headers.len();
                let same_digits = is_signature
                    && scheme.encoding() == Encoding::Hex
                    && !scheme.describe().signed_content.is_empty()
                    && digits(&changed[at].1) != digits(&headers[at].1);
                let name = headers[at].1.iter().position(|&byte| byte == b' ').unwrap_or(0);
                let same_name = headers[at].0 == "authorization"
                    && changed[at].1[name..] == headers[at].1[name..];
                // Any key ID may be before the signature.
                let from = |text: &[u8]| text.iter().position(|&byte| byte == b':');
                let same_but_for_id = is_signature
                    && place_of_signature.contains("<version>:")
                    && from(&headers[at].1).is_some_and(|from| {
                        changed[at].1.get(from..) == Some(&headers[at].1[from..])
                    });
                let same = same_but_for_case && (same_digits || same_name) || same_but_for_id;
                prop_assert_eq!(
                    verdict.is_ok(), is_label || same,
                    "{} {}: {:?}", scheme.name(), headers[at].0, verdict
                );
            }
        }
    }

    /// Of a URL or a path that is signed.
    #[test]
    fn one_bit_of_the_target_or_the_method_spoils_the_signature(
        key in key(), body in filled(), bit in any::<prop::sample::Index>(),
    ) {
        const TARGET: &str = "/hook?tenant=7&name=abc";
        for scheme in schemes() {
            let content = scheme.describe().signed_content;
            let signs_query = ["{url}", "{url:either", "{url:partly", "{path"].iter().any(|part| content.contains(part));
            let signer = Signer::new(scheme.clone(), written(&scheme, &key)).unwrap();
            let signer = signer.public_url(URL).at(NOW).target(TARGET).method("PUT");
            let signed = signer.sign(fitting(&scheme, &body)).unwrap();
            let verifier = verifier(&scheme, &key);
            let judge = |target: &str, method: &str| {
                let head = RequestHead::new(&signed.headers).target(target).method(method);
                verifier.verify(head, signed.body.clone()).map(drop)
            };
            prop_assert_eq!(judge(&signed.target, "PUT"), Ok(()), "{}", scheme.name());
            let at = signed.target.find('?').unwrap() + 1;
            let query = flipped(&signed.target.as_bytes()[at..], bit);
            if let (true, Ok(query)) = (signs_query, String::from_utf8(query)) {
                let target = format!("{}{query}", &signed.target[..at]);
                prop_assert!(judge(&target, "PUT").is_err(), "{} {}", scheme.name(), target);
            }
            prop_assert_eq!(
                judge(&signed.target, "PUU").is_err(),
                content.contains("{method}"),
                "{}", scheme.name()
            );
        }
    }

    #[test]
    fn another_secret_does_not_do(key in key(), other in key(), body in body()) {
        prop_assume!(key != other);
        for scheme in schemes() {
            let signed = sign(&scheme, &other, "id", &body);
            let verdict = judge(&verifier(&scheme, &key), &bytes_of(&signed), &signed.target, &body, &[]);
            let expected = match scheme.algorithm() {
                Algorithm::Token | Algorithm::Basic => VerifyError::TokenMismatch,
                _ => VerifyError::SignatureMismatch,
            };
            prop_assert_eq!(verdict, Err(expected), "{}", scheme.name());
        }
    }

    /// Signatures, timestamps and signed fields in JSON bodies.
    #[test]
    fn what_is_signed_in_fields_verifies_and_another_value_does_not(
        key in key(), id in id(), texts in prop::collection::vec("[^:]{0,20}", 8), change in 0..8_usize,
        cuts in cuts(),
    ) {
        // The recorded requests have the schemes that sign single fields of a form.
        let in_fields = |scheme: &Scheme| {
            reads_body(scheme) && !scheme.describe().signed_content.contains("{form:")
        };
        for scheme in symmetric().filter(in_fields) {
            let is_form = scheme.describe().signed_content.contains("{form}");
            let body = if is_form { form(&texts) } else { adyen(&texts) };
            let signed = sign(&scheme, &key, &id, body.as_bytes());
            let verifier = verifier(&scheme, &key);
            let verdict = judge(&verifier, &bytes_of(&signed), &signed.target, &signed.body, &cuts);
            prop_assert_eq!(verdict, Ok(()), "{}", scheme.name());

            let mut other = texts.clone();
            other[change].push('x');
            let other = if is_form { form(&other) } else { adyen(&other) };
            // The signature that is in the one body, in the other.
            let changed = match is_form {
                true => other,
                false => transplant(&signed.body, &other),
            };
            let verdict = judge(&verifier, &bytes_of(&signed), &signed.target, changed.as_bytes(), &cuts);
            let is_signed = is_form || scheme.signs_body() || scheme.name() == "adyen";
            prop_assert_eq!(verdict.is_err(), is_signed, "{}: {:?}", scheme.name(), verdict);
        }
    }

    /// Names that the schemes look at, and any values: nothing panics, and nothing passes.
    #[test]
    fn garbage_is_refused_without_a_panic(
        headers in prop::collection::vec((name(), value()), 0..12),
        target in "/[ -~]{0,60}",
        body in prop_oneof![body(), json()],
        cuts in cuts(),
    ) {
        for scheme in symmetric() {
            let verdict = judge(&verifier(&scheme, KEY), &headers, &target, &body, &cuts);
            prop_assert!(verdict.is_err(), "{} took garbage", scheme.name());
        }
    }
}

/// The key of the receivers that are sent garbage.
const KEY: &[u8] = b"nothing that is guessed";

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "webhook-signature",
        "Webhook-Signature",
        "webhook-id",
        "webhook-timestamp",
        "x-webhook-signature",
        "x-webhook-timestamp",
        "x-webhook-event",
        "x-hosthub-signature",
        "x-hosthub-event",
        "x-fluentcrm-signature",
        "x-fluentcrm-event",
        "x-hub-signature-256",
        "x-github-delivery",
        "x-github-event",
        "stripe-signature",
        "x-slack-signature",
        "x-slack-request-timestamp",
        "token",
        "x-token",
        "content-type",
    ])
    .prop_map(str::to_owned)
}

/// Values from far off to nearly right.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        Just("application/x-www-form-urlencoded".to_owned()),
        Just("1795305600".to_owned()),
        Just("id".to_owned()),
        "17953056[0-9]{2}",
        "[0-9]{1,22}",
        "[0-9a-fA-F]{64}",
        "(sha256=|v0=)[0-9a-f]{63,65}",
        "[A-Za-z0-9+/]{43}=",
        "(v1,[A-Za-z0-9+/]{43}=[ ,]{0,2}){1,18}",
        "(t=[0-9]{1,12},)?(v1=[0-9a-f]{64},?){1,18}",
        "[ -~]{0,40}",
    ];
    prop_oneof![text.prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..60),]
}

fn json() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "\\{\"(id|type|event|event_id)\":(\"[a-z]{0,5}\"|[0-9]{1,3}|null|\\{\\}|\\[\\])\\}",
        "token=[a-z%+&=]{0,40}",
        "[\\[\\]{}\":,a-z0-9]{0,60}",
    ]
    .prop_map(String::into_bytes)
}

fn form(texts: &[String]) -> String {
    let mut form = String::new();
    for (number, text) in texts.iter().enumerate() {
        let digits = hex::encode(text);
        let escaped: String =
            (0..digits.len() / 2).map(|at| format!("%{}", &digits[at * 2..at * 2 + 2])).collect();
        form += &format!("{}field{number}={escaped}", if number == 0 { "" } else { "&" });
    }
    form
}

/// A body in which Adyen's fields are; to other senders it is as good as any.
fn adyen(texts: &[String]) -> String {
    serde_json::json!({ "notificationItems": [{ "NotificationRequestItem": {
        "pspReference": texts[0],
        "originalReference": texts[1],
        "merchantAccountCode": texts[2],
        "merchantReference": texts[3],
        "amount": { "value": texts[4], "currency": texts[5] },
        "eventCode": texts[6],
        "success": texts[7],
        "additionalData": {},
    } }] })
    .to_string()
}

/// `other` with everything of `signed` that it does not have.
fn transplant(signed: &[u8], other: &str) -> String {
    fn fill(from: &serde_json::Value, to: &mut serde_json::Value) {
        use serde_json::Value::{Array, Object};
        match (from, to) {
            (Object(from), Object(to)) => {
                for (key, value) in from {
                    fill(value, to.entry(key.clone()).or_insert_with(|| value.clone()));
                }
            }
            (Array(from), Array(to)) => from.iter().zip(to).for_each(|(from, to)| fill(from, to)),
            _ => {}
        }
    }
    let mut other = serde_json::from_str(other).unwrap();
    fill(&serde_json::from_slice(signed).unwrap(), &mut other);
    other.to_string()
}

/// The part of a header in which hexadecimal digits stand.
fn digits(value: &[u8]) -> &[u8] {
    let prefix = value.iter().rposition(|byte| b"= ".contains(byte));
    &value[prefix.map_or(0, |at| at + 1)..]
}
