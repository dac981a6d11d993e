//! Deliveries with one event and with several, and handlers that take them event by event.

use std::{
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use webhook_verify::{
    Event, Idempotency, MemoryStore, Receiver, Scheme, scheme, testing::SignedRequest,
};

use crate::common::*;

pub(crate) const TYPE: &str = "mautic.lead_post_save_update";

/// Returns the events with these numbers, as their sender writes them.
pub(crate) fn events(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    let numbers = numbers.into_iter();
    numbers.map(|id| format!(r#"{{"id":{id}}}"#)).collect()
}

/// Returns the body with these lists of events.
pub(crate) fn body(types: &[(&str, &[String])]) -> String {
    let lists = types.iter().map(|(name, events)| format!(r#""{name}":[{}]"#, events.join(",")));
    format!("{{{}}}", lists.collect::<Vec<_>>().join(","))
}

/// Returns a request with the events of these numbers.
pub(crate) fn batch(numbers: impl IntoIterator<Item = usize>) -> SignedRequest {
    mautic(body(&[(TYPE, &events(numbers))]))
}

/// Returns a request with the events from 1 to `count`, and its scheme: for one event, a scheme
/// whose deliveries are single events.
pub(crate) fn sent(count: usize) -> (Scheme, SignedRequest) {
    match count {
        1 => (scheme::GITHUB, signed(scheme::GITHUB, events([1]).remove(0))),
        _ => (scheme::MAUTIC, batch(1..=count)),
    }
}

/// Returns a store's log entry for a call with so many claims.
pub(crate) fn call(name: &str, claims: usize) -> String {
    match claims {
        1 => name.to_owned(),
        _ => format!("{name}_all {claims}"),
    }
}

pub(crate) fn mautic(body: impl Into<String>) -> SignedRequest {
    signed(scheme::MAUTIC, body.into())
}

/// The events that handlers have started, in order.
#[derive(Clone, Default)]
pub(crate) struct Begun(Arc<Mutex<Vec<String>>>);

impl Begun {
    pub(crate) fn note(&self, event: &Event) {
        let event = String::from_utf8(event.raw().to_vec()).unwrap();
        self.0.lock().unwrap().push(event);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn take(&self) -> Vec<String> {
        mem::take(&mut *self.0.lock().unwrap())
    }
}

/// The number of the event that fails. 0: none.
#[derive(Clone, Default)]
pub(crate) struct Fault(Arc<AtomicUsize>);

impl Fault {
    pub(crate) fn at(number: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(number)))
    }

    pub(crate) fn set(&self, number: usize) {
        self.0.store(number, SeqCst);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(SeqCst) > 0
    }

    pub(crate) fn hits(&self, event: &Event) -> bool {
        *event.raw() == format!(r#"{{"id":{}}}"#, self.0.load(SeqCst))
    }
}

/// Returns a handler that takes the events one by one, and returns the status of the first that
/// fails.
pub(crate) fn one_by_one(
    begun: &Begun,
    handle: impl Fn(&Event) -> u16 + Send + Sync + 'static,
) -> Handler {
    handler((begun.clone(), Arc::new(handle)), |(begun, handle), delivery| async move {
        let Ok(events) = delivery.events() else {
            return 422;
        };
        for event in &events {
            begun.note(event);
            match handle(event) {
                200..300 => {}
                failed => return failed,
            }
            event.done().await;
        }
        200
    })
}

/// Returns a handler as [`one_by_one`] does, in which one event fails.
pub(crate) fn failing(begun: &Begun, fault: &Fault) -> Handler {
    let fault = fault.clone();
    one_by_one(begun, move |event| if fault.hits(event) { 500 } else { 204 })
}

/// The lease of [`patient`] claims.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// For stores on disk and on servers, which may be slow: within a test, no call times out, and no
/// lease expires by itself.
pub(crate) fn patient(idempotency: Idempotency) -> Idempotency {
    idempotency.lease(LONG).claim_timeout(LONG / 5)
}

/// Returns a receiver with claims in memory.
pub(crate) fn with(set: impl Fn(Idempotency) -> Idempotency) -> Receiver {
    let idempotency = Idempotency::new(MemoryStore::new(), "tests");
    receiver_with(scheme::MAUTIC, set(idempotency))
}

/// Returns a handler that marks all events done, whatever status it returns.
pub(crate) fn does_all(begun: &Begun, status: u16) -> Handler {
    handler(begun.clone(), move |begun, delivery| async move {
        for event in &delivery.events().unwrap() {
            begun.note(event);
            event.done().await;
        }
        status
    })
}
