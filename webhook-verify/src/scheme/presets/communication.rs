//! Messages, meetings, documents, forms and customer relations.

use std::borrow::Cow;

use super::{
    super::{
        Algorithm::{HmacSha1, KeyedSha256, RsaSha256, Token},
        DigestForm, Evidence, Free, Grammar, Hash, Identity, KeyForm, Part, PathForm, Place,
        SameBytes, Scheme, Sent, SignedForm,
        TimeUnit::{Milliseconds, Rfc3339, Seconds},
        TimestampPlace, UrlForm,
    },
    BARE, BODY_TIME, COLON, DOT, DOTTED, ID_DOTTED, NOT_JUDGED, at, comma_list, data, days,
    event_time, events, header, hours, json_in_form, minutes, pairs, plain, pointer, prefixed,
    seconds, set, text, time_header, time_pair, timestamp,
};
use crate::encoding::Encoding::Base64;

rows! { COMMUNICATION;

    /// The body is a form, not JSON. The secret is the API key of the account's main administrator,
    /// or of the user who created the webhook by API.
    ACUITY_SCHEDULING = "acuity-scheduling", "Acuity Scheduling", "https://developers.acuityscheduling.com/docs/webhooks", [Documentation] {
        signatures: list![plain("x-acuity-signature")],
        encoding: Base64,
        identity: Identity::None,
        notes.secret_at: "Integrations, API key",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "two changes of one appointment have the same body",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, section Verifying webhook requests",
    }

    /// The ID header is not signed. Only 200 and 202 stop the retries: do not respond with 204.
    ATTIO = "attio", "Attio", "https://docs.attio.com/rest-api/how-to/webhooks", [Documentation] {
        signatures: list![plain("attio-signature")],
        header_aliases: list![(text("attio-signature"), text("x-attio-signature"))],
        id: header("idempotency-key"),
        envelope: events("/events", list![text("/event_type")], list![]),
        identity: Identity::Digest,
        hints.retry_horizon: days(3),
        notes.secret_at: "developer settings, or the API response when the webhook is created",
        notes.schedule: "10 retries with growing delays over about 3 days",
        notes.keeps: &[Sent::Id],
        notes.source: "https://docs.attio.com/rest-api/how-to/webhooks",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "an event names only an object and a record",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, Authenticating",
    }

    /// Notifications API. Base64 over the timestamp, the URL and the bytes of the body's SHA-256.
    /// The timestamp is not checked, because the documentation states no tolerance. For the older
    /// MessageBird webhooks, use `messagebird`.
    BIRD = "bird", "Bird", "https://docs.bird.com/api/notifications-api/api-reference/webhooks/verifying-a-webhook", [Documentation] {
        signatures: list![plain("messagebird-signature")],
        encoding: Base64,
        content: list![
            Part::Timestamp,
            Part::Literal(text("\n")),
            Part::Url(UrlForm::AsConfigured),
            Part::Literal(text("\n")),
            Part::BodyDigest(Hash::Sha256, DigestForm::Raw),
        ],
        timestamp: time_header("messagebird-request-timestamp", Seconds, NOT_JUDGED),
        event_type: pointer("/event"),
        event_data: data("/payload"),
        identity: Identity::None,
        hints.retry_horizon: hours(8),
        notes.secret_at: "`signingKey` of the webhook subscription",
        notes.schedule: "several retries at growing intervals, for 8 hours",
        notes.source: "https://docs.bird.com/api/notifications-api/retries",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "the page, PHP and Go samples",
    }

    /// Hex over `[{timestamp};{body}]`. Crisp signs plugin hooks, but not website hooks. The
    /// timestamp is not checked, because neither the SDK nor the documentation states a tolerance.
    CRISP = "crisp", "Crisp", "https://docs.crisp.chat/guides/web-hooks/", [Source Documentation] {
        signatures: list![plain("x-crisp-signature")],
        content: list![
            Part::Literal(text("[")),
            Part::Timestamp,
            Part::Literal(text(";")),
            Part::Body,
            Part::Literal(text("]")),
        ],
        timestamp: time_header("x-crisp-request-timestamp", Milliseconds, NOT_JUDGED),
        event_type: pointer("/event"),
        event_time: event_time("/timestamp", Milliseconds),
        event_data: data("/data"),
        identity: Identity::None,
        notes.secret_at: "Marketplace, the plugin, Settings, Events",
        notes.schedule: "the header `x-delivery-attempt-limit` contains the number of attempts",
        notes.source: "https://docs.crisp.chat/references/web-hooks/v1/",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "npm `crisp-api`: `verifyHook`",
    }

    /// One header contains several signatures, separated by commas. The secret is the application's
    /// client secret.
    CRONOFY = "cronofy", "Cronofy", "https://docs.cronofy.com/developers/push-notifications/authentication/", [Vector Source] {
        signatures: list![comma_list("cronofy-hmac-sha256")],
        encoding: Base64,
        event_type: pointer("/notification/type"),
        identity: Identity::None,
        notes.secret_at: "application's client secret",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "npm `cronofy`: `hmacValid`",
    }

    /// Each attempt has a new `X-Discourse-Event-Id`, so this ID does not identify an event. The
    /// event header is not signed.
    DISCOURSE = "discourse", "Discourse", "https://meta.discourse.org/t/configure-webhooks-that-trigger-on-discourse-events/49045", [Source] {
        signatures: list![prefixed("x-discourse-event-signature", "sha256=")],
        event_type: header("x-discourse-event"),
        identity: Identity::None,
        hints.retry_horizon: minutes(156),
        hints.time_budget: seconds(20),
        notes.secret_at: "admin, API, Webhooks, secret",
        notes.schedule: "4 retries after 1, 5, 25 and 125 min, if the site setting is on",
        notes.keeps: &[Sent::Body, Sent::EventType, Sent::Signature],
        notes.source: "https://github.com/discourse/discourse/blob/main/app/jobs/regular/emit_web_hook_event.rb",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "the body is the object, and an edit may leave it unchanged",
        notes.checked: "2026-11-28",
        notes.recheck: "github `discourse/discourse`: `emit_web_hook_event.rb`",
    }

    /// The header contains the secret itself. It is empty if no secret is set. Each attempt has a
    /// new `/createdAt`.
    DOCUMENSO = "documenso", "Documenso", "https://docs.documenso.com/docs/developers/webhooks/verification", [Source Documentation] {
        algorithm: Token,
        signatures: list![plain("x-documenso-secret")],
        content: list![],
        event_type: pointer("/event"),
        event_data: data("/payload"),
        identity: Identity::None,
        hints.time_budget: seconds(10),
        notes.secret_at: "settings, Webhooks, secret",
        notes.schedule: "3 to 5 attempts, depending on the queue",
        notes.keeps: &[Sent::EventType],
        notes.changes: &[Sent::Body],
        notes.source: "https://github.com/documenso/documenso/blob/main/packages/lib/jobs/definitions/internal/execute-webhook.handler.ts",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the time of the attempt",
        notes.checked: "2026-11-28",
        notes.recheck: "github `documenso/documenso`: `execute-webhook-call.ts`",
    }

    /// `<timestamp>.<hex>` over `{timestamp}.{body}`. The key is the whole secret, including
    /// `whsec_`.
    DOCUSEAL = "docuseal", "DocuSeal", "https://www.docuseal.com/resources/use-webhooks", [Documentation] {
        whsec_text: true,
        signatures: list![at(
            Place::Header(text("x-docuseal-signature")),
            Grammar::AfterTimestamp { separator: '.' },
        )],
        content: DOTTED,
        timestamp: timestamp(TimestampPlace::Before, Seconds, 300),
        event_type: pointer("/event_type"),
        event_time: event_time("/timestamp", Rfc3339),
        event_data: data("/data"),
        identity: Identity::None,
        notes.secret_at: "Webhooks, Security, HMAC",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented); the sample has the same window",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, verifyWebhook sample",
    }

    /// The JSON is in the field `json` of a form: enable the feature `multipart`. The secret is the
    /// API key.
    ///
    /// The signature covers only the time and the type of the event. A client that captures a
    /// request can change the rest of the body, so do not trust the rest.
    ///
    /// The response must contain `Hello API Event Received`. A duplicate would not get this text,
    /// so there is no idempotency key.
    DROPBOX_SIGN = "dropbox-sign", "Dropbox Sign", "https://developers.hellosign.com/docs/guides/events-and-callbacks/walkthrough", [Vector Source Documentation] {
        signatures: list![at(Place::Pointer(text("/event/event_hash")), BARE)],
        content: list![Part::Timestamp, Part::Pointer(text("/event/event_type"), Free::Never)],
        json_in_form: json_in_form("json", SignedForm::Value),
        timestamp: timestamp(TimestampPlace::Pointer(text("/event/event_time")), Seconds, NOT_JUDGED),
        event_type: pointer("/event/event_type"),
        event_time: event_time("/event/event_time", Seconds),
        identity: Identity::None,
        notes.secret_at: "API settings, API key",
        notes.same_bytes: SameBytes::Unknown,
        notes.same_bytes_why: "there is no event ID, and the time is in seconds",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@dropbox/sign`: `EventCallbackHelper.isValid`; the vector is in the PHP example of `dropbox-sign`",
    }

    /// Nothing is signed. The passcode is in the body, so keep bodies out of logs.
    FIGMA = "figma", "Figma", "https://developers.figma.com/docs/rest-api/webhooks-security", [Source Documentation] {
        algorithm: Token,
        signatures: list![at(Place::Pointer(text("/passcode")), BARE)],
        content: list![],
        event_type: pointer("/event_type"),
        event_time: event_time("/timestamp", Rfc3339),
        identity: Identity::None,
        notes.secret_at: "the user sets the passcode with the webhook",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's time",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@figma/rest-api-spec`: type WebhookBasePayload",
    }

    /// All apps share one public key, so check the broadcaster or the subscription. The event
    /// header is not signed. The timestamp is not checked, because the documentation states no
    /// tolerance.
    KICK = "kick", "Kick", "https://docs.kick.com/events/webhook-security", [Documentation] {
        algorithm: RsaSha256,
        key_form: KeyForm::Spki,
        signatures: list![plain("kick-event-signature")],
        encoding: Base64,
        content: ID_DOTTED,
        timestamp: time_header("kick-event-message-timestamp", Rfc3339, NOT_JUDGED),
        id: header("kick-event-message-id"),
        event_type: header("kick-event-type"),
        identity: Identity::SignedId,
        notes.secret_at: "no secret; the public key is on the page",
        notes.schedule: "3 attempts, until a 200",
        notes.source: "GitHub `KickEngineering/KickDevDocs`: `events/webhook-security.md`",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "follows have neither an ID nor a time",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, section Webhook sender validation",
    }

    /// `t=…,s=…` with base64.
    KNOCK = "knock", "Knock", "https://docs.knock.app/developer-tools/outbound-webhooks/overview", [Documentation] {
        signatures: list![pairs("x-knock-signature", ',', list![text("s")])],
        encoding: Base64,
        content: DOTTED,
        timestamp: time_pair("t", Milliseconds, 300),
        event_type: pointer("/type"),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/data"),
        identity: Identity::Digest,
        notes.secret_at: "Dashboard, Webhooks, the webhook's signing key",
        notes.schedule: "8 attempts",
        notes.source: "GitHub `knocklabs/docs`: `content/developer-tools/outbound-webhooks/overview.mdx`",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented); the documentation has the same window",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's time in microseconds",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, section Verifying the signature",
    }

    /// A digest, not an HMAC. The Encrypt Key is in the middle of the digested text. With such a
    /// key, the body is encrypted, and the handler must decrypt it. The receiver does not respond
    /// to the encrypted `url_verification`.
    LARK = "lark", "Lark and Feishu", "https://open.feishu.cn/document/server-docs/event-subscription-guide/event-subscription-configure-/request-url-configuration-case", [Source Documentation] {
        algorithm: KeyedSha256,
        signatures: list![plain("x-lark-signature")],
        content: list![
            Part::Timestamp,
            Part::Header(text("x-lark-request-nonce")),
            Part::Secret,
            Part::JsonBody,
        ],
        timestamp: time_header("x-lark-request-timestamp", Seconds, NOT_JUDGED),
        identity: Identity::None,
        notes.secret_at: "Developer console, Events and callbacks, Encryption strategy, Encrypt Key",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@larksuiteoapi/node-sdk`: `checkIsEventValidated`",
    }

    /// The header is `Signature` or `X-MailerSend-Signature`.
    MAILERSEND = "mailersend", "MailerSend", "https://developers.mailersend.com/api/v1/webhooks.html", [Source] {
        signatures: list![plain("signature"), plain("x-mailersend-signature")],
        event_type: pointer("/type"),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/data"),
        identity: Identity::None,
        notes.secret_at: "the domain, Webhooks, signing secret",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "npm `mailersend`: `MailerSendUtils.verifyWebHook`",
    }

    /// Hex over the body.
    MAILTRAP = "mailtrap", "Mailtrap", "https://docs.mailtrap.io/email-api-smtp/advanced/webhooks#verifying-the-signature", [Source] {
        signatures: list![plain("mailtrap-signature")],
        identity: Identity::None,
        notes.secret_at: "`signing_secret` in the API response that creates the webhook",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "npm `mailtrap`: `verifyWebhookSignature`",
    }

    /// Bots. Hex over a random header and the body. There is no timestamp, so a captured request
    /// can be replayed.
    NEXTCLOUD_TALK = "nextcloud-talk", "Nextcloud Talk bots", "https://nextcloud-talk.readthedocs.io/en/latest/bots/", [Documentation] {
        signatures: list![plain("x-nextcloud-talk-signature")],
        content: list![Part::Header(text("x-nextcloud-talk-random")), Part::JsonBody],
        event_type: pointer("/type"),
        identity: Identity::None,
        notes.secret_at: "`occ talk:bot:install`, the shared secret",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "a reaction that is removed and added again has the same body",
        notes.checked: "2026-11-28",
        notes.recheck: "github `nextcloud/spreed`: `docs/bots.md`",
    }

    /// The e-mail and push webhook providers.
    NOVU = "novu", "Novu", "https://docs.novu.co/platform/integrations", [Source] {
        signatures: list![plain("x-novu-signature")],
        id: pointer("/id"),
        identity: Identity::None,
        hints.retry_horizon: minutes(1),
        notes.secret_at: "the integration's settings, HMAC secret key",
        notes.schedule: "3 attempts, 30 s apart, unless configured otherwise",
        notes.keeps: &[Sent::Body, Sent::Signature],
        notes.source: "https://github.com/novuhq/novu/blob/next/packages/providers/src/lib/email/email-webhook/email-webhook.provider.ts",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "the same message may be sent twice",
        notes.checked: "2026-11-28",
        notes.recheck: "github `novuhq/novu`: `email-webhook.provider.ts`",
    }

    /// `t=…,s=…`. Redirects count as failures.
    OUTLINE = "outline", "Outline", "https://www.getoutline.com/developers#section/Webhooks", [Source] {
        signatures: list![pairs("outline-signature", ',', list![text("s")])],
        content: DOTTED,
        timestamp: time_pair("t", Milliseconds, 300),
        id: pointer("/id"),
        event_type: pointer("/event"),
        event_time: event_time("/createdAt", Rfc3339),
        event_data: data("/payload"),
        identity: Identity::SignedId,
        hints.time_budget: seconds(5),
        notes.secret_at: "settings, Webhooks, signing secret",
        notes.schedule: "none",
        notes.source: "GitHub `outline/outline`: `plugins/webhooks/server/tasks/DeliverWebhookTask.ts sendWebhook`",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the delivery's ID and its time",
        notes.checked: "2026-11-28",
        notes.recheck: "github `outline/outline`: `server/models/WebhookSubscription.ts`",
    }

    /// The signature is in the query of the URL. Give PandaDoc the URL as
    /// `…?signature={signature}`. The ID header is not signed. It stays the same in automatic and
    /// manual retries.
    PANDADOC = "pandadoc", "PandaDoc", "https://developers.pandadoc.com/docs/webhook-verification", [Documentation] {
        signatures: list![at(Place::Query(text("signature")), BARE)],
        id: header("x-pandadoc-webhook-event-id"),
        envelope: events("", list![text("/event")], list![]),
        event_data: data("/data"),
        identity: Identity::Digest,
        hints.time_budget: seconds(20),
        notes.secret_at: "Developer Dashboard, the webhook subscription, shared key",
        notes.schedule: "after failures, and manually; times are not published",
        notes.keeps: &[Sent::Id],
        notes.source: "https://developers.pandadoc.com/docs/webhook-deduplication",
        notes.same_bytes: SameBytes::Unknown,
        notes.same_bytes_why: "an item contains the whole document; each delivery has its own ID",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, samples",
    }

    /// `v=<milliseconds>,d=<hex>` over `{body}{timestamp}`. The secret is the API key with the webhook
    /// badge.
    RETELL = "retell", "Retell AI", "https://docs.retellai.com/features/secure-webhook", [Source Documentation] {
        signatures: list![pairs("x-retell-signature", ',', list![text("d")])],
        content: BODY_TIME,
        timestamp: time_pair("v", Milliseconds, 300),
        event_type: pointer("/event"),
        event_data: data("/call"),
        identity: Identity::None,
        notes.secret_at: "Dashboard, API keys, the key with the webhook badge",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented); the SDK also refuses them",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "the body has no ID of the event, and transcripts may repeat",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `retell-sdk`: `Retell.verify`",
    }

    /// Conversation API. Base64 over `{body}.{nonce}.{timestamp}`. The timestamp is not checked,
    /// because the SDK does not check it.
    SINCH = "sinch", "Sinch Conversation API", "https://developers.sinch.com/docs/conversation/callbacks/", [Source] {
        signatures: list![plain("x-sinch-webhook-signature")],
        encoding: Base64,
        content: list![
            Part::Body,
            DOT,
            Part::Header(text("x-sinch-webhook-signature-nonce")),
            DOT,
            Part::Timestamp,
        ],
        timestamp: time_header("x-sinch-webhook-signature-timestamp", Seconds, NOT_JUDGED),
        identity: Identity::None,
        notes.secret_at: "the webhook's settings, secret",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@sinch/sdk-client`: `validateWebhookSignature`",
    }

    /// Callbacks of Voice and Verification. Base64 over the method, the body's MD5, the content
    /// type, the timestamp and the path. The key is the application's secret, in base64.
    ///
    /// An attacker can make two bodies with the same MD5, so the signature does not prove the body:
    /// see [`Proof::Fields`](crate::Proof::Fields).
    SINCH_VOICE = "sinch-voice", "Sinch Voice and Verification", "https://developers.sinch.com/docs/voice/api-reference/authentication/callback-signed-request", [Vector Documentation] {
        key_form: KeyForm::Base64,
        signatures: list![at(
            Place::Header(text("authorization")),
            // `application <key>:<signature>`.
            Grammar::List { separator: ' ', version_separator: ':', versions: list![] },
        )],
        encoding: Base64,
        content: list![
            Part::Method,
            Part::Literal(text("\n")),
            Part::BodyDigest(Hash::Md5, DigestForm::Base64),
            Part::Literal(text("\n")),
            Part::Header(text("content-type")),
            Part::Literal(text("\nx-timestamp:")),
            Part::Timestamp,
            Part::Literal(text("\n")),
            Part::Path(PathForm::AsSent),
        ],
        timestamp: time_header("x-timestamp", Rfc3339, 300),
        event_type: pointer("/event"),
        event_time: event_time("/timestamp", Rfc3339),
        identity: Identity::None,
        notes.secret_at: "dashboard, Voice or Verification, the application's secret",
        notes.lost: "those after 5 minutes, if they are sent with the first timestamp, which is not documented; the documentation states no window",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "the page's example",
    }

    /// Chat, Video and Feeds. The secret is the app's API secret. The signature covers the JSON
    /// before compression, so turn compression off. The ID header is not signed.
    GETSTREAM = "getstream", "Stream", "https://getstream.io/chat/docs/node/webhooks_overview/", [Source Documentation] {
        signatures: list![plain("x-signature")],
        id: header("x-webhook-id"),
        event_type: pointer("/type"),
        event_time: event_time("/created_at", Rfc3339),
        identity: Identity::Digest,
        hints.retry_horizon: seconds(15),
        hints.time_budget: seconds(6),
        notes.secret_at: "the app's API secret",
        notes.schedule: "at most 3 attempts within 15 s",
        notes.keeps: &[Sent::Id],
        notes.source: "https://getstream.io/chat/docs/php/push_webhook/",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's time in microseconds",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `stream-chat`: `client.verifyAndParseWebhook`",
    }

    /// HMAC-SHA1 in base64. The secret is the client ID, `&` and the client secret, without spaces.
    SURVEYMONKEY = "surveymonkey", "SurveyMonkey", "https://api.surveymonkey.com/v3/docs#webhooks", [Documentation] {
        algorithm: HmacSha1,
        signatures: list![plain("sm-signature")],
        encoding: Base64,
        id: pointer("/event_id"),
        event_type: pointer("/event_type"),
        event_time: event_time("/event_datetime", Rfc3339),
        identity: Identity::SignedId,
        notes.secret_at: "Developer portal, the app, `<client ID>&<client secret>`",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID and time",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, sample `generate_signature`",
    }

    /// The secret is the app's client secret. Only 200 stops the retries. The ID header is not
    /// signed.
    TODOIST = "todoist", "Todoist", "https://developer.todoist.com/api/v1/#tag/Webhooks", [Source Documentation] {
        signatures: list![plain("x-todoist-hmac-sha256")],
        encoding: Base64,
        id: header("x-todoist-delivery-id"),
        event_type: pointer("/event_name"),
        event_data: data("/event_data"),
        identity: Identity::Digest,
        hints.retry_horizon: minutes(45),
        notes.secret_at: "App Management Console, client secret",
        notes.schedule: "3 attempts, 15 min apart",
        notes.keeps: &[Sent::Id],
        notes.source: "https://developer.todoist.com/api/v1/#tag/Webhooks",
        notes.same_bytes: SameBytes::Unknown,
        notes.same_bytes_why: "the body of older versions has no time of the event",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@doist/todoist-sdk`: `verifyWebhookSignature`",
    }

    /// Hex over `{timestamp}:{body}`.
    TWENTY = "twenty", "Twenty CRM", "https://docs.twenty.com/developers/extend/webhooks", [Source] {
        signatures: list![plain("x-twenty-webhook-signature")],
        content: list![Part::Timestamp, COLON, Part::Body],
        timestamp: time_header("x-twenty-webhook-timestamp", Milliseconds, 300),
        event_type: pointer("/eventName"),
        event_time: event_time("/eventDate", Rfc3339),
        event_data: data("/record"),
        identity: Identity::Digest,
        notes.secret_at: "Settings, APIs and Webhooks, the webhook's secret",
        notes.schedule: "none",
        notes.source: "GitHub `twentyhq/twenty`: `call-webhook.job.ts`",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has /eventDate and the record",
        notes.checked: "2026-11-28",
        notes.recheck: "github `twentyhq/twenty`: `call-webhook.job.ts`",
    }

    /// HMAC-SHA1.
    WEBEX = "webex", "Webex", "https://developer.webex.com/docs/api/guides/webhooks", [Documentation] {
        algorithm: HmacSha1,
        signatures: list![plain("x-spark-signature")],
        event_type: pointer("/resource"),
        event_data: data("/data"),
        identity: Identity::None,
        notes.secret_at: "the user sets it with the webhook",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "blog post, Python sample",
    }
}
