//! Inboxes in a file, used by one process and by several.

mod faults;
mod processes;

use std::{
    collections::HashSet,
    error::Error as _,
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use integration_tests::{HandClock, PATIENCE, soon};
use sqlx::{AssertSqlSafe, ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};
use webhook_verify::{
    SqliteStore,
    idempotency::{ClaimKey, Owner, Settled, StoreError},
    inbox::{
        Advance, Change, EntryHolder, EntryState, Filter, InboxStore, Inserted, Intake,
        LeaseRequest, LeasedEvent, NewEvent, Order, Retention, Settlement, Stats, StoredEvent,
        Verdict,
    },
    testing::conformance::inbox::Suite,
};

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A folder for a database.
struct Folder(integration_tests::Folder);

impl Folder {
    fn new() -> Self {
        Self(integration_tests::Folder::new("inbox"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("inbox.db")
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.file().display())
    }

    async fn store(&self) -> SqliteStore {
        SqliteStore::connect(&self.url()).await.unwrap()
    }

    /// Returns another connection to the file.
    async fn connection(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.file()).busy_timeout(PATIENCE);
        options.connect().await.unwrap()
    }
}

async fn execute(connection: &mut SqliteConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

async fn count(connection: &mut SqliteConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(connection).await.unwrap()
}

fn key(number: u32) -> ClaimKey {
    let mut key = [7; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    ClaimKey::from(key)
}

fn event(number: u32) -> NewEvent {
    NewEvent::new(StoredEvent::new(key(number), "mautic", format!("{number}")), HOUR)
}

fn ordered(number: u32, order_key: &[u8]) -> NewEvent {
    let mut event = event(number);
    event.order_key = Some(order_key.to_vec());
    event
}

fn intake(events: Vec<NewEvent>) -> Intake {
    Intake::new("inbox", &["crm"], events)
}

/// Returns a filter that selects all entries.
fn filter() -> Filter {
    Filter::new("inbox", usize::MAX)
}

fn request(max: usize) -> LeaseRequest {
    LeaseRequest::new("inbox", "crm", Owner::random().unwrap(), max, MINUTE)
}

fn keys(leased: &[LeasedEvent]) -> Vec<ClaimKey> {
    leased.iter().map(|leased| leased.event.key).collect()
}

/// Returns the cause of a call's failure.
async fn fails<T: fmt::Debug>(call: impl Future<Output = Result<T, StoreError>>) -> String {
    let error = soon("error of a store", call).await.unwrap_err();
    error.source().unwrap().to_string()
}

/// Returns the same settlement of each entry that the request leased.
fn settlements(
    request: &LeaseRequest,
    leased: &[LeasedEvent],
    verdict: &Verdict,
) -> Vec<Settlement> {
    let holder =
        |leased: &LeasedEvent| EntryHolder::new(leased.number, &request.consumer, request.owner);
    leased.iter().map(|leased| holder(leased).settlement(verdict.clone())).collect()
}

/// Leases all due entries and settles them.
async fn settle_all(store: &SqliteStore, verdict: &Verdict) -> usize {
    let request = request(usize::MAX);
    let leased = store.lease(&request).await.unwrap().events;
    let settlements = settlements(&request, &leased, verdict);
    let settled = store.settle(&settlements, MINUTE).await.unwrap();
    assert!(settled.iter().all(|settled| *settled == Settled::Applied));
    settled.len()
}

fn dead() -> Verdict {
    Verdict::Dead { error: "it failed".to_owned() }
}

async fn stats(store: &SqliteStore) -> Stats {
    let mut stats = store.stats("inbox").await.unwrap();
    stats.pop().unwrap_or_else(|| Stats::new("crm"))
}

#[tokio::test]
async fn conformance() {
    let folder = Folder::new();
    let clock = HandClock::new();
    let store = folder.store().await.clock(clock.clone());
    Suite::new(&store).run(async |time| clock.advance(time)).await.unwrap();
}

#[tokio::test]
async fn conformance_from_time_zero() {
    let clock = HandClock::new();
    clock.set_back(webhook_verify::clock::Clock::now(&clock));
    let store = SqliteStore::connect("sqlite::memory:").await.unwrap().clock(clock.clone());
    store.migrate().await.unwrap();
    Suite::new(&store).run(async |time| clock.advance(time)).await.unwrap();
}

/// Another table for the claims has other tables for the inbox.
/// A panic in the writer's thread fails one call, and has no effect.
#[tokio::test]
async fn a_call_that_panics_fails_no_other() {
    let folder = Folder::new();
    let is_broken = Arc::new(AtomicBool::new(true));
    let store = folder.store().await;
    let in_clock = is_broken.clone();
    let broken = store.clone().clock(move || {
        assert!(!in_clock.load(SeqCst), "on purpose");
        HOUR
    });
    let (one, other) = (intake(vec![event(1)]), intake(vec![event(2)]));
    let (failed, stored) = tokio::join!(broken.insert(&one), store.insert(&other));
    assert_eq!(failed.unwrap_err().source().unwrap().to_string(), "the call panicked");
    assert_eq!(stored.unwrap(), [Inserted::New]);
    is_broken.store(false, SeqCst);
    assert_eq!(broken.insert(&one).await.unwrap(), [Inserted::New]);
    assert_eq!(store.list(&filter()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_row_whose_attempts_were_edited() {
    let folder = Folder::new();
    let store = folder.store().await;
    store.insert(&intake(vec![event(1)])).await.unwrap();
    let expired = "UPDATE webhook_inbox_entry SET state = 1, due_at = 0, retried_at_attempt = 9";
    execute(&mut folder.connection().await, expired).await;
    let leased = store.lease(&request(1)).await.unwrap().events;
    assert_eq!((leased[0].attempt, leased[0].retried_at_attempt), (1, 9));
}

#[tokio::test]
async fn tables_of_another_name() {
    let folder = Folder::new();
    let store = folder.store().await;
    let other = SqliteStore::connect_with_table(&folder.url(), "select").await.unwrap();
    for store in [&store, &other] {
        let inserted = store.insert(&intake(vec![event(1)])).await.unwrap();
        assert_eq!(inserted, [Inserted::New]);
    }
    let mut connection = folder.connection().await;
    for table in ["webhook_inbox", "select_inbox", "webhook_inbox_entry", "select_inbox_entry"] {
        assert_eq!(count(&mut connection, &format!("SELECT count(*) FROM {table}")).await, 1);
    }
}

/// Numbers are not reused, so that a former owner's step never meets another event.
#[tokio::test]
async fn numbers_are_not_reused() {
    let folder = Folder::new();
    let clock = HandClock::new();
    let store = folder.store().await.clock(clock.clone());
    let number = async || {
        store.insert(&intake(vec![event(1)])).await.unwrap();
        store.list(&filter()).await.unwrap()[0].number
    };
    let first = number().await;
    assert_eq!(settle_all(&store, &Verdict::Done).await, 1);
    clock.advance(2 * HOUR);
    // The body and the event.
    assert_eq!(store.purge_inbox("inbox", &Retention::new(HOUR), 10).await.unwrap(), 2);
    assert!(number().await > first);
}

/// The largest body that a receiver accepts, with every byte, and NUL in every text.
#[tokio::test]
async fn large_bodies_and_nul() {
    let folder = Folder::new();
    let store = folder.store().await;
    let body: Vec<u8> = (0..25 << 20).map(|index: u32| (index ^ (index >> 8)) as u8).collect();
    let nul = |name: &str| Some(format!("{name}\0z"));
    let mut event = event(1);
    event.event.body = body.clone().into();
    event.event.scheme = "s\0z".to_owned();
    event.event.namespace = nul("n");
    event.event.event_type = nul("t");
    event.event.id = nul("i");
    event.event.data_pointer = nul("/d");
    event.event.headers = vec![("x".to_owned(), "a\0z\u{7f}\"é".to_owned())];
    let intake = Intake::new("in\0z", &["c\0z"], vec![event]);
    assert_eq!(store.insert(&intake).await.unwrap(), [Inserted::New]);

    let mut filter = Filter::new("in\0z", 10);
    filter.namespace = nul("n");
    filter.event_type = nul("t");
    filter.consumer = nul("c");
    assert_eq!(store.list(&filter).await.unwrap().len(), 1);
    filter.namespace = Some("n".to_owned());
    assert_eq!(store.list(&filter).await.unwrap().len(), 0);

    let request = LeaseRequest::new("in\0z", "c\0z", Owner::random().unwrap(), 1, MINUTE);
    let leased = store.lease(&request).await.unwrap().events.remove(0);
    assert!(leased.event.body == body);
    assert_eq!(leased.event.event_type.as_deref(), Some("t\u{fffd}z"));
    assert_eq!(leased.event.id.as_deref(), Some("i\u{fffd}z"));
    assert_eq!(leased.event.headers, [("x".to_owned(), "a\0z\u{7f}\"é".to_owned())]);
    let verdict = Verdict::Dead { error: "e\0z".to_owned() };
    let settlements = settlements(&request, &[leased], &verdict);
    assert_eq!(store.settle(&settlements, MINUTE).await.unwrap(), [Settled::Applied]);
    let entries = store.list(&Filter::new("in\0z", 10)).await.unwrap();
    assert_eq!(entries[0].error.as_deref(), Some("e\u{fffd}z"));
}

/// Order keys and the keys of entities may be addresses of people. The file has only their digests.
#[tokio::test]
async fn keys_of_entities_are_not_stored() {
    let folder = Folder::new();
    let store = folder.store().await;
    let (order_key, entity) = (b"ordered@example.com", b"entity@example.com");
    store.insert(&intake(vec![ordered(1, order_key)])).await.unwrap();
    let advance = Advance::new("inbox", "crm", entity, 2, 1);
    assert!(store.advance(&advance, MINUTE).await.unwrap());
    let files = ["inbox.db", "inbox.db-wal"].map(|file| folder.0.path().join(file));
    let stored = files.map(|file| std::fs::read(file).unwrap()).concat();
    let has = |text: &[u8]| stored.windows(text.len()).any(|part| part == text);
    assert!(has(b"crm") && !has(order_key) && !has(entity));
}

/// Events of one call are stored together or not at all.
#[tokio::test]
async fn an_intake_is_one_transaction() {
    let folder = Folder::new();
    let store = folder.store().await;
    let trigger = "CREATE TRIGGER refuse BEFORE INSERT ON webhook_inbox
      WHEN new.event_type = 'refused' BEGIN SELECT raise(ABORT, 'refused'); END";
    execute(&mut folder.connection().await, trigger).await;
    let mut refused = event(2);
    refused.event.event_type = Some("refused".to_owned());
    let (one, two) = (intake(vec![event(1), refused]), intake(vec![event(3)]));
    let (one, two) = tokio::join!(fails(store.insert(&one)), store.insert(&two));
    assert!(one.contains("refused"), "{one}");
    assert_eq!(two.unwrap(), [Inserted::New]);
    let entries = store.list(&filter()).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.event.key).collect::<Vec<_>>(), [key(3)]);
}

/// A worker that gives up its request while the file is locked leaves no lease behind.
#[tokio::test]
async fn a_lease_that_is_given_up() {
    let folder = Folder::new();
    let store = folder.store().await;
    store.insert(&intake(vec![event(1)])).await.unwrap();
    let mut other = folder.connection().await;
    execute(&mut other, "BEGIN IMMEDIATE").await;
    let request = request(1);
    let given_up = tokio::time::timeout(20 * MS, store.lease(&request)).await;
    assert!(given_up.is_err());
    execute(&mut other, "ROLLBACK").await;
    let again = soon("lease", async {
        loop {
            if let Ok(leased) = store.lease(&self::request(1)).await {
                break leased.events;
            }
        }
    });
    assert_eq!(again.await[0].attempt, 1);
}

/// The next event of each order key is leased, of many keys at once.
#[tokio::test]
async fn order_of_many_keys() {
    let folder = Folder::new();
    let store = folder.store().await;
    let events = (0..300).map(|number| ordered(number, &[(number % 100) as u8])).collect();
    store.insert(&intake(events)).await.unwrap();
    for round in 0..3 {
        let mut request = request(1000);
        request.order = Order::DeadIsSkipped;
        let leased = store.lease(&request).await.unwrap().events;
        let expected: Vec<_> = (0..100).map(|number| key(round * 100 + number)).collect();
        assert_eq!(keys(&leased), expected);
        assert!(store.lease(&request_in_order(1000)).await.unwrap().events.is_empty());
        let verdict = if round == 0 { dead() } else { Verdict::Done };
        let settlements = settlements(&request, &leased, &verdict);
        let _ = store.settle(&settlements, MINUTE).await.unwrap();
    }
}

/// Thousands of events wait for dead ones. Events of other keys are leased at once. The waiting events
/// follow in order once an operator has retried or discarded the dead ones.
#[tokio::test]
async fn waiting_for_dead_events_delays_no_other_key() {
    let folder = Folder::new();
    let store = folder.store().await;
    let lease = async || {
        let request = request_in_order(10);
        let leased = store.lease(&request).await.unwrap().events;
        (keys(&leased), request, leased)
    };
    let settle = async |request: &LeaseRequest, leased: &[LeasedEvent], verdict: Verdict| {
        let _ = store.settle(&settlements(request, leased, &verdict), MINUTE).await.unwrap();
    };
    store
        .insert(&intake((0..2500).map(|number| ordered(number, b"stuck")).collect()))
        .await
        .unwrap();
    let (leased, request, events) = lease().await;
    assert_eq!(leased, [key(0)]);
    settle(&request, &events, dead()).await;
    store.insert(&intake(vec![ordered(2500, b"other")])).await.unwrap();
    assert_eq!(lease().await.0, [key(2500)]);
    assert!(lease().await.0.is_empty());
    // The other order does not wait for the dead one.
    let mut skipping = request_in_order(10);
    skipping.order = Order::DeadIsSkipped;
    let skipped = store.lease(&skipping).await.unwrap().events;
    assert_eq!(keys(&skipped), [key(1)]);

    let dead_entries = filter().state(EntryState::Dead);
    assert_eq!(store.change(&dead_entries, Change::Retry).await.unwrap(), 1);
    // It was skipped, so a later one runs.
    assert!(lease().await.0.is_empty());
    settle(&skipping, &skipped, Verdict::Done).await;
    let (leased, request, events) = lease().await;
    assert_eq!(leased, [key(0)]);
    settle(&request, &events, dead()).await;
    assert!(lease().await.0.is_empty());
    assert_eq!(store.change(&dead_entries, Change::Discard).await.unwrap(), 1);
    for number in 2..20 {
        let (leased, request, events) = lease().await;
        assert_eq!(leased, [key(number)]);
        settle(&request, &events, Verdict::Done).await;
    }
    let next = filter().key(key(20));
    assert_eq!(store.change(&next, Change::Discard).await.unwrap(), 1);
    assert_eq!(lease().await.0, [key(21)]);
}

/// A trigger deletes the entries of an event that is deleted by hand. So they delay no other event and
/// are not counted.
#[tokio::test]
async fn events_that_are_deleted_by_hand() {
    let folder = Folder::new();
    let store = folder.store().await;
    let events = (0..200).map(|number| ordered(number, b"key"));
    store.insert(&intake(events.chain((200..300).map(event)).collect())).await.unwrap();
    let first = request(1);
    let running = store.lease(&first).await.unwrap().events;
    let delete = "DELETE FROM webhook_inbox WHERE number <> 200 AND number < 300";
    execute(&mut folder.connection().await, delete).await;
    let settlements = settlements(&first, &running, &Verdict::Done);
    let settled = store.settle(&settlements, MINUTE).await.unwrap();
    assert_eq!(settled, [Settled::Superseded]);
    let counted = stats(&store).await;
    assert_eq!((counted.waiting, counted.running), (2, 0));
    assert!(counted.oldest.is_some());
    for number in [199, 299] {
        let leased = store.lease(&request_in_order(1)).await.unwrap().events;
        assert_eq!(keys(&leased), [key(number)]);
    }
    assert_eq!(store.list(&filter()).await.unwrap().len(), 2);
}

/// If the events are dropped, their numbers start again. Their versions do not count for others.
#[tokio::test]
async fn versions_are_dropped_with_the_events() {
    let folder = Folder::new();
    let store = folder.store().await;
    store.insert(&intake(vec![event(1)])).await.unwrap();
    let advance = Advance::new("inbox", "crm", b"key", 5, 1);
    assert!(store.advance(&advance, MINUTE).await.unwrap());
    let mut connection = folder.connection().await;
    execute(&mut connection, "DROP TABLE webhook_inbox").await;
    store.migrate().await.unwrap();
    assert_eq!(count(&mut connection, "SELECT count(*) FROM webhook_inbox_version").await, 0);
}

/// Entries without events were inserted by hand. The next lease deletes those that it would return,
/// and returns others.
#[tokio::test]
async fn entries_that_are_inserted_by_hand() {
    let insert = |from: i64, to: i64, due_at: i64| {
        format!(
            "WITH RECURSIVE number (n) AS (
               SELECT {from} UNION ALL SELECT n + 1 FROM number WHERE n < {to})
             INSERT INTO webhook_inbox_entry
               (event, consumer, endpoint, state, attempt, due_at, position)
             SELECT n, 'crm', 'inbox', n % 2, 0, {due_at}, 0 FROM number"
        )
    };
    let folder = Folder::new();
    let clock = HandClock::new();
    let store = folder.store().await.clock(clock.clone());
    let mut connection = folder.connection().await;
    // Many entries wait for another one. They are due before the last ones without events.
    store.insert(&intake((0..1100).map(|number| ordered(number, b"key")).collect())).await.unwrap();
    assert_eq!(keys(&store.lease(&request(1)).await.unwrap().events), [key(0)]);
    execute(&mut connection, &insert(5000, 7499, 0)).await;
    clock.advance(MS);
    store.insert(&intake(vec![event(2000)])).await.unwrap();
    let due_at = "SELECT max(due_at) - 1 FROM webhook_inbox_entry WHERE state = 0";
    let due_at = count(&mut connection, due_at).await;
    execute(&mut connection, &insert(8000, 8004, due_at)).await;
    assert_eq!(keys(&store.lease(&request_in_order(1)).await.unwrap().events), [key(2000)]);
    let left = "SELECT count(*) FROM webhook_inbox_entry WHERE event >= 5000";
    assert_eq!(count(&mut connection, left).await, 0);
    assert_eq!(keys(&store.lease(&request(1)).await.unwrap().events), [key(1)]);
}

fn request_in_order(max: usize) -> LeaseRequest {
    let mut request = request(max);
    request.order = Order::DeadBlocks;
    request
}

/// An operator retries many dead entries while deliveries are stored. Each step is short, so that
/// the deliveries are stored in between.
#[tokio::test]
async fn many_dead_entries_are_retried() {
    let dead_entries = integration_tests::size(10_000, 100_000);
    let folder = Folder::new();
    let store = folder.store().await;
    for from in (0..dead_entries).step_by(1000) {
        store.insert(&intake((from..from + 1000).map(event).collect())).await.unwrap();
    }
    assert_eq!(settle_all(&store, &dead()).await, dead_entries as usize);
    let stored = async {
        let mut stored = 0;
        while stats(&store).await.dead > 0 {
            store.insert(&intake(vec![event(1_000_000 + stored)])).await.unwrap();
            stored += 1;
        }
        stored
    };
    let mut filter = filter();
    filter.state = Some(EntryState::Dead);
    let (retried, stored) = tokio::join!(store.change(&filter, Change::Retry), stored);
    assert_eq!(retried.unwrap(), dead_entries as usize);
    // The retry takes more than one call to the writer.
    assert!(stored > 1, "{stored}");
    assert_eq!(stats(&store).await.waiting, u64::from(dead_entries + stored));
}

/// A page of entries goes through those of other endpoints and those that do not match.
#[tokio::test]
async fn entries_among_many_others() {
    let folder = Folder::new();
    let store = folder.store().await;
    store.insert(&intake(vec![event(1)])).await.unwrap();
    for from in (0..25_000).step_by(5000) {
        let events = (from..from + 5000).map(event).collect();
        store.insert(&Intake::new("other", &["crm"], events)).await.unwrap();
    }
    store.insert(&intake(vec![event(2), event(3)])).await.unwrap();
    let found = store.list(&filter()).await.unwrap();
    let found: Vec<_> = found.iter().map(|entry| entry.event.key).collect();
    assert_eq!(found, [key(1), key(2), key(3)]);
    let mut filter = filter();
    filter.limit = 2;
    assert_eq!(store.change(&filter, Change::Discard).await.unwrap(), 2);
    filter.state = Some(EntryState::Waiting);
    assert_eq!(store.list(&filter).await.unwrap()[0].event.key, key(3));
}

/// Dead entries whose keys have expired stay, and do not hide what can be removed.
#[tokio::test]
async fn purge_among_many_dead_entries() {
    let folder = Folder::new();
    let clock = HandClock::new();
    let store = folder.store().await.clock(clock.clone());
    store.insert(&intake((0..250).map(event).collect())).await.unwrap();
    assert_eq!(settle_all(&store, &dead()).await, 250);
    store.insert(&intake((250..500).map(event).collect())).await.unwrap();
    assert_eq!(settle_all(&store, &Verdict::Done).await, 250);
    clock.advance(HOUR / 2);
    let retention = Retention::new(MINUTE);
    assert_eq!(store.purge_inbox("inbox", &retention, 130).await.unwrap(), 130);
    assert_eq!(store.purge_inbox("inbox", &retention, usize::MAX).await.unwrap(), 120);
    assert_eq!(store.purge_inbox("inbox", &retention, usize::MAX).await.unwrap(), 0);
    clock.advance(HOUR);
    assert_eq!(store.purge_inbox("inbox", &retention, usize::MAX).await.unwrap(), 250);
    assert_eq!(store.purge_inbox("inbox", &retention, usize::MAX).await.unwrap(), 0);
    let left = store.list(&filter()).await.unwrap();
    assert_eq!(left.len(), 250);
    assert!(left.iter().all(|entry| !entry.event.body.is_empty()));
    let mut connection = folder.connection().await;
    assert_eq!(count(&mut connection, "SELECT count(*) FROM webhook_inbox_entry").await, 250);
}

/// All entries are leased once, whatever the number of stores on the file.
#[tokio::test]
async fn stores_share_no_lease() {
    let folder = Folder::new();
    let stores = [folder.store().await, folder.store().await, folder.store().await];
    stores[0].insert(&intake((0..200).map(event).collect())).await.unwrap();
    let leases = stores.iter().flat_map(|store| [store; 4]).map(async |store| {
        let mut leased = Vec::new();
        loop {
            let Ok(batch) = store.lease(&request(7)).await else { continue };
            if batch.events.is_empty() {
                return leased;
            }
            leased.extend(keys(&batch.events));
        }
    });
    let leased = soon("leases", futures_util::future::join_all(leases)).await.concat();
    assert_eq!(leased.len(), 200);
    assert_eq!(leased.into_iter().collect::<HashSet<_>>().len(), 200);
}
