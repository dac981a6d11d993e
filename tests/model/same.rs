//! Checks that the store of the model is the store: `MemoryStore` responds as the record does, for
//! all calls in any order.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use integration_tests::Calls as _;
use webhook_verify::{
    MemoryStore,
    idempotency::{ClaimStore, OnLeaseExpiry},
};

use super::store::{Call, Reply, Row, STATUS, apply, request};

/// The number of calls in a sequence.
const DEPTH: u32 = 5;

#[derive(Clone, Copy, Debug)]
enum Step {
    Call(Call, u8, OnLeaseExpiry),
    Tick,
    Purge,
    Forget,
}

const STEPS: [Step; 13] = {
    use {
        Call::{Claim, Complete, Extend, Release},
        OnLeaseExpiry::{Hold, TakeOver},
    };
    [
        Step::Call(Claim, 0, TakeOver),
        Step::Call(Complete, 0, TakeOver),
        Step::Call(Release, 0, TakeOver),
        Step::Call(Extend, 0, TakeOver),
        Step::Call(Claim, 1, TakeOver),
        Step::Call(Complete, 1, TakeOver),
        Step::Call(Release, 1, TakeOver),
        Step::Call(Extend, 1, TakeOver),
        Step::Call(Claim, 0, Hold),
        Step::Call(Claim, 1, Hold),
        Step::Tick,
        Step::Purge,
        Step::Forget,
    ]
};

#[test]
fn the_store_answers_as_the_record_does() {
    let choices = STEPS.len();
    let mut sequences = 0;
    for number in 0..choices.pow(DEPTH) {
        let steps: [Step; DEPTH as usize] =
            std::array::from_fn(|at| STEPS[number / choices.pow(at.try_into().unwrap()) % choices]);
        compare(&steps);
        sequences += 1;
    }
    println!("{sequences} sequences");
}

fn compare(steps: &[Step]) {
    let seconds = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&seconds);
    let store = MemoryStore::new().clock(move || Duration::from_secs(clock.load(Relaxed)));
    let mut row: Option<Row> = None;
    for step in steps {
        match *step {
            Step::Tick => {
                seconds.fetch_add(1, Relaxed);
                row = row.map(|row| row.tick(true));
            }
            Step::Purge => {
                let purged = now(store.purge(usize::MAX)).unwrap();
                let expired = row.take_if(|row| row.life == 0);
                assert_eq!(purged, expired.iter().count(), "{steps:?}");
            }
            Step::Forget => {
                let key = request(0, OnLeaseExpiry::TakeOver).key;
                let forgotten = now(store.forget(&key)).unwrap();
                assert_eq!(forgotten, row.take().is_some(), "{steps:?}");
            }
            Step::Call(call, owner, lapsed) => {
                // The model may delete the record at any time after its life. The store does so at
                // the next claim.
                if call == Call::Claim {
                    row.take_if(|row| row.life == 0);
                }
                let (after, expected) = apply(row, call, owner, lapsed);
                row = after;
                assert_eq!(ask(&store, call, owner, lapsed), expected, "{steps:?}");
            }
        }
        assert_eq!(store.len(), row.iter().count(), "{steps:?}");
    }
}

fn ask(store: &MemoryStore, call: Call, owner: u8, lapsed: OnLeaseExpiry) -> Reply {
    let request = request(owner, lapsed);
    let holder = request.holder();
    match call {
        Call::Claim => now(store.claim_one(&request)).unwrap().into(),
        Call::Complete => now(store.complete(&holder, STATUS, request.ttl)).unwrap().into(),
        Call::Release => now(store.release(&holder)).unwrap().into(),
        Call::Extend => now(store.extend(&holder, request.lease)).unwrap().into(),
    }
}

fn now<F: Future>(call: F) -> F::Output {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a store in memory waits for nothing"),
    }
}
