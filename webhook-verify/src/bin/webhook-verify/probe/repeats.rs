//! Rows on deliveries that come more than once.

use super::{
    LIMITS_RATE, Session, Verdict,
    exchange::{Outcome, Pace, Response},
    responses::masked,
};
use crate::Failure;

impl Session {
    pub(super) async fn duplicate(&mut self) -> Result<Verdict, Failure> {
        let request = self.sender.sign(&self.sender.draft()?)?;
        let first = self.send(&request).await;
        let second = self.send(&request).await;
        let seen = format!("{first}, then {second}");
        if first.is_limited() || second.is_limited() {
            return Ok(Verdict::NotApplicable(LIMITS_RATE.into()));
        }
        let (Outcome::Response(first), Outcome::Response(second)) = (first, second) else {
            return Ok(Verdict::Fail(seen));
        };
        let is_accepted = first.is_success() && second.is_success();
        self.fresh = Some(first);
        self.repeated = Some(second);
        Ok(if is_accepted { Verdict::Pass(seen) } else { Verdict::Fail(seen) })
    }

    pub(super) async fn concurrent(&mut self) -> Result<Verdict, Failure> {
        let request = self.sender.sign(&self.sender.draft()?)?;
        self.requests += 2;
        let exchange = || self.target.exchange(&request, &Pace::Whole);
        let (one, two) = tokio::join!(exchange(), exchange());
        let seen = format!("{one} and {two}");
        if one.is_limited() && two.is_limited() {
            return Ok(Verdict::NotApplicable(LIMITS_RATE.into()));
        }
        // One of them may have to come again.
        let is_busy = |outcome: &Outcome| {
            outcome.response().is_some_and(|it| matches!(it.status, 409 | 425 | 429 | 503))
        };
        let is_right = (one.is_accepted() || two.is_accepted())
            && [&one, &two].into_iter().all(|it| it.is_accepted() || is_busy(it));
        Ok(if is_right { Verdict::Pass(seen) } else { Verdict::Fail(seen) })
    }

    pub(super) async fn forged_id(&mut self) -> Result<Verdict, Failure> {
        let draft = self.sender.draft()?;
        let forged = self.sender.forge(&draft)?;
        self.send_bad("forged ID", &forged).await;
        let outcome = self.send(&self.sender.sign(&draft)?).await;
        let seen = format!("then {outcome}");
        if outcome.is_limited() {
            return Ok(Verdict::NotApplicable(LIMITS_RATE.into()));
        }
        let Outcome::Response(response) = outcome else { return Ok(Verdict::Fail(seen)) };
        if !response.is_success() {
            return Ok(Verdict::Fail(seen));
        }
        // Whether it ran shows only where a duplicate gets another response.
        let Some((fresh, repeated)) = self.fresh.as_ref().zip(self.repeated.as_ref()) else {
            return Ok(Verdict::Pass(seen));
        };
        let (fresh, repeated, got) = (print(fresh), print(repeated), print(&response));
        Ok(if fresh != repeated && got == repeated {
            Verdict::Fail(format!("{seen}, the response to a duplicate"))
        } else {
            Verdict::Pass(seen)
        })
    }

    pub(super) async fn failing_retry(&mut self) -> Result<Verdict, Failure> {
        let Some(body) = &self.failing_body else {
            return Ok(Verdict::NotApplicable("needs --failing-body".into()));
        };
        let request = self.sender.sign(&self.sender.draft_of(body)?)?;
        let first = self.send(&request).await;
        let second = self.send(&request).await;
        let seen = format!("{first}, then {second}");
        if first.is_limited() || second.is_limited() {
            return Ok(Verdict::NotApplicable(LIMITS_RATE.into()));
        }
        if first.is_accepted() {
            let reason = format!("the handler accepts the body of --failing-body: {first}");
            return Ok(Verdict::Fail(reason));
        }
        Ok(if second.is_accepted() { Verdict::Fail(seen) } else { Verdict::Pass(seen) })
    }
}

/// Returns what distinguishes responses.
fn print(response: &Response) -> (u16, bool, String) {
    (response.status, response.header("idempotent-replayed").is_some(), masked(&response.body))
}
