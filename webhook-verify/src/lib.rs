#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answer;
mod claim;
mod clock;
mod delivery;
mod encoding;
mod error;
mod key;
#[cfg(feature = "payloads")]
pub mod payloads;
mod receive;
mod request;
pub mod scheme;
#[cfg(feature = "testing")]
pub mod testing;
mod timer;
mod verify;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use self::claim::CommitError;
#[cfg(feature = "postgres")]
pub use self::claim::PostgresStore;
#[cfg(feature = "redis")]
pub use self::claim::RedisStore;
#[cfg(feature = "sqlite")]
pub use self::claim::SqliteStore;
#[cfg(feature = "multipart")]
pub use self::delivery::multipart::{MultipartError, Part, PartLimits};
pub use self::{
    answer::Answer,
    claim::{Claim, ClaimKey, ClaimStore, MemoryStore, StoreError},
    clock::{Clock, MonotonicClock, SystemClock, Tolerance},
    delivery::{Delivery, Event, ExtractError},
    encoding::Encoding,
    error::{ConfigError, VerifyError},
    key::Secret,
    receive::{
        Admission, Admitted, Handshake, Idempotency, Received, Receiver, ReceiverBuilder,
        Rejection, Tenant,
    },
    request::{Headers, RequestHead},
    scheme::{Algorithm, KeyForm, Scheme},
    timer::Timer,
    verify::{BodyTooLarge, Incoming, Verifier, VerifierBuilder},
};

pub mod event {
    //! The events of a delivery: what happened, one at a time.

    pub use crate::delivery::{
        Event, Events, EventsError, FromEvent, Iter, matches, matches_topic,
    };
}

pub mod idempotency {
    //! Runs each delivery once: claims, leases and the stores that hold them.
    //!
    //! A verified delivery is *claimed* before its handler runs. Whoever wins the claim holds a *lease*, renewed while the
    //! handler runs; the lease is *completed* when the handler answers 2xx and *released* when it does not. A delivery that
    //! is claimed elsewhere is answered 503 until its handler is done, and one that was completed is answered with the
    //! stored status.
    //!
    //! ```text
    //! absent or expired      --claim-->   in progress, attempt 1          => won
    //! in progress            --claim-->   no change                       => busy (won again by the same owner)
    //! lease lapsed, released --claim-->   in progress, attempt + 1        => won
    //! completed              --claim-->   no change                       => completed
    //! in progress, owner's   --extend-->  a new lease
    //! in progress, owner's   --complete-> completed
    //! in progress, owner's   --release--> released: the record stays, so that the attempt keeps counting
    //! ```
    //!
    //! Two live claims for one key never exist, and a holder that was superseded changes nothing. What is promised is that
    //! a handler runs *at least once, and not concurrently while the holder can renew its lease*: a process that dies after
    //! the effect and before `complete` leaves the delivery to be run again, and one that stands still for longer than its
    //! lease may wake up beside its successor. Handlers can pass [`Claim::fence`] and [`Claim::key`] on to what they call.
    //!
    //! Where a sender may put several events into one request, each [`Event`](crate::Event) has a claim of its own, and the delivery
    //! none: by the event's id if its sender gives it one, else by its type and bytes, so that it is known again in whatever company
    //! it comes. All of a delivery's events are claimed, renewed and released together, in one call of the store each, and completed
    //! one by one as their handler says that they are [done](crate::Event::done). What is not done when the handler ends is
    //! released, and a retry brings just that. That goes for bodies that are signed; and with an identity of your own choice
    //! ([`Idempotency::identity`], [`Idempotency::identity_from`]) a delivery is claimed as a whole.
    //!
    //! Effects in the very database that holds the claims can be had *exactly once*: a handler that ends its transaction with
    //! `PostgresStore::commit` or `SqliteStore::commit` (features `postgres` and `sqlite`) completes its claim in it.

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub use crate::claim::Claimed;
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub use crate::claim::CommitError;
    #[cfg(feature = "postgres")]
    pub use crate::claim::PostgresStore;
    #[cfg(feature = "sqlite")]
    pub use crate::claim::SqliteStore;
    #[cfg(feature = "redis")]
    pub use crate::claim::{RedisConnect, RedisStore};
    pub use crate::{
        claim::{
            Claim, ClaimEvent, ClaimEventKind, ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore,
            Fingerprint, Holder, Lapsed, Lost, MemoryStore, Owner, Settled, StoreError,
        },
        receive::{Idempotency, OnMismatch, OnStoreFailure, Replay},
    };
}
