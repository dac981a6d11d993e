//! Senders that sign the body alone with an HMAC.

use std::{borrow::Cow, time::Duration};

use super::{
    super::{
        Algorithm::{HmacSha1, HmacSha512},
        Challenge, Evidence, Grammar, Identity, KeyForm, Place, Prefix,
        SameBytes::{Never, Possible},
        Scheme,
        Sent::{Body, EventType, Id, Signature, Timestamp},
        SignatureSource, SignedBytes, SignedForm, TimeUnit, TimestampPlace, TimestampSource,
    },
    BARE, at, data, days, event_time, events, header, hours, json_in_form, minutes, pairs, plain,
    pointer, prefixed, seconds, set, text,
};
use crate::{clock::Tolerance, encoding::Encoding::Base64};

rows! { BODIES;

    /// The delivery ID and the event header are not signed. GitHub never retries by itself. The
    /// button "Redeliver" repeats the delivery ID, so after a success the delivery is a duplicate.
    GITHUB = "github", "GitHub", "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries", [Vector Source Documentation] {
        signatures: list![prefixed("x-hub-signature-256", "sha256=")],
        id: header("x-github-delivery"),
        event_type: header("x-github-event"),
        json_in_form: json_in_form("payload", SignedForm::Whole),
        identity: Identity::Digest,
        hints.body_limit: Some(25 << 20),
        hints.time_budget: seconds(10),
        notes.secret_at: "repository, organization or app settings, Webhooks, Secret",
        notes.schedule: "never automatically; manually or by API",
        notes.keeps: &[Body, Id, EventType, Signature],
        notes.same_bytes: Possible,
        notes.same_bytes_why: "some events, such as `membership`, have neither an ID nor a time",
        notes.source: "https://docs.github.com/en/webhooks/using-webhooks/best-practices-for-using-webhooks",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@octokit/webhooks`: `new Webhooks({secret}).sign(body)`",
    }

    /// The SHA-1 form, for servers that send no other form. Prefer the preset `github`: GitHub's
    /// own SDK refuses SHA-1.
    GITHUB_SHA1 = "github-sha1", "GitHub, SHA-1", "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries", [Vector] like GITHUB {
        algorithm: HmacSha1,
        signatures: list![prefixed("x-hub-signature", "sha1=")],
        notes.recheck: "docs page Webhook events and payloads, example of the delivery headers",
    }

    /// Facebook, Instagram and WhatsApp. The body is signed as sent, with non-ASCII characters
    /// escaped. The key of each entry is its bytes, so two equal changes of one object in one
    /// second are one event. The challenge needs the parameter `verify_token`.
    META = "meta", "Meta", "https://developers.facebook.com/docs/graph-api/webhooks/getting-started", [Source] {
        signatures: list![prefixed("x-hub-signature-256", "sha256=")],
        event_type: pointer("/object"),
        envelope: events("/entry", list![], list![]),
        identity: Identity::Digest,
        challenges: list![Challenge::META],
        hints.retry_horizon: days(7),
        notes.secret_at: "App Dashboard, App settings, Basic, App secret",
        notes.same_bytes: Never,
        notes.same_bytes_why: "messages have IDs, and changes have their time in seconds",
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `WhatsApp/WhatsApp-Nodejs-SDK`: `src/utils.ts`, `generateXHub256Sig`",
    }

    /// Cloud and Data Center. The header has GitHub's old name, but the digest is SHA-256. Data
    /// Center sends its ID in `X-Request-Id`. Gateways often replace it, so it is not read.
    BITBUCKET = "bitbucket", "Bitbucket", "https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/", [Vector Documentation] {
        signatures: list![prefixed("x-hub-signature", "sha256=")],
        id: header("x-request-uuid"),
        event_type: header("x-event-key"),
        identity: Identity::Digest,
        hints.time_budget: seconds(10),
        notes.secret_at: "repository settings, Webhooks, Secret",
        notes.schedule: "Cloud: up to 2 times after a 5xx",
        notes.keeps: &[EventType],
        notes.same_bytes_why: "bodies of Data Center have a time; a push in Cloud may have none",
        notes.source: "https://support.atlassian.com/bitbucket-cloud/docs/troubleshoot-webhooks/",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page Manage webhooks, section Secure webhooks",
    }

    /// Webhooks of administrators. Webhooks of Connect apps have another token.
    JIRA = "jira", "Jira", "https://developer.atlassian.com/cloud/jira/platform/webhooks/", [Vector Documentation] {
        signatures: list![prefixed("x-hub-signature", "sha256=")],
        id: header("x-atlassian-webhook-identifier"),
        event_type: pointer("/webhookEvent"),
        event_time: event_time("/timestamp", TimeUnit::Milliseconds),
        identity: Identity::Digest,
        hints.retry_horizon: minutes(30),
        notes.secret_at: "Jira settings, System, WebHooks, Secret",
        notes.schedule: "Cloud: up to 5 times within 30 min, after 408, 409, 425, 429, 5xx and failed connections",
        notes.keeps: &[Id],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the time of its event in ms",
        notes.source: "https://community.developer.atlassian.com/t/new-jira-cloud-webhook-retry-policy/30554",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page Webhooks, example in section Secure admin webhooks",
    }

    /// The secret is the client secret of the app.
    INTERCOM = "intercom", "Intercom", "https://developers.intercom.com/docs/webhooks/setting-up-webhooks", [Documentation] {
        algorithm: HmacSha1,
        signatures: list![prefixed("x-hub-signature", "sha1=")],
        id: pointer("/id"),
        event_type: pointer("/topic"),
        event_time: event_time("/created_at", TimeUnit::Seconds),
        event_data: data("/data/item"),
        identity: Identity::SignedId,
        challenges: list![Challenge::HEAD_PROBE],
        hints.time_budget: seconds(5),
        notes.secret_at: "Developer Hub, app, Basic information, Client secret",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the notification's ID",
        notes.checked: "2026-11-28",
        notes.recheck: "developer hub page Signed notifications, example request",
    }

    /// The ID and event headers are not signed. Choose the content type `application/json`. In a
    /// form, Gitea signs only the JSON inside, so forms are refused. A manual replay has a new ID,
    /// so it runs again.
    GITEA = "gitea", "Gitea", "https://docs.gitea.com/usage/webhooks", [Vector Source] {
        signatures: list![plain("x-gitea-signature")],
        id: header("x-gitea-delivery"),
        event_type: header("x-gitea-event"),
        json_in_form: json_in_form("payload", SignedForm::Value),
        identity: Identity::Digest,
        notes.secret_at: "repository or organization settings, Webhooks, Secret",
        notes.schedule: "never automatically; manually",
        notes.same_bytes_why: "payloads have neither an ID nor the time of their event",
        notes.source: "https://github.com/go-gitea/gitea/blob/main/services/webhook/deliver.go",
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `go-gitea/gitea`: `services/webhook/deliver.go`, `Deliver`",
    }

    /// Forgejo sends Gitea's headers alongside its own. With the form content type, Forgejo signs
    /// only the JSON in the field `payload`, and the handler gets this JSON.
    FORGEJO = "forgejo", "Forgejo", "https://forgejo.org/docs/latest/user/webhooks/", [Vector Source] {
        signatures: list![plain("x-forgejo-signature")],
        id: header("x-forgejo-delivery"),
        event_type: header("x-forgejo-event"),
        json_in_form: json_in_form("payload", SignedForm::Value),
        identity: Identity::Digest,
        notes.secret_at: "repository or organization settings, Webhooks, Secret",
        notes.same_bytes_why: "payloads have neither an ID nor the time of their event",
        notes.checked: "2026-11-28",
        notes.recheck: "Codeberg `forgejo/forgejo`: `services/webhook/shared/payloader.go`, `AddDefaultHeaders`",
    }

    /// The ID and event headers are not signed. With the form content type, Gogs signs only the
    /// JSON in the field `payload`, and the handler gets this JSON. A redelivery repeats the ID, so
    /// after a success it is a duplicate.
    GOGS = "gogs", "Gogs", "https://gogs.io/docs/features/webhook", [Vector Source] {
        signatures: list![plain("x-gogs-signature")],
        id: header("x-gogs-delivery"),
        event_type: header("x-gogs-event"),
        json_in_form: json_in_form("payload", SignedForm::Value),
        identity: Identity::Digest,
        notes.secret_at: "repository or organization settings, Webhooks, Secret",
        notes.schedule: "never automatically; manually",
        notes.keeps: &[Body, Id, EventType, Signature],
        notes.same_bytes_why: "payloads have neither an ID nor the time of their event",
        notes.source: "https://github.com/gogs/gogs/blob/main/internal/database/webhook.go",
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `gogs/gogs`: `internal/database/webhook.go`, `deliver`",
    }

    /// The secret is the app's client secret. After a rotation, the old one signs for about an
    /// hour. The prefix `x-` of the headers is optional. If a request has both forms, their values
    /// must be equal.
    SHOPIFY = "shopify", "Shopify", "https://shopify.dev/docs/apps/build/webhooks/verify-deliveries", [Vector Source Documentation] {
        signatures: list![plain("x-shopify-hmac-sha256")],
        encoding: Base64,
        id: header("x-shopify-webhook-id"),
        event_type: header("x-shopify-topic"),
        header_aliases: list![
            (text("x-shopify-hmac-sha256"), text("shopify-hmac-sha256")),
            (text("x-shopify-topic"), text("shopify-topic")),
            (text("x-shopify-webhook-id"), text("shopify-webhook-id")),
        ],
        identity: Identity::Digest,
        hints.retry_horizon: hours(4),
        hints.time_budget: seconds(5),
        notes.secret_at: "Dev Dashboard, app, Client credentials, Client secret; in the store's settings for its own webhooks",
        notes.schedule: "8 times over 4 h, at growing intervals",
        notes.keeps: &[Body, Id, EventType, Signature],
        notes.same_bytes: Possible,
        notes.same_bytes_why: "topic, ID and time are in headers only, and a body of selected fields repeats",
        notes.source: "https://shopify.dev/changelog/updates-to-webhook-retry-mechanism",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@shopify/shopify-api`: `shopify.webhooks.validate({rawBody, rawRequest})`",
    }

    /// The secret's HTML entities are decoded first, as WordPress does. When a webhook is saved,
    /// WooCommerce sends an unsigned form, and the receiver responds to it. The body of a deletion
    /// is the ID alone, so the key includes the topic and the delivery ID. WooCommerce does not
    /// retry.
    WOOCOMMERCE = "woocommerce", "WooCommerce", "https://developer.woocommerce.com/docs/webhooks/", [Source] {
        key_form: KeyForm::HtmlText,
        signatures: list![plain("x-wc-webhook-signature")],
        encoding: Base64,
        id: header("x-wc-webhook-delivery-id"),
        event_type: header("x-wc-webhook-topic"),
        identity: Identity::Digest,
        challenges: list![Challenge::WOOCOMMERCE],
        hints.time_budget: seconds(60),
        notes.secret_at: "WooCommerce, Settings, Advanced, Webhooks, Secret",
        notes.schedule: "never",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "every deletion has the body `{\"id\":…}`, even after the object was restored",
        notes.source: "https://github.com/woocommerce/woocommerce/blob/trunk/plugins/woocommerce/includes/class-wc-webhook.php",
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `woocommerce/woocommerce`: `class-wc-webhook.php`, `generate_signature`",
    }

    /// The secret is the channel secret. One request may contain several events, each with an ID. A
    /// redelivery is marked in the body, and keeps the IDs of the events.
    LINE = "line", "LINE", "https://developers.line.biz/en/docs/messaging-api/verify-webhook-signature/", [Vector Source Documentation] {
        signatures: list![plain("x-line-signature")],
        encoding: Base64,
        id: pointer("/events/0/webhookEventId"),
        event_type: pointer("/events/0/type"),
        envelope: events("/events", list![text("/type")], list![text("/webhookEventId")]),
        event_time: event_time("/timestamp", TimeUnit::Milliseconds),
        identity: Identity::Digest,
        notes.secret_at: "LINE Developers Console, channel, Basic settings, Channel secret",
        notes.schedule: "if redelivery is on; times and number are not published",
        notes.keeps: &[Id, EventType],
        notes.changes: &[Body, Signature],
        notes.same_bytes: Never,
        notes.same_bytes_why: "each event has its ID",
        notes.source: "https://developers.line.biz/en/docs/messaging-api/receiving-messages/",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@line/bot-sdk`: `validateSignature(body, secret, signature)`",
    }

    /// The timestamp in the signed body is checked, and the one in the header is ignored. It is not
    /// documented whether a retry has a new timestamp, so the window is as long as the retries.
    /// Linear's SDK accepts 60 s.
    LINEAR = "linear", "Linear", "https://linear.app/developers/webhooks", [Source Documentation] {
        signatures: list![plain("linear-signature")],
        timestamp: Some(TimestampSource {
            place: TimestampPlace::Pointer(text("/webhookTimestamp")),
            unit: TimeUnit::Milliseconds,
            tolerance: Some(Tolerance::new(Duration::from_secs(8 * 3600), Duration::from_secs(60))),
        }),
        id: header("linear-delivery"),
        event_type: header("linear-event"),
        event_time: event_time("/createdAt", TimeUnit::Rfc3339),
        event_data: data("/data"),
        identity: Identity::Fields,
        identity_fields: list![text("/webhookId"), text("/type"), text("/action"), text("/data/id"), text("/createdAt")],
        hints.retry_horizon: hours(8),
        hints.time_budget: seconds(5),
        notes.secret_at: "Settings, API, Webhooks, the webhook's Signing secret",
        notes.schedule: "after 1 min, 1 h and 6 h",
        notes.keeps: &[EventType],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's time in ms",
        notes.source: "https://linear.app/developers/webhooks",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@linear/sdk`: `new LinearWebhookClient(secret).verify(body, signature)`",
    }

    /// The secret is the token in the request that Notion sends when the subscription is created.
    /// In a retry, the attempt number in the body changes, but the ID stays.
    NOTION = "notion", "Notion", "https://developers.notion.com/reference/webhooks", [Vector Source Documentation] {
        signatures: list![prefixed("x-notion-signature", "sha256=")],
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_time: event_time("/timestamp", TimeUnit::Rfc3339),
        identity: Identity::SignedId,
        challenges: list![Challenge::NOTION],
        hints.retry_horizon: hours(24),
        notes.secret_at: "the verification token in the first request",
        notes.changes: &[Body, Signature],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.source: "npm `@notionhq/client`: `attempt_number` in `build/src/api-endpoints/webhooks.d.ts`",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@notionhq/client`: `signWebhookPayload`",
    }

    /// The secret is in the handshake's `X-Hook-Secret`. Events have no ID, so their bytes are their
    /// keys.
    ASANA = "asana", "Asana", "https://developers.asana.com/docs/webhooks-guide", [Documentation] {
        signatures: list![plain("x-hook-signature")],
        envelope: events("/events", list![text("/resource/resource_type"), text("/action")], list![]),
        event_time: event_time("/created_at", TimeUnit::Rfc3339),
        identity: Identity::Digest,
        challenges: list![Challenge::ASANA],
        hints.retry_horizon: hours(24),
        hints.time_budget: seconds(10),
        notes.secret_at: "header `X-Hook-Secret` of the handshake",
        notes.schedule: "for up to 24 h",
        notes.same_bytes: Never,
        notes.same_bytes_why: "each event has its time in ms",
        notes.source: "https://developers.asana.com/docs/webhooks-guide",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page Webhooks guide; npm `asana`: comments of `createWebhook`",
    }

    /// Base64 after `sha256=`. A response of 404 or 410 disables the webhook.
    TYPEFORM = "typeform", "Typeform", "https://www.typeform.com/developers/webhooks/secure-your-webhooks/", [Documentation] {
        signatures: list![prefixed("typeform-signature", "sha256=")],
        encoding: Base64,
        id: pointer("/event_id"),
        event_type: pointer("/event_type"),
        event_time: event_time("/form_response/submitted_at", TimeUnit::Rfc3339),
        event_data: data("/form_response"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(10),
        hints.time_budget: seconds(30),
        notes.secret_at: "form, Connect, Webhooks, Secret",
        notes.schedule: "every 2 to 3 min for 10 h after 408, 423, 429 and 503; for a shorter time after others",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.source: "https://www.typeform.com/developers/webhooks/",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page Secure your webhooks, code samples",
    }

    /// Lemon Squeezy retries after every response except 200: do not respond with 204. Nothing
    /// distinguishes a retry from a second event that leaves the same state, so there is no key.
    /// Set one with `Idempotency::identity`.
    LEMONSQUEEZY = "lemonsqueezy", "Lemon Squeezy", "https://docs.lemonsqueezy.com/help/webhooks/signing-requests", [Documentation] {
        signatures: list![plain("x-signature")],
        event_type: pointer("/meta/event_name"),
        event_data: data("/data"),
        hints.retry_horizon: seconds(155),
        notes.secret_at: "Settings, Webhooks, Signing secret",
        notes.schedule: "after 5, 25 and 125 s, unless the response is 200",
        notes.same_bytes_why: "the body has the object's last change, but no ID of the event",
        notes.source: "https://docs.lemonsqueezy.com/help/webhooks/webhook-requests",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page Signing requests, code samples",
    }

    /// The ID header is not signed. After a rotation, Razorpay signs retries with the old secret:
    /// keep it live for a day.
    RAZORPAY = "razorpay", "Razorpay", "https://razorpay.com/docs/webhooks/validate-test/", [Vector Source Documentation] {
        signatures: list![plain("x-razorpay-signature")],
        id: header("x-razorpay-event-id"),
        event_type: pointer("/event"),
        event_time: event_time("/created_at", TimeUnit::Seconds),
        event_data: data("/payload"),
        identity: Identity::Digest,
        hints.retry_horizon: hours(24),
        hints.time_budget: seconds(5),
        notes.secret_at: "Dashboard, Account & Settings, Webhooks, Secret",
        notes.schedule: "for 24 h after the event, at growing intervals",
        notes.keeps: &[Id],
        notes.same_bytes_why: "the body has the event's time in seconds, but no ID",
        notes.source: "https://razorpay.com/docs/webhooks/best-practices/",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `razorpay`: `Razorpay.validateWebhookSignature(body, signature, secret)`",
    }

    /// Platforms, banking and management. For payments, use the preset `adyen`. The key is hex.
    /// After a rotation, the old key signs for a while.
    ADYEN_PLATFORM = "adyen-platform", "Adyen, platform", "https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures", [Vector Source Documentation] {
        key_form: KeyForm::Hex,
        signatures: list![plain("hmacsignature")],
        encoding: Base64,
        event_type: pointer("/type"),
        event_time: event_time("/timestamp", TimeUnit::Rfc3339),
        event_data: data("/data"),
        identity: Identity::Digest,
        hints.retry_horizon: days(30),
        notes.secret_at: "Customer Area, Developers, Webhooks, the webhook, Security, HMAC key",
        notes.schedule: "after 9, 18 and 27 s, then at intervals of 2 min to 8 h, for up to 30 days",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the time at which the event was created",
        notes.source: "https://docs.adyen.com/development-resources/webhooks/troubleshoot",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@adyen/api-library`: `new hmacValidator().validateHMACSignature(key, signature, body)`",
    }

    /// Base64 after `sha256=`. For apps with an OAuth 2.0 client secret, its signature is in a
    /// separate header. For apps with a consumer secret, it is in the older header. The first
    /// secret also signs the response to challenges: if there are both, list the client secret
    /// first. Replays may regroup events, so there is no key. `Idempotency::identity_from` can use
    /// the IDs in the lists.
    X_TWITTER = "x-twitter", "X", "https://docs.x.com/x-api/webhooks/introduction", [Documentation] {
        signatures: list![
            prefixed("x-twitter-webhooks-signature", "sha256="),
            prefixed("x-twitter-webhooks-signature-oauth2", "sha256="),
        ],
        encoding: Base64,
        challenges: list![Challenge::X],
        hints.time_budget: seconds(10),
        notes.secret_at: "Developer Console, app, Keys and tokens: OAuth 2.0 client secret or API key secret",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page Webhooks, section Signature headers; `xurl webhook start` receives one",
    }

    /// The secret is the app secret. A request only names the accounts that have changed. All
    /// requests about an account are the same, so there is no key. Running twice is harmless: the
    /// handler lists the changes since its cursor.
    DROPBOX = "dropbox", "Dropbox", "https://www.dropbox.com/developers/reference/webhooks", [Vector Documentation] {
        signatures: list![plain("x-dropbox-signature")],
        challenges: list![Challenge::DROPBOX],
        hints.retry_horizon: minutes(10),
        hints.time_budget: seconds(10),
        notes.secret_at: "App Console, app, Settings, App secret",
        notes.schedule: "for about 10 min, at growing intervals",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "every notification of an account has the same body",
        notes.source: "https://www.dropbox.com/developers/webhooks/docs",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page Webhooks, section Receiving notifications",
    }

    /// There is one header for each key of the account: `X-DocuSign-Signature-1`, `-2` and so on.
    /// JSON bodies count retries in `/retryCount`. A retry whose body differs runs again.
    DOCUSIGN = "docusign", "DocuSign Connect", "https://developers.docusign.com/platform/webhooks/connect/hmac/", [Documentation] {
        signatures: list![at(Place::HeaderPrefix(text("x-docusign-signature-")), BARE)],
        encoding: Base64,
        event_type: pointer("/event"),
        event_time: event_time("/generatedDateTime", TimeUnit::Rfc3339),
        event_data: data("/data"),
        identity: Identity::Digest,
        hints.retry_horizon: days(15),
        hints.time_budget: seconds(100),
        notes.secret_at: "Settings, Integrations, Connect, Connect keys (shown once)",
        notes.schedule: "up to 10 times, the later ones at least 24 h apart",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the time at which it was created, to 100 ns",
        notes.source: "npm `docusign-esign`: `src/model/ConnectCustomConfiguration.js`",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page Validate HMAC signatures",
    }

    /// In a retry, the number and the time of the attempt in the body change, but the event's ID
    /// stays.
    COINBASE_COMMERCE = "coinbase-commerce", "Coinbase Commerce", "https://docs.cdp.coinbase.com/commerce/webhooks-security", [Vector Source Documentation] {
        signatures: list![plain("x-cc-webhook-signature")],
        id: pointer("/event/id"),
        event_type: pointer("/event/type"),
        event_time: event_time("/event/created_at", TimeUnit::Rfc3339),
        event_data: data("/event/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: days(3),
        notes.secret_at: "Settings, Notifications, Webhook subscriptions, Show shared secret",
        notes.schedule: "for 3 days, at most 1 h apart",
        notes.keeps: &[Id, EventType],
        notes.changes: &[Body, Signature],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.source: "https://docs.cloud.coinbase.com/commerce/docs/webhooks-fields-and-security",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `coinbase-commerce-node`: `Webhook.verifyEventBody(body, signature, secret)`",
    }

    /// The timestamp header is not signed, and is ignored. `Request-ID` is new for each attempt,
    /// and an issue that is resolved twice has the same body, so there is no key. Set one with
    /// `Idempotency::identity`.
    SENTRY = "sentry", "Sentry", "https://docs.sentry.io/organization/integrations/integration-platform/webhooks/", [Source Documentation] {
        signatures: list![plain("sentry-hook-signature")],
        event_type: header("sentry-hook-resource"),
        event_data: data("/data"),
        hints.retry_horizon: minutes(15),
        hints.time_budget: seconds(1),
        notes.secret_at: "Settings, Developer settings, Client secret",
        notes.schedule: "3 times, 5 min apart, after failed connections and time-outs",
        notes.keeps: &[Body, EventType, Signature],
        notes.changes: &[Id, Timestamp],
        notes.same_bytes: Possible,
        notes.same_bytes_why: "the body has neither an ID nor a time: an issue may be resolved twice",
        notes.source: "https://github.com/getsentry/sentry/blob/master/src/sentry/sentry_apps/tasks/sentry_apps.py",
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `getsentry/sentry`: `AppPlatformEvent` and `SentryApp.build_signature`",
    }

    /// HMAC-SHA1. The secret of an integration is its client secret.
    VERCEL = "vercel", "Vercel", "https://vercel.com/docs/webhooks", [Documentation] {
        algorithm: HmacSha1,
        signatures: list![plain("x-vercel-signature")],
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_time: event_time("/createdAt", TimeUnit::Milliseconds),
        event_data: data("/payload"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(24),
        hints.time_budget: seconds(30),
        notes.secret_at: "Team settings, Webhooks (shown once); integrations: Client Secret",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page Webhooks, section Securing webhooks",
    }

    /// The ID and the event type are in the signed body, next to the ID of the attempt. Heroku
    /// retries only with the level `sync`.
    HEROKU = "heroku", "Heroku", "https://devcenter.heroku.com/articles/app-webhooks", [Documentation] {
        signatures: list![plain("heroku-webhook-hmac-sha256")],
        encoding: Base64,
        id: pointer("/webhook_metadata/event/id"),
        event_type: pointer("/webhook_metadata/event/include"),
        event_time: event_time("/created_at", TimeUnit::Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(72),
        notes.secret_at: "field `secret` of the webhook, when it is created",
        notes.schedule: "for up to 72 h with the level `sync`, never with `notify`",
        notes.keeps: &[Id, EventType],
        notes.changes: &[Body, Signature],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the IDs of the event and of the delivery",
        notes.source: "https://devcenter.heroku.com/articles/webhook-events",
        notes.checked: "2026-11-28",
        notes.recheck: "docs pages App webhooks schema and Webhook events",
    }

    /// There is no delivery ID. A webhook with a custom template may send the same body twice, so
    /// there is no key. With the default body, `Idempotency::identity` can set `Identity::Digest`.
    CALCOM = "calcom", "Cal.com", "https://cal.com/docs/developing/guides/automation/webhooks", [Source] {
        signatures: list![plain("x-cal-signature-256")],
        event_type: pointer("/triggerEvent"),
        event_time: event_time("/createdAt", TimeUnit::Rfc3339),
        event_data: data("/payload"),
        notes.secret_at: "Settings, Developer, Webhooks, Secret",
        notes.schedule: "none, unless a self-hosted installation sends webhooks through its task queue",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "a template may leave out the time, which the default body has",
        notes.source: "https://github.com/calcom/cal.com/blob/main/packages/features/webhooks/lib/service/WebhookService.ts",
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `calcom/cal.com`: `packages/features/webhooks/lib/sendPayload.ts`",
    }

    /// The key is base64. The request only says that something has changed.
    AIRTABLE = "airtable", "Airtable", "https://airtable.com/developers/web/api/webhooks-overview", [Source Documentation] {
        key_form: KeyForm::Base64,
        signatures: list![prefixed("x-airtable-content-mac", "hmac-sha256=")],
        event_time: event_time("/timestamp", TimeUnit::Rfc3339),
        identity: Identity::Digest,
        notes.secret_at: "`macSecretBase64` in the response of Create webhook (shown once)",
        notes.schedule: "a few times; not published in detail",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the notification's time in ms",
        notes.source: "https://airtable.com/developers/web/api/model/webhooks-notification",
        notes.checked: "2026-11-28",
        notes.recheck: "PyPI `pyairtable`: `WebhookNotification.from_request(body, header, secret)`",
    }

    /// HMAC-SHA1. One request may contain a list of events. With `X-Signature`, Segment signs only
    /// the first event of a list, so lists are refused. Turn on `X-Segment-Signature`, which covers
    /// the whole body. A custom mapping should keep `messageId`: without it, two events with the
    /// same bytes are one event.
    SEGMENT = "segment", "Segment", "https://www.twilio.com/docs/segment/connections/destinations/catalog/webhooks", [Source Documentation] {
        algorithm: HmacSha1,
        signatures: list![plain("x-signature"), plain("x-segment-signature")],
        id: pointer("/messageId"),
        event_type: pointer("/type"),
        envelope: events("", list![text("/type")], list![text("/messageId")]),
        event_time: event_time("/timestamp", TimeUnit::Rfc3339),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(4),
        notes.secret_at: "destination settings, Shared Secret",
        notes.schedule: "for up to 4 h, after 5xx",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "a mapping may leave out the ID and the time, which the default body has",
        notes.source: "https://github.com/segmentio/segment-docs/blob/develop/src/connections/destinations/catalog/webhooks/index.md",
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `segmentio/action-destinations`: `destinations/webhook/index.ts`, `extendRequest`",
    }

    /// One request contains many events, each with an ID. The ID of the request is also in the
    /// body.
    GOCARDLESS = "gocardless", "GoCardless", "https://developer.gocardless.com/getting-started/staying-up-to-date-with-webhooks", [Vector Source Documentation] {
        signatures: list![plain("webhook-signature")],
        id: pointer("/meta/webhook_id"),
        envelope: events("/events", list![text("/resource_type"), text("/action")], list![text("/id")]),
        event_time: event_time("/created_at", TimeUnit::Rfc3339),
        identity: Identity::SignedId,
        hints.time_budget: seconds(10),
        notes.secret_at: "Dashboard, Developers, Webhook endpoints, Secret",
        notes.schedule: "8 times, after 1, 2 and 10 min and so on",
        notes.same_bytes: Never,
        notes.same_bytes_why: "each event has an ID, and the body has the ID of the request",
        notes.source: "https://support.gocardless.com/hc/en-nz/articles/360000989989-Webhook-retries-failures",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `gocardless-nodejs/webhooks`: `parseWithMeta(body, secret, signature)`",
    }

    /// The ID and the event type are in the signed body.
    COINIFY = "coinify", "Coinify", "https://coinify.readme.io/docs/webhook-signature", [Vector Documentation] {
        signatures: list![plain("x-coinify-webhook-signature")],
        id: pointer("/id"),
        event_type: pointer("/event"),
        event_time: event_time("/time", TimeUnit::Rfc3339),
        event_data: data("/context"),
        identity: Identity::SignedId,
        notes.secret_at: "dashboard, Developers, Webhooks, Shared Secret",
        notes.keeps: &[Id],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.source: "https://coinify.readme.io/docs/webhook-structure",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page Webhook signature, its example",
    }

    /// HMAC-SHA512. The secret is the API key, `sk_…`. Some events, such as `refund.pending`, have
    /// neither an ID nor a time, so there is no key. Set one for the events that you use with
    /// `Idempotency::identity_from`.
    PAYSTACK = "paystack", "Paystack", "https://paystack.com/docs/payments/webhooks/", [Source] {
        algorithm: HmacSha512,
        api_key: true,
        signatures: list![plain("x-paystack-signature")],
        event_type: pointer("/event"),
        event_data: data("/data"),
        hints.retry_horizon: hours(72),
        notes.secret_at: "dashboard, Settings, API Keys & Webhooks: the secret key",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "two equal partial refunds of one transaction have the same body",
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `PaystackOSS/doc-code-snippets`: `src/doc/payments/webhooks`",
    }

    /// Before the first events, Xero sends test requests. It expects 401 for wrong signatures, and
    /// 200 without a body for the others. Events have no ID, so their bytes are their keys.
    XERO = "xero", "Xero", "https://developer.xero.com/documentation/guides/webhooks/configuring-your-server/", [Source Documentation] {
        signatures: list![plain("x-xero-signature")],
        encoding: Base64,
        envelope: events("/events", list![text("/eventCategory"), text("/eventType")], list![]),
        identity: Identity::Digest,
        hints.retry_horizon: hours(24),
        hints.time_budget: seconds(5),
        notes.secret_at: "developer.xero.com, My Apps, the app, Webhooks, webhooks key",
        notes.schedule: "for up to 24 h, at growing intervals; then the webhook is disabled",
        notes.same_bytes: Never,
        notes.same_bytes_why: "each event has its time in ms",
        notes.source: "https://developer.xero.com/documentation/webhooks/configuring-your-server",
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `XeroAPI/XeroWebhooksReceiver`: `Helpers/SignatureVerifier.cs`",
    }

    /// The secret is the verifier token. One request contains many events, as a list of
    /// CloudEvents, each with an ID. The older form is an object with `eventNotifications`. It is
    /// one event, and its bytes are its key.
    INTUIT = "intuit", "Intuit QuickBooks", "https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks", [Source Documentation] {
        signatures: list![plain("intuit-signature")],
        encoding: Base64,
        envelope: events("", list![text("/type")], list![text("/id")]),
        event_time: event_time("/time", TimeUnit::Rfc3339),
        event_data: data("/data"),
        identity: Identity::Digest,
        hints.time_budget: seconds(3),
        notes.secret_at: "developer.intuit.com, app dashboard, Webhooks, Show verifier token",
        notes.schedule: "after 10, 20 and 30 s, 5 and 20 min, 2, 4 and 6 h, then every 6 h",
        notes.same_bytes: Never,
        notes.same_bytes_why: "each event has its ID; in the older form, its time in seconds",
        notes.source: "https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks/best-practices",
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `intuit/QuickBooks-V3-PHP-SDK`: `src/WebhooksService/TokenVerifier.php`",
    }

    /// A response of 401 suspends the webhook, so test with the right secret. Some events, such as
    /// `spaceUpdated`, have neither an ID nor a time, so there is no key. For tasks,
    /// `Idempotency::identity_from` can use `/history_items/0/id`.
    CLICKUP = "clickup", "ClickUp", "https://developer.clickup.com/docs/webhooksignature", [Documentation] {
        signatures: list![plain("x-signature")],
        event_type: pointer("/event"),
        hints.time_budget: seconds(7),
        notes.secret_at: "`webhook.secret` in the response of Create Webhook",
        notes.schedule: "5 times; after 100 failed events the webhook is suspended",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "`spaceUpdated` has only the event's name, the space and the webhook",
        notes.source: "https://clickup.com/api/developer-portal/webhookhealth/",
        notes.checked: "2026-11-28",
        notes.recheck: "docs pages Webhook signature and Space webhook payloads",
    }

    /// The secret belongs to the app key in `X-Pusher-Key`. One request contains many events. They
    /// are not split, because only the request has a time, and single events would look alike.
    PUSHER = "pusher", "Pusher Channels", "https://pusher.com/docs/channels/server_api/webhooks/", [Source Documentation] {
        signatures: list![plain("x-pusher-signature")],
        event_time: event_time("/time_ms", TimeUnit::Milliseconds),
        identity: Identity::Digest,
        hints.retry_horizon: minutes(5),
        notes.secret_at: "dashboard, the app, App Keys, secret",
        notes.schedule: "for 5 min, at growing intervals",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the time at which it was created, in ms",
        notes.source: "https://pusher.com/docs/channels/server_api/webhooks/",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `pusher`: `new Pusher({…}).webhook({headers, rawBody}).isValid()`",
    }

    /// The next-generation webhooks. The prefix is optional. During a rotation, there are several
    /// header lines. Classic webhooks are not signed.
    MOLLIE = "mollie", "Mollie", "https://docs.mollie.com/reference/webhooks-new", [Source Documentation] {
        signatures: list![SignatureSource {
            place: Place::Header(text("x-mollie-signature")),
            grammar: Grammar::Plain(Prefix::Optional(text("sha256="))),
            several: Some(','),
        }],
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_time: event_time("/createdAt", TimeUnit::Rfc3339),
        event_data: data("/_embedded/entity"),
        identity: Identity::SignedId,
        hints.time_budget: seconds(15),
        notes.secret_at: "dashboard, or the response of Create webhook: signing secret",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `mollie/mollie-api-php`: `tests/Webhooks/SignatureValidatorTest.php`",
    }

    /// HMAC-SHA1 in base64. The body of a deletion is the ID alone, and notifications name only an
    /// object, so there is no key.
    HELPSCOUT = "helpscout", "Help Scout", "https://developer.helpscout.com/webhooks/", [Source Documentation] {
        algorithm: HmacSha1,
        signatures: list![plain("x-helpscout-signature")],
        encoding: Base64,
        event_type: header("x-helpscout-event"),
        notes.secret_at: "Manage, Apps, Webhooks, Secret Key",
        notes.same_bytes: Possible,
        notes.same_bytes_why: "deletions have the body `{\"id\":…}`, and notifications name only an object",
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `helpscout/helpscout-api-php`: `IncomingWebhook::generateSignature`",
    }

    /// HMAC-SHA512. Only generic notifications with a token are signed. The event type is read for
    /// notifications of runs. Notifications of workspaces have it at `/trigger`. It is not
    /// documented what a retry keeps, so there is no key.
    TERRAFORM = "terraform", "HCP Terraform", "https://developer.hashicorp.com/terraform/cloud-docs/api-docs/notification-configurations", [Documentation] {
        algorithm: HmacSha512,
        signatures: list![plain("x-tfe-notification-signature")],
        event_type: pointer("/notifications/0/trigger"),
        event_time: event_time("/notifications/0/run_updated_at", TimeUnit::Rfc3339),
        notes.secret_at: "workspace, Settings, Notifications, Token",
        notes.same_bytes_why: "notifications of runs have the run's ID and time; other notifications were not examined",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page Notification configurations, sample in section Notification authenticity",
    }

    /// Nylas signs the bytes as sent. With `compressed_delivery`, they are compressed, and the
    /// receiver needs the feature `gzip`. In a retry, the attempt number in the body changes, but
    /// the ID stays. If one destination fails, all destinations of the trigger get the retry.
    NYLAS = "nylas", "Nylas", "https://developer.nylas.com/docs/v3/notifications/", [Documentation] {
        signatures: list![plain("x-nylas-signature")],
        signed_bytes: Some(SignedBytes::AsSent),
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_time: event_time("/time", TimeUnit::Seconds),
        event_data: data("/data/object"),
        identity: Identity::SignedId,
        challenges: list![Challenge::DROPBOX],
        hints.retry_horizon: minutes(20),
        hints.time_budget: seconds(10),
        notes.secret_at: "`webhook_secret` in the response of Create webhook (shown once)",
        notes.schedule: "twice, the last time 10 to 20 min after the first attempt",
        notes.keeps: &[Id],
        notes.changes: &[Body, Signature],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the notification's ID",
        notes.source: "https://developer.nylas.com/docs/cookbook/use-cases/build/retry-failed-webhooks/",
        notes.checked: "2026-11-28",
        notes.recheck: "docs recipe Verify webhook signatures; `nylas webhook verify`",
    }

    /// Cloud agents, formerly background agents. The ID header is not signed, and it is not
    /// documented whether a retry keeps it. So the key is made of fields of the body.
    CURSOR = "cursor", "Cursor", "https://cursor.com/docs/cloud-agent/api/webhooks", [Documentation] {
        signatures: list![prefixed("x-webhook-signature", "sha256=")],
        id: header("x-webhook-id"),
        event_type: pointer("/event"),
        event_time: event_time("/timestamp", TimeUnit::Rfc3339),
        identity: Identity::Fields,
        identity_fields: list![text("/event"), text("/id"), text("/status"), text("/timestamp")],
        notes.secret_at: "set with the webhook's URL when an agent is created over the API",
        notes.schedule: "possibly, after an error status",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the agent, its status and the time in seconds",
        notes.source: "https://cursor.com/docs/cloud-agent/api/webhooks",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page Webhooks, code sample",
    }

    /// There is one `v1=` for each secret. After a 4xx other than 429, PagerDuty does not retry.
    PAGERDUTY = "pagerduty", "PagerDuty v3", "https://developer.pagerduty.com/docs/verifying-webhook-signatures", [Documentation] {
        signatures: list![pairs("x-pagerduty-signature", ',', list![text("v1")])],
        id: pointer("/event/id"),
        event_type: pointer("/event/event_type"),
        event_time: event_time("/event/occurred_at", TimeUnit::Rfc3339),
        event_data: data("/event/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(48),
        hints.time_budget: seconds(5),
        notes.secret_at: "`delivery_method.secret` in the response of Create webhook subscription",
        notes.schedule: "for up to 48 h, after 429, 5xx, time-outs and failed connections",
        notes.keeps: &[Id],
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.source: "https://github.com/PagerDuty/developer-docs/blob/main/docs/webhooks/02-Behavior.md",
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `PagerDuty/developer-docs`: `docs/webhooks/04-Signatures.md`",
    }

    /// Versions other than `v1` are skipped.
    CIRCLECI = "circleci", "CircleCI", "https://circleci.com/docs/outbound-webhooks/", [Vector Documentation] {
        signatures: list![pairs("circleci-signature", ',', list![text("v1")])],
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_time: event_time("/happened_at", TimeUnit::Rfc3339),
        identity: Identity::SignedId,
        hints.time_budget: seconds(10),
        notes.secret_at: "project settings, Webhooks, Secret token",
        notes.schedule: "later, after a response other than 2xx or after 10 s",
        notes.same_bytes: Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.source: "https://github.com/circleci/circleci-docs/blob/main/docs/guides/modules/integration/pages/outbound-webhooks.adoc",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page Outbound webhooks, table of bodies, secrets and signatures",
    }
}
