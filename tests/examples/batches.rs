//! The example receivers and batches: one line for each event, also when one is killed in the
//! middle of ten.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use futures_util::future::join;
use integration_tests::{
    Kind, PATIENCE, Place, Response, exchange, raw_request, soon, try_exchange,
};
use serde_json::Value;
use tokio::{task::block_in_place, time::sleep};
use webhook_verify::{scheme, testing::Signer};

use crate::running::{self, RECEIVERS, Running};

const FLAGS: [&str; 4] = ["--scheme", "mautic", "--secret", "test"];

fn receiver(name: &str, store: &str, flags: &[&str]) -> Command {
    let mut command = running::receiver(name, store);
    command.args(FLAGS).args(flags).stderr(Stdio::piped());
    command
}

/// A queue of two types with events of these numbers, each at a second of its own.
fn queue(numbers: &[u64]) -> String {
    let of = |parity: u64| {
        let numbers = numbers.iter().filter(move |number| *number % 2 == parity);
        let events = numbers.map(|number| {
            format!(
                r#"{{"lead":{{"id":{number}}},"timestamp":"2026-11-24T00:00:{number:02}+00:00"}}"#
            )
        });
        events.collect::<Vec<_>>().join(",")
    };
    let (odd, even) = (of(1), of(0));
    format!(r#"{{"mautic.lead_post_save_new":[{odd}],"mautic.page_on_hit":[{even}]}}"#)
}

/// The number of the event that a line is about.
fn number(line: &Value) -> u64 {
    // 2026-11-24T00:00:00Z
    line["time"].as_u64().unwrap() - 1_795_478_400
}

fn numbers(lines: &[Value]) -> Vec<u64> {
    lines.iter().map(number).collect()
}

fn raw(body: &str) -> Vec<u8> {
    let signed = Signer::new(scheme::MAUTIC, "test").unwrap();
    let signed = signed.sign(body.to_owned()).unwrap();
    raw_request("POST", "/hook", &signed.headers, &signed.body)
}

async fn post(addr: SocketAddr, body: &str) -> Response {
    exchange(addr, &raw(body)).await
}

/// Sends as a sender does that tries again until it is done.
async fn deliver(addr: SocketAddr, body: &str) -> Response {
    let delivering = async {
        loop {
            let response = post(addr, body).await;
            match response.status {
                204 => return response,
                503 => sleep(Duration::from_millis(100)).await,
                other => panic!("answered {other}"),
            }
        }
    };
    soon("acknowledgment of a batch", delivering).await
}

#[tokio::test]
async fn a_line_for_each_event() {
    for name in RECEIVERS {
        let running = Running::spawn(receiver(name, "memory:", &[])).unwrap();
        let ten: Vec<_> = (1..=10).collect();
        let response = post(running.addr, &queue(&ten)).await;
        assert_eq!((response.status, response.header("idempotent-replayed")), (204, None));
        let again = post(running.addr, &queue(&ten)).await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (204, Some("true")));
        let (lines, log) = running.end_with_log();
        assert_eq!(numbers(&lines), [1, 3, 5, 7, 9, 2, 4, 6, 8, 10], "{name}");
        for line in &lines {
            let event_type = ["mautic.page_on_hit", "mautic.lead_post_save_new"];
            let event_type = event_type[(number(line) % 2) as usize];
            assert_eq!(line["event_type"], event_type);
            assert_eq!((&line["attempt"], line.get("test")), (&1.into(), None));
            assert_eq!(line["key"].as_str().map(str::len), Some(64));
        }
        assert!(!log.contains("test payload"), "{log}");
    }
}

/// A handler that fails at the first event leaves all of them to be tried again.
#[tokio::test]
async fn a_status_that_fails() {
    for name in RECEIVERS {
        let running = Running::spawn(receiver(name, "memory:", &["--status", "500"])).unwrap();
        for _ in 0..2 {
            assert_eq!(post(running.addr, &queue(&[1, 3, 5])).await.status, 500);
        }
        assert_eq!(numbers(&running.end()), [1, 1], "{name}");
    }
}

/// Killed while it is at some event of ten, with the next process on the same file: the rest is
/// printed, and of what was printed before, the event in hand at most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_part_way() {
    for name in RECEIVERS {
        // On a busy machine a kill may come late. Then the handler has twice as much to do next
        // time.
        let mut delays = (0..8).map(|tries| 50 << tries);
        loop {
            let delay: u64 = delays.next().expect("a kill in the middle of ten events");
            if is_killed_part_way(name, &delay.to_string()).await {
                break;
            }
        }
    }
}

/// False if nothing was proved: all was printed before the kill, or the store was too slow to take
/// note of an event.
async fn is_killed_part_way(name: &str, delay: &str) -> bool {
    let place = Place::new(Kind::Sqlite);
    let flags = ["--delay", delay];
    let mut first = Running::spawn(receiver(name, &place.url, &flags)).unwrap();
    let ten: Vec<_> = (1..=10).collect();
    let (addr, request) = (first.addr, raw(&queue(&ten)));
    let cut_off = tokio::spawn(async move { try_exchange(addr, &request, PATIENCE).await });
    // When the fifth is printed, four are done.
    block_in_place(|| first.until_printed(5));
    let (before, log) = first.end_with_log();
    if before.len() == 10 || log.contains("store_failed") {
        return false;
    }
    assert_eq!(cut_off.await.unwrap(), None);
    let before = numbers(&before);
    let done = [1, 3, 5, 7, 9, 2, 4, 6, 8, 10];
    assert_eq!(before, done[..before.len()]);

    // The leases of the dead process expire.
    place.age(Duration::from_secs(60)).await;
    let second = Running::spawn(receiver(name, &place.url, &flags)).unwrap();
    let batches = [queue(&[12, 10, 9, 8, 7, 6]), queue(&[5, 4, 11, 3, 2, 1])];
    join(deliver(second.addr, &batches[0]), deliver(second.addr, &batches[1])).await;
    for batch in &batches {
        let again = deliver(second.addr, batch).await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
    }
    let (after, log) = second.end_with_log();
    let mut after = numbers(&after);
    after.sort_unstable();
    let in_hand = before.last().copied();
    let rest = |number: &u64| !before.contains(number);
    let without: Vec<_> = (1..=12).filter(rest).collect();
    let with: Vec<_> = (1..=12).filter(|it| rest(it) || Some(*it) == in_hand).collect();
    assert!(after == without || after == with, "{name}: {before:?}, {after:?}, {log}");
    true
}

/// Mautic's test payloads. Some of their events are not in lists.
#[tokio::test]
async fn test_payloads() {
    for name in RECEIVERS {
        let running = Running::spawn(receiver(name, "memory:", &[])).unwrap();
        let body = r#"{"timestamp":"2026-11-24T00:00:00+00:00",
            "mautic.lead_post_save_new":{"lead":{"id":1},"timestamp":"2026-11-24T00:00:01+00:00"},
            "mautic.page_on_hit":[{"timestamp":"2026-11-24T00:00:02+00:00"}]}"#;
        assert_eq!(post(running.addr, body).await.status, 204, "{name}");
        // One without any event is answered alike.
        let empty = r#"{"timestamp":"2026-11-24T00:00:00+00:00"}"#;
        assert_eq!(post(running.addr, empty).await.status, 204, "{name}");
        assert_eq!(post(running.addr, &queue(&[3])).await.status, 204, "{name}");
        let (lines, log) = running.end_with_log();
        assert_eq!(numbers(&lines), [1, 2, 3], "{name}");
        let marks: Vec<_> = lines.iter().map(|line| line.get("test").cloned()).collect();
        assert_eq!(marks, [Some(true.into()), Some(true.into()), None], "{name}");
        assert_eq!(log.matches("test payload").count(), 2, "{log}");
    }
}
