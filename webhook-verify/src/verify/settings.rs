use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use zeroize::Zeroizing;

use crate::{
    clock::{Clock, Tolerance},
    error::VerifyError,
    key::Key,
    request::{Names, Pointers},
    scheme::{Origin, Part, Scheme, TimeUnit, TimestampSource, UrlForm},
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

/// Facts about a scheme computed once, so that requests skip work they do not need.
pub(crate) struct Plan {
    /// Only the bytes of the body are signed.
    pub(super) body_alone: bool,
    /// The body is signed before all that is derived from it, so MACs can process it on arrival.
    pub(super) streams: bool,
    pub(super) made_of_body: bool,
    pub(super) looks_before_it_judges: bool,
    pub(super) signs_for_anybody: bool,
    pub(super) rare: bool,
    pub(super) reads_forms: bool,
    pub(super) id_is_signed: bool,
    /// The bytes that a signed ID must not contain.
    pub(super) id_delimiters: Box<[u8]>,
    /// The fields of the body that verification reads, before the signature is verified or after.
    pub(super) pointers: Pointers,
}

impl Plan {
    pub(crate) fn new(scheme: &Scheme) -> Self {
        let content = scheme.content.iter();
        let url_forms = content.clone().any(|part| part.facts().url == Some(UrlForm::EitherPort));
        let rare = url_forms || scheme.key_source.is_some() || scheme.body_digest.is_some();
        let ids = content.clone().filter(|part| part.facts().origin == Origin::Id);
        let mut in_body = content.filter(|part| scheme.reads_from_body(part));
        Self {
            body_alone: scheme.content.len() == 1
                && scheme.content.iter().all(Part::is_body)
                && !rare,
            streams: in_body.clone().next().is_some_and(Part::is_body) && !url_forms,
            made_of_body: in_body.any(|part| !part.is_body()),
            reads_forms: scheme.reads_forms(),
            id_is_signed: scheme.id_is_signed(),
            id_delimiters: ids.flat_map(|part| scheme.delimiters_of(part)).collect(),
            looks_before_it_judges: scheme.looks_before_it_judges(),
            signs_for_anybody: scheme.signs_for_anybody(),
            rare,
            pointers: Pointers::new(scheme.pointers()),
        }
    }
}
