//! Senders that sign the URL, the method, headers, form fields, or single fields of the body.

use std::borrow::Cow;

use super::{
    super::{
        Algorithm::{HmacSha1, KeyedSha256},
        BodyDigest, Challenge, Envelope, EventList, Evidence, Free, Identity, KeyForm, Part,
        PathForm, Place, Scheme,
        TimeUnit::{Milliseconds, Rfc3339, Seconds},
        TimestampPlace, UrlForm,
    },
    BARE, COLON, NOT_JUDGED, at, data, days, event_time, events, header, hours, plain, pointer,
    seconds, set, text, time_header, timestamp,
};
use crate::encoding::Encoding::Base64;

rows! { FIELDS;

    /// Base64 over `{method}{url}{body}{timestamp}`, with some escapes in the URL decoded. The
    /// secret is the app's client secret. One request contains many events, as from app
    /// subscriptions.
    HUBSPOT_V3 = "hubspot-v3", "HubSpot v3", "https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests", [Vector Source] {
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
        identity: Identity::Digest,
        hints.retry_horizon: hours(24),
        hints.time_budget: seconds(5),
    }

    /// A digest of the secret and the signed content, not an HMAC, for webhooks of workflows and
    /// cards. Prefer [`HUBSPOT_V3`].
    HUBSPOT_V2 = "hubspot-v2", "HubSpot v2", "https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests", [Vector Source] {
        algorithm: KeyedSha256,
        signatures: list![plain("x-hubspot-signature")],
        content: list![Part::Method, Part::Url(UrlForm::AsConfigured), Part::JsonBody],
        required_headers: list![(text("x-hubspot-signature-version"), text("v2"))],
        id: pointer("/0/eventId"),
        event_type: pointer("/0/subscriptionType"),
        identity: Identity::Digest,
        hints.retry_horizon: hours(24),
        hints.time_budget: seconds(5),
    }

    /// A digest of the secret and the body, not an HMAC, for many events. Prefer [`HUBSPOT_V3`].
    HUBSPOT_V1 = "hubspot-v1", "HubSpot v1", "https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests", [Vector Source] like HUBSPOT_V2 {
        content: list![Part::Body],
        required_headers: list![(text("x-hubspot-signature-version"), text("v1"))],
        envelope: HUBSPOT_EVENTS,
        event_time: event_time("/occurredAt", Milliseconds),
    }

    /// Base64 over `{url}{body}`.
    SQUARE = "square", "Square", "https://developer.squareup.com/docs/webhooks/step3validate", [Vector Source] {
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
    }

    /// HMAC-SHA1 in base64 over `{body}{url}`.
    TRELLO = "trello", "Trello", "https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/", [Documentation] {
        algorithm: HmacSha1,
        signatures: list![plain("x-trello-webhook")],
        encoding: Base64,
        content: list![Part::JsonBody, Part::Url(UrlForm::AsConfigured)],
        id: pointer("/action/id"),
        event_type: pointer("/action/type"),
        event_time: event_time("/action/date", Rfc3339),
        identity: Identity::SignedId,
        challenges: list![Challenge::HEAD_PROBE],
    }

    /// Method, path, listed headers and body, as lines. The timestamp's header must be in the list.
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
        event_type: header("x-contentful-topic"),
        identity: Identity::Digest,
        hints.time_budget: seconds(30),
    }

    /// Forms: HMAC-SHA1 in base64 over the URL and the sorted fields. For JSON use [`TWILIO_JSON`].
    TWILIO = "twilio", "Twilio", "https://www.twilio.com/docs/usage/webhooks/webhooks-security", [Vector Source] {
        algorithm: HmacSha1,
        signatures: list![plain("x-twilio-signature")],
        encoding: Base64,
        content: list![Part::Url(UrlForm::EitherPort), Part::Form],
        id: header("i-twilio-idempotency-token"),
        identity: Identity::SignedContent,
        hints.time_budget: seconds(15),
    }

    /// JSON: HMAC-SHA1 in base64 over the URL, whose query contains the body's digest.
    TWILIO_JSON = "twilio-json", "Twilio, JSON", "https://www.twilio.com/docs/usage/webhooks/webhooks-security", [Vector Source] {
        algorithm: HmacSha1,
        signatures: list![plain("x-twilio-signature")],
        encoding: Base64,
        content: list![Part::Url(UrlForm::EitherPort)],
        body_digest: Some(BodyDigest::query(text("bodySHA256"))),
        id: header("i-twilio-idempotency-token"),
        identity: Identity::Digest,
        hints.time_budget: seconds(15),
    }

    /// Forms: HMAC-SHA1 in base64 over the URL and the sorted fields.
    MANDRILL = "mandrill", "Mailchimp Transactional (Mandrill)", "https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/", [Unproven] {
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
        identity: Identity::SignedContent,
        challenges: list![Challenge::HEAD_PROBE],
    }

    /// Only the URL without its query and a nonce are signed, so do not trust the content.
    PLIVO_V2 = "plivo-v2", "Plivo V2", "https://www.plivo.com/docs/voice/concepts/signature-validation", [Vector Source] {
        signatures: list![plain("x-plivo-signature-v2")],
        encoding: Base64,
        content: list![Part::Url(UrlForm::WithoutQuery), Part::Header(text("x-plivo-signature-v2-nonce"))],
        identity: Identity::None,
    }

    /// The signature is in the body, and covers a timestamp and a token but not the events. Anyone
    /// who captures a request can send other events with it, until it is seen. Nothing separates
    /// timestamp and token in the signed content, so neither alone identifies a delivery.
    MAILGUN = "mailgun", "Mailgun", "https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks", [Vector Documentation] {
        signatures: list![at(Place::Pointer(text("/signature/signature")), BARE)],
        content: list![Part::Timestamp, item("/signature/token")],
        timestamp: timestamp(TimestampPlace::Pointer(text("/signature/timestamp")), Seconds, NOT_JUDGED),
        id: pointer("/signature/token"),
        event_type: pointer("/event-data/event"),
        event_data: data("/event-data"),
        identity: Identity::SignedContent,
        hints.retry_horizon: hours(8),
    }

    /// Payments. The signature is in the body and covers eight fields of the first item. The sender
    /// puts one item in each request, and requests with more are refused. The key is hex.
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
        identity: Identity::SignedContent,
        hints.retry_horizon: days(30),
    }
}

/// HubSpot does not declare the first ID unique, and a retry counts its attempts in the event.
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
