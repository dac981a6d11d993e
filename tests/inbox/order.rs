//! Events with the same key, in order.

use integration_tests::{Gate, Logs, each_store, unique};
use tokio::task::yield_now;
use webhook_verify::{
    Event,
    inbox::{EntryState, Inbox, InboxEvent},
    scheme,
};

use crate::common::*;

/// Returns the first letter of an event's ID. Digits have no order.
fn letter(event: &Event) -> Option<String> {
    let first = event.id()?.chars().next()?;
    first.is_alphabetic().then(|| first.to_string())
}

/// Stores an event with this time.
async fn store_at(inbox: &Inbox, id: &str, time: &str) {
    let body = format!(r#"{{"type":"a","timestamp":"2026-11-01T{time}Z","data":{{}}}}"#);
    let request = signer(scheme::STANDARD_WEBHOOKS).id(id).sign(body).unwrap();
    take(&receiver(scheme::STANDARD_WEBHOOKS, inbox), &request).await.unwrap();
}

#[tokio::test]
async fn events_with_a_key_run_one_at_a_time_and_without_pauses() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        let inbox = inbox.ordered_by(letter);
        store(&inbox, ["a1", "a2", "1", "b1", "a3", "b2", "2"]).await;
        let (notes, gate) = (Notes::default(), Gate::new());
        let (noted, at_gate) = (notes.clone(), gate.clone());
        let worker = inbox.worker(move |event: InboxEvent| {
            let (notes, gate) = (noted.clone(), at_gate.clone());
            async move {
                let id = event.id().unwrap();
                notes.add(id);
                gate.wait().await;
                notes.add(format!("{id} ends"));
                yield_now().await;
                Ok(())
            }
        });
        let working = work(worker.concurrency(8).poll_every(HOUR));
        for _ in 0..4 {
            gate.entered().await;
        }
        assert_eq!(notes.sorted(), ["1", "2", "a1", "b1"]);
        assert_eq!(in_state(&inbox, EntryState::Running).await.len(), 4);
        gate.open(7);
        until(&inbox, EntryState::Done, 7).await;
        let all = notes.all();
        for (key, expected) in [
            ("a", &["a1", "a1 ends", "a2", "a2 ends", "a3", "a3 ends"][..]),
            ("b", &["b1", "b1 ends", "b2", "b2 ends"]),
        ] {
            let of_key: Vec<_> = all.iter().filter(|note| note.starts_with(key)).collect();
            assert_eq!(of_key, expected);
        }
        working.stop().await;
    })
    .await;
}

/// More events with one key are due than a lease looks at. The events of other keys run while the
/// first of them does.
#[tokio::test]
async fn many_events_of_one_key_delay_no_other_key() {
    each_store(&STORES, async |place| {
        let (inbox, faults) = open(place).await;
        // Nothing else wakes the worker.
        faults.set("watch", Fault::Refused);
        let inbox = inbox.ordered_by(|event| letter(event).or_else(|| Some("hot".to_owned())));
        for from in (0..1500).step_by(100) {
            let request = batch(from..from + 100);
            take(&receiver(scheme::MAUTIC, &inbox), &request).await.unwrap();
        }
        store(&inbox, ["b1", "c1"]).await;
        let (notes, gate) = (Notes::default(), Gate::new());
        let (noted, at_gate) = (notes.clone(), gate.clone());
        let worker = inbox.worker(move |event: InboxEvent| {
            let gate = at_gate.clone();
            noted.add(event.id().unwrap_or("hot"));
            async move {
                gate.wait().await;
                Ok(())
            }
        });
        let _working = work(worker.concurrency(8).poll_every(HOUR));
        for _ in 0..3 {
            gate.entered().await;
        }
        assert_eq!(notes.sorted(), ["b1", "c1", "hot"]);
    })
    .await;
}

#[tokio::test]
async fn an_event_waits_for_the_retries_of_the_one_before() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        let inbox = inbox.ordered_by(letter);
        store(&inbox, ["a1", "a2"]).await;
        let notes = Notes::default();
        let noted = notes.clone();
        let worker = inbox.worker(move |event: InboxEvent| {
            noted.add(format!("{} {}", event.id().unwrap(), event.attempt()));
            async move { if event.attempt() < 3 { Err("broken".into()) } else { Ok(()) } }
        });
        let working = work(worker.concurrency(4).backoff(MS, MS).poll_every(5 * MS));
        until(&inbox, EntryState::Done, 2).await;
        assert_eq!(notes.all(), ["a1 1", "a1 2", "a1 3", "a2 1", "a2 2", "a2 3"]);
        working.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_dead_event_blocks_its_key_until_an_operator_acts() {
    each_store(&STORES, async |place| {
        for discards in [true, false] {
            let (inbox, _) = open(place).await;
            let inbox = inbox.ordered_by(letter);
            store(&inbox, ["a1", "a2", "b1"]).await;
            let notes = Notes::default();
            let noted = notes.clone();
            let worker = inbox.worker(move |event: InboxEvent| {
                let id = event.id().unwrap().to_owned();
                let fails = id == "a1" && !noted.all().contains(&id);
                noted.add(id);
                async move { if fails { Err("broken".into()) } else { Ok(()) } }
            });
            let working = work(worker.concurrency(4).max_attempts(1).poll_every(HOUR));
            until(&inbox, EntryState::Dead, 1).await;
            until(&inbox, EntryState::Done, 1).await;
            store(&inbox, ["b2"]).await;
            until(&inbox, EntryState::Done, 2).await;
            assert_eq!(notes.sorted(), ["a1", "b1", "b2"]);

            let dead = inbox.filter().state(EntryState::Dead);
            match discards {
                true => assert_eq!(inbox.discard(&dead).await.unwrap(), 1),
                false => assert_eq!(inbox.retry(&dead).await.unwrap(), 1),
            }
            until(&inbox, EntryState::Done, if discards { 3 } else { 4 }).await;
            let later = notes.all().split_off(3);
            assert_eq!(later, if discards { &["a2"][..] } else { &["a1", "a2"] });
            working.stop().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_dead_event_is_skipped_by_choice() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        let inbox = inbox.ordered_by(letter).skip_dead();
        store(&inbox, ["a1", "a2"]).await;
        let worker = inbox.worker(|event: InboxEvent| async move {
            if event.id() == Some("a1") { Err("broken".into()) } else { Ok(()) }
        });
        let working = work(worker.concurrency(4).max_attempts(1).poll_every(HOUR));
        let done = until(&inbox, EntryState::Done, 1).await;
        assert_eq!(done[0].event.id.as_deref(), Some("a2"));
        until(&inbox, EntryState::Dead, 1).await;
        working.stop().await;
    })
    .await;
}

#[tokio::test]
async fn events_are_ordered_by_their_own_time() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        let inbox = inbox.ordered_by(letter).by_event_time();
        for (id, time) in [("a1", "10:00:03"), ("a2", "10:00:01"), ("a3", "10:00:02.5")] {
            store_at(&inbox, id, time).await;
        }
        // An event without a time has that of its receipt, which is later.
        let body = r#"{"type":"a","data":{}}"#;
        let request = signer(scheme::STANDARD_WEBHOOKS).id("a4").sign(body).unwrap();
        take(&receiver(scheme::STANDARD_WEBHOOKS, &inbox), &request).await.unwrap();
        let notes = Notes::default();
        let noted = notes.clone();
        let worker = inbox.worker(move |event: InboxEvent| {
            noted.add(event.id().unwrap());
            async { Ok(()) }
        });
        let working = work(worker.concurrency(4).poll_every(HOUR));
        until(&inbox, EntryState::Done, 4).await;
        assert_eq!(notes.all(), ["a2", "a3", "a1", "a4"]);
        working.stop().await;
    })
    .await;
}

/// Tenants may use the same keys. The events of one neither delay those of another nor make them
/// stale.
#[tokio::test]
async fn tenants_have_keys_of_their_own() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        let inbox = inbox.ordered_by(letter);
        let receiver = receiver_of_tenants(&inbox);
        for (tenant, id) in [("acme", "a9"), ("acme", "a8"), ("globex", "a1"), ("globex", "a0")] {
            let mut request = single(id);
            request.target = format!("/{tenant}");
            assert_eq!(take(&receiver, &request).await.unwrap(), 204);
        }
        // Without a tenant.
        store(&inbox, ["a2", "a1"]).await;
        let notes = Notes::default();
        let noted = notes.clone();
        let worker = inbox.worker(move |event: InboxEvent| {
            let notes = noted.clone();
            async move {
                let id = event.id().unwrap();
                let tenant = event.namespace().unwrap_or("none");
                let is_stale = event.is_stale("key", id[1..].parse()?).await?;
                notes.add(format!("{tenant} {id} {is_stale}"));
                if id == "a9" { Err("broken".into()) } else { Ok(()) }
            }
        });
        let working = work(worker.max_attempts(1).poll_every(5 * MS));
        until(&inbox, EntryState::Done, 4).await;
        working.stop().await;
        let expected = ["acme a9 false", "globex a0 true", "globex a1 false"];
        assert_eq!(notes.sorted(), [&expected[..], &["none a1 true", "none a2 false"]].concat());
        assert_eq!(in_state(&inbox, EntryState::Waiting).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn only_the_latest_version_is_not_stale() {
    each_store(&STORES, async |place| {
        let (inbox, faults) = open(place).await;
        let inbox = inbox.consumers(["crm", "search"]);
        // The ID is the entity and its version.
        store(&inbox, ["x1", "x3", "x2", "y1"]).await;
        let notes = Notes::default();
        let handler = || {
            let notes = notes.clone();
            move |event: InboxEvent| {
                let notes = notes.clone();
                async move {
                    let id = event.id().unwrap().to_owned();
                    let version = id[1..].parse().unwrap();
                    let is_stale = event.is_stale(&id[..1], version).await?;
                    notes.add(format!("{} {id} {is_stale}", event.consumer()));
                    // A retry gets the same result.
                    if event.attempt() < 2 { Err("broken".into()) } else { Ok(()) }
                }
            }
        };
        let start = |consumer: &str| {
            let worker = inbox.worker(handler()).consumer(consumer);
            work(worker.backoff(MS, MS).poll_every(5 * MS))
        };
        for consumer in ["crm", "search"] {
            let working = start(consumer);
            let done = if consumer == "crm" { 4 } else { 8 };
            until(&inbox, EntryState::Done, done).await;
            working.stop().await;
            let of_consumer = notes.all().into_iter().filter(|note| note.starts_with(consumer));
            let mut last: Vec<_> = of_consumer.collect();
            assert_eq!(last.len(), 8);
            // A retry after a later version was recorded is stale, so look at the last attempts.
            last.reverse();
            last.sort_by_key(|note| note.split(' ').nth(1).unwrap().to_owned());
            last.dedup_by_key(|note| note.split(' ').nth(1).unwrap().to_owned());
            assert!(last.contains(&format!("{consumer} x3 false")), "{last:?}");
            assert!(last.contains(&format!("{consumer} x2 true")), "{last:?}");
            assert!(last.contains(&format!("{consumer} y1 false")), "{last:?}");
        }
        faults.set("advance", Fault::Refused);
        let failing = work(inbox.worker(handler()).consumer("crm").max_attempts(1));
        store(&inbox, ["z1"]).await;
        let dead = until(&inbox, EntryState::Dead, 1).await;
        assert!(dead[0].error.as_deref().unwrap().contains("refused"), "{:?}", dead[0].error);
        failing.stop().await;
    })
    .await;
}

/// The workers of four processes lease in turns. Each event is processed, and no worker reports a
/// failure.
#[tokio::test]
async fn no_event_starves_among_many_workers() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        let name = unique("inbox");
        let notes = Notes::default();
        let mut workers = Vec::new();
        let mut inboxes = Vec::new();
        for _ in 0..4 {
            let inbox = open_named(place, &name).await.0;
            // Three events for each key.
            let inbox = inbox.ordered_by(|event| event.id()?.get(..6).map(str::to_owned));
            let noted = notes.clone();
            let worker = inbox.worker(move |event: InboxEvent| {
                noted.add(event.id().unwrap());
                async { Ok(()) }
            });
            workers.push(work(worker));
            inboxes.push(inbox);
        }
        let ids: Vec<_> =
            (0..90).map(|number| format!("evt-{:02}-{number:02}", number / 3)).collect();
        store(&inboxes[0], &ids).await;
        until(&inboxes[0], EntryState::Done, ids.len()).await;
        assert_eq!(notes.sorted(), ids);
        for worker in workers {
            worker.stop().await;
        }
        assert!(
            !logs.text().lines().any(|line| line.contains(&name) && line.contains("no events"))
        );
    })
    .await;
}
