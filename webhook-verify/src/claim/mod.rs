//! Claims with leases, and the stores that hold them.

mod callback;
mod completed;
mod granted;
mod keeper;
mod key;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod limiter;
mod log_limit;
mod lost;
mod memory;
mod metric;
mod notice;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod renew;
mod response;
mod settle;
mod shared;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) mod sql;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
mod store;
mod sync;

#[cfg(feature = "postgres")]
pub use self::postgres::PostgresStore;
#[cfg(feature = "redis")]
pub use self::redis::{RedisConnect, RedisStore};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use self::shared::BoxFuture;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use self::sql::{Claimed, CommitError};
#[cfg(feature = "sqlite")]
pub use self::sqlite::SqliteStore;
pub(crate) use self::{
    callback::{contain, contain_future},
    completed::{Era, Known, Lookup},
    granted::State,
    keeper::Keeper,
    log_limit::LogLimit,
    metric::{Family, Metric},
    renew::renew,
    settle::{complete, of_all, release},
};
pub use self::{
    granted::Claim,
    key::ClaimKey,
    lost::Lost,
    memory::MemoryStore,
    notice::{ClaimEvent, ClaimEventKind},
    response::StoredResponse,
    store::{
        ClaimOutcome, ClaimRequest, ClaimStore, Fingerprint, Holder, OnLeaseExpiry, Owner, Settled,
        Step, StoreError,
    },
};
