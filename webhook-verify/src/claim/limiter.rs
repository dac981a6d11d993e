//! Limits how many claims wait for a store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::StoreError;

/// The estimate of how long a call holds its slot, until the first call has ended.
const INITIAL: Duration = Duration::from_millis(5);

/// A bounded queue in front of the slots in which a store serves calls.
///
/// A claim that gets its slot too late is served for a caller that has given up. Under sustained
/// load, such claims take all slots, and no claim succeeds any more. So a claim spends at most half
/// of its limit in the queue, and leaves enough of it for the call itself. If the expected wait is
/// longer, the limiter refuses the claim at once. It estimates both times from how long recent
/// calls held their slots.
#[derive(Debug)]
pub(crate) struct Limiter {
    count: u32,
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// The moving average of how long a call holds its slot, in µs.
    served_in: AtomicU64,
}

impl Limiter {
    /// Creates a limiter for a store that serves `slots` calls at a time.
    pub(super) fn new(slots: usize) -> Arc<Self> {
        let count = slots.clamp(1, u16::MAX.into());
        Arc::new(Self {
            count: count as u32,
            slots: Arc::new(Semaphore::new(count)),
            waiting: AtomicUsize::new(0),
            served_in: AtomicU64::new(INITIAL.as_micros() as u64),
        })
    }

    /// Waits for a slot. The wait takes at most half of the caller's `limit`, and leaves enough of
    /// it for the call itself.
    ///
    /// # Errors
    ///
    /// [`StoreError::overloaded`] if no slot becomes free in that time, or at once if the queue is
    /// too long.
    pub(crate) async fn enter(self: &Arc<Self>, limit: Duration) -> Result<Slot, StoreError> {
        if let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(self.slot(permit));
        }
        let patience = (limit / 2).min(limit.saturating_sub(self.served_in()));
        let place = Place::take(&self.waiting);
        if place.ahead > 0 && self.wait_behind(place.ahead) > patience {
            return Err(StoreError::overloaded());
        }
        let entered = Arc::clone(&self.slots).acquire_owned();
        let entered = match Handle::try_current() {
            Ok(_) => timeout(patience, entered).await.ok(),
            // Without a tokio runtime there is no timer. The caller has its own.
            Err(_) => Some(entered.await),
        };
        let permit = entered.and_then(Result::ok);
        Ok(self.slot(permit.ok_or_else(StoreError::overloaded)?))
    }

    fn slot(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Slot {
        Slot { limiter: Arc::clone(self), since: Instant::now(), _permit: permit }
    }

    /// Estimates how long a claim waits behind `ahead` others.
    fn wait_behind(&self, ahead: usize) -> Duration {
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        self.served_in().saturating_mul(ahead) / self.count
    }

    /// Estimates how long a call holds its slot.
    fn served_in(&self) -> Duration {
        Duration::from_micros(self.served_in.load(Relaxed))
    }
}

/// Returns the shortest limit of the calls in a batch.
pub(super) fn shortest(limits: impl Iterator<Item = Duration>) -> Duration {
    limits.min().unwrap_or_default()
}

/// A place in the queue.
struct Place<'a> {
    waiting: &'a AtomicUsize,
    ahead: usize,
}

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Self {
        let ahead = waiting.fetch_add(1, Relaxed);
        Self { waiting, ahead }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Relaxed);
    }
}

/// A slot in which the store serves a call. Dropping it frees the slot.
#[derive(Debug)]
pub(crate) struct Slot {
    limiter: Arc<Limiter>,
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let took = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        let average = |before: u64| Some(before - before / 8 + took / 8);
        let _ = self.limiter.served_in.fetch_update(Relaxed, Relaxed, average);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::Pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    type Entering = Pin<Box<dyn Future<Output = Result<Slot, StoreError>>>>;

    fn enter(limiter: &Arc<Limiter>) -> Entering {
        let limiter = Arc::clone(limiter);
        Box::pin(async move { limiter.enter(LIMIT).await })
    }

    async fn now(entering: &mut Entering) -> Poll<Result<Slot, StoreError>> {
        std::future::poll_fn(|cx| Poll::Ready(entering.as_mut().poll(cx))).await
    }

    async fn is_refused(entering: &mut Entering) -> bool {
        matches!(now(entering).await, Poll::Ready(Err(error)) if error.is_overloaded())
    }

    /// Returns a limiter whose calls have taken `each` so far.
    async fn used(slots: usize, each: Duration) -> Arc<Limiter> {
        let limiter = Limiter::new(slots);
        for _ in 0..100 {
            let slot = limiter.enter(LIMIT).await.unwrap();
            tokio::time::advance(each).await;
            drop(slot);
        }
        limiter
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_wait_as_are_served_within_half_of_the_limit() {
        // Two slots and 10 ms for each call: 100 calls in 500 ms.
        let limiter = used(2, Duration::from_millis(10)).await;
        let _slots = (enter(&limiter).await.unwrap(), enter(&limiter).await.unwrap());
        let mut waiting = Vec::new();
        let mut refused = 0;
        for _ in 0..5000 {
            let mut entering = enter(&limiter);
            if is_refused(&mut entering).await { refused += 1 } else { waiting.push(entering) }
        }
        assert!((90..=110).contains(&waiting.len()), "{}", waiting.len());
        assert_eq!(refused + waiting.len(), 5000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_waits_for_half_of_its_limit() {
        let limiter = Limiter::new(1);
        let slot = limiter.enter(LIMIT).await.unwrap();
        let mut second = enter(&limiter);
        assert!(now(&mut second).await.is_pending());
        tokio::time::advance(Duration::from_millis(499)).await;
        assert!(now(&mut second).await.is_pending());
        tokio::time::advance(Duration::from_millis(2)).await;
        assert!(is_refused(&mut second).await);
        drop(slot);
        limiter.enter(LIMIT).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn none_waits_for_slow_calls_and_many_do_once_calls_are_quick_again() {
        let limiter = used(1, Duration::from_secs(60)).await;
        let slot = limiter.enter(LIMIT).await.unwrap();
        assert!(is_refused(&mut enter(&limiter)).await);
        drop(slot);
        for _ in 0..100 {
            drop(limiter.enter(LIMIT).await.unwrap());
        }
        let _slot = limiter.enter(LIMIT).await.unwrap();
        let mut waiting: Vec<_> = (0..100).map(|_| enter(&limiter)).collect();
        for entering in &mut waiting {
            assert!(now(entering).await.is_pending());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_leaves_time_for_the_call() {
        let limiter = used(1, Duration::from_millis(700)).await;
        let _slot = limiter.enter(LIMIT).await.unwrap();
        let mut second = enter(&limiter);
        assert!(now(&mut second).await.is_pending());
        tokio::time::advance(Duration::from_millis(290)).await;
        assert!(now(&mut second).await.is_pending());
        tokio::time::advance(Duration::from_millis(20)).await;
        assert!(is_refused(&mut second).await);
    }

    #[test]
    fn without_a_runtime_a_claim_waits() {
        let limiter = Limiter::new(1);
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(slot)) = enter(&limiter).as_mut().poll(&mut cx) else {
            panic!("a slot is free")
        };
        let mut second = enter(&limiter);
        assert!(second.as_mut().poll(&mut cx).is_pending());
        drop(slot);
        assert!(matches!(second.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gives_up_leaves_the_queue() {
        let limiter = used(1, Duration::from_millis(400)).await;
        let _slot = limiter.enter(LIMIT).await.unwrap();
        for _ in 0..100 {
            let mut entering = enter(&limiter);
            assert!(now(&mut entering).await.is_pending());
        }
        assert_eq!(limiter.waiting.load(Relaxed), 0);
    }
}
