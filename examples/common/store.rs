use std::error::Error as _;

use webhook_verify::{
    ConfigError, Idempotency, MemoryStore, PostgresStore, RedisStore, SqliteStore,
    idempotency::StoreError,
};

/// Opens the store that `url` names.
pub(crate) async fn open(url: &str, endpoint: &str) -> Result<Idempotency, ConfigError> {
    let (kind, _) = url.split_once(':').ok_or_else(|| option("not the URL of a store"))?;
    match kind {
        "memory" => Ok(Idempotency::new(MemoryStore::new(), endpoint)),
        "sqlite" => sqlite(url, endpoint).await.map_err(|error| failed(&error)),
        "postgres" | "postgresql" => postgres(url, endpoint).await.map_err(|error| failed(&error)),
        "redis" => redis(url, endpoint).await.map_err(|error| failed(&error)),
        _ => Err(option("none of memory:, sqlite:, postgres: and redis:")),
    }
}

async fn sqlite(url: &str, endpoint: &str) -> Result<Idempotency, StoreError> {
    let store = SqliteStore::connect(url).await?;
    Ok(Idempotency::new(store, endpoint))
}

async fn postgres(url: &str, endpoint: &str) -> Result<Idempotency, StoreError> {
    let store = PostgresStore::connect(url).await?;
    Ok(Idempotency::new(store, endpoint))
}

async fn redis(url: &str, endpoint: &str) -> Result<Idempotency, StoreError> {
    let store = RedisStore::connect(url).await?;
    Ok(Idempotency::new(store, endpoint))
}

fn failed(error: &StoreError) -> ConfigError {
    let source = error.source().map(ToString::to_string);
    option(&source.unwrap_or_else(|| error.to_string()))
}

fn option(reason: &str) -> ConfigError {
    ConfigError::Option { option: "--store", reason: reason.to_owned() }
}
