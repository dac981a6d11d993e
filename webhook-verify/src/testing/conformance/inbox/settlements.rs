//! Settlements, and the states that follow.

use std::time::Duration;

use super::bench::{Bench, CaseResult, LONG, failed, is, settlement, verdicts};
use crate::{
    claim::{Owner, Settled},
    inbox::{EntryHolder, EntryState, InboxStore, Verdict},
};

/// Returns the state that follows a verdict.
fn state_of(verdict: &Verdict) -> EntryState {
    match verdict {
        Verdict::Done => EntryState::Done,
        Verdict::Discarded => EntryState::Discarded,
        Verdict::Retry { .. } | Verdict::Released => EntryState::Waiting,
        Verdict::Dead { .. } => EntryState::Dead,
    }
}

pub(super) async fn each_verdict_has_its_state<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    for verdict in &verdicts(LONG) {
        let event = bench.has_stored(1).await?.remove(0);
        let holder = bench.leases_one(&bench.request(1)?, &event, 1, "a new event").await?;
        bench.settles(&holder, verdict, "its owner").await?;
        let when = format!("{verdict:?}");
        let entry = bench.is_in(&event, state_of(verdict), 1, &when).await?;
        let error = match verdict {
            Verdict::Retry { error, .. } | Verdict::Dead { error } => Some(error.as_str()),
            Verdict::Done | Verdict::Discarded | Verdict::Released => None,
        };
        is(entry.error.as_deref() == error, &when, &format!("{error:?}"), &entry)?;
        if *verdict == Verdict::Released {
            // The next verdict's event would not be the first.
            bench.processes(&event, 2).await?;
        }
    }
    Ok(())
}

pub(super) async fn a_retry_is_due_later<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = bench.has_stored(4).await?;
    let all: Vec<_> = events.iter().collect();
    let holders = bench.leases(&bench.request(9)?, &all, 1, "new events").await?;
    let ten_years = Duration::from_secs(10 * 365 * 24 * 3600);
    let delays = [Duration::ZERO, bench.short(), LONG, ten_years];
    for (after, holder) in delays.into_iter().zip(&holders) {
        let error = "not now".to_owned();
        bench.settles(holder, &Verdict::Retry { after, error }, "its owner").await?;
    }
    let again = bench.leases_one(&bench.request(1)?, &events[0], 2, "a retry at once").await?;
    let entry = bench.is_in(&events[0], EntryState::Running, 2, "a retry at once").await?;
    let right = entry.error.as_deref() == Some("not now");
    is(right, "a retry in progress", "the last error", &entry)?;
    bench.settles(&again, &Verdict::Done, "its owner").await?;
    bench.lapse().await;
    let leased = bench.leases(&bench.request(9)?, &[&events[1]], 2, "a retry soon").await?;
    bench.settles(&leased[0], &Verdict::Done, "its owner").await?;
    for (after, event) in delays.into_iter().zip(&events).skip(2) {
        let entry = bench.is_in(event, EntryState::Waiting, 1, "a retry later").await?;
        let due_in = entry.due_at.saturating_sub(entry.received_at);
        let right = due_in + Duration::from_secs(1) >= after;
        is(right, "a retry later", &format!("due in {after:?}"), due_in)?;
    }
    Ok(())
}

pub(super) async fn released_entries_are_due<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let event = bench.has_stored(1).await?.remove(0);
    let holder = bench.leases_one(&bench.request(1)?, &event, 1, "a new event").await?;
    let retry = Verdict::Retry { after: Duration::ZERO, error: "before".to_owned() };
    bench.settles(&holder, &retry, "its owner").await?;
    let holder = bench.leases_one(&bench.request(1)?, &event, 2, "a retry").await?;
    bench.settles(&holder, &Verdict::Released, "its owner").await?;
    let entry = bench.is_in(&event, EntryState::Waiting, 2, "a released entry").await?;
    let right = entry.error.as_deref() == Some("before");
    is(right, "a released entry", "the error of the last failure", &entry)?;
    bench.leases_one(&bench.request(1)?, &event, 3, "a released entry").await.map(drop)
}

/// The error of the last attempt that failed stays, whatever follows.
pub(super) async fn errors_stay<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let retry = Verdict::Retry { after: Duration::ZERO, error: "before".to_owned() };
    for verdict in [Verdict::Done, Verdict::Discarded] {
        let event = bench.has_stored(1).await?.remove(0);
        for (attempt, verdict) in [(1, &retry), (2, &verdict)] {
            let request = bench.request(1)?;
            let holder = bench.leases_one(&request, &event, attempt, "its turn").await?;
            bench.settles(&holder, verdict, "its owner").await?;
        }
        let when = format!("{verdict:?} after an error");
        let entry = bench.is_in(&event, state_of(&verdict), 2, &when).await?;
        let right = entry.error.as_deref() == Some("before");
        is(right, &when, "the error of the last failure", &entry)?;
    }
    Ok(())
}

pub(super) async fn a_second_settlement_changes_nothing<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    for verdict in &verdicts(LONG) {
        let event = bench.has_stored(1).await?.remove(0);
        let holder = bench.leases_one(&bench.request(1)?, &event, 1, "a new event").await?;
        bench.settles(&holder, verdict, "its owner").await?;
        bench.is_shut_out(&event, &holder, &format!("the owner after {verdict:?}")).await?;
        if *verdict == Verdict::Released {
            bench.processes(&event, 2).await?;
        }
    }
    Ok(())
}

pub(super) async fn former_owners_settle_nothing<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let event = bench.has_stored(1).await?.remove(0);
    let mut former = bench.leases_one(&bench.brief(1)?, &event, 1, "the first").await?;
    for attempt in 2..4 {
        bench.lapse().await;
        let next = bench.leases_one(&bench.brief(1)?, &event, attempt, "the next").await?;
        bench.is_shut_out(&event, &former, "the former owner").await?;
        former = next;
    }
    bench.lapse().await;
    let last = bench.leases_one(&bench.request(1)?, &event, 4, "the last").await?;
    let stranger = EntryHolder { owner: Owner::random().map_err(failed)?, ..last.clone() };
    for holder in [&former, &stranger] {
        bench.is_shut_out(&event, holder, "another owner").await?;
    }
    bench.leases_nothing("the last lease").await?;
    bench.settles(&last, &Verdict::Done, "the last owner").await
}

pub(super) async fn a_late_settlement_counts_if_nobody_took_over<
    S: InboxStore,
    A: AsyncFn(Duration),
>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let verdicts = verdicts(LONG);
    let events = bench.has_stored(verdicts.len()).await?;
    let all: Vec<_> = events.iter().collect();
    let holders = bench.leases(&bench.brief(9)?, &all, 1, "short leases").await?;
    bench.lapse().await;
    for ((verdict, holder), event) in verdicts.iter().zip(&holders).zip(&events) {
        bench.settles(holder, verdict, "the owner, late").await?;
        bench.is_in(event, state_of(verdict), 1, "a late settlement").await?;
    }
    Ok(())
}

/// One call with all verdicts, and holders that are not owners.
pub(super) async fn settlements_in_order<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    bench.settle_all(&[]).await?;
    let events = bench.has_stored(20).await?;
    let all: Vec<_> = events.iter().collect();
    let mut holders = bench.leases(&bench.request(20)?, &all, 1, "twenty").await?;
    for holder in holders.iter_mut().step_by(3) {
        holder.owner = Owner::random().map_err(failed)?;
    }
    let verdicts = verdicts(LONG);
    let mut settlements = Vec::new();
    for (index, holder) in holders.iter().enumerate() {
        let mut verdict = verdicts[index % verdicts.len()].clone();
        if let Verdict::Retry { error, .. } | Verdict::Dead { error } = &mut verdict {
            *error = format!("error {index}");
        }
        settlements.push(settlement(holder, &verdict));
    }
    settlements.reverse();
    let mut settled = bench.settle_all(&settlements).await?;
    settled.reverse();
    for (index, settled) in settled.into_iter().enumerate() {
        let is_stranger = index % 3 == 0;
        let expected = if is_stranger { Settled::Superseded } else { Settled::Applied };
        let when = format!("number {index} of twenty");
        is(settled == expected, &when, &format!("{expected:?}"), settled)?;
        let verdict = &verdicts[index % verdicts.len()];
        let state = if is_stranger { EntryState::Running } else { state_of(verdict) };
        let entry = bench.is_in(&events[index], state, 1, &when).await?;
        if let (false, Verdict::Retry { .. } | Verdict::Dead { .. }) = (is_stranger, verdict) {
            let error = format!("error {index}");
            is(entry.error.as_ref() == Some(&error), &when, &error, &entry)?;
        }
    }
    Ok(())
}
