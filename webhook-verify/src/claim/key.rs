use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

use crate::{encoding::Encoding, error::ConfigError};

/// The idempotency key of a delivery, or of one of its events, in a store: a digest of namespace,
/// tenant, endpoint, and the value that identifies the delivery or event.
///
/// `Display` formats it as 64 hex digits. A handler can pass these on as the idempotency key of its
/// own calls.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimKey([u8; 32]);

impl ClaimKey {
    /// Derives the key of an identity within a scope. Identities of different kinds have different
    /// keys.
    pub(crate) fn new(scope: [&str; 3], kind: u8, identity: &[u8]) -> Self {
        // Each part but the last follows its length, so no two inputs give the same text.
        let mut digest = Sha256::new_with_prefix(b"wv1");
        for part in scope {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        digest.update([kind]);
        digest.update(identity);
        Self(digest.finalize().into())
    }

    /// Returns the key's bytes, for a store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for ClaimKey {
    /// Creates a key for stores and their tests. Receivers derive their own keys.
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for ClaimKey {
    type Err = ConfigError;

    /// Parses the 64 hex digits that `Display` and the logs show.
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
