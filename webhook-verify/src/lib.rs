#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answer;
mod claim;
pub mod clock;
mod delivery;
mod encoding;
mod error;
#[cfg(feature = "explain")]
pub mod explain;
#[cfg(not(feature = "explain"))]
#[expect(dead_code, unreachable_pub, reason = "the log needs only a part of it")]
mod explain;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub mod inbox;
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

#[cfg(feature = "postgres")]
pub use self::claim::PostgresStore;
#[cfg(feature = "redis")]
pub use self::claim::RedisStore;
#[cfg(feature = "sqlite")]
pub use self::claim::SqliteStore;
pub use self::{
    claim::MemoryStore,
    delivery::{Batch, Delivery, Event, Events, ExtractError, Routes},
    error::{ConfigError, VerifyError},
    key::Secret,
    receive::{Handshake, Idempotency, Receiver, ReceiverBuilder, Rejection, Tenant, TenantCache},
    request::RequestHead,
    scheme::{Proof, Scheme},
    verify::{PreparedKey, Verifier, VerifierBuilder},
};

pub mod adapter {
    //! The types that connect a [`Receiver`](crate::Receiver) to a framework.
    //!
    //! An adapter translates a request into a [`RequestHead`](crate::RequestHead) and a stream of
    //! bytes, and responses back. [`Receiver::receive`](crate::Receiver::receive) verifies,
    //! [`Received::admit`] claims, and [`Admitted::handle`] runs the handler. Where requests are
    //! never dropped, [`Receiver::admit`](crate::Receiver::admit) does the first two steps at once.
    //! Where a disconnect drops requests, run the last two within [`to_the_end`].
    //!
    //! If [`Admitted::recorder`] returns a [`Recorder`], the adapter records the handler's response
    //! with it before the handler's future ends, so that duplicates get the response again.
    //!
    //! [`Receiver::render_rejection`](crate::Receiver::render_rejection) calls the user's function
    //! for the responses to refused requests.
    //!
    //! [`Incoming`] verifies a body in pieces, without a receiver.

    pub use crate::{
        answer::Answer,
        delivery::FromDelivery,
        receive::{Admission, Admitted, BodyStart, Received, Recorder, Recording, to_the_end},
        request::Headers,
        verify::{BodyTooLarge, Incoming},
    };
}

pub mod event {
    //! The events of a delivery.

    #[cfg(feature = "multipart")]
    pub use crate::delivery::multipart::{MultipartError, Part, PartLimits};
    pub use crate::delivery::{
        Batch, Event, EventName, Events, EventsError, FromEvent, Iter, Routes, matches,
        matches_topic,
    };
}

pub mod idempotency {
    //! Runs each delivery once: claims, leases and the stores that hold them.
    //!
    //! The receiver **claims** a verified delivery before its handler runs. The owner of the claim
    //! holds a **lease**, which the receiver renews while the handler runs. If the handler returns
    //! 2xx, the claim is completed; otherwise it is released. A duplicate of a delivery in progress
    //! gets 503, and a duplicate of a completed one gets the stored status.
    //!
    //! ```text
    //! absent or expired       --claim-->   in progress, attempt 1          => won
    //! in progress             --claim-->   no change                       => busy (the same owner wins again)
    //! lease expired, released --claim-->   in progress, attempt + 1        => won
    //! completed               --claim-->   no change                       => completed
    //! in progress, owner's    --extend-->  a new lease
    //! in progress, owner's    --complete-> completed
    //! in progress, owner's    --release--> released: the record stays, so that the attempt keeps counting
    //! ```
    //!
    //! There are never two live claims for one key, and a former holder changes nothing. A handler
    //! runs *at least once, and not concurrently while the holder can renew its lease*:
    //!
    //! * If a process dies after the effect and before the completion, the delivery runs again.
    //! * If a process is paused for longer than its lease, its handler may continue next to the one
    //!   that took over.
    //!
    //! Handlers can pass [`Claim::fencing_token`] and [`Claim::key`] on to the services that they call.
    //!
    //! # Several events in one request
    //!
    //! If a sender may put several events into one request, each [`Event`](crate::Event) has a claim
    //! of its own, and the delivery has none. The claim's key is the event's ID if the sender gives
    //! it one, and otherwise its type and bytes. So an event is a duplicate even if its sender
    //! regroups the events.
    //!
    //! The events of a delivery are claimed, renewed and released together, in one call of the store
    //! each. They are completed one by one as the handler marks them [done](crate::Event::done). The
    //! rest is released when the handler ends, and a retry resumes with it.
    //!
    //! This applies to signed bodies. With an identity of your own ([`Idempotency::identity`],
    //! [`Idempotency::identity_from`]) a delivery is claimed as a whole.
    //!
    //! # Effects exactly once
    //!
    //! If a handler's effects are in the same database as the claims, end its transaction with
    //! `PostgresStore::commit` or `SqliteStore::commit` (features `postgres` and `sqlite`), which
    //! completes the claim in it. The effects then happen exactly once.

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
            Fingerprint, Holder, Lost, MemoryStore, OnLeaseExpiry, Owner, Settled, Step,
            StoreError, StoredResponse,
        },
        receive::{Idempotency, OnMismatch, OnStoreFailure, Replay},
    };
}
