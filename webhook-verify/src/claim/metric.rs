//! Metrics whose labels are known in advance, so that recording does not allocate.
//!
//! Without the feature `metrics`, they record nothing.
#![cfg_attr(not(feature = "metrics"), expect(clippy::unused_self, reason = "nothing is recorded"))]

use std::time::Duration;

/// The name and the value of a label.
pub(crate) type Label<'a> = (&'static str, &'a str);

/// A metric with fixed labels.
#[derive(Clone, Debug)]
pub(crate) struct Metric {
    #[cfg(feature = "metrics")]
    key: metrics::Key,
}

/// Metrics that differ in the value of one label.
#[derive(Clone, Debug)]
pub(crate) struct Family(Vec<(&'static str, Metric)>);

impl Family {
    pub(crate) fn new(
        name: &'static str,
        labels: &[Label<'_>],
        label: &'static str,
        values: &[&'static str],
    ) -> Self {
        let metric = |value| Metric::new(name, &[labels, &[(label, value)]].concat());
        Self(values.iter().map(|value| (*value, metric(value))).collect())
    }

    /// Returns the metric with this value of the label.
    pub(crate) fn with(&self, value: &str) -> Option<&Metric> {
        self.0.iter().find(|(it, _)| *it == value).map(|(_, metric)| metric)
    }
}

#[cfg(feature = "metrics")]
const METADATA: metrics::Metadata<'static> =
    metrics::Metadata::new("webhook_verify", metrics::Level::INFO, Some(module_path!()));

#[cfg(feature = "metrics")]
impl Metric {
    pub(crate) fn new(name: &'static str, labels: &[Label<'_>]) -> Self {
        let label = |(name, value): &Label<'_>| metrics::Label::new(*name, (*value).to_owned());
        let labels: Vec<_> = labels.iter().map(label).collect();
        Self { key: metrics::Key::from_parts(name, labels) }
    }

    /// Adds 1 to a counter.
    pub(crate) fn count(&self) {
        metrics::with_recorder(|it| it.register_counter(&self.key, &METADATA)).increment(1);
    }

    /// Adds a number to a counter.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn add(&self, number: usize) {
        metrics::with_recorder(|it| it.register_counter(&self.key, &METADATA))
            .increment(number as u64);
    }

    /// Sets a gauge.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn set(&self, value: f64) {
        metrics::with_recorder(|it| it.register_gauge(&self.key, &METADATA)).set(value);
    }

    /// Adds 1 to a gauge.
    pub(crate) fn increment(&self) {
        metrics::with_recorder(|it| it.register_gauge(&self.key, &METADATA)).increment(1.0);
    }

    /// Subtracts 1 from a gauge.
    pub(crate) fn decrement(&self) {
        metrics::with_recorder(|it| it.register_gauge(&self.key, &METADATA)).decrement(1.0);
    }

    /// Records a duration in a histogram, in seconds.
    pub(crate) fn record(&self, time: Duration) {
        metrics::with_recorder(|it| it.register_histogram(&self.key, &METADATA)).record(time);
    }
}

#[cfg(not(feature = "metrics"))]
impl Metric {
    pub(crate) fn new(_: &'static str, _: &[Label<'_>]) -> Self {
        Self {}
    }

    pub(crate) fn count(&self) {}

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn add(&self, _: usize) {}

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn set(&self, _: f64) {}

    pub(crate) fn increment(&self) {}

    pub(crate) fn decrement(&self) {}

    pub(crate) fn record(&self, _: Duration) {}
}
