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

/// The settings of a verifier.
pub(crate) struct Settings {
    pub(crate) scheme: Arc<Scheme>,
    pub(crate) plan: Plan,
    pub(super) keys: RwLock<Arc<[Key]>>,
    /// The headers that the scheme needs.
    pub(crate) names: Names,
    /// The same, and the ones that a receiver needs.
    pub(crate) receiver_names: Names,
    /// The outer `None` is the scheme's own. The inner one turns the check off.
    pub(crate) tolerance: Option<Option<Tolerance>>,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) public_url: Option<String>,
    /// The largest number of events in a delivery.
    pub(crate) max_events: usize,
    /// Values in addition to the secrets. Some are secret as well.
    pub(super) parameters: Vec<(String, Zeroizing<String>)>,
}

impl Settings {
    /// Returns the first parameter with this name.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters_of(name).next()
    }

    /// Returns all parameters with this name.
    pub(crate) fn parameters_of(&self, name: &str) -> impl Iterator<Item = &str> {
        let of_name = move |(known, _): &&(String, _)| known == name;
        self.parameters.iter().filter(of_name).map(|(_, value)| value.as_str())
    }

    /// Returns the live secrets, prepared.
    pub(crate) fn keys(&self) -> Arc<[Key]> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Parses a timestamp and compares it with the clock.
    pub(super) fn judge_timestamp(
        &self,
        source: &TimestampSource,
        text: &[u8],
    ) -> Result<Duration, VerifyError> {
        let timestamp = source.unit.parse(text).ok_or(VerifyError::MalformedTimestamp)?;
        let Some(tolerance) = self.tolerance.unwrap_or(source.tolerance) else {
            return Ok(timestamp);
        };
        // Compares in the timestamp's own unit, so that the window's limits are the sender's.
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
