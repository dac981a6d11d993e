use std::{
    fmt,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll, Waker},
};

use crate::sync::Mutex;

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

#[cfg(all(test, loom))]
mod every_order {
    use std::{pin::pin, task::Wake};

    use loom::{
        sync::atomic::{AtomicBool, Ordering::SeqCst},
        thread,
    };

    use super::*;

    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, SeqCst);
        }
    }

    /// Whoever asks before it is lost is woken, and whoever asks after is told.
    #[test]
    fn of_set_and_poll() {
        loom::model(|| {
            let signal = LostSignal::default();
            let setting = signal.clone();
            let setter = thread::spawn(move || setting.set());
            let woken = Arc::new(Woken(AtomicBool::new(false)));
            let waker = Waker::from(Arc::clone(&woken));
            let mut lost = pin!(signal.lost());
            let before = lost.as_mut().poll(&mut Context::from_waker(&waker));
            setter.join().unwrap();
            assert!(before.is_ready() || woken.0.load(SeqCst));
            let after = lost.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(after.is_ready());
        });
    }
}
