//! Receivers that commit an effect with each claim, on both databases, raced, frozen and killed.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use integration_tests::{
    Connection, Folder, Kind, PATIENCE, PostgresServer, Response, exchange, is_replay, raw_request,
    soon,
};
use serde_json::json;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, SqliteConnection,
    sqlite::SqliteConnectOptions,
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    crashes::outbox::{FLAGS, request},
    running::{Running, receiver},
};

const MS: Duration = Duration::from_millis(1);
const DATABASES: [Kind; 2] = [Kind::Sqlite, Kind::Postgres];

/// A database of a test's own.
struct Database {
    url: String,
    _folder: Folder,
}

impl Database {
    async fn new(kind: Kind) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let folder = Folder::new("payments");
        let url = if kind == Kind::Sqlite {
            format!("sqlite://{}?mode=rwc", folder.path().join("payments.db").display())
        } else {
            let server = PostgresServer::shared().url();
            let name = format!("payments_{}", COUNT.fetch_add(1, SeqCst));
            let mut connection = PgConnection::connect(&server).await.unwrap();
            let sql = AssertSqlSafe(format!("CREATE DATABASE {name}"));
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            format!("{}/{name}", server.rsplit_once('/').unwrap().0)
        };
        let database = Self { url, _folder: folder };
        // Without a key, so that the table can hold a second effect.
        database.execute("CREATE TABLE effect (event TEXT NOT NULL)").await;
        database
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

    async fn effects(&self) -> i64 {
        self.number("SELECT count(*) FROM effect").await
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
        self.start_with(&[&FLAGS, args].concat())
    }

    fn start_with(&self, args: &[&str]) -> Running {
        let mut command = receiver("axum", &self.url);
        command.args(["--effect", "before"]).args(args);
        Running::spawn(command).unwrap()
    }
}

/// Sends until it is taken, as senders do.
async fn retry(addr: SocketAddr, request: Vec<u8>) -> Response {
    let taken = async {
        loop {
            let response = exchange(addr, &request).await;
            if ![500, 503].contains(&response.status) {
                return response;
            }
            sleep(100 * MS).await;
        }
    };
    soon("response other than 500 and 503", taken).await
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            sleep(20 * MS).await;
        }
    };
    soon(what, waiting).await;
}

#[tokio::test]
async fn one_of_64_that_come_at_once() {
    for kind in DATABASES {
        let database = Database::new(kind).await;
        let running = database.start(&["--delay", "50"]);
        let raw = request("at-once");
        let mut senders = JoinSet::new();
        for _ in 0..64 {
            senders.spawn(retry(running.addr, raw.clone()));
        }
        for response in senders.join_all().await {
            assert_eq!(response.status, 204, "{kind:?}");
        }
        assert_eq!(database.effects().await, 1, "{kind:?}");
        assert_eq!(retry(running.addr, request("another")).await.status, 204, "{kind:?}");
        assert_eq!(database.effects().await, 2, "{kind:?}");
        let expected = ["at-once", "another"].map(|id| json!({ "id": id }));
        assert_eq!(running.end(), expected, "{kind:?}");
    }
}

/// A receiver that stood still for longer than its lease has no effect, and does not respond with
/// 2xx while its successor works.
#[tokio::test]
async fn a_receiver_that_was_superseded() {
    for kind in DATABASES {
        // On a busy machine a receiver may be frozen late. Then its handlers take four times as
        // long next time.
        let mut delays = (0..5).map(|tries| 400 << (2 * tries));
        loop {
            let delay: u64 = delays.next().expect("a receiver frozen in its handler");
            if is_superseded(kind, &delay.to_string()).await {
                break;
            }
        }
    }
}

/// Returns false if this proved nothing, because one of them was not frozen while its handler had a
/// claim and no transaction.
async fn is_superseded(kind: Kind, delay: &str) -> bool {
    let database = Database::new(kind).await;
    let delay = ["--delay", delay];
    let first = database.start(&delay);
    let raw = request("superseded");
    let (addr, sent) = (first.addr, raw.clone());
    let late = tokio::spawn(async move { exchange(addr, &sent).await });
    until("claim", async || database.claims().await > 0 || late.is_finished()).await;
    first.freeze();
    if late.is_finished() || database.is_changing().await || database.effects().await > 0 {
        return false;
    }
    database.expire_leases().await;

    let second = database.start(&delay);
    let successor = tokio::spawn(retry(second.addr, raw.clone()));
    until("takeover", async || database.claims().await > 1).await;
    second.freeze();
    if database.is_changing().await || database.effects().await > 0 {
        return false;
    }
    first.signal("-CONT");
    assert_eq!(late.await.unwrap().status, 500, "{kind:?}");
    assert_eq!(database.effects().await, 0, "{kind:?}");

    second.signal("-CONT");
    assert_eq!(successor.await.unwrap().status, 204, "{kind:?}");
    assert_eq!(database.effects().await, 1, "{kind:?}");
    assert!(is_replay(&retry(first.addr, raw).await), "{kind:?}");
    assert_eq!((first.end().len(), second.end().len()), (0, 1), "{kind:?}");
    true
}

/// A process is killed when the row is inserted, and before the claim is completed.
#[tokio::test]
async fn a_receiver_that_was_killed() {
    for kind in DATABASES {
        let database = Database::new(kind).await;
        let running = database.start(&[]);
        database.hang_completions().await;
        let raw = request("killed");
        let mut connection = Connection::open(running.addr).await;
        connection.send(&raw).await;
        until("transaction that hangs", async || database.hangs().await).await;
        running.signal("-KILL");
        assert_eq!(connection.response().await, None, "{kind:?}");
        database.let_completions_go_on().await;
        assert_eq!(database.effects().await, 0, "{kind:?}");
        database.expire_leases().await;

        let running = database.start(&[]);
        for is_again in [false, true] {
            let response = retry(running.addr, raw.clone()).await;
            assert_eq!((response.status, is_replay(&response)), (204, is_again), "{kind:?}");
            assert_eq!(database.effects().await, 1, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn effects_that_were_not_committed_are_not_acknowledged() {
    for kind in DATABASES {
        let database = Database::new(kind).await;
        let running = database.start(&[]);
        let raw = request("refused");
        database.execute("ALTER TABLE effect RENAME TO elsewhere").await;
        assert_eq!(exchange(running.addr, &raw).await.status, 500, "{kind:?}");
        database.execute("ALTER TABLE elsewhere RENAME TO effect").await;
        let response = retry(running.addr, raw).await;
        assert_eq!((response.status, is_replay(&response)), (204, false), "{kind:?}");
        assert_eq!(database.effects().await, 1, "{kind:?}");
        running.end();

        // Retries of this sender are not recognized, so nothing may be committed.
        let flags = ["--scheme", "shared-header", "--header", "x-token", "--secret", "test"];
        let running = database.start_with(&flags);
        let headers = [("x-token".to_owned(), "test".to_owned())];
        let raw = raw_request("POST", "/", &headers, b"{}");
        assert_eq!(retry(running.addr, raw).await.status, 501, "{kind:?}");
        assert_eq!(database.effects().await, 1, "{kind:?}");
    }
}
