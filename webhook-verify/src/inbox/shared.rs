use std::{any::Any, time::Duration};

use super::{
    Advance, Change, Entry, EntryHolder, Extended, Filter, InboxStore, Inserted, Intake,
    LeaseRequest, Leased, Retention, Settlement, Stats,
};
use crate::claim::{BoxFuture, Settled, StoreError, contain_future};

/// [`InboxStore`] with boxed futures, so that an inbox has no type parameter for its store. Returns
/// panics of the store as errors.
pub(crate) trait DynInboxStore: Send + Sync {
    fn as_any(&self) -> &(dyn Any + Send + Sync);
    fn insert<'a>(&'a self, intake: &'a Intake) -> BoxFuture<'a, Vec<Inserted>>;
    fn lease<'a>(&'a self, request: &'a LeaseRequest) -> BoxFuture<'a, Leased>;
    fn extend<'a>(
        &'a self,
        holders: &'a [EntryHolder],
        lease: Duration,
        limit: Duration,
    ) -> BoxFuture<'a, Vec<Extended>>;
    fn settle<'a>(
        &'a self,
        settlements: &'a [Settlement],
        limit: Duration,
    ) -> BoxFuture<'a, Vec<Settled>>;
    fn advance<'a>(&'a self, advance: &'a Advance, limit: Duration) -> BoxFuture<'a, bool>;
    fn stats<'a>(&'a self, endpoint: &'a str) -> BoxFuture<'a, Vec<Stats>>;
    fn list<'a>(&'a self, filter: &'a Filter) -> BoxFuture<'a, Vec<Entry>>;
    fn change<'a>(&'a self, filter: &'a Filter, change: Change) -> BoxFuture<'a, usize>;
    fn purge_inbox<'a>(
        &'a self,
        endpoint: &'a str,
        retention: &'a Retention,
        max: usize,
    ) -> BoxFuture<'a, usize>;
    fn announce<'a>(&'a self, endpoint: &'a str) -> BoxFuture<'a, ()>;
    fn watch<'a>(
        &'a self,
        endpoint: &'a str,
        wake: &'a (dyn Fn() + Send + Sync),
    ) -> BoxFuture<'a, ()>;
}

/// Calls a store when the returned future is first polled.
fn call<'a, T, F>(name: &'static str, call: impl FnOnce() -> F + Send + 'a) -> BoxFuture<'a, T>
where
    F: Future<Output = Result<T, StoreError>> + Send + 'a,
{
    let answer = contain_future(async move { call().await });
    Box::pin(async move {
        answer
            .await
            .unwrap_or_else(|| Err(StoreError::new(format!("the store panicked in `{name}`"))))
    })
}

impl<S: InboxStore> DynInboxStore for S {
    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        InboxStore::as_any(self)
    }

    fn insert<'a>(&'a self, intake: &'a Intake) -> BoxFuture<'a, Vec<Inserted>> {
        call("insert", move || InboxStore::insert(self, intake))
    }

    fn lease<'a>(&'a self, request: &'a LeaseRequest) -> BoxFuture<'a, Leased> {
        call("lease", move || InboxStore::lease(self, request))
    }

    fn extend<'a>(
        &'a self,
        holders: &'a [EntryHolder],
        lease: Duration,
        limit: Duration,
    ) -> BoxFuture<'a, Vec<Extended>> {
        call("extend", move || InboxStore::extend(self, holders, lease, limit))
    }

    fn settle<'a>(
        &'a self,
        settlements: &'a [Settlement],
        limit: Duration,
    ) -> BoxFuture<'a, Vec<Settled>> {
        call("settle", move || InboxStore::settle(self, settlements, limit))
    }

    fn advance<'a>(&'a self, advance: &'a Advance, limit: Duration) -> BoxFuture<'a, bool> {
        call("advance", move || InboxStore::advance(self, advance, limit))
    }

    fn stats<'a>(&'a self, endpoint: &'a str) -> BoxFuture<'a, Vec<Stats>> {
        call("stats", move || InboxStore::stats(self, endpoint))
    }

    fn list<'a>(&'a self, filter: &'a Filter) -> BoxFuture<'a, Vec<Entry>> {
        call("list", move || InboxStore::list(self, filter))
    }

    fn change<'a>(&'a self, filter: &'a Filter, change: Change) -> BoxFuture<'a, usize> {
        call("change", move || InboxStore::change(self, filter, change))
    }

    fn purge_inbox<'a>(
        &'a self,
        endpoint: &'a str,
        retention: &'a Retention,
        max: usize,
    ) -> BoxFuture<'a, usize> {
        call("purge_inbox", move || InboxStore::purge_inbox(self, endpoint, retention, max))
    }

    fn announce<'a>(&'a self, endpoint: &'a str) -> BoxFuture<'a, ()> {
        call("announce", move || InboxStore::announce(self, endpoint))
    }

    fn watch<'a>(
        &'a self,
        endpoint: &'a str,
        wake: &'a (dyn Fn() + Send + Sync),
    ) -> BoxFuture<'a, ()> {
        call("watch", move || InboxStore::watch(self, endpoint, wake))
    }
}
