use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use zeroize::Zeroizing;

use super::plan::Plan;
use crate::{
    clock::{Clock, Tolerance},
    error::VerifyError,
    key::Key,
    request::Names,
    scheme::{Scheme, TimeUnit, TimestampSource},
};

/// What a verifier was built with.
pub(crate) struct Settings {
    pub(crate) scheme: Arc<Scheme>,
    pub(crate) plan: Plan,
    pub(super) keys: RwLock<Arc<[Key]>>,
    /// The headers that the scheme looks at.
    pub(crate) names: Names,
    /// Those, and the ones that a receiver looks at.
    pub(crate) receiver_names: Names,
    /// The outer `None`: the scheme's own. The inner: not judged.
    pub(crate) tolerance: Option<Option<Tolerance>>,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) public_url: Option<String>,
    /// How many events a delivery may bring.
    pub(crate) max_events: usize,
    /// Some of them are secrets.
    pub(super) parameters: Vec<(String, Zeroizing<String>)>,
}

impl Settings {
    /// What was given under this name; the first, if it is more.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters_of(name).next()
    }

    /// All that was given under this name.
    pub(crate) fn parameters_of(&self, name: &str) -> impl Iterator<Item = &str> {
        let of_name = move |(known, _): &&(String, _)| known == name;
        self.parameters.iter().filter(of_name).map(|(_, value)| value.as_str())
    }

    /// The fixed secrets, made ready.
    pub(crate) fn keys(&self) -> Arc<[Key]> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads a timestamp and holds it against the clock.
    pub(super) fn judge_timestamp(
        &self,
        source: &TimestampSource,
        text: &[u8],
    ) -> Result<Duration, VerifyError> {
        let timestamp = source.unit.parse(text).ok_or(VerifyError::MalformedTimestamp)?;
        let Some(tolerance) = self.tolerance.unwrap_or(source.tolerance) else {
            return Ok(timestamp);
        };
        // Judged in the timestamp's own unit, so that the edges of the window are where the sender has them.
        let now = self.clock.now();
        let now = match source.unit {
            TimeUnit::Seconds | TimeUnit::Rfc1123 => Duration::from_secs(now.as_secs()),
            TimeUnit::Milliseconds => {
                now - Duration::from_nanos(u64::from(now.subsec_nanos() % 1_000_000))
            }
            TimeUnit::Rfc3339 => now,
        };
        let distance = now.abs_diff(timestamp);
        if timestamp <= now && distance > tolerance.past() {
            return Err(VerifyError::TimestampTooOld { seconds: distance.as_secs() });
        }
        if timestamp > now && distance > tolerance.future() {
            return Err(VerifyError::TimestampInFuture { seconds: distance.as_secs() });
        }
        Ok(timestamp)
    }
}
