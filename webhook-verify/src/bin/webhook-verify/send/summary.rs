//! The result of a run.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde_json::{Value, json};

use super::histogram::Histogram;
use crate::{
    report::{Outcome, milliseconds},
    terminal::{Shown, ShownJson},
};

/// The largest number of different errors that are counted apart.
const MAX_ERRORS: usize = 10;

/// Counts responses by status, and their times. Its size does not depend on their number.
pub(super) struct Summary {
    total: u64,
    statuses: BTreeMap<u16, Histogram>,
    errors: BTreeMap<String, u64>,
    accepted: u64,
    elapsed: Duration,
}

impl Summary {
    /// Returns the summary of a run that will have `total` requests.
    pub(super) fn new(total: u64) -> Self {
        Self {
            total,
            statuses: BTreeMap::new(),
            errors: BTreeMap::new(),
            accepted: 0,
            elapsed: Duration::ZERO,
        }
    }

    pub(super) fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Ok(response) => {
                let status = self.statuses.entry(response.status.as_u16()).or_default();
                status.add(response.took);
                self.accepted += u64::from(response.status.is_success());
            }
            Err(reason) => {
                let is_known = self.errors.contains_key(reason);
                let reason = match self.errors.len() {
                    MAX_ERRORS.. if !is_known => "other errors",
                    _ => reason,
                };
                *self.errors.entry(reason.to_owned()).or_default() += 1;
            }
        }
    }

    pub(super) fn end(&mut self, elapsed: Duration) {
        self.elapsed = elapsed;
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn count(&self) -> u64 {
        let responses: u64 = self.statuses.values().map(Histogram::count).sum();
        responses + self.errors.values().sum::<u64>()
    }

    pub(super) fn not_accepted(&self) -> u64 {
        self.count() - self.accepted
    }

    pub(super) fn all_accepted(&self) -> bool {
        self.accepted == self.total
    }

    fn per_second(&self) -> f64 {
        self.count() as f64 / self.elapsed.as_secs_f64().max(0.001)
    }

    fn all(&self) -> Histogram {
        let mut all = Histogram::default();
        self.statuses.values().for_each(|times| all.merge(times));
        all
    }

    pub(super) fn json(&self) -> String {
        let ms = |time: Duration| time.as_micros() as f64 / 1000.0;
        let times = |name: &str, times: &Histogram| {
            let [p50, p90, p99] = [50, 90, 99].map(|percent| ms(times.percentile(percent)));
            json!({
                "status": name.parse::<u16>().ok(), "count": times.count(), "p50_ms": p50,
                "p90_ms": p90, "p99_ms": p99, "max_ms": ms(times.longest()),
            })
        };
        let statuses: Vec<Value> =
            self.statuses.iter().map(|(status, it)| times(&status.to_string(), it)).collect();
        let summary = json!({"summary": {
            "requests": self.count(), "planned": self.total, "accepted": self.accepted,
            "seconds": self.elapsed.as_millis() as f64 / 1000.0, "per_second": self.per_second(),
            "all": times("all", &self.all()), "statuses": statuses, "errors": self.errors,
        }});
        ShownJson(&summary).to_string()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_total = match self.count() {
            count if count == self.total => String::new(),
            _ => format!(" of {}", self.total),
        };
        writeln!(
            f,
            "{}{of_total} requests in {:.1} s, {:.0} per second",
            self.count(),
            self.elapsed.as_secs_f64(),
            self.per_second()
        )?;
        if !self.statuses.is_empty() {
            writeln!(
                f,
                "status  {:>10}  {:>11}  {:>11}  {:>11}  {:>11}",
                "responses", "p50", "p90", "p99", "max"
            )?;
        }
        let mut row = |name: &str, times: &Histogram| {
            write!(f, "{name:<6}  {:>10}", times.count())?;
            for percent in [50, 90, 99] {
                write!(f, "  {:>11}", milliseconds(times.percentile(percent)))?;
            }
            writeln!(f, "  {:>11}", milliseconds(times.longest()))
        };
        for (status, times) in &self.statuses {
            row(&status.to_string(), times)?;
        }
        if self.statuses.len() > 1 {
            row("all", &self.all())?;
        }
        for (reason, count) in &self.errors {
            writeln!(f, "no response: {count}, {}", Shown(reason))?;
        }
        Ok(())
    }
}
