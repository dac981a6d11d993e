//! What the events of Mautic, Host UK and FluentCRM say, as types, and the [messages](pipeforce) that PIPEFORCE makes of calls.
//!
//! Each of the three has a `Payload`, with a variant for every event that it documents or that its code sends, and one for all
//! others. [`Event::data`](crate::Event::data) makes it:
//!
//! ```
//! use webhook_verify::{Verifier, payloads::mautic::Payload, scheme};
//!
//! let verifier = Verifier::new(scheme::MAUTIC, "58ae6ad08e40a88c23e3a8ee11ee3467")?;
//! let headers = [("Webhook-Signature", "lST0LOxiPakBwkmdttnFYrLfKIGewGnXfDYkq6c7wTY=")];
//! let body = r#"{"mautic.lead_post_delete":[{"id":52,"contact":{"id":null,"fields":[]}}],"mautic.new":[{"a":1}]}"#;
//! let delivery = verifier.verify(&headers, body)?;
//!
//! let mut seen = Vec::new();
//! for event in &delivery.events()? {
//!     seen.push(match event.data()? {
//!         Payload::LeadDeleted(lead) => format!("deleted: {}", lead.id.unwrap_or_default()),
//!         Payload::LeadUpdated(lead) => format!("updated: {:?}", lead.contact),
//!         Payload::Other { event_type, data } => format!("{}: {data}", event_type.unwrap_or_default()),
//!         _ => "something else that is known".to_owned(),
//!     });
//! }
//! assert_eq!(seen, ["deleted: 52", r#"mautic.new: {"a":1}"#]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Nothing fails, nothing is lost
//!
//! PHP writes the same thing in several forms: an empty object is `[]`, numbers from a database are strings, ids of what was
//! deleted are `null`. So every field here is an `Option`, and is read from all the forms that are known for its type:
//!
//! | type | read from | written as |
//! |---|---|---|
//! | [`Id`] | `12`, `"12"`, `"evt_1"`, `12.0` | what it was (`12.0` as `12`) |
//! | `i64` | `12`, `"12"`, `12.0` | `12` |
//! | `bool` | `true`, `1`, `"1"`; `false`, `0`, `"0"` | `true`, `false` |
//! | a struct, a map | `{…}`, `[]` | `{…}` |
//! | [`List`] | `[…]`, and `{…}` where PHP's keys were not 0, 1, 2 … | what it was |
//!
//! A value of another form is no error: its field is `None`, and the value is in the struct's `more`, next to the members that
//! have no field. Data that is no object at all makes the event `Other`; only what is not JSON is an error. So
//! `serde_json::to_value(&payload)` gives the data as it was sent, in the forms of the last column. No data, or `null`, is read
//! as an object without members.
//!
//! Times are text, as senders write them in several ways: see [`Event::time`](crate::Event::time).
//!
//! Two things are those of `serde_json`: an integer beyond 64 bits is read as the nearest float, and of a key that is there
//! twice the last one counts. PHP writes neither. [`Event::raw`](crate::Event::raw) always has what was sent to the byte.

mod envelope;
pub mod fluentcrm;
pub mod host_uk;
mod id;
mod list;
mod macros;
pub mod mautic;
mod php;
pub mod pipeforce;

pub use self::{id::Id, list::List};
