//! Several processes on one file, and one that is killed.

use std::{
    collections::HashMap,
    env,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use super::*;

const FILE: &str = "WEBHOOK_VERIFY_TEST_FILE";
const KEYS: u32 = 300;

/// Starts this program again, to run [`child`].
fn start(folder: &Folder) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    integration_tests::in_folder(&mut command)
        .args(["--exact", "sqlite::processes::child", "--ignored", "--nocapture"])
        .env(FILE, folder.url())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Returns the numbers of the keys that a process has won, after it has ended without an error.
fn wins(child: Child) -> Vec<u32> {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    let lines = String::from_utf8(output.stdout).unwrap();
    let wins = lines.lines().filter_map(|line| line.strip_prefix("won "));
    wins.map(|number| number.parse().unwrap()).collect()
}

#[tokio::test]
#[ignore = "is run by the other tests, as a process of its own"]
async fn child() {
    let Ok(url) = env::var(FILE) else { return };
    let store = SqliteStore::connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    // With a single core, the test's name is already on this line.
    println!();
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            for number in 0..KEYS {
                let number = (number + task * 37) % KEYS;
                // The others may lock the file for too long. Claim again, as a sender does.
                let claim = request(number);
                let outcome = loop {
                    match store.claim_one(&claim).await {
                        Ok(outcome) => break outcome,
                        Err(_) => eprintln!("locked out"),
                    }
                };
                if outcome == won(1) {
                    println!("won {number}");
                }
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
}

#[test]
fn one_winner_among_processes() {
    let folder = Folder::new();
    let children: Vec<_> = (0..4).map(|_| start(&folder)).collect();
    let mut winners: HashMap<u32, usize> = HashMap::new();
    for number in children.into_iter().flat_map(wins) {
        *winners.entry(number).or_default() += 1;
    }
    assert_eq!(winners.len(), KEYS as usize);
    assert!(winners.values().all(|count| *count == 1), "{winners:?}");
}

/// C9: everything that was acknowledged before a process was killed is there afterwards, and the
/// file is intact.
#[tokio::test]
async fn nothing_acknowledged_is_missing_after_a_crash() {
    for after in [1, 40, 150] {
        let folder = Folder::new();
        let mut child = start(&folder);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = Vec::new();
        while let Some(Ok(line)) = lines.next() {
            acknowledged
                .extend(line.strip_prefix("won ").map(|number| number.parse::<u32>().unwrap()));
            if acknowledged.len() == after {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(acknowledged.len() >= after);
        let store = folder.store().await;
        for number in acknowledged {
            assert!(is_busy(store.claim_one(&request(number)).await.unwrap()));
        }
        let check = sqlx::query_scalar("PRAGMA integrity_check");
        let whole: String = check.fetch_one(&mut folder.connection().await).await.unwrap();
        assert_eq!(whole, "ok");
    }
}
