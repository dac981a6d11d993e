//! D6 for handlers whose effects are in the database of the claims, and are committed with them:
//! each event has one effect, whatever happens.

use std::net::SocketAddr;

use integration_tests::{Kind, Place};
use sqlx::{Connection as _, PgConnection};

use super::{
    history::{LEASE, Member, suffer},
    runs::{Restarted, traced},
    stores::{execute, watch},
};

/// Returns the number of effects, and of events that have one.
async fn effects(place: &Place) -> (i64, i64) {
    let mut connection = PgConnection::connect(&place.url).await.unwrap();
    sqlx::query_as("SELECT count(*), count(DISTINCT event) FROM effect")
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_effect_for_each_event() {
    let place = Place::new(Kind::Postgres);
    watch(&place).await;
    // Without a key, so that the table can hold a second effect.
    execute(&place, "CREATE TABLE effect (event text NOT NULL)").await;
    let mut members = Vec::new();
    for framework in ["axum", "actix", "axum", "actix"] {
        let (server, url) = (place.server.unwrap(), place.url.clone());
        let start = move |proxy: SocketAddr| {
            let store = url.replace(&server.to_string(), &proxy.to_string());
            Restarted::start(move || {
                let mut command = traced(framework, &store, LEASE, "150");
                command.args(["--effect", "within"]);
                command
            })
        };
        members.push(Member::start(server, start).await);
    }
    // Each event is done, and a retry is a duplicate.
    let history = suffer(&place, members, async |outbox| {
        assert_eq!(outbox.expect_replays().await, [""; 0]);
    });
    let history = history.await;
    let events = i64::try_from(history.outbox.sent.lock().unwrap().len()).unwrap();
    let (effects, of_events) = effects(&place).await;
    println!("{effects} effects of {of_events} events");
    assert_eq!((effects, of_events), (events, events));
}
