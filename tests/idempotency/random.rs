//! Random batches from a pool of events, several at once, whose handlers fail, panic, swallow
//! errors and crash at random. In the end each event has had its effect once.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
    time::Duration,
};

use futures_util::future::{Either, join_all, select};
use integration_tests::{AnyStore, Kind, Place};
use tokio::{sync::Notify, task::yield_now, time::sleep};
use webhook_verify::{
    Event, Idempotency, MemoryStore, Receiver, adapter::Admission, idempotency::ClaimStore, scheme,
};

use crate::{common::*, sender::*};

const EVENTS: usize = 12;
const LEASE: Duration = Duration::from_secs(600);
/// After this many rounds, nothing fails.
const BAD_ROUNDS: usize = 12;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, self.roll(last + 1));
        }
    }
}

/// The action of a handler at its `n`th event, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Success,
    Fails(usize),
    Panics(usize),
    /// Returns success without doing the rest.
    Swallows(usize),
    /// The process crashes before the effect of the event.
    Dies(usize),
    /// The process crashes while the event is being recorded.
    DiesAfter(usize),
    /// Takes the batch as a whole.
    TakesTheWhole,
}

impl Fate {
    fn of(dice: &mut Dice) -> Self {
        let at = dice.roll(5);
        match dice.roll(8) {
            0 => Self::Fails(at),
            1 => Self::Panics(at),
            2 => Self::Swallows(at),
            3 => Self::Dies(at),
            4 => Self::DiesAfter(at),
            5 => Self::TakesTheWhole,
            _ => Self::Success,
        }
    }
}

/// The effects of events, and the events in progress.
#[derive(Default)]
struct Seen {
    effects: HashMap<usize, usize>,
    /// How often an event may have had an effect that was not recorded.
    unknown: HashMap<usize, usize>,
    at_work: HashSet<usize>,
    /// Events that two handlers had at once. A panic here would count as one of a handler.
    at_once: Vec<usize>,
}

/// An event is in progress until this is dropped.
struct AtWork<'s>(&'s Mutex<Seen>, usize);

impl<'s> AtWork<'s> {
    fn begin(seen: &'s Mutex<Seen>, event: &Event) -> Self {
        let data: HashMap<String, usize> = event.data().unwrap();
        let number = data["id"];
        let mut all = seen.lock().unwrap();
        if !all.at_work.insert(number) {
            all.at_once.push(number);
        }
        drop(all);
        Self(seen, number)
    }

    async fn end(self) {
        yield_now().await;
        *self.0.lock().unwrap().effects.entry(self.1).or_default() += 1;
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().at_work.remove(&self.1);
    }
}

/// A timer whose short pauses take no time. Time limits of calls do.
async fn impatient(pause: Duration) {
    match pause < seconds(2) {
        true => yield_now().await,
        false => sleep(pause).await,
    }
}

async fn handle(
    delivery: &webhook_verify::Delivery,
    fate: Fate,
    seen: &Mutex<Seen>,
    death: &Notify,
) -> u16 {
    if fate == Fate::TakesTheWhole {
        let batch = delivery.batch().unwrap();
        for event in &batch {
            AtWork::begin(seen, event).end().await;
        }
        return 202;
    }
    let events = delivery.events().unwrap();
    for (n, event) in events.iter().enumerate() {
        let work = AtWork::begin(seen, event);
        yield_now().await;
        match fate {
            Fate::Fails(at) if at == n => return 422,
            Fate::Panics(at) => assert!(at != n, "a panic that is meant to be"),
            Fate::Swallows(at) if at == n => return 200,
            Fate::Dies(at) if at == n => {
                death.notify_one();
                std::future::pending().await
            }
            Fate::DiesAfter(at) if at == n => {
                let number = work.1;
                *seen.lock().unwrap().unknown.entry(number).or_default() += 1;
                work.end().await;
                death.notify_one();
                event.done().await;
                continue;
            }
            _ => {}
        }
        work.end().await;
        event.done().await;
    }
    200
}

/// Sends one request. Returns the status, unless the receiver crashed.
async fn send(
    receiver: &Receiver,
    numbers: &[usize],
    fate: Fate,
    seen: &Mutex<Seen>,
) -> Option<u16> {
    let request = mautic(written(numbers));
    let admitted = match admit(receiver, &request, impatient).await {
        Ok(Admission::Admitted(admitted)) => admitted,
        Ok(Admission::Answer(answer)) => return Some(answer.status()),
        Err(rejection) => return Some(rejection.status()),
    };
    let death = Notify::new();
    // The success of a handler with a single event completes it.
    let fate = match fate {
        Fate::Swallows(at) if numbers.len() == 1 => Fate::Fails(at),
        fate => fate,
    };
    let delivery = admitted.delivery().clone();
    let handler = handle(&delivery, fate, seen, &death);
    let running = Box::pin(admitted.handle(handler, its_status));
    match select(running, Box::pin(death.notified())).await {
        Either::Left((Ok(status), _)) => Some(status),
        Either::Left((Err(rejection), _)) => Some(rejection.status()),
        Either::Right(_) => None,
    }
}

/// Returns a body with events of three types, each in the list of its type.
fn written(numbers: &[usize]) -> String {
    let mut types: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for number in numbers {
        let event = format!(r#"{{"id":{number}}}"#);
        types.entry(number % 3).or_default().push(event);
    }
    let names = ["a", "b", "c"];
    let lists: Vec<_> = types.iter().map(|(at, events)| (names[*at], &events[..])).collect();
    body(&lists)
}

/// Sends events until each was in a request with a 2xx response.
async fn play<S: ClaimStore>(seed: u64, clock: &HandClock, store: &Arc<Watched<S>>) {
    let mut dice = Dice(seed);
    let seen = Mutex::new(Seen::default());
    let idempotency = Idempotency::new(Arc::clone(store), format!("seed {seed}"));
    let receiver =
        receiver_with(scheme::MAUTIC, idempotency.lease(LEASE).claim_timeout(seconds(60)));
    let mut left: HashSet<usize> = (0..EVENTS).collect();
    for round in 0.. {
        assert!(round < 3 * BAD_ROUNDS, "seed {seed}: {left:?} are never done");
        // The events that are left, some in two requests, and some that are done.
        let mut numbers: Vec<_> = left.iter().copied().collect();
        numbers.sort_unstable();
        numbers.extend((0..dice.roll(4)).map(|_| dice.roll(EVENTS)));
        dice.shuffle(&mut numbers);
        let mut requests: Vec<Vec<usize>> = vec![Vec::new(); 1 + dice.roll(3)];
        for number in numbers {
            let count = requests.len();
            let request = &mut requests[dice.roll(count)];
            if !request.contains(&number) {
                request.push(number);
            }
        }
        requests.retain(|request| !request.is_empty());
        let bad = round < BAD_ROUNDS;
        let fates: Vec<_> = requests
            .iter()
            .map(|_| if bad { Fate::of(&mut dice) } else { Fate::Success })
            .collect();
        let faults =
            [&store.fail_claims, &store.lose_claims, &store.fail_completes, &store.fail_releases];
        for knob in faults {
            knob.store(if bad && dice.roll(4) == 0 { 1 + dice.roll(2) } else { 0 }, SeqCst);
        }
        let sending = requests.iter().zip(&fates);
        let answers =
            join_all(sending.map(|(request, fate)| send(&receiver, request, *fate, &seen))).await;
        for knob in faults {
            knob.store(0, SeqCst);
        }
        for ((request, fate), answer) in requests.iter().zip(&fates).zip(&answers) {
            if !matches!(answer, Some(200..300)) {
                continue;
            }
            let told = format!("seed {seed}, round {round}, {request:?}, {fate:?}, {answer:?}");
            // All of its events are completed.
            let again = admit(&receiver, &mautic(written(request)), impatient).await;
            assert!(matches!(again, Ok(Admission::Answer(_))), "{told}: {again:?}");
            for number in request {
                assert!(seen.lock().unwrap().effects.contains_key(number), "{told}: {number}");
                left.remove(number);
            }
        }
        if left.is_empty() {
            break;
        }
        // The leases of crashed handlers expire.
        if answers.contains(&None) || dice.roll(3) == 0 {
            clock.advance(LEASE);
        }
    }
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.at_once, [0; 0], "seed {seed}");
    for number in 0..EVENTS {
        let unknown = seen.unknown.get(&number).copied().unwrap_or_default();
        let effects = seen.effects[&number];
        assert!(
            (1..=1 + unknown).contains(&effects),
            "seed {seed}: event {number} had {effects} effects, {unknown} of them may be unknown"
        );
    }
}

/// Returns the same seeds each time, and a new one.
fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let new = RandomState::new().hash_one(count);
    eprintln!("seed {new} beside those below {count}");
    (0..count).chain([new])
}

#[tokio::test]
async fn on_memory() {
    for seed in seeds(400) {
        let clock = HandClock::new();
        let store = Watched::over(MemoryStore::new().clock(clock.clone()));
        play(seed, &clock, &store).await;
    }
}

#[tokio::test]
async fn on_sqlite() {
    let place = Place::new(Kind::Sqlite);
    let clock = HandClock::new();
    let AnyStore::Sqlite(store) = place.open().await else { panic!("another store") };
    let store = store.clock(clock.clone());
    for seed in seeds(30) {
        play(seed, &clock, &Watched::over(store.clone())).await;
    }
}
