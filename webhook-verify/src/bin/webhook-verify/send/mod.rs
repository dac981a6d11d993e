//! Signs bodies and sends them.

mod histogram;
mod progress;
mod summary;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use http::{HeaderValue, Uri, header::CONTENT_TYPE};
use serde_json::{Map, json};
use tokio::{
    runtime::Builder,
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use webhook_verify::{RequestHead, Scheme, testing::Signer};

use self::{progress::Progress, summary::Summary};
use crate::{
    Failure,
    client::{Client, UrlParser},
    errors,
    files::{self, MAX_BODY},
    ids,
    outgoing::Outgoing,
    recorded::target_of,
    report::{self, Outcome},
    sign::{SignOptions, check_header_value, check_id},
    values::number,
};

/// The largest number of requests for which each response is a line instead of a summary.
const SHORT_RUN: u64 = 10;
/// How often the progress is shown.
const TICK: Duration = Duration::from_millis(100);

/// Signs bodies as a sender does, sends them to a receiver, and prints the responses
///
/// Up to 10 requests print one line each: status, time and delivery ID. A longer run prints a
/// summary instead: the number of responses of each status, and the 50th, 90th and 99th percentile
/// and the maximum of their times. Ctrl-C ends the run and prints the summary of the requests so
/// far.
///
/// Each request has the current time and, if the scheme defines one, a new delivery ID. If a run
/// has several requests, each has its own ID, even if the scheme puts it in the body.
///
/// Redirects are not followed. Exits with 1 if any response is missing or not 2xx, and with 130
/// after Ctrl-C.
#[derive(Args)]
pub(crate) struct Send {
    /// The bodies; - is standard input, which is the default
    file: Vec<PathBuf>,
    /// The receiver's URL
    #[arg(long, value_name = "URL", value_parser = UrlParser)]
    to: Uri,
    #[command(flatten)]
    options: SignOptions,
    /// The URL that the sender was given, if the scheme signs another one than that of --to
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The delivery ID of all requests, which makes them duplicates of each other
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// How often to send each body; the bodies are sent in turn
    #[arg(long, alias = "count", value_name = "N", default_value_t = 1,
          allow_negative_numbers = true, value_parser = number::<u64>(1..=1_000_000_000))]
    times: u64,
    /// The largest number of requests per second; by default, there is no limit
    #[arg(long, value_name = "N", value_parser = rate, allow_negative_numbers = true)]
    rate: Option<f64>,
    /// The number of requests that are in progress at the same time
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true,
          value_parser = number::<u16>(1..=1000))]
    concurrency: u16,
    /// How long to wait for each response, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, allow_negative_numbers = true,
          value_parser = number::<u64>(1..=86_400))]
    timeout: u64,
    /// Print a JSON object for each response, and in a long run also one for the summary
    #[arg(long)]
    json: bool,
}

impl Send {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let run = Arc::new(self.prepare()?);
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let exit = runtime.block_on(self.send_all(run));
        // After Ctrl-C, requests may still be in progress.
        runtime.shutdown_background();
        exit
    }

    fn prepare(&self) -> Result<Run, Failure> {
        let scheme = self.options.scheme()?;
        let to = self.to.to_string();
        let signer = self.options.signer(&scheme, self.url.as_deref().unwrap_or(&to))?;
        if let Some(id) = &self.id {
            check_header_value("--id", id)?;
            if scheme.describe().id.is_none() {
                return Err(format!("--id: `{}` has no delivery ID", scheme.name()).into());
            }
        }
        let bodies = self.bodies()?;
        if let (Some(id), [(_, body), ..]) = (&self.id, &*bodies) {
            check_id(id, &scheme, &signer, body)?;
        }
        let total = self.times.saturating_mul(bodies.len() as u64);
        Ok(Run {
            has_id: scheme.describe().id.is_some(),
            renews_id: (total > 1 || self.id.is_some()) && ids::pointer(&scheme).is_some(),
            signer: signer.target(target_of(&to)),
            scheme,
            id: self.id.clone(),
            bodies,
            total,
            next: AtomicU64::new(0),
            client: Client::new(&self.to, Duration::from_secs(self.timeout))?,
            pace: self.rate.map(|rate| Pace::new(Duration::from_secs_f64(1.0 / rate))),
        })
    }

    /// Reads the bodies, which are then shared among requests, with their names.
    fn bodies(&self) -> Result<Vec<(String, Bytes)>, Failure> {
        let stdin = [PathBuf::from("-")];
        let files = if self.file.is_empty() { &stdin[..] } else { &self.file };
        let read = |path: &PathBuf| -> Result<(String, Bytes), Failure> {
            let name = match path.to_str() {
                Some("-") => "standard input".into(),
                _ => path.display().to_string(),
            };
            Ok((name, files::read_or_stdin(path, MAX_BODY)?.into()))
        };
        files.iter().map(read).collect()
    }

    async fn send_all(&self, run: Arc<Run>) -> Result<ExitCode, Failure> {
        let (sender, mut reports) = mpsc::channel(usize::from(self.concurrency));
        let started = Instant::now();
        for _ in 0..u64::from(self.concurrency).min(run.total) {
            tokio::spawn(work(Arc::clone(&run), sender.clone()));
        }
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                let _ = sender.send(Report::Interrupted).await;
            }
        });
        let is_long = run.total > SHORT_RUN;
        let mut summary = Summary::new(run.total);
        let mut progress = Progress::new(run.total);
        let mut out = io::stdout();
        let mut exit = None;
        while summary.count() < run.total {
            let report = match timeout(TICK, reports.recv()).await {
                Ok(Some(report)) => report,
                Ok(None) => break,
                Err(_) => {
                    progress.show(&summary, started.elapsed());
                    continue;
                }
            };
            match report {
                Report::Interrupted => {
                    exit = Some(ExitCode::from(130));
                    break;
                }
                Report::Failed(reason) => {
                    progress.clear();
                    return Err(reason.into());
                }
                Report::Done { number, id, outcome } => {
                    summary.add(&outcome);
                    if self.json || !is_long {
                        progress.clear();
                        writeln!(out, "{}", self.line(&run.body(number).0, id, &outcome))?;
                    }
                    progress.show_at_times(&summary, started.elapsed());
                }
            }
        }
        progress.clear();
        summary.end(started.elapsed());
        if is_long || exit.is_some() {
            match self.json {
                true => writeln!(out, "{}", summary.json())?,
                false => write!(out, "{summary}")?,
            }
        }
        out.flush()?;
        let code = if summary.all_accepted() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        Ok(exit.unwrap_or(code))
    }

    fn line(&self, name: &str, id: Option<String>, outcome: &Outcome) -> String {
        if self.json {
            let members = [("file".to_owned(), json!(name)), ("id".to_owned(), json!(id))];
            return report::json_line(Map::from_iter(members), outcome);
        }
        let id = id.map(|id| format!(", ID {id}"));
        report::line(&format!("{name}{}", id.unwrap_or_default()), outcome)
    }
}

/// Parses a number of requests per second.
fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "not a number from 0.001 to 1000000".into())
}

/// What the workers share.
struct Run {
    signer: Signer,
    scheme: Scheme,
    /// Whether the scheme has a delivery ID.
    has_id: bool,
    /// Whether the ID in the body is replaced.
    renews_id: bool,
    /// The ID of all requests.
    id: Option<String>,
    /// The bodies with their names.
    bodies: Vec<(String, Bytes)>,
    /// The number of requests.
    total: u64,
    /// The number of the next request, from 0.
    next: AtomicU64,
    client: Client,
    pace: Option<Pace>,
}

/// The times at which requests may begin.
struct Pace {
    interval: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    fn new(interval: Duration) -> Self {
        Self { interval, next: Mutex::new(Instant::now()) }
    }

    /// Returns when the next request may begin. Time that passed without requests is not made up
    /// for, so that a receiver that was down is not flooded.
    fn next(&self) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Instant::now().max(*next);
        *next = at + self.interval;
        at
    }
}

/// What a worker reports.
enum Report {
    Done {
        number: u64,
        id: Option<String>,
        outcome: Outcome,
    },
    /// A body cannot be signed, or a request not be sent.
    Failed(String),
    Interrupted,
}

/// Sends one request after the other, until all are sent or nobody reads the reports.
async fn work(run: Arc<Run>, reports: mpsc::Sender<Report>) {
    loop {
        let number = run.next.fetch_add(1, Relaxed);
        if number >= run.total {
            return;
        }
        if let Some(pace) = &run.pace {
            sleep_until(pace.next()).await;
        }
        let report = run.send(number).await.unwrap_or_else(Report::Failed);
        if reports.send(report).await.is_err() {
            return;
        }
    }
}

impl Run {
    async fn send(&self, number: u64) -> Result<Report, String> {
        let (id, request) =
            self.signed(&self.body(number).1).map_err(|error| errors::text(&*error))?;
        let content_type = request.content_type;
        let mut request = request.outgoing.request()?;
        if let Some(content_type) = content_type {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let outcome = self.client.send(request).await;
        Ok(Report::Done { number, id, outcome })
    }

    /// Returns the body of a request, with its name.
    fn body(&self, number: u64) -> &(String, Bytes) {
        &self.bodies[(number % self.bodies.len() as u64) as usize]
    }

    /// Returns the signed request and its delivery ID.
    fn signed(&self, body: &Bytes) -> Result<(Option<String>, Signed), Failure> {
        let id = match &self.id {
            Some(id) => id.clone(),
            None => ids::new_id(&self.scheme, body)?,
        };
        let signer = self.signer.clone().id(&id);
        let mut signed = signer.sign(body.clone())?;
        if self.renews_id {
            let head = RequestHead::new(&signed.headers);
            let head = head.method(&signed.method).target(&signed.target);
            signed = signer.sign_again(head, signed.body.clone())?;
        }
        let in_body = ids::pointer(&self.scheme).is_some() && !self.renews_id;
        let content_type = signed.missing_content_type();
        let id = (self.has_id && !in_body).then_some(id);
        Ok((id, Signed { content_type, outgoing: signed.into() }))
    }
}

struct Signed {
    content_type: Option<&'static str>,
    outgoing: Outgoing,
}
