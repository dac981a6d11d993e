//! Events whose effects are in the database that holds the claims: row and claim are there together, or neither.

use std::{
    future::pending,
    sync::{Arc, atomic::Ordering::SeqCst},
};

use futures_util::future::{join_all, select};
use integration_tests::{
    AnyStore, App, Framework, Handler, Kind, Pauses, Place, Watched, each_place, each_store,
    finish, unique,
};
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};
use tokio::{sync::oneshot, time::sleep};
use webhook_verify::{
    Event, Events, Idempotency, PostgresStore, Receiver, SqliteStore,
    adapter::Admission,
    idempotency::{Claimed, CommitError},
    scheme,
};

use super::sender::{Begun, Fault, LONG, batch, events, patient};
use crate::common::{admit, assert_replay, post, receiver_with, seconds, soon};

const STORES: [Kind; 2] = [Kind::Sqlite, Kind::Postgres];

/// A store, and a table beside its own.
#[derive(Clone)]
struct Ledger {
    database: Database,
    table: String,
}

#[derive(Clone)]
enum Database {
    Sqlite(SqliteStore, SqlitePool),
    Postgres(PostgresStore, PgPool),
}

impl Ledger {
    async fn new(place: &Place) -> Self {
        let table = unique("payments").replace('-', "_");
        let sql = AssertSqlSafe(format!("CREATE TABLE {table} (event text NOT NULL)"));
        let database = match place.open().await {
            AnyStore::Sqlite(store) => {
                let pool = SqlitePool::connect(&place.url).await.unwrap();
                sqlx::raw_sql(sql).execute(&pool).await.unwrap();
                Database::Sqlite(store, pool)
            }
            AnyStore::Postgres(store) => {
                let pool = PgPool::connect(&place.url).await.unwrap();
                sqlx::raw_sql(sql).execute(&pool).await.unwrap();
                Database::Postgres(store, pool)
            }
            other => panic!("no transactions in {other:?}"),
        };
        Self { database, table }
    }

    /// Writes the event down and completes the claim of `claimed`, in one transaction.
    async fn pay(
        &self,
        event: &Event,
        claimed: &impl Claimed,
        status: u16,
    ) -> Result<(), CommitError> {
        let sql = AssertSqlSafe(format!("INSERT INTO {} VALUES ($1)", self.table));
        let name = String::from_utf8(event.raw().to_vec()).unwrap();
        match &self.database {
            Database::Sqlite(store, pool) => {
                let mut open = pool.begin_with("BEGIN IMMEDIATE").await?;
                sqlx::query(sql).bind(name).execute(&mut *open).await?;
                store.commit(open, claimed, status).await
            }
            Database::Postgres(store, pool) => {
                let mut open = pool.begin().await?;
                sqlx::query(sql).bind(name).execute(&mut *open).await?;
                store.commit(open, claimed, status).await
            }
        }
    }

    async fn rows(&self) -> Vec<String> {
        let sql = AssertSqlSafe(format!("SELECT event FROM {} ORDER BY event", self.table));
        let rows = match &self.database {
            Database::Sqlite(_, pool) => sqlx::query_scalar(sql).fetch_all(pool).await,
            Database::Postgres(_, pool) => sqlx::query_scalar(sql).fetch_all(pool).await,
        };
        rows.unwrap()
    }

    /// Writes all events down and completes their claims, in one transaction.
    async fn pay_all(&self, events: &Events, says_done: bool) -> Result<(), CommitError> {
        let sql = || AssertSqlSafe(format!("INSERT INTO {} VALUES ($1)", self.table));
        let name = |event: &Event| String::from_utf8(event.raw().to_vec()).unwrap();
        match &self.database {
            Database::Sqlite(store, pool) => {
                let mut open = pool.begin_with("BEGIN IMMEDIATE").await?;
                for event in events {
                    let row = sqlx::query(sql()).bind(name(event));
                    row.execute(&mut *open).await?;
                    store.complete_in(&mut open, event, 200).await?;
                    if says_done {
                        event.done().await;
                    }
                }
                Ok(open.commit().await?)
            }
            Database::Postgres(store, pool) => {
                let mut open = pool.begin().await?;
                for event in events {
                    let row = sqlx::query(sql()).bind(name(event));
                    row.execute(&mut *open).await?;
                    store.complete_in(&mut open, event, 200).await?;
                    if says_done {
                        event.done().await;
                    }
                }
                Ok(open.commit().await?)
            }
        }
    }

    /// The receiver's side of it.
    async fn watched(&self, place: &Place) -> (Arc<Watched<AnyStore>>, Receiver) {
        let store = Watched::over(place.open().await);
        let idempotency = Idempotency::new(Arc::clone(&store), &self.table);
        let idempotency = patient(idempotency).completed_cache(0, seconds(1));
        let receiver = receiver_with(scheme::MAUTIC, idempotency);
        (store, receiver)
    }
}

/// A handler that pays for each event, and fails at one.
fn paying(ledger: &Ledger, begun: &Begun, fault: &Fault) -> Handler {
    let (ledger, begun, fault) = (ledger.clone(), begun.clone(), fault.clone());
    Arc::new(move |delivery| {
        let (ledger, begun, fault) = (ledger.clone(), begun.clone(), fault.clone());
        Box::pin(async move {
            let events = delivery.events().unwrap();
            for event in &events {
                begun.note(event);
                // The delivery is not what is claimed.
                let whole = ledger.pay(event, &delivery, 200).await;
                assert!(matches!(whole, Err(CommitError::NotClaimed)), "{whole:?}");
                if fault.hits(event) {
                    return 500;
                }
                ledger.pay(event, event, 201).await.unwrap();
                event.done().await;
            }
            200
        })
    })
}

#[tokio::test]
async fn row_and_claim_together() {
    each_place(&STORES, async |place: &Place, framework: Framework| {
        let (ledger, begun, fault) = (Ledger::new(place).await, Begun::default(), Fault::at(3));
        let (store, receiver) = ledger.watched(place).await;
        let app = App::new(receiver, paying(&ledger, &begun, &fault));
        let server = app.serve(framework).await;
        assert_eq!(post(server.addr, &batch(1..=5)).await.status, 500);
        assert_eq!(ledger.rows().await, events(1..=2));
        // To ask for the next costs no call: the claim was completed with the row.
        assert_eq!(store.take_log(), ["claim_all 5", "release_all 3"]);
        fault.set(0);
        begun.take();
        assert_eq!(post(server.addr, &batch((1..=5).rev())).await.status, 200);
        assert_eq!(begun.take(), events((3..=5).rev()));
        assert_eq!(ledger.rows().await, events(1..=5));
        assert_eq!(store.take_log(), ["claim_all 5"]);
        // A batch of one, too.
        assert_eq!(post(server.addr, &batch([6])).await.status, 200);
        assert_eq!(store.take_log(), ["claim"]);
        assert_replay(&post(server.addr, &batch(1..=6)).await, 201);
        assert_eq!(ledger.rows().await, events(1..=6));
    })
    .await;
}

/// What is committed is done, whatever the handler says then, and whether or not it asks for another.
#[tokio::test]
async fn what_is_committed_is_done() {
    each_place(&STORES, async |place: &Place, framework: Framework| {
        let ledger = Ledger::new(place).await;
        let (store, receiver) = ledger.watched(place).await;
        let paying = ledger.clone();
        let handler: Handler = Arc::new(move |delivery| {
            let ledger = paying.clone();
            Box::pin(async move {
                let events = delivery.events().unwrap();
                let event = events.iter().next().unwrap();
                ledger.pay(event, event, 202).await.unwrap();
                if events.len() == 1 { 200 } else { 500 }
            })
        });
        let server = App::new(receiver, handler).serve(framework).await;
        for left in (1..=3).rev() {
            let status = if left == 1 { 200 } else { 500 };
            assert_eq!(post(server.addr, &batch(1..=3)).await.status, status);
        }
        assert_replay(&post(server.addr, &batch(1..=3)).await, 202);
        assert_eq!(ledger.rows().await, events(1..=3));
        assert_eq!(store.completes(), 0);
    })
    .await;
}

/// A process that dies between any two statements leaves each event's row once, also that of the event in hand.
#[tokio::test]
async fn a_crash_leaves_each_row_once() {
    each_place(&STORES, async |place: &Place, framework: Framework| {
        let ledger = Ledger::new(place).await;
        let idempotency = async || Idempotency::new(place.open().await, &ledger.table);
        let dying = receiver_with(scheme::MAUTIC, patient(idempotency().await));
        let numbers = |cut: usize| 10 * cut + 1..=10 * cut + 3;
        let die = async |cut: usize| {
            let Ok(Admission::Admitted(admitted)) =
                admit(&dying, &batch(numbers(cut)), sleep).await
            else {
                panic!("{cut}: the first");
            };
            let (dead, death) = oneshot::channel();
            let delivery = admitted.delivery().clone();
            let handler = async {
                let events = delivery.events().unwrap();
                for event in events.iter().take(cut) {
                    ledger.pay(event, event, 200).await.unwrap();
                    event.done().await;
                }
                dead.send(()).unwrap();
                pending::<()>().await;
            };
            select(Box::pin(admitted.handle(handler, |()| None)), death).await;
        };
        join_all((0..=3).map(die)).await;
        place.age(LONG).await;
        let (_, receiver) = ledger.watched(place).await;
        let begun = Begun::default();
        let app = App::new(receiver, paying(&ledger, &begun, &Fault::default()));
        let server = app.serve(framework).await;
        join_all((0..=3).map(async |cut| {
            let response = post(server.addr, &batch(numbers(cut).rev())).await;
            assert!((200..300).contains(&response.status), "{cut}: {response:?}");
        }))
        .await;
        let mut all: Vec<_> = (0..=3).flat_map(|cut| events(numbers(cut))).collect();
        all.sort();
        assert_eq!(ledger.rows().await, all);
        assert_eq!(begun.take().len(), 12 - 6, "those without a row");
    })
    .await;
}

/// One whose claim is another's by now has no row.
#[tokio::test]
async fn a_superseded_event_is_rolled_back() {
    each_store(&STORES, async |place: &Place| {
        let ledger = Ledger::new(place).await;
        let (_, receiver) = ledger.watched(place).await;
        let Ok(Admission::Admitted(admitted)) = admit(&receiver, &batch(1..=2), sleep).await else {
            panic!("the first");
        };
        let events_left = admitted.delivery().events().unwrap();
        let mut left = events_left.iter();
        let event = left.next().unwrap();
        receiver.forget(&event.claim().unwrap().key()).await.unwrap();
        let paid = ledger.pay(event, event, 200).await;
        assert!(matches!(paid, Err(CommitError::Superseded)), "{paid:?}");
        let event = left.next().unwrap();
        ledger.pay(event, event, 200).await.unwrap();
        let again = ledger.pay(event, event, 200).await;
        assert!(matches!(again, Err(CommitError::AlreadyCompleted)), "{again:?}");
        finish(admitted, 500).await.unwrap();
        assert_eq!(ledger.rows().await, events([2]));
    })
    .await;
}

/// While the handler goes on after it, what is committed is not renewed, and nobody says that it is lost.
#[tokio::test]
async fn what_is_committed_is_not_renewed() {
    each_store(&STORES, async |place: &Place| {
        let ledger = Ledger::new(place).await;
        let (store, receiver) = ledger.watched(place).await;
        let (mut pauses, timer) = Pauses::new();
        let Ok(Admission::Admitted(admitted)) = admit(&receiver, &batch(1..=3), timer).await else {
            panic!("the first");
        };
        store.take_log();
        let delivery = admitted.delivery().clone();
        let (ready, is_ready) = oneshot::channel();
        let handler = async {
            let events = delivery.events().unwrap();
            let event = events.iter().next().unwrap();
            ledger.pay(event, event, 200).await.unwrap();
            ready.send(()).unwrap();
            pending::<()>().await;
        };
        let renewed = async {
            is_ready.await.unwrap();
            // The store's calls have limits; the pause before the renewal is the one that lasts.
            let (_, end) = pauses.begun().unwrap();
            end.send(()).unwrap();
            while store.extends.load(SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        };
        let running = Box::pin(admitted.handle(handler, |()| None));
        select(running, Box::pin(soon("renewal", renewed))).await;
        assert_eq!(store.take_log(), ["extend_all 2"]);
    })
    .await;
}

/// One transaction for a whole batch: what it completes and has not committed yet, the store is not asked for, which would wait
/// for it. What it has committed is done, whether the handler says so or not.
#[tokio::test]
async fn one_transaction_for_all() {
    each_store(&STORES, async |place: &Place| {
        for (says_done, numbers) in [(true, 1..=3), (false, 4..=6), (false, 7..=7)] {
            let ledger = Ledger::new(place).await;
            let (store, receiver) = ledger.watched(place).await;
            let request = batch(numbers.clone());
            let Ok(Admission::Admitted(admitted)) = admit(&receiver, &request, sleep).await else {
                panic!("the first");
            };
            store.take_log();
            let all = admitted.delivery().events().unwrap();
            ledger.pay_all(&all, says_done).await.unwrap();
            let asked = store.take_log();
            assert!(asked.is_empty(), "whoever asks waits: {asked:?}");
            finish(admitted, 204).await.unwrap();
            assert_eq!(ledger.rows().await, events(numbers));
            let replay = admit(&receiver, &request, sleep).await;
            assert!(matches!(replay, Ok(Admission::Answer(_))));
        }
    })
    .await;
}

/// Who commits some of its events and not the others has not done those.
#[tokio::test]
async fn some_are_committed() {
    each_store(&STORES, async |place: &Place| {
        let ledger = Ledger::new(place).await;
        let (_, receiver) = ledger.watched(place).await;
        let Ok(Admission::Admitted(admitted)) = admit(&receiver, &batch(1..=3), sleep).await else {
            panic!("the first");
        };
        let all = admitted.delivery().batch().unwrap();
        let second = &all[1];
        ledger.pay(second, second, 200).await.unwrap();
        let settled = finish(admitted, 204).await.unwrap_err();
        assert!(matches!(settled, webhook_verify::Rejection::EventsLeft));
        let Ok(Admission::Admitted(retry)) = admit(&receiver, &batch(1..=3), sleep).await else {
            panic!("two are left");
        };
        assert_eq!(retry.delivery().events().unwrap().len(), 2);
        // What another run of the handler has committed is done as well, if it says so or not.
        let again = ledger.pay(second, second, 200).await;
        assert!(matches!(again, Err(CommitError::AlreadyCompleted)), "{again:?}");
    })
    .await;
}
