//! A line on the terminal that shows the progress.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use super::{TICK, summary::Summary};

const WIDTH: u64 = 30;

/// A progress bar on standard error. It shows nothing if standard error is not a terminal, or for a
/// single request.
pub(super) struct Progress {
    is_on: bool,
    is_shown: bool,
    /// The time of the run at which it was last shown.
    shown_at: Duration,
}

impl Progress {
    pub(super) fn new(total: u64) -> Self {
        let is_on = total > 1 && io::stderr().is_terminal();
        Self { is_on, is_shown: false, shown_at: Duration::ZERO }
    }

    /// Shows the progress unless it was shown just now.
    pub(super) fn show_at_times(&mut self, summary: &Summary, elapsed: Duration) {
        if elapsed.saturating_sub(self.shown_at) >= TICK {
            self.show(summary, elapsed);
        }
    }

    pub(super) fn show(&mut self, summary: &Summary, elapsed: Duration) {
        self.shown_at = elapsed;
        if self.is_on {
            self.is_shown = true;
            // A terminal that is gone is no reason to stop.
            let _ = write!(io::stderr(), "\r\x1b[K{}", line(summary, elapsed));
        }
    }

    pub(super) fn clear(&mut self) {
        if self.is_shown {
            self.is_shown = false;
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(summary: &Summary, elapsed: Duration) -> String {
    let (count, total) = (summary.count(), summary.total());
    let filled = (u128::from(count) * u128::from(WIDTH) / u128::from(total)) as usize;
    let bar = "#".repeat(filled) + &" ".repeat(WIDTH as usize - filled);
    let per_second = count as f64 / elapsed.as_secs_f64().max(0.001);
    let failed = match summary.not_accepted() {
        0 => String::new(),
        failed => format!(", {failed} not accepted"),
    };
    format!("[{bar}] {count} of {total}, {per_second:.0} per second{failed}")
}
