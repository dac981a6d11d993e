//! Batches as Mautic sends them, and handlers that take them event by event.

use std::{
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use integration_tests::Handler;
use webhook_verify::{Event, Idempotency, MemoryStore, Receiver, scheme, testing::SignedRequest};

use crate::common::{receiver_with, signed};

pub(crate) const TYPE: &str = "mautic.lead_post_save_update";

/// The events with these numbers, as their sender writes them.
pub(crate) fn events(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    let numbers = numbers.into_iter();
    numbers.map(|id| format!(r#"{{"id":{id}}}"#)).collect()
}

/// The body with these lists of events.
pub(crate) fn body(types: &[(&str, &[String])]) -> String {
    let lists = types.iter().map(|(name, events)| format!(r#""{name}":[{}]"#, events.join(",")));
    format!("{{{}}}", lists.collect::<Vec<_>>().join(","))
}

/// One request with the events of these numbers.
pub(crate) fn batch(numbers: impl IntoIterator<Item = usize>) -> SignedRequest {
    mautic(body(&[(TYPE, &events(numbers))]))
}

pub(crate) fn mautic(body: impl Into<String>) -> SignedRequest {
    signed(scheme::MAUTIC, body.into())
}

/// The events that handlers have begun, in order.
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

/// Which event fails, by its number. 0: none.
#[derive(Clone, Default)]
pub(crate) struct Fault(Arc<AtomicUsize>);

impl Fault {
    pub(crate) fn at(number: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(number)))
    }

    pub(crate) fn set(&self, number: usize) {
        self.0.store(number, SeqCst);
    }

    pub(crate) fn hits(&self, event: &Event) -> bool {
        *event.raw() == format!(r#"{{"id":{}}}"#, self.0.load(SeqCst))
    }
}

/// Takes the events one by one, and ends with the answer of the first that is not done.
pub(crate) fn one_by_one(
    begun: &Begun,
    handle: impl Fn(&Event) -> u16 + Send + Sync + 'static,
) -> Handler {
    let (begun, handle) = (begun.clone(), Arc::new(handle));
    Arc::new(move |delivery| {
        let (begun, handle) = (begun.clone(), Arc::clone(&handle));
        Box::pin(async move {
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
    })
}

/// One of [`one_by_one`] in which one event fails.
pub(crate) fn failing(begun: &Begun, fault: &Fault) -> Handler {
    let fault = fault.clone();
    one_by_one(begun, move |event| if fault.hits(event) { 500 } else { 204 })
}

/// The leases of [`patient`] claims.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// For stores on disk and on servers, which may be slow: no call is given up, and no lease expires by
/// itself, within a test.
pub(crate) fn patient(idempotency: Idempotency) -> Idempotency {
    idempotency.lease(LONG).claim_timeout(LONG / 5)
}

/// A receiver with claims in memory, and settings.
pub(crate) fn with(set: impl Fn(Idempotency) -> Idempotency) -> Receiver {
    let idempotency = Idempotency::new(MemoryStore::new(), "tests");
    receiver_with(scheme::MAUTIC, set(idempotency))
}
