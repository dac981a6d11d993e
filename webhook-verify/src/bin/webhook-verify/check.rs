use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::{Deserializer, Value, json};

use crate::{Failure, recorded::Recorded};

/// Judges recorded requests, and prints one JSON line for each: provider, name and verdict
///
/// A verdict is `valid`, or why the request is not authentic. FILE holds a JSON array of requests, or one after the other,
/// each an object with: provider (a scheme's name), name, method, url (with its query; null if nothing looks at it),
/// headers (a list of [name, value]), body_base64, secret, secret_encoding, now (Unix seconds; null if timestamps are not
/// to be judged), and expect (`valid` or a reason; may be left out). Others are ignored, but for extra_secrets, parameters,
/// header (of shared-header) and max_body.
///
/// Exits with 1 if a row has an `expect` and its verdict is not of that kind, valid or not; with 2 at a row that cannot be
/// read, after those before it.
#[derive(Args)]
pub(crate) struct Check {
    /// The requests; - is standard input
    file: PathBuf,
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
        let mut rows = Rows { out: io::stdout().lock(), number: 0, unexpected: 0 };
        rows.judge_all(input)?;
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
    /// How many were read.
    number: usize,
    /// How many were not judged as expected.
    unexpected: usize,
}

impl<W: Write> Rows<W> {
    fn judge_all(&mut self, mut input: impl BufRead) -> Result<(), Failure> {
        let is_array = first_byte(&mut input)? == Some(b'[');
        let mut json = Deserializer::from_reader(input);
        // Trees of any depth are built and dropped on the stack, so the limit on their depth stays.
        if !is_array {
            return self.judge_lines(json);
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

    fn judge_lines<R: serde_json::de::Read<'static>>(
        &mut self,
        json: Deserializer<R>,
    ) -> Result<(), Failure> {
        for row in json.into_iter() {
            let row = row.map_err(|error| self.unreadable(&error))?;
            self.judge(&row)?;
        }
        Ok(())
    }

    fn judge(&mut self, row: &Value) -> Result<(), Failure> {
        self.number += 1;
        let recorded =
            Recorded::read(row).map_err(|reason| format!("row {}: {reason}", self.number))?;
        let verdict = recorded.verdict();
        let (provider, name) = (json!(recorded.provider), json!(recorded.name));
        writeln!(self.out, r#"{{"provider":{provider},"name":{name},"verdict":"{verdict}"}}"#)?;
        let expected = recorded.expect.as_deref();
        if expected.is_some_and(|expected| (expected == "valid") != (verdict == "valid")) {
            self.unexpected += 1;
        }
        Ok(())
    }

    /// The place of a mistake in the JSON itself, without what stands there.
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

/// The first byte that is not a blank, which stays where it is.
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

/// Judges the rows of an array as they come.
struct InArray<'r, W> {
    rows: &'r mut Rows<W>,
    /// Why a row could not be judged: those after it are not read.
    failure: &'r mut Option<Failure>,
}

impl<'de, W: Write> Visitor<'de> for InArray<'_, W> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of requests")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while let Some(row) = rows.next_element::<Value>()? {
            if let Err(failure) = self.rows.judge(&row) {
                *self.failure = Some(failure);
                return Err(A::Error::custom("a row could not be judged"));
            }
        }
        Ok(())
    }
}
