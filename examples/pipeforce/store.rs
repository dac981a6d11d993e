//! The webhooks, in a SQLite file.

use std::{str::FromStr as _, time::UNIX_EPOCH};

use sha2::{Digest as _, Sha256};
use sqlx::{
    Error, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode::Wal, SqliteSynchronous::Full},
};
use webhook_verify::payloads::pipeforce::PayloadType;

/// A call is matched by the digest of its token. The file also contains the tokens, because
/// `webhook.get` lists them, so protect it like a file of passwords. IDs are never reused, so a call
/// in progress cannot count for another webhook.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS webhook (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL UNIQUE,
    uuid TEXT NOT NULL,
    event_key TEXT NOT NULL,
    payload_type TEXT NOT NULL,
    max_payload_length INTEGER NOT NULL,
    created INTEGER NOT NULL
) STRICT";

/// A webhook.
pub(crate) struct Webhook {
    pub(crate) id: i64,
    /// The token.
    pub(crate) uuid: String,
    pub(crate) event_key: String,
    pub(crate) payload_type: PayloadType,
    pub(crate) max_payload_length: u32,
    /// In milliseconds since the Unix epoch.
    pub(crate) created: i64,
}

/// The settings of a webhook.
pub(crate) struct Settings<'s> {
    pub(crate) event_key: &'s str,
    pub(crate) payload_type: PayloadType,
    pub(crate) max_payload_length: u32,
}

#[derive(Clone)]
pub(crate) struct Store(SqlitePool);

type Row = (i64, String, String, String, u32, i64);

impl Store {
    /// Opens the file, and makes it if it is not there.
    pub(crate) async fn open(url: &str) -> Result<Self, Error> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(Wal)
            .synchronous(Full);
        let pool = SqlitePool::connect_with(options).await?;
        sqlx::query(TABLE).execute(&pool).await?;
        Ok(Self(pool))
    }

    pub(crate) async fn insert(&self, uuid: &str, settings: &Settings<'_>) -> Result<(), Error> {
        let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        sqlx::query("INSERT INTO webhook (digest, uuid, event_key, payload_type, max_payload_length, created)
             VALUES (?, ?, ?, ?, ?, ?)")
            .bind(&digest(uuid)[..])
            .bind(uuid)
            .bind(settings.event_key)
            .bind(settings.payload_type.name())
            .bind(settings.max_payload_length)
            .bind(i64::try_from(now).unwrap_or(i64::MAX))
            .execute(&self.0)
            .await?;
        Ok(())
    }

    /// Changes a webhook, if it is there.
    pub(crate) async fn update(&self, uuid: &str, settings: &Settings<'_>) -> Result<(), Error> {
        sqlx::query(
            "UPDATE webhook SET event_key = ?, payload_type = ?, max_payload_length = ?
             WHERE digest = ?",
        )
        .bind(settings.event_key)
        .bind(settings.payload_type.name())
        .bind(settings.max_payload_length)
        .bind(&digest(uuid)[..])
        .execute(&self.0)
        .await?;
        Ok(())
    }

    /// Deletes a webhook, if it is there.
    pub(crate) async fn delete(&self, uuid: &str) -> Result<(), Error> {
        sqlx::query("DELETE FROM webhook WHERE digest = ?")
            .bind(&digest(uuid)[..])
            .execute(&self.0)
            .await?;
        Ok(())
    }

    /// All webhooks, the oldest first.
    pub(crate) async fn all(&self) -> Result<Vec<Webhook>, Error> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, uuid, event_key, payload_type, max_payload_length, created
             FROM webhook ORDER BY id",
        )
        .fetch_all(&self.0)
        .await?;
        rows.into_iter().map(webhook).collect()
    }

    pub(crate) async fn by_uuid(&self, uuid: &str) -> Result<Option<Webhook>, Error> {
        self.by_digest(&digest(uuid)).await
    }

    pub(crate) async fn by_digest(&self, digest: &[u8; 32]) -> Result<Option<Webhook>, Error> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT id, uuid, event_key, payload_type, max_payload_length, created
             FROM webhook WHERE digest = ?",
        )
        .bind(&digest[..])
        .fetch_optional(&self.0)
        .await?;
        row.map(webhook).transpose()
    }

    pub(crate) async fn by_id(&self, id: i64) -> Result<Option<Webhook>, Error> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT id, uuid, event_key, payload_type, max_payload_length, created
             FROM webhook WHERE id = ?",
        )
        .bind(id)
        .fetch_optional(&self.0)
        .await?;
        row.map(webhook).transpose()
    }
}

fn webhook(row: Row) -> Result<Webhook, Error> {
    let (id, uuid, event_key, payload_type, max_payload_length, created) = row;
    let payload_type = PayloadType::named(&payload_type)
        .ok_or_else(|| Error::Decode("payload_type of a webhook".into()))?;
    Ok(Webhook { id, uuid, event_key, payload_type, max_payload_length, created })
}

fn digest(uuid: &str) -> [u8; 32] {
    Sha256::digest(uuid).into()
}
