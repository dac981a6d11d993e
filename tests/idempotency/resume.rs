//! An interrupted batch resumes where it stopped, even if the sender regroups its events.

use std::sync::Arc;

use webhook_verify::{MemoryStore, idempotency::ClaimStore, scheme};

use crate::{common::*, sender::*};

/// Runs a handler that fails at event `number` of ten, in the given way.
async fn cut(framework: Framework, handler: impl Fn(&Begun, &Fault) -> Handler) {
    for number in 1..=10 {
        let (begun, fault) = (Begun::default(), Fault::at(number));
        let handler = handler(&begun, &fault);
        let site = Site::on(framework, receiver(scheme::MAUTIC, MemoryStore::new()), handler).await;
        assert_eq!(site.post(&batch(1..=10)).await.status, 500);
        assert_eq!(begun.take(), events(1..=number), "{number}");
        fault.set(0);
        let retry = site.post(&batch(1..=10)).await;
        assert_fresh(&retry, 200);
        assert_eq!(begun.take(), events(number..=10), "{number}");
        assert!(is_replay(&site.post(&batch(1..=10)).await));
        assert_eq!(begun.take(), [""; 0], "{number}");
    }
}

#[tokio::test]
async fn a_handler_that_fails_leaves_what_it_did() {
    each_framework(|framework| cut(framework, failing)).await;
}

#[tokio::test]
async fn a_handler_that_panics_leaves_what_it_did() {
    each_framework(|framework| {
        cut(framework, |begun, fault| {
            let fault = fault.clone();
            one_by_one(begun, move |event| {
                assert!(!fault.hits(event), "a panic that is meant to be");
                204
            })
        })
    })
    .await;
}

/// If a handler returns 2xx without marking every event done, the sender gets 500 and retries.
#[tokio::test]
async fn a_handler_that_swallows_its_error_gets_500() {
    each_framework(|framework| {
        cut(framework, |begun, fault| {
            let with = (begun.clone(), fault.clone());
            handler(with, |(begun, fault), delivery| async move {
                for event in &delivery.events().unwrap() {
                    begun.note(event);
                    if fault.hits(event) {
                        break;
                    }
                    event.done().await;
                }
                200
            })
        })
    })
    .await;
}

/// After a failure at one event of ten, the rest runs in any grouping.
#[tokio::test]
async fn regrouped_reversed_and_written_with_other_blanks() {
    each_framework(|framework| async move {
        let (begun, fault) = (Begun::default(), Fault::at(7));
        let handler = failing(&begun, &fault);
        let site = Site::on(framework, receiver(scheme::MAUTIC, MemoryStore::new()), handler).await;
        assert_eq!(site.post(&batch(1..=10)).await.status, 500);
        fault.set(0);
        begun.take();
        // With others, in reverse order.
        assert_eq!(site.post(&batch([12, 10, 9, 2, 1])).await.status, 200);
        assert_eq!(begun.take(), events([12, 10, 9]));
        // Next to other lists, and with spaces.
        let other = body(&[("mautic.page_on_hit", &events([7])), (TYPE, &events([8]))]);
        let spaced = other.replace('[', " [\n ").replace(']', "\t] ").replace(':', " : ");
        assert!(spaced.contains(r#"{"id" : 8}"#), "the bytes of the event are different now");
        let spaced = spaced.replace(r#"{"id" : "#, r#"{"id":"#);
        assert_eq!(site.post(&mautic(spaced)).await.status, 200);
        assert_eq!(begun.take(), events([7, 8]), "7 of another type, and 8");
        assert_eq!(site.post(&batch((1..=10).rev())).await.status, 200);
        assert_eq!(begun.take(), events([7]));
        for number in 1..=10 {
            assert_replay(&site.post(&batch([number])).await, if number == 7 { 200 } else { 204 });
        }
        // Another spelling of an event is another event.
        let respelt = mautic(format!(r#"{{"{TYPE}":[{{"id": 1}}]}}"#));
        assert!(!is_replay(&site.post(&respelt).await));
        assert_eq!(begun.take(), [r#"{"id": 1}"#]);
    })
    .await;
}

/// Equal events in one request are different events: each runs once.
#[tokio::test]
async fn identical_elements_count_each() {
    each_framework(|framework| async move {
        let (begun, fault) = (Begun::default(), Fault::at(2));
        let handler = failing(&begun, &fault);
        let site = Site::on(framework, receiver(scheme::MAUTIC, MemoryStore::new()), handler).await;
        let request = batch([1, 1, 2, 1]);
        assert_eq!(site.post(&request).await.status, 500);
        assert_eq!(begun.take(), events([1, 1, 2]));
        fault.set(0);
        assert_eq!(site.post(&request).await.status, 200);
        assert_eq!(begun.take(), events([2, 1]));
        assert_replay(&site.post(&request).await, 204);
        assert_replay(&site.post(&batch([1, 2, 1, 1])).await, 204);
        assert_eq!(begun.take(), [""; 0]);
    })
    .await;
}

/// The same bytes under two types are two events, also if type and event run together.
#[tokio::test]
async fn the_type_is_part_of_an_event() {
    each_framework(|framework| async move {
        let begun = Begun::default();
        let handler = failing(&begun, &Fault::default());
        let site = Site::on(framework, receiver(scheme::MAUTIC, MemoryStore::new()), handler).await;
        let same = events([1]);
        let two = mautic(body(&[("a", &same), ("ab", &same)]));
        assert_eq!(site.post(&two).await.status, 200);
        assert_eq!(begun.take(), events([1, 1]));
        let parts = [("a", "[\"b\",1]"), ("b", "1"), ("a\\u0062", "1"), ("a", "1")];
        for (name, element) in parts {
            let one = mautic(format!(r#"{{"{name}":[{element}]}}"#));
            assert!(!is_replay(&site.post(&one).await), "{name} {element}");
        }
        // An escape in a name and a missing list make no difference.
        for (again, status) in
            [(r#"{"ab":[1]}"#, 200), (r#"{"ab":1}"#, 200), (r#"{"a":{"id":1}}"#, 204)]
        {
            assert_replay(&site.post(&mautic(again)).await, status);
        }
    })
    .await;
}

/// After a restart, on the other framework, only the store is left.
#[tokio::test]
async fn after_a_restart() {
    let store = Watched::new();
    let (begun, fault) = (Begun::default(), Fault::at(7));
    let send = async |framework, request| {
        let store: Arc<Watched> = Arc::clone(&store);
        assert!(store.is_in_process());
        let site =
            Site::on(framework, receiver(scheme::MAUTIC, store), failing(&begun, &fault)).await;
        site.post(&request).await.status
    };
    assert_eq!(send(Framework::Axum, batch(1..=10)).await, 500);
    assert_eq!(begun.take(), events(1..=7));
    fault.set(0);
    assert_eq!(send(Framework::Actix, batch((1..=10).rev())).await, 200);
    assert_eq!(begun.take(), events((7..=10).rev()));
}
