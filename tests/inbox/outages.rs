//! A PostgreSQL server that is down: workers and receivers log the reason.

use std::error::Error as _;

use integration_tests::{Logs, PostgresServer, soon, unique};
use tokio::time::sleep;
use webhook_verify::{
    inbox::{EntryState, InboxEvent},
    scheme,
};

use crate::common::*;

#[tokio::test]
async fn the_log_says_why_a_stopped_server_gives_no_connection() {
    const REFUSED: &str = "Connection refused";
    let logs = Logs::collect();
    let mut server = PostgresServer::until_started().await;
    let (inbox, _) = open_url(&server.url(), &unique("inbox")).await;
    store(&inbox, ["evt-1"]).await;
    let working = work(inbox.worker(async |_: InboxEvent| Ok(())).poll_every(5 * MS));
    until(&inbox, EntryState::Done, 1).await;
    server.stop();
    let leased = async {
        while !logs.text().lines().any(|it| it.contains("no events leased") && it.contains(REFUSED))
        {
            sleep(10 * MS).await;
        }
    };
    soon("reason for which no events are leased", leased).await;
    let receiver = receiver(scheme::STANDARD_WEBHOOKS, &inbox);
    let refused = async {
        loop {
            let rejection = take(&receiver, &single("evt-2")).await.unwrap_err();
            assert_eq!(rejection.status(), 503, "{rejection:?}");
            if rejection.source().unwrap().to_string().contains(REFUSED) {
                return;
            }
        }
    };
    soon("reason for which an event is refused", refused).await;
    assert!(is_logged(&logs, &inbox, REFUSED));
    server.restart();
    let stored = async {
        while take(&receiver, &single("evt-2")).await.is_err() {
            sleep(10 * MS).await;
        }
    };
    soon("event stored after the outage", stored).await;
    until(&inbox, EntryState::Done, 2).await;
    working.stop().await;
}
