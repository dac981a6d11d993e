//! A payment exactly once: its row and the delivery's claim are committed in one transaction of your own pool. Whatever
//! is killed, stands still or runs beside another, there is one row for each event.
//!
//! Run with `cargo run --example idempotent_transaction`, then paste the `curl` line that it prints. The rows are in
//! `payments.db`, or with `-- --store postgres://…` in that database.

use axum::{Router, extract::State, http::StatusCode, routing::post};
use examples::{Behaviour, Flags, announce};
use serde::Deserialize;
use serde_json::json;
use sqlx::{PgPool, SqlitePool};
use webhook_verify::{Delivery, PostgresStore, SqliteStore, idempotency::CommitError};
use webhook_verify_axum::{Verified, VerifiedJson, WebhookLayer};

/// What Paystack sends, as far as it is of use here.
#[derive(Deserialize)]
struct Event {
    data: Charge,
}

#[derive(Deserialize)]
struct Charge {
    reference: String,
    amount: i64,
}

/// Your own pool, and a store of claims in the same database. A service has one of the two.
#[derive(Clone)]
enum Ledger {
    Sqlite(SqlitePool, SqliteStore),
    Postgres(PgPool, PostgresStore),
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    // Paystack signs no time, so the printed line is good for longer than a few minutes.
    let flags = Flags::with_defaults(&[("scheme", "paystack"), ("store", "sqlite://payments.db")]);
    let ledger = Ledger::open(&flags.store).await?;
    let setup = match ledger.clone() {
        Ledger::Sqlite(_, store) => flags.set_up_with(store)?,
        Ledger::Postgres(_, store) => flags.set_up_with(store)?,
    };
    let layer = WebhookLayer::new(setup.receiver.clone());
    let app =
        Router::new().route("/", post(on_event).layer(layer)).with_state((ledger, setup.behaviour));
    let listener = tokio::net::TcpListener::bind(setup.flags.listen).await?;
    announce(&setup, listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

async fn on_event(
    State((ledger, behaviour)): State<(Ledger, Behaviour)>,
    Verified(delivery): Verified,
    VerifiedJson(event): VerifiedJson<Event>,
) -> StatusCode {
    // What takes time comes before the transaction, which should be short: nothing else can claim this delivery anyway.
    tokio::time::sleep(behaviour.delay).await;
    match ledger.record(&delivery, &event.data).await {
        Ok(()) => {
            let Charge { reference, amount } = event.data;
            println!("{}", json!({ "event": reference, "amount": amount }));
            StatusCode::NO_CONTENT
        }
        // This handler has committed before, and did not get to know it: the row is there.
        Err(CommitError::AlreadyCompleted) => StatusCode::NO_CONTENT,
        // This process stood still, and another took the delivery over. It may fail yet, so this is not the one to say that
        // all is well: the sender comes back, and is answered what became of it.
        Err(CommitError::Superseded) => StatusCode::SERVICE_UNAVAILABLE,
        // The row may be there or not, if the connection broke while committing. The retry finds out: it is a duplicate if
        // the row is there, and runs if it is not.
        Err(CommitError::Store(error)) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            eprintln!("not recorded: {}", source.unwrap_or_default());
            StatusCode::SERVICE_UNAVAILABLE
        }
        // A delivery without a claim could be paid twice: its scheme has nothing to tell a retry by.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Ledger {
    /// Opens your pool, and the store in its database.
    async fn open(url: &str) -> Result<Self, Box<dyn std::error::Error>> {
        const TABLE: &str =
            "CREATE TABLE IF NOT EXISTS payment (event TEXT NOT NULL, amount BIGINT NOT NULL)";
        if !url.starts_with("sqlite:") {
            let pool = PgPool::connect(url).await?;
            sqlx::query(TABLE).execute(&pool).await?;
            let store = PostgresStore::new(pool.clone());
            store.migrate().await?;
            store.purge_every(std::time::Duration::from_secs(60));
            return Ok(Self::Postgres(pool, store));
        }
        // The store first: it makes the file.
        let store = SqliteStore::connect(url).await?;
        let pool = SqlitePool::connect(url).await?;
        sqlx::query(TABLE).execute(&pool).await?;
        Ok(Self::Sqlite(pool, store))
    }

    /// The effect, in a transaction that ends with the claim.
    async fn record(&self, delivery: &Delivery, charge: &Charge) -> Result<(), CommitError> {
        match self {
            Self::Sqlite(pool, store) => {
                // Waits for its turn to write; a plain BEGIN that has read first would fail.
                let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
                sqlx::query("INSERT INTO payment (event, amount) VALUES (?, ?)")
                    .bind(&charge.reference)
                    .bind(charge.amount)
                    .execute(&mut *transaction)
                    .await?;
                store.commit(transaction, delivery, 204).await
            }
            Self::Postgres(pool, store) => {
                let mut transaction = pool.begin().await?;
                sqlx::query("INSERT INTO payment (event, amount) VALUES ($1, $2)")
                    .bind(&charge.reference)
                    .bind(charge.amount)
                    .execute(&mut *transaction)
                    .await?;
                store.commit(transaction, delivery, 204).await
            }
        }
    }
}
