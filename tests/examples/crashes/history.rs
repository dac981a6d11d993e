//! D6: four receivers on one store, while they are killed and frozen, and cut off from it. What they and the store have
//! written down is judged at the end. `SECONDS_OF_FAULTS` sets for how long each goes on.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use integration_tests::{PostgresServer, RedisServer};
use tokio::task::{block_in_place, spawn_blocking};

use crate::{
    number_from,
    outbox::Outbox,
    proxy::{Proxy, Weather},
    random, random_ms,
    running::RECEIVERS,
    runs::{
        LEASE_LOST, NOT_COMPLETED, Restarted, Run, by_event, check_acknowledged, check_settled,
        traced,
    },
    stores::{Grant, Monitor, granted, watched_database},
};

pub(crate) const LEASE: Duration = Duration::from_secs(1);
const MARGIN: Duration = Duration::from_secs(9);
const SENDERS: usize = 8;

/// A receiver, and its way to the store.
pub(crate) struct Member {
    pub(crate) receiver: Restarted,
    proxy: Proxy,
    faults: BTreeMap<&'static str, usize>,
}

impl Member {
    /// One that `start` starts with the address at which it finds `server`.
    pub(crate) async fn start(
        server: SocketAddr,
        start: impl FnOnce(SocketAddr) -> Restarted + Send + 'static,
    ) -> Self {
        let proxy = Proxy::start(server).await;
        let addr = proxy.addr;
        Self {
            receiver: spawn_blocking(move || start(addr)).await.unwrap(),
            proxy,
            faults: BTreeMap::new(),
        }
    }

    /// One fault after the other, in a thread of its own.
    fn suffer(&mut self, until: Instant) {
        while Instant::now() < until {
            thread::sleep(random_ms(100..1500));
            let fault = match random(6) {
                0 => {
                    self.receiver.restart();
                    "killed"
                }
                1 => {
                    self.receiver.running().signal("-STOP");
                    thread::sleep(LEASE + random_ms(200..1500));
                    self.receiver.running().signal("-CONT");
                    "frozen"
                }
                2 => {
                    let slow = Weather::Slow(random_ms(20..250));
                    self.endure(slow, random_ms(300..1500))
                }
                3 => self.endure(Weather::Cut, random_ms(1..300)),
                4 => self.endure(Weather::AnswersLost, random_ms(50..500)),
                _ => self.endure(Weather::BlackHole, random_ms(100..2000)),
            };
            *self.faults.entry(fault).or_default() += 1;
        }
    }

    fn endure(&self, weather: Weather, time: Duration) -> &'static str {
        self.proxy.set(weather);
        thread::sleep(time);
        self.proxy.set(Weather::Fair);
        match weather {
            Weather::Fair => "fair",
            Weather::Slow(_) => "slow",
            Weather::BlackHole => "black hole",
            Weather::Cut => "cut",
            Weather::AnswersLost => "answers lost",
        }
    }
}

/// What has come of it.
pub(crate) struct History {
    pub(crate) outbox: Arc<Outbox>,
    /// In the order in which they began.
    pub(crate) events: BTreeMap<String, Vec<Run>>,
    /// What the members logged.
    log: String,
}

/// Sends events to the members while they suffer, and until all events are acknowledged; then does `at_last`, while they all
/// still run.
pub(crate) async fn suffer(
    store: &str,
    members: Vec<Member>,
    at_last: impl AsyncFnOnce(&Outbox),
) -> History {
    let time = Duration::from_secs(number_from("SECONDS_OF_FAULTS", 30));
    let targets = members.iter().map(|member| member.receiver.target.clone());
    let outbox = Outbox::new(targets.collect());
    let senders = outbox.open(SENDERS);
    let until = Instant::now() + time;
    let sufferers = members.into_iter().map(|mut member| {
        thread::spawn(move || {
            member.suffer(until);
            member
        })
    });
    let sufferers: Vec<_> = sufferers.collect();
    let mut members: Vec<_> = block_in_place(|| {
        sufferers
            .into_iter()
            .map(|one| one.join().unwrap())
            .collect()
    });
    outbox.close();
    let over = Instant::now();
    outbox.finish(senders, LEASE + MARGIN).await;
    let finished = over.elapsed();
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
        "{store}, {} s: {faults:?}; {} events, {} acknowledged, the last {} ms after the last fault; {count} runs, {done} to \
         their end, {} beyond the first of their event; {lost} leases lost, {unsettled} completions that failed; {failed} handlers failed",
        time.as_secs(),
        outbox.sent.lock().unwrap().len(),
        acknowledged.len(),
        finished.as_millis(),
        done.saturating_sub(events.len()),
    );
    assert_eq!(acknowledged.len(), outbox.sent.lock().unwrap().len());
    History {
        outbox,
        events,
        log,
    }
}

/// Whoever was told that an event is done was told so after a handler had done it, and no handler failed.
/// What the receivers ran is what the store has granted: attempts rise by one, each when nobody else's lease was live.
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
        assert!(
            owners.contains(&(&*run.key, run.attempt)),
            "never granted: {run:?}"
        );
    }
    println!("{} grants", grants.len());
}

/// Sends all of them once more.
async fn send_again(outbox: &Outbox) {
    let ids: Vec<_> = outbox.sent.lock().unwrap().iter().cloned().collect();
    for id in ids {
        outbox.send(&id).await;
    }
}

/// Two of either framework. `url` has the store's address in it, which each of them finds elsewhere.
async fn examples(url: &str) -> Vec<Member> {
    let server = addr_in(url);
    let mut members = Vec::new();
    // One is so slow that it renews its leases.
    let delays = ["150", "150", "150", "700"];
    for (name, delay) in RECEIVERS.iter().cycle().zip(delays) {
        let url = url.to_owned();
        let start = move |proxy: SocketAddr| {
            let store = url.replace(&server.to_string(), &proxy.to_string());
            Restarted::start(move || traced(name, &store, LEASE, delay))
        };
        members.push(Member::start(server, start).await);
    }
    members
}

/// The server's address in a store's.
pub(crate) fn addr_in(url: &str) -> SocketAddr {
    let (_, rest) = url.split_once("://").unwrap();
    let (authority, _) = rest.split_once('/').unwrap();
    let host = authority.rsplit('@').next().unwrap();
    host.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql() {
    let url = watched_database(PostgresServer::shared()).await;
    let members = examples(&url).await;
    let history = suffer("PostgreSQL", members, send_again).await;
    check(&history, &granted(&url).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_redis() {
    let server = RedisServer::start();
    let monitor = Monitor::start(&server);
    let members = examples(&server.url()).await;
    let history = suffer("Redis", members, send_again).await;
    check(&history, &monitor.granted());
}
