//! Private keys of senders, for tests.

use base64::{Engine as _, engine::general_purpose::STANDARD};

#[cfg(feature = "ed25519")]
use crate::key::public_key::ED25519_SPKI_PREFIX;
#[cfg(feature = "ecdsa")]
use crate::key::public_key::P256_SPKI_PREFIX;
use crate::{
    encoding::Encoding,
    error::ConfigError,
    scheme::{Algorithm, KeyForm, Scheme},
};

/// The primes of the RSA key and its `SubjectPublicKeyInfo`. A new key would take seconds, so all
/// signers have this one.
#[cfg(feature = "rsa")]
const RSA_P: &str = "\
    fc850f22f5d0ac4e0b3f64b5d4b6e08f6750b700d7ecc6f8a4dd7ff94a37e4b12bfa0515562864513dcff7\
    7273c614a2238351e96f37d111d31fd3e2f491b575f31670f903908f454e8b0754fcd21720a21aba876be9\
    b3291fcfb4a6ac3d3a2ba3176b466d42bb8d30d3344931e879a350b8ddfb54cc5faedbe3954ea194812b";
#[cfg(feature = "rsa")]
const RSA_Q: &str = "\
    c7e4b4934fcc8e91bb5565798163278334d448922a1e6817cd2d6df89ca830a6c385a1ff555cb236d02477\
    d0255dece2a8f6e9681e8e73c7fcadeb6d748a3624055be16aa68faf8e52bebeea7c1f2ff03a612cf7c9da\
    583454c556c32086e24fa5a3614068fd638347d4ae985e1e7138bce7edbe79a679b8317e36157e9b57d9";
#[cfg(feature = "rsa")]
const RSA_PUBLIC: &str = "\
    MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAxS0HZIX7QAlofclpWpmMKf/gXMo00ypZzLVbePDqKR\
    uvj/K6za5Er/n9lHl9RMuekDAOT7CrWVwSYf09atgZ89dRLywmX0h1c9WgF7M8bznfuxH+7U9yO3AEfzpIjc2Z\
    aSY0tN0VjW1Z6MhB4mNuaIniQhdIgxfpzM1FKZQe7ZRExxA7PXHnqwWd6eYD4h/wYlKQdMmMAr+7W2T0qG5ZqI\
    3NTgxecwuifRGYcerbvVnPDTg+z/lPGTdESjlDpdETndCODNWN2TWlcOqN5fya36dyuQLcShk5R5wIHgX5bgnH\
    Jb/0glHoTNNtgD6+p9RvHkInKlJRoXw4Yd+UzdAacwIDAQAB";

/// The private key of a sender.
#[derive(Clone)]
pub(super) enum PrivateKey {
    #[cfg(feature = "ed25519")]
    Ed25519(ed25519_dalek::SigningKey),
    #[cfg(feature = "ecdsa")]
    P256(p256::ecdsa::SigningKey),
    #[cfg(feature = "rsa")]
    Rsa(Box<rsa::PrivateKey>),
}

impl PrivateKey {
    /// Returns a new key for the scheme's algorithm.
    pub(super) fn generate(scheme: &Scheme) -> Result<Self, ConfigError> {
        match scheme.algorithm() {
            #[cfg(feature = "ed25519")]
            Algorithm::Ed25519 => Ok(Self::Ed25519(ed25519_dalek::SigningKey::from(&random()?))),
            #[cfg(feature = "ecdsa")]
            Algorithm::EcdsaP256 | Algorithm::JwtEs256 => {
                // One of 2^32 random numbers is no key.
                let key = p256::ecdsa::SigningKey::from_slice(&random()?);
                Ok(Self::P256(key.map_err(|error| failed(&error))?))
            }
            #[cfg(feature = "rsa")]
            Algorithm::RsaSha256 | Algorithm::RsaSha1 => {
                let [p, q] =
                    [RSA_P, RSA_Q].map(|hex| rsa::BoxedUint::from_str_radix_vartime(hex, 16));
                let (p, q) =
                    (p.map_err(|error| failed(&error))?, q.map_err(|error| failed(&error))?);
                let key = rsa::PrivateKey::from_p_q(p, q, 65_537_u64.into());
                Ok(Self::Rsa(Box::new(key.map_err(|error| failed(&error))?)))
            }
            _ => Err(ConfigError::option(
                "algorithm",
                "webhook-verify is built without the feature of this algorithm",
            )),
        }
    }

    /// Returns the public key's text in the form that verifiers read.
    pub(super) fn public_key(&self, form: KeyForm) -> String {
        match (self, form) {
            #[cfg(feature = "ecdsa")]
            (Self::P256(key), KeyForm::Jwk) => {
                let point = key.verifying_key().to_sec1_point(false);
                let [x, y] = [&point.as_bytes()[1..33], &point.as_bytes()[33..]]
                    .map(|number| Encoding::Base64Url.encode(number));
                format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#)
            }
            #[cfg(feature = "ed25519")]
            (Self::Ed25519(key), KeyForm::Hex) => {
                Encoding::Hex.encode(key.verifying_key().as_bytes())
            }
            #[cfg(feature = "ed25519")]
            (Self::Ed25519(key), KeyForm::Base64) => STANDARD.encode(key.verifying_key()),
            #[cfg(feature = "ed25519")]
            (Self::Ed25519(key), KeyForm::Whpk) => {
                format!("whpk_{}", STANDARD.encode(key.verifying_key()))
            }
            (_, KeyForm::Certificate) => {
                let key = self.subject_public_key_info();
                format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----")
            }
            _ => self.subject_public_key_info(),
        }
    }

    /// Returns the `SubjectPublicKeyInfo` (RFC 5280 §4.1) in base64.
    fn subject_public_key_info(&self) -> String {
        match self {
            #[cfg(feature = "ed25519")]
            Self::Ed25519(key) => {
                STANDARD.encode([&ED25519_SPKI_PREFIX[..], key.verifying_key().as_bytes()].concat())
            }
            #[cfg(feature = "ecdsa")]
            Self::P256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                STANDARD.encode([&P256_SPKI_PREFIX[..], point.as_bytes()].concat())
            }
            #[cfg(feature = "rsa")]
            Self::Rsa(_) => RSA_PUBLIC.to_owned(),
        }
    }

    /// Signs the concatenated pieces.
    pub(super) fn sign(
        &self,
        algorithm: Algorithm,
        pieces: &[&[u8]],
    ) -> Result<Vec<u8>, ConfigError> {
        let message = pieces.concat();
        match self {
            #[cfg(feature = "ed25519")]
            Self::Ed25519(key) => {
                let signature = ed25519_dalek::Signer::try_sign(key, &message)
                    .map_err(|error| failed(&error))?;
                Ok(signature.to_bytes().to_vec())
            }
            #[cfg(feature = "ecdsa")]
            Self::P256(key) => {
                use p256::ecdsa::{Signature, signature::Signer as _};
                let signature: Signature =
                    key.try_sign(&message).map_err(|error| failed(&error))?;
                Ok(match algorithm {
                    Algorithm::JwtEs256 => signature.to_bytes().to_vec(),
                    _ => signature.to_der().as_bytes().to_vec(),
                })
            }
            #[cfg(feature = "rsa")]
            Self::Rsa(key) => match algorithm {
                Algorithm::RsaSha1 => rsa_signature::<sha1::Sha1>(key, &message),
                _ => rsa_signature::<sha2::Sha256>(key, &message),
            },
        }
    }
}

#[cfg(feature = "rsa")]
fn rsa_signature<D>(key: &rsa::PrivateKey, message: &[u8]) -> Result<Vec<u8>, ConfigError>
where
    D: sha2::Digest + x509_cert::der::oid::AssociatedOid,
{
    use rsa::signature::{SignatureEncoding as _, Signer as _};
    let key = rsa::pkcs1v15::SigningKey::<D>::new(key.clone());
    Ok(key.try_sign(message).map_err(|error| failed(&error))?.to_vec())
}

/// Returns 32 random bytes.
fn random() -> Result<[u8; 32], ConfigError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| failed(&error))?;
    Ok(bytes)
}

fn failed(error: &impl ToString) -> ConfigError {
    ConfigError::option("secret", error.to_string())
}
