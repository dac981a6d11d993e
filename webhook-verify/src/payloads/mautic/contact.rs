//! The contacts and companies of Mautic's events.

use serde_json::{Map, Value};

use super::{
    super::{Id, List},
    field, objects,
};

objects! {
    /// A [contact](https://devdocs.mautic.org/en/latest/webhooks/events/lead_post_save_new.html),
    /// which the names of events call `lead`.
    pub struct Contact {
        /// The contact's ID; `None` after its deletion.
        id: Id,
        /// Always `true`.
        is_published "isPublished": bool,
        /// The time of creation.
        date_added "dateAdded": String,
        /// The user who created the contact.
        created_by "createdBy": Id,
        /// The name of that user.
        created_by_user "createdByUser": String,
        /// The time of identification; `None` for an unidentified visitor.
        date_identified "dateIdentified": String,
        /// The time of the last change.
        date_modified "dateModified": String,
        /// The user who made the last change.
        modified_by "modifiedBy": Id,
        /// The name of that user.
        modified_by_user "modifiedByUser": String,
        /// The number of points.
        points: i64,
        /// The colour of these points, in hex.
        color: String,
        /// The fields by name, in groups (`core`, `social`, `personal`, `professional`): see
        /// [`field`](Self::field).
        fields: Map<String, Value>,
        /// The time of the last activity.
        last_active "lastActive": String,
        /// The user who owns the contact.
        owner: User,
        /// The contact's IP addresses. The keys of the list are addresses as well.
        ip_addresses "ipAddresses": List<IpAddress>,
        /// The tags.
        tags: List<Tag>,
        /// UTM tags. According to the documentation, webhooks omit them.
        utm_tags "utmtags": Value,
        /// The stage.
        stage: Value,
        /// The preferred source of the picture, such as `gravatar`.
        preferred_profile_image "preferredProfileImage": String,
        /// The channels that must not be used.
        do_not_contact "doNotContact": List<DoNotContact>,
        /// The limits on messages to the contact. According to the documentation, webhooks omit
        /// them.
        frequency_rules "frequencyRules": Value,
    }

    /// A user of Mautic.
    pub struct User {
        /// The user's ID.
        id: Id,
        /// The login name.
        username: String,
        /// First name, as sent: see [`first_name`](Self::first_name).
        first_name "firstName": String,
        /// Last name, as sent: see [`last_name`](Self::last_name).
        last_name "lastName": String,
        /// First name, in the documentation.
        firstname: String,
        /// Last name, in the documentation.
        lastname: String,
    }

    /// An IP address.
    pub struct IpAddress {
        /// The address's ID.
        id: Id,
        /// The address: see [`address`](Self::address).
        ip_address "ipAddress": String,
        /// The address, in test payloads.
        ip: String,
        /// The result of the configured look-up service: `city`, `region`, `latitude` …
        ip_details "ipDetails": Map<String, Value>,
    }

    /// A tag.
    pub struct Tag {
        /// The tag's ID.
        id: Id,
        /// The tag's name.
        tag: String,
    }

    /// A channel that must not be used for a contact.
    pub struct DoNotContact {
        /// The entry's ID.
        id: Id,
        /// The reason: 1 unsubscribed, 2 bounced, 3 set by a user.
        reason: i64,
        /// The channel: `email`, `sms`.
        channel: String,
        /// The message from which the contact unsubscribed.
        channel_id "channelId": Id,
        /// The comments.
        comments: String,
    }

    /// A [company](https://devdocs.mautic.org/en/latest/webhooks/events/company_post_save.html).
    pub struct Company {
        /// The company's ID; `None` after its deletion.
        id: Id,
        /// Always `true`.
        is_published "isPublished": bool,
        /// The time of creation.
        date_added "dateAdded": String,
        /// The user who created the company.
        created_by "createdBy": Id,
        /// The name of that user.
        created_by_user "createdByUser": String,
        /// The time of the last change.
        date_modified "dateModified": String,
        /// The user who made the last change.
        modified_by "modifiedBy": Id,
        /// The name of that user.
        modified_by_user "modifiedByUser": String,
        /// The company's name.
        name: String,
        /// The address.
        address1: String,
        /// The second line of the address.
        address2: String,
        /// The city.
        city: String,
        /// The state.
        state: String,
        /// The zip code.
        zipcode: String,
        /// The country.
        country: String,
        /// The phone number.
        phone: String,
        /// The website.
        website: String,
        /// The industry.
        industry: String,
        /// The score, which is like the points of a contact.
        score: i64,
        /// The fields by name, in groups: see [`field`](Self::field).
        fields: Map<String, Value>,
    }
}

impl Contact {
    /// Returns the value of a field, including a custom one, by its name in the API: `email`,
    /// `firstname`. Searches the group `core` first.
    #[must_use]
    pub fn field(&self, alias: &str) -> Option<&Value> {
        field(self.fields.as_ref(), alias)
    }

    /// Returns the email address, unless it is empty.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.text("email")
    }

    /// Returns the first name, unless it is empty.
    #[must_use]
    pub fn first_name(&self) -> Option<&str> {
        self.text("firstname")
    }

    /// Returns the last name, unless it is empty.
    #[must_use]
    pub fn last_name(&self) -> Option<&str> {
        self.text("lastname")
    }

    fn text(&self, alias: &str) -> Option<&str> {
        self.field(alias)?.as_str().filter(|text| !text.is_empty())
    }
}

impl User {
    /// Returns the first name, from `firstName` or `firstname`.
    #[must_use]
    pub fn first_name(&self) -> Option<&str> {
        self.first_name.as_deref().or(self.firstname.as_deref())
    }

    /// Returns the last name, from `lastName` or `lastname`.
    #[must_use]
    pub fn last_name(&self) -> Option<&str> {
        self.last_name.as_deref().or(self.lastname.as_deref())
    }
}

impl IpAddress {
    /// Returns the address, from `ipAddress` or `ip`.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.ip_address.as_deref().or(self.ip.as_deref())
    }
}

impl Company {
    /// Returns the value of a field, including a custom one, by its name in the API: `companyname`.
    #[must_use]
    pub fn field(&self, alias: &str) -> Option<&Value> {
        field(self.fields.as_ref(), alias)
    }
}
