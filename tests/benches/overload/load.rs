//! Senders that never stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::stream;
use integration_tests::its_status;
use tokio::{task::JoinSet, time::sleep};
use webhook_verify::{
    Receiver, RequestHead,
    adapter::Admission,
    scheme,
    testing::{SignedRequest, Signer},
};

use crate::site::SECRET;

/// How long a sender waits after a 503: between half of it and one and a half.
const PAUSE: Duration = Duration::from_millis(500);

/// A number of senders, each of which sends one delivery after another.
pub(crate) struct Load {
    shared: Arc<Shared>,
    senders: JoinSet<()>,
}

struct Shared {
    receiver: Receiver,
    over: AtomicBool,
}

impl Load {
    pub(crate) fn start(receiver: Receiver, senders: usize) -> Self {
        let shared = Arc::new(Shared { receiver, over: AtomicBool::new(false) });
        let mut running = JoinSet::new();
        for _ in 0..senders {
            let shared = Arc::clone(&shared);
            running.spawn(async move { shared.send().await });
        }
        Self { shared, senders: running }
    }

    /// Lets each sender finish its delivery.
    pub(crate) async fn end(self) {
        self.shared.over.store(true, Relaxed);
        self.senders.join_all().await;
    }
}

impl Shared {
    async fn send(&self) {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let signer = Signer::new(scheme::STANDARD_WEBHOOKS, SECRET).unwrap();
        while !self.over.load(Relaxed) {
            let id = format!("evt_{}", COUNT.fetch_add(1, Relaxed));
            let request = signer.clone().id(&id).sign("{}").unwrap();
            while !self.over.load(Relaxed) && !self.deliver(&request).await {
                sleep(
                    PAUSE.mul_f64(0.5 + f64::from(getrandom::u32().unwrap()) / f64::from(u32::MAX)),
                )
                .await;
            }
        }
    }

    /// Sends a delivery once. Returns whether it is done.
    async fn deliver(&self, request: &SignedRequest) -> bool {
        let body = stream::iter([Ok::<_, std::io::Error>(request.body.clone())]);
        let head =
            RequestHead::new(&request.headers).method(&request.method).target(&request.target);
        let admitted = match self.receiver.admit(&head, body).await {
            Ok(Admission::Admitted(admitted)) => admitted,
            // The delivery was completed, and the response that said so was lost.
            Ok(_) => return true,
            Err(_) => return false,
        };
        admitted.handle(async { 204 }, its_status).await.is_ok()
    }
}
