//! Whom Mautic's events are about.

use serde_json::{Map, Value};

use super::{
    super::{Id, List},
    field, objects,
};

objects! {
    /// A [contact](https://devdocs.mautic.org/en/latest/webhooks/events/lead_post_save_new.html), called `lead` in names.
    pub struct Contact {
        /// Its id; nothing in a contact that was deleted.
        id: Id,
        /// Always true.
        is_published "isPublished": bool,
        /// When it was created.
        date_added "dateAdded": String,
        /// The user who created it.
        created_by "createdBy": Id,
        /// That user's name.
        created_by_user "createdByUser": String,
        /// When it was known who it is; nothing for a visitor.
        date_identified "dateIdentified": String,
        /// When it was changed last.
        date_modified "dateModified": String,
        /// The user who did.
        modified_by "modifiedBy": Id,
        /// That user's name.
        modified_by_user "modifiedByUser": String,
        /// Its points.
        points: i64,
        /// The colour of these points, in hex.
        color: String,
        /// Its fields in their groups (`core`, `social`, `personal`, `professional`), by their names: see
        /// [`field`](Self::field).
        fields: Map<String, Value>,
        /// When it last did something.
        last_active "lastActive": String,
        /// The user who looks after it.
        owner: User,
        /// Where it came from. The keys of the list are addresses, too.
        ip_addresses "ipAddresses": List<IpAddress>,
        /// Its tags.
        tags: List<Tag>,
        /// UTM tags. Not filled for webhooks, says the documentation.
        utm_tags "utmtags": Value,
        /// Its stage.
        stage: Value,
        /// The picture that is preferred, such as `gravatar`.
        preferred_profile_image "preferredProfileImage": String,
        /// The channels that it does not want.
        do_not_contact "doNotContact": List<DoNotContact>,
        /// How often it may be written to. Not filled for webhooks, says the documentation.
        frequency_rules "frequencyRules": Value,
    }

    /// A user of Mautic.
    pub struct User {
        /// Its id.
        id: Id,
        /// The name to log in by.
        username: String,
        /// First name, as it is sent: see [`first_name`](Self::first_name).
        first_name "firstName": String,
        /// Last name, as it is sent: see [`last_name`](Self::last_name).
        last_name "lastName": String,
        /// First name, as the documentation has it.
        firstname: String,
        /// Last name, as the documentation has it.
        lastname: String,
    }

    /// An IP address.
    pub struct IpAddress {
        /// Its id.
        id: Id,
        /// The address: see [`address`](Self::address).
        ip_address "ipAddress": String,
        /// The address, as test payloads have it.
        ip: String,
        /// What the lookup service that is set up says of it: `city`, `region`, `latitude` …
        ip_details "ipDetails": Map<String, Value>,
    }

    /// A tag.
    pub struct Tag {
        /// Its id.
        id: Id,
        /// Its name.
        tag: String,
    }

    /// A channel that a contact does not want.
    pub struct DoNotContact {
        /// Its id.
        id: Id,
        /// Why: 1 unsubscribed, 2 bounced, 3 by a user.
        reason: i64,
        /// The channel: `email`, `sms`.
        channel: String,
        /// What the contact unsubscribed by.
        channel_id "channelId": Id,
        /// What was noted.
        comments: String,
    }

    /// A [company](https://devdocs.mautic.org/en/latest/webhooks/events/company_post_save.html).
    pub struct Company {
        /// Its id; nothing in a company that was deleted.
        id: Id,
        /// Always true.
        is_published "isPublished": bool,
        /// When it was created.
        date_added "dateAdded": String,
        /// The user who created it.
        created_by "createdBy": Id,
        /// That user's name.
        created_by_user "createdByUser": String,
        /// When it was changed last.
        date_modified "dateModified": String,
        /// The user who did.
        modified_by "modifiedBy": Id,
        /// That user's name.
        modified_by_user "modifiedByUser": String,
        /// Its name.
        name: String,
        /// Its address.
        address1: String,
        /// The address's second line.
        address2: String,
        /// Its city.
        city: String,
        /// Its state.
        state: String,
        /// Its zip code.
        zipcode: String,
        /// Its country.
        country: String,
        /// Its phone number.
        phone: String,
        /// Its website.
        website: String,
        /// Its industry.
        industry: String,
        /// Its score, as contacts have points.
        score: i64,
        /// Its fields in their groups, by their names: see [`field`](Self::field).
        fields: Map<String, Value>,
    }
}

impl Contact {
    /// The value of a field, one of the user's own included, by its name in the API: `email`, `firstname`. Looks into the
    /// group `core` first.
    #[must_use]
    pub fn field(&self, alias: &str) -> Option<&Value> {
        field(self.fields.as_ref(), alias)
    }

    /// The email address, unless it is empty.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.text("email")
    }

    /// The first name, unless it is empty.
    #[must_use]
    pub fn first_name(&self) -> Option<&str> {
        self.text("firstname")
    }

    /// The last name, unless it is empty.
    #[must_use]
    pub fn last_name(&self) -> Option<&str> {
        self.text("lastname")
    }

    fn text(&self, alias: &str) -> Option<&str> {
        self.field(alias)?.as_str().filter(|text| !text.is_empty())
    }
}

impl User {
    /// First name, by whichever name.
    #[must_use]
    pub fn first_name(&self) -> Option<&str> {
        self.first_name.as_deref().or(self.firstname.as_deref())
    }

    /// Last name, by whichever name.
    #[must_use]
    pub fn last_name(&self) -> Option<&str> {
        self.last_name.as_deref().or(self.lastname.as_deref())
    }
}

impl IpAddress {
    /// The address, by whichever name.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.ip_address.as_deref().or(self.ip.as_deref())
    }
}

impl Company {
    /// The value of a field, one of the user's own included, by its name in the API: `companyname`.
    #[must_use]
    pub fn field(&self, alias: &str) -> Option<&Value> {
        field(self.fields.as_ref(), alias)
    }
}
