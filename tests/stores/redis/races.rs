//! Many claimers at once, on tasks and connections of their own.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use integration_tests::{Calls as _, RedisServer, is_shut_out, race};
use tokio::task::JoinSet;

use super::*;

const CLAIMERS: usize = 64;
const ROUNDS: u16 = 15;
/// Longer than any machine takes.
const LEASE: Duration = Duration::from_secs(60);

/// Stores with a connection each.
async fn stores(server: &RedisServer, count: usize) -> Vec<RedisStore> {
    let mut stores = Vec::new();
    for _ in 0..count {
        stores.push(connect(server).await);
    }
    stores
}

/// Each round: an absent key, a released one, a lapsed one, a completed one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_winner_for_each_attempt() {
    let server = RedisServer::start();
    let stores = stores(&server, CLAIMERS).await;
    let mut owners = 0;
    for round in 0..ROUNDS {
        let claim = request(round);
        let mut last: Option<ClaimRequest> = None;
        for attempt in 1..=3 {
            let (mut winners, others) = race(&stores, &claim).await;
            assert_eq!(winners.len(), 1, "round {round}, attempt {attempt}");
            assert!(others.iter().all(|outcome| is_busy(*outcome)));
            let winner = winners.remove(&attempt).unwrap();
            owners += 1;
            if let Some(last) = last {
                is_shut_out(&stores[1], &last).await;
            }
            let holder = winner.holder();
            let settled = match attempt {
                1 => stores[2].release(&holder).await,
                2 => stores[2].extend(&holder, LEASE).await,
                _ => stores[2].complete(&holder, 201, HOUR).await,
            };
            assert_eq!(settled.unwrap(), Settled::Applied);
            if attempt == 2 {
                age(&server, LEASE);
            }
            last = Some(winner);
        }
        let (winners, others) = race(&stores, &claim).await;
        assert!(winners.is_empty());
        assert!(others.iter().all(|outcome| is_completed(*outcome)));
    }
    assert_eq!(owners, 3 * usize::from(ROUNDS));
}

/// Leases that lapse in the middle of it: several may win one after the other, and each attempt once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leases_that_lapse_during_the_race() {
    let server = RedisServer::start();
    let stores = stores(&server, 16).await;
    let mut claim = request(1);
    claim.lease = MS;
    let mut highest = 0;
    for _ in 0..100 {
        let (winners, _) = race(&stores, &claim).await;
        let mut attempts: Vec<_> = winners.into_keys().collect();
        attempts.sort_unstable();
        for attempt in attempts {
            assert_eq!(attempt, highest + 1, "attempts count up by one");
            highest = attempt;
        }
        age(&server, MS);
    }
    assert!(highest >= 100, "{highest} grants");
}

/// A late holder completes while others take over: one of them has it, and the record is that one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_late_complete_against_takeovers() {
    let server = RedisServer::start();
    let stores = stores(&server, 8).await;
    let late = AtomicUsize::new(0);
    for round in 0..60 {
        let mut claim = request(round);
        claim.lease = LEASE;
        assert_eq!(stores[0].claim_one(&claim).await.unwrap(), won(1));
        age(&server, LEASE);
        let mut next = claim.clone();
        next.lease = HOUR;
        let holder = claim.holder();
        let (settled, (winners, others)) =
            tokio::join!(stores[0].complete(&holder, 200, HOUR), race(&stores[1..], &next));
        match settled.unwrap() {
            Settled::Applied => {
                late.fetch_add(1, SeqCst);
                assert!(winners.is_empty());
                assert!(others.iter().all(|outcome| is_completed(*outcome)));
            }
            _ => {
                assert_eq!(winners.len(), 1);
                assert!(others.iter().all(|outcome| is_busy(*outcome)));
                is_shut_out(&stores[0], &claim).await;
            }
        }
    }
    eprintln!("the late holder was first in {} of 60", late.load(SeqCst));
}

/// Many calls share one connection, and each gets its own answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_connection_for_many_tasks() {
    let server = RedisServer::start();
    let store = connect(&server).await;
    let mut tasks = JoinSet::new();
    for number in 0..2000 {
        let store = store.clone();
        tasks.spawn(async move {
            let claim = request(number);
            assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
            let status = 200 + number % 100;
            let settled = store.complete(&claim.holder(), status, HOUR).await;
            assert_eq!(settled.unwrap(), Settled::Applied);
            let expected = ClaimOutcome::Completed { status, fingerprint: claim.fingerprint };
            let outcome = store.claim_one(&again(&claim)).await;
            assert_eq!(outcome.unwrap(), expected);
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let clients = server.command("CLIENT LIST");
    let own = clients.lines().filter(|line| line.contains("cmd=evalsha"));
    assert_eq!(own.count(), 1, "{clients}");
}
