//! Rows on what responses reveal.

use std::time::Duration;

use super::{
    Session, Verdict,
    exchange::{Outcome, Response},
};
use crate::Failure;

/// The pairs of requests whose response times are compared.
const PAIRS: usize = 30;
/// The least number of pairs with the same winner that is no accident. By chance, it happens once
/// in a million probes.
const WINS: usize = 28;
/// The smallest difference between the medians that counts.
const DIFFERENCE: Duration = Duration::from_millis(1);

impl Session {
    /// Compares the times with a sign test, which needs no assumption about their distribution.
    pub(super) async fn response_times(&mut self) -> Result<Verdict, Failure> {
        let draft = self.sender.draft()?;
        let mut known = Vec::new();
        for _ in 0..5 {
            let request = self.sender.sign(&draft)?;
            known.extend(self.send(&request).await.response().map(|it| it.took));
        }
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for pair in 0..PAIRS {
            let signed = self.sender.locate(&draft)?;
            let requests = [false, true].map(|end| self.with_wrong_character(&signed, end));
            let [Some(at_first), Some(at_last)] = requests else {
                return Ok(Verdict::NotApplicable("the signature is too short".into()));
            };
            // The order alternates, so that neither is always the second.
            let times = if pair % 2 == 0 {
                [self.time(&at_first).await, self.time(&at_last).await]
            } else {
                let late = self.time(&at_last).await;
                [self.time(&at_first).await, late]
            };
            match times {
                [Ok(one), Ok(two)] => {
                    first.push(one);
                    last.push(two);
                }
                [Err(outcome), _] | [_, Err(outcome)] => {
                    return Ok(Verdict::NotApplicable(format!("not refused each time: {outcome}")));
                }
            }
        }
        let slower = first.iter().zip(&last).filter(|(first, last)| first < last).count();
        let faster = first.iter().zip(&last).filter(|(first, last)| first > last).count();
        let (first, last, known) = (median(first), median(last), median(known));
        let is_clear = slower.max(faster) >= WINS && first.abs_diff(last) >= DIFFERENCE;
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        let seen = format!(
            "medians: first byte wrong {:.1} ms, last byte wrong {:.1} ms, valid {:.1} ms",
            milliseconds(first),
            milliseconds(last),
            milliseconds(known)
        );
        Ok(if is_clear { Verdict::Fail(seen) } else { Verdict::Pass(seen) })
    }

    async fn time(
        &mut self,
        request: &webhook_verify::testing::SignedRequest,
    ) -> Result<Duration, Outcome> {
        match self.send_bad("wrong signature", request).await {
            Outcome::Response(Response { took, status: 400..429, .. }) => Ok(took),
            other => Err(other),
        }
    }

    pub(super) fn refusals(&self) -> Verdict {
        const COMPARED: [&str; 4] =
            ["wrong secret", "no signature", "changed body", "stale timestamp"];
        let refusals = self.refusals.iter().filter(|(what, response)| {
            COMPARED.contains(what) && (300..500).contains(&response.status)
        });
        let refusals: Vec<_> = refusals.collect();
        let [(what, one), rest @ ..] = &refusals[..] else {
            return Verdict::NotApplicable("no refusals to compare".into());
        };
        let print = |response: &Response| {
            let challenge = response.header("www-authenticate").map(str::to_owned);
            (response.status, challenge, masked(&response.body))
        };
        match rest.iter().find(|(_, other)| print(other) != print(one)) {
            _ if rest.is_empty() => Verdict::NotApplicable("only one kind of refusal".into()),
            None => Verdict::Pass(format!("{} for {} reasons", one.status, refusals.len())),
            Some((other_what, other)) => {
                let part =
                    if one.status == other.status { "another text" } else { "another status" };
                Verdict::Fail(format!(
                    "{what}: {}, {other_what}: {}: {part}",
                    one.status, other.status
                ))
            }
        }
    }

    pub(super) fn server_errors(&self) -> Verdict {
        match &self.trouble[..] {
            [] => Verdict::Pass("none".into()),
            trouble => {
                let mut some: Vec<_> = trouble.iter().take(5).map(String::as_str).collect();
                some.dedup();
                Verdict::Fail(some.join("; "))
            }
        }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Returns the text of a body without words that contain digits, such as times and IDs of requests.
pub(super) fn masked(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let is_word = |char: char| char.is_alphanumeric() || char == '-' || char == '_';
    let mut masked = String::new();
    for piece in text.split_inclusive(|char| !is_word(char)) {
        let word = piece.trim_end_matches(|char| !is_word(char));
        let is_id = word.contains(|char: char| char.is_ascii_digit());
        masked += if is_id { "#" } else { word };
        masked += &piece[word.len()..];
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn ids_and_times_do_not_distinguish_responses() {
        let body = |id: &str| format!(r#"{{"error":"invalid","request":"{id}"}}"#);
        assert_eq!(masked(body("ab-12").as_bytes()), masked(body("9f_0").as_bytes()));
        assert_ne!(masked(b"stale timestamp"), masked(b"invalid signature"));
    }
}
