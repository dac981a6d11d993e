//! Outcomes of claims, by the state of the record.

use std::time::Duration;

use super::bench::{Bench, Call, CaseResult, LONG, is};
use crate::claim::{ClaimOutcome, ClaimStore};

pub(super) async fn absent_is_won<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    bench.wins(&bench.fresh()?, 1, "a key that nobody claimed").await
}

pub(super) async fn busy_while_the_lease_lives<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let request = bench.fresh()?;
    bench.wins(&request, 1, "the first").await?;
    let left = bench.is_busy(&request, LONG, "the second").await?;
    is(left > LONG / 2, "a new lease", "most of it left", left)?;
    bench.lapse().await;
    let most = LONG - bench.short();
    // The remaining lease shrinks, and a refused claim does not renew it.
    for _ in 0..2 {
        let left = bench.is_busy(&request, most, "a lease in use").await?;
        is(left > LONG / 2, "a lease in use", "most of it left", left)?;
    }
    Ok(())
}

pub(super) async fn the_same_owner_wins_again<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let request = bench.fresh()?;
    bench.wins(&request, 1, "the first").await?;
    bench.lapse().await;
    for _ in 0..2 {
        bench.wins(&request, 1, "the same owner again").await?;
    }
    let most = LONG - bench.short();
    let when = "another, as the same owner's second claim is no renewal";
    bench.is_busy(&request, most, when).await?;
    bench.applies(&request, Call::Complete(200), "an owner that won twice").await?;
    let outcome = bench.claim(&request).await?;
    let done = matches!(outcome, ClaimOutcome::Completed { status: 200, .. });
    is(done, "the owner of a completed claim", "Completed", outcome)
}

pub(super) async fn released_is_won_with_the_next_attempt<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let first = bench.fresh()?;
    bench.wins(&first, 1, "the first").await?;
    let mut last = first.clone();
    for attempt in 2..=5 {
        bench.applies(&last, Call::Release, "the holder").await?;
        last = bench.again(&first)?;
        bench.wins(&last, attempt, "the next after a release").await?;
    }
    bench.is_busy(&last, LONG, "another after that").await?;
    bench.is_shut_out(&first, "the first of five").await
}

pub(super) async fn completed_stays<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let request = bench.brief()?;
    bench.wins(&request, 1, "the first").await?;
    bench.applies(&request, Call::Complete(202), "the holder").await?;
    for _ in 0..3 {
        bench.is_completed(&request, 202, "a duplicate").await?;
    }
    bench.lapse().await;
    let when = "a duplicate after the lease";
    bench.is_completed(&request, 202, when).await
}

pub(super) async fn every_status_is_kept<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    for status in 200..=599 {
        let request = bench.fresh()?;
        bench.wins(&request, 1, "the first").await?;
        bench.applies(&request, Call::Complete(status), "the holder").await?;
        bench.is_completed(&request, status, "a duplicate").await?;
    }
    Ok(())
}

pub(super) async fn a_takeover_replaces_the_fingerprint<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let (released, lapsed) = (bench.fresh()?, bench.brief()?);
    bench.wins(&released, 1, "the first").await?;
    bench.wins(&lapsed, 1, "the first").await?;
    bench.applies(&released, Call::Release, "the holder").await?;
    bench.lapse().await;
    for first in [released, lapsed] {
        let second = bench.again(&first)?;
        bench.wins(&second, 2, "a retry with another body").await?;
        bench.applies(&second, Call::Complete(201), "its holder").await?;
        bench.is_completed(&second, 201, "a duplicate").await?;
    }
    Ok(())
}
