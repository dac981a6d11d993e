#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod clock;
mod delivery;
mod encoding;
mod error;
pub mod event;
mod extract;
mod head;
mod hmac_sha256;
pub mod idempotency;
mod incoming;
mod json;
mod key;
#[cfg(feature = "multipart")]
mod multipart;
#[cfg(feature = "payloads")]
pub mod payloads;
mod public_key;
mod receiver;
mod rejection;
pub mod scheme;
mod secret;
mod sync;
mod tenant;
#[cfg(feature = "testing")]
pub mod testing;
mod timer;
mod verification;
mod verifier;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use self::idempotency::CommitError;
#[cfg(feature = "postgres")]
pub use self::idempotency::PostgresStore;
#[cfg(feature = "redis")]
pub use self::idempotency::RedisStore;
#[cfg(feature = "sqlite")]
pub use self::idempotency::SqliteStore;
#[cfg(feature = "multipart")]
pub use self::multipart::{MultipartError, Part, PartLimits};
pub use self::{
    clock::{Clock, MonotonicClock, SystemClock, Tolerance},
    delivery::Delivery,
    encoding::Encoding,
    error::{ConfigError, VerifyError},
    event::Event,
    extract::ExtractError,
    head::{Headers, RequestHead},
    idempotency::{Claim, ClaimKey, ClaimStore, Idempotency, MemoryStore, StoreError},
    incoming::{BodyTooLarge, Incoming},
    receiver::{Admission, Admitted, Handshake, Received, Receiver, ReceiverBuilder},
    rejection::{Answer, Rejection},
    scheme::{Algorithm, KeyForm, Scheme},
    secret::Secret,
    tenant::Tenant,
    timer::Timer,
    verifier::{Verifier, VerifierBuilder},
};
