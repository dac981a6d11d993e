//! A server that is down: the error of each call says why, although the pool hides it.

use std::{error::Error as _, pin::Pin};

use futures_util::future::join_all;
use webhook_verify::{
    idempotency::{Owner, Step, StoreError, StoredResponse},
    inbox::{
        Advance, Change, EntryHolder, Filter, InboxStore, Intake, LeaseRequest, NewEvent, Order,
        Retention, StoredEvent, Verdict,
    },
};

use super::*;

/// The limit of the calls that have one. It leaves time enough on any machine.
const LIMIT: Duration = Duration::from_secs(10);

type Call<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + 'a>>;

fn call<'a, T>(call: impl Future<Output = Result<T, StoreError>> + 'a) -> Call<'a> {
    Box::pin(async move { call.await.map(drop) })
}

#[tokio::test]
async fn each_call_says_why_a_stopped_server_gives_no_connection() {
    let mut server = PostgresServer::until_started().await;
    // Each call has a connection of its own, and none waits for a slot.
    let (store, _) = patient_store(pool(&server, 64).await).await;
    assert_eq!(store.claim_one(&request(1)).await.unwrap(), won(1));
    server.stop();

    let claims = [1, 2].map(|number| request(number).within(LIMIT));
    let holders = claims.each_ref().map(ClaimRequest::holder);
    let complete = Step::Complete { status: 200, ttl: HOUR };
    let response = StoredResponse::new("text/xml", b"<Response/>").unwrap();
    let of_claims = [
        ("claim", call(store.claim(&claims[..1]))),
        ("claim of several", call(store.claim(&claims))),
        ("complete", call(ClaimStore::settle(&store, &holders[..1], complete))),
        ("release", call(ClaimStore::settle(&store, &holders[..1], Step::Release))),
        ("extend", call(ClaimStore::settle(&store, &holders, Step::Extend { lease: HOUR }))),
        ("complete_with", call(store.complete_with(&holders[0], 200, HOUR, &response))),
        ("response", call(store.response(&claims[0].key, LIMIT))),
        ("forget", call(store.forget(&claims[0].key))),
        ("purge", call(ClaimStore::purge(&store, 10))),
    ];

    let owner = Owner::random().unwrap();
    let event = StoredEvent::new(claims[0].key, "mautic", "{}");
    let mut intake = Intake::new("inbox", &["crm"], vec![NewEvent::new(event, HOUR)]);
    intake.limit = LIMIT;
    let lease = |order| {
        let mut request = LeaseRequest::new("inbox", "crm", owner, 1, HOUR);
        (request.limit, request.order) = (LIMIT, order);
        request
    };
    let leases = [Order::None, Order::DeadBlocks].map(lease);
    let entry = [EntryHolder::new(1, "crm", owner)];
    let settlements = [entry[0].settlement(Verdict::Done)];
    let advance = Advance::new("inbox", "crm", b"key", 1, 1);
    let filter = Filter::new("inbox", 10);
    let retention = Retention::new(HOUR);
    let of_inbox = [
        ("insert", call(store.insert(&intake))),
        ("lease", call(store.lease(&leases[0]))),
        ("lease with an order", call(store.lease(&leases[1]))),
        ("extend of entries", call(InboxStore::extend(&store, &entry, HOUR, LIMIT))),
        ("settle of entries", call(InboxStore::settle(&store, &settlements, LIMIT))),
        ("advance", call(store.advance(&advance, LIMIT))),
        ("stats", call(store.stats("inbox"))),
        ("list", call(store.list(&filter))),
        ("change", call(store.change(&filter, Change::Discard))),
        ("purge of an inbox", call(store.purge_inbox("inbox", &retention, 10))),
        ("announce", call(store.announce("inbox"))),
        ("watch", call(store.watch("inbox", &|| ()))),
    ];

    let (names, calls): (Vec<_>, Vec<_>) = of_claims.into_iter().chain(of_inbox).unzip();
    let address = format!("127.0.0.1:{}", server.port());
    for (name, result) in names.into_iter().zip(join_all(calls).await) {
        let error = result.expect_err(name);
        let text = format!("{error:#} {error:?} {}", error.source().unwrap());
        assert!(text.contains("Connection refused"), "{name}: {text}");
        assert!(!text.contains(&address) && !text.contains("postgres@"), "{name}: {text}");
    }
    server.restart();
    comes_back(&store).await;
}
