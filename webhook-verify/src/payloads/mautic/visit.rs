//! Page visits and submitted forms.

use serde_json::{Map, Value};

use super::{
    super::{Id, List},
    Category, Contact, IpAddress, objects,
};

objects! {
    /// A form that was
    /// [submitted](https://devdocs.mautic.org/en/latest/webhooks/events/form_on_submit.html).
    pub struct FormSubmitted {
        /// The submission.
        submission: Submission,
        /// The time of the event, in ISO 8601; `None` in a test payload.
        timestamp: String,
    }

    /// The submission of a form.
    pub struct Submission {
        /// The submission's ID.
        id: Id,
        /// The IP address from which the form was submitted.
        ip_address "ipAddress": IpAddress,
        /// The form.
        form: Form,
        /// The contact who submitted the form.
        lead: Contact,
        /// The ID of the session.
        tracking_id "trackingId": String,
        /// The time of the submission.
        date_submitted "dateSubmitted": String,
        /// The URL of the page with the form.
        referer: String,
        /// The page with the form, if it is a page in Mautic.
        page: Page,
        /// The values, by the fields' names in the API.
        results: Map<String, Value>,
    }

    /// A form.
    pub struct Form {
        /// The form's ID.
        id: Id,
        /// The name.
        name: String,
        /// The name in the API.
        alias: String,
        /// The category.
        category: Category,
    }

    /// A page that was
    /// [visited](https://devdocs.mautic.org/en/latest/webhooks/events/page_on_hit.html).
    pub struct PageHit {
        /// The visit.
        hit: Hit,
        /// The time of the event, in ISO 8601; `None` in a test payload.
        timestamp: String,
    }

    /// A visit of a page in Mautic, or of any page that Mautic tracks.
    pub struct Hit {
        /// The visit's ID.
        id: Id,
        /// The start of the visit.
        date_hit "dateHit": String,
        /// The end of the visit. According to the documentation, always `null` in webhooks.
        date_left "dateLeft": String,
        /// The page, if it is a page in Mautic.
        page: Page,
        /// The target of a redirect.
        redirect: Value,
        /// The email that led to the visit. Deprecated in favour of [`source`](Self::source).
        email: Value,
        /// The visitor.
        lead: Contact,
        /// The IP address of the visitor.
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
        /// The status of the response.
        code: i64,
        /// The URL from which the visitor came.
        referer: String,
        /// The URL of the visited page.
        url: String,
        /// The title of the visited page.
        url_title "urlTitle": String,
        /// The browser.
        user_agent "userAgent": String,
        /// The name of the visitor's machine.
        remote_host "remoteHost": String,
        /// The language of the page.
        page_language "pageLanguage": String,
        /// The languages of the browser.
        browser_languages "browserLanguages": List<String>,
        /// The ID of the session.
        tracking_id "trackingId": String,
        /// The kind of message that contained the URL: `email`, `sms`.
        source: String,
        /// The ID of that message.
        source_id "sourceId": Id,
        /// The query of the URL.
        query: Map<String, Value>,
    }

    /// A page in Mautic.
    pub struct Page {
        /// The page's ID.
        id: Id,
        /// The title.
        title: String,
        /// The name in the API.
        alias: String,
        /// The category.
        category: Category,
    }
}
