//! Payloads of the events of Mautic, Host UK and FluentCRM: of recorded and documented ones, and of
//! any other.

mod any;
mod documents;
mod forms;
mod recorded;

use std::fmt::Debug;

use serde::Serialize;
use serde_json::Value;
use webhook_verify::{
    Delivery, Event, Scheme,
    event::FromEvent,
    payloads::{fluentcrm, host_uk, mautic},
    scheme,
};

use super::delivery;

/// The common methods of the three enums.
trait Payload: FromEvent + Serialize + Debug {
    const SCHEME: Scheme;
    const EVENT_TYPES: &[&str];

    fn from_parts(event_type: Option<&str>, data: Value) -> Self;
    fn is_other(&self) -> bool;
    fn event_type(&self) -> Option<&str>;
    /// The parts of a body before, between and after an event's type and data.
    const ENVELOPE: [&str; 3];
}

macro_rules! payload {
    ($module:ident, $scheme:ident, $envelope:expr) => {
        impl Payload for $module::Payload {
            const SCHEME: Scheme = scheme::$scheme;
            const EVENT_TYPES: &[&str] = Self::EVENT_TYPES;
            const ENVELOPE: [&str; 3] = $envelope;

            fn from_parts(event_type: Option<&str>, data: Value) -> Self {
                Self::from_parts(event_type, data)
            }

            fn is_other(&self) -> bool {
                matches!(self, Self::Other { .. })
            }

            fn event_type(&self) -> Option<&str> {
                self.event_type()
            }
        }
    };
}

payload!(mautic, MAUTIC, ["{", ":[", "]}"]);
payload!(host_uk, HOST_UK_CORE_API, [r#"{"id":"evt_1","type":"#, r#","data":"#, "}"]);
payload!(fluentcrm, FLUENTCRM_DOCUMENTED, [r#"{"event":"#, r#","data":"#, "}"]);

/// The only event of a delivery with this event type and data.
fn event<P: Payload>(event_type: &str, data: &str) -> Event {
    let [start, middle, end] = P::ENVELOPE;
    let event_type = Value::from(event_type);
    let body = format!("{start}{event_type}{middle}{data}{end}");
    only(&delivery(&P::SCHEME, body))
}

fn only(delivery: &Delivery) -> Event {
    let batch = delivery.batch().unwrap();
    assert_eq!(batch.len(), 1);
    batch[0].clone()
}

/// Whether `back` is what was sent, in the forms that payloads are written in.
fn came_back(sent: &Value, back: &Value) -> bool {
    match (sent, back) {
        (Value::Array(sent), Value::Object(back)) => sent.is_empty() && back.is_empty(),
        (Value::Array(sent), Value::Array(back)) => {
            let mut pairs = sent.iter().zip(back);
            sent.len() == back.len() && pairs.all(|(sent, back)| came_back(sent, back))
        }
        (Value::Object(sent), Value::Object(back)) => {
            let is_back =
                |(key, sent): (&String, _)| back.get(key).is_some_and(|back| came_back(sent, back));
            sent.len() == back.len() && sent.iter().all(is_back)
        }
        (Value::Number(sent), Value::Number(back)) => {
            sent == back || (sent.is_f64() && sent.as_f64() == back.as_f64())
        }
        (Value::String(sent), Value::Number(back)) => *sent == back.to_string(),
        (Value::Number(sent), Value::Bool(back)) => sent.as_u64() == Some(u64::from(*back)),
        (Value::String(sent), Value::Bool(back)) => sent == if *back { "1" } else { "0" },
        _ => sent == back,
    }
}

/// Writes a payload, and compares.
fn assert_came_back(sent: &Value, payload: &impl Serialize) {
    let back = serde_json::to_value(payload).unwrap();
    assert!(came_back(sent, &back), "sent {sent}\n back {back}");
}
