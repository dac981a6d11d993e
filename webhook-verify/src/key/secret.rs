use std::{convert::Infallible, fmt};

use zeroize::Zeroizing;

use crate::error::ConfigError;

/// The longest secret that is accepted, in bytes: room for a chain of certificates.
pub(crate) const MAX_LEN: usize = 64 * 1024;

/// A secret shared with a sender, as its settings page shows it.
///
/// How the text becomes key bytes (as it is, hex, base64, `whsec_…`) is the scheme's affair. The bytes are wiped
/// from memory on drop and never appear in `Debug`; there is no way to read them back.
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
    /// Takes the secret's text or bytes.
    ///
    /// # Errors
    ///
    /// [`ConfigError::EmptySecret`] when there is nothing but blanks and control characters, [`ConfigError::SecretTooLong`] over 64 KiB.
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

/// So that a [`Secret`] itself fits wherever a fallible conversion into one is asked for.
impl From<Infallible> for ConfigError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
