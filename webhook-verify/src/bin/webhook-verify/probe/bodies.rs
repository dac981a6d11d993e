//! Rows on bodies that are too long, or never end.

use webhook_verify::testing::SignedRequest;

use super::{
    LIMITS_RATE, Session, Verdict,
    exchange::{Outcome, Pace},
    sender::padded,
};
use crate::Failure;

/// The bytes that a receiver may read after its limit: those in the buffers of a connection.
const SLACK: usize = 8 * 1024 * 1024;

impl Session {
    pub(super) async fn over_limit(&mut self) -> Result<Verdict, Failure> {
        let mut draft = self.sender.draft()?;
        draft.body = padded(&draft.body, self.limit.saturating_sub(draft.body.len()) + 1);
        let request = self.sender.sign(&draft)?;
        let outcome = self.send_bad("body over the limit", &request).await;
        let length = request.body.len();
        Ok(match &outcome {
            Outcome::Unreachable(_) => Verdict::NotApplicable(outcome.to_string()),
            _ if outcome.is_limited() => Verdict::NotApplicable(LIMITS_RATE.into()),
            _ if outcome.is_accepted() => {
                Verdict::Fail(format!("{length} bytes accepted: {outcome} (see --limit)"))
            }
            _ => Verdict::Pass(format!("{outcome} for {length} bytes")),
        })
    }

    pub(super) async fn endless_body(&mut self) -> Result<Verdict, Failure> {
        let request = self.unfinished()?;
        let most = 2 * self.limit + SLACK;
        self.requests += 1;
        let outcome = self.target.exchange(&request, &Pace::Endless(most)).await;
        Ok(self.unfinished_verdict("body without an end", &outcome))
    }

    pub(super) async fn slow_body(&mut self) -> Result<Verdict, Failure> {
        let request = self.unfinished()?;
        self.requests += 1;
        let outcome = self.target.exchange(&request, &Pace::Slow).await;
        Ok(self.unfinished_verdict("slow body", &outcome))
    }

    /// Returns a request with the head of a valid one, so that its body is read.
    fn unfinished(&self) -> Result<SignedRequest, Failure> {
        self.sender.sign(&self.sender.draft()?)
    }

    fn unfinished_verdict(&mut self, what: &str, outcome: &Outcome) -> Verdict {
        match outcome {
            Outcome::Response(response) if response.is_success() => {
                Verdict::Fail(format!("accepted: {outcome}"))
            }
            Outcome::Response(_) => {
                self.note(what, outcome);
                Verdict::Pass(outcome.to_string())
            }
            Outcome::Closed => Verdict::Pass(outcome.to_string()),
            Outcome::Late(_) => Verdict::Fail(outcome.to_string()),
            Outcome::TookAll => Verdict::Fail(format!(
                "the receiver read {} MiB without a response",
                (2 * self.limit + SLACK) / 1024 / 1024
            )),
            Outcome::Unreachable(_) => Verdict::NotApplicable(outcome.to_string()),
        }
    }
}
