//! The metrics of a receiver, and the dashboard and alerts that use them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use integration_tests::Panicking;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, RequestHead, Secret, Verifier,
    adapter::Admission,
    scheme,
    testing::{SignedRequest, Signer},
};

/// The sum of what was recorded, by kind, name and labels, and the largest value.
#[derive(Clone, Default)]
struct Recorded(Arc<Mutex<BTreeMap<String, (f64, f64)>>>);

struct One(Recorded, String);

impl One {
    fn add(&self, value: f64) {
        let mut all = self.0.0.lock().unwrap();
        let (sum, most) = all.entry(self.1.clone()).or_default();
        *sum += value;
        *most = most.max(*sum);
    }
}

impl CounterFn for One {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }

    fn absolute(&self, _: u64) {
        panic!("nobody sets a counter");
    }
}

impl GaugeFn for One {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, _: f64) {
        panic!("nobody sets a gauge");
    }
}

impl HistogramFn for One {
    fn record(&self, value: f64) {
        assert!((0.0..60.0).contains(&value), "{value} s");
        self.add(1.0);
    }
}

impl Recorded {
    fn one(&self, key: &Key) -> Arc<One> {
        let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
        let name = format!("{}{}", key.name(), labels.collect::<String>());
        Arc::new(One(self.clone(), name))
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}

/// Sends a request, and runs a handler for it.
async fn deliver(receiver: &Receiver, request: &SignedRequest, body: Bytes, status: u16) {
    let head = RequestHead::new(&request.headers);
    let body = stream::iter([Ok::<_, std::io::Error>(body)]);
    if let Ok(Admission::Admitted(admitted)) = receiver.admit(&head, body).await {
        admitted.handle(async { status }, |status| Some(*status)).await.unwrap();
    }
}

/// Returns everything that is recorded for a success, its duplicate, a failure and two refusals.
fn recorded() -> BTreeMap<String, (f64, f64)> {
    let recorded = Recorded::default();
    metrics::with_local_recorder(&recorded, || {
        // The recorder belongs to this thread, so everything runs on it.
        let secrets = ["a new secret", "an old secret"];
        let verifier = Verifier::builder(scheme::GITHUB);
        let verifier = secrets.iter().fold(verifier, |verifier, secret| verifier.secret(*secret));
        let receiver = Receiver::builder(verifier)
            .idempotency(Idempotency::new(MemoryStore::new(), "of-claims"))
            .endpoint("counted")
            .timer(|_| std::future::pending())
            .build()
            .unwrap();
        let sign = |secret: &str, body: &'static str| {
            let secret = Secret::new(secret).unwrap();
            Signer::new(scheme::GITHUB, secret).unwrap().id(body).sign(body).unwrap()
        };
        let (first, second) = (sign(secrets[1], "[1]"), sign(secrets[0], "[2]"));
        let all = async {
            deliver(&receiver, &first, first.body.clone(), 204).await;
            deliver(&receiver, &first, first.body.clone(), 204).await;
            deliver(&receiver, &second, second.body.clone(), 500).await;
            deliver(&receiver, &first, "forged".into(), 204).await;
            let mut unsigned = first.clone();
            unsigned.headers.clear();
            deliver(&receiver, &unsigned, first.body.clone(), 204).await;
        };
        all.now_or_never().unwrap();
    });
    recorded.0.lock().unwrap().clone()
}

#[test]
fn everything_is_counted_for_each_endpoint() {
    let recorded = recorded();
    let of = |name: &str, labels: &str| {
        let labels = format!("webhook_verify_{name} endpoint=counted scheme=github{labels}");
        recorded.get(&labels).map(|(sum, _)| *sum)
    };
    for (name, labels, expected) in [
        ("received_total", "", 5.0),
        ("refused_total", " reason=signature_mismatch", 1.0),
        ("refused_total", " reason=missing_signature", 1.0),
        ("handled_total", " status=2xx", 1.0),
        ("handled_total", " status=5xx", 1.0),
        ("handler_seconds", "", 2.0),
        ("secret_total", " index=0", 1.0),
        ("secret_total", " index=1", 2.0),
        ("in_progress", "", 0.0),
    ] {
        assert_eq!(of(name, labels), Some(expected), "{name}{labels}: {recorded:#?}");
    }
    let most = recorded["webhook_verify_in_progress endpoint=counted scheme=github"].1;
    assert!((most - 1.0).abs() < f64::EPSILON, "{most}");
    for (call, count) in [("claim", 3.0), ("complete", 1.0), ("release", 1.0)] {
        let name = format!("webhook_verify_store_seconds endpoint=of-claims call={call}");
        assert_eq!(recorded[&name].0, count, "{call}");
    }
    assert_eq!(recorded["webhook_verify_claims_total event=duplicate endpoint=of-claims"].0, 1.0);
}

/// A panic of the user's code is counted like an error of it.
#[test]
fn panics_are_counted() {
    let recorded = Recorded::default();
    metrics::with_local_recorder(&recorded, || {
        let request = Signer::new(scheme::GITHUB, "a secret").unwrap().sign("{}").unwrap();
        let of_store = |call| Idempotency::new(Panicking::new(call, true), "panics");
        let keyless = Idempotency::new(MemoryStore::new(), "panics");
        for idempotency in [
            keyless.identity_from(|_| panic!("on purpose")),
            of_store("claim"),
            of_store("complete").complete_tries(1),
        ] {
            let receiver = Receiver::builder(Verifier::new(scheme::GITHUB, "a secret").unwrap())
                .idempotency(idempotency)
                .timer(|_| std::future::pending())
                .build()
                .unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(deliver(&receiver, &request, request.body.clone(), 200));
        }
    });
    let recorded = recorded.0.lock().unwrap().clone();
    let of = |name: &str, labels: &str| {
        recorded.get(&format!("webhook_verify_{name} {labels}")).map(|(sum, _)| *sum)
    };
    for (name, labels, expected) in [
        ("refused_total", "endpoint=panics scheme=github reason=callback_panicked", 1.0),
        ("refused_total", "endpoint=panics scheme=github reason=store", 1.0),
        ("handled_total", "endpoint=panics scheme=github status=2xx", 1.0),
        // The claim is repeated once.
        ("claims_total", "event=store_failed endpoint=panics", 3.0),
    ] {
        assert_eq!(of(name, labels), Some(expected), "{name} {labels}: {recorded:#?}");
    }
}

/// Returns the names of this project's metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("webhook_verify_"));
    let bare = |word: &str| {
        let suffix = ["_bucket", "_sum", "_count"].iter().find_map(|it| word.strip_suffix(it));
        suffix.unwrap_or(word).to_owned()
    };
    words.map(bare).collect()
}

#[test]
fn the_dashboard_and_the_alerts_use_metrics_that_exist() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../webhook-verify/docs/monitoring");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let emitted: BTreeSet<_> =
        recorded().into_keys().map(|key| key.split(' ').next().unwrap().to_owned()).collect();

    let dashboard: serde_json::Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut shown = BTreeSet::new();
    for panel in panels {
        assert!(panel["title"].is_string() && panel["gridPos"]["w"].is_u64(), "{panel}");
        for target in panel["targets"].as_array().unwrap() {
            let used = names(target["expr"].as_str().unwrap());
            assert!(!used.is_empty(), "{target}");
            shown.extend(used);
        }
    }
    assert_eq!(shown, emitted, "the dashboard shows each metric");

    let alerts: serde_json::Value = serde_saphyr::from_str(&read("alerts.yml")).unwrap();
    let rules = alerts["groups"][0]["rules"].as_array().unwrap();
    for rule in rules {
        for text in ["alert", "expr", "for"] {
            assert!(rule[text].is_string(), "{rule}");
        }
        assert!(rule["annotations"]["summary"].is_string(), "{rule}");
        let used = names(rule["expr"].as_str().unwrap());
        assert!(!used.is_empty() && used.is_subset(&emitted), "{rule}");
    }
    assert!(rules.len() >= 5);

    let page = std::fs::read_to_string(folder.join("../monitoring.md")).unwrap();
    assert_eq!(names(&page), emitted, "the page lists each metric");
}
