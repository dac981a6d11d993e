use std::time::Duration;

use super::{
    Claim, ClaimEventKind, Settled, Step, StoreError, answer_within,
    settle::{self, holders, of_all},
};
use crate::timer::Timer;

/// Renews the leases of claims that were asked for together, each until it is lost or settled, and all until the handler has
/// had its time. Tells the handler what is lost.
pub(crate) async fn renew(claims: &[Claim], timer: impl Timer) {
    let Some(first) = claims.first() else { return };
    let (keeper, mut held) = (first.keeper(), claims.iter().collect::<Vec<_>>());
    // How long ago the handler began, and the leases were granted or renewed, at most. A claim that took its time, or a
    // handler that did before it first waited, has used up some of it already.
    let used = first.asked().elapsed();
    let (mut elapsed, mut age) = (used, used);
    let mut pause = keeper.renewal().saturating_sub(used);
    while elapsed < keeper.max_handler_time {
        timer.sleep(pause).await;
        held.retain(|claim| !claim.is_over());
        if held.is_empty() {
            return;
        }
        elapsed += pause;
        age += pause;
        // One that is being settled comes back if that is given up.
        let running: Vec<_> = held.iter().copied().filter(|it| it.is_running()).collect();
        if running.is_empty() {
            pause = keeper.renewal();
            continue;
        }
        match extend(&running, &timer).await {
            Ok(extended) => {
                age = Duration::ZERO;
                pause = keeper.renewal();
                let is_lost = |(_, extended): &(_, Settled)| *extended == Settled::Superseded;
                let lost = running.into_iter().zip(extended).filter(is_lost);
                let lost: Vec<_> = lost.map(|(claim, _)| claim).collect();
                held.retain(|claim| !lost.iter().any(|it| std::ptr::eq(*it, *claim)));
                lose(&lost, &timer).await;
                if held.is_empty() {
                    return;
                }
            }
            // The leases go on running out: the next try comes sooner.
            Err(error) => {
                let (call, error) = ("extend", &error);
                running[0].report(ClaimEventKind::StoreFailed { call, error });
                pause = keeper.lease / 12;
                age += keeper.call_limit();
                // Others may have taken over by now, unless the store is silent to all.
                if age >= keeper.lease {
                    running.iter().for_each(|claim| claim.set_lost());
                }
            }
        }
    }
    for claim in held {
        claim.report(ClaimEventKind::Overtime);
        claim.set_lost();
    }
}

async fn extend(held: &[&Claim], timer: &impl Timer) -> Result<Vec<Settled>, StoreError> {
    let keeper = held[0].keeper();
    let (holders, lease) = (holders(held.iter().copied()), keeper.lease);
    let extended = keeper.store.settle(&holders, Step::Extend { lease });
    let extended = answer_within(extended, timer, keeper.call_limit()).await?;
    of_all(extended, held.len())
}

/// Tells the handlers of claims that somebody else has by now.
async fn lose(superseded: &[&Claim], timer: &impl Timer) {
    if superseded.iter().any(|claim| claim.is_open()) {
        // By a commit, maybe, whose answer is on its way to the handler.
        timer.sleep(settle::PAUSE).await;
    }
    for claim in superseded {
        if claim.is_running() {
            claim.report(ClaimEventKind::LeaseLost);
            claim.set_lost();
        }
    }
}
