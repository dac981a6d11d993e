use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{Receiver, Rejection, receiver::Inner};
use crate::claim::contain;

/// Runs the handling of a request to `receiver` to its end, for requests that
/// [must finish](super::Received::must_finish).
///
/// The returned future polls `handling` in place, so the surrounding spans and task-locals apply.
/// If the future is dropped early, for example because the client disconnects, it passes the
/// unfinished `handling` to `move_on`, which must spawn it.
///
/// # Errors
///
/// [`Rejection::HandlerPanicked`] if `handling` panics. The panic has been logged.
pub fn to_the_end<F, M>(
    receiver: &Receiver,
    handling: F,
    move_on: M,
) -> impl Future<Output = Result<F::Output, Rejection>> + use<F, M>
where
    F: Future,
    M: FnOnce(Pin<Box<F>>),
{
    ToTheEnd { inner: Arc::clone(&receiver.inner), rest: Some((Box::pin(handling), move_on)) }
}

struct ToTheEnd<F, M: FnOnce(Pin<Box<F>>)> {
    inner: Arc<Inner>,
    rest: Option<(Pin<Box<F>>, M)>,
}

/// The box pins the handling. Nothing else needs to be pinned.
impl<F, M: FnOnce(Pin<Box<F>>)> Unpin for ToTheEnd<F, M> {}

impl<F: Future, M: FnOnce(Pin<Box<F>>)> Future for ToTheEnd<F, M> {
    type Output = Result<F::Output, Rejection>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (handling, _) = self.rest.as_mut().expect("polled after its end");
        let result = match contain(|| handling.as_mut().poll(cx)) {
            Some(Poll::Pending) => return Poll::Pending,
            Some(Poll::Ready(output)) => Ok(output),
            None => {
                // `Admitted::handle` logs the panic of a handler.
                if let Some(suppressed) = self.inner.admit_line("handling_panicked") {
                    tracing::error!(
                        target: "webhook_verify",
                        endpoint = &*self.inner.endpoint,
                        scheme = self.inner.verifier.scheme().name(),
                        suppressed,
                        "the handling of a request panicked outside of the handler"
                    );
                }
                Err(Rejection::HandlerPanicked)
            }
        };
        self.rest = None;
        Poll::Ready(result)
    }
}

impl<F, M: FnOnce(Pin<Box<F>>)> Drop for ToTheEnd<F, M> {
    fn drop(&mut self) {
        if let Some((rest, move_on)) = self.rest.take() {
            move_on(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        future::{poll_fn, ready},
        rc::Rc,
        task::Waker,
    };

    use super::*;
    use crate::{scheme, verify::Verifier};

    fn receiver() -> Receiver {
        Receiver::new(Verifier::new(scheme::GITHUB, "a secret").unwrap())
    }

    fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_future_that_ends_is_polled_in_place() {
        let moved = Cell::new(false);
        let mut future = Box::pin(to_the_end(&receiver(), ready(7), |_| moved.set(true)));
        assert!(matches!(poll(&mut future), Poll::Ready(Ok(7))));
        drop(future);
        assert!(!moved.get());
    }

    #[test]
    fn a_future_that_is_dropped_moves_on_where_it_was() {
        let polls = Cell::new(0);
        let third = poll_fn(|_| {
            polls.set(polls.get() + 1);
            if polls.get() < 3 { Poll::Pending } else { Poll::Ready("done") }
        });
        let mut rest = None;
        let mut future = Box::pin(to_the_end(&receiver(), third, |it| rest = Some(it)));
        assert!(poll(&mut future).is_pending());
        assert!(poll(&mut future).is_pending());
        drop(future);
        assert_eq!(poll(&mut rest.unwrap()), Poll::Ready("done"));
    }

    #[test]
    fn a_panic_is_a_rejection() {
        let moved = Cell::new(false);
        let panics = async { panic!("on purpose") };
        let mut future = Box::pin(to_the_end(&receiver(), panics, |_| moved.set(true)));
        let polled: Poll<Result<(), _>> = poll(&mut future);
        assert!(matches!(polled, Poll::Ready(Err(Rejection::HandlerPanicked))));
        drop(future);
        assert!(!moved.get(), "nothing is left to run");
    }

    #[test]
    fn the_end_drops_what_would_move_on() {
        let token = Rc::new(());
        let with = Rc::clone(&token);
        let mut future = Box::pin(to_the_end(&receiver(), ready(()), move |_| drop(with)));
        assert_eq!(Rc::strong_count(&token), 2);
        assert!(poll(&mut future).is_ready());
        assert_eq!(Rc::strong_count(&token), 1);
    }
}
