//! Options that several subcommands have.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::Args;
use webhook_verify::{Scheme, Secret};

use crate::{
    Failure,
    files::{self, MAX_SECRET},
    scheme_file,
};

/// The variable that holds the secret if no option names another one.
const SECRET_VARIABLE: &str = "WEBHOOK_SECRET";

/// The sender's scheme.
#[derive(Args)]
pub(crate) struct SchemeOptions {
    /// The scheme's name, or shared-header; with --scheme-file, needed if the file has several
    #[arg(long, value_name = "NAME")]
    scheme: Option<String>,
    /// A TOML file that describes a scheme of your own, or several in tables
    #[arg(long, value_name = "FILE", conflicts_with = "header")]
    scheme_file: Option<PathBuf>,
    /// The header of the shared-header scheme
    #[arg(long, value_name = "NAME")]
    header: Option<String>,
    /// A value that the scheme needs in addition to the secret
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    parameter: Vec<(String, String)>,
}

impl SchemeOptions {
    pub(crate) fn scheme(&self) -> Result<Scheme, Failure> {
        self.scheme_or(None, None)
    }

    /// Returns the scheme, or that of a recorded request if no option names one.
    pub(crate) fn scheme_or(
        &self,
        name: Option<&str>,
        header: Option<&str>,
    ) -> Result<Scheme, Failure> {
        let name = self.scheme.as_deref().or(name);
        if let Some(file) = &self.scheme_file {
            return scheme_file::pick(scheme_file::read(file)?, name);
        }
        let name = name.ok_or("no scheme: set --scheme or --scheme-file")?;
        if self.header.is_some() && name != "shared-header" {
            return Err("--header: only for --scheme shared-header".into());
        }
        preset(name, self.header.as_deref().or(header))
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameter.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// Returns the preset of this name, or the shared-header scheme with its header.
pub(crate) fn preset(name: &str, header: Option<&str>) -> Result<Scheme, Failure> {
    match (name, header) {
        ("shared-header", Some(header)) => Ok(Scheme::shared_header(header)?),
        ("shared-header", None) => Err("shared-header needs --header".into()),
        (name, _) => Ok(name
            .parse::<Scheme>()
            .map_err(|error| format!("{error} (`webhook-verify schemes` lists all)"))?),
    }
}

/// The secret, which should not be on the command line.
#[derive(Args)]
pub(crate) struct SecretOptions {
    /// The secret, as the sender's settings page shows it
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, group = "given_secret")]
    secret: Option<String>,
    /// A file that contains the secret; one line break at its end is ignored
    #[arg(long, value_name = "FILE", group = "given_secret")]
    secret_file: Option<PathBuf>,
    /// An environment variable that contains the secret; the default is WEBHOOK_SECRET
    #[arg(long, value_name = "NAME", group = "given_secret")]
    secret_env: Option<String>,
}

impl SecretOptions {
    /// Returns the secret if an option sets it.
    pub(crate) fn given(&self) -> Result<Option<Secret>, Failure> {
        let is_given =
            self.secret.is_some() || self.secret_file.is_some() || self.secret_env.is_some();
        is_given.then(|| self.secret()).transpose()
    }

    pub(crate) fn secret(&self) -> Result<Secret, Failure> {
        Ok(match (&self.secret, &self.secret_file) {
            (Some(secret), _) => Secret::new(secret.as_str())?,
            (None, Some(file)) => Secret::from_file(existing(file)?)?,
            (None, None) => Secret::from_env(self.variable()?)?,
        })
    }

    /// Returns the bytes of the variable that is read if no option sets the secret.
    pub(crate) fn default_bytes() -> Option<Vec<u8>> {
        std::env::var_os(SECRET_VARIABLE).map(OsString::into_encoded_bytes)
    }

    /// Returns the bytes of the secret without any check, or `None` if no option sets it.
    pub(crate) fn bytes(&self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(match (&self.secret, &self.secret_file) {
            (Some(secret), _) => Some(secret.clone().into_bytes()),
            (None, Some(file)) => {
                let mut bytes = files::read(existing(file)?, MAX_SECRET)?;
                // As `Secret::from_file` does.
                if bytes.pop_if(|last| *last == b'\n').is_some() {
                    bytes.pop_if(|last| *last == b'\r');
                }
                Some(bytes)
            }
            (None, None) => match &self.secret_env {
                None => None,
                Some(name) => match std::env::var_os(name) {
                    Some(secret) => Some(secret.into_encoded_bytes()),
                    None => {
                        let name = variable(name)?;
                        return Err(format!("set the environment variable {name}").into());
                    }
                },
            },
        })
    }

    /// Returns the name of the variable, which must be set unless an option names it.
    fn variable(&self) -> Result<&str, Failure> {
        match &self.secret_env {
            Some(name) if std::env::var_os(name).is_some() => Ok(name),
            Some(name) => variable(name),
            None if std::env::var_os(SECRET_VARIABLE).is_some() => Ok(SECRET_VARIABLE),
            None => Err("no secret: set --secret, --secret-file, --secret-env or the variable \
                         WEBHOOK_SECRET"
                .into()),
        }
    }
}

/// Refuses a name that may be the secret itself, without repeating it.
fn variable(name: &str) -> Result<&str, Failure> {
    let is_part = |byte: u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
    let is_name = name.bytes().all(is_part) && !name.starts_with(|it: char| it.is_ascii_digit());
    match is_name && (1..=64).contains(&name.len()) {
        true => Ok(name),
        false => Err("--secret-env: not the name of a variable".into()),
    }
}

/// Refuses a path that may be the secret itself, without repeating it: no such file exists, and it
/// does not look like a path.
fn existing(path: &Path) -> Result<&Path, Failure> {
    let text = path.to_string_lossy();
    let is_path = text.contains(['/', '.', '\\']) && !text.contains(['+', '=']);
    match is_path || path.exists() {
        true => Ok(path),
        false => Err("--secret-file: no such file".into()),
    }
}

/// Parses `NAME=VALUE`.
fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("not NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::SecretOptions;

    fn reasons(secret_file: Option<&str>, secret_env: Option<&str>) -> [String; 2] {
        let options = SecretOptions {
            secret: None,
            secret_file: secret_file.map(Into::into),
            secret_env: secret_env.map(Into::into),
        };
        [options.secret().unwrap_err().to_string(), options.bytes().unwrap_err().to_string()]
    }

    #[test]
    fn a_secret_in_the_place_of_its_name_is_not_repeated() {
        let long = "A".repeat(65);
        for secret in ["whsec_abcdef", "Hunter2", "", "8F2A", "a b", &long] {
            for reason in reasons(None, Some(secret)) {
                assert_eq!(reason, "--secret-env: not the name of a variable");
            }
        }
        for reason in reasons(None, Some("NO_SUCH_VARIABLE_1")) {
            assert!(reason.contains("NO_SUCH_VARIABLE_1"), "{reason}");
        }
        for secret in ["whsec_abcdef", "YWJj/ZGVm+==", "a b"] {
            for reason in reasons(Some(secret), None) {
                assert_eq!(reason, "--secret-file: no such file");
            }
        }
        for path in ["/no/such", "no.such"] {
            for reason in reasons(Some(path), None) {
                assert!(reason.contains(path), "{reason}");
            }
        }
    }
}
