use std::{
    slice,
    time::{Duration, Instant},
};

use super::{
    Claim, ClaimEventKind, Holder, Known, Settled, Step, StoreError, StoredResponse, granted::State,
};

/// The pause before a claim is settled for the second time. Each further pause is four times as
/// long, up to [`LONGEST_PAUSE`].
pub(super) const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(1600);

impl Claim {
    /// Completes the claim of an event that the handler marked done.
    pub(crate) async fn complete(&self, status: u16) {
        complete(slice::from_ref(self), status, None, State::Settled).await;
    }

    /// Returns whether a handler that responds with this status has completed its claim.
    pub(crate) fn completes(&self, status: u16) -> bool {
        self.keeper().completes(status)
    }

    /// Returns how long a claim may exclude other owners.
    pub(crate) fn lease(&self) -> Duration {
        self.keeper().lease
    }

    /// Returns the status for claims that are in progress.
    pub(crate) fn in_flight_status(&self) -> u16 {
        self.keeper().in_flight_status
    }

    /// Logs that duplicates of this delivery get an empty body.
    pub(crate) fn log_unstored(&self, reason: &str) {
        let Some(suppressed) = self.keeper().admit_line("response_not_stored") else { return };
        tracing::warn!(
            target: "webhook_verify",
            endpoint = &*self.keeper().endpoint,
            key = %self.key(),
            reason,
            suppressed,
            "the response's body is not stored, so duplicates get an empty one"
        );
    }

    pub(super) fn report(&self, kind: ClaimEventKind<'_>) {
        self.keeper().report(self.key(), kind);
    }
}

/// Claims that are being settled. If the settling future is dropped, they count as done, and their
/// leases are renewed until they are settled again.
struct SettlementGuard<'c>(&'c [Claim]);

impl<'c> SettlementGuard<'c> {
    fn begin(claims: &'c [Claim]) -> Self {
        claims.iter().for_each(Claim::set_settling);
        Self(claims)
    }

    fn end(self, state: State) {
        self.0.iter().for_each(|claim| claim.set_state(state));
    }
}

impl Drop for SettlementGuard<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(Claim::give_up_settling);
    }
}

/// Completes claims of one delivery with the status of a success, and sets them to `end`. A
/// delivery with a single claim may have a response to store.
pub(crate) async fn complete(
    claims: &[Claim],
    status: u16,
    response: Option<&StoredResponse>,
    end: State,
) {
    let settling = SettlementGuard::begin(claims);
    let mut rest = claims;
    while let Some(first) = rest.first() {
        // The handler's own transaction has completed this claim.
        if let Some(status) = first.committed() {
            first.report(ClaimEventKind::Completed { status });
            if let Some(response) = response {
                add_response(first, status, response).await;
            }
            rest = &rest[1..];
            continue;
        }
        // Usually all have the same lifetime.
        let ttl = first.request().ttl;
        let is_like_it = |it: &&Claim| it.committed().is_none() && it.request().ttl == ttl;
        // The first counts in any case, although its transaction may be committed at any moment.
        let same = 1 + rest[1..].iter().take_while(is_like_it).count();
        let (same, others) = rest.split_at(same);
        settle(same, Some((status, response))).await;
        rest = others;
    }
    settling.end(end);
}

/// Releases claims of one delivery. A claim that the handler's transaction turns out to have
/// completed is [settled](State::Settled) afterwards.
pub(crate) async fn release(claims: &[Claim]) {
    if !claims.is_empty() {
        claims.iter().for_each(Claim::set_released);
        settle(claims, None).await;
    }
}

/// Stores the response with a claim that the handler's transaction has completed.
async fn add_response(claim: &Claim, status: u16, response: &StoredResponse) {
    let step = Step::Complete { status, ttl: claim.request().ttl };
    match settle_once(slice::from_ref(claim), step, Some(response)).await {
        Ok(_) => {}
        Err(error) => {
            let (call, error) = ("complete", &error);
            claim.report(ClaimEventKind::StoreFailed { call, error });
            claim.log_unstored("the store failed");
        }
    }
}

/// Completes claims of one delivery with the status and the response of their `success`, or
/// releases them.
async fn settle(claims: &[Claim], success: Option<(u16, Option<&StoredResponse>)>) {
    let keeper = claims[0].keeper();
    let ttl = claims[0].request().ttl;
    let response = success.and_then(|(_, response)| response);
    let success = success.map(|(status, _)| status);
    let step = success.map_or(Step::Release, |status| Step::Complete { status, ttl });
    let (begun, mut pause) = (Instant::now(), PAUSE);
    for tries_left in (0..keeper.complete_tries).rev() {
        match settle_once(claims, step, response).await {
            Ok(settled) => {
                for (claim, settled) in claims.iter().zip(settled) {
                    claim.report(match (settled, success) {
                        (Settled::Applied, Some(status)) => ClaimEventKind::Completed { status },
                        (Settled::Applied, None) => ClaimEventKind::Released,
                        (Settled::Superseded, _) => match claim.state() {
                            State::Committed { status } => {
                                claim.set_state(State::Settled);
                                ClaimEventKind::Completed { status }
                            }
                            // The transaction was committed without the store's `commit`.
                            State::Released { committing: true } if !claim.is_lost() => {
                                claim.set_state(State::Settled);
                                continue;
                            }
                            _ => ClaimEventKind::LeaseLost,
                        },
                    });
                }
                return;
            }
            Err(error) => {
                let call = if success.is_some() { "complete" } else { "release" };
                let error = &error;
                claims[0].report(ClaimEventKind::StoreFailed { call, error });
            }
        }
        // After the lease another owner may have the claim, and the sender has waited long enough.
        if tries_left == 0 || begun.elapsed() + pause >= keeper.lease {
            break;
        }
        claims[0].timer().sleep(pause).await;
        pause = (pause * 4).min(LONGEST_PAUSE);
    }
    let Some(status) = success else { return };
    // The store has not recorded them. A cache still prevents a second run in this process.
    for claim in claims {
        let fingerprint = claim.request().fingerprint;
        let known = Known { status, fingerprint };
        keeper.remember(claim.key(), known, claim.era());
    }
}

async fn settle_once(
    claims: &[Claim],
    step: Step,
    response: Option<&StoredResponse>,
) -> Result<Vec<Settled>, StoreError> {
    let keeper = claims[0].keeper();
    if let ([claim], Step::Complete { status, ttl }, Some(response)) = (claims, step, response) {
        let holder = claim.holder();
        let settled = keeper.store.complete_with(&holder, status, ttl, response);
        let answer = keeper.answer("complete", settled, claim.timer(), keeper.call_limit());
        let settled = answer.await?;
        return Ok(vec![settled]);
    }
    let holders = holders(claims);
    let settled = keeper.store.settle(&holders, step);
    let name = if matches!(step, Step::Release) { "release" } else { "complete" };
    let answer = keeper.answer(name, settled, claims[0].timer(), keeper.call_limit());
    let settled = answer.await?;
    of_all(settled, claims.len())
}

pub(super) fn holders<'a>(claims: impl IntoIterator<Item = &'a Claim>) -> Vec<Holder> {
    claims.into_iter().map(Claim::holder).collect()
}

/// Checks that the store returned one result for each of `len` claims.
pub(crate) fn of_all<T>(results: Vec<T>, len: usize) -> Result<Vec<T>, StoreError> {
    if results.len() == len {
        return Ok(results);
    }
    Err(StoreError::new("the store returned fewer or more results than there were claims"))
}
