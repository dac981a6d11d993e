//! Claims in the master that Redis Sentinel reports.

use integration_tests::{RedisSentinels, until_replicated};

use super::*;

/// The master is killed, or it stops responding without ending its connections. The store finds the
/// next one, which has all records.
#[tokio::test]
async fn a_fail_over() {
    for is_killed in [true, false] {
        let mut group = RedisSentinels::start();
        // A Sentinel that is gone is skipped.
        group.sentinels[0].pause();
        let connect = RedisStore::connect_sentinel("redis://hooks", group.urls());
        let connect = connect.timeout(500 * MS);
        let store = answered(|| connect.clone().into_future()).await;
        let (held, done) = (request(1), request(2));
        assert_eq!(answered(|| store.claim_one(&held)).await, won(1));
        assert_eq!(answered(|| store.claim_one(&done)).await, won(1));
        let holder = done.holder();
        let settled = answered(|| store.complete(&holder, 200, HOUR)).await;
        assert_eq!(settled, Settled::Applied);
        until_replicated(&group.servers[0]);
        if is_killed {
            group.servers[0].stop();
        } else {
            group.servers[0].pause();
        }
        comes_back(&store).await;
        let (held, done) = (again(&held), again(&done));
        assert!(is_busy(answered(|| store.claim_one(&held)).await));
        assert!(is_completed(answered(|| store.claim_one(&done)).await));

        // Another process starts now.
        let store = answered(|| connect.clone().into_future()).await;
        assert!(is_busy(answered(|| store.claim_one(&held)).await));
    }
}

/// The old master comes back as a replica: no claim is granted on it.
#[tokio::test]
async fn a_fail_over_and_back() {
    let mut group = RedisSentinels::start();
    let connect = RedisStore::connect_sentinel("redis://hooks", group.urls()).timeout(500 * MS);
    let store = answered(|| connect.clone().into_future()).await;
    group.servers[0].stop();
    comes_back(&store).await;
    group.servers[0].restart();
    comes_back(&store).await;
    for number in 0..100 {
        let claim = request(number);
        assert_eq!(answered(|| store.claim_one(&claim)).await, won(1));
        let claim = again(&claim);
        assert!(is_busy(answered(|| store.claim_one(&claim)).await));
    }
    let role = group.servers[1].command("ROLE");
    assert!(role.contains("master"), "{role}");
}

/// The master and the Sentinels have passwords of their own. Each part of the address can be wrong.
#[tokio::test]
async fn passwords_and_wrong_names() {
    let group = RedisSentinels::start();
    for sentinel in &group.sentinels {
        sentinel.command("SENTINEL SET hooks auth-pass sesame");
        sentinel.command("ACL SETUSER default resetpass >barley");
    }
    for server in &group.servers {
        server.command("CONFIG SET masterauth sesame");
        server.command("CONFIG SET requirepass sesame");
    }
    let connect = |master: &str, password: &str| {
        let urls = group.urls().into_iter().map(|url| url.replace("://", password));
        RedisStore::connect_sentinel(master, urls).timeout(PATIENCE / 2)
    };
    let store = connect("redis://:sesame@hooks/3", "://:barley@").await.unwrap();
    assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));
    for (master, password, text) in [
        (
            "redis://:sesame@cooks",
            "://:barley@",
            "redis master cooks of the sentinels at 127.0.0.1:",
        ),
        ("redis://:sesam@hooks", "://:barley@", "authentication failed"),
        ("redis://hooks", "://:barley@", "NOAUTH"),
        ("redis://:sesame@hooks", "://", "NOAUTH"),
        ("redis://:sesame@hooks", "://:barle@", "authentication failed"),
        ("redis://:sesame@hooks/x", "://:barley@", "master: "),
        ("hooks", "://:barley@", "master: "),
        ("unix:///sesame", "://:barley@", "master: "),
    ] {
        let error = connect(master, password).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(text), "{master} {password}: {error}");
        assert!(!error.contains("sesam") && !error.contains("barle"), "{error}");
    }
    // A server that is not a Sentinel.
    let server = group.servers[0].url().replace("://", "://:sesame@");
    let connect = RedisStore::connect_sentinel("redis://:sesame@hooks", [server]);
    let error = fails(connect.timeout(PATIENCE / 2).into_future()).await;
    assert!(error.contains("sentinel"), "{error}");
}
