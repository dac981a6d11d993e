use p256::ecdsa::{Signature, VerifyingKey, signature::MultipartVerifier as _};
use serde_json::{Map, Value};

use super::{EcdsaForm, PublicKey, Verify, malformed, text, unfit};
use crate::{ConfigError, Encoding, scheme::KeyForm};

/// What stands before the 65 bytes of an uncompressed point on P-256 in a `SubjectPublicKeyInfo` (RFC 5480). DER has no
/// other way to write it.
const SPKI_PREFIX: [u8; 26] =
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
        _ => return Err(unfit(form, "ECDSA")),
    };
    let key = point
        .and_then(|point| VerifyingKey::from_sec1_bytes(&point).ok())
        .ok_or(malformed(expected))?;
    Ok(PublicKey::bare(Key {
        key,
        form: signature,
    }))
}

fn spki(text: &[u8]) -> Option<Point> {
    let der = text::public_key(text)?;
    der.strip_prefix(&SPKI_PREFIX)?.try_into().ok()
}

/// RFC 7518 §6.2.1. What a JWK says about its use must allow this one, and a private key has no business here.
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
