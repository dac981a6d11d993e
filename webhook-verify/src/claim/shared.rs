//! Stores behind pointers: type-erased, and shared.

use std::{future::Future, pin::Pin, sync::Arc};

use super::{ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, Settled, Step, StoreError};

/// [`ClaimStore`] with its futures boxed, so that a receiver has no type parameter for its store.
pub(crate) trait DynClaimStore: Send + Sync {
    fn claim<'a>(&'a self, requests: &'a [ClaimRequest]) -> BoxFuture<'a, Vec<ClaimOutcome>>;
    fn settle<'a>(&'a self, holders: &'a [Holder], step: Step) -> BoxFuture<'a, Vec<Settled>>;
    fn forget<'a>(&'a self, key: &'a ClaimKey) -> BoxFuture<'a, bool>;
}

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

impl<S: ClaimStore> DynClaimStore for S {
    fn claim<'a>(&'a self, requests: &'a [ClaimRequest]) -> BoxFuture<'a, Vec<ClaimOutcome>> {
        Box::pin(ClaimStore::claim(self, requests))
    }

    fn settle<'a>(&'a self, holders: &'a [Holder], step: Step) -> BoxFuture<'a, Vec<Settled>> {
        Box::pin(ClaimStore::settle(self, holders, step))
    }

    fn forget<'a>(&'a self, key: &'a ClaimKey) -> BoxFuture<'a, bool> {
        Box::pin(ClaimStore::forget(self, key))
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

    fn is_in_process(&self) -> bool {
        self.as_ref().is_in_process()
    }
}
