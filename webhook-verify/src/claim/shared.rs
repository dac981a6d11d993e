//! Stores behind pointers: of a type that is not known, and shared.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, Settled, StoreError};

/// [`ClaimStore`] with its futures boxed, so that a receiver has no type parameter for its store.
pub(crate) trait DynClaimStore: Send + Sync {
    fn claim<'a>(&'a self, request: &'a ClaimRequest) -> BoxFuture<'a, ClaimOutcome>;
    fn complete<'a>(
        &'a self,
        holder: &'a Holder,
        status: u16,
        ttl: Duration,
    ) -> BoxFuture<'a, Settled>;
    fn release<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Settled>;
    fn extend<'a>(&'a self, holder: &'a Holder, lease: Duration) -> BoxFuture<'a, Settled>;
    fn claim_all<'a>(&'a self, requests: &'a [ClaimRequest]) -> BoxFuture<'a, Vec<ClaimOutcome>>;
    fn extend_all<'a>(
        &'a self,
        holders: &'a [Holder],
        lease: Duration,
    ) -> BoxFuture<'a, Vec<Settled>>;
    fn release_all<'a>(&'a self, holders: &'a [Holder]) -> BoxFuture<'a, Vec<Settled>>;
    fn complete_all<'a>(
        &'a self,
        holders: &'a [Holder],
        status: u16,
        ttl: Duration,
    ) -> BoxFuture<'a, Vec<Settled>>;
    fn forget<'a>(&'a self, key: &'a ClaimKey) -> BoxFuture<'a, bool>;
}

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

impl<S: ClaimStore> DynClaimStore for S {
    fn claim<'a>(&'a self, request: &'a ClaimRequest) -> BoxFuture<'a, ClaimOutcome> {
        Box::pin(ClaimStore::claim(self, request))
    }

    fn complete<'a>(
        &'a self,
        holder: &'a Holder,
        status: u16,
        ttl: Duration,
    ) -> BoxFuture<'a, Settled> {
        Box::pin(ClaimStore::complete(self, holder, status, ttl))
    }

    fn release<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Settled> {
        Box::pin(ClaimStore::release(self, holder))
    }

    fn extend<'a>(&'a self, holder: &'a Holder, lease: Duration) -> BoxFuture<'a, Settled> {
        Box::pin(ClaimStore::extend(self, holder, lease))
    }

    fn claim_all<'a>(&'a self, requests: &'a [ClaimRequest]) -> BoxFuture<'a, Vec<ClaimOutcome>> {
        Box::pin(ClaimStore::claim_all(self, requests))
    }

    fn extend_all<'a>(
        &'a self,
        holders: &'a [Holder],
        lease: Duration,
    ) -> BoxFuture<'a, Vec<Settled>> {
        Box::pin(ClaimStore::extend_all(self, holders, lease))
    }

    fn release_all<'a>(&'a self, holders: &'a [Holder]) -> BoxFuture<'a, Vec<Settled>> {
        Box::pin(ClaimStore::release_all(self, holders))
    }

    fn complete_all<'a>(
        &'a self,
        holders: &'a [Holder],
        status: u16,
        ttl: Duration,
    ) -> BoxFuture<'a, Vec<Settled>> {
        Box::pin(ClaimStore::complete_all(self, holders, status, ttl))
    }

    fn forget<'a>(&'a self, key: &'a ClaimKey) -> BoxFuture<'a, bool> {
        Box::pin(ClaimStore::forget(self, key))
    }
}

/// A store that is shared, as with several receivers.
impl<S: ClaimStore> ClaimStore for Arc<S> {
    fn claim(
        &self,
        request: &ClaimRequest,
    ) -> impl Future<Output = Result<ClaimOutcome, StoreError>> + Send {
        self.as_ref().claim(request)
    }

    fn complete(
        &self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send {
        self.as_ref().complete(holder, status, ttl)
    }

    fn release(&self, holder: &Holder) -> impl Future<Output = Result<Settled, StoreError>> + Send {
        self.as_ref().release(holder)
    }

    fn extend(
        &self,
        holder: &Holder,
        lease: Duration,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send {
        self.as_ref().extend(holder, lease)
    }

    fn claim_all(
        &self,
        requests: &[ClaimRequest],
    ) -> impl Future<Output = Result<Vec<ClaimOutcome>, StoreError>> + Send {
        self.as_ref().claim_all(requests)
    }

    fn extend_all(
        &self,
        holders: &[Holder],
        lease: Duration,
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send {
        self.as_ref().extend_all(holders, lease)
    }

    fn release_all(
        &self,
        holders: &[Holder],
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send {
        self.as_ref().release_all(holders)
    }

    fn complete_all(
        &self,
        holders: &[Holder],
        status: u16,
        ttl: Duration,
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send {
        self.as_ref().complete_all(holders, status, ttl)
    }

    fn forget(&self, key: &ClaimKey) -> impl Future<Output = Result<bool, StoreError>> + Send {
        self.as_ref().forget(key)
    }

    fn is_in_process(&self) -> bool {
        self.as_ref().is_in_process()
    }

    fn purge(&self, most: usize) -> impl Future<Output = Result<usize, StoreError>> + Send {
        self.as_ref().purge(most)
    }
}
