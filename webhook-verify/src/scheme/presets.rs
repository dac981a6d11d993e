//! One row for each sender. A row that needs code shows that a block is missing.

use std::{borrow::Cow, mem, time::Duration};

use super::{
    Algorithm, Field, Grammar, Identity, KeyForm, List, Part, Place, Prefix, Scheme,
    SignatureSource, Text, TimeUnit, TimestampPlace, TimestampSource,
};
use crate::{Encoding, Tolerance};

/// A row: the fields named, the rest as in `Scheme::BASE`.
macro_rules! scheme {
    ($($(#[$doc:meta])* $ident:ident = $name:literal { $($($field:ident).+: $value:expr,)* })*) => {
        $(
            $(#[$doc])*
            pub const $ident: Scheme = {
                let mut scheme = Scheme::BASE;
                set(&mut scheme.name, text($name));
                $(set(&mut scheme.$($field).+, $value);)*
                scheme
            };
        )*
        pub(super) static ALL: &[Scheme] = &[$($ident),*];
    };
}

scheme! {
    /// HMAC-SHA256 of the body in base64, in `Webhook-Signature` (or `X-Webhook-Signature`).
    GENERIC_BASE64 = "generic-base64" {
        signatures: list![plain("webhook-signature"), plain("x-webhook-signature")],
        encoding: Encoding::Base64,
    }

    /// HMAC-SHA256 of the body in hex, in `X-Webhook-Signature: sha256=…`.
    GENERIC_HEX = "generic-hex" {
        signatures: list![prefixed("x-webhook-signature", "sha256=")],
    }

    /// Mautic 3.0 and later. One request carries one or more events, keyed by type; there is no id and no timestamp.
    ///
    /// Mautic 4.0 to 5.x does not retry: an answer that is not 2xx loses the events, and many of them turn the webhook
    /// off. <https://devdocs.mautic.org/en/latest/webhooks/getting_started.html>
    MAUTIC = "mautic" {
        signatures: list![plain("webhook-signature")],
        encoding: Encoding::Base64,
        event_type: Some(Field::FirstKey),
    }

    /// Host UK core-php and core-api as their code signs: bare hex over `{timestamp}.{body}`.
    ///
    /// The id and the event type that count are those in the signed body; the id header is another, unsigned value.
    /// Their retries come up to 36 min after the event, with a new timestamp and signature and the same body.
    HOST_UK_CORE_API = "host-uk-core-api" {
        signatures: list![plain("x-webhook-signature")],
        content: DOTTED,
        timestamp: Some(header_time("x-webhook-timestamp", 300)),
        id: Some(Field::Pointer(text("/id"))),
        event_type: Some(Field::Pointer(text("/type"))),
        event_header: Some(text("x-webhook-event")),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(24),
    }

    /// Host UK core-php as its webhook page documents it: `sha256=` and hex over the body alone.
    ///
    /// The code does not sign this way: for a real sender use [`HOST_UK_CORE_API`]. Nothing here limits replays in
    /// time, so neither preset falls back on the other.
    HOST_UK_DOCUMENTED = "host-uk-documented" {
        signatures: list![prefixed("x-webhook-signature", "sha256=")],
        id: Some(Field::Pointer(text("/id"))),
        event_type: Some(Field::Pointer(text("/type"))),
        event_header: Some(text("x-webhook-event")),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(24),
    }

    /// Host UK core-php of January 2026 and before: bare hex over the body, in `X-HostHub-Signature`.
    HOST_UK_HOSTHUB_LEGACY = "host-uk-hosthub-legacy" {
        signatures: list![plain("x-hosthub-signature")],
        id: Some(Field::Pointer(text("/id"))),
        event_type: Some(Field::Pointer(text("/type"))),
        event_header: Some(text("x-hosthub-event")),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(24),
    }

    /// FluentCRM as its withdrawn REST page documented it: `sha256=` and hex over the body.
    ///
    /// No released FluentCRM is known to send this. Its automation step sends a fixed header:
    /// [`Scheme::shared_header`].
    FLUENTCRM_DOCUMENTED = "fluentcrm-documented" {
        signatures: list![prefixed("x-fluentcrm-signature", "sha256=")],
        id: Some(Field::Header(text("x-fluentcrm-delivery"))),
        event_type: Some(Field::Pointer(text("/event"))),
        event_header: Some(text("x-fluentcrm-event")),
        hints.retry_horizon: hours(27),
    }

    /// Callers of a PIPEFORCE webhook: a token in the header `token`, in the query (`token`, or `uuid` as of old) or in
    /// the form field `token`. Tokens in two places must agree.
    ///
    /// The token proves who calls, not what is sent, and a caller sends no id: deliveries have no identity.
    /// <https://docs.pipeforce.org/docs/guides/messaging/webhooks>
    PIPEFORCE_TOKEN = "pipeforce-token" {
        algorithm: Algorithm::Token,
        signatures: list![
            plain("token"),
            SignatureSource { place: Place::Query(text("token")), grammar: BARE },
            SignatureSource { place: Place::Query(text("uuid")), grammar: BARE },
            SignatureSource { place: Place::Form(text("token")), grammar: BARE },
        ],
        content: list![],
        identity: Identity::None,
        hints.body_limit: Some(512_000),
    }

    /// Standard Webhooks v1, symmetric: `v1,<base64>` over `{id}.{timestamp}.{body}` with a `whsec_` key.
    ///
    /// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
    STANDARD_WEBHOOKS = "standard-webhooks" {
        signatures: list![SignatureSource {
            place: Place::Header(text("webhook-signature")),
            grammar: Grammar::List { separator: ' ', version_separator: ',', versions: list![text("v1")] },
        }],
        encoding: Encoding::Base64,
        key_form: KeyForm::Whsec,
        content: list![
            Part::Id,
            Part::Literal(text(".")),
            Part::Timestamp,
            Part::Literal(text(".")),
            Part::Body,
        ],
        timestamp: Some(header_time("webhook-timestamp", 300)),
        id: Some(Field::Header(text("webhook-id"))),
        event_type: Some(Field::Pointer(text("/type"))),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(76),
    }

    /// GitHub: `sha256=` and hex over the body. The delivery id and the event header are not signed.
    ///
    /// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>
    GITHUB = "github" {
        signatures: list![prefixed("x-hub-signature-256", "sha256=")],
        id: Some(Field::Header(text("x-github-delivery"))),
        event_type: Some(Field::Header(text("x-github-event"))),
        hints.retry_horizon: hours(72),
        hints.body_limit: Some(25 << 20),
    }

    /// Stripe: `t=…,v1=…` over `{timestamp}.{body}`. The secret is used whole, `whsec_` included.
    ///
    /// <https://docs.stripe.com/webhooks#verify-manually>
    STRIPE = "stripe" {
        signatures: list![SignatureSource {
            place: Place::Header(text("stripe-signature")),
            grammar: Grammar::Pairs { separator: ',', keys: list![text("v1")] },
        }],
        content: DOTTED,
        timestamp: Some(TimestampSource {
            place: TimestampPlace::Pair(text("t")),
            unit: TimeUnit::Seconds,
            tolerance: Some(Tolerance::symmetric(Duration::from_secs(300))),
        }),
        id: Some(Field::Pointer(text("/id"))),
        event_type: Some(Field::Pointer(text("/type"))),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(72),
    }

    /// Slack: `v0=` and hex over `v0:{timestamp}:{body}`.
    ///
    /// <https://docs.slack.dev/authentication/verifying-requests-from-slack>
    SLACK = "slack" {
        signatures: list![prefixed("x-slack-signature", "v0=")],
        content: list![
            Part::Literal(text("v0:")),
            Part::Timestamp,
            Part::Literal(text(":")),
            Part::Body,
        ],
        timestamp: Some(header_time("x-slack-request-timestamp", 300)),
        id: Some(Field::Pointer(text("/event_id"))),
        event_type: Some(Field::Pointer(text("/event/type"))),
        identity: Identity::SignedId,
        hints.retry_horizon: hours(2),
    }
}

/// A constant cannot drop what it replaces. Nothing in a row owns anything, so nothing is lost.
const fn set<T>(field: &mut T, value: T) {
    mem::forget(mem::replace(field, value));
}

const BARE: Grammar = Grammar::Plain(Prefix::Refused);

/// `{timestamp}.{body}`
const DOTTED: List<Part> = list![Part::Timestamp, Part::Literal(text(".")), Part::Body];

const fn text(text: &'static str) -> Text {
    Cow::Borrowed(text)
}

const fn plain(header: &'static str) -> SignatureSource {
    SignatureSource {
        place: Place::Header(text(header)),
        grammar: BARE,
    }
}

const fn prefixed(header: &'static str, prefix: &'static str) -> SignatureSource {
    SignatureSource {
        place: Place::Header(text(header)),
        grammar: Grammar::Plain(Prefix::Required(text(prefix))),
    }
}

const fn header_time(header: &'static str, seconds: u64) -> TimestampSource {
    TimestampSource {
        place: TimestampPlace::Header(text(header)),
        unit: TimeUnit::Seconds,
        tolerance: Some(Tolerance::symmetric(Duration::from_secs(seconds))),
    }
}

const fn hours(hours: u64) -> Option<Duration> {
    Some(Duration::from_secs(hours * 3600))
}
