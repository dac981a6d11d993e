use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::{Deserializer, Value, json};

use webhook_verify::Scheme;

use crate::{Failure, recorded::RecordedRequest, scheme_file, suggest::similar};

/// About how many mistyped names standard error has a line.
const HINTS: usize = 10;

/// Verifies recorded requests, and prints one JSON line for each: provider, name and verdict
///
/// A verdict is `valid`, or the reason why the request is not authentic. FILE contains a JSON array
/// of requests, or one request after the other. Each is an object with: provider (a scheme's name),
/// name, method, url (with its query; null if the scheme does not use it), headers (a list of
/// [name, value]), body_base64, secret, secret_encoding, now (Unix seconds; null to accept any
/// timestamp), and expect (`valid` or a reason; optional). Further optional members are target (in
/// place of the path and query of url), extra_secrets, parameters, header (of shared-header) and
/// max_body. All other members are ignored.
///
/// Exits with 1 if a request is not as expected: only one of `expect` and the verdict is `valid`, or
/// the row has no `expect` and the verdict is not `valid`. Exits with 2 at the first row that cannot
/// be read.
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
        let input: Box<dyn BufRead> = match self.file.to_str() {
            Some("-") => Box::new(BufReader::new(io::stdin())),
            _ => {
                let file = File::open(&self.file)
                    .map_err(|error| format!("{}: {error}", self.file.display()))?;
                Box::new(BufReader::new(file))
            }
        };
        let schemes = self.scheme_file.as_deref().map(scheme_file::read).transpose()?;
        let schemes = schemes.unwrap_or_default();
        let (out, hinted) = (io::stdout().lock(), HashSet::new());
        let mut rows = Rows { out, schemes, number: 0, unexpected: 0, hinted };
        rows.check_all(input)?;
        rows.out.flush()?;
        if rows.unexpected > 0 {
            eprintln!("{} of {} rows not as expected", rows.unexpected, rows.number);
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }
}

struct Rows<W> {
    out: W,
    /// The schemes of `--scheme-file`.
    schemes: Vec<Scheme>,
    /// The number of rows that were read.
    number: usize,
    /// The number of rows whose verdict is not the expected one.
    unexpected: usize,
    /// The mistyped names of schemes about which standard error has a line.
    hinted: HashSet<String>,
}

impl<W: Write> Rows<W> {
    fn check_all(&mut self, mut input: impl BufRead) -> Result<(), Failure> {
        let is_array = first_byte(&mut input)? == Some(b'[');
        let mut json = Deserializer::from_reader(input);
        // Values are built and dropped recursively, so serde_json's limit on the depth stays.
        if !is_array {
            return self.check_sequence(json);
        }
        let (rows, mut failure) = (&mut *self, None);
        let in_array = InArray { rows, failure: &mut failure };
        let read =
            serde::Deserializer::deserialize_seq(&mut json, in_array).and_then(|()| json.end());
        match (failure, read) {
            (Some(failure), _) => Err(failure),
            (None, read) => read.map_err(|error| self.unreadable(&error)),
        }
    }

    fn check_sequence<R: serde_json::de::Read<'static>>(
        &mut self,
        json: Deserializer<R>,
    ) -> Result<(), Failure> {
        for row in json.into_iter() {
            let row = row.map_err(|error| self.unreadable(&error))?;
            self.check(&row)?;
        }
        Ok(())
    }

    fn check(&mut self, row: &Value) -> Result<(), Failure> {
        self.number += 1;
        let recorded = RecordedRequest::read(row)
            .map_err(|reason| format!("row {}: {reason}", self.number))?;
        let verdict = recorded.verdict(&self.schemes);
        let (provider, name) = (json!(recorded.provider), json!(recorded.name));
        writeln!(self.out, r#"{{"provider":{provider},"name":{name},"verdict":"{verdict}"}}"#)?;
        let expected = recorded.expect.as_deref().unwrap_or("valid");
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
            eprintln!("row {}: unknown scheme {typed:?}: did you mean {name}?", self.number);
        }
    }

    /// Returns the error for invalid JSON, with its position but without the text there.
    fn unreadable(&self, error: &serde_json::Error) -> Failure {
        match error.io_error_kind() {
            Some(_) => format!("cannot read: {error}").into(),
            None => format!(
                "row {}: not JSON at line {} column {}",
                self.number + 1,
                error.line(),
                error.column()
            )
            .into(),
        }
    }
}

/// Returns the first byte that is not white space, without consuming it.
fn first_byte(input: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let buffer = input.fill_buf()?;
        let blanks = buffer.iter().take_while(|byte| byte.is_ascii_whitespace());
        match (blanks.count(), buffer.len()) {
            (_, 0) => return Ok(None),
            (blanks, len) if blanks == len => input.consume(len),
            (blanks, _) => return Ok(Some(buffer[blanks])),
        }
    }
}

/// Checks the rows of an array one by one.
struct InArray<'r, W> {
    rows: &'r mut Rows<W>,
    /// The error of a row that could not be checked. The rows after it are not read.
    failure: &'r mut Option<Failure>,
}

impl<'de, W: Write> Visitor<'de> for InArray<'_, W> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of requests")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while let Some(row) = rows.next_element::<Value>()? {
            if let Err(failure) = self.rows.check(&row) {
                *self.failure = Some(failure);
                return Err(A::Error::custom("a row could not be checked"));
            }
        }
        Ok(())
    }
}
