//! Selects the entries that a verb lists or changes.

use std::io::{self, Write as _};

use clap::{Args, ValueEnum};
use webhook_verify::{
    idempotency::{ClaimKey, StoreError},
    inbox::{Entry, EntryState, Filter, Inbox},
};

use super::{
    database::{Database, failed},
    print,
};
use crate::{
    Failure,
    terminal::{Shown, ShownJson},
    values::number,
};

/// How many entries the first call loads. Each has its body.
const PAGE: usize = 16;
/// How many entries a later call loads at most, and about how many bytes of bodies.
const MAX_PAGE: usize = 1000;
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Lists entries, by ascending event number
///
/// The columns are: number of the event, state, attempts, time of receipt, time of the next attempt
/// or end of the lease, bytes of the body, consumer, event type, and error of the last attempt.
#[derive(Args)]
pub(super) struct List {
    /// Only entries in this state
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
    #[command(flatten)]
    filters: Filters,
    /// The maximum number of entries
    #[arg(long, value_name = "NUMBER", default_value_t = 100, allow_negative_numbers = true,
          value_parser = number::<usize>(0..=1_000_000_000))]
    limit: usize,
}

/// Filters of all verbs.
#[derive(Args)]
struct Filters {
    /// Only entries of this consumer
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// Only events of this type
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Only events of this tenant
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Only events after this number
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = event_number)]
    after: Option<i64>,
}

/// The entries to change.
#[derive(Args)]
pub(super) struct Selection {
    /// The events, each by its number or by its key of 64 hexadecimal digits
    #[arg(value_name = "EVENT")]
    events: Vec<String>,
    /// Only entries in this state
    #[arg(long, value_name = "STATE")]
    state: Option<Changeable>,
    #[command(flatten)]
    filters: Filters,
    /// All entries that wait or are dead
    #[arg(
        long,
        conflicts_with_all = ["events", "state", "consumer", "event_type", "namespace", "after"]
    )]
    all: bool,
}

/// Parses the number of an event.
fn event_number(text: &str) -> Result<i64, &'static str> {
    text.parse().map_err(|_| "not the number of an event, such as 17")
}

#[derive(Clone, Copy, ValueEnum)]
enum State {
    Waiting,
    Running,
    Done,
    Dead,
    Discarded,
}

/// A state in which an entry can be retried or discarded.
#[derive(Clone, Copy, ValueEnum)]
enum Changeable {
    Waiting,
    Dead,
}

impl From<State> for EntryState {
    fn from(state: State) -> Self {
        match state {
            State::Waiting => Self::Waiting,
            State::Running => Self::Running,
            State::Done => Self::Done,
            State::Dead => Self::Dead,
            State::Discarded => Self::Discarded,
        }
    }
}

impl From<Changeable> for EntryState {
    fn from(state: Changeable) -> Self {
        match state {
            Changeable::Waiting => Self::Waiting,
            Changeable::Dead => Self::Dead,
        }
    }
}

impl Filters {
    fn are_set(&self) -> bool {
        let Self { consumer, event_type, namespace, after } = self;
        after.is_some() || [consumer, event_type, namespace].iter().any(|it| it.is_some())
    }

    fn filter(&self, inbox: &Inbox, state: Option<EntryState>) -> Filter {
        let mut filter = inbox.filter();
        if let Some(state) = state {
            filter = filter.state(state);
        }
        if let Some(consumer) = &self.consumer {
            filter = filter.consumer(consumer);
        }
        if let Some(event_type) = &self.event_type {
            filter = filter.event_type(event_type);
        }
        if let Some(namespace) = &self.namespace {
            filter = filter.namespace(namespace);
        }
        if let Some(after) = self.after {
            filter = filter.after(after);
        }
        filter
    }
}

impl List {
    pub(super) async fn run(&self, database: &Database, json: bool) -> Result<(), Failure> {
        let filter = self.filters.filter(&database.inbox, self.state.map(Into::into));
        let mut out = io::stdout();
        if !json {
            print::heading(&mut out)?;
        }
        let more = each(&database.inbox, &filter, self.limit, |entry| match json {
            true => writeln!(out, "{}", ShownJson(&print::entry_json(entry))),
            false => print::entry(&mut out, entry),
        });
        if let Some(next) = more.await? {
            eprintln!("there are more entries: use --after {next} or a higher --limit");
        }
        Ok(out.flush()?)
    }
}

/// Passes up to `limit` entries to `print`. If there are more, returns the event number after which
/// they continue.
async fn each(
    inbox: &Inbox,
    filter: &Filter,
    limit: usize,
    mut print: impl FnMut(&Entry) -> io::Result<()>,
) -> Result<Option<i64>, Failure> {
    let (mut filter, mut left, mut again) = (filter.clone(), limit, 0);
    let mut page_size = PAGE;
    let mut last: Option<(i64, String)> = None;
    loop {
        let size = page_size + again;
        filter = filter.limit(size);
        let page = inbox.list(&filter).await.map_err(failed)?;
        let is_last = page.len() < size;
        let largest = page.iter().map(|entry| entry.event.body.len()).max();
        page_size = (PAGE_BYTES / largest.unwrap_or(0).max(1)).clamp(1, MAX_PAGE);
        let mut is_stuck = true;
        for entry in page {
            let place = (entry.number, entry.consumer.clone());
            if last.as_ref().is_some_and(|last| place <= *last) {
                continue;
            }
            if left == 0 {
                return Ok(Some(entry.number.saturating_sub(1)));
            }
            print(&entry)?;
            again = match &last {
                Some((number, _)) if *number == entry.number => again + 1,
                _ => 1,
            };
            (left, last, is_stuck) = (left - 1, Some(place), false);
        }
        let Some((number, _)) = last.as_ref().filter(|_| !is_last) else {
            return Ok(None);
        };
        // The page may have ended between the entries of an event, so the next one begins with it.
        filter = filter.after(number.saturating_sub(1));
        if is_stuck {
            again += page_size;
        }
    }
}

impl Selection {
    /// Changes the selected entries, and returns how many there were.
    pub(super) async fn change(
        &self,
        database: &Database,
        change: impl AsyncFn(&Database, &Filter) -> Result<usize, StoreError>,
    ) -> Result<usize, Failure> {
        let is_set = self.state.is_some() || self.filters.are_set();
        if self.events.is_empty() && !is_set && !self.all {
            return Err("no selection: name events, use --state, --consumer, --event-type, \
                        --namespace or --after, or use --all"
                .into());
        }
        let filter = self.filters.filter(&database.inbox, self.state.map(Into::into));
        let mut filters = Vec::new();
        for event in &self.events {
            filters.push(filter.clone().key(key_of(database, event).await?));
        }
        if self.events.is_empty() {
            filters.push(filter);
        }
        let mut changed = 0;
        for filter in &filters {
            changed += change(database, filter).await.map_err(|error| {
                format!("{} (some entries may have been changed)", failed(error))
            })?;
        }
        Ok(changed)
    }
}

/// Returns the key of the event with this number or key.
pub(super) async fn key_of(database: &Database, event: &str) -> Result<ClaimKey, Failure> {
    let filter = database.inbox.filter().limit(1);
    let (filter, number) = match (event.parse::<ClaimKey>(), event.parse::<i64>()) {
        (Ok(key), _) => (filter.key(key), None),
        (Err(_), Ok(number)) => (filter.after(number.saturating_sub(1)), Some(number)),
        (Err(_), Err(_)) => {
            return Err(
                "an event is named by its number, or by its key of 64 hexadecimal digits".into()
            );
        }
    };
    let found = database.inbox.list(&filter).await.map_err(failed)?;
    let found = found.first().filter(|entry| number.is_none_or(|number| entry.number == number));
    Ok(found.ok_or_else(|| no_event(database, event))?.event.key)
}

pub(super) fn no_event(database: &Database, event: &str) -> Failure {
    let endpoint = Shown(&database.endpoint);
    format!("the inbox {endpoint} has no event {event}").into()
}
