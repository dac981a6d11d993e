use std::{sync::Arc, time::Duration};

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
use crate::{ConfigError, scheme::KeyForm};

/// Smaller keys can be broken, and larger ones are slow and nobody's.
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

const MIN_EXPONENT: u64 = 65_537;

/// `rsaEncryption`: a key that is not for PSS alone.
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

pub(super) fn read<D>(form: KeyForm, text: &[u8]) -> Result<PublicKey, ConfigError>
where
    D: Digest + AssociatedOid + Send + Sync + 'static,
{
    let (read, expected) = match form {
        KeyForm::Spki => (
            public_key(text),
            "an RSA SubjectPublicKeyInfo in base64 or PEM, of 2048 to 8192 bits",
        ),
        KeyForm::Certificate => (
            certificate_or_key(text),
            "a PEM certificate or public key with an RSA key of 2048 to 8192 bits",
        ),
        _ => return Err(unfit(form, "RSA")),
    };
    let (key, validity) = read.ok_or(malformed(expected))?;
    Ok(PublicKey {
        key: Arc::new(VerifyingKey::<D>::new(key)),
        validity,
    })
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

/// RFC 3279 §2.3.1 and RFC 8017 §A.1.1.
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
