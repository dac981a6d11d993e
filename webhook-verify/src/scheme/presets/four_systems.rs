//! The four systems that the crates were made for, and the two generic forms.

use std::borrow::Cow;

use super::{
    super::{
        Algorithm, Envelope, Evidence, Field, Identity, Place,
        SameBytes::{Never, Possible},
        Scheme,
        Sent::{Body, EventType, Id, Signature, Timestamp},
        TimeUnit::{Rfc3339, Seconds},
    },
    BARE, DOTTED, at, data, event_time, header, hours, plain, pointer, prefixed, seconds, set,
    text, time_header,
};
use crate::encoding::Encoding;

rows! { FOUR_SYSTEMS;

    /// HMAC-SHA256 of the body in base64, in `Webhook-Signature` (or `X-Webhook-Signature`).
    /// Nothing is known about the sender, so there is no idempotency key. Set one with
    /// `Idempotency::identity` or `Idempotency::identity_from`.
    GENERIC_BASE64 = "generic-base64", "Generic base64", "https://www.rfc-editor.org/rfc/rfc2104", [Vector] {
        whsec_text: true,
        signatures: list![plain("webhook-signature"), plain("x-webhook-signature")],
        encoding: Encoding::Base64,
        notes.secret_at: "agreed with the sender",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "the body may be empty or constant, such as a signal to start",
        notes.checked: "2026-11-28",
        notes.recheck: "recompute with `openssl dgst -sha256 -hmac SECRET -binary | base64`",
    }

    /// HMAC-SHA256 of the body in hex, in `X-Webhook-Signature: sha256=…`. Nothing is known about
    /// the sender, so there is no idempotency key. Set one with `Idempotency::identity` or
    /// `Idempotency::identity_from`.
    GENERIC_HEX = "generic-hex", "Generic hex", "https://www.rfc-editor.org/rfc/rfc2104", [Vector] {
        whsec_text: true,
        signatures: list![prefixed("x-webhook-signature", "sha256=")],
        notes.secret_at: "agreed with the sender",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "the body may be empty or constant, such as a signal to start",
        notes.checked: "2026-11-28",
        notes.recheck: "recompute with `openssl dgst -sha256 -hmac SECRET`",
    }

    /// From Mautic 3.0 on. One request contains one or more events, grouped by type, without an ID
    /// or a timestamp. The bytes of each event are its key, so an event is a duplicate even if
    /// Mautic regroups it.
    ///
    /// Mautic 4.0 to 5.x does not retry. After a response other than 2xx, the events are lost. Many
    /// such responses disable the webhook.
    MAUTIC = "mautic", "Mautic", "https://devdocs.mautic.org/en/latest/webhooks/getting_started.html", [Source] {
        signatures: list![plain("webhook-signature")],
        encoding: Encoding::Base64,
        event_type: Some(Field::FirstKey),
        envelope: Envelope::ByType,
        event_time: event_time("/timestamp", Rfc3339),
        test_field: Some(text("/timestamp")),
        identity: Identity::Digest,
        hints.time_budget: seconds(15),
        notes.secret_at: "Webhooks, the webhook, Secret",
        notes.schedule: "3.x and versions after 5.x: when the queue runs again; 4.0 to 5.x: only after failed connections, from the queue",
        notes.keeps: &[EventType],
        notes.changes: &[Body, Signature],
        notes.same_bytes: Never,
        notes.same_bytes_why: "each event has its data, and its time in seconds",
        notes.source: "https://github.com/mautic/mautic/blob/5.x/app/bundles/WebhookBundle/Model/WebhookModel.php",
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `mautic/mautic`: `app/bundles/WebhookBundle/Http/Client.php`",
    }

    /// The signature that core-php and core-api make: bare hex over `{timestamp}.{body}`.
    ///
    /// Use the ID and event type in the signed body; the ID header is another, unsigned value.
    /// Retries may arrive up to 27 h after the event (36 min, according to the documentation), with
    /// a new timestamp and signature but the same body.
    HOST_UK_CORE_API = "host-uk-core-api", "Host UK core-php", "https://github.com/host-uk/core-api", [Source] {
        whsec_text: true,
        signatures: list![plain("x-webhook-signature")],
        content: DOTTED,
        timestamp: time_header("x-webhook-timestamp", Seconds, 300),
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_header: Some(text("x-webhook-event")),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(27),
        hints.time_budget: seconds(10),
        notes.secret_at: "field `secret` of the webhook endpoint",
        notes.schedule: "after 5 and 30 min, 2 h and 24 h, but not reliably",
        notes.keeps: &[Body, Id, EventType],
        notes.changes: &[Timestamp, Signature],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.source: "https://github.com/host-uk/core-api/blob/main/src/Api/Models/WebhookDelivery.php",
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `host-uk/core-api`: `src/Api/Services/WebhookSignature.php`",
    }

    /// The signature that core-php's webhook page documents: `sha256=` and hex over the body.
    ///
    /// The code does not sign this way: for a real sender use the preset `host-uk-core-api`. Replays are not
    /// limited in time, so neither preset falls back on the other.
    HOST_UK_DOCUMENTED = "host-uk-documented", "Host UK core-php, as documented", "https://github.com/host-uk/core-php", [Documentation] {
        whsec_text: true,
        signatures: list![prefixed("x-webhook-signature", "sha256=")],
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_header: Some(text("x-webhook-event")),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/data"),
        test_field: Some(text("/data/test")),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(24),
        hints.time_budget: seconds(10),
        notes.secret_at: "field `secret` of the webhook endpoint",
        notes.schedule: "after 1, 5 and 30 min",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.source: "https://github.com/host-uk/core-php/blob/main/docs/packages/api/webhooks.md",
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `host-uk/core-php`: `docs/packages/api/webhooks.md`",
    }

    /// Up to January 2026: bare hex over the body, in `X-HostHub-Signature`.
    HOST_UK_HOSTHUB_LEGACY = "host-uk-hosthub-legacy", "Host UK core-php, legacy", "https://github.com/host-uk/core-php", [Source] like HOST_UK_DOCUMENTED {
        whsec_text: true,
        signatures: list![plain("x-hosthub-signature")],
        event_header: Some(text("x-hosthub-event")),
        test_field: None,
        notes.schedule: "",
        notes.source: "",
        notes.recheck: "GitHub `host-uk/core-php`, commit `b26c430c`",
    }

    /// The signature that its withdrawn REST page documented: `sha256=` and hex over the body.
    ///
    /// No FluentCRM release is known to send this. Its webhook step sends a fixed header: use
    /// `Scheme::shared_header`.
    FLUENTCRM_DOCUMENTED = "fluentcrm-documented", "FluentCRM, as documented", "https://developers.fluentcrm.com/rest-api/", [Documentation] {
        signatures: list![prefixed("x-fluentcrm-signature", "sha256=")],
        id: header("x-fluentcrm-delivery"),
        event_type: pointer("/event"),
        event_header: Some(text("x-fluentcrm-event")),
        event_time: event_time("/timestamp", Rfc3339),
        event_data: data("/data"),
        identity: Identity::Digest,
        hints.retry_horizon: hours(27),
        hints.time_budget: seconds(30),
        notes.secret_at: "field `secret` of the webhook",
        notes.schedule: "after 1, 5 and 30 min, 2 h and 24 h",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the time of its event",
        notes.source: "https://github.com/FluentCRM/fluent-crm-developers-docs/blob/28896d2e/src/rest-api/webhooks.md",
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `FluentCRM/fluent-crm-developers-docs`, commit `28896d2e`: `src/rest-api/webhooks.md`",
    }

    /// Callers of PIPEFORCE webhooks send a token in the header `token`, in the query (`token`,
    /// formerly `uuid`) or in the form field `token`. Tokens in two places must be equal.
    ///
    /// It authenticates the caller only. Callers send no ID, so there is no idempotency key.
    PIPEFORCE_TOKEN = "pipeforce-token", "PIPEFORCE", "https://docs.pipeforce.org/docs/guides/messaging/webhooks", [Documentation] {
        algorithm: Algorithm::Token,
        signatures: list![
            plain("token"),
            at(Place::Query(text("token")), BARE),
            at(Place::Query(text("uuid")), BARE),
            at(Place::Form(text("token")), BARE),
        ],
        content: list![],
        hints.body_limit: Some(512_000),
        notes.secret_at: "the response of `webhook.put`",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "callers choose the body",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page Webhooks",
    }
}
