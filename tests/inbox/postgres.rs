//! Inboxes in a PostgreSQL server.

use std::{
    collections::HashSet,
    error::Error as _,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::join_all;
use integration_tests::{PATIENCE, PostgresServer, age_inbox, soon};
use sqlx::{
    AssertSqlSafe, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{sync::Notify, time::sleep};
use webhook_verify::{
    PostgresStore,
    idempotency::{ClaimKey, Owner, Settled, StoreError},
    inbox::{
        Change, EntryHolder, EntryState, Filter, InboxStore, Inserted, Intake, LeaseRequest,
        Leased, NewEvent, Order, Retention, StoredEvent, Verdict,
    },
    testing::conformance::inbox::Suite,
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
const ENDPOINT: &str = "orders";
const CONSUMER: &str = "ship";

async fn pool_with(server: &PostgresServer, most: u32, options: &[(&str, &str)]) -> PgPool {
    let connect: PgConnectOptions = server.url().parse().unwrap();
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(PATIENCE)
        .connect_with(connect.options(options.iter().copied()))
        .await
        .unwrap()
}

/// A store with tables of its own in the shared server.
struct Site {
    store: PostgresStore,
    pool: PgPool,
    table: String,
}

impl Site {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(options: &[(&str, &str)]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let table = format!("claims_{}", COUNT.fetch_add(1, Relaxed));
        let pool = pool_with(PostgresServer::until_shared().await, 16, options).await;
        let store = PostgresStore::new(pool.clone()).table(&table).unwrap().lock_timeout(PATIENCE);
        store.migrate().await.unwrap();
        Self { store, pool, table: format!("{table}_inbox") }
    }

    async fn execute(&self, sql: &str) {
        let sql = sql.replace("{inbox}", &self.table);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await.unwrap();
    }

    async fn count(&self, sql: &str) -> i64 {
        let sql = sql.replace("{inbox}", &self.table);
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&self.pool).await.unwrap()
    }

    async fn age(&self, by: Duration) {
        age_inbox(&PostgresServer::shared().url(), &self.table, by).await;
    }

    async fn insert(&self, events: Vec<NewEvent>) -> Vec<Inserted> {
        self.store.insert(&Intake::new(ENDPOINT, &[CONSUMER], events)).await.unwrap()
    }

    async fn lease(&self, max: usize) -> (Owner, Leased) {
        let request = request(max);
        let leased = self.store.lease(&request).await.unwrap();
        (request.owner, leased)
    }

    async fn settle(&self, holder: &EntryHolder, verdict: Verdict) -> Settled {
        let settlements = [holder.settlement(verdict)];
        self.store.settle(&settlements, MINUTE).await.unwrap()[0]
    }

    /// Leases all that is due, and ends it.
    async fn end(&self, verdict: Verdict) -> usize {
        let (owner, leased) = self.lease(1000).await;
        for event in &leased.events {
            let holder = EntryHolder::new(event.number, CONSUMER, owner);
            assert_eq!(self.settle(&holder, verdict.clone()).await, Settled::Applied);
        }
        leased.events.len()
    }
}

fn request(max: usize) -> LeaseRequest {
    LeaseRequest::new(ENDPOINT, CONSUMER, Owner::random().unwrap(), max, MINUTE)
}

fn stored(number: u32) -> StoredEvent {
    let mut key = [9; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    StoredEvent::new(ClaimKey::from(key), "mautic", format!("body {number}"))
}

fn event(number: u32) -> NewEvent {
    NewEvent::new(stored(number), DAY)
}

/// Returns the cause of a call's failure.
async fn fails<T: fmt::Debug>(call: impl Future<Output = Result<T, StoreError>>) -> String {
    let error = soon("error of a store", call).await.unwrap_err();
    error.source().unwrap().to_string()
}

#[tokio::test]
async fn conformance() {
    let site = Site::new().await;
    let suite = Suite::new(&site.store).tick(MINUTE);
    suite.run(async |by| site.age(by).await).await.unwrap();
}

#[tokio::test]
async fn conformance_on_serializable_connections() {
    let site = Site::with(&[("default_transaction_isolation", "serializable")]).await;
    let suite = Suite::new(&site.store).tick(MINUTE);
    suite.run(async |by| site.age(by).await).await.unwrap();
}

/// NUL cannot be stored in texts, but in bodies and headers.
#[tokio::test]
async fn any_text_and_any_bytes_are_stored() {
    let site = Site::new().await;
    let odd = "a\0b'\\\"{},\u{1F980}";
    let mut given = stored(1);
    given.namespace = Some(odd.to_owned());
    given.event_type = Some(odd.to_owned());
    given.id = Some(odd.to_owned());
    given.data_pointer = Some(odd.to_owned());
    given.headers = vec![("x-a".to_owned(), odd.to_owned()), ("x-a".to_owned(), String::new())];
    given.body = vec![0, 255, 0xC3, b'\\', b'\''].into();
    site.insert(vec![NewEvent::new(given.clone(), DAY)]).await;
    let (_, leased) = site.lease(1).await;
    let found = &leased.events[0].event;
    let clean = Some(odd.replace('\0', "\u{FFFD}"));
    assert_eq!(found.namespace, clean);
    assert_eq!(found.event_type, clean);
    assert_eq!(found.id, clean);
    assert_eq!(found.data_pointer, clean);
    assert_eq!(found.headers, given.headers);
    assert_eq!(found.body, given.body);
    let mut filter = Filter::new(ENDPOINT, 10);
    filter.namespace = Some(odd.to_owned());
    filter.event_type = Some(odd.to_owned());
    assert_eq!(site.store.list(&filter).await.unwrap().len(), 1);
}

/// Every address of the largest body arrives, and no temporary file is written.
#[tokio::test]
async fn bodies_of_25_mib_are_stored() {
    let site = Site::new().await;
    let body: Vec<u8> =
        (0..25 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut large = stored(1);
    large.body = body.clone().into();
    let inserted = site.insert(vec![NewEvent::new(large, DAY), event(2)]).await;
    assert_eq!(inserted, [Inserted::New, Inserted::New]);
    let (_, leased) = site.lease(2).await;
    assert!(leased.events[0].event.body == body, "other bytes");
    assert_eq!(leased.events[1].event.body, "body 2");
}

/// Deliveries with the same keys in opposite orders do not wait for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn opposite_deliveries_store_each_event_once() {
    let site = Arc::new(Site::new().await);
    for round in 0..20 {
        let inserts = (0..8).map(|client| {
            let site = Arc::clone(&site);
            let mut numbers: Vec<_> = (0..20).map(|number| round * 20 + number).collect();
            if client % 2 == 1 {
                numbers.reverse();
            }
            tokio::spawn(async move { site.insert(numbers.into_iter().map(event).collect()).await })
        });
        let results = join_all(inserts).await;
        let new = results.into_iter().flat_map(Result::unwrap);
        assert_eq!(new.filter(|inserted| *inserted == Inserted::New).count(), 20);
    }
    assert_eq!(site.count("SELECT count(*) FROM {inbox}_entry").await, 400);
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(site.count(deadlocks).await, 0);
}

/// The events of a delivery are numbered in its order, whatever the order of their keys.
#[tokio::test]
async fn numbers_have_the_order_of_the_delivery() {
    let site = Site::new().await;
    site.insert([5, 1, 4, 2].map(event).into()).await;
    let (_, leased) = site.lease(10).await;
    let bodies: Vec<_> = leased.events.iter().map(|leased| &leased.event.body[..]).collect();
    assert_eq!(bodies, [b"body 5", b"body 1", b"body 4", b"body 2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_entry_is_leased_twice() {
    let site = Arc::new(Site::new().await);
    site.insert((0..600).map(event).collect()).await;
    let workers = (0..8).map(|_| {
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let mut numbers = Vec::new();
            loop {
                let (_, leased) = site.lease(7).await;
                if leased.events.is_empty() {
                    return numbers;
                }
                numbers.extend(leased.events.iter().map(|event| event.number));
            }
        })
    });
    let numbers: Vec<_> = join_all(workers).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(numbers.len(), 600);
    assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), 600);
}

/// With an order, no two events of a key run at once, although events of earlier positions keep
/// arriving, and each worker's lease may not see them at first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_of_a_key_run_one_at_a_time() {
    let site = Arc::new(Site::new().await);
    let total = 150;
    let sender = {
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            for number in 0..total {
                let position = Some(i64::from(total - number));
                site.insert(vec![event(number).ordered("key", position)]).await;
            }
        })
    };
    let done = Arc::new(AtomicUsize::new(0));
    let running = Arc::new(AtomicUsize::new(0));
    let workers = (0..6).map(|_| {
        let (site, done, running) = (Arc::clone(&site), Arc::clone(&done), Arc::clone(&running));
        tokio::spawn(async move {
            while done.load(Relaxed) < total as usize {
                let mut request = request(3);
                request.order = Order::DeadBlocks;
                for event in site.store.lease(&request).await.unwrap().events {
                    assert_eq!(running.fetch_add(1, Relaxed), 0, "two events run at once");
                    tokio::task::yield_now().await;
                    running.fetch_sub(1, Relaxed);
                    let holder = EntryHolder::new(event.number, CONSUMER, request.owner);
                    assert_eq!(site.settle(&holder, Verdict::Done).await, Settled::Applied);
                    done.fetch_add(1, Relaxed);
                }
            }
        })
    });
    for worker in soon("end of all events", join_all(workers)).await {
        worker.unwrap();
    }
    sender.await.unwrap();
}

/// Thousands of events wait for a dead one. The events of other keys are leased at once, and those
/// that wait follow in their order once the dead one is discarded or retried.
#[tokio::test]
async fn waiting_for_a_dead_event_delays_no_other_key() {
    let site = Site::new().await;
    site.insert((0..2500).map(|number| event(number).ordered("stuck", None)).collect()).await;
    site.insert(vec![event(2500).ordered("other", None)]).await;
    site.execute("UPDATE {inbox}_entry SET state = 2 WHERE event = 1").await;
    let lease = async || {
        let mut request = request(10);
        request.order = Order::DeadBlocks;
        let leased = site.store.lease(&request).await.unwrap();
        let event = leased.events.first();
        event.map(|event| EntryHolder::new(event.number, CONSUMER, request.owner))
    };
    let other = lease().await.unwrap();
    assert_eq!(other.number, 2501);
    assert!(lease().await.is_none());
    let mut filter = Filter::new(ENDPOINT, 10);
    filter.state = Some(EntryState::Dead);
    assert_eq!(site.store.change(&filter, Change::Retry).await.unwrap(), 1);
    for number in 1..=20 {
        let holder = lease().await.unwrap();
        assert_eq!(holder.number, number);
        assert_eq!(site.settle(&holder, Verdict::Done).await, Settled::Applied);
    }
}

/// A handler's open transaction has locked its entry. The other leases are renewed meanwhile.
#[tokio::test]
async fn a_locked_entry_delays_no_renewal() {
    let site = Site::new().await;
    site.insert([1, 2].map(event).into()).await;
    let (owner, leased) = site.lease(2).await;
    let holders: Vec<_> =
        leased.events.iter().map(|event| EntryHolder::new(event.number, CONSUMER, owner)).collect();
    let mut transaction = site.pool.begin().await.unwrap();
    let lock = format!("SELECT FROM {}_entry WHERE event = $1 FOR UPDATE", site.table);
    let lock = sqlx::query(AssertSqlSafe(lock)).bind(holders[0].number);
    lock.execute(&mut *transaction).await.unwrap();
    let extended = site.store.extend(&holders, DAY, MINUTE);
    let extended = soon("renewal next to a locked entry", extended).await.unwrap();
    assert_eq!(extended, [Settled::Applied, Settled::Applied]);
    transaction.rollback().await.unwrap();
    site.age(MINUTE * 2).await;
    let (_, leased) = site.lease(2).await;
    let numbers: Vec<_> = leased.events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, [holders[0].number], "only the lease of the locked entry has expired");
}

/// An operator retries all dead entries, in several statements.
#[tokio::test]
async fn thousands_of_dead_entries_are_retried() {
    let site = Site::new().await;
    site.insert((0..2500).map(event).collect()).await;
    site.execute("UPDATE {inbox}_entry SET state = 2, attempt = 9, error = 'refused'").await;
    let mut filter = Filter::new(ENDPOINT, 2200);
    filter.state = Some(EntryState::Dead);
    assert_eq!(site.store.change(&filter, Change::Retry).await.unwrap(), 2200);
    filter.limit = usize::MAX;
    assert_eq!(site.store.change(&filter, Change::Retry).await.unwrap(), 300);
    // A waiting entry that is retried is still waiting. It is changed once for each call.
    assert_eq!(site.store.change(&Filter::new(ENDPOINT, 9999), Change::Retry).await.unwrap(), 2500);
    let stats = site.store.stats(ENDPOINT).await.unwrap();
    assert_eq!((stats[0].waiting, stats[0].dead), (2500, 0));
    let all = Filter::new(ENDPOINT, usize::MAX);
    assert_eq!(site.store.change(&all, Change::Discard).await.unwrap(), 2500);
    assert_eq!(site.store.change(&all, Change::Retry).await.unwrap(), 0);
}

/// Bodies and events are removed in several statements; a dead entry keeps both.
#[tokio::test]
async fn purges_remove_thousands_of_events() {
    let site = Site::new().await;
    site.insert((0..2500).map(event).collect()).await;
    site.execute("UPDATE {inbox}_entry SET state = 3, finished_at = now()").await;
    site.insert(vec![event(9000)]).await;
    site.end(Verdict::Dead { error: "refused".to_owned() }).await;
    let retention = Retention::new(MINUTE);
    assert_eq!(site.store.purge_inbox(ENDPOINT, &retention, 9999).await.unwrap(), 0);
    site.age(2 * MINUTE).await;
    assert_eq!(site.store.purge_inbox(ENDPOINT, &retention, 1200).await.unwrap(), 1200);
    assert_eq!(site.store.purge_inbox(ENDPOINT, &retention, 9999).await.unwrap(), 1300);
    assert_eq!(site.count("SELECT count(*) FROM {inbox} WHERE body IS NOT NULL").await, 1);
    site.age(2 * DAY).await;
    assert_eq!(site.store.purge_inbox(ENDPOINT, &retention, 9999).await.unwrap(), 2500);
    assert_eq!(site.count("SELECT count(*) FROM {inbox}").await, 1);
    assert_eq!(site.count("SELECT count(*) FROM {inbox}_entry").await, 1);
}

/// Processes that start at once create the tables once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn any_number_of_processes_migrate() {
    let site = Site::new().await;
    site.execute("DROP TABLE {inbox}, {inbox}_entry, {inbox}_version").await;
    let migrations = (0..12).map(|_| site.store.migrate());
    for migrated in join_all(migrations).await {
        migrated.unwrap();
    }
    assert_eq!(site.insert(vec![event(1)]).await, [Inserted::New]);
}

#[tokio::test]
async fn a_dropped_table_is_named() {
    let site = Site::new().await;
    site.execute("DROP TABLE {inbox}, {inbox}_entry, {inbox}_version").await;
    let intake = Intake::new(ENDPOINT, &[CONSUMER], vec![event(1)]);
    let expected = |name: &str| format!("table {name} does not exist: migrate creates it");
    assert_eq!(fails(site.store.insert(&intake)).await, expected(&site.table));
    let entries = format!("{}_entry", site.table);
    assert_eq!(fails(site.store.lease(&request(1))).await, expected(&entries));
}

/// A user who may use only the table for claims has no inbox, and claims as before.
#[tokio::test]
async fn missing_rights_are_reported_at_the_first_use() {
    let site = Site::new().await;
    let claims = site.table.strip_suffix("_inbox").unwrap();
    let role = format!("{claims}_user");
    site.execute(&format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON {claims} TO {role}"
    ))
    .await;
    let url = PostgresServer::shared().url().replace("postgres@", &format!("{role}@"));
    let store = PostgresStore::connect_with_table(&url, claims).await.unwrap();
    let intake = Intake::new(ENDPOINT, &[CONSUMER], vec![event(1)]);
    let reason = fails(store.insert(&intake)).await;
    assert!(reason.contains("permission denied"), "{reason}");
    // The tables do not exist either, and the user may not create them.
    site.execute("DROP TABLE {inbox}, {inbox}_entry, {inbox}_version").await;
    let store = PostgresStore::connect_with_table(&url, claims).await.unwrap();
    let reason = fails(store.insert(&intake)).await;
    assert!(reason.contains("does not exist"), "{reason}");
}

#[tokio::test]
async fn announcements_wake_watchers_of_the_endpoint() {
    let site = Site::new().await;
    let woken = Arc::new(Notify::new());
    let others = Arc::new(AtomicUsize::new(0));
    let watch = |endpoint: &'static str, wake: Box<dyn Fn() + Send + Sync>| {
        let store = site.store.clone();
        tokio::spawn(async move { store.watch(endpoint, &wake).await })
    };
    let notify = Arc::clone(&woken);
    let watcher = watch(ENDPOINT, Box::new(move || notify.notify_one()));
    let count = Arc::clone(&others);
    let other = watch("invoices", Box::new(move || _ = count.fetch_add(1, Relaxed)));
    // Each watcher wakes once at its start, for what was announced before.
    soon("wake at the start", woken.notified()).await;
    let started = async {
        while others.load(Relaxed) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    soon("wake of the other at its start", started).await;
    let announcing = async {
        loop {
            site.store.announce(ENDPOINT).await.unwrap();
            sleep(Duration::from_millis(5)).await;
        }
    };
    let woke = async {
        tokio::select! {
            () = woken.notified() => {}
            () = announcing => {}
        }
    };
    soon("wake", woke).await;
    assert_eq!(others.load(Relaxed), 1);
    // After a lost connection, a watcher connects again, and looks for what it has missed.
    let end = r#"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
      WHERE query = 'LISTEN "{inbox}"'"#;
    let lost = async {
        while others.load(Relaxed) == 1 {
            site.count(end).await;
            sleep(Duration::from_millis(5)).await;
        }
    };
    soon("wake after a lost connection", lost).await;
    watcher.abort();
    other.abort();
}
