//! The senders that `listen` receives from: pairs of options, or tables of a file.

use std::{collections::BTreeMap, path::Path};

use clap::{ArgMatches, Args, Command, FromArgMatches, error::ErrorKind};
use serde::Deserialize;
use webhook_verify::Secret;
use zeroize::Zeroizing;

use crate::{
    Failure,
    files::{self, MAX_SECRET, MAX_SETTINGS},
};

/// The variable that holds the secret if no option names another one.
const SECRET_VARIABLE: &str = "WEBHOOK_SECRET";

/// A sender as the user describes it.
#[derive(Clone, Debug, Default)]
pub(super) struct SenderSettings {
    /// The path to receive at, from a file.
    pub(super) path: Option<String>,
    pub(super) scheme: Option<String>,
    pub(super) header: Option<String>,
    secret: Option<SecretSource>,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) url: Option<String>,
}

#[derive(Clone)]
enum SecretSource {
    Text(Zeroizing<String>),
    File(String),
    Variable(String),
}

impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretSource")
    }
}

impl SenderSettings {
    /// Returns the secret, and its text, which is hidden and replaced in everything that is shown.
    pub(super) fn secret(&self) -> Result<(Secret, Zeroizing<String>), Failure> {
        let default = SecretSource::Variable(SECRET_VARIABLE.to_owned());
        let (secret, text) = match self.secret.as_ref().unwrap_or(&default) {
            SecretSource::Text(text) => (Secret::new(text.as_str())?, text.clone()),
            SecretSource::File(file) => {
                let secret = Secret::from_file(file)?;
                let mut text = Zeroizing::new(files::read(Path::new(file), MAX_SECRET)?);
                if text.last() == Some(&b'\n') {
                    text.pop();
                    if text.last() == Some(&b'\r') {
                        text.pop();
                    }
                }
                (secret, Zeroizing::new(String::from_utf8_lossy(&text).into_owned()))
            }
            SecretSource::Variable(name) => {
                if self.secret.is_none() && std::env::var_os(name).is_none() {
                    return Err("no secret: set --secret, --secret-file, --secret-env or the \
                                variable WEBHOOK_SECRET"
                        .into());
                }
                let secret = Secret::from_env(name)?;
                let text = std::env::var_os(name).unwrap_or_default();
                (secret, Zeroizing::new(text.to_string_lossy().into_owned()))
            }
        };
        Ok((secret, text))
    }
}

/// The options of one sender or several: each `--scheme` begins another one.
#[derive(Debug)]
pub(super) struct SenderOptions(Vec<SenderSettings>);

impl SenderOptions {
    pub(super) fn settings(&self) -> &[SenderSettings] {
        &self.0
    }
}

#[derive(Args)]
struct Pairs {
    /// A scheme's name, or shared-header. Repeat it with other secrets for several senders: each
    /// one then has its own path, such as /stripe
    #[arg(long, value_name = "NAME")]
    scheme: Vec<String>,
    /// The header of the shared-header scheme
    #[arg(long, value_name = "NAME")]
    header: Vec<String>,
    /// The secret of the scheme before it, as the sender's settings page shows it
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    secret: Vec<String>,
    /// A file that contains the secret; one line break at its end is ignored
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<String>,
    /// An environment variable that contains the secret; the default is WEBHOOK_SECRET
    #[arg(long, value_name = "NAME")]
    secret_env: Vec<String>,
    /// A value that the scheme needs in addition to the secret
    #[arg(long, value_name = "NAME=VALUE")]
    parameter: Vec<String>,
    /// The URL that the sender was given, if the scheme signs it
    #[arg(long, value_name = "URL")]
    url: Vec<String>,
}

impl Args for SenderOptions {
    fn augment_args(command: Command) -> Command {
        Pairs::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Pairs::augment_args_for_update(command)
    }
}

impl FromArgMatches for SenderOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        const NAMES: [&str; 7] =
            ["scheme", "header", "secret", "secret_file", "secret_env", "parameter", "url"];
        let mut given = Vec::new();
        for name in NAMES {
            let values = matches.get_many::<String>(name).into_iter().flatten();
            let places = matches.indices_of(name).into_iter().flatten();
            given.extend(places.zip(values).map(|(place, value)| (place, name, value)));
        }
        given.sort_by_key(|(place, ..)| *place);
        let mut senders: Vec<SenderSettings> = Vec::new();
        for (_, name, value) in given {
            let begins = name == "scheme" && senders.last().is_none_or(|it| it.scheme.is_some());
            if begins || senders.is_empty() {
                senders.push(SenderSettings::default());
            }
            if let Some(sender) = senders.last_mut() {
                sender.set(name, value).map_err(|reason| {
                    let option = name.replace('_', "-");
                    clap::Error::raw(ErrorKind::ArgumentConflict, format!("--{option}: {reason}\n"))
                })?;
            }
        }
        Ok(Self(senders))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl SenderSettings {
    /// Sets an option of the sender. The error contains no value, which may be a secret.
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let again = || "given twice for one scheme: put it after its own --scheme".to_owned();
        let secret = match name {
            "secret" => SecretSource::Text(Zeroizing::new(value.to_owned())),
            "secret_file" => SecretSource::File(value.to_owned()),
            "secret_env" => SecretSource::Variable(value.to_owned()),
            "parameter" => {
                let (name, value) = value.split_once('=').ok_or("not NAME=VALUE")?;
                self.parameters.push((name.to_owned(), value.to_owned()));
                return Ok(());
            }
            _ => {
                let place = match name {
                    "scheme" => &mut self.scheme,
                    "header" => &mut self.header,
                    _ => &mut self.url,
                };
                return match place.replace(value.to_owned()) {
                    Some(_) => Err(again()),
                    None => Ok(()),
                };
            }
        };
        self.secret.replace(secret).map_or(Ok(()), |_| Err(again()))
    }
}

/// A table of the configuration file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    scheme: String,
    header: Option<String>,
    secret: Option<String>,
    secret_file: Option<String>,
    secret_env: Option<String>,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    url: Option<String>,
}

/// Reads a file with one table for each path.
pub(super) fn read_config(path: &Path) -> Result<Vec<SenderSettings>, Failure> {
    let fail = |reason: &dyn std::fmt::Display| -> Failure {
        format!("{}: {reason}", path.display()).into()
    };
    let text = Zeroizing::new(files::read_text(path, MAX_SETTINGS)?);
    let tables: BTreeMap<String, Table> = toml::from_str(&text).map_err(|error| {
        // The error's own text shows the line, which may contain a secret.
        let at = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count());
        fail(&format!("line {}: {}", at.unwrap_or_default() + 1, error.message()))
    })?;
    if tables.is_empty() {
        return Err(fail(&"no table: write one for each path, such as [\"/stripe\"]"));
    }
    let settings = tables.into_iter().map(|(name, table)| {
        if !name.starts_with('/') || name.contains(['?', '#']) {
            return Err(fail(&format!("{name:?} is not a path such as \"/stripe\"")));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let secrets = [
            table.secret.map(|text| SecretSource::Text(Zeroizing::new(text))),
            table
                .secret_file
                .map(|file| SecretSource::File(folder.join(file).display().to_string())),
            table.secret_env.map(SecretSource::Variable),
        ];
        let mut secrets = secrets.into_iter().flatten();
        let secret = secrets.next();
        if secret.is_none() || secrets.next().is_some() {
            return Err(fail(&format!("{name:?} needs one of secret, secret-file, secret-env")));
        }
        Ok(SenderSettings {
            path: Some(name),
            scheme: Some(table.scheme),
            header: table.header,
            secret,
            parameters: table.parameters.into_iter().collect(),
            url: table.url,
        })
    });
    settings.collect()
}
