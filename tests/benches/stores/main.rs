//! Measures what the claim stores cost compared to their drivers, and a full table compared to a
//! small one.
//!
//! The cases of a comparison take turns, so that whatever else the machine does falls on all of
//! them alike: judge by the ratios. Each ratio has a bound, and the exit code tells whether all of
//! them were reached. What is measured can be named: `cargo bench -p integration-tests --bench
//! stores -- postgres sqlite`.
//!
//! The servers are started here, as in the tests, on the disk that the temporary folder is on.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails says nothing")]

mod memory;
mod postgres;
mod redis;
mod rounds;
mod sqlite;

use std::{env, process::ExitCode, sync::Arc, time::Duration, time::Instant};

use integration_tests::Calls as _;
use sha2::{Digest as _, Sha256};
use tokio::{runtime::Runtime, task::JoinSet};
use webhook_verify::idempotency::{
    ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Fingerprint, Owner,
};

/// How many claim at the same time.
const CLIENTS: usize = 32;
const LEASE: Duration = Duration::from_secs(60);
const TTL: Duration = Duration::from_secs(7 * 24 * 3600);

/// Its name, and what measures it and says whether its bounds were reached.
type Part = (&'static str, fn() -> bool);

fn main() -> ExitCode {
    let named: Vec<_> = env::args().skip(1).filter(|name| name != "--bench").collect();
    let parts: [Part; 6] = [
        ("memory", memory::run),
        ("redis", redis::run),
        ("postgres", postgres::run),
        ("postgres-rows", postgres::rows),
        ("sqlite", sqlite::run),
        ("sqlite-rows", sqlite::rows),
    ];
    let mut reached = true;
    for (name, run) in parts {
        if named.is_empty() || named.iter().any(|named| named == name) {
            reached &= run();
        }
    }
    match reached {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Claims new keys.
trait Claims: Send + Sync + 'static {
    /// Claims a new key, and panics unless it is granted.
    fn claim(&self, request: &ClaimRequest) -> impl Future<Output = ()> + Send;
}

/// A store of this crate.
struct Store<S>(S);

impl<S: ClaimStore> Claims for Store<S> {
    async fn claim(&self, request: &ClaimRequest) {
        let outcome = self.0.claim_one(request).await.unwrap();
        assert!(matches!(outcome, ClaimOutcome::Won { attempt: 1 }));
    }
}

/// Claims a second when so many clients make the claims, each one after another.
fn rate<C: Claims>(
    runtime: &Runtime,
    claims: &Arc<C>,
    clients: usize,
    requests: &[ClaimRequest],
) -> f64 {
    let shares = requests.chunks(requests.len().div_ceil(clients));
    let shares: Vec<_> = shares.map(<[_]>::to_vec).collect();
    runtime.block_on(async {
        let mut running = JoinSet::new();
        let start = Instant::now();
        for share in shares {
            let claims = Arc::clone(claims);
            running.spawn(async move {
                for request in &share {
                    claims.claim(request).await;
                }
            });
        }
        running.join_all().await;
        requests.len() as f64 / start.elapsed().as_secs_f64()
    })
}

/// Microseconds that each of `count` claims takes of a store that holds as much afterwards as
/// before.
fn cost<S: ClaimStore>(
    runtime: &Runtime,
    store: &Arc<Store<S>>,
    clients: usize,
    count: usize,
) -> f64 {
    let requests = requests(count);
    let rate = rate(runtime, store, clients, &requests);
    runtime.block_on(async {
        let mut running = JoinSet::new();
        for request in requests {
            let store = Arc::clone(store);
            running.spawn(async move { store.0.forget(&request.key).await.unwrap() });
        }
        assert!(running.join_all().await.into_iter().all(|known| known));
    });
    1e6 / rate
}

fn requests(count: usize) -> Vec<ClaimRequest> {
    (0..count).map(|_| request()).collect()
}

/// A request for a key that is as random as a receiver's.
fn request() -> ClaimRequest {
    let owner = Owner::random().unwrap();
    let key: [u8; 32] = Sha256::digest(owner.as_bytes()).into();
    ClaimRequest::new(ClaimKey::from(key), owner, Fingerprint(key), LEASE, TTL)
}

/// Milliseconds, as the statements and scripts take them.
fn millis(time: Duration) -> i64 {
    time.as_millis().try_into().unwrap()
}

/// Two threads, whatever the machine has: servers and clients share it.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
