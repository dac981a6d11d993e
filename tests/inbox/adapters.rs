//! Routes without a handler: `Router::inbox` on axum and `inbox` on actix-web.

use std::panic::{AssertUnwindSafe, catch_unwind};

use actix_web::web;
use axum::Router;
use http::Method;
use integration_tests::{
    Folder, Response, call_actix, call_axum, each_store, is_replay, to_actix, to_axum,
};
use webhook_verify::{
    Receiver, Scheme, SqliteStore, Verifier,
    inbox::{Entry, EntryState, Inbox},
    scheme,
    testing::{SignedRequest, Signer},
};
use webhook_verify_actix::{inbox, webhook};
use webhook_verify_axum::RouterExt as _;

use crate::common::{Fault, Faults, STORES, entries, open, until};

const SECRET: &str = "a long secret of the sender, for tests";

/// An inbox in a file.
struct Rig {
    _folder: Folder,
    inbox: Inbox,
}

impl Rig {
    async fn new() -> Self {
        let folder = Folder::new("inbox");
        let url = format!("sqlite://{}", folder.path().join("inbox.db").display());
        let inbox = Inbox::new(SqliteStore::connect(&url).await.unwrap(), "tests");
        Self { _folder: folder, inbox }
    }

    fn receiver(&self, scheme: Scheme) -> Receiver {
        let verifier = Verifier::new(scheme, SECRET).unwrap();
        Receiver::builder(verifier).inbox(&self.inbox).build().unwrap()
    }

    async fn entries(&self) -> Vec<Entry> {
        self.inbox.list(&self.inbox.filter()).await.unwrap()
    }

    async fn bodies(&self) -> Vec<String> {
        let entries = self.entries().await;
        entries.iter().map(|it| String::from_utf8(it.event.body.to_vec()).unwrap()).collect()
    }
}

fn signed(scheme: Scheme, body: &str) -> SignedRequest {
    Signer::new(scheme, SECRET).unwrap().target("/in/hook").sign(body.to_owned()).unwrap()
}

/// Sends the request to a nested route of each framework.
async fn send(receiver: &Receiver, method: &Method, request: &SignedRequest) -> [Response; 2] {
    let inner = Router::new().inbox("/hook", receiver.clone());
    let mut sent = to_axum("/in/hook", request);
    *sent.method_mut() = method.clone();
    let on_axum = call_axum(Router::new().nest("/in", inner), sent).await;

    let scope = web::scope("/in").service(inbox("/hook", receiver.clone()));
    let configure = |config: &mut web::ServiceConfig| {
        config.service(scope);
    };
    let sent = to_actix("/in/hook", request).method(method.as_str().parse().unwrap());
    [on_axum, call_actix(configure, sent).await]
}

#[actix_web::test]
async fn each_event_is_stored_once_and_acknowledged() {
    let rig = Rig::new().await;
    let receiver = rig.receiver(scheme::MAUTIC);
    let body = r#"{"mautic.lead_post_delete":[{"id":1},{"id":2}]}"#;
    let mut request = signed(scheme::MAUTIC, body);
    let responses = send(&receiver, &Method::POST, &request).await;
    // The second framework gets a duplicate.
    for (response, replay) in responses.iter().zip([false, true]) {
        assert_eq!((response.status, response.text(), is_replay(response)), (204, "", replay));
    }
    assert_eq!(rig.bodies().await, [r#"{"id":1}"#, r#"{"id":2}"#]);

    request.body = body.replace('2', "3").into();
    let responses = send(&receiver, &Method::POST, &request).await;
    assert_eq!(responses.map(|response| response.status), [401, 401]);
    assert_eq!(rig.entries().await.len(), 2);
}

#[actix_web::test]
async fn every_method_of_a_sender_is_accepted_and_no_other() {
    let any = [Method::POST, Method::GET, Method::PUT, Method::PATCH, Method::DELETE];
    let with_method = Scheme::builder("acme").signature_header("acme-signature");
    let with_method = with_method.signed_content("{method}\n{body}").build().unwrap();
    let rows =
        [(scheme::GITHUB, &any[..1]), (scheme::PIPEFORCE_TOKEN, &any[..2]), (with_method, &any)];
    for (scheme, used) in rows {
        let rig = Rig::new().await;
        let receiver = rig.receiver(scheme.clone());
        for method in any.iter().chain(&[Method::OPTIONS]) {
            let signer = Signer::new(scheme.clone(), SECRET).unwrap().target("/in/hook");
            let request = signer.method(method.as_str()).sign("{}").unwrap();
            for response in send(&receiver, method, &request).await {
                let (status, allow) = (response.status, response.header("allow").is_some());
                let expected = if used.contains(method) { (204, false) } else { (405, true) };
                assert_eq!((status, allow), expected, "{} {method}", scheme.name());
            }
        }
    }
}

/// A worker could not distinguish its events from others.
#[actix_web::test]
async fn test_payloads_are_acknowledged_and_not_stored() {
    let rig = Rig::new().await;
    let receiver = rig.receiver(scheme::MAUTIC);
    let body = r#"{"mautic.lead_post_delete":[{"id":1}],"timestamp":"2026-11-22T00:10:00+00:00"}"#;
    let request = signed(scheme::MAUTIC, body);
    let responses = send(&receiver, &Method::POST, &request).await;
    assert_eq!(responses.map(|response| response.status), [204, 204]);
    assert_eq!(rig.bodies().await, [""; 0]);
}

#[tokio::test]
async fn a_handler_needs_a_receiver_without_an_inbox_and_no_handler_one_with() {
    let rig = Rig::new().await;
    let with = || rig.receiver(scheme::GITHUB);
    let without = || Receiver::new(Verifier::new(scheme::GITHUB, SECRET).unwrap());
    let handled = "/hook: the receiver has an inbox: call `inbox`";
    let unhandled = "/hook: the receiver has no inbox: call `webhook`";
    let rows: [(&dyn Fn(), &str); 4] = [
        (&|| drop(Router::<()>::new().webhook("/hook", with(), async || ())), handled),
        (&|| drop(webhook("/hook", with(), async || "")), handled),
        (&|| drop(Router::<()>::new().inbox("/hook", without())), unhandled),
        (&|| drop(inbox("/hook", without())), unhandled),
    ];
    for (build, expected) in rows {
        let panic = catch_unwind(AssertUnwindSafe(build)).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), expected);
    }
}

/// The adapter's future is dropped during the insert, as a server does when the client disconnects.
/// A sender that does not wait for the response may not send the events again.
#[actix_web::test]
async fn a_client_that_disconnects_does_not_stop_the_insert() {
    each_store(&STORES, async |place| {
        let (stored, faults) = open(place).await;
        let receiver = Receiver::builder(Verifier::new(scheme::GITHUB, SECRET).unwrap());
        let receiver = receiver.inbox(&stored).build().unwrap();

        let app = Router::new().inbox("/", receiver.clone());
        let on_axum = call_axum(app, to_axum("/", &signed(scheme::GITHUB, r#"{"id":1}"#)));
        drop_during_insert(on_axum, &stored, &faults, 1).await;

        let configure = |config: &mut web::ServiceConfig| {
            config.service(inbox("/", receiver));
        };
        let on_actix = to_actix("/", &signed(scheme::GITHUB, r#"{"id":2}"#));
        drop_during_insert(call_actix(configure, on_actix), &stored, &faults, 2).await;
    })
    .await;
}

/// Drops a response while the store waits to insert the event, and waits until so many events are
/// stored. The shared insert never ends, so the receiver has to store the delivery by itself.
async fn drop_during_insert(
    response: impl Future<Output = Response>,
    inbox: &Inbox,
    faults: &Faults,
    count: usize,
) {
    faults.set("insert", Fault::Held);
    faults.hang(1);
    tokio::select! {
        biased;
        response = response => panic!("{} before the event is stored", response.status),
        () = faults.until_calls("insert", 1) => {}
    }
    assert_eq!(entries(inbox).await.len(), count - 1);
    faults.clear();
    until(inbox, EntryState::Waiting, count).await;
}
