//! Rows on signatures and timestamps.

use std::time::Duration;

use webhook_verify::{
    clock::{Clock as _, SystemClock},
    testing::SignedRequest,
};

use super::{
    Session, Verdict,
    exchange::{Outcome, Response},
    sender::{Place, Signed},
};
use crate::Failure;

/// How far outside the time window a bad timestamp is.
const DAY: Duration = Duration::from_secs(86_400);

impl Session {
    pub(super) async fn valid(&mut self) -> Result<Verdict, Failure> {
        const HINT: &str = "check the URL, --scheme and the secret (with a request from \
                            `webhook-verify sign --curl`), and whether the handler accepts the \
                            body (--body)";
        let request = self.sender.sign(&self.sender.draft()?)?;
        if !self.sender.accepts(&request) {
            return Err("--body: the scheme's sender does not send such a body".into());
        }
        let mut outcome = self.send(&request).await;
        if outcome.response().is_some_and(|it| it.status >= 400) {
            // A receiver that verifies rebuilt JSON may accept only bodies with its own spaces.
            // Then the row `exact-bytes` fails, in place of this one.
            self.sender.is_spaced = true;
            let request = self.sender.sign(&self.sender.draft()?)?;
            let again = self.send(&request).await;
            self.sender.is_spaced = again.is_accepted();
            if self.sender.is_spaced {
                outcome = again;
            }
        }
        match outcome {
            Outcome::Response(response) if response.is_success() => {
                let seen = response.status.to_string();
                self.fresh = Some(response);
                Ok(Verdict::Pass(seen))
            }
            Outcome::Response(Response { status: 300..400, .. }) => Ok(Verdict::Fail(format!(
                "redirected: {outcome}; give the URL that it redirects to"
            ))),
            Outcome::Unreachable(error) => Err(format!("the URL: no connection: {error}").into()),
            _ => Ok(Verdict::Fail(format!("not accepted: {outcome}; {HINT}"))),
        }
    }

    pub(super) async fn still_works(&mut self) -> Result<Verdict, Failure> {
        let request = self.sender.sign(&self.sender.draft()?)?;
        Ok(self.send(&request).await.as_accepted())
    }

    pub(super) async fn wrong_secret(&mut self) -> Result<Verdict, Failure> {
        let request = self.sender.forge(&self.sender.draft()?)?;
        Ok(self.refuses("wrong secret", [request]).await)
    }

    pub(super) async fn empty_secret(&mut self) -> Result<Verdict, Failure> {
        let Some(secret) = self.sender.empty_secret() else {
            let reason = "no signature of this kind can have an empty secret";
            return Ok(Verdict::NotApplicable(reason.into()));
        };
        let draft = self.sender.draft()?;
        let Ok(request) = self.sender.sign_with(&secret, &draft, None) else {
            return Ok(Verdict::NotApplicable("the scheme does not sign with such a key".into()));
        };
        Ok(self.refuses("empty secret", [request]).await)
    }

    pub(super) async fn truncated_signature(&mut self) -> Result<Verdict, Failure> {
        let signed = self.located()?;
        let signature: Vec<char> = signed.signature().chars().collect();
        // Whole bytes in hex, and whole groups in base64.
        let lengths = [signature.len() / 2 / 4 * 4, signature.len().saturating_sub(4), 4, 1];
        let starts = lengths.into_iter().filter(|length| (1..signature.len()).contains(length));
        let starts = starts.map(|length| signature[..length].iter().collect::<String>());
        let requests: Vec<_> = starts.map(|start| signed.with_signature(&start)).collect();
        Ok(self.refuses("truncated signature", requests).await)
    }

    pub(super) async fn longer_signature(&mut self) -> Result<Verdict, Failure> {
        let signed = self.located()?;
        let signature = signed.signature();
        let requests = ["0000", "00000000"].map(|more| {
            let longer = format!("{signature}{more}");
            signed.with_signature(&longer)
        });
        Ok(self.refuses("longer signature", requests).await)
    }

    pub(super) async fn unsigned(&mut self) -> Result<Verdict, Failure> {
        let Some(request) = self.located()?.unsigned() else {
            return Ok(Verdict::NotApplicable("the signature is in the body".into()));
        };
        Ok(self.refuses("no signature", [request]).await)
    }

    pub(super) async fn empty_signature(&mut self) -> Result<Verdict, Failure> {
        let signed = self.located()?;
        let mut requests = vec![signed.with_signature("")];
        if let Place::Header(_) = signed.place {
            requests.push(signed.with_value(String::new()));
        }
        Ok(self.refuses("empty signature", requests).await)
    }

    pub(super) async fn stale(&mut self) -> Result<Verdict, Failure> {
        let window = self.sender.verifier.tolerance().map_or(Duration::ZERO, |it| it.past());
        let at = SystemClock.now().saturating_sub(window + DAY);
        let request = self.sender.sign_at(&self.sender.draft()?, at)?;
        Ok(self.refuses("stale timestamp", [request]).await)
    }

    pub(super) async fn future(&mut self) -> Result<Verdict, Failure> {
        let window = self.sender.verifier.tolerance().map_or(Duration::ZERO, |it| it.future());
        let at = SystemClock.now() + window + DAY;
        let request = self.sender.sign_at(&self.sender.draft()?, at)?;
        Ok(self.refuses("future timestamp", [request]).await)
    }

    pub(super) async fn repeated_header(&mut self) -> Result<Verdict, Failure> {
        let signed = self.located()?;
        let Place::Header(index) = signed.place else {
            return Ok(Verdict::NotApplicable("the signature is not in a header".into()));
        };
        let wrong = signed.with_signature(&signed.altered(0)).headers[index].clone();
        let with_second = |at| {
            let mut request = signed.request.clone();
            request.headers.insert(at, wrong.clone());
            request
        };
        Ok(self.refuses("two signatures", [with_second(index), with_second(index + 1)]).await)
    }

    pub(super) async fn many_signatures(&mut self) -> Result<Verdict, Failure> {
        let signed = self.located()?;
        let Place::Header(_) = signed.place else {
            return Ok(Verdict::NotApplicable("the signature is not in a header".into()));
        };
        let wrong = signed.altered(0);
        let Some((request, flood)) = [",", " ", ";", ", "].iter().find_map(|separator| {
            let request = signed.with_value(list(&signed, separator, &[&wrong]));
            let flood = vec![&*wrong; 5_000 / (wrong.len() + 8)];
            let flood = signed
                .with_value(list(&signed, separator, &flood).replace(&signed.signature(), &wrong));
            self.sender.accepts(&request).then_some((request, flood))
        }) else {
            let reason = "one per request";
            return Ok(Verdict::NotApplicable(reason.into()));
        };
        let verdict = self.takes(&request).await;
        if self.send_bad("many wrong signatures", &flood).await.is_accepted() {
            return Ok(Verdict::Fail("a list of wrong signatures is accepted".into()));
        }
        Ok(verdict)
    }

    fn located(&self) -> Result<Signed, Failure> {
        self.sender.locate(&self.sender.draft()?)
    }

    /// Sends a forged request whose signature has another character at a place.
    pub(super) fn with_wrong_character(
        &self,
        signed: &Signed,
        from_end: bool,
    ) -> Option<SignedRequest> {
        let length = signed.signature().chars().count();
        // The last characters in base64 may contain fewer bits.
        let index = if from_end { length.checked_sub(3)? } else { 0 };
        let request = signed.with_signature(&signed.altered(index));
        (!self.sender.accepts(&request)).then_some(request)
    }
}

/// Returns a list of signatures, of which the right one is the last.
fn list(signed: &Signed, separator: &str, wrong: &[&str]) -> String {
    let (before, after) = signed.surroundings();
    // Where a list has pairs, as in `t=1,v1=…`, only the last one is the signature's.
    let start = before.rfind(separator).map_or(0, |at| at + separator.len());
    let (before, label) = before.split_at(start);
    let mut items: Vec<_> = wrong.iter().map(|wrong| format!("{label}{wrong}{after}")).collect();
    items.push(format!("{label}{}{after}", signed.signature()));
    format!("{before}{}", items.join(separator))
}
