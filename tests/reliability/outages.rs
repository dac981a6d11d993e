//! Servers of stores that are down, frozen, replaced, or have too few connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::future::join_all;
use integration_tests::{
    AnyStore, App, Framework, PATIENCE, PostgresServer, Proxy, RedisServer, Response, address,
    assert_replay, exchange, is_replay, size, soon,
};
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::time::sleep;
use webhook_verify::{PostgresStore, RedisStore};

use crate::rig::{History, LEASE, MS, Rig, deliver, event, receiver, with_lease};

/// A server for one test.
enum Own {
    Postgres(PostgresServer),
    Redis(RedisServer),
}

impl Own {
    /// Starts one of each kind.
    async fn both() -> [Self; 2] {
        let postgres = PostgresServer::until_started().await;
        [Self::Postgres(postgres), Self::Redis(RedisServer::start())]
    }

    fn url(&self) -> String {
        match self {
            Self::Postgres(server) => server.url(),
            Self::Redis(server) => server.url(),
        }
    }

    /// A store that connects at its first call.
    async fn lazy(&self) -> AnyStore {
        match self {
            Self::Postgres(server) => {
                let pool = PgPool::connect_lazy(&server.url()).unwrap();
                AnyStore::Postgres(PostgresStore::new(pool))
            }
            Self::Redis(server) => {
                let store = RedisStore::connect(server.url()).timeout(10_000 * MS).lazy();
                let store = store.await;
                AnyStore::Redis(store.unwrap())
            }
        }
    }

    fn stop(&mut self) {
        match self {
            Self::Postgres(server) => server.stop(),
            Self::Redis(server) => server.stop(),
        }
    }

    fn restart(&mut self) {
        match self {
            Self::Postgres(server) => server.restart(),
            Self::Redis(server) => server.restart(),
        }
    }

    fn pause(&self) {
        match self {
            Self::Postgres(server) => server.pause(),
            Self::Redis(server) => server.pause(),
        }
    }

    fn resume(&self) {
        match self {
            Self::Postgres(server) => server.resume(),
            Self::Redis(server) => server.resume(),
        }
    }
}

/// Runs a test on both, at the same time.
async fn each_server<F: Future<Output = ()> + Send + 'static>(test: impl Fn(Own) -> F) {
    let [one, two] = Own::both().await.map(|server| tokio::spawn(test(server)));
    for run in [one, two] {
        run.await.unwrap();
    }
}

fn is_unavailable(response: &Response) {
    assert_eq!((response.status, response.text()), (503, "temporarily unavailable"),);
    // The store failed, or refused the claim because too many wait for the server already.
    let after = response.header("retry-after");
    assert!(matches!(after, Some("30" | "5")), "{after:?}");
}

/// Sends more requests at once than a pool has connections. All get 503.
async fn all_are_sent_away(addr: SocketAddr, events: &[Vec<u8>]) {
    let answers = join_all(events.iter().map(|event| exchange(addr, event))).await;
    answers.iter().for_each(is_unavailable);
}

/// C1: the server is down at the start and later, and back each time. The receiver need not be
/// restarted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_a_server_that_is_down() {
    each_server(|mut server| async move {
        // The table exists before the first receiver.
        drop(AnyStore::open(&server.url()).await.unwrap());
        for framework in [Framework::Axum, Framework::Actix] {
            server.stop();
            let rig = Rig::on(server.lazy().await);
            let history = History::default();
            let handler = history.handler(|_| async { 200 });
            // With a cache, duplicates of deliveries that this process has completed would get
            // their status.
            let uncached = || rig.idempotency().completed_cache(0, MS);
            let app = App::new(receiver(uncached()), handler.clone());
            let http = app.serve(framework).await;
            // The same on the same store, for requests that have nothing to wait for.
            let brief = App::new(receiver(uncached().claim_timeout(400 * MS)), handler);
            let brief = brief.serve(framework).await;
            let of = |name: &str| -> Vec<_> {
                (0..size(20, 50)).map(|number| event(&format!("{name} {number}"))).collect()
            };
            let (early, late) = (of("early"), of("late"));
            all_are_sent_away(brief.addr, &early).await;
            server.restart();
            join_all(early.iter().map(|event| deliver(http.addr, event))).await;
            assert_eq!(history.runs().len(), early.len());

            server.stop();
            // Completed deliveries get 503 as well, because the store cannot be asked.
            all_are_sent_away(brief.addr, &early).await;
            all_are_sent_away(brief.addr, &late).await;
            assert_eq!(history.runs().len(), early.len());
            server.restart();
            join_all(late.iter().map(|event| deliver(http.addr, event))).await;
            for event in early.iter().chain(&late) {
                assert_replay(&deliver(http.addr, event).await.1, 200);
                assert_replay(&deliver(brief.addr, event).await.1, 200);
            }
            history.check(early.len() + late.len(), LEASE);
            assert_eq!(history.runs().len(), early.len() + late.len());
        }
    })
    .await;
}

/// The lease of a receiver that only returns 503, after its calls have had a fifth of it.
const SHORT: Duration = Duration::from_secs(2);

/// C2: the server is frozen. Deliveries get 503 in time, and a claim that is granted afterwards
/// starts no handler.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c02_a_server_that_is_frozen() {
    each_server(|server| async move {
        for framework in [Framework::Axum, Framework::Actix] {
            let rig = Rig::on(AnyStore::open(&server.url()).await.unwrap());
            let history = History::default();
            let handler = history.handler(|_| async { 200 });
            let app = App::new(receiver(rig.idempotency()), handler.clone());
            let http = app.serve(framework).await;
            // The same on the same store, for requests that have nothing to wait for.
            let idempotency = with_lease(rig.idempotency(), SHORT);
            let brief = App::new(receiver(idempotency), handler);
            let brief = brief.serve(framework).await;
            deliver(http.addr, &event("warm up")).await;
            let events: Vec<_> = (0..50).map(|number| event(&format!("evt_{number}"))).collect();
            server.pause();
            all_are_sent_away(brief.addr, &events).await;
            server.resume();
            deliver(http.addr, &event("well again")).await;
            sleep(200 * MS).await;
            assert_eq!(history.runs().len(), 2, "none that was sent away runs by itself");
            join_all(events.iter().map(|event| deliver(http.addr, event))).await;
            history.check(52, SHORT);
            assert_eq!(history.runs().len(), 52);
        }
    })
    .await;
}

/// C5, C6: a fail-over to a server without the last records. Their deliveries run again, as a first
/// attempt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c05_a_fail_over_that_loses_a_record() {
    for (old, new) in Own::both().await.into_iter().zip(Own::both().await) {
        drop(AnyStore::open(&new.url()).await.unwrap());
        for framework in [Framework::Axum, Framework::Actix] {
            let old_addr = address(&old.url());
            let proxy = Proxy::start(old_addr).await;
            let via = old.url().replace(&old_addr.to_string(), &proxy.addr().to_string());
            let rig = Rig::on(AnyStore::open(&via).await.unwrap());
            let history = History::default();
            let app = rig.app(history.handler(|_| async { 200 }));
            let http = app.serve(framework).await;
            let events = ["one", "two", "three"].map(event);
            for event in &events {
                assert_eq!(exchange(http.addr, event).await.status, 200);
                assert_replay(&exchange(http.addr, event).await, 200);
            }
            proxy.lead_to(address(&new.url()));
            // Another process. This one still knows which deliveries are completed.
            let other = rig.app(history.handler(|_| async { 200 }));
            let other = other.serve(framework).await;
            for (number, event) in events.iter().enumerate() {
                assert_replay(&exchange(http.addr, event).await, 200);
                let (_, again) = deliver(other.addr, event).await;
                assert!(!is_replay(&again));
                assert_replay(&deliver(other.addr, event).await.1, 200);
                assert_eq!(history.runs().len(), 4 + number, "a second run, counted");
            }
            assert_eq!(history.fences(), [1; 6]);
        }
    }
}

/// C10: one connection for 200 deliveries whose leases have to be renewed. Claims that wait for too
/// long get 503, claims and renewals do not block each other, and all deliveries are done in the
/// end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_one_connection_for_200_deliveries() {
    let url = PostgresServer::shared().url();
    drop(AnyStore::open(&url).await.unwrap());
    tokio::join!(one_connection(&url, Framework::Axum), one_connection(&url, Framework::Actix),);
}

async fn one_connection(url: &str, framework: Framework) {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(PATIENCE)
        .connect_lazy(url)
        .unwrap();
    let rig = Rig::on(AnyStore::Postgres(PostgresStore::new(pool)));
    let (history, begun) = (History::default(), Arc::new(AtomicUsize::new(0)));
    let store = Arc::clone(&rig.store);
    // Each handler waits for one more renewal, so in the end there were 200.
    let handler = history.handler(move |_| {
        let (store, renewals) = (Arc::clone(&store), begun.fetch_add(1, SeqCst) + 1);
        async move {
            soon("renewal of a lease", async {
                while store.extends.load(SeqCst) < renewals {
                    sleep(20 * MS).await;
                }
            })
            .await;
            200
        }
    });
    let idempotency = with_lease(rig.idempotency(), LEASE).renew_every(3000 * MS);
    let app = App::new(receiver(idempotency), handler);
    let http = app.serve(framework).await;
    let events: Vec<_> = (0..200).map(|number| event(&format!("evt_{number}"))).collect();
    let delivered = join_all(events.iter().map(|event| deliver(http.addr, event)));
    soon("end of all deliveries", delivered).await;
    history.check(200, LEASE);
    for event in &events {
        assert_replay(&deliver(http.addr, event).await.1, 200);
    }
}
