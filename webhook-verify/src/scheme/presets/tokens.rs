//! Senders that sign nothing, and send a secret with each request.
//!
//! The secret authenticates the sender, not the content: anyone who reads it can send anything.
//! Retries look like new events.

use std::borrow::Cow;

use super::{
    super::{
        Algorithm::{Basic, Token},
        Challenge, Evidence, Grammar, Identity, Place, Prefix, Scheme, SignatureSource, TimeUnit,
    },
    BARE, at, data, event_time, events, header, hours, plain, pointer, seconds, set, text,
};

const BASIC: SignatureSource =
    at(Place::Header(text("authorization")), Grammar::Plain(Prefix::Scheme(text("Basic"))));

rows! { TOKENS;

    /// The secret token. The newer signing token is [`GITLAB_SIGNED`](super::GITLAB_SIGNED).
    GITLAB = "gitlab", "GitLab", "https://docs.gitlab.com/user/project/integrations/webhooks/", [Vector] {
        algorithm: Token,
        signatures: list![plain("x-gitlab-token")],
        content: list![],
        id: header("idempotency-key"),
        event_type: header("x-gitlab-event"),
        identity: Identity::None,
        hints.time_budget: seconds(10),
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
    }

    /// Log and event streams. The secret is the whole value of the header, such as `Bearer …`.
    AUTH0 = "auth0", "Auth0", "https://auth0.com/docs/customize/log-streams/custom-log-streams", [Documentation] {
        algorithm: Token,
        signatures: list![plain("authorization")],
        content: list![],
        id: pointer("/id"),
        event_type: pointer("/type"),
        identity: Identity::None,
    }

    /// Bot API.
    TELEGRAM = "telegram", "Telegram", "https://core.telegram.org/bots/api#setwebhook", [Unproven] {
        algorithm: Token,
        signatures: list![plain("x-telegram-bot-api-secret-token")],
        content: list![],
        id: pointer("/update_id"),
        identity: Identity::None,
    }

    /// User name and password, as part of the URL that the sender is given.
    POSTMARK = "postmark", "Postmark", "https://postmarkapp.com/developer/webhooks/webhooks-overview", [Unproven] {
        algorithm: Basic,
        signatures: list![BASIC],
        content: list![],
        id: pointer("/MessageID"),
        event_type: pointer("/RecordType"),
        identity: Identity::None,
    }

    /// User name and password.
    CHARGEBEE = "chargebee", "Chargebee", "https://www.chargebee.com/docs/2.0/webhook_settings.html", [Unproven] {
        algorithm: Basic,
        signatures: list![BASIC],
        content: list![],
        id: pointer("/id"),
        event_type: pointer("/event_type"),
        event_time: event_time("/occurred_at", TimeUnit::Seconds),
        event_data: data("/content"),
        identity: Identity::None,
        hints.retry_horizon: hours(72),
    }

    /// The secret is the parameter `secret` of the URL given to Mailchimp. Access logs contain it.
    MAILCHIMP_MARKETING = "mailchimp-marketing", "Mailchimp Marketing", "https://mailchimp.com/developer/marketing/guides/sync-audience-data-webhooks/", [Unproven] {
        algorithm: Token,
        signatures: list![at(Place::Query(text("secret")), BARE)],
        content: list![],
        identity: Identity::None,
        challenges: list![Challenge::GET_PROBE],
    }

    /// Change notifications. The token is the `clientState` of the first one.
    MICROSOFT_GRAPH = "microsoft-graph", "Microsoft Graph", "https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks", [Unproven] {
        algorithm: Token,
        signatures: list![at(Place::Pointer(text("/value/0/clientState")), BARE)],
        content: list![],
        event_type: pointer("/value/0/changeType"),
        envelope: events("/value", list![text("/changeType")], list![]),
        identity: Identity::None,
        challenges: list![Challenge::MICROSOFT_GRAPH],
        hints.retry_horizon: hours(4),
        hints.time_budget: seconds(3),
    }
}
