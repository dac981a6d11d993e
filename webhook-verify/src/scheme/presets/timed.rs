//! Senders that sign a timestamp with the body.

use std::borrow::Cow;

use super::{
    super::{
        Challenge, Evidence, Identity, KeyForm, List, Part,
        SameBytes::{Never, Possible, Unknown},
        Scheme,
        Sent::{Body, EventType, Id, Signature, Timestamp},
        Text,
        TimeUnit::{Milliseconds, Rfc1123, Rfc3339, Seconds},
    },
    BODY_TIME, COLON, DOT, DOTTED, ID_DOTTED, NOT_JUDGED, TIME_BODY, V0, data, days, event_time,
    events, header, hours, minutes, pairs, plain, pointer, prefixed, seconds, set, text,
    time_header, time_pair, versions,
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
        notes.secret_at: "the sender's webhook page, `whsec_…`",
        notes.schedule: "the sender's own; the specification suggests 10 attempts over 76 hours",
        notes.keeps: &[Id],
        notes.changes: &[Timestamp, Signature],
        notes.same_bytes: Possible,
        notes.same_bytes_why: "a time in the body is only recommended; the signed ID differs",
        notes.source: "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `standardwebhooks`: `new Webhook(secret).sign(id, date, body)`",
    }

    /// Standard Webhooks with other header names. White-labeled Svix sends `webhook-…` headers,
    /// which are also accepted. An event has the same ID at all endpoints of an application.
    SVIX = "svix", "Svix", "https://docs.svix.com/receiving/verifying-payloads/how-manual", [Vector Source Documentation] {
        signatures: list![versions("svix-signature", list![text("v1")])],
        encoding: Base64,
        key_form: KeyForm::Whsec,
        content: ID_DOTTED,
        timestamp: time_header("svix-timestamp", Seconds, 300),
        id: header("svix-id"),
        header_aliases: SVIX_ALIASES,
        event_type: pointer("/type"),
        event_time: event_time("/timestamp", Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(34),
        hints.time_budget: seconds(15),
        notes.secret_at: "the endpoint's signing secret, `whsec_…`",
        notes.schedule: "8 attempts: at once, after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h, each wait ±20 %",
        notes.keeps: &[Body, Id, EventType],
        notes.changes: &[Timestamp, Signature],
        notes.same_bytes: Possible,
        notes.same_bytes_why: "the application chooses the body; the signed ID differs",
        notes.source: "https://docs.svix.com/retries; svix-server `worker.rs`: `prepare_dispatch`, `sign_msg`",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `svix`: `new Webhook(secret).sign(id, date, body)`",
    }

    /// Sent by Svix, under Svix's header names only.
    CLERK = "clerk", "Clerk", "https://clerk.com/docs/guides/development/webhooks/overview", [Vector Source Documentation] like SVIX {
        header_aliases: list![],
        event_time: event_time("/timestamp", Milliseconds),
        notes.secret_at: "dashboard, Webhooks, the endpoint, Signing secret",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's time in milliseconds",
        notes.source: "https://clerk.com/docs/guides/development/webhooks/overview (sent by Svix); svix-server `worker.rs`",
        notes.recheck: "npm `@clerk/backend`: `verifyWebhook(request, {signingSecret})`",
    }

    /// Sent by Svix, under Svix's header names only.
    RESEND = "resend", "Resend", "https://resend.com/docs/dashboard/webhooks/verify-webhooks-requests", [Vector Source Documentation] like SVIX {
        header_aliases: list![],
        event_time: event_time("/created_at", Rfc3339),
        notes.secret_at: "dashboard, Webhooks, the webhook, Signing secret",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's time",
        notes.source: "https://resend.com/docs/webhooks/retries-and-replays; sent by Svix: svix-server `worker.rs`",
        notes.recheck: "npm `resend`: `webhooks.verify({payload, webhookSecret, headers})`",
    }

    /// Standard Webhooks.
    OPENAI = "openai", "OpenAI", "https://developers.openai.com/api/docs/guides/webhooks", [Vector Source Documentation] like STANDARD_WEBHOOKS {
        event_time: event_time("/created_at", Seconds),
        hints.retry_horizon: hours(72),
        hints.time_budget: None,
        notes.secret_at: "project settings, Webhooks; shown once, on creation",
        notes.schedule: "for up to 72 hours, at growing intervals",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID and time",
        notes.source: "https://developers.openai.com/api/docs/guides/webhooks",
        notes.recheck: "npm `openai`: `client.webhooks.unwrap(body, headers, secret)`",
    }

    /// Standard Webhooks. The body is a prediction or training, and its status is the event type.
    REPLICATE = "replicate", "Replicate", "https://replicate.com/docs/topics/webhooks/verify-webhook", [Vector Source Documentation] like STANDARD_WEBHOOKS {
        event_type: pointer("/status"),
        event_time: None,
        event_data: None,
        hints.retry_horizon: minutes(2),
        hints.time_budget: None,
        notes.secret_at: "API: `GET /v1/webhooks/default/secret`",
        notes.schedule: "the final webhook only, for about 1 minute",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "unfinished predictions are sent without a counter; the signed ID differs",
        notes.source: "https://replicate.com/docs/topics/webhooks/verify-webhook",
        notes.recheck: "npm `replicate`: `validateWebhook(request, secret)`",
    }

    /// Standard Webhooks. Legacy transaction webhooks, with `X-Lithic-HMAC`, have another scheme.
    LITHIC = "lithic", "Lithic", "https://docs.lithic.com/docs/events-api", [Vector Source Documentation] like STANDARD_WEBHOOKS {
        event_type: pointer("/event_type"),
        event_time: None,
        event_data: None,
        hints.retry_horizon: None,
        hints.time_budget: None,
        notes.secret_at: "API: `GET /v1/event_subscriptions/{token}/secret`",
        notes.schedule: "",
        notes.same_bytes: Unknown,
        notes.same_bytes_why: "some bodies have no ID or time of the event; the signed ID differs",
        notes.recheck: "npm `lithic`: `client.webhooks.parse(body, {headers, secret})`",
    }

    /// The signing token, in the form of Standard Webhooks. For the older secret token, use
    /// [`GITLAB`](super::GITLAB). GitLab does not retry. "Resend Request" after a success is a
    /// duplicate.
    GITLAB_SIGNED = "gitlab-signed", "GitLab, signing token", "https://docs.gitlab.com/user/project/integrations/webhooks/", [Documentation] like STANDARD_WEBHOOKS {
        event_type: header("x-gitlab-event"),
        event_time: None,
        event_data: None,
        hints.retry_horizon: None,
        hints.time_budget: seconds(10),
        notes.secret_at: "project or group, Settings, Webhooks, Signing token",
        notes.schedule: "none; manually with Resend Request",
        notes.keeps: &[Body, Id, EventType],
        notes.changes: &[],
        notes.same_bytes: Possible,
        notes.same_bytes_why: "custom templates can repeat; the signed ID differs",
        notes.source: "gitlabhq `app/services/web_hook_service.rb`; https://docs.gitlab.com/user/project/integrations/webhooks/",
        notes.recheck: "gitlabhq `lib/gitlab/web_hooks.rb`, and the page, Delivery headers",
    }

    /// `t=…,v1=…` over `{timestamp}.{body}`. The key is the whole secret, including `whsec_`. The
    /// time of thin events is not read, because it is in RFC 3339.
    STRIPE = "stripe", "Stripe", "https://docs.stripe.com/webhooks#verify-manually", [Vector Source Documentation] {
        whsec_text: true,
        signatures: list![pairs("stripe-signature", ',', list![text("v1")])],
        content: DOTTED,
        timestamp: time_pair("t", Seconds, 300),
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_time: event_time("/created", Seconds),
        event_data: data("/data/object"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(72),
        notes.secret_at: "Dashboard, Webhooks, the endpoint, Signing secret; `stripe listen` prints its own",
        notes.schedule: "for 3 days, at growing intervals; in a sandbox 3 times within hours",
        notes.keeps: &[Id, EventType],
        notes.changes: &[Timestamp, Signature],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.source: "https://docs.stripe.com/webhooks",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `stripe`: `webhooks.generateTestHeaderString`",
    }

    /// There is no delivery ID. Events of one booking share `/payload/uri`.
    CALENDLY = "calendly", "Calendly", "https://developer.calendly.com/api-docs/4c305798a61d3-webhook-signatures", [Documentation] {
        signatures: list![pairs("calendly-webhook-signature", ',', list![text("v1")])],
        content: DOTTED,
        timestamp: time_pair("t", Seconds, 180),
        event_type: pointer("/event"),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/payload"),
        identity: Identity::Digest,
        hints.retry_horizon: hours(24),
        notes.secret_at: "chosen by the user: `signing_key` of `POST /webhook_subscriptions`",
        notes.schedule: "for 24 hours, at growing intervals; then the subscription is disabled",
        notes.source: "https://community.calendly.com/developer-faq-62/why-am-i-not-receiving-webhook-data-how-does-a-webhook-become-disabled-548",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's time and the invitee's URI",
        notes.lost: "those more than 3 minutes after the first attempt, if they repeat its timestamp (not documented); the sender's sample has the same window",
        notes.checked: "2026-11-28",
        notes.recheck: "the page's code sample",
    }

    /// Base64url. Sanity's own toolkit does not check the timestamp. The ID header is not signed.
    /// The body is the user's projection and may have any JSON type. The request may have any
    /// method.
    SANITY = "sanity", "Sanity", "https://www.sanity.io/docs/compute-and-ai/webhook-best-practices", [Vector Source Documentation] {
        signatures: list![pairs("sanity-webhook-signature", ',', list![text("v1")])],
        encoding: Base64Url,
        content: DOTTED,
        timestamp: time_pair("t", Milliseconds, NOT_JUDGED),
        id: header("idempotency-key"),
        event_type: header("sanity-operation"),
        identity: Identity::Digest,
        hints.retry_horizon: seconds(60),
        hints.time_budget: seconds(30),
        notes.secret_at: "chosen by the user: project, API, Webhooks, Secret",
        notes.schedule: "2 retries, 30 s apart, after 429 and 5xx",
        notes.keeps: &[Id],
        notes.same_bytes: Possible,
        notes.same_bytes_why: "the projection `{_id}` is the same for each change of a document; the ID header differs",
        notes.source: "https://www.sanity.io/docs/content-lake/webhooks",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@sanity/webhook`: `encodeSignatureHeader`",
    }

    /// The timestamp is in milliseconds. Actions of AuthKit need a signed response, and are not
    /// supported.
    WORKOS = "workos", "WorkOS", "https://workos.com/docs/events/data-syncing/webhooks", [Vector Source Documentation] {
        signatures: list![pairs("workos-signature", ',', list![text("v1")])],
        content: DOTTED,
        timestamp: time_pair("t", Milliseconds, 180),
        id: pointer("/id"),
        event_type: pointer("/event"),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: days(3),
        notes.secret_at: "dashboard, Webhooks, the endpoint, Secret",
        notes.schedule: "up to 12 attempts over 3 days in production",
        notes.keeps: &[Id, EventType],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.lost: "those more than 3 minutes after the first attempt, if they repeat its timestamp (not documented); the SDK also refuses them",
        notes.source: "https://workos.com/docs/events/data-syncing/webhooks",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@workos-inc/node`: `webhooks.verifyHeader`",
    }

    /// The list of attempts in the body changes in retries, but the event's ID stays.
    MUX = "mux", "Mux", "https://www.mux.com/docs/core/verify-webhook-signatures", [Vector Source Documentation] {
        signatures: list![pairs("mux-signature", ',', list![text("v1")])],
        content: DOTTED,
        timestamp: time_pair("t", Seconds, 300),
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(24),
        hints.time_budget: seconds(5),
        notes.secret_at: "dashboard, Settings, Webhooks, Show signing secret",
        notes.schedule: "for 24 hours, at growing intervals",
        notes.keeps: &[Id, EventType],
        notes.changes: &[Body],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented); the SDK also refuses them",
        notes.source: "npm `@mux/mux-node`: `BaseWebhookEvent`; https://mux.com/docs/core/listen-for-webhooks",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@mux/mux-node`: `webhooks.unwrap(body, headers, secret)`",
    }

    /// The timestamp may be at most 5 s old, so the clock must be accurate. Each retry has a new
    /// timestamp.
    PADDLE = "paddle", "Paddle Billing", "https://developer.paddle.com/webhooks/about/signature-verification", [Vector Source Documentation] {
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
        notes.secret_at: "Developer tools, Notifications, the destination, secret key (`pdl_ntfset_…`)",
        notes.schedule: "60 attempts over 3 days; in the sandbox 3 within 15 minutes",
        notes.keeps: &[Id, EventType],
        notes.changes: &[Timestamp, Signature],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.source: "https://developer.paddle.com/webhooks/about/respond-to-webhooks; the SDK's limit of 5 s leaves no retry without a new timestamp",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@paddle/paddle-node-sdk`: `webhooks.isSignatureValid`",
    }

    /// `v0` is the current version. The body of audio webhooks contains the whole recording.
    ELEVENLABS = "elevenlabs", "ElevenLabs", "https://elevenlabs.io/docs/eleven-api/resources/webhooks", [Vector Source Documentation] {
        signatures: list![pairs("elevenlabs-signature", ',', list![text("v0")])],
        content: DOTTED,
        timestamp: time_pair("t", Seconds, 1800),
        event_type: pointer("/type"),
        event_time: event_time("/event_timestamp", Seconds),
        event_data: data("/data"),
        identity: Identity::Digest,
        hints.retry_horizon: minutes(45),
        notes.secret_at: "shown once, when the webhook is created in Settings, Webhooks",
        notes.schedule: "off by default; otherwise 5 attempts within 45 minutes, for transcripts only",
        notes.source: "https://elevenlabs.io/docs/eleven-api/resources/webhooks",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's time and the conversation's ID",
        notes.lost: "the last one, about 40 minutes after the event, if it repeats the first timestamp (not documented); the SDK also refuses it",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@elevenlabs/elevenlabs-js`: `webhooks.constructEvent`",
    }

    /// `t=…,s=…`. The secret is the app's client secret. TikTok Shop is another product.
    TIKTOK = "tiktok", "TikTok", "https://developers.tiktok.com/doc/webhooks-verification", [Documentation] {
        signatures: list![pairs("tiktok-signature", ',', list![text("s")])],
        content: DOTTED,
        timestamp: time_pair("t", Seconds, 300),
        event_type: pointer("/event"),
        event_time: event_time("/create_time", Seconds),
        identity: Identity::Digest,
        hints.retry_horizon: hours(72),
        notes.secret_at: "developer portal, the app, Client secret",
        notes.schedule: "for 72 hours, at growing intervals",
        notes.source: "https://developers.tiktok.com/doc/webhooks-overview/",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's time, user and content",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented); the sender does not prescribe a window",
        notes.checked: "2026-11-28",
        notes.recheck: "the page, Verify Message Signature",
    }

    /// `time=…,sig1=…`. Cloudflare Notifications sends the events of live inputs, without this
    /// signature.
    CLOUDFLARE_STREAM = "cloudflare-stream", "Cloudflare Stream", "https://developers.cloudflare.com/stream/manage-video-library/using-webhooks/", [Documentation] {
        signatures: list![pairs("webhook-signature", ',', list![text("sig1")])],
        content: DOTTED,
        timestamp: time_pair("time", Seconds, 300),
        identity: Identity::Digest,
        notes.secret_at: "API: `secret` in the response of `PUT /accounts/{id}/stream/webhook`",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented); the sender does not prescribe a window",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the video's ID and the time of its last change, in microseconds",
        notes.checked: "2026-11-28",
        notes.recheck: "the page, Verify webhook authenticity",
    }

    /// `v1` signs the body and the headers that `h` lists. `v0` signs the body alone. One matching
    /// signature is enough. A proxy that rewrites a listed header, such as `Content-Type`, breaks
    /// `v1`. The body must be JSON.
    COINBASE_CDP = "coinbase-cdp", "Coinbase CDP", "https://docs.cdp.coinbase.com/webhooks/verify-signatures", [Vector Source Documentation] {
        signatures: list![pairs("x-hook0-signature", ',', list![text("v0"), text("v1")])],
        content: list![Part::Timestamp, DOT, Part::JsonBody],
        version_contents: list![(text("v1"), list![
            Part::Timestamp,
            DOT,
            Part::Pair(text("h")),
            DOT,
            Part::HeaderValues(text("h")),
            DOT,
            Part::JsonBody,
        ])],
        timestamp: time_pair("t", Seconds, 300),
        id: header("x-event-id"),
        event_type: header("x-event-type"),
        identity: Identity::Digest,
        notes.secret_at: "API: `secret` in the response that creates the subscription",
        notes.schedule: "not published; Hook0's own delays are 3 s, 10 s, 3 min, 30 min, 1 h, 3 h, 5 h and 10 h",
        notes.keeps: &[Body, Id, EventType],
        notes.changes: &[Timestamp, Signature],
        notes.same_bytes: Unknown,
        notes.same_bytes_why: "payment events have an ID in the body, others only in a header",
        notes.source: "github hook0/hook0 `output-worker/src/work.rs`",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `hook0-client`: `verifyWebhookSignature`",
    }

    /// `sha256=…, t=…` over `{body}{timestamp}`, from Ghost 5.87.1 on. Ghost does not retry, and
    /// each `site.changed` has the body `{}`, so there is no idempotency key. Requests do not
    /// contain the event type: use one URL for each type.
    GHOST = "ghost", "Ghost", "https://docs.ghost.org/webhooks", [Source] {
        signatures: list![pairs("x-ghost-signature", ',', list![text("sha256")])],
        content: BODY_TIME,
        timestamp: time_pair("t", Milliseconds, 300),
        identity: Identity::None,
        hints.time_budget: seconds(2),
        notes.secret_at: "chosen by the user: Settings, Integrations, the webhook, Secret",
        notes.schedule: "none",
        notes.source: "GitHub `TryGhost/Ghost`: `webhook-trigger.js`",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "each `site.changed` has the body `{}`",
        notes.checked: "2026-11-28",
        notes.recheck: "github TryGhost/Ghost `webhook-trigger.js`, `X-Ghost-Signature`",
    }

    /// `v0=` and hex over `v0:{timestamp}:{body}`. Slack also sends unsigned forms with
    /// `ssl_check=1`, and the receiver responds to them. Slash commands and interactions are forms
    /// without an event ID, so their key is the digest of the form.
    SLACK = "slack", "Slack", "https://docs.slack.dev/authentication/verifying-requests-from-slack", [Vector Source Documentation] {
        signatures: list![prefixed("x-slack-signature", "v0=")],
        content: V0,
        timestamp: time_header("x-slack-request-timestamp", Seconds, 300),
        id: pointer("/event_id"),
        event_type: pointer("/event/type"),
        event_time: event_time("/event_time", Seconds),
        event_data: data("/event"),
        identity: Identity::SignedId,
        challenges: list![Challenge::SLACK, Challenge::SLACK_SSL_CHECK],
        hints.retry_horizon: minutes(6),
        hints.time_budget: seconds(3),
        notes.secret_at: "api.slack.com/apps, the app, Basic Information, Signing Secret",
        notes.schedule: "3 retries of events: at once, after 1 min and after 5 min",
        notes.keeps: &[Id, EventType],
        notes.same_bytes: Never,
        notes.same_bytes_why: "events have an ID; commands and interactions have a trigger ID",
        notes.lost: "the last one, about 6 minutes after the event, if it repeats the first timestamp (not documented); the SDK also refuses it",
        notes.source: "npm `@slack/bolt`: `HTTPModuleFunctions`; https://docs.slack.dev/apis/events-api/",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@slack/bolt`: `verifySlackRequest`",
    }

    /// The secret also signs the response to the challenge, which Zoom sends every 72 hours.
    ZOOM = "zoom", "Zoom", "https://developers.zoom.us/docs/api/webhooks/", [Source Documentation] {
        signatures: list![prefixed("x-zm-signature", "v0=")],
        content: V0,
        timestamp: time_header("x-zm-request-timestamp", Seconds, 300),
        event_type: pointer("/event"),
        event_time: event_time("/event_ts", Milliseconds),
        event_data: data("/payload"),
        identity: Identity::Digest,
        challenges: list![Challenge::ZOOM],
        hints.retry_horizon: minutes(85),
        hints.time_budget: seconds(3),
        notes.secret_at: "App Marketplace, the app, Features, Access, Secret Token",
        notes.schedule: "3 retries, after 5, 20 and 60 minutes",
        notes.source: "https://devsupport.zoom.us/hc/en-us/articles/360059893812-Webhook-delays",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's time in milliseconds",
        notes.lost: "all, if they repeat the first timestamp (not documented); in that case, set a tolerance of 90 minutes; the SDK does not check it",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@zoom/rivet`: a client with `webhooksSecretToken`",
    }

    /// Reporting webhooks: bare hex over `v0:{timestamp}:{body}`. Webhook actions of campaigns
    /// cannot be verified.
    CUSTOMERIO = "customerio", "Customer.io", "https://docs.customer.io/integrations/data-out/connections/webhooks/", [Documentation] {
        signatures: list![plain("x-cio-signature")],
        content: V0,
        timestamp: time_header("x-cio-timestamp", Seconds, 300),
        id: pointer("/event_id"),
        event_type: pointer("/metric"),
        event_time: event_time("/timestamp", Seconds),
        event_data: data("/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: days(7),
        hints.time_budget: seconds(4),
        notes.secret_at: "Integrations, Reporting Webhooks, the webhook, signing key",
        notes.schedule: "for 7 days, at growing intervals; later requests wait until a failed one succeeds",
        notes.keeps: &[Id, EventType],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented)",
        notes.source: "https://docs.customer.io/integrations/api/webhooks",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, section on verifying requests, Go sample",
    }

    /// Base64 over `{timestamp}{body}`. The ID header is not signed. All attempts of one invocation
    /// have the same ID.
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
        notes.secret_at: "Admin Center, Apps and integrations, Webhooks, the webhook, Reveal secret",
        notes.schedule: "after some statuses only; not published in full",
        notes.keeps: &[Id],
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented)",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "triggers send the user's template, which can repeat; the ID header differs",
        notes.source: "https://developer.zendesk.com/api-reference/webhooks/introduction",
        notes.checked: "2026-11-28",
        notes.recheck: "the page, and Webhook retries in the API reference",
    }

    /// `sha256=` and hex over `{id}{timestamp}{body}`. The headers with the message type and the
    /// event type are not signed. The signed body repeats the event type at `/subscription/type`.
    TWITCH = "twitch", "Twitch EventSub", "https://dev.twitch.tv/docs/eventsub/handling-webhook-events/", [Source Documentation] {
        signatures: list![prefixed("twitch-eventsub-message-signature", "sha256=")],
        content: list![Part::Id, Part::Timestamp, Part::Body],
        timestamp: time_header("twitch-eventsub-message-timestamp", Rfc3339, 600),
        id: header("twitch-eventsub-message-id"),
        event_type: header("twitch-eventsub-subscription-type"),
        event_data: data("/event"),
        identity: Identity::SignedId,
        challenges: list![Challenge::TWITCH],
        hints.time_budget: seconds(3),
        notes.secret_at: "chosen by the user: `transport.secret` of the subscription",
        notes.schedule: "if Twitch is not certain of the delivery; not published",
        notes.keeps: &[Id, EventType],
        notes.lost: "those more than 10 minutes after the first attempt, if they repeat its timestamp (not documented); the documentation has the same window",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "each `stream.offline` of a channel has the same body; the signed ID differs",
        notes.source: "https://dev.twitch.tv/docs/eventsub/",
        notes.checked: "2026-11-28",
        notes.recheck: "twitch-cli: `twitch event trigger EVENT -F URL -s SECRET`",
    }

    /// Hex over `{body}{timestamp}`. The ID header names the configured webhook, not the delivery.
    /// Each event has its own ID.
    KLAVIYO = "klaviyo", "Klaviyo", "https://developers.klaviyo.com/en/docs/working_with_system_webhooks", [Documentation] {
        signatures: list![plain("klaviyo-signature")],
        content: BODY_TIME,
        timestamp: time_header("klaviyo-timestamp", Rfc1123, 300),
        event_type: pointer("/data/0/topic"),
        envelope: events("/data", list![text("/topic")], list![text("/external_id")]),
        event_data: data("/payload"),
        identity: Identity::Digest,
        notes.secret_at: "chosen by the user: `secret_key` of the webhook",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented)",
        notes.same_bytes: Never,
        notes.same_bytes_why: "each event has an ID, and the body has the time at which it was sent",
        notes.checked: "2026-11-28",
        notes.recheck: "the page, HMAC signature verification",
    }

    /// There are two signatures with two keys. One must match. The body is signed as sent, with
    /// non-ASCII characters escaped. The ID is in the body, because the ID header is new for each
    /// attempt.
    BOX = "box", "Box", "https://developer.box.com/guides/webhooks/v2/signatures-v2/", [Vector Source Documentation] {
        signatures: list![plain("box-signature-primary"), plain("box-signature-secondary")],
        encoding: Base64,
        content: BODY_TIME,
        timestamp: time_header("box-delivery-timestamp", Rfc3339, 600),
        required_headers: list![
            (text("box-signature-version"), text("1")),
            (text("box-signature-algorithm"), text("HmacSHA256")),
        ],
        id: pointer("/id"),
        event_type: pointer("/trigger"),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/source"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(2),
        hints.time_budget: seconds(30),
        notes.secret_at: "Developer Console, the app, Webhooks, Manage signature keys",
        notes.schedule: "up to 12 attempts over 2 hours",
        notes.keeps: &[Id, EventType],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID and time",
        notes.lost: "those more than 10 minutes after the first attempt, if they repeat its timestamp (not documented); the SDK also refuses them",
        notes.source: "https://developer.box.com/guides/webhooks/v2",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `box-node-sdk`: `WebhooksManager.validateMessage`",
    }

    /// Hex over `{timestamp}:{body}`, with a timestamp in milliseconds. Webhooks that were created
    /// in the dashboard are not signed. Requests have no event ID, and two events can be identical,
    /// so there is no idempotency key.
    WEBFLOW = "webflow", "Webflow", "https://developers.webflow.com/data/docs/working-with-webhooks", [Source Documentation] {
        signatures: list![plain("x-webflow-signature")],
        content: list![Part::Timestamp, COLON, Part::Body],
        timestamp: time_header("x-webflow-timestamp", Milliseconds, 300),
        event_type: pointer("/triggerType"),
        event_data: data("/payload"),
        identity: Identity::None,
        hints.retry_horizon: minutes(30),
        notes.secret_at: "the OAuth app's client secret, or `secretKey` in the response that creates the webhook",
        notes.schedule: "3 retries, 10 minutes apart",
        notes.source: "https://developers.webflow.com/data/v1.0.0/docs/limits-and-retries",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "an item that is unpublished twice can have the same fields",
        notes.lost: "all, if they repeat the first timestamp (not documented); in that case, set a tolerance of 35 minutes; the SDK does not check it",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `webflow-api`: `webhooks.verifySignature`",
    }
}

/// The header names without Svix's brand, as in Standard Webhooks.
const SVIX_ALIASES: List<(Text, Text)> = list![
    (text("svix-id"), text("webhook-id")),
    (text("svix-signature"), text("webhook-signature")),
    (text("svix-timestamp"), text("webhook-timestamp")),
];
