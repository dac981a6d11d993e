//! Sends recorded requests.

mod base;
mod mutation;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use http::Uri;
use serde_json::{Map, Value, json};
use tokio::runtime::{Builder, Runtime};

use self::{
    base::{Base, Settings},
    mutation::Mutation,
};
use crate::{
    Failure,
    client::{Client, UrlParser},
    options::SecretOptions,
    outgoing::Outgoing,
    recorded::RecordedRequest,
    report::{self, Outcome},
    rows, scheme_file,
    sign::check_url,
    values::number,
};

/// Sends recorded requests to a receiver, and prints one line for each: status, time and name
///
/// FILE contains requests in the format of `check`. Each is sent as it was recorded: the method,
/// the path and query, the headers except those of the connection, and the exact body.
///
/// A recorded timestamp may be too old for the receiver. --fresh signs each request again with the
/// current time. The secret is that of --secret, --secret-file or --secret-env. Without these, it
/// is the secret of the row, or else of the variable WEBHOOK_SECRET. Only the sender can sign with
/// its private key, so --fresh sends no requests of schemes with public keys.
///
/// --mutate breaks one part of each request, so that a correct receiver refuses it. If a request
/// lacks a part, `replay` reports it and sends nothing for it. Unless the receiver accepts the
/// recorded timestamp, combine --mutate with --fresh.
///
/// Redirects are not followed. The exit code is 1 if any response is missing or not 2xx. With
/// --mutate, it is 1 if any is missing or 2xx. Exits with 2 at the first row that cannot be read.
#[derive(Args)]
pub(crate) struct Replay {
    /// The requests; - is standard input
    #[arg(required = true)]
    file: Vec<PathBuf>,
    /// The receiver's URL. A path in it replaces the recorded one. A query in it is added to the
    /// recorded one, and replaces parameters of the same names
    #[arg(long, value_name = "URL", value_parser = UrlParser)]
    to: Uri,
    /// Sign each request again with the current time
    #[arg(long)]
    fresh: bool,
    /// With --fresh, give each request a new delivery ID, so that it is not a duplicate
    #[arg(long, requires = "fresh")]
    new_id: bool,
    /// The URL that the sender was given, if the scheme signs it and the row has another one
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    secret: SecretOptions,
    /// A TOML file with schemes of your own, which take precedence over presets of the same names
    #[arg(long, value_name = "FILE")]
    scheme_file: Option<PathBuf>,
    /// How often to send each request
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true,
          value_parser = number::<u64>(1..=1_000_000_000))]
    times: u64,
    /// Break one part of each request; if repeated, send a request for each part
    #[arg(long, value_name = "PART", value_enum)]
    mutate: Vec<Mutation>,
    /// How long to wait for each response, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, allow_negative_numbers = true,
          value_parser = number::<u64>(1..=86_400))]
    timeout: u64,
    /// Print a JSON object for each response, instead of a readable line
    #[arg(long)]
    json: bool,
}

impl Replay {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.url.as_deref().map_or(Ok(()), check_url)?;
        let schemes = self.scheme_file.as_deref().map(scheme_file::read).transpose()?;
        let settings = Settings {
            options: self,
            schemes: schemes.unwrap_or_default(),
            secret: self.secret.given()?,
        };
        let mut run = Run {
            settings: &settings,
            client: Client::new(&self.to, Duration::from_secs(self.timeout))?,
            runtime: Builder::new_multi_thread().worker_threads(2).enable_all().build()?,
            out: io::stdout(),
            sent: 0,
            unsent: 0,
            unexpected: 0,
            skipped: 0,
            outdated: 0,
        };
        for file in &self.file {
            let input = rows::open(file)?;
            rows::each(input, &mut |number, row| run.replay(number, row)).map_err(
                |failure| match (failure.is::<io::Error>(), self.file.len()) {
                    (true, _) | (_, 1) => failure,
                    _ => format!("{}: {failure}", file.display()).into(),
                },
            )?;
        }
        run.finish()
    }
}

struct Run<'o> {
    settings: &'o Settings<'o>,
    client: Client,
    runtime: Runtime,
    out: io::Stdout,
    /// The number of requests that were sent.
    sent: u64,
    /// The number of requests that could not be made.
    unsent: u64,
    /// The number of those whose response is not the expected one, and of failed requests.
    unexpected: u64,
    /// The number of mutations that do not apply to a request.
    skipped: u64,
    /// The number of mutated requests whose timestamp alone is a reason to refuse them.
    outdated: u64,
}

impl Run<'_> {
    fn replay(&mut self, number: usize, row: &Value) -> Result<(), Failure> {
        let recorded = RecordedRequest::read_without_secret(row)
            .map_err(|reason| format!("row {number}: {reason}"))?;
        let options = self.settings.options;
        let mut mutations: Vec<_> = options.mutate.iter().copied().map(Some).collect();
        if mutations.is_empty() {
            mutations.push(None);
        }
        for attempt in 1..=options.times {
            for &mutation in &mutations {
                self.send(&Sending { recorded: &recorded, number, attempt, mutation })?;
            }
        }
        Ok(())
    }

    fn send(&mut self, sending: &Sending<'_>) -> Result<(), Failure> {
        let request = match self.request(sending) {
            Ok(request) => request,
            Err(Unsent::Failed(reason)) => {
                self.unsent += 1;
                self.unexpected += 1;
                return self.print(sending, &Err(format!("not sent: {reason}")));
            }
            Err(Unsent::NotApplicable(reason)) => {
                self.skipped += 1;
                return self.print(sending, &Err(format!("not sent: {reason}")));
            }
        };
        let outcome = match request.request() {
            Ok(request) => {
                self.sent += 1;
                self.runtime.block_on(self.client.send(request))
            }
            Err(reason) => {
                self.unsent += 1;
                Err(format!("not sent: {reason}"))
            }
        };
        let is_expected = match sending.mutation {
            None => report::is_accepted(&outcome),
            Some(_) => outcome.is_ok() && !report::is_accepted(&outcome),
        };
        self.unexpected += u64::from(!is_expected);
        self.print(sending, &outcome)
    }

    fn request(&mut self, sending: &Sending<'_>) -> Result<Outgoing, Unsent> {
        let base = Base::new(sending.recorded, self.settings).map_err(Unsent::Failed)?;
        let Some(mutation) = sending.mutation else {
            return Ok(base.into_request());
        };
        let request = base.mutated(mutation).map_err(Unsent::NotApplicable)?;
        self.outdated += u64::from(mutation != Mutation::Timestamp && base.is_outdated());
        Ok(request)
    }

    fn print(&mut self, sending: &Sending<'_>, outcome: &Outcome) -> Result<(), Failure> {
        let options = self.settings.options;
        let line = match options.json {
            true => report::json_line(sending.members(options.times), outcome),
            false => report::line(&sending.label(options.times), outcome),
        };
        writeln!(self.out, "{line}")?;
        Ok(self.out.flush()?)
    }

    fn finish(&self) -> Result<ExitCode, Failure> {
        if self.outdated > 0 {
            eprintln!(
                "note: {} requests have a timestamp that is too old even without the mutation: \
                 add --fresh",
                self.outdated
            );
        }
        match (self.sent, self.unsent, self.skipped) {
            (0, _, 1..) => return Err("no request was sent".into()),
            (0, 0, 0) => return Err("the input has no request".into()),
            _ => {}
        }
        if self.unexpected > 0 {
            let wanted = match self.settings.options.mutate.is_empty() {
                true => "accepted",
                false => "refused",
            };
            let count = self.sent + self.unsent;
            eprintln!("{} of {count} requests not {wanted}", self.unexpected);
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Why a request was not sent.
enum Unsent {
    Failed(String),
    /// The scheme or the request does not have the part to break.
    NotApplicable(String),
}

/// A request to send.
struct Sending<'r> {
    recorded: &'r RecordedRequest,
    /// The number of its row.
    number: usize,
    attempt: u64,
    mutation: Option<Mutation>,
}

impl Sending<'_> {
    fn label(&self, times: u64) -> String {
        let mut label = match &*self.recorded.name {
            "" => format!("{}, row {}", self.recorded.provider, self.number),
            name => format!("{}, {name}", self.recorded.provider),
        };
        if times > 1 {
            label += &format!(", {} of {times}", self.attempt);
        }
        if let Some(mutation) = self.mutation {
            label += &format!(", {}", mutation.done());
        }
        label
    }

    fn members(&self, times: u64) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("row".into(), self.number.into());
        members.insert("provider".into(), json!(self.recorded.provider));
        members.insert("name".into(), json!(self.recorded.name));
        if times > 1 {
            members.insert("attempt".into(), self.attempt.into());
        }
        if let Some(mutation) = self.mutation {
            members.insert("mutation".into(), mutation.name().into());
        }
        members
    }
}
