//! The example receivers with an inbox: acknowledged first, processed later, and killed in between.

use std::{collections::HashMap, time::Duration};

use integration_tests::{Folder, Response, assert_replay, exchange, raw_request};
use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::sleep};
use webhook_verify::{scheme, testing::Signer};

use crate::running::{Running, example};

/// The number of events in a delivery.
const EVENTS: usize = 10;

/// How many events are processed at a time.
const WORKERS: usize = 2;

fn start(name: &str, folder: &Folder, workers: usize) -> Running {
    let mut command = example(name);
    command
        .current_dir(folder.path())
        .envs([("WEBHOOK_SECRET", "test"), ("LISTEN", "127.0.0.1:0")])
        .args(["--inbox", "--workers", &workers.to_string()]);
    Running::spawn(command).unwrap()
}

/// A batch of events, each of a type of its own.
fn batch() -> Vec<u8> {
    let lists = (0..EVENTS).map(|number| format!(r#""mautic.type_{number}":[{{"id":{number}}}]"#));
    let body = format!("{{{}}}", lists.collect::<Vec<_>>().join(","));
    let signer = Signer::new(scheme::MAUTIC, "test").unwrap();
    let request = signer.target("/mautic").sign(body).unwrap();
    raw_request("POST", "/mautic", &request.headers, &request.body)
}

async fn post(running: &Running) -> Response {
    exchange(running.addr, &batch()).await
}

/// The event type of a worker's line.
fn event_type(line: &str) -> String {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line["event_type"].as_str().unwrap().to_owned()
}

/// The types of the events in each state. The leases of dead workers then expire at once.
async fn states(folder: &Folder) -> HashMap<String, i64> {
    let options = SqliteConnectOptions::new().filename(folder.path().join("webhooks.db"));
    let mut database: SqliteConnection = options.connect().await.unwrap();
    let sql =
        "SELECT event_type, state FROM webhook_inbox JOIN webhook_inbox_entry ON event = number";
    let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(&mut database).await.unwrap();
    let sql = "UPDATE webhook_inbox_entry SET due_at = 0 WHERE state = 1";
    sqlx::query(sql).execute(&mut database).await.unwrap();
    rows.into_iter().collect()
}

/// States of entries, as the database has them.
const WAITING: i64 = 0;
const RUNNING: i64 = 1;
const DONE: i64 = 3;

#[tokio::test]
async fn a_batch_is_acknowledged_before_it_is_processed() {
    for name in ["receiver_axum", "receiver_actix"] {
        let folder = Folder::new(name);
        let running = start(name, &folder, 0);
        assert_eq!(post(&running).await.status, 204, "{name}");
        assert_eq!(running.kill().0, [""; 0], "{name}");
        let states = states(&folder).await;
        assert!(states.len() == EVENTS && states.values().all(|it| *it == WAITING), "{states:?}");

        let mut running = start(name, &folder, WORKERS);
        running.until_printed(EVENTS);
        assert_replay(&post(&running).await, 204);
        let mut types: Vec<_> = running.kill().0.iter().map(|line| event_type(line)).collect();
        types.sort_unstable();
        let expected: Vec<_> = (0..EVENTS).map(|number| format!("mautic.type_{number}")).collect();
        assert_eq!(types, expected, "{name}");
    }
}

/// Only an event that a worker had in hand when it was killed may be printed twice.
#[tokio::test]
async fn a_receiver_that_is_killed_at_any_point_processes_each_event() {
    for name in ["receiver_axum", "receiver_actix"] {
        for point in 0..=EVENTS {
            let row = format!("{name}, killed after {point} lines");
            let folder = Folder::new(name);
            let mut running = start(name, &folder, WORKERS);
            assert_eq!(post(&running).await.status, 204, "{row}");
            running.until_printed(point);
            let first = running.kill().0;
            let states = states(&folder).await;
            assert_eq!(states.len(), EVENTS, "{row}: {states:?}");
            let in_hand = states.values().filter(|state| **state == RUNNING).count();
            assert!(in_hand <= WORKERS, "{row}: {states:?}");

            let left = states.values().filter(|state| **state != DONE).count();
            let mut running = start(name, &folder, WORKERS);
            running.until_printed(left);
            assert_replay(&post(&running).await, 204);
            let second = running.kill().0;
            assert_eq!(second.len(), left, "{row}: {first:?} {second:?}");
            for (event, state) in &states {
                let count = |lines: &[String]| {
                    lines.iter().filter(|line| event_type(line) == *event).count()
                };
                let counts = (count(&first), count(&second));
                let is_right = match *state {
                    WAITING => counts == (0, 1),
                    RUNNING => counts == (0, 1) || counts == (1, 1),
                    _ => counts == (1, 0),
                };
                assert!(is_right, "{row}: {event} in state {state}: {counts:?}");
            }
        }
    }
}

/// Mautic sends a batch again if its connection broke.
#[tokio::test]
async fn a_receiver_that_is_killed_before_it_responds_loses_no_event() {
    for delay in 0..20 {
        let folder = Folder::new("receiver_axum");
        let running = start("receiver_axum", &folder, 0);
        let mut client = TcpStream::connect(running.addr).await.unwrap();
        client.write_all(&batch()).await.unwrap();
        // A random point between the arrival of the request and the response.
        sleep(Duration::from_millis(delay)).await;
        assert_eq!(running.kill().0, [""; 0]);

        let mut running = start("receiver_axum", &folder, WORKERS);
        assert_eq!(post(&running).await.status, 204);
        running.until_printed(EVENTS);
        let mut lines = running.kill().0;
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), EVENTS, "killed after {delay} ms: {lines:?}");
        assert_eq!(states(&folder).await.len(), EVENTS, "killed after {delay} ms");
    }
}
