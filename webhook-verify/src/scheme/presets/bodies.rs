//! Senders that sign the body alone with an HMAC.

use std::borrow::Cow;

use super::{
    super::{
        Algorithm::{HmacSha1, HmacSha512},
        Challenge, Evidence, Identity, KeyForm, Place, Scheme, SignedBytes, TimeUnit,
        TimestampPlace,
    },
    BARE, at, data, days, event_time, events, header, hours, pairs, plain, pointer, prefixed,
    seconds, set, text, timestamp,
};
use crate::encoding::Encoding::Base64;

rows! { BODIES;

    /// The delivery ID and the event header are not signed.
    GITHUB = "github", "GitHub", "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries", [Vector Source Documentation] {
        signatures: list![prefixed("x-hub-signature-256", "sha256=")],
        id: header("x-github-delivery"),
        event_type: header("x-github-event"),
        hints.retry_horizon: hours(72),
        hints.body_limit: Some(25 << 20),
        hints.time_budget: seconds(10),
    }

    /// The SHA-1 form, for servers that send no other. Prefer [`GITHUB`].
    GITHUB_SHA1 = "github-sha1", "GitHub, SHA-1", "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries", [Vector] like GITHUB {
        algorithm: HmacSha1,
        signatures: list![prefixed("x-hub-signature", "sha1=")],
    }

    /// Facebook, Instagram and WhatsApp. The body is signed as sent, with non-ASCII characters
    /// escaped. The challenge needs the parameter `verify_token`.
    META = "meta", "Meta", "https://developers.facebook.com/docs/graph-api/webhooks/getting-started", [Hearsay] {
        signatures: list![prefixed("x-hub-signature-256", "sha256=")],
        event_type: pointer("/object"),
        envelope: events("/entry", list![], list![]),
        challenges: list![Challenge::META],
        hints.retry_horizon: days(7),
    }

    /// Cloud and Data Center. The header has GitHub's old name, but the digest is SHA-256.
    BITBUCKET = "bitbucket", "Bitbucket", "https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/", [Vector Documentation] {
        signatures: list![prefixed("x-hub-signature", "sha256=")],
        id: header("x-request-uuid"),
        event_type: header("x-event-key"),
        hints.time_budget: seconds(10),
    }

    /// Webhooks of administrators. Those of Connect apps have another token.
    JIRA = "jira", "Jira", "https://developer.atlassian.com/server/jira/platform/webhooks/", [Vector Documentation] {
        signatures: list![prefixed("x-hub-signature", "sha256=")],
        id: header("x-atlassian-webhook-identifier"),
        event_type: pointer("/webhookEvent"),
        event_time: event_time("/timestamp", TimeUnit::Milliseconds),
    }

    /// The secret is the app's.
    INTERCOM = "intercom", "Intercom", "https://developers.intercom.com/docs/webhooks/setting-up-webhooks", [Secondary] {
        algorithm: HmacSha1,
        signatures: list![prefixed("x-hub-signature", "sha1=")],
        id: pointer("/id"),
        event_type: pointer("/topic"),
        event_time: event_time("/created_at", TimeUnit::Seconds),
        event_data: data("/data/item"),
        identity: Identity::SignedId,
        challenges: list![Challenge::HEAD_PROBE],
        hints.time_budget: seconds(5),
    }

    /// The ID and event headers are not signed.
    GITEA = "gitea", "Gitea", "https://docs.gitea.com/usage/webhooks", [Vector] {
        signatures: list![plain("x-gitea-signature")],
        id: header("x-gitea-delivery"),
        event_type: header("x-gitea-event"),
    }

    /// Forgejo sends Gitea's headers alongside its own.
    FORGEJO = "forgejo", "Forgejo", "https://forgejo.org/docs/latest/user/webhooks/", [Vector] {
        signatures: list![plain("x-forgejo-signature")],
        id: header("x-forgejo-delivery"),
        event_type: header("x-forgejo-event"),
    }

    /// The ID and event headers are not signed.
    GOGS = "gogs", "Gogs", "https://gogs.io/docs/features/webhook", [Vector] {
        signatures: list![plain("x-gogs-signature")],
        id: header("x-gogs-delivery"),
        event_type: header("x-gogs-event"),
    }

    /// The secret is the app's client secret. After a rotation, the old one signs for about an
    /// hour.
    SHOPIFY = "shopify", "Shopify", "https://shopify.dev/docs/apps/build/webhooks/subscribe/https", [Vector Source] {
        signatures: list![plain("x-shopify-hmac-sha256")],
        encoding: Base64,
        id: header("x-shopify-webhook-id"),
        event_type: header("x-shopify-topic"),
        hints.retry_horizon: hours(4),
        hints.time_budget: seconds(5),
    }

    /// The secret's HTML entities are decoded first, as WordPress does. When a webhook is saved,
    /// WooCommerce sends an unsigned form, which gets a response.
    WOOCOMMERCE = "woocommerce", "WooCommerce", "https://developer.woocommerce.com/docs/webhooks/", [Source] {
        key_form: KeyForm::HtmlText,
        signatures: list![plain("x-wc-webhook-signature")],
        encoding: Base64,
        id: header("x-wc-webhook-delivery-id"),
        event_type: header("x-wc-webhook-topic"),
        challenges: list![Challenge::WOOCOMMERCE],
    }

    /// The secret is the channel's. One request may contain several events, with an ID each.
    LINE = "line", "LINE", "https://developers.line.biz/en/docs/messaging-api/verify-webhook-signature/", [Vector Source] {
        signatures: list![plain("x-line-signature")],
        encoding: Base64,
        id: pointer("/events/0/webhookEventId"),
        event_type: pointer("/events/0/type"),
        envelope: events("/events", list![text("/type")], list![text("/webhookEventId")]),
        event_time: event_time("/timestamp", TimeUnit::Milliseconds),
    }

    /// The timestamp in the signed body is checked. The header's is ignored.
    LINEAR = "linear", "Linear", "https://linear.app/developers/webhooks", [Source] {
        signatures: list![plain("linear-signature")],
        timestamp: timestamp(TimestampPlace::Pointer(text("/webhookTimestamp")), TimeUnit::Milliseconds, 60),
        id: header("linear-delivery"),
        event_type: header("linear-event"),
        event_time: event_time("/createdAt", TimeUnit::Rfc3339),
        event_data: data("/data"),
        hints.retry_horizon: hours(8),
        hints.time_budget: seconds(5),
    }

    /// The secret is the token in the unsigned request that is sent when the subscription is made.
    NOTION = "notion", "Notion", "https://developers.notion.com/reference/webhooks", [Vector Source Documentation] {
        signatures: list![prefixed("x-notion-signature", "sha256=")],
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_time: event_time("/timestamp", TimeUnit::Rfc3339),
        identity: Identity::SignedId,
        challenges: list![Challenge::NOTION],
        hints.retry_horizon: hours(24),
    }

    /// The secret is in the handshake's `X-Hook-Secret`.
    ASANA = "asana", "Asana", "https://developers.asana.com/docs/webhooks-guide", [Documentation] {
        signatures: list![plain("x-hook-signature")],
        envelope: events("/events", list![text("/resource/resource_type"), text("/action")], list![]),
        event_time: event_time("/created_at", TimeUnit::Rfc3339),
        challenges: list![Challenge::ASANA],
        hints.retry_horizon: hours(24),
        hints.time_budget: seconds(10),
    }

    /// Base64 after `sha256=`.
    TYPEFORM = "typeform", "Typeform", "https://www.typeform.com/developers/webhooks/secure-your-webhooks/", [Secondary] {
        signatures: list![prefixed("typeform-signature", "sha256=")],
        encoding: Base64,
        id: pointer("/event_id"),
        event_type: pointer("/event_type"),
        event_time: event_time("/form_response/submitted_at", TimeUnit::Rfc3339),
        event_data: data("/form_response"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(10),
        hints.time_budget: seconds(30),
    }

    /// The event header is not signed.
    LEMONSQUEEZY = "lemonsqueezy", "Lemon Squeezy", "https://docs.lemonsqueezy.com/help/webhooks/signing-requests", [Hearsay] {
        signatures: list![plain("x-signature")],
        event_type: header("x-event-name"),
        event_data: data("/data"),
    }

    /// The ID header is not signed.
    RAZORPAY = "razorpay", "Razorpay", "https://razorpay.com/docs/webhooks/validate-test/", [Vector Source] {
        signatures: list![plain("x-razorpay-signature")],
        id: header("x-razorpay-event-id"),
        event_type: pointer("/event"),
        event_time: event_time("/created_at", TimeUnit::Seconds),
        event_data: data("/payload"),
        hints.retry_horizon: hours(24),
        hints.time_budget: seconds(5),
    }

    /// Platforms, banking and management; payments are [`ADYEN`](super::ADYEN). The key is hex.
    ADYEN_PLATFORM = "adyen-platform", "Adyen, platform", "https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures", [Vector Source] {
        key_form: KeyForm::Hex,
        signatures: list![plain("hmacsignature")],
        encoding: Base64,
        event_type: pointer("/type"),
        event_data: data("/data"),
        hints.retry_horizon: days(30),
    }

    /// Base64 after `sha256=`. The consumer secret also signs the response to hourly challenges.
    X_TWITTER = "x-twitter", "X", "https://docs.x.com/x-api/webhooks/introduction", [Documentation] {
        signatures: list![prefixed("x-twitter-webhooks-signature", "sha256=")],
        encoding: Base64,
        challenges: list![Challenge::X],
    }

    /// The secret is the app's.
    DROPBOX = "dropbox", "Dropbox", "https://www.dropbox.com/developers/reference/webhooks", [Vector] {
        signatures: list![plain("x-dropbox-signature")],
        challenges: list![Challenge::DROPBOX],
        hints.time_budget: seconds(10),
    }

    /// One header for each key of the account: `X-DocuSign-Signature-1` and on.
    DOCUSIGN = "docusign", "DocuSign Connect", "https://developers.docusign.com/platform/webhooks/connect/hmac/", [Documentation] {
        signatures: list![at(Place::HeaderPrefix(text("x-docusign-signature-")), BARE)],
        encoding: Base64,
        event_type: pointer("/event"),
        event_time: event_time("/generatedDateTime", TimeUnit::Rfc3339),
        event_data: data("/data"),
        hints.retry_horizon: days(15),
        hints.time_budget: seconds(100),
    }

    /// The ID and the event type are in the signed body.
    COINBASE_COMMERCE = "coinbase-commerce", "Coinbase Commerce", "https://docs.cdp.coinbase.com/commerce/webhooks-security", [Vector Source] {
        signatures: list![plain("x-cc-webhook-signature")],
        id: pointer("/event/id"),
        event_type: pointer("/event/type"),
        event_time: event_time("/event/created_at", TimeUnit::Rfc3339),
        event_data: data("/event/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: days(3),
    }

    /// The timestamp header is not signed, and therefore ignored.
    SENTRY = "sentry", "Sentry", "https://docs.sentry.io/organization/integrations/integration-platform/webhooks/", [Documentation] {
        signatures: list![plain("sentry-hook-signature")],
        id: header("request-id"),
        event_type: header("sentry-hook-resource"),
        event_data: data("/data"),
        hints.time_budget: seconds(1),
    }

    /// HMAC-SHA1.
    VERCEL = "vercel", "Vercel", "https://vercel.com/docs/webhooks/webhooks-api", [Secondary] {
        algorithm: HmacSha1,
        signatures: list![plain("x-vercel-signature")],
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_time: event_time("/createdAt", TimeUnit::Milliseconds),
        event_data: data("/payload"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(24),
        hints.time_budget: seconds(30),
    }

    /// The ID and the event type are in the signed body.
    HEROKU = "heroku", "Heroku", "https://devcenter.heroku.com/articles/app-webhooks", [Secondary] {
        signatures: list![plain("heroku-webhook-hmac-sha256")],
        encoding: Base64,
        id: pointer("/webhook_metadata/event/id"),
        event_type: pointer("/webhook_metadata/event/include"),
        event_time: event_time("/created_at", TimeUnit::Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(72),
    }

    /// Without a delivery ID.
    CALCOM = "calcom", "Cal.com", "https://cal.com/docs/developing/guides/automation/webhooks", [Secondary] {
        signatures: list![plain("x-cal-signature-256")],
        event_type: pointer("/triggerEvent"),
        event_time: event_time("/createdAt", TimeUnit::Rfc3339),
        event_data: data("/payload"),
    }

    /// The key is base64. The request only says that something has changed.
    AIRTABLE = "airtable", "Airtable", "https://airtable.com/developers/web/api/webhooks-overview", [Secondary] {
        key_form: KeyForm::Base64,
        signatures: list![prefixed("x-airtable-content-mac", "hmac-sha256=")],
        event_time: event_time("/timestamp", TimeUnit::Rfc3339),
    }

    /// HMAC-SHA1.
    SEGMENT = "segment", "Segment", "https://www.twilio.com/docs/segment/connections/destinations/catalog/webhooks", [Documentation] {
        algorithm: HmacSha1,
        signatures: list![plain("x-signature")],
        id: pointer("/messageId"),
        event_type: pointer("/type"),
        event_time: event_time("/timestamp", TimeUnit::Rfc3339),
        identity: Identity::SignedId,
    }

    /// One request contains many events, so its first ID does not identify it.
    GOCARDLESS = "gocardless", "GoCardless", "https://developer.gocardless.com/getting-started/staying-up-to-date-with-webhooks", [Vector] {
        signatures: list![plain("webhook-signature")],
        id: pointer("/events/0/id"),
        envelope: events("/events", list![text("/resource_type"), text("/action")], list![text("/id")]),
        event_time: event_time("/created_at", TimeUnit::Rfc3339),
    }

    /// Hex over the body.
    COINIFY = "coinify", "Coinify", "https://docs.coinify.com/", [Vector] {
        signatures: list![plain("x-coinify-webhook-signature")],
    }

    /// HMAC-SHA512.
    PAYSTACK = "paystack", "Paystack", "https://paystack.com/docs/payments/webhooks/", [Hearsay] {
        algorithm: HmacSha512,
        signatures: list![plain("x-paystack-signature")],
        event_type: pointer("/event"),
        event_data: data("/data"),
        hints.retry_horizon: hours(72),
    }

    /// Before the first events, Xero sends some with wrong signatures and expects 401 for them.
    XERO = "xero", "Xero", "https://developer.xero.com/documentation/guides/webhooks/configuring-your-server/", [Hearsay] {
        signatures: list![plain("x-xero-signature")],
        encoding: Base64,
        envelope: events("/events", list![text("/eventCategory"), text("/eventType")], list![]),
        hints.time_budget: seconds(5),
    }

    /// The secret is the verifier token.
    INTUIT = "intuit", "Intuit QuickBooks", "https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks", [Hearsay] {
        signatures: list![plain("intuit-signature")],
        encoding: Base64,
    }

    /// Hex over the body.
    CLICKUP = "clickup", "ClickUp", "https://developer.clickup.com/docs/webhooksignature", [Hearsay] {
        signatures: list![plain("x-signature")],
        event_type: pointer("/event"),
    }

    /// The secret is that of the app key in `X-Pusher-Key`. One request contains many events, which
    /// are not split: only the request has a time, so single events would look alike.
    PUSHER = "pusher", "Pusher Channels", "https://pusher.com/docs/channels/server_api/webhooks/", [Hearsay] {
        signatures: list![plain("x-pusher-signature")],
    }

    /// The next-generation webhooks.
    MOLLIE = "mollie", "Mollie", "https://docs.mollie.com/reference/webhooks-new", [Hearsay] {
        signatures: list![prefixed("x-mollie-signature", "sha256=")],
    }

    /// HMAC-SHA1 in base64.
    HELPSCOUT = "helpscout", "Help Scout", "https://developer.helpscout.com/webhooks/", [Hearsay] {
        algorithm: HmacSha1,
        signatures: list![plain("x-helpscout-signature")],
        encoding: Base64,
        event_type: header("x-helpscout-event"),
    }

    /// HMAC-SHA512.
    TERRAFORM = "terraform", "HCP Terraform", "https://developer.hashicorp.com/terraform/cloud-docs/api-docs/notification-configurations", [Hearsay] {
        algorithm: HmacSha512,
        signatures: list![plain("x-tfe-notification-signature")],
    }

    /// Hex over the body, in the bytes that are sent: compressed, with `compressed_delivery`. That
    /// needs the feature `gzip`.
    NYLAS = "nylas", "Nylas", "https://developer.nylas.com/docs/v3/notifications/", [Hearsay] {
        signatures: list![plain("x-nylas-signature")],
        signed_bytes: Some(SignedBytes::AsSent),
        event_time: event_time("/time", TimeUnit::Seconds),
        event_data: data("/data/object"),
        challenges: list![Challenge::DROPBOX],
    }

    /// Background agents. The ID and event headers are not signed.
    CURSOR = "cursor", "Cursor", "https://docs.cursor.com/background-agent/api/webhooks", [Hearsay] {
        signatures: list![prefixed("x-webhook-signature", "sha256=")],
        id: header("x-webhook-id"),
        event_type: header("x-webhook-event"),
        event_time: event_time("/timestamp", TimeUnit::Rfc3339),
    }

    /// One `v1=` for each secret.
    PAGERDUTY = "pagerduty", "PagerDuty v3", "https://developer.pagerduty.com/docs/verifying-webhook-signatures", [Documentation] {
        signatures: list![pairs("x-pagerduty-signature", ',', list![text("v1")])],
        id: pointer("/event/id"),
        event_type: pointer("/event/event_type"),
        event_time: event_time("/event/occurred_at", TimeUnit::Rfc3339),
        event_data: data("/event/data"),
        identity: Identity::SignedId,
    }

    /// Versions other than `v1` are skipped.
    CIRCLECI = "circleci", "CircleCI", "https://circleci.com/docs/outbound-webhooks/", [Vector Documentation] {
        signatures: list![pairs("circleci-signature", ',', list![text("v1")])],
        id: pointer("/id"),
        event_type: header("circleci-event-type"),
        event_time: event_time("/happened_at", TimeUnit::Rfc3339),
        identity: Identity::SignedId,
        hints.time_budget: seconds(5),
    }
}
