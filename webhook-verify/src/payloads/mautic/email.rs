//! Emails that Mautic sends, and what becomes of them.

use serde_json::{Map, Value};

use super::{
    super::{Id, List},
    Contact, IpAddress, Segment, objects,
};

objects! {
    /// An [email](https://devdocs.mautic.org/en/latest/webhooks/events/email_on_send.html) that was sent to a contact.
    pub struct EmailSent {
        /// The email of which this is a copy.
        email: Email,
        /// Whom it was sent to.
        contact: Contact,
        /// The tokens that were filled in, unless the setting "Send Email details" is off.
        tokens: Map<String, Value>,
        /// The same for all copies.
        content_hash "contentHash": String,
        /// This copy's own.
        id_hash "idHash": String,
        /// The HTML, unless the setting "Send Email details" is off.
        content: String,
        /// The subject as it was sent.
        subject: String,
        /// What sent it, and the id of that: `["campaign.event", 1]`.
        source: Value,
        /// The headers as they were sent.
        headers: Value,
        /// When it happened, in ISO 8601.
        timestamp: String,
    }

    /// An email that was opened.
    ///
    /// The code sends `stat`; the documentation refers to what [`EmailSent`] has.
    pub struct EmailOpened {
        /// The copy that was opened.
        stat: Stat,
        /// The email, as the documentation has it.
        email: Email,
        /// The contact, as the documentation has it.
        contact: Contact,
        /// When it happened, in ISO 8601.
        timestamp: String,
    }

    /// A copy of an email, and what became of it. Of the code: it is not documented.
    pub struct Stat {
        /// Its id.
        id: Id,
        /// Where it was sent to.
        email_address "emailAddress": String,
        /// Where it was opened.
        ip_address "ipAddress": IpAddress,
        /// When it was sent.
        date_sent "dateSent": String,
        /// Whether it was opened.
        is_read "isRead": bool,
        /// Whether it could not be sent.
        is_failed "isFailed": bool,
        /// When it was opened first.
        date_read "dateRead": String,
        /// How often it was tried again.
        retry_count "retryCount": i64,
        /// What sent it.
        source: String,
        /// The id of that.
        source_id "sourceId": Id,
        /// How often it was opened.
        open_count "openCount": i64,
        /// When it was opened last.
        last_opened "lastOpened": String,
        /// The same as [`EmailSent::id_hash`].
        tracking_hash "trackingHash": String,
        /// Whether it was opened as a page.
        viewed_in_browser "viewedInBrowser": bool,
        /// Who opened it.
        lead: Contact,
        /// The email of which this is a copy.
        email: Email,
    }

    /// An email as users write it, of which contacts get copies.
    pub struct Email {
        /// Its id.
        id: Id,
        /// Whether it may be sent.
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
        /// Its name, for users.
        name: String,
        /// Its subject.
        subject: String,
        /// Its language.
        language: String,
        /// Its category.
        category: Category,
        /// A sender's address of its own.
        from_address "fromAddress": String,
        /// A sender's name of its own.
        from_name "fromName": String,
        /// Where answers go.
        reply_to_address "replyToAddress": String,
        /// Who gets blind copies.
        bcc_address "bccAddress": String,
        /// Whether a contact's owner is the sender.
        use_owner_as_mailer "useOwnerAsMailer": bool,
        /// Its HTML.
        custom_html "customHtml": String,
        /// Its text.
        plain_text "plainText": String,
        /// The theme that it was made from.
        template: String,
        /// `template`, or `list` for those that are sent to segments.
        email_type "emailType": String,
        /// How many copies were opened.
        read_count "readCount": i64,
        /// How many copies were sent.
        sent_count "sentCount": i64,
        /// How often it was changed.
        revision: i64,
        /// Content that depends on the contact.
        dynamic_content "dynamicContent": Value,
        /// `utmSource`, `utmMedium`, `utmCampaign` and `utmContent`.
        utm_tags "utmTags": Map<String, Value>,
        /// From when on it may be sent.
        publish_up "publishUp": String,
        /// Until when it may be sent.
        publish_down "publishDown": String,
        /// What is attached.
        asset_attachments "assetAttachments": Value,
        /// Since when it is a part of an A/B test.
        variant_start_date "variantStartDate": String,
        /// How many copies were sent in the test.
        variant_sent_count "variantSentCount": i64,
        /// How many of these were opened.
        variant_read_count "variantReadCount": i64,
        /// The test's first email.
        variant_parent "variantParent": Box<Email>,
        /// The test's other emails.
        variant_children "variantChildren": List<Email>,
        /// What this is a translation of.
        translation_parent "translationParent": Box<Email>,
        /// The translations.
        translation_children "translationChildren": List<Email>,
        /// The form by which contacts unsubscribe.
        unsubscribe_form "unsubscribeForm": Value,
        /// The segments that it is sent to.
        lists: List<Segment>,
        /// Headers of its own.
        headers: Value,
    }

    /// A category, of whatever has them.
    pub struct Category {
        /// Its id.
        id: Id,
        /// Its title.
        title: String,
        /// Its name in the API.
        alias: String,
        /// What it is for.
        description: String,
        /// Its colour, in hex.
        color: String,
        /// What can be in it, or `global`.
        bundle: String,
        /// Who created it.
        created_by_user "createdByUser": String,
        /// Who changed it last.
        modified_by_user "modifiedByUser": String,
    }
}

impl EmailOpened {
    /// Who opened it, where the code has it or where the documentation does.
    #[must_use]
    pub fn contact(&self) -> Option<&Contact> {
        let of_stat = self.stat.as_ref().and_then(|stat| stat.lead.as_ref());
        of_stat.or(self.contact.as_ref())
    }

    /// The email, where the code has it or where the documentation does.
    #[must_use]
    pub fn email(&self) -> Option<&Email> {
        let of_stat = self.stat.as_ref().and_then(|stat| stat.email.as_ref());
        of_stat.or(self.email.as_ref())
    }
}
