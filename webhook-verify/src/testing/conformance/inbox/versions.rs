//! The latest version of an entity.

use std::time::Duration;

use super::bench::{Bench, CONSUMER, CaseResult, OTHER, event, events, is, join_all};
use crate::inbox::{InboxStore, NewEvent};

/// Stores events for two consumers, and returns their numbers.
async fn numbers<S: InboxStore, A: AsyncFn(Duration), const N: usize>(
    bench: &Bench<'_, S, A>,
) -> CaseResult<[i64; N]> {
    let events = events(N)?;
    bench.stores_for(&[CONSUMER, OTHER], &events).await?;
    let mut numbers = [0; N];
    for (number, event) in numbers.iter_mut().zip(&events) {
        *number = bench.entry(event, CONSUMER).await?.number;
    }
    Ok(numbers)
}

pub(super) async fn later_versions_are_recorded<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let [a, b, c, d] = numbers(bench).await?;
    let steps = [
        (b, i64::MIN, true, "the first version"),
        (c, 5, true, "a later version"),
        (a, 4, false, "an earlier version"),
        (d, 5, false, "the same version of another event"),
        // The events' own order does not count.
        (a, 6, true, "a later version of an earlier event"),
        (c, 5, false, "a version that another event replaced"),
        (c, i64::MAX, true, "the last version"),
    ];
    for (number, version, expected, when) in steps {
        let recorded = bench.advances(CONSUMER, b"key", version, number).await?;
        is(recorded == expected, when, &expected.to_string(), recorded)?;
    }
    // Of events that race, one records the version.
    let racing = [a, b, c, d].map(|number| bench.advances(CONSUMER, b"race", 1, number));
    let recorded: Vec<_> = join_all(racing).await.into_iter().collect::<CaseResult<_>>()?;
    let count = recorded.iter().filter(|recorded| **recorded).count();
    is(count == 1, "a race for a version", "true once", recorded)
}

pub(super) async fn an_event_repeats_its_call<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let [a, b] = numbers(bench).await?;
    let steps = [
        (a, 5, true, "the first version"),
        (a, 5, true, "the same event again"),
        (b, 5, false, "another event"),
        (b, 5, false, "another event again"),
        (a, 5, true, "the first event again"),
        (b, 7, true, "a later version"),
        (a, 5, false, "the first event after a later version"),
        (b, 7, true, "the later one again"),
    ];
    for (number, version, expected, when) in steps {
        let recorded = bench.advances(CONSUMER, b"key", version, number).await?;
        is(recorded == expected, when, &expected.to_string(), recorded)?;
    }
    Ok(())
}

pub(super) async fn versions_are_independent<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let elsewhere = bench.elsewhere()?;
    let [first, second] = numbers(bench).await?;
    let [other] = numbers(&elsewhere).await?;
    let keys: [&[u8]; 4] = [b"", b"a", b"a\0", b"\xff\x00'"];
    // Of two events, since an event may record its version again.
    for (key, number) in keys.into_iter().zip([first, second, first, second]) {
        let recorded = bench.advances(CONSUMER, key, 5, number).await?;
        is(recorded, "the first version of each key", "true", recorded)?;
    }
    let recorded = bench.advances(OTHER, b"a", 4, second).await?;
    is(recorded, "an earlier version of another consumer", "true", recorded)?;
    let recorded = elsewhere.advances(CONSUMER, b"a", 4, other).await?;
    is(recorded, "an earlier version of another endpoint", "true", recorded)?;
    for key in keys {
        let recorded = bench.advances(CONSUMER, key, 4, second).await?;
        is(!recorded, "an earlier version of each key", "false", recorded)?;
    }
    Ok(())
}

pub(super) async fn versions_go_with_their_event<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = [NewEvent { ttl: bench.short(), ..event()? }, event()?, event()?];
    bench.stores(&events).await?;
    let mut numbers = [0; 3];
    for (number, event) in numbers.iter_mut().zip(&events) {
        *number = bench.entry(event, CONSUMER).await?.number;
    }
    let [purged, kept, waiting] = numbers;
    let first: [(i64, &[u8]); 3] = [(purged, b"purged"), (purged, b"passed"), (kept, b"kept")];
    for (number, key) in first {
        let recorded = bench.advances(CONSUMER, key, 5, number).await?;
        is(recorded, "the first version of each key", "true", recorded)?;
    }
    let recorded = bench.advances(CONSUMER, b"passed", 6, kept).await?;
    is(recorded, "a later version of another event", "true", recorded)?;
    for event in &events[..2] {
        bench.processes(event, 1).await?;
    }
    bench.lapse().await;
    // One event goes, and the other one keeps its key without its body.
    let removed = bench.purge_all(Duration::ZERO).await?;
    is(removed > 0, "a purge after the ttl", "an event removed", removed)?;
    for key in [&b"kept"[..], b"passed"] {
        let recorded = bench.advances(CONSUMER, key, 4, waiting).await?;
        is(!recorded, "an earlier version than that of a kept event", "false", recorded)?;
    }
    let recorded = bench.advances(CONSUMER, b"purged", 4, waiting).await?;
    is(recorded, "an earlier version than that of a purged event", "true", recorded)
}
