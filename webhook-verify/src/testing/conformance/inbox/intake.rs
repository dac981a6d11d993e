//! Events as they are stored.

use std::time::Duration;

use super::bench::{
    Bench, CONSUMER, CaseResult, LONG, OTHER, event, events, failed, is, join_all, random,
    same_text,
};
use crate::{
    claim::{ClaimKey, Settled},
    inbox::{EntryState, Extended, Filter, InboxStore, Inserted, NewEvent, StoredEvent, Verdict},
};

/// The number of calls in a race.
const RACERS: usize = 16;
const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

pub(super) async fn new_events_are_stored<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = bench.has_stored(3).await?;
    let mut last = i64::MIN;
    for event in &events {
        let entry = bench.is_in(event, EntryState::Waiting, 0, "a new event").await?;
        is(entry.number > last, "the number of a later event", &format!("over {last}"), &entry)?;
        let right = entry.error.is_none();
        is(right, "a new event", "no error", &entry)?;
        let right = entry.due_at <= entry.received_at + Duration::from_millis(1);
        is(right, "a new event", "due at once", &entry)?;
        last = entry.number;
    }
    let mut later = event()?;
    later.ttl = TEN_YEARS;
    bench.stores(std::slice::from_ref(&later)).await?;
    let entry = bench.entry(&later, CONSUMER).await?;
    is(entry.number > last, "the number of a later call", &format!("over {last}"), &entry)?;
    let all: Vec<_> = events.iter().chain([&later]).collect();
    bench.leases(&bench.request(10)?, &all, 1, "new events").await.map(drop)
}

pub(super) async fn duplicates_change_nothing<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let first = bench.has_stored(1).await?.remove(0);
    let before = bench.entry(&first, CONSUMER).await?;
    let mut other = first.clone();
    other.event.body = "another".into();
    other.event.event_type = Some("another".to_owned());
    // In each state.
    for state in [EntryState::Waiting, EntryState::Running, EntryState::Done] {
        match state {
            EntryState::Running => {
                bench.leases_one(&bench.brief(1)?, &first, 1, "a new event").await?;
                bench.lapse().await;
            }
            EntryState::Done => {
                let holder =
                    bench.leases_one(&bench.request(1)?, &first, 2, "an expired lease").await?;
                bench.settles(&holder, &Verdict::Done, "its owner").await?;
            }
            EntryState::Waiting | EntryState::Dead | EntryState::Discarded => {}
        }
        let inserted = bench.insert_for(&[CONSUMER, OTHER], std::slice::from_ref(&other)).await?;
        is(inserted == [Inserted::Duplicate], "a known key", "Duplicate", &inserted)?;
        let entries = bench.list(&bench.filter()).await?;
        is(entries.len() == 1, "entries after a duplicate", "1", &entries)?;
        let entry = &entries[0];
        let right = entry.state == state
            && entry.number == before.number
            // The tests of a database let time pass by moving its times back.
            && (entry.received_at == before.received_at || state != EntryState::Waiting)
            && entry.event.body == first.event.body
            && entry.event.event_type == first.event.event_type;
        is(right, "a duplicate", &format!("{state:?}, as first stored"), entry)?;
    }
    Ok(())
}

pub(super) async fn a_key_twice_in_one_call<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let (mut one, other) = (event()?, event()?);
    let mut again = one.clone();
    one.event.body = "first".into();
    again.event.body = "second".into();
    let inserted = bench.insert_for(&[CONSUMER], &[one.clone(), other, again]).await?;
    let expected = [Inserted::New, Inserted::New, Inserted::Duplicate];
    is(inserted == expected, "a key twice in one call", &format!("{expected:?}"), &inserted)?;
    let entry = bench.entry(&one, CONSUMER).await?;
    let body = &entry.event.body;
    is(body == &one.event.body, "a key twice in one call", "the first body", body)?;
    let entries = bench.list(&bench.filter()).await?;
    is(entries.len() == 2, "entries of two keys", "2", &entries)
}

pub(super) async fn results_in_order<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = events(20)?;
    let (known, _): (Vec<_>, Vec<_>) =
        events.iter().cloned().enumerate().partition(|(index, _)| index % 3 == 1);
    let known: Vec<_> = known.into_iter().map(|(_, event)| event).collect();
    bench.stores(&known).await?;
    for again in [false, true] {
        let inserted = bench.insert_for(&[CONSUMER], &events).await?;
        for (index, inserted) in inserted.into_iter().enumerate() {
            let is_known = again || index % 3 == 1;
            let expected = if is_known { Inserted::Duplicate } else { Inserted::New };
            let when = format!("number {index} of twenty");
            is(inserted == expected, &when, &format!("{expected:?}"), inserted)?;
        }
    }
    Ok(())
}

pub(super) async fn intake_of_nothing<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    bench.insert_for(&[CONSUMER, OTHER], &[]).await?;
    let entries = bench.list(&bench.filter()).await?;
    is(entries.is_empty(), "an intake of nothing", "no entry", &entries)?;
    bench.leases_nothing("an empty inbox").await
}

/// A thousand events are stored, leased, extended and settled, in one call each.
pub(super) async fn a_thousand_events<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = bench.has_stored(1000).await?;
    let all: Vec<_> = events.iter().collect();
    let holders = bench.leases(&bench.request(1000)?, &all, 1, "a thousand events").await?;
    let extended = bench.extend_all(&holders, LONG).await?;
    let settlements: Vec<_> =
        holders.iter().map(|holder| super::bench::settlement(holder, &Verdict::Done)).collect();
    let settled = bench.settle_all(&settlements).await?;
    let renewed = extended.iter().filter(|extended| **extended == Extended::Renewed).count();
    let applied = settled.iter().filter(|settled| **settled == Settled::Applied).count();
    let counts = (renewed, applied);
    is(counts == (1000, 1000), "steps for a thousand events", "1000 each", counts)?;
    let done = Filter { state: Some(EntryState::Done), ..bench.filter() };
    let done = bench.list(&done).await?.len();
    is(done == 1000, "done entries", "1000", done)
}

pub(super) async fn each_consumer_has_its_entry<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = events(2)?;
    bench.stores_for(&[CONSUMER, OTHER], &events).await?;
    let all: Vec<_> = events.iter().collect();
    let mine = bench.leases(&bench.request(10)?, &all, 1, "the first consumer").await?;
    bench.settles(&mine[0], &Verdict::Done, "the first consumer").await?;
    bench.leases_nothing("the first consumer again").await?;
    for event in &events {
        let entry = bench.entry(event, OTHER).await?;
        let waits = entry.state == EntryState::Waiting && entry.attempts == 0;
        is(waits, "the second consumer's entry", "Waiting after 0 attempts", &entry)?;
    }
    let mut request = bench.request(10)?;
    request.consumer = OTHER.into();
    let theirs = bench.leases(&request, &all, 1, "the second consumer").await?;
    bench.settles(&theirs[0], &Verdict::Dead { error: "no".to_owned() }, "the second").await?;
    bench.is_in(&events[0], EntryState::Done, 1, "the first consumer's entry").await?;
    bench.is_in(&events[1], EntryState::Running, 1, "the first consumer's entry").await?;
    let mut request = bench.request(10)?;
    request.consumer = "c".into();
    bench.leases(&request, &[], 1, "a consumer without entries").await.map(drop)
}

pub(super) async fn endpoints_are_independent<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let elsewhere = bench.elsewhere()?;
    let events = bench.has_stored(2).await?;
    elsewhere.stores(&events).await?;
    bench.processes(&events[0], 1).await?;
    elsewhere.is_in(&events[0], EntryState::Waiting, 0, "the second endpoint").await?;
    let one = bench.entry(&events[1], CONSUMER).await?.number;
    let other = elsewhere.entry(&events[1], CONSUMER).await?.number;
    is(one != other, "numbers of two endpoints", "different ones", other)?;
    let all: Vec<_> = events.iter().collect();
    elsewhere.leases(&elsewhere.request(10)?, &all, 1, "the second endpoint").await?;
    bench.is_in(&events[1], EntryState::Waiting, 0, "the first endpoint").await?;
    let waiting = elsewhere.stats(CONSUMER).await?.running;
    is(waiting == 2, "running entries of the second endpoint", "2", waiting)
}

pub(super) async fn every_field_comes_back<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let text = |text: &str| Some(text.to_owned());
    let (mut full, mut empty, none) = (event()?, event()?, event()?);
    full.event = StoredEvent {
        key: full.event.key,
        namespace: text("tenant '\"\\ %_ \u{1f980}"),
        scheme: "github".to_owned(),
        event_type: text("push"),
        id: text("4f\u{e9}\r\n\t"),
        time: Some(Duration::from_millis(1_795_305_600_123)),
        data_pointer: text("/data/a~1b"),
        headers: vec![
            header("x-request-id", "1"),
            header("traceparent", "00-\u{e9}{\"a\":[null]}"),
            header("x-request-id", "1"),
            header("a", ""),
        ],
        body: "{\"a\": 1}\n".into(),
    };
    full.order_key = Some((0..=255).collect());
    full.position = Some(i64::MIN);
    empty.event.namespace = text("");
    empty.event.event_type = text("");
    empty.event.id = text("");
    empty.event.data_pointer = text("");
    empty.event.time = Some(Duration::ZERO);
    empty.event.scheme = String::new();
    empty.order_key = Some(Vec::new());
    empty.position = Some(i64::MAX);
    let events = [full, empty, none];
    bench.stores(&events).await?;
    let leased = bench.lease(&bench.request(10)?).await?.events;
    is(leased.len() == 3, "three events", "3", leased.len())?;
    for (event, leased) in events.iter().zip(leased) {
        comes_back(&leased.event, event, "a leased event")?;
        let entry = bench.entry(event, CONSUMER).await?;
        comes_back(&entry.event, event, "a listed event")?;
        let same = entry.received_at == leased.received_at && entry.number == leased.number;
        is(same, "a listed event", "the number and time of the leased one", entry)?;
    }
    Ok(())
}

/// Checks all fields. Does not show the body and the headers.
fn comes_back(got: &StoredEvent, expected: &NewEvent, when: &str) -> CaseResult {
    let expected = &expected.event;
    let texts = |event: &StoredEvent| {
        let StoredEvent { namespace, scheme, event_type, id, data_pointer, .. } = event.clone();
        [namespace, Some(scheme), event_type, id, data_pointer]
    };
    for (got, expected) in texts(got).iter().zip(&texts(expected)) {
        let right = same_text(got.as_deref(), expected.as_deref());
        is(right, when, &format!("{expected:?}"), got)?;
    }
    is(got.key == expected.key, when, "its key", got)?;
    is(got.time == expected.time, when, &format!("{:?}", expected.time), got.time)?;
    let right = got.headers.len() == expected.headers.len()
        && got.headers.iter().zip(&expected.headers).all(|(got, expected)| {
            got.0 == expected.0 && same_text(Some(&got.1), Some(&expected.1))
        });
    is(right, when, "its headers, in order", got)?;
    is(got.body == expected.body, when, "its exact body", got)
}

pub(super) async fn any_bytes_are_a_body<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let every_byte: Vec<u8> = (0..=255).collect();
    let bodies = [
        Vec::new(),
        b"\0".to_vec(),
        b"a\0b\0".to_vec(),
        b"\xff\xfe\xc3\x28".to_vec(),
        b"\xef\xbb\xbf{\r\n}".to_vec(),
        b"\\x41 \\\\ ''".to_vec(),
        every_byte.repeat(256),
    ];
    let mut events = Vec::new();
    for body in bodies {
        let mut event = event()?;
        event.event.body = body.into();
        events.push(event);
    }
    // A key is any 32 bytes.
    for byte in [0, 0xff, b'\'', b'\\'] {
        let mut event = event()?;
        let mut key = random()?;
        key[..16].fill(byte);
        event.event.key = ClaimKey::from(key);
        events.push(event);
    }
    bench.stores(&events).await?;
    let leased = bench.lease(&bench.request(20)?).await?.events;
    is(leased.len() == events.len(), "leased events", &events.len().to_string(), leased.len())?;
    for (event, leased) in events.iter().zip(leased) {
        comes_back(&leased.event, event, "any bytes")?;
        comes_back(&bench.entry(event, CONSUMER).await?.event, event, "any bytes, listed")?;
    }
    Ok(())
}

pub(super) async fn nul_in_texts<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let nul = || "a\0b".to_owned();
    let mut event = event()?;
    event.event = StoredEvent {
        namespace: Some(nul()),
        scheme: nul(),
        event_type: Some(nul()),
        id: Some(nul()),
        time: None,
        data_pointer: Some(nul()),
        headers: vec![("x-nul".to_owned(), nul())],
        key: event.event.key,
        body: nul().into(),
    };
    bench.stores(std::slice::from_ref(&event)).await?;
    let filter = Filter { event_type: Some(nul()), namespace: Some(nul()), ..bench.filter() };
    let entries = bench.list(&filter).await?;
    is(entries.len() == 1, "a filter with NUL", "the entry", &entries)?;
    comes_back(&entries[0].event, &event, "NUL in texts, listed")?;
    let filter = Filter { consumer: Some(nul()), ..bench.filter() };
    let entries = bench.list(&filter).await?;
    is(entries.is_empty(), "an unknown consumer", "no entry", &entries)?;
    let request = bench.request(1)?;
    let leased = bench.lease(&request).await?.events;
    is(leased.len() == 1, "NUL in texts", "one entry", &leased)?;
    comes_back(&leased[0].event, &event, "NUL in texts, leased")?;
    let holder = super::bench::holder(&request, &leased[0]);
    let retry = Verdict::Retry { after: Duration::ZERO, error: nul() };
    bench.settles(&holder, &retry, "NUL in an error").await?;
    let error = bench.entry(&event, CONSUMER).await?.error;
    is(same_text(error.as_deref(), Some(&nul())), "NUL in an error", "the error", error)?;
    let holder = bench.leases_one(&bench.request(1)?, &event, 2, "after NUL").await?;
    bench.settles(&holder, &Verdict::Dead { error: nul() }, "NUL in the last error").await
}

/// Calls that share keys, in opposite orders.
pub(super) async fn racing_intakes_store_each_key_once<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = events(8)?;
    let mut calls = Vec::new();
    for racer in 0..RACERS {
        let mut events = events.clone();
        if racer % 2 == 1 {
            events.reverse();
        }
        calls.push(events);
    }
    let consumers = [CONSUMER, OTHER];
    let racing = calls.iter().map(|events| bench.insert_for(&consumers, events));
    let results: Vec<_> = join_all(racing).await.into_iter().collect::<CaseResult<_>>()?;
    for event in &events {
        let mut new = 0;
        for (call, inserted) in calls.iter().zip(&results) {
            let each = call.iter().zip(inserted);
            new += each
                .filter(|(of, inserted)| {
                    of.event.key == event.event.key && **inserted == Inserted::New
                })
                .count();
        }
        is(new == 1, "a race for a new key", "New once", new)?;
    }
    let entries = bench.list(&bench.filter()).await?.len();
    is(entries == 16, "entries after a race", "16", entries)
}

/// Announcing has no effect on the events.
pub(super) async fn announcing_is_possible<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    bench.store.announce(&bench.endpoint).await.map_err(failed)?;
    let events = bench.has_stored(1).await?;
    bench.store.announce(&bench.endpoint).await.map_err(failed)?;
    bench.leases(&bench.request(9)?, &[&events[0]], 1, "an announced event").await.map(drop)
}
