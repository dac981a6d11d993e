//! The network between a receiver and the server of its store: replies are cut off, calls fail, and
//! the weather is bad.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use futures_util::future::join_all;
use integration_tests::{
    AnyStore, App, Framework, Gate, Kind, Logs, Place, Proxy, REMOTE, STORES, Weather,
    assert_in_flight, assert_replay, each_place, exchange, is_replay, size, soon,
};
use tokio::time::sleep;
use webhook_verify::{
    RedisStore,
    idempotency::{ClaimKey, ClaimStore as _},
};

use crate::rig::{BRIEF, History, LEASE, MS, Rig, deliver, event, post, receiver, with_lease};

/// Returns a proxy in front of the server, and a receiver that uses it.
async fn behind_a_proxy(place: &Place) -> (Proxy, Rig) {
    let proxy = Proxy::start(place.server.unwrap()).await;
    let store = AnyStore::open(&place.url_via(proxy.addr())).await.unwrap();
    (proxy, Rig::on(store))
}

/// Returns the key of an event, by a receiver of the same name on another store.
async fn key_of(rig: &Rig, framework: Framework, event: &[u8]) -> ClaimKey {
    let memory = AnyStore::open("memory:").await.unwrap();
    let namesake = Rig { namespace: rig.namespace.clone(), ..Rig::on(memory) };
    let history = History::default();
    let app = namesake.app(history.handler(|_| async { 200 }));
    let server = app.serve(framework).await;
    assert_eq!(post(server.addr, event).await.status, 200);
    history.runs()[0].key
}

/// B23: the claim is granted, and its reply is lost. The same owner claims again and is granted it
/// again, so the delivery runs at once.
async fn an_answer_is_lost(cuts: usize) {
    each_place(&REMOTE, async |place, framework| {
        let (proxy, rig) = behind_a_proxy(place).await;
        let history = History::default();
        let app = rig.app(history.handler(|_| async { 200 }));
        let server = app.serve(framework).await;
        assert_eq!(exchange(server.addr, &event("warm up")).await.status, 200);
        let event = event("evt_1");
        proxy.cut_only(key_of(&rig, framework, &event).await.as_bytes());
        proxy.cut_replies(cuts, 0);
        let response = exchange(server.addr, &event).await;
        assert_eq!((response.status, is_replay(&response)), (200, false));
        assert_eq!(proxy.cuts(), cuts);
        assert_eq!(history.fences(), [1, 1], "two events, each at its first attempt");
        assert_replay(&exchange(server.addr, &event).await, 200);
    })
    .await;
}

#[tokio::test]
async fn b23_a_claim_whose_answer_is_lost() {
    an_answer_is_lost(1).await;
}

/// The store has tried twice and gives up. The receiver asks it again.
#[tokio::test]
async fn b23_a_claim_whose_answer_is_lost_again() {
    an_answer_is_lost(2).await;
}

/// However often replies are lost: the delivery runs once, and the sender gets its 2xx in the end.
#[tokio::test]
async fn b23_answers_are_lost_again_and_again() {
    each_place(&REMOTE, async |place, framework| {
        for cuts in 3..size(6, 12) {
            let (proxy, rig) = behind_a_proxy(place).await;
            let history = History::default();
            let app = rig.app(history.handler(|_| async { 200 }));
            let server = app.serve(framework).await;
            let event = event("evt_1");
            proxy.cut_only(key_of(&rig, framework, &event).await.as_bytes());
            proxy.cut_replies(cuts, 0);
            let delivering = async {
                loop {
                    let response = post(server.addr, &event).await;
                    if response.status == 200 {
                        return;
                    }
                    // A claim that was granted and could not be released: no handler runs.
                    assert_in_flight(&response);
                    assert!(history.runs().is_empty());
                    place.age(LEASE).await;
                }
            };
            soon("200 response to a delivery", delivering).await;
            proxy.cut_replies(0, 0);
            // The call was executed, also without a reply. Another process sees it.
            let other = rig.app(history.handler(|_| async { 500 }));
            let other = other.serve(framework).await;
            assert_replay(&deliver(other.addr, &event).await.1, 200);
            assert_eq!(history.runs().len(), 1, "{cuts} cuts");
        }
    })
    .await;
}

/// C4: completions fail, in any store. The response is that of the handler, and the log has each
/// failure.
#[tokio::test]
async fn c04_completions_that_fail() {
    let logs = Logs::collect();
    each_place(&STORES, async |place, framework| {
        for (failures, tries) in [(1, 2), (2, 3), (3, 3)] {
            let rig = Rig::new(place).await;
            let history = History::default();
            let app = rig.app(history.handler(|_| async { 201 }));
            let server = app.serve(framework).await;
            rig.store.fail_completes.store(failures, SeqCst);
            let event = event("evt_1");
            let response = post(server.addr, &event).await;
            assert_eq!((response.status, is_replay(&response)), (201, false));
            assert_eq!(rig.store.completes(), tries);
            let key = history.runs()[0].key;
            assert_eq!(unsettled(&logs, key), failures);
            rig.store.fail_completes.store(0, SeqCst);
            let here = (server.addr, framework);
            is_recorded_or_runs_again(place, &rig, here, &event, &history, failures < 3).await;
        }
    })
    .await;
}

/// C4: the network fails completions, before or after they arrive at the server.
#[tokio::test]
async fn c04_completions_that_the_network_loses() {
    let logs = Logs::collect();
    each_place(&REMOTE, async |place, framework| {
        for cuts in [1, 2, 3, 1000] {
            for before in [true, false] {
                let (proxy, rig) = behind_a_proxy(place).await;
                let (history, gate) = (History::default(), Gate::new());
                let at_gate = Arc::clone(&gate);
                let app = rig.app(history.handler(move |_| {
                    let gate = Arc::clone(&at_gate);
                    async move {
                        gate.wait().await;
                        201
                    }
                }));
                let server = app.serve(framework).await;
                let (addr, event) = (server.addr, event("evt_1"));
                proxy.cut_only(key_of(&rig, framework, &event).await.as_bytes());
                let post = tokio::spawn({
                    let event = event.clone();
                    async move { post(addr, &event).await }
                });
                gate.entered().await;
                match before {
                    true => proxy.cut_requests(cuts),
                    false => proxy.cut_replies(cuts, 0),
                }
                gate.open(100);
                let response = soon("response", post).await.unwrap();
                assert_eq!((response.status, is_replay(&response)), (201, false));
                proxy.cut_requests(0);
                proxy.cut_replies(0, 0);
                assert!(proxy.cuts() >= cuts.min(3), "{} of {cuts}", proxy.cuts());
                let key = history.runs()[0].key;
                if cuts == 1000 {
                    assert_eq!(unsettled(&logs, key), 3);
                }
                // Without its reply, the completion was executed all the same.
                let recorded = cuts < 1000 || !before;
                let here = (addr, framework);
                is_recorded_or_runs_again(place, &rig, here, &event, &history, recorded).await;
            }
        }
    })
    .await;
}

/// Returns how often the log has that a claim was not settled.
fn unsettled(logs: &Logs, key: ClaimKey) -> usize {
    let (logs, key) = (logs.text(), key.to_string());
    let lines = logs.lines().filter(|line| line.contains(&key));
    lines.filter(|line| line.contains("ERROR") && line.contains(r#"call="complete""#)).count()
}

/// Sends a retry here, and to another process on the same store.
async fn is_recorded_or_runs_again(
    place: &Place,
    rig: &Rig,
    (here, framework): (std::net::SocketAddr, Framework),
    event: &[u8],
    history: &History,
    recorded: bool,
) {
    let app = rig.app(history.handler(|_| async { 201 }));
    let there = app.serve(framework).await;
    if recorded {
        assert_replay(&deliver(there.addr, event).await.1, 201);
        assert_replay(&deliver(here, event).await.1, 201);
        assert_eq!(history.fences(), [1]);
        return;
    }
    // It is not recorded, so it blocks until the lease expires, and then runs again. Only the cache
    // of this process knows more, unless the store is in memory itself.
    assert_in_flight(&post(there.addr, event).await);
    let retry = post(here, event).await;
    match rig.store.is_in_process() {
        true => assert_in_flight(&retry),
        false => assert_replay(&retry, 201),
    }
    place.age(LEASE).await;
    assert!(!is_replay(&deliver(there.addr, event).await.1));
    assert_eq!(history.fences(), [1, 2]);
}

/// C3: latency, jitter, loss and resets, with several senders for each event, who retry until the
/// response is 2xx.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c03_bad_weather() {
    const EVENTS: usize = 30;
    each_place(&REMOTE, async |place, framework| {
        let (proxy, rig) = behind_a_proxy(place).await;
        let history = History::default();
        let handler = history.handler(|fence| async move {
            sleep(10 * MS).await;
            // A third of the first attempts fail.
            if fence == 1 && rand(3) == 0 { 500 } else { 200 }
        });
        // For as long as this takes, only the cache knows a completion that the weather has lost.
        let idempotency = with_lease(rig.idempotency(), BRIEF);
        let idempotency = idempotency.completed_cache(EVENTS * 10, 60 * LEASE);
        let app = App::new(receiver(idempotency), handler);
        let server = app.serve(framework).await;
        proxy.weather(Weather {
            delay: MS,
            jitter: 5 * MS,
            lost: 20,
            stall: BRIEF / 4,
            reset: 30,
            ..Weather::default()
        });
        let events: Vec<_> = (0..EVENTS).map(|n| event(&format!("evt_{n}"))).collect();
        let senders = events.iter().flat_map(|event| [event, event, event]);
        proxy.cut_replies(3, 0);
        join_all(senders.map(|event| deliver(server.addr, event))).await;
        proxy.weather(Weather::default());
        history.check(EVENTS, BRIEF);
        assert_eq!(proxy.cuts(), 3, "replies that the weather has cut");
        for event in &events {
            assert_replay(&deliver(server.addr, event).await.1, 200);
        }
    })
    .await;
}

/// C3: no data passes, and no connection ends. Deliveries get 503 in time. Then all works again.
#[tokio::test]
async fn c03_a_black_hole() {
    each_place(&REMOTE, async |place, framework| {
        let proxy = Proxy::start(place.server.unwrap()).await;
        let url = place.url_via(proxy.addr());
        let store = match place.kind {
            // The store gives a silent connection up after five times the limit of a call.
            Kind::Redis => {
                AnyStore::Redis(RedisStore::connect(url).timeout(500 * MS).await.unwrap())
            }
            _ => AnyStore::open(&url).await.unwrap(),
        };
        let rig = Rig::on(store);
        let history = History::default();
        let app = rig.app_with_lease(BRIEF, history.handler(|_| async { 200 }));
        let server = app.serve(framework).await;
        deliver(server.addr, &event("evt_0")).await;
        proxy.weather(Weather { black_hole: true, ..Weather::default() });
        let events: Vec<_> = (0..20).map(|number| event(&format!("evt_{number}"))).collect();
        let answers = join_all(events.iter().map(|event| exchange(server.addr, event))).await;
        assert!(answers.iter().all(|answer| answer.status == 503));
        assert_eq!(history.runs().len(), 1);
        proxy.weather(Weather::default());
        join_all(events.iter().map(|event| deliver(server.addr, event))).await;
        history.check(20, BRIEF);
        assert_eq!(history.runs().len(), 20);
    })
    .await;
}

/// Returns a number below `sides`.
fn rand(sides: u32) -> u32 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    let random = RandomState::new().build_hasher().finish();
    u32::try_from(random % u64::from(sides)).unwrap()
}
