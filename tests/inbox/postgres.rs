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
use integration_tests::{PATIENCE, PostgresServer, Proxy, address, age_inbox, soon};
use sqlx::{
    AssertSqlSafe, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{sync::Notify, time::sleep};
use webhook_verify::{
    PostgresStore,
    idempotency::{ClaimKey, Owner, Settled, StoreError},
    inbox::{
        Advance, Change, EntryHolder, EntryState, Extended, Filter, InboxStore, Inserted, Intake,
        LeaseRequest, Leased, LeasedEvent, NewEvent, Order, Retention, StoredEvent, Verdict,
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

    /// Returns a store on the same tables, and the proxy that it connects through. The proxy cuts only
    /// statements with this text in their parameters.
    async fn via_proxy(&self, marker: &str) -> (PostgresStore, Proxy) {
        let url = PostgresServer::shared().url();
        let server = address(&url);
        let proxy = Proxy::start(server).await;
        proxy.cut_only(marker.as_bytes());
        let url = url.replace(&server.to_string(), &proxy.addr().to_string());
        let pool = PgPoolOptions::new().acquire_timeout(PATIENCE).connect(&url).await.unwrap();
        let claims = self.table.strip_suffix("_inbox").unwrap();
        let store = PostgresStore::new(pool).table(claims).unwrap().lock_timeout(PATIENCE);
        store.migrate().await.unwrap();
        (store, proxy)
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

/// Events are acknowledged after a durable commit, whatever the default of the database user is.
#[tokio::test]
async fn acknowledged_events_are_durable() {
    for (default, expected) in [("off", "on"), ("local", "local"), ("remote_write", "remote_write")]
    {
        let site = Site::new().await;
        let role = format!("{}_{default}", site.table);
        site.execute(&format!(
            "CREATE ROLE {role} LOGIN SUPERUSER;
             ALTER ROLE {role} SET synchronous_commit = {default};
             CREATE TABLE {{inbox}}_commit AS SELECT ''::text AS setting WHERE false;
             CREATE FUNCTION {{inbox}}_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               INSERT INTO {{inbox}}_commit VALUES (current_setting('synchronous_commit'));
               RETURN NULL;
             END $$;
             CREATE TRIGGER note AFTER INSERT ON {{inbox}}_entry
               EXECUTE FUNCTION {{inbox}}_note()"
        ))
        .await;
        let url = PostgresServer::shared().url().replace("postgres@", &format!("{role}@"));
        let claims = site.table.strip_suffix("_inbox").unwrap();
        let store = PostgresStore::connect_with_table(&url, claims).await.unwrap();
        let intake = Intake::new(ENDPOINT, &[CONSUMER], vec![event(1)]);
        assert_eq!(store.insert(&intake).await.unwrap(), [Inserted::New]);
        let sql = format!("SELECT setting FROM {}_commit", site.table);
        let settings: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&site.pool).await.unwrap();
        assert_eq!(settings, [expected]);
    }
}

/// An insert that is cancelled while it waits for a standby is committed on the primary only. The
/// sender's next request is not acknowledged before a standby has the event, either.
#[tokio::test]
async fn a_duplicate_waits_for_the_standby() {
    let server = PostgresServer::until_started().await;
    let options = [("synchronous_commit", "local")];
    let operator = pool_with(&server, 1, &options).await;
    let store = PostgresStore::new(pool_with(&server, 2, &[]).await).table("claims").unwrap();
    store.migrate().await.unwrap();
    let set = async |names: &str| {
        let sql = format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&operator).await.unwrap();
        let sql = "SELECT current_setting('synchronous_standby_names')";
        sqlx::raw_sql("SELECT pg_reload_conf()").execute(&operator).await.unwrap();
        let changed = async || {
            let current: String = sqlx::query_scalar(sql).fetch_one(&operator).await.unwrap();
            current == names
        };
        while !changed().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let mut intake = Intake::new(ENDPOINT, &[CONSUMER], vec![event(1)]);
    let usual = intake.limit;
    let count = async || {
        let sql = "SELECT count(*) FROM claims_inbox";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&operator).await.unwrap()
    };

    set("missing").await;
    intake.limit = Duration::from_millis(200);
    let stored = async {
        while count().await == 0 {
            assert!(store.insert(&intake).await.is_err());
        }
    };
    soon("cancelled insert", stored).await;
    assert!(store.insert(&intake).await.is_err());

    set("").await;
    intake.limit = usual;
    assert_eq!(store.insert(&intake).await.unwrap(), [Inserted::Duplicate]);
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

/// A lease is granted, and its reply is lost. The store repeats it, and gets the same entries, at the
/// same attempt. Otherwise they would have no handler until their lease ends.
#[tokio::test]
async fn a_lease_whose_reply_is_lost_returns_its_entries() {
    for (order, cuts) in [(Order::None, 1), (Order::None, 2), (Order::DeadBlocks, 1)] {
        let site = Site::new().await;
        let of_own_key = |number| event(number).ordered(format!("key {number}"), None);
        site.insert((0..20).map(of_own_key).collect()).await;
        let (store, proxy) = site.via_proxy(CONSUMER).await;
        let lease = async || {
            let mut request = request(8);
            (request.order, request.max_attempts) = (order, 1);
            soon("lease", store.lease(&request)).await.unwrap()
        };
        let mut numbers = Vec::new();
        for cuts in [cuts, 0, 0] {
            proxy.cut_replies(cuts, 0);
            let leased = lease().await;
            assert!(leased.exhausted.is_empty(), "{order:?}");
            assert!(leased.events.iter().all(|event| event.attempt == 1), "{order:?}");
            numbers.extend(leased.events.iter().map(|event| event.number));
        }
        assert_eq!(proxy.cuts(), cuts);
        assert_eq!(numbers, (1..=20).collect::<Vec<_>>(), "{order:?}");
    }
}

/// A lease finds entries exhausted, and its reply is lost. The store repeats it, and gets them
/// again, still as exhausted. It does not get one of an earlier lease.
#[tokio::test]
async fn a_lease_whose_reply_is_lost_returns_its_exhausted_entries() {
    let orders = [Order::None, Order::DeadBlocks, Order::DeadIsSkipped];
    for (order, events) in orders.into_iter().flat_map(|order| [(order, 4), (order, 2)]) {
        let site = Site::new().await;
        let of_own_key = |number| event(number).ordered(format!("key {number}"), None);
        site.insert(vec![of_own_key(events)]).await;
        let lease = async |store: &PostgresStore, max| {
            let mut request = request(max);
            (request.order, request.max_attempts) = (order, 1);
            soon("lease", store.lease(&request)).await.unwrap()
        };
        assert_eq!(lease(&site.store, 1).await.events.len(), 1);
        site.age(2 * MINUTE).await;
        assert_eq!(lease(&site.store, 1).await.exhausted.len(), 1);
        site.insert((0..events).map(of_own_key).collect()).await;
        assert_eq!(lease(&site.store, 2).await.events.len(), 2);
        site.execute("UPDATE {inbox}_entry SET due_at = now() WHERE event IN (2, 3)").await;
        let (store, proxy) = site.via_proxy(CONSUMER).await;
        proxy.cut_replies(1, 0);
        let leased = lease(&store, 8).await;
        assert_eq!(proxy.cuts(), 1);
        let mut exhausted: Vec<_> = leased.exhausted.iter().map(|(number, ..)| *number).collect();
        exhausted.sort_unstable();
        assert_eq!(exhausted, [2, 3], "{order:?}");
        assert!(leased.exhausted.iter().all(|(.., attempt)| *attempt == 1), "{order:?}");
        let running = leased.events.iter().map(|event| event.number);
        assert!(running.eq(4..=i64::from(events) + 1), "{order:?}");
        // No other lease returns them.
        let again = lease(&site.store, 8).await;
        assert_eq!(again.exhausted.len(), 0, "{order:?}");
        let running = "SELECT count(*) FROM {inbox}_entry WHERE state = 1 AND attempt = 1";
        assert_eq!(site.count(running).await, i64::from(events) + 1);
    }
}

/// An entry was dead because its lease expired, and an operator has retried it. Its new leases are
/// attempts, up to the last, although its error says that a lease expired.
#[tokio::test]
async fn an_old_error_does_not_exhaust_a_retried_entry() {
    let site = Site::new().await;
    site.insert(vec![event(1)]).await;
    let lease = async || {
        let mut request = request(1);
        request.max_attempts = 1;
        let leased = site.store.lease(&request).await.unwrap();
        let number = match (&leased.events[..], &leased.exhausted[..]) {
            ([event], []) => event.number,
            ([], [(number, ..)]) => *number,
            other => panic!("{other:?}"),
        };
        (EntryHolder::new(number, CONSUMER, request.owner), !leased.exhausted.is_empty())
    };
    for _ in 0..3 {
        assert!(!lease().await.1);
        // The first worker that finds it exhausted dies.
        for _ in 0..2 {
            site.age(2 * MINUTE).await;
            assert!(lease().await.1);
        }
        site.age(2 * MINUTE).await;
        let (holder, _) = lease().await;
        let error = "the lease of the last attempt has expired".to_owned();
        assert_eq!(site.settle(&holder, Verdict::Dead { error }).await, Settled::Applied);
        let dead = Filter::new(ENDPOINT, 1).state(EntryState::Dead);
        assert_eq!(site.store.change(&dead, Change::Retry).await.unwrap(), 1);
    }
}

/// The reply of a result is lost. The call fails, because a second one could not tell this result
/// from another worker's.
#[tokio::test]
async fn a_result_whose_reply_is_lost_is_not_reported_as_lost() {
    let site = Site::new().await;
    site.insert([1, 2].map(event).into()).await;
    let (owner, leased) = site.lease(2).await;
    let (store, proxy) = site.via_proxy(CONSUMER).await;
    for (cuts, leased) in [(1, &leased.events[0]), (0, &leased.events[1])] {
        let holder = EntryHolder::new(leased.number, CONSUMER, owner);
        let settlements = [holder.settlement(Verdict::Done)];
        proxy.cut_replies(cuts, 0);
        let settled = soon("result", store.settle(&settlements, MINUTE)).await;
        match cuts {
            0 => assert_eq!(settled.unwrap(), [Settled::Applied]),
            _ => assert!(settled.is_err(), "{settled:?}"),
        }
        let again = store.settle(&settlements, MINUTE).await.unwrap();
        assert_eq!(again, [Settled::Superseded]);
    }
    assert_eq!(proxy.cuts(), 1);
    assert_eq!(site.count("SELECT count(*) FROM {inbox}_entry WHERE state = 3").await, 2);
}

/// The reply of an operator's change is lost. It changes no more entries than its limit.
#[tokio::test]
async fn a_change_whose_reply_is_lost_does_not_exceed_its_limit() {
    let site = Site::new().await;
    site.insert((0..20).map(event).collect()).await;
    let (store, proxy) = site.via_proxy(ENDPOINT).await;
    let filter = Filter::new(ENDPOINT, 5);
    proxy.cut_replies(1, 0);
    let changed = soon("change", store.change(&filter, Change::Discard)).await;
    assert!(changed.is_err(), "{changed:?}");
    assert_eq!(proxy.cuts(), 1);
    assert_eq!(site.count("SELECT count(*) FROM {inbox}_entry WHERE state = 4").await, 5);
}

/// While another ordered lease has the lock, a lease finds nothing. It neither fails nor waits. An
/// inbox in another table has a lock of its own.
#[tokio::test]
async fn a_lease_with_an_order_does_not_wait_for_its_turn() {
    let sites = [Site::new().await, Site::new().await];
    for site in &sites {
        site.insert(vec![event(1).ordered("key", None)]).await;
    }
    let mut request = request(1);
    request.order = Order::DeadBlocks;
    let [(store, site), (other, _)] =
        sites.each_ref().map(|it| (it.store.clone().lock_timeout(Duration::from_millis(1)), it));
    let lock = format!(
        "SELECT pg_advisory_xact_lock(hashtextextended('{CONSUMER}',
           hashtextextended('{ENDPOINT}', '{}_entry'::regclass::oid::bigint)))",
        site.table
    );
    let mut transaction = site.pool.begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *transaction).await.unwrap();
    let leased = soon("lease of another's turn", store.lease(&request)).await.unwrap();
    assert!(leased.events.is_empty());
    assert_eq!(other.lease(&request).await.unwrap().events.len(), 1);
    transaction.rollback().await.unwrap();
    assert_eq!(store.lease(&request).await.unwrap().events.len(), 1);
}

/// Thousands of events wait for a dead one. The events of other keys are leased at once, and those
/// that wait follow in their order once the dead one is discarded or retried.
#[tokio::test]
async fn waiting_for_a_dead_event_delays_no_other_key() {
    for change in [Change::Retry, Change::Discard] {
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
        let mut first = 1;
        if change == Change::Discard {
            // Entries of one call do not follow each other.
            site.execute("UPDATE {inbox}_entry SET state = 2 WHERE event IN (2, 4)").await;
            first = 3;
        }
        let dead = Filter::new(ENDPOINT, 10).state(EntryState::Dead);
        let expected = site.store.list(&dead).await.unwrap().len();
        assert_eq!(site.store.change(&dead, change).await.unwrap(), expected);
        assert_eq!(site.store.list(&dead).await.unwrap().len(), 0);
        for number in (first..=20).filter(|number| first == 1 || *number != 4) {
            let holder = lease().await.unwrap();
            assert_eq!(holder.number, number);
            assert_eq!(site.settle(&holder, Verdict::Done).await, Settled::Applied);
        }
    }
}

/// The running entry finishes while a lease parks those after it. The next one is due soon, and the
/// others after it are due when it has finished.
#[tokio::test]
async fn an_entry_that_is_parked_too_late_is_due_soon() {
    let site = Site::new().await;
    let ordered = |number| event(number).ordered("key", None);
    site.insert((0..1500).map(ordered).collect()).await;
    let lease = async || {
        let mut request = request(1);
        request.order = Order::DeadBlocks;
        let leased = site.store.lease(&request).await.unwrap().events;
        leased.first().map(|event| EntryHolder::new(event.number, CONSUMER, request.owner))
    };
    let first = lease().await.unwrap();
    // A lease waits while it parks entries.
    site.execute(
        "CREATE FUNCTION {inbox}_wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           PERFORM pg_advisory_xact_lock_shared(hashtext('{inbox}'));
           RETURN NULL;
         END $$;
         CREATE TRIGGER wait AFTER UPDATE ON {inbox}_entry FOR EACH ROW
           WHEN (old.state = 0 AND new.state = 0) EXECUTE FUNCTION {inbox}_wait()",
    )
    .await;
    let mut transaction = site.pool.begin().await.unwrap();
    let lock = format!("SELECT pg_advisory_xact_lock(hashtext('{}'))", site.table);
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *transaction).await.unwrap();
    let finish = async {
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
          AND objid = ((hashtext('{inbox}')::bigint + 4294967296) % 4294967296)::oid";
        let waiting = async {
            while site.count(waits).await == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        soon("lease that parks entries", waiting).await;
        assert_eq!(site.settle(&first, Verdict::Done).await, Settled::Applied);
        transaction.rollback().await.unwrap();
    };
    let (second, ()) = tokio::join!(lease(), finish);
    assert!(second.is_none());
    site.age(Duration::from_secs(10)).await;
    for number in 2..5 {
        let holder = lease().await.unwrap();
        assert_eq!(holder.number, number);
        assert_eq!(site.settle(&holder, Verdict::Done).await, Settled::Applied);
    }
}

/// Waiting entries that are discarded in one call do not prevent each other's discard.
#[tokio::test]
async fn followers_of_a_discarded_entry_are_discarded_with_it() {
    let site = Site::new().await;
    site.insert((0..20).map(|number| event(number).ordered("key", None)).collect()).await;
    site.execute("UPDATE {inbox}_entry SET due_at = now() + interval '1 minute' WHERE event > 1")
        .await;
    let first = Filter::new(ENDPOINT, 10);
    assert_eq!(site.store.change(&first, Change::Discard).await.unwrap(), 10);
    let discarded = Filter::new(ENDPOINT, 99).state(EntryState::Discarded);
    assert_eq!(site.store.list(&discarded).await.unwrap().len(), 10);
    let mut request = request(10);
    request.order = Order::DeadBlocks;
    let leased = site.store.lease(&request).await.unwrap().events;
    assert_eq!(leased.iter().map(|event| event.number).collect::<Vec<_>>(), [11]);
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
    assert_eq!(extended, [Extended::Locked, Extended::Renewed]);
    transaction.rollback().await.unwrap();
    site.age(MINUTE * 2).await;
    let (_, leased) = site.lease(2).await;
    let numbers: Vec<_> = leased.events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, [holders[0].number], "only the lease of the locked entry has expired");
}

/// A worker is about to take over an expired lease. The store does not report the lease as renewed to
/// the former owner.
#[tokio::test]
async fn no_lease_is_renewed_while_another_worker_takes_it_over() {
    let site = Site::new().await;
    site.insert(vec![event(1)]).await;
    let (owner, leased) = site.lease(1).await;
    let holders = [EntryHolder::new(leased.events[0].number, CONSUMER, owner)];
    let extend = async || {
        let extended = site.store.extend(&holders, DAY, MINUTE);
        soon("extension of a locked entry", extended).await.unwrap()
    };
    let mut transaction = site.pool.begin().await.unwrap();
    let take_over = format!(
        "UPDATE {}_entry SET owner = substr(sha256(''), 1, 16), attempt = attempt + 1",
        site.table
    );
    sqlx::raw_sql(AssertSqlSafe(take_over)).execute(&mut *transaction).await.unwrap();
    assert_eq!(extend().await, [Extended::Locked]);
    transaction.commit().await.unwrap();
    assert_eq!(extend().await, [Extended::Lost]);
}

/// An operator has deleted events, but not their entries. Workers lease the other events.
#[tokio::test]
async fn entries_without_events_hide_no_others() {
    for order in [Order::None, Order::DeadBlocks] {
        let site = Site::new().await;
        let pair = |number: u32| event(number).ordered(format!("key {}", number / 2), None);
        site.insert((0..2502).map(pair).collect()).await;
        let lease = async |max| {
            let mut request = request(max);
            request.order = order;
            let leased = site.store.lease(&request).await.unwrap();
            let holder =
                |event: &LeasedEvent| EntryHolder::new(event.number, CONSUMER, request.owner);
            leased.events.iter().map(holder).collect::<Vec<_>>()
        };
        let holder = lease(1).await.remove(0);
        site.execute(
            "DELETE FROM {inbox} WHERE number < 2501;
             UPDATE {inbox}_entry SET state = 2 WHERE event = 2",
        )
        .await;
        assert_eq!(site.settle(&holder, Verdict::Released).await, Settled::Applied);
        let stats = site.store.stats(ENDPOINT).await.unwrap();
        assert_eq!((stats[0].waiting, stats[0].dead), (2501, 1));
        let all = Filter::new(ENDPOINT, 9999);
        assert_eq!(site.store.list(&all).await.unwrap().len(), 2);
        // Leases remove no dead entries.
        let dead = all.state(EntryState::Dead);
        assert_eq!(site.store.change(&dead, Change::Discard).await.unwrap(), 1);
        for number in [2501, 2502] {
            let held = lease(1).await;
            assert_eq!(held.len(), 1, "{order:?}");
            assert_eq!(held[0].number, number);
            assert_eq!(site.settle(&held[0], Verdict::Done).await, Settled::Applied);
        }
        let left = "SELECT count(*) FROM {inbox}_entry WHERE state < 2";
        assert_eq!(site.count(left).await, 0);
    }
}

/// An entry becomes dead because its last lease has expired, and dead entries are skipped. The next
/// of the thousands that waited for it is due.
#[tokio::test]
async fn an_exhausted_entry_delays_no_other_once_it_is_dead() {
    let site = Site::new().await;
    site.insert((0..2500).map(|number| event(number).ordered("key", None)).collect()).await;
    let lease = async || {
        let mut request = request(10);
        request.order = Order::DeadIsSkipped;
        request.max_attempts = 1;
        let Leased { events, exhausted, .. } = site.store.lease(&request).await.unwrap();
        let exhausted = exhausted.iter();
        let exhausted =
            exhausted.map(|(number, ..)| EntryHolder::new(*number, CONSUMER, request.owner));
        let events: Vec<_> = events.iter().map(|event| event.number).collect();
        (events, exhausted.collect::<Vec<_>>())
    };
    for number in 1..4 {
        let (events, exhausted) = lease().await;
        assert_eq!((events, exhausted.len()), (vec![number], 0));
        assert!(lease().await.0.is_empty());
        site.execute("UPDATE {inbox}_entry SET due_at = now() WHERE state = 1").await;
        let (events, exhausted) = lease().await;
        assert_eq!((events, exhausted.len(), exhausted[0].number), (vec![], 1, number));
        let (events, others) = lease().await;
        assert_eq!((events, others.len()), (vec![], 0));
        let verdict = Verdict::Dead { error: "expired".to_owned() };
        assert_eq!(site.settle(&exhausted[0], verdict).await, Settled::Applied);
    }
}

/// An operator has deleted events whose entries have finished. A purge removes the entries.
#[tokio::test]
async fn finished_entries_without_events_are_purged() {
    let site = Site::new().await;
    site.insert((0..2502).map(event).collect()).await;
    site.execute(
        "UPDATE {inbox}_entry SET state = 3 + event % 2, finished_at = now() - interval '1 hour';
         UPDATE {inbox}_entry SET state = 2, finished_at = NULL WHERE event = 1;
         DELETE FROM {inbox} WHERE number <= 2500",
    )
    .await;
    let retention = Retention::new(MINUTE);
    assert_eq!(site.store.purge_inbox(ENDPOINT, &retention, 10).await.unwrap(), 2);
    // Dead entries and the entries of other events stay.
    let left = "SELECT count(*) FROM {inbox}_entry WHERE event IN (1, 2501, 2502)";
    assert_eq!(site.count(left).await, 3);
    assert_eq!(site.count("SELECT count(*) FROM {inbox}_entry").await, 3);
}

/// If the events are dropped, their numbers start again. Their versions do not count for others.
#[tokio::test]
async fn versions_are_dropped_with_the_events() {
    let site = Site::new().await;
    site.insert(vec![event(1)]).await;
    let advance = Advance::new(ENDPOINT, CONSUMER, b"key", 5, 1);
    assert!(site.store.advance(&advance, MINUTE).await.unwrap());
    site.execute("DROP TABLE {inbox}").await;
    site.store.migrate().await.unwrap();
    assert_eq!(site.count("SELECT count(*) FROM {inbox}_version").await, 0);
}

/// A filter by key reads only the event of that key.
#[tokio::test]
async fn entries_of_a_key_are_found_without_a_scan() {
    let site = Site::new().await;
    site.insert((0..5000).map(event).collect()).await;
    let mut filter = Filter::new(ENDPOINT, 100);
    filter.key = Some(stored(4000).key);
    change_reads_little(site, &filter, 1).await;
}

/// Waiting and dead entries are found among thousands that are done.
#[tokio::test]
async fn unfinished_entries_are_found_without_a_scan() {
    let site = Site::new().await;
    site.insert((0..5000).map(event).collect()).await;
    site.execute(
        "UPDATE {inbox}_entry SET state = CASE event WHEN 4000 THEN 0 WHEN 4100 THEN 2 ELSE 3 END",
    )
    .await;
    site.execute("VACUUM ANALYZE {inbox}_entry").await;
    change_reads_little(site, &Filter::new(ENDPOINT, 100), 2).await;
}

/// Discards entries, and checks that the server has read few.
async fn change_reads_little(site: Site, filter: &Filter, expected: usize) {
    let server = PostgresServer::shared();
    let watcher = pool_with(server, 1, &[]).await;
    // A session reports what it has read at its end, or earlier.
    let table = format!("{}_entry", site.table);
    let reports = async |column: &str| -> i64 {
        let sql = format!("SELECT {column} FROM pg_stat_user_tables WHERE relname = '{table}'");
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&watcher).await.unwrap()
    };
    let reached = async |column: &str, count: i64| {
        while reports(column).await < count {
            sleep(Duration::from_millis(5)).await;
        }
    };
    site.pool.close().await;
    soon("report of the inserts", reached("n_tup_ins", 5000)).await;
    let updated = if filter.key.is_some() { 0 } else { 5000 };
    soon("report of the updates", reached("n_tup_upd", updated)).await;
    const READ: &str = "seq_tup_read + idx_tup_fetch";
    let before = reports(READ).await;
    let pool = pool_with(server, 1, &[]).await;
    let claims = site.table.strip_suffix("_inbox").unwrap();
    let store = PostgresStore::new(pool.clone()).table(claims).unwrap();
    if filter.key.is_some() {
        assert_eq!(store.list(filter).await.unwrap().len(), expected);
    }
    assert_eq!(store.change(filter, Change::Discard).await.unwrap(), expected);
    pool.close().await;
    soon("report of the change", reached("n_tup_upd", updated + 1)).await;
    let read = reports(READ).await - before;
    assert!(read < 100, "{read} rows read");
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

/// A transaction has locked an entry for a moment. An operator's change waits for it, up to the lock
/// timeout, and passes over no entry.
#[tokio::test]
async fn changes_wait_for_locked_entries() {
    for change in [Change::Retry, Change::Discard] {
        let site = Site::new().await;
        site.insert([1, 2, 3].map(event).into()).await;
        let all = Filter::new(ENDPOINT, 10);
        let lock = format!("SELECT FROM {}_entry WHERE event = 2 FOR UPDATE", site.table);
        let mut transaction = site.pool.begin().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *transaction).await.unwrap();
        let hasty = site.store.clone().lock_timeout(Duration::from_millis(1));
        let error = fails(hasty.change(&all, change)).await;
        assert!(error.contains("lock timeout"), "{error}");
        let release = async {
            let waits = "SELECT count(*) FROM pg_stat_activity
              WHERE wait_event_type = 'Lock' AND query LIKE '%{inbox}_entry%'";
            let waiting = async {
                while site.count(waits).await == 0 {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            soon("change that waits", waiting).await;
            transaction.rollback().await.unwrap();
        };
        let (changed, ()) = tokio::join!(site.store.change(&all, change), release);
        assert_eq!(changed.unwrap(), 3);
    }
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

/// Kept rows hide no others. Another consumer has finished none of the first thousands of events.
#[tokio::test]
async fn kept_rows_hide_no_others_from_purges() {
    let site = Site::new().await;
    site.insert((0..2500).map(event).collect()).await;
    site.execute(
        "UPDATE {inbox}_entry SET state = 3, finished_at = now() - interval '1 hour';
         INSERT INTO {inbox}_entry (event, consumer, endpoint, state, attempt, due_at, position)
         SELECT event, 'bill', endpoint, 2, 1, due_at, 0 FROM {inbox}_entry WHERE event <= 2499",
    )
    .await;
    let retention = Retention::new(MINUTE);
    assert_eq!(site.store.purge_inbox(ENDPOINT, &retention, 10).await.unwrap(), 1);
    assert_eq!(site.count("SELECT number FROM {inbox} WHERE body IS NULL").await, 2500);
    site.age(2 * DAY).await;
    assert_eq!(site.store.purge_inbox(ENDPOINT, &retention, 10).await.unwrap(), 1);
    assert_eq!(site.count("SELECT max(number) FROM {inbox}").await, 2499);
}

/// Purges read neither events that are kept for their bodies, nor, a second time, the finished entries
/// of events that another consumer keeps.
#[tokio::test]
async fn purges_examine_nothing_that_is_kept() {
    // A session reports what it has read at its end, or earlier. So what prepares the rows has to end.
    let set_up = "set-up of purges";
    let site = Site::with(&[("application_name", set_up)]).await;
    site.insert((0..3000).map(|number| NewEvent::new(stored(number), Duration::ZERO)).collect())
        .await;
    // Of each three events, one is waiting, one is kept for its body, and one is dead for another
    // consumer.
    site.execute(
        "UPDATE {inbox}_entry SET state = 3,
           finished_at = now() - CASE event % 3 WHEN 1 THEN interval '0' ELSE interval '1 hour' END
         WHERE event % 3 > 0;
         INSERT INTO {inbox}_entry (event, consumer, endpoint, state, attempt, due_at, position)
         SELECT event, 'bill', endpoint, 2, 1, due_at, 0 FROM {inbox}_entry WHERE event % 3 = 2;
         ANALYZE {inbox}; ANALYZE {inbox}_entry",
    )
    .await;
    let server = PostgresServer::shared();
    let watcher = pool_with(server, 1, &[]).await;
    let ended = async |name: &str| {
        let sql = "SELECT FROM pg_stat_activity WHERE application_name = $1";
        while sqlx::query(sql).bind(name).fetch_optional(&watcher).await.unwrap().is_some() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let Site { pool, table, .. } = site;
    pool.close().await;
    soon("end of the set-up", ended(set_up)).await;
    let claims = table.strip_suffix("_inbox").unwrap();
    let store = PostgresStore::new(watcher.clone()).table(claims).unwrap();
    let site = Site { store, pool: watcher.clone(), table: table.clone() };
    let purge = async |round: usize| {
        let sql = "SELECT sum(seq_tup_read + idx_tup_fetch)::bigint FROM pg_stat_user_tables
          WHERE relname IN ('{inbox}', '{inbox}_entry')";
        let before = site.count(sql).await;
        let name = format!("{claims} purge {round}");
        let pool = pool_with(server, 1, &[("application_name", &name)]).await;
        let store = PostgresStore::new(pool.clone()).table(claims).unwrap();
        assert_eq!(store.purge_inbox(ENDPOINT, &Retention::new(MINUTE), 9999).await.unwrap(), 0);
        pool.close().await;
        soon("end of the session", ended(&name)).await;
        site.count(sql).await - before
    };
    assert!(purge(1).await >= 1000);
    let read = purge(2).await;
    assert!(read < 100, "{read} rows read");
    // The entry that is finished last leads to the body.
    site.execute(
        "UPDATE {inbox}_entry SET state = 3, finished_at = now() - interval '1 hour' WHERE state = 2",
    )
    .await;
    let purged = site.store.purge_inbox(ENDPOINT, &Retention::new(MINUTE), 9999).await.unwrap();
    assert_eq!(purged, 2000);
    assert_eq!(site.count("SELECT count(*) FROM {inbox}").await, 2000);
}

/// Processes purge the events of several consumers at once. None waits for another's lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn purges_at_once_remove_everything() {
    let site = Arc::new(Site::new().await);
    let events = (0..3000).map(|number| NewEvent::new(stored(number), DAY));
    let intake = Intake::new(ENDPOINT, &["bill", CONSUMER], events.collect());
    site.store.insert(&intake).await.unwrap();
    // Half of the events have expired. The entries of an event have finished in any order.
    site.execute(
        "UPDATE {inbox}_entry SET state = 3,
           finished_at = now() - interval '1 hour' - hashtext(event || consumer) * interval '1 us';
         UPDATE {inbox} SET expires_at = now() WHERE number % 2 = 0",
    )
    .await;
    let purges = (0..8).map(|_| {
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            site.store.purge_inbox(ENDPOINT, &Retention::new(MINUTE), 9999).await.unwrap()
        })
    });
    for purged in soon("purges at once", join_all(purges)).await {
        purged.unwrap();
    }
    // A purge skips events that others have locked.
    site.store.purge_inbox(ENDPOINT, &Retention::new(MINUTE), 9999).await.unwrap();
    assert_eq!(site.count("SELECT count(*) FROM {inbox}").await, 1500);
    assert_eq!(site.count("SELECT count(*) FROM {inbox} WHERE body IS NOT NULL").await, 0);
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(site.count(deadlocks).await, 0);
}

/// If events cannot be deleted, bodies are still purged.
#[tokio::test]
async fn bodies_are_purged_although_events_are_not() {
    let site = Site::new().await;
    site.insert(vec![event(1), NewEvent::new(stored(2), Duration::ZERO)]).await;
    site.execute(
        "UPDATE {inbox}_entry SET state = 3, finished_at = now() - interval '1 hour';
         CREATE FUNCTION {inbox}_refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE 'refused'; END $$;
         CREATE TRIGGER refuse BEFORE DELETE ON {inbox} EXECUTE FUNCTION {inbox}_refuse()",
    )
    .await;
    let retention = Retention::new(MINUTE);
    let purged = fails(site.store.purge_inbox(ENDPOINT, &retention, 10)).await;
    assert!(purged.contains("refused"), "{purged}");
    assert_eq!(site.count("SELECT count(*) FROM {inbox} WHERE body IS NOT NULL").await, 0);
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

/// The events are dropped, and thousands of their entries are left. A migration deletes them in small
/// steps, and new events do not get their numbers.
#[tokio::test]
async fn entries_of_dropped_events_are_deleted_in_batches() {
    let site = Site::new().await;
    let events = (0..2500).map(event).collect();
    let intake = Intake::new(ENDPOINT, &["bill", CONSUMER], events);
    site.store.insert(&intake).await.unwrap();
    site.execute(
        "DROP TABLE {inbox};
         UPDATE {inbox}_entry SET state = 3, finished_at = now() WHERE event % 2 = 0;
         CREATE TABLE {inbox}_deleted (rows bigint);
         CREATE FUNCTION {inbox}_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO {inbox}_deleted SELECT count(*) FROM deleted;
           RETURN NULL;
         END $$;
         CREATE TRIGGER note AFTER DELETE ON {inbox}_entry REFERENCING OLD TABLE AS deleted
           EXECUTE FUNCTION {inbox}_note()",
    )
    .await;
    site.store.migrate().await.unwrap();
    assert_eq!(site.count("SELECT count(*) FROM {inbox}_entry").await, 0);
    assert_eq!(site.count("SELECT sum(rows)::bigint FROM {inbox}_deleted").await, 5000);
    assert!(site.count("SELECT max(rows) FROM {inbox}_deleted").await <= 2000);
    site.insert(vec![event(1)]).await;
    assert_eq!(site.count("SELECT number FROM {inbox}").await, 2501);
}

/// The server of a store from `connect` cuts no call off before its own limit.
#[tokio::test]
async fn slow_maintenance_is_not_cut_off() {
    let site = Site::new().await;
    site.insert(vec![event(1)]).await;
    site.execute(
        "CREATE FUNCTION {inbox}_wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           PERFORM pg_sleep(3);
           RETURN NULL;
         END $$;
         CREATE TRIGGER wait AFTER UPDATE ON {inbox}_entry EXECUTE FUNCTION {inbox}_wait()",
    )
    .await;
    let claims = site.table.strip_suffix("_inbox").unwrap();
    let url = PostgresServer::shared().url();
    let store = PostgresStore::connect_with_table(&url, claims).await.unwrap();
    let changed = store.change(&Filter::new(ENDPOINT, 1), Change::Retry).await;
    assert_eq!(changed.unwrap(), 1);
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
