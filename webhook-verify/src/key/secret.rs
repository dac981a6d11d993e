use std::{convert::Infallible, fmt};

use zeroize::Zeroizing;

use crate::error::ConfigError;

/// The longest accepted secret, in bytes. A chain of certificates fits.
pub(crate) const MAX_LEN: usize = 64 * 1024;

/// A secret or public key, as the sender's settings page shows it.
///
/// The scheme defines how the text becomes key bytes (as it is, hex, base64, `whsec_…`). The bytes
/// are wiped from memory on drop, never appear in `Debug`, and cannot be read back.
///
/// ```
/// use webhook_verify::{ConfigError, Secret};
///
/// let secret = Secret::new("58ae6ad08e40a88c23e3a8ee11ee3467")?;
/// assert_eq!(format!("{secret:?}"), "Secret([redacted])");
/// assert_eq!(Secret::new("").unwrap_err(), ConfigError::EmptySecret);
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Creates a secret from its text or bytes.
    ///
    /// # Errors
    ///
    /// [`ConfigError::EmptySecret`] if it contains only white space and control characters, or
    /// nothing; [`ConfigError::SecretTooLong`] if it exceeds 64 KiB.
    pub fn new(secret: impl Into<Vec<u8>>) -> Result<Self, ConfigError> {
        let bytes = Zeroizing::new(secret.into());
        let blank = |char: char| {
            char.is_whitespace() || char.is_control() || char == '\u{200b}' || char == '\u{feff}'
        };
        if bytes.is_empty() || std::str::from_utf8(&bytes).is_ok_and(|text| text.chars().all(blank))
        {
            return Err(ConfigError::EmptySecret);
        }
        if bytes.len() > MAX_LEN {
            return Err(ConfigError::SecretTooLong { limit: MAX_LEN });
        }
        Ok(Self(bytes))
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

impl TryFrom<&str> for Secret {
    type Error = ConfigError;

    fn try_from(secret: &str) -> Result<Self, Self::Error> {
        Self::new(secret)
    }
}

impl TryFrom<String> for Secret {
    type Error = ConfigError;

    fn try_from(secret: String) -> Result<Self, Self::Error> {
        Self::new(secret)
    }
}

impl TryFrom<&String> for Secret {
    type Error = ConfigError;

    fn try_from(secret: &String) -> Result<Self, Self::Error> {
        Self::new(secret.as_str())
    }
}

impl TryFrom<Vec<u8>> for Secret {
    type Error = ConfigError;

    fn try_from(secret: Vec<u8>) -> Result<Self, Self::Error> {
        Self::new(secret)
    }
}

/// Lets a [`Secret`] be passed where a fallible conversion into one is expected.
impl From<Infallible> for ConfigError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
