//! Workers: the results of handlers, retries, consumers, and how they find events.

use std::{
    collections::HashSet,
    error::Error,
    fmt,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use integration_tests::{Gate, Kind, Logs, PATIENCE, Place, each_store, soon, unique};
use serde_json::{Value, json};
use webhook_verify::{
    Receiver, Verifier,
    inbox::{Discard, EntryState, Inbox, InboxEvent, Retry, Stats},
    scheme,
};

use crate::common::*;

fn id(event: &InboxEvent) -> String {
    event.id().unwrap().to_owned()
}

#[tokio::test]
async fn each_result_of_a_handler_has_its_state() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        let ids = ["ok", "error", "later", "discard", "panic", "closure", "display"];
        store(&inbox, ids).await;
        let worker = inbox.worker(|event: InboxEvent| {
            assert_ne!(event.id(), Some("closure"), "a panic on purpose");
            async move {
                match event.id().unwrap() {
                    "ok" => Ok(()),
                    "error" => Err(std::io::Error::other(Outer).into()),
                    "later" => Err(Retry::after(HOUR).into()),
                    "discard" => Err(Discard.into()),
                    "display" => Err(Unprintable.into()),
                    _ => panic!("on purpose"),
                }
            }
        });
        let working = work(worker.concurrency(7).backoff(24 * HOUR, 24 * HOUR).poll_every(HOUR));
        let retried = async {
            while entries(&inbox)
                .await
                .iter()
                .any(|entry| entry.attempts == 0 || entry.state == EntryState::Running)
            {
                tokio::time::sleep(5 * MS).await;
            }
        };
        soon("attempt of each event", retried).await;
        working.stop().await;
        let panicked = Some("the handler panicked");
        let (waiting, day) = (EntryState::Waiting, 24 * HOUR);
        let expected = [
            (EntryState::Done, None, None),
            (waiting, Some("outer: inner"), Some((day / 2, day * 3 / 2))),
            (waiting, Some("retry after 3600s"), Some((HOUR, HOUR))),
            (EntryState::Discarded, None, None),
            (waiting, panicked, Some((day / 2, day * 3 / 2))),
            (waiting, panicked, Some((day / 2, day * 3 / 2))),
            (waiting, panicked, Some((day / 2, day * 3 / 2))),
        ];
        let all = entries(&inbox).await;
        assert_eq!(all.len(), expected.len());
        for (entry, (state, error, due)) in all.iter().zip(expected) {
            let id = entry.event.id.as_deref();
            assert_eq!((entry.state, entry.error.as_deref()), (state, error), "{id:?}");
            assert_eq!(entry.attempts, 1, "{id:?}");
            if let Some((least, most)) = due {
                // The event was stored a while before its handler failed.
                let after = entry.due_at - entry.received_at;
                assert!(least <= after && after < most + HOUR / 2, "{id:?}: {after:?}");
            }
        }
        assert_eq!(lines(&logs, &inbox, "event failed: to be retried"), 5);
        assert_eq!(lines(&logs, &inbox, "event discarded"), 1);
        assert_eq!(lines(&logs, &inbox, "lease lost"), 0);
    })
    .await;
}

/// An error with a source.
#[derive(Debug)]
struct Outer;

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("outer: inner")
    }
}

impl Error for Outer {}

/// An error that cannot be printed.
#[derive(Debug)]
struct Unprintable;

impl fmt::Display for Unprintable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("on purpose")
    }
}

impl Error for Unprintable {}

#[tokio::test]
async fn an_event_is_retried_until_it_is_dead_and_again_by_an_operator() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        store(&inbox, ["evt-1", "evt-2"]).await;
        let (attempts, is_repaired) = (Notes::default(), Arc::new(AtomicUsize::new(0)));
        let (noted, repaired) = (attempts.clone(), is_repaired.clone());
        let worker = inbox.worker(move |event: InboxEvent| {
            noted.add(format!("{} {}", id(&event), event.attempt()));
            let repaired = repaired.load(SeqCst) == 1 || event.id() == Some("evt-2");
            async move { if repaired { Ok(()) } else { Err("broken".into()) } }
        });
        let working =
            work(worker.max_attempts(3).backoff(MS, 2 * MS).poll_every(5 * MS).concurrency(2));
        let dead = until(&inbox, EntryState::Dead, 1).await;
        assert_eq!((dead[0].attempts, dead[0].error.as_deref()), (3, Some("broken")));
        until(&inbox, EntryState::Done, 1).await;
        assert_eq!(attempts.sorted(), ["evt-1 1", "evt-1 2", "evt-1 3", "evt-2 1"]);
        let logged = async {
            while lines(&logs, &inbox, "event is dead") == 0 {
                tokio::time::sleep(MS).await;
            }
        };
        soon("log line", logged).await;
        assert_eq!(lines(&logs, &inbox, "event is dead"), 1);
        let mut expected = Stats::new("default");
        expected.dead = 1;
        assert_eq!(inbox.stats().await.unwrap(), [expected]);

        is_repaired.store(1, SeqCst);
        let dead = inbox.filter().state(EntryState::Dead);
        assert_eq!(inbox.retry(&dead).await.unwrap(), 1);
        until(&inbox, EntryState::Done, 2).await;
        assert_eq!(attempts.all().last().unwrap(), "evt-1 4");
        assert_eq!(inbox.retry(&inbox.filter()).await.unwrap(), 0);
        working.stop().await;
        assert_eq!(lines(&logs, &inbox, "event is dead"), 1);
    })
    .await;
}

#[tokio::test]
async fn more_entries_than_one_step_are_retried_and_discarded() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        let inbox = inbox.store_timeout(PATIENCE);
        let receiver = receiver(scheme::MAUTIC, &inbox);
        for start in (0..2500).step_by(250) {
            take(&receiver, &batch(start..start + 250)).await.unwrap();
        }
        let all = inbox.filter();
        let retried = soon("retry of all", inbox.retry(&all)).await.unwrap();
        assert_eq!(retried, 2500);
        assert_eq!(soon("discard of all", inbox.discard(&all)).await.unwrap(), 2500);
        assert_eq!(in_state(&inbox, EntryState::Discarded).await.len(), 2500);
    })
    .await;
}

#[tokio::test]
async fn a_handler_is_dropped_after_its_time_limit() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        store(&inbox, ["evt-1"]).await;
        let worker = inbox.worker(async |_: InboxEvent| pending().await);
        let working =
            work(worker.time_limit(10 * MS).max_attempts(2).backoff(MS, MS).poll_every(5 * MS));
        let dead = until(&inbox, EntryState::Dead, 1).await;
        assert_eq!(dead[0].attempts, 2);
        assert_eq!(dead[0].error.as_deref(), Some("the handler exceeded its time limit"));
        working.stop().await;
    })
    .await;
}

#[tokio::test]
async fn each_consumer_has_its_own_state() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        let inbox = inbox.consumers(["crm", "search"]);
        store(&inbox, ["evt-1", "evt-2"]).await;
        assert_eq!(entries(&inbox).await.len(), 4);
        let seen = Notes::default();
        let noting = |fails: bool| {
            let seen = seen.clone();
            move |event: InboxEvent| {
                seen.add(format!("{} {}", event.consumer(), id(&event)));
                async move { if fails { Err("broken".into()) } else { Ok(()) } }
            }
        };
        let crm = work(inbox.worker(noting(false)).consumer("crm"));
        let search = work(inbox.worker(noting(true)).consumer("search").max_attempts(1));
        until(&inbox, EntryState::Done, 2).await;
        until(&inbox, EntryState::Dead, 2).await;
        let expected = ["crm evt-1", "crm evt-2", "search evt-1", "search evt-2"];
        assert_eq!(seen.sorted(), expected);
        let of_search = inbox.filter().consumer("search");
        let found = inbox.list(&of_search).await.unwrap();
        assert!(found.iter().all(|entry| entry.state == EntryState::Dead));
        crm.stop().await;
        search.stop().await;
    })
    .await;
}

async fn succeed(_: InboxEvent) -> Handled {
    Ok(())
}

#[tokio::test]
async fn workers_that_cannot_work_do_not_run() {
    let place = Place::new(Kind::Sqlite);
    let (inbox, _) = open(&place).await;
    let worker = || inbox.worker(succeed);
    let several = inbox.clone().consumers(["crm", "search"]);
    let of_several = || several.worker(succeed);
    let refused = [
        (worker().consumer("crm"), "consumer: the inbox has no consumer `crm`, only `default`"),
        (of_several(), "consumer"),
        (of_several().consumer("default"), "no consumer `default`, only `crm`, `search`"),
        (worker().concurrency(0), "concurrency"),
        (worker().concurrency(usize::MAX), "concurrency"),
        (worker().max_attempts(0), "max_attempts"),
        (worker().backoff(2 * MS, MS), "backoff"),
        (worker().lease(999 * MS), "lease"),
        (worker().lease(25 * HOUR), "lease"),
        (worker().time_limit(Duration::ZERO), "time_limit"),
        (worker().poll_every(Duration::ZERO), "poll_every"),
        (inbox.clone().keep_headers(["x own"]).worker(succeed), "keep_headers"),
        (inbox.clone().skip_dead().worker(succeed), "skip_dead"),
        (inbox.clone().by_event_time().worker(succeed), "by_event_time"),
        (inbox.clone().store_timeout(Duration::ZERO).worker(succeed), "store_timeout"),
    ];
    for (worker, option) in refused {
        let error = soon("error", worker.run()).await.unwrap_err().to_string();
        assert!(error.contains(option), "{option}: {error}");
    }
    assert!(worker().run_until(async {}).await.is_ok());
    let most = worker().lease(24 * HOUR).time_limit(Duration::MAX).poll_every(Duration::MAX);
    assert!(most.grace(Duration::MAX).run_until(async {}).await.is_ok());
}

#[tokio::test]
async fn the_longest_times_are_possible() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        let most = Duration::MAX;
        let inbox = inbox.store_timeout(most).keep_bodies(most);
        store(&inbox, ["error", "later", "ok"]).await;
        let worker = inbox.worker(async |event: InboxEvent| match event.id() {
            Some("error") => Err("broken".into()),
            Some("later") => Err(Retry::after(Duration::MAX).into()),
            _ => Ok(()),
        });
        let worker = worker.concurrency(3).backoff(most, most).lease(24 * HOUR);
        let working = work(worker.time_limit(most).poll_every(most).grace(most));
        until(&inbox, EntryState::Done, 1).await;
        until_retried(&inbox, 2).await;
        working.stop().await;
        assert_eq!(inbox.purge(10).await.unwrap(), 0);
        for entry in in_state(&inbox, EntryState::Waiting).await {
            assert!(entry.due_at > entry.received_at + 365 * 24 * HOUR, "{entry:?}");
        }
    })
    .await;
}

/// Waits until so many entries wait for another attempt.
async fn until_retried(inbox: &Inbox, count: usize) {
    let retried = async {
        loop {
            let waiting = in_state(inbox, EntryState::Waiting).await;
            if waiting.iter().filter(|entry| entry.attempts > 0).count() == count {
                return;
            }
            tokio::time::sleep(5 * MS).await;
        }
    };
    soon("attempt of each event", retried).await;
}

#[tokio::test]
async fn events_have_their_parts() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        let inbox = inbox.keep_headers(["x-own"]);
        let receiver = Receiver::builder(Verifier::new(scheme::STANDARD_WEBHOOKS, SECRET).unwrap())
            .inbox(&inbox)
            .build()
            .unwrap();
        let mut request = single("evt-1");
        request.headers.push(("x-own".into(), "its value".into()));
        take(&receiver, &request).await.unwrap();
        let body = request.body.clone();
        let inbox_name = inbox.filter().endpoint;
        let key = entries(&inbox).await[0].event.key;
        let seen = Notes::default();
        let noted = seen.clone();
        let worker = inbox.worker(move |event: InboxEvent| {
            assert_eq!(event.endpoint(), &*inbox_name);
            assert_eq!(event.consumer(), "default");
            assert_eq!(event.scheme(), "standard-webhooks");
            assert_eq!(event.namespace(), None);
            assert_eq!(event.key(), key);
            assert_eq!(event.event_type(), Some("contact.updated"));
            assert_eq!(event.id(), Some("evt-1"));
            assert_eq!(event.time(), Some(Duration::from_secs(1_793_527_200)));
            assert!(event.received_at() > event.time().unwrap() / 2);
            assert_eq!(event.attempt(), 1);
            assert_eq!(event.header("X-Own"), Some("its value"));
            assert_eq!(event.header("x-other"), None);
            assert_eq!(event.body(), &body);
            assert_eq!(event.json::<Value>().unwrap()["data"], json!({"n": 1}));
            assert_eq!(event.data::<Value>().unwrap(), json!({"n": 1}));
            let error = event.data::<u32>().unwrap_err().to_string();
            let debug = format!("{event:?}");
            assert!(!debug.contains("contact.updated\",\"timestamp"), "{debug}");
            noted.add(error);
            async { Ok(()) }
        });
        let working = work(worker.max_attempts(1));
        until(&inbox, EntryState::Done, 1).await;
        assert_eq!(seen.all().len(), 1);
        working.stop().await;
    })
    .await;
}

#[tokio::test]
async fn no_more_handlers_run_than_allowed() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        store(&inbox, (0..9).map(|number| format!("evt-{number}"))).await;
        let (gate, running) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
        let (at_gate, in_handler) = (gate.clone(), running.clone());
        let worker = inbox.worker(move |_| {
            let (gate, running) = (at_gate.clone(), in_handler.clone());
            async move {
                assert!(running.fetch_add(1, SeqCst) < 3, "too many");
                gate.wait().await;
                running.fetch_sub(1, SeqCst);
                Ok(())
            }
        });
        let working = work(worker.concurrency(3).poll_every(HOUR));
        for _ in 0..3 {
            gate.entered().await;
        }
        assert_eq!(in_state(&inbox, EntryState::Running).await.len(), 3);
        // A free slot is used at once.
        for _ in 0..6 {
            gate.open(1);
            gate.entered().await;
            assert_eq!(running.load(SeqCst), 3);
        }
        gate.open(3);
        until(&inbox, EntryState::Done, 9).await;
        working.stop().await;
    })
    .await;
}

/// With one slot, only a lease that is full makes the worker look again before an hour has passed.
#[tokio::test]
async fn a_full_lease_is_followed_by_another() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        store(&inbox, (0..200).map(|number| format!("evt-{number}"))).await;
        let worker = inbox.worker(async |_: InboxEvent| Ok(()));
        let working = work(worker.poll_every(HOUR));
        until(&inbox, EntryState::Done, 200).await;
        working.stop().await;
    })
    .await;
}

/// A worker that dies leaves entries whose last attempt is used up. They count towards a lease.
#[tokio::test]
async fn dead_entries_that_fill_a_lease_are_followed_by_another() {
    let logs = Logs::collect();
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        store(&inbox, ["evt-1", "evt-2", "evt-3"]).await;
        let gate = Gate::new();
        let working = work(held(&inbox, &gate).concurrency(2).max_attempts(1).lease(SECOND));
        gate.entered().await;
        gate.entered().await;
        drop(working);
        let expired = async {
            loop {
                let running = in_state(&inbox, EntryState::Running).await;
                let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
                if running.iter().all(|entry| entry.due_at + 50 * MS < now) {
                    return;
                }
                tokio::time::sleep(10 * MS).await;
            }
        };
        soon("end of the leases", expired).await;

        let worker = inbox.worker(async |_: InboxEvent| Ok(()));
        let working = work(worker.max_attempts(1).poll_every(HOUR));
        let done = until(&inbox, EntryState::Done, 1).await;
        assert_eq!(done[0].event.id.as_deref(), Some("evt-3"));
        let dead = until(&inbox, EntryState::Dead, 2).await;
        assert!(dead.iter().all(|entry| entry.attempts == 1 && entry.error.is_some()));
        working.stop().await;
        assert_eq!(lines(&logs, &inbox, "event is dead"), 2);
    })
    .await;
}

#[tokio::test]
async fn workers_in_several_runtimes_process_each_event_once() {
    each_store(&STORES, async |place| {
        let name = unique("inbox");
        let (inbox, _) = open_named(place, &name).await;
        let seen = Notes::default();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (place, name, seen) = (place.url.clone(), name.clone(), seen.clone());
                thread::spawn(move || {
                    let mut runtime = tokio::runtime::Builder::new_current_thread();
                    runtime.enable_all().build().unwrap().block_on(async {
                        let (inbox, _) = open_url(&place, &name).await;
                        let noted = seen.clone();
                        let worker = inbox.worker(move |event: InboxEvent| {
                            noted.add(id(&event));
                            async { Ok(()) }
                        });
                        let all = async {
                            drop(seen.until(300).await);
                        };
                        worker.concurrency(8).poll_every(10 * MS).run_until(all).await.unwrap();
                    });
                })
            })
            .collect();
        store(&inbox, (0..300).map(|number| format!("evt-{number}"))).await;
        until(&inbox, EntryState::Done, 300).await;
        for thread in threads {
            soon("end of a runtime", tokio::task::spawn_blocking(move || thread.join().unwrap()))
                .await
                .unwrap();
        }
        let distinct: HashSet<_> = seen.all().into_iter().collect();
        assert_eq!((seen.all().len(), distinct.len()), (300, 300));
    })
    .await;
}

#[tokio::test]
async fn workers_of_other_processes_are_told_on_postgres() {
    each_store(&[Kind::Postgres], async |place| {
        let name = unique("inbox");
        let (inbox, _) = open_named(place, &name).await;
        let (other, _) = open_named(place, &name).await;
        let seen = Notes::default();
        let noted = seen.clone();
        let worker = other.worker(move |event: InboxEvent| {
            noted.add(id(&event));
            async { Ok(()) }
        });
        let working = work(worker.poll_every(HOUR));
        // The first events may be stored before the worker listens. Each later one tells it again.
        let mut stored = 0;
        let told = async {
            while seen.all().is_empty() {
                stored += 1;
                store(&inbox, [format!("evt-{stored}")]).await;
                tokio::time::sleep(50 * MS).await;
            }
        };
        soon("event in another process", told).await;

        // Announcements may fail, so this stores more than one event here as well.
        let before = seen.all().len();
        let told = async {
            while seen.all().len() <= before {
                stored += 1;
                store(&inbox, [format!("evt-{stored}")]).await;
                tokio::time::sleep(50 * MS).await;
            }
        };
        soon("later event in another process", told).await;
        working.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_runtime_that_stops_does_not_end_announcements() {
    each_store(&[Kind::Sqlite], async |place| {
        let (inbox, faults) = open(place).await;
        let of_runtime = inbox.clone();
        // `wake` is called in a runtime that stops at once.
        let run = move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(async {
                let none = of_runtime.filter().event_type("none");
                drop(of_runtime.retry(&none).await);
            });
        };
        tokio::task::spawn_blocking(run).await.unwrap();
        assert_eq!(faults.take_calls("announce"), 0);
        let announced = faults.until_calls("announce", 1);
        store(&inbox, ["evt-1"]).await;
        announced.await;
    })
    .await;
}
