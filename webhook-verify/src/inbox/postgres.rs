//! Inboxes in a PostgreSQL database. `claim::postgres` has the tables and the statements.

use std::{collections::HashSet, mem::take, time::Duration};

use bytes::Bytes;
use sqlx::{
    Error, PgConnection, Row as _, SqlStr,
    postgres::{PgListener, PgPoolOptions, PgRow},
};
use tokio::time::sleep;

use super::{
    Advance, Change, Entry, EntryHolder, EntryState, Extended, Filter, InboxStore, Inserted,
    Intake, LeaseRequest, Leased, LeasedEvent, Order, Retention, Settlement, Stats, StoredEvent,
    Verdict,
    store::{attempts, headers},
};
use crate::claim::{
    ClaimKey, PostgresStore, Settled, StoreError,
    postgres::{InboxStatements, Value, leads_to_server, run_in},
    sql::{digest, foreign, millis},
};

/// The number of entries that one statement of an operator or a purge changes: few enough not to
/// delay other statements.
const BATCH: usize = 1000;
/// The maximum number of times that a lease looks for entries. It looks again if it finds only
/// entries that wait for others or have no event, or if another ordered lease has the lock.
const LOOKS: usize = 10;
/// The pause before a lease looks again. An ordered lease takes a few milliseconds.
const PAUSE: Duration = Duration::from_millis(10);
/// The longest time from now that the database has to represent.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

impl InboxStore for PostgresStore {
    async fn insert(&self, intake: &Intake) -> Result<Vec<Inserted>, StoreError> {
        let mut keys = HashSet::new();
        let given = intake.events.iter().enumerate();
        let given: Vec<_> = given.filter(|(_, new)| keys.insert(new.event.key)).collect();
        let mut results = vec![Inserted::Duplicate; intake.events.len()];
        if given.is_empty() {
            return Ok(results);
        }
        let texts = |part: fn(&StoredEvent) -> Option<&str>| {
            Value::contents(given.iter().map(|(_, new)| part(&new.event)))
        };
        let headers = given.iter().map(|(_, new)| serde_json::to_string(&new.event.headers));
        let headers: Vec<_> = headers.collect::<Result<_, _>>().map_err(StoreError::new)?;
        let values = vec![
            Value::ByteArrays(each(&given, |(_, new)| new.event.key.as_bytes().to_vec())),
            texts(|event| event.namespace.as_deref()),
            texts(|event| Some(&event.scheme)),
            texts(|event| event.event_type.as_deref()),
            texts(|event| event.id.as_deref()),
            Value::Times(each(&given, |(_, new)| new.event.time.map(millis))),
            texts(|event| event.data_pointer.as_deref()),
            Value::contents(headers.iter().map(|headers| Some(&**headers))),
            Value::Bodies(each(&given, |(_, new)| new.event.body.clone())),
            Value::Ints(each(&given, |(_, new)| time(new.ttl))),
            Value::Keys(each(&given, |(_, new)| new.order_key.as_deref().map(digest))),
            Value::Ints(each(&given, |(_, new)| new.position.unwrap_or(0))),
            Value::text(&intake.endpoint),
            Value::texts(intake.consumers.iter().map(|consumer| &**consumer)),
            self.lock_timeout_value(),
        ];
        let link = self.link();
        let slot = link.limiter.enter(intake.limit).await?;
        let inserted = link.claim(&self.inbox_statements().insert, values, slot, intake.limit);
        for row in self.rows(inserted).await? {
            let index = index(&row)?;
            let (index, _) = given.get(index).ok_or_else(|| foreign("number"))?;
            results[*index] = Inserted::New;
        }
        Ok(results)
    }

    async fn lease(&self, request: &LeaseRequest) -> Result<Leased, StoreError> {
        let (link, statements) = (self.link(), self.inbox_statements());
        let values = vec![
            Value::text(&request.endpoint),
            Value::text(&request.consumer),
            Value::Int(request.max.try_into().unwrap_or(i64::MAX)),
            Value::Bytes(request.owner.as_bytes().to_vec()),
            Value::Int(time(request.lease)),
            Value::Int(request.max_attempts.into()),
        ];
        let in_order = match request.order {
            Order::None => None,
            Order::DeadBlocks => Some(&statements.lease_dead_blocks),
            Order::DeadIsSkipped => Some(&statements.lease_dead_is_skipped),
        };
        let limit = request.limit;
        let mut found = Found::default();
        for look in 0..LOOKS {
            if look > 0 {
                sleep(PAUSE).await;
            }
            let slot = link.limiter.enter(limit).await?;
            let statement = in_order.unwrap_or(&statements.lease);
            let several = in_order.is_some();
            let leased = link.lease(statement, values.clone(), slot, limit, several);
            found = Found::read(&self.rows(leased).await?)?;
            let mut removed = Ok(());
            if !found.orphans.is_empty() {
                removed = self.remove_orphans(request, take(&mut found.orphans)).await;
                found.looks_further = true;
            }
            if !found.looks_further || !found.leased.is_empty() {
                break;
            }
            removed?;
        }
        Ok(found.leased)
    }

    async fn extend(
        &self,
        holders: &[EntryHolder],
        lease: Duration,
        limit: Duration,
    ) -> Result<Vec<Extended>, StoreError> {
        if holders.is_empty() {
            return Ok(Vec::new());
        }
        let mut values = holder_values(holders.iter());
        values.push(Value::Int(time(lease)));
        let extended = self.link().settle(&self.inbox_statements().extend, values, limit);
        let mut results = vec![Extended::Lost; holders.len()];
        for row in self.rows(extended).await? {
            let result = results.get_mut(index(&row)?).ok_or_else(|| foreign("event"))?;
            let is_renewed: bool = row.try_get(1).map_err(StoreError::new)?;
            *result = if is_renewed { Extended::Renewed } else { Extended::Locked };
        }
        Ok(results)
    }

    async fn settle(
        &self,
        settlements: &[Settlement],
        limit: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        if settlements.is_empty() {
            return Ok(Vec::new());
        }
        let mut values = holder_values(settlements.iter().map(|settlement| &settlement.holder));
        let verdicts: Vec<_> =
            settlements.iter().map(|settlement| parts(&settlement.verdict)).collect();
        values.extend([
            Value::Ints(each(&verdicts, |(state, _, _)| number_of(*state))),
            Value::Ints(each(&verdicts, |(_, delay, _)| time(*delay))),
            Value::contents(verdicts.iter().map(|(_, _, error)| *error)),
            self.lock_timeout_value(),
        ]);
        let applied = self.link().settle_once(&self.inbox_statements().settle, values, limit);
        let mut settled = vec![Settled::Superseded; settlements.len()];
        for row in self.rows(applied).await? {
            *settled.get_mut(index(&row)?).ok_or_else(|| foreign("event"))? = Settled::Applied;
        }
        Ok(settled)
    }

    async fn advance(&self, advance: &Advance, limit: Duration) -> Result<bool, StoreError> {
        let values = vec![
            Value::text(&advance.endpoint),
            Value::text(&advance.consumer),
            Value::Bytes(digest(&advance.key).to_vec()),
            Value::Int(advance.version),
            Value::Int(advance.number),
            self.lock_timeout_value(),
        ];
        let advanced = self.link().settle(&self.inbox_statements().advance, values, limit);
        Ok(!self.rows(advanced).await?.is_empty())
    }

    async fn stats(&self, endpoint: &str) -> Result<Vec<Stats>, StoreError> {
        let values = vec![Value::text(endpoint)];
        let counted = self.link().maintain(&self.inbox_statements().stats, values);
        let rows = self.rows(counted).await?;
        let stats = rows.iter().map(|row| {
            let count = |index: usize| -> Result<u64, Error> {
                Ok(u64::try_from(row.try_get::<i64, _>(index)?).unwrap_or(0))
            };
            let age: Option<i64> = row.try_get(4)?;
            Ok(Stats {
                consumer: row.try_get(0)?,
                waiting: count(1)?,
                running: count(2)?,
                dead: count(3)?,
                oldest: age.map(from_millis),
            })
        });
        stats.collect::<Result<_, Error>>().map_err(StoreError::new)
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
        let mut values = vec![Value::text(&filter.endpoint), Value::Int(filter.after)];
        let statements = self.inbox_statements();
        let conditions = conditions(statements, filter, &mut values);
        let sql = statements.list(&conditions, filter.limit);
        let rows = self.rows(self.link().maintain(&sql, values)).await?;
        rows.iter().map(|row| EventRow(row).entry()).collect()
    }

    async fn change(&self, filter: &Filter, change: Change) -> Result<usize, StoreError> {
        let statements = self.inbox_statements();
        let statement = match change {
            Change::Retry => &statements.retry,
            Change::Discard => &statements.discard,
        };
        // The last entry that was changed.
        let (mut number, mut consumer) = (filter.after, None::<String>);
        let mut changed = 0;
        while changed < filter.limit {
            let size = BATCH.min(filter.limit - changed);
            let after = match &consumer {
                Some(consumer) => Value::text(consumer),
                None => Value::Null,
            };
            let mut values = vec![
                Value::text(&filter.endpoint),
                Value::Int(number),
                after,
                self.lock_timeout_value(),
            ];
            let conditions = conditions(statements, filter, &mut values);
            let sql = statements.change(&conditions, size, statement);
            let rows = self.rows(self.link().maintain_once(&sql, values)).await?;
            changed += rows.len();
            let entries = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
            let entries = entries.collect::<Result<Vec<(i64, String)>, Error>>();
            match entries.map_err(StoreError::new)?.into_iter().max() {
                Some((last, of)) if rows.len() == size => (number, consumer) = (last, Some(of)),
                Some(_) | None => break,
            }
        }
        Ok(changed)
    }

    async fn purge_inbox(
        &self,
        endpoint: &str,
        retention: &Retention,
        max: usize,
    ) -> Result<usize, StoreError> {
        let statements = self.inbox_statements();
        // Only events without a body are removed. If one purge fails, the other one still runs.
        let bodies = self.purge_with(&statements.purge_bodies, endpoint, retention, max).await;
        let left = max - bodies.as_ref().map_or(0, |bodies| *bodies);
        let events = self.purge_with(&statements.purge_events, endpoint, retention, left).await?;
        Ok(bodies? + events)
    }

    /// Notifies in a transaction of its own, because transactions that notify commit one by one.
    async fn announce(&self, endpoint: &str) -> Result<(), StoreError> {
        let values = vec![Value::text(endpoint)];
        let announced = self.link().maintain(&self.inbox_statements().announce, values);
        self.rows(announced).await.map(drop)
    }

    /// Listens on a connection in addition to the pool. Behind a pooler, this fails.
    async fn watch(
        &self,
        endpoint: &str,
        wake: &(dyn Fn() + Send + Sync),
    ) -> Result<(), StoreError> {
        let options = (*self.link().pool.connect_options()).clone();
        if !leads_to_server(options.clone()).await? {
            return Err(StoreError::new("a pooler does not pass notifications on"));
        }
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let mut listener = PgListener::connect_with(&pool.connect_lazy_with(options)).await?;
        listener.listen(&self.inbox_statements().table).await?;
        let endpoint = endpoint.replace('\0', "\u{FFFD}");
        // Events may have been announced before.
        wake();
        loop {
            match listener.try_recv().await? {
                Some(notification) if notification.payload() != endpoint => {}
                // `None`: the connection was lost, and another may have missed a notification.
                Some(_) | None => wake(),
            }
        }
    }
}

impl PostgresStore {
    /// Marks an entry as done in the handler's transaction, if the holder still runs it. Returns
    /// whether it does.
    pub(crate) async fn finish_in(
        &self,
        transaction: &mut PgConnection,
        holder: &EntryHolder,
    ) -> Result<bool, StoreError> {
        let statements = self.inbox_statements();
        let values = vec![
            Value::Int(holder.number),
            Value::text(&holder.consumer),
            Value::Bytes(holder.owner.as_bytes().to_vec()),
            self.lock_timeout_value(),
        ];
        let finished = run_in(transaction, &statements.finish_in, &values);
        Ok(!self.rows(finished).await?.is_empty())
    }

    /// Removes up to `max` events or bodies page by page, and returns how many were removed.
    async fn purge_with(
        &self,
        statement: &SqlStr,
        endpoint: &str,
        retention: &Retention,
        max: usize,
    ) -> Result<usize, StoreError> {
        let (mut removed, mut cursor) = (0, (0, i64::MIN));
        while removed < max {
            let values = vec![
                Value::text(endpoint),
                Value::Int(time(retention.bodies)),
                Value::Int((max - removed).try_into().unwrap_or(i64::MAX)),
                Value::Int(BATCH as i64),
                Value::Int(cursor.0),
                Value::Int(cursor.1),
            ];
            let rows = self.rows(self.link().maintain(statement, values)).await?;
            let row = rows.first().ok_or_else(|| foreign("number"))?;
            let count = |index: usize| -> Result<usize, StoreError> {
                let count: i64 = row.try_get(index).map_err(StoreError::new)?;
                Ok(usize::try_from(count).unwrap_or(0))
            };
            removed += count(0)?;
            if count(1)? < BATCH {
                break;
            }
            cursor = (
                row.try_get(2).map_err(StoreError::new)?,
                row.try_get(3).map_err(StoreError::new)?,
            );
        }
        Ok(removed)
    }

    /// Removes these entries, and further due ones whose events were deleted by hand.
    async fn remove_orphans(
        &self,
        request: &LeaseRequest,
        orphans: Vec<i64>,
    ) -> Result<(), StoreError> {
        let values = vec![
            Value::text(&request.endpoint),
            Value::text(&request.consumer),
            Value::Ints(orphans),
        ];
        let removed = self.link().maintain(&self.inbox_statements().remove_orphans, values);
        self.rows(removed).await.map(drop)
    }

    async fn rows(
        &self,
        call: impl Future<Output = Result<Vec<PgRow>, Error>> + Send,
    ) -> Result<Vec<PgRow>, StoreError> {
        call.await.map_err(|error| {
            let table = &self.inbox_statements().table;
            // The server's text may be in any language, but contains the name of a missing table.
            let text = error.to_string();
            let other = ["_entry", "_version"].map(|suffix| format!("{table}{suffix}"));
            let named = other.iter().find(|name| text.contains(*name)).unwrap_or(table);
            self.failed_on(named, error)
        })
    }
}

fn each<T, U>(all: &[T], part: impl Fn(&T) -> U) -> Vec<U> {
    all.iter().map(part).collect()
}

/// Returns milliseconds that the database can add to the current time.
fn time(time: Duration) -> i64 {
    millis(time.min(LONGEST))
}

fn from_millis(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// The rows of a lease.
#[derive(Default)]
struct Found {
    leased: Leased,
    /// Entries whose events were deleted by hand.
    orphans: Vec<i64>,
    /// Whether other entries may be due if none of these is leased.
    looks_further: bool,
}

impl Found {
    fn read(rows: &[PgRow]) -> Result<Self, StoreError> {
        let mut found = Self::default();
        for row in rows.iter().map(EventRow) {
            if row.looks_further()? {
                found.looks_further = true;
            } else if row.is_orphan()? {
                found.orphans.push(row.entry_number()?);
            } else {
                found.leased.add(&row)?;
            }
        }
        Ok(found)
    }
}

impl Leased {
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.exhausted.is_empty()
    }

    fn add(&mut self, row: &EventRow<'_>) -> Result<(), StoreError> {
        match row.state()? {
            EntryState::Running => self.events.push(LeasedEvent {
                number: row.number()?,
                attempt: row.attempt()?,
                retried_at_attempt: row.retried_at_attempt()?,
                received_at: row.received_at()?,
                event: row.event()?,
            }),
            EntryState::Dead => {
                self.exhausted.push((row.number()?, row.key()?, row.attempt()?));
            }
            EntryState::Waiting | EntryState::Done | EntryState::Discarded => {
                return Err(foreign("state"));
            }
        }
        Ok(())
    }
}

/// Returns the state that a verdict leads to, the time until the entry is due, and its error.
fn parts(verdict: &Verdict) -> (EntryState, Duration, Option<&str>) {
    match verdict {
        Verdict::Done => (EntryState::Done, Duration::ZERO, None),
        Verdict::Discarded => (EntryState::Discarded, Duration::ZERO, None),
        Verdict::Retry { after, error } => (EntryState::Waiting, *after, Some(error)),
        Verdict::Dead { error } => (EntryState::Dead, Duration::ZERO, Some(error)),
        Verdict::Released => (EntryState::Waiting, Duration::ZERO, None),
    }
}

fn number_of(state: EntryState) -> i64 {
    match state {
        EntryState::Waiting => 0,
        EntryState::Running => 1,
        EntryState::Dead => 2,
        EntryState::Done => 3,
        EntryState::Discarded => 4,
    }
}

fn holder_values<'a>(holders: impl Iterator<Item = &'a EntryHolder> + Clone) -> Vec<Value> {
    vec![
        Value::Ints(holders.clone().map(|holder| holder.number).collect()),
        Value::texts(holders.clone().map(|holder| &*holder.consumer)),
        Value::ByteArrays(holders.map(|holder| holder.owner.as_bytes().to_vec()).collect()),
    ]
}

/// Returns the index of a statement's element, which the database counts from 1.
fn index(row: &PgRow) -> Result<usize, StoreError> {
    let index: i64 = row.try_get(0).map_err(StoreError::new)?;
    usize::try_from(index - 1).map_err(|_| foreign("number"))
}

/// Returns the conditions of a filter, and adds their values.
fn conditions(statements: &InboxStatements, filter: &Filter, values: &mut Vec<Value>) -> String {
    let mut conditions = String::new();
    // The planner finds the event first, and then its entries.
    if let Some(key) = &filter.key {
        values.push(Value::Bytes(key.as_bytes().to_vec()));
        let event = statements.event_of_key.as_str();
        conditions += &format!(" AND t.event = ({event} ${})", values.len());
    }
    let mut add = |column: &str, value: Value| {
        values.push(value);
        conditions += &format!(" AND {column} = ${}", values.len());
    };
    if let Some(consumer) = &filter.consumer {
        add("t.consumer", Value::text(consumer));
    }
    if let Some(event_type) = &filter.event_type {
        add("e.event_type", Value::text(event_type));
    }
    if let Some(namespace) = &filter.namespace {
        add("e.namespace", Value::text(namespace));
    }
    // Not a parameter, so that the planner can use the index of the state.
    if let Some(state) = filter.state {
        conditions += &format!(" AND t.state = {}", number_of(state));
    }
    conditions
}

/// A row that begins with the columns of an event, and of its entry: state, attempt, and body.
struct EventRow<'r>(&'r PgRow);

impl EventRow<'_> {
    fn get<'r, T>(&'r self, index: usize) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        self.0.try_get(index).map_err(StoreError::new)
    }

    fn number(&self) -> Result<i64, StoreError> {
        self.get(0)
    }

    fn received_at(&self) -> Result<Duration, StoreError> {
        self.get(1).map(from_millis)
    }

    fn key(&self) -> Result<ClaimKey, StoreError> {
        self.get::<[u8; 32]>(2).map(ClaimKey::from)
    }

    fn event(&self) -> Result<StoredEvent, StoreError> {
        Ok(StoredEvent {
            key: self.key()?,
            namespace: self.get(3)?,
            scheme: self.get(4)?,
            event_type: self.get(5)?,
            id: self.get(6)?,
            time: self.get::<Option<i64>>(7)?.map(from_millis),
            data_pointer: self.get(8)?,
            headers: headers(self.get(9)?),
            body: self.get::<Option<Vec<u8>>>(12)?.map(Bytes::from).unwrap_or_default(),
        })
    }

    /// Returns whether the event of a leased entry is missing.
    fn is_orphan(&self) -> Result<bool, StoreError> {
        Ok(self.get::<Option<i64>>(0)?.is_none())
    }

    /// Returns the number of a leased entry's event, even if it is missing.
    fn entry_number(&self) -> Result<i64, StoreError> {
        self.get(13)
    }

    /// Returns whether the row means that entries were parked, or that another lease has the lock.
    fn looks_further(&self) -> Result<bool, StoreError> {
        Ok(self.get::<i16>(10)? == -1)
    }

    fn state(&self) -> Result<EntryState, StoreError> {
        match self.get::<i16>(10)? {
            0 => Ok(EntryState::Waiting),
            1 => Ok(EntryState::Running),
            2 => Ok(EntryState::Dead),
            3 => Ok(EntryState::Done),
            4 => Ok(EntryState::Discarded),
            _ => Err(foreign("state")),
        }
    }

    fn attempt(&self) -> Result<u32, StoreError> {
        Ok(attempts(self.get::<i32>(11)?.into()))
    }

    /// Returns the last column of a leased entry.
    fn retried_at_attempt(&self) -> Result<u32, StoreError> {
        Ok(attempts(self.get::<i32>(14)?.into()))
    }

    fn entry(&self) -> Result<Entry, StoreError> {
        Ok(Entry {
            number: self.number()?,
            consumer: self.get(13)?,
            state: self.state()?,
            attempts: self.attempt()?,
            due_at: self.get(15).map(from_millis)?,
            received_at: self.received_at()?,
            error: self.get(14)?,
            event: self.event()?,
        })
    }
}
