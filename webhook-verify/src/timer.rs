use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

/// What to wait with. Time limits are part of receiving, and the core has no runtime of its own to keep them with.
///
/// Any `Fn(Duration) -> impl Future` is a timer; with tokio it is `tokio::time::sleep`.
pub trait Timer: Clone {
    /// A pause.
    type Sleep: Future<Output = ()>;

    /// Pauses for `duration`.
    fn sleep(&self, duration: Duration) -> Self::Sleep;
}

impl<F: Fn(Duration) -> S + Clone, S: Future<Output = ()>> Timer for F {
    type Sleep = S;

    fn sleep(&self, duration: Duration) -> S {
        self(duration)
    }
}

/// What `future` comes to, or `None` if it takes longer than `limit`. Only a future that has to wait pays for a timer.
pub(crate) async fn within<F: Future>(
    future: F,
    timer: &impl Timer,
    limit: Duration,
) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut deadline = None;
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        let deadline = deadline.get_or_insert_with(|| Box::pin(timer.sleep(limit)));
        deadline.as_mut().poll(cx).map(|()| None)
    })
    .await
}
