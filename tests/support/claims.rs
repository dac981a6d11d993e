//! Claims without a receiver.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::Barrier, task::JoinSet, time::sleep};
use webhook_verify::{
    ClaimKey, ClaimStore,
    idempotency::{ClaimOutcome, ClaimRequest, Fingerprint, Owner, Settled},
};

use crate::soon;

const HOUR: Duration = Duration::from_secs(3600);

/// Returns a claim of a new key.
pub fn fresh(lease: Duration, ttl: Duration) -> ClaimRequest {
    let [mut key, half] = [[0; 32]; 2];
    key[..16].copy_from_slice(Owner::random().unwrap().as_bytes());
    ClaimRequest::new(
        ClaimKey::from(key),
        Owner::random().unwrap(),
        Fingerprint(half),
        lease,
        ttl,
    )
}

/// Returns another owner's claim of the same key.
pub fn again(request: &ClaimRequest) -> ClaimRequest {
    let mut request = request.clone();
    request.owner = Owner::random().unwrap();
    request
}

/// Returns the outcome of a granted claim.
pub fn won(attempt: u64) -> ClaimOutcome {
    ClaimOutcome::Won { attempt }
}

/// Claims a key from all stores at once. Returns the winner of each attempt, and the outcomes of
/// the others.
pub async fn race<S: ClaimStore + Clone>(
    stores: &[S],
    claim: &ClaimRequest,
) -> (HashMap<u64, ClaimRequest>, Vec<ClaimOutcome>) {
    let barrier = Arc::new(Barrier::new(stores.len()));
    let mut tasks = JoinSet::new();
    for store in stores {
        let (store, claim) = (store.clone(), again(claim));
        let barrier = Arc::clone(&barrier);
        tasks.spawn(async move {
            barrier.wait().await;
            let asking = async {
                loop {
                    // After an error the same owner claims again, and gets the claim that was
                    // granted before.
                    if let Ok(outcome) = store.claim(&claim).await {
                        return outcome;
                    }
                    sleep(Duration::from_millis(5)).await;
                }
            };
            let outcome = soon("answer to a claim", asking).await;
            (claim, outcome)
        });
    }
    let (mut winners, mut others) = (HashMap::new(), Vec::new());
    while let Some(task) = tasks.join_next().await {
        match task.unwrap() {
            (claim, ClaimOutcome::Won { attempt }) => {
                let before = winners.insert(attempt, claim);
                assert!(before.is_none(), "two winners of attempt {attempt}");
            }
            (_, other) => others.push(other),
        }
    }
    (winners, others)
}

/// Checks that the calls of a former holder change nothing.
pub async fn is_shut_out(store: &impl ClaimStore, claim: &ClaimRequest) {
    let holder = claim.holder();
    for settled in [
        store.complete(&holder, 299, HOUR).await,
        store.release(&holder).await,
        store.extend(&holder, HOUR).await,
    ] {
        assert_eq!(settled.unwrap(), Settled::Superseded);
    }
}
