//! Senders of [Standard Webhooks](STANDARD_WEBHOOKS), and those that use its form with other header
//! names or key forms.
//!
//! Each sender has one line: name, display name, page, evidence, location of the secret, how to
//! check the row again, and the date of the last check. The braces contain the facts about bodies
//! and retries.

use std::borrow::Cow;

use super::{
    super::{
        Evidence, Identity, KeyForm, Notes, SameBytes, Scheme, Sent,
        TimeUnit::{Rfc3339, Seconds},
    },
    List, STANDARD_WEBHOOKS, SVIX, Text, data, event_time, header, hours, pointer, seconds, set,
    text, time_header, versions,
};

macro_rules! senders {
    ($rows:ident like $base:ident; $($(#[doc = $about:literal])* $ident:ident = $name:literal, $sender:literal, $page:literal, [$($evidence:ident)*], $secret_at:literal, $recheck:literal, $checked:literal {
        $($($field:ident).+: $value:expr,)*
    })*) => {
        rows! { $rows;
            $(
                $(#[doc = $about])*
                $ident = $name, $sender, $page, [$($evidence)*] like $base {
                    notes.secret_at: $secret_at,
                    notes.recheck: $recheck,
                    notes.checked: $checked,
                    $($($field).+: $value,)*
                }
            )*
        }
    };
}

/// The signature, and the retries as specified. The specification only recommends a form of bodies.
const SIGNED: Scheme = {
    let mut scheme = bodies_unknown(STANDARD_WEBHOOKS);
    scheme.notes.keeps = &[Sent::Id];
    scheme.notes.changes = &[Sent::Timestamp, Sent::Signature];
    scheme.notes.source = SPECIFICATION;
    scheme
};

const SPECIFICATION: &str =
    "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md";

/// The signature, and how Svix retries.
const SENT_BY_SVIX: Scheme = {
    let mut scheme = bodies_unknown(SVIX);
    scheme.hints.retry_horizon = hours(28);
    scheme.hints.time_budget = seconds(15);
    scheme.notes.schedule = "7 retries after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h, unless the sender sets others";
    scheme.notes.keeps = SVIX_KEEPS;
    scheme.notes.changes = SVIX_CHANGES;
    scheme.notes.source = SVIX_SOURCE;
    scheme
};

const SVIX_KEEPS: &[Sent] = &[Sent::Body, Sent::Id];
const SVIX_CHANGES: &[Sent] = &[Sent::Timestamp, Sent::Signature];
const SVIX_SOURCE: &str =
    "https://github.com/svix/svix-webhooks/blob/main/server/svix-server/src/worker.rs";

const fn bodies_unknown(base: Scheme) -> Scheme {
    let mut scheme = Scheme::BASE;
    set(&mut scheme, base);
    set(&mut scheme.event_type, None);
    set(&mut scheme.event_time, None);
    set(&mut scheme.event_data, None);
    set(&mut scheme.hints, Scheme::BASE.hints);
    set(&mut scheme.notes, Notes::NONE);
    scheme
}

senders! { STANDARD_SENDERS like SIGNED;

    /// Claude platform. Bodies name an object, which the handler must fetch.
    ANTHROPIC = "anthropic", "Anthropic", "https://platform.claude.com/docs/en/managed-agents/webhooks", [Source Documentation], "Claude Console, webhooks, the endpoint's signing key", "npm `@anthropic-ai/sdk`: `client.beta.webhooks.unwrap`", "2026-11-28" {
        event_type: pointer("/data/type"),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/data"),
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID and its time",
    }

    /// API v2. Webhooks that are set for single requests are not signed.
    ARGIL = "argil", "Argil", "https://docs.argil.ai/v2/platform/webhooks", [Documentation], "the workspace's endpoint, when it is created", "docs page, section Verify signatures", "2026-11-28" {
        hints.time_budget: seconds(10),
        notes.schedule: "after 30 s, then more",
        notes.keeps: &[Sent::Id],
        notes.source: "https://docs.argil.ai/v2/platform/webhooks",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "a generation gives one final event, with an ID",
    }

    /// Sent by Svix. A late retry may contain a newer body.
    DODO_PAYMENTS = "dodopayments", "Dodo Payments", "https://docs.dodopayments.com/developer-resources/webhooks", [Source Documentation], "Dashboard, Developer, Webhooks, the endpoint, Signing secret", "npm `dodopayments`: `client.webhooks.unwrap`", "2026-11-28" {
        event_type: pointer("/type"),
        event_time: event_time("/timestamp", Rfc3339),
        event_data: data("/data"),
        hints.retry_horizon: hours(28),
        hints.time_budget: seconds(15),
        notes.schedule: "8 attempts: at once, then after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h",
        notes.keeps: &[Sent::Id],
        notes.changes: &[Sent::Timestamp, Sent::Signature],
        notes.source: "https://docs.dodopayments.com/developer-resources/webhooks",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's time and object",
    }

    /// Sent by Svix, whose header names are also accepted.
    FATHOM = "fathom", "Fathom", "https://developers.fathom.ai/webhooks", [Source Documentation], "user settings, API Access, the webhook; or `secret` in the API response that creates it", "npm `fathom-typescript`: `Fathom.verifyWebhook`", "2026-11-28" {
        header_aliases: SVIX_NAMES,
        notes.keeps: SVIX_KEEPS,
        notes.changes: SVIX_CHANGES,
        notes.source: SVIX_SOURCE,
    }

    /// Triggers.
    GLEAN = "glean", "Glean", "https://developers.glean.com/guides/triggers/webhook-delivery", [Documentation], "the trigger's signing secret, `whsec_…`; no page states where it is shown", "docs page, section Verifying a delivery", "2026-11-28" {
        notes.keeps: &[Sent::Id],
        notes.source: "https://developers.glean.com/guides/triggers/webhook-delivery",
    }

    /// Requests are not signed until the secret is shown for the first time. Higgsfield does not
    /// retry after 4xx.
    HIGGSFIELD = "higgsfield", "Higgsfield", "https://docs.higgsfield.ai/docs/enterprise/webhook-security", [Documentation], "Higgsfield Console, Settings", "docs page, section Verify signatures", "2026-11-28" {
        hints.retry_horizon: hours(2),
        hints.time_budget: seconds(10),
        notes.schedule: "for 2 h, until the response is 2xx",
        notes.source: "https://docs.higgsfield.ai/docs/how-to/webhooks",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the request's ID, and a request has one final status",
    }

    /// Sent by Svix, whose header names are also accepted. Events of private incidents contain only
    /// an ID.
    INCIDENT_IO = "incident-io", "incident.io", "https://docs.incident.io/integrations/webhooks", [Documentation], "Settings, Webhooks, the endpoint, signing secret", "docs page, section Verifying", "2026-11-28" {
        event_type: pointer("/event_type"),
        header_aliases: SVIX_NAMES,
        hints.retry_horizon: hours(24),
        notes.schedule: "with growing delays over 24 h",
        notes.keeps: SVIX_KEEPS,
        notes.changes: SVIX_CHANGES,
        notes.source: SVIX_SOURCE,
    }

    /// Partner API V3. Linq does not retry after 4xx other than 429.
    LINQ = "linq", "Linq", "https://docs.linqapp.com/guides/webhooks", [Source Documentation], "the API response that creates the subscription (shown once)", "npm `@linqapp/sdk`: `client.webhooks.unwrap`", "2026-11-28" {
        event_type: pointer("/event_type"),
        event_data: data("/data"),
        hints.retry_horizon: seconds(1500),
        notes.schedule: "up to 10 retries over about 25 min, after 5xx, 429 and network errors",
        notes.keeps: &[Sent::Id],
        notes.source: "npm `@linqapp/sdk`: `src/resources/webhook-events.ts`",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID",
    }

    /// Sent by Svix.
    LIVEBLOCKS = "liveblocks", "Liveblocks", "https://liveblocks.io/docs/platform/webhooks", [Source Documentation], "the project's webhooks, the endpoint's secret key", "npm `@liveblocks/node`: `WebhookHandler.verifyRequest`", "2026-11-28" {
        event_type: pointer("/type"),
        event_data: data("/data"),
        hints.retry_horizon: hours(28),
        notes.schedule: "8 attempts: at once, then after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h",
        notes.changes: &[Sent::Timestamp, Sent::Signature],
        notes.source: "https://liveblocks.io/docs/platform/webhooks",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "the body has no ID, and two events of a room may be in the same millisecond",
    }

    /// For secrets that were created on or after 8 September 2026. For older secrets, use
    /// [`POLAR_LEGACY`].
    POLAR = "polar", "Polar", "https://polar.sh/docs/integrate/webhooks/delivery", [Source], "Dashboard or API, the webhook endpoint, `secret`", "github `polarsource/polar`: `sign_webhook` in `server/polar/webhook/tasks.py`", "2026-11-28" {
        event_type: pointer("/type"),
        event_time: event_time("/timestamp", Rfc3339),
        event_data: data("/data"),
        hints.time_budget: seconds(10),
        notes.schedule: "10 attempts with growing delays from 2 s to 20 min",
        notes.keeps: &[Sent::Body, Sent::Id, Sent::EventType],
        notes.changes: &[Sent::Timestamp, Sent::Signature],
        notes.source: "https://github.com/polarsource/polar/blob/main/server/polar/webhook/tasks.py",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's time and object",
    }

    /// Requests are not signed until the account has a workspace secret. Older accounts use Svix's
    /// header names, which are also accepted, with a secret for each endpoint.
    RECALL_AI = "recall-ai", "Recall.ai", "https://docs.recall.ai/docs/authenticating-requests-from-recallai", [Documentation], "Dashboard, Developers, API keys and secrets, workspace secret", "docs page, code example", "2026-11-28" {
        event_type: pointer("/event"),
        event_data: data("/data"),
        header_aliases: SVIX_NAMES,
    }

    /// The signed body also has the event's ID and time.
    SIGNATURE_API = "signatureapi", "SignatureAPI", "https://signatureapi.com/docs/api/guides/how-to/verify-webhooks", [Documentation], "Dashboard, the webhook endpoint, signing secret", "docs page, test cases", "2026-11-28" {
        event_type: pointer("/type"),
        event_time: event_time("/timestamp", Rfc3339),
        event_data: data("/data"),
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID and its time",
    }

    /// Bodies have no ID of the event. The ID in the header is signed. The documentation says that
    /// it identifies an attempt. If a retry has another ID, the handler runs again.
    SURGE = "surge", "Surge", "https://docs.surge.app/api-reference/webhooks/signature-validation", [Source Documentation], "Settings, Webhooks, `whsec_…`", "npm `@surgeapi/node`: `client.webhooks.unwrap`", "2026-11-28" {
        event_type: pointer("/type"),
        event_time: event_time("/timestamp", Rfc3339),
        event_data: data("/data"),
        notes.keeps: &[],
        notes.changes: &[Sent::Timestamp, Sent::Signature],
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "the body has no ID of the event",
    }
}

senders! { SVIX_SENDERS like SENT_BY_SVIX;

    /// Sent by Svix.
    PRIVY = "privy", "Privy", "https://docs.privy.io/api-reference/webhooks/overview", [Source Documentation], "Dashboard, Configuration, Webhooks, the endpoint's signing key", "npm `@privy-io/node`: `client.webhooks().verify`", "2026-11-28" {
        event_type: pointer("/type"),
    }

    /// Webhooks in Svix mode. Webhooks in direct mode are not signed.
    REDUCTO = "reducto", "Reducto", "https://docs.reducto.ai/workflows/svix-webhooks", [Documentation], "Reducto Studio, Account, Webhooks, the endpoint, signing secret", "docs page, Svix webhooks", "2026-11-28" {
    }

    /// Sent by Svix.
    STYTCH = "stytch", "Stytch", "https://stytch.com/docs/workspace-management/webhooks", [Documentation], "Dashboard, Webhooks, the endpoint, signing secret", "npm `svix`: `Webhook.verify`", "2026-11-28" {
        event_type: pointer("/object_type"),
        event_time: event_time("/timestamp", Rfc3339),
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID and its time",
    }
}

senders! { STANDARD_VARIANTS like SIGNED;

    /// Headers `finch-event-id`, `finch-timestamp` and `finch-signature`. The key is base64 without
    /// a prefix.
    FINCH = "finch", "Finch", "https://developer.tryfinch.com/developer-resources/Webhooks", [Source Documentation], "Dashboard, Webhooks, when the endpoint is registered", "npm `@tryfinch/finch-api`: `client.webhooks.unwrap`", "2026-11-28" {
        key_form: KeyForm::Base64,
        signatures: list![versions("finch-signature", list![text("v1")])],
        timestamp: time_header("finch-timestamp", Seconds, 300),
        id: header("finch-event-id"),
        event_type: pointer("/event_type"),
        event_data: data("/data"),
        notes.keeps: &[],
        notes.changes: &[],
        notes.lost: "those more than 5 minutes after the first attempt, if they repeat its timestamp (not documented); the SDK also refuses them",
        notes.source: "",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "the body has neither an ID nor the time of the event",
    }

    /// Video events of the newer SDKs. The key is the secret's text, including `whsec_`. For the
    /// older header `x-ik-signature`, use [`IMAGEKIT`](super::IMAGEKIT).
    IMAGEKIT_STANDARD = "imagekit-standard", "ImageKit, Standard Webhooks", "https://imagekit.io/docs/webhooks", [Source], "Dashboard, Developer options, Webhooks", "npm `@imagekit/nodejs`: `client.webhooks.unwrap`", "2026-11-28" {
        whsec_text: true,
        key_form: KeyForm::Utf8,
        event_type: pointer("/type"),
        event_time: event_time("/created_at", Rfc3339),
        event_data: data("/data"),
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID",
    }

    /// Headers `x-mlflow-delivery-id`, `x-mlflow-timestamp` and `x-mlflow-signature`. The key is
    /// the secret's text.
    MLFLOW = "mlflow", "MLflow", "https://mlflow.org/docs/latest/ml/webhooks/", [Source], "the user sets it with the webhook", "pypi `mlflow`: `mlflow/webhooks/delivery.py`", "2026-11-28" {
        whsec_text: true,
        key_form: KeyForm::Utf8,
        signatures: list![versions("x-mlflow-signature", list![text("v1")])],
        timestamp: time_header("x-mlflow-timestamp", Seconds, 300),
        id: header("x-mlflow-delivery-id"),
        event_type: pointer("/entity"),
        event_time: event_time("/timestamp", Rfc3339),
        event_data: data("/data"),
        hints.retry_horizon: seconds(127),
        hints.time_budget: seconds(30),
        notes.schedule: "within one call, 3 times by default, after 1 s, 2 s and 4 s",
        notes.keeps: &[Sent::Body, Sent::Id, Sent::EventType, Sent::Timestamp, Sent::Signature],
        notes.changes: &[],
        notes.source: "https://github.com/mlflow/mlflow/blob/master/mlflow/webhooks/delivery.py",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's time in microseconds",
    }

    /// For secrets that were created before 8 September 2026. The key is their whole text,
    /// including the prefix.
    POLAR_LEGACY = "polar-legacy", "Polar, older secrets", "https://polar.sh/docs/integrate/webhooks/delivery", [Source], "Dashboard or API, the webhook endpoint, `secret`", "npm `@polar-sh/sdk`: `validateEvent`", "2026-11-28" {
        whsec_text: true,
        key_form: KeyForm::Utf8,
        event_type: pointer("/type"),
        event_time: event_time("/timestamp", Rfc3339),
        event_data: data("/data"),
        hints.time_budget: seconds(10),
        notes.schedule: "10 attempts with growing delays from 2 s to 20 min",
        notes.keeps: &[Sent::Body, Sent::Id, Sent::EventType],
        notes.changes: &[Sent::Timestamp, Sent::Signature],
        notes.source: "https://github.com/polarsource/polar/blob/main/server/polar/webhook/tasks.py",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's time and object",
    }

    /// Auth hooks. Supabase uses the response body, so a duplicate must not get an empty response.
    /// Each attempt has a new ID, and two calls may have equal bodies, so there is no idempotency
    /// key.
    SUPABASE_AUTH = "supabase-auth", "Supabase Auth hooks", "https://supabase.com/docs/guides/auth/auth-hooks", [Source], "Authentication, Hooks, the hook's secret, without the `v1,` before `whsec_`", "github `supabase/auth`: `internal/hooks/hookhttp/hookhttp.go`", "2026-11-28" {
        event_type: pointer("/metadata/name"),
        event_time: event_time("/metadata/time", Rfc3339),
        identity: Identity::None,
        hints.retry_horizon: seconds(5),
        hints.time_budget: seconds(5),
        notes.schedule: "up to 3 attempts, 2 s apart, after connection errors, 429 and 503",
        notes.keeps: &[Sent::Body],
        notes.changes: &[Sent::Id, Sent::Timestamp, Sent::Signature],
        notes.source: "https://github.com/supabase/auth/blob/master/internal/hooks/hookhttp/hookhttp.go",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "some hooks contain only the user and the claims, and two log-ins may be equal",
    }

    /// The key is the secret's text, including `ws_`. The sender's SDK expects this text in base64,
    /// and the sender's templates encode it.
    WHOP = "whop", "Whop", "https://docs.whop.com/developer/guides/webhooks", [Source Documentation], "Dashboard, Developer, Webhooks, webhook secret", "github `whopio/whop-nextjs-app-template`: `lib/whop-sdk.ts`, with npm `@whop/sdk`: `client.webhooks.unwrap`", "2026-11-28" {
        key_form: KeyForm::Utf8,
        event_type: pointer("/type"),
        event_time: event_time("/timestamp", Rfc3339),
        event_data: data("/data"),
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the request's ID and the time of sending",
    }
}

const SVIX_NAMES: List<(Text, Text)> = list![
    (text("webhook-id"), text("svix-id")),
    (text("webhook-signature"), text("svix-signature")),
    (text("webhook-timestamp"), text("svix-timestamp")),
];
