//! Verified deliveries, and the events in them.

mod error;
mod event;
mod events;
mod extract;
mod filter;
#[cfg(feature = "multipart")]
pub(crate) mod multipart;
mod pattern;
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
    scheme::{Field, Scheme},
};

#[cfg(feature = "payloads")]
pub(crate) use self::extract::from_json;
pub use self::{
    error::EventsError,
    event::{Event, FromEvent},
    events::{Batch, Events, FromDelivery, Iter},
    extract::ExtractError,
    pattern::matches,
    topic::matches_topic,
};
pub(crate) use self::{event::MAX_EVENTS, events::COMPLETED, filter::Filter};

/// The longest id that is accepted, in bytes.
pub(crate) const MAX_ID_LEN: usize = 1024;

/// A verified request body. It exists only where a signature held over these very bytes (or, for a token scheme, where
/// they came with a live token), so whoever has one need not check anything again.
///
/// There is no other way to make one than [`Verifier`](crate::Verifier):
///
/// ```compile_fail
/// let forged = webhook_verify::Delivery { body: "{}".into() };
/// ```
#[derive(Clone)]
#[must_use]
pub struct Delivery {
    pub(crate) body: Bytes,
    pub(crate) scheme: Arc<Scheme>,
    /// Out of headers; empty where the scheme has them elsewhere.
    pub(crate) id: Label,
    pub(crate) event_type: Label,
    pub(crate) timestamp: Option<Duration>,
    pub(crate) secret_index: usize,
    /// Where it is what the delivery is recognised by.
    pub(crate) content_digest: Option<Box<[u8; 32]>>,
    /// How many events there may be.
    pub(crate) max_events: usize,
    /// Those that are left to do, where each has a claim of its own or some were filtered out.
    pub(crate) events: Option<Arc<[Event]>>,
    pub(crate) claim: Option<Claim>,
    pub(crate) namespace: Option<Arc<str>>,
}

/// A header's value. Most fit without an allocation.
#[derive(Clone, Default)]
pub(crate) struct Label(SmallVec<[u8; 40]>);

impl Label {
    /// Stays empty where there is no value, or one that is too long to be a label.
    pub(crate) fn set(&mut self, value: Option<&[u8]>) {
        if let Some(value) = value.filter(|value| value.len() <= MAX_ID_LEN) {
            self.0 = SmallVec::from_slice(value);
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, where it is one and not empty.
    pub(crate) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok().filter(|text| !text.is_empty())
    }
}

impl Delivery {
    /// The body as it came off the wire. Of a sender who puts several events into one request it holds them all, also those
    /// that are done or that were filtered out: what is left to do is in [`events`](Self::events).
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The sender's id of this delivery (or of its event), if the scheme knows where it is.
    ///
    /// Whether it is signed is the scheme's affair ([`Scheme::id_is_signed`]); an unsigned one is a label for logs.
    /// Where it is in the body, the body is read for it at each call.
    #[must_use]
    pub fn id(&self) -> Option<Cow<'_, str>> {
        self.field(self.scheme.id.as_ref(), &self.id).filter(|id| id.len() <= MAX_ID_LEN)
    }

    /// What happened, in the sender's words, if the scheme knows where it is said.
    ///
    /// Out of the signed body where the sender has it there; an event header is not signed.
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

    /// The signed timestamp, as time since the Unix epoch, where the scheme has one.
    #[must_use]
    pub fn timestamp(&self) -> Option<Duration> {
        self.timestamp
    }

    /// Which of the live secrets the signature holds for, counted from 0 in the order they were given. Anything but 0
    /// late in a rotation shows a sender that still uses an old secret.
    #[must_use]
    pub fn secret_index(&self) -> usize {
        self.secret_index
    }

    /// The scheme that the delivery was verified by.
    #[must_use]
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The claim under which the handler runs, where deliveries are deduplicated and this one has an identity. `None` where
    /// each of its [events](Self::events) has [one of its own](crate::Event::claim).
    #[must_use]
    pub fn claim(&self) -> Option<&Claim> {
        self.claim.as_ref()
    }

    /// The namespace of the tenant that the delivery is for, where the receiver has tenants.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    pub(crate) fn body_digest(&self) -> [u8; 32] {
        Sha256::digest(&self.body).into()
    }

    /// The id, where it is under the signature.
    #[must_use]
    pub fn signed_id(&self) -> Option<Cow<'_, str>> {
        self.id().filter(|id| self.scheme.id_is_signed() && !id.is_empty())
    }
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
    /// Without the body.
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
