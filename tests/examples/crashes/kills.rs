//! A receiver on a SQLite file that is killed again and again.

use std::{
    collections::HashSet,
    env, fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use integration_tests::{Kind, PATIENCE, Place, in_folder};
use tokio::task::block_in_place;

use super::{
    number_from,
    outbox::Outbox,
    random, random_ms,
    runs::{
        LEASE_LOST, NOT_COMPLETED, Restarted, by_event, check_acknowledged, check_settled, traced,
    },
};
use crate::running::{RECEIVERS, Running, receiver};

/// Longer than a receiver lives here. It expires when its holder is dead, because the records age.
const LEASE: Duration = Duration::from_secs(60);
const SENDERS: usize = 6;

/// B4: what a receiver has acknowledged before it is killed is done, and is not done again; what it
/// had begun is run again after the lease. `CYCLES` sets how often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_time() {
    let cycles = number_from("CYCLES", 6);
    let place = Place::new(Kind::Sqlite);
    let store = place.url.clone();
    let mut names = RECEIVERS.iter().cycle();
    let mut receiver = Restarted::start(move || {
        // Each framework resumes where the other was killed.
        traced(names.next().unwrap(), &store, LEASE, "100")
    });
    let outbox = Outbox::new(vec![receiver.target.clone()]);
    let senders = outbox.open(SENDERS);
    for _ in 0..cycles {
        // It is killed when it has begun or done some events, at any moment after the last of them.
        block_in_place(|| {
            receiver.until_printed(1 + random(24) as usize);
            thread::sleep(random_ms(0..100));
            receiver.kill();
        });
        place.age(LEASE).await;
        block_in_place(|| receiver.revive());
    }
    outbox.close();
    outbox.finish(senders).await;

    // All of it is still known, to the last process as to those that are gone.
    let forgotten = outbox.expect_replays().await;
    let acknowledged = outbox.acknowledged.lock().unwrap().clone();
    block_in_place(|| receiver.kill());
    let (lost, unsettled) = (receiver.logged(LEASE_LOST), receiver.logged(NOT_COMPLETED));
    let runs = receiver.runs.len();
    let events = by_event(receiver.runs);
    check_acknowledged(&acknowledged, &events);
    check_settled(&acknowledged, &events, &receiver.log);
    let (mut after_a_kill, mut second_effects) = (0, 0);
    let mut run_again = HashSet::new();
    for (id, runs) in &events {
        for pair in runs.windows(2) {
            let [before, after] = pair else { continue };
            assert!(before.attempt < after.attempt, "{runs:?}");
            assert!(before.end <= after.begin, "twice at once: {runs:?}");
            after_a_kill += usize::from(!before.is_done);
        }
        second_effects += runs.iter().filter(|run| run.is_done).count() - 1;
        // The holder's log has told why, or the check above would have failed.
        run_again.extend((runs.last().unwrap().begin > acknowledged[id]).then_some(id));
    }
    assert!(forgotten.iter().all(|id| run_again.contains(id)), "{forgotten:?}");
    println!(
        "{cycles} kills: {} events, {} acknowledged; {runs} runs, {} after the acknowledgment, \
         {after_a_kill} after one that was killed, {second_effects} effects beyond the first; \
         {lost} leases lost, {unsettled} completions that failed",
        outbox.sent.lock().unwrap().len(),
        acknowledged.len(),
        run_again.len(),
    );
    assert_eq!(outbox.failed.load(Ordering::Relaxed), 0);
    assert!(after_a_kill > 0, "no kill met a handler");
}

const TO_BE_KILLED: &str = "WEBHOOK_VERIFY_TEST_TO_BE_KILLED";

/// This program again starts receivers, one of which stands still, and is killed.
#[test]
fn no_receiver_outlives_a_killed_test_process() {
    if env::var_os(TO_BE_KILLED).is_some() {
        let receivers = RECEIVERS.map(|name| Running::spawn(receiver(name, "memory:")).unwrap());
        receivers[0].freeze();
        println!("\nreceivers {} {}", receivers[0].id(), receivers[1].id());
        thread::sleep(PATIENCE);
        panic!("not killed within {} s", PATIENCE.as_secs());
    }
    let test = "crashes::kills::no_receiver_outlives_a_killed_test_process";
    let mut again = Command::new(env::current_exe().unwrap());
    again.args(["--exact", test, "--nocapture"]).env(TO_BE_KILLED, "").stdout(Stdio::piped());
    let mut process = in_folder(&mut again).spawn().unwrap();
    // They end with the process, which has an end.
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    let started = lines.find_map(|line| Some(line.strip_prefix("receivers ")?.to_owned()));
    let started = started.expect("receivers that run");
    let names: Vec<_> = started.split(' ').map(|id| format!("/proc/{id}/comm")).collect();
    let run = || {
        let name = |path| fs::read_to_string(path).unwrap_or_default();
        let running = names.iter().map(name);
        running.filter(|name| name.starts_with("receiver")).count()
    };
    assert_eq!(run(), 2);
    process.kill().unwrap();
    process.wait().unwrap();
    let killed = Instant::now();
    while run() > 0 {
        let limit = PATIENCE.as_secs();
        assert!(killed.elapsed() < PATIENCE, "receivers run {limit} s later");
        thread::sleep(Duration::from_millis(20));
    }
}
