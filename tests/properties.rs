//! What holds for every scheme, key and body: what a sender signed verifies, and nothing else does.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use webhook_verify::{
    Algorithm, RequestHead, Scheme, Verifier, VerifyError,
    testing::{SignedRequest, Signer},
};

const NOW: Duration = Duration::from_secs(1_795_305_600);

/// Every preset, and the one that needs a name.
fn schemes() -> impl Iterator<Item = Scheme> {
    Scheme::preset_names()
        .map(|name| Scheme::preset(name).unwrap())
        .chain([Scheme::shared_header("x-token").unwrap()])
}

/// Keys whose text is a secret in every form that a preset has.
fn key() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<u8>(), 1..80).prop_map(|bytes| {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        STANDARD.encode(bytes)
    })
}

fn id() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_-]{1,60}"
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..600)
}

fn verifier(scheme: &Scheme, secret: &str) -> Verifier {
    Verifier::builder(scheme.clone())
        .secret(secret)
        .clock(|| NOW)
        .build()
        .unwrap()
}

fn sign(scheme: &Scheme, secret: &str, id: &str, body: &[u8]) -> SignedRequest {
    Signer::new(scheme.clone(), secret)
        .unwrap()
        .id(id)
        .at(NOW)
        .sign(body.to_vec())
        .unwrap()
}

type Headers = Vec<(String, Vec<u8>)>;

fn bytes_of(signed: &SignedRequest) -> Headers {
    let pairs = signed.headers.iter();
    pairs
        .map(|(name, value)| (name.clone(), value.as_bytes().to_vec()))
        .collect()
}

/// Whether the request is authentic, by the plain function; and, in pieces cut at `cuts`, the same again.
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
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_signed_verifies(key in key(), id in id(), body in body(), cuts in cuts()) {
        for scheme in schemes() {
            let signed = sign(&scheme, &key, &id, &body);
            let verdict = judge(&verifier(&scheme, &key), &bytes_of(&signed), &signed.target, &body, &cuts);
            prop_assert_eq!(verdict, Ok(()), "{}", scheme.name());
        }
    }

    #[test]
    fn one_bit_of_the_body_spoils_the_signature(
        key in key(), id in id(), body in prop::collection::vec(any::<u8>(), 1..600),
        bit in any::<prop::sample::Index>(), cuts in cuts(),
    ) {
        let changed = flipped(&body, bit);
        for scheme in schemes() {
            let signed = sign(&scheme, &key, &id, &body);
            let verdict = judge(&verifier(&scheme, &key), &bytes_of(&signed), &signed.target, &changed, &cuts);
            // A token says nothing of the body.
            let expected = match scheme.algorithm() {
                Algorithm::Token => Ok(()),
                _ => Err(VerifyError::SignatureMismatch),
            };
            prop_assert_eq!(verdict, expected, "{}", scheme.name());
        }
    }

    #[test]
    fn a_body_that_is_longer_or_shorter_spoils_the_signature(
        key in key(), body in body(), more in prop::collection::vec(any::<u8>(), 1..70),
    ) {
        let longer = [&body[..], &more].concat();
        for scheme in schemes().filter(|scheme| scheme.algorithm() != Algorithm::Token) {
            for (signed, sent) in [(&body, &longer), (&longer, &body)] {
                let headers = bytes_of(&sign(&scheme, &key, "id", signed));
                let verdict = judge(&verifier(&scheme, &key), &headers, "/", sent, &[]);
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
            let signed = sign(&scheme, &key, &id, &body);
            let headers = bytes_of(&signed);
            prop_assert!(!headers.is_empty());
            for at in 0..headers.len() {
                let mut changed = headers.clone();
                changed[at].1 = flipped(&headers[at].1, bit);
                let verdict = judge(&verifier(&scheme, &key), &changed, &signed.target, &body, &cuts);
                let is_label = at + 1 < headers.len()
                    && !headers[at].0.contains("timestamp")
                    && !scheme.id_is_signed_in_header();
                // Hexadecimal digits have two cases.
                let same_digits = scheme.is_hex()
                    && changed[at].1.eq_ignore_ascii_case(&headers[at].1)
                    && digits(&changed[at].1) != digits(&headers[at].1);
                prop_assert_eq!(
                    verdict.is_ok(), is_label || same_digits,
                    "{} {}: {:?}", scheme.name(), headers[at].0, verdict
                );
            }
        }
    }

    #[test]
    fn another_secret_does_not_do(key in key(), other in key(), body in body()) {
        prop_assume!(key != other);
        for scheme in schemes() {
            let headers = bytes_of(&sign(&scheme, &other, "id", &body));
            let verdict = judge(&verifier(&scheme, &key), &headers, "/", &body, &[]);
            let expected = match scheme.algorithm() {
                Algorithm::Token => VerifyError::TokenMismatch,
                _ => VerifyError::SignatureMismatch,
            };
            prop_assert_eq!(verdict, Err(expected), "{}", scheme.name());
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
        for scheme in schemes() {
            let verdict = judge(&verifier(&scheme, KEY), &headers, &target, &body, &cuts);
            prop_assert!(verdict.is_err(), "{} took garbage", scheme.name());
        }
    }
}

/// The key of the receivers that are sent garbage, in every form.
const KEY: &str = "bm90aGluZyB0aGF0IGlzIGd1ZXNzZWQ=";

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
    prop_oneof![
        text.prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..60),
    ]
}

fn json() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "\\{\"(id|type|event|event_id)\":(\"[a-z]{0,5}\"|[0-9]{1,3}|null|\\{\\}|\\[\\])\\}",
        "token=[a-z%+&=]{0,40}",
        "[\\[\\]{}\":,a-z0-9]{0,60}",
    ]
    .prop_map(String::into_bytes)
}

/// The part of a header in which hexadecimal digits stand.
fn digits(value: &[u8]) -> &[u8] {
    let prefix = value.iter().rposition(|&byte| byte == b'=');
    &value[prefix.map_or(0, |at| at + 1)..]
}

trait Described {
    fn id_is_signed_in_header(&self) -> bool;
    fn is_hex(&self) -> bool;
}

impl Described for Scheme {
    fn id_is_signed_in_header(&self) -> bool {
        self.name() == "standard-webhooks"
    }

    fn is_hex(&self) -> bool {
        self.algorithm() != Algorithm::Token
            && !["generic-base64", "mautic", "standard-webhooks"].contains(&self.name())
    }
}
