//! What a purge removes, and when.

use std::time::Duration;

use super::bench::{Bench, CONSUMER, CaseResult, HOUR, LONG, OTHER, event, is};
use crate::inbox::{EntryState, Filter, InboxStore, Inserted, LeaseRequest, NewEvent, Verdict};

/// Returns an event with a key that is kept for a short time.
fn brief<S: InboxStore, A: AsyncFn(Duration)>(bench: &Bench<'_, S, A>) -> CaseResult<NewEvent> {
    Ok(NewEvent { ttl: bench.short(), ..event()? })
}

/// Checks that the event is there, and whether its body is.
async fn is_kept<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
    event: &NewEvent,
    with_body: bool,
    when: &str,
) -> CaseResult {
    let entry = bench.entry(event, CONSUMER).await?;
    let body = if with_body { &event.event.body[..] } else { b"" };
    let expected = format!("a body of {} bytes", body.len());
    is(entry.event.body == body, when, &expected, entry.event.body.len())?;
    let inserted = bench.insert_for(&[CONSUMER], std::slice::from_ref(event)).await?;
    is(inserted == [Inserted::Duplicate], when, "a known key", &inserted)
}

/// Checks that the event is gone, and that its key is new.
async fn is_gone<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
    event: &NewEvent,
    when: &str,
) -> CaseResult {
    let filter = Filter { key: Some(event.event.key), ..bench.filter() };
    let entries = bench.list(&filter).await?;
    is(entries.is_empty(), when, "no entry", &entries)?;
    bench.stores(std::slice::from_ref(event)).await?;
    bench.is_in(event, EntryState::Waiting, 0, when).await.map(drop)
}

pub(super) async fn unfinished_events_stay<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let none = bench.purge(Duration::ZERO, 10).await?;
    is(none == 0, "a purge of nothing", "0", none)?;
    let mut events = Vec::new();
    for _ in 0..5 {
        events.push(brief(bench)?);
    }
    bench.stores_for(&[CONSUMER, OTHER], &events).await?;
    // The other consumer has finished all.
    let request = LeaseRequest { consumer: OTHER.into(), ..bench.request(9)? };
    let all: Vec<_> = events.iter().collect();
    for (index, holder) in
        bench.leases(&request, &all, 1, "another consumer").await?.iter().enumerate()
    {
        let verdict = if index % 2 == 0 { Verdict::Done } else { Verdict::Discarded };
        bench.settles(holder, &verdict, "another consumer").await?;
    }
    bench.leases_one(&bench.brief(1)?, &events[0], 1, "one that expires").await?;
    let running = bench.leases_one(&bench.request(1)?, &events[1], 1, "one that runs").await?;
    let dead = bench.leases_one(&bench.request(1)?, &events[2], 1, "one that fails").await?;
    bench.settles(&dead, &Verdict::Dead { error: "no".to_owned() }, "its owner").await?;
    let later = bench.leases_one(&bench.request(1)?, &events[3], 1, "one for later").await?;
    let retry = Verdict::Retry { after: LONG, error: "no".to_owned() };
    bench.settles(&later, &retry, "its owner").await?;
    bench.lapse().await;
    let removed = bench.purge(Duration::ZERO, 100).await?;
    is(removed == 0, "a purge of unfinished events", "0", removed)?;
    for event in &events {
        is_kept(bench, event, true, "an unfinished event").await?;
    }
    bench.settles(&running, &Verdict::Done, "its owner").await?;
    bench.purge_all(Duration::ZERO).await?;
    is_gone(bench, &events[1], "a finished event").await
}

pub(super) async fn bodies_go_after_their_retention<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let mut events = bench.has_stored(3).await?;
    for event in &events {
        bench.processes(event, 1).await?;
    }
    let removed = bench.purge_all(HOUR).await?;
    is(removed == 0, "a purge before the retention", "0", removed)?;
    for event in &events {
        is_kept(bench, event, true, "before the retention").await?;
    }
    bench.lapse().await;
    // The retention counts from when the event was finished.
    let fresh = bench.has_stored(1).await?.remove(0);
    bench.processes(&fresh, 1).await?;
    let removed = bench.purge_all(bench.short()).await?;
    is(removed >= 3, "a purge after the retention", "three bodies removed", removed)?;
    for event in &events {
        is_kept(bench, event, false, "after the retention").await?;
        bench.is_in(event, EntryState::Done, 1, "an event without its body").await?;
    }
    events.push(fresh);
    bench.purge_all(Duration::ZERO).await?;
    for event in &events {
        is_kept(bench, event, false, "without a retention").await?;
    }
    bench.leases_nothing("done entries").await
}

pub(super) async fn keys_stay_for_their_ttl<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = [brief(bench)?, event()?, brief(bench)?];
    bench.stores(&events).await?;
    for event in &events {
        bench.processes(event, 1).await?;
    }
    bench.lapse().await;
    let removed = bench.purge_all(HOUR).await?;
    is(removed == 0, "a purge while bodies are kept", "0", removed)?;
    for event in &events {
        is_kept(bench, event, true, "while bodies are kept").await?;
    }
    let removed = bench.purge_all(bench.short()).await?;
    is(removed > 0, "a purge after the ttl", "events removed", removed)?;
    is_kept(bench, &events[1], false, "before its ttl has passed").await?;
    is_gone(bench, &events[0], "after its ttl").await?;
    is_gone(bench, &events[2], "after its ttl").await
}

pub(super) async fn purge_up_to_max<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let mut events = Vec::new();
    for _ in 0..6 {
        events.push(brief(bench)?);
    }
    bench.stores_for(&[CONSUMER], &events).await?;
    for event in &events {
        bench.processes(event, 1).await?;
    }
    let unfinished = bench.has_stored(1).await?.remove(0);
    bench.lapse().await;
    let mut removed = bench.purge(Duration::ZERO, 2).await?;
    is(removed > 0, "a purge of two of six events", "some removed", removed)?;
    let left = bench.list(&bench.filter()).await?.len();
    is(left >= 5, "events after a purge of two", "five at least", left)?;
    for _ in 0..20 {
        removed += bench.purge(Duration::ZERO, 2).await?;
    }
    let right = (6..=12).contains(&removed);
    is(right, "purges of six events with bodies", "6 to 12 in all", removed)?;
    let left = bench.list(&bench.filter()).await?;
    let right = left.len() == 1 && left[0].event.key == unfinished.event.key;
    is(right, "after the purges", "the unfinished event", &left)
}

pub(super) async fn other_endpoints_stay<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let elsewhere = bench.elsewhere()?;
    let event = brief(bench)?;
    for bench in [bench, &elsewhere] {
        bench.stores(std::slice::from_ref(&event)).await?;
        bench.processes(&event, 1).await?;
    }
    bench.lapse().await;
    bench.purge_all(Duration::ZERO).await?;
    is_kept(&elsewhere, &event, true, "another endpoint").await?;
    is_gone(bench, &event, "a purged endpoint").await
}
