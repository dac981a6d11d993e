//! The metrics of a receiver, and the dashboard and alerts that use them.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    future::pending,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use integration_tests::{Folder, Logs, Panicking, soon};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use sqlx::{Connection as _, SqliteConnection};
use syn::visit::{self, Visit};
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, RequestHead, Secret, SqliteStore, Verifier,
    adapter::Admission,
    inbox::{Discard, EntryState, Inbox, InboxEvent},
    scheme,
    testing::{SignedRequest, Signer},
};

use crate::{field, lines};

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

    fn set(&self, value: f64) {
        let mut all = self.0.0.lock().unwrap();
        let (sum, most) = all.entry(self.1.clone()).or_default();
        *sum = value;
        *most = most.max(value);
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

/// Returns everything that is recorded for a success, its duplicate, a failure and two refusals,
/// and for an inbox.
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
            .timer(|_| pending())
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(process(&recorded));
    });
    recorded.0.lock().unwrap().clone()
}

/// Stores six events and a duplicate in an inbox. For one of its consumers, processes them: one
/// succeeds, one is discarded, one is retried, one dies, the lease of one is lost, and the shutdown
/// cuts one off. Another consumer is then removed.
async fn process(recorded: &Recorded) {
    let folder = Folder::new("metrics");
    let url = format!("sqlite://{}", folder.path().join("inbox.db").display());
    let inbox = Inbox::new(SqliteStore::connect(&url).await.unwrap(), "of-inbox")
        .consumers(["works", "idles", "removed"]);
    let verifier = Verifier::new(scheme::GITHUB, "a secret").unwrap();
    let receiver = Receiver::builder(verifier).inbox(&inbox);
    let receiver = receiver.timer(tokio::time::sleep).build().unwrap();
    for body in ["cut off", "done", "discarded", "retried", "dead", "lost", "lost"] {
        let signer = Signer::new(scheme::GITHUB, "a secret").unwrap().id(body);
        let request = signer.sign(body).unwrap();
        deliver(&receiver, &request, request.body.clone(), 204).await;
    }
    let inbox = inbox.consumers(["works", "idles"]);
    let worker = || {
        let url = url.clone();
        let handler = move |event: InboxEvent| {
            let url = url.clone();
            async move { handle(&url, &event).await }
        };
        let worker = inbox.worker(handler).consumer("works").max_attempts(2).concurrency(2);
        worker.grace(Duration::ZERO).backoff(Duration::from_millis(1), Duration::from_millis(1))
    };
    let until = async |name: &str, labels: &str, expected: f64| {
        let name = format!("webhook_verify_inbox_{name} endpoint=of-inbox consumer={labels}");
        let is_there = || {
            let recorded = recorded.0.lock().unwrap();
            recorded.get(&name).is_some_and(|(sum, _)| *sum == expected)
        };
        let waiting = async {
            while !is_there() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(&format!("{name} to be {expected}"), waiting).await;
    };
    let done = async {
        until("attempts_total", "works outcome=processed", 3.0).await;
        until("attempts_total", "works outcome=discarded", 1.0).await;
        until("attempts_total", "works outcome=dead", 1.0).await;
        until("waiting", "idles", 6.0).await;
        until("waiting", "removed", 6.0).await;
    };
    worker().run_until(done).await.unwrap();
    let released = inbox.filter().consumer("works").state(EntryState::Waiting);
    assert_eq!(inbox.discard(&released).await.unwrap(), 1);
    // A worker refreshes the gauges when it starts.
    let refreshed = async {
        for (name, expected) in [("dead", 1.0), ("waiting", 0.0), ("running", 0.0)] {
            until(name, "works", expected).await;
        }
    };
    worker().run_until(refreshed).await.unwrap();
}

/// Does to an event what its body says.
async fn handle(url: &str, event: &InboxEvent) -> Result<(), Box<dyn Error + Send + Sync>> {
    match (&event.body()[..], event.attempt()) {
        (b"discarded", _) => Err(Discard.into()),
        (b"dead", _) | (b"retried", 1) => Err("on purpose".into()),
        (b"lost", 1) => {
            let mut connection = SqliteConnection::connect(url).await?;
            let lose = "UPDATE webhook_inbox_entry SET state = 0, owner = NULL, due_at = 0
              WHERE consumer = 'works'
                AND event = (SELECT number FROM webhook_inbox WHERE body = ?)";
            sqlx::query(lose).bind(event.body().to_vec()).execute(&mut connection).await?;
            Ok(())
        }
        (b"cut off", _) => pending().await,
        _ => Ok(()),
    }
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
    for (name, labels, expected) in [
        ("stored_total", " consumer=works", 6.0),
        ("stored_total", " consumer=idles", 6.0),
        ("duplicates_total", "", 1.0),
        ("attempts_total", " consumer=works outcome=processed", 3.0),
        ("attempts_total", " consumer=works outcome=retried", 2.0),
        ("attempts_total", " consumer=works outcome=discarded", 1.0),
        ("attempts_total", " consumer=works outcome=dead", 1.0),
        ("attempts_total", " consumer=works outcome=lost", 1.0),
        ("attempts_total", " consumer=works outcome=released", 1.0),
        ("handler_seconds", " consumer=works", 9.0),
        ("waiting", " consumer=works", 0.0),
        ("running", " consumer=works", 0.0),
        ("dead", " consumer=works", 1.0),
        ("oldest_age_seconds", " consumer=works", 0.0),
        // The worker of one consumer shows the others too.
        ("waiting", " consumer=idles", 6.0),
        ("running", " consumer=idles", 0.0),
        ("dead", " consumer=idles", 0.0),
        ("waiting", " consumer=removed", 6.0),
    ] {
        let key = format!("webhook_verify_inbox_{name} endpoint=of-inbox{labels}");
        assert_eq!(recorded.get(&key).map(|(sum, _)| *sum), Some(expected), "{key}");
    }
    let oldest = "webhook_verify_inbox_oldest_age_seconds endpoint=of-inbox consumer=idles";
    assert!(recorded[oldest].0 > 0.0);
    let insert = "webhook_verify_store_seconds endpoint=of-inbox call=insert";
    assert_eq!(recorded[insert].0, 7.0);
    let most = recorded["webhook_verify_in_progress endpoint=counted scheme=github"].1;
    assert!((most - 1.0).abs() < f64::EPSILON, "{most}");
    for (call, count) in [("claim", 3.0), ("complete", 1.0), ("release", 1.0)] {
        let name = format!("webhook_verify_store_seconds endpoint=of-claims call={call}");
        assert_eq!(recorded[&name].0, count, "{call}");
    }
    assert_eq!(recorded["webhook_verify_claims_total endpoint=of-claims event=duplicate"].0, 1.0);
}

/// Each line about an event of an inbox has the event's name, and the fields that tell which it is.
#[test]
fn events_of_an_inbox_are_logged_by_name() {
    let logs = Logs::collect();
    recorded();
    let attempt = ["consumer", "key", "attempt"];
    for (event, level, fields) in [
        ("stored", "DEBUG", &["events", "duplicates"][..]),
        ("processed", "DEBUG", &attempt),
        ("retried", "WARN", &[&attempt[..], &["after_ms", "error"]].concat()),
        ("discarded", "INFO", &attempt),
        ("dead", "ERROR", &[&attempt[..], &["error"]].concat()),
        ("lost", "ERROR", &attempt),
        ("released", "WARN", &attempt),
    ] {
        let lines = lines(&logs.text(), "of-inbox");
        let line = lines.iter().find(|line| field(line, "event") == event);
        let line = line.unwrap_or_else(|| panic!("no {event}: {lines:#?}"));
        assert!(line.contains(&format!(" {level} webhook_verify: ")), "{line}");
        for name in fields {
            assert!(!field(line, name).is_empty(), "{name}: {line}");
        }
    }
}

/// A panic in the user's code is counted like an error.
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
                .timer(|_| pending())
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
        ("claims_total", "endpoint=panics event=store_failed", 3.0),
    ] {
        assert_eq!(of(name, labels), Some(expected), "{name} {labels}: {recorded:#?}");
    }
}

/// The names of metrics, and the values of their labels.
type Labels = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Returns the metrics that a real run recorded.
fn emitted() -> Labels {
    let mut emitted = Labels::new();
    for key in recorded().into_keys() {
        let mut words = key.split(' ');
        let labels = emitted.entry(words.next().unwrap().to_owned()).or_default();
        for (label, value) in words.map(|label| label.split_once('=').unwrap()) {
            labels.entry(label.to_owned()).or_default().insert(value.to_owned());
        }
    }
    emitted
}

/// The functions that return the values of labels, with their files.
const VALUES: [(&str, &str, &str); 5] = [
    ("reason", "error.rs", "reason"),
    ("reason", "receive/rejection.rs", "reason"),
    ("event", "claim/notice.rs", "name"),
    ("status", "receive/meter.rs", "count_handled"),
    ("outcome", "inbox/notice.rs", "name"),
];

/// The texts in the functions with a name.
struct Texts {
    of: &'static str,
    texts: BTreeSet<String>,
}

impl<'ast> Visit<'ast> for Texts {
    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if function.sig.ident == self.of {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.texts.insert(text.value());
    }
}

/// Returns the values that labels can have, from the source.
fn values() -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut values = BTreeMap::<_, BTreeSet<_>>::new();
    for (label, file, function) in VALUES {
        let text = std::fs::read_to_string(folder().join("../../src").join(file)).unwrap();
        let mut texts = Texts { of: function, texts: BTreeSet::new() };
        texts.visit_file(&syn::parse_file(&text).unwrap());
        assert!(texts.texts.len() > 4, "{file}: {:?}", texts.texts);
        values.entry(label).or_default().extend(texts.texts);
    }
    values
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../webhook-verify/docs/monitoring")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// Returns the names of this project's metrics in a text, each with the text after it.
fn names(text: &str) -> Vec<(&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = text.match_indices("webhook_verify_").map(|(at, _)| &text[at..]);
    starts.map(|rest| rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()))).collect()
}

/// Returns the names between `start` and `end`, separated by commas.
fn lists<'t>(text: &'t str, start: &str, end: char) -> Vec<BTreeSet<&'t str>> {
    let list = |rest: &'t str| rest.split_once(end).unwrap().0.split(',').map(str::trim).collect();
    text.split(start).skip(1).map(list).collect()
}

/// Checks the metrics, labels and values in a PromQL expression. `variables` are those of the
/// dashboard, with their values. Returns the metrics and the labels of the result.
fn check<'q>(
    query: &'q str,
    emitted: &Labels,
    variables: &BTreeMap<String, BTreeSet<String>>,
) -> (BTreeSet<String>, BTreeSet<&'q str>) {
    let (mut used, values) = (BTreeSet::new(), values());
    let groups = lists(query, " by (", ')');
    assert!(!groups.is_empty() && groups.iter().all(|group| *group == groups[0]), "{query}");
    for (name, rest) in names(query) {
        let suffixes = ["_bucket", "_sum", "_count"];
        let bare = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
        let metric = bare.unwrap_or(name);
        let labels = emitted.get(metric).unwrap_or_else(|| panic!("no metric {metric}: {query}"));
        let is_histogram = metric.ends_with("_seconds") && !metric.ends_with("_age_seconds");
        assert_eq!(bare.is_some(), is_histogram, "histograms: {query}");
        // A healthy consumer must not hide one without a worker.
        let is_per_consumer = !labels.contains_key("consumer") || groups[0].contains("consumer");
        assert!(is_per_consumer, "consumers are added up: {query}");
        for label in &groups[0] {
            let of_buckets = *label == "le" && name.ends_with("_bucket");
            assert!(of_buckets || labels.contains_key(*label), "{metric} has no {label}: {query}");
        }
        let matchers = rest.strip_prefix('{').map_or("", |rest| rest.split_once('}').unwrap().0);
        for matcher in matchers.split(',').filter(|matcher| !matcher.is_empty()) {
            let (label, value) = matcher.split_once(['=', '!']).unwrap();
            let recorded = labels.get(label);
            let recorded = recorded.unwrap_or_else(|| panic!("{metric} has no {label}: {query}"));
            let value = value.trim_start_matches(['=', '~']).trim_matches('"');
            if let Some(variable) = value.strip_prefix('$') {
                assert!(recorded.is_subset(&variables[variable]), "${variable}: {query}");
                continue;
            }
            for value in value.split('|') {
                let is_in_source = values.get(label).is_some_and(|values| values.contains(value));
                assert!(is_in_source || recorded.contains(value), "no {label} {value}: {query}");
            }
        }
        used.insert(metric.to_owned());
    }
    assert!(!used.is_empty(), "{query}");
    let mut group = groups.into_iter().next().unwrap();
    group.remove("le");
    (used, group)
}

/// Returns the names of the labels that a template such as `{{ $labels.endpoint }}` contains.
fn templated(text: &str) -> BTreeSet<&str> {
    let names = lists(text, "{{", '}').into_iter().flatten();
    names.map(|name| name.trim_start_matches("$labels.")).collect()
}

#[test]
fn label_values_in_the_source_are_those_that_are_recorded() {
    let values = values();
    for labels in emitted().values() {
        for (label, recorded) in labels {
            if let Some(values) = values.get(&**label) {
                assert!(recorded.is_subset(values), "{label}: {recorded:?}");
            }
        }
    }
}

#[test]
fn the_dashboard_shows_each_metric_by_labels_that_exist() {
    let emitted = emitted();
    let dashboard: serde_json::Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let mut variables = BTreeMap::new();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let query = variable["query"].as_str().unwrap();
        if variable["type"] == "query" {
            let query = query.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
            let (metric, label) = query.split_once(", ").unwrap();
            let values = emitted[metric][label].clone();
            variables.insert(variable["name"].as_str().unwrap().to_owned(), values);
        }
    }
    let mut shown = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(panel["title"].is_string() && panel["gridPos"]["w"].is_u64(), "{panel}");
        for target in panel["targets"].as_array().unwrap() {
            let (used, labels) = check(target["expr"].as_str().unwrap(), &emitted, &variables);
            let legend = templated(target["legendFormat"].as_str().unwrap());
            assert_eq!(legend, labels, "{target}");
            shown.extend(used);
        }
    }
    assert_eq!(shown, emitted.into_keys().collect(), "the dashboard shows each metric");
}

#[test]
fn the_alerts_use_metrics_labels_and_values_that_exist() {
    let (emitted, variables) = (emitted(), BTreeMap::new());
    let alerts: serde_json::Value = serde_saphyr::from_str(&read("alerts.yml")).unwrap();
    let rules = alerts["groups"][0]["rules"].as_array().unwrap();
    for rule in rules {
        for text in ["alert", "expr", "for"] {
            assert!(rule[text].is_string(), "{rule}");
        }
        let (_, labels) = check(rule["expr"].as_str().unwrap(), &emitted, &variables);
        let annotations = rule["annotations"].as_object().unwrap();
        assert!(annotations.contains_key("summary"), "{rule}");
        for text in annotations.values() {
            assert!(templated(text.as_str().unwrap()).is_subset(&labels), "{rule}");
        }
    }
    assert!(rules.len() >= 5);
}

#[test]
fn the_page_lists_each_metric_with_its_labels() {
    let page = read("../monitoring.md");
    let rows = page.lines().filter_map(|row| row.strip_prefix("| `webhook_verify_"));
    let listed: BTreeMap<_, BTreeSet<_>> = rows
        .map(|row| {
            let cells: Vec<_> = row.split(" | ").collect();
            let labels = cells[2].split(", ").map(|label| label.trim_matches('`').to_owned());
            (format!("webhook_verify_{}", cells[0].trim_end_matches('`')), labels.collect())
        })
        .collect();
    let labels = |values: BTreeMap<String, _>| values.into_keys().collect();
    let emitted = emitted().into_iter().map(|(name, values)| (name, labels(values)));
    assert_eq!(listed, emitted.collect());
    for (name, _) in names(&page) {
        assert!(listed.contains_key(name), "{name}");
    }
}
