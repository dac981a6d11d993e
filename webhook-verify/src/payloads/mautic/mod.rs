//! The events of Mautic.
//!
//! Sources: the [developer documentation][docs] for names and fields; the code of Mautic 4.4 and 5 (`WebhookBundle`, and the
//! `WebhookSubscriber` of each bundle) for `mautic.lead_list_change`, for the members of a deleted contact, and for `stat`.
//! Plugins add event types of their own, which are [`Other`](Payload::Other).
//!
//! ```
//! use webhook_verify::payloads::mautic::Payload;
//!
//! // what `Event::data` does with a verified event
//! let data = serde_json::json!({
//!     "contact": {"id": 52, "fields": {"core": {"email": {"id": "6", "value": "zoe@example.test"}}, "social": []}},
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
//! The payloads of the button "Send Test Payload" are events like others, some of them without a timestamp:
//! [`Delivery::is_test`](crate::Delivery::is_test) tells them. One of them, that of a deleted contact, is in the list of its
//! type twice, and is taken out of both.
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
    /// What a Mautic event says, by its type. See the [module](self).
    pub enum Payload by whole {
        /// [Contact identified](https://devdocs.mautic.org/en/latest/webhooks/events/lead_post_save_new.html): it is known
        /// who a contact is. That is not when it was created: a visitor was a contact before.
        LeadIdentified = "mautic.lead_post_save_new": LeadSaved,
        /// [Contact updated](https://devdocs.mautic.org/en/latest/webhooks/events/lead_post_save_update.html).
        LeadUpdated = "mautic.lead_post_save_update": LeadSaved,
        /// [Contact points changed](https://devdocs.mautic.org/en/latest/webhooks/events/lead_points_change.html).
        PointsChanged = "mautic.lead_points_change": PointsChanged,
        /// [Contact deleted](https://devdocs.mautic.org/en/latest/webhooks/events/lead_post_delete.html).
        LeadDeleted = "mautic.lead_post_delete": LeadDeleted,
        /// [Contact channel subscription changed](https://devdocs.mautic.org/en/latest/webhooks/events/lead_channel_subscription_changed.html).
        ChannelSubscriptionChanged = "mautic.lead_channel_subscription_changed": ChannelSubscriptionChanged,
        /// [Contact added to a company or removed](https://devdocs.mautic.org/en/latest/webhooks/events/lead_company_change.html).
        LeadCompanyChanged = "mautic.lead_company_change": LeadCompanyChanged,
        /// Contact added to a segment or removed. Of the code: it is not documented.
        LeadSegmentChanged = "mautic.lead_list_change": LeadSegmentChanged,
        /// [Company created or updated](https://devdocs.mautic.org/en/latest/webhooks/events/company_post_save.html).
        CompanySaved = "mautic.company_post_save": CompanySaved,
        /// [Company deleted](https://devdocs.mautic.org/en/latest/webhooks/events/company_post_delete.html).
        CompanyDeleted = "mautic.company_post_delete": CompanyDeleted,
        /// [Email sent](https://devdocs.mautic.org/en/latest/webhooks/events/email_on_send.html).
        EmailSent = "mautic.email_on_send": EmailSent,
        /// [Email opened](https://devdocs.mautic.org/en/latest/webhooks/events/email_on_open.html), as far as can be told.
        EmailOpened = "mautic.email_on_open": EmailOpened,
        /// [Form submitted](https://devdocs.mautic.org/en/latest/webhooks/events/form_on_submit.html).
        FormSubmitted = "mautic.form_on_submit": FormSubmitted,
        /// [Page visited](https://devdocs.mautic.org/en/latest/webhooks/events/page_on_hit.html).
        PageHit = "mautic.page_on_hit": PageHit,
        /// [Text message sent](https://devdocs.mautic.org/en/latest/webhooks/events/sms_on_send.html).
        TextSent = "mautic.sms_on_send": TextSent,
    }
}

impl Payload {
    /// The contact that the event is about, if it is about one and says which.
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
    /// A contact, identified or updated.
    pub struct LeadSaved {
        /// The contact as it is now.
        contact: Contact,
        /// When it happened, in ISO 8601.
        timestamp: String,
    }

    /// A contact whose points changed.
    pub struct PointsChanged {
        /// The contact.
        contact: Contact,
        /// The points.
        points: Points,
        /// When it happened, in ISO 8601.
        timestamp: String,
    }

    /// Points before and after.
    pub struct Points {
        /// Before.
        old_points: i64,
        /// After.
        new_points: i64,
    }

    /// A contact that was deleted.
    pub struct LeadDeleted {
        /// The contact's id.
        id: Id,
        /// The contact as it was, without its id. The documentation calls it `company`: see [`contact`](Self::contact).
        contact: Contact,
        /// The contact, as the documentation has it.
        company: Contact,
        /// When it happened, in ISO 8601.
        timestamp: String,
    }

    /// A contact that may be, or may no longer be, written to on a channel.
    pub struct ChannelSubscriptionChanged {
        /// The contact.
        contact: Contact,
        /// The channel: `email`, `sms`.
        channel: String,
        /// Before: `contactable`, `bounced`, `manual` or `unsubscribed`.
        old_status: String,
        /// After: one of the same.
        new_status: String,
        /// When it happened, in ISO 8601.
        timestamp: String,
    }

    /// A contact that was added to a company or removed from it.
    pub struct LeadCompanyChanged {
        /// Whether it was added.
        added: bool,
        /// The contact.
        contact: Contact,
        /// The company.
        company: Company,
        /// When it happened, in ISO 8601.
        timestamp: String,
    }

    /// A contact that was added to a segment or removed from it.
    pub struct LeadSegmentChanged {
        /// The contact.
        contact: Contact,
        /// The segment.
        segment: Segment,
        /// `added` or `removed`.
        action: String,
        /// When it happened, in ISO 8601.
        timestamp: String,
    }

    /// A segment, which is a list in Mautic's code.
    pub struct Segment {
        /// Its id.
        id: Id,
        /// Its name.
        name: String,
        /// What contacts see.
        public_name "publicName": String,
        /// Its name in the API.
        alias: String,
        /// What it is for.
        description: String,
        /// Its category.
        category: Category,
        /// Who created it.
        created_by_user "createdByUser": String,
        /// Who changed it last.
        modified_by_user "modifiedByUser": String,
        /// Whether others than its owner see it.
        is_global "isGlobal": bool,
        /// Whether contacts can choose it.
        is_preference_center "isPreferenceCenter": bool,
        /// What contacts have to be to be in it.
        filters: Value,
    }

    /// A company that was created or updated.
    pub struct CompanySaved {
        /// The company as it is now.
        company: Company,
        /// When it happened, in ISO 8601.
        timestamp: String,
    }

    /// A company that was deleted.
    pub struct CompanyDeleted {
        /// The company's id.
        id: Id,
        /// The company as it was, without its id.
        company: Company,
        /// When it happened, in ISO 8601.
        timestamp: String,
    }

    /// A text message that was sent.
    pub struct TextSent {
        /// The message's id.
        sms_id "smsId": Id,
        /// Whom it was sent to.
        contact: Contact,
        /// What was sent.
        content: String,
        /// When it happened, in ISO 8601.
        timestamp: String,
    }
}

impl LeadDeleted {
    /// The contact as it was, by the name that the code gives it or by that of the documentation.
    #[must_use]
    pub fn contact(&self) -> Option<&Contact> {
        self.contact.as_ref().or(self.company.as_ref())
    }
}

/// A contact's or company's field by its name: in its groups, `core` first, or beside them.
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

/// There is no envelope around the elements of Mautic's lists.
fn whole(event: &Event) -> Result<Result<Value, Value>, ExtractError> {
    let mut whole: Value = from_json(event.raw())?;
    let event_type = event.event_type();
    let inner = event_type.and_then(|event_type| listed_again(&mut whole, &event_type));
    Ok(Ok(inner.unwrap_or(whole)))
}

/// The test payload of a deleted contact is in the list, and under the key, of its type once more.
fn listed_again(element: &mut Value, event_type: &str) -> Option<Value> {
    let is_known = Payload::EVENT_TYPES.contains(&event_type);
    let object = element.as_object_mut();
    let object = object.filter(|object| is_known && object.len() == 1)?;
    let list = object.get_mut(event_type)?.as_array_mut()?;
    (list.len() == 1).then(|| list.swap_remove(0))
}
