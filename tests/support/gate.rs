//! Handlers that are held until a test lets them go, and a clock that is moved by hand.

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
use webhook_verify::Clock;

use crate::Handler;

/// The longest that a test waits for anything. It is a safety net against hanging, and no
/// measurement: a slow machine must never reach it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for an event, and names it if it does not come, so that the test fails and does not hang.
///
/// # Panics
///
/// `no <what> within 120 s`.
pub async fn soon<F: Future>(what: &str, event: F) -> F::Output {
    match timeout(PATIENCE, event).await {
        Ok(output) => output,
        Err(_) => panic!("no {what} within {} s", PATIENCE.as_secs()),
    }
}

/// A clock that stands still until it is moved.
#[derive(Clone, Debug)]
pub struct HandClock(Arc<AtomicU64>);

impl HandClock {
    /// A clock at a time of this year.
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_795_305_600_000)))
    }

    /// Sets it forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, SeqCst);
    }

    /// Sets it back.
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

/// Holds handlers until they are let go, in the order in which they came, so that a test decides what is in flight.
#[derive(Debug)]
pub struct Gate {
    tickets: AtomicUsize,
    entered: Semaphore,
    passed: watch::Sender<usize>,
    done: watch::Sender<usize>,
}

impl Gate {
    /// A gate that is closed.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            tickets: AtomicUsize::new(0),
            entered: Semaphore::new(0),
            passed: watch::Sender::new(0),
            done: watch::Sender::new(0),
        })
    }

    /// A handler that waits here and then answers; it is told which of its own runs this is, from 1.
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

    /// Waits, as a handler does.
    pub async fn wait(&self) {
        let ticket = self.tickets.fetch_add(1, SeqCst) + 1;
        self.entered.add_permits(1);
        let mut passed = self.passed.subscribe();
        passed.wait_for(|passed| *passed >= ticket).await.unwrap();
        self.done.send_modify(|done| *done += 1);
    }

    /// Waits until one more handler has come to the gate.
    pub async fn entered(&self) {
        soon("handler at the gate", self.entered.acquire())
            .await
            .unwrap()
            .forget();
    }

    /// Lets `count` handlers go.
    pub fn open(&self, count: usize) {
        self.passed.send_modify(|passed| *passed += count);
    }

    /// How many handlers went through to their end.
    pub fn done(&self) -> usize {
        *self.done.borrow()
    }

    /// Waits for so many of them.
    pub async fn until_done(&self, count: usize) {
        let mut done = self.done.subscribe();
        let what = format!("handler number {count} past the gate");
        soon(&what, done.wait_for(|done| *done >= count))
            .await
            .unwrap();
    }
}
