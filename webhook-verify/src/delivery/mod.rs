//! Verified deliveries, and the events in them.

mod error;
mod event;
mod events;
mod extract;
mod filter;
#[cfg(any(feature = "actix", feature = "axum"))]
mod frameworks;
#[cfg(feature = "multipart")]
pub(crate) mod multipart;
mod pattern;
mod reason;
mod routes;
mod split;
mod topic;

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use smallvec::SmallVec;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::claim::{Claimed, sql::Sealed};
use crate::{
    claim::Claim,
    request::json,
    scheme::{Field, Proof, Scheme, Text},
};

#[cfg(any(feature = "payloads", feature = "postgres", feature = "sqlite"))]
pub(crate) use self::extract::from_json;
pub use self::{
    error::EventsError,
    event::{Event, FromEvent},
    events::{Batch, Events, FromDelivery, Iter},
    extract::{EventName, ExtractError},
    pattern::matches,
    routes::Routes,
    topic::matches_topic,
};
pub(crate) use self::{event::MAX_EVENTS, events::COMPLETED, filter::Filter};

/// The maximum length of an ID, in bytes.
pub(crate) const MAX_ID_LEN: usize = 1024;

/// A verified request: its signature matches or, with a token scheme, it contains a live token. The
/// signature covers the body only if the [scheme signs it](Scheme::signs_body).
///
/// Only a [`Verifier`](crate::Verifier) creates deliveries:
///
/// ```compile_fail
/// let forged = webhook_verify::Delivery { body: "{}".into() };
/// ```
#[derive(Clone)]
#[must_use]
pub struct Delivery {
    pub(crate) body: Bytes,
    pub(crate) scheme: Arc<Scheme>,
    /// From a header. Empty if the scheme has the ID elsewhere.
    pub(crate) id: Label,
    pub(crate) event_type: Label,
    pub(crate) timestamp: Option<Duration>,
    pub(crate) secret_index: usize,
    /// The body was in a field of a form.
    pub(crate) was_in_form: bool,
    /// The digest of the signed content, if the idempotency key may be made of it.
    pub(crate) content_digest: Option<Box<[u8; 32]>>,
    /// The digest of the headers with the ID and the event type, if they do not fit into labels.
    pub(crate) odd_labels: Option<Box<[u8; 32]>>,
    /// The maximum number of events.
    pub(crate) max_events: usize,
    /// The events that are left to do, if each has its own claim or some were filtered out.
    pub(crate) events: Option<Arc<[Event]>>,
    pub(crate) claim: Option<Claim>,
    pub(crate) namespace: Option<Arc<str>>,
}

/// A header's value. Most values need no allocation.
#[derive(Clone, Default)]
pub(crate) struct Label(SmallVec<[u8; 40]>);

impl Label {
    /// Sets the value. An absent or too long one is ignored.
    pub(crate) fn set(&mut self, value: Option<&[u8]>) {
        if let Some(value) = value.filter(|value| value.len() <= MAX_ID_LEN) {
            self.0 = SmallVec::from_slice(value);
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the text, if it is UTF-8 and not empty.
    pub(crate) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok().filter(|text| !text.is_empty())
    }
}

impl Delivery {
    /// Returns the body. A compressed body is decoded if the scheme defines [which bytes are
    /// signed](crate::scheme::SignedBytes). If the JSON was [in a form](Self::was_in_form), the
    /// body is the JSON alone. Otherwise, the body is as received.
    ///
    /// The body contains all events, even completed and filtered ones. [`events`](Self::events)
    /// returns the remaining ones.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the sender's ID of this delivery, or of its event, if the scheme defines one.
    ///
    /// An ID that is not [signed](Scheme::id_is_signed) is only a label for logs. If the ID is in
    /// the body, each call parses the body.
    #[must_use]
    pub fn id(&self) -> Option<Cow<'_, str>> {
        self.field(self.scheme.id.as_ref(), &self.id).filter(|id| id.len() <= MAX_ID_LEN)
    }

    /// Returns the sender's name for what happened, if the scheme defines where it is.
    ///
    /// An event type from a header is not signed: see [`Scheme::event_type_is_signed`].
    #[must_use]
    pub fn event_type(&self) -> Option<Cow<'_, str>> {
        self.field(self.scheme.event_type.as_ref(), &self.event_type)
    }

    fn field<'a>(&'a self, field: Option<&Field>, label: &'a Label) -> Option<Cow<'a, str>> {
        match field? {
            Field::Header(_) => label.text().map(Cow::Borrowed),
            Field::Pointer(pointer) => json::scalar(&self.body, pointer).ok()?,
            Field::FirstKey => json::first_key(&self.body),
        }
    }

    /// Returns whether the body was in a [form field]. Its content type is then `application/json`,
    /// not that of the request.
    ///
    /// [form field]: crate::scheme::SchemeBuilder::json_in_form
    #[must_use]
    pub fn was_in_form(&self) -> bool {
        self.was_in_form
    }

    /// Returns the signed timestamp, as time since the Unix epoch, if the scheme has one.
    #[must_use]
    pub fn timestamp(&self) -> Option<Duration> {
        self.timestamp
    }

    /// Returns the index of the live secret that verified the delivery, counted from 0 in the order
    /// in which they were given. Late in a rotation, an index above 0 shows a sender that still
    /// uses an old secret.
    #[must_use]
    pub fn secret_index(&self) -> usize {
        self.secret_index
    }

    /// Returns the scheme that verified the delivery.
    #[must_use]
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Returns the part of the request that the signature covers. Do not trust the rest.
    #[must_use]
    pub fn proof(&self) -> Proof {
        self.scheme.proof()
    }

    /// Returns the claim under which the handler runs, if the receiver has idempotency and the
    /// delivery an idempotency key. `None` if each of its [events](Self::events) has
    /// [its own claim](crate::Event::claim).
    #[must_use]
    pub fn claim(&self) -> Option<&Claim> {
        self.claim.as_ref()
    }

    /// Returns the namespace of the delivery's tenant, if the receiver has tenants.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Returns the delivery ID and the event type in headers, for an idempotency key.
    pub(crate) fn labels(&self) -> Vec<u8> {
        self.labels_of(&[(&self.scheme.id, &self.id), (&self.scheme.event_type, &self.event_type)])
    }

    /// Returns the event type in an unsigned header, for an idempotency key with a signed ID:
    /// otherwise an attacker who is faster than the sender could run its event under another type.
    pub(crate) fn type_label(&self) -> Vec<u8> {
        match self.scheme.event_type_is_signed() {
            true => Vec::new(),
            false => self.labels_of(&[(&self.scheme.event_type, &self.event_type)]),
        }
    }

    fn labels_of(&self, fields: &[(&Option<Field>, &Label)]) -> Vec<u8> {
        let mut labels = Vec::new();
        for (field, label) in fields {
            if let Some(Field::Header(_)) = field {
                labels.extend((label.as_bytes().len() as u64).to_be_bytes());
                labels.extend(label.as_bytes());
            }
        }
        if !labels.is_empty() {
            labels.extend(self.odd_labels.iter().flat_map(|digest| **digest));
        }
        labels
    }

    /// Returns the values of the scheme's identity fields as an unambiguous key, if the body has all
    /// of them.
    pub(crate) fn identity_fields(&self) -> Option<Vec<u8>> {
        values_at(&self.body, &self.scheme.identity_fields)
    }

    pub(crate) fn body_digest(&self) -> [u8; 32] {
        Sha256::digest(&self.body).into()
    }

    /// Returns the ID, if it is signed and not empty.
    #[must_use]
    pub fn signed_id(&self) -> Option<Cow<'_, str>> {
        self.id().filter(|id| self.scheme.id_is_signed() && !id.is_empty())
    }
}

/// Returns the values at these pointers, each with its length before it. Returns `None` if there
/// are no pointers, or if a value is absent or empty.
fn values_at(json: &[u8], pointers: &[Text]) -> Option<Vec<u8>> {
    if pointers.is_empty() {
        return None;
    }
    let mut values = Vec::new();
    for pointer in pointers {
        let value = json::scalar(json, pointer).ok()?.filter(|value| !value.is_empty())?;
        values.extend((value.len() as u64).to_be_bytes());
        values.extend(value.as_bytes());
    }
    Some(values)
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl Sealed for Delivery {}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl Claimed for Delivery {
    fn claim(&self) -> Option<&Claim> {
        self.claim()
    }
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl Sealed for Event {}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl Claimed for Event {
    fn claim(&self) -> Option<&Claim> {
        self.claim()
    }
}

impl fmt::Debug for Delivery {
    /// Omits the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("scheme", &self.scheme.name())
            .field("body_len", &self.body.len())
            .field("timestamp", &self.timestamp)
            .field("secret_index", &self.secret_index)
            .field("claim", &self.claim)
            .finish_non_exhaustive()
    }
}
