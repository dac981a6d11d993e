use std::time::Duration;

use super::{
    Claim, ClaimEventKind, Settled, Step, StoreError,
    settle::{self, holders, of_all},
};

/// Renews the leases of claims that were requested together, each until it is lost or settled, and
/// all until the handler exceeds its time. Notifies the handler of lost leases.
pub(crate) async fn renew(claims: &[Claim]) {
    let Some(first) = claims.first() else { return };
    let (keeper, timer) = (first.keeper(), first.timer());
    let mut held: Vec<_> = claims.iter().collect();
    // The upper bounds of how long ago the handler began, and the leases were granted or renewed. A
    // slow claim, or a handler that ran before it first waited, has used up some of the lease.
    let used = first.requested_at().elapsed();
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
        // A claim that is being settled needs renewals again if its settling is given up.
        let running: Vec<_> = held.iter().copied().filter(|it| it.is_running()).collect();
        if running.is_empty() {
            pause = keeper.renewal();
            continue;
        }
        match extend(&running).await {
            Ok(extended) => {
                age = Duration::ZERO;
                pause = keeper.renewal();
                let is_lost = |(_, extended): &(_, Settled)| *extended == Settled::Superseded;
                let lost = running.into_iter().zip(extended).filter(is_lost);
                let lost: Vec<_> = lost.map(|(claim, _)| claim).collect();
                held.retain(|claim| !lost.iter().any(|it| std::ptr::eq(*it, *claim)));
                lose(&lost).await;
                if held.is_empty() {
                    return;
                }
            }
            // The leases still expire, so the next attempt is made sooner.
            Err(error) => {
                let (call, error) = ("extend", &error);
                running[0].report(ClaimEventKind::StoreFailed { call, error });
                pause = keeper.lease / 12;
                age += keeper.call_limit();
                // Another owner may have taken over by now.
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

async fn extend(held: &[&Claim]) -> Result<Vec<Settled>, StoreError> {
    let keeper = held[0].keeper();
    let (holders, lease) = (holders(held.iter().copied()), keeper.lease);
    let extended = keeper.store.settle(&holders, Step::Extend { lease });
    let answer = keeper.answer("extend", extended, held[0].timer(), keeper.call_limit());
    let extended = answer.await?;
    of_all(extended, held.len())
}

/// Notifies the handlers of claims that another owner has taken over.
async fn lose(superseded: &[&Claim]) {
    if let Some(claim) = superseded.iter().find(|claim| claim.is_committing()) {
        // The handler's commit may have completed the claim, but not have returned yet.
        claim.timer().sleep(settle::PAUSE).await;
    }
    for claim in superseded {
        if claim.is_running() {
            claim.report(ClaimEventKind::LeaseLost);
            claim.set_lost();
        }
    }
}
