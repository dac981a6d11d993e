//! The program `idempotent_transaction`, on either database, raced, frozen and killed.

#[path = "folder.rs"]
#[allow(clippy::duplicate_mod, reason = "jobs.rs is the example's as well")]
mod folder;

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use integration_tests::{PATIENCE, PostgresServer, Response, exchange, raw_request, soon};
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
        Self { url, _folder: folder }
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

    /// A connection that waits so long for a lock.
    async fn sqlite_connection(&self, busy_timeout: Duration) -> SqliteConnection {
        let options: SqliteConnectOptions = self.url.parse().unwrap();
        let options = options.busy_timeout(busy_timeout);
        options.connect().await.unwrap()
    }

    async fn execute(&self, sql: &'static str) {
        if self.is_sqlite() {
            let mut connection = self.sqlite_connection(PATIENCE).await;
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        }
    }

    async fn number(&self, sql: &'static str) -> i64 {
        if self.is_sqlite() {
            let mut connection = self.sqlite_connection(PATIENCE).await;
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
        self.number("SELECT coalesce(max(attempt), 0) FROM webhook_claim").await
    }

    /// Lets all leases expire.
    async fn expire_leases(&self) {
        self.execute(if self.is_sqlite() {
            "UPDATE webhook_claim SET lease_until = 1 WHERE state = 1"
        } else {
            "UPDATE webhook_claim SET lease_until = now() - interval '1 s' WHERE state = 1"
        })
        .await;
    }

    /// From now on, completing a claim takes longer than a test.
    async fn hang_completions(&self) {
        self.execute(if self.is_sqlite() {
            "CREATE VIEW forever AS WITH RECURSIVE c(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM c) SELECT max(x) AS x FROM c;
             CREATE TRIGGER hang BEFORE UPDATE ON webhook_claim WHEN NEW.state = 2 BEGIN SELECT x FROM forever; END"
        } else {
            "CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); RETURN NEW; END $$;
             CREATE TRIGGER hang BEFORE UPDATE ON webhook_claim FOR EACH ROW WHEN (NEW.state = 2) EXECUTE FUNCTION hang()"
        })
        .await;
    }

    /// Ends what hangs, and lets completions go on.
    async fn let_completions_go_on(&self) {
        if self.is_sqlite() {
            return self.execute("DROP TRIGGER hang").await;
        }
        // The server does not notice that a client has died before it has an answer for it.
        let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event = 'PgSleep'";
        self.number(ended).await;
        self.execute("DROP TRIGGER hang ON webhook_claim").await;
    }

    /// Whether a transaction hangs there, whose claim was committed before.
    async fn hangs(&self) -> bool {
        if self.is_sqlite() {
            return self.is_changing().await && self.claims().await > 0;
        }
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
        self.number(sql).await > 0
    }

    /// Whether another's transaction is open. In SQLite it keeps all others from writing.
    async fn is_changing(&self) -> bool {
        if self.is_sqlite() {
            let mut connection = self.sqlite_connection(Duration::ZERO).await;
            return connection.begin_with("BEGIN IMMEDIATE").await.is_err();
        }
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid()";
        self.number(sql).await > 0
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

async fn send_to(addr: SocketAddr, request: SignedRequest) -> Response {
    let mut headers = request.headers;
    headers.push(("content-type".into(), "application/json".into()));
    exchange(addr, &raw_request("POST", "/", &headers, &request.body)).await
}

/// Sends until it is taken, as senders do.
async fn retry(addr: SocketAddr, request: SignedRequest) -> Response {
    let taken = async {
        loop {
            let response = send_to(addr, request.clone()).await;
            if response.status != 503 {
                return response;
            }
            sleep(100 * MS).await;
        }
    };
    soon("response other than 503", taken).await
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            sleep(20 * MS).await;
        }
    };
    soon(what, waiting).await;
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
async fn who_was_superseded(database: impl AsyncFn() -> Database) {
    // On a busy machine a receiver may be frozen late. Then its handlers take four times as long next time.
    let mut delays = (0..5).map(|tries| 400 << (2 * tries));
    loop {
        let delay: u64 = delays.next().expect("a receiver frozen in its handler");
        if is_superseded(&database().await, &delay.to_string()).await {
            return;
        }
    }
}

/// False if nothing was proved, as one of them was not frozen while its handler had a claim and no transaction.
async fn is_superseded(database: &Database, delay: &str) -> bool {
    let delay = ["--delay", delay];
    let first = database.start(&delay);
    let request = signed("superseded");
    let late = tokio::spawn(send_to(first.addr, request.clone()));
    until("claim", async || database.claims().await > 0 || late.is_finished()).await;
    first.freeze();
    if late.is_finished() || database.is_changing().await || database.payments().await > 0 {
        return false;
    }
    database.expire_leases().await;

    let second = database.start(&delay);
    let successor = tokio::spawn(retry(second.addr, request.clone()));
    until("takeover", async || database.claims().await > 1).await;
    second.freeze();
    if database.is_changing().await || database.payments().await > 0 {
        return false;
    }
    first.signal("-CONT");
    assert_eq!(late.await.unwrap().status, 503);
    assert_eq!(database.payments().await, 0);

    second.signal("-CONT");
    assert_eq!(successor.await.unwrap().status, 204);
    assert_eq!(database.payments().await, 1);
    let again = retry(first.addr, request).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!((first.end().len(), second.end().len()), (0, 1));
    true
}

#[tokio::test]
async fn who_was_superseded_on_sqlite() {
    who_was_superseded(async || Database::sqlite()).await;
}

#[tokio::test]
async fn who_was_superseded_on_postgres() {
    who_was_superseded(Database::postgres).await;
}

/// A process that is killed when the row is inserted, the claim about to be completed and nothing committed.
async fn who_was_killed(database: Database) {
    let running = database.start(&[]);
    database.hang_completions().await;
    let request = signed("killed");
    let lost = tokio::spawn({
        let (addr, request) = (running.addr, request.clone());
        async move {
            let mut connection = integration_tests::Connection::open(addr).await;
            let mut headers = request.headers;
            headers.push(("content-type".into(), "application/json".into()));
            connection.send(&raw_request("POST", "/", &headers, &request.body)).await;
            connection.response().await
        }
    });
    until("transaction that hangs", async || database.hangs().await).await;
    running.signal("-KILL");
    assert_eq!(lost.await.unwrap(), None);
    database.let_completions_go_on().await;
    assert_eq!(database.payments().await, 0);
    database.expire_leases().await;

    let running = database.start(&[]);
    let response = retry(running.addr, request.clone()).await;
    assert_eq!(response.status, 204);
    assert_eq!(response.header("idempotent-replayed"), None);
    assert_eq!(database.payments().await, 1);
    let again = retry(running.addr, request).await;
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
    database.execute("ALTER TABLE payment RENAME TO elsewhere").await;
    assert_eq!(send_to(running.addr, request.clone()).await.status, 503);
    database.execute("ALTER TABLE elsewhere RENAME TO payment").await;
    let response = retry(running.addr, request).await;
    assert_eq!(response.status, 204);
    assert_eq!(response.header("idempotent-replayed"), None);
    assert_eq!(database.payments().await, 1);
    running.end();

    // Nothing tells a retry of such a sender from a second payment.
    let running = database.start(&["--scheme", "shared-header", "--header", "x-token"]);
    let mut request = signed("unclaimed");
    request.headers = vec![("x-token".into(), "test".into())];
    assert_eq!(retry(running.addr, request).await.status, 500);
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
