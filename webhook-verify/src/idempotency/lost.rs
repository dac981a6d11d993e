use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

/// Resolves when a claim's lease is lost: another holder has taken over or may at any moment. See
/// [`Claim::lost`](super::Claim::lost).
#[derive(Clone)]
#[must_use = "futures do nothing unless polled"]
pub struct Lost(LostSignal);

/// What the one who renews a lease tells those who work under it by.
#[derive(Clone, Default)]
pub(crate) struct LostSignal(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lost: bool,
    waiting: Vec<Waker>,
}

impl LostSignal {
    pub(crate) fn set(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.lost = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(super) fn lost(&self) -> Lost {
        Lost(self.clone())
    }
}

impl Future for Lost {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.lost {
            return Poll::Ready(());
        }
        if !state
            .waiting
            .iter()
            .any(|waker| waker.will_wake(cx.waker()))
        {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl fmt::Debug for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lost(..)")
    }
}

impl fmt::Debug for LostSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LostSignal(..)")
    }
}
