//! Senders that sign a timestamp with the body.

use std::borrow::Cow;

use super::{
    super::{
        Challenge, Evidence, Identity, KeyForm, Part, Scheme,
        TimeUnit::{Milliseconds, Rfc1123, Rfc3339, Seconds},
    },
    BODY_TIME, COLON, DOTTED, ID_DOTTED, NOT_JUDGED, TIME_BODY, V0, data, days, event_time, events,
    header, hours, minutes, pairs, plain, pointer, prefixed, seconds, set, text, time_header,
    time_pair, versions,
};
use crate::encoding::Encoding::{Base64, Base64Url};

rows! { TIMED;

    /// Version 1, symmetric: `v1,<base64>` over `{id}.{timestamp}.{body}` with a `whsec_` key.
    STANDARD_WEBHOOKS = "standard-webhooks", "Standard Webhooks", "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md", [Vector Source Documentation] {
        signatures: list![versions("webhook-signature", list![text("v1")])],
        encoding: Base64,
        key_form: KeyForm::Whsec,
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

    /// Standard Webhooks with other header names.
    SVIX = "svix", "Svix", "https://docs.svix.com/receiving/verifying-payloads/how-manual", [Vector Source] {
        signatures: list![versions("svix-signature", list![text("v1")])],
        encoding: Base64,
        key_form: KeyForm::Whsec,
        content: ID_DOTTED,
        timestamp: time_header("svix-timestamp", Seconds, 300),
        id: header("svix-id"),
        event_type: pointer("/type"),
        event_time: event_time("/timestamp", Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(28),
        hints.time_budget: seconds(15),
    }

    /// Sent by Svix.
    CLERK = "clerk", "Clerk", "https://clerk.com/docs/webhooks/overview", [Vector Source] like SVIX {
        event_time: event_time("/timestamp", Milliseconds),
    }

    /// Sent by Svix.
    RESEND = "resend", "Resend", "https://resend.com/docs/dashboard/webhooks/verify-webhooks-requests", [Vector Source] like SVIX {
        event_time: event_time("/created_at", Rfc3339),
    }

    /// Standard Webhooks.
    OPENAI = "openai", "OpenAI", "https://platform.openai.com/docs/guides/webhooks", [Vector Source] like STANDARD_WEBHOOKS {
        event_time: event_time("/created_at", Seconds),
        hints.retry_horizon: hours(72),
        hints.time_budget: None,
    }

    /// Standard Webhooks.
    REPLICATE = "replicate", "Replicate", "https://replicate.com/docs/topics/webhooks/verify-webhook", [Vector Source] like STANDARD_WEBHOOKS {
        event_time: None,
        event_data: None,
        hints.retry_horizon: None,
        hints.time_budget: None,
    }

    /// Standard Webhooks.
    LITHIC = "lithic", "Lithic", "https://docs.lithic.com/docs/events-api", [Vector Source] like STANDARD_WEBHOOKS {
        event_time: None,
        event_data: None,
        hints.retry_horizon: None,
        hints.time_budget: None,
    }

    /// The signing token: Standard Webhooks. The older secret token is [`GITLAB`](super::GITLAB).
    GITLAB_SIGNED = "gitlab-signed", "GitLab, signing token", "https://docs.gitlab.com/user/project/integrations/webhooks/", [Documentation] like STANDARD_WEBHOOKS {
        event_type: header("x-gitlab-event"),
        event_time: None,
        event_data: None,
        hints.retry_horizon: None,
        hints.time_budget: seconds(10),
    }

    /// `t=…,v1=…` over `{timestamp}.{body}`. The secret is used whole, `whsec_` included.
    STRIPE = "stripe", "Stripe", "https://docs.stripe.com/webhooks#verify-manually", [Vector Source] {
        signatures: list![pairs("stripe-signature", ',', list![text("v1")])],
        content: DOTTED,
        timestamp: time_pair("t", Seconds, 300),
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_time: event_time("/created", Seconds),
        event_data: data("/data/object"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(72),
    }

    /// Without a delivery ID.
    CALENDLY = "calendly", "Calendly", "https://developer.calendly.com/api-docs/4c305798a61d3-webhook-signatures", [Documentation] {
        signatures: list![pairs("calendly-webhook-signature", ',', list![text("v1")])],
        content: DOTTED,
        timestamp: time_pair("t", Seconds, 180),
        event_type: pointer("/event"),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/payload"),
        identity: Identity::Digest,
        hints.retry_horizon: hours(24),
    }

    /// Base64url. Sanity's own toolkit does not check the timestamp. The ID header is not signed.
    SANITY = "sanity", "Sanity", "https://www.sanity.io/docs/compute-and-ai/webhook-best-practices", [Vector Source] {
        signatures: list![pairs("sanity-webhook-signature", ',', list![text("v1")])],
        encoding: Base64Url,
        content: DOTTED,
        timestamp: time_pair("t", Milliseconds, NOT_JUDGED),
        id: header("idempotency-key"),
        identity: Identity::Digest,
        hints.retry_horizon: minutes(30),
    }

    /// Milliseconds.
    WORKOS = "workos", "WorkOS", "https://workos.com/docs/events/data-syncing/webhooks", [Vector] {
        signatures: list![pairs("workos-signature", ',', list![text("v1")])],
        content: DOTTED,
        timestamp: time_pair("t", Milliseconds, 180),
        id: pointer("/id"),
        event_type: pointer("/event"),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
    }

    /// Retries count their attempts in the body, but keep the event's ID.
    MUX = "mux", "Mux", "https://www.mux.com/docs/core/verify-webhook-signatures", [Vector] {
        signatures: list![pairs("mux-signature", ',', list![text("v1")])],
        content: DOTTED,
        timestamp: time_pair("t", Seconds, 300),
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
    }

    /// The timestamp may be 5 s old. Each retry has a new one.
    PADDLE = "paddle", "Paddle Billing", "https://developer.paddle.com/webhooks/signature-verification", [Vector Source] {
        signatures: list![pairs("paddle-signature", ';', list![text("h1")])],
        content: list![Part::Timestamp, COLON, Part::Body],
        timestamp: time_pair("ts", Seconds, 5),
        id: pointer("/event_id"),
        event_type: pointer("/event_type"),
        event_time: event_time("/occurred_at", Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: days(3),
        hints.time_budget: seconds(5),
    }

    /// `v0` is the current version.
    ELEVENLABS = "elevenlabs", "ElevenLabs", "https://elevenlabs.io/docs/product-guides/administration/webhooks", [Vector] {
        signatures: list![pairs("elevenlabs-signature", ',', list![text("v0")])],
        content: DOTTED,
        timestamp: time_pair("t", Seconds, 1800),
        event_type: pointer("/type"),
        event_time: event_time("/event_timestamp", Seconds),
        event_data: data("/data"),
        identity: Identity::Digest,
    }

    /// `t=…,s=…`.
    TIKTOK = "tiktok", "TikTok", "https://developers.tiktok.com/doc/webhooks-verification", [Unproven] {
        signatures: list![pairs("tiktok-signature", ',', list![text("s")])],
        content: DOTTED,
        timestamp: time_pair("t", Seconds, 300),
        event_type: pointer("/event"),
        event_time: event_time("/create_time", Seconds),
        identity: Identity::Digest,
    }

    /// `time=…,sig1=…`.
    CLOUDFLARE_STREAM = "cloudflare-stream", "Cloudflare Stream", "https://developers.cloudflare.com/stream/manage-video-library/using-webhooks/", [Unproven] {
        signatures: list![pairs("webhook-signature", ',', list![text("sig1")])],
        content: DOTTED,
        timestamp: time_pair("time", Seconds, 300),
        identity: Identity::Digest,
    }

    /// Version 0, which signs no headers.
    COINBASE_CDP = "coinbase-cdp", "Coinbase CDP", "https://docs.cdp.coinbase.com/webhooks/verify-signatures", [Unproven] {
        signatures: list![pairs("x-hook0-signature", ',', list![text("v0")])],
        content: DOTTED,
        timestamp: time_pair("t", Seconds, 300),
        identity: Identity::Digest,
    }

    /// `sha256=…, t=…` over `{body}{timestamp}`.
    GHOST = "ghost", "Ghost", "https://docs.ghost.org/webhooks", [Unproven] {
        signatures: list![pairs("x-ghost-signature", ',', list![text("sha256")])],
        content: BODY_TIME,
        timestamp: time_pair("t", Milliseconds, 300),
        identity: Identity::Digest,
    }

    /// `v0=` and hex over `v0:{timestamp}:{body}`. Slack also sends unsigned forms with
    /// `ssl_check=1`, which get a response.
    SLACK = "slack", "Slack", "https://docs.slack.dev/authentication/verifying-requests-from-slack", [Vector Source] {
        signatures: list![prefixed("x-slack-signature", "v0=")],
        content: V0,
        timestamp: time_header("x-slack-request-timestamp", Seconds, 300),
        id: pointer("/event_id"),
        event_type: pointer("/event/type"),
        event_time: event_time("/event_time", Seconds),
        event_data: data("/event"),
        identity: Identity::SignedId,
        challenges: list![Challenge::SLACK, Challenge::SLACK_SSL_CHECK],
        hints.retry_horizon: hours(2),
        hints.time_budget: seconds(3),
    }

    /// The secret also signs the response to the challenge, which Zoom sends every 72 hours.
    ZOOM = "zoom", "Zoom", "https://developers.zoom.us/docs/api/webhooks/", [Unproven] {
        signatures: list![prefixed("x-zm-signature", "v0=")],
        content: V0,
        timestamp: time_header("x-zm-request-timestamp", Seconds, 300),
        event_type: pointer("/event"),
        event_time: event_time("/event_ts", Milliseconds),
        event_data: data("/payload"),
        identity: Identity::Digest,
        challenges: list![Challenge::ZOOM],
        hints.time_budget: seconds(3),
    }

    /// Bare hex over `v0:{timestamp}:{body}`.
    CUSTOMERIO = "customerio", "Customer.io", "https://docs.customer.io/journeys/webhooks/", [Unproven] {
        signatures: list![plain("x-cio-signature")],
        content: V0,
        timestamp: time_header("x-cio-timestamp", Seconds, 300),
        id: pointer("/event_id"),
        event_type: pointer("/metric"),
        event_time: event_time("/timestamp", Seconds),
        event_data: data("/data"),
        identity: Identity::SignedId,
        hints.time_budget: seconds(4),
    }

    /// Base64 over `{timestamp}{body}`. The ID header is not signed.
    ZENDESK = "zendesk", "Zendesk", "https://developer.zendesk.com/documentation/webhooks/verifying/", [Documentation] {
        signatures: list![plain("x-zendesk-webhook-signature")],
        encoding: Base64,
        content: TIME_BODY,
        timestamp: time_header("x-zendesk-webhook-signature-timestamp", Rfc3339, 300),
        id: header("x-zendesk-webhook-invocation-id"),
        event_type: pointer("/type"),
        event_time: event_time("/time", Rfc3339),
        identity: Identity::Digest,
        hints.time_budget: seconds(12),
    }

    /// `sha256=` and hex over `{id}{timestamp}{body}`. The message type's header is not signed.
    TWITCH = "twitch", "Twitch EventSub", "https://dev.twitch.tv/docs/eventsub/handling-webhook-events/", [Documentation] {
        signatures: list![prefixed("twitch-eventsub-message-signature", "sha256=")],
        content: list![Part::Id, Part::Timestamp, Part::Body],
        timestamp: time_header("twitch-eventsub-message-timestamp", Rfc3339, 600),
        id: header("twitch-eventsub-message-id"),
        event_type: header("twitch-eventsub-subscription-type"),
        event_data: data("/event"),
        identity: Identity::SignedId,
        challenges: list![Challenge::TWITCH],
        hints.time_budget: seconds(3),
    }

    /// Hex over `{body}{timestamp}`. The ID header is not signed.
    KLAVIYO = "klaviyo", "Klaviyo", "https://developers.klaviyo.com/en/docs/working_with_system_webhooks", [Documentation] {
        signatures: list![plain("klaviyo-signature")],
        content: BODY_TIME,
        timestamp: time_header("klaviyo-timestamp", Rfc1123, 300),
        id: header("klaviyo-webhook-id"),
        event_type: pointer("/data/0/topic"),
        envelope: events("/data", list![text("/topic")], list![]),
        event_data: data("/payload"),
        identity: Identity::Digest,
    }

    /// Two signatures by two keys; one must match. The body is signed as sent, non-ASCII escaped.
    BOX = "box", "Box", "https://developer.box.com/guides/webhooks/v2/signatures-v2/", [Vector Source] {
        signatures: list![plain("box-signature-primary"), plain("box-signature-secondary")],
        encoding: Base64,
        content: BODY_TIME,
        timestamp: time_header("box-delivery-timestamp", Rfc3339, 600),
        required_headers: list![
            (text("box-signature-version"), text("1")),
            (text("box-signature-algorithm"), text("HmacSHA256")),
        ],
        id: header("box-delivery-id"),
        event_type: pointer("/trigger"),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/source"),
        identity: Identity::Digest,
        hints.time_budget: seconds(30),
    }

    /// Hex over `{timestamp}:{body}`, with a timestamp in milliseconds.
    WEBFLOW = "webflow", "Webflow", "https://developers.webflow.com/data/docs/working-with-webhooks", [Unproven] {
        signatures: list![plain("x-webflow-signature")],
        content: list![Part::Timestamp, COLON, Part::Body],
        timestamp: time_header("x-webflow-timestamp", Milliseconds, 300),
        event_type: pointer("/triggerType"),
        event_data: data("/payload"),
        identity: Identity::Digest,
    }
}
