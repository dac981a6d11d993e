//! The program `idempotent_transaction`, on either database, raced, frozen and killed.

#[path = "folder.rs"]
#[allow(clippy::duplicate_mod, reason = "jobs.rs is the example's as well")]
mod folder;

use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::{Duration, Instant},
};

use integration_tests::{PostgresServer, Response, exchange, raw_request};
use serde_json::json;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection,
    sqlite::SqliteConnectOptions,
};
use tokio::{task::JoinSet, time::sleep};
use webhook_verify::{
    scheme,
    testing::{SignedRequest, Signer},
};

use self::folder::Folder;
use crate::running::{Running, command_with_store};

const MS: Duration = Duration::from_millis(1);

/// A database of a test's own.
struct Database {
    url: String,
    _folder: Folder,
}

impl Database {
    fn sqlite() -> Self {
        let folder = Folder::new();
        let url = format!("{}?mode=rwc", folder.url("payments.db"));
        Self {
            url,
            _folder: folder,
        }
    }

    async fn postgres() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let server = PostgresServer::shared().url();
        let name = format!("payments_{}", COUNT.fetch_add(1, SeqCst));
        let mut connection = PgConnection::connect(&server).await.unwrap();
        let sql = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        Self {
            url: format!("{}/{name}", server.rsplit_once('/').unwrap().0),
            _folder: Folder::new(),
        }
    }

    fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    async fn execute(&self, sql: &'static str) {
        if self.is_sqlite() {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        }
    }

    async fn number(&self, sql: &'static str) -> i64 {
        if self.is_sqlite() {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut connection).await
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut connection).await
        }
        .unwrap()
    }

    async fn payments(&self) -> i64 {
        self.number("SELECT count(*) FROM payment").await
    }

    /// How often the only delivery was claimed.
    async fn claims(&self) -> i64 {
        self.number("SELECT coalesce(max(attempt), 0) FROM webhook_claim")
            .await
    }

    /// From now on, completing a claim takes longer than a test.
    async fn hang_completions(&self) {
        self.execute(if self.is_sqlite() {
            "CREATE VIEW forever AS WITH RECURSIVE c(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM c) SELECT max(x) AS x FROM c;
             CREATE TRIGGER hang BEFORE UPDATE ON webhook_claim WHEN NEW.state = 2 BEGIN SELECT x FROM forever; END"
        } else {
            "CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3); RETURN NEW; END $$;
             CREATE TRIGGER hang BEFORE UPDATE ON webhook_claim FOR EACH ROW WHEN (NEW.state = 2) EXECUTE FUNCTION hang()"
        })
        .await;
    }

    async fn let_completions_go_on(&self) {
        self.execute(if self.is_sqlite() {
            "DROP TRIGGER hang"
        } else {
            "DROP TRIGGER hang ON webhook_claim"
        })
        .await;
    }

    /// Whether a transaction hangs there, whose claim was committed before.
    async fn hangs(&self) -> bool {
        if !self.is_sqlite() {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
            return self.number(sql).await > 0;
        }
        let options: SqliteConnectOptions = self.url.parse().unwrap();
        let options = options.busy_timeout(Duration::ZERO);
        let mut connection = options.connect().await.unwrap();
        let is_locked = connection.begin_with("BEGIN IMMEDIATE").await.is_err();
        is_locked && self.claims().await > 0
    }

    fn start(&self, args: &[&str]) -> Running {
        let mut command = command_with_store("idempotent_transaction", &self.url);
        command.args(["--secret", "test"]).args(args);
        Running::spawn(command).unwrap()
    }
}

fn signed(reference: &str) -> SignedRequest {
    let body =
        json!({ "event": "charge.success", "data": { "reference": reference, "amount": 1999 } });
    let signer = Signer::new(scheme::PAYSTACK, "test").unwrap();
    signer.sign(body.to_string()).unwrap()
}

async fn send(running: &Running, request: &SignedRequest) -> Response {
    send_to(running.addr, request.clone()).await
}

async fn send_to(addr: std::net::SocketAddr, request: SignedRequest) -> Response {
    let mut headers = request.headers;
    headers.push(("content-type".into(), "application/json".into()));
    exchange(addr, &raw_request("POST", "/", &headers, &request.body)).await
}

/// Sends until it is taken, as senders do.
async fn retry(addr: std::net::SocketAddr, request: SignedRequest) -> Response {
    let start = Instant::now();
    loop {
        let response = send_to(addr, request.clone()).await;
        if response.status != 503 {
            return response;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "503 for good");
        sleep(50 * MS).await;
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        sleep(20 * MS).await;
    }
}

async fn one_of_64_that_come_at_once(database: Database) {
    let running = database.start(&["--delay", "50"]);
    let request = signed("at-once");
    let mut senders = JoinSet::new();
    for _ in 0..64 {
        senders.spawn(retry(running.addr, request.clone()));
    }
    for response in senders.join_all().await {
        assert_eq!(response.status, 204);
    }
    assert_eq!(database.payments().await, 1);
    assert_eq!(retry(running.addr, signed("another")).await.status, 204);
    assert_eq!(database.payments().await, 2);
    let printed = running.end();
    let expected = ["at-once", "another"].map(|event| json!({ "event": event, "amount": 1999 }));
    assert_eq!(printed, expected);
}

#[tokio::test]
async fn one_of_64_that_come_at_once_on_sqlite() {
    one_of_64_that_come_at_once(Database::sqlite()).await;
}

#[tokio::test]
async fn one_of_64_that_come_at_once_on_postgres() {
    one_of_64_that_come_at_once(Database::postgres().await).await;
}

/// Who stood still for longer than its lease pays nothing, and does not say that all is well while its successor works.
async fn who_was_superseded(database: Database) {
    let first = database.start(&["--lease", "3", "--delay", "1000"]);
    let request = signed("superseded");
    let late = tokio::spawn(send_to(first.addr, request.clone()));
    until("the claim", async || database.claims().await == 1).await;
    first.signal("-STOP");
    sleep(3100 * MS).await;

    let second = database.start(&["--lease", "3", "--delay", "2500"]);
    let successor = tokio::spawn(retry(second.addr, request.clone()));
    until("the takeover", async || database.claims().await == 2).await;
    first.signal("-CONT");
    assert_eq!(late.await.unwrap().status, 503);
    assert_eq!(database.payments().await, 0);

    assert_eq!(successor.await.unwrap().status, 204);
    assert_eq!(database.payments().await, 1);
    let again = send(&first, &request).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!((first.end().len(), second.end().len()), (0, 1));
}

#[tokio::test]
async fn who_was_superseded_on_sqlite() {
    who_was_superseded(Database::sqlite()).await;
}

#[tokio::test]
async fn who_was_superseded_on_postgres() {
    who_was_superseded(Database::postgres().await).await;
}

/// A process that is killed when the row is inserted, the claim about to be completed and nothing committed.
async fn who_was_killed(database: Database) {
    let running = database.start(&["--lease", "1"]);
    database.hang_completions().await;
    let request = signed("killed");
    let lost = tokio::spawn({
        let (addr, request) = (running.addr, request.clone());
        async move {
            let mut connection = integration_tests::Connection::open(addr).await;
            let mut headers = request.headers;
            headers.push(("content-type".into(), "application/json".into()));
            connection
                .send(&raw_request("POST", "/", &headers, &request.body))
                .await;
            connection.response().await
        }
    });
    until("the transaction", async || database.hangs().await).await;
    running.signal("-KILL");
    assert_eq!(lost.await.unwrap(), None);
    database.let_completions_go_on().await;
    assert_eq!(database.payments().await, 0);

    let running = database.start(&["--lease", "1"]);
    let response = retry(running.addr, request.clone()).await;
    assert_eq!(response.status, 204);
    assert_eq!(response.header("idempotent-replayed"), None);
    assert_eq!(database.payments().await, 1);
    let again = send(&running, &request).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(database.payments().await, 1);
}

#[tokio::test]
async fn who_was_killed_on_sqlite() {
    who_was_killed(Database::sqlite()).await;
}

#[tokio::test]
async fn who_was_killed_on_postgres() {
    who_was_killed(Database::postgres().await).await;
}

async fn what_was_not_recorded_is_not_acknowledged(database: Database) {
    let running = database.start(&[]);
    let request = signed("refused");
    database
        .execute("ALTER TABLE payment RENAME TO elsewhere")
        .await;
    assert_eq!(send(&running, &request).await.status, 503);
    database
        .execute("ALTER TABLE elsewhere RENAME TO payment")
        .await;
    let response = send(&running, &request).await;
    assert_eq!(response.status, 204);
    assert_eq!(response.header("idempotent-replayed"), None);
    assert_eq!(database.payments().await, 1);
    running.end();

    // Nothing tells a retry of such a sender from a second payment.
    let running = database.start(&["--scheme", "shared-header", "--header", "x-token"]);
    let mut request = signed("unclaimed");
    request.headers = vec![("x-token".into(), "test".into())];
    assert_eq!(send(&running, &request).await.status, 500);
    assert_eq!(database.payments().await, 1);
}

#[tokio::test]
async fn what_was_not_recorded_is_not_acknowledged_on_sqlite() {
    what_was_not_recorded_is_not_acknowledged(Database::sqlite()).await;
}

#[tokio::test]
async fn what_was_not_recorded_is_not_acknowledged_on_postgres() {
    what_was_not_recorded_is_not_acknowledged(Database::postgres().await).await;
}
