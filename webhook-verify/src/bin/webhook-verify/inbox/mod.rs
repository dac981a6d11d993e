//! Operates an inbox: counts, lists, shows, retries, discards and purges its events.

mod database;
mod print;
mod select;

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Subcommand};
use serde_json::json;
use tokio::runtime;

use self::{
    database::{Database, Location},
    select::{List, Selection},
};
use crate::{Failure, terminal::ShownJson};

/// How many bodies and events one call purges. An error then tells how many earlier calls did.
const PURGE: usize = 10_000;

/// Shows and changes the events of an inbox on SQLite or PostgreSQL
///
/// An inbox stores an event once, with an entry for each consumer. An entry is waiting, running,
/// done, dead (all attempts have failed) or discarded. The command never creates tables.
///
/// A password on the command line is visible in the list of processes and in the shell's history.
/// Use the variable DATABASE_URL for a URL with a password, or the variable PGPASSWORD.
#[derive(Args)]
pub(crate) struct Inbox {
    #[command(flatten)]
    location: Location,
    /// Print JSON, one object per line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Counts the waiting, running and dead entries of each consumer
    Stats,
    List(List),
    Show(Show),
    /// Makes waiting and dead entries due at once, with all of their attempts again
    Retry(Selection),
    /// Discards waiting and dead entries, which are then never processed
    Discard(Selection),
    Purge(Purge),
}

/// Prints an event: its entries, its headers and its body
///
/// Control characters appear as escapes.
#[derive(Args)]
struct Show {
    /// The number of the event, or its key of 64 hexadecimal digits
    event: String,
    /// Write only the exact bytes of the body
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

/// Deletes the bodies of processed events, and processed events whose keys have expired
///
/// An event is processed once all of its entries are done or discarded. Its key identifies
/// duplicates, and expires after the `ttl` of the inbox. Workers purge about once a minute, with the
/// times of the inbox.
#[derive(Args)]
struct Purge {
    /// Keep bodies for this time after the event was processed, such as 7d, 12h, 30m or 0s
    #[arg(long, value_name = "TIME", value_parser = duration, allow_negative_numbers = true)]
    keep_bodies: Duration,
}

impl Inbox {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(self.operate())?;
        Ok(ExitCode::SUCCESS)
    }

    async fn operate(&self) -> Result<(), Failure> {
        let database = self.location.open().await?;
        match &self.verb {
            Verb::Stats => self.stats(&database).await,
            Verb::List(list) => list.run(&database, self.json).await,
            Verb::Show(show) => self.show(&database, show).await,
            Verb::Retry(selection) => {
                let retried = selection.change(&database, Database::retry).await?;
                self.changed("retried", retried, ["entry", "entries"])
            }
            Verb::Discard(selection) => {
                let discarded = selection.change(&database, Database::discard).await?;
                self.changed("discarded", discarded, ["entry", "entries"])
            }
            Verb::Purge(purge) => {
                let purged = purge.run(database).await?;
                self.changed("purged", purged, ["body or event", "bodies and events"])
            }
        }
    }

    async fn stats(&self, database: &Database) -> Result<(), Failure> {
        let stats = database.inbox.stats().await.map_err(database::failed)?;
        let mut out = io::stdout().lock();
        if self.json {
            for stats in &stats {
                writeln!(out, "{}", ShownJson(&print::stats_json(stats)))?;
            }
        } else {
            print::stats(&mut out, &stats)?;
        }
        Ok(out.flush()?)
    }

    async fn show(&self, database: &Database, show: &Show) -> Result<(), Failure> {
        let key = select::key_of(database, &show.event).await?;
        let entries = database.inbox.get(key).await.map_err(database::failed)?;
        // Another process may just have purged it.
        let first = entries.first().ok_or_else(|| select::no_event(database, &show.event))?;
        let mut out = io::stdout().lock();
        if show.raw {
            out.write_all(&first.event.body)?;
        } else if self.json {
            writeln!(out, "{}", ShownJson(&print::event_json(first, &entries)))?;
        } else {
            print::event(&mut out, first, &entries)?;
        }
        Ok(out.flush()?)
    }

    /// Prints how many entries or events were changed.
    fn changed(&self, verb: &str, count: usize, nouns: [&str; 2]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", json!({ verb: count }))?;
        } else {
            writeln!(out, "{verb} {count} {}", nouns[usize::from(count != 1)])?;
        }
        Ok(out.flush()?)
    }
}

impl Purge {
    async fn run(&self, database: Database) -> Result<usize, Failure> {
        let inbox = database.inbox.keep_bodies(self.keep_bodies);
        let mut purged = 0;
        loop {
            match inbox.purge(PURGE).await {
                Ok(count) => {
                    purged += count;
                    if count < PURGE {
                        return Ok(purged);
                    }
                }
                Err(error) => {
                    let error = database::failed(error);
                    return Err(format!("{error} (after {purged} were purged)").into());
                }
            }
        }
    }
}

/// Parses a time such as `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "not a time such as 7d, 12h, 30m or 90s".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "d" => 24 * 3600,
        "h" => 3600,
        "m" => 60,
        "s" => 1,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}
