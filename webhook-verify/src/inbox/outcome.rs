//! The results of a handler.

use std::{error::Error, fmt, time::Duration};

use super::Verdict;

/// The error of a handler. `?` converts any error.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The maximum length of a stored error, in characters.
const MAX_ERROR: usize = 1000;

/// Retries an event after a time of the handler's choice. Return it as the handler's error.
///
/// ```
/// use std::time::Duration;
/// use webhook_verify::inbox::{InboxEvent, Retry};
///
/// async fn handle(event: InboxEvent) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///     Err(Retry::after(Duration::from_secs(30)).into())
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    after: Duration,
}

impl Retry {
    /// Retries the event after this time, unless no attempt is left.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self { after: time }
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "retry after {:?}", self.after)
    }
}

impl Error for Retry {}

/// Gives an event up. Return it as the handler's error. The event is neither retried nor dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "handlers create it")]
pub struct Discard;

impl fmt::Display for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("discarded")
    }
}

impl Error for Discard {}

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Ended {
    Returned(Result<(), BoxError>),
    Panicked,
    TimedOut,
    /// The worker stops.
    Dropped,
}

impl Ended {
    /// Returns the verdict of an attempt. `backoff` is the usual pause before the next one, and
    /// `None` if no attempt is left.
    pub(super) fn verdict(&self, backoff: Option<Duration>) -> Verdict {
        let error = match self {
            Self::Returned(Ok(())) => return Verdict::Done,
            Self::Returned(Err(error)) if error.is::<Discard>() => return Verdict::Discarded,
            Self::Returned(Err(error)) => error,
            Self::Dropped => return Verdict::Released,
            Self::Panicked => return failed("the handler panicked".into(), backoff),
            Self::TimedOut => {
                return failed("the handler exceeded its time limit".into(), backoff);
            }
        };
        let after = error.downcast_ref::<Retry>().map(|retry| retry.after);
        failed(chain(&**error), backoff.map(|usual| after.unwrap_or(usual)))
    }
}

fn failed(error: String, after: Option<Duration>) -> Verdict {
    match after {
        Some(after) => Verdict::Retry { after, error },
        None => Verdict::Dead { error },
    }
}

/// Returns the error and its sources.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text.chars().take(MAX_ERROR).collect()
}
