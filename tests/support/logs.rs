//! Collects log events while a test runs.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use tracing_subscriber::{
    Layer as _, filter::filter_fn, fmt, fmt::MakeWriter, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// Collects log events at every level, once for each process. Tests that use it run in a binary of
/// their own, or search for texts that only they cause.
#[derive(Clone, Debug, Default)]
pub struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    /// Starts to collect the library's log events from all threads.
    pub fn collect() -> Self {
        Self::collect_if(|target| target.starts_with("webhook_verify"))
    }

    /// Starts to collect the log events of all crates from all threads.
    pub fn collect_all() -> Self {
        Self::collect_if(|_| true)
    }

    fn collect_if(is_wanted: fn(&str) -> bool) -> Self {
        static LOGS: std::sync::OnceLock<Logs> = std::sync::OnceLock::new();
        LOGS.get_or_init(|| {
            let logs = Self::default();
            let lines = fmt::layer().with_ansi(false).with_writer(logs.clone());
            let is_wanted = filter_fn(move |event| is_wanted(event.target()));
            tracing_subscriber::registry().with(lines.with_filter(is_wanted)).init();
            logs
        })
        .clone()
    }

    /// Returns the log so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
