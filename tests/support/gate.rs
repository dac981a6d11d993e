//! Handlers that wait until a test releases them, and a clock that the test moves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};
use webhook_verify::clock::Clock;

use crate::Handler;

/// The longest time that a test waits for anything. It is a safety net against hanging, not a
/// measurement: a slow machine must never reach it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Returns the size of a test: `full` if the variable `THOROUGH` is set, and `quick` otherwise.
pub fn size<T>(quick: T, full: T) -> T {
    match std::env::var_os("THOROUGH") {
        Some(_) => full,
        None => quick,
    }
}

/// Waits for an event. If it does not happen, the test fails with its name instead of hanging.
///
/// # Panics
///
/// With `no <what> within 120 s`.
pub async fn soon<F: Future>(what: &str, event: F) -> F::Output {
    match timeout(PATIENCE, event).await {
        Ok(output) => output,
        Err(_) => panic!("no {what} within {} s", PATIENCE.as_secs()),
    }
}

/// A clock that stands still until the test moves it.
#[derive(Clone, Debug)]
pub struct HandClock(Arc<AtomicU64>);

impl HandClock {
    /// Returns a clock set to a time in 2026.
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_795_305_600_000)))
    }

    /// Sets the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, SeqCst);
    }

    /// Sets the clock back.
    pub fn set_back(&self, by: Duration) {
        self.0.fetch_sub(by.as_millis() as u64, SeqCst);
    }
}

impl Default for HandClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for HandClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(SeqCst))
    }
}

/// Holds handlers until the test releases them, in the order of their arrival, so that the test
/// decides which deliveries are in progress.
#[derive(Debug)]
pub struct Gate {
    tickets: AtomicUsize,
    entered: Semaphore,
    passed: watch::Sender<usize>,
    done: watch::Sender<usize>,
}

impl Gate {
    /// Returns a closed gate.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            tickets: AtomicUsize::new(0),
            entered: Semaphore::new(0),
            passed: watch::Sender::new(0),
            done: watch::Sender::new(0),
        })
    }

    /// Returns a handler that waits at the gate and then returns `status`, which gets the number of
    /// the run, from 1.
    pub fn handler(
        self: &Arc<Self>,
        status: impl Fn(usize) -> u16 + Send + Sync + 'static,
    ) -> Handler {
        let (gate, runs) = (Arc::clone(self), AtomicUsize::new(0));
        Arc::new(move |_| {
            let (gate, status) = (Arc::clone(&gate), status(runs.fetch_add(1, SeqCst) + 1));
            Box::pin(async move {
                gate.wait().await;
                status
            })
        })
    }

    /// Waits at the gate as a handler does.
    pub async fn wait(&self) {
        let ticket = self.tickets.fetch_add(1, SeqCst) + 1;
        self.entered.add_permits(1);
        let mut passed = self.passed.subscribe();
        passed.wait_for(|passed| *passed >= ticket).await.unwrap();
        self.done.send_modify(|done| *done += 1);
    }

    /// Waits until one more handler has arrived at the gate.
    pub async fn entered(&self) {
        soon("handler at the gate", self.entered.acquire()).await.unwrap().forget();
    }

    /// Releases `count` handlers.
    pub fn open(&self, count: usize) {
        self.passed.send_modify(|passed| *passed += count);
    }

    /// Returns how many handlers have passed the gate.
    pub fn done(&self) -> usize {
        *self.done.borrow()
    }

    /// Waits until `count` handlers have passed the gate.
    pub async fn until_done(&self, count: usize) {
        let mut done = self.done.subscribe();
        let what = format!("handler number {count} past the gate");
        soon(&what, done.wait_for(|done| *done >= count)).await.unwrap();
    }
}
