//! Claims whose leases have expired.

use std::time::Duration;

use super::bench::{Bench, Call, CaseResult, HOUR, LONG, failed, is};
use crate::claim::{ClaimOutcome, ClaimStore, OnLeaseExpiry};

pub(super) async fn a_lapsed_claim_is_taken_over<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let first = bench.brief()?;
    bench.wins(&first, 1, "the first").await?;
    for attempt in [2, 3] {
        bench.lapse().await;
        let mut next = bench.again(&first)?;
        next.lease = bench.short();
        bench.wins(&next, attempt, "the next after the lease").await?;
    }
    // The former holder may claim again, as a new attempt.
    bench.lapse().await;
    bench.wins(&first, 4, "the first owner after the lease").await?;
    let last = bench.again(&first)?;
    bench.lapse().await;
    bench.wins(&last, 5, "the last").await?;
    bench.is_busy(&last, LONG, "another after that").await?;
    Ok(())
}

pub(super) async fn a_lapsed_claim_is_held<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let first = bench.brief()?.on_lease_expiry(OnLeaseExpiry::Hold);
    bench.wins(&first, 1, "the first").await?;
    let renewed = bench.brief()?.on_lease_expiry(OnLeaseExpiry::Hold);
    bench.wins(&renewed, 1, "the first").await?;
    bench.lapse().await;
    for _ in 0..2 {
        let held = bench.again(&first)?.on_lease_expiry(OnLeaseExpiry::Hold);
        let outcome = bench.claim(&held).await?;
        let busy =
            matches!(outcome, ClaimOutcome::Busy { lease_left } if lease_left <= bench.short());
        is(busy, "another after the lease", "Busy, for no time", outcome)?;
    }
    let outcome = bench.claim(&first).await?;
    let busy = matches!(outcome, ClaimOutcome::Busy { .. });
    is(busy, "its own owner after the lease", "Busy", outcome)?;
    // The holder may still resume.
    bench.applies(&renewed, Call::Extend, "the holder").await?;
    bench.is_busy(&renewed, HOUR, "another after a late renewal").await?;
    bench.applies(&first, Call::Complete(201), "the holder").await?;
    bench.is_completed(&first, 201, "a duplicate").await
}

/// The rule of the new request applies, not that of the earlier one. It affects neither live claims
/// nor released or completed ones.
pub(super) async fn hold_concerns_lapsed_claims_only<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let hold =
        |request| Ok::<_, String>(bench.again(request)?.on_lease_expiry(OnLeaseExpiry::Hold));
    let lapsed = bench.brief()?.on_lease_expiry(OnLeaseExpiry::Hold);
    bench.wins(&lapsed, 1, "the first").await?;

    let live = bench.fresh()?.on_lease_expiry(OnLeaseExpiry::Hold);
    bench.wins(&live, 1, "the first").await?;
    bench.wins(&live, 1, "the same owner again").await?;
    let outcome = bench.claim(&hold(&live)?).await?;
    let busy = matches!(outcome, ClaimOutcome::Busy { lease_left } if lease_left > LONG / 2);
    is(busy, "another during the lease", "Busy, for most of the lease", outcome)?;
    bench.applies(&live, Call::Release, "the holder").await?;
    let next = hold(&live)?;
    bench.wins(&next, 2, "the next after a release").await?;
    bench.applies(&next, Call::Complete(204), "the holder").await?;
    let outcome = bench.claim(&hold(&live)?).await?;
    let done = matches!(outcome, ClaimOutcome::Completed { status: 204, .. });
    is(done, "a duplicate", "Completed", outcome)?;

    bench.lapse().await;
    let late = bench.brief()?.on_lease_expiry(OnLeaseExpiry::Hold);
    bench.wins(&late, 1, "the first").await?;
    bench.lapse().await;
    bench.applies(&late, Call::Release, "the holder after the lease").await?;
    bench.wins(&hold(&late)?, 2, "the next after a late release").await?;
    let when = "a request that takes over, after one that holds";
    bench.wins(&bench.again(&lapsed)?, 2, when).await
}

pub(super) async fn what_is_held_is_let_go_by_forget<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let first = bench.brief()?.on_lease_expiry(OnLeaseExpiry::Hold);
    bench.wins(&first, 1, "the first").await?;
    bench.lapse().await;
    let forgot = bench.store.forget(&first.key).await.map_err(failed)?;
    is(forgot, "forget", "true", forgot)?;
    let next = bench.again(&first)?.on_lease_expiry(OnLeaseExpiry::Hold);
    bench.wins_anew(&next, "the next after forget").await?;
    bench.is_shut_out(&first, "the holder of what was forgotten").await
}
