//! Senders of a JSON Web Token that contains a digest of the body, signed with a shared secret.

use std::borrow::Cow;

use super::{
    super::{
        Algorithm::JwtHs256, BodyDigest, DigestPlace, Evidence, Identity, SameBytes, Scheme, Sent,
        TimeUnit::Seconds, UrlDigest, UrlDigestForm,
    },
    event_time, header, plain, pointer, seconds, set, text,
};
use crate::encoding::Encoding::Hex;

rows! { JSON_WEB_TOKENS;

    /// A token whose claim `sha256` is the body's digest, without `Bearer`. The secret belongs to
    /// the API key. The API key is the token's issuer.
    LIVEKIT = "livekit", "LiveKit", "https://docs.livekit.io/server/webhooks/", [Source Documentation] {
        algorithm: JwtHs256,
        signatures: list![plain("authorization")],
        content: list![],
        body_digest: Some(BodyDigest::claim(text("sha256"))),
        required_claims: list![text("exp")],
        id: pointer("/id"),
        event_type: pointer("/event"),
        event_time: event_time("/createdAt", Seconds),
        identity: Identity::SignedId,
        hints.retry_horizon: seconds(15),
        notes.secret_at: "the project, Settings, Keys: the secret of the webhook's key",
        notes.schedule: "up to 4 retries within 15 s, unless configured otherwise",
        notes.keeps: &[Sent::Body, Sent::Id, Sent::EventType, Sent::Timestamp, Sent::Signature],
        notes.source: "https://github.com/livekit/protocol/blob/main/webhook/url_notifier.go",
        notes.same_bytes: SameBytes::Never,
        notes.same_bytes_why: "the body has the event's ID and its time",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `livekit-server-sdk`: `AccessToken`, `WebhookReceiver.receive`",
    }

    /// Classic API. The token covers the URL with its query, and the body if there is one.
    MESSAGEBIRD = "messagebird", "MessageBird", "https://developers.messagebird.com/api/#verifying-http-requests", [Vector Source] {
        algorithm: JwtHs256,
        signatures: list![plain("messagebird-signature-jwt")],
        content: list![],
        body_digest: Some(BodyDigest {
            place: DigestPlace::Claim(text("payload_hash")),
            encoding: Some(Hex),
            or_query: false,
            optional: true,
        }),
        url_digest: Some(UrlDigest { claim: text("url_hash"), form: UrlDigestForm::Url }),
        issuer: Some(text("MessageBird")),
        required_claims: list![text("exp"), text("nbf"), text("jti")],
        identity: Identity::None,
        notes.secret_at: "Dashboard, Developers, API settings, signing key",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `messagebird`: `lib/testdata/webhook-signature-jwt-reference.json`",
    }

    /// A token whose claim `body` is the body's digest. Set the current and the next signing key.
    /// The user publishes the body, and schedules repeat it. The ID header is not signed.
    QSTASH = "qstash", "Upstash QStash", "https://upstash.com/docs/qstash/howto/signature", [Source Documentation] {
        algorithm: JwtHs256,
        signatures: list![plain("upstash-signature")],
        content: list![],
        body_digest: Some(BodyDigest::claim(text("body"))),
        issuer: Some(text("Upstash")),
        required_claims: list![text("exp")],
        id: header("upstash-message-id"),
        identity: Identity::Digest,
        hints.retry_horizon: seconds(1968),
        notes.secret_at: "Upstash Console, QStash, Signing keys",
        notes.schedule: "3 retries after about 12 s, 2.5 min and 30 min, unless published otherwise",
        notes.keeps: &[Sent::Body, Sent::Id],
        notes.source: "https://upstash.com/docs/qstash/features/retry; https://upstash.com/docs/qstash/howto/receiving",
        notes.same_bytes: SameBytes::Possible,
        notes.same_bytes_why: "a schedule sends the same body each time; each message has its own ID",
        notes.checked: "2026-11-28",
        notes.recheck: "npm `@upstash/qstash`: `Receiver.verify`",
    }
}
