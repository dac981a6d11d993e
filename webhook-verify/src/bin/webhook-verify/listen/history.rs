//! The last deliveries, for the page. Their number and their size are limited.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::sync::watch;
use webhook_verify::idempotency::ClaimKey;

use super::{
    hidden::Hidden,
    listener::{Class, Delivered},
    sender::Sender,
};

/// The maximum number of deliveries in the lists.
const MAX_LISTED: usize = 100_000;
/// The maximum size of the requests and responses that are kept, in bytes.
const MAX_KEPT: usize = 64 << 20;
/// The size of a delivery besides its bodies and headers, in bytes. It is an estimate.
const OVERHEAD: usize = 2048;

/// The time and number of the delivery that a duplicate repeats.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct First {
    pub(super) number: u64,
    #[serde(skip)]
    pub(super) at: Duration,
}

/// One row of the lists.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    pub(super) number: u64,
    /// Milliseconds since the Unix epoch.
    pub(super) at: u64,
    pub(super) class: Class,
    pub(super) status: u16,
    pub(super) scheme: Option<String>,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) title: String,
    pub(super) attempt: Option<u64>,
    pub(super) duplicate_of: Option<u64>,
    pub(super) replay_of: Option<u64>,
    pub(super) bytes: usize,
    pub(super) ms: f64,
}

/// A list of the page: all deliveries, or those of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct List(pub(super) Option<Class>);

impl List {
    pub(super) const ALL: [(&'static str, Self); 6] = [
        ("all", Self(None)),
        ("delivered", Self(Some(Class::Delivered))),
        ("failed", Self(Some(Class::Failed))),
        ("refused", Self(Some(Class::Refused))),
        ("duplicate", Self(Some(Class::Duplicate))),
        ("handshake", Self(Some(Class::Handshake))),
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, list)| *list)
    }
}

pub(super) struct History {
    state: Mutex<State>,
    /// Is sent a value after each change.
    changed: watch::Sender<()>,
    max_listed: usize,
    max_kept: usize,
}

#[derive(Default)]
struct State {
    /// The number of the first entry. Entries have consecutive numbers.
    begin: u64,
    entries: VecDeque<Entry>,
    /// The size of the deliveries that are kept.
    kept: usize,
    /// The number of the oldest delivery that may be kept.
    kept_from: u64,
    classes: HashMap<Class, Numbers>,
    firsts: HashMap<ClaimKey, First>,
}

struct Entry {
    summary: Summary,
    key: Option<ClaimKey>,
    delivered: Option<Arc<Delivered>>,
}

/// The numbers of the deliveries of a class.
#[derive(Default)]
struct Numbers {
    /// How many numbers were removed at the front.
    begin: u64,
    numbers: VecDeque<u64>,
}

impl History {
    pub(super) fn new() -> Self {
        Self::with_limits(MAX_LISTED, MAX_KEPT)
    }

    fn with_limits(max_listed: usize, max_kept: usize) -> Self {
        let state = State { begin: 1, kept_from: 1, ..State::default() };
        let changed = watch::Sender::new(());
        Self { state: Mutex::new(state), changed, max_listed, max_kept }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a delivery, and returns its number. The oldest ones make room.
    pub(super) fn add(&self, delivered: &Arc<Delivered>, senders: &[Sender]) -> u64 {
        let mut summary = Summary::of(delivered, senders);
        let mut state = self.lock();
        let number = state.begin + state.entries.len() as u64;
        summary.number = number;
        if let Some(key) = delivered.key {
            state.firsts.insert(key, First { number, at: delivered.at });
        }
        state.kept += size(delivered);
        state.classes.entry(delivered.class).or_default().numbers.push_back(number);
        let kept = Some(Arc::clone(delivered));
        state.entries.push_back(Entry { summary, key: delivered.key, delivered: kept });
        while state.entries.len() > self.max_listed {
            state.drop_first();
        }
        // The last delivery is always kept.
        while state.kept > self.max_kept && state.kept_from < number {
            state.drop_content();
        }
        drop(state);
        self.changed.send_replace(());
        number
    }

    /// Returns the completed delivery with this key.
    pub(super) fn first(&self, key: &ClaimKey) -> Option<First> {
        self.lock().firsts.get(key).copied()
    }

    /// Returns a row and, if it is still kept, the delivery.
    pub(super) fn get(&self, number: u64) -> Option<(Summary, Option<Arc<Delivered>>)> {
        let state = self.lock();
        let entry = state.entry(number)?;
        Some((entry.summary.clone(), entry.delivered.clone()))
    }

    /// Returns the first place in a list, and the one after the last.
    pub(super) fn range(&self, list: List) -> (u64, u64) {
        self.lock().range(list)
    }

    /// Returns up to `count` rows of a list that begin at the place `from`, and its place.
    pub(super) fn rows(&self, list: List, from: u64, count: usize) -> (u64, Vec<Summary>) {
        let state = self.lock();
        let (begin, end) = state.range(list);
        let from = from.clamp(begin, end);
        let numbers = (from..end).take(count).map(|place| match list.0 {
            None => place,
            Some(class) => state.classes[&class].numbers[(place - begin) as usize],
        });
        (from, numbers.filter_map(|it| Some(state.entry(it)?.summary.clone())).collect())
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

impl State {
    fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(number.checked_sub(self.begin)?.try_into().ok()?)
    }

    fn range(&self, list: List) -> (u64, u64) {
        match list.0 {
            None => (self.begin, self.begin + self.entries.len() as u64),
            Some(class) => self.classes.get(&class).map_or((0, 0), |numbers| {
                (numbers.begin, numbers.begin + numbers.numbers.len() as u64)
            }),
        }
    }

    fn drop_first(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        if let Some(key) = entry.key {
            self.firsts.remove(&key);
        }
        if let Some(delivered) = entry.delivered {
            self.kept -= size(&delivered);
        }
        if let Some(numbers) = self.classes.get_mut(&entry.summary.class) {
            numbers.numbers.pop_front();
            numbers.begin += 1;
        }
        self.begin += 1;
        self.kept_from = self.kept_from.max(self.begin);
    }

    /// Drops the oldest delivery that is kept. Its row stays.
    fn drop_content(&mut self) {
        let at = (self.kept_from - self.begin) as usize;
        self.kept_from += 1;
        if let Some(delivered) = self.entries.get_mut(at).and_then(|it| it.delivered.take()) {
            self.kept -= size(&delivered);
        }
    }
}

impl Summary {
    fn of(delivered: &Delivered, senders: &[Sender]) -> Self {
        let hidden = Hidden::of(senders, delivered.sender, &delivered.arrived);
        let sender = delivered.sender.and_then(|at| senders.get(at));
        let title = match (&delivered.refusal, &delivered.facts) {
            (Some((_, explanation)), _) => explanation.clone(),
            (None, Some(facts)) => facts.title(),
            (None, None) => "verification handshake".to_owned(),
        };
        Self {
            number: 0,
            at: delivered.at.as_millis() as u64,
            class: delivered.class,
            status: delivered.status,
            scheme: sender.map(|sender| sender.scheme.name().into()),
            method: delivered.arrived.method.chars().take(20).collect(),
            target: hidden.target(&delivered.arrived.target).chars().take(200).collect(),
            title: hidden.text(&title),
            attempt: delivered.attempt,
            duplicate_of: delivered.duplicate_of.map(|first| first.number),
            replay_of: delivered.replay_of,
            bytes: delivered.arrived.body.len(),
            ms: (delivered.took.as_secs_f64() * 1e5).round() / 100.0,
        }
    }
}

/// Returns the size of a delivery in memory, in bytes.
fn size(delivered: &Delivered) -> usize {
    let headers = |headers: &http::HeaderMap| -> usize {
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 160).sum()
    };
    let arrived = &delivered.arrived;
    let request = arrived.body.len() + arrived.target.len() + headers(&arrived.headers);
    let response = match delivered.forwarded.as_ref().map(|it| &it.result) {
        Some(Ok(response)) => response.body.len() + headers(&response.headers),
        _ => 0,
    };
    OVERHEAD + request + response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;

    use super::{super::arrived::Arrived, *};

    fn delivered(class: Class, body: usize, key: Option<u8>) -> Arc<Delivered> {
        Arc::new(Delivered {
            at: Duration::from_secs(1),
            took: Duration::ZERO,
            sender: None,
            arrived: Arrived {
                method: "POST".into(),
                target: "/".into(),
                headers: http::HeaderMap::new(),
                body: Bytes::from(vec![0; body]),
                is_complete: true,
            },
            class,
            status: 204,
            refusal: None,
            facts: None,
            attempt: None,
            key: key.map(|byte| ClaimKey::from([byte; 32])),
            duplicate_of: None,
            forwarded: None,
            replay_of: None,
        })
    }

    #[test]
    fn rows_and_contents_have_limits_of_their_own() {
        let history = History::with_limits(5, 3 * (OVERHEAD + 1001));
        for number in 1..=9 {
            let class = if number % 2 == 0 { Class::Refused } else { Class::Delivered };
            let added = history.add(&delivered(class, 1000, Some(number)), &[]);
            assert_eq!(added, u64::from(number));
        }
        let all = List::named("all").unwrap();
        assert_eq!(history.range(all), (5, 10));
        let kept = |number| history.get(number).map(|(_, delivered)| delivered.is_some());
        let expected = [None, Some(false), Some(false), Some(true), Some(true), Some(true), None];
        assert_eq!([4, 5, 6, 7, 8, 9, 10].map(kept), expected);
        let state = history.lock();
        assert_eq!(state.kept, 3 * (OVERHEAD + 1001));
        assert_eq!(state.firsts.len(), 5);
        drop(state);
        // Places in the list of a class do not move.
        let refused = List::named("refused").unwrap();
        assert_eq!(history.range(refused), (2, 4));
        let numbers = |from| {
            let (from, rows) = history.rows(refused, from, 9);
            (from, rows.iter().map(|row| row.number).collect::<Vec<_>>())
        };
        assert_eq!(numbers(0), (2, vec![6, 8]));
        assert_eq!(numbers(3), (3, vec![8]));
        assert_eq!(numbers(99), (4, vec![]));
        assert!(history.first(&ClaimKey::from([4; 32])).is_none());
        assert_eq!(history.first(&ClaimKey::from([5; 32])).unwrap().number, 5);
    }

    #[test]
    fn the_last_delivery_is_kept_even_if_it_is_over_the_limit() {
        let history = History::with_limits(9, 10);
        for _ in 0..3 {
            history.add(&delivered(Class::Delivered, 1000, None), &[]);
        }
        let kept = [1, 2, 3].map(|number| history.get(number).unwrap().1.is_some());
        assert_eq!(kept, [false, false, true]);
    }
}
