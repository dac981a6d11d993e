//! Effects in the transaction that completes the event: exactly once.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll},
};

use integration_tests::{
    AnyStore, Gate, Kind, Logs, PATIENCE, Place, Proxy, age_inbox, each_store, soon, unique,
};
use sqlx::{
    AssertSqlSafe, PgPool, Postgres, Sqlite, SqlitePool, Transaction, postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};
use tokio::time::sleep;
use webhook_verify::{
    idempotency::CommitError,
    inbox::{EntryState, Inbox, InboxEvent},
};

use crate::common::*;

/// An inbox, and a table in the same database.
#[derive(Clone)]
enum Ledger {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

enum Open {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Ledger {
    /// Opens the inbox and the table of a place.
    async fn open(place: &Place) -> (Self, Inbox) {
        Self::open_with(place, Faults::default()).await
    }

    /// Opens a ledger as [`open`](Self::open) does. `faults` makes calls of the inbox's store fail.
    async fn open_with(place: &Place, faults: Faults) -> (Self, Inbox) {
        let sql = "CREATE TABLE IF NOT EXISTS effects (event text NOT NULL)";
        let name = unique("inbox");
        match place.open().await {
            AnyStore::Sqlite(inner) => {
                let options = place.url.parse::<SqliteConnectOptions>().unwrap();
                let pool = SqlitePool::connect_with(options.busy_timeout(PATIENCE)).await.unwrap();
                sqlx::raw_sql(sql).execute(&pool).await.unwrap();
                (Self::Sqlite(pool), Inbox::new(Faulty { inner, faults }, name))
            }
            AnyStore::Postgres(inner) => {
                let pool = PgPool::connect(&place.url).await.unwrap();
                sqlx::raw_sql(sql).execute(&pool).await.unwrap();
                (Self::Postgres(pool), Inbox::new(Faulty { inner, faults }, name))
            }
            other => panic!("no inboxes in {other:?}"),
        }
    }

    /// Begins a transaction with the effect of an event.
    async fn begin(&self, event: &InboxEvent) -> Open {
        let sql = AssertSqlSafe(format!("INSERT INTO effects VALUES ('{}')", event.id().unwrap()));
        match self {
            Self::Sqlite(pool) => {
                let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
                sqlx::raw_sql(sql).execute(&mut *transaction).await.unwrap();
                Open::Sqlite(transaction)
            }
            Self::Postgres(pool) => {
                let mut transaction = pool.begin().await.unwrap();
                sqlx::raw_sql(sql).execute(&mut *transaction).await.unwrap();
                Open::Postgres(transaction)
            }
        }
    }

    async fn effects(&self) -> Vec<String> {
        let sql = "SELECT event FROM effects ORDER BY event";
        match self {
            Self::Sqlite(pool) => sqlx::query_scalar(sql).fetch_all(pool).await,
            Self::Postgres(pool) => sqlx::query_scalar(sql).fetch_all(pool).await,
        }
        .unwrap()
    }
}

/// Lets each commit wait until the table `gate` has a row. If `fails` is true in it, the first commit
/// fails.
const HOLD_COMMITS: &str = "CREATE TABLE gate (fails boolean NOT NULL);
    CREATE SEQUENCE commits;
    CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.005); END LOOP;
      IF nextval('commits') = 1 AND (SELECT fails FROM gate) THEN
        RAISE 'on purpose';
      END IF;
      RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON effects
      DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_at_gate()";

impl Ledger {
    async fn execute(&self, sql: &'static str) {
        match self {
            Self::Sqlite(pool) => drop(sqlx::raw_sql(sql).execute(pool).await.unwrap()),
            Self::Postgres(pool) => drop(sqlx::raw_sql(sql).execute(pool).await.unwrap()),
        }
    }

    /// Connects again, as another process does. If the commit of a dropped transaction has failed,
    /// SQLx can no longer use that connection to SQLite.
    async fn connect_again(&self) -> Self {
        match self {
            Self::Sqlite(pool) => {
                let options = SqliteConnectOptions::clone(&pool.connect_options());
                Self::Sqlite(SqlitePool::connect_with(options).await.unwrap())
            }
            Self::Postgres(pool) => {
                let options = PgConnectOptions::clone(&pool.connect_options());
                Self::Postgres(PgPool::connect_with(options).await.unwrap())
            }
        }
    }

    /// Waits until a commit waits at the gate.
    async fn until_committing(&self) {
        let Self::Postgres(pool) = self else { panic!("SQLite has no gate") };
        let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity a
            JOIN pg_locks l ON l.pid = a.pid AND l.relation = 'effects'::regclass
            WHERE a.query = 'COMMIT' AND a.state = 'active')";
        let committing = async {
            while !sqlx::query_scalar::<_, bool>(sql).fetch_one(pool).await.unwrap() {
                sleep(5 * MS).await;
            }
        };
        soon("commit", committing).await;
    }
}

impl Open {
    async fn commit(self, event: &InboxEvent) -> Result<(), CommitError> {
        match self {
            Self::Sqlite(transaction) => event.commit(transaction).await,
            Self::Postgres(transaction) => event.commit(transaction).await,
        }
    }
}

#[tokio::test]
async fn an_event_is_done_once_its_transaction_is_committed() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        let (ledger, inbox) = Ledger::open(place).await;
        store(&inbox, ["fails-after", "fails-before", "ok", "panics-after", "twice"]).await;
        let (of_handler, notes) = (ledger.clone(), Notes::default());
        let noted = notes.clone();
        let worker = inbox.worker(move |event: InboxEvent| {
            let (ledger, notes) = (of_handler.clone(), noted.clone());
            async move {
                let id = event.id().unwrap();
                notes.add(format!("{id} {}", event.attempt()));
                let open = ledger.begin(&event).await;
                if id == "fails-before" && event.attempt() == 1 {
                    return Err("on purpose".into());
                }
                open.commit(&event).await?;
                match id {
                    "fails-after" => return Err("on purpose".into()),
                    "panics-after" => panic!("on purpose"),
                    "twice" => {
                        let again = ledger.begin(&event).await.commit(&event).await;
                        assert!(matches!(again, Err(CommitError::AlreadyCompleted)), "{again:?}");
                        notes.add("twice is refused");
                    }
                    _ => {}
                }
                Ok(())
            }
        });
        let working = work(worker.backoff(MS, MS).poll_every(5 * MS).concurrency(3));
        until(&inbox, EntryState::Done, 5).await;
        notes.until(7).await;
        working.stop().await;
        let ids = ["fails-after", "fails-before", "ok", "panics-after", "twice"];
        assert_eq!(ledger.effects().await, ids);
        let expected = [
            "fails-after 1",
            "fails-before 1",
            "fails-before 2",
            "ok 1",
            "panics-after 1",
            "twice 1",
            "twice is refused",
        ];
        assert_eq!(notes.sorted(), expected);
        assert!(!is_logged(&logs, &inbox, "lease lost"));
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_was_overtaken_cannot_commit() {
    each_store(&STORES, async |place| {
        let (ledger, inbox) = Ledger::open(place).await;
        store(&inbox, ["evt-1"]).await;
        let (of_handler, notes, gate) = (ledger.clone(), Notes::default(), Gate::new());
        let (noted, at_gate) = (notes.clone(), gate.clone());
        let worker = inbox.worker(move |event: InboxEvent| {
            let (ledger, notes, gate) = (of_handler.clone(), noted.clone(), at_gate.clone());
            async move {
                if event.attempt() == 1 {
                    let late = event.clone();
                    // The work of a handler may outlive it.
                    tokio::spawn(async move {
                        gate.wait().await;
                        let commit = ledger.begin(&late).await.commit(&late).await;
                        assert!(matches!(commit, Err(CommitError::Superseded)), "{commit:?}");
                        notes.add("refused");
                    });
                    return Err("on purpose".into());
                }
                gate.wait().await;
                Ok(ledger.begin(&event).await.commit(&event).await?)
            }
        });
        let working = work(worker.backoff(MS, MS).poll_every(5 * MS));
        gate.entered().await;
        gate.entered().await;
        gate.open(1);
        notes.until(1).await;
        assert!(ledger.effects().await.is_empty());
        gate.open(1);
        until(&inbox, EntryState::Done, 1).await;
        assert_eq!(ledger.effects().await, ["evt-1"]);
        working.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_transaction_in_another_database_is_refused() {
    each_store(&STORES, async |place| {
        let (ledger, inbox) = Ledger::open(place).await;
        let others = [Place::new(Kind::Sqlite), Place::new(Kind::Postgres)];
        for (other, place_of_other) in [(Kind::Sqlite, &others[0]), (Kind::Postgres, &others[1])] {
            let (elsewhere, _) = Ledger::open(place_of_other).await;
            let id = format!("{other:?}");
            store(&inbox, [&id]).await;
            let (of_handler, notes) = (elsewhere.clone(), Notes::default());
            let noted = notes.clone();
            let is_same_kind = other == place.kind;
            let worker = inbox.worker(move |event: InboxEvent| {
                let (elsewhere, notes) = (of_handler.clone(), noted.clone());
                async move {
                    let error = elsewhere.begin(&event).await.commit(&event).await.unwrap_err();
                    match is_same_kind {
                        true => assert!(matches!(error, CommitError::Superseded), "{error:?}"),
                        false => assert!(matches!(error, CommitError::NotClaimed), "{error:?}"),
                    }
                    notes.add("refused");
                    Err(error.into())
                }
            });
            let working = work(worker.max_attempts(1));
            notes.until(1).await;
            working.stop().await;
            let dead = in_state(&inbox, EntryState::Dead).await;
            assert_eq!(dead.last().unwrap().event.id.as_deref(), Some(&*id));
            assert!(elsewhere.effects().await.is_empty());
        }
        assert!(ledger.effects().await.is_empty());
    })
    .await;
}

/// The database of a transaction may have no inbox at all.
#[tokio::test]
async fn a_transaction_in_a_database_without_the_tables_names_the_cause() {
    each_store(&STORES, async |place| {
        let (_, inbox) = Ledger::open(place).await;
        let other = Place::new(place.kind);
        let (elsewhere, _) = Ledger::open(&other).await;
        elsewhere.execute("DROP TABLE webhook_inbox_entry").await;
        store(&inbox, ["evt-1"]).await;
        let of_handler = elsewhere.clone();
        let worker = inbox.worker(move |event: InboxEvent| {
            let elsewhere = of_handler.clone();
            async move { Ok(elsewhere.begin(&event).await.commit(&event).await?) }
        });
        let working = work(worker.max_attempts(1));
        let dead = until(&inbox, EntryState::Dead, 1).await;
        working.stop().await;
        let expected = "store failed: table webhook_inbox_entry does not exist: migrate creates it, \
                        or the transaction is of another database";
        assert_eq!(dead[0].error.as_deref(), Some(expected));
    })
    .await;
}

/// Renewals find that the entry is done.
#[tokio::test]
async fn a_handler_may_run_on_after_its_commit() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        let (ledger, inbox) = Ledger::open(place).await;
        store(&inbox, ["evt-1"]).await;
        let (of_handler, notes) = (ledger.clone(), Notes::default());
        let noted = notes.clone();
        let worker = inbox.worker(move |event: InboxEvent| {
            let (ledger, notes) = (of_handler.clone(), noted.clone());
            async move {
                ledger.begin(&event).await.commit(&event).await?;
                // Long enough for a renewal, and shorter than the lease.
                sleep(SECOND * 3 / 2).await;
                notes.add("ends");
                Ok(())
            }
        });
        let working = work(worker.lease(3 * SECOND));
        notes.until(1).await;
        working.stop().await;
        assert_eq!(ledger.effects().await, ["evt-1"]);
        assert!(!is_logged(&logs, &inbox, "lease lost"));
    })
    .await;
}

#[tokio::test]
async fn a_commit_whose_reply_is_lost_has_an_unknown_result() {
    let logs = Logs::collect();
    each_store(&[Kind::Postgres], async |place| {
        let (ledger, inbox) = Ledger::open(place).await;
        let proxy = Proxy::start(place.server.unwrap()).await;
        let via_proxy = PgPool::connect(&place.url_via(proxy.addr())).await.unwrap();
        store(&inbox, ["evt-1"]).await;
        proxy.cut_only(b"COMMIT");
        proxy.cut_replies(1, 0);
        let (of_handler, notes) = (Ledger::Postgres(via_proxy), Notes::default());
        let noted = notes.clone();
        let worker = inbox.worker(move |event: InboxEvent| {
            let (ledger, notes) = (of_handler.clone(), noted.clone());
            async move {
                let error = ledger.begin(&event).await.commit(&event).await.unwrap_err();
                assert!(matches!(error, CommitError::Store(_)), "{error:?}");
                let again = ledger.begin(&event).await.commit(&event).await;
                assert!(matches!(again, Err(CommitError::Superseded)), "{again:?}");
                notes.add("runs");
                Err(error.into())
            }
        });
        let working = work(worker.backoff(MS, MS).poll_every(5 * MS));
        until_logged(&logs, &inbox, "it may be recorded or not").await;
        assert_eq!(proxy.cuts(), 1);
        let done = until(&inbox, EntryState::Done, 1).await;
        assert_eq!(done[0].attempts, 1);
        working.stop().await;
        assert_eq!(notes.all(), ["runs"]);
        assert_eq!(ledger.effects().await, ["evt-1"]);
        for text in ["lease lost", "event processed", "to be retried"] {
            assert!(!is_logged(&logs, &inbox, text), "{text}");
        }
    })
    .await;
}

/// The reason why the future of a commit is dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DroppedBy {
    Handler,
    EndOfLease,
    Shutdown,
}

/// Drops the future of a commit while the database commits, and lets the database finish.
async fn drop_commit(by: DroppedBy, fails: bool) {
    let logs = Logs::collect();
    each_store(&[Kind::Postgres], async |place| {
        let faults = Faults::default();
        let (ledger, inbox) = Ledger::open_with(place, faults.clone()).await;
        ledger.execute(HOLD_COMMITS).await;
        store(&inbox, ["evt-1"]).await;
        let (of_handler, notes) = (ledger.clone(), Notes::default());
        let noted = notes.clone();
        let worker = inbox.worker(move |event: InboxEvent| {
            let (ledger, notes) = (of_handler.clone(), noted.clone());
            async move {
                let _guard = Guard(notes, "handler");
                let commit = ledger.begin(&event).await.commit(&event);
                if by == DroppedBy::Handler && event.attempt() == 1 {
                    tokio::select! {
                        _ = commit => panic!("the gate is closed"),
                        () = ledger.until_committing() => return Err("dropped".into()),
                    }
                }
                Ok(commit.await?)
            }
        });
        let lease = if by == DroppedBy::EndOfLease { 3 * SECOND } else { HOUR };
        let worker = worker.lease(lease).grace(MS).backoff(MS, MS).poll_every(5 * MS);
        let mut working = work(worker);
        match by {
            DroppedBy::Handler => {}
            DroppedBy::EndOfLease => {
                ledger.until_committing().await;
                faults.set("extend", Fault::Refused);
            }
            DroppedBy::Shutdown => {
                ledger.until_committing().await;
                working.begin_to_stop();
            }
        }
        notes.until(1).await;
        faults.clear();
        assert!(!is_logged(&logs, &inbox, "event processed"));
        ledger
            .execute(if fails {
                "INSERT INTO gate VALUES (true)"
            } else {
                "INSERT INTO gate VALUES (false)"
            })
            .await;
        let done = until(&inbox, EntryState::Done, 1).await;
        assert_eq!(done[0].attempts, if fails { 2 } else { 1 });
        if by == DroppedBy::Shutdown {
            working.until_stopped().await;
        } else {
            working.stop().await;
        }
        assert_eq!(ledger.effects().await, ["evt-1"]);
        // The store can settle the entry only if the transaction was rolled back.
        let is_known = by == DroppedBy::Handler && fails;
        assert_eq!(lines(&logs, &inbox, "to be retried"), usize::from(is_known));
        assert_eq!(lines(&logs, &inbox, "it may be recorded or not"), usize::from(!is_known));
        assert_eq!(lines(&logs, &inbox, "event processed"), usize::from(fails));
        assert!(!is_logged(&logs, &inbox, "lease lost"));
    })
    .await;
}

#[tokio::test]
async fn a_handler_drops_a_commit_that_succeeds() {
    drop_commit(DroppedBy::Handler, false).await;
}

#[tokio::test]
async fn a_handler_drops_a_commit_that_fails() {
    drop_commit(DroppedBy::Handler, true).await;
}

#[tokio::test]
async fn the_end_of_a_lease_drops_a_commit_that_succeeds() {
    drop_commit(DroppedBy::EndOfLease, false).await;
}

#[tokio::test]
async fn the_end_of_a_lease_drops_a_commit_that_fails() {
    drop_commit(DroppedBy::EndOfLease, true).await;
}

#[tokio::test]
async fn a_shutdown_drops_a_commit_that_succeeds() {
    drop_commit(DroppedBy::Shutdown, false).await;
}

/// When a commit fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fails {
    /// The worker is still stopping.
    BeforeTheEnd,
    /// The worker has stopped.
    AfterTheEnd,
}

/// Ends the grace of a shutdown while the database commits. The commit fails later, and another
/// worker processes the event.
async fn shut_down_during_a_commit(fails: Fails) {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        let (ledger, inbox) = Ledger::open(place).await;
        if let Ledger::Postgres(_) = ledger {
            ledger.execute(HOLD_COMMITS).await;
        }
        store(&inbox, ["evt-1"]).await;
        let (open_gate, gate) = mpsc::channel::<()>();
        let (notes, gate) = (Notes::default(), Arc::new(Mutex::new(Some(gate))));
        let worker = |of_handler: Ledger| {
            let (noted, gate) = (notes.clone(), gate.clone());
            let worker = inbox.worker(move |event: InboxEvent| {
                let (ledger, notes, gate) = (of_handler.clone(), noted.clone(), gate.clone());
                async move {
                    let _guard = Guard(notes.clone(), "handler");
                    let mut open = ledger.begin(&event).await;
                    let gate = gate.lock().unwrap().take();
                    if let (Open::Sqlite(transaction), Some(gate)) = (&mut open, gate) {
                        fail_at_gate(transaction, gate, notes).await;
                    }
                    Ok(open.commit(&event).await?)
                }
            });
            worker.lease(HOUR).grace(MS).poll_every(5 * MS)
        };
        let mut working = work(worker(ledger.clone()));
        match &ledger {
            Ledger::Sqlite(_) => assert_eq!(notes.until(1).await, ["commits"]),
            Ledger::Postgres(_) => {
                ledger.until_committing().await;
                notes.add("commits");
            }
        }
        working.begin_to_stop();
        assert_eq!(notes.until(2).await, ["commits", "handler ends"]);
        if fails == Fails::AfterTheEnd {
            working.until_stopped().await;
            assert_eq!(in_state(&inbox, EntryState::Running).await.len(), 1);
        }
        match &ledger {
            Ledger::Sqlite(_) => drop(open_gate),
            Ledger::Postgres(_) => ledger.execute("INSERT INTO gate VALUES (true)").await,
        }
        if fails == Fails::BeforeTheEnd {
            working.until_stopped().await;
        }
        assert!(ledger.effects().await.is_empty());
        assert!(in_state(&inbox, EntryState::Done).await.is_empty());

        // If the first worker could not release the event, its lease has to expire.
        age_inbox(&place.url, "webhook_inbox", 2 * HOUR).await;
        let second = work(worker(ledger.connect_again().await));
        let done = until(&inbox, EntryState::Done, 1).await;
        second.stop().await;
        assert_eq!(done[0].attempts, 2);
        assert_eq!(ledger.effects().await, ["evt-1"]);
        assert_eq!(lines(&logs, &inbox, "event processed"), 1);
        assert!(!is_logged(&logs, &inbox, "lease lost"));
    })
    .await;
}

/// Lets the commit of a transaction wait until the gate is open, and then fail.
async fn fail_at_gate(
    transaction: &mut Transaction<'static, Sqlite>,
    gate: mpsc::Receiver<()>,
    notes: Notes,
) {
    let mut gate = Some(gate);
    let mut connection = transaction.lock_handle().await.unwrap();
    connection.set_commit_hook(move || match gate.take() {
        Some(gate) => {
            notes.add("commits");
            let _ = gate.recv();
            false
        }
        None => true,
    });
}

#[tokio::test]
async fn a_shutdown_drops_a_commit_that_fails() {
    shut_down_during_a_commit(Fails::BeforeTheEnd).await;
}

#[tokio::test]
async fn a_shutdown_drops_a_commit_that_outlasts_the_worker_and_fails() {
    shut_down_during_a_commit(Fails::AfterTheEnd).await;
}

/// An attempt counts as processed only if the handler got the reply to its commit.
#[tokio::test]
async fn a_commit_is_dropped_at_any_point() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        let (ledger, inbox) = Ledger::open(place).await;
        store(&inbox, (10..50).map(|polls| polls.to_string())).await;
        let (of_handler, notes) = (ledger.clone(), Notes::default());
        let noted = notes.clone();
        let worker = inbox.worker(move |event: InboxEvent| {
            let (ledger, notes) = (of_handler.clone(), noted.clone());
            async move {
                let mut commit = pin!(ledger.begin(&event).await.commit(&event));
                let polls = event.id().unwrap().parse::<usize>()? - 10;
                let mut left = if event.attempt() == 1 { polls } else { usize::MAX };
                let poll = |cx: &mut Context<'_>| match left.checked_sub(1) {
                    None => Poll::Ready(None),
                    Some(fewer) => {
                        left = fewer;
                        commit.as_mut().poll(cx).map(Some)
                    }
                };
                poll_fn(poll).await.ok_or("dropped")??;
                notes.add("committed");
                Ok(())
            }
        });
        let working = work(worker.backoff(MS, MS).poll_every(5 * MS));
        until(&inbox, EntryState::Done, 40).await;
        working.stop().await;
        let all: Vec<_> = (10..50).map(|polls| polls.to_string()).collect();
        assert_eq!(ledger.effects().await, all);
        assert_eq!(lines(&logs, &inbox, "event processed"), notes.all().len());
        assert!(!is_logged(&logs, &inbox, "lease lost"));
    })
    .await;
}
