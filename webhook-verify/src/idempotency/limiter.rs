//! Limits how many claims wait for a store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::StoreError;

/// How long a call is taken to keep its slot before the first one has ended.
const AT_FIRST: Duration = Duration::from_millis(5);

/// A bounded queue in front of the slots in which a store serves calls.
///
/// A claim that gets its slot too late is served for a caller that has given up. Under sustained
/// load, such claims take all slots, and no claim succeeds any more. So a claim spends at most half
/// of its limit in the queue. The limiter refuses it at once if the expected wait is longer. It
/// estimates the wait from how long recent calls held their slots.
#[derive(Debug)]
pub(super) struct Limiter {
    count: usize,
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// The moving average of how long a call holds its slot, in µs.
    served_in: AtomicU64,
}

impl Limiter {
    /// Creates a limiter for a store that serves `slots` calls at a time.
    pub(super) fn new(slots: usize) -> Arc<Self> {
        let count = slots.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self {
            count,
            slots: Arc::new(Semaphore::new(count)),
            waiting: AtomicUsize::new(0),
            served_in: AtomicU64::new(AT_FIRST.as_micros() as u64),
        })
    }

    /// Waits for a slot, for at most half of the caller's `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError::overloaded`] if no slot becomes free in that time, or at once if the queue is
    /// too long.
    pub(super) async fn enter(self: &Arc<Self>, limit: Duration) -> Result<Slot, StoreError> {
        if let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(self.slot(permit));
        }
        let patience = limit / 2;
        let place = Place::take(&self.waiting);
        if place.ahead > 0 && self.wait_behind(place.ahead) > patience {
            return Err(StoreError::overloaded());
        }
        match timeout(patience, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(self.slot(permit)),
            Ok(Err(_)) | Err(_) => Err(StoreError::overloaded()),
        }
    }

    fn slot(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Slot {
        Slot {
            limiter: Arc::clone(self),
            since: Instant::now(),
            _permit: permit,
        }
    }

    /// Estimates how long a claim waits behind `ahead` others.
    fn wait_behind(&self, ahead: usize) -> Duration {
        let all = self.served_in.load(Relaxed).saturating_mul(ahead as u64);
        Duration::from_micros(all / self.count as u64)
    }
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
pub(super) struct Slot {
    limiter: Arc<Limiter>,
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let took = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        let average = |before: u64| Some(before - before / 8 + took / 8);
        let _ = self
            .limiter
            .served_in
            .fetch_update(Relaxed, Relaxed, average);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::Pin, task::Poll};

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
        let _slots = (
            enter(&limiter).await.unwrap(),
            enter(&limiter).await.unwrap(),
        );
        let mut waiting = Vec::new();
        let mut refused = 0;
        for _ in 0..5000 {
            let mut entering = enter(&limiter);
            match is_refused(&mut entering).await {
                true => refused += 1,
                false => waiting.push(entering),
            }
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
    async fn one_always_waits_and_more_do_once_calls_are_quick_again() {
        let limiter = used(1, Duration::from_secs(60)).await;
        let slot = limiter.enter(LIMIT).await.unwrap();
        let mut first = enter(&limiter);
        assert!(now(&mut first).await.is_pending());
        assert!(is_refused(&mut enter(&limiter)).await);
        drop(slot);
        let Poll::Ready(Ok(slot)) = now(&mut first).await else {
            panic!("the slot is not passed on")
        };
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
