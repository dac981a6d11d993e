//! `PostgresStore` behind PgBouncer, whose connections to the server another application shares.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::future::join_all;
use integration_tests::{
    App, Calls as _, Connection, Framework, Handler, PATIENCE, PgBouncer, PostgresServer, again,
    age, age_inbox, answer, assert_replay, exchange, fresh, raw_request, size, soon, try_exchange,
    won,
};
use sqlx::{
    AssertSqlSafe, PgPool, Row as _,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use webhook_verify::{
    Idempotency, PostgresStore, Receiver, Verifier,
    idempotency::{ClaimOutcome, ClaimStore as _, Settled, StoredResponse},
    inbox::InboxStore as _,
    scheme,
    testing::{
        Signer,
        conformance::{Suite, inbox},
    },
};

const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const CLIENTS: usize = 32;
/// The settings of the other application on all connections to the server.
const SETTINGS: [(&str, &str); 5] = [
    ("statement_timeout", "1min"),
    ("lock_timeout", "50s"),
    ("search_path", "public, other"),
    ("default_transaction_isolation", "serializable"),
    ("bytea_output", "escape"),
];
/// More than one connection of the pooler: in session mode, each client needs one of its own.
const MODES: [(&str, usize); 2] = [("transaction", 4), ("session", 40)];

/// A server, and a pooler in front of it.
struct Site {
    server: PostgresServer,
    pooler: PgBouncer,
}

impl Site {
    async fn new((mode, connections): (&'static str, usize)) -> Self {
        let server = PostgresServer::until_started().await;
        let pooler = PgBouncer::start(&server, mode, connections);
        Self { server, pooler }
    }

    /// Returns a pool of a user, or of another application, through the pooler.
    async fn pool(&self, most: u32) -> PgPool {
        let options: PgConnectOptions = self.pooler.url().parse().unwrap();
        PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(PATIENCE)
            .connect_with(options.extra_float_digits(None).application_name("other"))
            .await
            .unwrap()
    }

    /// Returns the store of `connect`, and a store on a pool of the user.
    async fn stores(&self) -> [PostgresStore; 2] {
        let connected = PostgresStore::connect(&self.pooler.url()).await.unwrap();
        let own = PostgresStore::new(self.pool(10).await);
        own.migrate().await.unwrap();
        [connected, own]
    }
}

async fn execute(pool: &PgPool, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(pool).await.unwrap();
}

/// Another application behind the same pooler. It works until it is ended.
struct Other {
    ends: Arc<AtomicBool>,
    work: JoinHandle<usize>,
}

impl Other {
    /// Changes the settings of all connections to the server, and then uses them.
    async fn start(site: &Site, connections: usize) -> Self {
        let pool = site.pool(4).await;
        execute(&pool, "CREATE TABLE other_work (number int); INSERT INTO other_work VALUES (1)")
            .await;
        set_on_all(site, &pool, connections).await;
        let ends = Arc::new(AtomicBool::new(false));
        let work = tokio::spawn(work(pool, Arc::clone(&ends)));
        Self { ends, work }
    }

    /// Returns how often the application has found its settings unchanged.
    async fn end(self) -> usize {
        self.ends.store(true, SeqCst);
        soon("end of the other application", self.work).await.unwrap()
    }
}

/// Keeps as many transactions open at once as the pooler has connections to the server.
async fn set_on_all(site: &Site, pool: &PgPool, connections: usize) {
    let connections = connections.min(4);
    let mut open = Vec::new();
    for _ in 0..connections {
        let mut transaction = pool.begin().await.unwrap();
        for (name, value) in SETTINGS {
            let set = format!("SELECT set_config('{name}', '{value}', false)");
            sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut *transaction).await.unwrap();
        }
        open.push(transaction);
    }
    let admin = PgPool::connect(&site.server.url()).await.unwrap();
    let held = "SELECT count(*)::text FROM pg_stat_activity WHERE state = 'idle in transaction'";
    assert_eq!(shown(&admin, held).await, connections.to_string());
    for transaction in open {
        transaction.commit().await.unwrap();
    }
}

/// Runs queries that take longer than any limit of a store, and checks the settings.
async fn work(pool: PgPool, ends: Arc<AtomicBool>) -> usize {
    let slow = async {
        while !ends.load(SeqCst) {
            execute(&pool, "SELECT pg_sleep(3)").await;
        }
    };
    // The second of two updates of one row waits for longer than a store does.
    let waits = async || {
        while !ends.load(SeqCst) {
            execute(
                &pool,
                "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
                 UPDATE other_work SET number = number + 1; SELECT pg_sleep(1)",
            )
            .await;
        }
    };
    let checks = async {
        let mut checks = 0;
        while !ends.load(SeqCst) || checks == 0 {
            for (name, value) in SETTINGS.into_iter().chain([("application_name", "other")]) {
                let shown: String = shown(&pool, &format!("SHOW {name}")).await;
                assert_eq!(shown, value, "{name}");
            }
            let prepared = shown(&pool, "SELECT count(*)::text FROM pg_prepared_statements").await;
            assert_eq!(prepared, "0");
            checks += 1;
            sleep(5 * MS).await;
        }
        checks
    };
    tokio::join!(slow, waits(), waits(), checks).3
}

async fn shown(pool: &PgPool, sql: &str) -> String {
    let row = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_one(pool).await.unwrap();
    row.get(0)
}

fn receiver(store: &PostgresStore, lease: Duration) -> Receiver {
    let idempotency = Idempotency::new(store.clone(), "tests");
    Receiver::builder(Verifier::new(scheme::STANDARD_WEBHOOKS, SECRET).unwrap())
        .idempotency(idempotency.lease(lease).claim_timeout(lease / 5))
        .build()
        .unwrap()
}

/// Returns the bytes of a delivery.
fn event(id: &str) -> Vec<u8> {
    let signer = Signer::new(scheme::STANDARD_WEBHOOKS, SECRET).unwrap();
    let signed = signer.id(id).sign("{}").unwrap();
    raw_request(&signed.method, &signed.target, &signed.headers, &signed.body)
}

/// The runs of a handler, by event.
#[derive(Clone, Default)]
struct Runs(Arc<Mutex<HashMap<String, usize>>>);

impl Runs {
    /// Returns how many events ran, and how many runs there were beyond the first of an event.
    fn counts(&self) -> (usize, usize) {
        let runs = self.0.lock().unwrap();
        (runs.len(), runs.values().sum::<usize>() - runs.len())
    }
}

/// Returns a handler that counts its runs.
fn counted() -> (Runs, Handler) {
    let runs = Runs::default();
    let counted = runs.clone();
    let handler: Handler = Arc::new(move |delivery| {
        let id = delivery.id().unwrap().into_owned();
        *counted.0.lock().unwrap().entry(id).or_default() += 1;
        Box::pin(async { 200 })
    });
    (runs, handler)
}

/// Makes the clients deliver events, numbered from 0, each on its own connection.
async fn deliver<F: Future<Output = ()> + Send + 'static>(
    events: usize,
    client: impl Fn(Vec<usize>) -> F,
) {
    let mut clients = JoinSet::new();
    for first in 0..CLIENTS {
        clients.spawn(client((first..events).step_by(CLIENTS).collect()));
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

/// 10,000 deliveries from 32 clients: all are accepted, each runs once, and the other application
/// notices nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_deliveries() {
    let events = size(2_000, 10_000);
    for (mode, connections) in MODES {
        let site = Site::new((mode, connections)).await;
        let other = Other::start(&site, connections).await;
        // A server that ends drops its connections, some during a ping. The pooler then replaces
        // its own connection, which loses the settings. So all servers end after the checks.
        let mut servers = Vec::new();
        for (kind, store) in ["connect", "own"].into_iter().zip(site.stores().await) {
            let app = App::new(receiver(&store, Duration::from_secs(60)), answer(200));
            let server = app.serve(Framework::Axum).await;
            let addr = server.addr;
            servers.push(server);
            let refused = Arc::new(AtomicUsize::new(0));
            deliver(events, |numbers| {
                let refused = Arc::clone(&refused);
                async move {
                    let mut connection = Connection::open(addr).await;
                    for number in numbers {
                        connection.send(&event(&format!("{kind}_{number}"))).await;
                        let response = connection.response().await.unwrap();
                        refused.fetch_add(usize::from(response.status != 200), SeqCst);
                    }
                }
            })
            .await;
            assert_eq!(refused.load(SeqCst), 0, "{mode}, {kind}");
            assert_eq!(app.runs(), events, "{mode}, {kind}");
            // Another process does not remember what this one has completed.
            let late = App::new(receiver(&store, Duration::from_secs(60)), answer(200));
            let server = late.serve(Framework::Actix).await;
            for number in (0..events).step_by(events / 100) {
                assert_replay(
                    &exchange(server.addr, &event(&format!("{kind}_{number}"))).await,
                    200,
                );
            }
            servers.push(server);
            assert_eq!(late.runs(), 0);
            eprintln!("{mode}, {kind}: {events} deliveries, 0 refused, 0 run twice");
        }
        let checks = other.end().await;
        assert!(checks > 1);
        eprintln!("{mode}: settings of the other application unchanged in {checks} checks");
    }
}

/// The pooler is killed three times under load. The senders repeat what was not accepted, and
/// nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_restarts() {
    let events = size(500, 5_000);
    for mode in MODES {
        let mut site = Site::new(mode).await;
        for (kind, store) in ["connect", "own"].into_iter().zip(site.stores().await) {
            let (runs, handler) = counted();
            let app = App::new(receiver(&store, Duration::from_secs(5)), handler);
            let server = app.serve(Framework::Axum).await;
            let accepted = Arc::new(AtomicUsize::new(0));
            let delivering = deliver(events, |numbers| {
                let (addr, accepted) = (server.addr, Arc::clone(&accepted));
                async move {
                    for number in numbers {
                        until_accepted(addr, &event(&format!("{kind}_{number}"))).await;
                        accepted.fetch_add(1, SeqCst);
                    }
                }
            });
            let restarting = async {
                for part in 1..=3 {
                    let enough = async {
                        while accepted.load(SeqCst) < part * events / 4 {
                            sleep(MS).await;
                        }
                    };
                    soon("accepted deliveries", enough).await;
                    site.pooler.restart();
                }
            };
            tokio::join!(delivering, restarting);
            let (ran, again) = runs.counts();
            assert_eq!(ran, events, "{mode:?}, {kind}");
            eprintln!("{mode:?}, {kind}: {events} delivered, {again} runs repeated");
            // Every success is recorded by now, or is remembered by the process that had it.
            for number in (0..events).step_by(events / 100) {
                let event = event(&format!("{kind}_{number}"));
                assert_replay(&exchange(server.addr, &event).await, 200);
            }
        }
    }
}

/// Sends a delivery until it is accepted, as senders do.
async fn until_accepted(addr: SocketAddr, event: &[u8]) {
    let sending = async {
        while try_exchange(addr, event, PATIENCE).await.is_none_or(|got| got.status != 200) {
            sleep(20 * MS).await;
        }
    };
    soon("accepted delivery", sending).await;
}

/// The server restarts behind the pooler, with all records.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts() {
    for mode in MODES {
        let mut site = Site::new(mode).await;
        let stores = site.stores().await;
        let held = fresh(HOUR, HOUR);
        assert_eq!(stores[0].claim_one(&held).await.unwrap(), won(1));
        site.server.restart();
        for store in stores {
            let claim = fresh(HOUR, HOUR);
            let claims = async {
                loop {
                    match store.claim_one(&claim).await {
                        Ok(outcome) => return outcome,
                        Err(_) => sleep(20 * MS).await,
                    }
                }
            };
            assert_eq!(soon("claim after the restart", claims).await, won(1));
            let outcome = store.claim_one(&again(&held)).await.unwrap();
            assert!(matches!(outcome, ClaimOutcome::Busy { .. }), "{outcome:?}");
        }
    }
}

/// A call waits for a lock of another transaction for longer than its caller waits. The server
/// cancels this call, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_take_too_long() {
    for mode in MODES {
        let site = Site::new(mode).await;
        let admin = PgPool::connect(&site.server.url()).await.unwrap();
        let pool = site.pool(1).await;
        for store in site.stores().await {
            let store = store.lock_timeout(HOUR);
            let other = tokio::spawn({
                let pool = pool.clone();
                async move { execute(&pool, "SELECT 'slow', pg_sleep(3)").await }
            });
            until_shown(&admin, "query LIKE '%slow%' AND state = 'active'", true).await;
            let mut open = admin.begin().await.unwrap();
            sqlx::query("LOCK TABLE webhook_claim").execute(&mut *open).await.unwrap();
            let claims: Vec<_> = (0..3).map(|_| fresh(HOUR, HOUR).within(300 * MS)).collect();
            let calls = join_all(claims.iter().map(|claim| store.claim_one(claim))).await;
            assert!(calls.iter().all(Result::is_err), "{calls:?}");
            until_shown(&admin, "wait_event_type = 'Lock'", false).await;
            open.rollback().await.unwrap();
            other.await.unwrap();
            let claim = fresh(HOUR, HOUR);
            assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
        }
    }
}

/// Waits until a server process of a certain kind is there, or none is.
async fn until_shown(admin: &PgPool, kind: &str, there: bool) {
    let sql = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE {kind} AND pid <> pg_backend_pid()"
    );
    let waiting = async {
        while (shown(admin, &sql).await == "0") == there {
            sleep(5 * MS).await;
        }
    };
    soon(kind, waiting).await;
}

/// All cases of `testing::conformance`, while the connections have the other application's
/// settings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conformance() {
    for (mode, connections) in MODES {
        let site = Site::new((mode, connections)).await;
        let url = site.server.url();
        set_on_all(&site, &site.pool(4).await, connections).await;
        for (table, store) in ["connect", "own"].into_iter().zip(site.stores().await) {
            let store = store.table(table).unwrap().lock_timeout(PATIENCE);
            store.migrate().await.unwrap();
            let suite = Suite::new(&store).keeps_responses().tick(Duration::from_secs(60));
            let age = async |by: Duration| age(&url, table, by.as_millis() as i64).await;
            suite.run(age).await.unwrap();
            let suite = inbox::Suite::new(&store).tick(Duration::from_secs(60));
            let age = async |by| age_inbox(&url, &format!("{table}_inbox"), by).await;
            suite.run(age).await.unwrap();
            store.announce("orders").await.unwrap();
            // A pooler gives the connection to others, so workers look for events at an interval.
            soon("error of a watch", store.watch("orders", &|| {})).await.unwrap_err();
        }
    }
}

/// A handler's transaction completes the claim.
#[tokio::test]
async fn effects_in_the_transaction() {
    for mode in MODES {
        let site = Site::new(mode).await;
        let pool = site.pool(4).await;
        execute(&pool, "CREATE TABLE payment (id text PRIMARY KEY)").await;
        for (kind, store) in ["connect", "own"].into_iter().zip(site.stores().await) {
            let (users, handlers) = (pool.clone(), store.clone());
            let handler: Handler = Arc::new(move |delivery| {
                let (pool, store) = (users.clone(), handlers.clone());
                Box::pin(async move {
                    let mut transaction = pool.begin().await.unwrap();
                    sqlx::query("INSERT INTO payment VALUES ($1)")
                        .bind(delivery.id().as_deref())
                        .persistent(false)
                        .execute(&mut *transaction)
                        .await
                        .unwrap();
                    store.commit(transaction, &delivery, 201).await.unwrap();
                    201
                })
            });
            let app = App::new(receiver(&store, Duration::from_secs(60)), handler);
            let server = app.serve(Framework::Axum).await;
            for number in 0..20 {
                let event = event(&format!("{kind}_{number}"));
                assert_eq!(exchange(server.addr, &event).await.status, 201);
                assert_replay(&exchange(server.addr, &event).await, 201);
            }
            assert_eq!(app.runs(), 20);
        }
        assert_eq!(shown(&pool, "SELECT count(*)::text FROM payment").await, "40");
    }
}

/// A response is stored, and read by another process.
#[tokio::test]
async fn stored_responses() {
    for mode in MODES {
        let site = Site::new(mode).await;
        for store in site.stores().await {
            let claim = fresh(HOUR, HOUR);
            assert_eq!(store.claim_one(&claim).await.unwrap(), won(1));
            let response = StoredResponse::new("text/xml", b"<it's />\\\0\xff").unwrap();
            let completed = store.complete_with(&claim.holder(), 200, HOUR, &response).await;
            assert_eq!(completed.unwrap(), Settled::Applied);
            assert_eq!(store.response(&claim.key, HOUR).await.unwrap(), Some(response));
        }
    }
}

/// The pooler refuses options of the URL, and the `search_path` of the role decides. A table with
/// its schema is found whatever the other application sets on the connections.
#[tokio::test]
async fn search_paths() {
    let site = Site::new(("transaction", 1)).await;
    let url = format!("{}?options[search_path]=hooks", site.pooler.url());
    let refused = format!("{:#}", PostgresStore::connect(&url).await.unwrap_err());
    assert!(refused.contains("unsupported startup parameter: options"), "{refused}");
    assert!(refused.contains("schema.table"), "{refused}");

    let admin = PgPool::connect(&site.server.url()).await.unwrap();
    execute(&admin, "CREATE SCHEMA hooks; ALTER ROLE postgres SET search_path = hooks").await;
    let claims = async |store: &PostgresStore| store.claim_one(&fresh(HOUR, HOUR)).await;
    let store = PostgresStore::connect(&site.pooler.url()).await.unwrap();
    assert_eq!(claims(&store).await.unwrap(), won(1));
    assert_eq!(shown(&admin, "SELECT count(*)::text FROM hooks.webhook_claim").await, "1");

    execute(&site.pool(1).await, "SET search_path = other").await;
    let missing = format!("{:#}", claims(&store).await.unwrap_err());
    assert!(missing.contains("table webhook_claim does not exist"), "{missing}");
    let url = site.pooler.url();
    let store = PostgresStore::connect_with_table(&url, "hooks.webhook_claim").await.unwrap();
    assert_eq!(claims(&store).await.unwrap(), won(1));
}
