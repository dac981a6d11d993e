//! Senders that repeat each event until it is acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use integration_tests::{Response, raw_request, try_exchange};
use tokio::{task::JoinSet, time::sleep};
use webhook_verify::{scheme, testing::Signer};

use crate::{SECRET, now, random, random_ms};

/// The receivers' flags for what is sent from here.
pub(crate) const FLAGS: [&str; 4] = ["--scheme", "standard-webhooks", "--secret", SECRET];

/// How long a sender waits for an answer, in ms. Some come again while the receiver that they gave up still stands still.
const PATIENCE: Range<u64> = 300..2500;

/// How often one that has nothing else to do may be too slow.
const TRIES: u32 = 5;

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

    /// The senders have to end within `limit`.
    pub(crate) async fn finish(&self, mut senders: JoinSet<()>, limit: Duration) {
        let finished = async {
            while let Some(ended) = senders.join_next().await {
                ended.unwrap();
            }
        };
        let finished = tokio::time::timeout(limit, finished).await;
        let acknowledged = self.acknowledged.lock().unwrap();
        let sent = self.sent.lock().unwrap();
        let missing: Vec<_> = sent
            .iter()
            .filter(|id| !acknowledged.contains_key(*id))
            .collect();
        assert!(
            finished.is_ok() && missing.is_empty(),
            "not acknowledged within {limit:?}: {missing:?}"
        );
    }

    /// Sends one event until it is acknowledged, to any of the receivers each time.
    async fn deliver(&self, id: &str) {
        loop {
            if let Some(response) = self.send(id).await
                && response.status == 204
            {
                let mut acknowledged = self.acknowledged.lock().unwrap();
                acknowledged.entry(id.to_owned()).or_insert_with(now);
                return;
            }
            sleep(random_ms(20..150)).await;
        }
    }

    /// Sends all events once more. Each is known to be done; a receiver that is too slow to say so is asked again.
    pub(crate) async fn expect_replays(&self) {
        let ids: Vec<_> = self.sent.lock().unwrap().iter().cloned().collect();
        for id in ids {
            let mut answer = None;
            for _ in 0..TRIES {
                answer = self.send(&id).await;
                if answer.as_ref().is_some_and(|answer| answer.status == 204) {
                    break;
                }
            }
            let answer = answer.expect("a receiver that answers");
            let replayed = answer.header("idempotent-replayed");
            assert_eq!((answer.status, replayed), (204, Some("true")), "{id}");
        }
    }

    /// Sends one event once. A receiver may say nothing, but nothing wrong.
    pub(crate) async fn send(&self, id: &str) -> Option<Response> {
        let target = &self.targets[random(self.targets.len() as u64) as usize];
        let addr = *target.lock().unwrap();
        let response = try_exchange(addr, &request(id), random_ms(PATIENCE)).await?;
        match response.status {
            204 => {}
            500 => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
            503 if response.header("retry-after").is_some() => {}
            _ => panic!("{id}: {response:?}"),
        }
        Some(response)
    }
}
