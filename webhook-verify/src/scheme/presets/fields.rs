//! Senders that sign the URL, the method, headers, form fields, or single fields of the body.

use std::borrow::Cow;

use super::{
    super::{
        Algorithm::{HmacSha1, HmacSha256, KeyedSha256},
        BodyDigest, Challenge, Envelope, EventList, Evidence, Free, Identity, KeyForm, Part,
        PathForm, Place,
        SameBytes::{Never, Possible, Unknown},
        Scheme,
        Sent::Id,
        TimeUnit::{Milliseconds, Rfc3339, Seconds},
        TimestampPlace, UrlForm,
    },
    BARE, COLON, NOT_JUDGED, at, data, days, event_time, events, header, hours, plain, pointer,
    seconds, set, text, time_header, timestamp,
};
use crate::encoding::Encoding::Base64;

rows! { FIELDS;

    /// Base64 over `{method}{url}{body}{timestamp}`, with some escapes in the URL decoded. The
    /// secret is the app's client secret. App subscriptions send a list of events. Each event has
    /// its own idempotency key.
    ///
    /// Workflows send one object, or a `GET` without a body. These can repeat byte for byte, so
    /// they have no idempotency key.
    HUBSPOT_V3 = "hubspot-v3", "HubSpot v3", "https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests", [Vector Source Documentation] {
        signatures: list![plain("x-hubspot-signature-v3")],
        encoding: Base64,
        content: list![
            Part::Method,
            Part::Url(UrlForm::PartlyDecoded),
            Part::JsonBody,
            Part::Timestamp,
        ],
        timestamp: time_header("x-hubspot-request-timestamp", Milliseconds, 300),
        id: pointer("/0/eventId"),
        event_type: pointer("/0/subscriptionType"),
        envelope: HUBSPOT_EVENTS,
        event_time: event_time("/occurredAt", Milliseconds),
        identity: Identity::None,
        hints.retry_horizon: days(3),
        hints.time_budget: seconds(5),
        notes.secret_at: "the app's settings, Auth, client secret",
        notes.schedule: "subscriptions: 10 attempts over 24 hours; workflows: for up to 3 days, not after 4xx other than 429",
        notes.source: "https://knowledge.hubspot.com/workflows/how-do-i-use-webhooks-with-hubspot-workflows",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "a workflow can run twice on an unchanged record; a `GET` has no body",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented); the SDK also refuses them",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@hubspot/api-client`: `Signature.isValid`",
    }

    /// A digest of the secret and the signed content, not an HMAC, for webhooks of workflows and
    /// cards. Prefer [`HUBSPOT_V3`]. The body is one record, or empty. It can repeat byte for byte,
    /// so there is no idempotency key.
    HUBSPOT_V2 = "hubspot-v2", "HubSpot v2", "https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests", [Vector Source] {
        algorithm: KeyedSha256,
        signatures: list![plain("x-hubspot-signature")],
        content: list![Part::Method, Part::Url(UrlForm::AsConfigured), Part::JsonBody],
        required_headers: list![(text("x-hubspot-signature-version"), text("v2"))],
        identity: Identity::None,
        hints.retry_horizon: days(3),
        hints.time_budget: seconds(30),
        notes.secret_at: "the client secret of the app that the workflow action names",
        notes.schedule: "from 1 minute after the failure, for up to 3 days; none after 4xx other than 429",
        notes.source: "https://knowledge.hubspot.com/workflows/how-do-i-use-webhooks-with-hubspot-workflows",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "a record can enter a workflow twice with the same properties; a `GET` has no body",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@hubspot/api-client`: `Signature.isValid({signatureVersion: 'v2', …})`",
    }

    /// A digest of the secret and the body, not an HMAC, for many events. Prefer [`HUBSPOT_V3`].
    HUBSPOT_V1 = "hubspot-v1", "HubSpot v1", "https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests", [Vector Source Documentation] like HUBSPOT_V2 {
        content: list![Part::Body],
        required_headers: list![(text("x-hubspot-signature-version"), text("v1"))],
        id: pointer("/0/eventId"),
        event_type: pointer("/0/subscriptionType"),
        envelope: HUBSPOT_EVENTS,
        event_time: event_time("/occurredAt", Milliseconds),
        identity: Identity::Digest,
        hints.retry_horizon: hours(24),
        hints.time_budget: seconds(5),
        notes.secret_at: "the app's settings, Auth, client secret",
        notes.schedule: "10 attempts over 24 hours",
        notes.source: "https://knowledge.hubspot.com/workflows/how-do-i-use-webhooks-with-hubspot-workflows",
        notes.same_bytes: Never,
        notes.same_bytes_why: "each event has an ID and a time in milliseconds",
        notes.recheck: "npm `@hubspot/api-client`: `Signature.isValid`, whose default is v1",
    }

    /// Base64 over `{url}{body}`.
    SQUARE = "square", "Square", "https://developer.squareup.com/docs/webhooks/step3validate", [Vector Source Documentation] {
        signatures: list![plain("x-square-hmacsha256-signature")],
        encoding: Base64,
        content: list![Part::Url(UrlForm::AsConfigured), Part::JsonBody],
        id: pointer("/event_id"),
        event_type: pointer("/type"),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(24),
        hints.time_budget: seconds(10),
        notes.secret_at: "Developer Dashboard, the app, Webhooks, the subscription, signature key",
        notes.schedule: "for up to 24 hours",
        notes.keeps: &[Id],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.source: "https://developer.squareup.com/docs/webhooks/troubleshooting",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `square`: `WebhooksHelper.verifySignature`",
    }

    /// HMAC-SHA1 in base64 over `{body}{url}`. The webhooks of a board and of its card send an
    /// action with the same ID, so the watched model is part of the key.
    TRELLO = "trello", "Trello", "https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/", [Documentation] {
        algorithm: HmacSha1,
        signatures: list![plain("x-trello-webhook")],
        encoding: Base64,
        content: list![Part::JsonBody, Part::Url(UrlForm::AsConfigured)],
        id: pointer("/action/id"),
        event_type: pointer("/action/type"),
        event_time: event_time("/action/date", Rfc3339),
        identity: Identity::Fields,
        identity_fields: list![text("/action/id"), text("/model/id")],
        challenges: list![Challenge::HEAD_PROBE],
        notes.secret_at: "the application's secret, next to its API key",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the action's ID and date",
        notes.checked: "2026-11-28",
        notes.recheck: "the page, Webhook signatures",
    }

    /// The signed lines are the method, the path, the listed headers and the body. The list must
    /// include the timestamp header. The path and query are those that Contentful requested.
    CONTENTFUL = "contentful", "Contentful", "https://www.contentful.com/developers/docs/webhooks/request-verification/", [Source Documentation] {
        signatures: list![plain("x-contentful-signature")],
        content: list![
            Part::Method,
            Part::Literal(text("\n")),
            Part::Path(PathForm::EscapedTwice),
            Part::Literal(text("\n")),
            Part::SignedHeaders(text("x-contentful-signed-headers")),
            Part::Literal(text("\n")),
            Part::Body,
        ],
        timestamp: time_header("x-contentful-timestamp", Milliseconds, 30),
        id: header("x-contentful-idempotency-key"),
        event_type: header("x-contentful-topic"),
        identity: Identity::Digest,
        hints.retry_horizon: hours(24),
        hints.time_budget: seconds(30),
        notes.secret_at: "space, Settings, Webhooks, Settings, Enable request verification; shown once",
        notes.schedule: "2 retries, 30 s apart; up to 99 over 24 hours if configured",
        notes.keeps: &[Id],
        notes.same_bytes: Possible,
        notes.same_bytes_why: "a custom payload can repeat; the ID header differs",
        notes.lost: "all, if they repeat the first timestamp (not documented); the toolkit also has a window of 30 s",
        notes.source: "https://www.contentful.com/developers/changelog/idempotency-key-headers-for-webhook-requests/",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@contentful/node-apps-toolkit`: `signRequest`, `verifyRequest`",
    }

    /// Forms: HMAC-SHA1 in base64 over the URL and the sorted fields. For JSON use [`TWILIO_JSON`].
    ///
    /// Voice and Studio use the response body, which a duplicate does not get.
    TWILIO = "twilio", "Twilio", "https://www.twilio.com/docs/usage/webhooks/webhooks-security", [Vector Source Documentation] {
        algorithm: HmacSha1,
        signatures: list![plain("x-twilio-signature")],
        encoding: Base64,
        content: list![Part::Url(UrlForm::EitherPort), Part::Form],
        id: header("i-twilio-idempotency-token"),
        identity: Identity::Digest,
        hints.retry_horizon: seconds(15),
        hints.time_budget: seconds(15),
        notes.secret_at: "Twilio Console, account dashboard, Auth Token",
        notes.schedule: "1 retry if the connection fails, within 15 s; `#rc` in the URL changes it",
        notes.keeps: &[Id],
        notes.same_bytes: Possible,
        notes.same_bytes_why: "a call can request a step twice; the ID header differs",
        notes.source: "github twilio/twilio-agent-connect-python, which drops retries by this header",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `twilio`: `getExpectedTwilioSignature(token, url, params)`",
    }

    /// Forms, signed with HMAC-SHA256 and a shared key from Twilio instead of the auth token.
    TWILIO_SHA256 = "twilio-sha256", "Twilio, shared key", "https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys", [Source Documentation] like TWILIO {
        algorithm: HmacSha256,
        notes.secret_at: "the secret of the shared key that the webhook rule names",
        notes.recheck: "npm `twilio`: `getExpectedTwilioSignature(secret, url, params, 'HMAC_SHA256')`",
    }

    /// JSON: HMAC-SHA1 in base64 over the URL, whose query contains the body's digest.
    TWILIO_JSON = "twilio-json", "Twilio, JSON", "https://www.twilio.com/docs/usage/webhooks/webhooks-security", [Vector Source Documentation] {
        algorithm: HmacSha1,
        signatures: list![plain("x-twilio-signature")],
        encoding: Base64,
        content: list![Part::Url(UrlForm::EitherPort)],
        body_digest: Some(BodyDigest::query(text("bodySHA256"))),
        id: header("i-twilio-idempotency-token"),
        identity: Identity::Digest,
        hints.retry_horizon: seconds(15),
        hints.time_budget: seconds(15),
        notes.secret_at: "Twilio Console, account dashboard, Auth Token",
        notes.schedule: "1 retry if the connection fails, within 15 s; `#rc` in the URL changes it",
        notes.keeps: &[Id],
        notes.same_bytes: Unknown,
        notes.same_bytes_why: "depends on the product; the ID header differs",
        notes.source: "github twilio/twilio-agent-connect-python, which drops retries by this header",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `twilio`: `validateRequestWithBody(token, signature, url, body)`",
    }

    /// JSON, signed with HMAC-SHA256 and a shared key from Twilio instead of the auth token.
    TWILIO_JSON_SHA256 = "twilio-json-sha256", "Twilio, JSON, shared key", "https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys", [Source Documentation] like TWILIO_JSON {
        algorithm: HmacSha256,
        notes.secret_at: "the secret of the shared key that the webhook rule names",
        notes.recheck: "npm `twilio`: `validateRequestWithBody(secret, signature, url, body, 'HMAC_SHA256')`",
    }

    /// Forms: HMAC-SHA1 in base64 over the URL and the sorted fields. Events have no ID, so their
    /// bytes are their keys. Two clicks or opens of a message within one second can be identical.
    MANDRILL = "mandrill", "Mailchimp Transactional (Mandrill)", "https://mandrill.zendesk.com/hc/en-us/articles/360039232513-How-to-Authenticate-Webhook-Requests", [Documentation] {
        algorithm: HmacSha1,
        signatures: list![plain("x-mandrill-signature")],
        encoding: Base64,
        content: list![Part::Url(UrlForm::AsConfigured), Part::Form],
        envelope: Envelope::List(EventList {
            form: Some(text("mandrill_events")),
            at: text(""),
            event_type: list![text("/event")],
            id: list![],
        }),
        event_time: event_time("/ts", Seconds),
        identity: Identity::None,
        challenges: list![Challenge::HEAD_PROBE],
        notes.secret_at: "Mandrill, Settings, Webhooks, column Key",
        notes.schedule: "automatic; not published",
        notes.source: "https://mandrill.zendesk.com/hc/en-us/articles/205583277-Can-I-stop-a-failed-webhook-batch-from-retrying-",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "events have the message's ID and a time in seconds",
        notes.checked: "2026-11-28",
        notes.recheck: "the page's steps",
    }

    /// For messages and Verify. Only a nonce and the URL without its query are signed, so do not
    /// trust the content. The second header is signed with the main account's token.
    PLIVO_V2 = "plivo-v2", "Plivo V2", "https://docs.plivo.com/docs/messaging/concepts/signature-validation", [Vector Source Documentation] {
        signatures: list![plain("x-plivo-signature-v2"), plain("x-plivo-signature-ma-v2")],
        encoding: Base64,
        content: list![Part::Url(UrlForm::WithoutQuery), Part::Header(text("x-plivo-signature-v2-nonce"))],
        identity: Identity::None,
        notes.secret_at: "Plivo console, overview, Auth Token of the account or subaccount",
        notes.same_bytes: Unknown,
        notes.same_bytes_why: "it is not documented whether a message status can repeat",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `plivo`: `validateSignature(url, nonce, signature, token)`",
    }

    /// The signature is in the body. It covers a timestamp and a token, but not the events. Anyone
    /// who captures a request can send other events with its signature, at any time.
    ///
    /// Events of a subaccount also have a signature with the primary account's key. One of the two
    /// must match. Routes forward messages as forms with the same fields. Messages with attachments
    /// arrive as `multipart/form-data`, which needs the feature `multipart` and often a larger
    /// `body_limit`. A retry of such a message may run again, because clients may choose a new
    /// boundary.
    MAILGUN = "mailgun", "Mailgun", "https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks", [Vector Documentation] {
        signatures: list![
            at(Place::Pointer(text("/signature/signature")), BARE),
            at(Place::Pointer(text("/signature/parent-signature")), BARE),
        ],
        content: list![Part::Timestamp, item("/signature/token")],
        // Routes forward messages as forms.
        form_fields: list![
            (text("/signature/signature"), text("signature")),
            (text("/signature/timestamp"), text("timestamp")),
            (text("/signature/token"), text("token")),
        ],
        timestamp: timestamp(TimestampPlace::Pointer(text("/signature/timestamp")), Seconds, NOT_JUDGED),
        id: pointer("/signature/token"),
        event_type: pointer("/event-data/event"),
        event_data: data("/event-data"),
        identity: Identity::Digest,
        hints.retry_horizon: hours(8),
        notes.secret_at: "control panel, HTTP webhook signing key",
        notes.schedule: "from 10 minutes after the failure, for 8 hours; 406 stops the retries",
        notes.source: "https://help.mailgun.com/hc/en-us/articles/202236504-Webhooks",
        notes.same_bytes: Never,
        notes.same_bytes_why: "each signature has a random token",
        notes.checked: "2026-11-28",
        notes.recheck: "the page's Node.js sample",
    }

    /// Payments. The signature is in the body and covers eight fields of the first item. Adyen puts
    /// one item in each request. Requests with more items are refused. The key is hex.
    ///
    /// The reference, the event code and the success flag together identify an event. Reports
    /// without a signature are refused.
    ADYEN = "adyen", "Adyen", "https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures", [Vector Source] {
        key_form: KeyForm::Hex,
        signatures: list![at(
            Place::Pointer(text("/notificationItems/0/NotificationRequestItem/additionalData/hmacSignature")),
            BARE,
        )],
        encoding: Base64,
        content: list![
            Part::Pointer(
                text("/notificationItems/0/NotificationRequestItem/pspReference"),
                ADYEN_REPORT,
            ),
            COLON,
            item("/notificationItems/0/NotificationRequestItem/originalReference"),
            COLON,
            item("/notificationItems/0/NotificationRequestItem/merchantAccountCode"),
            COLON,
            Part::Pointer(
                text("/notificationItems/0/NotificationRequestItem/merchantReference"),
                ADYEN_OTHER,
            ),
            COLON,
            item("/notificationItems/0/NotificationRequestItem/amount/value"),
            COLON,
            item("/notificationItems/0/NotificationRequestItem/amount/currency"),
            COLON,
            item("/notificationItems/0/NotificationRequestItem/eventCode"),
            COLON,
            item("/notificationItems/0/NotificationRequestItem/success"),
        ],
        refused_fields: list![text("/notificationItems/1")],
        hints.body_limit: Some(256 << 10),
        event_type: pointer("/notificationItems/0/NotificationRequestItem/eventCode"),
        envelope: events(
            "/notificationItems",
            list![text("/NotificationRequestItem/eventCode")],
            list![
                text("/NotificationRequestItem/pspReference"),
                text("/NotificationRequestItem/eventCode"),
                text("/NotificationRequestItem/success"),
            ],
        ),
        event_time: event_time("/NotificationRequestItem/eventDate", Rfc3339),
        event_data: data("/NotificationRequestItem"),
        identity: Identity::Fields,
        identity_fields: list![
            text("/notificationItems/0/NotificationRequestItem/pspReference"),
            text("/notificationItems/0/NotificationRequestItem/eventCode"),
            text("/notificationItems/0/NotificationRequestItem/success"),
        ],
        hints.retry_horizon: days(30),
        notes.secret_at: "Customer Area, Developers, Webhooks, the webhook, Security, HMAC key",
        notes.schedule: "3 times at once, then from 2 minutes to 8 hours apart, for up to 30 days",
        notes.source: "https://docs.adyen.com/development-resources/webhooks/troubleshoot",
        notes.same_bytes: Unknown,
        notes.same_bytes_why: "the reference is unique for a payment or its modification",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@adyen/api-library`: `new hmacValidator().validateHMAC(item, key)`",
    }
}

/// HubSpot does not declare the first ID unique, and the attempt number in the event changes in
/// retries.
const HUBSPOT_EVENTS: Envelope = events(
    "",
    list![text("/subscriptionType")],
    list![text("/eventId"), text("/subscriptionId"), text("/objectId"), text("/occurredAt"),],
);

const fn item(pointer: &'static str) -> Part {
    Part::Pointer(text(pointer), Free::Never)
}

/// The reference of a report is the name of a file, which may contain colons.
const ADYEN_REPORT: Free = adyen_if_report(true);
const ADYEN_OTHER: Free = adyen_if_report(false);

const fn adyen_if_report(is_equal: bool) -> Free {
    Free::If {
        pointer: text("/notificationItems/0/NotificationRequestItem/eventCode"),
        value: text("REPORT_AVAILABLE"),
        is_equal,
    }
}
