//! What operators see and change.

use std::time::Duration;

use super::bench::{Bench, CONSUMER, CaseResult, LONG, OTHER, event, events, is, same};
use crate::{
    claim::ClaimKey,
    inbox::{Change, EntryState, Filter, InboxStore, LeasedEvent, NewEvent, Stats, Verdict},
};

/// Stores one event for each state, and returns them in the order of [`STATES`].
async fn one_of_each<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult<Vec<NewEvent>> {
    let mut events = bench.has_stored(4).await?;
    let all: Vec<_> = events.iter().collect();
    let holders = bench.leases(&bench.request(9)?, &all, 1, "new events").await?;
    bench.settles(&holders[1], &Verdict::Done, "its owner").await?;
    bench.settles(&holders[2], &Verdict::Dead { error: "no".to_owned() }, "its owner").await?;
    bench.settles(&holders[3], &Verdict::Discarded, "its owner").await?;
    events.insert(0, bench.has_stored(1).await?.remove(0));
    Ok(events)
}

const STATES: [EntryState; 5] = [
    EntryState::Waiting,
    EntryState::Running,
    EntryState::Done,
    EntryState::Dead,
    EntryState::Discarded,
];

pub(super) async fn stats_count<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let is_counted = |stats: &Stats, expected: [u64; 3], when: &str| {
        let counts = [stats.waiting, stats.running, stats.dead];
        is(counts == expected, when, &format!("{expected:?} waiting, running, dead"), stats)
    };
    is_counted(&bench.stats(CONSUMER).await?, [0, 0, 0], "an empty inbox")?;
    one_of_each(bench).await?;
    is_counted(&bench.stats(CONSUMER).await?, [1, 1, 1], "one of each")?;
    is_counted(&bench.stats(OTHER).await?, [0, 0, 0], "a consumer without entries")?;
    bench.stores_for(&[CONSUMER, OTHER], &events(2)?).await?;
    is_counted(&bench.stats(CONSUMER).await?, [3, 1, 1], "two more")?;
    is_counted(&bench.stats(OTHER).await?, [2, 0, 0], "two of another consumer")?;
    let holders = bench.lease(&bench.brief(2)?).await?;
    is(holders.events.len() == 2, "two leases", "2", &holders)?;
    bench.lapse().await;
    is_counted(&bench.stats(CONSUMER).await?, [1, 3, 1], "with expired leases")
}

pub(super) async fn stats_know_the_oldest<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let none = bench.stats(CONSUMER).await?.oldest;
    is(none.is_none(), "the oldest of none", "None", none)?;
    let both = [CONSUMER, OTHER];
    let (first, second) = (events(1)?, events(1)?);
    bench.stores_for(&both, &first).await?;
    bench.lapse().await;
    bench.stores_for(&both, &second).await?;
    let holder = bench.leases_one(&bench.request(1)?, &first[0], 1, "the first").await?;
    let oldest = bench.stats(CONSUMER).await?.oldest;
    let right = oldest.is_some_and(|oldest| oldest >= bench.short());
    is(right, "the oldest, which runs", "the time since the first was stored", oldest)?;
    bench.settles(&holder, &Verdict::Done, "its owner").await?;
    // One consumer is at the first event, the other at the second.
    let stats = bench.store.stats(&bench.endpoint).await.map_err(super::bench::failed)?;
    let age = |consumer| {
        let stats = stats.iter().find(|stats| stats.consumer == consumer);
        stats.and_then(|stats| stats.oldest).unwrap_or_default()
    };
    let between = age(OTHER).saturating_sub(age(CONSUMER));
    let stored = |entry: &crate::inbox::Entry| entry.received_at;
    let [one, two] = [&first[0], &second[0]];
    let (one, two) = (bench.entry(one, CONSUMER).await?, bench.entry(two, CONSUMER).await?);
    let expected = stored(&two).saturating_sub(stored(&one));
    let right = between.abs_diff(expected) <= Duration::from_millis(2);
    is(right, "the oldest of two consumers", &format!("{expected:?} apart"), between)?;
    let holder = bench.leases_one(&bench.request(1)?, &second[0], 1, "the second").await?;
    bench.settles(&holder, &Verdict::Dead { error: "no".to_owned() }, "its owner").await?;
    let none = bench.stats(CONSUMER).await?.oldest;
    is(none.is_none(), "the oldest of a dead and a done one", "None", none)
}

pub(super) async fn each_filter_selects<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let mut events = one_of_each(bench).await?;
    let mut named = event()?;
    named.event.event_type = Some("push".to_owned());
    named.event.namespace = Some("tenant".to_owned());
    let mut empty = event()?;
    empty.event.event_type = Some(String::new());
    empty.event.namespace = Some(String::new());
    bench.stores_for(&[OTHER], &[named.clone(), empty.clone()]).await?;
    events.extend([named, empty]);
    let all = bench.filter();
    let number = bench.entry(&events[2], CONSUMER).await?.number;
    let some = |text: &str| Some(text.to_owned());
    let unknown = ClaimKey::from(super::bench::random()?);
    let mut filters = vec![
        (all.clone(), vec![0, 1, 2, 3, 4, 5, 6]),
        (Filter { consumer: some(CONSUMER), ..all.clone() }, vec![0, 1, 2, 3, 4]),
        (Filter { consumer: some(OTHER), ..all.clone() }, vec![5, 6]),
        (Filter { key: Some(events[3].event.key), ..all.clone() }, vec![3]),
        (Filter { key: Some(unknown), ..all.clone() }, vec![]),
        (Filter { event_type: some("push"), ..all.clone() }, vec![5]),
        (Filter { event_type: some("Push"), ..all.clone() }, vec![]),
        (Filter { event_type: some("pus%"), ..all.clone() }, vec![]),
        (Filter { event_type: some(""), ..all.clone() }, vec![6]),
        (Filter { namespace: some("tenant"), ..all.clone() }, vec![5]),
        (Filter { namespace: some(""), ..all.clone() }, vec![6]),
        (Filter { namespace: some("tenant"), event_type: some("pull"), ..all.clone() }, vec![]),
        (Filter { after: number, ..all.clone() }, vec![0, 3, 4, 5, 6]),
        (Filter { after: i64::MAX, ..all.clone() }, vec![]),
    ];
    for (index, state) in STATES.into_iter().enumerate() {
        let (state, consumer) = (Some(state), some(CONSUMER));
        filters.push((Filter { state, consumer, ..all.clone() }, vec![index]));
    }
    for (filter, expected) in filters {
        let entries = bench.list(&filter).await?;
        let mut found = Vec::new();
        for entry in &entries {
            found.push(events.iter().position(|event| event.event.key == entry.event.key));
        }
        found.sort_unstable();
        let expected: Vec<_> = expected.into_iter().map(Some).collect();
        is(found == expected, &format!("{filter:?}"), &format!("{expected:?}"), found)?;
    }
    Ok(())
}

pub(super) async fn pages_follow_in_order<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = events(5)?;
    // Listed by number and consumer, however they were stored.
    bench.stores_for(&[OTHER, CONSUMER], &events).await?;
    let entries = bench.list(&bench.filter()).await?;
    let places: Vec<_> =
        entries.iter().map(|entry| (entry.number, entry.consumer.clone())).collect();
    let right = places.len() == 10 && places.is_sorted();
    is(right, "all entries", "ten, by number and consumer", &places)?;
    let first = Filter { limit: 3, ..bench.filter() };
    let found: Vec<_> = bench.list(&first).await?.into_iter().map(|entry| entry.number).collect();
    let expected: Vec<_> = places.iter().take(3).map(|(number, _)| *number).collect();
    is(found == expected, "the first three", &format!("{expected:?}"), found)?;
    let none = bench.list(&Filter { limit: 0, ..bench.filter() }).await?;
    is(none.is_empty(), "a page of nothing", "no entry", &none)?;
    let mut keys = Vec::new();
    let mut after = 0;
    for expected in [2, 2, 1, 0] {
        let consumer = Some(CONSUMER.to_owned());
        let filter = Filter { after, consumer, limit: 2, ..bench.filter() };
        let page = bench.list(&filter).await?;
        is(page.len() == expected, "a page", &expected.to_string(), &page)?;
        after = page.last().map_or(after, |entry| entry.number);
        keys.extend(page.into_iter().map(|entry| entry.event.key));
    }
    let right = keys.iter().eq(events.iter().map(|event| &event.event.key));
    is(right, "all pages", "all events, as stored", keys.len())
}

pub(super) async fn retry_starts_again<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = bench.has_stored(2).await?;
    let all: Vec<_> = events.iter().collect();
    bench.leases(&bench.brief(9)?, &all, 1, "new events").await?;
    bench.lapse().await;
    let holders = bench.leases(&bench.request(9)?, &all, 2, "again").await?;
    let error = || "no".to_owned();
    bench.settles(&holders[0], &Verdict::Retry { after: LONG, error: error() }, "one").await?;
    bench.settles(&holders[1], &Verdict::Dead { error: error() }, "the other").await?;
    bench.leases_nothing("a retry later and a dead entry").await?;
    bench.changes(&bench.filter(), Change::Retry, 2, "waiting and dead").await?;
    for (event, holder) in events.iter().zip(&holders) {
        bench.is_in(event, EntryState::Waiting, 2, "a retried entry").await?;
        bench.is_shut_out(event, holder, "the former owner of a retried entry").await?;
    }
    let mut request = bench.brief(9)?;
    request.max_attempts = 2;
    // The entry has all attempts again, and their numbers continue.
    for attempt in [3, 4] {
        request.owner = bench.request(1)?.owner;
        let leased = bench.lease(&request).await?;
        let has_right =
            |leased: &LeasedEvent| (leased.attempt, leased.retried_at_attempt) == (attempt, 2);
        let right = leased.events.len() == 2 && leased.events.iter().all(has_right);
        is(right, "retried entries", &format!("both, with attempt {attempt} after 2"), &leased)?;
        bench.lapse().await;
    }
    bench.exhausts(&request, &all, "retried entries without attempts left").await.map(drop)
}

/// A waiting entry that is due stays before those that are due since then.
pub(super) async fn retried_entries_keep_their_place<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = bench.has_stored(2).await?;
    bench.lapse().await;
    let first = Filter { key: Some(events[0].event.key), ..bench.filter() };
    bench.changes(&first, Change::Retry, 1, "the longest due").await?;
    let all: Vec<_> = events.iter().collect();
    bench.leases(&bench.request(9)?, &all, 1, "after a retry of the longest due").await.map(drop)
}

pub(super) async fn discard_ends<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = bench.has_stored(3).await?;
    let holders =
        bench.leases(&bench.request(2)?, &[&events[0], &events[1]], 1, "two events").await?;
    let error = || "no".to_owned();
    bench.settles(&holders[0], &Verdict::Dead { error: error() }, "one").await?;
    let retry = Verdict::Retry { after: Duration::ZERO, error: error() };
    bench.settles(&holders[1], &retry, "the other").await?;
    bench.changes(&bench.filter(), Change::Discard, 3, "waiting and dead").await?;
    for (event, attempts) in events.iter().zip([1, 1, 0]) {
        bench.is_in(event, EntryState::Discarded, attempts, "a discarded entry").await?;
    }
    bench.is_shut_out(&events[0], &holders[0], "the former owner of a discarded entry").await?;
    bench.leases_nothing("discarded entries").await?;
    for change in [Change::Retry, Change::Discard] {
        bench.changes(&bench.filter(), change, 0, "discarded entries").await?;
    }
    let removed = bench.purge_all(Duration::ZERO).await?;
    is(removed > 0, "a purge after discard", "bodies removed", removed)
}

pub(super) async fn change_leaves_the_rest<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let elsewhere = bench.elsewhere()?;
    let theirs = elsewhere.has_stored(1).await?.remove(0);
    for (change, new_state) in
        [(Change::Retry, EntryState::Waiting), (Change::Discard, EntryState::Discarded)]
    {
        let events = one_of_each(bench).await?;
        let mut before = Vec::new();
        for event in &events {
            before.push(bench.entry(event, CONSUMER).await?);
        }
        let filter = |index: usize| Filter { key: Some(events[index].event.key), ..bench.filter() };
        for (index, state) in STATES.into_iter().enumerate() {
            let changes = matches!(state, EntryState::Waiting | EntryState::Dead);
            let when = format!("{state:?}");
            // A filter of another state selects nothing.
            let other = STATES[(index + 1) % STATES.len()];
            let none = Filter { state: Some(other), ..filter(index) };
            bench.changes(&none, change, 0, &when).await?;
            let some = Filter { state: Some(state), ..filter(index) };
            bench.changes(&some, change, usize::from(changes), &when).await?;
            let after = bench.entry(&events[index], CONSUMER).await?;
            let right =
                if changes { after.state == new_state } else { same(&before[index], &after) };
            is(right, &when, "a change if it was waiting or dead", &after)?;
        }
        // What is left does not disturb the next events.
        bench
            .changes(
                &bench.filter(),
                Change::Discard,
                match change {
                    Change::Retry => 2,
                    Change::Discard => 0,
                },
                "the rest",
            )
            .await?;
    }
    let theirs = elsewhere.is_in(&theirs, EntryState::Waiting, 0, "another endpoint").await?;
    is(theirs.consumer == CONSUMER, "another endpoint", CONSUMER, &theirs)
}

/// The limit counts changed entries, not those that are passed over.
pub(super) async fn change_up_to_the_limit<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = bench.has_stored(7).await?;
    let all: Vec<_> = events.iter().collect();
    let holders = bench.leases(&bench.request(9)?, &all, 1, "new events").await?;
    for (index, holder) in holders.iter().enumerate() {
        let dead = Verdict::Dead { error: "no".to_owned() };
        let verdict = if index < 3 { Verdict::Done } else { dead };
        bench.settles(holder, &verdict, "its owner").await?;
    }
    for (limit, expected) in [(0, 0), (1, 1), (2, 2), (2, 1), (2, 0)] {
        let filter = Filter { limit, state: Some(EntryState::Dead), ..bench.filter() };
        bench.changes(&filter, Change::Retry, expected, &format!("up to {limit}")).await?;
    }
    let filter = Filter { limit: 3, ..bench.filter() };
    bench.changes(&filter, Change::Discard, 3, "up to 3 among done ones").await?;
    let filter = Filter { limit: 3, ..bench.filter() };
    bench.changes(&filter, Change::Discard, 1, "the last among done ones").await
}
