//! Identity checks, personnel, shipping and vehicles.

use std::borrow::Cow;

use super::{
    super::{
        Evidence, Grammar, Identity, KeyForm, Part, Place, SameBytes, Scheme, Sent,
        TimeUnit::{Milliseconds, Rfc3339, Seconds},
    },
    COLON, DOTTED, NOT_JUDGED, at, data, event_time, header, minutes, plain, pointer, prefixed,
    seconds, set, text, time_header, time_pair,
};
use crate::encoding::Encoding::Base64;

rows! { OPERATIONS;

    /// Tracking. Returns and Shipping use other headers.
    AFTERSHIP_TRACKING = "aftership-tracking", "AfterShip Tracking", "https://www.aftership.com/docs/tracking/webhook/webhook-signature", [Documentation] {
        signatures: list![plain("aftership-hmac-sha256")],
        encoding: Base64,
        event_type: pointer("/event"),
        event_data: data("/msg"),
        identity: Identity::None,
        notes.secret_at: "Settings, Notifications, webhook secret",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, Node sample",
    }

    /// Hex over `POST` and the body.
    DEEL = "deel", "Deel", "https://developer.deel.com/api/webhooks/quickstart", [Documentation] {
        signatures: list![plain("x-deel-signature")],
        content: list![Part::Literal(text("POST")), Part::Body],
        event_type: pointer("/data/meta/event_type"),
        event_time: event_time("/timestamp", Rfc3339),
        identity: Identity::None,
        notes.secret_at: "the signing key in the API response that creates the subscription",
        notes.same_bytes: SameBytes::Unknown,
        notes.same_bytes_why: "the body has the event's time",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, section Security",
    }

    /// Hex over the sequence GUID, a space and the body. For the older POS webhooks, use
    /// [`DELIVEROO_LEGACY`].
    DELIVEROO = "deliveroo", "Deliveroo", "https://api-docs.deliveroo.com/docs/securing-webhooks", [Documentation] {
        signatures: list![plain("x-deliveroo-hmac-sha256")],
        content: list![
            Part::Header(text("x-deliveroo-sequence-guid")),
            Part::Literal(text(" ")),
            Part::Body,
        ],
        event_type: pointer("/event"),
        event_data: data("/body"),
        identity: Identity::None,
        notes.secret_at: "the account manager gives it at registration",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, Step 2",
    }

    /// POS webhooks for new and canceled orders. A line feed between two spaces separates the GUID
    /// and the body.
    DELIVEROO_LEGACY = "deliveroo-legacy", "Deliveroo, older POS webhooks", "https://api-docs.deliveroo.com/docs/securing-webhooks", [Documentation] like DELIVEROO {
        content: list![
            Part::Header(text("x-deliveroo-sequence-guid")),
            Part::Literal(text(" \n ")),
            Part::Body,
        ],
        identity: Identity::None,
        notes.secret_at: "the account manager gives it at registration",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, Step 2",
    }

    /// A secret with non-ASCII characters must be in the Unicode normalization form NFKD.
    EASYPOST = "easypost", "EasyPost", "https://docs.easypost.com/guides/webhooks-guide", [Source Documentation] {
        signatures: list![prefixed("x-hmac-signature", "hmac-sha256-hex=")],
        id: pointer("/id"),
        event_type: pointer("/description"),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/result"),
        identity: Identity::SignedId,
        notes.secret_at: "the user sets `webhook_secret` with the webhook",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's /id",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@easypost/api`: `client.Utils.validateWebhook`",
    }

    /// Recruiting and Onboarding: `sha256`, a space and hex. Only 200 stops the retries. The ID
    /// header is not signed.
    GREENHOUSE = "greenhouse", "Greenhouse", "https://developers.greenhouse.io/webhooks.html#authentication", [Documentation] {
        signatures: list![prefixed("signature", "sha256 ")],
        id: header("greenhouse-event-id"),
        event_type: pointer("/action"),
        event_data: data("/payload"),
        identity: Identity::Digest,
        hints.retry_horizon: minutes(916),
        notes.secret_at: "the hook's secret key",
        notes.schedule: "6 retries after 1, 15, 60, 120, 240 and 480 min",
        notes.source: "GitHub `grnhse/greenhouse-api-docs`: `source/includes/webhooks/_introduction.md`",
        notes.same_bytes: SameBytes::Unknown,
        notes.same_bytes_why: "the body has no time of the event; each delivery has its own ID",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, section Authentication",
    }

    /// The secret is the webhook's token.
    ONFIDO = "onfido", "Onfido", "https://documentation.identity.entrust.com/api/manual-webhook-signature-verification/", [Source Documentation] {
        signatures: list![plain("x-sha2-signature")],
        event_type: pointer("/payload/action"),
        event_data: data("/payload"),
        identity: Identity::None,
        notes.secret_at: "Dashboard or API, the webhook's token",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "the body has no ID of the event, and its time is in seconds",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@onfido/api`: `WebhookEventVerifier.readPayload`",
    }

    /// During a rotation, there are two groups of pairs, separated by a space. The timestamp is not
    /// checked, because the documentation states no tolerance.
    PERSONA = "persona", "Persona", "https://docs.withpersona.com/2022-09-01/webhooks-best-practices", [Documentation] {
        signatures: list![at(
            Place::Header(text("persona-signature")),
            Grammar::Pairs {
                separator: ',',
                groups: Some(' '),
                keys: list![text("v1")],
            },
        )],
        content: DOTTED,
        timestamp: time_pair("t", Seconds, NOT_JUDGED),
        id: pointer("/data/id"),
        event_type: pointer("/data/attributes/name"),
        event_time: event_time("/data/attributes/created-at", Rfc3339),
        identity: Identity::SignedId,
        hints.time_budget: seconds(5),
        notes.secret_at: "Dashboard, Webhooks, the webhook, secret",
        notes.schedule: "up to 8 retries",
        notes.source: "https://docs.withpersona.com/v2021-05-14/docs/webhooks",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, section Checking signatures",
    }

    /// Hex over `v1:{timestamp}:{body}`. The key is base64.
    SAMSARA = "samsara", "Samsara", "https://developers.samsara.com/docs/webhooks#webhook-signatures", [Vector Source] {
        key_form: KeyForm::Base64,
        signatures: list![prefixed("x-samsara-signature", "v1=")],
        content: list![Part::Literal(text("v1:")), Part::Timestamp, COLON, Part::Body],
        timestamp: time_header("x-samsara-timestamp", Seconds, 300),
        id: pointer("/eventId"),
        event_type: pointer("/eventType"),
        event_time: event_time("/eventMs", Milliseconds),
        identity: Identity::SignedId,
        notes.secret_at: "the webhook's secret, in base64",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented)",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.checked: "2026-11-28",
        notes.recheck: ".NET SDK: `WebhooksHelperV1SignatureIssueTests`",
    }

    /// HMAC-SHA256, the default of `x-payload-digest-alg`. Webhooks with another algorithm are
    /// refused.
    SUMSUB = "sumsub", "Sumsub", "https://docs.sumsub.com/docs/webhook-manager", [Source Documentation] {
        signatures: list![plain("x-payload-digest")],
        event_type: pointer("/type"),
        identity_fields: list![text("/applicantId"), text("/type"), text("/createdAtMs")],
        identity: Identity::Fields,
        hints.retry_horizon: minutes(1445),
        hints.time_budget: seconds(10),
        notes.secret_at: "Dashboard, Dev space, Webhooks, the webhook, Secret key",
        notes.schedule: "4 retries after 5 min, 1 h, 5 h and 18 h",
        notes.source: "https://docs.sumsub.com/docs/webhook-manager",
        notes.same_bytes: SameBytes::Unknown,
        notes.same_bytes_why: "the sender's example identifies an event by applicant, type and time",
        notes.checked: "2026-11-28",
        notes.recheck: "github `SumSubstance/agent-skills`: `webhook-verify.js`",
    }

    /// The ID and the event type are in the signed body.
    YOUSIGN = "yousign", "Yousign", "https://developers.yousign.com/docs/use-webhooks-in-your-app", [Documentation] {
        signatures: list![prefixed("x-yousign-signature-256", "sha256=")],
        id: pointer("/event_id"),
        event_type: pointer("/event_name"),
        event_time: event_time("/event_time", Seconds),
        event_data: data("/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: minutes(5798),
        notes.secret_at: "the webhook subscription, secret key",
        notes.schedule: "8 retries after 2 min, 6 min, 30 min, 1 h, 5 h, 18 h, 1 day and 2 days; without `auto_retry`, 1 retry after a timeout",
        notes.keeps: &[Sent::Id, Sent::EventType],
        notes.source: "https://developers.yousign.com/docs/failure-and-retry-policy",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, Python sample",
    }
}
