//! The challenges of all senders, through both adapters in process, and what strangers make of them.
#![allow(clippy::unwrap_used)]

#[path = "attacks/support.rs"]
#[allow(dead_code, reason = "shared with the attacks")]
mod attacks;

#[path = "challenges/answered.rs"]
mod answered;
#[path = "challenges/body.rs"]
mod body;
#[path = "challenges/handshake.rs"]
mod handshake;
#[path = "challenges/head.rs"]
mod head;
#[path = "challenges/routing.rs"]
mod routing;
#[path = "challenges/signed.rs"]
mod signed;
#[path = "challenges/support.rs"]
mod support;
#[path = "challenges/tenants.rs"]
mod tenants;
