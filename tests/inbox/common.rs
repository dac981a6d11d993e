//! Stores that fail on demand, requests, receivers and workers.

use std::{
    any::Any,
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use integration_tests::{
    AnyStore, App, Framework, Gate, Kind, Logs, Place, Response, Server, answer, exchange,
    raw_request, soon, unique,
};
use tokio::{sync::oneshot, task::JoinHandle, time::sleep};
use webhook_verify::{
    ConfigError, Receiver, Rejection, RequestHead, Scheme, Secret, Tenant, Verifier,
    adapter::Admission,
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, Settled, Step, StoreError,
        StoredResponse,
    },
    inbox::{
        Advance, Change, Entry, EntryHolder, EntryState, Extended, Filter, Inbox, InboxEvent,
        InboxStore, Inserted, Intake, LeaseRequest, Leased, Retention, Settlement, Stats, Worker,
    },
    scheme,
    testing::{SignedRequest, Signer},
};

/// The kinds of stores that have inboxes.
pub(crate) const STORES: [Kind; 2] = [Kind::Sqlite, Kind::Postgres];
pub(crate) const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) type Handled = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// How a call of a store fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does nothing and fails.
    Refused,
    /// It takes effect and fails.
    Unanswered,
    /// It takes effect, and the caller gets no result.
    Silent,
    /// It waits until the faults are cleared.
    Held,
    /// It does nothing, because another transaction has locked the entries. Only for `extend`.
    Locked,
    /// It leases an entry more than it was asked for. Only for `lease`.
    Generous,
    /// It panics.
    Panics,
}

/// The faults of a store, by the name of the call.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    faults: HashMap<&'static str, Fault>,
    calls: HashMap<&'static str, usize>,
    /// The ID of an event that cannot be stored.
    refused: Option<String>,
    /// How many of the next inserts never end. They have no effect.
    hanging: usize,
    /// The number of an event that cannot be settled.
    locked: Option<i64>,
}

impl Faults {
    pub(crate) fn set(&self, call: &'static str, fault: Fault) {
        self.0.lock().unwrap().faults.insert(call, fault);
    }

    fn get(&self, call: &'static str) -> Option<Fault> {
        self.0.lock().unwrap().faults.get(call).copied()
    }

    /// Makes each insert fail that contains the event with this ID.
    pub(crate) fn refuse_event(&self, id: &str) {
        self.0.lock().unwrap().refused = Some(id.to_owned());
    }

    /// Lets the next inserts never end.
    pub(crate) fn hang(&self, inserts: usize) {
        self.0.lock().unwrap().hanging = inserts;
    }

    /// Waits until so few of those inserts have not begun.
    pub(crate) async fn until_left_to_hang(&self, inserts: usize) {
        let hung = async {
            while self.0.lock().unwrap().hanging > inserts {
                sleep(MS).await;
            }
        };
        soon("inserts", hung).await;
    }

    fn hangs(&self) -> bool {
        let hanging = &mut self.0.lock().unwrap().hanging;
        let hangs = *hanging > 0;
        *hanging -= usize::from(hangs);
        hangs
    }

    /// Lets each call fail that settles the event with this number.
    pub(crate) fn lock_event(&self, number: i64) {
        self.0.lock().unwrap().locked = Some(number);
    }

    /// Counts calls that settle several events as `settle together`.
    fn is_locked(&self, settlements: &[Settlement]) -> bool {
        let mut state = self.0.lock().unwrap();
        if settlements.len() > 1 {
            *state.calls.entry("settle together").or_default() += 1;
        }
        settlements.iter().any(|it| Some(it.holder.number) == state.locked)
    }

    fn refuses(&self, intake: &Intake) -> bool {
        let refused = &self.0.lock().unwrap().refused;
        intake.events.iter().any(|new| new.event.id.is_some() && new.event.id == *refused)
    }

    pub(crate) fn clear(&self) {
        let mut state = self.0.lock().unwrap();
        state.faults.clear();
        state.locked = None;
    }

    /// Returns how many calls there were, and forgets them.
    pub(crate) fn take_calls(&self, call: &'static str) -> usize {
        self.0.lock().unwrap().calls.remove(call).unwrap_or(0)
    }

    fn calls(&self, call: &'static str) -> usize {
        self.0.lock().unwrap().calls.get(call).copied().unwrap_or(0)
    }

    /// Waits for so many more calls.
    pub(crate) async fn until_calls(&self, call: &'static str, more: usize) {
        let goal = self.calls(call) + more;
        let called = async {
            while self.calls(call) < goal {
                sleep(MS).await;
            }
        };
        soon("call of the store", called).await;
    }

    async fn through<T>(
        &self,
        call: &'static str,
        run: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let fault = {
            let mut state = self.0.lock().unwrap();
            *state.calls.entry(call).or_default() += 1;
            state.faults.get(call).copied()
        };
        match fault {
            None | Some(Fault::Generous) => run.await,
            Some(Fault::Refused | Fault::Locked) => Err(StoreError::new("refused")),
            Some(Fault::Unanswered) => {
                run.await?;
                Err(StoreError::new("no answer"))
            }
            Some(Fault::Panics) => panic!("on purpose"),
            Some(Fault::Silent) => {
                run.await?;
                std::future::pending().await
            }
            Some(Fault::Held) => {
                while self.0.lock().unwrap().faults.contains_key(call) {
                    sleep(MS).await;
                }
                run.await
            }
        }
    }
}

/// A store with faults.
#[derive(Clone)]
pub(crate) struct Faulty<S> {
    pub(crate) inner: S,
    pub(crate) faults: Faults,
}

impl<S: InboxStore> InboxStore for Faulty<S> {
    async fn insert(&self, intake: &Intake) -> Result<Vec<Inserted>, StoreError> {
        let insert = async {
            if self.faults.hangs() {
                return std::future::pending().await;
            }
            match self.faults.refuses(intake) {
                true => Err(StoreError::new("refused")),
                false => self.inner.insert(intake).await,
            }
        };
        self.faults.through("insert", insert).await
    }

    async fn lease(&self, request: &LeaseRequest) -> Result<Leased, StoreError> {
        let mut request = request.clone();
        if self.faults.get("lease") == Some(Fault::Generous) {
            request.max += 1;
        }
        self.faults.through("lease", self.inner.lease(&request)).await
    }

    async fn extend(
        &self,
        holders: &[EntryHolder],
        lease: Duration,
        limit: Duration,
    ) -> Result<Vec<Extended>, StoreError> {
        let extended =
            self.faults.through("extend", self.inner.extend(holders, lease, limit)).await;
        match self.faults.get("extend") {
            Some(Fault::Locked) => Ok(vec![Extended::Locked; holders.len()]),
            _ => extended,
        }
    }

    async fn settle(
        &self,
        settlements: &[Settlement],
        limit: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        let settle = async {
            match self.faults.is_locked(settlements) {
                true => Err(StoreError::new("locked")),
                false => self.inner.settle(settlements, limit).await,
            }
        };
        self.faults.through("settle", settle).await
    }

    async fn advance(&self, advance: &Advance, limit: Duration) -> Result<bool, StoreError> {
        self.faults.through("advance", self.inner.advance(advance, limit)).await
    }

    async fn stats(&self, endpoint: &str) -> Result<Vec<Stats>, StoreError> {
        self.faults.through("stats", self.inner.stats(endpoint)).await
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
        self.inner.list(filter).await
    }

    async fn change(&self, filter: &Filter, change: Change) -> Result<usize, StoreError> {
        self.inner.change(filter, change).await
    }

    async fn purge_inbox(
        &self,
        endpoint: &str,
        retention: &Retention,
        max: usize,
    ) -> Result<usize, StoreError> {
        self.inner.purge_inbox(endpoint, retention, max).await
    }

    async fn announce(&self, endpoint: &str) -> Result<(), StoreError> {
        self.faults.through("announce", self.inner.announce(endpoint)).await
    }

    async fn watch(
        &self,
        endpoint: &str,
        wake: &(dyn Fn() + Send + Sync),
    ) -> Result<(), StoreError> {
        self.faults.through("watch", self.inner.watch(endpoint, wake)).await
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self.inner.as_any()
    }
}

/// The inbox needs a store of claims only for its options.
impl<S: InboxStore> ClaimStore for Faulty<S> {
    async fn claim(&self, _: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        unreachable!()
    }

    async fn settle(&self, _: &[Holder], _: Step) -> Result<Vec<Settled>, StoreError> {
        unreachable!()
    }

    async fn complete_with(
        &self,
        _: &Holder,
        _: u16,
        _: Duration,
        _: &StoredResponse,
    ) -> Result<Settled, StoreError> {
        unreachable!()
    }

    async fn response(
        &self,
        _: &ClaimKey,
        _: Duration,
    ) -> Result<Option<StoredResponse>, StoreError> {
        unreachable!()
    }

    async fn forget(&self, _: &ClaimKey) -> Result<bool, StoreError> {
        unreachable!()
    }

    async fn purge(&self, _: usize) -> Result<usize, StoreError> {
        unreachable!()
    }
}

/// Opens an inbox of its own in this place, as one process does, and returns its faults.
pub(crate) async fn open(place: &Place) -> (Inbox, Faults) {
    open_named(place, &unique("inbox")).await
}

/// Opens an inbox that others may also have open.
pub(crate) async fn open_named(place: &Place, name: &str) -> (Inbox, Faults) {
    open_url(&place.url, name).await
}

/// Does what [`open_named`] does, in any runtime.
pub(crate) async fn open_url(url: &str, name: &str) -> (Inbox, Faults) {
    let faults = Faults::default();
    let of_inbox = faults.clone();
    let inbox = match AnyStore::open(url).await.unwrap() {
        AnyStore::Sqlite(inner) => Inbox::new(Faulty { inner, faults: of_inbox }, name),
        AnyStore::Postgres(inner) => Inbox::new(Faulty { inner, faults: of_inbox }, name),
        other => panic!("no inboxes in {other:?}"),
    };
    (inbox, faults)
}

pub(crate) fn signer(scheme: Scheme) -> Signer {
    Signer::new(scheme, SECRET).unwrap()
}

pub(crate) fn signed(scheme: Scheme, body: impl Into<Bytes>) -> SignedRequest {
    signer(scheme).sign(body).unwrap()
}

/// Returns a request of Mautic with the events of these numbers.
pub(crate) fn batch(numbers: impl IntoIterator<Item = usize>) -> SignedRequest {
    let events = numbers.into_iter().map(|number| format!(r#"{{"id":{number}}}"#));
    let events = events.collect::<Vec<_>>().join(",");
    signed(scheme::MAUTIC, format!(r#"{{"mautic.lead_post_save_update":[{events}]}}"#))
}

/// Returns a request with one event, which has an ID.
pub(crate) fn single(id: &str) -> SignedRequest {
    let body = r#"{"type":"contact.updated","timestamp":"2026-11-01T10:00:00Z","data":{"n":1}}"#;
    signer(scheme::STANDARD_WEBHOOKS).id(id).sign(body).unwrap()
}

pub(crate) fn receiver(scheme: Scheme, inbox: &Inbox) -> Receiver {
    Receiver::builder(Verifier::new(scheme, SECRET).unwrap()).inbox(inbox).build().unwrap()
}

/// Returns a receiver whose tenants are named by the paths of requests.
pub(crate) fn receiver_of_tenants(inbox: &Inbox) -> Receiver {
    Receiver::builder(Verifier::builder(scheme::STANDARD_WEBHOOKS))
        .tenants(|head| {
            let name = head.path().trim_start_matches('/').to_owned();
            async move { Ok(Some(Tenant::new(name, [Secret::new(SECRET)?]))) }
        })
        .inbox(inbox)
        .build()
        .unwrap()
}

/// Sends a request to a receiver without a framework.
pub(crate) async fn take(receiver: &Receiver, request: &SignedRequest) -> Result<u16, Rejection> {
    let head = RequestHead::new(&request.headers).method(&request.method).target(&request.target);
    let body = stream::iter([Ok::<_, std::io::Error>(request.body.clone())]);
    match receiver.clone().or_timer(sleep).admit(&head, body).await? {
        Admission::Answer(answer) => Ok(answer.status()),
        Admission::Admitted(_) => panic!("a handler has to run"),
    }
}

/// Stores events with these IDs, one by one.
pub(crate) async fn store<I: AsRef<str>>(inbox: &Inbox, ids: impl IntoIterator<Item = I>) {
    let receiver = receiver(scheme::STANDARD_WEBHOOKS, inbox);
    for id in ids {
        assert_eq!(take(&receiver, &single(id.as_ref())).await.unwrap(), 204);
    }
}

/// A receiver behind a framework. Its handler never runs.
pub(crate) struct Front {
    app: App,
    server: Server,
}

impl Front {
    pub(crate) async fn new(receiver: Receiver, framework: Framework) -> Self {
        let app = App::new(receiver, answer(500));
        Self { server: app.serve(framework).await, app }
    }

    pub(crate) async fn post(&self, request: &SignedRequest) -> Response {
        let raw = raw_request(&request.method, &request.target, &request.headers, &request.body);
        let response = exchange(self.server.addr, &raw).await;
        assert_eq!(self.app.runs(), 0, "no handler runs");
        response
    }
}

/// Returns a worker whose handlers wait at the gate.
pub(crate) fn held(
    inbox: &Inbox,
    gate: &Arc<Gate>,
) -> Worker<impl Fn(InboxEvent) -> BoxFuture<'static, Handled> + use<>> {
    let gate = gate.clone();
    inbox.worker(move |_| {
        let gate = gate.clone();
        Box::pin(async move {
            gate.wait().await;
            Ok(())
        }) as _
    })
}

/// A worker in a task of its own. Dropping it drops the worker's future.
pub(crate) struct Working {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ConfigError>>,
}

/// Starts a worker.
pub(crate) fn work<H, F>(worker: Worker<H>) -> Working
where
    H: Fn(InboxEvent) -> F + Send + Sync + 'static,
    F: Future<Output = Handled> + Send + 'static,
{
    let (stop, stopped) = oneshot::channel::<()>();
    let running = worker.run_until(async move { drop(stopped.await) });
    Working { stop: Some(stop), task: tokio::spawn(running) }
}

impl Working {
    /// Begins a shutdown.
    pub(crate) fn begin_to_stop(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) async fn stop(mut self) {
        self.begin_to_stop();
        self.until_stopped().await;
    }

    pub(crate) async fn until_stopped(&mut self) {
        soon("end of the worker", &mut self.task).await.unwrap().unwrap();
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns all entries.
pub(crate) async fn entries(inbox: &Inbox) -> Vec<Entry> {
    inbox.list(&inbox.filter().limit(usize::MAX)).await.unwrap()
}

/// Returns the entries in a state.
pub(crate) async fn in_state(inbox: &Inbox, state: EntryState) -> Vec<Entry> {
    inbox.list(&inbox.filter().state(state).limit(usize::MAX)).await.unwrap()
}

/// Waits until so many entries are in a state, and returns them.
pub(crate) async fn until(inbox: &Inbox, state: EntryState, count: usize) -> Vec<Entry> {
    let reached = async {
        loop {
            let found = in_state(inbox, state).await;
            if found.len() >= count {
                return found;
            }
            sleep(5 * MS).await;
        }
    };
    let found = soon(&format!("{count} entries that are {state:?}"), reached).await;
    assert_eq!(found.len(), count);
    found
}

/// The notes of handlers, in order.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub(crate) fn add(&self, note: impl Into<String>) {
        self.0.lock().unwrap().push(note.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn sorted(&self) -> Vec<String> {
        let mut notes = self.all();
        notes.sort();
        notes
    }

    pub(crate) async fn until(&self, count: usize) -> Vec<String> {
        let noted = async {
            while self.0.lock().unwrap().len() < count {
                sleep(MS).await;
            }
        };
        soon("note", noted).await;
        self.all()
    }
}

/// Notes when a handler ends or is dropped.
pub(crate) struct Guard(pub(crate) Notes, pub(crate) &'static str);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.add(format!("{} ends", self.1));
    }
}

/// Returns how many log lines of the inbox contain a text.
pub(crate) fn lines(logs: &Logs, inbox: &Inbox, text: &str) -> usize {
    let endpoint = inbox.filter().endpoint;
    let text_of_log = logs.text();
    text_of_log.lines().filter(|line| line.contains(&*endpoint) && line.contains(text)).count()
}

/// Returns whether the log of the inbox contains a text.
pub(crate) fn is_logged(logs: &Logs, inbox: &Inbox, text: &str) -> bool {
    lines(logs, inbox, text) > 0
}

pub(crate) async fn until_logged(logs: &Logs, inbox: &Inbox, text: &str) {
    let logged = async {
        while !is_logged(logs, inbox, text) {
            sleep(5 * MS).await;
        }
    };
    soon(text, logged).await;
}
