use std::{pin::Pin, time::Duration};

use tokio::sync::{mpsc, oneshot};

type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A timer whose pauses end when the test ends them.
#[derive(Debug)]
pub struct Pauses(mpsc::UnboundedReceiver<(Duration, oneshot::Sender<()>)>);

impl Pauses {
    /// Returns the timer, and the test's handle to its pauses.
    pub fn new() -> (Self, impl Fn(Duration) -> Pause + Clone + Send + Sync + 'static) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let timer = move |duration| {
            let (end, ended) = oneshot::channel();
            let _ = sender.send((duration, end));
            Box::pin(async move {
                let _: Result<(), _> = ended.await;
            }) as Pause
        };
        (Self(receiver), timer)
    }

    /// Returns the pause that began since the last call, if any.
    pub fn begun(&mut self) -> Option<(Duration, oneshot::Sender<()>)> {
        loop {
            let pause = self.0.try_recv().ok()?;
            // A pause that was dropped is over.
            if !pause.1.is_closed() {
                return Some(pause);
            }
        }
    }
}
