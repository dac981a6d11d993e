//! Senders that sign with a private key, and those that send a JSON Web Token.

use std::borrow::Cow;

use super::{
    super::{
        Algorithm::{EcdsaP256, Ed25519, JwtEs256, JwtHs256, RsaSha1, RsaSha256},
        BodyDigest, Challenge, Evidence, Grammar, Identity, KeyForm, KeySource, List, Part, Place,
        Prefix, Scheme,
        TimeUnit::{Rfc3339, Seconds},
        TimestampPlace,
    },
    BARE, ID_DOTTED, NOT_JUDGED, TIME_BODY, at, data, days, event_time, events, header, hours,
    plain, pointer, seconds, set, text, time_header, timestamp, versions,
};
use crate::encoding::Encoding::Base64;

rows! { PUBLIC_KEYS;

    /// Version 1a, asymmetric: `v1a,<base64>` over `{id}.{timestamp}.{body}` with a `whpk_` key.
    STANDARD_WEBHOOKS_V1A = "standard-webhooks-v1a", "Standard Webhooks v1a", "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md", [Vector Documentation] {
        algorithm: Ed25519,
        key_form: KeyForm::Whpk,
        signatures: list![versions("webhook-signature", list![text("v1a")])],
        encoding: Base64,
        content: ID_DOTTED,
        timestamp: time_header("webhook-timestamp", Seconds, 300),
        id: header("webhook-id"),
        event_type: pointer("/type"),
        event_time: event_time("/timestamp", Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(76),
        hints.time_budget: seconds(15),
    }

    /// Interactions and events. Discord also sends wrong signatures, and expects 401 for them.
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
    }

    /// `{timestamp}|{body}`.
    TELNYX = "telnyx", "Telnyx", "https://developers.telnyx.com/development/api-fundamentals/webhooks/receiving-webhooks", [Unproven] {
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
    }

    /// The event webhook. The line break at the end of the body is signed as well. One request
    /// contains many events, and their IDs change from one attempt to the next.
    SENDGRID = "sendgrid", "SendGrid", "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features", [Vector Source] {
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
    }

    /// Only the CRC-32 of the body is signed. A changed body can have the same one, so do not trust
    /// the content: ask PayPal, or read the resource by its ID. Needs the parameter `webhook_id`.
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
    }

    /// Needs the parameter `topic_arn`, at least once: one key signs the topics of all users.
    ///
    /// `SignatureVersion` 2, SHA-256, for topics with that attribute. Others are [`SNS_V1`]. The
    /// handler gets each `SubscriptionConfirmation`, and fetches its `SubscribeURL`.
    SNS = "sns", "Amazon SNS", "https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html", [Source] {
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
        hints.time_budget: seconds(15),
    }

    /// `SignatureVersion` 1, SHA-1. Prefer [`SNS`]. Also needs the parameter `topic_arn`.
    SNS_V1 = "sns-v1", "Amazon SNS, SHA-1", "https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html", [Source] like SNS {
        algorithm: RsaSha1,
        required_fields: list![(text("/SignatureVersion"), text("1"))],
    }

    /// A token whose claim `sha256` is the body's digest.
    NETLIFY = "netlify", "Netlify", "https://docs.netlify.com/deploy/deploy-notifications/", [Unproven] {
        algorithm: JwtHs256,
        signatures: list![plain("x-webhook-signature")],
        content: list![],
        body_digest: Some(BodyDigest::claim(text("sha256"))),
        issuer: Some(text("netlify")),
        event_type: header("x-netlify-event"),
        identity: Identity::Digest,
    }

    /// Integration recipes. The token does not cover the body, so do not trust the content. If the
    /// verifier has a public URL, the token must be for it.
    MONDAY = "monday", "monday.com", "https://developer.monday.com/apps/docs/integration-authorization", [Documentation] {
        algorithm: JwtHs256,
        signatures: list![plain("authorization")],
        content: list![],
        required_claims: list![text("exp"), text("aud")],
        event_type: pointer("/event/type"),
        event_time: event_time("/event/triggerTime", Rfc3339),
        event_data: data("/event"),
        identity: Identity::None,
        challenges: list![Challenge::MONDAY],
        hints.retry_horizon: seconds(1800),
    }

    /// A token whose claim `payload_hash` is the digest of the body, or of the query as JSON: most
    /// requests of the Voice API are `GET`. The token's claim `iat` is checked.
    VONAGE = "vonage", "Vonage", "https://developer.vonage.com/en/getting-started/concepts/webhooks", [Unproven] {
        algorithm: JwtHs256,
        signatures: list![at(
            Place::Header(text("authorization")),
            Grammar::Plain(Prefix::Scheme(text("Bearer"))),
        )],
        content: list![],
        body_digest: Some(BodyDigest::claim_or_query(text("payload_hash"))),
        timestamp: timestamp(TimestampPlace::Claim(text("iat")), Seconds, 300),
        identity: Identity::Digest,
    }

    /// A token signed with one of Plaid's keys, which Plaid returns for its ID. The claim
    /// `request_body_sha256` is the body's digest.
    PLAID = "plaid", "Plaid", "https://plaid.com/docs/api/webhooks/webhook-verification/", [Documentation] {
        algorithm: JwtEs256,
        key_form: KeyForm::Jwk,
        key_source: Some(KeySource::KeyId),
        signatures: list![plain("plaid-verification")],
        content: list![],
        body_digest: Some(BodyDigest::claim(text("request_body_sha256"))),
        timestamp: timestamp(TimestampPlace::Claim(text("iat")), Seconds, 300),
        event_type: pointer("/webhook_type"),
        identity: Identity::Digest,
        hints.retry_horizon: hours(24),
        hints.time_budget: seconds(10),
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
