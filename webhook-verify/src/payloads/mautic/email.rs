//! The emails that Mautic sends.

use serde_json::{Map, Value};

use super::{
    super::{Id, List},
    Contact, IpAddress, Segment, objects,
};

objects! {
    /// An [email](https://devdocs.mautic.org/en/latest/webhooks/events/email_on_send.html) that was
    /// sent to a contact.
    pub struct EmailSent {
        /// The email of which this is a copy.
        email: Email,
        /// The recipient.
        contact: Contact,
        /// The tokens that were replaced, unless the setting "Send Email details" is off.
        tokens: Map<String, Value>,
        /// A hash that all copies share.
        content_hash "contentHash": String,
        /// A hash that identifies this copy.
        id_hash "idHash": String,
        /// The HTML, unless the setting "Send Email details" is off.
        content: String,
        /// The subject as sent.
        subject: String,
        /// The source of the email and its ID: `["campaign.event", 1]`.
        source: Value,
        /// The headers as sent.
        headers: Value,
        /// The time of the event, in ISO 8601.
        timestamp: String,
    }

    /// An email that was opened.
    ///
    /// The code sends `stat`. The documentation has the members of [`EmailSent`] instead.
    pub struct EmailOpened {
        /// The copy that was opened.
        stat: Stat,
        /// The email, in the documentation.
        email: Email,
        /// The contact, in the documentation.
        contact: Contact,
        /// The time of the event, in ISO 8601.
        timestamp: String,
    }

    /// A copy of an email, and its state. From Mautic's code; not documented.
    pub struct Stat {
        /// The copy's ID.
        id: Id,
        /// The recipient's address.
        email_address "emailAddress": String,
        /// The IP address from which the copy was opened.
        ip_address "ipAddress": IpAddress,
        /// The time of sending.
        date_sent "dateSent": String,
        /// Whether the copy was opened.
        is_read "isRead": bool,
        /// Whether sending failed.
        is_failed "isFailed": bool,
        /// The time when the copy was first opened.
        date_read "dateRead": String,
        /// The number of retries.
        retry_count "retryCount": i64,
        /// The source of the email.
        source: String,
        /// The source's ID.
        source_id "sourceId": Id,
        /// How many times the copy was opened.
        open_count "openCount": i64,
        /// The time when the copy was last opened.
        last_opened "lastOpened": String,
        /// The same hash as [`EmailSent::id_hash`].
        tracking_hash "trackingHash": String,
        /// Whether the copy was opened as a web page.
        viewed_in_browser "viewedInBrowser": bool,
        /// The contact who opened the copy.
        lead: Contact,
        /// The email of which this is a copy.
        email: Email,
    }

    /// An email as its author wrote it. Contacts get copies.
    pub struct Email {
        /// The email's ID.
        id: Id,
        /// Whether the email may be sent.
        is_published "isPublished": bool,
        /// The time of creation.
        date_added "dateAdded": String,
        /// The user who created the email.
        created_by "createdBy": Id,
        /// The name of that user.
        created_by_user "createdByUser": String,
        /// The time of the last change.
        date_modified "dateModified": String,
        /// The user who made the last change.
        modified_by "modifiedBy": Id,
        /// The name of that user.
        modified_by_user "modifiedByUser": String,
        /// The name that users see.
        name: String,
        /// The subject.
        subject: String,
        /// The language.
        language: String,
        /// The category.
        category: Category,
        /// The sender's address, if it is not the default.
        from_address "fromAddress": String,
        /// The sender's name, if it is not the default.
        from_name "fromName": String,
        /// The address for replies.
        reply_to_address "replyToAddress": String,
        /// The address for blind copies.
        bcc_address "bccAddress": String,
        /// Whether a contact's owner is the sender.
        use_owner_as_mailer "useOwnerAsMailer": bool,
        /// The HTML.
        custom_html "customHtml": String,
        /// The plain text.
        plain_text "plainText": String,
        /// The theme.
        template: String,
        /// The type: `template`, or `list` for an email to segments.
        email_type "emailType": String,
        /// The number of copies that were opened.
        read_count "readCount": i64,
        /// The number of copies that were sent.
        sent_count "sentCount": i64,
        /// The number of changes.
        revision: i64,
        /// Content that depends on the contact.
        dynamic_content "dynamicContent": Value,
        /// `utmSource`, `utmMedium`, `utmCampaign` and `utmContent`.
        utm_tags "utmTags": Map<String, Value>,
        /// The time from which the email may be sent.
        publish_up "publishUp": String,
        /// The time until which the email may be sent.
        publish_down "publishDown": String,
        /// The attachments.
        asset_attachments "assetAttachments": Value,
        /// The start of the A/B test that includes the email.
        variant_start_date "variantStartDate": String,
        /// The number of copies that were sent in the test.
        variant_sent_count "variantSentCount": i64,
        /// The number of these that were opened.
        variant_read_count "variantReadCount": i64,
        /// The first email of the test.
        variant_parent "variantParent": Box<Email>,
        /// The other emails of the test.
        variant_children "variantChildren": List<Email>,
        /// The original of this translation.
        translation_parent "translationParent": Box<Email>,
        /// The translations.
        translation_children "translationChildren": List<Email>,
        /// The form with which contacts unsubscribe.
        unsubscribe_form "unsubscribeForm": Value,
        /// The segments that get the email.
        lists: List<Segment>,
        /// Additional headers.
        headers: Value,
    }

    /// A category.
    pub struct Category {
        /// The category's ID.
        id: Id,
        /// The title.
        title: String,
        /// The name in the API.
        alias: String,
        /// The description.
        description: String,
        /// The colour, in hex.
        color: String,
        /// The kind of objects in the category, or `global`.
        bundle: String,
        /// The name of the user who created the category.
        created_by_user "createdByUser": String,
        /// The name of the user who changed the category last.
        modified_by_user "modifiedByUser": String,
    }
}

impl EmailOpened {
    /// Returns the contact who opened the email, from `stat` (in the code) or `contact` (in the
    /// documentation).
    #[must_use]
    pub fn contact(&self) -> Option<&Contact> {
        let of_stat = self.stat.as_ref().and_then(|stat| stat.lead.as_ref());
        of_stat.or(self.contact.as_ref())
    }

    /// Returns the email, from `stat` (in the code) or `email` (in the documentation).
    #[must_use]
    pub fn email(&self) -> Option<&Email> {
        let of_stat = self.stat.as_ref().and_then(|stat| stat.email.as_ref());
        of_stat.or(self.email.as_ref())
    }
}
