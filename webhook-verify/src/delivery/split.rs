//! Splits bodies into events in one pass. The events are slices of the body.

use std::{cell::Cell, collections::HashSet, fmt, sync::Arc};

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::EventsError;
use crate::{
    request::json::{self, Text},
    scheme::EventList,
};

/// Returns the JSON that contains the list: the body, or a decoded form field of it.
pub(super) fn json_of(body: &Bytes, list: &EventList) -> Result<Bytes, EventsError> {
    let Some(name) = &list.form else {
        return Ok(body.clone());
    };
    let mut values = form_urlencoded::parse(body).filter(|(key, _)| key == name);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Ok(Bytes::from(value.into_owned())),
        _ => Err(EventsError::Shape),
    }
}

/// Returns the elements of the list at `pointer`.
pub(super) fn list(body: &Bytes, pointer: &str, most: usize) -> Result<Vec<Bytes>, EventsError> {
    let full = Cell::new(false);
    let elements = Elements { most, full: &full };
    let mut json = serde_json::Deserializer::from_slice(body);
    let found = json::Below(pointer, elements).deserialize(&mut json);
    let found = found.and_then(|found| json.end().map(|()| found));
    let elements = found.map_err(|error| failure(&error, most, full.get()))?;
    let elements = elements.ok_or(EventsError::Shape)?;
    let slice = |raw: &RawValue| body.slice_ref(raw.get().as_bytes());
    Ok(elements.into_iter().map(slice).collect())
}

/// Returns the events of an object that contains a list of events for each event type.
pub(super) fn by_type(body: &Bytes, most: usize) -> Result<Vec<(Arc<str>, Bytes)>, EventsError> {
    let full = Cell::new(false);
    let types = Types { body, most, full: &full };
    let mut json = serde_json::Deserializer::from_slice(body);
    let events = json.deserialize_map(types);
    let events = events.and_then(|events| json.end().map(|()| events));
    events.map_err(|error| failure(&error, most, full.get()))
}

fn failure(error: &serde_json::Error, most: usize, full: bool) -> EventsError {
    match error.classify() {
        _ if full => EventsError::TooMany { most },
        serde_json::error::Category::Data => EventsError::Shape,
        _ => EventsError::Syntax,
    }
}

/// Reads the elements of a list, each in its original text.
#[derive(Clone, Copy)]
struct Elements<'f> {
    most: usize,
    /// Set if there are more than `most`.
    full: &'f Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = Vec<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            if elements.len() == self.most {
                self.full.set(true);
                return Err(A::Error::custom("too many events"));
            }
            elements.push(element);
        }
        Ok(elements)
    }
}

/// Reads Mautic's object of events by type.
struct Types<'b> {
    body: &'b Bytes,
    most: usize,
    full: &'b Cell<bool>,
}

impl<'de> Visitor<'de> for Types<'_> {
    type Value = Vec<(Arc<str>, Bytes)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of events by their types")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut events, mut types) = (Vec::new(), HashSet::new());
        while let Some(key) = map.next_key::<&RawValue>()? {
            let is_list = self.first_byte_after(key) == Some(b'[');
            let Text(name) = serde_json::from_str(key.get()).map_err(A::Error::custom)?;
            let event_type: Arc<str> = name.into();
            if !types.insert(Arc::clone(&event_type)) {
                return Err(A::Error::custom("repeated key"));
            }
            if &*event_type == "timestamp" {
                // Test payloads have their time next to the events.
                let time: &RawValue = map.next_value()?;
                if is_list || time.get().starts_with('{') {
                    return Err(A::Error::custom("events where a time should be"));
                }
                continue;
            }
            let (most, full) = (self.most - events.len(), self.full);
            let raw: Vec<&RawValue> = if is_list {
                map.next_value_seed(Elements { most, full })?
            } else if most == 0 {
                full.set(true);
                return Err(A::Error::custom("too many events"));
            } else {
                // In some test payloads, an event is not in a list.
                vec![map.next_value()?]
            };
            let slice = |raw: &RawValue| self.body.slice_ref(raw.get().as_bytes());
            let raw = raw.into_iter();
            events.extend(raw.map(|raw| (Arc::clone(&event_type), slice(raw))));
        }
        Ok(events)
    }
}

impl Types<'_> {
    /// Returns the first byte of a key's value: the first one after the key that is neither a colon
    /// nor white space.
    fn first_byte_after(&self, key: &RawValue) -> Option<u8> {
        let key = key.get();
        let end = key.as_ptr() as usize - self.body.as_ptr() as usize + key.len();
        let mut rest = self.body[end..].iter();
        let is_between = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b':');
        rest.find(|byte| !is_between(byte)).copied()
    }
}
