//! Tools for developers and operators: code, builds, monitoring, content and media.

use std::borrow::Cow;

use super::{
    super::{
        Algorithm::{HmacSha1, HmacSha512, KeyedSha1, KeyedSha256},
        Evidence, Identity, List, Part, SameBytes, Scheme, Sent,
        TimeUnit::{Milliseconds, Rfc3339, Seconds},
        UrlForm,
    },
    BODY_TIME, COLON, DOTTED, data, event_time, events, header, minutes, pairs, plain, pointer,
    prefixed, seconds, set, text, time_header, time_pair,
};
use crate::encoding::Encoding::Base64;

rows! { DEVELOPER_TOOLS;

    /// Batched webhooks. Other webhooks are not signed. The secret is the part of the API key after
    /// the colon. A retried batch may contain more items.
    ABLY = "ably", "Ably", "https://ably.com/docs/platform/integrations/webhooks#security", [Documentation] {
        signatures: list![plain("x-ably-signature")],
        encoding: Base64,
        envelope: events("/items", list![text("/source"), text("/name")], list![]),
        event_time: event_time("/timestamp", Milliseconds),
        event_data: data("/data"),
        identity: Identity::None,
        hints.retry_horizon: minutes(5),
        notes.secret_at: "Dashboard, API keys, the part after the colon",
        notes.schedule: "for 5 min, after 1.4 s, 2 s and so on, up to 60 s",
        notes.changes: &[Sent::Body, Sent::Signature],
        notes.source: "https://github.com/ably/docs/blob/main/src/pages/docs/platform/integrations/webhooks/index.mdx",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "items have an ID or timestamp",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, section Webhook security",
    }

    /// HMAC-SHA1 in base64 over `{url}{body}`. `x-appwrite-webhook-id` is the ID of the webhook,
    /// not of a delivery. The types of the event are only in the unsigned
    /// `x-appwrite-webhook-events`.
    APPWRITE = "appwrite", "Appwrite", "https://appwrite.io/docs/advanced/platform/webhooks", [Source] {
        algorithm: HmacSha1,
        signatures: list![plain("x-appwrite-webhook-signature")],
        encoding: Base64,
        content: list![Part::Url(UrlForm::AsConfigured), Part::JsonBody],
        identity: Identity::None,
        hints.time_budget: seconds(15),
        notes.secret_at: "the project, Settings, Webhooks, signature key",
        notes.schedule: "none",
        notes.source: "GitHub `appwrite/appwrite`: `src/Appwrite/Platform/Workers/Webhooks.php`",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "the body is the document, and the type is only in a header",
        notes.checked: "2026-11-28",
        notes.recheck: "github `appwrite/appwrite`: `src/Appwrite/Platform/Workers/Webhooks.php`",
    }

    /// `timestamp=…,signature=…`. The secret is the webhook token. The event header is not signed.
    BUILDKITE = "buildkite", "Buildkite", "https://buildkite.com/docs/apis/webhooks/pipelines#webhook-signature", [Documentation] {
        signatures: list![pairs("x-buildkite-signature", ',', list![text("signature")])],
        content: DOTTED,
        timestamp: time_pair("timestamp", Seconds, 300),
        event_type: header("x-buildkite-event"),
        identity: Identity::None,
        notes.secret_at: "Settings, Notification Services, Webhook, Token",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented); the documentation has the same window",
        notes.same_bytes: SameBytes::Unknown,
        notes.same_bytes_why: "the body may show a later state than the event's",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, section Verifying HMAC signatures",
    }

    /// The body is a custom template.
    CHECKLY = "checkly", "Checkly", "https://www.checklyhq.com/docs/alerting-and-retries/webhooks/", [Documentation] {
        signatures: list![plain("x-checkly-signature")],
        identity: Identity::None,
        notes.secret_at: "alert channel, webhook secret",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "a template without a time gives the same body again",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, section Webhook secrets",
    }

    /// A SHA-1 digest of the body, the timestamp and the API secret, not an HMAC. For accounts that
    /// use SHA-256, use [`CLOUDINARY_SHA256`].
    CLOUDINARY = "cloudinary", "Cloudinary", "https://cloudinary.com/documentation/notification_signatures", [Source Documentation] {
        algorithm: KeyedSha1,
        signatures: list![plain("x-cld-signature")],
        content: CLOUDINARY_CONTENT,
        timestamp: time_header("x-cld-timestamp", Seconds, 7200),
        identity: Identity::None,
        notes.secret_at: "Console, Settings, API keys, API secret",
        notes.lost: "those more than 2 hours after the first attempt, if they repeat its timestamp (not documented); the SDK also refuses them",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "npm `cloudinary`: `cloudinary.utils.verifyNotificationSignature`",
    }

    /// For accounts that use SHA-256.
    CLOUDINARY_SHA256 = "cloudinary-sha256", "Cloudinary, SHA-256", "https://cloudinary.com/documentation/notification_signatures", [Source Documentation] like CLOUDINARY {
        algorithm: KeyedSha256,
        identity: Identity::None,
        notes.secret_at: "Console, Settings, API keys, API secret",
        notes.lost: "those more than 2 hours after the first attempt, if they repeat its timestamp (not documented); the SDK also refuses them",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "npm `cloudinary`: `cloudinary.utils.verifyNotificationSignature`",
    }

    /// The secret is used whole, `whsec_` included.
    DUB = "dub", "Dub", "https://dub.co/docs/integrations/webhooks/verify", [Source] {
        whsec_text: true,
        signatures: list![plain("dub-signature")],
        id: pointer("/id"),
        event_type: pointer("/event"),
        event_time: event_time("/createdAt", Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
        notes.secret_at: "workspace settings, Webhooks, secret",
        notes.schedule: "by QStash, with its defaults",
        notes.keeps: &[Sent::Body, Sent::Id, Sent::EventType, Sent::Signature],
        notes.source: "https://github.com/dubinc/dub/blob/main/apps/web/lib/webhook/qstash.ts",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID and time",
        notes.checked: "2026-11-28",
        notes.recheck: "github `dubinc/dub`: `apps/web/lib/webhook/signature.ts`",
    }

    /// HMAC-SHA1. The body is the build or the submission.
    EXPO_EAS = "expo-eas", "Expo EAS", "https://docs.expo.dev/eas/webhooks/", [Documentation] {
        algorithm: HmacSha1,
        signatures: list![prefixed("expo-signature", "sha1=")],
        event_type: pointer("/status"),
        identity: Identity::Digest,
        notes.secret_at: "chosen with `eas webhook:create --secret`",
        notes.schedule: "a few retries with growing delays",
        notes.source: "https://docs.expo.dev/eas/webhooks/",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the build's ID and its times",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, server sample",
    }

    /// There is one `v1=` for each secret. Only accounts with this feature get signatures.
    FINGERPRINT = "fingerprint", "Fingerprint", "https://docs.fingerprint.com/docs/webhooks-security", [Source Documentation] {
        signatures: list![pairs("fpjs-event-signature", ',', list![text("v1")])],
        identity: Identity::None,
        notes.secret_at: "Dashboard, Webhooks, the webhook",
        hints.retry_horizon: minutes(5),
        hints.time_budget: seconds(3),
        notes.schedule: "1 retry, after 5 minutes",
        notes.source: "https://docs.fingerprint.com/docs/webhooks",
        notes.same_bytes: SameBytes::Unknown,
        notes.same_bytes_why: "not known; a retry repeats the request ID, but its location depends on the version of the body",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@fingerprint/node-sdk`: `isValidWebhookSignature`",
    }

    /// Environment and audit log webhooks.
    FLAGSMITH = "flagsmith", "Flagsmith", "https://docs.flagsmith.com/system-administration/webhooks", [Source] {
        signatures: list![plain("x-flagsmith-signature")],
        event_type: pointer("/event_type"),
        event_data: data("/data"),
        identity: Identity::Digest,
        hints.time_budget: seconds(10),
        notes.secret_at: "environment or organisation settings, Webhooks, secret",
        notes.schedule: "up to 3 attempts after connection failures",
        notes.keeps: &[Sent::Body, Sent::EventType, Sent::Signature],
        notes.source: "https://github.com/Flagsmith/flagsmith/blob/main/api/webhooks/webhooks.py",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the time of the change",
        notes.checked: "2026-11-28",
        notes.recheck: "github `Flagsmith/flagsmith`: `api/webhooks/webhooks.py`",
    }

    /// Webhook contact points without a timestamp header. Grafana can rename the signature header;
    /// the two common names are accepted.
    GRAFANA = "grafana", "Grafana Alerting", "https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/", [Source] {
        signatures: list![plain("x-grafana-alert-signature")],
        envelope: events("/alerts", list![text("/status")], list![]),
        header_aliases: list![(
            text("x-grafana-alert-signature"),
            text("x-grafana-alerting-signature"),
        )],
        event_time: event_time("/startsAt", Rfc3339),
        identity: Identity::None,
        notes.secret_at: "the contact point, HMAC signature, secret",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "a reminder repeats the body",
        notes.checked: "2026-11-28",
        notes.recheck: "github `grafana/alerting`: `http/hmac.go`",
    }

    /// Webhook contact points with the timestamp header `X-Grafana-Alerting-Timestamp`, which must
    /// be set in Grafana. Each attempt has a new timestamp.
    GRAFANA_TIMESTAMPED = "grafana-timestamped", "Grafana Alerting, with a timestamp", "https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/", [Source] like GRAFANA {
        content: list![Part::Timestamp, COLON, Part::Body],
        timestamp: time_header("x-grafana-alerting-timestamp", Seconds, 300),
        identity: Identity::None,
        notes.secret_at: "the contact point, HMAC signature, secret",
        notes.changes: &[Sent::Timestamp, Sent::Signature],
        notes.source: "https://github.com/grafana/alerting/blob/main/http/hmac.go",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "a reminder repeats the body",
        notes.checked: "2026-11-28",
        notes.recheck: "github `grafana/alerting`: `http/hmac.go`",
    }

    /// Event webhooks.
    GROWTHBOOK = "growthbook", "GrowthBook", "https://docs.growthbook.io/app/webhooks/event-webhooks", [Source Documentation] {
        signatures: list![plain("x-growthbook-signature")],
        event_type: pointer("/event"),
        event_data: data("/data"),
        identity: Identity::None,
        hints.retry_horizon: seconds(630),
        hints.time_budget: seconds(30),
        notes.secret_at: "Settings, Webhooks, the webhook's page",
        notes.schedule: "after 30 s and then every 5 min, 3 attempts in total",
        notes.source: "GitHub `growthbook/growthbook`: `packages/back-end/src/events/handlers/webhooks/EventWebHookNotifier.ts`",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "github `growthbook/growthbook`: `EventWebHookNotifier.ts`",
    }

    /// Video events. The key is the whole secret, including `whsec_`. For the newer headers, use
    /// [`IMAGEKIT_STANDARD`](super::IMAGEKIT_STANDARD).
    IMAGEKIT = "imagekit", "ImageKit", "https://imagekit.io/docs/webhooks", [Source] {
        whsec_text: true,
        signatures: list![pairs("x-ik-signature", ',', list![text("v1")])],
        content: DOTTED,
        timestamp: time_pair("t", Milliseconds, 300),
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
        notes.secret_at: "Dashboard, Developer options, Webhooks",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented); the sample has the same window",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `imagekit`: `verifyWebhookEvent`",
    }

    /// Calls of functions. The secret is the signing key without its prefix `signkey-…-`. Inngest
    /// uses the response body, so a duplicate must not get an empty response.
    INNGEST = "inngest", "Inngest", "https://www.inngest.com/docs/platform/signing-keys", [Source Documentation] {
        signatures: list![pairs("x-inngest-signature", '&', list![text("s")])],
        content: BODY_TIME,
        timestamp: time_pair("t", Seconds, 300),
        identity: Identity::None,
        notes.secret_at: "Inngest Cloud, the environment, Signing key, without `signkey-…-`",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented); the SDK also refuses them",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "npm `inngest`: `RequestSignature` in `components/InngestCommHandler`",
    }

    /// The older header name, `X-KC-Signature`, is also accepted.
    KONTENT_AI = "kontent-ai", "Kontent.ai", "https://kontent.ai/learn/docs/webhooks", [Vector Source] {
        signatures: list![plain("x-kontent-ai-signature")],
        encoding: Base64,
        envelope: events("/notifications", list![text("/message/object_type"), text("/message/action")], list![]),
        header_aliases: list![(text("x-kontent-ai-signature"), text("x-kc-signature"))],
        event_data: data("/data"),
        identity: Identity::None,
        notes.secret_at: "Environment settings, Webhooks, the webhook, Secret",
        notes.same_bytes: SameBytes::Unknown,
        notes.same_bytes_why: "notifications have no ID",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@kontent-ai/webhook-helper`: `signatureHelper.isValidSignatureFromString`",
    }

    /// Retries keep their timestamp, but arrive within seconds.
    LANGFUSE = "langfuse", "Langfuse", "https://langfuse.com/docs/prompt-management/features/webhooks-slack-integrations", [Source] {
        signatures: list![pairs("x-langfuse-signature", ',', list![text("v1")])],
        content: DOTTED,
        timestamp: time_pair("t", Seconds, 300),
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_time: event_time("/timestamp", Rfc3339),
        identity: Identity::SignedId,
        hints.retry_horizon: seconds(41),
        hints.time_budget: seconds(10),
        notes.secret_at: "the automation's page (shown once)",
        notes.schedule: "4 attempts, after 100 ms, 200 ms and 400 ms",
        notes.keeps: &[Sent::Body, Sent::Id, Sent::EventType, Sent::Timestamp, Sent::Signature],
        notes.source: "https://github.com/langfuse/langfuse/blob/main/worker/src/queues/webhooks.ts",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID and time",
        notes.checked: "2026-11-28",
        notes.recheck: "github `langfuse/langfuse`: `packages/shared/src/encryption/signature.ts`",
    }

    /// The body is an entry of the audit log.
    LAUNCHDARKLY = "launchdarkly", "LaunchDarkly", "https://launchdarkly.com/docs/home/infrastructure/webhooks", [Documentation] {
        signatures: list![plain("x-ld-signature")],
        id: pointer("/_id"),
        event_type: pointer("/kind"),
        event_time: event_time("/date", Milliseconds),
        identity: Identity::SignedId,
        notes.secret_at: "Integrations, Webhooks, Sign this webhook",
        notes.schedule: "one retry",
        notes.source: "https://launchdarkly.com/docs/eu-docs/home/infrastructure/webhooks",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body is an audit log entry with an ID and a date",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, section Signing webhooks",
    }

    /// Only the body is signed, so the timestamp in the header is ignored.
    LIVEPEER = "livepeer", "Livepeer Studio", "https://docs.livepeer.org/developers/guides/setup-and-listen-to-webhooks", [Documentation] {
        signatures: list![pairs("livepeer-signature", ',', list![text("v1")])],
        event_type: pointer("/event"),
        event_time: event_time("/timestamp", Milliseconds),
        event_data: data("/event_object"),
        identity: Identity::Digest,
        notes.secret_at: "Dashboard, Developers, Webhooks, shared secret",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's time in milliseconds",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, section Webhook signatures",
    }

    /// There is no delivery ID.
    LOGTO = "logto", "Logto", "https://docs.logto.io/developers/webhooks/secure-webhooks", [Source] {
        signatures: list![plain("logto-signature-sha-256")],
        event_type: pointer("/event"),
        event_time: event_time("/createdAt", Rfc3339),
        identity: Identity::Digest,
        hints.time_budget: seconds(10),
        notes.secret_at: "Console, Webhooks, signing key",
        notes.schedule: "3 retries at once, if configured",
        notes.keeps: &[Sent::Body, Sent::EventType, Sent::Signature],
        notes.source: "https://github.com/logto-io/logto/blob/master/packages/core/src/libraries/hook/utils.ts",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's time in milliseconds",
        notes.checked: "2026-11-28",
        notes.recheck: "github `logto-io/logto`: `packages/core/src/libraries/hook/utils.ts`",
    }

    /// The older `X-Nango-Signature`, a digest of the secret and the body, is ignored.
    NANGO = "nango", "Nango", "https://docs.nango.dev/implementation-guides/platform/webhooks-from-nango", [Source] {
        signatures: list![plain("x-nango-hmac-sha256")],
        event_type: pointer("/type"),
        identity: Identity::None,
        notes.secret_at: "environment settings, webhook signing key",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@nangohq/node`: `verifyIncomingWebhookRequest`",
    }

    /// HMAC-SHA512. The body may be a custom template.
    NETBOX = "netbox", "NetBox", "https://netboxlabs.com/docs/netbox/models/extras/webhook/", [Source Documentation] {
        algorithm: HmacSha512,
        signatures: list![plain("x-hook-signature")],
        event_type: pointer("/event"),
        event_data: data("/data"),
        identity: Identity::None,
        notes.secret_at: "the webhook object, Secret",
        notes.schedule: "none",
        notes.source: "GitHub `netbox-community/netbox`: `netbox/extras/webhooks.py`",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "a template without a time gives the same body again",
        notes.checked: "2026-11-28",
        notes.recheck: "github `netbox-community/netbox`: `generate_signature` in `netbox/extras/webhooks.py`",
    }

    /// HMAC-SHA1.
    OPENPROJECT = "openproject", "OpenProject", "https://www.openproject.org/docs/system-admin-guide/api-and-webhooks/", [Source] {
        algorithm: HmacSha1,
        signatures: list![prefixed("x-op-signature", "sha1=")],
        event_type: pointer("/action"),
        identity: Identity::None,
        notes.secret_at: "Administration, API and webhooks, signature secret",
        notes.schedule: "after a time-out",
        notes.source: "GitHub `opf/openproject`: `modules/webhooks represented_webhook_job.rb`",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "github `opf/openproject`: `represented_webhook_job.rb`",
    }

    /// Phabricator and Phorge.
    PHABRICATOR = "phabricator", "Phabricator / Phorge", "https://secure.phabricator.com/book/phabricator/article/webhooks/", [Source Documentation] {
        signatures: list![plain("x-phabricator-webhook-signature")],
        event_type: pointer("/object/type"),
        event_time: event_time("/action/epoch", Seconds),
        identity: Identity::Digest,
        hints.time_budget: seconds(15),
        notes.secret_at: "the webhook's page, View HMAC Key",
        notes.schedule: "until an attempt succeeds; 10 failures in 5 min pause the webhook for 5 min",
        notes.keeps: &[Sent::Body, Sent::EventType, Sent::Signature],
        notes.source: "https://github.com/phacility/phabricator/blob/master/src/applications/herald/worker/HeraldWebhookWorker.php",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the IDs of the transactions and their time",
        notes.checked: "2026-11-28",
        notes.recheck: "github `phacility/phabricator`: `HeraldWebhookWorker.php`",
    }

    /// Each attempt has a new `X-Plane-Delivery`, so this ID does not identify an event.
    PLANE = "plane", "Plane", "https://developers.plane.so/dev-tools/intro-webhooks", [Source] {
        signatures: list![plain("x-plane-signature")],
        event_type: header("x-plane-event"),
        event_data: data("/data"),
        identity: Identity::None,
        hints.time_budget: seconds(30),
        notes.secret_at: "workspace settings, Webhooks, secret key",
        notes.schedule: "5 retries after connection failures, from 10 min on; none after a response",
        notes.keeps: &[Sent::Body, Sent::EventType, Sent::Signature],
        notes.source: "https://github.com/makeplane/plane/blob/preview/apps/api/plane/bgtasks/webhook_task.py",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "the body has no time of the event itself",
        notes.checked: "2026-11-28",
        notes.recheck: "github `makeplane/plane`: `webhook_send_task`",
    }

    /// Personalized docs. ReadMe uses the response body, so each request must reach the handler.
    README = "readme", "ReadMe", "https://docs.readme.com/main/docs/personalized-docs", [Source] {
        signatures: list![pairs("readme-signature", ',', list![text("v0")])],
        content: DOTTED,
        timestamp: time_pair("t", Milliseconds, 1800),
        identity: Identity::None,
        notes.secret_at: "project settings, the webhook of personalized docs",
        notes.lost: "those more than 30 minutes after the first attempt, if they repeat its timestamp (not documented); the SDK also refuses them",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "the body is the reader's e-mail address",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `readmeio`: `verifyWebhook`",
    }

    /// The header has GitHub's old name, but the digest is SHA-256. The ID and event headers are not
    /// signed.
    SNYK = "snyk", "Snyk", "https://docs.snyk.io/snyk-api/snyk-webhooks/validation-and-versioning-of-payloads", [Documentation] {
        signatures: list![prefixed("x-hub-signature", "sha256=")],
        id: header("x-snyk-transport-id"),
        event_type: header("x-snyk-event"),
        identity: Identity::Digest,
        notes.secret_at: "the user sets it with the webhook, by API",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "a ping has no ID in the body; each delivery has its own ID",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, verifySignature sample",
    }

    /// SonarQube Server and Cloud.
    SONARQUBE = "sonarqube", "SonarQube", "https://docs.sonarsource.com/sonarqube-cloud/administering-sonarcloud/integrations/webhooks", [Documentation] {
        signatures: list![plain("x-sonar-webhook-hmac-sha256")],
        identity: Identity::None,
        hints.time_budget: seconds(10),
        notes.secret_at: "the project or organization, Administration, Webhooks, Secret",
        notes.schedule: "none",
        notes.source: "https://docs.sonarsource.com/sonarqube-cloud/administering-sonarcloud/integrations/webhooks",
        notes.same_bytes: SameBytes::Unknown,
        notes.same_bytes_why: "after a change of the quality gate, the same analysis is sent again",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, section Securing webhooks",
    }

    /// HMAC-SHA1 in hex. The header has the same name as in Standard Webhooks, but another form.
    STORYBLOK = "storyblok", "Storyblok", "https://www.storyblok.com/tp/webhook-secret-with-different-technologies", [Documentation] {
        algorithm: HmacSha1,
        signatures: list![plain("webhook-signature")],
        event_type: pointer("/action"),
        identity: Identity::None,
        hints.time_budget: minutes(2),
        notes.secret_at: "space settings, Webhooks, webhook secret",
        notes.schedule: "none",
        notes.source: "https://storyblok.com/docs/Guides/using-storyblok-webhooks",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "publishing a story twice gives the same body",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, Node sample",
    }

    /// One request may contain several events, each with a time.
    TAILSCALE = "tailscale", "Tailscale", "https://tailscale.com/kb/1213/webhooks", [Source] {
        signatures: list![pairs("tailscale-webhook-signature", ',', list![text("v1")])],
        content: DOTTED,
        timestamp: time_pair("t", Seconds, 300),
        envelope: events("", list![text("/type")], list![]),
        event_time: event_time("/timestamp", Rfc3339),
        event_data: data("/data"),
        identity: Identity::Digest,
        notes.secret_at: "admin console, Settings, Webhooks (shown once)",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented); the sample has the same window",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "each event has its timestamp",
        notes.checked: "2026-11-28",
        notes.recheck: "github `tailscale/tailscale`: `docs/webhooks/example.go`",
    }

    /// Signed only if the webhook has a signing secret.
    UPLOADCARE = "uploadcare", "Uploadcare", "https://uploadcare.com/docs/security/secure-webhooks/", [Documentation] {
        signatures: list![prefixed("x-uc-signature", "v1=")],
        event_type: pointer("/hook/event"),
        event_data: data("/data"),
        identity: Identity::None,
        notes.secret_at: "Dashboard, Webhooks, signing secret",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, Python sample",
    }

    /// Actions v2. There is one `v1=` for each key. ZITADEL uses the response body of targets that
    /// call, so each request must reach the handler.
    ZITADEL = "zitadel", "ZITADEL Actions v2", "https://zitadel.com/docs/guides/integrate/actions/testing-request-signature", [Source] {
        signatures: list![pairs("zitadel-signature", ',', list![text("v1")])],
        content: DOTTED,
        timestamp: time_pair("t", Seconds, 300),
        identity: Identity::None,
        notes.secret_at: "`signingKey` in the response to `CreateTarget`",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented); the sender's package also refuses them",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "github `zitadel/zitadel`: `pkg/actions/signing.go`",
    }
}

const CLOUDINARY_CONTENT: List<Part> = list![Part::Body, Part::Timestamp, Part::Secret];
