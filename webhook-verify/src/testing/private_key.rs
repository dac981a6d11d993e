//! Signs with private keys, as senders do, for tests.

use std::sync::Arc;

#[cfg(any(feature = "ecdsa", feature = "ed25519"))]
use base64::{Engine as _, engine::general_purpose::STANDARD};

#[cfg(any(feature = "ecdsa", feature = "ed25519"))]
use crate::encoding::Encoding;
#[cfg(feature = "ed25519")]
use crate::key::public_key::ED25519_SPKI_PREFIX;
#[cfg(feature = "ecdsa")]
use crate::key::public_key::P256_SPKI_PREFIX;
#[cfg(any(feature = "ecdsa", feature = "ed25519", feature = "rsa"))]
use crate::scheme::{Algorithm, KeyForm};
use crate::{error::ConfigError, scheme::Scheme};

/// A sender's private key.
#[derive(Clone)]
pub(super) struct PrivateKey {
    /// The public key, in the text form that the scheme's verifiers parse.
    public_key: String,
    sign: Arc<Sign>,
}

type Sign = dyn Fn(&[u8]) -> Result<Vec<u8>, ConfigError> + Send + Sync;

impl PrivateKey {
    /// Generates a key for the scheme's algorithm. The RSA key is always the same.
    pub(super) fn generate(scheme: &Scheme) -> Result<Self, ConfigError> {
        match scheme.algorithm() {
            #[cfg(feature = "ed25519")]
            Algorithm::Ed25519 => ed25519(scheme),
            #[cfg(feature = "ecdsa")]
            Algorithm::EcdsaP256 | Algorithm::JwtEs256 => ecdsa(scheme),
            #[cfg(feature = "rsa")]
            Algorithm::RsaSha256 => rsa::<sha2::Sha256>(scheme),
            #[cfg(feature = "rsa")]
            Algorithm::RsaSha1 => rsa::<sha1::Sha1>(scheme),
            _ => Err(ConfigError::option(
                "algorithm",
                "webhook-verify is built without the feature of this algorithm",
            )),
        }
    }

    pub(super) fn public_key(&self) -> &str {
        &self.public_key
    }

    /// Signs the concatenated pieces.
    pub(super) fn sign(&self, pieces: &[&[u8]]) -> Result<Vec<u8>, ConfigError> {
        (self.sign)(&pieces.concat())
    }
}

#[cfg(feature = "ed25519")]
fn ed25519(scheme: &Scheme) -> Result<PrivateKey, ConfigError> {
    use ed25519_dalek::{Signer as _, SigningKey};

    let key = SigningKey::from(&random()?);
    let public = key.verifying_key().to_bytes();
    let public_key = match scheme.key_form() {
        KeyForm::Hex => Encoding::Hex.encode(&public),
        KeyForm::Base64 => STANDARD.encode(public),
        KeyForm::Whpk => format!("whpk_{}", STANDARD.encode(public)),
        form => info(form, &STANDARD.encode([&ED25519_SPKI_PREFIX[..], &public].concat())),
    };
    let sign = move |message: &[u8]| {
        let signature = key.try_sign(message).map_err(|error| failed(&error))?;
        Ok(signature.to_bytes().to_vec())
    };
    Ok(PrivateKey { public_key, sign: Arc::new(sign) })
}

#[cfg(feature = "ecdsa")]
fn ecdsa(scheme: &Scheme) -> Result<PrivateKey, ConfigError> {
    use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};

    // About one in 2^32 random numbers is not a valid key.
    let key = SigningKey::from_slice(&random()?).map_err(|error| failed(&error))?;
    let point = key.verifying_key().to_sec1_point(false);
    let point = point.as_bytes();
    let public_key = match scheme.key_form() {
        KeyForm::Jwk => {
            let [x, y] = [&point[1..33], &point[33..]].map(|it| Encoding::Base64Url.encode(it));
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#)
        }
        form => info(form, &STANDARD.encode([&P256_SPKI_PREFIX[..], point].concat())),
    };
    let is_fixed = scheme.algorithm() == Algorithm::JwtEs256;
    let sign = move |message: &[u8]| {
        let signature: Signature = key.try_sign(message).map_err(|error| failed(&error))?;
        Ok(match is_fixed {
            true => signature.to_bytes().to_vec(),
            false => signature.to_der().as_bytes().to_vec(),
        })
    };
    Ok(PrivateKey { public_key, sign: Arc::new(sign) })
}

#[cfg(feature = "rsa")]
fn rsa<D>(scheme: &Scheme) -> Result<PrivateKey, ConfigError>
where
    D: sha2::Digest + x509_cert::der::oid::AssociatedOid + Send + Sync + 'static,
{
    use rsa::{
        BoxedUint,
        pkcs1v15::SigningKey,
        signature::{SignatureEncoding as _, Signer as _},
    };

    // The primes of the RSA key, and its `SubjectPublicKeyInfo`. Generating a key takes seconds, so
    // all signers use this one.
    const RSA_P: &str = "\
        fc850f22f5d0ac4e0b3f64b5d4b6e08f6750b700d7ecc6f8a4dd7ff94a37e4b12bfa0515562864513dcff7\
        7273c614a2238351e96f37d111d31fd3e2f491b575f31670f903908f454e8b0754fcd21720a21aba876be9\
        b3291fcfb4a6ac3d3a2ba3176b466d42bb8d30d3344931e879a350b8ddfb54cc5faedbe3954ea194812b";
    const RSA_Q: &str = "\
        c7e4b4934fcc8e91bb5565798163278334d448922a1e6817cd2d6df89ca830a6c385a1ff555cb236d02477\
        d0255dece2a8f6e9681e8e73c7fcadeb6d748a3624055be16aa68faf8e52bebeea7c1f2ff03a612cf7c9da\
        583454c556c32086e24fa5a3614068fd638347d4ae985e1e7138bce7edbe79a679b8317e36157e9b57d9";
    const RSA_PUBLIC: &str = "\
        MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAxS0HZIX7QAlofclpWpmMKf/gXMo00ypZzLVbePDqKR\
        uvj/K6za5Er/n9lHl9RMuekDAOT7CrWVwSYf09atgZ89dRLywmX0h1c9WgF7M8bznfuxH+7U9yO3AEfzpIjc2Z\
        aSY0tN0VjW1Z6MhB4mNuaIniQhdIgxfpzM1FKZQe7ZRExxA7PXHnqwWd6eYD4h/wYlKQdMmMAr+7W2T0qG5ZqI\
        3NTgxecwuifRGYcerbvVnPDTg+z/lPGTdESjlDpdETndCODNWN2TWlcOqN5fya36dyuQLcShk5R5wIHgX5bgnH\
        Jb/0glHoTNNtgD6+p9RvHkInKlJRoXw4Yd+UzdAacwIDAQAB";

    let prime = |hex| BoxedUint::from_str_radix_vartime(hex, 16).map_err(|error| failed(&error));
    let key = rsa::PrivateKey::from_p_q(prime(RSA_P)?, prime(RSA_Q)?, 65_537_u64.into());
    let key = SigningKey::<D>::new(key.map_err(|error| failed(&error))?);
    let sign =
        move |message: &[u8]| Ok(key.try_sign(message).map_err(|error| failed(&error))?.to_vec());
    Ok(PrivateKey { public_key: info(scheme.key_form(), RSA_PUBLIC), sign: Arc::new(sign) })
}

/// Returns a `SubjectPublicKeyInfo` (RFC 5280 §4.1) in base64. If the scheme expects a certificate,
/// returns it as PEM.
#[cfg(any(feature = "ecdsa", feature = "ed25519", feature = "rsa"))]
fn info(form: KeyForm, base64: &str) -> String {
    match form {
        KeyForm::Certificate => {
            format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----")
        }
        _ => base64.to_owned(),
    }
}

/// Returns 32 random bytes.
#[cfg(any(feature = "ecdsa", feature = "ed25519"))]
fn random() -> Result<[u8; 32], ConfigError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| failed(&error))?;
    Ok(bytes)
}

#[cfg(any(feature = "ecdsa", feature = "ed25519", feature = "rsa"))]
fn failed(error: &impl ToString) -> ConfigError {
    ConfigError::option("secret", error.to_string())
}
