//! Receivers that get a signal to stop.

use std::{fs, io::ErrorKind, process::Child, time::Duration};

use integration_tests::{Folder, assert_replay, exchange, output, raw_request, soon};
use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{TcpStream, unix::pipe},
    time::sleep,
};
use webhook_verify::{scheme, testing::Signer};

use crate::running::{example, send_signal};

/// The number of events of the delivery. The handler prints a line of over 1 KiB for each of them,
/// which is more than a pipe holds. So it waits in the middle until the test reads on.
const EVENTS: usize = 200;

/// A receiver that waits whenever its output is not read. It is killed when it is dropped.
struct Unread {
    process: Child,
    lines: Lines<BufReader<pipe::Receiver>>,
}

impl Unread {
    fn start(name: &str, flags: &[&str], folder: &Folder) -> Self {
        let (output, unread) = pipe::pipe().unwrap();
        Self::start_with(name, flags, folder, output, unread)
    }

    /// Starts a receiver whose output is a pipe full of empty lines. It cannot print its first line
    /// until the test reads.
    async fn start_full(name: &str, folder: &Folder) -> Self {
        let (output, unread) = pipe::pipe().unwrap();
        // Before this, `try_write` reports a full pipe without writing.
        output.writable().await.unwrap();
        let full = loop {
            if let Err(error) = output.try_write(b"\n") {
                break error.kind();
            }
        };
        assert_eq!(full, ErrorKind::WouldBlock);
        Self::start_with(name, &[], folder, output, unread)
    }

    fn start_with(
        name: &str,
        flags: &[&str],
        folder: &Folder,
        output: pipe::Sender,
        unread: pipe::Receiver,
    ) -> Self {
        let mut command = example(name);
        command
            .args(flags)
            .current_dir(folder.path())
            .envs([("WEBHOOK_SECRET", "test"), ("LISTEN", "127.0.0.1:0")])
            .env("NATS_URL", "nats://127.0.0.1:1")
            .stdout(output.into_blocking_fd().unwrap());
        // The command holds the pipe's other end until it is dropped.
        let process = command.spawn().unwrap();
        Self { process, lines: BufReader::new(unread).lines() }
    }

    /// Waits until the receiver handles SIGINT and SIGTERM.
    async fn until_it_handles_signals(&self) {
        const SIGNALS: u64 = 1 << (2 - 1) | 1 << (15 - 1);
        let handles = async {
            loop {
                let path = format!("/proc/{}/status", self.process.id());
                let status = fs::read_to_string(path).unwrap();
                let mut lines = status.lines();
                let caught = lines.find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
                if u64::from_str_radix(caught.trim(), 16).unwrap() & SIGNALS == SIGNALS {
                    return;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        soon("handlers of signals", handles).await;
    }

    /// Returns the next line, or `None` after the receiver has ended.
    async fn line(&mut self) -> Option<String> {
        soon("line, or end of the receiver", self.lines.next_line()).await.unwrap()
    }

    /// Waits until it listens, and returns its address.
    async fn address(&mut self) -> String {
        let listening = self.line().await.unwrap();
        assert!(self.line().await.unwrap().starts_with("curl "));
        listening.strip_prefix("listening on http://").unwrap().to_owned()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the type of the events, and the request.
fn delivery() -> (String, Vec<u8>) {
    let events: Vec<_> = (0..EVENTS).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
    let event_type = format!("mautic.{}", "x".repeat(1024));
    let body = format!(r#"{{"{event_type}":[{}]}}"#, events.join(","));
    let signer = Signer::new(scheme::MAUTIC, "test").unwrap();
    let request = signer.target("/mautic").sign(body).unwrap();
    let raw = raw_request("POST", "/mautic", &request.headers, &request.body);
    (event_type, raw)
}

/// The client has disconnected, so that only the drain waits for the handler.
#[tokio::test]
async fn a_running_handler_completes_when_its_receiver_is_stopped() {
    let (event_type, raw) = delivery();
    for (name, signal) in [
        ("receiver_axum", "-INT"),
        ("receiver_axum", "-TERM"),
        ("receiver_actix", "-INT"),
        ("receiver_actix", "-TERM"),
    ] {
        let folder = Folder::new(name);
        let mut receiver = Unread::start(name, &[], &folder);
        let mut client = TcpStream::connect(receiver.address().await).await.unwrap();
        client.write_all(&raw).await.unwrap();
        assert!(receiver.line().await.unwrap().starts_with(&event_type));
        client.set_zero_linger().unwrap();
        drop(client);
        send_signal(receiver.process.id(), signal);
        let mut printed = 1;
        while receiver.line().await.is_some() {
            printed += 1;
        }
        assert_eq!(printed, EVENTS, "{name} {signal}");
        assert!(receiver.process.wait().unwrap().success(), "{name} {signal}");

        let mut receiver = Unread::start(name, &[], &folder);
        let address = receiver.address().await.parse().unwrap();
        assert_replay(&exchange(address, &raw).await, 204);
    }
}

/// The receiver cannot print its address until the test reads, so it handles signals before that.
#[tokio::test]
async fn a_receiver_handles_signals_before_it_prints_its_address() {
    for (name, signal) in [
        ("receiver_axum", "-INT"),
        ("receiver_axum", "-TERM"),
        ("receiver_actix", "-INT"),
        ("receiver_actix", "-TERM"),
        ("publish", "-TERM"),
    ] {
        let folder = Folder::new(name);
        let mut receiver = Unread::start_full(name, &folder).await;
        receiver.until_it_handles_signals().await;
        send_signal(receiver.process.id(), signal);
        let mut printed = Vec::new();
        while let Some(line) = receiver.line().await {
            if !line.is_empty() {
                printed.push(line);
            }
        }
        assert!(receiver.process.wait().unwrap().success(), "{name} {signal}");
        assert_eq!(printed.len(), 2, "{name} {signal}: {printed:?}");
        assert!(printed[0].starts_with("listening on "), "{name} {signal}: {printed:?}");
    }
}

/// The events that no worker has begun remain in the inbox.
#[tokio::test]
async fn a_running_worker_completes_when_its_receiver_is_stopped() {
    let (event_type, raw) = delivery();
    for (name, signal) in [("receiver_axum", "-TERM"), ("receiver_actix", "-INT")] {
        let folder = Folder::new(name);
        let mut receiver = Unread::start(name, &["--workers", "1"], &folder);
        let address = receiver.address().await.parse().unwrap();
        assert_eq!(exchange(address, &raw).await.status, 204);
        assert!(receiver.line().await.unwrap().contains(&event_type));
        send_signal(receiver.process.id(), signal);
        let mut printed = 1;
        while receiver.line().await.is_some() {
            printed += 1;
        }
        assert!(receiver.process.wait().unwrap().success(), "{name} {signal}");

        let options = SqliteConnectOptions::new().filename(folder.path().join("webhooks.db"));
        let mut database: SqliteConnection = options.connect().await.unwrap();
        let sql = "SELECT state, count(*) FROM webhook_inbox_entry GROUP BY state ORDER BY state";
        let rows: Vec<(i64, i64)> = sqlx::query_as(sql).fetch_all(&mut database).await.unwrap();
        // Waiting and done.
        let mut expected = vec![(0, EVENTS as i64 - printed), (3, printed)];
        expected.retain(|(_, count)| *count > 0);
        assert_eq!(rows, expected, "{name} {signal}");
    }
}

/// It publishes nothing: no NATS server runs.
#[tokio::test]
async fn publish_ends_without_an_error_when_it_is_stopped() {
    for signal in ["-INT", "-TERM"] {
        let folder = Folder::new("publish");
        let mut receiver = Unread::start("publish", &[], &folder);
        receiver.address().await;
        send_signal(receiver.process.id(), signal);
        assert_eq!(receiver.line().await, None, "{signal}");
        assert!(receiver.process.wait().unwrap().success(), "{signal}");
    }
}

/// Only the worker publishes, so without its connection to NATS, the process must not continue.
#[tokio::test]
async fn publish_ends_with_an_error_if_its_worker_does() {
    let folder = Folder::new("publish");
    let mut command = example("publish");
    command.current_dir(folder.path()).envs([
        ("WEBHOOK_SECRET", "test"),
        ("LISTEN", "127.0.0.1:0"),
        ("NATS_URL", "no URL"),
    ]);
    assert!(!output(command).status.success());
}
