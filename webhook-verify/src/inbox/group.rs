//! Stores deliveries in groups: those that arrive while others are being stored share the next call
//! of the store.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, sync::oneshot};

use super::{Inserted, Intake, shared::DynInboxStore};
use crate::{
    claim::{StoreError, of_all},
    timer::Timer,
};

/// The maximum number of shared calls at a time.
const CALLS: usize = 4;
/// The maximum number of events in a shared call, and of bytes in their bodies.
const EVENTS: usize = 256;
const BYTES: usize = 1024 * 1024;
/// How long a delivery waits for a group. Then it has a call of its own, so that slow calls for some
/// deliveries delay the others little.
const PATIENCE: Duration = Duration::from_millis(100);

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

/// A call in progress. Counts as ended when dropped, even if its runtime stops.
struct Call<'g>(&'g Groups);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.waiting().calls -= 1;
    }
}

impl Groups {
    pub(super) fn new(store: Arc<dyn DynInboxStore>) -> Arc<Self> {
        Arc::new(Self { store, waiting: Mutex::default() })
    }

    /// Stores the events of a delivery. If the call fails, another delivery may be the cause. If the
    /// caller gives up while the call is in progress, the call continues.
    pub(super) async fn insert(
        self: &Arc<Self>,
        intake: &Arc<Intake>,
        timer: &Timer,
    ) -> Result<Vec<Inserted>, StoreError> {
        let Ok(runtime) = Handle::try_current() else { return self.store.insert(intake).await };
        let (reply, answer) = oneshot::channel();
        let must_call = {
            let mut waiting = self.waiting();
            waiting.deliveries.push_back(Delivery { intake: Arc::clone(intake), reply });
            waiting.calls < CALLS
        };
        if must_call {
            let (groups, timer) = (Arc::clone(self), timer.clone());
            drop(runtime.spawn(async move { groups.call(&timer).await }));
        }
        let mut answer = pin!(answer);
        let answer = match timer.within(PATIENCE, &mut answer).await {
            Some(answer) => answer,
            None if self.leave(intake) => return self.store.insert(intake).await,
            None => answer.await,
        };
        answer.unwrap_or_else(|_| Err(StoreError::new("the call has ended without a result")))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a delivery out of those that wait. Returns whether it was there.
    fn leave(&self, intake: &Arc<Intake>) -> bool {
        let mut waiting = self.waiting();
        let before = waiting.deliveries.len();
        waiting.deliveries.retain(|it| !Arc::ptr_eq(&it.intake, intake));
        waiting.deliveries.len() < before
    }

    /// Stores groups until no delivery waits.
    async fn call(&self, timer: &Timer) {
        while let Some((call, group)) = self.next() {
            let limit = group[0].intake.limit;
            let stored = timer.within(limit, self.store_group(&group)).await;
            drop(call);
            match stored.unwrap_or_else(|| Err(StoreError::new("no answer"))) {
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
        // A caller that has given up does not acknowledge its delivery.
        waiting.deliveries.retain(|it| !it.reply.is_closed());
        let mut group: Vec<Delivery> = Vec::new();
        let (mut events, mut bytes) = (0, 0);
        while let Some(next) = waiting.deliveries.front() {
            let all = &next.intake.events;
            events += all.len();
            bytes += all.iter().map(|new| new.event.body.len()).sum::<usize>();
            if !group.is_empty() && (events > EVENTS || bytes > BYTES) {
                break;
            }
            group.extend(waiting.deliveries.pop_front());
        }
        if group.is_empty() {
            return None;
        }
        waiting.calls += 1;
        Some((Call(self), group))
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
