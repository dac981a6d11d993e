//! The store of the model: the record of `MemoryStore`, compiled from the same file.

use std::{array, sync::LazyLock, time::Duration};

use webhook_verify::idempotency::{
    ClaimKey, ClaimOutcome, ClaimRequest, Fingerprint, Holder, OnLeaseExpiry, Owner, Settled,
    StoredResponse,
};

#[path = "../../webhook-verify/src/claim/record.rs"]
#[allow(dead_code, reason = "the store asks for more than the model")]
mod record;

use self::record::{Record, State};

/// One tick of the model's clock.
const TICK: Duration = Duration::from_secs(1);
pub(crate) const LEASE: u8 = 2;
pub(crate) const TTL: u8 = 3;
pub(crate) const STATUS: u16 = 204;

/// The clock stands still, and the times of a record draw nearer, so that states that differ only
/// in time are one.
const NOW: Duration = Duration::from_secs(1000);

/// More owners than any state contains.
pub(crate) static OWNERS: LazyLock<[Owner; 10]> =
    LazyLock::new(|| array::from_fn(|_| Owner::random().unwrap()));

/// A record in the states of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) phase: Phase,
    pub(crate) attempt: u8,
    pub(crate) owner: u8,
    /// The time until it expires.
    pub(crate) life: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    InProgress { lease_left: u8 },
    Released,
    Completed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Call {
    Claim,
    Complete,
    Release,
    Extend,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reply {
    Won(u8),
    Busy,
    Completed,
    Applied,
    Superseded,
}

impl Row {
    /// Returns the row a tick later. Times that are over stay at zero.
    pub(crate) fn tick(self, expires: bool) -> Self {
        let phase = match self.phase {
            Phase::InProgress { lease_left } => {
                Phase::InProgress { lease_left: lease_left.saturating_sub(1) }
            }
            phase @ (Phase::Released | Phase::Completed) => phase,
        };
        let life = self.life.saturating_sub(u8::from(expires));
        Self { phase, life, ..self }
    }

    pub(crate) fn is_live(self) -> bool {
        matches!(self.phase, Phase::InProgress { lease_left: 1.. })
    }

    fn record(self) -> Record {
        let state = match self.phase {
            Phase::InProgress { lease_left } => {
                State::InProgress { lease_until: NOW + TICK * lease_left.into() }
            }
            Phase::Released => State::Released,
            Phase::Completed => State::Completed { status: STATUS },
        };
        Record {
            state,
            attempt: self.attempt.into(),
            owner: OWNERS[usize::from(self.owner)],
            fingerprint: Fingerprint([0; 32]),
            expires_at: NOW + TICK * self.life.into(),
            // Only a full memory store uses this.
            on_lease_expiry: OnLeaseExpiry::TakeOver,
            response: None,
        }
    }

    fn of(record: &Record) -> Self {
        let ticks = |at: Duration| at.saturating_sub(NOW).as_secs().try_into().unwrap();
        let phase = match record.state {
            State::InProgress { lease_until } => {
                Phase::InProgress { lease_left: ticks(lease_until) }
            }
            State::Released => Phase::Released,
            State::Completed { .. } => Phase::Completed,
        };
        let owner = OWNERS.iter().position(|owner| *owner == record.owner);
        Self {
            phase,
            attempt: record.attempt.try_into().unwrap(),
            owner: owner.unwrap().try_into().unwrap(),
            life: ticks(record.expires_at),
        }
    }
}

pub(crate) fn request(owner: u8, lapsed: OnLeaseExpiry) -> ClaimRequest {
    ClaimRequest::new(
        ClaimKey::from([0; 32]),
        OWNERS[usize::from(owner)],
        Fingerprint([0; 32]),
        TICK * LEASE.into(),
        TICK * TTL.into(),
    )
    .on_lease_expiry(lapsed)
}

/// Returns the record and the reply after a call by `owner`.
pub(crate) fn apply(
    row: Option<Row>,
    call: Call,
    owner: u8,
    lapsed: OnLeaseExpiry,
) -> (Option<Row>, Reply) {
    let request = request(owner, lapsed);
    let holder: Holder = request.holder();
    let Some(mut record) = row.map(Row::record) else {
        return match call {
            Call::Claim => {
                let record = Record::new(&request, NOW);
                (Some(Row::of(&record)), Reply::Won(1))
            }
            Call::Complete | Call::Release | Call::Extend => (None, Reply::Superseded),
        };
    };
    let reply = match call {
        Call::Claim => Reply::from(record.claim(&request, NOW)),
        Call::Complete => Reply::from(record.complete(&holder, STATUS, request.ttl, NOW)),
        Call::Release => Reply::from(record.release(&holder)),
        Call::Extend => Reply::from(record.extend(&holder, request.lease, NOW)),
    };
    (Some(Row::of(&record)), reply)
}

impl From<ClaimOutcome> for Reply {
    fn from(outcome: ClaimOutcome) -> Self {
        match outcome {
            ClaimOutcome::Won { attempt } => Self::Won(attempt.try_into().unwrap()),
            ClaimOutcome::Busy { .. } => Self::Busy,
            ClaimOutcome::Completed { .. } => Self::Completed,
            other => panic!("{other:?}"),
        }
    }
}

impl From<Settled> for Reply {
    fn from(settled: Settled) -> Self {
        match settled {
            Settled::Applied => Self::Applied,
            Settled::Superseded => Self::Superseded,
            other => panic!("{other:?}"),
        }
    }
}
