use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use zeroize::Zeroizing;

use super::signed::Content;
use crate::{
    clock::{Clock, Tolerance},
    error::VerifyError,
    key::Keys,
    request::{Names, Pointers},
    scheme::{Origin, Part, Scheme, TimeUnit, TimestampSource, UrlForm},
};

/// The settings of a verifier.
pub(crate) struct Settings {
    pub(crate) scheme: Arc<Scheme>,
    pub(crate) plan: Arc<Plan>,
    pub(super) keys: RwLock<Arc<Keys>>,
    /// The headers that the scheme needs.
    pub(crate) names: Names,
    /// The same, and the ones that a receiver needs.
    pub(crate) receiver_names: Names,
    /// The outer `None` is the scheme's own. The inner one turns the check off.
    pub(crate) tolerance: Option<Option<Tolerance>>,
    /// The accepted difference between a token's times and the clock.
    pub(crate) leeway: Duration,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) public_url: Option<String>,
    /// The largest number of events in a delivery.
    pub(crate) max_events: usize,
    /// Values in addition to the secrets. Some are secret as well.
    pub(crate) parameters: Vec<(String, Zeroizing<String>)>,
}

impl Settings {
    /// Returns the signed content.
    pub(super) fn content(&self) -> Content<'_> {
        (&self.scheme.content, &self.plan.delimiters)
    }

    /// Returns the signed content of a version that has its own.
    pub(super) fn version(&self, index: usize) -> Content<'_> {
        (&self.scheme.version_contents[index].1, &self.plan.version_delimiters[index])
    }

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
    pub(crate) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Parses a timestamp and compares it with the clock.
    pub(super) fn judge_timestamp(
        &self,
        source: &TimestampSource,
        text: &[u8],
    ) -> Result<Duration, VerifyError> {
        if self.plan.timestamp_len.is_some_and(|len| len != text.len()) {
            return Err(VerifyError::MalformedTimestamp);
        }
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
            TimeUnit::Rfc3339 | TimeUnit::Utc => now,
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

/// The bytes that the value of each part of a content must not contain.
type Delimiters = Box<[Box<[u8]>]>;

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
    pub(super) reads_multipart: bool,
    pub(super) id_is_signed: bool,
    pub(super) identity_reads_content: bool,
    pub(super) has_label_headers: bool,
    /// The bytes that a signed ID must not contain.
    pub(super) id_delimiters: Box<[u8]>,
    pub(super) delimiters: Delimiters,
    pub(super) version_delimiters: Box<[Delimiters]>,
    /// The required length of a timestamp without text around it.
    pub(super) timestamp_len: Option<usize>,
    pub(super) signs_json_body: bool,
    pub(super) signs_target: bool,
    /// The form in which the URL is signed, if it is.
    pub(super) url_form: Option<UrlForm>,
    pub(super) signs_sorted_query: bool,
    /// The fields of the body that verification reads, before or after the signature is verified.
    pub(super) pointers: Pointers,
}

impl Plan {
    pub(crate) fn new(scheme: &Scheme) -> Self {
        let content = scheme.content.iter();
        let url_form = content.clone().find_map(|part| part.facts().url);
        let url_forms = url_form == Some(UrlForm::EitherPort);
        let has_versions = !scheme.version_contents.is_empty();
        let rare = url_forms
            || has_versions
            || scheme.key_source.is_some()
            || scheme.body_digest.is_some()
            || scheme.url_digest.is_some();
        let delimiters: Delimiters = scheme.delimiters(&scheme.content).into();
        let of_versions = scheme.version_contents.iter();
        let version_delimiters: Box<[Delimiters]> =
            of_versions.map(|(_, content)| scheme.delimiters(content).into()).collect();
        let is_id = |part: &Part| part.facts().origin == Origin::Id;
        let all_parts =
            scheme.parts().zip(delimiters.iter().chain(version_delimiters.iter().flatten()));
        let of_ids =
            all_parts.filter(|(part, _)| is_id(part)).flat_map(|(_, delimiters)| &**delimiters);
        let id_delimiters = of_ids.copied().collect();
        let mut late = content.filter(|part| scheme.comes_late(part));
        Self {
            body_alone: scheme.content.len() == 1
                && scheme.content.iter().all(Part::is_body)
                && !rare,
            streams: late.clone().next().is_some_and(Part::is_body) && !url_forms && !has_versions,
            made_of_body: late.any(|part| !part.is_body()),
            reads_forms: scheme.reads_forms(),
            reads_multipart: scheme.reads_multipart(),
            id_is_signed: scheme.id_is_signed(),
            identity_reads_content: scheme.identity_reads_content(),
            has_label_headers: scheme.has_label_headers(),
            id_delimiters,
            delimiters,
            version_delimiters,
            timestamp_len: scheme.timestamp_len(),
            signs_target: scheme.signs_target(),
            url_form,
            signs_sorted_query: scheme.parts().any(|part| matches!(part, Part::SortedQuery)),
            signs_json_body: scheme.parts().any(|part| matches!(part, Part::JsonBody)),
            looks_before_it_judges: scheme.looks_before_it_judges(),
            signs_for_anybody: scheme.signs_for_anybody(),
            rare,
            pointers: Pointers::new(scheme.pointers()),
        }
    }
}
