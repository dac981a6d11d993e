//! A store, and the weather between it and its receiver.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use integration_tests::{Kind, Place, Proxy, Weather, unique};
use sqlx::{Connection as _, SqliteConnection};
use webhook_verify::{
    Idempotency, PostgresStore, Receiver, RedisStore, SqliteStore, Verifier,
    idempotency::{ClaimEvent, ClaimEventKind, ClaimStore},
    scheme,
};

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const MS: Duration = Duration::from_millis(1);
/// Delays each piece by 1 to 6 ms, stalls 2 % of the pieces for half a second, and resets the
/// connections of 3 %.
const BAD: Weather = Weather {
    delay: MS,
    jitter: Duration::from_millis(5),
    lost: 20,
    stall: Duration::from_millis(500),
    reset: 30,
    black_hole: false,
    hold: false,
    refuse: false,
};

/// A store with the settings of `connect`, behind a simulated network.
pub(crate) struct Site {
    place: Place,
    proxy: Option<Proxy>,
    receiver: Receiver,
    completed: Arc<AtomicUsize>,
}

impl Site {
    pub(crate) async fn open(kind: Kind) -> Self {
        let place = tokio::task::spawn_blocking(move || Place::new(kind)).await.unwrap();
        let proxy = match place.server {
            Some(server) => Some(Proxy::start(server).await),
            None => None,
        };
        let url = match &proxy {
            Some(proxy) => place.url_via(proxy.addr()),
            None => place.url.clone(),
        };
        let completed = Arc::new(AtomicUsize::new(0));
        let receiver = match kind {
            Kind::Sqlite => receiver(SqliteStore::connect(&url).await.unwrap(), &completed),
            Kind::Redis => receiver(RedisStore::connect(&url).await.unwrap(), &completed),
            _ => receiver(PostgresStore::connect(&url).await.unwrap(), &completed),
        };
        Self { place, proxy, receiver, completed }
    }

    /// Returns how many deliveries were completed in the store so far.
    pub(crate) fn completed(&self) -> usize {
        self.completed.load(Relaxed)
    }

    pub(crate) fn receiver(&self) -> Receiver {
        self.receiver.clone()
    }

    pub(crate) fn weather(&self, weather: Weather) {
        self.proxy.as_ref().expect("there is a network").weather(weather);
    }

    /// Starts bad weather, which lasts until the returned value is dropped. A file has no network
    /// in front of it. There, another process holds the lock for as long as a piece takes in the
    /// network.
    pub(crate) fn bad_weather(&self) -> Storm<'_> {
        let over = Arc::new(AtomicBool::new(false));
        match &self.proxy {
            Some(proxy) => proxy.weather(BAD),
            None => {
                let (url, over) = (self.place.url.clone(), Arc::clone(&over));
                thread::spawn(move || keep_lock_now_and_then(&url, &over));
            }
        }
        Storm { site: self, over }
    }
}

fn receiver(store: impl ClaimStore, completed: &Arc<AtomicUsize>) -> Receiver {
    let completed = Arc::clone(completed);
    let count = move |event: &ClaimEvent<'_>| {
        if let ClaimEventKind::Completed { .. } = event.kind {
            completed.fetch_add(1, Relaxed);
        }
    };
    let idempotency =
        Idempotency::new(store, "overload").namespace(unique("overload")).on_event(count);
    Receiver::builder(Verifier::new(scheme::STANDARD_WEBHOOKS, SECRET).unwrap())
        .idempotency(idempotency)
        .build()
        .unwrap()
}

pub(crate) struct Storm<'a> {
    site: &'a Site,
    over: Arc<AtomicBool>,
}

impl Drop for Storm<'_> {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        if let Some(proxy) = &self.site.proxy {
            proxy.weather(Weather::default());
        }
    }
}

fn keep_lock_now_and_then(url: &str, over: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        while !over.load(Relaxed) {
            let random = getrandom::u32().unwrap();
            let stall = if random.is_multiple_of(50) { BAD.stall } else { Duration::ZERO };
            let keep = BAD.delay + MS * (random >> 8 & 0xff) * 5 / 255 + stall;
            if let Ok(transaction) = connection.begin_with("BEGIN IMMEDIATE").await {
                tokio::time::sleep(keep).await;
                transaction.rollback().await.unwrap();
            }
            tokio::time::sleep(BAD.delay + BAD.jitter / 2).await;
        }
    });
}
