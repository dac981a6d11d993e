use ed25519_dalek::{Signature, VerifyingKey};

use super::{PublicKey, Verify, malformed, text, unfit};
use crate::{
    ConfigError,
    encoding::{base64_to_vec, hex_to_vec},
    scheme::KeyForm,
};

/// What stands before the 32 bytes of the key in a `SubjectPublicKeyInfo` (RFC 8410). DER has no other way to write it.
const SPKI_PREFIX: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

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
        _ => return Err(unfit(form, "Ed25519")),
    };
    let key = bytes
        .and_then(|bytes| VerifyingKey::try_from(&bytes[..]).ok())
        .ok_or(malformed(expected))?;
    // Under such a key, signatures that anybody can make hold for any content.
    if key.is_weak() {
        return Err(malformed("an Ed25519 public key of large order"));
    }
    Ok(PublicKey::bare(key))
}

impl Verify for VerifyingKey {
    /// What `verify_strict` does, without the message in one piece: a scalar that is not reduced is refused, and so is
    /// a point of small order. For the key, that is settled when it is read.
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
