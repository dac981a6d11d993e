//! Receives requests: reads, verifies, claims, hands over and settles them.

mod admitted;
mod answering;
mod builder;
mod challenge;
mod claim;
mod claim_events;
mod handshake;
mod idempotency;
mod intake;
mod meter;
mod receiver;
mod recorder;
mod refusal;
mod rejection;
mod secrets;
mod tenant;
mod tenant_cache;
#[cfg(test)]
mod tests;
mod to_the_end;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use self::intake::{Intake, Taking};
pub use self::{
    admitted::{Admission, Admitted, Received},
    builder::ReceiverBuilder,
    handshake::Handshake,
    idempotency::{Idempotency, OnMismatch, OnStoreFailure, Replay},
    receiver::Receiver,
    recorder::{BodyStart, Recorder, Recording},
    rejection::Rejection,
    tenant::Tenant,
    tenant_cache::TenantCache,
    to_the_end::to_the_end,
};
