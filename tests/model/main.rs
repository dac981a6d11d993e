//! Checks the claims of one event in every state that three senders, a store and any faults can
//! reach, and the entry of one event in an inbox in every state that two workers, an operator and
//! any faults can reach.
//!
//! The transitions of the record are those of `MemoryStore`, from the same source file. The steps
//! of the receiver are those of `Received::admit`, `Admitted::run` and `Admitted::settle`, one call
//! of the store at a time. For every property, a flaw in the store or the receiver shows that it
//! can fail.
#![allow(clippy::unwrap_used)]

mod deliveries;
mod inbox;
mod same;
mod store;

use std::{collections::HashMap, fmt::Debug, hash::Hash, time::Instant};

use integration_tests::size;
use stateright::{Checker, HasDiscoveries, Model};
use webhook_verify::idempotency::OnLeaseExpiry;

use self::deliveries::{
    AFTER_SUCCESS, ATTEMPTS_RISE, Deliveries, FENCED, Flaw, HELD, NOBODY_STUCK, ONCE, ONE_HANDLER,
    ONE_LEASE, SETTLED,
};

/// Up to two faults of any kind in one run, and the record expires.
const TAKE_OVER: Deliveries = Deliveries {
    lapsed: OnLeaseExpiry::TakeOver,
    faults: 2,
    late: true,
    lapses: true,
    expires: true,
    flaw: None,
};

/// Claims with an expired lease are held, for longer than senders retry.
const HOLD: Deliveries = Deliveries { lapsed: OnLeaseExpiry::Hold, expires: false, ..TAKE_OVER };

/// Claims are held, and no lease expires: no holder dies or freezes, and no call comes late.
const HOLD_WITHOUT_LAPSES: Deliveries =
    Deliveries { faults: 5, late: false, lapses: false, ..HOLD };

/// Checks all properties in all states. Returns the number of states.
fn holds<M>(model: M) -> usize
where
    M: Model<State: Hash + Send + Sync, Action: Debug> + Send + Sync + 'static,
{
    let start = Instant::now();
    let checker = model.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    let states = checker.unique_state_count();
    println!("{states} states, {} deep, {:?}", checker.max_depth(), start.elapsed());
    states
}

/// Returns the model with three faults for a thorough run, which takes ten times as long.
fn with_faults(model: Deliveries) -> Deliveries {
    let faults = size(model.faults, 3);
    Deliveries { faults, ..model }
}

/// Checks that the property is found broken.
fn breaks<M>(model: M, property: &'static str)
where
    M: Model<State: Hash + Send + Sync, Action: Debug> + Copy + Debug + Send + Sync + 'static,
{
    let only = HasDiscoveries::AnyOf([property].into());
    let checker = model.checker().threads(2).finish_when(only).spawn_bfs().join();
    let path = checker.discovery(property);
    let path = path.unwrap_or_else(|| panic!("not found: {property}, {model:?}"));
    println!("{property}\n{model:?}: {:?}", path.into_actions());
}

fn flawed(flaw: Flaw) -> Deliveries {
    Deliveries { flaw: Some(flaw), ..TAKE_OVER }
}

#[test]
fn taken_over() {
    assert!(holds(with_faults(TAKE_OVER)) > size(25_000, 150_000));
}

/// No sender waits for the end of the record.
#[test]
fn taken_over_within_its_life() {
    let model = Deliveries { expires: false, ..TAKE_OVER };
    assert!(holds(with_faults(model)) > size(6_000, 40_000));
}

#[test]
fn held() {
    let model = Deliveries { expires: true, ..HOLD };
    assert!(holds(with_faults(model)) > size(25_000, 150_000));
}

#[test]
fn held_without_lapses() {
    assert!(holds(HOLD_WITHOUT_LAPSES) > 4_000);
}

/// With [`NOBODY_STUCK`], this makes "every sender gets its 2xx" hold on every path: each path
/// ends, and only where nothing continues by itself.
#[test]
fn every_path_ends() {
    for model in [with_faults(TAKE_OVER), HOLD_WITHOUT_LAPSES] {
        ends(&model);
    }
}

/// Checks that each path of the model ends.
fn ends<M: Model<State: Clone + Eq + Hash>>(model: &M) {
    let mut states = HashMap::new();
    let mut pending: Vec<_> = model.init_states();
    let mut edges = Vec::new();
    // Several paths may reach a state, so depth does not show a circle. Sort the states
    // topologically: remove states without a way in, and a circle remains.
    let mut ways_in = Vec::new();
    for state in &pending {
        states.insert(state.clone(), ways_in.len());
        ways_in.push(0_usize);
    }
    while let Some(state) = pending.pop() {
        let from = states[&state];
        for next in model.next_states(&state) {
            let to = *states.entry(next).or_insert_with_key(|next| {
                pending.push(next.clone());
                ways_in.push(0);
                ways_in.len() - 1
            });
            ways_in[to] += 1;
            edges.push((from, to));
        }
    }
    edges.sort_unstable();
    let mut free: Vec<_> = (0..ways_in.len()).filter(|at| ways_in[*at] == 0).collect();
    let mut sorted = 0;
    while let Some(at) = free.pop() {
        sorted += 1;
        let first = edges.partition_point(|(from, _)| *from < at);
        for (_, to) in edges[first..].iter().take_while(|(from, _)| *from == at) {
            ways_in[*to] -= 1;
            if ways_in[*to] == 0 {
                free.push(*to);
            }
        }
    }
    println!("{} states, {} steps", states.len(), edges.len());
    assert_eq!(sorted, states.len(), "there is a circle");
}

#[test]
fn every_property_can_fail() {
    breaks(flawed(Flaw::TakesOverEarly), ONE_LEASE);
    breaks(flawed(Flaw::TakesOverEarly), ONE_HANDLER);
    breaks(flawed(Flaw::CompletesForAnybody), FENCED);
    breaks(flawed(Flaw::ReleasesForAnybody), FENCED);
    breaks(flawed(Flaw::ReleasesForAnybody), ONE_HANDLER);
    breaks(flawed(Flaw::ComparesAttempts), FENCED);
    breaks(flawed(Flaw::ReleaseDeletes), ATTEMPTS_RISE);
    breaks(flawed(Flaw::ExtendRevives), SETTLED);
    breaks(flawed(Flaw::ReleasesCompleted), SETTLED);
    breaks(flawed(Flaw::RunsCompletedAgain), ONCE);
    breaks(flawed(Flaw::CompletesAtClaim), AFTER_SUCCESS);
    breaks(flawed(Flaw::AnswersInFlightWith2xx), AFTER_SUCCESS);
    let never = Deliveries { expires: false, ..flawed(Flaw::NeverLapses) };
    breaks(never, NOBODY_STUCK);
    for (flaw, property) in [(Flaw::IgnoresHold, HELD), (Flaw::ExtendRevives, SETTLED)] {
        let flaw = Some(flaw);
        breaks(Deliveries { flaw, ..HOLD }, property);
    }
    for flaw in [Flaw::RefusesSameOwner, Flaw::NothingGivenBack] {
        let flaw = Some(flaw);
        breaks(Deliveries { flaw, ..HOLD_WITHOUT_LAPSES }, NOBODY_STUCK);
    }
}

/// The cost of `OnLeaseExpiry::Hold`, stated so that a change is noticed: an event whose holder
/// died stays until it expires or somebody calls `forget`, and so does one whose claim was granted
/// after its release.
#[test]
fn what_is_held_may_be_stuck() {
    let dies = Deliveries { late: false, faults: 1, ..HOLD };
    breaks(dies, NOBODY_STUCK);
    let comes_late = Deliveries { lapses: false, ..HOLD };
    breaks(comes_late, NOBODY_STUCK);
}
