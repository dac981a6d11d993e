//! Two workers process one entry of an inbox, with an operator and all faults that may occur.
//!
//! The transitions of the entry are those of the reference store, `integration_tests::inbox`.

use std::time::Duration;

use integration_tests::inbox::{Row, Turn};
use stateright::{Model, Property};
use webhook_verify::{
    idempotency::Settled,
    inbox::{Change, EntryState, Extended, Verdict},
};

use super::{breaks, ends, holds, store::OWNERS};

const WORKERS: usize = 2;
/// The calls that may be under way at once after their callers have given up.
const LATE: usize = 2;
const MAX_ATTEMPTS: u32 = 2;
const TICK: Duration = Duration::from_secs(1);
/// The length of a lease, in ticks.
const LEASE: u8 = 2;
/// The delay of a retry, in ticks.
const DELAY: u8 = 1;
/// The clock stands still, and times draw nearer, so that states that differ only in time are one.
const NOW: Duration = Duration::from_secs(1000);

const ONE_LEASE: &str = "an entry is leased only once no other lease runs";
const ONE_HANDLER: &str = "handlers run at once only beside one that outlived its lease";
const FENCED: &str = "a former owner changes nothing";
const ATTEMPTS_RISE: &str = "attempts rise by one with each lease";
const SETTLED_ONCE: &str = "an attempt is settled at most once";
const FINAL: &str = "a done or discarded entry does not change";
const DONE_AFTER_SUCCESS: &str = "a done entry had a handler that succeeded";
const DEAD_AFTER_ALL: &str = "a dead entry had all of its attempts";
const DEAD_IS_LOGGED: &str = "a worker has logged a dead entry";
const NOT_LOST: &str = "while an entry is unfinished, something goes on by itself";
/// These states must be reachable. A model without them shows nothing.
const ZOMBIE_AND_SUCCESSOR: &str = "a zombie meets its successor";
const ZOMBIE_SETTLES: &str = "a zombie settles while its successor's lease runs";
const LATE_SETTLEMENT: &str = "a settlement takes effect after its lease";
const EXHAUSTED: &str = "the last lease expires";
const UNKNOWN_LEASE: &str = "an entry is leased, and no worker knows";
const RETRIED: &str = "an operator retries a dead entry, and it is done";

const TRANSITIONS: [&str; 6] =
    [ONE_LEASE, FENCED, ATTEMPTS_RISE, SETTLED_ONCE, FINAL, DEAD_AFTER_ALL];

/// The parameters of the model.
#[derive(Clone, Copy, Debug)]
struct Inbox {
    /// The number of faults in one run: crashes, freezes, shutdowns, and calls without a reply.
    faults: u8,
    /// The number of changes by an operator.
    changes: u8,
    flaw: Option<Flaw>,
}

const INBOX: Inbox = Inbox { faults: 3, changes: 2, flaw: None };

/// A flaw of the store, to check that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    LeasesEarly,
    LeasesDone,
    SettlesForAnybody,
    ExtendsForAnybody,
    /// Counts attempts from 1 again after an operator's retry.
    RetryResetsTheAttempts,
    /// Does not end the ownership with the attempt.
    KeepsTheOwner,
    ReleaseReturnsTheAttempt,
    NeverExpires,
    CompletesAtLease,
    DiesEarly,
    /// A lease makes an exhausted entry dead itself.
    DiesAtLease,
    /// Logs that an entry is dead only after the reply to the call that records it.
    LogsLate,
    ChangesRunning,
}

/// An entry in the states of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Entry {
    state: EntryState,
    attempts: u8,
    retried_at_attempt: u8,
    owner: Option<u8>,
    /// The ticks until it is due.
    due_in: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Worker {
    Idle,
    Running {
        owner: u8,
        attempt: u8,
        extended: bool,
        /// It outlived its lease.
        overdue: bool,
    },
    /// It has leased an exhausted entry, to settle it as dead. No handler runs.
    GivingUp {
        owner: u8,
        attempt: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    Lease,
    Extend,
    Done,
    Discarded,
    Failed,
    Released,
}

/// A call under way that its caller has given up: its owner and attempt.
type Late = (Call, u8, u8);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    entry: Entry,
    workers: [Worker; WORKERS],
    late: [Option<Late>; LATE],
    faults: u8,
    changes: u8,
    seen: Seen,
}

/// The history, which the properties use and the system does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Seen {
    /// The owner of the last lease, and how long it runs.
    granted: Option<(u8, u8)>,
    attempt: u8,
    /// Whether the last lease was settled or ended by an operator.
    settled: bool,
    succeeded: bool,
    exhausted: bool,
    /// Whether a worker has logged that the entry is dead, since an operator last retried it.
    logged: bool,
    retried_dead: bool,
    late_settlement: bool,
    zombie_settled: bool,
    broken: [bool; TRANSITIONS.len()],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Call(usize, Call, Fate),
    Arrive(usize),
    Crash(usize),
    Change(Change),
    Tick,
}

/// The fate of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    /// It takes effect, and the caller gets no reply.
    ReplyLost,
    /// The caller gets no reply, and it takes effect later or never.
    Late,
}

impl Entry {
    fn row(self) -> Row {
        Row {
            state: self.state,
            attempts: self.attempts.into(),
            retried_at_attempt: self.retried_at_attempt.into(),
            owner: self.owner.map(|owner| OWNERS[usize::from(owner)]),
            due_at: NOW + TICK * self.due_in.into(),
            error: None,
        }
    }

    fn of(row: &Row) -> Self {
        let owner = row.owner.map(|owner| OWNERS.iter().position(|known| *known == owner));
        Self {
            state: row.state,
            attempts: row.attempts.try_into().unwrap(),
            retried_at_attempt: row.retried_at_attempt.try_into().unwrap(),
            owner: owner.map(|owner| owner.unwrap().try_into().unwrap()),
            due_in: row.due_at.saturating_sub(NOW).as_secs().try_into().unwrap(),
        }
    }

    fn is_finished(self) -> bool {
        matches!(self.state, EntryState::Done | EntryState::Discarded)
    }

    fn is_over(self) -> bool {
        self.is_finished() || self.state == EntryState::Dead
    }
}

impl State {
    fn each_owner(&mut self, mut f: impl FnMut(&mut u8)) {
        self.entry.owner.iter_mut().for_each(&mut f);
        if let Some((owner, _)) = &mut self.seen.granted {
            f(owner);
        }
        for worker in &mut self.workers {
            if let Worker::Running { owner, .. } | Worker::GivingUp { owner, .. } = worker {
                f(owner);
            }
        }
        for (_, owner, _) in self.late.iter_mut().flatten() {
            f(owner);
        }
    }

    fn new_owner(&self) -> u8 {
        let mut free = 0;
        self.clone().each_owner(|owner| free = free.max(*owner + 1));
        free
    }

    /// Returns the same state, with owners numbered in the order of their appearance. An owner is
    /// random, so one that no state mentions never appears again.
    fn canonical(mut self) -> Self {
        let mut names = [None; 2 + WORKERS + LATE + 1];
        let mut named = 0;
        self.each_owner(|owner| {
            *owner = *names[usize::from(*owner)].get_or_insert_with(|| {
                named += 1;
                named - 1
            });
        });
        self
    }

    fn broke(&mut self, property: &str, broken: bool) {
        let index = TRANSITIONS.iter().position(|name| *name == property);
        self.seen.broken[index.unwrap()] |= broken;
    }

    /// Returns whether a worker is about to lose its lease.
    fn would_lapse(&self) -> bool {
        let EntryState::Running = self.entry.state else { return false };
        self.entry.due_in == 1
            && self.workers.iter().any(|worker| match worker {
                Worker::Running { owner, .. } | Worker::GivingUp { owner, .. } => {
                    Some(*owner) == self.entry.owner
                }
                Worker::Idle => false,
            })
    }
}

impl Inbox {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Makes a call, and checks the properties of the transition. Returns the worker after a lease,
    /// or a running one if the call of a holder took effect.
    fn call(&self, state: &mut State, call: Call, owner: u8, attempt: u8) -> Option<Worker> {
        let before = state.entry;
        let mut row = before.row();
        let mut by = OWNERS[usize::from(owner)];
        let current = row.owner;
        match (self.flaw, call) {
            (Some(Flaw::LeasesEarly), Call::Lease) => row.due_at = NOW,
            (Some(Flaw::LeasesDone), Call::Lease) if row.state == EntryState::Done => {
                row.state = EntryState::Waiting;
            }
            (Some(Flaw::NeverExpires), Call::Lease) if row.state == EntryState::Running => {
                return None;
            }
            (Some(Flaw::ExtendsForAnybody), Call::Extend) => by = current.unwrap_or(by),
            (Some(Flaw::SettlesForAnybody), Call::Done | Call::Failed | Call::Released) => {
                by = current.unwrap_or(by);
            }
            _ => {}
        }
        let max = if self.has(Flaw::DiesEarly) { MAX_ATTEMPTS - 1 } else { MAX_ATTEMPTS };
        let settled = match call {
            Call::Lease => {
                let turn = row.lease(by, TICK * LEASE.into(), max, NOW);
                if self.has(Flaw::DiesAtLease) && turn == Turn::Exhausted {
                    row.state = EntryState::Dead;
                    row.owner = None;
                }
                if self.has(Flaw::CompletesAtLease) && turn != Turn::NotDue {
                    row.state = EntryState::Done;
                }
                state.entry = Entry::of(&row);
                return self.leased(state, before, turn, owner);
            }
            Call::Extend => match row.extend(by, TICK * LEASE.into(), NOW) {
                Extended::Renewed => Settled::Applied,
                _ => Settled::Superseded,
            },
            Call::Done => row.settle(by, &Verdict::Done, NOW),
            Call::Discarded => row.settle(by, &Verdict::Discarded, NOW),
            Call::Released => row.settle(by, &Verdict::Released, NOW),
            Call::Failed if row.attempts_since_retry() < MAX_ATTEMPTS => {
                let after = TICK * DELAY.into();
                row.settle(by, &Verdict::Retry { after, error: String::new() }, NOW)
            }
            Call::Failed => row.settle(by, &Verdict::Dead { error: String::new() }, NOW),
        };
        let applied = settled == Settled::Applied;
        if applied && self.has(Flaw::KeepsTheOwner) {
            row.owner = current;
        }
        if applied && call == Call::Released && self.has(Flaw::ReleaseReturnsTheAttempt) {
            row.attempts -= 1;
        }
        state.entry = Entry::of(&row);
        let changed = applied || state.entry != before;
        let granted = state.seen.granted;
        let is_owner = granted.is_some_and(|(to, _)| to == owner);
        state.broke(FENCED, !is_owner && changed);
        state.broke(SETTLED_ONCE, is_owner && state.seen.settled && changed);
        state.broke(FINAL, before.is_finished() && state.entry != before);
        if !is_owner && !state.seen.settled && granted.is_some_and(|(_, left)| left > 0) {
            state.seen.zombie_settled |= call != Call::Extend;
        }
        if is_owner && applied {
            state.seen.late_settlement |= call != Call::Extend && granted == Some((owner, 0));
            state.seen.settled |= call != Call::Extend;
            let left = if call == Call::Extend { LEASE } else { 0 };
            state.seen.granted = Some((owner, left));
        }
        let all = before.row().attempts_since_retry() >= MAX_ATTEMPTS;
        let dies = state.entry.state == EntryState::Dead && before.state != EntryState::Dead;
        state.broke(DEAD_AFTER_ALL, dies && !all);
        applied.then_some(Worker::Running { owner, attempt, extended: true, overdue: false })
    }

    fn leased(&self, state: &mut State, before: Entry, turn: Turn, owner: u8) -> Option<Worker> {
        let runs = !state.seen.settled && state.seen.granted.is_some_and(|(_, left)| left > 0);
        let changed = turn != Turn::NotDue;
        state.broke(ONE_LEASE, runs && changed);
        state.broke(FINAL, before.is_finished() && changed);
        match turn {
            Turn::NotDue => None,
            Turn::Exhausted => {
                let attempts = before.row().attempts_since_retry();
                state.broke(DEAD_AFTER_ALL, attempts < MAX_ATTEMPTS);
                state.seen.exhausted = true;
                state.seen.granted = Some((owner, LEASE));
                state.seen.settled = false;
                Some(Worker::GivingUp { owner, attempt: before.attempts })
            }
            Turn::Leased { attempt } => {
                let attempt = attempt.try_into().unwrap();
                state.broke(ATTEMPTS_RISE, attempt != state.seen.attempt + 1);
                state.seen.attempt = attempt;
                state.seen.granted = Some((owner, LEASE));
                state.seen.settled = false;
                Some(Worker::Running { owner, attempt, extended: false, overdue: false })
            }
        }
    }

    /// Makes the call, or puts it under way. The outer option is empty if the caller gets no reply.
    fn send(
        &self,
        state: &mut State,
        call: Call,
        owner: u8,
        attempt: u8,
        fate: Fate,
    ) -> Option<Option<Worker>> {
        match fate {
            Fate::Answered => return Some(self.call(state, call, owner, attempt)),
            Fate::ReplyLost => {
                self.call(state, call, owner, attempt);
            }
            Fate::Late => {
                // A slot is free: see `actions`.
                *state.late.iter_mut().find(|late| late.is_none())? = Some((call, owner, attempt));
            }
        }
        None
    }

    fn work(&self, state: &mut State, of: usize, call: Call, fate: Fate) {
        let (owner, attempt) = match state.workers[of] {
            Worker::Idle => {
                let owner = state.new_owner();
                let leased = self.send(state, Call::Lease, owner, 0, fate).flatten();
                state.workers[of] = leased.unwrap_or(Worker::Idle);
                return;
            }
            Worker::Running { owner, attempt, .. } | Worker::GivingUp { owner, attempt } => {
                (owner, attempt)
            }
        };
        // The effect of the handler, whether or not it can be recorded.
        state.seen.succeeded |= call == Call::Done;
        let is_last = state.entry.row().attempts_since_retry() >= MAX_ATTEMPTS;
        let dies = call == Call::Failed && is_last;
        state.seen.logged |= dies && !self.has(Flaw::LogsLate);
        let reply = self.send(state, call, owner, attempt, fate);
        state.seen.logged |= dies && reply.flatten().is_some();
        state.workers[of] = match (state.workers[of], call, reply) {
            // A worker whose lease is lost stops its handler. Without a reply, it goes on.
            (Worker::Running { overdue, .. }, Call::Extend, Some(Some(_)) | None) => {
                let overdue = overdue && !matches!(reply, Some(Some(_)));
                Worker::Running { owner, attempt, extended: true, overdue }
            }
            _ => Worker::Idle,
        };
    }

    fn change(&self, state: &mut State, change: Change) {
        let before = state.entry;
        let mut row = before.row();
        if self.has(Flaw::ChangesRunning) && row.state == EntryState::Running {
            row.state = EntryState::Waiting;
        }
        let current = row.owner;
        if row.change(change, NOW) {
            if self.has(Flaw::KeepsTheOwner) {
                row.owner = current;
            }
            state.seen.granted = state.seen.granted.filter(|(_, left)| *left > 0);
            if change == Change::Retry && self.has(Flaw::RetryResetsTheAttempts) {
                row.attempts = 0;
                row.retried_at_attempt = 0;
            }
            if change == Change::Retry {
                state.seen.retried_dead |= before.state == EntryState::Dead;
                state.seen.logged = false;
            }
        }
        state.entry = Entry::of(&row);
        state.broke(FINAL, before.is_finished() && state.entry != before);
    }
}

impl Model for Inbox {
    type Action = Action;
    type State = State;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            entry: Entry::of(&Row::new(NOW)),
            workers: [Worker::Idle; WORKERS],
            late: [None; LATE],
            faults: self.faults,
            changes: self.changes,
            seen: Seen::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let may_fail = state.faults > 0;
        let has_slot = state.late.contains(&None);
        for (of, worker) in state.workers.iter().enumerate() {
            let calls: &[Call] = match worker {
                Worker::Idle => &[Call::Lease],
                Worker::Running { extended: false, .. } => {
                    &[Call::Extend, Call::Done, Call::Discarded, Call::Failed]
                }
                Worker::Running { extended: true, .. } => {
                    &[Call::Done, Call::Discarded, Call::Failed]
                }
                Worker::GivingUp { .. } => &[Call::Failed],
            };
            for call in calls {
                actions.push(Action::Call(of, *call, Fate::Answered));
                if may_fail {
                    actions.push(Action::Call(of, *call, Fate::ReplyLost));
                    if has_slot {
                        actions.push(Action::Call(of, *call, Fate::Late));
                    }
                }
            }
            if may_fail && matches!(worker, Worker::Running { .. }) {
                // A worker that stops releases its entry.
                actions.push(Action::Call(of, Call::Released, Fate::Answered));
            }
            if may_fail && *worker != Worker::Idle {
                actions.push(Action::Crash(of));
            }
        }
        for (index, late) in state.late.iter().enumerate() {
            if late.is_some() {
                actions.push(Action::Arrive(index));
            }
        }
        if state.changes > 0 {
            actions.extend([Action::Change(Change::Retry), Action::Change(Change::Discard)]);
        }
        let waits = state.entry.due_in > 0 && !state.entry.is_over();
        if waits && (may_fail || !state.would_lapse()) {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Call(of, call, fate) => {
                let is_fault = fate != Fate::Answered || call == Call::Released;
                state.faults -= u8::from(is_fault);
                self.work(&mut state, of, call, fate);
            }
            Action::Arrive(index) => {
                let (call, owner, attempt) = state.late[index].take()?;
                self.call(&mut state, call, owner, attempt);
            }
            Action::Crash(of) => {
                state.faults -= 1;
                state.workers[of] = Worker::Idle;
            }
            Action::Change(change) => {
                state.changes -= 1;
                self.change(&mut state, change);
            }
            Action::Tick => {
                if state.would_lapse() {
                    state.faults -= 1;
                }
                state.entry.due_in -= 1;
                if let Some((_, left)) = &mut state.seen.granted {
                    *left = left.saturating_sub(1);
                }
                let expired = state.entry.due_in == 0;
                for worker in &mut state.workers {
                    if let Worker::Running { owner, overdue, .. } = worker {
                        *overdue |= expired && Some(*owner) == state.entry.owner;
                    }
                }
            }
        }
        let state = state.canonical();
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! transition {
            ($($index:literal)*) => {
                vec![$(Property::always(TRANSITIONS[$index], |_, state: &State| {
                    !state.seen.broken[$index]
                })),*]
            };
        }
        let mut properties = transition!(0 1 2 3 4 5);
        properties.extend([
            Property::always(ONE_HANDLER, |_, state: &State| {
                let on_time =
                    |worker: &&Worker| matches!(worker, Worker::Running { overdue: false, .. });
                state.workers.iter().filter(on_time).count() <= 1
            }),
            Property::always(DONE_AFTER_SUCCESS, |_, state: &State| {
                state.entry.state != EntryState::Done || state.seen.succeeded
            }),
            Property::always(DEAD_IS_LOGGED, |_, state: &State| {
                state.entry.state != EntryState::Dead || state.seen.logged
            }),
            Property::always(NOT_LOST, |model: &Self, state: &State| {
                let mut actions = Vec::new();
                model.actions(state, &mut actions);
                let goes_on = |action: Action| {
                    let by_itself = match action {
                        Action::Call(_, call, fate) => {
                            call != Call::Released && fate == Fate::Answered
                        }
                        Action::Tick => true,
                        Action::Arrive(_) | Action::Crash(_) | Action::Change(_) => false,
                    };
                    by_itself && model.next_state(state, action).is_some()
                };
                state.entry.is_over() || actions.into_iter().any(goes_on)
            }),
            Property::sometimes(ZOMBIE_AND_SUCCESSOR, |_, state: &State| {
                let running = |worker: &Worker| matches!(worker, Worker::Running { .. });
                state.workers.iter().all(running)
            }),
            Property::sometimes(ZOMBIE_SETTLES, |_, state: &State| state.seen.zombie_settled),
            Property::sometimes(LATE_SETTLEMENT, |_, state: &State| state.seen.late_settlement),
            Property::sometimes(EXHAUSTED, |_, state: &State| state.seen.exhausted),
            Property::sometimes(UNKNOWN_LEASE, |_, state: &State| {
                state.entry.state == EntryState::Running && state.workers == [Worker::Idle; WORKERS]
            }),
            Property::sometimes(RETRIED, |_, state: &State| {
                state.seen.retried_dead && state.entry.state == EntryState::Done
            }),
        ]);
        properties
    }
}

#[test]
fn an_entry() {
    assert!(holds(INBOX) > 10_000);
}

#[test]
fn every_path_of_an_entry_ends() {
    ends(&INBOX);
}

#[test]
fn every_property_of_an_entry_can_fail() {
    for (flaw, property) in [
        (Flaw::LeasesEarly, ONE_LEASE),
        (Flaw::LeasesEarly, ONE_HANDLER),
        (Flaw::LeasesDone, FINAL),
        (Flaw::SettlesForAnybody, FENCED),
        (Flaw::ExtendsForAnybody, FENCED),
        (Flaw::RetryResetsTheAttempts, ATTEMPTS_RISE),
        (Flaw::KeepsTheOwner, SETTLED_ONCE),
        (Flaw::ReleaseReturnsTheAttempt, ATTEMPTS_RISE),
        (Flaw::NeverExpires, NOT_LOST),
        (Flaw::CompletesAtLease, DONE_AFTER_SUCCESS),
        (Flaw::DiesEarly, DEAD_AFTER_ALL),
        (Flaw::DiesAtLease, DEAD_IS_LOGGED),
        (Flaw::LogsLate, DEAD_IS_LOGGED),
        (Flaw::ChangesRunning, ONE_LEASE),
    ] {
        breaks(Inbox { flaw: Some(flaw), ..INBOX }, property);
    }
}
