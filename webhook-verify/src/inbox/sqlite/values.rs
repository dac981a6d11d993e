use sqlx::{
    Row as _,
    error::DatabaseError,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::{
    claim::{
        ClaimKey, StoreError,
        sql::{NoTable, foreign, from_millis},
        sqlite::add,
    },
    inbox::{EntryState, StoredEvent, store::headers},
};

/// The columns of [`stored_event`].
pub(super) const EVENT: &str =
    "i.key, i.namespace, i.scheme, i.event_type, i.event_id, i.event_time,
    i.received_at, i.data_pointer, i.headers, i.body";

/// The numbers of the states in the table.
pub(super) const WAITING: i64 = 0;
pub(super) const RUNNING: i64 = 1;
pub(super) const DEAD: i64 = 2;
pub(super) const DONE: i64 = 3;
pub(super) const DISCARDED: i64 = 4;

pub(super) fn texts(values: &[&str]) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        add(&mut arguments, text(value))?;
    }
    Ok(arguments)
}

/// Replaces NUL: SQLite's functions may cut a text there.
pub(super) fn text(value: &str) -> String {
    value.replace('\0', "\u{fffd}")
}

pub(super) fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::new)
}

pub(super) fn count(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Reads the columns [`EVENT`].
pub(super) fn stored_event(row: &SqliteRow) -> Result<StoredEvent, StoreError> {
    let key: [u8; 32] = row.try_get::<&[u8], _>("key")?.try_into().map_err(|_| foreign("key"))?;
    let body: Option<Vec<u8>> = row.try_get("body")?;
    Ok(StoredEvent {
        key: ClaimKey::from(key),
        namespace: read_text(row, "namespace")?,
        scheme: read_text(row, "scheme")?.unwrap_or_default(),
        event_type: read_text(row, "event_type")?,
        id: read_text(row, "event_id")?,
        time: row.try_get::<Option<i64>, _>("event_time")?.map(from_millis),
        data_pointer: read_text(row, "data_pointer")?,
        headers: headers(&read_text(row, "headers")?.unwrap_or_default()),
        body: body.unwrap_or_default().into(),
    })
}

/// Reads a text. If it was edited by hand, it may not be UTF-8.
pub(super) fn read_text(row: &SqliteRow, column: &str) -> Result<Option<String>, StoreError> {
    let text: Option<&[u8]> = row.try_get(column)?;
    Ok(text.map(|text| String::from_utf8_lossy(text).into_owned()))
}

pub(super) fn state(number: i64) -> Result<EntryState, StoreError> {
    Ok(match number {
        WAITING => EntryState::Waiting,
        RUNNING => EntryState::Running,
        DEAD => EntryState::Dead,
        DONE => EntryState::Done,
        DISCARDED => EntryState::Discarded,
        _ => return Err(foreign("state")),
    })
}

pub(super) fn number(state: EntryState) -> i64 {
    match state {
        EntryState::Waiting => WAITING,
        EntryState::Running => RUNNING,
        EntryState::Dead => DEAD,
        EntryState::Done => DONE,
        EntryState::Discarded => DISCARDED,
    }
}

pub(super) fn failed(error: sqlx::Error) -> StoreError {
    let reason = error.as_database_error().map(DatabaseError::message);
    match reason.and_then(|reason| reason.strip_prefix("no such table: ")) {
        Some(table) => {
            let table = table.strip_prefix("main.").unwrap_or(table);
            StoreError::new(NoTable(table.to_owned()))
        }
        None => StoreError::new(error),
    }
}
