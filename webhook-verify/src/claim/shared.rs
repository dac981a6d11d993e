//! Stores behind pointers: type-erased, and shared.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{
    ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, Settled, Step, StoreError,
    StoredResponse, callback::contain_future,
};

/// [`ClaimStore`] with its futures boxed, so that a receiver has no type parameter for its store. A
/// panic of the store is an error.
pub(crate) trait DynClaimStore: Send + Sync {
    fn claim<'a>(&'a self, requests: &'a [ClaimRequest]) -> BoxFuture<'a, Vec<ClaimOutcome>>;
    fn settle<'a>(&'a self, holders: &'a [Holder], step: Step) -> BoxFuture<'a, Vec<Settled>>;
    fn complete_with<'a>(
        &'a self,
        holder: &'a Holder,
        status: u16,
        ttl: Duration,
        response: &'a StoredResponse,
    ) -> BoxFuture<'a, Settled>;
    fn response<'a>(
        &'a self,
        key: &'a ClaimKey,
        limit: Duration,
    ) -> BoxFuture<'a, Option<StoredResponse>>;
    fn forget<'a>(&'a self, key: &'a ClaimKey) -> BoxFuture<'a, bool>;
}

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Calls a store when the returned future is first polled.
fn call<'a, T, F>(call: impl FnOnce() -> F + Send + 'a) -> BoxFuture<'a, T>
where
    F: Future<Output = Result<T, StoreError>> + Send + 'a,
{
    let answer = contain_future(async move { call().await });
    Box::pin(
        async move { answer.await.unwrap_or_else(|| Err(StoreError::new("the store panicked"))) },
    )
}

impl<S: ClaimStore> DynClaimStore for S {
    fn claim<'a>(&'a self, requests: &'a [ClaimRequest]) -> BoxFuture<'a, Vec<ClaimOutcome>> {
        call(move || ClaimStore::claim(self, requests))
    }

    fn settle<'a>(&'a self, holders: &'a [Holder], step: Step) -> BoxFuture<'a, Vec<Settled>> {
        call(move || ClaimStore::settle(self, holders, step))
    }

    fn complete_with<'a>(
        &'a self,
        holder: &'a Holder,
        status: u16,
        ttl: Duration,
        response: &'a StoredResponse,
    ) -> BoxFuture<'a, Settled> {
        call(move || ClaimStore::complete_with(self, holder, status, ttl, response))
    }

    fn response<'a>(
        &'a self,
        key: &'a ClaimKey,
        limit: Duration,
    ) -> BoxFuture<'a, Option<StoredResponse>> {
        call(move || ClaimStore::response(self, key, limit))
    }

    fn forget<'a>(&'a self, key: &'a ClaimKey) -> BoxFuture<'a, bool> {
        call(move || ClaimStore::forget(self, key))
    }
}

/// A store that several receivers share.
impl<S: ClaimStore> ClaimStore for Arc<S> {
    fn claim(
        &self,
        requests: &[ClaimRequest],
    ) -> impl Future<Output = Result<Vec<ClaimOutcome>, StoreError>> + Send {
        self.as_ref().claim(requests)
    }

    fn settle(
        &self,
        holders: &[Holder],
        step: Step,
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send {
        self.as_ref().settle(holders, step)
    }

    fn forget(&self, key: &ClaimKey) -> impl Future<Output = Result<bool, StoreError>> + Send {
        self.as_ref().forget(key)
    }

    fn purge(&self, max: usize) -> impl Future<Output = Result<usize, StoreError>> + Send {
        self.as_ref().purge(max)
    }

    fn complete_with(
        &self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
        response: &StoredResponse,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send {
        self.as_ref().complete_with(holder, status, ttl, response)
    }

    fn response(
        &self,
        key: &ClaimKey,
        limit: Duration,
    ) -> impl Future<Output = Result<Option<StoredResponse>, StoreError>> + Send {
        self.as_ref().response(key, limit)
    }

    fn is_in_process(&self) -> bool {
        self.as_ref().is_in_process()
    }
}
