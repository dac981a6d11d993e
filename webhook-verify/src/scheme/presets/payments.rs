//! Payments, billing and commerce.

use std::borrow::Cow;

use super::{
    super::{
        Algorithm::{HmacSha1, KeyedSha256, Token},
        Challenge, Evidence, Grammar, Identity, KeyForm, Part, Place, SameBytes, Scheme, Sent,
        SignatureSource,
        TimeUnit::{Milliseconds, Rfc1123, Rfc3339, Seconds, Utc},
        TimestampPlace,
    },
    BARE, COLON, DOT, DOTTED, NOT_JUDGED, TIME_BODY, at, comma_list, data, days, event_time,
    events, header, hours, minutes, pairs, plain, pointer, prefixed, seconds, set, text,
    time_header, time_pair, timestamp,
};
use crate::encoding::Encoding::Base64;

rows! { PAYMENTS;

    /// Hex over `{timestamp}{body}`, without a separator. The timestamp is not checked, because the
    /// documentation states no tolerance.
    AIRWALLEX = "airwallex", "Airwallex", "https://www.airwallex.com/docs/developer-tools/webhooks/listen-for-webhook-events", [Documentation] {
        whsec_text: true,
        signatures: list![plain("x-signature")],
        content: TIME_BODY,
        timestamp: time_header("x-timestamp", Milliseconds, NOT_JUDGED),
        id: pointer("/id"),
        event_type: pointer("/name"),
        event_data: data("/data"),
        identity: Identity::SignedId,
        notes.secret_at: "Settings, Developer, Webhooks, the endpoint's secret",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, Java sample",
    }

    /// The secret is the signing key of the webhook, not the auth token.
    ALCHEMY = "alchemy", "Alchemy Notify", "https://docs.alchemy.com/reference/notify-api-faq", [Documentation] {
        whsec_text: true,
        signatures: list![plain("x-alchemy-signature")],
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_time: event_time("/createdAt", Rfc3339),
        event_data: data("/event"),
        identity: Identity::SignedId,
        notes.secret_at: "Dashboard, Webhooks, the webhook's signing key",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID and time",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, code samples",
    }

    /// HMAC-SHA1 over the form field `bt_payload`, which is base64 of XML. The secret is the
    /// private key. The response to the challenge contains the parameter `public_key`.
    BRAINTREE = "braintree", "Braintree", "https://developer.paypal.com/braintree/docs/guides/webhooks/parse", [Source] {
        algorithm: HmacSha1,
        key_form: KeyForm::Sha1,
        signatures: list![at(Place::Form(text("bt_signature")), BRAINTREE_LIST)],
        content: list![Part::FormField(text("bt_payload"))],
        identity: Identity::None,
        challenges: list![Challenge::BRAINTREE],
        notes.secret_at: "Control Panel, API keys, the private key",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "the payload has no ID, and its time is in seconds",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `braintree`: `gateway.webhookTesting.sampleNotification`",
    }

    /// The ID is `/originalDeliveryId`, because `/deliveryId` is new in each retry.
    BTCPAY = "btcpay", "BTCPay Server", "https://docs.btcpayserver.org/API/Greenfield/v1/#tag/Webhooks", [Source] {
        signatures: list![prefixed("btcpay-sig", "sha256=")],
        id: pointer("/originalDeliveryId"),
        event_type: pointer("/type"),
        event_time: event_time("/timestamp", Seconds),
        identity: Identity::SignedId,
        hints.retry_horizon: seconds(3670),
        notes.secret_at: "store settings, Webhooks, secret",
        notes.schedule: "8 retries after 10 s, 1 min and then 10 min each, if automatic redelivery is on",
        notes.keeps: &[Sent::Id, Sent::EventType],
        notes.changes: &[Sent::Body, Sent::Signature],
        notes.source: "https://github.com/btcpayserver/btcpayserver/blob/master/BTCPayServer/Plugins/Webhooks/WebhookSender.cs",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the delivery's ID",
        notes.checked: "2026-11-28",
        notes.recheck: "github `btcpayserver/btcpayserver`: `WebhookSender.SendDelivery`",
    }

    /// Payment gateway. Base64 over `{timestamp}{body}`, without the dot that the documentation
    /// shows. The secret is the client secret. The timestamp is not checked, because the SDK does
    /// not check it.
    CASHFREE = "cashfree", "Cashfree Payments", "https://www.cashfree.com/docs/payments/online/webhooks/signature-verification", [Source Documentation] {
        signatures: list![plain("x-webhook-signature")],
        encoding: Base64,
        content: TIME_BODY,
        timestamp: time_header("x-webhook-timestamp", Milliseconds, NOT_JUDGED),
        event_type: pointer("/type"),
        event_time: event_time("/event_time", Rfc3339),
        event_data: data("/data"),
        identity: Identity::None,
        hints.retry_horizon: minutes(42),
        notes.secret_at: "Merchant Dashboard, Developers, API keys: client secret",
        notes.schedule: "3 retries after 2, 10 and 30 min, unless set otherwise",
        notes.source: "https://www.cashfree.com/docs/api-reference/webhooks/reliability-and-operations",
        notes.same_bytes: SameBytes::Unknown,
        notes.same_bytes_why: "the time of the event is in seconds",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `cashfree-pg`: `PGVerifyWebhookSignature`",
    }

    /// Workflow webhooks. The secret is the signature key of the workflow's action.
    CHECKOUT_COM = "checkout-com", "Checkout.com", "https://www.checkout.com/docs/developer-resources/webhooks/manage-webhooks/set-up-your-webhook-receiver", [Documentation] {
        signatures: list![plain("cko-signature")],
        event_type: pointer("/type"),
        identity: Identity::None,
        hints.retry_horizon: hours(30),
        notes.secret_at: "workflow, webhook action, signature key",
        notes.schedule: "8 retries after 5, 10, 15, 30 min, 1 h, 4 h, 12 h, 12 h",
        notes.source: "https://www.checkout.com/docs/workflows",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, Validate webhook signatures",
    }

    /// The ID and the event type are in the signed body.
    DWOLLA = "dwolla", "Dwolla", "https://developers.dwolla.com/docs/balance/webhooks/process-validate", [Documentation] {
        signatures: list![plain("x-request-signature-sha-256")],
        id: pointer("/id"),
        event_type: pointer("/topic"),
        event_time: event_time("/timestamp", Rfc3339),
        identity: Identity::SignedId,
        hints.retry_horizon: days(3),
        hints.time_budget: seconds(10),
        notes.secret_at: "given by the user when the subscription is created",
        notes.schedule: "8 retries over 72 h; paused after 400 failures in a row and 24 h",
        notes.source: "https://developers.dwolla.com/docs/connect/webhooks/process-validate",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID and time",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, section Processing and validating",
    }

    /// One request may contain several events, each with an ID.
    FASTSPRING = "fastspring", "FastSpring", "https://developer.fastspring.com/reference/message-security", [Documentation] {
        signatures: list![plain("x-fs-signature")],
        encoding: Base64,
        envelope: events("/events", list![text("/type")], list![text("/id")]),
        event_time: event_time("/created", Milliseconds),
        event_data: data("/data"),
        identity: Identity::Digest,
        notes.secret_at: "app, Integrations, Webhooks, HMAC SHA256 Secret",
        notes.keeps: &[Sent::Id],
        notes.source: "https://fastspring.com/docs/webhooks (automatic retries keep the event's id; a manual resend has a new id)",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "events have IDs",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page Message Security",
    }

    /// Webhooks v2. The key is the text of the secret's 64 hexadecimal digits.
    FIRSTPROMOTER = "firstpromoter", "FirstPromoter", "https://docs.firstpromoter.com/webhooks-v2/security", [Documentation] {
        signatures: list![plain("x-webhook-signature")],
        id: pointer("/event_id"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(2),
        notes.secret_at: "shown when the subscription is created, and after each rotation",
        notes.schedule: "by default, 3 retries after 20, 40 and 60 min; the number can be set for each subscription",
        notes.keeps: &[Sent::Id],
        notes.source: "https://docs.firstpromoter.com/webhooks-v2/deliveries",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's UUID",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, Ruby sample",
    }

    /// Version 3. The header contains the secret hash itself. For version 4, use
    /// [`FLUTTERWAVE_V4`].
    FLUTTERWAVE = "flutterwave", "Flutterwave v3", "https://developer.flutterwave.com/docs/webhooks", [Source] {
        algorithm: Token,
        signatures: list![plain("verif-hash")],
        content: list![],
        identity: Identity::None,
        notes.secret_at: "Dashboard, Settings, Webhooks: the secret hash that the merchant sets",
        notes.same_bytes: SameBytes::Unknown,
        notes.same_bytes_why: "not known; an older form of the body has /status and /txRef at the top",
        notes.checked: "2026-11-28",
        notes.recheck: "github `Flutterwave/Flutterwave-WooCommerce`: `flutterwave_webhooks`",
    }

    /// Version 4. Base64 over the body. The key is the secret hash. In contrast, samples in the
    /// documentation compare the header with the secret hash itself.
    FLUTTERWAVE_V4 = "flutterwave-v4", "Flutterwave v4", "https://developer.flutterwave.com/docs/webhooks", [Unproven] {
        signatures: list![plain("flutterwave-signature")],
        encoding: Base64,
        identity: Identity::None,
        notes.secret_at: "Dashboard, Settings, Webhooks: the secret hash that the merchant sets",
        notes.same_bytes: SameBytes::Unknown,
        notes.same_bytes_why: "not known; an older form of the body has /status and /txRef at the top",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, section on verifying",
    }

    /// For webhooks with the algorithm `hmac`, not the default `jwt`. The ID header is not signed.
    LAGO = "lago", "Lago", "https://getlago.com/docs/guide/webhooks#webhook-signature", [Source] {
        signatures: list![plain("x-lago-signature")],
        encoding: Base64,
        required_headers: list![(text("x-lago-signature-algorithm"), text("hmac"))],
        id: header("x-lago-unique-key"),
        event_type: pointer("/webhook_type"),
        identity: Identity::Digest,
        hints.retry_horizon: minutes(2),
        hints.time_budget: seconds(30),
        notes.secret_at: "Developers, Webhooks, HMAC key",
        notes.schedule: "3 attempts, after about 3 s and 18 s, unless configured otherwise",
        notes.keeps: &[Sent::Body, Sent::Id, Sent::EventType, Sent::Signature],
        notes.source: "https://github.com/getlago/lago-api/blob/main/app/services/webhooks/send_http_service.rb",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "github `getlago/lago-api`: `app/models/webhook.rb`",
    }

    /// The signature covers the parameter `data.id`, the header `x-request-id` and a timestamp, but
    /// not the body. Fetch the object by its ID. Notifications of QR codes are not signed.
    MERCADO_PAGO = "mercado-pago", "Mercado Pago", "https://www.mercadopago.com.br/developers/en/docs/your-integrations/notifications/webhooks", [Source] {
        signatures: list![pairs("x-signature", ',', list![text("v1")])],
        content: list![
            Part::Group(list![
                Part::Literal(text("id:")),
                Part::Query(text("data.id")),
                SEMICOLON,
            ]),
            Part::Group(list![
                Part::Literal(text("request-id:")),
                Part::Header(text("x-request-id")),
                SEMICOLON,
            ]),
            Part::Literal(text("ts:")),
            Part::Timestamp,
            SEMICOLON,
        ],
        timestamp: time_pair("ts", Seconds, NOT_JUDGED),
        identity: Identity::None,
        notes.secret_at: "Your integrations, the application, Webhooks, secret signature",
        notes.same_bytes: SameBytes::Unknown,
        notes.same_bytes_why: "the signed text contains only the object's ID, the request's ID and a time",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `mercadopago`: `WebhookSignatureValidator.validate`",
    }

    /// Hex over `{timestamp}`, a line feed and `{body}`.
    METRONOME = "metronome", "Metronome", "https://docs.metronome.com/guides/platform-configuration/setup-webhooks", [Source] {
        signatures: list![plain("metronome-webhook-signature")],
        content: list![Part::Timestamp, Part::Literal(text("\n")), Part::Body],
        timestamp: time_header("x-metronome-date", Rfc1123, 300),
        identity: Identity::None,
        notes.secret_at: "Developer, Notifications, Webhooks, the webhook's secret key",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented); the SDK also refuses them",
        notes.same_bytes: SameBytes::Unknown,
        notes.same_bytes_why: "no source describes the body",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@metronome/sdk`: `client.webhooks.unwrap`",
    }

    /// Hex over the body.
    MODERN_TREASURY = "modern-treasury", "Modern Treasury", "https://docs.moderntreasury.com/platform/docs/webhooks-overview", [Source] {
        signatures: list![plain("x-signature")],
        identity: Identity::None,
        notes.secret_at: "Developers, Webhooks, the webhook key",
        notes.same_bytes: SameBytes::Unknown,
        notes.same_bytes_why: "no page could be read; the sample body has no ID of the event, but headers may have one",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `modern-treasury`: `client.webhooks.validateSignature`",
    }

    /// One header contains the signatures, separated by commas. During a rotation, there are two.
    /// The key is base64.
    OMISE = "omise", "Omise / Opn Payments", "https://docs.omise.co/api-webhooks", [Unproven] {
        key_form: KeyForm::Base64,
        signatures: list![comma_list("omise-signature")],
        content: DOTTED,
        timestamp: time_header("omise-signature-timestamp", Seconds, 300),
        id: pointer("/id"),
        event_type: pointer("/key"),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
        notes.secret_at: "dashboard, Webhooks, webhook secret",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented)",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID",
        notes.checked: "2026-11-28",
        notes.recheck: "docs.omise.co, section on webhook signatures",
    }

    /// Only the form field `id` is signed, but not `status` and the amount. Fetch the charge by its
    /// ID. The secret is the API key.
    OPENNODE = "opennode", "OpenNode", "https://developers.opennode.com/docs/callbacks", [Source] {
        signatures: list![at(Place::Form(text("hashed_order")), BARE)],
        content: list![Part::FormField(text("id"))],
        identity: Identity::None,
        notes.secret_at: "dashboard, API key",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "npm `opennode`: `verifySignature`",
    }

    /// `v1=…` over `v1:{timestamp}:{body}`. The timestamp is in UTC, and has no zone.
    ORB = "orb", "Orb", "https://docs.withorb.com/integrations-and-exports/webhooks", [Vector Source Documentation] {
        signatures: list![at(
            Place::Header(text("x-orb-signature")),
            Grammar::List {
                separator: ' ',
                version_separator: '=',
                versions: list![text("v1")],
            },
        )],
        content: list![Part::Literal(text("v1:")), Part::Timestamp, COLON, Part::Body],
        timestamp: time_header("x-orb-timestamp", Utc, 300),
        id: pointer("/id"),
        event_type: pointer("/type"),
        event_time: event_time("/created_at", Rfc3339),
        identity: Identity::SignedId,
        notes.secret_at: "Orb, Developers, Webhooks, the endpoint's signing secret",
        notes.lost: "those after 5 minutes, if they are sent with the first timestamp, which is not documented; the SDK also refuses them",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID, which the documentation recommends for idempotency",
        notes.checked: "2026-11-28",
        notes.recheck: "PyPI `orb-billing`: `client.webhooks.verify_signature`; the vector is in its `tests/api_resources/test_webhooks.py`",
    }

    /// `te` is the signature in test mode, and `li` the signature in live mode. The other one is
    /// empty. The timestamp is not checked, because the SDK does not check it.
    PAYMONGO = "paymongo", "PayMongo", "https://developers.paymongo.com/docs/securing-webhook", [Source Documentation] {
        signatures: list![pairs("paymongo-signature", ',', list![text("te"), text("li")])],
        content: DOTTED,
        timestamp: time_pair("t", Seconds, NOT_JUDGED),
        id: pointer("/data/id"),
        event_type: pointer("/data/attributes/type"),
        event_time: event_time("/data/attributes/created_at", Seconds),
        event_data: data("/data/attributes/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: seconds(8190),
        notes.secret_at: "`secret_key` in the response to `POST /v1/webhooks`",
        notes.schedule: "12 retries with growing delays; after 3 events without a 2xx response, the webhook is disabled",
        notes.source: "https://developers.paymongo.com/docs/webhook-retry-logic",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID (/data/id)",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `paymongo-node`: `webhooks.constructEvent`",
    }

    /// A digest of the secret and the body, not an HMAC. Anyone with one signature can extend its
    /// body and sign the result. Recharge also sends a newer signature with a timestamp. No source
    /// describes its form.
    RECHARGE = "recharge", "Recharge", "https://docs.getrecharge.com/docs/webhooks-overview", [Unproven] {
        algorithm: KeyedSha256,
        signatures: list![plain("x-recharge-hmac-sha256")],
        identity: Identity::None,
        hints.retry_horizon: days(2),
        hints.time_budget: seconds(5),
        notes.secret_at: "the API token's client secret",
        notes.schedule: "20 attempts over 48 h, after 408, 429, 5xx or no response",
        notes.source: "https://docs.getrecharge.com/docs/webhooks-overview",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, Validating webhooks",
    }

    /// JSON webhooks: `<timestamp>,<hex>` over `{timestamp}.{body}`. During a rotation, there are
    /// two signatures. XML webhooks are not signed.
    RECURLY = "recurly", "Recurly", "https://docs.recurly.com/recurly-subscriptions/docs/signature-verification", [Source Documentation] {
        signatures: list![SignatureSource {
            place: Place::Header(text("recurly-signature")),
            grammar: Grammar::AfterTimestamp { separator: ',' },
            several: Some(','),
        }],
        content: DOTTED,
        timestamp: timestamp(TimestampPlace::Before, Milliseconds, 300),
        identity: Identity::None,
        hints.retry_horizon: hours(73),
        hints.time_budget: seconds(5),
        notes.secret_at: "Integrations, Webhooks, the endpoint's secret key",
        notes.schedule: "10 retries, `10 + x * 2^(x + 5)` s apart",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented); the client libraries also refuse them",
        notes.source: "https://docs.recurly.com/recurly-subscriptions/docs/automatic-retries",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "GitHub `recurly/recurly-client-ruby`: `lib/recurly/webhooks.rb`, `verify_signature`",
    }

    /// `sha256=…`. During a rotation, there are two signatures. Webhooks are signed only if signing
    /// is turned on.
    REVENIUM = "revenium", "Revenium", "https://docs.revenium.io/integrations/webhook-signing", [Documentation] {
        signatures: list![pairs("x-revenium-signature-256", ',', list![text("sha256")])],
        content: DOTTED,
        timestamp: time_header("x-revenium-webhook-timestamp", Seconds, 300),
        identity: Identity::None,
        notes.secret_at: "Dashboard, the webhook, signing (shown once)",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented)",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, section Verification algorithm",
    }

    /// Business and Merchant. There is one `v1=` for each active secret, over
    /// `v1.{timestamp}.{body}`.
    REVOLUT = "revolut", "Revolut", "https://developer.revolut.com/docs/guides/manage-accounts/webhooks/verify-the-payload-signature", [Documentation] {
        signatures: list![pairs("revolut-signature", ',', list![text("v1")])],
        content: list![Part::Literal(text("v1.")), Part::Timestamp, DOT, Part::Body],
        timestamp: time_header("revolut-request-timestamp", Milliseconds, 300),
        event_type: pointer("/event"),
        event_time: event_time("/timestamp", Rfc3339),
        event_data: data("/data"),
        identity: Identity::None,
        notes.secret_at: "`signing_secret` in the API response about the webhook",
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented); the documentation has the same window",
        notes.same_bytes: SameBytes::Unknown,
        notes.same_bytes_why: "some events have no time",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, example of a payload to sign",
    }

    /// Requests of an app proxy. The sorted query is signed. The body and the path are not signed.
    /// The secret is the app's client secret.
    SHOPIFY_APP_PROXY = "shopify-app-proxy", "Shopify, app proxy", "https://shopify.dev/docs/apps/build/online-store/app-proxies/authenticate-app-proxies", [Vector Documentation] {
        signatures: list![at(Place::Query(text("signature")), BARE)],
        content: list![Part::SortedQuery],
        identity: Identity::None,
        notes.secret_at: "Dev Dashboard, the app, Settings, client secret",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "a customer may make the same request twice in a second",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, the example request with the secret `hush` and `shop-name`",
    }

    /// The ID and the event type are in the signed body.
    SPREE = "spree", "Spree Commerce", "https://spreecommerce.org/docs/developer/core-concepts/webhooks", [Source Documentation] {
        signatures: list![plain("x-spree-webhook-signature")],
        content: DOTTED,
        timestamp: time_header("x-spree-webhook-timestamp", Seconds, 300),
        id: pointer("/id"),
        event_type: pointer("/name"),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
        hints.time_budget: seconds(30),
        notes.secret_at: "Developers, Webhooks, the endpoint's secret key",
        notes.schedule: "none after a failed response or a timeout; up to 5 attempts if Spree itself fails before it sends",
        notes.changes: &[Sent::Timestamp, Sent::Signature],
        notes.source: "https://github.com/spree/spree/blob/main/spree/api/app/services/spree/webhooks/deliver_webhook.rb",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's UUID",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@spree/sdk/webhooks`: `verifyWebhookSignature`",
    }

    /// The key is hex. After a rotation, only the new secret signs.
    SQUARESPACE = "squarespace", "Squarespace", "https://developers.squarespace.com/webhooks/verifying-notifications", [Documentation] {
        key_form: KeyForm::Hex,
        signatures: list![plain("squarespace-signature")],
        id: pointer("/id"),
        event_type: pointer("/topic"),
        event_time: event_time("/createdOn", Rfc3339),
        event_data: data("/data"),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(48),
        notes.secret_at: "the API response that creates or rotates the subscription",
        notes.schedule: "several attempts, after a timeout and any response except 2xx",
        notes.keeps: &[Sent::Id],
        notes.source: "https://developers.squarespace.com/commerce-apis/webhooks/notification-delivery",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the notification's ID and time",
        notes.checked: "2026-11-28",
        notes.recheck: "docs page, OpenSSL sample",
    }

    /// All webhooks of the account have one verification token.
    XENDIT = "xendit", "Xendit", "https://docs.xendit.co/apidocs/webhook-behavior", [Documentation] {
        algorithm: Token,
        signatures: list![plain("x-callback-token")],
        content: list![],
        event_type: pointer("/event"),
        event_time: event_time("/created", Rfc3339),
        event_data: data("/data"),
        identity: Identity::None,
        hints.retry_horizon: days(1),
        hints.time_budget: seconds(30),
        notes.secret_at: "Dashboard, Settings, Webhooks, verification token",
        notes.schedule: "6 retries after 15 min, 1 h, 3 h, 6 h, 12 h and 24 h",
        notes.source: "https://docs.xendit.co/apidocs/webhook-behavior",
        notes.same_bytes: SameBytes::Unknown,
        notes.checked: "2026-11-28",
        notes.recheck: "docs page",
    }
}

const SEMICOLON: Part = Part::Literal(text(";"));

/// `public key|hex`, for each of the account's keys.
const BRAINTREE_LIST: Grammar =
    Grammar::List { separator: '&', version_separator: '|', versions: list![] };
