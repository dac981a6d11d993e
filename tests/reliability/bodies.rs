//! `Replay::Body` on every store, behind both frameworks.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use integration_tests::{
    App, Framework, Place, Reply, ReplyBody, STORES, Server, each_store, exchange, is_replay,
};
use webhook_verify::{Receiver, Verifier, idempotency::Replay, scheme};

use crate::rig::*;

const TTL: std::time::Duration = std::time::Duration::from_secs(8 * 24 * 3600);
const XML: &str = "text/xml";

/// Returns the receiver of one more process, with the largest limit.
async fn receiver(place: &Place, namespace: &str) -> Receiver {
    let idempotency = idempotency(place.open().await, namespace)
        .ttl(TTL)
        .replay(Replay::Body { limit: Replay::MAX_BODY });
    Receiver::builder(Verifier::new(scheme::STANDARD_WEBHOOKS, SECRET).unwrap())
        .idempotency(idempotency)
        .build()
        .unwrap()
}

/// Returns the body of a run: different in each, and as long as may be stored.
fn body(run: usize) -> Vec<u8> {
    let mut body: Vec<_> = (0..Replay::MAX_BODY).map(|index| (index * 7 % 256) as u8).collect();
    body[0] = run as u8;
    body
}

async fn serve(framework: Framework, receiver: Receiver) -> (App, Server) {
    let runs = AtomicUsize::new(0);
    let app = App::replying(receiver, move |_| {
        let body = ReplyBody::Whole(body(runs.fetch_add(1, SeqCst) + 1).into());
        let headers = vec![("content-type", XML.to_owned()), ("set-cookie", "a=b".to_owned())];
        std::future::ready(Reply { status: 201, headers, body })
    });
    let server = app.serve(framework).await;
    (app, server)
}

async fn assert_body(server: &Server, event: &[u8], replayed: bool, run: usize) {
    let response = exchange(server.addr, event).await;
    assert_eq!((response.status, is_replay(&response)), (201, replayed), "{:?}", response.headers);
    assert!(response.body == body(run), "the body of another run");
    assert_eq!(response.header("content-type"), Some(XML));
    assert_eq!(response.header("set-cookie").is_some(), !replayed);
}

/// Each process sends the stored body again, until the record is deleted or expires.
#[tokio::test]
async fn b29_duplicates_get_the_stored_body() {
    each_store(&STORES, async |place| {
        for (framework, other) in
            [(Framework::Axum, Framework::Actix), (Framework::Actix, Framework::Axum)]
        {
            eprintln!("on {framework:?}");
            let namespace = format!("bodies {framework:?}");
            let first = receiver(place, &namespace).await;
            let (app, server) = serve(framework, first.clone()).await;
            let event = event("evt_1");
            assert_body(&server, &event, false, 1).await;
            // Twice, because the second is known from the cache.
            for _ in 0..2 {
                assert_body(&server, &event, true, 1).await;
            }
            // In memory, each process has records of its own.
            if place.kind != integration_tests::Kind::Memory {
                let (later, server) = serve(other, receiver(place, &namespace).await).await;
                assert_body(&server, &event, true, 1).await;
                assert_eq!(later.runs(), 0);
            }
            place.age(TTL).await;
            let (again, server) = match place.kind {
                integration_tests::Kind::Memory => (app, server),
                _ => serve(framework, receiver(place, &namespace).await).await,
            };
            let run = again.runs() + 1;
            assert_body(&server, &event, false, run).await;
            assert_body(&server, &event, true, run).await;
        }
    })
    .await;
}

/// A deleted record takes its body along.
#[tokio::test]
async fn b29_forget_deletes_the_body() {
    each_store(&STORES, async |place| {
        let receiver = receiver(place, "forget").await;
        let key = std::sync::Arc::new(std::sync::Mutex::new(None));
        let (noted, runs) = (std::sync::Arc::clone(&key), AtomicUsize::new(0));
        let app = App::replying(receiver.clone(), move |delivery| {
            *noted.lock().unwrap() = Some(delivery.claim().unwrap().key());
            // Only the first run has a body.
            let body: &[u8] = if runs.fetch_add(1, SeqCst) == 0 { b"first" } else { b"" };
            let body = ReplyBody::Whole(bytes::Bytes::from_static(body));
            std::future::ready(Reply { body, ..Reply::from(200) })
        });
        let server = app.serve(Framework::Actix).await;
        let event = event("evt_1");
        for _ in 0..2 {
            assert_eq!(exchange(server.addr, &event).await.body, b"first");
        }
        let key = key.lock().unwrap().take().unwrap();
        assert!(receiver.forget(&key).await.unwrap());
        for _ in 0..2 {
            assert_eq!(exchange(server.addr, &event).await.body, b"");
        }
        assert_eq!(app.runs(), 2);
    })
    .await;
}
