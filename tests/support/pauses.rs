use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use webhook_verify::Timer;

/// A timer whose pauses end when the test ends them.
#[derive(Debug)]
pub struct Pauses(mpsc::UnboundedReceiver<(Duration, oneshot::Sender<()>)>);

impl Pauses {
    /// Returns the timer, and the test's handle to its pauses.
    pub fn new() -> (Self, impl Timer<Sleep: Send> + Send + Sync) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let timer = move |duration| {
            let (end, ended) = oneshot::channel();
            let _ = sender.send((duration, end));
            async move {
                let _: Result<(), _> = ended.await;
            }
        };
        (Self(receiver), timer)
    }

    /// Returns the pause that began since the last call, if any.
    pub fn begun(&mut self) -> Option<(Duration, oneshot::Sender<()>)> {
        self.0.try_recv().ok()
    }
}
