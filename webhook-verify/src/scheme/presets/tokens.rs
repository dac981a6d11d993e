//! Senders that sign nothing, and send a secret with each request.
//!
//! The secret authenticates the sender, not the content: anyone who reads it can send anything.
//! Retries look like new events.

use std::borrow::Cow;

use super::{
    super::{
        Algorithm::{Basic, Token},
        Challenge, Evidence, Grammar, Identity, Place, Prefix,
        SameBytes::{Never, Possible, Unknown},
        Scheme,
        Sent::{Body, EventType, Id},
        SignatureSource, TimeUnit,
    },
    BARE, at, data, event_time, events, header, hours, minutes, plain, pointer, seconds, set, text,
};

const BASIC: SignatureSource =
    at(Place::Header(text("authorization")), Grammar::Plain(Prefix::Scheme(text("Basic"))));

rows! { TOKENS;

    /// The secret token. For the newer signing token, use [`GITLAB_SIGNED`](super::GITLAB_SIGNED).
    GITLAB = "gitlab", "GitLab", "https://docs.gitlab.com/user/project/integrations/webhooks/", [Vector Source Documentation] {
        algorithm: Token,
        signatures: list![plain("x-gitlab-token")],
        content: list![],
        id: header("idempotency-key"),
        event_type: header("x-gitlab-event"),
        identity: Identity::None,
        hints.time_budget: seconds(10),
        notes.secret_at: "project or group, Settings, Webhooks, Secret token",
        notes.schedule: "none; manually with Resend Request",
        notes.keeps: &[Body, Id, EventType],
        notes.same_bytes: Possible,
        notes.same_bytes_why: "custom templates can repeat",
        notes.source: "gitlabhq `app/services/web_hook_service.rb`; https://docs.gitlab.com/user/project/integrations/webhooks/",
        notes.checked: "2026-11-28",
        notes.recheck: "gitlabhq `app/services/web_hook_service.rb`: `build_headers`",
    }

    /// Event hooks. The secret is the whole value of the header.
    OKTA = "okta", "Okta", "https://developer.okta.com/docs/concepts/event-hooks/", [Documentation] {
        algorithm: Token,
        signatures: list![plain("authorization")],
        content: list![],
        id: pointer("/eventId"),
        event_type: pointer("/data/events/0/eventType"),
        envelope: events("/data/events", list![text("/eventType")], list![text("/uuid")]),
        event_time: event_time("/published", TimeUnit::Rfc3339),
        identity: Identity::None,
        challenges: list![Challenge::OKTA],
        hints.time_budget: seconds(3),
        notes.secret_at: "chosen by the user: Workflow, Event Hooks, authentication field and secret",
        notes.schedule: "1 retry at most; none after 4xx",
        notes.source: "https://developer.okta.com/docs/concepts/event-hooks/",
        notes.same_bytes: Never,
        notes.same_bytes_why: "each event has a UUID",
        notes.checked: "2026-11-28",
        notes.recheck: "okta/okta-developer-docs `concepts/event-hooks`",
    }

    /// Event streams. The secret is the whole value of the header, such as `Bearer …`. For log
    /// streams, use [`AUTH0_LOGS`].
    AUTH0 = "auth0", "Auth0", "https://auth0.com/docs/customize/events", [Documentation] {
        algorithm: Token,
        signatures: list![plain("authorization")],
        content: list![],
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_time: event_time("/time", TimeUnit::Rfc3339),
        event_data: data("/data/object"),
        identity: Identity::None,
        hints.retry_horizon: seconds(7),
        notes.secret_at: "chosen by the user: `webhook_authorization` of the stream",
        notes.schedule: "3 retries, after 1, 2 and 4 s; none after 4xx",
        notes.keeps: &[Id, EventType],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.source: "https://auth0.com/docs/customize/events/events-best-practices",
        notes.checked: "2026-11-28",
        notes.recheck: "auth0/docs-v2 `customize/events`",
    }

    /// Log streams. The secret is the whole value of the header. Depending on the stream's
    /// settings, the body is JSON lines, an array or one object, so it is not split into events.
    AUTH0_LOGS = "auth0-logs", "Auth0 log streams", "https://auth0.com/docs/customize/log-streams/custom-log-streams", [Documentation] {
        algorithm: Token,
        signatures: list![plain("authorization")],
        content: list![],
        identity: Identity::None,
        notes.secret_at: "Monitoring, Streams, the stream, Authorization Token",
        notes.checked: "2026-11-28",
        notes.recheck: "auth0/docs-v2 `customize/log-streams`",
    }

    /// Bot API. The response body may contain a call of the Bot API. A duplicate does not get this
    /// body.
    TELEGRAM = "telegram", "Telegram", "https://core.telegram.org/bots/api#setwebhook", [Source Documentation] {
        algorithm: Token,
        signatures: list![plain("x-telegram-bot-api-secret-token")],
        content: list![],
        id: pointer("/update_id"),
        identity: Identity::None,
        hints.retry_horizon: hours(24),
        notes.secret_at: "chosen by the user: `secret_token` of `setWebhook`",
        notes.schedule: "after 1 s, then doubled up to 2 minutes, for 24 hours; later updates wait",
        notes.keeps: &[Body, Id],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the update's ID",
        notes.source: "tdlib/telegram-bot-api `WebhookActor.cpp`",
        notes.checked: "2026-11-28",
        notes.recheck: "tdlib/telegram-bot-api `WebhookActor.cpp`: `send_update`",
    }

    /// User name and password, which are part of the URL that you give to Postmark. The body has
    /// the message's ID, which its opens and clicks share, but no ID of the event.
    POSTMARK = "postmark", "Postmark", "https://postmarkapp.com/developer/webhooks/webhooks-overview", [Source Documentation] {
        algorithm: Basic,
        signatures: list![BASIC],
        content: list![],
        event_type: pointer("/RecordType"),
        identity: Identity::None,
        hints.retry_horizon: minutes(630),
        notes.secret_at: "chosen by the user: in the webhook's URL, or `HttpAuth` of the Webhooks API",
        notes.schedule: "inbound: 10 retries over 10.5 hours; 403 stops them",
        notes.source: "https://postmarkapp.com/support/article/understanding-inbound-webhook-retries-in-postmark",
        notes.same_bytes: Unknown,
        notes.same_bytes_why: "the body has the message's ID and times, but no ID of the event",
        notes.checked: "2026-11-28",
        notes.recheck: "the page, Protecting your webhook; npm `postmark`: `Webhook`",
    }

    /// User name and password.
    CHARGEBEE = "chargebee", "Chargebee", "https://www.chargebee.com/docs/2.0/webhook_settings.html", [Source Documentation] {
        algorithm: Basic,
        signatures: list![BASIC],
        content: list![],
        id: pointer("/id"),
        event_type: pointer("/event_type"),
        event_time: event_time("/occurred_at", TimeUnit::Seconds),
        event_data: data("/content"),
        identity: Identity::None,
        hints.retry_horizon: hours(79),
        notes.secret_at: "chosen by the user: Settings, API Keys and Webhooks, the webhook, basic authentication",
        notes.schedule: "7 retries, after 2 min, 6 min, 30 min, 1 h, 5 h, 1 day and 2 days",
        notes.keeps: &[Id, EventType],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.source: "https://support.chargebee.com/support/solutions/articles/257941",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `chargebee`: `basicAuthValidator`",
    }

    /// The secret is the parameter `secret` of the URL that you give to Mailchimp. It appears in
    /// access logs. The body is a form.
    MAILCHIMP_MARKETING = "mailchimp-marketing", "Mailchimp Marketing", "https://mailchimp.com/developer/marketing/guides/sync-audience-data-webhooks/", [Documentation] {
        algorithm: Token,
        signatures: list![at(Place::Query(text("secret")), BARE)],
        content: list![],
        identity: Identity::None,
        challenges: list![Challenge::GET_PROBE],
        hints.retry_horizon: minutes(75),
        hints.time_budget: seconds(10),
        notes.secret_at: "chosen by the user, in the callback URL",
        notes.schedule: "for 75 minutes, at growing intervals",
        notes.source: "https://mailchimp.com/developer/marketing/guides/sync-audience-data-webhooks/",
        notes.same_bytes: Unknown,
        notes.same_bytes_why: "there is no event ID, and the time is in whole seconds",
        notes.checked: "2026-11-28",
        notes.recheck: "the page, Set up your callback URL",
    }

    /// Change notifications. The token is the `clientState` of the first notification. The others
    /// in the request are not compared, so set the same `clientState` for all subscriptions of an
    /// endpoint.
    MICROSOFT_GRAPH = "microsoft-graph", "Microsoft Graph", "https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks", [Documentation] {
        algorithm: Token,
        signatures: list![at(Place::Pointer(text("/value/0/clientState")), BARE)],
        content: list![],
        event_type: pointer("/value/0/changeType"),
        envelope: events("/value", list![text("/changeType")], list![text("/id")]),
        identity: Identity::None,
        challenges: list![Challenge::MICROSOFT_GRAPH],
        hints.retry_horizon: hours(4),
        hints.time_budget: seconds(3),
        notes.secret_at: "chosen by the user: `clientState` of `POST /subscriptions`",
        notes.schedule: "several attempts within 4 hours",
        notes.source: "https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "the ID of a notification is optional",
        notes.checked: "2026-11-28",
        notes.recheck: "microsoftgraph/microsoft-graph-docs-contrib `change-notifications-delivery-webhooks.md`",
    }
}
