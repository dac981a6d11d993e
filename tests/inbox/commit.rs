//! Effects in the transaction that completes the event: exactly once.

use integration_tests::{AnyStore, Gate, Kind, Logs, PATIENCE, Place, each_store, unique};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Sqlite, SqlitePool, Transaction};
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

    /// As [`open`](Self::open), with faults of the inbox's store.
    async fn open_with(place: &Place, faults: Faults) -> (Self, Inbox) {
        let sql = "CREATE TABLE IF NOT EXISTS effects (event text NOT NULL)";
        let name = unique("inbox");
        match place.open().await {
            AnyStore::Sqlite(inner) => {
                let options = place.url.parse::<sqlx::sqlite::SqliteConnectOptions>().unwrap();
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
        let endpoint = inbox.filter().endpoint;
        let text = logs.text();
        let lost = |line: &str| line.contains(&*endpoint) && line.contains("lease lost");
        assert!(!text.lines().any(lost));
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
        let endpoint = inbox.filter().endpoint;
        let text = logs.text();
        assert!(!text.lines().any(|line| line.contains(&*endpoint) && line.contains("lease lost")));
    })
    .await;
}
