//! What a sender's requests bring.

use std::fmt;

use super::{Envelope, EventList, Scheme, WholeBody};

impl Scheme {
    /// Whether one request may bring several events.
    #[must_use]
    pub fn sends_batches(&self) -> bool {
        self.envelope != Envelope::One
    }

    /// Whether each event of a request is recognised by itself, and not the request: so it is where there may be several, and
    /// all of their bytes are signed.
    #[must_use]
    pub fn recognises_events(&self) -> bool {
        match &self.envelope {
            Envelope::One => false,
            Envelope::List(EventList { form: Some(_), .. }) => {
                self.signs_body() || self.signs_whole(WholeBody::Form)
            }
            Envelope::List(_) | Envelope::ByType => self.signs_body(),
        }
    }

    pub(crate) fn has_event_types(&self) -> bool {
        let listed = match &self.envelope {
            Envelope::One => false,
            Envelope::List(list) => !list.event_type.is_empty(),
            Envelope::ByType => true,
        };
        listed || self.event_type.is_some()
    }

    /// What a request brings: `one event`, a list of them and where it is, such as `list at body /events`, or `one or more
    /// by type`.
    #[must_use]
    pub fn brings(&self) -> String {
        self.envelope.to_string()
    }

    /// Where the list of events is in a body of JSON, as a JSON pointer, if events come in one; empty where the body is the list.
    #[must_use]
    pub fn event_list_pointer(&self) -> Option<&str> {
        match &self.envelope {
            Envelope::List(list) if list.form.is_none() => Some(&list.at),
            Envelope::One | Envelope::List(_) | Envelope::ByType => None,
        }
    }

    /// What together tells a listed event from all others, as JSON pointers from the event on; the first is its id. Where there
    /// is none, an event is told by its type and bytes.
    pub fn event_id_pointers(&self) -> impl Iterator<Item = &str> {
        let pointers = match &self.envelope {
            Envelope::List(list) => &*list.id,
            Envelope::One | Envelope::ByType => &[],
        };
        pointers.iter().map(|pointer| &**pointer)
    }

    /// Where an event says when it happened, as a JSON pointer from the event on.
    #[must_use]
    pub fn event_time_pointer(&self) -> Option<&str> {
        self.event_time.as_ref().map(|(pointer, _)| &**pointer)
    }

    /// Where an event's data is, as a JSON pointer from the event on. `None`: the event is its data.
    #[must_use]
    pub fn event_data_pointer(&self) -> Option<&str> {
        self.event_data.as_deref()
    }

    /// What test payloads have, and others have not, as a JSON pointer into the body.
    #[must_use]
    pub fn test_pointer(&self) -> Option<&str> {
        self.test_field.as_deref()
    }
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = match self {
            Self::One => return f.write_str("one event"),
            Self::ByType => return f.write_str("one or more by type"),
            Self::List(list) => list,
        };
        match &list.form {
            Some(name) => write!(f, "list in form {name}")?,
            None => f.write_str("list at body")?,
        }
        if list.at.is_empty() {
            return Ok(());
        }
        write!(f, " {}", list.at)
    }
}
