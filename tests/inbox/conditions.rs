//! Inboxes under bad conditions: clocks that jump, tables of other versions, tables that are
//! missing, full disks, and databases that are read-only.

use std::{error::Error as _, sync::Arc};

use integration_tests::{
    AnyStore, Gate, Kind, Logs, PATIENCE, Place, PostgresServer, Proxy, age_inbox, each_store,
    run_sql, set_back_inbox, size, soon, unique,
};
use sqlx::sqlite::SqliteConnectOptions;
use webhook_verify::{
    Receiver, SqliteStore,
    inbox::{EntryState, Inbox, InboxEvent, Worker},
    scheme,
};

use crate::common::*;

const INBOX: &str = "webhook_inbox";
const ENTRY: &str = "webhook_inbox_entry";
const VERSION: &str = "webhook_inbox_version";

fn standard(inbox: &Inbox) -> Receiver {
    receiver(scheme::STANDARD_WEBHOOKS, inbox)
}

/// Sends an event that the store refuses, and returns the store's reason. The sender gets 503.
async fn refused(receiver: &Receiver, id: &str) -> String {
    let rejection = take(receiver, &single(id)).await.unwrap_err();
    assert_eq!(rejection.status(), 503, "{rejection:?}");
    rejection.source().unwrap().to_string()
}

/// Sends events of this size until the store refuses one. Returns the IDs of the acknowledged
/// events, and the store's reason.
async fn until_refused(receiver: &Receiver, size: u32) -> (Vec<String>, String) {
    // These bytes do not compress well.
    let letters = (0..size).map(|at| b'A' + (at.wrapping_mul(2_654_435_761) >> 13) as u8 % 26);
    let body = format!(r#"{{"data":"{}"}}"#, String::from_utf8(letters.collect()).unwrap());
    let mut acknowledged = Vec::new();
    let sent = async {
        loop {
            let id = format!("evt-{}", acknowledged.len());
            let signer = signer(scheme::STANDARD_WEBHOOKS).id(&*id);
            match take(receiver, &signer.sign(body.clone()).unwrap()).await {
                Ok(status) => assert_eq!(status, 204),
                Err(rejection) => {
                    assert_eq!(rejection.status(), 503, "{rejection:?}");
                    return rejection.source().unwrap().to_string();
                }
            }
            acknowledged.push(id);
        }
    };
    let reason = soon("refusal", sent).await;
    (acknowledged, reason)
}

/// Returns a worker that notes the IDs of events, and polls often.
fn noting(
    inbox: &Inbox,
    notes: &Notes,
) -> Worker<impl Fn(InboxEvent) -> futures_util::future::BoxFuture<'static, Handled> + use<>> {
    let notes = notes.clone();
    let worker = inbox.worker(move |event: InboxEvent| {
        let notes = notes.clone();
        let handle = async move {
            event.is_stale("key", 1).await?;
            notes.add(event.id().unwrap());
            Ok(())
        };
        Box::pin(handle) as _
    });
    worker.poll_every(5 * MS).backoff(MS, 10 * MS).max_attempts(u32::MAX)
}

/// Waits until each of these events is noted, and asserts that each ran once.
async fn each_once(notes: &Notes, mut expected: Vec<String>) {
    notes.until(expected.len()).await;
    expected.sort();
    assert_eq!(notes.sorted(), expected);
}

/// The store's clock is set back by an hour. Running events and later ones are processed as before.
/// Events that were waiting are due when the clock has caught up, or once an operator retries them.
#[tokio::test]
async fn a_clock_that_is_set_back_delays_waiting_events() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        store(&inbox, ["running"]).await;
        let (gate, notes) = (Gate::new(), Notes::default());
        let (at_gate, noted) = (gate.clone(), notes.clone());
        let worker = inbox.worker(move |event: InboxEvent| {
            let (gate, notes) = (at_gate.clone(), noted.clone());
            async move {
                gate.wait().await;
                notes.add(event.id().unwrap());
                Ok(())
            }
        });
        let working = work(worker.poll_every(5 * MS));
        gate.entered().await;
        store(&inbox, ["before"]).await;
        set_back_inbox(&place.url, INBOX, HOUR).await;
        store(&inbox, ["after"]).await;
        gate.open(3);
        until(&inbox, EntryState::Done, 2).await;
        assert_eq!(notes.all(), ["running", "after"]);
        // The worker has polled again since, because it found nothing else.
        until(&inbox, EntryState::Waiting, 1).await;
        let oldest = inbox.stats().await.unwrap()[0].oldest.unwrap();
        assert!(oldest < HOUR, "{oldest:?}");

        assert_eq!(inbox.retry(&inbox.filter()).await.unwrap(), 1);
        until(&inbox, EntryState::Done, 3).await;
        assert_eq!(notes.all(), ["running", "after", "before"]);
        working.stop().await;
    })
    .await;
}

/// A worker has died, and the store's clock is set back by an hour. One worker takes over the event
/// when the clock has caught up with the end of the lease.
#[tokio::test]
async fn a_clock_that_is_set_back_delays_the_takeover_from_a_dead_worker() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        store(&inbox, ["stuck"]).await;
        let gate = Gate::new();
        let working = work(held(&inbox, &gate));
        gate.entered().await;
        drop(working);
        set_back_inbox(&place.url, INBOX, HOUR).await;

        let notes = Notes::default();
        let working = work(noting(&inbox, &notes));
        store(&inbox, ["other"]).await;
        until(&inbox, EntryState::Done, 1).await;
        assert_eq!(inbox.retry(&inbox.filter()).await.unwrap(), 0);
        let running = in_state(&inbox, EntryState::Running).await;
        assert_eq!((running.len(), running[0].attempts), (1, 1));
        age_inbox(&place.url, INBOX, 2 * HOUR).await;
        until(&inbox, EntryState::Done, 2).await;
        each_once(&notes, vec!["other".into(), "stuck".into()]).await;
        working.stop().await;
    })
    .await;
}

/// The store's clock is set forward by an hour, and back again. A retry that is due in the meantime
/// runs early, but only once.
#[tokio::test]
async fn a_clock_that_is_set_forward_makes_retries_due() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        store(&inbox, ["evt-1"]).await;
        let notes = Notes::default();
        let noted = notes.clone();
        let worker = inbox.worker(move |event: InboxEvent| {
            noted.add(format!("attempt {}", event.attempt()));
            async move { if event.attempt() == 1 { Err("broken".into()) } else { Ok(()) } }
        });
        let working = work(worker.backoff(HOUR / 2, HOUR / 2).poll_every(5 * MS));
        notes.until(1).await;
        let waiting = until(&inbox, EntryState::Waiting, 1).await;
        assert_eq!(waiting[0].attempts, 1);
        age_inbox(&place.url, INBOX, HOUR).await;
        until(&inbox, EntryState::Done, 1).await;
        set_back_inbox(&place.url, INBOX, HOUR).await;
        store(&inbox, ["evt-1", "evt-2"]).await;
        assert_eq!(notes.until(3).await, ["attempt 1", "attempt 2", "attempt 1"]);
        working.stop().await;
    })
    .await;
}

/// A later version has added columns. Processes of this version continue, and new ones start.
#[tokio::test]
async fn columns_of_a_later_version_are_ignored() {
    each_store(&STORES, async |place| {
        let (name, notes) = (unique("inbox"), Notes::default());
        let (running, _) = open_named(place, &name).await;
        let working = work(noting(&running, &notes));
        store(&running, ["evt-1"]).await;
        until(&running, EntryState::Done, 1).await;
        for table in [INBOX, ENTRY, VERSION] {
            run_sql(&place.url, format!("ALTER TABLE {table} ADD COLUMN new_text text")).await;
            let counter = "new_number integer NOT NULL DEFAULT 7";
            run_sql(&place.url, format!("ALTER TABLE {table} ADD COLUMN {counter}")).await;
        }
        store(&running, ["evt-2"]).await;
        until(&running, EntryState::Done, 2).await;
        let (started, _) = open_named(place, &name).await;
        store(&started, ["evt-2", "evt-3"]).await;
        until(&started, EntryState::Done, 3).await;
        assert_eq!(started.retry(&started.filter()).await.unwrap(), 0);
        each_once(&notes, vec!["evt-1".into(), "evt-2".into(), "evt-3".into()]).await;
        working.stop().await;
    })
    .await;
}

/// The tables of another version lack a column. A process that starts fails with an error that names
/// the column. A process that is already running refuses events.
#[tokio::test]
async fn a_missing_column_is_named_at_the_start() {
    each_store(&STORES, async |place| {
        for (table, column) in [(INBOX, "data_pointer"), (ENTRY, "error"), (VERSION, "version")] {
            let place = Place::new(place.kind);
            let (inbox, _) = open(&place).await;
            run_sql(&place.url, format!("ALTER TABLE {table} DROP COLUMN {column}")).await;
            let error = AnyStore::open(&place.url).await.unwrap_err();
            let reason = error.source().unwrap().to_string();
            let expected = format!("table {table} has other columns than migrate creates: ");
            assert!(reason.starts_with(&expected) && reason.contains(column), "{reason}");
            if table == INBOX {
                let reason = refused(&standard(&inbox), "evt-1").await;
                assert!(reason.contains(column), "{reason}");
            }
        }
    })
    .await;
}

/// The reply is lost that an event is done. Its worker cannot know, and does not report the lease as
/// lost.
#[tokio::test]
async fn a_result_whose_reply_is_lost_is_unknown() {
    let logs = Logs::collect();
    each_store(&[Kind::Postgres], async |place| {
        let proxy = Arc::new(Proxy::start(place.server.unwrap()).await);
        // The parameters of leases and results contain the consumer.
        proxy.cut_only(b"zebra");
        let name = unique("inbox");
        let (inbox, _) = open_url(&place.url_via(proxy.addr()), &name).await;
        let inbox = inbox.consumers(["zebra"]);
        store(&inbox, ["evt-1"]).await;
        let of_handler = Arc::clone(&proxy);
        let worker = inbox.worker(move |_: InboxEvent| {
            let proxy = Arc::clone(&of_handler);
            async move {
                proxy.cut_replies(1, 0);
                Ok(())
            }
        });
        let working = work(worker.lease(HOUR).poll_every(HOUR));
        until_logged(&logs, &inbox, "it may be recorded or not").await;
        assert_eq!(proxy.cuts(), 1);
        assert_eq!(until(&inbox, EntryState::Done, 1).await[0].attempts, 1);
        working.stop().await;
        assert!(!is_logged(&logs, &inbox, "lease lost"));
    })
    .await;
}

/// One table is dropped while a receiver and a worker use it. Once it is created again, both
/// continue. The rows of the dropped table are lost.
#[tokio::test]
async fn a_dropped_table_is_named_until_it_is_created_again() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        for table in [INBOX, ENTRY, VERSION] {
            let place = Place::new(place.kind);
            let (inbox, _) = open(&place).await;
            let (receiver, notes) = (standard(&inbox), Notes::default());
            let working = work(noting(&inbox, &notes));
            let earlier = ["a", "b", "c", "d"];
            store(&inbox, earlier).await;
            until(&inbox, EntryState::Done, 4).await;
            run_sql(&place.url, format!("DROP TABLE {table}")).await;
            let expected = format!("table {table} does not exist: migrate creates it");
            if table == VERSION {
                // An insert of events does not use it.
                store(&inbox, ["e"]).await;
                let failed = async {
                    loop {
                        let entries = entries(&inbox).await;
                        let mut errors = entries.iter().filter_map(|entry| entry.error.as_deref());
                        if errors.any(|error| error.contains(&expected)) {
                            return;
                        }
                    }
                };
                soon("failed attempt", failed).await;
            } else {
                assert_eq!(refused(&receiver, "e").await, expected);
                let logged = format!("no events leased: store failed: {expected}");
                until_logged(&logs, &inbox, &logged).await;
            }
            let _other_process = AnyStore::open(&place.url).await.unwrap();
            store(&inbox, ["e", "f"]).await;
            let all = [&earlier[..], &["e", "f"]].concat();
            each_once(&notes, all.into_iter().map(str::to_owned).collect()).await;
            until(&inbox, EntryState::Done, if table == VERSION { 6 } else { 2 }).await;
            working.stop().await;
        }
    })
    .await;
}

/// Sends events until the disk is full, makes room, and sends another. Each acknowledged event is
/// processed. An event whose result could not be recorded runs again.
async fn while_full(inbox: &Inbox, reason: &str, make_room: impl AsyncFnOnce()) {
    let notes = Notes::default();
    let working = work(noting(inbox, &notes).concurrency(8).lease(SECOND));
    let (mut acknowledged, refusal) = until_refused(&standard(inbox), 20_000).await;
    assert!(refusal.contains(reason), "{refusal}");
    assert!(acknowledged.len() > 5, "{acknowledged:?}");
    make_room().await;
    store(inbox, ["last"]).await;
    acknowledged.push("last".to_owned());
    until(inbox, EntryState::Done, acknowledged.len()).await;
    acknowledged.sort();
    let mut noted = notes.sorted();
    noted.dedup();
    assert_eq!(noted, acknowledged);
    working.stop().await;
}

/// No file of the server may grow. The write-ahead log does not need to. If its disk is full, the
/// server ends: see `tests/stores/postgres/faults.rs`.
#[tokio::test]
async fn a_full_disk_of_a_server() {
    let server = PostgresServer::until_started().await;
    let (inbox, _) = open_url(&server.url(), &unique("inbox")).await;
    server.limit_files(Some(1 << 20));
    while_full(&inbox, "could not extend file", async || server.limit_files(None)).await;
}

/// The file may not grow until another table in it is dropped.
#[tokio::test]
async fn a_full_disk_of_a_file() {
    let place = Place::new(Kind::Sqlite);
    drop(AnyStore::open(&place.url).await.unwrap());
    let filler = "CREATE TABLE filler AS SELECT zeroblob(1000000) AS data";
    run_sql(&place.url, filler).await;
    let options: SqliteConnectOptions = place.url.parse().unwrap();
    let limited = options.pragma("max_page_count", "400");
    let inbox = Inbox::new(SqliteStore::open(limited).await.unwrap(), unique("inbox"));
    while_full(&inbox, "full", async || run_sql(&place.url, "DROP TABLE filler").await).await;
}

/// The server accepts no writes for a while, as a standby does. No event is acknowledged, and the
/// worker logs why it gets none. Both continue afterwards.
#[tokio::test]
async fn a_server_that_is_read_only_for_a_while() {
    let logs = Logs::collect();
    let server = PostgresServer::until_started().await;
    let (inbox, _) = open_url(&server.url(), &unique("inbox")).await;
    let (receiver, notes) = (standard(&inbox), Notes::default());
    let working = work(noting(&inbox, &notes));
    store(&inbox, ["first"]).await;
    until(&inbox, EntryState::Done, 1).await;
    let set = async |sql: &str| {
        run_sql(&server.url(), sql).await;
        run_sql(&server.url(), "SELECT pg_reload_conf()").await;
    };
    set("ALTER SYSTEM SET default_transaction_read_only = on").await;
    let (mut acknowledged, reason) = until_refused(&receiver, 10).await;
    assert!(reason.contains("read-only transaction"), "{reason}");
    until_logged(&logs, &inbox, "no events leased").await;
    set("ALTER SYSTEM RESET default_transaction_read_only").await;
    let stored = async {
        while take(&receiver, &single("last")).await.is_err() {
            tokio::time::sleep(5 * MS).await;
        }
    };
    soon("stored event", stored).await;
    acknowledged.extend(["first".to_owned(), "last".to_owned()]);
    until(&inbox, EntryState::Done, acknowledged.len()).await;
    let mut noted = notes.sorted();
    // An event may have run although the server did not accept its result.
    noted.dedup();
    acknowledged.sort();
    assert_eq!(noted, acknowledged);
    working.stop().await;
}

/// A process may only read the file. The sender gets 503, and the worker logs why it gets no events.
/// A process that may write continues.
#[tokio::test]
async fn a_file_that_a_process_may_only_read() {
    let logs = Logs::collect();
    let place = Place::new(Kind::Sqlite);
    let name = unique("inbox");
    let (writable, _) = open_named(&place, &name).await;
    store(&writable, ["evt-1"]).await;
    let options: SqliteConnectOptions = place.url.parse().unwrap();
    let reader = Inbox::new(SqliteStore::open(options.read_only(true)).await.unwrap(), &*name);
    let notes = Notes::default();
    let reading = work(noting(&reader, &notes));
    let reason = refused(&standard(&reader), "evt-2").await;
    assert!(reason.contains("readonly"), "{reason}");
    until_logged(&logs, &reader, "readonly").await;
    let working = work(noting(&writable, &notes));
    store(&writable, ["evt-2"]).await;
    each_once(&notes, vec!["evt-1".into(), "evt-2".into()]).await;
    reading.stop().await;
    working.stop().await;
}

/// An operator retries and discards a running event. Neither has an effect.
#[tokio::test]
async fn a_running_event_is_neither_retried_nor_discarded() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        store(&inbox, ["evt-1"]).await;
        let (gate, notes) = (Gate::new(), Notes::default());
        let (at_gate, noted): (Arc<Gate>, _) = (gate.clone(), notes.clone());
        let worker = inbox.worker(move |event: InboxEvent| {
            let (gate, notes) = (at_gate.clone(), noted.clone());
            async move {
                gate.wait().await;
                notes.add(format!("attempt {}", event.attempt()));
                Ok(())
            }
        });
        let working = work(worker.concurrency(2).poll_every(5 * MS));
        gate.entered().await;
        for filter in [inbox.filter(), inbox.filter().state(EntryState::Running)] {
            assert_eq!(inbox.retry(&filter).await.unwrap(), 0);
            assert_eq!(inbox.discard(&filter).await.unwrap(), 0);
        }
        // A second worker slot would run it again now.
        store(&inbox, ["evt-2"]).await;
        gate.entered().await;
        gate.open(2);
        until(&inbox, EntryState::Done, 2).await;
        assert_eq!(notes.all(), ["attempt 1", "attempt 1"]);
        working.stop().await;
    })
    .await;
}

/// An operator retries 100,000 dead events on PostgreSQL, while deliveries are stored and
/// processed. `many_dead_entries_are_retried` does so on SQLite.
#[tokio::test]
async fn many_dead_events_are_retried_while_others_are_processed() {
    let count = size(20_000, 100_000);
    each_store(&[Kind::Postgres], async |place| {
        let (inbox, _) = open(place).await;
        let inbox = inbox.store_timeout(PATIENCE);
        let endpoint = inbox.filter().endpoint;
        run_sql(
            &place.url,
            format!(
                "WITH given AS (
                   INSERT INTO {INBOX} (number, key, endpoint, scheme, event_id, received_at,
                     headers, body, expires_at)
                   SELECT nextval('{INBOX}_number'), sha256(n::text::bytea), '{endpoint}',
                     'mautic', 'dead', now(), '[]', '', now() + interval '1 day'
                   FROM generate_series(1, {count}) n
                   RETURNING number, endpoint
                 )
                 INSERT INTO {ENTRY} (event, consumer, endpoint, state, attempt, due_at, position)
                 SELECT number, 'default', endpoint, 2, 20, now(), 0 FROM given"
            ),
        )
        .await;
        let dead = inbox.filter().state(EntryState::Dead).limit(usize::MAX);
        let notes = Notes::default();
        let working = work(noting(&inbox, &notes).concurrency(8));
        let stored = async {
            let mut stored = 0;
            while inbox.stats().await.unwrap().iter().any(|stats| stats.dead > 0) {
                store(&inbox, [format!("new-{stored}")]).await;
                stored += 1;
            }
            stored
        };
        let (retried, stored) = tokio::join!(inbox.retry(&dead), stored);
        assert_eq!(retried.unwrap(), count);
        // The retry takes more than one statement.
        assert!(stored > 1, "{stored}");
        notes.until(64).await;
        working.stop().await;
    })
    .await;
}
