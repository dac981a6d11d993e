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

/// Returns the elements of a body's list, or `None` if the body is empty or an object without the
/// list. Some senders of batches also send other requests, such as HubSpot's workflows.
pub(super) fn batch(
    body: &Bytes,
    list: &EventList,
    most: usize,
) -> Result<Option<Vec<Bytes>>, EventsError> {
    if body.is_empty() {
        return Ok(None);
    }
    let json = json_of(body, list)?;
    if list.at.is_empty() {
        let is_object = list.form.is_none() && json.trim_ascii_start().starts_with(b"{");
        return match is_object {
            true if json::is_json(&json) => Ok(None),
            true => Err(EventsError::Syntax),
            false => self::list(&json, &list.at, most),
        };
    }
    match self::list(&json, &list.at, most)? {
        None if !json.trim_ascii_start().starts_with(b"{") => Err(EventsError::Shape),
        elements => Ok(elements),
    }
}

/// Returns the JSON that contains the list: the body, or a decoded form field of it.
fn json_of(body: &Bytes, list: &EventList) -> Result<Bytes, EventsError> {
    let Some(name) = &list.form else {
        return Ok(body.clone());
    };
    let mut values = form_urlencoded::parse(body).filter(|(key, _)| key == name);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Ok(Bytes::from(value.into_owned())),
        _ => Err(EventsError::Shape),
    }
}

/// Returns the elements of the list at `pointer`, or `None` if nothing is there.
fn list(body: &Bytes, pointer: &str, most: usize) -> Result<Option<Vec<Bytes>>, EventsError> {
    let full = Cell::new(false);
    let elements = Elements { most, full: &full };
    let mut json = serde_json::Deserializer::from_slice(body);
    let found = json::Below(pointer, elements).deserialize(&mut json);
    let found = found.and_then(|found| json.end().map(|()| found));
    let elements = found.map_err(|error| failure(&error, most, full.get()))?;
    let slice = |raw: &RawValue| body.slice_ref(raw.get().as_bytes());
    Ok(elements.map(|elements| elements.into_iter().map(slice).collect()))
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

#[cfg(test)]
mod tests {
    use crate::{
        Delivery, ExtractError, Scheme, Verifier,
        delivery::EventsError,
        scheme::{self, Envelope},
    };

    /// Returns a verified delivery whose body contains events as those of `scheme` do.
    fn delivery(scheme: &Scheme, body: &str) -> Delivery {
        let scheme = Scheme {
            envelope: scheme.envelope.clone(),
            event_type: scheme.event_type.clone(),
            event_time: scheme.event_time.clone(),
            event_data: scheme.event_data.clone(),
            ..scheme::GITLAB
        };
        let verifier = Verifier::new(scheme, "a secret").unwrap();
        verifier.verify(&[("x-gitlab-token", "a secret")], body.to_owned()).unwrap()
    }

    /// HubSpot's workflows and cards, and test requests of others.
    #[test]
    fn a_request_that_is_no_batch_is_one_event_of_every_sender_of_lists() {
        let mut lists = 0;
        for scheme in Scheme::presets() {
            let Envelope::List(list) = &scheme.envelope else { continue };
            lists += 1;
            let bodies: &[&str] = match &list.form {
                Some(_) => &[""],
                None => &["", "{}", r#" {"objectId":1,"other":[]}"#],
            };
            for body in bodies {
                let delivery = delivery(scheme, body);
                let name = scheme.name();
                let batch = delivery.batch().unwrap();
                assert_eq!(batch.len(), 1, "{name} {body}");
                assert_eq!(batch[0].raw(), body, "{name}");
                assert_eq!(batch[0].data_bytes(), body, "{name}");
                assert_eq!((batch[0].event_type(), batch[0].time()), (None, None), "{name}");
                assert_eq!(delivery.events().unwrap().len(), 1, "{name}");
                assert_eq!(delivery.event().unwrap().raw(), body, "{name}");
            }
            // A list of one is a list.
            let nested = list.at.rsplit('/').filter(|key| !key.is_empty());
            let one = nested
                .fold(r#"[{"a":1}]"#.to_owned(), |below, key| format!(r#"{{"{key}":{below}}}"#));
            let one = match &list.form {
                Some(name) => format!("{name}={one}"),
                None => one,
            };
            let delivery = delivery(scheme, &one);
            assert_eq!(delivery.batch().unwrap()[0].raw(), r#"{"a":1}"#);
            assert_eq!(delivery.event().unwrap_err(), ExtractError::NotOneEvent);
        }
        assert!(lists >= 13, "{lists}");
    }

    #[test]
    fn what_is_neither_a_batch_nor_an_object_is_an_error() {
        for (scheme, at_root) in [(scheme::HUBSPOT_V3, true), (scheme::LINE, false)] {
            for body in ["1", "null", r#""{}""#] {
                assert_eq!(delivery(&scheme, body).batch().unwrap_err(), EventsError::Shape);
            }
            for body in [" ", "{", r#"{"a":1"#, r#"{"a":1}x"#, "[1", "from=a&to=b"] {
                assert_eq!(delivery(&scheme, body).batch().unwrap_err(), EventsError::Syntax);
            }
            let list = delivery(&scheme, "[1]").batch().map(|batch| batch.len());
            assert_eq!(list, if at_root { Ok(1) } else { Err(EventsError::Shape) });
        }
        for body in [r#"{"events":{}}"#, r#"{"events":null}"#, r#"{"events":[],"events":[]}"#] {
            let error = delivery(&scheme::LINE, body).batch().unwrap_err();
            assert_eq!(error, EventsError::Shape, "{body}");
        }
    }
}
