use std::{
    convert::Infallible, env, ffi::OsStr, fmt, fs::File, io::Read as _, path::Path, sync::Arc,
};

use zeroize::Zeroizing;

use super::misread;
use crate::error::ConfigError;

/// The longest accepted secret, in bytes. A chain of certificates fits.
pub(crate) const MAX_LEN: usize = 64 * 1024;

/// A secret or public key, as the sender's settings page shows it.
///
/// The scheme defines how the text becomes key bytes (as it is, hex, base64, `whsec_…`). The bytes
/// never appear in `Debug` and cannot be read back. Clones share them. They are wiped from memory
/// when the last clone is dropped.
///
/// ```
/// use webhook_verify::{ConfigError, Secret};
///
/// let secret = Secret::new("58ae6ad08e40a88c23e3a8ee11ee3467")?;
/// assert_eq!(format!("{secret:?}"), "Secret([redacted])");
/// assert_eq!(Secret::new("").unwrap_err(), ConfigError::EmptySecret);
///
/// let error = Secret::new("58ae6ad08e40a88c23e3a8ee11ee3467\n").unwrap_err();
/// assert!(error.to_string().starts_with("secret: ends with a line break"));
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Secret {
    bytes: Arc<Zeroizing<Vec<u8>>>,
    is_exact: bool,
    /// The environment variable or file that the secret was read from, for errors.
    origin: Option<Arc<str>>,
}

impl Secret {
    /// Creates a secret from its text or bytes. Refuses a text that was probably copied with
    /// surrounding characters, because every delivery would be refused later.
    ///
    /// A text must have no white space, line break, byte order mark or other invisible character
    /// at either end, and no quotation marks around it. PEM and JSON may have white space around
    /// them. [`exact`](Self::exact) skips these checks.
    ///
    /// A verifier also refuses:
    ///
    /// * an API key (`sk_…`, `pk_…`, `rk_…`), unless the sender
    ///   [signs with it](crate::scheme::SchemeBuilder::api_key);
    /// * a key of Standard Webhooks (`whsec_…`, `v1,whsec_…`, `whpk_…`), if the scheme signs with
    ///   the secret's text; `whsec_…` is accepted if the scheme
    ///   [declares it](crate::scheme::SchemeBuilder::whsec_text);
    /// * hex, if the scheme expects base64.
    ///
    /// # Errors
    ///
    /// [`ConfigError::EmptySecret`] if it contains only white space and control characters, or
    /// nothing; [`ConfigError::SecretTooLong`] if it exceeds 64 KiB; [`ConfigError::SuspectSecret`]
    /// if it has such surrounding characters.
    pub fn new(secret: impl Into<Vec<u8>>) -> Result<Self, ConfigError> {
        let bytes = Zeroizing::new(secret.into());
        let blank = |char: char| char.is_whitespace() || misread::is_invisible(char);
        if std::str::from_utf8(&bytes).is_ok_and(|text| text.chars().all(blank)) {
            return Err(ConfigError::EmptySecret);
        }
        let secret = Self::of(bytes, false)?;
        match misread::surroundings(&secret.bytes) {
            Some(reason) => Err(ConfigError::SuspectSecret { reason }),
            None => Ok(secret),
        }
    }

    /// Creates a secret from exactly these bytes. Use it for the rare secret that ends with white
    /// space, is in quotation marks, or begins with `sk_` or `whsec_`. The scheme's key form still
    /// applies.
    ///
    /// ```
    /// use webhook_verify::{Secret, Verifier, scheme};
    ///
    /// let github = Verifier::new(scheme::GITHUB, Secret::exact("ends with a blank ")?)?;
    /// # Ok::<(), webhook_verify::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::EmptySecret`] if there are no bytes; [`ConfigError::SecretTooLong`] if there
    /// are more than 64 KiB.
    pub fn exact(secret: impl Into<Vec<u8>>) -> Result<Self, ConfigError> {
        Self::of(Zeroizing::new(secret.into()), true)
    }

    /// Reads a secret from an environment variable, unchanged.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Option`] with the variable's name if it is not set; otherwise the errors of
    /// [`new`](Self::new). They name the variable, and so do later errors of a verifier.
    pub fn from_env(name: impl AsRef<OsStr>) -> Result<Self, ConfigError> {
        let name = name.as_ref();
        let value = env::var_os(name).ok_or_else(|| {
            ConfigError::option(
                "secret",
                format!("set the environment variable {}", name.display()),
            )
        })?;
        let origin = format!("environment variable {}", name.display());
        Self::with_origin(value.into_encoded_bytes(), origin)
    }

    /// Reads a secret from a file, such as one that an orchestrator mounts. Removes one line break
    /// at the end, which editors and `echo` add. This function blocks, so call it at startup.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Option`] with the file's path if it cannot be read; otherwise the errors of
    /// [`new`](Self::new). They name the file, and so do later errors of a verifier.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        // A buffer that does not grow leaves no copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_LEN + 4));
        let read =
            File::open(path).and_then(|file| file.take(MAX_LEN as u64 + 3).read_to_end(&mut bytes));
        if let Err(error) = read {
            let reason = format!("cannot read {}: {error}", path.display());
            return Err(ConfigError::option("secret", reason));
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        Self::with_origin(bytes.to_vec(), format!("file {}", path.display()))
    }

    fn with_origin(bytes: Vec<u8>, origin: String) -> Result<Self, ConfigError> {
        match Self::new(bytes) {
            Ok(secret) => Ok(Self { origin: Some(origin.into()), ..secret }),
            Err(error) => Err(error.about(origin)),
        }
    }

    fn of(bytes: Zeroizing<Vec<u8>>, is_exact: bool) -> Result<Self, ConfigError> {
        match bytes.len() {
            0 => Err(ConfigError::EmptySecret),
            1..=MAX_LEN => Ok(Self { bytes: Arc::new(bytes), is_exact, origin: None }),
            _ => Err(ConfigError::SecretTooLong { limit: MAX_LEN }),
        }
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the environment variable or file that the secret was read from.
    pub(super) fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Returns whether the secret was created with [`exact`](Self::exact).
    pub(super) fn is_exact(&self) -> bool {
        self.is_exact
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

#[cfg(test)]
mod tests {
    use std::{env, fs, process};

    use super::{MAX_LEN, Secret};
    use crate::ConfigError;

    #[test]
    fn an_exact_secret_is_any_but_an_empty_one() {
        for bytes in [" ", "s3cret\n", "\"s3cret\"", "\u{feff}s3cret", "sk_live_1", "\0"] {
            assert_eq!(Secret::exact(bytes).unwrap().expose(), bytes.as_bytes());
        }
        assert_eq!(Secret::exact("").unwrap_err(), ConfigError::EmptySecret);
    }

    #[test]
    fn every_conversion_makes_the_same_checks() {
        let text = "s3cret\n";
        let suspect = |result: Result<Secret, ConfigError>| {
            let error = result.unwrap_err();
            assert!(matches!(error, ConfigError::SuspectSecret { .. }), "{error}");
            assert!(!format!("{error} {error:?}").contains("s3cret"));
        };
        suspect(Secret::new(text));
        suspect(text.try_into());
        suspect(String::from(text).try_into());
        suspect((&String::from(text)).try_into());
        suspect(text.as_bytes().to_vec().try_into());
    }

    #[test]
    fn a_file_may_end_with_one_line_break() {
        let path = env::temp_dir().join(format!("webhook-verify-secret-{}", process::id()));
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            Secret::from_file(&path).map(|secret| secret.expose().to_vec())
        };
        for text in ["s3cret", "s3cret\n", "s3cret\r\n"] {
            assert_eq!(read(text).unwrap(), b"s3cret", "{text:?}");
        }
        for text in ["s3cret\n\n", "s3cret \n", "\u{feff}s3cret", "\"s3cret\"\n"] {
            let error = read(text).unwrap_err();
            assert!(matches!(error.kind(), ConfigError::SuspectSecret { .. }), "{text:?}");
        }
        let empty = read("\r\n").unwrap_err();
        assert_eq!(empty.kind(), &ConfigError::EmptySecret);
        assert_eq!(empty.to_string(), format!("file {}: secret: empty or blank", path.display()));
        assert_eq!(read(&format!("{}\r\n", "x".repeat(MAX_LEN))).unwrap().len(), MAX_LEN);
        let long = read(&"x".repeat(MAX_LEN + 1)).unwrap_err();
        assert_eq!(long.kind(), &ConfigError::SecretTooLong { limit: MAX_LEN });
        fs::remove_file(&path).unwrap();
        let missing = Secret::from_file(&path).unwrap_err().to_string();
        assert!(missing.contains(path.to_str().unwrap()), "{missing}");
    }

    #[test]
    fn a_variable_is_named_if_it_is_not_set() {
        let error = Secret::from_env("WEBHOOK_VERIFY_NOT_SET").unwrap_err().to_string();
        assert_eq!(error, "secret: set the environment variable WEBHOOK_VERIFY_NOT_SET");
        // Cargo sets this one for every test.
        assert_eq!(Secret::from_env("CARGO_PKG_NAME").unwrap().expose(), b"webhook-verify");
    }
}
