//! Leases: which entries, for how long, and to whom.

use std::{slice, time::Duration};

use super::bench::{Bench, CaseResult, LONG, holder, is, join_all};
use crate::{
    claim::Owner,
    inbox::{EntryHolder, EntryState, Extended, InboxStore, LeaseRequest, Verdict},
};

/// The number of calls in a race.
const RACERS: usize = 16;

pub(super) async fn lease_up_to_max<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    bench.leases_nothing("an empty inbox").await?;
    let events = bench.has_stored(5).await?;
    let all: Vec<_> = events.iter().collect();
    bench.leases(&bench.request(0)?, &[], 1, "no entries").await?;
    bench.leases(&bench.request(2)?, &all[..2], 1, "two of five").await?;
    bench.leases(&bench.request(2)?, &all[2..4], 1, "two of three").await?;
    bench.leases(&bench.request(2)?, &all[4..], 1, "two of one").await?;
    bench.leases_nothing("leased entries").await
}

pub(super) async fn longest_due_first<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = bench.has_stored(4).await?;
    let [a, b, c, d] = [&events[0], &events[1], &events[2], &events[3]];
    let first = bench.leases_one(&bench.brief(1)?, a, 1, "equal times, by number").await?;
    bench.lapse().await;
    // Its lease ended when the others were due for long.
    bench.leases_one(&bench.brief(1)?, b, 1, "the others first").await?;
    let retry = Verdict::Retry { after: Duration::ZERO, error: "again".to_owned() };
    bench.settles(&first, &retry, "the first").await?;
    bench.lapse().await;
    let later = bench.has_stored(1).await?.remove(0);
    let leased = bench.lease(&bench.request(9)?).await?;
    let keys: Vec<_> = leased.events.iter().map(|leased| leased.event.key).collect();
    // The retry is due before the lease of `b` ends, and `later` is the last.
    let expected = super::bench::keys(&[c, d, a, b, &later]).collect::<Vec<_>>();
    is(keys == expected, "five entries", "the longest due first", &leased.events)
}

pub(super) async fn attempts_rise_by_one<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let event = bench.has_stored(1).await?.remove(0);
    for attempt in 1..=4 {
        let holder = bench.leases_one(&bench.request(1)?, &event, attempt, "a lease").await?;
        bench.is_in(&event, EntryState::Running, attempt, "a leased entry").await?;
        bench.extends(&holder, LONG, "its owner").await?;
        bench.is_in(&event, EntryState::Running, attempt, "an extended lease").await?;
        let verdict = match attempt {
            1 | 3 => Verdict::Released,
            _ => Verdict::Retry { after: Duration::ZERO, error: "again".to_owned() },
        };
        bench.settles(&holder, &verdict, "its owner").await?;
        bench.is_in(&event, EntryState::Waiting, attempt, "a settled entry").await?;
    }
    bench.leases_one(&bench.brief(1)?, &event, 5, "the fifth").await?;
    bench.lapse().await;
    bench.leases_one(&bench.request(1)?, &event, 6, "the sixth").await.map(drop)
}

pub(super) async fn not_due_yet<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = bench.has_stored(4).await?;
    let all: Vec<_> = events.iter().collect();
    let holders = bench.leases(&bench.request(4)?, &all, 1, "new events").await?;
    let error = || "no".to_owned();
    bench.settles(&holders[0], &Verdict::Retry { after: LONG, error: error() }, "one").await?;
    bench.settles(&holders[1], &Verdict::Done, "one").await?;
    bench.settles(&holders[2], &Verdict::Discarded, "one").await?;
    bench.settles(&holders[3], &Verdict::Dead { error: error() }, "one").await?;
    bench.lapse().await;
    bench.leases_nothing("a retry later, done, discarded and dead").await?;
    let entry = bench.entry(&events[0], super::bench::CONSUMER).await?;
    let right = entry.due_at > entry.received_at + LONG / 2;
    is(right, "a retry later", "a later time", &entry)
}

pub(super) async fn expired_leases_are_leased_again<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = bench.has_stored(2).await?;
    let (first, kept) = (&events[0], &events[1]);
    let old = bench.leases_one(&bench.brief(1)?, first, 1, "the first").await?;
    bench.leases_one(&bench.request(1)?, kept, 1, "a long lease").await?;
    bench.lapse().await;
    bench.is_in(first, EntryState::Running, 1, "an expired lease").await?;
    let new = bench.leases_one(&bench.request(9)?, first, 2, "an expired lease").await?;
    bench.is_shut_out(first, &old, "the former owner").await?;
    bench.leases_nothing("leased entries").await?;
    bench.settles(&new, &Verdict::Done, "the new owner").await?;
    bench.is_shut_out(first, &old, "the former owner of a done entry").await
}

pub(super) async fn exhausted_entries_are_settled_as_dead<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = bench.has_stored(3).await?;
    let all: Vec<_> = events.iter().collect();
    let twice = |request: LeaseRequest| LeaseRequest { max_attempts: 2, ..request };
    bench.leases(&twice(bench.brief(9)?), &all, 1, "the first attempt").await?;
    bench.lapse().await;
    let last = bench.leases(&twice(bench.brief(9)?), &all, 2, "the last attempt").await?;
    bench.lapse().await;
    bench.exhausts(&twice(bench.request(0)?), &[], "no entries").await?;
    // They count towards the maximum.
    let new = bench.has_stored(1).await?.remove(0);
    let mut dead = bench.exhausts(&twice(bench.request(2)?), &all[..2], "two of three").await?;
    let request = twice(bench.request(9)?);
    let leased = bench.lease(&request).await?;
    let right = leased.exhausted.len() == 1
        && leased.exhausted[0].1 == all[2].event.key
        && leased.events.len() == 1
        && leased.events[0].event.key == new.event.key;
    is(right, "the third and a new one", "one exhausted and one leased", &leased)?;
    let right = (leased.exhausted[0].0, leased.exhausted[0].2) == (last[2].number, 2);
    is(right, "an exhausted entry", "its number and 2 attempts", &leased)?;
    dead.push(EntryHolder { owner: request.owner, ..last[2].clone() });
    bench.leases_nothing("exhausted entries").await?;
    for ((event, former), owner) in events.iter().zip(&last).zip(&dead) {
        bench.is_in(event, EntryState::Running, 2, "an exhausted entry").await?;
        bench.is_shut_out(event, former, "the owner of the last attempt").await?;
        let verdict = Verdict::Dead { error: "the lease has expired".to_owned() };
        bench.settles(owner, &verdict, "the owner of an exhausted entry").await?;
        let entry = bench.is_in(event, EntryState::Dead, 2, "a dead entry").await?;
        let says = entry.error.as_deref() == Some("the lease has expired");
        is(says, "a dead entry", "its error", &entry)?;
    }
    bench.leases_nothing("dead entries").await
}

/// The reply was lost, or the worker has died, before the entry was settled as dead.
pub(super) async fn exhausted_entries_are_returned_again<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let event = bench.has_stored(1).await?.remove(0);
    let once = |request: LeaseRequest| LeaseRequest { max_attempts: 1, ..request };
    bench.leases_one(&once(bench.brief(1)?), &event, 1, "the only attempt").await?;
    let mut former = None;
    for _ in 0..3 {
        bench.lapse().await;
        let request = once(bench.brief(1)?);
        let owner = bench.exhausts(&request, &[&event], "the end of the last lease").await?;
        if let Some(former) = former.replace(owner[0].clone()) {
            bench.is_shut_out(&event, &former, "the former owner").await?;
        }
    }
    bench.lapse().await;
    // The limit is that of the request.
    let more = LeaseRequest { max_attempts: 2, ..bench.brief(1)? };
    bench.leases_one(&more, &event, 2, "a request with more attempts").await?;
    bench.lapse().await;
    let more = LeaseRequest { max_attempts: 3, ..bench.request(1)? };
    bench.leases_one(&more, &event, 3, "a request with still more attempts").await.map(drop)
}

pub(super) async fn waiting_entries_have_another_attempt<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let event = bench.has_stored(1).await?.remove(0);
    let once = |request: LeaseRequest| LeaseRequest { max_attempts: 1, ..request };
    let holder = bench.leases_one(&once(bench.request(1)?), &event, 1, "the first").await?;
    bench.settles(&holder, &Verdict::Released, "its owner").await?;
    let when = "a released entry without attempts left";
    bench.leases_one(&once(bench.brief(1)?), &event, 2, when).await?;
    bench.lapse().await;
    // The limit is that of the request.
    let more = LeaseRequest { max_attempts: 3, ..bench.request(1)? };
    bench.leases_one(&more, &event, 3, "a request with more attempts").await.map(drop)
}

pub(super) async fn racing_leases_share_nothing<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = bench.has_stored(20).await?;
    for attempt in [1, 2] {
        let mut holders = Vec::new();
        // A call may skip entries that another call is about to lease.
        for _ in 0..events.len() {
            let mut requests = Vec::new();
            for _ in 0..RACERS {
                requests.push(bench.request(3)?);
            }
            let racing = requests.iter().map(|request| bench.lease(request));
            for (request, leased) in requests.iter().zip(join_all(racing).await) {
                let leased = leased?.events;
                let right = leased.iter().all(|leased| leased.attempt == attempt);
                is(right, "a race", &format!("attempt {attempt}"), &leased)?;
                holders.extend(leased.iter().map(|leased| holder(request, leased)));
            }
            if holders.len() >= events.len() {
                break;
            }
        }
        let mut numbers: Vec<_> = holders.iter().map(|holder| holder.number).collect();
        numbers.sort_unstable();
        let count = numbers.len();
        numbers.dedup();
        let right = numbers.len() == count && count == events.len();
        is(right, "a race for twenty entries", "each leased once", (numbers.len(), count))?;
        let extended = bench.extend_all(&holders, bench.short()).await?;
        let right = extended.iter().all(|extended| *extended == Extended::Renewed);
        is(right, "the owners of a race", "Renewed", extended)?;
        bench.lapse().await;
    }
    Ok(())
}

pub(super) async fn extend_counts_from_now<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let events = bench.has_stored(2).await?;
    let (longer, shorter) = (&events[0], &events[1]);
    let one = bench.leases_one(&bench.brief(1)?, longer, 1, "a short lease").await?;
    let two = bench.leases_one(&bench.request(1)?, shorter, 1, "a long lease").await?;
    bench.extends(&one, LONG, "the owner").await?;
    bench.extends(&two, bench.short(), "the owner").await?;
    bench.lapse().await;
    bench.leases(&bench.request(9)?, &[shorter], 2, "a lease cut short").await?;
    bench.extends(&one, bench.short(), "the owner again").await?;
    bench.lapse().await;
    bench.leases(&bench.request(9)?, &[longer], 2, "an extended lease, cut short").await.map(drop)
}

pub(super) async fn a_late_extension_counts_if_nobody_took_over<
    S: InboxStore,
    A: AsyncFn(Duration),
>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let event = bench.has_stored(1).await?.remove(0);
    let holder = bench.leases_one(&bench.brief(1)?, &event, 1, "a short lease").await?;
    bench.lapse().await;
    bench.extends(&holder, LONG, "the owner, late").await?;
    bench.leases_nothing("a lease that was extended late").await?;
    bench.settles(&holder, &Verdict::Done, "the owner").await
}

/// Either the owner renews its expired lease, or another owner takes over the entry.
pub(super) async fn a_lease_is_extended_or_taken_over<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    for round in 0..8 {
        let event = bench.has_stored(1).await?.remove(0);
        let holder = bench.leases_one(&bench.brief(1)?, &event, 1, "a short lease").await?;
        bench.lapse().await;
        // `None` is the extension.
        let mut steps = vec![None];
        for _ in 0..RACERS {
            steps.push(Some(bench.request(1)?));
        }
        steps.rotate_left(round % 2);
        let racing = steps.iter().map(async |step| match step {
            Some(request) => Ok(!bench.lease(request).await?.events.is_empty()),
            None => {
                let extended = bench.extend_all(slice::from_ref(&holder), LONG).await?;
                Ok(extended == [Extended::Renewed])
            }
        });
        let owns = join_all(racing).await.into_iter().collect::<CaseResult<Vec<_>>>()?;
        let owners = owns.iter().filter(|owns| **owns).count();
        is(owners <= 1, "a race for an expired lease", "one owner at most", owners)?;
        if owners == 0 {
            // Each call has found the entry locked by another.
            bench.leases_one(&bench.request(1)?, &event, 2, "after the race").await?;
        }
    }
    Ok(())
}

pub(super) async fn extensions_in_order<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    bench.extend_all(&[], LONG).await?;
    let events = bench.has_stored(9).await?;
    let all: Vec<_> = events.iter().collect();
    let mut holders = bench.leases(&bench.brief(9)?, &all, 1, "nine").await?;
    for holder in holders.iter_mut().step_by(3) {
        holder.owner = Owner::random().map_err(super::bench::failed)?;
    }
    holders.reverse();
    let extended = bench.extend_all(&holders, LONG).await?;
    for (index, extended) in extended.into_iter().enumerate() {
        let expected = if index % 3 == 2 { Extended::Lost } else { Extended::Renewed };
        let when = format!("number {index} of nine, extend");
        is(extended == expected, &when, &format!("{expected:?}"), extended)?;
    }
    bench.lapse().await;
    let expired = [all[0], all[3], all[6]];
    bench.leases(&bench.request(9)?, &expired, 2, "leases not extended").await.map(drop)
}

pub(super) async fn former_owners_extend_nothing<S: InboxStore, A: AsyncFn(Duration)>(
    bench: &Bench<'_, S, A>,
) -> CaseResult {
    let event = bench.has_stored(1).await?.remove(0);
    let owner = bench.leases_one(&bench.request(1)?, &event, 1, "the first").await?;
    let stranger =
        EntryHolder { owner: Owner::random().map_err(super::bench::failed)?, ..owner.clone() };
    bench.is_shut_out(&event, &stranger, "another owner").await?;
    let unknown = [
        EntryHolder { consumer: "c".into(), ..owner.clone() },
        EntryHolder { number: i64::MAX, ..owner.clone() },
    ];
    for extended in bench.extend_all(&unknown, LONG).await? {
        is(extended == Extended::Lost, "an unknown entry", "Lost", extended)?;
    }
    bench.settles(&owner, &Verdict::Released, "the owner").await?;
    bench.is_shut_out(&event, &owner, "the owner after its release").await
}
