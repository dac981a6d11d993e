use std::{any::Any, time::Duration};

use super::{
    Advance, Change, Entry, EntryHolder, Filter, InboxStore, Inserted, Intake, LeaseRequest,
    Leased, Retention, Settlement, Stats,
};
use crate::claim::{BoxFuture, Settled};

/// [`InboxStore`] with its futures boxed, so that an inbox has no type parameter for its store.
pub(crate) trait DynInboxStore: Send + Sync {
    fn as_any(&self) -> &(dyn Any + Send + Sync);
    fn insert<'a>(&'a self, intake: &'a Intake) -> BoxFuture<'a, Vec<Inserted>>;
    fn lease<'a>(&'a self, request: &'a LeaseRequest) -> BoxFuture<'a, Leased>;
    fn extend<'a>(
        &'a self,
        holders: &'a [EntryHolder],
        lease: Duration,
        limit: Duration,
    ) -> BoxFuture<'a, Vec<Settled>>;
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

impl<S: InboxStore> DynInboxStore for S {
    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        InboxStore::as_any(self)
    }

    fn insert<'a>(&'a self, intake: &'a Intake) -> BoxFuture<'a, Vec<Inserted>> {
        Box::pin(InboxStore::insert(self, intake))
    }

    fn lease<'a>(&'a self, request: &'a LeaseRequest) -> BoxFuture<'a, Leased> {
        Box::pin(InboxStore::lease(self, request))
    }

    fn extend<'a>(
        &'a self,
        holders: &'a [EntryHolder],
        lease: Duration,
        limit: Duration,
    ) -> BoxFuture<'a, Vec<Settled>> {
        Box::pin(InboxStore::extend(self, holders, lease, limit))
    }

    fn settle<'a>(
        &'a self,
        settlements: &'a [Settlement],
        limit: Duration,
    ) -> BoxFuture<'a, Vec<Settled>> {
        Box::pin(InboxStore::settle(self, settlements, limit))
    }

    fn advance<'a>(&'a self, advance: &'a Advance, limit: Duration) -> BoxFuture<'a, bool> {
        Box::pin(InboxStore::advance(self, advance, limit))
    }

    fn stats<'a>(&'a self, endpoint: &'a str) -> BoxFuture<'a, Vec<Stats>> {
        Box::pin(InboxStore::stats(self, endpoint))
    }

    fn list<'a>(&'a self, filter: &'a Filter) -> BoxFuture<'a, Vec<Entry>> {
        Box::pin(InboxStore::list(self, filter))
    }

    fn change<'a>(&'a self, filter: &'a Filter, change: Change) -> BoxFuture<'a, usize> {
        Box::pin(InboxStore::change(self, filter, change))
    }

    fn purge_inbox<'a>(
        &'a self,
        endpoint: &'a str,
        retention: &'a Retention,
        max: usize,
    ) -> BoxFuture<'a, usize> {
        Box::pin(InboxStore::purge_inbox(self, endpoint, retention, max))
    }

    fn announce<'a>(&'a self, endpoint: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(InboxStore::announce(self, endpoint))
    }

    fn watch<'a>(
        &'a self,
        endpoint: &'a str,
        wake: &'a (dyn Fn() + Send + Sync),
    ) -> BoxFuture<'a, ()> {
        Box::pin(InboxStore::watch(self, endpoint, wake))
    }
}
