//! A store that counts its calls and fails on demand.

use std::{
    future::pending,
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::sync::watch;
use webhook_verify::{
    MemoryStore,
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, Settled, Step, StoreError,
        StoredResponse,
    },
};

use crate::soon;

/// Counts the calls of a store, and fails as many of them as the test demands. A call for several
/// claims is one call.
#[derive(Debug)]
pub struct Watched<S = MemoryStore> {
    /// The wrapped store.
    pub inner: S,
    /// Calls so far, including those that failed.
    pub claims: AtomicUsize,
    /// Calls so far.
    pub releases: AtomicUsize,
    /// Calls so far.
    pub extends: AtomicUsize,
    /// How many of the next calls fail, without effect.
    pub fail_claims: AtomicUsize,
    /// How many of the next claims are refused because of the load.
    pub overload_claims: AtomicUsize,
    /// How many of the next claims take effect, but fail.
    pub lose_claims: AtomicUsize,
    /// How many of the next calls fail, without effect.
    pub fail_completes: AtomicUsize,
    /// How many of the next calls fail, without effect.
    pub fail_releases: AtomicUsize,
    /// How many of the next calls fail, without effect.
    pub fail_extends: AtomicUsize,
    /// How many of the next calls fail, without effect.
    pub fail_responses: AtomicUsize,
    /// How many of the next calls, of any kind, take effect but never return.
    pub silent: AtomicUsize,
    completes: watch::Sender<usize>,
    log: Mutex<Vec<String>>,
}

impl Watched {
    /// Wraps a memory store.
    pub fn new() -> Arc<Self> {
        Self::over(MemoryStore::new())
    }
}

impl<S> Watched<S> {
    /// Wraps another store.
    pub fn over(inner: S) -> Arc<Self> {
        Arc::new(Self {
            inner,
            claims: AtomicUsize::new(0),
            releases: AtomicUsize::new(0),
            extends: AtomicUsize::new(0),
            fail_claims: AtomicUsize::new(0),
            overload_claims: AtomicUsize::new(0),
            lose_claims: AtomicUsize::new(0),
            fail_completes: AtomicUsize::new(0),
            fail_releases: AtomicUsize::new(0),
            fail_extends: AtomicUsize::new(0),
            fail_responses: AtomicUsize::new(0),
            silent: AtomicUsize::new(0),
            completes: watch::Sender::new(0),
            log: Mutex::default(),
        })
    }

    /// Returns the completions so far, each counted when it has returned.
    pub fn completes(&self) -> usize {
        *self.completes.borrow()
    }

    /// Waits until `count` completions have returned.
    pub async fn until_completes(&self, count: usize) {
        let mut completes = self.completes.subscribe();
        let what = format!("completion number {count}");
        soon(&what, completes.wait_for(|calls| *calls >= count)).await.unwrap();
    }

    /// Returns the calls since the last call of this method, such as `claim_all 10`.
    pub fn take_log(&self) -> Vec<String> {
        mem::take(&mut *self.log.lock().unwrap())
    }

    fn note(&self, call: &str, claims: usize) {
        let call = match claims {
            1 => call.to_owned(),
            many => format!("{call}_all {many}"),
        };
        self.log.lock().unwrap().push(call);
    }

    async fn answer<T>(&self, answer: T) -> T {
        match fails(&self.silent) {
            Ok(()) => answer,
            Err(_) => pending().await,
        }
    }

    /// Returns the number of all calls, of any kind.
    pub fn calls(&self) -> usize {
        self.claims.load(SeqCst)
            + self.completes()
            + self.releases.load(SeqCst)
            + self.extends.load(SeqCst)
    }
}

/// The text of the store's error. It is for logs only.
pub const OUTAGE: &str = "connection to claims-db-7 refused";

fn fails(left: &AtomicUsize) -> Result<(), StoreError> {
    let failing = left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
    match failing {
        Ok(_) => Err(StoreError::new(OUTAGE)),
        Err(_) => Ok(()),
    }
}

impl<S: ClaimStore> ClaimStore for Watched<S> {
    fn is_in_process(&self) -> bool {
        self.inner.is_in_process()
    }

    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        self.note("claim", requests.len());
        self.claims.fetch_add(1, SeqCst);
        fails(&self.fail_claims)?;
        fails(&self.overload_claims).map_err(|_| StoreError::overloaded())?;
        let outcomes = self.inner.claim(requests).await;
        fails(&self.lose_claims)?;
        self.answer(outcomes).await
    }

    async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
        let settled = match step {
            Step::Complete { .. } => {
                self.note("complete", holders.len());
                let settled = match fails(&self.fail_completes) {
                    Ok(()) => self.inner.settle(holders, step).await,
                    Err(error) => Err(error),
                };
                self.completes.send_modify(|calls| *calls += 1);
                settled
            }
            Step::Release => {
                self.note("release", holders.len());
                self.releases.fetch_add(1, SeqCst);
                fails(&self.fail_releases)?;
                self.inner.settle(holders, step).await
            }
            Step::Extend { .. } => {
                self.note("extend", holders.len());
                self.extends.fetch_add(1, SeqCst);
                fails(&self.fail_extends)?;
                self.inner.settle(holders, step).await
            }
        };
        self.answer(settled).await
    }

    async fn complete_with(
        &self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
        response: &StoredResponse,
    ) -> Result<Settled, StoreError> {
        self.note("complete_with", 1);
        let settled = match fails(&self.fail_completes) {
            Ok(()) => self.inner.complete_with(holder, status, ttl, response).await,
            Err(error) => Err(error),
        };
        self.completes.send_modify(|calls| *calls += 1);
        self.answer(settled).await
    }

    async fn response(
        &self,
        key: &ClaimKey,
        limit: Duration,
    ) -> Result<Option<StoredResponse>, StoreError> {
        self.note("response", 1);
        fails(&self.fail_responses)?;
        let response = self.inner.response(key, limit).await;
        self.answer(response).await
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        self.inner.forget(key).await
    }

    async fn purge(&self, max: usize) -> Result<usize, StoreError> {
        self.inner.purge(max).await
    }
}
