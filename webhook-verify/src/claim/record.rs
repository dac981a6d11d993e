use std::time::Duration;

use super::{ClaimOutcome, ClaimRequest, Fingerprint, Holder, Lapsed, Owner, Settled};

/// What is known of one key: the state machine of the [module's documentation](super), apart from where it is kept.
///
/// A record that has expired is granted anew, whoever holds it, and its attempt goes on counting.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) state: State,
    pub(super) attempt: u64,
    pub(super) owner: Owner,
    pub(super) fingerprint: Fingerprint,
    pub(super) expires_at: Duration,
    /// Whether it is held when its lease lapses.
    pub(super) lapsed: Lapsed,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    InProgress { lease_until: Duration },
    Released,
    Completed { status: u16 },
}

impl Record {
    /// The first claim of a key.
    pub(super) fn new(request: &ClaimRequest, now: Duration) -> Self {
        Self {
            state: State::InProgress { lease_until: now.saturating_add(request.lease) },
            attempt: 1,
            owner: request.owner,
            fingerprint: request.fingerprint,
            expires_at: now.saturating_add(request.ttl),
            lapsed: request.lapsed,
        }
    }

    /// Claims the key again.
    pub(super) fn claim(&mut self, request: &ClaimRequest, now: Duration) -> ClaimOutcome {
        match self.state {
            State::Completed { status } if self.expires_at > now => {
                return ClaimOutcome::Completed { status, fingerprint: self.fingerprint };
            }
            State::InProgress { lease_until } if lease_until > now => {
                return match self.owner == request.owner {
                    true => ClaimOutcome::Won { attempt: self.attempt },
                    false => ClaimOutcome::Busy { lease_left: lease_until - now },
                };
            }
            State::InProgress { .. } if request.lapsed == Lapsed::Hold && self.expires_at > now => {
                return ClaimOutcome::Busy { lease_left: Duration::ZERO };
            }
            // A call that was given up, and comes after all. Nobody waits for what it would be granted.
            State::Released if self.owner == request.owner && self.expires_at > now => {
                return ClaimOutcome::Busy { lease_left: Duration::ZERO };
            }
            State::Completed { .. } | State::InProgress { .. } | State::Released => {}
        }
        let first = Self::new(request, now);
        *self = Self {
            attempt: self.attempt + 1,
            expires_at: self.expires_at.max(first.expires_at),
            ..first
        };
        ClaimOutcome::Won { attempt: self.attempt }
    }

    pub(super) fn complete(
        &mut self,
        holder: &Holder,
        status: u16,
        ttl: Duration,
        now: Duration,
    ) -> Settled {
        if self.owner != holder.owner {
            return Settled::Superseded;
        }
        if !matches!(self.state, State::Completed { .. }) {
            self.expires_at = self.expires_at.max(now.saturating_add(ttl));
            self.state = State::Completed { status };
        }
        Settled::Applied
    }

    pub(super) fn release(&mut self, holder: &Holder) -> Settled {
        match self.state {
            State::InProgress { .. } | State::Released if self.owner == holder.owner => {
                self.state = State::Released;
                Settled::Applied
            }
            State::InProgress { .. } | State::Released | State::Completed { .. } => {
                Settled::Superseded
            }
        }
    }

    pub(super) fn extend(&mut self, holder: &Holder, lease: Duration, now: Duration) -> Settled {
        match self.state {
            State::InProgress { .. } if self.owner == holder.owner => {
                let lease_until = now.saturating_add(lease);
                self.state = State::InProgress { lease_until };
                self.expires_at = self.expires_at.max(lease_until);
                Settled::Applied
            }
            State::InProgress { .. } | State::Released | State::Completed { .. } => {
                Settled::Superseded
            }
        }
    }

    /// Whether somebody holds it: by a lease that is running, or by one that is held beyond its time.
    pub(super) fn is_held(&self, now: Duration) -> bool {
        match self.state {
            State::InProgress { lease_until } => {
                lease_until > now || self.lapsed == Lapsed::Hold && self.expires_at > now
            }
            State::Released | State::Completed { .. } => false,
        }
    }
}
