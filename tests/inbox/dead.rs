//! Dead events are logged, whatever happens to the calls that record them.

use std::time::SystemTime;

use integration_tests::{Gate, Logs, each_store, soon};
use tokio::time::sleep;
use webhook_verify::inbox::{EntryState, Inbox, InboxEvent};

use crate::common::*;

const DEAD: &str = "event is dead";
const UNKNOWN: &str = "it may be recorded or not";

/// Stores an event whose only attempt is used up, because its worker has died.
async fn exhaust(inbox: &Inbox) {
    store(inbox, ["evt-1"]).await;
    let gate = Gate::new();
    let working = work(held(inbox, &gate).max_attempts(1).lease(SECOND));
    gate.entered().await;
    drop(working);
    let expired = async {
        loop {
            let running = in_state(inbox, EntryState::Running).await;
            let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
            if running.iter().all(|entry| entry.due_at + 50 * MS < now) {
                return;
            }
            sleep(10 * MS).await;
        }
    };
    soon("end of the lease", expired).await;
}

/// Starts a worker that gives up an event after one attempt, which fails.
fn failing(inbox: &Inbox) -> Working {
    let worker = inbox.worker(async |_: InboxEvent| Err("broken".into()));
    work(worker.max_attempts(1).lease(SECOND).poll_every(5 * MS))
}

#[tokio::test]
async fn an_event_whose_last_lease_expired_is_logged_although_a_reply_is_lost() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        for call in ["lease", "settle"] {
            let (inbox, faults) = open(place).await;
            exhaust(&inbox).await;
            faults.set(call, Fault::Unanswered);
            let called = faults.until_calls(call, 2);
            let working = failing(&inbox);
            called.await;
            faults.clear();
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
            let (inbox, faults) = open(place).await;
            exhaust(&inbox).await;
            faults.set(call, Fault::Silent);
            let called = faults.until_calls(call, 1);
            let working = failing(&inbox);
            called.await;
            match call {
                // The call has taken effect.
                "lease" => {
                    let leased = async {
                        while entries(&inbox).await[0].due_at
                            < SystemTime::UNIX_EPOCH.elapsed().unwrap()
                            && in_state(&inbox, EntryState::Running).await.len() == 1
                        {
                            sleep(MS).await;
                        }
                    };
                    soon("lease", leased).await;
                }
                _ => drop(until(&inbox, EntryState::Dead, 1).await),
            }
            drop(working);
            faults.clear();
            let working = failing(&inbox);
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
            let (inbox, faults) = open(place).await;
            store(&inbox, ["evt-1"]).await;
            faults.set("settle", fault);
            let called = faults.until_calls("settle", 1);
            let working = failing(&inbox);
            called.await;
            until(&inbox, state, 1).await;
            drop(working);
            assert_eq!(lines(&logs, &inbox, DEAD), 1);
            faults.clear();
            let working = failing(&inbox);
            until(&inbox, EntryState::Dead, 1).await;
            working.stop().await;
            assert_eq!(lines(&logs, &inbox, DEAD), count);
        }
    })
    .await;
}
