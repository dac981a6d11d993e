use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

use crate::{encoding::Encoding, error::ConfigError};

/// The key of one delivery, or of one event of several, in a store: a digest of namespace, tenant, endpoint and identity.
///
/// Its `Display`, 64 hex digits, is fit to be the idempotency key of what the handler calls in turn.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimKey([u8; 32]);

impl ClaimKey {
    /// Derives the key of an identity within a scope. Identities of different kinds have different
    /// keys.
    pub(crate) fn new(scope: [&str; 3], kind: u8, identity: &[u8]) -> Self {
        // Every part but the last has its length before it, so no two inputs give the same text.
        let mut digest = Sha256::new_with_prefix(b"wv1");
        for part in scope {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        digest.update([kind]);
        digest.update(identity);
        Self(digest.finalize().into())
    }

    /// The key's bytes, for a store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for ClaimKey {
    /// For stores and their tests. Receivers make their keys themselves.
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for ClaimKey {
    type Err = ConfigError;

    /// Reads a key as its `Display` and the logs write it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        let decoded = Encoding::Hex.decode_exact(text.as_bytes(), &mut bytes);
        decoded.ok_or_else(|| ConfigError::option("key", "not 64 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::ClaimKey;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let key = ClaimKey::new;
        let keys = [
            key(["", "", "ab"], 2, b"c"),
            key(["", "a", "b"], 2, b"c"),
            key(["", "ab", ""], 2, b"c"),
            key(["ab", "", ""], 2, b"c"),
            key(["a", "", "b"], 2, b"c"),
            key(["", "", "a"], 2, b"bc"),
            key(["", "", "ab"], 1, b"c"),
            key(["", "", "ab"], 2, b"\0c"),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{index}");
        }
        assert_eq!(keys[0], key(["", "", "ab"], 2, b"c"));
        assert_eq!(keys[0].to_string().parse(), Ok(keys[0]));
        assert!("ab".parse::<ClaimKey>().is_err());
    }
}
