//! Finished MACs, and the only way to compare them.

use ctutils::{Choice, CtEq as _};
use sha2::{Digest as _, Sha256};

use crate::{encoding::Encoding, scheme::Algorithm};

/// A MAC or a token's digest, padded with zeros. Without `==`, all comparisons take constant time.
#[derive(Clone)]
pub(crate) struct Tag([u8; Self::MAX]);

impl Tag {
    /// The length of the longest tag, that of SHA-512.
    const MAX: usize = 64;

    pub(crate) fn new(output: &[u8]) -> Self {
        let mut bytes = [0; Self::MAX];
        bytes[..output.len()].copy_from_slice(output);
        Self(bytes)
    }

    /// Returns the digest of a token. All digests have 32 bytes, so the comparison does not reveal
    /// the length of the right token.
    pub(crate) fn of_token(token: &[u8]) -> Self {
        Self::new(&Sha256::digest(token))
    }

    /// Returns the digest of a token, if the tag was made from one.
    pub(crate) fn token_digest(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.copy_from_slice(&self.0[..32]);
        digest
    }

    /// Returns an empty tag to decode a signature into.
    pub(crate) const fn empty() -> Self {
        Self([0; Self::MAX])
    }

    /// Returns a tag for public keys, which have none. No signature matches it.
    pub(super) const fn unmatchable() -> Self {
        Self([0xff; Self::MAX])
    }

    /// Decodes a signature into the tag of `algorithm`, if it has exactly that tag's length.
    pub(crate) fn decode(
        &mut self,
        algorithm: Algorithm,
        encoding: Encoding,
        text: &[u8],
    ) -> Option<()> {
        encoding.decode_exact(text, &mut self.0[..algorithm.tag_len()])
    }

    /// Returns whether any of `candidates` equals this tag. Compares all of them in constant time.
    pub(crate) fn matches_any(&self, candidates: &[Self]) -> bool {
        let mut found = Choice::FALSE;
        for candidate in candidates {
            found |= self.0.ct_eq(&candidate.0);
        }
        found.to_bool()
    }

    /// Returns the first `len` bytes.
    pub(crate) fn as_bytes(&self, len: usize) -> &[u8] {
        &self.0[..len]
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
