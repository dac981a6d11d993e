use std::time::Duration;

use super::{
    ClaimOutcome, ClaimRequest, Fingerprint, Holder, OnLeaseExpiry, Owner, Settled, StoredResponse,
};

/// The record of one key: the state machine that [`ClaimStore`](super::ClaimStore) describes,
/// independent of the storage.
///
/// An expired record is granted to any owner, and its attempt continues to count.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) state: State,
    pub(super) attempt: u64,
    pub(super) owner: Owner,
    pub(super) fingerprint: Fingerprint,
    pub(super) expires_at: Duration,
    /// Whether the claim is held after its lease has expired.
    pub(super) on_lease_expiry: OnLeaseExpiry,
    /// The response of the handler that completed the claim, if duplicates get it.
    pub(super) response: Option<StoredResponse>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    InProgress { lease_until: Duration },
    Released,
    Completed { status: u16 },
}

impl Record {
    /// Returns the record of a key's first claim.
    pub(super) fn new(request: &ClaimRequest, now: Duration) -> Self {
        Self {
            state: State::InProgress { lease_until: now.saturating_add(request.lease) },
            attempt: 1,
            owner: request.owner,
            fingerprint: request.fingerprint,
            expires_at: now.saturating_add(request.ttl),
            on_lease_expiry: request.on_lease_expiry,
            response: None,
        }
    }

    /// Claims the key again.
    pub(super) fn claim(&mut self, request: &ClaimRequest, now: Duration) -> ClaimOutcome {
        match self.state {
            State::Completed { status } if self.expires_at > now => {
                return ClaimOutcome::Completed { status, fingerprint: self.fingerprint };
            }
            State::InProgress { lease_until } if lease_until > now => {
                return if self.owner == request.owner {
                    ClaimOutcome::Won { attempt: self.attempt }
                } else {
                    ClaimOutcome::Busy { lease_left: lease_until - now }
                };
            }
            State::InProgress { .. }
                if request.on_lease_expiry == OnLeaseExpiry::Hold && self.expires_at > now =>
            {
                return ClaimOutcome::Busy { lease_left: Duration::ZERO };
            }
            // A late call that the receiver gave up: no handler would run under the claim.
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

    /// Stores a response with a claim that the holder has completed.
    pub(super) fn respond(&mut self, holder: &Holder, response: &StoredResponse) {
        if self.owner == holder.owner && matches!(self.state, State::Completed { .. }) {
            self.response = Some(response.clone());
        }
    }

    /// Returns the response that was stored with a completed claim.
    pub(super) fn response(&self, now: Duration) -> Option<StoredResponse> {
        self.response.clone().filter(|_| self.expires_at > now)
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

    /// Returns whether the claim is held: by a live lease, or by an expired one under
    /// [`OnLeaseExpiry::Hold`].
    pub(super) fn is_held(&self, now: Duration) -> bool {
        match self.state {
            State::InProgress { lease_until } => {
                lease_until > now
                    || self.on_lease_expiry == OnLeaseExpiry::Hold && self.expires_at > now
            }
            State::Released | State::Completed { .. } => false,
        }
    }
}
