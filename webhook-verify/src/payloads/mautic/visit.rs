//! What contacts do on pages.

use serde_json::{Map, Value};

use super::{
    super::{Id, List},
    Category, Contact, IpAddress, objects,
};

objects! {
    /// A form that was [submitted](https://devdocs.mautic.org/en/latest/webhooks/events/form_on_submit.html).
    pub struct FormSubmitted {
        /// What was submitted.
        submission: Submission,
        /// When it happened, in ISO 8601; nothing in a test payload.
        timestamp: String,
    }

    /// What was submitted by a form.
    pub struct Submission {
        /// Its id.
        id: Id,
        /// Where it came from.
        ip_address "ipAddress": IpAddress,
        /// The form.
        form: Form,
        /// Who submitted it.
        lead: Contact,
        /// The id of the session.
        tracking_id "trackingId": String,
        /// When it was submitted.
        date_submitted "dateSubmitted": String,
        /// The URL that the form was on.
        referer: String,
        /// The page that the form was on, if it is one of Mautic's.
        page: Page,
        /// What was filled in, by the fields' names in the API.
        results: Map<String, Value>,
    }

    /// A form.
    pub struct Form {
        /// Its id.
        id: Id,
        /// Its name.
        name: String,
        /// Its name in the API.
        alias: String,
        /// Its category.
        category: Category,
    }

    /// A page that was [visited](https://devdocs.mautic.org/en/latest/webhooks/events/page_on_hit.html).
    pub struct PageHit {
        /// The visit.
        hit: Hit,
        /// When it happened, in ISO 8601; nothing in a test payload.
        timestamp: String,
    }

    /// A visit of one of Mautic's pages, or of any page that it tracks.
    pub struct Hit {
        /// Its id.
        id: Id,
        /// When it began.
        date_hit "dateHit": String,
        /// When it ended. Always `null` in webhooks, says the documentation.
        date_left "dateLeft": String,
        /// The page, if it is one of Mautic's.
        page: Page,
        /// Where the contact was sent on to.
        redirect: Value,
        /// The email that the contact came from. Deprecated by [`source`](Self::source).
        email: Value,
        /// Who visited it.
        lead: Contact,
        /// Where the visitor came from.
        ip_address "ipAddress": IpAddress,
        /// The country of that address.
        country: String,
        /// The region of that address.
        region: String,
        /// The city of that address.
        city: String,
        /// The provider of that address.
        isp: String,
        /// The owner of that address.
        organization: String,
        /// The status that the page was answered with.
        code: i64,
        /// Where the visitor came from, as a URL.
        referer: String,
        /// The URL of the visit.
        url: String,
        /// The title of what is there.
        url_title "urlTitle": String,
        /// The browser.
        user_agent "userAgent": String,
        /// The name of the visitor's machine.
        remote_host "remoteHost": String,
        /// The language of the page.
        page_language "pageLanguage": String,
        /// The languages of the browser.
        browser_languages "browserLanguages": List<String>,
        /// The id of the session.
        tracking_id "trackingId": String,
        /// What the URL was made by: `email`, `sms`.
        source: String,
        /// The id of that.
        source_id "sourceId": Id,
        /// The query of the URL.
        query: Map<String, Value>,
    }

    /// A page of Mautic's.
    pub struct Page {
        /// Its id.
        id: Id,
        /// Its title.
        title: String,
        /// Its name in the API.
        alias: String,
        /// Its category.
        category: Category,
    }
}
