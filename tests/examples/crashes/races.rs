//! Copies of one delivery that come at once.

use integration_tests::{PostgresServer, RedisServer, Response, exchange};

use crate::{
    outbox::request,
    running::{RECEIVERS, Running, command_with_store},
    stores::{TempFolder, database},
};

const COPIES: usize = 64;

fn start(name: &str, store: &str) -> Running {
    let mut command = command_with_store(name, store);
    command.args(crate::outbox::FLAGS).args(["--delay", "400"]);
    Running::spawn(command).unwrap()
}

/// Sends the copies to the receivers in turn, and judges what they answer and print.
async fn race(store: &str, receivers: Vec<Running>) {
    let names = format!("{} on {store}", receivers.len());
    let raw = request("evt_race");
    let copies: Vec<_> = (0..COPIES)
        .map(|copy| {
            let (addr, raw) = (receivers[copy % receivers.len()].addr, raw.clone());
            tokio::spawn(async move { exchange(addr, &raw).await })
        })
        .collect();
    let mut answers = Vec::new();
    for copy in copies {
        answers.push(copy.await.unwrap());
    }
    // And one that comes late.
    let late = exchange(receivers[0].addr, &raw).await;
    assert!(is_replay(&late), "{names}: {late:?}");

    let handled: Vec<_> = receivers.into_iter().flat_map(Running::end).collect();
    assert_eq!(handled.len(), 1, "{names}: {handled:?}");
    assert_eq!(handled[0]["attempt"], 1, "{names}");
    let (first, others): (Vec<_>, Vec<_>) = answers
        .iter()
        .partition(|answer| answer.status == 204 && !is_replay(answer));
    assert_eq!(first.len(), 1, "{names}: {first:?}");
    for answer in others {
        let sent_away = answer.status == 503
            && answer
                .header("retry-after")
                .is_some_and(|after| after.parse::<u64>().is_ok_and(|after| after > 0));
        assert!(sent_away || is_replay(answer), "{names}: {answer:?}");
    }
}

fn is_replay(answer: &Response) -> bool {
    answer.status == 204 && answer.header("idempotent-replayed") == Some("true")
}

/// B1: of many copies at once, one is handled.
#[tokio::test]
async fn one_process_handles_one_of_many_copies() {
    for name in RECEIVERS {
        race("memory:", vec![start(name, "memory:")]).await;
        let folder = TempFolder::new();
        race(&folder.sqlite(), vec![start(name, &folder.sqlite())]).await;
        let postgres = database(PostgresServer::shared()).await;
        race(&postgres, vec![start(name, &postgres)]).await;
        let redis = RedisServer::start();
        race(&redis.url(), vec![start(name, &redis.url())]).await;
    }
}

/// B2: so it is when the copies go to several processes, of either framework.
#[tokio::test]
async fn four_processes_handle_one_of_many_copies() {
    let folder = TempFolder::new();
    let redis = RedisServer::start();
    let postgres = database(PostgresServer::shared()).await;
    for store in [folder.sqlite(), redis.url(), postgres] {
        let receivers = RECEIVERS.iter().chain(&RECEIVERS);
        race(&store, receivers.map(|name| start(name, &store)).collect()).await;
    }
}
