//! Effects in the database that holds the claims: a transaction commits the effects of a delivery
//! or an event together with its claim, or neither.

use std::{
    future::pending,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use futures_util::{
    future::{join_all, select},
    poll,
};
use integration_tests::{
    AnyStore, Calls as _, Kind, PATIENCE, Place, each_place, each_store, fresh, unique, won,
};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Sqlite, SqlitePool, Transaction};
use tokio::{sync::oneshot, task::yield_now, time::sleep};
use webhook_verify::{
    Event, Idempotency, PostgresStore, Receiver, Rejection, SqliteStore, Verifier,
    adapter::{Admission, Admitted},
    idempotency::{ClaimOutcome, ClaimRequest, Claimed, CommitError, Replay, Settled, StoreError},
    scheme,
    testing::SignedRequest,
};

use crate::{common::*, sender::*};

const STORES: [Kind; 2] = [Kind::Sqlite, Kind::Postgres];

/// A store, and a table next to its own.
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

enum Open {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// Calls the store with an open transaction.
macro_rules! with {
    ($ledger:expr, $open:expr, |$store:ident, $tx:ident| $call:expr) => {
        match (&$ledger.database, $open) {
            (Database::Sqlite($store, _), Open::Sqlite($tx)) => $call,
            (Database::Postgres($store, _), Open::Postgres($tx)) => $call,
            _ => unreachable!(),
        }
    };
}

impl Ledger {
    async fn new(place: &Place) -> Self {
        let table = unique("payments").replace('-', "_");
        let sql = AssertSqlSafe(format!("CREATE TABLE {table} (event text NOT NULL)"));
        let database = match place.open().await {
            AnyStore::Sqlite(store) => {
                let options = place.url.parse::<sqlx::sqlite::SqliteConnectOptions>().unwrap();
                let pool = SqlitePool::connect_with(options.busy_timeout(PATIENCE)).await.unwrap();
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

    /// Begins a transaction that writes a row.
    async fn begin(&self, row: &str) -> Open {
        let mut open = match &self.database {
            Database::Sqlite(_, pool) => {
                Open::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await.unwrap())
            }
            Database::Postgres(_, pool) => Open::Postgres(pool.begin().await.unwrap()),
        };
        self.write(&mut open, row).await;
        open
    }

    async fn write(&self, open: &mut Open, row: &str) {
        let sql = AssertSqlSafe(format!("INSERT INTO {} VALUES ($1)", self.table));
        with!(self, open, |_store, open| {
            sqlx::query(sql).bind(row).execute(&mut **open).await.unwrap();
        });
    }

    async fn complete_in(
        &self,
        open: &mut Open,
        claimed: &impl Claimed,
        status: u16,
    ) -> Result<(), CommitError> {
        with!(self, open, |store, open| store.complete_in(open, claimed, status).await)
    }

    async fn end(&self, open: Open) {
        with!(self, open, |_store, open| open.commit().await.unwrap());
    }

    /// Writes a row and completes a claim, in one transaction.
    async fn pay(&self, row: &str, claimed: &impl Claimed, status: u16) -> Result<(), CommitError> {
        let open = self.begin(row).await;
        with!(self, open, |store, open| store.commit(open, claimed, status).await)
    }

    async fn rows(&self) -> Vec<String> {
        let sql = AssertSqlSafe(format!("SELECT event FROM {} ORDER BY event", self.table));
        let rows = match &self.database {
            Database::Sqlite(_, pool) => sqlx::query_scalar(sql).fetch_all(pool).await,
            Database::Postgres(_, pool) => sqlx::query_scalar(sql).fetch_all(pool).await,
        };
        rows.unwrap()
    }

    async fn claim(&self, claim: &ClaimRequest) -> Result<ClaimOutcome, StoreError> {
        match &self.database {
            Database::Sqlite(store, _) => store.claim_one(claim).await,
            Database::Postgres(store, _) => store.claim_one(claim).await,
        }
    }

    /// Returns a receiver on a store of its own. It asks the store about each event.
    async fn watched(&self, place: &Place) -> (Arc<Watched<AnyStore>>, Receiver) {
        let store = Watched::over(place.open().await);
        let idempotency = Idempotency::new(Arc::clone(&store), &self.table);
        let idempotency = patient(idempotency).completed_cache(0, seconds(1));
        (store, receiver_with(scheme::MAUTIC, idempotency))
    }
}

fn text(event: &Event) -> String {
    String::from_utf8(event.raw().to_vec()).unwrap()
}

/// Returns a receiver of deliveries with one event.
async fn single(place: &Place) -> Receiver {
    let idempotency = Idempotency::new(place.open().await, "tests");
    receiver_with(scheme::STANDARD_WEBHOOKS, patient(idempotency))
}

fn signed(id: &str) -> SignedRequest {
    signer(scheme::STANDARD_WEBHOOKS).id(id.replace(' ', "_")).sign("{}").unwrap()
}

/// Retries for as long as the store does not respond in time.
async fn claimed(receiver: &Receiver, request: &SignedRequest) -> Admitted {
    let tries = async {
        loop {
            match admit(receiver, request, sleep).await {
                Ok(Admission::Admitted(admitted)) => return admitted,
                Ok(Admission::Answer(answer)) => panic!("{answer:?}"),
                Err(refused) => assert_eq!(refused.status(), 503),
            }
            sleep(seconds(1) / 100).await;
        }
    };
    soon("admission", tries).await
}

#[track_caller]
fn is_superseded(paid: &Result<(), CommitError>) {
    assert!(matches!(paid, Err(CommitError::Superseded)), "{paid:?}");
}

/// Returns a handler that pays for each event, and fails at one.
fn paying(ledger: &Ledger, begun: &Begun, fault: &Fault) -> Handler {
    let with = (ledger.clone(), begun.clone(), fault.clone());
    handler(with, |(ledger, begun, fault), delivery| async move {
        let events = delivery.events().unwrap();
        for event in &events {
            begun.note(event);
            // The events are claimed, and the delivery is not.
            let whole = ledger.pay(&text(event), &delivery, 200).await;
            assert!(matches!(whole, Err(CommitError::NotClaimed)), "{whole:?}");
            if fault.hits(event) {
                return 500;
            }
            ledger.pay(&text(event), event, 201).await.unwrap();
            event.done().await;
        }
        200
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
        // The claim was completed with the row, so the next event costs no call.
        assert_eq!(store.take_log(), ["claim_all 5", "release_all 3"]);
        fault.set(0);
        begun.take();
        assert_eq!(post(server.addr, &batch((1..=5).rev())).await.status, 200);
        assert_eq!(begun.take(), events((3..=5).rev()));
        assert_eq!(ledger.rows().await, events(1..=5));
        assert_eq!(store.take_log(), ["claim_all 5"]);
        // A batch of one.
        assert_eq!(post(server.addr, &batch([6])).await.status, 200);
        assert_eq!(store.take_log(), ["claim"]);
        assert_replay(&post(server.addr, &batch(1..=6)).await, 201);
        assert_eq!(ledger.rows().await, events(1..=6));
    })
    .await;
}

/// A committed event is done, whatever the handler returns.
#[tokio::test]
async fn what_is_committed_is_done() {
    each_place(&STORES, async |place: &Place, framework: Framework| {
        let ledger = Ledger::new(place).await;
        let (store, receiver) = ledger.watched(place).await;
        let handler = handler(ledger.clone(), |ledger, delivery| async move {
            let events = delivery.events().unwrap();
            let event = events.iter().next().unwrap();
            ledger.pay(&text(event), event, 202).await.unwrap();
            if events.len() == 1 { 200 } else { 500 }
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

/// The receiver settles a delivery after its handler. A commit stands, whatever the handler does
/// next.
#[tokio::test]
async fn the_receiver_settles_after_a_commit() {
    each_store(&STORES, async |place| {
        let (ledger, receiver) = (Ledger::new(place).await, single(place).await);
        for (case, status) in
            [("returns 2xx", Some(200)), ("returns 500", Some(500)), ("panics", None)]
        {
            let a = claimed(&receiver, &signed(case)).await;
            let delivery = a.delivery().clone();
            let handler = async {
                ledger.pay(case, &delivery, 202).await.unwrap();
                assert!(status.is_some(), "a panic on purpose");
            };
            let handled = a.handle(handler, |()| status).await;
            assert_eq!(handled.is_ok(), status.is_some(), "{case}");
            assert_eq!(replayed(&receiver, &signed(case), sleep).await, 202, "{case}");
        }
        assert_eq!(ledger.rows().await.len(), 3);
    })
    .await;
}

/// Of 32 requests at once, one has an effect, also if handlers fail before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once() {
    each_store(&STORES, async |place| {
        let (ledger, receiver) = (Ledger::new(place).await, single(place).await);
        for (failures, rows) in [(0, 1), (3, 2)] {
            let request = signed(&format!("{failures} failures"));
            let runs = AtomicUsize::new(0);
            let deliver = async || {
                loop {
                    match admit(&receiver, &request, sleep).await {
                        Err(_) => sleep(seconds(1) / 100).await,
                        Ok(Admission::Answer(answer)) => break assert_eq!(answer.status(), 202),
                        Ok(Admission::Admitted(admitted)) => {
                            if runs.fetch_add(1, SeqCst) < failures {
                                drop(ledger.begin("rolled back").await);
                                finish(admitted, 500).await.unwrap();
                                continue;
                            }
                            ledger.pay("one", admitted.delivery(), 202).await.unwrap();
                            break finish(admitted, 200).await.unwrap();
                        }
                    }
                }
            };
            soon("end of all deliveries", join_all((0..32).map(|_| deliver()))).await;
            assert_eq!(runs.load(SeqCst), failures + 1);
            assert_eq!(ledger.rows().await, vec!["one"; rows]);
        }
    })
    .await;
}

/// A process that dies between any two statements leaves one row for each event, including the
/// event that was in progress.
#[tokio::test]
async fn a_crash_leaves_each_row_once() {
    each_place(&STORES, async |place: &Place, framework: Framework| {
        let ledger = Ledger::new(place).await;
        let idempotency = Idempotency::new(place.open().await, &ledger.table);
        let dying = receiver_with(scheme::MAUTIC, patient(idempotency));
        let numbers = |cut: usize| 10 * cut + 1..=10 * cut + 3;
        let die = async |cut: usize| {
            let admitted = admitted(&dying, &batch(numbers(cut)), sleep).await;
            let (dead, death) = oneshot::channel();
            let delivery = admitted.delivery().clone();
            let handler = async {
                let events = delivery.events().unwrap();
                for event in events.iter().take(cut) {
                    ledger.pay(&text(event), event, 200).await.unwrap();
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

/// A handler whose lease expired has no effect alongside its successor's, whichever commits first.
#[tokio::test]
async fn a_superseded_delivery_is_rolled_back() {
    each_store(&STORES, async |place| {
        let (ledger, receiver) = (Ledger::new(place).await, single(place).await);
        for (late_first, rows) in [(false, 1), (true, 2)] {
            let request = signed(&format!("late first: {late_first}"));
            let a = claimed(&receiver, &request).await;
            place.age(LONG).await;
            let b = claimed(&receiver, &request).await;
            assert_eq!(b.delivery().claim().unwrap().fencing_token(), 2);
            if late_first {
                is_superseded(&ledger.pay("a", a.delivery(), 200).await);
            }
            ledger.pay("b", b.delivery(), 201).await.unwrap();
            is_superseded(&ledger.pay("a", a.delivery(), 200).await);
            assert_eq!(ledger.rows().await, vec!["b"; rows]);
            finish(a, 500).await.unwrap();
            finish(b, 204).await.unwrap();
            assert_eq!(replayed(&receiver, &request, sleep).await, 201);
        }
    })
    .await;
}

/// A second commit of a delivery or an event is rolled back, and so is one whose claim is gone.
#[tokio::test]
async fn commits_that_are_refused() {
    each_store(&STORES, async |place| {
        let ledger = Ledger::new(place).await;
        let request = signed("refused");
        let verifier = Verifier::new(scheme::STANDARD_WEBHOOKS, SECRET).unwrap();
        let a = claimed(&Receiver::builder(verifier).build().unwrap(), &request).await;
        let refused = ledger.pay("unclaimed", a.delivery(), 200).await;
        assert!(matches!(refused, Err(CommitError::NotClaimed)), "{refused:?}");

        let receiver = single(place).await;
        let a = claimed(&receiver, &request).await;
        for status in [0, 199, 300, 500] {
            let refused = ledger.pay("no success", a.delivery(), status).await;
            assert!(matches!(refused, Err(CommitError::NotSuccess)), "{status}: {refused:?}");
        }
        let key = a.delivery().claim().unwrap().key();
        assert!(receiver.forget(&key).await.unwrap());
        is_superseded(&ledger.pay("forgotten", a.delivery(), 200).await);
        assert!(ledger.rows().await.is_empty());

        let twice = claimed(&receiver, &signed("twice")).await;
        ledger.pay("delivery", twice.delivery(), 200).await.unwrap();
        let again = ledger.pay("delivery", twice.delivery(), 200).await;
        assert!(matches!(again, Err(CommitError::AlreadyCompleted)), "{again:?}");

        let (_, receiver) = ledger.watched(place).await;
        let admitted = admitted(&receiver, &batch(1..=2), sleep).await;
        let events_left = admitted.delivery().events().unwrap();
        let mut left = events_left.iter();
        let event = left.next().unwrap();
        receiver.forget(&event.claim().unwrap().key()).await.unwrap();
        is_superseded(&ledger.pay(&text(event), event, 200).await);
        let event = left.next().unwrap();
        ledger.pay(&text(event), event, 200).await.unwrap();
        let again = ledger.pay(&text(event), event, 200).await;
        assert!(matches!(again, Err(CommitError::AlreadyCompleted)), "{again:?}");
        finish(admitted, 500).await.unwrap();
        assert_eq!(ledger.rows().await, ["delivery".to_owned(), text(event)]);
    })
    .await;
}

/// A database without the table may be the wrong one.
#[tokio::test]
async fn a_transaction_in_a_database_without_the_table_names_the_cause() {
    each_store(&STORES, async |place| {
        let a = claimed(&single(place).await, &signed("elsewhere")).await;
        let elsewhere = Place::new(place.kind);
        let ledger = Ledger::new(&elsewhere).await;
        let mut open = ledger.begin("elsewhere").await;
        with!(ledger, &mut open, |_store, open| {
            sqlx::raw_sql("DROP TABLE webhook_claim").execute(&mut **open).await.unwrap();
        });
        let refused = ledger.complete_in(&mut open, a.delivery(), 200).await.unwrap_err();
        let expected = "store failed: table webhook_claim does not exist: migrate creates it, or \
                        the transaction is of another database";
        assert_eq!(format!("{refused:#}"), expected);
    })
    .await;
}

/// A claim that comes during a commit waits for it, and is then a duplicate or the next holder.
#[tokio::test]
async fn a_claim_waits_for_a_commit() {
    each_store(&STORES, async |place| {
        let (mut ledger, receiver) = (Ledger::new(place).await, single(place).await);
        if let Database::Postgres(store, pool) = ledger.database {
            ledger.database = Database::Postgres(store.lock_timeout(PATIENCE), pool);
        }
        for commits in [true, false] {
            let a = claimed(&receiver, &signed(&format!("commits: {commits}"))).await;
            let mut claim = fresh(LONG, LONG);
            claim.key = a.delivery().claim().unwrap().key();
            place.age(LONG).await;

            let mut open = ledger.begin("a").await;
            ledger.complete_in(&mut open, a.delivery(), 200).await.unwrap();
            let waiting = tokio::spawn({
                let (ledger, claim) = (ledger.clone(), claim.clone());
                // A claim that has waited for the store's limit fails, and waits again.
                async move {
                    loop {
                        if let Ok(outcome) = ledger.claim(&claim).await {
                            return outcome;
                        }
                    }
                }
            });
            until_one_waits(&ledger, &mut open).await;
            assert!(!waiting.is_finished());
            if commits {
                ledger.end(open).await;
            } else {
                drop(open);
            }
            let outcome = soon("answer to the claim that waits", waiting).await.unwrap();
            if commits {
                assert!(matches!(outcome, ClaimOutcome::Completed { .. }), "{outcome:?}");
            } else {
                assert_eq!(outcome, won(2));
                is_superseded(&ledger.pay("a", a.delivery(), 200).await);
            }
            assert_eq!(ledger.rows().await, ["a"], "commits: {commits}");
        }
    })
    .await;
}

/// Waits until a statement waits for this transaction. In SQLite that is not visible: a claim that
/// waits asks for the lock again and again.
async fn until_one_waits(ledger: &Ledger, open: &mut Open) {
    let (Database::Postgres(_, pool), Open::Postgres(open)) = (&ledger.database, open) else {
        return;
    };
    let pid = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut **open);
    let pid: i32 = pid.await.unwrap();
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))";
    soon("statement that waits for a commit", async {
        while sqlx::query_scalar::<_, i64>(sql).bind(pid).fetch_one(pool).await.unwrap() == 0 {
            sleep(seconds(1) / 200).await;
        }
    })
    .await;
}

/// While a transaction that has completed a claim is open, other claims get a prompt response.
/// In SQLite they fail, because the file has one writer at a time.
#[tokio::test]
async fn an_open_transaction_holds_nobody_up() {
    each_store(&STORES, async |place| {
        let (ledger, receiver) = (Ledger::new(place).await, single(place).await);
        let a = claimed(&receiver, &signed("open")).await;
        let mut open = ledger.begin("a").await;
        ledger.complete_in(&mut open, a.delivery(), 200).await.unwrap();
        let mut claim = fresh(LONG, LONG);
        claim.key = a.delivery().claim().unwrap().key();
        let is_postgres = place.kind == Kind::Postgres;
        match soon("answer to a claim", ledger.claim(&claim)).await {
            Ok(ClaimOutcome::Busy { .. }) => {}
            Ok(outcome) => panic!("{outcome:?}"),
            Err(_) => assert!(!is_postgres),
        }
        if is_postgres {
            assert_eq!(ledger.claim(&fresh(LONG, LONG)).await.unwrap(), won(1));
        }
        ledger.end(open).await;
        let settled = place.open().await.complete(&claim.holder(), 200, LONG).await;
        assert_eq!(settled.unwrap(), Settled::Superseded);
        assert_eq!(replayed(&receiver, &signed("open"), sleep).await, 200);
    })
    .await;
}

/// A handler that continues after its commit does not lose its lease. Nothing is renewed, and its
/// status changes nothing.
#[tokio::test]
async fn a_commit_is_no_lost_lease() {
    each_store(&STORES, async |place| {
        let ledger = Ledger::new(place).await;
        for status in [200, 500] {
            let (mut pauses, timer) = Pauses::new();
            let store = Watched::over(place.open().await);
            let told = Told::default();
            let idempotency = patient(Idempotency::new(Arc::clone(&store), "tests"));
            let receiver = receiver_with(scheme::STANDARD_WEBHOOKS, told.by(idempotency));
            let request = signed(&format!("returns {status}"));
            let a = admitted(&receiver, &request, timer).await;
            let delivery = a.delivery().clone();
            let claim = delivery.claim().unwrap().clone();
            let handler = async {
                ledger.pay("a", &delivery, 202).await.unwrap();
                // The pause before a renewal ends, and nothing is renewed.
                let pause = async {
                    loop {
                        match pauses.begun() {
                            Some((_, end)) => return end.send(()).unwrap(),
                            None => yield_now().await,
                        }
                    }
                };
                soon("pause before a renewal", pause).await;
                for _ in 0..10 {
                    ledger.rows().await;
                    assert!(poll!(pin!(claim.lost())).is_pending(), "it is completed");
                }
                status
            };
            assert_eq!(a.handle(handler, its_status).await.unwrap(), status);
            assert_eq!(store.extends.load(SeqCst), 0);
            assert_eq!(told.take(), ["claimed", "completed"]);
            assert_eq!(replayed(&receiver, &request, sleep).await, 202);
        }
    })
    .await;
}

/// While the handler of a batch continues, a committed event is not renewed.
#[tokio::test]
async fn what_is_committed_is_not_renewed() {
    each_store(&STORES, async |place: &Place| {
        let ledger = Ledger::new(place).await;
        let (store, receiver) = ledger.watched(place).await;
        let (mut pauses, timer) = Pauses::new();
        let admitted = admitted(&receiver, &batch(1..=3), timer).await;
        store.take_log();
        let delivery = admitted.delivery().clone();
        let (ready, is_ready) = oneshot::channel();
        let handler = async {
            let events = delivery.events().unwrap();
            let event = events.iter().next().unwrap();
            ledger.pay(&text(event), event, 200).await.unwrap();
            ready.send(()).unwrap();
            pending::<()>().await;
        };
        let renewed = async {
            is_ready.await.unwrap();
            // The pauses of the store's calls are over. The one that lasts is before the renewal.
            let (_, end) = pauses.begun().unwrap();
            end.send(()).unwrap();
            while store.extends.load(SeqCst) == 0 {
                yield_now().await;
            }
        };
        let running = Box::pin(admitted.handle(handler, |()| None));
        select(running, Box::pin(soon("renewal", renewed))).await;
        assert_eq!(store.take_log(), ["extend_all 2"]);
    })
    .await;
}

/// One transaction for a whole batch. The store is not called for an event that the transaction has
/// completed, because that call would wait for the commit. Once committed, all events are done,
/// whether the handler marks them done or not.
#[tokio::test]
async fn one_transaction_for_all() {
    each_store(&STORES, async |place: &Place| {
        for (says_done, numbers) in [(true, 1..=3), (false, 4..=6), (false, 7..=7)] {
            let ledger = Ledger::new(place).await;
            let (store, receiver) = ledger.watched(place).await;
            let request = batch(numbers.clone());
            let admitted = admitted(&receiver, &request, sleep).await;
            store.take_log();
            let mut open = ledger.begin("batch").await;
            for event in &admitted.delivery().events().unwrap() {
                ledger.write(&mut open, &text(event)).await;
                ledger.complete_in(&mut open, event, 200).await.unwrap();
                if says_done {
                    event.done().await;
                }
            }
            ledger.end(open).await;
            let asked = store.take_log();
            assert!(asked.is_empty(), "these calls would wait: {asked:?}");
            finish(admitted, 204).await.unwrap();
            assert_eq!(ledger.rows().await, [vec!["batch".into()], events(numbers)].concat());
            let replay = admit(&receiver, &request, sleep).await;
            assert!(matches!(replay, Ok(Admission::Answer(_))));
        }
    })
    .await;
}

/// A handler that commits some events of a batch has not done the others.
#[tokio::test]
async fn some_are_committed() {
    each_store(&STORES, async |place: &Place| {
        let ledger = Ledger::new(place).await;
        let (_, receiver) = ledger.watched(place).await;
        let first = admitted(&receiver, &batch(1..=3), sleep).await;
        let all = first.delivery().batch().unwrap();
        let second = &all[1];
        ledger.pay("second", second, 200).await.unwrap();
        let settled = finish(first, 204).await.unwrap_err();
        assert!(matches!(settled, Rejection::EventsLeft));
        let retry = admitted(&receiver, &batch(1..=3), sleep).await;
        assert_eq!(retry.delivery().events().unwrap().len(), 2);
        // An event that another run committed is done as well.
        let again = ledger.pay("second", second, 200).await;
        assert!(matches!(again, Err(CommitError::AlreadyCompleted)), "{again:?}");
    })
    .await;
}

/// The body of a handler that commits is stored after its transaction.
#[tokio::test]
async fn a_body_follows_the_commit() {
    each_store(&STORES, async |place| {
        let ledger = Ledger::new(place).await;
        let idempotency = patient(Idempotency::new(place.open().await, "tests"));
        let receiver = receiver_with(scheme::STANDARD_WEBHOOKS, idempotency.replay(Replay::BODY));
        let paying = ledger.clone();
        let app = App::replying(receiver, move |delivery| {
            let ledger = paying.clone();
            async move {
                ledger.pay("paid", &delivery, 202).await.unwrap();
                Reply { body: ReplyBody::Whole("receipt".into()), ..Reply::from(200) }
            }
        });
        for framework in [Framework::Axum, Framework::Actix] {
            let site = Site::serving(framework, app.clone()).await;
            let request = signed("order 1");
            if framework == Framework::Axum {
                assert_eq!(site.post(&request).await.text(), "receipt");
            }
            let again = site.post(&request).await;
            assert_eq!((again.status, is_replay(&again), again.text()), (202, true, "receipt"));
        }
        assert_eq!(ledger.rows().await, ["paid"]);
    })
    .await;
}
