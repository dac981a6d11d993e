//! One delivery that arrives more than once, on every store behind the frameworks.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use futures_util::future::join_all;
use integration_tests::{
    App, Connection, Gate, Logs, Proxy, STORES, answer, assert_in_flight, assert_replay,
    each_place, is_replay, size, soon,
};
use tokio::{net::TcpStream, time::sleep};
use webhook_verify::{
    Receiver, RequestHead, Verifier, adapter::Admission, idempotency::OnLeaseExpiry, scheme,
    testing::Signer,
};

use crate::rig::{History, LEASE, MS, Rig, SECRET, deliver, event, post, raw, receiver, signed};

/// B1: of 64 requests at once, one runs, however often it fails. The others get 503, or the stored
/// status.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b01_64_at_once() {
    each_place(&STORES, async |place, framework| {
        let rig = Rig::new(place).await;
        let (history, gate) = (History::default(), Gate::new());
        let at_gate = Arc::clone(&gate);
        let app = rig.app(history.handler(move |fence| {
            let gate = Arc::clone(&at_gate);
            async move {
                gate.wait().await;
                if fence < 2 { 500 } else { 201 }
            }
        }));
        let server = app.serve(framework).await;
        let event = event("evt_1");
        for attempt in 1..=2 {
            let mut posts: Vec<_> = (0..64)
                .map(|_| {
                    let (addr, event) = (server.addr, event.clone());
                    tokio::spawn(async move { post(addr, &event).await })
                })
                .collect();
            gate.entered().await;
            // The winner waits until all others are rejected.
            while posts.len() > 1 {
                let (response, _, rest) =
                    soon("response to a duplicate", futures_util::future::select_all(posts)).await;
                assert_in_flight(&response.unwrap());
                posts = rest;
            }
            gate.open(1);
            let winner = soon("response to the winner", posts.remove(0)).await.unwrap();
            assert_eq!(winner.status, if attempt == 1 { 500 } else { 201 });
        }
        for response in join_all((0..64).map(|_| deliver(server.addr, &event))).await {
            assert_replay(&response.1, 201);
        }
        assert_eq!(history.fences(), [1, 2]);
    })
    .await;
}

/// B3: a duplicate that arrives before the handler fails gets no 2xx.
#[tokio::test]
async fn b03_a_duplicate_while_the_handler_fails() {
    each_place(&STORES, async |place, framework| {
        let rig = Rig::new(place).await;
        let gate = Gate::new();
        let app = rig.app(gate.handler(|run| if run == 1 { 500 } else { 200 }));
        let server = app.serve(framework).await;
        let event = event("evt_1");
        let mut first = Connection::open(server.addr).await;
        first.send(&event).await;
        gate.entered().await;
        assert_in_flight(&post(server.addr, &event).await);
        gate.open(1);
        assert_eq!(first.response().await.unwrap().status, 500);
        gate.open(1);
        let retry = post(server.addr, &event).await;
        assert_eq!((retry.status, is_replay(&retry)), (200, false));
        assert_replay(&post(server.addr, &event).await, 200);
        assert_eq!(app.runs(), 2);
    })
    .await;
}

/// B7: a panic is a 500, and the retry runs.
#[tokio::test]
async fn b07_a_handler_that_panics() {
    each_place(&STORES, async |place, framework| {
        let rig = Rig::new(place).await;
        let history = History::default();
        let app = rig.app(history.handler(|fence| async move {
            assert!(fence > 1, "a handler that panics, on purpose");
            200
        }));
        let server = app.serve(framework).await;
        let event = event("evt_1");
        assert_eq!(post(server.addr, &event).await.status, 500);
        let retry = post(server.addr, &event).await;
        assert_eq!((retry.status, is_replay(&retry)), (200, false));
        assert_replay(&post(server.addr, &event).await, 200);
        assert_eq!(history.fences(), [1, 2]);
    })
    .await;
}

/// B8: the client disconnects while the handler runs. The handler runs to its end, and the delivery
/// is recorded.
#[tokio::test]
async fn b08_a_client_that_goes_away() {
    each_place(&STORES, async |place, framework| {
        for reset in [false, true] {
            let rig = Rig::new(place).await;
            let gate = Gate::new();
            let app = rig.app(gate.handler(|_| 201));
            let server = app.serve(framework).await;
            let event = event("evt_1");
            let mut client = TcpStream::connect(server.addr).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut client, &event).await.unwrap();
            gate.entered().await;
            if reset {
                client.set_zero_linger().unwrap();
            }
            drop(client);
            assert_in_flight(&post(server.addr, &event).await);
            gate.open(1);
            gate.until_done(1).await;
            rig.store.until_completes(1).await;
            assert_replay(&post(server.addr, &event).await, 201);
            assert_eq!(app.runs(), 1);
        }
    })
    .await;
}

/// B9: the response is lost, all of it or a part. The retry gets the stored status.
#[tokio::test]
async fn b09_an_answer_that_is_lost() {
    each_place(&STORES, async |place, framework| {
        for passed in [0, 20] {
            let rig = Rig::new(place).await;
            let app = rig.app(answer(201));
            let server = app.serve(framework).await;
            let proxy = Proxy::start(server.addr).await;
            proxy.cut_replies(1, passed);
            let event = event("evt_1");
            let mut connection = Connection::open(proxy.addr()).await;
            connection.send(&event).await;
            assert_eq!(connection.response().await, None);
            assert_eq!((proxy.cuts(), rig.store.completes()), (1, 1));
            assert_replay(&post(proxy.addr(), &event).await, 201);
            assert_eq!(app.runs(), 1);
        }
    })
    .await;
}

/// B15: the same bytes are sent many times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b15_many_replays() {
    each_place(&STORES, async |place, framework| {
        let rig = Rig::new(place).await;
        let app = rig.app(answer(200));
        let server = app.serve(framework).await;
        let event = event("evt_1");
        let mut connection = Connection::open(server.addr).await;
        for number in 0..size(200, 1000) {
            connection.send(&event).await;
            let mut response = connection.response().await.unwrap();
            if response.status == 503 {
                // The machine is too busy for the store to respond in time.
                response = deliver(server.addr, &event).await.1;
            }
            assert_eq!((response.status, is_replay(&response)), (200, number > 0));
        }
        assert_eq!(app.runs(), 1);
    })
    .await;
}

/// B17: a delivery is a duplicate while its record lives, and runs again afterwards; with a
/// timestamp, only if it is signed again.
#[tokio::test]
async fn b17_a_replay_after_the_record_has_expired() {
    each_place(&STORES, async |place, framework| {
        let rig = Rig::new(place).await;
        // A cache would not age with the store.
        let idempotency = rig.idempotency().ttl(2 * LEASE).completed_cache(0, MS);
        let verifier = Verifier::new(scheme::MAUTIC, SECRET).unwrap();
        let receiver =
            Receiver::builder(verifier).idempotency(idempotency.allow_short_ttl()).build().unwrap();
        let app = App::new(receiver, answer(200));
        let server = app.serve(framework).await;
        let captured = raw(&Signer::new(scheme::MAUTIC, SECRET).unwrap().sign("{}").unwrap());
        deliver(server.addr, &captured).await;
        place.age(LEASE).await;
        assert_replay(&deliver(server.addr, &captured).await.1, 200);
        assert_eq!(app.runs(), 1);
        place.age(LEASE).await;
        let replay = deliver(server.addr, &captured).await.1;
        assert_eq!((replay.status, is_replay(&replay)), (200, false));
        assert_eq!(app.runs(), 2);
    })
    .await;
}

/// B18: a retry with another body under the same signed id is a duplicate after a success, and is
/// reported; after a failure it runs.
#[tokio::test]
async fn b18_another_body_under_the_same_id() {
    let logs = Logs::collect();
    each_place(&STORES, async |place, framework| {
        let rig = Rig::new(place).await;
        let history = History::default();
        let app =
            rig.app(history.handler(|fence| async move { if fence == 1 { 500 } else { 200 } }));
        let server = app.serve(framework).await;
        let of_try = |number: u32| raw(&signed("evt_1", &format!(r#"{{"try":{number}}}"#)));
        assert_eq!(post(server.addr, &of_try(1)).await.status, 500);
        assert_eq!(post(server.addr, &of_try(2)).await.status, 200);
        let key = history.runs()[0].key.to_string();
        let said = |text: &str| {
            let logs = logs.text();
            let mut lines = logs.lines().filter(|line| line.contains(&key));
            lines.any(|line| line.contains(text))
        };
        assert_replay(&post(server.addr, &of_try(2)).await, 200);
        assert!(said("same_body=true") && !said("same_body=false"));
        for number in [1, 3] {
            assert_replay(&post(server.addr, &of_try(number)).await, 200);
        }
        assert!(said("same_body=false"));
        assert_eq!(history.fences(), [1, 2]);
    })
    .await;
}

/// B25: a redirect or a client error is a failure, and the retry runs.
#[tokio::test]
async fn b25_redirects_and_client_errors_are_failures() {
    each_place(&STORES, async |place, framework| {
        let rig = Rig::new(place).await;
        for status in [302, 404, 422] {
            let runs = AtomicUsize::new(0);
            let app = rig.app(Arc::new(move |_| {
                let first = runs.fetch_add(1, SeqCst) == 0;
                Box::pin(async move { if first { status } else { 200 } })
            }));
            let server = app.serve(framework).await;
            let event = event(&format!("evt_{status}"));
            assert_eq!(post(server.addr, &event).await.status, status);
            let retry = post(server.addr, &event).await;
            assert_eq!((retry.status, is_replay(&retry)), (200, false));
            assert_replay(&post(server.addr, &event).await, 200);
        }
    })
    .await;
}

/// B27: a claim with an expired lease is held, and its delivery gets 503, until somebody calls
/// `forget`.
#[tokio::test]
async fn b27_a_lapsed_claim_is_held_until_it_is_forgotten() {
    each_place(&STORES, async |place, framework| {
        let rig = Rig::new(place).await;
        let receiver = receiver(rig.idempotency().on_lease_expiry(OnLeaseExpiry::Hold));
        let request = signed("evt_1", "{}");
        let head = RequestHead::new(&request.headers);
        let body = futures_util::stream::iter([Ok::<_, std::io::Error>(request.body.clone())]);
        let admission = receiver.clone().or_timer(sleep).admit(&head, body).await;
        let Ok(Admission::Admitted(admitted)) = admission else {
            panic!("{admission:?}");
        };
        let key = admitted.delivery().claim().unwrap().key();
        drop(admitted); // as by a crash: neither completed nor released
        place.age(LEASE).await;

        let app = App::new(receiver.clone(), answer(200));
        let server = app.serve(framework).await;
        for _ in 0..3 {
            assert_in_flight(&post(server.addr, &raw(&request)).await);
        }
        assert_eq!(app.runs(), 0);
        assert!(receiver.forget(&key).await.unwrap());
        assert_eq!(post(server.addr, &raw(&request)).await.status, 200);
        assert_replay(&post(server.addr, &raw(&request)).await, 200);
        assert_eq!(app.runs(), 1);
    })
    .await;
}
