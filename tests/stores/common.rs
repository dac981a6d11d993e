//! Claims and calls that the tests of stores share.

use std::{
    error::Error as _,
    fmt,
    sync::{
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

use integration_tests::{AnyStore, HandClock, Kind, PATIENCE, Place};
pub(crate) use integration_tests::{Calls as _, again, soon, won};
use sqlx::postgres::PgPoolOptions;
use tokio::time::{sleep, timeout};
use webhook_verify::{
    PostgresStore, RedisStore,
    clock::Clock as _,
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Fingerprint, Owner, StoreError,
    },
};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// Returns a claim for ten minutes.
pub(crate) fn request(number: u32) -> ClaimRequest {
    let mut key = [7; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    ClaimRequest::new(
        ClaimKey::from(key),
        Owner::random().unwrap(),
        Fingerprint([number as u8; 32]),
        Duration::from_secs(600),
        HOUR,
    )
}

pub(crate) fn is_busy(outcome: ClaimOutcome) -> bool {
    matches!(outcome, ClaimOutcome::Busy { .. })
}

pub(crate) fn is_completed(outcome: ClaimOutcome) -> bool {
    matches!(outcome, ClaimOutcome::Completed { .. })
}

/// Returns a clock that stands at zero until the test moves it.
pub(crate) fn at_zero() -> HandClock {
    let clock = HandClock::new();
    clock.set_back(clock.now());
    clock
}

/// Stops tokio's clock, so that `tokio::time::advance` alone moves it, until the sender is dropped.
pub(crate) fn stop_time() -> mpsc::Sender<()> {
    tokio::time::pause();
    // tokio does not advance a paused clock by itself while a blocking task runs.
    let (sender, receiver) = mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || receiver.recv());
    sender
}

/// Returns the cause of a call's failure.
pub(crate) async fn fails<T: fmt::Debug>(
    call: impl Future<Output = Result<T, StoreError>>,
) -> String {
    let error = soon("error of a store", call).await.unwrap_err();
    error.source().unwrap().to_string()
}

/// Repeats a call until it succeeds, and returns the result: on a busy machine, a lock may be held
/// for longer than a call waits for it.
pub(crate) async fn answered<T, F: Future<Output = Result<T, StoreError>>>(
    call: impl Fn() -> F,
) -> T {
    let calls = async {
        loop {
            match call().await {
                Ok(answer) => return answer,
                Err(_) => sleep(5 * MS).await,
            }
        }
    };
    soon("answer of a store", calls).await
}

/// Claims fresh keys until the store grants one again.
pub(crate) async fn comes_back(store: &impl ClaimStore) {
    static NEXT: AtomicU32 = AtomicU32::new(4_000_000);
    let claims = async {
        loop {
            let number = NEXT.fetch_add(1, Relaxed);
            match timeout(Duration::from_secs(1), store.claim_one(&request(number))).await {
                Ok(Ok(outcome)) => return assert_eq!(outcome, won(1)),
                Ok(Err(_)) => sleep(20 * MS).await,
                Err(_) => {}
            }
        }
    };
    soon("store that comes back", claims).await;
}

/// Opens a store whose calls wait for longer than any machine takes.
pub(crate) async fn patient(place: &Place, connections: u32) -> AnyStore {
    match place.kind {
        Kind::Postgres => {
            let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(PATIENCE);
            let store = PostgresStore::new(pool.connect(&place.url).await.unwrap());
            store.migrate().await.unwrap();
            AnyStore::Postgres(store.lock_timeout(PATIENCE))
        }
        Kind::Redis => {
            let store = RedisStore::connect(&place.url).timeout(PATIENCE / 2).await;
            AnyStore::Redis(store.unwrap())
        }
        Kind::Memory | Kind::Sqlite => place.open().await,
    }
}
