//! The example receivers with an inbox: acknowledged first, processed later, and killed in between.

use std::{collections::HashMap, time::Duration};

use integration_tests::{Folder, PATIENCE, Response, assert_replay, exchange, raw_request};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};
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

/// A batch of events. The type and the ID of each contain its number.
fn batch() -> Vec<u8> {
    let lists =
        (0..EVENTS).map(|number| format!(r#""mautic.event_{number}":[{{"id":"event_{number}"}}]"#));
    let body = format!("{{{}}}", lists.collect::<Vec<_>>().join(","));
    let signer = Signer::new(scheme::MAUTIC, "test").unwrap();
    let request = signer.target("/mautic").sign(body).unwrap();
    raw_request("POST", "/mautic", &request.headers, &request.body)
}

/// Returns the number of the event in a line or an event type.
fn number_in(text: &str) -> usize {
    let (_, rest) = text.rsplit_once("event_").unwrap();
    rest.split(|next: char| !next.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// Returns the numbers in the lines, in ascending order.
fn numbers_in(lines: &[String]) -> Vec<usize> {
    let mut numbers: Vec<_> = lines.iter().map(|line| number_in(line)).collect();
    numbers.sort_unstable();
    numbers
}

async fn post(running: &Running) -> Response {
    exchange(running.addr, &batch()).await
}

async fn database(folder: &Folder) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.path().join("webhooks.db"));
    options.busy_timeout(PATIENCE).connect().await.unwrap()
}

async fn execute(database: &mut SqliteConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(database).await.unwrap();
}

/// Returns the state of each stored event. Then lets the leases of dead workers expire at once.
async fn states(folder: &Folder) -> HashMap<usize, i64> {
    let mut database = database(folder).await;
    let sql =
        "SELECT event_type, state FROM webhook_inbox JOIN webhook_inbox_entry ON event = number";
    let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(&mut database).await.unwrap();
    execute(&mut database, "UPDATE webhook_inbox_entry SET due_at = 0 WHERE state = 1").await;
    rows.into_iter().map(|(event_type, state)| (number_in(&event_type), state)).collect()
}

/// States of entries, as the database has them.
const WAITING: i64 = 0;
const RUNNING: i64 = 1;
const DONE: i64 = 3;

/// Starts a receiver again after it was killed. The sender retries the batch only if it was not
/// acknowledged. Each event is printed once, but one that a worker was processing may be printed
/// twice.
async fn resume(name: &str, folder: &Folder, before: &[String], acknowledged: bool, row: &str) {
    let states = states(folder).await;
    let is_whole = states.len() == EVENTS || (states.is_empty() && !acknowledged);
    assert!(is_whole, "{row}: {states:?}");
    let in_hand = states.values().filter(|state| **state == RUNNING).count();
    assert!(in_hand <= WORKERS, "{row}: {states:?}");

    let mut running = start(name, folder, WORKERS);
    if !acknowledged {
        assert_eq!(post(&running).await.status, 204, "{row}");
    }
    let left = EVENTS - states.values().filter(|state| **state == DONE).count();
    running.until_printed(left);
    assert_replay(&post(&running).await, 204);
    let after = running.kill().0;
    let (before, after) = (numbers_in(before), numbers_in(&after));
    assert_eq!(after.len(), left, "{row}: {before:?} {after:?}");
    for number in 0..EVENTS {
        let count = |numbers: &[usize]| numbers.iter().filter(|it| **it == number).count();
        let counts = (count(&before), count(&after));
        let state = states.get(&number).copied().unwrap_or(WAITING);
        let is_right = match state {
            WAITING => counts == (0, 1),
            RUNNING => counts == (0, 1) || counts == (1, 1),
            _ => counts == (1, 0),
        };
        assert!(is_right, "{row}: event {number} in state {state}: {counts:?}");
    }
}

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
        let lines = running.kill().0;
        assert_eq!(numbers_in(&lines), (0..EVENTS).collect::<Vec<_>>(), "{name}");
    }
}

/// A receiver with workers is killed after its response. No worker has leased an event, so that
/// each event is printed once, after the restart.
#[tokio::test]
async fn a_receiver_that_is_killed_right_after_its_response_loses_no_event() {
    for name in ["receiver_axum", "receiver_actix"] {
        let folder = Folder::new(name);
        let running = start(name, &folder, WORKERS);
        let mut database = database(&folder).await;
        let hold = "CREATE TRIGGER hold BEFORE UPDATE ON webhook_inbox_entry WHEN NEW.state = 1
          BEGIN SELECT RAISE(ABORT, 'no leases'); END";
        execute(&mut database, hold).await;
        assert_eq!(post(&running).await.status, 204, "{name}");
        let lines = running.kill().0;
        assert_eq!(lines, [""; 0], "{name}");
        execute(&mut database, "DROP TRIGGER hold").await;
        resume(name, &folder, &lines, true, name).await;
    }
}

#[tokio::test]
async fn a_receiver_that_is_killed_at_any_point_processes_each_event() {
    for name in ["receiver_axum", "receiver_actix"] {
        for point in 0..=EVENTS {
            let row = format!("{name}, killed after {point} lines");
            let folder = Folder::new(name);
            let mut running = start(name, &folder, WORKERS);
            assert_eq!(post(&running).await.status, 204, "{row}");
            running.until_printed(point);
            let lines = running.kill().0;
            resume(name, &folder, &lines, true, &row).await;
        }
    }
}

/// The receiver is killed at a random point between the arrival of the request and its response,
/// and while another process has locked the database, so that it cannot store anything.
#[tokio::test]
async fn a_receiver_that_is_killed_around_its_response_loses_no_acknowledged_event() {
    for name in ["receiver_axum", "receiver_actix"] {
        let locked = (200, true);
        for (delay, is_locked) in (0..10).map(|delay| (delay, false)).chain([locked]) {
            let row = format!("{name}, killed after {delay} ms, locked: {is_locked}");
            let folder = Folder::new(name);
            let running = start(name, &folder, WORKERS);
            let mut database = database(&folder).await;
            if is_locked {
                execute(&mut database, "BEGIN IMMEDIATE").await;
            }
            let mut client = TcpStream::connect(running.addr).await.unwrap();
            client.write_all(&batch()).await.unwrap();
            sleep(Duration::from_millis(delay)).await;
            let lines = running.kill().0;
            database.close().await.unwrap();
            // A response that was sent before the end of the process still arrives.
            let mut response = Vec::new();
            let _ = client.read_to_end(&mut response).await;
            let acknowledged = response.starts_with(b"HTTP/1.1 204");
            resume(name, &folder, &lines, acknowledged, &row).await;
        }
    }
}
