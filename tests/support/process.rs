//! Parts that the test servers share: a port, a process, and its end.

use std::{
    fs,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::gate::PATIENCE;

/// Calls `start` with free ports until it returns true. Other test processes may take a port at the
/// same time.
pub(crate) fn on_a_free_port(server: &str, mut start: impl FnMut(u16) -> bool) {
    const TRIES: usize = 20;
    let is_started = (0..TRIES).any(|_| start(free_port()));
    assert!(is_started, "{server}: each of {TRIES} ports was taken");
}

/// Returns a free port of 127.0.0.1. It is outside of the system's ephemeral range, so that no
/// connection takes it while the server is stopped.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let handed_out = range.split_whitespace().next().and_then(|port| port.parse().ok());
    let end = handed_out.unwrap_or(32_768).max(FIRST + 1000);
    for _ in 0..1000 {
        let random = RandomState::new().build_hasher().finish();
        let port = FIRST + (random % u64::from(end - FIRST)) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {end}");
}

/// Waits until a new server is ready. Returns false if it ended because its port is taken.
///
/// # Panics
///
/// With the server's log, if it ended for another reason or is not ready in time.
pub(crate) fn becomes_ready(
    name: &str,
    child: &mut Child,
    log: &Path,
    is_ready: impl Fn() -> bool,
) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let log = fs::read_to_string(log).unwrap_or_default();
            if log.to_lowercase().contains("address already in use") {
                return false;
            }
            panic!("{name} ended at once, {status}: {log}");
        }
        if is_ready() {
            return true;
        }
        if Instant::now() > deadline {
            let log = fs::read_to_string(log).unwrap_or_default();
            panic!("{name} not ready within {} s: {log}", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits up to `limit` for the process to end. Returns whether it has ended.
pub(crate) fn ends(child: &mut Child, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Sends a signal to the processes. Those that have ended are ignored.
pub(crate) fn signal(signal: &str, ids: &[u32]) {
    let ids = ids.iter().map(u32::to_string);
    let sent = Command::new("kill").arg(signal).args(ids).stderr(Stdio::null()).status();
    sent.unwrap();
}
