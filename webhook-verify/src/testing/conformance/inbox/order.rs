//! Events with the same order key.

use std::{slice, time::Duration};

use super::bench::{
    Bench, CONSUMER, CaseResult, LONG, OTHER, event, holder, is, join_all, ordered, random,
};
use crate::inbox::{
    EntryHolder, EntryState, Extended, InboxStore, LeaseRequest, NewEvent, Order, Verdict,
};

/// The number of calls in a race.
const RACERS: usize = 16;
const ORDERS: [Order; 2] = [Order::DeadBlocks, Order::DeadIsSkipped];

fn in_order(request: LeaseRequest, order: Order) -> LeaseRequest {
    LeaseRequest { order, ..request }
}

/// Returns events with these positions and one new order key.
fn with_positions(positions: &[Option<i64>]) -> CaseResult<Vec<NewEvent>> {
    let key = random()?;
    positions.iter().map(|position| ordered(&key, *position)).collect()
}

/// Leases and processes the events in this order, one at a time.
async fn in_turn<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
    events: &[&NewEvent],
    order: Order,
    when: &str,
) -> CaseResult {
    for event in events {
        let request = in_order(bench.request(9)?, order);
        let holder = bench.leases_one(&request, event, 1, when).await?;
        nothing(bench, order, when).await?;
        bench.settles(&holder, &Verdict::Done, when).await?;
    }
    nothing(bench, order, when).await
}

async fn nothing<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
    order: Order,
    when: &str,
) -> CaseResult {
    bench.leases(&in_order(bench.request(9)?, order), &[], 0, when).await.map(drop)
}

pub(super) async fn one_at_a_time_as_stored<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    for order in ORDERS {
        let mut events = with_positions(&[None; 4])?;
        let last = events.split_off(2);
        bench.stores(&events).await?;
        bench.stores(&last).await?;
        let all: Vec<_> = events.iter().chain(&last).collect();
        in_turn(bench, &all, order, "events of one key").await?;
    }
    // Other keys do not wait. An empty key is a key.
    let (a, b) = (with_positions(&[None; 2])?, with_positions(&[None; 2])?);
    let empty = [ordered(b"", None)?, ordered(b"", None)?];
    let events = [&a[0], &b[0], &b[1], &a[1], &empty[0], &empty[1]];
    bench.stores(&events.map(Clone::clone)).await?;
    let request = in_order(bench.request(9)?, Order::DeadBlocks);
    let firsts = bench.leases(&request, &[&a[0], &b[0], &empty[0]], 1, "three keys").await?;
    bench.settles(&firsts[1], &Verdict::Discarded, "the owner").await?;
    let request = in_order(bench.request(9)?, Order::DeadBlocks);
    bench.leases(&request, &[&b[1]], 1, "after a discarded entry").await.map(drop)
}

pub(super) async fn one_at_a_time_by_position<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    for order in ORDERS {
        let positions = [3, 1, i64::MAX, 1, i64::MIN, 0].map(Some);
        let events = with_positions(&positions)?;
        bench.stores(&events).await?;
        let sorted = [4, 5, 1, 3, 0, 2].map(|index: usize| &events[index]);
        in_turn(bench, &sorted, order, "events by position").await?;
    }
    Ok(())
}

/// Without an order, order keys have no effect, and without order keys, the order has none.
pub(super) async fn without_an_order<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = with_positions(&[Some(2), Some(1)])?;
    bench.stores(&events).await?;
    bench.leases(&bench.request(9)?, &[&events[0], &events[1]], 1, "no order").await?;
    for order in ORDERS {
        let events = bench.has_stored(3).await?;
        let all: Vec<_> = events.iter().collect();
        bench.leases(&in_order(bench.request(9)?, order), &all, 1, "no order key").await?;
    }
    Ok(())
}

pub(super) async fn retries_delay_the_rest<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    for order in ORDERS {
        let events = with_positions(&[None, None])?;
        bench.stores(&events).await?;
        let request = in_order(bench.brief(9)?, order);
        let first = bench.leases_one(&request, &events[0], 1, "the first").await?;
        let retry = |after| Verdict::Retry { after, error: "no".to_owned() };
        bench.settles(&first, &retry(bench.short()), "the first").await?;
        bench.lapse().await;
        let second = in_order(bench.brief(9)?, order);
        bench.leases_one(&second, &events[0], 2, "a retry").await?;
        bench.lapse().await;
        let third = in_order(bench.request(9)?, order);
        let third = bench.leases_one(&third, &events[0], 3, "an expired lease").await?;
        bench.settles(&third, &retry(LONG), "the first").await?;
        nothing(bench, order, "a retry later").await?;
    }
    Ok(())
}

/// Makes the first of these entries dead: by its handler, or because its lease expires.
async fn kills<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
    event: &NewEvent,
    order: Order,
    expires: bool,
) -> CaseResult {
    let mut request = in_order(bench.brief(9)?, order);
    let mut first = bench.leases_one(&request, event, 1, "the first").await?;
    if expires {
        bench.lapse().await;
        request = LeaseRequest { max: 1, max_attempts: 1, ..in_order(bench.request(1)?, order) };
        first = bench.exhausts(&request, &[event], "the end of the last lease").await?.remove(0);
        nothing(bench, order, "after an exhausted entry").await?;
    }
    bench.settles(&first, &Verdict::Dead { error: "no".to_owned() }, "the first").await?;
    bench.is_in(event, EntryState::Dead, 1, "the first").await.map(drop)
}

pub(super) async fn dead_entries_block<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    for positions in [[None, None], [Some(1), Some(2)]] {
        for expires in [false, true] {
            let events = with_positions(&positions)?;
            bench.stores(&events).await?;
            kills(bench, &events[0], Order::DeadBlocks, expires).await?;
            nothing(bench, Order::DeadBlocks, "after a dead entry").await?;
        }
    }
    // Only earlier ones block.
    let events = with_positions(&[Some(2), Some(3)])?;
    bench.stores(&events[..1]).await?;
    kills(bench, &events[0], Order::DeadBlocks, false).await?;
    let earlier = NewEvent { position: Some(1), ..event()? };
    let earlier = NewEvent { order_key: events[0].order_key.clone(), ..earlier };
    bench.stores(&[events[1].clone(), earlier.clone()]).await?;
    in_turn(bench, &[&earlier], Order::DeadBlocks, "before a dead entry").await
}

pub(super) async fn dead_entries_are_skipped<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    for positions in [[None, None], [Some(1), Some(2)]] {
        for expires in [false, true] {
            let events = with_positions(&positions)?;
            bench.stores(&events).await?;
            kills(bench, &events[0], Order::DeadIsSkipped, expires).await?;
            in_turn(bench, &[&events[1]], Order::DeadIsSkipped, "after a dead entry").await?;
        }
    }
    Ok(())
}

/// It neither runs next to a later one, nor does an expired lease of a later one block both.
pub(super) async fn an_earlier_event_arrives_late<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    for order in ORDERS {
        let events = with_positions(&[Some(1), Some(2)])?;
        let (earlier, later) = (&events[0], &events[1]);
        bench.stores(&events[1..]).await?;
        let request = in_order(bench.request(9)?, order);
        let holder = bench.leases_one(&request, later, 1, "the later one").await?;
        bench.stores(&events[..1]).await?;
        nothing(bench, order, "while the later one runs").await?;
        bench.extends(&holder, bench.short(), "its owner").await?;
        bench.lapse().await;
        let extended = bench.extend_all(slice::from_ref(&holder), LONG).await?[0];
        is(extended == Extended::Lost, "an expired lease with an order key", "Lost", extended)?;
        let request = in_order(bench.request(9)?, order);
        let first = bench.leases_one(&request, earlier, 1, "the earlier one").await?;
        let extended = bench.extend_all(slice::from_ref(&holder), LONG).await?[0];
        let when = "an expired lease, while the earlier one runs";
        is(extended == Extended::Lost, when, "Lost", extended)?;
        bench.settles(&first, &Verdict::Done, "its owner").await?;
        let request = in_order(bench.request(9)?, order);
        let second = bench.leases_one(&request, later, 2, "then the later one").await?;
        bench.settles(&second, &Verdict::Done, "its owner").await?;
    }
    Ok(())
}

pub(super) async fn consumers_have_their_own_order<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let elsewhere = bench.elsewhere()?;
    let events = with_positions(&[None, None])?;
    bench.stores_for(&[CONSUMER, OTHER], &events).await?;
    elsewhere.stores(&events[1..]).await?;
    let request = in_order(bench.request(9)?, Order::DeadBlocks);
    let first = bench.leases_one(&request, &events[0], 1, "the first consumer").await?;
    let theirs = LeaseRequest { consumer: OTHER.into(), ..request };
    bench.leases(&theirs, &[&events[0]], 1, "the second consumer").await?;
    let request = in_order(elsewhere.request(9)?, Order::DeadBlocks);
    elsewhere.leases(&request, &[&events[1]], 1, "another endpoint").await?;
    bench.settles(&first, &Verdict::Done, "the first consumer").await?;
    let request = in_order(bench.request(9)?, Order::DeadBlocks);
    bench.leases(&request, &[&events[1]], 1, "the first consumer").await?;
    let theirs = LeaseRequest { consumer: OTHER.into(), ..request };
    bench.leases(&theirs, &[], 1, "the second consumer, which is at the first").await.map(drop)
}

/// Many calls race for entries of one key, until all are processed.
pub(super) async fn racing_leases_keep_the_order<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    for positions in [[None; 4], [4, 3, 2, 1].map(Some)] {
        let events = with_positions(&positions)?;
        bench.stores(&events).await?;
        let mut sorted: Vec<_> = events.iter().collect();
        sorted.sort_by_key(|event| event.position);
        let mut processed = 0;
        // A call may skip entries that another call is about to lease.
        for _ in 0..100 {
            let mut requests = Vec::new();
            for _ in 0..RACERS {
                requests.push(in_order(bench.request(9)?, Order::DeadBlocks));
            }
            let racing = requests.iter().map(|request| bench.lease(request));
            let mut holders: Vec<(EntryHolder, _)> = Vec::new();
            for (request, leased) in requests.iter().zip(join_all(racing).await) {
                let leased = leased?.events;
                holders.extend(
                    leased.iter().map(|leased| (holder(request, leased), leased.event.key)),
                );
            }
            is(holders.len() <= 1, "a race for one key", "one lease at most", holders.len())?;
            if let Some((holder, key)) = holders.pop() {
                let expected = sorted[processed].event.key;
                is(key == expected, "a race for one key", "the first one left", processed)?;
                bench.settles(&holder, &Verdict::Done, "the winner").await?;
                processed += 1;
            }
            if processed == sorted.len() {
                break;
            }
        }
        is(processed == 4, "races for one key", "all four processed", processed)?;
    }
    Ok(())
}
