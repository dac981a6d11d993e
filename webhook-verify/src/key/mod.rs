//! Prepared keys, running MACs and finished tags.

mod hmac_sha256;
pub(crate) mod public_key;
mod secret;

use std::time::Duration;

use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use self::public_key::{EcdsaForm, PublicAlgorithm, PublicKey};
pub use self::secret::Secret;
use crate::{
    encoding::{Encoding, base64_to_vec, hex_to_vec},
    error::ConfigError,
    scheme::{Algorithm, KeyForm},
};

/// A secret made ready: once when it is set, and not for each request.
#[derive(Clone)]
pub(crate) enum Key {
    Sha256(hmac_sha256::Key),
    Sha1(Hmac<Sha1>),
    Sha512(Hmac<Sha512>),
    /// A digest that has taken in the secret.
    Keyed(Sha256),
    /// The digest of a token that is sent as it is.
    Token(Zeroizing<[u8; 32]>),
    Public(PublicKey),
}

/// A MAC that takes in a body as it comes.
#[derive(Clone)]
pub(crate) enum Running {
    Sha256(hmac_sha256::Running),
    Sha1(Hmac<Sha1>),
    Sha512(Hmac<Sha512>),
    Keyed(Sha256),
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
        if let Some(algorithm) = public(algorithm) {
            return PublicKey::new(algorithm, form, text).map(Self::Public);
        }
        if algorithm.is_jwt() && !cfg!(feature = "jwt") {
            return Err(ConfigError::option(
                "algorithm",
                "needs the feature jwt of webhook-verify",
            ));
        }
        let malformed = |expected| ConfigError::MalformedSecret { expected };
        let base64 = |text| base64_to_vec(text).ok_or(malformed("base64"));
        let decoded = match form {
            KeyForm::Utf8 => Zeroizing::new(text.to_vec()),
            KeyForm::HtmlText => unescaped(text),
            KeyForm::Hex => hex_to_vec(text).ok_or(malformed("hex"))?,
            KeyForm::Base64 => base64(text)?,
            KeyForm::Whsec => base64(text.strip_prefix(b"whsec_").unwrap_or(text))?,
            KeyForm::Whpk | KeyForm::Spki | KeyForm::Certificate | KeyForm::Jwk => {
                return Err(ConfigError::option(
                    "key_form",
                    "a public key's, and the algorithm has a shared secret",
                ));
            }
        };
        if decoded.is_empty() {
            return Err(ConfigError::EmptySecret);
        }
        if algorithm == Algorithm::Basic && !decoded.contains(&b':') {
            return Err(malformed("`name:password`"));
        }
        Ok(match algorithm {
            Algorithm::HmacSha1 => Self::Sha1(keyed(&decoded)?),
            Algorithm::HmacSha512 => Self::Sha512(keyed(&decoded)?),
            Algorithm::KeyedSha256 => Self::Keyed(Sha256::new_with_prefix(&*decoded)),
            Algorithm::Token | Algorithm::Basic => {
                Self::Token(Zeroizing::new(Sha256::digest(&*decoded).into()))
            }
            _ => Self::Sha256(hmac_sha256::Key::new(&decoded)),
        })
    }

    /// The HMAC of `message`, written out. `None` where the key makes none that could be given away.
    pub(crate) fn hmac(&self, encoding: Encoding, message: &[u8]) -> Option<String> {
        let len = match self {
            Self::Sha256(_) => 32,
            Self::Sha1(_) => 20,
            Self::Sha512(_) => 64,
            Self::Keyed(_) | Self::Token(_) | Self::Public(_) => return None,
        };
        Some(encoding.encode(&self.tag(&[message]).0[..len]))
    }

    /// The public key, where it is one.
    pub(crate) fn as_public(&self) -> Option<&PublicKey> {
        match self {
            Self::Public(key) => Some(key),
            _ => None,
        }
    }

    /// From when until when a certificate holds.
    pub(crate) fn validity(&self) -> Option<(Duration, Duration)> {
        self.as_public()?.validity()
    }

    /// Begins a MAC over a body in pieces. `None` where there is no such thing: a token
    /// signs nothing, and public keys are asked once the body is whole.
    pub(crate) fn begin(&self) -> Option<Running> {
        match self {
            Self::Sha256(key) => Some(Running::Sha256(key.begin())),
            Self::Sha1(key) => Some(Running::Sha1(key.clone())),
            Self::Sha512(key) => Some(Running::Sha512(key.clone())),
            Self::Keyed(key) => Some(Running::Keyed(key.clone())),
            Self::Token(_) | Self::Public(_) => None,
        }
    }

    /// The tag of `pieces`, one after the other. Of a public key, which has none, one that nothing matches.
    pub(crate) fn tag(&self, pieces: &[&[u8]]) -> Tag {
        match self {
            Self::Sha256(key) => {
                let mut running = key.begin();
                pieces.iter().for_each(|piece| running.update(piece));
                Tag::new(&running.finish())
            }
            Self::Sha1(key) => finish(key.clone(), pieces),
            Self::Sha512(key) => finish(key.clone(), pieces),
            Self::Keyed(key) => digest(key.clone(), pieces),
            Self::Token(digest) => Tag::new(&**digest),
            Self::Public(_) => Tag([0xff; Tag::MAX]),
        }
    }
}

impl Running {
    pub(crate) fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha256(mac) => mac.update(piece),
            Self::Sha1(mac) => mac.update(piece),
            Self::Sha512(mac) => mac.update(piece),
            Self::Keyed(digest) => digest.update(piece),
        }
    }

    /// The tag of what was taken in and of `pieces` after it.
    pub(crate) fn tag(mut self, pieces: &[&[u8]]) -> Tag {
        pieces.iter().for_each(|piece| self.update(piece));
        match self {
            Self::Sha256(mac) => Tag::new(&mac.finish()),
            Self::Sha1(mac) => finish(mac, &[]),
            Self::Sha512(mac) => finish(mac, &[]),
            Self::Keyed(running) => digest(running, &[]),
        }
    }
}

fn finish(mut mac: impl hmac::Mac, pieces: &[&[u8]]) -> Tag {
    for piece in pieces {
        mac.update(piece);
    }
    Tag::new(&mac.finalize().into_bytes())
}

fn digest(mut digest: Sha256, pieces: &[&[u8]]) -> Tag {
    for piece in pieces {
        digest.update(piece);
    }
    Tag::new(&digest.finalize())
}

fn public(algorithm: Algorithm) -> Option<PublicAlgorithm> {
    Some(match algorithm {
        Algorithm::Ed25519 => PublicAlgorithm::Ed25519,
        Algorithm::EcdsaP256 => PublicAlgorithm::EcdsaP256Sha256(EcdsaForm::Der),
        Algorithm::JwtEs256 if cfg!(feature = "jwt") => {
            PublicAlgorithm::EcdsaP256Sha256(EcdsaForm::Fixed)
        }
        Algorithm::RsaSha256 => PublicAlgorithm::RsaSha256,
        Algorithm::RsaSha1 => PublicAlgorithm::RsaSha1,
        _ => return None,
    })
}

/// What WordPress's `wp_specialchars_decode` makes of a text with `ENT_QUOTES`.
fn unescaped(text: &[u8]) -> Zeroizing<Vec<u8>> {
    const ENTITIES: [(&[u8], u8); 16] = [
        (b"&amp;", b'&'),
        (b"&#038;", b'&'),
        (b"&#38;", b'&'),
        (b"&#x26;", b'&'),
        (b"&lt;", b'<'),
        (b"&#060;", b'<'),
        (b"&#x3c;", b'<'),
        (b"&gt;", b'>'),
        (b"&#062;", b'>'),
        (b"&#x3e;", b'>'),
        (b"&quot;", b'"'),
        (b"&#034;", b'"'),
        (b"&#x22;", b'"'),
        (b"&#039;", b'\''),
        (b"&#39;", b'\''),
        (b"&#x27;", b'\''),
    ];
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let entity = ENTITIES.iter().find(|(entity, _)| rest.starts_with(entity));
        let (byte, next) = entity.map_or((*first, after), |(entity, byte)| {
            (*byte, &rest[entity.len()..])
        });
        out.push(byte);
        rest = next;
    }
    out
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

    pub(crate) fn new(output: &[u8]) -> Self {
        let mut bytes = [0; Self::MAX];
        bytes[..output.len()].copy_from_slice(output);
        Self(bytes)
    }

    /// A token of any length becomes 32 bytes, so that the comparison does not tell how long the right one is.
    pub(crate) fn of_token(token: &[u8]) -> Self {
        Self::new(&Sha256::digest(token))
    }

    /// The digest that a token became.
    pub(crate) fn token_digest(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.copy_from_slice(&self.0[..32]);
        digest
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
