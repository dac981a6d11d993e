//! Types for the events of Mautic, Host UK and FluentCRM, and for PIPEFORCE's
//! [messages](pipeforce).
//!
//! Each of the first three senders has an enum `Payload`, with a variant for every event that its
//! documentation lists or its code sends, and one for all others.
//! [`Event::data`](crate::Event::data) returns it:
//!
//! ```
//! use webhook_verify::{Verifier, payloads::mautic::Payload, scheme};
//!
//! let verifier = Verifier::new(scheme::MAUTIC, "58ae6ad08e40a88c23e3a8ee11ee3467")?;
//! let headers = [("Webhook-Signature", "lST0LOxiPakBwkmdttnFYrLfKIGewGnXfDYkq6c7wTY=")];
//! let body = concat!(
//!     r#"{"mautic.lead_post_delete":[{"id":52,"contact":{"id":null,"fields":[]}}],"#,
//!     r#""mautic.new":[{"a":1}]}"#,
//! );
//! let delivery = verifier.verify(&headers, body)?;
//!
//! let mut seen = Vec::new();
//! for event in &delivery.events()? {
//!     seen.push(match event.data()? {
//!         Payload::LeadDeleted(lead) => format!("deleted: {}", lead.id.unwrap_or_default()),
//!         Payload::LeadUpdated(lead) => format!("updated: {:?}", lead.contact),
//!         Payload::Other { event_type, data } => {
//!             format!("{}: {data}", event_type.unwrap_or_default())
//!         }
//!         _ => "another known event".to_owned(),
//!     });
//! }
//! assert_eq!(seen, ["deleted: 52", r#"mautic.new: {"a":1}"#]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Values in several forms
//!
//! PHP writes the same value in several forms: an empty object as `[]`, a number from a database as
//! a string, the ID of a deleted object as `null`. So every field is an `Option`, which is read
//! from all known forms of its type:
//!
//! | type | read from | serialized as |
//! |---|---|---|
//! | [`Id`] | `12`, `"12"`, `"evt_1"`, `12.0` | the same (`12.0` as `12`) |
//! | `i64` | `12`, `"12"`, `12.0` | `12` |
//! | `bool` | `true`, `1`, `"1"`; `false`, `0`, `"0"` | `true`, `false` |
//! | a struct, a map | `{…}`, `[]` | `{…}` |
//! | [`List`] | `[…]`, or `{…}` if PHP's keys were not 0, 1, 2 … | the same |
//!
//! A value of another form is not an error. Its field is `None`, and the value is in the struct's
//! `more`, next to the members without a field. An event whose data is not an object is `Other`.
//! Missing data, or `null`, is read as an empty object. Only invalid JSON is an error. So
//! `serde_json::to_value(&payload)` returns the data as sent, in the forms of the last column.
//!
//! Times are text, because senders format them in several ways: see
//! [`Event::time`](crate::Event::time).
//!
//! `serde_json` reads an integer beyond 64 bits as the nearest float, and uses the last of several
//! members with the same key. PHP writes neither. [`Event::raw`](crate::Event::raw) has the exact
//! bytes that were sent.

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
