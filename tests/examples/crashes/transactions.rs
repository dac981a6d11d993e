//! D6 for handlers whose effects are in the database that holds the claims, and are committed with them: there is one effect
//! for each event, whatever happens.

use std::{
    env,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use examples::{Flags, announce};
use integration_tests::{App, Framework, Handler, Kind, Place, in_folder};
use sqlx::{Connection as _, PgConnection, PgPool, postgres::PgPoolOptions};
use webhook_verify::{Delivery, PostgresStore, idempotency::CommitError};

use super::{
    history::{LEASE, Member, suffer},
    outbox::FLAGS,
    runs::Restarted,
    stores::{execute, watch},
};

const FRAMEWORK: &str = "WEBHOOK_VERIFY_TEST_FRAMEWORK";
const STORE: &str = "WEBHOOK_VERIFY_TEST_STORE";

/// This program again, running [`server`].
fn command(framework: &str, store: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "crashes::transactions::server", "--ignored"])
        .arg("--nocapture")
        .envs([(FRAMEWORK, framework), (STORE, store)])
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    in_folder(&mut command);
    command
}

/// A receiver as the examples are, whose handler has an effect in the store's database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is run by the other test, as a process of its own"]
async fn server() {
    let (Ok(framework), Ok(url)) = (env::var(FRAMEWORK), env::var(STORE)) else {
        return;
    };
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let lease = LEASE.as_secs().to_string();
    let more = ["--store", &url, "--lease", &lease, "--delay", "150", "--trace"];
    let flags: Vec<_> = FLAGS.into_iter().chain(more).collect();
    let setup = Flags::of(&flags).await.unwrap();
    let pool =
        PgPoolOptions::new().acquire_timeout(Duration::from_secs(20)).connect_lazy(&url).unwrap();
    let store = PostgresStore::new(pool.clone());
    let behaviour = setup.behaviour;
    let handler: Handler = Arc::new(move |delivery| {
        let (store, pool) = (store.clone(), pool.clone());
        Box::pin(async move {
            let event = delivery.event().unwrap();
            let work = behaviour.handle(&delivery, &event);
            match have_effect(&store, &pool, &delivery, work).await {
                Ok(()) | Err(CommitError::AlreadyCompleted) => 204,
                Err(_) => 500,
            }
        })
    });
    let framework = match &*framework {
        "axum" => Framework::Axum,
        _ => Framework::Actix,
    };
    let server = App::new(setup.receiver.clone(), handler).serve(framework).await;
    // After what the tests' harness may have left on the line.
    println!();
    announce(&setup, server.addr);
    std::future::pending().await
}

async fn have_effect(
    store: &PostgresStore,
    pool: &PgPool,
    delivery: &Delivery,
    work: impl Future<Output = Result<(), u16>>,
) -> Result<(), CommitError> {
    let failed = |error: sqlx::Error| {
        CommitError::Store(webhook_verify::idempotency::StoreError::new(error))
    };
    let mut transaction = pool.begin().await.map_err(failed)?;
    sqlx::query("INSERT INTO effect (event) VALUES ($1)")
        .bind(delivery.id().as_deref())
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    let _ = work.await;
    store.commit(transaction, delivery, 204).await
}

/// How many effects there are, and of how many events.
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
    // No key, so that a second effect would be there to be seen.
    execute(&place, "CREATE TABLE effect (event text NOT NULL)").await;
    let mut members = Vec::new();
    for framework in ["axum", "actix", "axum", "actix"] {
        let (server, url) = (place.server.unwrap(), place.url.clone());
        let start = move |proxy: SocketAddr| {
            let store = url.replace(&server.to_string(), &proxy.to_string());
            Restarted::start(move || command(framework, &store))
        };
        members.push(Member::start(server, start).await);
    }
    // Each is done, and is not done again.
    let history = suffer(&place, members, async |outbox| {
        assert_eq!(outbox.expect_replays().await, [""; 0]);
    });
    let history = history.await;
    let events = i64::try_from(history.outbox.sent.lock().unwrap().len()).unwrap();
    let (effects, of_events) = effects(&place).await;
    println!("{effects} effects of {of_events} events");
    assert_eq!((effects, of_events), (events, events));
}
