//! Calls of holders, and of owners that no longer hold the claim.

use std::time::Duration;

use super::bench::{Bench, Call, CaseResult, HOUR, LONG, failed, is};
use crate::claim::{ClaimOutcome, ClaimStore};

pub(super) async fn repeated_calls_change_nothing<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let first = bench.fresh()?;
    bench.wins(&first, 1, "the first").await?;
    for _ in 0..3 {
        bench.applies(&first, Call::Release, "the holder").await?;
    }
    let second = bench.again(&first)?;
    bench.wins(&second, 2, "the next").await?;
    for status in [201, 201, 500] {
        bench.applies(&second, Call::Complete(status), "the holder").await?;
    }
    let when = "a duplicate of what was completed three times, first with 201";
    bench.is_completed(&second, 201, when).await?;
    bench.is_superseded(&second, Call::Release, "the holder of what is completed").await?;
    bench.is_completed(&second, 201, "a duplicate after that").await
}

pub(super) async fn a_late_call_counts_if_nobody_took_over<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let [completed, released, extended] = [bench.brief()?, bench.brief()?, bench.brief()?];
    for request in [&completed, &released, &extended] {
        bench.wins(request, 1, "the first").await?;
    }
    bench.lapse().await;
    bench.applies(&completed, Call::Complete(201), "a late holder").await?;
    bench.applies(&released, Call::Release, "a late holder").await?;
    bench.applies(&extended, Call::Extend, "a late holder").await?;
    bench.is_completed(&completed, 201, "a duplicate").await?;
    bench.wins(&bench.again(&released)?, 2, "the next").await?;
    bench.is_busy(&extended, HOUR, "another").await?;
    Ok(())
}

pub(super) async fn a_late_claim_does_not_undo_a_release<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let first = bench.fresh()?;
    bench.wins(&first, 1, "the first").await?;
    bench.applies(&first, Call::Release, "the holder").await?;
    for _ in 0..2 {
        let outcome = bench.claim(&first).await?;
        let refused = matches!(outcome, ClaimOutcome::Busy { .. });
        is(refused, "the owner that released it", "Busy", outcome)?;
    }
    bench.wins(&bench.again(&first)?, 2, "the next").await
}

pub(super) async fn extend_does_not_bring_back_what_is_settled<
    S: ClaimStore,
    A: AsyncFn(Duration),
>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let (released, completed) = (bench.fresh()?, bench.fresh()?);
    bench.wins(&released, 1, "the first").await?;
    bench.applies(&released, Call::Release, "the holder").await?;
    bench.is_superseded(&released, Call::Extend, "the holder of what is released").await?;
    let next = bench.again(&released)?;
    bench.wins(&next, 2, "the next after a release and a late renewal").await?;

    bench.wins(&completed, 1, "the first").await?;
    bench.applies(&completed, Call::Complete(200), "the holder").await?;
    bench.is_superseded(&completed, Call::Extend, "the holder of what is completed").await?;
    bench.is_completed(&completed, 200, "a duplicate after a late renewal").await
}

pub(super) async fn extend_counts_from_now<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let (longer, shorter) = (bench.brief()?, bench.fresh()?);
    bench.wins(&longer, 1, "the first").await?;
    bench.wins(&shorter, 1, "the first").await?;
    for (request, lease) in [(&longer, LONG), (&shorter, bench.short())] {
        bench.applies_for(request, Call::Extend, lease, "a renewal").await?;
    }
    bench.lapse().await;
    let most = LONG - bench.short();
    let left = bench.is_busy(&longer, most, "after the first lease").await?;
    is(left > LONG / 2, "after a renewal", "most of it left", left)?;
    bench.wins(&longer, 1, "the holder that renewed").await?;
    let when = "another, as the lease was renewed to less than it was";
    bench.wins(&bench.again(&shorter)?, 2, when).await
}

pub(super) async fn a_stranger_changes_nothing<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let request = bench.fresh()?;
    bench.is_shut_out(&request, "a key that nobody claimed").await?;
    bench.wins(&request, 1, "the first, as nothing was written").await?;
    let stranger = bench.again(&request)?;
    bench.is_shut_out(&stranger, "who never won").await?;
    bench.is_busy(&request, LONG, "another").await?;
    bench.is_shut_out(&stranger, "who was told to come back").await?;
    bench.applies(&request, Call::Complete(200), "the holder").await?;
    bench.is_shut_out(&stranger, "a stranger to what is completed").await?;
    bench.is_completed(&request, 200, "a duplicate").await
}

/// A's lease expires and B takes over. Whatever B does next, A's calls have no effect.
pub(super) async fn a_superseded_holder_changes_nothing<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let a = bench.brief()?;
    bench.wins(&a, 1, "A").await?;
    bench.lapse().await;
    let b = bench.again(&a)?;
    bench.wins(&b, 2, "B, after A's lease").await?;
    bench.is_shut_out(&a, "A, while B holds it").await?;
    bench.is_busy(&b, LONG, "another, while B holds it").await?;
    bench.applies(&b, Call::Complete(203), "B").await?;
    bench.is_shut_out(&a, "A, after B completed").await?;
    bench.is_completed(&b, 203, "a duplicate").await
}

/// A's lease expires, B takes over and releases, C claims. The calls of A and B have no effect.
pub(super) async fn an_old_holder_does_not_come_back_after_a_release<
    S: ClaimStore,
    A: AsyncFn(Duration),
>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let a = bench.brief()?;
    bench.wins(&a, 1, "A").await?;
    bench.lapse().await;
    let b = bench.again(&a)?;
    bench.wins(&b, 2, "B, after A's lease").await?;
    bench.applies(&b, Call::Release, "B").await?;
    bench.is_shut_out(&a, "A, after B released").await?;
    let c = bench.again(&a)?;
    bench.wins(&c, 3, "C, after B released").await?;
    bench.is_shut_out(&a, "A, while C holds it").await?;
    bench.is_shut_out(&b, "B, while C holds it").await?;
    bench.is_busy(&c, LONG, "another, while C holds it").await?;
    bench.applies(&c, Call::Complete(200), "C").await?;
    bench.is_shut_out(&a, "A, after C completed").await?;
    bench.is_completed(&c, 200, "a duplicate").await
}

pub(super) async fn forget_makes_it_the_first_again<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let [absent, busy, done, other] =
        [bench.fresh()?, bench.fresh()?, bench.fresh()?, bench.fresh()?];
    for request in [&busy, &done, &other] {
        bench.wins(request, 1, "the first").await?;
    }
    bench.applies(&done, Call::Complete(200), "the holder").await?;
    for (request, there) in [(&absent, false), (&busy, true), (&done, true)] {
        for there in [there, false] {
            let forgot = bench.store.forget(&request.key).await.map_err(failed)?;
            is(forgot == there, "forget", &there.to_string(), forgot)?;
        }
    }
    bench.is_shut_out(&busy, "the holder of what was forgotten").await?;
    for request in [&busy, &done] {
        let next = bench.again(request)?;
        bench.wins_anew(&next, "the next after forget").await?;
        bench.is_shut_out(request, "the holder of what was forgotten").await?;
        let outcome = bench.claim(&bench.again(request)?).await?;
        let held = matches!(outcome, ClaimOutcome::Busy { .. });
        is(held, "another after forget", "Busy", outcome)?;
    }
    bench.is_busy(&other, LONG, "another key").await?;
    Ok(())
}
