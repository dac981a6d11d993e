//! Leases: renewal, loss, shutdown, and results that the store does not record at once.

use std::{
    collections::HashSet,
    future::pending,
    sync::{Arc, Mutex, mpsc},
    time::Instant,
};

use integration_tests::{Gate, Logs, age_inbox, each_store, unique};
use webhook_verify::inbox::{EntryState, Inbox, InboxEvent, Worker};

use crate::common::*;

/// Returns a worker whose handlers note what they do, and wait at the gate.
fn waiting(
    inbox: &Inbox,
    name: &'static str,
    notes: &Notes,
    gate: &Arc<Gate>,
) -> Worker<impl Fn(InboxEvent) -> futures_util::future::BoxFuture<'static, Handled> + use<>> {
    let (notes, gate) = (notes.clone(), gate.clone());
    inbox.worker(move |event: InboxEvent| {
        let (notes, gate) = (notes.clone(), gate.clone());
        let handle = async move {
            notes.add(format!("{name} {} {}", event.id().unwrap(), event.attempt()));
            let _guard = Guard(notes, name);
            gate.wait().await;
            Ok(())
        };
        Box::pin(handle) as _
    })
}

#[tokio::test]
async fn the_lease_of_a_long_handler_is_renewed() {
    each_store(&STORES, async |place| {
        let name = unique("inbox");
        let (inbox, faults) = open_named(place, &name).await;
        let (other, _) = open_named(place, &name).await;
        store(&inbox, ["evt-1"]).await;
        let (notes, gate) = (Notes::default(), Gate::new());
        let working = work(waiting(&inbox, "first", &notes, &gate).lease(3 * SECOND));
        gate.entered().await;
        let second = waiting(&other, "second", &notes, &gate);
        let second = work(second.lease(3 * SECOND).poll_every(5 * MS));
        // A renewal each second, beyond the end of the first lease.
        faults.until_calls("extend", 5).await;
        gate.open(1);
        let done = until(&inbox, EntryState::Done, 1).await;
        assert_eq!(done[0].attempts, 1);
        assert_eq!(notes.all(), ["first evt-1 1", "first ends"]);
        working.stop().await;
        second.stop().await;
    })
    .await;
}

#[tokio::test]
async fn without_renewal_the_handler_is_dropped_before_another_worker_takes_over() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        for fault in [Fault::Refused, Fault::Silent, Fault::Locked] {
            let name = unique("inbox");
            let (inbox, faults) = open_named(place, &name).await;
            let (other, _) = open_named(place, &name).await;
            store(&inbox, ["evt-1"]).await;
            let (notes, gate) = (Notes::default(), Gate::new());
            let working = work(waiting(&inbox, "first", &notes, &gate).lease(2 * SECOND));
            gate.entered().await;
            // The renewals that take effect have no answer, so the worker cannot count on them.
            faults.set("extend", fault);
            faults.set("lease", Fault::Refused);
            let second = waiting(&other, "second", &notes, &gate);
            let second = work(second.lease(HOUR).poll_every(5 * MS));
            gate.entered().await;
            assert_eq!(notes.all(), ["first evt-1 1", "first ends", "second evt-1 2"]);
            until_logged(&logs, &inbox, "lease lost").await;
            gate.open(2);
            until(&inbox, EntryState::Done, 1).await;
            working.stop().await;
            second.stop().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_handler_whose_event_was_taken_over_is_dropped_at_the_next_renewal() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        let name = unique("inbox");
        let (inbox, faults) = open_named(place, &name).await;
        let (other, _) = open_named(place, &name).await;
        store(&inbox, ["evt-1"]).await;
        let (notes, gate) = (Notes::default(), Gate::new());
        let working = work(waiting(&inbox, "first", &notes, &gate).lease(9 * SECOND));
        gate.entered().await;
        faults.set("lease", Fault::Refused);
        faults.take_calls("extend");
        age_inbox(&place.url, "webhook_inbox", HOUR).await;
        let second = waiting(&other, "second", &notes, &gate);
        let second = work(second.lease(HOUR).poll_every(5 * MS));
        gate.entered().await;
        assert_eq!(notes.until(3).await[1..], ["second evt-1 2", "first ends"]);
        assert_eq!(faults.take_calls("extend"), 1);
        until_logged(&logs, &inbox, "lease lost").await;
        gate.open(2);
        let done = until(&inbox, EntryState::Done, 1).await;
        assert_eq!(done[0].attempts, 2);
        working.stop().await;
        second.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_waits_for_running_handlers_and_starts_no_others() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        store(&inbox, ["evt-1", "evt-2"]).await;
        let (notes, gate) = (Notes::default(), Gate::new());
        let mut working = work(waiting(&inbox, "first", &notes, &gate).lease(3 * SECOND));
        gate.entered().await;
        working.begin_to_stop();
        gate.open(2);
        working.until_stopped().await;
        assert_eq!(notes.all(), ["first evt-1 1", "first ends"]);
        let all = entries(&inbox).await;
        let states: Vec<_> = all.iter().map(|entry| (entry.state, entry.attempts)).collect();
        assert_eq!(states, [(EntryState::Done, 1), (EntryState::Waiting, 0)]);
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_releases_the_events_of_handlers_that_take_too_long() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        let ids: Vec<_> = (0..70).map(|number| format!("evt-{number}")).collect();
        store(&inbox, &ids).await;
        let (notes, gate) = (Notes::default(), Gate::new());
        let first = waiting(&inbox, "first", &notes, &gate).concurrency(70);
        let working = work(first.lease(HOUR).grace(10 * MS));
        for _ in 0..70 {
            gate.entered().await;
        }
        working.stop().await;
        // They are due at once, although the leases had an hour left.
        assert_eq!(notes.all().iter().filter(|note| *note == "first ends").count(), 70);
        assert_eq!(in_state(&inbox, EntryState::Waiting).await.len(), 70);
        assert_eq!(lines(&logs, &inbox, "handler cut off by the shutdown"), 70);
        let next = work(inbox.worker(async |event: InboxEvent| {
            assert_eq!(event.attempt(), 2);
            Ok(())
        }));
        until(&inbox, EntryState::Done, 70).await;
        next.stop().await;
    })
    .await;
}

/// The grace ends while the store records the result of a handler that has succeeded.
#[tokio::test]
async fn a_shutdown_records_the_results_of_handlers_that_have_succeeded() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        let (inbox, faults) = open(place).await;
        store(&inbox, ["evt-1", "evt-2"]).await;
        let (notes, gate) = (Notes::default(), Gate::new());
        let first = waiting(&inbox, "first", &notes, &gate).concurrency(2);
        let mut working = work(first.lease(HOUR).grace(10 * MS));
        gate.entered().await;
        gate.entered().await;
        faults.set("settle", Fault::Held);
        let called = faults.until_calls("settle", 1);
        gate.open(1);
        called.await;
        working.begin_to_stop();
        // The grace is over once the other handler is dropped.
        notes.until(4).await;
        faults.clear();
        working.until_stopped().await;
        let states: HashSet<_> = entries(&inbox).await.iter().map(|it| it.state).collect();
        assert_eq!(states, HashSet::from([EntryState::Done, EntryState::Waiting]));
        assert_eq!(lines(&logs, &inbox, "event processed"), 1);
    })
    .await;
}

/// The others are dropped and released, and the worker ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_shutdown_does_not_wait_for_a_handler_that_blocks_its_thread() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        store(&inbox, ["blocks", "waits"]).await;
        let (until_end, ended) = mpsc::channel::<()>();
        let (notes, ended) = (Notes::default(), Arc::new(Mutex::new(ended)));
        let noted = notes.clone();
        let worker = inbox.worker(move |event: InboxEvent| {
            let (notes, ended) = (noted.clone(), ended.clone());
            async move {
                notes.add(event.id().unwrap());
                match event.id() {
                    Some("blocks") => drop(ended.lock().unwrap().recv()),
                    _ => pending().await,
                }
                Ok(())
            }
        });
        let working = work(worker.concurrency(2).lease(HOUR).grace(10 * MS));
        notes.until(2).await;
        working.stop().await;
        drop(until_end);
        let all = entries(&inbox).await;
        let states: Vec<_> = all.iter().map(|entry| entry.state).collect();
        assert_eq!(states, [EntryState::Running, EntryState::Waiting]);
    })
    .await;
}

#[tokio::test]
async fn with_the_future_of_a_worker_its_handlers_are_dropped() {
    each_store(&STORES, async |place| {
        let (inbox, faults) = open(place).await;
        store(&inbox, ["evt-1"]).await;
        let (notes, gate) = (Notes::default(), Gate::new());
        let working = work(waiting(&inbox, "first", &notes, &gate).lease(SECOND));
        gate.entered().await;
        drop(working);
        notes.until(2).await;
        assert_eq!(in_state(&inbox, EntryState::Running).await.len(), 1);
        faults.take_calls("extend");
        let second = waiting(&inbox, "second", &notes, &gate).poll_every(5 * MS);
        let second = work(second.lease(HOUR));
        gate.entered().await;
        assert_eq!(notes.all(), ["first evt-1 1", "first ends", "second evt-1 2"]);
        // Nothing renews or settles for the first worker.
        assert_eq!((faults.take_calls("extend"), faults.take_calls("settle")), (0, 0));
        gate.open(2);
        until(&inbox, EntryState::Done, 1).await;
        second.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_result_is_recorded_after_an_outage_of_the_store() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        for fault in [Fault::Refused, Fault::Unanswered] {
            let (inbox, faults) = open(place).await;
            store(&inbox, ["evt-1"]).await;
            let notes = Notes::default();
            let noted = notes.clone();
            faults.set("settle", fault);
            let worker = inbox.worker(move |_| {
                noted.add("runs");
                async { Ok(()) }
            });
            // Renewals find that the entry is done, if the call took effect.
            let working = work(worker.lease(3 * SECOND).poll_every(5 * MS));
            faults.until_calls("settle", 2).await;
            faults.until_calls("extend", 2).await;
            faults.clear();
            let text = match fault {
                Fault::Refused => "event processed",
                _ => "it may be recorded or not",
            };
            until_logged(&logs, &inbox, text).await;
            let done = until(&inbox, EntryState::Done, 1).await;
            assert_eq!(done[0].attempts, 1);
            working.stop().await;
            assert_eq!(notes.all(), ["runs"]);
            assert!(is_logged(&logs, &inbox, "result not recorded"));
            assert!(!is_logged(&logs, &inbox, "lease lost"));
        }
    })
    .await;
}

#[tokio::test]
async fn an_event_whose_result_was_never_recorded_is_processed_again() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        let (inbox, faults) = open(place).await;
        store(&inbox, ["evt-1"]).await;
        let notes = Notes::default();
        let noted = notes.clone();
        faults.set("settle", Fault::Refused);
        faults.set("extend", Fault::Refused);
        let worker = inbox.worker(move |event: InboxEvent| {
            noted.add(format!("attempt {}", event.attempt()));
            async { Ok(()) }
        });
        let working = work(worker.lease(SECOND).poll_every(5 * MS));
        until_logged(&logs, &inbox, "it may be recorded or not").await;
        faults.clear();
        let done = until(&inbox, EntryState::Done, 1).await;
        assert_eq!(done[0].attempts, 2);
        assert_eq!(notes.all(), ["attempt 1", "attempt 2"]);
        working.stop().await;
        assert!(!is_logged(&logs, &inbox, "lease lost"));
    })
    .await;
}

#[tokio::test]
async fn a_worker_outlasts_an_outage_of_the_store() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        let (inbox, faults) = open(place).await;
        faults.set("lease", Fault::Refused);
        let working = work(inbox.worker(async |_: InboxEvent| Ok(())).poll_every(HOUR));
        until_logged(&logs, &inbox, "no events leased").await;
        faults.until_calls("lease", 1).await;
        faults.clear();
        store(&inbox, ["evt-1"]).await;
        until(&inbox, EntryState::Done, 1).await;
        working.stop().await;
    })
    .await;
}

/// A batch that fails is not formed again: each of its entries is settled alone.
#[tokio::test]
async fn an_entry_that_is_locked_delays_no_others() {
    each_store(&STORES, async |place| {
        let (inbox, faults) = open(place).await;
        store(&inbox, (0..8).map(|number| format!("evt-{number}"))).await;
        faults.lock_event(entries(&inbox).await[3].number);
        let (notes, gate) = (Notes::default(), Gate::new());
        let working = work(waiting(&inbox, "first", &notes, &gate).concurrency(8).lease(HOUR));
        for _ in 0..8 {
            gate.entered().await;
        }
        gate.open(8);
        until(&inbox, EntryState::Done, 7).await;
        until(&inbox, EntryState::Running, 1).await;
        let together = faults.take_calls("settle together");
        assert!(together <= 4, "{together} batches of 8 entries");
        faults.until_calls("settle", 3).await;
        assert_eq!(faults.take_calls("settle together"), 0);
        faults.clear();
        until(&inbox, EntryState::Done, 8).await;
        working.stop().await;
    })
    .await;
}

#[tokio::test]
async fn entries_that_no_handler_can_take_are_released() {
    each_store(&STORES, async |place| {
        let (inbox, faults) = open(place).await;
        store(&inbox, ["evt-1", "evt-2"]).await;
        faults.set("lease", Fault::Generous);
        let (notes, gate) = (Notes::default(), Gate::new());
        let working = work(waiting(&inbox, "first", &notes, &gate).lease(HOUR));
        gate.entered().await;
        let waits = until(&inbox, EntryState::Waiting, 1).await;
        assert_eq!((waits[0].event.id.as_deref(), waits[0].attempts), (Some("evt-2"), 1));
        gate.open(2);
        until(&inbox, EntryState::Done, 2).await;
        assert_eq!(notes.all().len(), 4, "{:?}", notes.all());
        working.stop().await;
    })
    .await;
}

/// New events wake a worker, but not during the pause after an error.
#[tokio::test]
async fn during_an_outage_new_events_cause_no_calls() {
    each_store(&STORES, async |place| {
        let (inbox, faults) = open(place).await;
        faults.set("lease", Fault::Refused);
        let called = faults.until_calls("lease", 1);
        let working = work(inbox.worker(async |_: InboxEvent| Ok(())).poll_every(HOUR));
        called.await;
        let (begun, none) = (Instant::now(), inbox.filter().event_type("none"));
        let calls = faults.until_calls("lease", 3);
        let waking = async {
            loop {
                inbox.retry(&none).await.unwrap();
                tokio::time::sleep(MS).await;
            }
        };
        tokio::select! {
            () = calls => {}
            () = waking => {}
        }
        // Half of each pause: 200, 400 and 800 ms, of which the first may have begun before.
        assert!(begun.elapsed() >= 600 * MS, "{:?}", begun.elapsed());
        working.stop().await;
    })
    .await;
}

/// Each handler and each delivery meets the same outage. The log has a burst of 5 lines, and then
/// one each second.
#[tokio::test]
async fn an_outage_does_not_flood_the_log() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        let (inbox, faults) = open(place).await;
        store(&inbox, (0..50).map(|number| format!("evt-{number}"))).await;
        let begun = Instant::now();
        faults.set("settle", Fault::Refused);
        let called = faults.until_calls("settle", 52);
        let worker = inbox.worker(async |_: InboxEvent| Ok(())).concurrency(50);
        let working = work(worker.lease(HOUR));
        called.await;
        faults.set("insert", Fault::Refused);
        let receiver = receiver(webhook_verify::scheme::STANDARD_WEBHOOKS, &inbox);
        for _ in 0..50 {
            take(&receiver, &single("evt-new")).await.unwrap_err();
        }
        for text in ["result not recorded", "events not stored at the first attempt"] {
            let logged = lines(&logs, &inbox, text);
            let most = 6 + begun.elapsed().as_secs() as usize;
            assert!((1..=most).contains(&logged), "{logged} lines: {text}");
        }
        faults.clear();
        working.stop().await;
    })
    .await;
}

/// A lease that is granted after the shutdown began starts no handler.
#[tokio::test]
async fn a_shutdown_releases_the_events_that_are_leased_meanwhile() {
    each_store(&STORES, async |place| {
        let (inbox, faults) = open(place).await;
        store(&inbox, ["evt-1", "evt-2"]).await;
        faults.set("lease", Fault::Held);
        let (notes, gate) = (Notes::default(), Gate::new());
        let first = waiting(&inbox, "first", &notes, &gate).concurrency(2).lease(HOUR);
        let called = faults.until_calls("lease", 1);
        let mut working = work(first.grace(HOUR));
        called.await;
        working.begin_to_stop();
        faults.clear();
        working.until_stopped().await;
        assert!(notes.all().is_empty());
        let all = entries(&inbox).await;
        let states: Vec<_> = all.iter().map(|entry| (entry.state, entry.attempts)).collect();
        assert_eq!(states, [(EntryState::Waiting, 1); 2]);
    })
    .await;
}

/// A panic of the store is one of its errors: the worker's tasks survive it.
#[tokio::test]
async fn a_worker_outlasts_panics_of_the_store() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        let (inbox, faults) = open(place).await;
        for call in ["watch", "stats", "lease", "announce"] {
            faults.set(call, Fault::Panics);
        }
        store(&inbox, ["evt-1"]).await;
        let (notes, gate) = (Notes::default(), Gate::new());
        let working = work(waiting(&inbox, "first", &notes, &gate).lease(3 * SECOND));
        until_logged(&logs, &inbox, "the store panicked in `lease`").await;
        faults.clear();
        gate.entered().await;
        faults.set("extend", Fault::Panics);
        until_logged(&logs, &inbox, "the store panicked in `extend`").await;
        faults.clear();
        faults.until_calls("extend", 1).await;
        faults.set("settle", Fault::Panics);
        gate.open(1);
        until_logged(&logs, &inbox, "the store panicked in `settle`").await;
        faults.clear();
        until(&inbox, EntryState::Done, 1).await;
        working.stop().await;

        faults.set("insert", Fault::Panics);
        let receiver = receiver(webhook_verify::scheme::STANDARD_WEBHOOKS, &inbox);
        let refused = take(&receiver, &single("evt-2")).await.unwrap_err();
        assert_eq!(refused.status(), 503);
        assert!(is_logged(&logs, &inbox, "the store panicked in `insert`"));
    })
    .await;
}

/// The reply to the insert was lost twice, and the sender's retry is a duplicate.
#[tokio::test]
async fn a_duplicate_wakes_workers() {
    each_store(&STORES, async |place| {
        let (inbox, faults) = open(place).await;
        let called = faults.until_calls("lease", 1);
        let working = work(inbox.worker(async |_: InboxEvent| Ok(())).poll_every(HOUR));
        called.await;
        faults.set("insert", Fault::Unanswered);
        let receiver = receiver(webhook_verify::scheme::STANDARD_WEBHOOKS, &inbox);
        take(&receiver, &single("evt-1")).await.unwrap_err();
        faults.clear();
        store(&inbox, ["evt-1"]).await;
        until(&inbox, EntryState::Done, 1).await;
        working.stop().await;
    })
    .await;
}
