//! Claims without a receiver.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::Barrier, task::JoinSet, time::sleep};
use webhook_verify::{
    Rejection,
    adapter::Admitted,
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Fingerprint, Holder, Owner, Settled,
        Step, StoreError,
    },
};

use crate::soon;

const HOUR: Duration = Duration::from_secs(3600);

/// Calls of a store for one claim, and steps by name.
pub trait Calls: ClaimStore {
    /// Claims one key.
    fn claim_one(
        &self,
        request: &ClaimRequest,
    ) -> impl Future<Output = Result<ClaimOutcome, StoreError>> + Send {
        async { Ok(self.claim(std::slice::from_ref(request)).await?[0]) }
    }

    /// Takes a step with one claim.
    fn settle_one(
        &self,
        holder: &Holder,
        step: Step,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send {
        async move { Ok(self.settle(std::slice::from_ref(holder), step).await?[0]) }
    }

    /// Completes one claim.
    fn complete(
        &self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send {
        self.settle_one(holder, Step::Complete { status, ttl })
    }

    /// Releases one claim.
    fn release(&self, holder: &Holder) -> impl Future<Output = Result<Settled, StoreError>> + Send {
        self.settle_one(holder, Step::Release)
    }

    /// Renews one lease.
    fn extend(
        &self,
        holder: &Holder,
        lease: Duration,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send {
        self.settle_one(holder, Step::Extend { lease })
    }

    /// Completes several claims.
    fn complete_all(
        &self,
        holders: &[Holder],
        status: u16,
        ttl: Duration,
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send {
        self.settle(holders, Step::Complete { status, ttl })
    }

    /// Releases several claims.
    fn release_all(
        &self,
        holders: &[Holder],
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send {
        self.settle(holders, Step::Release)
    }

    /// Renews several leases.
    fn extend_all(
        &self,
        holders: &[Holder],
        lease: Duration,
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send {
        self.settle(holders, Step::Extend { lease })
    }
}

impl<S: ClaimStore> Calls for S {}

/// Returns a claim of a new key.
pub fn fresh(lease: Duration, ttl: Duration) -> ClaimRequest {
    let [mut key, half] = [[0; 32]; 2];
    key[..16].copy_from_slice(Owner::random().unwrap().as_bytes());
    ClaimRequest::new(ClaimKey::from(key), Owner::random().unwrap(), Fingerprint(half), lease, ttl)
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
                    if let Ok(outcome) = store.claim_one(&claim).await {
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

/// Ends a delivery as a handler with this status does.
///
/// # Errors
///
/// That of [`Admitted::handle`].
pub async fn finish(admitted: Admitted, status: impl Into<Option<u16>>) -> Result<(), Rejection> {
    let status = status.into();
    admitted.handle(std::future::ready(()), |()| status).await
}

/// The status of a handler that returns it.
pub fn its_status(status: &u16) -> Option<u16> {
    Some(*status)
}
