//! Three senders deliver one event, with all faults that may occur.

use stateright::{Model, Property};
use webhook_verify::idempotency::OnLeaseExpiry;

use super::store::{self, Call, LEASE, Phase, Reply, Row};

const SENDERS: usize = 3;
/// The attempts to settle a claim before its holder gives up: `Claim::settle`.
const SETTLE_TRIES: u8 = 3;
/// The calls that may be under way at once after their callers have given up.
const LATE: usize = 2;

pub(crate) const ONE_LEASE: &str = "G2: a claim is granted only once no other's lease runs";
pub(crate) const ONE_HANDLER: &str =
    "G2: handlers run at once only beside one that outlived its lease";
pub(crate) const FENCED: &str = "G4: a superseded holder changes nothing";
pub(crate) const ATTEMPTS_RISE: &str = "attempts rise with each grant while the record lives";
pub(crate) const SETTLED: &str = "what is settled stays so until it is claimed anew";
pub(crate) const ONCE: &str = "what was completed is not granted again while the record lives";
pub(crate) const HELD: &str =
    "what is held is not granted again unless it was released, forgotten or expired";
pub(crate) const AFTER_SUCCESS: &str = "G1: a 2xx comes after a handler succeeded";
pub(crate) const NOBODY_STUCK: &str =
    "G1: while a sender is without its 2xx, something goes on by itself";
/// These states must be reachable. A model without them shows nothing.
const ZOMBIE_AND_SUCCESSOR: &str = "a zombie meets its successor";
const ZOMBIE_SETTLES: &str = "a zombie settles while its successor's lease runs";
const ALL_ANSWERED: &str = "every sender has its 2xx";
const LATE_WIN: &str = "a claim is won by a call that nobody waits for";

const TRANSITIONS: [&str; 6] = [ONE_LEASE, FENCED, ATTEMPTS_RISE, SETTLED, ONCE, HELD];

/// The parameters of the model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deliveries {
    pub(crate) lapsed: OnLeaseExpiry,
    /// The number of faults in one run.
    pub(crate) faults: u8,
    /// Whether calls that were given up may take effect later.
    pub(crate) late: bool,
    /// Whether holders die, or freeze for longer than their lease.
    pub(crate) lapses: bool,
    /// Whether the record may expire before the senders give up.
    pub(crate) expires: bool,
    pub(crate) flaw: Option<Flaw>,
}

/// A flaw of the store or the receiver, to check that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    TakesOverEarly,
    CompletesForAnybody,
    ReleasesForAnybody,
    /// Settles by the fencing token alone, which starts again once the record has expired.
    ComparesAttempts,
    /// Forgets the attempt with the record.
    ReleaseDeletes,
    ExtendRevives,
    RunsCompletedAgain,
    NeverLapses,
    IgnoresHold,
    RefusesSameOwner,
    CompletesAtClaim,
    AnswersInFlightWith2xx,
    NothingGivenBack,
    ReleasesCompleted,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    senders: [Sender; SENDERS],
    row: Option<Row>,
    late: [Option<(Call, u8)>; LATE],
    faults: u8,
    seen: Seen,
}

/// A sender, and the state of the receiver for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Sender {
    /// About to deliver, for the first time or again.
    Ready,
    /// Was rejected because the event is in progress elsewhere. Retries once anything has changed.
    SentAway,
    /// The first claim had no reply.
    AskingAgain {
        owner: u8,
    },
    /// Neither had the second, or the store failed.
    GivingBack {
        owner: u8,
    },
    Running {
        owner: u8,
        attempt: u8,
        renewed: bool,
        /// It completed its claim itself, as `PostgresStore::commit` does, and has not returned
        /// yet.
        committed: bool,
        overdue: bool,
    },
    Settling {
        owner: u8,
        attempt: u8,
        success: bool,
        tries: u8,
    },
    /// Has its 2xx.
    Answered,
}

/// The history, which the properties use and the system does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Seen {
    /// The last grant in the life of this record, and how long its lease runs.
    granted: Option<(u8, u8)>,
    /// The highest attempt in the life of this record.
    attempt: u8,
    /// Whether the last grant's holder has neither completed nor released it.
    unsettled: bool,
    succeeded: bool,
    broken: [bool; TRANSITIONS.len()],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Claim(usize, Fate),
    Extend(usize, Fate),
    /// The handler completes its claim with its effects, and continues.
    Commit(usize),
    Succeed(usize),
    Fail(usize),
    Settle(usize, Fate),
    GiveBack(usize, Fate),
    Crash(usize),
    /// The 2xx is lost, or somebody sends the event again.
    Redeliver(usize),
    Arrive(usize),
    Tick,
    Purge,
    Forget,
}

/// The fate of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    /// It takes effect, and the caller gets no reply.
    ReplyLost,
    /// The caller gets no reply, and it takes effect later or never.
    Late,
    /// It takes effect, and the caller gets an error.
    Error,
}

impl Sender {
    fn owner(&mut self) -> Option<&mut u8> {
        match self {
            Self::Ready | Self::SentAway | Self::Answered => None,
            Self::AskingAgain { owner }
            | Self::GivingBack { owner }
            | Self::Running { owner, .. }
            | Self::Settling { owner, .. } => Some(owner),
        }
    }

    fn acts_for(mut self, of: u8) -> bool {
        self.owner().is_some_and(|owner| *owner == of)
    }

    /// Notes that its lease is no longer its own.
    fn outlive(&mut self) {
        if let Self::Running { overdue, .. } = self {
            *overdue = true;
        }
    }
}

impl State {
    /// Returns whether `owner` acts, which keeps its lease from expiring.
    fn acts(&self, owner: u8) -> bool {
        self.senders.iter().any(|sender| sender.acts_for(owner))
    }

    /// Returns whether somebody who acts is about to lose the lease, or the record that it has
    /// completed.
    fn would_lapse(&self) -> bool {
        self.row.is_some_and(|row| {
            let last = match row.phase {
                Phase::InProgress { lease_left } => lease_left == 1,
                Phase::Released | Phase::Completed => row.life == 1,
            };
            last && self.acts(row.owner)
        })
    }

    fn all_answered(&self) -> bool {
        self.senders == [Sender::Answered; SENDERS]
    }

    fn new_owner(&self) -> u8 {
        // States number the owners from 0: see `canonical`.
        let mut free = 0;
        self.clone().each_owner(|owner| free = free.max(*owner + 1));
        free
    }

    fn each_owner(&mut self, mut f: impl FnMut(&mut u8)) {
        if let Some(row) = &mut self.row {
            f(&mut row.owner);
        }
        if let Some((owner, _)) = &mut self.seen.granted {
            f(owner);
        }
        self.senders.iter_mut().filter_map(Sender::owner).for_each(&mut f);
        for (_, owner) in self.late.iter_mut().flatten() {
            f(owner);
        }
    }

    /// Returns the same state, with equal senders sorted and owners numbered in the order of their
    /// appearance. Senders and owners are interchangeable. An owner is random, so one that no state
    /// mentions never appears again.
    fn canonical(mut self) -> Self {
        let (row, granted) = (self.row, self.seen.granted);
        self.senders.sort_by_key(|sender| {
            let holds = row.is_some_and(|row| sender.acts_for(row.owner));
            let granted = granted.is_some_and(|(owner, _)| sender.acts_for(owner));
            let mut nameless = *sender;
            if let Some(owner) = nameless.owner() {
                *owner = 0;
            }
            (nameless, holds, granted)
        });
        let mut names = [None; 2 + SENDERS + LATE + 1];
        let mut named = 0;
        self.each_owner(|owner| {
            *owner = *names[usize::from(*owner)].get_or_insert_with(|| {
                named += 1;
                named - 1
            });
        });
        self.late.sort();
        self
    }

    fn forget(&mut self) {
        if let Some((owner, _)) = self.seen.granted {
            for sender in &mut self.senders {
                if sender.acts_for(owner) {
                    sender.outlive();
                }
            }
        }
        self.row = None;
        self.seen.granted = None;
        self.seen.attempt = 0;
        self.seen.unsettled = false;
    }

    fn broke(&mut self, property: &str, broken: bool) {
        let index = TRANSITIONS.iter().position(|name| *name == property);
        self.seen.broken[index.unwrap()] |= broken;
    }
}

impl Deliveries {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Makes a call, and checks the properties of the transition.
    fn call(&self, state: &mut State, call: Call, owner: u8, attempt: Option<u8>) -> Reply {
        let before = state.row;
        let (after, reply) = self.store(before, call, owner, attempt);
        state.row = after;
        let alive = before.is_some_and(|row| row.life > 0);
        let granted = state.seen.granted;
        match (call, reply) {
            (Call::Claim, Reply::Won(attempt)) => {
                let again = granted.is_some_and(|(to, left)| to == owner && left > 0);
                let other = granted.is_some_and(|(to, left)| to != owner && left > 0);
                state.broke(ONE_LEASE, other);
                match again && before.is_some_and(Row::is_live) {
                    true => state.broke(ATTEMPTS_RISE, attempt != state.seen.attempt),
                    false => {
                        let phase = before.filter(|_| alive).map(|row| row.phase);
                        state.broke(ATTEMPTS_RISE, attempt <= state.seen.attempt);
                        state.broke(ONCE, phase == Some(Phase::Completed));
                        let held =
                            self.lapsed == OnLeaseExpiry::Hold && alive && state.seen.unsettled;
                        state.broke(HELD, held);
                        state.seen.granted = Some((owner, LEASE));
                        state.seen.attempt = attempt;
                        state.seen.unsettled = true;
                    }
                }
            }
            (Call::Claim, _) => {}
            (Call::Complete | Call::Release | Call::Extend, _) => {
                let superseded = granted.is_none_or(|(to, _)| to != owner);
                state.broke(FENCED, superseded && (after != before || reply != Reply::Superseded));
                let (was, is) = (before.map(|row| row.phase), after.map(|row| row.phase));
                let settled = matches!(was, Some(Phase::Released | Phase::Completed));
                let revived = matches!(is, Some(Phase::InProgress { .. }));
                let undone = was == Some(Phase::Completed) && is != was;
                state.broke(SETTLED, settled && revived || undone);
                if !superseded && reply == Reply::Applied {
                    let left = if call == Call::Extend { LEASE } else { 0 };
                    state.seen.granted = Some((owner, left));
                    state.seen.unsettled &= call == Call::Extend;
                }
            }
        }
        reply
    }

    fn store(
        &self,
        mut row: Option<Row>,
        call: Call,
        owner: u8,
        attempt: Option<u8>,
    ) -> (Option<Row>, Reply) {
        let mut lapsed = self.lapsed;
        let (mut by, held_by) = (owner, row.map(|row| row.owner));
        match (self.flaw, call, &mut row) {
            (Some(Flaw::TakesOverEarly), Call::Claim, Some(row)) if row.is_live() => {
                row.phase = Phase::InProgress { lease_left: 0 };
            }
            (Some(Flaw::RunsCompletedAgain), Call::Claim, Some(row))
                if row.phase == Phase::Completed =>
            {
                row.phase = Phase::Released;
            }
            (Some(Flaw::CompletesForAnybody), Call::Complete, Some(row))
            | (Some(Flaw::ReleasesForAnybody), Call::Release, Some(row)) => by = row.owner,
            (
                Some(Flaw::ComparesAttempts),
                Call::Complete | Call::Release | Call::Extend,
                Some(row),
            ) if attempt == Some(row.attempt) => {
                by = row.owner;
            }
            (Some(Flaw::ReleasesCompleted), Call::Release, Some(row)) if row.owner == owner => {
                row.phase = Phase::Released;
            }
            (Some(Flaw::ExtendRevives), Call::Extend, Some(row))
                if row.owner == owner && row.phase == Phase::Released =>
            {
                row.phase = Phase::InProgress { lease_left: 0 };
            }
            (Some(Flaw::NeverLapses), Call::Claim, Some(row))
                if matches!(row.phase, Phase::InProgress { .. }) =>
            {
                lapsed = OnLeaseExpiry::Hold;
            }
            (Some(Flaw::IgnoresHold), _, _) => lapsed = OnLeaseExpiry::TakeOver,
            (Some(Flaw::RefusesSameOwner), Call::Claim, Some(row))
                if row.is_live() && held_by == Some(owner) =>
            {
                return (Some(*row), Reply::Busy);
            }
            _ => {}
        }
        let (mut after, reply) = store::apply(row, call, by, lapsed);
        match (self.flaw, call, reply) {
            (Some(Flaw::ReleaseDeletes), Call::Release, Reply::Applied) => after = None,
            (Some(Flaw::CompletesAtClaim), Call::Claim, Reply::Won(_)) => {
                after = store::apply(after, Call::Complete, by, lapsed).0;
            }
            _ => {}
        }
        (after, reply)
    }

    /// Makes the call, or puts it under way. Returns the reply, if the caller gets one.
    fn send(
        &self,
        state: &mut State,
        call: Call,
        owner: u8,
        attempt: Option<u8>,
        fate: Fate,
    ) -> Option<Reply> {
        match fate {
            Fate::Answered => Some(self.call(state, call, owner, attempt)),
            Fate::ReplyLost | Fate::Error => {
                self.call(state, call, owner, attempt);
                None
            }
            Fate::Late => {
                // A slot is free: see `actions`.
                *state.late.iter_mut().find(|late| late.is_none())? = Some((call, owner));
                None
            }
        }
    }

    /// `Received::admit`.
    fn claim(&self, state: &mut State, of: usize, fate: Fate) {
        let (owner, again) = match state.senders[of] {
            Sender::AskingAgain { owner } => (owner, true),
            _ => (state.new_owner(), false),
        };
        state.senders[of] = match self.send(state, Call::Claim, owner, None, fate) {
            Some(Reply::Won(attempt)) => {
                Sender::Running { owner, attempt, renewed: false, committed: false, overdue: false }
            }
            Some(Reply::Completed) => Sender::Answered,
            Some(Reply::Busy) if self.has(Flaw::AnswersInFlightWith2xx) => Sender::Answered,
            Some(Reply::Busy | Reply::Applied | Reply::Superseded) => Sender::SentAway,
            None if again || fate == Fate::Error => match self.has(Flaw::NothingGivenBack) {
                true => Sender::Ready,
                false => Sender::GivingBack { owner },
            },
            None => Sender::AskingAgain { owner },
        };
    }

    /// `Admitted::settle`.
    fn settle(&self, state: &mut State, of: usize, fate: Fate) {
        let Sender::Settling { owner, attempt, success, tries } = state.senders[of] else {
            unreachable!()
        };
        let call = if success { Call::Complete } else { Call::Release };
        let reply = self.send(state, call, owner, Some(attempt), fate);
        state.senders[of] = match (reply, success) {
            (None, _) if tries + 1 < SETTLE_TRIES => {
                Sender::Settling { owner, attempt, success, tries: tries + 1 }
            }
            // The response is that of the handler, whatever happens to the claim.
            (_, true) => Sender::Answered,
            (_, false) => Sender::Ready,
        };
    }

    /// Returns whether anything continues by itself, without a fault or an intervention.
    fn goes_on(&self, state: &State) -> bool {
        let mut actions = Vec::new();
        self.actions(&State { faults: 0, ..state.clone() }, &mut actions);
        actions.iter().any(|action| !matches!(action, Action::Arrive(_) | Action::Purge))
    }
}

impl Model for Deliveries {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            senders: [Sender::Ready; SENDERS],
            row: None,
            late: [None; LATE],
            faults: self.faults,
            seen: Seen::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let faulty = state.faults > 0;
        let late = self.late && state.late.contains(&None);
        for (of, sender) in state.senders.iter().enumerate() {
            let mut call = |action: fn(usize, Fate) -> Action, fates: &[Fate]| {
                actions.push(action(of, Fate::Answered));
                actions.extend(
                    fates
                        .iter()
                        .filter(|fate| faulty && (late || **fate != Fate::Late))
                        .map(|fate| action(of, *fate)),
                );
            };
            match sender {
                Sender::Ready => call(Action::Claim, &[Fate::ReplyLost, Fate::Late, Fate::Error]),
                // For the last attempt, an error is the same as no reply.
                Sender::AskingAgain { .. } => call(Action::Claim, &[Fate::ReplyLost, Fate::Late]),
                // The reply is ignored.
                Sender::GivingBack { .. } => call(Action::GiveBack, &[Fate::Late]),
                Sender::Running { renewed, committed, .. } => {
                    if !renewed {
                        call(Action::Extend, &[Fate::Late]);
                    }
                    if !committed {
                        actions.push(Action::Commit(of));
                    }
                    actions.push(Action::Succeed(of));
                    if faulty {
                        actions.push(Action::Fail(of));
                    }
                }
                Sender::Settling { .. } => call(Action::Settle, &[Fate::ReplyLost, Fate::Late]),
                Sender::SentAway | Sender::Answered => {}
            }
            match sender {
                Sender::Answered if faulty => actions.push(Action::Redeliver(of)),
                Sender::Ready | Sender::SentAway | Sender::Answered => {}
                _ if faulty && self.lapses => actions.push(Action::Crash(of)),
                _ => {}
            }
        }
        let arriving = (0..LATE).filter(|late| state.late[*late].is_some());
        actions.extend(arriving.map(Action::Arrive));
        let Some(row) = state.row else { return };
        if row.tick(self.expires) != row && (!state.would_lapse() || faulty && self.lapses) {
            actions.push(Action::Tick);
        }
        if row.life == 0 {
            actions.push(Action::Purge);
        }
        if faulty && self.lapses {
            actions.push(Action::Forget);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let fault = match action {
            Action::Claim(_, fate)
            | Action::Extend(_, fate)
            | Action::Settle(_, fate)
            | Action::GiveBack(_, fate) => fate != Fate::Answered,
            Action::Fail(_) | Action::Crash(_) | Action::Redeliver(_) | Action::Forget => true,
            Action::Tick => last.would_lapse(),
            Action::Commit(_) | Action::Succeed(_) | Action::Arrive(_) | Action::Purge => false,
        };
        state.faults -= u8::from(fault);
        match action {
            Action::Claim(of, fate) => self.claim(&mut state, of, fate),
            Action::Extend(of, fate) => {
                let Sender::Running { owner, attempt, renewed, .. } = &mut state.senders[of] else {
                    unreachable!()
                };
                *renewed = true;
                let (owner, attempt) = (*owner, Some(*attempt));
                self.send(&mut state, Call::Extend, owner, attempt, fate);
            }
            Action::Commit(of) => {
                let Sender::Running { owner, attempt, ref mut committed, .. } = state.senders[of]
                else {
                    unreachable!()
                };
                *committed = true;
                match self.call(&mut state, Call::Complete, owner, Some(attempt)) {
                    Reply::Applied => state.seen.succeeded = true,
                    // Its effects are rolled back.
                    _ => {
                        state.senders[of] =
                            Sender::Settling { owner, attempt, success: false, tries: 0 };
                    }
                }
            }
            Action::Succeed(of) | Action::Fail(of) => {
                let Sender::Running { owner, attempt, .. } = state.senders[of] else {
                    unreachable!()
                };
                let success = action == Action::Succeed(of);
                state.seen.succeeded |= success;
                state.senders[of] = Sender::Settling { owner, attempt, success, tries: 0 };
            }
            Action::Settle(of, fate) => self.settle(&mut state, of, fate),
            Action::GiveBack(of, fate) => {
                let Sender::GivingBack { owner } = state.senders[of] else { unreachable!() };
                self.send(&mut state, Call::Release, owner, None, fate);
                state.senders[of] = Sender::Ready;
            }
            Action::Crash(of) | Action::Redeliver(of) => state.senders[of] = Sender::Ready,
            Action::Arrive(late) => {
                let (call, owner) = state.late[late].take()?;
                self.call(&mut state, call, owner, None);
            }
            Action::Tick => {
                if let Some((owner, left)) = &mut state.seen.granted {
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        for sender in &mut state.senders {
                            if sender.acts_for(*owner) {
                                sender.outlive();
                            }
                        }
                    }
                }
                state.row = state.row.map(|row| row.tick(self.expires));
                for sender in &mut state.senders {
                    if *sender == Sender::SentAway {
                        *sender = Sender::Ready;
                    }
                }
            }
            Action::Purge | Action::Forget => state.forget(),
        }
        if state.row != last.row {
            for sender in &mut state.senders {
                if *sender == Sender::SentAway {
                    *sender = Sender::Ready;
                }
            }
        }
        Some(state.canonical())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! never_broken {
            ($($name:expr),*) => { vec![$(Property::always($name, |_, state: &State| {
                !TRANSITIONS.iter().zip(state.seen.broken).any(|(name, broken)| broken && *name == $name)
            })),*] };
        }
        let mut properties = never_broken!(ONE_LEASE, FENCED, ATTEMPTS_RISE, SETTLED, ONCE, HELD);
        properties.extend([
            Property::always(ONE_HANDLER, |_, state: &State| {
                let in_time =
                    |sender: &&Sender| matches!(sender, Sender::Running { overdue: false, .. });
                state.senders.iter().filter(in_time).count() <= 1
            }),
            Property::always(AFTER_SUCCESS, |_, state: &State| {
                state.seen.succeeded || !state.senders.contains(&Sender::Answered)
            }),
            Property::always(NOBODY_STUCK, |model: &Self, state: &State| {
                state.all_answered() || model.goes_on(state)
            }),
            Property::sometimes(ALL_ANSWERED, |_, state: &State| state.all_answered()),
        ]);
        if self.lapses && self.lapsed == OnLeaseExpiry::TakeOver {
            properties.extend([
                Property::sometimes(ZOMBIE_AND_SUCCESSOR, |_, state: &State| {
                    let running = |late: bool| {
                        let is = move |sender: &Sender| matches!(sender, Sender::Running { overdue, .. } if *overdue == late);
                        state.senders.iter().any(is)
                    };
                    running(true) && running(false)
                }),
                Property::sometimes(ZOMBIE_SETTLES, |_, state: &State| {
                    let live = state.row.filter(|row| row.is_live());
                    live.is_some_and(|row| {
                        let settles = |sender: &Sender| matches!(sender, Sender::Settling { owner, .. } if *owner != row.owner);
                        state.senders.iter().any(settles)
                    })
                }),
            ]);
        }
        if self.late {
            properties.push(Property::sometimes(LATE_WIN, |model: &Self, state: &State| {
                state.late.iter().flatten().any(|(call, owner)| {
                    let (row, reply) = model.store(state.row, *call, *owner, None);
                    row != state.row && matches!(reply, Reply::Won(_))
                })
            }));
        }
        properties
    }
}
