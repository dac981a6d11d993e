//! Prepared keys, running MACs and finished tags.

use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{
    ConfigError, Encoding, Secret,
    encoding::{base64_to_vec, hex_to_vec},
    hmac_sha256,
    scheme::{Algorithm, KeyForm},
};

/// A secret made ready: once when it is set, and not for each request.
#[derive(Clone)]
pub(crate) enum Key {
    Sha256(hmac_sha256::Key),
    Sha1(Hmac<Sha1>),
    Sha512(Hmac<Sha512>),
    /// The digest of a token that is sent as it is.
    Token(Zeroizing<[u8; 32]>),
}

/// A MAC that takes in a body as it comes.
#[derive(Clone)]
pub(crate) enum Running {
    Sha256(hmac_sha256::Running),
    Sha1(Hmac<Sha1>),
    Sha512(Hmac<Sha512>),
}

/// A MAC's output, or the digest of a token, with zeros after it. Compared in constant time and in no other way.
#[derive(Clone)]
pub(crate) struct Tag([u8; Self::MAX]);

impl Key {
    pub(crate) fn new(
        algorithm: Algorithm,
        form: KeyForm,
        secret: &Secret,
    ) -> Result<Self, ConfigError> {
        let text = secret.expose();
        let malformed = |expected| ConfigError::MalformedSecret { expected };
        let base64 = |text| base64_to_vec(text).ok_or(malformed("base64"));
        let decoded = match form {
            KeyForm::Utf8 => Zeroizing::new(text.to_vec()),
            KeyForm::Hex => hex_to_vec(text).ok_or(malformed("hex"))?,
            KeyForm::Base64 => base64(text)?,
            KeyForm::Whsec => base64(text.strip_prefix(b"whsec_").unwrap_or(text))?,
        };
        if decoded.is_empty() {
            return Err(ConfigError::EmptySecret);
        }
        Ok(match algorithm {
            Algorithm::HmacSha256 => Self::Sha256(hmac_sha256::Key::new(&decoded)),
            Algorithm::HmacSha1 => Self::Sha1(keyed(&decoded)?),
            Algorithm::HmacSha512 => Self::Sha512(keyed(&decoded)?),
            Algorithm::Token => Self::Token(Zeroizing::new(Sha256::digest(&*decoded).into())),
        })
    }

    /// Begins a MAC over a body in pieces. `None` for a token, which signs nothing.
    pub(crate) fn begin(&self) -> Option<Running> {
        match self {
            Self::Sha256(key) => Some(Running::Sha256(key.begin())),
            Self::Sha1(key) => Some(Running::Sha1(key.clone())),
            Self::Sha512(key) => Some(Running::Sha512(key.clone())),
            Self::Token(_) => None,
        }
    }

    /// The tag of `pieces`, one after the other.
    pub(crate) fn tag(&self, pieces: &[&[u8]]) -> Tag {
        match self {
            Self::Sha256(key) => {
                let mut running = key.begin();
                pieces.iter().for_each(|piece| running.update(piece));
                Tag::new(&running.finish())
            }
            Self::Sha1(key) => finish(key.clone(), pieces),
            Self::Sha512(key) => finish(key.clone(), pieces),
            Self::Token(digest) => Tag::new(&**digest),
        }
    }
}

impl Running {
    pub(crate) fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha256(mac) => mac.update(piece),
            Self::Sha1(mac) => mac.update(piece),
            Self::Sha512(mac) => mac.update(piece),
        }
    }

    /// The tag of what was taken in and of `pieces` after it.
    pub(crate) fn tag(mut self, pieces: &[&[u8]]) -> Tag {
        pieces.iter().for_each(|piece| self.update(piece));
        match self {
            Self::Sha256(mac) => Tag::new(&mac.finish()),
            Self::Sha1(mac) => finish(mac, &[]),
            Self::Sha512(mac) => finish(mac, &[]),
        }
    }
}

fn finish(mut mac: impl hmac::Mac, pieces: &[&[u8]]) -> Tag {
    for piece in pieces {
        mac.update(piece);
    }
    Tag::new(&mac.finalize().into_bytes())
}

/// HMAC takes keys of any length, so this cannot fail; the type says otherwise.
fn keyed<M: hmac::KeyInit>(key: &[u8]) -> Result<M, ConfigError> {
    M::new_from_slice(key).map_err(|_| ConfigError::MalformedSecret {
        expected: "a key of a length that the algorithm takes",
    })
}

impl Tag {
    /// The longest tag: SHA-512's.
    const MAX: usize = 64;

    fn new(output: &[u8]) -> Self {
        let mut bytes = [0; Self::MAX];
        bytes[..output.len()].copy_from_slice(output);
        Self(bytes)
    }

    /// A token of any length becomes 32 bytes, so that the comparison does not tell how long the right one is.
    pub(crate) fn of_token(token: &[u8]) -> Self {
        Self::new(&Sha256::digest(token))
    }

    /// Room for a tag that is yet to be decoded.
    pub(crate) const fn empty() -> Self {
        Self([0; Self::MAX])
    }

    /// Decodes a signature into the tag of `algorithm`. `None` unless it has exactly that tag's length.
    pub(crate) fn decode(
        &mut self,
        algorithm: Algorithm,
        encoding: Encoding,
        text: &[u8],
    ) -> Option<()> {
        encoding.decode_exact(text, &mut self.0[..algorithm.tag_len()])
    }

    /// Whether any of `candidates` is this tag; all are compared, whichever matches.
    pub(crate) fn matches_any(&self, candidates: &[Self]) -> bool {
        let mut found = 0_u8;
        for candidate in candidates {
            // All bits that differ, gathered in one word, so that `subtle` has to look at one word only.
            let words = self
                .0
                .as_chunks::<8>()
                .0
                .iter()
                .zip(candidate.0.as_chunks::<8>().0);
            let differing = words.fold(0, |differing, (a, b)| {
                differing | (u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b))
            });
            found |= differing.ct_eq(&0).unwrap_u8();
        }
        found != 0
    }

    #[cfg(feature = "testing")]
    pub(crate) fn as_bytes(&self, algorithm: Algorithm) -> &[u8] {
        &self.0[..algorithm.tag_len()]
    }
}

#[cfg(test)]
mod tests {
    use super::Tag;

    #[test]
    fn every_bit_of_a_tag_counts() {
        let tag = Tag::new(&[0x5a; 32]);
        assert!(tag.matches_any(std::slice::from_ref(&tag)));
        for bit in 0..Tag::MAX * 8 {
            let mut other = tag.clone();
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!tag.matches_any(std::slice::from_ref(&other)), "{bit}");
            assert!(tag.matches_any(&[other.clone(), tag.clone()]), "{bit}");
            assert!(tag.matches_any(&[tag.clone(), other]), "{bit}");
        }
        assert!(!tag.matches_any(&[]));
    }
}
