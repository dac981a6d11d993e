//! Dead events are logged, whatever happens to the calls that record them.

use std::time::SystemTime;

use integration_tests::{Gate, Logs, Place, each_store, run_sql, soon, unique};
use tokio::time::sleep;
use webhook_verify::inbox::{EntryState, Inbox, InboxEvent};

use crate::common::*;

const DEAD: &str = "event is dead";
const UNKNOWN: &str = "it may be recorded or not";

/// Lets the leases of an inbox end.
async fn expire(place: &Place, inbox: &Inbox) {
    let past = if place.url.starts_with("sqlite:") { "0" } else { "'epoch'" };
    let endpoint = inbox.filter().endpoint;
    let sql = format!(
        "UPDATE webhook_inbox_entry SET due_at = {past} WHERE endpoint = '{endpoint}' AND state = 1"
    );
    run_sql(&place.url, sql).await;
}

/// Waits until the lease of the only event has been granted again after [`expire`].
async fn until_leased(inbox: &Inbox) {
    let leased = async {
        while entries(inbox).await[0].due_at < SystemTime::UNIX_EPOCH.elapsed().unwrap() {
            sleep(MS).await;
        }
    };
    soon("lease", leased).await;
}

/// Stores an event whose only attempt is used up, because its worker has died.
async fn exhaust(place: &Place, inbox: &Inbox) {
    store(inbox, ["evt-1"]).await;
    let gate = Gate::new();
    let working = work(held(inbox, &gate).max_attempts(1).lease(HOUR));
    gate.entered().await;
    drop(working);
    expire(place, inbox).await;
}

/// Opens an inbox that another process may open by its name.
async fn named(place: &Place) -> (String, (Inbox, Faults)) {
    let name = unique("inbox");
    let opened = open_named(place, &name).await;
    (name, opened)
}

/// Starts a worker that gives up an event after one attempt, which fails.
fn failing(inbox: &Inbox) -> Working {
    let worker = inbox.worker(async |_: InboxEvent| Err("broken".into()));
    work(worker.max_attempts(1).lease(HOUR).poll_every(5 * MS))
}

#[tokio::test]
async fn an_event_whose_last_lease_expired_is_logged_although_a_reply_is_lost() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        for call in ["lease", "settle"] {
            let (inbox, faults) = open(place).await;
            exhaust(place, &inbox).await;
            faults.set(call, Fault::Unanswered);
            let called = faults.until_calls(call, 2);
            let working = failing(&inbox);
            called.await;
            faults.clear();
            if call == "lease" {
                // The first of these calls may have begun with the fault.
                faults.until_calls("lease", 2).await;
                expire(place, &inbox).await;
            }
            let dead = until(&inbox, EntryState::Dead, 1).await;
            let expired = "the lease of the last attempt has expired";
            assert_eq!((dead[0].attempts, dead[0].error.as_deref()), (1, Some(expired)));
            until_logged(&logs, &inbox, DEAD).await;
            working.stop().await;
            assert_eq!(lines(&logs, &inbox, DEAD), 1, "{call}");
            assert!(is_logged(&logs, &inbox, expired));
            assert!(!is_logged(&logs, &inbox, UNKNOWN));
        }
    })
    .await;
}

/// A worker dies after a call that finds the event out of attempts, or records it as dead.
#[tokio::test]
async fn an_event_whose_last_lease_expired_is_logged_although_a_worker_dies() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        for call in ["lease", "settle"] {
            let (name, (inbox, faults)) = named(place).await;
            exhaust(place, &inbox).await;
            faults.set(call, Fault::Silent);
            let called = faults.until_calls(call, 1);
            let working = failing(&inbox);
            called.await;
            match call {
                "lease" => until_leased(&inbox).await,
                _ => drop(until(&inbox, EntryState::Dead, 1).await),
            }
            drop(working);
            expire(place, &inbox).await;
            let (other, _) = open_named(place, &name).await;
            let working = failing(&other);
            until_logged(&logs, &inbox, DEAD).await;
            until(&inbox, EntryState::Dead, 1).await;
            working.stop().await;
            assert_eq!(lines(&logs, &inbox, DEAD), 1, "{call}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_event_that_fails_for_the_last_time_is_logged_although_a_reply_is_lost() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        let (inbox, faults) = open(place).await;
        store(&inbox, ["evt-1"]).await;
        faults.set("settle", Fault::Unanswered);
        let called = faults.until_calls("settle", 2);
        let working = failing(&inbox);
        called.await;
        faults.clear();
        let dead = until(&inbox, EntryState::Dead, 1).await;
        assert_eq!(dead[0].error.as_deref(), Some("broken"));
        working.stop().await;
        assert_eq!(lines(&logs, &inbox, DEAD), 1);
        assert!(is_logged(&logs, &inbox, r#"error="broken""#));
        assert!(!is_logged(&logs, &inbox, UNKNOWN));
    })
    .await;
}

#[tokio::test]
async fn an_event_that_fails_for_the_last_time_is_logged_although_its_worker_dies() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        // The worker dies before and after the call takes effect.
        for (fault, state, count) in
            [(Fault::Silent, EntryState::Dead, 1), (Fault::Held, EntryState::Running, 2)]
        {
            let (name, (inbox, faults)) = named(place).await;
            store(&inbox, ["evt-1"]).await;
            faults.set("settle", fault);
            let called = faults.until_calls("settle", 1);
            let working = failing(&inbox);
            called.await;
            until(&inbox, state, 1).await;
            drop(working);
            assert_eq!(lines(&logs, &inbox, DEAD), 1);
            expire(place, &inbox).await;
            let (other, _) = open_named(place, &name).await;
            let working = failing(&other);
            until(&inbox, EntryState::Dead, 1).await;
            working.stop().await;
            assert_eq!(lines(&logs, &inbox, DEAD), count);
        }
    })
    .await;
}
