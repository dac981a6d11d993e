use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU16, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use sha2::{Digest as _, Sha256};

use super::{ClaimRequest, Era, Holder, Idempotency, Lost, lost::LostSignal};
use crate::{ConfigError, Encoding};

/// The key of one delivery, or of one event of several, in a store: a digest of namespace, tenant, endpoint and identity.
///
/// Its `Display`, 64 hex digits, is fit to be the idempotency key of what the handler calls in turn.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimKey([u8; 32]);

/// What the identity's bytes are. Identities of different kinds never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An id header under the signature.
    SignedId = 1,
    /// An id in the signed body.
    BodyId = 2,
    /// What is signed, where that is a part of the body.
    SignedContent = 3,
    BodyDigest = 4,
    Custom = 5,
    /// What tells one event of a delivery from all others.
    EventId = 6,
    /// Type and digest of an event.
    EventDigest = 7,
}

impl ClaimKey {
    /// Injective up to collisions of SHA-256: every part but the last has its length before it.
    pub(crate) fn new(scope: [&str; 3], kind: Kind, identity: &[u8]) -> Self {
        let mut digest = Sha256::new_with_prefix(b"wv1");
        for part in scope {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        digest.update([kind as u8]);
        digest.update(identity);
        Self(digest.finalize().into())
    }

    /// The key's bytes, for a store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for ClaimKey {
    /// For stores and their tests. Receivers make their keys themselves.
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for ClaimKey {
    type Err = ConfigError;

    /// Reads a key as its `Display` and the logs write it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        let decoded = Encoding::Hex.decode_exact(text.as_bytes(), &mut bytes);
        decoded.ok_or_else(|| ConfigError::option("key", "not 64 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimKey({self})")
    }
}

/// The claim under which a handler runs: of a delivery, or of one event of several.
#[derive(Clone)]
pub struct Claim(Arc<Granted>);

struct Granted {
    idempotency: Arc<Idempotency>,
    /// Kept from handlers, who could settle by its owner what the receiver settles.
    request: ClaimRequest,
    attempt: u64,
    /// When the store was asked. The lease runs since then, or since later.
    asked: Instant,
    /// When the cache did not know of it.
    era: Era,
    alone: bool,
    taken: AtomicBool,
    lost: LostSignal,
    /// The status that the handler's own transaction has recorded; [`OPEN`] while it may be about to, and 0 before that.
    committed: AtomicU16,
    progress: AtomicU8,
}

/// No status of any answer.
const OPEN: u16 = 1;

/// How far the handling of a claim is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Progress {
    /// Nothing is known of it.
    Open,
    /// The handler has said that it is done, and nobody waits any more for the store to say that it knows.
    Done,
    /// It is being settled: what a renewal says of it counts no more.
    Settling,
    /// It is completed, as the handler has said that it is done.
    Settled,
    /// It is completed, as the handler has answered success.
    Answered,
    /// It was given back.
    Released,
}

impl Claim {
    /// The claim of a request that was granted.
    pub(crate) fn granted(
        idempotency: Arc<Idempotency>,
        request: ClaimRequest,
        attempt: u64,
        asked: Instant,
        era: Era,
        alone: bool,
    ) -> Self {
        Self(Arc::new(Granted {
            idempotency,
            request,
            attempt,
            asked,
            era,
            alone,
            taken: AtomicBool::new(false),
            lost: LostSignal::default(),
            committed: AtomicU16::new(0),
            progress: AtomicU8::new(Progress::Open as u8),
        }))
    }

    pub(super) fn idempotency(&self) -> &Idempotency {
        &self.0.idempotency
    }

    pub(super) fn asked(&self) -> Instant {
        self.0.asked
    }

    pub(super) fn era(&self) -> Era {
        self.0.era
    }

    pub(crate) fn progress(&self) -> Progress {
        match self.0.progress.load(Ordering::Acquire) {
            0 => Progress::Open,
            1 => Progress::Done,
            2 => Progress::Settling,
            3 => Progress::Settled,
            4 => Progress::Answered,
            _ => Progress::Released,
        }
    }

    pub(crate) fn set_progress(&self, progress: Progress) {
        self.0.progress.store(progress as u8, Ordering::Release);
    }

    /// Takes note that the handler has said so. `false` where that is of no use any more, or for somebody else to settle.
    pub(crate) fn set_done(&self) -> bool {
        let done = |progress| (progress < Progress::Settling as u8).then_some(Progress::Done as u8);
        let progress = &self.0.progress;
        progress
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, done)
            .is_ok()
    }

    /// Takes note that the handler takes its events one by one.
    pub(crate) fn set_taken(&self) {
        self.0.taken.store(true, Ordering::Release);
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.0.taken.load(Ordering::Acquire)
    }

    /// Whether its event is the handler's to have: it is not done yet, nor another's. What the handler has answered for before it
    /// had it, it has promised to do.
    pub(crate) fn is_left(&self) -> bool {
        match self.progress() {
            Progress::Open => !self.is_lost(),
            Progress::Answered => true,
            Progress::Done | Progress::Settling | Progress::Settled | Progress::Released => false,
        }
    }

    /// Whether the handler has this claim and no other, so that its status is that of the claim.
    pub(crate) fn is_alone(&self) -> bool {
        self.0.alone
    }

    /// Whether its lease has to be renewed now.
    pub(super) fn is_running(&self) -> bool {
        self.committed().is_none() && self.progress() < Progress::Settling
    }

    /// Whether it never has to be renewed again.
    pub(super) fn is_over(&self) -> bool {
        self.committed().is_some() || self.progress() > Progress::Settling
    }

    pub(crate) fn request(&self) -> &ClaimRequest {
        &self.0.request
    }

    /// Who holds the claim, for those who settle it.
    pub(crate) fn holder(&self) -> Holder {
        self.0.request.holder()
    }

    /// Tells the handler that its lease is lost, or that there is nothing left to lose.
    pub(crate) fn set_lost(&self) {
        self.0.lost.set();
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.0.lost.is_set()
    }

    /// Takes note that the handler's own transaction is about to complete the claim.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(super) fn set_open(&self) {
        let committed = &self.0.committed;
        let _ = committed.compare_exchange(0, OPEN, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether the handler's own transaction may be about to complete the claim.
    pub(crate) fn is_open(&self) -> bool {
        self.0.committed.load(Ordering::Acquire) == OPEN
    }

    /// Takes note that the handler's own transaction has completed the claim.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(super) fn set_committed(&self, status: u16) {
        self.0.committed.store(status, Ordering::Release);
    }

    /// The status that was recorded by the handler's own transaction, if it was.
    pub(crate) fn committed(&self) -> Option<u16> {
        let status = self.0.committed.load(Ordering::Acquire);
        (status > OPEN).then_some(status)
    }

    /// The key of the delivery or the event: the same for every retry.
    #[must_use]
    pub fn key(&self) -> ClaimKey {
        self.0.request.key
    }

    /// The fencing number: rises with every grant of this key while its record lives. A resource that remembers the
    /// highest it has seen, and refuses lower ones, is safe from a holder that was superseded without noticing.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.0.attempt
    }

    /// Resolves when the lease is lost while the handler runs: another holder has taken over, the store has not renewed it
    /// for its whole length, or the handler has had its [time](super::Idempotency::max_handler_time). Then the handler had
    /// better stop: what it does from here on may be done a second time. It also resolves when the handler is done, so that
    /// nobody waits for good.
    ///
    /// It is as good as the renewals are: a process that stands still learns of it when it goes on.
    ///
    /// ```
    /// # use webhook_verify::Delivery;
    /// # async fn work(delivery: &Delivery) {}
    /// async fn on_event(delivery: Delivery) -> u16 {
    ///     let Some(claim) = delivery.claim() else {
    ///         // not deduplicated, or each of its events has a claim of its own
    ///         return 500;
    ///     };
    ///     tokio::select! {
    ///         () = work(&delivery) => 204,
    ///         () = claim.lost() => 500,
    ///     }
    /// }
    /// ```
    pub fn lost(&self) -> Lost {
        Lost(self.clone())
    }

    pub(super) fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.lost.poll(cx)
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("key", &self.key())
            .field("fence", &self.fence())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{ClaimKey, Kind};

    #[test]
    fn parts_do_not_run_into_each_other() {
        let key = ClaimKey::new;
        let keys = [
            key(["", "", "ab"], Kind::BodyId, b"c"),
            key(["", "a", "b"], Kind::BodyId, b"c"),
            key(["", "ab", ""], Kind::BodyId, b"c"),
            key(["ab", "", ""], Kind::BodyId, b"c"),
            key(["a", "", "b"], Kind::BodyId, b"c"),
            key(["", "", "a"], Kind::BodyId, b"bc"),
            key(["", "", "ab"], Kind::SignedId, b"c"),
            key(["", "", "ab"], Kind::BodyId, b"\0c"),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{index}");
        }
        assert_eq!(keys[0], key(["", "", "ab"], Kind::BodyId, b"c"));
        assert_eq!(keys[0].to_string().parse(), Ok(keys[0]));
        assert!("ab".parse::<ClaimKey>().is_err());
    }
}
