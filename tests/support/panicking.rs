//! A store that panics.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use webhook_verify::{
    MemoryStore,
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, Settled, Step, StoreError,
        StoredResponse,
    },
};

/// A store that panics in one kind of call.
#[derive(Debug)]
pub struct Panicking {
    inner: MemoryStore,
    call: &'static str,
    at_once: bool,
    /// Notified of each panic.
    pub panicked: Arc<Notify>,
}

impl Panicking {
    /// Returns a store that panics in this call: `claim`, `complete`, `release`, `extend`,
    /// `response` or `forget`. `at_once` means before it returns a future.
    pub fn new(call: &'static str, at_once: bool) -> Self {
        Self { inner: MemoryStore::new(), call, at_once, panicked: Arc::default() }
    }

    async fn call<T>(&self, call: &str, answer: impl Future<Output = T>) -> T {
        tokio::task::yield_now().await;
        self.check(call);
        answer.await
    }

    fn check_at_once(&self, call: &str) {
        if self.at_once {
            self.check(call);
        }
    }

    fn check(&self, call: &str) {
        if call == self.call {
            self.panicked.notify_one();
            panic!("on purpose");
        }
    }
}

fn name_of(step: Step) -> &'static str {
    match step {
        Step::Complete { .. } => "complete",
        Step::Release => "release",
        Step::Extend { .. } => "extend",
    }
}

impl ClaimStore for Panicking {
    fn claim(
        &self,
        requests: &[ClaimRequest],
    ) -> impl Future<Output = Result<Vec<ClaimOutcome>, StoreError>> + Send {
        self.check_at_once("claim");
        self.call("claim", self.inner.claim(requests))
    }

    fn settle(
        &self,
        holders: &[Holder],
        step: Step,
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send {
        self.check_at_once(name_of(step));
        self.call(name_of(step), self.inner.settle(holders, step))
    }

    fn complete_with(
        &self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
        response: &StoredResponse,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send {
        self.check_at_once("complete");
        self.call("complete", self.inner.complete_with(holder, status, ttl, response))
    }

    fn response(
        &self,
        key: &ClaimKey,
        limit: Duration,
    ) -> impl Future<Output = Result<Option<StoredResponse>, StoreError>> + Send {
        self.check_at_once("response");
        self.call("response", self.inner.response(key, limit))
    }

    fn forget(&self, key: &ClaimKey) -> impl Future<Output = Result<bool, StoreError>> + Send {
        self.check_at_once("forget");
        self.call("forget", self.inner.forget(key))
    }

    fn purge(&self, max: usize) -> impl Future<Output = Result<usize, StoreError>> + Send {
        self.call("purge", self.inner.purge(max))
    }
}
