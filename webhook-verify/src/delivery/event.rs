use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{
    Delivery, EventName, EventsError, ExtractError, MAX_ID_LEN, extract::from_json,
    pattern::matches_known, split, values_at,
};
use crate::{
    claim::Claim,
    request::json::{self, Unreadable},
    scheme::{Envelope, Field, Scheme},
};

/// The default of [`max_events`](crate::VerifierBuilder::max_events).
pub(crate) const MAX_EVENTS: usize = 10_000;

/// One event of a verified delivery.
///
/// Its bytes are a slice of the verified body, neither copied nor serialized again. (If the list of
/// events is in a form field, they are slices of the decoded field.)
#[derive(Clone)]
#[must_use]
pub struct Event {
    raw: Bytes,
    pub(super) scheme: Arc<Scheme>,
    /// The type outside of `raw`: the key of Mautic's map, or a header.
    event_type: Option<Arc<str>>,
    id: Option<Arc<str>>,
    pub(crate) claim: Option<Claim>,
}

impl Delivery {
    /// Returns whether this is the sender's test payload, if the scheme defines how to recognize
    /// it.
    #[must_use]
    pub fn is_test(&self) -> bool {
        let pointer = self.scheme.test_field.as_deref();
        pointer.is_some_and(
            |pointer| matches!(json::raw(&self.body, pointer), Ok(Some(value)) if value != "false"),
        )
    }

    /// Returns all events of the body, without their claims.
    pub(crate) fn split(&self) -> Result<Vec<Event>, EventsError> {
        let event = |raw, event_type, id| Event {
            raw,
            scheme: Arc::clone(&self.scheme),
            event_type,
            id,
            claim: None,
        };
        let whole = || {
            // Fields of the body are read on demand.
            let of_header = |field: &Option<Field>, text: Option<&str>| match field {
                Some(Field::Header(_)) => text.map(Arc::from),
                _ => None,
            };
            let event_type = of_header(&self.scheme.event_type, self.event_type.text());
            let id = of_header(&self.scheme.id, self.id.text());
            let mut event = event(self.body.clone(), event_type, id);
            event.claim.clone_from(&self.claim);
            vec![event]
        };
        let most = self.max_events;
        Ok(match &self.scheme.envelope {
            Envelope::One => whole(),
            Envelope::List(list) => {
                let Some(elements) = split::batch(&self.body, list, most)? else {
                    return Ok(whole());
                };
                // Without a type of their own, events have the delivery's type.
                let has_type = !list.event_type.is_empty();
                let event_type = if has_type { None } else { self.event_type().map(Arc::from) };
                let elements = elements.into_iter();
                elements.map(|raw| event(raw, event_type.clone(), None)).collect()
            }
            Envelope::ByType => {
                let events = split::by_type(&self.body, most)?.into_iter();
                events.map(|(event_type, raw)| event(raw, Some(event_type), None)).collect()
            }
        })
    }
}

impl Event {
    /// Returns the sender's name for what happened, if the scheme defines where it is.
    ///
    /// An event type from a header is not signed: see [`Scheme::event_type_is_signed`].
    #[must_use]
    pub fn event_type(&self) -> Option<Cow<'_, str>> {
        self.read_type().ok()?
    }

    /// Returns the event type, or an error if it is in JSON that cannot be read.
    pub(super) fn read_type(&self) -> Result<Option<Cow<'_, str>>, Unreadable> {
        if let Some(known) = &self.event_type {
            return Ok(Some(Cow::Borrowed(known)));
        }
        if self.raw.is_empty() {
            return Ok(None);
        }
        match &self.scheme.envelope {
            Envelope::One => self.field(self.scheme.event_type.as_ref()),
            Envelope::List(list) => match &*list.event_type {
                [] => Ok(None),
                [pointer] => json::scalar(&self.raw, pointer),
                pointers => {
                    let parts = pointers.iter();
                    let parts = parts.map(|pointer| json::scalar(&self.raw, pointer).transpose());
                    let parts = parts.collect::<Option<Result<Vec<_>, _>>>().transpose()?;
                    Ok(parts.map(|parts| parts.join(".").into()))
                }
            },
            Envelope::ByType => Ok(None),
        }
    }

    /// Returns the sender's ID of this event, if the scheme defines where it is.
    #[must_use]
    pub fn id(&self) -> Option<Cow<'_, str>> {
        if let Some(known) = &self.id {
            return Some(Cow::Borrowed(known));
        }
        let id = match &self.scheme.envelope {
            Envelope::One => self.field(self.scheme.id.as_ref()).ok()?,
            Envelope::List(list) => self.text(list.id.first()?),
            Envelope::ByType => None,
        };
        id.filter(|id| id.len() <= MAX_ID_LEN)
    }

    /// Returns when the event happened, as time since the Unix epoch, if the scheme defines where
    /// that is.
    #[must_use]
    pub fn time(&self) -> Option<Duration> {
        let (pointer, unit) = self.scheme.event_time.as_ref()?;
        unit.parse(self.text(pointer)?.as_bytes())
    }

    /// Returns the bytes of the whole event, as they are in the body.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Returns the bytes of the event's data, as they are in the body: the content of the sender's
    /// envelope, or the whole event without one.
    #[must_use]
    pub fn data_bytes(&self) -> Bytes {
        let pointer = self.scheme.event_data.as_deref();
        match pointer.and_then(|pointer| json::raw(&self.raw, pointer).ok()?) {
            Some(data) => self.raw.slice_ref(data.as_bytes()),
            None => self.raw.clone(),
        }
    }

    /// Parses the event's [data](Self::data_bytes) from JSON, as any type that serde deserializes
    /// or that implements [`FromEvent`].
    ///
    /// # Errors
    ///
    /// [`ExtractError::JsonSyntax`] or [`ExtractError::JsonData`].
    pub fn data<T: FromEvent>(&self) -> Result<T, ExtractError> {
        T::from_event(self)
    }

    /// Returns whether the event type [matches](super::matches()) a pattern, such as `contact.*`.
    /// An event without a type matches only `*`.
    #[must_use]
    pub fn matches(&self, pattern: &str) -> bool {
        matches_known(pattern, self.event_type().as_deref())
    }

    /// Returns the claim under which the event is handled, with idempotency: its own if the sender
    /// may put several events into one request, otherwise that of its delivery. `None` if such a
    /// request is [claimed as a whole](Delivery::claim).
    #[must_use]
    pub fn claim(&self) -> Option<&Claim> {
        self.claim.as_ref()
    }

    pub(crate) fn name(&self) -> Box<EventName> {
        EventName::new(
            self.scheme.name(),
            self.event_type().as_deref(),
            self.claim().map(Claim::key),
        )
    }

    /// Returns the event type, if it is signed.
    pub(crate) fn signed_type(&self) -> Option<Cow<'_, str>> {
        let in_body = match &self.scheme.envelope {
            Envelope::List(list) if !list.event_type.is_empty() => true,
            Envelope::ByType => true,
            Envelope::List(_) | Envelope::One => self.scheme.event_type_is_signed(),
        };
        self.event_type().filter(|_| in_body)
    }

    /// Returns the sender's ID of the event as an unambiguous key, if the scheme defines one and
    /// the event has it.
    pub(crate) fn identity(&self) -> Option<Vec<u8>> {
        let Envelope::List(list) = &self.scheme.envelope else {
            return None;
        };
        values_at(&self.raw, &list.id)
    }

    /// Returns the value of a field in the body. Those in headers were read before.
    fn field(&self, field: Option<&Field>) -> Result<Option<Cow<'_, str>>, Unreadable> {
        match field {
            Some(Field::Pointer(pointer)) => json::scalar(&self.raw, pointer),
            Some(Field::FirstKey) => Ok(json::first_key(&self.raw)),
            Some(Field::Header(_)) | None => Ok(None),
        }
    }

    fn text(&self, pointer: &str) -> Option<Cow<'_, str>> {
        json::scalar(&self.raw, pointer).ok()?
    }
}

/// A type that is made from an event: any type that serde deserializes, from the event's
/// [data](Event::data_bytes), one that also considers the event's type, or the [`Event`].
pub trait FromEvent: Sized {
    /// Parses the event.
    ///
    /// # Errors
    ///
    /// [`ExtractError::JsonSyntax`] or [`ExtractError::JsonData`].
    fn from_event(event: &Event) -> Result<Self, ExtractError>;
}

impl<T: DeserializeOwned> FromEvent for T {
    fn from_event(event: &Event) -> Result<Self, ExtractError> {
        from_json(&event.data_bytes(), || event.name())
    }
}

impl FromEvent for Event {
    fn from_event(event: &Event) -> Result<Self, ExtractError> {
        Ok(event.clone())
    }
}

impl fmt::Debug for Event {
    /// Omits the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("event_type", &self.event_type())
            .field("raw_len", &self.raw.len())
            .field("claim", &self.claim)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct ByType(bool);

    /// A custom type that uses more than the data.
    impl FromEvent for ByType {
        fn from_event(event: &Event) -> Result<Self, ExtractError> {
            Ok(Self(event.matches("a.*")))
        }
    }

    #[test]
    fn data_is_what_serde_reads_or_what_looks_at_the_event() {
        let event = Event {
            raw: Bytes::from_static(br#"{"b":1}"#),
            scheme: Arc::new(crate::scheme::MAUTIC),
            event_type: Some("a.b".into()),
            id: None,
            claim: None,
        };
        assert!(event.data::<ByType>().unwrap().0);
        assert_eq!(event.data::<std::collections::BTreeMap<String, u8>>().unwrap()["b"], 1);
        assert!(event.data::<Vec<u8>>().is_err());
    }
}
