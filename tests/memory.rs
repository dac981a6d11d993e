//! A receiver holds the bytes that were sent, not those that were declared. This test is a process
//! of its own, whose memory it measures.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::{fs, mem, time::Duration};

use integration_tests::{Connection, Framework};
use webhook_verify::scheme;

use integration_tests::attacks::{Request, Target, verifier};

const MIB: usize = 1 << 20;
const LIMIT: usize = MIB;

/// Memory in use, and memory that could be written to, whether or not it was: an allocation that
/// nothing was written into yet shows in the second only.
fn memory() -> (usize, usize) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let of = |field: &str| {
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    };
    (of("VmRSS:"), of("VmData:"))
}

/// 1,000, or as many as this process may open: each takes a descriptor at both of its ends.
fn connections() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let open_files = line.split_whitespace().nth(3).unwrap();
    let open_files = open_files.parse().unwrap_or(usize::MAX);
    1_000.min((open_files - 100) / 2)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a30_slow_connections_hold_what_they_sent_and_not_what_they_declared() {
    let count = connections();
    assert!(count >= 400, "too few connections to measure anything: {count}");
    for framework in [Framework::Axum, Framework::Actix] {
        let target = Target::start_with(framework, &verifier(scheme::GENERIC_HEX), |receiver| {
            receiver.body_timeout(Duration::from_secs(600))
        })
        .await;
        target.accepts("before", &Request::hex("{}")).await;
        let before = memory();

        let mut opening = Request::hex("x").raw_head(&format!("Content-Length: {LIMIT}\r\n"));
        opening.extend_from_slice(&[b'x'; 100]);
        let mut slow: Vec<Connection> = Vec::with_capacity(count);
        for _ in 0..count {
            let mut connection = target.connect().await;
            connection.send(&opening).await;
            slow.push(connection);
        }
        // Requests are answered in between. When some have been and the memory in use does not grow
        // any more, the slow ones are under way.
        let mut after = memory();
        for round in 0.. {
            for _ in 0..20 {
                target.accepts("meanwhile", &Request::hex("{}")).await;
            }
            let last = mem::replace(&mut after, memory());
            if after.0 < last.0 + MIB / 4 {
                break;
            }
            assert!(round < 100, "the memory in use grows on and on");
        }
        for connection in slow.iter_mut().step_by(50) {
            assert!(!connection.anything_within(Duration::ZERO).await, "it still waits");
        }

        let declared = count * LIMIT;
        let (used, writable) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
        eprintln!("{framework:?}: {count} connections, {used} bytes used, {writable} writable");
        assert!(used < declared / 16, "{framework:?}: {used} bytes in use");
        assert!(writable < declared / 4, "{framework:?}: {writable} bytes allocated");
    }

    for framework in [Framework::Axum, Framework::Actix] {
        endless_bodies(framework).await;
    }
}

/// A29: a body without an end is held up to the limit, and let go with the refusal.
async fn endless_bodies(framework: Framework) {
    let target = Target::start(framework, &verifier(scheme::GENERIC_HEX)).await;
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000)).into_bytes();
    let before = memory().0;
    for _ in 0..10 {
        let mut connection = target.connect().await;
        let head = Request::hex("x").raw_head("Transfer-Encoding: chunked\r\n");
        connection.send(&head).await;
        let mut sent = 0;
        while !connection.anything_within(Duration::from_micros(200)).await {
            connection.send(&chunk).await;
            sent += chunk.len();
            assert!(sent < 64 * MIB, "the server reads on");
        }
        assert_eq!(connection.response().await.unwrap().status, 413);
    }
    let used = memory().0.saturating_sub(before);
    eprintln!("{framework:?}: {used} bytes used after 10 bodies over the limit");
    assert!(used < 8 * MIB, "{framework:?}: {used} bytes in use");
    assert_eq!(target.touched(), (0, 0));
}
