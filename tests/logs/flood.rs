//! A flood of refused requests: few lines, all of them counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use integration_tests::{App, HandClock, Logs, answer, each_framework, exchange, raw_request};
use webhook_verify::{Receiver, RequestHead, Verifier, clock::Clock as _, scheme};

use crate::{field, receiver, refusals};

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

#[tokio::test]
async fn of_100_000_refusals_a_second_one_line_for_each_reason_is_logged() {
    let (logs, clock, reads) = (Logs::collect(), HandClock::new(), Arc::new(AtomicU64::new(0)));
    let (now, counter) = (clock.clone(), Arc::clone(&reads));
    let counting = move || {
        counter.fetch_add(1, Relaxed);
        now.now()
    };
    let verifier = Verifier::builder(scheme::GITHUB).secret("a secret").clock(counting);
    let receiver = receiver("flood", verifier.build().unwrap());
    let receiver = receiver.or_timer(|_| std::future::pending());
    // Two kinds of refusals in one second, with other names and values each time.
    for number in 0..REFUSALS {
        let headers = if number % 2 == 0 {
            ("x-hub-signature-256", format!("sha256={number:064x}"))
        } else {
            ("x-other-signature", format!("{number}"))
        };
        refuse(&receiver, &[headers]).await;
    }
    assert_eq!(refusals(&logs.text(), "flood").len(), 2);
    // The limiter reads the clock once per refusal, and a diagnosis once per attempt.
    let by_diagnoses = reads.load(Relaxed) - REFUSALS;
    assert!((1..100).contains(&by_diagnoses), "{by_diagnoses}");
    clock.advance(Duration::from_secs(1));
    refuse(&receiver, &[("x-hub-signature-256", format!("sha256={:064x}", 1))]).await;
    refuse(&receiver, &[]).await;
    let lines = refusals(&logs.text(), "flood");
    assert_eq!(lines.len(), 4, "{lines:#?}");
    for reason in ["signature_mismatch", "missing_signature"] {
        assert_eq!(counted(&lines, reason), (2, REFUSALS / 2 + 1), "{reason}");
    }
    assert!(lines.iter().all(|line| line.len() < 2000 && !line.contains("in-the-query")));
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
