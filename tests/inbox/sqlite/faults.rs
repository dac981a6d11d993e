//! Files that are full, read-only, of an earlier version, or incomplete.

use integration_tests::{Calls as _, fresh};
use webhook_verify::{inbox::Inbox, scheme};

use super::*;
use crate::common::{receiver, single, take};

/// Another connection has the lock for longer than a claim may take, and than a call with a short
/// limit. Those fail, and what has more time waits for the end of the transaction.
#[tokio::test]
async fn a_file_that_is_locked_for_longer_than_a_claim_waits() {
    let folder = Folder::new();
    let store = folder.store().await;
    store.insert(&intake(vec![event(1)])).await.unwrap();
    let request = request(1);
    let leased = store.lease(&request).await.unwrap().events;
    let settlements = settlements(&request, &leased, &Verdict::Done);
    let inbox = Inbox::new(store.clone(), "inbox").consumers(["crm"]).store_timeout(MINUTE);
    let receiver = receiver(scheme::STANDARD_WEBHOOKS, &inbox);
    let delivery = single("a");
    let (claim, advance) = (fresh(MINUTE, HOUR), Advance::new("inbox", "crm", b"key", 1, 1));
    let mut other = folder.connection().await;
    execute(&mut other, "BEGIN IMMEDIATE").await;
    let failing = async {
        // The transaction ends only after these two.
        let (claimed, advanced) =
            tokio::join!(fails(store.claim_one(&claim)), fails(store.advance(&advance, 100 * MS)));
        assert!(claimed.contains("locked") && advanced.contains("locked"), "{claimed}");
        execute(&mut other, "ROLLBACK").await;
    };
    let (stored, settled, ()) =
        tokio::join!(take(&receiver, &delivery), store.settle(&settlements, MINUTE), failing);
    assert_eq!(stored.unwrap(), 204);
    assert_eq!(settled.unwrap(), [Settled::Applied]);
    assert!(store.advance(&advance, MINUTE).await.unwrap());
    assert_eq!(stats(&store).await.waiting, 1);
}

/// A list and a count neither wait for a transaction that writes nor delay one.
#[tokio::test]
async fn a_file_is_read_while_it_is_locked() {
    let folder = Folder::new();
    let store = folder.store().await;
    store.insert(&intake(vec![event(1)])).await.unwrap();
    let mut other = folder.connection().await;
    for locked in [1, 2] {
        execute(&mut other, "BEGIN IMMEDIATE").await;
        let reads = async {
            assert_eq!(store.list(&filter()).await.unwrap().len(), locked);
            assert_eq!(stats(&store).await.waiting, locked as u64);
            execute(&mut other, "ROLLBACK").await;
        };
        let next = intake(vec![event(1 + locked as u32)]);
        let (inserted, ()) =
            soon("insert", async { tokio::join!(store.insert(&next), reads) }).await;
        assert_eq!(inserted.unwrap(), [Inserted::New]);
    }
}

/// The file may not grow. Stored events are still processed, and there is room again once they are
/// purged.
#[tokio::test]
async fn a_disk_that_is_full() {
    let folder = Folder::new();
    drop(folder.store().await);
    let options =
        SqliteConnectOptions::new().filename(folder.file()).pragma("max_page_count", "60");
    let clock = HandClock::new();
    let store = SqliteStore::open(options).await.unwrap().clock(clock.clone());
    let mut stored = 0;
    let full = loop {
        match store.insert(&intake(vec![event(stored)])).await {
            Ok(inserted) => assert_eq!(inserted, [Inserted::New]),
            Err(error) => break fails(async { Err::<(), _>(error) }).await,
        }
        stored += 1;
    };
    assert!(full.contains("full"), "{full}");
    assert!(stored > 200, "{stored}");
    assert_eq!(store.list(&filter()).await.unwrap().len(), stored as usize);
    let duplicate = store.insert(&intake(vec![event(0)])).await.unwrap();
    assert_eq!(duplicate, [Inserted::Duplicate]);
    let mut filter = filter();
    filter.limit = 100;
    assert_eq!(store.change(&filter, Change::Discard).await.unwrap(), 100);
    clock.advance(2 * HOUR);
    assert_eq!(store.purge_inbox("inbox", &Retention::new(HOUR), 100).await.unwrap(), 100);
    let inserted = store.insert(&intake(vec![event(1_000_000)])).await.unwrap();
    assert_eq!(inserted, [Inserted::New]);
}

#[tokio::test]
async fn a_file_that_is_read_only() {
    let folder = Folder::new();
    let keeps_it_open = folder.store().await;
    let options = SqliteConnectOptions::new().filename(folder.file()).read_only(true);
    let refused = match SqliteStore::open(options).await {
        Ok(store) => fails(store.insert(&intake(vec![event(1)]))).await,
        Err(error) => fails(async { Err::<(), _>(error) }).await,
    };
    assert!(refused.contains("readonly"), "{refused}");
    let inserted = keeps_it_open.insert(&intake(vec![event(1)])).await.unwrap();
    assert_eq!(inserted, [Inserted::New]);
}

/// Tables are dropped while the store is in use, and created again.
#[tokio::test]
async fn tables_that_are_dropped() {
    let folder = Folder::new();
    let store = folder.store().await;
    for table in ["webhook_inbox", "webhook_inbox_entry"] {
        let drop = format!("DROP TABLE {table}");
        execute(&mut folder.connection().await, &drop).await;
        let expected = format!("table {table} does not exist: migrate creates it");
        assert_eq!(fails(store.insert(&intake(vec![event(1)]))).await, expected);
        assert_eq!(fails(store.lease(&request(1))).await, expected);
        assert_eq!(fails(store.stats("inbox")).await, expected);
        store.migrate().await.unwrap();
        assert_eq!(store.lease(&request(1)).await.unwrap().events.len(), 0);
    }
    assert_eq!(store.insert(&intake(vec![event(1)])).await.unwrap(), [Inserted::New]);
}

/// Entries whose events were dropped do not stand in the way of others, which get their numbers.
#[tokio::test]
async fn entries_without_their_events() {
    let folder = Folder::new();
    let store = folder.store().await;
    store.insert(&intake(vec![event(1), event(2)])).await.unwrap();
    execute(&mut folder.connection().await, "DROP TABLE webhook_inbox").await;
    store.migrate().await.unwrap();
    store.insert(&intake(vec![event(3)])).await.unwrap();
    store.migrate().await.unwrap();
    assert_eq!(keys(&store.lease(&request(1)).await.unwrap().events), [key(3)]);
}

/// A table of the same name with other columns is refused at the start.
#[tokio::test]
async fn a_table_with_other_columns() {
    let folder = Folder::new();
    let options = SqliteConnectOptions::new().filename(folder.file()).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    execute(&mut connection, "CREATE TABLE webhook_inbox_version (key TEXT)").await;
    let refused = fails(SqliteStore::connect(&folder.url())).await;
    assert!(refused.contains("column"), "{refused}");
}

/// A file with the claims of an earlier version gets the inbox's tables when it is opened.
#[tokio::test]
async fn a_file_of_an_earlier_version() {
    let folder = Folder::new();
    let earlier = folder.store().await;
    let mut connection = folder.connection().await;
    for table in ["webhook_inbox", "webhook_inbox_entry", "webhook_inbox_version"] {
        execute(&mut connection, &format!("DROP TABLE {table}")).await;
    }
    let store = folder.store().await;
    assert_eq!(store.insert(&intake(vec![event(1)])).await.unwrap(), [Inserted::New]);
    drop(earlier);
}
