//! The states of an entry.

use std::time::Duration;

use webhook_verify::{
    idempotency::{Owner, Settled},
    inbox::{Change, EntryState, Extended, Verdict},
};

/// An entry as a store keeps it.
#[derive(Clone, Debug)]
pub struct Row {
    /// The state.
    pub state: EntryState,
    /// The number of leases.
    pub attempts: u32,
    /// The number of leases when an operator last retried the entry.
    pub retried_at_attempt: u32,
    /// The owner of the lease, while the entry is running.
    pub owner: Option<Owner>,
    /// When it is due, when its lease expires, or when it was finished.
    pub due_at: Duration,
    /// The error of the last attempt that failed.
    pub error: Option<String>,
}

/// The effect of a lease request on an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It has a new lease.
    Leased {
        /// The number of leases so far.
        attempt: u32,
    },
    /// It has a new lease without an attempt, because its last one expired: it is about to be dead.
    Exhausted,
    /// It has not changed.
    NotDue,
}

impl Row {
    /// Returns an entry that is due.
    pub fn new(now: Duration) -> Self {
        Self {
            state: EntryState::Waiting,
            attempts: 0,
            retried_at_attempt: 0,
            owner: None,
            due_at: now,
            error: None,
        }
    }

    /// Returns whether the entry has a lease that has not expired.
    pub fn is_leased(&self, now: Duration) -> bool {
        self.state == EntryState::Running && self.due_at > now
    }

    /// Returns whether the entry is waiting and its time has come, or its lease has expired.
    pub fn is_due(&self, now: Duration) -> bool {
        matches!(self.state, EntryState::Waiting | EntryState::Running) && self.due_at <= now
    }

    /// Returns when the consumer finished, unless the entry is unfinished or dead.
    pub fn finished_at(&self) -> Option<Duration> {
        matches!(self.state, EntryState::Done | EntryState::Discarded).then_some(self.due_at)
    }

    /// Returns the number of leases since an operator last retried the entry.
    pub fn attempts_since_retry(&self) -> u32 {
        self.attempts - self.retried_at_attempt
    }

    /// Leases the entry if it is due.
    pub fn lease(
        &mut self,
        owner: Owner,
        lease: Duration,
        max_attempts: u32,
        now: Duration,
    ) -> Turn {
        if !self.is_due(now) {
            return Turn::NotDue;
        }
        let is_exhausted =
            self.state == EntryState::Running && self.attempts_since_retry() >= max_attempts;
        self.enter(EntryState::Running, now + lease);
        self.owner = Some(owner);
        if is_exhausted {
            return Turn::Exhausted;
        }
        self.attempts += 1;
        Turn::Leased { attempt: self.attempts }
    }

    /// Renews the owner's lease from now on.
    pub fn extend(&mut self, owner: Owner, lease: Duration, now: Duration) -> Extended {
        if self.owner != Some(owner) {
            return Extended::Lost;
        }
        self.due_at = now + lease;
        Extended::Renewed
    }

    /// Settles the owner's attempt.
    pub fn settle(&mut self, owner: Owner, verdict: &Verdict, now: Duration) -> Settled {
        if self.owner != Some(owner) {
            return Settled::Superseded;
        }
        match verdict {
            Verdict::Done => self.enter(EntryState::Done, now),
            Verdict::Discarded => self.enter(EntryState::Discarded, now),
            Verdict::Dead { .. } => self.enter(EntryState::Dead, now),
            Verdict::Released => self.enter(EntryState::Waiting, now),
            Verdict::Retry { after, .. } => self.enter(EntryState::Waiting, now + *after),
        }
        if let Verdict::Retry { error, .. } | Verdict::Dead { error } = verdict {
            self.error = Some(error.clone());
        }
        Settled::Applied
    }

    /// Changes the entry if it is waiting or dead. Returns whether it was.
    pub fn change(&mut self, change: Change, now: Duration) -> bool {
        let changes = matches!(self.state, EntryState::Waiting | EntryState::Dead);
        if changes {
            match change {
                Change::Retry => {
                    let waits = self.state == EntryState::Waiting;
                    let due_at = if waits { self.due_at.min(now) } else { now };
                    self.enter(EntryState::Waiting, due_at);
                    self.retried_at_attempt = self.attempts;
                }
                Change::Discard => self.enter(EntryState::Discarded, now),
            }
        }
        changes
    }

    /// Enters a state without an owner.
    fn enter(&mut self, state: EntryState, due_at: Duration) {
        self.state = state;
        self.due_at = due_at;
        self.owner = None;
    }
}
