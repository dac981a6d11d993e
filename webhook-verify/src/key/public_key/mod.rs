//! Public keys, parsed once when they are set.

#[cfg(feature = "ecdsa")]
mod ecdsa;
#[cfg(feature = "ed25519")]
mod ed25519;
#[cfg(feature = "rsa")]
mod rsa;
#[cfg(any(feature = "ed25519", feature = "ecdsa", feature = "rsa"))]
mod text;

use std::{sync::Arc, time::Duration};

#[cfg(all(feature = "ecdsa", feature = "testing"))]
pub(crate) use self::ecdsa::SPKI_PREFIX as P256_SPKI_PREFIX;
#[cfg(all(feature = "ed25519", feature = "testing"))]
pub(crate) use self::ed25519::SPKI_PREFIX as ED25519_SPKI_PREFIX;
use crate::{error::ConfigError, key::secret::MAX_LEN, scheme::KeyForm};

/// A key that verifies signatures.
#[derive(Clone)]
pub(crate) struct PublicKey {
    key: Arc<dyn Verify>,
    /// The first and last moment of a certificate's validity.
    validity: Option<(Duration, Duration)>,
}

/// A signature algorithm. Each needs its feature: `ed25519`, `ecdsa` or `rsa`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublicAlgorithm {
    /// Pure Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA over P-256 with SHA-256 (FIPS 186-5).
    EcdsaP256Sha256(EcdsaForm),
    /// PKCS#1 v1.5 with SHA-256 (RFC 8017 §8.2).
    RsaSha256,
    /// PKCS#1 v1.5 with SHA-1, which some senders still use. It is broken for documents that an
    /// attacker can choose: two with the same digest can be constructed.
    RsaSha1,
}

/// The encoding of an ECDSA signature's two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EcdsaForm {
    /// An ASN.1 sequence in strict DER.
    Der,
    /// Two numbers of 32 bytes each, as in a JWT.
    Fixed,
}

/// The common interface of the algorithms.
trait Verify: Send + Sync {
    /// Returns whether `signature` is valid for the concatenated pieces.
    fn verify(&self, pieces: &[&[u8]], signature: &[u8]) -> bool;
}

impl PublicKey {
    #[cfg_attr(
        not(any(feature = "ed25519", feature = "ecdsa", feature = "rsa")),
        expect(unused_variables)
    )]
    pub(crate) fn new(
        algorithm: PublicAlgorithm,
        form: KeyForm,
        text: &[u8],
    ) -> Result<Self, ConfigError> {
        if text.len() > MAX_LEN {
            return Err(ConfigError::SecretTooLong { limit: MAX_LEN });
        }
        match algorithm {
            #[cfg(feature = "ed25519")]
            PublicAlgorithm::Ed25519 => ed25519::read(form, text),
            #[cfg(not(feature = "ed25519"))]
            PublicAlgorithm::Ed25519 => Err(without("ed25519")),
            #[cfg(feature = "ecdsa")]
            PublicAlgorithm::EcdsaP256Sha256(signature) => ecdsa::read(form, signature, text),
            #[cfg(not(feature = "ecdsa"))]
            PublicAlgorithm::EcdsaP256Sha256(_) => Err(without("ecdsa")),
            #[cfg(feature = "rsa")]
            PublicAlgorithm::RsaSha256 => rsa::read::<sha2::Sha256>(form, text),
            #[cfg(feature = "rsa")]
            PublicAlgorithm::RsaSha1 => rsa::read::<sha1::Sha1>(form, text),
            #[cfg(not(feature = "rsa"))]
            PublicAlgorithm::RsaSha256 | PublicAlgorithm::RsaSha1 => Err(without("rsa")),
        }
    }

    /// Returns whether `signature` is valid for the concatenated pieces.
    pub(crate) fn verify(&self, pieces: &[&[u8]], signature: &[u8]) -> bool {
        self.key.verify(pieces, signature)
    }

    /// Returns the first and last moment of a certificate's validity, both included, as time since
    /// the Unix epoch. Returns `None` for a bare key.
    pub(crate) fn validity(&self) -> Option<(Duration, Duration)> {
        self.validity
    }
}

#[cfg(any(feature = "ed25519", feature = "ecdsa", feature = "rsa"))]
impl PublicKey {
    fn with(key: impl Verify + 'static, validity: Option<(Duration, Duration)>) -> Self {
        Self { key: Arc::new(key), validity }
    }
}

#[cfg(any(feature = "ed25519", feature = "ecdsa", feature = "rsa"))]
fn malformed(expected: &'static str) -> ConfigError {
    ConfigError::MalformedSecret { expected, hint: None }
}

/// Returns the error for a form that the algorithm's keys do not have. The scheme is at fault.
#[cfg(any(feature = "ed25519", feature = "ecdsa", feature = "rsa"))]
fn unfit(form: KeyForm, algorithm: &str) -> ConfigError {
    ConfigError::option("key_form", format!("{form:?} is not a form of {algorithm} keys"))
}

#[cfg(not(all(feature = "ed25519", feature = "ecdsa", feature = "rsa")))]
fn without(feature: &str) -> ConfigError {
    ConfigError::option(
        "algorithm",
        format!("webhook-verify is built without its feature `{feature}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::{EcdsaForm, KeyForm as Form, MAX_LEN, PublicAlgorithm as Algorithm, PublicKey};
    use crate::error::ConfigError;

    const ALGORITHMS: [Algorithm; 5] = [
        Algorithm::Ed25519,
        Algorithm::EcdsaP256Sha256(EcdsaForm::Der),
        Algorithm::EcdsaP256Sha256(EcdsaForm::Fixed),
        Algorithm::RsaSha256,
        Algorithm::RsaSha1,
    ];

    fn is_on(algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Ed25519 => cfg!(feature = "ed25519"),
            Algorithm::EcdsaP256Sha256(_) => cfg!(feature = "ecdsa"),
            Algorithm::RsaSha256 | Algorithm::RsaSha1 => cfg!(feature = "rsa"),
        }
    }

    #[test]
    fn a_form_that_is_not_the_algorithms_and_a_feature_that_is_off_are_mistakes_of_the_scheme() {
        let all = [Form::Hex, Form::Base64, Form::Whpk, Form::Spki, Form::Certificate, Form::Jwk];
        for (algorithm, form) in ALGORITHMS.iter().flat_map(|a| all.map(|form| (*a, form))) {
            let fits = match algorithm {
                Algorithm::Ed25519 => !matches!(form, Form::Certificate | Form::Jwk),
                Algorithm::EcdsaP256Sha256(_) => matches!(form, Form::Spki | Form::Jwk),
                Algorithm::RsaSha256 | Algorithm::RsaSha1 => {
                    matches!(form, Form::Spki | Form::Certificate)
                }
            };
            match PublicKey::new(algorithm, form, b"no key").map(|_| ()) {
                Err(ConfigError::Option { option, reason }) if !is_on(algorithm) => {
                    assert_eq!(option, "algorithm");
                    assert!(reason.contains("feature"), "{reason}");
                }
                Err(ConfigError::Option { option, .. }) => {
                    assert_eq!((option, fits), ("key_form", false));
                }
                Err(ConfigError::MalformedSecret { expected, .. }) => {
                    assert!(fits && is_on(algorithm), "{expected}");
                }
                other => panic!("{algorithm:?} {form:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_overlong_text_is_not_read() {
        for algorithm in ALGORITHMS {
            let key = PublicKey::new(algorithm, Form::Spki, &[b'A'; MAX_LEN + 1]);
            let error = key.map(|_| ()).unwrap_err();
            assert_eq!(error, ConfigError::SecretTooLong { limit: MAX_LEN });
        }
    }
}

/// Helpers for the algorithms' tests.
#[cfg(all(test, any(feature = "ed25519", feature = "ecdsa", feature = "rsa")))]
mod testing {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::{KeyForm, PublicAlgorithm, PublicKey};
    use crate::error::ConfigError;

    pub(super) const MESSAGE: &[u8] = b"hello, world";

    pub(super) fn hex(text: &str) -> Vec<u8> {
        crate::encoding::hex_to_vec(text.as_bytes()).unwrap().to_vec()
    }

    pub(super) fn base64(text: &str) -> Vec<u8> {
        STANDARD.decode(text).unwrap()
    }

    /// Verifies the message in one piece and in several, and asserts that the results are equal.
    pub(super) fn verify(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        let verdict = key.verify(&[message], signature);
        let (start, end) = message.split_at(message.len() / 2);
        assert_eq!(key.verify(&[start, &[], end], signature), verdict);
        verdict
    }

    /// Asserts that the right signature matches, and that similar ones do not.
    pub(super) fn holds_alone(key: &PublicKey, signature: &[u8]) {
        assert!(verify(key, MESSAGE, signature));
        assert!(!verify(key, b"hello, worle", signature));
        assert!(!verify(key, &MESSAGE[1..], signature));
        assert!(!verify(key, b"", signature));
        for bit in 0..signature.len() * 8 {
            let mut flipped = signature.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.verify(&[MESSAGE], &flipped), "bit {bit}");
        }
        for len in 0..signature.len() {
            assert!(!key.verify(&[MESSAGE], &signature[..len]), "{len} bytes");
        }
        for extra in [&[0][..], &[0xff], &[0; 1000]] {
            assert!(!key.verify(&[MESSAGE], &[signature, extra].concat()));
            assert!(!key.verify(&[MESSAGE], &[extra, signature].concat()));
        }
    }

    /// Asserts that `text` is refused as malformed, without quoting it.
    pub(super) fn refused(algorithm: PublicAlgorithm, form: KeyForm, text: &[u8]) {
        match PublicKey::new(algorithm, form, text).map(|_| ()) {
            Err(error @ ConfigError::MalformedSecret { .. }) => {
                let shown = format!("{error} {error:?}");
                let text = String::from_utf8_lossy(text);
                for word in text.split(|char: char| !char.is_ascii_alphanumeric()) {
                    assert!(word.len() < 8 || !shown.contains(word), "{shown}");
                }
            }
            other => panic!("{form:?}: {other:?}: {}", String::from_utf8_lossy(text)),
        }
    }

    /// Reads `text` cut off at each end and with each bit flipped. Nothing may panic, and every key
    /// that is still accepted must be usable.
    pub(super) fn mangle(algorithm: PublicAlgorithm, form: KeyForm, text: &[u8], signature: &[u8]) {
        mangle_in(algorithm, form, text, signature, <[u8]>::to_vec);
    }

    /// Does the same with DER, written as a PEM block.
    pub(super) fn mangle_der(
        algorithm: PublicAlgorithm,
        form: KeyForm,
        label: &str,
        der: &[u8],
        signature: &[u8],
    ) {
        mangle_in(algorithm, form, der, signature, |der| pem(label, der).into());
    }

    fn mangle_in(
        algorithm: PublicAlgorithm,
        form: KeyForm,
        bytes: &[u8],
        signature: &[u8],
        written: impl Fn(&[u8]) -> Vec<u8>,
    ) {
        let attempt = |bytes: &[u8]| {
            if let Ok(key) = PublicKey::new(algorithm, form, &written(bytes)) {
                key.verify(&[MESSAGE], signature);
                key.validity();
            }
        };
        for len in 0..bytes.len() {
            attempt(&bytes[..len]);
            attempt(&bytes[len..]);
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            attempt(&flipped);
        }
    }

    pub(super) fn pem(label: &str, der: &[u8]) -> String {
        let content = STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{content}\n-----END {label}-----\n")
    }
}
