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

mod check;
mod completed;
mod event;
mod identify;
mod key;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod limiter;
mod lost;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod renew;
mod settings;
mod settle;
mod shared;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

#[cfg(feature = "postgres")]
pub use self::postgres::PostgresStore;
#[cfg(feature = "redis")]
pub use self::redis::{RedisConnect, RedisStore};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use self::sql::{Claimed, CommitError};
#[cfg(feature = "sqlite")]
pub use self::sqlite::SqliteStore;
pub(crate) use self::{
    completed::{Era, Known, Lookup},
    key::Progress,
    renew::renew,
    settle::{complete, of_all, release},
    shared::DynClaimStore,
};
pub use self::{
    event::{ClaimEvent, ClaimEventKind},
    key::{Claim, ClaimKey},
    lost::Lost,
    memory::MemoryStore,
    settings::{Idempotency, OnMismatch, OnStoreFailure, Replay},
    store::{
        ClaimOutcome, ClaimRequest, ClaimStore, Fingerprint, Holder, Lapsed, Owner, Settled,
        StoreError,
    },
};
