//! Servers that lose their scripts, end, freeze, fill up and change their role.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU16, Ordering::SeqCst},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use super::*;

/// C5: the store sends its scripts again if the server has lost them.
#[tokio::test]
async fn scripts_are_flushed_between_calls() {
    let server = RedisServer::start();
    let store = connect(&server).await;
    let flush = || server.command("SCRIPT FLUSH");
    let a = request(1);
    flush();
    assert_eq!(store.claim_one(&a).await.unwrap(), won(1));
    flush();
    assert_eq!(store.extend(&a.holder(), HOUR).await.unwrap(), Settled::Applied);
    flush();
    assert_eq!(store.release(&a.holder()).await.unwrap(), Settled::Applied);
    flush();
    let b = again(&a);
    assert_eq!(store.claim_one(&b).await.unwrap(), won(2));
    flush();
    let completed = store.complete(&b.holder(), 200, HOUR).await.unwrap();
    assert_eq!(completed, Settled::Applied);
    flush();
    let requests = [request(2), again(&a), request(3)];
    let outcomes = store.claim(&requests).await.unwrap();
    assert_eq!((outcomes[0], outcomes[2]), (won(1), won(1)));
    assert!(is_completed(outcomes[1]));
    let holders = [requests[0].holder(), requests[2].holder()];
    flush();
    let extended = store.extend_all(&holders, HOUR).await.unwrap();
    flush();
    let released = store.release_all(&holders).await.unwrap();
    flush();
    let completed = store.complete_all(&holders, 200, HOUR).await.unwrap();
    let settled = [extended, released, completed].concat();
    assert_eq!(settled, [Settled::Applied; 6]);
}

/// Scripts are flushed all the time during claims: no call fails because of it, and no claim is
/// granted twice.
#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_flushed_all_the_time() {
    let server = RedisServer::start();
    let store = connect(&server).await;
    let claims = tokio::spawn(async move {
        for round in 0..50 {
            let requests: Vec<_> = (0..20).map(|number| request(round * 20 + number)).collect();
            let outcomes = store.claim(&requests).await;
            // A call fails if the scripts are flushed twice during it. The receiver claims again.
            let outcomes = match outcomes {
                Ok(outcomes) => outcomes,
                Err(_) => answered(|| store.claim(&requests)).await,
            };
            assert!(outcomes.iter().all(|outcome| *outcome == won(1)));
        }
    });
    while !claims.is_finished() {
        server.command("SCRIPT FLUSH");
        sleep(MS).await;
    }
    claims.await.unwrap();
}

/// C1: while the server is down, calls fail in time. After a restart, it has all records.
#[tokio::test]
async fn a_server_that_is_killed_and_started_again() {
    let mut server = RedisServer::start();
    let store = connect(&server).await;
    let (held, done) = (request(1), request(2));
    assert_eq!(store.claim_one(&held).await.unwrap(), won(1));
    assert_eq!(store.claim_one(&done).await.unwrap(), won(1));
    let completed = store.complete(&done.holder(), 200, HOUR).await.unwrap();
    assert_eq!(completed, Settled::Applied);

    // The server restarts between two calls, so no call notices.
    server.restart();
    assert!(is_busy(store.claim_one(&again(&held)).await.unwrap()));

    server.stop();
    for number in 0..5 {
        fails(store.claim_one(&request(100 + number))).await;
        fails(store.extend(&held.holder(), HOUR)).await;
        fails(store.forget(&held.key)).await;
        fails(store.claim(&[request(200)])).await;
    }
    server.restart();
    comes_back(&store).await;
    assert!(is_busy(store.claim_one(&again(&held)).await.unwrap()));
    assert!(is_completed(store.claim_one(&again(&done)).await.unwrap()));
    let extended = store.extend(&held.holder(), HOUR).await.unwrap();
    assert_eq!(extended, Settled::Applied);
}

/// The server is killed several times during calls: what was acknowledged is still there.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    let mut server = RedisServer::start();
    let store = connect(&server).await;
    let granted = Arc::new(Mutex::new(Vec::new()));
    let claims = tokio::spawn({
        let (store, granted) = (store.clone(), Arc::clone(&granted));
        async move {
            for number in 0..60_000 {
                let claim = request(number);
                if store.claim_one(&claim).await.is_ok() {
                    granted.lock().unwrap().push(claim);
                }
                sleep(2 * MS).await;
            }
        }
    });
    for kill in 1..=4 {
        let enough = async {
            while granted.lock().unwrap().len() < 40 * kill {
                sleep(MS).await;
            }
        };
        soon("40 grants more", enough).await;
        server.restart();
    }
    claims.abort();
    let _ = claims.await;
    comes_back(&store).await;
    let granted = std::mem::take(&mut *granted.lock().unwrap());
    for claim in granted {
        assert!(is_busy(store.claim_one(&again(&claim)).await.unwrap()));
        assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
    }
}

/// C2: calls to a frozen server fail within the time limit. The store works again when the server
/// does.
#[tokio::test]
async fn a_server_that_is_frozen() {
    let server = RedisServer::start();
    let connect = RedisStore::connect(server.url()).timeout(200 * MS);
    let store = answered(|| connect.clone().into_future()).await;
    let held = request(1);
    assert_eq!(answered(|| store.claim_one(&held)).await, won(1));
    server.pause();
    let error = fails(store.claim_one(&request(2))).await;
    assert_eq!(error, format!("redis at 127.0.0.1:{}: no answer within 200 ms", server.port()));
    fails(store.complete(&held.holder(), 200, HOUR)).await;
    server.resume();
    comes_back(&store).await;
    // The server may have executed the calls of that time.
    let holder = held.holder();
    let settled = answered(|| store.complete(&holder, 200, HOUR)).await;
    assert_eq!(settled, Settled::Applied);
    let duplicate = again(&held);
    assert!(is_completed(answered(|| store.claim_one(&duplicate)).await));
}

/// Callers that give up do not harm the store.
#[tokio::test]
async fn callers_that_give_up() {
    let server = RedisServer::start();
    let store = connect(&server).await;
    server.pause();
    for number in 0..300 {
        let claim = request(number);
        let given_up = timeout(MS, store.claim_one(&claim)).await;
        assert!(given_up.is_err());
    }
    server.resume();
    comes_back(&store).await;
    // A connection keeps the order of calls: the release after a late claim undoes the claim.
    server.pause();
    let claim = request(1000);
    assert!(timeout(10 * MS, store.claim_one(&claim)).await.is_err());
    assert!(timeout(10 * MS, store.release(&claim.holder())).await.is_err());
    server.resume();
    let outcome = store.claim_one(&again(&claim)).await.unwrap();
    assert!(matches!(outcome, ClaimOutcome::Won { .. }), "{outcome:?}");
}

/// Returns an address that leads to the current target. Existing connections stay where they are.
async fn moving_address(target: &Arc<AtomicU16>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    let target = Arc::clone(target);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let port = target.load(SeqCst);
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await {
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    url
}

/// A machine is gone, and its connections do not end: the store gives them up and reconnects.
#[tokio::test]
async fn a_connection_that_stays_silent_is_given_up() {
    let (gone, next) = (RedisServer::start(), RedisServer::start());
    let target = Arc::new(AtomicU16::new(gone.port()));
    let url = moving_address(&target).await;
    let connect = RedisStore::connect(url).timeout(100 * MS);
    let store = answered(|| connect.clone().into_future()).await;
    let claim = request(1);
    assert_eq!(answered(|| store.claim_one(&claim)).await, won(1));
    gone.pause();
    target.store(next.port(), SeqCst);
    comes_back(&store).await;
    assert!(!next.command("DBSIZE").starts_with(":0"));
}

/// A primary that becomes a replica keeps its connections, and responds with READONLY.
#[tokio::test]
async fn a_primary_that_becomes_a_replica() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let target = Arc::new(AtomicU16::new(old.port()));
    let url = moving_address(&target).await;
    let connect = RedisStore::connect(url).timeout(300 * MS);
    let store = answered(|| connect.clone().into_future()).await;
    let done = request(1);
    assert_eq!(answered(|| store.claim_one(&done)).await, won(1));

    old.command(&format!("REPLICAOF 127.0.0.1 {}", new.port()));
    for number in 2..6 {
        let refused = async {
            loop {
                let error = fails(store.claim_one(&request(number))).await;
                if error.contains("READONLY") || error.contains("read only") {
                    return;
                }
                // The machine is busy.
                assert!(error.ends_with("no answer within 300 ms"), "{error}");
            }
        };
        soon("refusal by a replica", refused).await;
    }
    fails(store.claim(&[request(7), request(8)])).await;
    target.store(new.port(), SeqCst);
    comes_back(&store).await;
    assert!(!new.command("DBSIZE").starts_with(":0"));

    // The old server becomes the primary again.
    target.store(old.port(), SeqCst);
    old.command("REPLICAOF NO ONE");
    comes_back(&store).await;
}

/// C5: a full server that does not evict rejects claims and completions, and keeps its records.
#[tokio::test]
async fn a_full_server() {
    let server = RedisServer::start();
    let store = connect(&server).await;
    let (held, done) = (request(1), request(2));
    assert_eq!(store.claim_one(&held).await.unwrap(), won(1));
    assert_eq!(store.claim_one(&done).await.unwrap(), won(1));
    let completed = store.complete(&done.holder(), 200, HOUR).await.unwrap();
    assert_eq!(completed, Settled::Applied);

    server.command("CONFIG SET maxmemory 1");
    let error = fails(store.claim_one(&request(3))).await;
    assert!(error.contains("OOM") || error.contains("maxmemory"), "{error}");
    fails(store.complete(&held.holder(), 200, HOUR)).await;
    // Calls that need no memory succeed.
    assert!(is_completed(store.claim_one(&again(&done)).await.unwrap()));
    assert!(is_busy(store.claim_one(&again(&held)).await.unwrap()));

    server.command("CONFIG SET maxmemory 0");
    assert_eq!(store.claim_one(&request(3)).await.unwrap(), won(1));
    let completed = store.complete(&held.holder(), 200, HOUR).await.unwrap();
    assert_eq!(completed, Settled::Applied);
}
