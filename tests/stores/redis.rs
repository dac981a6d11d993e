//! Claims in a Redis server that each test starts for itself.

mod faults;
mod races;
mod start;

use std::time::Duration;

use super::calls::{answered, fails};
use integration_tests::{Calls as _, PATIENCE, RedisServer, again, soon, won};
use tokio::time::{sleep, timeout};
use webhook_verify::{
    RedisStore,
    idempotency::{ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Fingerprint, Owner, Settled},
    testing::conformance::Suite,
};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A store that waits for an answer for longer than any machine takes.
async fn connect(server: &RedisServer) -> RedisStore {
    let connect = RedisStore::connect(server.url()).timeout(PATIENCE / 2);
    connect.await.unwrap()
}

/// As [`Place::age`](integration_tests::Place::age).
fn age(server: &RedisServer, by: Duration) {
    server.age(by.as_millis() as i64);
}

/// A claim for ten minutes.
fn request(number: u16) -> ClaimRequest {
    let mut key = [0; 32];
    key[..2].copy_from_slice(&number.to_be_bytes());
    ClaimRequest::new(
        ClaimKey::from(key),
        Owner::random().unwrap(),
        Fingerprint([number as u8; 32]),
        Duration::from_secs(600),
        HOUR,
    )
}

fn is_busy(outcome: ClaimOutcome) -> bool {
    matches!(outcome, ClaimOutcome::Busy { .. })
}

fn is_completed(outcome: ClaimOutcome) -> bool {
    matches!(outcome, ClaimOutcome::Completed { .. })
}

/// Claims fresh keys until one is granted: a store comes back by itself.
async fn comes_back(store: &RedisStore) {
    let claims = async {
        for number in 60_000.. {
            match store.claim_one(&request(number)).await {
                Ok(outcome) => return assert_eq!(outcome, won(1)),
                Err(_) => sleep(20 * MS).await,
            }
        }
    };
    soon("store that comes back", claims).await;
}

#[tokio::test]
async fn conformance() {
    let server = RedisServer::start();
    let store = connect(&server).await;
    let suite = Suite::new(&store).tick(Duration::from_secs(60));
    let suite = suite.clears_by_itself();
    suite.run(async |by| age(&server, by)).await.unwrap();
}

/// A connection by the newer protocol gives other types for some answers.
#[tokio::test]
async fn conformance_by_resp3() {
    let server = RedisServer::start();
    let url = format!("{}?protocol=resp3", server.url());
    let store = RedisStore::connect(url).timeout(PATIENCE / 2);
    let store = store.await.unwrap();
    let suite = Suite::new(&store).tick(Duration::from_secs(60));
    let suite = suite.clears_by_itself();
    suite.run(async |by| age(&server, by)).await.unwrap();
}

/// One key for a claim, under the prefix, that goes by itself, and the scripts take one round trip.
#[tokio::test]
async fn what_is_in_the_server() {
    let server = RedisServer::start();
    let store = connect(&server).await;
    let claim = request(1);
    assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
    let keys = server.command("KEYS *");
    assert!(keys.starts_with("*1\r\n$35\r\nwv:\0\u{1}\0"), "{keys:?}");
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
    let before = calls(&server);
    store.claim(&requests).await.unwrap();
    let reads = calls(&server) - before - own;
    assert!((1..=2).contains(&reads), "{reads} reads for 100 claims");
    let before = calls(&server);
    store.extend_all(&holders, HOUR).await.unwrap();
    let reads = calls(&server) - before - own;
    assert!((1..=2).contains(&reads), "{reads} reads for 100 renewals");
    let before = calls(&server);
    store.complete_all(&holders[..50], 200, HOUR).await.unwrap();
    let reads = calls(&server) - before - own;
    assert!((1..=2).contains(&reads), "{reads} reads for 50 completions");
    let before = calls(&server);
    store.release_all(&holders).await.unwrap();
    let reads = calls(&server) - before - own;
    assert!((1..=2).contains(&reads), "{reads} reads for 100 releases");
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

/// A key that something else has written is an error, and stays as it is.
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
    // A field that is of no use to it is none of its business.
    server.command(&format!("DEL {name}"));
    server.command(&format!("HSET {name} other 1"));
    assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
}
