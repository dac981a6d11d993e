//! Prints entries and events.

use std::{
    io::{self, Write},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use webhook_verify::inbox::{Entry, EntryState, Stats};

use crate::terminal::Shown;

/// The longest error in a list, in characters.
const ERROR: usize = 100;

pub(super) fn stats(out: &mut impl Write, stats: &[Stats]) -> io::Result<()> {
    if stats.is_empty() {
        return writeln!(out, "no waiting, running or dead entries");
    }
    writeln!(out, "{:>9} {:>9} {:>9}  {:<10}  CONSUMER", "WAITING", "RUNNING", "DEAD", "OLDEST")?;
    for it in stats {
        let oldest = it.oldest.map_or_else(|| "-".into(), age);
        let (waiting, running, dead) = (it.waiting, it.running, it.dead);
        let consumer = Shown(&it.consumer);
        writeln!(out, "{waiting:>9} {running:>9} {dead:>9}  {oldest:<10}  {consumer}")?;
    }
    Ok(())
}

pub(super) fn stats_json(stats: &Stats) -> Value {
    json!({
        "consumer": stats.consumer,
        "waiting": stats.waiting,
        "running": stats.running,
        "dead": stats.dead,
        "oldest_seconds": stats.oldest.map(|time| time.as_secs()),
    })
}

pub(super) fn heading(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:>8}  {:<9}  {:>8}  {:<20}  {:<20}  {:>8}  CONSUMER  TYPE  ERROR",
        "NUMBER", "STATE", "ATTEMPTS", "RECEIVED", "DUE", "BYTES"
    )
}

pub(super) fn entry(out: &mut impl Write, entry: &Entry) -> io::Result<()> {
    let is_pending = matches!(entry.state, EntryState::Waiting | EntryState::Running);
    let due = if is_pending { at(entry.due_at) } else { "-".into() };
    write!(
        out,
        "{:>8}  {:<9}  {:>8}  {:<20}  {due:<20}  {:>8}  {}  {}",
        entry.number,
        name(entry.state),
        entry.attempts,
        at(entry.received_at),
        entry.event.body.len(),
        Shown(&entry.consumer),
        Shown(entry.event.event_type.as_deref().unwrap_or("-")),
    )?;
    if let Some(error) = &entry.error {
        let short: String = error.chars().take(ERROR).collect();
        let end = if short.len() < error.len() { "…" } else { "" };
        write!(out, "  {}{end}", Shown(&short))?;
    }
    writeln!(out)
}

pub(super) fn entry_json(entry: &Entry) -> Value {
    let Value::Object(mut all) = state_json(entry) else { return Value::Null };
    if let Value::Object(fields) = fields_json(entry) {
        all.extend(fields);
    }
    Value::Object(all)
}

/// Prints an event with its entries, headers and body.
pub(super) fn event(out: &mut impl Write, first: &Entry, entries: &[Entry]) -> io::Result<()> {
    let event = &first.event;
    let time = event.time.map(at);
    for (name, value) in [
        ("number", Some(&first.number.to_string())),
        ("key", Some(&event.key.to_string())),
        ("scheme", Some(&event.scheme)),
        ("namespace", event.namespace.as_ref()),
        ("event type", event.event_type.as_ref()),
        ("event ID", event.id.as_ref()),
        ("event time", time.as_ref()),
        ("data pointer", event.data_pointer.as_ref()),
        ("received at", Some(&at(first.received_at))),
    ] {
        if let Some(value) = value {
            writeln!(out, "{name}: {}", Shown(value))?;
        }
    }
    for entry in entries {
        let (state, attempts) = (name(entry.state), entry.attempts);
        write!(out, "entry of {}: {state}, attempts: {attempts}", Shown(&entry.consumer))?;
        match entry.state {
            EntryState::Waiting => write!(out, ", due at {}", at(entry.due_at))?,
            EntryState::Running => write!(out, ", leased until {}", at(entry.due_at))?,
            _ => {}
        }
        match &entry.error {
            Some(error) => writeln!(out, ", last error: {}", Shown(error))?,
            None => writeln!(out)?,
        }
    }
    writeln!(out, "\nheaders:")?;
    for (name, value) in &event.headers {
        writeln!(out, "  {}: {}", Shown(name), Shown(value))?;
    }
    writeln!(out, "\nbody, {} bytes:", event.body.len())?;
    match str::from_utf8(&event.body) {
        Ok("") => writeln!(out, "(empty, or deleted by a purge)"),
        Ok(text) => text.lines().try_for_each(|line| writeln!(out, "{}", Shown(line))),
        Err(_) => writeln!(out, "(not text; --raw writes it)"),
    }
}

pub(super) fn event_json(first: &Entry, entries: &[Entry]) -> Value {
    let mut all = fields_json(first);
    all["headers"] = json!(first.event.headers);
    all["body_base64"] = json!(STANDARD.encode(&first.event.body));
    all["entries"] = entries.iter().map(state_json).collect();
    all
}

fn state_json(entry: &Entry) -> Value {
    json!({
        "consumer": entry.consumer,
        "state": name(entry.state),
        "attempts": entry.attempts,
        "due_at": at(entry.due_at),
        "error": entry.error,
    })
}

fn fields_json(entry: &Entry) -> Value {
    let event = &entry.event;
    json!({
        "number": entry.number,
        "key": event.key.to_string(),
        "scheme": event.scheme,
        "namespace": event.namespace,
        "event_type": event.event_type,
        "id": event.id,
        "time": event.time.map(at),
        "data_pointer": event.data_pointer,
        "received_at": at(entry.received_at),
        "bytes": event.body.len(),
    })
}

fn name(state: EntryState) -> &'static str {
    match state {
        EntryState::Waiting => "waiting",
        EntryState::Running => "running",
        EntryState::Done => "done",
        EntryState::Dead => "dead",
        EntryState::Discarded => "discarded",
        _ => "unknown",
    }
}

/// Returns a time since the Unix epoch as text, without fractions of a second.
fn at(time: Duration) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| "-".into())
}

/// Returns a time in its two largest units.
fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}
