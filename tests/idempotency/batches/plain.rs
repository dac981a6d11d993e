//! Stores as somebody might write them: with nothing for many claims at once, or with mistakes.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use integration_tests::{App, Calls as _, each_framework};
use webhook_verify::{
    MemoryStore,
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, Settled, Step, StoreError,
    },
    scheme,
};

use crate::common::{Watched, post, receiver};
use crate::sender::{Begun, Fault, batch, events, failing};

/// A store as somebody might write it, with nothing for many claims at once.
struct Plain(Arc<Watched>);

impl ClaimStore for Plain {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        let mut outcomes = Vec::new();
        for request in requests {
            outcomes.push(self.0.claim_one(request).await?);
        }
        Ok(outcomes)
    }

    async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
        let mut settled = Vec::new();
        for holder in holders {
            settled.extend(self.0.settle(&[*holder], step).await?);
        }
        Ok(settled)
    }

    async fn purge(&self, max: usize) -> Result<usize, StoreError> {
        self.0.purge(max).await
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        self.0.forget(key).await
    }
}

/// What was granted before a claim failed is given back, too, with the others.
#[tokio::test]
async fn a_store_that_grants_some_and_fails() {
    each_framework(|framework| async move {
        let (store, begun) = (Watched::new(), Begun::default());
        let receiver = receiver(scheme::MAUTIC, Plain(Arc::clone(&store)));
        let app = App::new(receiver, failing(&begun, &Fault::at(3)));
        let server = app.serve(framework).await;
        assert_eq!(post(server.addr, &batch(1..=2)).await.status, 200);
        assert_eq!(post(server.addr, &batch(1..=4)).await.status, 500);
        assert_eq!(begun.take(), events(1..=3));
        // The third is granted and its answer lost, so that the fourth is not asked for: once, and twice.
        store.lose_claims.store(1, SeqCst);
        assert_eq!(post(server.addr, &batch(3..=4)).await.status, 500);
        store.lose_claims.store(2, SeqCst);
        assert_eq!(post(server.addr, &batch(3..=4)).await.status, 503);
        assert_eq!(begun.take(), events([3]));
        assert_eq!(post(server.addr, &batch(3..=4)).await.status, 500);
        assert_eq!(begun.take(), events([3]));
    })
    .await;
}

/// A store that answers for fewer than it was asked about.
struct Short(MemoryStore);

impl ClaimStore for Short {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        let mut outcomes = self.0.claim(requests).await?;
        outcomes.pop();
        Ok(outcomes)
    }

    async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
        self.0.settle(holders, step).await
    }

    async fn purge(&self, max: usize) -> Result<usize, StoreError> {
        self.0.purge(max).await
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        self.0.forget(key).await
    }
}

/// It has not answered: no event is dropped on its way.
#[tokio::test]
async fn a_store_that_answers_for_some() {
    each_framework(|framework| async move {
        let begun = Begun::default();
        let receiver = receiver(scheme::MAUTIC, Short(MemoryStore::new()));
        let app = App::new(receiver, failing(&begun, &Fault::default()));
        let server = app.serve(framework).await;
        let response = post(server.addr, &batch(1..=3)).await;
        assert_eq!((response.status, response.text()), (503, "temporarily unavailable"));
        assert_eq!(begun.take(), [""; 0]);
    })
    .await;
}
