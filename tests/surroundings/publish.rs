//! The example `publish`, with a NATS server.

// The example has no library, and its tests are not in the file that users copy.
#[path = "../../examples/publish.rs"]
#[allow(dead_code, reason = "its main is not called")]
mod example;

use std::{future::pending, time::Duration};

use async_nats::jetstream::{Context, message::StreamMessage};
use axum::{Router, body::Body, http::Request};
use integration_tests::{Folder, NatsServer, soon};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, spawn_blocking},
    time::sleep,
};
use tower::ServiceExt as _;
use webhook_verify::{
    Secret,
    inbox::{Inbox, InboxEvent},
    scheme,
    testing::Signer,
};

use self::example::{MAX_BODY, STREAM, WINDOW, app, connect, open, publish, worker};

const MS: Duration = Duration::from_millis(1);
const TYPE: &str = "mautic.page_on_hit";

/// A receiver with an inbox in a file of its own.
struct Site {
    url: String,
    inbox: Inbox,
    app: Router,
    _folder: Folder,
}

impl Site {
    async fn new() -> Self {
        let folder = Folder::new("publish");
        let url = format!("sqlite://{}", folder.path().join("publish.db").display());
        let inbox = open(&url).await.unwrap();
        let app = app(&inbox, Secret::new("test").unwrap()).unwrap();
        Self { url, inbox, app, _folder: folder }
    }

    async fn send(&self, body: String) -> u16 {
        let signed = Signer::new(scheme::MAUTIC, "test").unwrap().sign(body).unwrap();
        let request = signed.headers.iter();
        let request =
            request.fold(Request::post("/"), |request, (name, value)| request.header(name, value));
        let request = request.body(Body::from(signed.body)).unwrap();
        self.app.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    /// Sends a batch of events.
    async fn accepts(&self, numbers: impl IntoIterator<Item = u64>) {
        let events: Vec<_> = numbers.into_iter().map(event).collect();
        assert_eq!(self.send(format!(r#"{{"{TYPE}":[{}]}}"#, events.join(","))).await, 204);
    }

    /// Starts the example's worker, with short pauses.
    fn works(&self, nats: &Context) -> Running {
        let worker = worker(&self.inbox, nats.clone()).backoff(10 * MS, 100 * MS);
        Running(tokio::spawn(worker.poll_every(20 * MS).run()).abort_handle())
    }

    /// Waits until all events are processed.
    async fn is_done(&self) {
        let done = async {
            while !self.inbox.stats().await.unwrap().is_empty() {
                sleep(20 * MS).await;
            }
        };
        soon("end of the events", done).await;
    }
}

/// A worker that is dropped, with its leases, when this is.
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn event(number: u64) -> String {
    format!(r#"{{"id":{number}}}"#)
}

async fn restarted(mut server: NatsServer) -> NatsServer {
    let restart = spawn_blocking(move || {
        server.restart();
        server
    });
    restart.await.unwrap()
}

async fn messages(nats: &Context) -> Vec<StreamMessage> {
    let mut stream = nats.get_stream(STREAM).await.unwrap();
    let count = stream.info().await.unwrap().state.messages;
    let mut messages = Vec::new();
    for number in 1..=count {
        messages.push(stream.get_raw_message(number).await.unwrap());
    }
    messages
}

fn bodies(messages: &[StreamMessage]) -> Vec<String> {
    messages.iter().map(|it| String::from_utf8(it.payload.to_vec()).unwrap()).collect()
}

fn types(messages: &[StreamMessage]) -> Vec<&str> {
    messages.iter().map(|it| it.headers.get("Webhook-Type").unwrap().as_str()).collect()
}

async fn started() -> (NatsServer, Context) {
    let server = spawn_blocking(NatsServer::start).await.unwrap();
    let nats = connect(&server.url()).await.unwrap();
    (server, nats)
}

#[tokio::test]
async fn a_retry_is_published_once_also_by_another_receiver() {
    let (_server, nats) = started().await;
    let (site, other) = (Site::new().await, Site::new().await);
    let _workers = (site.works(&nats), other.works(&nats));
    site.accepts([1, 2]).await;
    site.accepts([1, 2]).await;
    site.is_done().await;
    // As after a retry that a load balancer passes on to another receiver, in other batches.
    other.accepts([2]).await;
    other.accepts([3, 1]).await;
    other.is_done().await;
    site.accepts([3]).await;
    site.is_done().await;

    let messages = messages(&nats).await;
    assert_eq!(bodies(&messages), [1, 2, 3].map(event));
    assert_eq!(types(&messages), [TYPE; 3]);
    let stream = nats.get_stream(STREAM).await.unwrap();
    assert_eq!(stream.cached_info().config.duplicate_window, WINDOW);
}

/// The first worker dies after JetStream has the event, and before the inbox has the result.
#[tokio::test]
async fn a_worker_that_dies_before_it_settles_publishes_once() {
    let (_server, nats) = started().await;
    let site = Site::new().await;
    site.accepts([1, 2]).await;
    let (acks, mut acked) = mpsc::unbounded_channel();
    let publisher = nats.clone();
    let dying = site.inbox.worker(move |event: InboxEvent| {
        let (nats, acks) = (publisher.clone(), acks.clone());
        async move {
            acks.send((event.attempt(), publish(&nats, &event).await.unwrap())).unwrap();
            pending().await
        }
    });
    let dying = Running(tokio::spawn(dying.lease(1000 * MS).run()).abort_handle());
    let (attempt, ack) = soon("first acknowledgment", acked.recv()).await.unwrap();
    assert_eq!((attempt, ack.sequence, ack.duplicate), (1, 1, false));
    drop(dying);
    assert_eq!(bodies(&messages(&nats).await), [1].map(event));

    // Another process opens the file.
    let site = Site { inbox: open(&site.url).await.unwrap(), ..site };
    let _worker = site.works(&nats);
    site.is_done().await;
    let entries = site.inbox.list(&site.inbox.filter()).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.attempts).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(bodies(&messages(&nats).await), [1, 2].map(event));
}

/// The server does not run at first, and is killed while events arrive.
#[tokio::test]
async fn while_nats_is_down_events_are_accepted_and_published_later_in_order() {
    let server = NatsServer::stopped();
    let nats = connect(&server.url()).await.unwrap();
    let site = Site::new().await;
    let _worker = site.works(&nats);
    site.accepts([1]).await;
    site.accepts([2, 3]).await;
    let failed = async {
        while site.inbox.list(&site.inbox.filter()).await.unwrap()[0].error.is_none() {
            sleep(20 * MS).await;
        }
    };
    soon("first failure", failed).await;

    let mut server = restarted(server).await;
    site.accepts([4]).await;
    site.is_done().await;
    server.stop();
    for number in 5..=24 {
        site.accepts([number]).await;
    }
    let _server = restarted(server).await;
    site.accepts(25..=30).await;
    site.is_done().await;
    let expected: Vec<_> = (1..=30).map(event).collect();
    assert_eq!(bodies(&messages(&nats).await), expected);
}

#[tokio::test]
async fn the_longest_event_and_the_strangest_type_are_published() {
    let (_server, nats) = started().await;
    let site = Site::new().await;
    let _worker = site.works(&nats);
    let batch = |length| {
        let (start, end) = (r#"{"mautic.a\r\nNats-Msg-Id: 1":[{"text":""#, r#""}]}"#);
        format!("{start}{}{end}", "x".repeat(length - start.len() - end.len()))
    };
    assert_eq!(site.send(batch(MAX_BODY + 1)).await, 413);
    assert_eq!(site.send(batch(MAX_BODY)).await, 204);
    site.is_done().await;
    assert_eq!(types(&messages(&nats).await), ["mautic.a  Nats-Msg-Id: 1"]);
}
