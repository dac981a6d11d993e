//! How requests are verified, refused, taken apart and handed to handlers, without a store.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result)]

mod adapters;
mod attacks;
mod blocks;
mod challenges;
mod compressed;
mod config;
mod cuts;
mod events;
mod extractors;
mod field;
mod forms;
mod header_names;
mod hostile;
mod json_web_tokens;
mod known_answers;
mod properties;
mod recorded;
mod senders;
mod traps;
mod vectors;
