//! Files that are locked, full, read-only, broken or gone.

use sqlx::Connection as _;
use webhook_verify::idempotency::Settled;

use super::*;

/// C7: another process locks the file for longer than a claim may take.
#[tokio::test]
async fn a_file_that_is_locked() {
    let folder = Folder::new();
    let store = folder.store().await;
    let mut other = folder.connection().await;
    for lock in ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"] {
        execute(&mut other, lock).await;
        for _ in 0..2 {
            let (one, two) = (request(1), request(2));
            let (one, two) =
                tokio::join!(fails(store.claim_one(&one)), fails(store.claim_one(&two)));
            assert!(one.contains("locked") && two.contains("locked"), "{one}");
        }
        execute(&mut other, "ROLLBACK").await;
        comes_back(&store).await;
    }
}

/// C7: the file may not grow. Existing records stay available, and claims succeed once there is
/// room.
#[tokio::test]
async fn a_disk_that_is_full() {
    let folder = Folder::new();
    drop(folder.store().await);
    let options =
        SqliteConnectOptions::new().filename(folder.file()).pragma("max_page_count", "25");
    let store = SqliteStore::open(options).await.unwrap();
    let mut granted = Vec::new();
    let full = loop {
        let claim = request(granted.len() as u32);
        match store.claim_one(&claim).await {
            Ok(outcome) => assert_eq!(outcome, won(1)),
            Err(error) => break fails(async { Err::<(), _>(error) }).await,
        }
        granted.push(claim);
    };
    assert!(full.contains("full"), "{full}");
    assert!(granted.len() > 20, "{}", granted.len());
    for round in 0..3 {
        let calls: Vec<_> = (0..100).map(|number| request(10_000 + round * 100 + number)).collect();
        let calls = calls.iter().map(|claim| store.claim_one(claim));
        let outcomes = futures_util::future::join_all(calls).await;
        assert!(outcomes.iter().any(Result::is_err));
    }
    let holder = granted[0].holder();
    assert_eq!(store.complete(&holder, 200, HOUR).await.unwrap(), Settled::Applied);
    folder.age(2 * HOUR).await;
    assert!(store.purge(usize::MAX).await.unwrap() >= granted.len());
    comes_back(&store).await;
}

/// A file that cannot be written is an error at the start or at the claim.
#[tokio::test]
async fn a_file_that_is_read_only() {
    let folder = Folder::new();
    let keeps_it_open = folder.store().await;
    assert_eq!(keeps_it_open.claim_one(&request(1)).await.unwrap(), won(1));
    let options = SqliteConnectOptions::new().filename(folder.file()).read_only(true);
    let refused = match SqliteStore::open(options).await {
        Ok(store) => fails(store.claim_one(&request(2))).await,
        Err(error) => fails(async { Err::<(), _>(error) }).await,
    };
    assert!(refused.contains("readonly"), "{refused}");
    assert_eq!(keeps_it_open.claim_one(&request(2)).await.unwrap(), won(1));
}

#[tokio::test]
async fn what_cannot_be_opened() {
    let folder = Folder::new();
    fs::write(folder.file(), [b'x'; 8192]).unwrap();
    let garbage = fails(SqliteStore::connect(&folder.url())).await;
    assert!(garbage.contains("not a database"), "{garbage}");
    let nowhere = format!("sqlite://{}/none/claims.db", folder.path().display());
    fails(SqliteStore::connect(&nowhere)).await;
    fails(SqliteStore::connect("postgres://localhost/x")).await;
    let missing = SqliteConnectOptions::new().filename(folder.path().join("none.db"));
    fails(SqliteStore::open(missing)).await;
}

/// C7: if the file is overwritten while in use, calls fail or are served from the cache, and never
/// panic. Once the file is restored, the store works again.
#[tokio::test]
async fn a_file_that_is_corrupt() {
    let folder = Folder::new();
    let store = folder.store().await;
    let known: Vec<_> = (0..500).map(request).collect();
    store.claim(&known).await.unwrap();
    let mut other = folder.connection().await;
    execute(&mut other, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    other.close().await.unwrap();
    let good = fs::read(folder.file()).unwrap();
    fs::write(folder.file(), vec![0xa5; good.len()]).unwrap();
    let mut failed = 0;
    for number in 0..100 {
        failed += usize::from(store.claim_one(&request(10_000 + number)).await.is_err());
        let _ = store.purge(10).await;
    }
    assert!(failed > 0);
    for of_wal in ["claims.db-wal", "claims.db-shm"] {
        let _ = fs::remove_file(folder.path().join(of_wal));
    }
    fs::write(folder.file(), good).unwrap();
    comes_back(&store).await;
    assert!(is_busy(store.claim_one(&again(&known[7])).await.unwrap()));
}

/// The table is dropped and created again while the store is in use.
#[tokio::test]
async fn a_table_that_is_dropped() {
    let folder = Folder::new();
    let store = folder.store().await;
    assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));
    execute(&mut folder.connection().await, "DROP TABLE webhook_claim").await;
    for _ in 0..3 {
        let missing = fails(store.claim_one(&request(1))).await;
        assert!(missing.contains("webhook_claim") && missing.contains("migrate"), "{missing}");
    }
    fails(store.complete(&request(1).holder(), 200, HOUR)).await;
    fails(store.purge(10)).await;
    store.migrate().await.unwrap();
    assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));
}

/// C7: the write-ahead log or the database file is removed while the store is open. The store does
/// not notice, and continues to use files that no other process can open any more.
#[tokio::test]
async fn files_that_are_removed() {
    for removed in ["claims.db-wal", "claims.db"] {
        let folder = Folder::new();
        let store = folder.store().await;
        let [early, lost, late] = [1, 2, 3].map(request);
        assert_eq!(store.claim_one(&early).await.unwrap(), won(1));
        let mut other = folder.connection().await;
        execute(&mut other, "PRAGMA wal_checkpoint(TRUNCATE)").await;
        other.close().await.unwrap();
        assert_eq!(store.claim_one(&lost).await.unwrap(), won(1));
        fs::remove_file(folder.path().join(removed)).unwrap();

        assert_eq!(store.claim_one(&late).await.unwrap(), won(1));
        for known in [&early, &lost, &late] {
            let completed = store.complete(&known.holder(), 200, HOUR).await.unwrap();
            assert_eq!(completed, Settled::Applied);
            assert!(is_completed(store.claim_one(&again(known)).await.unwrap()));
        }

        // The state after this process is killed: the file without its log, or no file.
        let left = Folder::new();
        if removed == "claims.db-wal" {
            fs::copy(folder.file(), left.file()).unwrap();
        }
        let next = left.store().await;
        assert_eq!(
            is_busy(next.claim_one(&again(&early)).await.unwrap()),
            removed == "claims.db-wal"
        );
        for known in [&lost, &late] {
            assert_eq!(next.claim_one(&again(known)).await.unwrap(), won(1));
        }

        // A process that opens the file meanwhile does not see the records, or gets errors.
        let other = folder.store().await;
        for known in [&lost, &late] {
            assert!(!other.claim_one(&again(known)).await.is_ok_and(is_completed), "{removed}");
        }
    }
}
