use std::{
    fmt,
    sync::{Arc, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use super::{
    ClaimKey, ClaimRequest, Era, Holder, Keeper, Lost,
    lost::LostSignal,
    sync::{Mutex, MutexGuard},
};
use crate::timer::Timer;

/// The claim under which a handler runs, of a delivery or of one of its events.
#[derive(Clone)]
pub struct Claim(Arc<Inner>);

struct Inner {
    keeper: Arc<Keeper>,
    timer: Timer,
    /// Hidden from handlers, because its owner allows them to settle the claim.
    request: ClaimRequest,
    attempt: u64,
    /// The time of the request. The lease began then or later.
    requested_at: Instant,
    /// The cache's era when it did not contain the key.
    era: Era,
    alone: bool,
    lost: LostSignal,
    state: Mutex<State>,
}

/// The progress of a claim. While `committing`, a transaction of the handler may be about to
/// complete the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The handler runs. If `by_event`, it marks its events done one by one.
    Running { by_event: bool, committing: bool },
    /// The handler marked the event done, and no settling is in progress.
    Done { committing: bool },
    /// It is being settled, because the handler marked the event `done` or has responded. Its lease
    /// is not renewed meanwhile.
    Settling { done: bool, committing: bool },
    /// The handler's transaction completed it with this status.
    #[cfg_attr(
        not(any(feature = "postgres", feature = "sqlite", test)),
        expect(dead_code, reason = "only the SQL stores have transactions")
    )]
    Committed { status: u16 },
    /// Completed, because the handler marked the event done.
    Settled,
    /// Completed, because the handler responded with success.
    Answered,
    /// Released, unless the handler's transaction turns out to have completed it.
    Released { committing: bool },
}

impl Claim {
    /// Returns the claim of a request that was granted.
    pub(crate) fn granted(
        keeper: Arc<Keeper>,
        timer: Timer,
        request: ClaimRequest,
        attempt: u64,
        requested_at: Instant,
        era: Era,
        alone: bool,
    ) -> Self {
        let state = State::Running { by_event: false, committing: false };
        Self(Arc::new(Inner {
            keeper,
            timer,
            request,
            attempt,
            requested_at,
            era,
            alone,
            lost: LostSignal::default(),
            state: Mutex::new(state),
        }))
    }

    pub(super) fn keeper(&self) -> &Keeper {
        &self.0.keeper
    }

    pub(super) fn timer(&self) -> &Timer {
        &self.0.timer
    }

    pub(super) fn requested_at(&self) -> Instant {
        self.0.requested_at
    }

    pub(super) fn era(&self) -> Era {
        self.0.era
    }

    pub(crate) fn request(&self) -> &ClaimRequest {
        &self.0.request
    }

    /// Returns the holder of the claim, to settle it.
    pub(crate) fn holder(&self) -> Holder {
        self.0.request.holder()
    }

    /// Returns whether the handler has no other claim, so that its status is the claim's.
    pub(crate) fn is_alone(&self) -> bool {
        self.0.alone
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> State {
        *self.lock()
    }

    pub(super) fn set_state(&self, state: State) {
        *self.lock() = state;
    }

    /// Notes that the handler marks its events done one by one.
    pub(crate) fn set_by_event(&self) {
        if let State::Running { by_event, .. } = &mut *self.lock() {
            *by_event = true;
        }
    }

    /// Notes that the handler marked the event done. Returns whether to complete the claim now: not
    /// if it is being settled or was settled, nor if the handler's transaction may complete it.
    pub(crate) fn set_done(&self) -> bool {
        let state = &mut *self.lock();
        match *state {
            State::Running { committing, .. } | State::Done { committing } => {
                *state = State::Done { committing };
                !committing
            }
            _ => false,
        }
    }

    pub(super) fn set_settling(&self) {
        let state = &mut *self.lock();
        if !matches!(state, State::Committed { .. }) {
            let done = matches!(state, State::Done { .. });
            *state = State::Settling { done, committing: state.is_committing() };
        }
    }

    /// Notes that the settling was dropped before its end.
    pub(super) fn give_up_settling(&self) {
        let state = &mut *self.lock();
        if let State::Settling { committing, .. } = *state {
            *state = State::Done { committing };
        }
    }

    pub(super) fn set_released(&self) {
        let state = &mut *self.lock();
        if !matches!(state, State::Committed { .. }) {
            *state = State::Released { committing: state.is_committing() };
        }
    }

    /// Notes that the handler's transaction may be about to complete the claim.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(super) fn set_committing(&self) {
        match &mut *self.lock() {
            State::Running { committing, .. }
            | State::Done { committing }
            | State::Settling { committing, .. }
            | State::Released { committing } => *committing = true,
            State::Committed { .. } | State::Settled | State::Answered => {}
        }
    }

    /// Notes that the handler's transaction has completed the claim.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(super) fn set_committed(&self, status: u16) {
        let state = &mut *self.lock();
        if !matches!(state, State::Settled | State::Answered) {
            *state = State::Committed { status };
        }
    }

    /// Returns whether the handler's transaction may be about to complete the claim.
    pub(crate) fn is_committing(&self) -> bool {
        self.state().is_committing()
    }

    /// Returns the status that the handler's transaction has recorded, if any.
    pub(crate) fn committed(&self) -> Option<u16> {
        match self.state() {
            State::Committed { status } => Some(status),
            _ => None,
        }
    }

    /// Returns whether the event is left for the handler: it is not done, and no other owner has
    /// it. An event that is completed by the handler's status is still left for a background task.
    pub(crate) fn is_left(&self) -> bool {
        match self.state() {
            State::Running { .. } => !self.is_lost(),
            State::Settling { done, .. } => !done,
            State::Answered => true,
            State::Done { .. }
            | State::Committed { .. }
            | State::Settled
            | State::Released { .. } => false,
        }
    }

    /// Returns whether the lease has to be renewed now.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.state(), State::Running { .. } | State::Done { .. })
    }

    /// Returns whether the lease never has to be renewed again.
    pub(super) fn is_over(&self) -> bool {
        !matches!(self.state(), State::Running { .. } | State::Done { .. } | State::Settling { .. })
    }

    /// Notifies the handler that its lease is lost, or that the handler has ended.
    pub(crate) fn set_lost(&self) {
        self.0.lost.set();
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.0.lost.is_set()
    }

    /// Returns the key of the delivery or the event, which is the same for every retry.
    #[must_use]
    pub fn key(&self) -> ClaimKey {
        self.0.request.key
    }

    /// Returns the fencing token, which increases with every grant of this key while its record
    /// exists. A resource that remembers the highest token and refuses lower ones is safe from a
    /// handler whose lease expired without its notice.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.0.attempt
    }

    /// Resolves when the lease is lost while the handler runs: another holder has taken over, the
    /// store has not renewed the lease for its whole length, or the handler has exceeded its
    /// [time](crate::Idempotency::max_handler_time). The handler should then stop, because its work
    /// may be done a second time. It also resolves when the handler has ended, so that no task
    /// waits forever.
    ///
    /// In a paused process, the future resolves only when the process runs again.
    ///
    /// ```
    /// # use webhook_verify::idempotency::Claim;
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
            .field("fencing_token", &self.fencing_token())
            .finish_non_exhaustive()
    }
}

impl State {
    pub(crate) fn is_committing(self) -> bool {
        match self {
            Self::Running { committing, .. }
            | Self::Done { committing }
            | Self::Settling { committing, .. }
            | Self::Released { committing } => committing,
            Self::Committed { .. } | Self::Settled | Self::Answered => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::claim::{Fingerprint, MemoryStore, Owner};

    /// Each state says whether the lease is renewed now, may be renewed later, and whether the
    /// event is left for a handler that iterates.
    #[test]
    fn what_each_state_means() {
        let keeper = Arc::new(Keeper::new(MemoryStore::new(), "tests".into()));
        let timer = Timer::new(|_| std::future::pending());
        let hour = Duration::from_secs(3600);
        let owner = Owner::random().unwrap();
        let request =
            ClaimRequest::new(ClaimKey::from([1; 32]), owner, Fingerprint([0; 32]), hour, hour);
        let now = Instant::now();
        let claim = Claim::granted(keeper, timer, request, 1, now, Era::default(), false);
        for committing in [false, true] {
            for (state, is_running, is_over, is_left) in [
                (State::Running { by_event: false, committing }, true, false, true),
                (State::Running { by_event: true, committing }, true, false, true),
                (State::Done { committing }, true, false, false),
                (State::Settling { done: true, committing }, false, false, false),
                (State::Settling { done: false, committing }, false, false, true),
                (State::Committed { status: 200 }, false, true, false),
                (State::Settled, false, true, false),
                (State::Answered, false, true, true),
                (State::Released { committing }, false, true, false),
            ] {
                claim.set_state(state);
                let means = (claim.is_running(), claim.is_over(), claim.is_left());
                assert_eq!(means, (is_running, is_over, is_left), "{state:?}");
                // A committed claim stays so, whatever is settled next.
                claim.set_settling();
                claim.set_released();
                let is_committed = matches!(state, State::Committed { .. });
                assert_eq!(claim.committed().is_some(), is_committed, "{state:?}");
            }
        }
    }
}
