use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{
    Delivery, Events, EventsError, ExtractError, MAX_ID_LEN, extract::from_json,
    pattern::matches_known, split,
};
use crate::{
    claim::Claim,
    request::json::{self, Unreadable},
    scheme::{Envelope, Field, Scheme},
};

/// How many events a delivery may bring, unless it is [said otherwise](crate::VerifierBuilder::max_events).
pub(crate) const MAX_EVENTS: usize = 10_000;

/// One event out of a verified delivery.
///
/// A delivery brings one event or many, by its sender. An event's bytes are a slice of the verified body, never copied and
/// never written anew. (Where the list of events is in a form's field, they are slices of that field, which is decoded for it.)
#[derive(Clone)]
#[must_use]
pub struct Event {
    raw: Bytes,
    scheme: Arc<Scheme>,
    /// Said outside of `raw`, as are the key of Mautic's map and the headers of others.
    event_type: Option<Arc<str>>,
    id: Option<Arc<str>>,
    pub(crate) claim: Option<Claim>,
}

impl Delivery {
    /// What the delivery brings: one event, or as many as its sender puts into one request.
    ///
    /// Where each event has a [claim](Event::claim) of its own, as in a handler behind a [receiver](crate::Receiver) that
    /// deduplicates, these are the events that are left to do: not those that were completed before, and not those that are in
    /// flight elsewhere or [filtered out](crate::ReceiverBuilder::only).
    ///
    /// ```
    /// # use webhook_verify::{Verifier, event::EventsError, scheme};
    /// # let verifier = Verifier::new(scheme::MAUTIC, "58ae6ad08e40a88c23e3a8ee11ee3467")?;
    /// # let headers = [("Webhook-Signature", "ZnxUeUp8lqti4gO4VWPwaZ+Jll2tJkUYTW9Cp5kIs64=")];
    /// let delivery = verifier.verify(&headers, r#"{"mautic.lead_post_delete":[{"id":52}]}"#)?;
    /// let events = delivery.events()?;
    /// let [event] = events.as_slice() else { panic!("one was sent") };
    /// assert_eq!(event.event_type().as_deref(), Some("mautic.lead_post_delete"));
    /// assert_eq!(event.raw(), r#"{"id":52}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`EventsError`] when the body is not what the scheme says, or has more events than
    /// [may be](crate::VerifierBuilder::max_events).
    pub fn events(&self) -> Result<Events, EventsError> {
        Ok(Events::new(match &self.events {
            Some(events) => Arc::clone(events),
            None => self.split()?.into(),
        }))
    }

    /// Whether this is a test payload, as its sender makes them to try a webhook out, and the scheme knows how to tell.
    #[must_use]
    pub fn is_test(&self) -> bool {
        let pointer = self.scheme.test_field.as_deref();
        pointer.is_some_and(
            |pointer| matches!(json::raw(&self.body, pointer), Ok(Some(value)) if value != "false"),
        )
    }

    /// All events of the body, without their claims.
    pub(crate) fn split(&self) -> Result<Vec<Event>, EventsError> {
        let event = |raw, event_type, id| Event {
            raw,
            scheme: Arc::clone(&self.scheme),
            event_type,
            id,
            claim: None,
        };
        let most = self.max_events;
        Ok(match &self.scheme.envelope {
            Envelope::One => {
                // What is in the body is read when somebody asks for it.
                let of_header = |field: &Option<Field>, text: Option<&str>| match field {
                    Some(Field::Header(_)) => text.map(Arc::from),
                    _ => None,
                };
                let event_type = of_header(&self.scheme.event_type, self.event_type.text());
                let id = of_header(&self.scheme.id, self.id.text());
                let mut event = event(self.body.clone(), event_type, id);
                event.claim.clone_from(&self.claim);
                vec![event]
            }
            Envelope::List(list) => {
                let body = split::json_of(&self.body, list)?;
                let elements = split::list(&body, &list.at, most)?;
                let event_type = match list.event_type.is_empty() {
                    false => None,
                    // What the delivery says is said of all of them.
                    true => self.event_type().map(Arc::from),
                };
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
    /// What happened, in the sender's words, if the scheme knows where it is said.
    ///
    /// An event type from a header is not signed: see [`Scheme::event_type_is_signed`].
    #[must_use]
    pub fn event_type(&self) -> Option<Cow<'_, str>> {
        self.read_type().ok()?
    }

    /// The event type. An error where it is in JSON that cannot be read.
    pub(super) fn read_type(&self) -> Result<Option<Cow<'_, str>>, Unreadable> {
        if let Some(known) = &self.event_type {
            return Ok(Some(Cow::Borrowed(known)));
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

    /// The sender's id of this event, if the scheme knows where it is.
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

    /// When it happened, as time since the Unix epoch, if the scheme knows where that is said and it is.
    #[must_use]
    pub fn time(&self) -> Option<Duration> {
        let (pointer, unit) = self.scheme.event_time.as_ref()?;
        unit.parse(self.text(pointer)?.as_bytes())
    }

    /// The event whole, as it stands in the body.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The event's data, as it stands in the body: what is in the sender's envelope, or the event whole where there is no
    /// envelope or nothing in it.
    #[must_use]
    pub fn data_bytes(&self) -> Bytes {
        let pointer = self.scheme.event_data.as_deref();
        match pointer.and_then(|pointer| json::raw(&self.raw, pointer).ok()?) {
            Some(data) => self.raw.slice_ref(data.as_bytes()),
            None => self.raw.clone(),
        }
    }

    /// The event's [data](Self::data_bytes), read from JSON: any type that serde reads, or one that is
    /// [made from events](FromEvent).
    ///
    /// # Errors
    ///
    /// [`ExtractError::JsonSyntax`] or [`ExtractError::JsonData`].
    pub fn data<T: FromEvent>(&self) -> Result<T, ExtractError> {
        T::from_event(self)
    }

    /// Whether the event type [matches](super::matches()) a pattern, such as `contact.*`. What has no type matches `*` alone.
    #[must_use]
    pub fn matches(&self, pattern: &str) -> bool {
        matches_known(pattern, self.event_type().as_deref())
    }

    /// The claim under which the event is handled, where deliveries are deduplicated: its own where its sender may put several
    /// events into one request, else that of its delivery. `None` where such a request is
    /// [claimed as a whole](Delivery::claim).
    #[must_use]
    pub fn claim(&self) -> Option<&Claim> {
        self.claim.as_ref()
    }

    /// The event type, if it is under the signature.
    pub(crate) fn signed_type(&self) -> Option<Cow<'_, str>> {
        let in_body = match &self.scheme.envelope {
            Envelope::List(list) if !list.event_type.is_empty() => true,
            Envelope::ByType => true,
            Envelope::List(_) | Envelope::One => self.scheme.event_type_is_signed(),
        };
        self.event_type().filter(|_| in_body)
    }

    /// What tells it from all other events of its sender; `None` where the scheme does not say or it is not there.
    pub(crate) fn identity(&self) -> Option<Vec<u8>> {
        let Envelope::List(list) = &self.scheme.envelope else {
            return None;
        };
        if list.id.is_empty() {
            return None;
        }
        let mut parts = Vec::new();
        for pointer in &*list.id {
            let part = self.text(pointer).filter(|part| !part.is_empty())?;
            parts.extend((part.len() as u64).to_be_bytes());
            parts.extend(part.as_bytes());
        }
        Some(parts)
    }

    /// What a field of the body says. Those of headers are known from the start.
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

/// What can be made from an event: all that serde reads, from the event's [data](Event::data_bytes), and types that look at
/// the event's type as well.
pub trait FromEvent: Sized {
    /// Reads the event.
    ///
    /// # Errors
    ///
    /// [`ExtractError::JsonSyntax`] or [`ExtractError::JsonData`].
    fn from_event(event: &Event) -> Result<Self, ExtractError>;
}

impl<T: DeserializeOwned> FromEvent for T {
    fn from_event(event: &Event) -> Result<Self, ExtractError> {
        from_json(&event.data_bytes())
    }
}

impl fmt::Debug for Event {
    /// Without its bytes.
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

    /// Types of one's own may look at more than the data.
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
