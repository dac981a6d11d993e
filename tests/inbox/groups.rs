//! Deliveries that arrive while others are being stored share a call of the store.

use std::pin::Pin;

use futures_util::{future::join_all, poll};
use integration_tests::Place;
use webhook_verify::{
    Receiver,
    inbox::{EntryState, Inbox},
    scheme,
};

use crate::common::*;

type Taking<'a> = Pin<Box<dyn Future<Output = Option<u16>> + 'a>>;

/// Returns a delivery that waits for the store. Its output is the status, or `None` if the store
/// fails.
async fn waiting<'a>(receiver: &'a Receiver, id: &'a str) -> Taking<'a> {
    let mut taking: Taking<'a> = Box::pin(async move { take(receiver, &single(id)).await.ok() });
    assert!(poll!(&mut taking).is_pending());
    taking
}

/// Opens an inbox whose store is busy with two deliveries.
async fn busy(place: &Place) -> (Inbox, Faults, Receiver) {
    let (inbox, faults) = open(place).await;
    let inbox = inbox.store_timeout(HOUR);
    faults.set("insert", Fault::Held);
    let receiver = receiver(scheme::STANDARD_WEBHOOKS, &inbox);
    for id in ["first", "second"] {
        let receiver = receiver.clone();
        tokio::spawn(async move { take(&receiver, &single(id)).await.unwrap() });
        faults.until_calls("insert", 1).await;
    }
    faults.take_calls("insert");
    (inbox, faults, receiver)
}

async fn ids(inbox: &Inbox) -> Vec<String> {
    let mut ids: Vec<_> = entries(inbox).await.into_iter().filter_map(|it| it.event.id).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn deliveries_that_wait_share_a_call() {
    for kind in STORES {
        let place = Place::new(kind);
        let (inbox, faults, receiver) = busy(&place).await;
        let mut all = Vec::new();
        for id in ["a", "b", "b", "c", "first"] {
            all.push(waiting(&receiver, id).await);
        }
        assert_eq!(faults.take_calls("insert"), 0);
        faults.clear();
        for taking in all {
            assert_eq!(taking.await, Some(204));
        }
        assert_eq!(faults.take_calls("insert"), 1);
        until(&inbox, EntryState::Waiting, 5).await;
        assert_eq!(ids(&inbox).await, ["a", "b", "c", "first", "second"]);
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_stored_fails_no_other_delivery() {
    for kind in STORES {
        let place = Place::new(kind);
        let (inbox, faults, receiver) = busy(&place).await;
        faults.refuse_event("bad");
        let mut all = Vec::new();
        for id in ["a", "bad", "c"] {
            all.push(waiting(&receiver, id).await);
        }
        faults.clear();
        // Retries could share a call as well.
        let results = join_all(all).await;
        assert_eq!(results, [Some(204), None, Some(204)]);
        until(&inbox, EntryState::Waiting, 4).await;
        assert_eq!(ids(&inbox).await, ["a", "c", "first", "second"]);
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_before_the_call_stores_nothing() {
    for kind in STORES {
        let place = Place::new(kind);
        let (inbox, faults, receiver) = busy(&place).await;
        let given_up = waiting(&receiver, "a").await;
        let stays = waiting(&receiver, "b").await;
        drop(given_up);
        faults.clear();
        assert_eq!(stays.await, Some(204));
        until(&inbox, EntryState::Waiting, 3).await;
        assert_eq!(ids(&inbox).await, ["b", "first", "second"]);
    }
}

/// A group has at most 256 events, and bodies of 1 MiB in all. A larger delivery gets its own call.
#[tokio::test]
async fn large_deliveries_share_no_call() {
    let place = Place::new(STORES[0]);
    let (inbox, faults) = open(&place).await;
    let inbox = inbox.store_timeout(HOUR);
    faults.set("insert", Fault::Held);
    let receiver = receiver(scheme::MAUTIC, &inbox);
    let requests: Vec<_> =
        [0..1, 1..2, 2..302, 302..502, 502..702].into_iter().map(batch).collect();
    let mut all: Vec<_> = requests.iter().map(|it| Box::pin(take(&receiver, it))).collect();
    for taking in &mut all {
        assert!(poll!(taking).is_pending());
        tokio::task::yield_now().await;
    }
    faults.clear();
    for taking in all {
        assert_eq!(taking.await.unwrap(), 204);
    }
    assert_eq!(faults.take_calls("insert"), 5);
    until(&inbox, EntryState::Waiting, 702).await;
}
