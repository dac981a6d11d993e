//! Responses that are stored with completed claims.

use std::time::Duration;

use super::bench::{Bench, Call, CaseResult, HOUR};
use crate::claim::{ClaimStore, StoredResponse};

fn response(content_type: &str, body: &[u8]) -> CaseResult<StoredResponse> {
    StoredResponse::new(content_type, body).ok_or_else(|| "no response".to_owned())
}

pub(super) async fn a_response_is_kept<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let every_byte: Vec<_> = (0..=255).collect();
    let mut kept = Vec::new();
    for response in [
        response("text/xml", b"<Response/>")?,
        response("text/plain", b"")?,
        response("", &every_byte)?,
        response(&"x".repeat(255), &every_byte.repeat(256))?,
    ] {
        let request = bench.brief()?;
        bench.has_response(&request, None, "an absent key").await?;
        bench.wins(&request, 1, "the first").await?;
        bench.has_response(&request, None, "a claim in progress").await?;
        // The second call repeats the first.
        for _ in 0..2 {
            bench.applies_with(&request, 201, HOUR, &response, "the holder").await?;
            bench.is_completed(&request, 201, "a duplicate").await?;
            bench.has_response(&request, Some(&response), "a duplicate").await?;
        }
        kept.push((request, response));
    }
    bench.lapse().await;
    for (request, response) in kept {
        bench.has_response(&request, Some(&response), "a duplicate after the lease").await?;
    }
    Ok(())
}

pub(super) async fn a_response_may_follow_the_completion<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let (request, response) = (bench.fresh()?, response("text/plain", b"late")?);
    bench.wins(&request, 1, "the first").await?;
    bench.applies(&request, Call::Complete(200), "the holder").await?;
    bench.has_response(&request, None, "a claim without a response").await?;
    bench.applies_with(&request, 202, HOUR, &response, "its holder").await?;
    bench.is_completed(&request, 200, "a duplicate").await?;
    bench.has_response(&request, Some(&response), "a duplicate").await
}

pub(super) async fn a_strangers_response_does_not_count<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let (own, other) = (response("text/plain", b"own")?, response("text/plain", b"other")?);
    let (first, absent) = (bench.fresh()?, bench.fresh()?);
    bench.is_superseded_with(&absent, &other, "an absent key").await?;
    bench.wins(&first, 1, "the first").await?;
    bench.applies(&first, Call::Release, "the holder").await?;
    let second = bench.again(&first)?;
    bench.wins(&second, 2, "the next after a release").await?;
    for stranger in [&first, &bench.again(&first)?] {
        bench.is_superseded_with(stranger, &other, "a claim of another owner").await?;
        bench.has_response(&second, None, "a claim in progress").await?;
    }
    bench.applies_with(&second, 200, HOUR, &own, "the holder").await?;
    for stranger in [&first, &bench.again(&first)?] {
        bench.is_superseded_with(stranger, &other, "another owner's completed claim").await?;
        bench.has_response(&second, Some(&own), "a duplicate").await?;
    }
    Ok(())
}

pub(super) async fn a_response_ends_with_its_record<S: ClaimStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let response = response("text/plain", b"first")?;
    for expires in [true, false] {
        let first = bench.fleeting()?;
        bench.wins_anew(&first, "the first").await?;
        bench.applies_with(&first, 200, bench.life(), &response, "the holder").await?;
        bench.has_response(&first, Some(&response), "a duplicate").await?;
        if expires {
            bench.expire().await;
        } else {
            bench.forget(&first).await?;
        }
        bench.has_response(&first, None, "a record that is gone").await?;
        let next = bench.again(&first)?;
        bench.wins_anew(&next, "the next").await?;
        bench.has_response(&next, None, "the next claim").await?;
        bench.applies(&next, Call::Complete(201), "its holder").await?;
        bench.has_response(&next, None, "the next claim, without a response").await?;
    }
    Ok(())
}
