//! Errors and settings at the time when a store connects.

use integration_tests::Logs;

use super::*;

/// The permissions that the documentation of [`RedisStore`] lists.
pub(super) const RIGHTS: &str = "~wv:* +del +eval +evalsha +hget +hmget +hset +pexpire +pttl +time";

/// The documented permissions are enough. Without one of them, the store does not start, and the
/// error names it.
#[tokio::test]
async fn rights_one_by_one() {
    let server = RedisServer::start();
    let connect = || {
        let url = format!("redis://app:sesame@127.0.0.1:{}/", server.port());
        RedisStore::connect(url).timeout(PATIENCE / 2)
    };
    server.command(&format!("ACL SETUSER app on >sesame {RIGHTS}"));
    let store = connect().await.unwrap();
    let suite =
        Suite::new(&store).keeps_responses().tick(Duration::from_secs(60)).clears_by_itself();
    suite.run(async |by| age(&server, by)).await.unwrap();
    server.command("FLUSHALL");
    for missing in RIGHTS.split(' ') {
        let others: Vec<_> = RIGHTS.split(' ').filter(|right| *right != missing).collect();
        server.command("ACL DELUSER app");
        server.command(&format!("ACL SETUSER app on >sesame {}", others.join(" ")));
        let error = fails(connect().into_future()).await;
        let text = format!("rights: the user lacks {missing}: the store needs {RIGHTS}");
        assert_eq!(error, text);
        let lazy = connect().lazy().await.unwrap();
        assert_eq!(fails(lazy.claim_one(&request(1))).await, text);
        if missing != "+del" {
            assert_eq!(server.command("DBSIZE"), ":0\r\n", "{missing}");
        }
        server.command("FLUSHALL");
    }
    server.command("ACL DELUSER app");
    server.command("ACL SETUSER app on >sesame ~* +@all -time -@scripting");
    let error = fails(connect().into_future()).await;
    assert!(error.starts_with("rights: the user lacks +eval +evalsha +time: "), "{error}");
    server.command("ACL SETUSER app +time +@scripting");
    assert_eq!(connect().await.unwrap().claim_one(&request(1)).await.unwrap(), won(1));
}

/// Addresses with one wrong part each.
#[tokio::test]
async fn addresses_that_are_wrong() {
    let (server, other) = (RedisServer::start(), RedisServer::start_with(&["--databases", "4"]));
    server.command("ACL SETUSER app on >sesame ~* +@all");
    other.command("ACL SETUSER app on >sesame ~* +@all");
    let (port, free) = (server.port(), RedisServer::stopped(&[]).port());
    let other = other.port();
    for (url, part) in [
        (format!("http://app:sesame@127.0.0.1:{port}/"), "url: "),
        (format!("app:sesame@127.0.0.1:{port}"), "url: "),
        (format!("redis://ann:sesame@127.0.0.1:{port}/"), "authentication failed"),
        (format!("redis://app:sesam@127.0.0.1:{port}/"), "authentication failed"),
        (format!("redis://app:sesame@nowhere.invalid:{port}/"), "redis at nowhere.invalid:"),
        (format!("redis://app:sesame@127.0.0.1:{free}/"), &format!("redis at 127.0.0.1:{free}: ")),
        ("redis://app:sesame@127.0.0.1:99999/".to_owned(), "url: "),
        ("redis://app:sesame@/".to_owned(), "url: "),
        (format!("redis://app:sesame@127.0.0.1:{port}/x"), "url: "),
        (format!("redis://app:sesame@127.0.0.1:{other}/4"), "DB index is out of range"),
        (format!("rediss://app:sesame@127.0.0.1:{port}/"), &format!("redis at 127.0.0.1:{port}: ")),
        ("unix:///nowhere/redis.sock".to_owned(), "redis at /nowhere/redis.sock: "),
    ] {
        for (is_server, connect) in [
            (true, RedisStore::connect(&url)),
            (false, RedisStore::connect_cluster([&url])),
            (false, RedisStore::connect_sentinel("redis://hooks", [&url])),
        ] {
            // A server without TLS does not respond to a client with TLS.
            let limit = if url.starts_with("rediss") { 500 * MS } else { PATIENCE / 2 };
            let error = connect.timeout(limit).await.unwrap_err();
            let text = format!("{error:#} {error:?}");
            assert!(!text.contains("sesam"), "{url}: {text}");
            assert!(!is_server || text.contains(part), "{url}: {text}");
        }
    }
    for (connect, text) in [
        (RedisStore::connect_cluster(Vec::<String>::new()), "urls: none given"),
        (RedisStore::connect_sentinel("redis://hooks", [""; 0]), "sentinels: none given"),
    ] {
        assert_eq!(fails(connect.into_future()).await, text);
    }
}

/// The driver takes all but host and port from the first URL, so the others must match it.
#[tokio::test]
async fn urls_that_differ() {
    for (first, second, part) in [
        ("redis://app:sesame@h:1", "redis://ann:sesame@h:2", "user"),
        ("redis://app:sesame@h:1", "redis://app:barley@h:2", "password"),
        ("redis://:sesame@h:1", "redis://h:2", "password"),
        ("redis://h:1/3", "redis://h:2", "database"),
        ("redis://h:1", "redis://h:2/3", "database"),
        ("redis://h:1?protocol=resp3", "redis://h:2", "protocol"),
        ("rediss://h:1", "redis://h:2", "TLS mode"),
        ("rediss://h:1", "rediss://h:2/#insecure", "TLS mode"),
    ] {
        let text = format!("all URLs must have the same {part}");
        let error = fails(RedisStore::connect_cluster([first, first, second]).into_future()).await;
        assert_eq!(error, format!("urls: {text}"));
        let connect = RedisStore::connect_sentinel("redis://hooks", [first, second]);
        assert_eq!(fails(connect.into_future()).await, format!("sentinels: {text}"));
    }
    let connect = RedisStore::connect_sentinel("redis://hooks", ["redis://h:1/3", "redis://h:2/3"]);
    let error = fails(connect.into_future()).await;
    assert_eq!(error, "sentinels: set the database in the URL of the master instead");
}

#[tokio::test]
async fn an_evicting_server_is_refused() {
    for policy in ["allkeys-lru", "volatile-ttl", "allkeys-random"] {
        let server = RedisServer::start_with(&["--maxmemory-policy", policy]);
        let patient = RedisStore::connect(server.url()).timeout(PATIENCE / 2);
        let error = fails(patient.into_future()).await;
        let text = format!(
            "maxmemory-policy: the server has {policy} and may evict claims: set noeviction, or allow_eviction"
        );
        assert_eq!(error, text);

        let connect = || RedisStore::connect(server.url()).timeout(PATIENCE / 2);
        let store = connect().allow_eviction().await.unwrap();
        assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));

        let lazy = connect().lazy().await.unwrap();
        assert_eq!(fails(lazy.claim_one(&request(2))).await, text);
        assert_eq!(fails(lazy.claim(&[request(2)])).await, text);
        assert_eq!(fails(lazy.forget(&request(1).key)).await, text);
        server.command("CONFIG SET maxmemory-policy noeviction");
        assert_eq!(lazy.claim_one(&request(2)).await.unwrap(), won(1));
    }
}

/// Managed servers forbid `CONFIG`. The store asks `INFO` instead.
#[tokio::test]
async fn a_server_that_does_not_tell() {
    let logs = Logs::collect();
    let told = "redis does not report its maxmemory-policy";
    let server = RedisServer::start();
    server.command("ACL SETUSER app on >secret ~wv:* +@all -config");
    server.command("ACL SETUSER mute on >secret ~wv:* +@all -config -info");
    let connect = |user: &str| {
        let url = format!("redis://{user}:secret@127.0.0.1:{}/", server.port());
        RedisStore::connect(url).timeout(PATIENCE / 2)
    };

    let store = connect("app").await.unwrap();
    assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));
    assert!(!logs.text().contains(told));
    let store = connect("mute").await.unwrap();
    assert_eq!(store.claim_one(&request(2)).await.unwrap(), won(1));
    assert!(logs.text().contains(told));

    server.command("CONFIG SET maxmemory-policy allkeys-lfu");
    let error = fails(connect("app").into_future()).await;
    assert!(error.contains("allkeys-lfu"), "{error}");
}

/// C1: the server is down at the start.
#[tokio::test]
async fn a_server_that_comes_later() {
    let mut server = RedisServer::stopped(&[]);
    fails(RedisStore::connect(server.url()).into_future()).await;
    fails(RedisStore::connect(server.url()).allow_eviction().into_future()).await;
    let store = RedisStore::connect(server.url()).lazy().await.unwrap();
    for _ in 0..3 {
        fails(store.claim_one(&request(1))).await;
    }
    server.restart();
    comes_back(&store).await;
}

/// A frozen server accepts connections and does not respond.
#[tokio::test]
async fn a_server_that_is_frozen_at_the_start() {
    let server = RedisServer::start();
    server.pause();
    let connect = RedisStore::connect(server.url()).timeout(100 * MS);
    fails(connect.clone().into_future()).await;
    let store = connect.lazy().await.unwrap();
    fails(store.claim_one(&request(1))).await;
    server.resume();
    comes_back(&store).await;
}

/// The check at the start continues when its callers give up, and runs once for all of them.
#[tokio::test]
async fn a_check_whose_callers_give_up() {
    let server = RedisServer::start();
    let store = RedisStore::connect(server.url()).timeout(PATIENCE / 2).lazy().await.unwrap();
    server.pause();
    for number in 0..20 {
        let claim = request(number);
        assert!(timeout(10 * MS, store.claim_one(&claim)).await.is_err());
    }
    server.resume();
    // Four scripts of the store, and one that checks a permission.
    let is_checked = async {
        while !server.command("INFO memory").contains("number_of_cached_scripts:5") {
            sleep(MS).await;
        }
    };
    soon("end of the check", is_checked).await;
    assert_eq!(store.claim_one(&request(20)).await.unwrap(), won(1));
    let stats = server.command("INFO commandstats");
    assert!(stats.contains("cmdstat_config|get:calls=1,"), "{stats}");
}

/// A rejected login is an error. The store comes back once it is accepted.
#[tokio::test]
async fn a_password_that_is_wrong_for_a_while() {
    let server = RedisServer::start();
    server.command("ACL SETUSER app on >other ~* +@all");
    let url = format!("redis://app:sesame@127.0.0.1:{}/", server.port());
    let connect = RedisStore::connect(url).timeout(200 * MS);
    let error = fails(connect.clone().into_future()).await;
    assert!(!error.contains("sesame"), "{error}");
    let store = connect.lazy().await.unwrap();
    fails(store.claim_one(&request(1))).await;
    server.command("ACL SETUSER app >sesame");
    comes_back(&store).await;
}

/// A missing password is an error when the store connects, not at the first delivery.
#[tokio::test]
async fn a_password_that_is_missing() {
    let server = RedisServer::start_with(&["--requirepass", "sesame"]);
    let patient = RedisStore::connect(server.url()).timeout(PATIENCE / 2);
    let error = fails(patient.into_future()).await;
    assert!(error.contains("NOAUTH"), "{error}");
}

#[tokio::test]
async fn settings_that_cannot_work() {
    for url in
        ["", "redis", "http://localhost", "redis://", "redis://h:99999", "rediss://localhost"]
    {
        fails(RedisStore::connect(url).into_future()).await;
    }
    let connect = RedisStore::connect("redis://localhost").timeout(Duration::ZERO);
    assert_eq!(fails(connect.into_future()).await, "timeout: zero");
}

#[tokio::test]
async fn the_password_is_never_shown() {
    let server = RedisServer::start_with(&["--requirepass", "sesame"]);
    let url = format!("redis://:sesame@127.0.0.1:{}/", server.port());
    let connect = RedisStore::connect(url);
    assert_eq!(
        format!("{connect:?}"),
        r#"RedisConnect { prefix: "wv:", timeout: 1s, allow_eviction: false, lazy: false, .. }"#
    );
    let store = connect.timeout(PATIENCE / 2).await.unwrap();
    assert_eq!(format!("{store:?}"), r#"RedisStore { prefix: "wv:", .. }"#);
    for url in
        ["redis://:sesame@127.0.0.1:99999/", "redis://:sesame@127.0.0.1:1/x", "http://:sesame@h"]
    {
        let error = RedisStore::connect(url).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("sesame"), "{text}");
    }
}
