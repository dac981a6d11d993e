//! Deliveries that arrive while others are being stored share a call of the store.

use std::pin::Pin;

use futures_util::{future::join_all, poll};
use integration_tests::{Place, soon};
use tokio::runtime::Builder;
use webhook_verify::{
    Receiver, Scheme,
    inbox::{EntryState, Inbox},
    scheme,
    testing::SignedRequest,
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

/// The number of calls for groups at a time.
const CALLS: usize = 4;

/// A request of [`busy`], whose event [`ids`] leaves out.
fn of_nobody(number: usize) -> SignedRequest {
    single(&format!("busy {number}"))
}

/// Opens an inbox whose store is busy with as many deliveries as it stores at a time.
async fn busy(
    place: &Place,
    scheme: Scheme,
    request: impl Fn(usize) -> SignedRequest,
) -> (Inbox, Faults, Receiver) {
    let (inbox, faults) = open(place).await;
    let inbox = inbox.store_timeout(HOUR);
    let receiver = without_time(&receiver(scheme, &inbox));
    keep_busy(&receiver, &faults, request).await;
    (inbox, faults, receiver)
}

/// Returns a receiver for which no time passes, so that its deliveries wait for groups forever.
fn without_time(receiver: &Receiver) -> Receiver {
    receiver.clone().or_timer(|_| std::future::pending())
}

/// Lets the store be busy with these requests until its faults are cleared.
async fn keep_busy(receiver: &Receiver, faults: &Faults, request: impl Fn(usize) -> SignedRequest) {
    faults.set("insert", Fault::Held);
    for number in 0..CALLS {
        let receiver = receiver.clone();
        let request = request(number);
        tokio::spawn(async move { take(&receiver, &request).await.unwrap() });
        faults.until_calls("insert", 1).await;
    }
    faults.take_calls("insert");
}

/// The IDs of the events that are not of [`busy`].
async fn ids(inbox: &Inbox) -> Vec<String> {
    let ids = entries(inbox).await.into_iter().filter_map(|it| it.event.id);
    let mut ids: Vec<_> = ids.filter(|id| !id.starts_with("busy")).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn deliveries_that_wait_share_a_call() {
    for kind in STORES {
        let place = Place::new(kind);
        let (inbox, faults, receiver) = busy(&place, scheme::STANDARD_WEBHOOKS, of_nobody).await;
        let mut all = Vec::new();
        for id in ["a", "b", "b", "c", "busy 0"] {
            all.push(waiting(&receiver, id).await);
        }
        assert_eq!(faults.take_calls("insert"), 0);
        faults.clear();
        for taking in all {
            assert_eq!(taking.await, Some(204));
        }
        assert_eq!(faults.take_calls("insert"), 1);
        until(&inbox, EntryState::Waiting, CALLS + 3).await;
        assert_eq!(ids(&inbox).await, ["a", "b", "c"]);
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_stored_fails_no_other_delivery() {
    for kind in STORES {
        let place = Place::new(kind);
        let (inbox, faults, receiver) = busy(&place, scheme::STANDARD_WEBHOOKS, of_nobody).await;
        faults.refuse_event("bad");
        let mut all = Vec::new();
        for id in ["a", "bad", "c"] {
            all.push(waiting(&receiver, id).await);
        }
        faults.clear();
        // Retries could share a call as well.
        let results = join_all(all).await;
        assert_eq!(results, [Some(204), None, Some(204)]);
        until(&inbox, EntryState::Waiting, CALLS + 2).await;
        assert_eq!(ids(&inbox).await, ["a", "c"]);
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_before_the_call_stores_nothing() {
    for kind in STORES {
        let place = Place::new(kind);
        let (inbox, faults, receiver) = busy(&place, scheme::STANDARD_WEBHOOKS, of_nobody).await;
        let given_up = waiting(&receiver, "a").await;
        let stays = waiting(&receiver, "b").await;
        drop(given_up);
        faults.clear();
        assert_eq!(stays.await, Some(204));
        until(&inbox, EntryState::Waiting, CALLS + 1).await;
        assert_eq!(ids(&inbox).await, ["b"]);
    }
}

/// A group has at most 256 events, and bodies of 1 MiB in all. A larger delivery gets its own call.
#[tokio::test]
async fn large_deliveries_share_no_call() {
    let large = |text: &str| {
        let body = format!(r#"{{"text":"{}"}}"#, "x".repeat(600_000));
        signer(scheme::STANDARD_WEBHOOKS).id(text).sign(body).unwrap()
    };
    type First = fn(usize) -> SignedRequest;
    let rows: [(Scheme, First, Vec<SignedRequest>, usize); 2] = [
        (
            scheme::MAUTIC,
            |number| batch([number]),
            vec![batch(10..310), batch(310..510), batch(510..710)],
            700,
        ),
        (scheme::STANDARD_WEBHOOKS, of_nobody, ["a", "b", "c"].map(large).into(), 3),
    ];
    for (scheme, first, requests, count) in rows {
        let place = Place::new(STORES[0]);
        let (inbox, faults, receiver) = busy(&place, scheme, first).await;
        let mut all: Vec<_> = requests.iter().map(|it| Box::pin(take(&receiver, it))).collect();
        for taking in &mut all {
            assert!(poll!(taking).is_pending());
        }
        faults.clear();
        for taking in all {
            assert_eq!(taking.await.unwrap(), 204);
        }
        assert_eq!(faults.take_calls("insert"), requests.len());
        until(&inbox, EntryState::Waiting, count + CALLS).await;
    }
}

/// Calls that never end neither hold up later deliveries for long, nor those that wait behind them.
#[tokio::test]
async fn calls_that_hang_stop_no_other_delivery() {
    let place = Place::new(STORES[0]);
    let (inbox, faults) = open(&place).await;
    let inbox = inbox.store_timeout(HOUR);
    let receiver = receiver(scheme::STANDARD_WEBHOOKS, &inbox);
    faults.hang(CALLS);
    for id in 0..CALLS {
        let receiver = receiver.clone();
        tokio::spawn(async move { take(&receiver, &single(&format!("busy {id}"))).await });
        faults.until_calls("insert", 1).await;
    }
    for id in ["a", "b"] {
        assert_eq!(soon("a delivery", take(&receiver, &single(id))).await.unwrap(), 204);
    }
    assert_eq!(ids(&inbox).await, ["a", "b"]);
}

/// A call without an answer ends with the store's time limit. Then there are groups again.
#[tokio::test]
async fn calls_that_hang_end() {
    let place = Place::new(STORES[0]);
    let (inbox, faults) = open(&place).await;
    let inbox = inbox.store_timeout(SECOND);
    let receiver = receiver(scheme::STANDARD_WEBHOOKS, &inbox);
    faults.hang(CALLS);
    let mut all = Vec::new();
    for id in 0..CALLS {
        let receiver = receiver.clone();
        all.push(tokio::spawn(async move { take(&receiver, &single(&format!("{id}"))).await }));
        faults.until_left_to_hang(CALLS - 1 - id).await;
    }
    join_all(all).await;
    until_groups(&receiver, &faults).await;
}

/// Waits until deliveries share calls.
async fn until_groups(receiver: &Receiver, faults: &Faults) {
    let receiver = without_time(receiver);
    soon("calls for groups", keep_busy(&receiver, faults, of_nobody)).await;
    let both = [waiting(&receiver, "a").await, waiting(&receiver, "b").await];
    faults.clear();
    join_all(both).await;
    assert_eq!(faults.take_calls("insert"), 1);
}

/// The runtime of a call may stop, as one of actix-web's threads does.
#[test]
fn the_runtime_of_a_call_stops() {
    let first = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let second = Builder::new_current_thread().enable_all().build().unwrap();
    let place = Place::new(STORES[0]);
    let (inbox, faults) = second.block_on(open(&place));
    let inbox = inbox.store_timeout(HOUR);
    let receiver = receiver(scheme::STANDARD_WEBHOOKS, &inbox);
    faults.hang(CALLS);
    for id in 0..CALLS {
        let receiver = receiver.clone();
        first.spawn(async move { take(&receiver, &single(&format!("{id}"))).await });
        second.block_on(faults.until_left_to_hang(CALLS - 1 - id));
    }
    drop(first);
    second.block_on(until_groups(&receiver, &faults));
}
