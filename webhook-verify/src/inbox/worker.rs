use std::{
    collections::HashMap,
    fmt,
    future::{Future, poll_fn, ready},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    task::{JoinSet, yield_now},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    EntryHolder, Extended, Inbox, InboxEvent, LeaseRequest, Leased, Order, Settlement, Verdict,
    event::CommitState,
    notice::{Attempt, Gauges, Notices, Outcome},
    outcome::{BoxError, Ended},
};
use crate::{
    claim::{Owner, Settled, StoreError, contain, contain_future, of_all, sql::LEASE_EXPIRED},
    error::ConfigError,
};

/// How many entries one call of the store leases or settles.
const BATCH: usize = 64;
/// The pauses after a failed call of the store: the first and the longest, before they are
/// [varied].
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// The pause between two purges.
const PURGE_EVERY: Duration = Duration::from_secs(60);
/// The pause before a store that could not listen for announcements tries again.
const WATCH_AFTER: Duration = Duration::from_secs(60);
/// The pause between two refreshes of the gauges.
const COUNT_EVERY: Duration = Duration::from_secs(15);
/// The pause after a refresh of the gauges is this many times as long as the refresh, at least.
const COUNT_SHARE: u32 = 20;
/// How long a shutdown waits, after the grace, until the results of handlers are recorded.
const CLOSING: Duration = Duration::from_secs(10);
/// How many bodies and events one purge removes.
const PURGE: usize = 100_000;

/// Processes the events of an [`Inbox`] with a handler.
///
/// Any number of workers in any number of processes may run at once. A worker renews the lease of
/// an event while its handler runs. If it cannot, it drops the handler's future before the lease
/// ends, and another worker takes over.
#[must_use = "a worker does nothing until it runs"]
pub struct Worker<H> {
    inbox: Inbox,
    handler: H,
    settings: Settings,
}

struct Settings {
    consumer: Option<Arc<str>>,
    concurrency: usize,
    max_attempts: u32,
    backoff: (Duration, Duration),
    lease: Duration,
    time_limit: Duration,
    poll_every: Duration,
    grace: Duration,
}

impl<H, F> Worker<H>
where
    H: Fn(InboxEvent) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    pub(super) fn new(inbox: Inbox, handler: H) -> Self {
        let settings = Settings {
            consumer: None,
            concurrency: 1,
            max_attempts: 20,
            backoff: (Duration::from_secs(5), Duration::from_secs(3600)),
            lease: Duration::from_secs(60),
            time_limit: Duration::from_secs(15 * 60),
            poll_every: Duration::from_secs(1),
            grace: Duration::from_secs(30),
        };
        Self { inbox, handler, settings }
    }

    /// Names the consumer, if the inbox has [several](Inbox::consumers).
    pub fn consumer(mut self, name: impl Into<String>) -> Self {
        self.settings.consumer = Some(Arc::from(name.into()));
        self
    }

    /// Sets how many events are processed at a time. The default is 1.
    pub fn concurrency(mut self, events: usize) -> Self {
        self.settings.concurrency = events;
        self
    }

    /// Sets the maximum number of attempts. The default is 20. After the last one, the event is
    /// *dead*: it is kept until it is [retried](Inbox::retry) or [discarded](Inbox::discard). A
    /// retried event has all attempts again.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.settings.max_attempts = attempts;
        self
    }

    /// Sets the pause before the second attempt, and the longest pause. Each pause is twice as long
    /// as the one before. The default is 5 s and 1 h, so that 20 attempts take about half a day.
    ///
    /// Each pause, the longest included, varies by up to a half: a pause of 1 h takes from 30 to
    /// 90 minutes.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.backoff = (first, longest);
        self
    }

    /// Sets how long a lease lasts without renewal. The default is 60 s. If a worker dies, its
    /// events are processed again after this time.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// Sets how long a handler may take. The default is 15 min. The handler is then dropped, which
    /// counts as an error.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.settings.time_limit = limit;
        self
    }

    /// Sets how often the worker looks for events without being woken: retries that are due, and
    /// events of other processes on SQLite. The default is 1 s.
    pub fn poll_every(mut self, interval: Duration) -> Self {
        self.settings.poll_every = interval;
        self
    }

    /// Sets how long a shutdown waits for running handlers. The default is 30 s. After that, they
    /// are dropped, and their events are due at once. The shutdown waits up to 10 s more until the
    /// store has recorded this. The event of a handler that blocks its thread is processed again
    /// after its lease has expired.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// Processes events forever.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] that names the option. If the store fails, the worker logs that and
    /// continues.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, so are the handlers. Their events are processed again after their
    /// leases have expired.
    pub async fn run(self) -> Result<(), ConfigError> {
        self.run_until(std::future::pending()).await
    }

    /// Processes events until `shutdown` resolves. Then waits for the running handlers. If a handler
    /// has not begun, or exceeds the [grace](Self::grace), its event is due at once for other
    /// workers.
    ///
    /// # Errors
    ///
    /// The same as those of [`run`](Self::run).
    ///
    /// # Cancellation
    ///
    /// The same as that of [`run`](Self::run).
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), ConfigError> {
        let consumer = self.check()?;
        let (settler, settlements) = mpsc::channel(BATCH);
        let running = Arc::new(Running {
            slots: Arc::new(Semaphore::new(self.settings.concurrency)),
            leases: Mutex::default(),
            settler,
            must_end: watch::Sender::new(false),
            notices: Notices::new(&self.inbox.endpoint, &consumer),
            inbox: self.inbox,
            consumer,
            settings: self.settings,
            handler: self.handler,
        });
        let mut helpers = JoinSet::new();
        helpers.spawn(Arc::clone(&running).settle_all(settlements));
        helpers.spawn(Arc::clone(&running).renew_all());
        helpers.spawn(Arc::clone(&running).watch());
        helpers.spawn(Arc::clone(&running).purge());
        if cfg!(feature = "metrics") {
            helpers.spawn(Arc::clone(&running).count());
        }
        running.run_until(shutdown).await;
        Ok(())
    }

    /// Checks the settings, and returns the consumer.
    fn check(&self) -> Result<Arc<str>, ConfigError> {
        let Settings { concurrency, max_attempts, backoff, lease, time_limit, poll_every, .. } =
            self.settings;
        self.inbox.check()?;
        let second = Duration::from_secs(1);
        if concurrency == 0 || concurrency > Semaphore::MAX_PERMITS {
            return Err(ConfigError::option("concurrency", "zero or too large"));
        }
        if max_attempts == 0 {
            return Err(ConfigError::option("max_attempts", "zero"));
        }
        if backoff.0 > backoff.1 {
            return Err(ConfigError::option("backoff", "the first pause exceeds the longest"));
        }
        if lease < second || lease > Duration::from_secs(24 * 3600) {
            return Err(ConfigError::option("lease", "not between 1 s and 24 h"));
        }
        if time_limit.is_zero() {
            return Err(ConfigError::option("time_limit", "zero"));
        }
        if poll_every.is_zero() {
            return Err(ConfigError::option("poll_every", "zero"));
        }
        let consumers = &self.inbox.consumers;
        match &self.settings.consumer {
            Some(name) if consumers.contains(name) => Ok(Arc::clone(name)),
            Some(name) => {
                let known = consumers.join("`, `");
                let reason = format!("the inbox has no consumer `{name}`, only `{known}`");
                Err(ConfigError::option("consumer", reason))
            }
            None => match &**consumers {
                [only] => Ok(Arc::clone(only)),
                _ => Err(ConfigError::option("consumer", "the inbox has several: name one")),
            },
        }
    }
}

/// A worker that runs.
struct Running<H> {
    inbox: Inbox,
    consumer: Arc<str>,
    notices: Notices,
    settings: Settings,
    handler: H,
    slots: Arc<Semaphore>,
    /// The leases of running handlers, by event number.
    leases: Mutex<HashMap<i64, Lease>>,
    settler: mpsc::Sender<(Settlement, Reply)>,
    /// Whether the grace of a shutdown is over, so that handlers are dropped.
    must_end: watch::Sender<bool>,
}

type Reply = oneshot::Sender<Result<Settled, StoreError>>;

/// Whether the store has recorded the result of an attempt.
enum Recorded {
    Yes,
    /// A call failed, but may have taken effect.
    Maybe,
    No,
}

struct Lease {
    event: InboxEvent,
    /// When the lease ends, by this process's clock.
    end: watch::Sender<Instant>,
    /// Whether the worker is recording the result, which ends the lease.
    is_settling: bool,
}

impl Lease {
    fn is_of(&self, holder: &EntryHolder) -> bool {
        self.event.holder().owner == holder.owner
    }
}

/// Entries that the worker has leased.
struct Taken {
    events: Vec<(InboxEvent, watch::Receiver<Instant>)>,
    /// Those that have no attempt left.
    exhausted: Vec<Exhausted>,
    /// How many entries the store returned.
    count: usize,
}

/// A leased entry that is about to be dead.
struct Exhausted {
    holder: EntryHolder,
    last: Attempt,
    /// When the lease ends, by this process's clock.
    end: Instant,
}

/// Removes a lease when its handler has ended or is dropped.
struct Held<'r, H> {
    running: &'r Running<H>,
    holder: &'r EntryHolder,
}

impl<H> Held<'_, H> {
    fn begin_to_settle(&self) {
        if let Some(lease) = self.running.leases().get_mut(&self.holder.number)
            && lease.is_of(self.holder)
        {
            lease.is_settling = true;
        }
    }
}

impl<H> Drop for Held<'_, H> {
    fn drop(&mut self) {
        let mut leases = self.running.leases();
        // After a long freeze, this worker may have leased the entry again.
        if leases.get(&self.holder.number).is_some_and(|lease| lease.is_of(self.holder)) {
            leases.remove(&self.holder.number);
        }
    }
}

impl<H> Running<H> {
    fn leases(&self) -> MutexGuard<'_, HashMap<i64, Lease>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holders(&self) -> Vec<EntryHolder> {
        self.leases().values().map(|lease| lease.event.holder().clone()).collect()
    }
}

impl<H, F> Running<H>
where
    H: Fn(InboxEvent) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    async fn run_until(self: Arc<Self>, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut changes = self.inbox.wake.changed.subscribe();
        let mut handlers = JoinSet::new();
        let mut pause = PAUSES[0];
        while let Some(first) = unless(shutdown.as_mut(), self.free_slots()).await {
            while handlers.try_join_next().is_some() {}
            let mut slots = first;
            let free = slots.num_permits();
            changes.mark_unchanged();
            let wait = match self.lease(free).await {
                Ok(Taken { events, exhausted, count }) => {
                    pause = PAUSES[0];
                    for entry in exhausted {
                        if let Some(slot) = slots.split(1) {
                            handlers.spawn(Arc::clone(&self).give_up(entry, slot));
                        }
                    }
                    // A shutdown does not drop the call itself, because it may take effect.
                    if unless(shutdown.as_mut(), ready(())).await.is_none() {
                        let events = events.into_iter().map(|(event, _)| event).collect();
                        self.release(events).await;
                        break;
                    }
                    let mut surplus = Vec::new();
                    for (event, end) in events {
                        match slots.split(1) {
                            Some(slot) => {
                                handlers.spawn(Arc::clone(&self).handle(event, end, slot));
                            }
                            None => surplus.push(event),
                        }
                    }
                    // A store that leases more than it was asked for is wrong.
                    self.release(surplus).await;
                    // With an order, the lease looked only at the first of the due entries. The others
                    // with their order keys wait now, so the next lease looks further.
                    if count == free || (count > 0 && self.inbox.order() != Order::None) {
                        continue;
                    }
                    self.settings.poll_every
                }
                Err(error) => {
                    self.notices.warn("no events leased", &error);
                    drop(slots);
                    pause = (pause * 2).min(PAUSES[1]);
                    // New events do not end this pause early.
                    if unless(shutdown.as_mut(), sleep(varied(pause))).await.is_none() {
                        break;
                    }
                    continue;
                }
            };
            drop(slots);
            let changed = timeout(wait, changes.changed());
            if unless(shutdown.as_mut(), changed).await.is_none() {
                break;
            }
        }
        let ended = async { while handlers.join_next().await.is_some() {} };
        let mut ended = pin!(ended);
        if timeout(self.settings.grace, ended.as_mut()).await.is_err() {
            self.must_end.send_replace(true);
            // A handler that blocks its thread does not end. Its lease expires.
            let _ = timeout(CLOSING, ended).await;
        }
    }

    /// Waits for a free slot, and takes as many as there are, up to a batch.
    async fn free_slots(&self) -> OwnedSemaphorePermit {
        let slots = || Arc::clone(&self.slots);
        let closed = "the slots are never closed";
        let mut free = slots().acquire_owned().await.expect(closed);
        // Handlers that are about to end free more.
        loop {
            let before = free.num_permits();
            yield_now().await;
            while free.num_permits() < BATCH
                && let Ok(more) = slots().try_acquire_owned()
            {
                free.merge(more);
            }
            if free.num_permits() == before {
                return free;
            }
        }
    }

    /// Leases entries. They are renewed from here on.
    async fn lease(&self, max: usize) -> Result<Taken, StoreError> {
        let Inbox { store, endpoint, timeout: limit, .. } = &self.inbox;
        let owner = Owner::random()?;
        let request = LeaseRequest {
            endpoint: Arc::clone(endpoint),
            consumer: Arc::clone(&self.consumer),
            owner,
            max,
            lease: self.settings.lease,
            max_attempts: self.settings.max_attempts,
            order: self.inbox.order(),
            limit: *limit,
        };
        let requested_at = Instant::now();
        let Leased { events, exhausted } = within(*limit, store.lease(&request)).await?;
        let count = events.len() + exhausted.len();
        let end = self.end_of_lease(requested_at);
        let holder = |number| EntryHolder { number, consumer: Arc::clone(&self.consumer), owner };
        let exhausted = exhausted.into_iter().map(|(number, key, attempt)| {
            let last = Attempt { key, event_type: None, number: attempt };
            Exhausted { holder: holder(number), last, end }
        });
        let exhausted = exhausted.collect();
        let mut leases = self.leases();
        let leased = events.into_iter().map(|leased| {
            let number = leased.number;
            let holder = holder(number);
            let event = InboxEvent::new(self.inbox.clone(), holder, leased);
            let (end, ends) = watch::channel(end);
            leases.insert(number, Lease { event: event.clone(), end, is_settling: false });
            (event, ends)
        });
        Ok(Taken { events: leased.collect(), exhausted, count })
    }

    /// Returns when a handler must have ended, for a lease that was requested at this time. The
    /// clocks of the store and of this process may differ in speed.
    fn end_of_lease(&self, requested_at: Instant) -> Instant {
        requested_at + self.settings.lease.mul_f64(0.9)
    }

    async fn handle(
        self: Arc<Self>,
        event: InboxEvent,
        end: watch::Receiver<Instant>,
        slot: OwnedSemaphorePermit,
    ) {
        self.attempt(&event, end, slot).await;
        self.wake_next();
    }

    /// Wakes the workers of an inbox with an order: the next event with the same key may be due.
    fn wake_next(&self) {
        if self.inbox.order() != Order::None {
            self.inbox.wake.changed.send_modify(|()| {});
        }
    }

    /// Logs that an event is dead, and records it. If that fails until the lease ends, or this
    /// process dies, a later lease returns the entry, and its worker logs it again.
    async fn give_up(self: Arc<Self>, entry: Exhausted, slot: OwnedSemaphorePermit) {
        let Exhausted { holder, last, end } = entry;
        let verdict = Verdict::Dead { error: LEASE_EXPIRED.to_owned() };
        self.notices.report(&last, &Outcome::of(verdict.clone()));
        let settled = self.settle(&holder, &verdict, || CommitState::Open);
        let _ = timeout_at(end, settled).await;
        drop(slot);
        self.wake_next();
    }

    async fn attempt(
        &self,
        event: &InboxEvent,
        end: watch::Receiver<Instant>,
        slot: OwnedSemaphorePermit,
    ) {
        let held = Held { running: self, holder: event.holder() };
        let attempt = Attempt::of(event);
        let handling = caught(|| (self.handler)(event.clone()));
        let handling = timeout(self.settings.time_limit, handling);
        let begun = Instant::now();
        let mut must_end = self.must_end.subscribe();
        let must_end = pin!(async move { drop(must_end.wait_for(|it| *it).await) });
        let ended = before_end(end.clone(), unless(must_end, handling)).await;
        self.notices.record_handler(begun.elapsed());
        let ended = match (event.commit_state(), ended) {
            (CommitState::Committed, _) => {
                return self.notices.report(&attempt, &Outcome::Processed);
            }
            (_, Some(Some(Ok(ended)))) => ended,
            (_, Some(Some(Err(_)))) => Ended::TimedOut,
            (_, Some(None)) => Ended::Dropped,
            (CommitState::Open, None) => return self.notices.report(&attempt, &Outcome::Lost),
            (CommitState::Committing, None) => {
                return self.notices.report(&attempt, &Outcome::Unknown);
            }
        };
        let counted = event.attempt_since_retry();
        let is_last = counted >= self.settings.max_attempts;
        let pause = (!is_last).then(|| self.pause_after(counted));
        // The handler's error may panic as well.
        let verdict = contain(|| ended.verdict(pause));
        let verdict = verdict.unwrap_or_else(|| Ended::Panicked.verdict(pause));
        // First logged, then recorded: a process that dies in between, or loses the reply, must not
        // leave a dead event that no log mentions. With a transaction that may have completed the
        // event, only the store knows whether the event is dead.
        let is_dead = matches!(verdict, Verdict::Dead { .. });
        let is_reported = is_dead && event.commit_state() == CommitState::Open;
        if is_reported {
            self.notices.report(&attempt, &Outcome::of(verdict.clone()));
        }
        held.begin_to_settle();
        // The store settles only entries whose transaction was rolled back.
        let settled = self.settle(event.holder(), &verdict, || event.commit_state());
        let settled = before_end(end, settled).await;
        drop(held);
        drop(slot);
        let outcome = match (settled, event.commit_state()) {
            (Some(Recorded::Yes), _) if is_reported => return,
            (Some(Recorded::Yes), _) => Outcome::of(verdict),
            // A task of the handler has outlived it.
            (_, CommitState::Committed) => Outcome::Processed,
            (Some(Recorded::Maybe), CommitState::Open) if is_reported => return,
            (Some(Recorded::No), CommitState::Open) => Outcome::Lost,
            (_, CommitState::Open | CommitState::Committing) => Outcome::Unknown,
        };
        self.notices.report(&attempt, &outcome);
    }

    /// Returns the pause before the next attempt.
    fn pause_after(&self, attempt: u32) -> Duration {
        let (first, longest) = self.settings.backoff;
        let doubled = first.saturating_mul(1 << attempt.saturating_sub(1).min(31)).min(longest);
        varied(doubled)
    }

    /// Records the result of an attempt. If the store fails, retries until the lease ends.
    async fn settle(
        &self,
        holder: &EntryHolder,
        verdict: &Verdict,
        commit_state: impl Fn() -> CommitState,
    ) -> Recorded {
        let (mut pause, mut has_failed) = (PAUSES[0], false);
        loop {
            let settlement = Settlement { holder: holder.clone(), verdict: verdict.clone() };
            let result = match commit_state() {
                CommitState::Open if !has_failed => self.settle_in_batch(settlement).await,
                // This entry may be the reason why the batch failed. Or the transaction may still
                // lock it, which would delay a whole batch.
                _ => self.settle_alone(settlement).await,
            };
            match result {
                Ok(Settled::Applied) => return Recorded::Yes,
                Ok(Settled::Superseded) if has_failed => return Recorded::Maybe,
                Ok(Settled::Superseded) => return Recorded::No,
                Err(error) => {
                    has_failed = true;
                    self.notices.warn("result not recorded", &error);
                }
            }
            sleep(varied(pause)).await;
            pause = (pause * 2).min(PAUSES[1]);
        }
    }

    async fn settle_in_batch(&self, settlement: Settlement) -> Result<Settled, StoreError> {
        let (reply, answer) = oneshot::channel();
        match self.settler.send((settlement, reply)).await {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(StoreError::new("no answer"))),
            Err(_) => Err(StoreError::new("the worker has stopped")),
        }
    }

    async fn settle_alone(&self, settlement: Settlement) -> Result<Settled, StoreError> {
        let (batch, limit) = ([settlement], self.inbox.timeout);
        let settled = within(limit, self.inbox.store.settle(&batch, limit)).await?;
        Ok(of_all(settled, 1)?[0])
    }

    /// Settles entries in batches: those that end while a batch is being settled form the next one.
    async fn settle_all(self: Arc<Self>, mut settlements: mpsc::Receiver<(Settlement, Reply)>) {
        let mut waiting = Vec::with_capacity(BATCH);
        while settlements.recv_many(&mut waiting, BATCH).await > 0 {
            // Handlers that are about to end join the batch.
            loop {
                let before = waiting.len();
                yield_now().await;
                while waiting.len() < BATCH
                    && let Ok(another) = settlements.try_recv()
                {
                    waiting.push(another);
                }
                if waiting.len() == before {
                    break;
                }
            }
            let (batch, replies): (Vec<_>, Vec<_>) = waiting.drain(..).unzip();
            let limit = self.inbox.timeout;
            let settled = within(limit, self.inbox.store.settle(&batch, limit)).await;
            match settled.and_then(|settled| of_all(settled, replies.len())) {
                Ok(settled) => {
                    for (reply, settled) in replies.into_iter().zip(settled) {
                        let _ = reply.send(Ok(settled));
                    }
                }
                Err(error) => {
                    for reply in replies {
                        let _ = reply.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// Makes events due at once whose handlers have not begun. The attempt counts.
    async fn release(&self, events: Vec<InboxEvent>) {
        for event in &events {
            drop(Held { running: self, holder: event.holder() });
        }
        for batch in events.chunks(BATCH) {
            let holders = batch.iter().map(|event| event.holder().clone());
            let release = |holder| Settlement { holder, verdict: Verdict::Released };
            let (releases, limit) = (holders.map(release).collect::<Vec<_>>(), self.inbox.timeout);
            let released = within(limit, self.inbox.store.settle(&releases, limit)).await;
            if let Err(error) = released {
                self.notices.warn("events not released", &error);
            }
        }
    }

    async fn renew_all(self: Arc<Self>) {
        let usual = self.settings.lease / 3;
        let mut pause = usual;
        loop {
            sleep(pause).await;
            let holders = self.holders();
            pause = usual;
            let (requested_at, limit) = (Instant::now(), self.inbox.timeout.min(usual));
            for batch in holders.chunks(BATCH) {
                let store = &self.inbox.store;
                let extended = store.extend(batch, self.settings.lease, limit);
                let extended = within(limit, extended).await;
                let extended = match extended.and_then(|it| of_all(it, batch.len())) {
                    Ok(extended) => extended,
                    Err(error) => {
                        self.notices.warn("leases not renewed", &error);
                        pause = usual / 4;
                        continue;
                    }
                };
                let leases = self.leases();
                for (holder, extended) in batch.iter().zip(extended) {
                    let lease = leases.get(&holder.number);
                    let Some(lease) = lease.filter(|it| it.is_of(holder)) else { continue };
                    lease.end.send_replace(match extended {
                        Extended::Renewed => self.end_of_lease(requested_at),
                        Extended::Locked => {
                            pause = usual / 4;
                            continue;
                        }
                        // This worker itself may just have ended the lease.
                        Extended::Lost if lease.is_settling => continue,
                        Extended::Lost if lease.event.is_committed() => continue,
                        Extended::Lost => Instant::now(),
                    });
                }
            }
        }
    }

    /// Wakes this worker when other processes have stored events.
    async fn watch(self: Arc<Self>) {
        let Inbox { store, endpoint, wake, .. } = &self.inbox;
        let wake = || wake.changed.send_modify(|()| {});
        loop {
            if let Err(error) = store.watch(endpoint, &wake).await {
                tracing::debug!(
                    target: "webhook_verify",
                    endpoint = &**endpoint,
                    "not told of new events, so the worker looks for them: {error:#}"
                );
            }
            sleep(WATCH_AFTER).await;
        }
    }

    /// Refreshes the gauges.
    async fn count(self: Arc<Self>) {
        let mut gauges = Gauges::new(&self.inbox);
        loop {
            let begun = Instant::now();
            match within(self.inbox.timeout, self.inbox.stats()).await {
                Ok(stats) => gauges.show(&stats),
                Err(error) => {
                    let endpoint = &*self.inbox.endpoint;
                    tracing::debug!(target: "webhook_verify", endpoint, "not counted: {error:#}");
                }
            }
            // The more events wait, the longer counting takes.
            sleep(varied(COUNT_EVERY.max(begun.elapsed() * COUNT_SHARE))).await;
        }
    }

    async fn purge(self: Arc<Self>) {
        loop {
            sleep(varied(PURGE_EVERY)).await;
            if let Err(error) = self.inbox.purge(PURGE).await {
                self.notices.warn("inbox not purged", &error);
            }
        }
    }
}

/// Returns from one half to one and a half of a pause, so that what began together is spread.
fn varied(pause: Duration) -> Duration {
    let part = getrandom::u32().unwrap_or(u32::MAX / 2);
    let varied = pause.as_secs_f64() * (0.5 + f64::from(part) / f64::from(u32::MAX));
    Duration::try_from_secs_f64(varied).unwrap_or(Duration::MAX)
}

/// Runs a handler, and catches its panics.
async fn caught<F>(handler: impl FnOnce() -> F) -> Ended
where
    F: Future<Output = Result<(), BoxError>>,
{
    let Some(handling) = contain(handler) else { return Ended::Panicked };
    contain_future(handling).await.map_or(Ended::Panicked, Ended::Returned)
}

/// Returns the output of a future, or `None` if the lease ends first.
async fn before_end<T>(
    mut end: watch::Receiver<Instant>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let until = end.clone();
    let ended = pin!(async move {
        loop {
            let at = *end.borrow_and_update();
            match timeout_at(at, end.changed()).await {
                Ok(Ok(())) => {}
                // The sender is dropped only after the handler has ended.
                Ok(Err(_)) | Err(_) => return,
            }
        }
    });
    let mut future = pin!(future);
    let in_time = poll_fn(|cx| {
        // The timer may be late, for example after the process was stopped for a while.
        if Instant::now() >= *until.borrow() {
            return Poll::Pending;
        }
        future.as_mut().poll(cx)
    });
    unless(ended, in_time).await
}

/// Returns the output of `future`, or `None` if `end` resolves first.
async fn unless<T>(
    mut end: Pin<&mut impl Future<Output = ()>>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Returns the result of a call to the store, or an error if there is none within the limit.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let silent = |_| StoreError::new(format!("no answer within {} ms", limit.as_millis()));
    timeout(limit, call).await.map_err(silent)?
}

impl<H> fmt::Debug for Worker<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("inbox", &self.inbox).finish_non_exhaustive()
    }
}
