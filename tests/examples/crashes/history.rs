//! D6: four receivers on one store, while they are killed and frozen, and cut off from it. What
//! they and the store have written down is judged at the end. `FAULTS` sets how many faults each of
//! them suffers.
//!
//! Leases are longer than any of this takes. They expire because the store's records age, at random
//! moments, so what holds does not depend on the speed of the machine: to the holder that is still
//! at work, it is as if it had stood still for longer than its lease.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use integration_tests::{Kind, Place, Proxy, Weather};
use tokio::{
    runtime::Handle,
    sync::Mutex,
    task::{block_in_place, spawn_blocking},
};

use super::{
    number_from,
    outbox::Outbox,
    random, random_ms,
    runs::{
        LEASE_LOST, NOT_COMPLETED, Restarted, Run, by_event, check_acknowledged, check_settled,
        traced,
    },
    stores::{Grant, Monitor, granted, watch},
};
use crate::running::RECEIVERS;

pub(crate) const LEASE: Duration = Duration::from_secs(30);
const SENDERS: usize = 8;

/// A receiver, and its way to the store.
pub(crate) struct Member {
    pub(crate) receiver: Restarted,
    proxy: Proxy,
    faults: BTreeMap<&'static str, usize>,
}

impl Member {
    /// Starts a receiver that reaches `server` at the address that `start` gets.
    pub(crate) async fn start(
        server: SocketAddr,
        start: impl FnOnce(SocketAddr) -> Restarted + Send + 'static,
    ) -> Self {
        let proxy = Proxy::start(server).await;
        let addr = proxy.addr();
        Self {
            receiver: spawn_blocking(move || start(addr)).await.unwrap(),
            proxy,
            faults: BTreeMap::new(),
        }
    }

    /// One fault after the other, of each kind in turn, in a thread of its own. Between two of them
    /// some more events are acknowledged, however long that takes. `expire` lets all leases expire.
    fn suffer(&mut self, faults: u64, outbox: &Outbox, expire: &dyn Fn()) {
        let first = random(6);
        for number in first..first + faults {
            outbox.until_more_acknowledged(1 + random(12) as usize);
            let fault = match number % 6 {
                0 => {
                    self.receiver.kill();
                    expire();
                    self.receiver.revive();
                    "killed"
                }
                1 => {
                    // Before it stands still: it may do so in a transaction that has a record
                    // locked.
                    expire();
                    self.receiver.running().freeze();
                    thread::sleep(random_ms(200..2000));
                    self.receiver.running().signal("-CONT");
                    "frozen"
                }
                2 => {
                    let delay = random_ms(20..250);
                    self.endure(Weather { delay, ..Weather::default() }, random_ms(300..1000));
                    "slow"
                }
                3 => {
                    let cut = Weather { refuse: true, ..Weather::default() };
                    self.proxy.weather(cut);
                    self.proxy.sever();
                    self.endure(cut, random_ms(1..300));
                    "cut"
                }
                4 => {
                    self.proxy.cut_replies(usize::MAX, 0);
                    thread::sleep(random_ms(50..500));
                    self.proxy.cut_replies(0, 0);
                    "answers lost"
                }
                _ => {
                    expire();
                    self.endure(Weather { hold: true, ..Weather::default() }, random_ms(100..1500));
                    "black hole"
                }
            };
            *self.faults.entry(fault).or_default() += 1;
        }
    }

    fn endure(&self, weather: Weather, time: Duration) {
        self.proxy.weather(weather);
        thread::sleep(time);
        self.proxy.weather(Weather::default());
    }
}

/// The result.
pub(crate) struct History {
    pub(crate) outbox: Arc<Outbox>,
    /// In the order in which they began.
    pub(crate) events: BTreeMap<String, Vec<Run>>,
    /// The logs of all members.
    log: String,
}

/// Sends events to the members while they suffer, and until all events are acknowledged; then does
/// `at_last`, while they all still run.
pub(crate) async fn suffer(
    place: &Place,
    mut members: Vec<Member>,
    at_last: impl AsyncFnOnce(&Outbox),
) -> History {
    let faults = number_from("FAULTS", 3);
    let targets = members.iter().map(|member| member.receiver.target.clone());
    let outbox = Outbox::new(targets.collect());
    let senders = outbox.open(SENDERS);
    let begun = Instant::now();
    // One at a time, so that they do not wait for each other's records.
    let (runtime, aging) = (Handle::current(), Mutex::new(()));
    let expire = async || {
        let _turn = aging.lock().await;
        place.age(LEASE).await;
    };
    let expire_now = || runtime.block_on(expire());
    block_in_place(|| {
        thread::scope(|scope| {
            for member in &mut members {
                scope.spawn(|| member.suffer(faults, &outbox, &expire_now));
            }
        });
    });
    outbox.close();
    // A claim whose answer was lost has no handler: its lease expires here, without waiting.
    expire().await;
    outbox.finish(senders).await;
    at_last(&outbox).await;
    block_in_place(|| members.iter_mut().for_each(|member| member.receiver.kill()));

    let mut faults = BTreeMap::new();
    let (mut runs, mut log, mut lost, mut unsettled) = (Vec::new(), String::new(), 0, 0);
    for member in members {
        for (fault, count) in member.faults {
            *faults.entry(fault).or_insert(0) += count;
        }
        lost += member.receiver.logged(LEASE_LOST);
        unsettled += member.receiver.logged(NOT_COMPLETED);
        runs.extend(member.receiver.runs);
        log += &member.receiver.log;
    }
    let count = runs.len();
    let done = runs.iter().filter(|run| run.is_done).count();
    let events = by_event(runs);
    let acknowledged = outbox.acknowledged.lock().unwrap().clone();
    let failed = outbox.failed.load(Ordering::Relaxed);
    println!(
        "{:?} in {} s: {faults:?}; {} events, {} acknowledged; {count} runs, {done} to their end, {} beyond the first \
         of their event; {lost} leases lost, {unsettled} completions that failed; {failed} handlers failed",
        place.kind,
        begun.elapsed().as_secs(),
        outbox.sent.lock().unwrap().len(),
        acknowledged.len(),
        done.saturating_sub(events.len()),
    );
    assert_eq!(acknowledged.len(), outbox.sent.lock().unwrap().len());
    History { outbox, events, log }
}

/// Checks that every acknowledged event was done before its acknowledgment, and that no handler
/// failed. The runs are exactly those that the store granted: attempts rise by one, and no attempt
/// begins under a live lease of another.
fn check(history: &History, grants: &[Grant]) {
    assert_eq!(history.outbox.failed.load(Ordering::Relaxed), 0);
    let acknowledged = history.outbox.acknowledged.lock().unwrap();
    check_acknowledged(&acknowledged, &history.events);
    check_settled(&acknowledged, &history.events, &history.log);
    let mut attempts: HashMap<&str, u64> = HashMap::new();
    let mut owners = HashSet::new();
    for grant in grants {
        assert!(grant.rightful, "not free to be granted: {grant:?}");
        let last = attempts.entry(&grant.key).or_default();
        assert_eq!(grant.attempt, *last + 1, "{grant:?}");
        *last = grant.attempt;
        owners.insert((&*grant.key, grant.attempt));
    }
    for run in history.events.values().flatten() {
        assert!(owners.contains(&(&*run.key, run.attempt)), "never granted: {run:?}");
    }
    println!("{} grants", grants.len());
}

/// Sends all of them once more.
async fn send_again(outbox: &Outbox) {
    let ids: Vec<_> = outbox.sent.lock().unwrap().iter().cloned().collect();
    for id in ids {
        outbox.send(&id, 0).await;
    }
}

/// Two of either framework, each with a way of its own to the store.
async fn examples(place: &Place) -> Vec<Member> {
    let mut members = Vec::new();
    // One is slower than some senders are patient.
    let delays = ["150", "150", "150", "700"];
    for (name, delay) in RECEIVERS.iter().cycle().zip(delays) {
        let (server, url) = (place.server.unwrap(), place.url.clone());
        let start = move |proxy: SocketAddr| {
            let store = url.replace(&server.to_string(), &proxy.to_string());
            Restarted::start(move || traced(name, &store, LEASE, delay))
        };
        members.push(Member::start(server, start).await);
    }
    members
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql() {
    let place = Place::new(Kind::Postgres);
    watch(&place).await;
    let members = examples(&place).await;
    let history = suffer(&place, members, send_again).await;
    check(&history, &granted(&place).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_redis() {
    let place = Place::new(Kind::Redis);
    let server = place.redis.as_ref().unwrap();
    let monitor = Monitor::start(server);
    let members = examples(&place).await;
    let history = suffer(&place, members, send_again).await;
    check(&history, &monitor.granted(server));
}
