//! Files that are read whole, up to a limit.

use std::{
    fmt::Display,
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::Failure;

/// The longest body or input, in bytes.
pub(crate) const MAX_BODY: usize = 64 << 20;
/// The longest file that describes schemes or senders, in bytes.
pub(crate) const MAX_SETTINGS: usize = 1 << 20;
/// The longest file with a secret, in bytes: the longest secret, and a line break.
pub(crate) const MAX_SECRET: usize = (64 << 10) + 2;

/// Reads a file. The error names the file.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let file = File::open(path).and_then(|file| read_all(file, limit));
    file.map_err(|error| about(path, &error))
}

/// Reads a file of text. The error names the file, and contains none of its text.
pub(crate) fn read_text(path: &Path, limit: usize) -> Result<String, Failure> {
    // The error of the conversion has the bytes.
    String::from_utf8(read(path, limit)?).map_err(|_| about(path, &"not text in UTF-8"))
}

/// Reads a file; `-` is standard input.
pub(crate) fn read_or_stdin(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    if path.to_str() != Some("-") {
        return read(path, limit);
    }
    let input = read_all(io::stdin(), limit);
    input.map_err(|error| about(Path::new("standard input"), &error))
}

fn about(path: &Path, error: &dyn Display) -> Failure {
    format!("{}: {error}", path.display()).into()
}

/// Reads at most one byte more than `limit`.
fn read_all(input: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    // A buffer that does not grow leaves no copies of a secret behind.
    let mut bytes = Vec::with_capacity(limit.min(MAX_SECRET) + 1);
    input.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() <= limit {
        true => Ok(bytes),
        false => Err(io::Error::other(format!("longer than {}", shown(limit)))),
    }
}

fn shown(limit: usize) -> String {
    match limit >> 20 {
        0 => format!("{} KiB", limit >> 10),
        mebibytes => format!("{mebibytes} MiB"),
    }
}
