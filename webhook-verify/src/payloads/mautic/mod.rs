//! The events of Mautic.
//!
//! Sources: the [developer documentation][docs] for names and fields; the code of Mautic 4.4 and 5
//! (`WebhookBundle`, and the `WebhookSubscriber` of each bundle) for `mautic.lead_list_change`, for
//! the members of a deleted contact, and for `stat`. Plugins add event types of their own, which
//! are [`Other`](Payload::Other).
//!
//! ```
//! use webhook_verify::payloads::mautic::Payload;
//!
//! // `Event::data` does the same with a verified event.
//! let core = serde_json::json!({"email": {"id": "6", "value": "zoe@example.test"}});
//! let data = serde_json::json!({
//!     "contact": {"id": 52, "fields": {"core": core, "social": []}},
//!     "points": {"old_points": 0, "new_points": "10"},
//!     "timestamp": "2026-11-21T23:58:30+01:00",
//! });
//! let payload = Payload::from_parts(Some("mautic.lead_points_change"), data);
//!
//! assert_eq!(payload.contact().and_then(|contact| contact.email()), Some("zoe@example.test"));
//! let Payload::PointsChanged(change) = payload else { panic!("{payload:?}") };
//! assert_eq!(change.points.and_then(|points| points.new_points), Some(10));
//! ```
//!
//! The button "Send Test Payload" sends events like others, some of them without a timestamp.
//! [`Delivery::is_test`](crate::Delivery::is_test) detects them. One of them, a deleted contact, is
//! wrapped twice in the list of its type; the payload is the inner object.
//!
//! [docs]: https://devdocs.mautic.org/en/latest/webhooks/events/index.html

mod contact;
mod email;
mod visit;

use serde_json::{Map, Value};

pub use self::{
    contact::{Company, Contact, DoNotContact, IpAddress, Tag, User},
    email::{Category, Email, EmailOpened, EmailSent, Stat},
    visit::{Form, FormSubmitted, Hit, Page, PageHit, Submission},
};
use super::{
    Id,
    macros::{events, objects},
};
use crate::delivery::{Event, ExtractError, from_json};

events! {
    /// The data of a Mautic event, by its type. See the [module](self).
    ///
    /// Mautic's [documentation](https://devdocs.mautic.org/en/latest/webhooks/events/index.html)
    /// has a page for each documented event, named like its type: `lead_post_save_new.html` and so
    /// on.
    pub enum Payload by whole {
        /// Contact identified. This is not the creation of the contact: an unidentified visitor is
        /// a contact already.
        LeadIdentified = "mautic.lead_post_save_new": LeadSaved,
        /// Contact updated.
        LeadUpdated = "mautic.lead_post_save_update": LeadSaved,
        /// Contact points changed.
        PointsChanged = "mautic.lead_points_change": PointsChanged,
        /// Contact deleted.
        LeadDeleted = "mautic.lead_post_delete": LeadDeleted,
        /// Contact channel subscription changed.
        ChannelSubscriptionChanged =
            "mautic.lead_channel_subscription_changed": ChannelSubscriptionChanged,
        /// Contact added to a company or removed.
        LeadCompanyChanged = "mautic.lead_company_change": LeadCompanyChanged,
        /// Contact added to a segment or removed. From Mautic's code; not documented.
        LeadSegmentChanged = "mautic.lead_list_change": LeadSegmentChanged,
        /// Company created or updated.
        CompanySaved = "mautic.company_post_save": CompanySaved,
        /// Company deleted.
        CompanyDeleted = "mautic.company_post_delete": CompanyDeleted,
        /// Email sent.
        EmailSent = "mautic.email_on_send": EmailSent,
        /// Email opened, as far as Mautic can detect it.
        EmailOpened = "mautic.email_on_open": EmailOpened,
        /// Form submitted.
        FormSubmitted = "mautic.form_on_submit": FormSubmitted,
        /// Page visited.
        PageHit = "mautic.page_on_hit": PageHit,
        /// Text message sent.
        TextSent = "mautic.sms_on_send": TextSent,
    }
}

impl Payload {
    /// Returns the event's contact, if there is one.
    #[must_use]
    pub fn contact(&self) -> Option<&Contact> {
        match self {
            Self::LeadIdentified(event) | Self::LeadUpdated(event) => event.contact.as_ref(),
            Self::PointsChanged(event) => event.contact.as_ref(),
            Self::LeadDeleted(event) => event.contact(),
            Self::ChannelSubscriptionChanged(event) => event.contact.as_ref(),
            Self::LeadCompanyChanged(event) => event.contact.as_ref(),
            Self::LeadSegmentChanged(event) => event.contact.as_ref(),
            Self::EmailSent(event) => event.contact.as_ref(),
            Self::EmailOpened(event) => event.contact(),
            Self::FormSubmitted(event) => event.submission.as_ref()?.lead.as_ref(),
            Self::PageHit(event) => event.hit.as_ref()?.lead.as_ref(),
            Self::TextSent(event) => event.contact.as_ref(),
            Self::CompanySaved(_) | Self::CompanyDeleted(_) | Self::Other { .. } => None,
        }
    }
}

objects! {
    /// A contact that was identified or updated.
    pub struct LeadSaved {
        /// The contact after the change.
        contact: Contact,
        /// The time of the event, in ISO 8601.
        timestamp: String,
    }

    /// A contact whose points changed.
    pub struct PointsChanged {
        /// The contact.
        contact: Contact,
        /// The points before and after.
        points: Points,
        /// The time of the event, in ISO 8601.
        timestamp: String,
    }

    /// Points before and after.
    pub struct Points {
        /// The points before.
        old_points: i64,
        /// The points after.
        new_points: i64,
    }

    /// A contact that was deleted.
    pub struct LeadDeleted {
        /// The contact's ID.
        id: Id,
        /// The contact before its deletion, without its ID. The documentation has it in `company`:
        /// see [`contact`](Self::contact).
        contact: Contact,
        /// The contact, in the documentation.
        company: Contact,
        /// The time of the event, in ISO 8601.
        timestamp: String,
    }

    /// A contact whose subscription of a channel changed.
    pub struct ChannelSubscriptionChanged {
        /// The contact.
        contact: Contact,
        /// The channel: `email`, `sms`.
        channel: String,
        /// The status before: `contactable`, `bounced`, `manual` or `unsubscribed`.
        old_status: String,
        /// The status after, one of the same.
        new_status: String,
        /// The time of the event, in ISO 8601.
        timestamp: String,
    }

    /// A contact that was added to a company or removed from it.
    pub struct LeadCompanyChanged {
        /// Whether the contact was added, rather than removed.
        added: bool,
        /// The contact.
        contact: Contact,
        /// The company.
        company: Company,
        /// The time of the event, in ISO 8601.
        timestamp: String,
    }

    /// A contact that was added to a segment or removed from it.
    pub struct LeadSegmentChanged {
        /// The contact.
        contact: Contact,
        /// The segment.
        segment: Segment,
        /// The action: `added` or `removed`.
        action: String,
        /// The time of the event, in ISO 8601.
        timestamp: String,
    }

    /// A segment; Mautic's code calls it a list.
    pub struct Segment {
        /// The segment's ID.
        id: Id,
        /// The name.
        name: String,
        /// The name that contacts see.
        public_name "publicName": String,
        /// The name in the API.
        alias: String,
        /// The description.
        description: String,
        /// The category.
        category: Category,
        /// The name of the user who created the segment.
        created_by_user "createdByUser": String,
        /// The name of the user who changed the segment last.
        modified_by_user "modifiedByUser": String,
        /// Whether users other than the owner see the segment.
        is_global "isGlobal": bool,
        /// Whether contacts can choose the segment.
        is_preference_center "isPreferenceCenter": bool,
        /// The conditions that contacts in the segment meet.
        filters: Value,
    }

    /// A company that was created or updated.
    pub struct CompanySaved {
        /// The company after the change.
        company: Company,
        /// The time of the event, in ISO 8601.
        timestamp: String,
    }

    /// A company that was deleted.
    pub struct CompanyDeleted {
        /// The company's ID.
        id: Id,
        /// The company before its deletion, without its ID.
        company: Company,
        /// The time of the event, in ISO 8601.
        timestamp: String,
    }

    /// A text message that was sent.
    pub struct TextSent {
        /// The message's ID.
        sms_id "smsId": Id,
        /// The recipient.
        contact: Contact,
        /// The text.
        content: String,
        /// The time of the event, in ISO 8601.
        timestamp: String,
    }
}

impl LeadDeleted {
    /// Returns the contact before its deletion, from `contact` (in the code) or `company` (in the
    /// documentation).
    #[must_use]
    pub fn contact(&self) -> Option<&Contact> {
        self.contact.as_ref().or(self.company.as_ref())
    }
}

/// Returns the value of a contact's or company's field from the groups, of which `core` is first. A
/// field is an object with a `value`, or the value itself.
fn field<'a>(groups: Option<&'a Map<String, Value>>, alias: &str) -> Option<&'a Value> {
    let groups = groups?;
    let core = groups.get("core").into_iter();
    let mut groups = core.chain(groups.values());
    let field = groups.find_map(|group| group.get(alias))?;
    match field.get("value") {
        Some(value) => Some(value),
        None => Some(field).filter(|field| !field.is_object()),
    }
}

/// Returns the whole event, because the elements of Mautic's lists have no envelope.
fn whole(event: &Event) -> Result<Result<Value, Value>, ExtractError> {
    let mut whole: Value = from_json(event.raw(), || event.name())?;
    let event_type = event.event_type();
    let inner = event_type.and_then(|event_type| listed_again(&mut whole, &event_type));
    Ok(Ok(inner.unwrap_or(whole)))
}

/// Returns the inner object of the test payload of a deleted contact, which is wrapped in a second
/// list under a second key of its type.
fn listed_again(element: &mut Value, event_type: &str) -> Option<Value> {
    let is_known = Payload::EVENT_TYPES.contains(&event_type);
    let object = element.as_object_mut();
    let object = object.filter(|object| is_known && object.len() == 1)?;
    let list = object.get_mut(event_type)?.as_array_mut()?;
    (list.len() == 1).then(|| list.swap_remove(0))
}
