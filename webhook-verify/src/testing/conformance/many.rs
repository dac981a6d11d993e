//! Concurrent claims, batches, and keys that are close to each other.

use std::time::Duration;

use super::bench::{Bench, Call, CaseResult, HOUR, LONG, failed, is, join_all, random};
use crate::claim::{
    ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, OnLeaseExpiry, Settled,
};

/// The number of claims of one key at a time.
const RACERS: usize = 64;

pub(super) async fn claims_answer_in_order<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let [absent, busy, done, released, mine] =
        [bench.fresh()?, bench.fresh()?, bench.fresh()?, bench.fresh()?, bench.fresh()?];
    let lapsed = bench.brief()?;
    for request in [&busy, &done, &released, &mine, &lapsed] {
        bench.wins(request, 1, "the first").await?;
    }
    bench.applies(&done, Call::Complete(203), "the holder").await?;
    bench.applies(&released, Call::Release, "the holder").await?;
    bench.lapse().await;
    let mut requests = vec![absent.clone(), bench.again(&busy)?, bench.again(&done)?];
    requests.extend([bench.again(&lapsed)?, mine.clone(), bench.again(&released)?]);
    requests.push(bench.fresh()?);
    let outcomes = bench.claim_all(&requests).await?;
    let fine = match outcomes.as_slice() {
        [first, ClaimOutcome::Busy { lease_left }, third, fourth, fifth, sixth, last] => {
            let completed = ClaimOutcome::Completed { status: 203, fingerprint: done.fingerprint };
            *lease_left > LONG / 2
                && *lease_left <= LONG
                && *third == completed
                && [first, fourth, fifth, sixth, last]
                    .into_iter()
                    .zip([1, 2, 1, 2, 1])
                    .all(|(outcome, attempt)| *outcome == ClaimOutcome::Won { attempt })
        }
        _ => false,
    };
    let expected = "Won 1, Busy, Completed 203, Won 2, Won 1, Won 2, Won 1";
    is(fine, "claim_all", expected, outcomes)?;
    bench.is_busy(&absent, LONG, "another, after claim_all").await?;
    bench.is_busy(&busy, LONG, "another, after claim_all").await?;
    bench.is_shut_out(&lapsed, "the former holder, after claim_all").await?;
    for request in [&requests[0], &requests[3], &requests[4], &requests[5]] {
        bench.applies(request, Call::Complete(200), "a holder of claim_all").await?;
    }
    Ok(())
}

/// Each key of a batch keeps its own lease, lifetime and rule for expired leases, be it absent,
/// released or expired.
pub(super) async fn claims_of_different_terms<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let lapsed = [bench.brief()?, bench.brief()?];
    for request in &lapsed {
        bench.wins(request, 1, "the first").await?;
    }
    bench.lapse().await;
    let mut requests = vec![
        bench.again(&lapsed[0])?,
        bench.again(&lapsed[1])?.on_lease_expiry(OnLeaseExpiry::Hold),
    ];
    for released in [false, true] {
        for (lease, ttl, rule) in [
            (LONG, HOUR, OnLeaseExpiry::TakeOver),
            (bench.short(), bench.life(), OnLeaseExpiry::TakeOver),
            (bench.short(), HOUR, OnLeaseExpiry::Hold),
        ] {
            let request = bench.fleeting()?;
            if released {
                bench.wins(&request, 1, "the first").await?;
                bench.applies(&request, Call::Release, "the holder").await?;
            }
            let next = bench.request(request.key, lease, ttl)?;
            requests.push(next.on_lease_expiry(rule));
        }
    }
    let outcomes = bench.claim_all(&requests).await?;
    for (number, outcome) in outcomes.into_iter().enumerate() {
        let when = format!("number {number} of claims on different terms");
        let (expected, right) = if number == 1 {
            ("Busy", matches!(outcome, ClaimOutcome::Busy { .. }))
        } else {
            ("Won", matches!(outcome, ClaimOutcome::Won { .. }))
        };
        is(right, &when, expected, outcome)?;
    }
    bench.expire().await;
    for claims in [&requests[2..5], &requests[5..]] {
        let [long, brief, held] = claims else {
            return Err("three on each terms".to_owned());
        };
        bench.is_busy(long, LONG, "the long lease of several").await?;
        let next = bench.again(brief)?.on_lease_expiry(OnLeaseExpiry::Hold);
        bench.wins_anew(&next, "the short life of several").await?;
        let next = bench.again(held)?.on_lease_expiry(OnLeaseExpiry::Hold);
        let outcome = bench.claim(&next).await?;
        let busy = matches!(outcome, ClaimOutcome::Busy { .. });
        is(busy, "the long life of several", "Busy", outcome)?;
        let next = next.on_lease_expiry(OnLeaseExpiry::TakeOver);
        bench.wins_anew(&next, "the short lease of several").await?;
    }
    Ok(())
}

pub(super) async fn claims_of_nothing<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    bench.claim_all(&[]).await.map(drop)
}

pub(super) async fn extends_answer_in_order<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let (held, released) = settle_all_answers_in_order(bench, Call::Extend).await?;
    for request in &held {
        let left = bench.is_busy(request, LONG, "another, after extend_all");
        let left = left.await?;
        is(left > LONG / 2, "after extend_all", "most of it left", left)?;
        bench.applies(request, Call::Complete(200), "a holder of extend_all").await?;
    }
    bench.wins(&bench.again(&released)?, 2, "the next after a release").await
}

pub(super) async fn releases_answer_in_order<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let (held, released) = settle_all_answers_in_order(bench, Call::Release).await?;
    for request in held.iter().chain([&released]) {
        bench.wins(&bench.again(request)?, 2, "the next after release_all").await?;
        bench.is_shut_out(request, "the former holder, after release_all").await?;
    }
    Ok(())
}

/// A claim that was completed before keeps its own status.
pub(super) async fn completes_answer_in_order<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let call = Call::Complete(201);
    let (held, _) = settle_all_answers_in_order(bench, call).await?;
    let holders = held.each_ref().map(ClaimRequest::holder);
    for request in &held {
        bench.is_completed(request, 201, "a duplicate after complete_all").await?;
    }
    for again in [call, Call::Complete(299)] {
        let settled = settle_all(bench, &holders, again).await?;
        are_all(&settled, Settled::Applied, "complete_all again")?;
    }
    let settled = settle_all(bench, &holders, Call::Release).await?;
    are_all(&settled, Settled::Superseded, "release_all of what is completed")?;
    for request in &held {
        bench.is_completed(request, 201, "a duplicate after complete_all again").await?;
    }
    Ok(())
}

/// A completed record lives as long as the completion's lifetime or the claim's, whichever is
/// longer.
pub(super) async fn completes_are_for_their_time<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let [longer, shorter, brief] = [bench.fleeting()?, bench.brief()?, bench.fleeting()?];
    for (request, ttl) in [(&longer, HOUR), (&shorter, bench.short()), (&brief, bench.short())] {
        bench.wins(request, 1, "the first").await?;
        let holders = [request.holder()];
        let completed = bench.settle_all(&holders, Call::Complete(200), ttl);
        let settled = completed.await?;
        is(settled == [Settled::Applied], "complete_all of one", "Applied", settled)?;
    }
    bench.expire().await;
    for (request, why) in [(&longer, "complete_all"), (&shorter, "the claim")] {
        let when = format!("a duplicate within the time of {why}");
        bench.is_completed(request, 200, &when).await?;
    }
    let when = "the next after the time of complete_all";
    bench.wins_anew(&bench.again(&brief)?, when).await
}

/// Makes the call for claims in every state at once. Returns the two claims that are settled, and
/// the one that was released before.
async fn settle_all_answers_in_order<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
    call: Call,
) -> CaseResult<([ClaimRequest; 2], ClaimRequest)> {
    let [absent, theirs, done, released, mine] =
        [bench.fresh()?, bench.fresh()?, bench.fresh()?, bench.fresh()?, bench.fresh()?];
    let (taken, lapsed) = (bench.brief()?, bench.brief()?);
    let another = bench.fresh()?;
    for request in [&theirs, &done, &released, &another, &mine, &taken, &lapsed] {
        bench.wins(request, 1, "the first").await?;
    }
    bench.applies(&done, Call::Complete(203), "the holder").await?;
    for request in [&released, &another] {
        bench.applies(request, Call::Release, "the holder").await?;
    }
    // Whatever the result is, it is the same in a batch.
    let after_release = bench.call(&another.holder(), call).await?;
    bench.lapse().await;
    let taker = bench.again(&taken)?;
    bench.wins(&taker, 2, "another, after the lease").await?;
    let stranger = bench.again(&theirs)?;
    let asked = [&absent, &mine, &stranger, &done, &lapsed, &taken, &released];
    let settled = settle_all(bench, &asked.map(ClaimRequest::holder), call).await?;
    let (no, yes) = (Settled::Superseded, Settled::Applied);
    let done_again = match call {
        Call::Complete(_) => yes,
        Call::Release | Call::Extend => no,
    };
    let expected = [no, yes, no, done_again, yes, no, after_release];
    let when = format!("{call:?} of several");
    is(settled == expected, &when, &format!("{expected:?}"), settled)?;
    bench.wins(&absent, 1, "the first, as nothing was written").await?;
    for held in [&theirs, &taker] {
        bench.is_busy(held, LONG, &when).await?;
        bench.applies(held, Call::Complete(200), &when).await?;
    }
    bench.is_completed(&done, 203, &when).await?;
    Ok(([mine, lapsed], released))
}

pub(super) async fn extends_of_nothing<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    settle_all(bench, &[], Call::Extend).await.map(drop)
}

pub(super) async fn releases_of_nothing<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    settle_all(bench, &[], Call::Release).await.map(drop)
}

pub(super) async fn completes_of_nothing<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    settle_all(bench, &[], Call::Complete(200)).await.map(drop)
}

/// A batch of one owner. Every third claim is released. The others are renewed, and then completed.
pub(super) async fn a_thousand_keys_of_one_owner<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let [one, another] = [bench.fresh()?, bench.fresh()?].map(|request| request.owner);
    let mut requests = Vec::new();
    for _ in 0..1000 {
        let mut request = bench.fresh()?;
        request.owner = one;
        requests.push(request);
    }
    let mut others = requests.clone();
    for request in &mut others {
        request.owner = another;
    }
    let holders: Vec<_> = requests.iter().map(ClaimRequest::holder).collect();
    let strangers: Vec<_> = others.iter().map(ClaimRequest::holder).collect();
    let thirds: Vec<_> = holders.iter().copied().step_by(3).collect();

    for outcome in bench.claim_all(&requests).await? {
        let won = outcome == ClaimOutcome::Won { attempt: 1 };
        is(won, "one of a thousand", "Won 1", outcome)?;
    }
    for call in [Call::Extend, Call::Release, Call::Complete(299)] {
        let settled = settle_all(bench, &strangers, call).await?;
        are_all(&settled, Settled::Superseded, "a stranger to a thousand")?;
    }
    let settled = settle_all(bench, &thirds, Call::Release).await?;
    are_all(&settled, Settled::Applied, "every third, Release")?;
    let renewed = settle_all(bench, &holders, Call::Extend).await?;
    for (index, settled) in renewed.into_iter().enumerate() {
        let expected = if index % 3 == 0 { Settled::Superseded } else { Settled::Applied };
        let when = format!("number {index} of a thousand, Extend");
        is(settled == expected, &when, &format!("{expected:?}"), settled)?;
    }
    for (index, outcome) in bench.claim_all(&others).await?.into_iter().enumerate() {
        let (expected, right) = match index % 3 {
            0 => ("Won 2", outcome == ClaimOutcome::Won { attempt: 2 }),
            _ => ("Busy", matches!(outcome, ClaimOutcome::Busy { .. })),
        };
        let when = format!("number {index} of a thousand, claimed by another");
        is(right, &when, expected, outcome)?;
    }
    let completed = settle_all(bench, &holders, Call::Complete(201)).await?;
    for (index, settled) in completed.into_iter().enumerate() {
        let expected = if index % 3 == 0 { Settled::Superseded } else { Settled::Applied };
        let when = format!("number {index} of a thousand, Complete");
        is(settled == expected, &when, &format!("{expected:?}"), settled)?;
    }
    for (index, outcome) in bench.claim_all(&others).await?.into_iter().enumerate() {
        let (expected, right) = match index % 3 {
            0 => ("Won 2", outcome == ClaimOutcome::Won { attempt: 2 }),
            _ => ("Completed 201", matches!(outcome, ClaimOutcome::Completed { status: 201, .. })),
        };
        let when = format!("number {index} of a thousand, after the rest is completed");
        is(right, &when, expected, outcome)?;
    }
    Ok(())
}

pub(super) async fn keys_one_bit_apart_do_not_meet<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let base = random()?;
    let mut requests = vec![bench.request(ClaimKey::from(base), LONG, HOUR)?];
    for bit in 0..256 {
        let mut key = base;
        key[bit / 8] ^= 1 << (bit % 8);
        requests.push(bench.request(ClaimKey::from(key), LONG, HOUR)?);
    }
    for outcome in bench.claim_all(&requests).await? {
        let won = outcome == ClaimOutcome::Won { attempt: 1 };
        is(won, "a key one bit from another", "Won 1", outcome)?;
    }
    bench.applies(&requests[0], Call::Complete(200), "the holder of one").await?;
    let others = requests[1..].iter().map(|request| bench.again(request));
    for outcome in bench.claim_all(&others.collect::<CaseResult<Vec<_>>>()?).await? {
        let busy = matches!(outcome, ClaimOutcome::Busy { .. });
        is(busy, "a key one bit from what is completed", "Busy", outcome)?;
    }
    Ok(())
}

/// Keys are digests, so they may contain any bytes, including those that are special in text.
pub(super) async fn any_byte_is_fit_for_a_key<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let hard: [&[u8]; 6] =
        [&[0; 16], &[0xff; 16], b"'; -- \"\\\r\n%_*?", b"{a}{b}:{}", b" \t\n ", &[0x80; 16]];
    let mut requests = Vec::new();
    for part in hard {
        for at in [0, 16] {
            let mut key = random()?;
            key[at..at + part.len()].copy_from_slice(part);
            requests.push(bench.request(ClaimKey::from(key), LONG, HOUR)?);
        }
    }
    for (index, request) in requests.iter_mut().enumerate() {
        let bytes = [[0; 32], [0xff; 32], [b'\''; 32]];
        request.fingerprint.0 = bytes[index % bytes.len()];
        bench.wins(request, 1, "the first").await?;
        bench.applies(request, Call::Complete(200), "the holder").await?;
    }
    for request in &requests {
        bench.is_completed(request, 200, "a duplicate").await?;
        let forgot = bench.store.forget(&request.key).await.map_err(failed)?;
        is(forgot, "forget", "true", forgot)?;
    }
    Ok(())
}

/// 64 claims of one key race in every state of its record.
pub(super) async fn racing_claims_have_one_winner<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let first = bench.fresh()?;
    let winner = race(bench, &first, 1, "a race for an absent key").await?;
    bench.applies(&winner, Call::Release, "the winner").await?;
    let winner = race(bench, &first, 2, "a race after a release").await?;
    bench.applies_for(&winner, Call::Extend, bench.short(), "the winner").await?;
    bench.lapse().await;
    let last = race(bench, &first, 3, "a race after the lease").await?;
    bench.is_shut_out(&winner, "the winner before").await?;
    bench.applies(&last, Call::Complete(200), "the winner").await?;
    let outcomes = racers(bench, &first).await?;
    for (_, outcome) in outcomes {
        let done = matches!(outcome, ClaimOutcome::Completed { status: 200, .. });
        is(done, "a race for what is completed", "Completed", outcome)?;
    }
    Ok(())
}

/// Returns the winner among many claims of one key.
async fn race<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
    key: &ClaimRequest,
    attempt: u64,
    when: &str,
) -> CaseResult<ClaimRequest> {
    let mut winners = Vec::new();
    for (request, outcome) in racers(bench, key).await? {
        match outcome {
            ClaimOutcome::Won { attempt: number } if number == attempt => winners.push(request),
            ClaimOutcome::Busy { .. } => {}
            ClaimOutcome::Won { .. } | ClaimOutcome::Completed { .. } => {
                is(false, when, &format!("Won {attempt} or Busy"), outcome)?;
            }
        }
    }
    let count = winners.len();
    match winners.pop() {
        Some(winner) if count == 1 => Ok(winner),
        _ => Err(format!("{when}: expected one winner, got {count}")),
    }
}

async fn racers<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
    key: &ClaimRequest,
) -> CaseResult<Vec<(ClaimRequest, ClaimOutcome)>> {
    let mut requests = Vec::new();
    for _ in 0..RACERS {
        requests.push(bench.again(key)?);
    }
    let outcomes = join_all(requests.iter().map(|request| bench.claim(request))).await;
    let outcomes: Vec<_> = outcomes.into_iter().collect::<CaseResult<_>>()?;
    Ok(requests.into_iter().zip(outcomes).collect())
}

fn are_all(results: &[Settled], expected: Settled, when: &str) -> CaseResult {
    let mut results = results.iter();
    results.try_for_each(|got| is(*got == expected, when, &format!("{expected:?}"), got))
}

/// Makes the call for all holders. Extensions use long leases.
async fn settle_all<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
    holders: &[Holder],
    call: Call,
) -> CaseResult<Vec<Settled>> {
    let time = if call == Call::Extend { LONG } else { HOUR };
    bench.settle_all(holders, call, time).await
}
