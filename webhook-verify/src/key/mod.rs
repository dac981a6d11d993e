//! Prepared keys, unfinished MACs and finished tags.

#![deny(clippy::wildcard_enum_match_arm)]

mod misread;
pub(crate) mod public_key;
mod secret;
mod tag;

use std::{ops::Deref, time::Duration};

use hmac::{Hmac, Mac as _};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

pub(crate) use self::misread::{bare as bare_secret, is_invisible, without_white_space};
use self::public_key::{EcdsaForm, PublicAlgorithm, PublicKey};
pub use self::secret::Secret;
pub(crate) use self::tag::Tag;
use crate::{
    encoding::{Encoding, base64_to_vec, hex_to_vec},
    error::ConfigError,
    scheme::{Algorithm, Hash, KeyForm, Scheme},
};

/// A secret, prepared once when it is set rather than for each request.
#[derive(Clone)]
pub(crate) enum Key {
    Sha256(Hmac<Sha256>),
    Sha1(Hmac<Sha1>),
    Sha512(Hmac<Sha512>),
    /// The secret of a keyed digest.
    Digest(DigestKey),
    /// The digest of a token.
    Token(Zeroizing<[u8; 32]>),
    Public(PublicKey),
}

/// The live secrets, prepared for verification. Keeps the original texts, to explain refusals.
#[derive(Clone, Default)]
pub(crate) struct Keys {
    keys: Box<[Key]>,
    secrets: Box<[Secret]>,
}

impl Deref for Keys {
    type Target = [Key];

    fn deref(&self) -> &[Key] {
        &self.keys
    }
}

impl Keys {
    /// Prepares secrets for a scheme.
    pub(crate) fn new(
        scheme: &Scheme,
        secrets: impl IntoIterator<Item = Secret>,
    ) -> Result<Self, ConfigError> {
        let secrets: Box<[_]> = secrets.into_iter().collect();
        let new = |secret: &Secret| {
            Key::new(scheme, secret).map_err(|error| match secret.origin() {
                Some(origin) => error.about(origin),
                None => error,
            })
        };
        let keys = secrets.iter().map(new).collect::<Result<_, _>>()?;
        Ok(Self { keys, secrets })
    }

    /// Returns the secrets as they were configured.
    pub(crate) fn secrets(&self) -> &[Secret] {
        &self.secrets
    }
}

/// A MAC over the part of a body that has arrived.
#[derive(Clone)]
pub(crate) enum MacState {
    Sha256(Hmac<Sha256>),
    Sha1(Hmac<Sha1>),
    Sha512(Hmac<Sha512>),
}

/// The secret of a digest over the secret and the signed content.
#[derive(Clone)]
pub(crate) struct DigestKey {
    hash: Hash,
    secret: Zeroizing<Vec<u8>>,
    /// The index of the piece of signed content that follows the secret.
    piece: usize,
}

impl DigestKey {
    fn tag(&self, pieces: &[&[u8]]) -> Tag {
        let (before, after) = pieces.split_at(self.piece.min(pieces.len()));
        let all = before.iter().copied().chain([&**self.secret]).chain(after.iter().copied());
        match self.hash {
            Hash::Md5 => digest::<Md5>(all),
            Hash::Sha1 => digest::<Sha1>(all),
            Hash::Sha256 => digest::<Sha256>(all),
            Hash::Sha512 => digest::<Sha512>(all),
        }
    }
}

impl Key {
    /// Prepares a secret for a scheme.
    pub(crate) fn new(scheme: &Scheme, secret: &Secret) -> Result<Self, ConfigError> {
        let (form, text) = (scheme.key_form, secret.expose());
        if !secret.is_exact() {
            if let Some(reason) = misread::other_key(scheme, text) {
                return Err(ConfigError::SuspectSecret { reason });
            }
            let is_base64 = matches!(form, KeyForm::Base64 | KeyForm::Whsec);
            if is_base64 && misread::is_hex(text.strip_prefix(b"whsec_").unwrap_or(text)) {
                return Err(with_hint(malformed("base64"), form, text));
            }
        }
        Self::parse(scheme, text).map_err(|error| with_hint(error, form, text))
    }

    fn parse(scheme: &Scheme, text: &[u8]) -> Result<Self, ConfigError> {
        let (algorithm, form) = (scheme.algorithm, scheme.key_form);
        if algorithm.is_jwt() && !cfg!(feature = "jwt") {
            return Err(ConfigError::option(
                "algorithm",
                "needs the feature `jwt` of webhook-verify",
            ));
        }
        let shared = || shared(form, text);
        let keyed_digest = |hash| {
            let (secret, piece) = (shared()?, scheme.secret_piece());
            Ok(Self::Digest(DigestKey { hash, secret, piece }))
        };
        let public = |algorithm| PublicKey::new(algorithm, form, text).map(Self::Public);
        match algorithm {
            Algorithm::HmacSha256 | Algorithm::JwtHs256 => keyed(&shared()?).map(Self::Sha256),
            Algorithm::HmacSha1 => keyed(&shared()?).map(Self::Sha1),
            Algorithm::HmacSha512 => keyed(&shared()?).map(Self::Sha512),
            Algorithm::KeyedSha1 => keyed_digest(Hash::Sha1),
            Algorithm::KeyedSha256 => keyed_digest(Hash::Sha256),
            Algorithm::KeyedSha512 => keyed_digest(Hash::Sha512),
            Algorithm::Token => Ok(Self::token(&shared()?)),
            Algorithm::Basic => {
                let credentials = shared()?;
                if credentials.contains(&b':') {
                    Ok(Self::token(&credentials))
                } else {
                    Err(malformed("`name:password`"))
                }
            }
            Algorithm::Ed25519 => public(PublicAlgorithm::Ed25519),
            Algorithm::EcdsaP256 => public(PublicAlgorithm::EcdsaP256Sha256(EcdsaForm::Der)),
            Algorithm::JwtEs256 => public(PublicAlgorithm::EcdsaP256Sha256(EcdsaForm::Fixed)),
            Algorithm::RsaSha256 => public(PublicAlgorithm::RsaSha256),
            Algorithm::RsaSha1 => public(PublicAlgorithm::RsaSha1),
        }
    }

    fn token(token: &[u8]) -> Self {
        Self::Token(Zeroizing::new(Sha256::digest(token).into()))
    }

    /// Returns the encoded HMAC of `message`, or `None` if this is not an HMAC key.
    pub(crate) fn hmac(&self, encoding: Encoding, message: &[u8]) -> Option<String> {
        let len = match self {
            Self::Sha256(_) => 32,
            Self::Sha1(_) => 20,
            Self::Sha512(_) => 64,
            Self::Digest(_) | Self::Token(_) | Self::Public(_) => return None,
        };
        Some(encoding.encode(self.tag(&[message]).as_bytes(len)))
    }

    /// Returns the public key, if it is one.
    pub(crate) fn as_public(&self) -> Option<&PublicKey> {
        match self {
            Self::Public(key) => Some(key),
            Self::Sha256(_)
            | Self::Sha1(_)
            | Self::Sha512(_)
            | Self::Digest(_)
            | Self::Token(_) => None,
        }
    }

    /// Returns a certificate's [validity](PublicKey::validity).
    pub(crate) fn validity(&self) -> Option<(Duration, Duration)> {
        self.as_public()?.validity()
    }

    /// Starts a MAC over a body in pieces. Tokens sign nothing, and the others need the whole body.
    pub(crate) fn begin(&self) -> Option<MacState> {
        match self {
            Self::Sha256(key) => Some(MacState::Sha256(key.clone())),
            Self::Sha1(key) => Some(MacState::Sha1(key.clone())),
            Self::Sha512(key) => Some(MacState::Sha512(key.clone())),
            Self::Digest(_) | Self::Token(_) | Self::Public(_) => None,
        }
    }

    /// Returns the tag of the concatenated `pieces`. For a public key, it matches no signature.
    pub(crate) fn tag(&self, pieces: &[&[u8]]) -> Tag {
        match self {
            Self::Sha256(key) => finish(key.clone(), pieces),
            Self::Sha1(key) => finish(key.clone(), pieces),
            Self::Sha512(key) => finish(key.clone(), pieces),
            Self::Digest(key) => key.tag(pieces),
            Self::Token(digest) => Tag::new(&**digest),
            Self::Public(_) => Tag::unmatchable(),
        }
    }
}

impl MacState {
    pub(crate) fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha256(mac) => mac.update(piece),
            Self::Sha1(mac) => mac.update(piece),
            Self::Sha512(mac) => mac.update(piece),
        }
    }

    /// Returns the tag of everything so far, followed by `pieces`.
    pub(crate) fn tag(mut self, pieces: &[&[u8]]) -> Tag {
        pieces.iter().for_each(|piece| self.update(piece));
        match self {
            Self::Sha256(mac) => finish(mac, &[]),
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

fn digest<'p, D: Digest>(pieces: impl Iterator<Item = &'p [u8]>) -> Tag {
    let mut digest = D::new();
    pieces.for_each(|piece| digest.update(piece));
    Tag::new(&digest.finalize())
}

fn malformed(expected: &'static str) -> ConfigError {
    ConfigError::MalformedSecret { expected, hint: None }
}

/// Adds a description of the text to the error.
fn with_hint(mut error: ConfigError, form: KeyForm, text: &[u8]) -> ConfigError {
    if let ConfigError::MalformedSecret { hint, .. } = &mut error {
        *hint = misread::looks_like(form, text);
    }
    error
}

/// Decodes a shared secret. It must not be empty.
fn shared(form: KeyForm, text: &[u8]) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let base64 = |text| base64_to_vec(text).ok_or(malformed("base64"));
    let decoded = match form {
        KeyForm::Utf8 => Zeroizing::new(text.to_vec()),
        KeyForm::HtmlText => unescaped(text),
        KeyForm::Sha1 => Zeroizing::new(Sha1::digest(text).to_vec()),
        KeyForm::Hex => hex_to_vec(text).ok_or(malformed("hex"))?,
        KeyForm::Base64 => base64(text)?,
        KeyForm::Whsec => base64(text.strip_prefix(b"whsec_").unwrap_or(text))?,
        KeyForm::Whpk | KeyForm::Spki | KeyForm::Certificate | KeyForm::Jwk => {
            return Err(ConfigError::option(
                "key_form",
                "the form is a public key's, and the algorithm has a shared secret",
            ));
        }
    };
    if decoded.is_empty() {
        return Err(ConfigError::EmptySecret);
    }
    Ok(decoded)
}

/// Decodes HTML entities like WordPress's `wp_specialchars_decode` with `ENT_QUOTES`.
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
        let (byte, next) =
            entity.map_or((*first, after), |(entity, byte)| (*byte, &rest[entity.len()..]));
        out.push(byte);
        rest = next;
    }
    out
}

/// Creates an HMAC. It accepts keys of any length, so the error never occurs.
fn keyed<M: hmac::KeyInit>(key: &[u8]) -> Result<M, ConfigError> {
    M::new_from_slice(key).map_err(|_| malformed("a key of a length that the algorithm takes"))
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, Mac as _};
    use sha1::Sha1;
    use sha2::{Sha256, Sha512};
    use zeroize::ZeroizeOnDrop;

    use super::{Key, Tag, keyed};

    /// An HMAC consists of two hash states and a buffer, and wipes them on drop.
    #[test]
    fn prepared_keys_are_wiped_on_drop() {
        fn wiped<T: ZeroizeOnDrop>() {}
        wiped::<Sha256>();
        wiped::<Sha1>();
        wiped::<Sha512>();
    }

    /// Keys of any length and messages split anywhere give the same tag as one library call.
    #[test]
    fn it_is_the_hmac_of_the_library() {
        let text: Vec<u8> = (0..400_u32).map(|n| (n * 7 + n / 13) as u8).collect();
        for key_len in [0, 1, 31, 32, 63, 64, 65, 100, 200] {
            let prepared: Hmac<Sha256> = keyed(&text[..key_len]).unwrap();
            let key = Key::Sha256(prepared.clone());
            for len in 0..=260 {
                let message = &text[3..3 + len];
                let expected = prepared.clone().chain_update(message).finalize();
                let expected = Tag::new(&expected.into_bytes());
                for cut in [0, 1, len / 3, 63, 64, 65, 128] {
                    let (first, rest) = message.split_at(cut.min(len));
                    let (second, third) = rest.split_at(rest.len() / 2);
                    let mut running = key.begin().unwrap();
                    running.update(first);
                    running.update(second);
                    for tag in [running.tag(&[third]), key.tag(&[first, second, third])] {
                        assert!(
                            tag.matches_any(std::slice::from_ref(&expected)),
                            "{key_len} {len} {cut}"
                        );
                    }
                }
            }
        }
    }
}
