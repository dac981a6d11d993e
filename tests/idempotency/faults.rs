//! A store that fails, does not respond or is full, and requests that must not reach a store.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use integration_tests::Calls as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, Rejection, RequestHead,
    adapter::{Admission, Admitted},
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, OnStoreFailure, Settled, Step,
        StoreError,
    },
    scheme,
    testing::SignedRequest,
};

use crate::{common::*, sender::*};

/// Admits a request without waiting: a call that does not return times out at once.
async fn asked(receiver: &Receiver, request: &SignedRequest) -> Result<Admission, Rejection> {
    let admission = admit(receiver, request, at_once).now_or_never();
    admission.expect("a call that does not return times out")
}

/// As [`asked`], for a request that runs.
async fn granted(receiver: &Receiver, request: &SignedRequest) -> Admitted {
    match asked(receiver, request).await.unwrap() {
        Admission::Admitted(admitted) => admitted,
        Admission::Answer(answer) => panic!("{answer:?}"),
    }
}

/// Does up to `max` events and fails at the next. Returns the fencing tokens of the events, and
/// the status of the response.
async fn handle(admitted: Admitted, max: usize) -> (Vec<u64>, u16) {
    let events = admitted.delivery().events().unwrap();
    let mut fences = Vec::new();
    let mut status = 200;
    for event in &events {
        if fences.len() == max {
            status = 500;
            break;
        }
        fences.push(event.claim().unwrap().fencing_token());
        event.done().await;
    }
    let settled = finish(admitted, status).await;
    (fences, settled.map_or_else(|it| it.status(), |()| status))
}

/// A request that is not authentic does not reach the store.
#[tokio::test]
async fn b28_a_flood_of_bad_signatures_makes_no_store_calls() {
    let store = Watched::new();
    let good = signed(scheme::GITHUB, "{}");
    let forged = |number: u32| {
        with_header(&good, "x-hub-signature-256", Some(&format!("sha256={number:064x}")))
    };
    let direct = receiver(scheme::GITHUB, Arc::clone(&store));
    // Other tests in this process search the log.
    let unlogged = tracing_subscriber::registry().set_default();
    for number in 0..100_000 {
        let refused = admit(&direct, &forged(number), never).await.unwrap_err();
        assert_eq!(refused.status(), 401);
    }
    drop(unlogged);
    assert_eq!(store.calls(), 0);

    each_framework(|framework| {
        let (store, forged) = (&store, &forged);
        async move {
            let receiver = receiver(scheme::GITHUB, Arc::clone(store));
            let site = Site::on(framework, receiver, answer(200)).await;
            let mut connection = Connection::open(site.addr()).await;
            for number in 0..500 {
                connection.send(&raw(&forged(number))).await;
                let response = connection.response().await.unwrap();
                assert_eq!((response.status, response.text()), (401, "invalid webhook signature"));
            }
            assert_eq!((store.calls(), site.runs()), (0, 0));
        }
    })
    .await;
    // A valid signature does reach this store.
    let _claimed = admitted(&direct, &good, never).await;
    assert_eq!(store.calls(), 1);
}

/// If the store fails, the sender gets 503 and retries. The handler does not run, and the response
/// does not reveal the cause.
#[tokio::test]
async fn a_store_that_fails_is_a_503_and_no_run() {
    let logs = Logs::collect();
    each_framework(|framework| {
        let logs = logs.clone();
        async move {
            for count in [1, 3] {
                let (scheme, request) = sent(count);
                let (store, begun) = (Watched::new(), Begun::default());
                // Each claim is made twice.
                store.fail_claims.store(4, SeqCst);
                let receiver = receiver(scheme, Arc::clone(&store));
                let site = Site::on(framework, receiver, failing(&begun, &Fault::default())).await;
                for _ in 0..2 {
                    let response = site.post(&request).await;
                    assert_eq!(
                        (response.status, response.text()),
                        (503, "temporarily unavailable")
                    );
                    assert_eq!(response.header("retry-after"), Some("30"));
                    assert!(!format!("{response:?}").contains("claims-db"));
                    assert!(!is_replay(&response));
                }
                assert_eq!((site.runs(), store.claims.load(SeqCst)), (0, 4));
                let logs = logs.text();
                assert!(logs.lines().any(|line| line.contains("ERROR") && line.contains(OUTAGE)));
                assert_fresh(&site.post(&request).await, 200);
                assert_eq!((site.runs(), begun.take()), (1, events(1..=count)));
            }
        }
    })
    .await;
}

/// After the first failure, the same owner claims again, and gets the claim even if it was granted
/// before: the fencing token shows it. After the second, the claims are released in one call, so
/// that the retry need not wait for a lease.
#[tokio::test]
async fn b23_claims_that_fail_or_whose_answer_is_lost() {
    type Knob = fn(&Watched) -> &AtomicUsize;
    let faults: [(&str, Knob, u64); 3] = [
        ("fail", |store| &store.fail_claims, 1),
        ("take effect and fail", |store| &store.lose_claims, 2),
        ("take effect and do not return", |store| &store.silent, 2),
    ];
    for count in [1, 3] {
        for (fault, knob, next) in faults {
            for failures in [1, 2] {
                let case = format!("{failures} calls for {count} claims {fault}");
                let (scheme, request) = sent(count);
                let store = Watched::new();
                knob(&store).store(failures, SeqCst);
                let receiver = receiver(scheme, Arc::clone(&store));
                let mut calls = vec![call("claim", count); 2];
                if failures == 2 {
                    let refused = asked(&receiver, &request).await.unwrap_err();
                    assert!(matches!(refused, Rejection::Store(_)), "{case}: {refused:?}");
                    assert_eq!(refused.status(), 503, "{case}");
                    calls.extend([call("release", count), call("claim", count)]);
                }
                let granted = granted(&receiver, &request).await;
                let fence = if failures == 2 { next } else { 1 };
                assert_eq!(handle(granted, 9).await, (vec![fence; count], 200), "{case}");
                calls.extend(vec!["complete".to_owned(); count]);
                assert_eq!(store.take_log(), calls, "{case}");
            }
        }
    }
}

/// The handler has succeeded. If the store then fails, the response stays, so that the sender does
/// not retry.
#[tokio::test]
async fn a_complete_that_fails_leaves_the_handlers_answer() {
    each_framework(|framework| async move {
        for (count, failures) in [1, 3].into_iter().flat_map(|n| [0, 1, 2, 3, 9].map(|f| (n, f))) {
            let case = format!("{count} events, {failures} failures");
            eprintln!("{case}");
            let (scheme, request) = sent(count);
            let clock = HandClock::new();
            let store = Watched::over(MemoryStore::new().clock(clock.clone()));
            store.fail_completes.store(failures, SeqCst);
            let receiver = receiver(scheme, Arc::clone(&store));
            let site = Site::on(framework, receiver, answer(201)).await;
            assert_fresh(&site.post(&request).await, 201);
            assert_eq!(store.completes(), 3.min(failures + 1), "{case}");
            assert_eq!(store.releases.load(SeqCst), 0, "{case}");
            let retry = site.post(&request).await;
            if failures < 3 {
                assert_replay(&retry, 201);
            } else {
                // It is not recorded, so it blocks until the lease expires, and then runs again.
                assert_in_flight(&retry);
                store.fail_completes.store(0, SeqCst);
                clock.advance(seconds(60));
                assert_eq!(site.post(&request).await.status, 201, "{case}");
                assert_eq!(site.runs(), 2, "{case}");
            }
        }
    })
    .await;
}

/// The claims of a delivery whose handler takes it as a whole are completed in one call, which is
/// made up to three times. A cache knows of a success that the store could not record.
#[tokio::test]
async fn completions_of_a_whole_that_fail() {
    for count in [1, 3] {
        for fault in ["fail", "take effect and do not return"] {
            for failures in 0..=3 {
                let case = format!("{failures} completions of {count} events {fault}");
                let (scheme, request) = sent(count);
                let store = Watched::new();
                let idempotency = Idempotency::new(Arc::clone(&store), "tests");
                let cached = idempotency.completed_cache(100, seconds(60));
                let here = receiver_with(scheme.clone(), cached);
                let whole = granted(&here, &request).await;
                store.take_log();
                let knob = match fault {
                    "fail" => &store.fail_completes,
                    _ => &store.silent,
                };
                knob.store(failures, SeqCst);
                finish(whole, 201).await.unwrap();
                let tries = 3.min(failures + 1);
                assert_eq!(store.take_log(), vec![call("complete", count); tries], "{case}");
                let replay = asked(&here, &request).await;
                assert!(
                    matches!(replay, Ok(Admission::Answer(it)) if it.status() == 201),
                    "{case}"
                );
                let elsewhere = receiver(scheme, Arc::clone(&store));
                let there = asked(&elsewhere, &request).await;
                if fault == "fail" && failures == 3 {
                    assert!(matches!(there, Err(Rejection::InFlight { .. })), "{case}");
                } else {
                    let recorded = matches!(there, Ok(Admission::Answer(it)) if it.status() == 201);
                    assert!(recorded, "{case}");
                }
            }
        }
    }
}

/// A process that did an event but could not record it does not repeat it. Another process does,
/// once the lease has expired.
#[tokio::test]
async fn completions_that_fail() {
    for (failures, tries) in [(1, 2), (2, 3), (3, 3)] {
        let clock = HandClock::new();
        let store = Watched::over(MemoryStore::new().clock(clock.clone()));
        let idempotency = Idempotency::new(Arc::clone(&store), "tests");
        let here = receiver_with(scheme::MAUTIC, idempotency.completed_cache(100, seconds(60)));
        store.fail_completes.store(failures, SeqCst);
        // The completion of the first event fails, the second is completed, and the third fails.
        let cut = handle(granted(&here, &batch(1..=3)).await, 2).await;
        assert_eq!(cut, (vec![1, 1], 500));
        assert_eq!(store.completes(), tries + 1, "{failures} failures");
        store.take_log();
        let left = granted(&here, &batch(1..=3)).await;
        assert_eq!(handle(left, 9).await, (vec![2], 200));
        assert_eq!(store.take_log()[0], if failures < 3 { "claim_all 3" } else { "claim_all 2" });

        let elsewhere = receiver(scheme::MAUTIC, Arc::clone(&store));
        let there = asked(&elsewhere, &batch(1..=3)).await;
        if failures < 3 {
            assert!(matches!(there, Ok(Admission::Answer(answer)) if answer.status() == 204));
            continue;
        }
        assert!(matches!(there, Err(Rejection::InFlight { .. })));
        clock.advance(seconds(60));
        let there = granted(&elsewhere, &batch(1..=3)).await;
        assert_eq!(handle(there, 9).await, (vec![2], 200));
    }
}

/// A handler that failed keeps its status, too, if its claim cannot be released. Claims that could
/// not be released block the retry until their lease expires.
#[tokio::test]
async fn releases_that_fail() {
    each_framework(|framework| async move {
        for failures in [1, 2, 3] {
            let store = Watched::new();
            store.fail_releases.store(failures, SeqCst);
            let receiver = receiver(scheme::GITHUB, Arc::clone(&store));
            let site = Site::on(framework, receiver, answer(422)).await;
            let request = signed(scheme::GITHUB, "{}");
            assert_eq!(site.post(&request).await.status, 422);
            assert_eq!(store.completes(), 0);
            let retry = site.post(&request).await;
            if failures < 3 {
                assert_eq!((retry.status, site.runs()), (422, 2));
            } else {
                assert_in_flight(&retry);
            }
        }
    })
    .await;
    for count in [1, 3] {
        for fault in ["fail", "take effect and do not return"] {
            for failures in 1..=3 {
                let case = format!("{failures} releases of {count} events {fault}");
                let (scheme, request) = sent(count);
                let clock = HandClock::new();
                let store = Watched::over(MemoryStore::new().clock(clock.clone()));
                let receiver = receiver(scheme, Arc::clone(&store));
                let cut = granted(&receiver, &request).await;
                // A call that took effect and did not return changes nothing when it is repeated.
                let knob = if fault == "fail" { &store.fail_releases } else { &store.silent };
                knob.store(failures, SeqCst);
                assert_eq!(handle(cut, 0).await, (vec![], 500), "{case}");
                let calls = store.take_log();
                assert_eq!(calls[0], call("claim", count), "{case}");
                let tries = 3.min(failures + 1);
                assert_eq!(calls[1..], vec![call("release", count); tries], "{case}");
                if failures == 3 && fault == "fail" {
                    let refused = asked(&receiver, &request).await;
                    assert!(matches!(refused, Err(Rejection::InFlight { .. })), "{case}");
                    clock.advance(seconds(60));
                }
                let retry = granted(&receiver, &request).await;
                assert_eq!(handle(retry, 9).await, (vec![2; count], 200), "{case}");
            }
        }
    }
}

/// For senders that do not retry: with this policy, a delivery runs without a claim if the store
/// fails.
#[tokio::test]
async fn on_store_failure() {
    each_framework(|framework| async move {
        for (policy, status, runs) in
            [(OnStoreFailure::Reject, 503, 0), (OnStoreFailure::Process, 200, 1)]
        {
            let store = Watched::new();
            let idempotency =
                Idempotency::new(Arc::clone(&store), "tests").on_store_failure(policy);
            store.fail_claims.store(2, SeqCst);
            let claimed = Arc::new(AtomicUsize::new(0));
            let counting = handler(Arc::clone(&claimed), |claimed, delivery| async move {
                claimed.fetch_add(usize::from(delivery.claim().is_some()), SeqCst);
                200
            });
            let receiver = receiver_with(scheme::GITHUB, idempotency);
            let site = Site::on(framework, receiver, counting).await;
            let request = signed(scheme::GITHUB, "{}");
            assert_eq!(site.post(&request).await.status, status);
            assert_eq!((site.runs(), claimed.load(SeqCst)), (runs, 0), "{policy:?}");
            // Once the store works again, the delivery is claimed.
            assert_fresh(&site.post(&request).await, 200);
            assert_replay(&site.post(&request).await, 200);
            assert_eq!((site.runs(), claimed.load(SeqCst)), (runs + 1, 1), "{policy:?}");
            // A request that is not authentic is rejected in any case.
            let mut forged = request.clone();
            forged.body = "[]".into();
            store.fail_claims.store(2, SeqCst);
            assert_eq!(site.post(&forged).await.status, 401);
        }
    })
    .await;
}

/// The events of a batch run without claims, except those that the cache knows to be done.
#[tokio::test]
async fn a_batch_without_a_store() {
    each_framework(|framework| async move {
        let (store, begun, fault) = (Watched::new(), Begun::default(), Fault::default());
        let idempotency = Idempotency::new(Arc::clone(&store), "tests")
            .on_store_failure(OnStoreFailure::Process)
            .completed_cache(100, seconds(60));
        let receiver = receiver_with(scheme::MAUTIC, idempotency);
        let site = Site::on(framework, receiver, failing(&begun, &fault)).await;
        assert_eq!(site.post(&batch([1, 2])).await.status, 200);
        assert_replay(&site.post(&batch([2, 1])).await, 204);
        begun.take();
        for (fault_at, status, run) in [(0, 200, events([3, 4])), (3, 500, events([3]))] {
            store.fail_claims.store(2, SeqCst);
            store.take_log();
            fault.set(fault_at);
            assert_eq!(site.post(&batch(1..=4)).await.status, status);
            assert_eq!(begun.take(), run);
            assert_eq!(store.take_log(), ["claim_all 2", "claim_all 2", "release_all 2"]);
        }
    })
    .await;
}

/// A memory store that is full of deliveries in progress rejects new ones with 503. The deliveries
/// that it knows go on.
#[tokio::test]
async fn a_full_memory_store_is_a_503() {
    each_framework(|framework| async move {
        let clock = HandClock::new();
        let store = MemoryStore::with_capacity(2).clock(clock.clone());
        let gate = Gate::new();
        let receiver = receiver(scheme::MAUTIC, store);
        let site = Site::on(framework, receiver, gate.handler(|_| 200)).await;
        let [live, also_live, new] = ["1", "2", "3"].map(|body| signed(scheme::MAUTIC, body));
        let mut connections = Vec::new();
        for request in [&live, &also_live] {
            connections.push(site.send(request).await);
            gate.entered().await;
        }

        let refused = site.post(&new).await;
        assert_eq!((refused.status, refused.text()), (503, "temporarily unavailable"));
        assert_eq!(refused.header("retry-after"), Some("30"));
        assert_in_flight(&site.post(&live).await);
        gate.open(2);
        for mut connection in connections {
            assert_eq!(connection.response().await.unwrap().status, 200);
        }
        assert_replay(&site.post(&live).await, 200);
        assert_replay(&site.post(&also_live).await, 200);
        assert_eq!(site.runs(), 2);

        clock.advance(days(90));
        gate.open(1);
        assert_eq!(site.post(&new).await.status, 200);
    })
    .await;
}

/// `Retry-After` is what the lease has left, but at most a minute.
#[tokio::test]
async fn retry_after_is_clamped() {
    for (lease, after) in [(seconds(1), 1), (seconds(45), 45), (seconds(7200), 60)] {
        let clock = HandClock::new();
        let store = MemoryStore::new().clock(clock.clone());
        let idempotency =
            Idempotency::new(store, "tests").lease(lease).max_handler_time(seconds(7200));
        let receiver = receiver_with(scheme::GITHUB, idempotency);
        let request = signed(scheme::GITHUB, "{}");
        let _first = admitted(&receiver, &request, never).await;
        for (later, after) in [(Duration::ZERO, after), (lease - Duration::from_millis(1), 1)] {
            clock.advance(later);
            let refused = admit(&receiver, &request, never).await.unwrap_err();
            assert_eq!(refused.retry_after(), Some(seconds(after)), "{lease:?} {later:?}");
        }
    }
}

/// Only a complete body is claimed: not one that breaks off, nor one that never ends.
#[tokio::test]
async fn a_body_that_breaks_off_is_not_claimed() {
    let store = Watched::new();
    let receiver = receiver(scheme::GITHUB, Arc::clone(&store));
    let request = signed(scheme::GITHUB, "{}");
    let head = RequestHead::from(&request.headers);
    let cut = stream::iter([
        Ok(request.body.slice(..1)),
        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
    ]);
    let refused = receiver.clone().or_timer(never).admit(&head, cut).await.unwrap_err();
    assert_eq!((refused.status(), store.calls()), (400, 0));
    let start = stream::iter([Ok::<_, io::Error>(request.body.slice(..1))]);
    let late = start.chain(stream::pending());
    let refused = receiver.or_timer(at_once).admit(&head, late).await.unwrap_err();
    assert_eq!((refused.status(), store.calls()), (408, 0));
}

/// If the store is overloaded, the receiver neither claims again nor releases anything.
#[tokio::test]
async fn an_overloaded_store_is_left_alone() {
    each_framework(|framework| async move {
        let store = Watched::new();
        let receiver = receiver(scheme::GITHUB, Arc::clone(&store));
        let site = Site::on(framework, receiver, answer(200)).await;
        let request = signed(scheme::GITHUB, "{}");
        store.overload_claims.store(1, SeqCst);
        let refused = site.post(&request).await;
        assert_eq!((refused.status, refused.text()), (503, "temporarily unavailable"));
        assert_eq!(refused.header("retry-after"), Some("5"));
        assert_eq!((store.claims.load(SeqCst), store.releases.load(SeqCst)), (1, 0));
        assert_eq!(site.runs(), 0);
        assert_fresh(&site.post(&request).await, 200);
        assert_eq!(site.runs(), 1);
    })
    .await;
}

/// A store that serves several claims one after the other, or drops the last outcome.
struct Odd {
    inner: Arc<Watched>,
    is_short: bool,
}

impl ClaimStore for Odd {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        let mut outcomes = Vec::new();
        for request in requests {
            outcomes.push(self.inner.claim_one(request).await?);
        }
        if self.is_short {
            outcomes.pop();
        }
        Ok(outcomes)
    }

    async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
        let mut settled = Vec::new();
        for holder in holders {
            settled.extend(self.inner.settle(&[*holder], step).await?);
        }
        Ok(settled)
    }

    async fn purge(&self, max: usize) -> Result<usize, StoreError> {
        self.inner.purge(max).await
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        self.inner.forget(key).await
    }
}

/// Claims that were granted before another one failed are released with the others.
#[tokio::test]
async fn a_store_that_grants_some_and_fails() {
    each_framework(|framework| async move {
        let (store, begun) = (Watched::new(), Begun::default());
        let odd = Odd { inner: Arc::clone(&store), is_short: false };
        let handler = failing(&begun, &Fault::at(3));
        let site = Site::on(framework, receiver(scheme::MAUTIC, odd), handler).await;
        assert_eq!(site.post(&batch(1..=2)).await.status, 200);
        assert_eq!(site.post(&batch(1..=4)).await.status, 500);
        assert_eq!(begun.take(), events(1..=3));
        // The third is granted and its answer lost, so the fourth is not claimed: once, and twice.
        store.lose_claims.store(1, SeqCst);
        assert_eq!(site.post(&batch(3..=4)).await.status, 500);
        store.lose_claims.store(2, SeqCst);
        assert_eq!(site.post(&batch(3..=4)).await.status, 503);
        assert_eq!(begun.take(), events([3]));
        assert_eq!(site.post(&batch(3..=4)).await.status, 500);
        assert_eq!(begun.take(), events([3]));
    })
    .await;
}

/// Too few outcomes are a failure of the store: no event is dropped.
#[tokio::test]
async fn a_store_that_answers_for_some() {
    each_framework(|framework| async move {
        let begun = Begun::default();
        let odd = Odd { inner: Watched::new(), is_short: true };
        let handler = failing(&begun, &Fault::default());
        let site = Site::on(framework, receiver(scheme::MAUTIC, odd), handler).await;
        let response = site.post(&batch(1..=3)).await;
        assert_eq!((response.status, response.text()), (503, "temporarily unavailable"));
        assert_eq!(begun.take(), [""; 0]);
    })
    .await;
}
