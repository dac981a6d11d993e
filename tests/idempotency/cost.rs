//! The cost of a batch: one call for all its claims, and one for each event that is completed.

use std::{iter, sync::Arc};

use webhook_verify::{Idempotency, Receiver, Verifier, scheme};

use crate::{common::*, sender::*};

/// Returns the calls of the store for a batch with so many events claimed, completed and released.
fn calls(claimed: usize, completed: usize, released: usize) -> Vec<String> {
    let several = |call: &str, count| match count {
        0 => None,
        1 => Some(call.to_owned()),
        _ => Some(format!("{call}_all {count}")),
    };
    let completes = iter::repeat_n("complete".to_owned(), completed);
    let claims = several("claim", claimed).into_iter();
    claims.chain(completes).chain(several("release", released)).collect()
}

#[tokio::test]
async fn one_call_for_all_claims_and_one_for_each_event() {
    each_framework(|framework| async move {
        for count in [1, 2, 10, 1000] {
            let (store, begun) = (Watched::new(), Begun::default());
            let handler = failing(&begun, &Fault::default());
            let site =
                Site::on(framework, receiver(scheme::MAUTIC, Arc::clone(&store)), handler).await;
            let request = batch(1..=count);
            assert_eq!(site.post(&request).await.status, 200);
            assert_eq!(begun.take(), events(1..=count));
            assert_eq!(store.take_log(), calls(count, count, 0));
            // A duplicate costs one call.
            let status = if count == 1 { 200 } else { 204 };
            assert_replay(&site.post(&request).await, status);
            assert_eq!(store.take_log(), calls(count, 0, 0));
            assert_eq!(begun.take(), [""; 0]);
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_not_done_is_given_back_in_one_call() {
    each_framework(|framework| async move {
        for position in 1..=10 {
            let (store, begun) = (Watched::new(), Begun::default());
            let handler = failing(&begun, &Fault::at(position));
            let site =
                Site::on(framework, receiver(scheme::MAUTIC, Arc::clone(&store)), handler).await;
            assert_eq!(site.post(&batch(1..=10)).await.status, 500);
            let done = position - 1;
            assert_eq!(store.take_log(), calls(10, done, 10 - done));
        }
    })
    .await;
}

fn cached(store: &Arc<Watched>) -> Receiver {
    let idempotency = Idempotency::new(Arc::clone(store), "tests");
    receiver_with(scheme::MAUTIC, idempotency.completed_cache(10_000, seconds(60)))
}

/// Events in the cache cost no call.
#[tokio::test]
async fn what_is_cached_costs_no_call() {
    each_framework(|framework| async move {
        let (store, begun) = (Watched::new(), Begun::default());
        let site = Site::on(framework, cached(&store), failing(&begun, &Fault::default())).await;
        assert_eq!(site.post(&batch(1..=10)).await.status, 200);
        assert_replay(&site.post(&batch(1..=10)).await, 204);
        store.take_log();
        for _ in 0..3 {
            assert_replay(&site.post(&batch((1..=10).rev())).await, 204);
        }
        assert_eq!(store.take_log(), calls(0, 0, 0));
        begun.take();
        // Of a batch with other events, only those are claimed.
        assert_eq!(site.post(&batch(8..=12)).await.status, 200);
        assert_eq!(store.take_log(), calls(2, 2, 0));
        assert_eq!(site.post(&batch([3, 13, 4])).await.status, 200);
        assert_eq!(store.take_log(), calls(1, 1, 0));
        assert_eq!(begun.take(), events(11..=13));
    })
    .await;
}

/// Without deduplication, the handler gets all events each time.
#[tokio::test]
async fn without_a_store_each_runs_each_time() {
    each_framework(|framework| async move {
        let begun = Begun::default();
        let verifier = Verifier::new(scheme::MAUTIC, SECRET);
        let receiver = Receiver::builder(verifier.unwrap()).build().unwrap();
        let site = Site::on(framework, receiver, failing(&begun, &Fault::at(3))).await;
        for _ in 0..2 {
            assert_eq!(site.post(&batch(1..=4)).await.status, 500);
            assert_eq!(begun.take(), events(1..=3));
        }
    })
    .await;
}
