//! Prepared keys, running MACs and finished tags.

use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use crate::{
    ConfigError, Secret,
    encoding::{base64_to_vec, hex_to_vec},
    scheme::{Algorithm, KeyForm},
};

/// A secret made ready: keyed once when it is set, cloned for each request.
#[derive(Clone)]
pub(crate) enum Mac {
    Sha256(Hmac<Sha256>),
    Sha1(Hmac<Sha1>),
    Sha512(Hmac<Sha512>),
    /// The digest of a token that is sent as it is.
    Token(Zeroizing<[u8; 32]>),
}

/// A MAC's output, or the digest of a token. Compared in constant time and in no other way.
#[derive(Clone)]
pub(crate) struct Tag {
    bytes: [u8; Self::MAX],
    len: usize,
}

impl Mac {
    pub(crate) fn new(
        algorithm: Algorithm,
        form: KeyForm,
        secret: &Secret,
    ) -> Result<Self, ConfigError> {
        let decoded;
        let key = match form {
            KeyForm::Utf8 => secret.expose(),
            KeyForm::Hex => {
                decoded = Zeroizing::new(
                    hex_to_vec(secret.expose())
                        .ok_or(ConfigError::MalformedSecret { expected: "hex" })?,
                );
                &decoded
            }
            KeyForm::Base64 | KeyForm::Whsec => {
                let text = secret.expose();
                let text = match form {
                    KeyForm::Whsec => text.strip_prefix(b"whsec_").unwrap_or(text),
                    _ => text,
                };
                decoded = Zeroizing::new(
                    base64_to_vec(text)
                        .ok_or(ConfigError::MalformedSecret { expected: "base64" })?,
                );
                &decoded
            }
        };
        if key.is_empty() {
            return Err(ConfigError::EmptySecret);
        }
        Ok(match algorithm {
            Algorithm::HmacSha256 => Self::Sha256(keyed(key)?),
            Algorithm::HmacSha1 => Self::Sha1(keyed(key)?),
            Algorithm::HmacSha512 => Self::Sha512(keyed(key)?),
            Algorithm::Token => Self::Token(Zeroizing::new(Sha256::digest(key).into())),
        })
    }

    pub(crate) fn update(&mut self, part: &[u8]) {
        match self {
            Self::Sha256(mac) => mac.update(part),
            Self::Sha1(mac) => mac.update(part),
            Self::Sha512(mac) => mac.update(part),
            Self::Token(_) => {}
        }
    }

    pub(crate) fn finish(self) -> Tag {
        match self {
            Self::Sha256(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha1(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha512(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Token(digest) => Tag::new(&*digest),
        }
    }
}

/// HMAC takes keys of any length, so this cannot fail; the type says otherwise.
fn keyed<M: hmac::KeyInit>(key: &[u8]) -> Result<M, ConfigError> {
    M::new_from_slice(key).map_err(|_| ConfigError::MalformedSecret {
        expected: "a key of a length that the algorithm takes",
    })
}

impl Tag {
    /// The longest tag: SHA-512's.
    pub(crate) const MAX: usize = 64;

    fn new(output: &[u8]) -> Self {
        let mut bytes = [0; Self::MAX];
        bytes[..output.len()].copy_from_slice(output);
        Self {
            bytes,
            len: output.len(),
        }
    }

    /// A token of any length becomes 32 bytes, so that the comparison does not tell how long the right one is.
    pub(crate) fn of_token(token: &[u8]) -> Self {
        Self::new(&Sha256::digest(token))
    }

    /// Decodes a signature into the tag of `algorithm`. `None` unless it has exactly that tag's length.
    pub(crate) fn decode(
        algorithm: Algorithm,
        encoding: crate::Encoding,
        text: &[u8],
    ) -> Option<Self> {
        let mut tag = Self {
            bytes: [0; Self::MAX],
            len: algorithm.tag_len(),
        };
        encoding.decode_exact(text, &mut tag.bytes[..tag.len])?;
        Some(tag)
    }

    /// Whether any of `candidates` is this tag; all are compared, whichever matches.
    pub(crate) fn matches_any(&self, candidates: &[Self]) -> bool {
        candidates
            .iter()
            .fold(Choice::from(0), |found, candidate| {
                found | self.bytes[..self.len].ct_eq(&candidate.bytes[..candidate.len])
            })
            .into()
    }

    #[cfg(feature = "testing")]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
