//! Claims in a Redis server that each test starts for itself.

mod cluster;
mod faults;
mod sentinel;
mod start;
mod tls;

use std::time::Duration;

use integration_tests::{PATIENCE, RedisServer};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use webhook_verify::{
    RedisStore,
    idempotency::{ClaimOutcome, ClaimRequest, ClaimStore, Settled},
    testing::conformance::Suite,
};

use crate::common::*;

/// Returns a store that waits for longer than any machine takes.
async fn connect(server: &RedisServer) -> RedisStore {
    let connect = RedisStore::connect(server.url()).timeout(PATIENCE / 2);
    connect.await.unwrap()
}

/// As [`Place::age`](integration_tests::Place::age).
fn age(server: &RedisServer, by: Duration) {
    server.age(by.as_millis() as i64);
}

/// The newer protocol, RESP3, has other types for some replies.
#[tokio::test]
async fn conformance() {
    for protocol in ["", "?protocol=resp3"] {
        eprintln!("by {protocol:?}");
        let server = RedisServer::start();
        let url = format!("{}{protocol}", server.url());
        let store = RedisStore::connect(url).timeout(PATIENCE / 2).await.unwrap();
        let suite =
            Suite::new(&store).keeps_responses().tick(Duration::from_secs(60)).clears_by_itself();
        suite.run(async |by| age(&server, by)).await.unwrap();
    }
}

/// A claim is one key with the prefix, which expires by itself. A call takes one round trip.
#[tokio::test]
async fn what_is_in_the_server() {
    let server = RedisServer::start();
    let store = connect(&server).await;
    let claim = request(1);
    assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
    let keys = server.command("KEYS *");
    assert!(keys.starts_with("*1\r\n$35\r\nwv:\0\0\0\u{1}\u{7}"), "{keys:?}");
    assert!(server.command("DBSIZE").starts_with(":1"));
    age(&server, claim.ttl);
    assert!(server.command("KEYS *").starts_with("*0"));
    assert_eq!(store.purge(10).await.unwrap(), 0);

    let calls = |server: &RedisServer| {
        let stats = server.command("INFO stats");
        let line = stats.lines().find(|line| line.starts_with("total_reads_processed"));
        line.unwrap().split_once(':').unwrap().1.trim().parse::<u32>().unwrap()
    };
    let own = calls(&server);
    let own = calls(&server) - own;
    let requests: Vec<_> = (100..200).map(request).collect();
    let holders: Vec<_> = requests.iter().map(ClaimRequest::holder).collect();
    for call in ["100 claims", "100 renewals", "50 completions", "100 releases"] {
        let before = calls(&server);
        let settled = match call {
            "100 claims" => store.claim(&requests).await.map(|_| ()),
            "100 renewals" => store.extend_all(&holders, HOUR).await.map(|_| ()),
            "50 completions" => store.complete_all(&holders[..50], 200, HOUR).await.map(|_| ()),
            _ => store.release_all(&holders).await.map(|_| ()),
        };
        settled.unwrap();
        let reads = calls(&server) - before - own;
        assert!((1..=2).contains(&reads), "{reads} reads for {call}");
    }
}

#[tokio::test]
async fn prefixes_do_not_meet() {
    let server = RedisServer::start();
    let [one, two] = ["one:", "two:"].map(|prefix| {
        let connect = RedisStore::connect(server.url()).prefix(prefix);
        connect.timeout(PATIENCE / 2)
    });
    let (one, two) = (one.await.unwrap(), two.await.unwrap());
    let (a, b) = (request(1), again(&request(1)));
    assert_eq!(one.claim_one(&a).await.unwrap(), won(1));
    assert_eq!(two.claim_one(&b).await.unwrap(), won(1));
    assert_eq!(one.complete(&a.holder(), 200, HOUR).await.unwrap(), Settled::Applied);
    assert!(is_busy(two.claim_one(&again(&a)).await.unwrap()));
    assert!(two.forget(&a.key).await.unwrap());
    assert!(is_completed(one.claim_one(&again(&a)).await.unwrap()));
}

/// A key that another program has written is an error, and stays unchanged.
#[tokio::test]
async fn foreign_keys_are_an_error() {
    let server = RedisServer::start();
    let mut key = [b'x'; 32];
    key[0] = b'a';
    let mut claim = request(1);
    claim.key = key.into();
    let name = format!("wv:{}", String::from_utf8_lossy(&key));
    let store = connect(&server).await;
    server.command(&format!("SET {name} theirs"));
    fails(store.claim_one(&claim)).await;
    assert!(server.command(&format!("GET {name}")).contains("theirs"));
    for fields in ["s 2 o x", "s 1 o x", "s 2 st 99999999 f short"] {
        server.command(&format!("DEL {name}"));
        server.command(&format!("HSET {name} {fields}"));
        fails(store.claim_one(&claim)).await;
    }
    // Unknown fields are ignored.
    server.command(&format!("DEL {name}"));
    server.command(&format!("HSET {name} other 1"));
    assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
}

/// Many calls share one connection, and each gets its own reply.
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
            let status = 200 + number as u16 % 100;
            let settled = store.complete(&claim.holder(), status, HOUR).await;
            assert_eq!(settled.unwrap(), Settled::Applied);
            let expected = ClaimOutcome::Completed { status, fingerprint: claim.fingerprint };
            let outcome = store.claim_one(&again(&claim)).await;
            assert_eq!(outcome.unwrap(), expected);
        });
    }
    tasks.join_all().await;
    let clients = server.command("CLIENT LIST");
    let own = clients.lines().filter(|line| line.contains("cmd=evalsha"));
    assert_eq!(own.count(), 1, "{clients}");
}
