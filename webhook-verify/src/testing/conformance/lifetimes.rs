//! Lifetimes of records.

use std::time::Duration;

use super::bench::{Bench, Call, CaseResult, HOUR, LONG, failed, is};
use crate::claim::{ClaimStore, OnLeaseExpiry};

/// The maximum number of purge calls for the records of other cases.
const MAX_PURGES: usize = 10_000;

pub(super) async fn what_has_expired_is_claimable<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let [completed, released] = [bench.fleeting()?, bench.fleeting()?];
    let held = bench.fleeting()?.on_lease_expiry(OnLeaseExpiry::Hold);
    for request in [&completed, &released, &held] {
        bench.wins(request, 1, "the first").await?;
    }
    for call in [Call::Complete(200), Call::Complete(200)] {
        bench.applies_for(&completed, call, bench.life(), "the holder").await?;
    }
    bench.applies(&released, Call::Release, "the holder").await?;
    bench.expire().await;
    for request in [&completed, &released, &held] {
        let next = bench.again(request)?.on_lease_expiry(OnLeaseExpiry::Hold);
        bench.wins_anew(&next, "the next after the record's life").await?;
        bench.is_shut_out(request, "the holder of what has expired").await?;
        bench.is_busy(&next, LONG, "another after that").await?;
        bench.applies(&next, Call::Complete(201), "the new holder").await?;
        bench.is_completed(&next, 201, "a duplicate").await?;
    }
    Ok(())
}

/// A call may extend a record's lifetime, but never shorten it.
pub(super) async fn the_longest_life_counts<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    // Claimed for an hour, completed for less.
    let shortened = bench.fresh()?;
    bench.wins(&shortened, 1, "the first").await?;
    bench.applies_for(&shortened, Call::Complete(200), bench.short(), "the holder").await?;

    // Claimed for less, completed for an hour, and completed again for less.
    let lengthened = bench.fleeting()?;
    bench.wins(&lengthened, 1, "the first").await?;
    for life in [HOUR, bench.short()] {
        bench.applies_for(&lengthened, Call::Complete(201), life, "the holder").await?;
    }

    // Claimed for less, and renewed beyond that.
    let renewed = bench.fleeting()?;
    bench.wins(&renewed, 1, "the first").await?;
    bench.applies(&renewed, Call::Extend, "the holder").await?;

    // Claimed for an hour, and claimed again for less.
    let retried = bench.fresh()?;
    bench.wins(&retried, 1, "the first").await?;
    bench.applies(&retried, Call::Release, "the holder").await?;
    let next = bench.request(retried.key, bench.short(), bench.life())?;
    bench.wins(&next, 2, "the next").await?;

    // Completed for less, and completed again for an hour: that changes nothing.
    let repeated = bench.fleeting()?;
    bench.wins(&repeated, 1, "the first").await?;
    for life in [bench.life(), HOUR] {
        bench.applies_for(&repeated, Call::Complete(202), life, "the holder").await?;
    }

    bench.expire().await;
    let when = "a duplicate, claimed for longer than completed for";
    bench.is_completed(&shortened, 200, when).await?;
    let when = "a duplicate, completed for longer than claimed for";
    bench.is_completed(&lengthened, 201, when).await?;
    let when = "another, renewed for longer than claimed for";
    bench.is_busy(&renewed, HOUR, when).await?;
    bench.applies(&renewed, Call::Complete(200), "the holder").await?;
    let when = "the next, claimed for an hour at first";
    bench.wins(&bench.again(&retried)?, 3, when).await?;
    let when = "the next, completed for an hour after it was completed for less";
    bench.wins_anew(&bench.again(&repeated)?, when).await
}

/// The longest lifetime that a receiver requests, and the longest lease.
pub(super) async fn ten_years<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let life = DAY * 3660;
    let mut request = bench.fresh()?;
    (request.lease, request.ttl) = (DAY, life);
    bench.wins(&request, 1, "the first").await?;
    let left = bench.is_busy(&request, DAY, "another").await?;
    is(left > DAY / 2, "a lease of a day", "most of it left", left)?;
    bench.applies_for(&request, Call::Extend, DAY, "the holder").await?;
    bench.applies_for(&request, Call::Complete(200), life, "the holder").await?;
    bench.lapse().await;
    bench.is_completed(&request, 200, "a duplicate").await
}

pub(super) async fn purge<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let purge = async |max: usize, expected: usize| {
        let purged = bench.store.purge(max).await.map_err(failed)?;
        // A store that deletes expired records by itself may have deleted them before this call.
        let right = if bench.clears_by_itself { purged <= max } else { purged == expected };
        is(right, &format!("purge of {max} at most"), &expected.to_string(), purged)
    };
    // The records that other cases left behind.
    let mut calls = 0;
    while bench.store.purge(usize::MAX).await.map_err(failed)? > 0 {
        calls += 1;
        let right = calls < MAX_PURGES;
        is(right, "purge of everything", "an end", calls)?;
    }

    let live = [bench.fresh()?, bench.fresh()?, bench.fresh()?, bench.brief()?];
    for request in &live {
        bench.wins(request, 1, "the first").await?;
    }
    bench.applies(&live[1], Call::Complete(200), "the holder").await?;
    bench.applies(&live[2], Call::Release, "the holder").await?;
    let mut expired = Vec::new();
    for number in 0..5 {
        let request = bench.fleeting()?;
        bench.wins(&request, 1, "the first").await?;
        match number {
            0 => bench.applies(&request, Call::Release, "the holder").await?,
            1 => {
                let call = Call::Complete(200);
                bench.applies_for(&request, call, bench.life(), "the holder").await?;
            }
            _ => {}
        }
        expired.push(request);
    }
    bench.expire().await;
    for (max, expected) in [(0, 0), (3, 3), (usize::MAX, 2), (usize::MAX, 0)] {
        purge(max, expected).await?;
    }
    bench.is_busy(&live[0], LONG, "what is in progress, after purge").await?;
    bench.is_completed(&live[1], 200, "what is completed, after purge").await?;
    bench.wins(&bench.again(&live[2])?, 2, "what was released, after purge").await?;
    bench.wins(&bench.again(&live[3])?, 2, "an expired lease, after purge").await?;
    for request in &expired {
        let next = bench.again(request)?;
        bench.wins_anew(&next, "what has expired, after purge").await?;
    }
    Ok(())
}
