//! Stores deliveries in groups: those that arrive while others are being stored share the next call
//! of the store.

use std::{
    collections::VecDeque,
    mem::take,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{runtime::Handle, sync::oneshot, time::timeout};

use super::{Inserted, Intake, shared::DynInboxStore};
use crate::claim::{StoreError, contain_future, of_all};

/// The maximum number of calls at a time.
const CALLS: usize = 2;
/// The maximum number of events, and of bytes in their bodies, that deliveries share a call with.
const EVENTS: usize = 256;
const BYTES: usize = 1024 * 1024;

/// The deliveries of one receiver.
pub(super) struct Groups {
    store: Arc<dyn DynInboxStore>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    deliveries: VecDeque<Delivery>,
    /// The number of calls in progress.
    calls: usize,
}

struct Delivery {
    intake: Arc<Intake>,
    reply: oneshot::Sender<Result<Vec<Inserted>, StoreError>>,
}

/// A call in progress. If its runtime stops, it ends without a result.
struct Call<'g> {
    groups: &'g Groups,
    has_ended: bool,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut waiting = self.groups.waiting();
        waiting.calls -= 1;
        // No call is left to take the deliveries that wait, so their callers store them alone.
        let is_last = !self.has_ended && waiting.calls == 0;
        let left = is_last.then(|| take(&mut waiting.deliveries));
        drop(waiting);
        drop(left);
    }
}

impl Groups {
    pub(super) fn new(store: Arc<dyn DynInboxStore>) -> Arc<Self> {
        Arc::new(Self { store, waiting: Mutex::default() })
    }

    /// Stores the events of a delivery, even if the caller gives up meanwhile. If the call fails,
    /// another delivery may be the reason.
    pub(super) async fn insert(
        self: &Arc<Self>,
        intake: &Arc<Intake>,
    ) -> Result<Vec<Inserted>, StoreError> {
        let Ok(runtime) = Handle::try_current() else { return self.store.insert(intake).await };
        let (reply, answer) = oneshot::channel();
        let must_call = {
            let mut waiting = self.waiting();
            waiting.deliveries.push_back(Delivery { intake: Arc::clone(intake), reply });
            waiting.calls < CALLS
        };
        if must_call {
            let groups = Arc::clone(self);
            drop(runtime.spawn(async move { groups.call().await }));
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::new("the call has ended without a result")))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores group after group, as long as deliveries wait.
    async fn call(&self) {
        while let Some((mut call, group)) = self.next() {
            let stored = contain_future(self.store_in_time(&group)).await;
            call.has_ended = true;
            drop(call);
            match stored.unwrap_or_else(|| Err(StoreError::new("the store panicked"))) {
                Ok(mut stored) => {
                    for Delivery { intake, reply } in group {
                        let others = stored.split_off(intake.events.len());
                        let _ = reply.send(Ok(stored));
                        stored = others;
                    }
                }
                Err(error) => {
                    for delivery in group {
                        let _ = delivery.reply.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// Takes the next group, unless there is none, or enough calls are in progress.
    fn next(&self) -> Option<(Call<'_>, Vec<Delivery>)> {
        let mut waiting = self.waiting();
        if waiting.calls >= CALLS {
            return None;
        }
        let mut group: Vec<Delivery> = Vec::new();
        let (mut events, mut bytes) = (0, 0);
        while let Some(next) = waiting.deliveries.front() {
            let all = &next.intake.events;
            events += all.len();
            bytes += all.iter().map(|new| new.event.body.len()).sum::<usize>();
            if !group.is_empty() && (events > EVENTS || bytes > BYTES) {
                break;
            }
            // A caller that has given up does not acknowledge its delivery.
            group.extend(waiting.deliveries.pop_front().filter(|it| !it.reply.is_closed()));
        }
        if group.is_empty() {
            return None;
        }
        waiting.calls += 1;
        Some((Call { groups: self, has_ended: false }, group))
    }

    /// Ends a call of which no caller awaits the result any more, so that it delays no others.
    async fn store_in_time(&self, group: &[Delivery]) -> Result<Vec<Inserted>, StoreError> {
        let limit = group.iter().map(|delivery| delivery.intake.limit).max().unwrap_or_default();
        let stored = timeout(limit, self.store_group(group)).await;
        stored.unwrap_or_else(|_| Err(StoreError::new("the store has not replied in time")))
    }

    /// Returns a result for each event of the group.
    async fn store_group(&self, group: &[Delivery]) -> Result<Vec<Inserted>, StoreError> {
        let intakes = || group.iter().map(|delivery| &delivery.intake);
        let events = || intakes().flat_map(|intake| &intake.events);
        let inserted = match group {
            [only] => self.store.insert(&only.intake).await,
            [first, ..] => {
                let all = Intake { events: events().cloned().collect(), ..(*first.intake).clone() };
                self.store.insert(&all).await
            }
            [] => Ok(Vec::new()),
        };
        of_all(inserted?, events().count())
    }
}
