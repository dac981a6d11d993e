use std::{
    fmt,
    pin::Pin,
    sync::PoisonError,
    task::{Context, Poll, Waker},
};

use super::{Claim, sync::Mutex};

/// Resolves when a claim's lease is lost, because another holder has taken over or may do so at any
/// moment, or when the handler has ended. Returned by [`Claim::lost`].
#[derive(Clone, Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Lost(pub(super) Claim);

impl Future for Lost {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_lost(cx)
    }
}

/// Notifies handlers that their lease was lost.
#[derive(Default)]
pub(super) struct LostSignal(Mutex<State>);

#[derive(Default)]
struct State {
    lost: bool,
    wakers: Vec<Waker>,
}

impl LostSignal {
    pub(super) fn set(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.lost = true;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lost
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.lost {
            return Poll::Ready(());
        }
        let is_known = |waker: &Waker| waker.will_wake(cx.waker());
        if !state.wakers.iter().any(is_known) {
            state.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl fmt::Debug for LostSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LostSignal(..)")
    }
}

#[cfg(all(test, loom))]
mod every_order {
    use std::{sync::Arc, task::Wake};

    use loom::{
        sync::atomic::{AtomicBool, Ordering::SeqCst},
        thread,
    };

    use super::*;

    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, SeqCst);
        }
    }

    /// A task that polls before the loss is woken, and one that polls after it gets `Ready`.
    #[test]
    fn of_set_and_poll() {
        loom::model(|| {
            let signal = Arc::new(LostSignal::default());
            let setting = Arc::clone(&signal);
            let setter = thread::spawn(move || setting.set());
            let woken = Arc::new(Flag(AtomicBool::new(false)));
            let waker = Waker::from(Arc::clone(&woken));
            let before = signal.poll(&mut Context::from_waker(&waker));
            setter.join().unwrap();
            assert!(before.is_ready() || woken.0.load(SeqCst));
            let after = signal.poll(&mut Context::from_waker(&waker));
            assert!(after.is_ready());
        });
    }
}
