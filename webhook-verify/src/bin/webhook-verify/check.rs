use std::{
    collections::HashSet,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};

use webhook_verify::{Scheme, VerifyError};

use crate::{
    Failure, recorded::RecordedRequest, rows, scheme_file, suggest::similar, terminal::ShownJson,
};

/// The verdicts that are no reasons of the library.
const OTHER_VERDICTS: [&str; 5] =
    ["valid", "unknown_scheme", "invalid_secret", "invalid_configuration", "body_too_large"];
/// Words of rows only: any refusal, and the name that other tools have for `timestamp_in_future`.
const OTHER_EXPECTATIONS: [&str; 2] = ["invalid", "timestamp_too_new"];
/// About how many mistyped names standard error has a line.
const HINTS: usize = 10;

/// Verifies recorded requests, and prints one JSON line for each: provider, name and verdict
///
/// FILE contains a JSON array of rows, or one row after the other. A row is an object. Its required
/// fields are provider (the name of the scheme), headers (a list of [NAME, VALUE]), body_base64 and
/// secret. The optional fields are name; method (default POST); url (the URL that the sender was
/// given, with its query); target (the path and query of the request; default those of url);
/// secret_encoding; extra_secrets (a list); parameters (an object); header (of shared-header); now
/// (Unix seconds; by default, any timestamp is accepted); max_body (in bytes); and expect (default
/// `valid`). Unknown fields are ignored.
///
/// A verdict is `valid`, or the reason for the refusal. `expect` is a verdict, or `invalid`. Only
/// `valid` or not is compared: a refusal for another reason is as expected.
///
/// Exits with 1 if a request is valid and should be refused, or is refused and should be valid.
/// Exits with 2 at the first row that cannot be read.
#[derive(Args)]
pub(crate) struct Check {
    /// The requests; - is standard input
    file: PathBuf,
    /// A TOML file with schemes of your own, which take precedence over presets of the same names
    #[arg(long, value_name = "FILE")]
    scheme_file: Option<PathBuf>,
}

impl Check {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let input = rows::open(&self.file)?;
        let schemes = self.scheme_file.as_deref().map(scheme_file::read).transpose()?;
        let schemes = schemes.unwrap_or_default();
        let (out, hinted) = (io::stdout().lock(), HashSet::new());
        let mut verdicts = Verdicts { out, schemes, count: 0, unexpected: 0, hinted };
        rows::each(input, &mut |number, row| verdicts.check(number, row))?;
        verdicts.out.flush()?;
        if verdicts.unexpected > 0 {
            eprintln!("{} of {} rows not as expected", verdicts.unexpected, verdicts.count);
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }
}

struct Verdicts<W> {
    out: W,
    /// The schemes of `--scheme-file`.
    schemes: Vec<Scheme>,
    /// The number of rows that were checked.
    count: usize,
    /// The number of rows whose verdict is not the expected one.
    unexpected: usize,
    /// The mistyped names of schemes about which standard error has a line.
    hinted: HashSet<String>,
}

impl<W: Write> Verdicts<W> {
    fn check(&mut self, number: usize, row: &Value) -> Result<(), Failure> {
        let recorded =
            RecordedRequest::read(row).map_err(|reason| format!("row {number}: {reason}"))?;
        let expected = recorded.expect.as_deref().unwrap_or("valid");
        check_expectation(expected).map_err(|reason| format!("row {number}: {reason}"))?;
        self.count = number;
        let verdict = recorded.verdict(&self.schemes);
        let (provider, name) = (json!(recorded.provider), json!(recorded.name));
        let (provider, name) = (ShownJson(&provider), ShownJson(&name));
        writeln!(self.out, r#"{{"provider":{provider},"name":{name},"verdict":"{verdict}"}}"#)?;
        if (expected == "valid") != (verdict == "valid") {
            self.unexpected += 1;
        }
        if verdict == "unknown_scheme" {
            self.hint(&recorded.provider);
        }
        Ok(())
    }

    /// Suggests the name of a scheme on standard error, once for each mistyped name.
    fn hint(&mut self, typed: &str) {
        let own: Vec<&str> = self.schemes.iter().map(Scheme::name).collect();
        let presets: Vec<&str> = Scheme::preset_names().collect();
        let Some(name) = similar(typed, [own, presets].concat()) else { return };
        if self.hinted.len() < HINTS && self.hinted.insert(typed.to_owned()) {
            eprintln!("row {}: unknown scheme {typed:?}: did you mean {name}?", self.count);
        }
    }
}

/// Refuses a word that no verdict is, which may be a mistyped `valid`.
fn check_expectation(word: &str) -> Result<(), String> {
    let reasons = || VerifyError::REASONS.iter().copied();
    let known = || OTHER_VERDICTS.into_iter().chain(OTHER_EXPECTATIONS).chain(reasons());
    if known().any(|it| it == word) {
        return Ok(());
    }
    let hint = match similar(word, known()) {
        Some(near) => format!("did you mean {near}?"),
        None => "write valid, invalid, or a reason such as signature_mismatch".to_owned(),
    };
    Err(format!("`expect` is not a verdict: {hint}"))
}
