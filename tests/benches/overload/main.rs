//! Goodput of receivers under more senders than their store can serve.
//!
//! The number of senders grows from 1 to 50 times the size of the store's pool. Each sends one
//! delivery after another. A sender that gets 503 retries its delivery after a pause. *Goodput* is
//! the number of deliveries that are handled and completed per second.
//!
//! For each store the program prints:
//!
//! * the goodput at each number of senders, in good and in bad weather;
//! * the time to recover from a network that drops all data for a while.
//!
//! The exit code tells whether all aims were met. `SECONDS` sets how long each figure of a round is
//! measured. To measure only some stores, name them:
//! `cargo bench -p integration-tests --bench overload -- postgres`.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails says nothing")]

mod load;
mod site;

use std::{env, process::ExitCode, time::Duration};

use integration_tests::{Kind, Weather};

use self::{load::Load, site::Site};

/// The size of the pool that `PostgresStore::connect` creates. Other stores have one connection,
/// and get the same numbers of senders.
const POOL: usize = 10;
const MULTIPLES: [usize; 6] = [1, 2, 5, 10, 20, 50];
const ROUNDS: usize = 6;
/// How long the network drops all data.
const BLACK_HOLE: Duration = Duration::from_secs(60);
/// How long a receiver waits for its store by default.
const CALL_LIMIT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let named: Vec<_> = env::args().skip(1).filter(|name| name != "--bench").collect();
    let seconds = env::var("SECONDS").map_or(3, |seconds| seconds.parse().unwrap());
    let stores = [("sqlite", Kind::Sqlite), ("redis", Kind::Redis), ("postgres", Kind::Postgres)];
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut reached = true;
    println!("| store | weather | {} | at 500 to the peak | aim |", {
        let columns = MULTIPLES.map(|multiple| format!("{} senders", multiple * POOL));
        columns.join(" | ")
    });
    println!("|---|---|{}---:|---:|", "---:|".repeat(MULTIPLES.len()));
    for (name, kind) in stores {
        if named.is_empty() || named.iter().any(|named| named == name) {
            reached &= runtime.block_on(curve(name, kind, Duration::from_secs(seconds)));
        }
    }
    println!("\n| store | recovered after the black hole | aim |\n|---|---:|---:|");
    for (name, kind) in stores {
        if kind != Kind::Sqlite && (named.is_empty() || named.iter().any(|named| named == name)) {
            reached &= runtime.block_on(recovery(name, kind));
        }
    }
    match reached {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Prints the goodput in good and bad weather, as rows of a table. Each figure is the median of
/// several rounds, because single figures differ by a tenth.
async fn curve(name: &str, kind: Kind, time: Duration) -> bool {
    let mut reached = true;
    for (title, is_bad, bound) in [("good", false, 0.9), ("bad", true, 0.5)] {
        let site = Site::open(kind).await;
        let _weather = is_bad.then(|| site.bad_weather());
        let mut rounds = [const { Vec::new() }; MULTIPLES.len()];
        for round in 0..ROUNDS {
            // The table grows meanwhile, so each round begins with a different number of senders.
            for cell in (0..MULTIPLES.len()).map(|cell| (cell + round) % MULTIPLES.len()) {
                let load = Load::start(site.receiver(), MULTIPLES[cell] * POOL);
                // Wait until the senders are under way, and connections are open.
                tokio::time::sleep(time / 5).await;
                let before = site.completed();
                tokio::time::sleep(time).await;
                rounds[cell].push((site.completed() - before) as f64 / time.as_secs_f64());
                load.end().await;
            }
        }
        let rates = rounds.map(|mut rates| {
            rates.sort_by(f64::total_cmp);
            (rates[ROUNDS / 2 - 1] + rates[ROUNDS / 2]) / 2.0
        });
        let peak = rates.iter().copied().fold(0.0, f64::max);
        let ratio = rates[MULTIPLES.len() - 1] / peak;
        let columns: Vec<_> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
        println!("| {name} | {title} | {} | {ratio:.2} | {bound} |", columns.join(" | "));
        reached &= ratio >= bound;
    }
    reached
}

/// Measures how long it takes until goodput is back at 0.9 of its value before the network dropped
/// all data.
async fn recovery(name: &str, kind: Kind) -> bool {
    const STEP: Duration = Duration::from_millis(100);
    let site = Site::open(kind).await;
    let load = Load::start(site.receiver(), 10 * POOL);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = site.completed();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let usual = (site.completed() - before) as f64 / 3.0;
    site.weather(Weather { black_hole: true, ..Weather::default() });
    tokio::time::sleep(BLACK_HOLE).await;
    site.weather(Weather::default());
    let mut counts = vec![site.completed()];
    let bound = 2 * CALL_LIMIT;
    let mut recovered = None;
    while recovered.is_none() && counts.len() < 600 {
        tokio::time::sleep(STEP).await;
        counts.push(site.completed());
        // Goodput was as before for half a second from that time on.
        let last = counts.len() - 1;
        if last >= 5 {
            let rate = (counts[last] - counts[last - 5]) as f64 / (5.0 * STEP.as_secs_f64());
            recovered = (rate >= 0.9 * usual).then(|| STEP * last as u32);
        }
    }
    load.end().await;
    let seconds = recovered.map(|after| format!("{:.1} s", after.as_secs_f64()));
    println!(
        "| {name} | {} | {:.1} s |",
        seconds.as_deref().unwrap_or("not within 60 s"),
        bound.as_secs_f64()
    );
    recovered.is_some_and(|after| after <= bound)
}
