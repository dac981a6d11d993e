//! The cache of completed deliveries, which spares calls of the store.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use tokio::sync::Notify;
use webhook_verify::{
    Idempotency, MemoryStore,
    adapter::Admission,
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, Settled, Step, StoreError,
    },
    scheme,
};

use crate::common::*;

/// Once a delivery is completed, only its first duplicate costs a call of the store.
#[tokio::test]
async fn b15_a_replay_storm_makes_no_store_calls() {
    each_framework(|framework| async move {
        let store = Watched::new();
        let idempotency = Idempotency::new(Arc::clone(&store), "tests");
        let idempotency = idempotency.completed_cache(10_000, seconds(60));
        let site =
            Site::on(framework, receiver_with(scheme::MAUTIC, idempotency), answer(201)).await;
        let request = signed(scheme::MAUTIC, "{}");
        assert_eq!(site.post(&request).await.status, 201);
        for _ in 0..1000 {
            assert_replay(&site.post(&request).await, 201);
        }
        // The claim, its completion, and the claim of the first duplicate.
        assert_eq!((store.calls(), site.runs()), (3, 1));
    })
    .await;
}

/// A receiver asks once about a delivery that another process has completed.
#[tokio::test]
async fn a_duplicate_of_another_processs_delivery_is_asked_for_once() {
    let store = Watched::new();
    let request = signed(scheme::MAUTIC, "{}");
    let process = || {
        let idempotency = Idempotency::new(Arc::clone(&store), "tests");
        receiver_with(scheme::MAUTIC, idempotency.completed_cache(10, seconds(60)))
    };
    let (one, other) = (process(), process());
    let admitted = admitted(&one, &request, never).await;
    let key = admitted.delivery().claim().unwrap().key();
    finish(admitted, 200).await.unwrap();
    for _ in 0..100 {
        replayed(&other, &request, never).await;
    }
    assert_eq!(store.claims.load(SeqCst), 2);

    // `forget` deletes the delivery from this cache, too.
    assert!(other.forget(&key).await.unwrap());
    let next = admit(&other, &request, never).await;
    assert!(matches!(next, Ok(Admission::Admitted(_))), "{next:?}");
}

/// If the store could not record a success, the delivery does not run again in this process.
#[tokio::test]
async fn a_success_that_is_not_recorded_is_remembered_here() {
    let clock = HandClock::new();
    let store = Watched::over(MemoryStore::new().clock(clock.clone()));
    store.fail_completes.store(3, SeqCst);
    let idempotency = Idempotency::new(Arc::clone(&store), "tests");
    let idempotency = idempotency.completed_cache(10, seconds(60));
    let site =
        Site::on(Framework::Axum, receiver_with(scheme::GITHUB, idempotency), answer(201)).await;
    let request = signed(scheme::GITHUB, "{}");
    assert_eq!(site.post(&request).await.status, 201);
    clock.advance(seconds(61));
    assert_replay(&site.post(&request).await, 201);
    assert_eq!(site.runs(), 1);
}

/// A duplicate that arrives during `forget` does not bring the delivery back into the cache.
#[tokio::test]
async fn a_duplicate_during_forget_does_not_bring_it_back() {
    let store = Arc::new(Late::default());
    let idempotency = Idempotency::new(Arc::clone(&store), "tests");
    let receiver = receiver_with(scheme::MAUTIC, idempotency);
    let request = signed(scheme::MAUTIC, "{}");
    let admitted = admitted(&receiver, &request, never).await;
    let key = admitted.delivery().claim().unwrap().key();
    finish(admitted, 200).await.unwrap();

    store.is_late.store(true, SeqCst);
    let duplicate = admit(&receiver, &request, never);
    let forgotten = async {
        store.asked.notified().await;
        assert!(receiver.forget(&key).await.unwrap());
        store.is_late.store(false, SeqCst);
        store.answer.notify_one();
    };
    let (answered, ()) = futures_util::join!(duplicate, forgotten);
    assert!(matches!(answered, Ok(Admission::Answer(_))));
    let next = admit(&receiver, &request, never).await;
    assert!(matches!(next, Ok(Admission::Admitted(_))), "{next:?}");
}

/// A store that delays the outcomes of claims on demand.
#[derive(Default)]
struct Late {
    inner: MemoryStore,
    is_late: AtomicBool,
    asked: Notify,
    answer: Notify,
}

impl ClaimStore for Late {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        let outcomes = self.inner.claim(requests).await;
        if self.is_late.load(SeqCst) {
            self.asked.notify_one();
            self.answer.notified().await;
        }
        outcomes
    }

    async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
        self.inner.settle(holders, step).await
    }

    async fn purge(&self, max: usize) -> Result<usize, StoreError> {
        self.inner.purge(max).await
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        self.inner.forget(key).await
    }
}
