use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU16, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use super::{ClaimKey, ClaimRequest, Era, Holder, Keeper, Lost, lost::LostSignal};

/// The claim under which a handler runs: of a delivery, or of one event of several.
#[derive(Clone)]
pub struct Claim(Arc<Granted>);

struct Granted {
    keeper: Arc<Keeper>,
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
        keeper: Arc<Keeper>,
        request: ClaimRequest,
        attempt: u64,
        asked: Instant,
        era: Era,
        alone: bool,
    ) -> Self {
        Self(Arc::new(Granted {
            keeper,
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

    pub(super) fn keeper(&self) -> &Keeper {
        &self.0.keeper
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
        progress.fetch_update(Ordering::AcqRel, Ordering::Acquire, done).is_ok()
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

    /// Resolves when the lease is lost while the handler runs: another holder has taken over, the
    /// store has not renewed the lease for its whole length, or the handler has exceeded its
    /// [time](crate::Idempotency::max_handler_time). The handler should then stop, because its work
    /// may be done a second time. It also resolves when the handler has ended, so that no task waits
    /// forever.
    ///
    /// A process that was paused learns of the loss only when it runs again.
    ///
    /// ```
    /// # use webhook_verify::Claim;
    /// # async fn work() {}
    /// async fn work_while_claimed(claim: &Claim) -> u16 {
    ///     tokio::select! {
    ///         () = work() => 204,
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
