//! `Replay::Body`: duplicates get the body and the content type of the handler's response.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use webhook_verify::{
    Idempotency, MemoryStore,
    adapter::Admission,
    idempotency::{
        ClaimKey, ClaimOutcome, ClaimRequest, ClaimStore, Holder, Replay, Settled, Step, StoreError,
    },
    scheme::{self, Identity},
};

use crate::common::*;

const LIMIT: usize = 1000;
const XML: &str = "text/xml; charset=utf-8";

/// Returns a site that keeps bodies of up to [`LIMIT`] bytes, and its store without a cache.
async fn site(
    framework: Framework,
    reply: impl Fn() -> Reply + Send + Sync + 'static,
) -> (Site, Arc<Watched>) {
    let store = Watched::new();
    let idempotency = keeping(Idempotency::new(Arc::clone(&store), "tests"));
    (on(framework, idempotency, reply).await, store)
}

fn keeping(idempotency: Idempotency) -> Idempotency {
    idempotency.replay(Replay::Body { limit: LIMIT })
}

async fn on(
    framework: Framework,
    idempotency: Idempotency,
    reply: impl Fn() -> Reply + Send + Sync + 'static,
) -> Site {
    let receiver = receiver_with(scheme::GITHUB, idempotency);
    let app = App::replying(receiver, move |_| std::future::ready(reply()));
    Site::serving(framework, app).await
}

fn whole(body: impl Into<Bytes>) -> ReplyBody {
    ReplyBody::Whole(body.into())
}

/// Returns a body in pieces, some of them empty, and with a failure at its end if it `fails`.
fn pieces(body: &[u8], fails: bool) -> ReplyBody {
    let mut pieces: Vec<io::Result<Bytes>> = vec![Ok(Bytes::new())];
    for chunk in body.chunks(300) {
        pieces.extend([Ok(Bytes::copy_from_slice(chunk)), Ok(Bytes::new())]);
    }
    if fails {
        pieces.push(Err(io::Error::other("the template ended")));
    }
    ReplyBody::Pieces(stream::iter(pieces).boxed())
}

fn reply(status: u16, content_type: Option<&str>, body: ReplyBody) -> Reply {
    let mut headers = vec![
        ("set-cookie", "session=secret".to_owned()),
        ("x-request", "7".to_owned()),
        ("content-language", "en".to_owned()),
    ];
    headers.extend(content_type.map(|it| ("content-type", it.to_owned())));
    Reply { status, headers, body }
}

/// Returns a body of this length whose bytes differ from place to place.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index % 251) as u8).collect()
}

/// Checks a response to a duplicate, and that nothing else of the handler's response is in it.
#[track_caller]
fn assert_again(response: &Response, status: u16, content_type: Option<&str>, body: &[u8]) {
    assert_eq!(response.status, status, "{response:?}");
    assert!(is_replay(response), "{response:?}");
    assert_eq!(response.body, body);
    assert_eq!(response.header("content-type"), content_type, "{response:?}");
    for name in ["set-cookie", "x-request", "content-language"] {
        assert_eq!(response.header(name), None, "{response:?}");
    }
}

/// Whatever the framework adds to a response without a content type.
fn its_type(response: &Response) -> Option<String> {
    response.header("content-type").map(str::to_owned)
}

#[tokio::test]
async fn duplicates_get_the_body_and_its_content_type() {
    each_framework(|framework| async move {
        for status in [200, 201, 202, 299] {
            for content_type in [Some(XML), Some("application/json"), None] {
                for len in [1, 299, 301, LIMIT - 1, LIMIT] {
                    for in_pieces in [false, true] {
                        let case = format!("{status}, {content_type:?}, {len}, {in_pieces}");
                        eprintln!("{case}");
                        let (site, store) = site(framework, move || {
                            let body = bytes(len);
                            let body = if in_pieces { pieces(&body, false) } else { whole(body) };
                            reply(status, content_type, body)
                        })
                        .await;
                        let request = signed(scheme::GITHUB, "{}");
                        let first = site.post(&request).await;
                        assert_fresh(&first, status);
                        assert_eq!(first.body, bytes(len), "{case}");
                        assert_eq!(first.header("set-cookie"), Some("session=secret"));
                        let content_type = its_type(&first);
                        assert_eq!(store.take_log(), ["claim", "complete_with"], "{case}");
                        for _ in 0..2 {
                            let again = site.post(&request).await;
                            assert_again(&again, status, content_type.as_deref(), &bytes(len));
                            assert_eq!(store.take_log(), ["claim", "response"], "{case}");
                        }
                        assert_eq!(site.runs(), 1, "{case}");
                    }
                }
            }
        }
    })
    .await;
}

/// A body over the limit reaches the sender whole and in order. Duplicates get an empty one.
#[tokio::test]
async fn b30_a_body_over_the_limit_is_not_stored() {
    let logs = Logs::collect();
    each_framework(|framework| async move {
        for len in [LIMIT + 1, LIMIT + 299, 10 * LIMIT, 1 << 20] {
            for in_pieces in [false, true] {
                let (site, store) = site(framework, move || {
                    let body = bytes(len);
                    let body = if in_pieces { pieces(&body, false) } else { whole(body) };
                    reply(200, Some(XML), body)
                })
                .await;
                let request = signed(scheme::GITHUB, format!("{{\"long\":{len}}}"));
                let first = site.post(&request).await;
                assert_fresh(&first, 200);
                assert_eq!(first.body, bytes(len), "{len}, {in_pieces}");
                assert_eq!(store.take_log(), ["claim", "complete"]);
                assert_again(&site.post(&request).await, 200, None, b"");
                assert_eq!(site.runs(), 1);
            }
        }
    })
    .await;
    assert!(logs.text().contains("it is longer than the limit"));
}

/// What is over the limit is not waited for: the delivery is completed, and the sender gets the
/// start of the body before the rest exists.
#[tokio::test]
async fn a_long_body_is_passed_on_while_it_is_made() {
    each_framework(|framework| async move {
        let gate = Gate::new();
        let made = Arc::clone(&gate);
        let (site, store) = site(framework, move || {
            let gate = Arc::clone(&made);
            let start = stream::iter([300, 300, 401].map(|len| Ok(Bytes::from(bytes(len)))));
            let rest = stream::once(async move {
                gate.wait().await;
                Ok(Bytes::from_static(b"the rest"))
            });
            let pieces: BoxStream<'static, _> = start.chain(rest).boxed();
            reply(200, Some(XML), ReplyBody::Pieces(pieces))
        })
        .await;
        let request = signed(scheme::GITHUB, "{}");
        let mut connection = site.send(&request).await;
        store.until_completes(1).await;
        assert!(connection.anything_within(seconds(30)).await);
        gate.open(1);
        let first = connection.response().await.unwrap();
        let expected = [bytes(300), bytes(300), bytes(401), b"the rest".to_vec()].concat();
        assert_eq!(first.body, expected);
        assert_again(&site.post(&request).await, 200, None, b"");
    })
    .await;
}

/// A body that fails cuts the connection, as without `Replay::Body`. The handler has succeeded, so
/// the delivery does not run again.
#[tokio::test]
async fn b30_a_body_that_fails_is_not_stored() {
    let logs = Logs::collect();
    each_framework(|framework| async move {
        for len in [0, 10, LIMIT - 1, LIMIT + 1] {
            let (site, store) =
                site(framework, move || reply(200, Some(XML), pieces(&bytes(len), true))).await;
            let request = signed(scheme::GITHUB, "{}");
            let mut connection = site.send(&request).await;
            assert_eq!(connection.response().await, None, "{len}");
            store.until_completes(1).await;
            assert_eq!(store.take_log(), ["claim", "complete"]);
            assert_again(&site.post(&request).await, 200, None, b"");
            assert_eq!(site.runs(), 1);
        }
    })
    .await;
    assert!(logs.text().contains("it failed"));
    assert!(!logs.text().contains("the template ended"));
}

/// A response without anything to store is completed as without `Replay::Body`.
#[tokio::test]
async fn empty_bodies() {
    each_framework(|framework| async move {
        for (status, content_type, call) in [
            (200, None, "complete"),
            (200, Some(XML), "complete_with"),
            (204, None, "complete"),
            (204, Some(XML), "complete"),
        ] {
            for in_pieces in [false, true] {
                let (site, store) = site(framework, move || {
                    let body = if in_pieces { pieces(b"", false) } else { whole("") };
                    reply(status, content_type, body)
                })
                .await;
                let request = signed(scheme::GITHUB, "{}");
                let first = site.post(&request).await;
                assert_fresh(&first, status);
                if its_type(&first).as_deref() == content_type {
                    assert_eq!(store.take_log(), ["claim", call], "{status} {content_type:?}");
                    let content_type = content_type.filter(|_| status != 204);
                    assert_again(&site.post(&request).await, status, content_type, b"");
                }
                assert_eq!(site.runs(), 1);
            }
        }
    })
    .await;
}

/// Without its content encoding, an encoded body would be garbage.
#[tokio::test]
async fn a_body_with_a_content_encoding_is_not_stored() {
    each_framework(|framework| async move {
        for (encoding, is_stored) in [("gzip", false), ("br", false), ("Identity", true)] {
            let (site, _) = site(framework, move || {
                let mut reply = reply(200, Some(XML), whole("encoded"));
                reply.headers.push(("content-encoding", encoding.to_owned()));
                reply
            })
            .await;
            let request = signed(scheme::GITHUB, "{}");
            assert_eq!(site.post(&request).await.body, b"encoded");
            let again = site.post(&request).await;
            match is_stored {
                true => assert_again(&again, 200, Some(XML), b"encoded"),
                false => assert_again(&again, 200, None, b""),
            }
        }
        // So would be a content type that does not fit.
        let (site, _) =
            site(framework, || reply(200, Some(&"x".repeat(256)), whole("typed"))).await;
        let request = signed(scheme::GITHUB, "{}");
        assert_eq!(site.post(&request).await.body, b"typed");
        assert_again(&site.post(&request).await, 200, None, b"");
    })
    .await;
}

/// The body of a failure is not stored, and that of a status that is replaced is not, either.
#[tokio::test]
async fn bodies_of_other_statuses() {
    each_framework(|framework| async move {
        let runs = Arc::new(AtomicUsize::new(0));
        let (site, store) = site(framework, move || {
            let status = [500, 404, 206][runs.fetch_add(1, SeqCst)];
            reply(status, Some(XML), whole(format!("run with {status}")))
        })
        .await;
        let request = signed(scheme::GITHUB, "{}");
        for status in [500, 404, 206] {
            let response = site.post(&request).await;
            assert_fresh(&response, status);
            assert_eq!(response.text(), format!("run with {status}"));
        }
        assert_again(&site.post(&request).await, 204, None, b"");
        let calls = ["claim", "release", "claim", "release", "claim", "complete"];
        assert_eq!(store.take_log()[..6], calls);
        assert_eq!(site.runs(), 3);
    })
    .await;
}

/// The cache spares the claims of duplicates. Bodies are always read from the store.
#[tokio::test]
async fn duplicates_that_the_cache_knows() {
    each_framework(|framework| async move {
        let store = Watched::new();
        let idempotency = Idempotency::new(Arc::clone(&store), "tests");
        let idempotency = keeping(idempotency).completed_cache(100, seconds(60));
        let site = on(framework, idempotency, || reply(200, Some(XML), whole("<x/>"))).await;
        let request = signed(scheme::GITHUB, "{}");
        assert_fresh(&site.post(&request).await, 200);
        for _ in 0..3 {
            assert_again(&site.post(&request).await, 200, Some(XML), b"<x/>");
        }
        let calls = ["claim", "complete_with", "claim", "response", "response", "response"];
        assert_eq!(store.take_log(), calls);
    })
    .await;
}

/// Without the store there is no body, so the sender has to ask again.
#[tokio::test]
async fn b30_a_store_that_fails() {
    each_framework(|framework| async move {
        let (site, store) = site(framework, || reply(200, Some(XML), whole("<x/>"))).await;
        let request = signed(scheme::GITHUB, "{}");
        store.fail_completes.store(2, SeqCst);
        assert_fresh(&site.post(&request).await, 200);
        assert_eq!(store.completes(), 3);
        store.fail_responses.store(1, SeqCst);
        let refused = site.post(&request).await;
        assert_eq!((refused.status, refused.text()), (503, "temporarily unavailable"));
        assert_again(&site.post(&request).await, 200, Some(XML), b"<x/>");
        assert_eq!(site.runs(), 1);
    })
    .await;
}

/// With another setting, the same records give the responses of that setting.
#[tokio::test]
async fn other_settings_on_the_same_records() {
    each_framework(|framework| async move {
        let store = Arc::new(MemoryStore::new());
        let on = async |replay| {
            let idempotency = Idempotency::new(Arc::clone(&store), "tests").replay(replay);
            on(framework, idempotency, || reply(201, Some(XML), whole("<x/>"))).await
        };
        let (one, two) = (signed(scheme::GITHUB, "{}"), signed(scheme::GITHUB, "[]"));
        let (with, without) = (on(Replay::BODY).await, on(Replay::Status).await);
        assert_fresh(&with.post(&one).await, 201);
        assert_fresh(&without.post(&two).await, 201);
        assert_again(&with.post(&one).await, 201, Some(XML), b"<x/>");
        assert_again(&with.post(&two).await, 201, None, b"");
        assert_again(&without.post(&one).await, 201, None, b"");
        assert_again(&on(Replay::NoContent).await.post(&one).await, 204, None, b"");
        let shorter = on(Replay::Body { limit: 1 }).await;
        assert_again(&shorter.post(&one).await, 201, Some(XML), b"<x/>");
    })
    .await;
}

/// The body is read to its end even if the client is gone, and the retry gets it.
#[tokio::test]
async fn b30_a_client_that_disconnects_gets_the_body_with_its_retry() {
    each_framework(|framework| async move {
        let (gate, began) = (Gate::new(), Arc::new(Mutex::new(0)));
        let (opening, begins) = (Arc::clone(&gate), Arc::clone(&began));
        let (site, store) = site(framework, move || {
            *begins.lock().unwrap() += 1;
            let gate = Arc::clone(&opening);
            let made = stream::once(async move {
                gate.wait().await;
                Ok(Bytes::from_static(b"<x/>"))
            });
            reply(200, Some(XML), ReplyBody::Pieces(made.boxed()))
        })
        .await;
        let request = signed(scheme::GITHUB, "{}");
        let connection = site.send(&request).await;
        gate.entered().await;
        drop(connection);
        gate.open(1);
        store.until_completes(1).await;
        assert_again(&site.post(&request).await, 200, Some(XML), b"<x/>");
        assert_eq!(*began.lock().unwrap(), 1);
    })
    .await;
}

/// A store that implements only what it has to.
#[derive(Default)]
struct Plain(MemoryStore);

impl ClaimStore for Plain {
    async fn claim(&self, requests: &[ClaimRequest]) -> Result<Vec<ClaimOutcome>, StoreError> {
        self.0.claim(requests).await
    }

    async fn settle(&self, holders: &[Holder], step: Step) -> Result<Vec<Settled>, StoreError> {
        self.0.settle(holders, step).await
    }

    async fn forget(&self, key: &ClaimKey) -> Result<bool, StoreError> {
        self.0.forget(key).await
    }

    async fn purge(&self, max: usize) -> Result<usize, StoreError> {
        self.0.purge(max).await
    }
}

#[tokio::test]
async fn a_store_that_keeps_no_responses() {
    each_framework(|framework| async move {
        let idempotency = keeping(Idempotency::new(Plain::default(), "tests"));
        let site = on(framework, idempotency, || reply(201, Some(XML), whole("<x/>"))).await;
        let request = signed(scheme::GITHUB, "{}");
        assert_fresh(&site.post(&request).await, 201);
        assert_again(&site.post(&request).await, 201, None, b"");
        assert_eq!(site.runs(), 1);
    })
    .await;
}

/// The limit is checked at the start, and so is whether there is one response for each claim.
#[test]
fn settings_that_are_refused() {
    let build = |scheme: webhook_verify::Scheme, set: &dyn Fn(Idempotency) -> Idempotency| {
        let verifier = webhook_verify::Verifier::new(scheme, SECRET).unwrap();
        let idempotency = set(Idempotency::new(MemoryStore::new(), "tests"));
        let built = webhook_verify::Receiver::builder(verifier).idempotency(idempotency).build();
        built.map(drop).map_err(|error| error.kind().to_string())
    };
    for limit in [1, 8 * 1024, Replay::MAX_BODY] {
        build(scheme::GITHUB, &|it| it.replay(Replay::Body { limit })).unwrap();
    }
    for limit in [0, Replay::MAX_BODY + 1, usize::MAX] {
        let refused = build(scheme::GITHUB, &|it| it.replay(Replay::Body { limit })).unwrap_err();
        assert!(refused.starts_with("replay: "), "{refused}");
    }
    let refused = build(scheme::MAUTIC, &|it| it.replay(Replay::BODY)).unwrap_err();
    assert!(refused.starts_with("replay: ") && refused.contains("identity"), "{refused}");
    build(scheme::MAUTIC, &|it| it.replay(Replay::BODY).identity(Identity::BodyDigest)).unwrap();
}

/// An adapter that records nothing stays valid: duplicates get an empty body.
#[tokio::test]
async fn an_adapter_that_records_nothing() {
    let idempotency = keeping(Idempotency::new(MemoryStore::new(), "tests"));
    let receiver = receiver_with(scheme::GITHUB, idempotency);
    let request = signed(scheme::GITHUB, "{}");
    finish(admitted(&receiver, &request, never).await, 200).await.unwrap();
    let Ok(Admission::Answer(answer)) = admit(&receiver, &request, never).await else {
        panic!("a duplicate");
    };
    assert_eq!((answer.status(), answer.body().len()), (200, 0));
}
