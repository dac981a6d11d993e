//! How a sender's bodies contain events.

use super::{
    super::{Envelope, EventList, List, Text, TimeUnit},
    SchemeBuilder, owned,
};
use crate::error::ConfigError;

/// The description so far.
#[derive(Clone, Debug)]
pub(super) struct Events {
    list: Option<EventList>,
    event_type: Option<List<Text>>,
    id: Option<List<Text>>,
    by_type: bool,
}

impl Events {
    pub(super) const NONE: Self = Self { list: None, event_type: None, id: None, by_type: false };

    fn list(&mut self) -> &mut EventList {
        self.list.get_or_insert(EventList {
            form: None,
            at: "".into(),
            event_type: List::default(),
            id: List::default(),
        })
    }

    pub(super) fn envelope(self) -> Result<Envelope, ConfigError> {
        let has_list = self.list.is_some();
        let about_each = [("listed_event_type", &self.event_type), ("listed_event_id", &self.id)];
        for (option, pointers) in about_each {
            match pointers.as_deref() {
                Some(_) if !has_list => {
                    return Err(ConfigError::option(option, "no list of events is described"));
                }
                Some([]) => return Err(ConfigError::option(option, "empty")),
                _ => {}
            }
        }
        match (self.list, self.by_type) {
            (Some(_), true) => {
                Err(ConfigError::option("events_by_type", "the events are already in a list"))
            }
            (Some(list), false) => Ok(Envelope::List(EventList {
                event_type: self.event_type.unwrap_or_default(),
                id: self.id.unwrap_or_default(),
                ..list
            })),
            (None, true) => Ok(Envelope::ByType),
            (None, false) => Ok(Envelope::One),
        }
    }
}

/// Describe how a body contains [events](crate::Event). By default, it is one event. Pointers start
/// at the event.
///
/// ```
/// use webhook_verify::{Scheme, Verifier, scheme::TimeUnit};
///
/// let acme = Scheme::builder("acme")
///     .signature_header("acme-signature")
///     .event_list("/events")
///     .listed_event_type(["/kind"])
///     .listed_event_id(["/id"])
///     .event_time("/at", TimeUnit::Seconds)
///     .event_data("/data")
///     .build()?;
///
/// let body = r#"{"events":[{"id":"e1","kind":"thing.made","at":1795305600,"data":[1, 2]}]}"#;
/// # let signature = "78e7e31cf05d376c67a866e4d5f1496925d2b01aaf43be8906f4df093e192303";
/// # let headers = [("acme-signature", signature)];
/// let delivery = Verifier::new(acme, "a secret")?.verify(&headers, body)?;
/// let batch = delivery.batch()?;
/// let event = &batch[0];
/// assert_eq!(event.event_type().as_deref(), Some("thing.made"));
/// assert_eq!(event.id().as_deref(), Some("e1"));
/// assert_eq!(event.data_bytes(), "[1, 2]");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl SchemeBuilder {
    /// Sets the JSON pointer to the list of events, empty if the body is the list.
    pub fn event_list(mut self, pointer: impl Into<String>) -> Self {
        self.events.list().at = owned(pointer);
        self
    }

    /// Sets the field of an `application/x-www-form-urlencoded` body that contains the JSON.
    pub fn event_list_in_form(mut self, name: impl Into<String>) -> Self {
        self.events.list().form = Some(owned(name));
        self
    }

    /// Sets the JSON pointers to a listed event's type, or to its parts, which are joined with
    /// dots, such as `payments` and `confirmed`. Default: the delivery's event type.
    pub fn listed_event_type<P: Into<String>>(
        mut self,
        pointers: impl IntoIterator<Item = P>,
    ) -> Self {
        self.events.event_type = Some(pointers.into_iter().map(owned).collect());
        self
    }

    /// Sets the JSON pointers to a listed event's identity, its ID first. Default: all its bytes.
    pub fn listed_event_id<P: Into<String>>(
        mut self,
        pointers: impl IntoIterator<Item = P>,
    ) -> Self {
        self.events.id = Some(pointers.into_iter().map(owned).collect());
        self
    }

    /// Declares the body an object whose keys are event types, each with one event or a list of
    /// them, as from Mautic. The value under `timestamp` is not an event.
    pub fn events_by_type(mut self) -> Self {
        self.events.by_type = true;
        self
    }

    /// Sets the JSON pointer to an event's time, and the time's unit.
    pub fn event_time(mut self, pointer: impl Into<String>, unit: TimeUnit) -> Self {
        self.scheme.event_time = Some((owned(pointer), unit));
        self
    }

    /// Sets the JSON pointer to an event's data, if it is only a part of the event. Default: all.
    pub fn event_data(mut self, pointer: impl Into<String>) -> Self {
        self.scheme.event_data = Some(owned(pointer));
        self
    }

    /// Sets the JSON pointer to a field of the body that only test payloads have, with a value
    /// other than `false` and `null`.
    pub fn test_field(mut self, pointer: impl Into<String>) -> Self {
        self.scheme.test_field = Some(owned(pointer));
        self
    }
}
