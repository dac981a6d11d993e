//! Attacks on inboxes: rows that were edited by hand, and settings at their extremes.

use std::time::Duration;

use integration_tests::{Kind, each_store, run_sql, soon};
use tokio::time::sleep;
use webhook_verify::{
    Receiver, Verifier,
    inbox::{EntryState, InboxEvent, Retry},
    scheme,
};

use crate::common::*;

/// The longest pauses are no reason not to record that a handler failed.
#[tokio::test]
async fn pauses_without_an_end() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        let inbox = inbox.store_timeout(Duration::MAX).keep_bodies(Duration::MAX);
        store(&inbox, ["a", "b", "c", "d", "e", "f", "after"]).await;
        let worker = inbox.worker(|event: InboxEvent| async move {
            match event.id() {
                Some("after") => Err(Retry::after(Duration::MAX).into()),
                _ => Err("no".into()),
            }
        });
        let worker = worker
            .backoff(Duration::MAX, Duration::MAX)
            .time_limit(Duration::MAX)
            .poll_every(Duration::MAX)
            .grace(Duration::ZERO)
            .max_attempts(u32::MAX);
        let working = work(worker);
        let failed = async {
            while entries(&inbox).await.iter().any(|it| it.error.is_none()) {
                sleep(MS).await;
            }
        };
        soon("error of each", failed).await;
        working.stop().await;
        let left = entries(&inbox).await;
        assert!(left.iter().all(|it| (it.state, it.attempts) == (EntryState::Waiting, 1)));
        assert_eq!(inbox.purge(usize::MAX).await.unwrap(), 0);
    })
    .await;
}

/// The filter of another inbox selects nothing, rather than the entries of either.
#[tokio::test]
async fn the_filter_of_another_inbox_is_refused() {
    each_store(&STORES, async |place| {
        let (one, _) = open(place).await;
        let (other, _) = open(place).await;
        for inbox in [&one, &other] {
            store(inbox, ["a"]).await;
        }
        let foreign = other.filter();
        let refused = format!("{:#}", one.list(&foreign).await.unwrap_err());
        assert!(refused.contains("another inbox"), "{refused}");
        assert!(one.retry(&foreign).await.is_err());
        assert!(one.discard(&foreign).await.is_err());
        for inbox in [&one, &other] {
            until(inbox, EntryState::Waiting, 1).await;
        }
    })
    .await;
}

/// Changes of a row by hand, of which none delays other events.
fn poisons(kind: Kind) -> Vec<&'static str> {
    let mut all = vec![
        "UPDATE webhook_inbox_entry SET attempt = -5",
        "UPDATE webhook_inbox_entry SET attempt = 2147483647",
        "UPDATE webhook_inbox_entry SET retried_at_attempt = 100",
        "UPDATE webhook_inbox_entry SET attempt = 2147483647, retried_at_attempt = -2147483648,
         state = 1",
        "UPDATE webhook_inbox_entry SET position = -9223372036854775808",
        "UPDATE webhook_inbox SET headers = 'none'",
        "UPDATE webhook_inbox SET headers = '{\"a\":1}'",
        "UPDATE webhook_inbox SET event_time = -9223372036854775808",
        "UPDATE webhook_inbox SET body = NULL",
    ];
    all.extend(match kind {
        Kind::Sqlite => &[
            "UPDATE webhook_inbox_entry SET attempt = 9223372036854775807",
            "UPDATE webhook_inbox_entry SET due_at = -9223372036854775808",
            "UPDATE webhook_inbox_entry SET due_at = 9223372036854775807",
            "UPDATE webhook_inbox SET received_at = -9223372036854775808",
            "UPDATE webhook_inbox SET event_type = CAST(x'ff' AS TEXT)",
        ][..],
        _ => &[
            "UPDATE webhook_inbox_entry SET due_at = '-infinity'",
            "UPDATE webhook_inbox_entry SET due_at = 'infinity'",
            "UPDATE webhook_inbox SET received_at = 'infinity'",
            "UPDATE webhook_inbox SET received_at = '4713-01-01 BC'",
        ],
    });
    all
}

#[tokio::test]
async fn rows_that_were_edited_by_hand_delay_no_others() {
    each_store(&STORES, async |place| {
        for sql in poisons(place.kind) {
            let (inbox, _) = open(place).await;
            store(&inbox, ["bad", "good"]).await;
            let number = entries(&inbox).await[0].number;
            let column = if sql.contains("_entry") { "event" } else { "number" };
            run_sql(&place.url, format!("{sql} WHERE {column} = {number}")).await;
            assert_eq!(entries(&inbox).await.len(), 2, "{sql}");
            assert_eq!(inbox.stats().await.unwrap().len(), 1, "{sql}");
            let notes = Notes::default();
            let noted = notes.clone();
            let working = work(inbox.worker(move |event: InboxEvent| {
                noted.add(event.id().unwrap());
                async { Ok(()) }
            }));
            let good = async {
                while !notes.all().contains(&"good".to_owned()) {
                    sleep(MS).await;
                }
            };
            soon(sql, good).await;
            working.stop().await;
            inbox.discard(&inbox.filter()).await.unwrap();
            inbox.purge(usize::MAX).await.unwrap();
        }
    })
    .await;
}

/// Entries that were stored by hand, without events.
#[tokio::test]
async fn entries_without_events_delay_no_others() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        let endpoint = inbox.filter().endpoint;
        store(&inbox, ["good"]).await;
        let time = match place.kind {
            Kind::Sqlite => "0",
            _ => "'epoch'",
        };
        let rows: Vec<_> = (1..=70)
            .map(|n| format!("({}, 'default', '{endpoint}', 0, 0, {time}, 0)", -n))
            .collect();
        let sql = format!(
            "INSERT INTO webhook_inbox_entry
               (event, consumer, endpoint, state, attempt, due_at, position)
             VALUES {}",
            rows.join(",")
        );
        run_sql(&place.url, sql).await;
        let working = work(inbox.worker(|_| async { Ok(()) }).concurrency(64));
        until(&inbox, EntryState::Done, 1).await;
        working.stop().await;
    })
    .await;
}

/// The order of dead events was changed while events behind them had been attempted.
#[tokio::test]
async fn attempted_events_behind_dead_ones_delay_no_other_key() {
    each_store(&STORES, async |place| {
        let (inbox, _) = open(place).await;
        let ordered = inbox.clone().store_timeout(HOUR).ordered_by(|event| {
            let id = std::str::from_utf8(event.raw()).unwrap();
            let number: usize = id.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
            Some((number / 2).to_string())
        });
        let receiver = receiver(scheme::MAUTIC, &ordered);
        assert_eq!(take(&receiver, &batch(0..2004)).await.unwrap(), 204);
        let all = entries(&inbox).await;
        let first = all[0].number;
        // Of each key but the last ones, the first event is dead, and the second was attempted.
        let sql = format!(
            "UPDATE webhook_inbox_entry SET state = 2 WHERE event < {last} AND event % 2 = {even};
             UPDATE webhook_inbox_entry SET attempt = 1 WHERE event < {last} AND event % 2 <> {even};",
            last = first + 2002,
            even = first % 2,
        );
        run_sql(&place.url, sql).await;
        let working = work(ordered.worker(|_| async { Ok(()) }));
        until(&inbox, EntryState::Done, 2).await;
        working.stop().await;
    })
    .await;
}

/// Names are values, whatever they contain.
#[tokio::test]
async fn odd_names_of_inboxes_and_consumers() {
    each_store(&STORES, async |place| {
        // Random letters, so that no database stores the name in fewer bytes.
        let mut state = 1_u64;
        let mut letter = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + (state >> 33) as u8 % 90)
        };
        let longest: String = (0..200).map(&mut letter).collect();
        let longer: String = (0..10_000).map(&mut letter).collect();
        for name in ["'; DROP TABLE webhook_inbox; --", "\"q\" $1 {inbox} %_\u{202e}", &longest] {
            let (inbox, _) = open_named(place, name).await;
            let inbox = inbox.consumers([name, "other"]);
            store(&inbox, ["a"]).await;
            let working = work(inbox.worker(|_| async { Ok(()) }).consumer(name));
            assert_eq!(until(&inbox, EntryState::Done, 1).await[0].consumer, name);
            working.stop().await;
            assert_eq!(inbox.stats().await.unwrap()[0].consumer, "other");
        }
        // PostgreSQL could not store or distinguish these.
        for name in ["", "a\0b", &longer] {
            let (inbox, _) = open_named(place, name).await;
            let other = open(place).await.0.consumers([name]);
            for (inbox, option) in [(inbox, "endpoint"), (other, "consumers")] {
                let builder = Receiver::builder(Verifier::new(scheme::MAUTIC, SECRET).unwrap());
                let error = builder.inbox(&inbox).build().unwrap_err().to_string();
                assert!(error.contains(option), "{error}");
                let worker = inbox.worker(|_| async { Ok(()) });
                let error = worker.run().await.unwrap_err().to_string();
                assert!(error.contains(option), "{error}");
            }
        }
    })
    .await;
}
