//! Timestamps out of the window or out of form, and signed parts that run into each other.

use std::time::Duration;

use integration_tests::Response;
use webhook_verify::{
    Scheme, Verifier, VerifyError,
    scheme::{self, TimeUnit},
};

use integration_tests::attacks::{NOW, Request, SECRET, both, hex, mac, now, verifier};

const MALFORMED: VerifyError = VerifyError::MalformedTimestamp;

fn too_old(seconds: u64) -> VerifyError {
    VerifyError::TimestampTooOld { seconds }
}

fn in_future(seconds: u64) -> VerifyError {
    VerifyError::TimestampInFuture { seconds }
}

/// `x-signature: <hex>` over `{timestamp}.{body}`, the timestamp in milliseconds.
fn milliseconds() -> Verifier {
    let scheme = Scheme::builder("milliseconds")
        .signature_header("x-signature")
        .timestamp_header("x-timestamp")
        .timestamp_unit(TimeUnit::Milliseconds)
        .signed_content("{timestamp}.{body}")
        .build()
        .unwrap();
    verifier(scheme)
}

fn in_milliseconds(timestamp: &str) -> Request {
    let signature = hex(&mac(&[timestamp.as_bytes(), b".{}"]));
    let headers = [("x-timestamp", timestamp), ("x-signature", &signature)];
    Request::new(&headers, "{}")
}

/// All are signed as they are sent: it is the form alone that is refused.
#[tokio::test]
async fn a20_timestamps_that_are_no_plain_numbers() {
    let digits = "1".repeat(400);
    let forms = [
        "-1",
        "+1795305600",
        "-1795305600",
        "1795305600.0",
        "1.0",
        "1e9",
        "0x6b02",
        "1_795_305_600",
        "1795305600,1",
        "179 5305600",
        "01795305600",
        "00",
        "18446744073709551616",           // 2^64
        "18446744075504857216",           // 2^64 + now: wraps to now
        "170141183460469231731687303715", // about 2^97
        &digits,
        "NaN",
        "inf",
        "now",
        "2026-11-22T00:00:00Z",
        "1795305600s",
        "{}",
    ];
    for target in &both(verifier(scheme::SLACK)).await {
        for form in forms {
            target.refuses(form, &Request::slack(form, "{}"), MALFORMED).await;
        }
        for (form, ahead) in [
            ("9223372036854775808", (1 << 63) - NOW), // 2^63
            ("18446744073709551615", u64::MAX - NOW), // 2^64 - 1
            ("6090272896", (1 << 32) + NOW - NOW),    // 2^32 + now: wraps to now
        ] {
            target.refuses(form, &Request::slack(form, "{}"), in_future(ahead)).await;
        }
        target.refuses("0", &Request::slack("0", "{}"), too_old(NOW)).await;
        let empty = Request::slack("", "{}");
        target.refuses("empty", &empty, VerifyError::MissingTimestamp).await;
        let absent = empty.without("x-slack-request-timestamp");
        target.refuses("absent", &absent, VerifyError::MissingTimestamp).await;
        // The verifier also gets values that HTTP does not allow in a header.
        for form in [" 1795305600", "1795305600 ", "1795305600\n", "1795305600\0"] {
            let verdict = Request::slack(form, "{}").judge(&target.verifier);
            assert_eq!(verdict.map(drop), Err(MALFORMED), "{form:?}");
        }
    }
    for target in &both(verifier(scheme::STRIPE)).await {
        for form in forms.iter().filter(|form| !form.contains(',')) {
            target.refuses(form, &Request::stripe(form, "{}"), MALFORMED).await;
        }
        target.refuses("empty", &Request::stripe("", "{}"), VerifyError::MissingTimestamp).await;
    }
}

#[tokio::test]
async fn a20_no_clock_and_no_timestamp_overflows() {
    for clock in [0, 1, NOW, u64::MAX] {
        for unit in [TimeUnit::Seconds, TimeUnit::Milliseconds] {
            let scheme = Scheme::builder("extreme")
                .signature_header("x-signature")
                .timestamp_header("x-timestamp")
                .timestamp_unit(unit)
                .signed_content("{timestamp}.{body}")
                .build()
                .unwrap();
            let verifier = Verifier::builder(scheme)
                .secret(SECRET)
                .clock(move || Duration::new(clock, 999_999_999))
                .build()
                .unwrap();
            for timestamp in [0, 1, NOW, NOW * 1000, u64::MAX - 1, u64::MAX] {
                let request = in_milliseconds(&timestamp.to_string());
                let near = match unit {
                    TimeUnit::Milliseconds => (timestamp / 1000).abs_diff(clock) <= 301,
                    _ => timestamp.abs_diff(clock) <= 300,
                };
                let verdict = request.judge(&verifier);
                assert_eq!(verdict.is_ok(), near, "{timestamp} at {clock} {unit:?}");
            }
        }
    }
}

#[tokio::test]
async fn a21_the_unit_is_the_schemes() {
    let millis = (NOW * 1000).to_string();
    for target in &both(verifier(scheme::STANDARD_WEBHOOKS)).await {
        let request = Request::standard("msg_1", &millis, "{}");
        target.refuses("milliseconds", &request, in_future(NOW * 999)).await;
    }
    for target in &both(milliseconds()).await {
        target.accepts("milliseconds", &in_milliseconds(&millis)).await;
        let request = in_milliseconds(&NOW.to_string());
        let reason = too_old(NOW - NOW.div_ceil(1000));
        target.refuses("seconds", &request, reason).await;
    }
}

#[tokio::test]
async fn a22_the_edges_of_the_window() {
    let at = |timestamp: u64| Request::slack(&timestamp.to_string(), "{}");
    for target in &both(verifier(scheme::SLACK)).await {
        for inside in [NOW - 300, NOW - 1, NOW, NOW + 1, NOW + 300] {
            target.accepts("inside", &at(inside)).await;
        }
        for (outside, reason) in [
            (NOW - 301, too_old(301)),
            (NOW + 301, in_future(301)),
            (NOW - 86_400, too_old(86_400)),
            (NOW + 86_400, in_future(86_400)),
            (i64::MAX as u64, in_future(i64::MAX as u64 - NOW)),
        ] {
            target.refuses("outside", &at(outside), reason).await;
        }
        let lowest = Request::slack(&i64::MIN.to_string(), "{}");
        target.refuses("i64::MIN", &lowest, MALFORMED).await;
    }
    // A clock that shows fractions moves no edge of a window in seconds.
    let late_in_the_second = Verifier::builder(scheme::SLACK)
        .secret(SECRET)
        .clock(|| Duration::new(NOW, 999_999_999))
        .build()
        .unwrap();
    for target in &both(late_in_the_second).await {
        for inside in [NOW - 300, NOW + 300] {
            target.accepts("inside", &at(inside)).await;
        }
        target.refuses("old", &at(NOW - 301), too_old(301)).await;
        target.refuses("future", &at(NOW + 301), in_future(301)).await;
    }
    for target in &both(milliseconds()).await {
        let (first, last) = ((NOW - 300) * 1000, (NOW + 300) * 1000);
        for inside in [first, last] {
            target.accepts("inside", &in_milliseconds(&inside.to_string())).await;
        }
        let old = in_milliseconds(&(first - 1).to_string());
        target.refuses("old", &old, too_old(300)).await;
        let future = in_milliseconds(&(last + 1).to_string());
        target.refuses("future", &future, in_future(300)).await;
    }
}

/// Nothing in the answer tells which check failed; the reason does, and that is for logs.
/// (`Connection: close`, by which actix-web says that it left a body unread, tells no more than a
/// client sees anyhow that holds its body back.)
#[tokio::test]
async fn a23_all_refusals_look_the_same() {
    let told = |response: Response| {
        let mut headers = response.headers;
        headers.retain(|(name, _)| name != "date" && name != "connection");
        (response.status, headers, response.body)
    };
    for target in &both(verifier(scheme::STANDARD_WEBHOOKS)).await {
        let fresh = Request::standard("msg_1", &NOW.to_string(), "{}");
        let stale = Request::standard("msg_1", &(NOW - 301).to_string(), "{}");
        let wrong = |request: &Request| request.body("{ }");
        let cases = [
            (stale.clone(), too_old(301)),
            (wrong(&stale), too_old(301)),
            (wrong(&fresh), VerifyError::SignatureMismatch),
            (Request::standard("msg_1", &(NOW + 301).to_string(), "{}"), in_future(301)),
            (Request::standard("msg_1", "1.0", "{}"), MALFORMED),
            (fresh.without("webhook-signature"), VerifyError::MissingSignature),
            (fresh.with("webhook-signature", "v1,AAAA"), VerifyError::MalformedSignature),
            (fresh.with("webhook-signature", "v2,AAAA"), VerifyError::UnsupportedVersion),
            (fresh.without("webhook-id"), VerifyError::MissingId),
            (fresh.and("webhook-id", "msg_2"), VerifyError::AmbiguousHeader),
        ];
        let mut first = None;
        for (request, reason) in cases {
            target.refuses(reason.reason(), &request, reason).await;
            let told = told(target.send(&request.raw()).await);
            let first = first.get_or_insert_with(|| told.clone());
            assert_eq!(told, *first, "{}", reason.reason());
        }
    }
}

#[tokio::test]
async fn a24_signed_parts_do_not_run_into_each_other() {
    let now = NOW.to_string();
    for target in &both(verifier(scheme::STANDARD_WEBHOOKS)).await {
        // one content, split in other places
        let sent = Request::standard("msg_1", &now, format!("{NOW}.x"));
        target.accepts("as sent", &sent).await;
        let shifted = sent.with("webhook-id", format!("msg_1.{now}")).body("x");
        target.refuses("into the id", &shifted, VerifyError::MalformedId).await;
        let shifted = sent.with("webhook-timestamp", format!("{now}.{now}")).body("x");
        target.refuses("into the timestamp", &shifted, MALFORMED).await;
        let shifted = sent.with("webhook-id", "msg_1.").with("webhook-timestamp", &now);
        target.refuses("a delimiter in the id", &shifted, VerifyError::MalformedId).await;
        let dotted = Request::standard("msg.1", &now, "{}");
        target.refuses("signed with a dot", &dotted, VerifyError::MalformedId).await;
    }
    for target in &both(verifier(scheme::STRIPE)).await {
        let sent = Request::stripe(&now, "5.{}");
        target.accepts("as sent", &sent).await;
        let shifted = sent.get("stripe-signature").replace(",v1", ".5,v1");
        let shifted = sent.with("stripe-signature", shifted).body("{}");
        target.refuses("into the timestamp", &shifted, MALFORMED).await;
    }
}

/// Where the id comes last, it is the delimiter before it that it must not hold.
#[tokio::test]
async fn a24_an_id_behind_the_body_does_not_run_into_it() {
    let scheme = Scheme::builder("id-last")
        .signature_header("x-signature")
        .id_header("x-id")
        .signed_content("{body}.{id}")
        .build()
        .unwrap();
    for target in &both(verifier(scheme)).await {
        let signature = hex(&mac(&[b"{\"sum\":1.50}.evt_1"]));
        let headers = [("x-id", "evt_1"), ("x-signature", &signature)];
        let sent = Request::new(&headers, "{\"sum\":1.50}");
        target.accepts("as sent", &sent).await;
        let shifted = sent.with("x-id", "50}.evt_1").body("{\"sum\":1");
        target.refuses("into the id", &shifted, VerifyError::MalformedId).await;
    }
}

/// Without a delimiter, a timestamp is still distinguished from adjacent text, by its length.
#[tokio::test]
async fn a24_timestamps_without_a_delimiter() {
    let scheme = Scheme::builder("undelimited")
        .signature_header("x-signature")
        .timestamp_header("x-timestamp")
        .signed_content("{timestamp}{body}")
        .build()
        .unwrap();
    for target in &both(verifier(scheme)).await {
        let signature = hex(&mac(&[now().as_bytes(), b"007"]));
        let headers = [("x-timestamp", &*now()), ("x-signature", &signature)];
        let sent = Request::new(&headers, "007");
        target.accepts("as sent", &sent).await;
        let all = format!("{NOW}007");
        for at in (1..all.len()).filter(|at| *at != now().len()) {
            let shifted = sent.with("x-timestamp", &all[..at]).body(&all[at..]);
            let reason = shifted.judge(&target.verifier).unwrap_err();
            assert_eq!(reason, VerifyError::MalformedTimestamp, "{at}");
            target.refuses("shifted", &shifted, reason).await;
        }
    }
}
