//! Senders that repeat each event until it is acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use integration_tests::{PATIENCE, Response, raw_request, soon, try_exchange};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use webhook_verify::{scheme, testing::Signer};

use super::{SECRET, now, random, random_ms};

/// The receivers' flags for what is sent from here.
pub(crate) const FLAGS: [&str; 4] = ["--scheme", "standard-webhooks", "--secret", SECRET];

/// How long a sender waits for its first answer, in ms. Some come again while the receiver that
/// they gave up still stands still. They wait for longer each time, so that at last an answer comes
/// in time, however slow the machine is.
const FIRST_WAIT: Range<u64> = 300..2500;

/// Where a receiver listens at present.
pub(crate) type Target = Arc<Mutex<SocketAddr>>;

/// A request for an event, signed now.
pub(crate) fn request(id: &str) -> Vec<u8> {
    let signer = Signer::new(scheme::STANDARD_WEBHOOKS, SECRET).unwrap();
    let signed = signer.id(id).sign(format!(r#"{{"id":"{id}"}}"#)).unwrap();
    raw_request("POST", "/hook", &signed.headers, &signed.body)
}

/// Events on their way to some receivers.
pub(crate) struct Outbox {
    targets: Vec<Target>,
    closed: AtomicBool,
    pub(crate) sent: Mutex<BTreeSet<String>>,
    /// The events that were answered 2xx, and when they first were.
    pub(crate) acknowledged: Mutex<BTreeMap<String, u64>>,
    /// How many answers were 500, which a handler's failure is.
    pub(crate) failed: AtomicUsize,
}

impl Outbox {
    pub(crate) fn new(targets: Vec<Target>) -> Arc<Self> {
        Arc::new(Self {
            targets,
            closed: AtomicBool::new(false),
            sent: Mutex::default(),
            acknowledged: Mutex::default(),
            failed: AtomicUsize::new(0),
        })
    }

    /// Starts senders, each of which sends one event after the other.
    pub(crate) fn open(self: &Arc<Self>, senders: usize) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for sender in 0..senders {
            let outbox = Arc::clone(self);
            tasks.spawn(async move {
                for number in 0.. {
                    if outbox.closed.load(Ordering::Relaxed) {
                        return;
                    }
                    let id = format!("evt_{sender}_{number}");
                    outbox.sent.lock().unwrap().insert(id.clone());
                    // Some are sent twice at once.
                    let again = async {
                        if random(3) == 0 {
                            outbox.deliver(&id).await;
                        }
                    };
                    tokio::join!(outbox.deliver(&id), again);
                    sleep(random_ms(0..40)).await;
                }
            });
        }
        tasks
    }

    /// No more events: the senders end when those under way are acknowledged.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Waits until some more events are acknowledged than are at present.
    ///
    /// # Panics
    ///
    /// If they are not.
    pub(crate) fn until_more_acknowledged(&self, more: usize) {
        let count = || self.acknowledged.lock().unwrap().len();
        let (begun, expected) = (Instant::now(), count() + more);
        while count() < expected {
            let limit = PATIENCE.as_secs();
            assert!(
                begun.elapsed() < PATIENCE,
                "no acknowledgment number {expected} within {limit} s, but {}",
                count()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the senders to end, when every event is acknowledged.
    ///
    /// # Panics
    ///
    /// If one is not.
    pub(crate) async fn finish(&self, mut senders: JoinSet<()>) {
        let finished = async {
            while let Some(ended) = senders.join_next().await {
                ended.unwrap();
            }
        };
        let finished = timeout(PATIENCE, finished).await;
        let acknowledged = self.acknowledged.lock().unwrap();
        let sent = self.sent.lock().unwrap();
        let missing: Vec<_> = sent.iter().filter(|id| !acknowledged.contains_key(*id)).collect();
        assert!(
            finished.is_ok() && missing.is_empty(),
            "no acknowledgment within {} s: {missing:?}",
            PATIENCE.as_secs()
        );
    }

    /// Sends one event until it is acknowledged, each time to one of the receivers. The test waits
    /// for all senders in [`finish`](Self::finish), which has an end.
    async fn deliver(&self, id: &str) {
        self.acknowledge(id).await;
        let mut acknowledged = self.acknowledged.lock().unwrap();
        acknowledged.entry(id.to_owned()).or_insert_with(now);
    }

    /// Sends one event until it is answered 204.
    async fn acknowledge(&self, id: &str) -> Response {
        for tries in 0.. {
            match self.send(id, tries).await {
                Some(response) if response.status == 204 => return response,
                _ => sleep(random_ms(20..150)).await,
            }
        }
        unreachable!("it is tried until it is acknowledged")
    }

    /// Sends all events once more. Each is known to be done; those that were handled again are
    /// returned.
    pub(crate) async fn expect_replays(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.sent.lock().unwrap().iter().cloned().collect();
        let mut replayed = HashSet::new();
        for id in &ids {
            let again = soon("acknowledgment of a repeated event", self.acknowledge(id)).await;
            if again.header("idempotent-replayed") == Some("true") {
                replayed.insert(id.clone());
            }
        }
        ids.retain(|id| !replayed.contains(id));
        ids
    }

    /// Sends one event once, after so many tries. A receiver may say nothing, but nothing wrong.
    pub(crate) async fn send(&self, id: &str, tries: u32) -> Option<Response> {
        let target = &self.targets[random(self.targets.len() as u64) as usize];
        let addr = *target.lock().unwrap();
        let limit = PATIENCE.min(random_ms(FIRST_WAIT) * (tries + 1));
        let response = try_exchange(addr, &request(id), limit).await?;
        match response.status {
            204 => {}
            500 => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
            503 if response.header("retry-after").is_some() => {}
            _ => panic!("{id}: {response:?}"),
        }
        Some(response)
    }
}
