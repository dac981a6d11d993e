//! Tests a webhook receiver as a black box.

mod bodies;
mod challenges;
mod content;
mod exchange;
mod repeats;
mod responses;
mod rows;
mod sender;
mod signatures;
mod target;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use http::Uri;
use serde_json::json;
use tokio::{runtime::Builder, time::Instant};
use webhook_verify::testing::SignedRequest;

use self::{
    exchange::{Outcome, Pace, Response},
    rows::{ROWS, Row, Verdict},
    sender::{Sender, Settings},
    target::Target,
};
use crate::{
    Failure,
    client::UrlParser,
    files,
    options::{SchemeOptions, SecretOptions},
    terminal::Shown,
    values::number,
};

/// The longest time that a whole probe takes.
const TOTAL: Duration = Duration::from_secs(600);
/// The receiver says that it got too many requests, not whether it accepts them.
const LIMITS_RATE: &str = "429: the receiver limits the rate of requests";
/// The smallest default of --limit, in bytes.
const LIMIT: usize = 3 * 1024 * 1024;
/// The longest body in a file, in bytes. Longer ones would be refused for their length.
const MAX_BODY: usize = 1024 * 1024;

/// Tests a webhook receiver in any language over HTTP
///
/// Sends about 120 requests, valid and forged, and prints a row for each property of the receiver:
/// `pass`, `FAIL` or `n/a` (not applicable), the statuses, and why the property matters. The valid
/// deliveries run the receiver's handler, so use a receiver without real effects.
///
/// Exits with 0 if no row failed, with 1 if one did, and with 2 on errors.
#[derive(Args)]
pub(crate) struct Probe {
    /// The receiver's URL, such as http://127.0.0.1:3000/stripe
    #[arg(value_name = "URL", value_parser = UrlParser)]
    url: Uri,
    #[command(flatten)]
    scheme: SchemeOptions,
    #[command(flatten)]
    secret: SecretOptions,
    /// The URL that the sender was given, if the scheme signs it; the default is URL
    #[arg(long = "url", alias = "public-url", value_name = "URL")]
    public_url: Option<String>,
    /// The event type, for schemes that have it in a header
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// A body that the handler accepts; each PROBE_ID in it becomes a new ID
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// A body for which the handler fails; each PROBE_ID in it becomes a new ID
    #[arg(long, value_name = "FILE")]
    failing_body: Option<PathBuf>,
    /// The receiver's body limit; the default is 3 MiB, or the sender's largest body
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true,
          value_parser = number::<usize>(1..=1 << 28))]
    limit: Option<usize>,
    /// The longest wait for a response, and for the end of a request that never completes
    #[arg(long, value_name = "SECONDS", default_value_t = 70, allow_negative_numbers = true,
          value_parser = number::<u64>(1..=600))]
    timeout: u64,
    /// Send the requests to another machine, whose receiver is yours
    #[arg(long)]
    i_own_this_receiver: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Probe {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(self.probe())
    }

    async fn probe(&self) -> Result<ExitCode, Failure> {
        let scheme = self.scheme.scheme()?;
        if !scheme.describe().has_shared_secret {
            return Err(format!(
                "scheme `{}`: only the sender has the private key that signs requests, so this \
                 scheme cannot be probed",
                scheme.name()
            )
            .into());
        }
        let timeout = Duration::from_secs(self.timeout);
        let deadline = Instant::now() + TOTAL;
        let target = Target::new(&self.url, self.i_own_this_receiver, timeout, deadline).await?;
        let own_url = format!("{}{}", target.origin, target.path());
        let public_url = self.public_url.as_deref().unwrap_or(&own_url);
        let largest = scheme.describe().hints.body_limit.unwrap_or_default();
        let sender = Sender::new(Settings {
            secret: self.secret.secret()?,
            parameters: self.scheme.parameters().map(|(n, v)| (n.into(), v.into())).collect(),
            target: target.target.clone(),
            public_url: public_url.split(['?', '#']).next().unwrap_or_default().to_owned(),
            event_type: self.event_type.clone(),
            body: self.body.as_deref().map(|file| files::read_text(file, MAX_BODY)).transpose()?,
            scheme,
        })?;
        let mut session = Session {
            target,
            sender,
            limit: self.limit.unwrap_or(LIMIT.max(largest)),
            failing_body: self
                .failing_body
                .as_deref()
                .map(|file| files::read_text(file, MAX_BODY))
                .transpose()?,
            requests: 0,
            refusals: Vec::new(),
            trouble: Vec::new(),
            fresh: None,
            repeated: None,
        };
        self.report(&mut session).await
    }

    async fn report(&self, session: &mut Session) -> Result<ExitCode, Failure> {
        let mut out = io::stdout().lock();
        let mut rows: Vec<(&Row, Verdict)> = Vec::new();
        let mut is_complete = true;
        for row in &ROWS {
            let failed =
                |id: &&&str| rows.iter().any(|(row, verdict)| row.id == **id && verdict.is_fail());
            let verdict = if let Some(id) = row.needs.iter().find(failed) {
                Verdict::NotApplicable(format!("not tested, because `{id}` failed"))
            } else if session.target.patience().is_zero() {
                is_complete = false;
                Verdict::NotApplicable("not tested, because the time is over".into())
            } else {
                session.check(row.id).await?
            };
            // If the valid delivery fails, the other rows of the table would say only that.
            let is_noise = rows.first().is_some_and(|(_, verdict)| verdict.is_fail());
            if !self.json && !is_noise {
                verdict.write(row, &mut out)?;
                out.flush()?;
            }
            rows.push((row, verdict));
        }
        self.summarize(session, &rows, &mut out)?;
        match (rows.iter().any(|(_, verdict)| verdict.is_fail()), is_complete) {
            (false, true) => Ok(ExitCode::SUCCESS),
            (false, false) => Err(format!("not complete after {} s", TOTAL.as_secs()).into()),
            (true, _) => Ok(ExitCode::from(1)),
        }
    }

    /// Writes the last line of the table, or the whole JSON object.
    fn summarize(
        &self,
        session: &Session,
        rows: &[(&Row, Verdict)],
        out: &mut impl io::Write,
    ) -> io::Result<()> {
        let count = |name| rows.iter().filter(|(_, verdict)| verdict.name() == name).count();
        let (passed, failed) = (count("pass"), count("fail"));
        let other = count("not_applicable");
        if self.json {
            let rows = rows.iter().map(|(row, verdict)| {
                json!({
                    "id": row.id, "name": row.name, "verdict": verdict.name(),
                    "seen": verdict.seen(), "why": row.why,
                })
            });
            let report = json!({
                "url": format!("{}{}", session.target.origin, session.target.path()),
                "scheme": session.sender.scheme.name(),
                "requests": session.requests,
                "passed": passed, "failed": failed, "not_applicable": other,
                "rows": rows.collect::<Vec<_>>(),
            });
            writeln!(out, "{report:#}")?;
        } else {
            let (requests, scheme) = (session.requests, session.sender.scheme.name());
            let scheme = Shown(scheme);
            writeln!(
                out,
                "\n{passed} passed, {failed} failed, {other} not applicable; {requests} requests, \
                 scheme {scheme}"
            )?;
        }
        Ok(())
    }
}

/// A probe of one receiver, and what it has seen so far.
struct Session {
    target: Target,
    sender: Sender,
    limit: usize,
    failing_body: Option<String>,
    requests: usize,
    /// Responses to requests that were refused for different reasons.
    refusals: Vec<(&'static str, Response)>,
    /// Bad requests that got no proper response.
    trouble: Vec<String>,
    /// The response to a first delivery, and to its duplicate.
    fresh: Option<Response>,
    repeated: Option<Response>,
}

impl Session {
    /// Sends a request.
    async fn send(&mut self, request: &SignedRequest) -> Outcome {
        self.requests += 1;
        self.target.exchange(request, &Pace::Whole).await
    }

    /// Sends a request that must not be accepted, and notes if there is no proper response.
    async fn send_bad(&mut self, what: &str, request: &SignedRequest) -> Outcome {
        let outcome = self.send(request).await;
        self.note(what, &outcome);
        outcome
    }

    fn note(&mut self, what: &str, outcome: &Outcome) {
        let is_trouble = match outcome {
            // 501 is right for a method or a coding that the receiver does not have.
            Outcome::Response(response) => response.status >= 500 && response.status != 501,
            Outcome::Closed | Outcome::Late(_) => true,
            Outcome::TookAll | Outcome::Unreachable(_) => false,
        };
        if is_trouble {
            self.trouble.push(format!("{what}: {outcome}"));
        }
    }

    /// Sends requests none of which may be accepted. Skips those that the scheme accepts.
    async fn refuses(
        &mut self,
        what: &'static str,
        requests: impl IntoIterator<Item = SignedRequest>,
    ) -> Verdict {
        let mut seen = Vec::new();
        for request in requests {
            if self.sender.accepts(&request) {
                continue;
            }
            let outcome = self.send_bad(what, &request).await;
            if outcome.is_accepted() {
                return Verdict::Fail(format!("accepted: {outcome}"));
            }
            if let Some(reason) = says_nothing(&outcome) {
                return Verdict::NotApplicable(reason);
            }
            if let (true, Outcome::Response(response)) = (seen.is_empty(), &outcome) {
                self.refusals.push((what, response.clone()));
            }
            seen.push(outcome.to_string());
        }
        if seen.is_empty() {
            return Verdict::NotApplicable("the scheme does not exclude such a request".into());
        }
        seen.dedup();
        Verdict::Pass(seen.join(", "))
    }

    /// Sends a request that must be accepted, if the scheme accepts it.
    async fn takes(&mut self, request: &SignedRequest) -> Verdict {
        if !self.sender.accepts(request) {
            return Verdict::NotApplicable("the scheme does not allow such a request".into());
        }
        self.send(request).await.as_accepted()
    }
}

impl Outcome {
    /// Returns the verdict on a request that must be accepted.
    fn as_accepted(&self) -> Verdict {
        match self {
            _ if self.is_limited() => Verdict::NotApplicable(LIMITS_RATE.into()),
            _ if self.is_accepted() => Verdict::Pass(self.to_string()),
            _ => Verdict::Fail(format!("not accepted: {self}")),
        }
    }
}

/// Returns the reason why this end of a bad request is no refusal.
fn says_nothing(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Unreachable(_) => Some(outcome.to_string()),
        _ if outcome.is_limited() => Some(LIMITS_RATE.into()),
        _ => None,
    }
}
