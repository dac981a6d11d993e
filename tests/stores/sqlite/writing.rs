//! The thread that writes for all callers.

use std::pin::pin;

use futures_util::{
    future::{join, join_all},
    poll,
};
use webhook_verify::idempotency::{ClaimRequest, Settled};

use super::*;

/// Calls that arrive while the file is locked are committed together afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_committed_together() {
    const PAGE: u64 = 4096;
    let folder = Folder::new();
    let store = folder.store().await;
    let mut other = folder.connection().await;
    let mut claims = async |claims: &[ClaimRequest]| {
        let begin = "PRAGMA wal_checkpoint(TRUNCATE); BEGIN IMMEDIATE";
        execute(&mut other, begin).await;
        let mut calls = pin!(join_all(claims.iter().map(|claim| store.claim_one(claim))));
        // All of them wait from here on.
        assert!(poll!(&mut calls).is_pending());
        assert_eq!(folder.wal_len(), 0);
        execute(&mut other, "ROLLBACK").await;
        calls.await
    };
    let waiting = async {
        loop {
            let requests: Vec<_> = (0..64).map(request).collect();
            let outcomes = claims(&requests).await;
            // On a slow machine all of them may time out, and none is granted.
            if outcomes.iter().all(Result::is_ok) {
                return outcomes;
            }
            assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
        }
    };
    for outcome in soon("answer to all claims at once", waiting).await {
        assert_eq!(outcome.unwrap(), won(1));
    }
    // Each commit writes the changed pages, at least two: 64 commits of one claim each would write
    // 128.
    let frames = folder.wal_len() / (PAGE + 24);
    assert!((2..40).contains(&frames), "{frames} pages were written");

    // A duplicate writes no page.
    let before = folder.wal_len();
    for number in 0..64 {
        assert!(is_busy(store.claim_one(&request(number)).await.unwrap()));
    }
    assert_eq!(folder.wal_len(), before);
}

/// The keys of one call are committed together, too.
#[tokio::test]
async fn many_keys_are_committed_together() {
    const PAGE: u64 = 4096;
    let folder = Folder::new();
    let store = folder.store().await;
    let requests: Vec<_> = (0..64).map(request).collect();
    let holders: Vec<_> = requests.iter().map(ClaimRequest::holder).collect();
    let frames = || folder.wal_len() / (PAGE + 24);
    let before = frames();
    store.claim(&requests).await.unwrap();
    let claimed = frames();
    let extended = store.extend_all(&holders, HOUR).await.unwrap();
    let renewed = frames();
    let released = store.release_all(&holders).await.unwrap();
    let given_back = frames();
    let completed = store.complete_all(&holders, 200, HOUR).await.unwrap();
    let done = frames();
    let settled = [extended, released, completed].concat();
    assert_eq!(settled, [Settled::Applied; 192]);
    for written in [claimed - before, renewed - claimed, given_back - renewed, done - given_back] {
        assert!((1..40).contains(&written), "{written} pages were written");
    }
    // A second completion writes no page.
    let completed = store.complete_all(&holders, 201, HOUR).await.unwrap();
    assert_eq!(completed, [Settled::Applied; 64]);
    assert_eq!(frames(), done);
}

/// A call that fails does not affect the others, whether it ends their shared transaction or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fails_and_the_others_do_not() {
    for how in ["ABORT", "ROLLBACK", "FAIL"] {
        let folder = Folder::new();
        let store = folder.store().await;
        let mut other = folder.connection().await;
        let bad = request(31).key;
        let trigger = format!(
            "CREATE TRIGGER bad BEFORE INSERT ON webhook_claim WHEN new.key = x'{bad}' BEGIN SELECT RAISE({how}, 'bad key'); END"
        );
        execute(&mut other, trigger).await;
        let release = request(1000);
        assert_eq!(store.claim_one(&release).await.unwrap(), won(1));
        let (claims, holder) = ((0..64).map(request).collect::<Vec<_>>(), release.holder());
        let mut tries = async || {
            execute(&mut other, "BEGIN IMMEDIATE").await;
            let claims = join_all(claims.iter().map(|claim| store.claim_one(claim)));
            let mut calls = pin!(join(claims, store.release(&holder)));
            // All of them wait from here on.
            assert!(poll!(&mut calls).is_pending());
            execute(&mut other, "ROLLBACK").await;
            calls.await
        };
        let waiting = async {
            loop {
                // On a slow machine they may time out.
                let (claimed, released) = tries().await;
                if let Ok(released) = released {
                    return (claimed, released);
                }
            }
        };
        let (claimed, released) = soon("answer to all calls at once", waiting).await;
        for (number, result) in claimed.into_iter().enumerate() {
            match number {
                31 => {
                    let why = fails(async { result }).await;
                    assert!(why.contains("bad key"), "{how}: {why}");
                }
                _ => assert_eq!(result.unwrap(), won(1)),
            }
        }
        assert_eq!(released, Settled::Applied);
        execute(&mut other, "DROP TRIGGER bad").await;
        assert_eq!(store.claim_one(&request(31)).await.unwrap(), won(1));
    }
}

/// If the callers have given up before their turn, no lease is left behind.
#[tokio::test]
async fn claims_that_nobody_waits_for_are_not_made() {
    let folder = Folder::new();
    let store = folder.store().await;
    let mut other = folder.connection().await;
    execute(&mut other, "BEGIN IMMEDIATE").await;
    let claims: Vec<_> = (0..3000).map(request).collect();
    {
        // These are more calls than the queue takes. All of them are given up.
        let mut calls = pin!(join_all(claims.iter().map(|claim| store.claim_one(claim))));
        assert!(poll!(&mut calls).is_pending());
    }
    execute(&mut other, "ROLLBACK").await;
    let others: Vec<_> = claims.iter().map(again).collect();
    let outcomes = store.claim(&others).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == won(1)));
}

/// The thread ends with the last clone, and closes the file. The background purge does not keep it
/// open.
#[tokio::test]
async fn the_file_is_closed_with_the_store() {
    let folder = Folder::new();
    let store = folder.store().await;
    let clone = store.clone().table("other").unwrap();
    store.purge_every(1000 * MS);
    let claim = request(1);
    assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
    drop(store);
    clone.migrate().await.unwrap();
    assert!(folder.wal_len() > 0);
    // A dropped call that settles a claim is executed before that.
    let store = folder.store().await;
    let holder = claim.holder();
    let mut release = Box::pin(store.release(&holder));
    let _ = futures_util::poll!(&mut release);
    drop(release);
    drop((store, clone));
    let closed = async {
        while folder.path().join("claims.db-wal").exists() {
            sleep(20 * MS).await;
        }
    };
    soon("closed file", closed).await;
    let store = folder.store().await;
    assert_eq!(store.claim_one(&again(&claim)).await.unwrap(), won(2));
}

/// A store that was created on one runtime works on another, also after the first has ended.
#[test]
fn runtimes_come_and_go() {
    let folder = Folder::new();
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let store = runtime().block_on(folder.store());
    for number in 0..3 {
        let outcome = runtime().block_on(store.claim_one(&request(number)));
        assert_eq!(outcome.unwrap(), won(1));
    }
}

/// A completion soon after the claim writes only the page of the record, and not that of the index.
/// If the claim was long ago, the record lives for a whole `ttl` after the completion.
#[tokio::test]
async fn completions_change_no_index() {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
    const FRAME: u64 = 4096 + 24;
    let folder = Folder::new();
    let clock = at_zero();
    let store = folder.store().await.clock(clock.clone());
    let complete = async |number: u32, after: Duration| {
        let mut claim = request(number);
        claim.ttl = WEEK;
        assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
        clock.advance(after);
        let before = folder.wal_len();
        let completed = store.complete(&claim.holder(), 200, WEEK).await.unwrap();
        assert_eq!(completed, Settled::Applied);
        (claim, (folder.wal_len() - before) / FRAME)
    };
    let soon = HOUR - Duration::from_secs(60);
    assert_eq!(complete(1, soon).await.1, 1);
    let (late, pages) = complete(2, 2 * HOUR).await;
    assert_eq!(pages, 2);
    clock.advance(WEEK - MS);
    assert!(is_completed(store.claim_one(&again(&late)).await.unwrap()));
    clock.advance(MS);
    assert_eq!(store.claim_one(&again(&late)).await.unwrap(), won(2));
}
