//! `MemoryStore` with few and with many live keys.

use std::{hint::black_box, time::Instant};

use integration_tests::Calls as _;
use tokio::runtime::Runtime;
use webhook_verify::{
    MemoryStore,
    idempotency::{ClaimRequest, Settled},
};

use super::{
    TTL, requests,
    rounds::{Bound, Rounds},
    runtime,
};

const FEW: usize = 10_000;
const MANY: usize = 1_000_000;
const ROUNDS: usize = 31;
/// Claims of a round: so few that few keys stay few.
const COUNT: usize = 200;

pub(crate) fn run() -> bool {
    let runtime = runtime();
    let (few, many) = (filled(&runtime, FEW), filled(&runtime, MANY));
    let measured = Rounds::new("MemoryStore", "ns for claim and complete")
        .case("10^6 live keys", || cost(&runtime, &many))
        .case("10^4 live keys", || cost(&runtime, &few))
        .run(ROUNDS);
    measured.hold(0, 1, Bound::AtMost(1.5))
}

fn filled(runtime: &Runtime, count: usize) -> MemoryStore {
    let store = MemoryStore::with_capacity(2 * MANY);
    runtime.block_on(handle(&store, &requests(count)));
    assert_eq!(store.len(), count);
    store
}

/// Nanoseconds that a new delivery takes of the store.
fn cost(runtime: &Runtime, store: &MemoryStore) -> f64 {
    let requests = requests(COUNT);
    runtime.block_on(async {
        let start = Instant::now();
        handle(store, black_box(&requests)).await;
        start.elapsed().as_nanos() as f64 / COUNT as f64
    })
}

async fn handle(store: &MemoryStore, requests: &[ClaimRequest]) {
    for request in requests {
        black_box(store.claim_one(request).await.unwrap());
        let completed = store.complete(&request.holder(), 200, TTL).await;
        assert_eq!(completed.unwrap(), Settled::Applied);
    }
}
