use super::{Delivery, Event, EventsError, pattern::matches_known};
use crate::{error::ConfigError, request::json, scheme::Scheme};

/// Which events the handler is to see.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// Where there are any, one must match.
    patterns: Option<Vec<String>>,
    /// All must hold.
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
        let wrong = |pattern: &String| {
            pattern.is_empty() || pattern.strip_suffix('*').unwrap_or(pattern).contains('*')
        };
        match &self.patterns {
            Some(patterns) if patterns.is_empty() => {
                return Err(ConfigError::option("only", "no pattern is given"));
            }
            Some(patterns) if patterns.iter().any(wrong) => {
                let reason = "a pattern is empty, or has a `*` that is not at its end";
                return Err(ConfigError::option("only", reason));
            }
            Some(patterns) if !scheme.has_event_types() && patterns.iter().all(|it| it != "*") => {
                let reason = "the scheme knows of no event types, so no event would match";
                return Err(ConfigError::option("only", reason));
            }
            _ => {}
        }
        for (pointer, _) in &self.fields {
            crate::scheme::is_pointer("only_where", pointer)?;
        }
        Ok(())
    }

    /// Leaves out what the handler is not to see; `false` if that is everything.
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

    /// What cannot be read is no event of another kind: to acknowledge it would lose it.
    fn lets_through(&self, event: &Event) -> Result<bool, EventsError> {
        if let Some(patterns) = &self.patterns {
            let event_type = event.read_type().map_err(|_| unreadable(event))?;
            let matches = |pattern: &String| matches_known(pattern, event_type.as_deref());
            if !patterns.iter().any(matches) {
                return Ok(false);
            }
        }
        for (pointer, value) in &self.fields {
            let found = json::scalar(event.raw(), pointer);
            if found.map_err(|_| unreadable(event))?.as_deref() != Some(value) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn unreadable(event: &Event) -> EventsError {
    match json::is_json(event.raw()) {
        true => EventsError::Shape,
        false => EventsError::Syntax,
    }
}
