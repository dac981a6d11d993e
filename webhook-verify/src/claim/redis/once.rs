use std::sync::{Mutex, PoisonError};

use tokio::sync::watch::{Receiver, channel};

/// Receives the result of a task, or `None` until the task ends.
type Pending<T, E> = Receiver<Option<Result<T, E>>>;

/// The result of a task that all callers wait for.
///
/// The task continues when a caller gives up. Otherwise, slow work would start again with each
/// caller, and never end. After an error, the next caller starts another task.
pub(super) struct Once<T, E> {
    result: Mutex<Option<Pending<T, E>>>,
}

impl<T, E> Default for Once<T, E> {
    fn default() -> Self {
        Self { result: Mutex::default() }
    }
}

impl<T, E> Once<T, E>
where
    T: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Starts `work`, unless it is in progress or has succeeded, and waits for its result. Returns
    /// `ended` if the runtime of its task has ended.
    pub(super) async fn get<F>(
        &self,
        work: impl FnOnce() -> F,
        ended: impl FnOnce() -> E,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let mut result = self.start(work);
        match result.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(result)) => result.clone(),
            Ok(None) | Err(_) => Err(ended()),
        }
    }

    fn start<F>(&self, work: impl FnOnce() -> F) -> Pending<T, E>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let mut current = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(result) = &*current {
            let is_running = result.has_changed().is_ok();
            let is_usable = result.borrow().as_ref().map_or(is_running, Result::is_ok);
            if is_usable {
                return result.clone();
            }
        }
        let (sender, result) = channel(None);
        let work = work();
        tokio::spawn(async move { sender.send_replace(Some(work.await)) });
        *current = Some(result.clone());
        result
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        time::Duration,
    };

    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_continues_without_its_callers() {
        let (once, starts) = (Once::default(), Arc::new(AtomicUsize::new(0)));
        let work = || {
            let starts = Arc::clone(&starts);
            async move {
                let number = starts.fetch_add(1, SeqCst);
                sleep(Duration::from_secs(10)).await;
                if number == 0 { Err("first") } else { Ok(number) }
            }
        };
        for expected in [Err("first"), Ok(1), Ok(1)] {
            for _ in 0..3 {
                let _ = timeout(Duration::from_secs(3), once.get(work, || "ended")).await;
            }
            assert_eq!(once.get(work, || "ended").await, expected);
        }
        assert_eq!(starts.load(SeqCst), 2);
    }

    #[tokio::test]
    async fn a_runtime_that_ends() {
        let once: Arc<Once<u8, &str>> = Arc::default();
        let of_thread = Arc::clone(&once);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = of_thread.get(std::future::pending, || "ended") => {}
                    () = tokio::task::yield_now() => {}
                }
            });
        });
        thread.join().unwrap();
        assert_eq!(once.get(async || Ok(1), || "ended").await, Ok(1));
    }
}
