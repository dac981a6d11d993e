//! What the stores on SQL databases are both put through: races, and transactions of handlers.

pub(crate) mod races;
pub(crate) mod transactions;

pub(crate) use super::calls::{answered, fails};
use integration_tests::Calls as _;
use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

pub(crate) use integration_tests::{again, soon, won};
use tokio::time::{sleep, timeout};
use webhook_verify::idempotency::{
    ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Fingerprint, Owner,
};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A claim for ten minutes.
pub(crate) fn request(number: u32) -> ClaimRequest {
    let mut key = [7; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    ClaimRequest::new(
        ClaimKey::from(key),
        Owner::random().unwrap(),
        Fingerprint([number as u8; 32]),
        Duration::from_secs(600),
        HOUR,
    )
}

pub(crate) fn is_busy(outcome: ClaimOutcome) -> bool {
    matches!(outcome, ClaimOutcome::Busy { .. })
}

pub(crate) fn is_completed(outcome: ClaimOutcome) -> bool {
    matches!(outcome, ClaimOutcome::Completed { .. })
}

/// Claims fresh keys until one is granted: a store comes back by itself.
pub(crate) async fn comes_back(store: &impl ClaimStore) {
    static NEXT: AtomicU32 = AtomicU32::new(4_000_000);
    let claims = async {
        loop {
            let number = NEXT.fetch_add(1, Relaxed);
            match timeout(Duration::from_secs(1), store.claim_one(&request(number))).await {
                Ok(Ok(outcome)) => return assert_eq!(outcome, won(1)),
                Ok(Err(_)) => sleep(20 * MS).await,
                Err(_) => {}
            }
        }
    };
    soon("store that comes back", claims).await;
}
