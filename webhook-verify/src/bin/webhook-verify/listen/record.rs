//! Records deliveries as files that `check` reads.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::Value;
use time::OffsetDateTime;
use tokio::task::spawn_blocking;

use super::{fixture::Fixtures, listener::Delivered, sender::Sender};
use crate::Failure;

/// Writes one file for each delivery.
pub(super) struct Recorder {
    folder: PathBuf,
    fixtures: Arc<Fixtures>,
    /// Whether the last file could not be written.
    fails: AtomicBool,
}

impl Recorder {
    /// Creates the folder if it does not exist.
    pub(super) fn new(folder: &Path, fixtures: Arc<Fixtures>) -> Result<Self, Failure> {
        let fail = |error| format!("--record {}: {error}", folder.display());
        fs::create_dir_all(folder).map_err(fail)?;
        Ok(Self { folder: folder.to_owned(), fixtures, fails: AtomicBool::new(false) })
    }

    /// Records a delivery, and returns the file's name. Reports a failure on standard error, once
    /// until a file is written again.
    pub(super) async fn record(
        &self,
        number: u64,
        delivered: &Delivered,
        senders: &[Sender],
    ) -> Option<String> {
        let row = self.fixtures.row(number, delivered, senders)?;
        let sender = senders.get(delivered.sender?)?;
        let name = file_name(number, delivered.at, sender.scheme.name());
        let (folder, own) = (self.folder.clone(), name.clone());
        let error = match spawn_blocking(move || write(&folder, &own, &row)).await {
            Ok(Ok(())) => {
                self.fails.store(false, Relaxed);
                return Some(name);
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        if !self.fails.swap(true, Relaxed) {
            let folder = self.folder.display();
            eprintln!("error: --record {folder}: {error}: {name} and later requests are missing");
        }
        None
    }
}

/// Writes a new file that only its owner can read. It has another name until it is complete.
fn write(folder: &Path, name: &str, row: &Value) -> io::Result<()> {
    let part = folder.join(format!(".{name}.part"));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&part)?;
    let written = file.write_all(format!("{row:#}\n").as_bytes());
    drop(file);
    let written = written.and_then(|()| fs::rename(&part, folder.join(name)));
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

/// Returns a name such as `20261129T182942.123Z-000001-stripe.json`.
pub(super) fn file_name(number: u64, at: Duration, scheme: &str) -> String {
    let scheme = scheme.chars().map(|c| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => c,
        _ => '_',
    });
    let scheme: String = scheme.take(60).collect();
    let time = date(at);
    let milliseconds = at.subsec_millis();
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}.{milliseconds:03}Z-{number:06}-{scheme}.json",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
    )
}

/// Returns the UTC date of a time since the Unix epoch.
pub(super) fn date(at: Duration) -> OffsetDateTime {
    let seconds = i64::try_from(at.as_secs()).unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
