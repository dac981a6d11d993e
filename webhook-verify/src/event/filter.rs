use super::{Event, EventsError};
use crate::{ConfigError, Delivery, json};

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

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
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
            _ => {}
        }
        for (pointer, _) in &self.fields {
            crate::scheme::is_pointer("only_where", pointer)?;
        }
        Ok(())
    }

    /// Leaves out what the handler is not to see; `false` if that is everything.
    pub(crate) fn apply(&self, delivery: &mut Delivery) -> Result<bool, EventsError> {
        let mut events = delivery.split()?;
        events.retain(|event| self.lets_through(event));
        let any = !events.is_empty();
        if delivery.scheme.sends_batches() {
            delivery.events = Some(events.into());
        }
        Ok(any)
    }

    fn lets_through(&self, event: &Event) -> bool {
        let matches = |patterns: &Vec<String>| patterns.iter().any(|it| event.matches(it));
        let holds = |(pointer, value): &(String, String)| {
            let found = json::scalar(event.raw(), pointer);
            matches!(found, Ok(Some(found)) if found == *value)
        };
        self.patterns.as_ref().is_none_or(matches) && self.fields.iter().all(holds)
    }
}
