//! Several processes on one file, and processes that are killed.

use std::{
    env,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use super::*;

const FILE: &str = "WEBHOOK_VERIFY_TEST_FILE";
const ROLE: &str = "WEBHOOK_VERIFY_TEST_ROLE";
const EVENTS: u32 = 300;

/// Starts this program again, to run [`child`].
fn start(folder: &Folder, role: &str) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    integration_tests::in_folder(&mut command)
        .args(["--exact", "sqlite::processes::child", "--ignored", "--nocapture"])
        .env(FILE, folder.url())
        .env(ROLE, role)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test]
#[ignore = "is run by the other tests, as a process of its own"]
async fn child() {
    let Ok(url) = env::var(FILE) else { return };
    let store = SqliteStore::connect(&url).await.unwrap();
    // With a single core, the test's name is already on this line.
    println!();
    if env::var(ROLE).unwrap() == "receiver" {
        for number in 0..EVENTS {
            // The others may lock the file for too long. Store it again, as a sender does.
            while store.insert(&intake(vec![event(number)])).await.is_err() {}
            println!("did {number}");
        }
        return;
    }
    let mut left = EVENTS;
    while left > 0 {
        let Ok(batch) = store.lease(&request(5)).await else { continue };
        for leased in &batch.events {
            assert_eq!(leased.attempt, 1);
            println!("did {}", String::from_utf8(leased.event.body.to_vec()).unwrap());
        }
        if batch.events.is_empty() {
            tokio::time::sleep(MS).await;
            let stats = store.stats("inbox").await;
            let Ok(stats) = stats else { continue };
            left = stats
                .first()
                .map_or(EVENTS, |stats| EVENTS - u32::try_from(stats.running).unwrap());
        }
    }
}

/// Returns the numbers in a line of a child's output.
fn did(line: &str) -> Option<u32> {
    line.strip_prefix("did ").map(|number| number.parse().unwrap())
}

/// Three workers and a receiver in processes of their own: each event is leased once.
#[test]
fn processes_share_no_lease() {
    let folder = Folder::new();
    let workers: Vec<_> = (0..3).map(|_| start(&folder, "worker")).collect();
    let mut receiver = start(&folder, "receiver");
    let mut leased = Vec::new();
    for worker in workers {
        let output = worker.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", output.status);
        leased.extend(String::from_utf8(output.stdout).unwrap().lines().filter_map(did));
    }
    assert!(receiver.wait().unwrap().success());
    leased.sort_unstable();
    assert_eq!(leased, (0..EVENTS).collect::<Vec<_>>());
}

/// Every event that was stored before a process was killed is there afterwards.
#[tokio::test]
async fn nothing_stored_is_missing_after_a_crash() {
    for after in [1, 40, 150] {
        let folder = Folder::new();
        let mut receiver = start(&folder, "receiver");
        let mut stored = Vec::new();
        for line in BufReader::new(receiver.stdout.take().unwrap()).lines() {
            stored.extend(did(&line.unwrap()));
            if stored.len() == after {
                receiver.kill().unwrap();
            }
        }
        receiver.wait().unwrap();
        let store = folder.store().await;
        for number in &stored {
            let again = store.insert(&intake(vec![event(*number)])).await.unwrap();
            assert_eq!(again, [Inserted::Duplicate]);
        }
        assert!(store.list(&filter()).await.unwrap().len() >= stored.len());
        let check = sqlx::query_scalar("PRAGMA integrity_check");
        let whole: String = check.fetch_one(&mut folder.connection().await).await.unwrap();
        assert_eq!(whole, "ok");
    }
}
