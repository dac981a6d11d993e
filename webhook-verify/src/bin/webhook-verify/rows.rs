//! Files of recorded requests, which are read row by row.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::{Deserializer, Value};

use crate::Failure;

/// Opens a file; `-` is standard input.
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if path.to_str() == Some("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

/// Calls `handle` with the number of each row, from 1, and the row, as soon as it has been read.
/// The rows are those of a JSON array, or one after the other. Stops at the first error.
pub(crate) fn each(
    mut input: impl BufRead,
    handle: &mut dyn FnMut(usize, &Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let is_array = first_byte(&mut input)? == Some(b'[');
    let mut json = Deserializer::from_reader(input);
    let mut rows = Rows { handle, number: 0 };
    // Values are built and dropped recursively, so serde_json's limit on the depth stays.
    if !is_array {
        for row in json.into_iter() {
            rows.handle(&row.map_err(|error| rows.unreadable(&error))?)?;
        }
        return Ok(());
    }
    let mut failure = None;
    let in_array = InArray { rows: &mut rows, failure: &mut failure };
    let read = serde::Deserializer::deserialize_seq(&mut json, in_array).and_then(|()| json.end());
    match (failure, read) {
        (Some(failure), _) => Err(failure),
        (None, read) => read.map_err(|error| rows.unreadable(&error)),
    }
}

struct Rows<'h> {
    handle: &'h mut dyn FnMut(usize, &Value) -> Result<(), Failure>,
    /// The number of rows that were read.
    number: usize,
}

impl Rows<'_> {
    fn handle(&mut self, row: &Value) -> Result<(), Failure> {
        self.number += 1;
        (self.handle)(self.number, row)
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

/// Handles the rows of an array one by one.
struct InArray<'r, 'h> {
    rows: &'r mut Rows<'h>,
    /// The error of a row that could not be handled. The rows after it are not read.
    failure: &'r mut Option<Failure>,
}

impl<'de> Visitor<'de> for InArray<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of requests")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while let Some(row) = rows.next_element::<Value>()? {
            if let Err(failure) = self.rows.handle(&row) {
                *self.failure = Some(failure);
                return Err(A::Error::custom("a row could not be handled"));
            }
        }
        Ok(())
    }
}
