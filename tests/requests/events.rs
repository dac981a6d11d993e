//! The events of a delivery: bodies come apart into what their senders put into them, and into
//! nothing else.

mod bad_bodies;
mod four_systems;
mod payloads;
mod properties;
mod recorded;
mod senders;

use std::time::Duration;

use webhook_verify::{
    Delivery, Event, RequestHead, Scheme, Verifier, VerifierBuilder, event::EventsError,
    scheme::Algorithm, testing::Signer,
};

const NOW: Duration = Duration::from_secs(1_795_305_600);
const URL: &str = "https://hooks.example.test/hook";

/// Returns the delivery of a signed body.
fn delivery(scheme: &Scheme, body: impl Into<Vec<u8>>) -> Delivery {
    delivery_with(scheme, body, |builder| builder)
}

fn delivery_with(
    scheme: &Scheme,
    body: impl Into<Vec<u8>>,
    knobs: impl FnOnce(VerifierBuilder) -> VerifierBuilder,
) -> Delivery {
    let secret = match scheme.algorithm() {
        Algorithm::Basic => "user:00112233",
        _ => "00112233445566778899aabbccddeeff",
    };
    let signed = Signer::new(scheme.clone(), secret)
        .unwrap()
        .public_url(URL)
        .at(NOW)
        .sign(body.into())
        .unwrap();
    let builder = Verifier::builder(scheme.clone()).secret(secret).public_url(URL).clock(|| NOW);
    let head = RequestHead::new(&signed.headers).target(&signed.target);
    let verifier = knobs(builder).build().unwrap();
    verifier.verify(head, signed.body.clone()).unwrap()
}

/// All events at once.
fn events_of(delivery: &Delivery) -> Result<Vec<Event>, EventsError> {
    delivery.batch().map(|batch| batch.to_vec())
}

/// The bytes of all events, which must be parts of the body's memory, one after the other, with
/// data within.
fn slices_of(delivery: &Delivery, events: &[Event]) -> Vec<String> {
    let body = delivery.body().as_ptr_range();
    let mut end = body.start;
    for event in events {
        let (raw, data) = (event.raw().as_ptr_range(), event.data_bytes());
        assert!(end <= raw.start && raw.end <= body.end, "not in the body");
        let data = data.as_ptr_range();
        assert!(raw.start <= data.start && data.end <= raw.end, "{event:?}");
        end = raw.end;
    }
    texts(events)
}

fn texts(events: &[Event]) -> Vec<String> {
    let text = |event: &Event| String::from_utf8_lossy(event.raw()).into_owned();
    events.iter().map(text).collect()
}
