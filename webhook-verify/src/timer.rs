use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A source of delays. The core enforces time limits but has no runtime of its own.
#[derive(Clone)]
pub(crate) struct Timer(Arc<dyn Fn(Duration) -> Sleep + Send + Sync>);

impl Timer {
    pub(crate) fn new<S>(sleep: impl Fn(Duration) -> S + Send + Sync + 'static) -> Self
    where
        S: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(move |duration| Box::pin(sleep(duration))))
    }

    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        self.0(duration)
    }

    /// Returns the output of `future`, or `None` if it takes longer than `limit`. Only a future
    /// that has to wait pays for a delay.
    pub(crate) async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut deadline = None;
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            let deadline = deadline.get_or_insert_with(|| self.sleep(limit));
            deadline.as_mut().poll(cx).map(|()| None)
        })
        .await
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Timer(..)")
    }
}
