//! A flood of refused requests: few lines, all of them counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream;
use integration_tests::{
    App, HandClock, Logs, answer, each_framework, exchange, raw_request, soon,
};
use webhook_verify::{Receiver, RequestHead, Verifier, clock::Clock as _, scheme};

use crate::{field, lines, most_lines, receiver, refusals};

const REFUSALS: u64 = 100_000;

async fn refuse(receiver: &Receiver, headers: &[(&str, String)]) {
    let head = RequestHead::new(&headers).target("/hook?token=in-the-query");
    let body = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{}"))]);
    assert_eq!(receiver.admit(&head, body).await.unwrap_err().status(), 401);
}

/// Returns the number of lines with this reason, and of the refusals that they count.
fn counted(lines: &[String], reason: &str) -> (u64, u64) {
    let of_reason = lines.iter().filter(|line| field(line, "reason") == reason);
    let suppressed = of_reason.map(|line| field(line, "suppressed").parse::<u64>().unwrap());
    suppressed.fold((0, 0), |(lines, all), suppressed| (lines + 1, all + suppressed + 1))
}

/// Refuses until the lines count all refusals with this reason, and returns their number. A line
/// counts the suppressed refusals before it.
async fn until_counted(
    receiver: &Receiver,
    headers: &[(&str, String)],
    refused: u64,
    counted: impl Fn() -> u64,
) -> u64 {
    for more in 0.. {
        if counted() == refused + more {
            return refused + more;
        }
        tokio::task::yield_now().await;
        refuse(receiver, headers).await;
    }
    unreachable!("the test has a time limit")
}

#[tokio::test]
async fn of_100_000_refusals_few_lines_for_each_reason_are_logged() {
    let (logs, clock, reads) = (Logs::collect(), HandClock::new(), Arc::new(AtomicU64::new(0)));
    let (now, counter) = (clock.clone(), Arc::clone(&reads));
    // The user's clock does not count for the limit. It is set ahead by a minute each time.
    let counting = move || {
        counter.fetch_add(1, Relaxed);
        now.advance(Duration::from_secs(60));
        now.now()
    };
    let verifier = Verifier::builder(scheme::GITHUB).secret("a secret").clock(counting);
    let receiver = receiver("flood", verifier.build().unwrap());
    let receiver = receiver.or_timer(|_| std::future::pending());
    let begun = Instant::now();
    // Two kinds of refusals, with other names and values each time.
    for number in 0..REFUSALS {
        let headers = if number % 2 == 0 {
            ("x-hub-signature-256", format!("sha256={number:064x}"))
        } else {
            ("x-other-signature", format!("{number}"))
        };
        refuse(&receiver, &[headers]).await;
    }
    let lines = || refusals(&logs.text(), "flood");
    for reason in ["signature_mismatch", "missing_signature"] {
        let (of_reason, _) = counted(&lines(), reason);
        assert!((5..=most_lines(begun)).contains(&of_reason), "{reason}: {of_reason}");
    }
    // Only the refusals that are logged are explained. That reads the clock once, if there is
    // something to verify.
    let (explained, _) = counted(&lines(), "signature_mismatch");
    assert_eq!(reads.load(Relaxed), explained);
    for (reason, headers) in [
        ("signature_mismatch", &[("x-hub-signature-256", format!("sha256={:064x}", 1))][..]),
        ("missing_signature", &[]),
    ] {
        let all = || counted(&lines(), reason).1;
        let all = until_counted(&receiver, headers, REFUSALS / 2, all);
        soon("a line that counts all refusals", all).await;
    }
    assert!(lines().iter().all(|line| line.len() < 2000 && !line.contains("in-the-query")));
}

/// Anyone can send a verification handshake without a signature.
#[tokio::test]
async fn few_lines_about_answered_challenges_are_logged() {
    let logs = Logs::collect();
    each_framework(async |framework| {
        let endpoint = format!("challenges-{framework:?}");
        let verifier = Verifier::new(scheme::DROPBOX, "a secret").unwrap();
        let server = App::new(receiver(&endpoint, verifier), answer(204)).serve(framework).await;
        let begun = Instant::now();
        let raw = raw_request("GET", "/?challenge=abc", &[], b"");
        let answered = || {
            let lines = lines(&logs.text(), &endpoint).into_iter();
            lines.filter(|line| line.contains("challenge answered")).collect::<Vec<_>>()
        };
        for _ in 0..200 {
            assert_eq!(exchange(server.addr, &raw).await.text(), "abc");
        }
        let lines = answered().len() as u64;
        assert!((1..=most_lines(begun)).contains(&lines), "{lines}");
        let counted = async {
            loop {
                assert_eq!(exchange(server.addr, &raw).await.text(), "abc");
                if answered().last().is_some_and(|line| field(line, "suppressed") != "0") {
                    break;
                }
            }
        };
        soon("a line that counts the suppressed ones", counted).await;
    })
    .await;
}

/// The client chooses the path and the header names, and so their lengths.
#[tokio::test]
async fn a_line_is_bounded_whatever_the_client_sends() {
    let logs = Logs::collect();
    each_framework(|framework| {
        let logs = logs.clone();
        async move {
            let endpoint = format!("long-{framework:?}");
            let verifier = Verifier::new(scheme::GITHUB, "a secret").unwrap();
            let server =
                App::new(receiver(&endpoint, verifier), answer(204)).serve(framework).await;
            let headers: Vec<_> = (0..50)
                .map(|number| (format!("x-signature-{number}-{}", "n".repeat(700)), "v".repeat(40)))
                .collect();
            let target = format!("/{}?{}", "p".repeat(4000), "q".repeat(1000));
            let raw = raw_request("POST", &target, &headers, b"{}");
            assert_eq!(exchange(server.addr, &raw).await.status, 401);
            let lines = refusals(&logs.text(), &endpoint);
            let [line] = &lines[..] else { panic!("{lines:#?}") };
            assert!(line.len() < 4000, "{} bytes", line.len());
            assert_eq!(field(line, "path").len(), 256);
            assert_eq!(field(line, "present").matches("(40)").count(), 8);
        }
    })
    .await;
}
