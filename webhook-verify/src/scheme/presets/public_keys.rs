//! Senders that sign with a private key, and those that send a JSON Web Token.

use std::borrow::Cow;

use super::{
    super::{
        Algorithm::{EcdsaP256, Ed25519, JwtEs256, JwtHs256, RsaSha1, RsaSha256},
        BodyDigest, Challenge, Evidence, Grammar, Identity, KeyForm, KeySource, List, Part, Place,
        Prefix,
        SameBytes::{Never, Possible, Unknown},
        Scheme,
        Sent::{Body, EventType, Id, Signature, Timestamp},
        TimeUnit::{Rfc3339, Seconds},
        TimestampPlace,
    },
    BARE, ID_DOTTED, NOT_JUDGED, TIME_BODY, at, data, days, event_time, events, header, hours,
    minutes, plain, pointer, seconds, set, text, time_header, timestamp, versions,
};
use crate::encoding::Encoding::Base64;

rows! { PUBLIC_KEYS;

    /// Version 1a, asymmetric: `v1a,<base64>` over `{id}.{timestamp}.{body}` with a `whpk_` key.
    /// Svix also signs this way for endpoints with such a key, and its header names are also
    /// accepted.
    STANDARD_WEBHOOKS_V1A = "standard-webhooks-v1a", "Standard Webhooks v1a", "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md", [Vector Source Documentation] {
        algorithm: Ed25519,
        key_form: KeyForm::Whpk,
        signatures: list![versions("webhook-signature", list![text("v1a")])],
        encoding: Base64,
        content: ID_DOTTED,
        timestamp: time_header("webhook-timestamp", Seconds, 300),
        id: header("webhook-id"),
        header_aliases: list![
            (text("webhook-id"), text("svix-id")),
            (text("webhook-signature"), text("svix-signature")),
            (text("webhook-timestamp"), text("svix-timestamp")),
        ],
        event_type: pointer("/type"),
        event_time: event_time("/timestamp", Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(76),
        hints.time_budget: seconds(15),
        notes.secret_at: "the sender's webhook page: the public key, `whpk_…`",
        notes.schedule: "the sender's own; the specification suggests 10 attempts over 76 hours",
        notes.keeps: &[Id],
        notes.changes: &[Timestamp, Signature],
        notes.same_bytes: Possible,
        notes.same_bytes_why: "a time in the body is only recommended; the signed ID differs",
        notes.source: "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
        notes.checked: "2026-11-28",
        notes.recheck: "the specification, Signature scheme; svix-server `worker.rs`: `sign_msg`",
    }

    /// Interactions. For webhook events, which have the same signature, use [`DISCORD_EVENTS`].
    /// Discord also sends wrong signatures, and expects 401 for them. Discord uses the response
    /// body, which a duplicate does not get.
    DISCORD = "discord", "Discord", "https://discord.com/developers/docs/interactions/overview", [Vector Source Documentation] {
        algorithm: Ed25519,
        key_form: KeyForm::Hex,
        signatures: list![plain("x-signature-ed25519")],
        content: TIME_BODY,
        timestamp: time_header("x-signature-timestamp", Seconds, NOT_JUDGED),
        id: pointer("/id"),
        event_type: pointer("/type"),
        identity: Identity::SignedId,
        challenges: list![Challenge::DISCORD],
        hints.time_budget: seconds(3),
        notes.secret_at: "developer portal, the application, Public Key",
        notes.schedule: "none",
        notes.source: "https://discord.com/developers/docs/events/webhook-events",
        notes.same_bytes: Never,
        notes.same_bytes_why: "interactions have an ID; only PINGs are identical",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `discord-interactions`: `verifyKey`",
    }

    /// Webhook events, without an ID. The PING (`type` 0) reaches the handler without an event
    /// type. The handler must respond with 204.
    DISCORD_EVENTS = "discord-events", "Discord webhook events", "https://discord.com/developers/docs/events/webhook-events", [Source Documentation] like DISCORD {
        id: None,
        event_type: pointer("/event/type"),
        event_time: event_time("/event/timestamp", Rfc3339),
        event_data: data("/event/data"),
        identity: Identity::Digest,
        challenges: list![],
        hints.retry_horizon: minutes(10),
        notes.schedule: "at growing intervals, for 10 minutes",
        notes.source: "https://discord.com/developers/docs/events/webhook-events",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's time; only PINGs are identical",
        notes.recheck: "npm `discord-interactions`: `verifyWebhookEventMiddleware`",
    }

    /// `{timestamp}|{body}`. The attempt number in the body changes in retries, but the event's ID
    /// stays.
    TELNYX = "telnyx", "Telnyx", "https://developers.telnyx.com/docs/development/api-fundamentals/webhooks/receiving-webhooks", [Source Documentation] {
        algorithm: Ed25519,
        key_form: KeyForm::Base64,
        signatures: list![plain("telnyx-signature-ed25519")],
        encoding: Base64,
        content: list![Part::Timestamp, Part::Literal(text("|")), Part::Body],
        timestamp: time_header("telnyx-timestamp", Seconds, 300),
        id: pointer("/data/id"),
        event_type: pointer("/data/event_type"),
        event_time: event_time("/data/occurred_at", Rfc3339),
        event_data: data("/data/payload"),
        identity: Identity::SignedId,
        hints.time_budget: seconds(2),
        notes.secret_at: "Mission Control Portal, API keys, Public key",
        notes.schedule: "by product; messaging: up to 3 attempts for each URL",
        notes.keeps: &[Id, EventType],
        notes.changes: &[Body],
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented); the SDK also refuses them",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID and time",
        notes.source: "https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `telnyx`: `client.webhooks.unwrap(body, {headers, key})`",
    }

    /// The event webhook. The signature includes the line break at the end of the body. One request
    /// contains many events.
    ///
    /// The key of an event is `sg_event_id`, as SendGrid recommends. A user reports that it changes
    /// in retries (sendgrid-nodejs#1435). `event_identity_from` can use other fields. If an event
    /// has no `sg_event_id`, its bytes are its key.
    SENDGRID = "sendgrid", "SendGrid", "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features", [Vector Source Documentation] {
        algorithm: EcdsaP256,
        key_form: KeyForm::Spki,
        signatures: list![plain("x-twilio-email-event-webhook-signature")],
        encoding: Base64,
        content: TIME_BODY,
        timestamp: time_header("x-twilio-email-event-webhook-timestamp", Seconds, NOT_JUDGED),
        id: pointer("/0/sg_event_id"),
        event_type: pointer("/0/event"),
        envelope: events("", list![text("/event")], list![text("/sg_event_id")]),
        event_time: event_time("/timestamp", Seconds),
        identity: Identity::Digest,
        hints.retry_horizon: hours(24),
        notes.secret_at: "Settings, Mail Settings, Signed Event Webhook Requests: the verification key",
        notes.schedule: "at growing intervals, until 24 hours after the event",
        notes.source: "https://docs.sendgrid.com/for-developers/tracking-events/troubleshooting",
        notes.same_bytes: Never,
        notes.same_bytes_why: "each event has a random `sg_event_id`",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@sendgrid/eventwebhook`: `verifySignature(key, body, signature, timestamp)`",
    }

    /// Only the CRC-32 of the body is signed. A changed body can have the same CRC-32, so do not
    /// trust the content. Query PayPal, or fetch the resource by its ID. The parameter `webhook_id`
    /// is required.
    PAYPAL = "paypal", "PayPal", "https://developer.paypal.com/api/rest/webhooks/rest/", [Documentation] {
        algorithm: RsaSha256,
        key_form: KeyForm::Certificate,
        key_source: Some(KeySource::Url {
            place: Place::Header(text("paypal-cert-url")),
            hosts: list![
                text("api.paypal.com/v1/notifications/certs/"),
                text("api.sandbox.paypal.com/v1/notifications/certs/"),
            ],
        }),
        signatures: list![plain("paypal-transmission-sig")],
        encoding: Base64,
        content: list![
            Part::Header(text("paypal-transmission-id")),
            BAR,
            Part::Timestamp,
            BAR,
            Part::Parameter(text("webhook_id")),
            BAR,
            Part::Crc32,
        ],
        timestamp: time_header("paypal-transmission-time", Rfc3339, NOT_JUDGED),
        id: header("paypal-transmission-id"),
        event_type: pointer("/event_type"),
        event_time: event_time("/create_time", Rfc3339),
        event_data: data("/resource"),
        identity: Identity::SignedId,
        hints.retry_horizon: days(3),
        notes.secret_at: "no secret; the webhook's ID is in the developer dashboard, the app, Webhooks",
        notes.schedule: "up to 25 attempts over 3 days",
        notes.keeps: &[Id, EventType],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID and time",
        notes.source: "https://developer.paypal.com/api/rest/webhooks/rest/; `transmissions` of an event in the API",
        notes.checked: "2026-11-28",
        notes.recheck: "the page's section about message verification",
    }

    /// At least one parameter `topic_arn` is required, because the topics of all users share a
    /// signing key.
    ///
    /// `SignatureVersion` 2, SHA-256, for topics with that attribute. For other topics, use
    /// [`SNS_V1`]. The handler gets each `SubscriptionConfirmation`, and must fetch its
    /// `SubscribeURL`.
    ///
    /// SNS does not retry after 4xx, such as a handler's 422. If an endpoint has two subscriptions,
    /// both messages have the same ID. Raw message delivery has no signature, and is refused.
    SNS = "sns", "Amazon SNS", "https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html", [Source Documentation] {
        algorithm: RsaSha256,
        key_form: KeyForm::Certificate,
        key_source: SNS_CERTIFICATE,
        signatures: list![at(Place::Pointer(text("/Signature")), BARE)],
        encoding: Base64,
        content: SNS_FIELDS,
        timestamp: timestamp(TimestampPlace::Pointer(text("/Timestamp")), Rfc3339, NOT_JUDGED),
        parameter_fields: list![(text("/TopicArn"), text("topic_arn"))],
        required_fields: list![(text("/SignatureVersion"), text("2"))],
        id: pointer("/MessageId"),
        event_type: pointer("/Type"),
        event_time: event_time("/Timestamp", Rfc3339),
        identity: Identity::SignedId,
        // A message has up to 256 KiB, and escapes may double it.
        hints.body_limit: Some(576 << 10),
        hints.retry_horizon: hours(1),
        hints.time_budget: seconds(15),
        notes.secret_at: "no secret; the topic's ARN is in the SNS console, Topics",
        notes.schedule: "3 retries, 20 s apart; a policy can extend them to 1 hour",
        notes.keeps: &[Id, EventType],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the message's ID and time",
        notes.source: "https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html; awsdocs `SendMessageToHttp.prepare.md`",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `sns-validator`: `new Validator().validate(message, callback)`",
    }

    /// `SignatureVersion` 1, SHA-1. Prefer [`SNS`]. The parameter `topic_arn` is also required.
    SNS_V1 = "sns-v1", "Amazon SNS, SHA-1", "https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html", [Source Documentation] like SNS {
        algorithm: RsaSha1,
        required_fields: list![(text("/SignatureVersion"), text("1"))],
    }

    /// A token whose claim `sha256` is the body's digest. The body is the deploy or the submission,
    /// not the event. Two events can be identical, so there is no idempotency key.
    NETLIFY = "netlify", "Netlify", "https://docs.netlify.com/deploy/deploy-notifications/", [Documentation] {
        algorithm: JwtHs256,
        signatures: list![plain("x-webhook-signature")],
        content: list![],
        body_digest: Some(BodyDigest::claim(text("sha256"))),
        issuer: Some(text("netlify")),
        event_type: header("x-netlify-event"),
        identity: Identity::None,
        notes.secret_at: "chosen by the user: project, Notifications, HTTP POST request, JWS secret token",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "two notifications can describe the same state of a deploy",
        notes.checked: "2026-11-28",
        notes.recheck: "the page, Payload signature",
    }

    /// Integration recipes, and webhooks of boards that were created with an app's OAuth token.
    /// Other webhooks have no token. The token does not cover the body, so do not trust the
    /// content. If the verifier has a public URL, the token's audience must be this URL.
    ///
    /// Lifecycle events of an app are signed with its client secret. Their type is at `/type`.
    MONDAY = "monday", "monday.com", "https://developer.monday.com/apps/docs/integration-authorization", [Source Documentation] {
        algorithm: JwtHs256,
        signatures: list![plain("authorization")],
        content: list![],
        required_claims: list![text("exp"), text("aud")],
        event_type: pointer("/event/type"),
        event_time: event_time("/event/triggerTime", Rfc3339),
        event_data: data("/event"),
        identity: Identity::None,
        challenges: list![Challenge::MONDAY],
        hints.retry_horizon: minutes(30),
        notes.secret_at: "Developer Center, the app, Basic Information, Signing Secret",
        notes.schedule: "once a minute for 30 minutes",
        notes.source: "https://developer.monday.com/api-reference/reference/webhooks",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the trigger's UUID and time in milliseconds",
        notes.checked: "2026-11-28",
        notes.recheck: "the page Authorization header, JWT contents",
    }

    /// A token whose claim `payload_hash` is the digest of the body. For `GET` requests, which the
    /// Voice API uses most, it is the digest of the query as JSON. With a body, the query is not
    /// signed. The token does not state whether the fields were in the body or in the query, so
    /// read them from the place that you configured at Vonage. The token's claim `iat` is checked.
    /// The fields that identify an event depend on the product, so there is no idempotency key.
    VONAGE = "vonage", "Vonage", "https://developer.vonage.com/en/getting-started/concepts/webhooks", [Source Documentation] {
        algorithm: JwtHs256,
        signatures: list![at(
            Place::Header(text("authorization")),
            Grammar::Plain(Prefix::Scheme(text("Bearer"))),
        )],
        content: list![],
        body_digest: Some(BodyDigest::claim_or_query(text("payload_hash"))),
        timestamp: timestamp(TimestampPlace::Claim(text("iat")), Seconds, 300),
        identity: Identity::None,
        hints.retry_horizon: hours(24),
        hints.time_budget: seconds(15),
        notes.secret_at: "dashboard, Settings, signature secret",
        notes.schedule: "Messages and Dispatch: after 5 s, then doubled up to 15 min, for 24 hours, on 429 and 5xx; Voice: once",
        notes.source: "https://api.support.vonage.com/hc/en-us/articles/360028543292",
        notes.same_bytes: Unknown,
        notes.same_bytes_why: "depends on the product",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its token (not documented)",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@vonage/jwt`: `verifySignature(token, secret)`",
    }

    /// A token signed with one of Plaid's keys. Plaid's API returns the key for its ID. The claim
    /// `request_body_sha256` is the body's digest. Respond with 200.
    ///
    /// Bodies have neither an ID nor a time, and each `SYNC_UPDATES_AVAILABLE` of an item is the
    /// same. So there is no idempotency key. `/webhook_code` is the event within its type.
    PLAID = "plaid", "Plaid", "https://plaid.com/docs/api/webhooks/webhook-verification/", [Source Documentation] {
        algorithm: JwtEs256,
        key_form: KeyForm::Jwk,
        key_source: Some(KeySource::KeyId),
        signatures: list![plain("plaid-verification")],
        content: list![],
        body_digest: Some(BodyDigest::claim(text("request_body_sha256"))),
        timestamp: timestamp(TimestampPlace::Claim(text("iat")), Seconds, 300),
        event_type: pointer("/webhook_type"),
        identity: Identity::None,
        hints.retry_horizon: hours(24),
        hints.time_budget: seconds(10),
        notes.secret_at: "no secret; the API `/webhook_verification_key/get` returns the public key",
        notes.schedule: "after 30 s, then after 4 times the last delay, for up to 24 hours",
        notes.source: "https://plaid.com/docs/api/webhooks/#webhook-retries",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "each `SYNC_UPDATES_AVAILABLE` of an item has the same body",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its token (not documented); Plaid requires the same window",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `plaid`: `SyncUpdatesAvailableWebhook`; the page's steps",
    }
}

const BAR: Part = Part::Literal(text("|"));

const SNS_CERTIFICATE: Option<KeySource> = Some(KeySource::Url {
    place: Place::Pointer(text("/SigningCertURL")),
    hosts: list![
        text("sns.*.amazonaws.com/SimpleNotificationService-"),
        text("sns.*.amazonaws.com.cn/SimpleNotificationService-"),
    ],
});

/// The fields of a notification and of a confirmation. Neither has all of them.
const SNS_FIELDS: List<Part> = list![Part::Fields(list![
    text("/Message"),
    text("/MessageId"),
    text("/Subject"),
    text("/SubscribeURL"),
    text("/Timestamp"),
    text("/Token"),
    text("/TopicArn"),
    text("/Type"),
])];
