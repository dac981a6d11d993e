//! A receiver on a SQLite file that is killed again and again.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use tokio::{task::block_in_place, time::sleep};

use crate::{
    number_from,
    outbox::Outbox,
    random_ms,
    running::RECEIVERS,
    runs::{LEASE_LOST, NOT_COMPLETED, Restarted, by_event, check_acknowledged, traced},
    stores::TempFolder,
};

const LEASE: Duration = Duration::from_secs(1);
const MARGIN: Duration = Duration::from_secs(5);
const SENDERS: usize = 6;

/// B4: what a receiver has acknowledged before it is killed is done, and is not done again; what it had begun is run again
/// after the lease. `CYCLES` sets how often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_time() {
    let cycles = number_from("CYCLES", 20);
    let folder = TempFolder::new();
    let store = folder.sqlite();
    let mut names = RECEIVERS.iter().cycle();
    let mut receiver = Restarted::start(move || {
        // Each framework goes on where the other was killed.
        traced(names.next().unwrap(), &store, LEASE, "100")
    });
    let outbox = Outbox::new(vec![receiver.target.clone()]);
    let senders = outbox.open(SENDERS);
    for _ in 0..cycles {
        sleep(random_ms(50..700)).await;
        block_in_place(|| receiver.restart());
    }
    outbox.close();
    let restarted = Instant::now();
    outbox.finish(senders, LEASE + MARGIN).await;
    let finished = restarted.elapsed();

    // All of it is still known, to the last process as to those that are gone.
    outbox.expect_replays().await;
    let acknowledged = outbox.acknowledged.lock().unwrap().clone();
    block_in_place(|| receiver.kill());
    let (lost, unsettled) = (receiver.logged(LEASE_LOST), receiver.logged(NOT_COMPLETED));
    let runs = receiver.runs.len();
    let events = by_event(receiver.runs);
    check_acknowledged(&acknowledged, &events);
    let (mut after_a_kill, mut second_effects) = (0, 0);
    for (id, runs) in &events {
        for pair in runs.windows(2) {
            let [before, after] = pair else { continue };
            assert!(before.attempt < after.attempt, "{runs:?}");
            assert!(before.end <= after.begin, "twice at once: {runs:?}");
            after_a_kill += usize::from(!before.is_done);
        }
        second_effects += runs.iter().filter(|run| run.is_done).count() - 1;
        let last = runs.last().unwrap();
        assert!(last.begin <= acknowledged[id], "run again: {runs:?}");
    }
    println!(
        "{cycles} kills: {} events, {} acknowledged, the last {} ms after the last restart; {runs} runs, \
         {after_a_kill} after one that was killed, {second_effects} effects beyond the first; \
         {lost} leases lost, {unsettled} completions that failed",
        outbox.sent.lock().unwrap().len(),
        acknowledged.len(),
        finished.as_millis(),
    );
    assert_eq!(outbox.failed.load(Ordering::Relaxed), 0);
    assert!(after_a_kill > 0, "no kill met a handler");
}
