//! The rows of the report, in their order.

use std::io::{self, Write};

use super::Session;
use crate::Failure;

/// A property of a receiver.
pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    /// Why the property matters.
    pub(super) why: &'static str,
    /// The rows that say nothing new if one of these failed: a receiver that verifies nothing also
    /// accepts old requests.
    pub(super) needs: &'static [&'static str],
}

/// What the probe says of a row, and what it saw.
pub(super) enum Verdict {
    Pass(String),
    Fail(String),
    NotApplicable(String),
}

impl Verdict {
    pub(super) fn is_fail(&self) -> bool {
        matches!(self, Self::Fail(_))
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Pass(_) => "pass",
            Self::Fail(_) => "fail",
            Self::NotApplicable(_) => "not_applicable",
        }
    }

    pub(super) fn seen(&self) -> &str {
        match self {
            Self::Pass(seen) | Self::Fail(seen) | Self::NotApplicable(seen) => seen,
        }
    }

    pub(super) fn write(&self, row: &Row, out: &mut impl Write) -> io::Result<()> {
        let verdict = match self {
            Self::Pass(_) => "pass",
            Self::Fail(_) => "FAIL",
            Self::NotApplicable(_) => "n/a",
        };
        let Row { id, name, why, .. } = row;
        writeln!(out, "{verdict:<5} {id:<20} {name}: {}", self.seen())?;
        writeln!(out, "{:26} {why}", "")
    }
}

const fn row(
    id: &'static str,
    needs: &'static [&'static str],
    name: &'static str,
    why: &'static str,
) -> Row {
    Row { id, name, why, needs }
}

const VALID: &[&str] = &["valid"];
const VERIFIES: &[&str] = &["valid", "wrong-secret"];
const COMPARES: &[&str] = &["valid", "wrong-secret", "truncated-signature"];

pub(super) const ROWS: [Row; 32] = [
    row(
        "valid",
        &[],
        "a valid delivery is accepted",
        "A receiver that refuses its sender loses every event.",
    ),
    row(
        "wrong-secret",
        VALID,
        "a signature with another secret is refused",
        "Otherwise, anyone can send events.",
    ),
    row(
        "empty-secret",
        VERIFIES,
        "a signature with an empty secret is refused",
        "A secret that is missing from the configuration must not become a known secret.",
    ),
    row(
        "truncated-signature",
        VERIFIES,
        "the start of a valid signature is refused",
        "If a prefix is enough, an attacker guesses a signature of one character.",
    ),
    row(
        "longer-signature",
        COMPARES,
        "a valid signature with more bytes is refused",
        "A comparison must cover both signatures to their end.",
    ),
    row(
        "unsigned",
        COMPARES,
        "a request without a signature is refused",
        "Otherwise, anyone can send events by omitting the header.",
    ),
    row(
        "empty-signature",
        &["valid", "wrong-secret", "truncated-signature", "unsigned"],
        "an empty signature is refused",
        "An empty text is easily taken for a missing check.",
    ),
    row(
        "changed-body",
        VERIFIES,
        "a changed body is refused",
        "Otherwise, one captured request is enough to forge others.",
    ),
    row(
        "changed-end",
        &["valid", "wrong-secret", "changed-body"],
        "a body with one changed byte at its end is refused",
        "The signature must cover all bytes of the body, not the first ones.",
    ),
    row(
        "exact-bytes",
        &["valid", "wrong-secret", "changed-body"],
        "the signature covers the bytes as sent, not parsed JSON",
        "A rebuilt body differs from the sender's in spaces, order or escapes: true events fail.",
    ),
    row(
        "stale",
        VERIFIES,
        "a timestamp before the time window is refused",
        "Otherwise, a captured request can be sent again at any time.",
    ),
    row(
        "future",
        &["valid", "wrong-secret", "stale"],
        "a timestamp after the time window is refused",
        "Otherwise, a request with a late timestamp can be sent again for as long.",
    ),
    row(
        "repeated-header",
        VERIFIES,
        "two signature headers are refused",
        "A proxy and the receiver may read different ones.",
    ),
    row(
        "many-signatures",
        VERIFIES,
        "a valid signature after another one is accepted",
        "While a secret is replaced, the sender signs with the old one and the new one.",
    ),
    row(
        "header-case",
        VALID,
        "header names in upper case are accepted",
        "Header names have no case, and proxies change it.",
    ),
    row(
        "content-type",
        VERIFIES,
        "forged requests of any content type are refused",
        "A receiver that verifies only JSON lets everything else in.",
    ),
    row(
        "path",
        VERIFIES,
        "forged requests to variants of the path are refused",
        "A router may accept a path that the check of signatures does not know.",
    ),
    row(
        "methods",
        VERIFIES,
        "no method but the sender's runs the handler unverified",
        "A handler that another method reaches may be without the check of signatures.",
    ),
    row(
        "compressed",
        VERIFIES,
        "a compressed body is refused",
        "A receiver that decompresses before it verifies can be made to use all its memory.",
    ),
    row(
        "huge-id",
        VALID,
        "a huge ID causes no server error",
        "An ID that does not fit the database makes the sender retry until it gives up.",
    ),
    row(
        "duplicate",
        VALID,
        "a duplicate is accepted (the probe cannot see whether the handler ran twice)",
        "Senders retry after a lost response, and treat every other status as a failure.",
    ),
    row(
        "concurrent",
        &["valid", "duplicate"],
        "the same delivery twice at once is accepted once or twice",
        "Senders retry while the first attempt still runs.",
    ),
    row(
        "forged-id",
        &["valid", "wrong-secret", "duplicate"],
        "a forged request does not suppress the delivery with its ID",
        "Otherwise, anyone can make a true event disappear.",
    ),
    row(
        "failing-retry",
        VALID,
        "a delivery whose handler failed runs again",
        "A receiver that remembers a delivery before it is handled loses it.",
    ),
    row(
        "over-limit",
        VALID,
        "a body over the limit is refused",
        "Without a limit, a request can use all memory.",
    ),
    row(
        "endless-body",
        &["valid", "over-limit"],
        "a chunked body without an end is refused at the limit",
        "A limit must also hold for bodies that do not declare their length.",
    ),
    row(
        "slow-body",
        VALID,
        "a body that arrives byte by byte is cut off",
        "Slow bodies can occupy every connection.",
    ),
    row(
        "challenges",
        VERIFIES,
        "the sender's verification handshakes get their response",
        "The sender does not enable an endpoint that fails its handshake.",
    ),
    row(
        "response-times",
        VERIFIES,
        "response times do not depend on the place of a wrong byte",
        "A comparison that stops at the first difference lets an attacker find a signature.",
    ),
    row(
        "refusals",
        VERIFIES,
        "refusals do not reveal which check failed",
        "The reason helps only an attacker; a log helps its owner.",
    ),
    row(
        "server-errors",
        VALID,
        "no bad request causes a server error",
        "5xx makes senders retry and alarms ring, and shows a case that the code does not handle.",
    ),
    row(
        "still-works",
        VALID,
        "a valid delivery is accepted at the end",
        "Bad requests must not harm the receiver.",
    ),
];

impl Session {
    /// Tests the row with this ID.
    pub(super) async fn check(&mut self, id: &str) -> Result<Verdict, Failure> {
        match id {
            "valid" => self.valid().await,
            "wrong-secret" => self.wrong_secret().await,
            "empty-secret" => self.empty_secret().await,
            "truncated-signature" => self.truncated_signature().await,
            "longer-signature" => self.longer_signature().await,
            "unsigned" => self.unsigned().await,
            "empty-signature" => self.empty_signature().await,
            "changed-body" => self.changed_body().await,
            "changed-end" => self.changed_end().await,
            "exact-bytes" => self.exact_bytes().await,
            "stale" => self.stale().await,
            "future" => self.future().await,
            "repeated-header" => self.repeated_header().await,
            "many-signatures" => self.many_signatures().await,
            "header-case" => self.header_case().await,
            "content-type" => self.content_type().await,
            "path" => self.path().await,
            "methods" => self.methods().await,
            "compressed" => self.compressed().await,
            "huge-id" => self.huge_id().await,
            "duplicate" => self.duplicate().await,
            "concurrent" => self.concurrent().await,
            "forged-id" => self.forged_id().await,
            "failing-retry" => self.failing_retry().await,
            "over-limit" => self.over_limit().await,
            "endless-body" => self.endless_body().await,
            "slow-body" => self.slow_body().await,
            "challenges" => self.challenges().await,
            "response-times" => self.response_times().await,
            "refusals" => Ok(self.refusals()),
            "server-errors" => Ok(self.server_errors()),
            "still-works" => self.still_works().await,
            _ => Err(format!("no row `{id}`").into()),
        }
    }
}
