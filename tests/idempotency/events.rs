//! Reports about claims: to the callback, the log and the counters, under the same names.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
};

use futures_util::FutureExt as _;
use metrics::{
    Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use webhook_verify::{
    Idempotency, MemoryStore, adapter::Admission, idempotency::OnMismatch, scheme,
};

use crate::common::*;

#[tokio::test]
async fn every_outcome_is_told() {
    each_framework(|framework| async move {
        let told = Told::default();
        let store = Watched::new();
        let idempotency = Idempotency::new(Arc::clone(&store), format!("told {framework:?}"))
            .on_mismatch(OnMismatch::Report);
        let gate = Gate::new();
        let site = Site::on(
            framework,
            receiver_with(scheme::STANDARD_WEBHOOKS, told.by(idempotency)),
            gate.handler(|run| if run == 1 { 500 } else { 200 }),
        )
        .await;
        let sender = signer(scheme::STANDARD_WEBHOOKS).id("msg_1");
        let [request, other] = ["{}", "[]"].map(|body| sender.sign(body).unwrap());

        store.fail_claims.store(2, SeqCst);
        assert_eq!(site.post(&request).await.status, 503);
        assert_eq!(told.take(), ["store_failed", "store_failed"]);

        let mut first = site.send(&request).await;
        gate.entered().await;
        assert_in_flight(&site.post(&request).await);
        assert_eq!(told.take(), ["claimed", "in_flight"]);
        gate.open(1);
        assert_eq!(first.response().await.unwrap().status, 500);
        assert_eq!(told.take(), ["released"]);

        gate.open(1);
        store.fail_completes.store(1, SeqCst);
        assert_eq!(site.post(&request).await.status, 200);
        assert_eq!(told.take(), ["claimed", "store_failed", "completed"]);
        assert_replay(&site.post(&request).await, 200);
        assert_replay(&site.post(&other).await, 200);
        assert_eq!(told.take(), ["duplicate", "duplicate", "mismatch"]);

        // A request that is not authentic causes no report.
        let mut forged = request.clone();
        forged.body = "[]".into();
        assert_eq!(site.post(&forged).await.status, 401);
        assert_eq!(told.take(), [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_refused_mismatch_and_a_lost_lease_are_told() {
    let told = Told::default();
    let clock = HandClock::new();
    let store = MemoryStore::new().clock(clock.clone());
    let idempotency = Idempotency::new(store, "tests").on_mismatch(OnMismatch::Reject);
    let receiver = receiver_with(scheme::STANDARD_WEBHOOKS, told.by(idempotency));
    let sender = signer(scheme::STANDARD_WEBHOOKS).id("msg_1");
    let [request, other] = ["{}", "[]"].map(|body| sender.sign(body).unwrap());

    let mut admitted = Vec::new();
    for _ in 0..2 {
        match admit(&receiver, &request, never).await.unwrap() {
            Admission::Admitted(one) => admitted.push(one),
            Admission::Answer(_) => panic!("it is not completed"),
        }
        clock.advance(seconds(60));
    }
    let successor = admitted.pop().unwrap();
    finish(admitted.pop().unwrap(), 200).await.unwrap();
    assert_eq!(told.take(), ["claimed", "claimed", "lease_lost"]);
    finish(successor, 201).await.unwrap();
    let refused = admit(&receiver, &other, never).await.unwrap_err();
    assert_eq!(refused.status(), 503);
    assert_eq!(told.take(), ["completed", "mismatch"]);
}

/// The log has the fields `event`, `endpoint` and `key`, to filter by.
#[tokio::test]
async fn events_are_in_the_log() {
    let logs = Logs::collect();
    let idempotency = Idempotency::new(MemoryStore::new(), "logged");
    let receiver = receiver_with(scheme::GITHUB, idempotency);
    let request = signed(scheme::GITHUB, "{}");
    let admitted = admitted(&receiver, &request, never).await;
    let key = admitted.delivery().claim().unwrap().key();
    finish(admitted, 204).await.unwrap();
    let _ = admit(&receiver, &request, never).await.unwrap();
    let text = logs.text();
    for event in ["claimed", "completed", "duplicate"] {
        let fields = format!(r#"event="{event}" endpoint="logged" key={key}"#);
        assert_eq!(text.matches(&fields).count(), 1, "{fields}");
    }
}

/// Counters by name and labels.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<BTreeMap<String, u64>>>);

struct OneCount(Counts, String);

impl CounterFn for OneCount {
    fn increment(&self, value: u64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += value;
    }

    fn absolute(&self, _: u64) {
        panic!("nobody sets a counter");
    }
}

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<_> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        Counter::from_arc(Arc::new(OneCount(self.clone(), name)))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn events_are_counted() {
    let counts = Counts::default();
    metrics::with_local_recorder(&counts, || {
        // The recorder belongs to this thread, so everything runs on it.
        let counted = async {
            let idempotency = Idempotency::new(MemoryStore::new(), "counted");
            let receiver = receiver_with(scheme::GITHUB, idempotency);
            let request = signed(scheme::GITHUB, "{}");
            for _ in 0..3 {
                if let Admission::Admitted(admitted) =
                    admit(&receiver, &request, never).await.unwrap()
                {
                    finish(admitted, 204).await.unwrap();
                }
            }
        };
        counted.now_or_never().unwrap();
    });
    let mut counted = counts.0.lock().unwrap().clone();
    counted.retain(|counter, _| counter.starts_with("webhook_verify_claims_total"));
    let name = "webhook_verify_claims_total endpoint=counted event=";
    let expected = [
        (format!("{name}claimed"), 1),
        (format!("{name}completed"), 1),
        (format!("{name}duplicate"), 2),
    ];
    assert_eq!(counted, BTreeMap::from(expected));
}
