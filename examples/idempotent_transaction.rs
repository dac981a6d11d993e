//! Books each payment exactly once: one transaction commits the payment's row and completes the
//! delivery's claim.
//!
//! Run `WEBHOOK_SECRET=test cargo run --example idempotent_transaction`, then paste the `curl` line
//! that it prints into another terminal, twice. The rows are in `payments.db`.

use std::{env, error::Error};

use axum::{Router, extract::State, http::StatusCode};
use serde::Deserialize;
use sqlx::SqlitePool;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;
use webhook_verify::{
    Delivery, Idempotency, Receiver, Secret, SqliteStore, Verifier, idempotency::CommitError,
    scheme, testing::Signer,
};
use webhook_verify_axum::{RouterExt as _, Verified, VerifiedJson};

/// The fields that are needed of Paystack's events.
#[derive(Deserialize)]
struct Event {
    data: Charge,
}

#[derive(Deserialize)]
struct Charge {
    reference: String,
    amount: i64,
}

/// Your own pool, and the store of claims in the same database.
type Ledger = (SqlitePool, SqliteStore);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let secret = Secret::from_env("WEBHOOK_SECRET")?;
    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".into());

    // The store creates the file.
    let store = SqliteStore::connect("sqlite://payments.db").await?;
    let pool = SqlitePool::connect("sqlite://payments.db").await?;
    let table = "CREATE TABLE IF NOT EXISTS payment (event TEXT NOT NULL, amount BIGINT NOT NULL)";
    sqlx::query(table).execute(&pool).await?;

    let verifier = Verifier::new(scheme::PAYSTACK, secret.clone())?;
    // Some of Paystack's events have neither an ID nor a time. Charges have a reference.
    let idempotency = Idempotency::new(store.clone(), "paystack").identity_from(|delivery| {
        let event: Event = delivery.json().ok()?;
        Some(format!("{} {}", delivery.event_type()?, event.data.reference).into_bytes())
    });
    let receiver = Receiver::builder(verifier).idempotency(idempotency).build()?;
    let app = Router::new().webhook("/paystack", receiver, on_payment).with_state((pool, store));
    let listener = TcpListener::bind(address).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    println!("listening on {origin}");
    let body = r#"{"event":"charge.success","data":{"reference":"T1","amount":1999}}"#;
    let signer = Signer::new(scheme::PAYSTACK, secret)?.target("/paystack");
    println!("{}", signer.sign(body)?.curl(&origin));
    Ok(axum::serve(listener, app).await?)
}

async fn on_payment(
    State(ledger): State<Ledger>,
    Verified(delivery): Verified,
    VerifiedJson(event): VerifiedJson<Event>,
) -> StatusCode {
    match book(&ledger, &delivery, &event.data).await {
        Ok(()) => StatusCode::NO_CONTENT,
        // An earlier transaction of this handler was committed, although it failed to learn that.
        Err(CommitError::AlreadyCompleted) => StatusCode::NO_CONTENT,
        // This process stood still, and another took over. Whether that one succeeds is still open,
        // so this response must not be 2xx.
        Err(CommitError::Superseded) => StatusCode::SERVICE_UNAVAILABLE,
        // If the connection broke during the commit, the row may be there or not. The retry is a
        // duplicate in the first case, and runs in the second.
        Err(CommitError::Store(error)) => {
            eprintln!("not booked: {error:#}");
            StatusCode::SERVICE_UNAVAILABLE
        }
        // Without a claim, the same delivery could be booked twice.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn book(
    (pool, store): &Ledger,
    delivery: &Delivery,
    charge: &Charge,
) -> Result<(), CommitError> {
    // Slow work belongs before the transaction: the claim keeps duplicates away meanwhile.
    // IMMEDIATE waits for other writers. A plain BEGIN fails if it writes after it has read.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("INSERT INTO payment (event, amount) VALUES (?, ?)")
        .bind(&charge.reference)
        .bind(charge.amount)
        .execute(&mut *transaction)
        .await?;
    store.commit(transaction, delivery, 204).await
}
