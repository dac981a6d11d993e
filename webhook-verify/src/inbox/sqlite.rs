//! The inbox in an SQLite file, next to the claims.

mod operations;
#[cfg(test)]
mod order;
mod turn;
mod values;

use std::{any::Any, time::Duration};

use sqlx::SqliteConnection;

use self::{
    operations::{Cursor, Page, Part},
    turn::Turn,
};
use super::{
    Advance, Change, Entry, EntryHolder, EntryState, Extended, Filter, InboxStore, Inserted,
    Intake, LeaseRequest, Leased, Retention, Settlement, Stats, Verdict,
};
use crate::claim::{
    BoxFuture, Settled, SqliteStore, StoreError,
    sqlite::{Task, Urgency},
};

/// How many entries one statement examines, if it only reads.
const READ: usize = 10_000;
/// How many entries one call to the writer changes.
const CHANGE: usize = 1000;
/// How many events or entries one call to the writer of a purge examines. Bodies have pages of their
/// own.
const PURGE: usize = 100;
/// The limit of calls whose callers have none.
const LIMIT: Duration = Duration::from_secs(5);

/// A call to the writer, or one that only reads.
struct Call<A, T> {
    table: String,
    arguments: A,
    run: Run<A, T>,
}

type Run<A, T> = for<'a> fn(Turn<'a>, &'a A) -> BoxFuture<'a, T>;

impl<A: Send + Sync, T: Send + 'static> Task for Call<A, T> {
    fn run<'a>(
        &'a self,
        on: &'a mut SqliteConnection,
        now: Duration,
    ) -> BoxFuture<'a, Box<dyn Any + Send>> {
        Box::pin(async move {
            let turn = Turn { on, table: &self.table, now };
            let result: Box<dyn Any + Send> = Box::new((self.run)(turn, &self.arguments).await?);
            Ok(result)
        })
    }
}

impl SqliteStore {
    async fn inbox<A: Send + Sync + 'static, T: Send + 'static>(
        &self,
        urgency: Urgency,
        arguments: A,
        run: Run<A, T>,
    ) -> Result<T, StoreError> {
        let table = self.inbox_table().to_owned();
        self.run(Call { table, arguments, run }, urgency).await
    }

    async fn read_inbox<A: Send + Sync + 'static, T: Send + 'static>(
        &self,
        arguments: A,
        run: Run<A, T>,
    ) -> Result<T, StoreError> {
        let table = self.inbox_table().to_owned();
        self.read(Call { table, arguments, run }, Urgency::Renewal(LIMIT)).await
    }

    /// Removes up to `max` events or bodies, and returns how many were removed.
    async fn purge_part(
        &self,
        part: Part,
        endpoint: &str,
        retention: Retention,
        max: usize,
    ) -> Result<usize, StoreError> {
        let (mut left, mut cursor) = (max, Some(Cursor::START));
        while let Some(from) = cursor.filter(|_| left > 0) {
            let arguments = (part, endpoint.to_owned(), retention, from, left.min(PURGE));
            let call = self.inbox(Urgency::Renewal(LIMIT), arguments, |mut turn, arguments| {
                Box::pin(async move {
                    let (part, endpoint, retention, from, max) = arguments;
                    turn.purge(*part, endpoint, *retention, *from, *max).await
                })
            });
            let removed;
            (removed, cursor) = call.await?;
            left -= removed;
        }
        Ok(max - left)
    }

    /// Marks an entry as done in the handler's transaction, if the holder still runs it. Returns
    /// whether it does.
    pub(crate) async fn finish_in(
        &self,
        transaction: &mut SqliteConnection,
        holder: &EntryHolder,
    ) -> Result<bool, StoreError> {
        let mut turn = Turn { on: transaction, table: self.inbox_table(), now: self.now() };
        Ok(turn.settle(holder, &Verdict::Done).await? == Settled::Applied)
    }
}

impl InboxStore for SqliteStore {
    async fn insert(&self, intake: &Intake) -> Result<Vec<Inserted>, StoreError> {
        let urgency = Urgency::New(intake.limit);
        self.inbox(urgency, intake.clone(), |mut turn, intake| {
            Box::pin(async move { turn.insert(intake).await })
        })
        .await
    }

    async fn lease(&self, request: &LeaseRequest) -> Result<Leased, StoreError> {
        let urgency = Urgency::New(request.limit);
        self.inbox(urgency, request.clone(), |mut turn, request| {
            Box::pin(async move { turn.lease(request).await })
        })
        .await
    }

    async fn extend(
        &self,
        holders: &[EntryHolder],
        lease: Duration,
        limit: Duration,
    ) -> Result<Vec<Extended>, StoreError> {
        let arguments = (holders.to_vec(), lease);
        self.inbox(Urgency::Renewal(limit), arguments, |mut turn, (holders, lease)| {
            Box::pin(async move {
                let mut extended = Vec::with_capacity(holders.len());
                for holder in holders {
                    extended.push(turn.extend(holder, *lease).await?);
                }
                Ok(extended)
            })
        })
        .await
    }

    async fn settle(
        &self,
        settlements: &[Settlement],
        limit: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        self.inbox(Urgency::Completion(limit), settlements.to_vec(), |mut turn, settlements| {
            Box::pin(async move {
                let mut settled = Vec::with_capacity(settlements.len());
                for Settlement { holder, verdict } in settlements {
                    settled.push(turn.settle(holder, verdict).await?);
                }
                Ok(settled)
            })
        })
        .await
    }

    async fn advance(&self, advance: &Advance, limit: Duration) -> Result<bool, StoreError> {
        self.inbox(Urgency::Renewal(limit), advance.clone(), |mut turn, advance| {
            Box::pin(async move { turn.advance(advance).await })
        })
        .await
    }

    async fn stats(&self, endpoint: &str) -> Result<Vec<Stats>, StoreError> {
        self.read_inbox(endpoint.to_owned(), |mut turn, endpoint| {
            Box::pin(async move { turn.stats(endpoint).await })
        })
        .await
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
        let mut page = Page { after: filter.after, step: READ, left: filter.limit };
        let mut entries = Vec::new();
        while page.left > 0 {
            let call = self.read_inbox((filter.clone(), page), |mut turn, (f, page)| {
                Box::pin(async move {
                    let Some(end) = turn.page_end(f, *page).await? else { return Ok(None) };
                    Ok(Some((turn.list(f, *page, end).await?, end)))
                })
            });
            let Some((found, end)) = call.await? else { break };
            page = Page { after: end, left: page.left - found.len(), ..page };
            entries.extend(found);
        }
        Ok(entries)
    }

    async fn change(&self, filter: &Filter, change: Change) -> Result<usize, StoreError> {
        match filter.state {
            None | Some(EntryState::Waiting | EntryState::Dead) => {}
            Some(EntryState::Running | EntryState::Done | EntryState::Discarded) => return Ok(0),
        }
        let mut page = Page { after: filter.after, step: CHANGE, left: filter.limit };
        while page.left > 0 {
            let arguments = (filter.clone(), change, page);
            let call =
                self.inbox(Urgency::Renewal(LIMIT), arguments, |mut turn, (f, change, page)| {
                    Box::pin(async move {
                        let Some(end) = turn.page_end(f, *page).await? else { return Ok(None) };
                        Ok(Some((turn.change(f, *change, *page, end).await?, end)))
                    })
                });
            let Some((changed, end)) = call.await? else { break };
            page = Page { after: end, left: page.left - changed, ..page };
        }
        Ok(filter.limit - page.left)
    }

    async fn purge_inbox(
        &self,
        endpoint: &str,
        retention: &Retention,
        max: usize,
    ) -> Result<usize, StoreError> {
        // Only events without a body are removed. If one purge fails, the other one still runs.
        let bodies = self.purge_part(Part::Bodies, endpoint, *retention, max).await;
        let left = max - bodies.as_ref().map_or(0, |bodies| *bodies);
        let events = self.purge_part(Part::Events, endpoint, *retention, left).await?;
        Ok(bodies? + events)
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process};

    use sqlx::SqlitePool;

    use super::*;
    use crate::{
        claim::{ClaimKey, Owner},
        inbox::{NewEvent, Order, StoredEvent},
    };

    #[tokio::test]
    async fn an_entry_is_finished_with_the_transaction_of_its_holder() {
        let folder = env::temp_dir().join(format!("webhook-verify-inbox-{}", process::id()));
        fs::create_dir(&folder).unwrap();
        let url = format!("sqlite://{}", folder.join("inbox.db").display());
        let store = SqliteStore::connect(&url).await.unwrap();
        let pool = SqlitePool::connect(&url).await.unwrap();
        let minute = Duration::from_secs(60);
        let events = [1, 2].map(|number| {
            let event = StoredEvent::new(ClaimKey::from([number; 32]), "mautic", "{}");
            NewEvent::new(event, minute).ordered("key", None)
        });
        store.insert(&Intake::new("inbox", &["crm"], events.into())).await.unwrap();
        let owner = Owner::random().unwrap();
        let mut request = LeaseRequest::new("inbox", "crm", owner, 2, minute);
        request.order = Order::DeadBlocks;
        let number = store.lease(&request).await.unwrap().events[0].number;
        let holder = EntryHolder::new(number, "crm", owner);
        let other = EntryHolder::new(number, "crm", Owner::random().unwrap());
        let state = async || store.list(&Filter::new("inbox", 1)).await.unwrap()[0].state;

        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        assert!(!store.finish_in(&mut transaction, &other).await.unwrap());
        assert!(store.finish_in(&mut transaction, &holder).await.unwrap());
        transaction.rollback().await.unwrap();
        assert_eq!(state().await, EntryState::Running);
        assert_eq!(store.lease(&request).await.unwrap().events.len(), 0);

        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        assert!(store.finish_in(&mut transaction, &holder).await.unwrap());
        assert!(!store.finish_in(&mut transaction, &holder).await.unwrap());
        transaction.commit().await.unwrap();
        assert_eq!(state().await, EntryState::Done);
        let following = store.lease(&request).await.unwrap().events;
        assert_eq!(following[0].number, number + 1);
        pool.close().await;
        fs::remove_dir_all(&folder).unwrap();
    }
}
