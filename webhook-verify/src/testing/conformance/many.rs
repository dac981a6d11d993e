//! Several claims at once, and keys that are close to each other.

use std::time::Duration;

use super::bench::{Bench, Call, Checked, HOUR, LONG, failed, is, join_all, random};
use crate::{
    ClaimKey, ClaimStore,
    idempotency::{ClaimOutcome, ClaimRequest, Settled},
};

/// How many claim the same key at once.
const RACERS: usize = 64;

pub(super) async fn claim_all_answers_in_order<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> Checked {
    let [absent, busy, done, released, mine] = [
        bench.fresh()?,
        bench.fresh()?,
        bench.fresh()?,
        bench.fresh()?,
        bench.fresh()?,
    ];
    let lapsed = bench.brief()?;
    for request in [&busy, &done, &released, &mine, &lapsed] {
        bench.wins(request, 1, "the first").await?;
    }
    bench
        .applies(&done, Call::Complete(203), "the holder")
        .await?;
    bench
        .applies(&released, Call::Release, "the holder")
        .await?;
    bench.lapse().await;
    let mut requests = vec![absent.clone(), bench.again(&busy)?, bench.again(&done)?];
    requests.extend([bench.again(&lapsed)?, mine.clone(), bench.again(&released)?]);
    requests.push(bench.fresh()?);
    let outcomes = claim_all(bench, &requests).await?;
    let fine = match outcomes.as_slice() {
        [
            first,
            ClaimOutcome::Busy { lease_left },
            third,
            fourth,
            fifth,
            sixth,
            last,
        ] => {
            let completed = ClaimOutcome::Completed {
                status: 203,
                fingerprint: done.fingerprint,
            };
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
    bench
        .is_busy(&absent, LONG, "another, after claim_all")
        .await?;
    bench
        .is_busy(&busy, LONG, "another, after claim_all")
        .await?;
    bench
        .is_shut_out(&lapsed, "who lapsed, after claim_all")
        .await?;
    for request in [&requests[0], &requests[3], &requests[4], &requests[5]] {
        bench
            .applies(request, Call::Complete(200), "a holder of claim_all")
            .await?;
    }
    Ok(())
}

pub(super) async fn claim_all_of_nothing<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> Checked {
    claim_all(bench, &[]).await?;
    Ok(())
}

pub(super) async fn keys_one_bit_apart_do_not_meet<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> Checked {
    let base = random()?;
    let mut requests = vec![bench.request(ClaimKey::from(base), LONG, HOUR)?];
    for bit in 0..256 {
        let mut key = base;
        key[bit / 8] ^= 1 << (bit % 8);
        requests.push(bench.request(ClaimKey::from(key), LONG, HOUR)?);
    }
    for outcome in claim_all(bench, &requests).await? {
        let won = outcome == ClaimOutcome::Won { attempt: 1 };
        is(won, "a key one bit from another", "Won 1", outcome)?;
    }
    bench
        .applies(&requests[0], Call::Complete(200), "the holder of one")
        .await?;
    let others = requests[1..].iter().map(|request| bench.again(request));
    for outcome in claim_all(bench, &others.collect::<Checked<Vec<_>>>()?).await? {
        let busy = matches!(outcome, ClaimOutcome::Busy { .. });
        is(
            busy,
            "a key one bit from what is completed",
            "Busy",
            outcome,
        )?;
    }
    Ok(())
}

/// Keys are digests: to a store that writes them as text, they hold the worst.
pub(super) async fn any_byte_is_fit_for_a_key<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> Checked {
    let hard: [&[u8]; 6] = [
        &[0; 16],
        &[0xff; 16],
        b"'; -- \"\\\r\n%_*?",
        b"{a}{b}:{}",
        b" \t\n ",
        &[0x80; 16],
    ];
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
        bench
            .applies(request, Call::Complete(200), "the holder")
            .await?;
    }
    for request in &requests {
        bench.is_completed(request, 200, "a duplicate").await?;
        let forgot = bench.store.forget(&request.key).await.map_err(failed)?;
        is(forgot, "forget", "true", forgot)?;
    }
    Ok(())
}

/// 64 claims of one key at once, in every state that it may have.
pub(super) async fn racing_claims_have_one_winner<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> Checked {
    let first = bench.fresh()?;
    let winner = race(bench, &first, 1, "a race for an absent key").await?;
    bench.applies(&winner, Call::Release, "the winner").await?;
    let winner = race(bench, &first, 2, "a race after a release").await?;
    let holder = winner.holder();
    let lapsing = bench.call_for(&holder, Call::Extend, bench.short());
    let settled = lapsing.await?;
    is(
        settled == Settled::Applied,
        "the winner",
        "Applied",
        settled,
    )?;
    bench.lapse().await;
    let last = race(bench, &first, 3, "a race after the lease").await?;
    bench.is_shut_out(&winner, "the winner before").await?;
    bench
        .applies(&last, Call::Complete(200), "the winner")
        .await?;
    let outcomes = racers(bench, &first).await?;
    for (_, outcome) in outcomes {
        let done = matches!(outcome, ClaimOutcome::Completed { status: 200, .. });
        is(done, "a race for what is completed", "Completed", outcome)?;
    }
    Ok(())
}

/// Who won, of many that claim a key at once.
async fn race<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
    key: &ClaimRequest,
    attempt: u64,
    when: &str,
) -> Checked<ClaimRequest> {
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
) -> Checked<Vec<(ClaimRequest, ClaimOutcome)>> {
    let mut requests = Vec::new();
    for _ in 0..RACERS {
        requests.push(bench.again(key)?);
    }
    let outcomes = join_all(requests.iter().map(|request| bench.claim(request))).await;
    let outcomes: Vec<_> = outcomes.into_iter().collect::<Checked<_>>()?;
    Ok(requests.into_iter().zip(outcomes).collect())
}

/// As many outcomes as requests.
async fn claim_all<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
    requests: &[ClaimRequest],
) -> Checked<Vec<ClaimOutcome>> {
    let outcomes = bench.store.claim_all(requests).await.map_err(failed)?;
    let (asked, told) = (requests.len(), outcomes.len());
    is(
        asked == told,
        "claim_all",
        &format!("{asked} outcomes"),
        told,
    )?;
    Ok(outcomes)
}
