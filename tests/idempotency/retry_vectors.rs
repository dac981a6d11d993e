//! For every preset with a key, a retry as its sender makes it, which must not run again, and
//! another event that is as similar as the sender can make it, which must run. The rows are in
//! `vectors/retries.json`.

use std::collections::{BTreeMap, BTreeSet};

use integration_tests::{
    AnyStore, PUBLIC_URL, STORES, each_place, each_store, secret_of, size, verifier_of,
};
use serde::Deserialize;
use serde_json::Value;
use webhook_verify::{
    Idempotency, MemoryStore, Receiver, Scheme,
    adapter::Admission,
    clock::Clock as _,
    scheme,
    testing::{SignedRequest, Signer},
};

use crate::{common::*, sender::patient};

/// An event, and how a retry of it and another event differ from it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    scheme: String,
    event: Sent,
    retry: Sent,
    twin: Sent,
}

/// A request, or the changes to the request of the event.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sent {
    /// A JSON document, or the text of another body.
    body: Option<Value>,
    /// New values in the JSON body, by their pointers.
    set: BTreeMap<String, Value>,
    /// The delivery ID in its header.
    id: Option<String>,
    /// The event type in its header.
    event_type: Option<String>,
    /// How many seconds after the event this is signed.
    later: u64,
    /// The recorded headers of a request that was signed with a private key.
    headers: Vec<(String, String)>,
    /// The public key of such requests.
    secret: Option<String>,
    /// For a retry: the preset is known not to recognise it, and its page says so.
    runs_again: bool,
}

impl Sent {
    /// Returns the request with these changes.
    fn with(&self, changes: &Self) -> Self {
        let mut sent = Self { later: changes.later, ..self.clone() };
        if changes.body.is_some() {
            sent.body.clone_from(&changes.body);
        }
        for (pointer, value) in &changes.set {
            let body = sent.body.as_mut().unwrap();
            *body.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value.clone();
        }
        if !changes.headers.is_empty() {
            sent.headers.clone_from(&changes.headers);
        }
        sent.id = changes.id.clone().or(sent.id);
        sent.event_type = changes.event_type.clone().or(sent.event_type);
        sent
    }

    fn sign(&self, signer: &Signer, clock: &HandClock) -> SignedRequest {
        let mut signer = signer.clone().at(clock.now() + seconds(self.later));
        if let Some(id) = &self.id {
            signer = signer.id(id);
        }
        if let Some(event_type) = &self.event_type {
            signer = signer.event_type(event_type);
        }
        let body = match self.body.as_ref().unwrap() {
            Value::String(text) => text.clone(),
            json => json.to_string(),
        };
        if self.headers.is_empty() {
            return signer.sign(body).unwrap();
        }
        let mut request = signed(scheme::GENERIC_HEX, body);
        request.headers.clone_from(&self.headers);
        request
    }
}

/// The requests of a row, and a receiver for them.
pub(crate) struct Case {
    pub(crate) scheme: Scheme,
    pub(crate) secret: String,
    pub(crate) clock: HandClock,
    pub(crate) event: SignedRequest,
    retry: SignedRequest,
    pub(crate) twin: SignedRequest,
    /// How many seconds after the event the retry is sent.
    later: u64,
    runs_again: bool,
}

impl Case {
    fn new(row: &Row) -> Self {
        let scheme = Scheme::preset(&row.scheme).unwrap();
        let secret = row.event.secret.clone();
        assert_eq!(secret.is_some(), !scheme.algorithm().is_symmetric(), "{}", row.scheme);
        let secret = secret.unwrap_or_else(|| secret_of(&scheme).to_owned());
        let signer = Signer::new(scheme.clone(), &*secret).unwrap();
        let (signer, clock) = (signer.public_url(PUBLIC_URL), HandClock::new());
        let sign = |sent: &Sent| sent.sign(&signer, &clock);
        let [event, retry, twin] =
            [sign(&row.event), sign(&row.event.with(&row.retry)), sign(&row.event.with(&row.twin))];
        let (later, runs_again) = (row.retry.later, row.retry.runs_again);
        Self { scheme, secret, clock, event, retry, twin, later, runs_again }
    }

    fn name(&self) -> &str {
        self.scheme.name()
    }

    /// The requests in order, each with the number of runs after it.
    fn steps(&self) -> [(&str, &SignedRequest, usize); 3] {
        let retry = 1 + usize::from(self.runs_again);
        [("event", &self.event, 1), ("retry", &self.retry, retry), ("twin", &self.twin, retry + 1)]
    }

    /// Sends a request while the verifier's clock shows the time at which it was signed.
    async fn at_its_time<T>(&self, what: &str, send: impl Future<Output = T>) -> T {
        let later = seconds(if what == "retry" { self.later } else { 0 });
        self.clock.advance(later);
        let response = send.await;
        self.clock.set_back(later);
        response
    }

    fn receiver(&self, store: AnyStore) -> Receiver {
        let verifier = verifier_of(&self.scheme).secret(&*self.secret).clock(self.clock.clone());
        let idempotency = patient(Idempotency::new(store, self.name()));
        Receiver::builder(verifier.build().unwrap()).idempotency(idempotency).build().unwrap()
    }
}

fn rows() -> Vec<Row> {
    serde_json::from_str(include_str!("../vectors/retries.json")).unwrap()
}

pub(crate) fn cases() -> Vec<Case> {
    rows().iter().map(Case::new).collect()
}

fn memory() -> AnyStore {
    AnyStore::Memory(MemoryStore::new().into())
}

#[test]
fn every_preset_with_a_key_has_retry_vectors() {
    let expected: BTreeSet<_> = Scheme::presets()
        .filter(|scheme| has_key(scheme))
        .map(|scheme| scheme.name().to_owned())
        .collect();
    let rows = rows();
    let named: BTreeSet<_> = rows.iter().map(|row| row.scheme.clone()).collect();
    assert_eq!(named.len(), rows.len(), "a preset has two rows");
    assert_eq!(named, expected);
    // A row may say so only of what the preset's page says, too.
    let again: Vec<_> = rows.iter().filter(|row| row.retry.runs_again).collect();
    assert!(again.iter().all(|row| row.scheme == "docusign"));
}

/// Sends the requests of each row on every store, without a framework.
#[tokio::test]
async fn retry_vectors_on_every_store() {
    each_store(&STORES, async |place| {
        // Each store has clocks of its own, because stores run side by side.
        let cases = cases();
        let store = place.open().await;
        let mut faults = Vec::new();
        for case in &cases {
            let receiver = case.receiver(store.clone());
            let mut runs = 0;
            for (what, request, expected) in case.steps() {
                match case.at_its_time(what, admit(&receiver, request, never)).await {
                    Ok(Admission::Admitted(admitted)) => {
                        runs += 1;
                        finish(admitted, 200).await.unwrap();
                    }
                    Ok(Admission::Answer(answer)) if (200..300).contains(&answer.status()) => {}
                    other => faults.push(format!("{} {what}: {other:?}", case.name())),
                }
                if runs != expected {
                    faults.push(format!("{} {what}: {runs} runs", case.name()));
                }
            }
        }
        assert!(faults.is_empty(), "{faults:#?}");
    })
    .await;
}

async fn over_http(case: &Case, framework: Framework, store: AnyStore, faults: &mut Vec<String>) {
    let site = Site::on(framework, case.receiver(store), answer(200)).await;
    for (what, request, runs) in case.steps() {
        let before = site.runs();
        let response = case.at_its_time(what, site.post(request)).await;
        let is_replay = is_replay(&response);
        let is_right = (200..300).contains(&response.status)
            && site.runs() == runs
            && is_replay == (before == runs);
        if !is_right {
            faults.push(format!(
                "{} {what}: {}, {} runs, replay {is_replay}",
                case.name(),
                response.status,
                site.runs()
            ));
        }
    }
}

#[tokio::test]
async fn retry_vectors_through_both_adapters() {
    each_framework(|framework| async move {
        let mut faults = Vec::new();
        for case in &cases() {
            over_http(case, framework, memory(), &mut faults).await;
        }
        assert!(faults.is_empty(), "{faults:#?}");
    })
    .await;
}

/// One preset for each kind of key, and in a thorough run all.
#[tokio::test]
async fn retry_vectors_through_both_adapters_on_every_store() {
    const SOME: [&str; 8] =
        ["github", "linear", "line", "mautic", "nylas", "standard-webhooks", "stripe", "twenty"];
    for kind in STORES {
        each_place(&[kind], async |place, framework| {
            let all = cases();
            let some = all.iter().filter(|case| size(SOME.contains(&case.name()), true));
            let some: Vec<_> = some.collect();
            assert!(some.len() >= SOME.len());
            let (store, mut faults) = (place.open().await, Vec::new());
            for case in some {
                over_http(case, framework, store.clone(), &mut faults).await;
            }
            assert!(faults.is_empty(), "{faults:#?}");
        })
        .await;
    }
}
