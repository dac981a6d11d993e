//! Envelopes: objects with an event's type next to its `data`.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::php::Php;
use crate::delivery::{Event, ExtractError, from_json};

/// Returns the `data` of the event's envelope, or as `Err` the whole event if it has none.
pub(super) fn data(event: &Event) -> Result<Result<Value, Value>, ExtractError> {
    let mut whole: Value = from_json(event.raw(), || event.name())?;
    let data = whole.as_object_mut().and_then(|whole| whole.remove("data"));
    Ok(data.ok_or(whole))
}

/// The members of an envelope that are not yet taken, or already put in.
pub(super) struct Parts(Map<String, Value>);

/// Treats a body that is not an object as data without an event type.
impl From<Value> for Parts {
    fn from(body: Value) -> Self {
        match body {
            Value::Object(members) => Self(members),
            data => Self(Map::from_iter([("data".to_owned(), data)])),
        }
    }
}

impl Parts {
    pub(super) fn new(rest: &Map<String, Value>) -> Self {
        Self(rest.clone())
    }

    /// Removes and returns a member, if it can be read as `T`.
    pub(super) fn take<T: Php>(&mut self, key: &str) -> Option<T> {
        let read = T::read(self.0.get(key)?)?;
        self.0.remove(key);
        Some(read)
    }

    pub(super) fn payload<T>(&mut self, key: &str, read: fn(Option<&str>, Value) -> T) -> T {
        let event_type: Option<String> = self.take(key);
        let data = self.0.remove("data").unwrap_or_default();
        read(event_type.as_deref(), data)
    }

    pub(super) fn rest(self) -> Map<String, Value> {
        self.0
    }

    pub(super) fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }

    /// Inserts a member, if it has a value.
    pub(super) fn put<T: Serialize, E: serde::ser::Error>(
        &mut self,
        key: &str,
        value: Option<T>,
    ) -> Result<(), E> {
        if let Some(value) = value {
            let value = serde_json::to_value(value).map_err(E::custom)?;
            self.0.insert(key.to_owned(), value);
        }
        Ok(())
    }
}
