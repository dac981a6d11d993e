//! The events of FluentCRM, as its withdrawn REST page documented them.
//!
//! Source: [`webhooks.md`](https://github.com/FluentCRM/fluent-crm-developers-docs) of 2025-07-16, which has 26 events and
//! what two of them say. No released FluentCRM is known to send them. What one sends is an automation step that has a whole
//! contact in its body, without a word on what happened: read that as a [`Contact`].
//!
//! ```
//! use webhook_verify::payloads::fluentcrm::{Contact, Envelope, Payload};
//!
//! // what `Event::data` does with a verified event
//! let body = r#"{"event":"contact.created","timestamp":"2024-01-15T10:30:00Z","webhook_id":1,
//!     "data":{"contact":{"id":123,"email":"user@example.com","status":"subscribed"}}}"#;
//! let envelope = Envelope::from_body(serde_json::from_str(body)?);
//! let Payload::ContactCreated(created) = envelope.data else { panic!("another event") };
//! assert_eq!(created.contact.and_then(|contact| contact.email).as_deref(), Some("user@example.com"));
//!
//! // what the automation step sends: a database's row
//! let contact: Contact = serde_json::from_str(r#"{"id":"123","status":"subscribed","custom_field":[]}"#)?;
//! assert_eq!(contact.id.and_then(|id| id.as_u64()), Some(123));
//! # Ok::<(), serde_json::Error>(())
//! ```

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{
    Id,
    envelope::{self, Parts},
    macros::{events, objects},
};
use crate::delivery::{Event, ExtractError, FromEvent, from_json};

events! {
    /// What a FluentCRM event says, by its type. See the [module](self).
    pub enum Payload by envelope::data {
        /// New contact added.
        ContactCreated = "contact.created": ContactEvent,
        /// Contact information changed.
        ContactUpdated = "contact.updated": ContactEvent,
        /// Contact removed.
        ContactDeleted = "contact.deleted": ContactEvent,
        /// Contact status updated.
        ContactStatusChanged = "contact.status_changed": ContactEvent,
        /// Tag added to contact.
        ContactTagAdded = "contact.tag_added": ContactEvent,
        /// Tag removed from contact.
        ContactTagRemoved = "contact.tag_removed": ContactEvent,
        /// Contact added to list.
        ContactListAdded = "contact.list_added": ContactEvent,
        /// Contact removed from list.
        ContactListRemoved = "contact.list_removed": ContactEvent,
        /// Email successfully sent.
        EmailSent = "email.sent": EmailEvent,
        /// Email opened by recipient.
        EmailOpened = "email.opened": EmailEvent,
        /// Link clicked in email.
        EmailClicked = "email.clicked": EmailEvent,
        /// Email bounced.
        EmailBounced = "email.bounced": EmailEvent,
        /// Spam complaint received.
        EmailSpamComplaint = "email.spam_complaint": EmailEvent,
        /// Contact unsubscribed.
        EmailUnsubscribed = "email.unsubscribed": EmailEvent,
        /// New campaign created.
        CampaignCreated = "campaign.created": Undocumented,
        /// Campaign finished sending.
        CampaignSent = "campaign.sent": Undocumented,
        /// Campaign paused.
        CampaignPaused = "campaign.paused": Undocumented,
        /// Campaign resumed.
        CampaignResumed = "campaign.resumed": Undocumented,
        /// Contact entered funnel.
        FunnelSubscriberAdded = "funnel.subscriber_added": Undocumented,
        /// Contact completed funnel.
        FunnelSubscriberCompleted = "funnel.subscriber_completed": Undocumented,
        /// Contact exited funnel.
        FunnelSubscriberExited = "funnel.subscriber_exited": Undocumented,
        /// Contact completed sequence.
        FunnelSequenceCompleted = "funnel.sequence_completed": Undocumented,
        /// New order placed.
        CommerceOrderCreated = "commerce.order_created": Undocumented,
        /// Order completed.
        CommerceOrderCompleted = "commerce.order_completed": Undocumented,
        /// Order refunded.
        CommerceOrderRefunded = "commerce.order_refunded": Undocumented,
        /// Revenue attributed.
        CommerceRevenueRecorded = "commerce.revenue_recorded": Undocumented,
    }
}

objects! {
    /// What happened to a contact.
    pub struct ContactEvent {
        /// The contact.
        contact: Contact,
    }

    /// A contact, with the fields of the page and of the body that the automation step sends.
    pub struct Contact {
        /// Its id.
        id: Id,
        /// Its user in WordPress, if it has one.
        user_id: Id,
        /// A name for it that cannot be guessed.
        hash: String,
        /// The user who looks after it.
        contact_owner: Id,
        /// Its company.
        company_id: Id,
        /// Title.
        prefix: String,
        /// First name.
        first_name: String,
        /// Last name.
        last_name: String,
        /// Both.
        full_name: String,
        /// Email address.
        email: String,
        /// Time zone.
        timezone: String,
        /// Address.
        address_line_1: String,
        /// The address's second line.
        address_line_2: String,
        /// Zip code.
        postal_code: String,
        /// City.
        city: String,
        /// State.
        state: String,
        /// Country, as two letters.
        country: String,
        /// Phone number.
        phone: String,
        /// Whether it is written to: `subscribed`, `unsubscribed`, `pending` …
        status: String,
        /// What it is, such as `lead`.
        contact_type: String,
        /// Where it came from.
        source: String,
        /// Where a picture of it is.
        photo: String,
        /// Date of birth.
        date_of_birth: String,
        /// When it was created.
        created_at: String,
        /// When it last did something.
        last_activity: String,
        /// When it was changed last.
        updated_at: String,
        /// Its fields of the user's own.
        custom_field: Map<String, Value>,
    }

    /// What happened to an email.
    pub struct EmailEvent {
        /// The email.
        email: Email,
    }

    /// An email that was sent to a contact.
    pub struct Email {
        /// Its id.
        id: Id,
        /// Its subject.
        subject: String,
        /// The contact.
        contact_id: Id,
        /// The campaign that it is of.
        campaign_id: Id,
        /// When it was opened.
        opened_at: String,
    }

    /// What happened to a campaign, in a funnel or in a shop. The page says nothing of it, so all is in `more`.
    pub struct Undocumented {
    }
}

/// The body of a delivery: an event with what is said of it.
///
/// A `signature` in it, as in one example of the page, is in `more`: a body cannot hold its own signature, and nothing looks
/// at it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Envelope {
    /// When it happened, in ISO 8601.
    pub timestamp: Option<String>,
    /// The webhook that it was sent by.
    pub webhook_id: Option<Id>,
    /// What happened.
    pub data: Payload,
    /// All else that was sent, as it was.
    pub more: Map<String, Value>,
}

impl Envelope {
    /// The envelope that a body is: what `Event::data` makes of an event, for a body that is known otherwise, such as from a
    /// queue. A body that is no object is in [`Payload::Other`].
    #[must_use]
    pub fn from_body(body: Value) -> Self {
        let mut parts = Parts::from(body);
        Self {
            timestamp: parts.take("timestamp"),
            webhook_id: parts.take("webhook_id"),
            data: parts.payload("event", Payload::from_parts),
            more: parts.rest(),
        }
    }
}

/// Reads the event whole, and not its data alone.
impl FromEvent for Envelope {
    fn from_event(event: &Event) -> Result<Self, ExtractError> {
        from_json(event.raw()).map(Self::from_body)
    }
}

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = Parts::new(&self.more);
        parts.put("event", self.data.event_type())?;
        parts.put("timestamp", self.timestamp.as_ref())?;
        parts.put("webhook_id", self.webhook_id.as_ref())?;
        parts.put("data", Some(&self.data))?;
        parts.write(serializer)
    }
}
