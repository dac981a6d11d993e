//! The events of FluentCRM, as documented by its withdrawn REST page.
//!
//! Source: [`webhooks.md`](https://github.com/FluentCRM/fluent-crm-developers-docs) of 2025-07-16,
//! which lists 26 events and the data of two of them. No released FluentCRM is known to send them.
//! A released one sends webhooks from an automation step. Their body is a contact, without an event
//! type: read it as a [`Contact`].
//!
//! ```
//! use webhook_verify::payloads::fluentcrm::{Contact, Envelope, Payload};
//!
//! // `Event::data` does the same with a verified event.
//! let body = r#"{"event":"contact.created","timestamp":"2024-01-15T10:30:00Z","webhook_id":1,
//!     "data":{"contact":{"id":123,"email":"user@example.com","status":"subscribed"}}}"#;
//! let envelope = Envelope::from_body(serde_json::from_str(body)?);
//! let Payload::ContactCreated(created) = envelope.data else { panic!("another event") };
//! let contact = created.contact.unwrap();
//! assert_eq!(contact.email.as_deref(), Some("user@example.com"));
//!
//! // The automation step sends a row of the database.
//! let body = r#"{"id":"123","status":"subscribed","custom_field":[]}"#;
//! let contact: Contact = serde_json::from_str(body)?;
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
    /// The data of a FluentCRM event, by its type. See the [module](self).
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
    /// An event of a contact.
    pub struct ContactEvent {
        /// The contact.
        contact: Contact,
    }

    /// A contact, with the fields of the REST page and of the automation step.
    pub struct Contact {
        /// The contact's ID.
        id: Id,
        /// The contact's user in WordPress, if there is one.
        user_id: Id,
        /// A name for the contact that cannot be guessed.
        hash: String,
        /// The user who owns the contact.
        contact_owner: Id,
        /// The contact's company.
        company_id: Id,
        /// Title.
        prefix: String,
        /// First name.
        first_name: String,
        /// Last name.
        last_name: String,
        /// First and last name.
        full_name: String,
        /// Email address.
        email: String,
        /// Time zone.
        timezone: String,
        /// Address.
        address_line_1: String,
        /// Second line of the address.
        address_line_2: String,
        /// Zip code.
        postal_code: String,
        /// City.
        city: String,
        /// State.
        state: String,
        /// Two-letter code of the country.
        country: String,
        /// Phone number.
        phone: String,
        /// Subscription status: `subscribed`, `unsubscribed`, `pending` …
        status: String,
        /// Type of contact, such as `lead`.
        contact_type: String,
        /// Origin of the contact.
        source: String,
        /// URL of a picture.
        photo: String,
        /// Date of birth.
        date_of_birth: String,
        /// Time of creation.
        created_at: String,
        /// Time of the last activity.
        last_activity: String,
        /// Time of the last change.
        updated_at: String,
        /// Custom fields.
        custom_field: Map<String, Value>,
    }

    /// An event of an email.
    pub struct EmailEvent {
        /// The email.
        email: Email,
    }

    /// An email that was sent to a contact.
    pub struct Email {
        /// The email's ID.
        id: Id,
        /// The subject.
        subject: String,
        /// The contact.
        contact_id: Id,
        /// The campaign of the email.
        campaign_id: Id,
        /// The time when the email was opened.
        opened_at: String,
    }

    /// An event of a campaign, a funnel or a shop. Its data is not documented, so all of it is in
    /// `more`.
    pub struct Undocumented {
    }
}

/// The body of a delivery: an event in its envelope.
///
/// One example on the page has a member `signature`, which is kept in `more` and not checked: a
/// body cannot contain its own signature.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Envelope {
    /// The time of the event, in ISO 8601.
    pub timestamp: Option<String>,
    /// The webhook that sent the event.
    pub webhook_id: Option<Id>,
    /// The event.
    pub data: Payload,
    /// All other members as sent.
    pub more: Map<String, Value>,
}

impl Envelope {
    /// Reads the envelope from a body, as `Event::data` does from an event. Use it for bodies from
    /// another source, such as a queue. A body that is not an object becomes [`Payload::Other`].
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

/// Reads the whole event, not only its data.
impl FromEvent for Envelope {
    fn from_event(event: &Event) -> Result<Self, ExtractError> {
        from_json(event.raw(), || event.name()).map(Self::from_body)
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
