//! The events in a sender's requests.

use std::fmt;

use super::{Envelope, EventList, Scheme, WholeBody};

impl Scheme {
    /// Returns whether one request may contain several events.
    #[must_use]
    pub fn sends_batches(&self) -> bool {
        self.envelope != Envelope::One
    }

    /// Returns whether each event of a request has its own idempotency key. That is so if a request
    /// may contain several events and all of their bytes are signed.
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

    /// Returns whether each event of a request has an ID that is its idempotency key.
    pub(crate) fn identifies_events(&self) -> bool {
        self.recognises_events() && self.event_id_pointers().next().is_some()
    }

    pub(crate) fn has_event_types(&self) -> bool {
        let listed = match &self.envelope {
            Envelope::One => false,
            Envelope::List(list) => !list.event_type.is_empty(),
            Envelope::ByType => true,
        };
        listed || self.event_type.is_some()
    }

    /// Returns the pointer to the list of events in a JSON body, empty if the body is the list.
    #[must_use]
    pub fn event_list_pointer(&self) -> Option<&str> {
        match &self.envelope {
            Envelope::List(list) if list.form.is_none() => Some(&list.at),
            Envelope::One | Envelope::List(_) | Envelope::ByType => None,
        }
    }

    /// Returns the JSON pointers, from a listed event on, to the values that together identify it.
    /// The first is its ID. If there are none, its type and bytes identify it.
    pub fn event_id_pointers(&self) -> impl Iterator<Item = &str> {
        let pointers = match &self.envelope {
            Envelope::List(list) => &*list.id,
            Envelope::One | Envelope::ByType => &[],
        };
        pointers.iter().map(|pointer| &**pointer)
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
