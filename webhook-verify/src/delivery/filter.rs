use super::{
    Delivery, Event, EventsError,
    pattern::{is_malformed, matches_known},
};
use crate::{error::ConfigError, request::json, scheme::Scheme};

/// Selects the events that the handler gets.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// Patterns for the event type, at least one of which must match.
    patterns: Option<Vec<String>>,
    /// JSON pointers and their values, all of which must match.
    fields: Vec<(String, String)>,
}

impl Filter {
    pub(crate) fn add_patterns<P: Into<String>>(&mut self, patterns: impl IntoIterator<Item = P>) {
        let patterns = patterns.into_iter().map(Into::into);
        self.patterns.get_or_insert_default().extend(patterns);
    }

    pub(crate) fn add_field(&mut self, pointer: String, value: String) {
        self.fields.push((pointer, value));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.patterns.is_none() && self.fields.is_empty()
    }

    pub(crate) fn check(&self, scheme: &Scheme) -> Result<(), ConfigError> {
        if let Some(patterns) = &self.patterns {
            let reason = if patterns.is_empty() {
                Some("no pattern is given")
            } else if patterns.iter().any(|pattern| is_malformed(pattern)) {
                Some("a pattern is empty, or has a `*` that is not at its end")
            } else if !scheme.has_event_types() && patterns.iter().all(|pattern| pattern != "*") {
                Some("the scheme has no event types, so no event would match")
            } else {
                None
            };
            if let Some(reason) = reason {
                return Err(ConfigError::option("only", reason));
            }
        }
        for (pointer, _) in &self.fields {
            crate::scheme::is_pointer("only_where", pointer)?;
        }
        Ok(())
    }

    /// Removes the events that the handler does not get. Returns whether any are left.
    pub(crate) fn apply(&self, delivery: &mut Delivery) -> Result<bool, EventsError> {
        let mut kept = Vec::new();
        for event in delivery.split()? {
            if self.lets_through(&event)? {
                kept.push(event);
            }
        }
        let any = !kept.is_empty();
        if delivery.scheme.sends_batches() {
            delivery.events = Some(kept.into());
        }
        Ok(any)
    }

    /// Returns whether the handler gets the event. An unreadable event is an error: if it were
    /// filtered out, it would be acknowledged and lost.
    fn lets_through(&self, event: &Event) -> Result<bool, EventsError> {
        if let Some(patterns) = &self.patterns {
            let event_type = event.read_type().map_err(|_| unreadable(event))?;
            let matches = |pattern: &String| matches_known(pattern, event_type.as_deref());
            if !patterns.iter().any(matches) {
                return Ok(false);
            }
        }
        for (pointer, value) in &self.fields {
            if event.raw().is_empty() {
                return Ok(false);
            }
            let found = json::scalar(event.raw(), pointer);
            if found.map_err(|_| unreadable(event))?.as_deref() != Some(value) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

pub(super) fn unreadable(event: &Event) -> EventsError {
    if json::is_json(event.raw()) { EventsError::Shape } else { EventsError::Syntax }
}
